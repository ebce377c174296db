"""Grammars read by structgen mean what they mean to Lark, in every mode."""

import random
import sys
from pathlib import Path

import pytest

from structgen.errors import GrammarError
from structgen.frontends.lark import read_lark
from structgen.reference.cfg import accepts, lalr_tables
from tests.support.real_lark import MODES, LarkOracle, make_indenter, mutations

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

CASES = tomllib.loads((Path(__file__).parents[2] / "data" / "lark_cases.toml").read_text(encoding="utf-8"))["case"]
PAIRS = [(case, mode) for case in CASES for mode in case.get("modes", MODES)]


def test_the_table_is_large_enough():
    assert len(CASES) >= 60 and len({c["name"] for c in CASES}) == len(CASES)


@pytest.mark.parametrize("case, mode", PAIRS, ids=[f"{c['name']}-{m}" for c, m in PAIRS])
def test_same_verdicts(case, mode):
    postlex = make_indenter(case.get("postlex"))
    oracle = LarkOracle(case["grammar"], mode, postlex)
    parser, lexer = MODES[mode]
    try:
        grammar = read_lark(case["grammar"], parser=parser, lexer=lexer, postlex=postlex)
        if grammar.tables == "lalr":
            lalr_tables(grammar)
    except GrammarError as err:
        assert oracle.error is not None, f"Lark builds this, structgen says: {err}"
        return
    assert oracle.error is None, f"structgen builds this, Lark says: {oracle.error}"
    rng = random.Random(case["name"])
    texts = list(case["texts"])
    for text in case["texts"]:
        texts += mutations(text, rng, 6)
    verdicts = [(text, oracle.accepts(text)) for text in dict.fromkeys(texts)]
    wrong = [(text, expected) for text, expected in verdicts if accepts(grammar, text) != expected]
    assert not wrong, f"Lark's verdicts: {wrong[:5]}"
