"""The format ``regex``: ECMA-262 regular expressions, nested to a bounded depth.

Groups are balanced and nest up to `DEPTH`, quantifiers come only after
something to repeat, counts and class ranges are in order.  Look-around holds no
groups.  Identity escapes are those of punctuation, as in Annex B of ECMA-262.
"""

from __future__ import annotations

from .regex import parse_ecma
from .regex.ast import EMPTY, Alt, Cat, Node, Repeat

__all__ = ["DEPTH", "regex_format"]

DEPTH = 5

_HEX = "[0-9A-Fa-f]"
_ESCAPE = (r"\\(?:[fnrtv0]|[!-/:-@\[-`{-~]|c[A-Za-z]|x" + _HEX + "{2}"
           r"|u(?:[0-9A-CEFa-cef]" + _HEX + r"{3}|[Dd][0-7]" + _HEX + r"{2}|\{0{0,2}[0-9A-Fa-f]{1,5}\}))")
_PROPERTY = r"\\[pP]\{(?:L[ulotm]?|N[dlo]?|P[cdseifo]?|S[mcko]?|Z[slp]?|M[nce]?|C[cfon]?|Any|ASCII|Assigned)\}"


def _counts() -> str:
    """``{m}``, ``{m,}`` and ``{m,n}`` with m <= n."""
    ordered = [f"{m},(?:[{m}-9]|[1-9][0-9]{{1,3}})" for m in range(10)]
    for tens in range(1, 10):
        for ones in range(10):
            more = f"|[{tens + 1}-9][0-9]" if tens < 9 else ""
            ordered.append(f"{tens}{ones},(?:{tens}[{ones}-9]{more}|[1-9][0-9]{{2,3}})")
    ordered.append("[1-9][0-9]{2},[1-9][0-9]{3}")
    return rf"\{{(?:[0-9]{{1,4}},?|{'|'.join(ordered)})\}}"


def _char_class() -> Node:
    """``[...]``: a hyphen stands first, last or in a range that starts with an ASCII character."""
    ranges = [_range(code) for code in range(0x20, 0x7F) if chr(code) not in "\\]-^"]
    return parse_ecma(rf"\[\^?-?(?:{'|'.join(ranges)}|[^\\\]\-^]|{_ESCAPE}|\\[dDwWsSb]|{_PROPERTY})*-?\]")


def _range(low: int) -> str:
    """A class range that starts with the ASCII character `low`."""
    parts = []
    at = low
    for stop in sorted(ord(c) for c in "\\]-^" if ord(c) >= low) + [0x110000]:
        if at < stop:
            parts.append(rf"\u{{{at:X}}}-\u{{{stop - 1:X}}}")
        at = stop + 1
    return rf"\u{{{low:X}}}-[{''.join(parts)}]"


def regex_format() -> Node:
    """The syntax tree of the format."""
    quantifier = Alt((EMPTY, Cat((parse_ecma(f"(?:[*+?]|{_counts()})"), parse_ecma("[?]?")))))
    simple = Alt((parse_ecma(rf"[^\\^$.*+?()[\]{{}}|]|[.\]}}]|\\[dDwWsS]|{_ESCAPE}|{_PROPERTY}"),
                  parse_ecma(r"\{[^\\^$.*+?()[\]{}|0-9,]"), _char_class()))
    anchor = parse_ecma(r"[\^$|]|\\[bB]")
    close = parse_ecma(r"\)")
    flat = body = Repeat(Alt((Cat((simple, quantifier)), anchor)), 0, None)
    looking = Cat((parse_ecma(r"\(\?<?[=!]"), flat, close))
    for _ in range(DEPTH):
        group = Cat((parse_ecma(r"\((?:\?:)?"), body, close))
        body = Repeat(Alt((Cat((Alt((simple, group)), quantifier)), anchor, looking)), 0, None)
    named = Cat((parse_ecma(r"\(\?<[A-Za-z_][0-9A-Za-z_]*>"), flat, close, quantifier))
    return Cat((Repeat(named, 0, 1), body))
