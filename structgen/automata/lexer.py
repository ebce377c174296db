"""The lexer of one arena: lexemes whose shape a schema or grammar decides.

A :class:`Lexer` owns the tables that ``lexer_kernels`` reads and extends, and
turns string languages, key classes, literals and given automata into start
states.  Everything is lazy: adding a pattern costs its NFA and one state.

Invariants: every state handed out can accept; equal languages reached in equal
ways get equal states; once any continuation is fine, the state *is* the static
any-string state, so its cached token rows are shared.  Tables move only inside
Python calls (never while a kernel runs); callers hold the arena's lock.

Costs: 5 us for a lexer, 3-5 us for a short word list or a pattern whose NFA is
cached (15-20 us the first time in a process), 10-15 us for key classes and
products, 0.1 us a word for large enums.
"""

from __future__ import annotations

from typing import Callable, Iterable, Iterator, Optional, Sequence

import numpy as np

from ..errors import LimitError
from ..grammar.strings import Atom, Length, Literals, Pattern, StrLang
from . import lexer_kernels as K
from .lexer_nfa import PatternUnion, Prepared, prepare
from .lexer_shortest import shortest
from .lexer_tables import Tables, address
from .static_dfa import LX_BASE, STR, static_table

__all__ = ["Lexer", "LX_BASE", "LX_DEAD", "LX_NEED", "LX_FUEL"]

LX_DEAD, LX_NEED, LX_FUEL = K.LX_DEAD, K.LX_NEED, K.LX_FUEL


class Lexer:
    """Lexemes of one arena.

    Parameters
    ----------
    escapes : {"all", "minimal"}
        Which JSON spellings of a string are in the language: every one, or
        exactly one for each code point (raw where allowed, else the short
        escape, else lower-case ``\\u00xx``).
    max_states, max_search : int
        Deterministic budgets: states of determinised automata, and steps of
        liveness searches (since the last :meth:`refuel`).
    longest : int
        At least the bytes of the longest token.

    Examples
    --------
    >>> from structgen.grammar.strings import literal_lang
    >>> lex = Lexer()
    >>> q = lex.add_string(literal_lang(["yes", "no"]))
    >>> for b in b"y\\\\u0065s":
    ...     q = lex.step(q, b)
    >>> lex.label(q)
    1
    """

    def __init__(self, escapes: str = "all", *, max_states: int = 200_000, max_search: int = 20_000_000,
                 longest: int = 1 << 20):
        self.escapes = escapes
        self._minimal = escapes == "minimal"
        self.max_states, self.max_search = max_states, max_search
        self._tables = tables = Tables(self._minimal)
        self.block = block = tables.block
        self.block_address = self._lb = tables.address
        block[K.B_FUEL] = max_search
        block[K.B_LIMIT] = max_states
        block[K.B_FAR] = longest
        self._pins: list[Prepared] = []       # NFAs the kernels read
        self._atoms: dict = {}                # (atom, json) -> start state of its machine
        self._langs: dict = {}
        self._labels: dict[int, Callable[[int], int]] = {}
        self._patterns: dict[int, str] = {}
        self.shortest_memo: dict[int, bytes] = {}

    def refuel(self) -> None:
        """Start the budget of steps anew: one text must not suffer from what others took."""
        self.block[K.B_FUEL] = self.max_search

    # ------------------------------------------------------------- the tables

    @property
    def nbytes(self) -> int:
        """Bytes held by the tables (prepared NFAs, shared by all lexers, not counted)."""
        return self._tables.nbytes

    def table(self, name: str) -> np.ndarray:
        """One of the tables, flat; valid until the next call that may grow it."""
        return self._tables.view(name)

    def call(self, op: int, a: int = 0, b: int = 0, c: int = 0) -> int:
        """A kernel call, repeated until it has what it needs."""
        while True:
            r = K.lx_call(self._lb, op, a, b, c)
            if r != LX_NEED and r != LX_FUEL:
                return r
            self.service()

    def service(self) -> None:
        """Do what the kernel that returned LX_NEED asked for; LimitError after LX_FUEL."""
        block = self.block
        need = int(block[K.B_NEED])
        block[K.B_NEED] = 0
        if need == K.NEED_ROOM:
            self._tables.make_room()
        elif need == K.NEED_LABEL:
            self._answer(int(block[K.B_ARG1]), int(block[K.B_ARG2]))
        elif need == K.NEED_STATE_LABEL:
            i, m = int(block[K.B_ARG1]), int(block[K.B_ARG2])
            label = self._labels[m](self._bits(i, m))
            self.table("S")[8 * i + K.S_LABEL] = -1 if label is None else int(label)
        elif need == K.NEED_FUEL_STATES:
            raise LimitError(f"the automata of {self._names()} need more than {self.max_states} states",
                             place="automaton states", limit=self.max_states,
                             hint="simplify the pattern or the counted repetitions in it")
        elif need == K.NEED_FUEL_STEPS:
            name = self._patterns.get(int(block[K.B_ARG1]), self._names())
            raise LimitError(f"deciding whether {name} can still be matched took more than "
                             f"{self.max_search} steps", place="liveness search", limit=self.max_search,
                             hint="simplify the combination of patterns and length bounds")

    def _answer(self, m: int, bits: int) -> None:
        """Tell the kernels the label of keys that match the atoms `bits` of machine `m`."""
        label = self._labels[m](bits)
        self._tables.answer(m, bits, -1 if label is None else int(label))

    def _names(self) -> str:
        names = [n for n in self._patterns.values() if n]
        return ", ".join(names[-3:]) or "this grammar"

    def _bits(self, i: int, m: int) -> int:
        """Which components accept at product state `i` (any number of them)."""
        states, pool, machines = self.table("S"), self.table("P"), self.table("M")
        at = int(states[8 * i + K.S_DATA]) + 1
        comps = int(machines[16 * m + K.M_COMPS])
        bits = 0
        for j in range(int(machines[16 * m + K.M_K])):
            v, kind = int(pool[at + j]), int(pool[comps + j])
            if v == K.ALWAYS or v >= 0 and (v >> 31 == 0 if kind == K.C_LENGTH
                                            else K.lx_call(self._lb, K.O_LABEL, v, 0, 0) >= 0):
                bits |= 1 << j
        return bits

    # --------------------------------------------------------------- literals

    def add_literals(self, words: Sequence[str]) -> int:
        """Trie of JSON string bodies, sorted by code point; labels are indices.

        Words with lone surrogates have no spelling and are left out.
        Returns the start state, or LX_DEAD when there is no word.
        """
        return self._trie(words, -1, K.TRIE_BASE)

    def _trie(self, words: Sequence[str], label: int, base: int) -> int:
        count = len(words)
        try:
            data = "".join(words).encode()
        except UnicodeEncodeError:
            keep = [(w, i) for i, w in enumerate(words) if not any(0xD800 <= ord(c) < 0xE000 for c in w)]
            q = self._trie([w for w, _ in keep], label, base)
            if label < 0 and keep:
                at = int(self.block[K.B_NV]) - len(keep)
                self.table("VL")[at:at + len(keep)] = [i for _, i in keep]
            return q
        if not count:
            return LX_DEAD
        size = len(data)
        lens = [len(w) for w in words] if count < 256 else np.fromiter(map(len, words), np.int32, count)
        tables = self._tables
        tables.reserve_words(size + count, count)
        tables.stage("STAGE", size)[:size] = np.frombuffer(data, np.uint8)
        # behind the lengths: for each depth in bytes, the word that opened it
        tables.stage("STAGE2", count + 4 * max(map(len, words)) + 4)[:count] = lens
        return base + K.lx_call(self._lb, K.O_WORDS, count, label, 0)

    # ---------------------------------------------------------- given automata

    def add_dfa(self, trans: np.ndarray, label: np.ndarray) -> int:
        """A complete trimmed DFA over raw bytes: int32[n, 256] (-1 dead), int32[n]."""
        trans = np.ascontiguousarray(trans, np.int32)
        label = np.ascontiguousarray(label, np.int32)
        n = len(label)
        self._tables.reserve("S", n + 64)
        self._tables.reserve("T", 256 * n + 4096)
        return K.lx_call(self._lb, K.O_GIVEN, address(trans), address(label), n)

    # ----------------------------------------------------------------- machines

    def _dfa(self, atom, json: bool, counted: bool = False) -> int:
        """Start state of the determinised NFA of one pattern; with `counted`, large repeats are counted."""
        key = (atom, json, counted)
        q = self._atoms.get(key)
        if q is not None:
            return q
        nfa = prepare(atom, self._lb, counted)
        if counted and nfa.total == nfa.n:            # nothing to count: the states of components
            q = self._atoms[key] = self._dfa(atom, json)
            return q
        self._pins.append(nfa)
        self._tables.reserve("M", 1)
        self._tables.reserve("C", 768)
        self._tables.reserve_bits(nfa.total, 0)
        if not json:
            self._raw_any()
        m = K.lx_call(self._lb, K.O_NEW_DFA, nfa.address, int(json), 0)
        patterns = atom.patterns if isinstance(atom, PatternUnion) else [atom]
        self._patterns[m] = " | ".join(p.shown for p in patterns[:3])
        q = self._atoms[key] = self.call(K.O_START_DFA, m)
        return q

    def _raw_any(self) -> int:
        """First state of "any text" in raw mode."""
        block = self.block
        if block[K.B_RAWANY] < 0:
            m = self._new_product([], [[]], False)
            block[K.B_RAWANY] = K.lx_call(self._lb, K.O_RAW_ANY, m, 0, 0)
        return int(block[K.B_RAWANY])

    def byte_classes(self, m: int) -> tuple[np.ndarray, np.ndarray]:
        """How machine `m` tells decoded bytes apart: the class of each, and by class whether it leads anywhere.

        uint16[256] and uint8[256].
        """
        machine = self.table("M")[16 * m:16 * m + 16]
        at = int(machine[K.M_RMAP])
        classes = self.table("C")[at:at + 256].copy()
        alive = np.zeros(256, np.uint8)
        nfa = next((p for p in self._pins if p.address == machine[K.M_NFA]), None)
        # 0xC0, 0xC1 and what is above 0xF4 are in no UTF-8
        for lo, hi in [(0, 0xBF), (0xC2, 0xF4)] if nfa is None else nfa.spans():
            alive[classes[lo:hi + 1]] = 1
        return classes, alive

    def _component(self, atom, json: bool) -> tuple[int, int]:
        """(type, start value) of an atom as a component."""
        if isinstance(atom, Length):
            hi = K.INF if atom.hi is None else min(atom.hi, K.INF - 1)
            lo = min(atom.lo, K.INF - 1)
            if lo > hi:
                return K.C_LENGTH, -1
            return K.C_LENGTH, K.ALWAYS if lo == 0 and hi == K.INF else lo << 31 | hi
        if isinstance(atom, Literals):
            return K.C_TRIE, self._trie(atom.words, 1, K.TRIE_BASE if json else K.RTRIE_BASE)
        q = self._dfa(atom, json)
        raw = int(self.block[K.B_RAWANY])
        if q >= 0 and (q < LX_BASE or q >= K.AL_BASE or raw <= q < raw + 8):
            q = K.ALWAYS
        return K.C_DFA, q

    def _new_product(self, comps: list[tuple[int, int]], clauses: Optional[list[list[int]]], json: bool) -> int:
        """Register a product; clauses of ``2*component + wanted``, or None: labels from Python."""
        words = [] if clauses is None else [x for c in clauses for x in (len(c), *c)]
        k = len(comps)
        args = [k, *(t for t, _ in comps), *(v for _, v in comps), -1 if clauses is None else len(clauses),
                len(words), *words]
        tables = self._tables
        tables.stage("ARGS", len(args))[:len(args)] = args
        tables.reserve_bits(0, k + 1)
        tables.reserve("M", 1)
        tables.reserve("C", 768)
        tables.reserve("P", len(args) + k + 64)
        return K.lx_call(self._lb, K.O_NEW_PRODUCT, int(self.block[K.B_ARGS]), int(json), 0)

    def add_keys(self, atoms: Sequence[Atom], label: Callable[[int], int], early: Iterable[int] = ()) -> int:
        """Keys classified by which `atoms` they match (bit i: atoms[i]).

        ``label(bits)`` is asked at most once for each combination that occurs,
        at once for those in `early`; -1 (or None) means that such a key is not allowed.
        """
        comps = [self._component(a, True) for a in atoms]
        for t, v in comps:
            if t == K.C_LENGTH and v >= 0:
                for a in atoms:
                    if isinstance(a, Pattern):
                        prepare(a, self._lb).with_distances(self._lb)
        m = self._new_product(comps, None, True)
        self._labels[m] = label
        self._patterns[m] = "keys matching " + ", ".join(repr(a)[:60] for a in atoms[:3])
        for bits in early:
            self._answer(m, bits)
        return self.call(K.O_START_PRODUCT, m)

    def add_string(self, lang: StrLang) -> int:
        """Start state just after the opening quote of a JSON string in `lang`.

        Label 1 where it may close.  LX_DEAD when `lang` is empty.
        """
        return self._lang(lang, True)

    def add_text(self, lang: StrLang) -> int:
        """Start state of plain UTF-8 text in `lang`; label 1 where it may end."""
        return self._lang(lang, False)

    def _lang(self, lang: StrLang, json: bool) -> int:
        key = (lang, json)
        q = self._langs.get(key)
        if q is None:
            q = self._langs[key] = self._build(lang, json)
        return q

    def _build(self, lang: StrLang, json: bool) -> int:
        if not lang:
            return LX_DEAD
        if len(lang) == 1 and len(lang[0]) == 1 and lang[0][0][1]:
            atom = lang[0][0][0]
            if isinstance(atom, Literals):
                return self._trie(atom.words, 1, K.TRIE_BASE if json else K.RTRIE_BASE)
            if isinstance(atom, Pattern):
                return self._dfa(atom, json, True)
        if any(not conj for conj in lang):
            return self._any(0, K.INF) if json else self._raw_any()
        words: dict[str, None] = {}
        patterns: dict[Pattern, None] = {}
        rest = []
        for conj in lang:
            finite = next((a for a, yes in conj if yes and isinstance(a, Literals)), None)
            if finite is not None:
                others = tuple(x for x in conj if x != (finite, True))
                words.update(dict.fromkeys(w for w in finite.words if not others or self.contains((others,), w)))
            elif len(conj) == 1 and conj[0][1] and isinstance(conj[0][0], Pattern):
                patterns[conj[0][0]] = None
            else:
                rest.append(conj)
        if words:
            rest.append(((Literals(tuple(sorted(words))), True),))
        if len(patterns) == 1 or patterns and not rest:
            rest.append(((next(iter(patterns)) if len(patterns) == 1 else PatternUnion(tuple(patterns)), True),))
        elif patterns:
            rest.append(((PatternUnion(tuple(patterns)), True),))
        if not rest:
            return LX_DEAD
        if len(rest) == 1 and len(rest[0]) == 1 and rest[0][0][1]:
            atom = rest[0][0][0]
            if isinstance(atom, Literals):
                return self._trie(atom.words, 1, K.TRIE_BASE if json else K.RTRIE_BASE)
            if isinstance(atom, (Pattern, PatternUnion)):
                return self._dfa(atom, json, True)
            if json:
                t, v = self._component(atom, True)
                return LX_DEAD if v == -1 else self._any(0, K.INF) if v == K.ALWAYS else \
                    self._any(v >> 31, v & K.INF)
        return self._product(rest, json)

    def _product(self, conjs: list, json: bool) -> int:
        if not json:
            self._raw_any()
        number: dict = {}
        clauses = []
        for conj in conjs:
            length = any(isinstance(a, Length) for a, _ in conj)
            for a, _ in conj:
                if length and isinstance(a, (Pattern, PatternUnion)):
                    prepare(a, self._lb).with_distances(self._lb)
            clauses.append([2 * number.setdefault(a, len(number)) + bool(yes) for a, yes in conj])
        comps = [self._component(a, json) for a in number]
        m = self._new_product(comps, clauses, json)
        self._patterns[m] = " with ".join(a.shown if isinstance(a, Pattern) else type(a).__name__.lower()
                                          for a in list(number)[:4])
        return self.call(K.O_START_PRODUCT, m)

    def _any(self, lo: int, hi: int) -> int:
        if not self._minimal and lo == 0 and hi == K.INF:
            return STR
        if self.block[K.B_NA] + 8 > self.block[K.B_CA]:
            self._tables.make_room()
        return K.lx_call(self._lb, K.O_ANY, lo, hi, 1)

    # -------------------------------------------------- stepping from Python

    def start(self, lang: StrLang) -> int:
        """Alias of :meth:`add_string`."""
        return self.add_string(lang)

    def step(self, q: int, b: int) -> int:
        """Next state over byte `b`, or LX_DEAD; `q` may be a static string state."""
        if q < LX_BASE:
            return -1 if q < 0 else int(static_table[q, b])
        return self.call(K.O_STEP, q, b)

    def successors(self, q: int) -> Iterator[tuple[int, int]]:
        """Live next states, each with the number of bytes of one class that lead there; a state may come again."""
        if LX_BASE <= q < K.AL_BASE:
            first = int(self.table("S")[8 * (q - LX_BASE) + K.S_JMAP])
            _, bytes_, counts = np.unique(self.table("C")[first:first + 256], return_index=True, return_counts=True)
            asked = zip(bytes_.tolist(), counts.tolist())
        else:
            asked = ((b, 1) for b in range(256))
        for b, n in asked:
            t = self.step(q, b)
            if t >= 0:
                yield t, n

    def run(self, q: int, data: bytes) -> int:
        """The state after all of `data`, or LX_DEAD."""
        for b in data:
            q = self.step(q, b)
            if q < 0:
                break
        return q

    def label(self, q: int) -> int:
        """Label with which the lexeme may end at `q`, or -1."""
        if q < LX_BASE:
            return 1 if q == STR else -1
        return self.call(K.O_LABEL, q)

    def escape(self, q: int) -> bool:
        """Is `q` right after a backslash?"""
        return q == 8 if q < LX_BASE else bool(K.lx_call(self._lb, K.O_ESCAPE, q, 0, 0))

    def range(self, q: int) -> tuple[int, int]:
        """Labels reachable from a literal-trie state, half-open."""
        return (0, 1 << 31) if q < LX_BASE else tuple(K.lx_call(self._lb, K.O_RANGE, q, j, 0) for j in (0, 1))

    def range2(self, q: int) -> tuple[int, int]:
        """The second range of labels (see ``lx_range2``)."""
        return (0, 0) if q < LX_BASE else tuple(K.lx_call(self._lb, K.O_RANGE2, q, j, 0) for j in (0, 1))

    def rep(self, q: int) -> int:
        """The state that stands for `q` in caches of token regions."""
        return q if q < LX_BASE else K.lx_call(self._lb, K.O_REP, q, 0, 0)

    def anylen(self, q: int) -> tuple[int, int]:
        """(lo, hi) characters still needed and allowed of an any-string state, else (-1, -1)."""
        return (-1, -1) if q < LX_BASE else tuple(K.lx_call(self._lb, K.O_ANYLEN, q, j, 0) for j in (0, 1))

    def row(self, q: int) -> list[int]:
        """The next states over bytes 0..255."""
        if q < LX_BASE:
            return static_table[q].tolist()
        out = np.empty(256, np.int64)
        self.call(K.O_ROW, q, address(out))
        return out.tolist()

    def shortest(self, q: int, allowed: Optional[Callable[[int], bool]] = None) -> Optional[bytes]:
        """Shortest raw bytes (least in byte order) from `q` to an end with an allowed label.

        None when no such end can be reached (never without `allowed`).
        """
        return shortest(self, q, allowed)

    def contains(self, lang: StrLang, text: str) -> bool:
        """Is the decoded string `text` in `lang`?"""
        try:
            data = text.encode()
        except UnicodeEncodeError:
            return False
        q = self._lang(lang, False)
        for b in data:
            if q < 0:
                return False
            q = self.call(K.O_STEP, q, b)
        return q >= 0 and self.label(q) >= 0
