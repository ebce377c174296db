"""Estimates from walks: log Z with an interval, the quality of weights.

Z = P(a valid text), the normaliser of the target law.

**Z from attempts.**  An attempt that starts when theta(root) is U and the texts
known by then have mass L succeeds with a *new* text with probability
(Z - L) / U, whatever happened before.  So the attempts' outcomes have the
likelihood prod((Z - L_t) / U_t) ** s_t * (1 - (Z - L_t) / U_t) ** (1 - s_t), in
which nothing but Z is unknown, and Z lies in [max L, min U] for certain.  We
report its maximum and the profile-likelihood interval cut to those bounds; near
a complete trie, where a normal approximation collapses, the bounds take over.

How far apart masking and target are is :mod:`structgen.sampling.distances`' matter.

Pareto k: Vehtari, Simpson, Gelman, Yao, Gabry, "Pareto smoothed importance
sampling" (2015), with the fit of Zhang and Stephens (2009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

__all__ = ["Interval", "z_from_attempts", "ess", "pareto_k", "log_mean_exp"]


@dataclass(frozen=True)
class Interval:
    """An estimate with a 95 % interval."""

    value: float
    low: float
    high: float


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
        The mass of the texts known and theta(root) when each attempt began.
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
