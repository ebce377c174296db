"""Which members complete an object in the fewest bytes.

Required names, what they depend on, and, while ``minProperties`` asks for more,
the cheapest others; in an object with clauses (what is left of ``not`` and
``oneOf``) whatever satisfies them at least cost.  See :mod:`.shortest` for
texts, and for what is exact and what is estimated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Iterable, Optional

from ..automata import stack_layout as sl
from ..automata.lexer_shortest import spell
from ..errors import LimitError

if TYPE_CHECKING:
    from ..automata.arena import Arena
    from ..grammar.ir import ObjectAlt
    from .extra_keys import ExtraKeys

__all__ = ["MAX_LINKED", "Members", "Shape", "Text", "Value", "cat", "text_of"]

#: length, bytes, loose
Text = tuple[int, bytes, bool]
Value = Callable[[int], Optional[Text]]
#: Most optional names that may depend on each other while ``minProperties`` asks for more.
MAX_LINKED = 14


def text_of(data: bytes, loose: bool = False) -> Text:
    return len(data), data, loose


def cat(*parts: Text) -> Text:
    return text_of(b"".join([p[1] for p in parts]), any([p[2] for p in parts]))


class Shape:
    """One object alternative, by rank (number of a declared name in code point order)."""

    def __init__(self, arena: "Arena", obj: int):
        record = arena.lowering.objects.array[obj * sl.OBJ_W:(obj + 1) * sl.OBJ_W].tolist()
        alt: "ObjectAlt" = arena.lowering.alternatives[obj][0]
        by_rank = arena.lowering.alternatives[obj][1]
        self.record = record
        self.n, self.ordered, self.bitset = record[sl.O_N], bool(record[sl.O_ORDERED]), bool(record[sl.O_BITSET])
        self.names = [alt.names[i] for i in by_rank]
        self.nodes = [alt.nodes[i] for i in by_rank]
        self.place = by_rank                                    # rank -> document index
        rank = {i: r for r, i in enumerate(by_rank)}
        self.rank = rank
        self.required = sum(1 << r for r, i in enumerate(by_rank) if alt.required[i])
        closures = arena.lowering._closures(alt) if alt.deps else {}
        self.needs = {rank[i]: sum(1 << rank[j] for j in closure) for i, closure in closures.items()}
        self.min, self.max = alt.min, alt.max
        self.extra = record[sl.O_EXTRA] if record[sl.O_HAS_EXTRA] else -1
        self.extra_node, self.names_state = record[sl.O_EXTRA_NODE], record[sl.O_NAMES]
        self.clauses = alt.clauses
        if alt.clauses:
            self.absent = [alt.absent[i] for i in by_rank]
            self.ways = [alt.ways[i] or ((0, alt.nodes[i]),) for i in by_rank]
            self.classes = [] if alt.extra is None else \
                [(1 if self.extra_node >= 0 else k, ways) for k, (_, ways) in enumerate(alt.extra.ways)]
            self.held_at = 64 * (record[sl.O_WORDS] - 1)
        minimal = arena.lexer.escapes == "minimal"
        self.data = [name.encode("utf-8", "surrogatepass") for name in self.names]
        self.quoted = [b'"' + spell(data, minimal) + b'"' for data in self.data]


class Members:
    """The choice of members for the completions of one arena.

    `extras` gives undeclared keys; `pre` and `post` are the white space before
    and behind every comma and colon.
    """

    def __init__(self, extras: ExtraKeys, exact: bool, pre: bytes, post: bytes):
        self._extra_keys, self._exact = extras, exact
        self._pre, self._post = pre, post
        self.colon, self.comma = text_of(pre + b":" + post), pre + b"," + post

    def listed(self, parts: list[Text], comma: bool) -> Text:
        """Items or members up to the closing bracket, white space before the first one done."""
        if not parts:
            return text_of(b"")
        head = b"," + self._post if comma else b""
        return text_of(head + self.comma.join([p[1] for p in parts]) + self._pre, any([p[2] for p in parts]))

    def labels(self, shape: Shape) -> list[int]:
        """Value nodes of undeclared keys."""
        return [shape.extra_node] if shape.extra_node >= 0 else self._extra_keys.labels(shape.extra)

    def _extra_members(self, shape: Shape, state: int, first: int, count: int, value: Value) -> list[Text]:
        """Members number `first` to ``first + count`` of undeclared keys, cheapest first, without those seen."""
        pool: list[Text] = []
        for node in self.labels(shape):
            body = value(node)
            if body is None:
                continue
            label = 1 if shape.extra_node >= 0 else node
            for word in self._extra_keys.words(shape.names_state, shape.extra, state, label, first + count):
                pool.append(cat(text_of(b'"' + word + b'"'), self.colon, body))
        pool.sort()
        return pool[first:first + count]

    @staticmethod
    def wanted(shape: Shape, seen: int, position: int) -> int:
        """Names that must still come: required, or needed by another one."""
        wanted = shape.required & ~seen
        if shape.ordered and not shape.bitset:
            wanted = sum(1 << r for r in _bits(wanted) if shape.place[r] >= position)
        if shape.needs:
            for r, closure in shape.needs.items():      # closures are transitive, but required names have some too
                if (seen | shape.required) >> r & 1:
                    wanted |= closure & ~seen
        return wanted

    def choose(self, shape: Shape, seen: int, position: int, cnt: int, state: int, least: int,
                value: Value) -> Optional[list[Text]]:
        """Members that complete an object at least cost, in writing order; None if a value is not known yet.

        `state` is the trie of undeclared keys known to be there; `least` is the number
        of members that must come whatever ``minProperties`` says.
        """
        texts: dict[int, Text] = {}
        for r in _bits(self.wanted(shape, seen, position)):
            text = self._member(shape, r, value)
            if text is None:
                return None
            texts[r] = text
        must = shape.min - cnt - len(texts)
        more = max(must, least - len(texts))
        if more <= 0:
            return self._ordered(shape, texts, [])
        known = cnt - seen.bit_count()
        best: Optional[tuple[tuple[int, bytes], list[Text]]] = None
        for names, count in self._optional(shape, seen, texts, position, more, cnt, value):
            need = max(0, more - count)
            extra: list[Text] = []
            if need:
                if shape.extra < 0:
                    continue
                extra = self._extras(shape, state, known, cnt + len(texts) + count, need, must > 0, value)
                if len(extra) < need:
                    continue
            members = self._ordered(shape, {**texts, **names}, extra)
            whole = self.listed(members, False)
            if best is None or whole[:2] < best[0]:
                best = whole[:2], members
        return best[1] if best else None

    def satisfy(self, shape: Shape, seen: int, position: int, cnt: int, state: int, least: int,
                 value: Value) -> Optional[list[Text]]:
        """`choose` for an object with clauses: by dynamic programming over sets of clauses and numbers of members.

        Members are taken from the last in writing order to the first, so the
        least text of what follows is part of the least text.  Estimated, every
        undeclared key costs as much as the last one that may be wanted: a
        bound that does not grow as keys are written.
        """
        need = max(least, shape.min - cnt)
        room = None if shape.max is None else shape.max - cnt
        most = need if room is None else max(need, room)
        full = (1 << shape.clauses) - 1
        held = seen >> shape.held_at & full if seen else 0
        # what may come: (key, clauses satisfied without it or None, ways); undeclared keys with a rank of their own
        names: list[tuple[bytes, Optional[int], list[tuple[int, Text]]]] = []
        for r in sorted(range(shape.n), key=shape.place.__getitem__ if shape.ordered else shape.quoted.__getitem__):
            if seen >> r & 1:
                continue
            ways = []
            if shape.nodes[r] >= 0 and not (shape.ordered and shape.place[r] < position):
                for marks, node in shape.ways[r]:
                    body = value(node)
                    if body is not None:
                        ways.append((marks, cat(text_of(shape.quoted[r]), self.colon, body)))
            names.append((shape.quoted[r], None if shape.required >> r & 1 else shape.absent[r], ways))
        members = self._least(names, held, full, need, room, most)
        if members is not None or not shape.classes:
            return members
        spare = (full & ~held).bit_count() + max(0, need)
        known = 0 if self._exact else cnt - (seen & (1 << shape.n) - 1).bit_count()
        more = []
        for label, class_ways in shape.classes:
            bodies = [(marks, body) for marks, body in ((m, value(node)) for m, node in class_ways) if body is not None]
            found = self._extra_keys.words(shape.names_state, shape.extra, state if self._exact else -1, label,
                                           known + spare)
            for word in found[:spare] if self._exact else found[-1:] * spare:
                key = b'"' + word + b'"'
                more.append((key, 0, [(marks, cat(text_of(key, not self._exact), self.colon, body))
                                      for marks, body in bodies]))
        more.sort(key=lambda v: v[0])
        names = names + more if shape.ordered else sorted(names + more, key=lambda v: v[0])
        return self._least(names, held, full, need, room, most)

    def _least(self, names: list, held: int, full: int, need: int, room: Optional[int],
               most: int) -> Optional[list[Text]]:
        """The members of least text, for `names` in writing order (see `satisfy`)."""
        best: dict[tuple[int, int], tuple[tuple, Optional[tuple]]] = {(held, 0): ((0, b""), None)}
        for _, without, ways in reversed(names):
            after: dict[tuple[int, int], tuple[tuple, Optional[tuple]]] = {}
            for (marks, n), (cost, chosen) in best.items():
                if without is not None:
                    state = marks | without, n
                    if state not in after or cost < after[state][0]:
                        after[state] = cost, chosen
                if room is not None and n >= room:
                    continue
                for more, text in ways:
                    data = text[1] + self.comma + cost[1]
                    state, total = (marks | more, min(n + 1, most)), (len(data), data)
                    if state not in after or total < after[state][0]:
                        after[state] = total, (text, chosen)
            best = after
        done = [v for (marks, n), v in best.items() if marks == full and n >= need]
        if not done:
            return None
        _, chosen = min(done, key=lambda v: v[0])
        out = []
        while chosen is not None:
            text, chosen = chosen
            out.append(text)
        return out

    def _extras(self, shape: Shape, state: int, known: int, before: int, need: int, must: bool,
                value: Value) -> list[Text]:
        """`need` undeclared members; `before` members of any kind come earlier."""
        if self._exact or not must:
            return self._extra_members(shape, state, 0, need, value)
        if not shape.bitset:
            known = before
        elif need == 1 and known == 0:
            return self._extra_members(shape, -1, 0, 1, value)
        found = self._extra_members(shape, -1, known, need, value)
        return [text_of(t, True) for _, t, _ in found]

    def _member(self, shape: Shape, r: int, value: Value) -> Optional[Text]:
        text = value(shape.nodes[r])
        if text is None:
            return None
        return cat(text_of(shape.quoted[r]), self.colon, text)

    def _ordered(self, shape: Shape, names: dict[int, Text], extra: list[Text]) -> list[Text]:
        """Members in the order in which they are to be written."""
        by_bytes = sorted(extra, key=lambda t: t[1])
        if shape.ordered:
            return [names[r] for r in sorted(names, key=shape.place.__getitem__)] + by_bytes
        return sorted([*names.values(), *by_bytes], key=lambda t: t[1])

    def _optional(self, shape: Shape, seen: int, wanted: dict[int, Text], position: int, more: int, cnt: int,
                  value: Value) -> list[tuple[dict[int, Text], int]]:
        """The best choices of k optional names beside those wanted, for every k from none to enough."""
        there = seen
        for r in wanted:
            there |= 1 << r
        room = shape.n if shape.max is None else shape.max - cnt - len(wanted)
        texts: dict[int, Text] = {}
        for r in range(shape.n):
            if there >> r & 1 or shape.nodes[r] < 0 or shape.ordered and shape.place[r] < position:
                continue
            text = self._member(shape, r, value)
            if text is not None:
                texts[r] = text
        while True:                     # what depends on a name that cannot come cannot come either
            dead = [r for r in texts if any(not there >> j & 1 and j not in texts
                                            for j in _bits(shape.needs.get(r, 0)))]
            if not dead:
                break
            for r in dead:
                del texts[r]
        linked = {r: shape.needs[r] & ~there for r in texts if shape.needs.get(r, 0) & ~there}
        if shape.ordered and not linked:
            return _in_order(shape, texts, wanted, min(more, room))
        groups = _groups(linked)
        tied = {r for g in groups for r in g}
        free = [r for _, r in sorted((t[:2], r) for r, t in texts.items() if r not in tied)]
        best: dict[int, tuple[tuple, frozenset]] = {0: ((0, ()), frozenset())}
        for g in groups:
            if len(g) > MAX_LINKED:
                raise LimitError(f"more than {MAX_LINKED} optional properties depend on each other while "
                                 "minProperties asks for more", place="dependent properties", limit=MAX_LINKED)
            best = _cheapest(((a | b) for _, a in best.values() for b in _closed(g, linked)), texts)
        best = _cheapest((names | frozenset(free[:j]) for _, names in list(best.values())
                          for j in range(min(more, len(free)) + 1)), texts)
        # in document order, ties between linked names are not looked at: the text is a bound then
        loose = shape.ordered and not self._exact
        return [({r: text_of(texts[r][1], loose or texts[r][2]) for r in names}, k)
                for k, (_, names) in best.items() if k <= room]


def _bits(mask: int) -> Iterable[int]:
    """The places of the ones of `mask`, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _groups(linked: dict[int, int]) -> list[list[int]]:
    """Names that depend on each other, as connected components."""
    group: dict[int, set[int]] = {}
    for r, needs in linked.items():
        whole = {r}
        for j in (r, *_bits(needs)):
            whole |= group.get(j, {j})
        for j in whole:
            group[j] = whole
    return [sorted(g) for g in {id(g): g for g in group.values()}.values()]


def _closed(group: list[int], linked: dict[int, int]) -> list[frozenset]:
    """Subsets of a component that contain what their members depend on."""
    out = []
    for k in range(1 << len(group)):
        chosen = sum(1 << r for i, r in enumerate(group) if k >> i & 1)
        if all(linked.get(r, 0) & ~chosen == 0 for r in _bits(chosen)):
            out.append(frozenset(_bits(chosen)))
    return out


def _cheapest(choices: Iterable[frozenset], texts: dict[int, Text]) -> dict[int, tuple[tuple, frozenset]]:
    """For every size the choice of the least text."""
    best: dict[int, tuple[tuple, frozenset]] = {}
    for names in choices:
        cost = sum(texts[r][0] for r in names), tuple(sorted(texts[r][1] for r in names))
        if len(names) not in best or cost < best[len(names)][0]:
            best[len(names)] = cost, names
    return best


def _in_order(shape: Shape, texts: dict[int, Text], wanted: dict[int, Text],
              most: int) -> list[tuple[dict[int, Text], int]]:
    """The least choices of k names, for k up to `most`, that are written in document order with those wanted."""
    best: list[Optional[tuple[int, bytes, tuple[int, ...]]]] = [(0, b"", ())] + [None] * most
    for r in sorted([*texts, *wanted], key=shape.place.__getitem__, reverse=True):
        data = (wanted.get(r) or texts[r])[1] + b","
        if r in wanted:
            best = [b and (len(data) + b[0], data + b[1], b[2]) for b in best]
            continue
        for k in range(most, 0, -1):
            tail = best[k - 1]
            if tail is not None:
                option = len(data) + tail[0], data + tail[1], (r, *tail[2])
                if best[k] is None or option < best[k]:
                    best[k] = option
    return [({r: texts[r] for r in b[2]}, k) for k, b in enumerate(best) if b is not None]
