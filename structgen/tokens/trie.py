"""Token tries: the byte strings of a vocabulary as flat arrays in DFS pre-order.

A trie is a handful of arrays, nothing else, so that kernels can walk it:

``nodes``
    int64, one a node: byte (bits 0-7), depth (bits 8-23), size of the subtree
    in nodes, itself included (bits 24-47).  Node 0 is the root: depth 0, byte 0.
``token``
    int32, one a node: an id that ends here, or -1.
``first``
    int32, one a node and one more: ids ending in the subtree of ``n`` are
    ``dfs_tokens[first[n]:first[n + size]]``, those ending exactly at ``n`` are
    ``dfs_tokens[first[n]:first[n + 1]]`` (several ids may share their bytes).
``dfs_tokens``
    int32, every id once, in DFS order.
``root_child``
    int32[256]: the child of the root for each first byte, or -1.

Invariants: the children of a node are sorted by byte; the first child of ``n``
is ``n + 1``, the sibling after ``n`` is ``n + size``; ids that share their bytes
keep the order in which they were given.  `TokenTrie.verify` checks all of it.

Costs, 128,000 tokens (274,521 nodes): build 40 ms, verify 4 ms, 4.9 MB.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..automata.jit import njit

from ..errors import VocabularyError

__all__ = ["TokenTrie", "build_trie", "node_byte", "node_depth", "node_size",
           "DEPTH_SHIFT", "SIZE_SHIFT", "MAX_DEPTH", "MAX_NODES", "greedy_tokens"]

DEPTH_SHIFT = 8
SIZE_SHIFT = 24
MAX_DEPTH = (1 << 16) - 1
MAX_NODES = (1 << 24) - 1


@njit(nogil=True, cache=True)
def node_byte(node):
    """The byte on the edge into a packed node."""
    return node & 0xFF


@njit(nogil=True, cache=True)
def node_depth(node):
    """The length of the string a packed node stands for."""
    return (node >> 8) & 0xFFFF


@njit(nogil=True, cache=True)
def node_size(node):
    """The number of nodes in the subtree of a packed node, itself included."""
    return (node >> 24) & 0xFFFFFF


@njit(nogil=True, cache=True)
def _sorted_order(blob, offsets):
    """Stable order of the strings by bytes: merge sort, eight bytes at a time."""
    n = offsets.shape[0] - 1
    keys = np.empty(n, np.uint64)
    for i in range(n):
        key = np.uint64(0)
        a, b = offsets[i], offsets[i + 1]
        for j in range(8):
            key = (key << np.uint64(8)) | np.uint64(blob[a + j] if a + j < b else 0)
        keys[i] = key
    src = np.arange(n).astype(np.int32)
    dst = np.empty(n, np.int32)
    width = 1
    while width < n:
        for lo in range(0, n, 2 * width):
            mid, hi = min(lo + width, n), min(lo + 2 * width, n)
            i, j = lo, mid
            for out in range(lo, hi):
                if i >= mid:
                    take_right = True
                elif j >= hi:
                    take_right = False
                else:
                    x, y = src[i], src[j]
                    if keys[x] != keys[y]:
                        take_right = keys[y] < keys[x]
                    else:   # equal padded prefixes: compare what is really there
                        p, pe = offsets[x], offsets[x + 1]
                        q, qe = offsets[y], offsets[y + 1]
                        while p < pe and q < qe and blob[p] == blob[q]:
                            p += 1
                            q += 1
                        take_right = q == qe and p < pe or p < pe and q < qe and blob[q] < blob[p]
                if take_right:
                    dst[out] = src[j]
                    j += 1
                else:
                    dst[out] = src[i]
                    i += 1
        src, dst = dst, src
        width *= 2
    return src


@njit(nogil=True, cache=True)
def _shared_prefix(blob, offsets, order, lcp):
    """Fill `lcp` with the prefix each string shares with the one before; count nodes."""
    count, deepest = 1, 0
    for k in range(order.shape[0]):
        b, be = offsets[order[k]], offsets[order[k] + 1]
        length = be - b
        shared = 0
        if k:
            a, ae = offsets[order[k - 1]], offsets[order[k - 1] + 1]
            while a + shared < ae and shared < length and blob[a + shared] == blob[b + shared]:
                shared += 1
        lcp[k] = shared
        count += length - shared
        deepest = max(deepest, length)
    return count, deepest


@njit(nogil=True, cache=True)
def _fill(blob, offsets, ids, order, lcp, deepest, nodes, token, first, dfs_tokens, root_child):
    path = np.zeros(deepest + 1, np.int64)      # path[d]: the open node at depth d
    used, depth = 1, 0
    nodes[0] = 0
    token[0] = -1
    first[0] = 0
    for k in range(order.shape[0]):
        s = order[k]
        start, length = offsets[s], offsets[s + 1] - offsets[s]
        while depth > lcp[k]:
            nodes[path[depth]] |= (used - path[depth]) << 24
            depth -= 1
        while depth < length:
            byte = np.int64(blob[start + depth])
            if depth == 0:
                root_child[byte] = used
            depth += 1
            path[depth] = used
            nodes[used] = byte | (np.int64(depth) << 8)
            token[used] = -1
            first[used] = k
            used += 1
        dfs_tokens[k] = ids[s]
        if token[path[depth]] < 0:
            token[path[depth]] = ids[s]
    while depth >= 0:
        nodes[path[depth]] |= (used - path[depth]) << 24
        depth -= 1
    first[used] = order.shape[0]


@njit(nogil=True, cache=True)
def _verify(nodes, token, first, dfs_tokens, root_child, blob, offsets, ordinary):
    """0 if the arrays are the trie of the strings `ordinary` marks, else a code."""
    n = nodes.shape[0]
    if n < 1 or nodes[0] != np.int64(n) << 24:
        return 1
    if first[0] != 0 or first[n] != dfs_tokens.shape[0]:
        return 2
    deepest = np.int64(0)
    for i in range(n):
        deepest = max(deepest, (nodes[i] >> 8) & 0xFFFF)
    end = np.zeros(deepest + 2, np.int64)
    last = np.zeros(deepest + 2, np.int64)      # byte of the newest child at each depth
    seen = np.zeros(ordinary.shape[0], np.uint8)
    end[0] = n
    last[1] = -1
    depth = np.int64(0)
    for i in range(n):
        if i:
            node = nodes[i]
            d, byte, size = (node >> 8) & 0xFFFF, node & 0xFF, node >> 24
            if d < 1 or d > depth + 1 or size < 1 or size > n:
                return 3
            while depth >= d:
                if end[depth] != i:
                    return 4
                depth -= 1
            if byte <= last[d] or i + size > end[d - 1]:
                return 5
            depth = d
            end[d] = i + size
            last[d] = byte
            last[d + 1] = -1
            if d == 1 and root_child[byte] != i:
                return 6
        lo, hi = first[i], first[i + 1]
        if lo < 0 or hi < lo or hi > dfs_tokens.shape[0]:
            return 7
        if token[i] != (dfs_tokens[lo] if hi > lo else -1):
            return 8
        for r in range(lo, hi):
            t = dfs_tokens[r]
            if t < 0 or t >= ordinary.shape[0] or ordinary[t] == 0 or seen[t] == 1:
                return 9
            seen[t] = 1
            if offsets[t + 1] - offsets[t] != depth:
                return 10
            for j in range(depth):
                if blob[offsets[t] + j] != last[j + 1]:
                    return 11
    while depth > 0:
        if end[depth] != n:
            return 4
        depth -= 1
    for b in range(256):
        if root_child[b] < -1 or root_child[b] >= n:
            return 6
        if root_child[b] >= 0 and nodes[root_child[b]] & 0xFFFFFF != b | 256:
            return 6
    for t in range(ordinary.shape[0]):
        if seen[t] != ordinary[t]:
            return 12
    return 0


@njit(nogil=True, cache=True)
def _longest(nodes, token, root_child, data, start, stop, feasible):
    """(id, length) of the longest token at `start` that leaves a feasible rest, or (-1, 0)."""
    best, length = np.int64(-1), 0
    node = np.int64(root_child[data[start]])
    pos = start
    while node >= 0:
        pos += 1
        if token[node] >= 0 and (feasible.shape[0] == 0 or feasible[pos] == 1):
            best, length = np.int64(token[node]), pos - start
        if pos >= stop:
            break
        byte = np.int64(data[pos])
        end = node + (nodes[node] >> 24)
        child = node + 1
        node = np.int64(-1)
        while child < end:
            here = nodes[child] & 0xFF
            if here >= byte:
                if here == byte:
                    node = child
                break
            child += nodes[child] >> 24
    return best, length


@njit(nogil=True, cache=True)
def greedy_tokens(nodes, token, root_child, data, out):
    """Greedy longest-match tokenisation of `data` into `out` (as long as `data`).

    Takes at each place the longest token after which the rest can still be
    spelled; where every byte is a token that is plain longest match.  Returns
    the number of tokens, or ``-1 - offset`` of a byte no tokenisation gets past.
    """
    n = data.shape[0]
    feasible = np.empty(0, np.uint8)
    count, pos = 0, 0
    while pos < n:
        best, length = _longest(nodes, token, root_child, data, pos, n, feasible)
        if best < 0:
            break
        out[count] = best
        count += 1
        pos += length
    if pos == n:
        return count
    # Longest match ran into a place it cannot leave: mark, from the end, the
    # places from which the rest can be spelled, then choose among those only.
    stuck = pos
    feasible = np.zeros(n + 1, np.uint8)
    feasible[n] = 1
    for start in range(n - 1, -1, -1):
        best, length = _longest(nodes, token, root_child, data, start, n, feasible)
        feasible[start] = 1 if best >= 0 else 0
    if feasible[0] == 0:
        return -1 - stuck
    count, pos = 0, 0
    while pos < n:
        best, length = _longest(nodes, token, root_child, data, pos, n, feasible)
        out[count] = best
        count += 1
        pos += length
    return count


@njit(nogil=True, cache=True)
def greedy_count(nodes, token, root_child, data, known, counts, fill):
    """Number of tokens of the greedy tokenisation of `data`, and of those looked up; (-1, 0) if it gets stuck.

    ``counts[i]`` is what `known` needs from its byte i on (-1 where it gets stuck).
    So much of it as ends like `data` is used.  With `fill`, `counts` (a place longer
    than `data`) is written instead of read, and `known` is not looked at.
    """
    n, m = data.shape[0], known.shape[0]
    none = np.empty(0, np.uint8)
    same = 0
    if fill:
        counts[n] = 0
    else:
        while same < n and same < m and data[n - 1 - same] == known[m - 1 - same]:
            same += 1
    looked, pos = 0, n - 1 if fill else 0
    while 0 <= pos < n:
        if not fill and n - pos <= same and counts[m - n + pos] >= 0:
            return looked + counts[m - n + pos], looked
        best, length = _longest(nodes, token, root_child, data, pos, n, none)
        looked += 1
        if fill:
            counts[pos] = -1
            if best >= 0 and counts[pos + length] >= 0:
                counts[pos] = counts[pos + length] + 1
            pos -= 1
        elif best < 0:
            return -1, 0
        else:
            pos += length
    return (counts[0] if fill else looked), looked


class TokenTrie:
    """A trie over byte strings with an integer payload (see the module text).

    Examples
    --------
    >>> trie = build_trie([b"a", b"ab", b"b"])
    >>> len(trie), trie.token.tolist()
    (4, [-1, 0, 1, 2])
    >>> trie.tokens_under(trie.find(b"a")).tolist()
    [0, 1]
    """

    __slots__ = ("nodes", "token", "first", "dfs_tokens", "root_child", "_dups", "__weakref__")

    def __init__(self, nodes: np.ndarray, token: np.ndarray, first: np.ndarray,
                 dfs_tokens: np.ndarray, root_child: np.ndarray):
        self.nodes = nodes
        self.token = token
        self.first = first
        self.dfs_tokens = dfs_tokens
        self.root_child = root_child
        self._dups = None

    @classmethod
    def from_strings(cls, blob: np.ndarray, offsets: np.ndarray, ids: np.ndarray) -> "TokenTrie":
        """The trie of ``blob[offsets[i]:offsets[i + 1]]`` with payload ``ids[i]`` >= 0.

        An empty string ends at the root.  Strings are at most 65,535 bytes
        long, tries have fewer than 2**24 nodes; beyond: `VocabularyError`.
        """
        blob = np.require(blob, np.uint8, "CAW")
        offsets = np.require(offsets, np.int64, "CAW")
        ids = np.require(ids, np.int32, "CAW")
        if blob.size == 0:
            blob = np.zeros(1, np.uint8)
        order = _sorted_order(blob, offsets)
        lcp = np.empty(order.size, np.int64)
        count, deepest = _shared_prefix(blob, offsets, order, lcp)
        if deepest > MAX_DEPTH or count > MAX_NODES:
            raise VocabularyError(
                f"token strings too large for a trie: longest {deepest} bytes (limit {MAX_DEPTH}), "
                f"{count} nodes (limit {MAX_NODES})")
        nodes = np.empty(count, np.int64)
        token = np.empty(count, np.int32)
        first = np.empty(count + 1, np.int32)
        dfs_tokens = np.empty(order.size, np.int32)
        root_child = np.full(256, -1, np.int32)
        _fill(blob, offsets, ids, order, lcp, deepest, nodes, token, first, dfs_tokens, root_child)
        return cls(nodes, token, first, dfs_tokens, root_child)

    def __len__(self) -> int:
        return self.nodes.size

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        return sum(a.nbytes for a in (self.nodes, self.token, self.first, self.dfs_tokens,
                                      self.root_child))

    def size(self, node: int) -> int:
        """Number of nodes in the subtree of `node`, itself included."""
        return int(self.nodes[node] >> SIZE_SHIFT)

    def depth(self, node: int) -> int:
        """Length of the string that leads to `node`."""
        return int(self.nodes[node] >> DEPTH_SHIFT) & MAX_DEPTH

    def byte(self, node: int) -> int:
        """The last byte of the string that leads to `node`."""
        return int(self.nodes[node]) & 0xFF

    def children(self, node: int) -> list[int]:
        """The children of `node`, sorted by byte."""
        out, child, end = [], node + 1, node + self.size(node)
        while child < end:
            out.append(child)
            child += self.size(child)
        return out

    def find(self, prefix: bytes, node: int = 0) -> int:
        """The node reached from `node` by `prefix`, or -1."""
        for byte in prefix:
            for child in self.children(node):
                if self.byte(child) == byte:
                    node = child
                    break
            else:
                return -1
        return node

    def tokens_at(self, node: int) -> np.ndarray:
        """The ids whose string ends exactly at `node`."""
        return self.dfs_tokens[self.first[node]:self.first[node + 1]]

    def tokens_under(self, node: int) -> np.ndarray:
        """The ids whose string starts with that of `node`."""
        return self.dfs_tokens[self.first[node]:self.first[node + self.size(node)]]

    def _duplicates(self) -> tuple[np.ndarray, np.ndarray]:
        if self._dups is None:
            held = np.diff(self.first)
            extra = np.maximum(held - 1, 0)
            offsets = np.zeros(self.nodes.size + 1, np.int32)
            np.cumsum(extra, out=offsets[1:])
            keep = np.ones(self.dfs_tokens.size, bool)
            keep[self.first[:-1][held > 0]] = False
            self._dups = offsets, np.ascontiguousarray(self.dfs_tokens[keep])
        return self._dups

    @property
    def dup_offsets(self) -> np.ndarray:
        """int32, one a node and one more: where its further ids lie in `dup_ids`."""
        return self._duplicates()[0]

    @property
    def dup_ids(self) -> np.ndarray:
        """int32: the ids at each node beyond ``token[node]``, node by node."""
        return self._duplicates()[1]

    def verify(self, blob: np.ndarray, offsets: np.ndarray, ordinary: np.ndarray) -> bool:
        """Whether this is exactly the trie of the strings that `ordinary` marks.

        `blob` and `offsets` hold the string of every id, `ordinary` is a
        uint8 array, 1 for the ids that belong into the trie.  Reads nothing
        out of bounds whatever the arrays hold, as long as `offsets` is sound.
        """
        n = self.nodes.size
        shapes = (self.token.shape == (n,) and self.first.shape == (n + 1,)
                  and self.root_child.shape == (256,) and self.dfs_tokens.ndim == 1)
        if not shapes or not 1 <= n <= MAX_NODES:
            return False
        return _verify(self.nodes, self.token, self.first, self.dfs_tokens, self.root_child,
                       blob, offsets, ordinary) == 0


def build_trie(strings: Sequence[bytes], ids: Sequence[int] | None = None) -> TokenTrie:
    """The trie of `strings`; the payload is `ids`, by default their positions.

    Examples
    --------
    >>> build_trie([b"x", b"x"], [7, 5]).tokens_at(1).tolist()
    [7, 5]
    """
    offsets = np.zeros(len(strings) + 1, np.int64)
    if strings:
        np.cumsum([len(s) for s in strings], out=offsets[1:])
    blob = np.frombuffer(bytearray(b"".join(strings)), np.uint8)
    payload = np.arange(len(strings), dtype=np.int32) if ids is None else np.asarray(ids, np.int32)
    return TokenTrie.from_strings(blob, offsets, payload)
