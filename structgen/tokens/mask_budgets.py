"""How many tokens a shortest completion needs, behind every token at once.

See :mod:`structgen.decoding.closing`.
"""

from __future__ import annotations

from ..automata.jit import njit
from ..automata.stack_layout import (
    DEAD, F_STEP, LOW, MULTI, SHIFT, TOUCHED, call5, grow_probe, ld32, ld64, mix, st32, st64)
from .mask_layout import (
    CAP_ASK, MANY, M_U, N_ASK, N_PENDING, N_U, PEAK, PENDING, STACK, STATES, STATE_POOL, STRUCT, STRUCT_FIRST,
    STRUCT_TOKENS, SUFFIX, TRIE, TRIE_FIRST, TRIE_TOKENS, U_ASK, U_KEYS, U_VALUES, _ENTRY, _OPT, push_pending,
    push_rest, set_bit)

#: sha256 of the kernel files compiled into this one; numba's on-disk cache sees only this
#: file, so it must change when one of those does (bench/stamp_kernels.py; a test checks).
DEPENDS_ON = "079051a69631b4482f96e285f2e67fdf045a914698aec73352037d618d1fb7f8"


@njit(**_ENTRY)
def ends(e, which, state, left, dst):
    """Look up U, the tokens a shortest completion needs (EOS included), behind every token.

    `which` 0 walks the vocabulary, 1 the structural trie, 2 the suffixes (then
    every node is an end).  Sets in `dst` (if not 0) the tokens with U <= `left`
    and leaves the greatest U seen in ``PEAK``.  Threads whose U is not known are
    listed in ``U_ASK`` for Python to compute; returns their number.
    """
    nodes, first, tokens = ld64(e, TRIE), ld64(e, TRIE_FIRST), ld64(e, TRIE_TOKENS)
    if which == 1:
        nodes, first, tokens = ld64(e, STRUCT), ld64(e, STRUCT_FIRST), ld64(e, STRUCT_TOKENS)
    elif which == 2:
        nodes = ld64(e, SUFFIX)
    st64(e, N_ASK, 0)
    st64(e, PEAK, 0)
    st64(e, TOUCHED, 1)         # no row is built
    base = ld64(e, N_PENDING)
    if state < MANY:
        r = push_pending(e, 0, state)
        if r < 0:
            return r
    else:
        s = ld64(e, STATES) + (state - MANY) * 8
        off, n = ld32(s, 0), ld32(s, 1)
        for i in range(n):
            r = push_pending(e, 0, ld64(ld64(e, STATE_POOL), off + i))
            if r < 0:
                st64(e, N_PENDING, base)
                return r
    stack = ld64(e, STACK)
    mask, keys, values = ld64(e, M_U), ld64(e, U_KEYS), ld64(e, U_VALUES)
    last, last_u = -1, -1
    while ld64(e, N_PENDING) > base:
        n = ld64(e, N_PENDING) - 2
        st64(e, N_PENDING, n)
        i = ld64(ld64(e, PENDING), n)
        v = ld64(nodes, i)
        end = i + (v >> 24)
        st64(stack, (v >> 8) & 0xFFFF, ld64(ld64(e, PENDING), n + 1))
        fresh = i > 0       # a queued thread has not looked at its own node's tokens yet
        if not fresh:
            i = 1
        while i < end:
            v = ld64(nodes, i)
            d = (v >> 8) & 0xFFFF
            if fresh:
                r = ld64(stack, d)
                fresh = False
            else:
                t = ld64(stack, d - 1)
                r = call5(ld64(e, F_STEP), e, t >> SHIFT, t & LOW, v & 255, -1)
                if r == DEAD:
                    i += v >> 24
                    continue
                if r == MULTI:
                    r = push_rest(e, i)
                if r < 0:
                    st64(e, N_PENDING, base)
                    return r
                st64(stack, d, r)
            lo, hi = 0, 1
            if which != 2:
                lo, hi = ld32(first, i), ld32(first, i + 1)
            if lo < hi:
                if r != last:
                    last, last_u = r, -1
                    slot = mix(r, r >> 32) & mask
                    while ld64(keys, slot) != -1:
                        if ld64(keys, slot) == r:
                            last_u = ld32(values, slot)
                            break
                        slot = (slot + 1) & mask
                    if last_u < 0:
                        ask_u(e, r)
                    elif last_u > ld64(e, PEAK):
                        st64(e, PEAK, last_u)
                if dst != 0 and 0 <= last_u and last_u <= left:
                    for k in range(lo, hi):
                        set_bit(dst, ld32(tokens, k))
            i += 1
    return ld64(e, N_ASK)


@njit(**_OPT)
def ask_u(e, thread):
    """List a thread whose U Python should compute."""
    k = ld64(e, N_ASK)
    for j in range(k):
        if ld64(ld64(e, U_ASK), j) == thread:
            return
    if k < ld64(e, CAP_ASK):
        st64(ld64(e, U_ASK), k, thread)
        st64(e, N_ASK, k + 1)


@njit(**_OPT)
def put_u(e, thread, u):
    """Record U of a thread; returns 1 when the table is too full for more."""
    mask, keys = ld64(e, M_U), ld64(e, U_KEYS)
    slot = mix(thread, thread >> 32) & mask
    while ld64(keys, slot) != -1 and ld64(keys, slot) != thread:
        slot = (slot + 1) & mask
    if ld64(keys, slot) == -1:
        st64(keys, slot, thread)
        st64(e, N_U, ld64(e, N_U) + 1)
    st32(ld64(e, U_VALUES), slot, u)
    return 1 if grow_probe(mask, ld64(e, N_U) + 1) else 0
