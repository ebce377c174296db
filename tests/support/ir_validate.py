"""An obvious checker of JSON values against the intermediate representation.

It shares nothing with the engine: strings are checked atom by atom (patterns
and formats through the naive NFA simulation of the reference package), numbers
with fractions, objects by going through their keys.  Key order is ignored, as
under ``order="any"``.
"""

from __future__ import annotations

from functools import lru_cache
from fractions import Fraction
from decimal import Decimal

from structgen.grammar.strings import Length, Literals


def exact(x):
    return Fraction(x) if isinstance(x, int) else Fraction(Decimal(repr(x)))


@lru_cache(maxsize=None)
def _machine(atom):
    from structgen.reference.strings import ConjMachine
    return ConjMachine(((atom, True),))


@lru_cache(maxsize=None)
def atom_matches(atom, text):
    if isinstance(atom, Literals):
        return text in atom.words
    if isinstance(atom, Length):
        return atom.lo <= len(text) and (atom.hi is None or len(text) <= atom.hi)
    machine = _machine(atom)
    state = machine.start
    for byte in text.encode("utf-8", "surrogatepass"):
        state = machine.step(state, byte)
        if state is None:
            return False
    return machine.accepts(state)


def string_in(lang, text):
    return any(all(atom_matches(atom, text) == positive for atom, positive in conj) for conj in lang)


def number_in(lang, value, float_integers, spelled_as_integer):
    for alt in lang:
        if alt.integer and (value.denominator != 1 or not (float_integers or spelled_as_integer)):
            continue
        if alt.pointed and spelled_as_integer:
            continue
        if alt.lo is not None and (value < alt.lo or alt.lo_open and value == alt.lo):
            continue
        if alt.hi is not None and (value > alt.hi or alt.hi_open and value == alt.hi):
            continue
        if alt.multiple_of is not None and (value / Fraction(alt.multiple_of)).denominator != 1:
            continue
        if any((value / Fraction(step)).denominator == 1 for step in alt.not_multiples):
            continue
        return True
    return False


def accepts(grammar, node_id, value):
    """Whether the grammar's node allows a Python value made by ``json.loads``."""
    if node_id < 0:
        return False
    node = grammar.node(node_id)
    if value is None:
        return node.null
    if value is True:
        return node.true
    if value is False:
        return node.false
    if isinstance(value, (int, float)):
        return number_in(node.number, exact(value), grammar.float_integers, isinstance(value, int))
    if isinstance(value, str):
        return string_in(node.string, value)
    if isinstance(value, list):
        return any(array_in(grammar, alt, value) for alt in node.arrays)
    return any(object_in(grammar, alt, value) for alt in node.objects)


def array_in(grammar, alt, value):
    if len(value) < alt.min or alt.max is not None and len(value) > alt.max:
        return False
    if not all(accepts(grammar, alt.prefix[i] if i < len(alt.prefix) else alt.items, item)
               for i, item in enumerate(value)):
        return False
    if alt.unique and any(same(x, y) for i, x in enumerate(value) for y in value[:i]):
        return False
    # every way to count the items
    totals = {(0,) * len(alt.counts)}
    for i, item in enumerate(value):
        if alt.counts:
            row = alt.choices[min(i, len(alt.choices) - 1)]
            totals = {tuple(n + (bits >> k & 1) for k, n in enumerate(t))
                      for node, bits in row if accepts(grammar, node, item) for t in totals}
    return any(all(c.lo <= n and (c.hi is None or n <= c.hi) for n, c in zip(t, alt.counts)) for t in totals)


def same(x, y):
    """Equality of JSON values: numbers by value, and no boolean is a number."""
    if isinstance(x, bool) or isinstance(y, bool) or x is None or y is None:
        return x is y
    if isinstance(x, list) and isinstance(y, list):
        return len(x) == len(y) and all(map(same, x, y))
    if isinstance(x, dict) and isinstance(y, dict):
        return x.keys() == y.keys() and all(same(x[k], y[k]) for k in x)
    if isinstance(x, (int, float)) and isinstance(y, (int, float)):
        return exact(x) == exact(y)
    return type(x) is type(y) and x == y


def object_in(grammar, alt, value):
    if len(value) < alt.min or alt.max is not None and len(value) > alt.max:
        return False
    index = {name: i for i, name in enumerate(alt.names)}
    if any(needed and name not in value for name, needed in zip(alt.names, alt.required)):
        return False
    for i, needs in alt.deps:
        if alt.names[i] in value and any(alt.names[j] not in value for j in needs):
            return False
    held = 0
    for name, marks in zip(alt.names, alt.absent):
        held |= marks if name not in value else 0
    for name, item in value.items():
        ways = ()
        if name in index:
            node = alt.nodes[index[name]]
            ways = alt.ways[index[name]] if alt.clauses else ()
        elif alt.extra is None:
            return False
        else:
            bits = sum(1 << k for k, atom in enumerate(alt.extra.atoms) if atom_matches(atom, name))
            node = alt.extra.label(bits)
            if node >= 0:
                ways = dict(alt.extra.ways)[bits] if alt.clauses else ()
        if not accepts(grammar, node, item):
            return False
        if ways:
            taken = [marks for marks, way in ways if accepts(grammar, way, item)]
            assert len(taken) <= 1, "the ways to write a value are disjoint"
            if not taken:
                assert grammar.approximate, "only what may be of a format read in part is in none of them"
                return False
            held |= taken[0]
    return held == (1 << alt.clauses) - 1
