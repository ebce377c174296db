"""JSON values as the validator wants them: exact numbers, and what a text can hide.

Numbers with a point or an exponent are decimals that print as they were
written.  Arithmetic on them never expands a power of ten, so that
``1e999999999`` costs nothing.
"""

from __future__ import annotations

import math
from decimal import Decimal, DecimalException
from typing import Any, Iterator, Mapping, Union

from .violation import Violation

__all__ = ["Number", "Object", "NotJson", "read_number", "read_pairs", "read_constant", "exact", "text_faults",
           "half_surrogate", "escape", "is_integral", "is_multiple"]


class Number(Decimal):
    """A decimal that prints as it was written."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> "Number":
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __repr__(self) -> str:
        return self.text


class Object(dict):
    """A JSON object that remembers keys it was given more than once."""

    __slots__ = ("repeated",)


class NotJson(Exception):
    """A text that is not JSON."""


def read_number(text: str) -> Union[int, Number]:
    try:
        if text.lstrip("-").isdigit() and len(text) < 4000:
            return int(text)
        value = Number(text)
    except (DecimalException, ValueError):
        value = None
    if value is None or not value.is_finite():
        raise NotJson(f"the number {text[:40]} is out of range")
    return value


def read_pairs(items: list) -> dict:
    out = dict(items)
    if len(out) == len(items):
        return out
    out = Object(out)
    seen: set[str] = set()
    out.repeated = [key for key, _ in items if key in seen or seen.add(key)]
    return out


def read_constant(name: str) -> Any:
    raise NotJson(f"{name} is not a JSON value")


def exact(value: Any, pointer: str = "") -> Any:
    """`value` as the validator wants it: floats as decimals, tuples as lists."""
    if value is None or isinstance(value, (bool, str, Number)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (float, Decimal)):
        if not math.isfinite(value):
            raise NotJson(f"{value!r} is not a JSON value")
        return Number(repr(value) if isinstance(value, float) else str(value))
    if isinstance(value, Mapping):
        out = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotJson(f"an object key is a string, not {type(key).__name__}")
            out[key] = exact(item)
        return out
    if isinstance(value, (list, tuple)):
        return [exact(item) for item in value]
    raise NotJson(f"a value of type {type(value).__name__} is not a JSON value")


def text_faults(value: Any, pointer: str = "") -> Iterator[Violation]:
    """Repeated keys and strings that are not Unicode, anywhere in `value`."""
    stack = [(value, pointer)]
    while stack:
        value, pointer = stack.pop()
        if isinstance(value, str):
            if half_surrogate(value):
                yield Violation("the string holds half a surrogate pair", pointer)
        elif isinstance(value, dict):
            for key in getattr(value, "repeated", ()):
                yield Violation(f"the key {key!r} is repeated", pointer)
            for key, item in value.items():
                if half_surrogate(key):
                    yield Violation("a key holds half a surrogate pair", pointer)
                stack.append((item, f"{pointer}/{escape(key)}"))
        elif isinstance(value, list):
            stack.extend((item, f"{pointer}/{i}") for i, item in enumerate(value))


def half_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


def escape(part: Any) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def is_integral(value: Any) -> bool:
    if not isinstance(value, Decimal):
        return isinstance(value, int)
    _, digits, exponent = value.as_tuple()
    return exponent >= 0 or not any(digits[exponent:])


def is_multiple(value: Any, divisor: Any) -> bool:
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
