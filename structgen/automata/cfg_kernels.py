"""The machine of context-free grammars: stacks, threads, token sequences, masks.

**Stacks.**  A *context* is a set of LR stacks: at most one entry (LR state,
context below) for each LR state on top, sorted, hash-consed.  That is the
minimal automaton of the set of stacks read from the top, so equal sets have
equal ids, alternatives share whatever they have in common, and a deterministic
stretch is a chain.  Context 0 is the empty set, 1 the empty stack.  `shift`
(context, terminal) -> context follows every reduction and is memoised.

**Lexeme states.**  q numbers the states of the terminals' automata, 0 is
"between lexemes".  Where only one end of a terminal counts (Lark's modes), an
end that something longer might replace leaves a *shadow* behind: the automaton
runs on beside what follows, and if it accepts again the thread dies, since the
terminal would have ended there instead.  D is a shadow state, or an interned
set of them; l is q, or an interned pair (q, D).

**Threads.**  (l, C): inside a lexeme with C what follows it, or between lexemes
with C what stands on the stack.  A *configuration* is an interned set of
threads, equal l merged by uniting their C; it is the state of a matcher.

**Masks.**  A *cut set* says where the rests of some tokens begin: trie nodes,
with the shadow left before each.  Reading one more terminal from a cut set
gives a *piece*: the tokens that end inside that terminal, and the cut set
behind it.  Both know nothing of stacks, are built when first needed by walking
the trie below the cuts, and equal cut sets are one, so the splits of ``-----``
into ``-`` and ``--`` meet again.  A mask is the union of the pieces that a context
admits, reading from cut set to cut set.

Most of a walk never looks below the state on top.  So what follows a cut set
over LR state r is worked out once, with a *hole* for the rest of the stack (a
`local`): the tokens admitted whatever lies below, and an *open set* of items
(piece, terminal, j, A): "below the hole take j states off, then reduce to A; if
the terminal can be shifted then, the piece is admitted".  Open sets are
interned and evaluated over the next LR state in the same way, so a mask is
read off the stack from the top, one memoised local for each state, until nothing
is open: an automaton over stacks, built as texts are met.

Tables are reached through one block of addresses, as in stack_kernels; a kernel
out of room returns NEED_PY with the number of the table in NEED and is called
again.  Fuel counts steps since the last call from Python.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .lexer_kernels import _lowest, _memory

#: sha256 of the kernel files compiled into this one (see stack_kernels.py).
DEPENDS_ON = "b74e4f53558145c2fcbb8bb73f4a90d706927d8c283d6ce6bfb753ee3d2180f6"

__all__ = ["cfg_fill", "cfg_begin", "cfg_call"]

DEAD, NEED_PY, FUEL_OUT, BUSY, MISSING = -1, -2, -3, -5, -7

ld64, st64 = _memory(64)
ld32, st32 = _memory(32)
ld8, st8 = _memory(8, False)

_OPT = dict(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
_ENTRY = dict(nogil=True, cache=True, error_model="numpy")

# ---- slots of the block
(NEED, NEED_A, NEED_B, FUEL,
 # the vocabulary
 TRIE, TRIE_FIRST, TRIE_TOKENS, N_TRIE, BLOB, OFFSETS, KIND, WORDS, N_TOKENS, EOS, N_EOS, DEPTH,
 # the grammar
 CLS, NCLS, TRANS, QEND, QSHADOW, QFINAL, DTRANS, QCUT, START, FIRST_AT, FIRST_LIST, KAPPA, LOOK, TWORDS, NT, NX,
 ALWAYS, ACT, ALISTS, GOTO, NN, LHS, SIZE, SAFE, FIRST_SET, SPECIAL, N_SPECIAL, HOLE_STATE, HOLE,
 # pools: address, used, capacity
 CTX, N_CTX, CAP_CTX, ENT, N_ENT, CAP_ENT, H_CTX, M_CTX,
 LTAB, N_L, CAP_L, DSETS, N_DSETS, CAP_DSETS, DPOOL, N_DPOOL, CAP_DPOOL,
 CONF, N_CONF, CAP_CONF, THR, N_THR, CAP_THR, H_CONF, M_CONF,
 PIECE, N_PIECE, CAP_PIECE, CUTSET, N_CUTSET, CAP_CUTSET,
 CUTS, N_CUTS, CAP_CUTS, AT, N_AT, CAP_AT, H_CUTSET, M_CUTSET,
 TOK, N_TOK, CAP_TOK, COND, N_COND, CAP_COND, LOCALS, N_LOCALS, CAP_LOCALS,
 ESC, N_ESC, CAP_ESC, MAY,
 OPEN, N_OPEN, CAP_OPEN, ITEMS, N_ITEMS, CAP_ITEMS, H_OPEN, M_OPEN, EVENTS, N_EVENTS, CAP_EVENTS,
 ROWS, N_ROWS, CAP_ROWS,
 # memo tables: address, mask, used
 SHIFT, M_SHIFT, N_SHIFT, UNION, M_UNION, N_UNION, LKEYS, M_LKEYS, N_LKEYS, DKEYS, M_DKEYS, N_DKEYS,
 ADV, M_ADV, N_ADV, LIVE, M_LIVE, N_LIVE, CHILD, M_CHILD, N_CHILD, TROW, M_TROW, N_TROW,
 LOCAL, M_LOCAL, N_LOCAL, SUBST, M_SUBST, N_SUBST,
 # scratch
 WORK, CAP_WORK, RES, CAP_RES, BUF_A, BUF_B, CAP_BUF, S_TOK, CAP_STOK, S_GET, CAP_SGET, S_CUT, CAP_SCUT,
 S_COND, CAP_SCOND, S_ESC, CAP_SESC, S_ITEMS, CAP_SITEMS, S_EVENTS, N_SEVENTS, STAMP, STAMP_NO, STACK_Q, STACK_D,
 SCRATCH_ROW, SCRATCH_ROW_B, SCR, CAP_SCR, SP,
 WALK, CAP_WALK, WALK_B, CAP_WALK_B, PENDING, CAP_PENDING, N_PENDING,
 # shadows at the end of the text, what stands before a lexeme, line ends of indented languages
 DEND, QHIST, NHIST, SPLIT, LINES, M_LINES, N_LINES, INDENTED) = range(186)
BLOCK_SIZE = 192

# ---- record widths
CTX_W, CONF_W, PIECE_W, CUTSET_W, LOCAL_W, ESC_W, OPEN_W = 4, 4, 8, 8, 8, 2, 4
(C_HASH, C_AT, C_N, C_HOLE) = range(4)
(F_HASH, F_AT, F_N, F_ROW) = range(4)
(P_CUTS, P_TOK, P_NTOK, P_ROW, P_COND, P_NCOND) = range(6)
(K_HASH, K_CUTS, K_N, K_AT) = range(4)
#: the same places as in a piece for the tokens
(L_NEXT, L_TOK, L_NTOK, L_ROW, L_ESC, L_NESC) = range(6)
(O_HASH, O_AT, O_N) = range(3)
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

# ---- what Python is asked for: number of a pool, or one of these
ASK_KAPPA, ASK_LIVE, ASK_ROW, ASK_LINE = 100, 101, 102, 103
#: above the shadows of a thread between lexemes: what the text before it ends with
HISTORY = 26
SHADOWS = (1 << HISTORY) - 1
#: an end of this or more is a line end, with the column of the next line above it
LINE = 2
#: the "column" of the end of the text
LAST = 0xFFFF


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


@njit(**_OPT)
def rehash_records(e, pool, width, n, first, table, mask):
    """Refill a hash of records whose first word is their hash."""
    for i in range(first, n):
        j = ld64(pool, i * width) & mask
        while ld32(table, j) != 0:
            j = (j + 1) & mask
        st32(table, j, i + 1)
    return 0


# ------------------------------------------------------------------ contexts
@njit(**_OPT)
def entries(e, c):
    """(address of the entries of a context, their number)."""
    r = ld64(e, CTX) + c * (CTX_W * 8)
    return ld64(e, ENT) + ld64(r, C_AT) * 8, ld64(r, C_N)


@njit(**_OPT)
def intern_context(e, src, n):
    """The context of `n` entries (state << 32 | below), sorted, at address `src`."""
    if n == 0:
        return 0
    h = n
    for i in range(n):
        h = mix(h, ld64(src, i))
    table, mask = ld64(e, H_CTX), ld64(e, M_CTX)
    ctx, ent = ld64(e, CTX), ld64(e, ENT)
    j = h & mask
    while True:
        k = ld32(table, j) - 1
        if k < 0:
            break
        r = ctx + k * (CTX_W * 8)
        if ld64(r, C_HASH) == h and ld64(r, C_N) == n:
            at = ent + ld64(r, C_AT) * 8
            same = True
            for i in range(n):
                if ld64(at, i) != ld64(src, i):
                    same = False
                    break
            if same:
                return k
        j = (j + 1) & mask
    k = ld64(e, N_CTX)
    used = ld64(e, N_ENT)
    if k + 1 > ld64(e, CAP_CTX) or 2 * k > mask:
        return need(e, CTX, 0, 0)
    if used + n > ld64(e, CAP_ENT):
        return need(e, ENT, n, 0)
    for i in range(n):
        st64(ent, used + i, ld64(src, i))
    r = ctx + k * (CTX_W * 8)
    hole = 0
    for i in range(n):
        t = ld64(src, i)
        if t >> 32 == ld64(e, HOLE_STATE) or ld64(ctx, (t & LOW) * CTX_W + C_HOLE) != 0:
            hole = 1
    st64(r, C_HASH, h)
    st64(r, C_AT, used)
    st64(r, C_N, n)
    st64(r, C_HOLE, hole)
    st32(table, j, k + 1)
    st64(e, N_CTX, k + 1)
    st64(e, N_ENT, used + n)
    return k


@njit(**_OPT)
def intern_one(e, entry):
    """The context of one entry."""
    h = mix(1, entry)
    table, mask = ld64(e, H_CTX), ld64(e, M_CTX)
    ctx, ent = ld64(e, CTX), ld64(e, ENT)
    j = h & mask
    while True:
        k = ld32(table, j) - 1
        if k < 0:
            break
        r = ctx + k * (CTX_W * 8)
        if ld64(r, C_HASH) == h and ld64(r, C_N) == 1 and ld64(ent, ld64(r, C_AT)) == entry:
            return k
        j = (j + 1) & mask
    k = ld64(e, N_CTX)
    used = ld64(e, N_ENT)
    if k + 1 > ld64(e, CAP_CTX) or 2 * k > mask:
        return need(e, CTX, 0, 0)
    if used + 1 > ld64(e, CAP_ENT):
        return need(e, ENT, 1, 0)
    st64(ent, used, entry)
    r = ctx + k * (CTX_W * 8)
    st64(r, C_HASH, h)
    st64(r, C_AT, used)
    st64(r, C_N, 1)
    st64(r, C_HOLE, 1 if entry >> 32 == ld64(e, HOLE_STATE) else ld64(ctx, (entry & LOW) * CTX_W + C_HOLE))
    st32(table, j, k + 1)
    st64(e, N_CTX, k + 1)
    st64(e, N_ENT, used + 1)
    return k


@njit(**_OPT)
def union_frame(e, a, b, parent):
    """A frame for uniting two contexts: parent, key, i, j, n, scratch before; then the entries. 0: no room."""
    sp = ld64(e, SP)
    frame = scratch(e, 6 + ld64(ld64(e, CTX), a * CTX_W + C_N) + ld64(ld64(e, CTX), b * CTX_W + C_N))
    if frame != 0:
        st64(frame, 0, parent)
        st64(frame, 1, a << 32 | b)
        for i in range(2, 5):
            st64(frame, i, 0)
        st64(frame, 5, sp)
    return frame


@njit(**_OPT)
def union(e, a, b):
    """The union of two contexts.  (Recursive by nature; numba cannot cache recursive functions.)"""
    if a == b or b == 0:
        return a
    if a == 0:
        return b
    if a > b:
        a, b = b, a
    known = memo_get(e, UNION, a << 32 | b)
    if known >= 0:
        return known
    frame = union_frame(e, a, b, 0)
    below = -9
    while frame != 0:
        key = ld64(frame, 1)
        x, nx = entries(e, key >> 32)
        y, ny = entries(e, key & LOW)
        i, j, n = ld64(frame, 2), ld64(frame, 3), ld64(frame, 4)
        out = frame + 48
        inner = 0
        while i < nx or j < ny:
            if j == ny or i < nx and ld64(x, i) >> 32 < ld64(y, j) >> 32:
                st64(out, n, ld64(x, i))
                i += 1
            elif i == nx or ld64(x, i) >> 32 > ld64(y, j) >> 32:
                st64(out, n, ld64(y, j))
                j += 1
            else:
                a, b = ld64(x, i) & LOW, ld64(y, j) & LOW
                if below < 0:
                    if a == b:
                        below = a
                    else:
                        if a > b:
                            a, b = b, a
                        below = memo_get(e, UNION, a << 32 | b)
                if below < 0:
                    st64(frame, 2, i)
                    st64(frame, 3, j)
                    st64(frame, 4, n)
                    inner = union_frame(e, a, b, frame)
                    if inner == 0:
                        return NEED_PY
                    break
                st64(out, n, ld64(x, i) >> 32 << 32 | below)
                below = -9
                i += 1
                j += 1
            n += 1
        if inner != 0:
            if burn(e, 8):
                return FUEL_OUT
            frame = inner
            continue
        r = intern_context(e, out, n)
        if r < 0:
            return r
        code = memo_put(e, UNION, key, r)
        if code < 0:
            return code
        st64(e, SP, ld64(frame, 5))
        frame = ld64(frame, 0)
        if frame == 0:
            return r
        below = r
    return NEED_PY


@njit(**_OPT)
def put_event(e, j, lhs):
    """Note that a reduction to `lhs` takes `j` states off below the hole."""
    item = j << 14 | lhs
    at, n = ld64(e, S_EVENTS), ld64(e, N_SEVENTS)
    for i in range(n):
        if ld64(at, i) == item:
            return
    if n < MOST_EVENTS:
        st64(at, n, item)
    st64(e, N_SEVENTS, n + 1)


@njit(**_OPT)
def pop(e, c, n, lhs):
    """What lies below `n` states of a context, on the way to a reduction to `lhs`."""
    while n > 0:
        at, k = entries(e, c)
        if k == 0:
            return 0
        if ld64(at, k - 1) >> 32 == ld64(e, HOLE_STATE):
            put_event(e, n, lhs)
        c = ld64(at, 0) & LOW
        for i in range(1, k):
            c = union(e, c, ld64(at, i) & LOW)
            if c < 0:
                return c
        n -= 1
    return c


@njit(**_OPT)
def push_work(e, n, item):
    """Add `item` to the work list unless it is there; the new length."""
    work = ld64(e, WORK)
    for i in range(n):
        if ld64(work, i) == item:
            return n
    if n >= ld64(e, CAP_WORK):
        return need(e, WORK, 0, 0)
    if burn(e, 1 + (n >> 4)):
        return FUEL_OUT
    st64(work, n, item)
    return n + 1


@njit(**_OPT)
def reduce_to(e, n, p, lhs):
    """Push, on each stack of `p`, the state after `lhs`: entries for the work list; its new length."""
    goto, nn = ld64(e, GOTO), ld64(e, NN)
    at, k = entries(e, p)
    if k == 0:
        return n
    if ld64(at, k - 1) >> 32 == ld64(e, HOLE_STATE):
        put_event(e, 0, lhs)
    if k == 1:
        g = ld32(goto, (ld64(at, 0) >> 32) * nn + lhs)
        return push_work(e, n, g << 32 | p) if g >= 0 else n
    first = -2
    same = True
    for i in range(k):
        g = ld32(goto, (ld64(at, i) >> 32) * nn + lhs)
        if first == -2:
            first = g
        elif g != first:
            same = False
    if same:
        return push_work(e, n, first << 32 | p) if first >= 0 else n
    sp = ld64(e, SP)
    part = scratch(e, k)
    if part == 0:
        return NEED_PY
    for i in range(k):
        g = ld32(goto, (ld64(at, i) >> 32) * nn + lhs)
        if g < 0:
            continue
        m = 0
        fresh = True
        for j in range(k):
            if ld32(goto, (ld64(at, j) >> 32) * nn + lhs) == g:
                if j < i:
                    fresh = False
                    break
                st64(part, m, ld64(at, j))
                m += 1
        if fresh:
            sub = intern_context(e, part, m)
            if sub < 0:
                return sub
            n = push_work(e, n, g << 32 | sub)
            if n < 0:
                return n
    st64(e, SP, sp)
    return n


@njit(**_OPT)
def put_result(e, n, state, below):
    """Add a shifted state to the results, sorted by state; the new number."""
    res = ld64(e, RES)
    i = 0
    while i < n and ld64(res, i) >> 32 < state:
        i += 1
    if i < n and ld64(res, i) >> 32 == state:
        both = union(e, ld64(res, i) & LOW, below)
        if both < 0:
            return both
        st64(res, i, state << 32 | both)
        return n
    if n >= ld64(e, CAP_RES):
        return need(e, RES, 0, 0)
    for j in range(n, i, -1):
        st64(res, j, ld64(res, j - 1))
    st64(res, i, state << 32 | below)
    return n + 1


@njit(**_OPT)
def shift_new(e, c, a):
    act, width = ld64(e, ACT), ld64(e, NT) + 1
    goto, nn, lhs, size = ld64(e, GOTO), ld64(e, NN), ld64(e, LHS), ld64(e, SIZE)
    at, k = entries(e, c)
    if k == 1:
        # one stack: reductions need no table
        entry = ld64(at, 0)
        steps = 0
        units = 0                             # in a row; more than there are rules means a cycle
        while units <= nn:
            action = ld32(act, (entry >> 32) * width + a)
            if action == 0:
                return 0
            if action < 0:
                break
            if action & 1:
                below = intern_one(e, entry)
                if below < 0:
                    return below
                return intern_one(e, action >> 1 << 32 | below)
            rule = (action >> 1) - 1
            n = ld32(size, rule)
            units = units + 1 if n == 1 else 0
            if n == 0:
                p = intern_one(e, entry)
                if p < 0:
                    return p
            else:
                p = pop(e, entry & LOW, n - 1, ld32(lhs, rule))
                if p < 0:
                    return p
            at, k = entries(e, p)
            if k == 0:
                return 0
            if k != 1:
                break
            if ld64(at, 0) >> 32 == ld64(e, HOLE_STATE):
                put_event(e, 0, ld32(lhs, rule))
                return 0
            g = ld32(goto, (ld64(at, 0) >> 32) * nn + ld32(lhs, rule))
            if g < 0:
                return 0
            entry = g << 32 | p
            steps += 1
            if steps & 63 == 0 and burn(e, 64):
                return FUEL_OUT
        n = push_work(e, 0, entry)
    else:
        n = 0
        for i in range(k):
            n = push_work(e, n, ld64(at, i))
            if n < 0:
                return n
    if n < 0:
        return n
    lists = ld64(e, ALISTS)
    found = 0
    i = 0
    while i < n:
        entry = ld64(ld64(e, WORK), i)
        i += 1
        action = ld32(act, (entry >> 32) * width + a)
        if action == 0:
            continue
        many = 1
        where = 0
        if action < 0:
            where = -1 - action
            many = ld32(lists, where)
        for m in range(many):
            if where > 0:
                action = ld32(lists, where + 1 + m)
            if action & 1:
                below = intern_one(e, entry)
                if below < 0:
                    return below
                found = put_result(e, found, action >> 1, below)
                if found < 0:
                    return found
                continue
            rule = (action >> 1) - 1
            z = ld32(size, rule)
            if z == 0:
                p = intern_one(e, entry)
            else:
                p = pop(e, entry & LOW, z - 1, ld32(lhs, rule))
            if p < 0:
                return p
            n = reduce_to(e, n, p, ld32(lhs, rule))
            if n < 0:
                return n
    return intern_context(e, ld64(e, RES), found)


@njit(**_OPT)
def shift_open(e, c, a):
    """The context after terminal `a` (0: none), and above bit 32, plus one, where its events stand."""
    key = c * (ld64(e, NT) + 1) + a
    known = memo_get(e, SHIFT, key)
    if known >= 0:
        return known
    st64(e, N_SEVENTS, 0)
    r = shift_new(e, c, a)
    if r < 0:
        return r
    n = ld64(e, N_SEVENTS)
    if n > 0:
        if n > MOST_EVENTS:
            return FUEL_OUT
        at = ld64(e, N_EVENTS)
        if at + n + 1 > ld64(e, CAP_EVENTS):
            return need(e, EVENTS, n + 1, 0)
        st64(ld64(e, EVENTS), at, n)
        for i in range(n):
            st64(ld64(e, EVENTS), at + 1 + i, ld64(ld64(e, S_EVENTS), i))
        r |= (at + 1) << 32
    code = memo_put(e, SHIFT, key, r)
    if code < 0:
        return code
    if n > 0:
        st64(e, N_EVENTS, at + n + 1)
    return r


@njit(**_OPT)
def shift(e, c, a):
    """The context after terminal `a`; 0 if it cannot come.  For contexts without holes."""
    return shift_open(e, c, a)


@njit(**_OPT)
def substitute(e, c, p):
    """Context `c` with `p` in place of the hole."""
    if ld64(ld64(e, CTX), c * CTX_W + C_HOLE) == 0:
        return c
    known = memo_get(e, SUBST, c << 32 | p)
    if known >= 0:
        return known
    hole = ld64(e, HOLE_STATE)
    sp = ld64(e, SP)
    # a stack of contexts to do; what lies below has a smaller number, so this ends
    depth = 1
    top = scratch(e, 1)
    if top == 0:
        return NEED_PY
    st64(top, 0, c)
    while depth > 0:
        now = ld64(top, 0)
        at, n = entries(e, now)
        missing = 0
        for i in range(n):
            t = ld64(at, i)
            b = t & LOW
            if t >> 32 != hole and ld64(ld64(e, CTX), b * CTX_W + C_HOLE) != 0 and memo_get(e, SUBST, b << 32 | p) < 0:
                missing = b
                break
        if missing != 0:
            top = scratch(e, 1)
            if top == 0:
                return NEED_PY
            st64(top, 0, missing)
            depth += 1
            continue
        keep = ld64(e, SP)
        out = scratch(e, n)
        if out == 0:
            return NEED_PY
        m = 0
        open_ = False
        for i in range(n):
            t = ld64(at, i)
            b = t & LOW
            if t >> 32 == hole:
                open_ = True
                continue
            if ld64(ld64(e, CTX), b * CTX_W + C_HOLE) != 0:
                b = memo_get(e, SUBST, b << 32 | p)
            st64(out, m, t >> 32 << 32 | b)
            m += 1
        r = intern_context(e, out, m)
        if r >= 0 and open_:
            r = union(e, r, p)
        if r < 0:
            return r
        code = memo_put(e, SUBST, now << 32 | p, r)
        if code < 0:
            return code
        depth -= 1
        st64(e, SP, keep - 1)
        top -= 8
    st64(e, SP, sp)
    return memo_get(e, SUBST, c << 32 | p)


@njit(**_OPT)
def looks(e, c, w):
    """Word `w` of the terminals that have an action in a context."""
    at, n = entries(e, c)
    look, words = ld64(e, LOOK), ld64(e, TWORDS)
    out = 0
    for i in range(n):
        out |= ld64(look, (ld64(at, i) >> 32) * words + w)
    return out


@njit(**_OPT)
def kappa_of(e, c):
    """The number of the lexer for a context."""
    at, n = entries(e, c)
    return ld32(ld64(e, KAPPA), ld64(at, 0) >> 32) if n > 0 else 0


# ------------------------------------------------------------------ lexeme states
@njit(**_OPT)
def intern_dset(e, src, n):
    """The id of a sorted set of shadow states."""
    if n == 0:
        return 0
    if n == 1:
        return ld64(src, 0)
    h = n
    for i in range(n):
        h = mix(h, ld64(src, i))
    h &= (1 << 62) - 1
    # sets are rare: a memo on the hash, chained by trying the next key
    while True:
        k = memo_get(e, DKEYS, h)
        if k < 0:
            break
        at, m = ld64(ld64(e, DSETS), 2 * k), ld64(ld64(e, DSETS), 2 * k + 1)
        same = m == n
        if same:
            for i in range(n):
                if ld64(ld64(e, DPOOL), at + i) != ld64(src, i):
                    same = False
                    break
        if same:
            return SET_BASE + k
        h = (h + 1) & ((1 << 62) - 1)
    k = ld64(e, N_DSETS)
    used = ld64(e, N_DPOOL)
    if k + 1 > ld64(e, CAP_DSETS):
        return need(e, DSETS, 0, 0)
    if used + n > ld64(e, CAP_DPOOL):
        return need(e, DPOOL, n, 0)
    code = memo_put(e, DKEYS, h, k)
    if code < 0:
        return code
    for i in range(n):
        st64(ld64(e, DPOOL), used + i, ld64(src, i))
    st64(ld64(e, DSETS), 2 * k, used)
    st64(ld64(e, DSETS), 2 * k + 1, n)
    st64(e, N_DSETS, k + 1)
    st64(e, N_DPOOL, used + n)
    return SET_BASE + k


@njit(**_OPT)
def shadow_add(e, d, x):
    """The set of shadows `d` and one more state `x` (0: none)."""
    if x == 0 or d == x:
        return d
    if d == 0:
        return x
    n = 1
    if d >= SET_BASE:
        n = ld64(ld64(e, DSETS), 2 * (d - SET_BASE) + 1)
    sp = ld64(e, SP)
    out = scratch(e, n + 1)
    if out == 0:
        return NEED_PY
    if d < SET_BASE:
        st64(out, 0, d)
    else:
        at = ld64(ld64(e, DSETS), 2 * (d - SET_BASE))
        for i in range(n):
            st64(out, i, ld64(ld64(e, DPOOL), at + i))
    i = n
    while i > 0 and ld64(out, i - 1) > x:
        i -= 1
    st64(e, SP, sp)
    if i > 0 and ld64(out, i - 1) == x:
        return d
    for j in range(n, i, -1):
        st64(out, j, ld64(out, j - 1))
    st64(out, i, x)
    return intern_dset(e, out, n + 1)


@njit(**_OPT)
def shadow_step(e, d, k):
    """The shadows after a byte of class `k`; DEAD if one of them accepts."""
    if d == 0:
        return 0
    trans, ncls = ld64(e, DTRANS), ld64(e, NCLS)
    if d < SET_BASE:
        return ld32(trans, d * ncls + k)
    at, n = ld64(ld64(e, DSETS), 2 * (d - SET_BASE)), ld64(ld64(e, DSETS), 2 * (d - SET_BASE) + 1)
    sp = ld64(e, SP)
    out = scratch(e, n)
    if out == 0:
        return NEED_PY
    st64(e, SP, sp)
    m = 0
    for i in range(n):
        t = ld32(trans, ld64(ld64(e, DPOOL), at + i) * ncls + k)
        if t < 0:
            return DEAD
        if t == 0:
            continue
        j = m
        while j > 0 and ld64(out, j - 1) > t:
            j -= 1
        if j > 0 and ld64(out, j - 1) == t:
            continue
        for x in range(m, j, -1):
            st64(out, x, ld64(out, x - 1))
        st64(out, j, t)
        m += 1
    return intern_dset(e, out, m)


@njit(**_OPT)
def pair_of(e, q, d):
    """The lexeme state l of (q, D)."""
    if d == 0:
        return q
    key = q << 32 | d
    k = memo_get(e, LKEYS, key)
    if k >= 0:
        return PAIR_BASE + k
    k = ld64(e, N_L)
    if k + 1 > ld64(e, CAP_L):
        return need(e, LTAB, 0, 0)
    code = memo_put(e, LKEYS, key, k)
    if code < 0:
        return code
    st64(ld64(e, LTAB), k, key)
    st64(e, N_L, k + 1)
    return PAIR_BASE + k


@njit(**_OPT)
def unpair(e, lex):
    """(q, D) of a lexeme state."""
    if lex < PAIR_BASE:
        return lex, 0
    key = ld64(ld64(e, LTAB), lex - PAIR_BASE)
    return key >> 32, key & LOW


# ------------------------------------------------------------------ threads
@njit(**_OPT)
def add_thread(e, buf, n, lex, c):
    """Add (lex, c) to the list at `buf`; its new length."""
    for i in range(n):
        t = ld64(buf, i)
        if t >> 32 == lex:
            both = union(e, t & LOW, c)
            if both < 0:
                return both
            st64(buf, i, lex << 32 | both)
            return n
    if n >= ld64(e, CAP_BUF):
        return need(e, BUF_A, 0, 0)
    if burn(e, 1 + (n >> 4)):
        return FUEL_OUT
    st64(buf, n, lex << 32 | c)
    return n + 1


@njit(**_OPT)
def line_end(e, c, column):
    """The context after a line end before a line that begins at `column`; 0 if that cannot be."""
    known = memo_get(e, LINES, c << 16 | column)
    return known if known >= 0 else need(e, ASK_LINE, c, column)


@njit(**_OPT)
def ended(e, q, d):
    """The shadows after a lexeme has ended in state `q` with shadows `d`, what it ends with above them."""
    d = shadow_add(e, d, ld32(ld64(e, QSHADOW), q))
    return d if d < 0 else d | ld32(ld64(e, QHIST), q)


@njit(**_OPT)
def may_stop(e, d):
    """May the text end with the shadows `d`?"""
    d &= SHADOWS
    if d < SET_BASE:
        return ld8(ld64(e, DEND), d)
    at, n = ld64(ld64(e, DSETS), 2 * (d - SET_BASE)), ld64(ld64(e, DSETS), 2 * (d - SET_BASE) + 1)
    for i in range(n):
        if ld8(ld64(e, DEND), ld64(ld64(e, DPOOL), at + i)) == 0:
            return 0
    return 1


@njit(**_OPT)
def arrive(e, buf, n, q, d, c):
    """A lexeme has come to state `q` with `c` behind it: it may go on, and it may have ended."""
    if ld8(ld64(e, QFINAL), q) == 0:
        lex = pair_of(e, q, d)
        if lex < 0:
            return lex
        n = add_thread(e, buf, n, lex, c)
        if n < 0:
            return n
    end = ld8(ld64(e, QEND), q)
    if end != 0:
        if end >= LINE:
            c = line_end(e, c, end - LINE)
            if c <= 0:
                return n if c == 0 else c
        d = ended(e, q, d)
        if d < 0:
            return d
        lex = pair_of(e, 0, d)
        if lex < 0:
            return lex
        n = add_thread(e, buf, n, lex, c)
    return n


@njit(**_OPT)
def step_thread(e, buf, n, thread, k):
    """Add the threads after a byte of class `k`; the new length of the list."""
    q, d = unpair(e, thread >> 32)
    c = thread & LOW
    before = d >> HISTORY
    d = shadow_step(e, d & SHADOWS, k)
    if d == DEAD:
        return n
    if d < 0:
        return d
    ncls = ld64(e, NCLS)
    if q != 0:
        q = ld32(ld64(e, TRANS), q * ncls + k)
        return arrive(e, buf, n, q, d, c) if q >= 0 else n
    kappa = kappa_of(e, c) * ld64(e, NHIST) + before
    if ld64(ld64(e, FIRST_AT), kappa) < 0:
        return need(e, ASK_KAPPA, kappa, 0)
    at = ld64(e, FIRST_LIST) + 8 * ld64(ld64(e, FIRST_AT), kappa)
    i, stop = ld64(at, k), ld64(at, k + 1)
    nt = ld64(e, NT)
    while i < stop:
        item = ld64(at, i)
        a, q = item >> 32, item & LOW
        i += 1
        if a >= nt:
            n = arrive(e, buf, n, q, d, c)
        elif looks(e, c, a >> 6) >> (a & 63) & 1:
            after = shift(e, c, a)
            if after < 0:
                return after
            if after > 0:
                n = arrive(e, buf, n, q, d, after)
        if n < 0:
            return n
    return n


@njit(**_OPT)
def intern_configuration(e, buf, n):
    """The configuration of `n` threads at `buf` (sorted here); DEAD if there is none."""
    if n == 0:
        return DEAD
    for i in range(1, n):
        t = ld64(buf, i)
        j = i
        while j > 0 and ld64(buf, j - 1) > t:
            st64(buf, j, ld64(buf, j - 1))
            j -= 1
        st64(buf, j, t)
    h = n
    for i in range(n):
        h = mix(h, ld64(buf, i))
    table, mask = ld64(e, H_CONF), ld64(e, M_CONF)
    conf, pool = ld64(e, CONF), ld64(e, THR)
    j = h & mask
    while True:
        k = ld32(table, j) - 1
        if k < 0:
            break
        r = conf + k * (CONF_W * 8)
        if ld64(r, F_HASH) == h and ld64(r, F_N) == n:
            at = ld64(r, F_AT)
            same = True
            for i in range(n):
                if ld64(pool, at + i) != ld64(buf, i):
                    same = False
                    break
            if same:
                return k
        j = (j + 1) & mask
    k = ld64(e, N_CONF)
    used = ld64(e, N_THR)
    if k + 1 > ld64(e, CAP_CONF) or 2 * k > mask:
        return need(e, CONF, 0, 0)
    if used + n > ld64(e, CAP_THR):
        return need(e, THR, n, 0)
    for i in range(n):
        st64(pool, used + i, ld64(buf, i))
    r = conf + k * (CONF_W * 8)
    st64(r, F_HASH, h)
    st64(r, F_AT, used)
    st64(r, F_N, n)
    st64(r, F_ROW, -1)
    st32(table, j, k + 1)
    st64(e, N_CONF, k + 1)
    st64(e, N_THR, used + n)
    return k


@njit(**_OPT)
def can_end_context(e, c, d):
    """May the text end in context `c` with shadows `d`?  Positive, 0 or a code."""
    if may_stop(e, d) == 0:
        return 0
    if ld64(e, INDENTED) != 0:
        c = line_end(e, c, LAST)
        if c <= 0:
            return c
    return shift(e, c, ld64(e, NT))


@njit(**_OPT)
def starts_clear(e, c, d):
    """Can something follow in context `c` that frees it of the shadows `d` with its first byte?

    1 yes, 0 not found, or a code.
    """
    kappa = kappa_of(e, c) * ld64(e, NHIST) + (d >> HISTORY)
    d &= SHADOWS
    if ld64(ld64(e, FIRST_AT), kappa) < 0:
        return need(e, ASK_KAPPA, kappa, 0)
    at = ld64(e, FIRST_LIST) + 8 * ld64(ld64(e, FIRST_AT), kappa)
    nt = ld64(e, NT)
    for k in range(ld64(e, NCLS)):
        i, stop = ld64(at, k), ld64(at, k + 1)
        if i == stop:
            continue
        after = shadow_step(e, d, k)
        if after != 0:
            if after < DEAD:
                return after
            continue
        while i < stop:
            a = ld64(at, i) >> 32
            i += 1
            if a >= nt:
                return 1
            if looks(e, c, a >> 6) >> (a & 63) & 1:
                r = shift(e, c, a)
                if r != 0:
                    return 1 if r > 0 else r
    return 0


@njit(**_OPT)
def alive(e, lex, c):
    """1 if the thread can be completed, 0 if not, or a code."""
    safe = ld64(e, SAFE)
    if lex < PAIR_BASE and safe != 0:
        return 1
    key = lex << 32 | c
    known = memo_get(e, LIVE, key)
    if known >= 0:
        return known
    q, d = unpair(e, lex)
    found = 0
    if q == 0 or ld8(ld64(e, QEND), q) == 1:
        after = d
        if q != 0:
            after = ended(e, q, d)
            if after < 0:
                return after
        r = can_end_context(e, c, after)
        if r < 0:
            return r
        if r > 0:
            found = 1
    if found == 0 and safe != 0:
        if q != 0:
            ncls = ld64(e, NCLS)
            for k in range(ncls):
                if ld32(ld64(e, TRANS), q * ncls + k) >= 0:
                    r = shadow_step(e, d, k)
                    if r == 0:
                        found = 1
                        break
                    if r < DEAD:
                        return r
            if found == 0 and ld8(ld64(e, QEND), q) == 1:
                d = ended(e, q, d)
                if d < 0:
                    return d
                q = 0
        if found == 0 and q == 0:
            found = starts_clear(e, c, d)
            if found < 0:
                return found
    if found == 0:
        return need(e, ASK_LIVE, lex, c)
    code = memo_put(e, LIVE, key, found)
    return found if code == 0 else code


@njit(**_OPT)
def only_alive(e, buf, n):
    """Drop from the list what cannot be completed; its new length."""
    m = 0
    for i in range(n):
        t = ld64(buf, i)
        r = alive(e, t >> 32, t & LOW)
        if r < 0:
            return r
        if r > 0:
            st64(buf, m, t)
            m += 1
    return m


@njit(**_OPT)
def run_text(e, f, text, size):
    """Leave in BUF_A the threads of configuration `f` after `size` bytes at `text`; their number.

    Where nothing is left, NEED_A is the offset.
    """
    r = ld64(e, CONF) + f * (CONF_W * 8)
    n = ld64(r, F_N)
    src = ld64(e, THR) + 8 * ld64(r, F_AT)
    cls = ld64(e, CLS)
    for i in range(size):
        k = ld8(cls, ld8(text, i))
        dst = ld64(e, BUF_A) if i & 1 == (size - 1) & 1 else ld64(e, BUF_B)
        m = 0
        for j in range(n):
            m = step_thread(e, dst, m, ld64(src, j), k)
            if m < 0:
                return m
        src, n = dst, m
        if n == 0:
            st64(e, NEED_A, i)
            return 0
    return n


@njit(**_OPT)
def advance(e, f, text, size):
    """The configuration after `size` > 0 bytes; DEAD (offset in NEED_A) or a code."""
    n = run_text(e, f, text, size)
    if n <= 0:
        return DEAD if n == 0 else n
    n = only_alive(e, ld64(e, BUF_A), n)
    if n < 0:
        return n
    if n == 0:
        st64(e, NEED_A, size - 1)
        return DEAD
    return intern_configuration(e, ld64(e, BUF_A), n)


@njit(**_OPT)
def can_end(e, f):
    r = ld64(e, CONF) + f * (CONF_W * 8)
    for i in range(ld64(r, F_N)):
        t = ld64(ld64(e, THR), ld64(r, F_AT) + i)
        q, d = unpair(e, t >> 32)
        if q == 0:
            x = can_end_context(e, t & LOW, d)
            if x != 0:
                return 1 if x > 0 else x
    return 0


# ------------------------------------------------------------------ rows
@njit(**_OPT)
def row_address(e, i):
    return ld64(ld64(e, ROWS), i >> 6) + (i & 63) * (ld64(e, WORDS) * 8)


@njit(**_OPT)
def set_bit(dst, t):
    st64(dst, t >> 6, ld64(dst, t >> 6) | 1 << (t & 63))


@njit(**_OPT)
def or_row(dst, src, words):
    for w in range(words):
        st64(dst, w, ld64(dst, w) | ld64(src, w))


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


# ------------------------------------------------------------------ pieces
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
def put_tokens(e, i, q, d, counts):
    """Note the tokens that end at trie node `i` in lexeme state (q, D)."""
    first = ld64(e, TRIE_FIRST)
    lo, hi = ld32(first, i), ld32(first, i + 1)
    if lo == hi:
        return 0
    tokens = ld64(e, TRIE_TOKENS)
    if d == 0 and ld64(e, SAFE) != 0:
        n = counts[0]
        if n + hi - lo > ld64(e, CAP_STOK):
            return need(e, S_TOK, 0, 0)
        for j in range(lo, hi):
            st32(ld64(e, S_TOK), n, ld32(tokens, j))
            n += 1
        counts[0] = n
        return 0
    lex = pair_of(e, q, d)
    if lex < 0:
        return lex
    n = counts[1]
    if n + hi - lo > ld64(e, CAP_SCOND):
        return need(e, S_COND, 0, 0)
    for j in range(lo, hi):
        st64(ld64(e, S_COND), n, ld32(tokens, j) << 32 | lex)
        n += 1
    counts[1] = n
    return 0


@njit(**_OPT)
def walk_plain(e, i, end, counts):
    """`walk_trie` where there are no shadows to begin with and every thread can be completed."""
    nodes, cls, ncls = ld64(e, TRIE), ld64(e, CLS), ld64(e, NCLS)
    trans, qend, qcut = ld64(e, TRANS), ld64(e, QEND), ld64(e, QCUT)
    sq, first, tokens = ld64(e, STACK_Q), ld64(e, TRIE_FIRST), ld64(e, TRIE_TOKENS)
    out, cap, n = ld64(e, S_TOK), ld64(e, CAP_STOK), counts[0]
    while i < end:
        node = ld64(nodes, i)
        dep = node >> 8 & 0xFFFF
        k = ld8(cls, node & 255)
        q = ld32(sq, dep - 1)
        if ld8(qend, q) == 1 and dep > 1:
            d = ld32(qcut, q * ncls + k)
            if d >= 0:
                m = put_cut(e, counts[2], i, d, k)
                if m < 0:
                    return m
                counts[2] = m
        q = ld32(trans, q * ncls + k)
        if q < 0:
            i += node >> 24 & 0xFFFFFF
            continue
        st32(sq, dep, q)
        lo, hi = ld32(first, i), ld32(first, i + 1)
        if lo < hi:
            if n + hi - lo > cap:
                return need(e, S_TOK, 0, 0)
            for j in range(lo, hi):
                st32(out, n, ld32(tokens, j))
                n += 1
        i += 1
    counts[0] = n
    return 0


@njit(**_OPT)
def walk_trie(e, i, end, d, counts):
    """Walk the trie nodes i..end-1, below a node whose state is on the stacks, with shadows `d`.

    Cuts are noted below nodes deeper than the root.
    """
    if d == 0 and ld64(e, SAFE) != 0:
        return walk_plain(e, i, end, counts)
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
                n = put_cut(e, counts[2], i, d2 | ld32(ld64(e, QHIST), q), k)
                if n < 0:
                    return n
                counts[2] = n
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
        code = put_tokens(e, i, q, d, counts)
        if code < 0:
            return code
        i += 1
    return 0


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
    h = 0
    for k in range(ncls):
        lo = ld64(at, k + 1)
        hi = ld64(at, k + 2) if k + 2 <= ncls else base + n
        sort_words(out + 8 * lo, hi - lo)
        st64(at, k, kept)
        for j in range(lo, hi):
            v = ld64(out, j)
            if j > lo and v == ld64(out, j - 1):
                continue
            h = mix(h, v)
            st64(out, kept, v)
            kept += 1
    st64(at, ncls, kept)
    n = kept - base
    pool, hashes, mask = ld64(e, CUTSET), ld64(e, H_CUTSET), ld64(e, M_CUTSET)
    j = h & mask
    while True:
        found = ld32(hashes, j) - 1
        if found < 0:
            break
        r = pool + found * (CUTSET_W * 8)
        if ld64(r, K_HASH) == h and ld64(r, K_N) == n:
            other = ld64(r, K_CUTS)
            same = True
            for i in range(n):
                if ld64(out, other + i) != ld64(out, base + i):
                    same = False
                    break
            if same:
                return found
        j = (j + 1) & mask
    s = ld64(e, N_CUTSET)
    if s + 1 > ld64(e, CAP_CUTSET) or 2 * s > mask:
        return need(e, CUTSET, 0, 0)
    r = pool + s * (CUTSET_W * 8)
    st64(r, K_HASH, h)
    st64(r, K_CUTS, base)
    st64(r, K_N, n)
    st64(r, K_AT, table)
    may, sets = ld64(e, MAY) + s * words * 8, ld64(e, FIRST_SET)
    for w in range(words):
        st64(may, w, 0)
    least = 1 << 40
    for k in range(ncls):
        if ld64(at, k) < ld64(at, k + 1):
            least = min(least, ld64(out, ld64(at, k)) >> 32)
            for w in range(words):
                st64(may, w, ld64(may, w) | ld64(sets, k * words + w))
    st64(r, K_AT + 1, least)
    st32(hashes, j, s + 1)
    st64(e, N_CUTSET, s + 1)
    st64(e, N_CUTS, kept)
    st64(e, N_AT, table + ncls + 1)
    return s


@njit(**_OPT)
def keep_tokens(e, r, src, ntok):
    """Store the `ntok` tokens at `src` in the piece or local at `r`, as a list or a row; 0 or a code."""
    st64(r, P_NTOK, 0)
    st64(r, P_TOK, 0)
    st64(r, P_ROW, -1)
    if ntok > LONG:
        row = ld64(e, N_ROWS)
        if row + 1 > ld64(e, CAP_ROWS):
            return need(e, ROWS, 0, 0)
        st64(e, N_ROWS, row + 1)
        dst = row_address(e, row)
        for w in range(ld64(e, WORDS)):
            st64(dst, w, 0)
        for j in range(ntok):
            set_bit(dst, ld32(src, j))
        st64(r, P_ROW, row)
        return 0
    at = ld64(e, N_TOK)
    if at + ntok > ld64(e, CAP_TOK):
        return need(e, TOK, ntok, 0)
    st64(r, P_TOK, at)
    st64(r, P_NTOK, ntok)
    for j in range(ntok):
        st32(ld64(e, TOK), at + j, ld32(src, j))
    st64(e, N_TOK, at + ntok)
    return 0


@njit(**_OPT)
def finish_piece(e, key, counts):
    """Make a piece of what the walk noted, known under `key` in CHILD; its number, or 0 if it is empty."""
    ntok, ncond = counts[0], counts[1]
    if burn(e, ntok + ncond + counts[2] >> 3):
        return FUEL_OUT
    if ntok + ncond + counts[2] == 0:
        return memo_put(e, CHILD, key, 0)
    p = ld64(e, N_PIECE)
    if p + 1 > ld64(e, CAP_PIECE):
        return need(e, PIECE, 0, 0)
    if ld64(e, N_COND) + ncond > ld64(e, CAP_COND):
        return need(e, COND, ncond, 0)
    if 2 * ld64(e, N_CHILD) + 2 > ld64(e, M_CHILD):
        return need(e, CHILD, 0, 0)
    cuts = intern_cuts(e, counts[2])
    if cuts < 0:
        return cuts
    r = ld64(e, PIECE) + p * (PIECE_W * 8)
    code = keep_tokens(e, r, ld64(e, S_TOK), ntok)
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
    return np.zeros(3, np.int64)


@njit(**_OPT)
def root_piece(e, lex):
    """The piece of tokens read from lexeme state `lex`; 0 if there is none."""
    key = 1 << 62 | lex
    known = memo_get(e, CHILD, key)
    if known >= 0:
        return known
    q, d = unpair(e, lex)
    counts = begin_piece(e)
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
                n = put_cut(e, counts[2], i, d2 | before, k)
                if n < 0:
                    return n
                counts[2] = n
            elif d2 != DEAD:
                return d2
            i += node >> 24 & 0xFFFFFF
    else:
        st32(ld64(e, STACK_Q), 0, q)
        st32(ld64(e, STACK_D), 0, d)
        code = walk_trie(e, 1, ld64(e, N_TRIE), d, counts)
        if code < 0:
            return code
    return finish_piece(e, key, counts)


@njit(**_OPT)
def child_piece(e, s, st):
    """The piece of cut set `s` read on with the terminal that starts in state `st`; 0 if there is none."""
    key = s << 32 | st
    known = memo_get(e, CHILD, key)
    if known >= 0:
        return known
    at = ld64(e, AT) + 8 * ld64(ld64(e, CUTSET), s * CUTSET_W + K_AT)
    ncls = ld64(e, NCLS)
    trans, nodes, cuts = ld64(e, TRANS), ld64(e, TRIE), ld64(e, CUTS)
    sq, sd = ld64(e, STACK_Q), ld64(e, STACK_D)
    counts = begin_piece(e)
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
            code = put_tokens(e, i, q, d, counts)
            if code < 0:
                return code
            code = walk_trie(e, i + 1, i + (node >> 24 & 0xFFFFFF), d, counts)
            if code < 0:
                return code
    return finish_piece(e, key, counts)


# ------------------------------------------------------------------ locals
@njit(**_OPT)
def put_open(e, n, p, a, events):
    """Add to the items noted those that the events of a shift leave open; their new number."""
    if events == 0:
        return n
    at = ld64(e, EVENTS) + 8 * (events - 1)
    m = ld64(at, 0)
    if n + m > ld64(e, CAP_SITEMS):
        return need(e, S_ITEMS, m, 0)
    out = ld64(e, S_ITEMS)
    for i in range(m):
        st64(out, n + i, (ld64(at, 1 + i) << 14 | a) << PIECE_BITS | p)
    return n + m


@njit(**_OPT)
def intern_open(e, n):
    """The open set of the `n` items noted; 0 if there are none."""
    if n == 0:
        return 0
    items = ld64(e, S_ITEMS)
    sort_words(items, n)
    m, h = 0, 1
    for i in range(n):
        v = ld64(items, i)
        if m == 0 or v != ld64(items, m - 1):
            st64(items, m, v)
            h = mix(h, v)
            m += 1
    table, mask = ld64(e, H_OPEN), ld64(e, M_OPEN)
    pool, kept = ld64(e, OPEN), ld64(e, ITEMS)
    j = h & mask
    while True:
        k = ld32(table, j) - 1
        if k < 0:
            break
        r = pool + k * (OPEN_W * 8)
        if ld64(r, O_HASH) == h and ld64(r, O_N) == m:
            at = ld64(r, O_AT)
            same = True
            for i in range(m):
                if ld64(kept, at + i) != ld64(items, i):
                    same = False
                    break
            if same:
                return k
        j = (j + 1) & mask
    k = ld64(e, N_OPEN)
    used = ld64(e, N_ITEMS)
    if k + 1 > ld64(e, CAP_OPEN) or 2 * k > mask:
        return need(e, OPEN, 0, 0)
    if used + m > ld64(e, CAP_ITEMS):
        return need(e, ITEMS, m, 0)
    for i in range(m):
        st64(kept, used + i, ld64(items, i))
    r = pool + k * (OPEN_W * 8)
    st64(r, O_HASH, h)
    st64(r, O_AT, used)
    st64(r, O_N, m)
    st32(table, j, k + 1)
    st64(e, N_OPEN, k + 1)
    st64(e, N_ITEMS, used + m)
    return k


@njit(**_OPT)
def push_pair(e, slot, n, x, c):
    """Add (open set, context) to the list at `slot` unless it is there; the new length."""
    if x == 0 or c < 2:
        return n
    walk = ld64(e, slot)
    item = x << 32 | c
    for i in range(n):
        if ld64(walk, i) == item:
            return n
    if n >= ld64(e, slot + 1):
        return need(e, slot, 0, 0)
    if burn(e, 4 + (n >> 4)):
        return FUEL_OUT
    st64(walk, n, item)
    return n + 1


@njit(**_OPT)
def gather(e, r, counts):
    """Note the tokens of the piece or local at `r`; 0 or a code.

    `counts`: tokens listed, whether there is a row, escapes, items left open, pairs to look at.
    """
    row = ld64(r, P_ROW)
    if row >= 0:
        dst, words = ld64(e, SCRATCH_ROW_B), ld64(e, WORDS)
        if counts[1] == 0:
            src = row_address(e, row)
            for w in range(words):
                st64(dst, w, ld64(src, w))
        else:
            or_row(dst, row_address(e, row), words)
        counts[1] = 1
    m, n = ld64(r, P_NTOK), counts[0]
    if n + m > ld64(e, CAP_SGET):
        return need(e, S_GET, 0, 0)
    src, out = ld64(e, TOK) + 4 * ld64(r, P_TOK), ld64(e, S_GET)
    for j in range(m):
        st32(out, n + j, ld32(src, j))
    counts[0] = n + m
    return 0


@njit(**_OPT)
def put_escape(e, p, c, counts):
    """Note that some tokens of piece `p` depend on whether context `c` can be completed."""
    n = counts[2]
    if n >= ld64(e, CAP_SESC):
        return need(e, S_ESC, 0, 0)
    st64(ld64(e, S_ESC), ESC_W * n, p)
    st64(ld64(e, S_ESC), ESC_W * n + 1, c)
    counts[2] = n + 1
    return 0


@njit(**_OPT)
def admit(e, p, a, after, counts):
    """Piece `p` read as terminal `a`, with what `shift_open` gave for it; 0 or a code."""
    if after >> 32 != 0:
        n = put_open(e, counts[3], p, a, after >> 32)
        if n < 0:
            return n
        counts[3] = n
    c = after & LOW
    if c == 0:
        return 0
    r = ld64(e, PIECE) + p * (PIECE_W * 8)
    code = gather(e, r, counts)
    if code < 0:
        return code
    if ld64(r, P_NCOND) != 0:
        code = put_escape(e, p, c, counts)
        if code < 0:
            return code
    if ld64(r, P_CUTS) != 0:
        n = push_pair(e, WALK_B, counts[4], CUT_BASE + ld64(r, P_CUTS), c)
        if n < 0:
            return n
        counts[4] = n
    return 0


@njit(**_OPT)
def read_cuts(e, s, c, counts):
    """Read one terminal from cut set `s` in context `c`; 0 or a code."""
    nt, twords = ld64(e, NT), ld64(e, TWORDS)
    kappa = kappa_of(e, c)
    if ld64(ld64(e, FIRST_AT), kappa) < 0:
        return need(e, ASK_KAPPA, kappa, 0)
    start = ld64(e, START) + 4 * kappa * ld64(e, NX)
    may = ld64(e, MAY) + s * twords * 8
    for w in range(twords):
        bits = (looks(e, c, w) | ld64(ld64(e, ALWAYS), w)) & ld64(may, w)
        while bits != 0:
            a = (w << 6) + _lowest(bits)
            bits &= bits - 1
            st = ld32(start, a)
            if st < 0:
                continue
            p = child_piece(e, s, st)
            if p == 0:
                continue
            if p < 0:
                return p
            after = c if a >= nt else shift_open(e, c, a)
            if after < 0:
                return after
            code = admit(e, p, a, after, counts)
            if code < 0:
                return code
    return 0


@njit(**_OPT)
def read_items(e, x, r, base, counts):
    """Go on with the items of open set `x` over LR state `r`; 0 or a code."""
    rx = ld64(e, OPEN) + x * (OPEN_W * 8)
    items = ld64(e, ITEMS) + 8 * ld64(rx, O_AT)
    before, after, a = -1, 0, 0
    for i in range(ld64(rx, O_N)):
        item = ld64(items, i)
        what = item >> PIECE_BITS
        if what >> 28 != 0:
            n = counts[3]
            if n >= ld64(e, CAP_SITEMS):
                return need(e, S_ITEMS, 1, 0)
            st64(ld64(e, S_ITEMS), n, item - (1 << 28 + PIECE_BITS))
            counts[3] = n + 1
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
            code = admit(e, item & (1 << PIECE_BITS) - 1, a, after, counts)
            if code < 0:
                return code
    return 0


@njit(**_OPT)
def try_local(e, key):
    """Make the local of `key`; its number, a code, or MISSING with those it needs on the list PENDING."""
    x, r = key >> 32, key & LOW
    base = intern_one(e, r << 32 | ld64(e, HOLE))
    if base < 0:
        return base
    counts = np.zeros(5, np.int64)
    if x >= CUT_BASE:
        code = read_cuts(e, x - CUT_BASE, base, counts)
    else:
        code = read_items(e, x, r, base, counts)
    if code < 0:
        return code
    hole = ld64(e, HOLE_STATE)
    missing = False
    done = 0
    while done < counts[4]:
        pair = ld64(ld64(e, WALK_B), done)
        done += 1
        x1 = pair >> 32
        at, k = entries(e, pair & LOW)
        for i in range(k):
            entry = ld64(at, i)
            if entry >> 32 == hole:
                # what is still open stays open
                rx = ld64(e, OPEN) + x1 * (OPEN_W * 8)
                m, n = ld64(rx, O_N), counts[3]
                if n + m > ld64(e, CAP_SITEMS):
                    return need(e, S_ITEMS, m, 0)
                src = ld64(e, ITEMS) + 8 * ld64(rx, O_AT)
                for j in range(m):
                    st64(ld64(e, S_ITEMS), n + j, ld64(src, j))
                counts[3] = n + m
                continue
            inner = memo_get(e, LOCAL, x1 << 32 | entry >> 32)
            if inner < 0:
                n = ld64(e, N_PENDING)
                if n >= ld64(e, CAP_PENDING):
                    return need(e, PENDING, 0, 0)
                st64(ld64(e, PENDING), n, x1 << 32 | entry >> 32)
                st64(e, N_PENDING, n + 1)
                missing = True
                continue
            if missing:
                # this pass only finds out what else is needed
                n = push_pair(e, WALK_B, counts[4], ld64(ld64(e, LOCALS), inner * LOCAL_W + L_NEXT), entry & LOW)
                if n < 0:
                    return n
                counts[4] = n
                continue
            ri = ld64(e, LOCALS) + inner * (LOCAL_W * 8)
            code = gather(e, ri, counts)
            if code < 0:
                return code
            esc = ld64(e, ESC) + ld64(ri, L_ESC) * (ESC_W * 8)
            for j in range(ld64(ri, L_NESC)):
                c = substitute(e, ld64(esc, ESC_W * j + 1), entry & LOW)
                if c < 0:
                    return c
                code = put_escape(e, ld64(esc, ESC_W * j), c, counts)
                if code < 0:
                    return code
            n = push_pair(e, WALK_B, counts[4], ld64(ri, L_NEXT), entry & LOW)
            if n < 0:
                return n
            counts[4] = n
    if missing:
        return MISSING
    ntok, escapes = counts[0], counts[2]
    m = ld64(e, N_LOCALS)
    at = ld64(e, N_ESC)
    if m + 1 > ld64(e, CAP_LOCALS):
        return need(e, LOCALS, 0, 0)
    if at + escapes > ld64(e, CAP_ESC):
        return need(e, ESC, escapes, 0)
    if 2 * ld64(e, N_LOCAL) + 2 > ld64(e, M_LOCAL):
        return need(e, LOCAL, 0, 0)
    left = intern_open(e, counts[3])
    if left < 0:
        return left
    r1 = ld64(e, LOCALS) + m * (LOCAL_W * 8)
    if counts[1] != 0:
        row = ld64(e, N_ROWS)
        if row + 1 > ld64(e, CAP_ROWS):
            return need(e, ROWS, 0, 0)
        st64(e, N_ROWS, row + 1)
        src, dst = ld64(e, SCRATCH_ROW_B), row_address(e, row)
        for w in range(ld64(e, WORDS)):
            st64(dst, w, ld64(src, w))
        for j in range(ntok):
            set_bit(dst, ld32(ld64(e, S_GET), j))
        st64(r1, P_NTOK, 0)
        st64(r1, P_TOK, 0)
        st64(r1, P_ROW, row)
    else:
        code = keep_tokens(e, r1, ld64(e, S_GET), ntok)
        if code < 0:
            return code
    for j in range(ESC_W * escapes):
        st64(ld64(e, ESC), ESC_W * at + j, ld64(ld64(e, S_ESC), j))
    st64(r1, L_NEXT, left)
    st64(r1, L_ESC, at)
    st64(r1, L_NESC, escapes)
    st64(e, N_ESC, at + escapes)
    st64(e, N_LOCALS, m + 1)
    memo_put(e, LOCAL, key, m)
    return FUEL_OUT if burn(e, 64) else m


@njit(**_OPT)
def local_of(e, x, r):
    """What open set `x` admits over LR state `r` with a hole below: the number of a local."""
    key = x << 32 | r
    known = memo_get(e, LOCAL, key)
    if known >= 0:
        return known
    # what a local needs reads on from later cuts, so this ends
    st64(ld64(e, PENDING), 0, key)
    st64(e, N_PENDING, 1)
    while True:
        n = ld64(e, N_PENDING)
        if n == 0:
            return memo_get(e, LOCAL, key)
        now = ld64(ld64(e, PENDING), n - 1)
        if memo_get(e, LOCAL, now) >= 0:
            st64(e, N_PENDING, n - 1)
            continue
        m = try_local(e, now)
        if m == MISSING:
            if burn(e, 16):
                return FUEL_OUT
            continue
        if m < 0:
            return m


@njit(**_OPT)
def add_thread_row(e, thread, dst):
    """Set in the row at `dst` the tokens that a thread admits."""
    p = root_piece(e, thread >> 32)
    if p <= 0:
        return p
    r = ld64(e, PIECE) + p * (PIECE_W * 8)
    add_tokens(e, r, dst)
    code = add_conditional(e, p, thread & LOW, dst)
    if code < 0 or ld64(r, P_CUTS) == 0:
        return code
    n = push_pair(e, WALK, 0, CUT_BASE + ld64(r, P_CUTS), thread & LOW)
    done = 0
    while done < n:
        pair = ld64(ld64(e, WALK), done)
        done += 1
        at, k = entries(e, pair & LOW)
        for i in range(k):
            entry = ld64(at, i)
            m = local_of(e, pair >> 32, entry >> 32)
            if m < 0:
                return m
            r = ld64(e, LOCALS) + m * (LOCAL_W * 8)
            add_tokens(e, r, dst)
            esc = ld64(e, ESC) + ld64(r, L_ESC) * (ESC_W * 8)
            for j in range(ld64(r, L_NESC)):
                c = substitute(e, ld64(esc, ESC_W * j + 1), entry & LOW)
                if c < 0:
                    return c
                code = add_conditional(e, ld64(esc, ESC_W * j), c, dst)
                if code < 0:
                    return code
            n = push_pair(e, WALK, n, ld64(r, L_NEXT), entry & LOW)
            if n < 0:
                return n
    return n if n < 0 else 0


@njit(**_OPT)
def thread_row(e, thread):
    """The number of the row of a thread between others (memoised)."""
    known = memo_get(e, TROW, thread)
    if known >= 0:
        return known
    row = ld64(e, N_ROWS)
    words = ld64(e, WORDS)
    scratch = ld64(e, SCRATCH_ROW)
    for w in range(words):
        st64(scratch, w, 0)
    code = add_thread_row(e, thread, scratch)
    if code < 0:
        return code
    row = ld64(e, N_ROWS)
    if row + 1 > ld64(e, CAP_ROWS):
        return need(e, ROWS, 0, 0)
    code = memo_put(e, TROW, thread, row)
    if code < 0:
        return code
    st64(e, N_ROWS, row + 1)
    dst = row_address(e, row)
    for w in range(words):
        st64(dst, w, ld64(scratch, w))
    return row


@njit(**_OPT)
def build_row(e, f):
    """The number of the row of a configuration."""
    r = ld64(e, CONF) + f * (CONF_W * 8)
    known = ld64(r, F_ROW)
    if known >= 0:
        return known
    end = can_end(e, f)
    if end < 0:
        return end
    n, at = ld64(r, F_N), ld64(r, F_AT)
    words = ld64(e, WORDS)
    special = ld64(e, N_SPECIAL)
    for i in range(n):
        row = thread_row(e, ld64(ld64(e, THR), at + i))
        if row < 0:
            return row
    if n == 1 and end == 0 and special == 0:
        row = thread_row(e, ld64(ld64(e, THR), at))
        st64(r, F_ROW, row)
        return row
    row = ld64(e, N_ROWS)
    if row + 1 > ld64(e, CAP_ROWS):
        return need(e, ROWS, 0, 0)
    dst = row_address(e, row)
    for w in range(words):
        st64(dst, w, 0)
    for i in range(n):
        t = ld64(ld64(e, THR), at + i)
        or_row(dst, row_address(e, thread_row(e, t)), words)
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
    st64(e, N_ROWS, row + 1)
    st64(r, F_ROW, row)
    return row


@njit(**_OPT)
def special_step(e, f, token):
    """The configuration after a special token; DEAD if it cannot come."""
    r = ld64(e, CONF) + f * (CONF_W * 8)
    buf = ld64(e, BUF_A)
    n = 0
    for i in range(ld64(r, F_N)):
        t = ld64(ld64(e, THR), ld64(r, F_AT) + i)
        q, d = unpair(e, t >> 32)
        if q != 0 or may_stop(e, d) == 0:
            continue
        c = t & LOW
        for j in range(ld64(e, N_SPECIAL)):
            if ld64(ld64(e, SPECIAL), 2 * j + 1) != token:
                continue
            a = ld64(ld64(e, SPECIAL), 2 * j)
            if looks(e, c, a >> 6) >> (a & 63) & 1:
                after = shift(e, c, a)
                if after < 0:
                    return after
                if after > 0:
                    n = add_thread(e, buf, n, 0, after)
                    if n < 0:
                        return n
    n = only_alive(e, buf, n)
    return intern_configuration(e, buf, n) if n >= 0 else n


@njit(**_OPT)
def advance_token(e, f, token):
    key = f * ld64(e, N_TOKENS) + token
    known = memo_get(e, ADV, key)
    if known >= 0:
        return known - 1
    if ld8(ld64(e, KIND), token) != 0:
        r = special_step(e, f, token)
    else:
        off = ld64(e, OFFSETS)
        lo = ld64(off, token)
        r = advance(e, f, ld64(e, BLOB) + lo, ld64(off, token + 1) - lo)
    if r < DEAD:
        return r
    code = memo_put(e, ADV, key, r + 1)
    return r if code == 0 else code


@njit(**_OPT)
def class_set(e, f, dst):
    """uint8[256] at `dst`: may a byte of each class come next?  Their number, or a code."""
    count = 0
    r = ld64(e, CONF) + f * (CONF_W * 8)
    for k in range(ld64(e, NCLS)):
        n = 0
        for i in range(ld64(r, F_N)):
            n = step_thread(e, ld64(e, BUF_A), n, ld64(ld64(e, THR), ld64(r, F_AT) + i), k)
            if n < 0:
                return n
        n = only_alive(e, ld64(e, BUF_A), n)
        if n < 0:
            return n
        if n > 0:
            st8(dst, k, 1)
            count += 1
    return count


@njit(**_OPT)
def nexts(e, f, row, out):
    """out[t] := the configuration after each token t set in the row at `row`; 0, or a code."""
    kind = ld64(e, KIND)
    for t in range(ld64(e, N_TOKENS)):
        if ld64(row, t >> 6) >> (t & 63) & 1 and ld8(kind, t) != 2:
            if ld64(out, t) >= 0:
                continue
            r = advance_token(e, f, t)
            if r < DEAD:
                return r
            st64(out, t, r)
    return 0


@njit(**_OPT)
def prepare_open(e, x, r):
    """The same for what open set `x` needs over LR state `r`."""
    m = local_of(e, x, r)
    return ld64(ld64(e, LOCALS), m * LOCAL_W + L_NEXT) if m >= 0 else m


@njit(**_OPT)
def prepare(e, lex, r):
    """Make what masks in lexeme state `lex` over LR state `r` need; the open set that is left, 0, or a code."""
    p = root_piece(e, lex)
    if p <= 0:
        return p
    s = ld64(ld64(e, PIECE) + p * (PIECE_W * 8), P_CUTS)
    if s == 0:
        return 0
    return prepare_open(e, CUT_BASE + s, r)


# ------------------------------------------------------------------ entries
#: operations of `cfg_call`
(O_ROW, O_ADVANCE, O_TOKEN, O_CAN_END, O_CLASSES, O_SHIFT, O_REHASH_MEMO, O_REHASH_RECORDS, O_STEP, O_INTERN_ONE,
 O_PAIR, O_CONFIGURATION, O_PIECES, O_MEMO_PUT, O_UNION, O_ENDED, O_NEXTS, O_LOCAL, O_MAY_END, O_RUN) = range(20)


@njit(**_ENTRY)
def cfg_call(e, op, a, b, c):
    """Operation `op` (O_...): the one entry from Python but for the two below."""
    st64(e, SP, 0)
    if op == O_ROW:
        return build_row(e, a)
    if op == O_ADVANCE:
        return advance(e, a, b, c)
    if op == O_TOKEN:
        return advance_token(e, a, b)
    if op == O_CAN_END:
        return can_end(e, a)
    if op == O_CLASSES:
        return class_set(e, a, b)
    if op == O_SHIFT:
        return shift(e, a, b)
    if op == O_REHASH_MEMO:
        return rehash_memo(e, a, b, c)
    if op == O_REHASH_RECORDS:
        if a == CTX:
            return rehash_records(e, ld64(e, CTX), CTX_W, ld64(e, N_CTX), 2, ld64(e, H_CTX), ld64(e, M_CTX))
        if a == OPEN:
            return rehash_records(e, ld64(e, OPEN), OPEN_W, ld64(e, N_OPEN), 1, ld64(e, H_OPEN), ld64(e, M_OPEN))
        if a == CUTSET:
            return rehash_records(e, ld64(e, CUTSET), CUTSET_W, ld64(e, N_CUTSET), 1, ld64(e, H_CUTSET),
                                  ld64(e, M_CUTSET))
        return rehash_records(e, ld64(e, CONF), CONF_W, ld64(e, N_CONF), 0, ld64(e, H_CONF), ld64(e, M_CONF))
    if op == O_STEP:
        return step_thread(e, ld64(e, BUF_A), 0, a, b)
    if op == O_INTERN_ONE:
        return intern_one(e, a << 32 | b)
    if op == O_PAIR:
        return pair_of(e, a, b)
    if op == O_CONFIGURATION:
        return intern_configuration(e, ld64(e, BUF_A), a)
    if op == O_PIECES:
        return child_piece(e, a, b) if b > 0 else root_piece(e, a)
    if op == O_MEMO_PUT:
        return memo_put(e, a, b, c)
    if op == O_UNION:
        return union(e, a, b)
    if op == O_ENDED:
        d = ended(e, a, b)
        return d if d < 0 else pair_of(e, 0, d)
    if op == O_MAY_END:
        return can_end_context(e, a, b)
    if op == O_RUN:
        n = run_text(e, a, b, c)
        return intern_configuration(e, ld64(e, BUF_A), n) if n >= 0 else n
    if op == O_LOCAL:
        return prepare_open(e, a, b) if c != 0 else prepare(e, a, b)
    if op == O_NEXTS:
        return nexts(e, a, b, c)
    return DEAD


@njit(**_ENTRY)
def cfg_fill(e, f, dst, words):
    """Copy the mask of configuration `f` to int32[words] at `dst`; surplus words become 0."""
    row = ld64(ld64(e, CONF), f * CONF_W + F_ROW)
    if row < 0:
        return need(e, ASK_ROW, f, 0)
    have = ld64(e, WORDS)
    src = ld64(ld64(e, ROWS), row >> 6) + (row & 63) * (have * 8)
    pairs = words >> 1
    n = pairs if pairs < have else have
    for i in range(n):
        st64(dst, i, ld64(src, i))
    for i in range(2 * n, words):
        st32(dst, i, ld32(src, i) if i < 2 * have else 0)
    return row


@njit(**_ENTRY)
def cfg_begin(e, f, token):
    """The configuration after a token if it is known; DEAD, or BUSY if it is not known."""
    table = ld64(e, ADV)
    i = slot_of(table, ld64(e, M_ADV), f * ld64(e, N_TOKENS) + token)
    return ld64(table, 2 * i + 1) - 1 if ld64(table, 2 * i) != 0 else BUSY
