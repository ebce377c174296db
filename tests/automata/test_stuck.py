"""Stacks that nothing completes: the proof agrees with searching, and ends where searching does not."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path

import pytest

import structgen as sg
from structgen.automata import cfg_search, cfg_stuck
from structgen.decoding.compiled import Compiled
from structgen.frontends.lark import read_lark
from tests.automata.test_plans import LETTERS, random_text
from tests.support.real_lark import LarkOracle, make_indenter

CASES = {case["name"]: case for case in tomllib.loads(
    (Path(__file__).parents[1] / "data" / "lark_cases.toml").read_text(encoding="utf-8"))["case"]}
#: A text, and bytes that lead nowhere behind it, though more can be read behind them for ever.
LOST = [
    ("palindromes without a middle", 'start: "a" start "a" | "b" start "b" |', {"parser": "lalr"}, b"", b"ab"),
    ("shifted away further down", 'start: "x" s | "y"\ns: "a" s "a" | "b" s "b" |', {"parser": "lalr"}, b"x", b"ab"),
    ("what swallows its like", 'start: "d" t "." | "b"\nt: "(" t ")" | A "a"\nA: /a+/', {}, b"", b"d"),
    ("one way out", 'start: "d" t "." | "b"\nt: "(" t ")" | A "a" | A "."\nA: /a+/', {}, b"d(a", b")"),
    ("with spaces", 'start: "d" t "." | "b"\nt: "(" t ")" | A "a"\nA: /[a ]+/\n%ignore " "', {}, b"", b"d"),
    ("two line ends", CASES["brackets across lines"]["grammar"],
     {"parser": "lalr", "postlex": make_indenter(CASES["brackets across lines"]["postlex"])}, b"a(b", b":"),
]


@pytest.mark.parametrize("text, options, before, wrong", [x[1:] for x in LOST], ids=[x[0] for x in LOST])
def test_what_leads_nowhere_is_refused(text, options, before, wrong):
    m = Compiled(read_lark(text, **options), LETTERS).matcher()
    m.accept_bytes(before)
    assert not set(wrong).intersection(m.allowed_tokens().tolist())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("parser, lexer", [("lalr", "contextual"), ("lalr", "basic"), ("earley", "dynamic")])
def test_masks_are_those_of_a_search(parser, lexer, seed, monkeypatch):
    rng, said = random.Random(seed), [0, 0]
    stuck = cfg_stuck.Stuck.stuck

    def counted(self, context):
        found = stuck(self, context)
        said[found] += 1
        return found

    monkeypatch.setattr(cfg_stuck.Stuck, "stuck", counted)
    tried = 0
    while tried < 8 or not all(said):
        text = random_text(rng)
        try:
            program = read_lark(text, parser=parser, lexer=lexer)
            both = []
            for patience in (0, 1 << 30):
                monkeypatch.setattr(cfg_search, "PATIENCE", patience)
                both.append(Compiled(program, LETTERS))
        except sg.StructgenError:
            continue
        if both[0].program.safe:
            continue
        tried += 1
        todo = [b""]
        for data in todo:
            found = []
            for patience, compiled in zip((0, 1 << 30), both):
                monkeypatch.setattr(cfg_search, "PATIENCE", patience)
                try:
                    m = compiled.matcher()
                    m.accept_bytes(data)
                    found.append(m.allowed_tokens().tolist())
                except sg.LimitError:
                    break
            else:
                assert found[0] == found[1], (text, data)
                if len(todo) < 20:
                    todo += [data + bytes([t]) for t in found[0] if t < 256]


def test_no_line_that_lark_reads_is_lost():
    case = CASES["brackets across lines"]
    oracle = LarkOracle(case["grammar"], "contextual", make_indenter(case["postlex"]))
    compiled = Compiled(read_lark(LOST[-1][1], **LOST[-1][2]), LETTERS)
    rng, taken = random.Random(3), 0
    for _ in range(2000):
        data = "".join(rng.choice(["a", "a", "b", "(", ")", ",", "\n", "\n", "\n ", " ", ":"])
                       for _ in range(rng.randint(1, 7)))
        m = compiled.matcher()
        try:
            m.accept_bytes(data.encode())
            ours = m.can_end()
        except sg.MatcherError:
            ours = False
        assert ours == oracle.accepts(data), data
        taken += ours
    assert taken > 20
