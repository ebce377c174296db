"""Text with gaps: the shortest filling against enumeration, and fillings by the masked model."""

from __future__ import annotations

import itertools
import json
import random
import re

import pytest

import structgen as sg
from structgen import HOLE
from structgen.errors import LimitError, MatcherError, ModelError, StructgenError


def test_shortest_fillings_by_enumeration():
    rng = random.Random(4)
    solved = refused = 0
    for pattern in ("(ab|ba)*c?", "a{2,4}b{1,3}", "(a|bc)+", "[ab]*cab", "a?b?c?", "((a|b)c){2}"):
        constraint = sg.Regex(pattern)
        texts = [t for n in range(9) for t in map("".join, itertools.product("abc", repeat=n))
                 if re.fullmatch(pattern, t)]
        for _ in range(12):
            parts = [HOLE if rng.random() < 0.5 else "".join(rng.choices("abc", k=rng.randint(0, 3)))
                     for _ in range(rng.randint(1, 4))]
            shape = re.compile("".join("(.*)" if p is HOLE else re.escape(p) for p in parts))
            fixed = sum(len(p) for p in parts if p is not HOLE)
            fit = [len(t) - fixed for t in texts if shape.fullmatch(t)]
            if not fit:
                with pytest.raises(MatcherError, match="cannot be filled"):
                    sg.infill(*parts, schema_or_grammar=constraint)
                refused += 1
                continue
            done = sg.infill(*parts, schema_or_grammar=constraint, return_result=True)
            assert re.fullmatch(pattern, done.text) and sum(map(len, done.fills)) == min(fit)
            left = iter(done.fills)
            assert done.text == "".join(next(left) if p is HOLE else p for p in parts)
            solved += 1
    assert solved > 20 and refused > 10


@pytest.mark.parametrize("grammar, alphabet, length", [
    ('start: "(" start ")" start | "x" | ', "()x", 7), ('start: "a" start "b" | "c" start | "c"', "abc", 7),
    ('start: sum\nsum: n ("+" n)*\nn: /[01]+/ | "(" sum ")"', "01+()", 5)])
def test_shortest_fillings_of_grammars(grammar, alphabet, length):
    """Against all short texts, those of the grammar found by Lark."""
    lark = pytest.importorskip("lark")
    parser = lark.Lark(grammar, parser="earley")

    def member(text):
        try:
            return bool(parser.parse(text))
        except lark.exceptions.LarkError:
            return False

    texts = [t for n in range(length + 1) for t in map("".join, itertools.product(alphabet, repeat=n)) if member(t)]
    rng, solved = random.Random(1), 0
    for _ in range(25):
        whole = rng.choice(texts)
        cuts = sorted(rng.choices(range(len(whole) + 1), k=4))
        # a text with two stretches cut out of it, so it can be filled, perhaps in fewer bytes
        parts = [p for p in (whole[:cuts[0]], HOLE, whole[cuts[1]:cuts[2]], HOLE, whole[cuts[3]:]) if p != ""]
        shape = re.compile("".join("(.*)" if p is HOLE else re.escape(p) for p in parts))
        done = sg.infill(*parts, schema_or_grammar=sg.Lark(grammar), return_result=True)
        assert member(done.text) and shape.fullmatch(done.text)
        assert len(done.text) == min(len(t) for t in texts if shape.fullmatch(t))
        left = iter(done.fills)
        assert done.text == "".join(next(left) if p is HOLE else p for p in parts)
        solved += bool(done.text)
    assert solved > 15


def test_recursive_schemas_without_a_model():
    tree = {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "required": ["name", "kids"], "properties": {
        "name": {"type": "string"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/t"}}}}}}
    done = sg.infill('{"name":"x', HOLE, '"kids":[{', HOLE, '"y"', HOLE, schema_or_grammar=tree, return_result=True)
    assert done.text == '{"name":"x","kids":[{"name":"y","kids":[]}]}'
    assert sg.infill('{"a":', HOLE, "}", schema_or_grammar=sg.JsonSchema({"type": "object"})) == {"a": 0}
    with pytest.raises(MatcherError, match="part 1.*first 2 bytes"):
        sg.infill('{"kids', HOLE, schema_or_grammar=tree)
    with pytest.raises(LimitError, match="20,000 positions"):
        sg.infill(HOLE, ")(", HOLE, "(", schema_or_grammar=sg.Lark('start: "(" start ")" start |'))


OK = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}

INDENTED = r"""
start: (NAME ":" _NEWLINE _INDENT NAME _NEWLINE _DEDENT | LPAR RPAR LSQB RSQB LBRACE RBRACE)+
NAME: /[a-z]+/
_NEWLINE: /(\r?\n[\t ]*)+/
LPAR: "("
RPAR: ")"
LSQB: "["
RSQB: "]"
LBRACE: "{"
RBRACE: "}"
%declare _INDENT _DEDENT
"""


@pytest.mark.parametrize("constraint, parts, text", [
    (sg.Seq("<t>", sg.JsonSchema(OK), "</t>"), ("<t>", HOLE, "false", HOLE), '<t>{"ok":false}</t>'),
    (sg.Seq("(", sg.Lark('start: "(" start ")" | "x"'), ")"), (HOLE, "((", HOLE), "((x))"),
    (sg.Lark(INDENTED, parser="lalr", postlex="python"), ("a:", HOLE, "b", HOLE), "a:\n b\n"),
    (sg.JsonSchema({"type": "array", "items": {"enum": [1, 2, 12]}, "uniqueItems": True}), ("[1,", HOLE, "1", HOLE),
     "[1,12]"),
    (sg.JsonSchema({"type": "object", "additionalProperties": {"type": "null"}}), ('{"a":', HOLE, '"b"', HOLE),
     '{"a":null,"b":null}')], ids=range(5))
def test_every_engine_is_searched(constraint, parts, text):
    assert sg.infill(*parts, schema_or_grammar=constraint, return_result=True).text == text


SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
          "required": ["name", "age"]}


def test_values_and_errors():
    assert sg.infill('{"name":"A', HOLE, '"age"', HOLE, schema_or_grammar=SCHEMA) == {"name": "A", "age": 0}
    with pytest.raises(MatcherError, match="part 3.*cannot go on after its first 3 bytes"):
        sg.infill('{"name":"A"', HOLE, '"ago', HOLE, schema_or_grammar=SCHEMA)
    with pytest.raises(MatcherError, match="ends with"):
        sg.infill(HOLE, '"age":1', schema_or_grammar=SCHEMA)
    for call, words in ((lambda: sg.infill(schema_or_grammar=SCHEMA), "takes the parts"),
                        (lambda: sg.infill("a", 3, schema_or_grammar=SCHEMA), "not int"),
                        (lambda: sg.infill("a", HOLE), "nothing to go by"),
                        (lambda: sg.infill("a", HOLE(2), schema_or_grammar=SCHEMA), "counts a model's tokens"),
                        (lambda: sg.infill("a", HOLE, schema_or_grammar=SCHEMA, steps=2), "steps is for a model"),
                        (lambda: HOLE(0), "slots >= 1")):
        with pytest.raises(StructgenError, match=words):
            call()


def test_by_the_masked_model():
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        llm = sg.load("embedded-diffusion", device="cpu")
        prompt = "Extract {name:string,age:integer} from: Clara Weber is 34 years old."
        done = sg.infill('{"name":"', HOLE(5), '","age":', HOLE(2), "}", schema_or_grammar=SCHEMA, model=llm,
                         prompt=prompt, steps=3, return_result=True)
        assert done.value == json.loads(done.text) and len(done.fills) == 2
        assert done.text == '{"name":"' + done.fills[0] + '","age":' + done.fills[1] + "}"
        assert len(llm.tokenizer(done.fills[1])["input_ids"]) <= 2
        free = sg.infill('{"name":"Clara', HOLE, '","age":', HOLE, schema_or_grammar=SCHEMA, model=llm, prompt=prompt,
                         steps=3)
        assert free["name"].startswith("Clara") and isinstance(free["age"], int)
        assert sg.infill("a", HOLE(2), "b", model=llm, steps=1).startswith("a")
        # both gaps need more slots than are tried first, one of them a number between those tried
        digits = sg.infill("ab", HOLE, "-", HOLE, schema_or_grammar=sg.Regex("ab[0-9]{7}-(?:[0-9] ){5}x"), model=llm)
        assert re.fullmatch("ab[0-9]{7}-(?:[0-9] ){5}x", digits)
        for unfit in ("@", '{"nam":'):
            with pytest.raises(MatcherError, match="slot . holds token"):
                sg.infill(unfit, HOLE, schema_or_grammar=SCHEMA, model=llm)
        with pytest.raises(MatcherError, match="cannot be filled"):
            sg.infill('{"name":', HOLE(3), '"ago":', HOLE(2), "}", schema_or_grammar=SCHEMA, model=llm)
        with pytest.raises(ModelError, match="from left to right"):
            sg.infill("a", HOLE(2), schema_or_grammar=SCHEMA, model="tiny")
    finally:
        torch.set_num_threads(threads)
