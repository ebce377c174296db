"""Compiled loops that read every token through a lexer: which terminals it begins, and where it stops.

Lexeme states q and shadow states are those of :mod:`structgen.automata.cfg_program`.
Up to three shadows run along at once, packed into one int64 (21 bits each,
ascending).  A *place* is an interned pair (q, shadows), where a token can stop; a
*word* is a sequence of symbols, interned as (word before, last symbol), word 0
being empty; an *arc* is an interned pair (place << 32 | word, place after).
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["walk", "residuals", "FULL", "TOO_MANY_SHADOWS", "TOO_MANY_THREADS"]

_OPT = dict(nogil=True, cache=True)
FULL, TOO_MANY_SHADOWS, TOO_MANY_THREADS = -1, -2, -3


@njit(**_OPT)
def intern(table, keys, count, a, b):
    """Index of the pair (a, b) in `keys`, added if new; `count` is the used length, in a cell."""
    mask = table.shape[0] - 1
    h = a * 0x9E3779B97F4A7C1 ^ b * 0x2545F4914F6CDD1D
    h = (h ^ (h >> 29)) & mask
    while table[h] >= 0:
        at = table[h]
        if keys[at, 0] == a and keys[at, 1] == b:
            return at
        h = (h + 1) & mask
    at = count[0]
    if at == keys.shape[0]:
        return FULL
    keys[at, 0], keys[at, 1] = a, b
    table[h] = at
    count[0] = at + 1
    return at


@njit(**_OPT)
def advance(shadows, extra, k, dtrans):
    """Packed shadows over a byte class, and one more that has read it; -1: one accepts, -2: too many."""
    a, b, c, n = 0, 0, 0, 0
    while shadows or extra:
        if shadows:
            d = np.int64(dtrans[shadows & 0x1FFFFF, k])
            shadows >>= 21
        else:
            d, extra = extra, 0
        if d < 0:
            return -1
        if d == 0 or d == a or d == b or d == c:
            continue
        if n == 3:
            return -2
        n += 1
        c = d
        if c < b or b == 0:
            b, c = c, b
        if b < a or a == 0:
            a, b = b, a
    # a, b, c hold the states in ascending order, zeros last
    return a | b << 21 | c << 42


@njit(**_OPT)
def walk(place, q0, d0, data, offsets, shared, chosen, classes, trans, end, cut, dtrans, first_at, first_symbol,
         first_state, follows, words, word_table, places, place_table, arcs, arc_table, counts, sums, threads, levels,
         out):
    """Read every token from one place.

    Tokens are sorted by bytes; ``shared[k]`` is the length of the prefix that token
    k has in common with the one before.  ``chosen[k]`` says whether token k counts.
    For each way to read one the arc is interned.  Where `sums` (tokens, 2) has rows
    the arc's hash is added there, else pairs (token, arc) are appended to `out`.
    `counts` holds the numbers of words, places, arcs and pairs.
    """
    count = offsets.shape[0] - 1
    levels[0], levels[1] = 0, 1
    threads[0, 0], threads[0, 1], threads[0, 2] = 0, q0, d0
    depth = 0                                 # bytes of the current token read alive
    room = threads.shape[0]
    k = 0
    while k < count:
        if k and shared[k] < depth:
            depth = shared[k]
        length = offsets[k + 1] - offsets[k]
        while depth < length:
            b = classes[data[offsets[k] + depth]]
            at = levels[depth + 1]
            top = at
            for i in range(levels[depth], at):
                w, q, d = threads[i, 0], threads[i, 1], threads[i, 2]
                after = advance(d, 0, b, dtrans)
                if after == -1:
                    continue
                if after == -2:
                    return TOO_MANY_SHADOWS
                if q and trans[q, b] >= 0:
                    known = False
                    for j in range(at, top):
                        if threads[j, 0] == w and threads[j, 1] == trans[q, b] and threads[j, 2] == after:
                            known = True
                            break
                    if not known:
                        if top == room:
                            return TOO_MANY_THREADS
                        threads[top, 0], threads[top, 1], threads[top, 2] = w, trans[q, b], after
                        top += 1
                if q and end[q] != 1:
                    continue
                if q:
                    left = np.int64(cut[q, b])
                    if left < 0:
                        continue
                    if left:
                        after = advance(d, left, b, dtrans)
                        if after == -2:
                            return TOO_MANY_SHADOWS
                for f in range(first_at[b], first_at[b + 1]):
                    v = w
                    if first_symbol[f] >= 0:
                        if not follows[words[w, 1] + 1, first_symbol[f]]:
                            continue
                        v = intern(word_table, words, counts[0:1], w, np.int64(first_symbol[f]))
                        if v < 0:
                            return FULL
                    known = False
                    for j in range(at, top):
                        if threads[j, 0] == v and threads[j, 1] == first_state[f] and threads[j, 2] == after:
                            known = True
                            break
                    if not known:
                        if top == room:
                            return TOO_MANY_THREADS
                        threads[top, 0], threads[top, 1], threads[top, 2] = v, first_state[f], after
                        top += 1
            if top == at:
                break
            depth += 1
            levels[depth + 1] = top
        if depth < length:
            k += 1
            while k < count and shared[k] > depth:
                k += 1
            continue
        if chosen[k]:
            for i in range(levels[depth], levels[depth + 1]):
                p = intern(place_table, places, counts[1:2], threads[i, 1], threads[i, 2])
                if p < 0:
                    return FULL
                a = intern(arc_table, arcs, counts[2:3], np.int64(place) << 32 | threads[i, 0], p)
                if a < 0:
                    return FULL
                if sums.shape[0]:
                    h = (np.uint64(a) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
                    h ^= h >> np.uint64(29)
                    sums[k, 0] += h * np.uint64(0xC2B2AE3D27D4EB4F)
                    h ^= h >> np.uint64(32)
                    sums[k, 1] += h * np.uint64(0x165667B19E3779F9)
                else:
                    if counts[3] == out.shape[0]:
                        return FULL
                    out[counts[3], 0], out[counts[3], 1] = k, a
                    counts[3] += 1
        k += 1
    return 0


@njit(**_OPT)
def _mix(a, b):
    h = (np.uint64(a) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(b)
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0xC2B2AE3D27D4EB4F)
    return h ^ (h >> np.uint64(32))


@njit(**_OPT)
def residuals(first, last, arc_word, arc_place, arc_label, ends, words, hashes, stamp, order, made, made_table,
              child_at, child_symbol, child_node, leaf_at, leaf_place, leaf_label, counts):
    """The words of one place as nodes of a shared automaton; the root's number, or FULL.

    The arcs of the place are ``first:last``; a node is known by what may follow:
    children (symbol, node) and leaves (place, label).  Equal ones, by a 128-bit hash,
    are one node.  `hashes` (words, 4) and `stamp` (words,) are scratch; `counts` holds
    the numbers of nodes, children and leaves.
    """
    n = 0
    stamp[0] = first + 1
    order[0] = 0
    n = 1
    hashes[0, 0] = np.uint64(ends)
    hashes[0, 1] = np.uint64(ends)
    for a in range(first, last):
        w = arc_word[a]
        while stamp[w] != first + 1:
            stamp[w] = first + 1
            hashes[w, 0] = np.uint64(0)
            hashes[w, 1] = np.uint64(0)
            order[n] = w
            n += 1
            w = words[w, 0]
        w = arc_word[a]
        h = _mix(arc_place[a] + 7, arc_label[a])
        hashes[w, 0] += h
        hashes[w, 1] += _mix(h, 12345)
    order[:n].sort()
    # a word's number exceeds that of the word before, so children come first from behind
    for i in range(n - 1, 0, -1):
        w = order[i]
        h = _mix(hashes[w, 0] ^ (hashes[w, 1] << np.uint64(1)), words[w, 1] + 1)
        g = _mix(hashes[w, 1], words[w, 1] + 99)
        hashes[words[w, 0], 0] += h
        hashes[words[w, 0], 1] += g
    mask = made_table.shape[0] - 1
    fresh = 0
    for i in range(n):
        w = order[i]
        at = np.int64(hashes[w, 0] >> np.uint64(3)) & mask
        node = -1
        while made_table[at] >= 0:
            node = made_table[at]
            if made[node, 0] == hashes[w, 0] and made[node, 1] == hashes[w, 1]:
                break
            node = -1
            at = (at + 1) & mask
        if node < 0:
            if counts[0] == made.shape[0]:
                return FULL
            node = counts[0]
            counts[0] += 1
            made[node, 0], made[node, 1] = hashes[w, 0], hashes[w, 1]
            made_table[at] = node
            child_at[node, 0], child_at[node, 1] = 0, 0
            leaf_at[node, 0], leaf_at[node, 1] = 0, 0
            fresh += 1
            hashes[w, 3] = np.uint64(1)
        else:
            hashes[w, 3] = np.uint64(0)
        hashes[w, 2] = np.uint64(node)
    root = np.int64(hashes[0, 2])
    if fresh == 0:
        return root
    # lists of the new nodes; where two words share a new node the first of them fills it
    for i in range(1, n):
        w, before = order[i], words[order[i], 0]
        if hashes[before, 3] == np.uint64(1):
            child_at[np.int64(hashes[before, 2]), 1] += 1
    for a in range(first, last):
        w = arc_word[a]
        if hashes[w, 3] == np.uint64(1):
            leaf_at[np.int64(hashes[w, 2]), 1] += 1
    for i in range(n):
        w = order[i]
        if hashes[w, 3] == np.uint64(1):
            node = np.int64(hashes[w, 2])
            child_at[node, 0] = counts[1]
            counts[1] += child_at[node, 1]
            leaf_at[node, 0] = counts[2]
            counts[2] += leaf_at[node, 1]
            child_at[node, 1], leaf_at[node, 1] = 0, 0
            if counts[1] > child_symbol.shape[0] or counts[2] > leaf_place.shape[0]:
                return FULL
    for i in range(1, n):
        w, before = order[i], words[order[i], 0]
        if hashes[before, 3] == np.uint64(1):
            node = np.int64(hashes[before, 2])
            at = child_at[node, 0] + child_at[node, 1]
            child_at[node, 1] += 1
            child_symbol[at] = words[w, 1]
            child_node[at] = np.int64(hashes[w, 2])
    for a in range(first, last):
        w = arc_word[a]
        if hashes[w, 3] == np.uint64(1):
            node = np.int64(hashes[w, 2])
            at = leaf_at[node, 0] + leaf_at[node, 1]
            leaf_at[node, 1] += 1
            leaf_place[at] = arc_place[a]
            leaf_label[at] = arc_label[a]
    return root
