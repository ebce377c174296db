"""Shortest completions, and masks that leave room for them.

U(s) is the number of tokens, EOS included, of the greedy longest-match
tokenisation of *the* shortest completion of s: least in bytes, then least in
byte order.  A suffix of a chosen completion is the chosen completion of the
state it starts from, so with R tokens left, allowing t only if
1 + U(next(s, t)) <= R never leaves the mask empty once U(start) <= R.

Everything here is lazy and memoised by context; nothing is computed until a
budget is asked for.  A mask is only narrowed token by token when R is below
the greatest U one token away (memoised by state).
"""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING, Iterator, Optional

import numpy as np

from ..automata import stack_kernels as sk
from ..automata import static_dfa as sd
from ..errors import LimitError
from ..grammar.ir import TextGrammar
from ..tokens import mask_kernels as mk

if TYPE_CHECKING:
    from ..automata.arena import Arena
    from ..tokens.vocabulary import Vocabulary

__all__ = ["Closing"]

#: Steps of the search for the shortest undeclared key.
MAX_KEY_SEARCH = 200_000
#: A string's pending escape or character costs at most this many tokens more.
STRING_SLACK = 12


def _order(text: bytes) -> tuple[int, bytes]:
    return len(text), text


def _static_suffixes() -> dict[int, bytes]:
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
                    if q not in best or _order(text) < _order(best[q]):
                        best[q], changed = text, True
    return best


_STATIC = _static_suffixes()


class Closing:
    """Shortest completions in one arena; call under the arena's lock."""

    def __init__(self, arena: "Arena", vocabulary: "Vocabulary"):
        self.arena = weakref.proxy(arena)              # the arena owns this object
        self.vocabulary = vocabulary
        mode = int(arena.block[sk.WS_MODE])
        space = arena.lexer.shortest(int(arena.block[sk.WS_START]) - sk.WSX_BASE) if mode == 3 else b""
        #: white space every opening bracket, comma and colon is followed by, and the rest preceded by
        self._open, self._pre, self._post = space, space, b" " if mode == 2 else space
        self._nodes: dict[int, bytes] = {}
        self._contexts: dict[int, bytes] = {}
        self._peaks: dict[int, int] = {}

    # ---------------------------------------------------------------- budget
    def tokens_needed(self, state: int) -> int:
        """U of a state: the least over its threads."""
        return min(self._u(t) for t in self._threads(state))

    def _u(self, thread: int) -> int:
        return len(self.vocabulary.tokenize(self._thread(thread))) + 1

    def narrow(self, state: int, left: int, address: int, words: int) -> None:
        """Take from the mask at `address` the tokens whose completion would not fit.

        `left` tokens remain, EOS and the next one included.
        """
        arena = self.arena
        with arena.lock:
            peak = self._peaks.get(state)
            if peak is None:
                peak = self._peaks[state] = self._peak(state)
            if left - 1 >= peak:
                return
            row = np.zeros(arena.tables.words, np.int64)
            self._walk(0, state, left - 1, row.ctypes.data)
        have = row.view(np.int32)
        mask = np.frombuffer((ctypes.c_int32 * words).from_address(address), np.int32)
        n = min(words, have.size)
        keep = have[:n].copy()
        for t in self.vocabulary.eos_ids:
            if t >> 5 < n:
                keep[t >> 5] |= np.int32(np.uint32(1 << (t & 31)).view(np.int32))
        np.bitwise_and(mask[:n], keep, out=mask[:n])

    def _peak(self, state: int) -> int:
        """A bound on U behind any token allowed in `state`."""
        peak = 0
        for t in self._threads(state):
            q, c = t >> sk.SHIFT, t & sk.LOW
            if q == sd.STR:
                inside = self._u(t) + STRING_SLACK
                gap = (self._gap(c) << sk.SHIFT) | c
                peak = max(peak, inside, self._u(gap), self._walk(2, gap, 0, 0))
            elif sd.WS <= q < sd.LX_BASE or q == sk.MUST_SPACE or q >= sk.WSX_BASE:
                peak = max(peak, self._walk(1, t, 0, 0))
            else:
                peak = max(peak, self._walk(0, t, 0, 0))
        return peak

    def _walk(self, which: int, state: int, left: int, row: int) -> int:
        """Run the walk of ends until every U it meets is known; returns the greatest."""
        arena = self.arena
        while True:
            n = arena.call(mk.ends, which, state, left, row)
            if n == 0:
                return int(arena.block[mk.PEAK])
            for thread in arena.pool("ask")[:n].tolist():
                if mk.mask_call(arena.address, mk.CALL_PUT_U, thread, self._u(thread), 0, 0, 0, 0):
                    arena.grow_u()

    # ---------------------------------------------------------------- texts
    def completion(self, state: int) -> bytes:
        """The shortest completion of a state."""
        with self.arena.lock:
            return min((self._thread(t) for t in self._threads(state)), key=_order)

    def _threads(self, state: int) -> list[int]:
        if state < mk.MANY:
            return [state]
        at, n = self.arena.pool("states").reshape(-1, 2)[state - mk.MANY].tolist()
        return self.arena.pool("state_pool")[at:at + n].tolist()

    def _thread(self, thread: int) -> bytes:
        q, c = thread >> sk.SHIFT, thread & sk.LOW
        if q >= sk.WSX_BASE:
            return self._suffix(q - sk.WSX_BASE) + self._set(c)
        if q >= sk.KEY_BASE:
            return min((self._key(q, m) for m in self._members(c)), key=_order)
        if sd.WS <= q < sd.LX_BASE:
            return self._set(c)
        if q == sk.MUST_SPACE:
            return b" " + self._set(c)
        if q < sd.N_STATIC:
            quote = b'"' if q < 16 or 48 <= q < 52 else b""
            return _STATIC[q] + quote + self._after(c)
        if q >= sk.RAW_BASE:
            return self._suffix(q - sk.RAW_BASE) + self._after(c)
        return self._suffix(q) + b'"' + self._after(c)

    def _suffix(self, q: int) -> bytes:
        return _STATIC[q] if q < sd.N_STATIC else self.arena.lexer.shortest(q)

    def _members(self, c: int) -> list[int]:
        if c < sk.SET_BASE:
            return [c]
        at, n = self.arena.pool("sets").reshape(-1, sk.SET_W)[c - sk.SET_BASE, :2].tolist()
        return self.arena.pool("members")[at:at + n].tolist()

    def _after(self, c: int) -> bytes:
        """What completes the text once a lexeme before context-or-set `c` has ended."""
        if isinstance(self.arena.grammar, TextGrammar):
            return b""
        q = self._gap(c)
        space = b" " if q == sk.MUST_SPACE else self._pre if q >= sk.WSX_BASE else b""
        return space + self._set(c)

    def _gap(self, c: int) -> int:
        return sk.stack_call(self.arena.address, sk.CALL_GAP, c, 0, 0, 0)

    def _set(self, c: int) -> bytes:
        if c < sk.SET_BASE:
            return self._context(c)
        return min((self._context(m) for m in self._members(c)), key=_order)

    def _context(self, c: int) -> bytes:
        text = self._contexts.get(c)
        if text is None:
            text = self._contexts[c] = self._complete(c)
        return text

    def _complete(self, c: int) -> bytes:
        """The shortest completion from context `c`, white space done."""
        kind, a, b, parent = self.arena.pool("ctx").reshape(-1, sk.CTX_W)[c, :4].tolist()
        if kind == sk.DONE:
            return b""
        if kind == sk.VALUE:
            return self._value(a) + self._after(parent)
        if kind == sk.COLON:
            return b":" + self._post + self._value(a) + self._after(parent)
        if kind in (sk.ARR_START, sk.ARR_AFTER):
            alt = self._array_record(a)
            items = self._items(alt, b, self._value)
            assert items is not None
            return self._rest_of(items, kind == sk.ARR_AFTER) + b"]" + self._after(parent)
        members = self._members_needed(a, self._value, at_least=1 if kind == sk.OBJ_KEY else 0)
        assert members is not None
        return self._rest_of(members, kind == sk.OBJ_AFTER) + b"}" + self._after(parent)

    def _rest_of(self, parts: list[bytes], comma: bool) -> bytes:
        """Items or members up to the closing bracket, white space before the first one done."""
        if not parts:
            return b""
        head = b"," + self._post if comma else b""
        return head + (self._pre + b"," + self._post).join(parts) + self._pre

    # ---------------------------------------------------------------- values
    def _value(self, node: int) -> bytes:
        """Shortest text of a value node (least fixpoint over recursion)."""
        text = self._nodes.get(node)
        if text is None:
            self._solve(node)
            text = self._nodes[node]
        return text

    def _solve(self, root: int) -> None:
        """Knuth's generalisation of Dijkstra by plain iteration over the nodes needed."""
        grammar = self.arena.grammar
        known, need, order = self._nodes, {root}, [root]
        for node in order:
            for child in _children(grammar.node(node)):
                if child >= 0 and child not in known and child not in need:
                    need.add(child)
                    order.append(child)
        best: dict[int, bytes] = {}

        def value(i: int) -> Optional[bytes]:
            return known.get(i) or best.get(i)

        changed = True
        while changed:
            changed = False
            for node in reversed(order):
                text = self._candidates(node, value)
                if text is not None and (node not in best or _order(text) < _order(best[node])):
                    best[node], changed = text, True
        known.update(best)

    def _candidates(self, i: int, value) -> Optional[bytes]:
        arena = self.arena
        arena.lowering.ready(i)
        node = arena.grammar.node(i)
        record = arena.lowering.nodes.array[i * sk.NODE_W:(i + 1) * sk.NODE_W].tolist()
        out: list[bytes] = []
        if node.null:
            out.append(b"null")
        if node.true:
            out.append(b"true")
        if node.false:
            out.append(b"false")
        if record[sk.N_NUM] >= 0:
            q = record[sk.N_NUM]
            out.append(self._suffix(q if q < sk.RAW_BASE else q - sk.RAW_BASE))
        if record[sk.N_STR] >= 0:
            out.append(b'"' + self._suffix(record[sk.N_STR]) + b'"')
        alts = arena.lowering.alts.array
        for k in range(record[sk.N_NARR]):
            items = self._items(self._array_record(int(alts[record[sk.N_ARR] + k])), 0, value)
            if items is not None:
                out.append(b"[" + self._open + self._rest_of(items, False) + b"]")
        for k in range(record[sk.N_NOBJ]):
            members = self._fresh_members(int(alts[record[sk.N_OBJ] + k]), value)
            if members is not None:
                out.append(b"{" + self._open + self._rest_of(members, False) + b"}")
        return min(out, key=_order) if out else None

    def _array_record(self, arr: int) -> list[int]:
        return self.arena.lowering.arrays.array[arr * sk.ARR_W:(arr + 1) * sk.ARR_W].tolist()

    def _items(self, alt: list[int], count: int, value) -> Optional[list[bytes]]:
        """The items an array still needs after `count`."""
        out = []
        for i in range(count, alt[sk.A_MIN]):
            if i < alt[sk.A_NPREFIX]:
                node = int(self.arena.lowering.prefixes.array[alt[sk.A_PREFIX] + i])
            else:
                node = alt[sk.A_ITEMS]
            text = value(node)
            if text is None:
                return None
            out.append(text)
        return out

    # ---------------------------------------------------------------- objects
    def _fresh_members(self, obj: int, value) -> Optional[list[bytes]]:
        return self._choose(obj, set(), 0, 0, 0, value, 0)

    def _members_needed(self, op: int, value, at_least: int) -> Optional[list[bytes]]:
        """The members an object at position `op` still needs, in the order to write them."""
        obj, reg, cnt, x = self.arena.pool("ops").reshape(-1, sk.OP_W)[op, :4].tolist()
        seen, position = self._register(obj, reg)
        return self._choose(obj, seen, position, cnt, x, value, at_least)

    def _register(self, obj: int, reg: int) -> tuple[set[int], int]:
        """(ranks seen, position) of a register."""
        record = self._object_record(obj)
        if not record[sk.O_BITSET]:
            return set(), reg
        words = self.arena.pool("bits")[reg:reg + record[sk.O_WORDS]].tolist()
        seen = {64 * i + b for i, w in enumerate(words) for b in range(64) if w >> b & 1}
        alt, by_rank = self.arena.lowering.alternatives[obj]
        position = 0
        if record[sk.O_ORDERED]:
            position = max((by_rank[r] + 1 for r in seen), default=0)
        return seen, position

    def _object_record(self, obj: int) -> list[int]:
        return self.arena.lowering.objects.array[obj * sk.OBJ_W:(obj + 1) * sk.OBJ_W].tolist()

    def _choose(self, obj: int, seen: set[int], position: int, cnt: int, x: int, value,
                at_least: int) -> Optional[list[bytes]]:
        """Members that complete an object at least cost, in writing order; None if unknown."""
        alt, by_rank = self.arena.lowering.alternatives[obj]
        record = self._object_record(obj)
        n = len(by_rank)
        place = {i: r for r, i in enumerate(by_rank)}       # document index -> rank
        present = {by_rank[r] for r in seen}
        closures = self.arena.lowering._closures(alt) if alt.deps else {}
        wanted = {i for i in range(position, n) if alt.required[i] and i not in present} if not record[
            sk.O_BITSET] else {i for i in range(n) if alt.required[i] and i not in present}
        for i in present | wanted:
            wanted |= closures.get(i, set()) - present
        texts: dict[int, bytes] = {}

        def member(i: int) -> Optional[bytes]:
            if i not in texts:
                text = value(alt.nodes[i])
                if text is None:
                    return None
                texts[i] = self._quoted(alt.names[i]) + self._pre + b":" + self._post + text
            return texts[i]

        for i in wanted:
            if member(i) is None:
                return None
        more = max(alt.min - cnt, at_least) - len(wanted)
        extras: list[bytes] = []
        if more > 0:
            start = position if record[sk.O_ORDERED] else 0
            pool: list[tuple[tuple[int, bytes], int]] = []
            for i in range(start, n):
                if i in present or i in wanted or alt.nodes[i] < 0 or closures.get(i, set()) - present - wanted:
                    continue
                text = member(i)
                if text is not None:
                    pool.append((_order(text), i))
            if record[sk.O_HAS_EXTRA]:
                for text in self._extra_members(obj, x, value, more):
                    pool.append((_order(text), -1))
            pool.sort()
            if len(pool) < more:
                return None
            for (_, text), i in pool[:more]:
                if i >= 0:
                    wanted.add(i)
                else:
                    extras.append(text)
        if record[sk.O_ORDERED]:
            return [texts[i] for i in sorted(wanted)] + sorted(extras)
        return sorted([texts[i] for i in wanted] + extras)

    def _quoted(self, name: str) -> bytes:
        lexer = self.arena.lexer
        return b'"' + lexer.shortest(lexer.add_literals([name])) + b'"'

    def _extra_members(self, obj: int, x: int, value, count: int) -> Iterator[bytes]:
        """The cheapest undeclared members: their keys in order of length, then bytes."""
        record = self._object_record(obj)
        seen = int(self.arena.table("xsets")[x * sk.X_W]) if x else -1
        names, extra = record[sk.O_NAMES], record[sk.O_EXTRA]
        for text, label in self._keys_from(names, extra, seen, count):
            node = record[sk.O_EXTRA_NODE] if record[sk.O_EXTRA_NODE] >= 0 else label
            body = value(node)
            if body is not None:
                yield b'"' + text + b'"' + self._pre + b":" + self._post + body

    def _keys_from(self, names: int, extra: int, seen: int, count: int) -> Iterator[tuple[bytes, int]]:
        """Undeclared, unseen keys from key automata states, shortest first, with their label."""
        lexer, found, steps = self.arena.lexer, 0, 0
        level = [(b"", names, extra, seen)]
        while level and found < count:
            following = []
            kept: dict[tuple[int, int, int], int] = {}
            for text, n, x, s in level:
                label = self._label(x)
                if label >= 0 and self._label(n) < 0 and self._label(s) < 0:
                    yield text, label
                    found += 1
                    if found >= count:
                        return
                for b in range(0x20, 0x100):
                    if b == 0x22 and not self._escaping(x):
                        continue
                    steps += 1
                    y = lexer.step(x, b)
                    if y >= 0:
                        states = lexer.step(n, b) if n >= 0 else -1, y, lexer.step(s, b) if s >= 0 else -1
                        # what follows is the same from the same states, so the first `count` texts suffice
                        same = kept.get(states, 0)
                        if same < count:
                            kept[states] = same + 1
                            following.append((text + bytes((b,)), *states))
                if steps > MAX_KEY_SEARCH:
                    raise LimitError("the search for a shortest undeclared key took too long",
                                     place="undeclared keys", limit=MAX_KEY_SEARCH)
            level = following

    def _label(self, q: int) -> int:
        if q < 0:
            return -1
        return (1 if q == sd.STR else -1) if q < sd.N_STATIC else self.arena.lexer.label(q)

    def _escaping(self, q: int) -> bool:
        if q < sd.N_STATIC:
            return q == sd.E_SLASH
        return self.arena.lexer.step(q, 0x22) >= 0

    def _key(self, q: int, c: int) -> bytes:
        """Shortest completion of a key being read, in context `c` (not a set)."""
        arena = self.arena
        names, extra, seen = arena.pool("keys").reshape(-1, sk.KEY_W)[q - sk.KEY_BASE, :3].tolist()
        op, _, parent = arena.pool("ctx").reshape(-1, sk.CTX_W)[c, 1:4].tolist()
        obj, _, _, x, allowed, ext = arena.pool("ops").reshape(-1, sk.OP_W)[op, :6].tolist()
        record = self._object_record(obj)
        nodes = arena.lowering.pool.array[record[sk.O_NODES]:record[sk.O_NODES] + record[sk.O_N]].tolist()
        out: list[bytes] = []
        if names >= 0:
            words = arena.pool("bits")[allowed:allowed + record[sk.O_WORDS]].tolist()
            for r in range(record[sk.O_N]):
                if words[r >> 6] >> (r & 63) & 1:
                    text = self._name_suffix(names, r)
                    if text is not None:
                        out.append(self._rest(text, nodes[r], op, r, x, parent))
        if extra >= 0 and ext:
            for text, label in self._shortest_extra(names, extra, seen):
                node = record[sk.O_EXTRA_NODE] if record[sk.O_EXTRA_NODE] >= 0 else label
                out.append(self._rest(text, node, op, -1, x, parent))
        return min(out, key=_order)

    def _name_suffix(self, names: int, label: int) -> Optional[bytes]:
        """Rest of the spelling of declared key `label` from trie state `names`, if it goes on there."""
        return self.arena.lexer.shortest(names, lambda k: k == label)

    def _shortest_extra(self, names: int, extra: int, seen: int) -> Iterator[tuple[bytes, int]]:
        yield from self._keys_from(names, extra, seen, 1)

    def _rest(self, key: bytes, node: int, op: int, label: int, x: int, parent: int) -> bytes:
        arena = self.arena
        after = arena.call(sk.stack_call, sk.CALL_OP_ADD, op, label, x, 0)
        c = arena.call(sk.stack_call, sk.CALL_CONTEXT, sk.OBJ_AFTER, after, 0, parent)
        return key + b'"' + self._pre + b":" + self._post + self._value(node) + self._after(c)


def _children(node) -> Iterator[int]:
    """Nodes a shortest value may need."""
    for a in node.arrays:
        yield from a.prefix[:a.min]
        if a.min > len(a.prefix):
            yield a.items
    for o in node.objects:
        needed = sum(o.required)
        for i, child in enumerate(o.nodes):
            if o.required[i] or o.min > needed or o.deps:
                yield child
        if o.extra is not None and o.min > needed:
            if not o.extra.atoms:
                yield o.extra.label(0)
            else:
                for bits in range(1 << min(len(o.extra.atoms), 8)):
                    yield o.extra.label(bits)
