"""Exact answers where the product of model and constraint is finite.

The model's scores depend on a context (``scorer.context``), the constraint is at
one of finitely many states: then the pairs s = (state, context) are a finite
Markov chain.  With M the probabilities p of its allowed steps, b those of ending,

    beta = b + M beta,    Z = beta(start)

gives the probability that a valid text follows, over *all* lengths by one linear
solve, or within a horizon of T tokens by T steps of the recursion.  In the same
way E[sum of log m] under masking, from which the exact KL(mask || target)
follows, and the expected lengths.  Exact draws follow p * beta.

This is the ground truth of the tests, and what ``sampling="dp"`` uses for models
with finite context.  For other models and finite languages it completes the trie
(:meth:`structgen.sampling.oracle.PrefixOracle.complete`).
"""

from __future__ import annotations

import math
from typing import Any, Hashable, Optional

import numpy as np

from ..errors import LimitError, MatcherError, ModelError, StructgenError
from .scorers import Path, Scorer
from .warping import Warping

__all__ = ["Product"]


class Product:
    """The chain of (constraint state, context) pairs.

    Parameters
    ----------
    scorer : Scorer
        With ``context``.
    compiled : Compiled
    warping : Warping
    max_tokens : int, optional
        Horizon, end token included; None: texts of any length.
    max_states : int
        More pairs are a LimitError.

    Attributes
    ----------
    z : float
        P(valid text).
    kl_mask_target, kl_target_mask : float
        Between masking token by token and the target law, in nats.
    length_mask, length_target : float
        Expected tokens of a text, end token included.

    Within a horizon what is said of masking is about the texts it finishes.
    """

    def __init__(self, scorer: Scorer, compiled: Any, warping: Warping = Warping(), *,
                 max_tokens: Optional[int] = None, max_states: int = 4000):
        if not hasattr(scorer, "context"):
            raise StructgenError("the model has no finite context", hint="sampling='exact' works for every model")
        self.vocabulary = compiled.vocabulary
        self.max_tokens = max_tokens
        self._ends = np.zeros(self.vocabulary.size, bool)
        self._ends[list(self.vocabulary.eos_ids)] = True
        self._explore(scorer, compiled, warping, max_states)
        self._solve()

    def _explore(self, scorer: Scorer, compiled: Any, warping: Warping, max_states: int) -> None:
        index: dict[Hashable, int] = {}
        todo: list[tuple[Any, Path]] = []
        # two arenas must not share an id while we look
        self._held: list[Any] = []

        def state(matcher: Any, path: Path) -> int:
            key = (matcher.state, scorer.context(path))          # type: ignore[attr-defined]
            if key not in index:
                if len(index) == max_states:
                    raise LimitError(f"more than {max_states} pairs of constraint state and context",
                                     place="states of the exact product", limit=max_states,
                                     hint="is the constraint regular? sampling='exact' needs no finite product")
                index[key] = len(index)
                todo.append((matcher, path))
                self._held.append(matcher)
            return index[key]

        state(compiled.matcher(), ())
        rows = []
        at = 0
        while at < len(todo):
            matcher, path = todo[at]
            at += 1
            allowed = matcher.allowed_tokens()
            line = warping.log_probs(np.asarray(scorer.score([path], [1])[0]))[0]
            if np.isnan(line).any():
                raise ModelError(f"the model gave NaN scores behind {len(path)} tokens")
            p = np.exp(line[allowed].astype(np.float64))
            allowed, p = allowed[p > 0], p[p > 0]
            following = np.full(len(allowed), -1, np.int64)
            for k, t in enumerate(allowed):
                if not self._ends[t]:
                    fork = matcher.fork()
                    fork.accept(int(t))
                    following[k] = state(fork, (*path, int(t)))
            rows.append((allowed, p, following))
        self._rows = rows
        n = len(rows)
        self.step = np.zeros((n, n))
        self.end = np.zeros(n)
        for s, (_, p, following) in enumerate(rows):
            self.end[s] = p[following < 0].sum()
            np.add.at(self.step[s], following[following >= 0], p[following >= 0])
        self.mass = self.step.sum(axis=1) + self.end

    def _solve(self) -> None:
        n = len(self.mass)
        one = np.eye(n)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_m = np.where(self.mass > 0, np.log(self.mass), 0.0)
            masked = np.where(self.mass[:, None] > 0, self.step / self.mass[:, None], 0.0)
        if self.max_tokens is None:
            self.betas = [np.linalg.solve(one - self.step, self.end)]
            beta = self.betas[0]
            self.z = float(beta[0])
            self._nonzero()
            with np.errstate(divide="ignore", invalid="ignore"):
                target = np.where(beta[:, None] > 0, self.step * beta[None, :] / beta[:, None], 0.0)
            mask_mass = np.linalg.solve(one - masked, log_m)[0]
            target_mass = np.linalg.solve(one - target, log_m)[0]
            self.length_mask = float(np.linalg.solve(one - masked, np.ones(n))[0])
            self.length_target = float(np.linalg.solve(one - target, np.ones(n))[0])
            self.kl_mask_target = math.log(self.z) - float(mask_mass)
            self.kl_target_mask = float(target_mass) - math.log(self.z)
            return
        # betas[r]: with r tokens left
        self.betas = [np.zeros(n)]
        # sums of log m and of lengths under the target, times beta
        mass_t, length_t = np.zeros(n), np.zeros(n)
        # under masking: the probability of finishing, and sums of log m over what is finished
        done, mass_m, length_m = np.zeros(n), np.zeros(n), np.zeros(n)
        for left in range(1, self.max_tokens + 1):
            before = self.betas[-1]
            if left == 1:
                beta = self.end.copy()
                with np.errstate(divide="ignore"):
                    own = np.where(self.end > 0, np.log(np.where(self.end > 0, self.end, 1)), 0.0)
            else:
                beta = self.end + self.step @ before
                own = log_m
            mass_t = beta * own + (self.step @ mass_t if left > 1 else 0.0)
            length_t = beta + (self.step @ length_t if left > 1 else 0.0)
            if left == 1:
                finished = (self.end > 0).astype(float)
                mass_m, length_m = finished * own, finished
            else:
                with np.errstate(divide="ignore", invalid="ignore"):
                    finished = np.where(self.mass > 0, self.end / self.mass, 0.0) + masked @ done
                mass_m = finished * log_m + masked @ mass_m
                length_m = finished + masked @ length_m
            done = finished
            self.betas.append(beta)
        self.z = float(self.betas[-1][0])
        self._nonzero()
        self.length_target = float(length_t[0] / self.z)
        self.kl_target_mask = float(mass_t[0] / self.z) - math.log(self.z)
        self.kl_mask_target, self.length_mask = math.inf, math.nan
        if done[0] > 0:
            self.kl_mask_target = math.log(self.z) - float(mass_m[0] / done[0]) - math.log(done[0])
            self.length_mask = float(length_m[0] / done[0])

    def _nonzero(self) -> None:
        if not self.z > 0:
            raise MatcherError("every valid text has probability zero under the model, its filters and the horizon",
                               hint="raise max_tokens, or loosen top_k, top_p, min_p")

    def draw(self, rng: np.random.Generator) -> tuple[Path, float, float]:
        """An exact draw: its tokens (end token included), log P, and sum of log m."""
        s, path, log_p, log_mass = 0, [], 0.0, 0.0
        left = self.max_tokens
        while True:
            allowed, p, following = self._rows[s]
            beta = self.betas[0] if left is None else self.betas[left - 1]
            w = p * np.where(following < 0, 1.0, beta[following])
            if left == 1:
                w = np.where(following < 0, p, 0.0)
            mass = self.mass[s] if left != 1 else self.end[s]
            log_mass += math.log(mass)
            sums = np.cumsum(w)
            k = min(int(np.searchsorted(sums, rng.random() * sums[-1], side="right")), int(np.flatnonzero(w)[-1]))
            path.append(int(allowed[k]))
            log_p += math.log(p[k])
            if following[k] < 0:
                return tuple(path), log_p, log_mass
            s = int(following[k])
            left = None if left is None else left - 1
