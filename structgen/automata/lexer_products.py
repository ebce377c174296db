"""Determinisation, products of automata and their liveness, on demand.

A DFA state is a sorted list of NFA states.  A product state is a UTF-8
progress and one value a component: a state, a packed length
``lo << 31 | hi``, ALWAYS, or -1 when the component can no longer match.  Three
reductions keep products few: a clause that holds whatever follows makes the
state "any string", clauses that cannot hold any more are ignored, and a state
decided by one component is that component's state.

A product state is live if some accepting state can be reached: distances
answer for one pattern with one length, a breadth-first search memoised on the
states answers the rest, within a budget of steps.
"""

from __future__ import annotations

from .lexer_kernels import (
    ALWAYS, AL_BASE, B_ARG1, B_ARG2, B_BITS, B_C, B_CQ, B_CY, B_FAR, B_FUEL, B_L, B_M, B_MAXN, B_NEED, B_NL, B_NP, B_NS,
    B_NY, B_P, B_Q, B_RAWANY, B_S, B_T, B_UR, B_W8, B_Y, C_DFA, C_LENGTH, C_TRIE, FAR, INF, K_DFA, K_PROD, LX_BASE,
    LX_DEAD, LX_FUEL, LX_NEED, M_CLAUSES, M_COLS, M_COMPS, M_JSON, M_K, M_NCLAUSES, M_NFA, M_REPS, NEED_FUEL_STEPS,
    NEED_LABEL, NEED_ROOM, NEED_STATE_LABEL, NO_LABEL, N_BLOCK, N_EDGE, N_INFO, N_N, N_NSTART, N_OFF, N_START, O_ALIVE,
    O_DECODED, O_DFA_CLOSE, O_DFA_SUCC, O_PROD_CLOSE, O_PROD_LABEL, O_PROD_SUCC, O_QUICK, S_DATA, S_HASH, S_KIND,
    S_LABEL, S_LEN, S_RMAP, S_ROW, TRIE_BASE, UNKNOWN, V_DEAD, V_LIVE, V_NEW, V_SEEN, ld16, ld32, ld64, ld8, lds8,
    X_BASE, X_COPIES, X_END, X_EXIT, X_LEAST, X_ROW, X_SIZE, X_WIDTH, st32, st64, _go, _jit, _lowest)
from .lexer_states import _any, _any_decoded, _intern, _mix, _room, _row, _trie


@_jit
def _block_of(nfa, x):
    """Address of the block of counted state `x`."""
    r = nfa + 4 * ld32(nfa, N_BLOCK)
    while x >= ld32(r, X_END):
        r += 4 * X_WIDTH
    return r


@_jit
def _left_by(nfa, x):
    """The state behind the repeat of counted state `x` if it may be left there, else -1."""
    r = _block_of(nfa, x)
    size = ld32(r, X_SIZE)
    k = (x - ld32(r, X_BASE)) // size
    s = x - ld32(r, X_BASE) - k * size
    ends = ld32(nfa + 4 * ld32(nfa, N_INFO), 4 * (ld32(r, X_ROW) + s))
    return ld32(r, X_EXIT) if ends != 0 and k + 1 >= ld32(r, X_LEAST) else -1


@_jit
def _follow(nfa, row, b, bits, move, last, exit, low, high):
    """Mark where the edges of `row` over `b` lead, moved by `move`; `exit` in place of `last`.  Words written to."""
    off, edge = nfa + 4 * ld32(nfa, N_OFF), nfa + 4 * ld32(nfa, N_EDGE)
    for e in range(ld32(off, row), ld32(off, row + 1)):
        span = ld32(edge, 2 * e)
        if span & 0xFF <= b <= span >> 8:
            y = ld32(edge, 2 * e + 1) + move
            if y == last:
                y = exit
            word = bits + 8 * (y >> 6)
            st64(word, 0, ld64(word, 0) | 1 << (y & 63))
            low, high = min(low, y >> 6), max(high, y >> 6)
    return low, high


@_jit
def _follow_counted(nfa, x, b, bits, low, high):
    """The same for counted state `x`."""
    r = _block_of(nfa, x)
    base, size, copies = ld32(r, X_BASE), ld32(r, X_SIZE), ld32(r, X_COPIES)
    row, exit = ld32(r, X_ROW), ld32(r, X_EXIT)
    k = (x - base) // size
    here, move, last = row + x - base - k * size, base + k * size - row, base + (copies - 1) * size
    low, high = _follow(nfa, here, b, bits, move, last, exit, low, high)
    if ld32(nfa + 4 * ld32(nfa, N_INFO), 4 * here) != 0:
        if k + 1 < copies:
            low, high = _follow(nfa, row + size, b, bits, move + size, last, exit, low, high)
        if k + 1 >= ld32(r, X_LEAST):
            low, high = _follow(nfa, exit, b, bits, 0, -1, -1, low, high)
    return low, high


@_jit
def _far(lb, q):
    """The state that admits the same within a token as `q`: numbers of copies far from both bounds made small."""
    room = _room(lb)
    if room < 0:
        return room
    s = ld64(lb, B_S) + 64 * (q - LX_BASE)
    m = ld64(s, S_KIND) >> 8
    nfa = ld64(ld64(lb, B_M), 16 * m + M_NFA)
    far, rows = ld64(lb, B_FAR), ld32(nfa, N_N)
    src, size = ld64(lb, B_L) + 4 * ld64(s, S_DATA), ld64(s, S_LEN)
    at = ld64(lb, B_L) + 4 * ld64(lb, B_NL)
    j = h = 0
    while j < size:
        x = ld32(src, j)
        stop, back = j + 1, 0
        if x >= rows:                 # states are sorted: those of a block stand together
            r = _block_of(nfa, x)
            base, end, each = ld32(r, X_BASE), ld32(r, X_END), ld32(r, X_SIZE)
            while stop < size and ld32(src, stop) < end:
                stop += 1
            low, high = (x - base) // each, (ld32(src, stop - 1) - base) // each
            least = ld32(r, X_LEAST)
            if high + 1 + far < least:
                back = low
            elif low + 1 >= least and high + 1 + far < ld32(r, X_COPIES):
                back = low - max(least - 1, 0)
            else:
                return q
            back *= each
        while j < stop:
            x = ld32(src, j) - back
            st32(at, j, x)
            h = _mix(h, x)
            j += 1
    return _go(lb, O_DFA_CLOSE, m, h, size)


@_jit
def _dfa_close(lb, m, h, size):
    """State of the NFA set written behind the end of the int32 pool."""
    nfa = ld64(ld64(lb, B_M), 16 * m + M_NFA)
    info = nfa + 4 * ld32(nfa, N_INFO)
    at = ld64(lb, B_L) + 4 * ld64(lb, B_NL)
    accept = False
    rows = ld32(nfa, N_N)
    for j in range(size):
        x = ld32(at, j)
        if x >= rows:
            x = _left_by(nfa, x)
            if x < 0:
                continue
        x = info + 16 * x
        u = ld32(x, 1)
        if u >= 0:                    # some branch accepts everything from here
            if ld64(ld64(lb, B_M), 16 * m + M_JSON) == 0:
                return ld64(lb, B_RAWANY) + u
            return _any(lb, u, 0, INF, 1)
        accept |= ld32(x, 0) != 0
    before = ld64(lb, B_NS)
    i = _intern(lb, K_DFA, m, h, ld64(lb, B_NL), size)
    if i == before:
        st64(lb, B_NL, ld64(lb, B_NL) + size)
        st64(ld64(lb, B_S), 8 * i + S_LABEL, 1 if accept else -1)
    return LX_BASE + i


@_jit
def _dfa_start(lb, m):
    room = _room(lb)
    if room < 0:
        return room
    nfa = ld64(ld64(lb, B_M), 16 * m + M_NFA)
    at = ld64(lb, B_L) + 4 * ld64(lb, B_NL)
    size = ld32(nfa, N_NSTART)
    if size == 0:
        return LX_DEAD
    h = 0
    for j in range(size):
        x = ld32(nfa, ld32(nfa, N_START) + j)
        st32(at, j, x)
        h = _mix(h, x)
    return _go(lb, O_DFA_CLOSE, m, h, size)


@_jit
def _dfa_succ(lb, s, b):
    """Successor of a DFA state on decoded byte `b`."""
    m = ld64(s, S_KIND) >> 8
    nfa = ld64(ld64(lb, B_M), 16 * m + M_NFA)
    bits, rows = ld64(lb, B_BITS), ld32(nfa, N_N)
    src = ld64(lb, B_L) + 4 * ld64(s, S_DATA)
    low, high = ld64(lb, B_MAXN), -1
    for j in range(ld64(s, S_LEN)):
        x = ld32(src, j)
        if x < rows:
            low, high = _follow(nfa, x, b, bits, 0, -1, -1, low, high)
        else:
            low, high = _follow_counted(nfa, x, b, bits, low, high)
    if high < 0:
        return LX_DEAD
    at = ld64(lb, B_L) + 4 * ld64(lb, B_NL)
    size = h = 0
    for w in range(low, high + 1):
        v = ld64(bits, w)
        st64(bits, w, 0)
        while v != 0:
            x = w << 6 | _lowest(v)
            v &= v - 1
            st32(at, size, x)
            h = _mix(h, x)
            size += 1
    return _go(lb, O_DFA_CLOSE, m, h, size)


@_jit
def _asked(lb, m, bits):
    """The label Python gave for (machine, bits), or LX_NEED."""
    table, mask = ld64(lb, B_Y), ld64(lb, B_CY) - 1
    j = _mix(_mix(7, bits), m) & mask
    while ld64(table, 3 * j) != 0:
        if ld64(table, 3 * j) == m + 1 and ld64(table, 3 * j + 1) == bits:
            return ld64(table, 3 * j + 2)
        j = (j + 1) & mask
    st64(lb, B_NEED, NEED_LABEL)
    st64(lb, B_ARG1, m)
    st64(lb, B_ARG2, bits)
    return LX_NEED


@_jit
def _answer(lb, m, bits, label):
    table, mask = ld64(lb, B_Y), ld64(lb, B_CY) - 1
    j = _mix(_mix(7, bits), m) & mask
    while ld64(table, 3 * j) != 0:
        j = (j + 1) & mask
    st64(table, 3 * j, m + 1)
    st64(table, 3 * j + 1, bits)
    st64(table, 3 * j + 2, label)
    st64(lb, B_NY, ld64(lb, B_NY) + 1)
    return 0


@_jit
def _clause(lb, c, tup):
    """Three-valued clause at pool address `c`: -1 refuted, else open literals.

    A clause is a count, then ``2*component + wanted`` for each literal.
    """
    left = 0
    for j in range(ld64(c, 0)):
        x = ld64(c, 1 + j)
        v = ld64(tup, 1 + (x >> 1))
        if v >= 0:
            left += 1
        elif (v == ALWAYS) != (x & 1 == 1):
            return -1
    return left


@_jit
def _prod_close(lb, m):
    """Canonical state of the tuple behind the end of the int64 pool.

    The tuple is (UTF-8 progress, component values); dead components are -1.
    Where one open component decides, its own state stands for the tuple.
    """
    rec = ld64(lb, B_M) + 128 * m
    pool = ld64(lb, B_P)
    tup = pool + 8 * ld64(lb, B_NP)
    k, u = ld64(rec, M_K), ld64(tup, 0)
    json = ld64(rec, M_JSON)
    nclauses = ld64(rec, M_NCLAUSES)
    if nclauses < 0:                  # labels come from Python
        bits = 0
        decided = json == 1 and k <= 62
        for j in range(k):
            v = ld64(tup, 1 + j)
            if v >= 0:
                decided = False
            elif v == ALWAYS and k <= 62:
                bits |= 1 << j
        if decided:
            label = _asked(lb, m, bits)
            return label if label < 0 else _any(lb, u, 0, INF, label)
    else:
        open_clauses = left = 0
        only = pool
        c = pool + 8 * ld64(rec, M_CLAUSES)
        for _ in range(nclauses):
            r = _clause(lb, c, tup)
            if r == 0:
                return _any(lb, u, 0, INF, 1) if json else ld64(lb, B_RAWANY) + u
            if r > 0:
                open_clauses += 1
                only, left = c, r
            c += 8 + 8 * ld64(c, 0)
        if open_clauses == 0:
            return LX_DEAD
        if open_clauses == 1:
            for j in range(ld64(only, 0)):
                x = ld64(only, 1 + j)
                v = ld64(tup, 1 + (x >> 1))
                if left == 1 and v >= 0 and x & 1:
                    kind = ld64(pool, ld64(rec, M_COMPS) + (x >> 1))
                    if kind != C_LENGTH:
                        return v
                    if json:
                        return _any(lb, u, v >> 31, v & INF, 1)
    n = k + 1
    h = 0
    for j in range(n):
        h = _mix(h, ld64(tup, j))
    before = ld64(lb, B_NS)
    i = _intern(lb, K_PROD, m, h, ld64(lb, B_NP), n)
    if i == before:
        st64(lb, B_NP, ld64(lb, B_NP) + n)
    return LX_BASE + i


@_jit
def _prod_succ(lb, s, b):
    """Successor of a product state on decoded byte `b`; liveness not examined."""
    m = ld64(s, S_KIND) >> 8
    k = ld64(s, S_LEN) - 1
    old = ld64(s, S_DATA)
    u = ld64(ld64(lb, B_P), old)
    t = lds8(ld64(lb, B_UR), 256 * u + b)
    if t < 0:
        return LX_DEAD
    comps = ld64(ld64(lb, B_M), 16 * m + M_COMPS)
    any0 = ld64(lb, B_RAWANY)
    pool = ld64(lb, B_P)
    new = pool + 8 * ld64(lb, B_NP)
    st64(new, 0, t)
    for j in range(k):
        v = ld64(pool, old + 1 + j)
        if v >= 0:
            kind = ld64(pool, comps + j)
            if kind != C_LENGTH:
                v = _go(lb, O_DECODED, v, b, 0)
                if v <= LX_NEED:
                    return v
                if kind == C_DFA and v >= 0 and (v < LX_BASE or v >= AL_BASE or any0 <= v < any0 + 8):
                    v = ALWAYS
            elif u == 0:              # a length counts at the first byte
                if v & INF == 0:
                    v = -1
                else:
                    if v >> 31 > 0:
                        v -= 1 << 31
                    if v & INF != INF:
                        v -= 1
                    if v == INF:
                        v = ALWAYS
        st64(new, 1 + j, v)
    return _go(lb, O_PROD_CLOSE, m, 0, 0)


@_jit
def _prod_label(lb, s):
    """Label of a product state; -1 none, LX_NEED when Python has to say."""
    label = ld64(s, S_LABEL)
    if label != NO_LABEL:
        return label
    m = ld64(s, S_KIND) >> 8
    rec = ld64(lb, B_M) + 128 * m
    pool = ld64(lb, B_P)
    tup = pool + 8 * ld64(s, S_DATA)
    k = ld64(rec, M_K)
    label = -1
    if ld64(tup, 0) == 0:
        # Accepting components, as a bitset in 62-bit words behind the pool's end.
        acc = pool + 8 * ld64(lb, B_NP)
        for j in range(k // 62 + 1):
            st64(acc, j, 0)
        for j in range(k):
            v = ld64(tup, 1 + j)
            yes = v == ALWAYS
            if v >= 0:
                kind = ld64(pool, ld64(rec, M_COMPS) + j)
                if kind == C_DFA:
                    yes = ld64(ld64(lb, B_S), 8 * (v - LX_BASE) + S_LABEL) >= 0
                elif kind == C_TRIE:
                    yes = ld8(ld64(lb, B_W8), (v & (TRIE_BASE - 1))) == 0xFF
                else:
                    yes = v >> 31 == 0
            if yes:
                word = acc + 8 * (j // 62)
                st64(word, 0, ld64(word, 0) | 1 << (j % 62))
        n = ld64(rec, M_NCLAUSES)
        if n < 0 and k > 62:
            st64(lb, B_NEED, NEED_STATE_LABEL)
            st64(lb, B_ARG1, s - ld64(lb, B_S) >> 6)
            st64(lb, B_ARG2, m)
            return LX_NEED
        if n < 0:
            label = _asked(lb, m, ld64(acc, 0))
            if label == LX_NEED:
                return label
        c = pool + 8 * ld64(rec, M_CLAUSES)
        for _ in range(n):
            good = True
            for j in range(ld64(c, 0)):
                x = ld64(c, 1 + j)
                if (ld64(acc, (x >> 1) // 62) >> ((x >> 1) % 62)) & 1 != x & 1:
                    good = False
                    break
            if good:
                label = 1
                break
            c += 8 + 8 * ld64(c, 0)
    st64(s, S_LABEL, label)
    return label


@_jit
def _quick(lb, s):
    """Liveness of one DFA with one length, from distances: 1, 0, or -1 unsure."""
    m = ld64(s, S_KIND) >> 8
    rec = ld64(lb, B_M) + 128 * m
    pool = ld64(lb, B_P)
    tup = pool + 8 * ld64(s, S_DATA)
    if ld64(rec, M_NCLAUSES) != 1:
        return -1
    dfa = length = -1
    c = pool + 8 * ld64(rec, M_CLAUSES)
    for j in range(ld64(c, 0)):
        x = ld64(c, 1 + j)
        v = ld64(tup, 1 + (x >> 1))
        if v < 0:
            continue
        kind = ld64(pool, ld64(rec, M_COMPS) + (x >> 1))
        if x & 1 == 0 or kind == C_TRIE:
            return -1
        if kind == C_LENGTH:
            length = v
        elif dfa >= 0:
            return -1
        else:
            dfa = v
    if dfa < 0 or length < 0:
        return -1
    d = ld64(lb, B_S) + 64 * (dfa - LX_BASE)
    nfa = ld64(ld64(lb, B_M), 16 * (ld64(d, S_KIND) >> 8) + M_NFA)
    info = nfa + 4 * ld32(nfa, N_INFO)
    least = pump = FAR
    for j in range(ld64(d, S_LEN)):
        x = info + 16 * ld32(ld64(lb, B_L), ld64(d, S_DATA) + j)
        least, pump = min(least, ld32(x, 2)), min(pump, ld32(x, 3))
    lo, hi = length >> 31, length & INF
    if least > hi:
        return 0
    if least >= lo or (pump < FAR and pump <= hi):
        return 1
    return -1


@_jit
def _missing(lb, s):
    """Characters a product state still needs by its lengths."""
    pool = ld64(lb, B_P)
    comps = ld64(ld64(lb, B_M), 16 * (ld64(s, S_KIND) >> 8) + M_COMPS)
    most = 0
    for j in range(ld64(s, S_LEN) - 1):
        if ld64(pool, comps + j) == C_LENGTH:
            most = max(most, ld64(pool, ld64(s, S_DATA) + 1 + j) >> 31)
    return most


@_jit
def _alive(lb, q):
    """Can product state `q` accept?  1, 0, LX_NEED, LX_FUEL.

    Breadth first, except that a successor needing fewer characters comes next:
    long least lengths are walked through, not flooded.
    """
    queue = ld64(lb, B_Q)
    st64(queue, 0, q - LX_BASE)
    st64(queue, 1, -1)
    head, tail = 0, 1
    out = 0
    s0 = ld64(lb, B_S)
    s = s0 + 64 * (q - LX_BASE)
    flag = ld64(s, S_HASH) & 3
    if flag == V_LIVE or flag == V_DEAD:
        return 1 if flag == V_LIVE else 0
    st64(s, S_HASH, ld64(s, S_HASH) | V_SEEN)
    while head < tail and out == 0:
        s = s0 + 64 * ld64(queue, 2 * head)
        rec = ld64(lb, B_M) + 128 * (ld64(s, S_KIND) >> 8)
        out = _go(lb, O_PROD_LABEL, s, 0, 0)
        if out <= LX_NEED:
            break
        sure = 1 if out >= 0 else _go(lb, O_QUICK, s, 0, 0)
        out = 0
        if sure >= 0:
            out = sure
            if sure == 1:
                break
            head += 1                 # dead for certain: nothing below it matters
            continue
        need = _missing(lb, s)
        reps = ld64(rec, M_REPS)
        for col in range(ld64(rec, M_COLS)):
            out = _room(lb)
            if out < 0:
                break
            fuel = ld64(lb, B_FUEL) - 1
            if fuel < 0:
                st64(lb, B_NEED, NEED_FUEL_STEPS)
                st64(lb, B_ARG1, ld64(s, S_KIND) >> 8)
                out = LX_FUEL
                break
            st64(lb, B_FUEL, fuel)
            at = ld64(lb, B_T) + 4 * (_row(lb, s) + col)
            t = ld32(at, 0)
            out = 0
            if t == UNKNOWN:
                t = _go(lb, O_PROD_SUCC, s, ld16(ld64(lb, B_C), reps + col), 0)
                if t == LX_NEED or t == LX_FUEL:
                    out = t
                    break
                if t >= LX_BASE and t < AL_BASE \
                        and ld64(s0, 8 * (t - LX_BASE) + S_KIND) & 0xFF == K_PROD:
                    t = -10 - t
                st32(at, 0, t)
            if t >= 0:
                out = 1
                break
            if t == LX_DEAD:
                continue
            r = s0 + 64 * (-10 - t - LX_BASE)
            flag = ld64(r, S_HASH) & 3
            if flag == V_LIVE:
                out = 1
                break
            if flag == V_NEW:
                if tail >= ld64(lb, B_CQ):
                    st64(lb, B_NEED, NEED_ROOM)
                    out = LX_NEED
                    break
                st64(r, S_HASH, ld64(r, S_HASH) | V_SEEN)
                st64(queue, 2 * tail, r - s0 >> 6)
                st64(queue, 2 * tail + 1, head)
                tail += 1
                if need > 0:
                    mine = _missing(lb, r)
                    if mine < need and tail > head + 2 \
                            and mine < _missing(lb, s0 + 64 * ld64(queue, 2 * head + 2)):
                        st64(queue, 2 * tail - 2, ld64(queue, 2 * head + 2))
                        st64(queue, 2 * tail - 1, ld64(queue, 2 * head + 3))
                        st64(queue, 2 * head + 2, r - s0 >> 6)
                        st64(queue, 2 * head + 3, head)
        if out == 0:
            head += 1
    if out == 0:                      # exhausted: everything seen is dead
        for j in range(tail):
            r = s0 + 64 * ld64(queue, 2 * j) + 8 * S_HASH
            st64(r, 0, ld64(r, 0) >> 2 << 2 | V_DEAD)
        return 0
    for j in range(tail):
        r = s0 + 64 * ld64(queue, 2 * j) + 8 * S_HASH
        st64(r, 0, ld64(r, 0) >> 2 << 2)
    if out > 0:                       # the path found is live
        while head >= 0:
            r = s0 + 64 * ld64(queue, 2 * head) + 8 * S_HASH
            st64(r, 0, ld64(r, 0) >> 2 << 2 | V_LIVE)
            head = ld64(queue, 2 * head + 1)
        return 1
    return out


@_jit
def _checked(lb, t):
    """`t` itself if it can accept, LX_DEAD if not; only products need a look."""
    if t < LX_BASE or t >= AL_BASE:
        return t
    s = ld64(lb, B_S) + 64 * (t - LX_BASE)
    if ld64(s, S_HASH) & 3 == V_LIVE:
        return t
    r = _go(lb, O_ALIVE, t, 0, 0)
    return t if r == 1 else LX_DEAD if r == 0 else r


@_jit
def _start_product(lb, m):
    room = _room(lb)
    if room < 0:
        return room
    rec = ld64(lb, B_M) + 128 * m
    pool, k = ld64(lb, B_P), ld64(rec, M_K)
    tup = pool + 8 * ld64(lb, B_NP)
    st64(tup, 0, 0)
    for j in range(k):
        st64(tup, 1 + j, ld64(pool, ld64(rec, M_COMPS) + k + j))
    return _checked(lb, _go(lb, O_PROD_CLOSE, m, 0, 0))


@_jit
def _decoded(lb, q, b):
    """Step of any base state on a decoded byte; alive, LX_DEAD, LX_NEED, LX_FUEL."""
    if q >= TRIE_BASE:
        t = _trie(lb, q & (TRIE_BASE - 1), b)
        return t if t < 0 else t | q & ~(TRIE_BASE - 1)
    if q < LX_BASE or q >= AL_BASE:
        return _any_decoded(lb, q, b)
    s = ld64(lb, B_S) + 64 * (q - LX_BASE)
    col = ld16(ld64(lb, B_C), ld64(s, S_RMAP) + b)
    t = ld32(ld64(lb, B_T), ld64(s, S_ROW) + col)
    if t >= LX_DEAD:
        return t
    r = _room(lb)
    if r < 0:
        return r
    col += _row(lb, s)                # before anything below uses up the room
    if t == UNKNOWN:
        if ld64(s, S_KIND) & 0xFF == K_DFA:
            t = _go(lb, O_DFA_SUCC, s, b, 0)
        else:
            t = _go(lb, O_PROD_SUCC, s, b, 0)
    else:
        t = -10 - t
    t = _checked(lb, t)
    if t >= LX_DEAD:
        st32(ld64(lb, B_T), col, t)
    return t
