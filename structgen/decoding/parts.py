"""Grammars with other constraints inside: one machine for the rules, a matcher for each part begun.

A terminal may stand for a whole constraint (a JSON Schema, a grammar with a
lexer of its own).  The machine of context-free grammars knows such a terminal
by its place in the rules only.  A *state* here is a configuration of that
machine and a set of parts begun: (terminal, matcher, context behind it,
shadows).  A part begins wherever a thread between lexemes can shift its
terminal; where its text is complete, it leaves a thread behind it; both
may be so in the middle of a token.  Shadows of the lexeme before run on through
the part's text, since longest match sees it.

A mask is the union of what the machine allows, of what each part allows, and of
the tokens that cross a seam.  Those are found by walking the trie: only below
bytes with which a part (or a terminal before one) can end, a table a part.
States are numbered when met, masks kept by state; while a part reads a string,
both stay the same.

Costs (128,000 tokens): a mask in a state met before is a copy; in a new one 0.1
to a few ms, most for the walk along seams.
"""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import numpy as np

from ..automata import cfg_kernels as ck
from ..automata import cfg_layout as cl
from ..automata.cfg_arena import CfgArena, special_id
from ..automata.cfg_search import completable, shortest, split_specials
from ..errors import LimitError, MatcherError, VocabularyError
from ..grammar.cfg import CfgGrammar
from ..grammar.ir import JsonGrammar
from ..tokens.trie import greedy_tokens
from .arguments import address_of, integer
from .matcher import Matcher
from .text_before import Node

if TYPE_CHECKING:
    from .compiled import Compiled

__all__ = ["Inner", "PartsArena", "PartsClosing", "PartsMatcher", "last_bytes"]

#: Masks kept, in bytes, before all are dropped; steps of one search for a completion.
MAX_ROWS, MAX_SEARCH = 64 << 20, 4_000
#: States numbered before new matchers start afresh.
MAX_PART_STATES = 500_000


class Inner:
    """What the rules must know of a constraint inside: see `Program`."""

    def __init__(self, compiled: "Compiled"):
        self.compiled = compiled
        m = compiled.matcher()
        self.nullable = m.can_end()
        self.first = m.expected_bytes()
        #: a shortest text, not empty
        self.text = m.shortest_completion()
        if not self.text:
            options = []
            for b in self.first:
                probe = m.fork()
                probe.accept_bytes(bytes((b,)))
                options.append(bytes((b,)) + probe.shortest_completion())
            self.text = min(options, key=lambda t: (len(t), t), default=b"")
        self.last = last_bytes(compiled)
        self.needed = None


def last_bytes(compiled: "Compiled") -> "set[int]":
    """Bytes with which texts of a constraint may end; perhaps some more."""
    grammar = compiled.grammar
    if isinstance(grammar, JsonGrammar):
        node = grammar.node(grammar.root)
        out: set[int] = set()
        out |= {0x7D} if node.objects else set()
        out |= {0x5D} if node.arrays else set()
        out |= {0x22} if node.string else set()
        out |= set(b"0123456789") if node.number else set()
        return out | (set(b"e") if node.true or node.false else set()) | (set(b"l") if node.null else set())
    if isinstance(grammar, CfgGrammar) and hasattr(compiled.program, "grammar"):
        p = compiled.program
        last = [a for a in range(p.nt) if p.lr.after[a] >> p.nt & 1] if p.lr.after else list(range(p.nt))
        return _ending_bytes(compiled, last + list(range(p.nt, p.nx)))
    return set(range(256))


def _ending_bytes(compiled: "Compiled", symbols: "list[int]") -> "set[int]":
    """Bytes with which these lexeme symbols of a grammar may end."""
    p = compiled.program
    out: set[int] = set()
    classes: set[int] = set()
    for a in symbols:
        if a < p.nt and p.grammar.terminals[a].kind == "embedded":
            out |= compiled.inner_of(a).last
            continue
        for q in p.starts_of(a):
            states, _, _ = p._shape(q)
            rows = p.trans[states]
            ends = (rows >= 0) & (p.end[np.maximum(rows, 0)] != 0)
            classes |= set(np.flatnonzero(ends.any(0)).tolist())
    return out | {b for b in range(256) if int(p.classes[b]) in classes}


class Begun(NamedTuple):
    """A part that has begun: its terminal, its matcher, the context behind it, shadows of what stood before."""

    terminal: int
    matcher: Matcher
    context: int
    owed: "frozenset[int]"

    @property
    def key(self) -> tuple:
        m = self.matcher
        return self.terminal, m.state, m.text if m._arena.unique else None, self.owed


class PartsArena:
    """States and masks of one grammar with constraints inside; see the module's text."""

    unique = mixed = False
    address = 0

    def __init__(self, compiled: "Compiled"):
        self.compiled, self.program, self.tables = compiled, compiled.program, compiled._tables
        self.vocabulary = compiled.vocabulary
        self.lock = threading.RLock()
        self.may_exceed = False
        self.closing: Any = None
        self.outer = CfgArena(compiled.program, compiled._tables, compiled.max_bytes)
        self.outer.may_exceed = True
        self.embedded = [a for a, t in enumerate(self.program.grammar.terminals) if t.kind == "embedded"]
        self.specials = {special_id(self.vocabulary, t): a for a, t in enumerate(self.program.grammar.terminals)
                         if t.kind == "token"}
        p = self.program
        before = [a for a in range(p.nt) if any(p.lr.after[a] >> x & 1 for x in self.embedded)]
        #: bytes after which a part may begin, as far as the rules' own terminals go
        self.seams = _ending_bytes(compiled, [a for a in before + list(range(p.nt, p.nx)) if a not in self.embedded])
        self._marks: dict[frozenset, np.ndarray] = {}
        self._states: list[tuple[int, tuple[Begun, ...]]] = []
        self._number: dict[tuple, int] = {}
        self._steps: dict[tuple[int, int], int] = {}
        self._rows: dict[int, np.ndarray] = {}
        self._lives: dict[int, bool] = {}
        self._starts = {a: compiled.inner_of(a).compiled.matcher() for a in self.embedded}
        trie = self.tables.trie
        self._nodes, self._first = trie.nodes, trie.first
        self._tokens = trie.dfs_tokens
        self.start = self._intern(self.outer.threads(self.outer.start), [])

    # ------------------------------------------------------------- states
    def _owed_after(self, owed: "frozenset[int]", byte: int) -> "Optional[frozenset[int]]":
        """Shadows after a byte; None when one of them refutes the lexeme before the part."""
        if not owed:
            return owed
        k = int(self.program.classes[byte])
        after = {int(self.program.dtrans[d, k]) for d in owed}
        return None if -1 in after else frozenset(after - {0})

    def _between(self, context: int, owed: "frozenset[int]") -> int:
        """The thread behind a part."""
        if len(owed) > 1:
            raise LimitError("several lexemes before an embedded constraint could still have been longer at its end",
                             place="embedded constraint", limit=1)
        lex = self.outer.op(ck.O_PAIR, 0, next(iter(owed))) if owed else 0
        return lex << 32 | context

    def _alive(self, thread: int) -> bool:
        lex = thread >> 32
        if lex < cl.PAIR_BASE and self.program.safe:
            return True
        found = self._lives.get(thread)
        if found is None:
            found = self._lives[thread] = completable(self.outer, thread, MAX_SEARCH)
        return found

    def _intern(self, threads: "list[int]", begun: "list[Begun]", check: bool = True) -> int:
        """The number of a state; -1 if nothing is left.  Parts that may begin here are begun."""
        outer = self.outer
        merged: dict[int, int] = {}
        for t in threads:
            lex, c = t >> 32, t & cl.LOW
            merged[lex] = outer.op(ck.O_UNION, merged[lex], c) if lex in merged else c
        parts: dict[tuple, Begun] = {}

        def add(b: Begun) -> None:
            old = parts.get(b.key)
            parts[b.key] = b if old is None else old._replace(context=outer.op(ck.O_UNION, old.context, b.context))

        for b in begun:
            add(b)
        for lex, c in merged.items():
            q, d = outer.unpair(lex)
            if q == 0:
                for a in self.embedded:
                    after = outer.op(ck.O_SHIFT, c, a)
                    if after > 0:
                        add(Begun(a, self._starts[a], after, frozenset(outer.shadows(d))))
        live = sorted(t for t in (lex << 32 | c for lex, c in merged.items()) if not check or self._alive(t))
        if not live and not parts:
            return -1
        conf = -1
        if live:
            if outer.block[cl.CAP_BUF] < len(live):
                outer.block[cl.NEED], outer.block[cl.NEED_A] = cl.BUF_A, len(live)
                outer.serve(cl.NEED_PY)
            outer._held[cl.BUF_A][:len(live)] = live
            conf = outer.op(ck.O_CONFIGURATION, len(live))
        ordered = tuple(parts[k] for k in sorted(parts, key=repr))
        key = (conf, tuple([(b.key, b.context) for b in ordered]))
        found = self._number.get(key)
        if found is None:
            found = self._number[key] = len(self._states)
            self._states.append((conf, ordered))
        return found

    def _forward(self, b: Begun, byte: int) -> Optional[Begun]:
        """A part after a byte."""
        owed = self._owed_after(b.owed, byte)
        if owed is None:
            return None
        m = _after(b.matcher, bytes((byte,)))
        return None if m is None else Begun(b.terminal, m, b.context, owed)

    def step(self, state: int, byte: int) -> int:
        """The state after a byte, or -1."""
        key = (state, byte)
        found = self._steps.get(key)
        if found is None:
            conf, parts = self._states[state]
            found = self._steps[key] = self._new_step(conf, parts, byte)
        return found

    def _new_step(self, conf: int, parts: "tuple[Begun, ...]", byte: int) -> int:
        threads: list[int] = []
        if conf >= 0:
            data = bytes((byte,))
            r = self.outer.op(ck.O_RUN, conf, address_of(data), 1)
            threads = self.outer.threads(r) if r >= 0 else []
        begun = [x for x in (self._forward(b, byte) for b in parts) if x is not None]
        threads = threads + [self._between(b.context, b.owed) for b in begun if b.matcher.can_end()]
        return self._intern(threads, begun) if threads or begun else -1

    def read(self, state: int, data: bytes) -> "tuple[int, int]":
        """(the state after `data`, or -1, offset at which it fails)."""
        for i, b in enumerate(data):
            state = self.step(state, b)
            if state < 0:
                return -1, i
        return state, len(data)

    def special(self, state: int, token: int) -> int:
        """The state after a special token, or -1."""
        conf, parts = self._states[state]
        threads: list[int] = []
        if conf >= 0 and token in self.specials:
            r = self.outer.op(ck.O_TOKEN, conf, token)
            threads = self.outer.threads(r) if r >= 0 else []
        begun = []
        for b in parts:
            m = b.matcher.fork()
            if all(self.outer.may_stop(d) for d in b.owed) and self.vocabulary.eos_ids.count(token) == 0 and \
                    m.try_accept(token):
                begun.append(Begun(b.terminal, m, b.context, frozenset()))
        threads += [self._between(b.context, b.owed) for b in begun if b.matcher.can_end()]
        return self._intern(threads, begun) if threads or begun else -1

    def can_end(self, state: int) -> bool:
        """May the text end here?"""
        conf = self._states[state][0]
        return conf >= 0 and self.outer.op(ck.O_CAN_END, conf) == 1

    def next_bytes(self, state: int) -> np.ndarray:
        """bool[256]: the bytes that may come next."""
        conf, parts = self._states[state]
        out = np.zeros(256, bool)
        if conf >= 0:
            found = np.zeros(self.program.ncls + 8, np.uint8)
            self.outer.op(ck.O_CLASSES, conf, int(found.ctypes.data))
            out |= found[self.program.classes] != 0
        for b in parts:
            for byte in b.matcher.expected_bytes():
                out[byte] = out[byte] or self._owed_after(b.owed, byte) is not None
        return out

    # ------------------------------------------------------------- masks
    def row(self, state: int) -> np.ndarray:
        """The mask of a state: int32 words."""
        found = self._rows.get(state)
        if found is None:
            found = self.build(state)
            if (len(self._rows) + 1) * found.nbytes > MAX_ROWS:
                self._rows.clear()
            self._rows[state] = found
        return found

    def build(self, state: int, left: Optional[int] = None) -> np.ndarray:
        """The same made anew, for `left` tokens if that is given."""
        conf, parts = self._states[state]
        words = 2 * self.tables.words
        out, one = np.zeros(words, np.int32), np.zeros(words, np.int32)
        if conf >= 0:
            if ck.cfg_fill(self.outer.address, conf, int(out.ctypes.data), words) < 0:
                self.outer.op(ck.O_ROW, conf)
                ck.cfg_fill(self.outer.address, conf, int(out.ctypes.data), words)
            if left is not None:
                self._closing().narrow_outer(conf, left, int(out.ctypes.data), words)
        more = out.view(np.uint32)
        for b in parts:
            one[:] = 0
            if left is None:
                b.matcher.fill_bitmask(one)
            else:
                behind = self._closing().behind(b)
                self._closing().narrow_inner(b, left - behind + 1, one)
            for t in self.vocabulary.eos_ids:
                more_word = one.view(np.uint32)
                more_word[t >> 5] &= np.uint32(0xFFFFFFFF ^ 1 << (t & 31))
            if b.owed:
                self._only_settled(b, one)
            out |= one
        for t in self._crossing(conf, parts):
            if left is None or self._fits(state, t, left):
                more[t >> 5] |= np.uint32(1 << (t & 31))
        return out

    def _fits(self, state: int, token: int, left: int) -> bool:
        after = self.read(state, self.vocabulary.token_bytes(token))[0]
        return after >= 0 and 1 + self._closing().tokens_needed(after) <= left

    def _closing(self) -> "PartsClosing":
        if self.closing is None:
            self.closing = PartsClosing(self)
        return self.closing

    def _only_settled(self, b: Begun, mask: np.ndarray) -> None:
        """Take from a part's mask the tokens whose text refutes the lexeme before it."""
        bits = mask.view(np.uint32)
        ids = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
        for t in ids.tolist():
            owed: Optional[frozenset] = b.owed
            for byte in self.vocabulary.token_bytes(t):
                owed = self._owed_after(owed, byte)
                if not owed:
                    break
            if owed is None:
                bits[t >> 5] &= np.uint32(0xFFFFFFFF ^ 1 << (t & 31))

    def _marked(self, last: "set[int]") -> np.ndarray:
        """Which trie nodes lead to one that is reached by a byte of `last` and has children."""
        key = frozenset(last)
        found = self._marks.get(key)
        if found is None:
            nodes = np.asarray(self._nodes)
            size = nodes >> 24 & 0xFFFFFF
            hit = np.isin(nodes & 255, list(key)) & (size > 1)
            hit[0] = False
            total = np.concatenate([[0], np.cumsum(hit)])
            at = np.arange(len(nodes))
            found = self._marks[key] = total[np.minimum(at + size, len(nodes))] - total[at] > 0
        return found

    def _children(self, i: int) -> "list[tuple[int, int]]":
        """(node, byte) of each child of a trie node."""
        nodes = self._nodes
        stop = i + (int(nodes[i]) >> 24 & 0xFFFFFF) if i else len(nodes)
        out, j = [], i + 1
        while j < stop:
            node = int(nodes[j])
            out.append((j, node & 255))
            j += node >> 24 & 0xFFFFFF
        return out

    def _crossing(self, conf: int, parts: "tuple[Begun, ...]") -> "set[int]":
        """The tokens in which a part ends and something follows, or a part begins behind something."""
        out: set[int] = set()
        for b in parts:
            last = self.compiled.inner_of(b.terminal).last
            marks = self._marked(last)
            stack = [(0, b)]
            while stack:
                i, at = stack.pop()
                for j, byte in self._children(i):
                    if not marks[j]:
                        continue
                    after = self._forward(at, byte)
                    if after is None:
                        continue
                    stack.append((j, after))
                    if byte in last and after.matcher.can_end():
                        s = self._intern([self._between(after.context, after.owed)], [], False)
                        if s >= 0:
                            self._collect(j, s, out)
        if conf >= 0 and self.seams:
            marks = self._marked(self.seams)
            confs = [(0, conf)]
            while confs:
                i, f = confs.pop()
                for j, byte in self._children(i):
                    if not marks[j]:
                        continue
                    data = bytes((byte,))
                    after = self.outer.op(ck.O_RUN, f, address_of(data), 1)
                    if after < 0:
                        continue
                    confs.append((j, after))
                    if byte in self.seams:
                        s = self._intern(self.outer.threads(after), [], False)
                        begun = self._states[s][1] if s >= 0 else ()
                        if begun:
                            self._collect(j, self._only_parts(begun), out)
        return out

    def _only_parts(self, begun: "tuple[Begun, ...]") -> int:
        key = (-1, tuple([(b.key, b.context) for b in begun]))
        found = self._number.get(key)
        if found is None:
            found = self._number[key] = len(self._states)
            self._states.append((-1, begun))
        return found

    def _collect(self, i: int, state: int, out: "set[int]") -> None:
        """Add the tokens below trie node `i` that can be read on from `state`."""
        stack = [(i, state)]
        while stack:
            i, state = stack.pop()
            for j, byte in self._children(i):
                after = self.step(state, byte)
                if after >= 0:
                    out.update(self._tokens[self._first[j]:self._first[j + 1]].tolist())
                    stack.append((j, after))

    # ------------------------------------------------------------- completions
    def completion(self, state: int) -> bytes:
        """A shortest text that completes a state."""
        conf, parts = self._states[state]
        options = []
        if conf >= 0:
            options.append(shortest(self.outer, conf))
        for b in parts:
            text = b.matcher.shortest_completion()
            owed: Optional[frozenset] = b.owed
            for byte in text:
                owed = None if owed is None else self._owed_after(owed, byte)
            if owed is not None:
                options.append(text + self.after_part(b._replace(owed=owed)))
        if not options:
            raise LimitError("no short completion settles what stands before an embedded constraint",
                             place="embedded constraint", limit=1)
        return min((self.spelled(x) for x in options), key=lambda t: (len(t), t))

    def after_part(self, b: Begun) -> bytes:
        """The completion behind a part, with marks for the parts and special tokens in it."""
        conf = self._states[self._intern([self._between(b.context, b.owed)], [], False)][0]
        return shortest(self.outer, conf)

    def spelled(self, data: bytes) -> bytes:
        """A completion without marks."""
        out = b""
        for part in split_specials(data):
            if isinstance(part, bytes):
                out += part
            elif part in self.embedded:
                out += self.compiled.inner_of(part).text
            else:
                name = self.program.grammar.terminals[part].name
                raise MatcherError(f"every completion has the special token {name}, which is no text",
                                   hint="accept the token, then ask again")
        return out

    @property
    def nbytes(self) -> int:
        """Bytes held, as far as they are counted."""
        return self.outer.nbytes + sum(r.nbytes for r in self._rows.values()) + 200 * len(self._states)

    @property
    def rows_bytes(self) -> int:
        """What decides whether new matchers start afresh."""
        return self.compiled.max_bytes + 1 if len(self._states) > MAX_PART_STATES else self.outer.rows_bytes


def _after(m: Matcher, data: bytes) -> Optional[Matcher]:
    """A matcher behind `data`, or None."""
    node = m._node
    if node[5]:
        return None
    r = m._advance(node, data)[0]
    if r < 0:
        return None
    out = m.fork()
    out._node = (r, data, node, node[3] + len(data), node[4], False)
    return out


class PartsClosing:
    """Budgets: U(s) is the tokens of a completion of s, each part's text tokenised by itself, EOS included."""

    def __init__(self, arena: PartsArena):
        from .cfg_matcher import CfgClosing

        self.arena = arena
        self._outer = CfgClosing(arena.outer, arena.vocabulary)
        self._outer.needed_inside = self._inside
        self._needed: dict[int, int] = {}

    def _inside(self, terminal: int) -> Optional[int]:
        """Tokens of the text of an embedded constraint, without EOS; None for special tokens."""
        if terminal not in self.arena.embedded:
            return None
        inner = self.arena.compiled.inner_of(terminal)
        if inner.needed is None:
            inner.needed = self._count(inner.text)
        return inner.needed

    def _count(self, data: bytes) -> int:
        trie = self.arena.tables.trie
        source = np.frombuffer(bytearray(data), np.uint8)
        out = np.empty(source.size, np.int32)
        n = greedy_tokens(trie.nodes, trie.token, trie.root_child, source, out) if source.size else 0
        if n < 0:
            raise VocabularyError(f"no sequence of tokens spells the shortest completion {data[:40]!r}")
        return int(n)

    def tokens_needed(self, state: int) -> int:
        """U of a state."""
        found = self._needed.get(state)
        if found is None:
            conf, parts = self.arena._states[state]
            options = [self._outer.tokens_needed(conf)] if conf >= 0 else []
            for b in parts:
                closing = b.matcher.compiled.closing(b.matcher._arena)
                with b.matcher._arena.lock:
                    options.append(closing.tokens_needed(b.matcher._node[0]) - 1 + self.behind(b))
            found = self._needed[state] = min(options)
        return found

    def behind(self, b: Begun) -> int:
        """Tokens needed behind a part, EOS included."""
        arena = self.arena
        conf = arena._states[arena._intern([arena._between(b.context, frozenset())], [], False)][0]
        return self._outer.tokens_needed(conf)

    def narrow_outer(self, conf: int, left: int, address: int, words: int) -> None:
        """Narrow a mask of the rules' own tokens."""
        self._outer.narrow(conf, left, address, words)

    def narrow_inner(self, b: Begun, left: int, mask: np.ndarray) -> None:
        """The mask of a part for `left` tokens."""
        m = b.matcher
        m.fill_bitmask(mask)
        if left < 1:
            mask[:] = 0
            return
        m.compiled.closing(m._arena).narrow(m._node[0], left, int(mask.ctypes.data), mask.size)

    def narrow(self, state: int, left: int, address: int, words: int) -> None:
        """Take from the mask at `address` the tokens whose completion would not fit."""
        with self.arena.lock:
            row = self.arena.build(state, left)
        mask = np.frombuffer((ctypes.c_int32 * words).from_address(address), np.int32)
        n = min(words, row.size)
        mask[:n] &= row[:n]

    def completion(self, state: int, text: bytes = b"") -> bytes:
        """A shortest completion of a state."""
        with self.arena.lock:
            return self.arena.completion(state)


class PartsMatcher(Matcher):
    """Position in a grammar with constraints inside; see `Matcher`."""

    __slots__ = ()
    batched = False

    def __init__(self, compiled: "Compiled", max_tokens: "int | None" = None):
        super().__init__(compiled, max_tokens)
        self._simple = False

    def _run(self, kernel: Any, *args: int) -> int:
        """Copy the mask of the current state: what `Matcher._fill` asks for."""
        address, words = args
        arena = self._arena
        try:
            with arena.lock:
                if self._closing is not None:
                    ctypes.memset(address, 0xFF, words * 4)       # narrowed from everything
                    n = min(words, 2 * arena.tables.words)
                    ctypes.memset(address + 4 * n, 0, 4 * (words - n))
                    return 0
                row = arena.row(self._node[0])
        except LimitError as error:
            error.partial = self.text.decode("utf-8", "replace")
            raise
        n = min(words, row.size)
        ctypes.memmove(address, int(row.ctypes.data), 4 * n)
        ctypes.memset(address + 4 * n, 0, 4 * (words - n))
        return 0

    def _advance(self, node: Node, data: bytes) -> "tuple[int, int]":
        try:
            with self._arena.lock:
                return self._arena.read(node[0], data)
        except LimitError as error:
            error.partial = self.text.decode("utf-8", "replace")
            raise

    def try_accept(self, token: int) -> bool:
        """`accept` that returns False instead of raising when the token cannot follow."""
        node = self._node
        token = integer(token, "a token id")
        kind = self._kind(token)
        if node[5]:
            return False
        if kind == 2 and self._accept_end(token):
            return True
        if kind == 0:
            r = self._advance(node, self.vocabulary.token_bytes(token))[0]
        else:
            with self._arena.lock:
                r = self._arena.special(node[0], token)
        if r < 0:
            return False
        self._node = (r, token, node, node[3] + self._lengths[token], node[4] + 1, False)
        return True

    def can_end(self) -> bool:
        """Whether the text so far is complete (EOS is allowed)."""
        if self._node[5]:
            return False
        with self._arena.lock:
            return self._arena.can_end(self._node[0])

    def _bytes_next(self, flags: np.ndarray) -> int:
        with self._arena.lock:
            found = self._arena.next_bytes(self._node[0])
        flags.view(np.uint8)[:] = found
        return int(found.sum())

    def expected_terminals(self) -> "tuple[list[str], list[str]]":
        """The terminals being read here, and those that may begin here; see `CfgMatcher.expected_terminals`."""
        from .cfg_matcher import expected_terminals

        if self._node[5]:
            return [], []
        with self._arena.lock:
            conf, parts = self._arena._states[self._node[0]]
            reading, coming = expected_terminals(self._arena.outer, conf) if conf >= 0 else ([], [])
            terminals = self._arena.program.grammar.terminals
            inside = [terminals[b.terminal].name for b in parts if b.matcher._node[3] > 0]
            return list(dict.fromkeys(reading + inside)), coming

    def shortest_completion(self) -> bytes:
        """A shortest text that completes the one accepted."""
        if self._node[5]:
            return b""
        with self._arena.lock:
            return self._arena.completion(self._node[0])
