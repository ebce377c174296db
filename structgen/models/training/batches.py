"""Training batches: a function of the seed and of how many came before.

Examples are made in chunks, sorted by length and cut into batches of about the
same number of tokens, so that hardly anything is padding; the batches of a
chunk come in random order.  The place in this stream is two integers, which is
what makes a run resumable.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Iterator

from ..corpus import examples
from .tokenizer import render

__all__ = ["Row", "Place", "Stream"]

#: examples made at a time
CHUNK = 1024


@dataclass(frozen=True)
class Row:
    """One example as ids: the prompt with the start of the answer, the answer with its end."""

    prompt: list[int]
    answer: list[int]


@dataclass
class Place:
    """Where a stream stands: the chunk, and the batches of it that are done."""

    chunk: int = 0
    batch: int = 0


class Stream:
    """Batches of rows without end.

    Parameters
    ----------
    tokenizer : transformers tokenizer
    seed : int
        Of the corpus and of the order.
    tokens : int
        How many tokens a batch has, about, padding included.
    canvas : sequence of int, optional
        Lengths of the answer canvas to draw from, for the diffusion model; an
        answer that is longer gets its own length.  Without: the answers as
        they are.
    longest : int
        Rows with more tokens are left out.
    """

    def __init__(self, tokenizer: Any, seed: int, tokens: int, canvas: tuple[int, ...] = (), longest: int = 320):
        self.tokenizer = tokenizer
        self.seed = seed
        self.tokens = tokens
        self.canvas = canvas
        self.longest = longest
        self.place = Place()

    def rows(self, chunk: int) -> list[Row]:
        """The examples of a chunk, tokenised."""
        found = list(examples(self.seed, CHUNK, start=chunk * CHUNK))
        prompts = self.tokenizer([render(e.messages) for e in found], add_special_tokens=False)["input_ids"]
        answers = self.tokenizer([e.answer for e in found], add_special_tokens=False)["input_ids"]
        end = self.tokenizer.eos_token_id
        return [Row(p, a + [end]) for p, a in zip(prompts, answers) if len(p) + len(a) < self.longest]

    def batches(self, chunk: int) -> list[tuple[list[Row], int]]:
        """The batches of a chunk: rows and their common length."""
        rng = random.Random(f"batches/{self.seed}/{chunk}")
        sized = []
        for row in self.rows(chunk):
            slots = len(row.answer)
            if self.canvas:
                slots = max(slots, rng.choice(self.canvas))
            sized.append((len(row.prompt) + slots, rng.random(), row))
        sized.sort(key=lambda item: item[:2])
        out: list[tuple[list[Row], int]] = []
        at = 0
        while at < len(sized):
            # the longest row decides; a multiple of 8 keeps the number of shapes small
            end = at + 1
            while end < len(sized) and (end + 1 - at) * _up(sized[end][0]) <= self.tokens:
                end += 1
            out.append(([row for _, _, row in sized[at:end]], _up(sized[end - 1][0])))
            at = end
        rng.shuffle(out)
        return out

    def __iter__(self) -> Iterator[tuple[list[Row], int]]:
        while True:
            found = self.batches(self.place.chunk)
            while self.place.batch < len(found):
                self.place.batch += 1
                yield found[self.place.batch - 1]
            self.place.chunk += 1
            self.place.batch = 0


def _up(n: int, step: int = 8) -> int:
    return -(-n // step) * step
