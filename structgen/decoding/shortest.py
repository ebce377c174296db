"""The shortest text that completes a thread of the stack machine.

*The* shortest completion is the one of fewest bytes, of those the least in
byte order; what is left of it after some of its bytes is the shortest
completion of the state reached, because both are the least of what may follow.

Texts are triples (length, bytes, loose), compared as such.  There are two ways
of looking at a thread:

*exact*
    The thread was reached by real text, so the undeclared keys of every open
    object are known.  Then the bytes are the completion itself.
*estimated*
    The thread was reached on a walk over tokens, where an undeclared key that
    ends inside the token is not known.  It matters only to objects that need
    yet another undeclared key (``minProperties``): there the k-th one is taken
    to be the k-th cheapest of all, which real text never exceeds, and the text
    is marked *loose*: its length is a bound, its bytes mean nothing.

Members of an object are chosen so that their total length is least
(:mod:`.shortest_members`).  Costs: tens of microseconds a context, everything memoised.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Callable, Iterable, Optional

from ..automata import lexer_kernels as lk
from ..automata import stack_kernels as sk
from ..automata import stack_layout as sl
from ..automata import static_dfa as sd
from ..automata.lexer_shortest import spellings, words_below
from ..errors import LimitError
from ..grammar.ir import TextGrammar
from .extra_keys import ExtraKeys
from .shortest_arrays import another, items_at
from .shortest_members import Members, Shape, Text, Value, cat, text_of

if TYPE_CHECKING:
    from ..automata.arena import Arena

__all__ = ["Completions", "Text"]

#: Nodes one shortest value may depend on.
MAX_NODES = 200_000

_EMPTY: Text = (0, b"", False)


def static_suffixes() -> dict[int, bytes]:
    """Shortest way to the end of each static lexeme (closing quote not included)."""
    table, accept = sd.static_table, sd.static_accept
    best: dict[int, bytes] = {q: b"" for q in range(sd.N_STATIC) if accept[q]}
    changed = True
    while changed:
        changed = False
        for q in range(sd.N_STATIC):
            for b in range(256):
                t = int(table[q, b])
                if t >= 0 and t in best:
                    text = bytes((b,)) + best[t]
                    if q not in best or (len(text), text) < (len(best[q]), best[q]):
                        best[q], changed = text, True
    return best


STATIC = static_suffixes()


class Completions:
    """Shortest completions in one arena, exact or estimated (see the module text)."""

    def __init__(self, arena: "Arena", extras: ExtraKeys, exact: bool):
        self.arena, self.extras, self.exact = arena, extras, exact
        mode = int(arena.block[sl.WS_MODE])
        space = arena.lexer.shortest(int(arena.block[sl.WS_START]) - sl.WSX_BASE) if mode == 3 else b""
        #: white space behind every opening bracket, before and behind every comma and colon
        self._open, self._pre, self._post = space, space, b" " if mode == 2 else space
        self._space = text_of(self._pre)
        self.members = Members(extras, exact, self._pre, self._post)
        self.is_text = isinstance(arena.grammar, TextGrammar)
        self._nodes: dict[int, Text] = {}
        self._contexts: dict[int, Text] = {}
        self._shapes: dict[int, Shape] = {}
        self._rests: dict[tuple, Text] = {}
        self._spelled: dict[int, list[tuple[int, bytes]]] = {}

    # ---------------------------------------------------------------- threads
    def thread(self, thread: int, prefix: Callable[[], bytes] = bytes) -> Text:
        """The completion of a thread; ``prefix()`` is what was read of the key it may be in."""
        q, c = thread >> sl.SHIFT, thread & sl.LOW
        if q >= sl.WSX_BASE:
            return cat(text_of(self.suffix(q - sl.WSX_BASE)), self._set(c))
        if q >= sl.KEY_BASE:
            return min([self._key(q, m, prefix) for m in self._members(c)])
        if sd.WS <= q < sd.LX_BASE:
            return self._set(c)
        if q == sl.MUST_SPACE:
            return cat(text_of(b" "), self._set(c))
        if q < sd.N_STATIC:
            quote = b'"' if q < 16 or 48 <= q < 52 else b""
            return cat(text_of(STATIC[q] + quote), self.after(c))
        if q >= sl.RAW_BASE:
            return cat(text_of(self.suffix(q - sl.RAW_BASE)), self.after(c))
        return cat(text_of(self.suffix(q) + b'"'), self.after(c))

    def suffix(self, q: int) -> bytes:
        """The shortest way to the end of a lexeme, closing quote not included."""
        return STATIC[q] if q < sd.N_STATIC else self.arena.lexer.shortest(q)

    def _members(self, c: int) -> list[int]:
        if c < sl.SET_BASE:
            return [c]
        at, n = self.arena.pool("sets").reshape(-1, sl.SET_W)[c - sl.SET_BASE, :2].tolist()
        return self.arena.pool("members")[at:at + n].tolist()

    def after(self, c: int) -> Text:
        """What completes the text once a lexeme before context-or-set `c` has ended."""
        if self.is_text:
            return _EMPTY
        q = self.gap(c)
        space = b" " if q == sl.MUST_SPACE else self._pre if q >= sl.WSX_BASE else b""
        return cat(text_of(space), self._set(c)) if space else self._set(c)

    def gap(self, c: int) -> int:
        """The white-space state before context-or-set `c`."""
        return sk.stack_call(self.arena.address, sk.CALL_GAP, c, 0, 0, 0)

    def _set(self, c: int) -> Text:
        if c < sl.SET_BASE:
            return self._context(c)
        return min([self._context(m) for m in self._members(c)])

    def _context(self, c: int) -> Text:
        known = self._contexts
        pending = [c]
        while c not in known:       # the outermost first: contexts nest deeper than Python's stack
            at = pending[-1]
            parent = int(self.arena.pool("ctx")[at * sl.CTX_W + 3])
            outer = [m for m in self._members(parent) if m not in known and m != at]
            if outer and at:
                pending += outer
            else:
                known[at] = self._complete(at)
                while pending and pending[-1] in known:
                    pending.pop()
        return known[c]

    def _complete(self, c: int) -> Text:
        """The shortest completion from context `c`, white space done."""
        kind, a, b, parent = self.arena.pool("ctx").reshape(-1, sl.CTX_W)[c, :4].tolist()
        if kind == sl.DONE:
            return _EMPTY
        if kind == sl.VALUE:
            return cat(self._item(a, parent), self.after(parent))
        if kind == sl.COLON:
            return cat(text_of(b":" + self._post), self.value(a), self.after(parent))
        if kind in (sl.ARR_START, sl.ARR_AFTER):
            record = self._array(a)
            items = self._items(record, b, self.value) if record[sl.A_POSITION] < 0 else items_at(self, b, self.value)
            assert items is not None
            return cat(self.members.listed(items, kind == sl.ARR_AFTER), text_of(b"]"), self.after(parent))
        obj, seen, position, cnt, x = self._position(a)
        least = 1 if kind == sl.OBJ_KEY else 0
        body = self._rest(obj, seen, position, cnt, x, None, least, kind == sl.OBJ_AFTER)
        return cat(body, self.after(parent))

    def _item(self, node: int, parent: int) -> Text:
        """The shortest value of `node` before context `parent`, where values before it may not be known."""
        unknown = 0
        if self.arena.unique:
            for m in self._members(parent):
                kind, array, position = self.arena.pool("ctx").reshape(-1, sl.CTX_W)[m, :3].tolist()
                if kind == sl.ARR_AFTER and self._array(array)[sl.A_POSITION] >= 0:
                    unknown = max(unknown, self.arena.lowering.places.key(position)[3] - 1)
        if not unknown:
            return self.value(node)
        text = another(self, node, unknown, self.value)
        assert text is not None
        return text[0], b"\0" * text[0], True

    # ---------------------------------------------------------------- values
    def value(self, node: int) -> Text:
        """Shortest text of a value node (least fixpoint over recursion)."""
        text = self._nodes.get(node)
        if text is None:
            self._solve(node)
            text = self._nodes[node]
        return text

    def _solve(self, root: int) -> None:
        """Improve the texts of the nodes needed until nothing changes; each is visited when a child improves."""
        known = self._nodes
        users: dict[int, list[int]] = {}
        need: set[int] = set()
        asked: set[tuple[int, int]] = set()
        best: dict[int, Text] = {}
        following: dict[int, None] = {}

        def reach(start: int) -> list[int]:
            """Nodes not needed so far that `start` may need."""
            order = [start]
            need.add(start)
            for node in order:
                for child in self._children(node):
                    if child >= 0 and child not in known:
                        users.setdefault(child, []).append(node)
                        if child not in need:
                            need.add(child)
                            order.append(child)
            if len(need) > MAX_NODES:
                raise LimitError(f"a shortest value of more than {MAX_NODES} parts", place="shortest value",
                                 limit=MAX_NODES)
            return order

        def value(i: int) -> Optional[Text]:
            return known.get(i) or best.get(i)

        def ask(i: int) -> Optional[Text]:
            """`value` for nodes that are met only as an array is looked at."""
            if i not in known and (i, asking) not in asked:
                asked.add((i, asking))
                users.setdefault(i, []).append(asking)
                if i not in need:
                    following.update(dict.fromkeys(reversed(reach(i))))
            return value(i)

        todo = reach(root)[::-1]
        queued = set(todo)
        while todo:
            following = {}
            for node in todo:
                asking = node
                queued.discard(node)
                text = self._candidates(node, value, ask)
                if text is not None and (node not in best or text < best[node]):
                    best[node] = text
                    for user in users.get(node, ()):
                        if user not in queued:
                            following[user] = None
            queued = set(following)
            todo = list(following)
        known.update(best)

    def _children(self, i: int) -> Iterable[int]:
        """Nodes a shortest value of node `i` may need."""
        self.arena.lowering.ready(i)
        node = self.arena.grammar.node(i)
        for a in node.arrays:
            if a.counts or a.unique and a.min > 1:
                continue            # asked for as the search comes to them
            yield from a.prefix[:a.min]
            if a.min > len(a.prefix):
                yield a.items
        for k, o in enumerate(node.objects):
            shape = self._shape(self._alternatives(i)[1][k])
            if shape.clauses:
                for ways in (*shape.ways, *(w for _, w in shape.classes)):
                    yield from (child for _, child in ways)
                continue
            needed = shape.required
            for r in range(shape.n):
                if needed >> r & 1:
                    needed |= shape.needs.get(r, 0)
            for r, child in enumerate(shape.nodes):
                if needed >> r & 1 or o.min > needed.bit_count():
                    yield child
            if shape.extra >= 0 and o.min > needed.bit_count():
                yield from self.members.labels(shape)

    def _alternatives(self, i: int) -> tuple[list[int], list[int]]:
        """Record numbers of a node's arrays and objects."""
        record = self.arena.lowering.nodes.array[i * sl.NODE_W:(i + 1) * sl.NODE_W].tolist()
        alts = self.arena.lowering.alts.array
        a, o = record[sl.N_ARR], record[sl.N_OBJ]
        return alts[a:a + record[sl.N_NARR]].tolist(), alts[o:o + record[sl.N_NOBJ]].tolist()

    def _candidates(self, i: int, value: Value, ask: Value) -> Optional[Text]:
        arena = self.arena
        arena.lowering.ready(i)
        node = arena.grammar.node(i)
        record = arena.lowering.nodes.array[i * sl.NODE_W:(i + 1) * sl.NODE_W].tolist()
        out: list[Text] = []
        if node.null:
            out.append(text_of(b"null"))
        if node.true:
            out.append(text_of(b"true"))
        if node.false:
            out.append(text_of(b"false"))
        if record[sl.N_NUM] >= 0:
            q = record[sl.N_NUM]
            out.append(text_of(self.suffix(q if q < sl.RAW_BASE else q - sl.RAW_BASE)))
        if record[sl.N_STR] >= 0:
            out.append(text_of(b'"' + self.suffix(record[sl.N_STR]) + b'"'))
        arrays, objects = self._alternatives(i)
        for a in arrays:
            record = self._array(a)
            start = record[sl.A_POSITION]
            items = self._items(record, 0, value) if start < 0 else items_at(self, start, ask)
            if items is not None:
                out.append(cat(text_of(b"[" + self._open), self.members.listed(items, False), text_of(b"]")))
        for o in objects:
            shape = self._shape(o)
            members = (self.members.satisfy if shape.clauses else self.members.choose)(shape, 0, 0, 0, -1, 0, value)
            if members is not None:
                out.append(cat(text_of(b"{" + self._open), self.members.listed(members, False), text_of(b"}")))
        return min(out) if out else None

    def _array(self, arr: int) -> list[int]:
        return self.arena.lowering.arrays.array[arr * sl.ARR_W:(arr + 1) * sl.ARR_W].tolist()

    def _items(self, alt: list[int], count: int, value: Value) -> Optional[list[Text]]:
        """The items an array still needs after `count`."""
        out = []
        for i in range(count, alt[sl.A_MIN]):
            if i < alt[sl.A_NPREFIX]:
                node = int(self.arena.lowering.prefixes.array[alt[sl.A_PREFIX] + i])
            else:
                node = alt[sl.A_ITEMS]
            text = value(node)
            if text is None:
                return None
            out.append(text)
        return out

    # ---------------------------------------------------------------- objects
    def _shape(self, obj: int) -> Shape:
        shape = self._shapes.get(obj)
        if shape is None:
            shape = self._shapes[obj] = Shape(self.arena, obj)
        return shape

    def _position(self, op: int) -> tuple[int, int, int, int, int]:
        """(object, bitset of ranks seen, position, count, extras) of an object position."""
        obj, reg, cnt, x = self.arena.pool("ops").reshape(-1, sl.OP_W)[op, :4].tolist()
        shape = self._shape(obj)
        if not shape.bitset:
            return obj, 0, reg, cnt, x
        seen = int.from_bytes(self.arena.pool("bits")[reg:reg + shape.record[sl.O_WORDS]].tobytes(), "little")
        return obj, seen, self._reached(shape, seen, x), cnt, x

    @staticmethod
    def _reached(shape: Shape, seen: int, x: int) -> int:
        """The first document index whose name may still come."""
        if not shape.ordered:
            return 0
        if x or shape.clauses and seen >> shape.held_at & sl.EXTRA_SEEN:
            return shape.n
        return max((shape.place[r] + 1 for r in range(shape.n) if seen >> r & 1), default=0)

    def _rest(self, obj: int, seen: int, position: int, cnt: int, x: int, key: Optional[str], least: int,
              comma: bool) -> Text:
        """From an object position to the closing brace, which is included.

        `key` is one more undeclared key, not in `x` yet.
        """
        memo = obj, seen, position, cnt, x, key, least, comma
        text = self._rests.get(memo)
        if text is None:
            shape = self._shape(obj)
            choose = self.members.satisfy if shape.clauses else self.members.choose
            members = choose(shape, seen, position, cnt, self._seen(x, key), least, self.value)
            assert members is not None
            text = self._rests[memo] = cat(self.members.listed(members, comma), text_of(b"}"))
        return text

    def _seen(self, x: int, key: Optional[str]) -> int:
        """Trie of the undeclared keys seen."""
        if key is None:
            return int(self.arena.table("xsets")[x * sl.X_W]) if x else -1
        return self.arena.lexer.add_literals(sorted({*self.arena._xwords[x], key}))

    # ---------------------------------------------------------------- keys
    def _key(self, q: int, c: int, prefix: Callable[[], bytes]) -> Text:
        """Shortest completion of a key being read, in context `c` (not a set)."""
        arena = self.arena
        names, extra, state = self.key_states(q)
        op, _, parent = arena.pool("ctx").reshape(-1, sl.CTX_W)[c, 1:4].tolist()
        allowed, ext = arena.pool("ops").reshape(-1, sl.OP_W)[op, 4:6].tolist()
        obj, seen, position, cnt, x = self._position(op)
        shape = self._shape(obj)
        wanted = self.members.wanted(shape, seen, position)
        must = shape.min - cnt - wanted.bit_count()
        after = cnt + 1 if cnt < shape.record[sl.O_CAP] else cnt
        out: list[Text] = []
        if names >= 0:
            bits = int.from_bytes(arena.pool("bits")[allowed:allowed + shape.record[sl.O_WORDS]].tobytes(), "little")
            ways = [(r, text) for r, text in self._spellings(names) if bits >> r & 1]
            if ways and must <= 0 and not (shape.needs or shape.clauses or self._pre):
                ways = [self._cheapest_name(shape, ways, wanted)]
            for r, text in ways:
                place = shape.place[r] + 1 if shape.ordered else 0
                for held, node in shape.ways[r] if shape.clauses else ((0, shape.nodes[r]),):
                    there = seen | 1 << r | (held << shape.held_at if held else 0)
                    if shape.clauses and self._dead(op, r, x, held):
                        continue
                    rest = self._rest(obj, there, place, after, x, None, 0, True)
                    out.append(cat(text_of(text + b'"'), self.members.colon, self.value(node), self._space, rest))
        if extra >= 0 and ext:
            later = (must > 0 or shape.clauses > 0) and self.exact   # the keys to come must differ from this one
            for label, held, node in self._label_ways(shape, op, x):
                for word in self.extras.words(names, extra, state, label, max(must, 0) + 1 if later else 1):
                    key = json.loads(b'"' + prefix() + word + b'"') if later else None
                    rest = self._rest(obj, seen | held, shape.n if shape.ordered else 0, after, x, key, 0, True)
                    out.append(cat(text_of(word + b'"'), self.members.colon, self.value(node), self._space, rest))
        return cat(min(out), self.after(parent))

    def _dead(self, op: int, r: int, x: int, marks: int) -> bool:
        """Whether an object can't be completed after key `r` (-1: undeclared), its value satisfying clauses `marks`."""
        after = self.arena.call(sk.stack_call, sk.CALL_OP_ADD, op, r, x, marks)
        allowed, ext, close = self.arena.pool("ops").reshape(-1, sl.OP_W)[after, 4:7].tolist()
        words = self._shape(int(self.arena.pool("ops")[after * sl.OP_W])).record[sl.O_WORDS]
        return not close and not ext and not self.arena.pool("bits")[allowed:allowed + words].any()

    def _label_ways(self, shape: Shape, op: int, x: int) -> Iterable[tuple[int, int, int]]:
        """(label, what to add to the keys seen, node) of the ways to write an undeclared key's value at `op`."""
        if not shape.clauses:
            for node in self.members.labels(shape):
                yield 1 if shape.extra_node >= 0 else node, 0, node
            return
        for label, ways in shape.classes:
            for marks, node in ways:
                if not self._dead(op, -1, x, marks):
                    yield label, (marks | (sl.EXTRA_SEEN if shape.ordered else 0)) << shape.held_at, node

    def closed(self, c: int) -> Text:
        """What completes a string before context-or-set `c`, its closing quote included."""
        return cat(text_of(b'"'), self.after(c))

    def key_states(self, q: int) -> list[int]:
        """The (names, extra, seen) states of a key state."""
        return self.arena.pool("keys").reshape(-1, sl.KEY_W)[q - sl.KEY_BASE, :3].tolist()

    @staticmethod
    def is_trie(q: int) -> bool:
        """Is `q` dead, or a state whose words `words_below` can list?"""
        return q < 0 or lk.TRIE_BASE <= q < lk.RTRIE_BASE

    def words_below(self, q: int) -> list[tuple[int, bytes]]:
        """(label, rest of the word, not escaped) of the words below a state of a literal trie."""
        return words_below(self.arena.lexer, q)

    def any_key(self, q: int, c: int) -> Optional[Text]:
        """What completes an undeclared key that may be any text, its closing quote included; None if it may not."""
        out: list[Text] = []
        for m in self._members(c):
            op, _, parent = self.arena.pool("ctx").reshape(-1, sl.CTX_W)[m, 1:4].tolist()
            obj, seen, _, cnt, x = self._position(op)
            shape = self._shape(obj)
            if self.arena.pool("ops")[op * sl.OP_W + sl.P_EXT]:
                after = cnt + 1 if cnt < shape.record[sl.O_CAP] else cnt
                for label, held, node in self._label_ways(shape, op, x):
                    if label != 1:        # the label of any string, whatever automaton led there
                        continue
                    rest = self._rest(obj, seen | held, shape.n if shape.ordered else 0, after, x, None, 0, True)
                    out.append(cat(text_of(b'"'), self.members.colon, self.value(node), self._space, rest,
                                    self.after(parent)))
        return min(out) if out else None

    def _cheapest_name(self, shape: Shape, ways: list[tuple[int, bytes]], wanted: int) -> tuple[int, bytes]:
        """The name that leads to the least text, where choosing one changes nothing for the others."""
        comma = len(self.members.comma)

        def cost(way: tuple[int, bytes]) -> tuple[int, bytes]:
            r, text = way
            body = self.value(shape.nodes[r])[0]
            if wanted >> r & 1:
                body -= len(shape.quoted[r]) + self.members.colon[0] + body + comma
            return len(text) + body, text + b'"'

        return min(ways, key=cost)

    def _spellings(self, q: int) -> list[tuple[int, bytes]]:
        """(rank, rest of the shortest spelling) of the declared names below a key state."""
        found = self._spelled.get(q)
        if found is None:
            found = spellings(self.arena.lexer, q)
            assert found is not None                # declared names are always a trie
            self._spelled[q] = found
        return found
