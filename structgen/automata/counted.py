"""NFAs of expressions with large counted repeats, without a copy of what is repeated for each count.

``x{m,n}`` is n copies of x, one after another.  They differ by their number
only, so they are kept once, as a *block*: rows of edges (the *template*) and the two
bounds.  A state of copy k (from 0) is a number that no row belongs to,

    base + k * size + s,    s = 0: x has been read k + 1 times;  s > 0: inside x

and what follows it is worked out from row s of the template when it is asked for:
an edge of the template leads to the same copy; where s ends a copy (s = 0, or what is
left of x may be empty) the edges into x lead to the next one, as long as there is one,
and the edges behind the repeat, the row of state `exit`, are open from the m-th copy on.
``s = 0`` of the last copy is `exit` itself.  Kernels do the arithmetic
(``lexer_products``), so `NFAs <structgen.automata.nfa.ByteNFA>` stay what they were for
all others.

Repeats inside of a block are copied out; of nested repeats the one with the larger bound
is the block.  Look-around inside makes the whole expression copied out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Optional, Union

import numpy as np

from ..frontends.regex import parse_ecma, parse_python
from ..frontends.regex.ast import Alt, Cat, Look, Node, Repeat
from ..grammar.strings import Expr, Pattern
from .nfa import _DEAD, _EPS_U, Builder, ByteNFA, Edge, _Cont, atom_nfa, limit_error

__all__ = ["Block", "CountedNFA", "counted_nfa", "COUNT_FROM", "MAX_COUNTED"]

#: Upper bounds of repeats from which on copies are counted.
COUNT_FROM = 32
#: Most states, counted ones included.
MAX_COUNTED = 8_000_000


class Block(NamedTuple):
    """A counted repeat: see the module text.

    `rows` are the edges of the template by s, to s of the same copy; `first` those into
    a copy; `ends` says which s end it.
    """

    rows: "list[list[Edge]]"
    first: "list[Edge]"
    ends: "list[bool]"
    lo: int
    hi: int
    exit: int


class CountedNFA:
    """A byte NFA with counted repeats.

    Attributes
    ----------
    n : int
        Number of rows: plain states, then for each block its template and the edges into a copy.
    total : int
        States, counted ones included.
    start, src, dst, lo, hi, accept
        As in `ByteNFA`, over the rows; `dst` of a template counts within it, from its first row on.
    blocks : int32[b, 7]
        Of each block: base, end, size, copies, least copies, exit, first row of the template.
    ends : int32[]
        Rows of templates that end a copy.
    """

    def __init__(self, rows: "list[list[Edge]]", accept: "list[bool]", start: int, blocks: "list[tuple[int, ...]]",
                 ends: "list[int]"):
        plain = ByteNFA(rows, accept, [start], -1)
        self.n, self.start, self.src, self.dst = plain.n, plain.start, plain.src, plain.dst
        self.lo, self.hi, self.accept = plain.lo, plain.hi, plain.accept
        self.blocks = np.array(blocks, np.int32)
        self.total = int(self.blocks[-1, 1])
        self.ends = np.array(ends, np.int32)


class _Counting(Builder):
    """A builder that makes blocks of large counted repeats."""

    def __init__(self, name: str, limit: int):
        super().__init__(name, limit)
        self.blocks: list[Block] = []
        self.place: dict[int, tuple[int, int]] = {}         # states of first copies -> (block, s)
        self.within = False

    def repeat(self, node: Repeat, cont: _Cont) -> tuple:
        hi = node.hi
        if not self.within and hi is not None and hi >= COUNT_FROM and cont.alive \
                and not (cont.guarded or cont.ends) and _largest(node.item) <= hi:
            found = self.block(node, cont)
            if found is not None:
                return found
        return super().repeat(node, cont)

    def block(self, node: Repeat, cont: _Cont) -> Optional[tuple]:
        """The block of a repeat, entered; None where it has to be copied out."""
        hold = _Cont([], False)
        hold.state = end = self.new(hold)
        hold.edges = [(-1, -1, end)]                # stands for what follows a copy
        loops, loose = self.loops, self.loose
        self.within = True
        edges, guarded, empty = self.enter(node.item, hold)
        self.within = False
        self.loops, self.loose = loops, loose
        if guarded or not edges or not isinstance(empty, bool) or any(e[0] < 0 for e in edges):
            return None
        number, order = {end: 0}, [end]
        rows: list[list[Edge]] = [[]]
        ends = [True]
        for row in [edges]:
            self._number(row, number, order)
        done = 1
        while done < len(order):
            state = self.states[order[done]]
            if order[done] < end or state.guarded or state.ends or state.accept:
                return None
            row, is_end = self._closed(order[done], end)
            self._number(row, number, order)
            rows.append(row)
            ends.append(is_end)
            done += 1
        exit = self.state(_Cont(list(cont.edges), cont.accept)) if cont.state is None else cont.state
        if exit in self.place:
            exit = self.new(_Cont(list(cont.edges), cont.accept))
        if exit == _DEAD:
            return None
        hi = node.hi or 0
        lo = hi if _EPS_U in cont.edges else 0 if empty else node.lo
        size = len(order)
        at = len(self.blocks)
        self.blocks.append(Block([[(a, b, number[dst]) for a, b, dst in row] for row in rows],
                                 [(a, b, number[dst]) for a, b, dst in edges], ends, lo, hi, exit))
        total = sum(b.hi * len(b.rows) for b in self.blocks)
        if total > MAX_COUNTED:
            raise limit_error(self.name, MAX_COUNTED)
        for state, s in number.items():
            self.place[state] = at, s
            self.states[state].edges = []           # their rows are the block's
        return edges, (), size > 0 and lo == 0

    @staticmethod
    def _number(row: "list[Edge]", number: "dict[int, int]", order: "list[int]") -> None:
        for _, _, dst in row:
            if dst not in number:
                number[dst] = len(order)
                order.append(dst)

    def _closed(self, state: int, end: int) -> "tuple[list[Edge], bool]":
        """The edges of a state without epsilon edges, and whether one of those led to `end`."""
        out: dict[Edge, None] = {}
        seen, stack, ends = {state}, [state], False
        while stack:
            for edge in self.states[stack.pop()].edges:
                if edge[0] >= 0:
                    out[edge] = None
                elif edge[2] == end:
                    ends = True
                elif edge[2] not in seen:
                    seen.add(edge[2])
                    stack.append(edge[2])
        return list(out), ends


def _largest(node: Node) -> int:
    """The largest upper bound of the repeats in a tree."""
    kind = type(node)
    if kind is Repeat:
        return max(node.hi or 0, _largest(node.item))
    if kind is Cat or kind is Alt:
        return max(map(_largest, node.items), default=0)
    return _largest(node.item) if kind is Look else 0


def _looks(node: Node) -> bool:
    kind = type(node)
    if kind is Cat or kind is Alt:
        return any(map(_looks, node.items))
    return kind is Look or kind is Repeat and _looks(node.item)


def _build(node: Node, search: bool, name: str, limit: int) -> Optional[CountedNFA]:
    """The NFA of a tree; None where it has no blocks, or takes what they cannot do."""
    builder = _Counting(name, limit)
    first = builder.first(node, search)
    if not builder.blocks:
        return None
    if search:
        first = builder.searched(first)
    start = builder.initial(first, True)
    if start == _DEAD or builder.loose:
        return None
    builder.close()
    if any([cont.guarded or cont.ends for cont in builder.states]):
        return None
    return _layout(builder, start)


def _layout(builder: _Counting, start: int) -> CountedNFA:
    """Number what can be reached from the start."""
    states, place = builder.states, builder.place
    number: dict[int, int] = {}
    order: list[int] = []
    blocks: dict[int, int] = {}

    def meet(state: int) -> None:
        while state in place:
            at = place[state][0]
            if at in blocks:
                return
            blocks[at] = len(blocks)
            state = builder.blocks[at].exit
        if state not in number:
            number[state] = len(order)
            order.append(state)

    meet(start)
    for state in order:
        for _, _, dst in states[state].edges:
            meet(dst)
    rows_before = len(order)
    records, first_rows, bases = [], [], []
    for at in blocks:
        first_rows.append(rows_before)
        rows_before += len(builder.blocks[at].rows) + 1
    base = rows_before
    for at, row in zip(blocks, first_rows):
        block = builder.blocks[at]
        bases.append(base)
        size = len(block.rows)
        end = base + block.hi * size
        records.append((base, end, size, block.hi, block.lo, number[block.exit], row))
        base = end

    def named(state: int) -> int:
        if state in place:
            at, s = place[state]
            return bases[blocks[at]] + s
        return number[state]

    rows = [[(lo, hi, named(dst)) for lo, hi, dst in states[state].edges] for state in order]
    accept = [states[state].accept for state in order]
    ends = []
    for at, row in zip(blocks, first_rows):
        block = builder.blocks[at]
        ends += [row + s for s, yes in enumerate(block.ends) if yes]
        rows += [[(lo, hi, row + s) for lo, hi, s in edges] for edges in [*block.rows, block.first]]
        accept += [False] * (len(block.rows) + 1)
    return CountedNFA(rows, accept, named(start), records, ends)


@lru_cache(maxsize=4096)
def counted_nfa(atom: Pattern) -> Union[ByteNFA, CountedNFA]:
    """As `atom_nfa`, with blocks where the expression has large counted repeats.

    Examples
    --------
    >>> nfa = counted_nfa(Pattern("python", "(?:ab|c){50000,100000}"))
    >>> nfa.n, nfa.total
    (5, 200005)
    """
    kind, source = atom
    if isinstance(source, Expr) or kind not in ("ecma", "python") or "{" not in source:
        return atom_nfa(atom)
    tree = parse_ecma(source) if kind == "ecma" else parse_python(source)
    if _largest(tree) >= COUNT_FROM and not _looks(tree):
        found = _build(tree, kind == "ecma", f"the pattern {atom.shown}", 200_000)
        if found is not None:
            return found
    return atom_nfa(atom)
