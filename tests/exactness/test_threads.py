"""Eight threads on one compiled object see what one thread sees.

All threads start cold and at once, so that they build the same parts of the
same tables together.
"""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest

from structgen.automata.stack_layout import NEED_PY
from structgen.decoding.compiled import Compiled
from structgen.frontends.json_schema import lower

from .pairs import N_CASES, engine, mask_of, pick, vocabulary

THREADS = 8
WALKS = 6
STEPS = 25


def walks(compiled, vocab, seed: str) -> list:
    """The masks of a few random walks, and the texts."""
    out = []
    for w in range(WALKS):
        rng = random.Random(f"{seed} {w}")
        m = compiled.matcher()
        for step in range(STEPS):
            allowed = mask_of(m, vocab.size)
            out.append(hash(allowed))
            t = pick(rng, allowed, vocab, step > STEPS // 2)
            m.accept(t)
            if t in vocab.eos_ids:
                break
        out.append(m.text)
    return out


@pytest.mark.parametrize("case", range(7, N_CASES, 23))
def test_threads_agree_with_one(case):
    k = case % 7
    compiled = engine(case, k)
    if compiled is None:
        pytest.skip("the front end refuses this schema")
    vocab = vocabulary(k)
    results: list = [None] * THREADS
    barrier = threading.Barrier(THREADS)

    def work(i: int) -> None:
        barrier.wait()
        try:
            # half of the threads do the same walks, the others their own
            results[i] = walks(compiled, vocab, f"walk {case} {i // 2}")
        except BaseException as e:
            results[i] = e

    threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    alone = engine(case, k)
    for i in range(THREADS):
        assert results[i] == walks(alone, vocab, f"walk {case} {i // 2}"), (case, i)


def test_an_arena_at_work_is_left_alone():
    """The kernels that take no lock turn away while somebody holds it, and the matcher then waits for it."""
    compiled = Compiled(lower({"type": "object", "properties": {"ab": {"type": "integer"}}}), vocabulary(0))
    m = compiled.matcher()
    arena, token = m._arena, m.vocabulary.tokenize(b"{")[0]
    mask, seen = np.zeros(m.vocabulary.words, np.int32), []
    m.fill_bitmask(mask)
    peeked, stepped = m._peek(arena.address, arena.start, mask.ctypes.data), m._step(arena.address, arena.start, token)
    assert peeked == 0 and stepped > 0

    def work() -> None:
        other = compiled.matcher()
        other.accept(token)
        seen.append(other.state[1])

    thread = threading.Thread(target=work)
    with arena.lock:
        with arena.lock:
            pass
        assert m._peek(arena.address, arena.start, mask.ctypes.data) == NEED_PY
        assert m._step(arena.address, arena.start, token) == NEED_PY
        thread.start()
        thread.join(0.05)
        assert not seen
        m.accept(token)                 # whoever holds the lock may go on
    thread.join()
    assert seen == [stepped] == [m.state[1]]
