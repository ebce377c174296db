"""Every kind of bad schema gets the right error, with the place and quickly."""

from __future__ import annotations

import json

import pytest

from structgen.errors import LimitError, SchemaError, UnsatisfiableSchema, UnsupportedSchema
from structgen.frontends.json_schema import lower, parse_schema, read_schema
from structgen.grammar.ir import ArrayAlt

UNREADABLE = [
    ({"type": 5}, "#/type"), ({"type": "strin"}, "#/type"), ({"type": []}, "#/type"),
    ({"properties": {"a": {"minLength": -1}}}, "#/properties/a/minLength"),
    ({"minLength": 1.5}, "#/minLength"), ({"maxItems": "3"}, "#/maxItems"),
    ({"minProperties": True}, "#/minProperties"),
    ({"pattern": "("}, "#/pattern"), ({"pattern": 5}, "#/pattern"),
    ({"patternProperties": {"[": {}}}, "#/patternProperties/["),
    ({"required": "a"}, "#/required"), ({"required": True}, "#/required"), ({"required": [1]}, "#/required"),
    ({"properties": []}, "#/properties"), ({"properties": {"a/b~": 5}}, "#/properties/a~1b~0"),
    ({"items": 5}, "#/items"), ({"items": [{}]}, "#/items"), ({"prefixItems": {}}, "#/prefixItems"),
    ({"allOf": {}}, "#/allOf"), ({"anyOf": []}, "#/anyOf"), ({"oneOf": [3]}, "#/oneOf/0"), ({"enum": 5}, "#/enum"),
    ({"multipleOf": 0}, "#/multipleOf"), ({"multipleOf": -0.5}, "#/multipleOf"),
    ({"minimum": "3"}, "#/minimum"), ({"minimum": True}, "#/minimum"), ({"maximum": float("nan")}, "#/maximum"),
    ({"exclusiveMinimum": float("inf")}, "#/exclusiveMinimum"), ({"exclusiveMinimum": True}, "#/exclusiveMinimum"),
    ({"$schema": "http://json-schema.org/draft-04/schema#", "exclusiveMaximum": 3}, "#/exclusiveMaximum"),
    ({"enum": [float("inf")]}, "#"), ({"dependentRequired": {"a": "b"}}, "#/dependentRequired"),
    ({"$ref": 5}, "#/$ref"), ({"$ref": "#/nope"}, "#/$ref"), ({"$ref": "#nope"}, "#/$ref"),
    ({"items": {"$ref": "#/minItems"}, "minItems": 1}, "#/items/$ref"),
    ({"$ref": "http://example.com/x.json"}, "#/$ref"), ({"$ref": "other.json#/a"}, "#/$ref"),
    ({"$ref": "#"}, "#"), ({"allOf": [{"$ref": "#"}]}, "#"),
    ({"$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"$ref": "#/$defs/x"}}, "items": {"$ref": "#/$defs/x"}}, "#/$defs/x"),
    ({"$schema": 5}, "#/$schema"), ({"uniqueItems": "yes"}, "#/uniqueItems"), ({"format": 3}, "#/format"),
]


@pytest.mark.parametrize("schema, pointer", UNREADABLE, ids=lambda x: x if isinstance(x, str) else None)
def test_unreadable(schema, pointer):
    with pytest.raises(SchemaError) as caught:
        lower(schema)
    assert caught.value.pointer == pointer
    assert not isinstance(caught.value, (UnsatisfiableSchema, UnsupportedSchema))
    assert pointer in str(caught.value)


def test_remote_reference_names_the_uri_and_the_way_out():
    with pytest.raises(SchemaError, match=r"http://example\.com/x\.json.*registry"):
        lower({"properties": {"a": {"$ref": "http://example.com/x.json#/definitions/q"}}})


@pytest.mark.parametrize("value", [5, None, [], "x", 1.5])
def test_no_schema_at_all(value):
    with pytest.raises(SchemaError, match="a schema is an object or a boolean"):
        lower(value)


UNSATISFIABLE = [
    (False, "#"), ({"enum": []}, "#"), ({"type": "integer", "minimum": 3, "maximum": 2}, "#"),
    ({"type": "string", "enum": [1, 2]}, "#"), ({"type": "string", "minLength": 3, "maxLength": 2}, "#"),
    ({"type": "array", "minItems": 2, "maxItems": 1}, "#"),
    ({"type": "array", "prefixItems": [{"type": "string"}, False], "minItems": 2}, "#"),
    ({"type": "object", "required": ["a"], "properties": {"a": False}}, "#/properties/a"),
    ({"type": "object", "required": ["b"], "properties": {"a": {}}, "additionalProperties": False}, "#"),
    ({"type": "object", "required": ["a"], "properties": {"a": {"type": "object", "required": ["b"], "properties": {
        "b": {"type": "string", "enum": [1]}}}}}, "#/properties/a/properties/b"),
    # recursion that never comes to an end
    ({"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}}, "#"),
    ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "#"),
    ({"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/b"}, "minItems": 1},
                "b": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}},
      "$ref": "#/$defs/a"}, "#/$defs/b"),
    ({"allOf": [{"type": "string"}, {"type": "number"}]}, "#"),
    ({"allOf": [{"type": "number", "multipleOf": 7}, {"minimum": 1}, {"maximum": 6}]}, "#"),
    ({"type": "string", "pattern": "^a+$", "allOf": [{"pattern": "^b+$"}]}, "#"),
    ({"type": "string", "pattern": "^a{2,3}$", "minLength": 4}, "#"),
    ({"type": "string", "pattern": "a(?=b)c"}, "#"),
    ({"type": "object", "minProperties": 3, "properties": {"a": {}, "b": {}}, "additionalProperties": False}, "#"),
    ({"type": "object", "minProperties": 3, "propertyNames": {"enum": ["a", "b"]}}, "#"),
    ({"type": "object", "minProperties": 4, "patternProperties": {"^[a-c]$": {}}, "additionalProperties": False}, "#"),
    ({"type": "object", "maxProperties": 1, "required": ["a", "b"]}, "#"),
    ({"type": "object", "required": ["a"], "dependentRequired": {"a": ["b"], "b": ["c"]},
      "properties": {"c": False}}, "#"),
    ({"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": False, "minProperties": 1,
      "maxProperties": 1, "dependentRequired": {"a": ["b"], "b": ["a"]}}, "#"),
    ({"type": "object", "required": ["a"], "propertyNames": {"pattern": "^b"}}, "#"),
    ({"oneOf": [{"type": "string"}, {"type": "string"}]}, "#"),
    ({"not": {}}, "#"), ({"type": "string", "const": None}, "#"), ({"type": "array", "contains": False}, "#"),
]


@pytest.mark.parametrize("schema, pointer", UNSATISFIABLE,
                         ids=lambda x: x if isinstance(x, str) else json.dumps(x)[:60])
def test_unsatisfiable(schema, pointer):
    with pytest.raises(UnsatisfiableSchema) as caught:
        lower(schema)
    assert caught.value.pointer == pointer


def test_unsatisfiable_parts_are_pruned():
    g = lower({"type": "object", "properties": {
        "a": {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#/properties/a"}}},
        "b": {"anyOf": [{"type": "string", "enum": [1]}, {"type": "integer"}]}}, "additionalProperties": False})
    (alt,) = g.node(g.root).objects
    assert alt.names == ("b",)
    g = lower({"type": "object", "properties": {"a": False}})
    (alt,) = g.node(g.root).objects
    assert alt.names == ("a",) and alt.nodes == (-1,) and alt.extra is not None
    g = lower({"type": "array", "prefixItems": [{}, {"enum": []}, {}]})
    assert g.node(g.root).arrays == (ArrayAlt((0,), -1, 0, 1),)


def test_deep_nesting():
    schema: dict = {"type": "string"}
    for _ in range(10_000):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    lower(schema)               # no recursion over children, so depth is no problem
    for keyword in ("allOf", "anyOf"):
        schema = {"type": "string"}
        for _ in range(10_000):
            schema = {keyword: [schema, {"minLength": 1}]}
        with pytest.raises(LimitError) as caught:
            lower(schema)
        assert keyword in caught.value.place and len(str(caught.value)) < 1000
    value: list = []
    for _ in range(10_000):
        value = [value]
    with pytest.raises(LimitError):
        lower({"const": value})
    for text in ('{"items":' * 10_000 + "{}" + "}" * 10_000, '{"const":' + "[" * 100_000 + "]" * 100_000 + "}"):
        with pytest.raises(LimitError):
            parse_schema(text)


def test_large_schemas():
    parts = {f"p{i}": {"type": "object", "description": "x" * 100, "properties": {
        "a": {"type": "string", "maxLength": i}, "b": {"$ref": "#/$defs/d"}}, "required": ["a"]} for i in range(20_000)}
    schema = {"type": "object", "properties": parts, "$defs": {"d": {"type": "array", "items": {"type": "integer"}}}}
    text = json.dumps(schema)
    assert len(text) > 4_000_000
    g = lower(parse_schema(text))
    assert len(g.node(g.root).objects[0].names) == 20_000
    for bomb in ({"allOf": [{"anyOf": [{"required": [f"{i} {j}"]} for j in range(4)]} for i in range(12)]},
                 {"dependentSchemas": {f"a{i}": {"properties": {f"b{i}": False}} for i in range(15)}},
                 {"anyOf": [{"required": [str(i)]} for i in range(3000)]},
                 {"anyOf": [{"const": i} for i in range(50_000)]}):
        with pytest.raises(LimitError, match="#"):
            lower(bomb)


@pytest.mark.parametrize("pattern", [r"(.*a.{40})", r"^(\S+\s+){0,99}\S+$", r"^(a|a?)+$", r"(x+x+)+y"])
def test_hostile_patterns_cost_nothing_here(pattern):
    g = lower({"type": "string", "pattern": pattern, "maxLength": 5000})
    assert g.node(g.root).string


def test_text_errors_have_places():
    with pytest.raises(SchemaError, match="line 2, column 13"):
        parse_schema('{"description": "NaN",\n "minimum": NaN}')
    with pytest.raises(SchemaError, match="-Infinity"):
        parse_schema('{"minimum": -Infinity}')
    with pytest.raises(SchemaError, match="line 1, column 2"):
        parse_schema("{1}")
    with pytest.raises(SchemaError, match="line 3"):
        parse_schema('{"type":\n "object"\n "x"}')
    with pytest.raises(SchemaError, match="not list"):
        parse_schema("[]")
    with pytest.raises(SchemaError, match="utf-8"):
        parse_schema(b'{"type": "\xff"}')
    with pytest.raises(LimitError):
        parse_schema('{"maximum": 1e999999999}')
    with pytest.raises(LimitError):
        parse_schema('{"maximum": ' + "9" * 5000 + "}")
    with pytest.raises(SchemaError, match="cannot read"):
        read_schema("no/such/file.json")
    with pytest.raises(SchemaError):
        read_schema(3.5)


def test_reading(tmp_path):
    path = tmp_path / "s.json"
    path.write_text('\ufeff{"type": "null"}', encoding="utf-8")
    assert read_schema(path) == read_schema(str(path)) == read_schema('{"type":"null"}') == {"type": "null"}
    assert read_schema("true") is True and read_schema(b"false") is False and read_schema({}) == {}
    notes: list = []
    assert parse_schema('{"a": 1, "b": {"x": 1, "x": 2}, "a": 3}', notes) == {"a": 3, "b": {"x": 2}}
    assert len(notes) == 2
    big = parse_schema('{"maximum": 1e400}')
    assert big["maximum"] == 10 ** 400


REFUSED = [
    ({"properties": {"x": {"if": {"uniqueItems": True}, "then": {"minItems": 1}}}}, "if", "#/properties/x/if"),
    ({"not": {"uniqueItems": True}}, "not", "#/not"),
    ({"dependentSchemas": {"a": {"not": {"required": ["b"], "properties": {"b": {"uniqueItems": True}}}}}}, "not",
     "#/dependentSchemas/a/not"),
    ({"oneOf": [{"uniqueItems": True}, {"items": {"maximum": 5}}]}, "oneOf", "#/oneOf"),
    ({"$schema": "http://json-schema.org/draft-03/schema#"}, "$schema", "#/$schema"),
]


@pytest.mark.parametrize("schema, keyword, pointer", REFUSED, ids=lambda x: x if isinstance(x, str) else None)
def test_refused_by_name_and_place(schema, keyword, pointer):
    with pytest.raises(UnsupportedSchema) as caught:
        lower(schema)
    assert (caught.value.keyword, caught.value.pointer) == (keyword, pointer)
    if keyword != "$schema":
        g = lower(schema, lenient=True)
        entry = next(e for e in g.coverage if e.pointer == pointer)
        assert entry.status == "not enforced" and entry.keyword == keyword
        assert (pointer, keyword) in g.relaxed


@pytest.mark.parametrize("schema", [
    {"uniqueItems": False}, {"uniqueItems": True, "type": "object"}, {"uniqueItems": True, "maxItems": 1},
    {"then": {"uniqueItems": True}}, {"if": {"uniqueItems": True}}, {"if": True, "then": {"minItems": 1}},
    {"minContains": 3}, {"contains": {"type": "string"}, "minContains": 0}, {"contains": True, "minContains": 2},
    {"type": "object", "contains": {"type": "string"}}, {"not": False}, {"unevaluatedProperties": True},
    {"properties": {"a": {}}, "unevaluatedProperties": False}, {"prefixItems": [{}], "unevaluatedItems": False},
    {"$defs": {"x": {"uniqueItems": True}}}, {"definitions": {"x": {"not": {"items": {}}}}},
    {"$schema": "http://json-schema.org/draft-04/schema#", "contains": {"type": "string"}, "if": {}, "then": False},
    {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "uniqueItems": True,
     "definitions": {"a": {"type": "array"}}},
    {"type": "string", "allOf": [{"uniqueItems": True}]}, {"dependencies": {"a": {"uniqueItems": True}}},
    {"properties": {"uniqueItems": {"const": True}}}, {"enum": [{"uniqueItems": True}]},
    {"type": "object", "properties": {"a": False}, "additionalProperties": False, "anyOf": [
        {"required": ["a"], "properties": {"a": {"uniqueItems": True}}}, {}]},
])
def test_without_effect_is_not_refused(schema):
    lower(schema)
