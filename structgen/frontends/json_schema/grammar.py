"""The grammar of a schema: what is known at construction, and value nodes.

:class:`SchemaGrammar` does at construction what must be known then: every
reachable subschema is read (bad values, references, refused keywords),
``oneOf`` proofs are made, and the root is shown to be satisfiable.  Value
nodes are built on demand.  Cost: about 5 us a subschema, and 3 us a node
built.
"""

from __future__ import annotations

import gc
from copy import copy
from typing import Any, Mapping, Optional, Sequence, Union

from ...errors import LimitError, SchemaError, UnsatisfiableSchema, UnsupportedSchema
from ...grammar.arrays import MANY_VALUES, canonical
from ...grammar.ir import CoverageEntry, Extra, JsonGrammar, Options, ValueNode
from ...grammar.strings import Length
from .arrays import array_alt, values_of
from .coverage import coverage_of
from .documents import Documents, DynamicScope, Site, pointer_of
from .clauses import object_alts
from .excluded import excluding
from .forms import ANY, NO_FORM, NONE, live_types
from .oneof import overlapping_pairs
from .satisfy import Satisfiability
from .strlang import refine

__all__ = ["SchemaGrammar", "lower"]

#: from so many nodes on, the garbage collector rests while a schema is read
_LARGE = 2000


class Overlap(Exception):
    """Some oneOf could not be shown to be disjoint; carries the pairs of branches by the ids of their schemas,
    and whether anything was complemented."""


class SchemaGrammar(Satisfiability, JsonGrammar):
    """The normal form of one JSON Schema.

    Attributes
    ----------
    root : int
        The node of the whole schema.
    relaxed : list of (str, str)
        With ``lenient=True``: pointer and keyword of what is not enforced,
        just what would have been refused.
    """

    def __init__(self, schema: Union[dict, bool], options: Options = Options(),
                 registry: Optional[Mapping[str, Any]] = None, lenient: bool = False,
                 overlapping: Mapping[int, frozenset] = {}, dynamic: bool = False, recheck: bool = False):
        super().__init__(lenient, overlapping)
        self.recheck = recheck
        self.options = options
        self._nodes: dict[int, ValueNode] = {}
        self._coverage: Optional[list[CoverageEntry]] = None
        self.extras: dict[int, Extra] = {}
        self._some_refused = False
        self._hard: list[int] = []
        self._without: dict[tuple, int] = {}
        if not isinstance(schema, (dict, bool)):
            raise SchemaError(f"a schema is an object or a boolean, not {type(schema).__name__}")
        if schema is False:
            raise UnsatisfiableSchema("the schema false allows no value", pointer="#")
        self.docs = Documents({} if schema is True else schema, registry, dynamic)
        self.float_integers = self.docs.draft > 4
        if schema is True or not schema:
            self.root = ANY
            return
        self.root = self._node(self._target(self.docs.root.site))
        self._read_all()
        self._prove_all()
        if not self.has(self.root):
            from .impossible import contradiction
            pointer, node = self._culprit()
            raise UnsatisfiableSchema("no JSON value satisfies this schema", pointer=pointer,
                                      hint=contradiction(self, node))
        self.root = self._same[self.root]
        if self._some_refused:
            self._check_refused()
        for i in self._hard:                # what these may run into is an error here, not later
            if self.has(i):
                self.node(i)

    # -- reading ---------------------------------------------------------------------

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
                for arr in form.arrays:
                    if arr.contains:
                        self._hard.append(i)
                    if arr.repeats:
                        self._some_refused = True
                for obj in form.objects:
                    if obj.clauses:
                        self._some_refused = True     # nodes of parts of values appear later: look at all of them
                    if (obj.keynames or obj.deps or obj.clauses or obj.every
                            or obj.layers and any([layer.patterns for layer in obj.layers])):
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
        unreachable or empty even then is harmless.  With ``lenient=True``
        it is listed instead.
        """
        relaxed: dict[tuple[str, str], None] = {}
        stack, seen = [self.root], {self.root}
        while stack:
            i = stack.pop()
            form = self.form(i)
            if form.refused:
                live = live_types(form)
                for types, keyword, site in form.refused:
                    if types & live:
                        if not self.lenient:
                            raise unsupported(keyword, site)
                        relaxed[pointer_of(site, keyword), keyword] = None
            for arr in form.arrays:
                if arr.repeats:
                    keyword, site = arr.repeats
                    if not self.lenient:
                        raise unsupported(keyword, site)
                    relaxed[pointer_of(site, keyword), keyword] = None
            node = self.node(i)
            found = [k for alt in node.arrays for k in alt.children()]
            for alt in node.objects:
                found += alt.nodes
                found += [k for ways in alt.ways for _, k in ways]
                if alt.clauses and alt.extra is not None:
                    found += [k for _, ways in alt.extra.ways for _, k in ways]
                elif alt.extra is not None:
                    n = len(alt.extra.atoms)
                    found += map(alt.extra.label, range(1 << n) if n <= 8 else [0] + [1 << k for k in range(n)])
            for k in found:
                if k >= 0 and k not in seen:
                    seen.add(k)
                    stack.append(k)
        self.relaxed = list(relaxed)

    def _prove_all(self) -> None:
        overlapping: dict[int, frozenset] = {}
        prover = self._outer() if self.to_prove and self.formats_in_part else self
        for site, branches, types, context in self.to_prove:
            pairs = overlapping_pairs(prover, branches, types, context)
            pairs -= self.overlapping.get(id(site.schema), frozenset())
            if pairs:
                overlapping[id(site.schema)] = overlapping.get(id(site.schema), frozenset()) | pairs
        self.to_prove.clear()
        if overlapping:
            raise Overlap(overlapping, self.negations)

    def _outer(self) -> "SchemaGrammar":
        """A view in which strings have a value if they may have one, whatever formats that are read in part mean."""
        view = self.fork()
        view.outer = True
        view._sats = [True] + [None] * (len(view._forms) - 1)
        return view

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
            alt = array_alt(self, arr)
            if alt is not None:
                arrays.append(alt)
        objects = []
        for obj in form.objects:
            try:
                objects += object_alts(self, obj)
            except LimitError as err:
                raise self.placed(err, i) from None
        return ValueNode(form.null, form.true, form.false, form.number,
                         refine(form.string) if form.string else (),
                         tuple(arrays) if len(arrays) < 2 else tuple(dict.fromkeys(arrays)),
                         tuple(objects) if len(objects) < 2 else tuple(dict.fromkeys(objects)))

    # -- values that differ ----------------------------------------------------------

    def fork(self) -> "SchemaGrammar":
        """The same grammar with tables of its own, to which nodes can be added without end."""
        other = copy(self)
        for name in ("_sites", "_forms", "_sats", "_same", "_ids", "_pairs", "_by_form", "_consts", "_absent",
                     "_complements", "excluded", "unions"):
            setattr(other, name, copy(getattr(self, name)))
        other._nodes, other.extras, other._without = {}, {}, {}
        return other

    def without(self, i: int, values: Sequence[Any], keys: Optional[frozenset] = None) -> int:
        if keys is None:
            keys = frozenset(map(canonical, values))
        node = self._without.get((i, keys))
        if node is None:
            node = self._without[i, keys] = self.out(self.conj(i, excluding(self, values, 0, keys)))
        return node

    def values(self, i: int, limit: int) -> Optional[list]:
        return values_of(self, i, limit)

    def few_parts(self, i: int) -> tuple[bool, bool]:
        form = self.form(i)
        free = all(not conj or len(conj) == 1 and conj[0][1] and type(conj[0][0]) is Length and conj[0][0].hi is None
                   for conj in form.string)
        if not form.objects:
            return False, not free
        try:
            few = values_of(self, self._new((), NO_FORM._replace(objects=form.objects)), MANY_VALUES) is not None
        except LimitError:
            few = True
        return few, not free

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
    hint = ("write anyOf if branches may overlap, or" if keyword == "oneOf" else "") + \
        " lenient=True compiles the schema without it, may_dead_end=True checks it when the text is complete"
    return UnsupportedSchema(what, pointer=pointer_of(site, keyword), keyword=keyword, hint=hint.strip())


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
    overlapping: dict[int, frozenset] = {}
    dynamic = recheck = False
    while True:
        try:
            return SchemaGrammar(schema, options, registry, lenient, overlapping, dynamic, recheck)
        except DynamicScope:          # read it again, now in views
            dynamic = True
        except Overlap as found:      # rare: read it again, now with complements where branches overlap
            # A oneOf that is not known to overlap yet was read as anyOf, which allows more; its complement
            # allowed less, and what is disjoint beside that may overlap after all.
            recheck |= found.args[1]
            for schema_id, pairs in found.args[0].items():
                overlapping[schema_id] = overlapping.get(schema_id, frozenset()) | pairs
