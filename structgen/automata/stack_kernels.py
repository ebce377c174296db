"""The JSON stack machine: threads, contexts, and one byte at a time.

A *thread* is a pair (q, C).  q is a lexeme state (static, or of the grammar's
lexer, or a key record), C the *context*: what follows once the lexeme ends.
Contexts are hash-consed records (kind, a, b, parent), so equal positions have
equal ids and a thread is one int64, ``q << 28 | C``.  Where several
alternatives are alive, C may be a *set* of contexts (ids from ``SET_BASE``)
and a parent may be a set too, which makes the whole a graph-structured stack:
alternatives that differ only in how they will end share everything before.

Object positions (object, register, count, extra keys seen) are records of
their own, because three contexts share each, and carry what a key position
needs: which declared keys may come next such that the object can still be
completed, whether an undeclared key may, whether the brace may close.  The
register is the position reached (``order="schema"``) or a bitset of the keys
seen (``order="any"``), hash-consed too.  Hence the invariant that every
context can be completed, and masks have no dead ends.

Memory: every table is reached through one block of int64 addresses; Python
owns the arrays.  A kernel out of room, or in want of something only Python can
make, writes a code to ``NEED`` and returns; the caller serves it and calls
again.  Interning is idempotent, so nothing is lost.  Nothing here checks
bounds: callers reserve room before they call.
"""

from __future__ import annotations

from numba import types

from .jit import cfunc, njit, without_collector
from .stack_contexts import (
    context, expand, gap, key_record, put_context_done, put_xset, rebuild, size_of, union_at, union_of)
from .stack_layout import (
    ALT, AP_CHOICES, AP_CLOSE, AP_N, AP_READY, AP_UNIQUE, AP_W, ARR, ARR_AFTER, ARR_START, ARR_W, AT, A_ITEMS,
    A_MAX, A_MIN, A_NPREFIX, A_POSITION, A_PREFIX, A_SAT, BITS, CAP_BITS, CHOICES, COLON, CTX, CTX_W, C_A, C_B,
    C_KIND, C_PARENT, DEAD, F_CLOSE, F_CONTEXT, F_FINISH, F_GAP, F_ITEM, F_KEY, F_LX_ASK, F_OP, F_STEP, F_UNION,
    F_WAYS, H_XSETS, KEYS, KEY_BASE, KEY_W, K_EXTRA, K_NAMES, K_SEEN, LEFT_NONE, LOW, LX_BASE, MEMBERS, MULTI,
    MUST_SPACE, M_XSETS, NEED, NEED_ITEM, NEED_LEXER, NEED_NODE, NEED_POSITION, NEED_PY, NEED_XSET, NEED_XTEXT,
    NODE, NODE_W, N_ARR, N_BITS, N_FLAGS, N_NARR, N_NOBJ, N_NUM, N_OBJ, N_OUT, N_READY, N_STATIC, N_STR, OBJ,
    OBJ_AFTER, OBJ_KEY, OBJ_START, OBJ_W, OPOOL, OPS, OP_W, OUT, O_BITSET, O_CLAUSES, O_EXTRA, O_EXTRA_NODE, O_N,
    O_NAMES, O_NODES, O_WORDS, POSITIONS, POSITION_BASE, PREFIX, P_CLOSE, P_EXT, P_OBJ, P_REG, P_X, QUOTE,
    Q_CLASSES, Q_NAMES, RAW_BASE, ROOM_BITS, SETS, SET_BASE, SET_W, SHIFT, STATIC, STATIC_ACC, S_LEN, S_OFF,
    TOUCHED, VALUE, WS, WSX_BASE, XSETS, X_AT, X_COUNT, X_TEXT, X_W, _OPT, call1, call3, call5, call6, emit, ld16,
    ld32, ld64, ld8, mix, need, np_empty, st64)
from .stack_lexemes import (
    ASK_RANGE, ASK_RANGE2, answer_lexer, ask_lexer, keys_left, lexeme_label, piece_label, piece_step)
from .stack_objects import any_allowed, intern_bits, intern_op, op_add

#: sha256 of the kernel files compiled into this one; numba's on-disk cache sees only this
#: file, so it must change when one of those does (bench/stamp_kernels.py; a test checks).
DEPENDS_ON = "4c1ecb435d16543c3acbf89f510b72ba0d2ecc8efe7d7ca6cda2918552301a96"


# ------------------------------------------------------------------ structure
@njit(**_OPT)
def value_start(e, node, parent, b):
    """The threads after the first byte `b` of a value of `node`."""
    v = ld64(e, NODE) + node * (NODE_W * 8)
    if ld64(v, N_READY) == 0:
        return need(e, NEED_NODE, node, 0)
    if b == QUOTE:
        q = ld64(v, N_STR)
        return emit(e, q, parent) if q >= 0 else 0
    if b == 45 or (48 <= b and b <= 57):
        q = ld64(v, N_NUM)
        if q < 0:
            return 0
        base = RAW_BASE if q >= RAW_BASE else 0
        r = piece_step(e, q - base, b)
        if r < 0:
            return r if r != DEAD else 0
        return emit(e, base + r, parent)
    flags = ld64(v, N_FLAGS)
    if b == 110:
        return emit(e, 43, parent) if flags & 1 else 0
    if b == 116:
        return emit(e, 34, parent) if flags & 2 else 0
    if b == 102:
        return emit(e, 38, parent) if flags & 4 else 0
    if b == 91:
        off, n = ld64(v, N_ARR), ld64(v, N_NARR)
        for i in range(n):
            arr = ld32(ld64(e, ALT), off + i)
            at = ld64(ld64(e, ARR) + arr * (ARR_W * 8), A_POSITION)
            c = call5(ld64(e, F_CONTEXT), e, ARR_START, arr, at if at >= 0 else 0, parent)
            if c < 0:
                return c
            r = emit(e, gap(e, c), c)
            if r < 0:
                return r
    elif b == 123:
        off, n = ld64(v, N_OBJ), ld64(v, N_NOBJ)
        for i in range(n):
            obj = ld32(ld64(e, ALT), off + i)
            o = ld64(e, OBJ) + obj * (OBJ_W * 8)
            reg = 0
            if ld64(o, O_BITSET) != 0 and ld64(o, O_WORDS) > 0:
                w = ld64(o, O_WORDS)
                if ld64(e, N_BITS) + 2 * w + 4 > ld64(e, CAP_BITS):
                    return need(e, ROOM_BITS, 2 * w + 4, 0)
                dst = ld64(e, BITS) + (ld64(e, CAP_BITS) - w) * 8
                for k in range(w):
                    st64(dst, k, 0)
                reg = intern_bits(e, dst, w)
                if reg < 0:
                    return reg
            op = call5(ld64(e, F_OP), e, obj, reg, 0, 0)
            if op < 0:
                return op
            c = call5(ld64(e, F_CONTEXT), e, OBJ_START, op, 0, parent)
            if c < 0:
                return c
            r = emit(e, gap(e, c), c)
            if r < 0:
                return r
    return 0


@njit(**_OPT)
def open_key(e, c, op):
    """The thread after the opening quote of a key at object position `op`."""
    p = ld64(e, OPS) + op * (OP_W * 4)
    o = ld64(e, OBJ) + ld32(p, P_OBJ) * (OBJ_W * 8)
    ext = ld32(p, P_EXT)
    names = ld64(o, O_NAMES)
    if ext == 0 and not any_allowed(e, op, 0, ld64(o, O_N)):
        return 0
    extra, seen = -1, -1
    if ext != 0:
        extra = ld64(o, O_EXTRA) if ext == 1 else ext
        x = ld32(p, P_X)
        if x != 0:
            seen = ld32(ld64(e, XSETS), x * X_W)
    k = key_record(e, names, extra, seen)
    if k < 0:
        return k
    return emit(e, k, c)


@njit(**_OPT)
def item_value(e, c, arr, count, parent, comma):
    """The context expecting item number `count` of array alternative `arr`."""
    a = ld64(e, ARR) + arr * (ARR_W * 8)
    hi = ld64(a, A_MAX)
    if hi >= 0 and count >= hi:
        return DEAD
    if count < ld64(a, A_NPREFIX):
        node = ld32(ld64(e, PREFIX), ld64(a, A_PREFIX) + count)
    else:
        node = ld64(a, A_ITEMS)
    if node < 0:
        return DEAD
    sat = ld64(a, A_SAT)
    after = call5(ld64(e, F_CONTEXT), e, ARR_AFTER, arr, count + 1 if count < sat else sat, parent)
    if after < 0:
        return after
    return call5(ld64(e, F_CONTEXT), e, VALUE, node, comma, after)


@njit(**_OPT)
def position(e, i):
    """Address of the record of array position `i`; NEED_PY if there is none yet."""
    p = ld64(e, POSITIONS) + i * (AP_W * 8)
    return p if ld64(p, AP_READY) != 0 else need(e, NEED_POSITION, i, 0)


@njit(**_OPT)
def choice(e, c, at, k, comma):
    """The VALUE context of way `k` to read the item behind array context `c` (position at `at`); DEAD if none."""
    r = ld64(e, CTX) + c * (CTX_W * 4)
    arr, parent = ld32(r, C_A), ld32(r, C_PARENT)
    if k >= ld64(at, AP_N):
        return DEAD
    pair = ld64(at, AP_CHOICES) + 2 * k
    node, following = ld32(ld64(e, CHOICES), pair), ld32(ld64(e, CHOICES), pair + 1)
    after = call5(ld64(e, F_CONTEXT), e, ARR_AFTER, arr, following, parent)
    if after < 0:
        return after
    return call5(ld64(e, F_CONTEXT), e, VALUE, node, comma, after)


@njit(**_OPT)
def position_byte(e, c, b):
    """`gap_one` for an array that has positions."""
    r = ld64(e, CTX) + c * (CTX_W * 4)
    kind, i, parent = ld32(r, C_KIND), ld32(r, C_B), ld32(r, C_PARENT)
    at = position(e, i)
    if at < 0:
        return at
    if b == 93:
        return emit(e, gap(e, parent), parent) if ld64(at, AP_CLOSE) != 0 else 0
    if kind == ARR_AFTER:
        if b != 44:
            return 0
        if ld64(at, AP_UNIQUE) != 0 and ld64(e, AT) >= 0:
            i = item_after(e, i, ld64(e, AT))
            if i < 0:
                return i
            at = position(e, i)
            if at < 0:
                return at
    k = 0
    while True:
        v = choice(e, c, at, k, 1 if kind == ARR_AFTER else 0)
        if v < 0:
            return v if v != DEAD else 0
        if kind == ARR_AFTER:
            x = emit(e, gap(e, v), v)
        else:
            s = ld64(e, CTX) + v * (CTX_W * 4)
            x = value_start(e, ld32(s, C_A), ld32(s, C_PARENT), b)
        if x < 0:
            return x
        k += 1


@njit(**_OPT)
def noted_text(e, at):
    """The number of the text noted for offset `at` of the text being accepted, or -1."""
    text = -1
    n = ld64(e, X_COUNT)
    for i in range(n):
        if ld64(ld64(e, X_AT), i) == at:
            text = ld64(ld64(e, X_TEXT), i)
    return text


@njit(**_OPT)
def item_after(e, i, at):
    """The position that array position `i` becomes with the item that ends before the comma at offset `at` - 1."""
    text = noted_text(e, at)
    if text < 0:
        return need(e, NEED_ITEM, i, at)
    x = POSITION_BASE + i
    mask, table = ld64(e, M_XSETS), ld64(e, H_XSETS)
    slot = mix(x, text) & mask
    while True:
        k = ld64(table, slot * 3)
        if k < 0:
            return need(e, NEED_ITEM, i, at)
        if k == x and ld64(table, slot * 3 + 1) == text:
            return ld64(table, slot * 3 + 2)
        slot = (slot + 1) & mask


@njit(**_OPT)
def gap_one(e, c, b):
    """The threads after structural byte `b` in context `c` (not a set)."""
    r = ld64(e, CTX) + c * (CTX_W * 4)
    kind, a, parent = ld32(r, C_KIND), ld32(r, C_A), ld32(r, C_PARENT)
    if kind == VALUE:
        return value_start(e, a, parent, b)
    if kind == COLON:
        if b != 58:
            return 0
        v = call5(ld64(e, F_CONTEXT), e, VALUE, a, 1, parent)
        return emit(e, gap(e, v), v) if v >= 0 else v
    if kind == OBJ_AFTER:
        p = ld64(e, OPS) + a * (OP_W * 4)
        if b == 125:
            return emit(e, gap(e, parent), parent) if ld32(p, P_CLOSE) != 0 else 0
        if b != 44:
            return 0
        if ld32(p, P_EXT) == 0 and not any_allowed(e, a, 0, 1 << 40):
            return 0
        k = call5(ld64(e, F_CONTEXT), e, OBJ_KEY, a, 0, parent)
        return emit(e, gap(e, k), k) if k >= 0 else k
    if kind == ARR_AFTER or kind == ARR_START:
        if ld64(ld64(e, ARR) + a * (ARR_W * 8), A_POSITION) >= 0:
            return position_byte(e, c, b)
    if kind == ARR_AFTER:
        count = ld32(r, C_B)
        if b == 93:
            lo = ld64(ld64(e, ARR) + a * (ARR_W * 8), A_MIN)
            return emit(e, gap(e, parent), parent) if count >= lo else 0
        if b != 44:
            return 0
        v = item_value(e, c, a, count, parent, 1)
        if v < 0:
            return v if v != DEAD else 0
        return emit(e, gap(e, v), v)
    if kind == ARR_START:
        if b == 93:
            lo = ld64(ld64(e, ARR) + a * (ARR_W * 8), A_MIN)
            return emit(e, gap(e, parent), parent) if lo <= 0 else 0
        v = item_value(e, c, a, 0, parent, 0)
        if v < 0:
            return v if v != DEAD else 0
        s = ld64(e, CTX) + v * (CTX_W * 4)
        return value_start(e, ld32(s, C_A), ld32(s, C_PARENT), b)
    if kind == OBJ_START or kind == OBJ_KEY:
        if b == QUOTE:
            return open_key(e, c, a)
        if b == 125 and kind == OBJ_START and ld32(ld64(e, OPS) + a * (OP_W * 4), P_CLOSE) != 0:
            return emit(e, gap(e, parent), parent)
    return 0


@njit(**_OPT)
def finish(e):
    """Turn the result list into one thread, MULTI or DEAD; threads of equal q merge."""
    n = ld64(e, N_OUT)
    out = ld64(e, OUT)
    if n == 1:
        return ld64(out, 0)
    if n == 0:
        return DEAD
    merged = 0
    cs = np_empty(n)
    for i in range(n):
        q = ld64(out, i) >> SHIFT
        done = False
        for j in range(merged):
            if ld64(out, j) >> SHIFT == q:
                done = True
        if done:
            continue
        k = 0
        for j in range(i, n):
            if ld64(out, j) >> SHIFT == q:
                cs[k] = ld64(out, j) & LOW
                k += 1
        c = cs[0]
        if k > 1:
            c = union_of(e, cs, k)
            if c < 0:
                return c
        st64(out, merged, (q << SHIFT) | c)
        merged += 1
    st64(e, N_OUT, merged)
    return ld64(out, 0) if merged == 1 else MULTI


@njit(**_OPT)
def gap_step(e, c, b):
    """One structural byte for context-or-set `c`."""
    st64(e, N_OUT, 0)
    if c < SET_BASE:
        r = gap_one(e, c, b)
        if r < 0:
            return r
        if ld64(e, N_OUT) == 1:
            return ld64(ld64(e, OUT), 0)
    else:
        s = ld64(e, SETS) + (c - SET_BASE) * (SET_W * 4)
        off, n = ld32(s, S_OFF), ld32(s, S_LEN)
        for i in range(n):
            r = gap_one(e, ld32(ld64(e, MEMBERS), off + i), b)
            if r < 0:
                return r
    return call1(ld64(e, F_FINISH), e)


@njit(**_OPT)
def x_after(e, x, at):
    """The extras of an object after the extra key that ends at text offset `at`."""
    text = noted_text(e, at)
    if text < 0:
        return need(e, NEED_XTEXT, at, 0)
    mask, table = ld64(e, M_XSETS), ld64(e, H_XSETS)
    slot = mix(x, text) & mask
    while True:
        i = ld64(table, slot * 3)
        if i < 0:
            return need(e, NEED_XSET, x, text)
        if i == x and ld64(table, slot * 3 + 1) == text:
            return ld64(table, slot * 3 + 2)
        slot = (slot + 1) & mask


@njit(**_OPT)
def close_ways(e, op, rank, cls, x, parent):
    """The COLON contexts after a key of an object with clauses: one for each way to write its value.

    The key is the declared one of rank `rank`, or else an undeclared one of class `cls`.
    """
    p = ld64(e, OPS) + op * (OP_W * 4)
    o = ld64(e, OBJ) + ld32(p, P_OBJ) * (OBJ_W * 8)
    at = ld64(o, O_CLAUSES)
    pool = ld64(e, OPOOL)
    if rank >= 0:
        ways = ld64(pool, at + Q_NAMES + rank)
        node = ld64(pool, ld64(o, O_NODES) + rank)
    else:
        if ld64(o, O_EXTRA_NODE) >= 0:
            cls = 0
        ways = ld64(pool, ld64(pool, at + Q_CLASSES) + cls)
        node = ld64(pool, ways)
    n, some = 1, 0
    if ways >= 0:
        n = ld64(pool, ways + 1)
        for i in range(n):
            some |= ld64(pool, ways + 2 + 2 * i)
        held = ld64(ld64(e, BITS) + ld32(p, P_REG) * 8, ld64(o, O_WORDS) - 1)
        if some & ~held == 0:         # nothing that does not hold already
            n, some = 1, 0
    items = np_empty(n)
    k = 0
    for i in range(n):
        marks = 0
        if some != 0:
            pool = ld64(e, OPOOL)
            marks, node = ld64(pool, ways + 2 + 2 * i), ld64(pool, ways + 3 + 2 * i)
        after_op = op_add(e, op, rank, x, marks)
        if after_op < 0:
            return after_op
        q = ld64(e, OPS) + after_op * (OP_W * 4)
        if ld32(q, P_CLOSE) == 0 and ld32(q, P_EXT) == 0 and not any_allowed(e, after_op, 0, 1 << 40):
            continue                  # cannot be completed
        after = call5(ld64(e, F_CONTEXT), e, OBJ_AFTER, after_op, 0, parent)
        if after < 0:
            return after
        c = call5(ld64(e, F_CONTEXT), e, COLON, node, 0, after)
        if c < 0:
            return c
        items[k] = c
        k += 1
    if k == 0:
        return DEAD
    return items[0] if k == 1 else union_of(e, items, k)


@njit(**_OPT)
def close_key(e, names, extra, seen, label, extra_label, c, at):
    """The COLON context after a key's closing quote in context `c`; DEAD if it may not end."""
    r = ld64(e, CTX) + c * (CTX_W * 4)
    op, parent = ld32(r, C_A), ld32(r, C_PARENT)
    p = ld64(e, OPS) + op * (OP_W * 4)
    o = ld64(e, OBJ) + ld32(p, P_OBJ) * (OBJ_W * 8)
    if label >= 0:
        if not any_allowed(e, op, label, label + 1):
            return DEAD
        if ld64(o, O_CLAUSES) >= 0:
            return call6(ld64(e, F_WAYS), e, op, label, -1, ld32(p, P_X), parent)
        node = ld64(ld64(e, OPOOL), ld64(o, O_NODES) + label)
        after_op = op_add(e, op, label, ld32(p, P_X), 0)
    else:
        if extra_label < 0 or ld32(p, P_EXT) == 0:
            return DEAD
        node = ld64(o, O_EXTRA_NODE)
        if node < 0:
            node = extra_label
        x = ld32(p, P_X)
        if seen >= 0:
            dup = piece_label(e, seen)
            if dup >= 0:
                return DEAD
            if dup < DEAD:
                return dup
        if at >= 0:
            x = x_after(e, x, at)
            if x < 0:
                return x
        else:
            st64(e, TOUCHED, 1)
        if ld64(o, O_CLAUSES) >= 0:
            return call6(ld64(e, F_WAYS), e, op, -1, extra_label, x, parent)
        after_op = op_add(e, op, -1, x, 0)
    if after_op < 0:
        return after_op
    after = call5(ld64(e, F_CONTEXT), e, OBJ_AFTER, after_op, 0, parent)
    if after < 0:
        return after
    return call5(ld64(e, F_CONTEXT), e, COLON, node, 0, after)


@njit(**_OPT)
def key_step(e, q, c, b, at):
    """One byte inside a key.  `at` >= 0 when text is accepted: the offset after `b`."""
    r = ld64(e, KEYS) + (q - KEY_BASE) * (KEY_W * 4)
    names, extra, seen = ld32(r, K_NAMES), ld32(r, K_EXTRA), ld32(r, K_SEEN)
    if b == QUOTE:
        label, extra_label = -1, -1
        if names >= 0:
            label = piece_label(e, names)
            if label < DEAD:
                return label
        if extra >= 0:
            extra_label = piece_label(e, extra)
            if extra_label < DEAD:
                return extra_label
        if label >= 0 or extra_label >= 0:
            if c < SET_BASE:
                d = close_key(e, names, extra, seen, label, extra_label, c, at)
                return (gap(e, d) << SHIFT) | d if d >= 0 else d
            items = np_empty(size_of(e, c))
            n = expand(e, c, items, 0)
            k = 0
            for i in range(n):
                d = close_key(e, names, extra, seen, label, extra_label, items[i], at)
                if d < DEAD:
                    return d
                if d >= 0:
                    items[k] = d
                    k += 1
            if k == 0:
                return DEAD
            d = union_of(e, items, k)
            return (gap(e, d) << SHIFT) | d if d >= 0 else d
    if names >= 0:
        names = piece_step(e, names, b)
        if names < DEAD:
            return names
    if extra >= 0:
        extra = piece_step(e, extra, b)
        if extra < DEAD:
            return extra
    if extra < 0:
        seen = -1
    elif seen >= 0:
        seen = piece_step(e, seen, b)
        if seen < DEAD:
            return seen
    if extra >= LX_BASE and (seen >= 0 or (at < 0 and ld64(e, TOUCHED) == 0)):
        left = keys_left(e, extra, seen)
        if left < 0:
            return left
        if left == LEFT_NONE:
            if seen >= 0:
                extra, seen = -1, -1
            else:               # on a walk: keys that the projection of the context forgets may matter
                st64(e, TOUCHED, 1)
    if names < 0 and extra < 0:
        return DEAD
    lo, hi, lo2, hi2 = 0, 0, 0, 0
    if names >= 0:
        lo, hi = ask_lexer(e, ASK_RANGE, names), ask_lexer(e, ASK_RANGE + 1, names)
        lo2, hi2 = ask_lexer(e, ASK_RANGE2, names), ask_lexer(e, ASK_RANGE2 + 1, names)
    if c < SET_BASE:
        op = ld32(ld64(e, CTX) + c * (CTX_W * 4), C_A)
        if extra < 0 or ld32(ld64(e, OPS) + op * (OP_W * 4), P_EXT) == 0:
            if names < 0 or not (any_allowed(e, op, lo, hi) or any_allowed(e, op, lo2, hi2)):
                return DEAD
    else:
        items = np_empty(size_of(e, c))
        n = expand(e, c, items, 0)
        k, ext = 0, False
        for i in range(n):
            op = ld32(ld64(e, CTX) + items[i] * (CTX_W * 4), C_A)
            has = extra >= 0 and ld32(ld64(e, OPS) + op * (OP_W * 4), P_EXT) != 0
            ext |= has
            if has or (names >= 0 and (any_allowed(e, op, lo, hi) or any_allowed(e, op, lo2, hi2))):
                items[k] = items[i]
                k += 1
        if k == 0:
            return DEAD
        if not ext:
            extra, seen = -1, -1
        if k < n:
            c = union_of(e, items, k)
            if c < 0:
                return c
    q = key_record(e, names, extra, seen)
    return (q << SHIFT) | c if q >= 0 else q


@njit(**_OPT)
def thread_step(e, q, c, b, at):
    """One byte for thread (q, c): a thread, DEAD, NEED_PY, FUEL, or MULTI (see the result list).

    `at` is -1 on a walk; when text is accepted, the text offset after `b`.
    """
    st64(e, AT, at)
    if q < N_STATIC:
        r = ld16(ld64(e, STATIC), (q << 8) + b)
        if r >= 0:
            return (r << SHIFT) | c
        if q == 0:
            return (gap(e, c) << SHIFT) | c if b == QUOTE else DEAD
        if q == MUST_SPACE:
            return (WS << SHIFT) | c if b == 32 else DEAD
        if ld8(ld64(e, STATIC_ACC), q) == 0:
            return DEAD
        return after_raw(e, c, b)
    if q < LX_BASE:
        if b == 32 or b == 10 or b == 13 or b == 9:
            return ((q - 1) << SHIFT) | c if q > WS else DEAD
        return call3(ld64(e, F_GAP), e, c, b)
    if q < RAW_BASE:
        if b == QUOTE:
            label = piece_label(e, q)
            if label >= 0:
                return (gap(e, c) << SHIFT) | c
            if label < DEAD:
                return label
        r = piece_step(e, q, b)
        return (r << SHIFT) | c if r >= 0 else r
    if q < KEY_BASE:
        r = piece_step(e, q - RAW_BASE, b)
        if r >= 0:
            return ((r + RAW_BASE) << SHIFT) | c
        if r < DEAD:
            return r
        label = lexeme_label(e, q)
        if label < 0:
            if label == NEED_PY:
                st64(e, NEED, NEED_LEXER)
            return label
        return after_raw(e, c, b)
    if q >= WSX_BASE:
        return wsx_step(e, q, c, b)
    return call5(ld64(e, F_KEY), e, q, c, b, at)


@njit(**_OPT)
def wsx_step(e, q, c, b):
    """One byte where white space is a regex: more of it, or (if it may end) structure."""
    r = piece_step(e, q - WSX_BASE, b)
    if r >= 0:
        return ((r + WSX_BASE) << SHIFT) | c
    if r < DEAD:
        return r
    label = piece_label(e, q - WSX_BASE)
    if label < 0:
        return label
    return call3(ld64(e, F_GAP), e, c, b)


@njit(**_OPT)
def after_raw(e, c, b):
    """The byte after a lexeme that ends where it is (number, literal, text)."""
    q = gap(e, c)
    if q == MUST_SPACE:
        return (WS << SHIFT) | c if b == 32 else DEAD
    if q >= WSX_BASE:
        return wsx_step(e, q, c, b)
    if b == 32 or b == 10 or b == 13 or b == 9:
        return ((q - 1) << SHIFT) | c if q > WS else DEAD
    return call3(ld64(e, F_GAP), e, c, b)


@njit(**_OPT)
def can_end(e, q, c):
    """May the whole text end in thread (q, c)?"""
    done = False
    if c == 0:
        done = True
    elif c >= SET_BASE:
        r = ld64(e, SETS) + (c - SET_BASE) * (SET_W * 4)
        done = ld32(ld64(e, MEMBERS), ld32(r, S_OFF)) == 0
    if not done:
        return False
    if q >= WS and q < LX_BASE:
        return True
    if q < N_STATIC:
        return q >= 16 and q != MUST_SPACE and ld8(ld64(e, STATIC_ACC), q) != 0
    if q >= RAW_BASE and q < KEY_BASE:
        return lexeme_label(e, q) >= 0
    return False


# ------------------------------------------------------------------ entries
@njit(**_OPT)
def item_of(e, c, k):
    """Context `k` of an array's first value, for `c` at its start; DEAD if there are no more."""
    r = ld64(e, CTX) + c * (CTX_W * 4)
    if ld64(ld64(e, ARR) + ld32(r, C_A) * (ARR_W * 8), A_POSITION) >= 0:
        at = position(e, ld32(r, C_B))
        return choice(e, c, at, k, 0) if at >= 0 else at
    return item_value(e, c, ld32(r, C_A), 0, ld32(r, C_PARENT), 0) if k == 0 else DEAD


@njit(**_OPT)
def close_for_mask(e, names, extra, seen, label, extra_label, c):
    return close_key(e, names, extra, seen, label, extra_label, c, -1)


CALL_DONE, CALL_REBUILD, CALL_PUT_XSET, CALL_GAP, CALL_OP_ADD, CALL_CONTEXT, CALL_TEXT = range(7)


@njit(nogil=True, cache=True)
def stack_call(e, what, a, b, c, d):
    """What Python asks of the stack machine now and then, behind one entry."""
    if what == CALL_DONE:
        return put_context_done(e)
    if what == CALL_REBUILD:
        rebuild(e)
    elif what == CALL_PUT_XSET:
        put_xset(e, a, b, c)
    elif what == CALL_GAP:
        return gap(e, a)
    elif what == CALL_OP_ADD:
        return op_add(e, a, b, c, d)
    elif what == CALL_CONTEXT:
        return call5(ld64(e, F_CONTEXT), e, a, b, c, d)
    elif what == CALL_TEXT:
        return noted_text(e, a)
    return 0


#: slot -> (function, number of arguments); compiled once and called through its address,
#: so that no caller compiles it again.
NATIVE = {F_LX_ASK: (answer_lexer, 3), F_OP: (intern_op, 5), F_CONTEXT: (context, 5),
          F_UNION: (union_at, 3), F_GAP: (gap_step, 3), F_KEY: (key_step, 5), F_STEP: (thread_step, 5),
          F_CLOSE: (close_for_mask, 7), F_ITEM: (item_of, 3), F_FINISH: (finish, 1), F_WAYS: (close_ways, 6)}


def compile_native(table):
    """Compile (or load from the cache) a table of natives; slot -> address, kept alive."""
    out = {}
    with without_collector():
        for slot, (function, arity) in table.items():
            sig = types.int64(*[types.int64] * arity)
            out[slot] = cfunc(sig)(function.py_func)
    return out
