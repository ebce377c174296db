"""Satisfiability of nodes: a least fixpoint, on demand.

A node asks only about children that its values cannot do without, so most
answers are immediate.  During a decision ``has(i)`` answers False for nodes
not yet known and records them; evaluation is monotone, so repeating it until
nothing changes ends in the least fixpoint, where recursion without a base
case is empty.  No Python recursion: schemas may nest as they like.
"""

from __future__ import annotations

from typing import Mapping, Optional

from ...errors import LimitError
from .arrays import array_satisfiable
from .documents import pointer_of, short
from .forms import ARR, NONE, OBJ, Form, live_types
from .nodes import NodeTable
from .objects import key_node, object_satisfiable
from .strlang import refine

__all__ = ["Satisfiability"]


class Satisfiability(NodeTable):
    """A table of nodes that knows which of them have a value."""

    def __init__(self, lenient: bool, overlapping: Mapping[int, frozenset]):
        super().__init__(lenient, overlapping)
        self._wanted: Optional[list[int]] = None

    @property
    def provisional(self) -> bool:
        """Whether a decision is under way, so that answers may still change."""
        return self._wanted is not None

    def has(self, i: int) -> bool:
        """Whether node `i` has a value (see above on decisions)."""
        if i <= 0:
            return i == 0
        known = self._sats[i]
        if known is not None:
            return known
        if self._wanted is not None:
            form = self._forms[i]
            if form is not None and not form.arrays and not form.objects:
                self._sats[i] = known = self._evaluate(i)       # depends on no other node
                return known
            self._wanted.append(i)
            return False
        self._decide(i)
        return self._sats[i]

    def known(self, i: int) -> Optional[bool]:
        """Whether node `i` has a value, None where that has not been decided."""
        return self._sats[i]

    def placed(self, err: LimitError, i: int) -> LimitError:
        """A limit met in node `i`, with the place of its schema."""
        if "#" in err.message or not self._sites[i]:
            return err
        pointer = self._sites[i][0].pointer
        return LimitError(f"{err.message} (at {short(pointer)})", place=pointer, limit=err.limit, hint=err.hint)

    def satisfiable(self, form: Form) -> bool:
        """Whether a form that belongs to no node has a value."""
        i = self._new((), form)
        return self.has(i)

    def _decide(self, i: int) -> None:
        sats = self._sats
        known: dict[int, None] = {i: None}
        stack = [i]
        tried: set[int] = set()
        self._wanted = wanted = []
        try:
            while stack:
                j = stack[-1]
                if sats[j] is not None:
                    stack.pop()
                    continue
                wanted.clear()
                if self._evaluate(j):
                    sats[j] = True
                    stack.pop()
                    continue
                new = [k for k in wanted if k not in known]
                if not new and (j in tried or not any(sats[k] for k in wanted)):
                    stack.pop()
                tried.add(j)
                known.update(dict.fromkeys(new))
                stack += new
            rest = [j for j in known if sats[j] is None]
            changed = True
            while changed and rest:
                changed = False
                for j in reversed(rest):
                    if self._evaluate(j):
                        sats[j] = changed = True
                rest = [j for j in rest if sats[j] is None]
            # Nodes first met in the last rounds are unknown still only if they too
            # depend on nothing but unknown ones.
            for j in known:
                if sats[j] is None:
                    sats[j] = False
        finally:
            self._wanted = None

    def _evaluate(self, i: int) -> bool:
        form = self.form(i)
        if form.null or form.true or form.false or form.number:
            return True
        if form.string and (self.strings if self.outer else refine)(form.string):
            return True
        for arr in form.arrays:
            if array_satisfiable(self, arr):
                return True
        for obj in form.objects:
            try:
                if object_satisfiable(self, obj):
                    return True
            except LimitError as err:
                raise self.placed(err, i) from None
        return False

    def _culprit(self) -> tuple[str, int]:
        """The innermost schema that makes the root unsatisfiable: its pointer, and the node it is about."""
        i, seen = self.root, set()
        while True:
            seen.add(i)
            form = self.form(i)
            bad: list[tuple[int, str]] = []
            if live_types(form) == OBJ and len(form.objects) == 1:
                obj = form.objects[0]
                nodes = {name: key_node(self, obj, name) for name in obj.required}
                bad = [(node, name) for name, node in nodes.items() if not self.has(node)]
            elif live_types(form) == ARR and len(form.arrays) == 1:
                arr = form.arrays[0]
                bad = [(k, "") for k in arr.prefix[:arr.min] + (arr.items,) if not self.has(k)]
            if not bad or bad[0][0] in seen:
                break
            if bad[0][0] == NONE:
                for site in self._sites[i]:
                    declared = site.schema.get("properties") if isinstance(site.schema, dict) else None
                    if isinstance(declared, dict) and bad[0][1] in declared:
                        return pointer_of(site, "properties", bad[0][1]), NONE
                break
            shared = set(self._types.values())      # bare types, which have no place of their own
            if any(site.node in shared for site in self._sites[bad[0][0]]):
                break
            i = bad[0][0]
        sites = self._sites[i]
        return (sites[0].pointer if sites else "#"), i
