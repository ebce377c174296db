"""The tables Lark's LALR parser uses, built here because Lark takes ten times as long.

States are those of :mod:`.lr`'s LR(0) automaton over the rules as they stand.
Look-aheads are DeRemer and Pennello's, collected as Lark collects them (see
:mod:`structgen.grammar.cfg`): for ``includes`` all items of a rule are walked,
also those with the dot inside.  Shift/reduce conflicts shift; reduce/reduce
conflicts go to the higher priority or are refused.
"""

from __future__ import annotations

import numpy as np

from ..errors import GrammarError
from ..grammar.cfg import CfgGrammar, nullable
from .lr import Rules, Tables, _Automaton, _bits, _cells

__all__ = ["lalr_tables"]


def lalr_tables(grammar: CfgGrammar) -> Tables:
    """The tables of a grammar; ``conflicts`` counts what was settled by shifting or priority.

    Raises
    ------
    GrammarError
        For a reduce/reduce conflict that priorities do not settle.
    """
    n, nt = len(grammar.nonterminals), len(grammar.terminals)
    nn = n + 1
    rules: Rules = [(0, (grammar.start + 1,))]
    rules += [(r.lhs + 1, tuple([s + 1 for s in r.rhs])) for r in grammar.rules]
    priority = [0] + [r.priority for r in grammar.rules]
    null = {s + 1 for s in nullable(grammar)}
    lr = _Automaton(nn, nt, rules)
    where = [(r, dot) for r, (_, rhs) in enumerate(rules) for dot in range(len(rhs) + 1)]
    end = 1 << nt
    steps = [(q, s) for q, row in enumerate(lr.moves) for s in row if s < nn]
    follow: dict[tuple[int, int], int] = {}
    reads: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for q, s in steps:
        after = lr.moves[q][s]
        bits = end if q == 0 and s == grammar.start + 1 else 0
        for x in lr.moves[after]:
            if x >= nn:
                bits |= 1 << x - nn
        follow[q, s] = bits
        reads[q, s] = [(after, x) for x in lr.moves[after] if x in null]
    _spread(follow, reads)
    includes: dict[tuple[int, int], list[tuple[int, int]]] = {step: [] for step in steps}
    back: list[tuple[tuple[int, int], int, int]] = []
    #: rule -> the first place from which everything behind may be empty
    loose = []
    for _, rhs in rules:
        k = len(rhs)
        while k > 0 and rhs[k - 1] in null:
            k -= 1
        loose.append(max(k - 1, 0))
    for q, items in enumerate(lr.closures):
        for item in _bits(items):
            r, dot = where[item]
            if r == 0:
                continue
            lhs, rhs = rules[r]
            if lhs not in lr.moves[q]:
                continue
            at = q
            for k in range(dot, len(rhs)):
                x = rhs[k]
                if k >= loose[r] and x < nn:
                    includes[at, x].append((q, lhs))
                at = lr.moves[at][x]
            if dot == 0:
                back.append(((q, lhs), at, r))
    _spread(follow, includes)
    ns = len(lr.moves) + 1
    _cells(ns, nt, nn)
    actions = np.zeros((ns + 1, nt + 1), np.int32)
    goto = np.full((ns + 1, nn), -1, np.int32)
    for q, row in enumerate(lr.moves):
        for x, t in row.items():
            if x < nn:
                goto[q, x] = t
            else:
                actions[q, x - nn] = t << 1 | 1
    reduces: dict[int, dict[int, set[int]]] = {}
    for step, q, r in back:
        cells = reduces.setdefault(q, {})
        for t in _bits(follow[step]):
            cells.setdefault(t, set()).add(r)
    conflicts = 0
    for q, cells in reduces.items():
        for t, found in cells.items():
            ranked = sorted(found, key=lambda r: -priority[r])
            if len(ranked) > 1 and priority[ranked[0]] == priority[ranked[1]]:
                shown = " and ".join(grammar.show(grammar.rules[r - 1]) for r in sorted(ranked[:2]))
                raise GrammarError(f"reduce/reduce conflict on "
                                   f"{'the end' if t == nt else grammar.terminals[t].name} between {shown}",
                                   hint="give one of the rules a priority, or use parser=\"earley\"")
            if actions[q, t] & 1 or len(ranked) > 1:
                conflicts += 1
            if not actions[q, t] & 1:
                actions[q, t] = (ranked[0] + 1) << 1
    # Lark stops as soon as it gets there with the end ahead, whatever could still be reduced
    actions[lr.moves[0][grammar.start + 1], nt] = (ns - 1) << 1 | 1
    tables = Tables(ns, nt, nn, actions, goto, np.array([r[0] for r in rules], np.int32),
                    np.array([len(r[1]) for r in rules], np.int32), np.zeros(1, np.int32), conflicts, rules)
    tables.conflicts += _without_endless(tables)
    return tables


def _without_endless(lr: Tables) -> int:
    """Take out the reductions by which the stack would grow for ever, where Lark hangs; their number.

    Behind such a reduction nothing below it is ever looked at again, so it is one of
    an empty rule, and what follows depends on its state and the look-ahead alone.
    """
    empty = np.flatnonzero(lr.size == 0)
    if not empty.size:
        return 0
    actions, goto, lhs, size = lr.actions, lr.goto, lr.lhs.tolist(), lr.size.tolist()
    endless = []
    for q, t in zip(*np.nonzero(np.isin(actions, (empty + 1) << 1))):
        stack, seen = [int(q)], set()
        while True:
            action = int(actions[stack[-1], t])
            if action <= 0 or action & 1:
                break
            r = (action >> 1) - 1
            if size[r] >= len(stack):
                break                         # what is below decides
            del stack[len(stack) - size[r]:]
            stack.append(int(goto[stack[-1], lhs[r]]))
            # as many states as there are: one stands there twice, and all that lies between comes again
            if len(stack) > lr.ns or tuple(stack) in seen:
                endless.append((q, t))
                break
            seen.add(tuple(stack))
    for q, t in endless:
        actions[q, t] = 0
    return len(endless)


def _spread(sets: dict, edges: dict) -> None:
    """Let each set take in those it has edges to, until nothing changes."""
    into: dict = {}
    for x, others in edges.items():
        for y in others:
            into.setdefault(y, []).append(x)
    todo = list(into)
    for y in todo:
        new = sets[y]
        for x in into.get(y, ()):
            if new & ~sets[x]:
                sets[x] |= new
                if x in into:
                    todo.append(x)
