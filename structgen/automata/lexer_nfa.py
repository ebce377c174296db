"""NFAs laid out for the kernels, cached process-wide by atom.

A prepared NFA is one int32 array (offsets in its header): edges by source
state, byte classes, and for each state whether it accepts, whether it accepts
every continuation or goes on whatever comes, and (on demand) distances to
acceptance; then blocks of counted repeats (:mod:`.counted`).  It is immutable
once handed out, and shared by all lexers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple, Union

import numpy as np

from ..grammar.strings import Pattern
from . import lexer_kernels as K
from .counted import CountedNFA, counted_nfa
from .lexer_tables import RAW_STEPS, address
from .nfa import atom_nfa

__all__ = ["PatternUnion", "Prepared", "prepare"]

_MOST = 4096
_NO_BLOCKS = np.zeros((0, 7), np.int32)


class PatternUnion(NamedTuple):
    """The union of some patterns, as one automaton."""

    patterns: tuple[Pattern, ...]


class Prepared:
    """An NFA laid out for the kernels; `lb` is any lexer's block."""

    __slots__ = ("data", "address", "n", "total", "distances")

    def __init__(self, nfa, lb: int):
        start = np.ascontiguousarray(nfa.start, np.int32)
        src = np.ascontiguousarray(nfa.src, np.int32)
        dst = np.ascontiguousarray(nfa.dst, np.int32)
        lo = np.ascontiguousarray(nfa.lo, np.uint8)
        hi = np.ascontiguousarray(nfa.hi, np.uint8)
        accept = np.ascontiguousarray(nfa.accept, np.bool_)
        self.n = n = int(nfa.n)
        m = len(src)
        blocks = getattr(nfa, "blocks", _NO_BLOCKS)
        self.total = getattr(nfa, "total", n)
        # header, start states, offsets, edges, 5 ints a state, classes; then scratch; then blocks
        at = K.N_HEAD + len(start) + 6 * n + 2 * m + 1100
        self.data = np.zeros(at + K.X_WIDTH * len(blocks), np.int32)
        self.address = address(self.data)
        args = np.array([self.address, n, m, len(start), address(start), address(src), address(dst),
                         address(lo), address(hi), address(accept), address(RAW_STEPS)], np.int64)
        K.lx_call(lb, K.O_PREPARE, address(args), 0, 0)
        if len(blocks):
            self.data[at:].reshape(-1, K.X_WIDTH)[:, :7] = blocks
            self.data[int(self.data[K.N_INFO]) + 4 * nfa.ends] = 1
        self.data[K.N_BLOCKS], self.data[K.N_BLOCK] = len(blocks), at
        self.distances = False

    def spans(self) -> "set[tuple[int, int]]":
        """The ranges of bytes on edges."""
        at = int(self.data[K.N_EDGE])
        found = np.unique(self.data[at:at + 2 * int(self.data[K.N_E]):2]).tolist()
        return {(span & 0xFF, span >> 8) for span in found}

    def with_distances(self, lb: int) -> None:
        """Fill in the distances that products with lengths use."""
        if not self.distances:
            with _lock:               # another lexer may read them once they are there
                if not self.distances:
                    K.lx_call(lb, K.O_DISTANCES, self.address, 0, 0)
                    self.distances = True


class _Joined:
    """Several NFAs side by side."""

    def __init__(self, parts):
        base = np.cumsum([0] + [p.n for p in parts])
        self.n = int(base[-1])
        self.start, self.src, self.dst = (np.concatenate([getattr(p, f) + b for p, b in zip(parts, base)])
                                          for f in ("start", "src", "dst"))
        self.lo, self.hi, self.accept = (np.concatenate([getattr(p, f) for p in parts])
                                         for f in ("lo", "hi", "accept"))


_lock = threading.Lock()
_cache: "OrderedDict[tuple[Union[Pattern, PatternUnion], bool], Prepared]" = OrderedDict()


def prepare(atom: Union[Pattern, PatternUnion], lb: int, counted: bool = False) -> Prepared:
    """The prepared NFA of a pattern or a union of patterns; with `counted`, with blocks (they have no distances)."""
    key = (atom, counted)
    found = _cache.get(key)
    if found is None:
        if isinstance(atom, PatternUnion):
            nfa = _Joined([atom_nfa(p) for p in atom.patterns])
        else:
            nfa = counted_nfa(atom) if counted else atom_nfa(atom)
        if counted and not isinstance(nfa, CountedNFA):
            return prepare(atom, lb)
        made = Prepared(nfa, lb)
        with _lock:
            found = _cache.setdefault(key, made)
            if len(_cache) > _MOST:
                _cache.popitem(last=False)
    return found
