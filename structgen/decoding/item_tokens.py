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

from ..automata import stack_layout as sl

if TYPE_CHECKING:
    from ..tokens.tables import TokenTables

__all__ = ["ItemTokens", "item_tokens"]

_DEEP = rb',[ \t\r\n]*(?:[-0-9tfn]|["\[{].)'
#: ... that only opens an object and its first key
_OBJECT = re.compile(rb'[^,]*,[ \t\r\n]*\{[ \t\r\n]*"')
#: ... that only begins a string
_STRING = re.compile(rb'[^,]*,[ \t\r\n]*"[^"]*', re.DOTALL)


class ItemTokens:
    """The tokens of one vocabulary, as rows of bits (int32), by where a state stands.

    Tokens that only open an object and its first key, or only begin a string,
    need a look where items are few objects, or strings of a language in which a
    beginning may have few completions.
    """

    def __init__(self, tables: "TokenTables"):
        blob, offsets = tables.blob.tobytes(), tables.offsets.tolist()
        commas = [t for t in np.flatnonzero(tables.kind == 0).tolist()
                  if blob.find(b",", offsets[t], offsets[t + 1]) >= 0]
        self.rows: dict[tuple[bool, bool, bool, bool], np.ndarray] = {}
        for inside in (False, True):
            pattern = [re.compile((b'".*' if inside else b"") + tail, re.DOTALL) for tail in (_DEEP, b",")]
            deep = [t for t in commas if pattern[0].search(blob, offsets[t], offsets[t + 1])]
            for objects in (False, True):
                for strings in (False, True):
                    left = [t for t in deep
                            if (objects or not _OBJECT.fullmatch(blob, offsets[t], offsets[t + 1]))
                            and (strings or not _STRING.fullmatch(blob, offsets[t], offsets[t + 1]))]
                    self.rows[inside, objects, strings, False] = _row(left, tables.words)
                    self.rows[inside, objects, strings, True] = _row(
                        [t for t in commas if pattern[1].search(blob, offsets[t], offsets[t + 1])], tables.words)

    def row(self, threads: list[int], objects: bool, strings: bool, mixed: bool) -> np.ndarray:
        """The tokens to look at in a state of these threads (`mixed`: all with a comma)."""
        return self.rows[all(_inside(t >> sl.SHIFT) for t in threads), objects, strings, mixed]


def _row(tokens: list[int], words: int) -> np.ndarray:
    row = np.zeros(words * 64, bool)
    row[tokens] = True
    return np.packbits(row, bitorder="little").view(np.int32)


def _inside(q: int) -> bool:
    """Is `q` within a string?"""
    return q < 16 or 48 <= q < 52 or sl.LX_BASE <= q < sl.RAW_BASE or sl.KEY_BASE <= q < sl.WSX_BASE


_known: "weakref.WeakKeyDictionary[TokenTables, ItemTokens]" = weakref.WeakKeyDictionary()


def item_tokens(tables: "TokenTables") -> ItemTokens:
    """The tokens of a vocabulary, made on first use."""
    found = _known.get(tables)
    if found is None:
        found = _known[tables] = ItemTokens(tables)
    return found
