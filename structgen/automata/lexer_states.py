"""States of the lexer that need no automaton, and the tables of those that do.

Literal tries (a binary search among sorted words), any-string records, and the
hash-consing of row states: equal (kind, machine, content) means equal id.
Helpers of the slow kernel, compiled into it (see ``lexer_slow``).
"""

from __future__ import annotations

from .lexer_kernels import (
    AL_BASE, B_A, B_AH, B_CA, B_CH, B_CL, B_CP, B_CS, B_CT, B_H, B_L, B_LIMIT, B_M, B_MAXK, B_MAXN, B_MINIMAL,
    B_NA, B_NEED, B_NL, B_NP, B_NS, B_NT, B_NV, B_NW, B_P, B_S, B_STAGE, B_STAGE2, B_T, B_UJ, B_UR, B_VL, B_VO,
    B_W8, B_WH, B_WW, ESC_COLS, ESC_MAP, INF, K_DFA, K_ESC, K_GIVEN, K_PROD, LX_BASE, LX_DEAD, LX_FUEL, LX_NEED,
    M_COLS, M_JMAP, M_RMAP, NEED_FUEL_STATES, NEED_ROOM, NO_LABEL, S_DATA, S_HASH, S_JMAP, S_KIND, S_LABEL, S_LEN,
    S_RMAP, S_ROW, UNKNOWN, V_LIVE, V_NEW, ld32, ld64, ld8, lds8, st32, st64, st8, _jit)


@_jit
def _trie(lb, p, b):
    """Decoded step in a trie: the position after byte `b`, or -1."""
    if b == 0xFF:                     # marks the ends of words, is in no text
        return -1
    w8 = ld64(lb, B_W8)
    if ld8(w8, p) == b:
        return p + 1
    w = ld32(ld64(lb, B_WW), p)
    hi = ld32(ld64(lb, B_WH), p)
    lo = w + 1                       # word w has another byte here, or ends
    if lo >= hi:
        return -1
    vo = ld64(lb, B_VO)
    d = p - ld64(vo, w)
    end = hi
    # Only the word equal to the prefix can end here, and it is w.
    while lo < end:
        mid = (lo + end) >> 1
        if ld8(w8, ld64(vo, mid) + d) < b:
            lo = mid + 1
        else:
            end = mid
    if lo < hi:
        p = ld64(vo, lo) + d
        if ld8(w8, p) == b:
            return p + 1
    return -1


@_jit
def _utf8(cp, n, d):
    """Byte `d` of the `n`-byte UTF-8 form of `cp`."""
    shift = 6 * (n - 1 - d)
    if d > 0:
        return 0x80 | ((cp >> shift) & 0x3F)
    if n == 1:
        return cp
    return (0xF00 >> n) & 0xF0 | (cp >> shift)


@_jit
def _utf8_len(cp):
    return 1 if cp < 0x80 else 2 if cp < 0x800 else 3 if cp < 0x10000 else 4


@_jit
def _trie_bound(lb, p, cp):
    """First word below node `p` whose next code point is at least `cp`."""
    w8, vo = ld64(lb, B_W8), ld64(lb, B_VO)
    w = ld32(ld64(lb, B_WW), p)
    end = ld32(ld64(lb, B_WH), p)
    d = p - ld64(vo, w)
    if ld8(w8, p) == 0xFF:
        w += 1
    n = _utf8_len(cp)
    while w < end:
        mid = (w + end) >> 1
        at = ld64(vo, mid) + d
        less = False
        for j in range(n):
            x, y = ld8(w8, at + j), _utf8(cp, n, j)
            if x != y:
                less = x < y
                break
        if less:
            w = mid + 1
        else:
            end = mid
    return w


@_jit
def _add_words(lb, count, constant):
    """Build a trie from the staged bytes and lengths (in code points).

    `constant` < 0: labels are the words' numbers; else every label is it.
    Returns the root position.  Room was made by Python.
    """
    pos0, word0 = ld64(lb, B_NW), ld64(lb, B_NV)
    src, lens = ld64(lb, B_STAGE), ld64(lb, B_STAGE2)
    w8, ww, wh = ld64(lb, B_W8), ld64(lb, B_WW), ld64(lb, B_WH)
    vo, vl = ld64(lb, B_VO), ld64(lb, B_VL)
    p = pos0
    before = 0                        # length of the previous word
    for k in range(count):
        w = word0 + k
        st64(vo, w, p)
        st32(vl, w, k if constant < 0 else constant)
        start = p
        for _ in range(ld32(lens, k)):
            c = ld8(src, 0)
            n = 1 if c < 0x80 else 2 if c < 0xE0 else 3 if c < 0xF0 else 4
            for j in range(n):
                st8(w8, p, ld8(src, j))
                st32(ww, p, w)
                p += 1
            src += n
        st8(w8, p, 0xFF)
        st32(ww, p, w)
        p += 1
        size = p - 1 - start
        same = -1
        if k > 0:
            old = ld64(vo, w - 1)
            same = 0
            while same < size and ld8(w8, old + same) == ld8(w8, start + same):
                same += 1
        # Nodes deeper than the common prefix close; `node at depth d` is found
        # through the depth's first word, kept in the staged-length array's tail.
        first = lens + 4 * count
        for d in range(same + 1, before + 1):
            if k > 0:
                st32(wh, ld64(vo, ld32(first, d)) + d, w)
        for d in range(same + 1, size + 1):
            st32(first, d, w)
        before = size
    first = lens + 4 * count
    for d in range(before + 1):
        st32(wh, ld64(vo, ld32(first, d)) + d, word0 + count)
    st64(lb, B_NW, p)
    st64(lb, B_NV, word0 + count)
    return pos0


@_jit
def _mix(h, x):
    h = (h ^ x) * 0x5851F42D4C957F2D
    return h ^ (h >> 29 & 0x7FFFFFFFF)


@_jit
def _any_record(lb, lo, hi, label):
    """Index of the any-string record (lo, hi, label); room was made before."""
    table, mask = ld64(lb, B_AH), 2 * ld64(lb, B_CA) - 1
    at = ld64(lb, B_A)
    j = _mix(_mix(_mix(1, lo), hi), label) & mask
    while True:
        k = ld32(table, j) - 1
        if k < 0:
            break
        r = at + 32 * k
        if ld64(r, 0) == lo and ld64(r, 1) == hi and ld64(r, 2) == label:
            return k
        j = (j + 1) & mask
    k = ld64(lb, B_NA)
    st64(lb, B_NA, k + 1)
    r = at + 32 * k
    st64(r, 0, lo)
    st64(r, 1, hi)
    st64(r, 2, label)
    st64(r, 3, k if lo == 0 and hi == INF else -1)
    st32(table, j, k + 1)
    return k


@_jit
def _any(lb, u, lo, hi, label):
    """The state "any string of lo..hi more characters", with progress `u`."""
    if lo == 0 and hi == INF and label == 1 and ld64(lb, B_MINIMAL) == 0:
        return u if u < 16 else u + 32
    return AL_BASE + 32 * _any_record(lb, lo, hi, label) + u


@_jit
def _room(lb):
    """Is there room for one more of everything?  1, LX_NEED or LX_FUEL."""
    if (ld64(lb, B_NS) + 8 > ld64(lb, B_CS) or ld64(lb, B_NT) + 600 > ld64(lb, B_CT)
            or ld64(lb, B_NP) + ld64(lb, B_MAXK) + 8 > ld64(lb, B_CP)
            or ld64(lb, B_NL) + ld64(lb, B_MAXN) + 8 > ld64(lb, B_CL)
            or 2 * ld64(lb, B_NS) + 16 > ld64(lb, B_CH) or ld64(lb, B_NA) + 4 > ld64(lb, B_CA)):
        st64(lb, B_NEED, NEED_ROOM)
        return LX_NEED
    if ld64(lb, B_NS) > ld64(lb, B_LIMIT):
        st64(lb, B_NEED, NEED_FUEL_STATES)
        return LX_FUEL
    return 1


@_jit
def _any_next(lb, q, b):
    """Step of an any-string state, general case."""
    u = (q - AL_BASE) & 31
    t = lds8(ld64(lb, B_UJ), 256 * u + b)
    if t < 0:
        return t
    if u != 0:
        return q - u + t
    r = ld64(lb, B_A) + (q - AL_BASE >> 5) * 32
    lo, hi = ld64(r, 0), ld64(r, 1)
    if hi == 0:
        return LX_DEAD
    room = _room(lb)
    if room < 0:
        return room
    s = _any(lb, 0, max(lo - 1, 0), hi if hi == INF else hi - 1, ld64(r, 2))
    if s >= AL_BASE:
        st64(r, 3, s - AL_BASE >> 5)
        return s + t
    return t if t < 16 else t + 32


@_jit
def _any_decoded(lb, q, b):
    """Decoded step of a static or any-string state between or inside characters."""
    if q < LX_BASE:
        return lds8(ld64(lb, B_UR), 256 * q + b)
    u = (q - AL_BASE) & 31
    t = lds8(ld64(lb, B_UR), 256 * u + b)
    if t < 0:
        return t
    if u != 0:
        return q - u + t
    s = _any_next(lb, q, 0x20)        # any raw character: the count is all that matters
    return s + t if s >= 0 else s


@_jit
def _same(lb, kind, a, c, n):
    if kind == K_ESC:
        return a == c
    if kind == K_DFA:
        at = ld64(lb, B_L)
        for j in range(n):
            if ld32(at, a + j) != ld32(at, c + j):
                return False
        return True
    at = ld64(lb, B_P)
    for j in range(n):
        if ld64(at, a + j) != ld64(at, c + j):
            return False
    return True


@_jit
def _intern(lb, kind, m, h, a, n):
    """Index of the row state with this content; `a` places it in its pool."""
    st, table = ld64(lb, B_S), ld64(lb, B_H)
    mask = ld64(lb, B_CH) - 1
    h = _mix(_mix(h, m), kind) >> 2 << 2
    tag = kind | m << 8
    j = (h >> 2) & mask
    while True:
        i = ld32(table, j) - 1
        if i < 0:
            break
        s = st + 64 * i
        if ld64(s, S_HASH) >> 2 << 2 == h and ld64(s, S_KIND) == tag and ld64(s, S_LEN) == n \
                and _same(lb, kind, ld64(s, S_DATA), a, n):
            return i
        j = (j + 1) & mask
    i = ld64(lb, B_NS)
    st64(lb, B_NS, i + 1)
    s = st + 64 * i
    rec = ld64(lb, B_M) + 128 * m
    st64(s, S_ROW, 0)
    st64(s, S_JMAP, ESC_MAP if kind == K_ESC else ld64(rec, M_JMAP))
    st64(s, S_RMAP, ESC_MAP if kind == K_ESC else ld64(rec, M_RMAP))
    st64(s, S_KIND, tag)
    st64(s, S_DATA, a)
    st64(s, S_LEN, n)
    st64(s, S_LABEL, -1 if kind == K_ESC else NO_LABEL)
    st64(s, S_HASH, h | (V_NEW if kind == K_PROD else V_LIVE))
    st32(table, j, i + 1)
    return i


@_jit
def _rehash(lb):
    """Fill a fresh, larger hash table of states and one of any-string records."""
    table, mask = ld64(lb, B_H), ld64(lb, B_CH) - 1
    for i in range(ld64(lb, B_NS)):
        s = ld64(lb, B_S) + 64 * i
        if ld64(s, S_KIND) & 0xFF == K_GIVEN:
            continue
        j = (ld64(s, S_HASH) >> 2) & mask
        while ld32(table, j) != 0:
            j = (j + 1) & mask
        st32(table, j, i + 1)
    table, mask = ld64(lb, B_AH), 2 * ld64(lb, B_CA) - 1
    for k in range(ld64(lb, B_NA)):
        r = ld64(lb, B_A) + 32 * k
        j = _mix(_mix(_mix(1, ld64(r, 0)), ld64(r, 1)), ld64(r, 2)) & mask
        while ld32(table, j) != 0:
            j = (j + 1) & mask
        st32(table, j, k + 1)
    return 0


@_jit
def _row(lb, s):
    """Offset of the memo row of the state record at `s`, made if missing."""
    row = ld64(s, S_ROW)
    if row == 0:
        kind = ld64(s, S_KIND)
        cols = ESC_COLS if kind & 0xFF == K_ESC else ld64(ld64(lb, B_M), 16 * (kind >> 8) + M_COLS) + 2
        row = ld64(lb, B_NT)
        st64(lb, B_NT, row + cols)
        t = ld64(lb, B_T) + 4 * row
        for j in range(cols):
            st32(t, j, UNKNOWN)
        if kind & 0xFF != K_ESC:
            st32(t, cols - 1, LX_DEAD)
        st64(s, S_ROW, row)
    return row
