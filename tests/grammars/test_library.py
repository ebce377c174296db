"""The grammar library: golden texts, real Lark, parsers by others."""

import random
import re
import sys
from functools import lru_cache
from pathlib import Path

import pytest
from lark.indenter import PythonIndenter

from structgen.frontends.lark import read_lark
from structgen.reference.cfg import accepts
from tests.grammars.checks import checker
from tests.support.cfg_random import TextMaker
from tests.support.real_lark import LarkOracle, mutations

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

FOLDER = Path(__file__).parents[2] / "grammars"
GOLDEN = tomllib.loads((FOLDER / "golden.toml").read_text(encoding="utf-8"))
NAMES = sorted(GOLDEN)


def postlex(name):
    return PythonIndenter() if GOLDEN[name].get("postlex") == "python" else None


@lru_cache(maxsize=None)
def grammar(name, parser="lalr", lexer="auto"):
    return read_lark((FOLDER / f"{name}.lark").read_text(encoding="utf-8"), parser=parser, lexer=lexer,
                     postlex=postlex(name))


@lru_cache(maxsize=None)
def oracle(name, mode="contextual"):
    out = LarkOracle((FOLDER / f"{name}.lark").read_text(encoding="utf-8"), mode, postlex(name))
    assert out.error is None
    return out


def test_every_grammar_is_listed():
    files = {p.stem for p in FOLDER.glob("*.lark")}
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert files == set(NAMES) and files == set(re.findall(r"^\| \[(\w+)\]\(\1\.lark\)", readme, re.M))
    assert all(len(GOLDEN[n]["accept"]) >= 4 and len(GOLDEN[n]["reject"]) >= 5 for n in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_golden_texts(name):
    """Real Lark, and the slow recogniser, on the texts and on mutations of them."""
    g, lark, rng = grammar(name), oracle(name), random.Random(name)
    assert not g.removed
    for kind, expected in (("accept", True), ("reject", False)):
        for text in GOLDEN[name][kind]:
            assert lark.accepts(text) == expected, text
    texts = GOLDEN[name]["accept"] + GOLDEN[name]["reject"]
    texts += [m for text in GOLDEN[name]["accept"] for m in mutations(text, rng, 5)]
    wrong = [(t, lark.accepts(t)) for t in texts if accepts(g, t) != lark.accepts(t)]
    assert not wrong, f"Lark's verdicts: {wrong[:3]}"


@pytest.mark.parametrize("name", ["json", "arith", "iso8601", "email", "csv", "cron", "xml", "uri"])
def test_golden_texts_under_earley(name):
    """What is meant for LALR holds for Lark's default parser where no keyword needs a lexer."""
    if postlex(name):
        pytest.skip("an indenter needs a lexer")
    lark, rng = oracle(name, "dynamic"), random.Random(name)
    g = grammar(name, "earley")
    texts = [t for t in GOLDEN[name]["accept"] + GOLDEN[name]["reject"] if len(t) < 60]
    texts += [m for text in texts for m in mutations(text, rng, 2)]
    wrong = [(t, lark.accepts(t)) for t in texts if accepts(g, t) != lark.accepts(t)]
    assert not wrong, f"Lark's verdicts: {wrong[:3]}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
def test_what_a_grammar_allows_others_accept(name):
    check = checker(name)
    if check is None:
        pytest.skip(f"no other parser for {name} is installed")
    for text in GOLDEN[name]["accept"]:
        check(text)
    lark, rng = oracle(name), random.Random(f"texts of {name}")
    make, seen = TextMaker(grammar(name), rng), 0
    for _ in range(30 if name in ("dot", "sparql") else 100):      # theirs take tens of milliseconds a text
        text = make.text(rng.choice([3, 8, 20, 40]), rng.choice([0, 0.5, 0.9, 1]))
        if lark.accepts(text):
            seen += 1
            check(text)
    assert seen >= 10


@pytest.mark.parametrize("name", NAMES)
def test_the_recogniser_agrees_on_random_texts(name):
    lark, g, rng = oracle(name), grammar(name), random.Random(f"more of {name}")
    make = TextMaker(g, rng)
    for _ in range(25):
        text = make.text(rng.choice([3, 10, 20]), rng.choice([0, 0.5, 1]))
        for t in (text, *mutations(text, rng, 2)):
            assert accepts(g, t) == lark.accepts(t), t


@pytest.mark.parametrize("name, text", [
    ("json", "[1,]"), ("python", "f(x=1, 2)\n"), ("c", "int;x"), ("cron", "60 * * * *"), ("dot", "graph { a -> }"),
    ("smiles", "C1CC"), ("sparql", "SELECT ?x"), ("graphql", "{ a"), ("xml", "<a>"), ("sqlite", "SELECT FROM t"),
    ("uri", "a b"), ("email", "a@@b"), ("csv", '"a"b'), ("iso8601", "2023-02-29"), ("arith", "1 +"), ("jsonl", "1 2")])
def test_the_other_parsers_do_refuse(name, text):
    check = checker(name)
    if check is None:
        pytest.skip(f"no other parser for {name} is installed")
    with pytest.raises(Exception):
        check(text)
