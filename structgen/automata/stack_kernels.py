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

import numpy as np
from numba import cfunc, types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit, without_collector
from .lexer_kernels import (  # noqa: F401 (the kernels of masks take constants from here)
    AL_BASE, B_FUEL, B_MINIMAL, B_VO, B_W8, B_WH, B_WW, TRIE_BASE, lx_anylen, lx_bounded, lx_label, lx_range,
    lx_range2, lx_rep, lx_step)
from .lexer_states import _trie as trie_position

#: sha256 of lexer_kernels.py, whose code is compiled into the kernels here; numba's
#: on-disk cache sees only this file, so it must change when that one does (a test checks).
DEPENDS_ON = "2c0a59abc679c9de5b7a14aceba9d5e3ec6b49c4ddc85b9de484741de529a49b"

# ---- results
DEAD, NEED_PY, FUEL, MULTI = -1, -2, -3, -4

# ---- thread states (see static_dfa)
N_STATIC, MUST_SPACE = 64, 62
WS, WS_MAX, LX_BASE = 4096, 4095, 8192
RAW_BASE, KEY_BASE = 1 << 31, 1 << 32
ANY_KEY = KEY_BASE
#: white space given by a regex: WSX_BASE + raw lexer state
WSX_BASE = KEY_BASE + (1 << 31)
SET_BASE = 1 << 27
QUOTE = 34
#: a thread is q << SHIFT | C
SHIFT, LOW = 28, (1 << 28) - 1
PACK, HALF = 1 << 32, (1 << 32) - 1

# ---- context kinds
DONE, VALUE, COLON, OBJ_START, OBJ_KEY, OBJ_AFTER, ARR_START, ARR_AFTER = range(8)

# ---- slots of the block
(LEXER, STATIC, STATIC_ACC,
 NODE, ALT, ARR, PREFIX, OBJ, OPOOL,
 CTX, N_CTX, CAP_CTX, H_CTX, M_CTX,
 OPS, N_OPS, CAP_OPS, H_OPS, M_OPS,
 BITS, N_BITS, CAP_BITS, H_BITS, M_BITS,
 SETS, N_SETS, CAP_SETS, MEMBERS, N_MEMBERS, CAP_MEMBERS, H_SETS, M_SETS,
 KEYS, N_KEYS, CAP_KEYS, H_KEYS, M_KEYS,
 XSETS, N_XSETS, H_XSETS, M_XSETS,
 OUT, N_OUT, CAP_OUT,
 WS_MODE, NEED, NEED_A, NEED_B, TOUCHED,
 X_COUNT, X_AT, X_TEXT, MAY_START, WS_START,
 F_LX_ASK, F_OP, F_CONTEXT, F_UNION, F_GAP, F_KEY, F_STEP, F_CLOSE, F_ITEM, F_ROW) = range(64)
BLOCK_SIZE = 176
#: slots above those of the mask kernels
F_FINISH = 168
F_WAYS = 172
#: positions in arrays that count their items or have them differ; offset of the text accepted, -1 on a walk
POSITIONS, CHOICES, AT = 169, 170, 171

# ---- needs
(ROOM_CTX, ROOM_OPS, ROOM_BITS, ROOM_SETS, ROOM_KEYS, ROOM_OUT, NEED_NODE, NEED_LEXER,
 NEED_XTEXT, NEED_XSET, ROOM_ROWS, ROOM_MEMO, ROOM_REGION, ROOM_PENDING) = range(1, 15)
NEED_KEY = 25
#: the automaton of those undeclared keys after which an object with clauses can be completed
NEED_CLASSES = 24
NEED_POSITION, NEED_ITEM = 30, 31

# ---- record layouts
NODE_W, ARR_W, OBJ_W, CTX_W, OP_W, KEY_W, SET_W, X_W, AP_W = 8, 7, 21, 8, 8, 4, 4, 2, 5
(N_READY, N_STR, N_NUM, N_FLAGS, N_ARR, N_NARR, N_OBJ, N_NOBJ) = range(8)
(A_PREFIX, A_NPREFIX, A_ITEMS, A_MIN, A_MAX, A_SAT, A_POSITION) = range(7)
(AP_READY, AP_CLOSE, AP_N, AP_CHOICES, AP_UNIQUE) = range(5)
#: added to a position where it is a key of the table of sets of extra keys
POSITION_BASE = 1 << 40
(O_N, O_WORDS, O_ORDERED, O_BITSET, O_NAMES, O_EXTRA, O_EXTRA_NODE, O_HAS_EXTRA, O_EXTRA_SIZE,
 O_NODES, O_POS, O_RANK, O_REQ, O_LIVE, O_DEPS, O_MIN, O_MAX, O_CAP, O_SUFFIX, O_NEXT, O_CLAUSES) = range(21)
#: An object with clauses: its register has one word more, for the clauses that hold already
#: (and a bit for "an undeclared key was there", where that matters).  At O_CLAUSES of the pool:
#: their number, the lists below, then by rank the way list of each name, and what its absence satisfies.
#: A way list is (base node, n, then n times: clauses satisfied, node); -1 where nothing is satisfied.
(Q_K, Q_EXTRA_WAYS, Q_COST, Q_CLASSES, Q_VARIANTS, Q_NAMES) = range(6)
EXTRA_SEEN = 1 << 62
#: variants of the automaton of undeclared keys one object may have
MAX_VARIANTS = 64
(C_KIND, C_A, C_B, C_PARENT, C_DEPTH, C_PROJ) = range(6)
(P_OBJ, P_REG, P_CNT, P_X, P_ALLOWED, P_EXT, P_CLOSE, P_PROJ) = range(8)
(K_NAMES, K_EXTRA, K_SEEN, K_LEFT) = range(4)
#: K_LEFT: are there undeclared keys left that were not there before?
LEFT_SOME, LEFT_NONE = 1, 2
(S_OFF, S_LEN, S_PROJ) = range(3)


def _load(name, ctype, bits):
    @intrinsic
    def load(typingctx, addr, i):
        def codegen(context, builder, sig, args):
            ty = cgutils.ir.IntType(bits)
            p = builder.inttoptr(args[0], ty.as_pointer())
            v = builder.load(builder.gep(p, [args[1]]))
            return v if bits == 64 else (builder.zext if bits == 8 else builder.sext)(v, cgutils.ir.IntType(64))
        return types.int64(types.int64, types.int64), codegen
    return load


def _store(bits):
    @intrinsic
    def store(typingctx, addr, i, value):
        def codegen(context, builder, sig, args):
            ty = cgutils.ir.IntType(bits)
            p = builder.inttoptr(args[0], ty.as_pointer())
            v = args[2] if bits == 64 else builder.trunc(args[2], ty)
            builder.store(v, builder.gep(p, [args[1]]))
            return context.get_dummy_value()
        return types.none(types.int64, types.int64, types.int64), codegen
    return store


ld8, ld16, ld32, ld64 = (_load(f"ld{b}", None, b) for b in (8, 16, 32, 64))
st8, st32, st64 = _store(8), _store(32), _store(64)

#: Helpers have no Python wrapper and no cache entry of their own: what is entered from
#: Python or through an address is compiled, and cached, as one unit with its helpers.
_OPT = dict(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")


def _caller(arity):
    """An intrinsic that calls the function at an address: int64 arguments, int64 result."""
    def codegen(context, builder, sig, args):
        i64 = cgutils.ir.IntType(64)
        fn = cgutils.ir.FunctionType(i64, [i64] * arity)
        return builder.call(builder.inttoptr(args[0], fn.as_pointer()), args[1:])

    args = ", ".join(f"a{i}" for i in range(arity))
    scope = {"intrinsic": intrinsic, "types": types, "codegen": codegen}
    exec(f"@intrinsic\ndef call(typingctx, fn, {args}):\n"
         f"    return types.int64(*[types.int64] * {arity + 1}), codegen\n", scope)
    return scope["call"]


call1, call2, call3, call4, call5, call6, call7, call8 = (_caller(k) for k in range(1, 9))


@njit(**_OPT)
def np_empty(n):
    """A scratch list of ids."""
    return np.empty(n, np.int64)


@njit(**_OPT)
def sort_ids(a, n):
    """Insertion sort of the first n entries."""
    for i in range(1, n):
        v = a[i]
        j = i
        while j > 0 and a[j - 1] > v:
            a[j] = a[j - 1]
            j -= 1
        a[j] = v


@njit(**_OPT)
def mix(h, x):
    """One round of a multiplicative hash (constants of splitmix64)."""
    h = (h ^ x) * 0x2545F4914F6CDD1D
    return h ^ ((h >> 29) & 0x7FFFFFFFF)


@njit(**_OPT)
def popcount(x):
    n = 0
    while x != 0:
        x &= x - 1
        n += 1
    return n


@njit(**_OPT)
def need(e, code, a, b):
    st64(e, NEED, code)
    st64(e, NEED_A, a)
    st64(e, NEED_B, b)
    return NEED_PY


@njit(**_OPT)
def emit(e, q, c):
    """Append a thread to the result list."""
    n = ld64(e, N_OUT)
    if n >= ld64(e, CAP_OUT):
        return need(e, ROOM_OUT, 0, 0)
    st64(ld64(e, OUT), n, (q << SHIFT) | c)
    st64(e, N_OUT, n + 1)
    return 0


# ------------------------------------------------------------------ interning
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
def put_slot(table, slot, mask, value):
    while ld32(table, slot) != 0:
        slot = (slot + 1) & mask
    st32(table, slot, value)


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
def grow_probe(mask, n):
    """Is a hash table with `n` entries too full to take one more?"""
    return (n << 1) > mask


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


# ------------------------------------------------------------------ lexemes
ASK_LABEL, ASK_RANGE, ASK_RANGE2, ASK_REP, ASK_ANYLEN, ASK_BOUNDED = 0, 1, 3, 5, 6, 8


@njit(**_OPT)
def answer_lexer(lb, what, q):
    """Everything but steps that is asked of the lexer, in one function."""
    if what == ASK_LABEL:
        return lx_label(lb, q)
    if what == ASK_REP:
        return lx_rep(lb, q)
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
            out[slot] = cfunc(sig, cache=True, nopython=True)(function.py_func)
    return out
