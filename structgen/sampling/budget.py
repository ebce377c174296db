"""What a request may spend, and a meter that says when it is spent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Optional

from .oracle import PrefixOracle

__all__ = ["Budget", "Meter"]


@dataclass(frozen=True)
class Budget:
    """What a request may spend; None: no limit.  `seconds` is wall time."""

    forwards: Optional[int] = None
    evaluations: Optional[int] = None
    attempts: Optional[int] = None
    seconds: Optional[float] = None


class Meter:
    """What has been spent on an oracle since the meter was made.

    Attributes
    ----------
    stopped : str or None
        The limit that was reached.
    """

    def __init__(self, oracle: PrefixOracle, budget: Budget):
        self.oracle, self.budget = oracle, budget
        self.stopped: Optional[str] = None
        self._begun = (oracle.passes, oracle.evaluations, time.monotonic())

    def spent(self, attempts: int = 0) -> bool:
        """Is a limit reached, `attempts` counted by the caller?"""
        b, (passes, evaluations, began) = self.budget, self._begun
        have = {"forwards": (b.forwards, self.oracle.passes - passes),
                "evaluations": (b.evaluations, self.oracle.evaluations - evaluations),
                "attempts": (b.attempts, attempts),
                "seconds": (b.seconds, time.monotonic() - began)}
        for name, (limit, spent) in have.items():
            if limit is not None and spent >= limit:
                self.stopped = name
                return True
        return False
