"""Running a Hugging Face causal LM over a batch whose rows advance unevenly.

Rows take different numbers of tokens a step, because forced text costs no steps
of its own.  Two feeders hide that from the decode loop:

* :class:`BatchFeeder`: one KV cache for all rows.  A step feeds a block as wide
  as the longest addition, each row's tokens at the right end; what is left of
  them is masked for good and position ids skip it, so a row sees exactly its
  own tokens.  The logits wanted are always the block's last columns.
* :class:`SoloFeeder`: a cache a row, or none.  For models to which position in
  the cache matters (sliding windows, recurrent layers) or that take no mask.
"""

from __future__ import annotations

import inspect
from typing import Any, Sequence

import torch

from ..errors import ModelError

__all__ = ["make_feeder", "BatchFeeder", "SoloFeeder"]


class _Model:
    """The parts of a model's calling convention that differ between models."""

    def __init__(self, model: Any):
        config = getattr(model, "config", None)
        if getattr(config, "is_encoder_decoder", False):
            raise ModelError(f"{type(model).__name__} is an encoder-decoder model; generate() runs "
                             "decoder-only models",
                             hint="use sg.LogitsProcessor with the model's own generate()")
        forward = getattr(model, "forward", model)
        try:
            names = set(inspect.signature(forward).parameters)
        except (TypeError, ValueError):
            names = set()
        self.model = model
        self.config = config
        self.keep = next((n for n in ("logits_to_keep", "num_logits_to_keep") if n in names), None)
        self.positions = "position_ids" in names
        self.mask = "attention_mask" in names
        self.cached = "past_key_values" in names and config is not None
        device = getattr(model, "device", None)
        self.device = torch.device(device) if device is not None else torch.device("cpu")

    @property
    def uneven(self) -> bool:
        """Can rows of one batch have holes in them?"""
        if not (self.cached and self.positions and self.mask):
            return False
        text = self.config.get_text_config() if hasattr(self.config, "get_text_config") else self.config
        kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"}:
            return False
        return getattr(text, "sliding_window", None) is None or \
            getattr(text, "use_sliding_window", True) is False

    def cache(self) -> Any:
        from transformers import DynamicCache

        try:
            return DynamicCache(config=self.config)
        except TypeError:           # transformers before 4.56
            return DynamicCache()

    def __call__(self, **inputs: Any) -> torch.Tensor:
        keep = inputs.pop("keep")
        if self.keep is not None:
            inputs[self.keep] = keep
        try:
            with torch.inference_mode():
                out = self.model(**inputs)
        except torch.cuda.OutOfMemoryError as error:
            raise ModelError(f"the model ran out of GPU memory: {error}") from error
        logits = out.logits if hasattr(out, "logits") else out[0] if isinstance(out, tuple) else out
        if not isinstance(logits, torch.Tensor) or logits.dim() != 3:
            raise ModelError(f"{type(self.model).__name__} gives no next-token logits",
                             hint="wanted a causal language model (AutoModelForCausalLM)")
        return logits[:, -keep:]


class BatchFeeder:
    """One cache for all rows; see the module's text."""

    def __init__(self, model: _Model, pad: int):
        self._model = model
        self._pad = pad
        self._cache = model.cache()
        self._mask: torch.Tensor | None = None      # (batch, fed columns), 1 where a token is
        self._lengths: list[int] = []

    def feed(self, tokens: Sequence[Sequence[int]], keep: int) -> torch.Tensor:
        """Append each row's tokens; logits ``(batch, keep, V)`` at the last columns."""
        batch, width = len(tokens), max(map(len, tokens))
        if not self._lengths:
            self._lengths = [0] * batch
        ids = torch.full((batch, width), self._pad, dtype=torch.long)
        mask = torch.zeros((batch, width), dtype=torch.long)
        positions = torch.zeros((batch, width), dtype=torch.long)
        for r, row in enumerate(tokens):
            n = len(row)
            if n:
                ids[r, width - n:] = torch.tensor(row)
                mask[r, width - n:] = 1
                positions[r, width - n:] = torch.arange(self._lengths[r], self._lengths[r] + n)
                self._lengths[r] += n
        device = self._model.device
        mask = mask.to(device)
        self._mask = mask if self._mask is None else torch.cat([self._mask, mask], dim=1)
        return self._model(input_ids=ids.to(device), attention_mask=self._mask,
                           position_ids=positions.to(device), past_key_values=self._cache,
                           use_cache=True, keep=keep)

    def select(self, rows: Sequence[int]) -> None:
        """Keep only these rows."""
        index = torch.tensor(rows, dtype=torch.long, device=self._model.device)
        self._cache.batch_select_indices(index)
        self._mask = self._mask[index]
        self._lengths = [self._lengths[r] for r in rows]


class SoloFeeder:
    """A cache a row; a model without a cache is fed the whole row each time."""

    def __init__(self, model: _Model):
        self._model = model
        self._caches: list[Any] = []
        self._fed: list[list[int]] = []

    def feed(self, tokens: Sequence[Sequence[int]], keep: int) -> torch.Tensor:
        """Append each row's tokens; logits ``(batch, keep, V)`` at the last columns."""
        model = self._model
        if not self._caches:
            self._caches = [model.cache() if model.cached else None for _ in tokens]
            self._fed = [[] for _ in tokens]
        out = []
        for r, row in enumerate(tokens):
            inputs: dict[str, Any] = {}
            if model.cached:
                inputs.update(past_key_values=self._caches[r], use_cache=True)
            self._fed[r].extend(row)
            ids = row if model.cached else self._fed[r]
            wanted = min(keep, len(row))
            logits = model(input_ids=torch.tensor([list(ids)], device=model.device), keep=wanted, **inputs)
            if wanted < keep:
                logits = torch.cat([logits.new_zeros((1, keep - wanted, logits.shape[2])), logits], dim=1)
            out.append(logits)
        return torch.cat(out, dim=0)

    def select(self, rows: Sequence[int]) -> None:
        """Keep only these rows."""
        self._caches = [self._caches[r] for r in rows]
        self._fed = [self._fed[r] for r in rows]


def make_feeder(model: Any, batch: int, pad: int) -> BatchFeeder | SoloFeeder:
    """The feeder that suits the model; a batch of one needs no holes."""
    wrapped = _Model(model)
    if wrapped.cached and wrapped.uneven and batch > 1:
        return BatchFeeder(wrapped, pad)
    return SoloFeeder(wrapped)
