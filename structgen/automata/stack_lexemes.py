"""Lexemes as the stack machine sees them: one byte of a static or a lexer state, labels, keys that are left.

See :mod:`.stack_kernels`.
"""

from __future__ import annotations

from .jit import njit
from .lexer_kernels import (
    B_MINIMAL, B_VO, B_W8, B_WH, B_WW, TRIE_BASE, lx_anylen, lx_bounded, lx_far, lx_label, lx_open, lx_range, lx_range2,
    lx_rep, lx_step)
from .lexer_states import _trie as trie_position
from .stack_contexts import key_record
from .stack_layout import (
    DEAD, F_LX_ASK, KEYS, KEY_BASE, KEY_W, K_LEFT, LEFT_NONE, LEFT_SOME, LEXER, LX_BASE, NEED, NEED_KEY, NEED_LEXER,
    NEED_PY, N_STATIC, QUOTE, RAW_BASE, STATIC, STATIC_ACC, _OPT, call3, ld16, ld32, ld64, ld8, need, st64)

#: sha256 of the kernel files compiled into this one; numba's on-disk cache sees only this
#: file, so it must change when one of those does (bench/stamp_kernels.py; a test checks).
DEPENDS_ON = "3e5e026cb873f168b84b6127770e47422995371c50745c07387a3c193305a8ef"


@njit(**_OPT)
def next_bytes(lexer, q, dst, n):
    """Append to `dst` the distinct bytes that go on from literal-trie state q, sorted.

    Returns the new length, or -1 if q is no plain trie state.  Bytes that a
    JSON string spells with a backslash count as the backslash (appended last).
    """
    if q < TRIE_BASE:
        return -1
    p = q & (TRIE_BASE - 1)
    w, hi = ld32(ld64(lexer, B_WW), p), ld32(ld64(lexer, B_WH), p)
    starts, text = ld64(lexer, B_VO), ld64(lexer, B_W8)
    d = p - ld64(starts, w)
    last = -1
    for k in range(w, hi):
        b = ld8(text, ld64(starts, k) + d)
        if b != last and b != 0xFF and b != 92 and b != QUOTE and b >= 32:
            dst[n] = b
            n += 1
        last = b
    return n


ASK_LABEL, ASK_RANGE, ASK_RANGE2, ASK_REP, ASK_ANYLEN, ASK_BOUNDED, ASK_OPEN, ASK_FAR = 0, 1, 3, 5, 6, 8, 10, 11
#: plus a byte: where it leads
ASK_STEP = 256


@njit(**_OPT)
def answer_lexer(lb, what, q):
    """What is asked of the lexer less often than a step a byte, in one function."""
    if what >= ASK_STEP:
        return lx_step(lb, q, what - ASK_STEP)
    if what == ASK_LABEL:
        return lx_label(lb, q)
    if what == ASK_REP:
        return lx_rep(lb, q)
    if what == ASK_FAR:
        return lx_far(lb, q)
    if what == ASK_OPEN:               # (the region of any string holds every spelling)
        return lx_open(lb, q) if ld64(lb, B_MINIMAL) == 0 else 0
    if what >= ASK_BOUNDED:
        lo, hi = lx_bounded(lb, q)
        return lo if what == ASK_BOUNDED else hi
    if what >= ASK_ANYLEN:
        if ld64(lb, B_MINIMAL) != 0:       # length rows hold every spelling
            return -1
        lo, hi = lx_anylen(lb, q)
        return lo if what == ASK_ANYLEN else hi
    if what >= ASK_RANGE2:
        lo, hi = lx_range2(lb, q)
        return lo if what == ASK_RANGE2 else hi
    lo, hi = lx_range(lb, q)
    return lo if what == ASK_RANGE else hi


@njit(**_OPT)
def ask_lexer(e, what, q):
    return call3(ld64(e, F_LX_ASK), ld64(e, LEXER), what, q)


@njit(**_OPT)
def lexeme_label(e, q):
    """Label with which a value lexeme or text may end in q, or -1."""
    if q < N_STATIC:
        return 1 if ld8(ld64(e, STATIC_ACC), q) != 0 else -1
    if q < LX_BASE:
        return -1
    if q >= RAW_BASE:
        q -= RAW_BASE
        if q < N_STATIC:
            return 1 if ld8(ld64(e, STATIC_ACC), q) != 0 else -1
    return ask_lexer(e, ASK_LABEL, q)


@njit(**_OPT)
def plain_byte(b):
    """Does `b` stand for itself in a JSON string: no quote, backslash or control?"""
    return b > QUOTE and b != 92


@njit(**_OPT)
def piece_step(e, q, b):
    """One byte of a static or lexer state (no raw offset): next state, DEAD, NEED or FUEL."""
    if q < N_STATIC:
        return ld16(ld64(e, STATIC), (q << 8) + b)
    if q >= TRIE_BASE and plain_byte(b):
        p = trie_position(ld64(e, LEXER), q & (TRIE_BASE - 1), b)
        return p | (q & ~(TRIE_BASE - 1)) if p >= 0 else DEAD
    r = lx_step(ld64(e, LEXER), q, b)
    if r == NEED_PY:
        st64(e, NEED, NEED_LEXER)
    return r


@njit(**_OPT)
def piece_label(e, q):
    """Label of a static string or lexer state, or -1."""
    if q < N_STATIC:
        return 1 if q == 0 else -1
    r = ask_lexer(e, ASK_LABEL, q)
    if r == NEED_PY:
        st64(e, NEED, NEED_LEXER)
    return r


@njit(**_OPT)
def keys_left(e, extra, seen):
    """Do words of `extra` remain that are not in `seen`?  LEFT_SOME, LEFT_NONE or NEED_PY.

    What the key automaton admits from its start never runs out, but where a
    prefix has few continuations they may all have been there.  The answer is
    kept in the key record; the record without `seen` says LEFT_NONE where so
    few words remain that it takes a look at those seen.
    """
    if extra < LX_BASE or ask_lexer(e, ASK_REP, extra) < LX_BASE:
        return LEFT_SOME
    # mostly a character, or the rest of an escape, that no name has leads to where any string goes on
    r = extra
    for _ in range(5):
        x = ask_lexer(e, ASK_STEP + 126, r)
        if x == DEAD:
            x = ask_lexer(e, ASK_STEP + 110, r)
        if x == DEAD:
            x = ask_lexer(e, ASK_STEP + 55, r)
        if x < DEAD:
            if x == NEED_PY:
                st64(e, NEED, NEED_LEXER)
            return x
        if x == DEAD:
            break
        if x < LX_BASE or ask_lexer(e, ASK_REP, x) < LX_BASE:
            return LEFT_SOME
        r = x
    for k in range(2):
        q = key_record(e, -1, extra, seen if k else -1)
        if q < 0:
            return q
        left = ld32(ld64(e, KEYS) + (q - KEY_BASE) * (KEY_W * 4), K_LEFT)
        if left == 0:
            return need(e, NEED_KEY, q - KEY_BASE, 0)
        if left == LEFT_SOME:
            return LEFT_SOME
        if seen < 0:
            break
    return LEFT_NONE
