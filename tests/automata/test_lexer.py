"""The lexer against `re`, `json` and sets."""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from structgen.automata import lexer_kernels as K
from structgen.automata.lexer import LX_BASE, LX_DEAD, Lexer
from structgen.automata.static_dfa import STR, static_table
from structgen.errors import LimitError
from structgen.grammar.strings import (ANY_STRING, NO_STRING, Length, Literals, Pattern, atom_lang, intersect,
                                       union)

PATTERNS = ["a*", "(ab)*", "a+b?", "[ab]{2,3}", "(a|bb)*", ".*b", "a.", "b[^a]*", "(a|b)*abb", "é?a*", "[^b]*😀?", "",
            "a{3,}", "(aa)*|b"]
ALPHABET = ["a", "b", "é", "😀", '"', "\n"]
SHORT = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 0x22: '\\"', 0x5C: "\\\\", 0x2F: "\\/"}


def spell(text: str, rng: random.Random) -> bytes:
    """A random JSON spelling of `text`."""
    out = []
    for c in text:
        n = ord(c)
        units = [n] if n < 0x10000 else [0xD7C0 + (n >> 10), 0xDC00 + (n & 0x3FF)]
        hexes = "".join("\\u" + "".join(rng.choice((d.lower(), d.upper())) for d in f"{u:04x}") for u in units)
        ways = [hexes]
        if n in SHORT:
            ways.append(SHORT[n])
        if n >= 0x20 and c not in '"\\':
            ways += [c, c]
        out.append(rng.choice(ways))
    return "".join(out).encode()


def accepts(lex: Lexer, q: int, data: bytes) -> int:
    q = lex.run(q, data)
    return lex.label(q) if q >= 0 else -1


def walk(lex: Lexer, q: int, rng: random.Random, member, steps: int = 12) -> None:
    """Random legal bytes: every state on the way must be finishable, within the language."""
    text = b""
    for _ in range(steps):
        rest = lex.shortest(q)
        assert rest is not None
        assert lex.label(lex.run(q, rest)) >= 0
        if rest:                               # suffixes of chosen completions are chosen
            assert lex.shortest(lex.step(q, rest[0])) == rest[1:]
        whole = json.loads(b'"' + text + rest + b'"')
        assert not any(0xD800 <= ord(c) < 0xE000 for c in whole)
        assert member(whole), (text, rest)
        legal = [b for b in range(256) if lex.step(q, b) >= 0]
        assert legal == [b for b, t in enumerate(lex.row(q)) if t >= 0]
        if not legal:
            break
        # few choices at escapes, many letters: favour the former
        rare = [b for b in legal if chr(b) in '\\abu0123456789DdEeé"' or b > 0xC0]
        b = rng.choice(rare if rare and rng.random() < 0.7 else legal)
        q = lex.step(q, b)
        text += bytes((b,))


# ------------------------------------------------------------------ languages

atoms = st.one_of(
    st.sampled_from(PATTERNS).map(lambda p: Pattern("python", p)),
    st.tuples(st.integers(0, 4), st.one_of(st.none(), st.integers(0, 3))).map(
        lambda t: Length(t[0], None if t[1] is None else t[0] + t[1])),
    st.lists(st.text("ab\"é😀", max_size=3), min_size=1, max_size=4).map(lambda w: Literals(tuple(sorted(set(w))))))
conjs = st.lists(st.tuples(atoms, st.booleans()), max_size=3).map(lambda c: tuple(dict(c).items()))
langs = st.lists(conjs, max_size=3).map(tuple)


def holds(atom, text: str) -> bool:
    if isinstance(atom, Pattern):
        return re.fullmatch(atom.source, text) is not None
    if isinstance(atom, Literals):
        return text in atom.words
    return atom.lo <= len(text) and (atom.hi is None or len(text) <= atom.hi)


def member_of(lang):
    return lambda text: any(all(holds(a, text) == yes for a, yes in conj) for conj in lang)


SAMPLES = [""] + ALPHABET[:5] + [x + y for x in ALPHABET for y in ALPHABET] + \
    ["".join(random.Random(k).choices(["a", "a", "b", "é", "😀"], k=3 + k % 5)) for k in range(150)] + \
    ["abb", "aabb", "aaaa", "abab", "bba"]


@settings(max_examples=150, deadline=None)
@given(langs, st.integers(0, 2**32).map(random.Random), st.sampled_from(["all", "minimal"]))
def test_languages(lang, rng, escapes):
    lex = Lexer(escapes)
    member = member_of(lang)
    q = lex.add_string(lang)
    raw = lex.add_text(lang)
    inside = [t for t in SAMPLES if member(t)]
    if inside:
        assert q >= 0 and raw >= 0
    assert (q < 0) == (raw < 0)
    for t in rng.sample(SAMPLES, 60) + inside[:30]:
        expected = 1 if member(t) else -1
        assert lex.contains(lang, t) == (expected == 1)
        if q < 0:
            continue
        if escapes == "all":
            assert accepts(lex, q, spell(t, rng)) == expected
        if escapes == "all" or t.isascii():
            assert accepts(lex, q, json.dumps(t)[1:-1].encode()) == expected
        assert accepts(lex, q, json.dumps(t, ensure_ascii=False)[1:-1].encode()) == expected
        assert accepts(lex, raw, t.encode()) == expected
    if q >= 0:
        walk(lex, q, rng, member)
        whole = lex.shortest(raw)
        assert member(whole.decode())
        assert len(whole) <= min((len(t.encode()) for t in inside), default=99)


@settings(max_examples=60, deadline=None)
@given(langs.filter(bool), st.integers(0, 2**32).map(random.Random))
def test_dead_exactly_when_nothing_follows(lang, rng):
    """Over a small alphabet and short strings, a state is dead iff no extension is accepted."""
    lex = Lexer()
    q = lex.add_text(lang)
    member = member_of(lang)
    # Patterns and lengths above need at most 7 more characters to be satisfied.
    for _ in range(6):
        prefix = "".join(rng.choices("ab", k=rng.randint(0, 3)))
        alive = q >= 0 and lex.run(q, prefix.encode()) >= 0
        stack, found = [(prefix, 0)], False
        while stack and not found:
            t, d = stack.pop()
            found = member(t)
            if d < 7:
                stack += [(t + c, d + 1) for c in ("abc" if d < 4 else "ab")]
        if alive:
            assert member((prefix.encode() + lex.shortest(lex.run(q, prefix.encode()))).decode())
        else:
            assert not found


def test_tail_is_the_shared_any_string_state():
    lex = Lexer()
    q = lex.add_string(atom_lang(Pattern("ecma", "foo")))
    assert q >= LX_BASE
    assert lex.run(q, b"x foo") == STR
    for tail in (b"\xc3", b"\xf0\x9f", b"\\", b"\\u", b"\\ud83", b"\\ud83d\\"):
        state = STR
        for b in tail:
            state = int(static_table[state, b])
        assert lex.run(q, b"x foo" + tail) == state
    assert lex.add_string(ANY_STRING) == STR
    assert lex.add_string(NO_STRING) == LX_DEAD
    assert lex.add_string(atom_lang(Pattern("ecma", "a^b"))) == LX_DEAD
    assert lex.add_string(intersect(atom_lang(Pattern("ecma", "a^b")), atom_lang(Length(2, 3)))) == LX_DEAD
    assert lex.add_string(atom_lang(Pattern("ecma", "a^b"), False)) == STR
    # once the pattern is met, only the length is left, and then nothing
    q = lex.add_string(intersect(atom_lang(Pattern("ecma", "^a")), atom_lang(Length(3, None))))
    assert lex.run(q, b"abc") == STR
    assert lex.anylen(lex.run(q, b"ab")) == (1, K.INF)
    q = lex.add_string(intersect(atom_lang(Pattern("ecma", "^a*$")), atom_lang(Length(3, None))))
    assert lex.run(q, b"aaa") == lex.run(lex.add_string(atom_lang(Pattern("ecma", "^a*$"))), b"aaa")


@pytest.mark.parametrize("escapes", ["all", "minimal"])
def test_lengths_count_code_points(escapes):
    lex = Lexer(escapes)
    q = lex.add_string(atom_lang(Length(2, 3)))
    for text, good in (("a", 0), ("aé", 1), ("😀😀😀", 1), ("\n\n", 1), ("abcd", 0)):
        assert (accepts(lex, q, json.dumps(text, ensure_ascii=False)[1:-1].encode()) == 1) == good
    assert lex.anylen(q) == (2, 3)
    assert lex.anylen(lex.run(q, b"a")) == (1, 2)
    assert lex.anylen(lex.run(q, b"\xc3")) == (-1, -1)
    assert lex.shortest(q) == b"  "
    assert lex.shortest(lex.run(q, b"\xc3")) == b"\x80 "
    q = lex.add_string(atom_lang(Length(0, 1_000_000)))
    assert lex.anylen(lex.run(q, b"x" * 10)) == (0, 999_990)


def test_minimal_spellings_are_unique():
    lex = Lexer("minimal")
    q = lex.add_string(ANY_STRING)
    assert lex.anylen(q) == (0, K.INF)
    pattern = lex.add_string(atom_lang(Pattern("python", r"(.|\n)*")))
    words = lex.add_literals(["\x01", "\n", '"', "/", "\\", "a", "é"])
    for c in map(chr, [*range(0x80), 0xE9, 0xD7FF, 0xE000, 0x1F600]):
        spellings = {json.dumps(c, ensure_ascii=False)[1:-1].encode(), *(spell(c, random.Random(k)) for k in range(9))}
        for start in (q, pattern):
            assert sum(accepts(lex, start, s) == 1 for s in spellings) == 1
            assert accepts(lex, start, json.dumps(c, ensure_ascii=False)[1:-1].encode()) == 1
    assert accepts(lex, words, b"\\u0001") == 0
    assert [accepts(lex, words, s) for s in (b"\\/", b"\\u000a", b"\\u0061", b"\\u00e9")] == [-1] * 4
    assert lex.row(lex.run(words, b"\\u"))[ord("0")] >= 0
    only = lex.add_literals(["a", "b"])
    assert lex.step(only, 0x5C) == LX_DEAD


@pytest.mark.parametrize("lang", [ANY_STRING, atom_lang(Length(0, 9)), atom_lang(Pattern("ecma", "a|.")),
                                  atom_lang(Pattern("ecma", "q"), False)])
def test_invalid_text_is_refused(lang):
    lex = Lexer()
    q = lex.add_string(lang)
    for bad in (b"\\ud800", b"\\udc00", b"\\ud83d\\u0041", b"\\ud83dx", b"\\ud83d\\ud83d", b"\xed\xa0\x80", b"\xc0\x80",
                b"\xf5", b"\xf4\x90", b"\xe0\x80", b"\x1f", b"\n", b'"', b"\\x", b"\\u00g", b"\x80", b"\xff"):
        fresh = Lexer()                        # nothing stepped before: no memo row yet
        assert (fresh.run(fresh.add_string(lang), bad) >= 0) == (bad == b"\\ud800")
        state = lex.run(q, bad)
        assert state < 0 or lex.label(state) < 0 and bad == b"\\ud800"
    raw = Lexer()
    q = raw.add_text(lang)
    for bad in (b"\xed\xa0\x80", b"\xc0\x80", b"\xf5", b"\xf4\x90", b"\xe0\x80", b"\x80", b"\xff"):
        assert raw.run(q, bad) == LX_DEAD


# ------------------------------------------------------------------- literals

words_lists = st.lists(st.text(st.one_of(st.sampled_from('ab"\\\n\x01/'), st.sampled_from("é\uD7AF\uE000\uFFFD😀𝒳")),
                               max_size=4), min_size=1, max_size=12).map(lambda w: sorted(set(w)))


@settings(max_examples=150, deadline=None)
@given(words_lists, st.integers(0, 2**32).map(random.Random))
def test_literals(words, rng):
    lex = Lexer()
    lex.add_literals(["zz", "zzz"])            # another trie before it
    q = lex.add_literals(words)
    spelled = [(i, spell(w, rng)) for i, w in enumerate(words) for _ in range(6)]
    reach: dict[bytes, set] = {}
    for i, s in spelled:
        assert accepts(lex, q, s) == i
        for k in range(len(s) + 1):
            reach.setdefault(s[:k], set()).add(i)
    for prefix, labels in reach.items():
        state = lex.run(q, prefix)
        (lo, hi), (lo2, hi2) = lex.range(state), lex.range2(state)
        found = set(range(lo, hi)) | set(range(lo2, hi2))
        assert labels <= found
        for i in found:                        # every label in the range is really reachable
            rest = lex.shortest(state, lambda label: label == i)
            assert json.loads(b'"' + prefix + rest + b'"') == words[i]
        assert lex.shortest(state, lambda label: label not in found) is None
    for w in SAMPLES[:60]:
        assert accepts(lex, q, spell(w, rng)) == (words.index(w) if w in words else -1)
    walk(lex, q, rng, lambda t: t in words, 8)


def test_many_literals():
    words = sorted({f"{random.Random(k).getrandbits(50):x}" for k in range(5000)})
    lex = Lexer()
    q = lex.add_literals(words)
    for i in range(0, len(words), 17):
        assert accepts(lex, q, words[i].encode()) == i
        assert accepts(lex, q, words[i][:-1].encode()) == -1
    assert lex.range(q) == (0, len(words))
    assert lex.shortest(q) == min(words, key=lambda w: (len(w), w)).encode()


def test_literals_with_lone_surrogates_are_left_out():
    lex = Lexer()
    q = lex.add_literals(["a", "\ud800", "\ue000"])
    assert [accepts(lex, q, s) for s in (b"a", "\ue000".encode(), b"\\ud800")] == [0, 2, -1]
    assert lex.add_literals(["\ud800"]) == LX_DEAD
    assert lex.add_literals([]) == LX_DEAD


# ----------------------------------------------------------------------- keys

@settings(max_examples=80, deadline=None)
@given(st.lists(atoms, max_size=3, unique=True), st.integers(0, 2**16), st.integers(0, 2**32).map(random.Random))
def test_keys(atoms, seed, rng):
    """Labels are a random function of the bit vector, with some vectors forbidden."""
    def label(bits):
        asked.append(bits)
        return random.Random(seed * 16 + bits).choice([-1, -1, 1, 2, 3 + bits])

    asked: list[int] = []
    lex = Lexer()
    q = lex.add_keys(tuple(atoms), label)

    def expected(text):
        return random.Random(seed * 16 + sum(holds(a, text) << i for i, a in enumerate(atoms))).choice(
            [-1, -1, 1, 2, 3 + sum(holds(a, text) << i for i, a in enumerate(atoms))])

    for t in SAMPLES[:100]:
        assert (accepts(lex, q, spell(t, rng)) if q >= 0 else -1) == expected(t)
    assert len(asked) == len(set(asked))
    if q >= 0:
        walk(lex, q, rng, lambda t: expected(t) >= 0)
        best = lex.shortest(q, lambda label: label == 2)
        if best is None:
            assert all(expected(t) != 2 for t in SAMPLES)
        else:
            assert expected(json.loads(b'"' + best + b'"')) == 2


def test_decided_keys_stand_for_any_string():
    lex = Lexer()
    q = lex.add_keys((Pattern("ecma", "^x-"),), lambda bits: 7 + bits)
    for key, label in ((b"x-", 8), (b"y", 7), (b"xx", 7)):
        state = lex.run(q, key)
        assert lex.label(state) == label
        assert lex.rep(state) == STR
        assert lex.rep(lex.run(state, b"\\u00")) == lex.run(STR, b"\\u00")
        assert lex.escape(lex.step(state, 0x5C)) and not lex.escape(state)
    forbidden = lex.add_keys((Pattern("ecma", "^x-"),), lambda bits: -1 if bits else 5)
    assert lex.run(forbidden, b"x-") == LX_DEAD
    assert lex.label(lex.run(forbidden, b"x")) == 5


def test_more_atoms_than_bits_in_a_word():
    patterns = tuple(Pattern("python", f"k{i}.*") for i in range(70))
    lex = Lexer()
    q = lex.add_keys(patterns, lambda bits: bits.bit_length())
    for key, expected in (("k69", 70), ("k6", 7), ("k10x", 11), ("z", 0)):
        bits = sum((re.fullmatch(p.source, key) is not None) << i for i, p in enumerate(patterns))
        assert bits.bit_length() == expected or key == "k10x"
        assert accepts(lex, q, key.encode()) == bits.bit_length()
    lang = union(tuple(((p, True), (Length(4, 4), True)) for p in patterns), atom_lang(Pattern("python", "zz")))
    q = lex.add_string(lang)
    assert [accepts(lex, q, s) for s in (b"k69", b"k69x", b"zz", b"k7xx", b"k7xxx")] == [-1, 1, 1, 1, -1]


# --------------------------------------------------------------- given, limits

def test_given_automaton():
    trans = np.full((3, 256), -1, np.int32)
    trans[0, ord("-")] = 1
    trans[:, 48:58] = 2
    lex = Lexer()
    lex.add_string(atom_lang(Pattern("python", "a*")))
    q = lex.add_dfa(trans, np.array([-1, -1, 4], np.int32))
    assert [accepts(lex, q, s) for s in (b"-12", b"7", b"", b"-", b"1-")] == [4, 4, -1, -1, -1]
    assert lex.shortest(q) == b"0"
    assert lex.anylen(q) == (-1, -1) and lex.rep(q) == q


def test_limits_are_typed_errors_and_leave_the_lexer_usable():
    lex = Lexer(max_states=300)
    q = lex.add_string(atom_lang(Pattern("ecma", "(a.{40})$")))
    with pytest.raises(LimitError) as caught:
        for k in range(5000):
            q = lex.run(q, random.Random(k).choice([b"a", b"b"]))
    assert caught.value.limit == 300
    assert lex.run(lex.add_literals(["abc"]), b"ab") >= 0
    lex = Lexer(max_search=1000)
    # both patterns accept, but never the same string
    with pytest.raises(LimitError) as caught:
        lex.add_string(intersect(atom_lang(Pattern("ecma", "^(a{97})*b$")), atom_lang(Pattern("ecma", "^(a{89})*ac$"))))
    assert caught.value.place == "liveness search" and "a{97}" in str(caught.value)
    # what one text took is no loss to the next
    odd = intersect(atom_lang(Pattern("ecma", "^(a{3})*b$")), atom_lang(Pattern("ecma", "^(a{2})*ab$")))
    with pytest.raises(LimitError):
        lex.add_string(odd)
    lex.refuel()
    assert lex.run(lex.add_string(odd), b"aaab") >= 0


def test_shortest_is_the_least_of_the_shortest():
    """Against every JSON spelling of up to four bytes, from every state on the way."""
    alphabet = b'ab"\\nu0\xc3\xa9'
    lex = Lexer()
    for source in ("(a|\n)b?\"", "é|b{3}|\\\\", "[^ab]{2}", "\x01|a{9}"):
        q = lex.add_string(atom_lang(Pattern("python", source)))
        for prefix in (b"", b"\\", b"b", b"\xc3", b"\n"):
            start = lex.run(q, prefix)
            if start < 0:
                continue
            level, found = [(start, b"")], []
            for _ in range(5):
                found += [text for s, text in level if lex.label(s) >= 0]
                level = [(t, text + bytes((b,))) for s, text in level for b in alphabet if (t := lex.step(s, b)) >= 0]
            best = min(found, key=lambda t: (len(t), t), default=None)
            answer = lex.shortest(start)
            if best is not None:
                assert (len(answer), answer) <= (len(best), best)
            if set(answer) <= set(alphabet) and len(answer) <= 4:
                assert answer == best


def test_long_least_lengths_are_walked_not_flooded():
    lex = Lexer(max_search=5000)
    q = lex.add_string(intersect(atom_lang(Pattern("ecma", "^a*$"), False), atom_lang(Length(1000, 1200))))
    assert q >= 0 and lex.step(q, ord("a")) >= 0


def test_no_state_explosion_from_counting():
    lex = Lexer()
    q = lex.add_string(intersect(atom_lang(Pattern("ecma", "^[a-z]+$")), atom_lang(Length(1, 100_000))))
    before = lex.nbytes
    assert lex.run(q, b"a" * 50) >= 0
    assert lex.nbytes < before + 1_000_000
    q = lex.add_string(intersect(atom_lang(Pattern("ecma", r"^(\S+\s+){0,99}\S+$")), atom_lang(Length(0, 5000))))
    assert lex.run(q, b"some words and more") >= 0


def test_growth_keeps_every_state():
    lex = Lexer()
    starts = []
    for k in range(120):
        lang = intersect(atom_lang(Pattern("python", f"x{{{k}}}(ab)*")), atom_lang(Length(k, k + 9)))
        starts.append(lex.add_string(lang))
        for n in range(40):
            lex.add_string(atom_lang(Length(n, 1000 * k + n + 1)))
    for k, q in enumerate(starts):
        assert accepts(lex, q, b"x" * k + b"ababab") == 1
        assert accepts(lex, q, b"x" * k + b"a") == -1
        assert lex.run(q, b"x" * k + b"abababababab") == LX_DEAD


def test_two_lexers_share_no_state():
    a, b = Lexer(), Lexer()
    lang = atom_lang(Pattern("python", "a*b"))
    qa = a.add_string(lang)
    a.run(qa, b"aab")
    qb = b.add_string(lang)
    assert accepts(b, qb, b"aab") == 1 and accepts(a, qa, b"aab") == 1


@pytest.mark.parametrize("text", ["\ud7af\U0001f600", "\ufffd", "\ud7af\ufffd\U0001f600"])
def test_surrogate_and_hangul_share_their_first_digit(text):
    words = sorted(text)
    lex = Lexer()
    q = lex.run(lex.add_literals(words), b"\\uD")
    reachable = {w for w in words if json.dumps(w)[1:4].lower() == "\\ud"}
    if not reachable:
        assert q == LX_DEAD
        return
    labels = {i for lo, hi in (lex.range(q), lex.range2(q)) for i in range(lo, hi)}
    assert {words[i] for i in labels} == reachable
