"""Schema documents: where a subschema stands, and what a ``$ref`` means there.

A :class:`Site` is one subschema with its place; a :class:`Resource` is a
schema with its own base URI (a document, or a part of one with ``$id``).  A
dictionary of the document has one site per resource, so every way to reach it
gives the same object.  :class:`Documents` resolves references: JSON Pointers
with both escapings, ``$id``/``id`` bases, ``$anchor``, a registry the user
gives, and the published metaschemas.  Nothing is ever fetched.

``$dynamicRef`` and ``$recursiveRef`` mean different things on different ways to
a schema: which resource was entered first counts.  A schema that has them is
read with *views*: a resource as seen where certain dynamic anchors are taken
(name -> the schema first met), with sites of its own.  Entering a resource adds
its anchors where their names are free, so views are finitely many, and lowering
two views of one schema is lowering two schemas.  Other schemas never pay for
this: the first dynamic reference met raises :class:`DynamicScope`, and the
schema is read again with views.

A metaschema of the user's own (``$schema`` names an entry of the registry) may
choose vocabularies; a resource's *dialect* says which keywords it has.

The search for embedded ``$id`` and for anchors walks a document once, and only
when some reference needs it.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional, Union
from urllib.parse import unquote, urldefrag, urljoin

from ...errors import LimitError, SchemaError, UnsupportedSchema

__all__ = ["Site", "Resource", "Documents", "DynamicScope", "Dialect", "pointer_of", "short", "draft_of", "DRAFTS",
           "MAX_VIEWS"]

#: a draft, or a draft and the vocabularies a metaschema chose of it
Dialect = Union[int, tuple[int, frozenset[str]]]

#: the drafts understood, as they are numbered in this package
DRAFTS = {
    "http://json-schema.org/draft-04/schema": 4,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "http://json-schema.org/schema": 2020,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}
DEFAULT_DRAFT = 2020
#: views one schema may have
MAX_VIEWS = 2000

#: vocabularies by the last part of their URI, as the keyword table names them
_VOCABULARIES = {
    2019: {"core": ("core",), "applicator": ("applicator", "unevaluated"), "validation": ("validation",),
           "meta-data": (), "format": ("format",), "content": ()},
    2020: {"core": ("core",), "applicator": ("applicator",), "unevaluated": ("unevaluated",),
           "validation": ("validation",), "meta-data": (), "format-annotation": ("format",),
           "format-assertion": ("format",), "content": ()},
}


class DynamicScope(Exception):
    """A dynamic reference was met while reading without views."""

#: keywords whose value is one schema, a list of schemas, or a map of schemas
_ONE = ("additionalItems", "additionalProperties", "contains", "else", "if", "items", "not",
        "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties", "contentSchema")
_LIST = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_MAP = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")


class Resource:
    """A schema with a base URI of its own, relative to that of `parent` (a URI or a resource).

    A view is a resource whose `base` is the resource seen, `scope` the dynamic
    anchors taken there; else `base` is the resource itself and `scope` None.
    """

    __slots__ = ("own", "parent", "draft", "dialect", "sites", "refs", "anchors", "dynamic", "site", "_uri",
                 "base", "scope", "views")

    def __init__(self, own: str, parent: Union[str, "Resource"], dialect: Dialect,
                 base: Optional["Resource"] = None):
        self.own = own
        self.parent = parent
        self.dialect = dialect
        self.draft: int = dialect if isinstance(dialect, int) else dialect[0]
        self.sites: dict[int, Site] = {}
        self.refs: dict[str, Site] = {}
        self.anchors: Optional[dict[str, Site]] = None
        #: dynamic anchors by name; a recursive anchor (2019-09) has the name ""
        self.dynamic: dict[str, Site] = {}
        self._uri: Optional[str] = None
        self.base = self if base is None else base
        self.scope: Optional[frozenset[tuple[str, Site]]] = None
        self.views: dict[frozenset[tuple[str, Site]], Resource] = {}

    @property
    def uri(self) -> str:
        """The absolute URI; worked out when asked for, since few schemas need it."""
        if self._uri is None:
            base = self.parent if isinstance(self.parent, str) else self.parent.uri
            self._uri = urljoin(base, self.own) if self.own else base
        return self._uri


class Site:
    """One subschema and its place.

    `form` and `node` belong to the lowering; `path` are the pointer segments
    from `parent`.
    """

    __slots__ = ("schema", "parent", "path", "res", "form", "node")

    def __init__(self, schema: Any, parent: Optional["Site"], path: tuple, res: Resource):
        self.schema = schema
        self.parent = parent
        self.path = path
        self.res = res
        self.form: Any = None
        self.node = -2

    @property
    def pointer(self) -> str:
        """JSON Pointer as a URI fragment, within the document it stands in."""
        parts: list[str] = []
        site = self
        while site.parent is not None:
            parts[:0] = [str(p).replace("~", "~0").replace("/", "~1") for p in site.path]
            site = site.parent
        uri = site.res.uri if site.path else ""
        return uri + "#" + "".join("/" + p for p in parts)


def pointer_of(site: Site, *more: Any) -> str:
    """The pointer of a place below `site`."""
    return site.pointer + "".join("/" + str(p).replace("~", "~0").replace("/", "~1") for p in more)


def short(pointer: str) -> str:
    """A pointer for a message: the middle of a very long one is left out."""
    return pointer if len(pointer) <= 200 else f"{pointer[:100]}...{pointer[-80:]}"


def draft_of(schema: Any, default: int) -> int:
    """The draft a schema names by ``$schema``, else `default`.

    An unknown ``$schema`` (a dialect of someone's own) also means `default`.

    Examples
    --------
    >>> draft_of({"$schema": "http://json-schema.org/draft-07/schema#"}, 2020)
    7
    """
    uri = schema.get("$schema") if isinstance(schema, dict) else None
    if uri is None:
        return default
    if not isinstance(uri, str):
        raise SchemaError("$schema must be a string", pointer="#/$schema", keyword="$schema")
    uri = uri.rstrip("#")
    draft = DRAFTS.get(uri)
    if draft is None:
        other = uri.removeprefix("https:" if uri.startswith("https:") else "http:")
        draft = DRAFTS.get("http:" + other) or DRAFTS.get("https:" + other)
    if draft is None:
        if uri.endswith(("draft-03/schema", "draft-02/schema", "draft-01/schema")):
            raise UnsupportedSchema(f"$schema: {uri} is older than draft 4", pointer="#/$schema", keyword="$schema",
                                    hint="rewrite the schema for draft 4 or later")
        return default
    return draft


class Documents:
    """All schemas one lowering can see; with `dynamic` they are read in views."""

    def __init__(self, schema: dict, registry: Optional[Mapping[str, Any]], dynamic: bool = False):
        self.registry = registry or {}
        self._dialects: dict[str, Optional[Dialect]] = {}
        dialect = self.dialect_of(schema, DEFAULT_DRAFT)
        self.draft: int = dialect if isinstance(dialect, int) else dialect[0]
        self.dynamic = dynamic
        self._views = 0
        self.resources: dict[str, Resource] = {}
        self._parts: dict[int, Resource] = {}      # id(dict) -> embedded resource
        self._unnamed: list[Resource] = []         # not in `resources` under their own URI yet
        self._pending: list[Resource] = []         # resources not searched for embedded ones yet
        self._keep: list[Any] = []
        self.root = self._document("", schema, dialect)
        if dynamic:
            self.root = self._view(self.root, frozenset())

    # -- dialects --------------------------------------------------------------------

    def dialect_of(self, schema: Any, default: Dialect) -> Dialect:
        """What ``$schema`` makes of a schema; metaschemas may stand in the registry."""
        uri = schema.get("$schema") if isinstance(schema, dict) else None
        if uri is None:
            return default
        draft = draft_of(schema, 0)
        if draft:
            return draft
        uri = uri.rstrip("#")
        if uri not in self._dialects:
            self._dialects[uri] = None          # a metaschema may describe itself
            self._dialects[uri] = self._described(uri)
        found = self._dialects[uri]
        return default if found is None else found

    def _described(self, uri: str) -> Optional[Dialect]:
        meta = self.registry.get(uri, self.registry.get(uri + "#"))
        if not isinstance(meta, dict):
            return None
        dialect = self.dialect_of(meta, DEFAULT_DRAFT)
        draft = dialect if isinstance(dialect, int) else dialect[0]
        chosen = meta.get("$vocabulary")
        if draft < 2019 or not isinstance(chosen, dict):
            return draft
        known = _VOCABULARIES[draft]
        names: set[str] = {"core"}
        for name, needed in chosen.items():
            parts = known.get(name.rpartition("/vocab/")[2]) if name.startswith(
                "https://json-schema.org/draft/") else None
            if parts is not None:
                names.update(parts)
            elif needed:
                raise UnsupportedSchema(f"the metaschema {uri} needs the vocabulary {name}, which is not known",
                                        pointer="#/$schema", keyword="$vocabulary")
        return draft, frozenset(names)

    # -- resources -------------------------------------------------------------------

    def _document(self, uri: str, schema: dict, dialect: Dialect) -> Resource:
        draft = dialect if isinstance(dialect, int) else dialect[0]
        res = Resource(self._own_id(schema, draft) or "", uri, dialect)
        res.site = res.sites[id(schema)] = Site(schema, None, () if not self._keep else ("",), res)
        self._keep.append(schema)
        self._parts[id(schema)] = res
        self.resources.setdefault(uri, res)
        self._unnamed.append(res)
        self._pending.append(res)
        return res

    @staticmethod
    def _own_id(schema: dict, draft: int) -> Optional[str]:
        """The base URI a schema sets, without its fragment; None if it sets none."""
        name = schema.get("id" if draft == 4 else "$id")
        if not isinstance(name, str) or name.startswith("#") or draft <= 7 and "$ref" in schema:
            return None
        return name.partition("#")[0] or None

    def part(self, parent: Resource, schema: dict, site: Site) -> Resource:
        """The resource `schema` starts when it has an id, else `parent`."""
        own = self._own_id(schema, parent.draft)
        if own is None:
            return parent
        res = self._parts.get(id(schema))
        if res is None:
            res = Resource(own, parent.base, self.dialect_of(schema, parent.dialect))
            if parent.scope is not None:
                site = Site(schema, site.parent, site.path, res)
            res.site = res.sites[id(schema)] = site
            self._parts[id(schema)] = res
            self._unnamed.append(res)
        return res if parent.scope is None else self._view(res, parent.scope)

    # -- views -----------------------------------------------------------------------

    def _view(self, res: Resource, scope: frozenset) -> Resource:
        """`res` as seen where the dynamic anchors in `scope` are taken, itself entered."""
        base = res.base
        self._anchors(base)
        taken = dict(scope)
        scope |= {(name, site) for name, site in base.dynamic.items() if name not in taken}
        view = base.views.get(scope)
        if view is None:
            self._views += 1
            if self._views > MAX_VIEWS:
                raise LimitError(f"more than {MAX_VIEWS} combinations of dynamic anchors",
                                 place="views of schemas with $dynamicRef", limit=MAX_VIEWS)
            view = base.views[scope] = Resource(base.own, base.parent, base.dialect, base)
            view.scope = scope
            view.site = self._seen(base.site, view)
        return view

    @staticmethod
    def _seen(site: Site, view: Resource) -> Site:
        """The site of a view that stands where `site` does."""
        found = view.sites.get(id(site.schema))
        if found is None:
            found = Site(site.schema, site.parent, site.path, view)
            if type(site.schema) is dict:
                view.sites[id(site.schema)] = found
        return found

    def resolve_dynamic(self, site: Site, ref: Any, keyword: str) -> Site:
        """The target of a ``$dynamicRef`` or ``$recursiveRef`` at `site`."""
        if not self.dynamic:
            raise DynamicScope
        found = self.resolve(site, ref, keyword)
        name = "" if keyword == "$recursiveRef" else unquote(ref.partition("#")[2])
        anchor = found.res.base.dynamic.get(name)
        if anchor is None or anchor.schema is not found.schema or not name and keyword == "$dynamicRef":
            return found        # not a dynamic anchor, so the reference is a plain one
        assert found.res.scope is not None
        first = dict(found.res.scope)[name]
        return self._seen(first, self._view(first.res, found.res.scope))

    def site(self, schema: dict, parent: Site, path: tuple) -> Site:
        """The site of a subschema standing at `path` below `parent`."""
        res = parent.res
        found = res.sites.get(id(schema))
        if found is not None:
            return found
        site = Site(schema, parent, path, res)
        if "$id" in schema or "id" in schema:
            part = self.part(res, schema, site)
            if part is not res:
                site = part.site
                site.res = part
        res.sites[id(schema)] = site
        return site

    def all_resources(self) -> list[Resource]:
        """Every resource met so far, views among them."""
        return [r for part in self._parts.values() for r in (part, *part.views.values())]

    # -- references ------------------------------------------------------------------

    def resolve(self, site: Site, ref: Any, keyword: str = "$ref") -> Site:
        """The target of a ``$ref`` at `site`; a boolean target gives a site too."""
        res = site.res
        if type(ref) is str:
            found = res.refs.get(ref)
            if found is not None:
                return found
        else:
            raise SchemaError(f"{keyword} must be a string", pointer=pointer_of(site, keyword), keyword=keyword)
        target = res.base
        fragment = ref[1:]
        if not ref.startswith("#"):
            try:
                uri, fragment = urldefrag(urljoin(res.uri, ref))
            except ValueError as err:
                raise SchemaError(f"{keyword} {ref!r} is not a URI reference: {err}",
                                  pointer=pointer_of(site, keyword), keyword=keyword) from None
            target = self._named(uri) or self._find(uri)
            if target is None:
                raise SchemaError(
                    f"cannot resolve {keyword} {ref!r}: no schema with the URI {uri!r} is known",
                    pointer=pointer_of(site, keyword), keyword=keyword,
                    hint="structgen never uses the network; give the schema through registry={uri: schema}")
        if not fragment:
            found = target.site
        elif fragment[0] == "/":
            found = self._walk(target, fragment)
        else:
            found = self._anchors(target).get(unquote(fragment))
        if found is None:
            raise SchemaError(f"cannot resolve {keyword} {ref!r}: there is no such place in the schema",
                              pointer=pointer_of(site, keyword), keyword=keyword)
        if not isinstance(found.schema, (dict, bool)):
            raise SchemaError(f"{keyword} {ref!r} points at {type(found.schema).__name__}, not at a schema",
                              pointer=pointer_of(site, keyword), keyword=keyword)
        if res.scope is not None:
            found = self._seen(found, self._view(found.res, res.scope))
        res.refs[ref] = found
        return found

    def _named(self, uri: str) -> Optional[Resource]:
        for res in self._unnamed:
            self.resources.setdefault(res.uri, res)
        self._unnamed.clear()
        return self.resources.get(uri)

    def _walk(self, res: Resource, fragment: str) -> Optional[Site]:
        site = res.site
        value, path = site.schema, []
        for part in unquote(fragment).split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict):
                if part not in value:
                    return None
                value = value[part]
            elif isinstance(value, (list, tuple)):
                if not part.isascii() or not part.isdigit() or int(part) >= len(value):
                    return None
                value = value[int(part)]
            else:
                return None
            path.append(part)
            if type(value) is dict and ("$id" in value or "id" in value):
                site = self.site(value, site, tuple(path))
                path = []
        if not path:
            return site
        if type(value) is dict:
            return self.site(value, site, tuple(path))
        return Site(value, site, tuple(path), site.res)

    def _find(self, uri: str) -> Optional[Resource]:
        """A resource by URI: embedded ones, then the registry, then metaschemas."""
        while self._pending:
            doc = self._pending.pop()
            for _ in self._subsites(doc.site, cross=True):
                pass
            if self._named(uri) is not None:
                return self.resources[uri]
        schema = self.registry.get(uri)
        if schema is None:
            schema = self.registry.get(uri + "#")
        if schema is None and uri.startswith(("http://json-schema.org/", "https://json-schema.org/")):
            from jsonschema_specifications import REGISTRY
            found = REGISTRY.get(uri) or REGISTRY.get(uri + "#")
            schema = None if found is None else found.contents
        if schema is None:
            return None
        if not isinstance(schema, (dict, bool)):
            raise SchemaError(f"the registry entry {uri!r} is not a schema")
        if isinstance(schema, bool):
            schema = {} if schema else {"enum": []}
        return self._document(uri, schema, self.dialect_of(schema, self.draft))

    def _anchors(self, res: Resource) -> dict[str, Site]:
        if res.anchors is None:
            res.anchors = anchors = {}
            if res.draft == 2019 and res.site.schema.get("$recursiveAnchor") is True:
                res.dynamic[""] = res.site
            for site in self._subsites(res.site, cross=False):
                schema = site.schema
                if res.draft >= 2019:
                    names = [schema.get("$anchor"), schema.get("$dynamicAnchor")]
                    if res.draft > 2019 and isinstance(names[1], str):
                        res.dynamic.setdefault(names[1], site)
                else:
                    name = schema.get("id" if res.draft == 4 else "$id")
                    names = [name.partition("#")[2]] if isinstance(name, str) and "#" in name else ()
                for name in names:
                    if isinstance(name, str) and name:
                        anchors.setdefault(name, site)
        return res.anchors

    def _subsites(self, root: Site, cross: bool) -> Iterator[Site]:
        """Every subschema below `root` in a place where schemas stand."""
        stack, seen = [root], {id(root.schema)}
        while stack:
            site = stack.pop()
            if site.res is not root.res and not cross:
                continue
            yield site
            schema = site.schema
            if site.res.draft <= 7 and "$ref" in schema and not ("definitions" in schema or "$defs" in schema):
                continue
            found: list[tuple[Any, tuple]] = []
            for key in _ONE:
                if key in schema:
                    found.append((schema[key], (key,)))
            for key in _LIST:
                value = schema.get(key)
                if isinstance(value, list):
                    found += [(sub, (key, i)) for i, sub in enumerate(value)]
            for key in _MAP:
                value = schema.get(key)
                if isinstance(value, dict):
                    found += [(sub, (key, name)) for name, sub in value.items()]
            for sub, path in reversed(found):
                if type(sub) is dict and id(sub) not in seen:
                    seen.add(id(sub))
                    stack.append(self.site(sub, site, path))
