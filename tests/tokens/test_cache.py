"""Cache files: where they go, and that damage of any kind is noticed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from structgen import cache

SCHEMA = {"a": (np.int32, 1), "b": (np.float64, 2)}
ARRAYS = {"a": np.arange(5, dtype=np.int32), "b": np.ones((2, 3))}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "deep" / "file.npz"
    assert cache.save_npz_atomic(path, "test", 1, ARRAYS)
    return path


def test_round_trip(path):
    back = cache.load_npz_checked(path, "test", 1, SCHEMA)
    assert set(back) == set(ARRAYS)
    for name, array in back.items():
        assert np.array_equal(array, ARRAYS[name]) and array.flags.writeable and array.flags.aligned
    with np.load(path) as plain:            # an ordinary npz for everyone else
        assert np.array_equal(plain["a"], ARRAYS["a"])
    assert [p.name for p in path.parent.iterdir()] == ["file.npz"]


def test_every_flipped_byte_is_noticed(path):
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1:])
        with pytest.warns(RuntimeWarning, match="ignoring cache file"):
            assert cache.load_npz_checked(path, "test", 1, SCHEMA) is None


@pytest.mark.parametrize("magic, version, schema", [
    ("other", 1, SCHEMA), ("test", 2, SCHEMA), ("test", 1, {"a": (np.int32, 1)}),
    ("test", 1, SCHEMA | {"c": (np.int32, 1)}), ("test", 1, SCHEMA | {"a": (np.int64, 1)}),
    ("test", 1, SCHEMA | {"a": (np.int32, 2)})])
def test_foreign_files(path, magic, version, schema):
    with pytest.warns(RuntimeWarning):
        assert cache.load_npz_checked(path, magic, version, schema) is None


def test_absent_and_unwritable(tmp_path, path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.load_npz_checked(tmp_path / "none.npz", "test", 1, SCHEMA) is None
    assert not cache.save_npz_atomic(path / "below" / "file.npz", "test", 1, ARRAYS)
    assert not cache.write_atomic(path.parent, b"a folder is in the way")
    assert [p.name for p in path.parent.iterdir()] == ["file.npz"]


def test_no_pickle(tmp_path):
    with pytest.raises(TypeError):
        cache.save_npz_atomic(tmp_path / "x.npz", "test", 1, {"a": np.array([object()])})
    np.savez(tmp_path / "y.npz", a=np.array([{}], dtype=object))
    with pytest.warns(RuntimeWarning):
        assert cache.load_npz_checked(tmp_path / "y.npz", "test", 1, SCHEMA) is None


def test_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("STRUCTGEN_CACHE", str(tmp_path / "x"))
    assert cache.cache_dir() == tmp_path / "x"
    monkeypatch.delenv("STRUCTGEN_CACHE")
    root = tmp_path / "checkout"
    (root / "structgen").mkdir(parents=True)
    monkeypatch.setattr(cache, "__file__", str(root / "structgen" / "cache.py"))
    assert "structgen" in cache.cache_dir().name.lower() and root not in cache.cache_dir().parents
    (root / "pyproject.toml").write_text("")
    (root / "tests").mkdir()
    assert cache.cache_dir() == root / "compiled"
