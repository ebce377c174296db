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
marginals O(m * V) to reduce tokens to classes (:mod:`.reduction`) and O(m * E)
beyond.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence

import numpy as np

from ..decoding.arguments import integer
from ..errors import BudgetError, MatcherError, ModelError, StructgenError, VocabularyError
from . import canvas_kernels as ck
from .reduction import reduced
from .token_automaton import NEVER, TokenAutomaton, automaton_of

__all__ = ["Canvas", "Joint"]


class Joint(NamedTuple):
    """One joint assignment of masked slots.

    Attributes
    ----------
    slots : ndarray of int64
        The masked slots, ascending.
    tokens : ndarray of int64
        Their tokens; together they are valid, so any part of them can be committed.
    confidence : ndarray of float64
        The probability of each token at its slot, given validity.
    entropy : ndarray of float64, or None
        The entropy of each slot given validity, in nats.
    """

    slots: np.ndarray
    tokens: np.ndarray
    confidence: np.ndarray
    entropy: Optional[np.ndarray]


class Canvas:
    """Slots under a constraint; see the module's text.

    Parameters
    ----------
    compiled : Compiled
        The constraint.  Grammars and recursive schemas make a
        :class:`.cfg_canvas.CfgCanvas`, which answers the same questions.
    length : int
        Number of slots.
    pad : int, optional
        The token that fills slots behind the end token; default: the first end
        token, as LLaDA-style models are trained.
    remaining : int
        Slots still to come behind this canvas (end token included).
    padding : {"free", "scored"}
        Whether masked slots behind the end count with the model's probability.
    before : Canvas, optional
        A finished canvas that this one goes on from: the block before it of one text.

    Raises
    ------
    BudgetError
        If the canvas is shorter than the shortest valid text, or what is left of it.
    LimitError
        If the constraint is too large.
    VocabularyError
        If the tokens cannot spell any valid text.

    Examples
    --------
    >>> import structgen as sg
    >>> v = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])
    >>> canvas = Canvas(sg.compile(sg.Choice(["cat", "cow"]), v), 3)
    >>> canvas.set(1, ord("o"))
    >>> canvas.forced()
    {0: 99, 2: 119}
    """

    def __new__(cls, compiled: Any = None, *args: Any, **options: Any) -> "Canvas":
        if compiled is not None:
            if not hasattr(compiled, "grammar"):
                raise StructgenError(f"a canvas takes a compiled constraint, not {type(compiled).__name__}",
                                     hint="sg.compile(constraint, vocabulary)")
            cls._check_ends(compiled.vocabulary, **options)
        if cls is Canvas and compiled is not None:
            from .cfg_source import is_regular

            if not is_regular(compiled):
                from .cfg_canvas import CfgCanvas

                cls = CfgCanvas
        return object.__new__(cls)

    @staticmethod
    def _check_ends(vocabulary: Any, *, pad: Optional[int] = None, remaining: int = 0, **_: Any) -> None:
        """Refuse what can be no padding, and no number of slots to come."""
        if isinstance(remaining, bool) or not isinstance(remaining, (int, np.integer)) or remaining < 0:
            raise StructgenError(f"remaining={remaining!r}: wanted an integer >= 0")
        if pad is None:
            return
        if isinstance(pad, bool) or not isinstance(pad, (int, np.integer)) or pad < 0:
            raise StructgenError(f"pad={pad!r}: wanted a token id")
        if pad < vocabulary.size and pad not in vocabulary.eos_ids and vocabulary.token_bytes(int(pad)):
            raise StructgenError(f"pad={pad} is the ordinary token {vocabulary.token_bytes(int(pad))!r}",
                                 hint="slots behind the end hold an end token, or one that stands for no text")

    @staticmethod
    def _check(length: int, padding: str) -> None:
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise StructgenError(f"length={length!r}: wanted an integer >= 1")
        if padding not in ("free", "scored"):
            raise StructgenError(f"padding={padding!r}: wanted 'free' or 'scored'")

    def __init__(self, compiled: Any, length: int, *, pad: Optional[int] = None, remaining: int = 0,
                 padding: str = "free", before: Optional["Canvas"] = None):
        self._check(length, padding)
        self.compiled = compiled
        self.automaton: TokenAutomaton = automaton_of(compiled)
        a = self.automaton
        self.length = length
        self.pad = int(a.vocabulary.eos_ids[0]) if pad is None else int(pad)
        self.remaining, self.padding = remaining, padding
        # with slots to come the text may go on: an end token needs one of them
        self._last = (a.dist < remaining) | (np.arange(a.size) == a.end) if remaining else a.accepting.copy()
        # masked slots with nothing fixed behind them in which a text can be finished, by state
        self._needs = np.where(self._last, 0, a.dist - max(0, remaining - 1))
        start = 0 if before is None else self._state_after(before)
        needed = int(a.dist[start])
        if needed >= NEVER:
            raise VocabularyError("no valid text can be written with the tokens of the vocabulary")
        if needed > length + max(0, remaining - 1):
            what = "the shortest valid text has" if before is None else "the text takes at least"
            raise BudgetError(f"{what} {needed} tokens{'' if before is None else ' more'}, the canvas {length} slots"
                              + (f" and {remaining} to come" if remaining else ""), needed=needed, given=length)
        self.tokens = np.full(length, -1, np.int64)
        self._fixed = np.full(length, -1, np.int32)
        # a byte a state, in whole words
        self._forward, self._backward = (np.zeros((length + 1, (a.size + 7) // 8 * 8), np.uint8) for _ in range(2))
        self._forward[0, start] = 1
        self._backward[length, :a.size] = self._last
        self._end = 0                   # behind the last fixed slot
        self._known = 0                 # layers 0 .. _known of _forward follow from those before, but at dirty slots
        self._sure = length             # layers _sure .. L of _backward likewise
        self._low, self._high = 0, length       # layers 0 .. _low and _high .. L are up to date
        self._dirty_forward, self._dirty_backward = (np.zeros(length, np.uint8) for _ in range(2))
        self._still_forward, self._still_backward = (np.zeros(length, np.uint8) for _ in range(2))

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
            token = self._token(token)
            c = self._class(token)
        self.tokens[slot] = -1 if token is None else token
        if c != self._fixed[slot]:
            self._fixed[slot] = c
            self._dirty_forward[slot] = self._dirty_backward[slot] = 1
            self._low, self._high = min(self._low, slot), max(self._high, slot + 1)
            if c != -1:
                self._end = max(self._end, slot + 1)
            elif self._end == slot + 1:
                written = np.flatnonzero(self._fixed != -1)
                self._end = int(written[-1]) + 1 if len(written) else 0

    def set_all(self, tokens: Sequence[Optional[int]]) -> None:
        """Fix or mask every slot."""
        if len(tokens) != self.length:
            raise MatcherError(f"{len(tokens)} tokens for {self.length} slots")
        wanted = np.array([-1 if t is None else t for t in tokens])
        if wanted.dtype.kind == "i":
            slots = np.flatnonzero(np.maximum(wanted, -1) != self.tokens).tolist()
            wanted = wanted.tolist()
        else:                   # what is no integer is named where it stands
            slots, wanted = range(self.length), [-1 if t is None else integer(t, "a token id") for t in tokens]
        for slot in slots:
            self.set(slot, None if wanted[slot] < 0 else wanted[slot])

    def _slot(self, slot: int) -> int:
        slot = integer(slot, "a slot")
        if not 0 <= slot < self.length:
            raise MatcherError(f"slot {slot} is outside the canvas of {self.length}")
        return slot

    def _token(self, token: int) -> int:
        token, size = integer(token, "a token id"), self.automaton.vocabulary.size
        if not 0 <= token < size and token != self.pad:
            raise MatcherError(f"token {token} is outside the vocabulary of {size}", token=token)
        return token

    @property
    def masked(self) -> np.ndarray:
        """The masked slots, ascending (int64)."""
        return np.flatnonzero(self.tokens < 0)

    def copy(self) -> "Canvas":
        """An independent canvas."""
        other = Canvas.__new__(Canvas)
        other.__dict__.update(self.__dict__)
        for name in ("tokens", "_fixed", "_forward", "_backward", "_dirty_forward", "_dirty_backward",
                     "_still_forward", "_still_backward"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def carried(self) -> np.ndarray:
        """The states a finished block can be in, for :meth:`follow` (bool, one a state)."""
        self._reach(self.length, self.length)
        return self._forward[self.length, :self.automaton.size].astype(bool)

    def _state_after(self, before: "Canvas") -> int:
        if before.automaton is not self.automaton:
            raise StructgenError("blocks of one text are under one constraint")
        states = before.carried()
        if states.sum() != 1:
            raise MatcherError(f"the block before is not finished: {int(states.sum())} states are possible")
        return int(states.argmax())

    def follow(self, before: "Canvas") -> None:
        """Begin where `before` ended: the next block of one text (``before=`` of a new canvas does this)."""
        state = self._state_after(before)
        self._forward[0] = 0
        self._forward[0, state] = 1
        self._known = self._low = 0

    # ------------------------------------------------------------------ reach
    def _reach(self, forward: int, backward: int) -> None:
        """Bring forward layers up to `forward` and backward layers down to `backward` up to date."""
        a = self.automaton
        pairs = a.pair_first, a.pair_target, a.before_first, a.before_source, a.table
        if self._low < forward:
            ck.reach_forward(self._forward, self._forward.view(np.uint64), self._still_forward, self._low, forward,
                             self._known, self._dirty_forward, self._fixed, *pairs)
            self._low, self._known = forward, max(self._known, forward)
        if self._high > backward:
            ck.reach_backward(self._backward, self._backward.view(np.uint64), self._still_backward, backward,
                              self._high, self._sure, self._dirty_backward, self._fixed, *pairs)
            self._high, self._sure = backward, min(self._sure, backward)

    def feasible(self) -> bool:
        """Can the masked slots be filled so that the text is valid?"""
        end = self._end
        if self._high > end:        # what can end well is not known where all is masked: there, lengths decide
            self._reach(end, self.length)
            states = self._forward[end, :len(self._needs)].view(bool)
            return bool((self._needs[states] <= self.length - end).any())
        meet = self._low
        self._reach(meet, meet)
        return bool((self._forward[meet] & self._backward[meet]).any())

    def class_masks(self, slots: Optional[Sequence[int]] = None) -> np.ndarray:
        """Which token classes each of `slots` (default: the masked ones) may take: bool (n, classes)."""
        a = self.automaton
        slots = self.masked if slots is None else np.array([self._slot(s) for s in slots], np.int64)
        self._reach(self.length, 0)
        out = np.zeros((len(slots), a.classes), np.uint8)
        ck.admissible(slots, self._forward, self._backward, self._forward.view(np.uint64),
                      self._backward.view(np.uint64), a.pair_first, a.pair_target, a.pair_begin, a.pair_class,
                      a.class_first, a.class_source, a.class_target, out)
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

    def bitmasks(self, slots: Optional[Sequence[int]] = None) -> np.ndarray:
        """:meth:`masks` packed: uint32 ``(n, ceil(V / 32))``, bit ``t % 32`` of word ``t // 32`` for token t."""
        a = self.automaton
        rows = self.class_masks(slots)
        out = np.zeros((len(rows), (max(a.vocabulary.size, self.pad + 1) + 31) // 32), np.uint32)
        large, words = a.packed(out.shape[1])
        ck.pack(rows.view(np.uint8), large, words, a.order, a.begin, out)
        out[:, self.pad >> 5] |= rows[:, a.pad_class].astype(np.uint32) << np.uint32(self.pad & 31)
        return out

    def forced(self, slots: Optional[Sequence[int]] = None) -> dict[int, int]:
        """Masked slots (of `slots`) at which one token is left, and that token."""
        a = self.automaton
        slots = self.masked if slots is None else np.array([s for s in map(self._slot, slots) if self.tokens[s] < 0],
                                                           np.int64)
        rows = self.class_masks(slots)
        if self.pad == a.vocabulary.eos_ids[0] and len(a.vocabulary.eos_ids) == 1:
            rows[:, a.pad_class] |= rows[:, a.end_class]        # the same token
            rows[:, a.end_class] = False
        single = rows.sum(axis=1) == 1
        classes = rows.argmax(axis=1)
        sizes = np.append(np.diff(a.begin)[:a.classes - 1], 1)
        single &= sizes[classes] == 1
        return {int(slots[r]): self._first_of(int(classes[r])) for r in np.flatnonzero(single)}

    def _first_of(self, c: int) -> int:
        a = self.automaton
        return self.pad if c == a.pad_class else int(a.order[a.begin[c]])

    # ------------------------------------------------------------------ laws
    def _span(self, window: Optional[tuple[int, int]]) -> tuple[int, int, int, np.ndarray]:
        """First slot, end, state before and states that may be after, of a window."""
        low, high = (0, self.length) if window is None else (int(window[0]), int(window[1]))
        if not 0 <= low < high <= self.length:
            raise MatcherError(f"window {window} of a canvas of {self.length} slots")
        self._reach(high, high)
        states = np.flatnonzero(self._forward[low])
        if len(states) != 1:
            if not self.feasible():
                raise self._infeasible()
            raise MatcherError(f"slots before {low} are masked: a window begins behind fixed ones")
        return low, high, int(states[0]), self._backward[high]

    def _reduced(self, logp: Any, low: int, high: int, spread: bool = False) -> tuple[Any, np.ndarray, np.ndarray]:
        """Scores of the masked slots of a window by class, those slots, the row of each slot."""
        a = self.automaton
        slots = low + np.flatnonzero(self.tokens[low:high] < 0)
        r = reduced(logp, slots - low, high - low, a, a.classes - 1, spread)
        if self.padding == "scored" and self.pad >= logp.shape[1]:
            raise ModelError(f"scores of {logp.shape[1]} tokens: there is none of the padding token {self.pad}")
        row = np.full(high - low, -1, np.int64)
        row[slots - low] = np.arange(len(slots))
        return r, slots, row

    def _padded(self, scores: np.ndarray, r: Any) -> np.ndarray:
        """Class scores with those of the class of padding."""
        free = np.zeros(len(scores))
        if self.padding == "scored":
            free = r.log_p(np.arange(len(scores)), np.full(len(scores), self.pad)) if len(scores) else free
        return np.concatenate([scores, free[:, None]], axis=1)

    def _infeasible(self) -> MatcherError:
        if not self.feasible():
            return MatcherError("no assignment of the masked slots is valid",
                                hint="a fixed slot contradicts the constraint, or the canvas is too short")
        return MatcherError("every valid assignment has probability zero",
                            hint="apply top-p and top-k after the constraint, or not at all")

    def _best(self, r: Any, row: np.ndarray, span: tuple) -> tuple[np.ndarray, float]:
        """Classes of the likeliest path through a window, and its score."""
        a, (low, high, start, last) = self.automaton, span
        states, classes = np.empty(high - low + 1, np.int32), np.empty(high - low, np.int32)
        score = ck.best_path(start, self._fixed[low:high], row, self._padded(r.top, r), last,
                             self._forward[low:high], a.first, a.klass, a.target, a.table, states, classes)
        if score == -np.inf:
            raise self._infeasible()
        return classes, float(score)

    def _sums(self, r: Any, row: np.ndarray, span: tuple) -> tuple:
        """Weights of classes and backward sums, each as mantissa and exponent, and log Z."""
        a, (low, high, start, last) = self.automaton, span
        weights = self._padded(r.total, r)
        pm, pe = np.empty(weights.shape), np.empty(weights.shape, np.int64)
        ck.split_weights(weights, pm, pe)
        lm, le = np.empty((high - low + 1, a.size)), np.empty((high - low + 1, a.size), np.int64)
        log_z = ck.sums_backward(start, self._fixed[low:high], row, pm, pe, last, self._forward[low:high], a.first,
                                 a.klass, a.target, a.table, lm, le)
        return pm, pe, lm, le, float(log_z)

    def _shares(self, row: np.ndarray, span: tuple, sums: tuple) -> np.ndarray:
        """Probability of each class at each masked slot of a window."""
        a, (low, high, start, _) = self.automaton, span
        pm, pe, lm, le, log_z = sums
        if log_z == -np.inf:
            raise self._infeasible()
        share = np.zeros(pm.shape)
        ck.sums_forward(start, self._fixed[low:high], row, pm, pe, a.first, a.klass, a.target, a.table, lm, le, share)
        return share

    def _drawn(self, row: np.ndarray, span: tuple, sums: tuple, rng: np.random.Generator) -> np.ndarray:
        """Classes of a draw."""
        a, (low, high, start, _) = self.automaton, span
        pm, pe, lm, le, log_z = sums
        if log_z == -np.inf:
            raise self._infeasible()
        states, classes = np.empty(high - low + 1, np.int32), np.empty(high - low, np.int32)
        ck.draw_path(start, self._fixed[low:high], row, pm, pe, a.first, a.klass, a.target, a.table, lm, le,
                     rng.random(high - low), states, classes)
        return classes

    def _tokens_of(self, r: Any, slots: np.ndarray, classes: np.ndarray,
                   rng: Optional[np.random.Generator]) -> np.ndarray:
        """The likeliest tokens of classes, or draws."""
        tokens = np.full(len(slots), self.pad, np.int64)
        rows = np.flatnonzero(classes != self.automaton.pad_class)
        if rng is None:
            tokens[rows] = r.best(rows, classes[rows])
        else:
            tokens[rows] = r.draw(rows, classes[rows], rng.random(len(rows)))
        return tokens

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
        span = self._span(None)
        r, slots, row = self._reduced(logp, 0, self.length)
        classes, score = self._best(r, row, span)
        tokens = self.tokens.copy()
        tokens[slots] = self._tokens_of(r, slots, classes[slots], None)
        return tokens, score

    def log_z(self, logp: Any) -> float:
        """log of the probability that independent draws of the masked slots are valid; -inf if they cannot be."""
        if not self.feasible():
            return -np.inf
        r, _, row = self._reduced(logp, 0, self.length)
        return self._sums(r, row, self._span(None))[-1]

    def sample(self, logp: Any, rng: np.random.Generator) -> np.ndarray:
        """An exact draw of all masked slots, given validity; all slots' tokens (int64)."""
        span = self._span(None)
        r, slots, row = self._reduced(logp, 0, self.length)
        classes = self._drawn(row, span, self._sums(r, row, span), rng)
        tokens = self.tokens.copy()
        tokens[slots] = self._tokens_of(r, slots, classes[slots], rng)
        return tokens

    def marginals(self, logp: Any) -> np.ndarray:
        """Probability of each token at each masked slot given validity: float64 ``(masked slots, V)``."""
        a, span = self.automaton, self._span(None)
        r, slots, row = self._reduced(logp, 0, self.length)
        share = self._shares(row, span, self._sums(r, row, span))
        logp = r.dense()
        out = np.zeros((len(slots), max(a.vocabulary.size, self.pad + 1)))
        known = a.order[:a.begin[a.classes - 1]]
        c = a.class_of[known]
        with np.errstate(invalid="ignore"):
            inside = np.exp(logp[:, known].astype(np.float64) - r.total[:, c])
            out[:, known] = np.where(share[:, c] > 0, share[:, c] * inside, 0.0)
        out[:, self.pad] += share[:, a.pad_class]
        return out

    def joint(self, logp: Any, rng: Optional[np.random.Generator] = None, *,
              window: Optional[tuple[int, int]] = None, entropy: bool = False) -> Joint:
        """One joint assignment, and how sure each of its tokens is.

        Parameters
        ----------
        logp : array or tensor, shape (masked slots of the window, or all of its slots, >= V)
            Log probabilities.
        rng : numpy Generator, optional
            Draw the assignment; without: the likeliest one.
        window : (int, int), optional
            Slots to assign, all before them fixed.  What is masked behind the window
            has no say in the law but that it can be filled.
        entropy : bool
            Compute entropies too.

        Raises
        ------
        MatcherError
            If no assignment is valid, or all have probability zero.
        """
        a, span = self.automaton, self._span(window)
        low, high = span[:2]
        r, slots, row = self._reduced(logp, low, high, entropy)
        sums = self._sums(r, row, span)
        share = self._shares(row, span, sums)
        classes = (self._best(r, row, span)[0] if rng is None else self._drawn(row, span, sums, rng))[slots - low]
        tokens = self._tokens_of(r, slots, classes, rng)
        rows = np.arange(len(slots))
        kind = np.where(tokens == self.pad, a.end_class if self.pad in a.vocabulary.eos_ids else a.pad_class, classes)
        p = np.zeros(len(slots))
        own = rows[kind != a.pad_class]
        with np.errstate(under="ignore"):
            inside = r.log_p(own, tokens[own]) - r.total[own, kind[own]]
            p[own] = share[own, kind[own]] * np.exp(np.where(np.isnan(inside), -np.inf, inside))
        p += np.where(tokens == self.pad, share[:, a.pad_class], 0.0)
        return Joint(slots, tokens, np.minimum(p, 1.0), self._entropy(r, share) if entropy else None)

    def _entropy(self, r: Any, share: np.ndarray) -> np.ndarray:
        """Entropy of the marginal of each slot, in nats."""
        a = self.automaton
        ends = np.array(a.vocabulary.eos_ids)
        rows = np.arange(len(share))
        plain = share[:, :a.end_class]
        out = _plogp(plain) + (plain * r.spread[:, :a.end_class]).sum(axis=1)
        # end tokens one by one: padding may be one of them
        rest = share[:, a.pad_class].copy()
        for t in ends:
            with np.errstate(invalid="ignore"):
                q = share[:, a.end_class] * np.exp(r.log_p(rows, np.full(len(rows), t)) - r.total[:, a.end_class])
            q = np.nan_to_num(q)
            if t == self.pad:
                q, rest = q + rest, np.zeros(len(rows))
            out += _plogp(q[:, None])
        return np.maximum(out + _plogp(rest[:, None]), 0.0)


def _plogp(p: np.ndarray) -> np.ndarray:
    """Sums of -p log p over the last axis."""
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1)
