"""Token tables: what masks need to know about a vocabulary, once per tokenizer.

Built from the trie of the ordinary tokens and the static lexemes, independent
of any grammar (the starred tables of the design):

* the *structural trie*: tokens alive between two lexemes of some JSON text;
* the *suffix trie*: what can stand in a token behind the end of a lexeme;
* the *region* of each static lexeme state: a row of the tokens that stay
  inside, and (token, suffix) pairs for those that leave it;
* *length rows*: tokens inside a string by their number of characters.

Costs for 128,000 tokens: see ``bench/startup.py``; about 6 MB.
"""

from __future__ import annotations

import re
import sys
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..automata import static_dfa as sd
from ..automata import stack_layout as sl
from ..automata.jit import direct, njit
from . import mask_kernels as mk
from . import mask_layout as ml
from . import mask_regions as mr
from .table_store import NO_REGION, NOT_INSIDE, Parts, keep_parts, restore_parts, tails
from .trie import TokenTrie
from .warmup import natives

if TYPE_CHECKING:
    from .vocabulary import Vocabulary

__all__ = ["TokenTables", "token_tables"]

CHUNK_ROWS = 64
#: Length rows are kept for strings of up to this many characters in one token.
MAX_LENGTH_ROWS = 512


@njit(nogil=True, cache=True)
def _permissive(table, accept, blob, lo, hi):
    """Could blob[lo:hi] stand in some JSON text, starting between two lexemes?"""
    q = -1                      # -1: between lexemes; else a static lexeme state
    for i in range(lo, hi):
        b = blob[i]
        if q >= 0:
            r = table[q, b]
            if r >= 0:
                q = r
                continue
            if q < 16 or q >= 48:
                if q != 0 or b != 34:
                    return False
                q = -1
                continue
            if not accept[q]:
                return False
        q = -1
        if b == 34:
            q = 0
        elif b == 45 or 48 <= b <= 57:
            q = table[16, b]
        elif b == 116:
            q = 34
        elif b == 102:
            q = 38
        elif b == 110:
            q = 43
        elif not (b == 32 or b == 9 or b == 10 or b == 13 or b == 44 or b == 58 or b == 91 or b == 93
                  or b == 123 or b == 125):
            return False
    return True


@njit(nogil=True, cache=True)
def _structural(table, accept, blob, offsets, tokens, out):
    """Mark in `out` the tokens of the list that may follow the end of a lexeme."""
    for k in range(tokens.shape[0]):
        t = tokens[k]
        if _permissive(table, accept, blob, offsets[t], offsets[t + 1]):
            out[k] = 1


@njit(nogil=True, cache=True)
def _is_word(b):
    return 48 <= b <= 57 or 65 <= b <= 90 or 97 <= b <= 122


@njit(nogil=True, cache=True)
def _cuts(table, accept, blob, offsets, out, write):
    """All places (token, position) where a lexeme may end inside a token.

    With `write` false only counts.  Rows of `out`: token, position.
    """
    n = 0
    for t in range(offsets.shape[0] - 1):
        lo, hi = offsets[t], offsets[t + 1]
        for i in range(lo, hi):
            b = blob[i]
            p = -1
            if b == 34:
                p = i + 1
            elif i > lo and _is_word(blob[i - 1]) and (b == 32 or b == 9 or b == 10 or b == 13 or b == 44
                                                       or b == 58 or b == 93 or b == 125):
                p = i
            if 0 <= p < hi and _permissive(table, accept, blob, p, hi):
                if write:
                    out[n, 0] = t
                    out[n, 1] = p - lo
                n += 1
    return n


@njit(nogil=True, cache=True)
def _char_counts(table, blob, offsets, tokens, out):
    """Code points begun by each token read inside a JSON string; -1 if it cannot be."""
    for k in range(tokens.shape[0]):
        t = tokens[k]
        q, chars = 0, 0
        for i in range(offsets[t], offsets[t + 1]):
            if q == 0:
                chars += 1
            q = table[q, blob[i]]
            if q < 0:
                chars = -1
                break
        out[k] = chars


@njit(nogil=True, cache=True)
def _quote_places(table, blob, offsets, pairs, out):
    """out[i] := bytes of token pairs[i, 0] before the quote that ends a string begun before it."""
    for i in range(pairs.shape[0]):
        lo, hi = offsets[pairs[i, 0]], offsets[pairs[i, 0] + 1]
        q = 0
        for j in range(lo, hi):
            if q == 0 and blob[j] == 34:
                out[i] = j - lo
                break
            q = table[q, blob[j]]


@njit(nogil=True, cache=True)
def _bytes_below(nodes, out, path):
    """out[i] := the set of bytes (256 bits) that occur strictly below trie node i."""
    for i in range(nodes.shape[0] - 1, 0, -1):
        # children come after their parent: when a node is met from the end, its set is complete
        d = (nodes[i] >> 8) & 0xFFFF
        b = nodes[i] & 255
        path[d - 1, b >> 6] |= np.int64(1) << (b & 63)
        for k in range(4):
            out[i, k] = path[d, k]
            path[d - 1, k] |= path[d, k]
            path[d, k] = 0
    for k in range(4):
        out[0, k] = path[0, k]


@njit(nogil=True, cache=True)
def _beginnings(table, blob, offsets, tokens, out):
    """How structural tokens begin: (bytes of white space, kind, place where a string ends that begins behind them).

    Kind 0: something else than a string; 1: nothing; 2: a string that ends with the token, or not in it; 3: one that
    ends inside.
    """
    for k in range(tokens.shape[0]):
        lo, hi = offsets[tokens[k]], offsets[tokens[k] + 1]
        i = lo
        while i < hi and (blob[i] == 32 or blob[i] == 10 or blob[i] == 13 or blob[i] == 9):
            i += 1
        out[k, 0], out[k, 1], out[k, 2] = i - lo, 1 if i == hi else 0, 0
        if i < hi and blob[i] == 34:
            q = 0
            i += 1
            while i < hi and q >= 0 and not (q == 0 and blob[i] == 34):
                q = table[q, blob[i]]
                i += 1
            if i < hi - 1 and q == 0:
                out[k, 1], out[k, 2] = 3, i + 1 - lo
            elif q >= 0:
                out[k, 1] = 2


@njit(nogil=True, cache=True)
def _children(nodes, off, byte, node, path):
    """The children of each trie node: off[i]..off[i + 1] of `byte` and `node`, by ascending byte."""
    n = nodes.shape[0]
    for i in range(1, n):
        d = (nodes[i] >> 8) & 0xFFFF
        path[d] = i
        off[path[d - 1] + 1] += 1
    for i in range(n):
        off[i + 1] += off[i]
    filled = off[:n].copy()
    for i in range(1, n):
        d = (nodes[i] >> 8) & 0xFFFF
        path[d] = i
        k = filled[path[d - 1]]
        filled[path[d - 1]] = k + 1
        byte[k], node[k] = nodes[i] & 255, i


def _may_start() -> np.ndarray:
    """uint8[kinds, 256]: bytes that can follow the white space before each kind of context."""
    first = {sl.VALUE: b'"-0123456789tfn[{', sl.COLON: b":", sl.OBJ_START: b'"}', sl.OBJ_KEY: b'"',
             sl.OBJ_AFTER: b",}", sl.ARR_START: b'"-0123456789tfn[{]', sl.ARR_AFTER: b",]"}
    out = np.zeros((8, 256), np.uint8)
    for kind, allowed in first.items():
        out[kind, list(allowed)] = 1
    return out


_MAY_START = _may_start()
_KEY_END = re.compile(rb'"[ \t\r\n]*:')
_TWO_KEYS = re.compile(rb'"[ \t\r\n]*:.*,[ \t\r\n]*".', re.DOTALL)


def _unknown(*_: int) -> int:
    return sl.NEED_PY


class TokenTables:
    """Grammar-independent tables of one vocabulary (see the module text).

    With `json` false only what context-free grammars need, too; `for_json` makes the rest.
    """

    def __init__(self, vocabulary: "Vocabulary", json: bool = True):
        self.vocabulary = vocabulary
        self.trie: TokenTrie = vocabulary.trie
        self.blob = np.require(vocabulary.blob, np.uint8, "CAW")
        self.offsets = np.require(vocabulary.offsets, np.int64, "CAW")
        self.words = max(1, (vocabulary.size + 63) // 64)
        self.eos = np.array(sorted(set(vocabulary.eos_ids)), np.int32)
        self.kind = np.zeros(vocabulary.size, np.uint8)          # 0 ordinary, 1 no text, 2 EOS
        self.kind[np.diff(self.offsets) == 0] = 1
        self.kind[np.asarray(vocabulary.is_special, bool)] = 1
        self.kind[self.eos] = 2
        self.kind_list = self.kind.tolist()
        self.length_list = np.diff(self.offsets).tolist()
        self.static = np.ascontiguousarray(sd.static_table, np.int16)
        self.accept = np.ascontiguousarray(sd.static_accept.astype(np.uint8))
        self.arena_layout: Any = None           # see automata/arena.py
        #: nodes of the trie with what occurs below them, see automata/cfg_layout.py
        self.grouped_nodes: Any = None
        self.lock = threading.Lock()
        #: see class_trie
        self.class_tries: "OrderedDict[bytes, Any]" = OrderedDict()
        #: the two kernels of every step (they rely on the GIL: without one, nothing is known and all is asked)
        self.peek, self.step = _unknown, _unknown
        self._free: list[np.ndarray] = []
        self._block = np.zeros(sl.BLOCK_SIZE, np.int64)
        self._json = False
        if not self.blob.size:
            self.blob = np.zeros(1, np.uint8)
        self.depth = 4 + int((self.trie.nodes >> 8 & 0xFFFF).max())
        self.bytes_below = np.empty((len(self.trie), 4), np.int64)
        _bytes_below(self.trie.nodes, self.bytes_below, np.zeros((self.depth + 2, 4), np.int64))
        if json:
            self.for_json()

    # ---------------------------------------------------------------- build
    def _repeating(self) -> tuple[int, ...]:
        blob = self.blob.tobytes()
        ends = [found.start() for found in _KEY_END.finditer(blob)]
        tokens = np.unique(np.searchsorted(self.offsets, np.array(ends, np.int64), side="right") - 1).tolist()
        return tuple(t for t in tokens if self.kind_list[t] == 0
                     and _TWO_KEYS.search(blob, int(self.offsets[t]), int(self.offsets[t + 1])))

    def for_json(self) -> None:
        """Make, or read, what only the masks of JSON need."""
        if self._json:
            return
        #: tokens in which a key may end and, behind a comma, another one begin: the only ones
        #: whose place in a mask depends on the text of a key inside them
        self.repeating = self._repeating()
        again = np.repeat(np.arange(len(self.trie)), np.diff(self.trie.dup_offsets))
        self.dups = np.stack([self.trie.token[again], self.trie.dup_ids], 1).astype(np.int32)
        n = len(self.trie)
        self.child_off = np.zeros(n + 1, np.int32)
        self.child_byte, self.child_node = np.zeros(n, np.uint8), np.zeros(n, np.int32)
        _children(self.trie.nodes, self.child_off, self.child_byte, self.child_node, np.zeros(self.depth + 2, np.int32))
        stored = restore_parts(self.vocabulary)
        parts = stored or self._tries()
        self.struct, self.suffix = parts.struct, parts.suffix
        self._cut_lists(parts.cuts)
        self._openings()
        self.fill_block(self._block)
        if stored is None:
            parts = self._regions(parts)
            keep_parts(self.vocabulary, parts)
        self._use_regions(parts)
        self._length_rows(parts.chars)
        if getattr(sys, "_is_gil_enabled", lambda: True)():
            self.peek, self.step = direct(mk.peek), direct(mk.step)
        self._json = True

    def _openings(self) -> None:
        """Tokens by how they begin (see `mask_kernels.W_SPACE`)."""
        tokens = np.ascontiguousarray(self.struct.dfs_tokens)
        begins = np.zeros((len(tokens), 3), np.int64)
        _beginnings(self.static, self.blob, self.offsets, tokens, begins)
        order = np.argsort(begins[:, 0], kind="stable")
        tokens, (space, kind, place) = tokens[order].astype(np.int32), begins[order].T

        def counts(chosen: np.ndarray, longest: int) -> np.ndarray:
            return np.searchsorted(space[chosen], np.arange(longest + 1), side="right").astype(np.int32)

        longest = int(space.max(initial=0))
        lead = int(space.max(initial=0, where=kind != 1))
        pairs, left = [], np.zeros(len(tokens), bool)
        for i in np.flatnonzero(kind == 3).tolist():
            cuts = slice(self.cut_off[tokens[i]], self.cut_off[tokens[i] + 1])
            found = np.flatnonzero(self.cut_pos[cuts] == place[i])
            if found.size:
                pairs.append((tokens[i], self.cut_suffix[cuts][found[0]]))
                left[i] = True
        quotes, level = [], {0: 0}
        for k in range(lead + 1):
            below: dict[int, int] = {}
            for node in level:
                children = slice(self.child_off[node], self.child_off[node + 1])
                for b, child in zip(self.child_byte[children].tolist(), self.child_node[children].tolist()):
                    if b == 0x22:
                        quotes.append((child, k))
                    elif b in b" \t\r\n":
                        below[child] = k
            level = below
        lists = [tokens[kind == 1], counts(kind == 1, longest), longest, lead,
                 tokens[kind == 2], counts(kind == 2, lead),
                 np.array(pairs, np.int32).reshape(-1, 2), counts(left, lead),
                 np.array(quotes, np.int32).reshape(-1, 2), len(quotes)]
        self._opening_lists = [np.ascontiguousarray(x) for x in lists if isinstance(x, np.ndarray)]
        at = iter(self._opening_lists)
        self.openings = np.array([next(at).ctypes.data if isinstance(x, np.ndarray) else x for x in lists],
                                 np.int64)

    def _tries(self) -> Parts:
        """The structural trie, the suffix trie and the cuts; the rest of the parts still empty."""
        table, accept, blob = self.static, self.accept, self.blob
        tokens = np.ascontiguousarray(self.trie.dfs_tokens)
        flags = np.zeros(tokens.size, np.uint8)
        _structural(table, accept, blob, self.offsets, tokens, flags)
        ids = np.sort(tokens[flags == 1])
        struct = self._subtrie(ids, np.zeros(ids.size, np.int64), ids)
        count = _cuts(table, accept, blob, self.offsets, np.zeros((1, 2), np.int64), False)
        cuts = np.zeros((count, 2), np.int64)
        _cuts(table, accept, blob, self.offsets, cuts, True)
        cuts = cuts[self.vocabulary.ordinary[cuts[:, 0]] == 1] if count else cuts
        suffix = self._subtrie(cuts[:, 0], cuts[:, 1], np.arange(len(cuts), dtype=np.int32))
        none = np.zeros(0, np.int32)
        return Parts(struct, suffix, cuts.astype(np.int32), none, none, none, none, none, none)

    def _subtrie(self, tokens, starts, payload) -> TokenTrie:
        """Trie of the tails of `tokens` from byte `starts` on."""
        blob, offsets = tails(self.blob, self.offsets, tokens, starts)
        return TokenTrie.from_strings(blob, offsets, np.asarray(payload, np.int32))

    def _cut_lists(self, cuts: np.ndarray) -> None:
        """Where each token is cut, and the suffix node behind each cut."""
        node_of = np.zeros(len(cuts), np.int32)
        owner = np.repeat(np.arange(len(self.suffix), dtype=np.int32), np.diff(self.suffix.first))
        node_of[self.suffix.dfs_tokens] = owner
        self.cut_off = np.zeros(self.vocabulary.size + 1, np.int32)
        np.cumsum(np.bincount(cuts[:, 0], minlength=self.vocabulary.size), out=self.cut_off[1:])
        self.cut_pos = np.ascontiguousarray(cuts[:, 1], np.int32)
        self.cut_suffix = node_of

    def _regions(self, parts: Parts) -> Parts:
        """`parts` with the regions of the static states, and the characters in each token."""
        rows = np.zeros((sd.N_STATIC, self.words), np.int64)
        stack = np.zeros(self.depth + 2, np.int64)
        block = self._block
        block[ml.STACK] = stack.ctypes.data
        cap = int(self.trie.dfs_tokens.size) + 1
        pairs, lens = np.zeros((cap, 2), np.int32), np.zeros(cap, np.int32)
        kept, counts = [], np.zeros(sd.N_STATIC, np.int32)
        for q in range(sd.N_STATIC):
            if q in NO_REGION:
                continue
            n = mr.static_region(block.ctypes.data, q, rows[q].ctypes.data, pairs.ctypes.data, cap, 0)
            order = np.argsort(pairs[:n, 1], kind="stable")
            kept.append(pairs[:n][order].copy())
            counts[q] = n
        scratch = np.zeros(self.words, np.int64)
        n = mr.static_region(block.ctypes.data, 0, scratch.ctypes.data, pairs.ctypes.data, cap, lens.ctypes.data)
        order = np.argsort(pairs[:n, 1], kind="stable")
        tokens = np.ascontiguousarray(self.trie.dfs_tokens)
        inside = np.zeros(tokens.size, np.int32)
        _char_counts(self.static, self.blob, self.offsets, tokens, inside)
        chars = np.full(self.vocabulary.size, NOT_INSIDE, np.uint16)
        chars[tokens] = np.where(inside < 0, NOT_INSIDE, np.minimum(inside, MAX_LENGTH_ROWS))
        return parts._replace(region_rows=rows, region_counts=counts, region_pairs=np.concatenate(kept),
                              string_pairs=pairs[:n][order].copy(), string_lens=lens[:n][order].copy(),
                              chars=chars)

    def _use_regions(self, parts: Parts) -> None:
        """The records that kernels read the regions from."""
        self.region_rows, self.region_pairs = parts.region_rows, parts.region_pairs
        self.string_pairs, self.string_lens = parts.string_pairs, parts.string_lens
        counts = parts.region_counts.astype(np.int64)
        self.regions = records = np.zeros((sd.N_STATIC, ml.REGION_W), np.int64)
        have = [q for q in range(sd.N_STATIC) if q not in NO_REGION]
        records[have, ml.R_ROW] = self.region_rows.ctypes.data + 8 * self.words * np.array(have)
        records[:, ml.R_PAIRS] = self.region_pairs.ctypes.data + 8 * (np.cumsum(counts) - counts)
        records[:, ml.R_NPAIRS] = counts
        records[have, ml.R_ABS] = 1

    def _length_rows(self, chars: np.ndarray) -> None:
        """Row k: the tokens that begin at most k characters inside a string."""
        inside = np.flatnonzero(chars != NOT_INSIDE)
        by_length = inside[np.argsort(-chars[inside].astype(np.int64), kind="stable")]
        self.long_tokens = by_length.astype(np.int32)
        self.long_chars = chars[by_length].astype(np.int32)
        self.string_ends = np.zeros(len(self.string_pairs), np.int32)
        _quote_places(self.static, self.blob, self.offsets, self.string_pairs, self.string_ends)
        longest = int(chars.max(initial=0, where=chars != NOT_INSIDE))
        if longest >= MAX_LENGTH_ROWS:
            self.length_rows = np.zeros((0, self.words), np.int64)
            return
        rows = np.zeros((longest + 1, 8 * self.words), np.uint8)
        used = np.bincount(chars, minlength=longest + 1)
        for k in range(longest + 1):
            if k and not used[k]:
                rows[k] = rows[k - 1]
            else:
                packed = np.packbits(chars <= k, bitorder="little")
                rows[k, :packed.size] = packed
        self.length_rows = rows.view(np.int64)

    # ---------------------------------------------------------------- use
    def fill_block(self, block: np.ndarray) -> None:
        """Write the addresses of these tables into the block of an arena."""
        block[sl.STATIC] = self.static.ctypes.data
        block[sl.STATIC_ACC] = self.accept.ctypes.data
        block[ml.TRIE] = self.trie.nodes.ctypes.data
        block[ml.TRIE_FIRST] = self.trie.first.ctypes.data
        block[ml.TRIE_TOKENS] = self.trie.dfs_tokens.ctypes.data
        block[ml.TRIE_TOKEN] = self.trie.token.ctypes.data
        block[ml.STRUCT_TOKEN] = self.struct.token.ctypes.data
        block[ml.TRIE_BYTES] = self.bytes_below.ctypes.data
        block[ml.DEPTH] = self.depth
        block[ml.ROOT_CHILD] = self.trie.root_child.ctypes.data
        block[ml.CHILDREN] = self.child_off.ctypes.data
        block[ml.CHILD_BYTE] = self.child_byte.ctypes.data
        block[ml.CHILD_NODE] = self.child_node.ctypes.data
        block[ml.N_TOKENS] = self.vocabulary.size
        block[ml.OPENINGS] = self.openings.ctypes.data
        block[ml.DUPS] = self.dups.ctypes.data
        block[ml.N_DUPS] = len(self.dups)
        block[ml.STRUCT] = self.struct.nodes.ctypes.data
        block[ml.STRUCT_FIRST] = self.struct.first.ctypes.data
        block[ml.STRUCT_TOKENS] = self.struct.dfs_tokens.ctypes.data
        block[ml.SUFFIX] = self.suffix.nodes.ctypes.data
        block[ml.N_SUFFIX] = len(self.suffix)
        block[ml.CUT_OFF] = self.cut_off.ctypes.data
        block[ml.CUT_POS] = self.cut_pos.ctypes.data
        block[ml.CUT_SUFFIX] = self.cut_suffix.ctypes.data
        block[ml.WORDS] = self.words
        block[ml.EOS] = self.eos.ctypes.data
        block[ml.N_EOS] = self.eos.size
        block[ml.BLOB] = self.blob.ctypes.data
        block[ml.OFFSETS] = self.offsets.ctypes.data
        block[ml.KIND] = self.kind.ctypes.data
        block[sl.MAY_START] = _MAY_START.ctypes.data
        for slot, native in natives().items():
            block[slot] = native.address
        if block is not self._block:
            block[ml.S_REGION] = self.regions.ctypes.data
            block[ml.LEN_ROWS] = self.length_rows.ctypes.data
            block[ml.N_LEN_ROWS] = len(self.length_rows)
            block[ml.STR_PAIRS] = self.string_pairs.ctypes.data
            block[ml.N_STR_PAIRS] = len(self.string_pairs)
            block[ml.STR_LENS] = self.string_lens.ctypes.data
            block[ml.STR_ENDS] = self.string_ends.ctypes.data
            block[ml.LONG_TOKENS] = self.long_tokens.ctypes.data
            block[ml.LONG_CHARS] = self.long_chars.ctypes.data
            block[ml.N_LONG] = len(self.long_tokens)

    def take_chunk(self) -> np.ndarray:
        """Room for 64 rows, reused where an arena has gone."""
        with self.lock:
            if self._free:
                return self._free.pop()
        return np.empty((CHUNK_ROWS, self.words), np.int64)

    def give_back(self, chunks: list[np.ndarray]) -> None:
        """Take chunks of rows back from an arena that is no longer used."""
        with self.lock:
            self._free.extend(chunks[: max(0, 32 - len(self._free))])
        chunks.clear()


_tables: "weakref.WeakKeyDictionary[Vocabulary, TokenTables]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def token_tables(vocabulary: "Vocabulary", json: bool = True) -> TokenTables:
    """The tables of `vocabulary`, built once a process; those for JSON when they are first asked for."""
    with _lock:
        tables = _tables.get(vocabulary)
        if tables is None:
            tables = TokenTables(vocabulary, json)
            # the tables hold the arrays, not the vocabulary, or it would live forever
            tables.vocabulary = weakref.proxy(vocabulary)
            _tables[vocabulary] = tables
        elif json:
            tables.for_json()
        return tables
