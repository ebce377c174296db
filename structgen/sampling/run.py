"""``sg.sample``: texts from the model's own distribution, given that they are valid."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from typing import Any, Callable, Optional, Union

import numpy as np

from ..errors import ModelError, StructgenError
from .budget import Budget
from .distances import Distance
from .oracle import PrefixOracle
from .request import Request
from .result import SampleResult, typed
from .scorers import TransformerScorer
from .warping import Warping

__all__ = ["sample", "SAMPLINGS"]

SAMPLINGS = ("mask", "exact", "aligned", "weighted", "asap", "smc", "mcmc", "rejection", "awrs", "dp")
#: the horizon when nothing is said
DEFAULT_TOKENS = 256
#: attempts a text when no budget is given: a law that is out of reach must not run for ever
ATTEMPTS = 2000


def sample(model: Any, prompt: Any, constraint: Any, n: int = 1, *, sampling: str = "exact", tokenizer: Any = None,
           max_tokens: Optional[int] = DEFAULT_TOKENS, tokens: str = "all", batch: int = 16, seed: Optional[int] = None,
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
        Of an earlier call with equal model, prompt, constraint, distribution and
        horizon, else it is refused.  With an object those may be left out (None, or
        their default): they are the oracle's.
    diagnose : int
        Walks made for the distance between masking and target, each into what is not
        known yet; masked texts that the method draws anyway count.
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
    for name, value, least in (("n", n, 1), ("batch", batch, 1), ("steps", steps, 1), ("max_bytes", max_bytes, 1),
                               ("max_nodes", max_nodes, 1), ("diagnose", diagnose, 0), ("seed", seed, 0),
                               ("particles", particles, 1)):
        optional = name in ("seed", "particles") and value is None
        if not optional and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least):
            raise StructgenError(f"{name}={value!r}: wanted an integer >= {least}")
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise StructgenError(f"threshold={threshold!r}: wanted a share from 0 to 1")
    if on_budget not in ("raise", "return"):
        raise StructgenError(f"on_budget={on_budget!r}: wanted 'raise' or 'return'")
    if (predicate is None) == (sampling == "awrs"):
        raise StructgenError("a predicate goes with sampling='awrs', and only with it")
    if potential is not None and sampling not in ("smc", "awrs"):
        raise StructgenError(f"sampling={sampling!r} takes no potential", hint="sampling='smc' does")
    limits = Budget.make(budget)
    if limits == Budget():
        limits = Budget(attempts=ATTEMPTS * n)
    seed = int(np.random.SeedSequence().entropy % (1 << 63)) if seed is None else int(seed)
    if isinstance(oracle, PrefixOracle):
        held = oracle
        _agree(held, model, prompt, constraint, tokenizer, chat_template, max_tokens, tokens, warping)
    elif oracle is None or isinstance(oracle, (str, os.PathLike)):
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
        raise StructgenError(f"oracle={oracle!r}: wanted the .oracle of an earlier result, or a path")
    run = Request(held, n, seed, batch, limits, on_budget, diagnose)
    try:
        return run.go(sampling, particles, threshold, twist, potential, predicate, steps, style, max_nodes)
    except BaseException as error:          # an interrupt, or a scorer's own error: what was found goes along
        if getattr(error, "partial", None) is None:
            with suppress(Exception):
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


def _agree(oracle: PrefixOracle, model: Any, prompt: Any, constraint: Any, tokenizer: Any, chat_template: Any,
           max_tokens: Optional[int], tokens: str, warping: dict) -> None:
    """Refuse an oracle for something else than what is asked for; what is not given is the oracle's."""
    from ..decoding.artefact import constraint_key

    def check(good: bool, what: str) -> None:
        if not good:
            raise StructgenError(f"the oracle is for another {what}",
                                 hint="leave out what shall be as it was: sg.sample(None, None, None, oracle=...)")

    if model is not None:
        scorer, compiled = _target(model, prompt, oracle.compiled if constraint is None else constraint, tokenizer,
                                   chat_template)
        check(scorer.fingerprint == oracle.scorer.fingerprint, "model or prompt")
        check(compiled.vocabulary.fingerprint == oracle.vocabulary.fingerprint
              and constraint_key(compiled) == constraint_key(oracle.compiled), "constraint")
    elif prompt is not None or constraint is not None:
        raise StructgenError("an oracle with a prompt or constraint, but without the model that goes with them")
    given = {k: v for k, v in warping.items() if v is not None}
    check(not given or Warping.make(given) == oracle.warping, "distribution (temperature, top_k, top_p, min_p)")
    check(max_tokens in (DEFAULT_TOKENS, oracle.max_tokens), "horizon (max_tokens)")
    check(tokens in ("all", oracle.accepts_key or "all"), "set of spellings (tokens)")


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
    texts, values = typed(compiled, ids)
    return SampleResult(
        method="dp", exact=True, texts=texts, values=values, token_ids=ids, log_p=log_p,
        log_q=log_p - np.array([d[2] for d in drawn]), log_w=np.zeros(n), ess=float(n), pareto_k=None, log_z=log_z,
        log_z_interval=(log_z, log_z), log_z_bounds=(log_z, log_z),
        kl_mask_target=Distance(product.kl_mask_target, 0.0, 0),
        kl_target_mask=Distance(product.kl_target_mask, 0.0, 0),
        acceptance=1.0, attempts=n, evaluations=len(product.mass), passes=len(product.mass), prompt_prefills=0,
        restart_forwards=0, max_tokens=horizon or 0)
