"""What is evaluated depends on the branches that hold, and where ``$dynamicRef`` leads on the way there."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft201909Validator, Draft202012Validator

from structgen.errors import LimitError, SchemaError, UnsatisfiableSchema, UnsupportedSchema
from structgen.frontends.json_schema import lower
from structgen.grammar.ir import Options
from tests.support.ir_validate import accepts
from tests.support.verdicts import check

NAMES = ["a", "b", "ab"]
OPTIONS = Options(order="any")

scalars = st.sampled_from([{"type": "integer"}, {"type": "string"}, {"const": 1}, True, {}, {"enum": [1, "x"]}])
prefixes = st.lists(scalars, max_size=2)


@st.composite
def objects(draw, depth=2):
    """Keywords about objects and applicators in place, few names."""
    s = {}
    if draw(st.booleans()):
        s["properties"] = draw(st.dictionaries(st.sampled_from(NAMES), scalars, max_size=2))
    if draw(st.integers(0, 4)) == 0:
        s["patternProperties"] = {draw(st.sampled_from(["^a", "b$"])): draw(scalars)}
    if draw(st.integers(0, 3)) == 0:
        s["required"] = [draw(st.sampled_from(NAMES))]
    if draw(st.integers(0, 14)) == 0:
        s["additionalProperties"] = draw(scalars)
    return draw(applied(s, objects, depth))


@st.composite
def arrays(draw, depth=2):
    """Keywords about arrays and applicators in place."""
    s = {}
    if draw(st.booleans()):
        s["prefixItems"] = draw(st.lists(scalars, min_size=1, max_size=2))
    if draw(st.integers(0, 6)) == 0:
        s["items"] = draw(scalars)
    if draw(st.integers(0, 3)) == 0:
        s[draw(st.sampled_from(["minItems", "maxItems"]))] = draw(st.integers(0, 3))
    if draw(st.integers(0, 3)) == 0:
        s["contains"] = draw(scalars)
        if draw(st.booleans()):
            s["minContains"] = draw(st.integers(0, 2))
    if draw(st.integers(0, 7)) == 0:
        s["uniqueItems"] = True
    return draw(applied(s, arrays, depth))


@st.composite
def applied(draw, s, kind, depth):
    """`s` with applicators in place whose branches are of the same kind."""
    if depth:
        kinds = ["anyOf", "allOf", "if", "dependentSchemas", *(["oneOf", "not"] if draw(st.booleans()) else [])]
        for keyword in draw(st.lists(st.sampled_from(kinds), min_size=depth - 1, max_size=2, unique=True)):
            branch = kind(depth=depth - 1)
            if keyword in ("allOf", "anyOf", "oneOf"):
                s[keyword] = draw(st.lists(branch, min_size=2, max_size=3))
            elif keyword == "if":
                s["if"] = draw(branch)
                if draw(st.booleans()):
                    s["then"] = draw(branch)
                if draw(st.booleans()):
                    s["else"] = draw(branch)
            elif keyword == "not":
                s["not"] = draw(branch)
            else:
                s["dependentSchemas"] = {draw(st.sampled_from(NAMES)): draw(branch)}
    if draw(st.integers(0, 5)) == 0:
        key = "unevaluatedProperties" if kind is objects else "unevaluatedItems"
        s[key] = draw(st.sampled_from([False, False, {"type": "string"}, {"type": "integer"}, True]))
    return s


#: every object with these names and values 1 and "x", every array of up to three of them
OBJECTS = [{n: v for n, v in zip(NAMES, row) if v is not None} | more
           for row in itertools.product([None, 1, "x"], repeat=3) for more in ({}, {"c": 1})]
ARRAYS = [list(row) for n in range(4) for row in itertools.product([1, "x"], repeat=n)]


@settings(max_examples=200)
@given(objects())
def test_unevaluated_properties(schema):
    check({"unevaluatedProperties": False, "type": "object", **schema}, OBJECTS)


@settings(max_examples=200)
@given(arrays())
def test_unevaluated_items(schema):
    check({"unevaluatedItems": False, "type": "array", **schema}, ARRAYS)


def test_most_of_the_generated_schemas_are_compiled():
    """The comparison is worth something only if few schemas are refused."""
    seen = []

    @settings(max_examples=100, database=None)
    @given(objects())
    def run(schema):
        seen.append(check({"unevaluatedProperties": False, "type": "object", **schema}, []))

    run()
    assert sum(seen) > 0.7 * len(seen)


def verdicts(schema, *instances, registry=None):
    try:
        grammar = lower(schema, OPTIONS, registry=registry)
    except UnsatisfiableSchema:
        return [False] * len(instances)
    return [accepts(grammar, grammar.root, value) for value in instances]


def test_marks_of_branches_add_up():
    schema = {"type": "object", "unevaluatedProperties": False,
              "anyOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]},
                        {"properties": {"b": {"const": 1}}, "required": ["b"]}]}
    assert verdicts(schema, {"a": 1}, {"b": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 2}, {}) == [
        True, True, True, False, False]


def test_if_alone_evaluates():
    schema = {"type": "object", "unevaluatedProperties": False,
              "if": {"properties": {"a": {"const": 1}}, "required": ["a"]}}
    assert verdicts(schema, {"a": 1}, {"a": 2}, {}) == [True, False, True]


def test_no_marks_from_not():
    schema = {"type": "object", "unevaluatedProperties": False, "not": {"not": {"properties": {"a": True}}}}
    assert [Draft202012Validator(schema).is_valid(v) for v in ({}, {"a": 1})] == [True, False]
    assert verdicts(schema, {}, {"a": 1}) == [True, False]


def test_too_many_sets_of_branches():
    branches = [{"properties": {f"p{i}": True}} for i in range(20)]
    with pytest.raises(LimitError, match="sets of branches"):
        lower({"type": "object", "unevaluatedProperties": False, "anyOf": branches}, OPTIONS)


# -- dynamic references -----------------------------------------------------------------

TREE = {"$id": "https://example.com/tree", "$dynamicAnchor": "node", "type": "object",
        "properties": {"data": True, "children": {"type": "array", "items": {"$dynamicRef": "#node"}}}}


def test_extensible_tree():
    strict = {"$id": "https://example.com/strict", "$dynamicAnchor": "node", "$ref": "tree",
              "unevaluatedProperties": False}
    registry = {"https://example.com/tree": TREE}
    good, bad = {"children": [{"data": 1}]}, {"children": [{"daat": 1}]}
    assert verdicts(strict, good, bad, registry=registry) == [True, False]
    assert verdicts(TREE, good, bad) == [True, True]


def test_recursive_ref_of_2019():
    tree = {"$schema": "https://json-schema.org/draft/2019-09/schema", "$id": "https://example.com/tree",
            "$recursiveAnchor": True, "type": "object",
            "properties": {"data": True, "children": {"type": "array", "items": {"$recursiveRef": "#"}}}}
    strict = {"$schema": "https://json-schema.org/draft/2019-09/schema", "$id": "https://example.com/strict",
              "$recursiveAnchor": True, "$ref": "tree", "unevaluatedProperties": False}
    good, bad = {"children": [{"data": 1}]}, {"children": [{"daat": 1}]}
    registry = {"https://example.com/tree": tree}
    assert verdicts(strict, good, bad, registry=registry) == [True, False]
    assert verdicts(tree, good, bad) == [True, True]


def test_dynamic_ref_that_leads_nowhere():
    with pytest.raises(SchemaError, match="cannot resolve \\$dynamicRef"):
        lower({"properties": {"a": {"$dynamicRef": "#nothing"}}}, OPTIONS)


def wrapped(leaves):
    return st.recursive(st.sampled_from(leaves), lambda inner: st.one_of(
        st.builds(lambda x: {"type": "array", "items": x}, inner),
        st.builds(lambda x, y: {"anyOf": [{"type": "array", "items": x}, {"type": "array", "prefixItems": [y],
                                                                          "items": {"type": "null"}}]}, inner, inner)),
        max_leaves=3)


# (not ``$ref`` to a dynamic anchor by name: the library resolves that dynamically)
REFERENCES = [{"$dynamicRef": "#t"}, {"$ref": "other"}, {"$ref": "root#/$defs/u"}, {"$dynamicRef": "other#t"},
              {"$ref": "third#/$defs/t"}, {"$dynamicRef": "third#t"}, {"$ref": "third"}, {"type": "integer"}]


@st.composite
def resource(draw, name, types, extra):
    """A resource with something named t: a dynamic anchor, or just an anchor."""
    anchor = draw(st.sampled_from(["$dynamicAnchor", "$dynamicAnchor", "$anchor"]))
    return {"$id": f"https://example.com/{name}", "type": "array", "items": draw(wrapped(REFERENCES)),
            "$defs": {"t": {anchor: "t", "type": types}, **extra}}


@settings(max_examples=200)
@given(resource("other", ["string", "array"], {}), resource("third", ["null", "array"], {}), wrapped(REFERENCES),
       st.data())
def test_dynamic_scopes_against_jsonschema(other, third, used, data):
    schema = data.draw(resource("root", ["integer", "array"], {"u": used, "o": other, "w": third}))
    try:
        grammar = lower(schema, OPTIONS)
    except SchemaError as err:
        assert isinstance(err, UnsatisfiableSchema) or "applies to itself" in str(err)
        return
    judge = Draft202012Validator(schema)
    for value in ([], [1], ["x"], [None], [[]], [[1]], [["x"]], [[None]], [[[1]]], [[["x"]]], [[1, None]],
                  [["x", None]], [[[None]]], [[], [1], ["x"]]):
        assert accepts(grammar, grammar.root, value) == judge.is_valid(value), (json.dumps(schema), value)


# -- vocabularies -----------------------------------------------------------------------

def test_vocabularies_of_a_metaschema():
    base = "https://json-schema.org/draft/2020-12/vocab/"
    meta = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/meta",
            "$vocabulary": {base + "core": True, base + "applicator": True, "https://example.com/own": False}}
    schema = {"$schema": "https://example.com/meta", "properties": {"a": {"type": "integer"}, "b": False}}
    registry = {"https://example.com/meta": meta}
    assert verdicts(schema, {"a": "x"}, {"b": 1}, registry=registry) == [True, False]
    assert verdicts({**schema, "$schema": "https://example.com/unknown"}, {"a": "x"}, {"b": 1}) == [False, False]
    notes = {e.keyword: e for e in lower(schema, OPTIONS, registry=registry).coverage}
    assert notes["type"].status == "annotation" and "vocabular" in notes["type"].note
    meta["$vocabulary"]["https://example.com/own"] = True
    with pytest.raises(UnsupportedSchema, match="https://example.com/own"):
        lower(schema, OPTIONS, registry=registry)


def test_the_published_metaschemas_judge_schemas_as_the_library_does():
    """Bundled metaschemas as targets of ``$ref``, dynamic references and all."""
    for judge in (Draft202012Validator, Draft201909Validator):
        try:
            grammar = lower({"$ref": judge.META_SCHEMA["$id"]}, OPTIONS)
        except UnsupportedSchema as err:
            assert err.keyword == "uniqueItems"
            continue
        for value in (True, {}, 1, {"type": 1}, {"type": "integer"}, {"items": {"minLength": -1}},
                      {"properties": {"a": {"$ref": 1}}}, {"allOf": []}, {"anyOf": [{"required": "a"}]},
                      {"$defs": {"a": {"if": {"const": 1}}}}, {"unevaluatedItems": 3}):
            assert accepts(grammar, grammar.root, value) == judge(judge.META_SCHEMA).is_valid(value), value


def test_a_complement_of_items_that_cannot_be():
    """Nothing may follow where the schemas of items exclude each other, so the complement asks for an item."""
    schema = {"not": {"if": {"contains": {"type": "string"}}, "else": {"items": {"type": "string"}}}}
    assert verdicts(schema, [1], [1, 1], [], ["a"], [1, "a"]) == [True, True, False, False, False]
