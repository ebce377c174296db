"""The two models: their architecture, and the loss of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .batches import Row, Stream

__all__ = ["Autoregressive", "MaskedDiffusion", "OBJECTIVES", "start_from_causal"]


class Autoregressive:
    """A Llama model; cross entropy of the answers' tokens, the end included."""

    name = "embedded"
    options: dict = {"steps": 6000, "cooldown": 0.6}        # of the model that comes with the package

    def __init__(self, tokenizer: Any, size: dict):
        self.tokenizer = tokenizer
        self.size = size

    def model(self) -> Any:
        """A fresh model."""
        from transformers import LlamaConfig, LlamaForCausalLM

        width = self.size["width"]
        config = LlamaConfig(
            vocab_size=len(self.tokenizer), hidden_size=width, intermediate_size=self.size["inner"],
            num_hidden_layers=self.size["layers"], num_attention_heads=self.size["heads"],
            num_key_value_heads=self.size["heads"], max_position_embeddings=1024, tie_word_embeddings=True,
            initializer_range=width ** -0.5, bos_token_id=None, eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id)
        model = LlamaForCausalLM(config)
        _scale_down(model)
        model.generation_config.eos_token_id = self.tokenizer.eos_token_id
        model.generation_config.pad_token_id = self.tokenizer.pad_token_id
        return model

    def stream(self, seed: int, tokens: int) -> Stream:
        """Its batches."""
        return Stream(self.tokenizer, seed, tokens)

    def body(self, model: Any) -> Any:
        """The part that is worth compiling."""
        return model.model

    def loss(self, model: Any, body: Any, rows: list[Row], length: int, generator: torch.Generator,
             device: Any) -> torch.Tensor:
        """The mean over the answers' tokens."""
        ids = torch.full((len(rows), length), self.tokenizer.pad_token_id)
        wanted = torch.full((len(rows), length), -1)
        for k, row in enumerate(rows):
            n, m = len(row.prompt), len(row.answer)
            ids[k, :n + m] = torch.tensor(row.prompt + row.answer)
            wanted[k, n - 1:n + m - 1] = ids[k, n:n + m]
        ids, wanted = ids.to(device), wanted.flatten().to(device)
        at = (wanted >= 0).nonzero()[:, 0]
        # padding is on the right and attention causal: no mask needed
        hidden = body(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden.flatten(0, 1)[at])
        return functional.cross_entropy(logits.float(), wanted[at])


class MaskedDiffusion:
    """ModernBERT, bidirectional, over prompt and canvas; LLaDA's objective (arXiv 2502.09992).

    For every row a mask ratio t is drawn uniformly, every slot of the canvas is
    masked with probability t, and the cross entropy of the masked slots counts
    1/t.  Ratios are stratified over the batch, which keeps the law of each and
    lowers the variance.  Slots behind the answer's end hold the end token too,
    as LLaDA has it, and count `tail` as much: they are most of a canvas and
    easy.  The canvas of a row is as long as the batch leaves room for, so there
    is no padding and no attention mask.
    """

    name = "embedded-diffusion"
    options: dict = {"steps": 4000, "cooldown": 0.6, "layers": 5, "rate": 2e-3, "muon_rate": 1e-2}
    tail = 0.1
    least = 0.1                     # ratios start here: bounds the weights and so their variance

    def __init__(self, tokenizer: Any, size: dict):
        self.tokenizer = tokenizer
        self.size = size

    def model(self) -> Any:
        """A fresh model."""
        from transformers import ModernBertConfig, ModernBertForMaskedLM

        width = self.size["width"]
        end, pad = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        config = ModernBertConfig(
            vocab_size=len(self.tokenizer), hidden_size=width, intermediate_size=self.size["inner"],
            num_hidden_layers=self.size["layers"], num_attention_heads=self.size["heads"],
            max_position_embeddings=1024, global_attn_every_n_layers=1, global_rope_theta=10_000.0,
            hidden_activation="silu", classifier_activation="linear", tie_word_embeddings=True,
            initializer_range=width ** -0.5, pad_token_id=pad, eos_token_id=end, bos_token_id=end,
            cls_token_id=end, sep_token_id=end)
        model = ModernBertForMaskedLM(config)
        _scale_down(model)
        return model

    def stream(self, seed: int, tokens: int) -> Stream:
        """Its batches: canvases as long as the answer, or up to 128 slots."""
        return Stream(self.tokenizer, seed, tokens, canvas=(0, 0, 32, 32, 48, 64, 64, 128), longest=320)

    def body(self, model: Any) -> Any:
        """The part that is worth compiling."""
        return model.model

    def loss(self, model: Any, body: Any, rows: list[Row], length: int, generator: torch.Generator,
             device: Any) -> torch.Tensor:
        """The mean over rows of the weighted sum over masked slots, by the slots' total weight."""
        end = self.tokenizer.eos_token_id
        ids = torch.full((len(rows), length), end)
        weight = torch.zeros(len(rows), length)
        for k, row in enumerate(rows):
            n, m = len(row.prompt), len(row.answer)
            ids[k, :n + m] = torch.tensor(row.prompt + row.answer)
            weight[k, n:] = self.tail
            weight[k, n:n + m] = 1.0
        count = len(rows)
        strata = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
        ratio = self.least + (1 - self.least) * strata[:, None]
        masked = (torch.rand(ids.shape, generator=generator) < ratio) & (weight > 0)
        total = weight.sum()
        weight = (weight / ratio)[masked].to(device)
        wanted = ids[masked].to(device)
        ids = ids.masked_fill(masked, self.tokenizer.mask_token_id).to(device)
        hidden = body(input_ids=ids).last_hidden_state
        at = masked.flatten().nonzero()[:, 0].to(device)
        logits = model.decoder(model.head(hidden.flatten(0, 1)[at]))
        losses = functional.cross_entropy(logits.float(), wanted, reduction="none")
        return (losses * weight).sum() / total


@torch.no_grad()
def start_from_causal(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """Give a fresh diffusion model the weights of the causal model, as far as it has layers.

    A causal model knows how to copy from the prompt, which a masked model is
    slow to learn; starting from one is adaptation as in arXiv 2410.17891.
    Llama and ModernBERT as configured here compute nearly the same: the norms
    differ by the mean of the residual stream, and ModernBERT normalises the
    embedding before the first layer, not in it.  Further layers start as doing
    nothing.

    Parameters
    ----------
    model : ModernBertForMaskedLM
        Changed in place.
    weights : dict
        The state of a `LlamaForCausalLM` of the same width.
    """
    at = {name.removeprefix("model."): w for name, w in weights.items()}
    body = model.model
    embedding = at["embed_tokens.weight"]
    body.embeddings.tok_embeddings.weight.copy_(embedding)
    scale = float(embedding.std(dim=1).mean())
    body.embeddings.norm.weight.fill_(scale)
    for k, layer in enumerate(body.layers):
        here = f"layers.{k}."
        if here + "mlp.up_proj.weight" not in at:
            layer.attn.Wo.weight.zero_()
            layer.mlp.Wo.weight.zero_()
            continue
        qkv = torch.cat([at[f"{here}self_attn.{x}_proj.weight"] for x in "qkv"])
        norm = at[here + "input_layernorm.weight"]
        if k == 0:
            layer.attn.Wqkv.weight.copy_(qkv * (norm / scale))
        else:
            layer.attn.Wqkv.weight.copy_(qkv)
            layer.attn_norm.weight.copy_(norm)
        layer.attn.Wo.weight.copy_(at[here + "self_attn.o_proj.weight"])
        layer.mlp_norm.weight.copy_(at[here + "post_attention_layernorm.weight"])
        layer.mlp.Wi.weight.copy_(torch.cat([at[f"{here}mlp.{x}_proj.weight"] for x in ("gate", "up")]))
        layer.mlp.Wo.weight.copy_(at[here + "mlp.down_proj.weight"])
    body.final_norm.weight.fill_(1.0)
    model.head.dense.weight.copy_(torch.eye(embedding.shape[1]))
    model.head.norm.weight.copy_(at["norm.weight"])


def _scale_down(model: Any) -> None:
    """Smaller weights for the embedding and for what writes into the residual stream."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "embed" in name and p.dim() == 2:
                p.mul_(0.3)
            elif name.endswith(("o_proj.weight", "down_proj.weight", "Wo.weight")):
                p.mul_(0.3)


OBJECTIVES = {kind.name: kind for kind in (Autoregressive, MaskedDiffusion)}
