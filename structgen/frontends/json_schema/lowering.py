"""One schema to its form: facts, then types, then applicators in place.

:func:`site_form` is the heart of the lowering.  It runs once for each
subschema that can be reached, and costs a few microseconds for the usual ones.
References and ``allOf``/``anyOf``/``oneOf`` are followed here, since they speak
of the same value; children (properties, items) only get numbers.

What cannot be enforced is not decided here: it is noted in ``Form.refused``
together with the JSON types it bears on, and raised by the grammar when such
a form is reachable with one of these types still possible.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Optional

from ...errors import LimitError, SchemaError
from ...grammar.numbers import numbers_disjoint
from ...grammar.strings import ANY_STRING, StrLang, intersect, union
from .documents import Site, pointer_of, short
from .evaluated import Either, evaluated_form, needs_marks
from .forms import (ANY_FORM, ANY_OBJECTS, ARR, NO_FORM, NONE, NUM, OBJ, STR, Form, Layer, ObjForm, join,
                    live_types, meet, type_form)
from .keywords import TABLES, Facts
from .negate import Complement, complement_strings, exactly_one, negate, outer_strings
from .own_keywords import BUSY, MAX_DEPTH, base_form
from .strlang import disjoint

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["site_form", "facts_of", "in_place", "negated", "one_of", "dependent", "refusing", "MAX_BRANCHES"]

#: subschemas one allOf, anyOf or oneOf may list
MAX_BRANCHES = 20_000
#: conjunctions of atoms in "strings in exactly one of these languages"
_MAX_CONJUNCTIONS = 64
_MISSING = Facts.MISSING
_CONTAINERS = type_form(ARR | OBJ)


def facts_of(site: Site) -> Facts:
    """What the keywords of the schema at `site`, a dict, say."""
    schema = site.schema
    facts = Facts()
    if site.res.draft <= 7 and "$ref" in schema:
        facts.apply = (("$ref", schema["$ref"]),)
    else:
        table = TABLES[site.res.dialect]
        for keyword, value in schema.items():
            collect = table.get(keyword)
            if collect is not None:
                collect(facts, value, site)
    return facts


def site_form(g: "SchemaGrammar", site: Site) -> Form:
    """The form of the schema at `site`, computed once."""
    form = site.form
    if form is not None:
        if form is BUSY:
            raise SchemaError("this schema applies to itself without going into a value, which defines nothing",
                              pointer=site.pointer)
        return form
    schema = site.schema
    if type(schema) is not dict:
        if isinstance(schema, dict):        # an OrderedDict, say
            schema = site.schema = dict(schema)
        elif type(schema) is Complement:
            form, hidden = negate(g, g.form(schema.node), schema.keyword, schema.site)
            form = site.form = refusing(g, form, hidden, schema.keyword, schema.site)
            return form
        elif type(schema) is Either:
            form = site.form = join([g.form(node) for node in schema.nodes])
            return form
        else:
            form = site.form = ANY_FORM if schema else NO_FORM
            return form
    if len(schema) == 1 and type(schema.get("type")) is str and type(site.res.dialect) is int:
        facts = Facts()
        TABLES[2020]["type"](facts, schema["type"], site)
        form = site.form = type_form(facts.types)
        return form
    facts = facts_of(site)
    marks = (facts.unevaluated is not _MISSING or facts.unevaluated_items is not _MISSING) and needs_marks(facts)
    if not facts.apply and facts.condition is _MISSING and not marks:
        form = site.form = base_form(g, facts, site)
        return form
    if g.depth >= MAX_DEPTH:
        raise LimitError(f"more than {MAX_DEPTH} references and applicators nested in one place "
                         f"(at {short(site.pointer)})", place=site.pointer, limit=MAX_DEPTH)
    site.form = BUSY
    g.depth += 1
    try:
        form = site.form = evaluated_form(g, site) if marks else _applied_form(g, facts, site)
    except LimitError as err:
        if not err.place.startswith("#") and "#" not in err.place:
            raise LimitError(f"{err.message} (at {short(site.pointer)})", place=site.pointer, limit=err.limit,
                             hint=err.hint) from None
        raise
    finally:
        g.depth -= 1
        if site.form is BUSY:
            site.form = None
    return form


# -- applicators in place ---------------------------------------------------------------

def _branches(g: "SchemaGrammar", site: Site, keyword: str, value: Any) -> list[Form]:
    if len(value) > MAX_BRANCHES:
        raise LimitError(f"{keyword} of more than {MAX_BRANCHES} schemas (at {pointer_of(site, keyword)})",
                         place=pointer_of(site, keyword), limit=MAX_BRANCHES)
    return [in_place(g, site, (keyword, i), sub) for i, sub in enumerate(value)]


def in_place(g: "SchemaGrammar", site: Site, path: tuple, schema: Any) -> Form:
    if schema is True:
        return ANY_FORM
    if schema is False:
        return NO_FORM
    if type(schema) is not dict:
        schema = g.checked(site, path, schema)
    return site_form(g, g.docs.site(schema, site, path))


def _applied_form(g: "SchemaGrammar", f: Facts, site: Site) -> Form:
    base = base_form(g, f, site)
    parts = [base]
    disjoint_parts = []
    for keyword, value in f.apply:
        if keyword == "$ref":
            parts.append(site_form(g, g.docs.resolve(site, value)))
        elif keyword == "allOf":
            parts += _branches(g, site, keyword, value)
        elif keyword == "anyOf":
            parts.append(join(_branches(g, site, keyword, value)))
        elif keyword == "oneOf":
            branches = _branches(g, site, keyword, value)
            if id(site.schema) in g.overlapping:
                part = _overlapping(g, branches, live_types(base), site)
                open_types = _shared(branches, live_types(base)) if g.recheck else 0
            else:
                part, open_types = one_of(g, branches, live_types(base), site)
            if open_types:
                disjoint_parts.append((branches, open_types, len(parts)))
            parts.append(part)
        elif keyword in ("dependentSchemas", "dependencies"):
            for name, sub in value.items():
                part = dependent(name, in_place(g, site, (keyword, name), sub))
                if part is not ANY_FORM:
                    parts.append(part)
        elif keyword == "not":
            part = negated(g, site, value)
            if part is not None:
                parts.append(part)
        else:
            parts.append(site_form(g, g.docs.resolve_dynamic(site, value, keyword)))
    if f.condition is not _MISSING:
        _condition(g, f, site, parts)
    form = parts[0]
    for part in parts[1:]:
        form = meet(form, part, g.conj, g.dead)
    for branches, types, at in disjoint_parts:
        if live_types(form) & types:
            g.to_prove.append((site, branches, types, parts[:at] + parts[at + 1:]))
    return form


def negated(g: "SchemaGrammar", site: Site, value: Any) -> Optional[Form]:
    """The form of ``not``; None if it says nothing."""
    if value is True or value == {}:
        return NO_FORM
    if value is False:
        return None
    if type(value) is dict and value.keys() == {"not"}:
        return in_place(g, site, ("not", "not"), value["not"])
    part, hidden = negate(g, in_place(g, site, ("not",), value), "not", site)
    return refusing(g, part, hidden, "not", site)


def _condition(g: "SchemaGrammar", f: Facts, site: Site, parts: list) -> None:
    then = True if f.then is _MISSING or f.then == {} else f.then
    otherwise = True if f.otherwise is _MISSING or f.otherwise == {} else f.otherwise
    if then is True and otherwise is True:
        return
    if f.condition is True or f.condition == {}:
        parts.append(in_place(g, site, ("then",), then))
    elif f.condition is False:
        parts.append(in_place(g, site, ("else",), otherwise))
    else:
        condition = in_place(g, site, ("if",), f.condition)
        rest, hidden = negate(g, condition, "if", site)
        rest = refusing(g, rest, hidden, "if", site)
        parts.append(join([meet(condition, in_place(g, site, ("then",), then), g.conj, g.dead),
                           meet(rest, in_place(g, site, ("else",), otherwise), g.conj, g.dead)]))


def refusing(g: "SchemaGrammar", form: Form, types: int, keyword: str, site: Site) -> Form:
    """`form`, refused for `types`."""
    types &= live_types(form)
    if not types:
        return form
    refused = list(form.refused)
    g.refuse(refused, types, keyword, site)
    return form._replace(refused=tuple(refused))


def _overlapping(g: "SchemaGrammar", branches: list[Form], mask: int, site: Site) -> Form:
    """Exactly one of branches, some of which overlap: each without those it overlaps with."""
    scalars, _ = one_of(g, branches, mask & ~(ARR | OBJ), site)
    pairs = g.overlapping[id(site.schema)]
    parts: list[Form] = []
    hidden = 0
    others: dict[int, tuple[Form, int]] = {}
    try:
        for i, branch in enumerate(branches):
            if not (branch.arrays or branch.objects):
                continue
            form = meet(branch, _CONTAINERS, g.conj)
            for j, other in enumerate(branches):
                if (min(i, j), max(i, j)) in pairs:
                    if j not in others:
                        others[j] = negate(g, other, "oneOf", site)
                    hidden |= others[j][1] & live_types(form) & mask
                    form = meet(form, others[j][0], g.conj, g.dead)
            parts.append(form)
        rest = join(parts)
    except LimitError:
        rest, hidden = join(branches), mask & (ARR | OBJ)
    whole = scalars._replace(arrays=rest.arrays, objects=rest.objects, refused=scalars.refused + rest.refused)
    return refusing(g, whole, hidden, "oneOf", site)


def dependent(name: str, form: Form) -> Form:
    """``name`` present implies `form`: absent, or present and `form`."""
    refused = tuple((types & OBJ, keyword, site) for types, keyword, site in form.refused if types & OBJ)
    if form.objects == ANY_OBJECTS and not refused:
        return ANY_FORM
    if not refused and len(form.objects) == 1:
        only = form.objects[0]
        if only == ObjForm(required=only.required):
            return ANY_FORM._replace(objects=(ObjForm(deps=((name, only.required),)),))
    absent = ObjForm(layers=(Layer({name: NONE}, own=False),))
    present = tuple(o._replace(required=tuple(dict.fromkeys((name,) + o.required))) for o in form.objects)
    return ANY_FORM._replace(objects=(absent,) + present, refused=refused)


def one_of(g: "SchemaGrammar", branches: list[Form], mask: int, site: Site) -> tuple[Form, int]:
    """The form of exactly one branch, provided that arrays and objects are disjoint.

    Second result: the types (ARR, OBJ) for which that is still to be shown.
    """
    live = [b for b in branches if live_types(b) & mask]
    if len(live) <= 1:
        return (live[0] if live else NO_FORM), 0
    part = join(live)
    if part is ANY_FORM:
        part = ANY_FORM._replace()
    refused = list(part.refused)
    number, string = part.number, part.string
    if mask & NUM:
        numbers = [b.number for b in live if b.number]
        if any(not numbers_disjoint(x, y) for i, x in enumerate(numbers) for y in numbers[i + 1:]):
            exact, hidden = exactly_one(g, [Form(number=x) for x in numbers], NUM, site)
            if hidden:
                g.refuse(refused, NUM, "oneOf", site)
            else:
                number = exact.number
    if mask & STR:
        strings = [b.string for b in live if b.string]
        if len(strings) > 1 and not _strings_disjoint(strings):
            string = _exactly_one(strings)
            if string is None:
                string = part.string
                g.refuse(refused, STR, "oneOf", site)
    types = _shared(live, mask)
    form = part._replace(null=sum(b.null for b in live) == 1, true=sum(b.true for b in live) == 1,
                         false=sum(b.false for b in live) == 1, number=number, string=string,
                         refused=tuple(refused))
    if types:   # join absorbs what one branch covers; keep every alternative for the proof's sake
        form = form._replace(arrays=tuple(dict.fromkeys(x for b in live for x in b.arrays)),
                             objects=tuple(dict.fromkeys(x for b in live for x in b.objects)))
    return form, types


def _shared(branches: list[Form], mask: int) -> int:
    """The container types that more than one branch has."""
    return ((ARR if mask & ARR and sum(1 for b in branches if b.arrays) > 1 else 0)
            | (OBJ if mask & OBJ and sum(1 for b in branches if b.objects) > 1 else 0))


def _strings_disjoint(langs: list[StrLang]) -> bool:
    if ANY_STRING in langs:
        return False
    # what is of a format that is read in part may be in more branches than seem to have it
    outer = [ANY_STRING if (lang := outer_strings(x)) is None else lang for x in langs]
    return all(disjoint(x, outer[j]) and (outer[i] is x or disjoint(outer[i], langs[j]))
               for i, x in enumerate(langs) for j in range(i + 1, len(langs)))


def _exactly_one(langs: list[StrLang]):
    """Strings in exactly one of `langs`; None when that is too complex to write down."""
    if sum(prod(len(other) if j == i else prod(map(len, other)) for j, other in enumerate(langs))
           for i in range(len(langs))) > _MAX_CONJUNCTIONS:
        return None
    rest = [complement_strings(lang) for lang in langs]
    out: StrLang = ()
    for i, lang in enumerate(langs):
        for j, other in enumerate(rest):
            if j != i:
                if other is None:
                    return None
                lang = intersect(lang, other)
        out = union(out, lang)
    return out
