"""Kernels on the small automata of :mod:`structgen.automata.numbers`.

Automata are pairs of ``trans`` int32 (n, 16), -1 for dead, and ``accept`` bool
(n,); state 0 is the start and the first 14 columns are used.  The kernels get
all their memory from the wrappers: creating arrays inside is what makes such
kernels slow to compile.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from .jit import njit

__all__ = ["trie", "product", "minimal", "N_CLASSES"]

#: Columns of a transition table: digits, ``-``, ``+``, ``.``, ``e``; the last ones are unused.
N_CLASSES = 16

Table = tuple[np.ndarray, np.ndarray]


def _hash_table(n: int) -> np.ndarray:
    return np.full(1 << max(4, (2 * n).bit_length()), -1, np.int64)


def trie(text: np.ndarray, ends: np.ndarray, kinds: np.ndarray) -> Table:
    """The minimal DFA of sorted words.

    Parameters
    ----------
    text : ndarray, uint8
        The words one after another, as classes.
    ends : ndarray, int64
        Where each word ends in `text`.
    kinds : ndarray, int8
        0: the word as it stands; 1: a word without a point, also with any
        number of zero decimals; 2: a word with decimals, also with more zeros.
    """
    size = text.size + ends.size + 2
    trans = np.full((size, N_CLASSES), -1, np.int32)
    accept = np.zeros(size, np.bool_)
    pad = np.zeros(size, np.bool_)
    work = np.empty((2, size), np.int32)
    m = _trie(text, ends, kinds, trans, accept, pad, work, _hash_table(size))
    # `work[1]` holds the states that stay, the start last; rows already use their numbers
    kept = work[1, m - 1::-1]
    trans = trans[kept]
    return np.where(trans < 0, np.int32(-1), np.int32(m - 1) - trans), accept[kept]


@njit(nogil=True, cache=True)
def _trie(text, ends, kinds, trans, accept, pad, work, table):
    """Build the trie, spread the padding, merge equal rows; returns the number of states.

    Node ids grow along every edge, so one pass in id order spreads the padding
    and one pass backwards merges.
    """
    n = 1
    first = 0
    for w in range(ends.size):
        node = 0
        for i in range(first, ends[w]):
            c = text[i]
            if trans[node, c] < 0:
                trans[node, c] = n
                n += 1
            node = trans[node, c]
        first = ends[w]
        accept[node] = True
        if kinds[w] == 1:
            if trans[node, 12] < 0:
                trans[node, 12] = n
                n += 1
            node = trans[node, 12]
        if kinds[w] != 0:
            pad[node] = True
    zeros = n
    accept[zeros] = True
    trans[zeros, 0] = zeros
    for node in range(zeros):
        if pad[node]:
            if trans[node, 0] < 0:
                trans[node, 0] = zeros
                n = zeros + 1
            else:
                accept[trans[node, 0]] = True
                pad[trans[node, 0]] = True
    name, kept = work[0], work[1]
    mask = table.size - 1
    m = 0
    for node in range(n - 1, -1, -1):
        name[node] = m
        h = np.int64(accept[node])
        for c in range(14):
            t = trans[node, c]
            if t >= 0:
                t = name[t]
                trans[node, c] = t
            h = (h ^ (t + 1)) * 0x1E3779B97F4A7C15
            h ^= (h >> 29) & 0x7FFFFFFFF
        slot = (h >> 8) & mask
        while table[slot] >= 0:
            other = kept[table[slot]]
            same = accept[other] == accept[node]
            for c in range(14):
                same = same and trans[other, c] == trans[node, c]
            if same:
                break
            slot = (slot + 1) & mask
        if table[slot] >= 0:
            name[node] = table[slot]
        else:
            table[slot] = m
            kept[m] = node
            m += 1
    return m


def product(a: Table, b: Table, both: bool, limit: int) -> Optional[Table]:
    """The union, or with `both` the intersection, not minimised; None beyond `limit` states."""
    room = min(limit, (len(a[0]) + 1) * (len(b[0]) + 1))
    trans = np.full((room, N_CLASSES), -1, np.int32)
    accept = np.zeros(room, np.bool_)
    n = _product(a[0], a[1], b[0], b[1], both, trans, accept, np.zeros((2, room), np.int32),
                 _hash_table(room), np.empty(2 * len(_hash_table(room)), np.int32))
    return None if n < 0 else (trans[:n], accept[:n])


@njit(nogil=True, cache=True)
def _product(ta, fa, tb, fb, both, trans, accept, pair, table, at):
    """Pairs reachable from (0, 0); `table` holds their keys, `at` their numbers."""
    width = tb.shape[0] + 1
    mask = table.size - 1
    left, right = pair[0], pair[1]
    n = 1
    slot = ((width + 1) * 0x9E3779B1 >> 7) & mask
    table[slot] = width + 1
    at[slot] = 0
    i = 0
    while i < n:
        a, b = left[i], right[i]
        ya = a >= 0 and fa[a]
        yb = b >= 0 and fb[b]
        accept[i] = (ya and yb) if both else (ya or yb)
        for c in range(14):
            x = ta[a, c] if a >= 0 else -1
            y = tb[b, c] if b >= 0 else -1
            if x < 0 and y < 0 or both and (x < 0 or y < 0):
                continue
            key = (x + 1) * width + (y + 1)
            slot = (key * 0x9E3779B1 >> 7) & mask
            while table[slot] != key and table[slot] >= 0:
                slot = (slot + 1) & mask
            if table[slot] < 0:
                if n >= trans.shape[0]:
                    return -1
                table[slot] = key
                at[slot] = n
                left[n] = x
                right[n] = y
                n += 1
            trans[i, c] = at[slot]
        i += 1
    return n


def minimal(trans: np.ndarray, accept: np.ndarray) -> Table:
    """The trimmed minimal DFA, numbered breadth first; every state must be reachable."""
    n = len(trans)
    # one more row stands for the dead state, so that no successor needs a test
    table = np.full((n + 1, N_CLASSES), n, np.int32)
    np.copyto(table[:n], trans, where=trans >= 0)
    work = np.zeros((3, n + 1), np.int32)
    count = _classes(table, accept, work, _hash_table(n))
    cls, member, order = work
    if cls[0] == 0:
        return np.full((1, N_CLASSES), -1, np.int32), np.zeros(1, np.bool_)
    rank = np.empty(count, np.int32)
    rank[0] = -1
    rank[order[:count - 1]] = np.arange(count - 1)
    kept = member[order[:count - 1]]
    return rank[cls[table[kept]]], accept[kept]


@njit(nogil=True, cache=True)
def _classes(trans, accept, work, table):
    """Moore's partition into ``work[0]``, class 0 is dead; returns the number of classes.

    Then ``work[1]`` is a member of each class and ``work[2]`` the live classes
    in breadth-first order.
    """
    n = accept.size
    mask = table.size - 1
    cls, new, order = work[0], work[1], work[2]
    for i in range(n):
        cls[i] = accept[i]
    changed = True
    while changed:
        changed = False
        for i in range(n - 1, -1, -1):
            if cls[i] == 0:
                for c in range(14):
                    if cls[trans[i, c]] != 0:
                        cls[i] = 1
                        changed = True
                        break
    for i in range(n):
        cls[i] += accept[i]
    count = -1
    m = 0
    while m != count:
        count = m
        table[:] = -1
        m = 1
        for i in range(n):
            new[i] = 0
            if cls[i] != 0:
                h = np.int64(cls[i])
                for c in range(14):
                    h = (h ^ cls[trans[i, c]]) * 0x1E3779B97F4A7C15
                    h ^= (h >> 29) & 0x7FFFFFFFF
                slot = (h >> 8) & mask
                while table[slot] >= 0:
                    j = table[slot]
                    same = cls[i] == cls[j]
                    for c in range(14):
                        same = same and cls[trans[i, c]] == cls[trans[j, c]]
                    if same:
                        break
                    slot = (slot + 1) & mask
                if table[slot] < 0:
                    table[slot] = i
                    new[i] = m
                    m += 1
                else:
                    new[i] = new[table[slot]]
        for i in range(n):
            cls[i] = new[i]
    for i in range(n, -1, -1):
        new[cls[i]] = i
        table[i] = 0            # from here on: has the class of this number been met
    size = 0
    if cls[0] != 0:
        order[0] = cls[0]
        table[cls[0]] = 1
        size = 1
    k = 0
    while k < size:
        i = new[order[k]]
        for c in range(14):
            t = cls[trans[i, c]]
            if t != 0 and table[t] == 0:
                table[t] = 1
                order[size] = t
                size += 1
        k += 1
    return m
