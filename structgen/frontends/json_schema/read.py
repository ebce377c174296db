"""Reading a schema document from text: JSON with the places of its mistakes.

``json.loads`` is too kind for schemas (it takes NaN and Infinity, and drops
all but the last of equal keys in silence) and too harsh (deep nesting is a
``RecursionError``).  :func:`parse_schema` refuses the former with line and
column, reports repeated keys through `notes`, and turns the latter into a
:class:`~structgen.errors.LimitError`.  Numbers beyond the range of a float
keep their exact value.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Optional, Union

from ...errors import LimitError, SchemaError
from ...grammar.numbers import exact_number

__all__ = ["parse_schema", "load_schema", "read_schema"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity', re.S)


def _place(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    return f"line {line}, column {offset - text.rfind(chr(10), 0, offset)}"


def _float(text: str) -> Any:
    value = float(text)
    return value if abs(value) != float("inf") else exact_number(text)


def parse_schema(text: Union[str, bytes], notes: Optional[list[str]] = None) -> Union[dict, bool]:
    """The schema written in `text`.

    Parameters
    ----------
    text : str or bytes
        A JSON document: an object, ``true`` or ``false``.
    notes : list of str, optional
        Receives a line for each repeated key (the last one counts).

    Raises
    ------
    SchemaError
        Malformed JSON, NaN or Infinity, or a document that is no schema; the
        message names line and column.
    LimitError
        Nesting too deep to be read.

    Examples
    --------
    >>> parse_schema('{"type": "integer", "minimum": 1}')
    {'type': 'integer', 'minimum': 1}
    """
    if isinstance(text, (bytes, bytearray)):
        try:
            text = bytes(text).decode(json.detect_encoding(bytes(text)))
        except UnicodeDecodeError as err:
            raise SchemaError(f"the schema is not valid {err.encoding}: byte {err.start}") from None
    if text.startswith("\ufeff"):
        text = text[1:]

    def constant(name: str) -> Any:
        for match in _TOKEN.finditer(text):
            if match.group() == name:
                raise SchemaError(f"{name} is not a JSON number ({_place(text, match.start())})")
        raise SchemaError(f"{name} is not a JSON number")

    def pairs(items: list) -> dict:
        out = dict(items)
        if len(out) != len(items):
            seen: set[str] = set()
            for key, _ in items:
                if key in seen:
                    notes.append(f"the key {key!r} is repeated in one object; the last one counts")
                seen.add(key)
        return out

    try:
        value = json.loads(text, parse_constant=constant, parse_float=_float,
                           object_pairs_hook=None if notes is None else pairs)
    except json.JSONDecodeError as err:
        raise SchemaError(f"malformed JSON: {err.msg} (line {err.lineno}, column {err.colno})") from None
    except RecursionError:
        raise LimitError("the schema is nested too deeply to be read", place="nesting of the schema text") from None
    except ValueError as err:   # an integer longer than Python converts
        raise LimitError(f"a number in the schema is too long: {err}", place="digits of a number") from None
    if not isinstance(value, (dict, bool)):
        raise SchemaError(f"a schema is an object or a boolean, not {type(value).__name__}")
    return value


def load_schema(path: Union[str, Path], notes: Optional[list[str]] = None) -> Union[dict, bool]:
    """The schema in the file at `path` (see :func:`parse_schema`)."""
    try:
        data = Path(path).read_bytes()
    except OSError as err:
        raise SchemaError(f"cannot read the schema file {str(path)!r}: {err.strerror or err}") from None
    except ValueError as err:   # a NUL in the name
        raise SchemaError(f"{str(path)!r:.100} is neither JSON text nor a path: {err}") from None
    return parse_schema(data, notes)


def read_schema(source: Any, notes: Optional[list[str]] = None) -> Union[dict, bool]:
    """A schema from whatever names one: a dict or bool, JSON text, or a path.

    A string is JSON text when it starts like an object or is ``true`` or
    ``false``; any other string is a path.

    Examples
    --------
    >>> read_schema(' {"type": "null"}'), read_schema("true"), read_schema(False)
    ({'type': 'null'}, True, False)
    """
    if isinstance(source, (dict, bool)):
        return source
    if isinstance(source, (bytes, bytearray)):
        return parse_schema(source, notes)
    if isinstance(source, str):
        head = source.lstrip("\ufeff \t\r\n")
        if head[:1] in ("{", "[", '"', "") or head.rstrip() in ("true", "false", "null"):
            return parse_schema(source, notes)
        return load_schema(source, notes)
    if isinstance(source, Path):
        return load_schema(source, notes)
    raise SchemaError(f"a schema is a dict, a bool, JSON text or a path, not {type(source).__name__}")
