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
from ..automata.lexer_kernels import B_FUEL
from ..automata.stack_contexts import expand, projection, size_of
from ..automata.stack_kernels import NATIVE, can_end, stack_call
from ..automata.stack_layout import (
    ARR_START, BITS, CTX, CTX_W, C_A, C_KIND, C_PARENT, DEAD, F_CLOSE, F_FINISH, F_ITEM, F_ROW, F_STEP, KEYS,
    KEY_BASE, KEY_W, K_EXTRA, K_NAMES, K_SEEN, LEXER, LOW, LX_BASE, MULTI, MUST_SPACE, NEED, NEED_NODE, NEED_PY,
    NODE, NODE_W, N_NUM, N_OUT, N_READY, OPS, OP_W, OUT, P_EXT, QUOTE, ROOM_MEMO, SET_BASE, SHIFT, TOUCHED, VALUE,
    WS, WSX_BASE, X_COUNT, call1, call2, call3, call4, call5, call7, emit, grow_probe, ld32, ld64, ld8, mix, need,
    np_empty, put_slot, st32, st64)
from ..automata.stack_lexemes import ASK_REP, ask_lexer, piece_label
from .mask_budgets import ends, put_u
from .mask_keys import fix_below, key_row
from .mask_layout import (
    AFTER_KEYS, BLOB, BUSY, CAP_STATES, CAP_STATE_POOL, DUPS, EOS, F_AFTER, F_FIX, F_KEY_ROW, F_LEXEME_ROW,
    F_NEAR_ANY, F_REGION, F_REGION_OF, F_RETURNS, F_STEP_MANY, F_WALK, H_STATES, KIND, LITTLE_FUEL, MANY, MEMO_KEYS,
    MEMO_ROWS, M_AFTER, M_MEMO, M_REGION, M_STATES, N_DUPS, N_EOS, N_MEMO, N_ROWS, N_STATES, N_STATE_POOL, N_TOKENS,
    OFFSETS, OPENINGS, REGION_KEYS, ROOM_STATES, ROW_FLAGS, SCRATCH_ROW, SEEN, SEEN_ROWS, STATES, STATE_POOL,
    STRUCT, STRUCT_TOKEN, TRIE_FIRST, TRIE_TOKENS, WORDS, W_LEAD, W_MAX, W_N_QUOTES, W_OPEN, W_OPEN_COUNT, W_PAIRS,
    W_PAIR_COUNT, W_QUOTES, W_SPACE, W_SPACE_COUNT, _ENTRY, _OPT, clear_row, new_row, or_row, row_address, set_bit,
    set_tokens, walk)
from .mask_regions import after_bits, lexeme_row, near_any, region_of, region_walk, returns

#: sha256 of the kernel files compiled into this one; numba's on-disk cache sees only this
#: file, so it must change when one of those does (bench/stamp_kernels.py; a test checks).
DEPENDS_ON = "6f44e0954c6e6b5ed96427556ba9d2b79c3c5c04a6b718a6a6dac10a41ad602c"


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
    written back.  A token that cannot be taken here, or is no ordinary one, is
    replaced by a negative number, a row that cannot be made has address 0.
    Returns the number of entries without a row.
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
            st64(tokens, i, NEED_PY)
            continue
        if token >= 0:
            if token >= ld64(e, N_TOKENS) or ld8(ld64(e, KIND), token) != 0:
                state = NEED_PY
            else:
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


#: natives of both kernel files (see stack_kernels)
ALL_NATIVE = {**NATIVE, F_ROW: (state_row, 2), F_WALK: (walk, 7), F_REGION: (region_walk, 7),
              F_LEXEME_ROW: (lexeme_row, 4), F_AFTER: (after_bits, 2), F_NEAR_ANY: (near_any, 6),
              F_RETURNS: (returns, 5), F_REGION_OF: (region_of, 2), F_STEP_MANY: (step_many, 4),
              F_KEY_ROW: (key_row, 4), F_FIX: (fix_below, 7)}
#: entry kernel -> number of int64 arguments, for compilation (or loading) ahead of use
ENTRIES = {peek: 3, step: 3, fill: 4, advance_bytes: 4, ends: 5, mask_call: 8, stack_call: 6}
