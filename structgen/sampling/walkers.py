"""Walks: one rule, from which exact sampling, weights, ASAp, masking and rejection all come.

At an expanded node v choose a child in proportion to p * theta, and remember
the theta used.  On arrival (once somebody has expanded the child) let
r = U(child) now / theta used.  Along a walk that is never stopped,

    prob(text) = prod(p * theta_used / U) and prod(r) = prod(U / theta_used),

so their product is P(text) / U(root) whatever the bounds were and whoever
changed them in between:

* ``exact``: throw a coin with r at every arrival.  A walk that survives is an
  independent draw from P given the language, from the first one on (CARS,
  arXiv 2510.01902, with node-wise caching);
* ``weighted``: keep prod(r) * U(root) as the text's weight;
* ``asap``: ignore r (Grammar-Aligned Decoding, arXiv 2405.21047);
* ``mask``: choose in proportion to p alone among what is allowed; the weight of a
  text is prod m(v);
* ``rejection``: draw from P and stop where a token is not allowed.

Many walkers go at once and share the trie; the nodes they wait for are one
batch of the model.  Each attempt has its own random stream and results are taken
in the order of attempts *begun*: taking them as they finish would prefer short
texts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Iterator, Optional

import numpy as np

from . import walk_kernels as wk
from .budget import Budget, Meter
from .known import NOTHING_KNOWN, Known
from .oracle import PrefixOracle
from .scorers import Path

__all__ = ["METHODS", "Attempt", "NOTHING", "Unexplored", "Walkers"]

#: probability under masking of what is not known below which everything counts as known
NOTHING = 1e-9

# method -> (how children are drawn, which coin)
METHODS = {
    "exact": (wk.BOUND, wk.COIN_BOUND),
    "weighted": (wk.BOUND, wk.COIN_NONE),
    "asap": (wk.BOUND, wk.COIN_NONE),
    "mask": (wk.RAW, wk.COIN_NONE),
    "rejection": (wk.RAW, wk.COIN_MASS),
}


@dataclass
class Attempt:
    """One walk, finished or not.

    `log_r` is the log of the product of r, `log_mass` the sum of log m(v) over
    the nodes of the path, `visits` the nodes arrived at (what a sampler that
    caches nothing would have to run the model on).  `start` is what was known when
    it began; `new`: it left that.
    """

    index: int
    state: np.ndarray
    out: np.ndarray = field(default_factory=lambda: np.zeros(6))
    node: int = 0
    fresh: int = 1
    start: Known = NOTHING_KNOWN
    end: int = -1
    log_p: float = -math.inf
    new: bool = False
    over: bool = False

    @property
    def success(self) -> bool:
        return self.end >= 0

    @property
    def log_r(self) -> float:
        return float(self.out[0])

    @property
    def log_mass(self) -> float:
        return float(self.out[1])

    @property
    def visits(self) -> int:
        return int(self.out[2])


class Walkers:
    """Attempts of one method on an oracle, a batch at a time.

    Parameters
    ----------
    oracle : PrefixOracle
    method : str
        A key of `METHODS`.
    seed : int
        Attempt i of a seed draws the same numbers, whatever the batch.
    batch : int
        Walks going on at once.
    meter : Meter, optional
        What may be spent.

    Attributes
    ----------
    attempts : list of Attempt
        Those begun, in order.
    stopped : str or None
        Which limit of the budget ended the work.
    """

    def __init__(self, oracle: PrefixOracle, method: str, seed: int, batch: int = 16,
                 meter: Optional[Meter] = None):
        self.oracle = oracle
        self.method = method
        self.draw, self.coin = METHODS[method]
        self.seed = seed
        self.batch = batch
        self.meter = Meter(oracle, Budget()) if meter is None else meter
        self.attempts: list[Attempt] = []
        self._done = 0              # attempts[:_done] are over
        self._active: list[Attempt] = []
        self._dry = False           # nothing more can be begun

    @property
    def stopped(self) -> Optional[str]:
        return self.meter.stopped

    def finished(self) -> Iterator[Attempt]:
        """Attempts that are over, in the order they began, until nobody asks or the budget is spent."""
        while True:
            while self._done < len(self.attempts) and self.attempts[self._done].over:
                self._done += 1
                yield self.attempts[self._done - 1]
            if self.oracle.expanded[0] and self.oracle.theta[0] <= 0 or self._dry and not self._active:
                return
            if self.meter.spent(self._done):
                return
            self._step()

    def path(self, attempt: Attempt) -> Path:
        """The tokens of a successful attempt, end token included."""
        return (*self.oracle.path(attempt.node), attempt.end)

    def _begin(self) -> Optional[Attempt]:
        """A new attempt; None if there can be none."""
        index = len(self.attempts)
        attempt = Attempt(index, np.random.SeedSequence([self.seed, index]).generate_state(1, np.uint64))
        attempt.start = self.oracle.now()
        attempt.out[3] = attempt.start.upper if self.draw == wk.BOUND else 1.0
        self.attempts.append(attempt)
        return attempt

    def _step(self) -> None:
        """Move every walker until it is over or waits, then expand what they wait for."""
        o = self.oracle
        if not o.expanded[0]:
            o.expand([0])
            return
        limit = self.meter.budget.attempts
        wanted: list[int] = []
        waiting: list[Attempt] = []
        todo = self._active
        self._active = []
        while True:
            for a in todo:
                self._move(a)
                if not a.over:
                    waiting.append(a)
                    wanted.append(a.node)
            room = self.batch - len(waiting)
            if room <= 0 or o.theta[0] <= 0:
                break
            if limit is not None:
                room = min(room, limit - len(self.attempts))
            # a bound on what is begun ahead, so that a complete trie does not run on for ever
            ahead = sum(1 for a in self.attempts[self._done:] if a.over)
            room = min(room, 4 * self.batch - ahead)
            if room <= 0:
                break
            todo = []
            for _ in range(room):
                a = self._begin()
                if a is None:
                    self._dry = True
                    break
                todo.append(a)
            if not todo:
                break
        self._active = waiting
        # where no coin is thrown, what is forced behind a node is sure to be needed
        o.expand(wanted, sure=self.coin == wk.COIN_NONE)

    def _move(self, a: Attempt) -> None:
        """One walker, as far as it comes."""
        o = self.oracle
        while o.expanded[a.node]:
            status, node = wk.walk(a.node, float(a.out[3]), self.draw, self.coin, a.fresh, a.state, a.out, *o.tables())
            a.node, a.fresh = int(node), 1
            if status == wk.CREATE:
                a.node = o.child(a.node, int(a.out[5]))
            elif status == wk.EXPAND:
                return
            elif status == wk.LEAF:
                a.end = int(a.out[5])
                a.log_p = o.log_prob(a.node, a.end)
                break
            else:
                break
        else:
            return
        a.over = True
        a.new = bool(o.when[a.node] > a.start.clock)


class Unexplored(Walkers):
    """Masked walks, each from an edge that leaves what is known when it begins.

    The edge is drawn with the probability that masking leaves by it.  So with Q for
    ``start.mask_left``, E[f] under masking is f's sum over what is known plus Q
    times the mean of f over such walks: where few texts carry nearly all mass, walks
    from the root would hardly ever show the others.
    """

    def __init__(self, oracle: PrefixOracle, seed: int, batch: int = 16, meter: Optional[Meter] = None):
        super().__init__(oracle, "mask", seed, batch, meter)
        self._clock = -1
        self._sums = np.zeros(0)

    def _begin(self) -> Optional[Attempt]:
        o = self.oracle
        start = o.now()
        if start.clock != self._clock:
            n = o.size
            alive = np.flatnonzero((o.expanded[:n] == 1) & (o.mass[:n] > 0))
            left = np.maximum(o.rest[alive] - o.ended[alive], 0.0) / o.mass[alive]
            left[left < 1e-12] = 0.0            # rounding
            weights = np.zeros(n)
            weights[alive] = o.arrivals()[alive] * left
            self._clock, self._sums = start.clock, np.cumsum(weights)
        total = float(self._sums[-1])
        if total <= NOTHING:
            return None
        attempt = super()._begin()
        assert attempt is not None
        rng = np.random.default_rng(attempt.state)
        v = min(int(np.searchsorted(self._sums, rng.random() * total, side="right")), len(self._sums) - 1)
        attempt.start = start._replace(mask_left=total)
        attempt.node = o.child(v, self._token(v, rng))
        return attempt

    def _token(self, v: int, rng: np.random.Generator) -> int:
        """A token that leads from `v` to where nobody has been, by its probability."""
        o = self.oracle
        ids, logp = o.row(v)
        p = np.exp(logp.astype(np.float64))
        p[o.ends[ids] != 0] = 0.0
        c = o.first[v]
        while c >= 0:
            if o.expanded[c]:
                p[np.searchsorted(ids, o.token[c])] = 0.0
            c = o.sibling[c]
        sums = np.cumsum(p)
        k = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
        return int(ids[min(k, int(np.flatnonzero(p)[-1]))])
