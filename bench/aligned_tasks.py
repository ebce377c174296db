"""Seven finite languages and the models of the sampling bench.

The languages are of the kinds that the literature on grammar-aligned decoding
measures on: skewed binary strings, prefix expressions, small JSON objects, dates.
The char-level model is a small Llama over bytes, trained here in a few minutes
on lines that are of those kinds but mostly not in the languages, and kept in the
cache folder.
"""

from __future__ import annotations

import calendar
import os
import random
import sys
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Iterator

import numpy as np

__all__ = ["TASKS", "Task", "char_model", "byte_vocabulary"]


@dataclass(frozen=True)
class Task:
    """A prompt, all texts of the language, and the longest in tokens of the char-level model."""

    name: str
    prompt: str
    texts: tuple[str, ...]

    @property
    def horizon(self) -> int:
        return max(map(len, self.texts)) + 1


def _expressions(depth: int, leaves: tuple[str, ...], unary: tuple[str, ...], binary: tuple[str, ...]) -> list[str]:
    level = list(leaves)
    for _ in range(depth - 1):
        level = [*leaves, *(f"({f} {x})" for f in unary for x in level),
                 *(f"({f} {x} {y})" for f, x, y in product(binary, level, level))]
    return level


def _dates(years: range) -> list[str]:
    return [f"{y}-{m:02d}-{d:02d}" for y in years for m in range(1, 13) for d in range(1, 32)]


def _languages() -> Iterator[Task]:
    yield Task("bin17", "bits: ", ("00000", *(f"1{n:04b}" for n in range(16))))
    yield Task("expr-shallow", "expr: ", tuple(_expressions(3, ("x", "y", "0", "1"), ("neg",), ("add",))))
    yield Task("jskew", "json: ", tuple(
        f'{{"a":{a},"b":"{b}","c":{c}}}'
        for a in range(10) for b in ("on", "off", "auto") for c in ("true", "false", "null", "0")))
    yield Task("expr-deep", "call: ", tuple(_expressions(4, ("x", "y"), ("f",), ()) + [
        f"(g {x} {y})" for x in _expressions(3, ("x", "y", "z"), ("f",), ("h",))
        for y in _expressions(2, ("x", "y", "z"), ("f",), ("h",))]))
    yield Task("datemix", "when: ", tuple(
        [f"{d} {calendar.month_abbr[m]}" for m in range(1, 13) for d in range(1, 13)]
        + [f"2024-{m:02d}" for m in range(1, 13)]
        + [f"{h:02d}:{m:02d}" for h in range(0, 24, 2) for m in range(0, 60, 15)]
        + [f"Q{q}" for q in range(1, 5)] + ["today", "tomorrow", "never"] + [f"{y}" for y in range(2010, 2022)]))
    yield Task("date11k", "date: ", tuple(_dates(range(1995, 2025))))
    yield Task("datetime45k", "time: ", tuple(f"{d:02d} {h:02d}:{m:02d}" for d in range(1, 32) for h in range(24)
                                              for m in range(60)))


TASKS = {t.name: t for t in _languages()}


def _line(rng: random.Random) -> str:
    """A line of training text: like the languages, but seldom in them."""
    kind = rng.choice(("bits", "expr", "json", "call", "when", "date", "time"))
    if kind == "bits":
        n = 5 if rng.random() < 0.6 else rng.randrange(2, 9)
        return "bits: " + "".join("1" if rng.random() < 0.3 else "0" for _ in range(n))
    if kind in ("expr", "call"):
        names = ("x", "y", "0", "1", "z", "w") if kind == "expr" else ("x", "y", "z", "u", "v")
        ops1, ops2 = (("neg", "abs"), ("add", "mul")) if kind == "expr" else (("f", "k"), ("g", "h"))

        def term(depth: int) -> str:
            p = rng.random()
            if depth == 0 or p < 0.45:
                return rng.choice(names)
            if p < 0.6:
                return f"({rng.choice(ops1)} {term(depth - 1)})"
            return f"({rng.choice(ops2)} {term(depth - 1)} {term(depth - 1)})"

        return f"{kind}: {term(4)}"
    if kind == "json":
        keys = rng.sample("abcd", rng.randrange(1, 4))
        value = lambda: rng.choice((str(rng.randrange(30)), '"on"', '"off"', '"idle"', "true", "null", "[]"))  # noqa: E731
        return "json: {" + ",".join(f'"{k}":{value()}' for k in sorted(keys)) + "}"
    if kind == "when":
        return "when: " + rng.choice((
            f"{rng.randrange(1, 32)} {rng.choice(calendar.month_name[1:])}", f"{rng.randrange(1, 29)} "
            f"{calendar.month_abbr[rng.randrange(1, 13)]} {rng.randrange(1990, 2030)}", f"{rng.randrange(1990, 2030)}",
            "tomorrow at noon", "today", "never again", f"Q{rng.randrange(1, 5)} {rng.randrange(2000, 2030)}",
            f"{rng.randrange(24)}:{rng.randrange(60):02d}", f"{rng.randrange(2000, 2030)}-{rng.randrange(1, 13):02d}"))
    if kind == "date":
        return f"date: {min(2029, int(rng.gauss(2012, 9)))}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
    return f"time: {rng.randrange(1, 32):02d} {rng.randrange(24):02d}:{rng.randrange(60):02d}" \
        if rng.random() < 0.4 else f"time: {rng.randrange(1, 13)}:{rng.randrange(60):02d} {rng.choice(('am', 'pm'))}"


@lru_cache(maxsize=None)
def byte_vocabulary() -> Any:
    """Every byte, and 256 as the end token."""
    from structgen import Vocabulary

    return Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])


def char_model(steps: int = 300, seed: int = 0) -> Any:
    """The char-level model; trained the first time."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    from structgen.cache import cache_dir

    folder = Path(os.fspath(cache_dir())) / f"bench-char-model-{steps}-{seed}"
    if not (folder / "config.json").is_file():
        torch.manual_seed(seed)
        rng = random.Random(seed)
        model = LlamaForCausalLM(LlamaConfig(
            vocab_size=257, hidden_size=112, intermediate_size=320, num_hidden_layers=4, num_attention_heads=4,
            num_key_value_heads=4, max_position_embeddings=128, tie_word_embeddings=True, bos_token_id=None,
            eos_token_id=256, pad_token_id=256))
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.05)
        for step in range(steps):
            lines = [_line(rng).encode()[:46] for _ in range(64)]
            width = max(map(len, lines)) + 1
            ids = torch.full((64, width), 256)
            labels = torch.full((64, width), -100)
            for r, line in enumerate(lines):
                ids[r, :len(line)] = torch.tensor(list(line))
                labels[r, :len(line) + 1] = torch.tensor([*line, 256])
            loss = model(input_ids=ids, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            if step % 100 == 99:
                print(f"char-level model: step {step + 1}/{steps}, loss {loss.item():.3f}", file=sys.stderr)
        model.save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def prompt_ids(task: Task) -> list[int]:
    """Of the char-level model."""
    return list(task.prompt.encode())


def exact_law(model: Any, task: Task, warpers: list, batch: int = 256) -> np.ndarray:
    """log P of every text of a task under the char-level model: teacher forcing, nothing of structgen."""
    import torch

    prompt = prompt_ids(task)
    order = sorted(range(len(task.texts)), key=lambda i: len(task.texts[i]))
    out = np.zeros(len(order))
    for at in range(0, len(order), batch):
        part = order[at:at + batch]
        width = len(prompt) + max(len(task.texts[i]) for i in part) + 1
        ids = torch.full((len(part), width), 256)
        for r, i in enumerate(part):
            row = [*prompt, *task.texts[i].encode(), 256]
            ids[r, :len(row)] = torch.tensor(row)
        with torch.inference_mode():
            logits = model(input_ids=ids[:, :-1]).logits[:, len(prompt) - 1:].float()
        shape = logits.shape
        flat = logits.reshape(-1, shape[-1])
        for warp in warpers:
            flat = warp(None, flat)
        logp = torch.log_softmax(flat.double(), dim=1).reshape(shape)
        wanted = ids[:, len(prompt):]
        picked = logp.gather(2, wanted.unsqueeze(2)).squeeze(2).numpy()
        for r, i in enumerate(part):
            out[i] = picked[r, :len(task.texts[i].encode()) + 1].sum()
    return out
