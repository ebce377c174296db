"""Sums over what a prefix oracle has expanded; estimates only have to add what is left.

For a text x let S(x) be the sum of log m over its prefixes (m: the mass of what is
allowed there), so that masking token by token draws x with probability
q(x) = P(x) / exp(S(x)).  A text is *known* when its every prefix is expanded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Known", "NOTHING_KNOWN", "Sums"]


class Known(NamedTuple):
    """What the trie knew at a moment: sums over its expanded nodes.

    S and q: see the module's text.

    Attributes
    ----------
    clock : int
        Nodes expanded by then.
    upper, mass : float
        Bounds on Z: theta of the root, and P of the known texts.
    mass_log : float
        Sum of P * S over the known texts.
    mask_left : float
        Probability under masking of leaving what is known.
    mask_dead : float
        Probability under masking of a dead end that is known.
    mask_log : float
        Sum of q * S over the known texts.
    mask_open : float
        The same over the edges that leave what is known, S as far as it is known.
    """

    clock: int
    upper: float
    mass: float
    mass_log: float
    mask_left: float
    mask_dead: float
    mask_log: float
    mask_open: float


NOTHING_KNOWN = Known(0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@dataclass
class Sums:
    """The sums while nodes come; `clock` counts them."""

    clock: int = 0
    mass: float = 0.0
    mass_log: float = 0.0
    mask_done: float = 0.0
    mask_dead: float = 0.0
    mask_log: float = 0.0
    mask_open: float = 0.0

    def add(self, log_path: float, before: float, mass: float, ended: float) -> float:
        """Take in an expanded node whose parent is in.

        Parameters
        ----------
        log_path : float
            log P of its prefix.
        before : float
            S of the prefix as far as its parent.
        mass, ended : float
            m of the node (0: a dead end), and the part of it on end tokens.

        Returns
        -------
        float
            S as far as the node.
        """
        self.clock += 1
        arrives = math.exp(min(log_path - before, 0.0))
        if mass <= 0:
            self.mask_dead += arrives
            self.mask_open -= arrives * before
            return before
        s = before + math.log(mass)
        text, done = math.exp(log_path) * ended, arrives * ended / mass
        self.mass += text
        self.mass_log += text * s
        self.mask_done += done
        self.mask_log += done * s
        self.mask_open += arrives * math.log(mass) - done * s
        return s

    def now(self, upper: float) -> Known:
        """What is known, `upper` bounding Z."""
        return Known(self.clock, upper, min(self.mass, upper), self.mass_log,
                     max(0.0, 1.0 - self.mask_done - self.mask_dead), self.mask_dead, self.mask_log, self.mask_open)
