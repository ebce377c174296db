"""The machine of context-free grammars: what Python and matchers call.

The kernels lie in a row of files, each compiled into those behind it:
``cfg_layout`` (the block, records, memo tables), ``cfg_stacks`` (sets of LR
stacks), ``cfg_threads`` (lexeme states, one byte at a time, configurations),
``cfg_pieces`` (tokens and terminals), ``cfg_masks`` (masks read off the stack).
"""

from __future__ import annotations

import functools

from numba import types

from . import cfg_masks, cfg_pieces, cfg_stacks, cfg_threads
from .cfg_layout import (
    ADV, BLOB, BUF_A, CONF, CONF_ROW, CONF_W, CUT_BASE, DEAD, FUEL, FULL, F_ADVANCE, F_ROW, F_STEP, F_TOKEN,
    G_DEPTH, KIND, LOCALS, LOCAL_W, LOW, L_NEXT, M_ADV, NCLS, N_LOCALS, N_PIECE, N_SPECIAL, N_TOKENS, OFFSETS,
    PIECE, PIECE_W, P_CUTS, ROWS, R_AT, R_N, SP, SPECIAL, THR, WORDS, _ENTRY, _OPT, call2, call3, call4, call5,
    ld32, ld64, ld8, memo_get, memo_put, njit, rehash_memo, rehash_records, slot_of, st32, st64, st8)
from .cfg_masks import local_of, more_tokens
from .cfg_pieces import child_piece, group_nodes, root_piece
from .cfg_stacks import intern_one, looks, shift, union
from .cfg_threads import (
    add_thread, can_end, can_end_context, cross, ended, intern_configuration, may_stop, only_alive, pair_of, run_text,
    steps, unpair)
from .jit import cfunc, without_collector

#: sha256 of the kernel files compiled into this one (see stack_kernels.py).
DEPENDS_ON = "7a47d33198e03e02ad5617b8d8a2e8b294a58d5e122bf1fae62f27aedcbfa317"

__all__ = ["cfg_fill", "cfg_begin", "cfg_call", "natives"]


@njit(**_OPT)
def special_step(e, f, token):
    """The configuration after a special token; DEAD if it cannot come."""
    r = ld64(e, CONF) + f * (CONF_W * 8)
    buf = ld64(e, BUF_A)
    n = 0
    for i in range(ld64(r, R_N)):
        t = ld64(ld64(e, THR), ld64(r, R_AT) + i)
        q, d = unpair(e, t >> 32)
        if q != 0 or may_stop(e, d) == 0:
            continue
        c = t & LOW
        for j in range(ld64(e, N_SPECIAL)):
            if ld64(ld64(e, SPECIAL), 2 * j + 1) != token:
                continue
            a = ld64(ld64(e, SPECIAL), 2 * j)
            if looks(e, c, a >> 6) >> (a & 63) & 1:
                after = shift(e, c, a)
                if after < 0:
                    return after
                if after > 0:
                    n = add_thread(e, buf, n, 0, after)
                    if n < 0:
                        return n
    n = only_alive(e, buf, n)
    return intern_configuration(e, buf, n) if n >= 0 else n


@njit(**_OPT)
def advance_first(e, f, token):
    """`advance_token` where it is not known yet."""
    if ld8(ld64(e, KIND), token) != 0:
        r = special_step(e, f, token)
    else:
        off = ld64(e, OFFSETS)
        lo = ld64(off, token)
        r = call4(ld64(e, F_ADVANCE), e, f, ld64(e, BLOB) + lo, ld64(off, token + 1) - lo)
    if r < DEAD:
        return r
    code = memo_put(e, ADV, f * ld64(e, N_TOKENS) + token, r + 1)
    return r if code == 0 else code


@njit(**_OPT)
def advance_token(e, f, token):
    """The configuration after a token; DEAD or a code."""
    known = memo_get(e, ADV, f * ld64(e, N_TOKENS) + token)
    return known - 1 if known >= 0 else call3(ld64(e, F_TOKEN), e, f, token)


@njit(**_OPT)
def class_set(e, f, dst):
    """uint8[256] at `dst`: may a byte of each class come next?  Their number, or a code."""
    count = 0
    r = ld64(e, CONF) + f * (CONF_W * 8)
    for k in range(ld64(e, NCLS)):
        n = 0
        for i in range(ld64(r, R_N)):
            n = call5(ld64(e, F_STEP), e, ld64(e, BUF_A), n, ld64(ld64(e, THR), ld64(r, R_AT) + i), k)
            if n < 0:
                return n
        n = only_alive(e, ld64(e, BUF_A), n)
        if n < 0:
            return n
        if n > 0:
            st8(dst, k, 1)
            count += 1
    return count


@njit(**_OPT)
def nexts(e, f, row, out):
    """out[t] := the configuration after each token t set in the row at `row`; 0, or a code."""
    kind = ld64(e, KIND)
    for t in range(ld64(e, N_TOKENS)):
        if ld64(row, t >> 6) >> (t & 63) & 1 and ld8(kind, t) != 2:
            if ld64(out, t) >= 0:
                continue
            r = advance_token(e, f, t)
            if r < DEAD:
                return r
            st64(out, t, r)
    return 0


@njit(**_OPT)
def open_set(e, x, r):
    """Make what open set `x` needs over LR state `r`; the open set that is left, 0, or a code."""
    m = local_of(e, x, r)
    return ld64(ld64(e, LOCALS), m * LOCAL_W + L_NEXT) if m >= 0 else m


@njit(**_OPT)
def prepare(e, jobs, most, most_open):
    """Make what masks will need (see `CfgArena._prepare`); 0 or a code.

    At `jobs`: how far it has come, their number, then for each a lexeme state, an LR
    state, and where the LR states below that one stand (first, behind the last).
    """
    n = ld64(jobs, 1)
    least = ld64(e, FULL) - (ld64(e, FULL) >> 4)     # twice what a programming language takes
    while ld64(jobs, 0) < n and ld64(e, N_LOCALS) + ld64(e, N_PIECE) <= most and ld64(e, FUEL) > least:
        job = jobs + 16 + 32 * ld64(jobs, 0)
        p = root_piece(e, ld64(job, 0))
        if p < 0:
            return p
        s = ld64(ld64(e, PIECE) + p * (PIECE_W * 8), P_CUTS)
        x = open_set(e, CUT_BASE + s, ld64(job, 1)) if s != 0 else 0
        if x < 0:
            return x
        if x != 0:
            for j in range(ld64(job, 2), ld64(job, 3)):
                if ld64(e, N_LOCALS) >= most_open:
                    break
                code = open_set(e, x, ld64(jobs, j))
                if code < 0:
                    return code
        st64(jobs, 0, ld64(jobs, 0) + 1)
    return 0


#: slot -> (function, number of arguments)
NATIVE = {**cfg_stacks.NATIVE, **cfg_threads.NATIVE, **cfg_pieces.NATIVE, **cfg_masks.NATIVE,
          F_TOKEN: (advance_first, 3)}


# ------------------------------------------------------------------ entries
@njit(**_OPT)
def begin(e):
    """Nothing is noted when a kernel starts."""
    for i in range(SP, G_DEPTH + 1):
        st64(e, i, 0)


#: operations of `cfg_call`
(O_ROW, O_ADVANCE, O_TOKEN, O_CAN_END, O_CLASSES, O_SHIFT, O_REHASH_MEMO, O_REHASH_RECORDS, O_STEP, O_INTERN_ONE,
 O_PAIR, O_CONFIGURATION, O_PIECES, O_MEMO_PUT, O_UNION, O_ENDED, O_NEXTS, O_PREPARE, O_GROUPS, O_MAY_END,
 O_RUN, O_MORE_TOKENS, O_CROSS) = range(23)


@njit(**_ENTRY)
def cfg_call(e, op, a, b, c):
    """Operation `op` (O_...): the one entry from Python but for the two below."""
    begin(e)
    if op == O_ROW:
        return call2(ld64(e, F_ROW), e, a)
    if op == O_ADVANCE:
        return call4(ld64(e, F_ADVANCE), e, a, b, c)
    if op == O_TOKEN:
        return advance_token(e, a, b)
    if op == O_CAN_END:
        return can_end(e, a)
    if op == O_CLASSES:
        return class_set(e, a, b)
    if op == O_SHIFT:
        return shift(e, a, b)
    if op == O_REHASH_MEMO:
        return rehash_memo(e, a, b, c)
    if op == O_REHASH_RECORDS:
        return rehash_records(e, a, b, c >> 8, c & 255)
    if op == O_STEP:
        return steps(e, a)
    if op == O_INTERN_ONE:
        return intern_one(e, a << 32 | b)
    if op == O_PAIR:
        return pair_of(e, a, b)
    if op == O_CONFIGURATION:
        return intern_configuration(e, ld64(e, BUF_A), a)
    if op == O_PIECES:
        return child_piece(e, a, b) if b > 0 else root_piece(e, a)
    if op == O_MEMO_PUT:
        return memo_put(e, a, b, c)
    if op == O_UNION:
        return union(e, a, b)
    if op == O_ENDED:
        d = ended(e, a, b)
        return d if d < 0 else pair_of(e, 0, d)
    if op == O_MAY_END:
        return can_end_context(e, a, b)
    if op == O_RUN:
        n = run_text(e, a, b, c)
        return intern_configuration(e, ld64(e, BUF_A), n) if n >= 0 else n
    if op == O_CROSS:
        return cross(e, a)
    if op == O_MORE_TOKENS:
        return more_tokens(e, a, b, c)
    if op == O_GROUPS:
        return group_nodes(e, a, b, c)
    if op == O_PREPARE:
        return prepare(e, a, b, c)
    if op == O_NEXTS:
        return nexts(e, a, b, c)
    return DEAD


@njit(**_ENTRY)
def cfg_fill(e, f, dst, words):
    """Copy the mask of configuration `f` to int32[words] at `dst`; surplus words become 0.  >= 0, or a code."""
    row = ld64(ld64(e, CONF), f * CONF_W + CONF_ROW)
    if row < 0:
        begin(e)
        st64(e, FUEL, ld64(e, FULL))
        row = call2(ld64(e, F_ROW), e, f)
        if row < 0:
            return row
    have = ld64(e, WORDS)
    src = ld64(ld64(e, ROWS), row >> 6) + (row & 63) * (have * 8)
    pairs = words >> 1
    n = pairs if pairs < have else have
    for i in range(n):
        st64(dst, i, ld64(src, i))
    for i in range(2 * n, words):
        st32(dst, i, ld32(src, i) if i < 2 * have else 0)
    return row


@njit(**_ENTRY)
def cfg_begin(e, f, token):
    """The configuration after a token; DEAD or a code."""
    table = ld64(e, ADV)
    i = slot_of(table, ld64(e, M_ADV), f * ld64(e, N_TOKENS) + token)
    if ld64(table, 2 * i) != 0:
        return ld64(table, 2 * i + 1) - 1
    begin(e)
    st64(e, FUEL, ld64(e, FULL))
    return call3(ld64(e, F_TOKEN), e, f, token)


@functools.cache
def natives() -> dict:
    """The kernels that are called through their address, compiled or loaded: slot -> compiled function."""
    out = {}
    with without_collector():
        for slot, (function, arity) in NATIVE.items():
            out[slot] = cfunc(types.int64(*[types.int64] * arity))(function.py_func)
        for entry, arity in ((cfg_call, 5), (cfg_fill, 4), (cfg_begin, 3)):
            entry.compile((types.int64,) * arity)
    return out
