"""Filling the masks of many matchers at once, whatever kind they are."""

from __future__ import annotations

from typing import Sequence

import numpy as np

__all__ = ["fill_rows"]


def fill_rows(matchers: Sequence, bitmask: np.ndarray) -> None:
    """Fill row i of `bitmask` with the mask of ``matchers[i]``; None leaves a row as it is.

    One kernel call where all matchers are the engine's own; other objects with
    a ``fill_bitmask`` (the reference engine, a user's) are asked one by one.
    """
    from .matcher import Matcher, fill_batch

    if all(m is None or type(m) is Matcher for m in matchers):
        fill_batch(matchers, bitmask)
        return
    for row, matcher in enumerate(matchers):
        if matcher is not None:
            matcher.fill_bitmask(bitmask, row)
