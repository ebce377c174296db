"""Finding a tokenizer, its ends of text, and knowing it again: files, objects, disk."""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from structgen.errors import StructgenError, VocabularyError
from structgen.tokens import load as load_module, tokenizer_files, vocabulary_store
from structgen.tokens.load import clear_vocabulary_cache, load_vocabulary
from structgen.tokens.vocabulary import Vocabulary

VOCAB = ["a", "b", "ab", "!", "</s>", "<|im_end|>", "<pad>", "\u0120a"]


def _folder(path: Path, added=((4, True), (5, False)), **files) -> Path:
    """A folder with a tiny byte-level tokenizer.json and the given configuration files."""
    spec = {"model": {"type": "BPE", "vocab": {n: i for i, n in enumerate(VOCAB)}, "merges": []},
            "decoder": {"type": "ByteLevel"},
            "added_tokens": [{"id": i, "content": VOCAB[i], "special": s} for i, s in added]}
    path.mkdir(exist_ok=True)
    (path / "tokenizer.json").write_text(json.dumps(spec))
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("files, eos", [
    ({}, (4,)),                                                           # a well-known name
    ({"tokenizer_config": {"eos_token": "<|im_end|>"}}, (5,)),
    ({"tokenizer_config": {"eos_token": {"content": "<|im_end|>"}}}, (5,)),
    ({"special_tokens_map": {"eos_token": "</s>"}}, (4,)),
    ({"generation_config": {"eos_token_id": [4, 5]}}, (4, 5)),
    ({"generation_config": {"eos_token_id": 5}, "tokenizer_config": {"eos_token": "</s>"}}, (4,)),
    ({"generation_config": {"eos_token_id": [5, 4]}, "tokenizer_config": {
        "eos_token": "</s>", "additional_special_tokens": ["<|im_end|>"]}}, (4, 5)),
    ({"config": {"eos_token_id": 2}, "tokenizer_config": {"eos_token": "</s>"}}, (4,)),   # 2 is "ab": a default
    ({"config": {"eos_token_id": 50256}, "tokenizer_config": {"eos_token": "</s>"}}, (4,)),
    ({"config": {"eos_token_id": 50256}}, (4,)),
    ({"config": {"text_config": {"eos_token_id": [5]}}}, (5,)),
    ({"config": {"eos_token_id": None}, "tokenizer_config": {"eos_token": None}}, (4,)),
    ({"tokenizer_config": {"eos_token": "<new>", "added_tokens_decoder": {
        "8": {"content": "<new>", "special": True}}}}, (8,)),
    ({"tokenizer_config": {"eos_token": "not there"}}, (4,)),
])
def test_ends_of_text(files, eos, tmp_path):
    v = load_vocabulary(_folder(tmp_path / "t", **files))
    assert v.eos_ids == eos
    assert all(v.is_special[e] and v.token_bytes(e) is None for e in eos)
    assert v.token_bytes(2) == b"ab" and v.token_bytes(7) == b" a"
    given = load_vocabulary(tmp_path / "t", eos_ids=[6])
    assert given.eos_ids == (6,) and given.fingerprint != v.fingerprint


def test_special_and_added_tokens_of_the_configuration(tmp_path):
    v = load_vocabulary(_folder(
        tmp_path / "t", tokenizer_config={
            "pad_token": "!", "bos_token": "<pad>",
            "added_tokens_decoder": {"9": {"content": "<tool>", "special": False},
                                     "10": {"content": "<|x|>", "special": True}}},
        added_tokens={"more": 11}))
    assert v.size == 12
    assert v.token_bytes(3) == b"!"                # a pad token must not take "!" out of texts
    assert v.special == {"</s>": 4, "<pad>": 6, "<|x|>": 10}
    assert v.added == {"<|im_end|>": 5, "<tool>": 9, "more": 11}
    assert v.token_bytes(9) == b"<tool>" and v.token_bytes(11) == b"more" and v.token_bytes(8) is None
    extra = load_vocabulary(tmp_path / "t", special={"<mine>": 14})
    assert extra.special["<mine>"] == 14 and extra.size == 15


def test_a_file_or_its_folder_or_a_vocabulary(tmp_path):
    folder = _folder(tmp_path / "t")
    v = load_vocabulary(folder)
    assert load_vocabulary(str(folder)) is v and load_vocabulary(folder / "tokenizer.json") is v
    assert load_vocabulary(v) is v and Vocabulary.load(folder) is v
    assert load_vocabulary(v, eos_ids=[4]) is v and load_vocabulary(v, eos_ids=[5]).eos_ids == (5,)


def test_other_files_of_a_folder(tmp_path, tekken_file, sentencepiece_file):
    import base64

    (tmp_path / "tekken.json").symlink_to(tekken_file)
    assert load_vocabulary(tmp_path).family == "tekken"
    other = tmp_path / "sp"
    other.mkdir()
    (other / "tokenizer.model").symlink_to(sentencepiece_file)
    (other / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": {
        "32000": {"content": "<tool>", "special": True}}, "eos_token": "<tool>"}))
    v = load_vocabulary(other)
    assert v.size == 32001 and v.eos_ids == (32000,)
    ranks = tmp_path / "ranks"
    ranks.mkdir()
    (ranks / "x.tiktoken").write_bytes(b"".join(
        base64.b64encode(t) + b" %d\n" % i for i, t in enumerate([b"a", b"\xff", b"ab"])))
    (ranks / "generation_config.json").write_text('{"eos_token_id": [3, 5]}')
    v = load_vocabulary(ranks)
    assert v.size == 6 and v.eos_ids == (3, 5) and v.token_bytes(1) == b"\xff"
    plain = tmp_path / "gpt2"
    plain.mkdir()
    from structgen.tokens.tokenizer_json import byte_alphabet

    names = [*byte_alphabet(), "\u0120a", "<|endoftext|>"]
    (plain / "vocab.json").write_text(json.dumps({n: i for i, n in enumerate(names)}))
    (plain / "special_tokens_map.json").write_text('{"eos_token": "<|endoftext|>"}')
    v = load_vocabulary(plain)
    assert v.eos_ids == (257,) and v.token_bytes(256) == b" a" and v.missing_bytes == b""


# -- mistakes ------------------------------------------------------------------------

@pytest.mark.parametrize("wrong", [None, 3, b"bytes", ["a"], {"a": 1}, object(), int, len])
def test_things_that_are_no_tokenizer(wrong):
    with pytest.raises(VocabularyError, match="expected a tokenizer|looked for") as caught:
        load_vocabulary(wrong)
    assert isinstance(caught.value, StructgenError)


def test_unknown_and_empty_paths(tmp_path):
    with pytest.raises(VocabularyError, match="no such file or folder.*hub ids"):
        load_vocabulary("some-org/some-model")
    with pytest.raises(VocabularyError, match="looked for tokenizer.json, tekken.json.*found nothing"):
        load_vocabulary(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(VocabularyError, match="found weights.bin"):
        load_vocabulary(tmp_path)
    with pytest.raises(VocabularyError):
        load_vocabulary("bad\0name")


@pytest.mark.parametrize("content, message", [
    (b"", "found 0 bytes"), (b"{", "not valid JSON"), (b"[1]", "found a list"), (b"{}", "looked for"),
    (b'{"x": "y"}', "found an object with keys"), (b"\x89PNG", "looked for JSON"),
    (b"[" * 100000, "not valid JSON"), (b'{"a": 0}', "256 bytes are no tokens|255 bytes are no tokens"),
    (b'{"model": 3}', "looked for model.vocab"), (b'{"model": {"vocab": 3}}', "expected an object or a list"),
    (b'{"model": {"vocab": {"a": "b"}}}', "id of token 'a'"), (b'{"model": {"vocab": {"a": -1}}}', "is -1"),
    (b'{"model": {"vocab": {"a": 99999999999}}}', "99999999999"),
    (b'{"model": {"vocab": [["a", 0], 7]}}', "pairs"), (b'{"model": {"vocab": {}}}', "no decoder"),
    (b'{"model": {"vocab": {}}, "decoder": {"type": "ByteLevel"}}', "at least one token"),
    (b'{"model": {"vocab": {"a": 0}}, "decoder": {"type": "ByteLevel"}, "added_tokens": [{"id": "x"}]}', "added token"),
    (b'{"model": {"vocab": {"a": 0}}, "decoder": {"type": "CTC"}}', "CTC"),
    (b'{"config": {}, "vocab": []}', "default_vocab_size"),
    (b'{"config": {"default_vocab_size": 9, "default_num_special_tokens": 2}, "vocab": [{"rank": 0}]}', "entry 0"),
    (b"YQ== 0\nYQ==\n", "line 2"), (b"YQ== 0\nY 1\n", "line 2"), (b"YQ== 0\nYg== 999999999999\n", "line 2"),
    (b"\x0a\x05\x0a\x03ab", "not a SentencePiece model"), (b"\x0a\xff\xff\xff\xff\x0f", "not a SentencePiece model"),
    (b"\x0a\x02\x18\x09", "unknown kind 9"),
])
def test_broken_files(content, message, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(VocabularyError, match=message):
        load_vocabulary(path)


def test_truncated_sentencepiece_never_crashes(sentencepiece_file, tmp_path):
    from structgen.tokens.sentencepiece_vocab import sentencepiece_table

    data = sentencepiece_file.read_bytes()[:6000]
    rng = random.Random(3)
    for _ in range(300):
        broken = bytearray(data[:rng.randrange(1, len(data))])
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        try:
            sentencepiece_table(bytes(broken))
        except VocabularyError:
            pass


def test_broken_configuration_beside(tmp_path):
    folder = _folder(tmp_path / "t")
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(VocabularyError, match="tokenizer_config.json' is not valid JSON"):
        load_vocabulary(folder)


@pytest.mark.parametrize("arguments", [{"eos_ids": [-1]}, {"eos_ids": ["x"]}, {"eos_ids": [1 << 30]},
                                       {"eos_ids": [99]}, {"special": {"x": "y"}}])
def test_wrong_options(arguments, tmp_path):
    with pytest.raises(VocabularyError):
        load_vocabulary(_folder(tmp_path / "t"), **arguments)


# -- knowing it again ---------------------------------------------------------------------

def _same(a: Vocabulary, b: Vocabulary) -> bool:
    return (a.fingerprint == b.fingerprint and a.eos_ids == b.eos_ids and a.special == b.special
            and a.added == b.added and np.array_equal(a.blob, b.blob) and np.array_equal(a.offsets, b.offsets)
            and np.array_equal(a.trie.nodes, b.trie.nodes) and np.array_equal(a.trie.dfs_tokens, b.trie.dfs_tokens)
            and a.tokens_fingerprint == b.tokens_fingerprint)


@pytest.fixture
def count_reads(monkeypatch):
    reads = []
    original = tokenizer_files.read_file
    monkeypatch.setattr(tokenizer_files, "read_file", lambda path: reads.append(path) or original(path))
    return reads


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    clear_vocabulary_cache()
    monkeypatch.setenv("STRUCTGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vocabularies"


def test_from_disk_without_reading_the_tokenizer(tmp_path, fresh_cache, count_reads):
    folder = _folder(tmp_path / "t")
    first = load_vocabulary(folder)
    assert len(count_reads) == 1 and load_vocabulary(folder) is first
    clear_vocabulary_cache()
    second = load_vocabulary(folder)
    assert second is not first and _same(first, second) and len(count_reads) == 1
    for array in (second.blob, second.offsets, second.trie.nodes, second.trie.token, second.trie.first):
        assert array.flags.writeable and array.flags.aligned and array.flags.c_contiguous  # one type for kernels
    # Elsewhere, later, the same contents are still known: one saved vocabulary, a reference more.
    clear_vocabulary_cache()
    other = _folder(tmp_path / "copy")
    os.utime(other / "tokenizer.json", (1, 1))
    assert _same(load_vocabulary(other), first) and len(count_reads) == 1
    assert len(list(fresh_cache.glob("*.npz"))) == 1 and len(list(fresh_cache.glob("*.ref"))) == 2
    assert not list(fresh_cache.glob("*.tmp"))


def test_changed_files_are_read_again(tmp_path, fresh_cache, count_reads):
    folder = _folder(tmp_path / "t")
    assert load_vocabulary(folder).eos_ids == (4,)
    (folder / "generation_config.json").write_text('{"eos_token_id": [4, 5]}')
    assert load_vocabulary(folder).eos_ids == (4, 5)
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}')
    assert load_vocabulary(folder).eos_ids == (5, 4)
    assert len(count_reads) == 3
    (folder / "generation_config.json").unlink()
    assert load_vocabulary(folder).eos_ids == (5,)


def test_damaged_cache_files_are_noticed_and_rebuilt(tmp_path, fresh_cache, count_reads):
    folder = _folder(tmp_path / "t")
    first = load_vocabulary(folder)
    [saved] = fresh_cache.glob("*.npz")
    good = saved.read_bytes()
    rng = random.Random(5)
    positions = [0, 1, len(good) - 1, len(good) - 40, *(rng.randrange(len(good)) for _ in range(150))]
    variants = [good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1:] for at in positions]
    variants += [b"", b"x", good[:100], good[:-1], good + b"x", good[40:]]
    for bad in variants:
        saved.write_bytes(bad)
        clear_vocabulary_cache()
        reads = len(count_reads)
        with pytest.warns(RuntimeWarning, match="ignoring cache file"):
            assert _same(load_vocabulary(folder), first)
        assert len(count_reads) == reads + 1 and saved.read_bytes() == good


def test_forged_cache_files_are_refused(tmp_path, fresh_cache):
    """Right checksum, wrong numbers: nothing out of range gets to a kernel."""
    from structgen.cache import load_npz_checked, save_npz_atomic

    folder = _folder(tmp_path / "t")
    first = load_vocabulary(folder)
    [saved] = fresh_cache.glob("*.npz")
    good = load_npz_checked(saved, vocabulary_store.MAGIC, vocabulary_store.VERSION, vocabulary_store.SCHEMA)

    def forge(name, change):
        arrays = {n: a.copy() for n, a in good.items()}
        arrays[name] = change(arrays[name])
        return arrays

    def put(value, at):
        def change(array):
            array[at] = value
            return array
        return change

    meta = json.loads(good["meta"].tobytes())

    def say(**more):
        return lambda _: np.frombuffer(json.dumps(meta | more).encode(), np.uint8)

    forged = [
        forge("offsets", put(10 ** 12, -1)), forge("offsets", put(-5, 2)), forge("offsets", put(3, 0)),
        forge("offsets", lambda a: a[:-1]), forge("offsets", lambda a: a[:1]), forge("offsets", lambda a: a[:0]),
        forge("nodes", put(1 << 40, 1)), forge("nodes", lambda a: a[:2]), forge("nodes", lambda a: a[:0]),
        forge("token", put(10 ** 6, 1)), forge("first", put(10 ** 6, 1)), forge("dfs_tokens", put(-3, 0)),
        forge("root_child", put(10 ** 6, 97)), forge("is_special", put(True, 0)), forge("blob", put(122, 0)),
        forge("meta", say(eos_ids=[999])), forge("meta", say(eos_ids=[0])), forge("meta", say(special={"x": 0})),
        forge("meta", say(special=[])), forge("meta", lambda a: a[:-3])]
    for arrays in forged:
        assert save_npz_atomic(saved, vocabulary_store.MAGIC, vocabulary_store.VERSION, arrays)
        clear_vocabulary_cache()
        with pytest.warns(RuntimeWarning, match="ignoring cache file"):
            assert _same(load_vocabulary(folder), first)


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STRUCTGEN_CACHE", str(tmp_path / "file" / "below"))
    clear_vocabulary_cache()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_vocabulary(_folder(tmp_path / "t")).size == 8
        clear_vocabulary_cache()
        assert load_vocabulary(tmp_path / "t").size == 8


def test_objects_are_known_by_identity_and_forgotten(trained, monkeypatch):
    import tokenizers

    text = trained("byte-level").to_str()
    calls = []
    original = load_module.object_source
    monkeypatch.setattr(load_module, "object_source", lambda t: calls.append(1) or original(t))

    class Wrapper:
        """What transformers' fast tokenizers look like."""
        eos_token_id = 1

        def __init__(self):
            self.backend_tokenizer = tokenizers.Tokenizer.from_str(text)

        def __len__(self):
            return self.backend_tokenizer.get_vocab_size()

    clear_vocabulary_cache()
    one = Wrapper()
    v = load_vocabulary(one)
    assert v.eos_ids == (1,) and load_vocabulary(one) is v and len(calls) == 1
    two = Wrapper()
    assert load_vocabulary(two) is v and len(calls) == 2           # the same contents
    one.backend_tokenizer.add_tokens(["new token"])
    assert load_vocabulary(one).added == {"new token": v.size} and len(calls) == 3
    del one, two
    gc.collect()
    assert not load_module._by_object


def test_files_need_neither_transformers_nor_torch_nor_tokenizers(tmp_path):
    folder = _folder(tmp_path / "t")
    code = ("import sys\nfrom structgen.tokens.load import load_vocabulary\n"
            f"v = load_vocabulary({str(folder)!r})\nassert v.tokenize(b'ab a') == [2, 7]\n"
            "print(sorted({'transformers', 'torch', 'tokenizers', 'sentencepiece', 'tiktoken'} & set(sys.modules)))")
    root = Path(load_module.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


def test_threads_load_one_tokenizer(tmp_path, fresh_cache):
    from concurrent.futures import ThreadPoolExecutor

    folder = _folder(tmp_path / "t")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_vocabulary(folder), range(32)))
    assert len({v.fingerprint for v in found}) == 1
