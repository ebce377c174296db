"""Contexts: hash-consed records of what follows a lexeme, sets of them, and their projections.

See :mod:`.stack_kernels`.
"""

from __future__ import annotations

from .jit import njit
from .stack_layout import (
    ARR_AFTER, ARR_START, BITS, CAP_CTX, CAP_KEYS, CAP_MEMBERS, CAP_SETS, CTX, CTX_W, C_A, C_B, C_DEPTH, C_KIND,
    C_PARENT, C_PROJ, DONE, F_CONTEXT, F_UNION, H_BITS, H_CTX, H_KEYS, H_OPS, H_SETS, H_XSETS, KEYS, KEY_BASE,
    KEY_W, K_EXTRA, K_LEFT, K_NAMES, K_SEEN, MEMBERS, MUST_SPACE, M_BITS, M_CTX, M_KEYS, M_OPS, M_SETS, M_XSETS,
    N_BITS, N_CTX, N_KEYS, N_MEMBERS, N_OPS, N_SETS, OBJ_AFTER, OBJ_KEY, OBJ_START, OPS, OP_W, P_CNT, P_OBJ, P_REG,
    P_X, ROOM_CTX, ROOM_KEYS, ROOM_SETS, SETS, SET_BASE, SET_W, S_LEN, S_OFF, S_PROJ, VALUE, WS, WS_MAX, WS_MODE,
    WS_START, _OPT, call3, call5, grow_probe, ld32, ld64, mix, need, np_empty, put_slot, sort_ids, st32, st64)
from .stack_objects import op_projection

#: sha256 of the kernel files compiled into this one; numba's on-disk cache sees only this
#: file, so it must change when one of those does (bench/stamp_kernels.py; a test checks).
DEPENDS_ON = "c16b0df9befc374117dda3c17ab19bf0b19e5cf166bd832633cebf8a1a9d5c45"


@njit(**_OPT)
def rebuild(e):
    """Refill every hash table from its records, after Python has made it larger (and zero)."""
    ctx, table, mask = ld64(e, CTX), ld64(e, H_CTX), ld64(e, M_CTX)
    for i in range(ld64(e, N_CTX)):
        r = ctx + i * (CTX_W * 4)
        slot = mix(mix(mix(ld32(r, C_KIND), ld32(r, C_A)), ld32(r, C_B)), ld32(r, C_PARENT)) & mask
        put_slot(table, slot, mask, i + 1)
    ops, table, mask = ld64(e, OPS), ld64(e, H_OPS), ld64(e, M_OPS)
    for i in range(ld64(e, N_OPS)):
        r = ops + i * (OP_W * 4)
        slot = mix(mix(mix(ld32(r, P_OBJ), ld32(r, P_REG)), ld32(r, P_CNT)), ld32(r, P_X)) & mask
        put_slot(table, slot, mask, i + 1)
    pool, table, mask = ld64(e, BITS), ld64(e, H_BITS), ld64(e, M_BITS)
    off, n = 1, ld64(e, N_BITS)
    while off < n:
        w = ld64(pool, off)
        h = w
        for k in range(w):
            h = mix(h, ld64(pool, off + 1 + k))
        put_slot(table, h & mask, mask, off + 1)
        off += w + 1
    sets, members = ld64(e, SETS), ld64(e, MEMBERS)
    table, mask = ld64(e, H_SETS), ld64(e, M_SETS)
    for i in range(ld64(e, N_SETS)):
        r = sets + i * (SET_W * 4)
        off, n = ld32(r, S_OFF), ld32(r, S_LEN)
        h = n
        for k in range(n):
            h = mix(h, ld32(members, off + k))
        put_slot(table, h & mask, mask, i + 1)
    keys, table, mask = ld64(e, KEYS), ld64(e, H_KEYS), ld64(e, M_KEYS)
    for i in range(ld64(e, N_KEYS)):
        r = keys + i * (KEY_W * 4)
        slot = mix(mix(ld32(r, K_NAMES), ld32(r, K_EXTRA)), ld32(r, K_SEEN)) & mask
        put_slot(table, slot, mask, i + 1)


@njit(**_OPT)
def put_xset(e, x, text, result):
    """Record that set `x` of extra keys with one more text is set `result`."""
    mask, table = ld64(e, M_XSETS), ld64(e, H_XSETS)
    slot = mix(x, text) & mask
    while ld64(table, slot * 3) >= 0:
        slot = (slot + 1) & mask
    st64(table, slot * 3, x)
    st64(table, slot * 3 + 1, text)
    st64(table, slot * 3 + 2, result)


@njit(**_OPT)
def put_context_done(e):
    """Context 0: nothing may follow.  Key record 0 (ANY_KEY): any key far from the declared ones."""
    r = ld64(e, CTX)
    for k in range(CTX_W):
        st32(r, k, 0)
    slot = mix(mix(mix(DONE, 0), 0), 0) & ld64(e, M_CTX)
    st32(ld64(e, H_CTX), slot, 1)
    st64(e, N_CTX, 1)
    key_record(e, -1, 0, -1)
    return 0


@njit(**_OPT)
def find_context(e, kind, a, b, parent):
    """(slot, id) of a context; id -1 when it is not there yet."""
    mask = ld64(e, M_CTX)
    table = ld64(e, H_CTX)
    ctx = ld64(e, CTX)
    slot = mix(mix(mix(kind, a), b), parent) & mask
    while True:
        i = ld32(table, slot)
        if i == 0:
            return slot, -1
        r = ctx + (i - 1) * (CTX_W * 4)
        if ld32(r, C_KIND) == kind and ld32(r, C_A) == a and ld32(r, C_B) == b and ld32(r, C_PARENT) == parent:
            return slot, i - 1
        slot = (slot + 1) & mask


@njit(**_OPT)
def first_context(e, c):
    """A member of context-or-set `c`."""
    if c >= SET_BASE:
        return ld32(ld64(e, MEMBERS), ld32(ld64(e, SETS) + (c - SET_BASE) * (SET_W * 4), S_OFF))
    return c


@njit(**_OPT)
def put_context(e, slot, kind, a, b, parent, proj):
    n = ld64(e, N_CTX)
    depth = ld32(ld64(e, CTX) + first_context(e, parent) * (CTX_W * 4), C_DEPTH)
    if kind == OBJ_START or kind == ARR_START:
        depth += 1
    elif kind == OBJ_KEY or kind == OBJ_AFTER or kind == ARR_AFTER:
        depth += 1
    r = ld64(e, CTX) + n * (CTX_W * 4)
    st32(r, C_KIND, kind)
    st32(r, C_A, a)
    st32(r, C_B, b)
    st32(r, C_PARENT, parent)
    st32(r, C_DEPTH, depth)
    st32(r, C_PROJ, n if proj < 0 else proj)
    st32(ld64(e, H_CTX), slot, n + 1)
    st64(e, N_CTX, n + 1)
    return n


@njit(**_OPT)
def projection(e, c):
    """Context or set `c` with the extra keys of every open object forgotten."""
    if c >= SET_BASE:
        return ld32(ld64(e, SETS) + (c - SET_BASE) * (SET_W * 4), S_PROJ)
    return ld32(ld64(e, CTX) + c * (CTX_W * 4), C_PROJ)


@njit(**_OPT)
def context(e, kind, a, b, parent):
    """Intern a context; also its projection, so that masks can be shared."""
    slot, i = find_context(e, kind, a, b, parent)
    if i >= 0:
        return i
    n = ld64(e, N_CTX)
    if n + 2 > ld64(e, CAP_CTX) or grow_probe(ld64(e, M_CTX), n + 1):
        return need(e, ROOM_CTX, 0, 0)
    a2 = a
    if kind == OBJ_START or kind == OBJ_KEY or kind == OBJ_AFTER:
        a2 = op_projection(e, a)
        if a2 < 0:
            return a2
    p2 = projection(e, parent)
    if a2 == a and p2 == parent:
        return put_context(e, slot, kind, a, b, parent, -1)
    slot2, i2 = find_context(e, kind, a2, b, p2)
    if i2 < 0:
        i2 = put_context(e, slot2, kind, a2, b, p2, -1)
        slot, i = find_context(e, kind, a, b, parent)
    return put_context(e, slot, kind, a, b, parent, i2)


@njit(**_OPT)
def intern_members(e, members, n, proj):
    """Intern a sorted list of context ids as a set."""
    h = n
    for i in range(n):
        h = mix(h, members[i])
    mask, table = ld64(e, M_SETS), ld64(e, H_SETS)
    sets, pool = ld64(e, SETS), ld64(e, MEMBERS)
    slot = h & mask
    while True:
        i = ld32(table, slot)
        if i == 0:
            break
        r = sets + (i - 1) * (SET_W * 4)
        if ld32(r, S_LEN) == n:
            off = ld32(r, S_OFF)
            same = True
            for k in range(n):
                if ld32(pool, off + k) != members[k]:
                    same = False
                    break
            if same:
                return SET_BASE + i - 1
        slot = (slot + 1) & mask
    s, m = ld64(e, N_SETS), ld64(e, N_MEMBERS)
    if s >= ld64(e, CAP_SETS) or m + n > ld64(e, CAP_MEMBERS) or grow_probe(mask, s):
        return need(e, ROOM_SETS, n, 0)
    r = sets + s * (SET_W * 4)
    st32(r, S_OFF, m)
    st32(r, S_LEN, n)
    st32(r, S_PROJ, SET_BASE + s if proj < 0 else proj)
    for k in range(n):
        st32(pool, m + k, members[k])
    st64(e, N_SETS, s + 1)
    st64(e, N_MEMBERS, m + n)
    st32(table, slot, s + 1)
    return SET_BASE + s


@njit(**_OPT)
def expand(e, c, dst, n):
    """Append the members of context-or-set `c` to the int64 list `dst` of length n."""
    if c < SET_BASE:
        dst[n] = c
        return n + 1
    r = ld64(e, SETS) + (c - SET_BASE) * (SET_W * 4)
    off, m = ld32(r, S_OFF), ld32(r, S_LEN)
    for k in range(m):
        dst[n + k] = ld32(ld64(e, MEMBERS), off + k)
    return n + m


@njit(**_OPT)
def size_of(e, c):
    """Number of members of context-or-set `c`."""
    if c < SET_BASE:
        return 1
    return ld32(ld64(e, SETS) + (c - SET_BASE) * (SET_W * 4), S_LEN)


@njit(**_OPT)
def union_of(e, items, n):
    """`union_at` for an array."""
    r = call3(ld64(e, F_UNION), e, items.ctypes.data, n)
    return r if items[0] >= 0 else r        # the array must live until here


@njit(**_OPT)
def union_at(e, items, n):
    """The set of contexts of a list (ids or sets: int64[n] at address `items`).

    Members alike but for their parents are merged into one whose parent is the
    union of theirs: this is what keeps the graph-structured stack small.
    """
    total = 0
    for i in range(n):
        total += size_of(e, ld64(items, i))
    flat = np_empty(total + 1)
    m = 0
    for i in range(n):
        m = expand(e, ld64(items, i), flat, m)
    sort_ids(flat, m)
    k = 0
    for i in range(m):
        if i == 0 or flat[i] != flat[i - 1]:
            flat[k] = flat[i]
            k += 1
    m = k
    if m == 1:
        return flat[0]
    # merge members that differ only in their parents
    ctx = ld64(e, CTX)
    out = np_empty(m)
    used = np_empty(m)
    for i in range(m):
        used[i] = 0
    n_out = 0
    for i in range(m):
        if used[i] != 0:
            continue
        r = ctx + flat[i] * (CTX_W * 4)
        kind, a, b = ld32(r, C_KIND), ld32(r, C_A), ld32(r, C_B)
        parents = np_empty(m)
        parents[0] = ld32(r, C_PARENT)
        k = 1
        for j in range(i + 1, m):
            if used[j] == 0:
                s = ctx + flat[j] * (CTX_W * 4)
                if ld32(s, C_KIND) == kind and ld32(s, C_A) == a and ld32(s, C_B) == b and kind != DONE:
                    used[j] = 1
                    parents[k] = ld32(s, C_PARENT)
                    k += 1
        if k == 1:
            out[n_out] = flat[i]
        else:
            parent = union_of(e, parents, k)
            if parent < 0:
                return parent
            c = call5(ld64(e, F_CONTEXT), e, kind, a, b, parent)
            if c < 0:
                return c
            ctx = ld64(e, CTX)
            out[n_out] = c
        n_out += 1
    if n_out == 1:
        return out[0]
    sort_ids(out, n_out)
    same = True
    proj = np_empty(n_out)
    for i in range(n_out):
        proj[i] = projection(e, out[i])
        if proj[i] != out[i]:
            same = False
    if same:
        return intern_members(e, out, n_out, -1)
    p = union_of(e, proj, n_out)
    if p < 0:
        return p
    return intern_members(e, out, n_out, p)


@njit(**_OPT)
def gap(e, c):
    """The white-space state in which context-or-set `c` starts."""
    r = ld64(e, CTX) + first_context(e, c) * (CTX_W * 4)
    mode = ld64(e, WS_MODE)
    if mode == 0:
        depth = ld32(r, C_DEPTH)
        if depth == 0:
            return WS
        limit = 2 + 8 * depth
        return WS + (limit if limit < WS_MAX else WS_MAX)
    if mode == 3:
        return ld64(e, WS_START) if ld32(r, C_DEPTH) > 0 else WS
    if mode == 2:
        kind = ld32(r, C_KIND)
        if kind == OBJ_KEY or (kind == VALUE and ld32(r, C_B) != 0):
            return MUST_SPACE
    return WS


@njit(**_OPT)
def key_record(e, names, extra, seen):
    """The thread state of a key being read: its place in the three automata."""
    mask, table, keys = ld64(e, M_KEYS), ld64(e, H_KEYS), ld64(e, KEYS)
    slot = mix(mix(names, extra), seen) & mask
    while True:
        i = ld32(table, slot)
        if i == 0:
            break
        r = keys + (i - 1) * (KEY_W * 4)
        if ld32(r, K_NAMES) == names and ld32(r, K_EXTRA) == extra and ld32(r, K_SEEN) == seen:
            return KEY_BASE + i - 1
        slot = (slot + 1) & mask
    n = ld64(e, N_KEYS)
    if n >= ld64(e, CAP_KEYS) or grow_probe(mask, n):
        return need(e, ROOM_KEYS, 0, 0)
    r = keys + n * (KEY_W * 4)
    st32(r, K_NAMES, names)
    st32(r, K_EXTRA, extra)
    st32(r, K_SEEN, seen)
    st32(r, K_LEFT, 0)
    st64(e, N_KEYS, n + 1)
    st32(table, slot, n + 1)
    return KEY_BASE + n
