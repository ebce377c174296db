"""Constrained adaptive rejection sampling as published (arXiv 2510.01902), to count what it costs.

One attempt at a time.  Each token costs a forward pass of the whole text, whether
the trie knows the node or not; so does the token that turns out not to be allowed,
since the model runs before the check.  On a node's first visit the token is drawn
from the model's own distribution, and all that is not allowed there is taken out
for later; on later ones from p * theta.  Written from the paper's description,
with the constraint's masks and the bench's models but nothing of
``structgen.sampling``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Restart"]


class Restart:
    """The sampler and its counters.

    Attributes
    ----------
    forwards : int
        Forward passes so far.
    attempts : int
    """

    def __init__(self, score: Any, compiled: Any, horizon: int, seed: int, canonical: bool = False):
        self.score, self.compiled, self.horizon, self.canonical = score, compiled, horizon, canonical
        self.rng = np.random.default_rng(seed)
        self.ends = set(compiled.vocabulary.eos_ids)
        self.forwards = self.attempts = 0
        # prefix -> allowed tokens, their probabilities, theta of each
        self.nodes: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def sample(self) -> tuple[int, ...]:
        """A text of the language, end token included."""
        while True:
            self.attempts += 1
            text = self._attempt()
            if text is not None:
                return text

    def _attempt(self) -> tuple[int, ...] | None:
        path: tuple[int, ...] = ()
        matcher = self.compiled.matcher()
        while True:
            self.forwards += 1
            if path not in self.nodes:
                token = self._first_visit(path, matcher)
                if token is None:
                    self.forwards += 1
                    return None
            else:
                allowed, p, theta = self.nodes[path]
                w = p * theta
                if w.sum() <= 0:
                    return None
                token = int(allowed[self._pick(w)])
            path = (*path, token)
            if token in self.ends:
                return path
            matcher.accept(token)

    def _pick(self, w: np.ndarray) -> int:
        sums = np.cumsum(w)
        return min(int(np.searchsorted(sums, self.rng.random() * sums[-1], side="right")), int(np.flatnonzero(w)[-1]))

    def _first_visit(self, path: tuple[int, ...], matcher: Any) -> int | None:
        scores = np.asarray(self.score([path], [1])[0][0], np.float64)
        p = np.exp(scores - scores.max())
        p /= p.sum()
        allowed = matcher.allowed_tokens()
        if self.canonical and set(allowed.tolist()) & self.ends:
            pieces = self.compiled.vocabulary
            if tuple(pieces.encode(b"".join(pieces.token_bytes(t) or b"" for t in path))) != path:
                allowed = np.array([t for t in allowed if int(t) not in self.ends], allowed.dtype)
        if len(path) == self.horizon - 1:
            allowed = np.array([t for t in allowed if int(t) in self.ends], allowed.dtype)
        self.nodes[path] = allowed, p[allowed], np.ones(len(allowed))
        total = float(p[allowed].sum())
        for k in range(len(path) - 1, -1, -1):          # lower the bounds from here to the root
            tokens, shares, theta = self.nodes[path[:k]]
            theta[int(np.searchsorted(tokens, path[k]))] = total
            total = float((shares * theta).sum())
        token = self._pick(p)
        return token if token in allowed else None
