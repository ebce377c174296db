"""Masks against brute force: every token tried, its completability searched.

For each schema a random walk; at every step the mask of the engine must be
the set of tokens after which the reference engine still finds a completion,
EOS exactly where the text is complete.  On the way: a token outside the mask
changes nothing, a second pass sees the same (warm) masks, and the same bytes
cut differently lead to the same mask.
"""

from __future__ import annotations

import random

import pytest

from structgen.decoding.compiled import Compiled
from structgen.errors import MatcherError, VocabularyError
from structgen.frontends.json_schema import lower
from structgen.tokens.vocabulary import Vocabulary
from tests.support.tiny_vocabularies import tiny_tokens

from .pairs import N_CASES, engine, mask_of, options_of, pick, reference, schema_of, vocabulary

STEPS = 8
PARTS = 32


def walk(case: int, k: int, steps: int, seed: str, options=None):
    """Compare along one walk; the ids taken and the masks seen."""
    vocab = vocabulary(k)
    compiled = engine(case, k, options)
    if compiled is None:
        return None
    rng = random.Random(seed)
    fast, slow = compiled.matcher(), reference(case, k, options)
    where = (case, schema_of(case), options or options_of(case))
    taken, masks = [], []
    for step in range(steps):
        expected = slow.allowed()
        got = mask_of(fast, vocab.size)
        assert got == expected, _difference(where, slow.text, vocab, got, expected)
        assert fast.can_end() == slow.can_end(), (*where, slow.text)
        assert expected, (*where, slow.text, "an empty mask")
        masks.append(got)
        for t in rng.sample(range(vocab.size), 3):
            if t not in expected:
                assert not fast.try_accept(t), (*where, slow.text, t)
        token = pick(rng, expected, vocab, step > steps // 2)
        fast.accept(token)
        slow.accept(token)
        taken.append(token)
        if token in vocab.eos_ids:
            assert not fast.can_end() and not any(fast.try_accept(t) for t in range(vocab.size))
            break
    return compiled, taken, masks, slow.text


def _difference(where, text, vocab, got, expected) -> str:
    def show(ids):
        return [vocab.token_bytes(t) if t not in vocab.eos_ids else "EOS" for t in sorted(ids)][:30]

    return (
        f"{where}\nafter {text!r}\n  wrongly allowed {show(got - expected)}\n  wrongly refused {show(expected - got)}"
    )


def cut(rng: random.Random, data: bytes, vocab: Vocabulary) -> list[int]:
    """`data` as some other sequence of tokens."""
    by_bytes: dict[bytes, list[int]] = {}
    for t in range(vocab.size):
        b = vocab.token_bytes(t)
        if b:
            by_bytes.setdefault(b, []).append(t)
    out, i = [], 0
    while i < len(data):
        options = [b for n in range(1, 9) if (b := data[i:i + n]) in by_bytes and len(b) == n]
        piece = rng.choice(options)
        out.append(rng.choice(by_bytes[piece]))
        i += len(piece)
    return out


@pytest.mark.parametrize("part", range(PARTS))
def test_masks_equal_brute_force(part):
    compared = 0
    for case in range(part, N_CASES, PARTS):
        k = case % 7
        found = walk(case, k, STEPS, f"walk {case}")
        if found is None:
            continue
        compared += 1
        compiled, taken, masks, text = found
        vocab, rng = vocabulary(k), random.Random(f"again {case}")
        where = (case, schema_of(case), options_of(case))
        # warm: the same compiled object again; cold: a new one asked only at the end
        again, cold = compiled.matcher(), engine(case, k).matcher()
        for token, mask in zip(taken, masks):
            assert mask_of(again, vocab.size) == mask, (*where, "a warm mask differs")
            again.accept(token)
        if taken[-1] not in vocab.eos_ids:
            last = mask_of(again, vocab.size)
            for token in taken:
                cold.accept(token)
            assert mask_of(cold, vocab.size) == last, (*where, "a cold mask differs")
            for other in (compiled.matcher(), engine(case, k).matcher()):
                for token in cut(rng, text, vocab):
                    other.accept(token)
                assert mask_of(other, vocab.size) == last, (*where, text, "cut differently")
            by_bytes = compiled.matcher()
            by_bytes.accept_bytes(text)
            assert mask_of(by_bytes, vocab.size) == last, (*where, text, "accept_bytes")
    assert compared >= 0.7 * N_CASES / PARTS


@pytest.mark.parametrize("pattern", [r"[ \n]{0,2}", r"( |\n *)?", r"\t*"])
def test_white_space_by_regex(pattern):
    for case in range(3, N_CASES, 29):
        walk(case, case % 7, STEPS, f"space {case}", options_of(case)._replace(whitespace=pattern))


def test_enough_schemas():
    """The count that the walks above cover."""
    assert sum(engine(case, 0) is not None for case in range(N_CASES)) >= 500


def test_vocabularies_that_lack_bytes_are_refused_by_name():
    for seed in range(20):
        tokens, eos = tiny_tokens(random.Random(seed))
        with pytest.raises(VocabularyError, match="0x"):
            Compiled(lower({"type": "string"}), Vocabulary.from_tokens(tokens, eos_ids=eos))


@pytest.mark.parametrize("part", range(8))
def test_accept_bytes_finds_the_offset(part):
    """The first byte that cannot follow, found by the reference byte by byte."""
    rng = random.Random(f"bytes {part}")
    pieces = [b'{"a":', b"1", b'"', b"}", b"]", b"[", b",", b"null", b" ", b'"b":', b"true", b"-2.5", "é".encode(),
              b"\\u0061"]
    for case in range(part, N_CASES, 40):
        compiled = engine(case, case % 7)
        if compiled is None:
            continue
        slow = reference(case, case % 7)
        for _ in range(4):
            data = b"".join(rng.choice(pieces) for _ in range(rng.randint(1, 8)))
            configs, n = slow.relation.start(), 0
            while n < len(data) and (after := slow.relation.step(configs, data[n])):
                configs, n = after, n + 1
            m = compiled.matcher()
            if n == len(data):
                m.accept_bytes(data)
                assert m.can_end() == slow.relation.accepts(configs)
            else:
                with pytest.raises(MatcherError) as e:
                    m.accept_bytes(data)
                assert e.value.offset == n, (case, schema_of(case), options_of(case), data)
                assert m.text == b""
