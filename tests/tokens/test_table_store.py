"""Token tables on disk: the same as built ones, or not taken at all."""

from __future__ import annotations

import hashlib
import random
import warnings

import numpy as np
import pytest

import structgen as sg
from structgen.automata import static_dfa as sd
from structgen.cache import load_npz_checked, save_npz_atomic
from structgen.tokens import table_store as store
from structgen.tokens import tables as tb
from structgen.tokens.vocabulary import Vocabulary
from structgen.tokens.vocabulary_store import restore_vocabulary, save_vocabulary


def pieces(seed: int, count: int) -> list[bytes]:
    """Tokens as real vocabularies have them: words, numbers, punctuation, mixtures, broken UTF-8."""
    rng = random.Random(seed)
    parts = ['"', '":', '", "', '},{', ']}', ' ', '\n', '  ', 'true', 'false', 'null', '-', '0', '12', '.5', 'e+', ',',
             ':', '{', '[', '\\', '\\n', '\\u', 'é', '日本', '😀', 'a', 'the', ' name', 'id', '\x00', '\ud83d']
    out = []
    for _ in range(count):
        text = "".join(rng.choice(parts) for _ in range(rng.randint(1, 4)))
        data = text.encode("utf-8", "surrogatepass")
        if rng.random() < 0.1:
            data = data[rng.randint(0, 1):][:-1] or b"x"
        out.append(data)
    return out


@pytest.fixture(scope="module")
def vocabulary():
    size = store.MIN_TOKENS + 808
    tokens = [bytes([b]) for b in range(256)] + pieces(3, size - 256)
    return Vocabulary.from_tokens(tokens, eos_ids=[size])


@pytest.fixture
def built(vocabulary, tmp_path, monkeypatch):
    """(tables made from nothing, path of the file they left)."""
    monkeypatch.setenv("STRUCTGEN_CACHE", str(tmp_path))
    made = tb.TokenTables(vocabulary)
    return made, store.table_path(vocabulary)


ARRAYS = ("cut_off", "cut_pos", "cut_suffix", "region_rows", "region_pairs", "string_pairs", "string_lens",
          "length_rows")


def same(a: tb.TokenTables, b: tb.TokenTables) -> bool:
    tries = all(np.array_equal(getattr(getattr(a, t), n), getattr(getattr(b, t), n))
                for t in ("struct", "suffix") for n in ("nodes", "token", "first", "dfs_tokens", "root_child"))
    starts = all(np.array_equal(x.regions[:, 0] - x.region_rows.ctypes.data * (x.regions[:, 3] == 1),
                                y.regions[:, 0] - y.region_rows.ctypes.data * (y.regions[:, 3] == 1))
                 and np.array_equal(x.regions[:, 1] - x.region_pairs.ctypes.data,
                                    y.regions[:, 1] - y.region_pairs.ctypes.data)
                 and np.array_equal(x.regions[:, 2:], y.regions[:, 2:]) for x, y in ((a, b),))
    arrays = all(np.array_equal(getattr(a, n), getattr(b, n)) and getattr(a, n).dtype == getattr(b, n).dtype
                 for n in ARRAYS)
    return tries and starts and arrays


def never_built(*_):
    raise AssertionError("the tables were built again")


def test_round_trip(built, vocabulary, monkeypatch):
    made, path = built
    assert path.is_file() and [p.name for p in path.parent.iterdir()] == [path.name]
    assert len(made.suffix) > 50 and len(made.struct) > 100 and len(made.region_pairs) > 100     # it is about something
    monkeypatch.setattr(tb.TokenTables, "_tries", never_built)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = tb.TokenTables(vocabulary)
    assert same(made, again)


def test_masks_are_the_same(built, vocabulary, monkeypatch):
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}, "id": {"type": "integer"},
                                               "the": {"type": "array", "items": {"enum": ["é", "日本", None]}}}}
    masks = []
    parts = ('{', '"', 'na', 'me": "', "a", 'b', '"', ', "id":', ' 1', '2', ',', '"the":', '["', '日', '本"', ']', '}')
    for _ in range(2):
        tb._tables.clear()
        m = sg.compile(schema, vocabulary).matcher()
        row = np.zeros((1, vocabulary.words), np.int32)
        for part in parts:
            m.accept_bytes(part.encode())
            m.fill_bitmask(row)
            masks.append(row.tobytes())
        monkeypatch.setattr(tb.TokenTables, "_tries", never_built)
    tb._tables.clear()
    assert masks[:len(masks) // 2] == masks[len(masks) // 2:]


def test_fingerprint_is_not_computed_again(vocabulary, tmp_path):
    save_vocabulary(vocabulary, tmp_path / "v.npz")
    assert restore_vocabulary(tmp_path / "v.npz")._tokens_fingerprint == vocabulary.tokens_fingerprint


def test_other_ends_share_the_file(built, vocabulary, monkeypatch):
    names = [vocabulary.token_bytes(i) for i in range(vocabulary.size - 1)]
    other = Vocabulary.from_tokens(names + [b""], eos_ids=[vocabulary.size - 1], special={"<a>": vocabulary.size - 1})
    assert other.fingerprint != vocabulary.fingerprint
    monkeypatch.setattr(tb.TokenTables, "_tries", never_built)
    tb.TokenTables(other)


def test_small_vocabularies_are_not_stored(tmp_path, monkeypatch):
    monkeypatch.setenv("STRUCTGEN_CACHE", str(tmp_path))
    tb.TokenTables(Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256]))
    assert not list(tmp_path.iterdir())


def test_characters_and_length_rows(built, vocabulary):
    made, _ = built
    parts = store.restore_parts(vocabulary)
    checked = 0
    for token in range(vocabulary.size):
        try:
            text = (vocabulary.token_bytes(token) or b"").decode()
        except UnicodeDecodeError:
            continue
        if not text:
            assert parts.chars[token] == store.NOT_INSIDE
        elif any(c < " " for c in text) or '"' in text and "\\" not in text:
            assert parts.chars[token] == store.NOT_INSIDE
        elif "\\" not in text:
            assert parts.chars[token] == len(text)
            checked += 1
    assert checked > 1000
    for k, row in enumerate(made.length_rows):
        bits = np.unpackbits(row.view(np.uint8), bitorder="little")[:vocabulary.size]
        assert np.array_equal(bits == 1, parts.chars <= k)


def test_flipped_bytes(built, vocabulary):
    made, path = built
    good = path.read_bytes()
    rng = random.Random(5)
    places = {0, 1, len(good) - 1, len(good) - 20, len(good) - 21, *rng.sample(range(len(good)), 250)}
    for at in sorted(places):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1:])
        with pytest.warns(RuntimeWarning, match="ignoring cache file"):
            assert store.restore_parts(vocabulary) is None
    path.write_bytes(good[:len(good) // 2])
    with pytest.warns(RuntimeWarning, match="ignoring cache file"):
        again = tb.TokenTables(vocabulary)      # rebuilt, and put right on disk
    assert same(made, again)
    assert store.restore_parts(vocabulary) is not None


def in_range(vocabulary, parts: store.Parts) -> bool:
    """What kernels rely on, in plain Python."""
    lengths = [len(vocabulary.token_bytes(t) or b"") for t in range(vocabulary.size)]
    ok = [0 < at < lengths[t] for t, at in parts.cuts.tolist()]
    ok += [lengths[t] > 0 and 0 <= s < len(parts.suffix)
           for t, s in [*parts.region_pairs.tolist(), *parts.string_pairs.tolist()]]
    bits = np.unpackbits(parts.region_rows.view(np.uint8), axis=1, bitorder="little")
    ok += [lengths[t] > 0 if t < vocabulary.size else False for t in np.flatnonzero(bits.any(axis=0)).tolist()]
    return all(ok) and sum(parts.region_counts.tolist()) == len(parts.region_pairs)


def test_flipped_bytes_with_the_right_checksum(built, vocabulary):
    """A forged file is refused, or at least cannot lead a kernel astray."""
    made, path = built
    good = path.read_bytes()[:-20]
    rng = random.Random(6)
    rows = good.find(b"region_rows.npy"), good.find(b"region_counts.npy")
    places = [at for at in rng.sample(range(len(good)), 400) if not rows[0] < at < rows[1]]
    places += rng.sample(range(*rows), 40) + [good.find(name + b".npy") + rng.randrange(300) for name in (
        b"cuts", b"region_pairs", b"string_pairs", b"string_lens", b"struct_nodes", b"suffix_first") for _ in range(20)]
    taken = 0
    for at in places:
        bad = good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1:]
        path.write_bytes(bad + hashlib.sha1(bad).digest())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            parts = store.restore_parts(vocabulary)
        if parts is not None:
            assert in_range(vocabulary, parts)
            taken += 1
            if taken % 10 == 0:
                tb._tables.clear()
                m = sg.compile({"type": ["object", "string", "number"]}, vocabulary).matcher()
                m.accept_bytes(b'{"a')
                assert m.allowed_tokens().size
    tb._tables.clear()
    assert taken > 20               # rows and zip metadata


def forge(name):
    def change(parts, at, value):
        parts[name][at] = value
    return change


@pytest.mark.parametrize("name, at, value", [
    ("cuts", (0, 0), -1), ("cuts", (0, 0), 1 << 20), ("cuts", (0, 1), 0), ("cuts", (3, 1), 99), ("cuts", (0, 1), -1),
    ("region_pairs", (5, 0), 1 << 20), ("region_pairs", (5, 0), -5), ("region_pairs", (5, 1), 1 << 20),
    ("region_pairs", (5, 1), -1), ("region_counts", 3, 1 << 30), ("region_counts", 3, -1), ("region_counts", 62, 1),
    ("region_rows", (0, -1), -1), ("string_pairs", (0, 0), 1 << 20), ("string_pairs", (0, 1), -1),
    ("string_lens", 0, -1), ("string_lens", 0, 1000), ("chars", 5, 1000), ("chars", -1, 0),
    ("struct_dfs_tokens", 0, 1 << 20), ("struct_dfs_tokens", 0, -1), ("struct_nodes", 1, 1 << 40),
    ("struct_first", -1, 1 << 20), ("struct_token", 2, 1 << 20), ("struct_root_child", 7, 1 << 20),
    ("suffix_nodes", 0, 1 << 30), ("suffix_dfs_tokens", 0, 1 << 20), ("suffix_first", 1, -3),
    ("suffix_root_child", 34, 2), ("suffix_token", 1, 7)])
def test_forged_numbers(built, vocabulary, name, at, value):
    _, path = built
    arrays = load_npz_checked(path, store.MAGIC, store.TABLES_VERSION, store._SCHEMA)
    arrays[name][at] = value
    assert save_npz_atomic(path, store.MAGIC, store.TABLES_VERSION, arrays)
    with pytest.warns(RuntimeWarning, match="ignoring cache file"):
        assert store.restore_parts(vocabulary) is None


@pytest.mark.parametrize("name, shape", [("cuts", (0, 3)), ("region_rows", (64, 1)), ("region_rows", (0, 0)),
                                         ("region_counts", (3,)), ("region_counts", (0,)), ("region_pairs", (7, 3)),
                                         ("string_lens", (1,)), ("chars", (1,)), ("struct_token", (1,)),
                                         ("struct_nodes", (0,)), ("suffix_root_child", (255,)), ("key", (3,))])
def test_forged_shapes(built, vocabulary, name, shape):
    _, path = built
    arrays = load_npz_checked(path, store.MAGIC, store.TABLES_VERSION, store._SCHEMA)
    arrays[name] = np.zeros(shape, arrays[name].dtype)
    assert save_npz_atomic(path, store.MAGIC, store.TABLES_VERSION, arrays)
    with pytest.warns(RuntimeWarning, match="ignoring cache file"):
        assert store.restore_parts(vocabulary) is None


def test_file_of_another_vocabulary(built, vocabulary):
    made, path = built
    tokens = [vocabulary.token_bytes(i) for i in range(vocabulary.size - 1)]
    other = Vocabulary.from_tokens(tokens[:-1] + [b"zz"], eos_ids=[vocabulary.size - 1])
    assert store.table_path(other) != path
    store.table_path(other).write_bytes(path.read_bytes())
    with pytest.warns(RuntimeWarning, match="another vocabulary"):
        assert store.restore_parts(other) is None


def test_tables_of_other_code_are_not_taken(built, vocabulary, monkeypatch):
    _, path = built
    for k in range(6):
        monkeypatch.setattr(store, "builders", lambda k=k: f"{k:x}" * 64)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert store.restore_parts(vocabulary) is None
        store.table_path(vocabulary).write_bytes(b"")
        store._drop_old(path)
    assert len(list(path.parent.iterdir())) == store.KEEP


def test_sources_exist():
    from pathlib import Path

    package = Path(sg.__file__).parent
    assert all((package / name).is_file() for name in store.SOURCES)
    assert len(store.builders()) == 64 and sd.N_STATIC == 64


def test_unwritable_cache(vocabulary, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a file is in the way")
    monkeypatch.setenv("STRUCTGEN_CACHE", str(tmp_path / "file"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tb.TokenTables(vocabulary)


def test_llama3(llama3, tmp_path, monkeypatch):
    vocabulary = Vocabulary.load(llama3)
    monkeypatch.setenv("STRUCTGEN_CACHE", str(tmp_path))
    made = tb.TokenTables(vocabulary)
    monkeypatch.setattr(tb.TokenTables, "_tries", never_built)
    assert same(made, tb.TokenTables(vocabulary))
