"""The functions users call: ``compile``, ``generate``, ``stream``, ``agenerate``, ``witness``.

They only put the parts together: what constrains
(:mod:`structgen.constraints`), the engine (:mod:`structgen.decoding.compiled`),
the model (:mod:`structgen.models`) and the decode loop
(:mod:`structgen.decoding.loop`).  torch is imported when something is
generated.
"""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Callable, Iterator, Literal, Optional, TypeVar, Union, overload

from .constraints import Constraint, constraint_of
from .errors import ModelError, StructgenError

if TYPE_CHECKING:
    from .decoding.compiled import Compiled
    from .decoding.result import Result
    from .tokens.vocabulary import Vocabulary

__all__ = ["compile", "generate", "stream", "agenerate", "witness"]

T = TypeVar("T")

#: budget of tokens where nothing else is said
DEFAULT_TOKENS = 512
#: compiled constraints that calls of `generate` keep for the next call
KEEP = 32


def compile(schema: Any, tokenizer: Any) -> "Compiled":
    """Compile a constraint for a tokenizer.

    Parameters
    ----------
    schema
        A constraint (``sg.JsonSchema``, ``sg.Regex``, ``sg.Choice``, ``sg.Seq``,
        ...), or anything ``generate(schema=...)`` takes: a Python type, a JSON Schema, a compiled
        regular expression.
    tokenizer
        A transformers tokenizer, a folder, a ``tokenizer.json``, or a
        ``sg.Vocabulary``.

    Returns
    -------
    Compiled
        Shareable between threads; ``matcher()`` starts one text.

    Examples
    --------
    >>> import structgen as sg
    >>> letters = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
    >>> m = sg.compile(sg.Choice(["yes", "no"]), letters).matcher()
    >>> bytes(m.allowed_tokens().tolist())
    b'ny'
    """
    from .decoding.compiled import Compiled
    from .tokens.vocabulary import Vocabulary

    if isinstance(schema, Compiled):
        vocabulary = Vocabulary.load(tokenizer)
        if schema.vocabulary.fingerprint != vocabulary.fingerprint:
            raise StructgenError("this constraint is compiled for another vocabulary",
                                 hint="compile its source again: sg.compile(compiled.source, tokenizer)")
        return schema
    constraint = constraint_of(schema)
    return Compiled(constraint.grammar(), Vocabulary.load(tokenizer), source=constraint)


# -- constraints of calls ------------------------------------------------------------

_kept: "OrderedDict[tuple, tuple[Any, Compiled]]" = OrderedDict()
_with_ends: "weakref.WeakKeyDictionary[Vocabulary, dict]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _key(schema: Any) -> Optional[tuple]:
    """What two equal schemas have in common; None if that is not known."""
    if isinstance(schema, (dict, bool)):
        try:
            return "json", json.dumps(schema)
        except (TypeError, ValueError, RecursionError):
            return None
    if isinstance(schema, (Constraint, type)):
        return "object", id(schema)         # the entry keeps it alive, so the id stays its own
    return None


def _compiled(schema: Any, vocabulary: "Vocabulary") -> "Compiled":
    """As `compile`, remembering the last few."""
    from .decoding.compiled import Compiled

    if isinstance(schema, Compiled):
        if schema.vocabulary.tokens_fingerprint != vocabulary.tokens_fingerprint:
            raise ModelError("the constraint is compiled for another tokenizer than the model's")
        return schema
    key = _key(schema)
    if key is None:
        return compile(schema, vocabulary)
    key = (*key, id(vocabulary))
    with _lock:
        found = _kept.get(key)
        if found is not None:
            _kept.move_to_end(key)
            return found[1]
    made = compile(schema, vocabulary)
    with _lock:
        _kept[key] = (schema, made)         # `made` keeps the vocabulary alive
        while len(_kept) > KEEP:
            _kept.popitem(last=False)
    return made


def _vocabulary_of(model: Any, tokenizer: Any) -> "Vocabulary":
    """The tokenizer's vocabulary, with the end tokens the model itself stops at."""
    from .tokens.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(tokenizer)
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
    more = tuple(e for e in ends if e not in vocabulary.eos_ids and 0 <= e < vocabulary.size
                 and vocabulary.is_special[e])
    if not more:
        return vocabulary
    with _lock:
        made = _with_ends.setdefault(vocabulary, {})
        if more not in made:
            made[more] = vocabulary.with_eos((*vocabulary.eos_ids, *more))
        return made[more]


# -- generating ----------------------------------------------------------------------

def _rows(prompt: Any, schema: Any) -> tuple[bool, list, list]:
    """Whether there are several prompts, the prompts, and the schema of each."""
    from .decoding.chat import is_batch

    batch = is_batch(prompt)
    prompts = list(prompt) if batch else [prompt]
    several = isinstance(schema, (list, tuple))
    if several and not batch:
        raise StructgenError("a list of schemas needs a list of prompts",
                             hint="for one of several texts: schema=sg.Choice([...])")
    schemas = list(schema) if several else [schema] * len(prompts)
    if len(schemas) != len(prompts):
        raise StructgenError(f"{len(schemas)} schemas for {len(prompts)} prompts")
    return batch, prompts, schemas


def _job(prompt: Any, schema: Any, model: Any, tokenizer: Any, max_new_tokens: Optional[int], sampling: str, seed: Any,
         jump: Optional[str], chat_template: Union[bool, str], mass: bool, cancelled: Optional[Callable[[], bool]],
         options: dict) -> Any:
    """What carries out one call: a loop from left to right, or over the canvases of a masked model."""
    from .models import as_loaded

    budget = _tokens(max_new_tokens)
    batch, prompts, schemas = _rows(prompt, schema)
    loaded = as_loaded(model, tokenizer)
    seeds = _seeds(seed, len(prompts))
    if _of_slots(loaded.model, sampling):
        from .diffusion.generating import DiffusionJob

        return DiffusionJob(loaded, prompts, schemas, batch=batch, slots=max_new_tokens, seeds=seeds,
                            chat_template=chat_template, cancelled=cancelled, options=options, compile=_compiled,
                            vocabulary=_vocabulary_of(loaded.model, loaded.tokenizer))
    if sampling != "mask":
        raise StructgenError(f"sampling={sampling!r}: texts are streamed with 'mask' only")
    return _Job(loaded, prompts, schemas, batch, budget, seeds, jump, chat_template, mass, cancelled, options)


def _tokens(max_new_tokens: Optional[int]) -> int:
    """The budget of a call, checked."""
    if max_new_tokens is None:
        return DEFAULT_TOKENS
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise StructgenError(f"max_new_tokens={max_new_tokens!r}: wanted an integer >= 1")
    return max_new_tokens


def _of_slots(model: Any, sampling: str) -> bool:
    """Is it a masked model?  Then there is one way to impose a constraint."""
    from .models import fills_slots

    if type(model).__name__.startswith("DiffusionGemma"):
        raise ModelError("DiffusionGemma has no mask token: it refines random tokens in a loop of its own",
                         hint="model.generate(..., logits_processor=LogitsProcessorList(["
                              "structgen.diffusion.DiffusionLogitsProcessor(compiled)]))")
    if not fills_slots(model):
        return False
    if sampling != "mask":
        raise StructgenError(f"sampling={sampling!r} is for models that write from left to right",
                             hint="a masked model draws jointly from the law of each step: give temperature=1")
    return True


class _Job:
    """One call of `generate`: its prompts, constraints, and the decode loop over them."""

    def __init__(self, loaded: Any, prompts: list, schemas: list, batch: bool, max_new_tokens: int, seeds: list,
                 jump: Optional[str], chat_template: Union[bool, str], mass: bool,
                 cancelled: Optional[Callable[[], bool]], options: dict):
        from .decoding.chat import encode
        from .decoding.loop import Request, decode
        from .decoding.sampling_params import SamplingParams

        started = time.perf_counter()
        params = SamplingParams.make(options)
        self.batch = batch
        self.tokenizer = loaded.tokenizer
        vocabulary = _vocabulary_of(loaded.model, loaded.tokenizer)
        self.compiled = [None if s is None else _compiled(s, vocabulary) for s in schemas]
        compiled_at = time.perf_counter()
        room = _context(loaded.model)
        self.prompts: list[str] = []
        requests = []
        for text, c, row_seed in zip(prompts, self.compiled, seeds):
            shown, ids = encode(text, loaded.tokenizer, chat_template)
            budget = max_new_tokens
            if room is not None:
                if len(ids) >= room:
                    raise ModelError(f"the prompt has {len(ids)} tokens, the model's context {room}")
                budget = min(budget, room - len(ids))
            self.prompts.append(shown)
            requests.append(Request(ids, c, budget, row_seed))
        pad = getattr(loaded.tokenizer, "pad_token_id", None)
        self.timings = {"compile": compiled_at - started}
        self.steps = decode(loaded.model, requests, params, pad=pad or 0, eos=vocabulary.eos_ids,
                            jump=jump, mass=mass, cancelled=cancelled)

    def data(self, row: Any) -> bytes:
        """The bytes of a row so far."""
        return bytes(row.data)

    def may_grow(self, row: Any) -> bool:
        """May a number at the end of a row go on?  That is the matcher's to say."""
        return any(b in b"0123456789.eE+-" for b in row.matcher.expected_bytes())

    def text(self, row: Any) -> str:
        """The text of a row so far, without a character that is still incomplete."""
        if row.vocabulary is not None:
            data = bytes(row.data)
            return data.decode("utf-8") if row.finished else _whole(data)
        text = self.tokenizer.decode(row.tokens, skip_special_tokens=True)
        return text if row.finished else text.rstrip("\ufffd")

    def value(self, row: Any, text: str) -> Any:
        c = self.compiled[row.index]
        if c is None or row.finish_reason != "stop":
            return text
        source = c.source
        return source.value(text) if isinstance(source, Constraint) else text

    def result(self, row: Any) -> "Result":
        from .decoding.result import Result

        c = self.compiled[row.index]
        text = self.text(row)
        return Result(
            value=self.value(row, text), text=text, tokens=row.tokens, finish_reason=row.finish_reason,
            unenforced=[] if c is None else [e for e in _coverage(c) if e.status == "not enforced"],
            log_mass_kept=row.log_mass, timings={**self.timings, **row.timings}, forced_tokens=row.forced,
            prompt_tokens=len(row.request.prompt), max_new_tokens=row.request.max_new_tokens,
            prompt_text=self.prompts[row.index])


def _coverage(c: "Compiled") -> list:
    return c.source.coverage if isinstance(c.source, Constraint) else c.coverage


def _whole(data: bytes) -> str:
    """`data` without an incomplete character at its end."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        return data[:error.start].decode("utf-8")


def _seeds(seed: Any, count: int) -> list[Optional[int]]:
    if seed is None:
        return [None] * count
    if isinstance(seed, int) and not isinstance(seed, bool):
        return [seed + k for k in range(count)]
    if isinstance(seed, (list, tuple)) and len(seed) == count and all(isinstance(s, int) for s in seed):
        return list(seed)
    raise StructgenError(f"seed={seed!r}: wanted an integer, or a list of one a prompt ({count})")


def _context(model: Any) -> Optional[int]:
    config = getattr(model, "config", None)
    if config is not None and hasattr(config, "get_text_config"):
        config = config.get_text_config()
    size = getattr(config, "max_position_embeddings", None)
    return int(size) if isinstance(size, int) and size > 0 else None


@overload
def generate(prompt: str, schema: type[T], model: Any = ..., *, return_result: Literal[False] = ...,
             **options: Any) -> T: ...
@overload
def generate(prompt: list[str], schema: type[T], model: Any = ..., *, return_result: Literal[False] = ...,
             **options: Any) -> list[T]: ...
@overload
def generate(prompt: Any, schema: Any = ..., model: Any = ..., *, return_result: Literal[False] = ...,
             **options: Any) -> Any: ...
@overload
def generate(prompt: str, schema: Any = ..., model: Any = ..., *, return_result: Literal[True],
             **options: Any) -> "Result": ...
@overload
def generate(prompt: Any, schema: Any = ..., model: Any = ..., *, return_result: Literal[True],
             **options: Any) -> Any: ...


def generate(prompt: Any, schema: Any = None, model: Any = None, *, tokenizer: Any = None,
             max_new_tokens: Optional[int] = None, sampling: str = "mask", seed: Any = None,
             return_result: bool = False, jump: Optional[str] = "bytes",
             chat_template: Union[bool, str] = "auto",
             cancelled: Optional[Callable[[], bool]] = None, **sampling_params: Any) -> Any:
    """Let a model write something that satisfies a constraint, and give it back typed.

    Parameters
    ----------
    prompt : str, list of messages, or a list of those
        One prompt or a batch.
    schema
        A Python type (Pydantic model, dataclass, ``list[int]``, ...), a JSON
        Schema (dict, JSON text, path), ``sg.JsonSchema`` and other constraints, a
        compiled regular expression, or what ``sg.compile`` gives.  For a batch
        also a list, one for each prompt.  ``None``: no constraint.
    model
        What ``sg.load`` returns, a folder or hub id, or a transformers model with
        `tokenizer`.
    max_new_tokens : int, optional
        The budget; default 512.  The output is complete and valid within it, end token
        included; if it cannot be, ``BudgetError`` is raised before the model runs.
        Never more than the model's context has left.  For masked models the slots of the
        canvas; default 64.
    sampling : str
        How the constraint is imposed.  ``"mask"``: token by token, which is what
        everyone does and distorts the model's distribution.  ``"exact"``: a draw
        from the model's distribution given validity; ``"aligned"``: that or an
        approximation, by predicted cost; and the other methods of
        :func:`structgen.sample`.  The distribution is then that of the model after
        `temperature`, `top_k`, `top_p` and `min_p`; texts of more than
        `max_new_tokens` tokens are not valid; `jump` does not apply.
    seed : int or list of int, optional
        For reproducible sampling; row i of a batch uses ``seed + i``.
    return_result : bool
        Return :class:`~structgen.decoding.result.Result` objects: value, text,
        tokens, finish reason, mass kept by the masks, timings.
    jump : {"bytes", "tokens", None}
        Text that is forced costs no forward passes of its own: canonically
        tokenised (default), only where a single token is allowed (which keeps the
        distribution of masked decoding), or never.
    chat_template : {"auto", True, False}
        Whether texts are wrapped as a user message by the tokenizer's chat
        template; ``"auto"``: if it has one.
    cancelled : callable, optional
        Asked between tokens; true stops, and partial texts come back as values.
    **sampling_params
        ``do_sample``, ``temperature``, ``top_k``, ``top_p``, ``min_p``,
        ``repetition_penalty``.  Without any of them the best token is taken.  Masked
        models have others: see :class:`structgen.diffusion.decoding.Denoising`.

    Returns
    -------
    object
        An instance of the type, the parsed value for a JSON Schema, the text for
        other constraints; a list of those for a batch.

    Examples
    --------
    >>> import structgen as sg
    >>> sg.generate("Is water wet? ", sg.Choice(["yes"]), model="tiny")
    'yes'
    """
    if sampling != "mask":
        if cancelled is not None:
            raise StructgenError(f"sampling={sampling!r} cannot be cancelled",
                                 hint="sg.sample takes a budget in seconds or forwards")
        return _sampled(prompt, schema, model, tokenizer, _tokens(max_new_tokens), sampling, seed, return_result,
                        chat_template, sampling_params)
    job = _job(prompt, schema, model, tokenizer, max_new_tokens, sampling, seed, jump, chat_template,
               return_result, cancelled, sampling_params)
    rows: list = []
    for rows in job.steps:
        pass
    if return_result:
        out = [job.result(row) for row in rows]
    else:
        out = [job.value(row, job.text(row)) for row in rows]
    return out if job.batch else out[0]


#: texts drawn by the methods that weight them, of which `generate` gives one
_POOL = 16


def _sampled(prompt: Any, schema: Any, model: Any, tokenizer: Any, max_new_tokens: int, sampling: str, seed: Any,
             return_result: bool, chat_template: Union[bool, str], options: dict) -> Any:
    """`generate` by :func:`structgen.sample`: one text a prompt."""
    import numpy as np

    from .decoding.chat import render
    from .decoding.result import Result
    from .models import as_loaded
    from .sampling import sample

    batch, prompts, schemas = _rows(prompt, schema)
    if any(one is None for one in schemas):
        raise StructgenError(f"sampling={sampling!r} needs a constraint")
    loaded = as_loaded(model, tokenizer)
    _of_slots(loaded.model, sampling)       # refuses masked models
    out = []
    for text, one, row_seed in zip(prompts, schemas, _seeds(seed, len(prompts))):
        started = time.perf_counter()
        r = sample(loaded, text, one, 1 if sampling in ("exact", "rejection", "dp", "mcmc", "asap") else _POOL,
                   sampling=sampling, max_tokens=max_new_tokens, seed=row_seed, chat_template=chat_template, diagnose=0,
                   **options)
        k = int(np.random.default_rng(row_seed).choice(len(r), p=r.weights)) if len(r) > 1 else 0
        if return_result:
            out.append(Result(
                value=r.values[k], text=r.texts[k], tokens=list(r.token_ids[k]), finish_reason="stop",
                unenforced=[e for e in _coverage(r.oracle.compiled) if e.status == "not enforced"],
                log_mass_kept=float(r.log_p[k] - r.log_q[k]),
                timings={"total": time.perf_counter() - started, "forwards": r.passes},
                prompt_tokens=len(r.oracle.scorer.prompt), max_new_tokens=r.max_tokens,
                prompt_text=render(text, loaded.tokenizer, chat_template)[0]))
        else:
            out.append(r.values[k])
    return out if batch else out[0]


def stream(prompt: Any, schema: Any = None, model: Any = None, *, tokenizer: Any = None,
           max_new_tokens: Optional[int] = None, sampling: str = "mask", seed: Optional[int] = None,
           jump: Optional[str] = "bytes", chat_template: Union[bool, str] = "auto",
           cancelled: Optional[Callable[[], bool]] = None, **sampling_params: Any) -> Iterator[Any]:
    """As `generate` for one prompt, yielding what is known so far each time it grows.

    For schemas and types these are partial objects: containers appear as they
    open, scalars only once they are final, fields without a value yet are
    absent.  For other constraints, the text so far.  The last item is what
    `generate` returns.

    Examples
    --------
    >>> import structgen as sg
    >>> list(sg.stream("Count: ", {"const": [1, 2]}, model="tiny", jump=None))[-1]
    [1, 2]
    """
    job = _job(prompt, schema, model, tokenizer, max_new_tokens, sampling, seed, jump, chat_template,
               False, cancelled, sampling_params)
    if job.batch:
        raise StructgenError("stream takes one prompt; generate takes several")
    c = job.compiled[0]
    source = getattr(c, "source", None)
    if not getattr(source, "is_json", False):
        return _stream_text(job)
    return _stream_json(job, source)


def _stream_text(job: _Job) -> Iterator[str]:
    shown = ""
    for rows in job.steps:
        row = rows[0]
        text = job.text(row)
        if text != shown and not row.finished:
            shown = text
            yield text
    yield job.value(row, job.text(row))


def _stream_json(job: _Job, source: Constraint) -> Iterator[Any]:
    from .decoding.partial import MISSING, PartialJson, partial_value

    reader = PartialJson()
    read = 0
    for rows in job.steps:
        row = rows[0]
        if row.finished:
            continue
        text = _whole(job.data(row)[read:])
        read += len(text.encode())
        if reader.feed(text, may_grow=job.may_grow(row)) and reader.value is not MISSING and not reader.complete:
            yield partial_value(source.adapter, reader.value)
    yield job.value(row, job.text(row))


async def agenerate(*args: Any, **options: Any) -> Any:
    """`generate` in a thread, for asyncio; cancelling the task stops it at the next token.

    Examples
    --------
    >>> import asyncio, structgen as sg
    >>> asyncio.run(sg.agenerate("Is water wet? ", sg.Choice(["yes"]), model="tiny"))
    'yes'
    """
    import asyncio

    stop = threading.Event()
    also = options.pop("cancelled", None)

    def cancelled() -> bool:
        return stop.is_set() or (also is not None and also())

    task = asyncio.get_running_loop().run_in_executor(
        None, lambda: generate(*args, cancelled=cancelled, **options))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        raise


# -- without a model ------------------------------------------------------------------

def witness(schema: Any) -> Any:
    """A shortest value (or text) that satisfies the constraint.

    Examples
    --------
    >>> witness({"type": "array", "items": {"type": "integer", "minimum": 7}, "minItems": 2})
    [7, 7]
    """
    from .decoding.compiled import Compiled
    from .tokens.vocabulary import Vocabulary

    constraint = constraint_of(schema)
    bytes_only = Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
    matcher = Compiled(constraint.grammar(), bytes_only, source=constraint).matcher()
    return constraint.value(matcher.shortest_completion().decode("utf-8"))
