"""Automata of terminals: one end or every end of a lexeme.

A Python regular expression, matched as ``re.match`` does, ends at *one* place,
which backtracking order decides.  Its automaton is determinised over *ordered*
sets of NFA states, and what stands behind a match in that order is cut off.  So
a state accepts where the text so far would be the match if nothing that is
preferred matches later on, and the match is the last accepting place before
the run dies.  That is ordinary longest match, over an automaton that already
knows about lazy repeats and the order of alternatives.

Automata are minimal, trimmed and cached by expression.  Costs: 20-40 us a
state, literals 10 us.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Optional

import numpy as np

from ..errors import GrammarError, LimitError
from ..grammar.cfg import Match
from ..grammar.strings import StrLang
from .utf8 import NODES, utf8_class

__all__ = ["Automaton", "match_automaton", "lang_automaton", "MAX_STATES"]

#: Most states of the automaton of one terminal.
MAX_STATES = 20_000
#: Most NFA nodes of one terminal.
MAX_NODES = 200_000


@dataclass(frozen=True, eq=False)
class Automaton:
    """A complete trimmed DFA over bytes; state 0 is the start.

    Attributes
    ----------
    trans : int32[n, 256]
        The next state, or -1.
    end : bool[n]
        May the terminal end here?
    """

    trans: np.ndarray
    end: np.ndarray

    @property
    def n(self) -> int:
        """Number of states; 0 for the empty language."""
        return len(self.end)


#: automata of at most so many states are made without arrays
_FEW = 64
#: characters outside ASCII that are letters of ASCII in another case (a test looks at all of Unicode)
_CASED = "\u0130\u0131\u017f\u212a"
_EMPTY = Automaton(np.zeros((0, 256), np.int32), np.zeros(0, bool))


def _literal(data: bytes) -> Automaton:
    n = len(data) + 1
    trans = np.full((n, 256), -1, np.int32)
    trans[np.arange(n - 1), np.frombuffer(data, np.uint8)] = np.arange(1, n)
    end = np.zeros(n, bool)
    end[-1] = True
    return Automaton(trans, end)


def _any_case(text: str, flags: int) -> Automaton:
    """The automaton of an ASCII text whose letters match in any case, as `re` has it."""
    rows, end = [np.full(256, -1, np.int32)], 0
    for letter in text:
        spellings = [c.encode() for c in {letter.lower(), letter.upper()}]
        if letter in "iIkKsS":
            pattern = re.compile(letter, flags)
            spellings += [c.encode() for c in _CASED if pattern.match(c)]
        after: dict[bytes, int] = {b"": end}
        fresh = len(rows)
        # one path for each spelling, as a trie; all of them end in the next state
        for spelled in sorted(spellings):
            for i in range(1, len(spelled)):
                if spelled[:i] not in after:
                    after[spelled[:i]] = fresh
                    rows.append(np.full(256, -1, np.int32))
                    rows[after[spelled[:i - 1]]][spelled[i - 1]] = fresh
                    fresh += 1
        rows.append(np.full(256, -1, np.int32))
        for spelled in spellings:
            rows[after[spelled[:-1]]][spelled[-1]] = fresh
        end = fresh
    ends = np.zeros(len(rows), bool)
    ends[end] = True
    return Automaton(np.array(rows), ends)


class _Nodes:
    """The NFA of one expression with ordered empty moves.

    A node is a tuple of edges ``(lo, hi, target)``, a list of targets in order
    of preference, or None: the match.
    """

    def __init__(self, name: str):
        self.name = name
        self.nodes: list[Any] = [None]
        self.suffixes: dict[tuple[int, int], int] = {}

    def new(self, node: Any) -> int:
        if len(self.nodes) >= MAX_NODES:
            raise LimitError(f"the automaton of {self.name} needs more than {MAX_NODES} nodes",
                             place=self.name, limit=MAX_NODES, hint="use smaller counted repeats")
        self.nodes.append(node)
        return len(self.nodes) - 1

    def suffix(self, tree: int, after: int) -> int:
        key = (tree, after)
        at = self.suffixes.get(key)
        if at is None:
            edges = tuple([(lo, hi, after if child < 0 else self.suffix(child, after))
                           for lo, hi, child in NODES[tree]])
            at = self.suffixes[key] = self.new(edges)
        return at

    def enter(self, node: Any, after: int) -> int:
        """The node from which `node` is matched, then `after`."""
        from ..frontends.regex.ast import Alt, Cat, Chars, Repeat

        kind = type(node)
        if kind is Chars:
            return self.new(tuple([(lo, hi, after if child < 0 else self.suffix(child, after))
                                   for lo, hi, child in utf8_class(node.ranges)]))
        if kind is Cat:
            for item in reversed(node.items):
                after = self.enter(item, after)
            return after
        if kind is Alt:
            return self.new([self.enter(item, after) for item in node.items])
        if kind is Repeat:
            lazy = getattr(node, "lazy", False)
            lo, hi = node.lo, node.hi
            if hi is None:
                loop = self.new([])
                body = self.enter(node.item, loop)
                self.nodes[loop] = [after, body] if lazy else [body, after]
                at = loop
            else:
                at = after
                for _ in range(hi - lo):
                    body = self.enter(node.item, at)
                    at = self.new([after, body] if lazy else [body, after])
            for _ in range(lo):
                at = self.enter(node.item, at)
            return at
        raise GrammarError(f"the terminal {self.name} uses look-around or an anchor, which this engine has no "
                           "automaton for", hint="say what follows in a rule instead")

    def closure(self, targets: tuple[int, ...]) -> tuple[tuple[int, ...], bool]:
        """Nodes with edges in order of preference, up to the first match; is there one?"""
        seen: set[int] = set()
        out: list[int] = []
        stack = list(reversed(targets))
        nodes = self.nodes
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            node = nodes[at]
            if node is None:
                return tuple(out), True
            if type(node) is tuple:
                out.append(at)
            else:
                stack.extend(reversed(node))
        return tuple(out), False


def _determinise(nfa: _Nodes, start: int) -> Automaton:
    states: dict[tuple, int] = {}
    order: list[tuple] = []
    moves: dict[tuple[int, ...], int] = {}

    def state(targets: tuple[int, ...]) -> int:
        q = moves.get(targets)
        if q is None:
            key = nfa.closure(targets)
            q = states.get(key)
            if q is None:
                if len(order) >= MAX_STATES:
                    raise LimitError(f"the automaton of {nfa.name} needs more than {MAX_STATES} states",
                                     place=nfa.name, limit=MAX_STATES, hint="simplify the expression")
                q = states[key] = len(order)
                order.append(key)
            moves[targets] = q
        return q

    state((start,))
    rows: list[list[tuple[int, int, int]]] = []
    at = 0
    while at < len(order):
        row = []
        edges = [e for node in order[at][0] for e in nfa.nodes[node]]
        cuts = sorted({b for lo, hi, _ in edges for b in (lo, hi + 1)})
        place = {b: i for i, b in enumerate(cuts)}
        lists: list[list[int]] = [[] for _ in cuts]
        for lo, hi, target in edges:
            for i in range(place[lo], place[hi + 1]):
                lists[i].append(target)
        for i, targets in enumerate(lists):
            if targets:
                row.append((cuts[i], cuts[i + 1], state(tuple(dict.fromkeys(targets)))))
        rows.append(row)
        at += 1
    # one column for each class of bytes that no state tells apart by where its edges begin
    cuts = sorted({0, 256, *[b for row in rows for lo, stop, _ in row for b in (lo, stop)]})
    place = {b: i for i, b in enumerate(cuts)}
    narrow = []
    for row in rows:
        out = [-1] * (len(cuts) - 1)
        for lo, stop, t in row:
            out[place[lo]:place[stop]] = [t] * (place[stop] - place[lo])
        narrow.append(out)
    widths, end = np.diff(cuts), [accepts for _, accepts in order]
    if len(rows) <= _FEW:
        narrow, end = _small(narrow, end)
        return Automaton(np.repeat(np.array(narrow, np.int32), widths, 1), np.array(end)) if end else _EMPTY
    return _trim(np.repeat(np.array(narrow, np.int32), widths, 1), np.array(end))


def _small(rows: list[list[int]], end: list[bool]) -> tuple[list[list[int]], list[bool]]:
    """`_trim` without arrays, which is quicker for few states; nothing for the empty language."""
    into: list[list[int]] = [[] for _ in rows]
    for q, row in enumerate(rows):
        for t in set(row):
            if t >= 0:
                into[t].append(q)
    todo = [q for q, accepts in enumerate(end) if accepts]
    alive = set(todo)
    for t in todo:
        for q in into[t]:
            if q not in alive:
                alive.add(q)
                todo.append(q)
    if 0 not in alive:
        return [], []
    rows = [[t if t in alive else -1 for t in row] for row in rows]
    live, block, count = sorted(alive), [int(accepts) for accepts in end] + [-1], 0
    while True:
        keys: dict[tuple, int] = {}
        new = {q: keys.setdefault((block[q], *[block[t] for t in rows[q]]), len(keys)) for q in live}
        for q, b in new.items():
            block[q] = b
        if len(keys) == count:
            break
        count = len(keys)
    # a state of each block, in the order in which the start reaches them
    number, first = {block[0]: 0}, [0]
    for q in first:
        for t in rows[q]:
            if t >= 0 and block[t] not in number:
                number[block[t]] = len(first)
                first.append(t)
    return ([[number[block[t]] if t >= 0 else -1 for t in rows[q]] for q in first], [end[q] for q in first])


def _trim(trans: np.ndarray, end: np.ndarray) -> Automaton:
    """Without states that cannot accept, minimal, state 0 first."""
    alive = end.copy()
    while True:
        more = alive | (alive[trans] & (trans >= 0)).any(1)
        if (more == alive).all():
            break
        alive = more
    if not alive.size or not alive[0]:
        return _EMPTY
    trans = np.where((trans >= 0) & alive[trans], trans, -1)
    # equal columns by weighted sums, which is many times faster than comparing them
    sums = ((trans + 2) * np.random.default_rng(7).integers(1, 2**61, len(trans), dtype=np.int64)[:, None]).sum(0)
    _, where = np.unique(sums, return_inverse=True)
    where = where.reshape(-1)
    reps = np.zeros(int(where.max()) + 1, np.int64)
    reps[where] = np.arange(256)
    narrow = trans[:, reps]
    block = np.where(alive, end.astype(np.int64) + 1, 0)
    count = np.unique(block).size
    weights = np.random.default_rng(1).integers(-2**62, 2**62, narrow.shape[1] + 1, dtype=np.int64)
    while True:
        after = np.where(narrow >= 0, block[narrow], 0)
        keys = (after * weights[:-1]).sum(1) + block * weights[-1]
        _, block = np.unique(np.where(alive, keys, 0), return_inverse=True)
        block = block.reshape(-1).astype(np.int64) + 1
        block[~alive] = 0
        now = np.unique(block).size
        if now == count:
            break
        count = now
    # number the blocks in the order in which the start reaches them
    first: dict[int, int] = {}
    for q, b in enumerate(block.tolist()):
        if b and b not in first:
            first[b] = q
    number, todo = {int(block[0]): 0}, [0]
    for q in todo:
        for t in dict.fromkeys(narrow[q].tolist()):
            if t >= 0 and int(block[t]) not in number:
                number[int(block[t])] = len(number)
                todo.append(first[int(block[t])])
    renumber = np.full(int(block.max()) + 1, -1, np.int32)
    for b, i in number.items():
        renumber[b] = i
    keep = np.array(todo)
    out = trans[keep]
    return Automaton(np.where(out >= 0, renumber[block[out]], -1).astype(np.int32), end[keep])


@lru_cache(maxsize=4096)
def match_automaton(match: Match, name: str = "the terminal") -> Automaton:
    """The automaton of what ``re.match`` would match; see the module's text.

    Examples
    --------
    >>> a = match_automaton(Match("a|ab"))
    >>> a.n, a.end.tolist()
    (2, [False, True])
    """
    if match.literal is not None and not match.flags and match.source == re.escape(match.literal):
        return _literal(match.literal.encode())
    if match.literal is not None and match.literal.isascii() and not match.flags & ~re.ASCII \
            and match.source == f"(?i:{re.escape(match.literal)})":
        return _any_case(match.literal, match.flags | re.IGNORECASE)
    nfa = _Nodes(name)
    start = nfa.enter(match.tree(), 0)
    return _determinise(nfa, start)


@lru_cache(maxsize=1024)
def lang_automaton(lang: StrLang, name: str = "the terminal") -> Automaton:
    """The automaton of a regular language of plain text; every accepted end counts."""
    from .lexer import LX_DEAD, Lexer

    lexer = Lexer()
    start = lexer.add_text(lang)
    if start == LX_DEAD:
        return _EMPTY
    number, order, rows = {start: 0}, [start], []
    for q in order:
        row = lexer.row(q)
        out = []
        for t in row:
            if t >= 0 and t not in number:
                if len(order) >= MAX_STATES:
                    raise LimitError(f"the automaton of {name} needs more than {MAX_STATES} states", place=name,
                                     limit=MAX_STATES, hint="simplify the expression")
                number[t] = len(order)
                order.append(t)
            out.append(number[t] if t >= 0 else -1)
        rows.append(out)
    return _trim(np.array(rows, np.int32), np.array([lexer.label(q) >= 0 for q in order], bool))


def automaton_of(terminal: Any, name: Optional[str] = None) -> Automaton:
    """The automaton of a terminal with a language or an expression."""
    if terminal.match is not None:
        return match_automaton(terminal.match, name or terminal.name)
    return lang_automaton(terminal.lang, name or terminal.name)
