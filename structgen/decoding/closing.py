"""Masks that leave room for the shortest completion.

U(s) bounds the number of tokens, EOS included, that a completion of s needs:
the greedy longest-match tokenisation of the shortest completion (see
:mod:`.shortest`), or, where that is only estimated, its number of bytes.  What
is left of a chosen completion after one of its tokens is the chosen completion
of the state reached, so U falls by one along it, and with R tokens left,
allowing t only if ``1 + U(next(s, t)) <= R`` never leaves the mask empty once
``U(start) <= R``.

There is one exception.  U of several threads is the least of theirs, and the
completion of few tokens need not be the one of few bytes.  Where such threads
become one (alternatives of ``anyOf`` behind a key they share), only the
completion of fewest bytes is known any more, and U may stay as it is.  If that
empties a mask, the matcher goes on with the completion that fitted
before (:meth:`Closing.plans`), so it is looked up where it is needed, not kept.

A walk over tokens does not know the text of an undeclared key that ends inside
a token.  That key can only matter behind a comma in the same token, so tokens
with a key's end and a comma behind it (two of Llama 3's 128,000) are left out,
of U as of the masks, as soon as the budget comes into sight.  The same goes, in
grammars with arrays whose items must differ, for tokens that may go from one
item into the next (400 of 128,000).

Cost: nothing is computed until a budget is asked for.  A state is walked once
to learn the greatest U one token away, and again only below that.  Inside a
string or key where anything goes only the tokens with a quote or a backslash
in them are walked (2,700 of 128,000): all others lead to one of a few states,
the same for all such strings, but for the beginnings of names.
"""

from __future__ import annotations

import ctypes
import re
import weakref
from typing import TYPE_CHECKING, Iterator

import numpy as np

from ..automata import lexer_kernels as lk
from ..automata import stack_layout as sl
from ..automata import static_dfa as sd
from ..errors import VocabularyError
from ..tokens import mask_budgets as mb
from ..tokens import mask_kernels as mk
from ..tokens import mask_layout as ml
from ..tokens.tables import TokenTables
from ..tokens.trie import TokenTrie, _longest, greedy_count, greedy_tokens
from .extra_keys import ExtraKeys
from .shortest import STATIC, Completions, Text

if TYPE_CHECKING:
    from ..automata.arena import Arena
    from ..tokens.vocabulary import Vocabulary

__all__ = ["Closing"]

#: A key and a comma behind its value, in one token.
_SPANNING = re.compile(rb'"[ \t\r\n]*:.*,', re.DOTALL)
#: What may be a comma with something of the item behind it, in one token.
_NEXT_ITEM = re.compile(rb',[ \t\r\n]*[^ \t\r\n]')
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
#: The part of a word that stands in a string as it is.
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_NONE = np.zeros(0, np.uint8)
#: Tokens looked up for one completion before its counts are kept for others.
MAX_FRESH = 24


def _in_string(q: int) -> bool:
    """Is `q` a static string state, where anything may follow?"""
    return 0 <= q < 16 or 48 <= q < 52


class _Pieces:
    """What closing needs to know about one vocabulary."""

    def __init__(self, tables: TokenTables, items: bool):
        trie = tables.trie
        self.nodes, self.root_child = trie.nodes, trie.root_child
        self.token = trie.token
        self.static, self.words = tables.static, tables.words
        self.same: dict[int, list[int]] = {}
        for one, other in tables.dups.tolist():
            self.same.setdefault(one, []).append(other)
        tokens = np.flatnonzero(tables.kind == 0)
        blob, offsets = tables.blob.tobytes(), tables.offsets.tolist()
        marked, plain = [], []
        for t in tokens.tolist():
            a, b = offsets[t], offsets[t + 1]
            (marked if blob.find(b'"', a, b) >= 0 or blob.find(b"\\", a, b) >= 0 else plain).append(t)
        spanning = [t for t in marked if _SPANNING.search(blob, offsets[t], offsets[t + 1])]
        if items:       # where items must differ, the next must not be read before this one is known
            spanning += [t for t in tokens.tolist() if _NEXT_ITEM.search(blob, offsets[t], offsets[t + 1])]
        if spanning:
            self.token = np.where(np.isin(self.token, spanning), np.int32(-1), self.token)
        self.spanning, self.marked = self.row(spanning), self.row(marked)
        ids = np.array(marked, np.int64)
        #: the tokens with a quote or a backslash
        self.trie: TokenTrie = tables._subtrie(ids, np.zeros(ids.size, np.int64), ids)
        self._plain = np.array(plain, np.int64)
        self._blob, self._starts = tables.blob, tables.offsets[self._plain]
        self._sizes = tables.offsets[self._plain + 1] - self._starts
        self._inside: dict[int, list[tuple[int, np.ndarray]]] = {}
        #: a completion and its counts (see `count`); replaced as a whole, so threads may race
        self._known = np.zeros(0, np.uint8), np.zeros(1, np.int32)

    def row(self, tokens) -> np.ndarray:
        """A row with the bits of `tokens` set."""
        row = np.zeros(self.words * 64, bool)
        row[tokens] = True
        return np.packbits(row, bitorder="little").view(np.int64)

    def inside(self, q: int) -> list[tuple[int, np.ndarray]]:
        """(string state, row of the plain tokens that lead there) from string state `q`."""
        rows = self._inside.get(q)
        if rows is None:
            at = np.full(self._plain.size, q, np.int64)
            for k in range(int(self._sizes.max(initial=0))):
                alive = np.flatnonzero((self._sizes > k) & (at >= 0))
                at[alive] = self.static[at[alive], self._blob[self._starts[alive] + k]]
            rows = [(r, self.row(self._plain[at == r])) for r in np.unique(at[at >= 0]).tolist()]
            self._inside[q] = rows
        return rows

    def beginnings(self, data: bytes) -> list[int]:
        """The tokens that are a beginning of `data`."""
        source, out = np.frombuffer(bytearray(data), np.uint8), []
        stop = source.size
        while stop > 0:
            token, stop = _longest(self.nodes, self.token, self.root_child, source, 0, stop, _NONE)
            if token < 0:
                break
            out.append(int(token))
            out += self.same.get(int(token), ())
            stop -= 1
        return out

    def tokens(self, data: bytes) -> list[int]:
        """The greedy tokenisation that `count` counts."""
        source = np.frombuffer(bytearray(data), np.uint8)
        out = np.empty(source.size, np.int32)
        n = greedy_tokens(self.nodes, self.token, self.root_child, source, out)
        return out[:n].tolist() if n >= 0 else []

    def count(self, data: bytes) -> int:
        """Tokens of the greedy tokenisation without those that span a member.

        Completions asked for in a row mostly end alike: the counts of one of them
        from each of its bytes on serve the others.
        """
        source = np.frombuffer(bytearray(data), np.uint8)
        known, counts = self._known
        n, looked = greedy_count(self.nodes, self.token, self.root_child, source, known, counts, False)
        if n < 0:
            raise VocabularyError("no sequence of tokens spells the shortest completion "
                                  f"{data[:40].decode('utf-8', 'replace')!r}...")
        if looked > MAX_FRESH:
            counts = np.empty(source.size + 1, np.int32)
            greedy_count(self.nodes, self.token, self.root_child, source, source, counts, True)
            self._known = source, counts
        return int(n)


_pieces: "weakref.WeakKeyDictionary[TokenTables, dict[bool, _Pieces]]" = weakref.WeakKeyDictionary()


class Closing:
    """Budgets in one arena; call under the arena's lock."""

    def __init__(self, arena: "Arena", vocabulary: "Vocabulary"):
        self.arena = arena = weakref.proxy(arena)              # the arena owns this object
        self.vocabulary = vocabulary
        kinds = _pieces.setdefault(arena.tables, {})
        pieces = kinds.get(arena.unique)
        if pieces is None:
            pieces = kinds[arena.unique] = _Pieces(arena.tables, arena.unique)
        self._pieces = pieces
        extras = ExtraKeys(arena.lexer)
        self._estimated = Completions(arena, extras, exact=False)
        self._exact = Completions(arena, extras, exact=True)
        #: Where clauses may want undeclared keys, estimates fall by jumps; bytes are a bound that stays one.
        self._by_bytes: bool = getattr(arena.grammar, "open_clauses", False)
        #: state -> a bound on U one token later, once known
        self._peaks: dict[int, int] = {}

    # ---------------------------------------------------------------- budget
    def tokens_needed(self, state: int) -> int:
        """U of a state: the least over its threads."""
        return min(self._u(t) for t in self.arena.threads(state))

    def _u(self, thread: int) -> int:
        return self._tokens(self._estimated.thread(thread))

    def _tokens(self, text: Text) -> int:
        size, data, loose = text
        return (size if loose or self._by_bytes else self._pieces.count(data)) + 1

    def plans(self, state: int, left: int) -> Iterator[list[int]]:
        """The tokens of the completions of a state's threads that fit in `left`, EOS included but not listed."""
        for thread in self.arena.threads(state):
            _, data, loose = self._estimated.thread(thread)
            tokens = [] if loose else self._pieces.tokens(data)
            if not loose and len(tokens) < left:
                yield tokens

    def narrow(self, state: int, left: int, address: int, words: int) -> bool:
        """Take from the mask at `address` the tokens whose completion would not fit.

        `left` tokens remain, EOS and the next one included.  Returns whether any
        completion had to be looked at.
        """
        arena, limit = self.arena, left - 1
        with arena.lock:
            peak = self._peaks.get(state)
            if peak is not None and limit >= peak:
                if limit < 2 * peak + 64 and not self._estimated.is_text:
                    self._apply(~self._pieces.spanning, address, words)
                return False
            row = ~self._pieces.spanning
            threads = self.arena.threads(state)
            fits = np.zeros((len(threads), row.size), np.int64)
            self._peaks[state] = max([self._narrow(t, len(threads) == 1, limit, r) for t, r in zip(threads, fits)])
            row &= np.bitwise_or.reduce(fits)
        for t in self.vocabulary.eos_ids:
            row[t >> 6] |= np.int64(np.uint64(1 << (t & 63)).view(np.int64))
        self._apply(row, address, words)
        return True

    @staticmethod
    def _apply(row: np.ndarray, address: int, words: int) -> None:
        """Clear in the mask what is not set in `row`."""
        have = row.view(np.int32)
        mask = np.frombuffer((ctypes.c_int32 * words).from_address(address), np.int32)
        n = min(words, have.size)
        np.bitwise_and(mask[:n], have[:n], out=mask[:n])

    def _narrow(self, thread: int, alone: bool, limit: int, row: np.ndarray) -> int:
        """Set in `row` the tokens of one thread with U <= `limit` behind them; returns the greatest U."""
        q, c = thread >> sl.SHIFT, thread & sl.LOW
        known = self._estimated
        if _in_string(q):
            return self._plain(thread, q, known.closed(c), [], limit, row)
        if sl.KEY_BASE <= q < sl.WSX_BASE:
            names, extra, seen = known.key_states(q)
            if _in_string(extra) and known.is_trie(names) and known.is_trie(seen):
                tail = known.any_key(q, c)
                if tail is not None:
                    below = [w for t in (names, seen) if t >= 0 for _, w in known.words_below(t)]
                    return self._plain(thread, extra, tail, below, limit, row)
        elif lk.AL_BASE <= q < lk.TRIE_BASE and alone and self.arena.lexer.anylen(q & ~31)[0] == 0:
            u = q & 31
            return self._plain(thread, u if u < 16 else u + 32, known.closed(c), [], limit, row)
        between = sd.WS <= q < sd.LX_BASE or q == sl.MUST_SPACE or q >= sl.WSX_BASE
        return self._ends(1 if between else 0, thread, limit, row.ctypes.data)

    def _plain(self, thread: int, q: int, tail: Text, names: list[bytes], limit: int, row: np.ndarray) -> int:
        """The same in a string state `q` with `tail` behind its end; `names` are words that change things."""
        pieces, peak = self._pieces, 0
        for r, tokens in pieces.inside(q):
            u = self._tokens((len(STATIC[r]) + tail[0], STATIC[r] + tail[1], tail[2]))
            peak = max(peak, u)
            if u <= limit:
                row |= tokens
        special: dict[int, bytes] = {}
        for word in names:
            word = _PLAIN.match(word).group()           # behind it tokens have a backslash in them
            special.update((t, word) for t in pieces.beginnings(word))
        for t, word in special.items():
            size = int(self.arena.tables.length_list[t])
            after = self._after(thread, word[:size])
            u = self._u(after) if after >= 0 else 0
            peak = max(peak, u)
            bit = np.int64(np.uint64(1 << (t & 63)).view(np.int64))
            if 0 < u <= limit:
                row[t >> 6] |= bit
            else:
                row[t >> 6] &= ~bit
        return max(peak, self._walk_marked(thread, limit, row))

    def _after(self, thread: int, data: bytes) -> int:
        """The thread after bytes that stay inside a key; negative if they cannot follow."""
        source = np.frombuffer(data, np.uint8)
        return self.arena.call(mk.advance_bytes, thread, source.ctypes.data, len(data))

    # ---------------------------------------------------------------- walks
    def _walk_marked(self, state: int, limit: int, row: np.ndarray) -> int:
        """Walk the tokens with a quote or a backslash in them only."""
        block, trie = self.arena.block, self._pieces.trie
        slots = [ml.TRIE, ml.TRIE_FIRST, ml.TRIE_TOKENS]
        before = block[slots].copy()
        block[slots] = [a.ctypes.data for a in (trie.nodes, trie.first, trie.dfs_tokens)]
        try:
            return self._ends(0, state, limit, row.ctypes.data)
        finally:
            block[slots] = before

    def _ends(self, which: int, state: int, limit: int, row: int) -> int:
        """Walk a trie, setting in `row` the tokens with U <= `limit` behind them; returns the greatest U."""
        arena = self.arena
        while True:
            n = arena.call(mb.ends, which, state, limit, row)
            if n == 0:
                return int(arena.block[ml.PEAK])
            for thread in arena.pool("ask")[:n].tolist():
                if mk.mask_call(arena.address, mk.CALL_PUT_U, thread, self._u(thread), 0, 0, 0, 0):
                    arena.grow_u()

    # ---------------------------------------------------------------- texts
    def completion(self, state: int, text: bytes = b"") -> bytes:
        """The shortest completion of a state reached by `text`."""
        def key() -> bytes:
            end = 0
            for found in _STRING.finditer(text):
                end = found.end()
            return text[text.index(b'"', end) + 1:]

        with self.arena.lock:
            return min(self._exact.thread(t, key) for t in self.arena.threads(state))[1]
