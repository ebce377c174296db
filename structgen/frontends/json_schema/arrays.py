"""Array forms to array alternatives: items, counters, distinct items.

``contains`` makes an item readable in several ways: as one that counts, in the
conjunction of the item's schema and that of ``contains``, or as one that does
not, in its conjunction with the complement; or, where counting more does no
harm, as any item.  Several counters make the product.  Whether the counters
can still come out right, and whether items that must differ can, is decided by
``grammar.arrays``, here for the start and by the engine for every position.
"""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional

from ...errors import LimitError
from ...grammar.arrays import MANY_VALUES, ItemCounts, canonical, enough_distinct
from ...grammar.ir import ArrayAlt, Count, NumLang, ObjectAlt
from ...grammar.numbers import _step, number_contains
from ...grammar.strings import Length, StrLang
from .forms import ANY, NONE, ArrForm
from .objects import object_alt
from .strlang import _finite, count_words, refine, words

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["array_alt", "array_satisfiable", "values_of"]

#: ways to read one item
MAX_CHOICES = 256
#: values tried for each one kept when a finite language is listed
_TRIES = 64


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
    """More values than asked for."""


def values_of(g: "SchemaGrammar", node: int, limit: int) -> Optional[list]:
    """The values of a node, each once, if there are at most `limit`; else None.

    What is not plainly finite counts as many, and so does what takes too long
    to list.
    """
    try:
        return _Lister(g, min(limit, MANY_VALUES)).node(node)
    except _Many:
        return None


class _Lister:
    """Lists values; `active` are the nodes being listed, whose recurrence makes a language infinite."""

    def __init__(self, g: "SchemaGrammar", limit: int):
        self.g, self.limit = g, limit
        self.active: set[int] = set()
        self.tries = _TRIES * (limit + 16)

    def node(self, i: int) -> list:
        if not self.g.has(i):
            return []
        if i == ANY or i in self.active:
            raise _Many
        form = self.g.form(i)
        out: dict = {}

        def add(values) -> None:
            for v in values:
                self.tries -= 1
                out.setdefault(canonical(v), v)
                if len(out) > self.limit or self.tries < 0:
                    raise _Many

        add([v for v, yes in ((None, form.null), (True, form.true), (False, form.false)) if yes])
        self._cheap(form.string)
        add(_numbers(form.number, self.limit))
        if form.string:
            add(_strings(refine(form.string), self.limit))
        self.active.add(i)
        try:
            for arr in form.arrays:
                alt = array_alt(self.g, arr)
                if alt is not None:
                    add(self._arrays(alt))
            for obj in form.objects:
                if obj.clauses or obj.every:
                    raise _Many
                found = object_alt(self.g, obj)
                if found is not None:
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
                raise _Many

    def _arrays(self, alt: ArrayAlt) -> Iterator[list]:
        counts = ItemCounts(alt.rows(), alt.counts, alt.min, alt.max)
        known: dict[int, list] = {}
        stack: list[tuple[tuple, list, frozenset]] = [(counts.start, [], frozenset())]
        while stack:
            state, items, used = stack.pop()
            if not counts.alive(state):
                continue
            self.tries -= 1
            if self.tries < 0:
                raise _Many
            if counts.closable(state):
                yield items
            for node, after in counts.steps(state):
                if node not in known:
                    known[node] = self.node(node)
                if known[node] and after == state:
                    raise _Many
                for v in known[node]:
                    key = canonical(v)
                    if not alt.unique or key not in used:
                        stack.append((after, items + [v], used | {key} if alt.unique else used))

    def _objects(self, alt: ObjectAlt) -> Iterator[dict]:
        top = len(alt.names) if alt.max is None else alt.max
        if alt.extra is not None and sum(alt.required) < top + (alt.max is None):
            raise _Many
        known = {k: self.node(i) for k, i in enumerate(alt.nodes) if i >= 0}
        stack: list[tuple[int, dict]] = [(0, {})]
        while stack:
            k, value = stack.pop()
            self.tries -= 1
            if self.tries < 0:
                raise _Many
            if k == len(alt.names):
                if alt.min <= len(value) <= top and all(
                        alt.names[i] not in value or all(alt.names[j] in value for j in js) for i, js in alt.deps):
                    yield value
                continue
            if not alt.required[k]:
                stack.append((k + 1, value))
            for v in known.get(k, ()):
                stack.append((k + 1, {**value, alt.names[k]: v}))


def _numbers(lang: NumLang, limit: int) -> list:
    out: list[Any] = []
    for k, alt in enumerate(lang):
        if alt.lo is None or alt.hi is None:
            raise _Many
        if alt.lo == alt.hi:
            candidates = [alt.lo]
        else:
            step = _step(alt)
            if step is None:
                raise _Many
            first, last = ceil(alt.lo / step) if type(step) is int and type(alt.lo) is int else ceil(
                exact(alt.lo) / step), floor(exact(alt.hi) / step)
            if last - first > limit + 2:
                raise _Many
            candidates = [m * step for m in range(first, last + 1)]
        out += [v for v in candidates if number_contains((alt,), v)]
    return out


def exact(x: Any):
    """A bound as a fraction, so that division is exact."""
    from fractions import Fraction
    return Fraction(x)


def _strings(lang: StrLang, limit: int) -> list[str]:
    out: list[str] = []
    for conj in lang:
        finite = _finite(conj)
        if finite is not None:
            out += finite.words             # refined: every word is in the conjunction
            continue
        n = count_words((conj,))
        if n is None or n > limit:
            raise _Many
        out += words((conj,))
    return out
