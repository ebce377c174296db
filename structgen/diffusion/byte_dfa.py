"""The constraint as a plain byte automaton, where it is one.

Explored once over single bytes through the constraint's own stack machine, whose
states are hash-consed, then minimised by rounds of refinement (Moore 1956).  Every
state can finish: the machine has no dead ends.

Costs: about 10 microseconds a state of the unminimised automaton, five times that
where a step depends on the text before it (undeclared keys, unique items).  Constraints
that are not regular (recursive schemas, grammars) never end, so the search is
bounded by states, which is deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Optional

import numpy as np

from ..automata.arena import Arena
from ..automata.stack_layout import NEED, NEED_ITEM, NEED_PY, NEED_XTEXT
from ..errors import LimitError, StructgenError
from . import byte_dfa_kernels as bk

__all__ = ["ByteDfa", "byte_dfa", "MAX_STATES"]

MAX_STATES = 20_000
_EVERY_BYTE = np.arange(256, dtype=np.uint8)


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


def byte_dfa(compiled: Any, max_states: int = MAX_STATES, *, slowly: bool = True) -> ByteDfa:
    """The byte automaton of a compiled constraint.

    Parameters
    ----------
    compiled : Compiled
    max_states : int
    slowly : bool
        Whether to go on where steps depend on the text before them; such
        constraints are seldom regular.

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
    arena = getattr(start, "_arena", None)      # grammars have an engine of their own
    found = _explored(arena, max_states) if isinstance(arena, Arena) else None
    if found is None and not slowly:
        raise _too_many(max_states)
    return _minimal(*(found or _by_matchers(own, max_states)))


def _explored(arena: Arena, max_states: int) -> Optional[tuple[np.ndarray, np.ndarray]]:
    """Rows and accepting states of all states of a stack machine; None if a step depends on the text before it."""
    states, at = np.empty(max_states, np.int64), np.zeros(3, np.int64)
    step, accepting = np.empty((max_states, 256), np.int32), np.empty(max_states, np.uint8)
    size = 1 << max(6, (2 * max_states).bit_length())
    keys, values = np.full(size, -1, np.int64), np.empty(size, np.int32)
    states[0] = arena.start
    with arena.lock:
        while code := bk.explore(arena.address, _EVERY_BYTE.ctypes.data, at, states, step, accepting, keys, values):
            if code == bk.TOO_MANY:
                raise _too_many(max_states)
            if code == NEED_PY and arena.block[NEED] in (NEED_XTEXT, NEED_ITEM):
                return None
            arena.serve(code)
    return step[:at[2]], accepting[:at[2]].astype(bool)


def _by_matchers(own: Any, max_states: int) -> tuple[np.ndarray, np.ndarray]:
    """The same through matchers, which know their text."""
    start = own.matcher()
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
                    raise _too_many(max_states)
                index[key] = len(matchers)
                step = m.fork()
                step.accept(b)
                matchers.append(step)
            row[b] = index[key]
        rows.append(row)
        accepting.append(m.can_end())
    return np.stack(rows), np.array(accepting)


def _too_many(max_states: int) -> LimitError:
    return LimitError(f"more than {max_states:,} states: the constraint is recursive or too large for a canvas",
                      place="states of the byte automaton", limit=max_states,
                      hint="schemas without recursion, with extra='closed', whitespace='compact' and order='schema' "
                           "are the smallest")


def _minimal(step: np.ndarray, accepting: np.ndarray) -> ByteDfa:
    """Merge states that no text tells apart."""
    first, letter, classes = np.empty(256, np.int64), np.empty(256, np.int64), np.empty(len(step), np.int64)
    count = bk.letters_of(step, first, letter)
    found = bk.refine(step, first, count, accepting, classes)
    _, some = np.unique(classes, return_index=True)
    merged = np.where(step[some] >= 0, classes[step[some]], -1).astype(np.int32)
    assert len(some) == found
    return ByteDfa(merged, accepting[some])
