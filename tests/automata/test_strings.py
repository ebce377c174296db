"""Questions about string languages, against brute force."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings, strategies as st

from structgen.automata.strings import contains, disjoint, enumerate_finite, is_empty, shortest
from structgen.errors import LimitError
from structgen.grammar.strings import (ANY_STRING, NO_STRING, Length, Pattern, atom_lang, complement, intersect,
                                       literal_lang, union)

UNIVERSE = ["".join(t) for n in range(6) for t in itertools.product("ab", repeat=n)]
SOURCES = ["a*", "(ab)*", "b?a{2,3}", "[ab]b", "(aa|b)*a", "a|b|ba", "", "(a|b){4}"]
BINARY = atom_lang(Pattern("python", "[ab]*"))
sources = st.sampled_from(SOURCES)


def py(source: str):
    return atom_lang(Pattern("python", source))


@settings(max_examples=80, deadline=None)
@given(sources, sources, st.integers(0, 4), st.integers(0, 2))
def test_against_brute_force(a, b, lo, more):
    size = atom_lang(Length(lo, lo + more))
    inside = {u for u in UNIVERSE if re.fullmatch(a, u) and lo <= len(u) <= lo + more}
    if lo + more <= 5:
        lang = intersect(py(a), size)
        assert is_empty(lang) == (not inside)
        assert enumerate_finite(lang, 100) == sorted(inside)
        if inside:
            assert shortest(lang) == min(inside, key=lambda u: (len(u), u))
            assert enumerate_finite(lang, len(inside) - 1) is None
        both = inside & {u for u in UNIVERSE if re.fullmatch(b, u)}
        assert disjoint(lang, py(b)) == (not both)
        less = intersect(intersect(BINARY, lang), complement(py(b)))
        assert enumerate_finite(less, 100) == sorted(inside - both)
        for u in UNIVERSE[:20]:
            assert contains(union(lang, py(b)), u) == (u in inside or re.fullmatch(b, u) is not None)


def test_simple_answers():
    assert is_empty(NO_STRING) and not is_empty(ANY_STRING)
    assert enumerate_finite(NO_STRING, 5) == []
    assert enumerate_finite(ANY_STRING, 1000) is None
    assert enumerate_finite(literal_lang(["é", "a", "😀"]), 3) == ["a", "é", "😀"]
    assert shortest(literal_lang(["é", "zz", "b"])) == "b"
    assert not contains(ANY_STRING, "\ud800") and contains(ANY_STRING, "\x00")
    assert disjoint(literal_lang(["a", "b"]), literal_lang(["c"]))
    assert not disjoint(atom_lang(Pattern("ecma", "a")), atom_lang(Pattern("ecma", "b")))


def test_budgets_end_in_a_typed_error(monkeypatch):
    from structgen.automata import strings

    monkeypatch.setattr(strings, "MAX_SEARCH", 500)
    with pytest.raises(LimitError):
        disjoint(py("(a{83})*b"), py("(a{79})*ab"))
