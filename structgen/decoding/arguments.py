"""What callers hand over, checked: integers, bitmasks, bytes.

The one place that looks at the layout of a bitmask.
"""

from __future__ import annotations

import ctypes
import operator
from typing import Any, Sequence

import numpy as np

from ..errors import MatcherError

__all__ = ["address_of", "destination", "end_mask", "integer"]


def integer(value: Any, what: str) -> int:
    """`value` as an int; numpy's and torch's integers count, booleans do not."""
    try:
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except TypeError:
        pass
    raise MatcherError(f"{what} is an integer, not {type(value).__name__}")


def address_of(data: bytes) -> int:
    """Where the bytes lie; for a kernel called before `data` goes."""
    return int(np.frombuffer(data, np.uint8).ctypes.data) if data else 0


def end_mask(address: int, words: int, eos_ids: Sequence[int]) -> None:
    """A row with only the end tokens allowed (a finished row must not be all zero)."""
    ctypes.memset(address, 0, words * 4)
    row = (ctypes.c_uint32 * words).from_address(address)
    for t in eos_ids:
        row[t >> 5] |= 1 << (t & 31)


def destination(bitmask: Any, width: int) -> tuple[int, int, int, int]:
    """(address, bytes between rows, words a row, rows) of a bitmask, checked."""
    if not isinstance(bitmask, np.ndarray):
        if type(bitmask).__module__.partition(".")[0] != "torch":
            raise MatcherError(f"a bitmask is a numpy array or a torch tensor, not {type(bitmask).__name__}")
        if bitmask.device.type != "cpu":
            raise MatcherError(f"a bitmask lies on the CPU, not on {bitmask.device}",
                               hint="fill a CPU tensor and copy it over")
        if str(bitmask.dtype) != "torch.int32":
            raise MatcherError(f"a bitmask has dtype int32, not {bitmask.dtype}")
        bitmask = bitmask.numpy()
    if bitmask.dtype != np.int32:
        raise MatcherError(f"a bitmask has dtype int32, not {bitmask.dtype}")
    if bitmask.ndim not in (1, 2):
        raise MatcherError(f"a bitmask has shape (batch, width) or (width,), not {bitmask.shape}")
    if bitmask.shape[-1] < width:
        raise MatcherError(f"a bitmask row holds {bitmask.shape[-1]} words, the vocabulary needs {width}")
    if bitmask.strides[-1] != 4:
        raise MatcherError("the words of a bitmask row must be contiguous")
    if not bitmask.flags.writeable:
        raise MatcherError("the bitmask is read-only")
    rows = bitmask.shape[0] if bitmask.ndim == 2 else 1
    stride = bitmask.strides[0] if bitmask.ndim == 2 else 0
    return bitmask.__array_interface__["data"][0], stride, bitmask.shape[-1], rows
