"""Which arrays can still be completed: lengths, counters and distinct items.

An :class:`~.ir.ArrayAlt` with ``counts`` counts items: at each position an
item is read in one of several ways (*choices*), each a node and the counters it
adds to.  :class:`ItemCounts` decides, for a length and values of the counters,
whether the rest can make every counter end within its bounds: a search over
saturated counters, memoised.  :func:`enough_distinct` adds that items differ:
it matters only where a node has few values, which are then listed.

Equality of JSON values is that of :func:`canonical`: numbers by value, key
order of no account.
"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any, Callable, Hashable, NamedTuple, Optional, Sequence, Union

from ..errors import LimitError
from .ir import Count
from .numbers import exact_number

__all__ = ["Row", "ItemCounts", "enough_distinct", "scarce", "canonical", "parse_item", "Huge", "MANY_VALUES",
           "MAX_STATES"]

#: values of one node that are listed
MANY_VALUES = 4096
#: states of counters one array may go through
MAX_STATES = 200_000
#: steps of a search for distinct items
MAX_STEPS = 50_000


#: The ways to read the item at one position: (node, counters it adds to, as bits).
Row = Sequence[tuple[int, int]]


class Huge(NamedTuple):
    """A number of more digits than are ever written out: sign, digits without zeros at the ends, exponent."""

    sign: str
    digits: str
    exponent: Union[int, str]


def parse_item(text: bytes) -> Any:
    """The value of a JSON text, numbers exact (huge ones as :class:`Huge`)."""
    try:
        return json.loads(text, parse_float=_number, parse_int=_number)
    except RecursionError:
        raise LimitError("an item that must differ from others is nested too deep to be compared",
                         place="uniqueItems") from None


def _number(text: str) -> Any:
    try:
        return exact_number(text)
    except LimitError:
        mantissa, _, exponent = text.lower().partition("e")
        whole, _, fraction = mantissa.lstrip("-").partition(".")
        digits = (whole + fraction).lstrip("0")
        short = digits.rstrip("0")
        if not short:
            return 0
        try:
            power: Union[int, str] = int(exponent or "0") - len(fraction) + len(digits) - len(short)
        except ValueError:              # an exponent of thousands of digits
            power = exponent.lstrip("+0")
        return Huge("-" if text.startswith("-") else "", short, power)


def canonical(value: Any) -> Hashable:
    """A key that equal JSON values share, and no others.

    Examples
    --------
    >>> canonical({"a": 1, "b": [2.0]}) == canonical({"b": [2], "a": 1.0})
    True
    >>> canonical(1) == canonical(True), canonical(0) == canonical(False)
    (False, False)
    """
    if value is None or value is True or value is False:
        return ("lit", value)
    if isinstance(value, str):
        return ("str", value)
    if isinstance(value, (int, Fraction)):
        return ("num", Fraction(value))
    if isinstance(value, float):
        return ("num", Fraction(repr(value)))
    if isinstance(value, Huge):
        return ("num", value)
    if isinstance(value, (list, tuple)):
        return ("arr", tuple(map(canonical, value)))
    return ("obj", frozenset((k, canonical(v)) for k, v in value.items()))


class ItemCounts:
    """Lengths and counters of one array alternative.

    Parameters
    ----------
    rows : sequence of Row
        Choices by position; the last row is for all later positions.
    counts : sequence of Count
    lo, hi : int, int or None
        Bounds of the length.
    """

    def __init__(self, rows: Sequence[Row], counts: Sequence[Count], lo: int, hi: Optional[int]):
        self.rows, self.counts, self.lo, self.hi = rows, counts, lo, hi
        self._top = max(len(rows) - 1, lo, 0 if hi is None else hi)
        self._alive: dict[tuple, bool] = {}

    @property
    def start(self) -> tuple:
        """The state before the first item: (length, counters)."""
        return 0, (0,) * len(self.counts)

    def row(self, n: int) -> Row:
        """The choices of item number `n`."""
        if self.hi is not None and n >= self.hi:
            return ()
        return self.rows[min(n, len(self.rows) - 1)]

    def closable(self, state: tuple) -> bool:
        """May the array end here?"""
        return state[0] >= self.lo and all(c >= k.lo for c, k in zip(state[1], self.counts))

    def step(self, state: tuple, bits: int) -> Optional[tuple]:
        """The state after an item that adds to the counters in `bits`; None if one of them is full."""
        n, counters = state
        if bits:
            after = list(counters)
            for k, count in enumerate(self.counts):
                if bits >> k & 1:
                    if count.hi is None:
                        after[k] = min(after[k] + 1, count.lo)
                    elif after[k] >= count.hi:
                        return None
                    else:
                        after[k] += 1
            counters = tuple(after)
        return (n + 1 if n < self._top or self.hi is not None else n), counters

    def steps(self, state: tuple) -> list[tuple[int, tuple]]:
        """(node, state after it) of every way to go on, completable or not."""
        out = []
        full = 0
        for k, count in enumerate(self.counts):
            if count.free and state[1][k] >= count.lo:
                full |= 1 << k
        for node, bits in self.row(state[0]):
            if not bits & full:
                after = self.step(state, bits)
                if after is not None:
                    out.append((node, after))
        return out

    def alive(self, state: tuple) -> bool:
        """Can an array in this state be completed, as far as lengths and counters tell?"""
        known = self._alive
        if state in known:
            return known[state]
        if self.closable(state):
            known[state] = True
            return True
        path = [(state, iter(self._ahead(state)))]
        on_path = {state}
        while path:
            here, ways = path[-1]
            for after in ways:
                if after in on_path:
                    continue            # saturated: nothing was gained
                found = known.get(after)
                if found is None and self.closable(after):
                    found = known[after] = True
                if found:
                    for s, _ in path:
                        known[s] = True
                    return True
                if found is None:
                    if len(known) + len(path) > MAX_STATES:
                        raise LimitError(f"counting the items of an array takes more than {MAX_STATES} states",
                                         place="contains", limit=MAX_STATES)
                    path.append((after, iter(self._ahead(after))))
                    on_path.add(after)
                    break
            else:
                path.pop()
                on_path.discard(here)
                known[here] = False
        return False

    def _ahead(self, state: tuple) -> list[tuple]:
        """States after one more item, the most promising first."""
        return sorted({after for _, after in self.steps(state)}, key=lambda s: [-c for c in s[1]])

    def needed(self, state: tuple) -> int:
        """An upper bound on the items a shortest completion needs."""
        return max(self.lo - state[0], 0) + sum(max(k.lo - c, 0) for c, k in zip(state[1], self.counts))


Values = Callable[[int, int], Optional[Sequence[Hashable]]]


def enough_distinct(counts: ItemCounts, state: tuple, used: frozenset, unknown: int, values: Values) -> bool:
    """Can an array whose items differ be completed?

    Parameters
    ----------
    counts, state
        Where the array stands; ``counts.alive(state)`` holds.
    used : frozenset
        Canonical values of the items so far, but for `unknown` more of which
        only the number is known (then the answer is exact if all positions
        share one node, and otherwise may be too kind).
    values : callable
        ``values(node, limit)``: canonical values of a node, None if there are
        more than `limit` of them.
    """
    if counts.closable(state):
        return True
    few, rows, n = _few(counts, state, used, unknown, values), _rows_from(counts, state), state[0]
    if not few:
        return True
    needed = counts.needed(state)
    if len(rows) == 1 and len(rows[0]) == 1:
        node = rows[0][0][0]
        left = sum(v not in used for v in few[node])
        return left - unknown >= needed
    if not counts.counts:
        return _matching([row[0][0] for row in (counts.row(i) for i in range(n, counts.lo))], few, used)
    return _search(counts, state, used, few)


def scarce(counts: ItemCounts, state: tuple, used: frozenset, values: Values) -> set[Hashable]:
    """Values that the items still to come might lack if one before them took it."""
    return {v for found in _few(counts, state, used, 1, values).values() for v in found}


def _rows_from(counts: ItemCounts, state: tuple) -> Sequence[Row]:
    """The rows of the items still to come."""
    return counts.rows[min(state[0], len(counts.rows) - 1):]


def _few(counts: ItemCounts, state: tuple, used: frozenset, unknown: int,
         values: Values) -> dict[int, Sequence[Hashable]]:
    """The nodes of the items still to come that could run out of values, with these."""
    limit = counts.needed(state) + len(used) + unknown
    return {node: found for row in _rows_from(counts, state) for node, _ in row
            if (found := values(node, limit)) is not None}


def _matching(nodes: list[int], few: dict[int, Sequence[Hashable]], used: frozenset) -> bool:
    """Can each position have a value of its own? (bipartite matching; inexhaustible nodes always can)"""
    holder: dict[Hashable, int] = {}
    options = [[v for v in few[node] if v not in used] if node in few else None for node in nodes]

    for i, own in enumerate(options):
        if own is None:
            continue
        # breadth-first search for an augmenting path
        came: dict[Hashable, Optional[Hashable]] = {v: None for v in own}
        queue = list(own)
        for v in queue:
            if v not in holder:
                while v is not None:            # hand every value on the path to the position before it
                    before = came[v]
                    holder[v] = i if before is None else holder[before]
                    v = before
                break
            for w in options[holder[v]] or ():
                if w not in came:
                    came[w] = v
                    queue.append(w)
        else:
            return False
    return True


def _search(counts: ItemCounts, state: tuple, used: frozenset, few: dict[int, Sequence[Hashable]]) -> bool:
    """The same with counters: try values, those that belong to the same nodes being alike."""
    kinds: dict[frozenset, int] = {}
    where: dict[Hashable, set[int]] = {}
    for node, found in few.items():
        for v in found:
            if v not in used:
                where.setdefault(v, set()).add(node)
    for nodes in where.values():
        kinds[frozenset(nodes)] = kinds.get(frozenset(nodes), 0) + 1
    order = list(kinds)
    seen: set[tuple] = set()
    stack = [(state, tuple(kinds[k] for k in order))]
    while stack:
        here, left = stack.pop()
        if counts.closable(here):
            return True
        if (here, left) in seen or not counts.alive(here):
            continue
        seen.add((here, left))
        if len(seen) > MAX_STEPS:
            raise LimitError("whether enough different items are left takes too long to tell", place="uniqueItems",
                             limit=MAX_STEPS)
        for node, after in counts.steps(here):
            if node not in few:
                if after != here:
                    stack.append((after, left))
                continue
            for k, nodes in enumerate(order):
                if node in nodes and left[k]:
                    stack.append((after, left[:k] + (left[k] - 1,) + left[k + 1:]))
    return False
