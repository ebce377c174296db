"""Stacks that no text completes: a proof by saturation, where a search would go on for ever.

Shifting what a conflict left open, or terminals that swallow what must come behind
them, may leave an LR stack without any way to the end, while longer and longer texts
go on from it.  Here the machine is taken as a pushdown automaton over whole terminals:
it remembers the last one, reads one that `may_follow` it, reduces and shifts as the
tables say.  What lexemes really need is more than that, so a stack that even this
automaton cannot empty is stuck; one that it can empty may still be.

For a control and the LR state on top, *what is left of it* is the set of controls in
which the automaton can first look below that state: in the middle of a reduction (the
look-ahead, the nonterminal, how many more states it pops), or at the end of the text.
These sets are the least solution of inclusions along the tables, made as they are
asked for (Bouajjani, Esparza & Maler 1997, section 2; Reps, Lal & Kidd 2007, section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, Optional

import numpy as np

from . import cfg_layout as cl
from .lr import _bits

if TYPE_CHECKING:
    from .cfg_arena import CfgArena
    from .cfg_program import Program

__all__ = ["Stuck", "may_follow"]

#: Most facts and inclusions before the proof is given up.
MAX_FACTS = 200_000
#: Most pairs of lexeme states looked at to find out what may follow one end of a terminal.
MAX_PAIRS = 20_000


def may_follow(program: "Program") -> list[int]:
    """Terminal -> terminals (bit `nt`: the end) that may come behind it, ignored ones aside.

    Says no only where the lexer cannot tell the end of the first from its middle,
    whatever the second is.
    """
    p, nt, nx = program, program.nt, program.nx
    everything = (1 << nt + 1) - 1
    blocks = p.blocks
    line = -1 if blocks is None else blocks.newline
    of = {a: p.unlike_starts(nx - 1 if a == line else a) for a in range(nt)}
    ignored = [q for x in range(nt, nx) for q in p.unlike_starts(x)]
    known: dict[int, int] = {}

    def behind(d: int) -> int:
        """What may come behind an end with the shadow `d`."""
        found = known.get(d)
        if found is None:
            left, todo, found = {d}, [d], 1 << nt
            while todo and found != everything:
                still = _open_after(p, ignored, todo.pop())
                if still is None:
                    found = everything
                else:
                    todo += still - left
                    left |= still
            for b, starts in of.items() if found != everything else ():
                if not starts or any(_open_after(p, starts, x) != set() for x in left):
                    found |= 1 << b
            known[d] = found
        return found

    out = []
    for a in range(nt):
        lines = blocks is not None and a in (blocks.newline, blocks.indent, blocks.dedent)
        starts = of[line] if lines else of[a]
        ends = {int(p.shadow[s]) for q in starts for s in p._shape(q)[0]
                if (p.end[s] >= cl.LINE if lines else p.end[s] == 1)}
        found = 0
        for d in ends if starts else (0,):
            found |= behind(d) if d else everything
        if blocks is not None:
            # the end of the text closes blocks, and a line end makes what it makes at once
            found |= 1 << blocks.dedent
            found = found | 1 << blocks.indent if a == blocks.newline else found & ~(1 << blocks.indent)
        out.append(found)
    return out


def _open_after(p: "Program", starts: list[int], d: int) -> "set[int] | None":
    """The shadows still open behind lexemes from `starts` read beside the shadow `d`; None if one may settle it."""
    seen = {(q, d) for q in starts}
    todo, out = list(seen), set()
    while todo:
        q, x = todo.pop()
        for t, y in set(zip(p.trans[q].tolist(), p.dtrans[x].tolist())):
            if t < 0 or y < 0 or (t, y) in seen:
                continue
            if y == 0 or len(seen) > MAX_PAIRS:
                return None
            seen.add((t, y))
            todo.append((t, y))
            if p.end[t]:
                out.add(y)
    return out


#: A control behind a state: the look-ahead, the nonterminal it reduces to, how many more states go.
Control = tuple[int, int, int]
_DONE: Control = (-1, -1, -1)
#: A question: (kind, terminal or number of a set of terminals, LR state).
Key = tuple[int, int, int]
_BETWEEN, _REDUCING = 0, 1
#: A control above an LR state, and the context below that.
Place = tuple[Control, int, int]


class Stuck:
    """What is known of the stacks of one arena."""

    def __init__(self, arena: "CfgArena"):
        self.arena, self.program = arena, arena.program
        p = arena.program
        self._base = None if p.blocks is None else p.blocks.base
        #: terminal -> number of the set of those that may follow; the last entry: all may
        self._number: dict[int, int] = {}
        self._follow = [self._number.setdefault(x, len(self._number))
                        for x in [*may_follow(p), (1 << p.nt + 1) - 1]]
        self._sets = [_bits(x) for x in self._number]
        self._entered = [p.nt] * (p.lr.ns + 1)
        for a in range(p.nt):
            for s in np.flatnonzero(p.lr.actions[:, a]).tolist():
                t = p.lr.shifted(s, a)
                if t >= 0:
                    self._entered[t] = a
        self._found: dict[Key, set[Control]] = {}
        #: question -> those whose answer has what is left of the state after it
        self._users: dict[Key, set[tuple[Key, int]]] = {}
        self._new: list[Key] = []
        self._todo: list[tuple[Control, Key, int]] = []
        self._facts = 0
        self._known: dict[int, bool] = {}
        #: place -> can the stacks there be completed?
        self._verdicts: dict[Place, bool] = {}

    @property
    def given_up(self) -> bool:
        """Has the proof grown too large?"""
        return self._facts > MAX_FACTS

    def stuck(self, context: int) -> bool:
        """Can none of the stacks of a context be completed, whatever is read?  False where that is not known."""
        known = self._known.get(context)
        if known is None:
            known = self._known[context] = not self._alive(context)
        return known

    def _alive(self, context: int) -> bool:
        came: dict[Place, Optional[Place]] = {}
        todo: list[Place] = []
        now = None
        places = (place for s, below in self.arena.entries(context) for place in self._above(
            (_BETWEEN, self._follow[self._entered[s]], self._original(s)), self.arena.entries(below)))
        while True:
            for place in places:
                if place is None or self._verdicts.get(place):
                    while now is not None:
                        self._verdicts[now] = True
                        now = came[now]
                    return True
                if place not in came and place not in self._verdicts:
                    came[place] = now
                    todo.append(place)
            if not todo:
                self._verdicts.update(dict.fromkeys(came, False))
                return False
            now = todo.pop()
            places = self._below(now)

    def _above(self, key: Key, below: "list[tuple[int, int]]") -> "Iterator[Optional[Place]]":
        """The places where a state above `below` is left; None for the end of the text, or where that is not known."""
        for control in self._left(key):
            if control == _DONE:
                yield None
            for s, under in below:
                yield control, self._original(s), under
        if self.given_up:
            yield None

    def _below(self, place: Place) -> "Iterator[Optional[Place]]":
        """The places that come after one."""
        (a, lhs, more), s, below = place
        if more:
            for u, under in self.arena.entries(below):
                yield (a, lhs, more - 1), self._original(u), under
            return
        to = int(self.program.lr.goto[s, lhs])
        if to >= 0:
            yield from self._above((_REDUCING, a, to), [(s, below)])

    def _original(self, state: int) -> int:
        return state if self._base is None or state >= len(self._base) else self._base[state]

    def _left(self, key: Key) -> set[Control]:
        """The controls in which the state of `key` is left, or `_DONE`."""
        found = self._open(key)
        while (self._new or self._todo) and not self.given_up:
            if self._new:
                self._begin(self._new.pop())
            else:
                self._pass(*self._todo.pop())
        return found

    def _open(self, key: Key) -> set[Control]:
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = set()
            self._users[key] = set()
            self._new.append(key)
        return found

    def _begin(self, key: Key) -> None:
        """What the tables do first."""
        kind, what, s = key
        lr = self.program.lr
        if kind == _BETWEEN:
            row = lr.actions[s]
            for a in self._sets[what]:
                if row[a]:
                    self._include((_REDUCING, a, s), key, -1)
            return
        action = int(lr.actions[s, what])
        at = -1 - action
        for action in lr.lists[at + 1:at + 1 + lr.lists[at]].tolist() if action < 0 else (action,):
            if action & 1 and what == lr.nt:
                self._add(key, _DONE)
            elif action & 1:
                self._include((_BETWEEN, self._follow[what], self._original(action >> 1)), key, s)
            elif action:
                r = (action >> 1) - 1
                self._pass((what, int(lr.lhs[r]), int(lr.size[r])), key, s)

    def _include(self, of: Key, into: Key, state: int) -> None:
        """What is left of `of` goes into `into`: as it is, or (`state` >= 0) with that state behind it."""
        found, users = self._open(of), self._users[of]
        if (into, state) not in users:
            users.add((into, state))
            self._facts += 1
            self._todo += [(control, into, state) for control in found]

    def _pass(self, control: Control, into: Key, state: int) -> None:
        """What becomes of a control above `state`; no state if it is negative."""
        a, lhs, more = control
        if state < 0 or control == _DONE:
            self._add(into, control)
        elif more:
            self._add(into, (a, lhs, more - 1))
        else:
            to = int(self.program.lr.goto[state, lhs])
            if to >= 0:
                self._include((_REDUCING, a, to), into, state)

    def _add(self, key: Key, control: Control) -> None:
        found = self._found[key]
        if control not in found:
            found.add(control)
            self._facts += 1
            self._todo += [(control, into, state) for into, state in self._users[key]]
