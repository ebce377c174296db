"""Numbers for the reference engine: a byte machine for one number language.

Which spellings of a number the language of a :data:`NumLang` holds is decided
by :mod:`structgen.automata.numbers` (the regular subset that the documentation
states); here its table is only stepped, and trimmed again by an independent
search.  That the table is right is the business of the tests, which compare it
with exact fractions.
"""

from __future__ import annotations

from typing import Protocol

from ..grammar.ir import NumLang, Options

__all__ = ["NumberMachine", "number_machine"]


class NumberMachine(Protocol):
    """`start`, ``step(state, byte) -> state | None`` and ``accepts(state)``; states are live."""

    start: int

    def step(self, state: int, b: int) -> int | None: ...

    def accepts(self, state: int) -> bool: ...


class _Table:
    def __init__(self, trans, accept, classes):
        self.rows = [[int(t) for t in row] for row in trans]
        self.final = {i for i, a in enumerate(accept) if a}
        self.classes = [int(c) for c in classes]
        self.start = 0
        live = set(self.final)
        grown = True
        while grown:
            new = {i for i, row in enumerate(self.rows) if i not in live and any(t in live for t in row)}
            live |= new
            grown = bool(new)
        self.live = live

    def step(self, state: int, b: int) -> int | None:
        t = self.rows[state][self.classes[b]]
        return t if t in self.live else None

    def accepts(self, state: int) -> bool:
        return state in self.final


def number_machine(lang: NumLang, options: Options, float_integers: bool) -> NumberMachine:
    """The machine of `lang` under the number policy of `options`."""
    from ..automata.numbers import NUMBER_CLASSES, number_dfa
    trans, accept = number_dfa(lang, float_integers=float_integers, plain=options.numbers == "plain")
    return _Table(trans, accept, NUMBER_CLASSES)
