"""The normal form itself: which nodes come out of which schema."""

from __future__ import annotations

from collections import OrderedDict
from fractions import Fraction

import pytest

from structgen.frontends.json_schema import lower
from structgen.grammar.ir import ANY_NUMBER, ArrayAlt, NumAlt, Options, ValueNode
from structgen.grammar.strings import ANY_STRING, Length, Literals, Pattern
from tests.support.ir_validate import accepts


def root(schema, **options):
    g = lower(schema, Options(**options))
    return g, g.node(g.root)


def only_object(schema, **options):
    g, node = root(schema, **options)
    (alt,) = node.objects
    return g, alt


def names_of(schema, **options):
    return only_object(schema, **options)[1].names


def test_any():
    for schema in (True, {}, {"title": "x"}, {"unknown": 3}, {"type": list(("null", "boolean", "number", "string",
                                                                            "array", "object"))}):
        g, node = root(schema)
        assert g.root == 0 and node[:5] == (True, True, True, ANY_NUMBER, ANY_STRING)
        assert node.arrays == (ArrayAlt((), 0, 0, None),)
        assert node.objects[0].extra.label(0) == 0


def test_scalars():
    assert root({"type": ["integer", "null"]})[1] == ValueNode(null=True, number=(NumAlt(integer=True),))
    assert root({"type": ["integer", "number"]})[1].number == ANY_NUMBER
    node = root({"enum": ["b", "a", "b", 1, 1.0, True, None]})[1]
    assert node == ValueNode(True, True, False, (NumAlt(lo=1, hi=1),), (((Literals(("a", "b")), True),),))
    assert root({"type": "integer", "enum": [1, 1.5, 2.0]})[1].number == (
        NumAlt(True, 1, False, 1), NumAlt(True, 2, False, 2))
    assert root({"type": "number", "exclusiveMinimum": 0.1})[1].number == (NumAlt(lo=Fraction(1, 10), lo_open=True),)
    draft4 = {"$schema": "http://json-schema.org/draft-04/schema#", "type": "number", "maximum": 5}
    assert root({**draft4, "exclusiveMaximum": True})[1].number == (NumAlt(hi=5, hi_open=True),)
    assert root({**draft4, "exclusiveMaximum": False})[1].number == (NumAlt(hi=5),)
    assert not lower(draft4).float_integers and lower({}).float_integers
    assert root({"type": "string", "minLength": 2.0, "pattern": "^a"})[1].string == (
        ((Pattern("ecma", "^a"), True), (Length(2, None), True)),)
    assert root({"const": 3, "enum": [3, 4]})[1].number == (NumAlt(lo=3, hi=3),)
    assert root({"enum": ["aa", "b"], "pattern": "^a"})[1].string == (((Literals(("aa",)), True),),)


def test_formats():
    assert root({"type": "string", "format": "no such format"})[1].string == ANY_STRING
    assert root({"type": "string", "format": "date"}, format="annotate")[1].string == ANY_STRING
    assert root({"type": "string", "format": "date"}, format={"date": False})[1].string == ANY_STRING
    assert root({"type": "string", "format": "date"}, format={"time": False})[1].string != ANY_STRING
    assert root({"type": "string", "format": "date"})[1].string != ANY_STRING


def test_key_order():
    schema = {"type": "object", "required": ["z", "q"], "$ref": "#/$defs/r", "properties": {"m": {}, "b": {}},
              "allOf": [{"properties": {"c": {}, "m": {}}}, {"anyOf": [{"properties": {"d": {}}}]}],
              "$defs": {"r": {"properties": {"e": {}, "a": {}}, "required": ["q", "p"]}}}
    assert names_of(schema) == ("m", "b", "e", "a", "c", "d", "z", "q", "p")
    assert names_of({"required": ["y", "x"], "properties": {"x": {}}, "type": "object"}) == ("x", "y")


def test_objects():
    g, alt = only_object({"type": "object", "required": ["u", "v"], "properties": {"a": {"type": "null"}},
                          "patternProperties": {"^u": {"type": "integer"}}, "additionalProperties": {"type": "string"}})
    assert alt.required == (False, True, True) and alt.min == 2
    assert [g.node(n).null or bool(g.node(n).number) for n in alt.nodes] == [True, True, False]
    assert g.node(alt.extra.label(0)).string and g.node(alt.extra.label(1)).number and alt.extra.size is None
    assert names_of({"type": "object", "propertyNames": {"enum": ["x", "y"]}}) == ("x", "y")
    g, alt = only_object({"type": "object", "patternProperties": {"^(x|y)[0-9]$": {}, "^x": {"type": "null"}},
                          "additionalProperties": False})
    assert alt.extra is not None and alt.extra.size is None
    g, alt = only_object({"type": "object", "properties": {"x1": {}}, "patternProperties": {"^[xy][0-9]$": {}},
                          "additionalProperties": False})
    assert len(alt.names) == 20 and alt.extra is None
    g, alt = only_object({"type": "object", "properties": {"abc": {}}, "patternProperties": {"^[a-z]{1,3}$": {}},
                          "additionalProperties": False})
    assert alt.names == ("abc",) and alt.extra.size == 26 + 26 ** 2 + 26 ** 3 - 1
    g, alt = only_object({"type": "object", "maxProperties": 1, "required": ["a"]})
    assert alt.extra is None and alt.names == ("a",) and (alt.min, alt.max) == (1, None)
    g, alt = only_object({"type": "object", "properties": {"a": {}, "b": {}, "c": False}, "dependentRequired": {
        "a": ["b", "d"], "e": ["c"]}})
    assert alt.names == ("a", "b", "c", "d", "e") and alt.nodes[4] == -1 and alt.deps == ((0, (1, 3)),)
    g, alt = only_object({"type": "object", "patternProperties": {"": False}})
    assert alt.names == () and alt.extra is None


def test_closed():
    schema = {"type": "object", "properties": {"a": {}, "m": {"type": "object"}}}
    g, alt = only_object(schema, extra="closed")
    assert alt.extra is None
    assert g.node(alt.nodes[1]).objects[0].extra is not None        # a free-form object stays one
    assert [e.keyword for e in g.coverage if e.status == "narrowed"] == ["additionalProperties"]
    assert only_object({**schema, "additionalProperties": {"type": "null"}}, extra="closed")[1].extra is not None
    g, alt = only_object({**schema, "patternProperties": {"^x": {"type": "null"}}}, extra="closed")
    assert alt.extra.label(0) == -1 and alt.extra.label(1) > 0
    assert only_object({"type": "object", "additionalProperties": True}, extra="closed")[1].extra is not None


def test_only_declared_properties_close_an_object():
    """Names in a complement, and objects that must differ, declare nothing."""
    for schema in ({"type": "object", "not": {"required": ["z"]}}, {"type": "object", "required": ["a"]},
                   {"type": "object", "dependentSchemas": {"a": {"required": ["b"], "maxProperties": 3}}}):
        g = lower(schema, Options(extra="closed"))
        assert all(alt.extra is not None for alt in g.node(g.root).objects), schema
    g = lower({"type": "array", "uniqueItems": True, "items": {"type": "object"}}, Options(extra="closed"))
    rest = g.node(g.without(g.node(g.root).arrays[0].items, [{"a": 1}, {"a": 2, "b": 3}, {}]))
    assert rest.objects and all(alt.extra is not None for alt in rest.objects)
    declared = lower({"type": "array", "uniqueItems": True, "items": {"type": "object", "properties": {"a": {}}}},
                     Options(extra="closed"))
    rest = declared.node(declared.without(declared.node(declared.root).arrays[0].items, [{"a": 1}]))
    assert rest.objects and all(alt.extra is None for alt in rest.objects)


def test_arrays():
    _, node = root({"type": "array", "prefixItems": [{"type": "null"}, {"type": "string"}], "items": {"type": "null"},
                    "maxItems": 1})
    (alt,) = node.arrays
    assert len(alt.prefix) == 1 and alt.items == -1 and alt.max == 1
    draft7 = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"type": "null"}]}
    assert root({**draft7, "additionalItems": False})[1].arrays[0].max == 1
    assert root(draft7)[1].arrays[0].items == 0
    assert root({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": {},
                 "additionalItems": False})[1].arrays[0].items == 0


def test_equal_scalars_share_a_node():
    g, alt = only_object({"type": "object", "properties": {
        "a": {"type": "string", "description": "x"}, "b": {"type": "string"}, "c": {"minLength": 1, "type": "string"},
        "d": {"type": "string", "minLength": 1}, "e": {"title": "anything"}}})
    assert alt.nodes[0] == alt.nodes[1] and alt.nodes[2] == alt.nodes[3] != alt.nodes[0] and alt.nodes[4] == 0


def test_recursion_through_all_of_ends():
    schema = {"$defs": {"base": {"type": "object", "properties": {"kids": {"type": "array", "items": {
        "$ref": "#/$defs/base"}}, "n": {"type": "integer"}}, "required": ["n"]}},
        "allOf": [{"$ref": "#/$defs/base"}], "properties": {"kids": {"items": {"$ref": "#"}}, "n": {"minimum": 1}}}
    g = lower(schema)
    for i in range(60):
        if i < len(g._forms) and g.has(i):
            g.node(i)
    assert len(g._forms) < 40
    assert accepts(g, g.root, {"n": 1, "kids": [{"n": 2, "kids": [{"n": 3}]}]})
    assert not accepts(g, g.root, {"n": 1, "kids": [{"n": 2, "kids": [{"n": 0}]}]})


def test_references():
    integer = {"type": "integer"}
    for schema in (
        {"$ref": "#/$defs/a~1b~0c%25", "$defs": {"a/b~c%": integer}},
        {"$ref": "#/x/1/y", "x": [{}, {"y": integer}]},
        {"$ref": "#here", "$defs": {"q": {"$anchor": "here", **integer}}},
        {"$id": "http://e.org/root.json", "$ref": "item.json", "$defs": {"q": {"$id": "item.json", **integer}}},
        {"$id": "http://e.org/root.json", "$ref": "http://e.org/root.json#/$defs/q", "$defs": {"q": integer}},
        {"$ref": "schema/lemon", "$defs": {"q": {"$id": "schema/lemon", **integer}}},
        {"$ref": "a#/$defs/t", "$defs": {"q": {"$id": "a", "$defs": {"t": {"$ref": "#/$defs/u"}, "u": integer}},
                                         "u": {"type": "string"}}},
        {"$schema": "http://json-schema.org/draft-04/schema#", "$ref": "#foo",
         "definitions": {"a": {"id": "#foo", **integer}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "type": "string",
         "definitions": {"a": integer}},
        {"$ref": "urn:x:int"}, {"$ref": "http://e.org/other.json#/definitions/i"},
        {"$ref": "http://json-schema.org/draft-07/schema#/definitions/nonNegativeInteger", "maximum": 10 ** 6},
    ):
        registry = {"urn:x:int": integer, "http://e.org/other.json": {"definitions": {"i": {"$ref": "#/definitions/j"},
                                                                                      "j": integer}}}
        g = lower(schema, registry=registry)
        node = g.node(g.root)
        assert node.number[0].integer and not node.string, schema
    # in drafts up to 7 an $id beside $ref is hidden with all else, and so is the base it would set
    g = lower({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "http://e.org/a.json",
               "allOf": [{"$id": "http://e.org/sub/b.json", "$ref": "c.json"}], "definitions": {
                   "c": {"$id": "c.json", "type": "integer"}}})
    assert g.node(g.root).number[0].integer


def test_drafts():
    def drafts(schema):
        return {d: lower({"$schema": uri, **schema}) for d, uri in {
            4: "http://json-schema.org/draft-04/schema#", 6: "http://json-schema.org/draft-06/schema",
            7: "https://json-schema.org/draft-07/schema#", 2019: "https://json-schema.org/draft/2019-09/schema#",
            2020: "http://json-schema.org/draft/2020-12/schema"}.items()}

    def verdicts(schema, value):
        return [d for d, g in drafts(schema).items() if accepts(g, g.root, value)]

    assert verdicts({"const": 1}, 2) == [4]
    assert verdicts({"propertyNames": {"maxLength": 1}}, {"aa": 1}) == [4]
    assert verdicts({"dependencies": {"a": ["b"]}}, {"a": 1}) == []      # later drafts let it be supported
    assert verdicts({"dependentRequired": {"a": ["b"]}}, {"a": 1}) == [4, 6, 7]
    assert verdicts({"if": True, "then": {"type": "string"}}, 1) == [4, 6]
    assert verdicts({"$ref": "#/x", "x": {"type": "integer"}, "minimum": 3}, 1) == [4, 6, 7]
    assert verdicts({"type": "integer"}, 1.0) == [6, 7, 2019, 2020]


ONE_OF = [
    ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, True),
    ({"oneOf": [{"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^b"}]}, True),
    ({"oneOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, True),         # b is in both, so in neither
    ({"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 4}]}, True),
    ({"oneOf": [{"required": ["a"], "properties": {"k": {"const": 1}}},
                {"required": ["k"], "properties": {"k": {"const": 2}, "a": False}}], "type": "object"}, True),
    ({"type": "object", "properties": {"k": {"type": "string"}}, "required": ["k"], "oneOf": [
        {"properties": {"k": {"const": "x"}}}, {"properties": {"k": {"const": "y"}}}]}, True),
    ({"oneOf": [{"type": "array", "maxItems": 1}, {"type": "array", "minItems": 2}]}, True),
    ({"oneOf": [{"type": "array", "items": {"type": "integer"}, "minItems": 1},
                {"type": "array", "items": {"type": "string"}, "minItems": 1}]}, True),
    ({"oneOf": [{"type": "array", "items": {"type": "integer"}},
                {"type": "array", "items": {"type": "string"}}]}, True),           # the empty array is in both
    ({"oneOf": [{"type": "array", "uniqueItems": True}, {"type": "array", "items": {"type": "string"}}]}, False),
    ({"$defs": {"t": {"oneOf": [{"type": "null"}, {"type": "object", "required": ["l"], "properties": {
        "l": {"$ref": "#/$defs/t"}}}]}}, "$ref": "#/$defs/t"}, True),
]


@pytest.mark.parametrize("schema, provable", ONE_OF)
def test_one_of(schema, provable):
    if provable:
        lower(schema)
    else:
        from structgen.errors import UnsupportedSchema
        with pytest.raises(UnsupportedSchema):
            lower(schema)


def test_one_of_overlap_is_left_out():
    g = lower({"oneOf": [{"enum": ["a", "b", None, True]}, {"enum": ["b", "c", None, False]}]})
    assert [v for v in ("a", "b", "c", None, True, False) if accepts(g, g.root, v)] == ["a", "c", True, False]


def test_coverage():
    g = lower({"$schema": "http://json-schema.org/draft-07/schema#", "title": "t", "properties": {
        "a": {"type": "string", "format": "color"}, "b": {"$ref": "#/definitions/x", "minimum": 3},
        "c": {"const": 1, "dependentRequired": {"a": ["b"]}, "x-mine": 1, "format": "date"}},
        "definitions": {"x": {"type": "integer"}, "unused": {"type": "string"}}})
    found = {e.pointer: (e.keyword, e.status, e.note) for e in g.coverage}
    assert found["#/properties/a/format"] == ("format", "not enforced", "unknown format")
    assert found["#/properties/b/minimum"][1:] == ("annotation", "hidden by $ref in this draft")
    assert found["#/properties/c/const"][1] == "enforced"
    assert found["#/properties/c/dependentRequired"][1:] == ("annotation", "not a keyword in this draft")
    assert found["#/properties/c/x-mine"][1:] == ("annotation", "unknown keyword")
    assert found["#/definitions/x/type"][1] == "enforced" and "#/definitions/unused/type" not in found
    assert found["#/title"][1] == "annotation" and found["#/properties"][1] == "enforced"


@pytest.mark.parametrize("wrap", [
    lambda s: s, lambda s: {"$ref": "#/$defs/a", "$defs": {"a": s}}, lambda s: {"allOf": [s]},
    lambda s: {"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": s}}, lambda s: {"allOf": [{"allOf": (s,)}]},
    lambda s: OrderedDict(not_={"type": "integer"}, anyOf=[s])])
def test_subclasses_of_dict_are_schemas(wrap):
    plain, other = ({"type": "string", "maxLength": 3}, OrderedDict(type="string", maxLength=3))
    assert root(wrap(other))[1] == root(wrap(plain))[1] != root({})[1]


def test_subclasses_of_dict_in_the_registry():
    g = lower({"$ref": "http://x.y/z"}, registry={"http://x.y/z": OrderedDict(type="string")})
    assert g.node(g.root) == ValueNode(string=ANY_STRING)
