"""The syntax tree that both regular-expression parsers build.

A tree denotes a language together with a few zero-width conditions.  Captures
are gone: they don't change which strings match.  Nor does greediness, but it
decides *how much* a match takes where something may follow (``re.match``), so
alternatives stand in the order written and repeats know whether they are lazy.
Nodes are immutable by convention and compare by identity; single characters
and common classes are shared.

``Chars.ranges`` is a sorted tuple of disjoint, non-adjacent, inclusive code
point ranges without surrogates; ``()`` matches nothing.
"""

from __future__ import annotations

from typing import Optional, Union

__all__ = ["Alt", "Begin", "Cat", "Chars", "EMPTY", "End", "BEGIN", "END", "Look", "Node", "Ranges", "Repeat"]

Ranges = tuple[tuple[int, int], ...]


class Chars:
    """One code point out of `ranges`; `utf8` is room for whoever compiles the class to bytes."""

    __slots__ = ("ranges", "utf8")

    def __init__(self, ranges: Ranges):
        self.ranges = ranges
        self.utf8: "Optional[tuple]" = None


class Cat:
    """The items one after another; no items: the empty string."""

    __slots__ = ("items",)

    def __init__(self, items: "tuple[Node, ...] | list[Node]"):
        self.items = items


class Alt:
    """One of the items; no items: nothing at all."""

    __slots__ = ("items",)

    def __init__(self, items: "tuple[Node, ...] | list[Node]"):
        self.items = items


class Repeat:
    """`item` from `lo` to `hi` times (`hi` None: no upper bound), the fewest first if `lazy`."""

    __slots__ = ("item", "lo", "hi", "lazy")

    def __init__(self, item: "Node", lo: int, hi: Optional[int], lazy: bool = False):
        self.item = item
        self.lo = lo
        self.hi = hi
        self.lazy = lazy


class Begin:
    """Zero-width: nothing of the string lies before this place."""

    __slots__ = ()


class End:
    """Zero-width: nothing of the string lies after this place."""

    __slots__ = ()


class Look:
    """Zero-width: the text ahead starts with (behind: the text so far ends with) `item`."""

    __slots__ = ("item", "ahead", "negative")

    def __init__(self, item: "Node", ahead: bool, negative: bool):
        self.item = item
        self.ahead = ahead
        self.negative = negative


Node = Union[Chars, Cat, Alt, Repeat, Begin, End, Look]
EMPTY = Cat(())
BEGIN = Begin()
END = End()
