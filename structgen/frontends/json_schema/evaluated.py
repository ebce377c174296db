"""``unevaluatedProperties`` and ``unevaluatedItems``: forms that know what was evaluated.

Which keys and items these keywords speak of depends on the branches that hold,
so array and object alternatives get *marks*: what the keywords of the branches
behind an alternative have evaluated.

* objects: declared names, patterns, ``None`` for every key
* arrays: ``n`` for the first n items, a :class:`Contained` node for items that
  a ``contains`` matches, ``None`` for every item

The more is evaluated, the less these keywords ask.  So a value may be claimed
for an alternative with fewer marks than it really has: nothing invalid gets in,
and nothing valid is lost as long as the alternative with all its marks is there
too.  Hence ``anyOf`` of A and B is A, B, and A with B (the marks of both), left
out where it adds no mark; ``if`` alone is its condition or anything at all; and
complements are needed only where the plain lowering needs them.

Only schemas under such a keyword are read this way, by :func:`marked_form`;
what :func:`evaluated_form` hands out has no marks left.  The price is the
number of sets of branches that add marks (``MAX_ALTERNATIVES`` bounds it).
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import LimitError, SchemaError
from ...grammar.strings import Pattern
from .documents import Site, short
from .forms import (ANY, ANY_FORM, MAX_ALTERNATIVES, NONE, ArrForm, Form, Layer, ObjForm, _meet_arrays,
                    _meet_objects, join, live_types, meet)
from .keywords import Facts
from .negate import negate
from .own_keywords import BUSY, MAX_DEPTH, base_form

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["Contained", "Either", "evaluated_form", "marked_form", "needs_marks", "own_facts"]

_MISSING = Facts.MISSING
_NO_MARKS: frozenset = frozenset()


class Contained(NamedTuple):
    """The mark of items that match the schema of a ``contains``."""

    node: int


class Either(NamedTuple):
    """What stands for a schema in the site of a node that is a union of nodes."""

    nodes: tuple[int, ...]


def needs_marks(f: Facts) -> bool:
    """Whether a schema has to be read with marks: its own keywords do not settle what is evaluated."""
    return (f.unevaluated not in (_MISSING, True, {}) and bool(f.apply or f.condition is not _MISSING)
            or f.unevaluated_items not in (_MISSING, True, {})
            and bool(f.apply or f.condition is not _MISSING or f.contains is not _MISSING))


def own_facts(f: Facts) -> Facts:
    """What a schema says without looking at what other keywords evaluated."""
    own = copy(f)
    own.unevaluated = own.unevaluated_items = _MISSING
    return own


def evaluated_form(g: "SchemaGrammar", site: Site) -> Form:
    """The form of a schema that :func:`needs_marks`."""
    form = marked_form(g, site)
    return form._replace(arrays=tuple(dict.fromkeys(a._replace(marks=_NO_MARKS) for a in form.arrays)),
                         objects=tuple(dict.fromkeys(o._replace(marks=_NO_MARKS) for o in form.objects)))


def marked_form(g: "SchemaGrammar", site: Site) -> Form:
    """The form of the schema at `site` with marks, computed once."""
    from .lowering import facts_of, site_form
    if type(site.schema) is not dict:
        return site_form(g, site)
    form = g.marked.get(site)
    if form is BUSY:
        raise SchemaError("this schema applies to itself without going into a value, which defines nothing",
                          pointer=site.pointer)
    if form is None:
        if g.depth >= MAX_DEPTH:
            raise LimitError(f"more than {MAX_DEPTH} references and applicators nested in one place "
                             f"(at {short(site.pointer)})", place=site.pointer, limit=MAX_DEPTH)
        g.marked[site] = BUSY
        g.depth += 1
        try:
            form = _marked(g, facts_of(site), site)
        finally:
            g.depth -= 1
            del g.marked[site]
        g.marked[site] = form
    return form


# -- one schema -------------------------------------------------------------------------

def _marked(g: "SchemaGrammar", f: Facts, site: Site) -> Form:
    from .lowering import dependent, in_place, negated, refusing

    def plain(path: tuple, schema: Any) -> Form:
        return in_place(g, site, path, schema)

    def marked(path: tuple, schema: Any) -> Form:
        if schema is True or schema is False or type(schema) is not dict:
            return plain(path, schema)
        return marked_form(g, g.docs.site(schema, site, path))

    base = _add_marks(base_form(g, own_facts(f), site), *_own_marks(g, f, site))
    parts = [base]
    to_prove = []
    for keyword, value in f.apply:
        if keyword == "$ref":
            parts.append(marked_form(g, g.docs.resolve(site, value)))
        elif keyword in ("$dynamicRef", "$recursiveRef"):
            parts.append(marked_form(g, g.docs.resolve_dynamic(site, value, keyword)))
        elif keyword == "allOf":
            parts += [marked((keyword, i), sub) for i, sub in enumerate(value)]
        elif keyword == "anyOf":
            parts.append(_any_of(g, [marked((keyword, i), sub) for i, sub in enumerate(value)]))
        elif keyword == "oneOf":
            branches = [plain((keyword, i), sub) for i, sub in enumerate(value)]
            part, open_types = _one_of(g, branches, [marked((keyword, i), sub) for i, sub in enumerate(value)],
                                       live_types(base), site)
            if open_types:
                to_prove.append((branches, open_types, len(parts)))
            parts.append(part)
        elif keyword in ("dependentSchemas", "dependencies"):
            parts += [dependent(name, marked((keyword, name), sub)) for name, sub in value.items()]
        elif keyword == "not":
            part = negated(g, site, value)
            if part is not None:
                parts.append(part)
    if f.condition is not _MISSING:
        then = ANY_FORM if f.then is _MISSING else marked(("then",), f.then)
        otherwise = ANY_FORM if f.otherwise is _MISSING else marked(("else",), f.otherwise)
        condition = marked(("if",), f.condition)
        if f.condition is False:
            parts.append(otherwise)
        elif f.condition is True or f.condition == {}:
            parts.append(then)
        elif then is ANY_FORM and otherwise is ANY_FORM:
            parts.append(_union([condition, ANY_FORM]))
        else:
            rest, hidden = negate(g, plain(("if",), f.condition), "if", site)
            rest = refusing(g, rest, hidden, "if", site)
            parts.append(_union([meet(condition, then, g.conj, g.dead), meet(rest, otherwise, g.conj, g.dead)]))
    form = parts[0]
    for part in parts[1:]:
        form = meet(form, part, g.conj, g.dead)
    for branches, types, at in to_prove:
        if live_types(form) & types:
            g.to_prove.append((site, branches, types, parts[:at] + parts[at + 1:]))
    if f.unevaluated is not _MISSING:
        form = _rest_of_objects(form, g.child(site, ("unevaluatedProperties",), f.unevaluated),
                                type(f.unevaluated) is dict and bool(f.unevaluated))
    if f.unevaluated_items is not _MISSING:
        form = _rest_of_arrays(g, form, g.child(site, ("unevaluatedItems",), f.unevaluated_items), site)
    return form


def _own_marks(g: "SchemaGrammar", f: Facts, site: Site) -> tuple[frozenset, frozenset]:
    """Marks of arrays and of objects by the keywords of one schema."""
    objects: set = set(f.properties or ())
    objects.update(Pattern("ecma", source) for source in f.patterns or ())
    if f.additional is not _MISSING:
        objects = {None}
    arrays: set = set()
    if f.items is not _MISSING or f.prefix is not None and f.additional_items is not _MISSING:
        arrays = {None}
    else:
        if f.prefix:
            arrays.add(len(f.prefix))
        if f.contains is not _MISSING and site.res.draft >= 2020:
            node = g.child(site, ("contains",), f.contains)
            if node == ANY:
                arrays = {None}
            elif node != NONE:
                arrays.add(Contained(node))
    return frozenset(arrays), frozenset(objects)


def _add_marks(form: Form, arrays: frozenset, objects: frozenset) -> Form:
    if arrays and form.arrays:
        form = form._replace(arrays=tuple([a._replace(marks=a.marks | arrays) for a in form.arrays]))
    if objects and form.objects:
        form = form._replace(objects=tuple([o._replace(marks=o.marks | objects) for o in form.objects]))
    return form


# -- branches ---------------------------------------------------------------------------

def _union(forms: list[Form]) -> Form:
    """One of `forms`; no alternative is absorbed by another that has fewer marks."""
    return join(forms)._replace(
        arrays=tuple(dict.fromkeys(a for f in forms for a in f.arrays)),
        objects=tuple(dict.fromkeys(o for f in forms for o in f.objects)),
        refused=tuple(dict.fromkeys(r for f in forms for r in f.refused)))


def _any_of(g: "SchemaGrammar", forms: list[Form]) -> Form:
    """Some of `forms`, with the marks of all that hold."""
    out = _union(forms)
    arrays: tuple = ()
    objects: tuple = ()
    for form in forms:
        arrays = _some(arrays, form.arrays, lambda x, y: _meet_arrays(x, y, g.conj))
        objects = _some(objects, form.objects, lambda x, y: _both_objects(g, x, y))
    return out._replace(arrays=arrays, objects=objects)


def _both_objects(g: "SchemaGrammar", x: ObjForm, y: ObjForm) -> Any:
    both = _meet_objects(x, y)
    return None if both is None or g.dead(both) else both


def _some(xs: tuple, ys: tuple, both: Any) -> tuple:
    """Alternatives of `xs`, of `ys`, and of both where that has more marks than either."""
    out = dict.fromkeys(xs + ys)
    for x in xs:
        for y in ys:
            marks = x.marks | y.marks
            if marks != x.marks and marks != y.marks and None not in x.marks and None not in y.marks:
                z = both(x, y)
                if z is not None:
                    out[z] = None
                    if len(out) > MAX_ALTERNATIVES:
                        raise LimitError(f"more than {MAX_ALTERNATIVES} sets of branches that evaluate different "
                                         "properties or items", place="alternatives of anyOf",
                                         limit=MAX_ALTERNATIVES)
    return tuple(out)


def _one_of(g: "SchemaGrammar", branches: list[Form], marked: list[Form], mask: int, site: Site) -> tuple[Form, int]:
    """Exactly one branch, with its marks; second result as in the plain lowering."""
    from .lowering import one_of, refusing
    if id(site.schema) not in g.overlapping:
        part, open_types = one_of(g, branches, mask, site)
        union = _union(marked)
        return part._replace(arrays=union.arrays, objects=union.objects), open_types
    out = []
    hidden = 0
    rests = [negate(g, branch, "oneOf", site) for branch in branches]
    for i, form in enumerate(marked):
        for j, (rest, lost) in enumerate(rests):
            if i != j:
                hidden |= lost & live_types(form) & mask
                form = meet(form, rest, g.conj, g.dead)
        out.append(form)
    return refusing(g, _union(out), hidden, "oneOf", site), 0


# -- what is left -----------------------------------------------------------------------

def _rest_of_objects(form: Form, node: int, explicit: bool) -> Form:
    """`form` where keys without a mark have values in `node`; all keys are evaluated then."""
    layers: dict[frozenset, ObjForm] = {}
    out: dict[ObjForm, None] = {}
    for obj in form.objects:
        if node != ANY and None not in obj.marks:
            rest = layers.get(obj.marks)
            if rest is None:
                patterns = sorted((m for m in obj.marks if isinstance(m, Pattern)), key=lambda p: p.source)
                layer = Layer({m: ANY for m in sorted(m for m in obj.marks if isinstance(m, str))},
                              tuple((p, ANY) for p in patterns), node, explicit, own=False)
                rest = layers[obj.marks] = ObjForm((layer,))
            met = _meet_objects(obj, rest)
            if met is None:
                continue
            obj = met
        out[obj._replace(marks=frozenset((None,)))] = None
    return form._replace(objects=tuple(out))


def _rest_of_arrays(g: "SchemaGrammar", form: Form, node: int, site: Site) -> Form:
    """`form` where items without a mark are in `node`; all items are evaluated then."""
    out: dict[ArrForm, None] = {}
    for arr in form.arrays:
        if node != ANY and None not in arr.marks:
            first = max((m for m in arr.marks if isinstance(m, int)), default=0)
            matched = [m.node for m in arr.marks if isinstance(m, Contained)]
            item = _either(g, [n for n in (node, *matched) if n != NONE], site) if matched else node
            met = _meet_arrays(arr, ArrForm((ANY,) * first, item, 0, first if item == NONE else None), g.conj)
            if met is None:
                continue
            arr = met
        out[arr._replace(marks=frozenset((None,)))] = None
    return form._replace(arrays=tuple(out))


def _either(g: "SchemaGrammar", nodes: list[int], site: Site) -> int:
    """The node of values in one of `nodes`."""
    nodes = sorted(set(nodes))
    if len(nodes) == 1:
        return nodes[0]
    key = tuple(nodes)
    found = g.unions.get(key)
    if found is None:
        union = Site(Either(key), site, (), site.res)
        found = g.unions[key] = union.node = g._new((union,))
    return found
