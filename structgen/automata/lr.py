"""LR automata: which stacks a grammar's prefixes can leave.

Two producers of the same tables.  :func:`general_tables` is for the modes in
which the rules mean what they say: the rules are freed of empty alternatives
(which a stack of sets could not bound), the automaton is LR(0) with FOLLOW as
look-ahead, and every conflict is kept: the machine follows all actions.
:func:`lalr_tables` keeps the rules and settles conflicts as Lark does.

Items are numbered so that moving the dot is adding one; item sets are Python
integers used as bit sets, so a closure is a few ``or``.  Costs: about 15 us a
state, plus 5 us a state for look-aheads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterable, Optional, Sequence

import numpy as np

from ..errors import LimitError
from ..grammar.cfg import CfgGrammar, nullable

__all__ = ["Tables", "general_tables", "kernels_of", "MAX_STATES"]

#: Most states of an LR automaton, and most cells of its tables.
MAX_STATES, MAX_CELLS = 60_000, 64_000_000
#: Alternatives that one rule may become when empty symbols are left out directly.
_DIRECT = 4

Rules = list[tuple[int, tuple[int, ...]]]


@dataclass
class Tables:
    """An LR automaton as flat tables.

    Terminals are numbered from 0; column `nt` is the end of the text.  An
    action is 0 (none), ``state << 1 | 1`` (shift), ``(rule + 1) << 1``
    (reduce), or ``-1 - i``: ``lists[i]`` of them stand at ``lists[i + 1:]``.
    """

    #: states; one more, the last row of the tables, has neither actions nor gotos
    ns: int
    nt: int
    nn: int
    actions: np.ndarray                      # int32[ns + 1, nt + 1]
    goto: np.ndarray                         # int32[ns + 1, nn]
    lhs: np.ndarray                          # int32[rules]
    size: np.ndarray                         # int32[rules]
    lists: np.ndarray                        # int32[]
    conflicts: int = 0
    rules: Rules = field(default_factory=list)
    #: terminal -> terminals that may come right behind it, as bit sets (bit nt: the end)
    after: list[int] = field(default_factory=list)

    def shifted(self, state: int, terminal: int) -> int:
        """The state that `state` shifts `terminal` into, or -1."""
        action = int(self.actions[state, terminal])
        if action < 0:
            at = -1 - action
            for action in self.lists[at + 1:at + 1 + self.lists[at]].tolist():
                if action & 1:
                    return action >> 1
            return -1
        return action >> 1 if action & 1 else -1


def _bits(x: int) -> list[int]:
    out = []
    while x:
        low = x & -x
        out.append(low.bit_length() - 1)
        x ^= low
    return out


def without_empty(n: int, rules: Iterable[tuple[int, tuple[int, ...]]], null: set[int]) -> tuple[int, Rules]:
    """(number of nonterminals, rules of the same language without the empty text).

    A long rule with many symbols that may be empty is first made binary, so the
    result is linear in the input.  New nonterminals are numbered from `n` on in
    the *caller's* space of negative numbers: ``-1``, ``-2``, ...
    """
    out: dict[tuple[int, tuple[int, ...]], None] = {}
    fresh = 0
    nullable_now = set(null)
    todo = list(rules)
    for lhs, rhs in todo:
        at = [i for i, s in enumerate(rhs) if s in nullable_now]
        if len(at) > _DIRECT and len(rhs) > 2:
            # A: X1 .. Xn  becomes  P2: X1 X2, P3: P2 X3, ..., A: Pn-1 Xn
            before = rhs[0]
            for s in rhs[1:-1]:
                fresh -= 1
                if before in nullable_now and s in nullable_now:
                    nullable_now.add(fresh)
                todo.append((fresh, (before, s)))
                before = fresh
            todo.append((lhs, (before, rhs[-1])))
            continue
        for mask in range(1 << len(at)):
            drop = {at[i] for i in range(len(at)) if mask >> i & 1}
            new = tuple([s for i, s in enumerate(rhs) if i not in drop])
            if new and new != (lhs,):
                out[lhs, new] = None
    return -fresh, list(out)


def _only_useful(rules: Rules, start: int, is_terminal) -> Rules:
    """The rules whose symbols all derive some text, reachable from `start`."""
    good = {s for _, rhs in rules for s in rhs if is_terminal(s)}
    wanted, before = rules, -1
    while len(wanted) != before:
        before = len(wanted)
        good.update([lhs for lhs, rhs in wanted if good.issuperset(rhs)])
        wanted = [r for r in wanted if r[0] not in good]
    rules = [r for r in rules if good.issuperset(r[1])]
    by_lhs: dict[int, list] = {}
    for lhs, rhs in rules:
        by_lhs.setdefault(lhs, []).append(rhs)
    seen, stack = {start}, [start]
    while stack:
        for rhs in by_lhs.get(stack.pop(), ()):
            for s in rhs:
                if s not in seen and not is_terminal(s):
                    seen.add(s)
                    stack.append(s)
    return [r for r in rules if r[0] in seen]


class _Automaton:
    """The LR(0) automaton of rules over symbols 0..nn-1 (nonterminals) and nn.. (terminals).

    Rule 0 must be the added start rule.
    """

    def __init__(self, nn: int, nt: int, rules: Rules):
        self.nn, self.nt, self.rules = nn, nt, rules
        base, next_of = [], []
        for _, rhs in rules:
            base.append(len(next_of))
            next_of.extend(rhs)
            next_of.append(-1)
        self.base, self.next_of = base, next_of
        #: item -> rule, for items with the dot at the end
        self.done = {b + len(rhs): r for r, (b, (_, rhs)) in enumerate(zip(base, rules))}
        masks: dict[int, int] = {}
        complete = 0
        for item, s in enumerate(next_of):
            if s < 0:
                complete |= 1 << item
            else:
                masks[s] = masks.get(s, 0) | 1 << item
        self.complete = complete
        by_lhs: list[int] = [0] * nn
        starts: list[set[int]] = [set() for _ in range(nn)]
        for r, (lhs, rhs) in enumerate(rules):
            by_lhs[lhs] |= 1 << base[r]
            if rhs and rhs[0] < nn:
                starts[lhs].add(rhs[0])
        # closure of each nonterminal: its rules and those of what they start with
        closures = list(by_lhs)
        reach = [1 << a for a in range(nn)]
        changed = True
        while changed:
            changed = False
            for a in range(nn):
                new = reach[a]
                for b in starts[a]:
                    new |= reach[b]
                if new != reach[a]:
                    reach[a] = new
                    changed = True
        for a in range(nn):
            total = 0
            for b in _bits(reach[a]):
                total |= by_lhs[b]
            closures[a] = total
        self.by_lhs = by_lhs
        nonterminal_next = 0
        for s, m in masks.items():
            if s < nn:
                nonterminal_next |= m
        kernels: dict[int, int] = {1 << base[0]: 0}
        order = [1 << base[0]]
        self.closures: list[int] = []
        self.moves: list[dict[int, int]] = []
        for kernel in order:
            items = kernel
            for item in _bits(kernel & nonterminal_next):
                items |= closures[next_of[item]]
            self.closures.append(items)
            moves: dict[int, int] = {}
            left = items & ~complete
            while left:
                s = next_of[(left & -left).bit_length() - 1]
                hit = left & masks[s]
                left ^= hit
                key = hit << 1
                q = kernels.get(key)
                if q is None:
                    if len(order) >= MAX_STATES:
                        raise LimitError(f"the grammar's LR automaton needs more than {MAX_STATES} states",
                                         place="LR automaton", limit=MAX_STATES, hint="simplify the grammar")
                    q = kernels[key] = len(order)
                    order.append(key)
                moves[s] = q
            self.moves.append(moves)
        self.kernels = order


def _first(nn: int, rules: Rules) -> list[int]:
    """FIRST of each nonterminal as a bit set over terminals; no rule is empty."""
    first = [0] * nn
    starts: list[set[int]] = [set() for _ in range(nn)]
    for lhs, rhs in rules:
        if rhs[0] >= nn:
            first[lhs] |= 1 << (rhs[0] - nn)
        else:
            starts[lhs].add(rhs[0])
    _spread(first, starts)
    return first


def _spread(sets: list[int], take: Sequence[set[int]]) -> None:
    """sets[a] |= sets[b] for b in take[a], to the fixpoint."""
    changed = True
    while changed:
        changed = False
        for a, others in enumerate(take):
            new = sets[a]
            for b in others:
                new |= sets[b]
            if new != sets[a]:
                sets[a] = new
                changed = True


def _follow(nn: int, nt: int, rules: Rules, first: list[int], start: int) -> list[int]:
    follow = [0] * nn
    follow[start] = 1 << nt
    takes: list[set[int]] = [set() for _ in range(nn)]
    for lhs, rhs in rules:
        for x, y in zip(rhs, rhs[1:]):
            if x < nn:
                follow[x] |= first[y] if y < nn else 1 << (y - nn)
        if rhs[-1] < nn:
            takes[rhs[-1]].add(lhs)
    _spread(follow, takes)
    return follow


def _last_terminals(nn: int, rules: Rules) -> list[int]:
    """Terminals that may stand last in what each nonterminal derives."""
    return _first(nn, [(lhs, rhs[::-1]) for lhs, rhs in rules])


def terminals_after(nn: int, nt: int, rules: Rules, first: list[int], start: int) -> list[int]:
    """Terminal -> terminals (bit nt: the end) that may stand right behind it."""
    follow = _follow(nn, nt, rules, first, start)
    last = _last_terminals(nn, rules)
    after, behind = [0] * nt, [0] * nn
    for lhs, rhs in rules:
        for x, y in zip(rhs, rhs[1:]):
            more = first[y] if y < nn else 1 << (y - nn)
            if x < nn:
                behind[x] |= more
            else:
                after[x - nn] |= more
    for x, more in enumerate(behind):
        if more:
            for t in _bits(last[x]):
                after[t] |= more
    for t in _bits(last[start]):
        after[t] |= follow[start] & 1 << nt
    return after


def kernels_of(lr: Tables) -> list[list[tuple[int, int]]]:
    """The kernel items of each LR state, rebuilt from the tables: (rule, dot)."""
    out: list[set[tuple[int, int]]] = [set() for _ in range(lr.ns)]
    if not lr.rules:
        return [[] for _ in out]
    by_lhs: dict[int, list[int]] = {}
    for r, (lhs, _) in enumerate(lr.rules):
        by_lhs.setdefault(lhs, []).append(r)
    out[0].add((0, 0))
    todo = [0]
    seen = {0}
    while todo:
        s = todo.pop()
        items = set(out[s])
        stack = list(items)
        done: set[int] = set()
        while stack:
            r, dot = stack.pop()
            rhs = lr.rules[r][1]
            if dot < len(rhs) and rhs[dot] < lr.nn and rhs[dot] not in done:
                done.add(rhs[dot])
                for x in by_lhs.get(rhs[dot], ()):
                    if (x, 0) not in items:
                        items.add((x, 0))
                        stack.append((x, 0))
        for r, dot in items:
            rhs = lr.rules[r][1]
            if dot == len(rhs):
                continue
            x = rhs[dot]
            t = int(lr.goto[s, x]) if x < lr.nn else lr.shifted(s, x - lr.nn)
            if t < 0:
                continue
            out[t].add((r, dot + 1))
            if t not in seen:
                seen.add(t)
                todo.append(t)
    return [sorted(items) for items in out]


def _cells(ns: int, nt: int, nn: int) -> None:
    if ns * (nt + nn + 2) > MAX_CELLS:
        raise LimitError(f"the grammar's LR tables need at least {ns} states x {nt + nn} symbols", place="LR tables",
                         limit=MAX_CELLS, hint="simplify the grammar")


def general_tables(grammar: CfgGrammar, empty_ok: Optional[set[int]] = None) -> Tables:
    """LR(0) tables with every conflict kept, for the rules as they are.

    `empty_ok` are terminal symbols whose language has the empty text.
    """
    n, nt = len(grammar.nonterminals), len(grammar.terminals)
    null = nullable(grammar, empty_ok or ())
    extra, rules = without_empty(n, [(r.lhs, r.rhs) for r in grammar.rules], null)
    rules = _only_useful(rules, grammar.start, lambda s: s >= n)
    used = sorted({lhs for lhs, _ in rules})
    number = {s: i + 1 for i, s in enumerate(used)}
    nn = len(used) + 1
    number.update({n + t: nn + t for t in range(nt)})
    only_empty = not any(lhs == grammar.start for lhs, _ in rules)
    if only_empty:                            # nothing but, perhaps, the empty text
        table = Tables(2, nt, 1, np.zeros((3, nt + 1), np.int32), np.full((3, 1), -1, np.int32),
                       np.zeros(1, np.int32), np.ones(1, np.int32), np.zeros(1, np.int32), after=[0] * nt)
        table.actions[0, nt] = 1 << 1 | 1
        return table
    start = number[grammar.start]
    rules = [(0, (start,))] + [(number[lhs], tuple([number[s] for s in rhs])) for lhs, rhs in rules]
    # each terminal leads to a state of its own at least
    _cells(len({s for _, rhs in rules for s in rhs if s >= nn}), nt, nn)
    first = _first(nn, rules)
    follow = _follow(nn, nt, rules, first, 0)
    lr = _Automaton(nn, nt, rules)
    ns = len(lr.kernels) + 1                  # the last state: the text is complete
    _cells(ns, nt, nn)
    actions = np.zeros((ns + 1, nt + 1), np.int32)
    goto = np.full((ns + 1, nn), -1, np.int32)
    follows = [np.array(_bits(follow[a]), np.int64) for a in range(nn)]
    lists: list[int] = [0]
    conflicts = 0
    # shifts are written all at once
    at: list[int] = []
    values: list[int] = []
    to: list[int] = []
    gotos: list[int] = []
    rest: list[tuple[int, list[int]]] = []
    for s, moves in enumerate(lr.moves):
        first_cell, shifted = s * (nt + 1) - nn, 0
        for x, t in moves.items():
            if x < nn:
                to.append(s * nn + x)
                gotos.append(t)
            else:
                at.append(first_cell + x)
                values.append(t << 1 | 1)
                shifted |= 1 << x - nn
        ends = lr.closures[s] & lr.complete
        if not ends:
            continue
        if not ends & ends - 1:
            r = lr.done[ends.bit_length() - 1]
            if not follow[rules[r][0]] & shifted:
                actions[s, follows[rules[r][0]]] = (ns - 1) << 1 | 1 if r == 0 else (r + 1) << 1
                continue
        rest.append((s, [lr.done[i] for i in _bits(ends)]))
    actions.reshape(-1)[at] = values
    goto.reshape(-1)[to] = gotos
    for s, finished in rest:
        row = actions[s]
        cells: dict[int, list[int]] = {}
        for r in finished:
            for t in follows[rules[r][0]].tolist():
                cells.setdefault(t, []).append((ns - 1) << 1 | 1 if r == 0 else (r + 1) << 1)
        for t, acts in cells.items():
            if row[t]:
                acts = [int(row[t])] + acts
            if len(acts) == 1:
                row[t] = acts[0]
            else:
                conflicts += 1
                row[t] = -1 - len(lists)
                lists += [len(acts)] + acts
    if grammar.start in null:
        assert actions[0, nt] == 0
        actions[0, nt] = (ns - 1) << 1 | 1
    return Tables(ns, nt, nn, actions, goto, np.array([r[0] for r in rules], np.int32),
                  np.array([len(r[1]) for r in rules], np.int32), np.array(lists, np.int32), conflicts, rules,
                  terminals_after(nn, nt, rules, first, 0))
