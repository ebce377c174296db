"""Sequential Monte Carlo over the prefix oracle, with user potentials and black-box predicates.

Particles move one token at a time.  The proposal is the mask's: p / m(v), with
the exact weight m(v), which costs nothing since the mask is known.  With
``twist`` children are drawn in proportion to p * theta and weighted by
U(v) / theta used: the oracle's bounds as a twist function.  When the effective
sample size falls below a share of the particles they are resampled
(stratified), which makes the texts dependent and the answer biased by O(1 / N):
results are never called exact.  The estimate of Z is unbiased.

A *potential* is ``f(text: bytes, ended: bool) -> float``, a log weight of a
partial text; only the final one counts in the target, the earlier ones guide.

A *predicate* is ``f(text: bytes, ended: bool) -> bool`` that must hold for every
prefix.  Testing all allowed tokens would cost V calls a step.  Instead tokens
are drawn until two are accepted; with r rejections on the way 1 / (r + 1) is an
unbiased estimate of the share of mass that the predicate keeps, and the first
accepted token is a draw from what it keeps, independent of r (the
negative-binomial estimator of AWRS, arXiv 2504.05410).  A token that was
rejected is never tested again: how often it would have been drawn is a
geometric number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np

from ..errors import PredicateError
from .estimates import ess, log_mean_exp
from .oracle import PrefixOracle

__all__ = ["Particle", "Cloud", "run_particles", "adaptive_draw"]

Predicate = Callable[[bytes, bool], bool]
Potential = Callable[[bytes, bool], float]


@dataclass
class Particle:
    """A text in the making."""

    node: int = 0
    end: int = -1
    used: float = 1.0
    log_w: float = 0.0
    log_mass: float = 0.0
    log_potential: float = 0.0
    visits: int = 0

    def copy(self) -> "Particle":
        return Particle(**vars(self))


@dataclass
class Cloud:
    """Particles with their weights, as far as a run has come.

    `log_z` is the estimate once the run is over; `ancestors` counts the particles
    of the first step that have descendants, `tests` the calls of the predicate.
    """

    particles: list[Particle]
    log_z: float = 0.0
    resamplings: int = 0
    ancestors: int = 0
    tests: int = 0

    @classmethod
    def start(cls, n: int) -> "Cloud":
        """`n` particles at the root."""
        return cls([Particle() for _ in range(n)])


def adaptive_draw(p: np.ndarray, test: Callable[[int], bool],
                  rng: np.random.Generator) -> tuple[int, float]:
    """A draw of an index accepted by `test`, and an unbiased estimate of the mass accepted.

    Parameters
    ----------
    p : float64, shape (n,)
        Probabilities that sum to 1.

    Returns
    -------
    (index, estimate)
        Index -1 and 0.0 if nothing of positive probability is accepted.
        E[estimate * f(index)] is the sum of p * f over what is accepted.
    """
    p = p.copy()
    accepted: set[int] = set()
    first, hits, misses, gone = -1, 0, 0, 0.0
    sums = np.cumsum(p)
    while hits < 2:
        left = sums[-1]
        if left <= 0 or not p.any():
            return -1, 0.0
        if gone > 0:
            misses += int(min(rng.geometric(min(1.0, left / (left + gone))) - 1, 1 << 60))
        k = int(np.searchsorted(sums, rng.random() * left, side="right"))
        k = min(k, int(np.flatnonzero(p)[-1]))
        if k in accepted or test(k):
            accepted.add(k)
            first = k if first < 0 else first
            hits += 1
        else:
            misses += 1
            gone += float(p[k])
            p[k] = 0.0
            sums = np.cumsum(p)
    return first, 1.0 / (misses + 1)


def _resampled(particles: list[Particle], rng: np.random.Generator) -> tuple[list[Particle], list[int]]:
    """Stratified resampling; every copy gets the mean weight."""
    n = len(particles)
    log_w = np.array([x.log_w for x in particles])
    w = np.exp(log_w - log_w.max())
    sums = np.cumsum(w)
    points = (np.arange(n) + rng.random(n)) / n * sums[-1]
    chosen = np.minimum(np.searchsorted(sums, points, side="right"), int(np.flatnonzero(w)[-1]))
    out = []
    for k in chosen:
        copy = particles[k].copy()
        copy.log_w = 0.0
        out.append(copy)
    return out, [int(k) for k in chosen]


def _asked(function: Callable[[bytes, bool], Any], name: str, text: bytes, ended: bool) -> float:
    """A verdict of the caller's function as a number."""
    try:
        value = float(function(text, ended))
    except Exception as error:
        raise PredicateError(f"the {name} raised {type(error).__name__}: {error} (asked about {text[-60:]!r}, "
                             f"ended={ended})", text=text, hint="the error's .partial holds what was found so far"
                             ) from error
    if math.isnan(value) or value == math.inf:
        raise PredicateError(f"the {name} gave {value} (asked about {text[-60:]!r}, ended={ended})", text=text,
                             hint="the error's .partial holds what was found so far")
    return value


def run_particles(oracle: PrefixOracle, cloud: Cloud, rng: np.random.Generator, *, threshold: float = 0.5,
                  twist: bool = False, potential: Optional[Potential] = None,
                  predicate: Optional[Predicate] = None,
                  spent: Callable[[], bool] = lambda: False) -> bool:
    """Run the particles to the end; False if `spent()` turned true before.

    Whatever happens, `cloud` holds the particles as far as they came.

    Raises
    ------
    PredicateError
        The predicate or potential raised, or gave NaN or infinity.
    """
    n = len(cloud.particles)
    origin = list(range(n))
    verdicts: dict[tuple[int, int], bool] = {}
    log_z = 0.0

    def holds(v: int, token: int, base: bytes) -> bool:
        key = (v, token)
        if predicate is not None and key not in verdicts:
            end = bool(oracle.ends[token])
            text = base if end else base + (oracle.vocabulary.token_bytes(token) or b"")
            verdicts[key] = bool(_asked(predicate, "predicate", text, end))
            cloud.tests += 1
        return verdicts[key]

    oracle.expand([0])
    while True:
        moving = [x for x in cloud.particles if x.end < 0 and x.log_w > -math.inf]
        if not moving:
            break
        if spent():
            return False
        oracle.expand([x.node for x in moving])
        for x in moving:
            v = x.node
            x.visits += 1
            mass, bound = float(oracle.mass[v]), float(oracle.theta[v])
            if bound <= 0:
                x.log_w = -math.inf
                continue
            x.log_mass += math.log(mass)
            x.log_w += math.log(bound / x.used) if twist else math.log(mass)
            x.used = 1.0
            if predicate is None:
                token, _ = oracle.draw(v, rng, bound=twist)
            else:
                ids, logp = oracle.row(v)
                p = np.exp(logp.astype(np.float64) - math.log(mass))
                base = oracle.text(v)
                k, share = adaptive_draw(p / p.sum(), lambda k: holds(v, int(ids[k]), base), rng)
                if k < 0:
                    x.log_w = -math.inf
                    continue
                token = int(ids[k])
                x.log_w += math.log(share)
            if oracle.ends[token]:
                x.end = token
            else:
                x.node = oracle.child(v, token)
                if twist and oracle.expanded[x.node]:
                    x.used = float(oracle.theta[x.node])
            if potential is not None:
                value = _asked(potential, "potential", oracle.text(x.node), x.end >= 0)
                x.log_w += value - x.log_potential
                x.log_potential = value
        weights = [x.log_w for x in cloud.particles]
        if max(weights) == -math.inf:
            break
        running = any(x.end < 0 and x.log_w > -math.inf for x in cloud.particles)
        if running and ess(weights) < threshold * n:
            log_z += log_mean_exp(weights)
            cloud.particles, chosen = _resampled(cloud.particles, rng)
            origin = [origin[k] for k in chosen]
            cloud.resamplings += 1
    cloud.log_z = log_z + log_mean_exp([x.log_w for x in cloud.particles])
    cloud.ancestors = len(set(origin))
    return True
