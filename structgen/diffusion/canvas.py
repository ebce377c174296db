"""A canvas: L slots under a regular constraint, exactly.

A slot is fixed (one token) or masked (any one token).  A canvas is *feasible* if
some assignment of exactly its masked slots makes a valid text: the number of
slots, the vocabulary and all slots at once are taken into account, so a feasible
canvas never gets stuck, and committing any part of one joint draw keeps it so.
Texts end with an end token and padding behind it, or at the last slot; with
``remaining`` more tokens to come behind the canvas (block-wise decoding) a
canvas may also stop where the text can still be finished within those.

Given log probabilities for the masked slots the law of an assignment is the
product of its tokens' probabilities, conditioned on validity; slots behind the
end count as probability 1 (``padding="free"``) or as the model says
(``"scored"``).

Costs, with S states, E class edges and m masked slots: feasibility O(L * state
pairs) once, then only layers that changed; masks O(m * E); argmax, draws and
marginals O(m * V) to reduce tokens to classes and O(m * E) beyond.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence

import numpy as np

from ..errors import BudgetError, MatcherError, ModelError, StructgenError
from . import canvas_kernels as ck
from .token_automaton import TokenAutomaton, automaton_of

__all__ = ["Canvas"]


class Canvas:
    """Slots under a constraint; see the module's text.

    Parameters
    ----------
    compiled : Compiled
        The constraint; it must be regular.
    length : int
        Number of slots.
    pad : int, optional
        The token that fills slots behind the end token; default: the first end
        token, as LLaDA-style models are trained.
    remaining : int
        Slots still to come behind this canvas (end token included).
    padding : {"free", "scored"}
        Whether masked slots behind the end count with the model's probability.

    Raises
    ------
    BudgetError
        If the canvas is shorter than the shortest valid text.
    LimitError
        If the constraint is not regular, or too large.

    Examples
    --------
    >>> import structgen as sg
    >>> v = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])
    >>> canvas = Canvas(sg.compile(sg.Choice(["cat", "cow"]), v), 3)
    >>> canvas.set(1, ord("o"))
    >>> canvas.forced()
    {0: 99, 2: 119}
    """

    def __init__(self, compiled: Any, length: int, *, pad: Optional[int] = None, remaining: int = 0,
                 padding: str = "free"):
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise StructgenError(f"length={length!r}: wanted an integer >= 1")
        if padding not in ("free", "scored"):
            raise StructgenError(f"padding={padding!r}: wanted 'free' or 'scored'")
        self.compiled = compiled
        self.automaton: TokenAutomaton = automaton_of(compiled)
        a = self.automaton
        self.length = length
        self.pad = int(a.vocabulary.eos_ids[0]) if pad is None else int(pad)
        self.remaining, self.padding = remaining, padding
        self._start = 0
        # with slots to come the text may go on: an end token needs one of them
        self._last = (a.dist < remaining) | (np.arange(a.size) == a.end) if remaining else a.accepting.copy()
        needed = int(a.dist[0])
        if needed > length + max(0, remaining - 1):
            raise BudgetError(f"the shortest valid text has {needed} tokens, the canvas {length} slots"
                              + (f" and {remaining} to come" if remaining else ""), needed=needed, given=length)
        self.tokens = np.full(length, -1, np.int64)
        self._fixed = np.full(length, -1, np.int32)
        self._forward = np.zeros((length + 1, a.size), np.uint8)
        self._backward = np.zeros((length + 1, a.size), np.uint8)
        self._forward[0, 0] = 1
        self._backward[length] = self._last
        self._known = 0                 # layers 0 .. _known of _forward hold
        self._sure = length             # layers _sure .. L of _backward hold

    # ------------------------------------------------------------------ slots
    def _class(self, token: int) -> int:
        a = self.automaton
        if token in a.vocabulary.eos_ids:
            return a.classes
        if token == self.pad:
            return a.pad_class
        c = int(a.class_of[token])
        return c if c >= 0 else -2

    def set(self, slot: int, token: Optional[int]) -> None:
        """Fix a slot, or mask it again with None.  Whether the canvas stays feasible is not checked.

        Raises
        ------
        MatcherError
            If there is no such slot or token.
        """
        slot = self._slot(slot)
        if token is None:
            c = -1
        else:
            token = int(token)
            if not 0 <= token < self.automaton.vocabulary.size and token != self.pad:
                raise MatcherError(f"token {token} is outside the vocabulary of "
                                   f"{self.automaton.vocabulary.size}", token=token)
            c = self._class(token)
        self.tokens[slot] = -1 if token is None else token
        if c != self._fixed[slot]:
            self._fixed[slot] = c
            self._known = min(self._known, slot)
            self._sure = max(self._sure, slot + 1)

    def set_all(self, tokens: Sequence[Optional[int]]) -> None:
        """Fix or mask every slot."""
        if len(tokens) != self.length:
            raise MatcherError(f"{len(tokens)} tokens for {self.length} slots")
        for slot, token in enumerate(tokens):
            self.set(slot, None if token is None or token < 0 else token)

    def _slot(self, slot: int) -> int:
        slot = int(slot)
        if not 0 <= slot < self.length:
            raise MatcherError(f"slot {slot} is outside the canvas of {self.length}")
        return slot

    @property
    def masked(self) -> np.ndarray:
        """The masked slots, ascending (int64)."""
        return np.flatnonzero(self.tokens < 0)

    def copy(self) -> "Canvas":
        """An independent canvas."""
        other = Canvas.__new__(Canvas)
        other.__dict__.update(self.__dict__)
        for name in ("tokens", "_fixed", "_forward", "_backward"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def carried(self) -> np.ndarray:
        """The states a finished block can be in, for :meth:`follow` (bool, one a state)."""
        self._reach(self.length, self.length)
        return self._forward[self.length].astype(bool)

    def follow(self, before: "Canvas") -> None:
        """Begin where `before` ended: the next block of one text."""
        if before.automaton is not self.automaton:
            raise StructgenError("blocks of one text are under one constraint")
        states = before.carried()
        if states.sum() != 1:
            raise MatcherError(f"the block before is not finished: {int(states.sum())} states are possible")
        self._start = int(np.flatnonzero(states)[0])
        self._forward[0] = states
        self._known = 0

    # ------------------------------------------------------------------ reach
    def _reach(self, forward: int, backward: int) -> None:
        """Bring forward layers up to `forward` and backward layers down to `backward` up to date."""
        a = self.automaton
        if self._known < forward:
            ck.reach_forward(self._forward, self._known, forward, self._fixed, a.pair_first, a.pair_target, a.table)
            self._known = forward
        if self._sure > backward:
            ck.reach_backward(self._backward, backward, self._sure, self._fixed, a.pair_first, a.pair_target, a.table)
            self._sure = backward

    def feasible(self) -> bool:
        """Can the masked slots be filled so that the text is valid?"""
        meet = self._known
        self._reach(meet, meet)
        return bool((self._forward[meet] & self._backward[meet]).any())

    def class_masks(self, slots: Optional[Sequence[int]] = None) -> np.ndarray:
        """Which token classes each of `slots` (default: the masked ones) may take: bool (n, classes)."""
        a = self.automaton
        slots = self.masked if slots is None else np.array([self._slot(s) for s in slots], np.int64)
        self._reach(self.length, 0)
        out = np.zeros((len(slots), a.classes), np.uint8)
        ck.admissible(slots, self._forward, self._backward, a.first, a.klass, a.target, out)
        return out.view(bool)

    def masks(self, slots: Optional[Sequence[int]] = None) -> np.ndarray:
        """Which tokens each of `slots` may take, all others as they are: bool ``(n, V)``.

        A slot that is fixed is treated as masked.  With `pad` outside the vocabulary
        there are ``pad + 1`` columns.
        """
        a = self.automaton
        wide = np.zeros((len(self.masked) if slots is None else len(slots), a.classes + 1), bool)
        wide[:, :-1] = self.class_masks(slots)
        out = np.zeros((len(wide), max(a.vocabulary.size, self.pad + 1)), bool)
        ck.expand(wide, a.class_of, out)            # class -1 is the last column, which is 0
        out[:, self.pad] |= wide[:, a.pad_class]
        return out

    def forced(self) -> dict[int, int]:
        """Masked slots at which one token is left, and that token."""
        a = self.automaton
        sizes = np.append(np.diff(a.begin)[:a.classes - 1], 1)
        out = {}
        for slot, row in zip(self.masked, self.class_masks()):
            found = np.flatnonzero(row)
            if len(found) == 1 and sizes[found[0]] == 1:
                out[int(slot)] = self._first_of(int(found[0]))
            elif len(found) == 2 and set(found) == {a.end_class, a.pad_class} and sizes[a.end_class] == 1 \
                    and self.pad == a.vocabulary.eos_ids[0]:
                out[int(slot)] = self.pad       # the end token either way
        return out

    def _first_of(self, c: int) -> int:
        a = self.automaton
        return self.pad if c == a.pad_class else int(a.order[a.begin[c]])

    # ------------------------------------------------------------------ laws
    def _weights(self, logp: Any, reduce: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Class weights ``(m, classes)`` of the masked slots, their best tokens, row of each slot, and logp."""
        a = self.automaton
        slots = self.masked
        if hasattr(logp, "detach"):
            logp = logp.detach().float().cpu().numpy()
        logp = np.ascontiguousarray(logp, np.float32)
        if logp.ndim != 2 or logp.shape[0] not in (len(slots), self.length) or logp.shape[1] < a.vocabulary.size:
            raise ModelError(f"scores of shape {logp.shape} for {len(slots)} masked of {self.length} slots and "
                             f"{a.vocabulary.size} tokens")
        if logp.shape[0] == self.length and len(slots) != self.length:
            logp = np.ascontiguousarray(logp[slots])
        if np.isnan(logp).any():
            raise ModelError("the model gave NaN scores")
        if (logp == np.inf).any():
            raise ModelError("the model gave infinite scores")
        row = np.full(self.length, -1, np.int64)
        row[slots] = np.arange(len(slots))
        weights = np.empty((len(slots), a.classes))
        which = np.full((len(slots), a.classes), -1, np.int64)
        begin = a.begin[:a.classes]
        if reduce == "max":
            ck.class_max(logp, a.order, begin, weights, which)
        else:
            ck.class_sum(logp, a.order, begin, weights)
        weights[:, a.pad_class] = 0.0
        if self.padding == "scored":
            weights[:, a.pad_class] = logp[:, self.pad] if self.pad < logp.shape[1] else -np.inf
        which[:, a.pad_class] = self.pad
        return weights, which, row, logp

    def _infeasible(self) -> MatcherError:
        if not self.feasible():
            return MatcherError("no assignment of the masked slots is valid",
                                hint="a fixed slot contradicts the constraint, or the canvas is too short")
        return MatcherError("every valid assignment has probability zero",
                            hint="apply top-p and top-k after the constraint, or not at all")

    def argmax(self, logp: Any) -> tuple[np.ndarray, float]:
        """The likeliest valid assignment.

        Parameters
        ----------
        logp : array or tensor, shape (masked slots or L, >= V)
            Log probabilities.

        Returns
        -------
        (tokens, score)
            All slots' tokens (int64), and the sum of the log probabilities of the
            masked ones.

        Raises
        ------
        MatcherError
            If no assignment is valid, or all have probability zero.
        """
        a = self.automaton
        weights, which, row, _ = self._weights(logp, "max")
        states, classes = np.empty(self.length + 1, np.int32), np.empty(self.length, np.int32)
        score = ck.best_path(self._start, self._fixed, row, weights, self._last, a.first, a.klass, a.target, a.table,
                             states, classes)
        if score == -np.inf:
            raise self._infeasible()
        tokens = self.tokens.copy()
        for slot in self.masked:
            tokens[slot] = which[row[slot], classes[slot]]
        return tokens, float(score)

    def _backward_sums(self, logp: Any) -> tuple:
        a = self.automaton
        weights, _, row, logp = self._weights(logp, "sum")
        layers, scales = np.empty((self.length + 1, a.size)), np.empty(self.length + 1)
        # relative to the best class that can stand there, so that nothing underflows
        weights[~self.class_masks()] = -np.inf
        top = weights.max(axis=1, initial=-np.inf)
        if not (top > -np.inf).all():
            return weights, weights, row, logp, layers, -np.inf
        linear = np.exp(weights - top[:, None])
        log_z = top.sum() + ck.sums_backward(self._start, self._fixed, row, linear, self._last, a.first, a.klass,
                                             a.target, a.table, layers, scales)
        return weights, linear, row, logp, layers, float(log_z)

    def log_z(self, logp: Any) -> float:
        """log of the probability that independent draws of the masked slots are valid; -inf if they cannot be."""
        return self._backward_sums(logp)[-1]

    def sample(self, logp: Any, rng: np.random.Generator) -> np.ndarray:
        """An exact draw of all masked slots, given validity; all slots' tokens (int64)."""
        a = self.automaton
        _, linear, row, logp, layers, log_z = self._backward_sums(logp)
        if log_z == -np.inf:
            raise self._infeasible()
        states, classes = np.empty(self.length + 1, np.int32), np.empty(self.length, np.int32)
        ck.draw_path(self._start, self._fixed, row, linear, a.first, a.klass, a.target, a.table, layers,
                     rng.random(self.length), states, classes)
        tokens = self.tokens.copy()
        for slot in self.masked:
            c = classes[slot]
            if c == a.pad_class:
                tokens[slot] = self.pad
                continue
            ids = a.order[a.begin[c]:a.begin[c + 1]]
            x = logp[row[slot]][ids].astype(np.float64)
            sums = np.cumsum(np.exp(x - x.max()))
            tokens[slot] = ids[min(int(np.searchsorted(sums, rng.random() * sums[-1], side="right")), len(ids) - 1)]
        return tokens

    def marginals(self, logp: Any) -> np.ndarray:
        """Probability of each token at each masked slot given validity: float64 ``(masked slots, V)``."""
        a = self.automaton
        weights, linear, row, logp, layers, log_z = self._backward_sums(logp)
        if log_z == -np.inf:
            raise self._infeasible()
        share = np.zeros_like(weights)
        ck.sums_forward(self._start, self._fixed, row, linear, a.first, a.klass, a.target, a.table, layers, share)
        out = np.zeros((len(weights), max(a.vocabulary.size, self.pad + 1)))
        known = np.flatnonzero(a.class_of >= 0)
        c = a.class_of[known]
        with np.errstate(invalid="ignore"):
            inside = np.exp(logp[:, known].astype(np.float64) - weights[:, c])
            out[:, known] = np.where(share[:, c] > 0, share[:, c] * inside, 0.0)
        out[:, self.pad] += share[:, a.pad_class]
        return out
