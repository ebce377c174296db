"""Kernels ready before they are needed, and compiled on several cores the first time.

Compiling everything once takes some twenty seconds of one core, nearly all of
it numba's own work a function.  On a machine that has not compiled this
version yet, :func:`begin` starts a child process (two where there are more
than two cores) that compiles the kernels of stack and masks into numba's
cache.  Meanwhile this process compiles what it meets, which is the lexer, the
kernels of token tables and those that Python calls, and then loads what the child
has made.  So
`begin` is called as early as it is clear that masks will be wanted: where a
schema is read or a tokenizer loaded.  Later processes load everything in 0.1 s.
A marker file in the cache directory says that it was done; without a place for
markers, or where no child can be started, everything is compiled here.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from ..cache import cache_dir

__all__ = ["begin", "natives"]

_CHILD = "STRUCTGEN_COMPILING"
#: seconds to wait for a child
_PATIENCE = 300
_PACKAGE = Path(__file__).resolve().parent.parent


def _marker() -> Path | None:
    """The file that says this version's kernels are in numba's cache."""
    parts = [sys.version, os.environ.get("NUMBA_CACHE_DIR", "")]
    numba = importlib.util.find_spec("numba").origin        # (importing it takes 0.3 s)
    for path in sorted([*_PACKAGE.glob("automata/*.py"), *_PACKAGE.glob("tokens/*.py"), Path(numba)]):
        stat = path.stat()
        parts.append(f"{path} {stat.st_mtime_ns} {stat.st_size}")
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    try:
        return cache_dir() / "kernels" / f"{name}.compiled"
    except OSError:
        return None


def _start_child(shares: list[str]) -> "subprocess.Popen | None":
    """A process that compiles some shares."""
    if not sys.executable or getattr(sys, "frozen", False):
        return None
    code = f"from structgen.tokens.warmup import compile_shares; compile_shares({shares!r})"
    env = {**os.environ, _CHILD: "1", "PYTHONPATH": os.pathsep.join([str(_PACKAGE.parent), *sys.path])}
    try:
        return subprocess.Popen([sys.executable, "-c", code], env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, ValueError):
        return None


def _compile_stack() -> dict:
    """Compile (or load) the natives of the stack machine."""
    from ..automata import stack_kernels as sk

    return sk.compile_native(sk.NATIVE)


def _compile_masks() -> dict:
    """The same for masks."""
    from ..automata import stack_kernels as sk
    from . import mask_kernels as mk

    return sk.compile_native({slot: f for slot, f in mk.ALL_NATIVE.items() if slot not in sk.NATIVE})


def _compile_entries() -> None:
    """The kernels that Python calls, so that no request pays for it."""
    from numba import types

    from ..automata.jit import without_collector
    from . import mask_kernels as mk

    with without_collector():
        for entry, arity in mk.ENTRIES.items():
            entry.compile((types.int64,) * arity)


_SHARES = {"stack": _compile_stack, "masks": _compile_masks}


def compile_shares(names: list[str]) -> None:
    """What a child process compiles."""
    for name in names:
        _SHARES[name]()


@functools.cache
def _children() -> "tuple[Path | None, list[subprocess.Popen]]":
    """The marker to leave, and the processes started; none where all is compiled or none can be."""
    marker = _marker()
    if marker is None or marker.exists() or _CHILD in os.environ:
        return None, []
    shares = [list(_SHARES)] if (os.cpu_count() or 1) <= 2 else [[name] for name in _SHARES]
    return marker, [child for child in map(_start_child, shares) if child is not None]


def begin() -> None:
    """Start compiling in the background if this version has not been compiled yet.

    Returns at once; only the first call of a process does anything.
    """
    _children()


@functools.cache
def natives() -> dict:
    """The kernels that are called through their address: slot -> compiled function."""
    marker, children = _children()
    if children:
        from ..automata.lexer_slow import slow_kernel

        slow_kernel()
    _compile_entries()
    for child in children:
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:       # what it has not done is done here
            child.kill()
            child.wait()
    out = {slot: native for share in _SHARES.values() for slot, native in share().items()}
    if children and marker is not None:
        try:
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
        except OSError:
            pass
    return out
