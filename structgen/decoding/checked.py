"""Matchers of schemas parts of which are only checked once the text is complete.

Some uses of ``not``, ``oneOf`` and ``if`` have no complement that can be enforced
token by token.  With ``may_dead_end=True`` such a schema is compiled without
them, and the end of the text is allowed only where the whole value is valid:
what is accepted is exact, but a text may come to a point from which no valid one
can be reached.  That is a ``DeadEndError`` when the mask is asked for; the
matcher is unchanged, and ``rollback`` leads back to where the text can go on
differently.  Costs one validation each time the text is complete.
"""

from __future__ import annotations

import ctypes

from ..errors import DeadEndError, StructgenError
from .matcher import Matcher

__all__ = ["CheckedMatcher"]


class CheckedMatcher(Matcher):
    """A matcher that lets only valid texts end."""

    __slots__ = ()

    def can_end(self) -> bool:
        return super().can_end() and self.compiled.grammar.check(self.text) is None

    def _fill(self, address: int, words: int) -> None:
        super()._fill(address, words)
        if self._node[5] or not super().can_end():
            return
        problem = self.compiled.grammar.check(self.text)
        if problem is None:
            return
        row = (ctypes.c_uint32 * words).from_address(address)
        for t in self.vocabulary.eos_ids:
            row[t >> 5] &= ~(1 << (t & 31))
        if not any(row):
            raise DeadEndError(f"the text is complete but not valid, and nothing can follow: {problem}",
                               text=self.text.decode("utf-8", "replace"),
                               hint="rollback(n) takes tokens back; the schema is compiled with may_dead_end=True")

    @property
    def state(self):
        raise StructgenError("a schema that is checked at the end of its text (may_dead_end=True) has no states: "
                             "what may follow depends on all of the text", hint="canvases and exact sampling need them")

    def shortest_completion(self) -> bytes:
        """A shortest text that completes the one accepted without what is checked at the end.

        Raises
        ------
        DeadEndError
            If the text made so is not valid.
        """
        text = super().shortest_completion()
        problem = None if self._node[5] else self.compiled.grammar.check(self.text + text)
        if problem is not None:
            raise DeadEndError(f"no shortest valid text is known: {problem}",
                               text=(self.text + text).decode("utf-8", "replace"))
        return text
