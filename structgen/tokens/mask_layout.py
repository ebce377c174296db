"""What the kernels of masks share: their slots of the block, rows, and the walk over a trie.

See :mod:`.mask_kernels`.
"""

from __future__ import annotations

from ..automata.jit import njit
from ..automata.lexer_kernels import TRIE_BASE
from ..automata.lexer_states import _trie as trie_position
from ..automata.stack_layout import (
    ANY_KEY, CTX, CTX_W, C_KIND, DEAD, F_STEP, KEYS, KEY_BASE, KEY_W, K_EXTRA, K_NAMES, K_SEEN, LEXER, LOW, LX_BASE,
    MAY_START, MULTI, N_OUT, N_STATIC, OUT, QUOTE, ROOM_PENDING, ROOM_ROWS, SET_BASE, SHIFT, STATIC, WS, WSX_BASE,
    call5, ld16, ld32, ld64, ld8, need, st64)
from ..automata.stack_lexemes import plain_byte

#: sha256 of the kernel files compiled into this one; numba's on-disk cache sees only this
#: file, so it must change when one of those does (bench/stamp_kernels.py; a test checks).
DEPENDS_ON = "acc44ed1c02dee5e356d4d60d73e4f45ee6d277f52af7523114e55b6f953b3b8"

# ---- slots of the block that belong to masks
(TRIE, TRIE_FIRST, TRIE_TOKENS, TRIE_TOKEN,
 STRUCT, STRUCT_FIRST, STRUCT_TOKENS, STRUCT_TOKEN, DUPS, N_DUPS, ROOT_CHILD,
 SUFFIX, N_SUFFIX,
 CUT_OFF, CUT_POS, CUT_SUFFIX,
 WORDS, EOS, N_EOS,
 S_REGION, LEN_ROWS, N_LEN_ROWS, STR_PAIRS, N_STR_PAIRS, STR_LENS,
 CHUNKS, N_ROWS, CAP_ROWS, ROW_FLAGS,
 MEMO_KEYS, MEMO_ROWS, M_MEMO, N_MEMO,
 REGION_KEYS, REGIONS, M_REGION, N_REGIONS, CAP_REGIONS,
 PAIRS, N_PAIRS, CAP_PAIRS,
 AFTER_KEYS, AFTER_BITS, M_AFTER, N_AFTER,
 STACK, PENDING, N_PENDING, CAP_PENDING,
 STATES, STATE_POOL, N_STATES, CAP_STATES, N_STATE_POOL, CAP_STATE_POOL, H_STATES, M_STATES,
 BLOB, OFFSETS, KIND,
 U_KEYS, U_VALUES, M_U, N_U, U_ASK, N_ASK, CAP_ASK,
 SCRATCH, SCRATCH_ROW, PEAK, F_WALK, F_REGION, F_LEXEME_ROW, F_AFTER, LABEL_SEEN, F_NEAR_ANY, F_RETURNS,
 TRIE_BYTES, DEPTH, PAIR_LABELS, CAP_PAIR_LABELS, F_REGION_OF,
 LONG_TOKENS, LONG_CHARS, N_LONG, STR_ENDS, F_STEP_MANY, F_KEY_ROW, F_FIX,
 CHILDREN, CHILD_BYTE, CHILD_NODE, N_TOKENS, BUSY, SEEN_ROWS, OPENINGS,
 F_CLASSES, MACHINES, N_MACHINES) = range(64, 64 + 99)
ROOM_AFTER, ROOM_STATES, NEED_U, NEED_MACHINE = 20, 21, 22, 23
ASK_STEP = -100
#: the ASCII letters among bytes 64..127
LETTERS = 0x07FFFFFE07FFFFFE
#: a state of several threads is ``MANY | id``
MANY = 1 << 62
REGION_W = 6
(R_ROW, R_PAIRS, R_NPAIRS, R_ABS, R_LABEL) = range(5)
#: steps of a liveness search that `step` takes
LITTLE_FUEL = 4096
#: slots of the table of rows by content (hash, row + 1): the last one of each hash
SEEN = 256
#: Tokens by how they begin, at OPENINGS: those of white space alone, how many of them have at most k bytes, the
#: most bytes; the most white space before something else; likewise (by the white space before it) tokens that begin a
#: string and stay in it, and (token, suffix) of those that leave it again; (trie node, white space) of the quotes
(W_SPACE, W_SPACE_COUNT, W_MAX, W_LEAD, W_OPEN, W_OPEN_COUNT, W_PAIRS, W_PAIR_COUNT, W_QUOTES, W_N_QUOTES) = range(10)
#: label of a region whose lexemes end with different labels
MIXED = -2
_OPT = dict(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
_ENTRY = dict(nogil=True, cache=True, error_model="numpy")


@njit(**_OPT)
def row_address(e, i):
    return ld64(ld64(e, CHUNKS), i >> 6) + (i & 63) * (ld64(e, WORDS) * 8)


@njit(**_OPT)
def clear_row(dst, words):
    for i in range(words):
        st64(dst, i, 0)


@njit(**_OPT)
def or_row(dst, src, words):
    for i in range(words):
        st64(dst, i, ld64(dst, i) | ld64(src, i))


@njit(**_OPT)
def set_bit(dst, t):
    st64(dst, t >> 6, ld64(dst, t >> 6) | (1 << (t & 63)))


@njit(**_OPT)
def clear_bit(dst, t):
    st64(dst, t >> 6, ld64(dst, t >> 6) & ~(1 << (t & 63)))


@njit(**_OPT)
def set_tokens(dst, first, tokens, lo, hi):
    """Set the bits of the tokens that end in trie nodes lo..hi-1."""
    for r in range(ld32(first, lo), ld32(first, hi)):
        set_bit(dst, ld32(tokens, r))


@njit(**_OPT)
def new_row(e):
    """A zeroed row of the arena; NEED_PY when there is no room."""
    n = ld64(e, N_ROWS)
    if n + 1 > ld64(e, CAP_ROWS):
        return need(e, ROOM_ROWS, 0, 0)
    st64(e, N_ROWS, n + 1)
    clear_row(row_address(e, n), ld64(e, WORDS))
    return n


@njit(**_OPT)
def push_pending(e, node, thread):
    n = ld64(e, N_PENDING)
    if n + 2 > ld64(e, CAP_PENDING):
        return need(e, ROOM_PENDING, 0, 0)
    st64(ld64(e, PENDING), n, node)
    st64(ld64(e, PENDING), n + 1, thread)
    st64(e, N_PENDING, n + 2)
    return 0


@njit(**_OPT)
def push_rest(e, node):
    """Queue all but the first thread of the result list for the subtree of `node`."""
    for k in range(1, ld64(e, N_OUT)):
        r = push_pending(e, node, ld64(ld64(e, OUT), k))
        if r < 0:
            return r
    return ld64(ld64(e, OUT), 0)


@njit(**_OPT)
def quick_step(table, ctx, start_of, keys, lexer, t, b):
    """`thread_step` where a table look-up decides it, else ASK_STEP."""
    q = t >> SHIFT
    if q < N_STATIC:
        r = ld16(table, (q << 8) + b)
        if r >= 0:
            return (r << SHIFT) | (t & LOW)
        return DEAD if q == 0 and b != QUOTE else ASK_STEP
    if q < LX_BASE:
        if b == 32 or b == 10 or b == 13 or b == 9:
            return t - (1 << SHIFT) if q > WS else DEAD
        c = t & LOW
        if c < SET_BASE and ld8(start_of, (ld32(ctx + c * (CTX_W * 4), C_KIND) << 8) + b) == 0:
            return DEAD
    elif KEY_BASE <= q and q < WSX_BASE:
        r = keys + (q - KEY_BASE) * (KEY_W * 4)
        names, extra = ld32(r, K_NAMES), ld32(r, K_EXTRA)
        if names < 0:           # far from any declared key: one more character of any string
            if extra == 0 and ld32(r, K_SEEN) < 0 and ld16(table, b) == 0:
                return t
        elif extra <= 0 and names >= TRIE_BASE and plain_byte(b):
            if trie_position(lexer, names & (TRIE_BASE - 1), b) < 0:
                if extra < 0:
                    return DEAD
                if ld32(r, K_SEEN) < 0 and ld16(table, b) == 0:
                    return (ANY_KEY << SHIFT) | (t & LOW)
    return ASK_STEP


@njit(**_OPT)
def walk(e, nodes, tokens, start, thread, dst, skip):
    """Set in `dst` every payload strictly below trie node `start` that `thread` survives.

    `tokens` holds one id a node, or -1; 0 means that the payload of a node is
    the node itself.  Further ids with the same bytes are added to whole rows.
    With `skip` 1 numbers and white space alone are left out, with 2 also what
    begins with a quote behind white space.
    """
    base = ld64(e, N_PENDING)
    r = push_pending(e, start, thread)
    if r < 0:
        return r
    stack = ld64(e, STACK)
    table, ctx, start_of, keys = ld64(e, STATIC), ld64(e, CTX), ld64(e, MAY_START), ld64(e, KEYS)
    lexer = ld64(e, LEXER)
    lead = ld64(ld64(e, OPENINGS), W_LEAD) if skip != 0 else 0
    while ld64(e, N_PENDING) > base:
        n = ld64(e, N_PENDING) - 2
        st64(e, N_PENDING, n)
        i = ld64(ld64(e, PENDING), n)
        t = ld64(ld64(e, PENDING), n + 1)
        run = 0                 # depth down to which there is only white space
        v = ld64(nodes, i)
        end = i + (v >> 24)
        st64(stack, (v >> 8) & 0xFFFF, t)
        i += 1
        while i < end:
            v = ld64(nodes, i)
            b, d = v & 255, (v >> 8) & 0xFFFF
            if skip != 0:
                if d <= run:
                    run = d - 1
                if run == d - 1:
                    if b == 32 or b == 10 or b == 13 or b == 9:
                        run = d
                        if d > lead:
                            i += v >> 24
                            continue
                    elif (b == QUOTE and skip == 2) or (d == 1 and (b == 45 or (48 <= b and b <= 57))):
                        i += v >> 24
                        continue
            t = ld64(stack, d - 1)
            r = quick_step(table, ctx, start_of, keys, lexer, t, b)
            if r == ASK_STEP:
                r = call5(ld64(e, F_STEP), e, t >> SHIFT, t & LOW, b, -1)
                ctx, keys = ld64(e, CTX), ld64(e, KEYS)
            if r < 0:
                if r == DEAD:
                    i += v >> 24
                    continue
                if r == MULTI:
                    r = push_rest(e, i)
                if r < 0:
                    st64(e, N_PENDING, base)
                    return r
            st64(stack, d, r)
            if tokens == 0:
                set_bit(dst, i)
            else:
                k = ld32(tokens, i)
                if k >= 0:
                    set_bit(dst, k)
            i += 1
    return 0
