"""Feasibility and masks of one canvas under a context-free constraint, by two passes over its slots."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from . import cfg_reach_kernels as rk
from .cfg_sets import MAX_BYTES

__all__ = ["Reach", "Live"]


class Live:
    """What is part of whole parses.

    Attributes
    ----------
    places : ndarray of uint8, shape (length + 1, places)
        Before each slot: where the lexer may stand.
    nodes : ndarray of uint8, shape (masked slots, nodes)
        In masked slots: nodes of the automaton of words.
    said : ndarray of uint8, shape (length + 1, labels + 1)
        Labels of masked slots; the last column: the text may end before this slot.
    """

    def __init__(self, tokens: Any, places: np.ndarray, nodes: np.ndarray, said: np.ndarray, slots: int):
        self.tokens, self.places, self.nodes, self.said, self.slots = tokens, places, nodes, said, slots

    def classes(self, rows: np.ndarray) -> np.ndarray:
        """Which classes the slots in `rows` may take: bool (len(rows), classes)."""
        t = self.tokens
        length, labels = len(self.said) - 1, self.said.shape[1] - 1
        out = np.zeros((len(rows), t.classes), bool)
        ended = np.flatnonzero(self.said[:, labels])
        first = int(ended[0]) if len(ended) else self.slots
        for r, slot in enumerate(rows):
            if slot < length:
                for b in np.flatnonzero(self.said[slot, :labels]):
                    out[r, t.label_class[t.label_at[b]:t.label_at[b + 1]]] = True
                out[r, t.end_class] = self.said[slot, labels]
            out[r, t.pad_class] = slot > first
        return out


class Reach:
    """The passes over one canvas.

    Parameters
    ----------
    tokens : CfgTokens
    kinds, klass : ndarray of int, shape (L,)
        What each slot is (constants of the kernels) and the class of fixed ones.
    last : bool
        May the text end behind the last slot?
    """

    def __init__(self, tokens: Any, kinds: np.ndarray, klass: np.ndarray, last: bool):
        self.tokens, self.slots = tokens, len(kinds)
        ends = np.isin(kinds, (rk.MASK, rk.END))
        # an end token can stand where nothing but ends and padding follows
        behind = np.isin(kinds, (rk.MASK, rk.END, rk.PAD))
        free = np.append(np.logical_and.accumulate(behind[::-1])[::-1], True)
        stops = np.flatnonzero(np.isin(kinds, (rk.END, rk.PAD)))
        #: slots that can hold text, and whether it may end right behind them
        self.length = int(stops[0]) if len(stops) else len(kinds)
        self.last = int(ends[self.length] and free[self.length + 1]) if len(stops) else int(last)
        #: is the slot behind them a fixed end token?
        self.ended = len(stops) > 0 and bool(kinds[self.length] == rk.END)
        self.kinds = np.ascontiguousarray(kinds[:self.length], np.int32)
        self.klass = np.ascontiguousarray(klass[:self.length], np.int32)
        self.end_ok = (ends & free[1:])[:self.length].astype(np.uint8)
        masked = self.kinds == rk.MASK
        self.row = np.where(masked, np.cumsum(masked) - 1, -1)
        self.masked = int(masked.sum())
        self._alive: Optional[np.ndarray] = None

    # ------------------------------------------------------------------ passes
    def _lexed(self) -> bool:
        """Can a lexer read the canvas at all?"""
        if self._alive is None:
            t = self.tokens
            self._alive = np.zeros((self.length + 1, len(t.places)), np.uint8)
            rk.reach_back(self.kinds, self.klass, self.end_ok, self.last, t.ends, t.pair_first, t.pair_target,
                          t.class_first, t.fixed_place, t.fixed_arc, t.arcs, self._alive)
        return bool(self._alive[0, 0])

    def _forward(self, quick: bool, stop: bool) -> Optional[tuple]:
        """The forward pass; None if there is no filling."""
        t, sets = self.tokens, self.tokens.sets
        masked = self.kinds == rk.MASK
        which = np.zeros(self.length, np.int64)
        if quick:
            which[masked] = 1
            which[:-1][masked[:-1] & masked[1:]] = 2
        good = np.zeros((self.masked, t.nodes), np.uint8)
        for i in np.flatnonzero(masked).tolist():
            w = which[i]
            rk.useful(t.node_order[t.node_at[w]:t.node_at[w + 1]], self._alive[i + 1], t.child_at, t.child_node,
                      t.leaf_at, t.leaf_place, good[self.row[i]])
        places = np.zeros((self.length + 1, len(t.places)), np.int32)
        nodes = np.zeros((self.masked, t.nodes), np.int32)
        final = np.zeros(self.length + 1, np.uint8)
        places[0, 0] = sets.start
        state = np.zeros(2, np.int64)
        found = sets.run(lambda: rk.forward(
            sets.address, state, self.kinds, self.klass, self.end_ok, self.last, stop, self.row, which, self._alive,
            good, t.ends, t.node_order, t.node_at, t.root, t.child_at, t.child_symbol, t.child_node, t.leaf_at,
            t.leaf_place, t.class_first, t.fixed_place, t.fixed_arc, t.arcs, t.word_at, t.word_symbols,
            t.terminal_of, t.program.nt, sets.end, places, nodes, final))
        if not found:
            return None
        return which, good, places, nodes, final

    def found(self) -> bool:
        """Is there a filling?  Few and short words are tried first."""
        if not self._lexed():
            return False
        with self._sets():
            return self._forward(True, True) is not None or \
                self.masked > 0 and self._forward(False, True) is not None

    def shortest(self, exact: bool = False) -> int:
        """How many slots the text of some filling takes, or the least number; -1: there is none."""
        if not self._lexed():
            return -1
        with self._sets():
            made = None if exact else self._forward(True, True)
            made = made or self._forward(False, True)
        return -1 if made is None else int(np.flatnonzero(made[-1])[0])

    def live(self) -> Optional[Live]:
        """What is part of whole parses; None if there are none."""
        if not self._lexed():
            return None
        t = self.tokens
        with self._sets() as sets:
            made = self._forward(False, False)
            if made is None:
                return None
            which, good, places, nodes, _ = made
            live_places, live_nodes = np.zeros_like(places), np.zeros_like(nodes)
            said = np.zeros((self.length + 1, len(t.label_at)), np.uint8)
            state, chain = np.array([self.length]), np.zeros(t.longest + 1, np.int64)
            sets.run(lambda: rk.backward(
                sets.address, state, self.kinds, self.klass, self.end_ok, self.last, self.row, which, good, t.ends,
                t.node_order, t.node_at, t.root, t.child_at, t.child_symbol, t.child_node, t.leaf_at, t.leaf_place,
                t.leaf_label, t.class_first, t.fixed_place, t.fixed_arc, t.arcs, t.word_at, t.word_symbols,
                t.terminal_of, t.program.nt, sets.end, places, nodes, chain, live_places, live_nodes, said))
        if self.ended and self.last and live_places[self.length].any():
            said[self.length, -1] = 1         # texts that take all the slots before a fixed end token
        return Live(t, (live_places != 0).view(np.uint8), (live_nodes != 0).view(np.uint8), said, self.slots)

    def _sets(self) -> Any:
        return _Locked(self.tokens.sets)


class _Locked:
    """The sets of a constraint, for one question."""

    def __init__(self, sets: Any):
        self.sets = sets

    def __enter__(self) -> Any:
        self.sets.lock.acquire()
        if self.sets.nbytes > MAX_BYTES:
            self.sets.clear()
        return self.sets

    def __exit__(self, *_: Any) -> None:
        self.sets.lock.release()
