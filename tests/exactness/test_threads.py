"""Eight threads on one compiled object see what one thread sees.

All threads start cold and at once, so that they build the same parts of the
same tables together.
"""

from __future__ import annotations

import random
import threading

import pytest

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
