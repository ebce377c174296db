"""Can every stack of LALR tables be completed?  A proof by plans, where there is one.

Where shifting or a priority settled a conflict, what the rules promise need not hold
of the tables: a stack may lead nowhere.  Searching for a completion of each stack
costs milliseconds.  In most grammars no stack is lost (an ``else`` may always be left
out), and that can be shown once.

A *plan* of an LR state is an item ``A: alpha . beta`` of its kernel and a text of
terminals for beta.  To complete a stack, follow the plan of the state on top, go to the
state that A leads to, follow its plan, and so on.  That ends, since a plan with one
symbol before the dot is only made where the plans of all states that it leads to are
(`_ranked`).  It works if the tables, run on a plan's text and any terminal that may come
next, reduce that very rule: this is tried for each state with the tables themselves.
Terminals that may come next are taken over all stacks at once, so the proof may fail
where every stack can be completed, never the other way round.

What plans read is all that must be told apart by the lexer (`Plans.wanted`).
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from .lr import Tables, _bits

__all__ = ["planned_after", "plans"]

#: Rounds in which plans that don't work are replaced by others.
MAX_ROUNDS = 8
#: What a terminal costs, at most as much again as often as the lexer does not know it where it is wanted; too much.
_COST, _RARE, _INF = 16, 128, 1 << 18


def plans(lr: Tables, readable: np.ndarray, kernels: "list[list[tuple[int, int]]]") -> Optional[list[int]]:
    """For each state the terminals that plans read there next (bit `nt`: the end); None without a proof.

    Parameters
    ----------
    lr : Tables
        With one action in each cell.
    readable : bool[ns, nt]
        May the terminal be what the lexer finds in that state?
    kernels : list of lists of (rule, dot)
    """
    return _Plans(lr, readable, kernels).prove() if not (lr.actions < 0).any() else None


def planned_after(lr: Tables, kernels: "list[list[tuple[int, int]]]") -> Optional[list[int]]:
    """Terminal -> terminals (bit `nt`: the end) that plans read right behind it; last, what they begin with.

    For tables that keep all actions: there a plan needs no trying.
    """
    return _Plans(lr, np.ones((lr.ns, lr.nt), bool), kernels).pairs()


class _Plans:
    def __init__(self, lr: Tables, readable: np.ndarray, kernels: "list[list[tuple[int, int]]]"):
        self.lr, self.kernels = lr, kernels
        self.nt, self.nn = lr.nt, lr.nn
        self.actions, self.goto = lr.actions.tolist(), lr.goto.tolist()
        self.readable = readable
        #: states on top between lexemes: the first one, and those that a terminal leads to
        self.between = {0}
        self.before: list[list[int]] = [[] for _ in range(lr.ns + 1)]
        #: (terminal, state it leads to)
        self.shifts: set[tuple[int, int]] = set()
        for s in range(lr.ns):
            for t in self.goto[s]:
                if t >= 0:
                    self.before[t].append(s)
            for x, action in enumerate(self.actions[s][:self.nt]):
                t = lr.shifted(s, x) if action < 0 else action >> 1 if action & 1 else -1
                if t >= 0:
                    self.between.add(t)
                    self.before[t].append(s)
                    self.shifts.add((x, t))
        self._back: dict[tuple[int, int], frozenset[int]] = {}
        self._texts()

    def _texts(self) -> None:
        """A cheapest text of terminals for each symbol."""
        wanted = self.lr.actions[:-1, :self.nt] != 0
        missed = (wanted & ~self.readable).sum(0) / np.maximum(wanted.sum(0), 1)
        cost = [_INF] * self.nn + [_COST + int(_RARE * x) if x < 1 else _INF for x in missed.tolist()]
        self.text: list[tuple[int, ...]] = [()] * self.nn + [(t,) for t in range(self.nt)]
        changed = True
        while changed:
            changed = False
            for lhs, rhs in self.lr.rules:
                total = sum([cost[s] for s in rhs]) + 1
                if total < cost[lhs]:
                    cost[lhs], changed = total, True
                    self.text[lhs] = tuple([t for s in rhs for t in self.text[s]])
        self.cost = cost

    def back(self, state: int, n: int) -> frozenset[int]:
        """The states that may stand `n` below `state`."""
        found = self._back.get((state, n))
        if found is None:
            found = frozenset((state,))
            for k in range(1, n + 1):
                now = self._back.get((state, k))
                if now is None:
                    now = self._back[state, k] = frozenset([p for s in found for p in self.before[s]])
                found = now
        return found

    def _ranked(self) -> Optional[list[list[tuple[int, int]]]]:
        """The items that may be plans of each state, the best first; None if a state has none."""
        out: list[list[tuple[int, int]]] = [[] for _ in self.kernels]
        rank = [-1] * len(self.kernels)
        open_ = []
        for s, items in enumerate(self.kernels):
            good = []
            for r, dot in items:
                lhs, rhs = self.lr.rules[r]
                price = sum([self.cost[x] for x in rhs[dot:]])
                if price < _INF:
                    good.append((price, r, dot))
            good.sort()
            # the added rule ends the text, and more than one symbol makes the stack shorter
            out[s] = [(r, dot) for _, r, dot in good if dot >= 2 or r == 0]
            if out[s]:
                rank[s] = 0
            open_.append([(r, dot) for _, r, dot in good if dot == 1 and r != 0])
        now = 0
        changed = True
        while changed:
            changed, now = False, now + 1
            for s, items in enumerate(open_):
                if rank[s] >= 0:
                    continue
                for r, dot in items:
                    lhs = self.lr.rules[r][0]
                    if all(0 <= rank[self.goto[p][lhs]] < now for p in self.before[s] if self.goto[p][lhs] >= 0):
                        out[s].append((r, dot))
                if out[s]:
                    rank[s], changed = now, True
        if any(rank[s] < 0 for s, items in enumerate(self.kernels) if items):
            return None
        return out

    def _coming(self, plan: "dict[int, tuple[int, int]]") -> list[int]:
        """For each state the terminals that may come first when its plan is followed, in any stack."""
        coming = [0] * len(self.kernels)
        uses: dict[int, list[int]] = {}
        todo = []
        for s, (r, dot) in plan.items():
            lhs, rhs = self.lr.rules[r]
            text = [t for x in rhs[dot:] for t in self.text[x]]
            if text or r == 0:
                coming[s] = 1 << (text[0] if text else self.nt)
                todo.append(s)
                continue
            for p in self.back(s, dot):
                if self.goto[p][lhs] >= 0:
                    uses.setdefault(self.goto[p][lhs], []).append(s)
        while todo:
            s = todo.pop()
            for user in uses.get(s, ()):
                if coming[s] & ~coming[user]:
                    coming[user] |= coming[s]
                    todo.append(user)
        return coming

    def prove(self) -> Optional[list[int]]:
        """See `plans`."""
        options = self._ranked()
        if options is None:
            return None
        at = {s: 0 for s, items in enumerate(options) if items}
        for _ in range(MAX_ROUNDS):
            plan = {s: options[s][i] for s, i in at.items()}
            coming = self._coming(plan)
            self.wanted = [0] * len(self.kernels)
            bad = [s for s in plan if not self._works(s, *plan[s], coming)]
            if not bad:
                return self.wanted
            for s in bad:
                at[s] += 1
                if at[s] == len(options[s]):
                    return None
        return None

    def pairs(self) -> Optional[list[int]]:
        """See `planned_after`."""
        options = self._ranked()
        if options is None:
            return None
        plan = {s: items[0] for s, items in enumerate(options) if items}
        coming = self._coming(plan)
        after = [0] * (self.nt + 1)
        for x, t in self.shifts:
            after[x] |= coming[t]
        for s in self.between:
            after[self.nt] |= coming[s]
        for s, (r, dot) in plan.items():
            text = [t for x in self.lr.rules[r][1][dot:] for t in self.text[x]]
            for x, y in zip(text, text[1:]):
                after[x] |= 1 << y
            if text:
                after[text[-1]] |= self._ahead(s, r, dot, coming)
        return after

    def _ahead(self, s: int, r: int, dot: int, coming: list[int]) -> int:
        """What may come behind the plan of a state."""
        if r == 0:
            return 1 << self.nt
        out, lhs = 0, self.lr.rules[r][0]
        for p in self.back(s, dot):
            if self.goto[p][lhs] >= 0:
                out |= coming[self.goto[p][lhs]]
        return out

    def _works(self, s: int, r: int, dot: int, coming: list[int]) -> bool:
        """Do the tables follow the plan of a state, whatever comes behind it?"""
        text = [t for x in self.lr.rules[r][1][dot:] for t in self.text[x]]
        stack = [s]
        for x in text:
            if not self._read(stack, x) or not self._run(stack, x):
                return False
        ahead = _bits(self._ahead(s, r, dot, coming))
        return all(self._read(stack, x) and self._ends(list(stack), x, r, dot) for x in ahead)

    def _read(self, stack: list[int], x: int) -> bool:
        """Note that a plan reads `x` now; may the lexer find it?"""
        s = stack[-1]
        if s in self.between:
            self.wanted[s] |= 1 << x
            return x == self.nt or bool(self.readable[s, x])
        return True

    def _run(self, stack: list[int], x: int) -> bool:
        """Shift a terminal of a plan; False if the tables don't, or look below the plan's state."""
        while True:
            action = self.actions[stack[-1]][x]
            if action & 1:
                stack.append(action >> 1)
                return True
            if action == 0 or not self._reduce(stack, (action >> 1) - 1):
                return False

    def _reduce(self, stack: list[int], r: int) -> bool:
        lhs, rhs = self.lr.rules[r]
        if len(rhs) >= len(stack):
            return False
        del stack[len(stack) - len(rhs):]
        stack.append(self.goto[stack[-1]][lhs])
        return stack[-1] >= 0

    def _ends(self, stack: list[int], x: int, rule: int, dot: int) -> bool:
        """With `x` next, do the tables reduce `rule`, begun `dot` symbols below this stack?"""
        for _ in range(len(self.kernels) + len(stack)):
            action = self.actions[stack[-1]][x]
            if action & 1:
                return rule == 0 and action >> 1 == self.lr.ns - 1
            if action == 0:
                return False
            r = (action >> 1) - 1
            if r == rule and len(self.lr.rules[r][1]) == len(stack) - 1 + dot:
                return True
            if not self._reduce(stack, r):
                return False
        return False
