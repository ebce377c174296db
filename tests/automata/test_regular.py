"""Expressions over languages, against Python's ``re`` and by brute force."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structgen.automata.nfa import atom_nfa
from structgen.automata.regular import expr_nfa, lang_nfa
from structgen.errors import LimitError
from structgen.grammar.strings import (ANY_STRING, Expr, Length, Pattern, atom_lang, complement, intersect,
                                       literal_lang, union)

WORDS = ["".join(w) for n in range(6) for w in itertools.product("ab", repeat=n)]

# a language and a function that says what is in it
leaves = st.one_of(
    st.sampled_from(["", "a", "b", "a*", "(ab)*", "a|bb", "[ab]", "a?b?", "b+", "(a|b)*a", "ab{1,2}", ".*"]).map(
        lambda p: (atom_lang(Pattern("python", p)), lambda w, r=re.compile(p): bool(r.fullmatch(w)))),
    # what these say about their ends must not look at what stands beside them
    st.sampled_from(["a$", r"\ba", "a(?!b)", "(?<!a)b", "^b", "a(?=$)"]).map(
        lambda p: (atom_lang(Pattern("python", p)), lambda w, r=re.compile(p): bool(r.fullmatch(w)))),
    st.lists(st.sampled_from(["", "a", "ab", "ba", "bb"]), max_size=3).map(
        lambda ws: (literal_lang(ws), lambda w, s=frozenset(ws): w in s)),
    st.tuples(st.integers(0, 2), st.integers(2, 3)).map(
        lambda t: (atom_lang(Length(*t)), lambda w, t=t: t[0] <= len(w) <= t[1])),
)


def splits(w, tests):
    if not tests:
        return w == ""
    return any(tests[0](w[:i]) and splits(w[i:], tests[1:]) for i in range(len(w) + 1))


def repeats(w, test, lo, hi):
    reached, n = {0}, 0
    seen = set()
    while True:
        if n >= lo and len(w) in reached:
            return True
        if n == hi or (n > lo and frozenset(reached) in seen):
            return False
        seen.add(frozenset(reached))
        reached = {j for i in reached for j in range(i, len(w) + 1) if test(w[i:j])}
        n += 1


def combine(children):
    return st.one_of(
        st.lists(children, max_size=3).map(lambda cs: (
            atom_lang(Pattern("regular", Expr("cat", tuple(c[0] for c in cs)))),
            lambda w, ts=[c[1] for c in cs]: splits(w, ts))),
        st.lists(children, min_size=1, max_size=3).map(lambda cs: (
            atom_lang(Pattern("regular", Expr("alt", tuple(c[0] for c in cs)))),
            lambda w, ts=[c[1] for c in cs]: any(t(w) for t in ts))),
        st.tuples(children, st.integers(0, 2), st.sampled_from([None, 0, 1, 3])).map(lambda x: (
            atom_lang(Pattern("regular", Expr("repeat", (x[0][0],), x[1], None if x[2] is None else x[1] + x[2]))),
            lambda w, x=x: repeats(w, x[0][1], x[1], None if x[2] is None else x[1] + x[2]))),
        st.tuples(children, children).map(lambda x: (
            intersect(x[0][0], x[1][0]), lambda w, x=x: x[0][1](w) and x[1][1](w))),
        st.tuples(children, children).map(lambda x: (
            union(x[0][0], x[1][0]), lambda w, x=x: x[0][1](w) or x[1][1](w))),
        children.map(lambda x: (complement(x[0]), lambda w, x=x: not x[1](w))),
    )


@settings(max_examples=400, deadline=None)
@given(st.recursive(leaves, combine, max_leaves=5))
def test_expressions_mean_what_they_say(case):
    lang, test = case
    if not lang:
        assert not any(map(test, WORDS))
        return
    nfa = lang_nfa(lang)
    got = {w for w in WORDS if nfa.n and nfa.matches(w)}
    assert got == set(filter(test, WORDS))


@settings(max_examples=200, deadline=None)
@given(st.text("abé😀", max_size=9))
def test_substrings(text):
    nfa = expr_nfa(Expr("substring", symbols=tuple(text)))
    every = {text[i:j] for i in range(len(text) + 1) for j in range(i, len(text) + 1)}
    some = every | {w[::-1] for w in every} | {w + "a" for w in every} | {w[1:] + "é" for w in every}
    assert {w for w in some if nfa.matches(w)} == every
    assert not any(nfa.matches(c.encode()[:1]) for c in "é😀")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "ab", "abc", " ", "b"]), max_size=7))
def test_substrings_of_words(symbols):
    nfa = expr_nfa(Expr("substring", symbols=tuple(symbols)))
    every = {"".join(symbols[i:j]) for i in range(len(symbols) + 1) for j in range(i, len(symbols) + 1)}
    text = "".join(symbols)
    some = {text[i:j] for i in range(len(text) + 1) for j in range(i, len(text) + 1)}
    assert {w for w in some if nfa.matches(w)} == every


def test_a_tail_of_any_text_is_universal():
    nfa = expr_nfa(Expr("cat", (literal_lang(["x"]), ANY_STRING)))
    assert nfa.universal >= 0 and nfa.matches("xyz") and not nfa.matches("yx")


def test_sizes_are_bounded():
    ten = atom_lang(Pattern("python", "[a-j]{10}"))
    with pytest.raises(LimitError):
        atom_nfa(Pattern("regular", Expr("repeat", (ten,), 0, 100_000)))
    assert expr_nfa(Expr("repeat", (ten,), 0, 100)).matches("abcdefghij" * 100)
