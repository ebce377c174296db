"""ECMA-262 regular expressions, read as JSON Schema reads ``pattern``.

The reading is that of the ``u`` flag (patterns and strings are sequences of
code points, ``\\u{...}`` and ``\\p{...}`` mean what they say) with the leniency
of Annex B where real schemas rely on it: identity escapes of punctuation,
literal ``]``, ``{`` and ``}``, ``-`` next to a class escape in a class, legacy
octal escapes.  Escapes of letters that mean nothing in ECMA-262 (``\\A``,
``\\Z``, ``\\h``) are errors: elsewhere they are anchors or classes, so a literal
letter would silently change what the author meant.

Back-references are refused; look-around parses into :class:`~.ast.Look`.
The parser is one pass over the text; nesting is limited to `MAX_DEPTH`.
"""

from __future__ import annotations

import re

from ...errors import RegexError
from .ast import BEGIN, EMPTY, END, Alt, Cat, Look, Node, Ranges, Repeat
from .classes import DIGIT, ECMA_DOT, ECMA_SPACE, WORD, char, chars, negate, normalize, property_ranges

__all__ = ["MAX_DEPTH", "parse_ecma", "word_boundary"]

MAX_DEPTH = 120
MAX_COUNT = 1_000_000
_DOT = chars(ECMA_DOT)
_CLASS_ESCAPES: dict[str, Ranges] = {"d": DIGIT, "D": negate(DIGIT), "w": WORD, "W": negate(WORD), "s": ECMA_SPACE,
                                     "S": negate(ECMA_SPACE)}
_CONTROL = {"f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_COUNT = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_HEX4 = re.compile(r"[0-9A-Fa-f]{4}")
_LOW = re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")
_PROPERTY = re.compile(r"\{([A-Za-z0-9_]+)(?:=([A-Za-z0-9_]+))?\}")
_GROUP_NAME = re.compile(r"[^\W\d][\w$]*>|\$[\w$]*>")
_LITERAL_RUN = re.compile(r"[A-Za-z0-9_/@:;,#%&~'\"!<> =-]+")


def word_boundary(word: Ranges, negative: bool) -> Node:
    """``\\b`` (``\\B``) over the word class `word`, as look-around."""
    item = chars(word)
    here, there = Look(item, False, False), Look(item, True, False)
    not_here, not_there = Look(item, False, True), Look(item, True, True)
    if negative:
        return Alt((Cat((here, there)), Cat((not_here, not_there))))
    return Alt((Cat((here, not_there)), Cat((not_here, there))))


def parse_ecma(pattern: str) -> Node:
    """Parse `pattern`.

    Raises
    ------
    RegexError
        With the position, when the pattern is malformed or uses something unsupported.

    Examples
    --------
    >>> parse_ecma("^[a-z]+$").items[1].lo
    1
    """
    parser = _Parser(pattern)
    node = parser.disjunction(0)
    if parser.at < parser.n:
        raise parser.error("unmatched ')'")
    return node


class _Parser:
    __slots__ = ("text", "at", "n", "_groups", "_named")

    def __init__(self, text: str):
        self.text = text
        self.at = 0
        self.n = len(text)
        self._groups = -1
        self._named = False

    def error(self, message: str, position: int | None = None, hint: str | None = None) -> RegexError:
        return RegexError(f"{message} in the pattern {_shown(self.text)}",
                          position=self.at if position is None else position, pattern=self.text, hint=hint)

    # -- structure ---------------------------------------------------------

    def disjunction(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.error(f"groups nested more than {MAX_DEPTH} deep")
        first = self.alternative(depth)
        if self.at >= self.n or self.text[self.at] != "|":
            return first
        items = [first]
        while self.at < self.n and self.text[self.at] == "|":
            self.at += 1
            items.append(self.alternative(depth))
        return Alt(items)

    def alternative(self, depth: int) -> Node:
        text, n = self.text, self.n
        items: list[Node] = []
        while self.at < n:
            at = self.at
            c = text[at]
            run = _LITERAL_RUN.match(text, at)
            if run:
                end = run.end()
                items.extend([char(ord(x)) for x in text[at:end]])
                self.at = end
                if end >= n:
                    break
                c = text[end]
                if c in "*+?{":
                    items.append(self.quantified(items.pop()))
                continue
            if c == "|" or c == ")":
                break
            if c == "^" or c == "$":
                self.at += 1
                items.append(BEGIN if c == "^" else END)
                if self.at < n and (text[self.at] in "*+?" or _COUNT.match(text, self.at)):
                    raise self.error("nothing to repeat")
                continue
            if c == "(":
                node = self.group(depth)
            elif c == "[":
                node = chars(self.char_class())
            elif c == ".":
                self.at += 1
                node = _DOT
            elif c == "\\":
                node = self.escape()
            elif c in "*+?" or (c == "{" and _COUNT.match(text, at)):
                raise self.error("nothing to repeat")
            else:
                self.at += 1
                node = char(ord(c))
            if self.at < n and text[self.at] in "*+?{":
                node = self.quantified(node)
            items.append(node)
        return items[0] if len(items) == 1 else Cat(items) if items else EMPTY

    def quantified(self, node: Node) -> Node:
        text, at = self.text, self.at
        c = text[at]
        if c == "{":
            m = _COUNT.match(text, at)
            if not m:
                return node                         # a literal brace follows
            lo = int(m[1]) if len(m[1]) < 19 else MAX_COUNT + 1
            hi = lo if m[2] is None else None if not m[3] else int(m[3]) if len(m[3]) < 19 else MAX_COUNT + 1
            if hi is not None and hi < lo:
                raise self.error("the counts of a repeat are out of order")
            if lo > MAX_COUNT or (hi or 0) > MAX_COUNT:
                raise self.error(f"a repeat of more than {MAX_COUNT} times")
            self.at = m.end()
        else:
            lo, hi = (0, None) if c == "*" else (1, None) if c == "+" else (0, 1)
            self.at += 1
        if self.at < self.n:
            if text[self.at] == "?":                # lazy: the same language
                self.at += 1
            if self.at < self.n and (text[self.at] in "*+?" or _COUNT.match(text, self.at)):
                raise self.error("nothing to repeat")
        return Repeat(node, lo, hi)

    def group(self, depth: int) -> Node:
        text, start = self.text, self.at
        self.at += 1
        look = None
        if text.startswith("?", self.at):
            kind = text[self.at + 1:self.at + 2]
            if kind == ":":
                self.at += 2
            elif kind in ("=", "!"):
                self.at += 2
                look = (True, kind == "!")
            elif kind == "<" and text[self.at + 2:self.at + 3] in ("=", "!"):
                look = (False, text[self.at + 2] == "!")
                self.at += 3
            elif kind == "<":
                m = _GROUP_NAME.match(text, self.at + 2)
                if not m:
                    raise self.error("a group name that cannot be read")
                self.at = m.end()
            else:
                raise self.error(f"an unknown group (?{kind}", hint="inline flags are not part of ECMA-262 patterns")
        node = self.disjunction(depth + 1)
        if self.at >= self.n:
            raise self.error("a group without its ')'", start)
        self.at += 1
        return node if look is None else Look(node, *look)

    # -- escapes -----------------------------------------------------------

    def escape(self) -> Node:
        text, at = self.text, self.at
        c = text[at + 1:at + 2]
        if c in _CLASS_ESCAPES and c:
            self.at += 2
            return chars(_CLASS_ESCAPES[c])
        if c == "b" or c == "B":
            self.at += 2
            return word_boundary(WORD, c == "B")
        if c == "p" or c == "P":
            ranges = self.property()
            return char(ord(c)) if ranges is None else chars(ranges)
        if c == "k":
            if self.named_groups():
                raise self.error("back-references are not supported", at)
            raise self.error("an escape \\k without a named group", at)
        if c.isdigit() and c.isascii() and c != "0":
            m = re.compile(r"[0-9]+").match(text, at + 1)
            if len(m[0]) < 6 and int(m[0]) <= self.groups():
                raise self.error("back-references are not supported", at)
        return char(self.char_escape(False))

    def char_escape(self, in_class: bool) -> int:
        """The code point of the escape here, which is no class."""
        text, at = self.text, self.at
        if at + 1 >= self.n:
            raise self.error("a pattern that ends in a backslash")
        c = text[at + 1]
        self.at += 2
        if c in _CONTROL:
            return _CONTROL[c]
        if c == "u":
            if text.startswith("{", at + 2):
                m = _HEX.match(text, at + 3)
                if m and text.startswith("}", m.end()) and (len(m[0].lstrip("0")) <= 6 and int(m[0], 16) <= 0x10FFFF):
                    self.at = m.end() + 1
                    return int(m[0], 16)
                raise self.error("a code point escape that cannot be read", at)
            m = _HEX4.match(text, at + 2)
            if not m:
                raise self.error("an escape \\u without four hexadecimal digits", at)
            self.at = m.end()
            code = int(m[0], 16)
            if 0xD800 <= code <= 0xDBFF:
                low = _LOW.match(text, self.at)
                if low:
                    self.at = low.end()
                    return 0x10000 + ((code - 0xD800) << 10) + (int(low[1], 16) - 0xDC00)
            return code
        if c == "x":
            m = _HEX.match(text, at + 2, at + 4)
            if not m or len(m[0]) != 2:
                raise self.error("an escape \\x without two hexadecimal digits", at)
            self.at = at + 4
            return int(m[0], 16)
        if c == "c":
            letter = text[at + 2:at + 3]
            if letter.isascii() and (letter.isalpha() or (in_class and (letter.isdigit() or letter == "_"))):
                self.at = at + 3
                return ord(letter) & 31
            raise self.error("an escape \\c without a letter", at)
        if c in "01234567":                         # \0, and octal escapes as in Annex B
            code, end = 0, at + 1
            while end < self.n and end < at + 4 and text[end] in "01234567" and code * 8 + int(text[end]) <= 255:
                code = code * 8 + int(text[end])
                end += 1
            self.at = end
            return code
        if c == "b" and in_class:
            return 8
        if c.isascii() and c.isalpha():
            hint = {"A": "use ^", "Z": "use $", "z": "use $", "h": "use [ \\t]", "e": "use \\x1b", "a": "use \\x07"}
            raise self.error(f"\\{c} is not an escape of ECMA-262", at, hint.get(c))
        return ord(c)

    def property(self) -> Ranges | None:
        at = self.at
        m = _PROPERTY.match(self.text, at + 2)
        if not m:
            if self.text.startswith("{", at + 2):
                raise self.error("a property escape that cannot be read", at)
            raise self.error("an escape \\p without {...}", at)
        try:
            ranges = property_ranges(m[1], m[2])
        except RegexError as err:
            raise self.error(err.message, at, err.hint) from None
        if ranges is None:
            raise self.error(f"an unknown Unicode property {m[0][1:-1]!r}", at)
        self.at = m.end()
        return negate(ranges) if self.text[at + 1] == "P" else ranges

    def char_class(self) -> Ranges:
        text, start = self.text, self.at
        self.at += 1
        negative = text.startswith("^", self.at)
        if negative:
            self.at += 1
        ranges: list[tuple[int, int]] = []
        low: int | None = None                      # a single character that may begin a range
        while True:
            if self.at >= self.n:
                raise self.error("a character class without its ']'", start)
            if text[self.at] == "]":
                break
            if text[self.at] == "-" and low is not None and text[self.at + 1:self.at + 2] not in ("]", ""):
                place = self.at
                self.at += 1
                high = self.class_atom()
                if isinstance(high, int):
                    if high < low:
                        raise self.error("a range whose ends are out of order", place)
                    ranges[-1] = (low, high)
                else:                               # a-\d: the hyphen is a literal
                    ranges.append((45, 45))
                    ranges.extend(high)
                low = None
                continue
            item = self.class_atom()
            if isinstance(item, int):
                ranges.append((item, item))
                low = item
            else:
                ranges.extend(item)
                low = None
        self.at += 1
        out = normalize(ranges)
        return negate(out) if negative else out

    def class_atom(self) -> "int | Ranges":
        text, at = self.text, self.at
        c = text[at]
        if c != "\\":
            self.at += 1
            return ord(c)
        kind = text[at + 1:at + 2]
        if kind and kind in _CLASS_ESCAPES:
            self.at += 2
            return _CLASS_ESCAPES[kind]
        if kind == "p" or kind == "P":
            return self.property()
        return self.char_escape(True)

    # -- groups, counted only when an escape asks --------------------------

    def groups(self) -> int:
        """The number of capturing groups in the whole pattern."""
        if self._groups < 0:
            count, named, in_class, at = 0, False, False, 0
            text = self.text
            while at < self.n:
                c = text[at]
                if c == "\\":
                    at += 1
                elif c == "[":
                    in_class = True
                elif c == "]":
                    in_class = False
                elif c == "(" and not in_class:
                    name = text.startswith("?<", at + 1) and text[at + 3:at + 4] not in ("=", "!")
                    named |= name
                    count += name or not text.startswith("?", at + 1)
                at += 1
            self._groups, self._named = count, named
        return self._groups

    def named_groups(self) -> bool:
        self.groups()
        return self._named


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
