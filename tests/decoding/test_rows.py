"""A batch moved and masked at once, against each matcher on its own."""

import ctypes
import random

import numpy as np
import pytest

import structgen as sg
from structgen.constraints import JsonSchema
from structgen.decoding.compiled import Compiled
from structgen.decoding.masking import allocate_bitmask
from structgen.decoding.rows import Batch
from structgen.tokens.vocabulary import Vocabulary
from tests.support.fake_engine import FakeCompiled

WORDS = [b"ab", b'"a', b'":', b'": ', b'", "', b"}, ", b"true", b"12", b"{\"", b'"}', b"\xc3\xa9", b"], ["]


@pytest.fixture(scope="module")
def small():
    """All bytes, some words, an unused id, two end tokens; 270 ids in all."""
    tokens = [bytes([b]) for b in range(256)] + WORDS
    return Vocabulary.from_tokens([*tokens, None], eos_ids=[len(tokens) + 1, len(tokens) + 2])


SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "integer"}, "ab": {"type": "string", "maxLength": 5}},
     "required": ["a"], "additionalProperties": {"type": "number"}},      # undeclared keys are read by Python
    {"type": "array", "items": {"anyOf": [{"type": "string", "pattern": "^a+b?$"}, {"$ref": "#"}]}, "maxItems": 3},
    {"enum": ["ab", "abc", 12, True, None, {"a": 1}]},
    {"anyOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
               {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a", "b"]}]},
]


def mask_at(address, words):
    return np.frombuffer(ctypes.string_at(int(address), 8 * words), np.uint64)


def alone(matcher, vocab):
    bits = allocate_bitmask(1, vocab.size)
    matcher.fill_bitmask(bits, 0)
    return bits.view(np.uint64)[0]


def allowed(words):
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist()


@pytest.mark.parametrize("seed", range(6))
def test_random_walks_agree_with_single_matchers(small, seed):
    rng = random.Random(seed)
    objects = [sg.compile(JsonSchema(s, order=rng.choice(["any", "schema"])), small) for s in SCHEMAS]
    tiny = [Compiled(c.grammar, small, max_bytes=1) for c in objects]     # every row asks for another arena
    fake = FakeCompiled(["ab", "true", "12ab"], small)
    makers = [lambda c=c: c.matcher() for c in objects + tiny + objects]
    makers += [lambda c=c: c.matcher(max_tokens=rng.randint(30, 60)) for c in objects] + [fake.matcher]
    rng.shuffle(makers)
    ours, theirs = [], []
    state = rng.getstate()
    for side in (ours, theirs):
        rng.setstate(state)
        side.extend(make() for make in makers)
    bits = allocate_bitmask(len(ours), small.size)
    live = list(range(len(ours)))
    batch = Batch(ours, bits)
    words = bits.shape[1] // 2
    for step in range(60):
        addresses = batch.masks().tolist()
        tokens = []
        for i, address in zip(live, addresses):
            want = alone(theirs[i], small)
            assert (mask_at(address, words) == want).all()
            choice = allowed(want)
            # end tokens late, and now and then a token that may not follow
            choice = [t for t in choice if t < 256 + len(WORDS)] or choice if step < 30 else choice
            odd = rng.random() < 0.05
            tokens.append(rng.choice([0, 268, 269, 300, -1, -2, 1 << 40] if odd else choice))
        left = set(batch.step(tokens))
        for k, (i, token) in enumerate(zip(live, tokens)):
            results = []
            for side, skip in ((theirs, False), (ours, k not in left)):
                if not skip:
                    try:
                        results.append(side[i].try_accept(token))
                    except sg.MatcherError as error:
                        results.append(str(error))
            assert len(set(results)) == 1 and (k in left or results[0] is True)
            if k in left:
                batch.moved(k)
            if type(ours[i]).__name__ == "Matcher":
                assert ours[i].n_tokens == theirs[i].n_tokens and ours[i].text == theirs[i].text
        over = [i for i in live if theirs[i].is_finished]
        if over or step % 7 == 3:
            live = [i for i in live if i not in over]
            if not live:
                break
            if step % 2:        # a fork is as good as the matcher
                for i in live:
                    ours[i] = ours[i].fork()
            batch = Batch([ours[i] for i in live], bits)
    else:
        assert step == 59


def test_a_batch_of_none(small):
    batch = Batch([], allocate_bitmask(1, small.size))
    assert batch.step([]) == [] and len(batch.masks()) == 0


def test_steps_without_masks_and_masks_twice(small):
    c = sg.compile(JsonSchema({"enum": ["abab", 12]}), small)
    m, n = c.matcher(), c.matcher()
    batch = Batch([m, n], allocate_bitmask(2, small.size))
    for data in (b'"', b"a", b"b"):
        assert batch.step(list(data) * 2) == []
    assert m.text == b'"ab' and batch.step([0, ord("a")]) == [0]
    want = alone(c.matcher(), small)
    assert (batch.masks() == batch.masks()).all()
    batch.moved(0)
    m.rollback(3)
    batch.moved(0)
    words = len(want)
    assert (mask_at(batch.masks()[0], words) == want).all()
    assert (mask_at(batch.masks()[1], words) == alone(n, small)).all()
