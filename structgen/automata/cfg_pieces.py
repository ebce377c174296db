"""Kernels of pieces: what the tokens of a vocabulary are within one terminal.

A *cut set* says where the rests of some tokens begin: trie nodes, with the
shadow left before each.  Reading one more terminal from a cut set gives a
*piece*: the tokens that end inside that terminal, and the cut set behind it.
Both know nothing of stacks, are built when first needed by walking the trie
below the cuts, and equal cut sets are one, so the splits of ``-----`` into
``-`` and ``--`` meet again.
"""

from __future__ import annotations

from .cfg_layout import (
    AT, CAP_AT, CAP_COND, CAP_CUTS, CAP_PIECE, CAP_ROWS, CAP_SCOND, CAP_SCUT, CAP_STOK, CAP_TOK, CHILD, CLS, COND,
    CUTS, CUTSET, CUTSET_W, DEAD, FIRST_SET, FUEL_OUT, F_INTERN, F_PIECE, HISTORY, H_CUTSET, K_TABLE, LONG, LOW,
    MAY, M_CHILD, NCLS, NHIST, N_AT, N_CHILD, N_COND, N_CUTS, N_CUTSET, N_GROUPS, N_PIECE, N_ROWS, N_TOK, N_TRIE,
    PIECE, PIECE_W, P_COND, P_CUTS, P_NCOND, P_NTOK, P_ROW, P_TOK, QCUT, QEND, QHIST, QLOOP, QSHADOW, ROWS, SAFE,
    SEEN, SEEN_ROWS, SHADOWS, SPLIT, STACK_D, STACK_Q, STAMP, STAMP_NO, S_COND, S_CUT, S_TOK, TOK, TRANS, TRIE,
    TRIE_FIRST, TRIE_TOKENS, TWORDS, WORDS, W_COND, W_CUT, W_TOK, _OPT, burn, call3, call7, ld32, ld64, ld8,
    memo_get, memo_put, mix, need, njit, st32, st64)
from .cfg_threads import pair_of, shadow_add, shadow_step, unpair

#: sha256 of the kernel files compiled into this one (see stack_kernels.py).
DEPENDS_ON = "b8c71326aa9ca3f206cf49c8495d884a7a837398cb8e0b17ec59bce555bcdddd"


# ------------------------------------------------------------------ rows
@njit(**_OPT)
def row_address(e, i):
    return ld64(ld64(e, ROWS), i >> 6) + (i & 63) * (ld64(e, WORDS) * 8)


@njit(**_OPT)
def set_bit(dst, t):
    st64(dst, t >> 6, ld64(dst, t >> 6) | 1 << (t & 63))


@njit(**_OPT)
def new_row(e):
    """The number of a fresh row, zero; or a code."""
    row = ld64(e, N_ROWS)
    if row + 1 > ld64(e, CAP_ROWS):
        return need(e, ROWS, 0, 0)
    st64(e, N_ROWS, row + 1)
    dst = row_address(e, row)
    for w in range(ld64(e, WORDS)):
        st64(dst, w, 0)
    return row


@njit(**_OPT)
def or_row(dst, src, words):
    for w in range(words):
        st64(dst, w, ld64(dst, w) | ld64(src, w))


@njit(**_OPT)
def kept_row(e, row):
    """An older row with the contents of the last one, `row`, which is then given back; else `row`.

    Two rows of three repeat an older one.  A page that was never touched costs more
    than all that is written into it.
    """
    words, dst = ld64(e, WORDS), row_address(e, row)
    h = 0
    for i in range(words):
        v = ld64(dst, i)
        h += (v << (i & 31)) ^ (v >> (i & 15))
    h = mix(h, words)
    at = ld64(e, SEEN_ROWS) + (h & (SEEN - 1)) * 16
    old = ld64(at, 1) - 1
    if old >= 0 and ld64(at, 0) == h:
        src, different = row_address(e, old), 0
        for i in range(words):
            different |= ld64(dst, i) ^ ld64(src, i)
        if different == 0:
            st64(e, N_ROWS, row)
            return old
    st64(at, 0, h)
    st64(at, 1, row + 1)
    return row


@njit(**_OPT)
def keep_tokens(e, r, row, src, n):
    """Store in the piece or local at `r` the tokens of `row` (-1: none) and the `n` at `src`; 0 or a code."""
    st64(r, P_NTOK, 0)
    st64(r, P_TOK, 0)
    if n > LONG:
        both = new_row(e)
        if both < 0:
            return both
        dst = row_address(e, both)
        if row >= 0:
            or_row(dst, row_address(e, row), ld64(e, WORDS))
        for j in range(n):
            set_bit(dst, ld32(src, j))
        st64(r, P_ROW, kept_row(e, both))
        return 0
    at = ld64(e, N_TOK)
    if at + n > ld64(e, CAP_TOK):
        return need(e, TOK, n, 0)
    out, m = ld64(e, TOK), at
    have = row_address(e, row) if row >= 0 else 0
    for j in range(n):
        t = ld32(src, j)
        if have == 0 or ld64(have, t >> 6) >> (t & 63) & 1 == 0:
            st32(out, m, t)
            m += 1
    st64(r, P_ROW, row)
    st64(r, P_TOK, at)
    st64(r, P_NTOK, m - at)
    st64(e, N_TOK, m)
    return 0


# ------------------------------------------------------------------ walks
@njit(**_OPT)
def group_nodes(e, below, groups, out):
    """Write to `out` the nodes of the trie, each with the groups of bytes that occur below it."""
    nodes = ld64(e, TRIE)
    for i in range(ld64(e, N_TRIE)):
        have = 0
        for g in range(N_GROUPS):
            if (ld64(below, 4 * i) & ld64(groups, 4 * g) | ld64(below, 4 * i + 1) & ld64(groups, 4 * g + 1)
                    | ld64(below, 4 * i + 2) & ld64(groups, 4 * g + 2)
                    | ld64(below, 4 * i + 3) & ld64(groups, 4 * g + 3)) != 0:
                have |= 1 << g
        st64(out, i, ld64(nodes, i) | have << 48)
    return 0


@njit(**_OPT)
def put_cut(e, n, i, d, k):
    """Note that what is left of a token starts at trie node `i`; the new number of cuts."""
    if d == 0:
        stamp = ld64(e, STAMP)
        if ld32(stamp, i) == ld64(e, STAMP_NO):
            return n
        st32(stamp, i, ld64(e, STAMP_NO))
    if n >= ld64(e, CAP_SCUT):
        return need(e, S_CUT, 0, 0)
    st64(ld64(e, S_CUT), 2 * n, i << 32 | d)
    st64(ld64(e, S_CUT), 2 * n + 1, k)
    return n + 1


@njit(**_OPT)
def put_tokens(e, i, q, d):
    """Note the tokens that end at trie node `i` in lexeme state (q, D)."""
    first = ld64(e, TRIE_FIRST)
    lo, hi = ld32(first, i), ld32(first, i + 1)
    if lo == hi:
        return 0
    tokens = ld64(e, TRIE_TOKENS)
    if d == 0 and ld64(e, SAFE) != 0:
        n = ld64(e, W_TOK)
        if n + hi - lo > ld64(e, CAP_STOK):
            return need(e, S_TOK, 0, 0)
        for j in range(lo, hi):
            st32(ld64(e, S_TOK), n, ld32(tokens, j))
            n += 1
        st64(e, W_TOK, n)
        return 0
    lex = pair_of(e, q, d)
    if lex < 0:
        return lex
    n = ld64(e, W_COND)
    if n + hi - lo > ld64(e, CAP_SCOND):
        return need(e, S_COND, 0, 0)
    for j in range(lo, hi):
        st64(ld64(e, S_COND), n, ld32(tokens, j) << 32 | lex)
        n += 1
    st64(e, W_COND, n)
    return 0


@njit(**_OPT)
def walk_plain(e, i, end):
    """`walk_trie` where there are no shadows to begin with and every thread can be completed."""
    nodes, cls, ncls = ld64(e, TRIE), ld64(e, CLS), ld64(e, NCLS)
    trans, qend, qcut, loop = ld64(e, TRANS), ld64(e, QEND), ld64(e, QCUT), ld64(e, QLOOP)
    sq, first, tokens = ld64(e, STACK_Q), ld64(e, TRIE_FIRST), ld64(e, TRIE_TOKENS)
    out, cap, n = ld64(e, S_TOK), ld64(e, CAP_STOK), ld64(e, W_TOK)
    while i < end:
        node = ld64(nodes, i)
        dep = node >> 8 & 0xFFFF
        k = ld8(cls, node & 255)
        q = ld32(sq, dep - 1)
        if ld8(qend, q) == 1 and dep > 1:
            d = ld32(qcut, q * ncls + k)
            if d >= 0:
                m = put_cut(e, ld64(e, W_CUT), i, d, k)
                if m < 0:
                    return m
                st64(e, W_CUT, m)
        q = ld32(trans, q * ncls + k)
        if q < 0:
            i += node >> 24 & 0xFFFFFF
            continue
        st32(sq, dep, q)
        # where nothing below leads out of this state, its subtree is taken as a whole
        more = node >> 24 & 0xFFFFFF if node >> 48 & 0xFFFF & ~ld64(loop, q) == 0 else 1
        lo, hi = ld32(first, i), ld32(first, i + more)
        if lo < hi:
            if n + hi - lo > cap:
                return need(e, S_TOK, 0, 0)
            for j in range(lo, hi):
                st32(out, n, ld32(tokens, j))
                n += 1
        i += more
    st64(e, W_TOK, n)
    return 0


@njit(**_OPT)
def walk_trie(e, i, end, d):
    """Walk the trie nodes i..end-1, below a node whose state is on the stacks, with shadows `d`.

    Cuts are noted below nodes deeper than the root.
    """
    if d == 0 and ld64(e, SAFE) != 0:
        return walk_plain(e, i, end)
    nodes, cls, ncls = ld64(e, TRIE), ld64(e, CLS), ld64(e, NCLS)
    trans, qend = ld64(e, TRANS), ld64(e, QEND)
    sq, sd = ld64(e, STACK_Q), ld64(e, STACK_D)
    while i < end:
        node = ld64(nodes, i)
        dep = node >> 8 & 0xFFFF
        k = ld8(cls, node & 255)
        q, d = ld32(sq, dep - 1), ld32(sd, dep - 1)
        if dep > 1 and ld8(qend, q) == 1:
            d2 = shadow_add(e, d, ld32(ld64(e, QSHADOW), q))
            if d2 < 0:
                return d2
            d2 = shadow_step(e, d2, k)
            if d2 >= 0:
                n = put_cut(e, ld64(e, W_CUT), i, d2 | ld32(ld64(e, QHIST), q), k)
                if n < 0:
                    return n
                st64(e, W_CUT, n)
            elif d2 != DEAD:
                return d2
        q = ld32(trans, q * ncls + k)
        if q >= 0 and d != 0:
            d = shadow_step(e, d, k)
            if d < 0:
                if d != DEAD:
                    return d
                q = -1
        if q < 0:
            i += node >> 24 & 0xFFFFFF
            continue
        st32(sq, dep, q)
        st32(sd, dep, d)
        code = put_tokens(e, i, q, d)
        if code < 0:
            return code
        i += 1
    return 0


# ------------------------------------------------------------------ cut sets
@njit(**_OPT)
def sort_words(at, n):
    """Sort `n` words in place: they are nearly always sorted already, else heap sort."""
    i = 1
    while i < n and ld64(at, i - 1) <= ld64(at, i):
        i += 1
    if i >= n:
        return
    start, stop = n // 2, n
    while stop > 1:
        if start > 0:
            start -= 1
        else:
            stop -= 1
            v = ld64(at, stop)
            st64(at, stop, ld64(at, 0))
            st64(at, 0, v)
        root = start
        v = ld64(at, root)
        while 2 * root + 1 < stop:
            child = 2 * root + 1
            if child + 1 < stop and ld64(at, child) < ld64(at, child + 1):
                child += 1
            if v >= ld64(at, child):
                break
            st64(at, root, ld64(at, child))
            root = child
        st64(at, root, v)


@njit(**_OPT)
def intern_cuts(e, n):
    """The cut set of the `n` cuts noted; 0 if there is none."""
    if n == 0:
        return 0
    ncls, words = ld64(e, NCLS), ld64(e, TWORDS)
    base, table = ld64(e, N_CUTS), ld64(e, N_AT)
    if base + n > ld64(e, CAP_CUTS):
        return need(e, CUTS, n, 0)
    if table + ncls + 1 > ld64(e, CAP_AT):
        return need(e, AT, ncls + 1, 0)
    # counting sort by class behind what is in use, then by node within a class
    at = ld64(e, AT) + 8 * table
    cuts, out = ld64(e, S_CUT), ld64(e, CUTS)
    for k in range(ncls + 1):
        st64(at, k, 0)
    for j in range(n):
        k = ld64(cuts, 2 * j + 1)
        st64(at, k + 1, ld64(at, k + 1) + 1)
    total = 0
    for k in range(ncls + 1):
        total += ld64(at, k)
        st64(at, k, base + total)
    for j in range(n - 1, -1, -1):
        k = ld64(cuts, 2 * j + 1)
        x = ld64(at, k + 1) - 1
        st64(at, k + 1, x)
        st64(out, x, ld64(cuts, 2 * j))
    # at[k + 1] is now where class k begins; drop what is there twice
    kept = base
    for k in range(ncls):
        lo = ld64(at, k + 1)
        hi = ld64(at, k + 2) if k + 2 <= ncls else base + n
        sort_words(out + 8 * lo, hi - lo)
        st64(at, k, kept)
        for j in range(lo, hi):
            v = ld64(out, j)
            if j > lo and v == ld64(out, j - 1):
                continue
            st64(out, kept, v)
            kept += 1
    st64(at, ncls, kept)
    # the words may be compared where they lie: if the set is new, that is where they stay
    fresh = ld64(e, N_CUTSET)
    s = call7(ld64(e, F_INTERN), e, CUTSET, CUTS, H_CUTSET, CUTSET_W, out + 8 * base, kept - base)
    if s != fresh:
        return s
    st64(ld64(e, CUTSET), s * CUTSET_W + K_TABLE, table)
    may, sets = ld64(e, MAY) + s * words * 8, ld64(e, FIRST_SET)
    for w in range(words):
        st64(may, w, 0)
    for k in range(ncls):
        if ld64(at, k) < ld64(at, k + 1):
            for w in range(words):
                st64(may, w, ld64(may, w) | ld64(sets, k * words + w))
    st64(e, N_AT, table + ncls + 1)
    return s


@njit(**_OPT)
def finish_piece(e, key):
    """Make a piece of what the walk noted, known under `key` in CHILD; its number, or 0 if it is empty."""
    ntok, ncond = ld64(e, W_TOK), ld64(e, W_COND)
    if burn(e, ntok + ncond + ld64(e, W_CUT) >> 3):
        return FUEL_OUT
    if ntok + ncond + ld64(e, W_CUT) == 0:
        return memo_put(e, CHILD, key, 0)
    p = ld64(e, N_PIECE)
    if p + 1 > ld64(e, CAP_PIECE):
        return need(e, PIECE, 0, 0)
    if ld64(e, N_COND) + ncond > ld64(e, CAP_COND):
        return need(e, COND, ncond, 0)
    if 2 * ld64(e, N_CHILD) + 2 > ld64(e, M_CHILD):
        return need(e, CHILD, 0, 0)
    cuts = intern_cuts(e, ld64(e, W_CUT))
    if cuts < 0:
        return cuts
    r = ld64(e, PIECE) + p * (PIECE_W * 8)
    code = keep_tokens(e, r, -1, ld64(e, S_TOK), ntok)
    if code < 0:
        return code
    st64(r, P_CUTS, cuts)
    at = ld64(e, N_COND)
    st64(r, P_NCOND, ncond)
    st64(r, P_COND, at)
    for j in range(ncond):
        st64(ld64(e, COND), at + j, ld64(ld64(e, S_COND), j))
    st64(e, N_COND, at + ncond)
    st64(e, N_PIECE, p + 1)
    memo_put(e, CHILD, key, p)
    return p


@njit(**_OPT)
def begin_piece(e):
    st64(e, STAMP_NO, ld64(e, STAMP_NO) + 1)
    st64(e, W_TOK, 0)
    st64(e, W_COND, 0)
    st64(e, W_CUT, 0)


@njit(**_OPT)
def make_root(e, lex):
    """Make the piece of tokens read from lexeme state `lex`."""
    q, d = unpair(e, lex)
    begin_piece(e)
    nodes = ld64(e, TRIE)
    if q == 0:
        before = d >> HISTORY << HISTORY
        d &= SHADOWS
        i = 1
        while i < ld64(e, N_TRIE):
            node = ld64(nodes, i)
            k = ld8(ld64(e, CLS), node & 255)
            d2 = shadow_step(e, d, k)
            if d2 >= 0:
                n = put_cut(e, ld64(e, W_CUT), i, d2 | before, k)
                if n < 0:
                    return n
                st64(e, W_CUT, n)
            elif d2 != DEAD:
                return d2
            i += node >> 24 & 0xFFFFFF
    else:
        st32(ld64(e, STACK_Q), 0, q)
        st32(ld64(e, STACK_D), 0, d)
        code = walk_trie(e, 1, ld64(e, N_TRIE), d)
        if code < 0:
            return code
    return finish_piece(e, 1 << 62 | lex)


@njit(**_OPT)
def make_piece(e, s, st):
    """Make the piece of cut set `s` read on from state `st`; with no cut set, what `make_root` says."""
    if s == 0:
        return make_root(e, st)
    at = ld64(e, AT) + 8 * ld64(ld64(e, CUTSET), s * CUTSET_W + K_TABLE)
    ncls = ld64(e, NCLS)
    trans, nodes, cuts = ld64(e, TRANS), ld64(e, TRIE), ld64(e, CUTS)
    sq, sd = ld64(e, STACK_Q), ld64(e, STACK_D)
    begin_piece(e)
    for k in range(ncls):
        j, stop = ld64(at, k), ld64(at, k + 1)
        if j == stop:
            continue
        first = ld32(trans, st * ncls + k)
        if first < 0 and ld64(e, NHIST) == 1:
            continue
        while j < stop:
            cut = ld64(cuts, j)
            j += 1
            i, d = cut >> 32, cut & LOW
            q = first
            if d >> HISTORY != 0:
                q = ld32(trans, ld32(ld64(e, SPLIT), st * ld64(e, NHIST) + (d >> HISTORY)) * ncls + k)
                d &= SHADOWS
            if q < 0:
                continue
            node = ld64(nodes, i)
            dep = node >> 8 & 0xFFFF
            st32(sq, dep, q)
            st32(sd, dep, d)
            code = put_tokens(e, i, q, d)
            if code < 0:
                return code
            code = walk_trie(e, i + 1, i + (node >> 24 & 0xFFFFFF), d)
            if code < 0:
                return code
    return finish_piece(e, s << 32 | st)


@njit(**_OPT)
def root_piece(e, lex):
    """The piece of tokens read from lexeme state `lex`; 0 if there is none."""
    known = memo_get(e, CHILD, 1 << 62 | lex)
    return known if known >= 0 else call3(ld64(e, F_PIECE), e, 0, lex)


@njit(**_OPT)
def child_piece(e, s, st):
    """The piece of cut set `s` read on with the terminal that starts in state `st`; 0 if there is none."""
    known = memo_get(e, CHILD, s << 32 | st)
    return known if known >= 0 else call3(ld64(e, F_PIECE), e, s, st)


#: slot -> (function, number of arguments)
NATIVE = {F_PIECE: (make_piece, 3)}
