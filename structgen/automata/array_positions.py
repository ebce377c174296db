"""Positions in arrays that count their items or have them differ.

A plain array needs nothing but the number of items read.  Others have
*positions*: (alternative, length and counters, items so far, items not known),
numbered on first sight.  A position's record says whether the bracket may
close and in which ways the next item can be read: a node, and the position
after it.  Kernels follow the records; they are made here, when a kernel first
looks.

Items that must differ: the next item is read in the node of what is left,
``grammar.without(node, items so far)``, less the values without which those
behind it could not differ any more, so nothing ever has to be checked when
an item ends, and no mask has a dead end.  Which value has just ended is asked
for at the comma behind it (:meth:`Positions.after`).  A walk over tokens does
not know it: there the position goes on with one more *unknown* item, whose
number is known but not its value; the matcher looks again at the few tokens
that reach past such a comma (see ``decoding/matcher.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Hashable, Optional

from ..grammar.arrays import MANY_VALUES, ItemCounts, canonical, enough_distinct, scarce
from ..grammar.ir import ArrayAlt
from . import stack_layout as sl

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["Positions", "UNIQUE", "MIXED", "FEW_OBJECTS", "FEW_STRINGS"]

#: What kind of array: items must differ; it is another matter by position; items may be of few
#: objects, or strings of which a beginning may have few completions.
UNIQUE, MIXED, FEW_OBJECTS, FEW_STRINGS = 1, 2, 4, 8
#: (array record, state of its counters, number of the set of items so far, unknown items)
Key = tuple[int, tuple, int, int]


class Positions:
    """The positions of one arena."""

    def __init__(self, lowering: "Lowering"):
        self.lowering = lowering
        self.grammar = lowering.grammar
        #: array record -> its alternative and counters
        self._arrays: dict[int, tuple[ArrayAlt, ItemCounts]] = {}
        #: array record -> UNIQUE and so on, where items must differ
        self.kinds: dict[int, int] = {}
        self._keys: list[Key] = []
        self._ids: dict[Key, int] = {}
        #: sets of items: canonical values -> number, and (canonical, values) by number
        self._set_ids: dict[frozenset, int] = {frozenset(): 0}
        self._sets: list[tuple[frozenset, tuple]] = [(frozenset(), ())]
        #: node -> (its values, None if there are too many; how many were asked for)
        self._listed: dict[int, tuple[Optional[list], int]] = {}
        self._known: dict[Hashable, Any] = {}

    def start(self, array: int, alt: ArrayAlt) -> int:
        """The position before the first item of array record `array`."""
        counts = ItemCounts(alt.rows(), alt.counts, alt.min, alt.max)
        self._arrays[array] = alt, counts
        if alt.unique:
            kind = UNIQUE | (MIXED if len(counts.rows) > 1 or alt.counts else 0)
            for node in {node for row in counts.rows for node, _ in row}:
                objects, strings = self.grammar.few_parts(node)
                kind |= (FEW_OBJECTS if objects else 0) | (FEW_STRINGS if strings else 0)
            self.kinds[array] = kind
            self.lowering.arena.item_kinds |= kind
        return self._number((array, counts.start, 0, 0))

    def key(self, position: int) -> Key:
        """What a position is."""
        return self._keys[position]

    def array(self, position: int) -> tuple[ArrayAlt, ItemCounts]:
        """The alternative a position belongs to."""
        return self._arrays[self._keys[position][0]]

    def items(self, position: int) -> tuple:
        """The values of the items before `position`, as far as they are known."""
        return self._sets[self._keys[position][2]][1]

    def _number(self, key: Key) -> int:
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self._keys)
            self._keys.append(key)
            self.lowering.positions.add((0,) * sl.AP_W)
        return found

    def build(self, position: int) -> None:
        """Make the record of a position."""
        array, state, used, unknown = self._keys[position]
        alt, counts = self._arrays[array]
        ways: dict[tuple[int, int], None] = {}
        for node, after in counts.steps(state):
            if counts.alive(after):
                if alt.unique:
                    node = self._left(counts, after, node, used, unknown)
                if node >= 0:
                    ways[node, self._number((array, after, used, unknown + alt.unique))] = None
        choices = [x for node, after in ways for x in (self.lowering._child(node), after)]
        at = self.lowering.choices.add(choices)
        record = 1, int(counts.closable(state)), len(ways), at, int(alt.unique)
        self.lowering.positions.array[position * sl.AP_W:position * sl.AP_W + len(record)] = record

    def _left(self, counts: ItemCounts, after: tuple, node: int, used: int, unknown: int) -> int:
        """The values of `node` that are new and leave enough for the items behind; -1 if there are none."""
        keys, values = self._sets[used]
        if unknown and len(counts.rows) == 1 and len(counts.rows[0]) == 1:
            # the unknown items are of this node too, so they take as many of its values
            found = self._values(node, min(len(keys) + unknown, MANY_VALUES))
            if found is not None and sum(v not in keys for v in found) <= unknown:
                return -1
        if not counts.closable(after):
            if not enough_distinct(counts, after, keys, unknown, self._values):
                return -1
            values += tuple(self._known[v] for v in scarce(counts, after, keys, self._values)
                            if v not in keys and not enough_distinct(counts, after, keys | {v}, unknown, self._values))
            if len(values) > len(keys):
                return self.grammar.without(node, values)
        return self.grammar.without(node, values, keys) if values else node

    def _values(self, node: int, limit: int) -> Optional[list]:
        found, asked = self._listed.get(node, (None, -1))
        if found is None and asked < limit:
            values = self.grammar.values(node, limit)
            if values is not None:
                self._known.update((canonical(v), v) for v in values)
                found = [canonical(v) for v in values]
            self._listed[node] = found, limit
        return found if found is not None and len(found) <= limit else None

    def after(self, position: int, value: Any) -> int:
        """The position before the next item once the last one, unknown at `position`, is known to be `value`."""
        array, state, used, unknown = self._keys[position]
        keys, values = self._sets[used]
        more = keys | {canonical(value)}
        number = self._set_ids.get(more)
        if number is None:
            number = self._set_ids[more] = len(self._sets)
            self._sets.append((more, values + (value,)))
        return self._number((array, state, number, unknown - 1))
