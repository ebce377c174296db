"""Character classes as byte automata: the UTF-8 encodings of a set of code points.

:func:`utf8_class` turns code point ranges into a hash-consed decision tree over
bytes.  A tree node is a tuple of edges ``(lo, hi, child)``; ``child`` is the id
of another node, or -1 where the character is complete.  Equal suffixes are one
node process-wide (all three-byte characters share their last two levels, and so
on), so a class adds few states to an automaton.
"""

from __future__ import annotations

import threading
from functools import lru_cache

__all__ = ["Edges", "NODES", "utf8_class"]

Edges = tuple[tuple[int, int, int], ...]
#: Edges of each node by id; append-only.
NODES: list[Edges] = []
_IDS: dict[Edges, int] = {}
_LOCK = threading.Lock()
#: (lengths in bytes) first code point, last one, first byte's tag, continuation bytes.
_LENGTHS = ((0, 0x7F, 0, 0), (0x80, 0x7FF, 0xC0, 1), (0x800, 0xFFFF, 0xE0, 2), (0x10000, 0x10FFFF, 0xF0, 3))


def _intern(edges: list[tuple[int, int, int]]) -> int:
    key = tuple(edges)
    node = _IDS.get(key)
    if node is None:
        with _LOCK:
            node = _IDS.get(key)
            if node is None:
                node = len(NODES)
                NODES.append(key)
                _IDS[key] = node
    return node


def _level(ranges: list[tuple[int, int]], tag: int, rest: int) -> list[tuple[int, int, int]]:
    """The edges on one byte for numbers of ``6 * rest`` bits below it."""
    if rest == 0:
        return [(tag | lo, tag | hi, -1) for lo, hi in ranges]
    shift = 6 * rest
    full = (1 << shift) - 1
    parts: dict[int, list[tuple[int, int]]] = {}        # byte -> ranges below, where only some are meant
    whole: list[tuple[int, int]] = []                   # bytes below which everything is meant
    for lo, hi in ranges:
        first, last = lo >> shift, hi >> shift
        if first == last and (lo & full or hi & full != full):
            parts.setdefault(first, []).append((lo & full, hi & full))
            continue
        if lo & full:
            parts.setdefault(first, []).append((lo & full, full))
            first += 1
        if hi & full != full:
            parts.setdefault(last, []).append((0, hi & full))
            last -= 1
        if first <= last:
            whole.append((first, last))
    out = [(lo, hi, _all_below(rest)) for lo, hi in whole]
    out.extend((byte, byte, _intern(_level(below, 0x80, rest - 1))) for byte, below in parts.items())
    out.sort()
    merged: list[tuple[int, int, int]] = []
    for lo, hi, child in out:
        if merged and merged[-1][2] == child and merged[-1][1] + 1 == lo:
            lo = merged.pop()[0]
        merged.append((lo, hi, child))
    return [(tag | lo, tag | hi, child) for lo, hi, child in merged]


@lru_cache(maxsize=8)
def _all_below(rest: int) -> int:
    return _intern(_level([(0, (1 << 6 * rest) - 1)], 0x80, rest - 1))


@lru_cache(maxsize=8192)
def utf8_class(ranges: tuple[tuple[int, int], ...]) -> Edges:
    """The edges on the first byte of the characters in `ranges` (normalised, no surrogates).

    >>> utf8_class(((97, 122),))
    ((97, 122, -1),)
    """
    out: list[tuple[int, int, int]] = []
    for lowest, highest, tag, rest in _LENGTHS:
        some = [(max(lo, lowest), min(hi, highest)) for lo, hi in ranges if lo <= highest and hi >= lowest]
        if some:
            out.extend(_level(some, tag, rest))
    return tuple(out)
