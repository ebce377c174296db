"""Impossible parts, relaxed places and witnesses: what ``explain``, ``lenient`` and ``witness`` promise."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import structgen as sg
from structgen.errors import LimitError, SchemaError, UnsatisfiableSchema, UnsupportedSchema
from structgen.frontends.json_schema import lower
from structgen.frontends.json_schema.impossible import impossible_parts
from structgen.grammar.ir import Options
from tests.frontends.json_schema.test_evaluated import ARRAYS, OBJECTS, arrays, objects
from tests.support.ir_validate import accepts
from tests.support.random_schemas import random_schema, random_value

INTEGER, STRING = {"type": "integer"}, {"type": "string"}
ENDLESS = {"type": "object", "required": ["n"], "properties": {"n": {"$ref": "#/$defs/l"}}}

CASES = [
    ({"type": "string", "enum": [1, "x", None]}, ["#/enum/0", "#/enum/2"]),
    ({"type": "object", "properties": {"a": {"allOf": [INTEGER, STRING]}, "b": True}}, ["#/properties/a"]),
    ({"type": "object", "allOf": [{"properties": {"a": INTEGER}}, {"properties": {"a": STRING}}]},
     ["#/allOf/0/properties/a", "#/allOf/1/properties/a"]),
    ({"type": "object", "properties": {"a": False}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
     ["#/anyOf/0"]),
    ({"type": "integer", "oneOf": [{"minimum": 3}, {"maximum": 2, "minimum": 4}]}, ["#/oneOf/1"]),
    ({"properties": {"a": {"$ref": "#/$defs/l"}}, "$defs": {"l": ENDLESS}}, ["#/$defs/l", "#/properties/a"]),
    ({"type": "array", "items": {"type": "integer", "minimum": 5, "maximum": 3}}, ["#/items"]),
    ({"type": "object", "additionalProperties": False, "properties": {"a": {}}, "dependentRequired": {"a": ["q"]}},
     ["#/properties/a"]),
    ({"type": "object", "maxProperties": 1, "required": ["a"], "properties": {"a": {}, "b": {}}}, ["#/properties/b"]),
    # ways to write false on purpose, and nothing wrong at all
    ({"properties": {"a": False, "b": {"not": {}}}, "items": False}, []),
    ({"type": "object", "properties": {"a": {"anyOf": [INTEGER, STRING]}}, "if": {"required": ["a"]},
      "then": {"required": ["b"]}}, []),
]


@pytest.mark.parametrize("schema, pointers", CASES, ids=[str(i) for i in range(len(CASES))])
def test_impossible_parts(schema, pointers):
    entries = sg.JsonSchema(schema).impossible
    assert sorted(e.pointer for e in entries) == pointers
    assert all(e.status == "impossible" and e.note for e in entries)


@settings(max_examples=100)
@given(st.one_of(objects(), arrays()))
def test_what_is_called_impossible_is(schema):
    schema = {"anyOf": [{"type": ["object", "array"]}, {"required": ["a"], "minItems": 2}], **schema}
    try:
        parts = impossible_parts(lower(schema, Options(order="any")))
    except (UnsatisfiableSchema, UnsupportedSchema, LimitError):
        return
    valid = list(filter(Draft202012Validator(schema).is_valid, OBJECTS + ARRAYS))
    for entry in parts:
        path = entry.pointer.split("/")[1:]
        if len(path) == 2 and path[0] == "properties":
            assert not any(isinstance(v, dict) and path[1] in v for v in valid), (json.dumps(schema), entry)
        elif len(path) == 2 and path[0] in ("anyOf", "oneOf"):
            branch = Draft202012Validator(schema[path[0]][int(path[1])])
            assert not any(map(branch.is_valid, valid)), (json.dumps(schema), entry)


@settings(max_examples=150)
@given(st.one_of(objects(), arrays()))
def test_lenient_allows_more_and_says_where(schema):
    schema = {"not": {"additionalProperties": {"minimum": 3}, "items": {"minimum": 3}}, **schema}
    refusal = None
    try:
        lower(schema, Options(order="any"))
    except UnsupportedSchema as err:
        refusal = err
    except (UnsatisfiableSchema, LimitError):
        return
    try:
        grammar = lower(schema, Options(order="any"), lenient=True)
    except LimitError:
        return
    assert (refusal is None) == (not grammar.relaxed)
    for pointer, keyword in grammar.relaxed:
        place = schema
        for part in pointer.split("/")[1:]:
            place = place[int(part)] if isinstance(place, list) else place[part]
        assert pointer.endswith("/" + keyword)
    if refusal is not None:
        assert (refusal.pointer, refusal.keyword) in grammar.relaxed
        entries = {(e.pointer, e.status) for e in grammar.coverage}
        assert all((pointer, "not enforced") in entries for pointer, _ in grammar.relaxed)
    judge = Draft202012Validator(schema)
    for value in OBJECTS + ARRAYS:
        if judge.is_valid(value):
            assert accepts(grammar, grammar.root, value), (json.dumps(schema), value)


# -- witnesses --------------------------------------------------------------------------

@pytest.mark.parametrize("schema, value", [
    ({"type": "integer", "minimum": 12}, 12), ({"type": "string", "minLength": 2, "pattern": "^b"}, None),
    ({"type": "object", "required": ["a"], "properties": {"a": {"const": [1, {"x": None}]}}}, {"a": [1, {"x": None}]}),
    ({"type": "array", "minItems": 3, "items": {"enum": ["long", "no"]}}, ["no", "no", "no"]),
    ({"anyOf": [{"const": "aaaaaaa"}, {"const": 10}]}, 10), (True, 0), ({"minProperties": 2, "type": "object"}, None)])
def test_witness(schema, value):
    found = sg.witness(schema)
    assert Draft202012Validator(schema).is_valid(found)
    if value is not None:
        assert found == value and type(found) is type(value)


def test_witnesses_of_random_schemas_are_valid():
    for case in range(60):
        rng = random.Random(f"witness {case}")
        schema = random_schema(rng)
        try:
            found = sg.witness(schema)
        except SchemaError:     # empty, refused, or applying to itself
            continue
        judge = Draft202012Validator(schema)
        assert judge.is_valid(found), (schema, found)
        # nothing shorter among the values tried
        size = len(json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode())
        for _ in range(30):
            value = random_value(rng)
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
            if len(text) < size and lower_accepts(schema, value):
                assert not judge.is_valid(value), (schema, found, value)


def lower_accepts(schema, value):
    grammar = lower(schema, Options())
    return accepts(grammar, grammar.root, value)


@pytest.mark.parametrize("schema, pointer", [
    ({"type": "integer", "minimum": 3, "maximum": 2}, "#"), (False, "#"),
    ({"type": "object", "required": ["b"], "properties": {"b": {"type": "array", "items": False, "minItems": 1}}},
     "#/properties/b")])
def test_no_witness(schema, pointer):
    with pytest.raises(UnsatisfiableSchema) as caught:
        sg.witness(schema)
    assert caught.value.pointer == pointer and isinstance(caught.value, SchemaError)


@pytest.mark.parametrize("schema, hint", [
    ({"allOf": [INTEGER, {"title": "x"}, {"type": "object"}]}, "#/allOf/0 and #/allOf/2 exclude each other"),
    ({"type": "object", "required": ["a"], "allOf": [{"properties": {"a": STRING}}, {"$ref": "#/$defs/x"}],
      "$defs": {"x": {"properties": {"a": INTEGER}}}}, "#, #/allOf/0 and #/allOf/1 exclude each other"),
    ({"$ref": "#/$defs/x", "type": "string", "$defs": {"x": {"minimum": 3, "type": "integer"}}},
     "# and #/$ref exclude each other"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, None)])
def test_what_contradicts_what(schema, hint):
    with pytest.raises(UnsatisfiableSchema) as caught:
        lower(schema)
    assert caught.value.hint == hint


def test_many_alternatives_take_no_forever():
    """Comparisons of thousands of alternatives are left out, not made."""
    branches = [{"required": [f"k{i}"], "properties": {f"k{i}": {"const": j}}} for i in range(6) for j in range(8)]
    schema = {"type": "object", "allOf": [{"anyOf": branches}, {"anyOf": branches[:30]}],
              "properties": {"x": {"enum": [1, 2, "y"], "type": "string"}}}
    assert [e.pointer for e in sg.JsonSchema(schema).impossible] == ["#/properties/x/enum/0", "#/properties/x/enum/1"]
