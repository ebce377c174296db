"""Compiled loops of :mod:`.byte_dfa`: all states of a stack machine over single bytes, and which of them are alike.

States of the machine are int64; here they are numbered in the order in which they are found, so every
loop behind works on small integers.  What the machine lacks (room, a node that is not lowered yet) is
made in Python: the kernel says so by its code and is called again, and goes on where it stopped.
"""

from __future__ import annotations

import numpy as np

from ..automata.jit import njit
from ..automata.stack_layout import DEAD, X_COUNT, mix, st64
from ..tokens.mask_kernels import advance_bytes, state_can_end
from ..tokens.mask_layout import _ENTRY

__all__ = ["TOO_MANY", "explore", "letters_of", "refine"]

#: sha256 of the kernel files compiled into this one (see bench/stamp_kernels.py)
DEPENDS_ON = "403269da27c50fdc5e50f3579a225efb10ee892baa0a89e485dfbbc05051d737"
#: code of `explore`: there are more states than rows
TOO_MANY = 1


@njit(**_ENTRY)
def explore(e, every_byte, at, states, step, accepting, keys, values):
    """Number all states that bytes lead to, in order of discovery, and write their rows; 0 when done, else a code.

    ``step[i, b]`` is where byte b leads from state i, -1: nowhere.  `every_byte` is the address of the 256
    bytes, `at` holds (state at work, its next byte, states found), zeros at first, when ``states[0]`` is the start;
    `keys` and `values` are a hash of states with room to spare, -1 where it is empty.
    """
    mask = keys.shape[0] - 1
    if at[2] == 0:
        slot = mix(states[0], 1) & mask
        keys[slot], values[slot], at[2] = states[0], 0, 1
    while at[0] < at[2]:
        i = at[0]
        while at[1] < 256:
            st64(e, X_COUNT, 0)
            r = advance_bytes(e, states[i], every_byte + at[1], 1)
            if r < DEAD:
                return r
            found = -1
            if r >= 0:
                slot = mix(r, 1) & mask
                while keys[slot] != -1 and keys[slot] != r:
                    slot = (slot + 1) & mask
                if keys[slot] == -1:
                    if at[2] == states.shape[0]:
                        return TOO_MANY
                    keys[slot], values[slot] = r, at[2]
                    states[at[2]] = r
                    at[2] += 1
                found = values[slot]
            step[i, at[1]] = found
            at[1] += 1
        accepting[i] = state_can_end(e, states[i])
        at[0], at[1] = i + 1, 0
    return 0


@njit(nogil=True, cache=True)
def letters_of(step, first, letter):
    """Bytes that lead alike from everywhere are one letter: ``letter[b]``, and the ``first`` byte of each; how many."""
    n = step.shape[0]
    hashes = np.zeros(256, np.uint64)
    for s in range(n):
        for b in range(256):
            hashes[b] = (hashes[b] + np.uint64(step[s, b] + 2)) * np.uint64(0x9E3779B97F4A7C15)
            hashes[b] ^= hashes[b] >> np.uint64(29)
    count = 0
    for b in range(256):
        letter[b] = -1
        for k in range(count):
            if hashes[first[k]] == hashes[b]:
                same = True         # equal hashes may be chance
                for s in range(n):
                    if step[s, first[k]] != step[s, b]:
                        same = False
                        break
                if same:
                    letter[b] = k
                    break
        if letter[b] < 0:
            first[count], letter[b] = b, count
            count += 1
    return count


@njit(nogil=True, cache=True)
def refine(step, first, count, accepting, klass):
    """Classes of states that no text tells apart, numbered by their first state; returns how many.

    Moore's refinement: states stay together while they were and their successors by every
    letter were.  Rows are compared word by word, their hashes only find candidates.
    """
    n = step.shape[0]
    size = 1
    while size < 2 * n:
        size *= 2
    table = np.empty(size, np.int32)
    before = np.empty(n, np.int32)
    for s in range(n):
        klass[s] = accepting[s]
    known = 0
    while True:
        for s in range(n):              # loops: numba takes two seconds to compile an assignment of arrays
            before[s] = klass[s]
        for k in range(size):
            table[k] = -1
        found = 0
        for s in range(n):
            h = np.uint64(before[s] + 1)
            for k in range(count):
                t = step[s, first[k]]
                h = (h + np.uint64(before[t] + 2 if t >= 0 else 1)) * np.uint64(0x9E3779B97F4A7C15)
                h ^= h >> np.uint64(31)
            slot = np.int64(h & np.uint64(size - 1))
            while table[slot] >= 0:
                other = table[slot]
                same = before[other] == before[s]
                for k in range(count):
                    if not same:
                        break
                    t, u = step[s, first[k]], step[other, first[k]]
                    same = t == u or (t >= 0 and u >= 0 and before[t] == before[u])
                if same:
                    break
                slot = (slot + 1) & (size - 1)
            if table[slot] < 0:
                table[slot] = s
                klass[s] = found
                found += 1
            else:
                klass[s] = klass[table[slot]]
        if found == known:
            return found
        known = found
