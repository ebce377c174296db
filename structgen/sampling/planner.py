"""``sampling="aligned"``: a few masked texts tell which method is worth its cost.

What is predicted, and why it can be:

* masked texts have weights whose effective share says how far masking is from
  the target: near 1, weights correct the rest for nothing;
* exact sampling needs theta(root) / Z attempts a text, and theta has already come
  down by what the rollouts have seen; of the nodes of a walk only those nobody
  has been at cost the model anything.  The share of new nodes in the later half
  of the rollouts estimates that.

The rollouts stay in the oracle, so nothing of them is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

import numpy as np

from .budget import Meter
from .estimates import ess, log_mean_exp
from .oracle import PrefixOracle
from .walkers import Attempt, Walkers

__all__ = ["Plan", "plan", "ROLLOUTS"]

ROLLOUTS = 32
#: attempts a text up to which independent draws are thought worth it
MAX_ATTEMPTS = 50.0


@dataclass(frozen=True)
class Plan:
    """The method chosen, why, and the rollouts it rests on."""

    method: str
    reason: str
    attempts_per_text: float
    evaluations_per_text: float
    rollouts: list[Attempt]


def plan(oracle: PrefixOracle, seed: int, *, batch: int = 16, meter: Optional[Meter] = None,
         rollouts: int = ROLLOUTS) -> Plan:
    """Make masked rollouts and choose between exact, weighted and smc."""
    walkers = Walkers(oracle, "mask", seed, batch, meter)
    done: list[Attempt] = []
    new_nodes: list[tuple[int, int]] = []
    before = oracle.evaluations
    for a in walkers.finished():
        done.append(a)
        new_nodes.append((oracle.evaluations - before, a.visits))
        if len(done) == rollouts:
            break
    log_w = [a.log_mass if a.success else -math.inf for a in done]
    if not done or max(log_w) == -math.inf:
        return Plan("exact", "no masked text was finished within the horizon", math.inf, math.inf, done)
    share = ess(log_w) / len(done)
    log_z = max(log_mean_exp(log_w), math.log(oracle.known) if oracle.known > 0 else -math.inf)
    attempts = math.exp(min(max(0.0, math.log(oracle.upper) - log_z), 700.0))
    half = len(new_nodes) // 2
    visits = np.diff([0, *np.cumsum([v for _, v in new_nodes])])[half:].sum()
    fresh = new_nodes[-1][0] - (new_nodes[half - 1][0] if half else 0)
    length = float(np.mean([a.visits for a in done]))
    evaluations = attempts * length * min(1.0, fresh / max(1, visits))
    if share > 0.95:
        return Plan("weighted", f"masking is close to the target already: {share:.0%} of {len(done)} masked texts are "
                                "effective, so weights correct it for nothing", attempts, evaluations, done)
    if attempts <= MAX_ATTEMPTS:
        return Plan("exact", f"independent draws cost about {attempts:.2g} attempts and {evaluations:.2g} "
                             f"evaluations a text; of {len(done)} masked texts {share:.0%} are effective",
                    attempts, evaluations, done)
    if share >= 0.2:
        return Plan("weighted", f"independent draws would take about {attempts:.2g} attempts a text; "
                                f"{share:.0%} of masked texts are effective", attempts, evaluations, done)
    return Plan("smc", f"independent draws would take about {attempts:.2g} attempts a text, and only {share:.0%} of "
                       "masked texts are effective", attempts, evaluations, done)
