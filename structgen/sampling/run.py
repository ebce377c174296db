"""``sg.sample``: texts from the model's own distribution, given that they are valid."""

from __future__ import annotations

import math
import os
from dataclasses import fields
from typing import Any, Callable, Optional, Union

import numpy as np

from ..errors import LimitError, MatcherError, ModelError, StructgenError
from .budget import Budget, Meter
from .estimates import (Distance, Interval, ess, kl_mask_target, kl_target_mask, pareto_k,
                        z_from_attempts, z_from_weights)
from .oracle import PrefixOracle
from .planner import plan
from .result import SampleResult, worst_places
from .scorers import TransformerScorer
from .walkers import Attempt, Walkers
from .warping import Warping

__all__ = ["sample", "SAMPLINGS"]

SAMPLINGS = ("mask", "exact", "aligned", "weighted", "asap", "smc", "mcmc", "rejection", "awrs", "dp")
#: attempts a text when no budget is given: a law that is out of reach must not run for ever
ATTEMPTS = 2000


def sample(model: Any, prompt: Any, constraint: Any, n: int = 1, *, sampling: str = "exact", tokenizer: Any = None,
           max_tokens: Optional[int] = 256, tokens: str = "all", batch: int = 16, seed: Optional[int] = None,
           budget: Optional[dict] = None, on_budget: str = "raise", oracle: Any = None, diagnose: int = 32,
           particles: Optional[int] = None, threshold: float = 0.5, twist: bool = False,
           potential: Optional[Callable[[bytes, bool], float]] = None,
           predicate: Optional[Callable[[bytes, bool], bool]] = None, steps: int = 10, style: str = "restart",
           max_nodes: int = 200_000, max_bytes: int = 1 << 30, chat_template: Union[bool, str] = "auto",
           **warping: Any) -> SampleResult:
    """Draw texts from P(text | valid), and say how far masking token by token is from it.

    P is the model's distribution over token sequences of at most `max_tokens`
    tokens (end token included) after `temperature`, `top_k`, `top_p` and `min_p`,
    *before* the constraint.

    Parameters
    ----------
    model
        As for :func:`structgen.generate`; or a scorer
        (:mod:`structgen.sampling.scorers`), which holds its own prompt.
    prompt : str or list of messages
        None with a scorer.
    constraint
        Anything :func:`structgen.compile` takes, or what it gives.
    n : int
        Texts wanted.
    sampling : str
        ``"exact"``: independent draws (rejection that learns, arXiv 2510.01902).
        ``"weighted"``: importance weights.  ``"aligned"``: look first, then choose
        one of those or ``smc`` by predicted cost.  ``"mask"``: token by token, with
        the weights that correct it.  ``"asap"``: arXiv 2405.21047.  ``"smc"``: particles.
        ``"mcmc"``: chains.  ``"rejection"``: draw from P until valid.  ``"awrs"``:
        particles under a black-box `predicate`.  ``"dp"``: exact sums, for finite
        languages and models with a finite context.
    tokenizer
        When `model` does not bring one.
    max_tokens : int
        The horizon.  Longer texts are not part of the language.  None only with
        ``"dp"`` and a finite-context model: texts of any length.
    tokens : {"all", "canonical"}
        Every token sequence that spells a valid text counts, or only the
        tokenizer's own.
    batch : int
        Walks at once.
    seed : int, optional
        Equal seeds and batches give equal results.
    budget : dict, optional
        Limits: ``forwards``, ``evaluations``, ``attempts``, ``seconds``.
    on_budget : {"raise", "return"}
        Whether a spent budget is a LimitError (with what was found as `.partial`)
        or a result with fewer texts, `exact` False and `stopped` set.
    oracle : PrefixOracle or path, optional
        Of an earlier call with equal model, prompt, constraint and distribution.
    diagnose : int
        Masked texts drawn besides, for the distance between masking and target
        (not where the method draws them anyway, or the trie is complete).
    particles, threshold, twist, potential
        For ``"smc"`` and ``"awrs"``: how many (default: `n`, at least 16), the share of
        effective ones below which they are resampled, whether the oracle's bounds
        guide them, and ``f(text, ended) -> log weight``.
    predicate : callable
        For ``"awrs"``: ``f(text: bytes, ended: bool) -> bool``.
    steps, style
        For ``"mcmc"``: steps a text, ``"restart"`` or ``"prefix"``.
    max_nodes : int
        For ``"dp"``: the largest trie or product tried.
    max_bytes : int
        Of scores kept in memory; what is more goes to a temporary file.

    Raises
    ------
    LimitError
        The budget is spent; `.partial` is the result so far.
    MatcherError
        Every valid text has probability zero.
    ModelError
        NaN scores, or not a usable model.

    Examples
    --------
    >>> import structgen as sg
    >>> result = sg.sample("tiny", "Is water wet? ", sg.Choice(["yes", "no"]), n=20, seed=0)
    >>> result.exact, len(result), set(result.texts) <= {"yes", "no"}
    (True, 20, True)
    """
    if sampling not in SAMPLINGS:
        raise StructgenError(f"sampling={sampling!r}: wanted one of {', '.join(map(repr, SAMPLINGS))}")
    for name, value in (("n", n), ("batch", batch), ("steps", steps), ("max_bytes", max_bytes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise StructgenError(f"{name}={value!r}: wanted an integer >= 1")
    if on_budget not in ("raise", "return"):
        raise StructgenError(f"on_budget={on_budget!r}: wanted 'raise' or 'return'")
    if (predicate is None) == (sampling == "awrs"):
        raise StructgenError("a predicate goes with sampling='awrs', and only with it")
    if potential is not None and sampling not in ("smc", "awrs"):
        raise StructgenError(f"sampling={sampling!r} takes no potential", hint="sampling='smc' does")
    given = dict(budget or {})
    unknown = sorted(set(given) - {f.name for f in fields(Budget)})
    if unknown:
        raise StructgenError(f"unknown limits of the budget: {', '.join(unknown)}",
                             hint="there are " + ", ".join(f.name for f in fields(Budget)))
    if not given:
        given["attempts"] = ATTEMPTS * n
    seed = int(np.random.SeedSequence().entropy % (1 << 63)) if seed is None else int(seed)
    if oracle is None or isinstance(oracle, (str, os.PathLike)):
        scorer, compiled = _target(model, prompt, constraint, tokenizer, chat_template)
        horizon = _horizon(scorer, max_tokens)
        warp = Warping.make(warping)
        if sampling == "dp" and hasattr(scorer, "context"):
            return _solved(scorer, compiled, warp, n, horizon, seed, max_nodes)
        if horizon is None:
            raise StructgenError("max_tokens=None: only sampling='dp' with a finite-context model has no horizon")
        accepts, accepts_key = _accepts(tokens, compiled)
        held = PrefixOracle(scorer, compiled, horizon, warp, accepts=accepts, accepts_key=accepts_key,
                            max_bytes=max_bytes)
        if oracle is not None:
            held.restore(oracle)
    else:
        held = oracle
    run = _Run(held, n, seed, batch, Budget(**given), on_budget, diagnose)
    try:
        return run.go(sampling, particles, threshold, twist, potential, predicate, steps, style, max_nodes)
    except StructgenError as error:
        if getattr(error, "partial", None) is None:
            error.partial = run.partial()       # type: ignore[attr-defined]
        raise


# -- the parts -------------------------------------------------------------------------

def _target(model: Any, prompt: Any, constraint: Any, tokenizer: Any, chat_template: Any) -> tuple[Any, Any]:
    """The scorer and the compiled constraint."""
    from ..api import _compiled, _vocabulary_of
    from ..decoding.compiled import Compiled

    if hasattr(model, "score") and hasattr(model, "vocab_size"):
        if prompt is not None:
            raise StructgenError("a scorer holds its own prompt: prompt=None")
        if isinstance(constraint, Compiled):
            return model, constraint
        if tokenizer is None:
            raise StructgenError("a scorer needs a compiled constraint, or tokenizer=...")
        from ..tokens.vocabulary import Vocabulary
        return model, _compiled(constraint, Vocabulary.load(tokenizer))
    from ..decoding.chat import encode
    from ..models import as_loaded, fills_slots

    loaded = as_loaded(model, tokenizer)
    if fills_slots(loaded.model):
        raise ModelError(f"{loaded.name or type(loaded.model).__name__} is a masked model, which gives no probability "
                         "to whole texts",
                         hint="sg.generate(..., temperature=1) draws jointly from the law of each step")
    compiled = _compiled(constraint, _vocabulary_of(loaded.model, loaded.tokenizer))
    _, ids = encode(prompt, loaded.tokenizer, chat_template)
    return TransformerScorer(loaded.model, ids), compiled


def _horizon(scorer: Any, max_tokens: Optional[int]) -> Optional[int]:
    if max_tokens is None:
        return None
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise StructgenError(f"max_tokens={max_tokens!r}: wanted an integer >= 1")
    room = getattr(scorer, "room", None)
    if room:
        have = room - len(scorer.prompt)
        if have < 1:
            raise ModelError(f"the prompt has {len(scorer.prompt)} tokens, the model's context {room}")
        return min(max_tokens, have)
    return max_tokens


def _accepts(tokens: str, compiled: Any) -> tuple[Any, str]:
    if tokens == "all":
        return None, ""
    if tokens != "canonical":
        raise StructgenError(f"tokens={tokens!r}: wanted 'all' or 'canonical'")
    vocabulary = compiled.vocabulary

    def canonical(path: tuple[int, ...]) -> bool:
        text = b"".join(vocabulary.token_bytes(t) or b"" for t in path)
        return tuple(vocabulary.encode(text)) == path

    return canonical, "canonical"


def _solved(scorer: Any, compiled: Any, warp: Warping, n: int, horizon: Optional[int], seed: int,
            max_states: int) -> SampleResult:
    """Exact sums for a finite-context model."""
    from .dp import Product

    product = Product(scorer, compiled, warp, max_tokens=horizon, max_states=min(max_states, 4000))
    rng = np.random.default_rng(seed)
    drawn = [product.draw(rng) for _ in range(n)]
    log_z = math.log(product.z)
    log_p = np.array([d[1] for d in drawn])
    ids = [d[0] for d in drawn]
    texts = [_text(compiled.vocabulary, path) for path in ids]
    return SampleResult(
        method="dp", exact=True, texts=texts, values=_values(compiled, texts), token_ids=ids, log_p=log_p,
        log_q=log_p - np.array([d[2] for d in drawn]), log_w=np.zeros(n), ess=float(n), pareto_k=None, log_z=log_z,
        log_z_interval=(log_z, log_z), log_z_bounds=(log_z, log_z),
        kl_mask_target=Distance(product.kl_mask_target, 0.0, 0),
        kl_target_mask=Distance(product.kl_target_mask, 0.0, 0),
        acceptance=1.0, attempts=n, evaluations=len(product.mass), passes=len(product.mass), prompt_prefills=0,
        restart_forwards=0, max_tokens=horizon or 0)


def _text(vocabulary: Any, path: tuple[int, ...]) -> str:
    return b"".join(vocabulary.token_bytes(t) or b"" for t in path[:-1]).decode("utf-8")


def _values(compiled: Any, texts: list[str]) -> list[Any]:
    source = compiled.source
    return [source.value(t) for t in texts] if hasattr(source, "value") else list(texts)


class _Run:
    """One call of `sample` on an oracle."""

    def __init__(self, oracle: PrefixOracle, n: int, seed: int, batch: int, budget: Budget, on_budget: str,
                 diagnose: int):
        self.oracle, self.n, self.seed, self.batch = oracle, n, seed, batch
        self.meter = Meter(oracle, budget)
        self.on_budget, self.diagnose = on_budget, diagnose
        self.began = (oracle.evaluations, oracle.passes)
        self.method, self.reason, self.exact = "", "", False
        self.taken: list[tuple[tuple[int, ...], float, float, float]] = []     # tokens, log P, log mass, log w
        self.attempts: list[Attempt] = []
        self.masked: list[float] = []           # log weights of masked texts; -inf: not finished
        self.masked_nodes: list[int] = []       # last nodes of those that were
        self.visits = 0
        self.stopped: Optional[str] = None
        self.notes: list[str] = []
        self.log_z: Optional[Interval] = None       # on the log scale, from particles
        self.acceptance: Optional[float] = None

    # ---------------------------------------------------------------- methods
    def go(self, sampling: str, particles: Optional[int], threshold: float, twist: bool, potential: Any, predicate: Any,
           steps: int, style: str, max_nodes: int) -> SampleResult:
        o = self.oracle
        o.expand([0])
        if o.theta[0] <= 0:
            raise self._impossible()
        if sampling == "aligned":
            chosen = plan(o, self.seed + 1, batch=self.batch, meter=self.meter)
            for a in chosen.rollouts:
                self._masked(a)
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
        if self.diagnose and self.stopped is None and not self.masked and not self._complete:
            self._diagnose()
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
        self.exact = sampling in ("exact", "rejection", "dp")
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
                self._masked(a)
            if a.success:
                log_w = {"exact": 0.0, "rejection": 0.0, "asap": 0.0, "mask": a.log_mass,
                         "weighted": math.log(a.upper) + a.log_r if a.upper > 0 else -math.inf}[method]
                self.taken.append((walkers.path(a), a.log_p, a.log_mass, log_w))
            if len(self.taken) == self.n:
                return
        self.stopped = walkers.stopped

    def _particles(self, count: int, threshold: float, twist: bool, potential: Any, predicate: Any) -> None:
        from .particles import Cloud, run_particles

        cloud = Cloud.start(count)
        try:
            over = run_particles(self.oracle, cloud, np.random.default_rng(self.seed), threshold=threshold, twist=twist,
                                 potential=potential, predicate=predicate, spent=self.meter.spent)
        finally:        # an error takes along what was finished
            for x in cloud.particles:
                self.visits += x.visits
                if x.end >= 0 and x.log_w > -math.inf:
                    log_p, _ = self.oracle.found(x.node, x.end)
                    self.taken.append(((*self.oracle.path(x.node), x.end), log_p, x.log_mass, x.log_w))
            self.acceptance = len(self.taken) / count
        if not over:
            self.stopped = self.meter.stopped
            return
        if not self.taken:
            raise MatcherError("every particle died" + (": the predicate refused everything" if predicate else ""),
                               hint="more particles, or a looser constraint")
        free = predicate is None and potential is None
        low, high = (_log(self.oracle.known), _log(self.oracle.upper)) if free else (-math.inf, math.inf)
        self.log_z = Interval(cloud.log_z, low, high)
        self.notes.append(f"{count} particles, {cloud.resamplings} resamplings, {cloud.ancestors} surviving ancestors"
                          + (f", {cloud.tests} calls of the predicate" if predicate else "")
                          + "; biased by O(1 / particles)")
        if predicate is not None or potential is not None:
            self.notes.append("log_z, weights and distances include the predicate or potential")

    def _chains(self, steps: int, style: str) -> None:
        from .mcmc import STYLES, masked_text, step

        if style not in STYLES:
            raise StructgenError(f"style={style!r}: wanted one of {', '.join(map(repr, STYLES))}")
        rng = np.random.default_rng(self.seed)
        moves = accepted = tried = 0
        while len(self.taken) < self.n:
            if self.meter.spent(tried) or tried > 100 * self.n:
                self.stopped = self.meter.stopped or "attempts"
                return
            tried += 1
            x = masked_text(self.oracle, rng)
            self.masked.append(-math.inf if x is None else float(x.log_mass.sum()))
            if x is None:
                continue
            self.masked_nodes.append(x.nodes[-1])
            self.visits += x.visits
            for _ in range(steps):
                x, moved, visits = step(self.oracle, x, style, rng)
                moves, accepted = moves + 1, accepted + moved
                self.visits += visits
            self.taken.append(((*self.oracle.path(x.nodes[-1]), x.end), x.log_p, float(x.log_mass.sum()), 0.0))
        self.acceptance = accepted / max(1, moves)
        self.notes.append(f"{steps} steps of {style}, {self.acceptance:.0%} accepted; "
                          "the law is right only in the limit")

    def _diagnose(self) -> None:
        walkers = Walkers(self.oracle, "mask", self.seed + 1, self.batch, self.meter)
        for a in walkers.finished():
            self._masked(a)
            if len(self.masked) >= self.diagnose:
                return

    def _masked(self, a: Attempt) -> None:
        self.masked.append(a.log_mass if a.success else -math.inf)
        if a.success:
            self.masked_nodes.append(a.node)

    @property
    def _complete(self) -> bool:
        """Is every text known?"""
        return self.oracle.upper - self.oracle.known <= 1e-9 * self.oracle.upper

    # ---------------------------------------------------------------- result
    def _z(self) -> tuple[float, tuple[float, float]]:
        """log Z and its 95 % interval, from the best evidence there is."""
        o = self.oracle
        lower, upper = min(o.known, o.upper), o.upper
        if self.log_z is not None:
            return self.log_z.value, (self.log_z.low, self.log_z.high)
        if self.method in ("exact", "dp", "rejection"):
            tops = [1.0 if self.method == "rejection" else a.upper for a in self.attempts]
            return SampleResult.interval(z_from_attempts([a.lower for a in self.attempts], tops,
                                                         [a.new for a in self.attempts], (lower, upper)))
        weights = self.masked
        if self.method in ("weighted", "asap"):
            weights = [math.log(a.upper) + a.log_r if a.success else -math.inf for a in self.attempts]
        if not weights:
            return SampleResult.interval(Interval(0.5 * (lower + upper), lower, upper))
        z = z_from_weights(weights)
        return _clipped(z, _log(lower), _log(upper))

    def partial(self) -> SampleResult:
        """The result of what has been found so far."""
        o = self.oracle
        ids = [t[0] for t in self.taken]
        log_p, log_mass, log_w = (np.array([t[k] for t in self.taken], dtype=np.float64) for k in (1, 2, 3))
        log_z, interval = self._z()
        texts = [_text(o.vocabulary, path) for path in ids]
        # the interval as a standard error of log Z
        spread = (interval[1] - interval[0]) / 3.92 if all(map(math.isfinite, interval)) else 0.0
        trusted = self.method in ("exact", "dp", "rejection")
        k = pareto_k(log_w) if self.method in ("mask", "weighted", "smc", "awrs") else None
        if self._complete and self.exact:
            from_mask, to_mask = _exact_distances(o)
        else:
            from_mask = to_mask = Distance(math.nan, math.inf, 0)
            if self.masked:
                from_mask = kl_mask_target(self.masked, log_z if trusted else None, spread if trusted else 0.0)
            if ids and self.method not in ("asap", "awrs"):
                to_mask = kl_target_mask(log_mass, log_z, spread, None if trusted else log_w)
        if k is not None and k > 0.7:
            self.notes.append(f"Pareto k = {k:.2f} > 0.7: the weights are too uneven to trust; use sampling='exact'")
        attempts = len(self.attempts)
        own = [o.nodes_to(v) for v in self.masked_nodes[:256]]
        prefills = getattr(o.scorer, "prefills", 0)
        return SampleResult(
            method=self.method, exact=self.exact, texts=texts, values=_values(o.compiled, texts), token_ids=ids,
            log_p=log_p, log_q=log_p - log_mass, log_w=log_w, ess=ess(log_w), pareto_k=k, log_z=log_z,
            log_z_interval=interval,
            log_z_bounds=(_log(min(o.known, o.upper)), _log(o.upper)),
            kl_mask_target=from_mask, kl_target_mask=to_mask,
            acceptance=self.acceptance if self.acceptance is not None else len(self.taken) / max(1, attempts),
            attempts=attempts or len(self.taken), evaluations=o.evaluations - self.began[0],
            passes=o.passes - self.began[1], prompt_prefills=prefills, restart_forwards=self.visits,
            max_tokens=o.max_tokens, places=worst_places(o, own) if own else [], reason=self.reason,
            stopped=self.stopped, notes=list(self.notes), oracle=o)


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _clipped(z: Interval, low: float, high: float) -> tuple[float, tuple[float, float]]:
    """An estimate and its interval, cut to what is certain."""
    value, bottom, top = (min(max(x, low), high) for x in (z.value, z.low, z.high))
    return value, (bottom, top)


def _exact_distances(oracle: PrefixOracle) -> tuple[Distance, Distance]:
    """Both divergences from all texts of a complete trie."""
    log_p = np.array([p for p, _ in oracle.leaves.values()])
    log_mass = np.array([float(np.log(oracle.mass[oracle.nodes_to(v)]).sum()) for v, _ in oracle.leaves])
    p, q = np.exp(log_p), np.exp(log_p - log_mass)
    log_z, n = math.log(p.sum()), len(p)
    if q.sum() < 1 - 1e-6:          # masking may run into the horizon
        return Distance(math.inf, 0.0, n), Distance(float((p * log_mass).sum() / p.sum()) - log_z, 0.0, n)
    return (Distance(log_z - float((q * log_mass).sum()), 0.0, n),
            Distance(float((p * log_mass).sum() / p.sum()) - log_z, 0.0, n))
