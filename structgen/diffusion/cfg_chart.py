"""The chart of a canvas: arrays that grow, the kernel's calls, and the forest of complete parses."""

from __future__ import annotations

import numpy as np

from ..errors import LimitError
from . import cfg_chart_kernels as ck
from . import cfg_forest_kernels as fk
from .cfg_reach import Live, Reach

__all__ = ["Forest", "MAX_DERIVATIONS"]

#: most derivations of one chart
MAX_DERIVATIONS = 12_000_000


class _Chart:
    """All parses of what is live in a canvas, in arrays as large as it takes."""

    def __init__(self, reach: Reach, live: Live):
        t = reach.tokens
        p, lr, length = t.program, t.program.lr, reach.length
        local = t.nodes + len(t.places) + len(t.arcs) * t.longest
        checks = bool((t.terminal_of >= p.nt).any())
        sizes = np.array([length, t.nodes, len(t.places), local, t.longest, len(t.symbols), p.nt, lr.nn, t.keyed,
                          len(t.label_at) - 1, reach.last, checks, MAX_DERIVATIONS], np.int64)
        size = getattr(t, "chart_capacity", 1 << 12)
        while True:
            n = size
            self.nodes, self.edges = np.empty((n, 4), np.int64), np.empty((2 * n, 4), np.int64)
            self.pops, self.derived = np.empty((2 * n, 5), np.int64), np.empty((4 * n, 4), np.int64)
            tables = [np.full(places, -1, np.int32) for places in (2 * n, 4 * n, 4 * n)]
            self.counts = np.zeros(6, np.int64)
            found = ck.saturate(sizes, reach.kinds, reach.klass, reach.end_ok, live.places, live.nodes, live.said,
                                reach.row, t.root, t.ends, t.node_ends, t.child_at, t.child_symbol, t.child_node,
                                t.leaf_at, t.leaf_place, t.leaf_label, t.class_first, t.fixed_place, t.fixed_arc,
                                t.arcs, t.word_at, t.word_symbols, t.terminal_of, t.in_lexer, p.kappa, lr.actions,
                                lr.lists, lr.goto, lr.lhs, lr.size, self.nodes, tables[0], self.edges, tables[1],
                                self.pops, tables[2], self.derived, np.empty(4 * n, np.int64), self.counts)
            if found >= 0:
                t.chart_capacity = size
                self.accepted = int(found)
                return
            if found == -1:
                raise AssertionError("a live canvas without a parse")
            if found == ck.OUT_OF_FUEL - 1:
                raise LimitError(f"the parses of this canvas need more than {MAX_DERIVATIONS:,} derivations",
                                 place="chart of a canvas", limit=MAX_DERIVATIONS,
                                 hint="fewer masked slots at once, or a less ambiguous grammar")
            size *= 4


class Forest:
    """The complete parses of a canvas."""

    def __init__(self, reach: Reach, live: Live):
        chart = _Chart(reach, live)
        self.tokens, self.slots, self.length = reach.tokens, reach.slots, reach.length
        self.said = live.said
        counts = chart.counts
        self.edges, self.pops, self.derived = chart.edges, chart.pops, chart.derived
        size = int(counts[ck.C_EDGES] + counts[ck.C_POPS]) + 2
        self.number = np.full(2 * int(max(counts[ck.C_EDGES], counts[ck.C_POPS])) + 2, -1, np.int64)
        items = np.empty(size, np.int64)
        self.n, self.cyclic = fk.order_items(chart.accepted, self.edges, self.pops, self.derived, self.number, items,
                                             np.empty((size, 3), np.int64))
        self.items = items[:self.n].copy()
        self._of = self.items, self.number, self.edges, self.pops, self.derived

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
