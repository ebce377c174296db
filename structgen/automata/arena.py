"""The arena of one compiled grammar: every table its kernels grow, and their owner.

A compiled grammar asks the same questions over and over; the arena remembers
the answers.  Kernels append to its tables through one block of addresses; when
they need something only Python can make (more room, a value node that is not
lowered yet, a label), they return ``NEED_PY`` and :meth:`Arena.serve` makes it.

Locking: every kernel call happens under ``arena.lock`` (or holds the GIL
throughout, see :class:`ArenaLock`).  So tables may move when they grow, and nobody
ever reads a half-written one.  Rows lie in chunks
that never move; they go back to the tokenizer's pool when the arena goes.

Memory: an arena larger than ``max_bytes`` is not cut down (ids in it may be
referenced by any snapshot): it is *retired*.  New matchers start in a fresh
one, a matcher that must grow further moves there by replaying its own text,
and Python frees the old one with the last matcher or snapshot that uses it.
"""

from __future__ import annotations

import threading
from typing import Any, Callable

import numpy as np

from ..errors import LimitError
from ..grammar.arrays import canonical
from ..grammar.ir import JsonGrammar, TextGrammar
from ..tokens import mask_kernels as mk
from ..tokens import mask_layout as ml
from ..tokens.class_trie import class_trie
from ..tokens.mask_classes import Machines, text_natives
from ..tokens.tables import CHUNK_ROWS, TokenTables
from . import stack_kernels as sk
from . import stack_layout as sl
from .keys_left import many, some_left
from .lexer import Lexer
from .lowering import Lowering

__all__ = ["Arena", "ArenaFull", "MAX_BYTES"]

#: Default cap on the memory of one arena, in bytes.
MAX_BYTES = 256 << 20
_I64, _I32 = np.int64, np.int32


class ArenaFull(Exception):
    """The arena has reached its cap; the caller moves to a fresh one."""


#: name -> (address slot, capacity slot, dtype, items a record, capacity to start with)
_POOLS: dict[str, tuple[int, int, Any, int, int]] = {
    "ctx": (sl.CTX, sl.CAP_CTX, _I32, sl.CTX_W, 256),
    "ops": (sl.OPS, sl.CAP_OPS, _I32, sl.OP_W, 128),
    "bits": (sl.BITS, sl.CAP_BITS, _I64, 1, 1024),
    "sets": (sl.SETS, sl.CAP_SETS, _I32, sl.SET_W, 64),
    "members": (sl.MEMBERS, sl.CAP_MEMBERS, _I32, 1, 256),
    "keys": (sl.KEYS, sl.CAP_KEYS, _I32, sl.KEY_W, 256),
    "out": (sl.OUT, sl.CAP_OUT, _I64, 1, 256),
    "regions": (ml.REGIONS, ml.CAP_REGIONS, _I64, ml.REGION_W, 64),
    "pairs": (ml.PAIRS, ml.CAP_PAIRS, _I32, 2, 1024),
    "pair_labels": (ml.PAIR_LABELS, ml.CAP_PAIR_LABELS, _I32, 1, 1024),
    "pending": (ml.PENDING, ml.CAP_PENDING, _I64, 1, 512),
    "states": (ml.STATES, ml.CAP_STATES, _I32, 2, 64),
    "state_pool": (ml.STATE_POOL, ml.CAP_STATE_POOL, _I64, 1, 256),
    "ask": (ml.U_ASK, ml.CAP_ASK, _I64, 1, 256),
}
#: other tables: name -> (address slot, dtype, items to start with, value they are filled with)
_OTHERS: dict[str, tuple[int, Any, int, int]] = {
    "memo": (ml.MEMO_KEYS, _I64, 1024, -1),
    "memo_rows": (ml.MEMO_ROWS, _I32, 1024, 0),
    "u": (ml.U_KEYS, _I64, 256, -1),
    "u_values": (ml.U_VALUES, _I32, 256, 0),
    "region": (ml.REGION_KEYS, _I64, 2 * 256, -1),
    "xset": (sl.H_XSETS, _I64, 3 * 64, -1),
    "after": (ml.AFTER_KEYS, _I32, 2 * 256, 0),
    "chunks": (ml.CHUNKS, _I64, 16, 0),
    "seen_rows": (ml.SEEN_ROWS, _I64, 2 * ml.SEEN, 0),
    "flags": (ml.ROW_FLAGS, _I64, 16 * CHUNK_ROWS // 8, 0),
    "nodes": (sl.NODE, _I64, 32 * sl.NODE_W, 0),
    "alts": (sl.ALT, _I32, 64, 0),
    "arrays": (sl.ARR, _I64, 16 * sl.ARR_W, 0),
    "prefixes": (sl.PREFIX, _I32, 64, 0),
    "positions": (sl.POSITIONS, _I64, 8 * sl.AP_W, 0),
    "choices": (sl.CHOICES, _I32, 16, 0),
    "objects": (sl.OBJ, _I64, 16 * sl.OBJ_W, 0),
    "pool": (sl.OPOOL, _I64, 512, 0),
    "x_at": (sl.X_AT, _I64, 64, 0),
    "x_text": (sl.X_TEXT, _I64, 64, 0),
    "xsets": (sl.XSETS, _I32, 64 * sl.X_W, 0),
}
#: slots of the block with a value to start with
_START = {sl.N_BITS: 1, sl.N_XSETS: 1, ml.M_MEMO: 1023, ml.M_U: 255, ml.M_REGION: 255, sl.M_XSETS: 63,
          ml.M_AFTER: 255}
#: hash tables refilled from their records: name -> (address slot, mask slot, slots to start with)
_HASHES: dict[str, tuple[int, int, int]] = {
    "ctx": (sl.H_CTX, sl.M_CTX, 1024),
    "ops": (sl.H_OPS, sl.M_OPS, 512),
    "bits": (sl.H_BITS, sl.M_BITS, 1024),
    "sets": (sl.H_SETS, sl.M_SETS, 256),
    "keys": (sl.H_KEYS, sl.M_KEYS, 1024),
    "states": (ml.H_STATES, ml.M_STATES, 256),
}


#: what is kept of arenas that are gone, a tokenizer
_SPARE = 4


class _Layout:
    """How a fresh arena's memory looks; one a tokenizer."""

    def __init__(self, tables: TokenTables):
        parts: list[tuple[str, int, np.ndarray]] = []
        block = np.zeros(sl.BLOCK_SIZE, _I64)
        tables.fill_block(block)
        for slot, value in _START.items():
            block[slot] = value
        for name, (slot, mask, size) in _HASHES.items():
            parts.append(("#" + name, slot, np.zeros(size, _I32)))
            block[mask] = size - 1
        for name, (slot, dtype, size, value) in _OTHERS.items():
            parts.append((name, slot, np.full(size, value, dtype)))
        for name in sorted(_POOLS, key="bits".__ne__):
            slot, cap, dtype, width, size = _POOLS[name]
            parts.append((name, slot, np.zeros(size * width, dtype)))
            block[cap] = size
        parts.append(("stack", ml.STACK, np.zeros(2 * tables.depth + 8, _I64)))
        parts.append(("scratch", ml.SCRATCH, np.zeros(len(tables.suffix) // 64 + 2, _I64)))
        parts.append(("scratch_row", ml.SCRATCH_ROW, np.zeros(tables.words, _I64)))
        arrays, self.slots, self.offsets, at = [], [], [], 0
        self.places: dict[str, tuple[int, int, Any, int]] = {}
        for name, slot, a in parts:
            words = np.zeros((a.nbytes + 7) // 8, _I64)
            words.view(a.dtype)[:a.size] = a
            self.places[name] = (at // 8, words.size, a.dtype, a.size)
            arrays.append(words)
            self.slots.append(slot)
            self.offsets.append(at)
            at += words.nbytes
        self.block, self.words, self.row_words = block, at // 8, tables.words
        self.chunks_at = self.places["chunks"][0]
        self.set_words = self.places["bits"][0] + 8     # the rest is written before it is read
        self.image = np.concatenate(arrays)[:self.set_words]
        self.spare: list[_Memory] = []

    def take(self) -> "_Memory":
        """Memory of a fresh arena: what one that is gone has left, since new pages cost more than their contents."""
        try:
            memory = self.spare.pop()
        except IndexError:
            return _Memory(self)
        memory.reset(self)
        return memory


class _Memory:
    """The block and the first tables of an arena, in one array, and its first chunk of rows."""

    __slots__ = ("slab", "block", "first_block", "address", "views", "places", "chunk", "chunk_at")

    def __init__(self, layout: _Layout):
        slab = np.zeros(layout.words + len(layout.block), _I64)
        self.slab, self.block = slab[:layout.words], slab[layout.words:]
        self.address = self.block.ctypes.data
        self.chunk = np.empty((CHUNK_ROWS, layout.row_words), _I64)
        self.chunk_at = self.chunk.ctypes.data
        self.block[:] = layout.block
        self.block[layout.slots] = np.array(layout.offsets, _I64) + slab.ctypes.data
        self.block[ml.CAP_ROWS] = CHUNK_ROWS
        self.first_block = self.block.copy()
        self.places = layout.places
        self.views: dict[str, np.ndarray] = {}
        self.reset(layout)

    def reset(self, layout: _Layout) -> None:
        """As it was at first."""
        self.slab[:layout.set_words] = layout.image
        self.slab[layout.chunks_at] = self.chunk_at
        self.block[:] = self.first_block

    def view(self, name: str) -> np.ndarray:
        """A table as it was laid out at the start."""
        found = self.views.get(name)
        if found is None:
            at, words, dtype, size = self.places[name]
            found = self.views[name] = self.slab[at:at + words].view(dtype)[:size]
        return found


def _layout(tables: TokenTables) -> _Layout:
    if tables.arena_layout is None:
        tables.arena_layout = _Layout(tables)
    return tables.arena_layout


class ArenaLock:
    """A reentrant lock that also says in the arena's block that it is held.

    The two kernels of every step (``peek``, ``step``) do not take it: they hold
    the GIL from beginning to end and turn away where the block says that somebody is at
    work, who may have released the GIL meanwhile.
    """

    __slots__ = ("_acquire", "_release", "_busy")

    def __init__(self, block: np.ndarray):
        lock = threading.RLock()
        self._acquire, self._release = lock.acquire, lock.release
        self._busy = memoryview(block)[ml.BUSY:ml.BUSY + 1]

    def acquire(self) -> None:
        """Wait until the arena is free, and take it."""
        self._acquire()
        self._busy[0] += 1

    def release(self) -> None:
        """Give it back."""
        self._busy[0] -= 1
        self._release()

    def __enter__(self) -> None:
        self._acquire()
        self._busy[0] += 1

    def __exit__(self, *_: object) -> None:
        self._busy[0] -= 1
        self._release()


class Arena:
    """Tables of one grammar over one vocabulary (see the module text)."""

    def __init__(self, grammar: JsonGrammar | TextGrammar, tables: TokenTables, max_bytes: int = MAX_BYTES):
        # items that differ make nodes as they are read: an arena's own, which go when it goes
        self.grammar = grammar.fork() if getattr(grammar, "unique_items", False) else grammar
        self.tables = tables
        self.max_bytes = max_bytes
        self.may_exceed = False     # for the one call that a fresh arena has no room for
        self._memory = memory = _layout(tables).take()
        self.address = memory.address
        self.block = block = memory.block
        self._initial = memory.view
        self.lock = ArenaLock(block)
        self._pools: dict[str, np.ndarray] = {}
        self._hashes: dict[str, np.ndarray] = {}
        self._extra: dict[str, np.ndarray] = {}
        self._chunks: list[np.ndarray] = [memory.chunk]
        self.text_before: Any = None        # see decoding.matcher
        self.closing: Any = None
        self._xwords: list[tuple[str, ...]] = [()]
        self._machines: Machines | None = None
        self._texts: dict[Any, int] = {}
        self._text_list: list[str | None] = []
        self._n_items = 0
        options = getattr(grammar, "options", None)
        self.lexer = Lexer(escapes=options.escapes if options else "all", longest=tables.depth)
        block[sl.LEXER] = self.lexer.block_address
        #: may arrays have to have different items; of which kinds are such arrays (see `array_positions`)?
        self.unique = getattr(self.grammar, "unique_items", False)
        self.item_kinds = 0
        self._around: dict[int, int] = {}       # see `kinds_around`
        self.lowering = Lowering(self)
        with self.lock:
            self.start = self._start()

    def pool(self, name: str) -> np.ndarray:
        """The current array behind a pool, flat."""
        a = self._pools.get(name)
        if a is None:
            a = self._pools[name] = self._initial(name)
        return a

    def table(self, name: str) -> np.ndarray:
        """The current array behind one of the other tables."""
        a = self._extra.get(name)
        if a is None:
            a = self._extra[name] = self._initial(name)
        return a

    def _hold(self, name: str, slot: int, array: np.ndarray) -> np.ndarray:
        """Keep `array` and write its address into the block."""
        self._extra[name] = array
        self.block[slot] = array.ctypes.data
        return array

    def _keyed(self, name: str, slot: int, mask: int, size: int, width: int) -> None:
        """A hash of int64 records whose empty key is -1."""
        self._hold(name, slot, np.full(size * width, -1, _I64))
        self.block[mask] = size - 1

    def __del__(self):
        memory = self.__dict__.get("_memory")
        chunks = self.__dict__.get("_chunks", ())[1:]
        if chunks:
            self.tables.give_back(chunks)
        if memory is not None and _SPARE is not None:       # module names are gone when Python ends
            spare = self.tables.arena_layout.spare
            if len(spare) < _SPARE:
                spare.append(memory)

    def _start(self) -> int:
        """The state before anything is read."""
        done = self.call(sk.stack_call, sk.CALL_DONE, 0, 0, 0, 0)
        assert done == 0
        if isinstance(self.grammar, TextGrammar):
            for slot, native in text_natives().items():
                self.block[slot] = native.address
            q = self.lexer.add_text(self.grammar.lang)
            return (q + sl.RAW_BASE) << sl.SHIFT
        root = self.lowering.ready(self.grammar.root)
        c = self.call(sk.stack_call, sk.CALL_CONTEXT, sl.VALUE, root, 0, 0)
        self.lowering.eager()
        return (sl.WS << sl.SHIFT) | c

    # ---------------------------------------------------------------- calls
    def call(self, kernel: Callable[..., int], *args: int) -> int:
        """Run a kernel, serving what it asks for; returns its result (DEAD included)."""
        while True:
            r = kernel(self.address, *args)
            if r != sl.NEED_PY and r != sl.FUEL:
                return r
            self.serve(r)

    @property
    def nbytes(self) -> int:
        """Bytes held, rows included."""
        held = sum(a.nbytes for d in (self._pools, self._hashes, self._extra) for a in d.values())
        return self._memory.slab.nbytes + held + sum(c.nbytes for c in self._chunks) + self.lexer.nbytes \
            + (self._machines.nbytes if self._machines is not None else 0)

    @property
    def rows_bytes(self) -> int:
        """Bytes of rows alone, the part that grows: cheap to ask."""
        n = len(self._chunks)
        return n * CHUNK_ROWS * self.tables.words * 8 if n > 1 or self.block[ml.N_ROWS] else 0

    def serve(self, code: int) -> None:
        """Make what the kernel that returned `code` asked for."""
        if code == sl.FUEL:
            self.lexer.service()        # raises LimitError
        block = self.block
        what, a, b = int(block[sl.NEED]), int(block[sl.NEED_A]), int(block[sl.NEED_B])
        if what == sl.NEED_LEXER:
            self.lexer.service()
        elif what == sl.NEED_NODE:
            self.lowering.ready(a)
        elif what == sl.NEED_CLASSES:
            self.lowering.add_variant(a, b)
        elif what == sl.ROOM_CTX:
            self._grow("ctx", 2)
        elif what == sl.ROOM_OPS:
            self._grow("ops")
        elif what == sl.ROOM_BITS:
            self._grow("bits", a)
        elif what == sl.ROOM_SETS:
            self._grow("sets")
            self._grow("members", a)
        elif what == sl.ROOM_KEYS:
            self._grow("keys")
        elif what == sl.ROOM_OUT:
            self._grow("out")
        elif what == sl.ROOM_PENDING:
            self._grow("pending")
        elif what == ml.ROOM_STATES:
            self._grow("states")
            self._grow("state_pool", a)
        elif what == sl.ROOM_ROWS:
            self._grow_rows()
        elif what == sl.ROOM_MEMO:
            self._grow_keyed("memo", ml.MEMO_KEYS, ml.M_MEMO, "memo_rows", ml.MEMO_ROWS)
        elif what == sl.ROOM_REGION:
            if a:
                self._grow_region_keys()
            else:
                self._grow("pairs", 4096)
                self._grow("pair_labels", 4096)
        elif what == ml.ROOM_AFTER:
            self._grow_after()
        elif what == sl.NEED_KEY:
            self._count_keys(a)
        elif what == sl.NEED_XTEXT:
            self._note_text(a)
        elif what == sl.NEED_XSET:
            self._make_xset(a, b)
        elif what == sl.NEED_POSITION:
            self.lowering.places.build(a)
        elif what == ml.NEED_MACHINE:
            self._add_machine(a)
        elif what == sl.NEED_ITEM:
            self._note_item(a, b)
        else:
            raise AssertionError(f"unknown need {what}")

    def _add_machine(self, m: int) -> None:
        """Make the class trie of an automaton of the lexer."""
        if self._machines is None:
            self._machines = Machines()
        self._machines.add(m, class_trie(self.tables, *self.lexer.byte_classes(m)))
        records = self._machines.records
        self.block[ml.MACHINES], self.block[ml.N_MACHINES] = records.ctypes.data, len(records)

    def threads(self, state: int) -> list[int]:
        """The threads of a state."""
        if state < ml.MANY:
            return [state]
        at, n = self.pool("states").reshape(-1, 2)[state - ml.MANY].tolist()
        return self.pool("state_pool")[at:at + n].tolist()

    def kinds_around(self, c: int) -> int:
        """What kinds of arrays whose items must differ are around context-or-set `c`: bits of `array_positions`."""
        known = self._around
        if c not in known:
            contexts, kinds = self.pool("ctx").reshape(-1, sl.CTX_W), self.lowering.places.kinds
            sets, members = self.pool("sets").reshape(-1, sl.SET_W), self.pool("members")
            seen, todo, found = {c}, [c], 0
            while todo:
                k = todo.pop()
                if k in known:
                    found |= known[k]
                    continue
                if k >= sl.SET_BASE:
                    at, n = int(sets[k - sl.SET_BASE, sl.S_OFF]), int(sets[k - sl.SET_BASE, sl.S_LEN])
                    behind = members[at:at + n].tolist()
                else:
                    kind = int(contexts[k, sl.C_KIND])
                    if kind == sl.ARR_START or kind == sl.ARR_AFTER:
                        found |= kinds.get(int(contexts[k, sl.C_A]), 0)
                    behind = [] if kind == sl.DONE else [int(contexts[k, sl.C_PARENT])]
                todo += [k for k in behind if k not in seen]
                seen.update(behind)
            known[c] = found
        return known[c]

    # ---------------------------------------------------------------- growth
    def _grow(self, name: str, more: int = 0) -> None:
        slot, cap, dtype, width, _ = _POOLS[name]
        old, size = self.pool(name), int(self.block[cap])
        size = max(2 * size, size + 2 * more)
        a = np.empty(size * width, dtype)
        a[: old.size] = old
        self._pools[name] = a
        self.block[slot], self.block[cap] = a.ctypes.data, size
        if name in _HASHES:
            hslot, mask, _ = _HASHES[name]
            self._hashes[name] = h = np.zeros(2 * (int(self.block[mask]) + 1), _I32)
            self.block[hslot], self.block[mask] = h.ctypes.data, h.size - 1
            if name == "states":
                mk.mask_call(self.address, mk.CALL_REBUILD_STATES, 0, 0, 0, 0, 0, 0)
            else:
                for other in _HASHES:
                    if other != "states":
                        h = self._hashes.get(other)
                        (self._initial("#" + other) if h is None else h).fill(0)
                sk.stack_call(self.address, sk.CALL_REBUILD, 0, 0, 0, 0)

    def _grow_keyed(self, name: str, slot: int, mask: int, values: str, values_slot: int) -> None:
        keys, vals = self.table(name), self.table(values)
        self._keyed(name, slot, mask, 2 * keys.size, 1)
        self._hold(values, values_slot, np.empty(2 * keys.size, _I32))
        mk.mask_call(self.address, mk.CALL_REHASH_KEYED, keys.ctypes.data, vals.ctypes.data, keys.size, slot,
                     values_slot, mask)

    def grow_u(self) -> None:
        """Room for more known completion lengths."""
        self._grow_keyed("u", ml.U_KEYS, ml.M_U, "u_values", ml.U_VALUES)

    def _grow_region_keys(self) -> None:
        old = self.table("region").reshape(-1, 2)
        self._grow("regions")
        self._keyed("region", ml.REGION_KEYS, ml.M_REGION, 2 * len(old), 2)
        mk.mask_call(self.address, mk.CALL_REHASH_PAIRS, old.ctypes.data, len(old), 0, 0, 0, 0)

    def _grow_after(self) -> None:
        old = self.table("after")
        self._hold("after", ml.AFTER_KEYS, np.zeros(2 * old.size, _I32))
        self.block[ml.M_AFTER] = old.size - 1
        mk.mask_call(self.address, mk.CALL_REHASH_AFTER, old.ctypes.data, old.size // 2, 0, 0, 0, 0)

    def _grow_rows(self) -> None:
        if self.nbytes > self.max_bytes and not self.may_exceed:
            raise ArenaFull
        chunk = self.tables.take_chunk()
        table = self.table("chunks")
        n = len(self._chunks)
        if n == table.size:
            table = np.concatenate([table, np.zeros(n, _I64)])
            self._hold("chunks", ml.CHUNKS, table)
            flags = self.table("flags")
            self._hold("flags", ml.ROW_FLAGS, np.concatenate([flags, np.zeros(flags.size, _I64)]))
        table[n] = chunk.ctypes.data
        self._chunks.append(chunk)
        self.block[ml.CAP_ROWS] = (n + 1) * CHUNK_ROWS

    # ---------------------------------------------------------------- undeclared keys
    def begin_text(self) -> None:
        """Forget the offsets noted for the text accepted last."""
        self.block[sl.X_COUNT] = 0

    def _note_text(self, at: int) -> None:
        """Tell the kernel which key ends at offset `at` of the text being accepted."""
        assert self.text_before is not None
        text = self.text_before(at)
        self._note(at, self._texts.setdefault(text, len(self._texts)), text)

    def _note_item(self, position: int, at: int) -> None:
        """Tell the kernel which position `position` becomes with the item that ends before offset `at`."""
        assert self.text_before is not None
        value = self.text_before.item(at)
        ident = self._texts.setdefault(canonical(value), len(self._texts))
        after = self.lowering.places.after(position, value)
        if int(sk.stack_call(self.address, sk.CALL_TEXT, at, 0, 0, 0)) != ident:
            self._note(at, ident, None)
        self._room_for_xset(int(self.block[sl.N_XSETS]) + self._n_items)
        self._n_items += 1
        sk.stack_call(self.address, sk.CALL_PUT_XSET, sl.POSITION_BASE + position, ident, after, 0)

    def _note(self, at: int, ident: int, text: str | None) -> None:
        if ident == len(self._text_list):
            self._text_list.append(text)
        n = int(self.block[sl.X_COUNT])
        at_list, text_list = self.table("x_at"), self.table("x_text")
        if n == at_list.size:
            at_list = self._hold("x_at", sl.X_AT, np.concatenate([at_list, np.zeros(n, _I64)]))
            text_list = self._hold("x_text", sl.X_TEXT, np.concatenate([text_list, np.zeros(n, _I64)]))
        at_list[n], text_list[n] = at, ident
        self.block[sl.X_COUNT] = n + 1

    def _count_keys(self, record: int) -> None:
        """Answer `keys_left` for a key record."""
        _, extra, seen, _ = self.pool("keys")[record * sl.KEY_W:(record + 1) * sl.KEY_W].tolist()
        some = many(self.lexer, extra) if seen < 0 else some_left(self.lexer, extra, seen)
        self.pool("keys")[record * sl.KEY_W + sl.K_LEFT] = sl.LEFT_SOME if some else sl.LEFT_NONE

    def _make_xset(self, x: int, text: int) -> None:
        """Extend set `x` of seen extra keys by a text; literal automaton included."""
        words = self._xwords[x] + (self._text_list[text],)
        n = len(self._xwords)
        if n > 1 << 26:
            raise LimitError("too many undeclared keys", place="undeclared keys", limit=1 << 26)
        sets = self.table("xsets").reshape(-1, sl.X_W)
        if n == len(sets):
            sets = self._hold("xsets", sl.XSETS, np.concatenate([sets, np.zeros_like(sets)]).reshape(-1))
            sets = sets.reshape(-1, sl.X_W)
        sets[n] = self.lexer.add_literals(sorted(words)), len(words)
        self._xwords.append(words)
        self.block[sl.N_XSETS] = n + 1
        self._room_for_xset(n + self._n_items)
        sk.stack_call(self.address, sk.CALL_PUT_XSET, x, text, n, 0)

    def _room_for_xset(self, n: int) -> None:
        """Have the table of sets and positions less than half full with `n` entries."""
        table = self.table("xset").reshape(-1, 3)
        if 2 * n > len(table):
            old = table[table[:, 0] >= 0].copy()
            self._keyed("xset", sl.H_XSETS, sl.M_XSETS, 2 * len(table), 3)
            for row in old:
                sk.stack_call(self.address, sk.CALL_PUT_XSET, *map(int, row), 0)
