"""Constraints inside of decoding loops that are not ours: Dream's hooks, and logits processors of canvases.

Such loops take scores and choose tokens slot by slot, each on its own, which no
per-slot mask can make jointly valid.  So what is handed back admits one joint
assignment: in every slot the token of one valid path has the greatest score.  A loop
that takes the best tokens may commit any of them, and all of them in its last
step.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence

import numpy as np
import torch

from ..errors import MatcherError, ModelError, StructgenError
from .canvas import Canvas
from .scoring import checked_mask

__all__ = ["DreamHooks", "DiffusionLogitsProcessor"]

#: score of what is ruled out; finite, since some models read these scores again
LOW = -1e30
#: by how much the path's token leads, in nats: more than half precision loses
LEAD = 0.25


class DreamHooks:
    """The two hooks of ``diffusion_generate`` of Dream, Dream-Coder and DiffuCoder.

    Parameters
    ----------
    compiled : Compiled or sequence of Compiled
        The constraint, or one for each row of the batch.
    mask_id : int
        The model's mask token.
    temperature : float
        That of ``diffusion_generate``.  At 0 the likeliest assignment is proposed and its scores say
        how sure each slot is; otherwise an assignment is drawn here at this temperature, and the
        scores leave nothing else to draw, so ``alg="origin"`` suits best.
    seed : int, optional

    Attributes
    ----------
    remasked : int
        Tokens that the loop committed outside of the path and that were masked again.

    Raises
    ------
    ModelError
        If `mask_id` is a token that texts are made of.
    BudgetError, MatcherError
        By the tokens hook, which is called once before the first pass: a canvas shorter than the shortest valid text,
        or one whose fixed part violates the constraint.

    Examples
    --------
    ::

        hooks = DreamHooks(compiled, mask_id=model.config.mask_token_id)
        model.diffusion_generate(ids, max_new_tokens=128, steps=64, alg="entropy", temperature=0.0,
                                 generation_logits_hook_func=hooks.logits, generation_tokens_hook_func=hooks.tokens)
    """

    def __init__(self, compiled: Any, mask_id: int, *, temperature: float = 0.0, seed: Optional[int] = None):
        first = compiled[0] if isinstance(compiled, (list, tuple)) and compiled else compiled
        self._compiled, self.temperature = compiled, float(temperature)
        self.mask_id = checked_mask(int(mask_id), "mask_id", first.vocabulary)
        if not 0 <= self.temperature < float("inf"):
            raise StructgenError(f"temperature={temperature!r}: wanted a number >= 0")
        self._rng = np.random.default_rng(seed)
        self._start: Optional[int] = None
        self._canvases: list[Canvas] = []
        self.remasked = 0

    def _begin(self, x: torch.Tensor) -> None:
        """Find the canvas: it begins at the first mask token."""
        masked = (x == self.mask_id).any(dim=0).nonzero()
        if not len(masked):
            raise MatcherError(f"no slot holds the mask token {self.mask_id}", token=self.mask_id,
                               hint="mask_id is the model's mask token: model.config.mask_token_id")
        self._start = int(masked[0])
        rows, width = x.shape
        self._canvases = [Canvas(c, width - self._start, padding="scored") for c in _each(self._compiled, rows)]
        for canvas, row in zip(self._canvases, x[:, self._start:].cpu().numpy()):
            canvas.set_all(np.where(row == self.mask_id, -1, row))
            if not canvas.feasible():
                raise MatcherError("the canvas cannot be filled: its fixed part violates the constraint, or leaves too "
                                   "few slots")

    def tokens(self, step: Any, x: torch.Tensor, logits: Any) -> torch.Tensor:
        """``generation_tokens_hook_func``: masks again what contradicts the constraint."""
        if step is None or self._start is None:
            self._begin(x)
            return x
        out = x
        for r, (canvas, row) in enumerate(zip(self._canvases, x[:, self._start:].cpu().numpy())):
            for slot in np.flatnonzero(row != np.where(canvas.tokens < 0, self.mask_id, canvas.tokens)).tolist():
                before = int(canvas.tokens[slot])
                canvas.set(slot, None if row[slot] == self.mask_id else int(row[slot]))
                if not canvas.feasible():
                    canvas.set(slot, None if before < 0 else before)
                    if out is x:
                        out = x.clone()
                    out[r, self._start + slot] = self.mask_id if before < 0 else before
                    self.remasked += 1
        return out

    def logits(self, step: Any, x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """``generation_logits_hook_func``: scores that admit one valid assignment of the masked slots."""
        if self._start is None:
            self._begin(x)
        out = logits.clone()
        for r, canvas in enumerate(self._canvases):
            row = x[r, self._start:].cpu().numpy()
            canvas.set_all(np.where(row == self.mask_id, -1, row))
            slots = canvas.masked
            if not len(slots):
                continue
            at = torch.as_tensor(slots + self._start, device=logits.device)
            scores = logits[r, at].float()
            heat = self.temperature or 1.0
            joint = canvas.joint(torch.log_softmax(scores / heat, dim=-1), self._rng if self.temperature else None)
            tokens = torch.as_tensor(joint.tokens, device=logits.device)[:, None]
            if self.temperature:
                made = torch.full_like(scores, _floor(out.dtype)).scatter_(1, tokens, 0.0)
            else:
                size = scores.shape[1]
                sure = torch.as_tensor(joint.confidence, device=logits.device, dtype=scores.dtype)
                sure = sure.clamp(2.0 / size, 1.0 - 1e-6)[:, None]
                made = ((1 - sure) / (size - 1)).log().expand_as(scores).clone().scatter_(1, tokens, sure.log())
            out[r, at] = made.to(out.dtype)
        return out


class DiffusionLogitsProcessor:
    """A logits processor for canvases of random tokens: transformers' DiffusionGemma.

    Such a model commits nothing: each step scores all slots of a canvas anew, and
    the text is the best token of each slot in the last step.  Scores come back as log
    probabilities among the tokens that each slot may hold, the others at -1e30, and the tokens of
    the likeliest valid assignment lead in their slots, so the text is valid whenever the loop stops.

    Parameters
    ----------
    compiled : Compiled or sequence of Compiled
        The constraint, or one for each row of the batch.
    max_new_tokens : int, optional
        As given to ``generate``; default: one canvas.  Texts may run over several canvases.

    Raises
    ------
    BudgetError
        In the first call, if the slots are too few for the shortest valid text.

    Examples
    --------
    ::

        model.generate(ids, max_new_tokens=256,
                       logits_processor=LogitsProcessorList([DiffusionLogitsProcessor(compiled, max_new_tokens=256)]))
    """

    def __init__(self, compiled: Any, *, max_new_tokens: Optional[int] = None):
        self._compiled, self._limit = compiled, max_new_tokens
        self._prompt: Optional[int] = None
        self._canvases: list[Canvas] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, cur_step: Any = None) -> torch.Tensor:
        if scores.ndim != 3:
            raise ModelError(f"scores of shape {tuple(scores.shape)}: wanted (batch, slots, V)",
                             hint="for models that write from left to right: sg.LogitsProcessor")
        rows, size = scores.shape[:2]
        width = input_ids.shape[1]
        if self._prompt is None or width < self._prompt:
            self._prompt = width
            total = size * -(-max(self._limit or size, 1) // size)
            self._canvases = [Canvas(c, total, padding="scored") for c in _each(self._compiled, rows)]
        low = width - self._prompt
        out = scores.float().clone() if scores.dtype != torch.float64 else scores.clone()
        for r, canvas in enumerate(self._canvases):
            if low + size > canvas.length:
                raise MatcherError(f"a canvas behind the {canvas.length} slots there were to be",
                                   hint="give max_new_tokens, as to generate")
            before = input_ids[r, self._prompt:].tolist()
            if any(t in canvas.automaton.vocabulary.eos_ids for t in before):
                continue                        # the text has ended in an earlier canvas
            canvas.set_all([*before, *[-1] * (canvas.length - low)])
            out[r] = _given_validity(canvas, torch.log_softmax(out[r], dim=-1), (low, low + size))
        return out.to(scores.dtype)


def _given_validity(canvas: Canvas, logp: torch.Tensor, window: tuple[int, int]) -> torch.Tensor:
    """Log probabilities among what each slot of a window may hold, led by the likeliest assignment."""
    joint = canvas.joint(logp, window=window)
    allowed = torch.from_numpy(canvas.masks(range(*window))).to(logp.device)
    out = torch.full_like(logp, LOW)
    width = min(allowed.shape[1], logp.shape[1])
    out[:, :width] = torch.where(allowed[:, :width], logp[:, :width], LOW)
    out = torch.where(out > LOW, out - torch.logsumexp(out, dim=-1, keepdim=True), LOW)
    tokens = torch.as_tensor(joint.tokens, device=logp.device)[:, None]
    top = out.max(dim=-1, keepdim=True).values
    return out.scatter(1, tokens, torch.maximum(out.gather(1, tokens), top + LEAD))


def _each(compiled: Any, rows: int) -> Sequence[Any]:
    if isinstance(compiled, (list, tuple)):
        if len(compiled) != rows:
            raise StructgenError(f"{len(compiled)} constraints for {rows} rows")
        return compiled
    return [compiled] * rows


def _floor(dtype: torch.dtype) -> float:
    """A score that no temperature brings back, in a type that may be half precision."""
    return max(LOW, torch.finfo(dtype).min / 4)
