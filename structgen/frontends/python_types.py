"""Python types as schemas: what counts as one, its JSON Schema, its converter.

Pydantic does the reflection.  It is imported on first use only, so that
``import structgen`` stays light; what structgen changes about the schemas that
pydantic writes is in :mod:`structgen.frontends.pydantic_schema`.
"""

from __future__ import annotations

import json
import sys
import threading
import typing
from functools import lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Optional

from ..errors import SchemaError, UnsupportedSchema
from ..grammar.ir import CoverageEntry

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["is_python_type", "type_schema", "type_notes", "builder_schema"]


_writing = threading.Lock()       # the writer collects its notes on the class


def _is_adapter(x: object) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(x, getattr(pydantic, "TypeAdapter", ()))


def is_python_type(x: object) -> bool:
    """Whether `x` is a type or a type expression (or a pydantic ``TypeAdapter``).

    ``None`` alone is not: it is what "no schema" looks like; ``type(None)`` is.

    Examples
    --------
    >>> is_python_type(int), is_python_type(list[int] | None), is_python_type(typing.Literal["a"])
    (True, True, True)
    >>> is_python_type({"type": "integer"}), is_python_type("int"), is_python_type(None)
    (False, False, False)
    """
    return (isinstance(x, (type, UnionType)) or typing.get_origin(x) is not None or x is Any
            or hasattr(x, "__supertype__") or type(x).__name__ == "TypeAliasType" or _is_adapter(x))


def builder_schema(x: object) -> Optional[dict]:
    """The schema of a schema builder (GenSON and alike: ``to_schema`` or ``to_json``), else None.

    Examples
    --------
    >>> class Builder:
    ...     def to_schema(self):
    ...         return {"type": "integer"}
    >>> builder_schema(Builder())
    {'type': 'integer'}
    """
    if isinstance(x, type):
        return None
    if callable(getattr(x, "to_schema", None)):
        schema = x.to_schema()
    elif callable(getattr(x, "to_json", None)):
        schema = json.loads(x.to_json())
    else:
        return None
    if not isinstance(schema, (dict, bool)):
        raise SchemaError(f"{type(x).__name__} gives {type(schema).__name__}, not a JSON Schema")
    return schema


def type_schema(tp: Any) -> tuple[dict, "TypeAdapter"]:
    """The JSON Schema of a Python type, and the adapter that reads its values.

    The schema describes inputs (aliases, validation mode) and is meant to be
    compiled with ``extra="closed"``.  It is narrower than what pydantic writes
    where that is wider than what pydantic accepts (tagged unions need their
    tag, URLs a host, dict keys spell their type, no leap seconds), and it is
    free of ``uniqueItems`` for sets that have at most one required item.

    Parameters
    ----------
    tp
        A pydantic model, dataclass, TypedDict, NamedTuple, Enum, any type
        expression, or a ``TypeAdapter``.

    Raises
    ------
    UnsupportedSchema
        When no schema can say what the type accepts.
    SchemaError
        When the type cannot be reflected, with the reason.

    Examples
    --------
    >>> schema, adapter = type_schema(set[int])
    >>> schema
    {'items': {'type': 'integer'}, 'type': 'array'}
    >>> adapter.validate_json("[3, 1, 3]") == {1, 3}
    True
    """
    schema, adapter, _ = _reflect(tp)
    return json.loads(schema), adapter


def type_notes(tp: Any) -> tuple[CoverageEntry, ...]:
    """What only the finished value is checked for: validators and bounds no schema can say."""
    return _reflect(tp)[2]


def _reflect(tp: Any) -> tuple[str, "TypeAdapter", tuple[CoverageEntry, ...]]:
    try:
        hash(tp)
    except TypeError:       # Annotated with unhashable metadata
        return _reflect_now(tp)
    return _reflect_once(tp)


def _reflect_now(tp: Any) -> tuple[str, "TypeAdapter", tuple[CoverageEntry, ...]]:
    import pydantic
    from pydantic.errors import (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError,
                                 PydanticUndefinedAnnotation, PydanticUserError)

    from .pydantic_schema import SchemaWriter

    name = getattr(tp, "__name__", None) or str(tp)
    try:
        adapter = tp if isinstance(tp, pydantic.TypeAdapter) else pydantic.TypeAdapter(tp)
        with _writing:
            SchemaWriter.notes = []
            schema = adapter.json_schema(mode="validation", by_alias=True, schema_generator=SchemaWriter)
            notes = tuple(dict.fromkeys(SchemaWriter.notes))
    except PydanticInvalidForJsonSchema as error:
        raise UnsupportedSchema(f"the type {name} has no JSON form: {_first_line(error)}") from error
    except PydanticUndefinedAnnotation as error:
        raise SchemaError(f"the type {name} refers to a name that is not defined: {error.name}",
                          hint="define the type at module level, or call model_rebuild() once it is") from error
    except PydanticSchemaGenerationError as error:
        raise UnsupportedSchema(f"the type {name} cannot be made into a schema: {_first_line(error)}") from error
    except PydanticUserError as error:
        hint = None
        if error.code == "typed-dict-version":
            hint = ("before Python 3.12 a TypedDict lacks what is needed to read it; "
                    "import TypedDict from typing_extensions instead of typing")
        raise SchemaError(f"the type {name} cannot be read: {_first_line(error)}", hint=hint) from error
    except RecursionError as error:
        raise SchemaError(f"the type {name} is nested too deeply to be read") from error
    return json.dumps(schema), adapter, notes


_reflect_once = lru_cache(maxsize=512)(_reflect_now)


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].rstrip(".")
