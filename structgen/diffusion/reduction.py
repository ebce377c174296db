"""Scores over tokens reduced to scores over token classes.

The laws of a canvas see a model's output through its classes only: per slot and
class the greatest log probability, the log of the sum and, for entropies, how
the sum is spread within the class.  This is the one step whose cost grows with
the vocabulary, so it runs where the scores are: compiled loops for arrays and
tensors on the CPU, torch operations on the device for others.  Only arrays of
(slots, classes) leave a device that has double precision.

On a GPU, sums are in the order in which atomic additions happen to come: the
last bits of a float64 may differ from run to run.
"""

from __future__ import annotations

import weakref
from typing import Any, Optional

import numpy as np

from ..errors import ModelError
from . import canvas_kernels as ck

__all__ = ["NO_DOUBLES", "Reduced", "reduced"]

#: devices without double precision, whose scores come over as they are
NO_DOUBLES = ("mps",)


class Reduced:
    """Class scores of some slots, and the way back to tokens.

    Attributes
    ----------
    top : ndarray of float64, shape (slots, classes)
        Greatest log probability of a token of the class; -inf: none has any.
    total : ndarray of float64, shape (slots, classes)
        log of the summed probabilities.
    spread : ndarray of float64, shape (slots, classes), or None
        Entropy of the tokens of a class among themselves, where asked for.
    """

    top: np.ndarray
    total: np.ndarray
    spread: Optional[np.ndarray]

    def best(self, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """The likeliest token of a class, for pairs (row, class)."""
        raise NotImplementedError

    def draw(self, rows: np.ndarray, classes: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """A token of the class in proportion to probability, from a number in [0, 1) each."""
        raise NotImplementedError

    def log_p(self, rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Log probabilities of tokens, for pairs (row, token); float64."""
        raise NotImplementedError

    def dense(self) -> np.ndarray:
        """All scores, as an array (slots, V)."""
        raise NotImplementedError


class _OnCpu(Reduced):
    def __init__(self, logp: np.ndarray, order: np.ndarray, begin: np.ndarray, spread: bool):
        self._logp, self._order, self._begin = logp, order, begin
        m, n = len(logp), len(begin) - 1
        tops = logp.max(axis=1, initial=-np.inf).astype(np.float64)
        _check(tops)
        self.top, self.total = np.empty((m, n)), np.empty((m, n))
        self.spread = np.zeros((m, n)) if spread else None
        self._best = np.empty((m, n), np.int64)
        self._shift = shift = np.where(tops == -np.inf, 0.0, tops)
        self._floor = 1e-30 if logp.dtype == np.float32 else 1e-290
        self._p = np.exp(logp - shift[:, None].astype(logp.dtype))
        ck.class_scores(logp, self._p, shift, self._floor, order, begin, spread, self.top, self._best, self.total,
                        self.spread if spread else self.total)

    def best(self, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return self._best[rows, classes]

    def draw(self, rows: np.ndarray, classes: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        out = np.empty(len(rows), np.int64)
        sums = np.exp(self.total[rows, classes] - self._shift[rows])
        ck.draw_tokens(self._logp, self._p, sums, self._floor, self._order, self._begin, np.asarray(rows, np.int64),
                       np.asarray(classes, np.int64), self.top, np.asarray(uniforms, np.float64), out)
        return out

    def log_p(self, rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return self._logp[rows, tokens].astype(np.float64)

    def dense(self) -> np.ndarray:
        return self._logp


_placed: "weakref.WeakKeyDictionary[Any, dict]" = weakref.WeakKeyDictionary()


class OnDevice(Reduced):
    """The same by torch operations, on any device."""

    def __init__(self, logp: Any, automaton: Any, count: int, spread: bool):
        import torch

        self._torch, self._logp = torch, logp
        m, size = logp.shape
        tops = logp.max(dim=1).values
        _check(tops.double().cpu().numpy())
        kept = _placed.setdefault(automaton, {})
        key = (str(logp.device), size)
        if key not in kept:
            class_of = np.full(size, count, np.int64)           # the last column is of no class
            order = automaton.order[:automaton.begin[count]]
            class_of[order] = automaton.class_of[order]
            kept[key] = torch.from_numpy(class_of).to(logp.device)
        self._class_of = of = kept[key]
        best = torch.full((m, count + 1), -torch.inf, dtype=logp.dtype, device=logp.device)
        best.scatter_reduce_(1, of.expand(m, size), logp, "amax")
        relative = (logp - best.clamp(min=torch.finfo(logp.dtype).min)[:, of]).double()
        p = relative.exp()
        sums = torch.zeros((m, count + 1), dtype=torch.float64, device=logp.device).index_add_(1, of, p)
        total = best.double() + sums.log()
        total[best == -torch.inf] = -torch.inf
        self.spread = None
        if spread:
            inner = torch.zeros_like(sums).index_add_(1, of, torch.where(p > 0, p * relative, 0.0))
            found = sums.log() - inner / sums
            self.spread = torch.where(best == -torch.inf, 0.0, found)[:, :count].cpu().numpy()
        self.top, self.total = best[:, :count].double().cpu().numpy(), total[:, :count].cpu().numpy()

    def _members(self, rows: np.ndarray, classes: np.ndarray) -> Any:
        torch, device = self._torch, self._logp.device
        scores = self._logp[torch.as_tensor(rows, device=device)]
        of = torch.as_tensor(classes, device=device).to(torch.int64)
        return scores.masked_fill(self._class_of[None, :] != of[:, None], -torch.inf)

    def best(self, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return self._members(rows, classes).argmax(dim=1).cpu().numpy()

    def draw(self, rows: np.ndarray, classes: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        torch = self._torch
        sums = torch.softmax(self._members(rows, classes).double(), dim=1).cumsum(dim=1)
        total = sums[:, -1]
        aim = torch.as_tensor(uniforms, device=sums.device) * total
        aim = torch.minimum(aim, torch.nextafter(total, torch.zeros_like(total)))
        return torch.searchsorted(sums, aim[:, None], right=True)[:, 0].cpu().numpy()

    def log_p(self, rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        device = self._logp.device
        at = tuple(self._torch.as_tensor(np.asarray(x, np.int64), device=device) for x in (rows, tokens))
        return self._logp[at].double().cpu().numpy()

    def dense(self) -> np.ndarray:
        return self._logp.cpu().numpy()


def _check(tops: np.ndarray) -> None:
    if np.isnan(tops).any():
        raise ModelError("the model gave NaN scores")
    if (tops == np.inf).any():
        raise ModelError("the model gave infinite scores")


def reduced(logp: Any, slots: np.ndarray, length: int, automaton: Any, count: int, spread: bool = False) -> Reduced:
    """Class scores of `slots` from log probabilities.

    Parameters
    ----------
    logp : array or tensor, shape (len(slots) or length, >= V)
        Single precision unless it is double.
    slots : ndarray of int64
        If `logp` has a row for each of `length` slots, the rows to take.
    automaton
        Has ``order``, ``begin``, ``class_of`` and ``vocabulary``, as :class:`TokenAutomaton` does.
    count : int
        The classes to reduce to: the first so many.
    spread : bool
        Compute entropies within classes.

    Raises
    ------
    ModelError
        For another shape, NaN or infinite scores.
    """
    on_device = hasattr(logp, "detach")
    if not on_device:
        logp = np.asarray(logp)
    if logp.ndim != 2 or logp.shape[0] not in (len(slots), length) or logp.shape[1] < automaton.vocabulary.size:
        raise ModelError(f"scores of shape {tuple(logp.shape)} for {len(slots)} masked of {length} slots and "
                         f"{automaton.vocabulary.size} tokens")
    if on_device:
        import torch

        logp = logp.detach()
        if logp.dtype not in (torch.float32, torch.float64):
            logp = logp.float()
        if logp.device.type in NO_DOUBLES:
            logp = logp.cpu()
        if logp.device.type != "cpu":
            if logp.shape[0] != len(slots):
                logp = logp[torch.as_tensor(slots, device=logp.device)]
            return OnDevice(logp, automaton, count, spread)
        logp = logp.numpy()
    if logp.shape[0] != len(slots):
        logp = logp[slots]
    logp = np.ascontiguousarray(logp, np.float64 if logp.dtype == np.float64 else np.float32)
    return _OnCpu(logp, automaton.order, automaton.begin[:count + 1], spread)
