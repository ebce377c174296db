"""Which slots of a joint assignment are committed: the remasking rules of masked diffusion models.

All rules work on one joint assignment, which is valid as a whole, so any choice
of slots keeps the canvas feasible.  They differ only in what the model is sure of.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

__all__ = ["RULES", "chosen", "share"]

#: low_confidence: LLaDA (arXiv 2502.09992); entropy: Dream; threshold: Fast-dLLM (arXiv 2505.22618)
RULES = ("low_confidence", "entropy", "random", "threshold")


def share(masked: int, steps: int) -> int:
    """How many of `masked` slots to commit when `steps` are left: equal parts, the remainder first.

    Examples
    --------
    >>> [share(10, 4), share(7, 3), share(4, 2), share(2, 1)]
    [3, 3, 2, 2]
    """
    return -(-masked // max(steps, 1))


def chosen(rule: str, confidence: np.ndarray, entropy: Optional[np.ndarray], count: int, threshold: float,
           rng: Any) -> np.ndarray:
    """Indices of the slots to commit, ascending; at least one.

    Parameters
    ----------
    rule : {"low_confidence", "entropy", "random", "threshold"}
        The `count` surest slots, those of the least entropy, any; or all that are
        at least as sure as `threshold`, however many.
    confidence, entropy : ndarray, shape (slots,)
        `entropy` is read by the rule of that name only.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([0.2, 0.9, 0.5, 0.9])
    >>> chosen("low_confidence", p, None, 2, 0.9, None), chosen("threshold", p, None, 1, 0.95, None)
    (array([1, 3]), array([1]))
    """
    if rule == "random":
        return np.sort(rng.choice(len(confidence), size=min(count, len(confidence)), replace=False))
    order = np.argsort(entropy if rule == "entropy" else -confidence, kind="stable")
    if rule == "threshold":
        count = max(1, int((confidence >= threshold).sum()))
    return np.sort(order[:count])
