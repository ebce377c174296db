"""Metropolis-Hastings over valid texts (arXiv 2506.05754), on the prefix oracle.

The state is a valid text x.  A proposal cuts it at a node and writes the rest
anew by masking.  ``restart`` always cuts at the start; ``prefix`` uniformly
among the text's |x| nodes, and the chance of a proposal sums over all cuts that
could have made it:

    g(x' | x) = 1 / |x| * sum over cuts i within the common prefix of q(x' after i).

Accepted with min(1, P(x') g(x | x') / (P(x) g(x' | x))).  Every text is valid;
the law is right only in the limit, so results are never called exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .estimates import log_mean_exp
from .oracle import PrefixOracle

__all__ = ["STYLES", "State", "masked_text", "step"]

STYLES = ("restart", "prefix")


@dataclass
class State:
    """A valid text as its nodes (root first), end token, log P and log masses of the nodes.

    `failed`: no text, but the way into a dead end.
    """

    nodes: list[int]
    end: int
    log_p: float
    log_mass: np.ndarray
    visits: int = 0
    failed: bool = False

    def suffix(self, oracle: PrefixOracle, i: int) -> float:
        """log q of what comes behind the i-th node."""
        return self.log_p - float(oracle.log_path[self.nodes[i]]) - float(self.log_mass[i:].sum())


def masked_text(oracle: PrefixOracle, rng: np.random.Generator, start: int = 0) -> State:
    """A text by masking, from a node on; failed where the horizon or the filters leave nothing."""
    v, visits = start, 0
    while True:
        oracle.expand([v])
        visits += 1
        if oracle.theta[v] <= 0:
            return State(oracle.nodes_to(v), -1, -math.inf, np.zeros(0), visits, failed=True)
        token, _ = oracle.draw(v, rng)
        if oracle.ends[token]:
            nodes = oracle.nodes_to(v)
            return State(nodes, token, oracle.log_prob(v, token), np.log(oracle.mass[nodes]), visits)
        v = oracle.child(v, token)


def _log_proposal(oracle: PrefixOracle, x: State, y: State, style: str) -> float:
    """log g(y | x)."""
    if style == "restart":
        return y.suffix(oracle, 0)
    shared = 0
    while shared < min(len(x.nodes), len(y.nodes)) and x.nodes[shared] == y.nodes[shared]:
        shared += 1
    return log_mean_exp([y.suffix(oracle, i) for i in range(shared)]) + math.log(shared) - math.log(len(x.nodes))


def step(oracle: PrefixOracle, x: State, style: str, rng: np.random.Generator) -> tuple[State, bool, int]:
    """One step of the chain: the next state, whether the proposal was accepted, nodes visited."""
    cut = 0 if style == "restart" else int(rng.integers(len(x.nodes)))
    y = masked_text(oracle, rng, x.nodes[cut])
    if y.failed:
        return x, False, y.visits
    ratio = y.log_p - x.log_p + _log_proposal(oracle, y, x, style) - _log_proposal(oracle, x, y, style)
    if math.log(max(rng.random(), 1e-300)) < ratio:
        return y, True, y.visits
    return x, False, y.visits
