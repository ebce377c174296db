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


LETTERS = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), b"((", b"))", b"ab,", b"if ("], eos_ids=[260])
STORED = [
    sg.Lark('start: (NAME "=" e ";")+ \ne: e "+" e | NAME | "(" e ")"\nNAME: /[a-z]+/\n%ignore /[ ]+/\n'),
    sg.Lark('start: ("if" "(" NAME ")" | NAME)+\nNAME: /[a-z]+/\n%ignore " "\n', parser="lalr"),
    sg.GBNF('root ::= "(" root ")" | [a-z]+ ("," [a-z]+)*'),
]


@pytest.mark.parametrize("constraint", STORED, ids=lambda c: repr(c)[:30])
def test_tables_in_files_make_the_same_masks(constraint, tmp_path, monkeypatch):
    from structgen.automata import cfg_store
    from structgen.automata.cfg_store import StoredProgram

    compiled = sg.compile(constraint, LETTERS)
    compiled.save(tmp_path / "g.sgc")
    loaded = sg.load_compiled(tmp_path / "g.sgc", LETTERS)
    assert type(loaded.program) is StoredProgram and loaded.program.lr.rules == compiled.program.lr.rules
    rng = random.Random(5)
    for _ in range(6):
        one, two = compiled.matcher(), loaded.matcher()
        for _ in range(12):
            allowed = one.allowed_tokens().tolist()
            assert allowed == two.allowed_tokens().tolist()
            token = rng.choice(allowed)
            if token == 260:
                break
            one.accept(token)
            two.accept(token)
        assert one.shortest_completion() == two.shortest_completion()
    loaded.save(tmp_path / "again.sgc")
    assert (tmp_path / "again.sgc").read_bytes() == (tmp_path / "g.sgc").read_bytes()
    # what other code made is made anew
    monkeypatch.setattr(cfg_store, "_code", lambda: "another")
    fresh = sg.load_compiled(tmp_path / "g.sgc", LETTERS)
    assert type(fresh.program) is not StoredProgram
    assert fresh.matcher().allowed_tokens().tolist() == compiled.matcher().allowed_tokens().tolist()


def test_tables_out_of_range_are_refused():
    import base64
    import zlib

    import numpy as np

    from structgen.automata.cfg_store import _DTYPES, _LR_DTYPES, restored_program, stored_program

    compiled = sg.compile(STORED[0], LETTERS)
    record = stored_program(compiled.program)
    grammar = compiled.source.grammar()
    data = zlib.decompress(base64.b64decode(record["data"]))
    refused = at = 0
    for name, dtype in {**_DTYPES, **_LR_DTYPES, "symbols": "i4"}.items():
        size = int(np.prod(record["shapes"][name]))
        for value in (-5, 1 << 20, 127):
            array = np.frombuffer(data, np.uint8).copy()
            part = array[at:at + size * int(dtype[1])].view("<" + dtype)
            if size:
                part[size // 2] = np.int64(value).astype(part.dtype)
            forged = {**record, "data": base64.b64encode(zlib.compress(array.tobytes())).decode()}
            try:
                restored_program(grammar, forged)
            except (ValueError, IndexError):
                refused += 1
        at += size * int(dtype[1])
        with pytest.raises((ValueError, KeyError)):
            restored_program(grammar, {**record, "shapes": {**record["shapes"], name: [3, 3]}})
    assert at == len(data) and refused > 55
    for name, value in record["numbers"].items():
        if name not in ("safe", "conflicts"):
            with pytest.raises(ValueError):
                restored_program(grammar, {**record, "numbers": {**record["numbers"], name: value + 70}})
    for broken in ({"data": record["data"][:-8]}, {"data": "%%"}, {"numbers": {}}, {"empty": [-1]}, {"shapes": None}):
        with pytest.raises((ValueError, KeyError, TypeError)):
            restored_program(grammar, {**record, **broken})
