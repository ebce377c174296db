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
  nothing else refers to its storage.

Scores are read as integers of the same width, so one kernel serves float32,
float64, float16 and bfloat16.  Both report rows without any allowed token of
finite score, and NaNs met on the way.  Columns at or above the vocabulary's
size are never allowed.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit

__all__ = ["OK", "ALL_MASKED", "NOT_A_NUMBER", "FREE", "ScoreMasker", "mask_inplace", "only_token",
           "allocate_bitmask", "unpack_bitmask"]

#: verdicts on a row
OK, ALL_MASKED, NOT_A_NUMBER = 0, 1, 2
#: row map entry of a row that carries no constraint
FREE = -1

# torch dtype -> (integer twin, numpy twin, bits of -inf, bits of the exponent)
_TWINS = {
    torch.float32: (torch.int32, np.int32, -0x00800000, 0x7F800000),
    torch.float64: (torch.int64, np.int64, -0x0010000000000000, 0x7FF0000000000000),
    torch.float16: (torch.int16, np.int16, -0x0400, 0x7C00),
    torch.bfloat16: (torch.int16, np.int16, -0x0080, 0x7F80),
}

_DE_BRUIJN = np.zeros(32, dtype=np.uint8)
for _i in range(32):
    _DE_BRUIJN[((0x077CB531 << _i) & 0xFFFFFFFF) >> 27] = _i


@njit(nogil=True, cache=True, inline="always")
def _lowest(word):
    """Index of the lowest set bit of a non-zero 32-bit word (held in 64 bits)."""
    low = word & -word
    return np.int64(_DE_BRUIJN[((low * 0x077CB531) & 0xFFFFFFFF) >> 27])


@njit(nogil=True, cache=True)
def _count(row, words):
    total = np.int64(0)
    for w in range(words):
        v = row[w]
        v = v - ((v >> np.uint32(1)) & np.uint32(0x55555555))
        v = (v & np.uint32(0x33333333)) + ((v >> np.uint32(2)) & np.uint32(0x33333333))
        v = (v + (v >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
        v = v + (v >> np.uint32(8))
        total += np.int64((v + (v >> np.uint32(16))) & np.uint32(0x3F))
    return total


@njit(nogil=True, cache=True)
def _word(row, w, limit):
    """Word `w` of a bitmask row as int64, without the bits at or above `limit`."""
    word = np.int64(row[w]) & 0xFFFFFFFF
    if (w + 1) * 32 > limit:
        word &= (np.int64(1) << (limit - w * 32)) - 1
    return word


@njit(nogil=True, cache=True)
def _verdict(scores, row, limit, neg, expo):
    """Look for an allowed token of finite score; stops at the first one."""
    nan = False
    top = np.int64(expo)
    for w in range((limit + 31) // 32):
        word = _word(row, w, limit)
        while word:
            value = np.int64(scores[w * 32 + _lowest(word)])
            word &= word - 1
            if value == neg:
                continue
            # drop the sign without leaving the type's own width
            if (value & (top | (top - 1))) > top:
                nan = True
                continue
            return 0
    return 2 if nan else 1


@njit(nogil=True, cache=True)
def _forbid(scores, row, limit, neg):
    """Write `neg` wherever `row` does not allow the token."""
    n = scores.shape[0]
    for w in range((limit + 31) // 32):
        base = w * 32
        word = _word(row, w, limit)
        last = min(base + 32, n)
        if word == 0:
            for t in range(base, last):
                scores[t] = neg
            continue
        gone = ~word & 0xFFFFFFFF
        if last - base < 32:
            gone &= (np.int64(1) << (last - base)) - 1
        while gone:
            scores[base + _lowest(gone)] = neg
            gone &= gone - 1
    for t in range(((limit + 31) // 32) * 32, n):
        scores[t] = neg


@njit(nogil=True, cache=True)
def _mask_inplace(scores, bits, rows, vocab, neg, expo, status):
    limit = min(scores.shape[1], vocab)
    for r in range(scores.shape[0]):
        status[r] = 0
        if rows[r] >= 0:
            row = bits[rows[r]]
            status[r] = _verdict(scores[r], row, limit, neg, expo)
            words = (limit + 31) // 32
            kept = _count(row, words)
            if kept * 16 > limit:
                _forbid(scores[r], row, limit, neg)
                continue
            # few tokens: save them, fill the row in one go, put them back
            values = np.empty(kept, scores.dtype)
            k = 0
            for w in range(words):
                word = _word(row, w, limit)
                while word:
                    values[k] = scores[r, w * 32 + _lowest(word)]
                    k += 1
                    word &= word - 1
            scores[r, :] = neg
            k = 0
            for w in range(words):
                word = _word(row, w, limit)
                while word:
                    scores[r, w * 32 + _lowest(word)] = values[k]
                    k += 1
                    word &= word - 1


@njit(nogil=True, cache=True)
def _mask_into(src, dst, bits, rows, vocab, neg, expo, status, prev, clean):
    """Masked copy of `src` in `dst`.

    ``clean[r]`` says that row r of `dst` is `neg` but for the tokens whose bits
    are set in ``prev[r]``; it lets a sparse row be written without touching the
    rest.
    """
    n = src.shape[1]
    limit = min(n, vocab)
    words = (limit + 31) // 32
    for r in range(src.shape[0]):
        status[r] = 0
        if rows[r] < 0:
            dst[r, :] = src[r, :]
            clean[r] = False
            continue
        row = bits[rows[r]]
        status[r] = _verdict(src[r], row, limit, neg, expo)
        if _count(row, words) * 16 > limit:
            dst[r, :] = src[r, :]
            _forbid(dst[r], row, limit, neg)
            clean[r] = False
            continue
        if clean[r]:
            for w in range(words):
                word = np.int64(prev[r, w])
                while word:
                    dst[r, w * 32 + _lowest(word)] = neg
                    word &= word - 1
        else:
            dst[r, :] = neg
            clean[r] = True
        for w in range(words):
            word = _word(row, w, limit)
            prev[r, w] = word
            while word:
                t = w * 32 + _lowest(word)
                dst[r, t] = src[r, t]
                word &= word - 1


@njit(nogil=True, cache=True)
def only_token(bits, row):
    """The one token that ``bits[row]`` allows, or -1 if it allows none or several.

    `bits` is the bitmask seen as uint32.
    """
    found = np.int64(-1)
    for w in range(bits.shape[1]):
        word = np.int64(bits[row, w])
        if word:
            if found >= 0 or word & (word - 1):
                return np.int64(-1)
            found = w * 32 + _lowest(word)
    return found


def allocate_bitmask(rows: int, vocab_size: int) -> np.ndarray:
    """An int32 bitmask of `rows` rows that allows nothing.

    Examples
    --------
    >>> allocate_bitmask(2, 100).shape
    (2, 4)
    """
    return np.zeros((rows, (vocab_size + 31) // 32), dtype=np.int32)


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


def _masked_by_torch(scores: torch.Tensor, bits: np.ndarray, rows: np.ndarray, vocab: int,
                     status: np.ndarray) -> torch.Tensor:
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
    status[:] = torch.where(row_map < 0, OK, verdict).cpu().numpy()
    return out


def mask_inplace(scores: torch.Tensor, bitmask: np.ndarray, rows: np.ndarray,
                 vocab_size: int) -> np.ndarray:
    """Write ``-inf`` into `scores` wherever its row's mask does not allow the token.

    Parameters
    ----------
    scores : torch.Tensor
        Floating point, ``(batch, columns)``; written to.
    bitmask : numpy.ndarray
        int32, ``(any, ceil(vocab_size / 32))``.
    rows : numpy.ndarray
        int32, for each row of `scores` the row of `bitmask`, or ``FREE``.
    vocab_size : int
        Columns from here on are not allowed.

    Returns
    -------
    numpy.ndarray
        A verdict a row: ``OK``, ``ALL_MASKED`` or ``NOT_A_NUMBER``.

    Examples
    --------
    >>> scores = torch.zeros(1, 4)
    >>> mask_inplace(scores, np.array([[0b0101]], np.int32), np.zeros(1, np.int32), 4).tolist()
    [0]
    >>> scores
    tensor([[0., -inf, 0., -inf]])
    """
    status = np.zeros(scores.shape[0], dtype=np.int8)
    if scores.is_contiguous():
        twin = _twin(scores)
        if twin is not None:
            view, neg, expo = twin
            _mask_inplace(view, bitmask.view(np.uint32), rows, vocab_size, neg, expo, status)
            return status
    scores.copy_(_masked_by_torch(scores, bitmask, rows, vocab_size, status))
    return status


# Counts the tensors (views included) that share a storage.  Without it buffers
# are not recycled.
_storage_uses = getattr(torch._C, "_storage_Use_Count", None)


class _Buffer:
    """One output buffer with what is known of its contents."""

    def __init__(self, shape: tuple[int, int], dtype: torch.dtype, words: int):
        self.tensor = torch.empty(shape, dtype=dtype)
        self.view = _twin(self.tensor)[0]
        self.prev = np.zeros((shape[0], words), dtype=np.uint32)
        self.clean = np.zeros(shape[0], dtype=np.bool_)
        self.address = self.tensor.untyped_storage()._cdata
        self.idle = -1 if _storage_uses is None else _storage_uses(self.address)

    def free(self) -> bool:
        return _storage_uses is not None and _storage_uses(self.address) == self.idle


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
        self._next = 0

    def _buffer(self, scores: torch.Tensor, words: int) -> _Buffer:
        shape = (scores.shape[0], scores.shape[1])
        ring = self._ring
        if ring and (ring[0].view.shape != shape or ring[0].tensor.dtype != scores.dtype
                     or ring[0].prev.shape[1] != words):
            ring.clear()
        for step in range(len(ring)):
            buffer = ring[(self._next + step) % len(ring)]
            if buffer.free():
                self._next += step + 1
                return buffer
        buffer = _Buffer(shape, scores.dtype, words)
        if len(ring) < self.RING:
            ring.append(buffer)
        else:                       # the caller keeps its results: let it have them
            ring[self._next % len(ring)] = buffer
            self._next += 1
        return buffer

    def __call__(self, scores: torch.Tensor, bitmask: np.ndarray, rows: np.ndarray,
                 vocab_size: int) -> tuple[torch.Tensor, np.ndarray]:
        """The masked scores, and a verdict a row; arguments as for :func:`mask_inplace`."""
        status = np.zeros(scores.shape[0], dtype=np.int8)
        twin = _twin(scores if scores.is_contiguous() else scores.contiguous())
        if twin is None:
            return _masked_by_torch(scores, bitmask, rows, vocab_size, status), status
        view, neg, expo = twin
        buffer = self._buffer(scores, bitmask.shape[1])
        _mask_into(view, buffer.view, bitmask.view(np.uint32), rows, vocab_size, neg, expo, status,
                   buffer.prev, buffer.clean)
        # a new view, so that whoever holds it shows in the storage's count
        return buffer.tensor.view(buffer.view.shape), status
