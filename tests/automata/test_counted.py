"""Counted repeats: against `re`, against the same expression copied out, and masks near and far from both bounds."""

from __future__ import annotations

import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import structgen as sg
from structgen.automata import counted, lexer_nfa
from structgen.automata.counted import CountedNFA, counted_nfa
from structgen.automata.lexer import LX_DEAD, Lexer
from structgen.automata.nfa import atom_nfa
from structgen.errors import LimitError
from structgen.grammar.strings import Pattern, atom_lang

ALPHABET = "abcé\n"


@pytest.fixture(autouse=True)
def fresh():
    """No automata made under other bounds, before or after."""
    def forget():
        counted_nfa.cache_clear()
        lexer_nfa._cache.clear()

    forget()
    yield
    forget()


def _start(kind: str, source: str) -> tuple[Lexer, int]:
    lexer = Lexer()
    return lexer, lexer.add_text(atom_lang(Pattern(kind, source)))


def _matches(lexer: Lexer, q: int, text: str) -> bool:
    q = lexer.run(q, text.encode()) if q != LX_DEAD else q
    return q != LX_DEAD and lexer.label(q) >= 0


_ATOM = st.sampled_from(
    ["a", "b", "[ab]", ".", "é", "[^a]", "(?:ab|c)", "(?:a|)", r"\n", "(?:ab?)", "(?:a*b)", "[bé]+"])
_BOUNDS = st.tuples(st.integers(0, 5), st.integers(0, 4)).map(lambda p: f"{{{p[0]},{p[0] + p[1]}}}")
_EXPR = st.recursive(_ATOM, lambda e: st.one_of(
    st.tuples(e, e).map("".join), st.tuples(e, e).map(lambda p: f"(?:{p[0]}|{p[1]})"),
    st.tuples(e, st.one_of(_BOUNDS, _BOUNDS, st.sampled_from(["*", "+", "?"]))).map(lambda p: f"(?:{p[0]}){p[1]}")),
    max_leaves=7)


def _texts(pattern: str, rng: random.Random) -> list[str]:
    return ["".join(rng.choices(ALPHABET[:rng.randint(1, 5)], k=rng.randint(0, 14))) for _ in range(25)] + [
        "ab" * rng.randint(0, 6), "a" * rng.randint(0, 12), "abc" * rng.randint(0, 4)]


@settings(max_examples=150, deadline=None)
@given(_EXPR, st.randoms(use_true_random=False))
def test_verdicts_are_those_of_re(pattern, rng):
    counted_nfa.cache_clear()
    lexer_nfa._cache.clear()
    before, counted.COUNT_FROM = counted.COUNT_FROM, 2
    try:
        full = _start("python", pattern)
        search = _start("ecma", pattern)
        nfa = counted_nfa(Pattern("python", pattern))
    finally:
        counted.COUNT_FROM = before
    if isinstance(nfa, CountedNFA):
        assert nfa.total > nfa.n
    compiled = re.compile(pattern)
    anywhere = re.compile(pattern.replace(".", r"[^\n\r\u2028\u2029]"))
    for text in _texts(pattern, rng):
        assert _matches(*full, text) == bool(compiled.fullmatch(text)), text
        assert _matches(*search, text) == bool(anywhere.search(text)), text


@pytest.mark.parametrize("pattern, good, bad", [
    ("(?:ab|c){50,100}", ["c" * 50, "ab" * 100, "abc" * 40], ["c" * 49, "ab" * 101, "abc" * 40 + "a"]),
    ("[a-z]{0,100000}", ["", "a" * 100_000], ["a" * 100_001, "A"]),
    ("(?:[a-z]+,){1,1000}z", ["a,z", "ab,c,z", "a," * 1000 + "z"], ["z", "a," * 1001 + "z", ",z"]),
    ("(?:a{1,40}b){2,50}", ["abab", "a" * 40 + "baab", "ab" * 50], ["ab", "a" * 41 + "bab", "ab" * 51]),
    ("a{40}b{40,50}c{32,}", ["a" * 40 + "b" * 45 + "c" * 99],
     ["a" * 40 + "b" * 51 + "c" * 40, "a" * 39 + "b" * 41 + "c" * 40]),
    ("(?:a?b?){0,64}c", ["c", "b" * 64 + "c", "ab" * 64 + "c"], ["b" * 65 + "c", "ab" * 65 + "c"]),
    ("(?:x(?:yé?){32,33})*", ["", "x" + "yé" * 32, ("x" + "y" * 33) * 3], ["x" + "y" * 31, "x" + "y" * 34]),
])
def test_large_bounds(pattern, good, bad):
    assert isinstance(counted_nfa(Pattern("python", pattern)), CountedNFA)
    lexer, q = _start("python", pattern)
    for text in good:
        assert _matches(lexer, q, text)
    for text in bad:
        assert not _matches(lexer, q, text)


def test_no_blow_up():
    nfa = counted_nfa(Pattern("python", "(?:ab|c){50000,100000}"))
    assert nfa.n < 10 and nfa.total > 200_000
    for pattern in ("(?:a{1,100000}b){1,100000}", r"(?:\w{1,20} ){1,100000}"):
        with pytest.raises(LimitError):
            sg.Regex(pattern)


@pytest.mark.parametrize("pattern", ["(?=a).{40}", "(?:a(?!b)){0,99}", "(?:a|^b){40}", r"(?:\bx ?){50}"])
def test_what_looks_around_is_copied_out(pattern):
    assert not isinstance(counted_nfa(Pattern("python", pattern)), CountedNFA)


TOKENS = [bytes([b]) for b in range(256)] + [
    x.encode() for x in ("ab", "abab", "cc", "ccc", "abc", "a" * 5, "a" * 8, "é", "éa", "b,", "ab,ab", '"', 'a"', '",')]


def _allowed(rows, states):
    def run(now, data):
        for b in data:
            now = {dst for s in now for lo, hi, dst in rows[s] if lo <= b <= hi}
        return now

    return [i for i, t in enumerate(TOKENS) if run(states, t)], run


@pytest.mark.parametrize("pattern", [
    "(?:ab|c){60,150}", "[ab]{0,70}", "(?:a|bc?|é){40,100}", "(?:[ab]+,){0,60}c", "a{50}[bc]{33,80}c", "(?:a{33}|c)*",
    "(?:.|\n){45,90}", "(?:aa?){30,70}b?"])
def test_masks_near_and_far_from_the_bounds(pattern):
    vocabulary = sg.Vocabulary.from_tokens([*TOKENS, b""], eos_ids=[len(TOKENS)])
    assert isinstance(counted_nfa(Pattern("python", pattern)), CountedNFA)
    compiled = sg.compile(sg.Regex(pattern), vocabulary)
    nfa = atom_nfa(Pattern("python", pattern))
    rows, rng = nfa.rows(), random.Random(pattern)
    for _ in range(3):
        matcher, states = compiled.matcher(), set(nfa.start.tolist())
        for _ in range(130):
            want, run = _allowed(rows, states)
            if any(nfa.accept[s] for s in states):
                want.append(len(TOKENS))
            assert matcher.allowed_tokens().tolist() == want
            going = [t for t in want if t < len(TOKENS)]
            if not going:
                break
            t = rng.choice([t for t in going if len(TOKENS[t]) < 3] or going)
            matcher.accept(t)
            states = run(states, TOKENS[t])


@pytest.mark.parametrize("schema", [
    {"type": "string", "pattern": "^(ab|c){40,90}$"}, {"type": "string", "pattern": "^[^b]{0,60}$"},
    {"type": "string", "pattern": "^(a|é,?){35,70}"}])
def test_patterns_of_schemas(schema):
    """Masks inside JSON strings, where a lexeme may end inside a token: against acceptance of each token."""
    vocabulary = sg.Vocabulary.from_tokens([*TOKENS, b""], eos_ids=[len(TOKENS)])
    compiled = sg.compile(schema, vocabulary)
    copied = re.compile(schema["pattern"])
    for seed in range(2):
        rng, matcher, text = random.Random(seed), compiled.matcher(), b""
        for _ in range(100):
            mask = set(matcher.allowed_tokens().tolist())
            for t in range(len(TOKENS)):
                assert (t in mask) == matcher.fork().try_accept(t), (text, TOKENS[t])
            going = [t for t in mask if t < len(TOKENS) and b"\\" not in TOKENS[t] and not 9 <= TOKENS[t][0] <= 32]
            if not going or matcher.can_end():
                break
            t = rng.choice([t for t in going if b'"' not in TOKENS[t]] or going)
            matcher.accept(t)
            text += TOKENS[t]
        matcher.accept_bytes(matcher.shortest_completion())
        assert copied.search(json.loads(matcher.text))
