"""Canvases under constraints that are not regular: recursive schemas, Lark and GBNF grammars.

The same questions as :class:`.canvas.Canvas`.  Feasibility and masks are one pass
forwards and one backwards over sets of stacks (:mod:`.cfg_reach_kernels`).  Weights
need a chart of all parses of all fillings (:mod:`.cfg_chart_kernels`): the best
assignment is the best parse.  Sums over parses are sums over texts only where each
text has one parse, so draws, marginals and log Z need a certificate
(:mod:`.cfg_certify`).

Passes are made anew when a slot has changed, but most steps they take are known
from before, and a token that the last masks allow keeps a canvas feasible, as does masking
a slot again.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence

import numpy as np

from ..errors import BudgetError, MatcherError, StructgenError
from . import cfg_reach_kernels as kernels
from .canvas import Canvas, Joint
from .cfg_certify import certify
from .cfg_chart import Forest
from .cfg_reach import Live, Reach
from .cfg_tokens import CfgTokens, tokens_of

__all__ = ["CfgCanvas"]

#: how many slots beyond twice its own a canvas that is too short looks at to say how many are needed
MORE = 24


class CfgCanvas(Canvas):
    """A canvas under a context-free constraint; made by :class:`.canvas.Canvas`, see there."""

    automaton: CfgTokens

    def __init__(self, compiled: Any, length: int, *, pad: Optional[int] = None, remaining: int = 0,
                 padding: str = "free", before: Optional[Canvas] = None):
        self._check(length, padding)
        self.compiled = compiled
        self.automaton = a = tokens_of(compiled)
        self.length = length
        self.pad = int(a.vocabulary.eos_ids[0]) if pad is None else int(pad)
        self.remaining, self.padding = remaining, padding
        self.tokens = np.full(length, -1, np.int64)
        self._before = np.zeros(0, np.int64)
        self._changed()
        self._feasible: Optional[bool] = None
        if before is None:
            self._budget()
            return
        self.follow(before)
        if not self.feasible():
            raise BudgetError(f"what is left of the shortest valid text does not fit into {length} slots",
                              needed=length + 1, given=length)

    def _budget(self) -> None:
        """Refuse a canvas that no text fits into."""
        a = self.automaton
        given = self.length + max(0, self.remaining - 1)
        fits, short = a.fits
        if given >= fits:
            return

        def masked(n: int) -> Reach:
            return Reach(a, np.full(n, kernels.MASK), np.full(n, -1), True)

        if given > short:
            found = masked(given).shortest()
            if found >= 0:
                a.fits = found, short
                return
            short = given
        most = 2 * given + MORE
        exact = masked(most).shortest(exact=True) if short < fits - 1 else fits
        if exact < 0:
            a.fits = fits, max(most, short)
            raise BudgetError(f"the shortest valid text has more than {most} tokens, the canvas {self.length} slots",
                              needed=most + 1, given=self.length)
        a.fits = exact, exact - 1
        raise BudgetError(f"the shortest valid text has {exact} tokens, the canvas {self.length} slots"
                          + (f" and {self.remaining} to come" if self.remaining else ""), needed=exact,
                          given=self.length)

    # ------------------------------------------------------------------ slots
    def _changed(self) -> None:
        self._reach: Optional[Reach] = None
        self._live: Optional[Live] = None
        self._forest: Optional[Forest] = None
        #: is `_live` made?  (None: there are no fillings.)
        self._built = False

    def set(self, slot: int, token: Optional[int]) -> None:
        slot = self._slot(slot)
        old = int(self.tokens[slot])
        if token is not None:
            token = self._token(token)
        new = -1 if token is None else token
        if old == new:
            return
        if new < 0:
            feasible = self._feasible or None
        elif self._built and self._live is not None and old < 0:
            row = self._live.classes(np.array([len(self._before) + slot]))[0]
            feasible = bool(row[int(self.automaton.class_of[new])] if new < self.automaton.vocabulary.size and
                            self.automaton.class_of[new] >= 0 else False) or bool(new == self.pad and
                                                                                  row[self.automaton.pad_class])
        else:
            feasible = False if self._feasible is False and old < 0 else None
        self.tokens[slot] = new
        self._changed()
        self._feasible = feasible

    def copy(self) -> "CfgCanvas":
        other = CfgCanvas.__new__(CfgCanvas)
        other.__dict__.update(self.__dict__)
        other.tokens = self.tokens.copy()
        return other

    def carried(self) -> np.ndarray:
        """The tokens up to the end of a finished block, for :meth:`follow`."""
        if (self.tokens < 0).any():
            raise MatcherError(f"the block before is not finished: {int((self.tokens < 0).sum())} slots are masked")
        return np.concatenate([self._before, self.tokens])

    def follow(self, before: "Canvas") -> None:
        if before.automaton is not self.automaton:
            raise StructgenError("blocks of one text are under one constraint")
        self._before = before.carried()
        self._changed()
        self._feasible = None

    # ------------------------------------------------------------------ fillings
    def _reach_of(self, tokens: np.ndarray) -> Reach:
        a = self.automaton
        full = np.concatenate([self._before, tokens, np.full(self.remaining, -1)])
        known = (full >= 0) & (full < a.vocabulary.size)
        klass = np.where(known, a.class_of[np.where(known, full, 0)], -1)
        kinds = np.where(full < 0, kernels.MASK, np.where(klass >= 0, kernels.TOKEN, kernels.NOTHING))
        kinds[full == self.pad] = kernels.PAD
        kinds[np.isin(full, list(a.vocabulary.eos_ids))] = kernels.END
        return Reach(a, kinds, klass, self.remaining == 0)

    def _passes(self) -> Reach:
        if self._reach is None:
            self._reach = self._reach_of(self.tokens)
        return self._reach

    def feasible(self) -> bool:
        if self._feasible is None:
            self._feasible = self._passes().found()
        return self._feasible

    def _fillings(self) -> Optional[Live]:
        """What is live in the canvas as it is."""
        if not self._built:
            self._live = None if self._feasible is False else self._passes().live()
            self._built, self._feasible = True, self._live is not None
        return self._live

    def _parses(self) -> Optional[Forest]:
        """All parses of the canvas as it is."""
        if self._forest is None and (live := self._fillings()) is not None:
            self._forest = Forest(self._passes(), live)
        return self._forest

    def class_masks(self, slots: Optional[Sequence[int]] = None) -> np.ndarray:
        slots = self.masked if slots is None else np.array([self._slot(s) for s in slots], np.int64)
        out = np.zeros((len(slots), self.automaton.classes), bool)
        open_ = self.tokens[slots] < 0
        if open_.any() and (live := self._fillings()) is not None:
            out[open_] = live.classes(len(self._before) + slots[open_])
        for r in np.flatnonzero(~open_):
            tokens = self.tokens.copy()
            tokens[slots[r]] = -1
            if (live := self._reach_of(tokens).live()) is not None:
                out[r] = live.classes(np.array([len(self._before) + slots[r]]))[0]
        return out

    # ------------------------------------------------------------------ laws
    def _span(self, window: Optional[tuple[int, int]]) -> tuple:
        low, high = (0, self.length) if window is None else (int(window[0]), int(window[1]))
        if not 0 <= low < high <= self.length:
            raise MatcherError(f"window {window} of a canvas of {self.length} slots")
        if self._parses() is None:
            raise self._infeasible()
        if (self.tokens[:low] < 0).any():
            raise MatcherError(f"slots before {low} are masked: a window begins behind fixed ones")
        return low, high, None, None

    def _scored(self, scores: np.ndarray, r: Any, row: np.ndarray, span: tuple, summed: bool) -> tuple:
        """Weights for the forest, what padding behind a fixed end weighs, and scores by class."""
        forest, a = self._forest, self.automaton
        offset = len(self._before) + span[0]
        scores = self._padded(scores, r)
        rows = np.full(forest.slots + 1, -1, np.int64)
        rows[offset:offset + len(row)] = row
        pads, own = np.zeros(forest.slots + 1), np.zeros(forest.slots + 1)
        inside = np.flatnonzero(rows >= 0)
        pads[inside] = scores[rows[inside], a.pad_class]
        own[inside] = scores[rows[inside], a.end_class]
        after = np.append(np.cumsum(pads[::-1])[::-1][1:], 0.0)      # of padding behind each slot
        fixed = float(pads[forest.length + 1:].sum())
        with np.errstate(invalid="ignore"):
            ending = own + after - (fixed if np.isfinite(fixed) else 0.0)
        return forest.weights(rows, scores, ending, summed), fixed, scores

    def _classes(self, labels: np.ndarray, weights: tuple, scores: np.ndarray, row: np.ndarray, span: tuple,
                 rng: Optional[np.random.Generator]) -> np.ndarray:
        """The class of each slot of a window, from what a parse says."""
        a, forest = self.automaton, self._forest
        last = len(a.label_at) - 1
        offset = len(self._before) + span[0]
        out = np.full(len(row), a.pad_class, np.int64)
        for i in np.flatnonzero(row >= 0):
            label = labels[offset + i] if offset + i < forest.slots else -1
            if label == last:
                out[i] = a.end_class
            elif label >= 0 and rng is None:
                out[i] = weights[3][row[i], label]
            elif label >= 0:
                classes = a.label_class[a.label_at[label]:a.label_at[label + 1]]
                x = scores[row[i], classes]
                total = np.cumsum(np.exp(x - x.max()))
                out[i] = classes[min(int(np.searchsorted(total, rng.random() * total[-1], side="right")),
                                     len(classes) - 1)]
        return out

    def _best(self, r: Any, row: np.ndarray, span: tuple) -> tuple[np.ndarray, float]:
        weights, fixed, scores = self._scored(r.top, r, row, span, False)
        score, labels = self._forest.best(weights)
        if score + fixed == -np.inf:
            raise self._infeasible()
        return self._classes(labels, weights, scores, row, span, None), float(score + fixed)

    def _sums(self, r: Any, row: np.ndarray, span: tuple) -> tuple:
        certify(self.automaton)
        if self.remaining or (self.tokens[span[1]:] < 0).any():
            raise StructgenError("sums under a context-free constraint need all masked slots of the text in one window",
                                 hint="use argmax, or one block")
        if self._forest.cyclic:
            raise AssertionError("an unambiguous grammar with a cyclic parse")
        weights, fixed, scores = self._scored(r.total, r, row, span, True)
        total, values = self._forest.sums(weights)
        return weights, values, scores, float(total + fixed)

    def _shares(self, row: np.ndarray, span: tuple, sums: tuple) -> np.ndarray:
        weights, values, scores, log_z = sums
        if log_z == -np.inf:
            raise self._infeasible()
        a, forest = self.automaton, self._forest
        labels, ends = forest.shares(weights, values)
        table, out = weights[1], np.zeros(scores.shape)
        sizes = np.diff(a.label_at)
        offset = len(self._before) + span[0]
        ended = np.cumsum(ends)
        for i in np.flatnonzero(row >= 0):
            k, slot = row[i], offset + i
            used = np.flatnonzero(labels[k] > 0)
            classes = np.concatenate([a.label_class[a.label_at[b]:a.label_at[b + 1]] for b in used] or
                                     [np.zeros(0, np.int32)])
            with np.errstate(under="ignore"):
                p = np.repeat(labels[k, used], sizes[used]) * np.exp(scores[k, classes] -
                                                                     np.repeat(table[k, used], sizes[used]))
            np.add.at(out[k], classes, p)
            out[k, a.end_class] += ends[slot]
            if slot > forest.length:
                out[k, a.pad_class] += 1.0
            elif slot:
                out[k, a.pad_class] += ended[slot - 1]
        return out

    def _drawn(self, row: np.ndarray, span: tuple, sums: tuple, rng: np.random.Generator) -> np.ndarray:
        weights, values, scores, log_z = sums
        if log_z == -np.inf:
            raise self._infeasible()
        labels = self._forest.draw(weights, values, rng)
        return self._classes(labels, weights, scores, row, span, rng)

    def log_z(self, logp: Any) -> float:
        certify(self.automaton)
        return super().log_z(logp)

    def joint(self, logp: Any, rng: Optional[np.random.Generator] = None, *,
              window: Optional[tuple[int, int]] = None, entropy: bool = False) -> Joint:
        """As for regular constraints where sums are defined.

        Where they are not, the likeliest assignment has as confidence the probability
        of each token among those that its slot may take, and there are no entropies.
        """
        span = self._span(window)
        summable = certify(self.automaton, refuse=False) is None and not self.remaining and \
            not (self.tokens[span[1]:] < 0).any()
        if rng is not None or entropy or summable:
            return super().joint(logp, rng, window=window, entropy=entropy)
        low, high = span[:2]
        r, slots, row = self._reduced(logp, low, high)
        classes = self._best(r, row, span)[0][slots - low]
        tokens = self._tokens_of(r, slots, classes, None)
        totals = self._padded(r.total, r)
        allowed = self.class_masks(slots)
        with np.errstate(divide="ignore"):
            mass = np.logaddexp.reduce(np.where(allowed, totals, -np.inf), axis=1) if len(slots) else np.zeros(0)
        own = np.zeros(len(slots))
        plain = np.flatnonzero(classes != self.automaton.pad_class)
        own[plain] = r.log_p(plain, tokens[plain])
        return Joint(slots, tokens, np.minimum(np.exp(own - mass), 1.0), None)
