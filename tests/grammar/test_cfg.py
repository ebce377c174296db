"""The analyses of context-free grammars, against fixpoints written plainly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structgen.errors import GrammarError
from structgen.grammar.cfg import CfgGrammar, Place, Rule, Terminal, normalise, nullable, productive
from structgen.frontends.regex import parse_python
from structgen.frontends.regex.ast import Repeat

N = 5
rules = st.lists(st.tuples(st.integers(0, N - 1), st.lists(st.integers(0, N + 2), max_size=3)), max_size=12)


def grammar(pairs):
    return CfgGrammar(tuple(f"n{i}" for i in range(N)), tuple(Terminal(f"T{i}") for i in range(3)),
                      tuple(Rule(a, tuple(b)) for a, b in pairs))


def closed(pairs, start):
    out = set(start)
    while True:
        more = {a for a, b in pairs if set(b) <= out} - out
        if not more:
            return out
        out |= more


def texts(g, depth=6):
    """Strings of terminal names that the start derives, up to a length, by plain rewriting."""
    found, seen, todo = set(), set(), [(g.start,)]
    while todo and len(seen) < 4000:
        form = todo.pop(0)
        if form in seen or len(form) > depth:
            continue
        seen.add(form)
        at = next((i for i, s in enumerate(form) if not g.is_terminal(s)), None)
        if at is None:
            found.add(tuple(g.symbol_name(s) for s in form))
            continue
        todo += [form[:at] + r.rhs + form[at + 1:] for r in g.rules if r.lhs == form[at]]
    return found, len(seen) < 4000


@settings(max_examples=300, deadline=None)
@given(rules, st.sets(st.integers(N, N + 2)))
def test_analyses_are_the_fixpoints(pairs, some):
    g = grammar(pairs)
    assert productive(g, some) == closed(pairs, set(range(N, N + 3)) - some)
    assert nullable(g, some) == closed(pairs, some)


@settings(max_examples=300, deadline=None)
@given(rules, st.sets(st.integers(N, N + 2), max_size=2))
def test_normalise_keeps_the_language(pairs, empty):
    g = grammar(pairs)
    left = [(a, b) for a, b in pairs if not set(b) & empty]
    try:
        out = normalise(g, empty)
    except GrammarError:
        assert 0 not in closed(left, set(range(N, N + 3)))
        return
    (a, done), (b, also) = texts(grammar(left)), texts(out)
    if done and also:
        assert a == b
    live = productive(out)
    assert live == set(range(len(out.nonterminals) + len(out.terminals)))


def test_tables_of_lark_keep_their_rules():
    g = CfgGrammar(("start", "loop"), (Terminal("A"),), (Rule(0, (2,)), Rule(0, (1,)), Rule(1, (1, 2))),
                   lexing="contextual", tables="lalr")
    out = normalise(g)
    assert out.rules == g.rules and [r.name for r in out.removed] == ["loop"]


def test_an_empty_language_names_the_place():
    g = CfgGrammar(("start", "list"), (Terminal("A"),), (Rule(0, (1,)), Rule(1, (1, 2))),
                   places=(Place(3, 1), Place(4, 1), Place()))
    with pytest.raises(GrammarError, match="line 3, column 1.*list"):
        normalise(g)


def test_greediness_is_kept():
    tree = parse_python("a*?b{2,3}")
    assert [n.lazy for n in tree.items if isinstance(n, Repeat)] == [True, False]
