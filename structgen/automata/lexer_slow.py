"""The slow kernel: everything the lexer does off its hot paths, behind one address.

Compiled once (about 8 s) and cached; the cache key includes the sources of all
its parts, which numba's own check (one file's date) would miss.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from .jit import cfunc, without_collector
from .lexer_kernels import (
    AL_BASE, B_C, B_M, B_S, B_STAGE, B_T, K_ESC, LX_BASE, LX_DEAD, LX_NEED, M_JSON, O_ALIVE, O_ANSWER, O_ANY,
    O_ANYLEN, O_DECODED, O_DFA_CLOSE, O_DFA_SUCC, O_DISTANCES, O_ESCAPE, O_ESC_OPEN, O_ESC_RANGE, O_ESC_STEP,
    O_FAR, O_GIVEN, O_HEX_ALIVE, O_LABEL, O_NEW_DFA, O_NEW_PRODUCT, O_POINT, O_PREPARE, O_PROD_CLOSE, O_PROD_LABEL,
    O_PROD_SUCC, O_QUICK, O_RANGE, O_RANGE2, O_RAW_ANY, O_REHASH, O_REP, O_ROW, O_SHORTEST, O_SOME, O_START_DFA,
    O_STEP, O_STEP_MISS, O_WORDS, RTRIE_BASE, S_JMAP, S_KIND, TRIE_BASE, ld16, ld32, ld64, ld8, lx_anylen, lx_escape,
    lx_label, lx_range, lx_range2, lx_rep, lx_step, st32, st64, _go, _jit)
from .lexer_states import _add_words, _any, _any_next, _rehash, _room, _row, _trie
from .lexer_products import (
    _alive, _answer, _decoded, _dfa_close, _dfa_start, _dfa_succ, _far, _prod_close, _prod_label, _prod_succ, _quick,
    _start_product)
from .lexer_escapes import _esc_open, _esc_step, _escape_range, _hex_alive, _point, _some
from .lexer_build import _distances, _given, _new_dfa, _new_product, _prepare, _raw_any, _shortest

_SOURCES = ("lexer_kernels.py", "lexer_states.py", "lexer_products.py", "lexer_escapes.py", "lexer_build.py",
            "lexer_slow.py", "static_dfa.py")


@_jit
def _step_miss(lb, q, b):
    """A step that the hot paths of lx_step do not cover."""
    if q >= AL_BASE:
        if q < TRIE_BASE:
            return _any_next(lb, q, b)
        if q < RTRIE_BASE:
            if b < 0x20 or b == 0x22:
                return LX_DEAD
            if b == 0x5C:
                return _go(lb, O_ESC_OPEN, q, 0, 0)
        t = _trie(lb, q & (TRIE_BASE - 1), b)
        return t if t < 0 else t | q & ~(TRIE_BASE - 1)
    s = ld64(lb, B_S) + 64 * (q - LX_BASE)
    kind = ld64(s, S_KIND)
    t = _room(lb)
    if t < 0:
        return t
    col = ld16(ld64(lb, B_C), ld64(s, S_JMAP) + b) + _row(lb, s)
    t = ld32(ld64(lb, B_T), col)
    if t >= LX_DEAD:            # a new row knows the bytes that are never legal here
        return t
    if kind & 0xFF == K_ESC:
        t = _go(lb, O_ESC_STEP, s, b, 0)
    elif b == 0x5C and ld64(ld64(lb, B_M), 16 * (kind >> 8) + M_JSON):
        t = _go(lb, O_ESC_OPEN, q, 0, 0)
    else:
        return _go(lb, O_DECODED, q, b, 0)
    if t >= LX_DEAD:
        st32(ld64(lb, B_T), col, t)
    return t


@_jit
def _feed(lb, q, size):
    """Run `size` staged bytes from `q`."""
    for j in range(size):
        q = lx_step(lb, q, ld8(ld64(lb, B_STAGE), j))
        if q < 0:
            break
    return q


@_jit
def _all_steps(lb, q, out):
    """Write the 256 steps of `q` at an address."""
    for b in range(256):
        t = lx_step(lb, q, b)
        if t <= LX_NEED:
            return t
        st64(out, b, t)
    return 0




def _stamp() -> int:
    """A number that changes with the sources compiled into the slow kernel."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((folder / name).read_bytes())
    return int.from_bytes(digest.digest()[:6], "big")


def _make(stamp: int):
    def slow(lb, op, a, b, c):
        if op < 0:                    # refers to `stamp`, which makes it a part of the cache key
            return stamp
        if op < O_REHASH:
            if op == O_STEP:
                return lx_step(lb, a, b)
            if op == O_LABEL:
                return lx_label(lb, a)
            if op == O_WORDS:
                return _add_words(lb, a, b)
            if op == O_ANY:
                return _any(lb, 0, a, b, c)
            if op == O_GIVEN:
                return _given(lb, a, b, c)
            if op == O_PREPARE:
                return _prepare(a)
            if op == O_NEW_DFA:
                return _new_dfa(lb, a, b)
            if op == O_START_DFA:
                return _dfa_start(lb, a)
            if op == O_NEW_PRODUCT:
                return _new_product(lb, a, b)
            return _start_product(lb, a)
        if op < O_DECODED:
            if op == O_REHASH:
                return _rehash(lb)
            if op == O_ANSWER:
                return _answer(lb, a, b, c)
            if op == O_RAW_ANY:
                return _raw_any(lb, a)
            if op == O_DISTANCES:
                return _distances(a)
            if op == O_SHORTEST:
                return _shortest(lb, a)
            if op == O_RANGE:
                return lx_range(lb, a)[b]
            if op == O_RANGE2:
                return lx_range2(lb, a)[b]
            if op == O_REP:
                return lx_rep(lb, a)
            if op == O_ANYLEN:
                return lx_anylen(lb, a)[b]
            if op == O_ESCAPE:
                return lx_escape(lb, a)
            return _feed(lb, a, b)
        if op == O_DECODED:
            return _decoded(lb, a, b)
        if op == O_DFA_SUCC:
            return _dfa_succ(lb, a, b)
        if op == O_DFA_CLOSE:
            return _dfa_close(lb, a, b, c)
        if op == O_PROD_SUCC:
            return _prod_succ(lb, a, b)
        if op == O_PROD_CLOSE:
            return _prod_close(lb, a)
        if op == O_PROD_LABEL:
            return _prod_label(lb, a)
        if op == O_QUICK:
            return _quick(lb, a)
        if op == O_ALIVE:
            return _alive(lb, a)
        if op == O_SOME:
            return _some(lb, a, b, c)
        if op == O_HEX_ALIVE:
            return _hex_alive(lb, a, b, c)
        if op == O_STEP_MISS:
            return _step_miss(lb, a, b)
        if op == O_ESC_OPEN:
            return _esc_open(lb, a)
        if op == O_ESC_STEP:
            return _esc_step(lb, a, b)
        if op == O_ESC_RANGE:
            return _escape_range(lb, a, b, c)
        if op == O_ROW:
            return _all_steps(lb, a, b)
        if op == O_POINT:
            return _point(lb, a, b)
        if op == O_FAR:
            return _far(lb, a)
        return -1

    return slow


@lru_cache(maxsize=None)
def slow_kernel():
    """The compiled slow kernel; its ``address`` goes into every block."""
    with without_collector():
        return cfunc("int64(int64, int64, int64, int64, int64)", error_model="numpy")(_make(_stamp()))
