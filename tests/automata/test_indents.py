"""Languages with indentation: against real Lark with its Indenter, every short text; masks token by token."""

from __future__ import annotations

import ast
import itertools
import random
import warnings

import pytest

lark = pytest.importorskip("lark")

from lark.indenter import PythonIndenter  # noqa: E402

from structgen.automata.races import MAX_COLUMN  # noqa: E402
from structgen.decoding.compiled import Compiled  # noqa: E402
from structgen.errors import GrammarError, LimitError, MatcherError  # noqa: E402
from structgen.frontends.lark import read_lark  # noqa: E402
from structgen.tokens.vocabulary import Vocabulary  # noqa: E402
from tests.grammars.test_engine import member, walk  # noqa: E402
from tests.grammars.test_library import FOLDER, GOLDEN  # noqa: E402
from tests.support.real_lark import LarkOracle, make_indenter, mutations  # noqa: E402

TOKENS = [b"\n ", b"\n  ", b"\n\n", b"\n\n  a", b"a:\n  a", b"\n  a\n", b":\n", b" a", b"  a\n ", b"\na", b"a\n",
          b"(\n", b"\n)", b"a)\n ", b"\n\t", b"\n \n", b"a:\n a:\n  a\na", b"\n    ", b"):\n", b"def f",
          b"\n        return"]
VOCABULARY = Vocabulary.from_tokens([*[bytes([b]) for b in range(256)], *TOKENS], eos_ids=[300])
INDENTER = {"NL_type": "_NL", "OPEN_PAREN_types": ["LPAR"], "CLOSE_PAREN_types": ["RPAR"], "INDENT_type": "_INDENT",
            "DEDENT_type": "_DEDENT", "tab_len": 3}
BLOCKS = """
start: _NL? stmt+
stmt: expr _NL | "a" ":" _NL _INDENT stmt+ _DEDENT
expr: "a" | "(" expr* ")"
_NL: /(\\n[\\t ]*)+/
%declare _INDENT _DEDENT
%ignore " "
"""
#: a line end of one line feed each, with a comment before it
LINES = """
start: (_NL | stmt)*
stmt: "a" _NL | "a" ":" _NL _INDENT stmt+ _DEDENT
LPAR: "("
RPAR: ")"
_NL: /(#a*)?\\n */
%declare _INDENT _DEDENT
%ignore " "
"""
GRAMMARS = {"blocks": (BLOCKS, "a:\n ()"), "tabs": (BLOCKS, "a:\n\t "), "lines": (LINES, "a:\n #")}


def compiled(text, lexer="contextual", **changes):
    postlex = make_indenter({**INDENTER, **changes})
    return Compiled(read_lark(text, parser="lalr", lexer=lexer, postlex=postlex), VOCABULARY)


@pytest.fixture(scope="module", params=[(n, m) for n in GRAMMARS for m in ("contextual", "basic")],
                ids=lambda p: "-".join(p))
def case(request):
    name, mode = request.param
    text, alphabet = GRAMMARS[name]
    return compiled(text, mode), LarkOracle(text, mode, make_indenter(INDENTER)), alphabet


def test_every_short_text(case):
    c, oracle, alphabet = case
    good, dead, live = set(), [], []
    for n in range(6 if len(alphabet) < 6 else 5):
        for word in map("".join, itertools.product(alphabet, repeat=n)):
            m = c.matcher()
            try:
                m.accept_bytes(word.encode())
            except MatcherError:
                dead.append(word)
                assert not oracle.accepts(word), word
                continue
            live.append(word)
            assert m.can_end() == oracle.accepts(word), word
            if m.can_end():
                good.add(word)
    assert not any(g.startswith(word) for word in dead for g in good)
    for word in random.Random(1).sample(live, min(len(live), 200)):
        m = c.matcher()
        m.accept_bytes(word.encode())
        assert oracle.accepts(word + m.shortest_completion().decode()), word


def test_masks(case):
    c, oracle, alphabet = case
    rng = random.Random(alphabet)
    for _ in range(10):
        m = c.matcher()
        for _ in range(rng.choice([2, 5, 9])):
            allowed = set(m.allowed_tokens().tolist())
            assert allowed and (300 in allowed) == m.can_end() == oracle.accepts(m.text.decode())
            for t in range(256 + len(TOKENS)):
                probe = m.fork()
                try:
                    probe.accept_bytes(VOCABULARY.token_bytes(t))
                except MatcherError:
                    assert t not in allowed, (m.text, VOCABULARY.token_bytes(t))
                else:
                    assert t in allowed, (m.text, VOCABULARY.token_bytes(t))
            m.accept(rng.choice([t for t in allowed if t != 300]))
        rest = m.shortest_completion()
        m.accept_bytes(rest)
        assert m.can_end() and oracle.accepts(m.text.decode()), m.text


def test_budgets():
    c = compiled(BLOCKS)
    for budget in range(3, 16):
        rng = random.Random(budget)
        for _ in range(3):
            m = c.matcher(max_tokens=budget)
            while not m.is_finished:
                m.accept(int(rng.choice(m.allowed_tokens())))
            assert m.n_tokens <= budget


def test_python():
    """What the grammar of the library makes is Python, and Lark's verdicts are ours."""
    text = (FOLDER / "python.lark").read_text(encoding="utf-8")
    oracle = LarkOracle(text, "contextual", PythonIndenter())
    c = Compiled(read_lark(text, parser="lalr", postlex=PythonIndenter()), VOCABULARY)
    assert c.program.calm
    rng = random.Random(3)
    texts = [walk(c, rng, rng.choice([3, 10, 30])) for _ in range(12)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for made in texts:
            ast.parse(made)
    texts += GOLDEN["python"]["accept"] + GOLDEN["python"]["reject"]
    texts += [m for t in texts for m in mutations(t, rng, 2)]
    wrong = [(t, oracle.accepts(t)) for t in dict.fromkeys(texts) if member(c, t) != oracle.accepts(t)]
    assert not wrong, f"Lark's verdicts: {wrong[:3]}"


def test_columns_end_somewhere():
    c = compiled(BLOCKS)
    at = "a:\n" + " " * MAX_COLUMN + "a\n"
    assert member(c, at) and not member(c, "a:\n" + " " * (MAX_COLUMN + 1) + "a\n")
    m = c.matcher()
    m.accept_bytes(("a:\n" + " " * MAX_COLUMN + "a").encode())
    assert ord(":") not in m.allowed_tokens()           # no column is left for that block


def test_what_is_refused():
    with pytest.raises(GrammarError, match="rules that close the brackets they open, unlike stmt"):
        compiled(BLOCKS.replace('"(" expr* ")"', '"x" | ")"').replace("stmt: expr", 'stmt: "(" expr'))
    with pytest.raises(GrammarError, match="LALR tables only"):
        Compiled(read_lark(BLOCKS, lexer="basic", postlex=make_indenter(INDENTER)), VOCABULARY)
    # a line end that takes all line feeds cannot follow itself: blocks never end
    never = BLOCKS.replace("_NL _INDENT stmt+ _DEDENT", "_NL _INDENT stmt+ _DEDENT _NL")
    c = compiled(never)
    assert not c.program.calm
    with pytest.raises((LimitError, MatcherError)):
        c.matcher().accept_bytes(b"a:\n  a\n")
