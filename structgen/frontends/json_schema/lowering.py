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

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...errors import LimitError, RegexError, SchemaError, StructgenError
from ...grammar.ir import ANY_NUMBER, NumAlt
from ...grammar.numbers import constant, exact_number, intersect_number_langs, normalize, numbers_disjoint
from ...grammar.strings import ANY_STRING, Length, Pattern, StrLang, complement, intersect, literal_lang, union
from .documents import Site, pointer_of, short
from .forms import (ALL_TYPES, ANY, ANY_ARRAYS, ANY_FORM, ANY_OBJECTS, ARR, BOOL, INT, INTEGERS, NO_FORM, NONE, NULL,
                    NUM, OBJ, STR, ArrForm, Form, Layer, ObjForm, join, live_types, meet, type_form)
from .keywords import TABLES, Facts
from .negate import Complement, exactly_one, inexact, negate
from .strlang import check_pattern, disjoint

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["site_form", "values_form", "format_language", "BUSY", "MAX_DEPTH"]

BUSY = object()
#: applicators in place (allOf in anyOf in $ref ...) may nest so deep
MAX_DEPTH = 120
#: subschemas one allOf, anyOf or oneOf may list
MAX_BRANCHES = 20_000
_MISSING = Facts.MISSING


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
        if type(schema) is Complement:
            form, hidden = negate(g, g.form(schema.node), schema.keyword, schema.site)
            form = site.form = _refusing(g, form, hidden, schema.keyword, schema.site)
        else:
            form = site.form = ANY_FORM if schema else NO_FORM
        return form
    if len(schema) == 1 and type(schema.get("type")) is str:
        facts = Facts()
        TABLES[2020]["type"](facts, schema["type"], site)
        form = site.form = type_form(facts.types)
        return form
    draft = site.res.draft
    facts = Facts()
    if draft <= 7 and "$ref" in schema:
        facts.apply = (("$ref", schema["$ref"]),)
    else:
        table = TABLES[draft]
        for keyword, value in schema.items():
            collect = table.get(keyword)
            if collect is not None:
                collect(facts, value, site)
    if not facts.apply and facts.condition is _MISSING:
        form = site.form = _base_form(g, facts, site)
        return form
    if g.depth >= MAX_DEPTH:
        raise LimitError(f"more than {MAX_DEPTH} references and applicators nested in one place "
                         f"(at {short(site.pointer)})", place=site.pointer, limit=MAX_DEPTH)
    site.form = BUSY
    g.depth += 1
    try:
        form = site.form = _applied_form(g, facts, site)
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


# -- the schema's own keywords ----------------------------------------------------------

def _base_form(g: "SchemaGrammar", f: Facts, site: Site) -> Form:
    mask = f.types
    if f.values is not None:
        form = values_form(g, f.values, mask, site)
        if not (f.num or f.text or f.arr or f.obj):
            return form
        f.values = None
        return meet(_base_form(g, f, site), form, g.conj)
    if not (f.num or f.text or f.arr or f.obj):
        return type_form(mask)
    refused: list = []
    number = ()
    if mask & (NUM | INT):
        number = _numbers(f, not mask & NUM, site) if f.num else ANY_NUMBER if mask & NUM else INTEGERS
    string: StrLang = ()
    if mask & STR:
        string = _strings(g, f, site) if f.text else ANY_STRING
    arrays: tuple = ()
    if mask & ARR:
        arrays = _arrays(g, f, site, refused) if f.arr else ANY_ARRAYS
    objects: tuple = ()
    if mask & OBJ:
        objects = _objects(g, f, site, refused) if f.obj else ANY_OBJECTS
    form = Form(mask & NULL != 0, mask & BOOL != 0, mask & BOOL != 0, number, string, arrays, objects,
                tuple(refused))
    return ANY_FORM if mask == ALL_TYPES and form == ANY_FORM else form


def _numbers(f: Facts, integer: bool, site: Site) -> tuple:
    lo, lo_open = f.minimum, f.min_open and f.minimum is not None
    if f.over is not None and (lo is None or f.over >= lo):
        lo, lo_open = f.over, True
    hi, hi_open = f.maximum, f.max_open and f.maximum is not None
    if f.under is not None and (hi is None or f.under <= hi):
        hi, hi_open = f.under, True
    alt = normalize(NumAlt(integer, lo, lo_open, hi, hi_open, f.multiple))
    return () if alt is None else (alt,)


def _strings(g: "SchemaGrammar", f: Facts, site: Site) -> StrLang:
    if f.max_length is not None and f.min_length > f.max_length:
        return ()
    conj: tuple = ()
    if f.pattern is not None:
        try:
            check_pattern(f.pattern)
        except RegexError as err:
            raise SchemaError(f"pattern is not a regular expression: {err.message}", keyword="pattern",
                              pointer=pointer_of(site, "pattern"), hint=err.hint) from err
        if f.pattern not in ("", ".*", "^"):
            conj = ((Pattern("ecma", f.pattern), True),)
    if f.min_length or f.max_length is not None:
        conj += ((Length(f.min_length, f.max_length), True),)
    lang: StrLang = (conj,)
    if f.format is not None:
        found = format_language(f.format, g.options.format)
        if found is not None:
            lang = intersect(lang, found)
    return lang


def format_language(name: str, option: Any):
    """The language a format asserts under the ``format`` option, None if none."""
    if option == "annotate" or isinstance(option, dict) and not option.get(name, True):
        return None
    return _format_lang(name)


@lru_cache(maxsize=1024)
def _format_lang(name: str):
    try:
        from ..formats import format_lang
    except ImportError:
        return None
    return format_lang(name)


def _arrays(g: "SchemaGrammar", f: Facts, site: Site, refused: list) -> tuple:
    draft = site.res.draft
    prefix: tuple = ()
    items = ANY
    tail, tail_name = f.items, "items"
    if f.prefix is not None:
        key = "prefixItems" if draft >= 2020 else "items"
        prefix = tuple([g.child(site, (key, i), sub) for i, sub in enumerate(f.prefix)])
        if draft < 2020:
            tail, tail_name = f.additional_items, "additionalItems"
    if tail is not _MISSING:
        items = g.child(site, (tail_name,), tail)
    elif f.unevaluated_items is not _MISSING:
        if f.apply or f.condition is not _MISSING or draft >= 2020 and f.contains is not _MISSING:
            if f.unevaluated_items is not True and f.unevaluated_items != {}:
                g.refuse(refused, ARR, "unevaluatedItems", site)
        else:
            items = g.child(site, ("unevaluatedItems",), f.unevaluated_items)
    lo, hi = f.min_items, f.max_items
    if f.contains is not _MISSING:
        least = 1 if f.min_contains is None else f.min_contains
        if f.contains is True or f.contains == {}:
            lo = max(lo, least)
            if f.max_contains is not None:
                hi = f.max_contains if hi is None else min(hi, f.max_contains)
        elif f.contains is False:
            if least:
                return ()
        elif least or f.max_contains is not None:
            g.refuse(refused, ARR, "contains", site)
    while prefix and prefix[-1] == items:
        prefix = prefix[:-1]
    if items == NONE:
        hi = len(prefix) if hi is None else min(hi, len(prefix))
    if hi is not None and lo > hi:
        return ()
    if f.unique and (hi is None or hi > 1):
        g.refuse(refused, ARR, "uniqueItems", site)
    if not prefix and items == ANY and lo == 0 and hi is None:
        return ANY_ARRAYS
    return (ArrForm(prefix, items, lo, hi),)


def _objects(g: "SchemaGrammar", f: Facts, site: Site, refused: list) -> tuple:
    additional, explicit = ANY, False
    if f.additional is not _MISSING:
        additional = g.child(site, ("additionalProperties",), f.additional)
        explicit = type(f.additional) is dict
    elif f.unevaluated is not _MISSING and f.unevaluated is not True and f.unevaluated != {}:
        if f.apply or f.condition is not _MISSING:
            g.refuse(refused, OBJ, "unevaluatedProperties", site)
        else:
            additional = g.child(site, ("unevaluatedProperties",), f.unevaluated)
            explicit = type(f.unevaluated) is dict
    layers: tuple = ()
    if f.properties or f.patterns or additional != ANY or explicit:
        props = {}
        if f.properties:
            child = g.child
            for name, sub in f.properties.items():
                props[name] = 0 if sub is True else child(site, ("properties", name), sub)
        patterns: tuple = ()
        if f.patterns:
            for source, sub in f.patterns.items():
                try:
                    check_pattern(source)
                except RegexError as err:
                    raise SchemaError(f"patternProperties holds no regular expression: {err.message}",
                                      keyword="patternProperties",
                                      pointer=pointer_of(site, "patternProperties", source)) from err
                patterns += ((Pattern("ecma", source), g.child(site, ("patternProperties", source), sub)),)
        layers = (Layer(props, patterns, additional, explicit),)
    hi = f.max_props
    names: tuple = ()
    if f.names is not _MISSING:
        node = g.child(site, ("propertyNames",), f.names)
        if node == NONE:
            hi = 0
        elif node != ANY:
            names = (node,)
    if hi is not None and max(f.min_props, len(f.required)) > hi:
        return ()
    if not layers and not f.required and not f.min_props and hi is None and not f.deps and not names:
        return ANY_OBJECTS
    return (ObjForm(layers, f.required, f.min_props, hi, f.deps, names),)


def values_form(g: "SchemaGrammar", values: Any, mask: int, site: Site) -> Form:
    """The form of exactly these JSON values, as far as their types are in `mask`."""
    words = [v for v in values if type(v) is str]
    string = literal_lang([w for w in words if w.isascii() or _encodable(w)]) if words and mask & STR else ()
    if len(words) == len(values):
        return Form(string=string)
    null = true = false = False
    numbers: dict = {}
    arrays: list = []
    objects: list = []
    for v in values:
        t = type(v)
        if t is str:
            continue
        if v is None:
            null = mask & NULL != 0
        elif t is bool:
            if mask & BOOL:
                true, false = true or v, false or not v
        elif isinstance(v, (int, float, Fraction)):
            try:
                x = v if t is int and -1 << 63 <= v < 1 << 63 else exact_number(v)
            except SchemaError:
                raise SchemaError(f"enum holds {v!r}, which is no JSON number", pointer=site.pointer,
                                  keyword="enum") from None
            if mask & NUM:
                numbers[constant(x)] = None
            elif mask & INT and type(x) is int:
                numbers[NumAlt(True, x, False, x, False, None)] = None
        elif isinstance(v, (list, tuple)):
            if mask & ARR:
                arrays.append(ArrForm(tuple([g.const(x, site) for x in v]), NONE, len(v), len(v)))
        elif isinstance(v, dict):
            if mask & OBJ:
                layer = Layer({k: g.const(x, site) for k, x in v.items()}, (), NONE)
                objects.append(ObjForm((layer,), tuple(v)))
        else:
            raise SchemaError(f"enum or const holds {t.__name__}, which is no JSON value", pointer=site.pointer,
                              keyword="enum")
    return Form(null, true, false, tuple(numbers), string, tuple(dict.fromkeys(arrays)), tuple(objects))


def _encodable(word: str) -> bool:
    """Lone surrogates cannot be spelled in valid UTF-8."""
    return not any("\ud800" <= c <= "\udfff" for c in word)


# -- applicators in place ---------------------------------------------------------------

def _branches(g: "SchemaGrammar", site: Site, keyword: str, value: Any) -> list[Form]:
    if len(value) > MAX_BRANCHES:
        raise LimitError(f"{keyword} of more than {MAX_BRANCHES} schemas (at {pointer_of(site, keyword)})",
                         place=pointer_of(site, keyword), limit=MAX_BRANCHES)
    return [_in_place(g, site, (keyword, i), sub) for i, sub in enumerate(value)]


def _in_place(g: "SchemaGrammar", site: Site, path: tuple, schema: Any) -> Form:
    if schema is True:
        return ANY_FORM
    if schema is False:
        return NO_FORM
    if type(schema) is not dict:
        schema = g.checked(site, path, schema)
    return site_form(g, g.docs.site(schema, site, path))


def _applied_form(g: "SchemaGrammar", f: Facts, site: Site) -> Form:
    base = _base_form(g, f, site)
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
                part, open_types = _overlapping(g, branches, live_types(base), site), 0
            else:
                part, open_types = _one_of(g, branches, live_types(base), site)
            if open_types:
                disjoint_parts.append((branches, open_types, len(parts)))
            parts.append(part)
        elif keyword in ("dependentSchemas", "dependencies"):
            for name, sub in value.items():
                part = _dependent(name, _in_place(g, site, (keyword, name), sub))
                if part is not ANY_FORM:
                    parts.append(part)
        elif keyword == "not":
            if value is True or value == {}:
                parts.append(NO_FORM)
            elif type(value) is dict and value.keys() == {"not"}:
                inner = value["not"]
                parts.append(_in_place(g, site, ("not", "not"), inner))
            elif value is not False:
                part, hidden = negate(g, _in_place(g, site, ("not",), value), "not", site)
                parts.append(_refusing(g, part, hidden, "not", site))
        else:
            _refuse_part(g, parts, keyword, site)
    if f.condition is not _MISSING:
        _condition(g, f, site, parts)
    form = parts[0]
    for part in parts[1:]:
        form = meet(form, part, g.conj, g.dead)
    for branches, types, at in disjoint_parts:
        if live_types(form) & types:
            g.to_prove.append((site, branches, types, parts[:at] + parts[at + 1:]))
    return form


def _refuse_part(g: "SchemaGrammar", parts: list, keyword: str, site: Site) -> None:
    refused: list = []
    g.refuse(refused, ALL_TYPES, keyword, site)
    if refused:
        parts.append(ANY_FORM._replace(refused=tuple(refused)))


def _condition(g: "SchemaGrammar", f: Facts, site: Site, parts: list) -> None:
    then = True if f.then is _MISSING or f.then == {} else f.then
    otherwise = True if f.otherwise is _MISSING or f.otherwise == {} else f.otherwise
    if then is True and otherwise is True:
        return
    if f.condition is True or f.condition == {}:
        parts.append(_in_place(g, site, ("then",), then))
    elif f.condition is False:
        parts.append(_in_place(g, site, ("else",), otherwise))
    else:
        condition = _in_place(g, site, ("if",), f.condition)
        rest, hidden = negate(g, condition, "if", site)
        rest = _refusing(g, rest, hidden, "if", site)
        parts.append(join([meet(condition, _in_place(g, site, ("then",), then), g.conj, g.dead),
                           meet(rest, _in_place(g, site, ("else",), otherwise), g.conj, g.dead)]))


def _refusing(g: "SchemaGrammar", form: Form, types: int, keyword: str, site: Site) -> Form:
    """`form`, refused for `types`."""
    types &= live_types(form)
    if not types:
        return form
    refused = list(form.refused)
    g.refuse(refused, types, keyword, site)
    return form._replace(refused=tuple(refused))


def _overlapping(g: "SchemaGrammar", branches: list[Form], mask: int, site: Site) -> Form:
    """Exactly one of branches that may overlap."""
    live = [b for b in branches if live_types(b) & mask]
    try:
        form, hidden = exactly_one(g, live, mask, site)
    except LimitError:
        form, hidden = join(live), live_types(join(live)) & mask
    return _refusing(g, form, hidden, "oneOf", site)


def _dependent(name: str, form: Form) -> Form:
    """``name`` present implies `form`: absent, or present and `form`."""
    refused = tuple((types & OBJ, keyword, site) for types, keyword, site in form.refused if types & OBJ)
    if form.objects == ANY_OBJECTS and not refused:
        return ANY_FORM
    if not refused and len(form.objects) == 1:
        only = form.objects[0]
        if only == ObjForm(required=only.required):
            return ANY_FORM._replace(objects=(ObjForm(deps=((name, only.required),)),))
    absent = ObjForm(layers=(Layer({name: NONE}),))
    present = tuple(o._replace(required=tuple(dict.fromkeys((name,) + o.required))) for o in form.objects)
    return ANY_FORM._replace(objects=(absent,) + present, refused=refused)


def _one_of(g: "SchemaGrammar", branches: list[Form], mask: int, site: Site) -> tuple[Form, int]:
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
    types = 0
    if mask & ARR and sum(1 for b in live if b.arrays) > 1:
        types |= ARR
    if mask & OBJ and sum(1 for b in live if b.objects) > 1:
        types |= OBJ
    form = part._replace(null=sum(b.null for b in live) == 1, true=sum(b.true for b in live) == 1,
                         false=sum(b.false for b in live) == 1, number=number, string=string,
                         refused=tuple(refused))
    if types:   # join absorbs what one branch covers; keep every alternative for the proof's sake
        form = form._replace(arrays=tuple(dict.fromkeys(x for b in live for x in b.arrays)),
                             objects=tuple(dict.fromkeys(x for b in live for x in b.objects)))
    return form, types


def _strings_disjoint(langs: list[StrLang]) -> bool:
    if ANY_STRING in langs:
        return False
    return all(disjoint(x, y) for i, x in enumerate(langs) for y in langs[i + 1:])


def _exactly_one(langs: list[StrLang]):
    """Strings in exactly one of `langs`; None when that is too complex to write down."""
    if (sum(len(lang) for lang in langs) > 6 or sum(len(conj) for lang in langs for conj in lang) > 8
            or any(map(inexact, langs))):
        return None
    out: StrLang = ()
    for i, lang in enumerate(langs):
        for j, other in enumerate(langs):
            if j != i:
                lang = intersect(lang, complement(other))
        out = union(out, lang)
    return out
