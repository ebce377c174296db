"""``sg.infill``: text with gaps, filled by a masked model, or by the shortest text that fits.

With a model, the parts of the text become fixed slots of a canvas and gaps masked ones;
the loop of :mod:`.decoding` fills them, so the whole text is valid.  A gap of n slots
gets exactly n tokens (fewer at the very end, where end tokens may follow).  A gap without a size gets
the size at which the model is surest on average, tried from 1 to 16 slots in one pass a gap.

Without a model the same question is asked over bytes, with gaps of any
length: can they be filled, and with how little?  For regular constraints that is a
shortest path over the states of the byte automaton; for grammars and recursive
schemas a search over the states of a matcher, the shortest fillings first, which
finds the shortest one or gives up after `MAX_POSITIONS`.
"""

from __future__ import annotations

import heapq
import itertools
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Sequence, Union

import numpy as np

from ..errors import BudgetError, LimitError, MatcherError, ModelError, StructgenError

__all__ = ["HOLE", "Hole", "Infilled", "infill"]

#: sizes that are tried for a gap without one, beside the first that can be filled
SIZES = (1, 2, 3, 4, 6, 8, 12, 16)
#: ways to size gaps that are looked at until one can be filled
MAX_SIZES = 4096
#: positions (part, state of a matcher) that a search without a model looks at
MAX_POSITIONS = 20_000


@dataclass(frozen=True)
class Hole:
    """A gap in a text; ``HOLE`` is one, ``HOLE(n)`` one of n slots.

    Examples
    --------
    >>> HOLE(3)
    HOLE(3)
    """

    slots: Optional[int] = None

    def __call__(self, slots: int) -> "Hole":
        if isinstance(slots, bool) or not isinstance(slots, int) or slots < 1:
            raise StructgenError(f"HOLE({slots!r}): wanted a number of slots >= 1")
        return Hole(slots)

    def __repr__(self) -> str:
        return "HOLE" if self.slots is None else f"HOLE({self.slots})"


HOLE = Hole()


@dataclass
class Infilled:
    """A text whose gaps are filled.

    Attributes
    ----------
    value : Any
        What the text means: the typed value for a schema or type, else the text.
    text : str
    fills : list of str
        What stands in each gap.
    result : Result or None
        How the model wrote it; None without a model.
    """

    value: Any
    text: str
    fills: list[str] = field(default_factory=list)
    result: Optional[Any] = None


def infill(*parts: Union[str, Hole], schema_or_grammar: Any = None, model: Any = None, prompt: Any = None,
           tokenizer: Any = None, seed: Optional[int] = None, chat_template: Union[bool, str] = "auto",
           return_result: bool = False, cancelled: Optional[Callable[[], bool]] = None, **options: Any) -> Any:
    """Fill the gaps of a text so that the whole satisfies a constraint.

    Parameters
    ----------
    *parts : str or HOLE
        The text in order: ``"def f(", HOLE, "return x"``.  ``HOLE(n)`` has n slots.
    schema_or_grammar
        Anything ``generate(schema=...)`` takes.  Without: only with a model.
    model
        A masked language model, as for ``generate``.  Without one the shortest filling is found.
    prompt : optional
        What the model reads before the text.
    seed, chat_template, cancelled
        As for ``generate``.
    return_result : bool
        Return an :class:`Infilled`: value, text, what stands in each gap.
    **options
        How the canvas is filled: see :class:`structgen.diffusion.decoding.Denoising`.

    Returns
    -------
    object
        The typed value for a type or schema, else the text.

    Raises
    ------
    MatcherError, BudgetError
        If no filling satisfies the constraint, or the slots are too few for any text; before the model is called.
    LimitError
        Without a model, under a grammar or recursive schema: no filling was found in 20,000 positions.
    ModelError
        If the model is no masked language model.

    Examples
    --------
    >>> import structgen as sg
    >>> sg.infill('{"ok":', sg.HOLE, ',"n":1', sg.HOLE, schema_or_grammar={"type": "object", "required": ["ok"],
    ...     "properties": {"ok": {"enum": [None, "yes"]}, "n": {"type": "integer"}}})
    {'ok': None, 'n': 1}
    """
    for part in parts:
        if not isinstance(part, (str, Hole)):
            raise StructgenError(f"a part is a text or HOLE, not {type(part).__name__}")
    if not parts:
        raise StructgenError("infill takes the parts of a text")
    if model is None:
        if options or tokenizer is not None or prompt is not None:
            given = [*options, *(n for n, v in (("tokenizer", tokenizer), ("prompt", prompt)) if v is not None)]
            raise StructgenError(f"{given[0]} is for a model, and none is given", hint="model='embedded-diffusion'")
        done = _shortest(parts, schema_or_grammar)
    else:
        done = _by_model(parts, schema_or_grammar, model, prompt, tokenizer, seed, chat_template, cancelled, options)
    return done if return_result else done.value


# -- with a model ------------------------------------------------------------------------

def _by_model(parts: Sequence[Any], schema: Any, model: Any, prompt: Any, tokenizer: Any, seed: Optional[int],
              chat_template: Any, cancelled: Any, options: dict) -> Infilled:
    from ..api import _compiled, _vocabulary_of
    from ..models import as_loaded, fills_slots
    from .generating import DiffusionJob

    loaded = as_loaded(model, tokenizer)
    if not fills_slots(loaded.model):
        raise ModelError(f"{loaded.name or type(loaded.model).__name__} writes from left to right: it cannot fill gaps",
                         hint="sg.load('embedded-diffusion') is a masked model")
    vocabulary = _vocabulary_of(loaded.model, loaded.tokenizer)

    def job(sizes: Sequence[int]) -> DiffusionJob:
        return DiffusionJob(loaded, [prompt], [schema], batch=False, seeds=[seed], chat_template=chat_template,
                            cancelled=cancelled, options=options, compile=_compiled, vocabulary=vocabulary,
                            fixed=lambda v: _slots(parts, sizes, v))

    sizes = [p.slots for p in parts if isinstance(p, Hole)]
    chosen = _sized(parts, sizes, loaded, vocabulary, prompt, schema, chat_template, options) \
        if None in sizes else [int(n) for n in sizes if n is not None]
    made = job(chosen)
    rows: list = []
    for rows in made.steps:
        pass
    row = rows[0]
    result = made.result(row)
    return Infilled(result.value, result.text, _fills(parts, chosen, row.slots, vocabulary), result)


def _slots(parts: Sequence[Any], sizes: Sequence[int], vocabulary: Any) -> list[int]:
    """The canvas: tokens of the texts, -1 for gaps, an end token behind a text that comes last."""
    out: list[int] = []
    left = iter(sizes)
    for part in parts:
        out += [-1] * next(left) if isinstance(part, Hole) else vocabulary.encode(part.encode())
    return out if isinstance(parts[-1], Hole) else [*out, int(vocabulary.eos_ids[0])]


def _fills(parts: Sequence[Any], sizes: Sequence[int], slots: np.ndarray, vocabulary: Any) -> list[str]:
    out, at, left = [], 0, iter(sizes)
    for part in parts:
        n = next(left) if isinstance(part, Hole) else len(vocabulary.encode(part.encode()))
        if isinstance(part, Hole):
            data = b"".join(vocabulary.token_bytes(int(t)) or b"" for t in slots[at:at + n] if t >= 0)
            out.append(data.decode("utf-8", "replace"))
        at += n
    return out


def _sized(parts: Sequence[Any], sizes: Sequence[Optional[int]], loaded: Any, vocabulary: Any, prompt: Any, schema: Any,
           chat_template: Any, options: dict) -> list[int]:
    """Sizes for the gaps that have none, gap by gap: where the model is surest of what it would write there."""
    import torch

    from ..api import _compiled
    from ..decoding.chat import encode
    from .canvas import Canvas
    from .decoding import Denoising
    from .generating import canvas_constraint
    from .scoring import MaskedScorer, mask_token, shifted

    params = Denoising.make(options)
    compiled = None if schema is None else _compiled(canvas_constraint(schema), vocabulary)
    ids = [] if prompt is None else encode(prompt, loaded.tokenizer, chat_template)[1]
    pad = getattr(loaded.tokenizer, "pad_token_id", None)
    scorer = MaskedScorer(loaded.model, mask_token(loaded.model, loaded.tokenizer, vocabulary, params.mask_id),
                          pad or 0, guidance=params.guidance_scale,
                          shift=shifted(loaded.model) if params.shift_logits is None else params.shift_logits)

    def fitting(trial: Sequence[int]) -> Optional[tuple[np.ndarray, Any]]:
        """The slots and the canvas (None without a constraint) for these sizes, if it can be filled."""
        slots = np.array(_slots(parts, trial, vocabulary))
        if compiled is None:
            return slots, None
        try:
            canvas = Canvas(compiled, len(slots), padding="scored")
        except BudgetError:
            return None
        canvas.set_all(slots.tolist())
        return (slots, canvas) if canvas.feasible() else None

    starts = [k for k, n in enumerate(sizes) if n is None]
    out = _first_sizes(sizes, starts, fitting)
    for k in starts:
        trials = []
        for n in sorted({*SIZES, out[k]}):
            trial = [*out[:k], n, *out[k + 1:]]
            if (fit := fitting(trial)) is not None:
                low = len(_slots(parts[:_part_of(parts, k)] + (HOLE,), [*trial[:k], 0], vocabulary))
                trials.append((n, *fit, low))
        if not trials:
            continue            # nothing fits: the canvas will say what is wrong
        masked = [np.flatnonzero(slots < 0) for _, slots, _, _ in trials]
        scores = scorer([(ids, slots) for _, slots, _, _ in trials], masked)
        best, most = out[k], -np.inf
        for (n, _, canvas, low), at, logits in zip(trials, masked, scores):
            logp = torch.log_softmax(logits, dim=-1)
            tokens = logp.argmax(dim=1).cpu().numpy() if canvas is None else canvas.joint(logp).tokens
            inside = np.flatnonzero((at >= low) & (at < low + n))
            sure = float(logp[inside, torch.as_tensor(tokens[inside], device=logp.device)].mean())
            if sure > most:
                best, most = n, sure
        out[k] = best
    return out


def _first_sizes(sizes: Sequence[Optional[int]], starts: Sequence[int], fitting: Callable[[Sequence[int]], Any]
                 ) -> list[int]:
    """Sizes that can be filled, in all the fewest slots; if none can, the largest."""
    out = [4 if n is None else n for n in sizes]
    if fitting(out) is not None:
        return out
    choices = itertools.islice(itertools.product(range(1, SIZES[-1] + 1), repeat=len(starts)), MAX_SIZES)
    for chosen in sorted(choices, key=sum):
        for k, n in zip(starts, chosen):
            out[k] = n
        if fitting(out) is not None:
            return out
    return [SIZES[-1] if k in starts else n for k, n in enumerate(out)]


def _part_of(parts: Sequence[Any], gap: int) -> int:
    """Which part gap number `gap` is."""
    return [i for i, p in enumerate(parts) if isinstance(p, Hole)][gap]


# -- without a model ---------------------------------------------------------------------

_automata: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()


def _shortest(parts: Sequence[Any], schema: Any) -> Infilled:
    """The shortest filling."""
    from ..api import _compiled
    from ..constraints import Constraint
    from .byte_dfa import _byte_vocabulary, byte_dfa
    from .cfg_source import is_regular
    from .generating import canvas_constraint

    if schema is None:
        raise StructgenError("infill without a model and without a constraint has nothing to go by")
    if any(isinstance(p, Hole) and p.slots is not None for p in parts):
        raise StructgenError("HOLE(n) counts a model's tokens, and no model is given",
                             hint="HOLE is a gap of any length")
    compiled = _compiled(schema if isinstance(schema, Constraint) else canvas_constraint(schema), _byte_vocabulary())
    if compiled not in _automata:
        try:
            _automata[compiled] = byte_dfa(compiled, slowly=False) if is_regular(compiled) else None
        except LimitError:
            _automata[compiled] = None
    dfa = _automata[compiled]
    filled = _searched(parts, compiled) if dfa is None else _by_states(parts, dfa)
    text = b"".join(filled).decode("utf-8")
    source = compiled.source
    value = source.value(text) if isinstance(source, Constraint) else text
    return Infilled(value, text, [d.decode("utf-8", "replace") for p, d in zip(parts, filled) if isinstance(p, Hole)])


def _by_states(parts: Sequence[Any], dfa: Any) -> list[bytes]:
    """What stands in each part of the shortest text: a path over the states of an automaton."""
    # per part: state -> (cost, state before, bytes of the gap)
    here: dict[int, int] = {0: 0}
    trail: list[dict[int, tuple[int, bytes]]] = []
    for k, part in enumerate(parts):
        if isinstance(part, Hole):
            here, back = _through_gap(dfa, here)
        else:
            back, after = {}, {}
            data = part.encode()
            furthest = 0
            for s, cost in sorted(here.items(), key=lambda item: (item[1], item[0])):
                t, at = s, 0
                while at < len(data) and dfa.next[t, data[at]] >= 0:
                    t, at = int(dfa.next[t, data[at]]), at + 1
                furthest = max(furthest, at)
                if at == len(data) and t not in after:
                    after[t], back[t] = cost, (s, b"")
            if not after:
                raise _no_way(k, part, furthest)
            here = after
        trail.append(back)
    ends = [(cost, s) for s, cost in here.items() if dfa.accepting[s]]
    if not ends:
        raise MatcherError(f"the gaps cannot be filled: no valid text ends with {_short(parts[-1])}")
    state = min(ends)[1]
    filled: list[bytes] = []
    for part, back in zip(reversed(parts), reversed(trail)):
        state, data = back[state]
        filled.append(data if isinstance(part, Hole) else part.encode())
    filled.reverse()
    return filled


def _searched(parts: Sequence[Any], compiled: Any) -> list[bytes]:
    """The same for grammars and recursive schemas: a search over matchers, the shortest fillings first."""
    Position = tuple[int, Any, Any, bytes]              # part, matcher, position before, bytes since then
    todo: deque[Position] = deque()
    later: deque[Position] = deque()
    cost: dict[tuple, int] = {}
    level, furthest = 0, (-1, 0)

    def reach(k: int, m: Any, state: Any, before: Any, data: bytes, more: int) -> None:
        if cost.get((k, state), level + more + 1) > level + more:
            cost[k, state] = level + more
            if more:
                after = m.fork()
                after.accept_bytes(data)
                later.append((k, after, before, data))
            else:
                todo.appendleft((k, m, before, data))

    start = compiled.matcher()
    reach(0, start, start.state, None, b"", 0)
    while todo:
        position = k, m, _, _ = todo.popleft()
        if cost[k, m.state] < level:
            pass                                        # was reached with less since
        elif k == len(parts):
            if m.can_end():
                return _pieces(parts, position)
        elif isinstance(parts[k], Hole):
            steps = dict(m.byte_steps())
            for b in sorted(steps, key=_RANK.__getitem__):
                reach(k, m, steps[b], position, bytes([b]), 1)
            reach(k + 1, m, m.state, position, b"", 0)
        else:
            data, after = parts[k].encode(), m.fork()
            try:
                after.accept_bytes(data)
            except MatcherError as error:
                furthest = max(furthest, (k, (error.offset or len(m.text)) - len(m.text)))
            else:
                reach(k + 1, after, after.state, position, data, 0)
        if not todo:
            todo, later, level = later, todo, level + 1
        if len(cost) > MAX_POSITIONS:
            raise LimitError(f"no filling found in {MAX_POSITIONS:,} positions", place="positions of a search for "
                             "the shortest filling", limit=MAX_POSITIONS,
                             hint="fixed text nearer to the gaps makes them easier; with a model gaps have a size")
    k, size = furthest
    if k < 0 or any(at == len(parts) for at, _ in cost):
        raise MatcherError(f"the gaps cannot be filled: no valid text ends with {_short(parts[-1])}")
    raise _no_way(k, parts[k], size)


def _pieces(parts: Sequence[Any], position: Any) -> list[bytes]:
    filled = [b""] * len(parts)
    while position[2] is not None:
        _, _, before, data = position
        filled[before[0]] = data + filled[before[0]]
        position = before
    return filled


def _no_way(k: int, part: Any, size: int) -> MatcherError:
    return MatcherError(f"the gaps cannot be filled: part {k + 1}, {_short(part)}, cannot go on after its first {size} "
                        "bytes", offset=size)


#: bytes in the order in which equally short fillings prefer them
_LIKED = [*b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", *b" _-.,:;()[]{}\"'"]
_LIKED += [b for b in range(256) if b not in _LIKED]
_RANK = {b: k for k, b in enumerate(_LIKED)}


def _through_gap(dfa: Any, here: dict[int, int]) -> tuple[dict[int, int], dict[int, tuple[int, bytes]]]:
    """Every state behind a gap of any length, at least cost, with where it was entered and what is in it."""
    cost = dict(here)
    back = {s: (s, b"") for s in here}
    heap = [(c, s) for s, c in here.items()]
    heapq.heapify(heap)
    while heap:
        c, s = heapq.heappop(heap)
        if c > cost[s]:
            continue
        seen: set[int] = set()
        for b in _LIKED:
            t = int(dfa.next[s, b])
            if t >= 0 and t not in seen:
                seen.add(t)
                if c + 1 < cost.get(t, 1 << 60):
                    cost[t] = c + 1
                    back[t] = (back[s][0], back[s][1] + bytes([b]))
                    heapq.heappush(heap, (c + 1, t))
    return cost, back


def _short(part: Any) -> str:
    return repr(part) if isinstance(part, Hole) or len(part) <= 30 else repr(part[:30] + "...")
