"""Byte NFAs of regular expressions.

An expression is compiled from right to left.  What follows a place is a
*continuation*: the edges that may be taken there and whether the string may
end.  A continuation becomes a state only when some character leads to it, so
alternatives share what follows them, and there are no epsilon edges except to
loops under construction, which are closed at the end.  A repeat ``x{m,n}``
costs n copies of x, nested as ``x(x(x)?)?``: linear in n.

Zero-width conditions (``^``, ``$``, look-around) travel as *guards* on the
edges and ends they protect.  ``$`` keeps only ends, ``^`` survives only in the
initial state; what is left are look-arounds, resolved by :mod:`.lookaround`.

The tail of an unanchored search is one state U with a loop over all of UTF-8;
a continuation that may go on to U unconditionally *is* U.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import Optional

import numpy as np

from ..errors import LimitError, RegexError
from ..frontends.regex import parse_ecma, parse_python
from ..frontends.regex.ast import Alt, Begin, Cat, Chars, End, Look, Node, Repeat
from ..frontends.regex.classes import ALL
from ..grammar.strings import Expr, Pattern
from .utf8 import NODES, utf8_class

__all__ = ["ByteNFA", "atom_nfa", "build_nfa", "MAX_STATES"]

MAX_STATES = 200_000
MAX_EDGES = 2_000_000
MAX_GUARDS = 256

Edge = tuple[int, int, int]
Guards = frozenset                      # of look-around numbers (>= 0), _BEGIN and _END
_BEGIN, _END = -1, -2
_DEAD = -1                              # as a state: nothing follows
_EPS_U: Edge = (-1, -1, -1)             # edges with lo == -1 are epsilon edges; this one goes to U
_ANY = Chars(ALL)


class ByteNFA:
    """An epsilon-free NFA over the UTF-8 bytes of whole strings.

    Every state is reachable and can reach acceptance; ``n == 0`` is the empty
    language.  Only valid UTF-8 is accepted.

    Attributes
    ----------
    n : int
        Number of states.
    start : int32[]
        Initial states.
    src, dst : int32[m]
        Edges, sorted by `src`.
    lo, hi : uint8[m]
        The inclusive byte range of each edge.
    accept : bool[n]
    universal : int
        A state after which every continuation is accepted, or -1.

    Examples
    --------
    >>> nfa = atom_nfa(Pattern("python", "ab?"))
    >>> nfa.matches("a"), nfa.matches("b")
    (True, False)
    """

    __slots__ = ("n", "start", "src", "dst", "lo", "hi", "accept", "universal")

    def __init__(self, rows: "list[list[Edge]]", accept: list[bool], start: list[int], universal: int,
                 number: Optional[list[int]] = None):
        self.n = len(rows)
        self.start = np.array(start, np.int32)
        counts = [len(row) for row in rows]
        flat = chain.from_iterable(chain.from_iterable(rows))
        columns = np.fromiter(flat, np.int32, 3 * sum(counts)).reshape(-1, 3)
        self.src = np.repeat(np.arange(self.n, dtype=np.int32), counts)
        self.lo = columns[:, 0].astype(np.uint8)
        self.hi = columns[:, 1].astype(np.uint8)
        dst = columns[:, 2]
        self.dst = np.ascontiguousarray(dst) if number is None else np.array(number, np.int32)[dst]
        self.accept = np.array(accept, np.bool_)
        self.universal = universal

    def rows(self) -> "list[list[Edge]]":
        """The edges out of each state as lists."""
        out: list[list[Edge]] = [[] for _ in range(self.n)]
        for src, lo, hi, dst in zip(self.src.tolist(), self.lo.tolist(), self.hi.tolist(), self.dst.tolist()):
            out[src].append((lo, hi, dst))
        return out

    def matches(self, text: "str | bytes") -> bool:
        """Whether the whole of `text` is in the language, by simulation (slow, for tests and tools)."""
        now = set(self.start.tolist())
        rows = self.rows()
        for byte in text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text:
            now = {dst for state in now for lo, hi, dst in rows[state] if lo <= byte <= hi}
        return any(self.accept[state] for state in now)


class _Cont:
    """What may follow a place: edges, whether the string may end; and both under guards.

    An unguarded `_EPS_U` among the edges means that anything may follow; then `accept` is true.
    """

    __slots__ = ("edges", "accept", "guarded", "ends", "state")

    def __init__(self, edges: list, accept: bool, guarded: tuple = (), ends: tuple = ()):
        self.edges = edges
        self.accept = accept
        self.guarded = guarded                      # ((guards, edge), ...)
        self.ends = ends                            # (guards, ...)
        self.state: Optional[int] = None

    @property
    def alive(self) -> bool:
        return bool(self.edges or self.accept or self.guarded or self.ends)

    def inside(self) -> "_Cont":
        """This, where at least one character has been read."""
        if not (self.guarded or self.ends):
            return self
        return _Cont(self.edges, self.accept, tuple([x for x in self.guarded if _BEGIN not in x[0]]),
                     tuple([x for x in self.ends if _BEGIN not in x]))


# The result of entering a node: its own first edges, those under guards, and when it may match the
# empty string: never (False), always (True), or under one of several sets of guards (a tuple).
_NOTHING: tuple = ([], (), False)


class Builder:
    """Compiles one tree; `states` holds a continuation for each state."""

    def __init__(self, name: str, limit: int):
        self.name = name
        self.limit = limit
        self.states: list[_Cont] = []
        self.looks: list[Look] = []
        self.universal = -1
        self.size = 0                               # edges so far
        self.loops = False
        self.loose = False                          # may there be unproductive states?
        self._look_ids: dict[int, int] = {}
        self._same: dict[tuple, int] = {}
        self._suffixes: dict[tuple[int, int], int] = {}

    # -- states ------------------------------------------------------------

    def new(self, cont: _Cont) -> int:
        if len(self.states) >= self.limit:
            raise limit_error(self.name, self.limit)
        self.count(cont)
        self.states.append(cont)
        return len(self.states) - 1

    def shared(self, cont: _Cont) -> int:
        """A state for `cont`: an old one where one does the same, so that common endings are shared."""
        if cont.guarded or cont.ends:
            return self.new(cont)
        key = (cont.accept, tuple(cont.edges))
        state = self._same.get(key)
        if state is None:
            state = self._same[key] = self.new(cont)
        return state

    def count(self, cont: _Cont) -> None:
        self.size += len(cont.edges) + len(cont.guarded)
        if self.size > MAX_EDGES:
            raise limit_error(self.name, MAX_EDGES, "edges")

    def state(self, cont: _Cont) -> int:
        """The state of a continuation that characters lead to."""
        if _EPS_U in cont.edges:
            state = self.universal_state()
        elif cont.guarded or cont.ends:
            here = cont.inside()
            state = self.shared(here) if here.alive else _DEAD
        else:
            state = self.shared(cont) if cont.edges or cont.accept else _DEAD
        cont.state = state
        return state

    def universal_state(self) -> int:
        if self.universal < 0:
            cont = _Cont([], True)
            cont.state = self.universal = self.new(cont)
            cont.edges = self.enter(_ANY, cont)[0]
        return self.universal

    def suffix(self, node: int, target: int) -> int:
        """The state inside a character: UTF-8 tree node `node`, then `target`."""
        key = (node, target)
        state = self._suffixes.get(key)
        if state is None:
            edges = [(lo, hi, target if child < 0 else self.suffix(child, target)) for lo, hi, child in NODES[node]]
            state = self._suffixes[key] = self.new(_Cont(edges, False))
        return state

    # -- the tree, from right to left ---------------------------------------

    def enter(self, node: Node, cont: _Cont) -> tuple:
        """Enter `node` with `cont` after it; `cont`'s own edges are not in the result."""
        kind = type(node)
        if kind is Chars:
            target = cont.state
            if target is None:
                target = self.state(cont)
            if target == _DEAD:
                return _NOTHING
            utf8 = node.utf8
            if utf8 is None:
                utf8 = node.utf8 = utf8_class(node.ranges)
            if len(utf8) == 1 and utf8[0][2] < 0:
                lo, hi, _ = utf8[0]
                return [(lo, hi, target)], (), False
            return [(lo, hi, target if child < 0 else self.suffix(child, target)) for lo, hi, child in utf8], (), False
        if kind is Cat:
            return self.cat(node.items, cont)
        if kind is Repeat:
            return self.repeat(node, cont)
        if kind is Alt:
            edges, guarded, eps = [], (), False
            for item in node.items:
                more, more_guarded, more_eps = self.enter(item, cont)
                edges = edges + more
                guarded += more_guarded
                eps = _either(eps, more_eps)
            return edges, guarded, eps
        if kind is Begin:
            return [], (), _AT_BEGIN
        if kind is End:
            return [], (), _AT_END
        index = self._look_ids.setdefault(id(node), len(self.looks))
        if index == len(self.looks):
            self.looks.append(node)
        return [], (), (frozenset((index,)),)

    def cat(self, items, cont: _Cont) -> tuple:
        if not items:
            return [], (), True
        result = self.enter(items[-1], cont)
        for i in range(len(items) - 2, -1, -1):
            cont = _Cont(result[0], False, result[1]) if result[2] is False else self.joined(result, cont)
            more = self.enter(items[i], cont)
            result = more if more[2] is False else self.prepend(more, result)
        return result

    def repeat(self, node: Repeat, cont: _Cont) -> tuple:
        item, lo, hi = node.item, node.lo, node.hi
        if hi is None and type(item) is Chars and item.ranges == ALL and cont.accept and not cont.edges:
            cont = _Cont([_EPS_U], True)            # any string may follow
            if lo == 0:
                return [_EPS_U], (), True
        if _EPS_U in cont.edges:                    # x{m,n} before anything is x{m} before anything
            hi = lo
        if hi == 0:
            return [], (), True
        first = self.loop(item, cont) if hi is None else self.enter(item, cont)
        if first[2] is True:
            lo = 0                                  # x{m,n} = x{0,n} without the empty string in x
        result = first
        if not (first[0] or first[1]):              # matches nothing but, perhaps, the empty string
            return [], (), True if lo == 0 else first[2]
        if hi is not None:
            after = cont
            for _ in range(hi - max(lo, 1)):
                cont = self.joined((result[0], result[1], True), after)
                more = self.enter(item, cont)
                result = (more[0], more[1], first[2])
        if lo == 0:
            return result[0], result[1], True
        for _ in range(lo - 1):
            cont = self.joined(result, cont)
            result = self.prepend(self.enter(item, cont), result)
        return result

    def loop(self, item: Node, cont: _Cont) -> tuple:
        """One or more of `item`."""
        self.loops = True
        loop = _Cont([], False)
        loop.state = state = self.new(loop)
        loop.edges = [(-1, -1, state)]              # stands for what is not yet known
        result = self.enter(item, loop)
        full = self.joined((result[0], result[1], True), cont).inside()
        loop.edges, loop.accept, loop.guarded, loop.ends = full.edges, full.accept, full.guarded, full.ends
        self.count(loop)
        self.loose |= not cont.alive
        return result

    # -- what follows what ---------------------------------------------------

    def joined(self, result: tuple, cont: _Cont) -> _Cont:
        """The continuation made of an entered node and what follows it."""
        edges, guarded, eps = result
        if eps is False:
            return _Cont(edges, False, guarded)
        if eps is True:
            return _Cont(edges + cont.edges, cont.accept, guarded + cont.guarded, cont.ends)
        accept, ends = False, []
        for guards in eps:
            for more in (frozenset(),) + cont.ends if cont.accept else cont.ends:
                both = (guards | more) - {_END}
                accept |= not both
                ends.append(both)
        return _Cont(edges, accept, guarded + self.under(eps, cont.edges, cont.guarded),
                     () if accept else tuple(dict.fromkeys(ends)))

    def prepend(self, result: tuple, rest: tuple) -> tuple:
        """Enter a sequence whose first item gave `result` and whose others gave `rest`."""
        edges, guarded, eps = result
        if eps is False:
            return result
        if eps is True:
            return edges + rest[0], guarded + rest[1], rest[2]
        return edges, guarded + self.under(eps, rest[0], rest[1]), self.both(eps, rest[2])

    def under(self, eps: tuple, edges: list, guarded: tuple) -> tuple:
        """The edges under each of the guard sets in `eps`; after ``$`` only epsilons remain."""
        out = []
        for guards in eps:
            for edge in edges:
                if edge is _EPS_U:
                    out.extend([(guards, e) for e in self.states[self.universal_state()].edges if _END not in guards])
                elif edge[0] < 0 or _END not in guards:
                    out.append((guards, edge))
            for more, edge in guarded:
                if edge[0] < 0 or _END not in guards:
                    out.append((guards | more, edge))
        return tuple(dict.fromkeys(out))

    def both(self, a: tuple, b) -> "bool | tuple":
        if b is True or b is False:
            return a if b else False
        out = tuple(dict.fromkeys([x | y for x in a for y in b]))
        if len(out) > MAX_GUARDS:
            raise limit_error(self.name, MAX_GUARDS, "combinations of look-around")
        return out

    # -- the whole ----------------------------------------------------------

    def first(self, node: Node, tail: bool) -> _Cont:
        """The continuation at the beginning of `node`, after which anything may follow if `tail`."""
        end = _Cont([_EPS_U] if tail else [], True)
        return self.joined(self.enter(node, end), end)

    def searched(self, first: _Cont) -> _Cont:
        """Let any characters come before `first`."""
        inside = first.inside()
        if not inside.alive or _EPS_U in first.edges:
            return first
        loop = _Cont([], inside.accept, inside.guarded, inside.ends)
        loop.state = self.new(loop)
        skip = self.enter(_ANY, loop)[0]
        loop.edges = inside.edges + skip
        if inside is first or (inside.guarded == first.guarded and inside.ends == first.ends):
            return loop
        return _Cont(loop.edges, first.accept, first.guarded, first.ends)

    def initial(self, first: _Cont, begin: bool) -> int:
        """The initial state; at the very beginning of the string if `begin`."""
        if begin and first.state is None and (first.guarded or first.ends):
            edges = first.edges + [e for guards, e in first.guarded if guards == _JUST_BEGIN]
            first = _Cont(edges, first.accept or _JUST_BEGIN in first.ends,
                          tuple([(guards - _JUST_BEGIN, e) for guards, e in first.guarded if guards != _JUST_BEGIN]),
                          tuple([guards - _JUST_BEGIN for guards in first.ends if guards != _JUST_BEGIN]))
        return self.state(first) if first.state is None else first.state

    def close(self) -> None:
        """Replace epsilon edges by what they lead to."""
        if not self.loops:
            return
        for cont in self.states:
            for edge in cont.edges:
                if edge[0] < 0:
                    self.close_one(cont)
                    break
            else:
                for _, edge in cont.guarded:
                    if edge[0] < 0:
                        self.close_one(cont)
                        break

    def close_one(self, cont: _Cont) -> None:
        none: Guards = frozenset()
        edges: dict[Edge, None] = {}
        guarded: dict[tuple[Guards, Edge], None] = {}
        ends: dict[Guards, None] = {}
        seen = {(none, id(cont))}
        stack = [(none, cont)]
        while stack:
            guards, at = stack.pop()
            if at.accept:
                ends[guards - {_END}] = None
            for more in at.ends:
                ends[(guards | more) - {_END}] = None
            for more, edge in [(none, e) for e in at.edges] + list(at.guarded):
                both = guards | more
                if edge[0] < 0:
                    key = (both, id(self.states[edge[2]]))
                    if key not in seen:
                        seen.add(key)
                        stack.append((both, self.states[edge[2]]))
                elif not both:
                    edges[edge] = None
                elif _END not in both:
                    guarded[both, edge] = None
        cont.edges, cont.accept = list(edges), none in ends
        cont.guarded = tuple(guarded)
        cont.ends = () if cont.accept else tuple(ends)


_AT_BEGIN = (frozenset((_BEGIN,)),)
_AT_END = (frozenset((_END,)),)
_JUST_BEGIN = frozenset((_BEGIN,))


def _either(a, b):
    if a is False or b is True:
        return b
    if b is False or a is True:
        return a
    return tuple(dict.fromkeys(a + b))


def limit_error(name: str, limit: int, what: str = "states") -> LimitError:
    return LimitError(f"the automaton of {name} needs more than {limit} {what}", place=name, limit=limit,
                      hint="use smaller counted repeats, or minLength and maxLength")


def layout(rows: "list[list[Edge]]", accept: list[bool], start: int, universal: int, trim: bool) -> ByteNFA:
    """Number the states reachable from `start`; with `trim` also drop those that cannot reach acceptance."""
    number = [-1] * len(rows)
    number[start] = 0
    order = [start]
    for state in order:
        for _, _, dst in rows[state]:
            if number[dst] < 0:
                number[dst] = len(order)
                order.append(dst)
    if trim:
        back: dict[int, list[int]] = {}
        for state in order:
            for _, _, dst in rows[state]:
                back.setdefault(dst, []).append(state)
        stack = [state for state in order if accept[state]]
        alive = set(stack)
        while stack:
            for state in back.get(stack.pop(), ()):
                if state not in alive:
                    alive.add(state)
                    stack.append(state)
        if start not in alive:
            return EMPTY_NFA
        if len(alive) < len(order):
            rows = [[e for e in row if e[2] in alive] for row in rows]
            return layout(rows, accept, start, universal, False)
    return ByteNFA([rows[state] for state in order], [accept[state] for state in order], [0],
                   number[universal] if universal >= 0 else -1, number)


EMPTY_NFA = ByteNFA([], [], [], -1)


def build_nfa(node: Node, *, search: bool = False, name: str = "the pattern", limit: int = MAX_STATES) -> ByteNFA:
    """The NFA of the strings that `node` matches as a whole, or in which it matches somewhere.

    Parameters
    ----------
    node : Node
        A syntax tree.
    search : bool
        Strings that contain a match instead of being one.
    name : str
        What to call the pattern in errors.
    limit : int
        Most states to build.

    Examples
    --------
    >>> from structgen.frontends.regex import parse_ecma
    >>> build_nfa(parse_ecma("b+$"), search=True).matches("abb")
    True
    """
    builder = Builder(name, limit)
    first = builder.first(node, search)
    if search:
        first = builder.searched(first)
    start = builder.initial(first, True)
    if start == _DEAD:
        return EMPTY_NFA
    builder.close()
    if builder.looks and any([cont.guarded or cont.ends for cont in builder.states]):
        from .lookaround import resolve

        return resolve(builder, start, node)
    states = builder.states
    return layout([cont.edges for cont in states], [cont.accept for cont in states], start, builder.universal,
                  builder.loose)


@lru_cache(maxsize=4096)
def atom_nfa(atom: Pattern) -> ByteNFA:
    """The NFA of a pattern atom, cached process-wide.

    Raises
    ------
    RegexError
        When the pattern cannot be read or uses something unsupported.
    LimitError
        When the automaton would be too large.

    Examples
    --------
    >>> atom_nfa(Pattern("ecma", "^a")).matches("abc")
    True
    """
    kind, source = atom
    if isinstance(source, Expr):
        from .regular import expr_nfa

        return expr_nfa(source)
    shown = atom.shown
    if kind == "ecma":
        return build_nfa(parse_ecma(source), search=True, name=f"the pattern {shown}")
    if kind == "python":
        return build_nfa(parse_python(source), name=f"the pattern {shown}")
    if kind == "format":
        from ..frontends.formats import format_tree

        return build_nfa(format_tree(source), name=f"the format {shown}")
    raise RegexError(f"an unknown kind of pattern {kind!r}", pattern=source)
