"""How many values a schema has decides how long an array of different ones can be."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from structgen.errors import LimitError, UnsatisfiableSchema, UnsupportedSchema
from structgen.frontends.json_schema import lower
from structgen.frontends.json_schema.arrays import values_of
from structgen.grammar.arrays import canonical

NAMES = ["a", "b", "c"]
POOL = [0, 1, 2, 3, "x", None]
OBJECTS = [{n: v for n, v in zip(NAMES, row) if v != "none"} for row in itertools.product(["none", *POOL], repeat=3)]
ARRAYS = [list(row) for n in range(4) for row in itertools.product(POOL, repeat=n)]


def few(rng):
    return rng.choice([{"const": 1}, {"enum": [1, "x"]}, {"type": "null"}, {"enum": [2, 0, None]},
                       {"type": "integer", "minimum": 0, "maximum": 3, "not": {"multipleOf": rng.choice([2, 3])}}])


def objects(rng):
    names = rng.sample(NAMES, rng.randint(1, 3))
    s = {"type": "object", "properties": {n: few(rng) for n in names}, "additionalProperties": False}
    if rng.random() < 0.4:
        s["required"] = [rng.choice(names)]
    for keyword, odds in (("minProperties", 0.25), ("maxProperties", 0.25)):
        if rng.random() < odds:
            s[keyword] = rng.randint(0, 3)
    if rng.random() < 0.3:
        s["dependentRequired"] = {rng.choice(NAMES): [rng.choice(NAMES)]}
    for keyword in rng.sample(["not", "oneOf", "if"], rng.randint(0, 2)):
        parts = [{"properties": {rng.choice(NAMES): few(rng)}}, {"required": [rng.choice(NAMES)]},
                 {"propertyNames": {"enum": rng.sample(NAMES, 2)}}, {"properties": {n: few(rng) for n in NAMES}}]
        if keyword == "oneOf":
            s[keyword] = rng.sample(parts, 2)
        else:
            s[keyword] = rng.choice(parts)
    return s


def arrays(rng):
    s = {"type": "array", "items": rng.choice([few(rng), {"enum": [0, 1, "x"]}]), "maxItems": rng.randint(1, 3)}
    if rng.random() < 0.5:
        s["uniqueItems"] = True
        if s["items"] in ({"type": "null"}, {"const": 1}):
            del s["maxItems"]
    if rng.random() < 0.3:
        s["minItems"] = 1
    if rng.random() < 0.3:
        s["contains"] = few(rng)
    if rng.random() < 0.3:
        s["prefixItems"] = [few(rng)]
    return s


def satisfiable(schema) -> bool:
    try:
        lower(schema)
    except UnsatisfiableSchema:
        return False
    return True


@settings(max_examples=150)
@given(st.randoms(use_true_random=False), st.sampled_from([(objects, OBJECTS), (arrays, ARRAYS)]))
def test_all_values_and_no_more_of_them(rng, kind):
    make, universe = kind
    schema = make(rng)
    judge = Draft202012Validator(schema)
    expected = {canonical(v) for v in universe if judge.is_valid(v)}
    try:
        grammar = lower(schema)
    except UnsatisfiableSchema:
        assert not expected, json.dumps(schema)
        return
    except (UnsupportedSchema, LimitError):
        return
    found = values_of(grammar, grammar.root, len(expected))
    assert found is not None and len(found) == len(expected), json.dumps(schema)
    assert set(map(canonical, found)) == expected, json.dumps(schema)
    assert values_of(grammar, grammar.root, len(expected) - 1) is None
    unique = {"type": "array", "uniqueItems": True, "items": schema}
    assert satisfiable({**unique, "minItems": len(expected)})
    assert not satisfiable({**unique, "minItems": len(expected) + 1})


@pytest.mark.parametrize("schema", [
    {"type": "integer"}, {"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "minLength": 3}, {},
    {"type": "object", "maxProperties": 1}, {"type": "array", "items": {"const": 1}}, {"$ref": "#/$defs/t"},
    {"type": "object", "not": {"required": ["a"]}, "maxProperties": 1}])
def test_many_values(schema):
    defs = {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}, "maxItems": 1}}
    grammar = lower({**schema, "$defs": defs})
    assert values_of(grammar, grammar.root, 1000) is None
    assert satisfiable({"type": "array", "uniqueItems": True, "items": schema, "minItems": 5000, "$defs": defs})


def test_more_values_than_are_listed():
    unique = {"type": "array", "uniqueItems": True, "items": {"type": "integer", "minimum": 1, "maximum": 5000}}
    assert satisfiable({**unique, "minItems": 4000})
    with pytest.raises(LimitError, match="more than 4096"):
        lower({**unique, "minItems": 4500})


def test_counts_and_clauses_leave_few_objects():
    """The sets of keys that cannot be completed are not tried one by one."""
    names = [f"p{i}" for i in range(24)]
    schema = {"type": "object", "properties": {n: {"const": 1} for n in names}, "additionalProperties": False,
              "minProperties": 23, "anyOf": [{"required": names[:2]}, {"required": names[2:4]}]}
    grammar = lower(schema)
    assert len(values_of(grammar, grammar.root, 100)) == 25
    schema["not"] = {"propertyNames": {"enum": names[:-1]}}
    grammar = lower(schema)
    assert len(values_of(grammar, grammar.root, 100)) == 24
