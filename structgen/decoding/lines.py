"""Matchers of languages with indentation.

What a line end does depends on the column of the next line, so the pieces that
masks are made of (``cfg_pieces``) stop at it.  The tokens that go on behind a
line end, a few hundred of 128,000 while none has begun, are found by a walk of
the trie with the threads themselves, and added to the row once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..automata import cfg_kernels as ck
from ..automata import cfg_layout as cl
from ..automata.cfg_arena import MAX_SEARCH, CfgArena
from ..automata.cfg_search import completable
from .cfg_matcher import CfgMatcher
from .matcher import Matcher, _address_of

if TYPE_CHECKING:
    from .compiled import Compiled

__all__ = ["LinesMatcher"]

_BYTES = [bytes((b,)) for b in range(256)]


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
        self.arena, self.program = arena, arena.program
        self.done: set[int] = set()
        self._alive: dict[int, bool] = {}
        trie = arena.tables.trie
        self._nodes, self._first, self._tokens = trie.nodes, trie.first, trie.dfs_tokens
        nodes = np.asarray(trie.nodes)
        size = nodes >> 24 & 0xFFFFFF
        hit = (nodes & 255 == 0x0A) & (size > 1)
        hit[0] = False
        total = np.concatenate([[0], np.cumsum(hit)])
        at = np.arange(len(nodes))
        #: does the node lead to a line feed with something behind it?
        self.marks = total[np.minimum(at + size, len(nodes))] - total[at] > 0

    def add(self, state: int) -> None:
        """Complete the row of a state."""
        if state in self.done:
            return
        arena = self.arena
        found = np.array(self.tokens(state), np.int32)
        if found.size:
            arena.op(ck.O_MORE_TOKENS, state, int(found.ctypes.data), found.size)
        self.done.add(state)

    def _configuration(self, threads: "list[int]") -> int:
        arena = self.arena
        merged: dict[int, int] = {}
        for t in threads:
            lex, c = t >> 32, t & cl.LOW
            merged[lex] = arena.op(ck.O_UNION, merged[lex], c) if lex in merged else c
        if not merged:
            return -1
        while arena.block[cl.CAP_BUF] < len(merged):
            arena.block[cl.NEED], arena.block[cl.NEED_A] = cl.BUF_A, len(merged)
            arena.serve(cl.NEED_PY)
        arena._held[cl.BUF_A][:len(merged)] = sorted(lex << 32 | c for lex, c in merged.items())
        return arena.op(ck.O_CONFIGURATION, len(merged))

    def _threads(self, conf: int, byte: int) -> "list[int]":
        if conf < 0:
            return []
        data = _BYTES[byte]
        after = self.arena.op(ck.O_RUN, conf, _address_of(data), 1)
        return self.arena.threads(after) if after >= 0 else []

    def _is_line(self, thread: int) -> bool:
        return self.program.is_line[self.arena.unpair(thread >> 32)[0]]

    def _ended(self, thread: int) -> "list[int]":
        """The thread behind a line end, if it may be one here."""
        q, d = self.arena.unpair(thread >> 32)
        column = int(self.program.end[q]) - cl.LINE
        if column < 0:
            return []
        context = self.arena.lines.effect(thread & cl.LOW, column)
        return [self.arena.op(ck.O_ENDED, q, d) << 32 | context] if context else []

    def _lives(self, threads: "list[int]") -> bool:
        """Can one of some threads be completed?"""
        for t in sorted(threads, key=lambda t: t >> 32 >= cl.PAIR_BASE):
            found = self._alive.get(t)
            if found is None:
                found = self._alive[t] = completable(self.arena, t, MAX_SEARCH)
            if found:
                return True
        return False

    def tokens(self, state: int) -> "list[int]":
        """Tokens with a line end that is not their last byte."""
        out: list[int] = []
        threads = self.arena.threads(state)
        line = self._configuration([t for t in threads if self._is_line(t)])
        rest = self._configuration([t for t in threads if not self._is_line(t)])
        #: node, threads that have met no line end, threads in one, threads behind one
        stack = [(0, rest, line, -1)]
        nodes, marks = self._nodes, self.marks
        while stack:
            i, rest, line, behind = stack.pop()
            stop = i + (int(nodes[i]) >> 24 & 0xFFFFFF) if i else len(nodes)
            j = i + 1
            while j < stop:
                node = int(nodes[j])
                here, byte = j, node & 255
                j += node >> 24 & 0xFFFFFF
                if line < 0 and behind < 0 and not marks[here]:
                    continue
                plain = self._threads(rest, byte) if marks[here] else []
                inside = [t for t in plain + self._threads(line, byte) if self._is_line(t)]
                past = self._threads(behind, byte)
                if past:
                    lo, hi = int(self._first[here]), int(self._first[here + 1])
                    if lo < hi and self._lives(past):
                        out += self._tokens[lo:hi].tolist()
                past = past + [x for t in inside for x in self._ended(t)]
                plain = [t for t in plain if not self._is_line(t)]
                if plain or inside or past:
                    stack.append((here, self._configuration(plain), self._configuration(inside),
                                  self._configuration(past)))
        return out


def _crossing_of(arena: CfgArena) -> _Crossing:
    found = getattr(arena, "crossing", None)
    if found is None:
        found = arena.crossing = _Crossing(arena)
    return found
