"""Questions about string languages that the lowering asks.

Cheap certificates come first: what a pattern's syntax tree says about the
lengths of its matches settles nearly every question about ``pattern`` beside
``minLength``/``maxLength``.  Without one the exact automata answer, within
their deterministic fuel.  Answers are cached by language: they depend on
nothing else.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Iterator, NamedTuple, Optional

from ...errors import LimitError
from ...grammar.strings import Atom, Conj, Length, Literals, Pattern, StrLang
from ..regex import parse_ecma
from ..regex.ast import Alt, Begin, Cat, Chars, End, Node, Repeat

__all__ = ["check_pattern", "matches", "contains", "conj_nonempty", "refine", "count_words", "words", "disjoint",
           "is_infinite",
           "MANY_WORDS"]

_UNBOUNDED = 1 << 60


def _automata(fuel: int = 2_000_000):
    """A lexer for one question: its fuel is counted over its lifetime."""
    from ...automata.lexer import Lexer
    return Lexer(max_search=fuel)


# -- what a pattern's text says -----------------------------------------------------------

class _Lengths(NamedTuple):
    """Lengths of the words of a language: `lo` is one, all are in lo..hi, without gaps if `full`."""

    lo: int
    hi: int
    full: bool


@lru_cache(maxsize=8192)
def check_pattern(source: str) -> Node:
    """The syntax tree of an ECMA pattern; RegexError when it has none."""
    return parse_ecma(source)


class _Unknown(Exception):
    pass


def _lengths(node: Node) -> _Lengths:
    if isinstance(node, Chars):
        if not node.ranges:
            raise _Unknown
        return _Lengths(1, 1, True)
    if isinstance(node, Cat):
        parts = [_lengths(item) for item in node.items]
        lo, hi = sum(p.lo for p in parts), sum(p.hi for p in parts)
        full = all(p.full for p in parts) or any(p.full and p.hi >= _UNBOUNDED for p in parts)
        return _Lengths(lo, min(hi, _UNBOUNDED), full)
    if isinstance(node, Alt):
        parts = sorted(_lengths(item) for item in node.items)
        lo, hi, full = parts[0]
        for p in parts[1:]:
            full = full and (p.hi <= hi or p.full and p.lo <= hi + 1)
            hi = max(hi, p.hi)
        return _Lengths(lo, hi, full)
    if isinstance(node, Repeat):
        if node.hi == 0:
            return _Lengths(0, 0, True)
        item = _lengths(node.item)
        lo = item.lo * node.lo
        hi = _UNBOUNDED if node.hi is None and item.hi else min(item.hi * (node.hi or 0), _UNBOUNDED)
        # k and k+1 repeats leave no gap when k * item.hi + 1 >= (k + 1) * item.lo, first of all for the least k
        full = item.full and (node.lo * item.hi + 1 >= (node.lo + 1) * item.lo or node.hi == node.lo)
        return _Lengths(lo, hi, full)
    raise _Unknown


def _whole(node: Node) -> _Lengths:
    """Lengths of the strings in which `node`, a whole pattern, is found."""
    if isinstance(node, Alt):
        parts = sorted(_whole(item) for item in node.items)
        lo, hi, full = parts[0]
        for p in parts[1:]:
            full = full and (p.hi <= hi or p.full and p.lo <= hi + 1)
            hi = max(hi, p.hi)
        return _Lengths(lo, hi, full)
    items = list(node.items) if isinstance(node, Cat) else [node]
    begin = bool(items) and isinstance(items[0], Begin)
    end = len(items) > begin and isinstance(items[-1], End)
    body = _lengths(Cat(tuple(items[begin:len(items) - end])))
    return body if begin and end else _Lengths(body.lo, _UNBOUNDED, True)


@lru_cache(maxsize=8192)
def _profile(pattern: Pattern) -> Optional[_Lengths]:
    """Certificate about a pattern's lengths (so it has a match); None: unknown."""
    if type(pattern) is not Pattern or pattern.kind != "ecma":
        return None
    try:
        return _whole(check_pattern(pattern.source))
    except _Unknown:
        return None


def is_infinite(atom: Atom) -> bool:
    """Certificate that infinitely many strings match (False: unknown)."""
    if type(atom) is not Pattern:
        return False
    profile = _profile(atom)
    return profile is not None and profile.hi >= _UNBOUNDED


#: words of any length beyond the shortest, by format: what comes before, the filler, what comes after
_SAMPLES = {
    "uri": ("a:", "a", ""), "iri": ("a:", "a", ""), "json-pointer": ("/", "a", ""), "email": ("a@", "b", ""),
    "idn-email": ("a@", "b", ""), "date-time": ("2000-01-01T00:00:00.0", "0", "Z"), "time": ("00:00:00.0", "0", "Z"),
    "duration": ("P1", "0", "D"), "relative-json-pointer": ("0/", "a", ""),
}


def _sample(pattern: Pattern, length: Length) -> bool:
    """Certificate by example that a format has a word of some length."""
    before, filler, after = _SAMPLES.get(pattern.source, ("", "a", ""))
    word = before + filler * max(0, length.lo - len(before) - len(after)) + after
    return (length.hi is None or len(word) <= length.hi) and len(word) <= 10_000 and matches(pattern, word)


# -- membership -----------------------------------------------------------------------------

@lru_cache(maxsize=16384)
def matches(atom: Atom, word: str) -> bool:
    """Whether one atom holds of `word`."""
    if type(atom) is Literals:
        return word in atom.words
    if type(atom) is Length:
        return atom.lo <= len(word) and (atom.hi is None or len(word) <= atom.hi)
    if atom.kind == "ecma":
        literal = _literal(atom.source)
        if literal is not None:
            start, text, end = literal
            return (word == text if start and end else word.startswith(text) if start
                    else word.endswith(text) if end else text in word)
    return _automata().contains((((atom, True),),), word)


@lru_cache(maxsize=4096)
def _literal(source: str) -> Optional[tuple[bool, str, bool]]:
    """A pattern that is plain text with optional anchors, as (anchored, text, anchored)."""
    start = source.startswith("^")
    end = source.endswith("$")
    text = source[start:len(source) - end] if len(source) > start else ""
    return (start, text, end) if not set(text) & set("\\^$.*+?()[]{}|") else None


def contains(lang: StrLang, word: str) -> bool:
    """Whether `word` is in the language."""
    return any(all(matches(atom, word) == positive for atom, positive in conj) for conj in lang)


def _finite(conj: Conj) -> Optional[Literals]:
    for atom, positive in conj:
        if positive and type(atom) is Literals:
            return atom
    return None


# -- emptiness ------------------------------------------------------------------------------

def conj_nonempty(conj: Conj, fuel: int = 2_000_000) -> bool:
    """Whether one conjunction has a word; LimitError when `fuel` steps do not tell."""
    if not conj:
        return True
    if len(conj) == 1:
        atom, positive = conj[0]
        if type(atom) is not Pattern:
            return positive or type(atom) is Literals or atom.lo > 0 or atom.hi is not None
        if positive and (atom.kind == "format" or _profile(atom) is not None):
            return True
    elif len(conj) == 2 and conj[0][1] and conj[1][1]:
        (a, _), (b, _) = conj
        if type(a) is Length:
            a, b = b, a
        if type(b) is Length and type(a) is Pattern:
            profile = _profile(a)
            if a.kind == "format" and _sample(a, b):
                return True
            if profile is not None:
                lo, hi = max(profile.lo, b.lo), profile.hi if b.hi is None else min(profile.hi, b.hi)
                if lo > hi:
                    return False
                if profile.full or lo == profile.lo:
                    return True
    if any(not positive and type(atom) is Literals for atom, positive in conj):
        # all but finitely many of infinitely many
        rest = [(atom, positive) for atom, positive in conj if positive or type(atom) is not Literals]
        if not rest or len(rest) == 1 and rest[0][1] and (
                is_infinite(rest[0][0]) or type(rest[0][0]) is Length and rest[0][0].hi is None):
            return True
    return _conj_nonempty(conj, fuel)


@lru_cache(maxsize=8192)
def _conj_nonempty(conj: Conj, fuel: int) -> bool:
    finite = _finite(conj)
    if finite is not None:
        return any(all(matches(a, w) == p for a, p in conj) for w in finite.words)
    return _automata(fuel).add_text((conj,)) >= 0


def refine(lang: StrLang) -> StrLang:
    """The same language without empty conjunctions, finite ones spelled out."""
    if len(lang) == 1:
        conj = lang[0]
        if not conj or len(conj) == 1 and type(conj[0][0]) is not Pattern and conj[0][1]:
            return lang
    return _refine(lang)


@lru_cache(maxsize=8192)
def _refine(lang: StrLang) -> StrLang:
    out: dict[Conj, None] = {}
    found: set[str] = set()
    for conj in lang:
        finite = _finite(conj)
        if finite is not None:
            found.update(w for w in finite.words if all(matches(a, w) == p for a, p in conj))
        elif conj_nonempty(conj):
            out[conj] = None
    rest = tuple(out)
    if found and rest:
        found = {w for w in found if not contains(rest, w)}
    if found:
        rest = (((Literals(tuple(sorted(found))), True),),) + rest
    return rest


@lru_cache(maxsize=8192)
def disjoint(a: StrLang, b: StrLang) -> bool:
    """Whether it is certain that no string is in both."""
    for x in a:
        for y in b:
            fx, fy = _finite(x), _finite(y)
            if fx is not None or fy is not None:
                if any(contains((x,), w) and contains((y,), w) for w in (fx or fy).words):
                    return False
                continue
            try:
                if conj_nonempty(tuple(dict.fromkeys(x + y)), 100_000):
                    return False
            except LimitError:
                return False
    return True


# -- finite languages -----------------------------------------------------------------------

#: automaton states looked at when counting words
_COUNT_STATES = 4000
#: more words than this are as good as infinitely many
MANY_WORDS = 1_000_000


def _at_least(node: Node) -> int:
    """A lower bound on the number of words; no conditions may be in `node`.

    In a concatenation the words of one part, with the others held fixed, give
    different results, so the largest part is a bound.
    """
    if isinstance(node, Chars):
        return sum(hi - lo + 1 for lo, hi in node.ranges)
    if isinstance(node, (Cat, Alt)):
        return max((_at_least(item) for item in node.items), default=1)
    if isinstance(node, Repeat):
        if isinstance(node.item, Chars):
            return min(_at_least(node.item), MANY_WORDS) ** min(node.hi or 0, 40) if node.hi != 0 else 1
        return _at_least(node.item) if node.hi != 0 else 1
    return 1


@lru_cache(maxsize=4096)
def count_words(lang: StrLang) -> Optional[int]:
    """The number of words, None when there are infinitely (or very) many."""
    if not lang:
        return 0
    if len(lang) == 1 and len(lang[0]) == 1 and lang[0][0][1] and _profile(lang[0][0][0]) is not None:
        atom = lang[0][0][0]
        if is_infinite(atom) or _at_least(check_pattern(atom.source)) > MANY_WORDS:
            return None
    lexer = _automata()
    start = lexer.add_text(lang)
    if start < 0:
        return 0
    counts: dict[int, int] = {}
    path: dict[int, Iterator[tuple[int, int]]] = {start: lexer.successors(start)}
    came: dict[int, int] = {}           # by how many bytes the path goes on to a state
    totals = {start: int(lexer.label(start) >= 0)}
    while path:
        q = next(reversed(path))
        for t, n in path[q]:
            if t in path:
                return None          # a cycle of live states
            if t in counts:
                totals[q] += n * counts[t]
                continue
            if len(totals) > _COUNT_STATES:
                return None
            path[t], came[t] = lexer.successors(t), n
            totals[t] = int(lexer.label(t) >= 0)
            break
        else:
            del path[q]
            counts[q] = totals[q]
            if path:
                totals[next(reversed(path))] += came[q] * counts[q]
    return counts[start] if counts[start] <= MANY_WORDS else None


@lru_cache(maxsize=1024)
def words(lang: StrLang) -> tuple[str, ...]:
    """All words of a finite language, sorted."""
    out: list[str] = []
    lexer = _automata()
    start = lexer.add_text(lang)
    stack = [(start, b"")] if start >= 0 else []
    while stack:
        q, text = stack.pop()
        if lexer.label(q) >= 0:
            out.append(text.decode())
        for b in range(256):
            t = lexer.step(q, b)
            if t >= 0:
                stack.append((t, text + bytes((b,))))
    return tuple(sorted(out))
