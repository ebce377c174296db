"""Look-around, compiled away: products of an automaton with what its guards demand.

:mod:`.nfa` leaves edges and ends guarded by look-arounds.  Here a state of the
result is a configuration of

- a state of the pattern's own automaton;
- the *obligations* that look-aheads passed on the way put on the rest of the
  string: states of automata of their own (for a negative look-ahead, of the
  complement).  An obligation met whatever follows is dropped, one that cannot
  be met ends the path;
- one state for each look-behind that may still be asked: a DFA that has read
  the string from its beginning and knows whether the look-behind holds now.

Look-behind inside look-ahead is handled by starting the obligation with the
look-behind states of the place.  Every automaton is determinised when that is
cheap; a negative look-ahead and a look-behind must be.  All sizes are bounded;
beyond, :class:`~structgen.errors.LimitError`.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from ..errors import RegexError
from ..frontends.regex.ast import Alt, Cat, End, Look, Node, Repeat
from ..frontends.regex.classes import ANY
from .nfa import Builder, ByteNFA, Edge, Guards, build_nfa, layout, limit_error

__all__ = ["Rows", "complement", "determinize", "resolve"]

MAX_DFA = 10_000                        # states of a DFA that must be built
CHEAP_DFA = 200                         # states of a DFA that is only nice to have
MAX_PRODUCT = 60_000                    # configurations


class Rows(NamedTuple):
    """An automaton as lists: edges out of each state, which accept, where it starts, universal state or -1."""

    rows: "list[list[Edge]]"
    accept: list[bool]
    start: int
    universal: int


def determinize(nfa: Rows, starts: frozenset, limit: int) -> "Optional[tuple[list[list[Edge]], list[frozenset]]]":
    """The reachable part of the subset automaton, from `starts`: its rows and subsets; None beyond `limit` states."""
    ids = {starts: 0}
    order = [starts]
    rows: list[list[Edge]] = []
    for subset in order:
        edges = [e for state in subset for e in nfa.rows[state]]
        row: list[Edge] = []
        cuts = sorted({lo for lo, _, _ in edges} | {hi + 1 for _, hi, _ in edges})
        for lo, after in zip(cuts, cuts[1:]):
            target = frozenset([dst for a, b, dst in edges if a <= lo <= b])
            if not target:
                continue
            if nfa.universal in target:                 # nothing else matters then
                target = frozenset((nfa.universal,))
            state = ids.get(target)
            if state is None:
                if len(order) >= limit:
                    return None
                state = ids[target] = len(order)
                order.append(target)
            if row and row[-1][2] == state and row[-1][1] == lo - 1:
                row[-1] = (row[-1][0], after - 1, state)
            else:
                row.append((lo, after - 1, state))
        rows.append(row)
    return rows, order


def _rows(nfa: ByteNFA) -> Rows:
    return Rows(nfa.rows(), nfa.accept.tolist(), 0, nfa.universal)


def complement(nfa: ByteNFA, limit: int) -> Optional[Rows]:
    """A trimmed DFA of the valid UTF-8 strings that `nfa` does not accept; None beyond `limit` states."""
    every = _rows(build_nfa(Repeat(ANY, 0, None)))      # its state 0 is "between characters"
    if nfa.n == 0:
        return every
    # Run the universal automaton beside: it says which bytes are valid and where characters end.
    shift = len(every.rows)
    both = Rows(every.rows + [[(lo, hi, dst + shift) for lo, hi, dst in row] for row in nfa.rows()], [], 0,
                nfa.universal + shift if nfa.universal >= 0 else -1)
    found = determinize(both, frozenset((0, shift)), limit)
    if found is None:
        return None
    rows, subsets = found
    final = {shift + i for i, accepted in enumerate(nfa.accept.tolist()) if accepted}
    accept = [0 in subset and not (subset & final) for subset in subsets]
    back: dict[int, list[int]] = {}
    for state, row in enumerate(rows):
        for _, _, dst in row:
            back.setdefault(dst, []).append(state)
    stack = [state for state, accepted in enumerate(accept) if accepted]
    alive = set(stack)
    while stack:
        for state in back.get(stack.pop(), ()):
            if state not in alive:
                alive.add(state)
                stack.append(state)
    if 0 not in alive:
        return Rows([], [], 0, -1)
    only = frozenset((0,))                              # the pattern can no longer match
    return Rows([[e for e in row if e[2] in alive] for row in rows], accept, 0,
                subsets.index(only) if only in subsets else -1)


def _cheap(nfa: ByteNFA) -> Rows:
    """`nfa` determinised if that is cheap, else as it is."""
    rows = _rows(nfa)
    found = determinize(rows, frozenset((0,)), CHEAP_DFA) if nfa.n else None
    if found is None:
        return rows
    table, subsets = found
    only = frozenset((nfa.universal,))
    return Rows(table, [any(rows.accept[s] for s in subset) for subset in subsets], 0,
                subsets.index(only) if nfa.universal >= 0 and only in subsets else -1)


def _behinds(node: Node) -> "list[Look]":
    """The look-behinds in a tree, not those inside of look-behinds."""
    out: list[Look] = []
    stack = [node]
    while stack:
        at = stack.pop()
        if isinstance(at, (Cat, Alt)):
            stack.extend(at.items)
        elif isinstance(at, Repeat):
            stack.append(at.item)
        elif isinstance(at, Look):
            if at.ahead:
                stack.append(at.item)
            else:
                out.append(at)
    return out


def _check_behind(node: Node, name: str) -> None:
    stack = [node]
    while stack:
        at = stack.pop()
        if isinstance(at, End) or (isinstance(at, Look) and at.ahead):
            raise RegexError(f"{'$' if isinstance(at, End) else 'look-ahead'} inside look-behind is not supported in "
                             f"{name}")
        if isinstance(at, (Cat, Alt)):
            stack.extend(at.items)
        elif isinstance(at, (Repeat, Look)):
            stack.append(at.item)


class _Behind:
    """The look-behinds of a whole pattern as DFAs that read from the beginning of the string."""

    def __init__(self, nodes: "list[Look]", name: str):
        self.index: dict[int, int] = {}
        self.tables: list[Rows] = []
        same: dict[tuple, int] = {}
        for node in nodes:
            if id(node) in self.index:
                continue
            key = node.item.ranges if hasattr(node.item, "ranges") else id(node.item)
            if key not in same:
                same[key] = len(self.tables)
                _check_behind(node.item, name)
                nfa = build_nfa(Cat((Repeat(ANY, 0, None), node.item)), name=name)
                if nfa.n == 0:
                    nfa = build_nfa(Repeat(ANY, 0, None))
                    table = _rows(nfa)._replace(accept=[False] * nfa.n)
                else:
                    found = determinize(_rows(nfa), frozenset((0,)), MAX_DFA)
                    if found is None:
                        raise limit_error(name, MAX_DFA, "states for a look-behind")
                    final = nfa.accept.tolist()
                    table = Rows(found[0], [any(final[s] for s in subset) for subset in found[1]], 0, -1)
                self.tables.append(table)
            self.index[id(node)] = same[key]

    def holds(self, look: Look, states: tuple) -> bool:
        at = self.index[id(look)]
        return self.tables[at].accept[states[at]] != look.negative


def resolve(builder: Builder, start: int, tree: Node) -> ByteNFA:
    """The product that meets every guard; `tree` is what `builder` compiled, `start` its initial state."""
    behind = _Behind(_behinds(tree), builder.name)
    rows = _Product(builder, behind, {}).run(start, (0,) * len(behind.tables), True)
    return layout(rows.rows, rows.accept, rows.start, rows.universal, True) if rows.rows else ByteNFA([], [], [], -1)


class _Product:
    """Explores the configurations of one compiled tree."""

    def __init__(self, builder: Builder, behind: _Behind, shared: dict):
        self.builder = builder
        self.behind = behind
        self.shared = shared                            # obligations by (look, place): automata
        self.automata: list[Rows] = []
        self.numbers: dict[tuple, int] = {}
        self.asks = self._asking()

    def _asking(self) -> list[bool]:
        """Which states may still ask a look-behind."""
        states, looks = self.builder.states, self.builder.looks
        if not self.behind.tables:
            return [False] * len(states)
        direct = [bool(not look.ahead or _behinds(look.item)) for look in looks]
        asks = [any(direct[i] for guards, _ in cont.guarded for i in guards if i >= 0)
                or any(direct[i] for guards in cont.ends for i in guards if i >= 0) for cont in states]
        back: dict[int, list[int]] = {}
        for state, cont in enumerate(states):
            for _, _, dst in cont.edges:
                back.setdefault(dst, []).append(state)
            for _, (_, _, dst) in cont.guarded:
                back.setdefault(dst, []).append(state)
        stack = [state for state, ask in enumerate(asks) if ask]
        while stack:
            for state in back.get(stack.pop(), ()):
                if not asks[state]:
                    asks[state] = True
                    stack.append(state)
        return asks

    def obligation(self, index: int, behind: Optional[tuple], begin: bool) -> int:
        """The number of the automaton that look-ahead `index` demands of the rest of the string here."""
        look = self.builder.looks[index]
        if not _behinds(look.item):
            behind = None
        key = (index, behind, begin)
        number = self.numbers.get(key)
        if number is None:
            inner = Builder(self.builder.name, self.builder.limit)
            first = inner.initial(inner.first(look.item, True), begin)
            if first < 0:
                nfa = ByteNFA([], [], [], -1)
            else:
                inner.close()
                if inner.looks:
                    rows = _Product(inner, self.behind, {}).run(first, behind, begin)
                else:
                    rows = Rows([cont.edges for cont in inner.states], [cont.accept for cont in inner.states], first,
                                inner.universal)
                nfa = layout(rows.rows, rows.accept, rows.start, rows.universal, True) if rows.rows else \
                    ByteNFA([], [], [], -1)
            if look.negative:
                automaton = complement(nfa, MAX_DFA)
                if automaton is None:
                    raise limit_error(self.builder.name, MAX_DFA, "states for a negative look-ahead")
            else:
                automaton = _cheap(nfa)
            number = self.numbers[key] = len(self.automata)
            self.automata.append(automaton)
        return number

    def spawn(self, guards: Guards, behind: Optional[tuple], begin: bool) -> Optional[frozenset]:
        """The obligations that `guards` add here; None when one fails at once."""
        out = set()
        for index in guards:
            look = self.builder.looks[index]
            if not look.ahead:
                if not self.behind.holds(look, behind):
                    return None
                continue
            number = self.obligation(index, behind, begin)
            automaton = self.automata[number]
            if not automaton.rows:
                return None
            if automaton.start != automaton.universal:
                out.add((number, automaton.start))
        return frozenset(out)

    def run(self, start: int, behind: Optional[tuple], begin: bool) -> Rows:
        """All configurations from `start`."""
        builder, tables = self.builder, self.behind.tables
        states = builder.states
        if not self.asks[start]:
            behind = None
        first = (start, frozenset(), behind, begin)
        ids = {first: 0}
        order = [first]
        rows: list[list[Edge]] = []
        accept: list[bool] = []
        for state, owed, behind, begin in order:
            cont = states[state]
            row: dict[Edge, None] = {}
            accept.append(self.may_end(cont, owed, behind, begin))
            groups: dict[Guards, list[Edge]] = {frozenset(): cont.edges} if cont.edges else {}
            for guards, edge in cont.guarded:
                groups.setdefault(guards, []).append(edge)
            for guards, edges in groups.items():
                more = self.spawn(guards, behind, begin)
                if more is None:
                    continue
                for lo, hi, dst in edges:
                    parts = [(lo, hi, ())]
                    for number, at in owed | more:
                        automaton = self.automata[number]
                        parts = [(max(lo, a), min(hi, b),
                                  rest if to == automaton.universal else rest + ((number, to),))
                                 for lo, hi, rest in parts for a, b, to in automaton.rows[at] if a <= hi and lo <= b]
                    follow: list = [(lo, hi, rest, ()) for lo, hi, rest in parts]
                    if behind is not None and self.asks[dst]:
                        for at, table in zip(behind, tables):
                            follow = [(max(lo, a), min(hi, b), rest, seen + (to,)) for lo, hi, rest, seen in follow
                                      for a, b, to in table.rows[at] if a <= hi and lo <= b]
                    else:
                        follow = [(lo, hi, rest, None) for lo, hi, rest, _ in follow]
                    for lo, hi, rest, seen in follow:
                        config = (dst, frozenset(rest), seen, False)
                        to = ids.get(config)
                        if to is None:
                            if len(order) >= MAX_PRODUCT:
                                raise limit_error(builder.name, MAX_PRODUCT, "states with its look-around")
                            to = ids[config] = len(order)
                            order.append(config)
                        row[lo, hi, to] = None
            rows.append(list(row))
        universal = ids.get((builder.universal, frozenset(), None, False), -1)
        return Rows(rows, accept, 0, universal)

    def may_end(self, cont, owed: frozenset, behind: Optional[tuple], begin: bool) -> bool:
        if not all(self.automata[number].accept[at] for number, at in owed):
            return False
        if cont.accept:
            return True
        for guards in cont.ends:
            more = self.spawn(guards, behind, begin)
            if more is not None and all(self.automata[number].accept[at] for number, at in more):
                return True
        return False
