"""The chart of a canvas: arrays that grow, the kernels' calls, and the forest of complete parses.

A chart is for one set of slots, each masked, fixed to a class of tokens, an end
token or padding.  :meth:`Chart.found` says whether there is a filling, as soon as
one is met; :meth:`Chart.forest` works off everything.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from ..errors import LimitError
from . import cfg_chart_kernels as ck
from . import cfg_forest_kernels as fk

__all__ = ["Chart", "Forest", "MAX_DERIVATIONS"]

#: most derivations of one chart
MAX_DERIVATIONS = 12_000_000


class Chart:
    """See the module's text.

    Parameters
    ----------
    tokens : CfgTokens
    kinds, klass : ndarray of int32, shape (L,)
        What each slot is (constants of the kernels) and the class of fixed ones.
    last : bool
        May the text end behind the last slot?
    """

    def __init__(self, tokens: Any, kinds: np.ndarray, klass: np.ndarray, last: bool):
        self.tokens, self.last = tokens, last
        self.kinds, self.klass = kinds.astype(np.int32), klass.astype(np.int32)
        ends = np.isin(self.kinds, (ck.MASK, ck.END))
        behind = np.isin(self.kinds, (ck.MASK, ck.END, ck.PAD))
        # an end token can stand where nothing but ends and padding follows
        free = np.append(np.logical_and.accumulate(behind[::-1])[::-1], True)
        self.end_ok = ends & free[1:]
        #: where everything behind may be padding
        self.tail = int(np.flatnonzero(free)[0])
        self._capacity = getattr(tokens, "chart_capacity", 1 << 12)

    # ------------------------------------------------------------------ running
    def _cut(self) -> tuple[int, bool]:
        """Slots that can hold text, and whether the text may end right behind them."""
        stops = np.flatnonzero(np.isin(self.kinds, (ck.END, ck.PAD)))
        if not len(stops):
            return len(self.kinds), self.last
        at = int(stops[0])
        return at, bool(self.end_ok[at])

    def _run(self, length: int, last: bool, stop: bool, short: int = 0) -> int:
        """The kernel over the first `length` slots, in arrays as large as it takes.

        With `short`, masked slots that stand together take words of that list only.
        """
        t = self.tokens
        p, lr = t.program, t.program.lr
        kinds, klass = self.kinds[:length], self.klass[:length]
        end_ok = self.end_ok[:length].astype(np.uint8)
        alive = np.zeros((length + 1, len(t.places)), np.uint8)
        ends = t.ends.astype(np.uint8)
        ck.reach_back(kinds, klass, end_ok, last, ends, t.pair_first, t.pair_target, t.class_first, t.fixed_place,
                      t.fixed_arc, t.arcs, alive)
        if not alive[0, 0]:
            return -1
        masked = kinds == ck.MASK
        row = np.where(masked, np.cumsum(masked) - 1, -1)
        beside = np.zeros(length + 1, np.uint8)
        if short:
            beside[1:-1][masked[:-1] & masked[1:]] = short
            beside[:-2][masked[:-1] & masked[1:]] = short
        seen = np.zeros((int(masked.sum()), t.nodes), np.uint8)
        local = t.nodes + len(t.places) + len(t.arcs) * t.longest
        checks = bool((t.terminal_of >= p.nt).any())
        sizes = np.array([length, t.nodes, len(t.places), local, t.longest, len(t.symbols), p.nt, lr.nn, t.keyed,
                          len(t.label_at) - 1, last, checks, stop, MAX_DERIVATIONS], np.int64)
        while True:
            n = self._capacity
            self.nodes, self.edges = np.empty((n, 5), np.int64), np.empty((2 * n, 4), np.int64)
            self.pops, self.derived = np.empty((2 * n, 5), np.int64), np.empty((4 * n, 4), np.int64)
            tables = [np.full(size, -1, np.int32) for size in (2 * n, 4 * n, 4 * n)]
            self.counts = np.zeros(8, np.int64)
            found = ck.saturate(sizes, kinds, klass, end_ok, alive, seen, row, beside, t.root, ends, t.node_ends,
                                t.child_at, t.child_symbol, t.child_node, t.leaf_at, t.leaf_place, t.leaf_label,
                                t.class_first, t.fixed_place, t.fixed_arc, t.arcs, t.word_at, t.word_symbols,
                                t.terminal_of, t.in_lexer, p.kappa, lr.actions, lr.lists, lr.goto, lr.lhs, lr.size,
                                self.nodes, tables[0], self.edges, tables[1], self.pops, tables[2], self.derived,
                                np.empty(4 * n, np.int64), self.counts)
            if found >= -1:
                t.chart_capacity = self._capacity
                return int(found)
            if found == ck.OUT_OF_FUEL - 1:
                raise LimitError(f"the parses of this canvas need more than {MAX_DERIVATIONS:,} derivations",
                                 place="chart of a canvas", limit=MAX_DERIVATIONS,
                                 hint="fewer masked slots at once, or a less ambiguous grammar")
            self._capacity *= 4

    def found(self) -> bool:
        """Is there a filling?  Shorter texts are tried first where the end is open."""
        length, last = self._cut()
        reach = 0
        while self.tail + reach < length:
            at = self.tail + reach
            if self.end_ok[at] and self._met(at, True):
                return True
            reach = 2 * reach + 1
        return self._met(length, last)

    def _met(self, length: int, last: bool) -> bool:
        """Is there a filling of the first `length` slots?  Short words are tried first."""
        masked = self.kinds[:length] == ck.MASK
        if (masked[1:] & masked[:-1]).any():
            for short in range(len(self.tokens.root) - 1, 0, -1):
                if self._run(length, last, True, short) >= 0:
                    return True
        return self._run(length, last, True) >= 0

    def forest(self) -> Optional["Forest"]:
        """All complete parses; None if there are none."""
        length, last = self._cut()
        accepted = self._run(length, last, False)
        return None if accepted < 0 else Forest(self, accepted, length)


class Forest:
    """The complete parses of a chart."""

    def __init__(self, chart: Chart, accepted: int, length: int):
        self.tokens, self.slots, self.length = chart.tokens, len(chart.kinds), length
        counts = chart.counts
        self.edges, self.pops, self.derived = chart.edges, chart.pops, chart.derived
        size = int(counts[ck.C_EDGES] + counts[ck.C_POPS]) + 2
        self.number = np.full(2 * int(max(counts[ck.C_EDGES], counts[ck.C_POPS])) + 2, -1, np.int64)
        items = np.empty(size, np.int64)
        self.n, self.cyclic = fk.order_items(accepted, self.edges, self.pops, self.derived, self.number, items,
                                             np.empty((size, 3), np.int64))
        self.items = items[:self.n].copy()
        labels = len(self.tokens.label_at) - 1
        self.said = np.zeros((length + 1, labels + 1), np.uint8)
        fk.said(self.n, self.items, self.edges, self.pops, self.derived, self.said)
        if length < self.slots and last_is_end(chart, length):
            self.said[length, labels] = 1 # texts that take all the slots before a fixed end token
        self._of = self.items, self.number, self.edges, self.pops, self.derived

    def classes(self, rows: np.ndarray) -> np.ndarray:
        """Which classes the slots in `rows` may take: bool (len(rows), classes)."""
        t = self.tokens
        labels = len(t.label_at) - 1
        out = np.zeros((len(rows), t.classes), bool)
        ended = np.flatnonzero(self.said[:, labels])
        first = int(ended[0]) if len(ended) else self.slots
        for r, slot in enumerate(rows):
            if slot < self.length:
                for b in np.flatnonzero(self.said[slot, :labels]):
                    out[r, t.label_class[t.label_at[b]:t.label_at[b + 1]]] = True
                out[r, t.end_class] = self.said[slot, labels]
            out[r, t.pad_class] = slot > first
        return out

    def weights(self, row: np.ndarray, scores: np.ndarray, ending: np.ndarray, summed: bool) -> tuple:
        """Weights of labels for :meth:`best` and :meth:`sums`."""
        t = self.tokens
        labels = len(t.label_at) - 1
        out, which = np.full((len(scores), labels), -np.inf), np.full((len(scores), labels), -1, np.int32)
        fk.label_scores(self.said, row, scores, t.label_at, t.label_class, summed, out, which)
        return row, out, ending, which

    def best(self, weights: tuple) -> tuple[float, np.ndarray]:
        """The greatest weight of a parse, and the label it says at each slot."""
        row, table, ending, _ = weights
        values, chosen = np.empty(self.n), np.empty(self.n, np.int64)
        top = fk.best_values(self.n, *self._of, row, table, ending, values, chosen)
        return top, self._pick(weights, values, chosen, np.empty(0)) if top > -np.inf else np.empty(0, np.int64)

    def sums(self, weights: tuple) -> tuple[float, np.ndarray]:
        """log of the summed weights of parses, and the values of the items."""
        row, table, ending, _ = weights
        values = np.empty(self.n)
        return fk.sums(self.n, *self._of, row, table, ending, values), values

    def draw(self, weights: tuple, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The labels of a parse drawn in proportion to its weight."""
        return self._pick(weights, values, np.zeros(self.n, np.int64), rng.random(self.n))

    def _pick(self, weights: tuple, values: np.ndarray, chosen: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        row, table, ending, _ = weights
        out = np.empty(self.slots + 1, np.int64)
        fk.pick(self.n, *self._of, row, table, ending, values, chosen, uniforms, out,
                np.empty((2 * self.n + 2, 1), np.int64))
        return out

    def shares(self, weights: tuple, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of labels at masked slots, and of each slot to be where the text ends."""
        row, table, ending, _ = weights
        share, end_share = np.zeros(table.shape), np.zeros(self.slots + 1)
        fk.shares(self.n, *self._of, row, table, ending, values, np.empty(self.n), share, end_share)
        return share, end_share


def last_is_end(chart: Chart, length: int) -> bool:
    """Is the slot behind the text's slots a fixed end token?"""
    return bool(chart.kinds[length] == ck.END)
