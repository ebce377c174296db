"""Class tries: the vocabulary as an automaton sees it that cannot tell some bytes apart.

All states of one automaton of the lexer treat the bytes of a class alike, so a
token matters only by its *word of classes*.  The class trie holds the words of
all tokens, without bytes over which no state leads anywhere.  128,000 tokens
are 27 words for ``[a-z]{1,64}``, 400 for an e-mail address, 9,000 where the
bytes of UTF-8 have to be told apart and 26,000 for ``\\p{L}+``.

Nodes stand in preorder, a node being ``byte | depth << 8 | size << 24`` as in
:mod:`.trie`; its byte is one of the class.  `tokens` lists the ids node by node.

Costs: 10 ns a node of the vocabulary's trie that is looked at, which is 0.1 to
3 ms, once for each class map and tokenizer: tables keep the last few.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from ..automata.jit import njit, without_collector

if TYPE_CHECKING:
    from .tables import TokenTables

__all__ = ["ClassTrie", "class_trie"]

#: bytes of class tries kept for each tokenizer
KEPT = 24 << 20


@njit(nogil=True, cache=True)
def _build(nodes, first, tokens, cmap, alive, depth):
    """(nodes, first, tokens) of the class trie; bytes of classes that are not `alive` end a walk."""
    most = nodes.shape[0] + 1           # what is not written takes no memory
    parent, byte, kind = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
    child, sibling = np.empty(most, np.int32), np.empty(most, np.int32)
    newest = np.empty(most, np.int32)                   # the child met last, which is often met again
    place = np.full(tokens.shape[0], -1, np.int32)      # node of each token, -1: in no word
    path = np.zeros(depth + 2, np.int32)
    child[0], newest[0], kind[0] = 0, 0, -1             # 0: none
    n, i, end = 1, 1, nodes[0] >> 24
    while i < end:
        v = nodes[i]
        b, d = v & 255, (v >> 8) & 0xFFFF
        c = cmap[b]
        if alive[c] == 0:
            i += v >> 24
            continue
        up = path[d - 1]
        m = newest[up]
        if kind[m] != c:
            m = child[up]
            while m != 0 and kind[m] != c:
                m = sibling[m]
            if m == 0:
                m = n
                parent[n], byte[n], kind[n] = up, b | d << 8, c
                child[n], newest[n], sibling[n] = 0, 0, child[up]
                child[up] = n
                n += 1
            newest[up] = m
        path[d] = m
        for k in range(first[i], first[i + 1]):
            place[k] = m
        i += 1
    # into preorder: parents come before their children already
    size = np.ones(n, np.int64)
    for m in range(n - 1, 0, -1):
        size[parent[m]] += size[m]
    at, free = np.zeros(n, np.int32), np.ones(n, np.int32)
    out = np.empty(n, np.int64)
    out[0] = size[0] << 24
    for m in range(1, n):
        up = parent[m]
        p = free[up]
        at[m], free[m] = p, p + 1
        free[up] = p + size[m]
        out[p] = byte[m] | size[m] << 24
    starts = np.zeros(n + 1, np.int32)
    for k in range(place.shape[0]):
        if place[k] >= 0:
            starts[at[place[k]] + 1] += 1
    for m in range(n):
        starts[m + 1] += starts[m]
    ids = np.empty(starts[n], np.int32)
    used = starts[:n].copy()
    for k in range(place.shape[0]):
        if place[k] >= 0:
            p = at[place[k]]
            ids[used[p]] = tokens[k]
            used[p] += 1
    return out, starts, ids


class ClassTrie:
    """The class trie of one class map (see the module text).

    Attributes
    ----------
    nodes : int64[n]
    first : int32[n + 1]
        Where the tokens of each node begin in `tokens`.
    tokens : int32[m]
    depth : int
        Length of the longest word.
    bytes : int64[k]
        A byte of each class that leads somewhere.
    """

    __slots__ = ("nodes", "first", "tokens", "depth", "bytes")

    def __init__(self, tables: "TokenTables", classes: np.ndarray, alive: np.ndarray):
        trie = tables.trie
        with without_collector():
            self.nodes, self.first, self.tokens = _build(
                trie.nodes, trie.first, trie.dfs_tokens, classes, alive, tables.depth)
        self.depth = int((self.nodes >> 8 & 0xFFFF).max())
        found, reps = np.unique(classes, return_index=True)
        self.bytes = np.ascontiguousarray(reps[alive[found] != 0], np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.nodes.nbytes + self.first.nbytes + self.tokens.nbytes


def class_trie(tables: "TokenTables", classes: np.ndarray, alive: np.ndarray) -> ClassTrie:
    """The class trie of a tokenizer, kept for the next grammar with the same classes.

    Parameters
    ----------
    tables : TokenTables
    classes : uint16[256]
        The class of each byte.
    alive : uint8[256]
        By class: does it lead anywhere from some state?
    """
    key = classes.tobytes() + alive.tobytes()
    with tables.lock:
        kept: "OrderedDict[bytes, ClassTrie]" = tables.class_tries
        found = kept.get(key)
        if found is None:
            found = kept[key] = ClassTrie(tables, classes, alive)
            while len(kept) > 1 and sum(t.nbytes for t in kept.values()) > KEPT:
                kept.popitem(last=False)
        else:
            kept.move_to_end(key)
    return found
