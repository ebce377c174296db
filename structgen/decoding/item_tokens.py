"""Tokens whose mask bit needs a second look where items must differ.

A mask is made for a state, and a state does not know the text of the item
being read.  So the walk over tokens lets one pass that ends the item, has a
comma and goes on with the item again (``","a`` after ``["a``).  There are a few
dozen such tokens in a vocabulary of 128,000, and which they are depends on the
bytes alone; the matcher tries those that a mask allows with the real text.

Where positions of an array differ in what they allow, even whether a comma may
follow depends on the item: then every token with a comma outside strings is
looked at.
"""

from __future__ import annotations

import re
import weakref
from typing import TYPE_CHECKING

import numpy as np

from ..automata import stack_kernels as sk

if TYPE_CHECKING:
    from ..tokens.tables import TokenTables

__all__ = ["ItemTokens", "item_tokens"]

_DEEP = rb',[ \t\r\n]*(?:[-0-9tfn]|["\[{].)'
#: ... that only opens an object and its first key
_OBJECT = re.compile(rb'[^,]*,[ \t\r\n]*\{[ \t\r\n]*"')


class ItemTokens:
    """The tokens of one vocabulary, as rows of bits (int32), by where a state stands.

    ``rows[kind][inside]``: `inside` a string or not; kind 0 leaves out tokens
    that only open an object and its first key, which can repeat an item only
    where it is one of few objects; kind 2 has every comma.
    """

    def __init__(self, tables: "TokenTables"):
        blob, offsets = tables.blob.tobytes(), tables.offsets.tolist()
        commas = [t for t in np.flatnonzero(tables.kind == 0).tolist()
                  if blob.find(b",", offsets[t], offsets[t + 1]) >= 0]
        self.rows = []
        for tail, but in ((_DEEP, _OBJECT), (_DEEP, None), (b",", None)):
            pair = []
            for head in (b"", b'".*'):
                pattern = re.compile(head + tail, re.DOTALL)
                row = np.zeros(tables.words * 64, bool)
                row[[t for t in commas if pattern.search(blob, offsets[t], offsets[t + 1])
                     and not (but and but.fullmatch(blob, offsets[t], offsets[t + 1]))]] = True
                pair.append(np.packbits(row, bitorder="little").view(np.int32))
            self.rows.append(pair)

    def row(self, threads: list[int], few: bool, mixed: bool) -> np.ndarray:
        """The tokens to look at in a state of these threads."""
        return self.rows[2 if mixed else int(few)][all(_inside(t >> sk.SHIFT) for t in threads)]


def _inside(q: int) -> bool:
    """Is `q` within a string?"""
    return q < 16 or 48 <= q < 52 or sk.LX_BASE <= q < sk.RAW_BASE or sk.KEY_BASE <= q < sk.WSX_BASE


_known: "weakref.WeakKeyDictionary[TokenTables, ItemTokens]" = weakref.WeakKeyDictionary()


def item_tokens(tables: "TokenTables") -> ItemTokens:
    """The tokens of a vocabulary, made on first use."""
    found = _known.get(tables)
    if found is None:
        found = _known[tables] = ItemTokens(tables)
    return found
