"""Model doubles with known probabilities, and the exact law of a finite language by brute force.

Nothing here uses the oracle, the walks or the constraint engine.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

from structgen import Vocabulary
from structgen.sampling import Warping


class HashModel:
    """Next-token scores that depend on the whole prefix, by a hash."""

    def __init__(self, vocab_size: int, seed: int = 0, spread: float = 2.0, boost: dict | None = None):
        self.vocab_size, self.seed, self.spread, self.boost = vocab_size, seed, spread, boost or {}
        self.fingerprint = f"hash {vocab_size} {seed} {spread} {sorted(self.boost.items())}"
        self.positions = 0

    def line(self, path):
        digest = hashlib.blake2b(repr((self.seed, tuple(path))).encode(), digest_size=8).digest()
        out = np.random.default_rng(int.from_bytes(digest, "little")).normal(0, self.spread, self.vocab_size)
        for token, more in self.boost.items():
            out[token] += more
        return out

    def score(self, paths, counts):
        out = []
        for path, count in zip(paths, counts):
            self.positions += count
            out.append(np.stack([self.line(path[:len(path) - count + 1 + j]) for j in range(count)]))
        return out


def letters(pieces: list[str]) -> Vocabulary:
    """Every byte, some longer pieces, and an end token as the last id."""
    tokens = [bytes([b]) for b in range(256)] + [p.encode() for p in pieces]
    return Vocabulary.from_tokens([*tokens, None], eos_ids=[len(tokens)])


def law(model, vocabulary: Vocabulary, texts: list[str], max_tokens: int, warping: Warping = Warping()) -> dict:
    """P of every token sequence (end token included) that spells one of `texts`, unnormalised."""
    pieces = [(t, vocabulary.token_bytes(t)) for t in range(vocabulary.size)]
    ends = list(vocabulary.eos_ids)
    wanted = [t.encode() for t in texts]
    out: dict[tuple[int, ...], float] = {}

    def visit(path, text, log_p):
        live = [w for w in wanted if w.startswith(text)]
        if not live or len(path) >= max_tokens:
            return
        line = warping.log_probs(np.asarray(model.score([path], [1])[0]))[0].astype(np.float64)
        for end in ends:
            if text in wanted and line[end] > -math.inf:
                out[(*path, end)] = math.exp(log_p + line[end])
        for t, data in pieces:
            if data and line[t] > -math.inf and any(w.startswith(text + data) for w in live):
                visit((*path, t), text + data, log_p + line[t])

    visit((), b"", 0.0)
    return out


def masked_law(model, vocabulary: Vocabulary, texts: list[str], max_tokens: int) -> dict:
    """Probability of every token sequence under masking token by token."""
    pieces = [(t, vocabulary.token_bytes(t)) for t in range(vocabulary.size)]
    ends = list(vocabulary.eos_ids)
    wanted = [t.encode() for t in texts]
    out = {}

    def visit(path, text, q):
        line = Warping().log_probs(np.asarray(model.score([path], [1])[0]))[0].astype(np.float64)
        steps = [(e, None) for e in ends if text in wanted]
        if len(path) < max_tokens - 1:
            steps += [(t, d) for t, d in pieces if d and any(w.startswith(text + d) for w in wanted)]
        total = sum(math.exp(line[t]) for t, _ in steps)
        for t, data in steps:
            share = q * math.exp(line[t]) / total
            if data is None:
                out[(*path, t)] = share
            else:
                visit((*path, t), text + data, share)

    visit((), b"", 1.0)
    return out


def chi_squared(drawn: list, target: dict) -> float:
    """p-value of a chi-squared test of draws against a law (rare texts pooled)."""
    total = sum(target.values())
    n = len(drawn)
    counts: dict = {}
    for x in drawn:
        counts[x] = counts.get(x, 0) + 1
    if set(counts) - set(target):
        return 0.0
    statistic, cells, pooled_e, pooled_o = 0.0, 0, 0.0, 0
    for x, p in target.items():
        expected, seen = n * p / total, counts.get(x, 0)
        if expected < 5:
            pooled_e, pooled_o = pooled_e + expected, pooled_o + seen
            continue
        statistic += (seen - expected) ** 2 / expected
        cells += 1
    if pooled_e >= 1:
        statistic += (pooled_o - pooled_e) ** 2 / pooled_e
        cells += 1
    elif pooled_o > 5 + 10 * pooled_e:
        return 0.0
    return chi_squared_tail(statistic, cells - 1)


def chi_squared_tail(x: float, df: int) -> float:
    """P(chi-squared with `df` degrees of freedom > x), by the regularised incomplete gamma function."""
    if df <= 0:
        return 1.0
    a, x = df / 2, x / 2
    if x <= 0:
        return 1.0
    scale = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        k = a
        while abs(term) > 1e-16 * abs(total):
            k += 1
            term *= x / k
            total += term
        return 1 - scale * total
    b, c, d = x + 1 - a, 1e300, 1 / (x + 1 - a)
    h = d
    for i in range(1, 10_000):
        an = -i * (i - a)
        b += 2
        d = 1 / (an * d + b)
        c = b + an / c
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return scale * h
