"""Kernels of masks: what a terminal after another admits over a stack, read from the top.

A mask is the union of the pieces that a context admits, reading from cut set
to cut set.  Most of a walk never looks below the state on top.  So what follows
a cut set over LR state r is worked out once, with a *hole* for the rest of the
stack (a `local`): the tokens admitted whatever lies below, and an *open set* of
items (piece, terminal, j, A): "below the hole take j states off, then reduce to
A; if the terminal can be shifted then, the piece is admitted".  Open sets are
interned and evaluated over the next LR state in the same way, so a mask is
read off the stack from the top, one memoised local for each state, until nothing
is open: an automaton over stacks, built as texts are met.

The tokens of a piece or local are those of a row, if it names one, and those of
a list.  Rows are shared: unions of rows are memoised, and what a list adds to a
row stays a list.
"""

from __future__ import annotations

from .cfg_layout import (
    ALWAYS, BOTH, CAP_ESC, CAP_LOCALS, CAP_PENDING, CAP_ROWS, CAP_SESC, CAP_SGET, CAP_SITEMS, CHAIN, COND, CONF,
    CONF_ROW, CONF_W, CUT_BASE, EOS, ESC, ESC_W, EVENTS, FIRST_CHAIN, FUEL_OUT, F_INTERN, F_LOCAL, F_ROW, F_THREAD,
    GOTO, G_DEPTH, G_ESC, G_ITEMS, G_PAIRS, G_ROW, G_STAMP, G_TOK, HOLE, HOLE_STATE, H_OPEN, ITEMS, LOCAL, LOCALS,
    LOCAL_W, LOW, L_ESC, L_NESC, L_NEXT, MAY, MOST_DEPTH, M_BOTH, M_LOCAL, NN, NT, NX, N_BOTH, N_CHAIN, N_EOS,
    N_ESC, N_LOCAL, N_LOCALS, N_PENDING, N_ROWS, N_SPECIAL, N_WALK, OPEN, OPEN_W, PENDING, PIECE, PIECE_BITS,
    PIECE_W, P_COND, P_CUTS, P_NCOND, P_NTOK, P_ROW, P_TOK, ROWS, R_AT, R_N, SCRATCH_ROW, SPECIAL, START, S_ESC,
    S_GET, S_ITEMS, THR, TOK, TROW, TSTAMP, TSTAMP_NO, TWORDS, WALK, WALK_B, WORDS, _OPT, burn, call2, call3, call7,
    ld32, ld64, memo_get, memo_put, need, njit, st32, st64)
from .cfg_pieces import (
    child_piece, keep_tokens, kept_row, new_row, or_row, root_piece, row_address, set_bit, sort_words)
from .cfg_stacks import entries, intern_one, kappa_of, looks, shift, shift_open, substitute
from .cfg_threads import alive, can_end, may_stop, unpair
from .lexer_kernels import _lowest

#: sha256 of the kernel files compiled into this one (see stack_kernels.py).
DEPENDS_ON = "f9b85e3aecffa1d112929d17ced7d7b610b55bc208da18286d6d66849505e906"


# ------------------------------------------------------------------ sets of tokens
@njit(**_OPT)
def both_rows(e, a, b):
    """A row with the tokens of rows `a` and `b` (-1: none), memoised; or a code."""
    if a == b or b < 0:
        return a
    if a < 0:
        return b
    key = min(a, b) << 32 | max(a, b)
    known = memo_get(e, BOTH, key)
    if known >= 0:
        return known
    if 2 * ld64(e, N_BOTH) + 2 > ld64(e, M_BOTH):
        return need(e, BOTH, 0, 0)
    row = ld64(e, N_ROWS)
    if row + 1 > ld64(e, CAP_ROWS):
        return need(e, ROWS, 0, 0)
    x, y, dst = row_address(e, a), row_address(e, b), row_address(e, row)
    more_x, more_y = 0, 0
    for w in range(ld64(e, WORDS)):
        v, u = ld64(x, w), ld64(y, w)
        more_x |= v & ~u
        more_y |= u & ~v
        st64(dst, w, v | u)
    if more_y == 0:
        row = a
    elif more_x == 0:
        row = b
    else:
        st64(e, N_ROWS, row + 1)
        row = kept_row(e, row)
    memo_put(e, BOTH, key, row)
    return FUEL_OUT if burn(e, 16) else row


@njit(**_OPT)
def add_tokens(e, r, dst):
    """Set in the row at `dst` the tokens of the piece or local at address `r`."""
    row = ld64(r, P_ROW)
    if row >= 0:
        or_row(dst, row_address(e, row), ld64(e, WORDS))
    at = ld64(e, TOK) + 4 * ld64(r, P_TOK)
    for j in range(ld64(r, P_NTOK)):
        set_bit(dst, ld32(at, j))


@njit(**_OPT)
def add_conditional(e, p, c, dst):
    """Set in the row the tokens of a piece behind which a completion in context `c` must be looked for."""
    r = ld64(e, PIECE) + p * (PIECE_W * 8)
    at = ld64(e, COND) + 8 * ld64(r, P_COND)
    for j in range(ld64(r, P_NCOND)):
        cond = ld64(at, j)
        t = cond >> 32
        if ld64(dst, t >> 6) >> (t & 63) & 1:
            continue
        ok = alive(e, cond & LOW, c)
        if ok < 0:
            return ok
        if ok > 0:
            set_bit(dst, t)
    return 0


# ------------------------------------------------------------------ locals
@njit(**_OPT)
def put_open(e, p, a, events):
    """Add to the items noted those that the events of a shift leave open; 0 or a code."""
    n = ld64(e, G_ITEMS)
    at = ld64(e, EVENTS) + 8 * (events - 1)
    m = ld64(at, 0)
    if n + m > ld64(e, CAP_SITEMS):
        return need(e, S_ITEMS, m, 0)
    out = ld64(e, S_ITEMS)
    for i in range(m):
        st64(out, n + i, (ld64(at, 1 + i) << 14 | a) << PIECE_BITS | p)
    st64(e, G_ITEMS, n + m)
    return 0


@njit(**_OPT)
def intern_open(e, items, n):
    """The open set of the `n` items at an address; 0 if there are none."""
    if n == 0:
        return 0
    sort_words(items, n)
    m = 0
    for i in range(n):
        v = ld64(items, i)
        if m == 0 or v != ld64(items, m - 1):
            st64(items, m, v)
            m += 1
    return call7(ld64(e, F_INTERN), e, OPEN, ITEMS, H_OPEN, OPEN_W, items, m)


@njit(**_OPT)
def push_pair(e, slot, first, count, x, c):
    """Add (open set, context) to the list at `slot` unless it stands from `first` on; 0 or a code.

    `count` is the slot of the list's length.
    """
    if x == 0 or c < 2:
        return 0
    walk, n = ld64(e, slot), ld64(e, count)
    item = x << 32 | c
    for i in range(first, n):
        if ld64(walk, i) == item:
            return 0
    if n >= ld64(e, slot + 1):
        return need(e, slot, 0, 0)
    if burn(e, 4 + (n - first >> 4)):
        return FUEL_OUT
    st64(walk, n, item)
    st64(e, count, n + 1)
    return 0


@njit(**_OPT)
def gather(e, r):
    """Note the tokens of the piece or local at `r`, each once; 0 or a code."""
    row = both_rows(e, ld64(e, G_ROW) - 1, ld64(r, P_ROW))
    if row < -1:
        return row
    st64(e, G_ROW, row + 1)
    n, now = ld64(e, G_TOK), ld64(e, G_STAMP)
    if n + ld64(r, P_NTOK) > ld64(e, CAP_SGET):
        return need(e, S_GET, ld64(r, P_NTOK), 0)
    src, out, stamp = ld64(e, TOK) + 4 * ld64(r, P_TOK), ld64(e, S_GET), ld64(e, TSTAMP)
    for j in range(ld64(r, P_NTOK)):
        t = ld32(src, j)
        if ld32(stamp, t) != now:
            st32(stamp, t, now)
            st32(out, n, t)
            n += 1
    st64(e, G_TOK, n)
    return 0


@njit(**_OPT)
def put_escape(e, p, c):
    """Note that some tokens of piece `p` depend on whether context `c` can be completed."""
    n = ld64(e, G_ESC)
    if n >= ld64(e, CAP_SESC):
        return need(e, S_ESC, 0, 0)
    st64(ld64(e, S_ESC), ESC_W * n, p)
    st64(ld64(e, S_ESC), ESC_W * n + 1, c)
    st64(e, G_ESC, n + 1)
    return 0


@njit(**_OPT)
def admit(e, p, a, after, first):
    """Piece `p` read as terminal `a`, with what `shift_open` gave for it; 0 or a code.

    The pairs to look at next are noted, each once among those from `first` on.
    """
    if after >> 32 != 0:
        code = put_open(e, p, a, after >> 32)
        if code < 0:
            return code
    c = after & LOW
    if c == 0:
        return 0
    r = ld64(e, PIECE) + p * (PIECE_W * 8)
    code = gather(e, r)
    if code < 0:
        return code
    if ld64(r, P_NCOND) != 0:
        code = put_escape(e, p, c)
        if code < 0:
            return code
    if ld64(r, P_CUTS) != 0:
        return push_pair(e, WALK_B, first, G_PAIRS, CUT_BASE + ld64(r, P_CUTS), c)
    return 0


@njit(**_OPT)
def read_cuts(e, s, c, first):
    """Read one terminal from cut set `s` in context `c`; 0 or a code."""
    nt, twords = ld64(e, NT), ld64(e, TWORDS)
    kappa = kappa_of(e, c)
    start = ld64(e, START) + 4 * kappa * ld64(e, NX)
    may = ld64(e, MAY) + s * twords * 8
    for w in range(twords):
        bits = (looks(e, c, w) | ld64(ld64(e, ALWAYS), w)) & ld64(may, w)
        while bits != 0:
            if burn(e, 1):
                return FUEL_OUT
            a = (w << 6) + _lowest(bits)
            bits &= bits - 1
            st = ld32(start, a)
            if st < 0:
                continue
            after = c if a >= nt else shift_open(e, c, a)
            if after == 0:
                continue
            if after < 0:
                return after
            p = child_piece(e, s, st)
            if p == 0:
                continue
            if p < 0:
                return p
            code = admit(e, p, a, after, first)
            if code < 0:
                return code
    return 0


@njit(**_OPT)
def read_items(e, x, r, base, first):
    """Go on with the items of open set `x` over LR state `r`; 0 or a code."""
    rx = ld64(e, OPEN) + x * (OPEN_W * 8)
    items = ld64(e, ITEMS) + 8 * ld64(rx, R_AT)
    before, after, a = -1, 0, 0
    for i in range(ld64(rx, R_N)):
        item = ld64(items, i)
        what = item >> PIECE_BITS
        if what >> 28 != 0:
            n = ld64(e, G_ITEMS)
            if n >= ld64(e, CAP_SITEMS):
                return need(e, S_ITEMS, 1, 0)
            st64(ld64(e, S_ITEMS), n, item - (1 << 28 + PIECE_BITS))
            st64(e, G_ITEMS, n + 1)
            continue
        if what != before:
            before, after, a = what, 0, what & 0x3FFF
            g = ld32(ld64(e, GOTO), r * ld64(e, NN) + (what >> 14 & 0x3FFF))
            if g >= 0:
                c = intern_one(e, g << 32 | base)
                if c < 0:
                    return c
                after = shift_open(e, c, a)
                if after < 0:
                    return after
        if after != 0:
            code = admit(e, item & (1 << PIECE_BITS) - 1, a, after, first)
            if code < 0:
                return code
    return 0


@njit(**_OPT)
def read_deeper(e, first):
    """Go on with the pairs noted from `first` on, with what the locals of their contexts say; 0 or a code."""
    hole, now = ld64(e, HOLE_STATE), ld64(e, G_STAMP)
    done = first
    while done < ld64(e, G_PAIRS):
        pair = ld64(ld64(e, WALK_B), done)
        done += 1
        x = pair >> 32
        at, k = entries(e, pair & LOW)
        for i in range(k):
            entry = ld64(at, i)
            if entry >> 32 == hole:
                # what is still open stays open
                r = ld64(e, OPEN) + x * (OPEN_W * 8)
                m, n = ld64(r, R_N), ld64(e, G_ITEMS)
                if n + m > ld64(e, CAP_SITEMS):
                    return need(e, S_ITEMS, m, 0)
                src = ld64(e, ITEMS) + 8 * ld64(r, R_AT)
                for j in range(m):
                    st64(ld64(e, S_ITEMS), n + j, ld64(src, j))
                st64(e, G_ITEMS, n + m)
                continue
            inner = local_of(e, x, entry >> 32)
            if inner < 0:
                return inner
            st64(e, G_STAMP, now)
            r = ld64(e, LOCALS) + inner * (LOCAL_W * 8)
            code = gather(e, r)
            if code < 0:
                return code
            esc = ld64(e, ESC) + ld64(r, L_ESC) * (ESC_W * 8)
            for j in range(ld64(r, L_NESC)):
                c = substitute(e, ld64(esc, ESC_W * j + 1), entry & LOW)
                if c < 0:
                    return c
                code = put_escape(e, ld64(esc, ESC_W * j), c)
                if code < 0:
                    return code
            code = push_pair(e, WALK_B, first, G_PAIRS, ld64(r, L_NEXT), entry & LOW)
            if code < 0:
                return code
    return 0


@njit(**_OPT)
def once_each(e, first):
    """Leave each of the tokens noted from `first` on once; their number."""
    now = ld64(e, TSTAMP_NO) + 1
    st64(e, TSTAMP_NO, now)
    stamp, at = ld64(e, TSTAMP), ld64(e, S_GET)
    n = first
    for j in range(first, ld64(e, G_TOK)):
        t = ld32(at, j)
        if ld32(stamp, t) != now:
            st32(stamp, t, now)
            st32(at, n, t)
            n += 1
    return n - first


@njit(**_OPT)
def keep_local(e, key, tokens, escapes, items):
    """Make the local of what has been noted from these places on; its number or a code."""
    ntok, nesc = once_each(e, tokens), ld64(e, G_ESC) - escapes
    m, at = ld64(e, N_LOCALS), ld64(e, N_ESC)
    if m + 1 > ld64(e, CAP_LOCALS):
        return need(e, LOCALS, 0, 0)
    if at + nesc > ld64(e, CAP_ESC):
        return need(e, ESC, nesc, 0)
    if 2 * ld64(e, N_LOCAL) + 2 > ld64(e, M_LOCAL):
        return need(e, LOCAL, 0, 0)
    left = intern_open(e, ld64(e, S_ITEMS) + 8 * items, ld64(e, G_ITEMS) - items)
    if left < 0:
        return left
    r = ld64(e, LOCALS) + m * (LOCAL_W * 8)
    code = keep_tokens(e, r, ld64(e, G_ROW) - 1, ld64(e, S_GET) + 4 * tokens, ntok)
    if code < 0:
        return code
    for j in range(ESC_W * nesc):
        st64(ld64(e, ESC), ESC_W * at + j, ld64(ld64(e, S_ESC), ESC_W * escapes + j))
    st64(r, L_NEXT, left)
    st64(r, L_ESC, at)
    st64(r, L_NESC, nesc)
    st64(e, N_ESC, at + nesc)
    st64(e, N_LOCALS, m + 1)
    memo_put(e, LOCAL, key, m)
    return FUEL_OUT if burn(e, 64) else m


@njit(**_OPT)
def make_local(e, x, r):
    """`local_of` where it is not known yet.

    It calls itself for what it needs, which reads on from later cuts, so that ends; what it
    notes stands behind what its callers have noted, and is dropped at the end.
    """
    depth = ld64(e, G_DEPTH)
    if depth > MOST_DEPTH:
        return FUEL_OUT
    tokens, row, escapes = ld64(e, G_TOK), ld64(e, G_ROW), ld64(e, G_ESC)
    items, pairs = ld64(e, G_ITEMS), ld64(e, G_PAIRS)
    now = ld64(e, TSTAMP_NO) + 1
    st64(e, TSTAMP_NO, now)
    st64(e, G_STAMP, now)
    st64(e, G_DEPTH, depth + 1)
    st64(e, G_ROW, 0)
    base = intern_one(e, r << 32 | ld64(e, HOLE))
    if base < 0:
        return base
    if x >= CUT_BASE:
        code = read_cuts(e, x - CUT_BASE, base, pairs)
    else:
        code = read_items(e, x, r, base, pairs)
    if code == 0:
        code = read_deeper(e, pairs)
    if code == 0:
        code = keep_local(e, x << 32 | r, tokens, escapes, items)
    st64(e, G_TOK, tokens)
    st64(e, G_ROW, row)
    st64(e, G_ESC, escapes)
    st64(e, G_ITEMS, items)
    st64(e, G_PAIRS, pairs)
    st64(e, G_DEPTH, depth)
    return code


@njit(**_OPT)
def local_of(e, x, r):
    """What open set `x` admits over LR state `r` with a hole below: the number of a local."""
    known = memo_get(e, LOCAL, x << 32 | r)
    return known if known >= 0 else call3(ld64(e, F_LOCAL), e, x, r)


# ------------------------------------------------------------------ rows of threads
@njit(**_OPT)
def list_locals(e, thread, p):
    """Note in PENDING the locals that say what `thread` admits behind its piece `p`; how they go together.

    The last is the number of a chain: equal lists of locals have equal chains.  0 where
    some token must be looked at with the stack at hand; or a code.
    """
    r = ld64(e, PIECE) + p * (PIECE_W * 8)
    chain, n = p, 0
    loose = ld64(r, P_NCOND) != 0
    st64(e, N_PENDING, 0)
    if ld64(r, P_CUTS) != 0:
        st64(e, N_WALK, 0)
        code = push_pair(e, WALK, 0, N_WALK, CUT_BASE + ld64(r, P_CUTS), thread & LOW)
        if code < 0:
            return code
        done = 0
        while done < ld64(e, N_WALK):
            pair = ld64(ld64(e, WALK), done)
            done += 1
            at, k = entries(e, pair & LOW)
            for i in range(k):
                entry = ld64(at, i)
                m = local_of(e, pair >> 32, entry >> 32)
                if m < 0:
                    return m
                if n >= ld64(e, CAP_PENDING):
                    return need(e, PENDING, 0, 0)
                st64(ld64(e, PENDING), n, m << 32 | entry & LOW)
                n += 1
                st64(e, N_PENDING, n)
                r = ld64(e, LOCALS) + m * (LOCAL_W * 8)
                loose |= ld64(r, L_NESC) != 0
                code = push_pair(e, WALK, 0, N_WALK, ld64(r, L_NEXT), entry & LOW)
                if code < 0:
                    return code
                key = chain << 32 | m
                chain = memo_get(e, CHAIN, key)
                if chain < 0:
                    chain = FIRST_CHAIN + ld64(e, N_CHAIN)
                    code = memo_put(e, CHAIN, key, chain)
                    if code < 0:
                        return code
    return 0 if loose else chain


@njit(**_OPT)
def sum_locals(e, thread, p, dst):
    """Set in the row at `dst` the tokens of piece `p` and of the locals in PENDING; 0 or a code."""
    add_tokens(e, ld64(e, PIECE) + p * (PIECE_W * 8), dst)
    code = add_conditional(e, p, thread & LOW, dst)
    for i in range(ld64(e, N_PENDING)):
        pair = ld64(ld64(e, PENDING), i)
        r = ld64(e, LOCALS) + (pair >> 32) * (LOCAL_W * 8)
        add_tokens(e, r, dst)
        esc = ld64(e, ESC) + ld64(r, L_ESC) * (ESC_W * 8)
        for j in range(ld64(r, L_NESC)):
            c = substitute(e, ld64(esc, ESC_W * j + 1), pair & LOW)
            if c < 0:
                return c
            code = min(code, add_conditional(e, ld64(esc, ESC_W * j), c, dst))
        if code < 0:
            return code
    return code


@njit(**_OPT)
def make_thread_row(e, thread):
    """The number of the row of a thread between others, made or one of the same tokens; or a code."""
    p = root_piece(e, thread >> 32)
    if p < 0:
        return p
    chain = list_locals(e, thread, p)
    if chain < 0:
        return chain
    row = memo_get(e, TROW, 1 << 62 | chain) if chain > 0 else -1
    if row < 0:
        words, dst = ld64(e, WORDS), ld64(e, SCRATCH_ROW)
        for w in range(words):
            st64(dst, w, 0)
        code = sum_locals(e, thread, p, dst)
        if code < 0:
            return code
        row = new_row(e)
        if row < 0:
            return row
        or_row(row_address(e, row), dst, words)
        row = kept_row(e, row)
        if chain > 0:
            code = memo_put(e, TROW, 1 << 62 | chain, row)
            if code < 0:
                return code
    code = memo_put(e, TROW, thread, row)
    return code if code < 0 else row


@njit(**_OPT)
def thread_row(e, thread):
    """The number of the row of a thread between others; or a code."""
    known = memo_get(e, TROW, thread)
    return known if known >= 0 else call2(ld64(e, F_THREAD), e, thread)


# ------------------------------------------------------------------ rows of configurations
@njit(**_OPT)
def build_row(e, f):
    """The number of the row of a configuration."""
    r = ld64(e, CONF) + f * (CONF_W * 8)
    end = can_end(e, f)
    if end < 0:
        return end
    row = 0
    n, at = ld64(r, R_N), ld64(r, R_AT)
    words = ld64(e, WORDS)
    special = ld64(e, N_SPECIAL)
    for i in range(n):
        row = thread_row(e, ld64(ld64(e, THR), at + i))
        if row < 0:
            return row
    if n == 1 and end == 0 and special == 0:
        st64(r, CONF_ROW, row)
        return row
    mine = new_row(e)
    if mine < 0:
        return mine
    dst = row_address(e, mine)
    for i in range(n):
        t = ld64(ld64(e, THR), at + i)
        or_row(dst, row_address(e, memo_get(e, TROW, t)), words)
        q, d = unpair(e, t >> 32)
        if q == 0 and may_stop(e, d) != 0:
            c = t & LOW
            for j in range(special):
                a = ld64(ld64(e, SPECIAL), 2 * j)
                if looks(e, c, a >> 6) >> (a & 63) & 1:
                    after = shift(e, c, a)
                    if after < 0:
                        return after
                    if after > 0:
                        ok = alive(e, 0, after)
                        if ok < 0:
                            return ok
                        if ok > 0:
                            set_bit(dst, ld64(ld64(e, SPECIAL), 2 * j + 1))
    if end > 0:
        for j in range(ld64(e, N_EOS)):
            set_bit(dst, ld32(ld64(e, EOS), j))
    mine = kept_row(e, mine)
    st64(r, CONF_ROW, mine)
    return mine


@njit(**_OPT)
def more_tokens(e, f, tokens, n):
    """Let the row of configuration `f` have the `n` int32 tokens at an address too; its number, or a code."""
    row = new_row(e)
    if row < 0:
        return row
    dst = row_address(e, row)
    or_row(dst, row_address(e, ld64(ld64(e, CONF), f * CONF_W + CONF_ROW)), ld64(e, WORDS))
    for i in range(n):
        set_bit(dst, ld32(tokens, i))
    row = kept_row(e, row)
    st64(ld64(e, CONF), f * CONF_W + CONF_ROW, row)
    return row


#: slot -> (function, number of arguments)
NATIVE = {F_LOCAL: (make_local, 3), F_THREAD: (make_thread_row, 2), F_ROW: (build_row, 2)}
