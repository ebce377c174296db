"""What can never be: branches, properties, items and constants of a satisfiable schema that no valid value has.

A schema that allows no value at all is an error.  A part that can never hold is
not, but nearly always a mistake: a ``required`` key whose type contradicts
another ``allOf`` branch, an ``enum`` beside the wrong ``type``, a recursion
without an end.  :func:`impossible_parts` finds them by asking the grammar for
the satisfiability of each part, alone and together with the schema around it
that speaks of the same value.  It adds nodes, so it wants a grammar of its own.

Costs about as much as lowering, more where constants are many; nothing here
runs unless asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator, Optional

from ...errors import LimitError, SchemaError
from ...grammar.ir import CoverageEntry
from .documents import Site, pointer_of
from .evaluated import own_facts
from .forms import ANY_FORM, Form, ObjForm, meet
from .lowering import facts_of, in_place, site_form
from .own_keywords import base_form, values_form

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["impossible_parts", "contradiction"]

#: keywords whose subschemas speak of the same value
_IN_PLACE = frozenset(("allOf", "anyOf", "oneOf", "then", "else", "dependentSchemas", "dependencies"))
#: constants of one enum that are looked at
_MAX_CONSTANTS = 200
#: pairs of alternatives that one comparison may look at
_MAX_PAIRS = 64
#: subschemas that are compared in search of a contradiction
_MAX_COMPARED = 40


def impossible_parts(g: "SchemaGrammar") -> list[CoverageEntry]:
    """Parts that no valid value has, in document order, as entries of status ``"impossible"``.

    Examples
    --------
    >>> from structgen.frontends.json_schema import lower
    >>> g = lower({"type": "object", "properties": {"a": {"type": "string", "enum": [1, "x"]}}})
    >>> [(e.pointer, e.note) for e in impossible_parts(g)]
    [('#/properties/a/enum/0', 'no valid value is this constant')]
    """
    out: dict[tuple[str, str], CoverageEntry] = {}
    for site in _sites(g):
        for pointer, keyword, note in _parts(g, site):
            out.setdefault((pointer, keyword), CoverageEntry(pointer, keyword, "impossible", note))
    return list(out.values())


def _sites(g: "SchemaGrammar") -> list[Site]:
    """Subschemas that were read, a root before its parts."""
    found = []
    for res in g.docs.all_resources():
        for site in list(res.sites.values()):
            if site.res is res and type(site.schema) is dict and site.form is not None:
                found.append(site)
    return found


def _parts(g: "SchemaGrammar", site: Site) -> Iterator[tuple[str, str, str]]:
    schema = site.schema
    if not _deliberate(schema) and not _possible(g, site.form):
        keyword = str(site.path[0]) if site.path else ""
        yield site.pointer or "#", keyword, "no value satisfies this schema"
        return
    around = _around(g, site)
    if around is None or not _possible(g, around):
        return      # reported where it begins
    for keyword in ("anyOf", "oneOf"):
        for i, sub in enumerate(schema.get(keyword) or ()):
            if isinstance(sub, dict) and not _deliberate(sub):
                form = g.docs.site(sub, site, (keyword, i)).form
                if isinstance(form, Form) and _possible(g, form) and not _compatible(g, around, form):
                    yield pointer_of(site, keyword, i), keyword, "no valid value is in this branch"
    constants = schema.get("enum")
    if isinstance(constants, (list, tuple)) and len(constants) <= _MAX_CONSTANTS:
        for i, value in enumerate(constants):
            try:
                form = values_form(g, [value], 127, site)
            except SchemaError:
                continue
            if not _compatible(g, around, form):
                yield pointer_of(site, "enum", i), "enum", "no valid value is this constant"
    declared = schema.get("properties")
    if isinstance(declared, dict) and around.objects:
        for name, sub in declared.items():
            if sub is False or isinstance(sub, dict) and _deliberate(sub):
                continue
            if not _compatible(g, around, _with(name)):
                yield pointer_of(site, "properties", name), "properties", "this property can never be present"


def _with(name: str) -> Form:
    """Objects that have a key `name`."""
    return Form(objects=(ObjForm(required=(name,)),))


def _around(g: "SchemaGrammar", site: Site) -> Any:
    """The form of everything said of the value at `site` in the same document; None: not read."""
    top = site
    while top.path and top.path[0] in _IN_PLACE and top.parent is not None:
        top = top.parent
    form = top.form
    if not isinstance(form, Form) or not isinstance(site.form, Form):
        return None
    if max(len(form.objects) * len(site.form.objects), len(form.arrays) * len(site.form.arrays)) > _MAX_PAIRS:
        return site.form
    try:
        return form if top is site else meet(form, site.form, g.conj)
    except LimitError:
        return site.form


def _deliberate(schema: dict) -> bool:
    """Whether a schema is a way to write ``false``."""
    return schema.get("not") in ({}, True) and "not" in schema or schema.get("enum") == []


def _compatible(g: "SchemaGrammar", a: Form, b: Form) -> bool:
    """Whether some value is in both; True where that takes too much to say."""
    if max(len(a.objects) * len(b.objects), len(a.arrays) * len(b.arrays)) > _MAX_PAIRS:
        return True
    try:
        return g.satisfiable(meet(a, b, g.conj))
    except LimitError:
        return True


def _possible(g: "SchemaGrammar", form: Form) -> bool:
    try:
        return g.satisfiable(form)
    except LimitError:
        return True


def contradiction(g: "SchemaGrammar", node: int) -> Optional[str]:
    """Which parts of an unsatisfiable node exclude each other, in words: none of them can be spared.

    None if there are not at least two, or very many.
    """
    core: list[tuple[str, Form]] = []
    try:
        for site in g.sites_of(node):
            core += _said(g, site)
        if not 1 < len(core) <= _MAX_COMPARED or _together(g, core):
            return None
        for part in list(core):
            rest = [other for other in core if other is not part]
            if not _together(g, rest):
                core = rest
        if 1 < len(core) <= 4:
            *most, last = [pointer for pointer, _ in core]
            return f"{', '.join(most)} and {last} exclude each other"
    except (LimitError, SchemaError):
        pass        # a hint is no reason for another error
    return None


def _together(g: "SchemaGrammar", parts: list[tuple[str, Form]]) -> bool:
    form = ANY_FORM
    for _, part in parts:
        form = meet(form, part, g.conj)
    return _possible(g, form)


def _said(g: "SchemaGrammar", site: Site) -> Iterator[tuple[str, Form]]:
    """What must hold at `site`: its own keywords, references, the branches of ``allOf``."""
    if type(site.schema) is not dict:
        return
    facts = facts_of(site)
    yield site.pointer or "#", base_form(g, own_facts(facts), site)
    for keyword, value in facts.apply:
        if keyword == "$ref":
            yield pointer_of(site, keyword), site_form(g, g.docs.resolve(site, value))
        elif keyword == "allOf":
            for i, sub in enumerate(value):
                yield pointer_of(site, keyword, i), in_place(g, site, (keyword, i), sub)
