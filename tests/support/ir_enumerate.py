"""Grammars written out node by node, and every text of the finite ones.

:func:`texts` lists the language of a finite grammar from its definition: all
values by type, all key orders, one spelling a scalar.  It shares nothing with
an engine (no stepping, no liveness), so it can judge one.
"""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import combinations, permutations, product
from typing import Iterator

from structgen.grammar.ir import JsonGrammar, Options, ValueNode
from structgen.grammar.strings import Length, Literals

__all__ = ["ListGrammar", "texts", "matches_atom"]


class ListGrammar(JsonGrammar):
    """A grammar given by the list of its nodes; node 0 is the root."""

    def __init__(self, nodes: list[ValueNode], options: Options = Options()):
        super().__init__(options)
        self._list = nodes

    def _build(self, i: int) -> ValueNode:
        return self._list[i]


def matches_atom(atom, text: str) -> bool:
    """Does the whole string `text` match `atom`? (Literals and lengths only.)"""
    if isinstance(atom, Literals):
        return text in atom.words
    if isinstance(atom, Length):
        return atom.lo <= len(text) and (atom.hi is None or len(text) <= atom.hi)
    raise TypeError(atom)


def _strings(lang, universe) -> Iterator[str]:
    for s in universe:
        if any(all(matches_atom(a, s) == positive for a, positive in conj) for conj in lang):
            yield s


def _numbers(lang) -> Iterator[str]:
    """Plain integers of bounded alternatives."""
    out = set()
    for alt in lang:
        lo, hi = alt.lo, alt.hi
        for v in range(int(lo) - 1, int(hi) + 2):
            if not (lo < v or lo == v and not alt.lo_open) or not (v < hi or v == hi and not alt.hi_open):
                continue
            if alt.multiple_of is None or Fraction(v) % alt.multiple_of == 0:
                out.add(str(v))
    yield from sorted(out)


def texts(grammar: JsonGrammar, universe: list[str], depth: int = 4) -> set[str]:
    """All compact texts of a finite grammar whose strings and keys are in `universe`."""
    memo: dict[tuple[int, int], frozenset[str]] = {}

    def quote(s: str) -> str:
        return json.dumps(s, ensure_ascii=False)

    def value(i: int, depth: int) -> frozenset[str]:
        if i < 0 or depth < 0:
            return frozenset()
        found = memo.get((i, depth))
        if found is not None:
            return found
        node = grammar.node(i)
        out = {word for word, yes in (("null", node.null), ("true", node.true), ("false", node.false)) if yes}
        out.update(_numbers(node.number))
        out.update(quote(s) for s in _strings(node.string, universe))
        for alt in node.arrays:
            n = alt.min
            while alt.max is None or n <= alt.max:
                items = [value(alt.prefix[k] if k < len(alt.prefix) else alt.items, depth - 1) for k in range(n)]
                if not all(items):
                    break
                out.update("[" + ",".join(p) + "]" for p in product(*items))
                n += 1
        for alt in node.objects:
            out.update(objects(alt, depth))
        memo[i, depth] = frozenset(out)
        return memo[i, depth]

    def objects(alt, depth: int) -> Iterator[str]:
        extras = {}
        if alt.extra is not None:
            for s in universe:
                if s not in alt.names:
                    bits = sum(1 << k for k, a in enumerate(alt.extra.atoms) if matches_atom(a, s))
                    node = alt.extra.label(bits)
                    if node >= 0:
                        extras[s] = node
        keys = {name: node for name, node in zip(alt.names, alt.nodes) if node >= 0} | extras
        top = len(keys) if alt.max is None else min(alt.max, len(keys))
        for n in range(alt.min, top + 1):
            for chosen in combinations(keys, n):
                if any(r and name not in chosen for name, r in zip(alt.names, alt.required)):
                    continue
                if any(alt.names[i] in chosen and any(alt.names[j] not in chosen for j in js)
                       for i, js in alt.deps):
                    continue
                held = [{w: 0 for w in value(keys[k], depth - 1)} for k in chosen]
                if alt.clauses:
                    for k, words in zip(chosen, held):
                        if k in alt.names:
                            ways = alt.ways[alt.names.index(k)]
                        else:
                            bits = sum(1 << j for j, a in enumerate(alt.extra.atoms) if matches_atom(a, k))
                            ways = dict(alt.extra.ways)[bits]
                        for marks, node in ways:
                            for w in value(node, depth - 1):
                                assert w in words, "a way is no part of the node of its key"
                                words[w] |= marks
                away = 0
                for name, marks in zip(alt.names, alt.absent):
                    away |= marks if name not in chosen else 0
                values = dict(zip(chosen, held))
                for order in permutations(chosen):
                    if grammar.options.order == "schema":
                        # declared names in their order, then the others in any order
                        ranks = [alt.names.index(k) if k in alt.names else len(alt.names) for k in order]
                        if ranks != sorted(ranks):
                            continue
                    for vs in product(*(values[k] for k in order)):
                        marks = away
                        for k, v in zip(order, vs):
                            marks |= values[k][v]
                        if marks != (1 << alt.clauses) - 1:
                            continue
                        yield "{" + ",".join(quote(k) + ":" + v for k, v in zip(order, vs)) + "}"

    return set(value(grammar.root, depth))
