"""Array forms to array alternatives: items, counters, distinct items.

``contains`` makes an item readable in several ways: as one that counts, in the
conjunction of the item's schema and that of ``contains``, or as one that does
not, in its conjunction with the complement; or, where counting more does no
harm, as any item.  Several counters make the product.  Whether the counters
can still come out right, and whether items that must differ can, is decided by
``grammar.arrays``, here for the start and by the engine for every position.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Callable, Iterator, Optional

from ...errors import LimitError
from ...grammar.arrays import MANY_VALUES, ItemCounts, canonical, enough_distinct
from ...grammar.ir import ArrayAlt, Count, NumAlt, ObjectAlt
from ...grammar.numbers import _step, number_contains
from ...grammar.strings import Length, StrLang
from .clauses import object_alts
from .forms import ANY, NONE, ArrForm
from .strlang import _finite, count_words, refine, words

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["array_alt", "array_satisfiable", "values_of"]

#: ways to read one item
MAX_CHOICES = 256
#: steps of a search for all values of a node
MAX_STEPS = 200_000


def _rows(g: "SchemaGrammar", arr: ArrForm, settle: Callable[[int], int]) -> list[list[tuple[int, int]]]:
    """The choices of each position (the last row: of all later ones); `settle` gives -1 for empty nodes."""
    n = max([len(arr.prefix)] + [c.start for c in arr.contains])
    if arr.max is not None:
        n = min(n, arr.max)
    rows = []
    for i in range(n + 1):
        base = arr.prefix[i] if i < len(arr.prefix) else arr.items
        ways = [(base, 0)]
        for k, c in enumerate(arr.contains):
            if c.start <= i:
                ways = [way for node, bits in ways
                        for way in ((g.conj(node, c.node), bits | 1 << k), (g.conj(node, c.other), bits))
                        if way[0] != NONE]
            if len(ways) > MAX_CHOICES:
                raise LimitError(f"more than {MAX_CHOICES} ways to count one item of an array", place="contains",
                                 limit=MAX_CHOICES)
        rows.append([(node, bits) for way, bits in ways if (node := settle(way)) >= 0])
    return rows


def _counts(arr: ArrForm) -> list[Count]:
    return [Count(c.lo, c.hi, c.other == ANY) for c in arr.contains]


def _distinct(g: "SchemaGrammar", counts: ItemCounts) -> bool:
    def values(node: int, limit: int) -> Optional[list]:
        found = values_of(g, node, limit)
        return None if found is None else [canonical(v) for v in found]
    return enough_distinct(counts, counts.start, frozenset(), 0, values)


def array_satisfiable(g: "SchemaGrammar", arr: ArrForm) -> bool:
    """Whether the alternative has a value."""
    if arr.min == 0:
        return True
    if arr.max is not None and arr.max < arr.min:
        return False
    if not arr.contains and not (arr.unique and arr.min > 1):
        good = True
        for node in arr.prefix[:arr.min]:
            good = g.has(node) and good
        return good and (arr.min <= len(arr.prefix) or g.has(arr.items))
    counts = ItemCounts(_rows(g, arr, lambda i: i if g.has(i) else NONE), _counts(arr), arr.min, arr.max)
    return counts.alive(counts.start) and (not arr.unique or _distinct(g, counts))


def array_alt(g: "SchemaGrammar", arr: ArrForm) -> Optional[ArrayAlt]:
    """The alternative with its children settled; None when it has no value."""
    items, hi = g.out(arr.items), arr.max
    prefix: tuple = ()
    if arr.prefix:
        nodes = []
        for node in arr.prefix if hi is None else arr.prefix[:hi]:
            node = g.out(node)
            if node < 0:
                items = NONE
                break
            nodes.append(node)
        prefix = tuple(nodes)
    if items < 0:
        hi = len(prefix) if hi is None else min(hi, len(prefix))
    if hi is not None and hi <= len(prefix):
        items, prefix = NONE, prefix[:hi]
    if hi is not None and arr.min > hi:
        return None
    unique = arr.unique and (hi is None or hi > 1)
    if not arr.contains and not unique:
        return ArrayAlt(prefix, items, arr.min, hi)
    alt = ArrayAlt(prefix, items, arr.min, hi, (), (), unique)
    if arr.contains:
        rows = _rows(g, arr._replace(max=hi), g.out)
        if hi is not None and len(rows) > hi:
            rows[hi] = []
        alt = alt._replace(counts=tuple(_counts(arr)), choices=tuple(map(tuple, rows)))
    counts = ItemCounts(alt.rows(), alt.counts, alt.min, alt.max)
    if not counts.alive(counts.start) or unique and not _distinct(g, counts):
        return None
    return alt


# -- finite languages -------------------------------------------------------------------

class _Many(Exception):
    """More values than asked for; `endless`: infinitely many, or nearly."""

    def __init__(self, endless: bool = False):
        super().__init__()
        self.endless = endless


def values_of(g: "SchemaGrammar", node: int, limit: int) -> Optional[list]:
    """The values of a node, each once, if there are at most `limit`; else None.

    Exact but for strings: a language of very many states counts as large.

    Raises
    ------
    LimitError
        It takes too long to tell; or `limit` is beyond `MANY_VALUES`, and there
        are more than that but not infinitely many.
    """
    try:
        return _Lister(g, min(limit, MANY_VALUES)).node(node)
    except _Many as many:
        if limit > MANY_VALUES and not many.endless:
            raise LimitError(f"more than {MANY_VALUES} but finitely many values for items that must differ",
                             place="uniqueItems", limit=MANY_VALUES) from None
        return None


class _Lister:
    """Lists values; `active` are the nodes being listed, whose recurrence makes a language infinite."""

    def __init__(self, g: "SchemaGrammar", limit: int):
        self.g, self.limit = g, limit
        self.active: set[int] = set()
        self.steps = 0

    def _step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise LimitError("whether there are enough different items takes too long to tell", place="uniqueItems",
                             limit=MAX_STEPS)

    def node(self, i: int) -> list:
        if not self.g.has(i):
            return []
        if i == ANY or i in self.active:
            raise _Many(True)
        form = self.g.form(i)
        out: dict = {}

        def add(values) -> None:
            for v in values:
                self._step()
                out.setdefault(canonical(v), v)
                if len(out) > self.limit:
                    raise _Many

        add([v for v, yes in ((None, form.null), (True, form.true), (False, form.false)) if yes])
        self._cheap(form.string)
        for number in form.number:
            add(self._numbers(number))
        if form.string:
            add(_strings(refine(form.string), self.limit))
        self.active.add(i)
        try:
            for arr in form.arrays:
                alt = array_alt(self.g, arr)
                if alt is not None:
                    add(self._arrays(alt))
            for obj in form.objects:
                for found in object_alts(self.g, obj):
                    add(self._objects(found))
        finally:
            self.active.discard(i)
        return list(out.values())

    @staticmethod
    def _cheap(lang: StrLang) -> None:
        """Leave at once where strings are plainly many."""
        for conj in lang:
            if all(not positive or type(atom) is Length and (atom.hi is None or atom.lo < atom.hi > 1)
                   for atom, positive in conj) and all(positive or _finite(((atom, True),)) for atom, positive in conj):
                raise _Many(True)

    def _numbers(self, alt: NumAlt) -> Iterator:
        if alt.lo is not None and alt.lo == alt.hi:
            yield alt.lo
            return
        step = _step(alt)
        if alt.lo is None or alt.hi is None or step is None:
            raise _Many(True)
        last = Fraction(alt.hi) // step
        k = -(Fraction(-alt.lo) // step)
        while k <= last:
            self._step()
            if not alt.not_multiples or number_contains(alt, k * step):
                yield k * step
            k += 1

    def _arrays(self, alt: ArrayAlt) -> Iterator[list]:
        counts = ItemCounts(alt.rows(), alt.counts, alt.min, alt.max)
        known: dict[int, list] = {}
        stack: list[tuple[tuple, list, frozenset]] = [(counts.start, [], frozenset())]
        while stack:
            state, items, used = stack.pop()
            self._step()
            if counts.closable(state):
                yield items
            for node, after in counts.steps(state):
                if not counts.alive(after):
                    continue
                if node not in known:
                    known[node] = self.node(node)
                if after == state and known[node] and not alt.unique:
                    raise _Many(True)
                for v in known[node]:
                    key = canonical(v)
                    if not alt.unique or key not in used:
                        stack.append((after, items + [v], used | {key} if alt.unique else used))

    def _objects(self, alt: ObjectAlt) -> Iterator[dict]:
        plan = _Keys(alt)
        if plan.open():
            size = alt.extra.size if alt.extra is not None else None
            if size is not None and size <= self.limit:
                raise LimitError(f"items that must differ have properties of {size} names that are not declared",
                                 place="uniqueItems", limit=self.limit)
            raise _Many(size is None)
        known: dict[int, list] = {}
        stack: list[tuple[int, dict, int]] = [(0, {}, 0)]
        while stack:
            k, value, held = stack.pop()
            self._step()
            if not plan.completable(k, value, held):
                continue
            if k == len(alt.names):
                yield value
                continue
            if not alt.required[k]:
                stack.append((k + 1, value, held | (alt.absent[k] if alt.clauses else 0)))
            for marks, node in plan.ways[k]:
                if plan.completable(k + 1, {**value, alt.names[k]: None}, held | marks):
                    if node not in known:
                        known[node] = self.node(node)
                    stack += [(k + 1, {**value, alt.names[k]: v}, held | marks) for v in known[node]]


class _Keys:
    """Which sets of declared keys make objects of one alternative."""

    def __init__(self, alt: ObjectAlt):
        self.alt = alt
        self.top = len(alt.names) if alt.max is None else alt.max
        self.all = (1 << alt.clauses) - 1
        self.ways: list = [() if node < 0 else alt.ways[i] if alt.clauses and alt.ways[i] else ((0, node),)
                           for i, node in enumerate(alt.nodes)]
        #: by number of the first key: sets of clauses -> numbers of optional keys that satisfy them, as bits
        self.behind: list[dict[int, int]] = [{0: 1}]
        for i in reversed(range(len(alt.names))):
            after: dict[int, int] = {}
            for held, numbers in self.behind[-1].items():
                if not alt.required[i]:
                    marks = held | (alt.absent[i] if alt.clauses else 0)
                    after[marks] = after.get(marks, 0) | numbers
                for marks in {marks for marks, _ in self.ways[i]}:
                    after[held | marks] = after.get(held | marks, 0) | (numbers if alt.required[i] else numbers << 1)
            self.behind.append(after)
        self.behind.reverse()
        self.required = [0]
        for needed in reversed(alt.required):
            self.required.append(self.required[-1] + needed)
        self.required.reverse()

    def open(self) -> bool:
        """May an object have an undeclared key?"""
        alt = self.alt
        if alt.extra is None:
            return False
        if alt.max is None or not alt.clauses:
            return True         # whatever holds of an object still does with one more key
        kinds = {marks for _, found in alt.extra.ways for marks, _ in found}
        held = {0}
        for n in range(1, min(alt.max, alt.clauses + 1) + 1):       # so many undeclared keys
            held = {marks | more for marks in held for more in kinds}
            if any(self._fits(0, marks, alt.max - n - self.required[0], 0) for marks in held):
                return True
        return False

    def _fits(self, k: int, held: int, room: int, need: int) -> bool:
        """Can keys from number `k` on satisfy the other clauses, `need` to `room` of them optional?"""
        if room < 0:
            return False
        window = (1 << room + 1) - (1 << max(need, 0)) if need <= room else 0
        return any(numbers & window for marks, numbers in self.behind[k].items() if held | marks == self.all)

    def completable(self, k: int, value: dict, held: int) -> bool:
        """May an object with the keys of `value` among the first `k` be completed with declared ones?

        False only if it may not; with dependencies the answer may be too kind.
        """
        alt = self.alt
        rest = self.required[k]
        room = self.top - len(value) - rest
        if not self._fits(k, held, room, alt.min - len(value) - rest):
            return False
        pending: set[int] = set()
        for i, needs in alt.deps:
            if alt.names[i] in value:
                for j in needs:
                    if j < k and alt.names[j] not in value:
                        return False
                    if j >= k and not alt.required[j]:
                        pending.add(j)
        return len(pending) <= room


def _strings(lang: StrLang, limit: int) -> list[str]:
    out: list[str] = []
    for conj in lang:
        finite = _finite(conj)
        if finite is not None:
            out += finite.words             # refined: every word is in the conjunction
            continue
        n = count_words((conj,))
        if n is None or n > limit:
            raise _Many(n is None)
        out += words((conj,))
    return out
