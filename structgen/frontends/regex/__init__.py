"""Regular expressions: two parsers (ECMA-262, Python) into one syntax tree."""

from __future__ import annotations

from .ecma import parse_ecma

__all__ = ["parse_ecma", "parse_python"]


def parse_python(pattern: str, flags: int = 0):
    """Parse `pattern` as :mod:`re` does; see :mod:`.python` (imported on first use)."""
    from .python import parse_python as parse

    return parse(pattern, flags)
