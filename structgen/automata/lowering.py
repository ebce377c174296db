"""Value nodes of a grammar to records of the stack machine.

A node is lowered when the machine first looks at it, or ahead of time for the
first nodes of a grammar; kernels meet a node that is not ready and ask.  Keys
of an object are numbered by code point order (the order of the literal trie's
labels), so "which keys are below this trie node" is a range.
"""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Optional

import numpy as np

from ..grammar.ir import ArrayAlt, ObjectAlt
from ..errors import LimitError, RegexError
from ..grammar.strings import ANY_STRING, Literals, Pattern
from . import stack_layout as sl
from .array_positions import Positions
from .numbers import NUMBER_CLASSES, number_dfa, static_number

if TYPE_CHECKING:
    from .arena import Arena

__all__ = ["Lowering", "EAGER_NODES"]

#: How many nodes are lowered when a grammar is compiled; the rest on demand.
EAGER_NODES = 1
#: Classes of undeclared keys that are labelled before a kernel asks.
MAX_EARLY = 32

#: The count of an object's keys where it matters beyond its bounds.
_UNCAPPED = 1 << 24

_WHITESPACE = {"flexible": 0, "compact": 1, "json.dumps": 2}


class _Pool:
    """A growable list of integers whose address stands in the block; starts in the arena's slab."""

    __slots__ = ("block", "slot", "array", "n")

    def __init__(self, arena: "Arena", name: str, slot: int):
        self.block, self.slot = arena.block, slot
        self.array = arena._initial(name)
        self.n = 0

    def room(self, n: int) -> None:
        """Make room for `n` more."""
        if self.n + n > self.array.size:
            a = np.zeros(max(2 * self.array.size, self.n + n), self.array.dtype)
            a[: self.n] = self.array[: self.n]
            self.array = a
            self.block[self.slot] = a.ctypes.data

    def add(self, values) -> int:
        """Append values; returns where they start."""
        at, n = self.n, len(values)
        self.room(n)
        if n:
            self.array[at:at + n] = values
        self.n = at + n
        return at


def _words(bits: int, w: int) -> list[int]:
    """An integer as `w` signed 64-bit words, least significant first."""
    if w == 1 and bits < 1 << 63:
        return [bits]
    out = []
    for _ in range(w):
        v = bits & 0xFFFFFFFFFFFFFFFF
        out.append(v - (1 << 64) if v >> 63 else v)
        bits >>= 64
    return out


@functools.lru_cache(1024)
def _number_table(lang, float_integers: bool, plain: bool) -> tuple[np.ndarray, np.ndarray]:
    """(transitions by byte, labels) of a number language."""
    trans, accept = number_dfa(lang, float_integers=float_integers, plain=plain)
    return np.ascontiguousarray(trans[:, NUMBER_CLASSES], np.int32), np.where(accept, 1, -1).astype(np.int32)


class Lowering:
    """Lowers the nodes of one arena's grammar."""

    def __init__(self, arena: "Arena"):
        self.arena = arena = weakref.proxy(arena)      # no cycle: an arena goes when its last user does
        self.grammar = arena.grammar
        self.nodes = _Pool(arena, "nodes", sl.NODE)
        self.alts = _Pool(arena, "alts", sl.ALT)
        self.arrays = _Pool(arena, "arrays", sl.ARR)
        self.prefixes = _Pool(arena, "prefixes", sl.PREFIX)
        self.positions = _Pool(arena, "positions", sl.POSITIONS)
        self.choices = _Pool(arena, "choices", sl.CHOICES)
        self._places: Optional[Positions] = None
        self.objects = _Pool(arena, "objects", sl.OBJ)
        self.pool = _Pool(arena, "pool", sl.OPOOL)
        self._todo: list[int] = []
        self._done: set[int] = set()
        #: object record number -> its alternative and key ranks in document order
        self.alternatives: list[tuple[ObjectAlt, list[int]]] = []
        options = getattr(self.grammar, "options", None)
        if options is not None:
            mode = _WHITESPACE.get(options.whitespace)
            if mode is None:
                mode = 3
                arena.block[sl.WS_START] = sl.WSX_BASE + self._white_space(options.whitespace)
            arena.block[sl.WS_MODE] = mode

    def _white_space(self, pattern: str) -> int:
        """Lexer state of white space given as a regex (Python syntax, matched in full)."""
        lexer = self.arena.lexer
        q = lexer.add_text((((Pattern("python", pattern), True),),))
        seen, todo = {q}, [q] if q >= 0 else []
        while todo:
            for b, r in enumerate(lexer.row(todo.pop())):
                if r >= 0 and b not in b" \t\r\n":
                    raise RegexError(f"the whitespace option matches {chr(b)!r}, which is not JSON white space",
                                     pattern=pattern, hint="use only space, tab, carriage return and line feed")
                if r >= 0 and r not in seen:
                    seen.add(r)
                    todo.append(r)
        if q < 0:
            raise RegexError("the whitespace option matches nothing", pattern=pattern)
        return q

    def ready(self, i: int) -> int:
        """Lower node `i` if that has not been done; returns `i`."""
        if i not in self._done:
            self._lower(i)
        return i

    def eager(self) -> None:
        """Lower the first nodes reachable from what has been lowered."""
        todo, done = self._todo, self._done
        at = 0
        while at < len(todo) and len(done) < EAGER_NODES:
            if todo[at] not in done:
                self._lower(todo[at])
            at += 1
        del todo[:]

    def _reserve(self, i: int) -> None:
        """Have a (not ready) record for node `i`."""
        end = (i + 1) * sl.NODE_W
        if end > self.nodes.n:
            self.nodes.room(end - self.nodes.n)
            self.nodes.n = end

    def _child(self, i: int) -> int:
        if i >= 0:
            self._reserve(i)
            self._todo.append(i)
        return i

    def _lower(self, i: int) -> None:
        grammar, lexer = self.grammar, self.arena.lexer
        node = grammar.node(i)
        self._reserve(i)
        string = lexer.add_string(node.string) if node.string else -1
        number = -1
        if node.number:
            plain = grammar.options.numbers == "plain"
            static = static_number(node.number, grammar.float_integers, plain)
            if static is not None:
                number = static
            else:
                number = sl.RAW_BASE + lexer.add_dfa(*_number_table(node.number, grammar.float_integers, plain))
        arrays = [self._array(a) for a in node.arrays] if node.arrays else ()
        objects = [self._object(o) for o in node.objects] if node.objects else ()
        flags = node.null | node.true << 1 | node.false << 2
        a = o = self.alts.n
        if arrays or objects:
            self.alts.add((*arrays, *objects))
            o = a + len(arrays)
        at = i * sl.NODE_W
        self.nodes.array[at:at + sl.NODE_W] = (1, string, number, flags, a, len(arrays), o, len(objects))
        self._done.add(i)

    def _array(self, alt: ArrayAlt) -> int:
        prefix = self.prefixes.add([self._child(i) for i in alt.prefix])
        top = -1 if alt.max is None else alt.max
        saturate = max(len(alt.prefix), alt.min, top)
        array = self.arrays.n // sl.ARR_W
        start = self.places.start(array, alt) if alt.counts or alt.unique else -1
        self.arrays.add((prefix, len(alt.prefix), self._child(alt.items), alt.min, top, saturate, start))
        return array

    @property
    def places(self) -> Positions:
        """The positions in arrays that count their items or have them differ."""
        if self._places is None:
            self._places = Positions(self)
        return self._places

    def _object(self, alt: ObjectAlt) -> int:
        lexer, names = self.arena.lexer, alt.names
        n = len(names)
        w = (n + 63) // 64 + (1 if alt.clauses else 0)
        by_rank = sorted(range(n), key=names.__getitem__)
        nodes = [self._child(alt.nodes[i]) for i in by_rank]
        ordered = self.grammar.options.order != "any"
        rank = [0] * n
        for r, i in enumerate(by_rank):
            rank[i] = r
        required = live = 0
        for r, i in enumerate(by_rank):
            if alt.required[i]:
                required |= 1 << r
            if nodes[r] >= 0:
                live |= 1 << r
        bitset = not ordered or bool(alt.deps) or alt.clauses > 0
        suffix, following = [0] * (n + 1), [n] * (n + 1)
        if ordered:
            for k in range(n - 1, -1, -1):
                suffix[k] = suffix[k + 1] + alt.required[k] + ((alt.nodes[k] >= 0) << 32)
                following[k] = k if alt.required[k] else following[k + 1]
        # one list for everything the kernels index by rank or position, added at once
        at = self.pool.n
        data = nodes + by_rank + rank
        data += _words(required, w)
        data += _words(live, w)
        data += suffix
        data += following
        deps = -1
        if alt.deps:
            rows = [-1] * n
            for i, closure in self._closures(alt).items():
                bits = 0
                for j in closure:
                    bits |= 1 << rank[j]
                rows[rank[i]] = at + len(data)
                data += _words(bits, w)
            deps = at + len(data)
            data += rows
        self.pool.add(data)
        words_at = at + 3 * n
        has_extra, extra, extra_node, size = 0, -1, -1, -1
        if alt.extra is not None:
            atoms, label = alt.extra.atoms, alt.extra.label
            if not atoms:
                extra_node = self._child(label(0))
                if extra_node >= 0:
                    extra = lexer.add_string(ANY_STRING)
                    has_extra = 1
            else:
                if alt.clauses:
                    classes = {bits: i for i, (bits, _) in enumerate(alt.extra.ways)}
                    extra = self._extra_keys(atoms, lambda bits: classes.get(bits, -1), names, False)
                else:
                    extra = self._extra_keys(atoms, label, names)
                has_extra = 1 if extra >= 0 else 0
            if alt.extra.size is not None:
                size = alt.extra.size
        words = lexer.add_literals([names[i] for i in by_rank]) if n else -1
        top = -1 if alt.max is None else alt.max
        cap = 0 if alt.min <= 0 and top < 0 else max(alt.min, top) + 1
        if alt.clauses and has_extra:
            cap = _UNCAPPED               # completions want to know how many undeclared keys there are
        record = (n, w, int(ordered), int(bitset), words, extra, extra_node, has_extra, size,
                  at, at + n, at + 2 * n, words_at, words_at + w, deps, alt.min, top, cap,
                  words_at + 2 * w, words_at + 2 * w + n + 1, self._clauses(alt, by_rank) if alt.clauses else -1)
        self.alternatives.append((alt, by_rank))
        return self.objects.add(record) // sl.OBJ_W

    def _clauses(self, alt: ObjectAlt, by_rank: list[int]) -> int:
        """What the kernels want to know of the clauses of an object (see the kernels' text); its place in the pool."""
        pool = self.pool

        def way_list(node: int, ways) -> int:
            if not ways:
                return -1             # only declared names: what is listed for classes says so in full
            return pool.add([node, len(ways)] + [v for marks, way in ways for v in (marks, self._child(way))])

        names = [way_list(alt.nodes[i], alt.ways[i]) for i in by_rank]
        absent = [alt.absent[i] for i in by_rank]
        classes = cost = kinds_at = -1
        if alt.extra is not None:
            lists = [way_list(self._child(alt.extra.label(bits)), ways) for bits, ways in alt.extra.ways]
            classes = pool.add(lists)
            kinds = self._kinds(alt)
            kinds_at = pool.add([len(kinds)] + kinds)
            # the least number of undeclared keys that satisfies a set of clauses
            least = [0] + [-1] * ((1 << alt.clauses) - 1)
            reached = {0}
            for count in range(1, alt.clauses + 1):
                reached |= {a | b for a in reached for b in kinds}
                for have in reached:
                    part = have
                    while part:
                        if least[part] < 0:
                            least[part] = count
                        part = (part - 1) & have
            cost = pool.add(least)
        variants = pool.add([0] * (1 + 2 * sl.MAX_VARIANTS))
        return pool.add([alt.clauses, kinds_at, cost, classes, variants, *names, *absent])

    @staticmethod
    def _kinds(alt: ObjectAlt) -> list[int]:
        """The sets of clauses that one undeclared key can satisfy."""
        return sorted({marks for _, ways in alt.extra.ways for marks, _ in ways})

    def add_variant(self, obj: int, good: int) -> None:
        """Have the automaton of the undeclared keys whose value can satisfy one of the sets of clauses in `good`."""
        alt, _ = self.alternatives[obj]
        record = self.objects.array[obj * sl.OBJ_W:(obj + 1) * sl.OBJ_W]
        at = int(self.pool.array[record[sl.O_CLAUSES] + sl.Q_VARIANTS])
        count = int(self.pool.array[at])
        if count >= sl.MAX_VARIANTS:
            raise LimitError("undeclared keys of an object satisfy its clauses in too many ways",
                             place="clauses of an object", limit=sl.MAX_VARIANTS)
        wanted = {marks for i, marks in enumerate(self._kinds(alt)) if good >> i & 1}
        classes = {bits: i for i, (bits, ways) in enumerate(alt.extra.ways)
                   if not wanted.isdisjoint(marks for marks, _ in ways)}
        if len(classes) == len(alt.extra.ways):
            state = 1
        elif not classes:
            state = 0
        else:
            state = self._extra_keys(alt.extra.atoms, lambda bits: classes.get(bits, -1), alt.names, False)
        self.pool.array[at + 1 + 2 * count:at + 3 + 2 * count] = good, max(state, 0)
        self.pool.array[at] = count + 1

    def _extra_keys(self, atoms, label, names, nodes: bool = True) -> int:
        """Automaton of undeclared keys, classified by `atoms`; declared names excluded.

        Labels are nodes, or else numbers of classes.
        """
        k = len(atoms)

        def node_of(bits: int) -> int:
            if bits >> k & 1:
                return -1
            node = label(bits & ((1 << k) - 1))
            return self._child(node) if nodes else node

        if names:
            atoms = (*atoms, Literals(tuple(sorted(names))))
        early: dict[int, None] = {}
        if k and all([type(atom) is Literals for atom in atoms]):
            # all that occurs is known, and each question would interrupt a kernel
            words: dict[str, int] = {}
            for i, atom in enumerate(atoms):
                for word in atom.words:
                    words[word] = words.get(word, 0) | 1 << i
            early = dict.fromkeys([0, *words.values()])
        return self.arena.lexer.add_keys(tuple(atoms), node_of, early if len(early) <= MAX_EARLY else ())

    @staticmethod
    def _closures(alt: ObjectAlt) -> dict[int, set[int]]:
        """For each key with dependencies, everything its presence requires."""
        direct = {}
        for i, needs in alt.deps:
            direct.setdefault(i, set()).update(needs)
        out = {}
        for i in direct:
            seen, todo = set(), [i]
            while todo:
                for j in direct.get(todo.pop(), ()):
                    if j not in seen:
                        seen.add(j)
                        todo.append(j)
            seen.discard(i)
            out[i] = seen
        return out
