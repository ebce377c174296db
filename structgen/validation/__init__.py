"""Checking values against a schema, with every error placed on both sides.

This is the `jsonschema` library with the readings that the rest of structgen
has: numbers are exact decimals (``0.3`` is a multiple of ``0.1``), patterns are
ECMA-262, formats are asserted, an object with a repeated key or a string with
half a surrogate pair is no valid text, and nothing is fetched from the network.
It shares no code with the engine that writes masks but the languages of the
formats (and of patterns, when the `regress` package is not there), so it can
serve as a second opinion on what the engine lets through.

A :class:`Validator` costs a check of the schema against its metaschema (some
milliseconds) once; a check of a value is linear in the value for ordinary
schemas.  Nesting too deep for Python's stack is a ``LimitError``.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional, Union

from ..errors import LimitError, RegexError, SchemaError, StructgenError
from .keywords import validator_class
from .texts import format_checker, pattern_search
from .values import NotJson, escape, exact, read_constant, read_number, read_pairs, text_faults
from .violation import Violation

__all__ = ["Violation", "Validator", "validate"]

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
        from ..constraints import JsonSchema
        from ..frontends.json_schema.documents import Documents

        if isinstance(format, str):
            if format not in ("assert", "annotate"):
                raise StructgenError(f"format is 'assert', 'annotate' or a dict, not {format!r}")
            default, overrides = format == "assert", ()
        else:
            default, overrides = True, tuple(sorted(format.items()))
        if isinstance(schema, JsonSchema):
            schema, registry = schema.schema, schema.registry if registry is None else registry
        try:
            self.schema = exact(_read(schema))
        except NotJson as err:
            raise SchemaError(str(err)) from None
        except RecursionError:
            raise _too_deep("schema") from None
        dialect = Documents({}, registry).dialect_of(self.schema, 2020)
        self.draft: int = dialect if isinstance(dialect, int) else dialect[0]
        cls = validator_class(dialect)
        checker = format_checker(default, overrides)
        self._pointers: dict[int, str] = {}
        try:
            self._index()
            self._check_schema(validator_class(self.draft))
            self._validator = cls(self.schema, format_checker=checker, registry=self._registry(registry))
        except RecursionError:
            raise _too_deep("schema") from None

    def _registry(self, registry: Optional[Mapping[str, Any]]) -> Any:
        from jsonschema_specifications import REGISTRY
        from referencing import Resource
        from referencing.jsonschema import DRAFT4, DRAFT6, DRAFT7, DRAFT201909, DRAFT202012

        default = {4: DRAFT4, 6: DRAFT6, 7: DRAFT7, 2019: DRAFT201909, 2020: DRAFT202012}[self.draft]
        return REGISTRY.with_resources(
            (uri, Resource.from_contents(exact(contents), default_specification=DRAFT6 if isinstance(contents, bool)
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
                            self._read_pattern(pattern, f"{pointer}/patternProperties/{escape(pattern)}")
                    if key not in _DATA or isinstance(item, dict) and pointer.endswith("/properties"):
                        stack.append((item, f"{pointer}/{escape(key)}"))

    @staticmethod
    def _read_pattern(pattern: str, pointer: str) -> None:
        try:
            pattern_search(pattern)
        except RegexError as err:
            raise SchemaError(err.message, pointer=pointer, keyword="pattern") from None

    def _check_schema(self, cls: Any) -> None:
        for error in cls(cls.META_SCHEMA).iter_errors(self.schema):
            if error.validator == "uniqueItems":      # a harmless breach: required: ["a", "a"]
                continue
            pointer = "#" + "".join("/" + escape(part) for part in error.absolute_path)
            raise SchemaError(f"invalid schema: {error.message}", pointer=pointer,
                              keyword=str(error.absolute_path[-1]) if error.absolute_path else None)

    def check(self, instance: Any) -> list[Violation]:
        """Every violation of the schema by a Python value (dict, list, str, int, float, Decimal, bool, None)."""
        try:
            value = exact(instance)
        except NotJson as err:
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
            value = json.loads(text, parse_float=read_number, parse_int=read_number, parse_constant=read_constant,
                               object_pairs_hook=read_pairs)
        except json.JSONDecodeError as err:
            return [Violation(f"malformed JSON: {err.msg}", line=err.lineno, column=err.colno)]
        except NotJson as err:
            return [Violation(str(err))]
        except RecursionError:
            raise _too_deep("instance") from None
        return self._check(value)

    def _check(self, value: Any) -> list[Violation]:
        from jsonschema.exceptions import UnknownType, _WrappedReferencingError

        out = list(text_faults(value))
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
                stack.extend((item, f"{pointer}/{escape(key)}") for key, item in part.items())
            elif isinstance(part, list):
                stack.extend((item, f"{pointer}/{i}") for i, item in enumerate(part))
        return ""

    def _violation(self, error: Any) -> Violation:
        pointer = "".join("/" + escape(part) for part in error.absolute_path)
        keyword = error.validator if isinstance(error.validator, str) else "false"
        base = self._pointers.get(id(error.schema))
        if base is not None and keyword != "false":
            place = f"{base}/{escape(keyword)}"
        else:       # a false schema, or one of another document: the way the check took
            place = "#" + "".join("/" + escape(part) for part in error.absolute_schema_path)
        message = "nothing is allowed here" if keyword == "false" else error.message
        return Violation(message, pointer, place, keyword,
                         causes=tuple(self._violation(cause) for cause in error.context or ()))


def _too_deep(what: str) -> LimitError:
    return LimitError(f"nesting of the {what} is too deep to be checked", place=f"nesting of the {what}")


def _read(schema: Any) -> Any:
    """The schema as a dict or bool, whatever names it."""
    from ..frontends.json_schema import read_schema
    from ..frontends.python_types import builder_schema, is_python_type, type_schema

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
