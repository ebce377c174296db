"""Token masks for threads of the stack machine.

The mask of a thread is never found by trying 128,000 tokens.  Three facts
about JSON make it cheap, and each has its table:

*regions*
    For a lexeme state q the tokens that stay inside the lexeme do not depend
    on the context: one row, plus a list of (token, suffix) pairs for tokens
    that leave it.  Built by one walk of the vocabulary trie where q lives;
    for the static lexemes once per tokenizer.
*suffixes*
    What follows the end of a lexeme inside a token is one of a few hundred
    strings.  Which of them context C admits is one walk of the suffix trie,
    kept as a bitset by C and shared by all lexemes before C.
*structural trie*
    Between lexemes only the tokens alive under the most permissive JSON can
    be allowed: 3,000 of 274,000 nodes.

Rows are bitmaps in chunks that never move, and are memoised by state.  The
mask of several threads is the union of theirs.
"""

from __future__ import annotations

from ..automata.jit import njit
from ..automata.stack_kernels import (
    AL_BASE, ANY_KEY, ARR_START, ASK_ANYLEN, ASK_BOUNDED, ASK_RANGE, ASK_RANGE2, ASK_REP, BITS, B_FUEL, CTX, CTX_W,
    C_A, C_KIND, C_PARENT, DEAD, F_CLOSE, F_FINISH, F_ITEM, F_ROW, F_STEP, KEYS, KEY_BASE, KEY_W, K_EXTRA, K_NAMES,
    K_SEEN, LEFT_NONE, LEXER, LOW, LX_BASE, MAY_START, MULTI, MUST_SPACE, NATIVE, NEED, NEED_LEXER, NEED_NODE,
    NEED_PY, NODE, NODE_W, N_NUM, N_OUT, N_READY, N_STATIC, OPS, OP_W, OUT, P_EXT, QUOTE, RAW_BASE, ROOM_MEMO,
    ROOM_PENDING, ROOM_REGION, ROOM_ROWS, SET_BASE, SHIFT, STATIC, TOUCHED, TRIE_BASE, VALUE, WS, WSX_BASE, X_COUNT,
    any_allowed, ask_lexer, call1, call2, call3, call4, call5, call6, call7, can_end, emit, expand, gap, grow_probe,
    intern_bits, keys_left, ld16, ld32, ld64, ld8, lexeme_label, mix, need, next_bytes, np_empty, piece_label,
    piece_step, plain_byte, popcount, projection, put_slot, size_of, st32, st64, stack_call, trie_position)

#: sha256 of the kernel files compiled into this one (see automata/stack_kernels.py).
DEPENDS_ON = "7fa8f9a2a34603bb6992e1cf3d47e7690bfa2d068ee971530ae4d9aac46dc573"

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
 CHILDREN, CHILD_BYTE, CHILD_NODE, N_TOKENS, BUSY, SEEN_ROWS, OPENINGS) = range(64, 64 + 96)

ROOM_AFTER, ROOM_STATES, NEED_U = 20, 21, 22
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


# ------------------------------------------------------------------ rows
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


# ------------------------------------------------------------------ walking
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


@njit(**_OPT)
def cut_of(e, token, pos):
    """Suffix node of `token` cut at byte `pos`, or -1."""
    off = ld64(e, CUT_OFF)
    for k in range(ld32(off, token), ld32(off, token + 1)):
        if ld32(ld64(e, CUT_POS), k) == pos:
            return ld32(ld64(e, CUT_SUFFIX), k)
    return -1


@njit(**_OPT)
def region_walk(e, q, dst, pairs, n, cap, lens):
    """Region of lexeme state q: row of the tokens inside into `dst`, pairs appended.

    Pairs are (token, suffix node), from index `n` on, at most `cap`; with
    `lens` not 0 a third list gets the code points before the end, and tokens
    that end with the lexeme are pairs with suffix 0 instead of row bits.
    Returns the number of pairs, or NEED_PY/FUEL.
    """
    nodes, first, tokens = ld64(e, TRIE), ld64(e, TRIE_FIRST), ld64(e, TRIE_TOKENS)
    stack, token_of, labels = ld64(e, STACK), ld64(e, TRIE_TOKEN), ld64(e, PAIR_LABELS)
    raw = 0
    if q >= RAW_BASE:
        raw, q = 1, q - RAW_BASE
    elif 16 <= q and q < 48 or 52 <= q and q < N_STATIC:
        raw = 1
    st64(stack, 0, q)
    seen_label = -1
    i, end = 1, ld64(nodes, 0) >> 24
    while i < end:
        v = ld64(nodes, i)
        b, d = v & 255, (v >> 8) & 0xFFFF
        p = ld64(stack, d - 1)
        size = v >> 24
        if raw == 0 and b == QUOTE:
            label = piece_label(e, p)
            if label < DEAD:
                return label
            if label >= 0:
                seen_label = label if seen_label == -1 or seen_label == label else MIXED
                lo, mid, hi = ld32(first, i), ld32(first, i + 1), ld32(first, i + size)
                if n + hi - lo > cap:
                    return need(e, ROOM_REGION, 0, 0)
                chars = 0
                if lens != 0:
                    token = ld32(tokens, lo)
                    chars = count_chars(e, token, d - 1)
                for k in range(lo, hi):
                    token = ld32(tokens, k)
                    s = 0 if k < mid else cut_of(e, token, d)
                    if s == 0 and lens == 0:
                        set_bit(dst, token)
                    elif s >= 0:
                        st32(pairs, 2 * n, token)
                        st32(pairs, 2 * n + 1, s)
                        if lens != 0:
                            st32(lens, n, chars)
                        elif labels != 0:
                            st32(labels, n, label)
                        n += 1
                i += size
                continue
        r = piece_step(e, p, b)
        if r >= 0:
            st64(stack, d, r)
            k = ld32(token_of, i)
            if k >= 0:
                set_bit(dst, k)
            i += 1
            continue
        if r < DEAD:
            return r
        if raw == 1 and d > 1:      # a token that starts behind the lexeme is the gap's business
            label = lexeme_label(e, RAW_BASE + p)
            if label < DEAD:
                st64(e, NEED, NEED_LEXER)
                return label
            if label >= 0:
                lo, hi = ld32(first, i), ld32(first, i + size)
                if n + hi - lo > cap:
                    return need(e, ROOM_REGION, 0, 0)
                for k in range(lo, hi):
                    token = ld32(tokens, k)
                    s = cut_of(e, token, d - 1)
                    if s >= 0:
                        st32(pairs, 2 * n, token)
                        st32(pairs, 2 * n + 1, s)
                        n += 1
        i += size
    st64(e, LABEL_SEEN, seen_label)
    return n


@njit(**_OPT)
def stable_bytes(e, q, dst):
    """dst[0:3] := bytes 0..63, 64..127 and 192..255 that lead from q back to q.

    A lead byte counts when every character it starts does.  `q` stands between
    characters.  Returns 0, or NEED_PY/FUEL.
    """
    dst[0], dst[1], dst[2] = 0, 0, 0
    for b in range(32, 128):
        if b != QUOTE and b != 92:
            r = piece_step(e, q, b)
            if r < DEAD:
                return r
            if r == q:
                dst[b >> 6] |= 1 << (b & 63)
    table = ld64(e, STATIC)
    last, last_u, answer = -1, -1, 0
    for b in range(0xC2, 0xF5):
        r = piece_step(e, q, b)
        if r < DEAD:
            return r
        if r >= 0:
            u = ld16(table, b)
            if r != last or u != last_u:
                answer = returns(e, table, r, u, q)
                last, last_u = r, u
                if answer < DEAD:
                    return answer
            if answer == 1:
                dst[2] |= 1 << (b & 63)
    return 0


@njit(**_OPT)
def returns(e, table, r, u, q):
    """1 if every rest of a character (static state u) leads from r to q; NEED_PY/FUEL."""
    last, last_u = -1, -1
    for c in range(0x80, 0xC0):
        u2 = ld16(table, (u << 8) + c)
        if u2 < 0:
            continue
        r2 = piece_step(e, r, c)
        if r2 < DEAD:
            return r2
        if u2 == 0:
            if r2 != q:
                return 0
        elif r2 < 0:
            return 0
        elif r2 != last or u2 != last_u:        # neighbours mostly share their state
            last, last_u = r2, u2
            x = call5(ld64(e, F_RETURNS), e, table, r2, u2, q)
            if x != 1:
                return x
    return 1


@njit(**_OPT)
def near_any(e, q, dst, pairs, n, cap):
    """Region of a string state that most text leads back to, as a difference from any string's.

    Starts from the row of an arbitrary string and looks only at subtrees of the
    vocabulary in which a byte occurs that moves the state.  Arguments and
    result as `region_walk`; -4 if the state is not of that kind.
    """
    cached = np_empty(256)
    sets = np_empty(256 * 3)
    for k in range(256):
        cached[k] = -1
    r = stable_bytes(e, q, sets[3 * (q & 255):])
    if r < 0:
        return r
    cached[q & 255] = q
    if popcount(sets[3 * (q & 255) + 1] & LETTERS) < 8:
        # ... or that a letter brings to such a state
        r = piece_step(e, q, 113)
        if r < 0:
            return r if r < DEAD else -4
        slot = r & 255
        x = stable_bytes(e, r, sets[3 * slot:])
        if x < 0:
            return x
        cached[slot] = r
        if popcount(sets[3 * slot + 1] & LETTERS) < 8:
            return -4
    nodes, first, tokens = ld64(e, TRIE), ld64(e, TRIE_FIRST), ld64(e, TRIE_TOKENS)
    table, below = ld64(e, STATIC), ld64(e, TRIE_BYTES)
    words = ld64(e, WORDS)
    src = ld64(ld64(e, S_REGION), R_ROW)
    for i in range(words):
        st64(dst, i, ld64(src, i))
    stack, chars = ld64(e, STACK), ld64(e, STACK) + ld64(e, DEPTH) * 8
    st64(stack, 0, q)
    st64(chars, 0, 0)
    seen_label = -1
    i, end = 1, ld64(nodes, 0) >> 24
    while i < end:
        v = ld64(nodes, i)
        b, d, size = v & 255, (v >> 8) & 0xFFFF, v >> 24
        p, u = ld64(stack, d - 1), ld64(chars, d - 1)
        if b == QUOTE and u == 0:
            label = piece_label(e, p)
            if label < DEAD:
                return label
            lo, mid, hi = ld32(first, i), ld32(first, i + 1), ld32(first, i + size)
            if label < 0:
                for k in range(lo, mid):
                    clear_bit(dst, ld32(tokens, k))
            else:
                seen_label = label if seen_label == -1 or seen_label == label else MIXED
                if n + hi - mid > cap:
                    return need(e, ROOM_REGION, 0, 0)
                for k in range(mid, hi):
                    s = cut_of(e, ld32(tokens, k), d)
                    if s >= 0:
                        st32(pairs, 2 * n, ld32(tokens, k))
                        st32(pairs, 2 * n + 1, s)
                        st32(ld64(e, PAIR_LABELS), n, label)
                        n += 1
            i += size
            continue
        u = ld16(table, (u << 8) + b)
        if u < 0:
            i += size
            continue
        r = piece_step(e, p, b)
        if r < DEAD:
            return r
        if r == DEAD:
            for k in range(ld32(first, i), ld32(first, i + size)):
                clear_bit(dst, ld32(tokens, k))
            i += size
            continue
        if u == 0:
            slot = r & 255
            if cached[slot] != r:
                x = stable_bytes(e, r, sets[3 * slot:])
                if x < 0:
                    return x
                cached[slot] = r
            at = below + i * 32
            if ((ld64(at, 0) & ~sets[3 * slot]) | (ld64(at, 1) & ~sets[3 * slot + 1])
                    | (ld64(at, 3) & ~sets[3 * slot + 2])) == 0:
                i += size
                continue
        st64(stack, d, r)
        st64(chars, d, u)
        i += 1
    st64(e, LABEL_SEEN, seen_label)
    return n


@njit(**_OPT)
def count_chars(e, token, length):
    """Code points in the first `length` bytes of a token, read as JSON string body."""
    table = ld64(e, STATIC)
    at = ld64(e, BLOB) + ld64(ld64(e, OFFSETS), token)
    q, chars = 0, 0
    for i in range(length):
        if q == 0:
            chars += 1
        q = ld16(table, (q << 8) + ld8(at, i))
        if q < 0:
            return -1
    return chars


@njit(**_OPT)
def run_token(e, q, token, length):
    """The state after the first `length` bytes of a token, or a code."""
    at = ld64(e, BLOB) + ld64(ld64(e, OFFSETS), token)
    for i in range(length):
        q = piece_step(e, q, ld8(at, i))
        if q < 0:
            return q
    return q


@njit(**_OPT)
def near_limit(e, q, dst, pairs, n, cap):
    """Region of a pattern with an upper length that only long tokens could reach.

    The pattern's own region, but for tokens with a quote or many characters,
    which are tried one by one.  Arguments and result as `near_any`.
    """
    d = ask_lexer(e, ASK_BOUNDED, q)
    if d < 0:
        return -4
    k, rows = ask_lexer(e, ASK_BOUNDED + 1, q), ld64(e, N_LEN_ROWS)
    if k < 16 or rows == 0:
        return -4
    r = call2(ld64(e, F_REGION_OF), e, d)
    if r < 0:
        return r
    words = ld64(e, WORDS)
    src = ld64(r, R_ROW)
    some = ld64(e, LEN_ROWS) + (k if k < rows - 1 else rows - 1) * words * 8
    for i in range(words):
        st64(dst, i, ld64(src, i) & ld64(some, i))
    tokens, chars = ld64(e, LONG_TOKENS), ld64(e, LONG_CHARS)
    i, end, off = 0, ld64(e, N_LONG), ld64(e, OFFSETS)
    while i < end and ld32(chars, i) > k:
        t = ld32(tokens, i)
        x = run_token(e, q, t, ld64(off, t + 1) - ld64(off, t))
        if x < DEAD:
            return x
        if x >= 0:
            set_bit(dst, t)
        i += 1
    exits, ends = ld64(e, STR_PAIRS), ld64(e, STR_ENDS)
    m = ld64(e, N_STR_PAIRS)
    if n + m > cap:
        return need(e, ROOM_REGION, 0, 0)
    for i in range(m):
        t, s = ld32(exits, 2 * i), ld32(exits, 2 * i + 1)
        x = run_token(e, q, t, ld32(ends, i))
        if x >= 0:
            label = piece_label(e, x)
            if label < DEAD:
                return label
            if label >= 0 and s == 0:
                set_bit(dst, t)
            elif label >= 0:
                st32(pairs, 2 * n, t)
                st32(pairs, 2 * n + 1, s)
                st32(ld64(e, PAIR_LABELS), n, label)
                n += 1
        elif x < DEAD:
            return x
    st64(e, LABEL_SEEN, 1)
    return n


@njit(**_OPT)
def region_of(e, q):
    """Address of the region record of q, built on first use; NEED_PY/FUEL."""
    if q < N_STATIC:
        return ld64(e, S_REGION) + q * (REGION_W * 8)
    mask, keys = ld64(e, M_REGION), ld64(e, REGION_KEYS)
    slot = mix(q, 1) & mask
    while True:
        k = ld64(keys, slot * 2)
        if k == q:
            return ld64(e, REGIONS) + ld64(keys, slot * 2 + 1) * (REGION_W * 8)
        if k < 0:
            break
        slot = (slot + 1) & mask
    if LX_BASE <= q and q < AL_BASE:
        # a length far away: the region of the pattern alone comes first, since it
        # takes a row, pairs and a slot of its own
        d = ask_lexer(e, ASK_BOUNDED, q)
        if d >= 0:
            r = call2(ld64(e, F_REGION_OF), e, d)
            if r < 0:
                return r
            slot = mix(q, 1) & mask
            while ld64(keys, slot * 2) >= 0:
                slot = (slot + 1) & mask
    n = ld64(e, N_REGIONS)
    if n >= ld64(e, CAP_REGIONS) or grow_probe(mask, n):
        return need(e, ROOM_REGION, 1, 0)
    row = new_row(e)
    if row < 0:
        return row
    first = ld64(e, N_PAIRS)
    m = -4
    if q < AL_BASE:
        m = near_limit(e, q, row_address(e, row), ld64(e, PAIRS), first, ld64(e, CAP_PAIRS))
    if m == -4 and q < RAW_BASE:
        m = call6(ld64(e, F_NEAR_ANY), e, q, row_address(e, row), ld64(e, PAIRS), first, ld64(e, CAP_PAIRS))
    if m == -4:
        m = call7(ld64(e, F_REGION), e, q, row_address(e, row), ld64(e, PAIRS), first, ld64(e, CAP_PAIRS), 0)
    if m < 0:
        st64(e, N_ROWS, row)
        return m
    r = ld64(e, REGIONS) + n * (REGION_W * 8)
    st64(r, R_ROW, row_address(e, row))
    st64(r, R_PAIRS, first)
    st64(r, R_NPAIRS, m - first)
    st64(r, R_ABS, 0)
    st64(r, R_LABEL, ld64(e, LABEL_SEEN))
    st64(e, N_PAIRS, m)
    st64(keys, slot * 2, q)
    st64(keys, slot * 2 + 1, n)
    st64(e, N_REGIONS, n + 1)
    return r


@njit(**_OPT)
def after_bits(e, c):
    """Offset (bit pool) of the set of suffixes that context-or-set `c` admits."""
    mask, keys = ld64(e, M_AFTER), ld64(e, AFTER_KEYS)
    slot = mix(c, 2) & mask
    while True:
        k = ld32(keys, slot * 2)
        if k == c + 1:
            return ld32(keys, slot * 2 + 1)
        if k == 0:
            break
        slot = (slot + 1) & mask
    if grow_probe(mask, ld64(e, N_AFTER)):
        return need(e, ROOM_AFTER, 0, 0)
    w = (ld64(e, N_SUFFIX) + 63) >> 6
    scratch = ld64(e, SCRATCH)
    clear_row(scratch, w)
    r = call7(ld64(e, F_WALK), e, ld64(e, SUFFIX), 0, 0, (gap(e, c) << SHIFT) | c, scratch, 0)
    if r < 0:
        return r
    off = intern_bits(e, scratch, w)
    if off < 0:
        return off
    st32(keys, slot * 2, c + 1)
    st32(keys, slot * 2 + 1, off)
    st64(e, N_AFTER, ld64(e, N_AFTER) + 1)
    return off


@njit(**_OPT)
def lexeme_row(e, q, c, dst):
    """OR into `dst` the mask of lexeme state q before context c (the one after the lexeme)."""
    words = ld64(e, WORDS)
    if q >= LX_BASE and q < RAW_BASE:
        lo = ask_lexer(e, ASK_ANYLEN, q)
        if lo >= 0:
            hi = ask_lexer(e, ASK_ANYLEN + 1, q)
            rows = ld64(e, N_LEN_ROWS)
            k = hi if hi < rows - 1 else rows - 1
            or_row(dst, ld64(e, LEN_ROWS) + k * words * 8, words)
            bits = call2(ld64(e, F_AFTER), e, c)
            if bits < 0:
                return bits
            at = ld64(e, BITS) + bits * 8
            pairs, lens = ld64(e, STR_PAIRS), ld64(e, STR_LENS)
            for i in range(ld64(e, N_STR_PAIRS)):
                n = ld32(lens, i)
                if lo <= n and n <= hi:
                    s = ld32(pairs, 2 * i + 1)
                    if s == 0 or (ld64(at, s >> 6) >> (s & 63)) & 1:
                        set_bit(dst, ld32(pairs, 2 * i))
            return 0
        q = ask_lexer(e, ASK_REP, q)
    if (q >= 16 and q < 48) or (q >= 52 and q < N_STATIC) or q >= RAW_BASE:
        label = lexeme_label(e, q)
        if label < DEAD:
            st64(e, NEED, NEED_LEXER)
            return label
        if label >= 0 and (c != 0 or q < N_STATIC):    # a number or literal may end here
            g = (gap(e, c) << SHIFT) | c
            row = call2(ld64(e, F_ROW), e, g)
            if row < 0:
                return row
            or_row(dst, row_address(e, row), words)
            if ld8(ld64(e, ROW_FLAGS), row) != 0:
                st64(e, TOUCHED, 1)
    r = call2(ld64(e, F_REGION_OF), e, q)
    if r < 0:
        return r
    or_row(dst, ld64(r, R_ROW), words)
    n = ld64(r, R_NPAIRS)
    if n > 0:
        bits = call2(ld64(e, F_AFTER), e, c)
        if bits < 0:
            return bits
        at = ld64(e, BITS) + bits * 8
        pairs = ld64(r, R_PAIRS)
        if ld64(r, R_ABS) == 0:
            pairs = ld64(e, PAIRS) + pairs * 8
        # pairs are sorted by suffix for the static regions, so the test is mostly cached
        for i in range(n):
            s = ld32(pairs, 2 * i + 1)
            if (ld64(at, s >> 6) >> (s & 63)) & 1:
                set_bit(dst, ld32(pairs, 2 * i))
    return 0


# ------------------------------------------------------------------ keys
@njit(**_OPT)
def key_row(e, q, c, dst):
    """OR into `dst` the mask of key record q in context c (not a set)."""
    k = ld64(e, KEYS) + (q - KEY_BASE) * (KEY_W * 4)
    names, extra, seen = ld32(k, K_NAMES), ld32(k, K_EXTRA), ld32(k, K_SEEN)
    op = ld32(ld64(e, CTX) + c * (CTX_W * 4), C_A)
    nodes = ld64(e, TRIE)
    if extra < 0 or ld32(ld64(e, OPS) + op * (OP_W * 4), P_EXT) == 0:
        return closed_key_row(e, names, q, c, dst)
    rep = extra
    if extra >= LX_BASE:
        rep = ask_lexer(e, ASK_REP, extra)
        if rep >= LX_BASE:
            return pattern_key_row(e, q, extra, names, seen, c, dst)
    # an undeclared key may be anything from here on: the row of any string ...
    label = 1
    if extra >= LX_BASE:
        label = piece_label(e, extra)
        if label < DEAD:
            return label
        if label < 0:       # in the middle of a character: its label is not known yet
            return call7(ld64(e, F_WALK), e, nodes, ld64(e, TRIE_TOKEN), 0, (q << SHIFT) | c, dst, 0)
    d = call7(ld64(e, F_CLOSE), e, -1, extra, -1, -1, label, c)
    if d < DEAD:
        return d
    if d < 0:
        return call7(ld64(e, F_WALK), e, nodes, ld64(e, TRIE_TOKEN), 0, (q << SHIFT) | c, dst, 0)
    r = call4(ld64(e, F_LEXEME_ROW), e, rep, d, dst)
    if r < 0:
        return r
    if names < 0 and seen < 0:
        return 0
    # ... except where it is a declared key, or one that was there before
    return key_fix(e, names, seen, extra, c, dst)


@njit(**_OPT)
def pattern_key_row(e, q, extra, names, seen, c, dst):
    """The mask of a key that may match patterns."""
    r = call2(ld64(e, F_REGION_OF), e, extra)
    if r < 0:
        return r
    or_row(dst, ld64(r, R_ROW), ld64(e, WORDS))
    n, first = ld64(r, R_NPAIRS), ld64(r, R_PAIRS)
    pairs, labels = ld64(e, PAIRS) + first * 8, ld64(e, PAIR_LABELS) + first * 4
    # the classes of keys that may end here, and what may follow each
    known, bits = np_empty(8), np_empty(8)
    m = 0
    for i in range(n):
        label = ld32(labels, i)
        k = 0
        while k < m and known[k] != label:
            k += 1
        if k == m:
            if m == 8:
                k, m = 0, 0
            d = call7(ld64(e, F_CLOSE), e, -1, extra, -1, -1, label, c)
            if d < DEAD:
                return d
            known[k], bits[k] = label, -1
            if d >= 0:
                off = call2(ld64(e, F_AFTER), e, d)
                if off < 0:
                    return off
                bits[k] = off
            m += 1
        if bits[k] >= 0:
            s = ld32(pairs, 2 * i + 1)
            if (ld64(ld64(e, BITS) + bits[k] * 8, s >> 6) >> (s & 63)) & 1:
                set_bit(dst, ld32(pairs, 2 * i))
    if names < 0 and seen < 0:
        return 0
    return key_fix(e, names, seen, extra, c, dst)


@njit(**_OPT)
def closed_key_row(e, names, q, c, dst):
    """The mask of a key that must be a declared one: only what goes on in the trie of names."""
    if names < 0:
        return call7(ld64(e, F_WALK), e, ld64(e, TRIE), ld64(e, TRIE_TOKEN), 0, (q << SHIFT) | c, dst, 0)
    return call7(ld64(e, F_FIX), e, 0, names, -1, -1, c, dst)


@njit(**_OPT)
def key_fix(e, names, seen, extra, c, dst):
    """Correct `dst` along the trie paths that spell a declared or an already seen key."""
    return call7(ld64(e, F_FIX), e, 0, names, seen, extra, c, dst)


@njit(**_OPT)
def child_of(e, i, b):
    """The child of trie node `i` over byte `b`, or -1."""
    off, found = ld64(e, CHILDREN), ld64(e, CHILD_BYTE)
    lo, hi = ld32(off, i), ld32(off, i + 1)
    while lo < hi:
        mid = (lo + hi) >> 1
        x = ld8(found, mid)
        if x == b:
            return ld32(ld64(e, CHILD_NODE), mid)
        if x < b:
            lo = mid + 1
        else:
            hi = mid
    return -1


@njit(**_OPT)
def in_escape(b):
    """May `b` stand in an escape, behind its backslash?"""
    return (48 <= b <= 57 or 65 <= b <= 70 or 97 <= b <= 102 or b == 110 or b == 114 or b == 116 or b == 117
            or b == QUOTE or b == 92 or b == 47)


@njit(**_OPT)
def push_key_paths(e, i, names, seen, extra, todo, top, some):
    """Queue the children of trie node `i` over which a declared or seen key may go on; new length of `todo`."""
    lexer = ld64(e, LEXER)
    m = 0
    if names >= 0:
        m = next_bytes(lexer, names, some, 0)
    if seen >= 0 and m >= 0:
        k = m
        m = next_bytes(lexer, seen, some, m)
        n = k               # the bytes of both, each once
        for j in range(k, m):
            new = True
            for x in range(k):
                if some[x] == some[j]:
                    new = False
                    break
            if new:
                some[n] = some[j]
                n += 1
        m = n if m >= 0 else m
    if m >= 0:
        some[m], some[m + 1] = QUOTE, 92
        for k in range(m + 2):
            j = child_of(e, i, some[k])
            if j >= 0:
                todo[top], todo[top + 1], todo[top + 2], todo[top + 3] = j, names, seen, extra
                top += 4
        return top
    off = ld64(e, CHILDREN)
    for k in range(ld32(off, i), ld32(off, i + 1)):
        if in_escape(ld8(ld64(e, CHILD_BYTE), k)):
            j = ld32(ld64(e, CHILD_NODE), k)
            todo[top], todo[top + 1], todo[top + 2], todo[top + 3] = j, names, seen, extra
            top += 4
    return top


@njit(**_OPT)
def after_key(e, i, d, dst):
    """Set the tokens at and below trie node `i` (the quote that ends a key) that context-or-set `d` admits."""
    nodes, token_of = ld64(e, TRIE), ld64(e, TRIE_TOKEN)
    set_tokens(dst, ld64(e, TRIE_FIRST), ld64(e, TRIE_TOKENS), i, i + 1)
    q = gap(e, d)
    for k in range(5):
        b = 58 if k == 0 else 32 if k == 1 else 10 if k == 2 else 13 if k == 3 else 9
        j = child_of(e, i, b)
        if j < 0:
            continue
        r = call5(ld64(e, F_STEP), e, q, d, b, -1)
        if r == DEAD:
            continue
        if r == MULTI:
            return call7(ld64(e, F_WALK), e, nodes, token_of, i, (q << SHIFT) | d, dst, 0)
        if r < 0:
            return r
        if ld32(token_of, j) >= 0:
            set_bit(dst, ld32(token_of, j))
        r = call7(ld64(e, F_WALK), e, nodes, token_of, j, r, dst, 0)
        if r < 0:
            return r
    return 0


@njit(**_OPT)
def fix_below(e, i, names, seen, extra, c, dst):
    """`key_fix` strictly below trie node `i`; with `extra` < 0, set what goes on as a declared key.

    Looks only at nodes that spell the beginning of such a key, which are few:
    children are found by their byte.
    """
    nodes, first, tokens = ld64(e, TRIE), ld64(e, TRIE_FIRST), ld64(e, TRIE_TOKENS)
    op = ld32(ld64(e, CTX) + c * (CTX_W * 4), C_A)
    x = -1
    if seen >= 0 and extra >= LX_BASE and ask_lexer(e, ASK_REP, extra) >= LX_BASE:
        x = extra               # behind some prefixes no key may be left
    some = np_empty(600)
    todo = np_empty(4096)
    top = push_key_paths(e, i, names, seen, x, todo, 0, some)
    while top > 0:
        top -= 4
        i, n, s, x = todo[top], todo[top + 1], todo[top + 2], todo[top + 3]
        v = ld64(nodes, i)
        b, size = v & 255, v >> 24
        if b == QUOTE:
            name_label, dup = -1, -1
            if n >= 0:
                name_label = piece_label(e, n)
                if name_label < DEAD:
                    return name_label
            if s >= 0:
                dup = piece_label(e, s)
                if dup < DEAD:
                    return dup
            if name_label >= 0 or dup >= 0:
                if extra >= 0:
                    for k in range(ld32(first, i), ld32(first, i + size)):
                        clear_bit(dst, ld32(tokens, k))
                if name_label >= 0:
                    d = call7(ld64(e, F_CLOSE), e, n, -1, -1, name_label, -1, c)
                    if d >= 0:
                        d = after_key(e, i, d, dst)
                    if d < DEAD:
                        return d
                continue
        if n >= 0:
            n = piece_step(e, n, b)
            if n < DEAD:
                return n
        if s >= 0:
            s = piece_step(e, s, b)
            if s < DEAD:
                return s
        spent = False
        if s >= 0 and x >= 0:
            x = piece_step(e, x, b)
            if x < DEAD:
                return x
            if x >= 0:
                left = keys_left(e, x, s)
                if left < 0:
                    return left
                spent = left == LEFT_NONE
        else:
            x = -1
        if spent:
            for k in range(ld32(first, i), ld32(first, i + size)):
                clear_bit(dst, ld32(tokens, k))
        if n < 0 and (s < 0 or spent):
            continue
        if n >= 0 and (extra < 0 or extra >= LX_BASE):      # may go on as a declared key where no other may
            if any_allowed(e, op, ask_lexer(e, ASK_RANGE, n), ask_lexer(e, ASK_RANGE + 1, n)) or any_allowed(
                    e, op, ask_lexer(e, ASK_RANGE2, n), ask_lexer(e, ASK_RANGE2 + 1, n)):
                set_tokens(dst, first, tokens, i, i + 1)
            elif extra < 0:
                continue
        if spent:
            s = -1
        if top + 4 * 600 > todo.shape[0]:
            more = np_empty(2 * todo.shape[0])
            for k in range(top):
                more[k] = todo[k]
            todo = more
        top = push_key_paths(e, i, n, s, x, todo, top, some)
    return 0


# ------------------------------------------------------------------ gaps
@njit(**_OPT)
def number_rows(e, c, dst):
    """OR into `dst` the numbers that may start in context-or-set c, if it expects a value."""
    items = np_empty(size_of(e, c))
    m = expand(e, c, items, 0)
    for i in range(m):
        r = ld64(e, CTX) + items[i] * (CTX_W * 4)
        kind = ld32(r, C_KIND)
        k = 0
        while kind == VALUE or kind == ARR_START:
            v = items[i]
            if kind == ARR_START:
                v = call3(ld64(e, F_ITEM), e, items[i], k)
                if v < DEAD:
                    return v
                if v < 0:
                    break
            r = ld64(e, CTX) + v * (CTX_W * 4)
            node, after = ld32(r, C_A), ld32(r, C_PARENT)
            v = ld64(e, NODE) + node * (NODE_W * 8)
            if ld64(v, N_READY) == 0:
                return need(e, NEED_NODE, node, 0)
            q = ld64(v, N_NUM)
            if q >= 0:
                x = call4(ld64(e, F_LEXEME_ROW), e, q, after, dst)
                if x < 0:
                    return x
            if kind == VALUE:
                break
            k += 1
    return 0


@njit(**_OPT)
def gap_row(e, q, c, dst):
    """OR into `dst` the mask between lexemes, white space of q - WS bytes left, in context-or-set c."""
    lists, k = ld64(e, OPENINGS), q - WS
    longest, space = ld64(lists, W_MAX), ld64(lists, W_SPACE)
    for i in range(ld32(ld64(lists, W_SPACE_COUNT), k if k < longest else longest)):
        set_bit(dst, ld32(space, i))
    skip = 2
    r = call5(ld64(e, F_STEP), e, q, c, QUOTE, -1)
    if r == MULTI:
        skip = 1
    elif r < DEAD:
        return r
    elif r >= 0:
        r = opened_row(e, r >> SHIFT, r & LOW, k, dst)
        if r < 0:
            return r
        skip = 1 + r
    r = call7(ld64(e, F_WALK), e, ld64(e, STRUCT), ld64(e, STRUCT_TOKEN), 0, (q << SHIFT) | c, dst, skip)
    if r < 0:
        return r
    return number_rows(e, c, dst)


@njit(**_OPT)
def opened_row(e, q, c, k, dst):
    """Set the tokens that begin, behind at most `k` bytes of white space, with a quote that leads to thread (q, c).

    Returns 1, or 0 where the string is of a kind that takes a walk, or a code.
    """
    lists = ld64(e, OPENINGS)
    quotes, n_quotes = ld64(lists, W_QUOTES), ld64(lists, W_N_QUOTES)
    names, extra, seen = -1, -1, -1
    after = c
    if q != 0:
        if q < KEY_BASE or q >= WSX_BASE or c >= SET_BASE:
            return 0
        r = ld64(e, KEYS) + (q - KEY_BASE) * (KEY_W * 4)
        names, extra, seen = ld32(r, K_NAMES), ld32(r, K_EXTRA), ld32(r, K_SEEN)
        if extra < 0 or ld32(ld64(e, OPS) + ld32(ld64(e, CTX) + c * (CTX_W * 4), C_A) * (OP_W * 4), P_EXT) == 0:
            if names < 0:
                return 0
            for i in range(n_quotes):
                node = ld32(quotes, 2 * i)
                if ld32(quotes, 2 * i + 1) <= k:
                    set_tokens(dst, ld64(e, TRIE_FIRST), ld64(e, TRIE_TOKENS), node, node + 1)
                    r = call7(ld64(e, F_FIX), e, node, names, -1, -1, c, dst)
                    if r < 0:
                        return r
            return 1
        label = 1
        if extra >= LX_BASE:
            if ask_lexer(e, ASK_REP, extra) != 0:
                return 0
            label = piece_label(e, extra)
            if label < DEAD:
                return label
        elif extra != 0:
            return 0
        if label < 0:
            return 0
        after = call7(ld64(e, F_CLOSE), e, -1, extra, -1, -1, label, c)
        if after < DEAD:
            return after
        if after < 0:
            return 0
    bits = call2(ld64(e, F_AFTER), e, after)
    if bits < 0:
        return bits
    lead = ld64(lists, W_LEAD)
    if k < lead:
        lead = k
    tokens = ld64(lists, W_OPEN)
    for i in range(ld32(ld64(lists, W_OPEN_COUNT), lead)):
        set_bit(dst, ld32(tokens, i))
    at, pairs = ld64(e, BITS) + bits * 8, ld64(lists, W_PAIRS)
    for i in range(ld32(ld64(lists, W_PAIR_COUNT), lead)):
        s = ld32(pairs, 2 * i + 1)
        if (ld64(at, s >> 6) >> (s & 63)) & 1:
            set_bit(dst, ld32(pairs, 2 * i))
    if names >= 0 or seen >= 0:
        for i in range(n_quotes):
            if ld32(quotes, 2 * i + 1) <= k:
                r = call7(ld64(e, F_FIX), e, ld32(quotes, 2 * i), names, seen, extra, c, dst)
                if r < 0:
                    return r
    return 1


@njit(**_OPT)
def build_thread(e, thread, dst):
    """OR into `dst` the mask of one thread, without EOS."""
    q, c = thread >> SHIFT, thread & LOW
    if q == MUST_SPACE or q >= WSX_BASE:
        return call7(ld64(e, F_WALK), e, ld64(e, STRUCT), ld64(e, STRUCT_TOKEN), 0, thread, dst, 0)
    if q >= KEY_BASE:
        if c < SET_BASE:
            return call4(ld64(e, F_KEY_ROW), e, q, c, dst)
        items = np_empty(size_of(e, c))
        n = expand(e, c, items, 0)
        tmp = ld64(e, SCRATCH_ROW)
        for i in range(n):
            clear_row(tmp, ld64(e, WORDS))
            r = call4(ld64(e, F_KEY_ROW), e, q, items[i], tmp)
            if r < 0:
                return r
            or_row(dst, tmp, ld64(e, WORDS))
        return 0
    if q >= WS and q < LX_BASE:
        return gap_row(e, q, c, dst)
    return call4(ld64(e, F_LEXEME_ROW), e, q, c, dst)


# ------------------------------------------------------------------ states
@njit(**_OPT)
def memo_slot(e, state):
    """Slot of `state` in the row memo (its key there, or empty: -1)."""
    mask, keys = ld64(e, M_MEMO), ld64(e, MEMO_KEYS)
    slot = mix(state, state >> 32) & mask
    while True:
        k = ld64(keys, slot)
        if k == state or k == -1:
            return slot
        slot = (slot + 1) & mask


@njit(**_OPT)
def thread_row(e, thread):
    """Row id of one thread, without memo lookup: shares the row of its projection if it can."""
    q, c = thread >> SHIFT, thread & LOW
    p = projection(e, c)
    if p != c and q < KEY_BASE:
        row = call2(ld64(e, F_ROW), e, (q << SHIFT) | p)
        if row < 0:
            return row
        if ld8(ld64(e, ROW_FLAGS), row) == 0:
            return row
    row = new_row(e)
    if row < 0:
        return row
    dst = row_address(e, row)
    before = ld64(e, TOUCHED)
    st64(e, TOUCHED, 1 if q >= KEY_BASE else 0)         # rows of keys are not shared anyway
    r = build_thread(e, thread, dst)
    if r < 0:
        if ld64(e, N_ROWS) == row + 1:
            st64(e, N_ROWS, row)
        return r
    dups = ld64(e, DUPS)
    for i in range(ld64(e, N_DUPS)):
        k = ld32(dups, 2 * i)
        if (ld64(dst, k >> 6) >> (k & 63)) & 1:
            set_bit(dst, ld32(dups, 2 * i + 1))
    if can_end(e, q, c):
        for i in range(ld64(e, N_EOS)):
            set_bit(dst, ld32(ld64(e, EOS), i))
    st8_flag(e, row)
    st64(e, TOUCHED, ld64(e, TOUCHED) | before)
    return same_row(e, row)


@njit(**_OPT)
def same_row(e, row):
    """An older row with the contents of `row`, which is then given back if it can be; else `row`.

    Most rows repeat one of the last few.  Sharing them keeps those in use in the
    processor's cache, which is worth more than the look at the row.
    """
    words, dst = ld64(e, WORDS), row_address(e, row)
    h = 0
    for i in range(words):
        v = ld64(dst, i)
        h += (v << (i & 31)) ^ (v >> (i & 15))
    h = mix(h, ld8(ld64(e, ROW_FLAGS), row))
    at = ld64(e, SEEN_ROWS) + (h & (SEEN - 1)) * 16
    old = ld64(at, 1) - 1
    if old >= 0 and ld64(at, 0) == h:
        src, different = row_address(e, old), 0
        for i in range(words):
            different |= ld64(dst, i) ^ ld64(src, i)
        if different == 0 and ld8(ld64(e, ROW_FLAGS), row) == ld8(ld64(e, ROW_FLAGS), old):
            if ld64(e, N_ROWS) == row + 1:
                st64(e, N_ROWS, row)
            return old
    st64(at, 0, h)
    st64(at, 1, row + 1)
    return row


@njit(**_OPT)
def st8_flag(e, row):
    """Remember whether the row depends on keys that only real text knows."""
    base = ld64(e, ROW_FLAGS)
    word = ld64(base, row >> 3)
    shift = (row & 7) * 8
    st64(base, row >> 3, (word & ~(255 << shift)) | (ld64(e, TOUCHED) << shift))


@njit(**_OPT)
def state_row(e, state):
    """Row id of a state, built on first use; NEED_PY/FUEL."""
    slot = memo_slot(e, state)
    if ld64(ld64(e, MEMO_KEYS), slot) != -1:
        return ld32(ld64(e, MEMO_ROWS), slot)
    if grow_probe(ld64(e, M_MEMO), ld64(e, N_MEMO) + 2):
        return need(e, ROOM_MEMO, 0, 0)
    if state < MANY:
        row = thread_row(e, state)
    else:
        s = ld64(e, STATES) + (state - MANY) * 8
        off, n = ld32(s, 0), ld32(s, 1)
        row = new_row(e)
        if row < 0:
            return row
        dst = row_address(e, row)
        for i in range(n):
            r = call2(ld64(e, F_ROW), e, ld64(ld64(e, STATE_POOL), off + i))
            if r < 0:
                return r
            or_row(dst, row_address(e, r), ld64(e, WORDS))
    if row < 0:
        return row
    slot = memo_slot(e, state)
    st64(ld64(e, MEMO_KEYS), slot, state)
    st32(ld64(e, MEMO_ROWS), slot, row)
    st64(e, N_MEMO, ld64(e, N_MEMO) + 1)
    return row


@njit(**_ENTRY)
def fill(e, state, dst, words):
    """Copy the mask of `state` to int32[words] at `dst`; surplus words become 0."""
    row = call2(ld64(e, F_ROW), e, state)
    if row < 0:
        return row
    src = row_address(e, row)
    have = ld64(e, WORDS)
    pairs = words >> 1
    n = pairs if pairs < have else have
    for i in range(n):
        st64(dst, i, ld64(src, i))
    for i in range(2 * n, words):
        st32(dst, i, ld32(src, i) if i < 2 * have else 0)
    return row


@njit(**_OPT)
def intern_state(e):
    """The state of the threads in the result list (two or more)."""
    n = ld64(e, N_OUT)
    out = ld64(e, OUT)
    for i in range(1, n):
        v = ld64(out, i)
        j = i
        while j > 0 and ld64(out, j - 1) > v:
            st64(out, j, ld64(out, j - 1))
            j -= 1
        st64(out, j, v)
    h = n
    for i in range(n):
        h = mix(h, ld64(out, i))
    mask, table, pool = ld64(e, M_STATES), ld64(e, H_STATES), ld64(e, STATE_POOL)
    slot = h & mask
    while True:
        i = ld32(table, slot)
        if i == 0:
            break
        s = ld64(e, STATES) + (i - 1) * 8
        if ld32(s, 1) == n:
            off, same = ld32(s, 0), True
            for k in range(n):
                if ld64(pool, off + k) != ld64(out, k):
                    same = False
                    break
            if same:
                return MANY | (i - 1)
        slot = (slot + 1) & mask
    s, m = ld64(e, N_STATES), ld64(e, N_STATE_POOL)
    if s >= ld64(e, CAP_STATES) or m + n > ld64(e, CAP_STATE_POOL) or grow_probe(mask, s):
        return need(e, ROOM_STATES, n, 0)
    r = ld64(e, STATES) + s * 8
    st32(r, 0, m)
    st32(r, 1, n)
    for k in range(n):
        st64(pool, m + k, ld64(out, k))
    st64(e, N_STATES, s + 1)
    st64(e, N_STATE_POOL, m + n)
    st32(table, slot, s + 1)
    return MANY | s


@njit(**_OPT)
def rebuild_states(e):
    """Refill the hash of states after Python has made it larger (and zero)."""
    mask, table, pool = ld64(e, M_STATES), ld64(e, H_STATES), ld64(e, STATE_POOL)
    for i in range(ld64(e, N_STATES)):
        s = ld64(e, STATES) + i * 8
        off, n = ld32(s, 0), ld32(s, 1)
        h = n
        for k in range(n):
            h = mix(h, ld64(pool, off + k))
        put_slot(table, h & mask, mask, i + 1)


@njit(**_OPT)
def step_many(e, state, b, at):
    """One byte for a state of several threads: a state, or a code."""
    s = ld64(e, STATES) + (state - MANY) * 8
    off, n = ld32(s, 0), ld32(s, 1)
    got = np_empty(64)
    m = 0
    for i in range(n):
        t = ld64(ld64(e, STATE_POOL), off + i)
        r = call5(ld64(e, F_STEP), e, t >> SHIFT, t & LOW, b, at)
        k = 1
        if r == MULTI:
            k = ld64(e, N_OUT)
        elif r == DEAD:
            continue
        elif r < 0:
            return r
        if m + k > got.shape[0]:
            more = np_empty(2 * (m + k))
            for j in range(m):
                more[j] = got[j]
            got = more
        if r == MULTI:
            for j in range(k):
                got[m + j] = ld64(ld64(e, OUT), j)
        else:
            got[m] = r
        m += k
    st64(e, N_OUT, 0)
    for j in range(m):
        r = emit(e, got[j] >> SHIFT, got[j] & LOW)
        if r < 0:
            return r
    r = call1(ld64(e, F_FINISH), e)
    return intern_state(e) if r == MULTI else r


@njit(**_ENTRY)
def advance_bytes(e, state, text, n):
    """State after `n` bytes at address `text`; DEAD (offset in ``NEED_A``), NEED_PY or FUEL."""
    for i in range(n):
        b = ld8(text, i)
        if state < MANY:
            r = call5(ld64(e, F_STEP), e, state >> SHIFT, state & LOW, b, i + 1)
            if r == MULTI:
                r = intern_state(e)
        else:
            r = call4(ld64(e, F_STEP_MANY), e, state, b, i + 1)
        if r < 0:
            if r == DEAD:
                st64(e, NEED + 1, i)
            return r
        state = r
    return state


@njit(**_OPT)
def begin_advance(e, state, token):
    """State after the bytes of an ordinary token, as a new text (see `advance_bytes`)."""
    st64(e, X_COUNT, 0)
    off = ld64(e, OFFSETS)
    lo = ld64(off, token)
    return advance_bytes(e, state, ld64(e, BLOB) + lo, ld64(off, token + 1) - lo)


@njit(**_OPT)
def copy_row(src, dst, words):
    """Copy int32[words]."""
    for i in range(words >> 1):
        st64(dst, i, ld64(src, i))
    if words & 1:
        st32(dst, words - 1, ld32(src, words - 1))


@njit(cache=True, error_model="numpy")
def peek(e, state, dst):
    """`fill` of a row without surplus words, if it is there and nobody is at work in the arena; else NEED_PY.

    Neither this nor `step` releases the GIL, which is a third of what they cost.
    """
    if ld64(e, BUSY) != 0:
        return NEED_PY
    slot = memo_slot(e, state)
    if ld64(ld64(e, MEMO_KEYS), slot) == -1:
        return NEED_PY
    copy_row(row_address(e, ld32(ld64(e, MEMO_ROWS), slot)), dst, (ld64(e, N_TOKENS) + 31) >> 5)
    return 0


@njit(cache=True, error_model="numpy")
def step(e, state, token):
    """State after an ordinary token, or DEAD; NEED_PY where it takes Python or much time, or it is no such token."""
    if ld64(e, BUSY) != 0 or token < 0 or token >= ld64(e, N_TOKENS) or ld8(ld64(e, KIND), token) != 0:
        return NEED_PY
    lexer = ld64(e, LEXER)
    fuel = ld64(lexer, B_FUEL)
    little = fuel if fuel < LITTLE_FUEL else LITTLE_FUEL
    st64(lexer, B_FUEL, little)
    r = begin_advance(e, state, token)
    st64(lexer, B_FUEL, fuel - little + ld64(lexer, B_FUEL))
    return r if r >= DEAD else NEED_PY


@njit(**_OPT)
def state_can_end(e, state):
    """1 if the text may end in `state`."""
    if state < MANY:
        return 1 if can_end(e, state >> SHIFT, state & LOW) else 0
    s = ld64(e, STATES) + (state - MANY) * 8
    off, n = ld32(s, 0), ld32(s, 1)
    for i in range(n):
        t = ld64(ld64(e, STATE_POOL), off + i)
        if can_end(e, t >> SHIFT, t & LOW):
            return 1
    return 0


@njit(**_OPT)
def byte_set(e, state, dst):
    """Write to uint8[256] at `dst` which bytes may follow; returns how many, or a code."""
    count = 0
    for b in range(256):
        if state < MANY:
            r = call5(ld64(e, F_STEP), e, state >> SHIFT, state & LOW, b, -1)
        else:
            r = call4(ld64(e, F_STEP_MANY), e, state, b, -1)
        if r < 0 and r != DEAD and r != MULTI:
            return r
        if r != DEAD:
            count += 1
            st64_byte(dst, b)
    return count


@njit(**_OPT)
def st64_byte(dst, b):
    """dst[b] = 1, in an array of bytes."""
    w = b >> 3
    st64(dst, w, ld64(dst, w) | (1 << ((b & 7) * 8)))


@njit(**_ENTRY)
def fill_many(es, states, dsts, words, codes):
    """`fill` for a batch in one call; codes[i] is the row or the code of entry i."""
    bad = 0
    for i in range(es.shape[0]):
        if codes[i] < 0:
            codes[i] = fill(es[i], states[i], dsts[i], words)
            if codes[i] < 0:
                bad += 1
    return bad


@njit(**_ENTRY)
def step_batch(table, n):
    """Move a batch of states by a token each, and find the rows of their masks.

    At address `table` stand four int64[n]: the block of each entry's arena (0
    leaves an entry out), states, tokens (negative: stay), and row addresses
    (an entry that stays keeps one that is not 0).  States that moved are
    written back.  A token that cannot be taken here is replaced by the code of
    `begin_advance`, a row that cannot be made has address 0.  Returns the
    number of entries without a row.
    """
    states, tokens, rows = table + 8 * n, table + 16 * n, table + 24 * n
    missing = 0
    for i in range(n):
        e, state, token = ld64(table, i), ld64(states, i), ld64(tokens, i)
        if token < 0 and ld64(rows, i) != 0:
            continue
        st64(rows, i, 0)
        missing += 1
        if e == 0:
            continue
        if token >= 0:
            state = begin_advance(e, state, token)
            if state < 0:
                st64(tokens, i, state)
                continue
            st64(states, i, state)
        row = call2(ld64(e, F_ROW), e, state)
        if row >= 0:
            st64(rows, i, row_address(e, row))
            missing -= 1
    return missing


# ------------------------------------------------------------------ budget
@njit(**_ENTRY)
def ends(e, which, state, left, dst):
    """Look up U, the tokens a shortest completion needs (EOS included), behind every token.

    `which` 0 walks the vocabulary, 1 the structural trie, 2 the suffixes (then
    every node is an end).  Sets in `dst` (if not 0) the tokens with U <= `left`
    and leaves the greatest U seen in ``PEAK``.  Threads whose U is not known are
    listed in ``U_ASK`` for Python to compute; returns their number.
    """
    nodes, first, tokens = ld64(e, TRIE), ld64(e, TRIE_FIRST), ld64(e, TRIE_TOKENS)
    if which == 1:
        nodes, first, tokens = ld64(e, STRUCT), ld64(e, STRUCT_FIRST), ld64(e, STRUCT_TOKENS)
    elif which == 2:
        nodes = ld64(e, SUFFIX)
    st64(e, N_ASK, 0)
    st64(e, PEAK, 0)
    st64(e, TOUCHED, 1)         # no row is built
    base = ld64(e, N_PENDING)
    if state < MANY:
        r = push_pending(e, 0, state)
        if r < 0:
            return r
    else:
        s = ld64(e, STATES) + (state - MANY) * 8
        off, n = ld32(s, 0), ld32(s, 1)
        for i in range(n):
            r = push_pending(e, 0, ld64(ld64(e, STATE_POOL), off + i))
            if r < 0:
                st64(e, N_PENDING, base)
                return r
    stack = ld64(e, STACK)
    mask, keys, values = ld64(e, M_U), ld64(e, U_KEYS), ld64(e, U_VALUES)
    last, last_u = -1, -1
    while ld64(e, N_PENDING) > base:
        n = ld64(e, N_PENDING) - 2
        st64(e, N_PENDING, n)
        i = ld64(ld64(e, PENDING), n)
        v = ld64(nodes, i)
        end = i + (v >> 24)
        st64(stack, (v >> 8) & 0xFFFF, ld64(ld64(e, PENDING), n + 1))
        fresh = i > 0       # a queued thread has not looked at its own node's tokens yet
        if not fresh:
            i = 1
        while i < end:
            v = ld64(nodes, i)
            d = (v >> 8) & 0xFFFF
            if fresh:
                r = ld64(stack, d)
                fresh = False
            else:
                t = ld64(stack, d - 1)
                r = call5(ld64(e, F_STEP), e, t >> SHIFT, t & LOW, v & 255, -1)
                if r == DEAD:
                    i += v >> 24
                    continue
                if r == MULTI:
                    r = push_rest(e, i)
                if r < 0:
                    st64(e, N_PENDING, base)
                    return r
                st64(stack, d, r)
            lo, hi = 0, 1
            if which != 2:
                lo, hi = ld32(first, i), ld32(first, i + 1)
            if lo < hi:
                if r != last:
                    last, last_u = r, -1
                    slot = mix(r, r >> 32) & mask
                    while ld64(keys, slot) != -1:
                        if ld64(keys, slot) == r:
                            last_u = ld32(values, slot)
                            break
                        slot = (slot + 1) & mask
                    if last_u < 0:
                        ask_u(e, r)
                    elif last_u > ld64(e, PEAK):
                        st64(e, PEAK, last_u)
                if dst != 0 and 0 <= last_u and last_u <= left:
                    for k in range(lo, hi):
                        set_bit(dst, ld32(tokens, k))
            i += 1
    return ld64(e, N_ASK)


@njit(**_OPT)
def ask_u(e, thread):
    """List a thread whose U Python should compute."""
    k = ld64(e, N_ASK)
    for j in range(k):
        if ld64(ld64(e, U_ASK), j) == thread:
            return
    if k < ld64(e, CAP_ASK):
        st64(ld64(e, U_ASK), k, thread)
        st64(e, N_ASK, k + 1)


@njit(**_OPT)
def put_u(e, thread, u):
    """Record U of a thread; returns 1 when the table is too full for more."""
    mask, keys = ld64(e, M_U), ld64(e, U_KEYS)
    slot = mix(thread, thread >> 32) & mask
    while ld64(keys, slot) != -1 and ld64(keys, slot) != thread:
        slot = (slot + 1) & mask
    if ld64(keys, slot) == -1:
        st64(keys, slot, thread)
        st64(e, N_U, ld64(e, N_U) + 1)
    st32(ld64(e, U_VALUES), slot, u)
    return 1 if grow_probe(mask, ld64(e, N_U) + 1) else 0


# ------------------------------------------------------------------ growth
@njit(**_OPT)
def rehash_keyed(e, old_keys, old_values, size, keys_slot, values_slot, mask_slot):
    """Move the entries of a hash by state or thread into its larger successor."""
    mask, keys, values = ld64(e, mask_slot), ld64(e, keys_slot), ld64(e, values_slot)
    for i in range(size):
        k = ld64(old_keys, i)
        if k != -1:
            slot = mix(k, k >> 32) & mask
            while ld64(keys, slot) != -1:
                slot = (slot + 1) & mask
            st64(keys, slot, k)
            st32(values, slot, ld32(old_values, i))


@njit(**_OPT)
def rehash_pairs(e, old, size):
    """The same for the hash of regions."""
    mask, keys = ld64(e, M_REGION), ld64(e, REGION_KEYS)
    for i in range(size):
        k = ld64(old, 2 * i)
        if k != -1:
            slot = mix(k, 1) & mask
            while ld64(keys, 2 * slot) != -1:
                slot = (slot + 1) & mask
            st64(keys, 2 * slot, k)
            st64(keys, 2 * slot + 1, ld64(old, 2 * i + 1))


@njit(**_OPT)
def rehash_after(e, old, size):
    """The same for the hash of suffix sets."""
    mask, keys = ld64(e, M_AFTER), ld64(e, AFTER_KEYS)
    for i in range(size):
        k = ld32(old, 2 * i)
        if k != 0:
            slot = mix(k - 1, 2) & mask
            while ld32(keys, 2 * slot) != 0:
                slot = (slot + 1) & mask
            st32(keys, 2 * slot, k)
            st32(keys, 2 * slot + 1, ld32(old, 2 * i + 1))


# ------------------------------------------------------------------ entries
(CALL_CAN_END, CALL_BYTES, CALL_PUT_U, CALL_REHASH_KEYED, CALL_REHASH_PAIRS, CALL_REHASH_AFTER,
 CALL_REBUILD_STATES) = range(7)


@njit(**_ENTRY)
def mask_call(e, what, a, b, c, d, f, g):
    """What Python asks now and then, behind one entry."""
    if what == CALL_CAN_END:
        return state_can_end(e, a)
    if what == CALL_BYTES:
        return byte_set(e, a, b)
    if what == CALL_PUT_U:
        return put_u(e, a, b)
    if what == CALL_REHASH_KEYED:
        rehash_keyed(e, a, b, c, d, f, g)
    elif what == CALL_REHASH_PAIRS:
        rehash_pairs(e, a, b)
    elif what == CALL_REHASH_AFTER:
        rehash_after(e, a, b)
    elif what == CALL_REBUILD_STATES:
        rebuild_states(e)
    return 0


@njit(**_ENTRY)
def static_region(e, q, dst, pairs, cap, lens):
    """`region_walk` for the tables of a tokenizer."""
    return call7(ld64(e, F_REGION), e, q, dst, pairs, 0, cap, lens)


#: natives of both kernel files (see stack_kernels)
ALL_NATIVE = {**NATIVE, F_ROW: (state_row, 2), F_WALK: (walk, 7), F_REGION: (region_walk, 7),
              F_LEXEME_ROW: (lexeme_row, 4), F_AFTER: (after_bits, 2), F_NEAR_ANY: (near_any, 6),
              F_RETURNS: (returns, 5), F_REGION_OF: (region_of, 2), F_STEP_MANY: (step_many, 4),
              F_KEY_ROW: (key_row, 4), F_FIX: (fix_below, 7)}

#: entry kernel -> number of int64 arguments, for compilation (or loading) ahead of use
ENTRIES = {peek: 3, step: 3, fill: 4, advance_bytes: 4, ends: 5, mask_call: 8, stack_call: 6}
