"""Token bytes of every family against what the real tokenizers decode and encode."""

from __future__ import annotations

import json
import random

import pytest

from structgen.errors import VocabularyError
from structgen.tokens.load import load_vocabulary

from tests.tokens.conftest import TEXTS

BROKEN = [b"\xff", b"\xc3", b"ok \xe2\x82 no", b"\xf0\x9f\x8e", b"\x80\x81", bytes(range(256))]
# Tokenizers that write a blank before a text, and drop it again when decoding.
LEADING_BLANK = {"byte-fallback", "metaspace", "unigram"}


def _check_text(vocabulary, encode, blank=False, special=()):
    """The real tokenizer's ids spell the text; so do both of ours; so do broken texts."""
    for text in TEXTS:
        if any(s in text for s in special):
            continue
        ids = list(encode(text))
        expected = (" " if blank and text else "") + text
        assert vocabulary.decode(ids) == expected.encode(), text
        assert vocabulary.decode(vocabulary.encode(text)) == text.encode()
        if not blank:
            assert vocabulary.encode(text) == ids
    for data in BROKEN + [t.encode() for t in TEXTS]:
        for ids in (vocabulary.tokenize(data), vocabulary.encode(data)):
            assert vocabulary.decode(ids) == data
            assert not vocabulary.is_special[ids].any()


def _check_decoding(vocabulary, decode, ids, rounds=300, seed=1):
    """Random sequences of ordinary ids decode to our bytes (where these are text).

    Tokenizers treat the start and the end of a text in their own way, so the
    sequence stands between two tokenised words.
    """
    rng = random.Random(seed)
    usable = [i for i in ids if vocabulary.token_bytes(i) is not None]
    frame = vocabulary.tokenize(b"ab")
    head = decode(frame)
    tail = decode(frame + frame)[len(head):]
    checked = 0
    for _ in range(rounds * 4):
        sequence = [rng.choice(usable) for _ in range(rng.randint(1, 6))]
        data = vocabulary.decode(sequence)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            continue
        assert decode(frame + sequence + frame) == head + text + tail, sequence
        checked += 1
        if checked >= rounds:
            break
    assert checked >= 50


def test_llama3(llama3):
    tokenizers = pytest.importorskip("tokenizers")
    real = tokenizers.Tokenizer.from_file(str(llama3 / "tokenizer.json"))
    v = load_vocabulary(llama3)
    assert (v.size, v.eos_ids, v.missing_bytes) == (128256, (128009,), b"")
    assert v.special["<|eot_id|>"] == 128009 and int(v.is_special.sum()) == 256
    _check_text(v, lambda t: real.encode(t, add_special_tokens=False).ids)
    _check_decoding(v, lambda ids: real.decode(ids, skip_special_tokens=False), range(v.size))
    # A special token's text is text like any other.
    assert v.decode(v.encode("<|eot_id|>")) == b"<|eot_id|>"
    assert 128009 not in v.encode("<|eot_id|>") + v.tokenize(b"<|eot_id|>")
    assert load_vocabulary(real).tokens_fingerprint == v.tokens_fingerprint


def test_llama4(llama4_file):
    pytest.importorskip("tiktoken")
    module = pytest.importorskip("llama_models.llama4.tokenizer")
    real = module.Tokenizer(llama4_file)
    v = load_vocabulary(real)
    assert v.size == real.n_words and v.missing_bytes == b"" and v.canonical
    assert v.eos_ids[0] == real.eos_id and set(real.stop_tokens) <= set(v.eos_ids)
    assert v.special["<|eot|>"] in v.eos_ids
    _check_text(v, real.model.encode_ordinary)
    _check_decoding(v, real.model.decode, range(v.size))
    ranks = load_vocabulary(llama4_file, special=real.special_tokens, eos_ids=v.eos_ids)
    assert ranks.fingerprint == v.fingerprint and ranks.family == "tiktoken ranks"
    bare = load_vocabulary(llama4_file)
    assert bare.size == 200000 and bare.eos_ids == () and not bare.special
    assert load_vocabulary(real.model).tokens_fingerprint == v.tokens_fingerprint


def test_tekken(tekken_file):
    pytest.importorskip("tiktoken")
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    real = Tekkenizer.from_file(tekken_file)
    v = load_vocabulary(tekken_file)
    assert (v.size, v.eos_ids, v.missing_bytes) == (real.n_words, (real.eos_id,), b"")
    assert set(v.is_special.nonzero()[0].tolist()) == set(real.special_ids)
    assert all(real.get_special_token(name) == i for name, i in v.special.items())
    _check_text(v, lambda t: real.encode(t, False, False))
    _check_decoding(v, real.decode, range(v.size))
    assert load_vocabulary(real).tokens_fingerprint == v.tokens_fingerprint


@pytest.mark.parametrize("fixture", ["sentencepiece_file", "sentencepiece_v3_file"])
def test_sentencepiece(fixture, request):
    sentencepiece = pytest.importorskip("sentencepiece")
    path = request.getfixturevalue(fixture)
    real = sentencepiece.SentencePieceProcessor(model_file=str(path))
    v = load_vocabulary(path)
    assert (v.size, v.eos_ids, v.missing_bytes) == (real.vocab_size(), (real.eos_id(),), b"")
    for i in range(v.size):
        assert bool(v.is_special[i]) == (real.is_control(i) or real.is_unknown(i))
        if real.is_byte(i):
            assert v.token_bytes(i) == bytes([int(real.id_to_piece(i)[3:5], 16)])
    names = [n for n in v.special if n != "<unk>"]
    assert all(real.piece_to_id(n) == i for n, i in v.special.items() if n in names)
    _check_text(v, real.encode, blank=True)
    _check_decoding(v, real.decode, range(v.size))
    assert load_vocabulary(real).fingerprint == v.fingerprint
    # In the middle of a text there is no blank to add.
    assert [v.token_bytes(i) for i in v.encode("Hello world")] == [b"Hello", b" world"]


def test_mistral_common_objects(tekken_file, sentencepiece_file):
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    for path in (tekken_file, sentencepiece_file):
        assert load_vocabulary(MistralTokenizer.from_file(str(path))).fingerprint == \
            load_vocabulary(path).fingerprint


@pytest.mark.parametrize("kind", ["byte-level", "byte-fallback", "metaspace", "unigram", "wordpiece", "suffix"])
def test_trained(kind, trained):
    real = trained(kind)
    v = load_vocabulary(real)
    assert v.size == real.get_vocab_size()
    _check_decoding(v, lambda ids: real.decode(ids, skip_special_tokens=False), range(v.size))
    assert not set(v.special.values()) & set(v.trie.dfs_tokens.tolist())
    if kind in ("byte-level", "byte-fallback"):
        assert v.missing_bytes == b""
        _check_text(v, lambda t: real.encode(t, add_special_tokens=False).ids, blank=kind in LEADING_BLANK)
    elif kind in LEADING_BLANK:
        assert "<unk>" in v.special
        for text in ("the quick brown fox", "Grüße aus Zürich", "don't 한국어 문장"):
            ids = real.encode(text).ids
            assert v.decode(ids) == b" " + text.encode()
            assert v.decode(v.encode(text)) == text.encode()
    elif kind == "wordpiece":
        assert "[UNK]" in v.special
        ids = real.encode("the quick, brown fox isn't lazy.").ids
        assert v.decode(ids).decode() == " " + real.decode(ids)
    else:
        ids = real.encode("the quick brown fox").ids
        assert v.decode(ids) == b"the quick brown fox "


def test_tiktoken_encoding_object():
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {bytes([b]): b for b in range(256)} | {b"ab": 256, b"abc": 258}
    real = tiktoken.Encoding("tiny", pat_str=r"\w+|\W", mergeable_ranks=ranks,
                             special_tokens={"<|endoftext|>": 260, "<|x|>": 257})
    v = load_vocabulary(real)
    assert v.size == 261 and v.eos_ids == (260,) and v.special == {"<|endoftext|>": 260, "<|x|>": 257}
    assert v.token_bytes(259) is None and v.token_bytes(258) == b"abc"
    _check_text(v, real.encode_ordinary)


def test_transformers_objects(llama3, sentencepiece_file, tmp_path):
    transformers = pytest.importorskip("transformers")
    real = transformers.AutoTokenizer.from_pretrained(llama3)
    v = load_vocabulary(real)
    assert v.fingerprint == load_vocabulary(llama3).fingerprint
    assert load_vocabulary(real) is v                       # recognised by identity
    real.add_tokens(["<tool-call>"])
    real.add_special_tokens({"additional_special_tokens": ["<secret>"]})
    grown = load_vocabulary(real)                           # and known to have changed
    assert grown.size == v.size + 2
    assert grown.token_bytes(grown.added["<tool-call>"]) == b"<tool-call>"
    assert grown.is_special[grown.special["<secret>"]]
    for text in TEXTS:
        assert grown.encode(text) == real.encode(text, add_special_tokens=False)


# -- decoders, one by one --------------------------------------------------------------

def _spec(vocab, decoder, **more):
    return {"model": {"type": "BPE", "vocab": {n: i for i, n in enumerate(vocab)}, "merges": []},
            "decoder": decoder, "added_tokens": [], **more}


@pytest.mark.parametrize("decoder, expected", [
    ({"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
     {"\u0120a": b" a", "\u010a": b"\n", "a b": b"a b", "\uff5c": "\uff5c".encode()}),
    ({"type": "Metaspace", "replacement": "_"}, {"_a_": b" a ", "\u2581": "\u2581".encode()}),
    ({"type": "WordPiece", "prefix": "##", "cleanup": False}, {"a": b" a", "##b": b"b", "a##b": b" a##b"}),
    ({"type": "WordPiece", "prefix": "##", "cleanup": True}, {".": b".", "##.": b".", "n't": b"n't", "a": b" a"}),
    ({"type": "BPEDecoder", "suffix": "</w>"}, {"a</w>": b"a ", "a": b"a"}),
    ({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
        {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
     {"\u2581a": b" a", "<0x0A>": b"\n", "<0xFF>": b"\xff", "<0xG0>": b"<0xG0>", "<0x0A": b"<0x0A"}),
    ({"type": "Strip", "content": "_", "start": 2, "stop": 1}, {"___a__": b"_a_", "_b": b"b"}),
])
def test_decoder_steps(decoder, expected):
    tokenizers = pytest.importorskip("tokenizers")
    from structgen.tokens.tokenizer_json import token_table

    table = token_table(_spec(list(expected), decoder))
    assert dict(zip(expected, table.tokens)) == expected
    # The package agrees, between two other tokens (the ends of a text are special).
    real = tokenizers.Tokenizer.from_str(json.dumps(_spec(["zz", *expected, "yy"], decoder) | {
        "version": "1.0", "normalizer": None, "pre_tokenizer": None, "post_processor": None}))
    head = real.decode([0])
    tail = real.decode([0, len(expected) + 1])[len(head):]
    for i, data in enumerate(expected.values(), 1):
        try:
            text = data.decode()
        except UnicodeDecodeError:
            continue
        assert real.decode([0, i, len(expected) + 1]) == head + text + tail


@pytest.mark.parametrize("decoder, message", [
    ({"type": "CTC"}, "CTC"), ({"type": "Novel"}, "Novel"),
    ({"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""}, "Regex"),
    ({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 0, "stop": 1}]},
     "end of the text"),
    ({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Metaspace"}]}, "Metaspace"),
    ({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]}, "ByteFallback"),
    ({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "ab"},
                                                         "content": "c"}]}, "across tokens"),
    ({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Replace", "pattern": {
        "String": "\u2581"}, "content": " "}]}, "across bytes"),
    ({"type": "Sequence", "decoders": [{"type": "ByteLevel"}, {"type": "ByteLevel"}]}, "ByteLevel"),
    (None, "no decoder"), ("ByteLevel", "expected an object with a type"),
])
def test_unsupported_decoders_are_named(decoder, message):
    from structgen.tokens.tokenizer_json import token_table

    with pytest.raises(VocabularyError, match=message):
        token_table(_spec(["a", "b"], decoder))


def test_decoder_left_out_is_inferred():
    from structgen.tokens.tokenizer_json import token_table

    spec = _spec(["\u0120a"], None, pre_tokenizer={"type": "Sequence", "pretokenizers": [
        {"type": "Split"}, {"type": "ByteLevel"}]})
    assert token_table(spec).tokens == [b" a"]
    assert token_table(_spec(["\u2581a"], None, pre_tokenizer={"type": "Metaspace"})).tokens == [b" a"]


def test_added_tokens_gaps_and_duplicates():
    from structgen.tokens.tokenizer_json import token_table
    from structgen.tokens.vocabulary import Vocabulary

    spec = _spec(["a", "\u0120b", "<|end|>", "a b"], {"type": "ByteLevel"}, added_tokens=[
        {"id": 2, "content": "<|end|>", "special": True}, {"id": 7, "content": " b", "special": False},
        {"id": 9, "content": "<pad>", "special": True}])
    v = Vocabulary.from_table(token_table(spec))
    assert v.size == 10 and v.special == {"<|end|>": 2, "<pad>": 9} and v.added == {" b": 7}
    assert v.token_bytes(1) == v.token_bytes(7) == b" b" and v.token_bytes(5) is None
    assert v.trie.tokens_at(v.trie.find(b" b")).tolist() == [1, 7]
    assert [i for i in range(10) if v.is_special[i]] == [2, 9]
