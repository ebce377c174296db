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
from typing import Callable, Optional

import numpy as np

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
    """What a run leaves: particles with their weights, and the estimate of log Z."""

    particles: list[Particle]
    log_z: float
    resamplings: int
    ancestors: int          # distinct particles of the first step that have descendants
    tests: int              # calls of the predicate


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


def run_particles(oracle: PrefixOracle, n: int, rng: np.random.Generator, *, threshold: float = 0.5,
                  twist: bool = False, potential: Optional[Potential] = None,
                  predicate: Optional[Predicate] = None,
                  spent: Callable[[], bool] = lambda: False) -> Optional[Cloud]:
    """Run `n` particles to the end; None if `spent()` turned true before.

    A predicate that raises ends the run with its error.
    """
    particles = [Particle() for _ in range(n)]
    origin = list(range(n))
    log_z, resamplings, tests = 0.0, 0, 0
    verdicts: dict[tuple[int, int], bool] = {}
    oracle.expand([0])
    while True:
        moving = [x for x in particles if x.end < 0 and x.log_w > -math.inf]
        if not moving:
            break
        if spent():
            return None
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

                def test(k: int) -> bool:
                    nonlocal tests
                    key = (v, int(ids[k]))
                    if key not in verdicts:
                        tests += 1
                        end = bool(oracle.ends[ids[k]])
                        more = b"" if end else oracle.vocabulary.token_bytes(int(ids[k])) or b""
                        verdicts[key] = bool(predicate(base + more, end))
                    return verdicts[key]

                k, share = adaptive_draw(p / p.sum(), test, rng)
                if k < 0:
                    x.log_w = -math.inf
                    continue
                token = int(ids[k])
                x.log_w += math.log(share)
            if oracle.ends[token]:
                x.end = token
                oracle.found(v, token)
            else:
                x.node = oracle.child(v, token)
                if twist and oracle.expanded[x.node]:
                    x.used = float(oracle.theta[x.node])
            if potential is not None:
                value = float(potential(oracle.text(x.node), x.end >= 0))
                x.log_w += value - x.log_potential
                x.log_potential = value
        weights = [x.log_w for x in particles]
        if max(weights) == -math.inf:
            break
        running = any(x.end < 0 and x.log_w > -math.inf for x in particles)
        if running and ess(weights) < threshold * n:
            log_z += log_mean_exp(weights)
            particles, chosen = _resampled(particles, rng)
            origin = [origin[k] for k in chosen]
            resamplings += 1
    log_z += log_mean_exp([x.log_w for x in particles])
    return Cloud(particles, log_z, resamplings, len(set(origin)), tests)
