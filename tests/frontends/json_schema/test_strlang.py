"""Questions about string languages, answered for small alphabets by listing texts."""

import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from structgen.frontends.json_schema.strlang import MANY_WORDS, conj_nonempty, count_words, words
from structgen.grammar.strings import Pattern

#: finite expressions: every word has at most six characters
_FINITE = st.recursive(
    st.sampled_from(["a", "b", "é", "[ab]", "[a-c]", "a?", "[ab]{0,2}", "(?:ab|b)?"]),
    lambda inner: st.one_of(st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}{p[1]})"),
                            st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})")), max_leaves=3)
_TEXTS = ["".join(t) for n in range(7) for t in itertools.product("abcé", repeat=n)]


def _some(*patterns):
    return tuple((Pattern("ecma", f"^(?:{p})$"), positive) for p, positive in patterns)


@given(_FINITE, _FINITE, st.booleans())
@settings(max_examples=60, deadline=None)
def test_number_of_words(one, other, positive):
    conj = _some((one, True), (other, positive))
    expected = [t for t in _TEXTS if re.fullmatch(one, t) and bool(re.fullmatch(other, t)) == positive]
    assert count_words((conj,)) == len(expected)
    assert conj_nonempty(conj) == bool(expected)
    assert words((conj,)) == tuple(sorted(expected))


def test_infinite_and_large_languages_have_no_number():
    assert count_words((_some(("a*b", True)),)) is None
    assert count_words((_some(("a*b", True), ("a", True)),)) == 0
    many = f"[ab]{{{MANY_WORDS.bit_length()}}}"
    assert count_words((_some((many, True), ("b.*", True)),)) in (None, 2 ** (MANY_WORDS.bit_length() - 1))
    assert count_words((_some((many, True), ("b.*|a.*", True)),)) is None
    assert count_words((_some(("[^a]", True), (".", True)),)) is None       # over a million characters
