"""Laying out automata for the kernels, and the search for shortest completions."""

from __future__ import annotations

from .lexer_kernels import (
    AL_BASE, B_ARG1, B_C, B_M, B_MINIMAL, B_NC, B_NM, B_NP, B_NS, B_NT, B_P, B_Q, B_S, B_T, B_UJ, B_UR, C_DFA,
    C_TRIE, FAR, K_ESC, K_GIVEN, K_PROD, LX_BASE, LX_DEAD, LX_FUEL, LX_NEED, M_CLAUSES, M_COLS, M_COMPS, M_JMAP,
    M_JSON, M_K, M_NCLAUSES, M_NFA, M_REPS, M_RMAP, N_CLASSES, N_E, N_EDGE, N_HEAD, N_INFO, N_MAP, N_N, N_NSTART,
    N_OFF, N_OPEN, N_REP, N_START, O_LABEL, O_STEP, S_DATA, S_HASH, S_JMAP, S_KIND, S_LABEL, S_LEN, S_RMAP, S_ROW,
    V_LIVE, ld16, ld32, ld64, ld8, lds8, st16, st32, st64, _go, _jit)
from .lexer_states import _intern, _mix


@_jit
def _covered(nfa, masks, ur, x, u):
    """Do edges of `x` lead over every byte legal at progress `u`, to states that go on so?

    Counted states are not looked into.
    """
    rows = ld32(nfa, N_N)
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
            if span & 0xFF <= b <= span >> 8:
                y = ld32(edge, 2 * e + 1)
                if y < rows and ld32(masks, 4 * y + 1) >> t & 1:
                    found = max(found, span >> 8)
        if found < 0:
            return False
        b += 1
        while b <= found and lds8(ur, 256 * u + b) == t:
            b += 1
    return True


@_jit
def _simulated(nfa, ur, accepting):
    """Which states simulate which of the any-string automaton's: a mask in the second int of each.

    The greatest such relation; with `accepting` to accept everything, else only to go on
    whatever comes.
    """
    n = ld32(nfa, N_N)
    off, edge = nfa + 4 * ld32(nfa, N_OFF), nfa + 4 * ld32(nfa, N_EDGE)
    info = nfa + 4 * ld32(nfa, N_INFO)
    for x in range(n):
        # Whatever takes everything has edges over exactly the legal bytes.
        low, high = 256, -1
        for e in range(ld32(off, x), ld32(off, x + 1)):
            low, high = min(low, ld32(edge, 2 * e) & 0xFF), max(high, ld32(edge, 2 * e) >> 8)
        mask = 0
        if high == 0xF4:
            mask = 1 if low == 0 and (not accepting or ld32(info, 4 * x) != 0) else 0
        elif high == 0xBF:
            mask = 0x0E if low == 0x80 else 0x10 if low == 0xA0 else 0x40 if low == 0x90 else 0
        elif low == 0x80:
            mask = 0x20 if high == 0x9F else 0x80 if high == 0x8F else 0
        st32(info, 4 * x + 1, mask)
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


@_jit
def _prepare(args):
    """Lay out an NFA for the kernels; `args` holds addresses and sizes.

    Finds byte classes (bytes with the same edges, compared by a 64-bit sum of
    edge hashes), states that accept every continuation, by the greatest
    simulation of the any-string automaton, which finds every `.*` tail, and
    states that go on whatever comes, such as the one before an unanchored match.
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
    open_ = nfa + 4 * at
    st32(nfa, N_OPEN, at)
    at += n
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
        st32(info, 4 * x + 2, -1)   # distances are computed when asked for
    _simulated(nfa, ur, False)
    for x in range(n):
        st32(open_, x, ld32(info, 4 * x + 1) & 1)
    _simulated(nfa, ur, True)
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
        h = _mix(5, ld8(ur, 2048 + b))
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
def _worth_escaping(rmap):
    """Is there a character that has to be escaped, in a class without printable ASCII?"""
    for k in range(34):
        col = ld16(rmap, k if k < 32 else 0x22 if k == 32 else 0x5C)
        x = 0x20
        while x < 0x7F and (ld16(rmap, x) != col or x == 0x22 or x == 0x5C):
            x += 1
        if x == 0x7F:
            return True
    return False


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
        escape = jmap = -1
        slash = True
        if LX_BASE <= q < AL_BASE:
            s = ld64(lb, B_S) + 64 * (q - LX_BASE)
            c = ld64(lb, B_C)
            jmap = c + 2 * ld64(s, S_JMAP)
            if ld64(s, S_KIND) & 0xFF == K_ESC:
                escape = ld64(s, S_LEN)
            elif ld64(s, S_JMAP) != ld64(s, S_RMAP):
                slash = _worth_escaping(c + 2 * ld64(s, S_RMAP))
        for b in range(256):
            if jmap >= 0 and b > 0 and ld16(jmap, b) == ld16(jmap, b - 1) or b == 0x5C and not slash:
                continue
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
