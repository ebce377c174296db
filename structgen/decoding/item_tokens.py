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
from ..automata.array_positions import FEW_OBJECTS, FEW_STRINGS, MIXED, UNIQUE

if TYPE_CHECKING:
    from ..tokens.tables import TokenTables

__all__ = ["ItemTokens", "item_tokens"]

_DEEP = rb',[ \t\r\n]*(?:[-0-9tfn]|["\[{].)'
#: ... that only opens an object and its first key
_OBJECT = re.compile(rb'[^,]*,[ \t\r\n]*\{[ \t\r\n]*"')
#: a comma in an array that the token itself opens
_OPENING = re.compile(rb"\[.*,", re.DOTALL)
#: ... that only begins a string
_STRING = re.compile(rb'[^,]*,[ \t\r\n]*"[^"]*', re.DOTALL)


class ItemTokens:
    """The tokens of one vocabulary, as rows of bits (int32), by where a state stands.

    Tokens that only open an object and its first key, or only begin a string,
    need a look where items are few objects, or strings of a language in which a
    beginning may have few completions.  Which arrays there are around a state is
    known; outside of them only tokens count that open an array before the comma.
    """

    def __init__(self, tables: "TokenTables"):
        blob, offsets = tables.blob.tobytes(), tables.offsets.tolist()
        where = np.flatnonzero(tables.blob == 0x2C)
        commas = [t for t in np.unique(np.searchsorted(tables.offsets, where, side="right") - 1).tolist()
                  if tables.kind[t] == 0]
        self._bytes = blob, tables.offsets
        # (within a string, kind of arrays) -> all tokens, and those that open an array
        self._rows: dict[tuple[bool, int], tuple[np.ndarray, np.ndarray]] = {}
        self._joined: dict[tuple[bool, int, int], np.ndarray] = {}
        for inside in (False, True):
            pattern = [re.compile((b'".*' if inside else b"") + tail, re.DOTALL) for tail in (_DEEP, b",")]
            found = [[t for t in commas if p.search(blob, offsets[t], offsets[t + 1])] for p in pattern]
            for kind in range(0, FEW_STRINGS << 1, MIXED):
                left = found[1] if kind & MIXED else [
                    t for t in found[0]
                    if (kind & FEW_OBJECTS or not _OBJECT.fullmatch(blob, offsets[t], offsets[t + 1]))
                    and (kind & FEW_STRINGS or not _STRING.fullmatch(blob, offsets[t], offsets[t + 1]))]
                opening = [t for t in left if _OPENING.search(blob, offsets[t], offsets[t + 1])]
                self._rows[inside, kind | UNIQUE] = _row(left, tables.words), _row(opening, tables.words)

    def parts(self, token: int) -> tuple[bytes, bytes]:
        """The bytes of a token up to its last comma, and those behind it."""
        blob, offsets = self._bytes
        first, last = offsets[token:token + 2].tolist()
        cut = blob.rfind(b",", first, last) + 1 or first
        return blob[first:cut], blob[cut:last]

    def row(self, threads: list[int], around: int, anywhere: int) -> np.ndarray:
        """The tokens to look at in a state of these threads, by the kinds of arrays around it and of all there are."""
        key = all(_inside(t >> sl.SHIFT) for t in threads), around, anywhere
        found = self._joined.get(key)
        if found is None:
            found = self._rows[key[0], anywhere | UNIQUE][1]
            if around:
                found = found | self._rows[key[0], around][0]
            self._joined[key] = found
        return found


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
