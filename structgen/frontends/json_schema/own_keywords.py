"""The keywords of one schema that speak for themselves, as a form.

Facts are split by type here: numbers, strings, arrays, objects, and the values
of ``enum`` and ``const``.  Applicators in place are the next module's matter.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...errors import RegexError, SchemaError
from ...grammar.ir import ANY_NUMBER, NumAlt
from ...grammar.numbers import constant, exact_number, normalize
from ...grammar.strings import ANY_STRING, Length, Pattern, StrLang, intersect, literal_lang
from .documents import Site, pointer_of
from .forms import (ALL_TYPES, ANY, ANY_ARRAYS, ANY_FORM, ANY_OBJECTS, ARR, BOOL, INT, INTEGERS, NONE, NULL, NUM, OBJ,
                    STR, ArrForm, Contains, Form, Layer, ObjForm, counted, meet, type_form)
from .keywords import Facts
from .strlang import check_pattern

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["base_form", "values_form", "format_language", "BUSY", "MAX_DEPTH"]

#: the form of a site that is being read
BUSY = object()
#: applicators in place (allOf in anyOf in $ref ...), and constants, may nest so deep
MAX_DEPTH = 120
_MISSING = Facts.MISSING
#: up to this minContains an item may count or not; beyond it the complement tells
_FREE_COUNTS = 3


def base_form(g: "SchemaGrammar", f: Facts, site: Site) -> Form:
    """The form of all keywords but the applicators in place."""
    mask = f.types
    if f.values is not None:
        form = values_form(g, f.values, mask, site)
        if not (f.num or f.text or f.arr or f.obj):
            return form
        f.values = None
        return meet(base_form(g, f, site), form, g.conj)
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
            g.formats_in_part = g.formats_in_part or read_in_part(f.format)
    return lang


def format_language(name: str, option: Any):
    """The language a format asserts under the ``format`` option, None if none."""
    if option == "annotate" or isinstance(option, dict) and not option.get(name, True):
        return None
    return _format_lang(name)


@lru_cache(maxsize=1024)
def read_in_part(name: str) -> bool:
    """Whether the language of a format is a subset of what it means."""
    from ..formats import FORMAT_NOTES
    return name in FORMAT_NOTES


@lru_cache(maxsize=1024)
def _format_lang(name: str):
    from ..formats import format_lang
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
    elif f.unevaluated_items is not _MISSING:      # alone, or .evaluated would be asked
        items = g.child(site, ("unevaluatedItems",), f.unevaluated_items)
    lo, hi = f.min_items, f.max_items
    counts: tuple = ()
    if f.contains is not _MISSING:
        least, most = 1, None
        if draft >= 2019:
            least, most = 1 if f.min_contains is None else f.min_contains, f.max_contains
        if least or most is not None:
            counts = (counter(g, g.child(site, ("contains",), f.contains), least, most, site),)
    while prefix and prefix[-1] == items:
        prefix = prefix[:-1]
    if items == NONE:
        hi = len(prefix) if hi is None else min(hi, len(prefix))
    if hi is not None and lo > hi:
        return ()
    unique = f.unique and (hi is None or hi > 1)
    if unique:
        g.unique_items = True
    if not prefix and items == ANY and lo == 0 and hi is None and not counts and not unique:
        return ANY_ARRAYS
    form = counted(ArrForm(prefix, items, lo, hi, counts, unique))
    return () if form is None else (form,)


def counter(g: "SchemaGrammar", node: int, lo: int, hi: Any, site: Site, start: int = 0) -> Contains:
    """The counter of a ``contains``: with a complement where that is needed, or saves many alternatives."""
    other = g.complement(node, "contains", site) if hi is not None or lo > _FREE_COUNTS else ANY
    return Contains(node, lo, hi, start, other)


def _objects(g: "SchemaGrammar", f: Facts, site: Site, refused: list) -> tuple:
    additional, explicit = ANY, False
    if f.additional is not _MISSING:
        additional = g.child(site, ("additionalProperties",), f.additional)
        explicit = type(f.additional) is dict
    elif f.unevaluated is not _MISSING and f.unevaluated is not True and f.unevaluated != {}:
        # alone, or .evaluated would be asked
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
