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

from functools import lru_cache

from llvmlite import ir
from numba import cfunc, njit, types
from numba.extending import intrinsic

from .static_dfa import LX_BASE

__all__ = ["lx_step", "lx_label", "lx_escape", "lx_range", "lx_range2", "lx_rep", "lx_anylen", "lx_call",
           "LX_BASE", "LX_DEAD", "LX_NEED", "LX_FUEL", "AL_BASE", "TRIE_BASE", "RTRIE_BASE", "INF"]

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

# Prepared NFA (int32 words): header, then offsets, edges, 4 ints a state, map.
N_N, N_E, N_CLASSES, N_START, N_NSTART, N_OFF, N_EDGE, N_INFO, N_MAP, N_REP, N_HEAD = \
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16
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



def _jit(function):
    """``njit`` for helpers: compiled once, not again for each constant argument,
    and without the wrappers that only calls from Python need."""
    kernel = njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True,
                  no_cfunc_wrapper=True)(function)
    template = kernel.get_call_template

    def get_call_template(args, kws):
        return template(tuple(types.unliteral(a) for a in args), kws)

    kernel.get_call_template = get_call_template
    return kernel


@intrinsic
def _call_address(typingctx, address, lb, op, a, b, c):
    """Call ``int64 f(int64 * 5)`` at an address."""
    word = ir.IntType(64)

    def code(context, builder, sig, args):
        kind = ir.FunctionType(word, [word] * 5)
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.int64(*[types.int64] * 6), code


# Everything that is not a memo hit is an operation of one separately compiled
# kernel, called by address: kernels that inline the hot paths stay small, and
# long call chains are not compiled again into each of their callers.
(O_STEP, O_LABEL, O_WORDS, O_ANY, O_GIVEN, O_PREPARE, O_NEW_DFA, O_START_DFA, O_NEW_PRODUCT, O_START_PRODUCT,
 O_REHASH, O_ANSWER, O_RAW_ANY, O_DISTANCES, O_SHORTEST, O_RANGE, O_RANGE2, O_REP, O_ANYLEN, O_ESCAPE, O_FEED,
 O_DECODED, O_DFA_SUCC, O_DFA_CLOSE, O_PROD_SUCC, O_PROD_CLOSE, O_PROD_LABEL, O_QUICK, O_ALIVE, O_SOME,
 O_HEX_ALIVE, O_STEP_MISS, O_ESC_OPEN, O_ESC_STEP, O_ESC_RANGE, O_ROW, O_POINT) = range(37)


@_jit
def _go(lb, op, a, b, c):
    return _call_address(ld64(lb, B_SLOW), lb, op, a, b, c)


# --------------------------------------------------------------------- tries

@_jit
def _trie(lb, p, b):
    """Decoded step in a trie: the position after byte `b`, or -1."""
    if b == 0xFF:                     # marks the ends of words, is in no text
        return -1
    w8 = ld64(lb, B_W8)
    if ld8(w8, p) == b:
        return p + 1
    w = ld32(ld64(lb, B_WW), p)
    hi = ld32(ld64(lb, B_WH), p)
    lo = w + 1                       # word w has another byte here, or ends
    if lo >= hi:
        return -1
    vo = ld64(lb, B_VO)
    d = p - ld64(vo, w)
    end = hi
    # Only the word equal to the prefix can end here, and it is w.
    while lo < end:
        mid = (lo + end) >> 1
        if ld8(w8, ld64(vo, mid) + d) < b:
            lo = mid + 1
        else:
            end = mid
    if lo < hi:
        p = ld64(vo, lo) + d
        if ld8(w8, p) == b:
            return p + 1
    return -1


@_jit
def _utf8(cp, n, d):
    """Byte `d` of the `n`-byte UTF-8 form of `cp`."""
    shift = 6 * (n - 1 - d)
    if d > 0:
        return 0x80 | ((cp >> shift) & 0x3F)
    if n == 1:
        return cp
    return (0xF00 >> n) & 0xF0 | (cp >> shift)


@_jit
def _utf8_len(cp):
    return 1 if cp < 0x80 else 2 if cp < 0x800 else 3 if cp < 0x10000 else 4


@_jit
def _trie_bound(lb, p, cp):
    """First word below node `p` whose next code point is at least `cp`."""
    w8, vo = ld64(lb, B_W8), ld64(lb, B_VO)
    w = ld32(ld64(lb, B_WW), p)
    end = ld32(ld64(lb, B_WH), p)
    d = p - ld64(vo, w)
    if ld8(w8, p) == 0xFF:
        w += 1
    n = _utf8_len(cp)
    while w < end:
        mid = (w + end) >> 1
        at = ld64(vo, mid) + d
        less = False
        for j in range(n):
            x, y = ld8(w8, at + j), _utf8(cp, n, j)
            if x != y:
                less = x < y
                break
        if less:
            w = mid + 1
        else:
            end = mid
    return w


@_jit
def _add_words(lb, count, constant):
    """Build a trie from the staged bytes and lengths (in code points).

    `constant` < 0: labels are the words' numbers; else every label is it.
    Returns the root position.  Room was made by Python.
    """
    pos0, word0 = ld64(lb, B_NW), ld64(lb, B_NV)
    src, lens = ld64(lb, B_STAGE), ld64(lb, B_STAGE2)
    w8, ww, wh = ld64(lb, B_W8), ld64(lb, B_WW), ld64(lb, B_WH)
    vo, vl = ld64(lb, B_VO), ld64(lb, B_VL)
    p = pos0
    before = 0                        # length of the previous word
    for k in range(count):
        w = word0 + k
        st64(vo, w, p)
        st32(vl, w, k if constant < 0 else constant)
        start = p
        for _ in range(ld32(lens, k)):
            c = ld8(src, 0)
            n = 1 if c < 0x80 else 2 if c < 0xE0 else 3 if c < 0xF0 else 4
            for j in range(n):
                st8(w8, p, ld8(src, j))
                st32(ww, p, w)
                p += 1
            src += n
        st8(w8, p, 0xFF)
        st32(ww, p, w)
        p += 1
        size = p - 1 - start
        same = -1
        if k > 0:
            old = ld64(vo, w - 1)
            same = 0
            while same < size and ld8(w8, old + same) == ld8(w8, start + same):
                same += 1
        # Nodes deeper than the common prefix close; `node at depth d` is found
        # through the depth's first word, kept in the staged-length array's tail.
        first = lens + 4 * count
        for d in range(same + 1, before + 1):
            if k > 0:
                st32(wh, ld64(vo, ld32(first, d)) + d, w)
        for d in range(same + 1, size + 1):
            st32(first, d, w)
        before = size
    first = lens + 4 * count
    for d in range(before + 1):
        st32(wh, ld64(vo, ld32(first, d)) + d, word0 + count)
    st64(lb, B_NW, p)
    st64(lb, B_NV, word0 + count)
    return pos0


# ------------------------------------------------------ any string, hashing

@_jit
def _mix(h, x):
    h = (h ^ x) * 0x5851F42D4C957F2D
    return h ^ (h >> 29 & 0x7FFFFFFFF)


@_jit
def _any_record(lb, lo, hi, label):
    """Index of the any-string record (lo, hi, label); room was made before."""
    table, mask = ld64(lb, B_AH), 2 * ld64(lb, B_CA) - 1
    at = ld64(lb, B_A)
    j = _mix(_mix(_mix(1, lo), hi), label) & mask
    while True:
        k = ld32(table, j) - 1
        if k < 0:
            break
        r = at + 32 * k
        if ld64(r, 0) == lo and ld64(r, 1) == hi and ld64(r, 2) == label:
            return k
        j = (j + 1) & mask
    k = ld64(lb, B_NA)
    st64(lb, B_NA, k + 1)
    r = at + 32 * k
    st64(r, 0, lo)
    st64(r, 1, hi)
    st64(r, 2, label)
    st64(r, 3, k if lo == 0 and hi == INF else -1)
    st32(table, j, k + 1)
    return k


@_jit
def _any(lb, u, lo, hi, label):
    """The state "any string of lo..hi more characters", with progress `u`."""
    if lo == 0 and hi == INF and label == 1 and ld64(lb, B_MINIMAL) == 0:
        return u if u < 16 else u + 32
    return AL_BASE + 32 * _any_record(lb, lo, hi, label) + u


@_jit
def _room(lb):
    """Is there room for one more of everything?  1, LX_NEED or LX_FUEL."""
    if (ld64(lb, B_NS) + 8 > ld64(lb, B_CS) or ld64(lb, B_NT) + 600 > ld64(lb, B_CT)
            or ld64(lb, B_NP) + ld64(lb, B_MAXK) + 8 > ld64(lb, B_CP)
            or ld64(lb, B_NL) + ld64(lb, B_MAXN) + 8 > ld64(lb, B_CL)
            or 2 * ld64(lb, B_NS) + 16 > ld64(lb, B_CH) or ld64(lb, B_NA) + 4 > ld64(lb, B_CA)):
        st64(lb, B_NEED, NEED_ROOM)
        return LX_NEED
    if ld64(lb, B_NS) > ld64(lb, B_LIMIT):
        st64(lb, B_NEED, NEED_FUEL_STATES)
        return LX_FUEL
    return 1


@_jit
def _any_next(lb, q, b):
    """Step of an any-string state, general case."""
    u = (q - AL_BASE) & 31
    t = lds8(ld64(lb, B_UJ), 256 * u + b)
    if t < 0:
        return t
    if u != 0:
        return q - u + t
    r = ld64(lb, B_A) + (q - AL_BASE >> 5) * 32
    lo, hi = ld64(r, 0), ld64(r, 1)
    if hi == 0:
        return LX_DEAD
    room = _room(lb)
    if room < 0:
        return room
    s = _any(lb, 0, max(lo - 1, 0), hi if hi == INF else hi - 1, ld64(r, 2))
    if s >= AL_BASE:
        st64(r, 3, s - AL_BASE >> 5)
        return s + t
    return t if t < 16 else t + 32


@_jit
def _any_decoded(lb, q, b):
    """Decoded step of a static or any-string state between or inside characters."""
    if q < LX_BASE:
        return lds8(ld64(lb, B_UR), 256 * q + b)
    u = (q - AL_BASE) & 31
    t = lds8(ld64(lb, B_UR), 256 * u + b)
    if t < 0:
        return t
    if u != 0:
        return q - u + t
    s = _any_next(lb, q, 0x20)        # any raw character: the count is all that matters
    return s + t if s >= 0 else s


@_jit
def _same(lb, kind, a, c, n):
    if kind == K_ESC:
        return a == c
    if kind == K_DFA:
        at = ld64(lb, B_L)
        for j in range(n):
            if ld32(at, a + j) != ld32(at, c + j):
                return False
        return True
    at = ld64(lb, B_P)
    for j in range(n):
        if ld64(at, a + j) != ld64(at, c + j):
            return False
    return True


@_jit
def _intern(lb, kind, m, h, a, n):
    """Index of the row state with this content; `a` places it in its pool."""
    st, table = ld64(lb, B_S), ld64(lb, B_H)
    mask = ld64(lb, B_CH) - 1
    h = _mix(_mix(h, m), kind) >> 2 << 2
    tag = kind | m << 8
    j = (h >> 2) & mask
    while True:
        i = ld32(table, j) - 1
        if i < 0:
            break
        s = st + 64 * i
        if ld64(s, S_HASH) >> 2 << 2 == h and ld64(s, S_KIND) == tag and ld64(s, S_LEN) == n \
                and _same(lb, kind, ld64(s, S_DATA), a, n):
            return i
        j = (j + 1) & mask
    i = ld64(lb, B_NS)
    st64(lb, B_NS, i + 1)
    s = st + 64 * i
    rec = ld64(lb, B_M) + 128 * m
    st64(s, S_ROW, 0)
    st64(s, S_JMAP, ESC_MAP if kind == K_ESC else ld64(rec, M_JMAP))
    st64(s, S_RMAP, ESC_MAP if kind == K_ESC else ld64(rec, M_RMAP))
    st64(s, S_KIND, tag)
    st64(s, S_DATA, a)
    st64(s, S_LEN, n)
    st64(s, S_LABEL, -1 if kind == K_ESC else NO_LABEL)
    st64(s, S_HASH, h | (V_NEW if kind == K_PROD else V_LIVE))
    st32(table, j, i + 1)
    return i


@_jit
def _rehash(lb):
    """Fill a fresh, larger hash table of states and one of any-string records."""
    table, mask = ld64(lb, B_H), ld64(lb, B_CH) - 1
    for i in range(ld64(lb, B_NS)):
        s = ld64(lb, B_S) + 64 * i
        if ld64(s, S_KIND) & 0xFF == K_GIVEN:
            continue
        j = (ld64(s, S_HASH) >> 2) & mask
        while ld32(table, j) != 0:
            j = (j + 1) & mask
        st32(table, j, i + 1)
    table, mask = ld64(lb, B_AH), 2 * ld64(lb, B_CA) - 1
    for k in range(ld64(lb, B_NA)):
        r = ld64(lb, B_A) + 32 * k
        j = _mix(_mix(_mix(1, ld64(r, 0)), ld64(r, 1)), ld64(r, 2)) & mask
        while ld32(table, j) != 0:
            j = (j + 1) & mask
        st32(table, j, k + 1)
    return 0


@_jit
def _row(lb, s):
    """Offset of the memo row of the state record at `s`, made if missing."""
    row = ld64(s, S_ROW)
    if row == 0:
        kind = ld64(s, S_KIND)
        cols = ESC_COLS if kind & 0xFF == K_ESC else ld64(ld64(lb, B_M), 16 * (kind >> 8) + M_COLS) + 2
        row = ld64(lb, B_NT)
        st64(lb, B_NT, row + cols)
        t = ld64(lb, B_T) + 4 * row
        for j in range(cols):
            st32(t, j, UNKNOWN)
        if kind & 0xFF != K_ESC:
            st32(t, cols - 1, LX_DEAD)
        st64(s, S_ROW, row)
    return row


# ----------------------------------------------------------- determinisation

@_jit
def _dfa_close(lb, m, h, size):
    """State of the NFA set written behind the end of the int32 pool."""
    nfa = ld64(ld64(lb, B_M), 16 * m + M_NFA)
    info = nfa + 4 * ld32(nfa, N_INFO)
    at = ld64(lb, B_L) + 4 * ld64(lb, B_NL)
    accept = False
    for j in range(size):
        x = info + 16 * ld32(at, j)
        u = ld32(x, 1)
        if u >= 0:                    # some branch accepts everything from here
            if ld64(ld64(lb, B_M), 16 * m + M_JSON) == 0:
                return ld64(lb, B_RAWANY) + u
            return _any(lb, u, 0, INF, 1)
        accept |= ld32(x, 0) != 0
    before = ld64(lb, B_NS)
    i = _intern(lb, K_DFA, m, h, ld64(lb, B_NL), size)
    if i == before:
        st64(lb, B_NL, ld64(lb, B_NL) + size)
        st64(ld64(lb, B_S), 8 * i + S_LABEL, 1 if accept else -1)
    return LX_BASE + i


@_jit
def _dfa_start(lb, m):
    room = _room(lb)
    if room < 0:
        return room
    nfa = ld64(ld64(lb, B_M), 16 * m + M_NFA)
    at = ld64(lb, B_L) + 4 * ld64(lb, B_NL)
    size = ld32(nfa, N_NSTART)
    if size == 0:
        return LX_DEAD
    h = 0
    for j in range(size):
        x = ld32(nfa, ld32(nfa, N_START) + j)
        st32(at, j, x)
        h = _mix(h, x)
    return _go(lb, O_DFA_CLOSE, m, h, size)


@_jit
def _dfa_succ(lb, s, b):
    """Successor of a DFA state on decoded byte `b`."""
    m = ld64(s, S_KIND) >> 8
    nfa = ld64(ld64(lb, B_M), 16 * m + M_NFA)
    off, edge = nfa + 4 * ld32(nfa, N_OFF), nfa + 4 * ld32(nfa, N_EDGE)
    bits = ld64(lb, B_BITS)
    src = ld64(lb, B_L) + 4 * ld64(s, S_DATA)
    low, high = ld64(lb, B_MAXN), -1
    for j in range(ld64(s, S_LEN)):
        x = off + 4 * ld32(src, j)
        for e in range(ld32(x, 0), ld32(x, 1)):
            span = ld32(edge, 2 * e)
            if span & 0xFF <= b <= span >> 8:
                y = ld32(edge, 2 * e + 1)
                word = bits + 8 * (y >> 6)
                st64(word, 0, ld64(word, 0) | 1 << (y & 63))
                low, high = min(low, y >> 6), max(high, y >> 6)
    if high < 0:
        return LX_DEAD
    at = ld64(lb, B_L) + 4 * ld64(lb, B_NL)
    size = h = 0
    for w in range(low, high + 1):
        v = ld64(bits, w)
        st64(bits, w, 0)
        while v != 0:
            x = w << 6 | _lowest(v)
            v &= v - 1
            st32(at, size, x)
            h = _mix(h, x)
            size += 1
    return _go(lb, O_DFA_CLOSE, m, h, size)


# ------------------------------------------------------------------ products

@_jit
def _asked(lb, m, bits):
    """The label Python gave for (machine, bits), or LX_NEED."""
    table, mask = ld64(lb, B_Y), ld64(lb, B_CY) - 1
    j = _mix(_mix(7, bits), m) & mask
    while ld64(table, 3 * j) != 0:
        if ld64(table, 3 * j) == m + 1 and ld64(table, 3 * j + 1) == bits:
            return ld64(table, 3 * j + 2)
        j = (j + 1) & mask
    st64(lb, B_NEED, NEED_LABEL)
    st64(lb, B_ARG1, m)
    st64(lb, B_ARG2, bits)
    return LX_NEED


@_jit
def _answer(lb, m, bits, label):
    table, mask = ld64(lb, B_Y), ld64(lb, B_CY) - 1
    j = _mix(_mix(7, bits), m) & mask
    while ld64(table, 3 * j) != 0:
        j = (j + 1) & mask
    st64(table, 3 * j, m + 1)
    st64(table, 3 * j + 1, bits)
    st64(table, 3 * j + 2, label)
    st64(lb, B_NY, ld64(lb, B_NY) + 1)
    return 0


@_jit
def _clause(lb, c, tup):
    """Three-valued clause at pool address `c`: -1 refuted, else open literals.

    A clause is a count, then ``2*component + wanted`` for each literal.
    """
    left = 0
    for j in range(ld64(c, 0)):
        x = ld64(c, 1 + j)
        v = ld64(tup, 1 + (x >> 1))
        if v >= 0:
            left += 1
        elif (v == ALWAYS) != (x & 1 == 1):
            return -1
    return left


@_jit
def _prod_close(lb, m):
    """Canonical state of the tuple behind the end of the int64 pool.

    The tuple is (UTF-8 progress, component values); dead components are -1.
    Where one open component decides, its own state stands for the tuple.
    """
    rec = ld64(lb, B_M) + 128 * m
    pool = ld64(lb, B_P)
    tup = pool + 8 * ld64(lb, B_NP)
    k, u = ld64(rec, M_K), ld64(tup, 0)
    json = ld64(rec, M_JSON)
    nclauses = ld64(rec, M_NCLAUSES)
    if nclauses < 0:                  # labels come from Python
        bits = 0
        decided = json == 1 and k <= 62
        for j in range(k):
            v = ld64(tup, 1 + j)
            if v >= 0:
                decided = False
            elif v == ALWAYS and k <= 62:
                bits |= 1 << j
        if decided:
            label = _asked(lb, m, bits)
            return label if label < 0 else _any(lb, u, 0, INF, label)
    else:
        open_clauses = left = 0
        only = pool
        c = pool + 8 * ld64(rec, M_CLAUSES)
        for _ in range(nclauses):
            r = _clause(lb, c, tup)
            if r == 0:
                return _any(lb, u, 0, INF, 1) if json else ld64(lb, B_RAWANY) + u
            if r > 0:
                open_clauses += 1
                only, left = c, r
            c += 8 + 8 * ld64(c, 0)
        if open_clauses == 0:
            return LX_DEAD
        if open_clauses == 1:
            for j in range(ld64(only, 0)):
                x = ld64(only, 1 + j)
                v = ld64(tup, 1 + (x >> 1))
                if left == 1 and v >= 0 and x & 1:
                    kind = ld64(pool, ld64(rec, M_COMPS) + (x >> 1))
                    if kind != C_LENGTH:
                        return v
                    if json:
                        return _any(lb, u, v >> 31, v & INF, 1)
    n = k + 1
    h = 0
    for j in range(n):
        h = _mix(h, ld64(tup, j))
    before = ld64(lb, B_NS)
    i = _intern(lb, K_PROD, m, h, ld64(lb, B_NP), n)
    if i == before:
        st64(lb, B_NP, ld64(lb, B_NP) + n)
    return LX_BASE + i


@_jit
def _prod_succ(lb, s, b):
    """Successor of a product state on decoded byte `b`; liveness not examined."""
    m = ld64(s, S_KIND) >> 8
    k = ld64(s, S_LEN) - 1
    old = ld64(s, S_DATA)
    u = ld64(ld64(lb, B_P), old)
    t = lds8(ld64(lb, B_UR), 256 * u + b)
    if t < 0:
        return LX_DEAD
    comps = ld64(ld64(lb, B_M), 16 * m + M_COMPS)
    any0 = ld64(lb, B_RAWANY)
    pool = ld64(lb, B_P)
    new = pool + 8 * ld64(lb, B_NP)
    st64(new, 0, t)
    for j in range(k):
        v = ld64(pool, old + 1 + j)
        if v >= 0:
            kind = ld64(pool, comps + j)
            if kind != C_LENGTH:
                v = _go(lb, O_DECODED, v, b, 0)
                if v <= LX_NEED:
                    return v
                if kind == C_DFA and v >= 0 and (v < LX_BASE or v >= AL_BASE or any0 <= v < any0 + 8):
                    v = ALWAYS
            elif u == 0:              # a length counts at the first byte
                if v & INF == 0:
                    v = -1
                else:
                    if v >> 31 > 0:
                        v -= 1 << 31
                    if v & INF != INF:
                        v -= 1
                    if v == INF:
                        v = ALWAYS
        st64(new, 1 + j, v)
    return _go(lb, O_PROD_CLOSE, m, 0, 0)


@_jit
def _prod_label(lb, s):
    """Label of a product state; -1 none, LX_NEED when Python has to say."""
    label = ld64(s, S_LABEL)
    if label != NO_LABEL:
        return label
    m = ld64(s, S_KIND) >> 8
    rec = ld64(lb, B_M) + 128 * m
    pool = ld64(lb, B_P)
    tup = pool + 8 * ld64(s, S_DATA)
    k = ld64(rec, M_K)
    label = -1
    if ld64(tup, 0) == 0:
        # Accepting components, as a bitset in 62-bit words behind the pool's end.
        acc = pool + 8 * ld64(lb, B_NP)
        for j in range(k // 62 + 1):
            st64(acc, j, 0)
        for j in range(k):
            v = ld64(tup, 1 + j)
            yes = v == ALWAYS
            if v >= 0:
                kind = ld64(pool, ld64(rec, M_COMPS) + j)
                if kind == C_DFA:
                    yes = ld64(ld64(lb, B_S), 8 * (v - LX_BASE) + S_LABEL) >= 0
                elif kind == C_TRIE:
                    yes = ld8(ld64(lb, B_W8), (v & (TRIE_BASE - 1))) == 0xFF
                else:
                    yes = v >> 31 == 0
            if yes:
                word = acc + 8 * (j // 62)
                st64(word, 0, ld64(word, 0) | 1 << (j % 62))
        n = ld64(rec, M_NCLAUSES)
        if n < 0 and k > 62:
            st64(lb, B_NEED, NEED_STATE_LABEL)
            st64(lb, B_ARG1, s - ld64(lb, B_S) >> 6)
            st64(lb, B_ARG2, m)
            return LX_NEED
        if n < 0:
            label = _asked(lb, m, ld64(acc, 0))
            if label == LX_NEED:
                return label
        c = pool + 8 * ld64(rec, M_CLAUSES)
        for _ in range(n):
            good = True
            for j in range(ld64(c, 0)):
                x = ld64(c, 1 + j)
                if (ld64(acc, (x >> 1) // 62) >> ((x >> 1) % 62)) & 1 != x & 1:
                    good = False
                    break
            if good:
                label = 1
                break
            c += 8 + 8 * ld64(c, 0)
    st64(s, S_LABEL, label)
    return label


@_jit
def _quick(lb, s):
    """Liveness of one DFA with one length, from distances: 1, 0, or -1 unsure."""
    m = ld64(s, S_KIND) >> 8
    rec = ld64(lb, B_M) + 128 * m
    pool = ld64(lb, B_P)
    tup = pool + 8 * ld64(s, S_DATA)
    if ld64(rec, M_NCLAUSES) != 1:
        return -1
    dfa = length = -1
    c = pool + 8 * ld64(rec, M_CLAUSES)
    for j in range(ld64(c, 0)):
        x = ld64(c, 1 + j)
        v = ld64(tup, 1 + (x >> 1))
        if v < 0:
            continue
        kind = ld64(pool, ld64(rec, M_COMPS) + (x >> 1))
        if x & 1 == 0 or kind == C_TRIE:
            return -1
        if kind == C_LENGTH:
            length = v
        elif dfa >= 0:
            return -1
        else:
            dfa = v
    if dfa < 0 or length < 0:
        return -1
    d = ld64(lb, B_S) + 64 * (dfa - LX_BASE)
    nfa = ld64(ld64(lb, B_M), 16 * (ld64(d, S_KIND) >> 8) + M_NFA)
    info = nfa + 4 * ld32(nfa, N_INFO)
    least = pump = FAR
    for j in range(ld64(d, S_LEN)):
        x = info + 16 * ld32(ld64(lb, B_L), ld64(d, S_DATA) + j)
        least, pump = min(least, ld32(x, 2)), min(pump, ld32(x, 3))
    lo, hi = length >> 31, length & INF
    if least > hi:
        return 0
    if least >= lo or (pump < FAR and pump <= hi):
        return 1
    return -1


@_jit
def _alive(lb, q):
    """Can product state `q` accept?  1, 0, LX_NEED, LX_FUEL; breadth first, memoised."""
    queue = ld64(lb, B_Q)
    st64(queue, 0, q - LX_BASE)
    st64(queue, 1, -1)
    head, tail = 0, 1
    out = 0
    s0 = ld64(lb, B_S)
    s = s0 + 64 * (q - LX_BASE)
    flag = ld64(s, S_HASH) & 3
    if flag == V_LIVE or flag == V_DEAD:
        return 1 if flag == V_LIVE else 0
    st64(s, S_HASH, ld64(s, S_HASH) | V_SEEN)
    while head < tail and out == 0:
        s = s0 + 64 * ld64(queue, 2 * head)
        rec = ld64(lb, B_M) + 128 * (ld64(s, S_KIND) >> 8)
        out = _go(lb, O_PROD_LABEL, s, 0, 0)
        if out <= LX_NEED:
            break
        sure = 1 if out >= 0 else _go(lb, O_QUICK, s, 0, 0)
        out = 0
        if sure >= 0:
            out = sure
            if sure == 1:
                break
            head += 1                 # dead for certain: nothing below it matters
            continue
        reps = ld64(rec, M_REPS)
        for col in range(ld64(rec, M_COLS)):
            out = _room(lb)
            if out < 0:
                break
            fuel = ld64(lb, B_FUEL) - 1
            if fuel < 0:
                st64(lb, B_NEED, NEED_FUEL_STEPS)
                st64(lb, B_ARG1, ld64(s, S_KIND) >> 8)
                out = LX_FUEL
                break
            st64(lb, B_FUEL, fuel)
            at = ld64(lb, B_T) + 4 * (_row(lb, s) + col)
            t = ld32(at, 0)
            out = 0
            if t == UNKNOWN:
                t = _go(lb, O_PROD_SUCC, s, ld16(ld64(lb, B_C), reps + col), 0)
                if t == LX_NEED or t == LX_FUEL:
                    out = t
                    break
                if t >= LX_BASE and t < AL_BASE \
                        and ld64(s0, 8 * (t - LX_BASE) + S_KIND) & 0xFF == K_PROD:
                    t = -10 - t
                st32(at, 0, t)
            if t >= 0:
                out = 1
                break
            if t == LX_DEAD:
                continue
            r = s0 + 64 * (-10 - t - LX_BASE)
            flag = ld64(r, S_HASH) & 3
            if flag == V_LIVE:
                out = 1
                break
            if flag == V_NEW:
                if tail >= ld64(lb, B_CQ):
                    st64(lb, B_NEED, NEED_ROOM)
                    out = LX_NEED
                    break
                st64(r, S_HASH, ld64(r, S_HASH) | V_SEEN)
                st64(queue, 2 * tail, r - s0 >> 6)
                st64(queue, 2 * tail + 1, head)
                tail += 1
        if out == 0:
            head += 1
    if out == 0:                      # exhausted: everything seen is dead
        for j in range(tail):
            r = s0 + 64 * ld64(queue, 2 * j) + 8 * S_HASH
            st64(r, 0, ld64(r, 0) >> 2 << 2 | V_DEAD)
        return 0
    for j in range(tail):
        r = s0 + 64 * ld64(queue, 2 * j) + 8 * S_HASH
        st64(r, 0, ld64(r, 0) >> 2 << 2)
    if out > 0:                       # the path found is live
        while head >= 0:
            r = s0 + 64 * ld64(queue, 2 * head) + 8 * S_HASH
            st64(r, 0, ld64(r, 0) >> 2 << 2 | V_LIVE)
            head = ld64(queue, 2 * head + 1)
        return 1
    return out


@_jit
def _checked(lb, t):
    """`t` itself if it can accept, LX_DEAD if not; only products need a look."""
    if t < LX_BASE or t >= AL_BASE:
        return t
    s = ld64(lb, B_S) + 64 * (t - LX_BASE)
    if ld64(s, S_HASH) & 3 == V_LIVE:
        return t
    r = _go(lb, O_ALIVE, t, 0, 0)
    return t if r == 1 else LX_DEAD if r == 0 else r


@_jit
def _decoded(lb, q, b):
    """Step of any base state on a decoded byte; alive, LX_DEAD, LX_NEED, LX_FUEL."""
    if q >= TRIE_BASE:
        t = _trie(lb, q & (TRIE_BASE - 1), b)
        return t if t < 0 else t | q & ~(TRIE_BASE - 1)
    if q < LX_BASE or q >= AL_BASE:
        return _any_decoded(lb, q, b)
    s = ld64(lb, B_S) + 64 * (q - LX_BASE)
    col = ld16(ld64(lb, B_C), ld64(s, S_RMAP) + b)
    t = ld32(ld64(lb, B_T), ld64(s, S_ROW) + col)
    if t >= LX_DEAD:
        return t
    r = _room(lb)
    if r < 0:
        return r
    col += _row(lb, s)                # before anything below uses up the room
    if t == UNKNOWN:
        if ld64(s, S_KIND) & 0xFF == K_DFA:
            t = _go(lb, O_DFA_SUCC, s, b, 0)
        else:
            t = _go(lb, O_PROD_SUCC, s, b, 0)
    else:
        t = -10 - t
    t = _checked(lb, t)
    if t >= LX_DEAD:
        st32(ld64(lb, B_T), col, t)
    return t


# ------------------------------------------------------------------- escapes

@_jit
def _point(lb, q, cp):
    """Decoded step over a whole code point."""
    n = _utf8_len(cp)
    for d in range(n):
        q = _go(lb, O_DECODED, q, _utf8(cp, n, d), 0)
        if q < 0:
            break
    return q


@_jit
def _some(lb, q, lo, hi):
    """May a code point in lo..hi follow `q`?  1, 0, LX_NEED, LX_FUEL."""
    x = lo
    while x <= hi:
        n = _utf8_len(x)
        s = q
        for d in range(n):
            s = _go(lb, O_DECODED, s, _utf8(x, n, d), 0)
            shift = 6 * (n - 1 - d)
            last = x | (1 << shift) - 1
            if s <= LX_NEED:
                return s
            if s < 0:                 # nothing under this prefix
                x = last + 1
                break
            if last <= hi and x == last >> shift << shift:
                return 1              # all of the prefix is in range, and it lives
    return 0


@_jit
def _short(b, minimal):
    """Code point of the escape backslash `b`, or -1."""
    if b == 0x22 or b == 0x5C or (b == 0x2F and minimal == 0):
        return b
    if b == 0x62:
        return 8
    if b == 0x66:
        return 12
    if b == 0x6E:
        return 10
    if b == 0x72:
        return 13
    return 9 if b == 0x74 else -1


@_jit
def _lone(cp):
    """Is `cp` a control without a short escape (what minimal spells in hex)?"""
    return cp < 32 and not (8 <= cp <= 13 and cp != 11)


@_jit
def _esc_state(lb, base, e):
    room = _room(lb)
    if room < 0:
        return room
    return LX_BASE + _intern(lb, K_ESC, 0, _mix(base, e), base, e)


@_jit
def _hex_alive(lb, base, v, k):
    """May a code point spelled backslash u, `k` digits `v`, ... follow?"""
    a = v << 4 * (4 - k)
    c = a + (1 << 4 * (4 - k)) - 1
    if ld64(lb, B_MINIMAL):
        for cp in range(a, min(c, 31) + 1):
            if _lone(cp):
                r = _go(lb, O_DECODED, base, cp, 0)
                if r != LX_DEAD:
                    return 1 if r >= 0 else r
        return 0
    r = _go(lb, O_SOME, base, a, min(c, 0xD7FF))
    if r == 0:
        r = _go(lb, O_SOME, base, max(a, 0xE000), c)
    if r == 0 and c >= 0xD800 and a <= 0xDBFF:
        r = _go(lb, O_SOME, base, 0x10000 + (max(a, 0xD800) - 0xD800 << 10),
                  0x103FF + (min(c, 0xDBFF) - 0xD800 << 10))
    return r


@_jit
def _esc_open(lb, base):
    """From `base` over a backslash."""
    r = 0
    if ld64(lb, B_MINIMAL):
        for j in range(34):
            r = _go(lb, O_DECODED, base, j if j < 32 else 0x22 if j == 32 else 0x5C, 0)
            if r != LX_DEAD:
                break
        r = 1 if r >= 0 else 0 if r == LX_DEAD else r
    else:
        r = _go(lb, O_SOME, base, 0, 0x10FFFF)
    if r <= 0:
        return LX_DEAD if r == 0 else r
    return _esc_state(lb, base, 0)


@_jit
def _esc_step(lb, s, b):
    """Step inside an escape.

    Progress is ``phase | digits << 3 | value << 5 | high << 24``; phases: 0
    after the backslash, 1 after u, 2 after a high surrogate, 3 after its
    second backslash, 4 after the second u.
    """
    base, e = ld64(s, S_DATA), ld64(s, S_LEN)
    minimal = ld64(lb, B_MINIMAL)
    phase, k, v, high = e & 7, e >> 3 & 3, e >> 5 & 0xFFFF, e >> 24
    if phase == 0:
        if b == 0x75:
            r = _go(lb, O_HEX_ALIVE, base, 0, 0)
            return _esc_state(lb, base, 1) if r == 1 else LX_DEAD if r == 0 else r
        cp = _short(b, minimal)
        return LX_DEAD if cp < 0 else _go(lb, O_POINT, base, cp, 0)
    if phase == 2:
        return _esc_state(lb, base, 3 | high << 24) if b == 0x5C else LX_DEAD
    if phase == 3:
        return _esc_state(lb, base, 4 | high << 24) if b == 0x75 else LX_DEAD
    if 0x30 <= b <= 0x39:
        d = b - 0x30
    elif 0x61 <= b <= 0x66:
        d = b - 0x57
    elif 0x41 <= b <= 0x46 and minimal == 0:
        d = b - 0x37
    else:
        return LX_DEAD
    v = v << 4 | d
    k += 1
    if phase == 1:
        if k < 4:
            r = _go(lb, O_HEX_ALIVE, base, v, k)
            return _esc_state(lb, base, 1 | k << 3 | v << 5) if r == 1 else LX_DEAD if r == 0 else r
        if minimal:
            return _go(lb, O_DECODED, base, v, 0) if _lone(v) else LX_DEAD
        if v < 0xD800 or v > 0xDFFF:
            return _go(lb, O_POINT, base, v, 0)
        if v > 0xDBFF:
            return LX_DEAD
        high = v - 0xD800
        r = _go(lb, O_SOME, base, 0x10000 + (high << 10), 0x103FF + (high << 10))
        return _esc_state(lb, base, 2 | high << 24) if r == 1 else LX_DEAD if r == 0 else r
    a = max(v << 4 * (4 - k), 0xDC00)
    c = min((v + 1 << 4 * (4 - k)) - 1, 0xDFFF)
    if a > c:
        return LX_DEAD
    start = 0x10000 + (high << 10) - 0xDC00
    if k == 4:
        return _go(lb, O_POINT, base, start + v, 0)
    r = _go(lb, O_SOME, base, start + a, start + c)
    return _esc_state(lb, base, 4 | k << 3 | v << 5 | high << 24) if r == 1 else LX_DEAD if r == 0 else r


# ----------------------------------------------------- what the engine calls

@_jit
def _step_miss(lb, q, b):
    """A step that the hot paths of lx_step do not cover."""
    if q >= AL_BASE:
        if q < TRIE_BASE:
            return _any_next(lb, q, b)
        if q < RTRIE_BASE:
            if b < 0x20 or b == 0x22:
                return LX_DEAD
            if b == 0x5C:
                return _go(lb, O_ESC_OPEN, q, 0, 0)
        t = _trie(lb, q & (TRIE_BASE - 1), b)
        return t if t < 0 else t | q & ~(TRIE_BASE - 1)
    s = ld64(lb, B_S) + 64 * (q - LX_BASE)
    kind = ld64(s, S_KIND)
    t = _room(lb)
    if t < 0:
        return t
    col = ld16(ld64(lb, B_C), ld64(s, S_JMAP) + b) + _row(lb, s)
    if kind & 0xFF == K_ESC:
        t = _go(lb, O_ESC_STEP, s, b, 0)
    elif b == 0x5C and ld64(ld64(lb, B_M), 16 * (kind >> 8) + M_JSON):
        t = _go(lb, O_ESC_OPEN, q, 0, 0)
    else:
        return _go(lb, O_DECODED, q, b, 0)
    if t >= LX_DEAD:
        st32(ld64(lb, B_T), col, t)
    return t


@_jit
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


@_jit
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


@_jit
def lx_escape(lb, q):
    """1 right after a backslash (a quote is an escape there), else 0."""
    if q < AL_BASE:
        s = ld64(lb, B_S) + 64 * (q - LX_BASE)
        return 1 if ld64(s, S_KIND) & 0xFF == K_ESC and ld64(s, S_LEN) == 0 else 0
    return 1 if q < TRIE_BASE and q & 31 == 8 else 0


@_jit
def _labels(lb, w, hi):
    """Labels of the words w..hi-1 as a half-open range."""
    if w >= hi:
        return 0, 0
    vl = ld64(lb, B_VL)
    return ld32(vl, w), ld32(vl, hi - 1) + 1


@_jit
def _escape_range(lb, s, second, end):
    """First label (or, with `end`, the one after the last) still reachable from inside an escape of a trie; `second`: see lx_range2."""
    p, e = ld64(s, S_DATA) & (TRIE_BASE - 1), ld64(s, S_LEN)
    phase, k, v, high = e & 7, e >> 3 & 3, e >> 5 & 0xFFFF, e >> 24
    if phase >= 2:
        a = max(v << 4 * (4 - k), 0xDC00) if phase == 4 else 0xDC00
        c = min((v + 1 << 4 * (4 - k)) - 1, 0xDFFF) if phase == 4 else 0xDFFF
        start = 0x10000 + (high << 10) - 0xDC00
        a, c = start + a, start + c
    elif phase == 0 or k == 0:
        a, c = 0, 0x10FFFF
        if ld64(lb, B_MINIMAL):
            c = 0x5C if phase == 0 else 0x1F
    else:
        a = v << 4 * (4 - k)
        c = a + (1 << 4 * (4 - k)) - 1
        if a <= 0xDBFF and c >= 0xD800:
            # A high surrogate is possible: code points beyond the BMP, and, after
            # the single digit D, U+D000..D7FF as well.
            if a < 0xD800 and second == 0:
                c = 0xD7FF
            else:
                if a >= 0xD800 and second == 1:
                    return 0
                a, c = 0x10000 + (max(a, 0xD800) - 0xD800 << 10), 0x103FF + (min(c, 0xDBFF) - 0xD800 << 10)
                second = 0
        if ld64(lb, B_MINIMAL):
            c = min(c, 0x1F)
    if second == 1:
        return 0
    lo, hi = _labels(lb, _trie_bound(lb, p, a), _trie_bound(lb, p, c + 1))
    return hi if end else lo


@_jit
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


@_jit
def lx_range2(lb, q):
    """A second range, nearly always empty: U+D000..D7FF and surrogate pairs
    begin alike (backslash, u, D), with other characters sorting between."""
    if q >= AL_BASE:
        return 0, 0
    s = ld64(lb, B_S) + 64 * (q - LX_BASE)
    if ld64(s, S_KIND) & 0xFF != K_ESC or ld64(s, S_DATA) < TRIE_BASE:
        return 0, 0
    return _go(lb, O_ESC_RANGE, s, 1, 0), _go(lb, O_ESC_RANGE, s, 1, 1)


@_jit
def lx_rep(lb, q):
    """The state that stands for `q` where only bytes matter (see lexer.py)."""
    if AL_BASE <= q < TRIE_BASE and ld64(lb, B_MINIMAL) == 0:
        r = ld64(lb, B_A) + 32 * (q - AL_BASE >> 5)
        if ld64(r, 0) == 0 and ld64(r, 1) == INF:
            u = q & 31
            return u if u < 16 else u + 32
    return q


@_jit
def lx_anylen(lb, q):
    """(lo, hi) if `q` is any string of lo..hi more characters, else (-1, -1)."""
    if AL_BASE <= q < TRIE_BASE and q & 31 == 0:
        r = ld64(lb, B_A) + 32 * (q - AL_BASE >> 5)
        return ld64(r, 0), ld64(r, 1)
    return -1, -1


# --------------------------------------------------------- building machines

@_jit
def _covered(nfa, masks, ur, x, u):
    """Do edges of `x` lead over every byte legal at progress `u`, to states that go on so?"""
    off, edge = nfa + 4 * ld32(nfa, N_OFF), nfa + 4 * ld32(nfa, N_EDGE)
    b = 0
    while b < 256:
        t = lds8(ur, 256 * u + b)
        if t < 0:
            b += 1
            continue
        found = -1
        for e in range(ld32(off, x), ld32(off, x + 1)):
            span = ld32(edge, 2 * e)
            if span & 0xFF <= b <= span >> 8 \
                    and ld32(masks, 4 * ld32(edge, 2 * e + 1) + 1) >> t & 1:
                found = max(found, span >> 8)
        if found < 0:
            return False
        b += 1
        while b <= found and lds8(ur, 256 * u + b) == t:
            b += 1
    return True


@_jit
def _prepare(args):
    """Lay out an NFA for the kernels; `args` holds addresses and sizes.

    Finds byte classes (bytes with the same edges, compared by a 64-bit sum of
    edge hashes), and states that accept every continuation: the greatest
    simulation of the any-string automaton, which finds every `.*` tail.
    """
    nfa, n, m, ns = ld64(args, 0), ld64(args, 1), ld64(args, 2), ld64(args, 3)
    start, src, dst = ld64(args, 4), ld64(args, 5), ld64(args, 6)
    lo, hi, acc, ur = ld64(args, 7), ld64(args, 8), ld64(args, 9), ld64(args, 10)
    at = N_HEAD
    st32(nfa, N_N, n)
    st32(nfa, N_E, m)
    st32(nfa, N_NSTART, ns)
    st32(nfa, N_START, at)
    for j in range(ns):
        st32(nfa, at + j, ld32(start, j))
    at += ns
    off = nfa + 4 * at
    st32(nfa, N_OFF, at)
    at += n + 1
    edge = nfa + 4 * at
    st32(nfa, N_EDGE, at)
    at += 2 * m
    info = nfa + 4 * at
    st32(nfa, N_INFO, at)
    at += 4 * n
    cmap = nfa + 4 * at
    st32(nfa, N_MAP, at)
    at += 256
    reps = nfa + 4 * at
    st32(nfa, N_REP, at)
    sums = nfa + (4 * (at + 256) + 7 >> 3 << 3)
    for j in range(n + 1):
        st32(off, j, 0)
    for b in range(257):
        st64(sums, b, 0)
    for e in range(m):
        x = off + 4 * (ld32(src, e) + 1)
        st32(x, 0, ld32(x, 0) + 1)
        h = _mix(_mix(3, ld32(src, e)), ld32(dst, e))
        x = sums + 8 * ld8(lo, e)
        st64(x, 0, ld64(x, 0) + h)
        x = sums + 8 * (ld8(hi, e) + 1)
        st64(x, 0, ld64(x, 0) - h)
    for j in range(n):
        st32(off, j + 1, ld32(off, j + 1) + ld32(off, j))
    for e in range(m):                # place edges; offsets move up by one slot
        x = off + 4 * ld32(src, e)
        y = edge + 8 * ld32(x, 0)
        st32(x, 0, ld32(x, 0) + 1)
        st32(y, 0, ld8(lo, e) | ld8(hi, e) << 8)
        st32(y, 1, ld32(dst, e))
    for j in range(n, 0, -1):
        st32(off, j, ld32(off + 4 * j - 4, 0))
    st32(off, 0, 0)
    classes = total = 0
    for b in range(256):
        old = total
        total += ld64(sums, b)
        st64(sums, b, total)
        if b > 0 and total == old:
            st32(cmap, b, ld32(cmap + 4 * b - 4, 0))
            continue
        c = 0
        while c < classes and ld64(sums, ld32(reps, c)) != total:
            c += 1
        if c == classes:
            st32(reps, c, b)
            classes += 1
        st32(cmap, b, c)
    st32(nfa, N_CLASSES, classes)
    for x in range(n):
        st32(info, 4 * x, ld8(acc, x))
        st32(info, 4 * x + 1, 255 if ld8(acc, x) else 254)
        st32(info, 4 * x + 2, -1)   # distances are computed when asked for
    changed = True
    while changed:
        changed = False
        for x in range(n - 1, -1, -1):
            mask = ld32(info, 4 * x + 1)
            keep = mask
            for u in range(8):
                if keep >> u & 1 and not _covered(nfa, info, ur, x, u):
                    keep -= 1 << u
            if keep != mask:
                st32(info, 4 * x + 1, keep)
                changed = True
    for x in range(n):
        mask = ld32(info, 4 * x + 1)
        out = -1
        for u in range(8):
            if mask >> u & 1 and out < 0:
                out = u
                for e in range(ld32(off, x), ld32(off, x + 1)):
                    span = ld32(edge, 2 * e)
                    for b in range(span & 0xFF, (span >> 8) + 1):
                        if lds8(ur, 256 * u + b) < 0:
                            out = -1
        st32(info, 4 * x + 1, out)
    return 0


@_jit
def _distances(nfa):
    """Least characters from each NFA state to acceptance, and through a one-character loop.

    A character counts at its first byte.
    """
    n = ld32(nfa, N_N)
    off, edge = nfa + 4 * ld32(nfa, N_OFF), nfa + 4 * ld32(nfa, N_EDGE)
    info = nfa + 4 * ld32(nfa, N_INFO)
    for x in range(n):
        st32(info, 4 * x + 2, 0 if ld32(info, 4 * x) else FAR)
        st32(info, 4 * x + 3, FAR)
    for slot in (8, 12):
        if slot == 12:
            for x in range(n):
                for e in range(ld32(off, x), ld32(off, x + 1)):
                    if ld32(edge, 2 * e + 1) == x and ld32(edge, 2 * e) & 0xFF < 0x80:
                        st32(info, 4 * x + 3, ld32(info, 4 * x + 2))
        changed = True
        while changed:
            changed = False
            for x in range(n - 1, -1, -1):
                best = ld32(info + 16 * x + slot, 0)
                for e in range(ld32(off, x), ld32(off, x + 1)):
                    b = ld32(edge, 2 * e) & 0xFF
                    y = ld32(info + 16 * ld32(edge, 2 * e + 1) + slot, 0)
                    y += 0 if 0x80 <= b < 0xC0 else 1
                    if y < best:
                        best = y
                        changed = True
                st32(info + 16 * x + slot, 0, best)
    return 0


@_jit
def _maps(lb, rec, cols, json):
    """Finish a machine's maps: the decoded one is at the end of the table."""
    c = ld64(lb, B_C)
    at = ld64(lb, B_NC)
    st64(rec, M_RMAP, at)
    st64(rec, M_JMAP, at)
    st64(rec, M_COLS, cols)
    st64(rec, M_JSON, json)
    if json:
        st64(rec, M_JMAP, at + 256)
        for b in range(256):
            col = ld16(c, at + b)
            if b < 0x20 or b == 0x22:
                col = cols + 1
            elif b == 0x5C:
                col = cols
            st16(c, at + 256 + b, col)
    st64(lb, B_NC, at + 768)
    st64(rec, M_REPS, at + 512)


@_jit
def _new_dfa(lb, nfa, json):
    """Register a prepared NFA as a machine; Python made room.  Its number."""
    m = ld64(lb, B_NM)
    rec = ld64(lb, B_M) + 128 * m
    st64(rec, M_NFA, nfa)
    st64(rec, M_K, 0)
    cmap = nfa + 4 * ld32(nfa, N_MAP)
    c = ld64(lb, B_C) + 2 * ld64(lb, B_NC)
    for b in range(256):
        st16(c, b, ld32(cmap, b))
    _maps(lb, rec, ld32(nfa, N_CLASSES), json)
    st64(lb, B_NM, m + 1)
    return m


@_jit
def _new_product(lb, args, json):
    """Register a product; `args`: k, types, start values, clause count, words, clauses."""
    m = ld64(lb, B_NM)
    rec = ld64(lb, B_M) + 128 * m
    k = ld64(args, 0)
    words = ld64(args, 2 * k + 2)
    pool, at = ld64(lb, B_P), ld64(lb, B_NP)
    st64(rec, M_NFA, 0)
    st64(rec, M_K, k)
    st64(rec, M_COMPS, at)
    st64(rec, M_CLAUSES, at + 2 * k)
    st64(rec, M_NCLAUSES, ld64(args, 2 * k + 1))
    for j in range(2 * k):
        st64(pool, at + j, ld64(args, 1 + j))
    for j in range(words):
        st64(pool, at + 2 * k + j, ld64(args, 2 * k + 3 + j))
    st64(lb, B_NP, at + 2 * k + words)
    # Bytes are alike when UTF-8 and every component treat them alike.
    st, c, ur = ld64(lb, B_S), ld64(lb, B_C), ld64(lb, B_UR)
    new = c + 2 * ld64(lb, B_NC)
    cols = 0
    sums = ld64(lb, B_Q)
    for b in range(256):
        h = 5
        for u in range(8):
            h = _mix(h, lds8(ur, 256 * u + b))
        for j in range(k):
            v = ld64(pool, at + k + j)
            kind = ld64(pool, at + j)
            if kind == C_TRIE:
                h = _mix(h, b)        # every byte for itself
            elif kind == C_DFA and LX_BASE <= v < AL_BASE:
                h = _mix(h, ld16(c, ld64(st, 8 * (v - LX_BASE) + S_RMAP) + b))
        st64(sums, b, h)
        col = 0
        while col < cols and ld64(sums, ld16(new, 512 + col)) != h:
            col += 1
        if b > 0 and ld64(sums + 8 * b - 8, 0) == h:
            col = ld16(new + 2 * b - 2, 0)
        if col == cols:
            st16(new, 512 + col, b)
            cols += 1
        st16(new, b, col)
    _maps(lb, rec, cols, json)
    st64(lb, B_NM, m + 1)
    return m


@_jit
def _start_product(lb, m):
    room = _room(lb)
    if room < 0:
        return room
    rec = ld64(lb, B_M) + 128 * m
    pool, k = ld64(lb, B_P), ld64(rec, M_K)
    tup = pool + 8 * ld64(lb, B_NP)
    st64(tup, 0, 0)
    for j in range(k):
        st64(tup, 1 + j, ld64(pool, ld64(rec, M_COMPS) + k + j))
    return _checked(lb, _go(lb, O_PROD_CLOSE, m, 0, 0))


@_jit
def _raw_any(lb, m):
    """The eight states of "any text" in raw mode, consecutive, alive."""
    first = ld64(lb, B_NS)
    for u in range(8):
        at = ld64(lb, B_NP)
        st64(ld64(lb, B_P), at, u)
        i = _intern(lb, K_PROD, m, _mix(0, u), at, 1)
        st64(lb, B_NP, at + 1)
        s = ld64(lb, B_S) + 64 * i + 8 * S_HASH
        st64(s, 0, ld64(s, 0) | V_LIVE)
    return LX_BASE + first


@_jit
def _given(lb, trans, labels, n):
    """Copy a complete table; Python made room.  Its first state."""
    first, row = ld64(lb, B_NS), ld64(lb, B_NT)
    out = ld64(lb, B_T) + 4 * row
    for j in range(256 * n):
        t = ld32(trans, j)
        st32(out, j, t if t < 0 else t + first + LX_BASE)
    for j in range(n):
        s = ld64(lb, B_S) + 64 * (first + j)
        st64(s, S_ROW, row + 256 * j)
        st64(s, S_JMAP, 0)
        st64(s, S_RMAP, 0)
        st64(s, S_KIND, K_GIVEN)
        st64(s, S_DATA, 0)
        st64(s, S_LEN, 0)
        st64(s, S_LABEL, ld32(labels, j))
        st64(s, S_HASH, V_LIVE)
    st64(lb, B_NS, first + n)
    st64(lb, B_NT, row + 256 * n)
    return LX_BASE + first


@_jit
def _shortest(lb, args):
    """Breadth-first search for the nearest acceptable end; see Lexer.shortest.

    The queue holds (state, parent, byte).  Returns the accepting entry,
    LX_NEED, LX_FUEL, -4 (queue full) or -5 (label in B_ARG1 not judged yet).
    """
    queue, cap, seen, mask = ld64(args, 0), ld64(args, 1), ld64(args, 2), ld64(args, 3)
    verdict, nverdict, q = ld64(args, 4), ld64(args, 5), ld64(args, 6)
    for j in range(mask + 1):
        st64(seen, j, 0)
    st64(queue, 0, q)
    st64(queue, 1, -1)
    head, tail = 0, 1
    while head < tail:
        q = ld64(queue, 3 * head)
        u = q if q < 16 else q - 32
        label = _go(lb, O_LABEL, q, 0, 0) if q >= LX_BASE else 1 if q == 0 else -1
        if label == LX_NEED or label == LX_FUEL:
            return label
        if label >= 0:
            v = ld8(verdict, label) if label < nverdict else 0
            if v == 0:
                st64(lb, B_ARG1, label)
                return -5
            if v == 1:
                return head
        escape = -1
        if LX_BASE <= q < AL_BASE:
            s = ld64(lb, B_S) + 64 * (q - LX_BASE)
            if ld64(s, S_KIND) & 0xFF == K_ESC:
                escape = ld64(s, S_LEN)
        for b in range(256):
            if escape > 0 and (b > 0x46 or (escape < 17 and b != 0x30) or (escape == 17 and b > 0x31)) \
                    and not (ld64(lb, B_MINIMAL) and b > 0x60):
                continue              # only controls are worth spelling in hex
            if q >= LX_BASE:
                t = _go(lb, O_STEP, q, b, 0)
            else:
                t = lds8(ld64(lb, B_UJ), 256 * u + b)
                t = t if t < 16 else t + 32
            if t < 0:
                if t != LX_DEAD:
                    return t
                continue
            j = _mix(11, t) & mask
            while ld64(seen, j) != 0 and ld64(seen, j) != t + 1:
                j = (j + 1) & mask
            if ld64(seen, j) == 0:
                if tail >= cap:
                    return -4
                st64(seen, j, t + 1)
                st64(queue, 3 * tail, t)
                st64(queue, 3 * tail + 1, head)
                st64(queue, 3 * tail + 2, b)
                tail += 1
        head += 1
    return LX_DEAD


@_jit
def _feed(lb, q, size):
    """Run `size` staged bytes from `q`."""
    for j in range(size):
        q = lx_step(lb, q, ld8(ld64(lb, B_STAGE), j))
        if q < 0:
            break
    return q


@_jit
def _all_steps(lb, q, out):
    """Write the 256 steps of `q` at an address."""
    for b in range(256):
        t = lx_step(lb, q, b)
        if t <= LX_NEED:
            return t
        st64(out, b, t)
    return 0


def _slow(lb, op, a, b, c):
    if op < O_REHASH:
        if op == O_STEP:
            return lx_step(lb, a, b)
        if op == O_LABEL:
            return lx_label(lb, a)
        if op == O_WORDS:
            return _add_words(lb, a, b)
        if op == O_ANY:
            return _any(lb, 0, a, b, c)
        if op == O_GIVEN:
            return _given(lb, a, b, c)
        if op == O_PREPARE:
            return _prepare(a)
        if op == O_NEW_DFA:
            return _new_dfa(lb, a, b)
        if op == O_START_DFA:
            return _dfa_start(lb, a)
        if op == O_NEW_PRODUCT:
            return _new_product(lb, a, b)
        return _start_product(lb, a)
    if op < O_DECODED:
        if op == O_REHASH:
            return _rehash(lb)
        if op == O_ANSWER:
            return _answer(lb, a, b, c)
        if op == O_RAW_ANY:
            return _raw_any(lb, a)
        if op == O_DISTANCES:
            return _distances(a)
        if op == O_SHORTEST:
            return _shortest(lb, a)
        if op == O_RANGE:
            return lx_range(lb, a)[b]
        if op == O_RANGE2:
            return lx_range2(lb, a)[b]
        if op == O_REP:
            return lx_rep(lb, a)
        if op == O_ANYLEN:
            return lx_anylen(lb, a)[b]
        if op == O_ESCAPE:
            return lx_escape(lb, a)
        return _feed(lb, a, b)
    if op == O_DECODED:
        return _decoded(lb, a, b)
    if op == O_DFA_SUCC:
        return _dfa_succ(lb, a, b)
    if op == O_DFA_CLOSE:
        return _dfa_close(lb, a, b, c)
    if op == O_PROD_SUCC:
        return _prod_succ(lb, a, b)
    if op == O_PROD_CLOSE:
        return _prod_close(lb, a)
    if op == O_PROD_LABEL:
        return _prod_label(lb, a)
    if op == O_QUICK:
        return _quick(lb, a)
    if op == O_ALIVE:
        return _alive(lb, a)
    if op == O_SOME:
        return _some(lb, a, b, c)
    if op == O_HEX_ALIVE:
        return _hex_alive(lb, a, b, c)
    if op == O_STEP_MISS:
        return _step_miss(lb, a, b)
    if op == O_ESC_OPEN:
        return _esc_open(lb, a)
    if op == O_ESC_STEP:
        return _esc_step(lb, a, b)
    if op == O_ESC_RANGE:
        return _escape_range(lb, a, b, c)
    if op == O_ROW:
        return _all_steps(lb, a, b)
    if op == O_POINT:
        return _point(lb, a, b)
    return -1


@lru_cache(maxsize=None)
def slow_kernel():
    """The compiled slow kernel; its ``address`` goes into every block."""
    return cfunc("int64(int64, int64, int64, int64, int64)", cache=True, nopython=True, error_model="numpy")(_slow)


@njit(nogil=True, cache=True)
def lx_call(lb, op, a, b, c):
    """Operation `op` (O_...) of the slow kernel: the one entry from Python."""
    return _call_address(ld64(lb, B_SLOW), lb, op, a, b, c)
