"""How far masking token by token is from the target: KL divergences, from exact sums and walks beyond them.

For a text x let S(x) be the sum of log m over its prefixes, so that masking
draws it with q(x) = P(x) / exp(S(x)), and Z = P(a valid text).  Then

    KL(mask || target) = log Z - E_q[S],    KL(target || mask) = E_target[S] - log Z.

Masking may also run into dead ends: at the horizon, or into spellings that do
not count.  With D the probability of that, the first is about the texts it
finishes,

    KL(mask || target) = log Z - E_q[S; finished] / (1 - D) - log(1 - D).

The prefix oracle knows part of all these means for certain
(:mod:`structgen.sampling.known`); only the rest is estimated, from
walks that left what was known when they began.  With Q the probability of
leaving it and R the part of S behind the place where it was left,

    E_q[S] = mask_log + mask_open + Q E[R],       Z = mass + Q E[exp(S)],

whatever has been explored and by whom, and in the same way D and sums of P * S.
(Where dead ends are about, E_q[S; finished] = mask_log + Q E[S; finished]: of the
S with which the known is left much may lead nowhere.)  Each walk gives one such
estimate.  Weighted by 1 / Q their errors add to sum(R - E[R]) / sum(1 / Q): every
walk counts the same, and the standard error is that of an ordinary mean times
the harmonic mean of Q.  The same is done with texts that were new to an exact
sampler, Z - mass in the place of Q.

What no walk has shown is not forgotten, and what has been learned since a walk
began is not either: one more walk is taken in that begins now, as if it found the
mean of the others; its error is the distance from there to the most extreme
text known.  Where the target itself is drawn from, one more draw may be a text that
is not known, whatever the walks say of Z: rare texts that masking hardly ever finds
have the sums S furthest from the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Optional, Sequence

import numpy as np

from .estimates import Interval
from .known import Known
from .oracle import PrefixOracle
from .walkers import NOTHING, Attempt

__all__ = ["Distance", "Moments", "UNKNOWN", "Walks", "complete", "to_mask_from_texts", "to_mask_from_weights",
           "log_z_from_weights"]


@dataclass(frozen=True)
class Distance:
    """A Kullback-Leibler divergence in nats with its standard error, from `n` walks besides exact sums."""

    value: float
    stderr: float
    n: int


UNKNOWN = Distance(math.nan, math.inf, 0)


@dataclass(frozen=True)
class Moments:
    """Means under masking of S, w = exp(S) and S w, and what each walk adds to their errors.

    Attributes
    ----------
    s, w, sw, dead : float
        Means, w and S w in units of exp(shift), all 0 in dead ends; and the
        probability of dead ends.
    rows : ndarray, shape (k, 4)
        The same of each walk beyond what was known, for one unit of Q.
    scale : float
        Factor from the mean of `rows` and one more walk to the means.
    shift : float
    """

    s: float
    w: float
    sw: float
    dead: float
    rows: np.ndarray
    scale: float
    shift: float = 0.0

    @classmethod
    def blend(cls, known: np.ndarray, left: np.ndarray, rows: np.ndarray, shift: float = 0.0) -> "Moments":
        """Of k walks: sums known and Q when each began, and now as a last entry, ``(k + 1, 4)`` and ``(k + 1,)``."""
        k = len(rows)
        if left[-1] <= NOTHING:
            return cls(*known[-1].tolist(), np.zeros((0, 4)), 0.0, shift)
        inverse = 1 / left
        all_rows = rows.sum(axis=0) * (1 + 1 / k)
        mean = ((known * inverse[:, None]).sum(axis=0) + all_rows) / inverse.sum()
        return cls(*mean.tolist(), rows, (k + 1) / float(inverse.sum()), shift)

    def log(self, w: float) -> float:
        return self.shift + math.log(w) if w > 0 else -math.inf

    def log_z(self, extremes: Sequence[float]) -> Interval:
        """log Z with a normal interval; `extremes`: log w such as might have been found."""
        error = 1.96 * self.w * self._weight_error(extremes) if self.w > 0 else 0.0
        return Interval(self.log(self.w), self.log(self.w - error), self.log(self.w + error))

    def _weight_error(self, extremes: Sequence[float]) -> float:
        """Relative standard error of the mean weight."""
        return _spread(self.rows[:, 1], [_exp(x - self.shift) for x in extremes], self.scale) / self.w

    def from_mask(self, log_z: Optional[float], log_error: float, extremes: Sequence[float]) -> Distance:
        """KL(mask || target); `log_z` is given where it is known better than from here, `extremes` are S of texts."""
        k, done = len(self.rows), 1 - self.dead
        if done <= 0 or log_z is None and self.w <= 0:
            return Distance(math.inf, 0.0, k) if done <= 0 else UNKNOWN
        finished = self.s / done

        def share(rest: Any, w: Any, failed: Any) -> Any:
            return (w / self.w if log_z is None else 0.0) - (rest + (finished - 1) * failed) / done

        far = [share(s, _exp(s - self.shift), 0.0) for s in extremes] + [share(0.0, 0.0, 1.0)] * (self.dead > 0)
        error = _spread(share(self.rows[:, 0], self.rows[:, 1], self.rows[:, 3]), far, self.scale)
        if log_z is None and (off := self._weight_error(extremes)) > 1:         # too far for a linear error
            error = math.hypot(_spread(self.rows[:, 0], extremes, self.scale) / done, math.log1p(off))
        value = self.log(self.w) if log_z is None else log_z
        return Distance(value - finished - math.log(done), math.hypot(error, log_error), k)

    def to_mask(self, extremes: Sequence[float]) -> Distance:
        """KL(target || mask); `extremes` are S of texts."""
        if self.w <= 0:
            return UNKNOWN
        mean = self.sw / self.w

        def share(w: Any, sw: Any) -> Any:
            return (sw - w * (mean + 1)) / self.w

        error = _spread(share(self.rows[:, 1], self.rows[:, 2]), [share(w, s * w) for s, w in (
            (s, _exp(s - self.shift)) for s in extremes)], self.scale)
        if (off := self._weight_error(extremes)) > 1:
            error = math.hypot(max(abs(s - mean) for s in extremes), math.log1p(off))
        return Distance(mean - self.log(self.w), error, len(self.rows))


@dataclass
class Walks:
    """Masked walks that left what was known.

    Attributes
    ----------
    starts : list of Known
    ends : list of int
        Nodes where they ended.
    failed : list of bool
    """

    oracle: PrefixOracle
    starts: list[Known] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.starts)

    def add(self, start: Known, end: int, failed: bool) -> None:
        """A masked walk, if it left what was known at its start."""
        if self.oracle.when[end] > start.clock:
            self.starts.append(start)
            self.ends.append(end)
            self.failed.append(failed)

    def take(self, a: Attempt) -> None:
        """A finished attempt of the method "mask"."""
        self.add(a.start, a.node, not a.success)

    @property
    def left(self) -> np.ndarray:
        """Q when each walk began, and now, shape (k + 1,)."""
        return np.array([*(max(s.mask_left, NOTHING) for s in self.starts), self.oracle.now().mask_left])

    def fresh(self) -> int:
        """Walks that began when about as much was known as now."""
        left = self.left
        return int((left[:-1] <= 4 * left[-1]).sum())

    def moments(self) -> Optional[Moments]:
        """Means under masking; None where nothing is known of a part that counts."""
        o, now = self.oracle, self.oracle.now()
        if not len(self) and now.mask_left > NOTHING:
            return None
        sums = [-math.inf if failed else float(o.kept[v]) for v, failed in zip(self.ends, self.failed)]
        shift = max([*sums, math.log(now.mass) if now.mass > 0 else -math.inf], default=0.0)
        shift = shift if math.isfinite(shift) else 0.0
        rows = np.zeros((len(self), 4))
        dead = now.mask_dead > 0
        for i, s in enumerate(sums):
            if self.failed[i]:
                rows[i, 3] = 1.0
                continue
            v, clock = self.ends[i], self.starts[i].clock
            while o.when[v] > clock:        # to the last node that was known when it began
                v = int(o.parent[v])
            w = math.exp(s - shift)
            rows[i] = s - (0.0 if dead else float(o.kept[v])), w, s * w, 0.0
        small = _exp(-shift)
        known = np.array([(k.mask_log + (0.0 if dead else k.mask_open), k.mass * small, k.mass_log * small, k.mask_dead)
                          for k in (*self.starts, now)])
        return Moments.blend(known, self.left, rows, shift)

    def span(self) -> tuple[float, float]:
        """The least and the greatest S of the texts known."""
        o = self.oracle
        s = o.kept[:o.size][o.ended[:o.size] > 0]
        return (float(s.min()), float(s.max())) if len(s) else (0.0, 0.0)

    def passed(self) -> np.ndarray:
        """How often masking comes to each node, on average, as the walks tell; for all nodes."""
        o = self.oracle
        n = o.size
        out = o.arrivals() * (o.expanded[:n] == 1)
        left = self.left
        if not len(self) or left[-1] <= NOTHING:
            return out
        inverse = 1 / left
        # what was known when a walk began counts exactly, what it saw beyond by its weight
        clocks = np.array([*(s.clock for s in self.starts), o.now().clock])
        order = np.argsort(clocks, kind="stable")
        sums = np.concatenate([np.cumsum(inverse[order][::-1])[::-1], [0.0]])
        out *= sums[np.searchsorted(clocks[order], o.when[:n], side="left")] / inverse.sum()
        for i, v in enumerate(self.ends):
            while o.when[v] > clocks[i]:
                out[v] += (1 + 1 / len(self)) / inverse.sum()
                v = int(o.parent[v])
        return out


def _exp(x: float) -> float:
    """exp that does not overflow: beyond, errors are infinite for all purposes."""
    return math.exp(min(x, 700.0))


def _spread(values: np.ndarray, extremes: Sequence[float], scale: float) -> float:
    """Standard error of `scale` times the mean of `values` and one more, which nobody saw, as far off as `extremes`."""
    k = len(values)
    mean = float(values.mean()) if k else 0.0
    off = max(abs(x - mean) for x in extremes)
    if k < 2:
        return scale * max(1.0, off)
    return scale * math.hypot(float(values.std(ddof=1)) * math.sqrt(k), off) / (k + 1)


def log_z_from_weights(log_w: Sequence[float]) -> Interval:
    """log Z as the log of the mean weight, with a normal interval."""
    logs = np.asarray(log_w, dtype=np.float64)
    shift = float(logs.max())
    if shift == -math.inf:
        return Interval(-math.inf, -math.inf, math.inf)
    w = np.exp(logs - shift)
    value, error = float(w.mean()), 1.96 * _spread(w, [0.0, 1.0], 1.0)
    low, mean, high = (shift + math.log(x) if x > 0 else -math.inf for x in (value - error, value, value + error))
    return Interval(mean, low, high)


def to_mask_from_texts(oracle: PrefixOracle, attempts: Sequence[Attempt], log_z: float, log_error: float,
                       weighted: bool) -> Distance:
    """KL(target || mask) from attempts whose texts follow the target, Z known with an error.

    Texts that were known count by exact sums; of those that were new the i-th
    says that the sum of P * S is ``mass_log + (Z - mass) * S`` of its start.

    Parameters
    ----------
    weighted : bool
        Whether it takes weights U r to make them follow the target.
    """
    now, z = oracle.now(), math.exp(log_z)
    if complete(now):
        return Distance(now.mass_log / now.mass - log_z, 0.0, 0)
    seen = [a.log_mass for a in attempts if a.success]
    if not seen or not z > 0:
        return UNKNOWN
    error = z * min(log_error, 1.0)
    new = [a for a in attempts if a.success and a.new]
    s = np.array([a.log_mass for a in new])
    share = np.array([a.start.upper * math.exp(a.log_r) if weighted else 1.0 for a in new])
    share /= share.mean() if new else 1.0
    guess = float((share * s).mean()) if new else now.mass_log / now.mass
    known = np.array([(k.mass, k.mass_log) for k in (*(a.start for a in new), now)])
    gap = np.maximum(z - known[:, 0], 0.0)
    inverse = np.array([*share, 1.0]) / (gap + error + 1e-300)
    mean = float((inverse * (known[:, 1] + gap * [*s, guess])).sum() / inverse.sum()) / z
    own = _spread(share * (s - guess), [min(seen) - guess, max(seen) - guess], len(inverse) / float(inverse.sum()) / z)
    # Z tells what is not known only as far as some walk has seen it; by the draws alone, one more may be new
    far = max(abs(x - guess) for x in Walks(oracle).span())
    own = max(own, far * min(1 / (len(seen) + 1), max(now.upper - now.mass, 0.0) / z))
    return Distance(mean - log_z, math.hypot(own, (guess - mean - 1) * log_error), len(new))


def complete(now: Known) -> bool:
    """Is nearly every text known?"""
    return now.upper - now.mass <= 1e-9 * now.upper


def to_mask_from_weights(log_mass: Sequence[float], log_z: float, log_error: float,
                         weights: Sequence[float]) -> Distance:
    """KL(target || mask) from texts weighted towards the target."""
    s = np.asarray(log_mass, dtype=np.float64)
    n = len(s)
    p = np.exp(np.asarray(weights) - np.max(weights))
    p = p / p.sum()
    mean = float((p * s).sum())
    error = math.sqrt(float((p ** 2 * (s - mean) ** 2).sum()) * (n / (n - 1))) if n > 1 else math.inf
    return Distance(mean - log_z, math.hypot(error, log_error), n)
