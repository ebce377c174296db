"""The matchers of a batch, moved and masked together, whatever kind they are.

The engine's own matchers are moved by one kernel call for all, which also finds
the rows of their masks.  Rows are not copied: a row lies where it was made as
long as the matcher's arena lives, so its address is enough for the kernels that
put masks on scores (:mod:`structgen.decoding.masking`).  Other objects with
``try_accept`` and ``fill_bitmask`` (the reference engine, a user's), matchers
with a token budget or arrays whose items must differ, and whatever the kernel leaves to Python go one by one
through rows of a bitmask.
"""

from __future__ import annotations

import struct
from typing import Sequence

import numpy as np

from ..automata.jit import direct
from ..tokens.mask_kernels import step_batch
from .matcher import Matcher, fill_batch

__all__ = ["Batch", "fill_rows"]


def fill_rows(matchers: Sequence, bitmask: np.ndarray) -> None:
    """Fill row i of `bitmask` with the mask of ``matchers[i]``; None leaves a row as it is.

    One kernel call where all matchers are the engine's own; other objects with
    a ``fill_bitmask`` are asked one by one.
    """
    if all(m is None or type(m) is Matcher for m in matchers):
        fill_batch(matchers, bitmask)
        return
    for row, matcher in enumerate(matchers):
        if matcher is not None:
            matcher.fill_bitmask(bitmask, row)


class Batch:
    """Matchers that take a token each and are asked for their masks, step by step.

    Nobody else may move them meanwhile, or :meth:`moved` must be called.

    Parameters
    ----------
    matchers : sequence
        None of them finished.
    bitmask : numpy.ndarray
        int32, C-contiguous, of even width, a row a matcher at least: for masks
        that have no address of their own.  Held on to.
    """

    def __init__(self, matchers: Sequence, bitmask: np.ndarray):
        n = len(matchers)
        self._matchers = list(matchers)
        self._bitmask = bitmask
        if not step_batch.overloads:
            step_batch.compile("int64(int64, int64)")
        self._kernel = direct(step_batch)
        self._own = [type(m) is Matcher and m._simple for m in matchers]
        # see the kernel `step_batch`
        self._table = np.zeros((4, max(n, 1)), np.int64)
        self._address, self._n = self._table.ctypes.data, n
        #: where `masks` are
        self.where = self._address + 24 * n
        # a few numbers go to and fro at every step, which numpy takes longer for
        self._numbers, self._bytes = struct.Struct(f"={n}q"), memoryview(self._table).cast("B")
        self._stay = [-1] * n
        self._missing = n               # masks without an address
        self._asked = False             # has the kernel been asked for them?
        self._known = [0] * n           # the block of each matcher's arena
        self._blocks, self._states, self._tokens, self._rows = self._table
        for i in range(n):
            self._place(i)
        self._find_locks()

    def _place(self, i: int) -> bool:
        """Read entry i from its matcher; whether it is in another arena now."""
        m = self._matchers[i]
        self._rows[i], self._missing, self._asked = 0, self._n, False
        if not self._own[i]:
            return False
        moved = m._address != self._known[i]
        self._known[i] = m._address
        self._blocks[i] = 0 if m._node[5] else m._address
        self._states[i] = m._node[0]
        return moved

    def _find_locks(self) -> None:
        arenas = {id(m._arena): m._arena for m, own in zip(self._matchers, self._own) if own}
        self._locks = [arenas[k].lock for k in sorted(arenas)]

    def _run(self, tokens: Sequence[int]) -> None:
        """The kernel, with a token for each matcher; -1 moves none."""
        self._numbers.pack_into(self._bytes, 16 * self._n, *tokens)
        for lock in self._locks:
            lock.acquire()
        try:
            self._missing = self._kernel(self._address, self._n)
        finally:
            for lock in reversed(self._locks):
                lock.release()
        self._asked = True

    def moved(self, i: int) -> None:
        """Matcher i was moved, or may have been."""
        if self._place(i):
            self._find_locks()

    def step(self, tokens: Sequence[int]) -> list[int]:
        """Move each matcher by its token where that is a kernel's business.

        Returns
        -------
        list of int
            The matchers that have not moved, because they refuse their token or
            only ``try_accept`` knows; :meth:`moved` is due for each.
        """
        self._run(tokens)
        left = []
        read, data = self._numbers.unpack_from, self._bytes
        states, done = read(data, 8 * self._n), read(data, 16 * self._n)
        for i, (m, state, token) in enumerate(zip(self._matchers, states, done)):
            if token < 0:
                left.append(i)
            else:
                node = m._node
                m._node = (state, token, node, node[3] + m._lengths[token], node[4] + 1, False)
        return left

    def masks(self) -> np.ndarray:
        """Where the mask of each matcher lies: addresses (int64), good until the next step."""
        if self._missing and not self._asked:
            self._run(self._stay)
        if self._missing:
            self._make()
        return self._rows[:self._n]

    def _make(self) -> None:
        """The masks that the kernel has left."""
        lacking = np.flatnonzero(self._rows[:self._n] == 0).tolist()
        own = [i for i in lacking if self._blocks[i]]
        for i in own:
            self._matchers[i].make_mask()
            self.moved(i)               # perhaps to another arena
        if own:
            self._run(self._stay)
        for i in lacking:
            if self._rows[i] == 0:
                self._matchers[i].fill_bitmask(self._bitmask, i)
                self.moved(i)
                self._rows[i] = self._bitmask.ctypes.data + i * self._bitmask.strides[0]
        self._missing = 0
