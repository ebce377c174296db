"""One call of :func:`structgen.sample` on an oracle: the methods, and what is made of their walks."""

from __future__ import annotations

import math
from typing import Any, Optional

import numpy as np

from ..errors import LimitError, MatcherError, StructgenError
from .budget import Budget, Meter
from .distances import (UNKNOWN, Distance, Walks, complete, log_z_from_weights, to_mask_from_texts,
                        to_mask_from_weights)
from .estimates import Interval, ess, pareto_k, z_from_attempts
from .mcmc import STYLES, masked_text, step
from .oracle import PrefixOracle
from .particles import Cloud, run_particles
from .planner import plan
from .result import SampleResult, typed, worst_places
from .walkers import NOTHING, Attempt, Unexplored, Walkers

__all__ = ["Request"]

#: methods whose texts follow the target, each attempt with a chance of Z / theta(root) at its start
INDEPENDENT = ("exact", "dp", "rejection")
#: methods that walk by the oracle's bounds and do not throw coins
WEIGHTED = ("weighted", "asap")


class Request:
    """One call of `sample`; see there for the arguments."""

    def __init__(self, oracle: PrefixOracle, n: int, seed: int, batch: int, budget: Budget, on_budget: str,
                 diagnose: int):
        self.oracle, self.n, self.seed, self.batch = oracle, n, seed, batch
        self.meter = Meter(oracle, budget)
        self.on_budget, self.diagnose = on_budget, diagnose
        self.began = (oracle.evaluations, oracle.passes)
        self.method, self.reason, self.exact = "", "", False
        self.taken: list[tuple[tuple[int, ...], float, float, float]] = []     # tokens, log P, log mass, log w
        self.attempts: list[Attempt] = []
        self.walks = Walks(oracle)              # masked ones
        self.visits = 0
        self.stopped: Optional[str] = None
        self.notes: list[str] = []
        self.log_z: Optional[Interval] = None       # on the log scale, from particles
        self.acceptance: Optional[float] = None
        self.scored = False                     # does a potential or predicate belong to the target?

    # ---------------------------------------------------------------- methods
    def go(self, sampling: str, particles: Optional[int], threshold: float, twist: bool, potential: Any, predicate: Any,
           steps: int, style: str, max_nodes: int) -> SampleResult:
        """Carry it out."""
        o = self.oracle
        o.expand([0])
        if o.theta[0] <= 0:
            raise self._impossible()
        if sampling == "aligned":
            chosen = plan(o, self.seed + 1, batch=self.batch, meter=self.meter)
            for a in chosen.rollouts:
                self.walks.take(a)
            self.visits += sum(a.visits for a in chosen.rollouts)
            sampling, self.reason = chosen.method, chosen.reason
        self.method = sampling
        if sampling == "dp":
            if not o.complete(max_nodes):
                raise LimitError(f"the language has more than {max_nodes} prefixes in this vocabulary",
                                 place="nodes of the complete trie", limit=max_nodes,
                                 hint="sampling='exact' needs no complete trie")
            if o.theta[0] <= 0:
                raise self._impossible()
            self._walks("exact")
        elif sampling in ("smc", "awrs"):
            self._particles(particles or max(16, self.n), threshold, twist, potential, predicate)
        elif sampling == "mcmc":
            self._chains(steps, style)
        else:
            self._walks(sampling)
        wanted = self.diagnose - self.walks.fresh()
        if self.stopped is None and wanted > 0 and o.now().mask_left > NOTHING:
            for _, a in zip(range(wanted), Unexplored(o, self.seed + 1, self.batch, self.meter).finished()):
                self.walks.take(a)
        if o.theta[0] <= 0:
            raise self._impossible()
        if self.stopped is not None:
            result = self.partial()
            if self.on_budget == "return":
                return result
            raise LimitError(f"the budget ({self.stopped}) was spent after {len(result)} of {self.n} texts",
                             place=f"budget of {self.stopped}", partial=result,
                             limit=getattr(self.meter.budget, self.stopped),
                             hint="sampling='weighted' or 'smc' for laws that are out of reach; the error's .partial "
                                  "holds what was found, its .oracle goes on from there")
        self.exact = sampling in INDEPENDENT
        return self.partial()

    def _impossible(self) -> MatcherError:
        o = self.oracle
        deepest = int(o.depth[:o.size].argmax())
        return MatcherError("every valid text has probability zero under the model, its filters and the horizon of "
                            f"{o.max_tokens} tokens; the longest prefix tried is {o.text(deepest)!r}",
                            hint="raise max_tokens, or loosen top_k, top_p, min_p")

    def _walks(self, method: str) -> None:
        walkers = Walkers(self.oracle, method, self.seed, self.batch, self.meter)
        for a in walkers.finished():
            self.attempts.append(a)
            self.visits += a.visits + (not a.success)
            if method == "mask":
                self.walks.take(a)
            if a.success:
                log_w = {"mask": a.log_mass, "weighted": math.log(a.start.upper) + a.log_r}.get(method, 0.0)
                self.taken.append((walkers.path(a), a.log_p, a.log_mass, log_w))
            if len(self.taken) == self.n:
                return
        self.stopped = walkers.stopped

    def _particles(self, count: int, threshold: float, twist: bool, potential: Any, predicate: Any) -> None:
        self.scored = predicate is not None or potential is not None
        cloud = Cloud.start(count)
        try:
            over = run_particles(self.oracle, cloud, np.random.default_rng(self.seed), threshold=threshold, twist=twist,
                                 potential=potential, predicate=predicate, spent=self.meter.spent)
        finally:        # an error takes along what was finished
            for x in cloud.particles:
                self.visits += x.visits
                if x.end >= 0 and x.log_w > -math.inf:
                    self.taken.append(((*self.oracle.path(x.node), x.end), self.oracle.log_prob(x.node, x.end),
                                       x.log_mass, x.log_w))
            self.acceptance = len(self.taken) / count
        if not over:
            self.stopped = self.meter.stopped
            return
        if not self.taken:
            raise MatcherError("every particle died" + (": the predicate refused everything" if predicate else ""),
                               hint="more particles, or a looser constraint")
        now = self.oracle.now()
        low, high = (-math.inf, math.inf) if self.scored else (_log(now.mass), _log(now.upper))
        self.log_z = Interval(min(max(cloud.log_z, low), high), low, high)
        self.notes.append(f"{count} particles, {cloud.resamplings} resamplings, {cloud.ancestors} surviving ancestors"
                          + (f", {cloud.tests} calls of the predicate" if predicate else "")
                          + "; biased by O(1 / particles)")
        if self.scored:
            self.notes.append("log_z and weights include the predicate or potential, the distance of masking does not")

    def _chains(self, steps: int, style: str) -> None:
        if style not in STYLES:
            raise StructgenError(f"style={style!r}: wanted one of {', '.join(map(repr, STYLES))}")
        rng = np.random.default_rng(self.seed)
        moves = accepted = tried = 0
        while len(self.taken) < self.n:
            if self.meter.spent(tried) or tried > 100 * self.n:
                self.stopped = self.meter.stopped or "attempts"
                return
            tried += 1
            start = self.oracle.now()
            x = masked_text(self.oracle, rng)
            self.walks.add(start, x.nodes[-1], x.failed)
            self.visits += x.visits
            if x.failed:
                continue
            for _ in range(steps):
                x, moved, visits = step(self.oracle, x, style, rng)
                moves, accepted = moves + 1, accepted + moved
                self.visits += visits
            self.taken.append(((*self.oracle.path(x.nodes[-1]), x.end), x.log_p, float(x.log_mass.sum()), 0.0))
        self.acceptance = accepted / max(1, moves)
        self.notes.append(f"{steps} steps of {style}, {self.acceptance:.0%} accepted; "
                          "the law is right only in the limit")

    # ---------------------------------------------------------------- result
    def _log_z(self) -> Optional[Interval]:
        """log Z and its 95 % interval, from the best evidence there is; None where there is none but the bounds."""
        now = self.oracle.now()
        if self.log_z is not None:
            return self.log_z
        if self.method in INDEPENDENT:
            z = z_from_attempts([a.start.mass for a in self.attempts],
                                [1.0 if self.method == "rejection" else a.start.upper for a in self.attempts],
                                [a.success and a.new for a in self.attempts], (now.mass, now.upper))
            return Interval(_log(z.value), _log(z.low), _log(z.high))
        if (moments := self.walks.moments()) is not None:
            z = moments.log_z(self.walks.span())
        elif self.method in WEIGHTED and self.attempts:
            z = log_z_from_weights([math.log(a.start.upper) + a.log_r if a.success else -math.inf
                                    for a in self.attempts])
        else:
            return None
        low, high = _log(now.mass), _log(now.upper)
        return Interval(*(min(max(x, low), high) for x in (z.value, z.low, z.high)))

    def _distances(self, log_z: Optional[Interval], log_error: float) -> tuple[Distance, Distance, float]:
        """KL(mask || target), KL(target || mask), and the probability of dead ends under masking."""
        now, moments, span = self.oracle.now(), self.walks.moments(), self.walks.span()
        value = -math.inf if log_z is None else log_z.value
        if whole := complete(now) and now.mass > 0:
            value, log_error = math.log(now.mass), 0.0
        trusted = value > -math.inf and (whole or self.method in INDEPENDENT)
        from_mask = to_mask = UNKNOWN
        if moments is not None:
            from_mask = moments.from_mask(value if trusted else None, log_error if trusted else 0.0, span)
        if trusted or self.method in WEIGHTED and moments is None and value > -math.inf:
            to_mask = to_mask_from_texts(self.oracle, self.attempts, value, log_error, self.method in WEIGHTED)
        elif moments is not None:
            to_mask = moments.to_mask(span)
        elif self.method == "smc" and not self.scored and self.taken and value > -math.inf:
            to_mask = to_mask_from_weights([t[2] for t in self.taken], value, log_error, [t[3] for t in self.taken])
        return from_mask, to_mask, 0.0 if moments is None else moments.dead

    def partial(self) -> SampleResult:
        """The result of what has been found so far."""
        o, now = self.oracle, self.oracle.now()
        ids = [t[0] for t in self.taken]
        log_p, log_mass, log_w = (np.array([t[k] for t in self.taken], dtype=np.float64) for k in (1, 2, 3))
        z = self._log_z()
        bounds = _log(now.mass), _log(now.upper)
        log_z, interval = (_log(0.5 * (now.mass + now.upper)), bounds) if z is None else (z.value, (z.low, z.high))
        # the interval as a standard error of log Z; where it is cut to the bounds it is lopsided
        log_error = max(interval[1] - log_z, log_z - interval[0]) / 1.96 if all(map(math.isfinite, interval)) \
            else math.inf
        from_mask, to_mask, dead = self._distances(z, log_error)
        k = pareto_k(log_w) if self.method in ("mask", "weighted", "smc", "awrs") else None
        notes = list(self.notes)
        if k is not None and k > 0.7:
            notes.append(f"Pareto k = {k:.2f} > 0.7: the weights are too uneven to trust; use sampling='exact'")
        if dead > 1e-6:
            notes.append(f"masking token by token runs into a dead end with a probability of about {dead:.2g}; the "
                         "distance is that of the texts it finishes")
        texts, values = typed(o.compiled, ids)
        attempts = len(self.attempts)
        shown = len(self.walks) > 0 or now.mask_left <= NOTHING
        return SampleResult(
            method=self.method, exact=self.exact, texts=texts, values=values, token_ids=ids, log_p=log_p,
            log_q=log_p - log_mass, log_w=log_w, ess=ess(log_w), pareto_k=k, log_z=log_z, log_z_interval=interval,
            log_z_bounds=bounds, kl_mask_target=from_mask, kl_target_mask=to_mask,
            acceptance=self.acceptance if self.acceptance is not None else len(self.taken) / max(1, attempts),
            attempts=attempts or len(self.taken), evaluations=o.evaluations - self.began[0],
            passes=o.passes - self.began[1], prompt_prefills=getattr(o.scorer, "prefills", 0),
            restart_forwards=self.visits, max_tokens=o.max_tokens,
            places=worst_places(o, self.walks.passed()) if shown and o.expanded[0] else [], reason=self.reason,
            stopped=self.stopped, notes=notes, oracle=o)


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf
