"""Matcher: one request's position in the language, and its token masks.

A matcher is a chain of immutable nodes (state, what led here, node before), so
fork copies one reference and rollback follows a few.  A state is an int64 of
the compiled grammar's arena; everything heavy is there, shared by all matchers
and threads.  A call that fails changes nothing.

Costs (128,000 tokens): `fill_bitmask` and `accept` 0.3 us each where the state
has been met before; see ``bench/speed.py`` for cold figures.  These two go
straight to a compiled function that holds the GIL and takes no lock (see
:class:`~structgen.automata.arena.ArenaLock`); whatever takes longer does both.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from ..automata.arena import Arena, ArenaFull
from ..automata.array_positions import MIXED
from ..automata.stack_layout import DEAD, LOW, NEED_A
from ..errors import BudgetError, LimitError, MatcherError
from ..tokens import mask_kernels as mk
from ..tokens.mask_kernels import fill
from .arguments import address_of, destination, end_mask, integer
from .closing import Closing
from .item_tokens import item_tokens
from .text_before import Node, TextBefore

if TYPE_CHECKING:
    from .compiled import Compiled

__all__ = ["Matcher", "fill_batch"]

_EVERY_BYTE = np.arange(256, dtype=np.uint8)

#: bytes of a text that one kernel call reads, at most
_PIECE = 64

#: what no bitmask is, and the row that is written if none is named
_NONE: Any = object()
_FIRST = 0

#: Forced bytes are looked for at most this far ahead.
MAX_FORCED = 4096


class Matcher:
    """Position in a compiled constraint; make it with ``compiled.matcher()``.

    Parameters
    ----------
    compiled : Compiled
        The constraint.
    max_tokens : int, optional
        Budget of tokens, EOS included.  Masks then only allow tokens after
        which the shortest completion still fits.

    Raises
    ------
    BudgetError
        If the shortest valid output does not fit into `max_tokens`.
    """

    __slots__ = ("compiled", "vocabulary", "max_tokens", "_arena", "_address", "_acquire", "_release", "_kinds",
                 "_lengths", "_node", "_out", "_out_at", "_closing", "_simple", "_peek", "_step", "_plain_out",
                 "_plain_at")
    #: may `fill_batch` write the masks of several such matchers in one call?
    batched = True

    def __init__(self, compiled: "Compiled", max_tokens: int | None = None):
        self.compiled = compiled
        self.vocabulary = compiled.vocabulary
        self.max_tokens = max_tokens
        self._kinds, self._lengths = compiled.kinds, compiled.lengths
        self._peek, self._step = compiled.peek, compiled.step
        self._use(compiled.arena())
        self._node: Node = (self._arena.start, None, None, 0, 0, False)
        self._out = self._out_at = self._plain_at = None
        self._plain_out: Any = _NONE
        self._closing: Closing | None = None
        #: are masks the kernels' rows as they are?
        self._simple = (max_tokens is None and not compiled.repeating and not compiled.unique_items
                        and not compiled.may_dead_end)
        if max_tokens is not None:
            self._closing = compiled.closing(self._arena)
            with self._arena.lock:
                needed = self._closing.tokens_needed(self._arena.start)
            if needed > max_tokens:
                raise BudgetError(f"the shortest valid output needs {needed} tokens (the end token included), "
                                  f"the budget is {max_tokens}", needed=needed, given=max_tokens,
                                  hint="raise max_new_tokens")

    def _use(self, arena: Arena) -> None:
        """Work in `arena` from here on."""
        self._arena, self._address = arena, arena.address
        # bound methods: a `with` statement costs three times as much
        self._acquire, self._release = arena.lock.acquire, arena.lock.release

    # ------------------------------------------------------------------ masks
    def fill_bitmask(self, bitmask: Any, row: int = 0) -> None:
        """Write the mask of the next token into ``bitmask[row]``.

        Parameters
        ----------
        bitmask : numpy.ndarray or torch.Tensor
            int32 on the CPU, shape (batch, width) or (width,), width >=
            ceil(V / 32), rows contiguous; bit t % 32 of word t // 32 is set if
            token t is allowed.  Words beyond the vocabulary become 0.
        row : int
            The row to write.

        Raises
        ------
        MatcherError
            If the bitmask has another type, shape or layout, or is read-only.
        """
        node = self._node
        if bitmask is self._plain_out and row is _FIRST and not node[5]:    # by far the most frequent
            if self._peek(self._address, node[0], self._plain_at) == 0:
                return
        elif bitmask is not self._out:
            width = (self.vocabulary.size + 31) // 32
            self._out_at = at = destination(bitmask, width)
            self._out = bitmask
            plain = self._simple and at[2] == width and at[3] > 0
            self._plain_out, self._plain_at = bitmask if plain else _NONE, at[0]
        base, stride, words, rows = self._out_at
        if type(row) is not int:
            row = integer(row, "a row")
        if not 0 <= row < rows:
            raise MatcherError(f"row {row} is outside the bitmask's {rows} rows")
        if node[5] or not self._simple:
            self._fill(base + row * stride, words)
            return
        self._acquire()
        try:
            r = fill(self._address, node[0], base + row * stride, words)
        finally:
            self._release()
        if r < 0:
            self._run(fill, base + row * stride, words)

    def _fill(self, address: int, words: int) -> None:
        """The same at an address, for every kind of matcher."""
        if self._node[5]:
            end_mask(address, words, self.vocabulary.eos_ids)
            return
        self._run(fill, address, words)
        if self.compiled.repeating:
            self._check_repeating(address, words)
        if self._arena.unique:
            self._look_again(address, words)
        if self._closing is not None and self._closing.narrow(self._node[0], self.max_tokens - self._node[4], address,
                                                             words):
            mask = np.frombuffer((ctypes.c_uint32 * words).from_address(address), np.uint32)
            if not mask.any():
                token = self._planned()
                mask[token >> 5] |= np.uint32(1 << (token & 31))

    def make_mask(self) -> None:
        """Have the mask of the next token in the arena, for kernels that only look it up."""
        self._run(fill, 0, 0)

    def _planned(self) -> int:
        """The next token of a completion that fitted at an earlier state (see :mod:`.closing`).

        There is one, for a token was only allowed if a completion behind it fitted.
        Looked for from here backwards: behind the last token, before it, and so on.
        """
        since: list[int] = []
        node: Node | None = self._node
        while node is not None:
            left = self.max_tokens - node[4]
            starts = [(node[0], left, since)]
            threads = self._arena.threads(node[0])
            if since and len(threads) > 1:      # threads that were apart behind the token may be one now
                for thread in threads:
                    one = self.fork()
                    one._node = (thread,) + node[1:]
                    if one.try_accept(since[0]):
                        starts.append((one._node[0], left - 1, since[1:]))
            with self._arena.lock:
                for state, room, done in starts:
                    for tokens in self._closing.plans(state, room):
                        if tokens[:len(done)] == done and len(tokens) > len(done) \
                                and self.fork().try_accept(tokens[len(done)]):
                            return tokens[len(done)]
            if node[1] is None:
                break
            since, node = [node[1], *since], node[2]
        raise MatcherError("no token leads to an end within the budget; please report this schema")

    def _check_repeating(self, address: int, words: int) -> None:
        """Take tokens from the mask in which a key comes again that only their own text shows."""
        row = (ctypes.c_uint32 * words).from_address(address)
        for t in self.compiled.repeating:
            if row[t >> 5] >> (t & 31) & 1 and not self.fork().try_accept(t):
                row[t >> 5] &= ~(1 << (t & 31))

    def _look_again(self, address: int, words: int) -> None:
        """Take from the mask tokens that repeat an item (see :mod:`.item_tokens`)."""
        arena, node = self._arena, self._node
        threads = arena.threads(node[0])
        around = 0
        for thread in threads:
            around |= arena.kinds_around(thread & LOW)
        items = item_tokens(arena.tables)
        suspects = items.row(threads, around, arena.item_kinds)
        mask = np.frombuffer((ctypes.c_int32 * words).from_address(address), np.int32)
        n = min(words, suspects.size)
        found = mask[:n] & suspects[:n]
        if not found.any():
            return
        # tokens with the same bytes up to their last comma, by which the item has ended, go on from one state
        behind: dict[bytes, Node | None] = {b"": node}
        for word in np.flatnonzero(found).tolist():
            bits = int(found[word])
            for t in range(32 * word, 32 * word + 32):
                if bits >> (t & 31) & 1:
                    head, tail = items.parts(t)
                    if head not in behind:
                        r = self._advance(node, head)[0]
                        behind[head] = (r, head, node, node[3] + len(head), node[4], False) if r >= 0 else None
                    start = behind[head]
                    if start is None or tail and not self._goes_on(start, tail):
                        mask[word] &= np.int32(np.uint32(0xFFFFFFFF ^ 1 << (t & 31)).view(np.int32))

    def _goes_on(self, node: Node, data: bytes) -> bool:
        """Can `data` follow `node`?"""
        arena = self._arena
        with arena.lock:
            arena.begin_text()
            r = mk.advance_bytes(arena.address, node[0], address_of(data), len(data))
        return r >= 0 or r != DEAD and self._advance(node, data)[0] >= 0

    def _run(self, kernel, *args: int) -> int:
        """A kernel on the current state until it has what it needs; moves if the arena is full."""
        moved = False
        while True:
            arena = self._arena
            try:
                with arena.lock:
                    # a mask that needs more than a fresh arena may hold is made all the same
                    arena.may_exceed = moved
                    try:
                        return arena.call(kernel, self._node[0], *args)
                    finally:
                        arena.may_exceed = False
            except ArenaFull:
                self._move()
                moved = True
            except LimitError as error:
                error.partial = self.text.decode("utf-8", "replace")
                raise

    def _advance(self, node: Node, data: bytes) -> tuple[int, int]:
        """State after `data` from `node`, and where it stopped if that is DEAD."""
        arena = self._arena
        try:
            with arena.lock:
                arena.text_before = before = TextBefore(node, data, self._bytes_of)
                state, address, done, size = node[0], address_of(data), 0, _PIECE
                arena.begin_text()
                while done < len(data):
                    n = min(size, len(data) - done)
                    r = mk.advance_bytes(arena.address, state, address + done, n)
                    if r >= 0:
                        state, done, size = r, done + n, min(4 * size, _PIECE)
                        before.base = done
                        arena.begin_text()
                    elif r == DEAD:
                        return r, done + int(arena.block[NEED_A])
                    else:           # make what is lacking, and read again as little as possible
                        arena.serve(r)
                        size = 1
                return state, done
        except LimitError as error:
            error.partial = self.text.decode("utf-8", "replace")
            raise
        finally:
            arena.text_before = None

    def _move(self) -> None:
        """Go on in a fresh arena, by replaying the text accepted so far."""
        nodes, node = [], self._node
        while node is not None:
            nodes.append(node)
            node = node[2]
        self._use(self.compiled.renew(self._arena))
        new: Node | None = None
        for _, piece, _, size, used, ended in reversed(nodes):
            if new is None:
                new = (self._arena.start, None, None, 0, 0, False)
                continue
            new = (new[0] if ended else self._replayed(new, piece), piece, new, size, used, ended)
        self._node = new
        if self._closing is not None:
            self._closing = self.compiled.closing(self._arena)

    def _replayed(self, node: Node, piece: "int | bytes") -> int:
        """The state after a token or text that was accepted before, from `node`."""
        return self._advance(node, self._bytes_of(piece))[0]

    # ------------------------------------------------------------------ moving
    def accept(self, token: int) -> None:
        """Take the next token; an end token is allowed where the text is complete.

        Raises
        ------
        MatcherError
            If the token cannot follow (the matcher is unchanged).
        """
        if not self.try_accept(token):
            raise self._refusal(int(token))

    def try_accept(self, token: int) -> bool:
        """`accept` that returns False instead of raising when the token cannot follow."""
        node = self._node
        if type(token) is int and not node[5]:
            try:
                r = self._step(self._address, node[0], token)
            except OverflowError:
                raise self._bad_token(token) from None
            if r >= 0:
                self._node = (r, token, node, node[3] + self._lengths[token], node[4] + 1, False)
                return True
            if r == DEAD:
                return False
        return self._accept_slowly(token)

    def _accept_slowly(self, token: int) -> bool:
        """What the kernel leaves to Python: other integers, special tokens, tables that must grow."""
        node = self._node
        if type(token) is not int:
            token = integer(token, "a token id")       # kernels are compiled for one type
        kind = self._kind(token)
        if kind != 0:
            return kind == 2 and self._accept_end(token)
        if node[5]:
            return False
        r = self._advance(node, self.vocabulary.token_bytes(token))[0]
        if r < 0:
            return False
        self._node = (r, token, node, node[3] + self._lengths[token], node[4] + 1, False)
        return True

    def _kind(self, token: int) -> int:
        """What an id stands for (0: bytes, 2: the end); raises for one outside the vocabulary."""
        try:
            kind = self._kinds[token]
        except IndexError:
            raise self._bad_token(token) from None
        if token < 0:
            raise self._bad_token(token)
        return kind

    def _accept_end(self, token: int) -> bool:
        """Take an end token, if the text may end here."""
        if not self.can_end():
            return False
        node = self._node
        self._node = (node[0], token, node, node[3], node[4] + 1, True)
        return True

    def accept_bytes(self, data: bytes) -> None:
        """Take text, however it would be tokenised; all of it or, on error, none.

        Raises
        ------
        MatcherError
            With `offset` of the first byte that cannot follow.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise MatcherError(f"accept_bytes takes bytes, not {type(data).__name__}")
        data = bytes(data)
        node = self._node
        if node[5]:
            raise MatcherError("the text has ended", offset=node[3], hint="rollback(1) takes the end token back")
        if not data:
            self._node = (node[0], data, node, node[3], node[4], False)
            return
        r, offset = self._advance(node, data)
        if r < 0:
            at = node[3] + offset
            probe = self.fork()
            if offset:
                probe.accept_bytes(data[:offset])
            raise MatcherError(f"byte {data[offset]:#04x} ({_show(data[offset])}) at offset {at} cannot follow",
                               offset=at, expected=probe.expected())
        self._node = (r, data, node, node[3] + len(data), node[4], False)

    @property
    def state(self) -> tuple[int, int, bool]:
        """What the future depends on: positions of equal state allow the same continuations.

        Budgets aside.  Comparable between forks of one matcher only.

        Examples
        --------
        >>> import structgen as sg
        >>> letters = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
        >>> m = sg.compile(sg.Regex("(ab)*"), letters).matcher()
        >>> m.accept_bytes(b"ab")
        >>> once = m.state
        >>> m.accept_bytes(b"ab")
        >>> m.state == once
        True
        """
        return id(self._arena), self._node[0], self._node[5]

    def can_end(self) -> bool:
        """Whether the text so far is complete (EOS is allowed)."""
        if self._node[5]:
            return False
        arena = self._arena
        with arena.lock:
            return mk.mask_call(arena.address, mk.CALL_CAN_END, self._node[0], 0, 0, 0, 0, 0) == 1

    @property
    def is_finished(self) -> bool:
        """Whether an end token has been accepted."""
        return self._node[5]

    def rollback(self, n: int = 1) -> None:
        """Undo the last `n` successful accept, try_accept and accept_bytes calls."""
        node: Node | None = self._node
        n = integer(n, "a number of steps")
        if n < 0:
            raise MatcherError(f"cannot roll back {n} steps")
        for i in range(n):
            assert node is not None
            if node[2] is None:
                raise MatcherError(f"cannot roll back {n} steps: only {i} were accepted")
            node = node[2]
        self._node = node

    def fork(self) -> "Matcher":
        """An independent matcher at the same position; O(1)."""
        other = self.__class__.__new__(self.__class__)
        other.compiled, other.vocabulary, other.max_tokens = self.compiled, self.vocabulary, self.max_tokens
        other._kinds, other._lengths = self._kinds, self._lengths
        other._use(self._arena)
        other._node, other._closing, other._simple = self._node, self._closing, self._simple
        other._peek, other._step = self._peek, self._step
        other._out = other._out_at = other._plain_at = None
        other._plain_out = _NONE
        return other

    def reset(self) -> None:
        """Back to the start, in the newest arena."""
        self._use(self.compiled.arena())
        self._node = (self._arena.start, None, None, 0, 0, False)
        if self._closing is not None:
            self._closing = self.compiled.closing(self._arena)

    # ------------------------------------------------------------------ looking
    @property
    def text(self) -> bytes:
        """The bytes accepted so far."""
        pieces, node = [], self._node
        while node[2] is not None:
            if not node[5]:
                pieces.append(self._bytes_of(node[1]))
            node = node[2]
        return b"".join(reversed(pieces))

    @property
    def n_tokens(self) -> int:
        """Tokens accepted so far, EOS included."""
        return self._node[4]

    def allowed_tokens(self) -> np.ndarray:
        """The ids allowed next, ascending (int64)."""
        words = (self.vocabulary.size + 31) // 32
        mask = np.zeros(words, np.int32)
        self.fill_bitmask(mask)
        return np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))

    def expected_bytes(self) -> bytes:
        """The bytes that may come next, ascending."""
        if self._node[5]:
            return b""
        out = np.zeros(32, np.int64)
        self._bytes_next(out)
        return bytes(np.flatnonzero(out.view(np.uint8)).astype(np.uint8))

    def _bytes_next(self, flags: np.ndarray) -> int:
        """Mark in int64[32] `flags`, seen as bytes, those that may come next; returns how many."""
        with self._arena.lock:
            n = self._arena.call(mk.mask_call, mk.CALL_BYTES, self._node[0], flags.ctypes.data, 0, 0, 0, 0)
        seen = flags.view(np.uint8)
        if self._arena.item_kinds & MIXED and seen[0x2C] and self._advance(self._node, b",")[0] < 0:
            seen[0x2C] = 0      # depends on the item before it
            n -= 1
        return n

    def byte_steps(self) -> list[tuple[int, tuple[int, int, bool]]]:
        """Every byte that may come next, with the :attr:`state` it leads to; nothing is accepted.

        Examples
        --------
        >>> import structgen as sg
        >>> letters = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
        >>> m = sg.compile(sg.Regex("[ab]*c"), letters).matcher()
        >>> m.accept(ord("a"))
        >>> [(chr(b), state == m.state) for b, state in m.byte_steps()]
        [('a', True), ('b', True), ('c', False)]
        """
        node, out = self._node, []
        for b in self.expected_bytes():
            arena, r = self._arena, DEAD - 1
            if isinstance(arena, Arena):        # other arenas have kernels of their own
                with arena.lock:
                    arena.begin_text()
                    r = mk.advance_bytes(arena.address, node[0], _EVERY_BYTE.ctypes.data + b, 1)
            if r < DEAD:
                r = self._advance(node, bytes([b]))[0]
            out.append((b, (id(arena), r, False)))
        return out

    def expected(self) -> str:
        """What may come next, for an error message."""
        allowed = self.expected_bytes()
        parts = [_show(b) for b in allowed if 0x21 <= b < 0x7F]
        if any(b in b" \t\r\n" for b in allowed):
            parts.append("white space")
        if any(b >= 0x80 for b in allowed):
            parts.append("a non-ASCII character")
        if len(parts) > 24:
            parts = parts[:12] + [f"... {len(allowed)} bytes in all"]
        if self.can_end():
            parts.append("the end of the text")
        return " or ".join(parts) if parts else "nothing"

    def forced_bytes(self) -> bytes:
        """The longest text every completion starts with (at most 4096 bytes)."""
        if self._node[5]:
            return b""
        out = bytearray()
        probe = self.fork()
        flags = np.zeros(32, np.int64)
        while len(out) < MAX_FORCED and not probe.can_end():
            flags.fill(0)
            if probe._bytes_next(flags) != 1:
                break
            b = int(np.flatnonzero(flags.view(np.uint8))[0])
            out.append(b)
            probe.accept_bytes(bytes((b,)))
        return bytes(out)

    def shortest_completion(self) -> bytes:
        """A shortest text that completes the one accepted; of those, the least in byte order."""
        if self._node[5]:
            return b""
        probe, out = self, b""
        while True:
            closing = probe._closing or self.compiled.closing(probe._arena)
            with probe._arena.lock:
                text = closing.completion(probe._node[0], probe.text)
            end = text.find(b"\0") if probe._arena.unique else -1      # no JSON text has that byte
            if end < 0:
                return out + text
            # items that must differ are known up to here only
            out += text[:end]
            probe = probe.fork()
            probe.accept_bytes(text[:end])

    def fill_draft_bitmask(self, bitmask: Any, tokens: Sequence[int], parents: Sequence[int]) -> list[bool]:
        """Masks for a tree of draft tokens.

        Parameters
        ----------
        bitmask : array
            As for `fill_bitmask`, with at least ``len(tokens) + 1`` rows.  Row 0
            is the mask here; row i + 1 the mask after ``tokens[i]``.
        tokens, parents : sequences of int
            ``parents[i]`` is the index of the draft token before token i, or -1.

        Returns
        -------
        list of bool
            Whether each draft token is allowed where it stands; rows behind one
            that is not are all zero.
        """
        if len(tokens) != len(parents):
            raise MatcherError(f"{len(tokens)} draft tokens but {len(parents)} parents")
        self.fill_bitmask(bitmask, 0)
        base, stride, words, rows = self._out_at
        if len(tokens) >= rows:
            raise MatcherError(f"{len(tokens)} draft tokens need {len(tokens) + 1} rows, the bitmask has {rows}")
        ok: list[bool] = []
        # a matcher a token, as a fill may move the one that asks to another arena
        after: list[Matcher | None] = []
        for i, (token, parent) in enumerate(zip(tokens, parents)):
            parent = integer(parent, "a parent")
            if not -1 <= parent < i:
                raise MatcherError(f"parent {parent} of draft token {i} does not stand before it")
            before = self if parent < 0 else after[parent]
            probe = None if before is None else before.fork()
            if probe is not None and not probe.try_accept(token):
                probe = None
            ok.append(probe is not None)
            after.append(probe)
            if probe is not None:
                probe._fill(base + (i + 1) * stride, words)
            else:
                end_mask(base + (i + 1) * stride, words, ())
        return ok

    # ------------------------------------------------------------------ helpers
    def _bytes_of(self, piece: int | bytes) -> bytes:
        return piece if isinstance(piece, bytes) else self.vocabulary.token_bytes(piece)

    def _bad_token(self, token: int) -> MatcherError:
        return MatcherError(f"token id {token} is outside the vocabulary of {self.vocabulary.size}",
                            token=token, offset=self._node[3])

    def _refusal(self, token: int) -> MatcherError:
        node = self._node
        if node[5]:
            return MatcherError("the text has ended: nothing can be accepted after the end token",
                                offset=node[3], token=token, hint="rollback(1) takes the end token back")
        kind = self.compiled.kinds[token]
        if kind == 2:
            what = f"end token {token} is not allowed: the text is not complete"
        elif kind == 1:
            what = f"token {token} is a special or unused token and has no text"
        else:
            what = f"token {token} ({self.vocabulary.token_bytes(token)!r}) cannot follow"
        return MatcherError(f"{what} at byte offset {node[3]}", offset=node[3], token=token,
                            expected=self.expected())


def _show(b: int) -> str:
    return repr(chr(b)) if 0x20 <= b < 0x7F else f"byte {b:#04x}"


def fill_batch(matchers: Sequence[Matcher | None], bitmask: Any) -> None:
    """`fill_bitmask` for row i of each matcher i; None leaves a row as it is.

    Rows whose masks are known are written in one kernel call.
    """
    if not matchers:
        return
    width = max((m.vocabulary.size + 31) // 32 for m in matchers if m is not None) if any(
        m is not None for m in matchers) else 0
    base, stride, words, rows = destination(bitmask, width)
    if len(matchers) > rows:
        raise MatcherError(f"{len(matchers)} matchers but {rows} rows in the bitmask")
    n = len(matchers)
    es, states = np.empty(n, np.int64), np.empty(n, np.int64)
    dsts, codes = np.empty(n, np.int64), np.zeros(n, np.int64)
    arenas, slow = {}, []
    for i, m in enumerate(matchers):
        if m is None:
            continue
        if m._node[5] or not m.batched or not m._simple:
            slow.append(i)
            continue
        arenas[id(m._arena)] = m._arena
        es[i], states[i], dsts[i], codes[i] = m._arena.address, m._node[0], base + i * stride, -1
    held = [arenas[k] for k in sorted(arenas)]
    for arena in held:
        arena.lock.acquire()
    try:
        if mk.fill_many(es, states, dsts, words, codes):
            slow += [i for i in range(n) if codes[i] < 0]
    finally:
        for arena in reversed(held):
            arena.lock.release()
    for i in slow:
        matchers[i]._fill(base + i * stride, words)
