"""Certificates that each text has one parse, which sums over parses need.

Ambiguity is undecidable, so this is one-sided.  A grammar is certified if its LR
tables have no conflict and its lexer leaves no choice:

- lexers that compete (Lark's basic and contextual) cut a text in one way, and
  tables that settle conflicts by shifting run in one way;
- otherwise lexemes are guessed, and no two guesses may both go on: whenever a
  terminal may end before a byte, nothing else that began at the same place reads
  that byte or ends there too.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from ..automata.lr import _only_useful, without_empty
from ..errors import GrammarError
from ..grammar.cfg import nullable

__all__ = ["certify"]


def certify(tokens: Any, refuse: bool = True) -> Optional[str]:
    """None if sums are defined, else why not (an error, unless `refuse` is false).

    Raises
    ------
    GrammarError
        The grammar is not certified: the message names the conflict.
    """
    if not hasattr(tokens, "conflict"):
        tokens.conflict = _conflict(tokens.program)
    if tokens.conflict is not None and refuse:
        raise GrammarError(f"sums over a canvas need a grammar that is certified unambiguous: {tokens.conflict}",
                           hint="masks and argmax work for every grammar")
    return tokens.conflict


def _conflict(program: Any) -> Optional[str]:
    if program.grammar.tables != "lalr":
        if program.lr.conflicts:
            return _of_tables(program)
    return None if program.grammar.lexing in ("basic", "contextual") else _of_lexer(program)


def _of_tables(program: Any) -> str:
    """The first conflict of general tables, by its rules."""
    lr = program.lr
    state, terminal = (int(v[0]) for v in np.nonzero(lr.actions[:-1] < 0))
    at = -1 - int(lr.actions[state, terminal])
    acts = lr.lists[at + 1:at + 1 + lr.lists[at]].tolist()
    rules = [_shown(program, (a >> 1) - 1) for a in acts if not a & 1]
    name = "the end of the text" if terminal == program.nt else program.grammar.terminals[terminal].name
    if any(a & 1 for a in acts):
        return f"on {name} the text may go on inside a rule or end {rules[0]}" if rules else f"conflict on {name}"
    return f"before {name} the text may be {' or '.join(rules[:2])}"


def _shown(program: Any, rule: int) -> str:
    lhs, rhs = program.lr.rules[rule]
    names = _names(program)

    def name(s: int) -> str:
        if s >= program.lr.nn:
            return program.grammar.terminals[s - program.lr.nn].name
        return names.get(s, f"rule {s}")     # rules added when empty alternatives were taken out have no name

    return f"<{' '.join(map(name, rhs))}>"


def _names(program: Any) -> dict[int, str]:
    """Names of the nonterminals of general tables, which number those left in order."""
    g = program.grammar
    n = len(g.nonterminals)
    empty = {n + x for x, q in enumerate(program.start[:program.nt]) if q >= 0 and program.end[q] == 1}
    _, rules = without_empty(n, [(r.lhs, r.rhs) for r in g.rules], nullable(g, empty))
    used = sorted({lhs for lhs, _ in _only_useful(rules, g.start, lambda s: s >= n)})
    return {i + 1: g.nonterminals[s] for i, s in enumerate(used) if s >= 0}


def _of_lexer(program: Any) -> Optional[str]:
    """What two guesses of the lexer could both be right, if any are found."""
    p = program
    n = p.nt
    ignored = list(range(p.nt, p.nx))
    have = p.lr.actions[:-1, :n] != 0
    ends = np.asarray(p.end) == 1
    # behind each terminal: the bytes that what follows may begin with
    follow = [0] * p.nx
    for x in range(n):
        behind = set(_bits(p.lr.after[x] & (1 << n) - 1)) | set(ignored)
        for y in behind:
            follow[x] |= p.first_classes[y]
    for x in ignored:
        for y in range(p.nx):
            follow[x] |= p.first_classes[y]
    together: set[tuple[int, int]] = set()
    for row in {tuple(np.flatnonzero(r).tolist()) for r in have}:
        some = [x for x in row if p.start[x] >= 0] + [x for x in ignored if p.start[x] >= 0]
        together.update((a, b) for i, a in enumerate(some) for b in some[i:])
    seen: set[tuple[int, int]] = set()
    for x, y in sorted(together):
        told = _clash(p, x, y, follow, ends, seen)
        if told:
            return told
    return None


def _clash(p: Any, x: int, y: int, follow: list[int], ends: np.ndarray, seen: set) -> Optional[str]:
    """Run two lexemes side by side over the same bytes."""
    name = [p.grammar.terminals[t if t < p.nt else p.ignored[t - p.nt]].name for t in (x, y)]
    start = int(p.start[x]), int(p.start[y])
    todo, done = [start], {start}
    while todo:
        a, b = todo.pop()
        moved = (a, b) != start
        if x != y and moved and ends[a] and ends[b]:
            return f"a text can be {name[0]} or {name[1]}"
        for k in range(p.ncls):
            s, t = int(p.trans[a, k]), int(p.trans[b, k])
            for u, v, first, state in ((x, y, a, t), (y, x, b, s)):
                # u ends before a byte that v reads; a shadow of an own longer match forbids it
                if moved and ends[first] and follow[u] >> k & 1 and state >= 0:
                    if u == v or start[0] == start[1]:
                        if p.shadow[first] and p.cut[first, k] != 0:
                            continue
                    one, other = name[0 if u == x else 1], name[0 if v == x else 1]
                    if u == v:
                        return f"what follows {one} may begin like more of {one}"
                    return f"where {one} may have ended, {other} may go on"
            if s >= 0 and t >= 0 and (s, t) not in done:
                done.add((s, t))
                todo.append((s, t))
    return None


def _bits(x: int) -> list[int]:
    out = []
    while x:
        low = x & -x
        out.append(low.bit_length() - 1)
        x ^= low
    return out
