"""Filling the masks of many matchers at once, whatever kind they are."""

from __future__ import annotations

from typing import Sequence

import numpy as np

__all__ = ["fill_rows"]


def fill_rows(matchers: Sequence, bitmask: np.ndarray) -> None:
    """Fill row i of `bitmask` with the mask of ``matchers[i]``.

    One kernel call where all matchers are the engine's own; other objects with
    a ``fill_bitmask`` (the reference engine, a user's) are asked one by one.
    """
    if not matchers:
        return
    batch = getattr(type(matchers[0]), "_fill_batch", None)
    if batch is not None and all(type(m) is type(matchers[0]) for m in matchers):
        batch(matchers, bitmask)
        return
    for row, matcher in enumerate(matchers):
        matcher.fill_bitmask(bitmask, row)
