"""Byte NFAs of expressions over languages: concatenation, alternation, repetition, substrings.

An automaton under construction is a list of rows without a start state: `first`
are the edges into it, `null` says whether it has the empty string.  So loops
need no epsilon edges: what ends may go on with the first edges of what
follows.  Boolean combinations inside are products and complements of the
atoms' automata.  All sizes are bounded; beyond, ``LimitError``.

Substrings come from the suffix automaton of the symbols (Blumer et al. 1985):
at most two states a symbol, built in linear time; each edge is then spelled
out in bytes, symbols that begin alike sharing their beginnings.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from ..errors import LimitError
from ..frontends.regex.ast import Repeat
from ..frontends.regex.classes import ANY
from ..grammar.strings import Atom, Conj, Expr, Length, Literals, StrLang
from .lookaround import MAX_DFA, MAX_PRODUCT, _rows, complement
from .nfa import EMPTY_NFA, MAX_EDGES, MAX_STATES, ByteNFA, Edge, atom_nfa, build_nfa, layout, limit_error

__all__ = ["expr_nfa", "lang_nfa"]


class _Auto(NamedTuple):
    """An automaton without a start state; see the module's text."""

    first: "list[Edge]"
    null: bool
    rows: "list[list[Edge]]"
    accept: "list[bool]"
    universal: int


_EMPTY_STRING = _Auto([], True, [], [], -1)


def expr_nfa(expr: Expr) -> ByteNFA:
    """The NFA of an expression.

    Raises
    ------
    LimitError
        When it would be too large.

    Examples
    --------
    >>> from structgen.grammar.strings import Pattern, atom_lang, literal_lang
    >>> nfa = expr_nfa(Expr("cat", (literal_lang(["x", "y"]), atom_lang(Pattern("python", "a+")))))
    >>> nfa.matches("yaa"), nfa.matches("y")
    (True, False)
    """
    if expr.op == "substring":
        return _finish(_substrings(expr.symbols))
    if expr.op == "alt":
        return _finish(_alt([_auto(lang_nfa(part)) for part in expr.parts]))
    if expr.op == "cat":
        out = _EMPTY_STRING
        for part in expr.parts:
            out = _cat(out, _auto(lang_nfa(part)))
        return _finish(out)
    if expr.op == "repeat":
        return _finish(_repeat(_auto(lang_nfa(expr.parts[0])), expr.lo, expr.hi))
    raise ValueError(expr.op)


def lang_nfa(lang: StrLang) -> ByteNFA:
    """The NFA of a language given as a Boolean combination of atoms."""
    if len(lang) == 1:
        return _conj_nfa(lang[0])
    return _finish(_alt([_auto(_conj_nfa(conj)) for conj in lang]))


# -- pieces ---------------------------------------------------------------------------


def _auto(nfa: ByteNFA) -> _Auto:
    rows = nfa.rows()
    starts = nfa.start.tolist()
    return _Auto([e for s in starts for e in rows[s]], any(bool(nfa.accept[s]) for s in starts), rows,
                 nfa.accept.tolist(), nfa.universal)


def _finish(auto: _Auto) -> ByteNFA:
    if not auto.null and not auto.first:
        return EMPTY_NFA
    rows = [list(dict.fromkeys(row)) for row in auto.rows]
    rows.append(list(dict.fromkeys(auto.first)))
    nfa = layout(rows, [*auto.accept, auto.null], len(rows) - 1, auto.universal, True)
    if nfa.n > MAX_STATES or len(nfa.src) > MAX_EDGES:
        raise limit_error("the expression", MAX_STATES)
    return nfa


def _check(states: int, edges: int) -> None:
    if states > MAX_STATES or edges > MAX_EDGES:
        raise LimitError(f"the automaton of the expression needs more than {MAX_STATES} states or {MAX_EDGES} edges",
                         place="regular expression", limit=MAX_STATES, hint="repeat less, or shorter parts")


def _moved(edges: "list[Edge]", by: int) -> "list[Edge]":
    return [(lo, hi, dst + by) for lo, hi, dst in edges] if by else edges


def _cat(a: _Auto, b: _Auto) -> _Auto:
    n = len(a.rows)
    first = _moved(b.first, n)
    _check(n + len(b.rows), len(first) * (1 + sum(a.accept)))
    rows = [row + first if end else row for row, end in zip(a.rows, a.accept)]
    rows += [_moved(row, n) for row in b.rows]
    accept = [end and b.null for end in a.accept] + b.accept
    universal = b.universal + n if b.universal >= 0 else -1
    if b.null and b.universal < 0 and not b.rows:
        universal = a.universal
    return _Auto(a.first + first if a.null else a.first, a.null and b.null, rows, accept, universal)


def _alt(parts: "list[_Auto]") -> _Auto:
    first, rows, accept, universal = [], [], [], -1
    for part in parts:
        n = len(rows)
        first += _moved(part.first, n)
        rows += [_moved(row, n) for row in part.rows]
        accept += part.accept
        if universal < 0 <= part.universal:
            universal = part.universal + n
        _check(len(rows), 0)
    return _Auto(first, any(p.null for p in parts), rows, accept, universal)


def _repeat(a: _Auto, lo: int, hi: Optional[int]) -> _Auto:
    """`lo` to `hi` copies, one after another; the last one loops where there is no upper bound."""
    if hi == 0 or not a.rows:
        return _EMPTY_STRING if lo == 0 or a.null else a
    n = len(a.rows)
    if a.null:
        lo = 0                                              # any number of copies may be empty
    copies = max(lo, 1) if hi is None else hi
    _check(copies * n, copies * sum(a.accept) * len(a.first))
    rows: "list[list[Edge]]" = []
    accept: list[bool] = []
    for k in range(copies):
        at = k * n
        last = k == copies - 1
        follow = _moved(a.first, at + n) if not last else _moved(a.first, at) if hi is None else []
        rows += [_moved(row, at) + follow if end else _moved(row, at) for row, end in zip(a.rows, a.accept)]
        accept += a.accept if k + 1 >= lo else [False] * n
    universal = (copies - 1) * n + a.universal if a.universal >= 0 else -1
    return _Auto(a.first, lo == 0, rows, accept, universal)


def _words(words: "tuple[str, ...]") -> _Auto:
    """The trie of some words."""
    rows: "list[list[Edge]]" = [[]]
    accept = [False]
    children: "list[dict[int, int]]" = [{}]
    for word in words:
        at = 0
        for b in word.encode("utf-8", "surrogatepass"):
            to = children[at].get(b)
            if to is None:
                to = children[at][b] = len(rows)
                rows[at].append((b, b, to))
                rows.append([])
                children.append({})
                accept.append(False)
                if len(rows) > MAX_STATES:
                    _check(len(rows), 0)
            at = to
        accept[at] = True
    return _Auto(rows[0], accept[0], rows, accept, -1)


def _substrings(symbols: "tuple[str, ...]") -> _Auto:
    """All runs of consecutive symbols, the empty one included."""
    link, length, follow = [-1], [0], [{}]                  # the suffix automaton over symbols
    last = 0
    for symbol in symbols:
        now = len(link)
        link.append(0)
        length.append(length[last] + 1)
        follow.append({})
        at = last
        while at >= 0 and symbol not in follow[at]:
            follow[at][symbol] = now
            at = link[at]
        if at >= 0:
            to = follow[at][symbol]
            if length[at] + 1 == length[to]:
                link[now] = to
            else:
                copy = len(link)
                link.append(link[to])
                length.append(length[at] + 1)
                follow.append(dict(follow[to]))
                while at >= 0 and follow[at].get(symbol) == to:
                    follow[at][symbol] = copy
                    at = link[at]
                link[to] = link[now] = copy
        last = now
    n = len(link)
    rows: "list[list[Edge]]" = [[] for _ in range(n)]
    accept = [True] * n
    for state in range(n):
        inside: "dict[bytes, int]" = {b"": state}
        for symbol, to in follow[state].items():
            raw = symbol.encode("utf-8", "surrogatepass")
            at = state
            for k in range(1, len(raw)):
                key = raw[:k]
                mid = inside.get(key)
                if mid is None:
                    mid = inside[key] = len(rows)
                    rows[at].append((raw[k - 1], raw[k - 1], mid))
                    rows.append([])
                    accept.append(False)
                at = mid
            rows[at].append((raw[-1], raw[-1], to))
        _check(len(rows), 0)
    return _Auto(rows[0], True, rows, accept, -1)


def _conj_nfa(conj: Conj) -> ByteNFA:
    """The NFA of a conjunction of atoms and complements."""
    parts = [_atom_nfa(atom) if positive else _complement(atom) for atom, positive in conj]
    if not parts:
        return build_nfa(Repeat(ANY, 0, None))
    out = parts[0]
    for part in parts[1:]:
        out = _product(out, part)
    return out


def _atom_nfa(atom: Atom) -> ByteNFA:
    if isinstance(atom, Literals):
        return _finish(_words(atom.words))
    if isinstance(atom, Length):
        return build_nfa(Repeat(ANY, atom.lo, atom.hi), name="a length")
    return atom_nfa(atom)


def _complement(atom: Atom) -> ByteNFA:
    found = complement(_atom_nfa(atom), MAX_DFA)
    if found is None:
        raise limit_error("a complement", MAX_DFA)
    return layout(found.rows, found.accept, found.start, found.universal, True) if found.rows else EMPTY_NFA


def _product(a: ByteNFA, b: ByteNFA) -> ByteNFA:
    """The intersection."""
    if a.n == 0 or b.n == 0:
        return EMPTY_NFA
    one, two = _rows(a), _rows(b)
    starts = [(s, t) for s in a.start.tolist() for t in b.start.tolist()]
    number = {pair: i for i, pair in enumerate(starts)}
    order = list(starts)
    rows: "list[list[Edge]]" = []
    for s, t in order:
        row = []
        for lo, hi, to in one.rows[s]:
            for low, high, other in two.rows[t]:
                if lo <= high and low <= hi:
                    pair = (to, other)
                    if pair not in number:
                        if len(order) >= MAX_PRODUCT:
                            raise limit_error("an intersection", MAX_PRODUCT)
                        number[pair] = len(order)
                        order.append(pair)
                    row.append((max(lo, low), min(hi, high), number[pair]))
        rows.append(row)
    accept = [one.accept[s] and two.accept[t] for s, t in order]
    universal = number.get((a.universal, b.universal), -1) if a.universal >= 0 and b.universal >= 0 else -1
    k = len(starts)
    return _finish(_Auto([e for row in rows[:k] for e in row], any(accept[:k]), rows, accept, universal))


