"""``structgen validate``: instances against a schema."""

from __future__ import annotations

from typing import Iterator, Optional

from ..validation import Validator, Violation
from .common import INVALID, OK, InputError, UsageError, exit_code, fail, out, out_json, paint, plural, settings
from .inputs import read_bytes, schema_source

__all__ = ["run"]


def run(schema: str, instances: list[str], lines: bool, format: Optional[str], no_format: list[str]) -> None:
    """Check each instance; leaves with 1 if one is invalid, 4 if one cannot be read."""
    if [schema, *instances].count("-") > 1:
        raise UsageError("standard input can be read only once",
                         hint="name the instance's file, or the schema's")
    if format and no_format:
        raise UsageError("--format and --no-format exclude each other")
    formats = {name: False for name in no_format} if no_format else format or "assert"
    validator = Validator(schema_source(schema), format=formats)
    code, checked, invalid = OK, 0, 0
    for name in instances:
        try:
            data = read_bytes(name, "instance")
        except InputError as err:
            code = exit_code(err)
            if settings.json:
                out_json({"instance": name, "status": "unreadable", "errors": [], "message": err.message})
            else:
                out(f"{name}: {err.message}")
            continue
        label = "<stdin>" if name == "-" else name
        for place, text in _values(label, data, lines):
            errors = validator.check_text(text)
            checked += 1
            invalid += bool(errors)
            _print(place, errors)
    if lines and not settings.json:
        out(f"{plural(checked, 'value')}, {invalid} invalid")
    if code or invalid:
        fail(code or INVALID)


def _values(label: str, data: bytes, lines: bool) -> Iterator[tuple[str, bytes]]:
    """The texts in a file: itself, or its lines that are not blank."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not lines:
        yield label, data
        return
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield f"{label}:{number}", line


def _print(place: str, errors: list[Violation]) -> None:
    if settings.json:
        out_json({"instance": place, "status": "invalid" if errors else "valid",
                  "errors": [error.as_dict() for error in errors]})
        return
    if not errors:
        out(f"{place}: {paint('valid', 'green')}")
        return
    out(f"{place}: {paint('invalid', 'red')}, {plural(len(errors), 'error')}")
    for error in errors:
        _print_error(error, 1)


def _print_error(error: Violation, depth: int) -> None:
    indent = "  " * depth
    if error.line is not None:
        out(f"{indent}line {error.line}, column {error.column}: {error.message}")
        return
    out(f"{indent}{error.instance_pointer or '(root)'}: {error.message}  [{error.schema_pointer}]")
    for cause in error.causes:
        _print_error(cause, depth + 1)
