"""Random schemas full of ``not``, ``oneOf`` and ``if``, over few names and values so that branches overlap."""

from __future__ import annotations

import random
from typing import Any

from .random_schemas import random_value

__all__ = ["boolean_schema", "small_value"]

NAMES = ["a", "b", "ab", "c"]
PATTERNS = ["^a", "b$", "^[ab]$", "c|^$", "^(a|bb)$", "^[^a]*$"]
_SCALARS: list[Any] = [{"const": 1}, {"enum": [1, 2, "a"]}, {"type": "integer"}, {"type": "string"}, {"minimum": 2},
                       {"multipleOf": 2}, {"multipleOf": 3, "minimum": 0}, {"maxLength": 1},
                       {"pattern": "^a"}, {"type": "null"},
                       {"type": ["boolean", "integer"]}, {"enum": [None, True]}, {"type": "number", "maximum": 2.5}]


def _scalar(rng: random.Random) -> Any:
    return rng.choice(_SCALARS)


def _child(rng: random.Random, depth: int, refs: bool) -> Any:
    roll = rng.random()
    if roll < 0.06:
        return False
    if roll < 0.12:
        return True
    if refs and roll < 0.25:
        return {"$ref": "#/$defs/t"}
    return boolean_schema(rng, depth - 1, refs) if depth > 0 and roll < 0.6 else _scalar(rng)


def _object(rng: random.Random, depth: int, refs: bool) -> dict:
    s: dict[str, Any] = {"type": "object"} if rng.random() < 0.7 else {}
    names = rng.sample(NAMES, rng.randint(0, 3))
    if names:
        s["properties"] = {n: _child(rng, depth, refs) for n in names}
    if rng.random() < 0.5:
        s["required"] = rng.sample(NAMES, rng.randint(1, 2))
    if rng.random() < 0.3:
        s["additionalProperties"] = _child(rng, 0, refs)
    if rng.random() < 0.25:
        s["patternProperties"] = {rng.choice(PATTERNS): _child(rng, 0, refs) for _ in range(rng.randint(1, 2))}
    if rng.random() < 0.12:
        s["propertyNames"] = rng.choice([{"pattern": rng.choice(PATTERNS)}, {"minLength": 2},
                                         {"enum": ["a", "b", "c"]}])
    if rng.random() < 0.15:
        s["minProperties"] = rng.randint(1, 2)
    if rng.random() < 0.2:
        s["maxProperties"] = rng.randint(1, 3)
    if rng.random() < 0.12:
        s["dependentRequired"] = {rng.choice(NAMES): [rng.choice(NAMES)]}
    if rng.random() < 0.08:
        s["dependentSchemas"] = {rng.choice(NAMES): {"not": {"required": [rng.choice(NAMES)]}}}
    return s


def _array(rng: random.Random, depth: int, refs: bool) -> dict:
    s: dict[str, Any] = {"type": "array", "maxItems": rng.randint(0, 3)}
    if rng.random() < 0.5:
        s["items"] = _child(rng, depth, refs)
    if rng.random() < 0.3:
        s["prefixItems"] = [_child(rng, depth, refs)]
    if rng.random() < 0.3:
        s["minItems"] = rng.randint(1, 2)
    return s


def boolean_schema(rng: random.Random, depth: int = 3, refs: bool = False) -> Any:
    """A schema; at the top perhaps with a recursive definition."""
    if depth == 3 and rng.random() < 0.2:
        root = boolean_schema(rng, 2, True)
        if isinstance(root, dict):
            return {**root, "$defs": {"t": {"anyOf": [_scalar(rng), _object(rng, 1, True)]}}}
    if depth <= 0:
        return _scalar(rng)
    kind = rng.choice(["object"] * 4 + ["not"] * 3 + ["oneOf", "allOf"] * 2 + ["array", "scalar", "if", "anyOf"])
    if kind == "object":
        return _object(rng, depth, refs)
    if kind == "array":
        return _array(rng, depth, refs)
    if kind == "scalar":
        return _scalar(rng)
    def part() -> Any:
        return _object(rng, depth - 1, refs) if rng.random() < 0.5 else boolean_schema(rng, depth - 1, refs)
    if kind == "not":
        s = {"not": part()}
        return {**_object(rng, depth - 1, refs), **s} if rng.random() < 0.5 else s
    if kind == "if":
        s = {"if": part(), "then": part()}
        return {**s, "else": part()} if rng.random() < 0.6 else s
    return {kind: [part() for _ in range(rng.randint(2, 3))]}


def small_value(rng: random.Random, depth: int = 2) -> Any:
    """A value near what such schemas tell apart."""
    if depth and rng.random() < 0.6:
        keys = rng.sample(NAMES + ["bb", "z"], rng.randint(0, 3))
        return {k: small_value(rng, depth - 1) for k in keys}
    return rng.choice([1, 2, 3, 6, 2.5, "a", "ab", "b", None, True, random_value(rng, 1)])
