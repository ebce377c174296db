"""Choosing a token from masked scores: greedy, or temperature, top-k, top-p, min-p.

The filters apply in the order transformers applies them, after the mask, so
they act on the constrained distribution.  A row's draw is one uniform number
from the row's own generator, turned into a token through the cumulative
distribution in float64: what a row gets does not depend on the rest of the
batch, and a seed means the same on CPU and GPU (up to the logits themselves).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Optional, Sequence

import torch

from ..errors import StructgenError

__all__ = ["SamplingParams", "make_generator", "penalise", "pick"]


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are chosen.

    Parameters
    ----------
    do_sample : bool, optional
        Sample or take the best token.  Left out: sample if one of `temperature`,
        `top_k`, `top_p`, `min_p` is given and the temperature is not 0.
    temperature, top_k, top_p, min_p : optional
        As in transformers.
    repetition_penalty : float
        As in transformers: scores of tokens seen in prompt or output are divided
        by it if positive, multiplied if negative.

    Examples
    --------
    >>> SamplingParams(temperature=0.7).sampled, SamplingParams().sampled
    (True, False)
    """

    do_sample: Optional[bool] = None
    temperature: Optional[float] = None
    top_k: Optional[int] = None
    top_p: Optional[float] = None
    min_p: Optional[float] = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        def check(good: bool, text: str) -> None:
            if not good:
                raise StructgenError(f"bad sampling parameter: {text}")

        t, k, p, m = self.temperature, self.top_k, self.top_p, self.min_p
        check(t is None or (t >= 0 and t < float("inf")), f"temperature={t!r}, wanted a number >= 0")
        check(k is None or (k >= 0 and k == int(k)), f"top_k={k!r}, wanted an integer >= 0")
        check(p is None or 0 < p <= 1, f"top_p={p!r}, wanted 0 < top_p <= 1")
        check(m is None or 0 <= m <= 1, f"min_p={m!r}, wanted 0 <= min_p <= 1")
        check(self.repetition_penalty > 0, f"repetition_penalty={self.repetition_penalty!r}, "
                                           "wanted a number > 0")
        check(not (self.do_sample and t == 0), "do_sample=True with temperature=0")

    @classmethod
    def make(cls, options: dict) -> "SamplingParams":
        """From keyword arguments; an unknown name is an error that lists the known ones."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise StructgenError(f"unknown argument{'s' if len(unknown) > 1 else ''} "
                                 f"{', '.join(unknown)}",
                                 hint="sampling parameters are " + ", ".join(known))
        return cls(**options)

    @property
    def sampled(self) -> bool:
        """Whether tokens are drawn rather than the best one taken."""
        if self.do_sample is not None:
            return self.do_sample
        given = (self.temperature, self.top_k, self.top_p, self.min_p)
        return any(v is not None for v in given) and self.temperature != 0


def make_generator(seed: Optional[int]) -> torch.Generator:
    """A CPU generator for one row; without a seed, seeded from torch's own state."""
    generator = torch.Generator()
    if seed is None:
        seed = int(torch.randint(0, 2**62, ()).item())
    generator.manual_seed(seed)
    return generator


def penalise(scores: torch.Tensor, seen: torch.Tensor, penalty: float) -> None:
    """Apply the repetition penalty in place for the token ids `seen` of one row."""
    chosen = scores[seen]
    scores[seen] = torch.where(chosen < 0, chosen * penalty, chosen / penalty)


def _filtered(scores: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """Probabilities ``(batch, V)`` after temperature and truncation."""
    if params.temperature is not None and params.temperature != 1:
        scores = scores / params.temperature
    if params.top_k:
        k = min(int(params.top_k), scores.shape[1])
        kth = torch.topk(scores, k, dim=1).values[:, -1:]
        scores = scores.masked_fill(scores < kth, float("-inf"))
    if params.top_p is not None and params.top_p < 1:
        ordered, order = torch.sort(scores, dim=1, descending=True)
        probs = torch.softmax(ordered, dim=1)
        # a token goes if those before it already hold top_p; the first always stays
        gone = (probs.cumsum(dim=1) - probs) >= params.top_p
        gone[:, 0] = False
        scores = scores.masked_fill(gone.scatter(1, order, gone), float("-inf"))
    probs = torch.softmax(scores, dim=1)
    if params.min_p:
        floor = params.min_p * probs.max(dim=1, keepdim=True).values
        probs = probs.masked_fill(probs < floor, 0.0)
    return probs


def pick(scores: torch.Tensor, params: SamplingParams,
         generators: Sequence[torch.Generator]) -> torch.Tensor:
    """A token a row, int64 ``(batch,)`` on the CPU.

    `scores` are masked and hold a finite value in every row (the masking
    functions see to that).

    Examples
    --------
    >>> pick(torch.tensor([[0.0, 2.0, 1.0]]), SamplingParams(), [])
    tensor([1])
    """
    if not params.sampled:
        return scores.argmax(dim=1).cpu()
    probs = _filtered(scores, params)
    cumulative = probs.cumsum(dim=1, dtype=torch.float64)
    total = cumulative[:, -1]
    u = torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in generators])
    # never the total itself: the first entry above the target then has positive probability
    target = torch.minimum(u.to(total.device) * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, target.unsqueeze(1), right=True).squeeze(1).cpu()
