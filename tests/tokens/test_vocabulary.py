"""`Vocabulary` on its own: ids, bytes, specials, greedy tokenisation."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from structgen.errors import StructgenError, VocabularyError
from structgen.tokens.vocabulary import Vocabulary

letters = st.lists(st.binary(min_size=1, max_size=4).map(lambda b: bytes(97 + x % 3 for x in b)),
                   min_size=1, max_size=8)


def _greedy(tokens, text):
    """Longest token after which the rest can still be spelled, or None."""
    @functools.cache
    def spell(i):
        if i == len(text):
            return ()
        for length in range(len(text) - i, 0, -1):
            piece = text[i:i + length]
            if piece in tokens:
                rest = spell(i + length)
                if rest is not None:
                    return (piece, *rest)
        return None
    return spell(0)


@given(letters, st.binary(max_size=12).map(lambda b: bytes(97 + x % 3 for x in b)))
@settings(max_examples=400, deadline=None)
def test_tokenize_is_longest_match(tokens, text):
    vocabulary = Vocabulary.from_tokens(tokens)
    expected = _greedy(set(tokens), text)
    if expected is None:
        with pytest.raises(VocabularyError, match="no sequence of tokens spells"):
            vocabulary.tokenize(text)
    else:
        got = vocabulary.tokenize(text)
        assert tuple(tokens[i] for i in got) == expected
        assert got == [tokens.index(tokens[i]) for i in got]      # first of several equal ids
        assert vocabulary.decode(got) == text


def test_ids_bytes_and_specials():
    v = Vocabulary.from_tokens([b"a", None, b"a", b"<pad>", b"bc", b"</s>"], eos_ids=[5, 9],
                               special={"<pad>": 3, "<tool>": 7})
    assert (v.size, v.words, len(v)) == (10, 1, 10)
    assert [v.token_bytes(i) for i in (-1, 0, 1, 2, 3, 4, 5, 7, 9, 10)] == [
        None, b"a", None, b"a", None, b"bc", None, None, None, None]
    assert np.flatnonzero(v.is_special).tolist() == [3, 5, 7, 9]
    assert v.eos_ids == (5, 9) and v.special == {"<pad>": 3, "<tool>": 7}
    assert v.blob.tobytes() == b"aabc" and v.offsets.dtype == np.int64 and v.offsets[-1] == 4
    assert v.trie.dfs_tokens.tolist() == [0, 2, 4]
    assert v.decode([0, 3, 4, 9]) == b"abc"
    assert v.missing_bytes == bytes(b for b in range(256) if b != 97)
    assert v.token_id("<tool>") == 7
    assert "<tool>" in v.describe(7) and "'bc'" in v.describe(4) and "id 1" in v.describe(1)
    assert Vocabulary.from_tokens([bytes([b]) for b in range(256)]).missing_bytes == b""
    assert Vocabulary.from_tokens([b"x"] * 33).words == 2


def test_fingerprints():
    a = Vocabulary.from_tokens([b"a", b"b", b""], eos_ids=[2])
    b = Vocabulary.from_tokens([b"a", b"b", b"ignored"], eos_ids=[2])
    assert len(a.fingerprint) == 64 and a.fingerprint == b.fingerprint
    others = [Vocabulary.from_tokens([b"ab", b"", b""], eos_ids=[2]),
              Vocabulary.from_tokens([b"a", b"b", b""]),
              Vocabulary.from_tokens([b"a", b"b", b""], eos_ids=[2], special={"<e>": 2}),
              Vocabulary.from_tokens([b"a", b"b", b"", b""], eos_ids=[2])]
    assert len({v.fingerprint for v in [a, *others]}) == 5
    assert a.tokens_fingerprint == others[1].tokens_fingerprint


def test_with_eos():
    a = Vocabulary.from_tokens([b"a", b"b", b"", b"end"], eos_ids=[2], special={"<x>": 4})
    assert a.with_eos([2]) is a
    b = a.with_eos([4, 2])
    assert b.eos_ids == (4, 2) and b.trie is a.trie and b.fingerprint != a.fingerprint
    c = a.with_eos([3])
    assert c.eos_ids == (3,) and c.token_bytes(3) is None and c.is_special[2]
    assert a.token_bytes(3) == b"end" and c.trie.dfs_tokens.tolist() == [0, 1]


def test_encode_is_exact_whatever_the_encoder_says():
    v = Vocabulary.from_tokens([b"a", b"b", b"ab", b" ", b"\n", b" ab"], eos_ids=[6])
    assert v.encode("ab") == [2] and not v.canonical
    v.set_encoder(lambda text: {"ab": [0, 1]}.get(text, [6]))
    assert v.canonical and v.encode("ab") == [0, 1]
    assert v.encode(b"ba") == [1, 0]                          # a special id: not that text
    v.set_encoder(lambda text: [3, 4, 0, 1] if text == "\nab" else [5])
    assert v.encode("ab") == [0, 1]                           # asked again behind a line break
    made = []
    v.set_encoder(lazy=lambda: made.append(1))
    assert not made and v.encode("ab") == [2] and v.encode("ab") == [2] and made == [1]
    assert v.encode("") == []
    v.set_encoder(lambda text: [0])
    assert v.encode(b"ab") == [2]
    with pytest.raises(VocabularyError):
        v.encode(b"\xff")


@pytest.mark.parametrize("arguments, message", [
    ((None,), "sequence of bytes"), ((b"abc",), "sequence of bytes"), (("abc",), "sequence of bytes"),
    ((["a"],), "token 0 must be bytes, got str"), (([b"a", 3],), "token 1 must be bytes"),
    (([],), "at least one token"), (([b"", None],), "no ordinary tokens"),
    (([b"a"], [0]), "no ordinary tokens"), (([b"a"], 3), "eos_ids must be a sequence"),
    (([b"a"], [-1]), "0..16777215"), (([b"a"], [1 << 40]), "0..16777215"),
    (([b"a"], [1.5]), "must be an integer"), (([b"a"], [True]), "must be an integer"),
    (([b"a"], [], [1]), "must map names"), (([b"a"], [], {1: 2}), "must be str"),
    (([b"a"], [], {"x": "y"}), "id of special token 'x'"),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(VocabularyError, match=message) as caught:
        Vocabulary.from_tokens(*arguments)
    assert isinstance(caught.value, StructgenError)


def test_wrong_ids_and_names():
    v = Vocabulary.from_tokens([b"a"], special={"<tool>": 1})
    with pytest.raises(VocabularyError, match="token id 2 is out of range"):
        v.decode([0, 2])
    with pytest.raises(VocabularyError, match="similar names: <tool>"):
        v.token_id("<tol>")
