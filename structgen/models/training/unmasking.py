"""Decoding with the masked-diffusion model, unconstrained: LLaDA's low-confidence remasking.

The answer is a canvas of masked slots behind the prompt.  At every step the
model sees prompt and canvas and gives each masked slot its best token; the most
confident ones stay, the rest are masked again.  With blocks shorter than the
canvas, a block is finished before the next one begins.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence

import torch

__all__ = ["unmask"]


@torch.inference_mode()
def unmask(model: Any, prompts: Sequence[Sequence[int]], *, slots: int, steps: int, mask: int, pad: int,
           block: Optional[int] = None, banned: Sequence[int] = ()) -> torch.Tensor:
    """Fill the canvases of a batch of prompts, greedily.

    Parameters
    ----------
    model : transformers masked language model
    prompts : sequence of sequences of int
        Token ids; shorter prompts are padded on the left.
    slots : int
        Length of the canvas.
    steps : int
        Forward passes in all, a multiple of the number of blocks; every step
        commits the same number of slots, up to one.
    mask, pad : int
        The ids of the mask and padding tokens.
    block : int, optional
        Slots in a block, a divisor of `slots`; default: the whole canvas.
    banned : sequence of int
        Ids that are never written; `mask` never is.

    Returns
    -------
    torch.Tensor
        Ids, shape (batch, slots), int64.
    """
    block = block or slots
    if slots % block or steps % (slots // block):
        raise ValueError(f"{slots} slots, blocks of {block}, {steps} steps: one does not divide the other")
    width = max(map(len, prompts))
    device = next(model.parameters()).device
    ids = torch.full((len(prompts), width + slots), mask, device=device)
    seen = torch.ones_like(ids)
    for k, prompt in enumerate(prompts):
        ids[k, :width - len(prompt)] = pad
        seen[k, :width - len(prompt)] = 0
        ids[k, width - len(prompt):width] = torch.tensor(prompt, device=device)
    never = [mask, *banned]
    per_block = steps // (slots // block)
    for start in range(width, width + slots, block):
        for step in range(per_block):
            masked = ids[:, start:start + block] == mask
            left = int(masked[0].sum())
            if not left:
                break
            hidden = model.model(input_ids=ids, attention_mask=seen).last_hidden_state[:, start:start + block]
            logits = model.decoder(model.head(hidden)).float()
            logits[..., never] = float("-inf")
            confidence, best = torch.softmax(logits, -1).max(-1)
            # of the slots still masked an equal share a step, the remainder first
            count = -(-left // (per_block - step))
            chosen = confidence.masked_fill(~masked, -1.0).topk(count, dim=1).indices
            part = ids[:, start:start + block]
            part.scatter_(1, chosen, best.gather(1, chosen))
    return ids[:, width:]
