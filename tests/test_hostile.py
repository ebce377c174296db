"""Hostile input, from the user's call to the first masks: a typed error or an answer.

What only the front end sees is in ``frontends/json_schema/test_bad_input.py``;
here the same questions go through ``compile`` and the matcher.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import structgen as sg
from structgen.errors import (
    LimitError, ModelError, SchemaError, StructgenError, UnsatisfiableSchema, VocabularyError,
)


@pytest.fixture(scope="module")
def vocabulary() -> sg.Vocabulary:
    words = [b"aaaa", b"a ", b" a", b"word ", b"words", b"[[", b"]]", b'{"', b'":', b'"}']
    return sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)] + words, eos_ids=[256 + len(words)])


def use(compiled, text: bytes, piece: int = 7) -> None:
    """Masks and steps along `text`; a LimitError is an answer, and leaves the matcher usable."""
    m = compiled.matcher()
    row = np.zeros(compiled.vocabulary.words, np.int32)
    for at in range(0, len(text), piece):
        before = m.text
        try:
            m.fill_bitmask(row)
            assert row.any()
            m.accept_bytes(text[at:at + piece])
        except LimitError as error:
            assert error.place and error.limit and error.partial == before.decode()
            assert m.text == before
            m.rollback(0)
            return
    assert m.text == text


@pytest.mark.parametrize(
    "text", ['{"type": ', "{", '{"a" 1}', "[1", "nul", '{"a": 01}', '{"a": "\n"}', "\x00", "{'type': 'null'}"]
)
def test_malformed_json(vocabulary, text):
    with pytest.raises(SchemaError):
        sg.compile(sg.JsonSchema(text), vocabulary)


@pytest.mark.parametrize("schema", [
    {"type": "strin"}, {"minLength": -1}, {"properties": []}, {"pattern": "("}, {"required": True},
    {"minimum": float("nan")}, {"maximum": float("inf")}, {"multipleOf": float("-inf")}, {"enum": [float("nan")]},
    {"const": float("inf")}, {"items": {"exclusiveMaximum": float("nan")}}, {"minLength": float("inf")},
    {"$ref": "#/nowhere"}, {"$ref": "https://example.com/schema.json"}, {"properties": {"a": {"$ref": "file:///etc/hosts"}}},
    {"properties": {1: {}}}, {"const": object()}, {"type": ["string", 5]},
])
def test_invalid_schemas(vocabulary, schema):
    with pytest.raises(StructgenError) as caught:
        sg.compile(schema, vocabulary)
    assert not isinstance(caught.value, (UnsatisfiableSchema, LimitError))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"enum": []},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4},
        {"type": "object", "required": ["a"], "properties": {"a": False}},
        {"type": "string", "pattern": "^a$", "minLength": 2},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
    ],
)
def test_unsatisfiable_schemas(vocabulary, schema):
    with pytest.raises(UnsatisfiableSchema):
        sg.compile(schema, vocabulary)


PATTERNS = {
    r"(.*a.{40})": b'"' + b"ab" * 60 + b'"',
    r"(.*a.{400})": b'"' + b"abba" * 200 + b'"',
    r"^(\S+\s+){0,99}\S+$": b'"' + b"words and more " * 30 + b'end"',
    r"^(a|a?)+$": b'"' + b"a" * 100 + b'"',
    r"(x+x+)+y": b'"' + b"x" * 100 + b'y"',
    r"^(([a-z])+.)+[A-Z]([a-z])+$": b'"' + b"a" * 60 + b'Bc"',
    r"^(?=.*a.{9})(?=.*b.{9})(?=.*c.{9}).*$": b'"' + b"abc" * 20 + b'"',
    r"^((a{0,100}){0,100}){0,100}$": b'"' + b"a" * 100 + b'"',
    r"^(?:(?:a|b)*(?:c|d)*){30}$": b'"' + b"abcd" * 20 + b'"',
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("length", [{"maxLength": 5000}, {}, {"minLength": 40, "maxLength": 4000}])
def test_hostile_patterns(vocabulary, pattern, length):
    try:
        compiled = sg.compile({"type": "string", "pattern": pattern, **length}, vocabulary)
    except LimitError as error:
        assert error.place and error.limit
        return
    use(compiled, PATTERNS[pattern])
    use(compiled, PATTERNS[pattern][:40], 1)


@pytest.mark.parametrize("pattern", ["(a{1000}){1000}", "a{99999999}", "(" * 5000 + "a" + ")" * 5000, "[" * 3000,
                                     "(?=a)" * 3000, "a|" * 20000, "(a*)*" * 500, "\\", "(?<=a+)b", "a{2,1}"])
def test_hostile_pattern_texts(vocabulary, pattern):
    for make, text in ((lambda: {"type": "string", "pattern": pattern}, b'"'), (lambda: sg.Regex(pattern), b"")):
        try:
            use(sg.compile(make(), vocabulary), text)
        except StructgenError:
            pass


def test_nesting(vocabulary):
    depth = 10_000
    for keyword, text in (("items", b"["), ("additionalProperties", b'{"a":')):
        schema: dict = {"type": "integer"}
        for _ in range(depth):
            schema = {"type": "array" if keyword == "items" else "object", keyword: schema}
        try:
            use(sg.compile(schema, vocabulary), text * 300, 50)
        except LimitError as error:
            assert error.place
        while schema.get(keyword):          # freed step by step
            schema = schema.pop(keyword)
    for keyword in ("allOf", "anyOf", "not"):
        with pytest.raises(StructgenError):
            sg.compile(sg.JsonSchema(f'{{"{keyword}":[' * depth + "{}" + "]}" * depth), vocabulary)


def test_deep_values(vocabulary):
    depth = 10_000
    m = sg.compile({}, vocabulary).matcher()
    m.accept_bytes(b"[" * depth)
    assert m.allowed_tokens().size
    m.accept_bytes(b"]" * depth)
    assert m.can_end()
    m.rollback(1)
    try:
        assert m.shortest_completion() == b"]" * depth
    except LimitError as error:
        assert error.place


def test_five_megabytes(vocabulary):
    parts = {f"name {i}": {"type": "object", "description": "x" * 150, "properties": {
        "a": {"type": "string", "maxLength": i % 90, "pattern": f"^x{i % 50}"} if i % 4 else {"enum": [i, str(i)]},
        "b": {"$ref": "#/$defs/d"}}, "required": ["b"]} for i in range(18_000)}
    schema = {"type": "object", "properties": parts, "$defs": {"d": {"type": "array", "items": {"type": "integer"}}}}
    text = json.dumps(schema)
    assert len(text) > 5_000_000
    try:
        compiled = sg.compile(sg.JsonSchema(text), vocabulary)
    except LimitError:
        return
    use(compiled, b'{"name 16":{"b":[1,2]},"name 17999":{"a":"x', 3)


def test_large_enums_and_texts(vocabulary):
    compiled = sg.compile({"enum": [f"value {i:06d}" for i in range(20_000)]}, vocabulary)
    use(compiled, b'"value 019999"', 2)
    use(sg.compile({"const": "x" * 200_000}, vocabulary), b'"' + b"x" * 5000, 997)
    use(sg.compile({"type": "string", "maxLength": 1 << 30}, vocabulary), b'"' + b"x" * 5000 + b'"', 997)
    use(sg.compile({"type": "array", "maxItems": 1 << 40, "minItems": 1 << 20}, vocabulary), b"[" + b"1," * 500, 50)
    use(sg.compile({"type": "integer", "minimum": 10 ** 300, "maximum": 10 ** 301}, vocabulary), b"1" + b"0" * 299, 9)


@pytest.mark.parametrize("key", ["a" * 200_000, "\\\\" * 50_000, "é" * 50_000])
def test_long_keys(vocabulary, key):
    m = sg.compile({"type": "object"}, vocabulary).matcher()
    m.accept_bytes(f'{{"{key}":1,'.encode())
    m.accept_bytes(f'"{key}'.encode())
    with pytest.raises(sg.MatcherError):
        m.accept_bytes(b'"')


@pytest.mark.parametrize("tokenizer", ["no/such/folder", "no-such-tokenizer.json", 5, None, object(), b"x", {}])
def test_unknown_tokenizers(tokenizer):
    with pytest.raises(VocabularyError):
        sg.compile({"type": "null"}, tokenizer)


@pytest.mark.parametrize("model", [5, None, object(), b"x"])
def test_no_models(model):
    with pytest.raises(ModelError):
        sg.generate("prompt", {"type": "null"}, model=model)


def test_unknown_models(monkeypatch, tmp_path):
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in (str(tmp_path / "nothing"), str(tmp_path)):
        with pytest.raises(ModelError):
            sg.load(name)
