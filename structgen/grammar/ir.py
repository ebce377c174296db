"""The intermediate representation of JSON-valued constraints.

A :class:`JsonGrammar` is a set of *value nodes*, numbered from 0 and built on
demand.  A node says, for each JSON type, which values are allowed; arrays and
objects are lists of alternatives (a value is allowed when one alternative
allows it), strings and numbers are single languages.  References between nodes
are node ids, so recursion is a cycle of ids.

Invariant (what makes masks free of dead ends): every node id that appears
anywhere denotes a non-empty set of values, and every alternative in a node is
satisfiable.  What cannot be satisfied is pruned before it gets here, or
written as ``-1`` where the shape needs a placeholder (a forbidden key, a class
of keys without a possible value).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Callable, NamedTuple, Optional, Sequence, Union

from .strings import ANY_STRING, Atom, StrLang

__all__ = ["NumAlt", "NumLang", "ANY_NUMBER", "ArrayAlt", "Count", "Extra", "Ways", "ObjectAlt", "ValueNode",
           "JsonGrammar", "TextGrammar", "CoverageEntry", "Options"]

Exact = Union[int, Fraction]


class NumAlt(NamedTuple):
    """Numbers in an interval, optionally integers, optionally multiples.

    `not_multiples`, ascending, are steps of which a number is no multiple.
    `pointed`: written with a point or an exponent.  Only grammars without
    ``float_integers`` need it: there ``1.0`` is no integer, so it is in the
    complement of the integers.
    """

    integer: bool = False
    lo: Optional[Exact] = None
    lo_open: bool = False
    hi: Optional[Exact] = None
    hi_open: bool = False
    multiple_of: Optional[Exact] = None
    not_multiples: tuple[Exact, ...] = ()
    pointed: bool = False


NumLang = tuple[NumAlt, ...]
ANY_NUMBER: NumLang = (NumAlt(),)


class Count(NamedTuple):
    """A counter of items: it must end in lo..hi (`hi` None: no upper bound).

    `free`: an item that is read without adding to the counter may match all the
    same, so once `lo` is reached nothing is lost by not counting.
    """

    lo: int
    hi: Optional[int]
    free: bool


class ArrayAlt(NamedTuple):
    """Arrays: item i < len(prefix) is in prefix[i], later ones in `items`.

    `items` is -1 when nothing may follow the prefix.  `max` is None when there
    is no upper bound; it never exceeds len(prefix) when `items` is -1.

    With `counts`, items are counted too: ``choices[i]`` lists the ways to read
    item i (the last entry: every later item), as pairs (node, counters the item
    adds to, as bits); `prefix` and `items` then only say what items are
    whatever the counters do.  `unique`: no two items are equal.
    """

    prefix: tuple[int, ...] = ()
    items: int = -1
    min: int = 0
    max: Optional[int] = None
    counts: tuple[Count, ...] = ()
    choices: tuple[tuple[tuple[int, int], ...], ...] = ()
    unique: bool = False

    def rows(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """`choices`, also where nothing is counted."""
        if self.counts:
            return self.choices
        return tuple([((i, 0),) for i in self.prefix] + [((self.items, 0),) if self.items >= 0 else ()])

    def children(self) -> tuple[int, ...]:
        """Every node an item may be read as (-1 among them if nothing may follow the prefix)."""
        return self.prefix + (self.items,) + tuple([node for row in self.choices for node, _ in row])


#: Ways to write the value of a key, as pairs (clauses that it satisfies, a bitset; node).
Ways = tuple[tuple[int, int], ...]


class Extra(NamedTuple):
    """What undeclared keys may be, and what their values are.

    The key's *bits* say which of `atoms` it matches (bit i for atoms[i]);
    ``label(bits)`` is the node of its value, or -1 when such a key is not
    allowed.  `size` is the number of distinct allowed keys outside the
    declared names when that is finite and known to matter, else None.

    In an object with clauses `ways` lists, for each class of allowed keys
    (by its bits), the ways to write their values, at least one; every class
    listed has infinitely many keys, and `size` is None.
    """

    atoms: tuple[Atom, ...]
    label: Callable[[int], int]
    size: Optional[int] = None
    ways: tuple[tuple[int, Ways], ...] = ()


class ObjectAlt(NamedTuple):
    """Objects.

    `names` are the declared keys in document order, `nodes` their value nodes
    (-1: the key is forbidden; the name is listed so that `extra` does not
    cover it), `required` whether each must be present.  `deps` holds pairs
    (i, (j, ...)): if names[i] is present, so must be each names[j].  `min` and
    `max` count properties of every kind.

    *Clauses* are further conditions, each a disjunction of "this declared key
    is absent" and "some key has a value of this kind"; all must hold of the
    whole object.  They are what ``not`` needs.  `clauses` is their number,
    ``absent[i]`` the bitset of those that the absence of names[i] satisfies,
    ``ways[i]`` the ways to write its value with the clauses each satisfies:
    their nodes are disjoint and together make up ``nodes[i]``; empty when its
    value satisfies none.  An object with clauses has no `deps` (a dependency
    is a clause too).
    """

    names: tuple[str, ...] = ()
    nodes: tuple[int, ...] = ()
    required: tuple[bool, ...] = ()
    extra: Optional[Extra] = None
    min: int = 0
    max: Optional[int] = None
    deps: tuple[tuple[int, tuple[int, ...]], ...] = ()
    clauses: int = 0
    absent: tuple[int, ...] = ()
    ways: tuple[Ways, ...] = ()


class ValueNode(NamedTuple):
    """The values allowed at one place, by type."""

    null: bool = False
    true: bool = False
    false: bool = False
    number: NumLang = ()
    string: StrLang = ()
    arrays: tuple[ArrayAlt, ...] = ()
    objects: tuple[ObjectAlt, ...] = ()


class CoverageEntry(NamedTuple):
    """One line of ``compiled.coverage``: what happened to one keyword.

    `status` is ``"enforced"``, ``"annotation"`` (no effect on validity),
    ``"narrowed"`` (fewer values than the schema allows, none more: by an option,
    or as `note` says), ``"not enforced"``, ``"checked"`` (when the text is
    complete: the option ``may_dead_end``), or in lists of their own
    ``"impossible"`` (no valid value has this part).
    """

    pointer: str
    keyword: str
    status: str
    note: str = ""


class Options(NamedTuple):
    """Options that define the language (DESIGN §5); defaults as documented."""

    order: str = "schema"            # "schema" | "any"
    extra: str = "schema"            # "schema" | "closed"
    whitespace: str = "flexible"     # "flexible" | "compact" | "json.dumps" | a regex
    numbers: str = "all"             # "all" | "plain"
    escapes: str = "all"             # "all" | "minimal"
    format: Union[str, dict] = "assert"   # "assert" | "annotate" | {name: bool}


class JsonGrammar:
    """A JSON-valued constraint in normal form; nodes are built on first use.

    Subclasses implement :meth:`_build`.  Not thread-safe by itself: callers
    hold the lock of the arena that lowers it.
    """

    root: int
    options: Options
    coverage: list[CoverageEntry]
    #: is ``1.0`` an integer (draft 6 and later)?
    float_integers: bool = True
    #: may an object want an undeclared key for the sake of a clause?
    open_clauses: bool = False
    #: may some array have to have different items?
    unique_items: bool = False
    #: what is wrong with a complete text, None if nothing is; asked where nodes allow more than is valid
    check: Optional[Callable[[bytes], Optional[str]]] = None

    def __init__(self, options: Options = Options()):
        self.options = options
        self.coverage = []
        self.root = 0
        self._nodes: dict[int, ValueNode] = {}

    def node(self, i: int) -> ValueNode:
        """The value node with id `i`, normalised on first use."""
        node = self._nodes.get(i)
        if node is None:
            node = self._nodes[i] = self._build(i)
        return node

    def _build(self, i: int) -> ValueNode:
        raise KeyError(i)

    def without(self, i: int, values: Sequence[Any], keys: Optional[frozenset] = None) -> int:
        """The node of the values of node `i` that equal none of `values`; -1 if there are none.

        `keys` are their canonical forms, where these are at hand.

        Only grammars with ``unique`` arrays need it.
        """
        raise NotImplementedError

    def few_parts(self, i: int) -> tuple[bool, bool]:
        """Whether node `i` has only finitely (and not very) many objects; whether a beginning of a string may
        have few completions in it.

        Only grammars with ``unique`` arrays need it.
        """
        raise NotImplementedError

    def values(self, i: int, limit: int) -> Optional[Sequence[Any]]:
        """The values of node `i`, each once, if there are at most `limit`; else None.

        Only grammars with ``unique`` arrays need it.
        """
        raise NotImplementedError


class TextGrammar(NamedTuple):
    """A constraint on plain text: one string language, no JSON around it."""

    lang: StrLang = ANY_STRING
