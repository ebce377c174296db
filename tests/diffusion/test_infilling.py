"""Text with gaps: the shortest filling against enumeration, and fillings by the masked model."""

from __future__ import annotations

import itertools
import json
import random
import re

import pytest

import structgen as sg
from structgen import HOLE
from structgen.errors import MatcherError, ModelError, StructgenError


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
        with pytest.raises(MatcherError, match="cannot be filled"):
            sg.infill('{"name":', HOLE(3), '"ago":', HOLE(2), "}", schema_or_grammar=SCHEMA, model=llm)
        with pytest.raises(ModelError, match="from left to right"):
            sg.infill("a", HOLE(2), schema_or_grammar=SCHEMA, model="tiny")
    finally:
        torch.set_num_threads(threads)
