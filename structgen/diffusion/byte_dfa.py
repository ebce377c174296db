"""The constraint as a plain byte automaton, where it is one.

Explored once over single bytes through the constraint's own matcher, whose
positions are hash-consed, then minimised (Hopcroft 1971, by rounds of signature
refinement).  Every state can finish: the matcher has no dead ends.

Costs: about 50 microseconds a state of the unminimised automaton, and half as
much again to minimise.  Constraints
that are not regular (recursive schemas, grammars) never end, so the search is
bounded by states, which is deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import LimitError, StructgenError

__all__ = ["ByteDfa", "byte_dfa", "MAX_STATES"]

MAX_STATES = 20_000


@dataclass(frozen=True)
class ByteDfa:
    """A trimmed, minimal automaton over bytes; state 0 is the start.

    Attributes
    ----------
    next : ndarray of int32, shape (n, 256)
        -1 where a byte cannot follow.
    accepting : ndarray of bool, shape (n,)
    """

    next: np.ndarray
    accepting: np.ndarray

    @property
    def size(self) -> int:
        return len(self.accepting)


@lru_cache(maxsize=1)
def _byte_vocabulary() -> Any:
    from ..tokens.vocabulary import Vocabulary

    return Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])


def byte_dfa(compiled: Any, max_states: int = MAX_STATES) -> ByteDfa:
    """The byte automaton of a compiled constraint.

    Raises
    ------
    LimitError
        More than `max_states` states: the constraint is not regular, or too large.
    StructgenError
        The constraint's engine has no states to tell apart.
    """
    from ..decoding.compiled import Compiled

    own = Compiled(compiled.grammar, _byte_vocabulary(), source=compiled.source)
    start = own.matcher()
    if not hasattr(start, "state"):
        raise StructgenError("canvases need a regular constraint; this is a context-free grammar",
                             hint="schemas without recursion, regular expressions and choices are regular")
    index = {start.state: 0}
    matchers = [start]
    rows: list[np.ndarray] = []
    accepting: list[bool] = []
    at = 0
    while at < len(matchers):
        m = matchers[at]
        at += 1
        row = np.full(256, -1, np.int32)
        for b, key in m.byte_steps():
            if key not in index:
                if len(matchers) == max_states:
                    raise LimitError(
                        f"more than {max_states:,} states: the constraint is recursive or too large for a canvas",
                        place="states of the byte automaton", limit=max_states,
                        hint="schemas without recursion, with extra='closed', whitespace='compact' and order='schema' "
                             "are the smallest")
                index[key] = len(matchers)
                step = m.fork()
                step.accept(b)
                matchers.append(step)
            row[b] = index[key]
        rows.append(row)
        accepting.append(m.can_end())
    return _minimal(np.stack(rows), np.array(accepting))


def _minimal(step: np.ndarray, accepting: np.ndarray) -> ByteDfa:
    """Merge states that no text tells apart."""
    letters = np.unique(step, axis=1)       # bytes that lead alike from everywhere are one letter
    rng = np.random.default_rng(20_251_121)
    sure = False
    while not sure:
        classes, count = _classes(letters, accepting, rng)
        first = np.full(count, len(classes), np.int64)
        np.minimum.at(first, classes, np.arange(len(classes)))
        # sums that are equal by chance would show here
        after = np.where(letters >= 0, classes[letters], -1)
        sure = bool((after == after[first[classes]]).all() and (accepting == accepting[first[classes]]).all())
    # number states in order of first appearance, the start first
    order = np.argsort(first)
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    merged = np.where(step[first[order]] >= 0, rank[classes[step[first[order]]]], -1).astype(np.int32)
    return ByteDfa(merged, accepting[first[order]])


def _classes(letters: np.ndarray, accepting: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """The coarsest stable partition: signatures are 64-bit sums over letters, refined until nothing splits."""
    weights = rng.integers(1, 1 << 63, letters.shape[1] + 1, np.uint64) | np.uint64(1)
    classes, count = accepting.astype(np.int64), len(np.unique(accepting))
    while True:
        labels = rng.integers(1, 1 << 63, count + 2, np.uint64)
        labels ^= labels >> np.uint64(31)
        with np.errstate(over="ignore"):
            # label -1, the last, is for "nowhere"
            after = labels[np.where(letters >= 0, classes[letters], -1)]
            signature = after @ weights[1:] + labels[classes] * weights[0]
        _, classes = np.unique(signature, return_inverse=True)
        classes = classes.reshape(-1)
        found = int(classes.max()) + 1
        if found == count:
            return classes, count
        count = found
