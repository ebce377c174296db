"""Strings, the slow way: naive simulation of atoms over decoded UTF-8 bytes.

A *decoded machine* reads the UTF-8 bytes of the decoded string; its states are
plain tuples.  What the raw JSON text may spell next is asked of two functions
on the raw bytes since the last finished character: :func:`decoded` (which code
point they spell) and :func:`possible` (which code points they may still
become).  No table survives a machine, nothing is minimised; costs are
whatever they are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Callable, Hashable, Iterator, Optional

from ..automata.nfa import atom_nfa
from ..errors import LimitError
from ..grammar.strings import Conj, Length, Literals

__all__ = ["Machine", "ConjMachine", "decoded", "possible", "split_utf8", "Nfa"]

MAX_CP = 0x10FFFF
FUEL = 200_000
SHORT = {ord("b"): 8, ord("f"): 12, ord("n"): 10, ord("r"): 13, ord("t"): 9,
         ord('"'): ord('"'), ord("\\"): ord("\\"), ord("/"): ord("/")}
HEX = frozenset(b"0123456789abcdefABCDEF")
#: The one escaped spelling of each code point that needs one, for escapes="minimal".
MINIMAL = {bytes([0x5C, c]): cp for c, cp in SHORT.items() if c != ord("/")}
MINIMAL.update({b"\\u%04x" % cp: cp for cp in range(0x20) if cp not in MINIMAL.values()})


def _scalars(lo: int, hi: int) -> list[tuple[int, int]]:
    """[lo, hi] without the surrogates."""
    parts = [(lo, min(hi, 0xD7FF)), (max(lo, 0xE000), hi)]
    return [(a, b) for a, b in parts if a <= b]


def _utf8_range(raw: bytes) -> Optional[tuple[int, int, int]]:
    """(lo, hi, length) of the code points whose UTF-8 starts with `raw`, None if there are none."""
    b = raw[0]
    if b < 0x80:
        n, lo, least = 1, b, 0
    elif 0xC2 <= b < 0xE0:
        n, lo, least = 2, b & 0x1F, 0x80
    elif 0xE0 <= b < 0xF0:
        n, lo, least = 3, b & 0x0F, 0x800
    elif 0xF0 <= b < 0xF5:
        n, lo, least = 4, b & 0x07, 0x10000
    else:
        return None
    if len(raw) > n or any(c & 0xC0 != 0x80 for c in raw[1:]):
        return None
    for c in raw[1:]:
        lo = lo << 6 | c & 0x3F
    rest = 6 * (n - len(raw))
    hi = (lo << rest) | (1 << rest) - 1
    lo, hi = max(lo << rest, least), min(hi, MAX_CP)
    return (lo, hi, n) if lo <= hi and _scalars(lo, hi) else None


def possible(raw: bytes, escapes: Optional[str]) -> list[tuple[int, int]]:
    """The code points of which `raw` (not empty) is the beginning of a spelling.

    `escapes` is "all" or "minimal" inside a JSON string, None in plain text.
    """
    if escapes is not None:
        if raw[0] == 0x5C:
            return _possible_escape(raw, escapes)
        if raw[0] < 0x20 or raw[0] == 0x22:
            return []
    found = _utf8_range(raw)
    return _scalars(found[0], found[1]) if found else []


def _possible_escape(raw: bytes, escapes: str) -> list[tuple[int, int]]:
    if escapes == "minimal":
        return [(cp, cp) for text, cp in MINIMAL.items() if text.startswith(raw)]
    rest = raw[1:]
    if not rest:
        return _scalars(0, MAX_CP)
    if rest[0] != ord("u"):
        return [(SHORT[rest[0]],) * 2] if len(rest) == 1 and rest[0] in SHORT else []
    first, second = rest[1:5], rest[5:]
    if any(c not in HEX for c in first):
        return []
    open_bits = 4 * (4 - len(first))
    lo = int(first or b"0", 16) << open_bits
    hi = lo | (1 << open_bits) - 1
    if not second:
        out = _scalars(lo, hi)
        a, b = max(lo, 0xD800), min(hi, 0xDBFF)
        if a <= b:
            out.append((0x10000 + (a - 0xD800 << 10), 0x10000 + (b - 0xD800 << 10) + 0x3FF))
        return out
    if not 0xD800 <= lo <= 0xDBFF or not b"\\u".startswith(second[:2]):
        return []
    low = second[2:]
    if len(low) > 4 or any(c not in HEX for c in low):
        return []
    open_bits = 4 * (4 - len(low))
    a = int(low or b"0", 16) << open_bits
    a, b = max(a, 0xDC00), min(a | (1 << open_bits) - 1, 0xDFFF)
    base = 0x10000 + (lo - 0xD800 << 10)
    return [(base + a - 0xDC00, base + b - 0xDC00)] if a <= b else []


def decoded(raw: bytes) -> Optional[int]:
    """The code point that `raw` spells in full, None while it is unfinished.

    Call only where :func:`possible` is not empty.
    """
    if raw[0] != 0x5C:
        lo, hi, n = _utf8_range(raw)
        return lo if len(raw) == n else None
    return _decoded_escape(raw)


def _decoded_escape(raw: bytes) -> Optional[int]:
    if len(raw) == 1:
        return None
    if raw[1] != ord("u"):
        return SHORT[raw[1]]
    if len(raw) == 6:
        cp = int(raw[2:6], 16)
        return None if 0xD800 <= cp <= 0xDBFF else cp
    if len(raw) == 12:
        return 0x10000 + (int(raw[2:6], 16) - 0xD800 << 10) + int(raw[8:12], 16) - 0xDC00
    return None


@lru_cache(maxsize=4096)
def split_utf8(lo: int, hi: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """[lo, hi] (no surrogates) as sequences of byte ranges of its UTF-8.

    Examples
    --------
    >>> split_utf8(0x7E, 0x81)
    (((126, 127),), ((194, 194), (128, 129)))
    """
    return tuple(_split(lo, hi))


def _split(lo: int, hi: int) -> Iterator[tuple[tuple[int, int], ...]]:
    for top in (0x7F, 0x7FF, 0xFFFF):
        if lo <= top < hi:
            yield from _split(lo, top)
            yield from _split(top + 1, hi)
            return
    if hi < 0x80:
        yield ((lo, hi),)
        return
    for bits in (6, 12, 18):
        tail = (1 << bits) - 1
        if lo >> bits == hi >> bits:
            break
        if lo & tail:
            yield from _split(lo, lo | tail)
            yield from _split((lo | tail) + 1, hi)
            return
        if hi & tail != tail:
            yield from _split(lo, (hi >> bits << bits) - 1)
            yield from _split(hi >> bits << bits, hi)
            return
    yield tuple(zip(chr(lo).encode(), chr(hi).encode()))


class Nfa:
    """A byte NFA run state by state."""

    def __init__(self, nfa):
        self.edges: dict[int, list[tuple[int, int, int]]] = {}
        for s, d, lo, hi in zip(nfa.src.tolist(), nfa.dst.tolist(), nfa.lo.tolist(), nfa.hi.tolist()):
            self.edges.setdefault(s, []).append((lo, hi, d))
        self.start = frozenset(int(s) for s in nfa.start)
        self.final = frozenset(i for i, a in enumerate(nfa.accept) if a)
        self._memo: dict = {}

    def step(self, states: frozenset, b: int) -> frozenset:
        key = (states, b)
        out = self._memo.get(key)
        if out is None:
            out = self._memo[key] = frozenset(d for s in states for lo, hi, d in self.edges.get(s, ())
                                              if lo <= b <= hi)
        return out

    def accepts(self, states: frozenset) -> bool:
        return not states.isdisjoint(self.final)


@lru_cache(maxsize=4096)
def _nfa(atom) -> Nfa:
    return Nfa(atom_nfa(atom))


class _Atom:
    """One atom as a machine over decoded UTF-8 bytes; None is the dead state."""

    def __init__(self, atom):
        self.atom = atom
        if isinstance(atom, Literals):
            self.words = frozenset(w.encode("utf-8", "surrogatepass") for w in atom.words)
            self.prefixes = frozenset(w[:k] for w in self.words for k in range(len(w) + 1))
            self.start = b""
        elif isinstance(atom, Length):
            self.start = 0
        else:
            self.nfa = _nfa(atom)
            self.start = self.nfa.start

    def step(self, state, b: int):
        if state is None:
            return None
        if isinstance(self.atom, Literals):
            state = state + bytes([b])
            return state if state in self.prefixes else None
        if isinstance(self.atom, Length):
            if b & 0xC0 == 0x80:      # not the first byte of a character
                return state
            if self.atom.hi is None:
                return min(state + 1, self.atom.lo)
            return state + 1 if state < self.atom.hi else None
        return self.nfa.step(state, b) or None

    def accepts(self, state) -> bool:
        if state is None:
            return False
        if isinstance(self.atom, Literals):
            return state in self.words
        if isinstance(self.atom, Length):
            return state >= self.atom.lo
        return self.nfa.accepts(state)


class Machine:
    """A decoded machine: `start`, :meth:`step` (None when hopeless) and :meth:`accepts`.

    :meth:`live` says exactly whether some continuation is accepted, by search.
    """

    start: Hashable

    def __init__(self) -> None:
        self._live: dict[Hashable, bool] = {}

    def step(self, state, b: int):
        raise NotImplementedError

    def accepts(self, state) -> bool:
        raise NotImplementedError

    def feed(self, state, cp: int):
        """The state after one code point."""
        for b in chr(cp).encode():
            if state is None:
                return None
            state = self.step(state, b)
        return state

    def images(self, state, ranges) -> Iterator:
        """Every state that one code point of `ranges` leads to, as it is found (perhaps twice)."""
        for lo, hi in ranges:
            for sequence in split_utf8(lo, hi):
                states = {state}
                for a, b in sequence:
                    states = {t for s in states for c in range(a, b + 1)
                              if (t := self.step(s, c)) is not None}
                yield from states

    def live(self, state) -> bool:
        """Can `state`, between characters, still be accepted?"""
        if state is None:
            return False
        known = self._live.get(state)
        if known is not None:
            return known
        seen, todo = {state}, [state]
        found = False
        while todo and not found:
            s = todo.pop()
            if self.accepts(s) or self._live.get(s):
                found = True
                break
            if self._live.get(s) is False:
                continue
            for t in self.images(s, _scalars(0, MAX_CP)):
                if t not in seen:
                    seen.add(t)
                    todo.append(t)
            if len(seen) > FUEL:
                raise LimitError("string liveness needs too many states", place="reference strings", limit=FUEL)
        if found:
            self._live[state] = True
        else:
            self._live.update(dict.fromkeys(seen, False))
        return found

    def live_within(self, state, raw: bytes, escapes: Optional[str]) -> bool:
        """Can `state` with the unfinished character `raw` still be accepted?"""
        if not raw:
            return self.live(state)
        ranges = possible(raw, escapes)
        return bool(ranges) and any(self.live(t) for t in self.images(state, ranges))


class ConjMachine(Machine):
    """A conjunction of atoms and negated atoms; a state is the tuple of theirs."""

    def __init__(self, conj: Conj):
        super().__init__()
        self.atoms = [(_Atom(atom), positive) for atom, positive in conj]
        self.start = tuple(a.start for a, _ in self.atoms)

    def step(self, state, b: int):
        out = tuple(a.step(s, b) for (a, _), s in zip(self.atoms, state))
        if any(s is None and positive for (_, positive), s in zip(self.atoms, out)):
            return None
        return out

    def accepts(self, state) -> bool:
        return all(a.accepts(s) == positive for (a, positive), s in zip(self.atoms, state))


class KeyMachine(Machine):
    """An object's next key: special words are spelled out, the rest by its atoms.

    A state is (the text read while it begins a special word, else None; the
    states of the atoms).  `verdict(word, bits)` says whether the key may end:
    `word` is the decoded key if it is one of `words`, else None.
    """

    def __init__(self, words: frozenset[bytes], atoms, verdict: Callable[[Optional[bytes], int], bool]):
        super().__init__()
        self.words = words
        self.prefixes = frozenset(w[:k] for w in words for k in range(len(w) + 1))
        self.atoms = [_Atom(a) for a in atoms]
        self.verdict = verdict
        self.start = (b"" if words else None, tuple(a.start for a in self.atoms))

    def step(self, state, b: int):
        word, states = state
        if word is not None:
            word = word + bytes([b])
            if word not in self.prefixes:
                word = None
        return word, tuple(a.step(s, b) for a, s in zip(self.atoms, states))

    def bits(self, state) -> int:
        """Which atoms match the key that ends here."""
        return sum(1 << i for i, (a, s) in enumerate(zip(self.atoms, state[1])) if a.accepts(s))

    def accepts(self, state) -> bool:
        word = state[0]
        return self.verdict(word if word in self.words else None, self.bits(state))
