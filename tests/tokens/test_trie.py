"""The trie against the obvious one made of dictionaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from structgen.errors import VocabularyError
from structgen.tokens.trie import TokenTrie, build_trie
from structgen.tokens.vocabulary import Vocabulary

few = st.binary(max_size=5).map(lambda b: bytes(x % 4 + (x > 200) * 250 for x in b))
strings = st.lists(st.one_of(few, st.binary(max_size=20)), max_size=40)


def _arrays(tokens):
    offsets = np.zeros(len(tokens) + 1, np.int64)
    if tokens:
        offsets[1:] = np.cumsum([len(t) for t in tokens])
    return np.frombuffer(bytearray(b"".join(tokens)), np.uint8), offsets


@given(strings)
@settings(max_examples=200, deadline=None)
def test_nodes_are_the_prefixes_in_order(tokens):
    trie = build_trie(tokens)
    prefixes = sorted({t[:i] for t in tokens for i in range(len(t) + 1)} | {b""})
    assert len(trie) == len(prefixes)
    for node, prefix in enumerate(prefixes):        # DFS with sorted children is sorted order
        assert trie.find(prefix) == node
        assert trie.depth(node) == len(prefix)
        assert trie.byte(node) == (prefix[-1] if prefix else 0)
        assert trie.size(node) == sum(p.startswith(prefix) for p in prefixes)
        at = [i for i, t in enumerate(tokens) if t == prefix]
        assert trie.tokens_at(node).tolist() == at
        assert trie.token[node] == (at[0] if at else -1)
        lo, hi = trie.dup_offsets[node], trie.dup_offsets[node + 1]
        assert trie.dup_ids[lo:hi].tolist() == at[1:]
        under = trie.tokens_under(node).tolist()
        assert sorted(under) == [i for i, t in enumerate(tokens) if t.startswith(prefix)]
        assert [tokens[i] for i in under] == sorted(tokens[i] for i in under)
    for byte in range(256):
        assert trie.root_child[byte] == trie.find(bytes([byte]))
    assert trie.find(b"\x07not there\x07") == -1


@given(strings.filter(lambda s: any(s)), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_verify_accepts_the_trie_and_no_damaged_one(tokens, random):
    vocabulary = Vocabulary.from_tokens(tokens)
    trie, held = vocabulary.trie, (vocabulary.blob, vocabulary.offsets, vocabulary.ordinary)
    assert trie.verify(*held)
    names = ("nodes", "token", "first", "dfs_tokens", "root_child")
    for _ in range(30):
        arrays = {name: getattr(trie, name).copy() for name in names}
        name = random.choice(names)
        flat = arrays[name].view(np.uint8)
        flat[random.randrange(flat.size)] ^= 1 << random.randrange(8)
        assert not TokenTrie(**arrays).verify(*held)
    arrays["token"] = arrays["token"][:-1]
    assert not TokenTrie(**arrays).verify(*held)


def test_payload_and_empty_strings():
    trie = build_trie([b"b", b"", b"b", b"ab"], [7, 8, 5, 9])
    assert trie.token.tolist() == [8, -1, 9, 7]
    assert trie.dfs_tokens.tolist() == [8, 9, 7, 5]
    assert len(build_trie([])) == 1


def test_long_equal_prefixes():
    tokens = [b" " * n for n in range(1, 200)] + [b"\0" * n for n in (1, 7, 8, 9, 17)]
    trie = build_trie(tokens)
    assert [tokens[i] for i in trie.dfs_tokens] == sorted(tokens)


def test_too_large_is_refused():
    with pytest.raises(VocabularyError, match="longest 65536 bytes"):
        build_trie([b"a" * 65536])
    assert len(build_trie([b"a" * 65535])) == 65536


def test_read_only_and_other_dtypes_are_taken():
    blob, offsets = _arrays([b"ab", b"a"])
    blob.flags.writeable = False
    trie = TokenTrie.from_strings(blob, offsets.astype(np.int32), np.array([3, 4], np.int64))
    assert trie.dfs_tokens.tolist() == [4, 3]
