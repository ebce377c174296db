"""What all kernels of context-free grammars share: the block, the records, memo tables, interning.

Tables are reached through one block of addresses, as in stack_kernels; a kernel
out of room returns NEED_PY with the number of the table in NEED and is called
again.  Fuel counts steps since the last call from Python.

Large kernels are compiled once and called through their address (the F slots),
as nothing makes numba compile a function less often than once a caller.
"""

from __future__ import annotations

import numpy as np

from .jit import njit
from .lexer_kernels import ld8, ld32, ld64, st8, st32, st64  # noqa: F401 (for the other kernel files)
from .stack_layout import call2, call3, call4, call5, call7  # noqa: F401

#: sha256 of the kernel files compiled into this one (see stack_kernels.py).
DEPENDS_ON = "e6667cc70bfaaaed8ed2d97853ca63bbf0c8950f706fd71c631ac3154cfe60cb"

DEAD, NEED_PY, FUEL_OUT, BUSY, MISSING = -1, -2, -3, -5, -7

_OPT = dict(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
_ENTRY = dict(nogil=True, cache=True, error_model="numpy")

# ---- slots of the block
(NEED, NEED_A, NEED_B, FUEL, FULL,
 # the vocabulary
 TRIE, TRIE_FIRST, TRIE_TOKENS, N_TRIE, BLOB, OFFSETS, KIND, WORDS, N_TOKENS, EOS, N_EOS, DEPTH,
 # the grammar
 CLS, NCLS, TRANS, QEND, QSHADOW, QFINAL, DTRANS, QCUT, QLOOP, START, FIRST_AT, FIRST_LIST, KAPPA, LOOK, TWORDS, NT, NX,
 ALWAYS, ACT, ALISTS, GOTO, NN, LHS, SIZE, SAFE, FIRST_SET, SPECIAL, N_SPECIAL, HOLE_STATE, HOLE,
 # pools: address, used, capacity
 CTX, N_CTX, CAP_CTX, ENT, N_ENT, CAP_ENT, H_CTX, M_CTX,
 LTAB, N_L, CAP_L, DSETS, N_DSETS, CAP_DSETS, DPOOL, N_DPOOL, CAP_DPOOL, H_DSETS, M_DSETS,
 CONF, N_CONF, CAP_CONF, THR, N_THR, CAP_THR, H_CONF, M_CONF,
 PIECE, N_PIECE, CAP_PIECE, CUTSET, N_CUTSET, CAP_CUTSET, H_CUTSET, M_CUTSET,
 CUTS, N_CUTS, CAP_CUTS, AT, N_AT, CAP_AT,
 TOK, N_TOK, CAP_TOK, COND, N_COND, CAP_COND, LOCALS, N_LOCALS, CAP_LOCALS,
 ESC, N_ESC, CAP_ESC, MAY,
 OPEN, N_OPEN, CAP_OPEN, ITEMS, N_ITEMS, CAP_ITEMS, H_OPEN, M_OPEN, EVENTS, N_EVENTS, CAP_EVENTS,
 ROWS, N_ROWS, CAP_ROWS,
 # memo tables: address, mask, used
 SHIFT, M_SHIFT, N_SHIFT, UNION, M_UNION, N_UNION, LKEYS, M_LKEYS, N_LKEYS,
 ADV, M_ADV, N_ADV, LIVE, M_LIVE, N_LIVE, CHILD, M_CHILD, N_CHILD, TROW, M_TROW, N_TROW,
 LOCAL, M_LOCAL, N_LOCAL, SUBST, M_SUBST, N_SUBST, BOTH, M_BOTH, N_BOTH, CHAIN, M_CHAIN, N_CHAIN,
 # scratch
 WORK, CAP_WORK, RES, CAP_RES, BUF_A, BUF_B, CAP_BUF, S_TOK, CAP_STOK, S_GET, CAP_SGET, S_CUT, CAP_SCUT,
 S_COND, CAP_SCOND, S_ESC, CAP_SESC, S_ITEMS, CAP_SITEMS, S_EVENTS, N_SEVENTS, STAMP, STAMP_NO, TSTAMP, TSTAMP_NO,
 STACK_Q, STACK_D, SCRATCH_ROW, SCR, CAP_SCR,
 WALK, CAP_WALK, N_WALK, WALK_B, CAP_WALK_B, PENDING, CAP_PENDING, N_PENDING, ONE,
 # what a piece being made has noted
 W_TOK, W_COND, W_CUT,
 # scratch used, and what locals being made have noted: tokens, row + 1, escapes, items, pairs; stamp, nesting
 SP, G_TOK, G_ROW, G_ESC, G_ITEMS, G_PAIRS, G_STAMP, G_DEPTH,
 # addresses of kernels
 F_INTERN, F_UNION, F_SHIFT, F_SUBST, F_SHADOWS, F_STEP, F_ALIVE, F_ADVANCE, F_TOKEN, F_PIECE, F_LOCAL, F_THREAD,
 F_ROW,
 # shadows at the end of the text, what stands before a lexeme, line ends of indented languages
 DEND, QHIST, NHIST, SPLIT, LINES, M_LINES, N_LINES, INDENTED,
 # hashes and numbers of rows seen lately
 SEEN_ROWS,
 # bytes by lexeme state, is it one of line ends; by trie node, does a line feed with more behind it lie below
 # can every thread be completed that has no shadows and is in no line end?
 IS_LINE, MARKS, CALM) = range(223)
BLOCK_SIZE = 224

# ---- record widths
CTX_W, CONF_W, PIECE_W, CUTSET_W, LOCAL_W, ESC_W, OPEN_W, DSET_W = 4, 4, 6, 4, 6, 2, 3, 3
#: what is interned begins with these
(R_HASH, R_AT, R_N) = range(3)
C_HOLE = 3                                    # of a context: has it the hole in it?
CONF_ROW = 3                                  # of a configuration: its row, or -1
K_TABLE = 3                                   # of a cut set: where its offsets by class stand
(P_CUTS, P_TOK, P_NTOK, P_ROW, P_COND, P_NCOND) = range(6)
#: the same places as in a piece for the tokens
(L_NEXT, L_TOK, L_NTOK, L_ROW, L_ESC, L_NESC) = range(6)
#: an item of an open set is j, A and the terminal, 14 bits each but for j, above the piece
PIECE_BITS = 23
#: an open set from here on stands for one cut set before the hole
CUT_BASE = 1 << 30
#: most events of one shift
MOST_EVENTS = 1024
#: ids from here on are interned pairs and sets
PAIR_BASE, SET_BASE = 1 << 24, 1 << 24
LOW = (1 << 32) - 1
#: lists longer than this become rows
LONG = 512
#: rows that are remembered to be shared (a power of two)
SEEN = 256
#: Bytes in groups: in bits 48 to 63 a trie node here says which groups occur below it.
GROUPS = (b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"0123456789", b"_", b" ", b"\t", b"\n",
          bytes({*range(32), 127} - {9, 10}), b'"', b"'", b"\\", b"-.", b"/*", b"!#$%&()+,:;<=>?@[]^`{|}~",
          bytes(range(0x80, 0xC0)), bytes(range(0xC0, 0x100)))
N_GROUPS = len(GROUPS)
#: most locals that need each other, which is about the bytes of the longest token
MOST_DEPTH = 2_000
#: numbers of chains of locals begin here, above those of pieces
FIRST_CHAIN = 1 << PIECE_BITS

# ---- what Python is asked for: number of a pool, or one of these
ASK_LIVE, ASK_LINE = 1001, 1002
#: above the shadows of a thread between lexemes: what the text before it ends with
HISTORY = 26
SHADOWS = (1 << HISTORY) - 1
#: an end of this or more is a line end, with the column of the next line above it
LINE = 2
#: the "column" of the end of the text
LAST = 0xFFFF

#: int64[groups, 4]: each as a set of 256 bits
GROUP_BITS = np.packbits([[b in group for b in range(256)] for group in GROUPS], 1, bitorder="little").view(np.int64)


@njit(**_OPT)
def mix(h, x):
    h = (h ^ x) * 0x2545F4914F6CDD1D
    return h ^ ((h >> 29) & 0x7FFFFFFFF)


@njit(**_OPT)
def need(e, code, a, b):
    st64(e, NEED, code)
    st64(e, NEED_A, a)
    st64(e, NEED_B, b)
    return NEED_PY


@njit(**_OPT)
def burn(e, n):
    """Use up fuel; true if none is left."""
    left = ld64(e, FUEL) - n
    st64(e, FUEL, left)
    return left < 0


@njit(**_OPT)
def scratch(e, n):
    """Address of `n` words of scratch memory above SP, or 0; whoever takes some puts SP back."""
    sp = ld64(e, SP)
    if sp + n > ld64(e, CAP_SCR):
        need(e, SCR, n, 0)
        return 0
    st64(e, SP, sp + n)
    return ld64(e, SCR) + 8 * sp


@njit(**_OPT)
def find_or_add(e, pool, items, hashes, width, src, n):
    """The record of `pool` with the `n` words at `src`: its number, or a code.

    `pool`, `items` and `hashes` are slots; the caller fills in what follows the words' place and number.
    """
    h = n
    for i in range(n):
        h = mix(h, ld64(src, i))
    table, mask = ld64(e, hashes), ld64(e, hashes + 1)
    records, words = ld64(e, pool), ld64(e, items)
    j = h & mask
    while True:
        k = ld32(table, j) - 1
        if k < 0:
            break
        r = records + k * width * 8
        if ld64(r, R_HASH) == h and ld64(r, R_N) == n:
            at = words + ld64(r, R_AT) * 8
            i = 0
            while i < n and ld64(at, i) == ld64(src, i):
                i += 1
            if i == n:
                return k
        j = (j + 1) & mask
    k, used = ld64(e, pool + 1), ld64(e, items + 1)
    if k + 1 > ld64(e, pool + 2) or 2 * k > mask:
        return need(e, pool, 0, 0)
    if used + n > ld64(e, items + 2):
        return need(e, items, n, 0)
    for i in range(n):
        st64(words, used + i, ld64(src, i))
    r = records + k * width * 8
    st64(r, R_HASH, h)
    st64(r, R_AT, used)
    st64(r, R_N, n)
    st32(table, j, k + 1)
    st64(e, pool + 1, k + 1)
    st64(e, items + 1, used + n)
    return k


@njit(**_OPT)
def rehash_records(e, pool, hashes, width, first):
    """Refill a hash of interned records, from record `first` on."""
    records, table, mask = ld64(e, pool), ld64(e, hashes), ld64(e, hashes + 1)
    for i in range(first, ld64(e, pool + 1)):
        j = ld64(records, i * width) & mask
        while ld32(table, j) != 0:
            j = (j + 1) & mask
        st32(table, j, i + 1)
    return 0


# ------------------------------------------------------------------ memo tables
# Records of two int64: key + 1, value.
@njit(**_OPT)
def slot_of(table, mask, key):
    i = mix(0x1234567, key) & mask
    while True:
        k = ld64(table, 2 * i)
        if k == 0 or k == key + 1:
            return i
        i = (i + 1) & mask


@njit(**_OPT)
def memo_get(e, slot, key):
    """The value, or -1."""
    table = ld64(e, slot)
    i = slot_of(table, ld64(e, slot + 1), key)
    return ld64(table, 2 * i + 1) if ld64(table, 2 * i) != 0 else -1


@njit(**_OPT)
def memo_put(e, slot, key, value):
    """Store; 0, or NEED_PY when the table is half full.  The count is at slot + 2."""
    n = ld64(e, slot + 2)
    mask = ld64(e, slot + 1)
    if 2 * n + 2 > mask:
        return need(e, slot, 0, 0)
    table = ld64(e, slot)
    i = slot_of(table, mask, key)
    if ld64(table, 2 * i) == 0:
        st64(table, 2 * i, key + 1)
        st64(e, slot + 2, n + 1)
    st64(table, 2 * i + 1, value)
    return 0


@njit(**_OPT)
def rehash_memo(e, slot, old, size):
    table, mask = ld64(e, slot), ld64(e, slot + 1)
    for j in range(size):
        k = ld64(old, 2 * j)
        if k != 0:
            i = slot_of(table, mask, k - 1)
            st64(table, 2 * i, k)
            st64(table, 2 * i + 1, ld64(old, 2 * j + 1))
    return 0
