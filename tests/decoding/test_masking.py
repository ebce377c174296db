"""Masks on scores against plain torch indexing."""

import numpy as np
import pytest
import torch

from structgen.decoding import masking
from structgen.decoding.masking import (ALL_MASKED, FREE, NOT_A_NUMBER, ScoreMasker,
                                        allocate_bitmask, mask_inplace, only_token)

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def random_case(rng, batch, columns, vocab, dtype=torch.float32):
    scores = torch.from_numpy(rng.normal(size=(batch, columns))).to(dtype)
    allowed = np.zeros((batch, max(columns, vocab) + 64), bool)
    for r in range(batch):
        share = rng.choice([0.002, 0.05, 0.5, 0.97, 1.0])
        allowed[r, :vocab] = rng.random(vocab) < share
        allowed[r, rng.integers(min(columns, vocab))] = True
    words = (vocab + 31) // 32
    bits = np.packbits(allowed[:, :words * 32], axis=1, bitorder="little").view(np.int32)
    return scores, np.ascontiguousarray(bits), torch.from_numpy(allowed[:, :columns])


def expected(scores, allowed, rows):
    out = scores.clone()
    for r, row in enumerate(rows):
        if row != FREE:
            out[r, ~allowed[row]] = float("-inf")
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "columns,vocab",
    [(64, 64), (100, 100), (1000, 977), (977, 1000), (37, 5), (2, 2), (960, 960), (1024, 970), (970, 1024), (64, 200)],
)
def test_all_ways_agree_with_indexing(dtype, columns, vocab, monkeypatch):
    rng = np.random.default_rng(columns * 7 + vocab)
    masker = ScoreMasker()
    kept = []
    for trial in range(12):
        scores, bits, allowed = random_case(rng, 5, columns, vocab, dtype)
        rows = rng.permutation(5).astype(np.int32)
        if trial % 3 == 0:
            rows[rng.integers(5)] = FREE
        want = expected(scores, allowed, rows)
        before = scores.clone()
        out, bad = masker(scores, bits, rows, vocab)
        assert torch.equal(out, want) and torch.equal(scores, before) and not bad
        if trial % 4 == 0:
            kept.append((out, want))        # somebody keeps the results
        by_torch, bad = masking._masked_by_torch(scores, bits, rows, vocab)
        assert torch.equal(by_torch, want) and not bad
        inplace = scores.clone()
        assert not mask_inplace(inplace, bits, rows, vocab)
        assert torch.equal(inplace, want)
        even = allocate_bitmask(5, vocab)
        even[:, :bits.shape[1]] = bits
        at = np.where(rows == FREE, 0, even.ctypes.data + rows.astype(np.int64) * even.strides[0])
        out, bad = masker.at(scores, at, vocab)
        assert torch.equal(out, want) and torch.equal(scores, before) and not bad
        inplace = scores.clone()
        assert not masking.mask_inplace_at(inplace, at, vocab)
        assert torch.equal(inplace, want)
        strided = torch.zeros(5, columns, 2, dtype=dtype)[:, :, 0]
        strided.copy_(scores)
        assert torch.equal(masker.at(strided, at, vocab)[0], want)
        masking.mask_inplace_at(strided, at, vocab)
        assert torch.equal(strided, want)
        strided.copy_(scores)
        assert torch.equal(masker(strided, bits, rows, vocab)[0], want)
        mask_inplace(strided, bits, rows, vocab)
        assert torch.equal(strided, want)
    for out, want in kept:
        assert torch.equal(out, want)


@pytest.mark.parametrize("dtype", DTYPES)
def test_verdicts(dtype):
    inf, nan = float("inf"), float("nan")
    bits = np.array([[0b0011], [0b1100]], np.int32)
    rows = np.array([0, 1], np.int32)

    def verdicts(*scores):
        scores = torch.tensor(scores, dtype=dtype)
        out = [mask_inplace(scores.clone(), bits, rows, 4), ScoreMasker()(scores, bits, rows, 4)[1],
               masking._masked_by_torch(scores, bits, rows, 4)[1]]
        assert list(out[0]) == list(out[1]) == list(out[2])
        return list(out[0])

    assert verdicts([1, 2, 3, 4], [1, 2, 3, 4]) == []
    assert verdicts([-inf, -inf, 3, 4], [1, 2, -inf, -5]) == [(0, ALL_MASKED)]
    assert verdicts([nan, nan, nan, nan], [nan, nan, 1, 1]) == [(0, NOT_A_NUMBER)]
    assert verdicts([-nan, -inf, 0, 0], [-1e-7, -1e-7, -inf, -inf]) == [(0, NOT_A_NUMBER), (1, ALL_MASKED)]
    # one NaN among good scores: the kernels stop at the first good one
    assert verdicts([-1e-7, -inf, 0, 0], [-1e-7, -1e-7, -1e-7, -inf]) == []


def test_buffers_are_reused_only_when_free():
    rng = np.random.default_rng(0)
    scores, bits, allowed = random_case(rng, 2, 200, 200)
    rows = np.arange(2, dtype=np.int32)
    want = expected(scores, allowed, rows)
    masker = ScoreMasker()
    addresses = set()
    for _ in range(10):
        out = masker(scores, bits, rows, 200)[0]
        addresses.add(out.data_ptr())
    if masking._storage_uses is not None:
        assert len(addresses) == 2
    views = [masker(scores, bits, rows, 200)[0][0] for _ in range(6)]       # only a view is kept
    copies = [v.clone() for v in views]
    other = torch.full_like(scores, 3.0)
    for _ in range(6):
        masker(other, bits, rows, 200)
    for view, copy in zip(views, copies):
        assert torch.equal(view, copy) and torch.equal(view, want[0])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_others_write_into_the_result_does_not_come_back(mode):
    rows = np.zeros(1, np.int32)
    masker = ScoreMasker()
    with mode():
        scores = torch.arange(500.0)[None]
        for step in range(12):
            bits = allocate_bitmask(1, 500)
            bits[0, step] = 2
            out, _ = masker(scores, bits, rows, 500)
            assert torch.isfinite(out[0]).nonzero().flatten().tolist() == [32 * step + 1]
            if step % 3 == 0:
                out[0, 490] = 7.0
            elif step % 3 == 1:
                out += 1
                out[:, 3:5].fill_(0)


def test_only_token():
    bits = allocate_bitmask(1, 200)
    words = bits.view(np.uint64)
    assert only_token(words, 0) == -1
    for t in (0, 31, 32, 63, 199):
        words[:] = 0
        words[0, t // 64] = np.uint64(1 << (t % 64))
        assert only_token(words, 0) == t
        words[0, 2] |= np.uint64(0b110)
        assert only_token(words, 0) == -1


def test_buffers_outlive_their_masker():
    if masking._storage_uses is None:
        pytest.skip("this torch does not say who holds a storage")
    rng = np.random.default_rng(3)
    rows = np.arange(2, dtype=np.int32)
    seen = set()
    for k in range(6):
        scores, bits, allowed = random_case(rng, 2, 310, 310)
        masker = ScoreMasker()
        for _ in range(3):
            out = masker(scores, bits, rows, 310)[0]
            assert torch.equal(out, expected(scores, allowed, rows))
            seen.add(out.data_ptr())
        if k == 3:
            kept, want = out, expected(scores, allowed, rows)
    assert len(seen) <= 4 and torch.equal(kept, want)
