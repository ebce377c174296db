"""Checking values against a schema, with every error placed on both sides.

This is the `jsonschema` library with the readings that the rest of structgen
has: numbers are exact decimals (``0.3`` is a multiple of ``0.1``), patterns are
ECMA-262, formats are asserted, an object with a repeated key or a string with
half a surrogate pair is no valid text, and nothing is fetched from the network.
It shares no code with the engine that writes masks, apart from the patterns
when the `regress` package is not there, so it can serve as a second opinion on
what the engine lets through.

A :class:`Validator` costs a check of the schema against its metaschema (some
milliseconds) once; a check of a value is linear in the value for ordinary
schemas.  Nesting too deep for Python's stack is a ``LimitError``.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from functools import lru_cache
from typing import Any, Callable, Iterator, Mapping, Optional, Union

from .errors import LimitError, RegexError, SchemaError, StructgenError

__all__ = ["Violation", "Validator", "validate"]


@dataclass(frozen=True)
class Violation:
    """One way in which a value breaks a schema.

    Parameters
    ----------
    message : str
        What is wrong.
    instance_pointer : str
        JSON Pointer of the value at fault; ``""`` is the whole instance.
    schema_pointer : str
        Pointer of the keyword that is broken, as a URI fragment (``"#/..."``).
    keyword : str
        That keyword; ``""`` for a text that is no JSON, ``"false"`` for a
        schema that allows nothing.
    line, column : int, optional
        Where a text stops being JSON, counted from 1.
    causes : tuple of Violation
        For ``anyOf``, ``oneOf`` and the like: why each branch failed.
    """

    message: str
    instance_pointer: str = ""
    schema_pointer: str = "#"
    keyword: str = ""
    line: Optional[int] = None
    column: Optional[int] = None
    causes: tuple["Violation", ...] = ()

    @property
    def path(self) -> str:
        """The place in the instance as people write it: ``$.users[0]``."""
        out = "$"
        for part in self.instance_pointer.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if part.isdigit():
                out += f"[{part}]"
            else:
                out += f".{part}" if part.isidentifier() else f"[{json.dumps(part)}]"
        return out

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        out: dict[str, Any] = {"message": self.message, "pointer": self.instance_pointer, "path": self.path,
                               "schema_pointer": self.schema_pointer, "keyword": self.keyword}
        if self.line is not None:
            out |= {"line": self.line, "column": self.column}
        if self.causes:
            out["causes"] = [cause.as_dict() for cause in self.causes]
        return out

    def __str__(self) -> str:
        return f"{self.instance_pointer or '(root)'}: {self.message} ({self.schema_pointer})"


# -- values ---------------------------------------------------------------------------


class _Number(Decimal):
    """A decimal that prints as it was written."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> "_Number":
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __repr__(self) -> str:
        return self.text


class _Object(dict):
    """A JSON object that remembers keys it was given more than once."""

    __slots__ = ("repeated",)


class _BadText(Exception):
    """A text that is not JSON."""


def _number(text: str) -> Union[int, _Number]:
    try:
        if text.lstrip("-").isdigit() and len(text) < 4000:
            return int(text)
        value = _Number(text)
    except (DecimalException, ValueError):
        value = None
    if value is None or not value.is_finite():
        raise _BadText(f"the number {text[:40]} is out of range")
    return value


def _pairs(items: list) -> dict:
    out = dict(items)
    if len(out) == len(items):
        return out
    out = _Object(out)
    seen: set[str] = set()
    out.repeated = [key for key, _ in items if key in seen or seen.add(key)]
    return out


def _constant(name: str) -> Any:
    raise _BadText(f"{name} is not a JSON value")


def _exact(value: Any, pointer: str = "") -> Any:
    """`value` as the validator wants it: floats as decimals, tuples as lists."""
    if value is None or isinstance(value, (bool, str, _Number)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (float, Decimal)):
        if not math.isfinite(value):
            raise _BadText(f"{value!r} is not a JSON value")
        return _Number(repr(value) if isinstance(value, float) else str(value))
    if isinstance(value, Mapping):
        out = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise _BadText(f"an object key is a string, not {type(key).__name__}")
            out[key] = _exact(item)
        return out
    if isinstance(value, (list, tuple)):
        return [_exact(item) for item in value]
    raise _BadText(f"a value of type {type(value).__name__} is not a JSON value")


def _text_faults(value: Any, pointer: str = "") -> Iterator[Violation]:
    """Repeated keys and strings that are not Unicode, anywhere in `value`."""
    stack = [(value, pointer)]
    while stack:
        value, pointer = stack.pop()
        if isinstance(value, str):
            if _half_surrogate(value):
                yield Violation("the string holds half a surrogate pair", pointer)
        elif isinstance(value, dict):
            for key in getattr(value, "repeated", ()):
                yield Violation(f"the key {key!r} is repeated", pointer)
            for key, item in value.items():
                if _half_surrogate(key):
                    yield Violation("a key holds half a surrogate pair", pointer)
                stack.append((item, f"{pointer}/{_escape(key)}"))
        elif isinstance(value, list):
            stack.extend((item, f"{pointer}/{i}") for i, item in enumerate(value))


def _half_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


def _escape(part: Any) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _is_integral(value: Any) -> bool:
    if not isinstance(value, Decimal):
        return isinstance(value, int)
    _, digits, exponent = value.as_tuple()
    return exponent >= 0 or not any(digits[exponent:])


def _is_multiple(value: Any, divisor: Any) -> bool:
    """Whether `value` is an integer times `divisor`, exactly and without huge powers."""
    def parts(number: Any) -> tuple[int, int]:
        if isinstance(number, int):
            return abs(number), 0
        _, digits, exponent = number.as_tuple()
        return int("".join(map(str, digits[:4300]))), exponent

    (a, i), (b, j) = parts(value), parts(divisor)
    if a == 0 or b == 0:
        return a == 0
    if i >= j:
        return a * pow(10, i - j, b) % b == 0
    # a must hold the factor 10^(j-i), so must have more digits than that
    return j - i < len(str(a)) + 1 and a % (b * 10 ** (j - i)) == 0


# -- patterns -------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _search(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a string has a match of the ECMA-262 `pattern`."""
    try:
        import regress
    except ImportError:
        return _own_search(pattern)
    found = None
    for flags in ("u", None):       # the reading JSON Schema asks for, then the lenient one
        try:
            found = regress.Regex(pattern, flags).find
            break
        except regress.RegressError as err:
            reason = str(err)
    if found is None:
        raise RegexError(f"cannot read the pattern {pattern!r}: {reason}", pattern=pattern)
    return lambda text: not _half_surrogate(text) and found(text) is not None


def _own_search(pattern: str) -> Callable[[str], bool]:
    """The same from structgen's own automata."""
    nfa = _automaton("ecma", pattern)
    return lambda text: not _half_surrogate(text) and nfa.matches(text)


@lru_cache(maxsize=1024)
def _automaton(kind: str, source: str) -> Any:
    from .automata.nfa import atom_nfa
    from .grammar.strings import Pattern

    return atom_nfa(Pattern(kind, source))


@lru_cache(maxsize=None)
def _format_check(name: str) -> Callable[[Any], bool]:
    """A function that says whether a value satisfies the format `name` (other types than strings do)."""
    if name == "regex":
        return lambda value: not isinstance(value, str) or _is_regex(value)

    from .frontends.formats import format_lang
    from .grammar.strings import Length

    def in_language(text: str) -> bool:
        return any(all((atom.lo <= len(text) and (atom.hi is None or len(text) <= atom.hi) if isinstance(atom, Length)
                        else _automaton(atom.kind, atom.source).matches(text)) is positive for atom, positive in conj)
                   for conj in format_lang(name))

    def check(value: Any) -> bool:
        if not isinstance(value, str):
            return True
        if _half_surrogate(value):
            return False
        return in_language(value) or "xn--" in value.lower() and _has_a_labels(name, value)

    return check


def _has_a_labels(name: str, value: str) -> bool:
    """Whether a host name is one by IDNA 2008 though it has A-labels, which are beyond the automata."""
    if name not in ("hostname", "idn-hostname") or name == "hostname" and not value.isascii():
        return False
    import idna

    try:
        labels = value.split(".") if name == "hostname" else re.split("[.\u3002\uff0e\uff61]", value)
        idna.encode(".".join(labels))
        return all(labels) and len(value) <= 253
    except idna.IDNAError:
        return False


def _is_regex(text: str) -> bool:
    """Whether `text` is an ECMA-262 pattern, strictly read."""
    try:
        import regress
    except ImportError:
        from .frontends.regex import parse_ecma

        try:
            parse_ecma(text)
            return True
        except (RegexError, LimitError):
            return False
    try:
        regress.Regex(text, "u")
        return True
    except (regress.RegressError, UnicodeError):
        return False


# -- keywords whose reading differs from the library's --------------------------------


def _multiple_of(validator, divisor, instance, schema):
    from jsonschema.exceptions import ValidationError

    if validator.is_type(instance, "number") and not _is_multiple(instance, divisor):
        yield ValidationError(f"{instance!r} is not a multiple of {divisor!r}")


def _pattern(validator, pattern, instance, schema):
    from jsonschema.exceptions import ValidationError

    if validator.is_type(instance, "string") and not _search(pattern)(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator, patterns, instance, schema):
    if validator.is_type(instance, "object"):
        for pattern, subschema in patterns.items():
            for key, value in instance.items():
                if _search(pattern)(key):
                    yield from validator.descend(value, subschema, path=key, schema_path=pattern)


def _additional_properties(validator, extra, instance, schema):
    from jsonschema.exceptions import ValidationError

    if not validator.is_type(instance, "object"):
        return
    declared, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, value in instance.items():
        if key in declared or any(_search(pattern)(key) for pattern in patterns):
            continue
        if extra is False:
            yield ValidationError(f"the key {key!r} is not allowed")
        else:
            yield from validator.descend(value, extra, path=key)


@lru_cache(maxsize=None)
def _validator_class(draft: int, assert_formats: bool, overrides: tuple[tuple[str, bool], ...]) -> Any:
    """The library's validator class of a draft with our readings in it."""
    from attrs import fields
    from jsonschema import validators
    from jsonschema.exceptions import ValidationError

    base = getattr(validators, {4: "Draft4Validator", 6: "Draft6Validator", 7: "Draft7Validator",
                                2019: "Draft201909Validator", 2020: "Draft202012Validator"}[draft])
    numbers = base.TYPE_CHECKER.redefine_many({
        "number": lambda _, value: isinstance(value, (int, Decimal)) and not isinstance(value, bool),
        "integer": lambda _, value: not isinstance(value, bool) and (
            isinstance(value, int) or draft >= 6 and isinstance(value, Decimal) and _is_integral(value)),
    })
    cls = validators.extend(base, {
        "multipleOf": _multiple_of, "pattern": _pattern, "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties}, type_checker=numbers)

    def evolve(self, **changes):
        # The library picks a class by $schema, which would be one without our readings.
        schema = changes.setdefault("schema", self.schema)
        target = _validator_class(_draft(schema, draft), assert_formats, overrides)
        for field in fields(target):
            if field.init and field.alias not in changes:
                changes[field.alias] = getattr(self, field.name)
        return target(**changes)

    library_descend = cls.descend

    def descend(self, instance, schema, path=None, schema_path=None, resolver=None):
        # The library loses the place of what a false schema forbids.
        if schema is not False:
            yield from library_descend(self, instance, schema, path, schema_path, resolver)
            return
        error = ValidationError("nothing is allowed here", validator="false", validator_value=False,
                                instance=instance, schema=schema)
        if path is not None:
            error.path.appendleft(path)
        if schema_path is not None:
            error.schema_path.appendleft(schema_path)
        yield error

    cls.evolve, cls.descend = evolve, descend
    return cls


def _draft(schema: Any, default: int) -> int:
    from .frontends.json_schema.documents import draft_of

    return draft_of(schema, default)


@lru_cache(maxsize=None)
def _format_checker(default: bool, overrides: tuple[tuple[str, bool], ...]) -> Any:
    """The formats that are asserted."""
    from jsonschema import FormatChecker

    from .frontends.formats import FORMATS

    chosen = dict(overrides)
    checker = FormatChecker(formats=())
    checker.checkers = {name: (_format_check(name), ()) for name in FORMATS if chosen.get(name, default)}
    return checker


# -- the schema -----------------------------------------------------------------------

#: keywords whose value is data, not schemas
_DATA = frozenset({"enum", "const", "default", "examples"})


class Validator:
    """A schema ready to check values.

    Parameters
    ----------
    schema : dict, bool, JSON text, path, Python type or ``sg.JsonSchema``
        The schema; drafts 4 to 2020-12, by ``$schema``, 2020-12 by default.
    registry : mapping, optional
        Schemas that ``$ref`` may name, by URI.
    format : {"assert", "annotate"} or dict
        Whether ``format`` is checked; a dict switches single names.

    Raises
    ------
    SchemaError
        A schema that breaks its metaschema or refers to a schema that is not there.

    Examples
    --------
    >>> v = Validator({"items": {"multipleOf": 0.1}})
    >>> [str(e) for e in v.check([0.3, 0.25])]
    ['/1: 0.25 is not a multiple of 0.1 (#/items/multipleOf)']
    """

    def __init__(self, schema: Any, *, registry: Optional[Mapping[str, Any]] = None,
                 format: Union[str, Mapping[str, bool]] = "assert"):
        from .constraints import JsonSchema

        if isinstance(format, str):
            if format not in ("assert", "annotate"):
                raise StructgenError(f"format is 'assert', 'annotate' or a dict, not {format!r}")
            default, overrides = format == "assert", ()
        else:
            default, overrides = True, tuple(sorted(format.items()))
        if isinstance(schema, JsonSchema):
            schema, registry = schema.schema, schema.registry if registry is None else registry
        try:
            self.schema = _exact(_read(schema))
        except _BadText as err:
            raise SchemaError(str(err)) from None
        except RecursionError:
            raise _too_deep("schema") from None
        self.draft = _draft(self.schema, 2020)
        cls = _validator_class(self.draft, default, overrides)
        checker = _format_checker(default, overrides)
        self._pointers: dict[int, str] = {}
        try:
            self._index()
            self._check_schema(cls)
            self._validator = cls(self.schema, format_checker=checker, registry=self._registry(registry))
        except RecursionError:
            raise _too_deep("schema") from None

    def _registry(self, registry: Optional[Mapping[str, Any]]) -> Any:
        from jsonschema_specifications import REGISTRY
        from referencing import Resource
        from referencing.jsonschema import DRAFT4, DRAFT6, DRAFT7, DRAFT201909, DRAFT202012

        default = {4: DRAFT4, 6: DRAFT6, 7: DRAFT7, 2019: DRAFT201909, 2020: DRAFT202012}[self.draft]
        return REGISTRY.with_resources(
            (uri, Resource.from_contents(_exact(contents), default_specification=DRAFT6 if isinstance(contents, bool)
                                         else default))
            for uri, contents in (registry or {}).items())

    def _index(self) -> None:
        """Note where each subschema stands, and refuse patterns that cannot be read."""
        stack: list[tuple[Any, str]] = [(self.schema, "#")]
        while stack:
            part, pointer = stack.pop()
            if isinstance(part, list):
                stack.extend((item, f"{pointer}/{i}") for i, item in enumerate(part))
            elif isinstance(part, dict):
                self._pointers[id(part)] = pointer
                for key, item in part.items():
                    if key == "pattern" and isinstance(item, str):
                        self._read_pattern(item, f"{pointer}/pattern")
                    elif key == "patternProperties" and isinstance(item, dict) and not pointer.endswith("/properties"):
                        for pattern in item:
                            self._read_pattern(pattern, f"{pointer}/patternProperties/{_escape(pattern)}")
                    if key not in _DATA or isinstance(item, dict) and pointer.endswith("/properties"):
                        stack.append((item, f"{pointer}/{_escape(key)}"))

    @staticmethod
    def _read_pattern(pattern: str, pointer: str) -> None:
        try:
            _search(pattern)
        except RegexError as err:
            raise SchemaError(err.message, pointer=pointer, keyword="pattern") from None

    def _check_schema(self, cls: Any) -> None:
        for error in cls(cls.META_SCHEMA).iter_errors(self.schema):
            if error.validator == "uniqueItems":      # a harmless breach: required: ["a", "a"]
                continue
            pointer = "#" + "".join("/" + _escape(part) for part in error.absolute_path)
            raise SchemaError(f"invalid schema: {error.message}", pointer=pointer,
                              keyword=str(error.absolute_path[-1]) if error.absolute_path else None)

    def check(self, instance: Any) -> list[Violation]:
        """Every violation of the schema by a Python value (dict, list, str, int, float, Decimal, bool, None)."""
        try:
            value = _exact(instance)
        except _BadText as err:
            return [Violation(str(err))]
        except RecursionError:
            raise _too_deep("instance") from None
        return self._check(value)

    def check_text(self, text: Union[str, bytes]) -> list[Violation]:
        """Every violation by a JSON text; one that is not JSON has a line and a column.

        Examples
        --------
        >>> [v] = Validator({}).check_text('{"a": 1,\\n "b" 2}')
        >>> v.message, v.line, v.column
        ("malformed JSON: Expecting ':' delimiter", 2, 6)
        """
        if isinstance(text, bytes):
            try:
                text = text.decode("utf-8")
            except UnicodeDecodeError as err:
                before = text[:err.start]
                return [Violation(f"not UTF-8: byte {err.start}", line=before.count(b"\n") + 1,
                                  column=err.start - before.rfind(b"\n"))]
        try:
            value = json.loads(text, parse_float=_number, parse_int=_number, parse_constant=_constant,
                               object_pairs_hook=_pairs)
        except json.JSONDecodeError as err:
            return [Violation(f"malformed JSON: {err.msg}", line=err.lineno, column=err.colno)]
        except _BadText as err:
            return [Violation(str(err))]
        except RecursionError:
            raise _too_deep("instance") from None
        return self._check(value)

    def _check(self, value: Any) -> list[Violation]:
        from jsonschema.exceptions import UnknownType, _WrappedReferencingError

        out = list(_text_faults(value))
        try:
            out += [self._violation(error) for error in self._validator.iter_errors(value)]
        except _WrappedReferencingError as err:
            ref = getattr(err, "ref", None) or str(err)
            local = ref.startswith(("#", "/"))
            raise SchemaError(f"$ref: {ref!r} cannot be resolved", pointer=self._ref_pointer(ref), keyword="$ref",
                              hint=None if local else "nothing is fetched from the network; pass the schemas of other "
                              "documents as registry={uri: schema}") from None
        except UnknownType as err:
            raise SchemaError(f"type: {err.type!r} is not a JSON type", keyword="type") from None
        except BaseException as err:
            # the registry's persistent maps turn a RecursionError inside them into a panic
            if isinstance(err, RecursionError) or type(err).__name__ == "PanicException":
                raise _too_deep("instance, or of a $ref that leads to itself,") from None
            raise
        return out

    def _ref_pointer(self, ref: str) -> str:
        """Where the schema refers to `ref`."""
        stack: list[tuple[Any, str]] = [(self.schema, "#")]
        while stack:
            part, pointer = stack.pop()
            if isinstance(part, dict):
                found = part.get("$ref")
                if isinstance(found, str) and found in (ref, "#" + ref):
                    return pointer + "/$ref"
                stack.extend((item, f"{pointer}/{_escape(key)}") for key, item in part.items())
            elif isinstance(part, list):
                stack.extend((item, f"{pointer}/{i}") for i, item in enumerate(part))
        return ""

    def _violation(self, error: Any) -> Violation:
        pointer = "".join("/" + _escape(part) for part in error.absolute_path)
        keyword = error.validator if isinstance(error.validator, str) else "false"
        base = self._pointers.get(id(error.schema))
        if base is not None and keyword != "false":
            place = f"{base}/{_escape(keyword)}"
        else:       # a false schema, or one of another document: the way the check took
            place = "#" + "".join("/" + _escape(part) for part in error.absolute_schema_path)
        message = "nothing is allowed here" if keyword == "false" else error.message
        return Violation(message, pointer, place, keyword,
                         causes=tuple(self._violation(cause) for cause in error.context or ()))


def _too_deep(what: str) -> LimitError:
    return LimitError(f"nesting of the {what} is too deep to be checked", place=f"nesting of the {what}")


def _read(schema: Any) -> Any:
    """The schema as a dict or bool, whatever names it."""
    from .frontends.json_schema import read_schema
    from .frontends.python_types import builder_schema, is_python_type, type_schema

    if is_python_type(schema):
        return type_schema(schema)[0]
    built = builder_schema(schema)
    return read_schema(schema) if built is None else built


def validate(schema: Any, instance: Any, *, registry: Optional[Mapping[str, Any]] = None,
             format: Union[str, Mapping[str, bool]] = "assert") -> list[Violation]:
    """Every violation of `schema` by the value `instance`; an empty list means valid.

    See :class:`Validator`, which is cheaper for many values of one schema and
    also takes JSON text.

    Examples
    --------
    >>> schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}}
    >>> validate(schema, {"age": 3})
    []
    >>> [e] = validate(schema, {"age": -1})
    >>> e.message, e.instance_pointer, e.path, e.schema_pointer
    ('-1 is less than the minimum of 0', '/age', '$.age', '#/properties/age/minimum')
    """
    return Validator(schema, registry=registry, format=format).check(instance)
