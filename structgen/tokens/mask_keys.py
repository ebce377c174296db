"""The masks of key positions.

See :mod:`.mask_kernels`.
"""

from __future__ import annotations

from ..automata.jit import njit
from ..automata.stack_contexts import gap
from ..automata.stack_layout import (
    BITS, CTX, CTX_W, C_A, DEAD, F_CLOSE, F_STEP, KEYS, KEY_BASE, KEY_W, K_EXTRA, K_NAMES, K_SEEN, LEFT_NONE, LEXER,
    LX_BASE, MULTI, OPS, OP_W, P_EXT, QUOTE, SHIFT, call2, call4, call5, call7, ld32, ld64, ld8, np_empty)
from ..automata.stack_lexemes import (
    ASK_RANGE, ASK_RANGE2, ASK_REP, ask_lexer, keys_left, next_bytes, piece_label, piece_step)
from ..automata.stack_objects import any_allowed
from .mask_layout import (
    CHILDREN, CHILD_BYTE, CHILD_NODE, F_AFTER, F_FIX, F_LEXEME_ROW, F_REGION_OF, F_WALK, PAIRS, PAIR_LABELS,
    R_NPAIRS, R_PAIRS, R_ROW, TRIE, TRIE_FIRST, TRIE_TOKEN, TRIE_TOKENS, WORDS, _OPT, clear_bit, or_row, set_bit,
    set_tokens)

#: sha256 of the kernel files compiled into this one; numba's on-disk cache sees only this
#: file, so it must change when one of those does (bench/stamp_kernels.py; a test checks).
DEPENDS_ON = "037ddc76607a51114f09af9e69d59304519ef1cb09a9f1c294e12260cbf1f306"


@njit(**_OPT)
def key_row(e, q, c, dst):
    """OR into `dst` the mask of key record q in context c (not a set)."""
    k = ld64(e, KEYS) + (q - KEY_BASE) * (KEY_W * 4)
    names, extra, seen = ld32(k, K_NAMES), ld32(k, K_EXTRA), ld32(k, K_SEEN)
    op = ld32(ld64(e, CTX) + c * (CTX_W * 4), C_A)
    nodes = ld64(e, TRIE)
    if extra < 0 or ld32(ld64(e, OPS) + op * (OP_W * 4), P_EXT) == 0:
        return closed_key_row(e, names, q, c, dst)
    rep = extra
    if extra >= LX_BASE:
        rep = ask_lexer(e, ASK_REP, extra)
        if rep >= LX_BASE:
            return pattern_key_row(e, q, extra, names, seen, c, dst)
    # an undeclared key may be anything from here on: the row of any string ...
    label = 1
    if extra >= LX_BASE:
        label = piece_label(e, extra)
        if label < DEAD:
            return label
        if label < 0:       # in the middle of a character: its label is not known yet
            return call7(ld64(e, F_WALK), e, nodes, ld64(e, TRIE_TOKEN), 0, (q << SHIFT) | c, dst, 0)
    d = call7(ld64(e, F_CLOSE), e, -1, extra, -1, -1, label, c)
    if d < DEAD:
        return d
    if d < 0:
        return call7(ld64(e, F_WALK), e, nodes, ld64(e, TRIE_TOKEN), 0, (q << SHIFT) | c, dst, 0)
    r = call4(ld64(e, F_LEXEME_ROW), e, rep, d, dst)
    if r < 0:
        return r
    if names < 0 and seen < 0:
        return 0
    # ... except where it is a declared key, or one that was there before
    return key_fix(e, names, seen, extra, c, dst)


@njit(**_OPT)
def pattern_key_row(e, q, extra, names, seen, c, dst):
    """The mask of a key that may match patterns."""
    r = call2(ld64(e, F_REGION_OF), e, extra)
    if r < 0:
        return r
    or_row(dst, ld64(r, R_ROW), ld64(e, WORDS))
    n, first = ld64(r, R_NPAIRS), ld64(r, R_PAIRS)
    pairs, labels = ld64(e, PAIRS) + first * 8, ld64(e, PAIR_LABELS) + first * 4
    # the classes of keys that may end here, and what may follow each
    known, bits = np_empty(8), np_empty(8)
    m = 0
    for i in range(n):
        label = ld32(labels, i)
        k = 0
        while k < m and known[k] != label:
            k += 1
        if k == m:
            if m == 8:
                k, m = 0, 0
            d = call7(ld64(e, F_CLOSE), e, -1, extra, -1, -1, label, c)
            if d < DEAD:
                return d
            known[k], bits[k] = label, -1
            if d >= 0:
                off = call2(ld64(e, F_AFTER), e, d)
                if off < 0:
                    return off
                bits[k] = off
            m += 1
        if bits[k] >= 0:
            s = ld32(pairs, 2 * i + 1)
            if (ld64(ld64(e, BITS) + bits[k] * 8, s >> 6) >> (s & 63)) & 1:
                set_bit(dst, ld32(pairs, 2 * i))
    if names < 0 and seen < 0:
        return 0
    return key_fix(e, names, seen, extra, c, dst)


@njit(**_OPT)
def closed_key_row(e, names, q, c, dst):
    """The mask of a key that must be a declared one: only what goes on in the trie of names."""
    if names < 0:
        return call7(ld64(e, F_WALK), e, ld64(e, TRIE), ld64(e, TRIE_TOKEN), 0, (q << SHIFT) | c, dst, 0)
    return call7(ld64(e, F_FIX), e, 0, names, -1, -1, c, dst)


@njit(**_OPT)
def key_fix(e, names, seen, extra, c, dst):
    """Correct `dst` along the trie paths that spell a declared or an already seen key."""
    return call7(ld64(e, F_FIX), e, 0, names, seen, extra, c, dst)


@njit(**_OPT)
def child_of(e, i, b):
    """The child of trie node `i` over byte `b`, or -1."""
    off, found = ld64(e, CHILDREN), ld64(e, CHILD_BYTE)
    lo, hi = ld32(off, i), ld32(off, i + 1)
    while lo < hi:
        mid = (lo + hi) >> 1
        x = ld8(found, mid)
        if x == b:
            return ld32(ld64(e, CHILD_NODE), mid)
        if x < b:
            lo = mid + 1
        else:
            hi = mid
    return -1


@njit(**_OPT)
def in_escape(b):
    """May `b` stand in an escape, behind its backslash?"""
    return (48 <= b <= 57 or 65 <= b <= 70 or 97 <= b <= 102 or b == 110 or b == 114 or b == 116 or b == 117
            or b == QUOTE or b == 92 or b == 47)


@njit(**_OPT)
def push_key_paths(e, i, names, seen, extra, todo, top, some):
    """Queue the children of trie node `i` over which a declared or seen key may go on; new length of `todo`."""
    lexer = ld64(e, LEXER)
    m = 0
    if names >= 0:
        m = next_bytes(lexer, names, some, 0)
    if seen >= 0 and m >= 0:
        k = m
        m = next_bytes(lexer, seen, some, m)
        n = k               # the bytes of both, each once
        for j in range(k, m):
            new = True
            for x in range(k):
                if some[x] == some[j]:
                    new = False
                    break
            if new:
                some[n] = some[j]
                n += 1
        m = n if m >= 0 else m
    if m >= 0:
        some[m], some[m + 1] = QUOTE, 92
        for k in range(m + 2):
            j = child_of(e, i, some[k])
            if j >= 0:
                todo[top], todo[top + 1], todo[top + 2], todo[top + 3] = j, names, seen, extra
                top += 4
        return top
    off = ld64(e, CHILDREN)
    for k in range(ld32(off, i), ld32(off, i + 1)):
        if in_escape(ld8(ld64(e, CHILD_BYTE), k)):
            j = ld32(ld64(e, CHILD_NODE), k)
            todo[top], todo[top + 1], todo[top + 2], todo[top + 3] = j, names, seen, extra
            top += 4
    return top


@njit(**_OPT)
def after_key(e, i, d, dst):
    """Set the tokens at and below trie node `i` (the quote that ends a key) that context-or-set `d` admits."""
    nodes, token_of = ld64(e, TRIE), ld64(e, TRIE_TOKEN)
    set_tokens(dst, ld64(e, TRIE_FIRST), ld64(e, TRIE_TOKENS), i, i + 1)
    q = gap(e, d)
    for k in range(5):
        b = 58 if k == 0 else 32 if k == 1 else 10 if k == 2 else 13 if k == 3 else 9
        j = child_of(e, i, b)
        if j < 0:
            continue
        r = call5(ld64(e, F_STEP), e, q, d, b, -1)
        if r == DEAD:
            continue
        if r == MULTI:
            return call7(ld64(e, F_WALK), e, nodes, token_of, i, (q << SHIFT) | d, dst, 0)
        if r < 0:
            return r
        if ld32(token_of, j) >= 0:
            set_bit(dst, ld32(token_of, j))
        r = call7(ld64(e, F_WALK), e, nodes, token_of, j, r, dst, 0)
        if r < 0:
            return r
    return 0


@njit(**_OPT)
def fix_below(e, i, names, seen, extra, c, dst):
    """`key_fix` strictly below trie node `i`; with `extra` < 0, set what goes on as a declared key.

    Looks only at nodes that spell the beginning of such a key, which are few:
    children are found by their byte.
    """
    nodes, first, tokens = ld64(e, TRIE), ld64(e, TRIE_FIRST), ld64(e, TRIE_TOKENS)
    op = ld32(ld64(e, CTX) + c * (CTX_W * 4), C_A)
    x = -1
    if seen >= 0 and extra >= LX_BASE and ask_lexer(e, ASK_REP, extra) >= LX_BASE:
        x = extra               # behind some prefixes no key may be left
    some = np_empty(600)
    todo = np_empty(4096)
    top = push_key_paths(e, i, names, seen, x, todo, 0, some)
    while top > 0:
        top -= 4
        i, n, s, x = todo[top], todo[top + 1], todo[top + 2], todo[top + 3]
        v = ld64(nodes, i)
        b, size = v & 255, v >> 24
        if b == QUOTE:
            name_label, dup = -1, -1
            if n >= 0:
                name_label = piece_label(e, n)
                if name_label < DEAD:
                    return name_label
            if s >= 0:
                dup = piece_label(e, s)
                if dup < DEAD:
                    return dup
            if name_label >= 0 or dup >= 0:
                if extra >= 0:
                    for k in range(ld32(first, i), ld32(first, i + size)):
                        clear_bit(dst, ld32(tokens, k))
                if name_label >= 0:
                    d = call7(ld64(e, F_CLOSE), e, n, -1, -1, name_label, -1, c)
                    if d >= 0:
                        d = after_key(e, i, d, dst)
                    if d < DEAD:
                        return d
                continue
        if n >= 0:
            n = piece_step(e, n, b)
            if n < DEAD:
                return n
        if s >= 0:
            s = piece_step(e, s, b)
            if s < DEAD:
                return s
        spent = False
        if s >= 0 and x >= 0:
            x = piece_step(e, x, b)
            if x < DEAD:
                return x
            if x >= 0:
                left = keys_left(e, x, s)
                if left < 0:
                    return left
                spent = left == LEFT_NONE
        else:
            x = -1
        if spent:
            for k in range(ld32(first, i), ld32(first, i + size)):
                clear_bit(dst, ld32(tokens, k))
        if n < 0 and (s < 0 or spent):
            continue
        if n >= 0 and (extra < 0 or extra >= LX_BASE):      # may go on as a declared key where no other may
            if any_allowed(e, op, ask_lexer(e, ASK_RANGE, n), ask_lexer(e, ASK_RANGE + 1, n)) or any_allowed(
                    e, op, ask_lexer(e, ASK_RANGE2, n), ask_lexer(e, ASK_RANGE2 + 1, n)):
                set_tokens(dst, first, tokens, i, i + 1)
            elif extra < 0:
                continue
        if spent:
            s = -1
        if top + 4 * 600 > todo.shape[0]:
            more = np_empty(2 * todo.shape[0])
            for k in range(top):
                more[k] = todo[k]
            todo = more
        top = push_key_paths(e, i, n, s, x, todo, top, some)
    return 0
