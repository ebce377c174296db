"""Regions of texts by byte classes: the tokens that stay inside a text of an expression.

Nothing may follow a text, so its region is a row without pairs.  Which nodes
of the class trie (:mod:`.class_trie`) a state survives is one walk of that trie, and
the row is written as the difference from the row of one of the last walks, or
from the empty one: states of one expression differ in few words.  So a state
of ``[a-z]{1,64}`` costs 30 steps and a handful of bits.

Only arenas of texts know the kernel (its slot of the block is 0 in others).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..automata.jit import njit
from ..automata.lexer_kernels import (
    AL_BASE, B_C, B_S, B_T, K_PROD, S_JMAP, S_KIND, S_ROW, UNKNOWN, _lowest)
from ..automata.lexer_kernels import ld16 as ldu16
from ..automata.stack_kernels import compile_native
from ..automata.stack_layout import DEAD, LEXER, LX_BASE, RAW_BASE, ld32, ld64, need, st64
from ..automata.stack_lexemes import piece_step
from .class_trie import ClassTrie
from .mask_layout import (
    DEPTH, F_CLASSES, LABEL_SEEN, MACHINES, NEED_MACHINE, N_MACHINES, STACK, WORDS, _OPT, clear_bit, set_bit)

__all__ = ["Machines", "text_natives"]

#: sha256 of the kernel files compiled into this one; numba's on-disk cache sees only this
#: file, so it must change when one of those does (bench/stamp_kernels.py; a test checks).
DEPENDS_ON = "403269da27c50fdc5e50f3579a225efb10ee892baa0a89e485dfbbc05051d737"

#: Record of one automaton of the lexer: its class trie; which nodes the last walks survived, their
#: rows (0: none), and which of them is the oldest.
#: At T_REPS a byte of each class that leads somewhere, at T_NEXT where they led at the beginning of those walks.
(T_NODES, T_FIRST, T_TOKENS, T_N, T_LIVE, T_ROWS, T_OLDEST, T_DEPTH, T_REPS, T_N_REPS, T_NEXT) = range(11)
MACHINE_W = 11
#: walks remembered
WALKS = 6
#: nodes that a walk survives for which starting from the empty row is considered first
FEW = 1000


@njit(**_OPT)
def survivors(e, q, record, live):
    """Write to `live` which nodes of the class trie state `q` survives; how many, or a code.

    Steps that are known are read from the rows of transitions directly; tables of the
    lexer move only when Python makes room.
    """
    lexer, stack = ld64(e, LEXER), ld64(e, STACK)
    states, steps = ld64(lexer, B_S), ld64(lexer, B_T)
    jmap = ld64(states, 8 * (q - LX_BASE) + S_JMAP)
    classes, rows = ld64(lexer, B_C) + 2 * jmap, stack + ld64(e, DEPTH) * 8
    nodes, n = ld64(record, T_NODES), ld64(record, T_N)
    for w in range((n + 63) >> 6):
        st64(live, w, 0)
    st64(stack, 0, q)
    st64(rows, 0, ld64(states, 8 * (q - LX_BASE) + S_ROW))
    i, count = 1, 0
    while i < n:
        v = ld64(nodes, i)
        b, d = v & 255, (v >> 8) & 0xFFFF
        row, r = ld64(rows, d - 1), UNKNOWN
        if row >= 0:
            r = ld32(steps, row + ldu16(classes, b))
        if r < DEAD:
            p = ld64(stack, d - 1)
            r = piece_step(e, p, b)
            if r < DEAD:
                return r
            if row >= 0:
                st64(rows, d - 1, ld64(states, 8 * (p - LX_BASE) + S_ROW))
        size = v >> 24
        if r == DEAD:
            i += size
            continue
        st64(live, i >> 6, ld64(live, i >> 6) | 1 << (i & 63))
        if size > 1:
            st64(stack, d, r)
            # a state of another automaton has other classes
            same = r >= LX_BASE and r < AL_BASE
            if same:
                same = ld64(states, 8 * (r - LX_BASE) + S_JMAP) == jmap
            st64(rows, d, ld64(states, 8 * (r - LX_BASE) + S_ROW) if same else -1)
        count += 1
        i += 1
    return count


@njit(**_OPT)
def difference(first, a, b, words, most):
    """How many tokens are at the nodes in which two sets differ, at least as far as `most`; `b` 0: the empty set."""
    out = 0
    for w in range(words):
        x = ld64(a, w)
        if b != 0:
            x ^= ld64(b, w)
        while x != 0:
            i = w << 6 | _lowest(x)
            x &= x - 1
            out += ld32(first, i + 1) - ld32(first, i)
        if out >= most:
            break
    return out


@njit(**_OPT)
def class_region(e, q, dst):
    """Write the row of raw lexeme state `q` to `dst`, which is zero; 0, a code, or -4 if it takes another way."""
    q -= RAW_BASE
    if q < LX_BASE or q >= AL_BASE:
        return -4
    kind = ld64(ld64(ld64(e, LEXER), B_S), 8 * (q - LX_BASE) + S_KIND)
    if kind & 0xFF > K_PROD:
        return -4
    m = kind >> 8
    record = ld64(e, MACHINES) + m * (8 * MACHINE_W)
    if m >= ld64(e, N_MACHINES) or ld64(record, T_NODES) == 0:
        return need(e, NEED_MACHINE, m, 0)
    words = (ld64(record, T_N) + 63) >> 6
    sets, rows, mine = ld64(record, T_LIVE), ld64(record, T_ROWS), ld64(record, T_OLDEST)
    live = sets + mine * words * 8
    st64(rows, mine, 0)
    # a state that goes on as another did has its row, whether it accepts or not
    reps, n_reps = ld64(record, T_REPS), ld64(record, T_N_REPS)
    after = ld64(record, T_NEXT) + 8 * mine * n_reps
    for j in range(n_reps):
        r = piece_step(e, q, ld64(reps, j))
        if r < DEAD:
            return r
        st64(after, j, r)
    for k in range(WALKS):
        src = ld64(rows, k)
        if src != 0:
            other, j = ld64(record, T_NEXT) + 8 * k * n_reps, 0
            while j < n_reps and ld64(other, j) == ld64(after, j):
                j += 1
            if j == n_reps:
                for w in range(ld64(e, WORDS)):
                    st64(dst, w, ld64(src, w))
                return 0
    count = survivors(e, q, record, live)
    if count < 0:
        return count
    first, tokens = ld64(record, T_FIRST), ld64(record, T_TOKENS)
    best, most = -1, 1 << 40
    if count < FEW:
        most = difference(first, live, 0, words, most)
    for k in range(WALKS):
        if ld64(rows, k) != 0:
            x = difference(first, live, sets + k * words * 8, words, most)
            if x < most:
                best, most = k, x
    if count >= FEW and difference(first, live, 0, words, most) < most:
        best = -1
    before = 0
    if best >= 0:
        before = sets + best * words * 8
        src = ld64(rows, best)
        for w in range(ld64(e, WORDS)):
            st64(dst, w, ld64(src, w))
    for w in range(words):
        now = ld64(live, w)
        x = now
        if before != 0:
            x ^= ld64(before, w)
        while x != 0:
            b = _lowest(x)
            x &= x - 1
            i = w << 6 | b
            if now >> b & 1:
                for k in range(ld32(first, i), ld32(first, i + 1)):
                    set_bit(dst, ld32(tokens, k))
            else:
                for k in range(ld32(first, i), ld32(first, i + 1)):
                    clear_bit(dst, ld32(tokens, k))
    st64(rows, mine, dst)
    st64(record, T_OLDEST, (mine + 1) % WALKS)
    st64(e, LABEL_SEEN, -1)
    return 0


@lru_cache(maxsize=None)
def text_natives() -> dict:
    """Slot -> compiled function, for arenas of texts."""
    return compile_native({F_CLASSES: (class_region, 3)})


class Machines:
    """The records of one arena, by number of the automaton in its lexer."""

    def __init__(self) -> None:
        self.records = np.zeros((4, MACHINE_W), np.int64)
        self._held: list = []

    def add(self, m: int, trie: ClassTrie) -> None:
        """Let automaton `m` have a class trie."""
        while m >= len(self.records):
            self.records = np.concatenate([self.records, np.zeros_like(self.records)])
        n = len(trie.nodes)
        live, rows = np.empty((WALKS, n + 63 >> 6), np.int64), np.zeros(WALKS, np.int64)
        after = np.empty((WALKS, len(trie.bytes)), np.int64)
        self._held.append((trie, live, rows, after))
        self.records[m] = [trie.nodes.ctypes.data, trie.first.ctypes.data, trie.tokens.ctypes.data, n,
                           live.ctypes.data, rows.ctypes.data, 0, trie.depth, trie.bytes.ctypes.data,
                           len(trie.bytes), after.ctypes.data]

    @property
    def nbytes(self) -> int:
        """Bytes held, class tries not counted: they are the tokenizer's."""
        return self.records.nbytes + sum(a.nbytes for _, *arrays in self._held for a in arrays)
