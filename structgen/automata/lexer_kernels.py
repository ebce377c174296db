"""Kernels of the lexer: every dynamic lexeme state, reached through one block.

A lexeme state ``q`` is an int64 below 2**31; its range says what it is:

====================  ======================================================
0 .. 8191             static lexemes (``static_dfa``), never stepped here
LX_BASE ..            *row states*: a 64-byte record and a memo row of
                      transitions over byte classes, filled on demand; kinds
                      DFA (a set of NFA states), PROD (a tuple of component
                      states), ESC (a base state inside a JSON escape) and
                      GIVEN (a complete table)
AL_BASE ..            *any string*, ``AL_BASE + 32*k + u``: record k holds
                      (lo, hi, label); `u` is the UTF-8 or escape progress
TRIE_BASE, RTRIE_..   literal tries (JSON, raw): a position in the
                      concatenated words; the first word below the node names
                      it, so nodes need no records and no child lists
====================  ======================================================

The block is an ``int64[64]``; slots below hold addresses, counts, capacities.
Nothing is written past a capacity: a kernel that lacks room (or a label) says
why in ``B_NEED``, returns ``LX_NEED`` and may be called again afterwards with
the same arguments; whatever it had stored by then is valid.

Two readings of a byte: the *decoded* reading (UTF-8 of the string's value,
used by components and escapes) and the reading of the lexeme (JSON spelling,
or the same as decoded in raw mode).  Each machine has one class map for each
reading; both address the same memo row, so they share what they learn.

Invariants: no step returns a state that cannot accept; equal (kind, content)
means equal id; rows hold a state, -1 (dead), UNKNOWN, or ``-10 - q`` for a
successor q whose liveness has not been looked at.

Costs: a memo hit is four loads (about 2 ns); a new DFA state 0.2-2 us.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import njit
from .static_dfa import LX_BASE

__all__ = ["lx_step", "lx_label", "lx_escape", "lx_range", "lx_range2", "lx_rep", "lx_anylen", "lx_bounded", "lx_open",
           "lx_far", "lx_call", "LX_BASE", "LX_DEAD", "LX_NEED", "LX_FUEL", "AL_BASE", "TRIE_BASE", "RTRIE_BASE", "INF"]

LX_DEAD, LX_NEED, LX_FUEL = -1, -2, -3
AL_BASE, TRIE_BASE, RTRIE_BASE = 1 << 28, 1 << 29, 1 << 30
INF = (1 << 31) - 1
UNKNOWN = -9
ALWAYS = -2                 # component value: accepts whatever follows

# The block's slots: address, count, capacity of each table.
B_S, B_NS, B_CS = 0, 1, 2            # states: 8 int64 each
B_T, B_NT, B_CT = 3, 4, 5          # transition rows: int32
B_C, B_NC, B_CC = 6, 7, 8          # class maps: uint16[256] each
B_P, B_NP, B_CP = 9, 10, 11          # int64 pool: tuples, components, clauses
B_L, B_NL, B_CL = 12, 13, 14        # int32 pool: NFA state sets
B_H, B_NH, B_CH = 15, 16, 17       # int32 hash of states (capacity 2**k)
B_M, B_NM, B_CM = 18, 19, 20       # machines: 16 int64 each
B_A, B_NA, B_CA = 21, 22, 23       # any-string records: 4 int64 each, and hash
B_AH = 24
B_W8, B_WW, B_WH, B_NW, B_CW = 25, 26, 27, 28, 29    # trie positions
B_VO, B_VL, B_NV, B_CV = 30, 31, 32, 33               # words: offset, label
B_Y, B_NY, B_CY = 34, 35, 36       # labels asked of Python: hash of 3 int64
B_UJ, B_UR = 37, 38                 # any-string tables: int8[32,256], int8[8,256]
B_MINIMAL = 39
B_NEED, B_ARG1, B_ARG2 = 40, 41, 42
B_FUEL, B_LIMIT = 43, 44            # search steps left; most states allowed
B_BITS = 45                          # zeroed bitset for the largest NFA
B_MAXN, B_MAXK = 46, 47             # its size; the most components
B_Q, B_CQ = 48, 49                  # search queue: (state, parent) pairs
B_RAWANY = 50                        # first of 8 states: any text, raw
B_STAGE = 51                         # bytes, B_STAGE2: int32, written by Python
B_STAGE2 = 52
B_SLOW = 53                          # address of the compiled `slow_kernel`
B_ARGS = 54                          # int64, written by Python
B_FAR = 55                           # bytes of the longest token

NEED_ROOM, NEED_LABEL, NEED_STATE_LABEL, NEED_FUEL_STATES, NEED_FUEL_STEPS = 1, 2, 3, 4, 5

# State record.
S_ROW, S_JMAP, S_RMAP, S_KIND, S_DATA, S_LEN, S_LABEL, S_HASH = 0, 1, 2, 3, 4, 5, 6, 7
K_DFA, K_PROD, K_ESC, K_GIVEN = 0, 1, 2, 3
NO_LABEL = -3                         # not computed yet
# Low two bits of S_HASH: liveness.
V_NEW, V_LIVE, V_DEAD, V_SEEN = 0, 1, 2, 3

# Machine record: address of the prepared NFA; components; clauses; maps.
M_NFA, M_K, M_COMPS, M_CLAUSES, M_NCLAUSES, M_JMAP, M_RMAP, M_COLS, M_JSON, M_REPS = \
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9
C_DFA, C_TRIE, C_LENGTH = 0, 1, 2

# Prepared NFA (int32 words): header, then offsets, edges, 4 ints a state, 1 more, map.
N_N, N_E, N_CLASSES, N_START, N_NSTART, N_OFF, N_EDGE, N_INFO, N_MAP, N_REP, N_OPEN, N_BLOCKS, N_BLOCK, N_HEAD = \
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16
# Block of a counted repeat (see counted.py).  States from N_N on are counted.
X_BASE, X_END, X_SIZE, X_COPIES, X_LEAST, X_EXIT, X_ROW, X_WIDTH = 0, 1, 2, 3, 4, 5, 6, 8
FAR = 1 << 30                         # distance: not reachable

ESC_MAP, ESC_COLS = 256, 30           # where its class map lies (in maps), row width
EMPTY_ROW = 272                       # width of the shared row of UNKNOWNs at offset 0


def _memory(bits, signed=True):
    """Intrinsics that load and store element `index` of the `bits`-bit integers at `base`."""
    kind = ir.IntType(bits)

    def place(builder, base, index):
        return builder.gep(builder.inttoptr(base, kind.as_pointer()), [index])

    def load_code(context, builder, sig, args):
        value = builder.load(place(builder, args[0], args[1]))
        if bits == 64:
            return value
        return (builder.sext if signed else builder.zext)(value, ir.IntType(64))

    def store_code(context, builder, sig, args):
        value = args[2] if bits == 64 else builder.trunc(args[2], kind)
        builder.store(value, place(builder, args[0], args[1]))
        return context.get_dummy_value()

    @intrinsic
    def load(typingctx, base, index):
        return types.int64(types.int64, types.int64), load_code

    @intrinsic
    def store(typingctx, base, index, value):
        return types.void(types.int64, types.int64, types.int64), store_code

    return load, store


ld64, st64 = _memory(64)
ld32, st32 = _memory(32)
ld16, st16 = _memory(16, False)
ld8, st8 = _memory(8, False)
lds8, _sts8 = _memory(8)


@intrinsic
def _lowest(typingctx, value):
    """Number of the lowest set bit (`value` is not 0)."""
    def code(context, builder, sig, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), code


def _jit(function, cache=False):
    """A helper without the wrappers that only calls from Python need.

    What is only called from the slow kernel is cached as a part of that.
    """
    return njit(nogil=True, cache=cache, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


@intrinsic
def _call_address(typingctx, address, lb, op, a, b, c):
    """Call ``int64 f(int64 * 5)`` at an address."""
    word = ir.IntType(64)

    def code(context, builder, sig, args):
        kind = ir.FunctionType(word, [word] * 5)
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.int64(*[types.int64] * 6), code


def _hot(function):
    """A helper that other modules' kernels call, so cached by itself."""
    return _jit(function, True)


# Everything that is not a memo hit is an operation of one separately compiled
# kernel, called by address: kernels that inline the hot paths stay small, and
# long call chains are not compiled again into each of their callers.
(O_STEP, O_LABEL, O_WORDS, O_ANY, O_GIVEN, O_PREPARE, O_NEW_DFA, O_START_DFA, O_NEW_PRODUCT, O_START_PRODUCT,
 O_REHASH, O_ANSWER, O_RAW_ANY, O_DISTANCES, O_SHORTEST, O_RANGE, O_RANGE2, O_REP, O_ANYLEN, O_ESCAPE, O_FEED,
 O_DECODED, O_DFA_SUCC, O_DFA_CLOSE, O_PROD_SUCC, O_PROD_CLOSE, O_PROD_LABEL, O_QUICK, O_ALIVE, O_SOME,
 O_HEX_ALIVE, O_STEP_MISS, O_ESC_OPEN, O_ESC_STEP, O_ESC_RANGE, O_ROW, O_POINT, O_FAR) = range(38)


@_hot
def _go(lb, op, a, b, c):
    return _call_address(ld64(lb, B_SLOW), lb, op, a, b, c)


@_hot
def lx_step(lb, q, b):
    """Next state from `q` over byte `b`; LX_DEAD, LX_NEED or LX_FUEL otherwise."""
    if q < AL_BASE:
        s = ld64(lb, B_S) + 64 * (q - LX_BASE)
        col = ld16(ld64(lb, B_C), ld64(s, S_JMAP) + b)
        t = ld32(ld64(lb, B_T), ld64(s, S_ROW) + col)
        if t >= LX_DEAD:
            return t
        return _go(lb, O_STEP_MISS, q, b, 0)
    if q >= TRIE_BASE:
        if b == ld8(ld64(lb, B_W8), (q & (TRIE_BASE - 1))) and b > 0x22 and b != 0x5C and b != 0xFF:
            return q + 1
        return _go(lb, O_STEP_MISS, q, b, 0)
    if q & 31 == 0:
        r = ld64(lb, B_A) + 32 * (q - AL_BASE >> 5)
        k = ld64(r, 3)
        if k < 0:
            return _go(lb, O_STEP_MISS, q, b, 0)
        t = lds8(ld64(lb, B_UJ), b)
        return t if t < 0 else AL_BASE + 32 * k + t
    t = lds8(ld64(lb, B_UJ), 256 * (q & 31) + b)
    return t if t < 0 else q - (q & 31) + t


@_hot
def lx_label(lb, q):
    """Label with which the lexeme may end at `q`, else -1 (LX_NEED: ask Python)."""
    if q < AL_BASE:
        s = ld64(lb, B_S) + 64 * (q - LX_BASE)
        label = ld64(s, S_LABEL)
        return label if label != NO_LABEL else _go(lb, O_PROD_LABEL, s, 0, 0)
    if q >= TRIE_BASE:
        p = q & (TRIE_BASE - 1)
        if ld8(ld64(lb, B_W8), p) != 0xFF:
            return -1
        return ld32(ld64(lb, B_VL), ld32(ld64(lb, B_WW), p))
    r = ld64(lb, B_A) + 32 * (q - AL_BASE >> 5)
    return ld64(r, 2) if q & 31 == 0 and ld64(r, 0) == 0 else -1


@_hot
def lx_escape(lb, q):
    """1 right after a backslash (a quote is an escape there), else 0."""
    if q < AL_BASE:
        s = ld64(lb, B_S) + 64 * (q - LX_BASE)
        return 1 if ld64(s, S_KIND) & 0xFF == K_ESC and ld64(s, S_LEN) == 0 else 0
    return 1 if q < TRIE_BASE and q & 31 == 8 else 0


@_hot
def _labels(lb, w, hi):
    """Labels of the words w..hi-1 as a half-open range."""
    if w >= hi:
        return 0, 0
    vl = ld64(lb, B_VL)
    return ld32(vl, w), ld32(vl, hi - 1) + 1


@_hot
def lx_range(lb, q):
    """Half-open range of the labels reachable in a literal trie; else (0, 2**31)."""
    if q >= TRIE_BASE:
        p = q & (TRIE_BASE - 1)
        return _labels(lb, ld32(ld64(lb, B_WW), p), ld32(ld64(lb, B_WH), p))
    if q < AL_BASE:
        s = ld64(lb, B_S) + 64 * (q - LX_BASE)
        if ld64(s, S_KIND) & 0xFF == K_ESC and ld64(s, S_DATA) >= TRIE_BASE:
            return _go(lb, O_ESC_RANGE, s, 0, 0), _go(lb, O_ESC_RANGE, s, 0, 1)
    return 0, 1 << 31


@_hot
def lx_range2(lb, q):
    """A second range, nearly always empty: U+D000..D7FF and surrogate pairs
    begin alike (backslash, u, D), with other characters sorting between."""
    if q >= AL_BASE:
        return 0, 0
    s = ld64(lb, B_S) + 64 * (q - LX_BASE)
    if ld64(s, S_KIND) & 0xFF != K_ESC or ld64(s, S_DATA) < TRIE_BASE:
        return 0, 0
    return _go(lb, O_ESC_RANGE, s, 1, 0), _go(lb, O_ESC_RANGE, s, 1, 1)


@_hot
def lx_rep(lb, q):
    """The state that stands for `q` where only bytes matter (see lexer.py)."""
    if AL_BASE <= q < TRIE_BASE and ld64(lb, B_MINIMAL) == 0:
        r = ld64(lb, B_A) + 32 * (q - AL_BASE >> 5)
        if ld64(r, 0) == 0 and ld64(r, 1) == INF:
            u = q & 31
            return u if u < 16 else u + 32
    return q


@_hot
def lx_far(lb, q):
    """The state that stands for `q` within one token, where counted repeats are far from their bounds; or a code."""
    if q >= AL_BASE:
        return q
    kind = ld64(ld64(lb, B_S), 8 * (q - LX_BASE) + S_KIND)
    if kind & 0xFF != K_DFA or ld32(ld64(ld64(lb, B_M), 16 * (kind >> 8) + M_NFA), N_BLOCKS) == 0:
        return q
    return _go(lb, O_FAR, q, 0, 0)


@_hot
def lx_bounded(lb, q):
    """(state of the pattern, characters) for one pattern with an upper length.

    Until so many characters more have been read the length makes no difference:
    whatever the pattern admits can still be finished.  (-1, 0) for other states.
    """
    none = -1, 0
    if q >= AL_BASE:
        return none
    s = ld64(lb, B_S) + 64 * (q - LX_BASE)
    if ld64(s, S_KIND) & 0xFF != K_PROD:
        return none
    rec = ld64(lb, B_M) + 128 * (ld64(s, S_KIND) >> 8)
    if ld64(rec, M_K) != 2 or ld64(rec, M_NCLAUSES) != 1:
        return none
    pool = ld64(lb, B_P)
    c, tup = pool + 8 * ld64(rec, M_CLAUSES), pool + 8 * ld64(s, S_DATA)
    if ld64(c, 0) != 2 or ld64(c, 1) & 1 == 0 or ld64(c, 2) & 1 == 0 or ld64(tup, 0) != 0:
        return none
    j = 0 if ld64(pool, ld64(rec, M_COMPS)) == C_LENGTH else 1
    length, dfa = ld64(tup, 1 + j), ld64(tup, 2 - j)
    kinds = ld64(rec, M_COMPS)
    if ld64(pool, kinds + j) != C_LENGTH or ld64(pool, kinds + 1 - j) != C_DFA or length < 0 or length >> 31 != 0:
        return none
    if not LX_BASE <= dfa < AL_BASE:
        return none
    d = ld64(lb, B_S) + 64 * (dfa - LX_BASE)
    nfa = ld64(ld64(lb, B_M), 16 * (ld64(d, S_KIND) >> 8) + M_NFA)
    info = nfa + 4 * ld32(nfa, N_INFO)
    longest = 0
    for i in range(ld32(nfa, N_N)):
        longest = max(longest, ld32(info + 16 * i, 2))
    return (dfa, (length & INF) - longest) if longest < FAR else none


@_hot
def lx_open(lb, q):
    """1 if one pattern is read at `q` of which something can be matched whatever comes next, else 0."""
    if q < LX_BASE or q >= AL_BASE:
        return 0
    s = ld64(lb, B_S) + 64 * (q - LX_BASE)
    kind = ld64(s, S_KIND)
    if kind & 0xFF != K_DFA:
        return 0
    nfa = ld64(ld64(lb, B_M), 16 * (kind >> 8) + M_NFA)
    flags, states = nfa + 4 * ld32(nfa, N_OPEN), ld64(lb, B_L) + 4 * ld64(s, S_DATA)
    rows = ld32(nfa, N_N)
    for j in range(ld64(s, S_LEN)):
        x = ld32(states, j)
        if x < rows and ld32(flags, x) != 0:
            return 1
    return 0


@_hot
def lx_anylen(lb, q):
    """(lo, hi) if `q` is any string of lo..hi more characters, else (-1, -1)."""
    if AL_BASE <= q < TRIE_BASE and q & 31 == 0:
        r = ld64(lb, B_A) + 32 * (q - AL_BASE >> 5)
        return ld64(r, 0), ld64(r, 1)
    return -1, -1


@njit(nogil=True, cache=True)
def lx_call(lb, op, a, b, c):
    """Operation `op` (O_...) of the slow kernel: the one entry from Python."""
    return _call_address(ld64(lb, B_SLOW), lb, op, a, b, c)
