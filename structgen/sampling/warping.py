"""Temperature, top-k, top-p and min-p, applied to the model's own distribution.

In sampling that promises a law these define the model: P is what is left after
them, *before* the constraint.  (A logits processor runs the other way round:
there the filters act on what the constraint left.)  So a text may have
probability zero, and all valid texts together may: that is an error that says
so, not an endless search.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ..errors import StructgenError

__all__ = ["Warping"]


@dataclass(frozen=True)
class Warping:
    """What defines P besides the model.

    Parameters
    ----------
    temperature : float
        Greater than 0; scores are divided by it.
    top_k : int
        Keep the k best tokens (0: all); ties with the k-th stay.
    top_p : float
        Keep the smallest set of best tokens that holds this share of the mass.
    min_p : float
        Keep tokens with at least this share of the best token's probability.

    Examples
    --------
    >>> np.exp(Warping(top_k=2).log_probs(np.log(np.array([[0.5, 0.3, 0.2]]))).astype(float)).round(3).tolist()
    [[0.625, 0.375, 0.0]]
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        def check(good: bool, text: str) -> None:
            if not good:
                raise StructgenError(f"bad sampling parameter: {text}")

        t, k, p, m = self.temperature, self.top_k, self.top_p, self.min_p
        check(isinstance(t, (int, float)) and 0 < t < float("inf"),
              f"temperature={t!r}, wanted a number > 0 (a law needs probabilities; for the best text use "
              "sampling='mask' of generate)")
        check(isinstance(k, int) and not isinstance(k, bool) and k >= 0, f"top_k={k!r}, wanted an integer >= 0")
        check(0 < p <= 1, f"top_p={p!r}, wanted 0 < top_p <= 1")
        check(0 <= m <= 1, f"min_p={m!r}, wanted 0 <= min_p <= 1")

    @classmethod
    def make(cls, options: dict) -> "Warping":
        """From keyword arguments; None means the default, an unknown name is an error."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise StructgenError(f"unknown argument{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}",
                                 hint="what defines the distribution is " + ", ".join(known))
        return cls(**{k: v for k, v in options.items() if v is not None})

    @property
    def key(self) -> str:
        """Equal for equal distributions."""
        return f"T={self.temperature!r} k={self.top_k} p={self.top_p!r} m={self.min_p!r}"

    def log_probs(self, scores: np.ndarray) -> np.ndarray:
        """Log probabilities, float32 ``(n, V)``, from scores ``(n, V)`` of any real type.

        Normalised in float64.  -inf where nothing is left of a token.  A row
        with NaN or without a finite entry comes back as NaN.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if self.temperature != 1:
            scores = scores / self.temperature
        with np.errstate(invalid="ignore"):
            out = scores - scores.max(axis=1, keepdims=True)
            out -= np.log(np.exp(out).sum(axis=1, keepdims=True))
        cut = False
        if 0 < self.top_k < out.shape[1]:
            kth = np.partition(out, -self.top_k, axis=1)[:, -self.top_k][:, None]
            out, cut = np.where(out < kth, -np.inf, out), True
        if self.top_p < 1:
            if cut:
                out = _normalised(out)
            order = np.argsort(-out, axis=1, kind="stable")
            p = np.exp(np.take_along_axis(out, order, axis=1))
            gone = (np.cumsum(p, axis=1) - p) >= self.top_p
            gone[:, 0] = False
            rows, columns = np.nonzero(gone)
            out = out.copy()
            out[rows, order[rows, columns]] = -np.inf
            cut = True
        if self.min_p > 0:
            floor = out.max(axis=1, keepdims=True) + np.log(self.min_p)
            out, cut = np.where(out < floor, -np.inf, out), True
        if cut:
            out = _normalised(out)
        return out.astype(np.float32)


def _normalised(logp: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return logp - np.log(np.exp(logp).sum(axis=1, keepdims=True))
