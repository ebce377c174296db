"""Compiled constraints in files: the same masks after loading, and no file that does harm."""

from __future__ import annotations

import enum
import hashlib
import json
import random
import re
import sys
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction
from typing import Literal, Optional

import numpy as np
import pytest
from pydantic import BaseModel

import structgen as sg
from structgen.decoding import artefact
from structgen.errors import LimitError, StructgenError, VocabularyError
from tests.support.command_line import run_command
from tests.support.random_schemas import random_schema

SPARE = [b'{"', b'":', b', "', b"true", b"null", b"12", b"0.", b"ab", "é".encode(), b" ", b"\\u00"]


@pytest.fixture(scope="module")
def vocabulary():
    return sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)] + SPARE, eos_ids=[256 + len(SPARE)])


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Person(BaseModel):
    name: str
    age: int
    colour: Optional[Colour] = None
    kind: Literal["a", 3] = "a"
    tags: dict[str, float] = {}


CONSTRAINTS = {
    "true": True,
    "object": {"type": "object", "properties": {"zeta": {"type": "integer", "minimum": -3},
                                                "alpha": {"enum": ["x", None, 1.5, {"k": [0]}]},
                                                "mid": {"type": "string", "pattern": "^[a-c]+$", "maxLength": 4}},
               "required": ["mid"]},
    "recursive": {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "additionalProperties": False,
                                                       "properties": {"v": {"type": "number", "maximum": 10 ** 400},
                                                                      "next": {"$ref": "#/$defs/n"}}}}},
    "draft 4": {"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer", "minimum": 0,
                "exclusiveMinimum": True},
    "draft 7": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"const": 1.0}],
                "additionalItems": False},
    "text": '{"maximum": 123456789012345678901234567890.25e300, "type": "number", "minimum": -0.0}',
    "odd keys": {"type": "object", "properties": {"\ud800": {"type": "null"}, "é\n\"\x00": {"const": "\u2028"}},
                 "additionalProperties": {"type": "null"}, "maxProperties": 2},
    "options": sg.JsonSchema({"type": "object", "properties": {"b": {"type": "number"}, "a": {"format": "date"}}},
                             order="any", extra="closed", whitespace="compact", numbers="plain", escapes="minimal",
                             format={"date": False}),
    "annotate": sg.JsonSchema({"type": "string", "format": "ipv4"}, format="annotate", whitespace="json.dumps"),
    "registry": sg.JsonSchema({"$ref": "http://x.y/z#/$defs/q"}, registry={
        "http://x.y/z": {"$defs": {"q": {"items": {"$ref": "t"}, "type": "array"}}}, "http://x.y/t": {"const": 7}}),
    "lenient": sg.JsonSchema({"type": "array", "uniqueItems": True, "items": {"type": "null"}}, lenient=True),
    "type": Person,
    "list": list[int],
    "shared": (lambda s: {"type": "array", "prefixItems": [s, s], "items": s})({"type": "string", "maxLength": 2}),
    "subclasses": OrderedDict(type="array", minItems=2, items=False, prefixItems=(
        OrderedDict(const=0.5), {"type": "number", "maximum": Fraction(1, 4)})),
    "regex": sg.Regex(r"(?i)[a-cé]{2,5}|\d+\.\d"),
    "compiled regex": re.compile("a.b", re.S | re.I),
    "ecma": sg.Regex(r"^\u{61}+\d$", mode="ecma"),
    "choice": sg.Choice(["yes", "no", "é\n", "\"quoted\""]),
}


def assert_same(a, b, steps=40, seed=0):
    """Walk through both at once; every mask is the same."""
    rng = random.Random(seed)
    x, y = a.matcher(), b.matcher()
    rows = np.zeros((2, a.vocabulary.words), np.int32)
    for _ in range(steps):
        x.fill_bitmask(rows, 0)
        y.fill_bitmask(rows, 1)
        assert np.array_equal(rows[0], rows[1])
        allowed = x.allowed_tokens().tolist()
        structure = [t for t in allowed if a.vocabulary.token_bytes(t) in (b'"', b"}", b"]", b",", b":", b'":', None)]
        token = rng.choice(structure if structure and rng.random() < 0.5 else allowed)
        x.accept(token)
        y.accept(token)
        if token in a.vocabulary.eos_ids:
            break
    assert x.can_end() == y.can_end()


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_round_trip(name, vocabulary, tmp_path):
    first = sg.compile(CONSTRAINTS[name], vocabulary)
    first.save(tmp_path / "a.sgc")
    second = sg.load_compiled(tmp_path / "a.sgc", vocabulary)
    for seed in range(4):
        assert_same(first, second, seed=seed)
    assert first.matcher().shortest_completion() == second.matcher().shortest_completion()
    assert {(e.keyword, e.status) for e in first.source.coverage} == {(e.keyword, e.status)
                                                                      for e in second.source.coverage}
    # a loaded one is saved as the same file
    second.save(str(tmp_path / "b.sgc"))
    assert (tmp_path / "b.sgc").read_bytes() == (tmp_path / "a.sgc").read_bytes()
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["a.sgc", "b.sgc"]


def test_random_schemas(vocabulary, tmp_path):
    done = 0
    for seed in range(150):
        schema = random_schema(random.Random(seed))
        try:
            first = sg.compile(schema, vocabulary)
        except StructgenError:
            continue
        first.save(tmp_path / "a.sgc")
        assert_same(first, sg.load_compiled(tmp_path / "a.sgc", vocabulary), seed=seed)
        done += 1
    assert done > 50


def test_python_types_come_back_as_their_schema(vocabulary, tmp_path):
    sg.compile(Person, vocabulary).save(tmp_path / "p.sgc")
    loaded = sg.load_compiled(tmp_path / "p.sgc", vocabulary)
    text = loaded.matcher().shortest_completion().decode()
    assert loaded.source.value(text) == json.loads(text)
    Person.model_validate_json(text)
    # an int is written in digits, as for the type itself: 1.0 is an integer of schemas only
    sg.compile(int, vocabulary).save(tmp_path / "i.sgc")
    for constraint, fits in ((sg.load_compiled(tmp_path / "i.sgc", vocabulary), False),
                             (sg.compile({"type": "integer"}, vocabulary), True)):
        m = constraint.matcher()
        m.accept_bytes(b"1")
        assert (ord(".") in m.allowed_tokens().tolist()) is fits


def test_file_is_text_and_permissions_are_ordinary(vocabulary, tmp_path):
    path = tmp_path / "a.sgc"
    sg.compile({"type": "object", "properties": {"b": {}, "a": {}}}, vocabulary).save(path)
    first, rest = path.read_text("ascii").split("\n", 1)
    magic, version, digest = first.split(" ")
    assert (magic, version) == ("structgen-compiled", "1") and digest == hashlib.sha256(rest.encode()).hexdigest()
    record = json.loads(rest)
    assert record["structgen"] == sg.__version__
    assert record["tokenizer"]["fingerprint"] == vocabulary.fingerprint
    assert list(record["constraint"]["schema"]["properties"]) == ["b", "a"]
    plain = tmp_path / "plain"
    plain.write_text("")
    assert plain.stat().st_mode == path.stat().st_mode


def test_another_tokenizer(vocabulary, tmp_path):
    sg.compile(sg.Choice(["a"]), vocabulary).save(tmp_path / "a.sgc")
    tokens = [bytes([b]) for b in range(256)] + SPARE
    others = [sg.Vocabulary.from_tokens(tokens[:-1] + [b"zz"], eos_ids=[len(tokens)]),
              vocabulary.with_eos([vocabulary.size])]
    for other, alike in zip(others, (False, False)):
        with pytest.raises(VocabularyError) as error:
            sg.load_compiled(tmp_path / "a.sgc", other)
        assert vocabulary.fingerprint in str(error.value) and other.fingerprint in str(error.value)
        assert "a.sgc" in str(error.value) and ("same tokens" in str(error.value)) is alike
    renamed = sg.Vocabulary.from_tokens(tokens, eos_ids=[len(tokens)], special={"<end>": len(tokens)})
    with pytest.raises(VocabularyError, match="same tokens"):
        sg.load_compiled(tmp_path / "a.sgc", renamed)


@pytest.fixture
def saved(vocabulary, tmp_path):
    path = tmp_path / "a.sgc"
    compiled = sg.compile(sg.JsonSchema({"type": "object", "properties": {"a": {"type": "string", "maxLength": 3},
                                                                          "b": {"$ref": "http://x.y/z"}},
                                         "required": ["b"]}, registry={"http://x.y/z": {"maximum": 2.5}},
                                        format={"date": False}), vocabulary)
    compiled.save(path)
    return compiled, path, path.read_bytes()


def test_every_flipped_byte(saved, vocabulary):
    compiled, path, good = saved
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1:])
        with pytest.raises(StructgenError, match="a.sgc"):
            sg.load_compiled(path, vocabulary)
    for end in range(0, len(good), 7):
        path.write_bytes(good[:end])
        with pytest.raises(StructgenError, match="a.sgc"):
            sg.load_compiled(path, vocabulary)
    path.write_bytes(good + b" ")
    with pytest.raises(StructgenError, match="checksum"):
        sg.load_compiled(path, vocabulary)


def sealed(body: bytes, version: int = 1) -> bytes:
    return b"structgen-compiled %d %s\n" % (version, hashlib.sha256(body).hexdigest().encode()) + body


def test_flipped_bytes_with_the_right_checksum(saved, vocabulary):
    """Someone's own file: a typed error or a constraint, nothing else."""
    _, path, good = saved
    body = good.split(b"\n", 1)[1]
    loaded = 0
    for at in range(len(body)):
        for bit in (at % 8, (at + 3) % 8):
            path.write_bytes(sealed(body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1:]))
            try:
                sg.load_compiled(path, vocabulary).matcher().allowed_tokens()
                loaded += 1
            except StructgenError as error:
                assert "a.sgc" in str(error)
    assert loaded > 10


def test_forged_records(saved, vocabulary):
    _, path, good = saved
    record = json.loads(good.split(b"\n", 1)[1])

    def refused(change):
        bad = json.loads(json.dumps(record))
        bad = change(bad) or bad
        path.write_bytes(sealed(json.dumps(bad).encode()))
        with pytest.raises(StructgenError, match="a.sgc"):
            sg.load_compiled(path, vocabulary)

    for value in (None, 3, [], {}, "x", True, [[1, 2, 3, 4, 5]], {"a": 1}):
        for key in record:
            if (key, value) != ("structgen", "x"):
                refused(lambda r: r.__setitem__(key, value))
        for key in record["constraint"]:
            if type(value) is not type(record["constraint"][key]) and not (key == "schema" and value is True) and not (
                    key in ("registry", "format") and value in (None, {})):
                refused(lambda r: r["constraint"].__setitem__(key, value))
        for kind in ("regex", "choice", "lark") if value != "x" else ():
            refused(lambda r: r.__setitem__("constraint", {"kind": kind, "pattern": value, "mode": "python",
                                                           "options": value}))
        refused(lambda r: r["constraint"]["options"].__setitem__("order", value))
        refused(lambda r: r["constraint"]["options"].__setitem__("other", value))
    for key in record["constraint"]:
        refused(lambda r: r["constraint"].pop(key) and None)
    refused(lambda r: [r])
    for body in (b"", b"[]", b"nul", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b'{"x": 1e999999999}'):
        path.write_bytes(sealed(body))
        with pytest.raises(StructgenError, match="a.sgc"):
            sg.load_compiled(path, vocabulary)


def test_other_versions(saved, vocabulary, monkeypatch):
    _, path, good = saved
    body = good.split(b"\n", 1)[1]
    path.write_bytes(sealed(body, 2))
    with pytest.raises(StructgenError, match="format version 2"):
        sg.load_compiled(path, vocabulary)
    # another structgen that treats every keyword alike reads the file, others say so
    newer = body.replace(f'"structgen": "{sg.__version__}"'.encode(), b'"structgen": "99.1"')
    path.write_bytes(sealed(newer))
    sg.load_compiled(path, vocabulary)
    path.write_bytes(sealed(newer.replace(b'"type": "string"', b'"minLength": 0')))
    with pytest.raises(StructgenError, match="structgen 99.1, .* other keywords"):
        sg.load_compiled(path, vocabulary)


def test_files_that_are_none(vocabulary, tmp_path):
    for path in (tmp_path / "none.sgc", tmp_path, str(tmp_path / ("x" * 5000)), "a\0b.sgc", "/dev/null"):
        with pytest.raises(StructgenError):
            sg.load_compiled(path, vocabulary)


def test_not_writable(vocabulary, tmp_path):
    (tmp_path / "file").write_text("")
    compiled = sg.compile(True, vocabulary)
    for target in (tmp_path / "file" / "x.sgc", tmp_path):
        with pytest.raises(OSError):
            compiled.save(target)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_no_file_can_hold(vocabulary, tmp_path):
    from structgen.grammar.ir import TextGrammar

    cyclic: dict = {"default": {}, "type": "null"}
    cyclic["default"]["again"] = cyclic
    deep: dict = {}
    for _ in range(sys.getrecursionlimit()):
        deep = {"x": deep}
    wide: list = []
    for _ in range(60):
        wide = [wide, wide]
    for bad, error in ((TextGrammar(), StructgenError), ({"default": {3: 4}}, StructgenError),
                       ({"default": {1, 2}}, StructgenError), ({"default": float("nan")}, StructgenError),
                       ({"default": Fraction(1, 3)}, StructgenError), ({"default": 10 ** 5000}, StructgenError),
                       ({"default": Decimal("0.1000000000000000000000001")}, StructgenError),
                       (cyclic, LimitError), ({"default": deep}, LimitError)):
        compiled = sg.compile(bad, vocabulary)
        with pytest.raises(error):
            compiled.save(tmp_path / "a.sgc")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artefact, "MAX_VALUES", 10_000)
        with pytest.raises(LimitError):
            sg.compile({"default": wide}, vocabulary).save(tmp_path / "a.sgc")
    assert not list(tmp_path.iterdir())


def test_numbers_are_exact(vocabulary, tmp_path):
    values = [0.1, -0.0, 1.0, 1, 5e-324, 1.7976931348623157e308, 10 ** 400, 123456789 ** 30, 2 ** 53 + 1,
              Fraction(10 ** 310 * 4 + 1, 4), Decimal("1.5"), True]
    sg.compile({"x-values": values}, vocabulary).save(tmp_path / "a.sgc")
    again = sg.load_compiled(tmp_path / "a.sgc", vocabulary).source.schema["x-values"]
    assert again == values and [str(a) for a in again[:9]] == [str(v) for v in values[:9]]


def test_command_line(tmp_path):
    target, schema = tmp_path / "out.sgc", tmp_path / "s.json"
    schema.write_text('{"properties": {"b": {"type": "integer"}, "a": {}}, "type": "object"}')
    done = run_command("compile", schema, "-t", "bytes", "-o", target, "--order", "any", "--whitespace", "compact")
    assert done.code == 0 and str(target) in done.out
    bytes_only = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)] + [b""], eos_ids=[256])
    meant = sg.JsonSchema(json.loads(schema.read_text()), order="any", whitespace="compact")
    assert_same(sg.compile(meant, bytes_only), sg.load_compiled(target, bytes_only))
    (tmp_path / "file").write_text("")
    refused = run_command("compile", schema, "-t", "bytes", "-o", tmp_path / "file" / "x.sgc")
    assert refused.code == 4 and "cannot write" in refused.err and "Traceback" not in refused.err
