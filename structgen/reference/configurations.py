"""What may come next, as a set of byte-level configurations of a JSON grammar.

A configuration is a stack, outermost first, of small tuples:

==================================  ============================================
``("value", node)``                 a value of `node` starts here
``("lit", rest)``                   these bytes, exactly
``("str", machine, state, raw)``    in a string; `raw`: unfinished character
``("num", machine, state)``         in a number
``("arr", alt, count, phase, ...)`` in an array (phase: first, item, in, after);
                                    what its counters say, the items so far, and
                                    the text of the last one (if items differ)
``("obj", alt, seen, last, extras, phase)``  in an object (first, key, after)
``("key", machine, state, text, raw)``       in a key of the object below it
``("gap", left)``                   at most `left` bytes of white space first
``("blank",)``                      exactly one blank first
``("space", states)``               white space by a regular expression
``("colon", node)``                 a colon, then a value of `node`
==================================  ============================================

The empty stack is the end of the text.  Every configuration that
:meth:`Configurations.step` returns can be completed: exact, by search.
Nothing here is fast; every rule is written where it applies.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Iterator, Optional

from ..errors import LimitError
from ..grammar.arrays import canonical, parse_item
from ..grammar.ir import ArrayAlt, JsonGrammar
from ..grammar.strings import Pattern
from .numbers import number_machine
from .strings import ConjMachine, KeyMachine, _nfa, decoded, possible

__all__ = ["Configurations", "Stack"]

Stack = tuple[tuple, ...]
SPACE = frozenset(b" \t\n\r")
MAX_SUBSETS = 1 << 16
MAX_GAP = 4095
#: a node with more values than this never runs out of them in a text one looks at
FEW = 12


def _with_byte(stack: Stack, b: int) -> Stack:
    """`stack` with byte `b` noted as text of the items it belongs to."""
    if not any(f[0] == "arr" and f[1].unique and f[3] in ("in", "after") for f in stack):
        return stack
    return tuple(f[:6] + (f[6] + bytes([b]),) if f[0] == "arr" and f[1].unique and f[3] in ("in", "after") else f
                 for f in stack)


def _may_close(alt: ArrayAlt, count: int, counters: tuple) -> bool:
    return count >= alt.min and all(n >= c.lo for n, c in zip(counters, alt.counts))


def _ways(alt: ArrayAlt, count: int, counters: tuple) -> Iterator[tuple[int, tuple]]:
    """(node, counters afterwards) of every way to read item `count`."""
    rows = alt.rows()
    for node, bits in rows[min(count, len(rows) - 1)]:
        after = tuple(n + (bits >> k & 1) for k, n in enumerate(counters))
        if all(c.hi is None or n <= c.hi for n, c in zip(after, alt.counts)):
            # beyond what is asked for, more makes no difference
            yield node, tuple(min(n, c.lo) if c.hi is None else n for n, c in zip(after, alt.counts))


class Configurations:
    """The transition relation of one JSON grammar.

    Parameters
    ----------
    grammar : JsonGrammar
        Values, with the options that define white space, order and spelling.
    """

    def __init__(self, grammar: JsonGrammar):
        self.grammar = grammar
        self.options = grammar.options
        self._conjs: dict[Any, ConjMachine] = {}
        self._numbers: dict[Any, Any] = {}
        self._keys: dict[Any, KeyMachine] = {}
        self._choices: dict[Any, list] = {}
        self._endings: dict[Any, bool] = {}
        if self.options.whitespace not in ("flexible", "compact", "json.dumps"):
            self._space = _nfa(Pattern("python", self.options.whitespace))

    def start(self) -> frozenset[Stack]:
        """The configurations before the first byte."""
        return frozenset([(("value", self.grammar.root),)])

    def step(self, configs: frozenset[Stack], b: int) -> frozenset[Stack]:
        """All live configurations after one more byte."""
        return frozenset(_with_byte(s, b) for c in configs for s in self._step(c, b))

    def accepts(self, configs: frozenset[Stack]) -> bool:
        """May the text end here?"""
        for c in configs:
            if not c:
                return True
            if len(c) == 1 and c[0][0] == "num" and c[0][1].accepts(c[0][2]):
                return True
        return False

    # ---- gaps -----------------------------------------------------------

    def _gap(self, stack: Stack, after: int) -> Stack:
        """`stack` with the white space that may follow the lexeme ending in byte `after`."""
        kind = self.options.whitespace
        depth = sum(f[0] in ("arr", "obj") for f in stack)
        if depth == 0 or kind == "compact":
            return stack
        if kind == "flexible":
            return stack + (("gap", min(2 + 8 * depth, MAX_GAP)),)
        if kind == "json.dumps":
            return stack + (("blank",),) if after in b",:" else stack
        return stack + (("space", self._space.start),)

    # ---- one byte -------------------------------------------------------

    def _step(self, stack: Stack, b: int) -> Iterator[Stack]:
        if not stack:
            return
        rest, top = stack[:-1], stack[-1]
        yield from getattr(self, "_in_" + top[0])(rest, top, b)

    def _in_gap(self, rest, top, b):
        if b in SPACE and top[1]:
            yield rest + (("gap", top[1] - 1),)
        yield from self._step(rest, b)

    def _in_space(self, rest, top, b):
        nxt = self._space.step(top[1], b)
        if nxt:
            yield rest + (("space", nxt),)
        if self._space.accepts(top[1]):
            yield from self._step(rest, b)

    def _in_blank(self, rest, top, b):
        if b == ord(" "):
            yield rest

    def _in_lit(self, rest, top, b):
        text = top[1]
        if text[0] != b:
            return
        if len(text) > 1:
            yield rest + (("lit", text[1:]),)
        else:
            yield self._after_value(rest, b)

    def _after_value(self, rest: Stack, b: int) -> Stack:
        """A value just ended with byte `b`; `rest` is what is around it."""
        if not rest:
            return ()
        frame = rest[-1]
        if frame[0] == "arr":
            frame = ("arr", frame[1], frame[2] + 1, "after") + frame[4:]
        else:
            frame = frame[:-1] + ("after",)
        return self._gap(rest[:-1] + (frame,), b)

    def _in_value(self, rest, top, b):
        node = self.grammar.node(top[1])
        for byte, allowed, word in ((ord("n"), node.null, b"ull"), (ord("t"), node.true, b"rue"),
                                    (ord("f"), node.false, b"alse")):
            if b == byte and allowed:
                yield rest + (("lit", word),)
        if b == ord('"'):
            for conj in node.string:
                machine = self._conjs.get(conj)
                if machine is None:
                    machine = self._conjs[conj] = ConjMachine(conj)
                if machine.live(machine.start):
                    yield rest + (("str", machine, machine.start, b""),)
        if b == ord("["):
            for alt in node.arrays:
                yield self._gap(rest + (("arr", alt, 0, "first", (0,) * len(alt.counts), (), b""),), b)
        if b == ord("{"):
            for alt in node.objects:
                frame = ("obj", alt, frozenset(), -1, frozenset(), "first")
                if self._can_finish(frame):
                    yield self._gap(rest + (frame,), b)
        if node.number and (b == ord("-") or ord("0") <= b <= ord("9")):
            machine = self._numbers.get(node.number)
            if machine is None:
                machine = self._numbers[node.number] = number_machine(
                    node.number, self.options, self.grammar.float_integers)
            state = machine.step(machine.start, b)
            if state is not None:
                yield rest + (("num", machine, state),)

    def _in_num(self, rest, top, b):
        _, machine, state = top
        nxt = machine.step(state, b)
        if nxt is not None:
            yield rest + (("num", machine, nxt),)
        if machine.accepts(state):
            # The number ended before b; it is no byte of white space, so any byte stands for its last.
            yield from self._step(self._after_value(rest, ord("0")), b)

    def _in_str(self, rest, top, b):
        _, machine, state, raw = top
        if b == ord('"') and not raw:
            if machine.accepts(state):
                yield self._after_value(rest, b)
            return
        nxt = self._char(machine, state, raw, b)
        if nxt is not None:
            yield rest + (("str", machine, *nxt[:2]),)

    def _char(self, machine, state, raw: bytes, b: int):
        """(state, unfinished bytes, code point or None) after byte `b` of a string, None when dead."""
        raw = raw + bytes([b])
        if not possible(raw, self.options.escapes):
            return None
        cp = decoded(raw)
        if cp is None:
            return (state, raw, None) if machine.live_within(state, raw, self.options.escapes) else None
        state = machine.feed(state, cp)
        return (state, b"", cp) if machine.live(state) else None

    # ---- arrays ---------------------------------------------------------

    def _in_arr(self, rest, top, b):
        _, alt, count, phase, counters, items, text = top
        if b == ord("]") and phase != "item" and _may_close(alt, count, counters):
            yield self._after_value(rest, b)
        if phase == "after":
            if b == ord(","):
                if alt.unique:
                    items += (text.strip(),)
                    if not self._items(alt, count, counters, items):
                        return
                elif not self._items(alt, count, counters, ()):
                    return
                yield self._gap(rest + (("arr", alt, count, "item", counters, items, b""),), b)
            return
        for node, after in self._items(alt, count, counters, items):
            frame = ("arr", alt, count, "in", after, items, b"")
            yield from self._step(rest + (frame, ("value", node)), b)

    def _items(self, alt: ArrayAlt, count: int, counters: tuple, items: tuple) -> list[tuple[int, tuple]]:
        """(node, counters afterwards) of every way to read the next item such that the array can be completed."""
        if alt.max is not None and count >= alt.max:
            return []
        key = alt, count, counters, items
        found = self._choices.get(key)
        if found is not None:
            return found
        out = []
        values = [parse_item(text) for text in items]
        used = frozenset(map(canonical, values))
        for node, after in _ways(alt, count, counters):
            if not self._can_end(alt, count + 1, after, used):
                continue
            if alt.unique:
                taken = list(values)
                for v in self._scarce(alt):
                    if not self._can_end(alt, count + 1, after, used | {canonical(v)}):
                        taken.append(v)
                node = self.grammar.without(node, taken) if taken else node
            if node >= 0:
                out.append((node, after))
        self._choices[key] = out
        return out

    def _scarce(self, alt: ArrayAlt) -> list:
        """All values of the nodes of `alt` that have few."""
        return [v for row in alt.rows() for node, _ in row for v in self.grammar.values(node, FEW) or ()]

    def _can_end(self, alt: ArrayAlt, count: int, counters: tuple, used: frozenset, left: int = -1) -> bool:
        """Is there a sequence of further items that completes the array? Every one of some length is tried."""
        if _may_close(alt, count, counters):
            return True
        if left < 0:
            left = len(alt.rows()) + alt.min + sum(c.lo for c in alt.counts)
        if left == 0 or alt.max is not None and count >= alt.max:
            return False
        if alt.max is None:
            count = min(count, max(len(alt.rows()), alt.min))
        key = alt, count, counters, used, left
        known = self._endings.get(key)
        if known is None:
            known = self._endings[key] = any(
                self._can_end(alt, count + 1, after, more, left - 1)
                for node, after in _ways(alt, count, counters) for more in self._next(alt, node, used))
        return known

    def _next(self, alt: ArrayAlt, node: int, used: frozenset) -> Iterator[frozenset]:
        """The sets of items after one more of `node`; one that has many values takes none from the others."""
        values = self.grammar.values(node, FEW) if alt.unique else None
        if values is None:
            yield used
        else:
            for v in values:
                if canonical(v) not in used:
                    yield used | {canonical(v)}

    # ---- objects --------------------------------------------------------

    def _in_obj(self, rest, top, b):
        phase = top[-1]
        if b == ord("}") and phase != "key" and self._complete(top):
            yield self._after_value(rest, b)
        if phase == "after":
            if b == ord(","):
                frame = top[:-1] + ("key",)
                if self._key_machine(frame).live(self._key_machine(frame).start):
                    yield self._gap(rest + (frame,), b)
        elif b == ord('"'):
            machine = self._key_machine(top)
            if machine.live(machine.start):
                yield rest + (top, ("key", machine, machine.start, "", b""))

    def _in_key(self, rest, top, b):
        _, machine, state, text, raw = top
        if b != ord('"') or raw:
            nxt = self._char(machine, state, raw, b)
            if nxt is not None:
                cp = nxt[2]
                yield rest + (("key", machine, nxt[0], text if cp is None else text + chr(cp), nxt[1]),)
            return
        if not machine.accepts(state):
            return
        for frame, node in self._with_key(rest[-1], text, machine.bits(state)):
            if self._can_finish(frame):
                yield self._gap(rest[:-1] + (frame, ("colon", node)), b)

    def _in_colon(self, rest, top, b):
        if b == ord(":"):
            yield self._gap(rest + (("value", top[1]),), b)

    def _with_key(self, frame: tuple, text: str, bits: int) -> list[tuple[tuple, int]]:
        """The object frame once key `text` is there, and the node of its value; in every way there is.

        Clause number j that holds whatever follows is written -1 - j in `seen`.
        """
        _, alt, seen, last, extras, _ = frame
        if text in alt.names:
            i = alt.names.index(text)
            if i in seen or alt.nodes[i] < 0 or (self.options.order == "schema" and i <= last):
                return []
            after, seen = i, seen | {i}
            ways = alt.ways[i] if alt.clauses else ()
            node = alt.nodes[i]
        else:
            if alt.extra is None or text in extras:
                return []
            # In schema order nothing that is declared comes after an undeclared key.
            after, extras = len(alt.names), extras | {text}
            ways = dict(alt.extra.ways).get(bits, ())
            node = alt.extra.label(bits)
            if node < 0:
                return []
        return [(("obj", alt, seen | {-1 - j for j in range(alt.clauses) if marks >> j & 1}, after, extras, "after"),
                 way) for marks, way in ways or ((0, node),)]

    def _key_machine(self, frame: tuple) -> KeyMachine:
        """The machine of the next key: it accepts a key after which the object can be completed."""
        key = frame[:-1]
        machine = self._keys.get(key)
        if machine is not None:
            return machine
        _, alt, seen, last, extras, _ = frame
        words = {w.encode("utf-8", "surrogatepass"): w for w in (*alt.names, *extras)}

        def verdict(word: Optional[bytes], bits: int) -> bool:
            # A key that is no special word is new; "\0new" only stands for it in the count.
            text = words[word] if word is not None else "\0new"
            return any(self._can_finish(after) for after, _ in self._with_key(frame, text, bits))

        machine = KeyMachine(frozenset(words), alt.extra.atoms if alt.extra else (), verdict)
        self._keys[key] = machine
        return machine

    @staticmethod
    def _complete(frame: tuple) -> bool:
        """May this object be closed now?"""
        _, alt, seen, _, extras, _ = frame
        n = sum(i >= 0 for i in seen) + len(extras)
        return (all(i in seen for i, r in enumerate(alt.required) if r)
                and all(-1 - j in seen or any(alt.absent[i] >> j & 1 and i not in seen for i in range(len(alt.names)))
                        for j in range(alt.clauses))
                and all(i not in seen or all(j in seen for j in js) for i, js in alt.deps)
                and n >= alt.min and (alt.max is None or n <= alt.max))

    def _can_finish(self, frame: tuple) -> bool:
        """Is there a set of further keys that completes this object?

        Every set of the keys that take part in `deps` is tried; the other
        keys only count.
        """
        _, alt, seen, last, extras, _ = frame
        free = [i for i, node in enumerate(alt.nodes) if node >= 0 and i not in seen
                and (self.options.order == "any" or i > last)]
        needed = {i for i, r in enumerate(alt.required) if r and i not in seen}
        if not needed <= set(free):
            return False
        if alt.clauses:
            return self._can_satisfy(frame, free, needed)
        linked = {i for i, js in alt.deps for i in (i, *js)}
        optional = [i for i in free if i not in needed]
        choices = [i for i in optional if i in linked]
        others = len(optional) - len(choices)
        if alt.extra is None:
            more = 0
        elif alt.extra.size is None:
            more = None
        else:
            more = alt.extra.size - len(extras)
        if 1 << len(choices) > MAX_SUBSETS:
            raise LimitError("too many dependent keys", place="reference objects", limit=MAX_SUBSETS)
        for k in range(len(choices) + 1):
            for chosen in combinations(choices, k):
                total = seen | needed | set(chosen)
                if any(i in total and not all(j in total for j in js) for i, js in alt.deps):
                    continue
                least = len(total) + len(extras)
                if alt.max is not None and least > alt.max:
                    continue
                if more is None or least + others + more >= alt.min:
                    return True
        return False

    @staticmethod
    def _can_satisfy(frame: tuple, free: list[int], needed: set[int]) -> bool:
        """`_can_finish` for an object with clauses: what every set of further keys can satisfy, and their number."""
        _, alt, seen, _, extras, _ = frame
        held = sum(1 << j for j in range(alt.clauses) if -1 - j in seen)
        reached = {(held, sum(i >= 0 for i in seen) + len(extras))}
        for i in range(len(alt.names)):
            after = set()
            for marks, n in reached:
                if i in seen:
                    after.add((marks, n))
                    continue
                if i not in needed:
                    after.add((marks | alt.absent[i], n))
                if i in free:
                    after |= {(marks | more, n + 1) for more, _ in alt.ways[i] or ((0, 0),)}
            reached = after
            if len(reached) > MAX_SUBSETS:
                raise LimitError("too many clauses", place="reference objects", limit=MAX_SUBSETS)
        if alt.extra is not None:
            kinds = {marks for _, ways in alt.extra.ways for marks, _ in ways}
            for _ in range(alt.clauses + alt.min):      # more can change nothing
                reached |= {(marks | more, n + 1) for marks, n in reached for more in kinds}
        whole = (1 << alt.clauses) - 1
        return any(marks == whole and n >= alt.min and (alt.max is None or n <= alt.max) for marks, n in reached)
