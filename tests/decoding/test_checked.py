"""Schemas that are checked once the text is complete: exact acceptance, dead ends by name, a way back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import structgen as sg

LETTERS = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
BITS = {"type": "array", "items": {"type": "boolean"}}
SCHEMAS = [
    {**BITS, "not": {"uniqueItems": True}},
    {"oneOf": [{**BITS, "uniqueItems": True}, {**BITS, "minItems": 2}]},
    {"type": "object", "properties": {"a": {**BITS, "not": {"uniqueItems": True}}, "b": BITS},
     "additionalProperties": False},
    {"type": "array", "items": {"type": ["boolean", "integer"]}, "if": {"uniqueItems": True}, "then": {"maxItems": 1}},
]
VALUES = st.recursive(st.sampled_from([True, False, 1]), lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)), max_leaves=5)


def compiled(schema):
    return sg.compile(sg.JsonSchema(schema, order="any", may_dead_end=True), LETTERS)


def ends(engine, text: str) -> bool:
    """Does every way to ask say so: byte by byte, with masks, with the end token?"""
    m, mask = engine.matcher(), np.zeros((1, 9), np.int32)
    try:
        m.accept_bytes(text.encode())
    except sg.MatcherError:
        return False
    found = m.can_end()
    try:
        m.fill_bitmask(mask)
        assert bool(mask[0, 8] & 1) == found
    except sg.DeadEndError as err:
        assert not found and err.text == text
    assert m.fork().try_accept(256) == found
    return found


@settings(max_examples=80)
@given(st.sampled_from(SCHEMAS), VALUES)
def test_what_ends_is_what_is_valid(schema, value):
    with pytest.raises(sg.UnsupportedSchema):
        sg.JsonSchema(schema)
    assert ends(compiled(schema), json.dumps(value)) == Draft202012Validator(schema).is_valid(value)


def test_a_dead_end_and_the_way_back():
    engine = compiled({**BITS, "not": {"uniqueItems": True}, "maxItems": 2})
    m = engine.matcher()
    m.accept_bytes(b"[true,")
    m.accept_bytes(b"false]")
    for _ in range(2):
        with pytest.raises(sg.DeadEndError, match="nothing can follow"):
            m.fill_bitmask(np.zeros((1, 9), np.int32))
    with pytest.raises(sg.DeadEndError):
        sg.fill_batch([engine.matcher(), m], np.zeros((2, 9), np.int32))
    m.rollback(1)
    m.accept_bytes(b"true]")
    assert m.can_end() and m.allowed_tokens().tolist() == [256]
    m.accept(256)
    assert m.is_finished and m.allowed_tokens().tolist() == [256]
    m = engine.matcher()
    assert m.shortest_completion() == b"[true,true]"
    m.accept_bytes(b"[true,false")
    with pytest.raises(sg.DeadEndError, match="no shortest valid text"):
        m.shortest_completion()


def test_flagged_where_it_is_needed_only(tmp_path):
    schema = SCHEMAS[0]
    assert compiled(schema).may_dead_end and not compiled(BITS).may_dead_end
    assert [e.pointer for e in compiled(schema).coverage if e.status == "checked"] == ["#/not"]
    assert sg.JsonSchema(schema, may_dead_end=True).relaxed == []
    assert [e.pointer for e in sg.JsonSchema(schema, lenient=True).relaxed] == ["#/not"]
    with pytest.raises(sg.StructgenError, match="choose one"):
        sg.JsonSchema(schema, lenient=True, may_dead_end=True)
    compiled(schema).save(tmp_path / "schema")
    again = sg.load_compiled(tmp_path / "schema", LETTERS)
    assert again.may_dead_end and ends(again, "[true, true]") and not ends(again, "[true]")


def test_where_states_are_needed_it_is_refused():
    constraint = sg.JsonSchema(SCHEMAS[0], may_dead_end=True)
    with pytest.raises(sg.StructgenError, match="has no states"):
        sg.compile(constraint, LETTERS).matcher().state
    from structgen.diffusion.byte_dfa import byte_dfa
    with pytest.raises(sg.StructgenError, match="has no states"):
        byte_dfa(sg.compile(constraint, LETTERS))
