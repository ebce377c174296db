"""Terminals with look-around: where ``re.match`` ends when the text on both sides counts.

The run of an expression is a list of *entries* in order of preference: a place
in the expression that goes on reading, or a match, each with the look-aheads
it has passed and that the text behind it must still meet (*obligations*, states
of automata of their own).  A match without obligations is certain and cuts off
what is behind it.  So the match is the first entry that turns out to be one,
which may be known only after more text.

The machine (``cfg_threads.py``) guesses that a lexeme ends here, and lets a
*shadow* run along that refutes the guess.  For a plain terminal the shadow is
the automaton itself; here it is the list with today's matches marked: settled
when the first entry is a certain marked match, refuted when it is any other or
none is left.  The end of the text, too, may settle or refute it.

Look-behind is answered by automata that have read the text from its beginning.
Most see no further than the lexeme itself; those that do (``crossing``) make
the start of a terminal depend on the *history*, a few states that every lexeme
passes on at its end (:class:`History`).

A :class:`Watcher` is such a list automaton, determinised and minimal; plain
automata are turned into one where terminals compete with others that look
around (:mod:`.races`).  Costs: 50-100 us a state.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Iterable, NamedTuple, Optional, Union

import numpy as np

from ..errors import GrammarError, LimitError, RegexError
from ..frontends.regex.ast import Alt, Begin, Cat, Chars, End, Look, Node, Repeat
from ..frontends.regex.classes import ANY
from ..grammar.cfg import Match
from .lookaround import MAX_DFA, _check_behind, _rows, determinize
from .nfa import build_nfa, limit_error
from .terminals import MAX_STATES, Automaton, _Nodes, _trim
from .utf8 import NODES, utf8_class

__all__ = ["Watcher", "History", "looks_around", "watch", "watch_plain", "refine", "OPEN", "HIT", "MISS"]

#: what a list says: nothing yet, the match is the marked one, it is another one
OPEN, HIT, MISS = 0, 1, 2
# matches as entries: at this place, at an earlier or later one, at the marked place
_NOW, _ELSE, _MARK = -1, -2, -3
# what an obligation comes to, in place of a state
_NEVER, _MET = -1, -2
_NONE: frozenset = frozenset()


class _Ahead(NamedTuple):
    body: "_Body | _CharBody"
    negative: bool
    after: int


class _Behind(NamedTuple):
    table: int
    negative: bool
    after: int


class _Table:
    """A DFA that reads a text from its beginning; `key` tells equal ones."""

    def __init__(self, rows: "list[list[tuple[int, int, int]]]", accept: "list[bool]", key: Any):
        self.rows, self.accept, self.key = rows, accept, key

    def step(self, state: int, byte: int) -> int:
        for lo, hi, to in self.rows[state]:
            if lo <= byte <= hi:
                return to
        return -1


_BEGIN = _Table([[(0, 255, 1)], [(0, 255, 1)]], [True, False], "begin")


@lru_cache(maxsize=1)
def _every() -> _Table:
    """Valid UTF-8; state 0 is between characters."""
    nfa = _rows(build_nfa(Repeat(ANY, 0, None)))
    return _Table(nfa.rows, [i == 0 for i in range(len(nfa.rows))], "utf-8")


def looks_around(match: Match) -> bool:
    """Does the expression look at the text outside of what it reads, or use an anchor?"""
    return match.literal is None and _looks(match)


@lru_cache(maxsize=4096)
def _looks(match: Match) -> bool:
    if not any(x in match.source for x in ("(?", "\\b", "\\B", "^", "$", "\\A", "\\Z")):
        return False
    stack: list[Node] = [match.tree()]
    while stack:
        node = stack.pop()
        if isinstance(node, (Look, Begin, End)):
            return True
        if isinstance(node, (Cat, Alt)):
            stack.extend(node.items)
        elif isinstance(node, Repeat):
            stack.append(node.item)
    return False


class _Expression(_Nodes):
    """The NFA of an expression; look-arounds are nodes of it."""

    def __init__(self, name: str):
        super().__init__(name)
        self.tables: list[_Table] = []
        self._made: dict[Any, int] = {}

    def enter(self, node: Any, after: int) -> int:
        if type(node) is Look:
            if node.ahead:
                return self.new(_Ahead(self.body(node.item), node.negative, after))
            return self.new(_Behind(self.behind(node.item), node.negative, after))
        if type(node) is Begin:
            return self.new(_Behind(self.table(_BEGIN), False, after))
        if type(node) is End:
            return self.new(_Ahead(self.body(None), False, after))
        return super().enter(node, after)

    def body(self, item: Optional[Node]) -> "_Body | _CharBody":
        if isinstance(item, Chars):
            return _char_body(item.ranges)
        found = self._made.get(("body", id(item)))
        if found is None:
            found = self._made["body", id(item)] = _Body(self, item)
            found.compile(item)
        return found

    def table(self, table: _Table) -> int:
        found = self._made.get(table.key)
        if found is None:
            found = self._made[table.key] = len(self.tables)
            self.tables.append(table)
        return found

    def behind(self, item: Node) -> int:
        try:
            _check_behind(item, self.name)
            return self.table(_behind_table(item, self.name))
        except RegexError as err:
            raise GrammarError(f"the terminal {self.name}: {err.message}") from None

    # ---------------------------------------------------------- entries
    def prepare(self) -> None:
        """Which tables may still be asked from each node, as bit sets."""
        n = len(self.nodes)
        asks = [0] * n
        into: list[list[int]] = [[] for _ in range(n)]
        for i, node in enumerate(self.nodes):
            if node is None:
                continue
            if type(node) is _Ahead:
                targets = [node.after, node.body.first]
            elif type(node) is _Behind:
                targets = [node.after]
                asks[i] |= 1 << node.table
            elif type(node) is tuple:
                targets = [to for _, _, to in node]
            else:
                targets = node
            for to in targets:
                if to >= 0:
                    into[to].append(i)
        todo = [i for i in range(n) if asks[i]]
        while todo:
            i = todo.pop()
            for j in into[i]:
                if asks[j] | asks[i] != asks[j]:
                    asks[j] |= asks[i]
                    todo.append(j)
        self.asks = asks

    def closure(self, targets: "list[tuple[int, frozenset]]", history: tuple, final: int) -> "list":
        """The entries reached, in order, up to the first certain match (at the node `final`)."""
        seen: dict[int, list[frozenset]] = {}
        out: list[tuple[int, frozenset]] = []
        stack = targets[::-1]
        while stack:
            at, owed = stack.pop()
            known = seen.setdefault(at, [])
            if any(k <= owed for k in known):
                continue
            known.append(owed)
            if at < 0 or at == final:
                out.append((at if at < 0 else _NOW, owed))
                if not owed:
                    break
                continue
            node = self.nodes[at]
            if type(node) is tuple:
                out.append((at, owed))
            elif type(node) is list:
                stack.extend([(to, owed) for to in reversed(node)])
            elif type(node) is _Ahead:
                state = node.body.start(history)
                if state < 0:
                    if (state == _MET) != node.negative:
                        stack.append((node.after, owed))
                else:
                    stack.append((node.after, owed | {(node.body, node.negative, state)}))
            else:
                at_table = history[node.table]
                if (at_table >= 0 and self.tables[node.table].accept[at_table]) != node.negative:
                    stack.append((node.after, owed))
        return out

    def cuts(self, entries: Any, history: tuple) -> "list[int]":
        """Bytes at which what happens next changes."""
        points = {0, 256}
        for at, owed in entries:
            if at >= 0:
                for lo, hi, _ in self.nodes[at]:
                    points.add(lo)
                    points.add(hi + 1)
            for body, _, state in owed:
                points.update(body.points(state))
        for table, state in zip(self.tables, history):
            if state >= 0:
                for lo, hi, _ in table.rows[state]:
                    points.add(lo)
                    points.add(hi + 1)
        return sorted(points)

    def targets(self, entries: Any, byte: int, now: int) -> "list[tuple[int, frozenset]]":
        """What to take the closure of after a byte; matches of this place become `now`."""
        out = []
        for at, owed in entries:
            owed = owed_after(owed, byte)
            if owed is None:
                continue
            if at < 0:
                out.append((now if at == _NOW else at, owed))
                continue
            for lo, hi, to in self.nodes[at]:
                if lo <= byte <= hi:
                    out.append((to, owed))
        return out

    def history_after(self, history: tuple, byte: int) -> tuple:
        return tuple([s if s < 0 else table.step(s, byte) for table, s in zip(self.tables, history)])

    def masked(self, history: tuple, entries: Any) -> tuple:
        """The history without what cannot be asked any more."""
        if not history:
            return history
        asked = 0
        for at, _ in entries:
            if at >= 0:
                asked |= self.asks[at]
        return tuple([s if asked >> i & 1 else -1 for i, s in enumerate(history)])


def owed_after(owed: frozenset, byte: int) -> Optional[frozenset]:
    """Obligations after a byte; None when one can't be met any more."""
    if not owed:
        return owed
    out = []
    for body, negative, state in owed:
        to = body.step(state, byte)
        if to >= 0:
            out.append((body, negative, to))
        elif (to == _MET) == negative:
            return None
    return frozenset(out)


def owed_at_end(owed: frozenset) -> bool:
    """Are all obligations met when the text ends?"""
    return all(body.at_end(state) != negative for body, negative, state in owed)


class _CharBody:
    """A look-ahead at one character of a class; shared by all that ask for it."""

    first = -1

    def __init__(self, ranges: Any):
        self.edges = utf8_class(ranges)

    def start(self, history: tuple) -> int:
        return 0 if self.edges else _NEVER

    def _edges(self, state: int) -> Any:
        return self.edges if state == 0 else NODES[state - 1]

    def points(self, state: int) -> "list[int]":
        return [b for lo, hi, _ in self._edges(state) for b in (lo, hi + 1)]

    def step(self, state: int, byte: int) -> int:
        for lo, hi, child in self._edges(state):
            if lo <= byte <= hi:
                return _MET if child < 0 else child + 1
        return _NEVER

    def at_end(self, state: int) -> bool:
        return False


@lru_cache(maxsize=512)
def _char_body(ranges: Any) -> _CharBody:
    return _CharBody(ranges)


class _Body:
    """What a look-ahead asks for, as an automaton over the text that follows: states, or how it ended."""

    def __init__(self, owner: _Expression, item: Optional[Node]):
        self.owner = owner
        self.number: dict[tuple, int] = {}
        self.states: list[tuple] = []
        self.rows: dict[int, tuple[list[int], list[int]]] = {}
        self.nothing = item is None           # "nothing follows"
        self.first = -1
        self._starts: dict[tuple, int] = {}

    def compile(self, item: Optional[Node]) -> None:
        if item is not None:
            self.final = self.owner.new(())
            self.first = self.owner.enter(item, self.final)

    def intern(self, entries: list, history: tuple) -> int:
        if entries and entries[-1][0] < 0 and not entries[-1][1]:
            return _MET
        if not entries:
            return _NEVER
        key = (frozenset(entries), self.owner.masked(history, entries))
        found = self.number.get(key)
        if found is None:
            if len(self.states) >= MAX_STATES:
                raise _too_large(self.owner.name)
            found = self.number[key] = len(self.states)
            self.states.append(key)
        return found

    def start(self, history: tuple) -> int:
        if self.nothing:
            return 0
        found = self._starts.get(history)
        if found is None:
            entries = self.owner.closure([(self.first, _NONE)], history, self.final)
            found = self._starts[history] = self.intern(entries, history)
        return found

    def row(self, state: int) -> "tuple[list[int], list[int]]":
        found = self.rows.get(state)
        if found is None:
            if self.nothing:
                found = [0], [_NEVER]
            else:
                entries, history = self.states[state]
                cuts = self.owner.cuts(entries, history)[:-1]
                found = cuts, [self._step(entries, history, b) for b in cuts]
            self.rows[state] = found
        return found

    def _step(self, entries: Any, history: tuple, byte: int) -> int:
        owner = self.owner
        history = owner.history_after(history, byte)
        return self.intern(owner.closure(owner.targets(entries, byte, _NOW), history, self.final), history)

    def points(self, state: int) -> "list[int]":
        return self.row(state)[0]

    def step(self, state: int, byte: int) -> int:
        cuts, to = self.row(state)
        i = len(cuts) - 1
        while cuts[i] > byte:
            i -= 1
        return to[i]

    def at_end(self, state: int) -> bool:
        if self.nothing:
            return True
        return any(at < 0 and owed_at_end(owed) for at, owed in self.states[state][0])


def _too_large(name: str) -> LimitError:
    return LimitError(f"the automaton of {name} needs more than {MAX_STATES} states", place=name, limit=MAX_STATES,
                      hint="simplify the expression, its look-around first")


def _behind_table(item: Node, name: str) -> _Table:
    """A DFA of the texts that end with `item`."""
    return _char_table(item.ranges) if isinstance(item, Chars) else _make_table(item, name)


@lru_cache(maxsize=512)
def _char_table(ranges: Any) -> _Table:
    return _make_table(Chars(ranges), "a look-behind")


def _make_table(item: Node, name: str) -> _Table:
    nfa = build_nfa(Cat((Repeat(ANY, 0, None), item)), name=name)
    if nfa.n == 0:
        every = _every()
        return _Table(every.rows, [False] * len(every.rows), ("never",))
    found = determinize(_rows(nfa), frozenset((0,)), MAX_DFA)
    if found is None:
        raise limit_error(name, MAX_DFA, "states for a look-behind")
    rows, subsets = found
    final = nfa.accept.tolist()
    accept = [any(final[s] for s in subset) for subset in subsets]
    return _Table(rows, accept, (tuple(map(tuple, rows)), tuple(accept)))


def tail_after(entries: tuple, byte: int) -> "tuple | str | None":
    """The list of matches `entries` (no place goes on reading) after a byte."""
    out: list = []
    for tag, owed in entries:
        owed = owed_after(owed, byte)
        if owed is None or any(t == tag and k <= owed for t, k in out):
            continue
        out.append((tag, owed))
        if not owed:
            break
    return tail_of(out)


def tail_of(entries: Any) -> "tuple | str | None":
    """A list of matches in normal form: "hit" or "miss" when it is decided, None when nothing is left."""
    if not entries:
        return None
    marks = [tag == _MARK for tag, _ in entries]
    if not entries[-1][1]:
        if not any(marks):
            return "miss"
        if all(marks) or entries[0] == (_MARK, _NONE):
            return "hit"
    return tuple(entries)


def tail_table(watchers: "Iterable[Optional[Watcher]]") -> "tuple[dict, np.ndarray]":
    """(number of each tail that the watchers' tails lead to, their moves: int32[n, 256], -1 for nothing left)."""
    known: dict[Any, int] = {}
    for w in watchers:
        for tail in () if w is None else w.tails:
            known.setdefault(tail, len(known))
    order, rows = list(known), []
    for tail in order:
        row = np.full(256, -1, np.int32)
        rows.append(row)
        if isinstance(tail, str):
            row[:] = known[tail]              # decided, which stays so while others still run
            continue
        cuts = sorted({0, 256, *[b for _, owed in tail for body, _, state in owed for b in body.points(state)]})
        for lo, hi in zip(cuts, cuts[1:]):
            after = tail_after(tail, lo)
            if after is None:
                continue
            if after not in known:
                if len(order) >= MAX_STATES:
                    raise LimitError(f"the look-around of terminals needs more than {MAX_STATES} states",
                                     place="look-around", limit=MAX_STATES)
                known[after] = len(order)
                order.append(after)
            row[lo:hi] = known[after]
    return known, np.array(rows, np.int32).reshape(-1, 256)


def tail_facts(tail: "tuple | str") -> "tuple[bool, int, int]":
    """(is there a match for certain, outcome, outcome at the end of the text)."""
    if isinstance(tail, str):
        what = HIT if tail == "hit" else MISS
        return True, what, what
    for tag, owed in tail:
        if owed_at_end(owed):
            return not tail[-1][1], OPEN, HIT if tag == _MARK else MISS
    return False, OPEN, OPEN


class Watcher:
    """A list automaton; see the module's text.

    A number below -1 stands for ``tails[-2 - number]``: a list in which no place
    goes on reading.  Those are the same for many terminals, and `Races` keeps them.

    Attributes
    ----------
    trans : int32[n, 256]
        The next state, or -1 where no entry is left: no match, now or later.
    here, sure : bool[n]
        May the lexeme end here?  Is it certain that there is a match somewhere?
    outcome, final : int8[n]
        OPEN, HIT or MISS (or, at the end of the text, OPEN for no match at all), for marked lists.
    split, blur : int32[n]
        The same list with the matches of this place marked, and with them as any other; -1 where there is none.
    starts : dict of tuple to int
        Where a lexeme starts, by the states of `tables`.
    tables : tuple
        Automata of look-behinds that may see the text before the lexeme.
    lexeme : int
        States below this one are states of lexemes, the others are marked lists.
    """

    def __init__(self, trans: np.ndarray, here: np.ndarray, sure: np.ndarray, outcome: np.ndarray, final: np.ndarray,
                 split: np.ndarray, blur: np.ndarray, starts: "dict[tuple, int]", tables: "tuple[_Table, ...]",
                 lexeme: int, tails: "list[tuple | str]"):
        self.trans, self.here, self.sure, self.outcome, self.final = trans, here, sure, outcome, final
        self.split, self.blur, self.starts, self.tables = split, blur, starts, tables
        self.lexeme, self.tails = lexeme, tails

    @property
    def n(self) -> int:
        """Number of states; 0 if nothing can match."""
        return len(self.here) if self.here.any() else 0


def watch_plain(a: Automaton, longest: bool = True) -> Watcher:
    """The list automaton of a terminal that does not look around; every end counts unless `longest`."""
    n = a.n
    miss, hit = -2, -3
    trans = np.full((3 * n, 256), -1, np.int32)
    t = a.trans
    ends = (t >= 0) & a.end[t]
    trans[:n] = t
    trans[n:2 * n] = np.where(t < 0, hit, np.where(ends, miss, t + n))
    trans[2 * n:] = np.where(t < 0, -1, np.where(ends, miss, t + 2 * n))
    here, sure = np.zeros(3 * n, bool), np.zeros(3 * n, bool)
    here[:n] = sure[:n] = a.end
    sure[n:2 * n] = True
    outcome, final = np.zeros(3 * n, np.int8), np.zeros(3 * n, np.int8)
    final[n:2 * n] = HIT
    marked = np.where((t < 0).all(1) | (not longest), hit, np.arange(n) + n)
    split, blur = np.full(3 * n, -1, np.int32), np.full(3 * n, -1, np.int32)
    split[:n] = np.where(a.end, marked, -1)
    blur[:n] = np.where(a.end, miss, np.arange(n) + 2 * n)
    return Watcher(trans, here, sure, outcome, final, split, blur, {(): 0}, (), n, ["miss", "hit"])


@lru_cache(maxsize=2048)
def watch(match: Match, name: str = "the terminal") -> Union[Watcher, Automaton]:
    """The list automaton of an expression; a plain automaton if it needs to see nothing of the text around it.

    Examples
    --------
    >>> type(watch(Match(r"if\\b"))).__name__, type(watch(Match(r'".*?(?<!x)"'))).__name__
    ('Watcher', 'Automaton')
    """
    x = _Expression(name)
    first = x.enter(match.tree(), 0)
    x.prepare()
    number: dict[tuple, int] = {}
    order: list[tuple] = []
    tails: dict[Any, int] = {}
    certain = True

    def state(entries: list, history: tuple, marked: bool) -> int:
        """The number of a list; -1 if it is empty."""
        if not entries:
            return -1
        sure = entries[-1][0] < 0 and not entries[-1][1]
        if all(at < _NOW for at, _ in entries) or marked and sure and not any(at == _MARK for at, _ in entries) or \
                marked and entries[0] == (_MARK, _NONE):
            tail = tail_of([e for e in entries if e[0] < 0])
            return -2 - tails.setdefault(tail, len(tails))
        key = (tuple(entries), x.masked(history, entries), marked)
        found = number.get(key)
        if found is None:
            if len(order) >= MAX_STATES:
                raise _too_large(name)
            found = number[key] = len(order)
            order.append(key)
        return found

    starts = {history: state(x.closure([(first, _NONE)], history, 0), history, False)
              for history in _boundaries(tuple(x.tables))}
    rows: list[np.ndarray] = []
    facts: list[tuple] = []
    done = 0
    while done < len(order):
        key = order[done]
        done += 1
        row = np.full(256, -1, np.int32)
        entries, history, marked = key
        cuts = x.cuts(entries, history)
        for lo, hi in zip(cuts, cuts[1:]):
            after = x.history_after(history, lo)
            reached = x.closure(x.targets(entries, lo, _ELSE), after, 0)
            if marked:
                reached = [(_ELSE if at == _NOW else at, owed) for at, owed in reached]
            row[lo:hi] = state(reached, after, marked)
        rows.append(row)
        here = any(at == _NOW for at, _ in entries)
        sure = entries[-1][0] < 0 and not entries[-1][1]
        final = OPEN
        for at, owed in entries:
            if at < 0 and owed_at_end(owed):
                final = HIT if at == _MARK else MISS
                break
        split = blur = -1
        if not marked:
            blur = state([(_ELSE if at == _NOW else at, owed) for at, owed in entries], history, True)
            if here:
                split = state([(_MARK if at == _NOW else at, owed) for at, owed in entries], history, True)
            certain = certain and all(not owed for at, owed in entries if at < 0)
        facts.append((here, sure, OPEN, final, split, blur))
    if not order:
        return Automaton(np.zeros((0, 256), np.int32), np.zeros(0, bool))
    made = _minimal(np.array(rows), facts, [not key[2] for key in order], starts, tuple(x.tables), list(tails))
    if len(set(made.starts.values())) == 1:              # it sees no further than itself
        made.starts, made.tables = {(): next(iter(made.starts.values()))}, ()
    if certain and not made.tables:
        n = made.lexeme
        start = made.starts[()]
        if start < 0:
            return Automaton(np.zeros((0, 256), np.int32), np.zeros(0, bool))
        swap = np.arange(n)
        swap[0], swap[start] = start, 0
        trans = made.trans[:n][swap]
        return _trim(np.where(trans >= 0, swap[np.maximum(trans, 0)], -1).astype(np.int32), made.here[:n][swap])
    return made


@lru_cache(maxsize=256)
def _boundaries(tables: "tuple[_Table, ...]") -> "list[tuple]":
    """The states that tables may be in between two characters, the beginning first."""
    return [key[1:] for key in _product(tables)[0] if key[0] == 0]


def _product(tables: Any) -> "tuple[list[tuple], dict]":
    """Reachable states of valid UTF-8 and the tables side by side, and their moves by first byte."""
    every = _every()
    all_tables = [every, *tables]
    order = [(0,) * len(all_tables)]
    seen = {order[0]}
    moves: dict[tuple, list[tuple[int, int, tuple]]] = {}
    for key in order:
        points = {0, 256}
        for table, s in zip(all_tables, key):
            if s >= 0:
                for lo, hi, _ in table.rows[s]:
                    points.update((lo, hi + 1))
        cuts = sorted(points)
        row = moves[key] = []
        for lo, hi in zip(cuts, cuts[1:]):
            if every.step(key[0], lo) < 0:
                continue
            to = tuple([table.step(s, lo) if s >= 0 else -1 for table, s in zip(all_tables, key)])
            row.append((lo, hi, to))
            if to not in seen:
                if len(order) >= MAX_DFA:
                    raise LimitError("look-behind that sees the text before its terminal needs more than "
                                     f"{MAX_DFA} states", place="look-behind", limit=MAX_DFA)
                seen.add(to)
                order.append(to)
    return order, moves


def refine(trans: np.ndarray, facts: np.ndarray, links: np.ndarray) -> np.ndarray:
    """Classes of states that no text tells apart: `facts` and what `trans` and `links` lead to."""
    _, block = np.unique(facts, axis=0, return_inverse=True)
    block = block.reshape(-1).astype(np.int64) + 1
    if not len(trans):
        return block
    _, reps = np.unique(trans, axis=1, return_index=True)
    narrow = np.concatenate([trans[:, reps], links], axis=1)
    weights = np.random.default_rng(1).integers(-2**62, 2**62, narrow.shape[1] + 1, dtype=np.int64)
    count = int(block.max())
    while True:
        after = np.where(narrow >= 0, block[np.maximum(narrow, 0)], narrow)
        keys = (after * weights[:-1]).sum(1) + block * weights[-1]
        _, new = np.unique(keys, return_inverse=True)
        block = new.reshape(-1).astype(np.int64) + 1
        if int(block.max()) == count:
            return block - 1
        count = int(block.max())


def _minimal(trans: np.ndarray, facts: "list[tuple]", lexeme: "list[bool]", starts: "dict[tuple, int]",
             tables: tuple, tails: list) -> Watcher:
    """The smallest equal automaton, lexeme states first."""
    table = np.array([f[:4] for f in facts], np.int64)
    links = np.array([f[4:] for f in facts], np.int64)
    is_lexeme = np.array(lexeme)
    block = refine(trans, np.concatenate([table, is_lexeme[:, None]], axis=1), links)
    _, first = np.unique(block, return_index=True)
    keep = first[np.argsort(~is_lexeme[first], kind="stable")]
    number = np.zeros(len(first), np.int32)
    number[block[keep]] = np.arange(len(keep))

    def moved(x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, number[block[np.maximum(x, 0)]], x).astype(np.int32)

    kept = table[keep]
    return Watcher(moved(trans[keep]), kept[:, 0].astype(bool), kept[:, 1].astype(bool), kept[:, 2].astype(np.int8),
                   kept[:, 3].astype(np.int8), moved(links[keep, 0]), moved(links[keep, 1]),
                   {key: int(number[block[s]]) if s >= 0 else -1 for key, s in starts.items()}, tables,
                   int(is_lexeme[keep].sum()), tails)


class History:
    """What lexemes must know of the text before them: classes of texts, 0 for the empty one.

    Attributes
    ----------
    tables : tuple
        The look-behinds of all terminals that see beyond their lexeme.
    n : int
        Number of classes between characters.
    """

    def __init__(self, watchers: "list[Watcher]"):
        tables = {t.key: t for w in watchers for t in w.tables}
        self.tables = tuple(tables.values())
        self._at = {key: i for i, key in enumerate(tables)}
        order, moves = _product(self.tables)
        number = {key: i for i, key in enumerate(order)}
        trans = np.full((len(order), 256), -1, np.int32)
        for key, row in moves.items():
            for lo, hi, to in row:
                trans[number[key], lo:hi] = number[to]
        # only what watchers tell apart counts
        facts = [[key[0], *([w.starts.get(self._own(w, key), -1) for w in watchers] if key[0] == 0 else
                            [0] * len(watchers))] for key in order]
        block = refine(trans, np.array(facts, np.int64), np.zeros((len(order), 0), np.int64))
        _, first = np.unique(block, return_index=True)
        #: class -> a state of the product; the empty text's class is the first
        between = [int(i) for i in first if order[i][0] == 0]
        between.sort(key=lambda i: (block[i] != block[0], i))
        rank = {int(block[i]): j for j, i in enumerate(between)}
        self.n = len(between)
        self._keys = [order[i] for i in between]
        #: minimal states: moves and, between characters, the class
        reps = first
        self.trans = np.where(trans[reps] >= 0, block[trans[reps]], -1).astype(np.int32)
        self.of = np.array([rank.get(int(block[i]), -1) if order[i][0] == 0 else -1 for i in reps], np.int32)
        self.state = [int(block[i]) for i in between]

    def _own(self, w: Watcher, key: tuple) -> tuple:
        return tuple([key[1 + self._at[t.key]] for t in w.tables])

    def start(self, w: Watcher, h: int) -> int:
        """Where a watcher starts after a text of class `h`."""
        return w.starts[()] if not w.tables else w.starts.get(self._own(w, self._keys[h]), -1)
