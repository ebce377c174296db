"""Verdicts that may not change: other spellings of one value, other ways to write one schema.

Everything goes through the engine as a user would (``compile``, ``accept_bytes``,
``can_end`` on a vocabulary of bytes); ``jsonschema`` says which values are valid.
Schemas that are refused are skipped, and counted.
"""

from __future__ import annotations

import functools
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import structgen as sg
from structgen.errors import LimitError, MatcherError, SchemaError, UnsatisfiableSchema, UnsupportedSchema
from structgen.frontends.json_schema import lower
from structgen.grammar.ir import Options
from structgen.tokens.vocabulary import Vocabulary
from tests.support.ir_validate import accepts
from tests.support.random_schemas import random_schema, random_value

OPTIONS = Options(order="any")


@functools.lru_cache(maxsize=1)
def vocabulary():
    return Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])


def compiled(schema):
    return sg.compile(sg.JsonSchema(schema, order="any"), vocabulary())


def verdict(engine, text: str) -> bool:
    matcher = engine.matcher()
    try:
        matcher.accept_bytes(text.encode())
    except MatcherError:
        return False
    return matcher.can_end()


# -- spellings of one value -------------------------------------------------------------

def shuffled(value, rng):
    if isinstance(value, dict):
        return {k: shuffled(value[k], rng) for k in rng.sample(list(value), len(value))}
    return [shuffled(v, rng) for v in value] if isinstance(value, list) else value


def spelt(value, rng, number, character) -> str:
    """JSON text with odd white space, and with characters and numbers as the functions given write them."""
    gap = lambda: rng.choice(["", "", " ", "\n  ", "\t"])       # noqa: E731
    if isinstance(value, dict):
        members = [f"{string(k, rng, character)}{gap()}:{gap()}{spelt(v, rng, number, character)}"
                   for k, v in value.items()]
        return "{" + gap() + f"{gap()},{gap()}".join(members) + gap() + "}"
    if isinstance(value, list):
        return "[" + gap() + f"{gap()},{gap()}".join(spelt(v, rng, number, character) for v in value) + gap() + "]"
    if isinstance(value, str):
        return string(value, rng, character)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value, rng)
    return json.dumps(value)


def string(text, rng, character):
    return '"' + "".join(character(c, rng) for c in text) + '"'


def plain_character(c, rng):
    return json.dumps(c, ensure_ascii=False)[1:-1]


def escaped(c, rng):
    """Some spelling of one character: raw, short, ``\\u`` in either case, a pair of surrogates."""
    units = c.encode("utf-16-be")
    code = "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2))
    return rng.choice([plain_character(c, rng), code, "\\/" if c == "/" else code.lower()])


def plain_number(x, rng):
    return json.dumps(x)


def respelt(x, rng):
    """The same number with zeros behind the point."""
    text = json.dumps(x)
    if "e" in text:
        return text
    return text + rng.choice(["", "0", "00"] if "." in text else ["", ".0", ".00"])


def exponents(x, rng):
    """The same number with an exponent."""
    return json.dumps(x) + rng.choice(["", "e0", "E+0", "e00"])


VARIANTS = {
    "keys": lambda v, rng: json.dumps(shuffled(v, rng), ensure_ascii=False),
    "compact": lambda v, rng: json.dumps(v, separators=(",", ":"), ensure_ascii=False),
    "indented": lambda v, rng: json.dumps(v, indent=2),
    "white space": lambda v, rng: spelt(v, rng, plain_number, plain_character),
    "escapes": lambda v, rng: spelt(v, rng, plain_number, escaped),
    "numbers": lambda v, rng: spelt(v, rng, respelt, plain_character),
    "all of it": lambda v, rng: spelt(shuffled(v, rng), rng, respelt, escaped),
}


@pytest.mark.parametrize("part", range(4))
def test_spellings_of_one_value(part):
    seen = refused = accepted = 0
    for case in range(part, 100, 4):
        rng = random.Random(f"spellings {case}")
        schema = random_schema(rng)
        seen += 1
        try:
            engine = compiled(schema)
        except UnsatisfiableSchema:
            continue
        except SchemaError:
            refused += 1
            continue
        judge = Draft202012Validator(schema)
        values = [random_value(rng) for _ in range(10)]
        try:
            values.append(json.loads(engine.matcher().shortest_completion()))
        except LimitError:
            pass
        for value in values:
            expected = judge.is_valid(value)
            accepted += expected
            for name, variant in VARIANTS.items():
                text = variant(value, rng)
                assert json.loads(text) == value
                assert verdict(engine, text) == expected, (name, json.dumps(schema), text)
    assert refused <= 0.1 * seen and accepted >= 15


def test_exponents_where_nothing_bounds_them():
    free = compiled({"type": ["number", "array"], "items": {"type": "integer"}})
    positive = compiled({"type": "number", "minimum": 0})
    rng = random.Random(1)
    for x in (0, 1, 12, 0.5, 100, 2.25):
        for _ in range(4):
            assert verdict(free, exponents(x, rng)) and verdict(positive, exponents(x, rng))
    assert verdict(free, "[1e2, 10E+0, 1.0]") and not verdict(free, "[1.5]") and not verdict(positive, "-1e0")
    assert verdict(compiled({"const": 1}), "1.0") and not verdict(compiled({"const": 1}), "1.01")


# -- ways to write one schema -----------------------------------------------------------

leaves = st.sampled_from([
    {"type": "integer"}, {"type": "string"}, {"type": ["null", "boolean"]}, {"const": 1}, {"enum": ["a", 2, None]},
    {"minimum": 1}, {"type": "integer", "maximum": 2}, {"maxLength": 1}, {"pattern": "^a"}, {"required": ["a"]},
    {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}, {"minProperties": 1},
    {"type": "array", "maxItems": 1}, {"prefixItems": [{"type": "string"}]}, {"minItems": 2}, True, {},
    {"properties": {"a": {"const": 1}}}, {"dependentRequired": {"a": ["b"]}}, {"type": "object", "maxProperties": 1}])
schemas = st.recursive(leaves, lambda inner: st.one_of(
    st.builds(lambda x, y: {"anyOf": [x, y]}, inner, inner), st.builds(lambda x, y: {"allOf": [x, y]}, inner, inner),
    st.builds(lambda x: {"properties": {"a": x}}, inner), st.builds(lambda x: {"not": x}, inner),
    st.builds(lambda x: {"items": x, "type": "array", "maxItems": 2}, inner)), max_leaves=3)
VALUES = [None, True, 0, 1, 1.0, 1.5, 2, 3, "", "a", "b", "ab", [], [1], ["a"], ["a", 1], [1, 2, 3], {}, {"a": 1},
          {"a": 2}, {"a": "a"}, {"b": 1}, {"a": 1, "b": 1}, {"a": [1], "c": None}, {"a": {"a": 1}}]


def pairs(s, t):
    """Two ways to write the same, by name."""
    neither = {"allOf": [{"not": s}, {"not": t}]}
    return {
        "not not": ({"not": {"not": s}}, s), "anyOf one": ({"anyOf": [s]}, s), "allOf one": ({"allOf": [s]}, s),
        "oneOf one": ({"oneOf": [s]}, s), "not in any": ({"not": {"anyOf": [s, t]}}, neither),
        "not in all": ({"not": {"allOf": [s, t]}}, {"anyOf": [{"not": s}, {"not": t}]}),
        "either way round": ({"anyOf": [s, t]}, {"anyOf": [t, s]}),
        "exactly one": ({"oneOf": [s, t]}, {"anyOf": [{"allOf": [s, {"not": t}]}, {"allOf": [t, {"not": s}]}]}),
        "implication": ({"if": s, "then": t}, {"anyOf": [{"not": s}, t]}),
        "else": ({"if": s, "else": t}, {"anyOf": [s, t]}),
        "reference": ({"$ref": "#/$defs/s", "$defs": {"s": s}}, s),
    }


def judged(schema):
    """Verdicts on `VALUES` through the front end; None if the schema is refused."""
    try:
        grammar = lower(schema, OPTIONS)
    except UnsatisfiableSchema:
        return [False] * len(VALUES)
    except (UnsupportedSchema, LimitError):
        return None
    return [accepts(grammar, grammar.root, v) for v in VALUES]


@settings(max_examples=120)
@given(schemas, schemas)
def test_ways_to_write_one_schema(s, t):
    for name, (x, y) in pairs(s, t).items():
        expected = list(map(Draft202012Validator(y).is_valid, VALUES))
        assert list(map(Draft202012Validator(x).is_valid, VALUES)) == expected      # the pair is one
        for schema in (x, y):
            found = judged(schema)
            assert found is None or found == expected, (name, json.dumps(schema))


@settings(max_examples=25)
@given(schemas, schemas, st.sampled_from(["not not", "not in any", "not in all", "exactly one", "implication"]))
def test_ways_to_write_one_schema_through_the_engine(s, t, name):
    for schema in pairs(s, t)[name]:
        try:
            engine = compiled(schema)
        except UnsatisfiableSchema:
            engine = None
        except (UnsupportedSchema, LimitError):
            continue
        for value in VALUES:
            found = engine is not None and verdict(engine, json.dumps(value))
            assert found == Draft202012Validator(schema).is_valid(value), (json.dumps(schema), value)


def test_few_of_these_schemas_are_refused():
    counts = {}

    @settings(max_examples=60, database=None)
    @given(schemas, schemas)
    def run(s, t):
        for name, (x, y) in pairs(s, t).items():
            for schema in (x, y):
                counts.setdefault(name, []).append(judged(schema) is None)

    run()
    refused = [r for rows in counts.values() for r in rows]
    assert sum(refused) <= 0.2 * len(refused), {n: sum(r) / len(r) for n, r in counts.items()}
