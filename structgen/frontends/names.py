"""Hints that name what was probably meant."""

from __future__ import annotations

import difflib
from typing import Iterable, Optional

__all__ = ["closest"]


def closest(name: str, names: Iterable[str]) -> Optional[str]:
    """A hint with the nearest of `names`, if one is near.

    >>> closest("itm", ["item", "list"])
    "did you mean 'item'?"
    """
    found = difflib.get_close_matches(name, list(names), 1)
    return f"did you mean {found[0]!r}?" if found else None
