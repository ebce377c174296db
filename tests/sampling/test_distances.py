"""Distances between masking and target, and the sums of what is known that they rest on, against brute force."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import structgen as sg
from structgen.sampling import NGram, PrefixOracle, sample
from structgen.sampling.distances import Walks
from structgen.sampling.dp import Product
from structgen.sampling.walkers import Unexplored, Walkers

from .doubles import HashModel, chi_squared, law, letters, masked_law

TEXTS = ["a", "ab", "abc", "abcabc", "b", "cab", "cc", "ccab"]


def exact(model, vocabulary, texts, horizon) -> tuple[float, float, float]:
    """KL(mask || target) of what masking finishes, KL(target || mask), and how likely it does not finish."""
    p, q = law(model, vocabulary, texts, horizon), masked_law(model, vocabulary, texts, horizon)
    z, done = math.fsum(p.values()), math.fsum(q[x] for x in p)
    return (sum(q[x] / done * math.log(q[x] / done / (p[x] / z)) for x in p),
            sum(p[x] / z * math.log(p[x] / z / q[x]) for x in p), 1 - done)


@settings(max_examples=25)
@given(st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=8, unique=True),
       st.lists(st.text("abc", min_size=2, max_size=3), max_size=4, unique=True), st.integers(0, 1 << 30),
       st.integers(2, 6))
def test_sums_of_what_is_known(texts, pieces, seed, horizon):
    vocabulary = letters(pieces)
    model = HashModel(vocabulary.size, seed, 1.5, {t: 5.0 for t in b"abc"})
    p, q = law(model, vocabulary, texts, horizon), masked_law(model, vocabulary, texts, horizon)
    o = PrefixOracle(model, sg.compile(sg.Choice(texts), vocabulary), horizon)
    rng = random.Random(seed)
    o.expand([0])
    for _ in range(12):
        v = rng.randrange(o.size)
        if not o.expanded[v]:
            o.expand([v])
        else:
            some = [int(t) for t in o.row(v)[0] if not o.ends[t]]
            if some:
                o.child(v, rng.choice(some))
        now = o.now()
        expanded = {o.path(v) for v in range(o.size) if o.expanded[v] and o.when[v]}
        known = [x for x in p if x[:-1] in expanded]
        s = {x: math.log(p[x] / q[x]) for x in known}
        for found, truth in ((now.mass, sum(p[x] for x in known)), (now.mass_log, sum(p[x] * s[x] for x in known)),
                             (now.mask_log, sum(q[x] * s[x] for x in known))):
            assert math.isclose(found, truth, rel_tol=1e-4, abs_tol=1e-9)
        assert now.clock == len(expanded)
        assert math.isclose(now.mask_left + now.mask_dead + sum(q[x] for x in known), 1.0, abs_tol=1e-5)
    assert o.complete(10_000)
    now = o.now()
    assert now.mask_left < 1e-9 and abs(now.mask_open) < 1e-6 * (1 + abs(now.mask_log))
    assert math.isclose(now.mask_dead, 1 - sum(q[x] for x in p), abs_tol=1e-5)


@pytest.mark.parametrize("horizon", [10, 4])
def test_a_complete_trie_gives_exact_distances(horizon):
    vocabulary = letters(["ab", "bc"])
    model = HashModel(vocabulary.size, 9, 1.5, {t: 5.0 for t in b"abc"})
    forward, backward, fails = exact(model, vocabulary, TEXTS, horizon)
    r = sample(model, None, sg.compile(sg.Choice(TEXTS), vocabulary), n=3, seed=0, max_tokens=horizon, sampling="dp")
    assert math.isclose(r.kl_mask_target.value, forward, abs_tol=1e-5) and r.kl_mask_target.stderr == 0
    assert math.isclose(r.kl_target_mask.value, backward, abs_tol=1e-5) and r.kl_target_mask.stderr == 0
    assert (fails > 1e-3) == (horizon == 4) == any("dead end" in note for note in r.notes)


# one text has nearly all mass, under masking or under the target: the others are hardly ever drawn
PEAKED = {"mask": {ord("a"): 9.0, ord("c"): 3.0}, "flat": {t: 5.0 for t in b"abc"}, "end": {258: 9.0, ord("c"): 4.0}}


@pytest.mark.parametrize("boost", PEAKED)
@pytest.mark.parametrize("sampling, n", [("exact", 20), ("mask", 20), ("weighted", 40)])
def test_three_standard_errors_cover(boost, sampling, n):
    vocabulary = letters(["ab", "bc"])
    model = HashModel(vocabulary.size, 9, 1.0, PEAKED[boost])
    compiled = sg.compile(sg.Regex("[abc]{1,4}"), vocabulary)
    texts = [""]
    for _ in range(4):
        texts += [t + c for t in texts for c in "abc"]
    forward, backward, _ = exact(model, vocabulary, sorted({t for t in texts if t}), 4)
    held = PrefixOracle(model, compiled, 4)
    assert held.complete(10_000)
    hits = []
    for seed in range(40):
        r = sample(model, None, compiled, n=n, seed=seed, max_tokens=4, sampling=sampling, diagnose=16)
        for found, truth in ((r.kl_mask_target, forward), (r.kl_target_mask, backward)):
            assert math.isfinite(found.stderr)
            hits.append(abs(found.value - truth) <= 3 * found.stderr + 1e-5)
    assert np.mean(hits) >= 0.96


def test_walks_into_what_is_not_known_follow_masking():
    vocabulary = letters(["ab", "bc"])
    model = HashModel(vocabulary.size, 9, 1.0, {t: 5.0 for t in b"abc"})
    compiled = sg.compile(sg.Choice(TEXTS), vocabulary)
    q = masked_law(model, vocabulary, TEXTS, 10)
    drawn, truth = [], None
    for seed in range(300):
        o = PrefixOracle(model, compiled, 10)
        list(zip(range(3), Walkers(o, "mask", 1, 1).finished()))         # the same three texts each time
        known = {o.path(v) for v in range(o.size) if o.expanded[v]}
        left = {x: p for x, p in q.items() if x[:-1] not in known}
        assert truth is None or left == truth
        truth = left
        walkers = Unexplored(o, seed, 4)
        for _, a in zip(range(4), walkers.finished()):
            assert a.new
            if a.start.clock == len(known):      # begun before anything else was known
                drawn.append(walkers.path(a))
    assert 3 < len(truth) < len(q)
    assert chi_squared(drawn, truth) > 1e-3


def test_walks_end_when_everything_is_known():
    vocabulary = letters([])
    model = HashModel(vocabulary.size, 9, 1.0, {t: 5.0 for t in b"abc"})
    o = PrefixOracle(model, sg.compile(sg.Choice(TEXTS), vocabulary), 10)
    walks = Walks(o)
    for a in Unexplored(o, 0, 3).finished():
        walks.take(a)
    assert 2 <= len(walks) <= len(TEXTS) and o.now().mask_left < 1e-9
    moments = walks.moments()
    truth = exact(model, vocabulary, TEXTS, 10)
    assert math.isclose(moments.from_mask(None, 0.0, walks.span()).value, truth[0], abs_tol=1e-5)
    assert math.isclose(moments.to_mask(walks.span()).value, truth[1], abs_tol=1e-5)
    # what masking does at each node adds up to the distance
    with np.errstate(divide="ignore"):
        losses = np.log(o.mass[:o.size])
    assert math.isclose(float((walks.passed() * losses).sum()), walks.moments().s, rel_tol=1e-6)


def test_masking_within_a_horizon_under_a_finite_context():
    vocabulary = letters(["ab"])
    model = NGram.fit([list(t.encode()) for t in ("abab", "aab", "ba", "abba", "b", "aabb")], order=3, k=0.02,
                      vocab_size=vocabulary.size, end=vocabulary.size - 1)
    compiled = sg.compile(sg.Regex("(ab|b)+"), vocabulary)
    for horizon in (2, 4):
        product = Product(model, compiled, max_tokens=horizon)
        words = [""]
        for _ in range(2 * horizon):
            words += [w + x for w in words for x in ("ab", "b") if len(w + x) <= 2 * horizon]
        forward, backward, fails = exact(model, vocabulary, sorted({w for w in words if w}), horizon)
        assert math.isclose(product.kl_target_mask, backward, abs_tol=1e-6)
        assert fails > 1e-3 and math.isclose(product.kl_mask_target, forward, abs_tol=1e-5)


@pytest.mark.parametrize("sampling", ["mask", "weighted", "aligned", "smc", "mcmc", "asap"])
def test_long_unlikely_texts_do_not_overflow(sampling):
    vocabulary = letters([])
    model = HashModel(vocabulary.size, 1, 1.0)
    r = sample(model, None, sg.compile(sg.Regex("[ab]{200}"), vocabulary), n=3, seed=0, max_tokens=300,
               sampling=sampling, diagnose=8, steps=2)
    assert len(r) >= 3 and r.log_z < -900 and "nats" in r.report()
    for found in (r.kl_mask_target, r.kl_target_mask):
        assert math.isfinite(found.value) and found.stderr < 500
