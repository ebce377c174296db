"""``generate``, ``stream`` and ``infill`` with masked models: what ``structgen.api`` hands over to.

A prompt and a schema become a canvas; :mod:`.decoding` fills it; the text
becomes a value.  Schemas that are given as they are (dicts, types, texts, paths)
are closed: no undeclared keys, which keeps automata small.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any, Callable, Optional, Sequence, Union

from ..constraints import Constraint, JsonSchema, constraint_of
from ..errors import ModelError
from .decoding import CanvasRequest, CanvasRow, Denoising, denoise
from .scoring import mask_token, shifted
from .trace import Trace

__all__ = ["DEFAULT_SLOTS", "DiffusionJob", "canvas_constraint"]

#: slots of a canvas where nothing else is said, the end token included
DEFAULT_SLOTS = 64


#: constraints made for the schemas of the last calls, so that compiling them is remembered too
_made: "OrderedDict[tuple, tuple[Any, Any]]" = OrderedDict()
_lock = threading.Lock()


def canvas_constraint(schema: Any) -> Any:
    """What a canvas is compiled from: schemas without a word on undeclared keys are closed.

    A recursive schema that is given as it is (no ``JsonSchema``) has no white space
    between its parts: how much there may be would depend on depth.

    Examples
    --------
    >>> canvas_constraint({"type": "object"}).options.extra
    'closed'
    >>> canvas_constraint(JsonSchema({"type": "object"}, extra="schema")).options.extra
    'schema'
    """
    from ..api import KEEP, _key
    from ..decoding.compiled import Compiled

    if isinstance(schema, Compiled):
        return schema
    key = _key(schema)
    with _lock:
        if key in _made:
            _made.move_to_end(key)
            return _made[key][1]
    constraint = constraint_of(schema)
    if isinstance(constraint, JsonSchema):
        if constraint is not schema and _recursive(constraint):
            constraint = JsonSchema(schema, whitespace="compact")
        constraint = constraint.closed()
    if key is not None:
        with _lock:
            _made[key] = schema, constraint     # the entry keeps the schema alive, so its id stays its own
            while len(_made) > KEEP:
                _made.popitem(last=False)
    return constraint


def _recursive(constraint: JsonSchema) -> bool:
    from .cfg_source import is_regular

    return not is_regular(SimpleNamespace(grammar=constraint.closed().grammar()))


class DiffusionJob:
    """One call: prompts, canvases, and the loop over them; the counterpart of ``api._Job``."""

    def __init__(self, loaded: Any, prompts: Sequence[Any], schemas: Sequence[Any], *, batch: bool,
                 slots: Optional[int] = None, seeds: Sequence[Optional[int]], chat_template: Union[bool, str],
                 cancelled: Optional[Callable[[], bool]], options: dict,
                 compile: Callable[[Any, Any], Any], vocabulary: Any,
                 fixed: Optional[Callable[[Any], list[int]]] = None):
        from ..decoding.chat import encode

        started = time.perf_counter()
        params = Denoising.make(options)
        self.batch, self.tokenizer, self.vocabulary = batch, loaded.tokenizer, vocabulary
        self.mask = mask_token(loaded.model, loaded.tokenizer, vocabulary, params.mask_id)
        self.compiled = [None if s is None else compile(canvas_constraint(s), vocabulary) for s in schemas]
        self.timings = {"compile": time.perf_counter() - started}
        room = _context(loaded.model)
        self.prompts, requests = [], []
        for text, c, seed in zip(prompts, self.compiled, seeds):
            shown, ids = encode(text, loaded.tokenizer, chat_template) if text is not None else ("", [])
            given = None if fixed is None else fixed(c.vocabulary if c is not None else vocabulary)
            count = len(given) if given is not None else DEFAULT_SLOTS if slots is None else slots
            if room is not None and len(ids) + count > room:
                raise ModelError(f"the prompt has {len(ids)} tokens and the canvas {count} slots, the model's context "
                                 f"{room}")
            self.prompts.append(shown)
            requests.append(CanvasRequest(ids, c, count, given, seed))
        pad = getattr(loaded.tokenizer, "pad_token_id", None)
        banned = [int(t) for t in range(vocabulary.size) if vocabulary.is_special[t] and t not in vocabulary.eos_ids]
        shift = shifted(loaded.model) if params.shift_logits is None else params.shift_logits
        self.steps = denoise(loaded.model, requests, params, mask=self.mask, pad=pad or 0, eos=vocabulary.eos_ids,
                             shift=shift, banned=banned, cancelled=cancelled)

    def data(self, row: CanvasRow) -> bytes:
        """The bytes of a row's text: up to the first masked slot while there is one."""
        v = self.vocabulary
        return b"".join(v.token_bytes(t) or b"" for t in row.tokens)

    def may_grow(self, row: CanvasRow) -> bool:
        """May a number at the end of a row go on?  Behind it there is a masked slot."""
        return True

    def text(self, row: CanvasRow) -> str:
        """The text of a row so far."""
        data = self.data(row)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            if row.finished and row.finish_reason != "cancelled":
                return data.decode("utf-8", "replace")      # without a constraint anything may come
            return data[:error.start].decode("utf-8")

    def value(self, row: CanvasRow, text: str) -> Any:
        """What the text means, once it is whole."""
        c = self.compiled[row.index]
        if c is None or row.finish_reason != "stop":
            return text
        return c.source.value(text) if isinstance(c.source, Constraint) else text

    def result(self, row: CanvasRow) -> Any:
        """A :class:`~structgen.decoding.result.Result`."""
        from ..decoding.result import Result

        c, text = self.compiled[row.index], self.text(row)
        coverage = [] if c is None else c.source.coverage if isinstance(c.source, Constraint) else c.coverage
        tokens = row.tokens
        return Result(
            value=self.value(row, text), text=text, tokens=tokens, finish_reason=row.finish_reason or "cancelled",
            unenforced=[e for e in coverage if e.status == "not enforced"],
            timings={**self.timings, **row.timings, "steps": sum(bool(s.committed) for s in row.history)},
            forced_tokens=[s for s in row.forced if s < len(tokens)], prompt_tokens=len(row.request.prompt),
            max_new_tokens=row.request.slots, prompt_text=self.prompts[row.index], trace=self.trace(row))

    def trace(self, row: CanvasRow) -> Trace:
        """What each step did, for pictures."""
        names = {t: name for name, t in self.vocabulary.special.items()}
        start = row.request.fixed

        def shown(token: int) -> str:
            data = self.vocabulary.token_bytes(token)
            return names.get(token, f"<{token}>") if data is None else data.decode("utf-8", "replace")

        first = {} if start is None else {s: int(t) for s, t in enumerate(start) if t is not None and t >= 0}
        texts = {t: shown(t) for t in {*first.values(), *(t for s in row.history
                                                          for t in (*s.committed.values(), *s.forced.values()))}}
        return Trace(row.request.slots, first, copy.deepcopy(row.history), texts, tuple(row.eos))


def _context(model: Any) -> Optional[int]:
    config = getattr(model, "config", None)
    if config is not None and hasattr(config, "get_text_config"):
        config = config.get_text_config()
    for name in ("max_position_embeddings", "max_sequence_length"):
        size = getattr(config, name, None)
        if isinstance(size, int) and size > 0:
            return size
    return None

