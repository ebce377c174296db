"""Arenas that fill up and are replaced, and the growth of every table.

A compiled object whose arena may hold almost nothing must answer as one without
a cap; tables far beyond the sizes they start with must answer as fresh ones.
"""

from __future__ import annotations

import gc
import json
import random
import weakref

import numpy as np
import pytest

from structgen.automata.arena import Arena
from structgen.decoding.compiled import Compiled
from structgen.decoding.matcher import fill_batch
from structgen.errors import MatcherError
from structgen.frontends.json_schema import lower
from structgen.grammar.ir import Options
from structgen.reference import ReferenceMatcher
from structgen.tokens.vocabulary import Vocabulary
from tests.exactness.pairs import mask_of, pick
from tests.support.tiny_vocabularies import byte_tokens

OPTIONS = Options(order="any", whitespace="compact")


@pytest.fixture(scope="module")
def vocab() -> Vocabulary:
    tokens, eos = byte_tokens(random.Random("arena"), extra=40)
    return Vocabulary.from_tokens(tokens, eos_ids=eos)


def words(n: int, seed: str = "words", size: int = 10) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choice("abcdefgh") for _ in range(size)) for _ in range(n)]


#: Nearly every position inside one of its words has a mask of its own.
MANY_ROWS = {
    "type": "array",
    "items": {
        "anyOf": [
            {"enum": words(300)},
            {
                "type": "object",
                "properties": {w: {"type": ["integer", "null"]} for w in words(100, "keys")},
                "additionalProperties": {"$ref": "#"},
            },
        ]
    },
}


@pytest.fixture(scope="module")
def pair(vocab):
    """The same constraint without a cap and with next to no room."""
    grammar = lower(MANY_ROWS, OPTIONS)
    return Compiled(grammar, vocab), Compiled(grammar, vocab, max_bytes=1)


def say(rng: random.Random, m) -> bytes:
    """Text that may follow, mostly a whole word."""
    roll = rng.random()
    if roll < 0.6:
        texts = [f'"{w}"'.encode() for w in rng.sample(words(300), 3)] + [
            f'{{"{rng.choice(words(100, "keys"))}":'.encode()
        ]
    else:
        texts = [b",", b"[", b"]", b"}", b"1", b"null", b'{"xy":[', b"["]
    rng.shuffle(texts)
    for text in texts:
        try:
            m.accept_bytes(text)
            return text
        except MatcherError:
            pass
    text = next((m.vocabulary.token_bytes(t) for t in m.allowed_tokens().tolist() if t not in m.vocabulary.eos_ids),
                b"")
    m.accept_bytes(text)
    return text


@pytest.mark.parametrize("seed", range(6))
def test_walks_across_arenas(pair, vocab, seed):
    """Forks, rollbacks and batches go on while arenas are replaced under them."""
    big, small = pair
    rng = random.Random(f"walk {seed}")
    players = [(big.matcher(), small.matcher())]
    seen: dict[int, weakref.ref] = {}
    for step in range(120):
        a, b = players[rng.randrange(len(players))]
        seen.setdefault(id(b._arena), weakref.ref(b._arena))
        expected = mask_of(a, vocab.size)
        assert mask_of(b, vocab.size) == expected, a.text
        roll = rng.random()
        if roll < 0.5:
            t = pick(rng, expected, vocab, False)
            if t in vocab.eos_ids:
                continue
            a.accept(t)
            b.accept(t)
        elif roll < 0.7:
            b.accept_bytes(say(rng, a))
        elif roll < 0.8:
            n = min(rng.randint(1, 6), depth(a))
            a.rollback(n)
            b.rollback(n)
        elif roll < 0.9 and len(players) < 5:
            players.append((a.fork(), b.fork()))
        else:
            rows = np.zeros((2, len(players), vocab.words), np.int32)
            fill_batch([p for p, _ in players], rows[0])
            fill_batch([q for _, q in players], rows[1])
            assert (rows[0] == rows[1]).all()
        assert (a.text, a.can_end(), a.expected_bytes()) == (b.text, b.can_end(), b.expected_bytes())
        assert a.n_tokens == b.n_tokens
    assert len(seen) >= 2
    for a, b in players:                # every step back of every player, in whatever arena it is by now
        while depth(a):
            assert mask_of(a, vocab.size) == mask_of(b, vocab.size)
            a.rollback()
            b.rollback()
    del players, a, b
    gc.collect()
    alive = [r() for r in seen.values() if r() is not None]
    assert [x for x in alive if x is not small._arena] == []


def depth(m) -> int:
    n, node = 0, m._node
    while node[2] is not None:
        n, node = n + 1, node[2]
    return n


def test_draft_trees_across_arenas(pair, vocab):
    big, small = pair
    single = {vocab.token_bytes(t): t for t in range(vocab.size) if len(vocab.token_bytes(t) or b"") == 1}
    for trial in range(6):
        rng = random.Random(f"draft {trial}")
        for m in (small.matcher(), small.matcher()):        # states of the arena are numbered some other way
            for _ in range(20):
                say(rng, m)
                m.allowed_tokens()
        a, b = big.matcher(), small.matcher()
        a.accept_bytes(b"[")
        b.accept_bytes(b"[")
        tokens, parents = [], []
        for word in rng.sample(words(300), 20) + ["nothing"] * 2:
            for k, byte in enumerate(f'"{word}",'.encode()):
                parents.append(len(tokens) - 1 if k else -1)
                tokens.append(single[bytes([byte])])
        rows = np.full((2, len(tokens) + 1, vocab.words), -1, np.int32)
        before = small._arena
        assert a.fill_draft_bitmask(rows[0], tokens, parents) == b.fill_draft_bitmask(rows[1], tokens, parents)
        assert (rows[0] == rows[1]).all()
        assert mask_of(a, vocab.size) == mask_of(b, vocab.size) and b.text == b"["
        assert small._arena is not before


def test_closing_across_arenas(vocab):
    grammar = lower({"type": "array", "items": {"enum": words(80, size=5)}, "maxItems": 25}, OPTIONS)
    big, small = Compiled(grammar, vocab), Compiled(grammar, vocab, max_bytes=1)
    start = small._arena
    for seed in range(3):
        rng = random.Random(seed)
        a, b = big.matcher(max_tokens=70), small.matcher(max_tokens=70)
        while not a.is_finished:
            expected = mask_of(a, vocab.size)
            assert mask_of(b, vocab.size) == expected
            t = rng.choice(sorted(expected))
            a.accept(t)
            b.accept(t)
        assert a.n_tokens <= 70 and json.loads(b.text) == json.loads(a.text)
    assert small._arena is not start


def test_a_cap_in_the_middle(vocab):
    """More than one chunk before the cap is met."""
    grammar = lower(MANY_ROWS, OPTIONS)
    big = Compiled(grammar, vocab)
    small = Compiled(grammar, vocab, max_bytes=big.nbytes + 40_000)
    arenas = set()
    for seed in range(25):
        rng = random.Random(f"cap {seed}")
        a, b = big.matcher(), small.matcher()
        for _ in range(12):
            b.accept_bytes(say(rng, a))
            assert mask_of(a, vocab.size) == mask_of(b, vocab.size)
            piece = f'"{rng.choice(words(300))[:rng.randint(1, 9)]}'.encode()
            for m, f in ((a, a.fork()), (b, b.fork())):
                try:
                    f.accept_bytes(piece)
                except MatcherError:
                    f.accept_bytes(b"")
                m_mask = mask_of(f, vocab.size)
                if m is a:
                    expected = m_mask
            assert m_mask == expected
            arenas.add(weakref.ref(b._arena))
    assert small._arena.nbytes < 2 * small.max_bytes


def test_a_mask_larger_than_an_arena_may_be(vocab, monkeypatch):
    """A mask that does not fit into a fresh arena is made beyond the cap, it does not go round for ever."""
    monkeypatch.setattr(Arena, "nbytes", property(lambda self: 1 << 40))
    monkeypatch.setattr("structgen.decoding.compiled.Compiled.renew", refilled)
    grammar = lower(MANY_ROWS, OPTIONS)
    a, b = Compiled(grammar, vocab).matcher(), Compiled(grammar, vocab, max_bytes=1).matcher()
    fill_up(b._arena)
    a.accept_bytes(b'["ab')
    b.accept_bytes(b'["ab')
    assert mask_of(a, vocab.size) == mask_of(b, vocab.size)
    assert not b._arena.may_exceed


def fill_up(arena) -> None:
    """Leave no free row in what the arena holds."""
    from structgen.tokens import mask_layout as ml
    arena.block[ml.N_ROWS] = arena.block[ml.CAP_ROWS]


def refilled(self, old):
    """`Compiled.renew` whose fresh arenas are full already."""
    self._arena = Arena(self.grammar, self._tables, self.max_bytes)
    fill_up(self._arena)
    return self._arena


def test_matchers_keep_the_arena_they_are_in(pair, vocab):
    grammar = lower(MANY_ROWS, OPTIONS)
    small = Compiled(grammar, vocab, max_bytes=1)
    idle, old = small.matcher(), weakref.ref(small._arena)
    idle.accept_bytes(b'["')
    expected = mask_of(idle, vocab.size)
    rng = random.Random("keep")
    while small._arena is old():
        m = small.matcher()
        for _ in range(15):
            say(rng, m)
            m.allowed_tokens()
    del m
    gc.collect()
    assert old() is idle._arena and old() is not small._arena
    assert mask_of(idle, vocab.size) == expected
    idle.reset()
    assert idle._arena is small._arena
    gc.collect()
    assert old() is None


# ---------------------------------------------------------------- growth

def texts_agree(schema, vocab, texts, options=OPTIONS, every=7):
    """Masks along `texts` in one warm compiled object, against the reference and against a fresh one."""
    grammar = lower(schema, options)
    warm = Compiled(grammar, vocab)
    for text in texts:
        fast, slow = warm.matcher(), ReferenceMatcher(grammar, vocab)
        fresh = Compiled(grammar, vocab).matcher()
        at = 0
        while True:
            got = mask_of(fast, vocab.size)
            assert got == mask_of(fresh, vocab.size), text[:at]
            assert got == frozenset(slow.allowed()), text[:at]
            if at == len(text):
                break
            piece = text[at:at + every]
            at += len(piece)
            for m in (fast, fresh):
                m.accept_bytes(piece)
            slow.accept_bytes(piece)
    return warm


def test_three_hundred_properties(vocab):
    names = words(300, "properties", 4)
    names = list(dict.fromkeys(names))
    kinds = [{"type": "integer"}, {"enum": ["aa", "ab"]}, {"type": "array", "items": {"type": "null"}}, {"const": None}]
    values = ["12", '"ab"', "[null,null]", "null"]
    schema = {"type": "object", "properties": {n: kinds[i % 4] for i, n in enumerate(names)},
              "required": names[::50], "additionalProperties": False}
    rng = random.Random("order")
    texts = []
    for k in range(2):
        order = list(enumerate(names))
        rng.shuffle(order)
        texts.append(("{" + ",".join(f'"{n}":{values[i % 4]}' for i, n in order) + "}").encode())
    grammar = lower(schema, OPTIONS)
    warm = Compiled(grammar, vocab)
    for text in texts:
        m = warm.matcher()
        done: list[str] = []
        for part in text[1:-1].split(b',"'):
            name = part.lstrip(b'"').split(b'"')[0].decode()
            m.accept_bytes((b',"' if done else b'{"'))
            allowed = {vocab.token_bytes(t) for t in mask_of(m, vocab.size)}
            left = [n for n in names if n not in done]
            assert {x for x in allowed if len(x) == 1 and x in b"abcdefgh"} == {n[0].encode() for n in left}
            if done:
                again = m.fork()
                with pytest.raises(MatcherError):
                    again.accept_bytes(rng.choice(done).encode() + b'"')
            m.accept_bytes(part.lstrip(b'"'))
            done.append(name)
            fork = m.fork()
            try:
                fork.accept_bytes(b"}")
                assert set(names[::50]) <= set(done)
            except MatcherError:
                assert not set(names[::50]) <= set(done)
        assert len(done) == len(names)
        allowed = {vocab.token_bytes(t)[:1] for t in mask_of(m, vocab.size)}
        assert b"}" in allowed and b"," not in allowed
        fresh = Compiled(grammar, vocab).matcher()
        fresh.accept_bytes(m.text)
        assert mask_of(fresh, vocab.size) == mask_of(m, vocab.size)
        m.accept_bytes(b"}")
        assert m.can_end()


def test_nesting_of_two_hundred_arrays(vocab):
    closed: dict = {"type": "integer", "maximum": 9, "minimum": 0}
    for _ in range(200):
        closed = {"type": "array", "items": closed, "minItems": 1, "maxItems": 2}
    text = b"[" * 200 + b"1,2" + b"],[" * 1 + b"3" + b"]" * 200
    texts_agree(closed, vocab, [text], every=23)
    recursive = {"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"type": "boolean"}]}}
    warm = texts_agree(recursive, vocab, [b"[" * 200 + b"true" + b"]" * 200, b"[[]," * 150 + b"[]" + b"]" * 150],
                       every=31)
    m = warm.matcher()
    m.accept_bytes(b"[" * 3000)
    assert mask_of(m, vocab.size)
    m.accept_bytes(b"]" * 3000)
    assert m.can_end()


def test_forty_alternatives(vocab):
    names = list(dict.fromkeys(words(60, "alternatives", 3)))[:40]
    schema = {"anyOf": [{"type": "object", "properties": {"ab": {"const": n}, n: {"type": "integer", "minimum": i},
                                                          names[i - 1]: {"type": "string", "maxLength": i}},
                         "required": [n], "additionalProperties": i % 3 == 0 or {"type": "null"}}
                        for i, n in enumerate(names)]}
    texts = []
    for i in (0, 7, 20, 39):
        n = names[i]
        texts.append(
            json.dumps({names[i - 1]: "a" * min(i, 1), "zz": None, "ab": n, n: i + 100}, separators=(",", ":")).encode()
        )
    texts_agree(schema, vocab, texts, every=5)


def spelled(key: str, rng: random.Random) -> str:
    """`key` with some of its letters as escapes."""
    return "".join(f"\\u{ord(c):04x}" if rng.random() < 0.4 else c for c in key)


def test_five_hundred_undeclared_keys(vocab):
    rng = random.Random("keys")
    keys = list(dict.fromkeys(words(520, "undeclared", 6)))[:500]
    grammar = lower({"type": "object", "properties": {"ab": {"const": 1}}, "additionalProperties": {"type": "null"}},
                    OPTIONS)
    compiled = Compiled(grammar, vocab)
    m = compiled.matcher()
    m.accept_bytes(b"{")
    for i, key in enumerate(keys):
        piece = ("," if i else "") + f'"{spelled(key, rng)}":null'
        cut = rng.randrange(1, len(piece))
        m.accept_bytes(piece[:cut].encode())
        m.accept_bytes(piece[cut:].encode())
        if i % 25 == 24:
            for again in (keys[i], keys[0], rng.choice(keys[:i])):
                for text in (again, spelled(again, rng), "".join(f"\\u{ord(c):04X}" for c in again)):
                    f = m.fork()
                    f.accept_bytes(f',"{text}'.encode())
                    quote = [t for t in range(vocab.size) if (vocab.token_bytes(t) or b"").startswith(b'"')]
                    assert not mask_of(f, vocab.size) & set(quote)
                    with pytest.raises(MatcherError) as caught:
                        f.accept_bytes(b'"')
                    assert caught.value.offset == len(f.text)
                    f.accept_bytes(b'x":null')         # a longer key is another key
    fresh = Compiled(grammar, vocab).matcher()
    fresh.accept_bytes(m.text)
    for piece in (b"", b',"', keys[3][:4].encode(), keys[3][4:].encode()):
        m.accept_bytes(piece)
        fresh.accept_bytes(piece)
        assert mask_of(m, vocab.size) == mask_of(fresh, vocab.size)
    m.rollback(4)
    m.accept_bytes(b"}")
    assert m.can_end() and set(json.loads(m.text)) == set(keys)
    # another matcher of the same compiled object has seen none of them
    other = compiled.matcher()
    other.accept_bytes(f'{{"{keys[0]}":null'.encode())
    with pytest.raises(MatcherError):
        other.accept_bytes(f',"{keys[0]}"'.encode())
    other.accept_bytes(f',"{keys[1]}"'.encode())


def test_undeclared_keys_across_arenas(vocab):
    grammar = lower({"type": "object", "additionalProperties": {"enum": words(120)}}, OPTIONS)
    small = Compiled(grammar, vocab, max_bytes=1)
    keys = list(dict.fromkeys(words(30, "undeclared", 6)))
    m, big = small.matcher(), Compiled(grammar, vocab).matcher()
    start = m._arena
    for i, key in enumerate(keys):
        for piece in ("{" if i == 0 else ",", '"' + spelled(key, random.Random(i)), '":"', words(120)[i][:5],
                      words(120)[i][5:] + '"'):
            m.accept_bytes(piece.encode())
            big.accept_bytes(piece.encode())
            assert mask_of(m, vocab.size) == mask_of(big, vocab.size)
    assert m._arena is not start
    for key in keys:
        with pytest.raises(MatcherError):
            m.fork().accept_bytes(f',"{key}"'.encode())
