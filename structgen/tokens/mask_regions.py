"""Regions: for a lexeme state, the tokens that stay inside the lexeme and those that leave it.

See :mod:`.mask_kernels`.
"""

from __future__ import annotations

from ..automata.jit import njit
from ..automata.lexer_kernels import AL_BASE
from ..automata.stack_contexts import gap
from ..automata.stack_layout import (
    BITS, DEAD, F_ROW, LX_BASE, NEED, NEED_LEXER, N_STATIC, QUOTE, RAW_BASE, ROOM_REGION, SHIFT, STATIC, TOUCHED,
    call2, call3, call5, call6, call7, grow_probe, ld16, ld32, ld64, ld8, mix, need, np_empty, popcount, st32, st64)
from ..automata.stack_lexemes import (
    ASK_ANYLEN, ASK_BOUNDED, ASK_FAR, ASK_OPEN, ASK_REP, ask_lexer, lexeme_label, piece_label, piece_step)
from ..automata.stack_objects import intern_bits
from .mask_layout import (
    AFTER_KEYS, BLOB, CAP_PAIRS, CAP_REGIONS, CUT_OFF, CUT_POS, CUT_SUFFIX, DEPTH, F_AFTER, F_CLASSES, F_NEAR_ANY,
    F_REGION, F_REGION_OF, F_RETURNS, F_WALK, LABEL_SEEN, LEN_ROWS, LETTERS, LONG_CHARS, LONG_TOKENS, MIXED, M_AFTER,
    M_REGION, N_AFTER, N_LEN_ROWS, N_LONG, N_PAIRS, N_REGIONS, N_ROWS, N_STR_PAIRS, N_SUFFIX, OFFSETS, PAIRS,
    PAIR_LABELS, REGIONS, REGION_KEYS, REGION_W, ROOM_AFTER, ROW_FLAGS, R_ABS, R_LABEL, R_NPAIRS, R_PAIRS, R_ROW,
    SCRATCH, STACK, STR_ENDS, STR_LENS, STR_PAIRS, SUFFIX, S_REGION, TRIE, TRIE_BYTES, TRIE_FIRST, TRIE_TOKEN,
    TRIE_TOKENS, WORDS, _ENTRY, _OPT, clear_bit, clear_row, new_row, or_row, row_address, set_bit)

#: sha256 of the kernel files compiled into this one; numba's on-disk cache sees only this
#: file, so it must change when one of those does (bench/stamp_kernels.py; a test checks).
DEPENDS_ON = "45fa3bc778258490adbfcb0fc962cda91cb504a996d86287752a546f45cf0dbf"


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
    return exits(e, q, dst, pairs, n, cap)


@njit(**_OPT)
def exits(e, q, dst, pairs, n, cap):
    """The part of a string state's region that leaves the string: each token with a quote is tried.

    `q` stands between characters.  Arguments and result as `near_any`.
    """
    tokens, ends = ld64(e, STR_PAIRS), ld64(e, STR_ENDS)
    m = ld64(e, N_STR_PAIRS)
    if n + m > cap:
        return need(e, ROOM_REGION, 0, 0)
    seen_label = -1
    for i in range(m):
        t, s = ld32(tokens, 2 * i), ld32(tokens, 2 * i + 1)
        label = run_token(e, q, t, ld32(ends, i))
        if label >= 0:
            label = piece_label(e, label)
        if label < DEAD:
            return label
        if label < 0:
            if s == 0:
                clear_bit(dst, t)
            continue
        seen_label = label if seen_label == -1 or seen_label == label else MIXED
        if s == 0:
            set_bit(dst, t)
        else:
            st32(pairs, 2 * n, t)
            st32(pairs, 2 * n + 1, s)
            st32(ld64(e, PAIR_LABELS), n, label)
            n += 1
    st64(e, LABEL_SEEN, seen_label)
    return n


@njit(**_OPT)
def open_region(e, q, dst, pairs, n, cap):
    """Region of a string state that whatever comes keeps alive: any string's, but for the ends.

    So are most states of patterns without anchors.  Arguments and result as `near_any`.
    """
    if ask_lexer(e, ASK_OPEN, q) == 0:
        return -4
    r = piece_step(e, q, 113)           # no letter may follow inside of a character or an escape
    if r < 0:
        return r if r < DEAD else -4
    words = ld64(e, WORDS)
    src = ld64(ld64(e, S_REGION), R_ROW)
    for i in range(words):
        st64(dst, i, ld64(src, i))
    return exits(e, q, dst, pairs, n, cap)


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
    raw = RAW_BASE if q >= RAW_BASE else 0
    if LX_BASE <= q - raw and q - raw < AL_BASE:
        d = ask_lexer(e, ASK_FAR, q - raw)
        if d < 0:
            st64(e, NEED, NEED_LEXER)
            return d
        if d + raw != q:
            return call2(ld64(e, F_REGION_OF), e, d + raw)
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
        if m == -4:
            m = open_region(e, q, row_address(e, row), ld64(e, PAIRS), first, ld64(e, CAP_PAIRS))
    if m == -4 and q < RAW_BASE:
        m = call6(ld64(e, F_NEAR_ANY), e, q, row_address(e, row), ld64(e, PAIRS), first, ld64(e, CAP_PAIRS))
    if m == -4 and q >= RAW_BASE and ld64(e, F_CLASSES) != 0:
        m = call3(ld64(e, F_CLASSES), e, q, row_address(e, row))
        if m == 0:
            m = first
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


@njit(**_ENTRY)
def static_region(e, q, dst, pairs, cap, lens):
    """`region_walk` for the tables of a tokenizer."""
    return call7(ld64(e, F_REGION), e, q, dst, pairs, 0, cap, lens)
