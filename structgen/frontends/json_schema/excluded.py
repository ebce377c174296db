"""The values that equal none of a given list, as a form.

What ``uniqueItems`` makes of an item once others are there.  The form is a
union of alternatives whose number grows with the size of the excluded values,
not with their combinations: arrays are split along the tree of their items
(the first item differs from all; or it is this one, and the second differs;
...), objects along a tree of decisions, one key at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Hashable, Optional, Sequence

from ...errors import LimitError
from ...grammar.arrays import Huge, canonical
from ...grammar.ir import ANY_NUMBER, NumAlt
from ...grammar.numbers import exact_number
from ...grammar.strings import ANY_STRING, complement, literal_lang
from .documents import Site
from .forms import ANY, ANY_ARRAYS, ANY_OBJECTS, NONE, ArrForm, Form, Layer, ObjForm

if TYPE_CHECKING:
    from .nodes import NodeTable

__all__ = ["excluding"]

#: nesting of the values
MAX_NESTING = 100


def excluding(g: "NodeTable", values: Sequence[Any], depth: int = 0, key: Optional[frozenset] = None) -> int:
    """The node of everything but `values`."""
    if not values:
        return ANY
    if depth > MAX_NESTING:
        raise LimitError(f"items that must differ are nested more than {MAX_NESTING} deep", place="uniqueItems",
                         limit=MAX_NESTING)
    if key is None:
        key = frozenset(map(canonical, values))
    node = g.excluded.get(key)
    if node is None:
        root = g.docs.root.site
        site = Site(None, root, (), root.res)
        site.form = _form(g, values, depth)
        node = site.node = g.excluded[key] = g._new((site,), site.form)
    return node


def _form(g: "NodeTable", values: Sequence[Any], depth: int) -> Form:
    words, points, arrays, objects, huge = [], set(), [], [], False
    for v in values:
        if isinstance(v, Huge):
            huge = True
        elif isinstance(v, str):
            words.append(v)
        elif isinstance(v, (list, tuple)):
            arrays.append(v)
        elif isinstance(v, dict):
            objects.append(v)
        elif v is not None and v is not True and v is not False:
            points.add(exact_number(v))
    number = ANY_NUMBER
    if points or huge:
        edges = [None, *sorted(points), None]
        number = tuple(NumAlt(False, lo, lo is not None, hi, hi is not None) for lo, hi in zip(edges, edges[1:]))
        if not points:          # no exponents then, so nothing spells a huge number
            number = NumAlt(hi=1), NumAlt(lo=1, lo_open=True)
    return Form(not any(v is None for v in values), not any(v is True for v in values),
                not any(v is False for v in values), number,
                complement(literal_lang(words)) if words else ANY_STRING,
                _arrays(g, arrays, depth) if arrays else ANY_ARRAYS,
                _objects(g, objects, depth) if objects else ANY_OBJECTS)


def _groups(values: Sequence[Any], of) -> dict[Hashable, list]:
    """`values` by the canonical value of a part of each."""
    out: dict[Hashable, list] = {}
    for v in values:
        out.setdefault(canonical(of(v)), []).append(v)
    return out


def _arrays(g: "NodeTable", values: list, depth: int) -> tuple:
    out = []
    stack: list[tuple[tuple, list]] = [((), values)]
    while stack:
        prefix, tails = stack.pop()
        n = len(prefix)
        longer = [t for t in tails if len(t) > n]
        if len(longer) == len(tails):
            out.append(ArrForm(prefix, NONE, n, n))
        groups = _groups(longer, lambda t: t[n])
        heads = [group[0][n] for group in groups.values()]
        out.append(ArrForm(prefix + (excluding(g, heads, depth + 1),) if heads else prefix, ANY, n + 1))
        for head, group in zip(heads, groups.values()):
            if not _is_huge(head):
                stack.append((prefix + (g.const(head, g.docs.root.site),), group))
    return tuple(out)


def _objects(g: "NodeTable", values: list, depth: int) -> tuple:
    out = []
    stack: list[tuple[dict, list]] = [({}, values)]
    while stack:
        props, left = stack.pop()
        required = tuple(name for name, node in props.items() if node != NONE)
        # the key that tells most of them apart
        best, most = None, 0
        for name in dict.fromkeys(name for v in left for name in v):
            if name not in props:
                kinds = len({canonical(v[name]) for v in left if name in v})
                if kinds > most:
                    best, most = name, kinds
        if best is None:            # one object is left, all of whose keys are there: one more key
            out.append(ObjForm((Layer(props, own=False),) if props else (), required, len(required) + 1))
            continue
        lacking = [v for v in left if best not in v]
        groups = _groups([v for v in left if best in v], lambda v: v[best])
        heads = [group[0][best] for group in groups.values()]
        other = excluding(g, heads, depth + 1)
        if lacking:
            out.append(ObjForm((Layer({**props, best: other}, own=False),), required + (best,)))
            stack.append(({**props, best: NONE}, lacking))
        else:
            out.append(ObjForm((Layer({**props, best: other}, own=False),), required))
        for head, group in zip(heads, groups.values()):
            if not _is_huge(head):
                stack.append(({**props, best: g.const(head, g.docs.root.site)}, group))
    return tuple(out)


def _is_huge(value: Any) -> bool:
    """Is a number in `value` that has no constant? (What goes on with it is left out.)"""
    if isinstance(value, dict):
        return any(map(_is_huge, value.values()))
    return isinstance(value, Huge) or type(value) in (list, tuple) and any(map(_is_huge, value))
