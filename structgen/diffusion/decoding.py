"""The loop of masked diffusion models: canvases behind prompts, filled in any order.

At every step the model scores the masked slots of a block; one *joint*
assignment of them is taken from the law of the canvas (the likeliest one, or a
draw), and some of its slots are committed.  Since the assignment is valid as a
whole, every part of it is: the canvas stays feasible, nothing is rejected or
drawn again, and the last step is like any other.  Slots at which a single token is
left are committed at once, without another pass.

Blocks are windows of one canvas: what is fixed to the right of a block counts,
what is masked there only has to be fillable.  Behind the end token there are
end tokens, as LLaDA-style models are trained; they count in the law as the
model scores them, so an answer is not short for being short.

Steps: block b of n slots gets its share of the steps (at least one); each
commits an equal part of what is masked in it.  Slots that come for free make
later parts smaller, or end the block early.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from typing import Any, Callable, Iterator, Optional, Sequence

import numpy as np
import torch

from ..errors import MatcherError, ModelError, StructgenError
from .canvas import Canvas
from .commit import RULES, chosen, share
from .reduction import NO_DOUBLES
from .scoring import MaskedScorer

__all__ = ["Denoising", "CanvasRequest", "CanvasRow", "Step", "denoise"]


@dataclass(frozen=True)
class Denoising:
    """How a canvas is filled.

    Parameters
    ----------
    steps : int, optional
        Forward passes in all, at most; default: one for two slots.
    block_length : int, optional
        Slots in a block; blocks are filled from left to right. Default: the whole
        canvas.
    commit : {"low_confidence", "entropy", "random", "threshold"}
        Which slots of the joint assignment stay; see :mod:`.commit`.
    threshold : float
        For ``commit="threshold"``, which takes no `steps`.
    temperature : float, optional
        Draw from the model's distribution at this temperature, given validity. 0 or left out: the likeliest
        assignment.
    do_sample : bool, optional
        True without a temperature: temperature 1.
    guidance_scale : float
        Classifier-free guidance against the masked prompt; 1: none. (LLaDA's ``cfg_scale`` plus one.)
    confidence : {"marginal", "model"}
        Sureness of a token: its probability given validity, or the model's own.
    mask_id : int, optional
        The mask token, where tokenizer and model do not name it.
    shift_logits : bool, optional
        The model's scores at a position are for the next one; default: for Dream and its kin.

    Examples
    --------
    >>> Denoising(steps=8).temperature is None
    True
    """

    steps: Optional[int] = None
    block_length: Optional[int] = None
    commit: str = "low_confidence"
    threshold: float = 0.9
    temperature: Optional[float] = None
    do_sample: Optional[bool] = None
    guidance_scale: float = 1.0
    confidence: str = "marginal"
    mask_id: Optional[int] = None
    shift_logits: Optional[bool] = None

    def __post_init__(self) -> None:
        def check(good: bool, name: str, wanted: str) -> None:
            if not good:
                raise StructgenError(f"{name}={getattr(self, name)!r}: wanted {wanted}")

        def number(x: Any) -> bool:
            return isinstance(x, (int, float)) and not isinstance(x, bool) and abs(x) < float("inf")

        for name in ("steps", "block_length"):
            value = getattr(self, name)
            check(value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1), name,
                  "an integer >= 1")
        check(self.commit in RULES, "commit", "one of " + ", ".join(RULES))
        check(self.confidence in ("marginal", "model"), "confidence", "'marginal' or 'model'")
        check(number(self.threshold) and 0 < self.threshold <= 1, "threshold", "0 < threshold <= 1")
        check(self.temperature is None or (number(self.temperature) and self.temperature >= 0), "temperature",
              "a number >= 0")
        check(number(self.guidance_scale) and self.guidance_scale >= 0, "guidance_scale", "a number >= 0")
        if self.commit == "threshold" and self.steps is not None:
            raise StructgenError("commit='threshold' takes no steps: it commits what is sure enough",
                                 hint="leave out steps, or choose another rule")
        if self.do_sample and self.temperature == 0:
            raise StructgenError("do_sample=True with temperature=0")

    @classmethod
    def make(cls, options: dict) -> "Denoising":
        """From keyword arguments; what masked models do not have is refused by name."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise StructgenError(f"a masked model does not take {', '.join(unknown)}",
                                 hint="its options are " + ", ".join(known))
        return cls(**options)

    @property
    def heat(self) -> float:
        """The temperature drawn at; 0: nothing is drawn."""
        if self.do_sample is False:
            return 0.0
        return (1.0 if self.do_sample else 0.0) if self.temperature is None else float(self.temperature)

    def blocks(self, slots: int) -> list[tuple[int, int, int]]:
        """(first slot, end, steps) of each block of a canvas.

        Examples
        --------
        >>> Denoising(steps=6, block_length=4).blocks(10)
        [(0, 4, 3), (4, 8, 2), (8, 10, 1)]
        """
        size = min(self.block_length or slots, slots)
        ends = [*range(size, slots, size), slots]
        steps = slots if self.commit == "threshold" else self.steps or max(len(ends), -(-slots // 2))
        if steps < len(ends):
            raise StructgenError(f"{steps} steps for {len(ends)} blocks: a block takes at least one",
                                 hint="raise steps or block_length")
        out, low, given = [], 0, 0
        for k, high in enumerate(ends):
            # shares as equal as whole numbers allow, one for each block still to come kept back
            upto = max(given + 1, min(-(-steps * high // slots), steps - (len(ends) - k - 1)))
            out.append((low, high, upto - given))
            low, given = high, upto
        return out


@dataclass
class CanvasRequest:
    """One canvas to fill: a prompt, a constraint (or None), slots, what is fixed already, a seed."""

    prompt: list[int]
    compiled: Any
    slots: int
    fixed: Optional[Sequence[int]] = None       # one a slot, -1: masked
    seed: Optional[int] = None


@dataclass
class Step:
    """What one step did: tokens by slot."""

    committed: dict[int, int]
    forced: dict[int, int]


@dataclass
class CanvasRow:
    """A row's progress."""

    index: int
    request: CanvasRequest
    canvas: Any                         # None without a constraint
    slots: np.ndarray                   # tokens, -1: masked
    eos: tuple
    blocks: list[tuple[int, int, int]]
    rng: np.random.Generator
    block: int = 0
    taken: int = 0                      # steps made in the block
    history: list[Step] = field(default_factory=list)
    finish_reason: Optional[str] = None
    timings: dict = field(default_factory=lambda: {"forward": 0.0, "constraint": 0.0, "forwards": 0})

    @property
    def finished(self) -> bool:
        return self.finish_reason is not None

    @property
    def tokens(self) -> list[int]:
        """The text's tokens, the end token included: up to the first masked slot, if there are any."""
        out: list[int] = []
        for t in self.slots.tolist():
            if t < 0:
                break
            out.append(t)
            if t in self.eos:
                break
        return out

    @property
    def forced(self) -> list[int]:
        """Slots that were committed because one token was left."""
        return sorted(s for step in self.history for s in step.forced)

    def take(self, tokens: dict[int, int]) -> None:
        """Commit tokens."""
        for slot, token in tokens.items():
            self.slots[slot] = token
            if self.canvas is not None:
                self.canvas.set(slot, token)

    def settle(self, step: Step) -> None:
        """Commit what is decided, and go on to the next block or the end."""
        if self.canvas is not None and (self.slots < 0).any():
            step.forced.update(self.canvas.forced())
            self.take(step.forced)
        if step.committed or step.forced:
            self.history.append(step)
        if not (self.slots < 0).any():
            ended = self.canvas is not None or any(t in self.eos for t in self.slots.tolist())
            self.finish_reason = "stop" if ended else "length"
            return
        while not len(self.masked()):
            self.block, self.taken = self.block + 1, 0

    def masked(self) -> np.ndarray:
        """Masked slots of the block."""
        low, high, _ = self.blocks[self.block]
        return low + np.flatnonzero(self.slots[low:high] < 0)


def _row(index: int, request: CanvasRequest, params: Denoising, eos: tuple) -> CanvasRow:
    """A row at its start, refused here if it cannot be filled."""
    slots = np.full(request.slots, -1, np.int64)
    canvas = None
    if request.compiled is not None:
        canvas = Canvas(request.compiled, request.slots, padding="scored")
        eos = request.compiled.vocabulary.eos_ids
    if request.fixed is not None:
        if len(request.fixed) != request.slots:
            raise MatcherError(f"{len(request.fixed)} tokens for {request.slots} slots")
        slots[:] = [-1 if t is None or t < 0 else t for t in request.fixed]
        if canvas is not None:
            canvas.set_all(slots)
    if canvas is not None and not canvas.feasible():
        raise _contradiction(request, slots)
    return CanvasRow(index, request, canvas, slots, tuple(eos), params.blocks(request.slots),
                     np.random.default_rng(request.seed))


def _contradiction(request: CanvasRequest, slots: np.ndarray) -> MatcherError:
    """Why a canvas cannot be filled: the first fixed slot that contradicts those before it."""
    trial = Canvas(request.compiled, request.slots, padding="scored")
    vocabulary = request.compiled.vocabulary
    for slot in np.flatnonzero(slots >= 0).tolist():
        trial.set(slot, int(slots[slot]))
        if not trial.feasible():
            shown = vocabulary.token_bytes(int(slots[slot]))
            return MatcherError(
                f"the canvas cannot be filled: slot {slot} holds token {int(slots[slot])}"
                + (f" ({shown!r})" if shown else "") + ", which no valid text of its length has there, "
                "given the slots before it", token=int(slots[slot]),
                hint="the committed part violates the constraint, or a gap has too few or too many slots")
    return MatcherError("the canvas cannot be filled")


def denoise(model: Any, requests: Sequence[CanvasRequest], params: Denoising, *, mask: int, pad: int,
            eos: Sequence[int], shift: bool = False, banned: Sequence[int] = (),
            cancelled: Optional[Callable[[], bool]] = None) -> Iterator[list[CanvasRow]]:
    """Fill canvases; yields all rows once before the first forward pass and after each step.

    Parameters
    ----------
    model
        A masked language model.
    requests : sequence of CanvasRequest
    params : Denoising
    mask, pad : int
        The mask token; any token for unused cells of a batch.
    eos : sequence of int
        What ends rows without a constraint.
    shift : bool
        See :class:`MaskedScorer`.
    banned : sequence of int
        Ids that rows without a constraint do not write either.
    cancelled : callable, optional
        Asked between steps; true ends all rows with reason ``"cancelled"``.

    Raises
    ------
    BudgetError
        Before the first pass, if a canvas is shorter than the shortest valid text.
    MatcherError
        Before the first pass, if what is fixed contradicts the constraint.
    ModelError
        NaN scores, or not a usable model.
    """
    started = time.perf_counter()
    rows = [_row(k, r, params, tuple(eos)) for k, r in enumerate(requests)]
    for row in rows:
        clock = time.perf_counter()
        row.settle(Step({}, {}))
        row.timings["constraint"] += time.perf_counter() - clock
    scorer = MaskedScorer(model, mask, pad, guidance=params.guidance_scale, shift=shift)
    never = sorted({mask, *banned})
    yield rows
    active = [r for r in rows if not r.finished]
    while active:
        if cancelled is not None and cancelled():
            for row in active:
                row.finish_reason = "cancelled"
            break
        clock = time.perf_counter()
        slots = [row.masked() for row in active]
        scores = scorer([(row.request.prompt, row.slots) for row in active], slots)
        spent = time.perf_counter() - clock
        for row, at, logits in zip(active, slots, scores):
            row.timings["forward"] += spent
            row.timings["forwards"] += 1
            clock = time.perf_counter()
            _step(row, at, logits, params, never)
            row.timings["constraint"] += time.perf_counter() - clock
        yield rows
        active = [r for r in active if not r.finished]
    for row in rows:
        row.timings["total"] = time.perf_counter() - started


@torch.inference_mode()
def _step(row: CanvasRow, slots: np.ndarray, logits: torch.Tensor, params: Denoising, never: Sequence[int]) -> None:
    """Commit part of a joint assignment of a block."""
    low, high, steps = row.blocks[row.block]
    heat = params.heat
    if logits.device.type in NO_DOUBLES:
        logits = logits.cpu()
    if row.canvas is None:
        logits[:, never] = float("-inf")
    if heat not in (0.0, 1.0):
        logits = logits / heat
    logp = torch.log_softmax(logits, dim=-1)
    rng = row.rng if heat else None
    if row.canvas is None:
        tokens, confidence, entropy = _independent(logp, rng, params.commit == "entropy")
    else:
        joint = row.canvas.joint(logp, rng, window=(low, high), entropy=params.commit == "entropy")
        tokens, confidence, entropy = joint.tokens, joint.confidence, joint.entropy
        if params.confidence == "model":
            at = torch.as_tensor(tokens, device=logp.device)
            confidence = logp.gather(1, at[:, None])[:, 0].exp().cpu().numpy()
    count = share(len(slots), steps - row.taken)
    picked = chosen(params.commit, confidence, entropy, count, params.threshold, row.rng)
    step = Step({int(slots[k]): int(tokens[k]) for k in picked}, {})
    row.taken += 1
    row.take(step.committed)
    row.settle(step)


def _independent(logp: torch.Tensor, rng: Optional[np.random.Generator], spread: bool) -> tuple:
    """Each slot's own best token or draw, for rows without a constraint."""
    if logp.isnan().any():
        raise ModelError("the model gave NaN scores")
    if rng is None:
        best = logp.max(dim=1)
        tokens, confidence = best.indices.cpu().numpy(), best.values.exp().cpu().numpy()
    else:
        sums = logp.double().exp().cumsum(dim=1)
        aim = torch.as_tensor(rng.random(len(logp)), device=logp.device) * sums[:, -1]
        at = torch.searchsorted(sums, aim[:, None], right=True).clamp(max=logp.shape[1] - 1)
        tokens, confidence = at[:, 0].cpu().numpy(), logp.gather(1, at)[:, 0].exp().cpu().numpy()
    entropy = None
    if spread:
        entropy = -(logp.exp() * logp.clamp(min=torch.finfo(logp.dtype).min)).sum(dim=1).cpu().numpy()
    return tokens, confidence, entropy
