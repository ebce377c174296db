"""Calling masked language models: which token is the mask, and the scores of some slots.

A model is anything called like a transformers model (``model(input_ids=...,
attention_mask=...).logits``).  Prompt and canvas are one sequence; shorter ones of a batch are
padded on the right and hidden by the attention mask, so positions are right for
absolute and relative encodings alike.  Only the slots asked for leave the
device's hidden states where the model's parts are known, else its logits.

Guidance is that of LLaDA: a second pass with the prompt masked, and scores
``u + g * (c - u)``, where g = 1 leaves the model as it is.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence

import numpy as np
import torch

from ..errors import ModelError

__all__ = ["MaskedScorer", "checked_mask", "mask_token", "shifted"]

#: models whose logits at a position are for the token behind it
_SHIFTED = ("dream", "diffucoder")


def shifted(model: Any) -> bool:
    """Are the model's logits those of the next position (Dream and its kin)?"""
    return str(getattr(getattr(model, "config", None), "model_type", "")).lower() in _SHIFTED


def mask_token(model: Any, tokenizer: Any, vocabulary: Any, given: Optional[int] = None) -> int:
    """The id of the mask token, checked.

    Raises
    ------
    ModelError
        If there is none, tokenizer and model disagree, or it is a token that texts are made of.
    """
    config = getattr(model, "config", None)
    found = {"the tokenizer": getattr(tokenizer, "mask_token_id", None),
             "the model's configuration": getattr(config, "mask_token_id", None)}
    known = {where: int(t) for where, t in found.items() if isinstance(t, (int, np.integer))}
    if given is not None:
        if isinstance(given, bool) or not isinstance(given, (int, np.integer)):
            raise ModelError(f"mask_id={given!r}: wanted a token id")
        mask, where = int(given), "mask_id"
    elif not known:
        raise ModelError("neither tokenizer nor model names a mask token", hint="give its id: mask_id=...")
    elif len(set(known.values())) > 1:
        raise ModelError("tokenizer and model name different mask tokens: "
                         + ", ".join(f"{where} {t}" for where, t in known.items()), hint="give its id: mask_id=...")
    else:
        where, mask = next(iter(known.items()))
    return checked_mask(mask, where, vocabulary, _rows(model))


def checked_mask(mask: int, where: str, vocabulary: Any, rows: Optional[int] = None) -> int:
    """`mask`, if it can be a mask token; `where` it comes from, for the error.

    Raises
    ------
    ModelError
        If it is outside of the model's `rows`, or a token that texts are made of.
    """
    if mask < 0 or (rows is not None and mask >= rows):
        raise ModelError(f"the mask token {mask} ({where}) is outside the model's vocabulary of "
                         f"{vocabulary.size if rows is None else rows}")
    if mask in vocabulary.eos_ids:
        raise ModelError(f"the mask token {mask} ({where}) is the end token")
    if mask < vocabulary.size and not vocabulary.is_special[mask]:
        data = vocabulary.token_bytes(mask)
        if data:
            raise ModelError(f"the mask token {mask} ({where}) is the ordinary token {data!r}: masked and written "
                             "slots could not be told apart")
    return mask


def _rows(model: Any) -> Optional[int]:
    get = getattr(model, "get_input_embeddings", None)
    try:
        weight = getattr(get() if get is not None else None, "weight", None)
    except NotImplementedError:
        weight = None
    if weight is not None:
        return int(weight.shape[0])
    size = getattr(getattr(model, "config", None), "vocab_size", None)
    return int(size) if isinstance(size, int) else None


class MaskedScorer:
    """Scores of masked slots.

    Parameters
    ----------
    model
        The model; it is not put into evaluation mode.
    mask, pad : int
        Ids of the mask token, and of any token for unused cells.
    guidance : float
        Scale of classifier-free guidance; 1: none.
    shift : bool
        The scores of a slot are the model's at the position before it.
    """

    def __init__(self, model: Any, mask: int, pad: int, *, guidance: float = 1.0, shift: bool = False):
        self.model, self.mask, self.pad = model, mask, pad
        self.guidance, self.shift = guidance, shift
        device = getattr(model, "device", None)
        if device is None:
            parameters = getattr(model, "parameters", None)
            first = next(parameters(), None) if parameters is not None else None
            device = torch.device("cpu") if first is None else first.device
        self.device = device

    @torch.inference_mode()
    def __call__(self, rows: Sequence[tuple[Sequence[int], np.ndarray]], slots: Sequence[np.ndarray]) -> list:
        """Scores of `slots` of each row (prompt, canvas with -1 for masked slots): float tensors (slots, V)."""
        guided = self.guidance != 1.0
        sequences = []
        for prompt, canvas in rows:
            filled = np.where(canvas < 0, self.mask, canvas)
            sequences.append(np.concatenate([np.asarray(prompt, np.int64), filled]))
        if guided:
            sequences += [np.concatenate([np.full(len(prompt), self.mask), s[len(prompt):]])
                          for (prompt, _), s in zip(rows, sequences)]
        width = max(map(len, sequences))
        ids = np.full((len(sequences), width), self.pad, np.int64)
        seen = np.zeros_like(ids)
        for k, s in enumerate(sequences):
            ids[k, :len(s)] = s
            seen[k, :len(s)] = 1
        where = [k * width + np.maximum(len(prompt) + np.asarray(at, np.int64) - (1 if self.shift else 0), 0)
                 for k, ((prompt, _), at) in enumerate(zip(rows, slots))]
        if guided:
            where += [w + len(rows) * width for w in where]
        flat = torch.from_numpy(np.concatenate(where)).to(self.device)
        logits = self._logits(torch.from_numpy(ids).to(self.device), torch.from_numpy(seen).to(self.device), flat)
        if guided:
            half = len(logits) // 2
            logits = logits[half:] + self.guidance * (logits[:half] - logits[half:])
        return list(torch.split(logits, [len(at) for at in slots]))

    def _logits(self, ids: torch.Tensor, seen: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
        model = self.model
        if type(model).__name__ == "ModernBertForMaskedLM":
            hidden = model.model(input_ids=ids, attention_mask=seen).last_hidden_state
            return model.decoder(model.head(hidden.flatten(0, 1)[flat])).float()
        out = model(input_ids=ids, attention_mask=seen)
        logits = out.logits if hasattr(out, "logits") else out[0]
        if logits.ndim != 3 or logits.shape[:2] != ids.shape:
            raise ModelError(f"the model gave scores of shape {tuple(logits.shape)} for {tuple(ids.shape)} tokens")
        return logits.flatten(0, 1)[flat].float()
