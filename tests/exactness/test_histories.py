"""Rollback, fork, reset and draft trees against plain replay.

A random program of calls runs on one matcher (and its forks); after every
call the state must be that of a new matcher that replays what is left of the
history.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from structgen.errors import MatcherError

from .pairs import N_CASES, engine, mask_of, options_of, pick, schema_of, vocabulary

STEPS = 30


def replay(compiled, history):
    m = compiled.matcher()
    for call in history:
        if isinstance(call, bytes):
            m.accept_bytes(call)
        else:
            m.accept(call)
    return m


@pytest.mark.parametrize("case", range(0, N_CASES, 9))
def test_random_programs_agree_with_replay(case):
    k = case % 7
    compiled = engine(case, k)
    if compiled is None:
        pytest.skip("the front end refuses this schema")
    vocab, rng = vocabulary(k), random.Random(f"program {case}")
    where = (case, schema_of(case), options_of(case))
    # (matcher, its history) of the original and its forks
    players = [(compiled.matcher(), [])]
    for step in range(STEPS):
        i = rng.randrange(len(players))
        m, history = players[i]
        roll = rng.random()
        allowed = mask_of(m, vocab.size)
        ended = bool(history) and not isinstance(history[-1], bytes) and history[-1] in vocab.eos_ids
        if roll < 0.5 and not ended:
            t = pick(rng, allowed, vocab, step > STEPS // 2)
            m.accept(t)
            history.append(t)
        elif roll < 0.58 and not ended:
            ids = [t for t in sorted(allowed) if t not in vocab.eos_ids]
            if ids:
                data = vocab.token_bytes(rng.choice(ids))
                m.accept_bytes(data)
                history.append(data)
        elif roll < 0.66:
            t = rng.randrange(vocab.size)       # whatever comes, it must not move a matcher that refuses
            if m.try_accept(t):
                assert t in allowed, where
                history.append(t)
            else:
                assert ended or t not in allowed, where
        elif roll < 0.72:
            with pytest.raises(MatcherError):
                m.accept_bytes(b"\x00\x00")
            with pytest.raises(MatcherError):
                m.rollback(len(history) + 1)
        elif roll < 0.86:
            n = rng.randint(0, min(len(history), 5))
            m.rollback(n)
            if n:
                del history[-n:]
        elif roll < 0.96 and len(players) < 5:
            players.append((m.fork(), list(history)))
        elif roll > 0.98:
            m.reset()
            history.clear()
        other = replay(compiled, history)
        assert mask_of(m, vocab.size) == mask_of(other, vocab.size), (*where, history)
        assert m.can_end() == other.can_end() and m.text == other.text, (*where, history)
        if step % 10 == 9:
            for p, h in players:
                assert mask_of(p, vocab.size) == mask_of(replay(compiled, h), vocab.size), (*where, h)


@pytest.mark.parametrize("case", range(4, N_CASES, 11))
def test_draft_trees_agree_with_replay(case):
    k = case % 7
    compiled = engine(case, k)
    if compiled is None:
        pytest.skip("the front end refuses this schema")
    vocab, rng = vocabulary(k), random.Random(f"draft {case}")
    m, base = compiled.matcher(), []
    for _ in range(rng.randint(0, 6)):
        t = pick(rng, mask_of(m, vocab.size), vocab, False)
        if t in vocab.eos_ids:
            break
        m.accept(t)
        base.append(t)
    tokens, parents, paths = [], [], []
    for i in range(12):
        parent = rng.randint(-1, i - 1)
        good = parent < 0 or paths[parent] is not None
        before = base + (paths[parent] if good and parent >= 0 else [])
        path = None
        t = rng.randrange(vocab.size)
        if good:
            node = replay(compiled, before)
            allowed = mask_of(node, vocab.size)
            finished = before and before[-1] in vocab.eos_ids
            if rng.random() < 0.8 and not finished:
                t = pick(rng, allowed, vocab, False)
            if t in allowed and not finished:
                path = before[len(base):] + [t]
        tokens.append(t)
        parents.append(parent)
        paths.append(path)
    words = (vocab.size + 31) // 32
    rows = np.full((len(tokens) + 1, words), -1, np.int32)
    before = m.text, mask_of(m, vocab.size)
    ok = m.fill_draft_bitmask(rows, tokens, parents)
    assert (m.text, mask_of(m, vocab.size)) == before
    assert list(ok) == [p is not None for p in paths]
    one = np.zeros((1, words), np.int32)
    m.fill_bitmask(one)
    assert (rows[0] == one[0]).all()
    for i, path in enumerate(paths):
        if path is None:
            assert not rows[i + 1].any()
        else:
            replay(compiled, base + path).fill_bitmask(one)
            assert (rows[i + 1] == one[0]).all(), (case, schema_of(case), base, path)
