"""Ends of matches, against ``re.match``."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structgen.frontends.lark import read_lark
from structgen.frontends.regex import parse_python
from structgen.frontends.regex.takes import match_end

patterns = st.recursive(
    st.sampled_from(["a", "b", "ab", "[ab]", ".", "a(?=b)", "(?!b)", "(?<=a)b", r"\b", "^", "$", "(?<!a)", ""]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{1,3}?", "{0,2}"])).map(
            lambda x: f"(?:{x[0]}){x[1]}"),
        st.lists(inner, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda xs: f"(?:{'|'.join(xs)})")), max_leaves=6)


@settings(max_examples=800, deadline=None)
@given(patterns, st.lists(st.text("ab", max_size=6), max_size=4))
def test_ends_are_those_of_re(pattern, texts):
    tree, oracle = parse_python(pattern), re.compile(pattern)
    for text in texts:
        found = oracle.match(text)
        assert match_end(tree, text) == (found.end() if found else None), text


@pytest.mark.timeout(60)         # the point is that it comes back at all
def test_expressions_that_re_is_slow_on():
    grammar = read_lark('start: "%s" | A\nA: /(?:a|a)*b/ | /(?:a*)*c/' % ("a" * 150), parser="lalr")
    assert not grammar.keywords
