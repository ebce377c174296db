"""The format ``idn-hostname``: RFC 5890 to 5893 as far as they are regular.

The code points allowed (PVALID), those allowed in context, and the Bidi rule
are derived at first use (about 0.3 s) from :mod:`unicodedata` by the rules of
RFC 5892 and RFC 5893; nothing is tabulated here but the exceptions the RFC
lists.  Joining types, which :mod:`unicodedata` lacks, are read off the Arabic
presentation forms.

A label is a sequence of *units*: one allowed code point, or a contextual one
with the neighbours it needs.  Either no label holds right-to-left characters,
or every label obeys the Bidi rule.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from .formats import host_label
from .regex import parse_ecma
from .regex.ast import BEGIN, Alt, Cat, Node, Ranges, Repeat
from .regex.classes import ALL, ANY, chars, intersect, negate, normalize, property_ranges, ranges_of

__all__ = ["idn_hostname", "idn_lengths", "idn_unnormalized", "pvalid"]

# RFC 5892 section 2.6 (F) and 2.7, 2.8, 2.9: what its general rules do not give.
_EXTRA_PVALID = (0xDF, 0x3C2, 0x6FD, 0x6FE, 0xF0B, 0x3007)
_DISALLOWED = ((0x640, 0x640), (0x7FA, 0x7FA), (0x302E, 0x302F), (0x3031, 0x3035), (0x303B, 0x303B))
_CONTEXT = ((0xB7, 0xB7), (0x375, 0x375), (0x5F3, 0x5F4), (0x30FB, 0x30FB))
_IGNORABLE = ((0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x3164, 0x3164),
              (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF), (0x20D0, 0x20FF), (0x1D100, 0x1D24F))
_OLD_HANGUL = ((0x1100, 0x11FF), (0xA960, 0xA97C), (0xD7B0, 0xD7C6), (0xD7CB, 0xD7FB))
_KANA = ((0x3005, 0x3005), (0x3007, 0x3007), (0x3041, 0x3096), (0x309D, 0x309E), (0x30A1, 0x30FA), (0x30FD, 0x30FE),
         (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x3FFFF))   # Hiragana, Katakana, Han
_DOTS = "[.\\u{3002}\\u{FF0E}\\u{FF61}]"


def _codes(ranges: Ranges):
    return (code for lo, hi in ranges for code in range(lo, hi + 1))


def _stable(code: int) -> bool:
    text = chr(code)
    nfkc = unicodedata.normalize
    return nfkc("NFKC", nfkc("NFKC", text).casefold()) == text


@lru_cache(maxsize=1)
def pvalid() -> Ranges:
    """The code points that RFC 5892 allows in every context."""
    letters = normalize(r for name in ("Ll", "Lu", "Lo", "Nd", "Lm", "Mn", "Mc") for r in property_ranges(name, None))
    out = normalize((_DISALLOWED + _CONTEXT + _IGNORABLE + _OLD_HANGUL))
    candidates = intersect(letters, negate(out))
    return normalize([*ranges_of(c for c in _codes(candidates) if _stable(c)), (45, 45),
                      *((c, c) for c in _EXTRA_PVALID)])


@lru_cache(maxsize=1)
def _sets() -> dict[str, Ranges]:
    """The classes the label grammar speaks of, all within PVALID."""
    allowed = pvalid()
    by_bidi: dict[str, list[int]] = {}
    named: dict[str, list[int]] = {"GREEK": [], "HEBREW": []}
    for code in _codes(allowed):
        text = chr(code)
        by_bidi.setdefault(unicodedata.bidirectional(text), []).append(code)
        if 0x370 <= code <= 0x3FF or 0x1F00 <= code <= 0x1FFF or 0x590 <= code <= 0x5FF:
            named.get(unicodedata.name(text, "").split(" ")[0], []).append(code)
    virama = [code for code in _codes(property_ranges("M", None)) if unicodedata.combining(chr(code)) == 9]
    sets = {name: ranges_of(codes) for name, codes in named.items()}
    sets["KANA"] = intersect(allowed, _KANA)
    sets["VIRAMA"] = intersect(allowed, ranges_of(virama))
    for name, classes in (("R", ("R", "AL")), ("AN", ("AN",)), ("EN", ("EN",)), ("L", ("L",)), ("NSM", ("NSM",)),
                          ("OTHER", ("ES", "CS", "ET", "ON", "BN", "NSM"))):
        sets[name] = ranges_of(c for bidi in classes for c in by_bidi.get(bidi, ()))
    sets["MARK"] = intersect(allowed, property_ranges("M", None))
    sets["LTR"] = intersect(allowed, negate(normalize(sets["R"] + sets["AN"])))
    joins: dict[str, set[str]] = {}
    for code in (*range(0xFB50, 0xFE00), *range(0xFE70, 0xFF00)):
        form = unicodedata.decomposition(chr(code)).split()
        if len(form) == 2:
            joins.setdefault(form[1], set()).add(form[0])
    dual = [int(base, 16) for base, forms in joins.items() if "<medial>" in forms]
    sets["DUAL"] = intersect(allowed, ranges_of(dual))
    sets["RIGHT"] = intersect(allowed, ranges_of(int(base, 16) for base, forms in joins.items() if "<final>" in forms))
    return sets


def _one(code: int) -> Ranges:
    return ((code, code),)


def _many(node: Node) -> Node:
    return Repeat(node, 0, None)


def _labels(first: Ranges, inner: Ranges, last: Ranges, contexts: "list[Node]", opening: "list[Node]") -> Node:
    """Labels by the classes of their first, inner and last code points; no two hyphens in a row.

    `contexts` are the units of several code points, `opening` those of them that may begin a label.
    """
    s = _sets()
    hyphen = parse_ecma("-")
    plain = intersect(inner, negate(_one(45)))
    unit = Alt([chars(plain), *contexts])
    ends = [Cat((chars(intersect(last, plain)), _many(chars(s["NSM"])))), *contexts]
    more = Cat((_many(Cat((Repeat(hyphen, 0, 1), unit))), Repeat(hyphen, 0, 1), Alt(ends)))
    begin = Cat((chars(intersect(first, negate(s["MARK"]))), _many(chars(s["NSM"]))))
    return Cat((Alt([begin, *opening]), Repeat(more, 0, 1)))


def _dotted(label: Node) -> Node:
    """Labels with dots between them, with a single copy of `label`."""
    start = Alt((BEGIN, parse_ecma(_DOTS)))
    return Cat((parse_ecma(f"(?!{_DOTS})"), Repeat(Cat((start, label)), 1, None)))


def idn_hostname() -> Node:
    """The syntax tree of the format, label lengths aside."""
    s = _sets()
    ascii_label = parse_ecma(host_label(None))
    middle_dots = parse_ecma(r"l(?:\u{B7}l)+")
    joiner = Cat((chars(s["VIRAMA"]), parse_ecma(r"[\u200C\u200D]")))
    keraia = Cat((parse_ecma(r"\u{375}"), chars(s["GREEK"])))
    points = parse_ecma(r"[\u{5F3}\u{5F4}]+")
    geresh = [Cat((chars(base), points)) for base in (s["HEBREW"], intersect(s["HEBREW"], s["R"]))]
    join = Cat((chars(s["DUAL"]), _many(chars(s["NSM"])), parse_ecma(r"\u200C"), _many(chars(s["NSM"])),
                chars(s["RIGHT"])))
    marks = _many(chars(s["NSM"]))
    joined = [Cat((chars(base), marks, joiner)) for base in (s["L"], intersect(s["L"], negate(s["MARK"])))]
    plain = intersect(s["LTR"], negate(_one(45)))
    left = _labels(plain, plain, plain, [middle_dots, keraia, joined[0]], [middle_dots, keraia, joined[1]])
    # KATAKANA MIDDLE DOT: anywhere in a label with Hiragana, Katakana or Han.
    with_dot = normalize([*plain, (0x30FB, 0x30FB)])
    starts = intersect(with_dot, negate(s["MARK"]))
    kana = Cat((Repeat(Cat((chars(starts), _many(chars(with_dot)))), 0, 1), chars(s["KANA"]), _many(chars(with_dot))))
    free = Alt((ascii_label, left, kana))
    right = []
    for digits in (s["EN"], s["AN"]):
        inner = normalize([*s["R"], *digits, *s["OTHER"]])
        right.append(_labels(s["R"], inner, normalize([*s["R"], *digits]), [geresh[0], join],
                             [geresh[1], join]))
    strict = _labels(s["L"], intersect(s["LTR"], normalize([*s["L"], *s["EN"], *s["OTHER"]])),
                     normalize([*s["L"], *s["EN"]]), [middle_dots, keraia, joined[0]], [middle_dots, joined[1]])
    lettered = Cat((parse_ecma("(?![0-9])"), ascii_label))
    bidi = Alt((*right, strict, lettered))
    return Alt((_dotted(free), _dotted(bidi)))


def idn_lengths() -> Node:
    """Labels of at most 63 code points if ASCII, else at most 58: ``xn--`` and a digit or more for each."""
    ascii_label = parse_ecma(r"[\0-\-/-\x7F]{1,63}")
    any_label = Repeat(chars(intersect(ALL, negate(((0x2E, 0x2E), (0x3002, 0x3002), (0xFF0E, 0xFF0E),
                                                    (0xFF61, 0xFF61))))), 1, 58)
    label = Alt((ascii_label, any_label))
    return Cat((label, _many(Cat((parse_ecma(_DOTS), label)))))


def idn_unnormalized() -> Node:
    """Strings that are not, or may not be, in Normalization Form C, among strings of allowed code points.

    A mark after one of a higher combining class, or a code point after a base that it composes with.
    """
    allowed = pvalid()
    by_class: dict[int, list[int]] = {}
    for code in _codes(intersect(allowed, property_ranges("M", None))):
        by_class.setdefault(unicodedata.combining(chr(code)), []).append(code)
    bases: dict[int, list[int]] = {}
    for code in _codes(negate(property_ranges("Cn", None))):
        parts = unicodedata.decomposition(chr(code)).split() if code < 0x20000 else []
        if len(parts) == 2 and parts[0][0] != "<" and unicodedata.normalize("NFC", chr(code)) == chr(code):
            bases.setdefault(int(parts[1], 16), []).append(int(parts[0], 16))
    classes = sorted(c for c in by_class if c)
    marks = _many(chars(ranges_of(code for c in classes for code in by_class[c])))
    bad: list[Node] = []
    for c in classes[:-1]:
        higher = ranges_of(code for d in classes if d > c for code in by_class[d])
        bad.append(Cat((chars(higher), chars(ranges_of(by_class[c])))))
    for second, firsts in bases.items():
        if intersect(allowed, _one(second)):
            bad.append(Cat((chars(ranges_of(firsts)), marks, chars(_one(second)))))
    return Cat((_many(ANY), Alt(bad), _many(ANY)))
