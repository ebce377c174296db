"""What a request may spend, and a meter that says when it is spent."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import Optional

from ..errors import StructgenError
from .oracle import PrefixOracle

__all__ = ["Budget", "Meter"]


@dataclass(frozen=True)
class Budget:
    """What a request may spend; None: no limit.  `seconds` is wall time."""

    forwards: Optional[int] = None
    evaluations: Optional[int] = None
    attempts: Optional[int] = None
    seconds: Optional[float] = None

    @classmethod
    def make(cls, given: Optional[dict]) -> "Budget":
        """From what a caller gave; bad names and values are a StructgenError."""
        known = [f.name for f in fields(cls)]
        if given is not None and not isinstance(given, dict):
            raise StructgenError(f"budget={given!r}: wanted a dict", hint="of " + ", ".join(known))
        given = {k: v for k, v in (given or {}).items() if v is not None}
        unknown = sorted(map(str, set(given) - set(known)))
        if unknown:
            raise StructgenError(f"unknown limits of the budget: {', '.join(unknown)}",
                                 hint="there are " + ", ".join(known))
        for name, value in given.items():
            kinds = (int, float) if name == "seconds" else int
            if isinstance(value, bool) or not isinstance(value, kinds) or not value > 0:
                raise StructgenError(f"budget of {name}={value!r}: wanted a number > 0" + (
                    "" if name == "seconds" else ", an integer"))
        return cls(**given)


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
