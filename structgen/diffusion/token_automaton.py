"""The constraint over tokens: which token leads from which state to which.

Tokens that lead from every state to the same states are one *class*; 128,000
tokens fall into a few hundred.  An edge is (state, class, state).  One state,
`END`, is where the text is over: an end token leads there from accepting
states, and padding stays there.  A masked slot behind the end has the one
assignment `pad`; a fixed one may hold any end token or `pad`.

Built by reading each distinct token prefix once a state of the byte automaton
(:mod:`structgen.diffusion.byte_dfa`) and grouping tokens by a 128-bit sum over
their edges.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np

from ..errors import LimitError, StructgenError
from . import canvas_kernels as ck
from .byte_dfa import ByteDfa, byte_dfa

__all__ = ["NEVER", "TokenAutomaton", "automaton_of"]

#: the distance from states that cannot finish
NEVER = 1 << 28

#: edges (state, token, state) before tokens are grouped
MAX_EDGES = 60_000_000

_sorted: "weakref.WeakKeyDictionary[Any, tuple]" = weakref.WeakKeyDictionary()
_made: "weakref.WeakKeyDictionary[Any, TokenAutomaton]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _tokens(vocabulary: Any) -> tuple:
    """Ordinary tokens sorted by bytes: (data, offsets, shared prefix lengths, ids)."""
    with _lock:
        found = _sorted.get(vocabulary)
    if found is None:
        pieces = [(data, t) for t in range(vocabulary.size) if (data := vocabulary.token_bytes(t))]
        pieces.sort()
        shared = np.zeros(len(pieces), np.int32)
        before = b""
        for k, (data, _) in enumerate(pieces):
            n, most = 0, min(len(data), len(before))
            while n < most and data[n] == before[n]:
                n += 1
            shared[k], before = n, data
        offsets = np.zeros(len(pieces) + 1, np.int64)
        np.cumsum([len(data) for data, _ in pieces], out=offsets[1:])
        found = (np.frombuffer(b"".join(d for d, _ in pieces), np.uint8).copy(), offsets, shared,
                 np.array([t for _, t in pieces], np.int32))
        with _lock:
            _sorted[vocabulary] = found
    return found


class TokenAutomaton:
    """The automaton; make it with :func:`automaton_of`.

    Attributes
    ----------
    size : int
        States; 0 is the start, the last is `END`.
    classes : int
        Classes a masked slot may take: those of ordinary tokens, `end_class` (an end
        token where the text may end) and `pad_class` (behind the end).
    class_of : ndarray of int32, shape (V,)
        The class of each token; -1: it can stand nowhere.
    table : ndarray of int32, shape (classes + 1, size)
        Where a token of a class leads; -1: nowhere.  The last row is for a fixed
        end token, which may also stand behind the end.
    dist : ndarray of int32, shape (size,)
        Least number of tokens (no end token) after which the text may end.
    accepting : ndarray of bool, shape (size,)
        Where the text may end; true for `END`.
    """

    def __init__(self, dfa: ByteDfa, vocabulary: Any):
        if not vocabulary.eos_ids:
            raise StructgenError("a vocabulary without end tokens")
        n = dfa.size
        data, offsets, shared, ids = _tokens(vocabulary)
        room = 1 << 20
        while True:
            source, target, token = (np.empty(room, np.int32) for _ in range(3))
            used = ck.token_edges(dfa.next, data, offsets, shared, source, target, token, room)
            if used >= 0:
                break
            room *= 4
            if room > MAX_EDGES:
                raise LimitError(f"more than {MAX_EDGES:,} token edges", place="token edges of a canvas",
                                 limit=MAX_EDGES)
        source, target, token = source[:used], target[:used], token[:used]
        self.vocabulary = vocabulary
        self._packing, self._packed = threading.Lock(), {}
        self.end = n
        self.size = n + 1
        self._group(len(ids), ids, source, target, token)
        self.accepting = np.append(dfa.accepting, True)
        self._finish()

    def _group(self, count: int, ids: np.ndarray, source: np.ndarray, target: np.ndarray, token: np.ndarray) -> None:
        """Number the classes and lay out their edges."""
        rng = np.random.default_rng(20_250_807)
        left, right = (rng.integers(1, 1 << 63, self.size, np.uint64) for _ in range(2))
        sums = np.zeros((count, 2), np.uint64)
        with np.errstate(over="ignore"):
            for k, odd in enumerate((np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))):
                mixed = (left[source] ^ (right[target] * odd)) * odd
                mixed ^= mixed >> np.uint64(29)
                np.add.at(sums[:, k], token, mixed * odd)
        live = np.zeros(count, bool)
        live[token] = True
        where = np.flatnonzero(live)
        _, representative, inverse = np.unique(sums[where, 0], return_index=True, return_inverse=True)
        if (sums[where, 1] != sums[where[representative], 1][inverse]).any():      # equal by chance
            _, representative, inverse = np.unique(sums[where], axis=0, return_index=True, return_inverse=True)
            inverse = inverse.reshape(-1)
        kinds = len(representative)
        self.class_of = np.full(self.vocabulary.size, -1, np.int32)
        self.class_of[ids[where]] = inverse
        self.end_class = kinds
        self.pad_class = kinds + 1
        self.classes = kinds + 2
        self.class_of[list(self.vocabulary.eos_ids)] = kinds
        self.table = np.full((self.classes + 1, self.size), -1, np.int32)
        chosen = np.zeros(count, bool)
        chosen[where[representative]] = True
        group = np.full(count, -1, np.int64)
        group[where] = inverse
        some = chosen[token]
        self.table[group[token[some]], source[some]] = target[some]

    def _finish(self) -> None:
        self.table[self.end_class, :-1][self.accepting[:-1]] = self.end
        self.table[self.pad_class, self.end] = self.end
        self.table[-1] = self.table[self.end_class]
        self.table[-1, self.end] = self.end
        klass, state = np.nonzero(self.table[:-1] >= 0)
        self.class_source, self.class_target = state.astype(np.int32), self.table[klass, state]
        self.class_first = np.searchsorted(klass, np.arange(self.classes + 1)).astype(np.int32)
        order = np.argsort(state, kind="stable")
        self.klass = klass[order].astype(np.int32)
        self.target = self.table[klass[order], state[order]]
        self.first = np.searchsorted(state[order], np.arange(self.size + 1)).astype(np.int32)
        edge_pair = state.astype(np.int64) * self.size + self.class_target
        by_pair = np.argsort(edge_pair, kind="stable")          # edges lie by class already
        self.pair_class = klass[by_pair].astype(np.int32)
        new = np.flatnonzero(np.diff(edge_pair[by_pair], prepend=-1))
        self.pair_begin = np.append(new, len(by_pair)).astype(np.int32)
        pair_source, self.pair_target = (x.astype(np.int32) for x in divmod(edge_pair[by_pair[new]], self.size))
        self.pair_first = np.searchsorted(pair_source, np.arange(self.size + 1)).astype(np.int32)
        back = np.argsort(self.pair_target, kind="stable")
        self.before_source = pair_source[back]
        self.before_first = np.searchsorted(self.pair_target[back], np.arange(self.size + 1)).astype(np.int32)
        self.order = np.argsort(self.class_of, kind="stable").astype(np.int32)
        known = self.class_of[self.order]
        self.order = self.order[known >= 0]
        self.begin = np.searchsorted(known[known >= 0], np.arange(self.classes + 1)).astype(np.int64)
        self.dist = np.where(self.accepting, 0, NEVER).astype(np.int32)
        plain = self.pair_target != self.end
        keep = np.concatenate([[0], np.cumsum(plain)])
        ck.distances(keep[self.pair_first].astype(np.int32), self.pair_target[plain], self.accepting, self.dist)

    def packed(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Classes of many tokens as bitmasks of `width` words: (row of each class or -1, rows)."""
        with self._packing:
            if width not in self._packed:
                sizes = np.diff(self.begin)[:self.classes]
                large = np.flatnonzero(sizes > width // 8)
                row = np.full(self.classes, -1, np.int32)
                row[large] = np.arange(len(large))
                rows = np.zeros((len(large), width), np.uint32)
                for k, c in enumerate(large):
                    ids = self.order[self.begin[c]:self.begin[c + 1]]
                    np.bitwise_or.at(rows[k], ids >> 5, np.uint32(1) << (ids & 31).astype(np.uint32))
                self._packed[width] = row, rows
            return self._packed[width]

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return sum(x.nbytes for x in vars(self).values() if isinstance(x, np.ndarray))


def automaton_of(compiled: Any) -> TokenAutomaton:
    """The token automaton of a compiled constraint; kept as long as that lives.

    Raises
    ------
    LimitError
        The constraint is not regular, or too large.
    """
    with _lock:
        found = _made.get(compiled)
    if found is None:
        found = TokenAutomaton(byte_dfa(compiled), compiled.vocabulary)
        with _lock:
            _made[compiled] = found
    return found
