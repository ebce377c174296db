"""Grammars and combinations in files: written, read back, and nothing else is believed."""

import json
import random
import time
from pathlib import Path

import pytest
from lark.indenter import PythonIndenter

import structgen as sg
from structgen.constraints import constraint_of
from structgen.decoding.artefact import _described, _restored

GRAMMARS = Path(__file__).parents[2] / "grammars"
CONSTRAINTS = [
    sg.Lark(GRAMMARS / "json.lark"), sg.Lark(GRAMMARS / "sqlite.lark", parser="lalr"),
    sg.Lark(GRAMMARS / "python.lark", parser="lalr", postlex=PythonIndenter()),
    sg.Lark('start: <|x|> A <[7]>\n%declare A', embed={"A": sg.JsonSchema({"type": "null"})}),
    sg.GBNF('root ::= "(" root ")" | [a-z]+'), sg.EBNF("a ::= '(' a ')' | [a-z]+ - 'if'"),
    sg.Seq("a", sg.Repeat(sg.Regex("b|c"), 1, 3, sep=","), sg.Optional("d")), sg.Substring("abracadabra", empty=False),
    sg.Text(until="<t>"), sg.Regex("[a-z]+") - sg.Choice(["if"]), ~sg.Regex("a*"),
    sg.Seq(sg.Text(until="<t>"), "<t>", {"type": "object"}), sg.Token("<|x|>"),
]


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda c: repr(c)[:40])
def test_read_back_is_the_same(constraint):
    record = json.loads(json.dumps(_described(constraint)))
    back = _restored(record)
    one, two = constraint.grammar(), back.grammar()
    if hasattr(one, "terminals"):
        embedded = [(a.embedded, b.embedded) for a, b in zip(one.terminals, two.terminals) if a.embedded is not None]
        assert all(a.schema == b.schema for a, b in embedded)
        if embedded:
            assert one.rules == two.rules and [t.name for t in one.terminals] == [t.name for t in two.terminals]
            return
    assert one == two and repr(back) == repr(constraint)
    assert json.loads(json.dumps(_described(back))) == record       # and may be saved again


def test_through_a_file(tmp_path):
    letters = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
    gbnf = sg.GBNF('root ::= "(" root ")" | [a-z]+')
    for constraint, text in ((gbnf, b"((ab))"), ("v" + sg.Regex("[0-9]+"), b"v12")):
        path = tmp_path / "g.sgc"
        sg.compile(constraint, letters).save(path)
        m = sg.load_compiled(path, letters).matcher()
        m.accept_bytes(text)
        assert m.can_end()


def test_records_nobody_wrote():
    rng = random.Random(3)
    before = time.monotonic()
    for constraint in CONSTRAINTS[3:9]:
        record = json.dumps(_described(constraint))
        for _ in range(60):
            forged = json.loads(record)
            places = []
            todo = [forged]
            while todo:
                at = todo.pop()
                for key in (range(len(at)) if isinstance(at, list) else list(at)):
                    places.append((at, key))
                    if isinstance(at[key], (list, dict)):
                        todo.append(at[key])
            at, key = rng.choice(places)
            at[key] = rng.choice([None, -1, 10 ** 6, "x", [], {}, True, [[]], 1.5])
            try:
                grammar = _restored(forged).grammar()
            except (ValueError, KeyError, TypeError, IndexError, sg.StructgenError):
                continue
            if hasattr(grammar, "rules"):
                total = len(grammar.nonterminals) + len(grammar.terminals)
                assert all(0 <= r.lhs < len(grammar.nonterminals) and all(0 <= s < total for s in r.rhs)
                           for r in grammar.rules)
    assert time.monotonic() - before < 60


def test_normal_forms_given_directly_are_not_saved():
    with pytest.raises(sg.StructgenError, match="cannot be saved"):
        _described(constraint_of(sg.Text().grammar()))
