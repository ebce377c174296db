"""What stands in the text before a place: the undeclared key or the item that ends there.

Kernels know states, not texts.  Where the text itself matters (keys that must
not come again, items that must differ) they ask, and it is read backwards from
there through the history of the matcher: as far as the key or item goes.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Optional

from ..grammar.arrays import parse_item

__all__ = ["Node", "TextBefore"]

#: A node of a matcher's history: (state, piece, node before, bytes so far, tokens so far, ended).
Node = tuple[int, Any, Optional[tuple], int, int, bool]


class TextBefore:
    """Finds the undeclared key, or the item, that ends at an offset of the piece of text being accepted."""

    def __init__(self, node: Node, data: bytes, bytes_of: Callable[[Any], bytes]):
        self.node, self.data, self.bytes_of = node, data, bytes_of
        #: where that piece begins in `data`
        self.base = 0
        self._items: dict[int, Any] = {}

    def __call__(self, at: int) -> str:
        text = self.data[:self.base + at]
        node: Node | None = self.node
        while True:
            start = key_start(text)
            if start > 0 or node[2] is None:
                return json.loads(text[start:])
            text = self.bytes_of(node[1]) + text
            node = node[2]

    def item(self, at: int) -> Any:
        """The value of the array item that ends before the comma at offset ``at - 1``."""
        at += self.base
        if at not in self._items:               # each thread asks
            self._items[at] = self._item(at)
        return self._items[at]

    def _item(self, at: int) -> Any:
        pieces, node, want = [self.data[:at - 1]], self.node, 64
        size = len(pieces[0])
        while True:
            while node[2] is not None and size < want:
                pieces.append(self.bytes_of(node[1]))
                size += len(pieces[-1])
                node = node[2]
            text = b"".join(reversed(pieces))
            pieces = [text]
            start = item_start(text)
            if start >= 0 or node[2] is None:
                return parse_item(text[max(start, 0):])
            want = 2 * size


def item_start(text: bytes) -> int:
    """Offset of the array item that `text` ends in; -1 if it begins before `text`."""
    i, depth = len(text) - 1, 0
    while i >= 0:
        b = text[i]
        if b == 0x22:
            i = key_start(text[:i + 1])
            if i <= 0:
                return -1           # at 0 a backslash may stand before it
        elif b in b"]}":
            depth += 1
        elif b in b"[{,":
            if depth == 0:
                return i + 1
            depth -= b != 0x2C
        i -= 1
    return -1


def key_start(text: bytes) -> int:
    """Offset of the quote that opens the string ending at the end of `text`, or -1.

    A quote inside a string has a backslash before it, one that opens a string
    never has; at offset 0 what stands before is not known.
    """
    i = len(text) - 1
    while True:
        i = text.rfind(b'"', 0, i)
        if i <= 0 or text[i - 1] != 0x5C:
            return i
