"""Complements of forms, where a form can say them.

A negated constraint is again a union of alternatives as long as it does not
speak of "some key of a class" or "some item": those need other atoms than the
intermediate representation has.  :func:`negate` gives the complement and the
types for which it has no form; there the result allows everything, so the
caller must refuse (or show that these types cannot occur).

The complement of a child is a node of its own, made on first use, so
recursion through ``not`` is as good as any other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Optional

from ...errors import LimitError
from ...grammar.ir import ANY_NUMBER, NumAlt, NumLang
from ...grammar.numbers import intersect_number_langs
from ...grammar.strings import ANY_STRING, Pattern, StrLang, complement
from .documents import Site
from .forms import (ANY, ANY_ARRAYS, ANY_FORM, ANY_OBJECTS, ARR, BOOL, NONE, NULL, NUM, OBJ, STR, ArrForm, Form,
                    Layer, ObjForm, join, live_types, meet)

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["Complement", "negate", "exactly_one", "inexact"]

#: positions of an array that are looked at one by one
_MAX_POSITIONS = 8
#: conjunctions of a string language that is complemented
_MAX_CONJUNCTIONS = 12


class Complement(NamedTuple):
    """What stands for a schema in the site of a complement node."""

    node: int
    keyword: str
    site: Site


def negate(g: "SchemaGrammar", form: Form, keyword: str, site: Site) -> tuple[Form, int]:
    """The values not in `form`, and the types (bits) for which that cannot be said.

    `keyword` and `site` are what a refusal further down will name.
    """
    hidden = 0
    for types, _, _ in form.refused:
        hidden |= types
    number = _numbers(g, form.number)
    if number is None:
        number, hidden = ANY_NUMBER, hidden | NUM
    string: StrLang = ANY_STRING
    if form.string:
        if len(form.string) > _MAX_CONJUNCTIONS or inexact(form.string):
            hidden |= STR
        else:
            string = complement(form.string)
    arrays = _all(g, [_array(g, alt, keyword, site) for alt in form.arrays], ARR)
    if arrays is None:
        arrays, hidden = ANY_ARRAYS, hidden | ARR
    objects = _all(g, [_object(g, alt, keyword, site) for alt in form.objects], OBJ)
    if objects is None:
        objects, hidden = ANY_OBJECTS, hidden | OBJ
    # What is refused below is not known, and neither is its complement.
    return Form(not form.null or hidden & NULL != 0, not form.true or hidden & BOOL != 0,
                not form.false or hidden & BOOL != 0, ANY_NUMBER if hidden & NUM else number,
                ANY_STRING if hidden & STR else string, ANY_ARRAYS if hidden & ARR else arrays,
                ANY_OBJECTS if hidden & OBJ else objects), hidden


def inexact(lang: StrLang) -> bool:
    """Whether a language is only a subset of what a format means: its complement would be too large."""
    return any(type(atom) is Pattern and atom.kind == "format" and positive and _is_subset(atom.source)
               for conj in lang for atom, positive in conj)


@lru_cache(maxsize=64)
def _is_subset(name: str) -> bool:
    from ..formats import FORMAT_NOTES
    return name in FORMAT_NOTES


def _numbers(g: "SchemaGrammar", lang: NumLang) -> Optional[NumLang]:
    out = ANY_NUMBER
    for alt in lang:
        if alt.multiple_of is not None or alt.integer and (alt.lo is None or alt.lo != alt.hi or not g.float_integers):
            return None
        rest = []
        if alt.lo is not None:
            rest.append(NumAlt(False, None, False, alt.lo, not alt.lo_open))
        if alt.hi is not None:
            rest.append(NumAlt(False, alt.hi, not alt.hi_open, None, False))
        out = intersect_number_langs(out, tuple(rest))
    return out


def _all(g: "SchemaGrammar", unions: list[Optional[tuple]], kind: int) -> Optional[tuple]:
    """The conjunction of unions of alternatives; None if one of them has no form."""
    if None in unions:
        return None
    form = ANY_FORM
    try:
        for alternatives in unions:
            other = ANY_FORM._replace(arrays=alternatives) if kind == ARR else ANY_FORM._replace(objects=alternatives)
            form = meet(form, other, g.conj, g.dead)
    except LimitError:
        return None
    return form.arrays if kind == ARR else form.objects


def _array(g: "SchemaGrammar", alt: ArrForm, keyword: str, site: Site) -> Optional[tuple]:
    if alt == ANY_ARRAYS[0]:
        return ()
    out = []
    if alt.min:
        out.append(ArrForm(max=alt.min - 1))
    if alt.max is not None:
        out.append(ArrForm(min=alt.max + 1))
    checked = list(alt.prefix)
    if alt.items not in (ANY, NONE) and (alt.max is None or alt.max > len(checked)):
        if alt.max is None or alt.max > _MAX_POSITIONS:
            return None
        checked += [alt.items] * (alt.max - len(checked))
    for i, node in enumerate(checked):
        node = g.complement(node, keyword, site)
        if node != NONE:
            out.append(ArrForm((ANY,) * i + (node,), ANY, i + 1))
    return tuple(out)


def _object(g: "SchemaGrammar", alt: ObjForm, keyword: str, site: Site) -> Optional[tuple]:
    if alt.keynames:
        return None
    out: dict[ObjForm, None] = {}
    for name in alt.required:
        out[ObjForm((g.absent(name),))] = None
    if alt.min > len(alt.required) or alt.min and not alt.required:
        out[ObjForm(max=alt.min - 1)] = None
    if alt.max is not None:
        out[ObjForm(min=alt.max + 1)] = None
    for name, needs in alt.deps:
        for need in needs:
            out[ObjForm((g.absent(need),), (name,))] = None
    for layer in alt.layers:
        if layer.additional != ANY or any(node != ANY for _, node in layer.patterns):
            return None
        for name, node in layer.props.items():
            node = g.complement(node, keyword, site)
            if node != NONE:
                out[ObjForm((Layer({name: node}),) if node != ANY else (), (name,))] = None
    return tuple(out)


def exactly_one(g: "SchemaGrammar", branches: list[Form], mask: int, site: Site) -> tuple[Form, int]:
    """The values in exactly one branch, and the types (of `mask`) for which that cannot be said."""
    none: Form = ANY_FORM
    one: Optional[Form] = None
    hidden = 0
    for branch in branches:
        rest, lost = negate(g, branch, "oneOf", site)
        hidden |= lost & live_types(branch) & mask
        here = meet(none, branch, g.conj, g.dead)
        one = here if one is None else join([meet(one, rest, g.conj, g.dead), here])
        none = meet(none, rest, g.conj, g.dead)
    assert one is not None
    return one, hidden
