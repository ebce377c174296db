"""Object positions: which keys may come next such that the object can still be completed.

See :mod:`.stack_kernels`.  A position is a record (object, register, count,
undeclared keys seen); what is allowed there is worked out once, when it is interned.
"""

from __future__ import annotations

from .jit import njit
from .stack_layout import (
    BITS, CAP_BITS, CAP_OPS, EXTRA_SEEN, F_OP, HALF, H_BITS, H_OPS, M_BITS, M_OPS, NEED_CLASSES, N_BITS, N_OPS, OBJ,
    OBJ_W, OPOOL, OPS, OP_W, O_BITSET, O_CAP, O_CLAUSES, O_DEPS, O_EXTRA_SIZE, O_HAS_EXTRA, O_LIVE, O_MAX, O_MIN,
    O_N, O_NEXT, O_ORDERED, O_POS, O_RANK, O_REQ, O_SUFFIX, O_WORDS, PACK, P_ALLOWED, P_CLOSE, P_CNT, P_EXT, P_OBJ,
    P_PROJ, P_REG, P_X, Q_COST, Q_EXTRA_WAYS, Q_K, Q_NAMES, Q_VARIANTS, ROOM_BITS, ROOM_OPS, XSETS, X_W, _OPT,
    call5, grow_probe, ld32, ld64, mix, need, np_empty, popcount, st32, st64)

#: sha256 of the kernel files compiled into this one; numba's on-disk cache sees only this
#: file, so it must change when one of those does (bench/stamp_kernels.py; a test checks).
DEPENDS_ON = "dff703cc7d5f23ea4f0458e83624e058a2e8d62db766e8508dba812559720cd8"


@njit(**_OPT)
def intern_bits(e, src, w):
    """Intern `w` words at address `src`; returns their offset in the pool."""
    h = w
    for i in range(w):
        h = mix(h, ld64(src, i))
    mask = ld64(e, M_BITS)
    table = ld64(e, H_BITS)
    pool = ld64(e, BITS)
    slot = h & mask
    while True:
        off = ld32(table, slot)
        if off == 0:
            break
        if ld64(pool, off - 1) == w:
            same = True
            for i in range(w):
                if ld64(pool, off + i) != ld64(src, i):
                    same = False
                    break
            if same:
                return off
        slot = (slot + 1) & mask
    n = ld64(e, N_BITS)
    if n + w + 1 > ld64(e, CAP_BITS) or (n << 1) > mask:
        return need(e, ROOM_BITS, w, 0)
    st64(pool, n, w)
    for i in range(w):
        st64(pool, n + 1 + i, ld64(src, i))
    st32(table, slot, n + 1)
    st64(e, N_BITS, n + 1 + w)
    return n + 1


@njit(**_OPT)
def missing_after(e, o, seen, extra_bits, dst):
    """dst := required names (with dependencies) not in seen; returns their number.

    `extra_bits` is the address of one more closure to count as required, or 0.
    """
    w = ld64(o, O_WORDS)
    pool = ld64(e, OPOOL)
    req = pool + ld64(o, O_REQ) * 8
    for i in range(w):
        v = ld64(req, i)
        if extra_bits != 0:
            v |= ld64(extra_bits, i)
        st64(dst, i, v)
    deps = ld64(o, O_DEPS)
    if deps >= 0:
        for i in range(w):
            word = ld64(seen, i)
            while word != 0:
                low = word & -word
                r = (i << 6) + popcount(low - 1)
                word ^= low
                d = ld64(pool, deps + r)
                if d >= 0:
                    for k in range(w):
                        st64(dst, k, ld64(dst, k) | ld64(pool, d + k))
    total = 0
    for i in range(w):
        v = ld64(dst, i) & ~ld64(seen, i)
        st64(dst, i, v)
        total += popcount(v)
    return total


@njit(**_OPT)
def fill_ordered(e, o, p, cnt, x, dst):
    """Allowed next keys of an ordered object at position p; returns ext | close << 1."""
    pool = ld64(e, OPOOL)
    n, w = ld64(o, O_N), ld64(o, O_WORDS)
    for i in range(w):
        st64(dst, i, 0)
    lo, hi = ld64(o, O_MIN), ld64(o, O_MAX)
    suffix, nxt, rank, live = ld64(o, O_SUFFIX), ld64(o, O_NEXT), ld64(o, O_RANK), ld64(o, O_LIVE)
    left = -1
    if ld64(o, O_HAS_EXTRA) != 0:
        left = ld64(o, O_EXTRA_SIZE)
        if left < 0:
            left = 1 << 40
        else:
            left -= ld32(ld64(e, XSETS), x * X_W + 1)
    more = left if left > 0 else 0
    k = p
    last = ld64(pool, nxt + p)
    while k <= last and k < n:
        r = ld64(pool, rank + k)
        if (ld64(pool, live + (r >> 6)) >> (r & 63)) & 1:
            s = ld64(pool, suffix + k + 1)
            if (hi < 0 or cnt + 1 + (s & HALF) <= hi) and cnt + 1 + (s // PACK) + more >= lo:
                st64(dst, r >> 6, ld64(dst, r >> 6) | (1 << (r & 63)))
        k += 1
    required = ld64(pool, suffix + p) & HALF
    ext = 0
    if left > 0 and required == 0 and (hi < 0 or cnt + 1 <= hi) and cnt + left >= lo:
        ext = 1
    close = 2 if required == 0 and cnt >= lo else 0
    return ext | close


@njit(**_OPT)
def fill_bitset(e, o, seen, cnt, x, dst):
    """The same for a register that is a bitset of the keys seen (address `seen`)."""
    pool = ld64(e, OPOOL)
    n, w = ld64(o, O_N), ld64(o, O_WORDS)
    lo, hi = ld64(o, O_MIN), ld64(o, O_MAX)
    live = pool + ld64(o, O_LIVE) * 8
    deps = ld64(o, O_DEPS)
    ordered = ld64(o, O_ORDERED)
    pos, suffix = ld64(o, O_POS), ld64(o, O_SUFFIX)
    tmp = dst + w * 8
    m = missing_after(e, o, seen, 0, tmp)
    close = 2 if m == 0 and cnt >= lo else 0
    left = 0
    if ld64(o, O_HAS_EXTRA) != 0:
        left = ld64(o, O_EXTRA_SIZE)
        if left < 0:
            left = 1 << 40
        else:
            left -= ld32(ld64(e, XSETS), x * X_W + 1)
    after = 0
    if ordered != 0:
        for i in range(w):
            word = ld64(seen, i)
            while word != 0:
                low = word & -word
                r = (i << 6) + popcount(low - 1)
                word ^= low
                if ld64(pool, pos + r) >= after:
                    after = ld64(pool, pos + r) + 1
        if x != 0:
            after = n
    for i in range(w):
        st64(dst, i, ld64(live, i) & ~ld64(seen, i))
    simple = deps < 0 and ordered == 0
    if simple:
        if hi >= 0 and cnt + 1 + m > hi:
            for i in range(w):
                st64(dst, i, ld64(dst, i) & ld64(tmp, i))
    else:
        tmp2 = tmp + w * 8
        for i in range(w):
            word = ld64(dst, i)
            while word != 0:
                low = word & -word
                r = (i << 6) + popcount(low - 1)
                word ^= low
                here = ld64(pool, pos + r)
                d = ld64(pool, deps + r) if deps >= 0 else -1
                m2 = missing_after(e, o, seen, pool + d * 8 if d >= 0 else 0, tmp2)
                if (ld64(tmp2, i) & low) != 0:
                    m2 -= 1
                ok = hi < 0 or cnt + 1 + m2 <= hi
                if ordered != 0 and ok:
                    if here < after or cnt + 1 + (ld64(pool, suffix + here + 1) // PACK) + left < lo:
                        ok = False
                    for j in range(w):
                        v = ld64(tmp2, j)
                        while v != 0:
                            lv = v & -v
                            rr = (j << 6) + popcount(lv - 1)
                            v ^= lv
                            if rr != r and (ld64(pool, pos + rr) < here or (ld64(live, j) & lv) == 0):
                                ok = False
                if deps >= 0 and ok:
                    for j in range(w):
                        if (ld64(tmp2, j) & ~ld64(live, j)) != 0:
                            ok = False
                if not ok:
                    st64(dst, i, ld64(dst, i) & ~low)
    ext = 0
    if left > 0 and (hi < 0 or cnt + 1 + m <= hi):
        if ordered == 0 or (m == 0 and cnt + left >= lo):
            ext = 1
    return ext | close


@njit(**_OPT)
def can_satisfy(e, o, seen, cnt, after):
    """Is there a set of further keys that completes an object with clauses?

    `seen` is the address of a register, `after` the first position from which
    declared names may come.  By dynamic programming over the names: which sets
    of clauses can be satisfied, with how many keys (a bitset of numbers, where
    numbers matter; the front end sees to it that 62 are enough).
    """
    pool = ld64(e, OPOOL)
    n, w = ld64(o, O_N), ld64(o, O_WORDS)
    lo, hi = ld64(o, O_MIN), ld64(o, O_MAX)
    at, pos = ld64(o, O_CLAUSES), ld64(o, O_POS)
    req, live = ld64(o, O_REQ), ld64(o, O_LIVE)
    k, cost = ld64(pool, at + Q_K), ld64(pool, at + Q_COST)
    names, absent = at + Q_NAMES, at + Q_NAMES + n
    full = (1 << k) - 1
    start = ld64(seen, w - 1) & full
    more = ld64(o, O_HAS_EXTRA) != 0
    # what the least set of keys satisfies by what is not in it
    m, count = start, cnt
    for r in range(n):
        word, bit = r >> 6, r & 63
        if (ld64(seen, word) >> bit) & 1:
            continue
        if (ld64(pool, req + word) >> bit) & 1:
            if (ld64(pool, live + word) >> bit) & 1 == 0 or ld64(pool, pos + r) < after:
                return 0
            count += 1
        else:
            m |= ld64(pool, absent + r)
    if hi >= 0 and count > hi:
        return 0
    need_more = ld64(pool, cost + (full & ~m)) if more else (0 if m == full else -1)
    if need_more >= 0 and (hi < 0 or count + need_more <= hi) and (more or count >= lo):
        return 1
    a, b = np_empty(full + 1), np_empty(full + 1)
    for m in range(full + 1):
        a[m] = 0
    a[start] = 1
    shift = 1 if hi >= 0 or lo > 0 else 0
    base, free = cnt, 0
    for r in range(n):
        word, bit = r >> 6, r & 63
        if (ld64(seen, word) >> bit) & 1:
            continue
        can = (ld64(pool, live + word) >> bit) & 1 != 0 and ld64(pool, pos + r) >= after
        must = (ld64(pool, req + word) >> bit) & 1 != 0
        ways, without = ld64(pool, names + r), ld64(pool, absent + r)
        if ways < 0 and (without == 0 or must):
            if must:
                base += 1
            elif can:
                free += 1
            continue
        for m in range(full + 1):
            b[m] = 0
        for m in range(full + 1):
            v = a[m]
            if v == 0:
                continue
            if not must:
                b[m | without] |= v
            if can:
                v <<= shift
                if ways < 0:
                    b[m] |= v
                else:
                    for i in range(ld64(pool, ways + 1)):
                        b[m | ld64(pool, ways + 2 + 2 * i)] |= v
        a, b = b, a
    for m in range(full + 1):
        need_more = ld64(pool, cost + (full & ~m)) if more else (0 if m == full else -1)
        if need_more < 0:
            continue
        v, count = a[m], base + need_more
        while v != 0:
            if v & 1 != 0 and (hi < 0 or count <= hi) and (more or count + free >= lo):
                return 1
            v = (v >> 1) & 0x7FFFFFFFFFFFFFFF
            count += 1
    return 0


@njit(**_OPT)
def fill_clauses(e, o, obj, seen, cnt, dst):
    """What `fill_bitset` does, for an object with clauses; the bits above the lowest say where undeclared keys start.

    That is 0 where there may be none, 1 for the object's own automaton, else a lexer state.
    """
    pool = ld64(e, OPOOL)
    n, w = ld64(o, O_N), ld64(o, O_WORDS)
    at, pos, ordered = ld64(o, O_CLAUSES), ld64(o, O_POS), ld64(o, O_ORDERED)
    req, live = ld64(o, O_REQ), ld64(o, O_LIVE)
    names, absent = at + Q_NAMES, at + Q_NAMES + n
    full = (1 << ld64(pool, at + Q_K)) - 1
    marks, after, whole = ld64(seen, w - 1), 0, True
    tmp = dst + w * 8
    for i in range(w):
        st64(dst, i, 0)
    held = marks & full
    for r in range(n):
        if (ld64(seen, r >> 6) >> (r & 63)) & 1:
            if ordered != 0 and ld64(pool, pos + r) >= after:
                after = ld64(pool, pos + r) + 1
        else:
            held |= ld64(pool, absent + r)
            if (ld64(pool, req + (r >> 6)) >> (r & 63)) & 1:
                whole = False
    if marks & EXTRA_SEEN:
        after = n
    close = 1 if whole and held == full and cnt >= ld64(o, O_MIN) else 0
    for r in range(n):
        word, low = r >> 6, 1 << (r & 63)
        if ld64(seen, word) & low or not ld64(pool, live + word) & low or ld64(pool, pos + r) < after:
            continue
        ways = ld64(pool, names + r)
        for i in range(1 if ways < 0 else ld64(pool, ways + 1)):
            for j in range(w):
                st64(tmp, j, ld64(seen, j))
            st64(tmp, word, ld64(tmp, word) | low)
            if ways >= 0:
                st64(tmp, w - 1, ld64(tmp, w - 1) | ld64(pool, ways + 2 + 2 * i))
            if can_satisfy(e, o, tmp, cnt + 1, ld64(pool, pos + r) + 1 if ordered != 0 else 0):
                st64(dst, word, ld64(dst, word) | low)
                break
    if ld64(o, O_HAS_EXTRA) == 0:
        return close
    ways, good = ld64(pool, at + Q_EXTRA_WAYS), 0
    count = ld64(pool, ways)
    for i in range(count):
        for j in range(w):
            st64(tmp, j, ld64(seen, j))
        st64(tmp, w - 1, ld64(tmp, w - 1) | ld64(pool, ways + 1 + i))
        if can_satisfy(e, o, tmp, cnt + 1, n if ordered != 0 else 0):
            good |= 1 << i
    if good == 0:
        return close
    if good == (1 << count) - 1:
        return close | 2
    variants = ld64(pool, at + Q_VARIANTS)
    for i in range(ld64(pool, variants)):
        if ld64(pool, variants + 1 + 2 * i) == good:
            return close | ld64(pool, variants + 2 + 2 * i) << 1
    return need(e, NEED_CLASSES, obj, good)


@njit(**_OPT)
def intern_op(e, obj, reg, cnt, x):
    """The object position (obj, reg, cnt, x); computes what is allowed there once."""
    mask = ld64(e, M_OPS)
    table = ld64(e, H_OPS)
    ops = ld64(e, OPS)
    slot = mix(mix(mix(obj, reg), cnt), x) & mask
    while True:
        i = ld32(table, slot)
        if i == 0:
            break
        i -= 1
        r = ops + i * (OP_W * 4)
        if ld32(r, P_OBJ) == obj and ld32(r, P_REG) == reg and ld32(r, P_CNT) == cnt and ld32(r, P_X) == x:
            return i
        slot = (slot + 1) & mask
    n = ld64(e, N_OPS)
    if n >= ld64(e, CAP_OPS) or grow_probe(mask, n):
        return need(e, ROOM_OPS, 0, 0)
    o = ld64(e, OBJ) + obj * (OBJ_W * 8)
    w = ld64(o, O_WORDS)
    allowed = 0
    # scratch for three bitsets at the end of the bit pool
    if ld64(e, N_BITS) + 4 * w + 4 > ld64(e, CAP_BITS):
        return need(e, ROOM_BITS, 4 * w + 4, 0)
    dst = ld64(e, BITS) + (ld64(e, CAP_BITS) - 3 * w) * 8
    if ld64(o, O_CLAUSES) >= 0:
        flags = fill_clauses(e, o, obj, ld64(e, BITS) + reg * 8, cnt, dst)
        if flags < 0:
            return flags
        flags = (flags >> 1) | (flags & 1) << 32
    elif ld64(o, O_BITSET) != 0:
        flags = fill_bitset(e, o, ld64(e, BITS) + reg * 8, cnt, x, dst)
    else:
        flags = fill_ordered(e, o, reg, cnt, x, dst)
    ext, close = flags & 1, (flags >> 1) & 1
    if ld64(o, O_CLAUSES) >= 0:
        ext, close = flags & HALF, flags >> 32
    if w > 0:
        allowed = intern_bits(e, dst, w)
        if allowed < 0:
            return allowed
    r = ops + n * (OP_W * 4)
    st32(r, P_OBJ, obj)
    st32(r, P_REG, reg)
    st32(r, P_CNT, cnt)
    st32(r, P_X, x)
    st32(r, P_ALLOWED, allowed)
    st32(r, P_EXT, ext)
    st32(r, P_CLOSE, close)
    st32(r, P_PROJ, n if x == 0 else -1)
    st64(e, N_OPS, n + 1)
    st32(table, slot, n + 1)
    return n


@njit(**_OPT)
def op_projection(e, op):
    """The same position with the extra keys forgotten."""
    r = ld64(e, OPS) + op * (OP_W * 4)
    proj = ld32(r, P_PROJ)
    if proj < 0:
        proj = call5(ld64(e, F_OP), e, ld32(r, P_OBJ), ld32(r, P_REG), ld32(r, P_CNT), 0)
        if proj >= 0:
            st32(ld64(e, OPS) + op * (OP_W * 4), P_PROJ, proj)
    return proj


@njit(**_OPT)
def op_add(e, op, r, x, marks):
    """The position after key `r` (-1: an extra key; the extras are then `x`), its value satisfying clauses `marks`."""
    p = ld64(e, OPS) + op * (OP_W * 4)
    obj, reg, cnt = ld32(p, P_OBJ), ld32(p, P_REG), ld32(p, P_CNT)
    o = ld64(e, OBJ) + obj * (OBJ_W * 8)
    cap = ld64(o, O_CAP)
    if cnt < cap:
        cnt += 1
    if ld64(o, O_BITSET) == 0:
        if r >= 0:
            reg = ld64(ld64(e, OPOOL), ld64(o, O_POS) + r) + 1
        else:
            reg = ld64(o, O_N)
    elif r >= 0 or ld64(o, O_CLAUSES) >= 0:
        w = ld64(o, O_WORDS)
        if ld64(e, N_BITS) + 2 * w + 4 > ld64(e, CAP_BITS):
            return need(e, ROOM_BITS, 2 * w + 4, 0)
        pool = ld64(e, BITS)
        dst = pool + (ld64(e, CAP_BITS) - w) * 8
        for i in range(w):
            st64(dst, i, ld64(pool, reg + i))
        if r >= 0:
            st64(dst, r >> 6, ld64(dst, r >> 6) | (1 << (r & 63)))
        elif ld64(o, O_ORDERED) != 0:
            marks |= EXTRA_SEEN
        if marks != 0:
            st64(dst, w - 1, ld64(dst, w - 1) | marks)
        reg = intern_bits(e, dst, w)
        if reg < 0:
            return reg
    return call5(ld64(e, F_OP), e, obj, reg, cnt, x)


@njit(**_OPT)
def any_allowed(e, op, lo, hi):
    """Is a declared key with label in [lo, hi) allowed at object position `op`?"""
    r = ld64(e, OPS) + op * (OP_W * 4)
    o = ld64(e, OBJ) + ld32(r, P_OBJ) * (OBJ_W * 8)
    n = ld64(o, O_N)
    if hi > n:
        hi = n
    if lo >= hi:
        return False
    bits = ld64(e, BITS) + ld32(r, P_ALLOWED) * 8
    i, last = lo >> 6, (hi - 1) >> 6
    while i <= last:
        v = ld64(bits, i)
        if i == lo >> 6:
            v &= -1 << (lo & 63)
        if i == last and (hi & 63) != 0:
            v &= (1 << (hi & 63)) - 1
        if v != 0:
            return True
        i += 1
    return False
