"""The garbage collector stands still while many objects are made that all stay."""

from __future__ import annotations

import contextlib
import gc
from typing import Iterator

__all__ = ["without_collector"]


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """The garbage collector stands still inside.

    In a process that holds a tokenizer, a full collection takes tens of milliseconds.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
