"""The block through which the kernels of stack and masks reach their tables, and its helpers.

Slots of the block, codes, layouts of records, and loads, stores and calls by
address.  Everything here is compiled into the kernels that use it.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit

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


@njit(**_OPT)
def put_slot(table, slot, mask, value):
    while ld32(table, slot) != 0:
        slot = (slot + 1) & mask
    st32(table, slot, value)


@njit(**_OPT)
def grow_probe(mask, n):
    """Is a hash table with `n` entries too full to take one more?"""
    return (n << 1) > mask
