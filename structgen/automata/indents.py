"""Indentation: what a line end means, read off the stack.

Lark's ``Indenter`` turns a newline lexeme into itself and INDENT or DEDENTs, by
the column of the next line and the columns of the open blocks; inside brackets
it drops the newline.  Here a newline is a lexeme that may come anywhere, like
white space, whose end carries the column (`races`), and whose effect on a
context is worked out here and remembered (`line_end`).

The columns of open blocks need no place of their own: the LR state that INDENT
leads to exists once for each column, so they stand on the stack.  So do open
brackets.  That is all a newline has to know, provided that every rule closes
the brackets and blocks it opens; grammars in which one does not are refused.

A context behind a line end must be able to go on with text, so columns that
lead nowhere are refused at once.  After that, every context of conflict-free
LALR tables can be completed, whatever columns are open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GrammarError, LimitError
from ..grammar.cfg import CfgGrammar
from . import cfg_kernels as ck
from . import cfg_layout as cl
from .lr import Tables
from .races import MAX_COLUMN

if TYPE_CHECKING:
    from .cfg_arena import CfgArena

__all__ = ["Blocks", "Lines"]


class Blocks:
    """The indenter of a grammar, over terminals numbered from 0, and LR tables with a state for each column.

    Attributes
    ----------
    base : list of int
        The state of the original tables that each state stands for.
    column : dict of int to int
        The column of those states that INDENT leads to.
    """

    def __init__(self, grammar: CfgGrammar):
        ind, n = grammar.indenter, len(grammar.nonterminals)
        if grammar.tables != "lalr":
            raise GrammarError("indentation is supported with LALR tables only", hint='parser="lalr"')
        self.newline, self.indent, self.dedent = ind.newline - n, ind.indent - n, ind.dedent - n
        self.open, self.close = {s - n for s in ind.open}, {s - n for s in ind.close}
        self.tab_len = ind.tab_len
        _check_balance(grammar)

    def widen(self, tables: Tables) -> Tables:
        """The tables with a copy for each column of the states that INDENT leads to."""
        ns = tables.ns
        entered: list[int] = [-1] * ns        # the terminal that leads to each state, -1 for a nonterminal
        for t in range(tables.nt):
            for action in np.unique(tables.actions[:ns, t]).tolist():
                if action > 0 and action & 1 and action >> 1 < ns:
                    entered[action >> 1] = t
        blocks = [s for s in range(ns) if entered[s] == self.indent]
        # the last state of all is the end of the text, the row behind it has no actions: both stay last
        copies = np.array([s for s in blocks for _ in range(MAX_COLUMN + 1)], np.int64)
        self._first = {s: ns + i * (MAX_COLUMN + 1) for i, s in enumerate(blocks)}
        self.base = [*range(ns), *copies.tolist()]
        self.column = {ns + i: i % (MAX_COLUMN + 1) for i in range(len(copies))}
        self.entered = entered + [self.indent] * len(copies)
        order = np.concatenate([np.arange(ns), copies, [ns]]).astype(np.int64)
        return Tables(ns + len(copies), tables.nt, tables.nn, tables.actions[order], tables.goto[order], tables.lhs,
                      tables.size, tables.lists, tables.conflicts, tables.rules, tables.after)

    def at_column(self, state: int, column: int) -> int:
        """The state for a block that begins at `column`, instead of the one INDENT leads to."""
        return self._first[state] + column


def _check_balance(grammar: CfgGrammar) -> None:
    """Does every rule close what it opens?"""
    ind = grammar.indenter
    for rule in grammar.rules:
        brackets = blocks = 0
        for s in rule.rhs:
            brackets += (s in ind.open) - (s in ind.close)
            blocks += (s == ind.indent) - (s == ind.dedent)
            if brackets < 0 or blocks < 0:
                break
        if brackets or blocks:
            at = grammar.place(rule.lhs)
            what = "brackets" if brackets else "blocks"
            raise GrammarError(f"indentation needs rules that close the {what} they open, unlike {grammar.show(rule)}",
                               line=at.line, column=at.column, hint="write both ends into one alternative")


class Lines:
    """Effects of line ends in one arena."""

    def __init__(self, arena: "CfgArena"):
        self.arena, self.program = arena, arena.program
        self.blocks: Blocks = arena.program.blocks
        #: context -> (open brackets, columns of open blocks)
        self._known: dict[int, tuple[int, tuple[int, ...]]] = {1: (0, ())}
        self._goes_on: dict[int, bool] = {}
        self._columns: dict[int, int] = {}

    def inside(self, context: int) -> "tuple[int, tuple[int, ...]]":
        """How many brackets are open in a context, and the columns of its blocks."""
        known = self._known
        todo = [context]
        while todo:
            c = todo[-1]
            if c in known:
                todo.pop()
                continue
            entries = self.arena.entries(c)
            missing = [below for _, below in entries if below not in known]
            if missing:
                todo += missing
                continue
            found = {self._after(state, *known[below]) for state, below in entries}
            if len(found) != 1:
                raise LimitError("two readings of the text so far differ in their blocks or brackets",
                                 place="indentation", limit=1)
            known[c] = found.pop()
            todo.pop()
        return known[context]

    def _after(self, state: int, brackets: int, columns: "tuple[int, ...]") -> "tuple[int, tuple[int, ...]]":
        blocks = self.blocks
        t = blocks.entered[state] if state < len(blocks.entered) else -1
        if t in blocks.open:
            return brackets + 1, columns
        if t in blocks.close:
            return brackets - 1, columns
        if t == blocks.indent:
            return brackets, columns + (blocks.column[state],)
        if t == blocks.dedent:
            return brackets, columns[:-1]
        return brackets, columns

    def effect(self, context: int, column: int) -> int:
        """The context behind a line end before a line at `column` (or `LAST`: at the end); 0 if that cannot be."""
        arena, blocks = self.arena, self.blocks
        brackets, columns = self.inside(context)
        if column == cl.LAST:
            for _ in columns:
                context = arena.op(ck.O_SHIFT, context, blocks.dedent)
                if context == 0:
                    return 0
            return context
        if brackets:
            return context
        context = arena.op(ck.O_SHIFT, context, blocks.newline)
        if context == 0:
            return 0
        top = columns[-1] if columns else 0
        if column > top:
            if column >= MAX_COLUMN:
                arena.block[cl.CALM] = 0      # no block fits into this one: see `alive`
            context = arena.op(ck.O_SHIFT, context, blocks.indent)
            out = 0
            for state, below in arena.entries(context):
                one = arena.op(ck.O_INTERN_ONE, blocks.at_column(state, column), below)
                out = arena.op(ck.O_UNION, out, one)
            context = out
        for i in range(len(columns) - 1, -2, -1):
            if column >= (columns[i] if i >= 0 else 0):
                break
            context = arena.op(ck.O_SHIFT, context, blocks.dedent)
            if context == 0:
                return 0
        if column < top and column != (columns[i] if i >= 0 else 0):
            return 0
        return context if context and self.goes_on(context) else 0

    def goes_on(self, context: int) -> bool:
        """May text, a line end or the end follow?"""
        found = self._goes_on.get(context)
        if found is None:
            p, blocks = self.program, self.blocks
            tops = [state for state, _ in self.arena.entries(context)]
            wanted = np.flatnonzero((p.lr.actions[tops, :p.nt] != 0).any(0)).tolist()
            found = any(self.arena.op(ck.O_SHIFT, context, a) > 0 for a in wanted
                        if a not in (blocks.indent, blocks.dedent))
            if not found:
                end = self.effect(context, cl.LAST)
                found = end > 0 and self.arena.op(ck.O_SHIFT, end, p.nt) > 0
            self._goes_on[context] = found
        return found

    # ------------------------------------------------------------- liveness
    def reach(self, q: int) -> int:
        """The columns at which a line end in lexeme state `q` may come to its end, as a bit set."""
        found = self._columns.get(q)
        if found is None:
            p = self.program
            states, into, _ = p._shape(q)
            reach = {s: 1 << int(p.end[s]) - cl.LINE if p.end[s] >= cl.LINE else 0 for s in states}
            todo = list(states)
            while todo:
                s = todo.pop()
                for t in into.get(s, ()):
                    if reach[t] | reach[s] != reach[t]:
                        reach[t] |= reach[s]
                        todo.append(t)
            self._columns.update(reach)
            found = reach[q]
        return found

    def alive(self, thread: int) -> "bool | None":
        """Can a thread be completed?  None where only a search can tell."""
        p = self.program
        q, d = self.arena.unpair(thread >> 32)
        context = thread & cl.LOW
        if d & cl.SHADOWS or not p.calm:
            return None
        _, columns = self.inside(context)
        if columns and columns[-1] >= MAX_COLUMN:
            return None
        if q == 0 or not p.is_line[q]:
            return True
        ends = self.reach(q)
        if self.inside(context)[0]:
            return True
        top = columns[-1] if columns else 0
        for column in (*columns, 0):
            if ends >> column & 1 and self.effect(context, column) > 0:
                return True
        deeper = ends >> top + 1
        if not deeper:
            return False
        return self.effect(context, top + (deeper & -deeper).bit_length()) > 0


def newline_lexeme(program: Any) -> "list[bool]":
    """Which lexeme states are those of line ends."""
    out = [False] * program.nq
    for q in program.starts_of(program.nx - 1):
        out[q] = True
    for q in program.unlike_starts(program.nx - 1):
        for s in program._shape(q)[0]:
            out[s] = True
    return out
