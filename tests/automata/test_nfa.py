"""Byte NFAs: what the lexer relies on, whatever the pattern."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from structgen.automata.nfa import ByteNFA, atom_nfa, build_nfa
from structgen.automata.utf8 import NODES, utf8_class
from structgen.errors import LimitError, RegexError
from structgen.frontends.regex import parse_ecma, parse_python
from structgen.frontends.regex.classes import ALL, intersect, negate, normalize
from structgen.grammar.strings import Pattern

PATTERNS = ["", "a", "^a$", "[]", "a[]|b", "^(?:[^\"\\\\]|\\\\.){0,20}$", "(.*a.{40})", r"^(\S+\s+){0,9}\S+$", "a^|b",
            "$a",
            "(?:^|x)y(?:z|$)", "^((?!mode)(?!Mode).)*$", r"\bfoo\b", "(?<=a)b", "^(?=.*[a-z])(?=.*\\d).{2,}$", "é|😀+",
            "(?!)", "(?:a*)*$", "foo(bar)?", "^[^]*$", "(?=a)", "^(?!a)", r"^\p{L}{2,}$", "(?:a|ab)(?:c|bcd)(?:d*)$"]


def check(nfa: ByteNFA) -> None:
    """The promises of the class docstring."""
    assert nfa.src.dtype == nfa.dst.dtype == nfa.start.dtype == np.int32
    assert nfa.lo.dtype == nfa.hi.dtype == np.uint8 and nfa.accept.dtype == np.bool_
    assert len(nfa.src) == len(nfa.dst) == len(nfa.lo) == len(nfa.hi) and len(nfa.accept) == nfa.n
    assert (np.diff(nfa.src) >= 0).all() and (nfa.lo <= nfa.hi).all()
    if nfa.n == 0:
        assert len(nfa.start) == 0 and nfa.universal == -1
        return
    assert len(nfa.start) and (nfa.dst < nfa.n).all() and (nfa.dst >= 0).all()
    for first, edges in (nfa.start, (nfa.src, nfa.dst)), (np.flatnonzero(nfa.accept), (nfa.dst, nfa.src)):
        seen = set(first.tolist())
        grow = True
        while grow:
            more = {b for a, b in zip(edges[0].tolist(), edges[1].tolist()) if a in seen} - seen
            seen |= more
            grow = bool(more)
        assert len(seen) == nfa.n                           # reachable; co-reachable


def universal_language(nfa: ByteNFA, state: int) -> bool:
    """Whether exactly the valid UTF-8 strings lead from `state` to acceptance, by determinising beside UTF-8."""
    rows = nfa.rows()
    seen, stack = set(), [(frozenset((state,)), -1)]
    while stack:
        here = stack.pop()
        if here in seen:
            continue
        seen.add(here)
        subset, node = here
        if node < 0 and not any(nfa.accept[s] for s in subset):
            return False
        for a, b, child in (utf8_class(ALL) if node < 0 else NODES[node]):
            for byte in range(a, b + 1):
                stack.append((frozenset(d for s in subset for lo, hi, d in rows[s] if lo <= byte <= hi), child))
                if len(seen) > 5000:
                    return False
    return True


@pytest.mark.parametrize("pattern", PATTERNS)
def test_invariants(pattern):
    nfa = atom_nfa(Pattern("ecma", pattern))
    check(nfa)
    if nfa.universal >= 0:
        assert nfa.accept[nfa.universal] and universal_language(nfa, nfa.universal)


@pytest.mark.parametrize("pattern", ["", "(?=)", "a*", "^a*", "(?:a|)", "^[^]*$", r"^[\s\S]*$", "^"])
def test_patterns_that_say_nothing_start_universal(pattern):
    nfa = atom_nfa(Pattern("ecma", pattern))
    assert universal_language(nfa, int(nfa.start[0]))


@pytest.mark.parametrize(
    "pattern, text",
    [
        ("a", "a"),
        ("^a", "a"),
        ("foo(bar)*", "xfoo"),
        ("^x[^]*", "x"),
        ("a|b$", "ba"),
        ("^(?!b)a", "a"),
        (r"\bfoo\b", "-foo-"),
        ("x(?=y)", "axy"),
    ],
)
def test_found_means_universal(pattern, text):
    """Once an unanchored pattern is found, the simulation holds the universal state."""
    nfa = atom_nfa(Pattern("ecma", pattern))
    now, rows = set(nfa.start.tolist()), nfa.rows()
    for byte in text.encode():
        now = {d for s in now for lo, hi, d in rows[s] if lo <= byte <= hi}
    assert nfa.universal in now


def test_anchored_patterns_have_no_universal_state():
    assert atom_nfa(Pattern("ecma", "^a.*$")).universal == -1
    assert atom_nfa(Pattern("python", "a.*")).universal == -1
    assert atom_nfa(Pattern("python", "(?s)a.*")).universal >= 0


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_repeats_are_linear(count):
    nfa = atom_nfa(Pattern("ecma", f"^[a-z]{{0,{count}}}$"))
    assert nfa.n == count + 1 and len(nfa.src) == count
    nfa = atom_nfa(Pattern("ecma", f"^(?:a?b?){{0,{count}}}$"))
    assert nfa.n <= 2 * count + 2 and len(nfa.src) <= 6 * count
    nfa = atom_nfa(Pattern("ecma", f"^(?:\\S+\\s+){{0,{count}}}\\S+$"))
    assert nfa.n <= 40 * count and len(nfa.src) <= 160 * count


def test_common_endings_are_shared():
    assert atom_nfa(Pattern("ecma", "^(?:one|none|bone|done)$")).n <= 8


def test_budget():
    with pytest.raises(LimitError, match="states") as caught:
        build_nfa(parse_ecma("^a{1000}$"), search=True, limit=100, name="the pattern 'x'")
    assert "the pattern 'x'" in str(caught.value) and caught.value.limit == 100
    with pytest.raises(LimitError):
        atom_nfa(Pattern("ecma", "^(?!.*a.{40}$)"))         # the complement has 2^40 states
    with pytest.raises(RegexError):
        atom_nfa(Pattern("nonsense", "a"))
    assert atom_nfa(Pattern("ecma", "(?=.*a.{40})")).n      # a positive one need not be determinised


def test_bytes_that_are_no_text_are_refused():
    nfa = atom_nfa(Pattern("ecma", "^[^a]*$"))
    assert nfa.matches("\ud7ff\ue000\U0010ffff")
    for bad in (b"\x80", b"\xc0\xaf", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf8", b"\xe2\x82",
                b"\xff"):
        assert not nfa.matches(bad)


def test_python_classes_with_many_ranges():
    nfa = build_nfa(parse_python(r"\w{2}"))
    check(nfa)
    assert nfa.matches("é漢") and not nfa.matches("é-")


ranges = st.lists(st.tuples(st.integers(0, 0x10FFFF), st.integers(0, 300)), max_size=6).map(
    lambda pairs: normalize((a, min(a + b, 0x10FFFF)) for a, b in pairs))


@given(ranges, st.lists(st.integers(0, 0x10FFFF), min_size=5, max_size=20))
def test_utf8_classes(some, codes):
    codes += [c for lo, hi in some for c in (lo - 1, lo, hi, hi + 1)]
    for code in codes:
        if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            node = -2
            for byte in chr(code).encode():
                edges = utf8_class(some) if node == -2 else NODES[node]
                node = next((child for lo, hi, child in edges if lo <= byte <= hi), None)
                if node is None:
                    break
            assert (node == -1) == any(lo <= code <= hi for lo, hi in some)


@given(ranges, ranges)
def test_sets_of_code_points(a, b):
    def member(code, some):
        return any(lo <= code <= hi for lo, hi in some)
    both, other = intersect(a, b), negate(a)
    for lo, hi in (*a, *b):
        for code in (lo - 1, lo, hi, hi + 1):
            if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
                assert member(code, both) == (member(code, a) and member(code, b))
                assert member(code, other) != member(code, a)


def test_atoms_are_cached():
    assert atom_nfa(Pattern("ecma", "abc")) is atom_nfa(Pattern("ecma", "abc"))
