"""Objects with clauses: what ``not`` says of objects, made ready for the engine.

The complement of an object alternative is a disjunction: some required key is
absent, or some key has a value that its schema does not allow, and so on.  A
conjunction of complements (``oneOf``, nested ``not``) would be a product of
such disjunctions if each were split into alternatives.  Instead an
:class:`~.forms.ObjForm` carries them as *clauses*, and the engine keeps one bit
for each: "it holds already".

Here a form with clauses becomes object alternatives of the representation.
What is decided by the rest of the form goes first: literals that cannot hold,
clauses that hold anyway, clauses with one literal left.  Then, for each key,
the values allowed are split by the clauses they satisfy: the cells of a
partition of the key's node, without the empty ones.  Undeclared keys are split
into cells too, by the patterns they match; finite cells become declared keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from ...errors import LimitError
from ...grammar.ir import Extra, ObjectAlt, Ways
from ...grammar.strings import Literals, StrLang, intersect, literal_lang
from .forms import ANY, NONE, Clause, Layer, ObjForm, Some
from .objects import MAX_FINITE_KEYS, key_language, object_alt
from .strlang import conj_nonempty, contains, count_words, words

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["object_alts", "MAX_CLAUSES"]

#: clauses one object alternative may keep; more are split into alternatives where that is possible
MAX_CLAUSES = 8
#: cells that the values of one key, or the undeclared keys of one object, may be split into
MAX_CELLS = 128
#: alternatives that the clauses of one object may be split into
MAX_SPLITS = 256
#: numbers the kernels can tell apart when keys are counted; sets of clauses one undeclared key may satisfy
_MAX_COUNT = 62


class _Cell(NamedTuple):
    """A class of undeclared keys: those that match exactly these of the atoms."""

    held: frozenset
    bits: int
    node: int


def object_alts(g: "SchemaGrammar", obj: ObjForm) -> list[ObjectAlt]:
    """The alternatives of a form with their children settled; empty when it has no value."""
    if not obj.clauses:
        alt = object_alt(g, obj)
        return [] if alt is None else [alt]
    clauses = obj.clauses + tuple((name, Some(literal_lang([need]), ANY)) for name, needs in obj.deps for need in needs)
    todo, out = [obj._replace(clauses=clauses, deps=())], []
    splits = 0
    while todo:
        found = _settled(g, todo.pop())
        if isinstance(found, ObjectAlt):
            out.append(found)
        else:
            splits += len(found)
            if splits > MAX_SPLITS:
                raise LimitError(f"an object under not or oneOf has more than {MAX_SPLITS} alternatives",
                                 place="clauses of an object", limit=MAX_SPLITS)
            todo += reversed(found)
    return out


def _settled(g: "SchemaGrammar", obj: ObjForm) -> "ObjectAlt | list[ObjForm]":
    """One alternative, or the forms that it is the union of."""
    langs = {lit: _language(g, lit) for clause in obj.clauses for lit in clause if type(lit) is not str}
    if not obj.clauses:
        alt = object_alt(g, obj)
        return [] if alt is None else alt
    names = {lit: None for clause in obj.clauses for lit in clause if type(lit) is str}
    own = key_language(g, obj)
    for lang in (own, *langs.values(), *(lang for lang, _ in obj.every)):
        for conj in lang:
            for atom, _ in conj:
                if type(atom) is Literals:
                    if len(atom.words) > MAX_FINITE_KEYS:
                        raise LimitError(f"more than {MAX_FINITE_KEYS} names of properties under not",
                                         place="property names", limit=MAX_FINITE_KEYS)
                    names.update(dict.fromkeys(atom.words))
    while True:
        base = object_alt(g, obj._replace(clauses=()), tuple(names))
        if base is None:
            return []
        cells = _cells(base, langs.values())
        if type(cells) is not set:
            break
        names.update(dict.fromkeys(cells))
    return _clauses(g, obj, base, cells, langs)


def _language(g: "SchemaGrammar", lit: Some) -> StrLang:
    """The keys that a literal speaks of."""
    return lit.lang if lit.keys == ANY else intersect(lit.lang, key_language(g, ObjForm(keynames=(lit.keys,))))


def _cells(base: ObjectAlt, langs) -> "list[_Cell] | set[str]":
    """Classes of undeclared keys, all of them infinite; or keys that are few and should be declared."""
    extra = base.extra
    if extra is None:
        return []
    if extra.size is not None:
        raise LimitError(f"more than {MAX_FINITE_KEYS} but finitely many undeclared properties under not",
                         place="property names", limit=MAX_FINITE_KEYS)
    known = {atom: i for i, atom in enumerate(extra.atoms)}
    atoms = [a for a in dict.fromkeys((*known, *(atom for lang in langs for conj in lang for atom, _ in conj)))
             if type(a) is not Literals]        # their words are declared
    parts: list[tuple] = [()]
    for atom in atoms:
        parts = [conj for part in parts for conj in (part + ((atom, True),), part + ((atom, False),))
                 if conj_nonempty(conj)]
        if len(parts) > MAX_CELLS:
            raise LimitError(f"patterns of property names divide the names into more than {MAX_CELLS} classes",
                             place="patternProperties", limit=MAX_CELLS)
    out, few = [], set()
    for conj in parts:
        held = frozenset(atom for atom, positive in conj if positive)
        node = extra.label(sum(1 << known[atom] for atom in held if atom in known))
        if node < 0:
            continue
        count = count_words((conj,)) if conj else None
        if count is None:
            out.append(_Cell(held, sum(1 << i for i, atom in enumerate(atoms) if atom in held), node))
        elif count > MAX_FINITE_KEYS:
            raise LimitError(f"more than {MAX_FINITE_KEYS} but finitely many undeclared properties under not",
                             place="property names", limit=MAX_FINITE_KEYS)
        else:
            few.update(words((conj,)))
    few.difference_update(base.names)
    return few or out


def _matches(lang: StrLang, cell: _Cell) -> bool:
    return any(all((atom in cell.held) == positive for atom, positive in conj) for conj in lang)


def _clauses(g: "SchemaGrammar", obj: ObjForm, base: ObjectAlt, cells: list[_Cell],
             langs: dict) -> "ObjectAlt | list[ObjForm]":
    index = {name: i for i, name in enumerate(base.names)}
    kept: list[tuple[Clause, list[str], list[tuple[str, int]], bool]] = []
    units: list[Clause] = []
    for clause in obj.clauses:
        absent: list[str] = []
        present: list[tuple[str, int]] = []
        open_class = holds = False
        for lit in clause:
            if type(lit) is str:
                i = index.get(lit)
                if i is None or base.nodes[i] < 0:
                    holds = True
                elif not base.required[i]:
                    absent.append(lit)
                continue
            for name, i in index.items():
                if base.nodes[i] >= 0 and contains(langs[lit], name):
                    if lit.node == ANY or g.has(g.conj(base.nodes[i], lit.node)):
                        present.append((name, lit.node))
                        holds = holds or base.required[i] and (lit.node == ANY or not g.approximate and _surely_empty(
                            g, g.conj(base.nodes[i], g.negated(lit.node))))
            for cell in cells:
                if _matches(langs[lit], cell) and (lit.node == ANY or g.has(g.conj(cell.node, lit.node))):
                    open_class = True
        if holds:
            units.append(clause)       # goes without a trace
        elif not open_class and len(absent) + len(present) <= 1:
            if not absent and not present:
                return []
            units.append(clause)
            obj = _with(g, obj, absent, present)
        else:
            kept.append((clause, absent, present, open_class))
    if units:
        return [obj._replace(clauses=tuple(k[0] for k in kept))]
    if len(kept) > MAX_CLAUSES:
        some = [k for k in kept if not k[3]]
        if not some:
            raise LimitError(f"more than {MAX_CLAUSES} conditions on undeclared properties under not or oneOf",
                             place="clauses of an object", limit=MAX_CLAUSES)
        clause, absent, present, _ = min(some, key=lambda k: len(k[1]) + len(k[2]))
        rest = obj._replace(clauses=tuple(c for c in obj.clauses if c is not clause))
        return ([_with(g, rest, [name], []) for name in absent]
                + [_with(g, rest, [], [pair]) for pair in present])
    return _alternative(g, base, cells, [k[0] for k in kept], langs)


def _surely_empty(g: "SchemaGrammar", node: int) -> bool:
    """Whether a node has no value; False where that is not known yet."""
    if g.provisional and node > 0 and g.known(node) is None:
        form = g.form(node)
        return not (form.arrays or form.objects or g.has(node))
    return not g.has(node)


def _with(g: "SchemaGrammar", obj: ObjForm, absent: list[str], present: list[tuple[str, int]]) -> ObjForm:
    """`obj` and certain literals."""
    layers, required = obj.layers, obj.required
    for name in absent:
        layers += (g.absent(name),)
    for name, node in present:
        if node != ANY:
            layers += (Layer({name: node}, own=False),)
        required += (name,)
    return obj._replace(layers=layers, required=tuple(dict.fromkeys(required)))


def _alternative(g: "SchemaGrammar", base: ObjectAlt, cells: list[_Cell], clauses: list[Clause],
                 langs: dict) -> "ObjectAlt | list[ObjForm]":
    """The alternative of the representation; an empty list when it has no value."""
    absent = [0] * len(base.names)
    index = {name: i for i, name in enumerate(base.names)}
    events: list[dict[int, int]] = [{} for _ in base.names]
    class_events: list[dict[int, int]] = [{} for _ in cells]
    for j, clause in enumerate(clauses):
        for lit in clause:
            if type(lit) is str:
                absent[index[lit]] |= 1 << j
                continue
            for name, i in index.items():
                if base.nodes[i] >= 0 and contains(langs[lit], name):
                    events[i][lit.node] = events[i].get(lit.node, 0) | 1 << j
            for cell, event in zip(cells, class_events):
                if _matches(langs[lit], cell):
                    event[lit.node] = event.get(lit.node, 0) | 1 << j
    nodes, ways = list(base.nodes), []
    for i, event in enumerate(events):
        found = _partition(g, nodes[i], event) if event else ()
        if event and not found:
            if base.required[i]:
                return []
            nodes[i] = NONE
        ways.append(() if all(marks == 0 for marks, _ in found) else found)
    classes = []
    for cell, event in zip(cells, class_events):
        found = _partition(g, cell.node, event)
        if found:
            classes.append((cell, found))
    extra: Optional[Extra] = None
    if classes:
        known = base.extra.atoms
        atoms = tuple(a for a in dict.fromkeys((*known, *(
            atom for lang in langs.values() for conj in lang for atom, _ in conj))) if type(a) is not Literals)
        by_bits = {cell.bits: cell.node for cell, _ in classes}
        g.open_clauses |= base.min > sum(base.required) or any(marks for _, found in classes for marks, _ in found)
        extra = Extra(atoms, lambda bits: by_bits.get(bits, NONE), None,
                      tuple((cell.bits, found) for cell, found in classes))
    alt = base._replace(nodes=tuple(nodes), extra=extra, clauses=len(clauses), absent=tuple(absent), ways=tuple(ways))
    return alt if _satisfiable(alt) else []


def _partition(g: "SchemaGrammar", node: int, events: dict[int, int]) -> Ways:
    """The values of `node` by the clauses they satisfy; `events` says which clauses the values of a node satisfy."""
    parts = [(0, node)]
    for other, marks in events.items():
        if other == ANY:
            parts = [(held | marks, part) for held, part in parts]
            continue
        after = []
        against = g.negated(other)
        for held, part in parts:
            inside, outside = g.conj(part, other), g.conj(part, against)
            if held | marks == held:
                after.append((held, part))
            elif not g.has(inside):
                if part == node or g.has(outside):
                    after.append((held, part))
            elif not g.has(outside):
                after.append((held | marks, inside if g.approximate else part))
            else:
                after += [(held | marks, inside), (held, outside)]
        parts = after
        if len(parts) > MAX_CELLS:
            raise LimitError(f"the values of one property fall into more than {MAX_CELLS} kinds under not or oneOf",
                             place="clauses of an object", limit=MAX_CELLS)
    if g.provisional:
        parts = [(held, part) for held, part in parts if g.has(part)]
    return tuple((held, g.out(part)) for held, part in parts if g.out(part) >= 0)


def _satisfiable(alt: ObjectAlt) -> bool:
    """Whether some set of keys satisfies all clauses and counts."""
    counted = alt.min > 0 or alt.max is not None
    linked = sum(1 for i, node in enumerate(alt.nodes) if alt.absent[i] or alt.ways[i])
    kinds = {marks for _, found in alt.extra.ways for marks, _ in found} if alt.extra is not None else set()
    if counted and linked > _MAX_COUNT or len(kinds) > _MAX_COUNT:
        raise LimitError(f"more than {_MAX_COUNT} properties under not or oneOf beside minProperties or maxProperties",
                         place="clauses of an object", limit=_MAX_COUNT)
    reached = {0: 1}                   # clauses satisfied -> bitset of numbers of keys
    free = 0
    for i, node in enumerate(alt.nodes):
        ways = alt.ways[i] or ((0, node),)
        if not (alt.absent[i] or alt.ways[i]) and not alt.required[i]:
            free += node >= 0
            continue
        after: dict[int, int] = {}
        for marks, counts in reached.items():
            if not alt.required[i]:
                after[marks | alt.absent[i]] = after.get(marks | alt.absent[i], 0) | counts
            if node >= 0:
                for more, _ in ways:
                    after[marks | more] = after.get(marks | more, 0) | (counts << 1 if counted else counts)
        reached = after
    for _ in range(alt.clauses if kinds else 0):
        for marks, counts in list(reached.items()):
            for more in kinds:
                if marks | more != marks:
                    reached[marks | more] = reached.get(marks | more, 0) | (counts << 1 if counted else counts)
    counts = reached.get((1 << alt.clauses) - 1, 0)
    if not counted or not counts:
        return counts != 0
    most = 1 << 40 if kinds else free
    return any(counts >> n & 1 and (alt.max is None or n <= alt.max) and n + most >= alt.min
               for n in range(counts.bit_length()))
