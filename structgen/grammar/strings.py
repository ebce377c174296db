"""String languages as Boolean combinations of atoms.

A ``StrLang`` is a disjunction of conjunctions of (atom, polarity) pairs over
*decoded* strings (sequences of Unicode scalar values, before any JSON
escaping).  ``ANY_STRING`` is one empty conjunction, ``NO_STRING`` none.  The
form is symbolic: nothing is determinised here.  Atoms are hashable and cheap;
the automata behind them are built on first use and cached by atom.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Union

__all__ = ["Expr", "Pattern", "Literals", "Length", "Atom", "Conj", "StrLang", "ANY_STRING", "NO_STRING",
           "atom_lang", "literal_lang", "intersect", "union", "complement"]


class Expr(NamedTuple):
    """A regular expression over languages: what concatenation and repetition are made of.

    `op` is ``"cat"`` (`parts` one after another), ``"alt"`` (one of `parts`),
    ``"repeat"`` (the one part, `lo` to `hi` times; None: no upper bound) or
    ``"substring"`` (any run of consecutive `symbols`).  Each part is a language
    of whole strings: what it says about its ends holds at its own.
    """

    op: str
    parts: "tuple[StrLang, ...]" = ()
    lo: int = 0
    hi: Optional[int] = None
    symbols: tuple[str, ...] = ()


class Pattern(NamedTuple):
    """A regular language given by source text.

    `kind` is ``"ecma"`` (JSON Schema ``pattern``: ECMA-262 ``u`` reading,
    unanchored search), ``"python"`` (``re`` syntax, full match), ``"format"``
    (`source` is a format name) or ``"regular"`` (`source` is an :class:`Expr`).
    """

    kind: str
    source: Union[str, Expr]

    @property
    def shown(self) -> str:
        """The source for messages, shortened."""
        text = self.source if isinstance(self.source, str) else f"({self.source.op} of {len(self.source.parts)} parts)"
        return repr(text if len(text) <= 80 else text[:77] + "...")


class Literals(NamedTuple):
    """A finite set of strings, sorted by code point, without duplicates."""

    words: tuple[str, ...]


class Length(NamedTuple):
    """Strings of `lo` to `hi` code points (`hi` None: no upper bound)."""

    lo: int
    hi: Optional[int]


Atom = Union[Pattern, Literals, Length]
Conj = tuple[tuple[Atom, bool], ...]
StrLang = tuple[Conj, ...]
ANY_STRING: StrLang = ((),)
NO_STRING: StrLang = ()


def atom_lang(atom: Atom, positive: bool = True) -> StrLang:
    """The language of one atom, or of its complement."""
    return (((atom, positive),),)


def literal_lang(words) -> StrLang:
    """The finite language of `words`."""
    words = tuple(sorted(set(words)))
    return (((Literals(words), True),),) if words else NO_STRING


def _merge(a: Conj, b: Conj) -> Conj | None:
    """The conjunction of two conjunctions; None when it is plainly empty."""
    if not a:
        return b
    if not b:
        return a
    out = dict(a)
    for atom, positive in b:
        if out.setdefault(atom, positive) != positive:
            return None
    lo, hi, words, rest = 0, None, None, []
    for atom, positive in out.items():
        if positive and isinstance(atom, Length):
            lo = max(lo, atom.lo)
            if atom.hi is not None:
                hi = atom.hi if hi is None else min(hi, atom.hi)
        elif positive and isinstance(atom, Literals):
            words = set(atom.words) if words is None else words & set(atom.words)
        else:
            rest.append((atom, positive))
    if hi is not None and lo > hi:
        return None
    if words is not None:
        words = tuple(sorted(w for w in words if lo <= len(w) and (hi is None or len(w) <= hi)))
        if not words:
            return None
        rest.append((Literals(words), True))
    elif lo > 0 or hi is not None:
        rest.append((Length(lo, hi), True))
    return tuple(rest)


def intersect(a: StrLang, b: StrLang) -> StrLang:
    """The intersection, by distributing conjunctions."""
    if a == ANY_STRING or a is b:
        return b
    if b == ANY_STRING:
        return a
    out: dict[Conj, None] = {}
    for x in a:
        for y in b:
            conj = _merge(x, y)
            if conj is not None:
                out[conj] = None
    return tuple(out)


def union(a: StrLang, b: StrLang) -> StrLang:
    """The union; universal as soon as one side is."""
    if a == ANY_STRING or b == ANY_STRING:
        return ANY_STRING
    return tuple(dict.fromkeys(a + b))


def complement(a: StrLang) -> StrLang:
    """The complement, by De Morgan and distribution."""
    out: StrLang = ANY_STRING
    for conj in a:
        out = intersect(out, tuple(other for atom, positive in conj for other in _opposites(atom, positive)))
    return out


def _opposites(atom: Atom, positive: bool) -> list[Conj]:
    """What an atom of that polarity leaves out; lengths are kept positive, since those merge."""
    if positive and isinstance(atom, Length):
        ranges = [Length(0, atom.lo - 1)] if atom.lo else []
        ranges += [Length(atom.hi + 1, None)] if atom.hi is not None else []
        return [((length, True),) for length in ranges]
    return [((atom, not positive),)]
