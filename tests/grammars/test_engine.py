"""The engine, end to end, against real Lark: verdicts on texts, walks, mutations."""

import random

import pytest

import structgen as sg
from tests.frontends.lark.test_against_lark import CASES
from tests.grammars.checks import checker
from tests.grammars.test_library import FOLDER, GOLDEN, NAMES
from tests.support.real_lark import MODES, LarkOracle, mutations

PIECES = [b"ab", b"if ", b'":', b'{"', b"</", b"><", b"12", b", ", b"()", b"\n ", "é".encode(), b"**", b"[1", b"CC"]
EARLEY = ["json", "jsonl", "csv", "arith", "iso8601", "email", "uri", "smiles", "xml", "cron"]
SLOW = ("c", "dot", "graphql", "sparql", "sqlite", "xml")
LIBRARY = [(n, "contextual") for n in NAMES if n != "python"] + [(n, "dynamic") for n in EARLEY]
CASES_HERE = [(c, m) for c in CASES for m in MODES if m in c.get("modes", MODES) and "postlex" not in c]


@pytest.fixture(scope="module")
def vocabulary():
    tokens = [bytes([b]) for b in range(256)] + PIECES
    return sg.Vocabulary.from_tokens(tokens, eos_ids=[len(tokens)])


def member(compiled, text):
    m = compiled.matcher()
    try:
        m.accept_bytes(text.encode())
    except sg.MatcherError:
        return False
    return m.can_end()


def walk(compiled, rng, steps):
    """A text of random allowed tokens, brought to an end."""
    m = compiled.matcher()
    data = b""
    for _ in range(steps):
        allowed = [t for t in m.allowed_tokens().tolist() if t not in compiled.vocabulary.eos_ids]
        if not allowed:
            break
        # seldom a byte that only goes on inside of a string
        some = [t for t in allowed if 32 <= compiled.vocabulary.token_bytes(t)[0] < 127] or allowed
        token = rng.choice(some if rng.random() < 0.9 else allowed)
        m.accept(token)
        data += compiled.vocabulary.token_bytes(token)
    rest = m.shortest_completion()
    m.accept_bytes(rest)
    assert m.can_end()
    return (data + rest).decode()


@pytest.mark.parametrize("case, mode", CASES_HERE, ids=[f"{c['name']}-{m}" for c, m in CASES_HERE])
def test_lark_cases(case, mode, vocabulary):
    oracle = LarkOracle(case["grammar"], mode)
    parser, lexer = MODES[mode]
    try:
        compiled = sg.compile(sg.Lark(case["grammar"], parser=parser, lexer=lexer), vocabulary)
    except sg.GrammarError as err:
        if "no text" in str(err):           # an empty language: Lark builds it, and accepts nothing
            assert not any(oracle.accepts(text) for text in case["texts"] if oracle.error is None)
        else:
            assert "looks at the text around it" in str(err) or oracle.error is not None
        return
    except sg.LimitError:
        return                              # what LALR tables shift away may leave texts that nothing completes
    rng = random.Random(case["name"])
    texts = [*case["texts"], *[m for text in case["texts"] for m in mutations(text, rng, 3)]]
    try:
        texts += [walk(compiled, rng, rng.choice([1, 4, 10])) for _ in range(6)]
        wrong = [(t, oracle.accepts(t)) for t in dict.fromkeys(texts) if member(compiled, t) != oracle.accepts(t)]
    except sg.LimitError:
        assert not compiled.program.safe
        return
    assert not wrong, f"Lark's verdicts: {wrong[:4]}"


@pytest.mark.parametrize("name, mode", LIBRARY)
def test_library(name, mode, vocabulary):
    text = (FOLDER / f"{name}.lark").read_text(encoding="utf-8")
    parser, lexer = MODES[mode]
    compiled = sg.compile(sg.Lark(text, parser=parser, lexer=lexer), vocabulary)
    oracle, rng, check = LarkOracle(text, mode), random.Random(name), checker(name)
    made = [walk(compiled, rng, rng.choice([3, 10, 30])) for _ in range(8 if name in SLOW else 25)]
    for text in made:
        assert oracle.accepts(text), text
        if check is not None:
            check(text)
    texts = GOLDEN[name]["accept"] + GOLDEN[name]["reject"] + [m for t in made for m in mutations(t, rng, 2)]
    wrong = [(t, oracle.accepts(t)) for t in texts if member(compiled, t) != oracle.accepts(t)]
    assert not wrong, f"Lark's verdicts: {wrong[:4]}"


def test_combinations(vocabulary):
    for constraint, good, bad in [
        (sg.GBNF('root ::= "[" (item ("," item)*)? "]"\nitem ::= [0-9]{1,3} | root'),
         ["[]", "[1,[22],333]"], ["[1,]", "1"]),
        (sg.EBNF("a ::= '(' a ')' | [a-z]+ - 'if'"), ["x", "((iff))"], ["(if)", "if", "(x"]),
        (sg.Seq("<", sg.GBNF('root ::= "(" root ")" | "x"'), ">"), ["<x>", "<((x))>"], ["<>", "<(x>"]),
    ]:
        compiled = sg.compile(constraint, vocabulary)
        assert [t for t in good if not member(compiled, t)] == [] and [t for t in bad if member(compiled, t)] == []
