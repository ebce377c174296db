"""Shortest completions of threads of a context-free grammar, and whether there is one.

What a stack still needs is a shortest path: an LR item with its rest is an edge
whose weight is the shortest text of that rest, and leads to the state after
the reduction.  That ignores how lexemes run into each other, so it is a lower
bound, and nearly always exact.  The completion itself is found by A* over
single threads with that bound; texts are compared by length, then bytes, so
the first end that is taken from the queue is *the* shortest completion.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Optional

import numpy as np

from ..errors import LimitError
from . import cfg_kernels as ck
from . import cfg_layout as cl
from .cfg_stuck import Stuck
from .lr import kernels_of

if TYPE_CHECKING:
    from .cfg_arena import CfgArena
    from .cfg_program import Program

__all__ = ["Costs", "completable", "shortest", "special_mark", "split_specials"]

#: Longest text that is ever written down.
MAX_TEXT = 1 << 20
#: Steps of the first search of an arena after which stacks that nothing completes are looked for.
PATIENCE = 2000
Text = tuple[int, bytes]
_NONE: Text = (1 << 60, b"")


def _join(a: Text, b: Text) -> Text:
    if a is _NONE or b is _NONE:
        return _NONE
    if a[0] + b[0] > MAX_TEXT:
        raise LimitError(f"the shortest text of a rule is longer than {MAX_TEXT} bytes", place="shortest completion",
                         limit=MAX_TEXT)
    return a[0] + b[0], a[1] + b[1]


class Costs:
    """Shortest texts of a program: from lexeme states, of symbols, and of the rests of items."""

    def __init__(self, program: "Program"):
        self.program = program
        p = program
        self.distance = np.where(p.end > 0, 0, 1 << 30).astype(np.int64)
        while True:
            after = np.where(p.trans >= 0, self.distance[p.trans], 1 << 30).min(1, initial=1 << 30)
            new = np.minimum(self.distance, after + 1)
            if (new == self.distance).all():
                break
            self.distance = new
        self._states: dict[int, Text] = {}
        terminals = [min([self._beginning(q) for q in p.starts_of(a)], default=_NONE) for a in range(p.nt)]
        for a, terminal in enumerate(p.grammar.terminals):
            if terminal.kind in ("token", "embedded"):
                text = special_mark(a, program)
                terminals[a] = len(text), text
        self.line: Text = (0, b"")
        if p.blocks is not None:
            # bounds from below: a line end, one more column, nothing
            self.line = terminals[p.blocks.newline] = min([self._beginning(q) for q in p.starts_of(p.nx - 1)])
            terminals[p.blocks.indent], terminals[p.blocks.dedent] = (1, b" "), (0, b"")
        self.symbols: list[Text] = [_NONE] * p.lr.nn + terminals
        self._rules(p.lr.rules, p.lr.nn)
        #: LR state -> edges (text, states to pop below the top, nonterminal); nonterminal -1 for the end
        self._edges: dict[int, list[tuple[Text, int, int]]] = {}
        self._items = kernels_of(p.lr)

    def _beginning(self, q: int) -> Text:
        """The shortest text from the start `q` of a terminal, at least one byte."""
        if q < 0:
            return _NONE
        best = _NONE
        for k in np.flatnonzero(self.program.trans[q] >= 0).tolist():
            t = int(self.program.trans[q, k])
            text = _join((1, bytes((int(self.program.reps[k]),))), self.end(t))
            if text < best:
                best = text
        return best

    def end(self, q: int) -> Text:
        """The shortest text from lexeme state `q` to an end."""
        out = bytearray()
        p = self.program
        n = int(self.distance[q])
        while not p.end[q]:
            here = int(self.distance[q])
            row = p.trans[q]
            good = np.flatnonzero((row >= 0) & (self.distance[row] == here - 1))
            b = int(p.reps[good].min())
            out.append(b)
            q = int(row[p.classes[b]])
        return n, bytes(out)

    def _rules(self, rules, nn: int) -> None:
        changed = True
        while changed:
            changed = False
            for lhs, rhs in rules:
                text: Text = (0, b"")
                for s in rhs:
                    text = _join(text, self.symbols[s])
                if text < self.symbols[lhs]:
                    self.symbols[lhs] = text
                    changed = True

    def edges(self, state: int) -> list[tuple[Text, int, int]]:
        """What may complete the items of an LR state."""
        if self.program.blocks is not None:
            state = self.program.blocks.base[state] if state < len(self.program.blocks.base) else state
        found = self._edges.get(state)
        if found is None:
            found = []
            for r, dot in self._items[state]:
                lhs, rhs = self.program.lr.rules[r]
                text: Text = (0, b"")
                for s in rhs[dot:]:
                    text = _join(text, self.symbols[s])
                if text is not _NONE:
                    found.append((text, dot - 1, -1 if r == 0 else lhs))
            self._edges[state] = found
        return found


class Search:
    """Completions in one arena."""

    def __init__(self, arena: "CfgArena"):
        self.arena, self.program = arena, arena.program
        costs = getattr(arena.program, "costs", None)
        if costs is None:
            costs = arena.program.costs = Costs(arena.program)
        self.costs: Costs = costs
        kinds = [t.kind for t in arena.program.grammar.terminals]
        self.specials = [a for a, kind in enumerate(kinds) if kind == "token"]
        self.embedded = [a for a, kind in enumerate(kinds) if kind == "embedded"]
        self._stuck: Optional[Stuck] = None
        self._patience: float = math.inf if arena.program.safe else PATIENCE
        self._rests: dict[int, int] = {}
        self._tops: dict[tuple[int, int], int] = {}
        self._below: dict[tuple[int, int], int] = {}

    def pop(self, context: int, n: int) -> int:
        """The context below `n` tops."""
        for _ in range(n):
            key = (context, 0)
            below = self._below.get(key)
            if below is None:
                below = 0
                for _, p in self.arena.entries(context):
                    below = self.arena.op(ck.O_UNION, below, p)
                self._below[key] = below
            context = below
        return context

    def rest(self, context: int) -> int:
        """The bytes of a shortest text that completes the stacks of a context, lexemes aside."""
        known = self._rests.get(context)
        if known is None:
            if self.arena.op(ck.O_MAY_END, context, 0) > 0:
                known = 0
            else:
                known = min([self._top(s, p) for s, p in self.arena.entries(context)], default=_NONE[0])
            self._rests[context] = known
        return known

    def _top(self, state: int, below: int) -> int:
        """The same for one LR state over a context.

        A search for the nearest end; what is learnt about the states on the way is kept,
        so that the stack after the next token is a matter of a few steps.
        """
        known = self._tops.get((state, below))
        if known is not None:
            return known
        heap: list[tuple[int, int, int, int, Optional[tuple]]] = [(0, 0, state, below, None)]
        count = 0                             # entries are told apart by it, never by what is behind it
        done: dict[tuple[int, int], tuple[int, Optional[tuple]]] = {}
        best = _NONE[0]
        while heap:
            length, _, s, p, before = heappop(heap)
            if s < 0:
                best = length
                while before is not None:
                    here, before = before, done[before][1]
                    self._tops[here] = best - done[here][0]
                break
            if (s, p) in done:
                continue
            done[s, p] = length, before
            known = self._tops.get((s, p))
            if known is not None:
                count += 1
                heappush(heap, (length + known, count, -1, 0, (s, p)))
                continue
            for more, n, lhs in self.costs.edges(s):
                count += 1
                if lhs < 0:
                    heappush(heap, (length + more[0], count, -1, 0, (s, p)))
                elif n >= 0:
                    for u, under in self.arena.entries(self.pop(p, n)):
                        g = int(self.program.lr.goto[u, lhs])
                        if g >= 0:
                            one = self.arena.op(ck.O_INTERN_ONE, u, under)
                            if (g, one) not in done:
                                count += 1
                                heappush(heap, (length + more[0], count, g, one, (s, p)))
        self._tops[state, below] = best
        return best

    def bound(self, thread: int) -> int:
        """A lower bound of the bytes that complete a thread."""
        q, _ = self.arena.unpair(thread >> 32)
        rest = self.rest(thread & cl.LOW)
        if q and self.arena.lines is not None and self.program.is_line[q]:
            rest = max(0, rest - self.costs.line[0] - 1)      # some of it may have been read
        return rest + (int(self.costs.distance[q]) if q else 0)

    def stuck(self, context: int) -> bool:
        """Is it certain that no stack of a context can be completed?"""
        if self._stuck is None:
            self._stuck = Stuck(self.arena)
        found = self._stuck.stuck(context)
        if found:
            self._patience = 0                # there are such stacks: from now on they are looked for at once
        elif self._stuck.given_up:
            self._patience = math.inf
        return found

    def settled(self, d: int, a: int) -> bool:
        """Does some first byte of embedded terminal `a` settle the shadows `d`?"""
        arena, classes = self.arena, {int(self.program.classes[b]) for b in self.program.inside[a].first}
        shadows = arena.shadows(d)
        return any(all(self.program.dtrans[x, k] == 0 for x in shadows) for k in classes)

    def best(self, threads: list[int], limit: int, alive_is_enough: bool = False) -> Optional[bytes]:
        """The shortest completion of any of some threads; None if there is none.

        With `alive_is_enough`, some text after which a completion is certain.
        """
        arena, program = self.arena, self.program
        heap: list[tuple[int, bytes, int]] = []
        for t in threads:
            bound = self.bound(t)
            if bound < _NONE[0]:
                heappush(heap, (bound, b"", t))
        done: set[int] = set()
        spelled = [bytes((b,)) for b in program.reps.tolist()]
        steps = 0
        while heap:
            f, text, thread = heappop(heap)
            if thread < 0:
                return text
            if thread in done:
                continue
            done.add(thread)
            if steps >= self._patience and self.stuck(thread & cl.LOW):
                continue
            q, d = arena.unpair(thread >> 32)
            if alive_is_enough and d == 0 and program.safe and steps:
                return text
            if alive_is_enough and steps and arena.lines is not None:
                alive = arena.lines.alive(thread)
                if alive:
                    return text
                if alive is False:
                    continue
            context = thread & cl.LOW
            starts = [thread]
            if q and program.end[q] == 1:
                starts.append(arena.op(ck.O_ENDED, q, d) << 32 | context)
            after = arena.unpair(starts[-1] >> 32)[1]
            if (q == 0 or program.end[q] == 1) and arena.op(ck.O_MAY_END, context, after) > 0:
                heappush(heap, (len(text), text, -1))
                if alive_is_enough:
                    return text
            for start in starts if self.embedded else ():
                q0, d0 = arena.unpair(start >> 32)
                for a in self.embedded if q0 == 0 else ():
                    t = arena.op(ck.O_SHIFT, context, a)
                    bound = self.bound(t) if t > 0 else _NONE[0]
                    if t not in done and bound < _NONE[0] and (d0 == 0 or self.settled(d0, a)):
                        mark = text + special_mark(a, program)
                        heappush(heap, (len(mark) + bound, mark, t))
            if self.specials and (q == 0 or program.end[q] == 1) and arena.may_stop(after):
                for a in self.specials:
                    t = arena.op(ck.O_SHIFT, context, a)
                    bound = self.bound(t) if t > 0 else _NONE[0]
                    if t not in done and bound < _NONE[0]:
                        mark = text + special_mark(a, program)
                        heappush(heap, (len(mark) + bound, mark, t))
            steps += 1
            if steps > limit:
                raise LimitError(f"finding how a text can be completed took more than {limit} steps",
                                 place="search for a completion", limit=limit,
                                 hint="terminals that swallow each other make every continuation invalid")
            for start in starts:
                for k, t in arena.steps(start):
                    if t not in done:
                        bound = self.bound(t)
                        if bound < _NONE[0]:
                            heappush(heap, (len(text) + 1 + bound, text + spelled[k], t))
        return None


def search(arena: "CfgArena") -> Search:
    """The search of an arena, made once."""
    found = getattr(arena, "searcher", None)
    if found is None:
        found = arena.searcher = Search(arena)
    return found


def completable(arena: "CfgArena", thread: int, limit: int) -> bool:
    """Can a thread be completed?  LimitError when that takes more than `limit` steps."""
    alive = None if arena.lines is None else arena.lines.alive(thread)
    if alive is not None:
        return alive
    return search(arena).best([thread], limit, True) is not None


def shortest(arena: "CfgArena", state: int, limit: int = 200_000) -> bytes:
    """The shortest completion of a configuration, the least in byte order of those."""
    text = search(arena).best(arena.threads(state), limit)
    assert text is not None
    return text


def special_mark(a: int, program: "Program") -> bytes:
    """What stands for a special or embedded terminal in a completion: bytes that no text has, as long as its text."""
    part = getattr(program, "inside", {}).get(a)
    return b"\xff" + a.to_bytes(3, "big") + b"\xfe" * (len(part.text) - 4 if part is not None else 0)


def split_specials(data: bytes) -> "list[bytes | int]":
    """A completion as texts and special or embedded terminals."""
    out: list[bytes | int] = []
    while True:
        at = data.find(b"\xff")
        if at < 0:
            return [*out, data]
        out += [data[:at], int.from_bytes(data[at + 1:at + 4], "big")]
        data = data[at + 4:].lstrip(b"\xfe")
