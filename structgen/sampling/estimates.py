"""Estimates from walks: log Z with an interval, distances between laws, the quality of weights.

Z = P(a valid text), the normaliser of the target law.

**Z from attempts.**  An attempt that starts when theta(root) is U and the texts
found so far have mass L succeeds with a *new* text with probability
(Z - L) / U, whatever happened before.  So the attempts' outcomes have the
likelihood prod((Z - L_t) / U_t) ** s_t * (1 - (Z - L_t) / U_t) ** (1 - s_t), in
which nothing but Z is unknown, and Z lies in [max L, min U] for certain.  We
report its maximum and the profile-likelihood interval cut to those bounds; near
a complete trie, where a normal approximation collapses, the bounds take over.

**Z and distances from masked texts.**  A text drawn by masking has the weight
w = prod m(v) = P(x) / q(x); E_q[w] = Z, KL(q || target) = log Z - E_q[log w] and
KL(target || q) = E_target[log w] - log Z.

Pareto k: Vehtari, Simpson, Gelman, Yao, Gabry, "Pareto smoothed importance
sampling" (2015), with the fit of Zhang and Stephens (2009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

__all__ = ["Interval", "z_from_attempts", "z_from_weights", "ess", "pareto_k", "Distance", "kl_mask_target",
           "kl_target_mask", "log_mean_exp"]


@dataclass(frozen=True)
class Interval:
    """An estimate with a 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Distance:
    """A Kullback-Leibler divergence in nats with its standard error, from `n` texts."""

    value: float
    stderr: float
    n: int


def log_mean_exp(log_w: Sequence[float]) -> float:
    """log of the mean of exp(log_w); -inf for no or only impossible entries."""
    w = np.asarray(log_w, dtype=np.float64)
    if not len(w) or w.max() == -np.inf:
        return -math.inf
    top = w.max()
    return float(top + np.log(np.mean(np.exp(w - top))))


def z_from_attempts(lower: Sequence[float], upper: Sequence[float], new: Sequence[bool],
                    bounds: tuple[float, float]) -> Interval:
    """Z from attempts; see the module's text.

    Parameters
    ----------
    lower, upper : sequences of float
        The mass of texts found and theta(root) when each attempt began.
    new : sequence of bool
        Whether it ended with a text not among them.
    bounds : (float, float)
        What is certain about Z now.

    Examples
    --------
    >>> round(z_from_attempts([0.0] * 4, [1.0] * 4, [True, False, True, False], (0.0, 1.0)).value, 6)
    0.5
    """
    floor, ceiling = bounds
    low_t, up_t, s = np.asarray(lower, float), np.asarray(upper, float), np.asarray(new, bool)
    ceiling = max(min(ceiling, float(up_t.min(initial=math.inf))), floor)
    width = ceiling - floor
    if not len(s) or width <= 1e-12 * ceiling:
        return Interval(0.5 * (floor + ceiling) if len(s) or width <= 0 else ceiling, floor, ceiling)

    def log_likelihood(z: float) -> float:
        q = np.clip((z - low_t) / up_t, 0.0, 1.0)
        with np.errstate(divide="ignore"):
            return float(np.log(q[s]).sum() + np.log1p(-q[~s]).sum())

    def slope(z: float) -> float:
        q = np.maximum(z - low_t, 1e-300)
        with np.errstate(divide="ignore"):
            return float((1 / q[s]).sum() - (1 / np.maximum(up_t - q, 0)[~s]).sum())

    # concave in z: sums of logs of linear functions
    a, b = floor, ceiling
    for _ in range(60):
        best = 0.5 * (a + b)
        if slope(best) > 0:
            a = best
        else:
            b = best
    best = 0.5 * (a + b)
    top = log_likelihood(best)
    target = top - 1.9207           # half the 95 % quantile of chi-squared with one degree of freedom

    def edge(inside: float, outside: float) -> float:
        if log_likelihood(outside) >= target:
            return outside
        for _ in range(50):
            mid = 0.5 * (inside + outside)
            if log_likelihood(mid) >= target:
                inside = mid
            else:
                outside = mid
        return outside

    return Interval(best, edge(best, floor), edge(best, ceiling))


def z_from_weights(log_w: Sequence[float]) -> Interval:
    """log Z as log of the mean weight, with a normal interval on the log scale."""
    w = np.asarray(log_w, dtype=np.float64)
    value = log_mean_exp(w)
    if value == -math.inf or len(w) < 2:
        return Interval(value, -math.inf, math.inf if value == -math.inf else 0.0)
    ratio = np.exp(w - value)
    error = 1.96 * float(ratio.std(ddof=1)) / math.sqrt(len(w))
    low = value + math.log1p(-error) if error < 1 else -math.inf
    return Interval(value, low, min(0.0, value + math.log1p(error)))


def ess(log_w: Sequence[float]) -> float:
    """Effective sample size, (sum w)^2 / sum w^2.

    Examples
    --------
    >>> ess([0.0, 0.0, float("-inf")])
    2.0
    """
    w = np.asarray(log_w, dtype=np.float64)
    if not len(w) or w.max() == -np.inf:
        return 0.0
    w = np.exp(w - w.max())
    return float(w.sum() ** 2 / (w ** 2).sum())


def pareto_k(log_w: Sequence[float]) -> Optional[float]:
    """Shape of the tail of the weights; above 0.7 the weighted estimates cannot be trusted.

    None for fewer than 25 weights; -inf where the tail is flat.
    """
    w = np.asarray(log_w, dtype=np.float64)
    w = w[w > -np.inf]
    n = len(w)
    if n < 25:
        return None
    w = np.sort(np.exp(w - w.max()))
    size = int(min(0.2 * n, 3 * math.sqrt(n)))
    tail = w[-size:] - w[-size - 1]
    if tail[-1] <= 1e-12 or tail[0] == tail[-1]:
        return -math.inf
    tail = np.maximum(tail, 1e-300)
    m = 30 + int(math.sqrt(size))
    quartile = tail[int(size / 4 + 0.5) - 1]
    theta = 1 / tail[-1] + (1 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / (3 * max(quartile, 1e-12))
    theta = theta[theta < 1 / tail[-1]]
    k = np.array([np.mean(np.log1p(-t * tail)) for t in theta])
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = size * (np.log(-theta / k) - k - 1)
    good = np.isfinite(likelihood)
    if not good.any():
        return -math.inf
    theta, likelihood = theta[good], likelihood[good]
    weight = np.exp(likelihood - likelihood.max())
    mean = float((theta * weight).sum() / weight.sum())
    shape = float(np.mean(np.log1p(-mean * tail)))
    # the prior of the reference implementation pulls short tails towards 0.5
    return (size * shape + 5) / (size + 10)


def kl_mask_target(log_w: Sequence[float], log_z: Optional[float] = None, log_z_error: float = 0.0) -> Distance:
    """KL(mask || target) from texts drawn by masking.

    With `log_z` known from elsewhere (standard error `log_z_error`) it is log Z
    minus a mean; without, Z comes from the same weights.
    """
    w = np.asarray(log_w, dtype=np.float64)
    n = len(w)
    if not n:
        return Distance(math.nan, math.inf, 0)
    if w.min() == -np.inf:
        return Distance(math.inf, math.nan, n)
    if n == 1:
        return Distance(0.0 if log_z is None else log_z - float(w[0]), math.inf, 1)
    if log_z is not None:
        spread = float(w.std(ddof=1)) / math.sqrt(n)
        return Distance(log_z - float(w.mean()), math.hypot(spread, log_z_error), n)
    value = log_mean_exp(w)
    influence = np.exp(w - value) - w           # of log mean w, minus of mean log w
    return Distance(value - float(w.mean()), float(influence.std(ddof=1)) / math.sqrt(n), n)


def kl_target_mask(log_w: Sequence[float], log_z: float, log_z_error: float = 0.0,
                   weights: Optional[Sequence[float]] = None) -> Distance:
    """KL(target || mask) from texts of the target law, or weighted towards it."""
    w = np.asarray(log_w, dtype=np.float64)
    n = len(w)
    if not n:
        return Distance(math.nan, math.inf, 0)
    p = np.full(n, 1 / n) if weights is None else np.exp(np.asarray(weights) - np.max(weights))
    p = p / p.sum()
    mean = float((p * w).sum())
    error = math.sqrt(float((p ** 2 * (w - mean) ** 2).sum()) * (n / (n - 1))) if n > 1 else math.inf
    return Distance(mean - log_z, math.hypot(error, log_z_error), n)
