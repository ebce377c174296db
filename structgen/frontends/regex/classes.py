"""Sets of code points as sorted range tuples, and the named classes of the syntaxes.

General categories come from :mod:`unicodedata`, one pass over Unicode at first
use (about 0.1 s, then kept in a file); scripts and binary properties need the optional
``regex`` package, whose data are asked, not copied.  ECMA case folding and
Python's own live with their parsers.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Iterable

import numpy as np

from ...cache import cache_dir, load_npz_checked, save_npz_atomic
from ...errors import RegexError
from .ast import Chars, Ranges

__all__ = ["ALL", "ANY", "DIGIT", "ECMA_DOT", "ECMA_SPACE", "LINE_TERMINATORS", "NOT_ASCII", "WORD", "chars", "char",
           "from_predicate", "intersect", "negate", "normalize", "property_ranges", "ranges_of"]

MAX = 0x10FFFF
#: Every Unicode scalar value.
ALL: Ranges = ((0, 0xD7FF), (0xE000, MAX))
ANY = Chars(ALL)
DIGIT: Ranges = ((48, 57),)
WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
NOT_ASCII: Ranges = ((0x80, 0xD7FF), (0xE000, MAX))
LINE_TERMINATORS: Ranges = ((10, 10), (13, 13), (0x2028, 0x2029))


def normalize(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sort, merge and clip to Unicode scalar values.

    >>> normalize([(98, 100), (97, 97)])
    ((97, 100),)
    """
    out: list[tuple[int, int]] = []
    for lo, hi in sorted(ranges):
        if hi > 0xD7FF and lo < 0xE000:                 # cut the surrogates out
            if hi > 0xDFFF:
                if lo < 0xD800:
                    _push(out, lo, 0xD7FF)
                lo = 0xE000
            elif lo < 0xD800:
                hi = 0xD7FF
            else:
                continue
        _push(out, lo, hi)
    return tuple(out)


def _push(out: list[tuple[int, int]], lo: int, hi: int) -> None:
    if out and lo <= out[-1][1] + 1:
        if hi > out[-1][1]:
            out[-1] = (out[-1][0], hi)
    else:
        out.append((lo, hi))


def negate(ranges: Ranges) -> Ranges:
    """The other scalar values."""
    out, at = [], 0
    for lo, hi in ranges:
        if lo > at:
            out.append((at, lo - 1))
        at = hi + 1
    if at <= MAX:
        out.append((at, MAX))
    return normalize(out)


def intersect(a: Ranges, b: Ranges) -> Ranges:
    """The scalar values in both."""
    out, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        lo, hi = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if lo <= hi:
            out.append((lo, hi))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return normalize(out)


ECMA_DOT: Ranges = negate(LINE_TERMINATORS)
ECMA_SPACE: Ranges = normalize([(9, 13), (32, 32), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029),
                                (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)])


@lru_cache(maxsize=4096)
def char(code: int) -> Chars:
    """The class of one code point; of nothing for a surrogate."""
    return Chars(() if 0xD800 <= code <= 0xDFFF else ((code, code),))


@lru_cache(maxsize=1024)
def chars(ranges: Ranges) -> Chars:
    """A shared class node."""
    return Chars(ranges)


def ranges_of(codes: Iterable[int]) -> Ranges:
    """The ranges of a collection of code points."""
    return normalize((c, c) for c in codes)


def from_predicate(test, upto: int = MAX) -> Ranges:
    """The ranges of the code points up to `upto` on which ``test(chr(c))`` holds."""
    return ranges_of(c for c in range(upto + 1) if not 0xD800 <= c <= 0xDFFF and test(chr(c)))


def _look_up_categories() -> tuple[np.ndarray, np.ndarray]:
    """Where runs of one general category begin, and the category of each, two ASCII letters."""
    category, last = unicodedata.category, ""
    starts, names = [], []
    for code in range(MAX + 1):
        now = category(chr(code))
        if now != last:
            starts.append(code)
            names.append(now)
            last = now
    return np.array(starts, np.int32), np.frombuffer("".join(names).encode(), np.uint8).copy()


@lru_cache(maxsize=1)
def _runs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where runs of one general category begin and end, and the two letters of each.

    Asking for each character takes 70 ms, so the runs are kept in the cache.
    """
    path = cache_dir() / "unicode" / f"categories-{unicodedata.unidata_version}.npz"
    kept = load_npz_checked(path, "structgen-categories", 1, {"starts": (np.int32, 1), "names": (np.uint8, 1)})
    if kept is not None and (kept["names"].size != 2 * kept["starts"].size or kept["starts"][0] != 0
                             or (np.diff(kept["starts"]) <= 0).any()):
        kept = None
    if kept is None:
        starts, names = _look_up_categories()
        save_npz_atomic(path, "structgen-categories", 1, {"starts": starts, "names": names})
    else:
        starts, names = kept["starts"], kept["names"]
    return starts, np.append(starts[1:], MAX + 1) - 1, names.reshape(-1, 2)


@lru_cache(maxsize=1)
def _categories() -> set[str]:
    """The general categories, with the one-letter groups."""
    both = np.unique(np.ascontiguousarray(_runs()[2]).view(np.uint16)).tobytes().decode("ascii")
    found = {both[i:i + 2] for i in range(0, len(both), 2)}
    return {"LC", *found, *(name[0] for name in found)}


@lru_cache(maxsize=None)
def _category(name: str) -> Ranges:
    """The ranges of a general category."""
    starts, ends, names = _runs()
    if name == "LC":
        return normalize(_category("Lu") + _category("Ll") + _category("Lt"))
    here = (names[:, :len(name)] == np.frombuffer(name.encode(), np.uint8)).all(1)
    return normalize(zip(starts[here].tolist(), ends[here].tolist()))


_LONG_CATEGORIES = {
    "Letter": "L", "Cased_Letter": "LC", "Uppercase_Letter": "Lu", "Lowercase_Letter": "Ll", "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm", "Other_Letter": "Lo", "Mark": "M", "Combining_Mark": "M", "Nonspacing_Mark": "Mn",
    "Spacing_Mark": "Mc", "Enclosing_Mark": "Me", "Number": "N", "Decimal_Number": "Nd", "digit": "Nd",
    "Letter_Number": "Nl", "Other_Number": "No", "Punctuation": "P", "punct": "P", "Connector_Punctuation": "Pc",
    "Dash_Punctuation": "Pd", "Open_Punctuation": "Ps", "Close_Punctuation": "Pe", "Initial_Punctuation": "Pi",
    "Final_Punctuation": "Pf", "Other_Punctuation": "Po", "Symbol": "S", "Math_Symbol": "Sm", "Currency_Symbol": "Sc",
    "Modifier_Symbol": "Sk", "Other_Symbol": "So", "Separator": "Z", "Space_Separator": "Zs", "Line_Separator": "Zl",
    "Paragraph_Separator": "Zp", "Other": "C", "Control": "Cc", "cntrl": "Cc", "Format": "Cf", "Surrogate": "Cs",
    "Private_Use": "Co", "Unassigned": "Cn",
}


@lru_cache(maxsize=256)
def property_ranges(name: str, value: str | None) -> Ranges | None:
    """The scalar values of ``\\p{name}`` or ``\\p{name=value}``; None when there is no such property.

    >>> property_ranges("Nd", None)[0]
    (48, 57)
    """
    if value is None and name in ("Any", "ASCII", "Assigned"):
        return ALL if name == "Any" else ((0, 0x7F),) if name == "ASCII" else negate(_category("Cn"))
    if value is None or name in ("General_Category", "gc"):
        key = name if value is None else value
        key = _LONG_CATEGORIES.get(key, key)
        if key in _categories():
            return _category(key)
        if value is not None:
            return () if key == "Cs" else None
    if value is not None and name not in ("Script", "sc", "Script_Extensions", "scx"):
        return None
    try:
        import regex
    except ImportError:
        raise RegexError(f"the Unicode property {name if value is None else f'{name}={value}'!r} is not supported "
                         "without the 'regex' package", hint="pip install regex, or use a general category") from None
    item = name if value is None else f"{'scx' if name in ('Script_Extensions', 'scx') else 'Script'}={value}"
    try:
        found = regex.compile(rf"\p{{{item}}}+", regex.V1)
    except regex.error:
        return None
    text = "".join(map(chr, (*range(0xD800), *range(0xE000, MAX + 1))))
    spans = (m.span() for m in found.finditer(text))
    return normalize((ord(text[a]), ord(text[b - 1])) for a, b in spans)
