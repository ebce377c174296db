"""Random small schemas and random small values, from a seed.

Schemas stay inside what structgen enforces and use few letters, names and
numbers, so that constraints meet often.  A schema may well be unsatisfiable:
callers skip what the front end refuses as such.
"""

from __future__ import annotations

import random
from typing import Any

__all__ = ["random_schema", "random_value", "TABLE"]

NAMES = ["a", "b", "ab", "c", "aé"]
STRINGS = ["", "a", "b", "ab", "aa", "ba", "abb", "é", "aé", "c", "\n", "\"", "x\\", "😀"]
PATTERNS = ["^a", "b$", "^(a|bb)$", "a.b|^c", "^[^a]*$", "^a{2,3}$", "(?!ab)a", "^(a|b+)$", "é", "^$"]
NUMBERS = [0, 1, -1, 2, 3, 10, 12, 0.5, 1.5, -2.5, 1.0, 100]

#: Schemas that once went wrong, or whose kind the generator seldom makes.
TABLE: list[Any] = [
    True, {}, {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "array"}, {"type": "object"},
    {"enum": [1, 10, 100, 1.5, "1", None, True, [1, {"a": 1}], {"a": [], "b": 1}]},
    {"const": {"b": 1, "a": [1, 2]}}, {"enum": ["a", "ab", "abc", "b", "\"", "\\", "é", ""]},
    {"type": "string", "minLength": 2, "maxLength": 3}, {"type": "string", "maxLength": 0},
    {"type": "string", "pattern": "^a", "maxLength": 2}, {"type": "string", "pattern": "^(a|b)*abb$", "minLength": 4},
    {"type": "string", "format": "date"}, {"type": "string", "format": "ipv4"}, {"format": "uuid", "type": "string"},
    {"type": "integer", "minimum": -3, "maximum": 12}, {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    {"type": "integer", "multipleOf": 7}, {"type": "number", "multipleOf": 0.5, "minimum": 1},
    {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "items": False},
    {"type": "array", "prefixItems": [{"const": 1}], "items": {"type": "null"}, "minItems": 2, "maxItems": 3},
    {"type": "array", "items": {"$ref": "#"}, "maxItems": 2},
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"$ref": "#"}}, "required": ["a"],
     "additionalProperties": False},
    {"type": "object", "propertyNames": {"pattern": "^(a|b+)$"}, "minProperties": 2},
    {"type": "object", "propertyNames": {"enum": ["a", "b", "c"]}, "minProperties": 3},
    {"type": "object", "propertyNames": {"maxLength": 1}, "additionalProperties": {"type": "boolean"},
     "maxProperties": 2},
    {"type": "object", "patternProperties": {"^a": {"type": "integer"}, "b$": {"minimum": 5}},
     "additionalProperties": {"type": "string"}},
    {"type": "object", "properties": {"a": {}, "ab": {"const": 1}}, "patternProperties": {"^a": {"type": "integer"}},
     "additionalProperties": False, "minProperties": 1},
    {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "dependentRequired": {"a": ["b"], "b": ["c"]},
     "maxProperties": 2, "additionalProperties": False},
    {"type": "object", "properties": {"a": True, "b": True}, "dependentSchemas": {
        "a": {"required": ["b"], "properties": {"b": {"type": "integer"}}}}, "additionalProperties": False},
    {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}},
     "additionalProperties": False, "minProperties": 2, "maxProperties": 2},
    {"anyOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a", "b"]},
               {"type": "object", "properties": {"a": {"const": 2}}, "required": ["a", "c"]}]},
    {"anyOf": [{"type": "array", "items": {"type": "integer"}, "minItems": 2},
               {"type": "array", "items": {"type": "string"}, "maxItems": 2}]},
    {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "string", "minLength": 3}, {"const": "ab"}]},
    {"oneOf": [{"properties": {"k": {"const": "a"}, "v": {"type": "integer"}}, "required": ["k", "v"],
                "type": "object"},
               {"properties": {"k": {"const": "b"}, "v": {"type": "string"}}, "required": ["k"], "type": "object"}]},
    {"allOf": [{"properties": {"a": {"minimum": 2}}, "required": ["a"]}, {"properties": {"a": {"maximum": 4}}},
               {"type": "object", "additionalProperties": {"type": "integer"}}]},
    {"$defs": {"t": {"type": "object", "properties": {"v": {"enum": [1, 2]}, "l": {"$ref": "#/$defs/t"},
                                                      "r": {"anyOf": [{"$ref": "#/$defs/t"}, {"type": "null"}]}},
                     "required": ["v", "r"], "additionalProperties": False}}, "$ref": "#/$defs/t"},
    {"allOf": [{"$ref": "#/$defs/l"}, {"maxItems": 2}],
     "$defs": {"l": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/l"}, {"type": "integer"}]}}}},
    {"type": "object", "properties": {"\"": {"const": 1}, "\\": {"const": 2}, "é": {"const": 3}, "": {"const": 4}},
     "additionalProperties": False},
    {"type": "object", "properties": {"aa": {"type": "null"}, "aab": {"type": "null"}, "aabb": {"type": "null"}},
     "required": ["aab"]},
    {"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer"},
    {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"const": 1}, {"const": 2}],
     "additionalItems": {"const": 3}, "minItems": 3},
    {"type": ["integer", "string", "null", "boolean"]}, {"minimum": 3}, {"minLength": 2}, {"required": ["a"]},
    {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": {"const": 0}}},
    {"type": "array", "items": {"type": "array", "items": {"type": "boolean"}, "maxItems": 1}, "minItems": 1},
    {"type": "array", "contains": {"const": "a"}, "items": {"enum": ["a", "b", 1]}, "maxContains": 1},
    {"type": "array", "contains": {"type": "string"}, "minContains": 2, "maxItems": 3},
    {"type": "array", "allOf": [{"contains": {"const": 1}}, {"contains": {"type": "string"}, "maxContains": 1}],
     "maxItems": 3},
    {"type": "array", "not": {"contains": {"type": "string"}}}, {"type": "array", "not": {"items": {"type": "string"}}},
    {"type": "array", "prefixItems": [{"type": "null"}], "contains": {"type": "null"}, "minContains": 2},
    {"type": "array", "uniqueItems": True}, {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
    {"type": "array", "uniqueItems": True, "items": {"type": "boolean"}},
    {"type": "array", "uniqueItems": True, "items": {"enum": ["a", "ab", "b"]}, "minItems": 2},
    {"type": "array", "uniqueItems": True, "items": {"type": "integer", "minimum": 0, "maximum": 2}, "minItems": 3},
    {"type": "array", "uniqueItems": True, "items": {"type": "number"}},
    {"type": "array", "uniqueItems": True, "prefixItems": [{"type": "string"}, {"enum": ["a", "b"]}, {"const": "b"}],
     "minItems": 3},
    {"type": "array", "uniqueItems": True, "items": {"type": "object", "properties": {"a": {"type": "boolean"}},
                                                     "additionalProperties": False}},
    {"type": "array", "uniqueItems": True, "items": {"type": "object", "properties": {"a": {"type": "string"}, "b": {}},
                                                     "required": ["a"]}},
    {"type": "array", "uniqueItems": True, "items": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}},
    {"type": "array", "uniqueItems": True, "items": {"enum": ["a", "b", 1]}, "contains": {"type": "string"},
     "minContains": 2, "minItems": 3},
    {"type": "array", "uniqueItems": True, "items": {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "null"}]},
     "minItems": 2},
]


def random_schema(rng: random.Random, depth: int = 3, refs: tuple[str, ...] = ()) -> Any:
    """A schema; with `refs` it may refer to those definitions."""
    if depth == 3 and rng.random() < 0.15:
        inner = random_schema(rng, 2, ("t",))
        root = random_schema(rng, 2, ("t",))
        if isinstance(root, dict) and isinstance(inner, dict):
            return {**root, "$defs": {"t": inner}}
    kinds = ["string", "integer", "number", "enum", "object", "array", "scalar", "any", "bool"]
    if depth > 0:
        kinds += ["object", "object", "array", "anyOf", "allOf", "object"]
        if refs:
            kinds += ["ref", "ref"]
    kind = rng.choice(kinds if depth > 0 else ["string", "integer", "enum", "scalar", "number"])
    return _MAKERS[kind](rng, depth, refs)


def _string(rng, depth, refs):
    s: dict[str, Any] = {"type": "string"}
    roll = rng.random()
    if roll < 0.35:
        s["pattern"] = rng.choice(PATTERNS)
    if roll > 0.25:
        lo = rng.randint(0, 3)
        if rng.random() < 0.7:
            s["minLength"] = lo
        if rng.random() < 0.7:
            s["maxLength"] = lo + rng.randint(0, 3)
    return s


def _bounds(rng, s):
    lo = rng.choice(NUMBERS)
    if rng.random() < 0.6:
        s[rng.choice(["minimum", "exclusiveMinimum"])] = lo
    if rng.random() < 0.6:
        s[rng.choice(["maximum", "exclusiveMaximum"])] = lo + rng.choice([1, 2, 11])
    if rng.random() < 0.25:
        s["multipleOf"] = rng.choice([2, 3, 0.5, 1])
    return s


def _integer(rng, depth, refs):
    return _bounds(rng, {"type": "integer"})


def _number(rng, depth, refs):
    return _bounds(rng, {"type": "number"})


def _enum(rng, depth, refs):
    pool = STRINGS + NUMBERS[:6] + [None, True, False, [1], {"a": 1}]
    return {"enum": [pool[i] for i in sorted(rng.sample(range(len(pool)), rng.randint(1, 4)))]}


def _scalar(rng, depth, refs):
    return {"type": rng.sample(["null", "boolean", "integer", "string"], rng.randint(1, 2))}


def _any(rng, depth, refs):
    return rng.choice([True, {}, {"minimum": 2}, {"maxLength": 1}, {"maxItems": 1}, {"maxProperties": 1}])


def _bool(rng, depth, refs):
    return {"type": "boolean"}


def _object(rng, depth, refs):
    s: dict[str, Any] = {"type": "object"}
    names = rng.sample(NAMES, rng.randint(0, 3))
    if names:
        s["properties"] = {n: random_schema(rng, depth - 1, refs) if rng.random() < 0.93 else False for n in names}
    pool = [n for n in names if s["properties"][n] is not False] + (["z"] if rng.random() < 0.1 else [])
    if pool and rng.random() < 0.6:
        s["required"] = rng.sample(pool, rng.randint(1, min(2, len(pool))))
    roll = rng.random()
    if roll < 0.45:
        s["additionalProperties"] = False
    elif roll < 0.65:
        s["additionalProperties"] = random_schema(rng, 0)
    if rng.random() < 0.2:
        s["patternProperties"] = {rng.choice(PATTERNS): random_schema(rng, 0) for _ in range(rng.randint(1, 2))}
    if rng.random() < 0.15:
        s["propertyNames"] = rng.choice([{"pattern": rng.choice(PATTERNS)}, {"maxLength": rng.randint(1, 2)},
                                         {"enum": rng.sample(NAMES, 2)}])
    if rng.random() < 0.2:
        s["minProperties"] = rng.randint(1, 3)
    if rng.random() < 0.2:
        s["maxProperties"] = rng.randint(1, 3)
    if len(names) > 1 and rng.random() < 0.2:
        a, b = rng.sample(names, 2)
        s["dependentRequired"] = {a: [b]}
    if names and rng.random() < 0.08:
        s["dependentSchemas"] = {names[0]: {"required": [rng.choice(NAMES)]}}
    return s


def _array(rng, depth, refs):
    s: dict[str, Any] = {"type": "array"}
    if rng.random() < 0.35:
        s["prefixItems"] = [random_schema(rng, depth - 1, refs) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.8:
        s["items"] = random_schema(rng, depth - 1, refs) if rng.random() < 0.85 else False
    lo = rng.randint(0, 2)
    if rng.random() < 0.4:
        s["minItems"] = lo
    if rng.random() < 0.4:
        s["maxItems"] = lo + rng.randint(0, 2)
    if rng.random() < 0.25:
        s["uniqueItems"] = True
    if rng.random() < 0.2:
        s["contains"] = random_schema(rng, 0)
        least = rng.choice([None, None, 0, 1, 2])
        if least is not None:
            s["minContains"] = least
        if rng.random() < 0.3:
            s["maxContains"] = rng.randint(0, 2)
    return s


def _any_of(rng, depth, refs):
    return {"anyOf": [random_schema(rng, depth - 1, refs) for _ in range(rng.randint(2, 3))]}


def _all_of(rng, depth, refs):
    kind = rng.choice([_object, _string, _integer, _array])
    return {"allOf": [kind(rng, depth, refs) for _ in range(2)]}


def _ref(rng, depth, refs):
    return {"$ref": "#/$defs/" + rng.choice(refs)}


_MAKERS = {"string": _string, "integer": _integer, "number": _number, "enum": _enum, "scalar": _scalar, "any": _any,
           "bool": _bool, "object": _object, "array": _array, "anyOf": _any_of, "allOf": _all_of, "ref": _ref}


def random_value(rng: random.Random, depth: int = 3) -> Any:
    """A JSON value out of the same few letters, names and numbers."""
    roll = rng.random()
    if depth == 0 or roll < 0.5:
        text, number = rng.choice(STRINGS), rng.choice(NUMBERS)
        return rng.choice([text, number, rng.choice([None, True, False, rng.randint(-4, 13)])])
    if roll < 0.7:
        return [random_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return {rng.choice(NAMES + ["z", "b", "bb"]): random_value(rng, depth - 1) for _ in range(rng.randint(0, 3))}
