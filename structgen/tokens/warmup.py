"""Kernels ready before they are needed, and compiled on two cores the first time.

Compiling everything once takes about half a minute of one core, nearly all of
it numba's own work a function.  On a machine that has not compiled this
version yet, a child process compiles one half into numba's cache while this
process compiles the other; later processes load all of it in 0.1 s.  A marker
file in the cache directory says that it was done; without a place for markers,
or where no child can be started, everything is compiled here.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numba
from numba import types

from ..automata import stack_kernels as sk
from ..automata.lexer_slow import slow_kernel
from ..cache import cache_dir
from . import mask_kernels as mk

__all__ = ["natives"]

_CHILD = "STRUCTGEN_COMPILING"
_PACKAGE = Path(__file__).resolve().parent.parent


def _marker() -> Path | None:
    """The file that says this version's kernels are in numba's cache."""
    parts = [numba.__version__, sys.version, os.environ.get("NUMBA_CACHE_DIR", ""), str(_PACKAGE)]
    for path in sorted([*_PACKAGE.glob("automata/*.py"), *_PACKAGE.glob("tokens/*.py")]):
        stat = path.stat()
        parts.append(f"{path.name} {stat.st_mtime_ns} {stat.st_size}")
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    try:
        return cache_dir() / "kernels" / f"{name}.compiled"
    except OSError:
        return None


def _start_child() -> "subprocess.Popen | None":
    """A process that compiles the lexer and a part of the stack machine."""
    code = "from structgen.tokens.warmup import compile_half; compile_half()"
    env = {**os.environ, _CHILD: "1", "PYTHONPATH": os.pathsep.join([str(_PACKAGE.parent), *sys.path])}
    try:
        return subprocess.Popen([sys.executable, "-c", code], env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, ValueError):
        return None


#: the part of the stack machine that the child compiles, beside the lexer
_CHILDS = {slot: f for slot, f in sk.NATIVE.items() if slot not in (sk.F_GAP, sk.F_KEY)}


def compile_half() -> None:
    """What the child process compiles."""
    slow_kernel()
    sk.compile_native(_CHILDS)


@functools.cache
def natives() -> dict:
    """The kernels that are called through their address: slot -> compiled function.

    Entry kernels are compiled (or loaded) as well, so that no request pays for it.
    """
    marker = _marker()
    child = None
    if marker is not None and not marker.exists() and _CHILD not in os.environ:
        child = _start_child()
    own = {slot: f for slot, f in mk.ALL_NATIVE.items() if slot not in _CHILDS}
    out = sk.compile_native(own)
    for entry, arity in mk.ENTRIES.items():
        entry.compile((types.int64,) * arity)
    if child is not None:
        child.wait()
    slow_kernel()
    out.update(sk.compile_native(_CHILDS))
    if child is not None and marker is not None:
        try:
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
        except OSError:
            pass
    return out
