"""The table of nodes: numbers for subschemas, and for conjunctions of them.

A node is a conjunction of subschemas, interned as the tuple of their sites;
0 is any value, -1 none.  A bare reference is the node of its target, a bare
type one node for the whole grammar, and a complement or a constant has a site
of its own kind.  Nothing is read before its form is asked for.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ...errors import LimitError, SchemaError
from ...grammar.strings import ANY_STRING, StrLang
from .documents import Documents, Site, pointer_of, short
from .forms import (ANY, ANY_ARRAYS, ANY_FORM, ANY_OBJECTS, NONE, Form, Layer, ObjForm, meet, type_form)
from .keywords import TABLES, TYPE_NAMES
from .lowering import site_form
from .negate import Complement, outer_strings
from .own_keywords import BUSY, MAX_DEPTH, values_form
from .strlang import refine

__all__ = ["NodeTable", "MAX_NODES"]

#: nodes one grammar may have
MAX_NODES = 400_000
#: keywords that leave a bare type what it is
_PLAIN = frozenset(("type", "title", "description", "default", "examples", "$comment", "deprecated", "readOnly",
                    "writeOnly"))
_FREE = ((), ANY_ARRAYS, ANY_OBJECTS)
_SCALARS = ("string", "integer", "number", "boolean", "null")
_IN_PLACE = frozenset(("$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "not", "if",
                       "dependentSchemas", "dependencies"))


class NodeTable:
    """Numbers, and what they stand for."""

    docs: Documents

    def __init__(self, lenient: bool, overlapping: Mapping[int, frozenset]):
        self.lenient = lenient
        #: ids of the schemas whose oneOf is known to overlap, with the pairs of branches that do
        self.overlapping = overlapping
        #: whether pairs of branches not among these may overlap all the same: see :func:`~.grammar.lower`
        self.recheck = False
        #: whether some form was complemented; whether a value may be in neither of a node and its complement
        self.negations = self.approximate = False
        #: whether a format that is read in part was met; whether such formats stand for all they may mean
        self.formats_in_part = self.outer = False
        self.relaxed: list[tuple[str, str]] = []
        #: schemas that are a bare type, and so got no site: (schema, parent, path)
        self.bare: list[tuple] = []
        #: oneOf still to be proved disjoint: (site, branches, types, context)
        self.to_prove: list[tuple] = []
        #: applicators in place entered just now
        self.depth = 0
        self._sites: list[tuple] = [()]
        self._forms: list[Optional[Form]] = [ANY_FORM]
        self._sats: list[Optional[bool]] = [True]
        self._same: list[int] = [0]
        self._ids: dict[tuple, int] = {(): 0}
        self._pairs: dict[tuple[int, int], int] = {}
        self._by_form: dict[Form, int] = {}
        self._types: dict[str, int] = {}
        self._consts: dict = {}
        self._absent: dict[str, Layer] = {}
        self._complements: dict[int, int] = {}
        #: for unevaluatedProperties and -Items: forms with marks by site, nodes of unions
        self.marked: dict[Site, Any] = {}
        self.unions: dict[tuple[int, ...], int] = {}
        #: nodes of everything but some values, by those values
        self.excluded: dict[frozenset, int] = {}
        self.unique_items = False

    def _node(self, site: Site) -> int:
        """The number of one subschema."""
        node = site.node
        if node == -2:
            schema = site.schema
            if schema is True or schema is False:
                return ANY if schema else NONE
            node = site.node = self._new((site,))
        return node

    def sites_of(self, node: int) -> tuple[Site, ...]:
        """The subschemas whose conjunction `node` is."""
        return self._sites[node] if node > 0 else ()

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
        if type(plain) is str and type(parent.res.dialect) is int:
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
                table = TABLES[site.res.dialect]
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
            if self._complements and self._clash(a, b):
                self._pairs[a, b] = NONE
                return NONE
            sites = tuple(dict.fromkeys(self._sites[a] + self._sites[b]))
            found = self._ids.get(sites)
            if found is None:
                found = sites[0].node if len(sites) == 1 else self._new(sites)
                self._ids[sites] = found
            self._pairs[a, b] = found
        return found

    def _clash(self, a: int, b: int) -> bool:
        """Whether one of the conjuncts is plainly the complement of another, or of several of the others."""
        sites = {*self._sites[a], *self._sites[b]}
        of = [self._sites[site.schema.node] for site in sites if type(site.schema) is Complement]
        return any(conjuncts and sites.issuperset(conjuncts) for conjuncts in of)

    def absent(self, name: str) -> Layer:
        """The group of keywords that forbids one key; one object for each name."""
        layer = self._absent.get(name)
        if layer is None:
            layer = self._absent[name] = Layer({name: NONE}, own=False)
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

    def negated(self, node: int) -> int:
        """The complement of a node that is a complement or has one."""
        found = self._complements.get(node)
        if found is None:
            site = self._sites[node][0]
            found = self.complement(node, "not", site)
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
            if node == NONE:
                return True
            if plain > 1:
                form = self.form(node)
                if not (form.null or form.true or form.false or form.number or form.arrays or form.objects) \
                        and not self.strings(form.string):
                    return True
        return False

    def strings(self, lang: StrLang) -> StrLang:
        """`lang` refined, empty if it is; where formats are read in part, if no string may be of it."""
        if self.formats_in_part:
            lang = ANY_STRING if (wide := outer_strings(lang)) is None else wide
        return refine(lang)

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
            raise LimitError(f"a constant nested more than {MAX_DEPTH} deep (at {short(parent.pointer)})",
                             place=parent.pointer, limit=MAX_DEPTH)
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
        refused.append((types, keyword, site))
