"""Python regular expressions, parsed by the standard library itself.

This is the one place that knows :mod:`re`'s internals: ``re._parser`` (named
``sre_parse`` before Python 3.11) parses, and the opcodes it yields are turned
into our tree.  Flags, inline or not, mean what they mean to ``re``; character
classes under ``re.IGNORECASE`` are asked of ``re`` itself.

Refused, because they are not regular or not worth it: back-references,
conditional groups, possessive repeats, atomic groups, bytes patterns, locale.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache

import numpy as np

from ...errors import RegexError
from .ast import BEGIN, EMPTY, END, Alt, Cat, Chars, Look, Node, Ranges, Repeat
from .classes import ANY, DIGIT, MAX, WORD, char, chars, negate, normalize, ranges_of
from .ecma import MAX_DEPTH, word_boundary

try:
    from re import _constants as _c
    from re import _parser
except ImportError:                                     # pragma: no cover - Python 3.10
    import sre_constants as _c
    import sre_parse as _parser

__all__ = ["parse_python"]

_NEWLINE = char(10)
_NOT_NEWLINE = chars(negate(((10, 10),)))
_ASCII_SPACE: Ranges = ((9, 13), (32, 32))
_REFUSED = {"GROUPREF": "back-references are", "GROUPREF_IGNORE": "back-references are",
            "GROUPREF_EXISTS": "conditional groups are", "ATOMIC_GROUP": "atomic groups are",
            "POSSESSIVE_REPEAT": "possessive repeats are"}


def parse_python(pattern: str, flags: int = 0) -> Node:
    """Parse `pattern` as ``re.compile(pattern, flags)`` would.

    Raises
    ------
    RegexError
        With the position where :mod:`re` gives one, when the pattern is malformed or not supported.

    Examples
    --------
    >>> parse_python("(?i)a").ranges
    ((65, 65), (97, 97))
    """
    if not isinstance(pattern, str):
        raise RegexError("a regular expression must be a str, not bytes or a compiled pattern")
    try:
        parsed = _parser.parse(pattern, int(flags))
    except re.error as err:
        raise RegexError(f"{err.msg} in the pattern {_shown(pattern)}", position=err.pos, pattern=pattern) from None
    except (RecursionError, OverflowError, ValueError) as err:
        raise RegexError(f"the pattern {_shown(pattern)} cannot be read: {err}", pattern=pattern) from None
    flags = parsed.state.flags
    if flags & re.LOCALE:
        raise RegexError("re.LOCALE is not supported", pattern=pattern)
    return _Converter(pattern).sequence(parsed, flags, 0)


class _Converter:
    __slots__ = ("pattern",)

    def __init__(self, pattern: str):
        self.pattern = pattern

    def refuse(self, what: str) -> RegexError:
        return RegexError(f"{what} not supported in the pattern {_shown(self.pattern)}", pattern=self.pattern)

    def sequence(self, ops, flags: int, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.refuse(f"groups nested more than {MAX_DEPTH} deep are")
        items = [self.node(op, value, flags, depth) for op, value in ops]
        return items[0] if len(items) == 1 else Cat(items) if items else EMPTY

    def node(self, op, value, flags: int, depth: int) -> Node:
        if op is _c.LITERAL:
            return _literal(value, flags & (re.IGNORECASE | re.ASCII)) if flags & re.IGNORECASE else char(value)
        if op is _c.ANY:
            return ANY if flags & re.DOTALL else _NOT_NEWLINE
        if op is _c.IN:
            return _class(tuple(value), flags & (re.IGNORECASE | re.ASCII))
        if op is _c.NOT_LITERAL:
            return _class(((_c.NEGATE, None), (_c.LITERAL, value)), flags & (re.IGNORECASE | re.ASCII))
        if op is _c.MAX_REPEAT or op is _c.MIN_REPEAT:
            lo, hi, item = value
            return Repeat(self.sequence(item, flags, depth + 1), int(lo), None if hi is _c.MAXREPEAT else int(hi),
                          op is _c.MIN_REPEAT)
        if op is _c.BRANCH:
            return Alt([self.sequence(item, flags, depth + 1) for item in value[1]])
        if op is _c.SUBPATTERN:
            _, add, remove, item = value
            return self.sequence(item, (flags | add) & ~remove, depth + 1)
        if op is _c.AT:
            return _place(value, flags)
        if op is _c.ASSERT or op is _c.ASSERT_NOT:
            direction, item = value
            return Look(self.sequence(item, flags, depth + 1), direction > 0, op is _c.ASSERT_NOT)
        if str(op) == "FAILURE":
            return Chars(())
        raise self.refuse(_REFUSED.get(str(op), f"{op} is"))


def _place(at, flags: int) -> Node:
    """The anchors; Python's ``$`` also stands before a newline that ends the string."""
    if at is _c.AT_BEGINNING and flags & re.MULTILINE:
        return Alt((BEGIN, Look(_NEWLINE, False, False)))
    if at is _c.AT_BEGINNING or at is _c.AT_BEGINNING_STRING:
        return BEGIN
    if at is _c.AT_END:
        return Alt((END, Look(_NEWLINE if flags & re.MULTILINE else Cat((_NEWLINE, END)), True, False)))
    if at is _c.AT_END_STRING:
        return END
    word = _category("w", flags & re.ASCII)
    if at is _c.AT_BOUNDARY:
        return word_boundary(word, False)
    inside = word_boundary(word, True)
    if sys.version_info >= (3, 14):
        return inside
    return Cat((Alt((Look(ANY, False, False), Look(ANY, True, False))), inside))    # \B never holds in ''


# -- character classes --------------------------------------------------------


def spans(found: "re.Pattern[str]") -> Ranges:
    """The scalar values in the runs that `found` finds in the text of all of them."""
    text = _all_text()
    return normalize((ord(text[m.start()]), ord(text[m.end() - 1])) for m in found.finditer(text))


@lru_cache(maxsize=1)
def _all_text() -> str:
    codes = np.arange(MAX + 1, dtype="<u4")
    return codes[(codes < 0xD800) | (codes > 0xDFFF)].tobytes().decode("utf-32-le")


@lru_cache(maxsize=1)
def _cased() -> str:
    return "".join(c for c in _all_text()[:0x20000] if c.lower() != c or c.upper() != c or c.casefold() != c)


@lru_cache(maxsize=16)
def _category(letter: str, ascii_only: int) -> Ranges:
    if ascii_only:
        return {"d": DIGIT, "w": WORD, "s": _ASCII_SPACE}[letter]
    return spans(re.compile(rf"\{letter}+"))


_CATEGORIES = {_c.CATEGORY_DIGIT: ("d", False), _c.CATEGORY_NOT_DIGIT: ("d", True), _c.CATEGORY_SPACE: ("s", False),
               _c.CATEGORY_NOT_SPACE: ("s", True), _c.CATEGORY_WORD: ("w", False), _c.CATEGORY_NOT_WORD: ("w", True)}


@lru_cache(maxsize=4096)
def _literal(code: int, flags: int) -> Chars:
    return _class(((_c.LITERAL, code),), flags)


@lru_cache(maxsize=1024)
def _class(items: tuple, flags: int) -> Chars:
    """The class of the items of an ``IN``; `flags` is any of IGNORECASE and ASCII."""
    ranges: list[tuple[int, int]] = []
    text = ""
    negative = False
    for op, value in items:
        if op is _c.NEGATE:
            negative = True
        elif op is _c.LITERAL:
            ranges.append((value, value))
            text += rf"\U{value:08x}"
        elif op is _c.RANGE:
            ranges.append(value)
            text += rf"\U{value[0]:08x}-\U{value[1]:08x}"
        else:
            letter, other = _CATEGORIES[value]
            found = _category(letter, flags & re.ASCII)
            ranges.extend(negate(found) if other else found)
            text += "\\" + (letter.upper() if other else letter)
    if flags & re.IGNORECASE:
        more = re.compile(f"[{text}]", flags)
        ranges.extend(ranges_of(ord(c) for c in _cased() if more.match(c)))
    out = normalize(ranges)
    return chars(negate(out) if negative else out)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
