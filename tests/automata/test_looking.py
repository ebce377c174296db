"""Terminals that look around: against real Lark, on generated grammars, and against `re` alone."""

from __future__ import annotations

import itertools
import random
import re

import pytest

lark = pytest.importorskip("lark")

from structgen.automata.looking import Watcher, watch  # noqa: E402
from structgen.decoding.compiled import Compiled  # noqa: E402
from structgen.errors import GrammarError, LimitError, MatcherError  # noqa: E402
from structgen.frontends.lark import read_lark  # noqa: E402
from structgen.grammar.cfg import Match  # noqa: E402
from tests.automata.test_cfg import VOCABULARY, LarkOracle, usable  # noqa: E402
from tests.support.random_cfgs import EXPRESSIONS, LOOKING, lark_text, random_grammar  # noqa: E402

MODES = [("earley", "dynamic"), ("lalr", "contextual"), ("lalr", "basic"), ("earley", "basic")]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("parser, lexer", MODES)
def test_masks_are_exact(parser, lexer, seed):
    rng = random.Random(f"{parser} {lexer} {seed}")
    options, made = {"parser": parser, "lexer": lexer}, 0
    while made < 3:
        shape = random_grammar(rng, "dynamic", looking=rng.choice([1, 1, 2, 3]))
        if not usable(shape):
            continue
        try:
            grammar = read_lark(lark_text(shape), start="r0", **options)
            c = Compiled(grammar, VOCABULARY)
        except LimitError:
            continue
        except GrammarError as error:
            try:
                oracle = LarkOracle(shape, **options)
            except lark.exceptions.GrammarError:
                continue                      # Lark refuses it, too
            assert "conflict" not in str(error) and not oracle._viable, lark_text(shape)
            continue
        made += 1
        try:
            LarkOracle(shape, **options).check(c, rng, 4)
        except LimitError:
            assert not c.program.safe, lark_text(shape)
        except (AssertionError, MatcherError) as error:
            raise AssertionError(f"{error}\n{lark_text(shape)}") from error


@pytest.mark.parametrize("word", LOOKING + EXPRESSIONS[:4])
def test_one_end_in_every_text(word):
    """A terminal between others in every text of up to five characters: where `re` says."""
    grammar = read_lark(f"start: X* T Y*\nX: /x[abc]?/\nY: /y[abc ]*/\nT: /{word}/\n")
    try:
        c = Compiled(grammar, VOCABULARY)
    except GrammarError:
        c = None
    t = re.compile(word)
    x, y = re.compile("x[abc]?"), re.compile("y[abc ]*")

    def ends(text, at, had):
        """Can the rest be read from `at`, T being behind us or not?"""
        if at == len(text):
            return had
        out = False
        for kind, again in ((y, True),) if had else ((x, False), (t, True)):
            found = kind.match(text, at)
            if found:
                out = out or ends(text, found.end(), again)
        return out

    for before, middle, after in itertools.product(
            ["", "x", "xa", "xb"], ["".join(w) for n in (1, 2, 3) for w in itertools.product("abc", repeat=n)],
            ["", "y", "y b"]):
        text = before + middle + after
        m = c and c.matcher()
        try:
            found = m is not None and (m.accept_bytes(text.encode()), m.can_end())[1]
        except MatcherError:
            found = False
        assert found == ends(text, 0, False), text


def test_look_behind_that_stays_inside_costs_nothing():
    assert not isinstance(watch(Match(r'"(.*?)(?<!x)(xx)*?"')), Watcher)
    assert isinstance(watch(Match(r"if\b")), Watcher)


def test_what_surrounds_a_special_token_is_another_text():
    from structgen.tokens.vocabulary import Vocabulary

    v = Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256], special={"<x>": 257})
    c = Compiled(read_lark('start: A <x> B | C <x> B\nA: /a(?=b)/\nB: /^b+/\nC: /ac?$/\n'), v)
    m = c.matcher()
    m.accept_bytes(b"a")                      # A would have to see a b
    assert sorted(m.allowed_tokens().tolist()) == [ord("c"), 257]
    m.accept(257)
    m.accept_bytes(b"b")
    assert m.can_end()


def test_what_is_refused():
    with pytest.raises(GrammarError, match="IF looks at the text around it.*dynamic_complete") as caught:
        Compiled(read_lark('start: IF\nIF: /if\\b/\n', lexer="dynamic_complete"), VOCABULARY)
    assert (caught.value.line, caught.value.column) == (2, 1)
    many = "".join(rf"T{i}: /(?<={c})x/" + "\n" for i, c in enumerate("abcdefghijklmnopqrstuvwxyzABCDEFGH"))
    with pytest.raises(LimitError, match="kinds of preceding text"):
        Compiled(read_lark(f"start: (X|{'|'.join(f'T{i}' for i in range(34))})+\nX: /[a-zA-Z]/\n{many}"), VOCABULARY)
