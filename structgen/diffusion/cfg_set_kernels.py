"""Kernels of what a canvas does with sets of LR stacks: forwards a terminal, backwards what survives it.

Sets are the contexts of :mod:`structgen.automata.cfg_stacks`: hash-consed minimal
automata, read from the top of the stack.  Where holes leave many stacks open such a
set is small, as nearly all of them are alike but for their depth: a hole of k slots
in any JSON makes about k states, where a graph of stacks tied to positions has k^2
edges.

``step(X, y)`` are the stacks after symbol y.  Its *closure* is, for each LR state p
that reductions on y bring to the top, the set D[p] of what can lie below it; items
whose set is part of what is known already are dropped.

``live(X, y, Y)`` tells which stacks of X symbol y takes into Y: recursion over the
reductions.  A set Y *tells* which stacks of X are live if those are the common
ones; what else is in Y does not matter, as long as each state in it lies on one that
can be below it.  So sets are handed back as they are instead of being
intersected, which makes few of them; `touch` asks whether two have a stack in common.

Everything is memoised: one int64 is a key.  Ids of sets have SET_BITS bits.
"""

from __future__ import annotations

import functools

from numba import types

from ..automata import cfg_stacks
from ..automata.cfg_layout import (
    ACT, ALISTS, BLOCK_SIZE, CAP_EVENTS, CAP_WORK, EVENTS, FUEL_OUT, F_INTERN, F_UNION, GOTO, KAPPA, LHS, LOW, NEED_PY,
    NN, NT, N_EVENTS, RES, SIZE, SP, WORK, _ENTRY, _OPT, burn, call3, call4, ld8, ld32, ld64, memo_get, memo_put, need,
    njit, rehash_memo, rehash_records, scratch, slot_of, st64)
from ..automata.cfg_stacks import entries, intern_context, intern_one, looks, put_result, union
from ..automata.jit import cfunc, without_collector

#: sha256 of the kernel files compiled into this one (see stack_kernels.py).
DEPENDS_ON = "1cf5cb40d2f54c2c3c96d32b40268187860837a02bb25b2637368eab8d3a1014"

__all__ = ["step", "live", "touch", "natives", "set_call", "sees", "begin"]

#: bits of the number of a set
SET_BITS = 21
#: slots of the block behind those of the engine: memo tables (address, mask, used), tables, kernels
(STEPS, M_STEPS, N_STEPS, LIVING, M_LIVING, N_LIVING, TOUCHES, M_TOUCHES, N_TOUCHES, KEPT, M_KEPT, N_KEPT,
 REDUCED, M_REDUCED, N_REDUCED, TAKEN, M_TAKEN, N_TAKEN,
 NSYM, SYMBOLS, IN_LEXER, LEXERS, RULES, BELOW, LISTED, N_LISTED, DEPTH_NOW, LOWEST,
 F_STEP_SET, F_LIVE_SET, F_LIVE_ONE, F_TOUCH, F_KEEP) = range(BLOCK_SIZE, BLOCK_SIZE + 33)
BLOCK_WORDS = BLOCK_SIZE + 40
#: no depth of a set that is being looked at
NO_DEPTH = 1 << 40


@njit(**_OPT)
def sees(e, c, terminal):
    """Has some stack of a set an action on a terminal?"""
    return looks(e, c, terminal >> 6) >> (terminal & 63) & 1


@njit(**_OPT)
def selected(e, c, y):
    """The stacks of a set whose lexer knows symbol `y`."""
    at, n = entries(e, c)
    known = ld64(e, IN_LEXER) + y * ld64(e, LEXERS)
    m = 0
    for i in range(n):
        m += ld8(known, ld32(ld64(e, KAPPA), ld64(at, i) >> 32))
    if m == n:
        return c
    if m == 0:
        return 0
    sp = ld64(e, SP)
    out = scratch(e, m)
    if out == 0:
        return NEED_PY
    m = 0
    for i in range(n):
        if ld8(known, ld32(ld64(e, KAPPA), ld64(at, i) >> 32)) != 0:
            st64(out, m, ld64(at, i))
            m += 1
    r = intern_context(e, out, m)
    st64(e, SP, sp)
    return r


@njit(**_OPT)
def below(e, c, state):
    """What lies below `state` on top of the stacks of a set; 0: nothing."""
    at, n = entries(e, c)
    for i in range(n):
        if ld64(at, i) >> 32 == state:
            return ld64(at, i) & LOW
    return 0


# ------------------------------------------------------------------ common stacks
@njit(**_OPT)
def touch_first(e, a, b):
    """`touch` of two sets, neither empty nor 1."""
    if burn(e, 1):
        return FUEL_OUT
    x, nx = entries(e, a)
    y, ny = entries(e, b)
    i, j, r = 0, 0, 0
    while i < nx and j < ny and r == 0:
        s, t = ld64(x, i), ld64(y, j)
        if s >> 32 <= t >> 32:
            i += 1
        if s >> 32 >= t >> 32:
            j += 1
        if s >> 32 == t >> 32:
            r = touch(e, s & LOW, t & LOW)
    if r < 0:
        return r
    code = memo_put(e, TOUCHES, a << 32 | b, r)
    return r if code == 0 else code


@njit(**_OPT)
def touch(e, a, b):
    """Have two sets a stack in common?"""
    if a == b:
        return 1 if a != 0 else 0
    if a > b:
        a, b = b, a
    if a <= 1:
        return 0
    known = memo_get(e, TOUCHES, a << 32 | b)
    return known if known >= 0 else call3(ld64(e, F_TOUCH), e, a, b)


@njit(**_OPT)
def keep_first(e, c, k, s):
    if burn(e, 1):
        return FUEL_OUT
    at, n = entries(e, c)
    sp = ld64(e, SP)
    out = scratch(e, n)
    if out == 0:
        return NEED_PY
    m = 0
    for i in range(n):
        t = ld64(at, i)
        if k > 0:
            r = keep(e, t & LOW, k - 1, s)
        else:
            r = below(e, s, t >> 32)
            found = touch(e, t & LOW, r)
            if found <= 0:
                r = found
        if r < 0:
            return r
        if r > 0:
            st64(out, m, t >> 32 << 32 | r)
            m += 1
    r = intern_context(e, out, m)
    st64(e, SP, sp)
    if r < 0:
        return r
    code = memo_put(e, KEPT, (c << 11 | k) << SET_BITS | s, r)
    return r if code == 0 else code


@njit(**_OPT)
def keep(e, c, k, s):
    """A set that tells which stacks of set `c` lie in `s` once `k` states are taken off."""
    if c == s and k == 0:
        return c
    if c <= 1 or s == 0:
        return 0
    known = memo_get(e, KEPT, (c << 11 | k) << SET_BITS | s)
    return known if known >= 0 else call4(ld64(e, F_KEEP), e, c, k, s)


# ------------------------------------------------------------------ reductions
@njit(**_OPT)
def reduced(e, c, r):
    """Where it stands what rule `r` does, the last state of its right side being off already: how many, and items.

    (Of an empty rule: before anything is pushed.)  An item is the new state and the set below it.
    """
    key = c * ld64(e, RULES) + r
    known = memo_get(e, REDUCED, key)
    if known >= 0:
        return known
    lhs = ld32(ld64(e, LHS), r)
    p = c
    for _ in range(ld32(ld64(e, SIZE), r) - 1):
        at, n = entries(e, p)
        if n == 0:
            p = 0
            break
        p = ld64(at, 0) & LOW
        for i in range(1, n):
            p = union(e, p, ld64(at, i) & LOW)
            if p < 0:
                return p
    at, n = entries(e, p)
    sp = ld64(e, SP)
    room = scratch(e, 3 * n + 1)
    if room == 0:
        return NEED_PY
    part, out = room + 8 * n, room + 16 * n
    goto, nn = ld64(e, GOTO), ld64(e, NN)
    for i in range(n):
        st64(room, i, ld32(goto, (ld64(at, i) >> 32) * nn + lhs))
    found = 0
    for i in range(n):
        g = ld64(room, i)
        if g < 0:
            continue
        m = 0
        for j in range(i, n):
            if ld64(room, j) == g:
                st64(part, m, ld64(at, j))
                st64(room, j, -1)
                m += 1
        sub = p if m == n else intern_context(e, part, m)
        if sub < 0:
            return sub
        st64(out, found, g << 32 | sub)
        found += 1
    where = ld64(e, N_EVENTS)
    if where + found + 1 > ld64(e, CAP_EVENTS):
        return need(e, EVENTS, found + 1, 0)
    events = ld64(e, EVENTS)
    st64(events, where, found)
    for i in range(found):
        st64(events, where + 1 + i, ld64(out, i))
    st64(e, SP, sp)
    code = memo_put(e, REDUCED, key, where)
    if code < 0:
        return code
    st64(e, N_EVENTS, where + found + 1)
    return where


@njit(**_OPT)
def put_item(e, n, item):
    """Add an item to the closure unless it is part of what is known; the number of items."""
    state, s = item >> 32, item & LOW
    known = ld64(ld64(e, BELOW), state)
    both = s
    if known == 0:
        st64(ld64(e, LISTED), ld64(e, N_LISTED), state)
        st64(e, N_LISTED, ld64(e, N_LISTED) + 1)
    else:
        both = union(e, known, s)
        if both < 0 or both == known:
            return n if both >= 0 else both
    if n >= ld64(e, CAP_WORK):
        return need(e, WORK, 0, 0)
    if burn(e, 1):
        return FUEL_OUT
    st64(ld64(e, BELOW), state, both)
    st64(ld64(e, WORK), n, item)
    return n + 1


@njit(**_OPT)
def closure(e, c, y):
    """BELOW[p] for the states in LISTED: what reductions on symbol `y` make of the stacks of `c`; 0, or a code."""
    for i in range(ld64(e, N_LISTED)):
        st64(ld64(e, BELOW), ld64(ld64(e, LISTED), i), 0)
    st64(e, N_LISTED, 0)
    act, width, lists = ld64(e, ACT), ld64(e, NT) + 1, ld64(e, ALISTS)
    a = ld32(ld64(e, SYMBOLS), y)
    at, k = entries(e, c)
    n = 0
    for i in range(k):
        n = put_item(e, n, ld64(at, i))
        if n < 0:
            return n
    i = 0
    while i < n:
        item = ld64(ld64(e, WORK), i)
        i += 1
        action = ld32(act, (item >> 32) * width + a)
        many, where = 1, 0
        if action < 0:
            where = -1 - action
            many = ld32(lists, where)
        for m in range(many):
            if where > 0:
                action = ld32(lists, where + 1 + m)
            if action == 0 or action & 1:
                continue
            rule = (action >> 1) - 1
            s = item & LOW
            if ld32(ld64(e, SIZE), rule) == 0:
                s = intern_one(e, item)
                if s < 0:
                    return s
            found = reduced(e, s, rule)
            if found < 0:
                return found
            for j in range(ld64(ld64(e, EVENTS), found)):
                n = put_item(e, n, ld64(ld64(e, EVENTS), found + 1 + j))
                if n < 0:
                    return n
    return 0


@njit(**_OPT)
def step_first(e, c, y):
    a = ld32(ld64(e, SYMBOLS), y)
    r = selected(e, c, y)
    if r > 0 and a >= 0:                      # not ignored
        if sees(e, r, a) == 0:
            r = 0
        else:
            code = closure(e, r, y)
            if code < 0:
                return code
            act, width, lists = ld64(e, ACT), ld64(e, NT) + 1, ld64(e, ALISTS)
            found = 0
            for i in range(ld64(e, N_LISTED)):
                p = ld64(ld64(e, LISTED), i)
                action = ld32(act, p * width + a)
                many, where = 1, 0
                if action < 0:
                    where = -1 - action
                    many = ld32(lists, where)
                for m in range(many):
                    if where > 0:
                        action = ld32(lists, where + 1 + m)
                    if action & 1:
                        one = intern_one(e, p << 32 | ld64(ld64(e, BELOW), p))
                        if one < 0:
                            return one
                        found = put_result(e, found, action >> 1, one)
                        if found < 0:
                            return found
            r = intern_context(e, ld64(e, RES), found)
    if r < 0:
        return r
    code = memo_put(e, STEPS, c * ld64(e, NSYM) + y, r)
    return r if code == 0 else code


@njit(**_OPT)
def step(e, c, y):
    """The stacks of a set after symbol `y`; 0: it cannot come."""
    known = memo_get(e, STEPS, c * ld64(e, NSYM) + y)
    return known if known >= 0 else call3(ld64(e, F_STEP_SET), e, c, y)


# ------------------------------------------------------------------ backwards
@njit(**_OPT)
def live_below(e, entry, y, after):
    """What tells which of the stacks below the state of an entry are live."""
    p, c = entry >> 32, entry & LOW
    lists = ld64(e, ALISTS)
    action = ld32(ld64(e, ACT), p * (ld64(e, NT) + 1) + ld32(ld64(e, SYMBOLS), y))
    many, where = 1, 0
    if action < 0:
        where = -1 - action
        many = ld32(lists, where)
    out = 0
    for m in range(many):
        if where > 0:
            action = ld32(lists, where + 1 + m)
        if action == 0:
            continue
        off, s = 0, 0
        if action & 1:
            s = below(e, below(e, after, action >> 1), p)
        else:
            rule = (action >> 1) - 1
            size = ld32(ld64(e, SIZE), rule)
            on = c
            if size == 0:
                on = intern_one(e, entry)
                if on < 0:
                    return on
            found = reduced(e, on, rule)
            if found < 0:
                return found
            for j in range(ld64(ld64(e, EVENTS), found)):
                item = ld64(ld64(e, EVENTS), found + 1 + j)
                one = intern_one(e, item)
                if one < 0:
                    return one
                r = lives(e, one, y, after)
                if r > 0:
                    r = union(e, s, below(e, r, item >> 32))
                    s = r
                if r < 0:
                    return r
            if size == 0:
                s = below(e, s, p)
            else:
                off = size - 1
        s = keep(e, c, off, s)
        if s > 0:
            out = union(e, out, s)
        if min(s, out) < 0:
            return min(s, out)
    return out


@njit(**_OPT)
def live_one(e, c, y, after):
    """`lives` where it is not known yet.

    Unit rules may form cycles: a set that is being looked at has the mark -2 - depth
    in the table, and counts as dead where it is met again.  What has been found
    meanwhile is not known for good before the set that a cycle leads back to is.
    """
    key = (c * ld64(e, NSYM) + y) << SET_BITS | after
    if burn(e, 1):
        return FUEL_OUT
    known = memo_get(e, LIVING, key)
    if known < -1:
        st64(e, LOWEST, min(ld64(e, LOWEST), -2 - known))
        return 0
    depth, lowest = ld64(e, DEPTH_NOW), ld64(e, LOWEST)
    code = memo_put(e, LIVING, key, -2 - depth)
    if code < 0:
        return code
    st64(e, DEPTH_NOW, depth + 1)
    st64(e, LOWEST, NO_DEPTH)
    at, n = entries(e, c)
    t = ld64(at, 0)
    r = live_below(e, t, y, after)
    if r > 0:
        r = intern_one(e, t >> 32 << 32 | r)
    low = ld64(e, LOWEST)
    st64(e, DEPTH_NOW, depth)
    st64(e, LOWEST, min(lowest, low) if low < depth else lowest)
    # over the mark, whether or not the table is full by now
    table = ld64(e, LIVING)
    st64(table, 2 * slot_of(table, ld64(e, M_LIVING), key) + 1, r if r >= 0 and low >= depth else -1)
    return r


@njit(**_OPT)
def lives(e, c, y, after):
    """`live` of a set with one state on top, whether or not its lexer knows the symbol: reductions may be done."""
    known = memo_get(e, LIVING, (c * ld64(e, NSYM) + y) << SET_BITS | after)
    return known if known >= 0 else call4(ld64(e, F_LIVE_ONE), e, c, y, after)


@njit(**_OPT)
def live_first(e, c, y, after):
    r = selected(e, c, y)
    if r < 0:
        return r
    if r > 0 and ld32(ld64(e, SYMBOLS), y) < 0:
        return keep(e, r, 0, after)
    at, n = entries(e, r)
    sp = ld64(e, SP)
    out = scratch(e, n)
    if out == 0:
        return NEED_PY
    m = 0
    for i in range(n):
        one = intern_one(e, ld64(at, i))
        if one > 0:
            one = lives(e, one, y, after)
            if one > 0:
                st64(out, m, ld64(entries(e, one)[0], 0))
                m += 1
        if one < 0:
            return one
    r = intern_context(e, out, m)
    st64(e, SP, sp)
    if r < 0:
        return r
    code = memo_put(e, TAKEN, (c * ld64(e, NSYM) + y) << SET_BITS | after, r)
    return r if code == 0 else code


@njit(**_OPT)
def live(e, c, y, after):
    """A set that tells which stacks of set `c` symbol `y` takes into those that `after` tells; 0: none."""
    if c == 0 or after == 0:
        return 0
    known = memo_get(e, TAKEN, (c * ld64(e, NSYM) + y) << SET_BITS | after)
    return known if known >= 0 else call4(ld64(e, F_LIVE_SET), e, c, y, after)


#: slot -> (function, number of arguments)
NATIVE = {slot: cfg_stacks.NATIVE[slot] for slot in (F_INTERN, F_UNION)}
NATIVE |= {F_TOUCH: (touch_first, 3), F_KEEP: (keep_first, 4), F_STEP_SET: (step_first, 3),
           F_LIVE_SET: (live_first, 4), F_LIVE_ONE: (live_one, 4)}

O_STEP, O_REHASH_MEMO, O_REHASH_RECORDS, O_INTERN_ONE = range(4)


@njit(**_OPT)
def begin(e):
    """Nothing is noted when a kernel starts."""
    st64(e, SP, 0)
    st64(e, DEPTH_NOW, 0)
    st64(e, LOWEST, NO_DEPTH)


@njit(**_ENTRY)
def set_call(e, op, a, b, c):
    """Operation `op` (O_...): the entry from Python for what is not the pass over a canvas."""
    begin(e)
    if op == O_REHASH_MEMO:
        return rehash_memo(e, a, b, c)
    if op == O_REHASH_RECORDS:
        return rehash_records(e, a, b, c, 2)
    if op == O_INTERN_ONE:
        return intern_one(e, a << 32 | b)
    return step(e, a, b)


@functools.cache
def natives() -> dict:
    """The kernels that are called through their address, compiled or loaded: slot -> compiled function."""
    out = {}
    with without_collector():
        for slot, (function, arity) in NATIVE.items():
            out[slot] = cfunc(types.int64(*[types.int64] * arity))(function.py_func)
    return out
