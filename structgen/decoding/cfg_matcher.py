"""Matchers of context-free grammars: the same interface over another machine.

A state is the number of a configuration (see ``automata/cfg_kernels.py``);
everything else (history, rollback, forks, drafts, errors) is `Matcher`'s.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Callable, Optional

import numpy as np

from ..automata import cfg_kernels as ck
from ..automata import cfg_layout as cl
from ..automata.arena import ArenaFull
from ..automata.cfg_kernels import cfg_begin, cfg_fill
from ..automata.cfg_search import shortest, split_specials
from ..errors import LimitError, MatcherError, VocabularyError
from ..tokens.trie import greedy_tokens
from .arguments import address_of, destination, integer
from .matcher import Matcher
from .text_before import Node

if TYPE_CHECKING:
    from ..automata.cfg_arena import CfgArena
    from ..tokens.vocabulary import Vocabulary

__all__ = ["CfgMatcher", "CfgClosing"]


class CfgMatcher(Matcher):
    """Position in a compiled context-free grammar; see `Matcher`."""

    __slots__ = ()
    batched = False

    def fill_bitmask(self, bitmask: Any, row: int = 0) -> None:
        """Write the mask of the next token into ``bitmask[row]``; see `Matcher.fill_bitmask`."""
        if bitmask is not self._out:
            self._out_at = destination(bitmask, (self.vocabulary.size + 31) // 32)
            self._out = bitmask
        base, stride, words, rows = self._out_at
        if type(row) is not int:
            row = integer(row, "a row")
        if not 0 <= row < rows:
            raise MatcherError(f"row {row} is outside the bitmask's {rows} rows")
        node = self._node
        if not node[5] and self._closing is None:
            self._acquire()
            try:
                r = cfg_fill(self._address, node[0], base + row * stride, words)
            finally:
                self._release()
            if r >= 0:
                return
        self._fill(base + row * stride, words)

    def _run(self, kernel, *args: int) -> int:
        """Build the row and copy it: what `Matcher._fill` asks for."""
        self._operate(ck.O_ROW)
        with self._arena.lock:
            return cfg_fill(self._address, self._node[0], *args)

    def _operate(self, op: int, a: int = 0, b: int = 0) -> int:
        """An operation on the current state; moves if the arena is full."""
        moved = False
        while True:
            arena = self._arena
            try:
                with arena.lock:
                    arena.may_exceed = moved
                    try:
                        return arena.op(op, self._node[0], a, b)
                    finally:
                        arena.may_exceed = False
            except ArenaFull:
                self._move()
                moved = True
            except LimitError as error:
                error.partial = self.text.decode("utf-8", "replace")
                raise

    def _advance(self, node: Node, data: bytes) -> tuple[int, int]:
        arena = self._arena
        try:
            with arena.lock:
                arena.may_exceed = True
                try:
                    r = arena.op(ck.O_ADVANCE, node[0], address_of(data), len(data))
                    if r != cl.DEAD:
                        return r, 0
                    # which byte it is takes a look at each, as what dies may be noticed late
                    state = node[0]
                    for i in range(len(data)):
                        state = arena.op(ck.O_ADVANCE, state, address_of(data) + i, 1)
                        if state == cl.DEAD:
                            return r, i
                    raise AssertionError("a text dies as a whole and lives byte by byte")
                finally:
                    arena.may_exceed = False
        except LimitError as error:
            error.partial = self.text.decode("utf-8", "replace")
            raise

    def try_accept(self, token: int) -> bool:
        """`accept` that returns False instead of raising when the token cannot follow."""
        node = self._node
        if type(token) is not int:
            token = integer(token, "a token id")
        kind = self._kind(token)
        if node[5]:
            return False
        if kind == 2 and self._accept_end(token):
            return True
        self._acquire()
        try:
            r = cfg_begin(self._address, node[0], token)
        finally:
            self._release()
        if r < cl.DEAD:
            r = self._operate(ck.O_TOKEN, token)
            node = self._node                 # a move replays the history
        if r < 0:
            return False
        self._node = (r, token, node, node[3] + self._lengths[token], node[4] + 1, False)
        return True

    def can_end(self) -> bool:
        """Whether the text so far is complete (EOS is allowed)."""
        if self._node[5]:
            return False
        return self._operate(ck.O_CAN_END) == 1

    def expected_terminals(self) -> "tuple[list[str], list[str]]":
        """The terminals being read here, and those that may begin here; texts as Python literals.

        Examples
        --------
        >>> import structgen as sg
        >>> letters = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
        >>> m = sg.compile(sg.Lark('start: NAME "=" NAME\\nNAME: /[a-z]+/'), letters).matcher()
        >>> m.accept_bytes(b"x")
        >>> m.expected_terminals()
        (['NAME'], ["'='"])
        """
        if self._node[5]:
            return [], []
        with self._arena.lock:
            return expected_terminals(self._arena, self._node[0])

    def _bytes_next(self, flags: np.ndarray) -> int:
        program = self._arena.program
        found = np.zeros(program.ncls + 8, np.uint8)
        self._operate(ck.O_CLASSES, int(found.ctypes.data))
        allowed = found[program.classes]
        flags.view(np.uint8)[:] = allowed
        return int(allowed.sum())

    def _replayed(self, node: Node, piece: "int | bytes") -> int:
        if isinstance(piece, bytes):
            return self._advance(node, piece)[0] if piece else node[0]
        arena = self._arena
        with arena.lock:
            arena.may_exceed = True
            try:
                return arena.op(ck.O_TOKEN, node[0], piece)
            finally:
                arena.may_exceed = False

    def shortest_completion(self) -> bytes:
        """A shortest text that completes the one accepted; of those, the least in byte order."""
        if self._node[5]:
            return b""
        with self._arena.lock:
            return _only_text(self._arena, shortest(self._arena, self._node[0]))


def expected_terminals(arena: "CfgArena", state: int) -> "tuple[list[str], list[str]]":
    """See `CfgMatcher.expected_terminals`."""
    p = arena.program
    names = [terminal_name(t) for t in p.grammar.terminals]
    names += [terminal_name(p.grammar.terminals[t]) for t in p.ignored]
    names += [terminal_name(p.grammar.terminals[p.blocks.newline])] if p.blocks is not None else []
    owners = getattr(p, "lexeme_of", None)
    if owners is None:
        owners = p.lexeme_of = {}
        for x in range(p.nx):
            for q in p.starts_of(x):
                for s in p._shape(q)[0]:
                    owners.setdefault(s, set()).add(x)
    made = set() if p.blocks is None else {p.blocks.indent, p.blocks.dedent}
    reading: dict[str, None] = {}
    coming: dict[str, None] = {}
    for thread in arena.threads(state):
        q, _ = arena.unpair(thread >> 32)
        if q:
            reading.update(dict.fromkeys(names[x] for x in sorted(owners.get(q, ()))))
            continue
        for a in range(p.nt):
            if a not in made and arena.op(ck.O_SHIFT, thread & cl.LOW, a) > 0:
                coming[names[a]] = None
    return list(reading), list(coming)


def terminal_name(terminal: Any) -> str:
    """A terminal for messages: its text where it is one, else its name."""
    if terminal.match is not None and terminal.match.literal is not None:
        return repr(terminal.match.literal)
    if terminal.match is not None and terminal.name.startswith("__"):
        return f"/{terminal.match.source}/"
    return terminal.name


class CfgClosing:
    """Budgets over a context-free grammar: U(s) is the tokens of s's shortest completion, EOS included."""

    def __init__(self, arena: "CfgArena", vocabulary: "Vocabulary"):
        self.arena, self.vocabulary = arena, vocabulary
        #: tokens of the text of an embedded terminal; None for special tokens
        self.needed_inside: "Callable[[int], Optional[int]]" = lambda terminal: None
        self._needed: dict[int, int] = {}
        self._peaks: dict[int, int] = {}

    def tokens_needed(self, state: int) -> int:
        """U of a configuration."""
        found = self._needed.get(state)
        if found is None:
            trie = self.arena.tables.trie
            found = 1
            for part in split_specials(shortest(self.arena, state)):
                if isinstance(part, int):
                    inside = self.needed_inside(part)
                    found += 1 if inside is None else inside
                    continue
                source = np.frombuffer(bytearray(part), np.uint8)
                out = np.empty(source.size, np.int32)
                n = greedy_tokens(trie.nodes, trie.token, trie.root_child, source, out) if source.size else 0
                if n < 0:
                    raise VocabularyError(f"no sequence of tokens spells the shortest completion {part[:40]!r}")
                found += int(n)
            self._needed[state] = found
        return found

    def narrow(self, state: int, left: int, address: int, words: int) -> None:
        """Take from the mask at `address` the tokens whose completion would not fit."""
        arena, limit = self.arena, left - 1
        peak = self._peaks.get(state)
        if peak is not None and limit >= peak:
            return
        with arena.lock:
            row = np.zeros(arena.tables.words, np.int64)
            mask = np.frombuffer((ctypes.c_int32 * words).from_address(address), np.int32)
            n = min(words, 2 * row.size)
            row.view(np.int32)[:n] = mask[:n]
            after = np.full(arena.tables.vocabulary.size, -1, np.int64)
            arena.op(ck.O_NEXTS, state, int(row.ctypes.data), int(after.ctypes.data))
            states = np.unique(after[after >= 0])
            needed = np.array([self.tokens_needed(int(s)) for s in states], np.int64)
        self._peaks[state] = int(needed.max(initial=0))
        late = np.isin(after, states[needed > limit])
        bits = np.zeros(row.size * 64, bool)
        bits[:late.size] = late
        mask[:n] &= ~np.packbits(bits, bitorder="little").view(np.int32)[:n]

    def completion(self, state: int, text: bytes = b"") -> bytes:
        """The shortest completion of a state."""
        return _only_text(self.arena, shortest(self.arena, state))


def _only_text(arena: "CfgArena", data: bytes) -> bytes:
    """A completion that is a text."""
    for part in split_specials(data):
        if isinstance(part, int):
            name = arena.program.grammar.terminals[part].name
            raise MatcherError(f"every completion has the special token {name}, which is no text", token=None,
                               hint="accept the token, then ask again")
    return data
