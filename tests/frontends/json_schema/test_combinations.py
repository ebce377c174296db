"""Applicators in place on top of each other, beside keywords about keys and items: verdicts of ``jsonschema``."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft202012Validator, FormatChecker

import structgen as sg
from structgen.errors import LimitError, MatcherError, UnsatisfiableSchema, UnsupportedSchema
from structgen.frontends.json_schema import lower
from structgen.grammar.ir import Options
from tests.support.ir_validate import accepts
from tests.support.verdicts import check

NAMES = ["a", "b", "ab"]
PARTS = [{"type": "integer"}, {"type": "string"}, {"const": 1}, True, {}, {"enum": [1, "x"]}, False,
         {"not": {"type": "string"}}]
#: every object with these names and values 1 and "x", every array of up to three of them
OBJECTS = [{n: v for n, v in zip(NAMES, row) if v is not None} | more
           for row in itertools.product([None, 1, "x"], repeat=3) for more in ({}, {"c": 1})]
ARRAYS = [list(row) for n in range(4) for row in itertools.product([1, "x"], repeat=n)]


def objects(rng, depth):
    s = {}
    if rng.random() < 0.5:
        s["properties"] = {n: rng.choice(PARTS) for n in rng.sample(NAMES, rng.randint(1, 2))}
    if rng.random() < 0.25:
        s["patternProperties"] = {rng.choice(["^a", "b$", "^.$"]): rng.choice(PARTS)}
    if rng.random() < 0.25:
        s["required"] = [rng.choice(NAMES)]
    if rng.random() < 0.25:
        s["additionalProperties"] = rng.choice([*PARTS, False, False])
    if rng.random() < 0.1:
        s["propertyNames"] = rng.choice([{"pattern": "^a"}, {"maxLength": 1}, {"enum": ["a", "c"]}])
    if rng.random() < 0.1:
        s[rng.choice(["minProperties", "maxProperties"])] = rng.randint(0, 3)
    if rng.random() < 0.1:
        s["dependentRequired"] = {rng.choice(NAMES): [rng.choice(NAMES)]}
    return applied(s, rng, depth, objects, "unevaluatedProperties")


def arrays(rng, depth):
    s = {}
    if rng.random() < 0.5:
        s["prefixItems"] = [rng.choice(PARTS) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.3:
        s["items"] = rng.choice(PARTS)
    if rng.random() < 0.3:
        s[rng.choice(["minItems", "maxItems"])] = rng.randint(0, 3)
    if rng.random() < 0.3:
        s["contains"] = rng.choice(PARTS)
        if rng.random() < 0.4:
            s[rng.choice(["minContains", "maxContains"])] = rng.randint(0, 2)
    if rng.random() < 0.1:
        s["uniqueItems"] = True
    return applied(s, rng, depth, arrays, "unevaluatedItems")


def applied(s, rng, depth, kind, unevaluated):
    if depth and rng.random() < 0.85:
        keywords = ["anyOf", "allOf", "oneOf", "not", "if", "dependentSchemas"]
        for keyword in rng.sample(keywords, rng.randint(1, 2)):
            if keyword in ("anyOf", "allOf", "oneOf"):
                s[keyword] = [kind(rng, depth - 1) for _ in range(rng.randint(2, 3))]
            elif keyword == "dependentSchemas":
                s[keyword] = {rng.choice(NAMES): kind(rng, depth - 1)}
            else:
                s[keyword] = kind(rng, depth - 1)
                for branch in ("then", "else") if keyword == "if" else ():
                    if rng.random() < 0.5:
                        s[branch] = kind(rng, depth - 1)
    if rng.random() < 0.15:
        s[unevaluated] = rng.choice([False, False, {"type": "string"}, {"type": "integer"}, True])
    return s


@settings(max_examples=200)
@given(st.randoms(use_true_random=False), st.integers(2, 3))
def test_objects(rng, depth):
    check({"type": "object", **objects(rng, depth)}, OBJECTS)


@settings(max_examples=150)
@given(st.randoms(use_true_random=False), st.integers(2, 3))
def test_arrays(rng, depth):
    check({"type": "array", **arrays(rng, depth)}, ARRAYS)


B_IS_STRING, B_IS_ONE = {"properties": {"b": {"type": "string"}}}, {"properties": {"b": {"const": 1}}}


@pytest.mark.parametrize("schema", [
    # a key of two constants that exclude each other, in one alternative of several
    {"allOf": [{"not": {"additionalProperties": False}}, B_IS_STRING,
               {"oneOf": [B_IS_STRING, {"additionalProperties": {"type": "integer"}}],
                "if": {"patternProperties": {"^a": True}, "additionalProperties": False},
                "unevaluatedProperties": False}]},
    # a oneOf that overlaps only beside the complement of another that does
    {"oneOf": [{"additionalProperties": {"type": t}} for t in ("integer", "string", "string")],
     "not": {"oneOf": [B_IS_ONE, {"unevaluatedProperties": False}]}},
])
def test_combinations_that_once_went_wrong(schema):
    assert check({"type": "object", **schema}, OBJECTS)


# -- draft 4: 1.0 is no integer ----------------------------------------------------------

NUMBERS = st.recursive(st.sampled_from([
    {"type": "integer"}, {"type": "number"}, {"type": ["integer", "string"]}, {"minimum": 1}, {"maximum": 2},
    {"multipleOf": 2}, {"multipleOf": 0.5}, {"enum": [1]}, {"enum": [1.0, 3]}, {"type": "integer", "enum": [1, 2]},
    {"type": "integer", "minimum": 1, "maximum": 2, "exclusiveMaximum": True}, {}]), lambda inner: st.one_of(
        st.builds(lambda x: {"not": x}, inner),
        *[st.builds(lambda x, y, k=k: {k: [x, y]}, inner, inner) for k in ("anyOf", "allOf", "oneOf")]), max_leaves=4)
SPELLINGS = ["0", "1", "1.0", "1.00", "1.5", "2", "2.0", "3", "3.0", "-1", "-1.0", "0.25", "\"x\""]


@settings(max_examples=50)
@given(NUMBERS)
def test_integers_of_draft_4_and_their_complements(schema):
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", **schema}
    judge = Draft4Validator(schema)
    letters = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
    try:
        compiled = sg.compile(sg.JsonSchema(schema), letters)
    except UnsatisfiableSchema:
        assert not any(judge.is_valid(json.loads(text)) for text in SPELLINGS)
        return
    for text in SPELLINGS:
        matcher = compiled.matcher()
        try:
            matcher.accept_bytes(text.encode())
            taken = matcher.can_end()
        except MatcherError:
            taken = False
        assert taken == judge.is_valid(json.loads(text)), (schema, text)


# -- what formats that are read in part leave open ---------------------------------------

FORMATTED = ["", "a.b", "a b", "1.2.3.4", "::1", "xn--a", "12:00:00Z", "23:59:60Z", "12:00:60Z", "2020-01-01T00:00:00Z",
             "2020-01-01T12:34:60+03:00", "1/a", "1+2/a", "é.b", "a:b", "x" * 254]


def verdicts(schema, values, **options):
    grammar = lower(schema, Options(order="any", **options))
    return [v for v in values if accepts(grammar, grammar.root, v)]


@pytest.mark.parametrize("name", ["hostname", "idn-hostname", "time", "date-time", "relative-json-pointer", "ipv4"])
def test_what_is_certainly_not_of_a_format(name):
    inside = verdicts({"format": name, "type": "string"}, FORMATTED)
    outside = verdicts({"not": {"format": name}, "type": "string"}, FORMATTED)
    assert not set(inside) & set(outside) and {"a b", ""} <= set(outside)
    assert verdicts({"not": {"not": {"format": name}}, "type": "string"}, FORMATTED) == inside
    open_ = {"hostname": ["xn--a"], "time": ["12:00:60Z"], "date-time": ["2020-01-01T12:34:60+03:00"],
             "relative-json-pointer": ["1+2/a"], "ipv4": []}
    if name in open_:
        assert sorted({*FORMATTED} - {*inside, *outside}) == open_[name]


def test_exactly_one_format():
    values = verdicts({"type": "string", "oneOf": [{"format": f} for f in ("hostname", "ipv4", "ipv6")]}, FORMATTED)
    assert values == ["a.b", "::1"]             # 1.2.3.4 is a hostname too, xn--a may be one
    # a string that may be a hostname is not taken for one that is not
    assert verdicts({"type": "string", "oneOf": [{"format": "hostname"}, {"pattern": "^xn--"}]}, FORMATTED) == [
        "a.b", "1.2.3.4"]


def test_lengths_have_lengths_as_complements():
    schema = {"type": "string", "not": {"anyOf": [{"minLength": k, "maxLength": k + 3} for k in range(2, 3000, 7)]}}
    assert verdicts(schema, ["", "a", "ab", "abcd", "abcde", "abcdef", "abcdefgh"]) == ["", "a", "abcdef", "abcdefgh"]


def test_arrays_of_different_items_in_two_branches():
    unique = {"type": "array", "uniqueItems": True}
    schema = {"oneOf": [{**unique, "items": {"type": "integer"}}, {**unique, "items": {"minimum": 2}, "minItems": 1}]}
    assert check(schema, [[], [1], [2], [1, 2], [1, 1], [2, "a"], ["a", "a"], ["a"]])
    with pytest.raises(UnsupportedSchema) as caught:
        lower({"oneOf": [unique, {"type": "array", "items": {"type": "integer"}}]})
    assert caught.value.pointer == "#/oneOf"


FORMAT = {"format": "relative-json-pointer"}
#: of the format; perhaps of it; certainly not of it
STRINGS = ["1/a", "1+2/a", "x"]
VALUED = [{n: v for n, v in zip(NAMES, row) if v is not None}
          for row in itertools.product([None, 1, *STRINGS], [None, *STRINGS], [None, "1+2/a"])]


def judge_of(schema, strings):
    checker = FormatChecker(formats=())
    checker.checks("relative-json-pointer")(lambda value: not isinstance(value, str) or value in strings)
    return Draft202012Validator(schema, format_checker=checker)


@settings(max_examples=120)
@given(st.randoms(use_true_random=False), st.integers(1, 2))
def test_what_may_be_of_a_format_is_taken_where_it_is_valid_either_way(rng, depth):
    usual = PARTS[:]
    PARTS[:] = [FORMAT, FORMAT, {"not": FORMAT}, {"type": "string", **FORMAT}, {"const": "1+2/a"},
                {"type": "string"}, True, {"type": ["string", "integer"], "not": FORMAT}]
    try:
        schema = {"type": "object", **objects(rng, depth)}
    finally:
        PARTS[:] = usual
    try:
        grammar = lower(schema, Options(order="any"))
    except UnsatisfiableSchema:
        grammar = None
    except (UnsupportedSchema, LimitError):
        return
    narrow, wide = judge_of(schema, STRINGS[:1]), judge_of(schema, STRINGS[:2])
    for value in VALUED:
        found = grammar is not None and accepts(grammar, grammar.root, value)
        either = narrow.is_valid(value), wide.is_valid(value)
        assert not found or all(either), (json.dumps(schema), value)
        if "1+2/a" not in value.values():
            assert found == either[0] == either[1], (json.dumps(schema), value)
