"""The keyword table: every keyword, its vocabulary, its drafts, what it does.

:data:`KEYWORDS` is the single source: the lowering dispatches on it, coverage
and the documentation are read off it.  A keyword's `collect` function checks
the shape of its value and notes it in the :class:`Facts` of the schema; the
lowering turns facts into a form afterwards, type by type, so that a keyword
about a type the schema excludes has no effect (and is not refused).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Callable, NamedTuple, Optional

from ...errors import SchemaError
from ...grammar.numbers import exact_number
from .documents import Site, pointer_of
from .forms import ALL_TYPES, ARR, BOOL, INT, NULL, NUM, OBJ, STR

__all__ = ["Facts", "Keyword", "KEYWORDS", "TABLES", "TYPE_NAMES", "ANNOTATIONS"]

TYPE_NAMES = {"null": NULL, "boolean": BOOL, "number": NUM, "integer": INT, "string": STR, "array": ARR,
              "object": OBJ}
_MISSING = object()


class Facts:
    """What the keywords of one schema say, before types are split.

    Class attributes are the values of absent keywords.
    """

    types = ALL_TYPES
    #: some keyword about this type is present
    num = text = arr = obj = False
    #: the values of enum or const, None if neither is present
    values: Optional[list] = None
    minimum: Any = None
    maximum: Any = None
    min_open: Any = False
    max_open: Any = False
    over: Any = None
    under: Any = None
    multiple: Any = None
    min_length = 0
    max_length: Optional[int] = None
    pattern: Optional[str] = None
    format: Optional[str] = None
    items: Any = _MISSING
    prefix: Any = None
    additional_items: Any = _MISSING
    unevaluated_items: Any = _MISSING
    min_items = 0
    max_items: Optional[int] = None
    contains: Any = _MISSING
    min_contains: Optional[int] = None
    max_contains: Optional[int] = None
    unique = False
    properties: Optional[dict] = None
    patterns: Optional[dict] = None
    additional: Any = _MISSING
    unevaluated: Any = _MISSING
    names: Any = _MISSING
    required: tuple = ()
    min_props = 0
    max_props: Optional[int] = None
    deps: tuple = ()
    #: in-place applicators in document order, as (keyword, value)
    apply: tuple = ()
    condition: Any = _MISSING
    then: Any = _MISSING
    otherwise: Any = _MISSING

    MISSING = _MISSING


def _bad(site: Site, keyword: str, what: str, value: Any, hint: Optional[str] = None) -> SchemaError:
    text = repr(value)
    return SchemaError(f"{keyword} must be {what}, not {text if len(text) <= 60 else text[:57] + '...'}",
                       pointer=pointer_of(site, keyword), keyword=keyword, hint=hint)


def _count(site: Site, keyword: str, value: Any) -> int:
    if type(value) is not int:
        if isinstance(value, (float, Fraction)) and value == value and abs(value) != float("inf") \
                and value == int(value):
            value = int(value)
        else:
            raise _bad(site, keyword, "a non-negative integer", value)
    if value < 0:
        raise _bad(site, keyword, "a non-negative integer", value)
    return value


def _number(site: Site, keyword: str, value: Any) -> Any:
    if type(value) is int and -1 << 63 <= value < 1 << 63:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction)):
        raise _bad(site, keyword, "a number", value)
    try:
        return exact_number(value)
    except SchemaError:
        raise _bad(site, keyword, "a finite number", value) from None


def _schema(site: Site, keyword: str, value: Any) -> Any:
    if not isinstance(value, (dict, bool)):
        raise _bad(site, keyword, "a schema", value)
    return value


def _schema_list(site: Site, keyword: str, value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or not value:
        raise _bad(site, keyword, "a non-empty list of schemas", value)
    return value


def _map(site: Site, keyword: str, value: Any) -> dict:
    if not isinstance(value, dict):
        raise _bad(site, keyword, "an object", value)
    _check_names(site, keyword, value)
    return value


def _check_names(site: Site, keyword: str, value: dict) -> None:
    try:
        "".join(value)          # a fast way to ask whether all names are strings
    except TypeError:
        raise _bad(site, keyword, "an object whose names are strings", list(value)) from None


def _names(site: Site, keyword: str, value: Any) -> tuple:
    if not isinstance(value, (list, tuple)) or not all(type(name) is str for name in value):
        raise _bad(site, keyword, "a list of property names", value,
                   hint="a boolean `required` is draft 3; list the names in the object's schema"
                   if keyword == "required" and isinstance(value, bool) else None)
    return tuple(value) if len(value) < 2 or len(set(value)) == len(value) else tuple(dict.fromkeys(value))


# -- validation: any type ---------------------------------------------------------------

def _type(f: Facts, v: Any, site: Site) -> None:
    if type(v) is str:
        mask = TYPE_NAMES.get(v)
        if mask is None:
            raise _bad(site, "type", "a JSON type name", v, hint="one of " + ", ".join(TYPE_NAMES))
    elif isinstance(v, (list, tuple)) and v:
        mask = 0
        for name in v:
            bit = TYPE_NAMES.get(name) if type(name) is str else None
            if bit is None:
                raise _bad(site, "type", "a list of JSON type names", v, hint="of " + ", ".join(TYPE_NAMES))
            mask |= bit
    else:
        raise _bad(site, "type", "a JSON type name or a list of them", v)
    f.types = mask


def _enum(f: Facts, v: Any, site: Site) -> None:
    if not isinstance(v, (list, tuple)):
        raise _bad(site, "enum", "a list of values", v)
    # `const` beside `enum`: both must hold
    f.values = v if f.values is None else [x for x in f.values if any(equal(x, y) for y in v)]


def _const(f: Facts, v: Any, site: Site) -> None:
    f.values = [v] if f.values is None else [v] if any(equal(v, y) for y in f.values) else []


def equal(a: Any, b: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float, Fraction)) and isinstance(b, (int, float, Fraction)):
        return exact_number(a) == exact_number(b)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(v, b[k]) for k, v in a.items())
    return type(a) is type(b) and a == b


# -- validation: numbers ----------------------------------------------------------------

def _minimum(f: Facts, v: Any, site: Site) -> None:
    f.minimum = _number(site, "minimum", v)
    f.num = True


def _maximum(f: Facts, v: Any, site: Site) -> None:
    f.maximum = _number(site, "maximum", v)
    f.num = True


def _exclusive(attribute: str, keyword: str) -> Callable:
    def collect(f: Facts, v: Any, site: Site) -> None:
        if isinstance(v, bool):
            raise _bad(site, keyword, "a number", v, hint="the boolean form is draft 4: declare $schema as draft-04")
        setattr(f, attribute, _number(site, keyword, v))
        f.num = True
    return collect


def _exclusive4(attribute: str, keyword: str) -> Callable:
    def collect(f: Facts, v: Any, site: Site) -> None:
        if not isinstance(v, bool):
            raise _bad(site, keyword, "a boolean (draft 4)", v)
        setattr(f, attribute, v)
        f.num = True
    return collect


def _multiple_of(f: Facts, v: Any, site: Site) -> None:
    f.multiple = _number(site, "multipleOf", v)
    if f.multiple <= 0:
        raise _bad(site, "multipleOf", "greater than 0", v)
    f.num = True


# -- validation: strings ----------------------------------------------------------------

def _min_length(f: Facts, v: Any, site: Site) -> None:
    f.min_length = _count(site, "minLength", v)
    f.text = True


def _max_length(f: Facts, v: Any, site: Site) -> None:
    f.max_length = _count(site, "maxLength", v)
    f.text = True


def _pattern(f: Facts, v: Any, site: Site) -> None:
    if type(v) is not str:
        raise _bad(site, "pattern", "a regular expression", v)
    f.pattern = v
    f.text = True


def _format(f: Facts, v: Any, site: Site) -> None:
    if type(v) is not str:
        raise _bad(site, "format", "a string", v)
    f.format = v
    f.text = True


# -- arrays -----------------------------------------------------------------------------

def _min_items(f: Facts, v: Any, site: Site) -> None:
    f.min_items = _count(site, "minItems", v)
    f.arr = True


def _max_items(f: Facts, v: Any, site: Site) -> None:
    f.max_items = _count(site, "maxItems", v)
    f.arr = True


def _items(f: Facts, v: Any, site: Site) -> None:
    f.items = _schema(site, "items", v)
    f.arr = True


def _items_or_list(f: Facts, v: Any, site: Site) -> None:
    if isinstance(v, (list, tuple)):
        f.prefix = v
    else:
        f.items = _schema(site, "items", v)
    f.arr = True


def _prefix_items(f: Facts, v: Any, site: Site) -> None:
    if not isinstance(v, (list, tuple)):
        raise _bad(site, "prefixItems", "a list of schemas", v)
    f.prefix = v
    f.arr = True


def _additional_items(f: Facts, v: Any, site: Site) -> None:
    f.additional_items = _schema(site, "additionalItems", v)
    f.arr = True


def _unevaluated_items(f: Facts, v: Any, site: Site) -> None:
    f.unevaluated_items = _schema(site, "unevaluatedItems", v)
    f.arr = True


def _contains(f: Facts, v: Any, site: Site) -> None:
    f.contains = _schema(site, "contains", v)
    f.arr = True


def _min_contains(f: Facts, v: Any, site: Site) -> None:
    f.min_contains = _count(site, "minContains", v)


def _max_contains(f: Facts, v: Any, site: Site) -> None:
    f.max_contains = _count(site, "maxContains", v)


def _unique_items(f: Facts, v: Any, site: Site) -> None:
    if not isinstance(v, bool):
        raise _bad(site, "uniqueItems", "a boolean", v)
    if v:
        f.unique = f.arr = True


# -- objects ----------------------------------------------------------------------------

def _properties(f: Facts, v: Any, site: Site) -> None:
    f.properties = _map(site, "properties", v)
    f.obj = True


def _pattern_properties(f: Facts, v: Any, site: Site) -> None:
    f.patterns = _map(site, "patternProperties", v)
    f.obj = True


def _additional_properties(f: Facts, v: Any, site: Site) -> None:
    f.additional = _schema(site, "additionalProperties", v)
    f.obj = True


def _unevaluated_properties(f: Facts, v: Any, site: Site) -> None:
    f.unevaluated = _schema(site, "unevaluatedProperties", v)
    f.obj = True


def _property_names(f: Facts, v: Any, site: Site) -> None:
    f.names = _schema(site, "propertyNames", v)
    f.obj = True


def _required(f: Facts, v: Any, site: Site) -> None:
    f.required = _names(site, "required", v)
    f.obj = True


def _min_properties(f: Facts, v: Any, site: Site) -> None:
    f.min_props = _count(site, "minProperties", v)
    f.obj = True


def _max_properties(f: Facts, v: Any, site: Site) -> None:
    f.max_props = _count(site, "maxProperties", v)
    f.obj = True


def _dependent_required(f: Facts, v: Any, site: Site) -> None:
    for name, needs in _map(site, "dependentRequired", v).items():
        f.deps += ((name, _names(site, "dependentRequired", needs)),)
    f.obj = True


def _dependent_schemas(f: Facts, v: Any, site: Site) -> None:
    f.apply += (("dependentSchemas", _map(site, "dependentSchemas", v)),)


def _dependencies(f: Facts, v: Any, site: Site) -> None:
    schemas = {}
    for name, needs in _map(site, "dependencies", v).items():
        if isinstance(needs, (list, tuple)):
            f.deps += ((name, _names(site, "dependencies", needs)),)
            f.obj = True
        else:
            schemas[name] = _schema(site, "dependencies", needs)
    if schemas:
        f.apply += (("dependencies", schemas),)


# -- applicators in place ---------------------------------------------------------------

def _in_place(keyword: str, check: Callable) -> Callable:
    def collect(f: Facts, v: Any, site: Site) -> None:
        f.apply += ((keyword, check(site, keyword, v)),)
    return collect


def _ref(f: Facts, v: Any, site: Site) -> None:
    f.apply += (("$ref", v),)


def _if(f: Facts, v: Any, site: Site) -> None:
    f.condition = _schema(site, "if", v)


def _then(f: Facts, v: Any, site: Site) -> None:
    f.then = _schema(site, "then", v)


def _else(f: Facts, v: Any, site: Site) -> None:
    f.otherwise = _schema(site, "else", v)


class Keyword(NamedTuple):
    """One row of the table.

    `types` are the JSON types the keyword bears on, `since`/`until` the first
    and last draft that has it, `support` is ``"full"`` or says what is refused.
    """

    name: str
    vocabulary: str
    collect: Callable[[Facts, Any, Site], None]
    types: int = ALL_TYPES
    since: int = 4
    until: int = 2020
    support: str = "full"


_K = Keyword
KEYWORDS: tuple[Keyword, ...] = (
    _K("$ref", "core", _ref),
    _K("$dynamicRef", "core", _in_place("$dynamicRef", lambda s, k, v: v), since=2020),
    _K("$recursiveRef", "core", _in_place("$recursiveRef", lambda s, k, v: v), since=2019, until=2019),
    _K("allOf", "applicator", _in_place("allOf", _schema_list)),
    _K("anyOf", "applicator", _in_place("anyOf", _schema_list)),
    _K("oneOf", "applicator", _in_place("oneOf", _schema_list),
       support="refused where branches overlap on what has no complement (see `not`)"),
    _K("not", "applicator", _in_place("not", _schema),
       support="refused for the complement of `uniqueItems` and of the format `regex`"),
    _K("if", "applicator", _if, since=7, support="refused where the condition has no complement (see `not`)"),
    _K("then", "applicator", _then, since=7),
    _K("else", "applicator", _else, since=7),
    _K("dependentSchemas", "applicator", _dependent_schemas, OBJ, since=2019),
    _K("dependencies", "applicator", _dependencies, OBJ),
    _K("properties", "applicator", _properties, OBJ),
    _K("patternProperties", "applicator", _pattern_properties, OBJ),
    _K("additionalProperties", "applicator", _additional_properties, OBJ),
    _K("propertyNames", "applicator", _property_names, OBJ, since=6),
    _K("items", "applicator", _items, ARR, since=2020),
    _K("items", "applicator", _items_or_list, ARR, until=2019),
    _K("prefixItems", "applicator", _prefix_items, ARR, since=2020),
    _K("additionalItems", "applicator", _additional_items, ARR, until=2019),
    _K("contains", "applicator", _contains, ARR, since=6),
    _K("unevaluatedProperties", "unevaluated", _unevaluated_properties, OBJ, since=2019),
    _K("unevaluatedItems", "unevaluated", _unevaluated_items, ARR, since=2019),
    _K("type", "validation", _type),
    _K("enum", "validation", _enum),
    _K("const", "validation", _const, since=6),
    _K("minimum", "validation", _minimum, NUM),
    _K("maximum", "validation", _maximum, NUM),
    _K("exclusiveMinimum", "validation", _exclusive("over", "exclusiveMinimum"), NUM, since=6),
    _K("exclusiveMaximum", "validation", _exclusive("under", "exclusiveMaximum"), NUM, since=6),
    _K("exclusiveMinimum", "validation", _exclusive4("min_open", "exclusiveMinimum"), NUM, until=4),
    _K("exclusiveMaximum", "validation", _exclusive4("max_open", "exclusiveMaximum"), NUM, until=4),
    _K("multipleOf", "validation", _multiple_of, NUM),
    _K("minLength", "validation", _min_length, STR),
    _K("maxLength", "validation", _max_length, STR),
    _K("pattern", "validation", _pattern, STR),
    _K("minItems", "validation", _min_items, ARR),
    _K("maxItems", "validation", _max_items, ARR),
    _K("uniqueItems", "validation", _unique_items, ARR),
    _K("minContains", "validation", _min_contains, ARR, since=2019),
    _K("maxContains", "validation", _max_contains, ARR, since=2019),
    _K("minProperties", "validation", _min_properties, OBJ),
    _K("maxProperties", "validation", _max_properties, OBJ),
    _K("required", "validation", _required, OBJ),
    _K("dependentRequired", "validation", _dependent_required, OBJ, since=2019),
    _K("format", "format", _format, STR),
)

#: keywords that say nothing about validity
ANNOTATIONS = frozenset((
    "$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary", "$comment", "$defs",
    "definitions", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly",
    "contentEncoding", "contentMediaType", "contentSchema"))


class _Tables(dict):
    """For each dialect, keyword -> collect; those of metaschemas with vocabularies are made when met."""

    def __missing__(self, dialect: Any) -> dict[str, Callable]:
        draft, vocabularies = dialect
        self[dialect] = table = {k.name: k.collect for k in KEYWORDS
                                 if k.since <= draft <= k.until and k.vocabulary in vocabularies}
        return table


TABLES: dict[Any, dict[str, Callable]] = _Tables({
    draft: {k.name: k.collect for k in KEYWORDS if k.since <= draft <= k.until}
    for draft in (4, 6, 7, 2019, 2020)})
