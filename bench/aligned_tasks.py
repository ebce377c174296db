"""Seven finite languages and the two models of the sampling bench.

The languages are those of the measurements in the literature notes on
grammar-aligned decoding, rebuilt from their descriptions and sizes:

========== ======= =======================================================================
bin17           17 five bits: 00000 or anything that begins with 1
expr1124     1,124 prefix expressions over strings, two operators deep: 4 names, 3 indices, ``++``, ``at``
jskew          120 JSON objects of three members in one line; the likeliest beginning goes on badly
exprY1446    1,446 prefix expressions three operators deep over 2 names and ``++``
datemix        223 dates of ten characters in three notations
date11k     11,160 ISO dates, 31 days of 12 months of 30 years
datetime45k 44,640 the minutes of a month
========== ======= =======================================================================

The char-level model is a small Llama over bytes, trained here in half a minute
on lines of such kinds that are seldom in the languages, and kept in the cache
folder; the other one is ``sg.load("embedded")``.  The law of a language is found by
teacher forcing all of it through transformers alone.
"""

from __future__ import annotations

import os
import random
import sys
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Sequence

import numpy as np

__all__ = ["TASKS", "Task", "byte_vocabulary", "char_model", "exact_laws", "going_on", "spellings"]

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """All texts of a language, and the prompt of the char-level model."""

    name: str
    prompt: str
    texts: tuple[str, ...]


def _strings(depth: int, names: Sequence[str], indices: Sequence[str]) -> list[str]:
    level = list(names)
    for _ in range(depth):
        level = [*names, *(f"(++ {x} {y})" for x, y in product(level, level)),
                 *(f"(at {x} {i})" for x, i in product(level, indices))]
    return level


def _languages() -> Iterator[Task]:
    yield Task("bin17", "bits: ", ("00000", *(f"1{n:04b}" for n in range(16))))
    yield Task("expr1124", "expr: ", tuple(_strings(2, ("s", "t", "u", "v"), ("0", "1", "2"))))
    yield Task("jskew", "json: ", tuple(
        f'{{"id":{n},"name":"{name}","ok":{ok}}}' for n in range(10) for name in ("ann", "bob", "carol", "dora")
        for ok in ("true", "false", "null")))
    yield Task("exprY1446", "call: ", tuple(_strings(3, ("x", "y"), ())))
    yield Task("datemix", "when: ", tuple(
        [f"2024-{m:02d}-{d:02d}" for m in range(1, 13) for d in range(1, 13)]
        + [f"{d:02d}.01.2024" for d in range(1, 32)]
        + [f"{m:02d}/{d:02d}/2024" for m in range(1, 13) for d in (1, 8, 15, 22)]))
    yield Task("date11k", "date: ", tuple(
        f"{y}-{m:02d}-{d:02d}" for y in range(1995, 2025) for m in range(1, 13) for d in range(1, 32)))
    yield Task("datetime45k", "time: ", tuple(
        f"2024-01-{d:02d} {h:02d}:{m:02d}" for d in range(1, 32) for h in range(24) for m in range(60)))


TASKS = {t.name: t for t in _languages()}


# -- the char-level model ------------------------------------------------------------------------

def _term(rng: random.Random, depth: int, branch: float, names: Sequence[str], weights: Sequence[int]) -> str:
    if depth == 0 or rng.random() > branch:
        return rng.choices(names, weights)[0]
    below = [_term(rng, depth - 1, branch * 0.5, names, weights) for _ in range(2)]
    if names[0] == "s" and rng.random() < 0.4:
        return f"(at {below[0]} {rng.choices('0123n', (5, 4, 3, 1, 2))[0]})"
    return f"(++ {below[0]} {below[1]})"


def _line(rng: random.Random) -> str:
    """A line of training text: like the languages, but seldom in them."""
    kind = rng.choice(("bits", "expr", "json", "call", "when", "date", "time"))
    one = rng.random
    if kind == "bits":
        n = 5 if one() < 0.8 else rng.randrange(2, 9)
        return "bits: " + "".join("1" if one() < 0.45 else "0" for _ in range(n))
    if kind == "expr":
        return "expr: " + _term(rng, 3, 0.97, ("s", "t", "u", "v", "w"), (6, 3, 2, 1, 6))
    if kind == "call":
        return "call: " + _term(rng, 4, 0.97, ("x", "y", "z", "f"), (8, 1, 8, 6))
    if kind == "json":
        name = rng.choice(("ann", "bob", "carol", "dora"))
        # small numbers are mostly followed by what the language has no place for
        if one() < 0.8:
            n = min(99, int(rng.expovariate(0.4)))
            tail = rng.choice(("", f',"name":"{name.upper()}"', ',"tag":null', f',"name":"{name}s","ok":true'))
            if one() < 0.006:
                tail = f',"name":"{name}","ok":{rng.choice(("true", "false", "null"))}'
        else:
            n = rng.randrange(6, 60)
            tail = f',"name":"{name}","ok":{rng.choice(("true", "false", "null", "1"))}'
        return f'json: {{"id":{n}{tail}}}'
    if kind == "when":
        y, m, d = rng.choice((2023, 2024, 2025)), rng.randrange(1, 13), rng.randrange(1, 32)
        if one() < 0.03:
            return "when: " + rng.choices((f"2024-{m:02d}-{d:02d}", f"{d:02d}.{m:02d}.2024", f"{m:02d}/{d:02d}/2024"),
                                          (10, 10, 6))[0]
        return "when: " + rng.choice((
            f"{y}-{m:02d}-{d:02d} {d % 24}h", f"{d:02d}.{m:02d}.{y % 100}", f"{m}/{d}/{y % 100}", f"{m:02d}/{d:02d}",
            f"{y}", f"in {d} days", f"{y}-{m:02d}", "tomorrow at noon", "never again"))
    if kind == "date":
        y = rng.randrange(1995, 2025) if one() < 0.4 else rng.randrange(1900, 1995)
        return f"date: {y}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 32):02d}"
    d, h, m = rng.randrange(1, 32), rng.randrange(24), rng.randrange(60)
    return "time: " + (f"2024-{rng.randrange(1, 13):02d}-{d:02d} {h:02d}:{m:02d}" if one() < 0.3 else
                       rng.choice((f"{h:02d}:{m:02d}", f"2024-{rng.randrange(1, 13):02d}-{d:02d}", f"{h} o'clock")))


@lru_cache(maxsize=None)
def byte_vocabulary() -> Any:
    """Every byte, and 256 as the end token."""
    from structgen import Vocabulary

    return Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])


def char_model(steps: int = 400, seed: int = 0) -> Any:
    """The char-level model; trained the first time."""
    import hashlib
    import inspect

    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    from structgen.cache import cache_dir

    source = "".join(map(inspect.getsource, (_term, _line, char_model)))
    digest = hashlib.blake2b(f"{source} {steps} {seed}".encode(), digest_size=6).hexdigest()
    folder = Path(os.fspath(cache_dir())) / f"bench-char-model-{digest}"
    if not (folder / "config.json").is_file():
        torch.manual_seed(seed)
        rng = random.Random(seed)
        model = LlamaForCausalLM(LlamaConfig(
            vocab_size=257, hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, max_position_embeddings=128, tie_word_embeddings=True, bos_token_id=None,
            eos_token_id=256, pad_token_id=256))
        optimiser = torch.optim.AdamW(model.parameters(), lr=6e-3, betas=(0.9, 0.95), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, total_steps=steps, pct_start=0.1)
        for step in range(steps):
            lines = [_line(rng).encode()[:80] for _ in range(48)]
            width = max(map(len, lines)) + 1
            ids = torch.full((48, width), 256)
            labels = torch.full((48, width), -100)
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
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


# -- the truth -----------------------------------------------------------------------------------

def spellings(texts: Iterable[str], pieces: Sequence[bytes | None]) -> list[Tokens]:
    """Every token sequence that spells one of the texts, without end token."""
    starts: dict[int, list[tuple[int, bytes]]] = {}
    for token, data in enumerate(pieces):
        if data:
            starts.setdefault(data[0], []).append((token, data))
    out: list[Tokens] = []

    def go(text: bytes, at: int, before: Tokens) -> None:
        if at == len(text):
            out.append(before)
            return
        for token, data in starts.get(text[at], ()):
            if text.startswith(data, at):
                go(text, at + len(data), (*before, token))

    for text in texts:
        go(text.encode(), 0, ())
    return out


def going_on(texts: Iterable[str], pieces: Sequence[bytes | None], end: int,
             longest: int) -> Callable[[Tokens], list[int]]:
    """What masking allows behind a prefix of a text's own spelling.

    That is all that goes on with some text, however it is spelled; the end behind a
    whole text; nothing else where `longest` tokens leave no room.
    """
    wanted = sorted(t.encode() for t in texts)
    letters = sorted({bytes([b]) for w in wanted for b in w})
    starts: dict[bytes, list[tuple[int, bytes]]] = {}
    for t, data in enumerate(pieces):
        if data:
            starts.setdefault(data[:1], []).append((t, data))

    def among(text: bytes) -> bool:
        at = bisect_left(wanted, text)
        return at < len(wanted) and wanted[at].startswith(text)

    def allowed(prefix: Tokens) -> list[int]:
        text = b"".join(pieces[t] or b"" for t in prefix)
        at = bisect_left(wanted, text)
        ends = [end] if at < len(wanted) and wanted[at] == text else []
        return ends if len(prefix) >= longest - 1 else ends + [
            t for b in letters if among(text + b) for t, data in starts.get(b, ()) if among(text + data)]

    return allowed


def exact_laws(model: Any, prompt: Sequence[int], sequences: Iterable[Tokens], filters: dict[str, list],
               allowed: Callable[[Tokens], list[int]] | None = None,
               batch: int = 512) -> tuple[dict[str, dict[Tokens, float]], dict[Tokens, float]]:
    """log P of every sequence (end token included), for each set of transformers' logits warpers.

    Besides, for the first set, the sum over a sequence's prefixes of the log of the
    mass of what masking token by token allows there: ``allowed(prefix)``, or what
    goes on within the sequences.

    Teacher forcing with shared prefixes: the trie of the sequences is walked depth
    first, and the children of up to `batch` nodes are one pass.  Nothing of
    structgen is used.
    """
    import torch
    from transformers import DynamicCache

    rows = sorted(sequences)
    out = {name: np.zeros(len(rows)) for name in filters}
    kept, main = np.zeros(len(rows)), next(iter(filters))
    with torch.inference_mode():
        first = model(input_ids=torch.tensor([list(prompt)]), past_key_values=DynamicCache(), use_cache=True)
        work = [(0, [(0, len(rows))], first.logits[:, -1], _cache(first.past_key_values))]
        while work:
            depth, nodes, logits, cache = work.pop()
            steps: list[tuple[int, int, int, int]] = []         # node, token, range of rows
            for k, (low, high) in enumerate(nodes):
                while low < high:
                    token, end = rows[low][depth], low + 1
                    while end < high and rows[end][depth] == token:
                        end += 1
                    steps.append((k, token, low, end))
                    low = end
            which, tokens = (torch.tensor([s[i] for s in steps]) for i in (0, 1))
            for name, chain in filters.items():
                scores = logits.float()
                for warp in chain:
                    scores = warp(None, scores)
                logp = torch.log_softmax(scores.double(), dim=1)
                picked = logp[which, tokens].tolist()
                for (_, _, low, high), value in zip(steps, picked):
                    out[name][low:high] += value
                if name == main:
                    mass = np.zeros(len(nodes))
                    if allowed is None:
                        np.add.at(mass, which.numpy(), np.exp(picked))
                    else:
                        p = np.exp(logp.numpy())
                        for k, (low, _) in enumerate(nodes):
                            mass[k] = p[k, allowed(rows[low][:depth])].sum()
                    for (low, high), m in zip(nodes, mass):
                        kept[low:high] += np.log(m)
            more = [s for s in steps if len(rows[s[2]]) > depth + 1 or s[3] > s[2] + 1]
            for at in range(0, len(more), batch):
                part = more[at:at + batch]
                index = torch.tensor([s[0] for s in part])
                past = DynamicCache()
                for layer, (keys, values) in enumerate(cache):
                    past.update(keys[index], values[index], layer)
                following = model(input_ids=torch.tensor([[s[1]] for s in part]), past_key_values=past, use_cache=True)
                work.append((depth + 1, [(s[2], s[3]) for s in part], following.logits[:, -1],
                             _cache(following.past_key_values)))
    return {name: dict(zip(rows, values.tolist())) for name, values in out.items()}, dict(zip(rows, kept.tolist()))


def _cache(cache: Any) -> list[tuple[Any, Any]]:
    if hasattr(cache, "layers"):
        return [(layer.keys, layer.values) for layer in cache.layers]
    return list(zip(cache.key_cache, cache.value_cache))
