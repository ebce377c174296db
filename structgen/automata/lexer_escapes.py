"""JSON escapes over any base state.

A state inside an escape is the base state and the escape's progress.  Each
step checks that a code point still possible may follow the base, so a state
inside an escape is alive too; the UTF-8 of the code point is then fed to the
base in one go.
"""

from __future__ import annotations

from .lexer_kernels import (
    B_MINIMAL, K_ESC, LX_BASE, LX_DEAD, LX_NEED, O_DECODED, O_HEX_ALIVE, O_POINT, O_SOME, S_DATA, S_LEN, TRIE_BASE,
    ld64, _go, _jit, _labels)
from .lexer_states import _intern, _mix, _room, _trie_bound, _utf8, _utf8_len


@_jit
def _point(lb, q, cp):
    """Decoded step over a whole code point."""
    n = _utf8_len(cp)
    for d in range(n):
        q = _go(lb, O_DECODED, q, _utf8(cp, n, d), 0)
        if q < 0:
            break
    return q


@_jit
def _some(lb, q, lo, hi):
    """May a code point in lo..hi follow `q`?  1, 0, LX_NEED, LX_FUEL."""
    x = lo
    while x <= hi:
        n = _utf8_len(x)
        s = q
        for d in range(n):
            s = _go(lb, O_DECODED, s, _utf8(x, n, d), 0)
            shift = 6 * (n - 1 - d)
            last = x | (1 << shift) - 1
            if s <= LX_NEED:
                return s
            if s < 0:                 # nothing under this prefix
                x = last + 1
                break
            if last <= hi and x == last >> shift << shift:
                return 1              # all of the prefix is in range, and it lives
    return 0


@_jit
def _short(b, minimal):
    """Code point of the escape backslash `b`, or -1."""
    if b == 0x22 or b == 0x5C or (b == 0x2F and minimal == 0):
        return b
    if b == 0x62:
        return 8
    if b == 0x66:
        return 12
    if b == 0x6E:
        return 10
    if b == 0x72:
        return 13
    return 9 if b == 0x74 else -1


@_jit
def _lone(cp):
    """Is `cp` a control without a short escape (what minimal spells in hex)?"""
    return cp < 32 and not (8 <= cp <= 13 and cp != 11)


@_jit
def _esc_state(lb, base, e):
    room = _room(lb)
    if room < 0:
        return room
    return LX_BASE + _intern(lb, K_ESC, 0, _mix(base, e), base, e)


@_jit
def _hex_alive(lb, base, v, k):
    """May a code point spelled backslash u, `k` digits `v`, ... follow?"""
    a = v << 4 * (4 - k)
    c = a + (1 << 4 * (4 - k)) - 1
    if ld64(lb, B_MINIMAL):
        for cp in range(a, min(c, 31) + 1):
            if _lone(cp):
                r = _go(lb, O_DECODED, base, cp, 0)
                if r != LX_DEAD:
                    return 1 if r >= 0 else r
        return 0
    r = _go(lb, O_SOME, base, a, min(c, 0xD7FF))
    if r == 0:
        r = _go(lb, O_SOME, base, max(a, 0xE000), c)
    if r == 0 and c >= 0xD800 and a <= 0xDBFF:
        r = _go(lb, O_SOME, base, 0x10000 + (max(a, 0xD800) - 0xD800 << 10),
                  0x103FF + (min(c, 0xDBFF) - 0xD800 << 10))
    return r


@_jit
def _esc_open(lb, base):
    """From `base` over a backslash."""
    r = 0
    if ld64(lb, B_MINIMAL):
        for j in range(34):
            r = _go(lb, O_DECODED, base, j if j < 32 else 0x22 if j == 32 else 0x5C, 0)
            if r != LX_DEAD:
                break
        r = 1 if r >= 0 else 0 if r == LX_DEAD else r
    else:
        r = _go(lb, O_SOME, base, 0, 0x10FFFF)
    if r <= 0:
        return LX_DEAD if r == 0 else r
    return _esc_state(lb, base, 0)


@_jit
def _esc_step(lb, s, b):
    """Step inside an escape.

    Progress is ``phase | digits << 3 | value << 5 | high << 24``; phases: 0
    after the backslash, 1 after u, 2 after a high surrogate, 3 after its
    second backslash, 4 after the second u.
    """
    base, e = ld64(s, S_DATA), ld64(s, S_LEN)
    minimal = ld64(lb, B_MINIMAL)
    phase, k, v, high = e & 7, e >> 3 & 3, e >> 5 & 0xFFFF, e >> 24
    if phase == 0:
        if b == 0x75:
            r = _go(lb, O_HEX_ALIVE, base, 0, 0)
            return _esc_state(lb, base, 1) if r == 1 else LX_DEAD if r == 0 else r
        cp = _short(b, minimal)
        return LX_DEAD if cp < 0 else _go(lb, O_POINT, base, cp, 0)
    if phase == 2:
        return _esc_state(lb, base, 3 | high << 24) if b == 0x5C else LX_DEAD
    if phase == 3:
        return _esc_state(lb, base, 4 | high << 24) if b == 0x75 else LX_DEAD
    if 0x30 <= b <= 0x39:
        d = b - 0x30
    elif 0x61 <= b <= 0x66:
        d = b - 0x57
    elif 0x41 <= b <= 0x46 and minimal == 0:
        d = b - 0x37
    else:
        return LX_DEAD
    v = v << 4 | d
    k += 1
    if phase == 1:
        if k < 4:
            r = _go(lb, O_HEX_ALIVE, base, v, k)
            return _esc_state(lb, base, 1 | k << 3 | v << 5) if r == 1 else LX_DEAD if r == 0 else r
        if minimal:
            return _go(lb, O_DECODED, base, v, 0) if _lone(v) else LX_DEAD
        if v < 0xD800 or v > 0xDFFF:
            return _go(lb, O_POINT, base, v, 0)
        if v > 0xDBFF:
            return LX_DEAD
        high = v - 0xD800
        r = _go(lb, O_SOME, base, 0x10000 + (high << 10), 0x103FF + (high << 10))
        return _esc_state(lb, base, 2 | high << 24) if r == 1 else LX_DEAD if r == 0 else r
    a = max(v << 4 * (4 - k), 0xDC00)
    c = min((v + 1 << 4 * (4 - k)) - 1, 0xDFFF)
    if a > c:
        return LX_DEAD
    start = 0x10000 + (high << 10) - 0xDC00
    if k == 4:
        return _go(lb, O_POINT, base, start + v, 0)
    r = _go(lb, O_SOME, base, start + a, start + c)
    return _esc_state(lb, base, 4 | k << 3 | v << 5 | high << 24) if r == 1 else LX_DEAD if r == 0 else r


@_jit
def _escape_range(lb, s, second, end):
    """First label (with `end`: the one after the last) reachable from inside an escape of a trie.

    `second` asks for the other range, see ``lx_range2``.
    """
    p, e = ld64(s, S_DATA) & (TRIE_BASE - 1), ld64(s, S_LEN)
    phase, k, v, high = e & 7, e >> 3 & 3, e >> 5 & 0xFFFF, e >> 24
    if phase >= 2:
        a = max(v << 4 * (4 - k), 0xDC00) if phase == 4 else 0xDC00
        c = min((v + 1 << 4 * (4 - k)) - 1, 0xDFFF) if phase == 4 else 0xDFFF
        start = 0x10000 + (high << 10) - 0xDC00
        a, c = start + a, start + c
    elif phase == 0 or k == 0:
        a, c = 0, 0x10FFFF
        if ld64(lb, B_MINIMAL):
            c = 0x5C if phase == 0 else 0x1F
    else:
        a = v << 4 * (4 - k)
        c = a + (1 << 4 * (4 - k)) - 1
        if a <= 0xDBFF and c >= 0xD800:
            # A high surrogate is possible: code points beyond the BMP, and, after
            # the single digit D, U+D000..D7FF as well.
            if a < 0xD800 and second == 0:
                c = 0xD7FF
            else:
                if a >= 0xD800 and second == 1:
                    return 0
                a, c = 0x10000 + (max(a, 0xD800) - 0xD800 << 10), 0x103FF + (min(c, 0xDBFF) - 0xD800 << 10)
                second = 0
        if ld64(lb, B_MINIMAL):
            c = min(c, 0x1F)
    if second == 1:
        return 0
    lo, hi = _labels(lb, _trie_bound(lb, p, a), _trie_bound(lb, p, c + 1))
    return hi if end else lo
