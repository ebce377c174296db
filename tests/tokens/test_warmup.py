"""Compiling kernels ahead, on several cores."""

import gc
import subprocess

import pytest
from numba import njit as plain_njit

from structgen.automata.jit import njit, without_collector
from structgen.tokens import mask_kernels as mk
from structgen.tokens import warmup


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A machine on which nothing has been compiled; the list of the children started."""
    monkeypatch.setenv("STRUCTGEN_CACHE", str(tmp_path))
    monkeypatch.delenv("STRUCTGEN_COMPILING", raising=False)
    started = []

    class Child:
        def __init__(self, command, **options):
            started.append((command, options))

        def wait(self, timeout=None):
            return 0

    monkeypatch.setattr(subprocess, "Popen", Child)
    warmup._children.cache_clear()
    warmup.natives.cache_clear()
    yield started
    warmup._children.cache_clear()
    warmup.natives.cache_clear()


def test_children_start_once_and_leave_a_marker(fresh, tmp_path):
    warmup.begin()
    count = len(fresh)
    assert 1 <= count <= 2
    warmup.begin()
    assert set(warmup.natives()) == set(mk.ALL_NATIVE)
    assert len(fresh) == count
    assert len(list((tmp_path / "kernels").glob("*.compiled"))) == 1
    warmup._children.cache_clear()
    warmup.begin()                      # as in a later process
    assert len(fresh) == count


def test_the_children_compile_every_share(fresh, monkeypatch):
    done = []
    monkeypatch.setattr(warmup, "_SHARES", {name: (lambda name=name: done.append(name)) for name in warmup._SHARES})
    warmup.begin()
    for command, options in fresh:
        assert options["env"]["STRUCTGEN_COMPILING"] == "1"
        exec(command[-1], {})
    assert sorted(done) == ["masks", "stack"]


def test_a_child_starts_no_children(fresh, monkeypatch):
    monkeypatch.setenv("STRUCTGEN_COMPILING", "1")
    warmup.begin()
    assert fresh == []


@pytest.mark.parametrize("what", ["no interpreter", "frozen", "refused"])
def test_without_children_all_is_compiled_here(fresh, monkeypatch, tmp_path, what):
    if what == "no interpreter":
        monkeypatch.setattr("sys.executable", None)
    elif what == "frozen":
        monkeypatch.setattr("sys.frozen", True, raising=False)
    else:
        def refuse(*args, **options):
            raise OSError("no more processes")
        monkeypatch.setattr(subprocess, "Popen", refuse)
    warmup.begin()
    assert set(warmup.natives()) == set(mk.ALL_NATIVE)
    assert fresh == [] and not (tmp_path / "kernels").exists()


def test_a_helper_is_compiled_once_whatever_constants_it_is_called_with():
    def user(decorate):
        @decorate(nogil=True)
        def helper(x, k):
            return x + k

        @plain_njit
        def calls(x):
            return helper(x, 1) + helper(x, 2) + helper(3, x)

        assert calls(5) == 6 + 7 + 8
        return len(helper.signatures)

    assert user(njit) == 1
    assert user(plain_njit) > 1         # else the module has no reason to be


def test_the_collector_is_left_as_it_was():
    assert gc.isenabled()
    with without_collector():
        assert not gc.isenabled()
        with without_collector():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError), without_collector():
        raise ValueError
    assert gc.isenabled()
