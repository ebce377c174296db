"""Matchers of languages with indentation.

What a line end does depends on the column of the next line, so the pieces that
masks are made of (``cfg_pieces``) stop at it.  The tokens that go on behind a
line end, a few hundred of 128,000 while none has begun, are found by a walk of
the trie with the threads themselves (`cfg_threads.cross`), and added to the row once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..automata import cfg_kernels as ck
from ..automata import cfg_layout as cl
from ..automata.cfg_arena import MAX_SEARCH, CfgArena
from ..automata.cfg_search import completable
from .cfg_matcher import CfgMatcher
from .matcher import Matcher

if TYPE_CHECKING:
    from .compiled import Compiled

__all__ = ["LinesMatcher"]


class LinesMatcher(CfgMatcher):
    """Position in a grammar whose blocks are made by indentation; see `Matcher`."""

    __slots__ = ()

    def __init__(self, compiled: "Compiled", max_tokens: "int | None" = None):
        super().__init__(compiled, max_tokens)
        self._simple = False

    def fill_bitmask(self, bitmask: Any, row: int = 0) -> None:
        """Write the mask of the next token into ``bitmask[row]``; see `Matcher.fill_bitmask`."""
        with self._arena.lock:
            known = self._node[0] in _crossing_of(self._arena).done
        if known:
            super().fill_bitmask(bitmask, row)
        else:
            Matcher.fill_bitmask(self, bitmask, row)

    def _run(self, kernel: Any, *args: int) -> int:
        with self._arena.lock:
            known = self._node[0] in _crossing_of(self._arena).done
        if not known:
            self._operate(ck.O_ROW)
        with self._arena.lock:
            _crossing_of(self._arena).add(self._node[0])
            return ck.cfg_fill(self._address, self._node[0], *args)


class _Crossing:
    """Tokens that go on behind a line end, for the states of one arena."""

    def __init__(self, arena: CfgArena):
        self.arena = arena
        self.done: set[int] = set()
        self._alive: dict[int, bool] = {}
        trie = arena.tables.trie
        self._first, self._tokens = trie.first, trie.dfs_tokens
        nodes = np.asarray(trie.nodes)
        size = nodes >> 24 & 0xFFFFFF
        hit = (nodes & 255 == 0x0A) & (size > 1)
        hit[0] = False
        total = np.concatenate([[0], np.cumsum(hit)])
        at = np.arange(len(nodes))
        # does the node lead to a line feed with something behind it?
        marks = total[np.minimum(at + size, len(nodes))] - total[at] > 0
        arena._hold(cl.MARKS, marks.astype(np.uint8))
        self._is_line = arena._held[cl.IS_LINE]

    def add(self, state: int) -> None:
        """Complete the row of a state."""
        if state in self.done:
            return
        arena = self.arena
        found = np.ascontiguousarray(self.tokens(state), np.int32)
        if found.size:
            arena.op(ck.O_MORE_TOKENS, state, int(found.ctypes.data), found.size)
        self.done.add(state)

    def _lives(self, thread: int) -> bool:
        """Can a thread be completed?"""
        found = self._alive.get(thread)
        if found is None:
            found = self._alive[thread] = completable(self.arena, thread, MAX_SEARCH)
        return found

    def tokens(self, state: int) -> np.ndarray:
        """Tokens with a line end that is not their last byte."""
        n = self.arena.op(ck.O_CROSS, state)
        found = self.arena._held[cl.S_CUT][:2 * n].reshape(-1, 2)            # of trie nodes and threads
        node, lex, context = found[:, 0].copy(), found[:, 1] >> 32, found[:, 1] & cl.LOW
        # without shadows and outside of line ends, whether a thread lives is a matter of its context
        plain = lex < cl.PAIR_BASE
        plain[plain] = self._is_line[lex[plain]] == 0
        met = np.zeros(int(self.arena.block[cl.N_CTX]), bool)
        met[context[plain]] = True
        for c in np.flatnonzero(met).tolist():
            met[c] = bool(self.arena.lines.alive(c))
        plain[plain] = met[context[plain]]
        good = np.zeros(len(self._first), bool)
        good[node[plain]] = True
        for i, t in set(zip(*found[~good[node]].T.tolist())) if n else ():
            if not good[i] and self._lives(t):
                good[i] = True
        nodes = np.flatnonzero(good)
        first, many = self._first[nodes], self._first[nodes + 1] - self._first[nodes]
        at = np.repeat(first - np.cumsum(many) + many, many) + np.arange(many.sum())
        return self._tokens[at]


def _crossing_of(arena: CfgArena) -> _Crossing:
    found = getattr(arena, "crossing", None)
    if found is None:
        found = arena.crossing = _Crossing(arena)
    return found
