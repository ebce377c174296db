"""The shortest items that complete an array whose items are counted, or differ.

Best-first search over positions (see ``automata/array_positions.py``), by the
length of the text so far.  Where items differ and the text is wanted, what is
chosen for one leads to the position that knows it, so the next is the shortest
of what is left.  Where only its length is (masks under a budget), items after
the first count as not known, as they will be for the masks to come: so U falls.

At a position some of whose items are not known the k-th shortest value stands
for the shortest that differs from the others, with k - 1 of them unknown: no
text needs more, and the result is marked *loose*, its bytes replaced by NULs.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Callable, Optional

from ..automata import stack_layout as sl
from ..errors import LimitError
from ..grammar.arrays import parse_item

if TYPE_CHECKING:
    from .shortest import Completions, Text

    Value = Callable[[int], Optional[Text]]

__all__ = ["items_at", "another", "MAX_POSITIONS"]

#: positions one search may look at
MAX_POSITIONS = 20_000


def items_at(known: "Completions", position: int, value: "Value") -> Optional[list["Text"]]:
    """The items an array still needs at `position`; None if `value` does not know enough yet."""
    places = known.arena.lowering.places
    alt = places.array(position)[0]
    if alt.unique and (alt.counts or len(alt.rows()) > 1) and (not known.exact or places.key(position)[3]):
        return _at_most(known, position, value)
    queue: list[tuple] = [(0, b"", position, ())]
    best: dict[int, tuple[int, bytes]] = {}
    while queue:
        size, data, here, items = heapq.heappop(queue)
        if here in best:
            continue
        best[here] = size, data
        if len(best) > MAX_POSITIONS:
            raise LimitError(f"the search for the shortest items of an array went through {MAX_POSITIONS} positions",
                             place="contains", limit=MAX_POSITIONS)
        closes, choices, unique = _record(known, here)
        if closes:
            return list(items)
        unknown = places.key(here)[3]
        for node, after in choices:
            text = another(known, node, unknown, value) if unique else value(node)
            if text is None:
                continue
            if unique and known.exact:
                after = places.after(after, parse_item(text[1]))
            if unknown:
                text = text[0], b"\0" * text[0], True
            if after not in best:
                more = data + text[1] + b","
                heapq.heappush(queue, (len(more), more, after, (*items, text)))
    return None


def _at_most(known: "Completions", position: int, value: "Value") -> Optional[list["Text"]]:
    """Items that no completion needs to exceed, where it depends on their values which there may be."""
    if _record(known, position)[0]:
        return []
    places = known.arena.lowering.places
    alt, counts = places.array(position)
    _, state, _, unknown = places.key(position)
    n = counts.needed(state) + max(0, len(counts.rows) - 1 - state[0])
    longest = 0
    for node in {node for row in counts.rows[min(state[0], len(counts.rows) - 1):] for node, _ in row}:
        text = another(known, node, len(places.items(position)) + unknown + n, value)
        if text is None:
            return None
        longest = max(longest, text[0])
    return [(longest, b"\0" * longest, True)] * n


def another(known: "Completions", node: int, unknown: int, value: "Value") -> Optional["Text"]:
    """The shortest text of `node` but for `unknown` shorter ones (or the last, if there are no more)."""
    text, taken = value(node), []
    for _ in range(unknown):
        if text is None:
            return None
        taken.append(parse_item(text[1]))
        left = known.arena.grammar.without(node, taken)
        if left < 0:
            break
        text = value(left)
    return text


def _record(known: "Completions", position: int) -> tuple[bool, list[tuple[int, int]], bool]:
    """(may close, ways to read the next item, must items differ) of a position."""
    lowering = known.arena.lowering
    at = position * sl.AP_W
    if not lowering.positions.array[at + sl.AP_READY]:
        lowering.places.build(position)
    record = lowering.positions.array[at:at + sl.AP_W].tolist()
    pairs = lowering.choices.array[record[sl.AP_CHOICES]:record[sl.AP_CHOICES] + 2 * record[sl.AP_N]].tolist()
    return bool(record[sl.AP_CLOSE]), list(zip(pairs[::2], pairs[1::2])), bool(record[sl.AP_UNIQUE])
