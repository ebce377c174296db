"""Loops that are not ours: a loop like Dream's with its two hooks, and transformers' DiffusionGemma."""

from __future__ import annotations

import re

import numpy as np
import pytest

import structgen as sg
from structgen.errors import BudgetError, MatcherError, ModelError, StructgenError

torch = pytest.importorskip("torch")

from structgen.diffusion import DiffusionLogitsProcessor, DreamHooks        # noqa: E402

EOS, BOS, PAD, MASK, SIZE = 256, 257, 258, 259, 300
VOCABULARY = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), *[None] * (SIZE - 256)], eos_ids=[EOS],
                                       special={"<end>": EOS, "<bos>": BOS, "<pad>": PAD, "<mask>": MASK})
PATTERN = "(ab+c){1,3}|[0-9]{2,}(-[0-9]{2})+"
COMPILED = sg.compile(sg.Regex(PATTERN), VOCABULARY)


def text_of(row) -> str:
    row = list(row)
    row = row[:row.index(EOS)] if EOS in row else row
    return bytes(row).decode()


def dream(prompts, length, steps, alg, temperature, logits_hook, tokens_hook, seed):
    """What `diffusion_generate` does, as its documentation and hooks describe it."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.cat([torch.tensor(prompts), torch.full((len(prompts), length), MASK)], dim=1)
    x = tokens_hook(None, x, None)
    times = torch.linspace(1, 1e-3, steps + 1)
    for i in range(steps):
        masked = x == MASK
        logits = torch.randn(*x.shape, SIZE, generator=generator) * 4
        logits = logits_hook(i, x, logits)[masked]
        logits = logits / temperature if temperature else logits
        p = torch.softmax(logits, dim=-1)
        best = torch.multinomial(p, 1, generator=generator)[:, 0] if temperature else p.argmax(dim=-1)
        share = 1 - times[i + 1] / times[i] if i < steps - 1 else 1.0
        if alg == "origin":
            keep = torch.rand(len(best), generator=generator) < share
            x[masked] = torch.where(keep, best, MASK)
        else:
            sure = p.gather(1, best[:, None])[:, 0] if alg == "maskgit_plus" else (p * (p + 1e-10).log()).sum(dim=1)
            count = int(masked.sum() * share)
            chosen = torch.topk(sure, count).indices
            new = torch.full_like(best, MASK)
            new[chosen] = best[chosen]
            x[masked] = new
        x = tokens_hook(i, x, logits)
    return x


@pytest.mark.parametrize("alg, temperature", [("origin", 0.0), ("maskgit_plus", 0.0), ("entropy", 0.0), ("origin", 0.7),
                                              ("maskgit_plus", 1.2)])
def test_a_loop_like_dreams(alg, temperature):
    for seed in range(4):
        hooks = DreamHooks([COMPILED, COMPILED], MASK, temperature=temperature, seed=seed)
        x = dream([[BOS, 65], [BOS, 66]], 14, 5, alg, temperature, hooks.logits, hooks.tokens, seed)
        assert hooks.remasked == 0 and (x != MASK).all()
        for row in x[:, 2:].tolist():
            assert re.fullmatch(PATTERN, text_of(row))


def test_the_tokens_hook_masks_what_contradicts():
    hooks = DreamHooks(COMPILED, MASK)
    x = torch.tensor([[BOS, *[MASK] * 8]])
    assert hooks.tokens(None, x, None) is x
    x = x.clone()
    x[0, 1], x[0, 2], x[0, 3] = ord("a"), ord("b"), ord("7")
    out = hooks.tokens(0, x, None)
    assert out.tolist() == [[BOS, ord("a"), ord("b"), *[MASK] * 6]] and hooks.remasked == 1
    x = out.clone()
    x[0, 1] = MASK                          # masked again by the loop: that is its right
    assert hooks.tokens(1, x, None) is x
    x[0, 8] = ord("c")
    assert hooks.tokens(2, x, None) is x
    proposal = hooks.logits(3, x, torch.randn(1, 9, SIZE)).argmax(dim=-1)
    filled = torch.where(x == MASK, proposal, x)
    assert re.fullmatch(PATTERN, text_of(filled[0, 1:].tolist()))


def test_dream_errors_before_the_first_pass():
    with pytest.raises(BudgetError):
        DreamHooks(COMPILED, MASK).tokens(None, torch.tensor([[BOS, MASK, MASK]]), None)
    with pytest.raises(MatcherError, match="cannot be filled"):
        DreamHooks(COMPILED, MASK).tokens(None, torch.tensor([[BOS, MASK, 66, MASK, MASK, MASK]]), None)
    with pytest.raises(MatcherError, match=f"mask token {PAD}"):
        DreamHooks(COMPILED, PAD).tokens(None, torch.tensor([[BOS, MASK, MASK]]), None)
    for wrong, words in ((65, "ordinary token b'A'"), (EOS, "the end token"), (-1, "outside")):
        with pytest.raises(ModelError, match=words):
            DreamHooks(COMPILED, wrong)
    with pytest.raises(StructgenError, match="2 constraints for 1 rows"):
        DreamHooks([COMPILED] * 2, MASK).tokens(None, torch.tensor([[BOS, *[MASK] * 9]]), None)
    with pytest.raises(StructgenError, match="temperature"):
        DreamHooks(COMPILED, MASK, temperature=-1)


@pytest.fixture(scope="module")
def gemma():
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "DiffusionGemmaForBlockDiffusion"):
        pytest.skip("this version of transformers has no DiffusionGemma")
    config = transformers.DiffusionGemmaConfig(
        text_config=dict(vocab_size=SIZE, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                         num_attention_heads=2, num_key_value_heads=1, head_dim=16, global_head_dim=16,
                         num_global_key_value_heads=1, sliding_window=32, num_experts=2, top_k_experts=1,
                         layer_types=["sliding_attention", "full_attention"], moe_intermediate_size=16,
                         pad_token_id=PAD, eos_token_id=EOS, bos_token_id=BOS, max_position_embeddings=256),
        vision_config=dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1,
                           num_key_value_heads=1, head_dim=16, position_embedding_size=16),
        canvas_length=12, image_token_id=290, boi_token_id=291, eoi_token_id=292)
    torch.manual_seed(0)
    return transformers.DiffusionGemmaForBlockDiffusion(config).eval()


@pytest.mark.parametrize("slots, steps", [(12, 1), (12, 3), (36, 3)])
def test_diffusion_gemma(gemma, slots, steps):
    from transformers import LogitsProcessorList

    pattern = "[a-f]{20,}(-[0-9]+)*" if slots > 12 else PATTERN
    compiled = sg.compile(sg.Regex(pattern), VOCABULARY)
    seen = []

    class Watched(DiffusionLogitsProcessor):
        def __call__(self, input_ids, scores, cur_step=None):
            assert cur_step is not None
            out = super().__call__(input_ids, scores, cur_step)
            assert out.shape == scores.shape and out.dtype == scores.dtype and torch.isfinite(out).all()
            seen.append((input_ids.shape[1], out.argmax(dim=-1)))
            return out

    prompt = torch.tensor([[BOS, 65, 66], [BOS, 67, 68]])
    # the temperature is applied behind ours and keeps the order
    out = gemma.generate(prompt, max_new_tokens=slots, max_denoising_steps=steps, eos_token_id=EOS, pad_token_id=PAD,
                         logits_processor=LogitsProcessorList([Watched(compiled, max_new_tokens=slots)]))
    for row in out.sequences[:, 3:].tolist():
        assert re.fullmatch(pattern, text_of([t for t in row if t != PAD]))
    if slots == 12:                             # every step's best tokens are a valid text, not only the last one's
        for _, best in seen:
            for row in best.tolist():
                assert re.fullmatch(pattern, text_of(row))
    else:
        assert len({width for width, _ in seen}) >= 2


def test_processor_errors():
    with pytest.raises(ModelError, match="sg.LogitsProcessor"):
        DiffusionLogitsProcessor(COMPILED)(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, SIZE))
    with pytest.raises(BudgetError):
        DiffusionLogitsProcessor(COMPILED)(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 2, SIZE))
    once = DiffusionLogitsProcessor(COMPILED)
    once(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 8, SIZE))
    with pytest.raises(MatcherError, match="max_new_tokens"):
        once(torch.full((1, 11), ord("a")), torch.zeros(1, 8, SIZE))
    half = DiffusionLogitsProcessor(COMPILED)(torch.zeros(1, 3, dtype=torch.long),
                                              torch.randn(1, 8, SIZE).to(torch.bfloat16))
    assert half.dtype == torch.bfloat16 and re.fullmatch(PATTERN, text_of(half.argmax(dim=-1)[0].tolist()))
    assert np.isfinite(half.float().numpy()).all()
