"""Kernels of threads: lexeme states, shadows, one byte at a time, liveness, configurations.

**Lexeme states.**  q numbers the states of the terminals' automata, 0 is
"between lexemes".  Where only one end of a terminal counts (Lark's modes), an
end that something longer might replace leaves a *shadow* behind: the automaton
runs on beside what follows, and if it accepts again the thread dies, since the
terminal would have ended there instead.  D is a shadow state, or an interned
set of them; l is q, or an interned pair (q, D).

**Threads.**  (l, C): inside a lexeme with C what follows it, or between lexemes
with C what stands on the stack.  A *configuration* is an interned set of
threads, equal l merged by uniting their C; it is the state of a matcher.
"""

from __future__ import annotations

from .cfg_layout import (
    ASK_LINE, ASK_LIVE, BUF_A, BUF_B, CALM, CAP_BUF, CAP_L, CAP_SCUT, CAP_WALK, CLS, CONF, CONF_ROW, CONF_W, DEAD, DEND,
    DPOOL, DSETS, DSET_W, DTRANS, FIRST_AT, FIRST_LIST, FUEL_OUT, F_ADVANCE, F_ALIVE, F_INTERN, F_SHADOWS, F_STEP,
    HISTORY, H_CONF, H_DSETS, INDENTED, IS_LINE, LAST, LINE, LINES, LIVE, LKEYS, LOW, LTAB, MARKS, NCLS, NEED_A,
    NEED_B, NEED_PY, NHIST, NT, NX, N_CONF, N_L, N_TRIE, PAIR_BASE, QEND, QFINAL, QHIST, QSHADOW, R_AT, R_N, SAFE,
    SET_BASE, SHADOWS, SP, STACK_Q, S_CUT, THR, TRANS, TRIE, TRIE_FIRST, WALK, _OPT, burn, call3, call4, call5, call7,
    ld32, ld64, ld8, memo_get, memo_put, need, njit, scratch, st32, st64)
from .cfg_stacks import kappa_of, looks, shift, union

#: sha256 of the kernel files compiled into this one (see stack_kernels.py).
DEPENDS_ON = "1cf5cb40d2f54c2c3c96d32b40268187860837a02bb25b2637368eab8d3a1014"


# ------------------------------------------------------------------ lexeme states
@njit(**_OPT)
def intern_shadows(e, src, n):
    """The id of a sorted set of shadow states."""
    if n == 0:
        return 0
    if n == 1:
        return ld64(src, 0)
    k = call7(ld64(e, F_INTERN), e, DSETS, DPOOL, H_DSETS, DSET_W, src, n)
    return SET_BASE + k if k >= 0 else k


@njit(**_OPT)
def shadow_sets(e, d, x, k):
    """Of the set of shadows `d`: what it is after a byte of class `k`, or with `x` more where `k` is -1."""
    at, n = ld64(e, DPOOL), 1
    if d >= SET_BASE:
        r = ld64(e, DSETS) + (d - SET_BASE) * (DSET_W * 8)
        at, n = at + 8 * ld64(r, R_AT), ld64(r, R_N)
    sp = ld64(e, SP)
    out = scratch(e, n + 1)
    if out == 0:
        return NEED_PY
    st64(e, SP, sp)
    m = 0
    for i in range(n + 1):
        if i == n:
            t = x
        else:
            t = ld64(at, i) if d >= SET_BASE else d
            if k >= 0:
                t = ld32(ld64(e, DTRANS), t * ld64(e, NCLS) + k)
                if t < 0:
                    return DEAD
        if t == 0:
            continue
        j = m
        while j > 0 and ld64(out, j - 1) > t:
            j -= 1
        if j > 0 and ld64(out, j - 1) == t:
            continue
        for y in range(m, j, -1):
            st64(out, y, ld64(out, y - 1))
        st64(out, j, t)
        m += 1
    return intern_shadows(e, out, m)


@njit(**_OPT)
def shadow_add(e, d, x):
    """The set of shadows `d` and one more state `x` (0: none)."""
    if x == 0 or d == x:
        return d
    if d == 0:
        return x
    return call4(ld64(e, F_SHADOWS), e, d, x, -1)


@njit(**_OPT)
def shadow_step(e, d, k):
    """The shadows after a byte of class `k`; DEAD if one of them accepts."""
    if d == 0:
        return 0
    if d < SET_BASE:
        return ld32(ld64(e, DTRANS), d * ld64(e, NCLS) + k)
    return call4(ld64(e, F_SHADOWS), e, d, 0, k)


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
    r = ld64(e, DSETS) + (d - SET_BASE) * (DSET_W * 8)
    at = ld64(e, DPOOL) + 8 * ld64(r, R_AT)
    for i in range(ld64(r, R_N)):
        if ld8(ld64(e, DEND), ld64(at, i)) == 0:
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


# ------------------------------------------------------------------ configurations
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
    fresh = ld64(e, N_CONF)
    k = call7(ld64(e, F_INTERN), e, CONF, THR, H_CONF, CONF_W, buf, n)
    if k == fresh:
        st64(ld64(e, CONF), k * CONF_W + CONF_ROW, -1)
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
                if ld64(e, INDENTED) != 0 and a == ld64(e, NX) - 1:
                    continue                  # a line end, which may lead nowhere
                return 1
            if looks(e, c, a >> 6) >> (a & 63) & 1:
                r = shift(e, c, a)
                if r != 0:
                    return 1 if r > 0 else r
    return 0


@njit(**_OPT)
def calm(e, q):
    """Is it known of lexeme state `q` that every thread in it without shadows can be completed, but for `SAFE`?"""
    return ld64(e, CALM) != 0 and ld8(ld64(e, IS_LINE), q) == 0


@njit(**_OPT)
def alive_first(e, lex, c):
    """`alive` where it is not known yet."""
    q, d = unpair(e, lex)
    safe = ld64(e, SAFE) != 0 or calm(e, q)
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
    if found == 0 and safe:
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
    code = memo_put(e, LIVE, lex << 32 | c, found)
    return found if code == 0 else code


@njit(**_OPT)
def alive(e, lex, c):
    """1 if the thread can be completed, 0 if not, or a code."""
    if lex < PAIR_BASE and (ld64(e, SAFE) != 0 or calm(e, lex)):
        return 1
    known = memo_get(e, LIVE, lex << 32 | c)
    return known if known >= 0 else call3(ld64(e, F_ALIVE), e, lex, c)


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
def steps(e, thread):
    """Leave in WALK the threads after one byte, each behind the byte's class; their number, or a code."""
    m = 0
    for k in range(ld64(e, NCLS)):
        n = call5(ld64(e, F_STEP), e, ld64(e, BUF_A), 0, thread, k)
        if n < 0:
            return n
        if 2 * (m + n) > ld64(e, CAP_WALK):
            return need(e, WALK, 2 * n, 0)
        at = ld64(e, WALK) + 16 * m
        for i in range(n):
            st64(at, 2 * i, k)
            st64(at, 2 * i + 1, ld64(ld64(e, BUF_A), i))
        m += n
    return m


@njit(**_OPT)
def next_frame(e, at, k):
    """The threads of the frame at `at` after a byte of class `k`.

    A frame is three numbers of threads (no line end yet in the token, in one, behind
    one), and the threads.  Those of the first kind are left behind this frame, as in one of
    their own, those of the second in BUF_B, NEED_B of them, those of the third in BUF_A:
    first the NEED_A that were behind a line end before this byte.  The number in BUF_A, or a code.
    """
    a, b = ld64(e, BUF_A), ld64(e, BUF_B)
    n0, n1, n2 = ld64(at, 0), ld64(at, 1), ld64(at, 2)
    out = at + 8 * (3 + n0 + n1 + n2)
    rest, lines = 0, 0
    for kind in range(2):
        n = 0
        for i in range(n0 if kind == 0 else n1):
            n = call5(ld64(e, F_STEP), e, a, n, ld64(at, 3 + kind * n0 + i), k)
            if n < 0:
                return n
        for j in range(n):
            t = ld64(a, j)
            q, _ = unpair(e, t >> 32)
            if ld8(ld64(e, IS_LINE), q) != 0:
                lines = add_thread(e, b, lines, t >> 32, t & LOW)
                if lines < 0:
                    return lines
            elif kind == 0:
                st64(out, 3 + rest, t)
                rest += 1
    n = 0
    for i in range(n2):
        n = call5(ld64(e, F_STEP), e, a, n, ld64(at, 3 + n0 + n1 + i), k)
        if n < 0:
            return n
    going = n
    for j in range(lines):
        t = ld64(b, j)
        q, d = unpair(e, t >> 32)
        end = ld8(ld64(e, QEND), q)
        if end < LINE:
            continue
        c = line_end(e, t & LOW, end - LINE)
        if c < 0:
            return c
        if c > 0:
            d = ended(e, q, d)
            if d < 0:
                return d
            lex = pair_of(e, 0, d)
            if lex < 0:
                return lex
            n = add_thread(e, a, n, lex, c)
            if n < 0:
                return n
    st64(out, 0, rest)
    st64(e, NEED_A, going)
    st64(e, NEED_B, lines)
    return n


@njit(**_OPT)
def cross(e, f):
    """Leave in S_CUT (trie node, thread) where a token ends that goes on behind a line end; their number, or a code."""
    r = ld64(e, CONF) + f * (CONF_W * 8)
    src, total = ld64(e, THR) + 8 * ld64(r, R_AT), ld64(r, R_N)
    nodes, cls, first, frames = ld64(e, TRIE), ld64(e, CLS), ld64(e, TRIE_FIRST), ld64(e, STACK_Q)
    cap = ld64(e, CAP_WALK)
    if 3 * total + 64 > cap:
        return need(e, WALK, 3 * total + 64, 0)
    walk, found = ld64(e, WALK), 0
    n = 0
    for line in range(2):
        before = n
        for i in range(total):
            t = ld64(src, i)
            q, _ = unpair(e, t >> 32)
            if ld8(ld64(e, IS_LINE), q) == line:
                st64(walk, 3 + n, t)
                n += 1
        st64(walk, line, n - before)
    st64(walk, 2, 0)
    st32(frames, 0, 0)
    i = 1
    while i < ld64(e, N_TRIE):
        node = ld64(nodes, i)
        dep, size = node >> 8 & 0xFFFF, node >> 24 & 0xFFFFFF
        at = ld32(frames, dep - 1)
        here = walk + 8 * at
        n0, n1, n2 = ld64(here, 0), ld64(here, 1), ld64(here, 2)
        marked = ld8(ld64(e, MARKS), i)
        if marked == 0 and n1 + n2 == 0:
            i += size
            continue
        if burn(e, 2 + n0 + n1 + n2):
            return FUEL_OUT
        at += 3 + n0 + n1 + n2
        # all that one step can leave fits behind this frame, or the walk begins anew with more room
        if at + 3 + 3 * ld64(e, CAP_BUF) > cap:
            return need(e, WALK, at + 3 * ld64(e, CAP_BUF), 0)
        n = next_frame(e, here, ld8(cls, node & 255))
        if n < 0:
            return n
        going, lines = ld64(e, NEED_A), ld64(e, NEED_B)
        if ld32(first, i) < ld32(first, i + 1):
            if found + going > ld64(e, CAP_SCUT):
                return need(e, S_CUT, going, 0)
            for j in range(going):
                st64(ld64(e, S_CUT), 2 * found, i)
                st64(ld64(e, S_CUT), 2 * found + 1, ld64(ld64(e, BUF_A), j))
                found += 1
        out = walk + 8 * at
        rest = ld64(out, 0) if marked != 0 else 0
        if rest + lines + n == 0:
            i += size
            continue
        st64(out, 0, rest)
        st64(out, 1, lines)
        st64(out, 2, n)
        for j in range(lines):
            st64(out, 3 + rest + j, ld64(ld64(e, BUF_B), j))
        for j in range(n):
            st64(out, 3 + rest + lines + j, ld64(ld64(e, BUF_A), j))
        st32(frames, dep, at)
        i += 1
    return found


@njit(**_OPT)
def run_text(e, f, text, size):
    """Leave in BUF_A the threads of configuration `f` after `size` bytes at `text`; their number.

    Where nothing is left, NEED_A is the offset.
    """
    r = ld64(e, CONF) + f * (CONF_W * 8)
    n = ld64(r, R_N)
    src = ld64(e, THR) + 8 * ld64(r, R_AT)
    cls = ld64(e, CLS)
    for i in range(size):
        k = ld8(cls, ld8(text, i))
        dst = ld64(e, BUF_A) if i & 1 == (size - 1) & 1 else ld64(e, BUF_B)
        m = 0
        for j in range(n):
            m = call5(ld64(e, F_STEP), e, dst, m, ld64(src, j), k)
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
    for i in range(ld64(r, R_N)):
        t = ld64(ld64(e, THR), ld64(r, R_AT) + i)
        q, d = unpair(e, t >> 32)
        if q == 0:
            x = can_end_context(e, t & LOW, d)
            if x != 0:
                return 1 if x > 0 else x
    return 0


#: slot -> (function, number of arguments)
NATIVE = {F_SHADOWS: (shadow_sets, 4), F_STEP: (step_thread, 5), F_ALIVE: (alive_first, 3), F_ADVANCE: (advance, 4)}
