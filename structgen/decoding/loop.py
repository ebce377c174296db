"""The decode loop: a Hugging Face model, a matcher a row, forced text for free.

A row is always in one of two places: its *pending* tokens wait for the next
forward pass, or the pass has been made and its logits choose a token.  After
each choice :meth:`_Row.settle` appends everything that is decided already, so
that it goes into the next pass together:

* ``jump="tokens"``: tokens that are the only ones the mask allows; the
  distribution of the output is that of masked decoding.
* ``jump="bytes"``: also the canonical tokens of text that every continuation
  starts with.  The last of them is left to the model when longer tokens that
  begin with it are allowed, since a model is at its worst behind a token
  boundary it would not have chosen.
* ``jump=None``: nothing.

The loop is a generator that yields between steps, which is what streaming and
cancelling need.  Rows that are done leave the batch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Optional, Sequence

import numpy as np
import torch

from ..errors import LimitError, MatcherError, ModelError, StructgenError
from .forward import make_feeder
from .masking import ALL_MASKED, FREE, NOT_A_NUMBER, allocate_bitmask, mask_inplace, only_token
from .rows import fill_rows
from .sampling_params import SamplingParams, make_generator, penalise, pick

__all__ = ["Request", "Row", "decode", "JUMPS"]

JUMPS = ("bytes", "tokens", None)


@dataclass
class Request:
    """One row to generate: a prompt, a constraint (or None), a budget, a seed."""

    prompt: list[int]
    compiled: Any
    max_new_tokens: int
    seed: Optional[int] = None


@dataclass
class Row:
    """A row's progress; `tokens` and `text` grow, the rest is bookkeeping."""

    index: int
    request: Request
    matcher: Any
    vocabulary: Any                     # None without a constraint
    eos: frozenset
    tokens: list[int] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)      # the text so far, of ordinary tokens
    pending: list[int] = field(default_factory=list)        # not fed to the model yet
    unscored: int = 0                   # forced tokens at the end of `pending`
    forced: list[int] = field(default_factory=list)
    finish_reason: Optional[str] = None
    log_mass: Optional[float] = None
    timings: dict = field(default_factory=lambda: {"forward": 0.0, "constraint": 0.0, "sample": 0.0,
                                                   "forwards": 0})

    @property
    def finished(self) -> bool:
        return self.finish_reason is not None

    @property
    def unsettled(self) -> bool:
        """Does the row still need a forward pass?"""
        return not self.finished or (self.unscored > 0 and self.log_mass is not None)

    def take(self, token: int, forced: bool) -> None:
        """Record a token that the matcher has accepted."""
        if forced:
            self.forced.append(len(self.tokens))
            self.unscored += 1
        self.tokens.append(token)
        self.pending.append(token)
        if self.vocabulary is not None:
            self.data += self.vocabulary.token_bytes(token) or b""
        if token in self.eos and (self.matcher is None or self.matcher.is_finished):
            self.finish_reason = "stop"
        elif len(self.tokens) >= self.request.max_new_tokens:
            self.finish_reason = "length"


class _Masks:
    """The bitmask of a batch, kept up to date row by row as matchers move."""

    def __init__(self, rows: Sequence[Row]):
        sizes = {r.vocabulary.size for r in rows if r.vocabulary is not None}
        if len(sizes) > 1:
            raise StructgenError(f"constraints compiled for different vocabularies (sizes {sorted(sizes)})")
        self.size = sizes.pop() if sizes else 0
        self.bits = allocate_bitmask(len(rows), self.size)
        self.words = self.bits.view(np.uint64)
        self.ends = np.zeros(self.words.shape[1], dtype=np.uint64)
        for token in next((r.eos for r in rows if r.vocabulary is not None), ()):
            self.ends[token // 64] |= np.uint64(1 << (token % 64))

    def fill(self, rows: Sequence[Row]) -> None:
        """Refill the masks of these rows."""
        live = [r for r in rows if r.matcher is not None]
        if not live:
            return
        if len(live) == 1:
            live[0].matcher.fill_bitmask(self.bits, live[0].index)
            return
        matchers = [None] * len(self.bits)
        for row in live:
            matchers[row.index] = row.matcher
        fill_rows(matchers, self.bits)

    def only(self, row: Row) -> int:
        """The one token allowed in `row`, or -1."""
        return -1 if row.matcher is None else int(only_token(self.words, row.index))

    def only_ends(self, row: Row) -> bool:
        """Are the ends of text all that is allowed?"""
        return row.matcher is not None and np.array_equal(self.words[row.index], self.ends)

    def longer_than(self, row: Row, text: bytes) -> bool:
        """Does the mask of `row` allow an ordinary token that goes on past the forced `text`?"""
        allowed = np.unpackbits(self.words[row.index].view(np.uint8), bitorder="little")
        ids = np.flatnonzero(allowed)
        # tokens inside `text` are few: one a length, times duplicates
        if len(ids) > 16 * len(text) + 16:
            return True
        return any(len(row.vocabulary.token_bytes(int(t)) or b"") > len(text) for t in ids)


def _jump_bytes(row: Row, masks: _Masks) -> bool:
    """Append canonical tokens of the forced text; was there any?"""
    text = bytes(row.matcher.forced_bytes())
    if not text:
        return False
    tokens = row.vocabulary.encode(text)
    moved = False
    at = 0
    for k, token in enumerate(tokens):
        piece = row.vocabulary.token_bytes(token)
        if k == len(tokens) - 1:
            masks.fill([row])
            if masks.longer_than(row, text[at:]):
                break
        # a tight token budget may rule the canonical spelling out
        if row.finished or not row.matcher.try_accept(token):
            break
        row.take(token, forced=True)
        moved = True
        at += len(piece)
    return moved


def _settle(rows: Sequence[Row], masks: _Masks, jump: Optional[str]) -> None:
    """Append what is decided already, and leave every row's mask filled."""
    moving = [r for r in rows if r.matcher is not None and not r.finished]
    while moving:
        if jump == "bytes":
            for row in moving:
                _jump_bytes(row, masks)
            moving = [r for r in moving if not r.finished]
        masks.fill(moving)
        if jump is None:
            return
        again = []
        for row in moving:
            token = masks.only(row)
            if token < 0 and jump == "bytes" and len(row.eos) > 1 and masks.only_ends(row):
                token = min(row.eos)
            if token >= 0:
                row.matcher.accept(token)
                row.take(token, forced=True)
                if not row.finished:
                    again.append(row)
        moving = again


def _score_forced(row: Row, logits: torch.Tensor) -> None:
    """Add the log probability of the forced tokens at the end of the block just fed.

    `logits` are the row's last columns; the column before the block's last
    `unscored` ones predicts the first of them.
    """
    n = row.unscored
    if n and row.log_mass is not None:
        tokens = torch.tensor(row.pending[-n:], device=logits.device)
        before = logits[-n - 1:-1].double()
        row.log_mass += float(torch.log_softmax(before, dim=1).gather(1, tokens.unsqueeze(1)).sum())
    row.unscored = 0


def decode(model: Any, requests: Sequence[Request], params: SamplingParams, *, pad: int,
           eos: Sequence[int] = (), jump: Optional[str] = "bytes", mass: bool = False,
           cancelled: Optional[Callable[[], bool]] = None) -> Iterator[list[Row]]:
    """Generate; yields all rows once before the first forward pass and after each step.

    Parameters
    ----------
    model : callable
        A Hugging Face causal LM, or anything called like one.
    requests : sequence of Request
    params : SamplingParams
    pad : int
        Any valid id; fills unused cells of a batch.
    eos : sequence of int
        What ends rows without a constraint.
    jump : {"bytes", "tokens", None}
        See the module's text.
    mass : bool
        Sum the log of the probability mass kept (``Row.log_mass``).  Costs a
        softmax a step, logits of forced tokens, and perhaps one more forward
        pass at the end.
    cancelled : callable, optional
        Asked between steps; true ends all rows with reason ``"cancelled"``.

    Raises
    ------
    BudgetError
        Before the first forward pass, if a budget is too small.
    ModelError
        NaN logits, or not a usable model.
    MatcherError
        The model gives probability zero to everything allowed.
    """
    if jump not in JUMPS:
        raise StructgenError(f"jump={jump!r}: wanted one of {', '.join(map(repr, JUMPS))}")
    rows = []
    for index, request in enumerate(requests):
        c = request.compiled
        if c is None:
            row = Row(index, request, None, None, frozenset(eos))
        else:
            row = Row(index, request, c.matcher(max_tokens=request.max_new_tokens), c.vocabulary,
                      frozenset(c.vocabulary.eos_ids))
            row.log_mass = 0.0 if mass else None
        row.pending = list(request.prompt)
        rows.append(row)
    generators = [make_generator(r.request.seed) if params.sampled else None for r in rows]
    masks = _Masks(rows)
    started = time.perf_counter()
    _timed(rows, "constraint", lambda: _settle(rows, masks, jump))
    yield rows
    active = [r for r in rows if r.unsettled]
    held: list[Row] = []            # the rows the feeder holds, in its order
    feeder = None
    while active:
        if cancelled is not None and cancelled():
            for row in active:
                row.finish_reason = row.finish_reason or "cancelled"
            break
        if feeder is None:
            feeder = make_feeder(model, len(active), pad)
        elif len(active) < len(held):
            feeder.select([k for k, row in enumerate(held) if row.unsettled])
        held = active
        keep = 1 + max(r.unscored if r.log_mass is not None else 0 for r in active)
        clock = time.perf_counter()
        logits = feeder.feed([r.pending for r in active], keep)
        _spend(active, "forward", clock)
        choosing = []
        for k, row in enumerate(active):
            row.timings["forwards"] += 1
            _score_forced(row, logits[k])
            row.pending = []
            if not row.finished:
                choosing.append(k)
        if choosing:
            scores = logits[choosing, -1] if len(choosing) < len(active) else logits[:, -1]
            moved = [active[k] for k in choosing]
            _choose(moved, scores.to(dtype=torch.float32, copy=True), masks, params, generators)
            _timed(moved, "constraint", lambda: _settle(moved, masks, jump))
        yield rows
        active = [r for r in active if r.unsettled]
    for row in rows:
        row.timings["total"] = time.perf_counter() - started


def _spend(rows: Sequence[Row], what: str, since: float) -> None:
    spent = time.perf_counter() - since
    for row in rows:
        row.timings[what] += spent


def _timed(rows: Sequence[Row], what: str, run: Callable[[], None]) -> None:
    clock = time.perf_counter()
    try:
        run()
    except LimitError as error:
        if error.partial is None and len(rows) == 1:
            error.partial = rows[0].data.decode("utf-8", "replace")
        raise
    finally:
        _spend(rows, what, clock)


def _choose(rows: Sequence[Row], scores: torch.Tensor, masks: _Masks, params: SamplingParams,
            generators: Sequence[Optional[torch.Generator]]) -> None:
    """Mask the scores, choose a token a row, and let the matchers take them."""
    clock = time.perf_counter()
    total = None
    if any(r.log_mass is not None for r in rows):
        total = torch.logsumexp(scores.double(), dim=1)
        raw = scores.clone() if params.repetition_penalty != 1 else None
    if params.repetition_penalty != 1:
        for k, row in enumerate(rows):
            seen = torch.tensor(sorted({*row.request.prompt, *row.tokens}), device=scores.device)
            penalise(scores[k], seen, params.repetition_penalty)
    _spend(rows, "sample", clock)

    clock = time.perf_counter()
    where = np.array([FREE if r.matcher is None else r.index for r in rows], dtype=np.int32)
    bad = mask_inplace(scores, masks.bits, where, masks.size)
    if total is not None:
        if raw is not None:
            mask_inplace(raw, masks.bits, where, masks.size)
        kept = torch.logsumexp((scores if raw is None else raw).double(), dim=1) - total
    _spend(rows, "constraint", clock)
    for k, verdict in bad:
        row = rows[k]
        place = f"row {row.index}, after {len(row.tokens)} tokens"
        if verdict == NOT_A_NUMBER:
            raise ModelError(f"the model gave NaN scores ({place})")
        assert verdict == ALL_MASKED
        raise MatcherError(f"the model gives probability zero to every token that may follow ({place})",
                           hint="does the tokenizer belong to the model?")

    clock = time.perf_counter()
    chosen = pick(scores, params, [generators[r.index] for r in rows]).tolist()
    for k, row in enumerate(rows):
        if row.matcher is None and scores[k, chosen[k]].isnan():
            raise ModelError(f"the model gave NaN scores (row {row.index}, after {len(row.tokens)} tokens)")
    _spend(rows, "sample", clock)
    clock = time.perf_counter()
    for k, row in enumerate(rows):
        if row.matcher is not None:
            if not row.matcher.try_accept(chosen[k]):
                raise ModelError(f"the model chose token {chosen[k]} (row {row.index}), which has no "
                                 "finite score", hint="the model gave NaN scores")
            if row.log_mass is not None:
                row.log_mass += float(kept[k])
        row.take(chosen[k], forced=False)
    _spend(rows, "constraint", clock)
