"""The tables in which sets of LR stacks are kept, for canvases: hash-consed, memoised, grown as needed.

One :class:`StackSets` belongs to the token tables of a constraint and is shared by
its canvases: a step that one canvas has taken is known to all.  When it has grown
beyond `MAX_BYTES` it is emptied before the next question.  Nobody keeps numbers of
sets between questions.
"""

from __future__ import annotations

import threading
from typing import Any, Callable

import numpy as np

from ..automata import cfg_layout as cl
from ..errors import LimitError
from . import cfg_set_kernels as sk

__all__ = ["StackSets", "MAX_STEPS", "MAX_BYTES"]

#: steps that one question may take, and bytes beyond which the tables are emptied
MAX_STEPS, MAX_BYTES = 40_000_000, 64 << 20
#: pools: slot -> words a record, records to start with; use and capacity are in the slots behind
_POOLS = {cl.CTX: (cl.CTX_W, 4096), cl.ENT: (1, 8192), cl.EVENTS: (1, 4096)}
#: memo tables: slot -> places to start with; mask and use are in the slots behind
_MEMOS = {cl.UNION: 8192, sk.STEPS: 4096, sk.LIVING: 4096, sk.TAKEN: 4096, sk.TOUCHES: 8192,
          sk.KEPT: 2048, sk.REDUCED: 4096}
#: scratch: slot -> slot of its capacity, words to start with
_SCRATCH = {cl.WORK: (cl.CAP_WORK, 4096), cl.RES: (cl.CAP_RES, 1024), cl.SCR: (cl.CAP_SCR, 1 << 16)}


class StackSets:
    """See the module's text.

    Parameters
    ----------
    tokens : CfgTokens
    """

    def __init__(self, tokens: Any):
        self.lock = threading.RLock()
        self.block = np.zeros(sk.BLOCK_WORDS, np.int64)
        self.address = int(self.block.ctypes.data)
        for slot, native in sk.natives().items():
            self.block[slot] = native.address
        self._held: dict[int, np.ndarray] = {}
        self._constant(tokens)
        self.clear()

    def _constant(self, tokens: Any) -> None:
        """The grammar's tables; one more symbol stands for the end of the text."""
        p, b = tokens.program, self.block
        lr, symbols = p.lr, len(tokens.symbols)
        self.end = symbols
        # the terminal of each symbol, -1 for those that are ignored
        terminals = np.where(tokens.terminal_of < lr.nt, tokens.terminal_of, -1)[:symbols]
        actions = np.ascontiguousarray(lr.actions)
        look = np.packbits(np.pad(actions != 0, ((0, 0), (0, -(lr.nt + 1) % 64))), axis=1, bitorder="little")
        in_lexer = np.ones((symbols + 1, tokens.in_lexer.shape[1]), np.uint8)
        in_lexer[:symbols] = tokens.in_lexer[:symbols]
        for slot, array in ((cl.ACT, actions), (cl.ALISTS, lr.lists), (cl.GOTO, lr.goto), (cl.LHS, lr.lhs),
                            (cl.SIZE, lr.size), (cl.LOOK, look.view(np.int64)), (cl.KAPPA, p.kappa),
                            (sk.SYMBOLS, np.append(terminals, lr.nt).astype(np.int32)),
                            (sk.IN_LEXER, in_lexer)):
            self._hold(slot, np.ascontiguousarray(array))
        b[cl.NT], b[cl.NN], b[cl.TWORDS], b[cl.HOLE_STATE] = lr.nt, lr.nn, look.shape[1] // 8, lr.ns
        b[sk.NSYM], b[sk.LEXERS], b[sk.RULES] = symbols + 1, in_lexer.shape[1], len(lr.lhs)
        for slot, size in ((sk.BELOW, lr.ns + 1), (sk.LISTED, lr.ns + 1)):
            self._hold(slot, np.zeros(size, np.int64))

    def clear(self) -> None:
        """Forget all sets."""
        b = self.block
        for slot, (width, size) in _POOLS.items():
            self._hold(slot, np.zeros(size * width, np.int64))
            b[slot + 1], b[slot + 2] = 0, size
        self._hold(cl.H_CTX, np.zeros(4 * _POOLS[cl.CTX][1], np.int32))
        b[cl.M_CTX], b[cl.N_CTX] = 4 * _POOLS[cl.CTX][1] - 1, 2
        for slot, size in _MEMOS.items():
            self._hold(slot, np.zeros(2 * size, np.int64))
            b[slot + 1], b[slot + 2] = size - 1, 0
        for slot, (capacity, size) in _SCRATCH.items():
            self._hold(slot, np.zeros(size, np.int64))
            b[capacity] = size
        #: the stack of the start: state 0
        self.start = sk.set_call(self.address, sk.O_INTERN_ONE, 0, 1, 0)

    def _hold(self, slot: int, array: np.ndarray) -> None:
        self._held[slot] = array
        self.block[slot] = array.ctypes.data

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(a.nbytes for a in self._held.values())

    def run(self, kernel: Callable[[], int]) -> int:
        """Call a kernel until it has what it needs; its answer."""
        b = self.block
        b[cl.FUEL] = MAX_STEPS
        while True:
            r = int(kernel())
            if r == cl.FUEL_OUT:
                raise LimitError(f"the parses of this canvas need more than {MAX_STEPS:,} steps", limit=MAX_STEPS,
                                 place="stacks of a canvas",
                                 hint="fewer masked slots at once, or a less ambiguous grammar")
            if r != cl.NEED_PY:
                return r
            self._grow(int(b[cl.NEED]), int(b[cl.NEED_A]))

    def _grow(self, slot: int, more: int) -> None:
        b, old = self.block, self._held[slot]
        if slot in _POOLS:
            width = _POOLS[slot][0]
            size = 2 * int(b[slot + 2]) + 2 * more
            if slot == cl.CTX and size > 1 << sk.SET_BITS:
                raise LimitError(f"this canvas has more than {1 << sk.SET_BITS:,} sets of stacks",
                                 limit=1 << sk.SET_BITS, place="stacks of a canvas",
                                 hint="fewer masked slots at once, or a less ambiguous grammar")
            self._hold(slot, np.concatenate([old, np.zeros(size * width - old.size, np.int64)]))
            b[slot + 2] = size
            if slot == cl.CTX:
                wanted = 1 << (4 * size - 1).bit_length()
                self._hold(cl.H_CTX, np.zeros(wanted, np.int32))
                b[cl.M_CTX] = wanted - 1
                sk.set_call(self.address, sk.O_REHASH_RECORDS, slot, cl.H_CTX, width)
        elif slot in _MEMOS:
            self._hold(slot, np.zeros(4 * old.size, np.int64))
            b[slot + 1] = 2 * old.size - 1
            sk.set_call(self.address, sk.O_REHASH_MEMO, slot, int(old.ctypes.data), old.size // 2)
        else:
            size = 2 * old.size + more
            self._hold(slot, np.zeros(size, np.int64))
            b[_SCRATCH[slot][0]] = size
