"""Forms: what one schema, or a conjunction of schemas, says of each JSON type.

A :class:`Form` is a :class:`~structgen.grammar.ir.ValueNode` before its
children are settled.  Forms make a lattice with :func:`meet` (``allOf``) and
:func:`join` (``anyOf``); arrays and objects are lists of alternatives, so meet
distributes, within a budget.  Children are node numbers of the lowering; the
conjunction of two is formed by the `conj` function passed in, which interns
the *set* of schemas behind them, so recursion through a meet ends.

An object alternative keeps one :class:`Layer` for each ``properties`` /
``patternProperties`` / ``additionalProperties`` group that applies: which of
its schemas a key meets depends on its own group only.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional, Union

from ...errors import LimitError
from ...grammar.ir import ANY_NUMBER, NumAlt, NumLang
from ...grammar.numbers import intersect_number_langs, simplify
from ...grammar.strings import ANY_STRING, Pattern, StrLang, intersect, union

__all__ = ["ANY", "NONE", "NULL", "BOOL", "NUM", "INT", "STR", "ARR", "OBJ", "ALL_TYPES", "Layer", "Contains",
           "ArrForm", "Some", "Clause", "ObjForm", "Form", "ANY_ARRAYS", "ANY_OBJECTS", "ANY_FORM", "NO_FORM",
           "INTEGERS", "type_form", "meet", "join", "live_types", "counted", "MAX_ALTERNATIVES"]

#: node numbers with a fixed meaning: any value, no value
ANY, NONE = 0, -1

#: JSON types as bits; INT without NUM means integers only
NULL, BOOL, NUM, STR, ARR, OBJ, INT = 1, 2, 4, 8, 16, 32, 64
ALL_TYPES = NULL | BOOL | NUM | STR | ARR | OBJ

#: alternatives of arrays or of objects one place may have
MAX_ALTERNATIVES = 2000


class Layer:
    """One group of keywords that give properties their schemas.

    `props` maps declared names to nodes, `patterns` pairs a pattern with a
    node, `additional` is the node of keys that neither covers.  `explicit`
    says that the schema asked for such keys with a schema of its own; `own`
    that these are keywords of a schema, not made from a complement or a value:
    only they declare properties, where undeclared ones are left out.
    """

    __slots__ = ("props", "patterns", "additional", "explicit", "own")

    def __init__(self, props: dict[str, int], patterns: tuple[tuple[Pattern, int], ...] = (),
                 additional: int = ANY, explicit: bool = False, own: bool = True):
        self.props = props
        self.patterns = patterns
        self.additional = additional
        self.explicit = explicit
        self.own = own


class Contains(NamedTuple):
    """Of the items from number `start` on, lo..hi are in `node` (`hi` None: no upper bound).

    `other` is the complement of `node`, or ANY: then items need not be told
    apart exactly, which will do where there is no upper bound.
    """

    node: int
    lo: int = 1
    hi: Optional[int] = None
    start: int = 0
    other: int = ANY


class ArrForm(NamedTuple):
    """An array alternative; item i is in prefix[i], later ones in `items`.

    `unique`: no two items are equal; `repeats`: some two are, which is refused
    (under the keyword and at the site given) unless the alternative goes away.
    `marks` is used by :mod:`.evaluated` alone.
    """

    prefix: tuple[int, ...] = ()
    items: int = ANY
    min: int = 0
    max: Optional[int] = None
    contains: tuple[Contains, ...] = ()
    unique: bool = False
    marks: frozenset = frozenset()
    repeats: Optional[tuple] = None


class Some(NamedTuple):
    """"Some key has such a value": a key in `lang`, as a string in node `keys`, with a value in `node`."""

    lang: StrLang
    node: int
    keys: int = ANY


#: A disjunction of "this key is absent" (a name) and :class:`Some`.
Clause = tuple[Union[str, Some], ...]


class ObjForm(NamedTuple):
    """An object alternative.

    `keynames` are nodes that every key, as a string, is in.  `every` says of
    all keys in a language that their values are in a node, and `clauses` are
    disjunctions that all hold: the two are what complements need.

    `marks` is used by :mod:`.evaluated` alone.
    """

    layers: tuple[Layer, ...] = ()
    required: tuple[str, ...] = ()
    min: int = 0
    max: Optional[int] = None
    deps: tuple[tuple[str, tuple[str, ...]], ...] = ()
    keynames: tuple[int, ...] = ()
    marks: frozenset = frozenset()
    every: tuple[tuple[StrLang, int], ...] = ()
    clauses: tuple[Clause, ...] = ()


class Form(NamedTuple):
    """The values a schema allows, by type.

    `refused` lists uses of keywords that are not enforced, as (types they
    bear on, keyword, site): harmless once those types are gone.
    """

    null: bool = False
    true: bool = False
    false: bool = False
    number: NumLang = ()
    string: StrLang = ()
    arrays: tuple[ArrForm, ...] = ()
    objects: tuple[ObjForm, ...] = ()
    refused: tuple = ()


ANY_ARRAYS = (ArrForm(),)
ANY_OBJECTS = (ObjForm(),)
INTEGERS: NumLang = (NumAlt(integer=True),)
_TYPE_FORMS: dict[int, Form] = {}


def type_form(mask: int) -> Form:
    """The form of a bare ``type``; the same object each time.

    Examples
    --------
    >>> type_form(NULL | INT).number
    (NumAlt(integer=True, lo=None, lo_open=False, hi=None, hi_open=False, multiple_of=None, not_multiples=(), \
pointed=False),)
    """
    form = _TYPE_FORMS.get(mask)
    if form is None:
        form = _TYPE_FORMS[mask] = Form(
            mask & NULL != 0, mask & BOOL != 0, mask & BOOL != 0,
            ANY_NUMBER if mask & NUM else INTEGERS if mask & INT else (),
            ANY_STRING if mask & STR else (),
            ANY_ARRAYS if mask & ARR else (),
            ANY_OBJECTS if mask & OBJ else ())
    return form


ANY_FORM = type_form(ALL_TYPES)
_TYPE_FORMS[ALL_TYPES | INT] = ANY_FORM
NO_FORM = type_form(0)


def live_types(form: Form) -> int:
    """The types a form may hold values of."""
    return ((NULL if form[0] else 0) | (BOOL if form[1] or form[2] else 0) | (NUM if form[3] else 0)
            | (STR if form[4] else 0) | (ARR if form[5] else 0) | (OBJ if form[6] else 0))


def _unique(items: tuple) -> tuple:
    return items if len(items) < 2 else tuple(dict.fromkeys(items))


def _meet_arrays(a: ArrForm, b: ArrForm, conj: Callable[[int, int], int]) -> Optional[ArrForm]:
    lo = max(a.min, b.min)
    hi = a.max if b.max is None else b.max if a.max is None else min(a.max, b.max)
    if hi is not None and lo > hi:
        return None
    unique, repeats = a.unique or b.unique, a.repeats or b.repeats
    if unique and repeats:
        return None
    pa, pb = a.prefix, b.prefix
    n = max(len(pa), len(pb))
    prefix = tuple(conj(pa[i] if i < len(pa) else a.items, pb[i] if i < len(pb) else b.items) for i in range(n))
    items = conj(a.items, b.items)
    if items == NONE:       # nothing behind the prefix: complements look at the lengths
        hi = n if hi is None else min(hi, n)
        if lo > hi:
            return None
    both = ArrForm(prefix, items, lo, hi, a.contains + b.contains, unique, a.marks | b.marks, repeats)
    return counted(both) if both.contains else both


def counted(form: ArrForm) -> Optional[ArrForm]:
    """`form` with its counters merged, and turned into lengths where they count every item; None: plainly empty."""
    merged: dict[tuple, Contains] = {}
    lo, hi = form.min, form.max
    for c in form.contains:
        if c.node == NONE:
            if c.lo:
                return None
            continue
        if c.node == ANY:
            if c.lo:
                lo = max(lo, c.start + c.lo)
            if c.hi is not None:
                hi = c.start + c.hi if hi is None else min(hi, c.start + c.hi)
            continue
        old = merged.get((c.node, c.start))
        if old is not None:
            top = old.hi if c.hi is None else c.hi if old.hi is None else min(old.hi, c.hi)
            c = Contains(c.node, max(c.lo, old.lo), top, c.start, c.other or old.other)
        if c.hi is not None and c.lo > c.hi:
            return None
        if c.lo or c.hi is not None:
            merged[c.node, c.start] = c
            lo = max(lo, c.start + c.lo if c.lo else 0)
    if hi is not None and lo > hi:
        return None
    return form._replace(min=lo, max=hi, contains=tuple(merged.values()))


def _meet_objects(a: ObjForm, b: ObjForm) -> Optional[ObjForm]:
    hi = a.max if b.max is None else b.max if a.max is None else min(a.max, b.max)
    required = _unique(a.required + b.required)
    lo = max(a.min, b.min)
    if hi is not None and max(lo, len(required)) > hi:
        return None
    layers = _unique(a.layers + b.layers)
    # The common contradiction, seen early so that products stay small: a key
    # that one side requires and the other forbids.
    for name in required:
        for layer in layers:
            if layer.props.get(name) == NONE:
                return None
    return ObjForm(layers, required, lo, hi, _unique(a.deps + b.deps), _unique(a.keynames + b.keynames),
                   a.marks | b.marks, _unique(a.every + b.every), _unique(a.clauses + b.clauses))


def _product(xs: tuple, ys: tuple, merge: Callable) -> tuple:
    if len(xs) * len(ys) > 16 * MAX_ALTERNATIVES:
        raise LimitError(f"more than {MAX_ALTERNATIVES} alternatives", place="alternatives of a conjunction",
                         limit=MAX_ALTERNATIVES)
    out: dict = {}
    for x in xs:
        for y in ys:
            z = merge(x, y)
            if z is not None:
                out[z] = None
    if len(out) > MAX_ALTERNATIVES:
        raise LimitError(f"more than {MAX_ALTERNATIVES} alternatives", place="alternatives of a conjunction",
                         limit=MAX_ALTERNATIVES)
    return tuple(out)


def meet(a: Form, b: Form, conj: Callable[[int, int], int],
         dead: Optional[Callable[["ObjForm"], bool]] = None) -> Form:
    """The form of both at once.

    Key order: the layers of `a` come before those of `b`.  `dead` may tell
    that an object alternative has no value; it need not always know.
    """
    if a is b or b is ANY_FORM:
        return a
    if a is ANY_FORM:
        return b
    number = (() if not a.number or not b.number else b.number if a.number == ANY_NUMBER
              else a.number if b.number == ANY_NUMBER or a.number == b.number
              else intersect_number_langs(a.number, b.number))
    string = () if not a.string or not b.string else a.string if a.string == b.string else intersect(a.string,
                                                                                                     b.string)
    if not a.arrays or not b.arrays:
        arrays: tuple = ()
    elif a.arrays == ANY_ARRAYS:
        arrays = b.arrays
    elif b.arrays == ANY_ARRAYS:
        arrays = a.arrays
    else:
        arrays = _product(a.arrays, b.arrays, lambda x, y: _meet_arrays(x, y, conj))
    if not a.objects or not b.objects:
        objects: tuple = ()
    elif a.objects == ANY_OBJECTS:
        objects = b.objects
    elif b.objects == ANY_OBJECTS:
        objects = a.objects
    else:
        objects = _product(a.objects, b.objects, _meet_objects if dead is None or len(a.objects) * len(b.objects) < 2
                           else lambda x, y: None if (z := _meet_objects(x, y)) is None or dead(z) else z)
    out = Form(a.null and b.null, a.true and b.true, a.false and b.false, number, string, arrays, objects,
               a.refused + b.refused)
    if out.refused:
        out = _mask_refused(out)
    return out


def _mask_refused(form: Form) -> Form:
    live = live_types(form)
    kept = tuple(dict.fromkeys((types & live, keyword, site) for types, keyword, site in form.refused
                               if types & live))
    return form._replace(refused=kept)


def join(forms: list[Form]) -> Form:
    """The form of at least one of `forms`."""
    if not forms:
        return NO_FORM
    if len(forms) == 1:
        return forms[0]
    if any(f is ANY_FORM for f in forms):
        return ANY_FORM
    string: StrLang = ()
    numbers: list = []
    for f in forms:
        if f.string:
            string = union(string, f.string) if string else f.string
        if f.number:
            numbers.append(f.number)
    number = numbers[0] if numbers else ()
    if any(n != number for n in numbers):
        number = ANY_NUMBER if ANY_NUMBER in numbers else simplify(alt for n in numbers for alt in n)
    arrays = _unique(tuple(x for f in forms for x in f.arrays))
    objects = _unique(tuple(x for f in forms for x in f.objects))
    free = 0
    if len(arrays) > 1 and ANY_ARRAYS[0] in arrays:
        arrays, free = ANY_ARRAYS, ARR
    if len(objects) > 1 and ANY_OBJECTS[0] in objects:
        objects, free = ANY_OBJECTS, free | OBJ
    if max(len(arrays), len(objects)) > MAX_ALTERNATIVES:
        raise LimitError(f"more than {MAX_ALTERNATIVES} alternatives", place="alternatives of anyOf",
                         limit=MAX_ALTERNATIVES)
    out = Form(any(f.null for f in forms), any(f.true for f in forms), any(f.false for f in forms),
               number, string, arrays, objects,
               tuple((types & live_types(f), keyword, site) for f in forms for types, keyword, site in f.refused))
    return _mask_refused(out) if out.refused else out
