"""Putting bitmasks on scores: the one place that writes ``-inf``.

A *bitmask* is an int32 array ``(rows, ceil(V / 32))``; bit ``t % 32`` of word
``t // 32`` says whether token ``t`` is allowed.  Two ways to use one:

* :func:`mask_inplace` writes ``-inf`` into the scores it is given.  Our own
  decode loop uses it, as it owns its logits.
* :class:`ScoreMasker` never writes into what it is given, because a caller may
  keep it (``output_logits=True``) or pass it again (prompt look-up decoding).
  On the CPU it still writes only what it must: it recycles a few output
  buffers, and a row with few allowed tokens, going into a buffer that is
  ``-inf`` but for the few tokens of an earlier step, costs those few writes and
  one scan of the bitmask instead of V copies.  A buffer is used again only once
  nothing else refers to its storage, and torch's count of changes tells whether
  somebody (a processor after ours) has written into it.

Both also take the *addresses* of rows instead of a bitmask (:func:`mask_inplace_at`,
:meth:`ScoreMasker.at`), so that masks are read where the engine made them.

Scores are read as integers of the same width, so one kernel serves float32,
float64, float16 and bfloat16.  Both report rows without any allowed token of
finite score, and NaNs met on the way.  Columns at or above the vocabulary's
size are never allowed.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from typing import Sequence

import numpy as np
import torch
from numba import carray, njit, types
from numba.extending import intrinsic

from ..automata.jit import direct
from ..automata.stack_layout import ld64

__all__ = ["OK", "ALL_MASKED", "NOT_A_NUMBER", "FREE", "ScoreMasker", "mask_inplace", "mask_inplace_at", "only_token",
           "allocate_bitmask", "unpack_bitmask"]

#: verdicts on a row
OK, ALL_MASKED, NOT_A_NUMBER = 0, 1, 2
#: row map entry of a row that carries no constraint
FREE = -1
#: rows with at most so many allowed tokens are written token by token
FEW = 2048

# torch dtype -> (integer twin, numpy twin, bits of -inf, bits of the exponent)
_TWINS = {
    torch.float32: (torch.int32, np.int32, -0x00800000, 0x7F800000),
    torch.float64: (torch.int64, np.int64, -0x0010000000000000, 0x7FF0000000000000),
    torch.float16: (torch.int16, np.int16, -0x0400, 0x7C00),
    torch.bfloat16: (torch.int16, np.int16, -0x0080, 0x7F80),
}

_DE_BRUIJN = np.zeros(64, dtype=np.uint8)
for _i in range(64):
    _DE_BRUIJN[((0x03F79D71B4CB0A89 << _i) & 0xFFFFFFFFFFFFFFFF) >> 58] = _i

_ONE = np.uint64(1)


@njit(nogil=True, cache=True, inline="always")
def _lowest(word):
    """Index of the lowest set bit of a non-zero uint64."""
    low = word & (~word + np.uint64(1))
    return np.int64(_DE_BRUIJN[(low * np.uint64(0x03F79D71B4CB0A89)) >> np.uint64(58)])


@njit(nogil=True, cache=True)
def _few(row, words, found):
    """List the tokens of the mask at address `row` in `found`; -1 as soon as they are too many.

    A block of words is counted before it is listed, so that rows with many
    tokens are told apart early.
    """
    k = 0
    room = found.shape[0]
    for start in range(0, words, 64):
        stop = min(start + 64, words)
        total = np.uint64(0)
        for w in range(start, stop):
            v = np.uint64(ld64(row, w))
            v = v - ((v >> np.uint64(1)) & np.uint64(0x5555555555555555))
            v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
            v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
            total += (v * np.uint64(0x0101010101010101)) >> np.uint64(56)
        if total == 0:
            continue
        if k + np.int64(total) > room:
            return np.int64(-1)
        for w in range(start, stop):
            word = np.uint64(ld64(row, w))
            while word:
                found[k] = w * 64 + _lowest(word)
                k += 1
                word &= word - _ONE
    return np.int64(k)


@njit(nogil=True, cache=True, inline="always")
def _judge(value, neg, top):
    """0: finite, 1: -inf, 2: NaN, of a score read as an integer."""
    if value == neg:
        return 1
    # the sign is dropped without leaving the type's own width
    return 2 if (value & (top | (top - 1))) > top else 0


@njit(nogil=True, cache=True)
def _forbid(scores, row, words, neg, top):
    """Write `neg` wherever the mask at `row` does not allow the token; the verdict."""
    n = scores.shape[0]
    verdict = 1
    for w in range(words):
        base = w * 64
        last = min(base + 64, n)
        bits = np.uint64(ld64(row, w))
        word = bits
        while word and verdict != 0:
            seen = _judge(np.int64(scores[base + _lowest(word)]), neg, top)
            verdict = 0 if seen == 0 else max(verdict, seen)
            word &= word - _ONE
        gone = ~bits
        if bits == 0:
            for t in range(base, last):
                scores[t] = neg
            continue
        if last - base < 64:
            gone &= (_ONE << np.uint64(last - base)) - _ONE
        while gone:
            scores[base + _lowest(gone)] = neg
            gone &= gone - _ONE
    for t in range(min(words * 64, n), n):
        scores[t] = neg
    return verdict


@njit(nogil=True, cache=True)
def _mask_inplace(scores, rows, words, neg, top, status):
    """Mask each line of `scores` by the `words` uint64 at address ``rows[r]``; 0 leaves it.

    No bit is set at or above the number of columns.
    """
    bad = 0
    found = np.empty(FEW, np.int32)
    values = np.empty(FEW, scores.dtype)
    for r in range(scores.shape[0]):
        status[r] = 0
        row = rows[r]
        if row == 0:
            continue
        line = scores[r]
        few = _few(row, words, found)
        if few < 0:
            status[r] = _forbid(line, row, words, neg, top)
        else:
            # save them, fill the row in one go, put them back
            status[r] = 1
            for k in range(few):
                values[k] = line[found[k]]
                seen = _judge(np.int64(values[k]), neg, top)
                if status[r] != 0:
                    status[r] = 0 if seen == 0 else max(status[r], seen)
            for t in range(line.shape[0]):
                line[t] = neg
            for k in range(few):
                line[found[k]] = values[k]
        bad += status[r] != 0
    return bad


@njit(nogil=True, cache=True)
def _mask_into(src, dst, rows, words, neg, top, status, prev, held):
    """Masked copy of `src` in `dst`; for rows see `_mask_inplace`.

    Row r of `dst` is `neg` but for the first ``held[r]`` tokens in ``prev[r]``
    if that is not negative; it lets a row with few allowed tokens be written
    without touching the rest.
    """
    bad = 0
    found = np.empty(FEW, np.int32)
    for r in range(src.shape[0]):
        line, out = src[r], dst[r]
        status[r] = 0
        row = rows[r]
        if row == 0:
            for t in range(line.shape[0]):          # (a slice assignment is four times slower)
                out[t] = line[t]
            held[r] = -1
            continue
        few = _few(row, words, found)
        if few < 0:
            for t in range(line.shape[0]):
                out[t] = line[t]
            status[r] = _forbid(out, row, words, neg, top)
        else:
            if held[r] >= 0:
                for k in range(held[r]):
                    out[prev[r, k]] = neg
            else:
                for t in range(out.shape[0]):
                    out[t] = neg
            status[r] = 1
            for k in range(few):
                t = found[k]
                prev[r, k] = t
                out[t] = line[t]
                seen = _judge(np.int64(line[t]), neg, top)
                if status[r] != 0:
                    status[r] = 0 if seen == 0 else max(status[r], seen)
        held[r] = few
        bad += status[r] != 0
    return bad


@intrinsic
def _pointer(typingctx, address):
    """The pointer that an int64 is."""
    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), codegen


@njit("int64(int64, int64, int64, int64, int64, int64, int64, int64, int64)", nogil=True, cache=True)
def _float32_into(src, dst, count, columns, rows, words, status, prev, held):
    """`_mask_into` of float32, with the addresses of its arrays."""
    return _mask_into(
        carray(_pointer(src), (count, columns), np.int32), carray(_pointer(dst), (count, columns), np.int32),
        carray(_pointer(rows), count, np.int64), words, -0x00800000, 0x7F800000,
        carray(_pointer(status), count, np.int8), carray(_pointer(prev), (count, FEW), np.int32),
        carray(_pointer(held), count, np.int32))


# by far the most frequent: numbers are handed over in a tenth of the time of arrays
_float32_into = direct(_float32_into)


@njit(nogil=True, cache=True)
def only_token(bits, row):
    """The one token that ``bits[row]`` allows, or -1 if it allows none or several.

    `bits` is the bitmask seen as uint64.
    """
    found = np.int64(-1)
    for w in range(bits.shape[1]):
        word = bits[row, w]
        if word:
            if found >= 0 or word & (word - _ONE):
                return np.int64(-1)
            found = w * 64 + _lowest(word)
    return found


def allocate_bitmask(rows: int, vocab_size: int) -> np.ndarray:
    """An int32 bitmask of `rows` rows that allows nothing, of even width.

    The kernels here read 64 bits at a time.

    Examples
    --------
    >>> allocate_bitmask(2, 70).shape
    (2, 4)
    """
    return np.zeros((rows, (vocab_size + 63) // 64 * 2), dtype=np.int32)


def _words(bitmask: np.ndarray, columns: int, vocab_size: int) -> np.ndarray:
    """The bitmask as uint64 words without bits at or above `columns`; usually a view."""
    if columns >= vocab_size and bitmask.shape[1] % 2 == 0 and bitmask.flags.c_contiguous:
        return bitmask.view(np.uint64)
    limit = min(columns, vocab_size)
    copy = allocate_bitmask(bitmask.shape[0], limit)
    width = min(copy.shape[1], bitmask.shape[1])
    copy[:, :width] = bitmask[:, :width]
    words = copy.view(np.uint64)
    if limit % 64:
        words[:, -1] &= np.uint64((1 << (limit % 64)) - 1)
    return words


def _addresses(words: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where the rows of `words` lie that `rows` names; 0 for ``FREE``."""
    rows = np.asarray(rows, np.int64)
    return np.where(rows < 0, 0, words.ctypes.data + rows * words.strides[0])


def _gathered(addresses: np.ndarray, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """A bitmask with a copy of each row, and which row is whose: addresses for those who want neither."""
    bits = allocate_bitmask(len(addresses), vocab_size)
    rows = np.where(addresses == 0, FREE, np.arange(len(addresses))).astype(np.int32)
    for r, address in enumerate(addresses.tolist()):
        if address:
            ctypes.memmove(bits.ctypes.data + r * bits.strides[0], address, bits.strides[0])
    return bits, rows


def unpack_bitmask(bits: torch.Tensor, rows: torch.Tensor, columns: int) -> torch.Tensor:
    """Boolean ``(len(rows), columns)``: what each row allows, on the device of `bits`.

    A negative entry in `rows` allows everything; columns past the mask are not
    allowed.
    """
    shifts = torch.arange(32, dtype=torch.int32, device=bits.device)
    picked = bits[rows.clamp(min=0)]
    allowed = ((picked.unsqueeze(-1) >> shifts) & 1).bool().flatten(1)
    if allowed.shape[1] < columns:
        pad = allowed.new_zeros((allowed.shape[0], columns - allowed.shape[1]))
        allowed = torch.cat([allowed, pad], dim=1)
    return allowed[:, :columns] | (rows < 0).unsqueeze(1)


def _twin(scores: torch.Tensor) -> tuple[np.ndarray, int, int] | None:
    """The scores as a contiguous integer numpy array sharing their memory, if possible."""
    twin = _TWINS.get(scores.dtype)
    if twin is None or scores.device.type != "cpu":
        return None
    if scores.requires_grad:
        scores = scores.detach()
    if scores.dtype is torch.float32:
        return scores.numpy().view(np.int32), twin[2], twin[3]
    return scores.view(twin[0]).numpy(), twin[2], twin[3]


#: rows that went wrong: (row, verdict)
Bad = Sequence[tuple[int, int]]


def _listed(status: np.ndarray) -> Bad:
    return [(int(r), int(status[r])) for r in np.flatnonzero(status)]


def _masked_by_torch(scores: torch.Tensor, bits: np.ndarray, rows: np.ndarray,
                     vocab: int) -> tuple[torch.Tensor, Bad]:
    """The same on any device, with torch operations; one synchronisation."""
    device = scores.device
    row_map = torch.from_numpy(rows.astype(np.int64))
    used = torch.from_numpy(bits)
    if device.type == "cuda":
        used = used.pin_memory().to(device, non_blocking=True)
        row_map = row_map.pin_memory().to(device, non_blocking=True)
    else:
        used, row_map = used.to(device), row_map.to(device)
    allowed = unpack_bitmask(used, row_map, scores.shape[1])
    if scores.shape[1] > vocab:
        allowed[:, vocab:] &= (row_map < 0).unsqueeze(1)
    out = scores.masked_fill(~allowed, float("-inf"))
    best = out.max(dim=1).values            # NaN wins a maximum
    verdict = torch.where(best.isnan(), NOT_A_NUMBER, torch.where(best == float("-inf"),
                                                                  ALL_MASKED, OK))
    return out, _listed(torch.where(row_map < 0, OK, verdict).cpu().numpy())


def mask_inplace(scores: torch.Tensor, bitmask: np.ndarray, rows: np.ndarray,
                 vocab_size: int) -> Bad:
    """Write ``-inf`` into `scores` wherever its row's mask does not allow the token.

    Parameters
    ----------
    scores : torch.Tensor
        Floating point, ``(batch, columns)``; written to.
    bitmask : numpy.ndarray
        int32, ``(any, width)``, without bits at or above `vocab_size`; one of another
        layout than :func:`allocate_bitmask` gives is copied.
    rows : numpy.ndarray
        int32, for each row of `scores` the row of `bitmask`, or ``FREE``.
    vocab_size : int
        Columns from here on are not allowed.

    Returns
    -------
    sequence of (int, int)
        Rows that went wrong, each with ``ALL_MASKED`` or ``NOT_A_NUMBER``.

    Examples
    --------
    >>> scores = torch.zeros(1, 4)
    >>> mask_inplace(scores, np.array([[0b0101, 0]], np.int32), np.zeros(1, np.int32), 4)
    ()
    >>> scores
    tensor([[0., -inf, 0., -inf]])
    """
    if scores.is_contiguous():
        twin = _twin(scores)
        if twin is not None:
            view, neg, expo = twin
            status = np.empty(scores.shape[0], dtype=np.int8)
            words = _words(bitmask, scores.shape[1], vocab_size)
            bad = _mask_inplace(view, _addresses(words, rows), words.shape[1], neg, expo, status)
            return _listed(status) if bad else ()
    out, bad = _masked_by_torch(scores, bitmask, rows, vocab_size)
    scores.copy_(out)
    return bad


def mask_inplace_at(scores: torch.Tensor, addresses: np.ndarray, vocab_size: int) -> Bad:
    """:func:`mask_inplace` with rows given by address.

    Parameters
    ----------
    scores : torch.Tensor
        As there.
    addresses : numpy.ndarray
        int64, for each row of `scores` the address of ``ceil(vocab_size / 64)``
        uint64 that hold no bits at or above `vocab_size`, or 0 to leave it.
    vocab_size : int
        As there.
    """
    if scores.shape[1] >= vocab_size and scores.is_contiguous():
        twin = _twin(scores)
        if twin is not None:
            view, neg, expo = twin
            status = np.empty(scores.shape[0], dtype=np.int8)
            bad = _mask_inplace(view, addresses, (vocab_size + 63) // 64, neg, expo, status)
            return _listed(status) if bad else ()
    return mask_inplace(scores, *_gathered(addresses, vocab_size), vocab_size)


# Counts the tensors (views included) that share a storage.  Without it buffers
# are not recycled.
_storage_uses = getattr(torch._C, "_storage_Use_Count", None)


class _Buffer:
    """One output buffer with what is known of its contents."""

    def __init__(self, shape: tuple[int, int], dtype: torch.dtype):
        with torch.inference_mode(False):       # inference tensors do not count changes
            self.tensor = torch.empty(shape, dtype=dtype)
        self.view = _twin(self.tensor)[0]
        self.prev = np.empty((shape[0], FEW), dtype=np.int32)
        self.held = np.full(shape[0], -1, dtype=np.int32)
        self.status = np.empty(shape[0], dtype=np.int8)
        self.version = self.tensor._version
        self.address = self.tensor.untyped_storage()._cdata
        self.known = (self.tensor.data_ptr(), *shape)
        self.extra = (self.status.ctypes.data, self.prev.ctypes.data, self.held.ctypes.data)
        self.idle = -1 if _storage_uses is None else _storage_uses(self.address)

    def free(self) -> bool:
        """Is it ours alone again?  What others may have written into it is forgotten."""
        if _storage_uses is None or _storage_uses(self.address) != self.idle:
            return False
        if self.tensor._version != self.version:
            self.version = self.tensor._version
            self.held.fill(-1)
        return True

    def result(self, bad: int) -> tuple[torch.Tensor, "Bad"]:
        """What is handed out: a new tensor of the storage, so that whoever holds it shows in its count."""
        return self.tensor.detach(), _listed(self.status) if bad else ()


#: idle buffers of maskers that are gone, for the next ones: page faults on fresh memory
#: cost more than many steps
_spare: list[_Buffer] = []
_spare_lock = threading.Lock()
SPARE_BYTES = 64 << 20


def _give_back(ring: list[_Buffer]) -> None:
    with _spare_lock:
        _spare.extend(ring)
        while sum(b.tensor.nbytes for b in _spare) > SPARE_BYTES:
            _spare.pop(0)


def _take_spare(shape: tuple, dtype: torch.dtype) -> _Buffer | None:
    with _spare_lock:
        for k, buffer in enumerate(_spare):
            if buffer.view.shape == shape and buffer.tensor.dtype == dtype and buffer.free():
                return _spare.pop(k)
    return None


class ScoreMasker:
    """Masked copies of scores that recycle their memory; see the module's text.

    One object serves one stream of calls and is not thread-safe.

    Examples
    --------
    >>> masker = ScoreMasker()
    >>> scores = torch.zeros(1, 4)
    >>> masker(scores, np.array([[0b0101]], np.int32), np.zeros(1, np.int32), 4)[0]
    tensor([[0., -inf, 0., -inf]])
    >>> scores
    tensor([[0., 0., 0., 0.]])
    """

    #: a caller usually still holds the result of the step before
    RING = 2

    def __init__(self) -> None:
        self._ring: list[_Buffer] = []
        weakref.finalize(self, _give_back, self._ring)
        self._shape: tuple = ()
        self._dtype: torch.dtype | None = None
        self._next = 0

    def _buffer(self, scores: torch.Tensor) -> _Buffer:
        shape, dtype, ring = scores.shape, scores.dtype, self._ring
        if shape != self._shape or dtype is not self._dtype:
            _give_back(ring)
            ring.clear()
            self._shape, self._dtype = tuple(shape), dtype
        for step in range(len(ring)):
            buffer = ring[(self._next + step) % len(ring)]
            if buffer.free():
                self._next += step + 1
                return buffer
        buffer = _take_spare(self._shape, dtype) or _Buffer(self._shape, dtype)
        if len(ring) < self.RING:
            ring.append(buffer)
        else:                       # the caller keeps its results: let it have them
            ring[self._next % len(ring)] = buffer
            self._next += 1
        return buffer

    def __call__(self, scores: torch.Tensor, bitmask: np.ndarray, rows: np.ndarray,
                 vocab_size: int) -> tuple[torch.Tensor, Bad]:
        """The masked scores, and rows that went wrong; as for :func:`mask_inplace`."""
        twin = _twin(scores if scores.is_contiguous() else scores.contiguous())
        if twin is None:
            return _masked_by_torch(scores, bitmask, rows, vocab_size)
        words = _words(bitmask, scores.shape[1], vocab_size)
        return self._run(scores, twin, _addresses(words, rows), words.shape[1])

    def at(self, scores: torch.Tensor, addresses: np.ndarray, vocab_size: int,
           where: int = 0) -> tuple[torch.Tensor, Bad]:
        """The same with rows given by address, as for :func:`mask_inplace_at`.

        `where` is the address of `addresses` itself, for callers who know it.
        """
        if scores.dtype is torch.float32 and scores.is_cpu and scores.is_contiguous() and scores.shape[1] >= vocab_size:
            buffer = self._buffer(scores)
            bad = _float32_into(scores.data_ptr(), *buffer.known, where or addresses.ctypes.data,
                                (vocab_size + 63) // 64, *buffer.extra)
            return buffer.result(bad)
        twin = None
        if scores.shape[1] >= vocab_size:
            twin = _twin(scores if scores.is_contiguous() else scores.contiguous())
        if twin is None:
            return self(scores, *_gathered(addresses, vocab_size), vocab_size)
        return self._run(scores, twin, addresses, (vocab_size + 63) // 64)

    def _run(self, scores: torch.Tensor, twin: tuple, addresses: np.ndarray, words: int) -> tuple[torch.Tensor, Bad]:
        view, neg, expo = twin
        buffer = self._buffer(scores)
        return buffer.result(_mask_into(view, buffer.view, addresses, words, neg, expo, buffer.status, buffer.prev,
                                        buffer.held))
