"""Masks of expressions by class tries: against NFAs run token by token, and the trie against all words."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import structgen as sg
from structgen.automata.nfa import atom_nfa
from structgen.grammar.strings import Pattern
from structgen.tokens.class_trie import class_trie
from structgen.tokens.tables import token_tables

TEXT = 'ab-c, "x\\y"\n\r zß東京🎉é\u2028.AbC_09@ab.de ababab     cabccc'.encode()
#: every byte, every piece of up to seven bytes of the text (characters in parts too), longer ones, some of them twice
TOKENS = [bytes([b]) for b in range(256)]
TOKENS += sorted({TEXT[i:i + n] for n in (2, 3, 4, 5, 7, 12) for i in range(len(TEXT) - n + 1)})
TOKENS += [b"ab" * 9, b"a" * 40, b" " * 30, b"ab", "東京".encode(), "東".encode()[:2], b"c" * 15]
EOS = len(TOKENS)
PATTERNS = [
    r"[a-z]{1,64}", r"[a-z]{3}", r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*\.[a-zA-Z]{2,12}",
    r'(?:[^"\\]|\\.){0,30}', r"(.|\n)*", r"\w+", r"[^\W\d_]+", r"(a|b)*a(a|b){6}", r"(ab|c){5,40}", r"[é-京]*",
    r"a*(b|.{3})c?", r"(?=a)[a-c]*(?!b)[a-z]+", r"[\x00-\x7f]{2,9}|東.*", r"(ab){3,5}|(a|bab)+x", r"[ß🎉]{2}.?",
    r".*b{1,4}",
]


@pytest.fixture(scope="module")
def vocabulary():
    return sg.Vocabulary.from_tokens([*TOKENS, b""], eos_ids=[EOS])


class _Nfa:
    """The NFA of an expression, every state of which can reach acceptance."""

    def __init__(self, pattern: str):
        nfa = atom_nfa(Pattern("python", pattern))
        self.rows, self.start, self.accept = nfa.rows(), frozenset(nfa.start.tolist()), nfa.accept
        self.memo: dict = {}

    def run(self, states: frozenset, data: bytes) -> frozenset:
        for b in data:
            key = states, b
            if key not in self.memo:
                self.memo[key] = frozenset(dst for s in states for lo, hi, dst in self.rows[s] if lo <= b <= hi)
            states = self.memo[key]
        return states

    def allowed(self, states: frozenset) -> list[int]:
        out = [i for i, t in enumerate(TOKENS) if self.run(states, t)]
        return out + [EOS] * any(self.accept[s] for s in states)


def _walk(compiled, nfas: list[_Nfa], rng: random.Random, steps: int) -> None:
    matcher, states = compiled.matcher(), [nfa.start for nfa in nfas]
    for _ in range(steps):
        want = sorted(set.intersection(*(set(nfa.allowed(s)) for nfa, s in zip(nfas, states))))
        got = matcher.allowed_tokens().tolist()
        assert got == want
        going = [t for t in got if t != EOS]
        if not going:
            return
        t = rng.choice(going)
        matcher.accept(t)
        states = [nfa.run(s, TOKENS[t]) for nfa, s in zip(nfas, states)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_masks_are_what_the_automaton_survives(pattern, vocabulary):
    compiled, nfa, rng = sg.compile(sg.Regex(pattern), vocabulary), _Nfa(pattern), random.Random(pattern)
    for _ in range(6):
        _walk(compiled, [nfa], rng, 14)


_ATOM = st.sampled_from(["a", "b", "[a-c]", ".", "é", "[^a]", r"\s", "東", "[ß-🎉]", r"\w"])
_EXPR = st.recursive(_ATOM, lambda e: st.one_of(
    st.tuples(e, e).map("".join), st.tuples(e, e).map(lambda p: f"(?:{p[0]}|{p[1]})"),
    st.tuples(e, st.sampled_from(["*", "+", "?", "{2,5}", "{0,9}", "{3}"])).map(lambda p: f"(?:{p[0]}){p[1]}")),
    max_leaves=6)


@settings(max_examples=60, deadline=None)
@given(_EXPR, st.randoms(use_true_random=False))
def test_random_expressions(vocabulary, pattern, rng):
    compiled, nfa = sg.compile(sg.Regex(pattern), vocabulary), _Nfa(pattern)
    for _ in range(2):
        _walk(compiled, [nfa], rng, 8)


def test_more_states_than_walks_are_remembered(vocabulary):
    """All states of a loop of twelve, in random order and again: rows are made from rows of other states."""
    pattern = "(" + "".join("abc"[i % 3] + f"[{'abcxyz'[i % 6]}-z]?" for i in range(12)) + ")*"
    compiled, nfa = sg.compile(sg.Regex(pattern), vocabulary), _Nfa(pattern)
    for seed in range(8):
        _walk(compiled, [nfa], random.Random(seed), 25)


@pytest.mark.parametrize("first, second", [("[a-c]*", r"(?:ab|.)*"), (r"\w{0,9}", "(.|\n)*b.*"), ("[^a]*", "[^b]{2,}")])
def test_intersections(first, second, vocabulary):
    compiled = sg.compile(sg.Regex(first) & sg.Regex(second), vocabulary)
    nfas = [_Nfa(first), _Nfa(second)]
    matcher = compiled.matcher()
    # what both survive they may not survive together: here the masks must lie between
    rng = random.Random(first)
    states = [nfa.start for nfa in nfas]
    for _ in range(12):
        got = set(matcher.allowed_tokens().tolist())
        assert got <= set.intersection(*(set(nfa.allowed(s)) for nfa, s in zip(nfas, states)))
        for t in rng.sample(range(len(TOKENS)), 60):
            fork = matcher.fork()
            assert fork.try_accept(t) == (t in got), t
        going = sorted(got - {EOS})
        if not going:
            break
        t = rng.choice(going)
        matcher.accept(t)
        states = [nfa.run(s, TOKENS[t]) for nfa, s in zip(nfas, states)]


@pytest.mark.parametrize("seed", range(6))
def test_the_trie_holds_the_words_of_all_tokens(seed, vocabulary):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, int(rng.integers(1, 40)), 256).astype(np.uint16)
    alive = (rng.random(256) < (0.8 if seed else 1)).astype(np.uint8)
    tables = token_tables(vocabulary)
    trie = class_trie(tables, classes, alive)
    assert class_trie(tables, classes, alive) is trie
    want: dict[tuple, list[int]] = {}
    for i, token in enumerate(TOKENS):
        word = tuple(classes[list(token)].tolist())
        if all(alive[c] for c in word):
            want.setdefault(word, []).append(i)
    got, path = {}, []
    for i, node in enumerate(trie.nodes.tolist()):
        byte, depth, size = node & 255, node >> 8 & 0xFFFF, node >> 24
        path[max(depth - 1, 0):] = [int(classes[byte])] if depth else []
        ids = trie.tokens[trie.first[i]:trie.first[i + 1]].tolist()
        if ids:
            assert tuple(path) not in got
            got[tuple(path)] = sorted(ids)
        below = trie.nodes[i + 1:i + size] >> 8 & 0xFFFF
        assert (below > depth).all() and (i + size == len(trie.nodes) or trie.nodes[i + size] >> 8 & 0xFFFF <= depth)
    assert got == want
    assert trie.depth == max(map(len, want), default=0)
    assert sorted({int(classes[b]) for b in trie.bytes}) == sorted({int(c) for c in classes if alive[c]})
