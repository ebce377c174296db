"""A finite-context language model: scores depend on the last few tokens only.

For tests and for exact answers: over a regular constraint everything about such
a model can be solved exactly (:mod:`structgen.sampling.dp`).
"""

from __future__ import annotations

import hashlib
from typing import Hashable, Iterable, Mapping, Sequence

import numpy as np

from ..errors import ModelError
from .scorers import Path

__all__ = ["NGram"]


class NGram:
    """Add-k smoothed n-gram model over token ids; a scorer.

    Parameters
    ----------
    order : int
        Tokens a prediction depends on, plus one: 1 unigram, 2 bigram, ...
    tables : mapping from tuple of int to array
        Log probabilities ``(V,)`` behind each context of at most ``order - 1``
        tokens; the empty context serves those that are missing.
    prompt : sequence of int
        What comes before the text.

    Examples
    --------
    >>> model = NGram.fit([[0, 1, 0, 1]], vocab_size=3, order=2, end=2, k=0.1)
    >>> int(model.score([(0,)], [1])[0][0].argmax())
    1
    """

    def __init__(self, order: int, tables: Mapping[Path, np.ndarray], vocab_size: int, prompt: Sequence[int] = ()):
        if () not in tables:
            raise ModelError("an n-gram model needs a table for the empty context")
        self.order = order
        self.tables = {tuple(c): np.asarray(row, np.float64) for c, row in tables.items()}
        self.vocab_size = vocab_size
        self.prompt = tuple(prompt)
        digest = hashlib.blake2b(repr((order, vocab_size, self.prompt)).encode(), digest_size=16)
        for c in sorted(self.tables):
            digest.update(repr(c).encode() + self.tables[c].tobytes())
        self.fingerprint = digest.hexdigest()

    @classmethod
    def fit(cls, texts: Iterable[Sequence[int]], *, vocab_size: int, order: int, end: int, k: float = 0.1,
            prompt: Sequence[int] = ()) -> "NGram":
        """Count n-grams of texts, each closed by the token `end`."""
        counts: dict[Path, np.ndarray] = {(): np.zeros(vocab_size)}
        for text in texts:
            tokens = (*text, end)
            for i, t in enumerate(tokens):
                for n in {0, min(order - 1, i)}:
                    counts.setdefault(tuple(tokens[i - n:i]), np.zeros(vocab_size))[t] += 1
        rows = {c: np.log(row + k) - np.log((row + k).sum()) for c, row in counts.items()}
        return cls(order, rows, vocab_size, prompt)

    def context(self, path: Path) -> Hashable:
        """What the scores behind `path` depend on."""
        n = self.order - 1
        return tuple((*self.prompt, *path)[-n:]) if n else ()

    def score(self, paths: Sequence[Path], counts: Sequence[int]) -> list[np.ndarray]:
        """See :class:`structgen.sampling.scorers.Scorer`."""
        out = []
        for path, count in zip(paths, counts):
            cuts = [path[:len(path) - count + 1 + j] for j in range(count)]
            out.append(np.stack([self.tables.get(self.context(c), self.tables[()]) for c in cuts]))
        return out
