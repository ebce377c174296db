"""Complements of forms, where a form can say them.

The complement of an object alternative is one alternative with a clause: some
required key is absent, or some key has a value that is not allowed (see
:mod:`.clauses`); so a conjunction of complements does not multiply out.
:func:`negate` gives the complement and the types for which it has no form;
there the result allows everything, so the caller must refuse (or show that
these types cannot occur).

The complement of a child is a node of its own, made on first use, so
recursion through ``not`` is as good as any other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Optional

from ...errors import LimitError
from ...grammar.ir import ANY_NUMBER, NumLang
from ...grammar.numbers import complement_numbers
from ...grammar.strings import (ANY_STRING, Atom, Length, Literals, Pattern, StrLang, atom_lang, complement, intersect,
                                literal_lang, union)
from .documents import Site
from .forms import (ANY, ANY_ARRAYS, ANY_FORM, ANY_OBJECTS, ARR, BOOL, NONE, NULL, NUM, OBJ, STR, ArrForm, Contains,
                    Form, Layer, ObjForm, Some, counted, join, live_types, meet)

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["Complement", "negate", "exactly_one", "complement_strings", "outer_strings"]

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
    g.negations = True
    hidden = 0
    for types, _, _ in form.refused:
        hidden |= types
    number = _numbers(g, form.number)
    if number is None:
        number, hidden = ANY_NUMBER, hidden | NUM
    string: StrLang = ANY_STRING
    if form.string:
        other = complement_strings(form.string)
        if other is None:
            hidden |= STR
        else:
            string = other
            g.approximate = g.approximate or inexact(form.string)
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
    """Whether a language is only a subset of what its formats mean: its complement would be too large."""
    return any(_in_part(atom, positive) for conj in lang for atom, positive in conj)


@lru_cache(maxsize=256)
def _in_part(atom: Atom, positive: bool) -> bool:
    """Is this a format read in part, or what is surely not of such a format?"""
    from ..formats import FORMAT_NOTES
    return type(atom) is Pattern and atom.kind == "format" and (
        atom.source in FORMAT_NOTES if positive else atom.source.endswith(".outer"))


def outer_strings(lang: StrLang) -> Optional[StrLang]:
    """A language that holds all that `lang` means, formats read in part as well; None: not known."""
    if not inexact(lang):
        return lang
    from ..formats import format_lang, outer_format
    out: StrLang = ()
    for conj in lang:
        here: StrLang = ANY_STRING
        for atom, positive in conj:
            part = atom_lang(atom, positive)
            if type(atom) is Pattern and atom.kind == "format":
                if atom.source.startswith("idn-hostname."):
                    part = ANY_STRING       # what is said beside that format
                if _in_part(atom, positive) and positive:
                    outer = outer_format(atom.source)
                    if outer is None:
                        return None
                    part = atom_lang(Pattern("format", outer))
                elif _in_part(atom, positive):
                    exact = format_lang(atom.source[:-len(".outer")])
                    assert exact is not None
                    part = complement(exact)
            here = intersect(here, part)
        out = union(out, here)
    return out


def complement_strings(lang: StrLang) -> Optional[StrLang]:
    """Strings that are surely not in `lang`: all others, but for formats read in part; None: not known, or too many."""
    outer = outer_strings(lang)
    # ranges of lengths merge, others multiply
    if outer is None or sum(len(conj) != 1 or type(conj[0][0]) is not Length for conj in outer) > _MAX_CONJUNCTIONS:
        return None
    return complement(outer)


def _numbers(g: "SchemaGrammar", lang: NumLang) -> Optional[NumLang]:
    try:
        return complement_numbers(lang, g.float_integers)
    except LimitError:
        return None


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
    if alt.unique:
        out.append(ArrForm(min=2, repeats=(keyword, site)))
    if alt.repeats:
        out.append(ArrForm(unique=True))
    checked, start = list(alt.prefix), len(alt.prefix)
    if alt.items not in (ANY, NONE) and (alt.max is None or alt.max > start):
        if alt.max is None or alt.max > _MAX_POSITIONS:
            node = g.complement(alt.items, keyword, site)
            if node != NONE:
                out.append(counted(ArrForm(contains=(Contains(node, 1, None, start),))))
        else:
            checked += [alt.items] * (alt.max - start)
    for c in alt.contains:
        if c.lo:
            other = c.other or g.complement(c.node, keyword, site)
            if c.lo == 1:
                out.append(ArrForm((ANY,) * c.start, other) if other != NONE else ArrForm(max=c.start))
            else:
                out.append(counted(ArrForm(contains=(Contains(c.node, 0, c.lo - 1, c.start, other),))))
        if c.hi is not None:
            out.append(counted(ArrForm(contains=(Contains(c.node, c.hi + 1, None, c.start, c.other),))))
    for i, node in enumerate(checked):
        node = g.complement(node, keyword, site)
        if node != NONE:
            out.append(ArrForm((ANY,) * i + (node,), ANY, i + 1))
    return tuple([a for a in out if a is not None])


def _object(g: "SchemaGrammar", alt: ObjForm, keyword: str, site: Site) -> Optional[tuple]:
    out: dict[ObjForm, None] = {}
    literals: dict = dict.fromkeys(alt.required)
    if alt.min > len(alt.required) or alt.min and not alt.required:
        out[ObjForm(max=alt.min - 1)] = None
    if alt.max is not None:
        out[ObjForm(min=alt.max + 1)] = None
    for name, needs in alt.deps:
        for need in needs:
            out[ObjForm((g.absent(need),), (name,))] = None

    def some(lang: StrLang, node: int) -> None:
        node = g.complement(node, keyword, site)
        if node != NONE:
            literals[Some(lang, node)] = None

    for layer in alt.layers:
        for name, node in layer.props.items():
            some(literal_lang([name]), node)
        for pattern, node in layer.patterns:
            some(atom_lang(pattern), node)
        rest = tuple((pattern, False) for pattern, _ in layer.patterns)
        if layer.props:
            rest += ((Literals(tuple(sorted(layer.props))), False),)
        some((rest,), layer.additional)
    for lang, node in alt.every:
        some(lang, node)
    for node in alt.keynames:
        node = g.complement(node, keyword, site)
        if node != NONE:
            literals[Some(ANY_STRING, ANY, node)] = None
    for clause in alt.clauses:
        required = tuple(lit for lit in clause if type(lit) is str)
        others = [lit for lit in clause if type(lit) is not str]
        out[ObjForm((), required, keynames=tuple(g.complement(lit.keys, keyword, site) for lit in others if lit.keys),
                    every=tuple((lit.lang, g.complement(lit.node, keyword, site)) for lit in others
                                if not lit.keys))] = None
    if len(literals) == 1:
        (lit,) = literals
        if type(lit) is str:
            out[ObjForm((g.absent(lit),))] = None
            return tuple(out)
        if type(lit) is Some and len(lit.lang) == 1 and len(lit.lang[0]) == 1 and lit.keys == ANY:
            ((atom, positive),) = lit.lang[0]
            if positive and type(atom) is Literals and len(atom.words) == 1:
                name = atom.words[0]
                out[ObjForm((Layer({name: lit.node}, own=False),) if lit.node != ANY else (), (name,))] = None
                return tuple(out)
    if literals:
        out[ObjForm(clauses=(tuple(literals),))] = None
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
