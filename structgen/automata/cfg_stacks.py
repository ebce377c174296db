"""Kernels of sets of LR stacks: interning, union, shift with all its reductions.

A *context* is a set of LR stacks: at most one entry (LR state, context below)
for each LR state on top, sorted, hash-consed.  That is the minimal automaton of
the set of stacks read from the top, so equal sets have equal ids, alternatives
share whatever they have in common, and a deterministic stretch is a chain.
Context 0 is the empty set, 1 the empty stack.  `shift` (context, terminal) ->
context follows every reduction and is memoised.

The *hole* is an LR state without actions that stands for an unknown rest of the
stack.  A shift that reduces into it notes *events*: (j, A) says "below the hole
take j states off, then reduce to A".
"""

from __future__ import annotations

from .cfg_layout import (
    ACT, ALISTS, CAP_EVENTS, CAP_RES, CAP_WORK, CTX, CTX_W, C_HOLE, ENT, EVENTS, FUEL_OUT, F_INTERN, F_SHIFT,
    F_SUBST, F_UNION, GOTO, HOLE_STATE, H_CTX, KAPPA, LHS, LOOK, LOW, MOST_EVENTS, NEED_PY, NN, NT, N_CTX, N_EVENTS,
    N_SEVENTS, ONE, RES, R_AT, R_N, SHIFT, SIZE, SP, SUBST, S_EVENTS, TWORDS, UNION, WORK, _OPT, burn, call3, call7,
    find_or_add, ld32, ld64, memo_get, memo_put, need, njit, scratch, st64)

#: sha256 of the kernel files compiled into this one (see stack_kernels.py).
DEPENDS_ON = "6401b25d4d93ba4ce935c75e63a5d4945501aa883206a09d0b7cbf0bf0ca6935"


@njit(**_OPT)
def entries(e, c):
    """(address of the entries of a context, their number)."""
    r = ld64(e, CTX) + c * (CTX_W * 8)
    return ld64(e, ENT) + ld64(r, R_AT) * 8, ld64(r, R_N)


@njit(**_OPT)
def intern_context(e, src, n):
    """The context of `n` entries (state << 32 | below), sorted, at address `src`."""
    if n == 0:
        return 0
    fresh = ld64(e, N_CTX)
    k = call7(ld64(e, F_INTERN), e, CTX, ENT, H_CTX, CTX_W, src, n)
    if k == fresh:
        hole = 0
        for i in range(n):
            t = ld64(src, i)
            if t >> 32 == ld64(e, HOLE_STATE) or ld64(ld64(e, CTX), (t & LOW) * CTX_W + C_HOLE) != 0:
                hole = 1
        st64(ld64(e, CTX), k * CTX_W + C_HOLE, hole)
    return k


@njit(**_OPT)
def intern_one(e, entry):
    """The context of one entry."""
    st64(e, ONE, entry)
    return intern_context(e, e + 8 * ONE, 1)


@njit(**_OPT)
def looks(e, c, w):
    """Word `w` of the terminals that have an action in a context."""
    at, n = entries(e, c)
    look, words = ld64(e, LOOK), ld64(e, TWORDS)
    out = 0
    for i in range(n):
        out |= ld64(look, (ld64(at, i) >> 32) * words + w)
    return out


@njit(**_OPT)
def kappa_of(e, c):
    """The number of the lexer for a context."""
    at, n = entries(e, c)
    return ld32(ld64(e, KAPPA), ld64(at, 0) >> 32) if n > 0 else 0


# ------------------------------------------------------------------ union
@njit(**_OPT)
def union_frame(e, a, b, parent):
    """A frame for uniting two contexts: parent, key, i, j, n, scratch before; then the entries. 0: no room."""
    sp = ld64(e, SP)
    frame = scratch(e, 6 + ld64(ld64(e, CTX), a * CTX_W + R_N) + ld64(ld64(e, CTX), b * CTX_W + R_N))
    if frame != 0:
        st64(frame, 0, parent)
        st64(frame, 1, a << 32 | b)
        for i in range(2, 5):
            st64(frame, i, 0)
        st64(frame, 5, sp)
    return frame


@njit(**_OPT)
def unite(e, a, b):
    """`union` of two contexts, the first the smaller number.  (Recursive by nature, which numba cannot cache.)"""
    known = memo_get(e, UNION, a << 32 | b)
    if known >= 0:
        return known
    frame = union_frame(e, a, b, 0)
    below = -9
    while frame != 0:
        key = ld64(frame, 1)
        x, nx = entries(e, key >> 32)
        y, ny = entries(e, key & LOW)
        i, j, n = ld64(frame, 2), ld64(frame, 3), ld64(frame, 4)
        out = frame + 48
        inner = 0
        while i < nx or j < ny:
            if j == ny or i < nx and ld64(x, i) >> 32 < ld64(y, j) >> 32:
                st64(out, n, ld64(x, i))
                i += 1
            elif i == nx or ld64(x, i) >> 32 > ld64(y, j) >> 32:
                st64(out, n, ld64(y, j))
                j += 1
            else:
                a, b = ld64(x, i) & LOW, ld64(y, j) & LOW
                if below < 0:
                    if a == b:
                        below = a
                    else:
                        if a > b:
                            a, b = b, a
                        below = memo_get(e, UNION, a << 32 | b) if a > 0 else b
                if below < 0:
                    st64(frame, 2, i)
                    st64(frame, 3, j)
                    st64(frame, 4, n)
                    inner = union_frame(e, a, b, frame)
                    if inner == 0:
                        return NEED_PY
                    break
                st64(out, n, ld64(x, i) >> 32 << 32 | below)
                below = -9
                i += 1
                j += 1
            n += 1
        if inner != 0:
            if burn(e, 8):
                return FUEL_OUT
            frame = inner
            continue
        r = intern_context(e, out, n)
        if r < 0:
            return r
        code = memo_put(e, UNION, key, r)
        if code < 0:
            return code
        st64(e, SP, ld64(frame, 5))
        frame = ld64(frame, 0)
        if frame == 0:
            return r
        below = r
    return NEED_PY


@njit(**_OPT)
def union(e, a, b):
    """The union of two contexts."""
    if a == b or b == 0:
        return a
    if a == 0:
        return b
    return call3(ld64(e, F_UNION), e, min(a, b), max(a, b))


# ------------------------------------------------------------------ shift
@njit(**_OPT)
def put_event(e, j, lhs):
    """Note that a reduction to `lhs` takes `j` states off below the hole."""
    item = j << 14 | lhs
    at, n = ld64(e, S_EVENTS), ld64(e, N_SEVENTS)
    for i in range(n):
        if ld64(at, i) == item:
            return
    if n < MOST_EVENTS:
        st64(at, n, item)
    st64(e, N_SEVENTS, n + 1)


@njit(**_OPT)
def pop(e, c, n, lhs):
    """What lies below `n` states of a context, on the way to a reduction to `lhs`."""
    while n > 0:
        at, k = entries(e, c)
        if k == 0:
            return 0
        if ld64(at, k - 1) >> 32 == ld64(e, HOLE_STATE):
            put_event(e, n, lhs)
        c = ld64(at, 0) & LOW
        for i in range(1, k):
            c = union(e, c, ld64(at, i) & LOW)
            if c < 0:
                return c
        n -= 1
    return c


@njit(**_OPT)
def push_work(e, n, item):
    """Add `item` to the work list unless it is there; the new length."""
    work = ld64(e, WORK)
    for i in range(n):
        if ld64(work, i) == item:
            return n
    if n >= ld64(e, CAP_WORK):
        return need(e, WORK, 0, 0)
    if burn(e, 1 + (n >> 4)):
        return FUEL_OUT
    st64(work, n, item)
    return n + 1


@njit(**_OPT)
def reduce_to(e, n, p, lhs):
    """Push, on each stack of `p`, the state after `lhs`: entries for the work list; its new length."""
    goto, nn = ld64(e, GOTO), ld64(e, NN)
    at, k = entries(e, p)
    if k == 0:
        return n
    if ld64(at, k - 1) >> 32 == ld64(e, HOLE_STATE):
        put_event(e, 0, lhs)
    if k == 1:
        g = ld32(goto, (ld64(at, 0) >> 32) * nn + lhs)
        return push_work(e, n, g << 32 | p) if g >= 0 else n
    first = -2
    same = True
    for i in range(k):
        g = ld32(goto, (ld64(at, i) >> 32) * nn + lhs)
        if first == -2:
            first = g
        elif g != first:
            same = False
    if same:
        return push_work(e, n, first << 32 | p) if first >= 0 else n
    sp = ld64(e, SP)
    part = scratch(e, k)
    if part == 0:
        return NEED_PY
    for i in range(k):
        g = ld32(goto, (ld64(at, i) >> 32) * nn + lhs)
        if g < 0:
            continue
        m = 0
        fresh = True
        for j in range(k):
            if ld32(goto, (ld64(at, j) >> 32) * nn + lhs) == g:
                if j < i:
                    fresh = False
                    break
                st64(part, m, ld64(at, j))
                m += 1
        if fresh:
            sub = intern_context(e, part, m)
            if sub < 0:
                return sub
            n = push_work(e, n, g << 32 | sub)
            if n < 0:
                return n
    st64(e, SP, sp)
    return n


@njit(**_OPT)
def put_result(e, n, state, below):
    """Add a shifted state to the results, sorted by state; the new number."""
    res = ld64(e, RES)
    i = 0
    while i < n and ld64(res, i) >> 32 < state:
        i += 1
    if i < n and ld64(res, i) >> 32 == state:
        both = union(e, ld64(res, i) & LOW, below)
        if both < 0:
            return both
        st64(res, i, state << 32 | both)
        return n
    if n >= ld64(e, CAP_RES):
        return need(e, RES, 0, 0)
    for j in range(n, i, -1):
        st64(res, j, ld64(res, j - 1))
    st64(res, i, state << 32 | below)
    return n + 1


@njit(**_OPT)
def shift_new(e, c, a):
    act, width = ld64(e, ACT), ld64(e, NT) + 1
    goto, nn, lhs, size = ld64(e, GOTO), ld64(e, NN), ld64(e, LHS), ld64(e, SIZE)
    at, k = entries(e, c)
    if k == 1:
        # one stack: reductions need no table
        entry = ld64(at, 0)
        steps = 0
        units = 0                             # in a row; more than there are rules means a cycle
        while units <= nn:
            action = ld32(act, (entry >> 32) * width + a)
            if action == 0:
                return 0
            if action < 0:
                break
            if action & 1:
                below = intern_one(e, entry)
                if below < 0:
                    return below
                return intern_one(e, action >> 1 << 32 | below)
            rule = (action >> 1) - 1
            n = ld32(size, rule)
            units = units + 1 if n == 1 else 0
            if n == 0:
                p = intern_one(e, entry)
                if p < 0:
                    return p
            else:
                p = pop(e, entry & LOW, n - 1, ld32(lhs, rule))
                if p < 0:
                    return p
            at, k = entries(e, p)
            if k == 0:
                return 0
            if k != 1:
                break
            if ld64(at, 0) >> 32 == ld64(e, HOLE_STATE):
                put_event(e, 0, ld32(lhs, rule))
                return 0
            g = ld32(goto, (ld64(at, 0) >> 32) * nn + ld32(lhs, rule))
            if g < 0:
                return 0
            entry = g << 32 | p
            steps += 1
            if steps & 63 == 0 and burn(e, 64):
                return FUEL_OUT
        n = push_work(e, 0, entry)
    else:
        n = 0
        for i in range(k):
            n = push_work(e, n, ld64(at, i))
            if n < 0:
                return n
    if n < 0:
        return n
    lists = ld64(e, ALISTS)
    found = 0
    i = 0
    while i < n:
        entry = ld64(ld64(e, WORK), i)
        i += 1
        action = ld32(act, (entry >> 32) * width + a)
        if action == 0:
            continue
        many = 1
        where = 0
        if action < 0:
            where = -1 - action
            many = ld32(lists, where)
        for m in range(many):
            if where > 0:
                action = ld32(lists, where + 1 + m)
            if action & 1:
                below = intern_one(e, entry)
                if below < 0:
                    return below
                found = put_result(e, found, action >> 1, below)
                if found < 0:
                    return found
                continue
            rule = (action >> 1) - 1
            z = ld32(size, rule)
            if z == 0:
                p = intern_one(e, entry)
            else:
                p = pop(e, entry & LOW, z - 1, ld32(lhs, rule))
            if p < 0:
                return p
            n = reduce_to(e, n, p, ld32(lhs, rule))
            if n < 0:
                return n
    return intern_context(e, ld64(e, RES), found)


@njit(**_OPT)
def shift_first(e, c, a):
    """`shift_open` where it is not known yet."""
    st64(e, N_SEVENTS, 0)
    r = shift_new(e, c, a)
    if r < 0:
        return r
    n = ld64(e, N_SEVENTS)
    if n > 0:
        if n > MOST_EVENTS:
            return FUEL_OUT
        at = ld64(e, N_EVENTS)
        if at + n + 1 > ld64(e, CAP_EVENTS):
            return need(e, EVENTS, n + 1, 0)
        st64(ld64(e, EVENTS), at, n)
        for i in range(n):
            st64(ld64(e, EVENTS), at + 1 + i, ld64(ld64(e, S_EVENTS), i))
        r |= (at + 1) << 32
    code = memo_put(e, SHIFT, c * (ld64(e, NT) + 1) + a, r)
    if code < 0:
        return code
    if n > 0:
        st64(e, N_EVENTS, at + n + 1)
    return r


@njit(**_OPT)
def shift_open(e, c, a):
    """The context after terminal `a` (0: none), and above bit 32, plus one, where its events stand."""
    known = memo_get(e, SHIFT, c * (ld64(e, NT) + 1) + a)
    return known if known >= 0 else call3(ld64(e, F_SHIFT), e, c, a)


@njit(**_OPT)
def shift(e, c, a):
    """The context after terminal `a`; 0 if it cannot come.  For contexts without holes."""
    return shift_open(e, c, a)


# ------------------------------------------------------------------ filling the hole
@njit(**_OPT)
def fill_hole(e, c, p):
    """`substitute` where there is a hole and the result is not known yet."""
    hole = ld64(e, HOLE_STATE)
    sp = ld64(e, SP)
    # a stack of contexts to do; what lies below has a smaller number, so this ends
    depth = 1
    top = scratch(e, 1)
    if top == 0:
        return NEED_PY
    st64(top, 0, c)
    while depth > 0:
        now = ld64(top, 0)
        at, n = entries(e, now)
        missing = 0
        for i in range(n):
            t = ld64(at, i)
            b = t & LOW
            if t >> 32 != hole and ld64(ld64(e, CTX), b * CTX_W + C_HOLE) != 0 and memo_get(e, SUBST, b << 32 | p) < 0:
                missing = b
                break
        if missing != 0:
            top = scratch(e, 1)
            if top == 0:
                return NEED_PY
            st64(top, 0, missing)
            depth += 1
            continue
        keep = ld64(e, SP)
        out = scratch(e, n)
        if out == 0:
            return NEED_PY
        m = 0
        open_ = False
        for i in range(n):
            t = ld64(at, i)
            b = t & LOW
            if t >> 32 == hole:
                open_ = True
                continue
            if ld64(ld64(e, CTX), b * CTX_W + C_HOLE) != 0:
                b = memo_get(e, SUBST, b << 32 | p)
            st64(out, m, t >> 32 << 32 | b)
            m += 1
        r = intern_context(e, out, m)
        if r >= 0 and open_:
            r = union(e, r, p)
        if r < 0:
            return r
        code = memo_put(e, SUBST, now << 32 | p, r)
        if code < 0:
            return code
        depth -= 1
        st64(e, SP, keep - 1)
        top -= 8
    st64(e, SP, sp)
    return memo_get(e, SUBST, c << 32 | p)


@njit(**_OPT)
def substitute(e, c, p):
    """Context `c` with `p` in place of the hole."""
    if ld64(ld64(e, CTX), c * CTX_W + C_HOLE) == 0:
        return c
    known = memo_get(e, SUBST, c << 32 | p)
    return known if known >= 0 else call3(ld64(e, F_SUBST), e, c, p)


#: slot -> (function, number of arguments)
NATIVE = {F_INTERN: (find_or_add, 7), F_UNION: (unite, 3), F_SHIFT: (shift_first, 3), F_SUBST: (fill_hole, 3)}
