"""The memory of a lexer: its block, the tables behind it, and their growth.

All tables start in one allocation whose beginning is a copy of an image made
once a process, so a lexer costs about 5 us.  A table that outgrows it moves to
an array of its own; that only happens between kernel calls, and the block is
the only place that knows addresses.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from . import lexer_kernels as K
from .lexer_slow import slow_kernel
from .static_dfa import static_table

__all__ = ["Tables", "address", "any_steps", "RAW_STEPS"]


def address(a: np.ndarray) -> int:
    """Address of an array's first item."""
    return a.__array_interface__["data"][0]


# ------------------------------------------------------------- constant tables

def _any_table(minimal: bool) -> np.ndarray:
    ids = list(range(16)) + list(range(48, 52))
    compact = np.full(256, -1, np.int64)
    compact[ids] = range(20)
    rows = np.full((32, 256), -1, np.int8)
    for u, q in enumerate(ids):
        row = static_table[q].astype(np.int64)
        rows[u] = np.where(row < 0, -1, compact[row])
    if not minimal:
        return rows
    # Backslash (8), then a short escape or u (9), 0 (10), 0 (11), 0 or 1 (12, 13), a digit.
    rows[8:] = -1
    rows[8, [ord(c) for c in '"\\bfnrt']] = 0
    rows[8, ord("u")] = 9
    rows[9, ord("0")] = 10
    rows[10, ord("0")] = 11
    rows[11, ord("0")], rows[11, ord("1")] = 12, 13
    for v in range(32):
        if v not in (8, 9, 10, 12, 13):
            rows[12 + (v >> 4), ord("0123456789abcdef"[v & 15])] = 0
    return rows


def _raw_table() -> np.ndarray:
    """UTF-8 progress (static ids 0..7) over decoded bytes; row 8: the class of each byte."""
    rows = np.full((9, 256), -1, np.int8)
    rows[:8] = static_table[:8]
    rows[rows > 7] = -1
    rows[0, :0x80] = 0
    _, rows[8] = np.unique(rows[:8], axis=1, return_inverse=True)
    return rows


def _escape_map() -> np.ndarray:
    """Columns of a state inside an escape: every byte that can matter has its own."""
    columns = np.full(256, K.ESC_COLS - 1, np.uint16)
    for c, b in enumerate(b'0123456789abcdefABCDEFnrtu"\\/'):
        columns[b] = c
    return columns


_JSON_STEPS = {False: _any_table(False), True: _any_table(True)}
RAW_STEPS = _raw_table()


def any_steps(minimal: bool) -> np.ndarray:
    """int8[32, 256]: steps of any JSON string by progress (0..15, 16..19 = static 48..51)."""
    return _JSON_STEPS[minimal]


# ------------------------------------------------------------------- the image

# name: (slot of the address, type, words an item, items at first).  Hash tables
# come first, as they start with zeros, then the two tables with a prepared head.
_LAYOUT: dict[str, tuple[int, type, int, int]] = {
    "H": (K.B_H, np.int32, 1, 512), "AH": (K.B_AH, np.int32, 1, 128), "Y": (K.B_Y, np.int64, 3, 64),
    "BITS": (K.B_BITS, np.int64, 1, 16), "C": (K.B_C, np.uint16, 1, 512 + 6 * 768), "T": (K.B_T, np.int32, 1, 8192),
    "S": (K.B_S, np.int64, 8, 256), "P": (K.B_P, np.int64, 1, 1024), "L": (K.B_L, np.int32, 1, 4096),
    "M": (K.B_M, np.int64, 16, 16), "A": (K.B_A, np.int64, 4, 64), "Q": (K.B_Q, np.int64, 2, 512),
    "W8": (K.B_W8, np.uint8, 1, 512), "WW": (K.B_WW, np.int32, 1, 512), "WH": (K.B_WH, np.int32, 1, 512),
    "VO": (K.B_VO, np.int64, 1, 128), "VL": (K.B_VL, np.int32, 1, 128),
    "STAGE": (K.B_STAGE, np.uint8, 1, 2048), "STAGE2": (K.B_STAGE2, np.int32, 1, 1024),
    "ARGS": (K.B_ARGS, np.int64, 1, 512),
}
#: tables with a count and a capacity in the two slots after the address
_PLAIN = ("S", "T", "C", "P", "L", "M", "A")


@lru_cache(maxsize=None)
def _image(minimal: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, dict[str, tuple[int, int]]]:
    """(block with offsets for addresses, those slots, first bytes, size, places)."""
    block = np.zeros(64, np.int64)
    places: dict[str, tuple[int, int]] = {}
    at = 0
    for name, (slot, dtype, width, items) in _LAYOUT.items():
        size = items * width * np.dtype(dtype).itemsize
        places[name] = at, at + size
        block[slot] = at
        if name in _PLAIN or name in ("H", "Y"):
            block[slot + 2] = items
        at += (size + 63) // 64 * 64
    slots = np.array([slot for slot, *_ in _LAYOUT.values()])
    head = np.zeros(places["T"][0] + 4 * K.EMPTY_ROW, np.uint8)
    maps = np.concatenate([np.arange(256, dtype=np.uint16), _escape_map()])
    head[places["C"][0]:][:1024] = maps.view(np.uint8)
    head[places["T"][0]:].view(np.int32)[:] = K.UNKNOWN
    for slot, value in ((K.B_CQ, 512), (K.B_CW, 512), (K.B_CV, 128), (K.B_MAXN, 15 * 64), (K.B_MAXK, 8),
                        (K.B_NC, 512), (K.B_NT, K.EMPTY_ROW), (K.B_RAWANY, -64), (K.B_MINIMAL, int(minimal)),
                        (K.B_UJ, address(any_steps(minimal))), (K.B_UR, address(RAW_STEPS)),
                        (K.B_SLOW, slow_kernel().address)):
        block[slot] = value
    return block, slots, head, at, places


#: memory of lexers that are gone, by `minimal`: new pages cost more than their contents
_spare: dict[bool, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {False: [], True: []}
_SPARE = 4


class Tables:
    """The block of one lexer and its tables.

    Attributes
    ----------
    block : int64[64]
        See ``lexer_kernels``; `address` is where it lies.
    """

    def __init__(self, minimal: bool):
        block, slots, head, size, self._places = _image(minimal)
        self._minimal = minimal
        try:
            self._arena, self.block, self._first = _spare[minimal].pop()
            self.block[:] = self._first
        except IndexError:
            self._arena = np.empty(size, np.uint8)
            self.block = block.copy()
            self.block[slots] += address(self._arena)
            self._first = self.block.copy()
        self._arena[:len(head)] = head
        self.address = address(self.block)
        self._moved: dict[str, np.ndarray] = {}

    def __del__(self) -> None:
        first = self.__dict__.get("_first")
        # module names are gone when Python ends
        if first is not None and _spare is not None and len(_spare[self._minimal]) < _SPARE:
            _spare[self._minimal].append((self._arena, self.block, first))

    def view(self, name: str) -> np.ndarray:
        """A table, flat; valid until the next growth."""
        found = self._moved.get(name)
        if found is None:
            a, b = self._places[name]
            found = self._arena[a:b].view(_LAYOUT[name][1])
        return found

    def replace(self, name: str, data: np.ndarray) -> None:
        """Let `data` be the table from now on."""
        self._moved[name] = data
        self.block[_LAYOUT[name][0]] = address(data)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._arena.nbytes + self.block.nbytes + sum(a.nbytes for a in self._moved.values())

    def reserve(self, name: str, more: int) -> None:
        """Make room for `more` items of a plain table."""
        slot, dtype, width, _ = _LAYOUT[name]
        _, used, cap = self.block[slot:slot + 3].tolist()
        if used + more <= cap:
            return
        while cap < used + more:
            cap *= 4 if cap * width < 1 << 17 else 2
        data = np.empty(cap * width, dtype)
        data[:used * width] = self.view(name)[:used * width]
        self.replace(name, data)
        self.block[slot + 2] = cap

    def make_room(self) -> None:
        """What a kernel that asked for room may need next."""
        block = self.block
        self.reserve("S", 64)
        self.reserve("T", 4096)
        self.reserve("P", int(block[K.B_MAXK]) + 256)
        self.reserve("L", int(block[K.B_MAXN]) + 256)
        states, cap = int(block[K.B_NS]), int(block[K.B_CH])
        records = int(block[K.B_CA])
        self.reserve("A", 8)
        if 2 * (states + 64) + 16 > cap or block[K.B_CA] > records:
            while 2 * (states + 64) + 16 > cap:
                cap *= 4
            self.replace("H", np.zeros(cap, np.int32))
            block[K.B_CH] = cap
            self.replace("AH", np.zeros(2 * int(block[K.B_CA]), np.int32))
            K.lx_call(self.address, K.O_REHASH, 0, 0, 0)
        # A search visits states that exist, so their capacity bounds its queue.
        most = int(block[K.B_CS])
        if most > block[K.B_CQ]:
            self.replace("Q", np.empty(2 * most, np.int64))
            block[K.B_CQ] = most

    def reserve_bits(self, states: int, components: int) -> None:
        """Scratch for NFAs of `states` states, products of `components`."""
        block = self.block
        if states > block[K.B_MAXN]:
            self.replace("BITS", np.zeros((states >> 6) + 2, np.int64))
            block[K.B_MAXN] = states
        if components > block[K.B_MAXK]:
            block[K.B_MAXK] = components

    def reserve_words(self, positions: int, words: int) -> None:
        """Room for a trie of `words` words with `positions` bytes, ends included."""
        block = self.block
        for names, count, more in ((("W8", "WW", "WH"), K.B_NW, positions), (("VO", "VL"), K.B_NV, words)):
            used, cap = block[count:count + 2].tolist()
            if used + more <= cap:
                continue
            cap = 2 * (used + more)
            for name in names:
                data = np.empty(cap, _LAYOUT[name][1])
                data[:used] = self.view(name)[:used]
                self.replace(name, data)
            block[count + 1] = cap

    def stage(self, name: str, items: int) -> np.ndarray:
        """A table without contents (STAGE, STAGE2, ARGS) of at least `items` items."""
        data = self.view(name)
        if items > len(data):
            data = np.empty(2 * items, _LAYOUT[name][1])
            self.replace(name, data)
        return data

    def answer(self, m: int, bits: int, label: int) -> None:
        """Remember the label of a bit vector of machine `m`."""
        block = self.block
        n, cap = int(block[K.B_NY]), int(block[K.B_CY])
        if 2 * n + 2 > cap:
            old = self.view("Y").reshape(-1, 3)
            self.replace("Y", np.zeros(12 * cap, np.int64))
            block[K.B_CY], block[K.B_NY] = 4 * cap, 0
            for entry in old[old[:, 0] != 0].tolist():
                K.lx_call(self.address, K.O_ANSWER, entry[0] - 1, *entry[1:])
        K.lx_call(self.address, K.O_ANSWER, m, bits, label)
