"""Questions about string languages that the lowering asks.

Cheap certificates first (read off the atoms), exact automata only without one.
Answers are cached by language: they depend on nothing else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Optional

from ...grammar.strings import ANY_STRING, Atom, Conj, Length, Literals, Pattern, StrLang

__all__ = ["check_pattern", "matches", "contains", "conj_nonempty", "refine", "finite_words", "disjoint", "is_infinite"]

class _Automata:
    """The automata, imported when first needed."""

    def __getattr__(self, name):
        try:
            from ...automata import strings
        except ImportError:
            strings = _Stub
        return getattr(strings, name)


class _Stub:
    def contains(lang, word):
        return any(all((re.search(a.source, word) is not None if a.kind == "ecma" else True) == p if type(a) is Pattern
                       else matches(a, word) == p for a, p in conj) for conj in lang)
    def is_empty(lang):
        return False
    def words(lang, limit):
        return None
    def disjoint(a, b):
        return False


automata = _Automata()

#: an ECMA pattern without zero-width conditions except one ^ at the start and one $ at the end
_PLAIN = re.compile(r"\^?(?:[^\\^$()\[\]|]|\\[^bBkcpPxu0-9]|\[\^?[^\\\[\]]+\])*\$?\Z", re.S)
_LITERAL = re.compile(r"(\^?)([\w @/:,;<>=!#%&~`'\"-]*)(\$?)\Z")


@lru_cache(maxsize=8192)
def check_pattern(source: str) -> None:
    """Raise RegexError unless `source` is a regular expression we can read."""
    re.compile(source)


@lru_cache(maxsize=8192)
def matches(atom: Atom, word: str) -> bool:
    """Whether one atom holds of `word`."""
    if type(atom) is Literals:
        return word in atom.words
    if type(atom) is Length:
        return atom.lo <= len(word) and (atom.hi is None or len(word) <= atom.hi)
    if atom.kind == "ecma":
        literal = _LITERAL.match(atom.source)
        if literal is not None:
            start, text, end = literal.groups()
            return (word == text if start and end else word.startswith(text) if start
                    else word.endswith(text) if end else text in word)
        if atom.source in (".*", "^.*", "^.*$", ".*$", ".+", "^.+$") and not re.search("[\n\r\u2028\u2029]", word):
            return "+" not in atom.source or bool(word)
    return automata.contains((((atom, True),),), word)


def contains(lang: StrLang, word: str) -> bool:
    """Whether `word` is in the language."""
    return any(all(matches(atom, word) == positive for atom, positive in conj) for conj in lang)


def _plain(pattern: Pattern) -> bool:
    """Certificate that a pattern has a match: no condition in it can fail."""
    return pattern.kind == "ecma" and _PLAIN.match(pattern.source) is not None


@lru_cache(maxsize=8192)
def conj_nonempty(conj: Conj) -> bool:
    """Whether one conjunction has a word."""
    if not conj:
        return True
    if len(conj) == 1:
        atom, positive = conj[0]
        if positive:
            if type(atom) is not Pattern:
                return True
            if atom.kind == "format" or _plain(atom):
                return True
        elif type(atom) is not Pattern:
            return type(atom) is Literals or atom.lo > 0 or atom.hi is not None
    for atom, positive in conj:
        if positive and type(atom) is Literals:
            return any(all(matches(a, w) == p for a, p in conj) for w in atom.words)
    return not automata.is_empty((conj,))


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
    words: set[str] = set()
    for conj in lang:
        finite = next((atom for atom, positive in conj if positive and type(atom) is Literals), None)
        if finite is not None:
            words.update(w for w in finite.words if all(matches(a, w) == p for a, p in conj))
        elif conj_nonempty(conj):
            out[conj] = None
    rest = tuple(out)
    if words and rest:
        words = {w for w in words if not contains(rest, w)}
    if words:
        rest = (((Literals(tuple(sorted(words))), True),),) + rest
    return rest


def is_infinite(pattern: Pattern) -> bool:
    """Certificate that infinitely many strings match (False: unknown)."""
    source = pattern.source
    return (pattern.kind == "ecma" and _PLAIN.match(source) is not None
            and (not source.startswith("^") or not source.endswith("$") or source.endswith("\\$")))


@lru_cache(maxsize=4096)
def finite_words(lang: StrLang, limit: int) -> Optional[tuple[str, ...]]:
    """All words, sorted, if there are at most `limit`; else None."""
    if not lang:
        return ()
    words: set[str] = set()
    for conj in lang:
        if not any(positive and type(atom) is not Length or positive and type(atom) is Length and atom.hi is not None
                   for atom, positive in conj):
            # Only complements: what is excluded would have to be nearly everything.
            if all(positive or type(atom) is not Pattern for atom, positive in conj):
                return None
        finite = next((atom for atom, positive in conj if positive and type(atom) is Literals), None)
        if finite is None:
            found = automata.words((conj,), limit)
            if found is None:
                return None
            words.update(found)
        else:
            words.update(w for w in finite.words if all(matches(a, w) == p for a, p in conj))
    return tuple(sorted(words)) if len(words) <= limit else None


@lru_cache(maxsize=8192)
def disjoint(a: StrLang, b: StrLang) -> bool:
    """Whether no string is in both."""
    for x in a:
        for y in b:
            fx = next((atom for atom, positive in x if positive and type(atom) is Literals), None)
            fy = next((atom for atom, positive in y if positive and type(atom) is Literals), None)
            if fx is not None:
                if any(contains((x,), w) and contains((y,), w) for w in fx.words):
                    return False
            elif fy is not None:
                if any(contains((x,), w) and contains((y,), w) for w in fy.words):
                    return False
            elif not automata.disjoint((x,), (y,)):
                return False
    return True
