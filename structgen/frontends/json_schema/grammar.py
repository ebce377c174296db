"""The grammar of a schema: numbered nodes, satisfiability, value nodes.

A node is a conjunction of subschemas, interned as the tuple of their sites;
0 is any value.  :class:`SchemaGrammar` does at construction what must be known
then: every reachable subschema is read (bad values, references, refused
keywords), ``oneOf`` proofs are made, and the root is shown to be satisfiable.
Value nodes are built on demand.

Satisfiability is a least fixpoint over nodes, computed on demand: a node asks
only about children that its values cannot do without, so most answers are
immediate.  ``has(i)`` during a decision answers False for nodes not yet known
and records them; evaluation is monotone, so repeating it until nothing changes
ends in the least fixpoint, and recursion without a base case is empty.
"""

from __future__ import annotations

import gc
from typing import Any, Mapping, Optional, Union

from ...errors import LimitError, SchemaError, UnsatisfiableSchema, UnsupportedSchema
from ...grammar.ir import ArrayAlt, CoverageEntry, JsonGrammar, Options, ValueNode
from .coverage import coverage_of
from .documents import Documents, Site, pointer_of, short
from .forms import ANY, ANY_ARRAYS, ANY_FORM, ANY_OBJECTS, ARR, NONE, OBJ, ArrForm, Form, Layer, ObjForm, live_types, meet, type_form
from .keywords import TABLES, TYPE_NAMES
from .negate import Complement
from .lowering import BUSY, MAX_DEPTH, site_form, values_form
from .objects import key_node, object_alt, object_satisfiable
from .oneof import prove_disjoint
from .strlang import refine

__all__ = ["SchemaGrammar", "lower"]

#: nodes one grammar may have
MAX_NODES = 400_000
_PLAIN = frozenset(("type", "title", "description", "default", "examples", "$comment", "deprecated", "readOnly",
                    "writeOnly"))
_FREE = ((), ANY_ARRAYS, ANY_OBJECTS)
_SCALARS = ("string", "integer", "number", "boolean", "null")
_IN_PLACE = frozenset(("$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "not", "if",
                       "dependentSchemas", "dependencies"))
#: from so many on, the garbage collector rests while a schema is read
_LARGE = 2000


class Overlap(Exception):
    """Some oneOf could not be shown to be disjoint; carries the ids of their schemas."""


class SchemaGrammar(JsonGrammar):
    """The normal form of one JSON Schema.

    Attributes
    ----------
    root : int
        The node of the whole schema.
    relaxed : list of (str, str)
        With ``lenient=True``: pointer and keyword of what is not enforced.
    """

    def __init__(self, schema: Union[dict, bool], options: Options = Options(),
                 registry: Optional[Mapping[str, Any]] = None, lenient: bool = False,
                 overlapping: frozenset = frozenset()):
        self.options = options
        #: ids of the schemas whose oneOf is known to overlap, and is expanded with complements
        self.overlapping = overlapping
        self._nodes: dict[int, ValueNode] = {}
        self._coverage: Optional[list[CoverageEntry]] = None
        self.lenient = lenient
        self.relaxed: list[tuple[str, str]] = []
        self.depth = 0
        self.to_prove: list = []
        self.extras: dict = {}
        self._sites: list[tuple] = [()]
        self._forms: list[Optional[Form]] = [ANY_FORM]
        self._sats: list[Optional[bool]] = [True]
        self._same: list[int] = [0]
        self._ids: dict[tuple, int] = {(): 0}
        self._pairs: dict[tuple[int, int], int] = {}
        self._by_form: dict = {}
        self._types: dict[str, int] = {}
        #: schemas that are a bare type, and so got no site: (schema, parent, path)
        self.bare: list[tuple] = []
        self._consts: dict = {}
        self._absent: dict[str, Layer] = {}
        self._complements: dict[int, int] = {}
        self._wanted: Optional[list[int]] = None
        self._some_refused = False
        self._hard: list[int] = []
        if not isinstance(schema, (dict, bool)):
            raise SchemaError(f"a schema is an object or a boolean, not {type(schema).__name__}")
        if schema is False:
            raise UnsatisfiableSchema("the schema false allows no value", pointer="#")
        self.docs = Documents({} if schema is True else schema, registry)
        self.float_integers = self.docs.draft > 4
        if schema is True or not schema:
            self.root = ANY
            return
        self.root = self._node(self._target(self.docs.root.site))
        self._read_all()
        self._prove_all()
        if not self.has(self.root):
            pointer = self._culprit()
            raise UnsatisfiableSchema("no JSON value satisfies this schema", pointer=pointer)
        self.root = self._same[self.root]
        if self._some_refused:
            self._check_refused()
        for i in self._hard:                # what these may run into is an error here, not later
            if self.has(i):
                self.node(i)

    # -- numbering -------------------------------------------------------------------

    def _node(self, site: Site) -> int:
        """The number of one subschema."""
        node = site.node
        if node == -2:
            schema = site.schema
            if schema is True or schema is False:
                return ANY if schema else NONE
            node = site.node = self._new((site,))
        return node

    def _new(self, sites: tuple, form: Optional[Form] = None) -> int:
        node = len(self._forms)
        if node >= MAX_NODES:
            raise LimitError(f"the schema has more than {MAX_NODES} places", place="nodes of a schema",
                             limit=MAX_NODES)
        self._sites.append(sites)
        self._forms.append(form)
        self._sats.append(None)
        self._same.append(node)
        return node

    def checked(self, parent: Site, path: tuple, schema: Any) -> dict:
        """`schema` if it is one; for mappings that are no plain dict, a copy."""
        if isinstance(schema, Mapping):
            return dict(schema)
        raise SchemaError(f"a schema is an object or a boolean, not {type(schema).__name__}",
                          pointer=pointer_of(parent, *path), keyword=str(path[0]))

    def child(self, parent: Site, path: tuple, schema: Any) -> int:
        """The node of a subschema about another value (a property, an item)."""
        if type(schema) is not dict:
            if schema is True:
                return ANY
            if schema is False:
                return NONE
            schema = self.checked(parent, path, schema)
        plain = schema.get("type")
        if type(plain) is str:
            for keyword in schema:
                if keyword not in _PLAIN:
                    break
            else:      # a bare type, perhaps with annotations: by far the most common schema
                node = self._types.get(plain)
                if node is None and plain in TYPE_NAMES:
                    node = self._type_node(plain)
                if node is not None:
                    self.bare.append((schema, parent, path))
                    return node
        elif not schema:
            return ANY
        site = self.docs.site(schema, parent, path)
        node = site.node
        if node != -2:
            return node
        if "$ref" in schema:
            node = site.node = self._node(self._target(site))
            return node
        node = site.node = self._new((site,))
        return node

    def _type_node(self, name: str) -> int:
        """The one node of a bare type."""
        site = Site({"type": name}, None, (), self.docs.root)
        form = site.form = type_form(TYPE_NAMES[name])
        node = site.node = self._types[name] = self._new((site,), form)
        self._sats[node] = True
        self._same[node] = self._by_form.setdefault(form, node)
        return node

    def _target(self, site: Site) -> Site:
        """What a bare reference stands for; `site` itself if it says more."""
        seen = None
        while True:
            schema = site.schema
            if type(schema) is not dict or "$ref" not in schema:
                return site
            if len(schema) > 1 and site.res.draft > 7:
                table = TABLES[site.res.draft]
                if any(k in table and k != "$ref" for k in schema):
                    return site
            if seen is None:
                seen = set()
            if site in seen:
                raise SchemaError("this $ref leads back to itself, which defines nothing", pointer=site.pointer,
                                  keyword="$ref")
            seen.add(site)
            site = self.docs.resolve(site, schema["$ref"])

    def conj(self, a: int, b: int) -> int:
        """The node of values in both `a` and `b`."""
        if a == b or b == ANY:
            return a
        if a == ANY:
            return b
        if a < 0 or b < 0:
            return NONE
        found = self._pairs.get((a, b))
        if found is None:
            sites = tuple(dict.fromkeys(self._sites[a] + self._sites[b]))
            found = self._ids.get(sites)
            if found is None:
                found = sites[0].node if len(sites) == 1 else self._new(sites)
                self._ids[sites] = found
            self._pairs[a, b] = found
        return found

    def absent(self, name: str) -> Layer:
        """The group of keywords that forbids one key; one object for each name."""
        layer = self._absent.get(name)
        if layer is None:
            layer = self._absent[name] = Layer({name: NONE})
        return layer

    def complement(self, node: int, keyword: str, site: Site) -> int:
        """The node of the values not in `node`; read when its turn comes."""
        if node <= 0:
            return NONE if node == ANY else ANY
        found = self._complements.get(node)
        if found is None:
            found = self._new((Site(Complement(node, keyword, site), site, (), site.res),))
            self._sites[found][0].node = found
            self._complements[node] = found
            self._complements[found] = node
        return found

    def dead(self, obj: ObjForm) -> bool:
        """Certificate that an object alternative has no value: constants of a required key clash."""
        for name in obj.required:
            node, plain = ANY, 0
            for layer in obj.layers:
                here = layer.props.get(name, ANY)
                if here > 0 and self._plain(here):
                    plain += 1
                    node = self.conj(node, here)
            if plain > 1:
                form = self.form(node)
                if not (form.null or form.true or form.false or form.number or form.arrays or form.objects) \
                        and not refine(form.string):
                    return True
        return False

    def _plain(self, node: int) -> bool:
        """Whether a node is a scalar that can be read at any time."""
        for site in self._sites[node]:
            schema, form = site.schema, site.form
            if form is not None:
                if form is BUSY or form.arrays and form.arrays != ANY_ARRAYS \
                        or form.objects and form.objects != ANY_OBJECTS:
                    return False
            elif type(schema) is Complement:
                if not self._plain(schema.node):
                    return False
            elif type(schema) is not dict or not _IN_PLACE.isdisjoint(schema) \
                    or not ("const" in schema or "enum" in schema or schema.get("type") in _SCALARS):
                return False
        return True

    def const(self, value: Any, parent: Site) -> int:
        """The node of one JSON value."""
        key = None
        if value is None or isinstance(value, (str, bool, int, float)):
            key = (type(value), value)
            found = self._consts.get(key)
            if found is not None:
                return found
        site = Site(value, parent, (), parent.res)
        if self.depth >= MAX_DEPTH:
            raise LimitError(f"a constant nested more than {MAX_DEPTH} deep (at {short(parent.pointer)})", place=parent.pointer, limit=MAX_DEPTH)
        self.depth += 1
        try:
            site.form = values_form(self, (value,), 127, parent)
        finally:
            self.depth -= 1
        node = site.node = self._new((site,), site.form)
        if key is not None:
            self._consts[key] = node
        return node

    # -- forms -----------------------------------------------------------------------

    def form(self, i: int) -> Form:
        """The form of node `i`."""
        form = self._forms[i]
        if form is None:
            sites = self._sites[i]
            form = site_form(self, sites[0])
            for site in sites[1:]:
                try:
                    form = meet(form, site_form(self, site), self.conj, self.dead)
                except LimitError as err:
                    raise LimitError(f"{err.message} (at {short(site.pointer)})", place=site.pointer,
                                     limit=err.limit) from None
            self._forms[i] = form
            self._share(i, form)
        return form

    def _share(self, i: int, form: Form) -> None:
        """Equal scalar forms become one node."""
        if form.refused:
            return
        if not form.arrays and not form.objects:
            self._same[i] = self._by_form.setdefault(form, i)
        elif form.arrays in _FREE and form.objects in _FREE:
            self._same[i] = ANY if form is ANY_FORM else self._by_form.setdefault(form, i)

    def refuse(self, refused: list, types: int, keyword: str, site: Site) -> None:
        """Note that `keyword` at `site` is not enforced for `types`."""
        if self.lenient:
            self.relaxed.append((pointer_of(site, keyword), keyword))
        else:
            refused.append((types, keyword, site))

    def _read_all(self) -> None:
        """Read every subschema that values may come to."""
        i = 1
        forms = self._forms
        pause = False
        try:
            while i < len(forms):
                form = forms[i]
                if form is None:
                    form = self.form(i)
                if form.refused:
                    self._some_refused = True
                if form.string:
                    refine(form.string)     # what cannot be decided is an error here, not later
                for obj in form.objects:
                    if obj.keynames or obj.deps or obj.layers and any([layer.patterns for layer in obj.layers]):
                        self._hard.append(i)
                        break
                i += 1
                if i == _LARGE and gc.isenabled():
                    # All of this stays: collecting while it grows costs twice the work itself.
                    pause = True
                    gc.disable()
        finally:
            if pause:
                gc.enable()

    def _check_refused(self) -> None:
        """Refuse what is not enforced and bears on a value that can really occur.

        Without its refused keywords a place allows more, so what is
        unreachable or empty even then is harmless.
        """
        stack, seen = [self.root], {self.root}
        while stack:
            i = stack.pop()
            form = self.form(i)
            if form.refused:
                live = live_types(form)
                for types, keyword, site in form.refused:
                    if types & live:
                        raise unsupported(keyword, site)
            node = self.node(i)
            found = [k for alt in node.arrays for k in alt.prefix + (alt.items,)]
            for alt in node.objects:
                found += alt.nodes
                if alt.extra is not None:
                    n = len(alt.extra.atoms)
                    found += map(alt.extra.label, range(1 << n) if n <= 8 else [0] + [1 << k for k in range(n)])
            for k in found:
                if k >= 0 and k not in seen:
                    seen.add(k)
                    stack.append(k)

    def _prove_all(self) -> None:
        overlapping = []
        for site, branches, types, context in self.to_prove:
            if not prove_disjoint(self, branches, types, context):
                overlapping.append(id(site.schema))
        self.to_prove.clear()
        if overlapping:
            raise Overlap(frozenset(overlapping))

    # -- satisfiability --------------------------------------------------------------

    def has(self, i: int) -> bool:
        """Whether node `i` has a value (see the module's text on decisions)."""
        if i <= 0:
            return i == 0
        known = self._sats[i]
        if known is not None:
            return known
        if self._wanted is not None:
            self._wanted.append(i)
            return False
        self._decide(i)
        return self._sats[i]

    def satisfiable(self, form: Form) -> bool:
        """Whether a form that belongs to no node has a value."""
        i = self._new((), form)
        return self.has(i)

    def _decide(self, i: int) -> None:
        sats = self._sats
        known: dict[int, None] = {i: None}
        stack = [i]
        tried: set[int] = set()
        self._wanted = wanted = []
        try:
            while stack:
                j = stack[-1]
                if sats[j] is not None:
                    stack.pop()
                    continue
                wanted.clear()
                if self._evaluate(j):
                    sats[j] = True
                    stack.pop()
                    continue
                new = [k for k in wanted if k not in known]
                if not new and (j in tried or not any(sats[k] for k in wanted)):
                    stack.pop()
                tried.add(j)
                known.update(dict.fromkeys(new))
                stack += new
            rest = [j for j in known if sats[j] is None]
            changed = True
            while changed and rest:
                changed = False
                for j in reversed(rest):
                    if self._evaluate(j):
                        sats[j] = changed = True
                rest = [j for j in rest if sats[j] is None]
            # Nodes first met in the last rounds are unknown still only if they too
            # depend on nothing but unknown ones.
            for j in known:
                if sats[j] is None:
                    sats[j] = False
        finally:
            self._wanted = None

    def _evaluate(self, i: int) -> bool:
        form = self.form(i)
        if form.null or form.true or form.false or form.number:
            return True
        if form.string and refine(form.string):
            return True
        for arr in form.arrays:
            if self._array_satisfiable(arr):
                return True
        for obj in form.objects:
            if object_satisfiable(self, obj):
                return True
        return False

    def _array_satisfiable(self, arr: ArrForm) -> bool:
        if arr.min == 0:
            return True
        if arr.max is not None and arr.max < arr.min:
            return False
        good = True
        for node in arr.prefix[:arr.min]:
            good = self.has(node) and good
        return good and (arr.min <= len(arr.prefix) or self.has(arr.items))

    def _culprit(self) -> str:
        """The pointer of the innermost schema that makes the root unsatisfiable."""
        i, seen = self.root, set()
        while True:
            seen.add(i)
            form = self.form(i)
            bad: list[tuple[int, str]] = []
            if live_types(form) == OBJ and len(form.objects) == 1:
                obj = form.objects[0]
                nodes = {name: key_node(self, obj, name) for name in obj.required}
                bad = [(node, name) for name, node in nodes.items() if not self.has(node)]
            elif live_types(form) == ARR and len(form.arrays) == 1:
                arr = form.arrays[0]
                bad = [(k, "") for k in arr.prefix[:arr.min] + (arr.items,) if not self.has(k)]
            if not bad or bad[0][0] in seen:
                break
            if bad[0][0] == NONE:
                for site in self._sites[i]:
                    declared = site.schema.get("properties") if isinstance(site.schema, dict) else None
                    if isinstance(declared, dict) and bad[0][1] in declared:
                        return pointer_of(site, "properties", bad[0][1])
                break
            i = bad[0][0]
        sites = self._sites[i]
        return sites[0].pointer if sites else "#"

    # -- value nodes -----------------------------------------------------------------

    def out(self, i: int) -> int:
        """Node `i` as it appears in value nodes: shared, or -1 when empty."""
        return self._same[i] if i >= 0 and (i == 0 or self._sats[i] or self.has(i)) else NONE

    def _build(self, i: int) -> ValueNode:
        form = self.form(i)
        if not form.arrays and not form.objects:
            return ValueNode(form.null, form.true, form.false, form.number,
                             refine(form.string) if form.string else ())
        arrays = []
        for arr in form.arrays:
            alt = self._array_alt(arr)
            if alt is not None:
                arrays.append(alt)
        objects = []
        for obj in form.objects:
            alt = object_alt(self, obj)
            if alt is not None:
                objects.append(alt)
        return ValueNode(form.null, form.true, form.false, form.number,
                         refine(form.string) if form.string else (),
                         tuple(arrays) if len(arrays) < 2 else tuple(dict.fromkeys(arrays)),
                         tuple(objects) if len(objects) < 2 else tuple(dict.fromkeys(objects)))

    def _array_alt(self, arr: ArrForm) -> Optional[ArrayAlt]:
        items, hi = self.out(arr.items), arr.max
        prefix: tuple = ()
        if arr.prefix:
            nodes = []
            for node in arr.prefix if hi is None else arr.prefix[:hi]:
                node = self.out(node)
                if node < 0:
                    items = NONE
                    break
                nodes.append(node)
            prefix = tuple(nodes)
        if items < 0:
            hi = len(prefix) if hi is None else min(hi, len(prefix))
        if hi is not None and hi <= len(prefix):
            items, prefix = NONE, prefix[:hi]
        if hi is not None and arr.min > hi:
            return None
        return ArrayAlt(prefix, items, arr.min, hi)

    @property
    def coverage(self) -> list[CoverageEntry]:
        """What became of each keyword, in document order; made on first use."""
        if self._coverage is None:
            self._coverage = coverage_of(self)
        return self._coverage


def unsupported(keyword: str, site: Site) -> UnsupportedSchema:
    """The refusal of `keyword` at `site`."""
    if keyword == "oneOf":
        what = "oneOf whose branches are neither provably disjoint nor simple enough to be told apart"
    elif keyword in ("not", "if"):
        what = f"this use of {keyword}, which needs the complement of too rich a schema,"
    else:
        what = keyword
    what += " is not enforced yet"
    hint = "write anyOf if branches may overlap, or pass lenient=True" if keyword == "oneOf" else \
        "lenient=True compiles the schema without it and lists it in the coverage"
    return UnsupportedSchema(what, pointer=pointer_of(site, keyword), keyword=keyword, hint=hint)


def lower(schema: Union[dict, bool], options: Options = Options(), registry: Optional[Mapping[str, Any]] = None,
          lenient: bool = False) -> SchemaGrammar:
    """The normal form of a JSON Schema.

    Parameters
    ----------
    schema : dict or bool
        The schema, as parsed JSON (see :func:`~.read.read_schema` for texts
        and files).  It must not be changed afterwards.
    options : Options
        What defines the language beside the schema.
    registry : mapping, optional
        Further schemas by URI, for ``$ref``.  Nothing is ever fetched.
    lenient : bool
        Drop what cannot be enforced and list it, instead of refusing.

    Raises
    ------
    SchemaError
        A keyword's value cannot be read, or a reference not resolved.
    UnsupportedSchema
        A keyword that is not enforced bears on some value.
    UnsatisfiableSchema
        No value at all is valid.
    LimitError
        The normal form would be too large.

    Examples
    --------
    >>> g = lower({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    >>> g.node(g.root).objects[0].names
    ('n',)
    """
    overlapping: frozenset = frozenset()
    while True:
        try:
            return SchemaGrammar(schema, options, registry, lenient, overlapping)
        except Overlap as found:      # rare: read it again, now with complements where branches overlap
            overlapping |= found.args[0]
