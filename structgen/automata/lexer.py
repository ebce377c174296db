"""The lexer of one arena: lexemes whose shape a schema or grammar decides.

A :class:`Lexer` owns the tables that ``lexer_kernels`` reads and extends, and
turns string languages, key classes, literals and given automata into start
states.  Everything is lazy: adding a pattern costs its NFA and one state.

Invariants: every state handed out can accept; equal languages reached in equal
ways get equal states; once any continuation is fine, the state *is* the static
any-string state, so its cached token rows are shared.  Tables move only inside
Python calls (never while a kernel runs); callers hold the arena's lock.

Costs: 15 us for a lexer, 3-10 us for a word list or a pattern whose NFA is
cached, about 2 us per word of a large enum (per thousand: 0.2 ms).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Callable, NamedTuple, Optional, Sequence

import numpy as np

from ..errors import LimitError
from ..grammar.strings import ANY_STRING, Atom, Length, Literals, Pattern, StrLang
from . import lexer_kernels as K
from .lexer_shortest import shortest
from .lexer_slow import slow_kernel
from .static_dfa import LX_BASE, STR, static_table

__all__ = ["Lexer", "LX_BASE", "LX_DEAD", "LX_NEED", "LX_FUEL"]

LX_DEAD, LX_NEED, LX_FUEL = K.LX_DEAD, K.LX_NEED, K.LX_FUEL


def _address(a: np.ndarray) -> int:
    return a.__array_interface__["data"][0]


# ---------------------------------------------------------------- any string

def _any_tables(minimal: bool) -> np.ndarray:
    """Byte steps of any string by compact progress (0..15, 16..19 = 48..51)."""
    ids = list(range(16)) + list(range(48, 52))
    compact = np.full(256, -1, np.int64)
    compact[ids] = range(20)
    rows = np.full((32, 256), -1, np.int8)
    for u, q in enumerate(ids):
        row = static_table[q].astype(np.int64)
        rows[u] = np.where(row < 0, -1, compact[row])
    if not minimal:
        return rows
    # Backslash (8), then a short escape or u (9), 0 (10), 0 (11), 0 or 1 (12, 13), a digit.
    rows[8:] = -1
    rows[8, [ord(c) for c in '"\\bfnrt']] = 0
    rows[8, ord("u")] = 9
    rows[9, ord("0")] = 10
    rows[10, ord("0")] = 11
    rows[11, ord("0")], rows[11, ord("1")] = 12, 13
    for v in range(32):
        if v not in (8, 9, 10, 12, 13):
            rows[12 + (v >> 4), ord("0123456789abcdef"[v & 15])] = 0
    return rows


def _raw_table() -> np.ndarray:
    """UTF-8 progress (static ids 0..7) over decoded bytes."""
    rows = static_table[:8].astype(np.int8)
    rows[rows > 7] = -1
    rows[0, :0x80] = 0
    return np.ascontiguousarray(rows)


def _escape_map() -> np.ndarray:
    """Columns of a state inside an escape: every byte that can matter has its own."""
    columns = np.full(256, K.ESC_COLS - 1, np.uint16)
    for c, b in enumerate(b'0123456789abcdefABCDEFnrtu"\\/'):
        columns[b] = c
    return columns


def any_steps(minimal: bool) -> np.ndarray:
    """int8[32, 256]: steps of any JSON string by progress, for either set of escapes."""
    return _JSON_STEPS[minimal]


_JSON_STEPS = {False: _any_tables(False), True: _any_tables(True)}
_RAW_STEPS = _raw_table()
_FIRST_MAPS = np.concatenate([np.arange(256, dtype=np.uint16), _escape_map()])


# -------------------------------------------------------------- prepared NFAs

class _Prepared:
    """An NFA laid out for the kernels; immutable but for lazy distances."""

    __slots__ = ("data", "address", "n", "cols", "distances")

    def __init__(self, nfa, lb: int):
        start = np.ascontiguousarray(nfa.start, np.int32)
        src = np.ascontiguousarray(nfa.src, np.int32)
        dst = np.ascontiguousarray(nfa.dst, np.int32)
        lo = np.ascontiguousarray(nfa.lo, np.uint8)
        hi = np.ascontiguousarray(nfa.hi, np.uint8)
        accept = np.ascontiguousarray(nfa.accept, np.bool_)
        n, m = int(nfa.n), len(src)
        self.n = n
        self.data = np.empty(K.N_HEAD + len(start) + 5 * n + 2 * m + 1100, np.int32)
        self.address = _address(self.data)
        args = np.array([self.address, n, m, len(start), _address(start), _address(src), _address(dst),
                         _address(lo), _address(hi), _address(accept), _address(_RAW_STEPS)], np.int64)
        K.lx_call(lb, K.O_PREPARE, _address(args), 0, 0)
        self.cols = int(self.data[K.N_CLASSES])
        self.distances = False

    def with_distances(self, lb: int) -> None:
        if not self.distances:
            K.lx_call(lb, K.O_DISTANCES, self.address, 0, 0)
            self.distances = True


class _Union(NamedTuple):
    """The union of some patterns, as one automaton."""

    patterns: tuple[Pattern, ...]


class _UnionNfa:
    def __init__(self, parts):
        base = np.cumsum([0] + [p.n for p in parts])
        self.n = int(base[-1])
        self.start = np.concatenate([p.start + b for p, b in zip(parts, base)])
        self.src = np.concatenate([p.src + b for p, b in zip(parts, base)])
        self.dst = np.concatenate([p.dst + b for p, b in zip(parts, base)])
        self.lo, self.hi, self.accept = (np.concatenate([getattr(p, f) for p in parts])
                                         for f in ("lo", "hi", "accept"))


_prepared: OrderedDict = OrderedDict()
_PREPARED_MOST = 4096


def _prepare(atom, lb: int) -> _Prepared:
    """The prepared NFA of a pattern (or union of patterns), cached process-wide."""
    found = _prepared.get(atom)
    if found is None:
        from .nfa import atom_nfa

        nfa = _UnionNfa([atom_nfa(p) for p in atom.patterns]) if isinstance(atom, _Union) else atom_nfa(atom)
        found = _prepared[atom] = _Prepared(nfa, lb)
        if len(_prepared) > _PREPARED_MOST:
            _prepared.popitem(last=False)
    return found


# ---------------------------------------------------------------------- lexer

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
        liveness searches.

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

    # table: (address slot, dtype, words an item, items at first)
    _TABLES = {
        "S": (K.B_S, np.int64, 8, 256), "T": (K.B_T, np.int32, 1, 8192), "C": (K.B_C, np.uint16, 1, 512 + 6 * 768),
        "P": (K.B_P, np.int64, 1, 1024), "L": (K.B_L, np.int32, 1, 4096), "M": (K.B_M, np.int64, 16, 16),
        "A": (K.B_A, np.int64, 4, 64),
    }

    def __init__(self, escapes: str = "all", *, max_states: int = 200_000, max_search: int = 2_000_000):
        self.escapes = escapes
        self._minimal = escapes == "minimal"
        self.max_states, self.max_search = max_states, max_search
        self._block = self.block = block = np.zeros(64, np.int64)
        self.block_address = self._lb = _address(block)
        block[K.B_SLOW] = slow_kernel().address
        self._keep: dict[str, np.ndarray] = {}
        for name, (slot, dtype, width, items) in self._TABLES.items():
            self._table(name, slot, np.empty(items * width, dtype), items)
        self._table("H", K.B_H, np.zeros(512, np.int32), 512)
        self._table("AH", K.B_AH, np.zeros(128, np.int32))
        self._table("Y", K.B_Y, np.zeros(3 * 64, np.int64), 64)
        self._table("Q", K.B_Q, np.empty(2 * 1024, np.int64))
        block[K.B_CQ] = 1024
        self._table("BITS", K.B_BITS, np.zeros(16, np.int64))
        block[K.B_MAXN] = 15 * 64
        block[K.B_MAXK] = 8
        self._table("W8", K.B_W8, np.empty(0, np.uint8))
        self._stage = np.empty(2048, np.uint8)
        self._stage2 = np.empty(2048, np.int32)
        self._args = np.empty(512, np.int64)
        block[K.B_STAGE] = _address(self._stage)
        block[K.B_STAGE2] = _address(self._stage2)
        block[K.B_UJ] = _address(_JSON_STEPS[self._minimal])
        block[K.B_UR] = _address(_RAW_STEPS)
        block[K.B_MINIMAL] = self._minimal
        block[K.B_FUEL] = max_search
        block[K.B_LIMIT] = max_states
        block[K.B_RAWANY] = -64
        self._keep["C"][:512] = _FIRST_MAPS
        block[K.B_NC] = 512
        self._keep["T"][:K.EMPTY_ROW] = K.UNKNOWN
        block[K.B_NT] = K.EMPTY_ROW
        self._pins: list = []         # prepared NFAs the kernels read
        self._atoms: dict = {}        # (atom, json) -> start state of its machine
        self._langs: dict = {}
        self._labels: dict[int, Callable[[int], int]] = {}
        self._patterns: dict[int, str] = {}
        self.shortest_memo: dict[int, bytes] = {}

    # ------------------------------------------------------------- the tables

    def _table(self, name: str, slot: int, data: np.ndarray, items: int | None = None) -> None:
        self._keep[name] = data
        self._block[slot] = _address(data)
        if items is not None:
            self._block[slot + 2] = items

    def _reserve(self, name: str, more: int) -> None:
        """Make room for `more` items of a plain table."""
        slot, dtype, width, _ = self._TABLES[name]
        at = slot
        used, cap = int(self._block[at + 1]), int(self._block[at + 2])
        if used + more <= cap:
            return
        while cap < used + more:
            cap *= 4 if cap * width * 8 < 1 << 20 else 2
        data = np.empty(cap * width, dtype)
        data[:used * width] = self._keep[name][:used * width]
        self._table(name, slot, data, cap)
        if name == "A":
            self._table("AH", K.B_AH, np.zeros(2 * cap, np.int32))
            K.lx_call(self._lb, K.O_REHASH, 0, 0, 0)

    def _make_room(self) -> None:
        block = self._block
        self._reserve("S", 64)
        self._reserve("T", 4096)
        self._reserve("P", int(block[K.B_MAXK]) + 256)
        self._reserve("L", int(block[K.B_MAXN]) + 256)
        states = int(block[K.B_NS])
        self._grow_any()
        cap = int(block[K.B_CH])
        if 2 * (states + 64) + 16 > cap:
            while 2 * (states + 64) + 16 > cap:
                cap *= 4
            self._table("H", K.B_H, np.zeros(cap, np.int32), cap)
            self._table("AH", K.B_AH, np.zeros(2 * int(block[K.B_CA]), np.int32))
            K.lx_call(self._lb, K.O_REHASH, 0, 0, 0)
        # A search visits states that exist, so their capacity bounds its queue.
        most = int(block[K.B_CS])
        if most > block[K.B_CQ]:
            self._table("Q", K.B_Q, np.empty(2 * most, np.int64))
            block[K.B_CQ] = most

    def _grow_any(self) -> None:
        block = self._block
        if block[K.B_NA] + 8 > block[K.B_CA]:
            cap = int(block[K.B_CA])
            data = np.empty(4 * cap * 4, np.int64)
            data[:4 * cap] = self._keep["A"]
            self._table("A", K.B_A, data, 4 * cap)
            self._rehash()

    def _rehash(self) -> None:
        block = self._block
        self._table("H", K.B_H, np.zeros(int(block[K.B_CH]), np.int32), int(block[K.B_CH]))
        self._table("AH", K.B_AH, np.zeros(2 * int(block[K.B_CA]), np.int32))
        K.lx_call(self._lb, K.O_REHASH, 0, 0, 0)

    @property
    def nbytes(self) -> int:
        """Bytes held by the tables (prepared NFAs, shared by all lexers, not counted)."""
        own = sum(a.nbytes for a in self._keep.values())
        return own + self._stage.nbytes + self._stage2.nbytes + self._args.nbytes

    def table(self, name: str) -> np.ndarray:
        """One of the tables, flat; valid until the next call that may grow it."""
        return self._keep[name]

    def call(self, op: int, a: int = 0, b: int = 0, c: int = 0) -> int:
        """A kernel call, repeated until it has what it needs."""
        while True:
            r = K.lx_call(self._lb, op, a, b, c)
            if r != LX_NEED and r != LX_FUEL:
                return r
            self.service()

    def service(self) -> None:
        """Do what the kernel that returned LX_NEED asked for; LimitError after LX_FUEL."""
        block = self._block
        need = int(block[K.B_NEED])
        block[K.B_NEED] = 0
        if need == K.NEED_ROOM:
            self._make_room()
        elif need == K.NEED_LABEL:
            m, bits = int(block[K.B_ARG1]), int(block[K.B_ARG2])
            label = self._labels[m](bits)
            self._grow_labels()
            K.lx_call(self._lb, K.O_ANSWER, m, bits, -1 if label is None else int(label))
        elif need == K.NEED_STATE_LABEL:
            i, m = int(block[K.B_ARG1]), int(block[K.B_ARG2])
            self._keep["S"][8 * i + K.S_LABEL] = self._labels[m](self._bits(i, m))
        elif need == K.NEED_FUEL_STATES:
            raise LimitError(f"the automata of {self._names()} need more than {self.max_states} states",
                             place="automaton states", limit=self.max_states,
                             hint="simplify the pattern or the counted repetitions in it")
        elif need == K.NEED_FUEL_STEPS:
            name = self._patterns.get(int(block[K.B_ARG1]), self._names())
            raise LimitError(f"deciding whether {name} can still be matched took more than "
                             f"{self.max_search} steps", place="liveness search", limit=self.max_search,
                             hint="simplify the combination of patterns and length bounds")

    def _names(self) -> str:
        names = [n for n in self._patterns.values() if n]
        return ", ".join(names[-3:]) or "this grammar"

    def _grow_labels(self) -> None:
        block = self._block
        n, cap = int(block[K.B_NY]), int(block[K.B_CY])
        if 2 * n + 2 <= cap:
            return
        old = self._keep["Y"].reshape(-1, 3)
        self._table("Y", K.B_Y, np.zeros(12 * cap, np.int64), 4 * cap)
        block[K.B_NY] = 0
        for m, bits, label in old[old[:, 0] != 0].tolist():
            K.lx_call(self._lb, K.O_ANSWER, m - 1, bits, label)

    def _bits(self, i: int, m: int) -> int:
        """Which components accept at product state `i` (any number of them)."""
        states, pool, machines = self._keep["S"], self._keep["P"], self._keep["M"]
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
                at = int(self._block[K.B_NV]) - len(keep)
                self._keep["VL"][at:at + len(keep)] = [i for _, i in keep]
            return q
        if not count:
            return LX_DEAD
        size = len(data)
        lens = [len(w) for w in words]
        longest = max(lens)
        block = self._block
        if size + count + int(block[K.B_NW]) > block[K.B_CW] or \
                count + int(block[K.B_NV]) > block[K.B_CV]:
            self._grow_trie(size + count, count)
        if size > len(self._stage):
            self._stage = np.empty(2 * size, np.uint8)
            block[K.B_STAGE] = _address(self._stage)
        if count + 4 * longest + 4 > len(self._stage2):
            self._stage2 = np.empty(2 * count + 4 * longest + 4, np.int32)
            block[K.B_STAGE2] = _address(self._stage2)
        self._stage[:size] = np.frombuffer(data, np.uint8)
        self._stage2[:count] = lens
        return base + K.lx_call(self._lb, K.O_WORDS, count, label, 0)

    def _grow_trie(self, positions: int, words: int) -> None:
        block = self._block
        for names, at, more in ((("W8", "WW", "WH"), K.B_W8, positions), (("VO", "VL"), K.B_VO, words)):
            slots = len(names)
            used, cap = int(block[at + slots]), int(block[at + slots + 1])
            if used + more <= cap:
                continue
            cap = max(256, 2 * (used + more))
            for k, name in enumerate(names):
                dtype = {"W8": np.uint8, "VO": np.int64}.get(name, np.int32)
                data = np.empty(cap, dtype)
                if used:
                    data[:used] = self._keep[name][:used]
                self._table(name, at + k, data)
            block[at + slots + 1] = cap

    # ---------------------------------------------------------- given automata

    def add_dfa(self, trans: np.ndarray, label: np.ndarray) -> int:
        """A complete trimmed DFA over raw bytes: int32[n, 256] (-1 dead), int32[n]."""
        trans = np.ascontiguousarray(trans, np.int32)
        label = np.ascontiguousarray(label, np.int32)
        n = len(label)
        self._reserve("S", n + 64)
        self._reserve("T", 256 * n + 4096)
        return K.lx_call(self._lb, K.O_GIVEN, _address(trans), _address(label), n)

    # ----------------------------------------------------------------- machines

    def _dfa(self, atom, json: bool) -> int:
        """Start state of the determinised NFA of one pattern."""
        key = (atom, json)
        q = self._atoms.get(key)
        if q is not None:
            return q
        nfa = _prepare(atom, self._lb)
        self._pins.append(nfa)
        block = self._block
        self._reserve("M", 1)
        self._reserve("C", 768)
        if nfa.n > block[K.B_MAXN]:
            self._table("BITS", K.B_BITS, np.zeros((nfa.n >> 6) + 2, np.int64))
            block[K.B_MAXN] = nfa.n
        if not json:
            self._raw_any()
        m = K.lx_call(self._lb, K.O_NEW_DFA, nfa.address, int(json), 0)
        sources = [p.source for p in atom.patterns] if isinstance(atom, _Union) else [atom.source]
        self._patterns[m] = " | ".join(repr(s if len(s) < 80 else s[:77] + "...") for s in sources[:3])
        q = self._atoms[key] = self.call(K.O_START_DFA, m)
        return q

    def _raw_any(self) -> int:
        """First state of "any text" in raw mode."""
        block = self._block
        if block[K.B_RAWANY] < 0:
            m = self._new_product([], [[]], False)
            block[K.B_RAWANY] = K.lx_call(self._lb, K.O_RAW_ANY, m, 0, 0)
        return int(block[K.B_RAWANY])

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
        raw = int(self._block[K.B_RAWANY])
        if q >= 0 and (q < LX_BASE or q >= K.AL_BASE or raw <= q < raw + 8):
            q = K.ALWAYS
        return K.C_DFA, q

    def _new_product(self, comps: list[tuple[int, int]], clauses: Optional[list[list[int]]], json: bool) -> int:
        """Register a product; clauses of ``2*component + wanted``, or None: labels from Python."""
        words = [] if clauses is None else [x for c in clauses for x in (len(c), *c)]
        k = len(comps)
        args = [k, *(t for t, _ in comps), *(v for _, v in comps), -1 if clauses is None else len(clauses),
                len(words), *words]
        if len(args) > len(self._args):
            self._args = np.empty(2 * len(args), np.int64)
        self._args[:len(args)] = args
        block = self._block
        block[K.B_MAXK] = max(int(block[K.B_MAXK]), k + 1)
        self._make_room()
        self._reserve("M", 1)
        self._reserve("C", 768)
        self._reserve("P", len(args) + k + 64)
        return K.lx_call(self._lb, K.O_NEW_PRODUCT, _address(self._args), int(json), 0)

    def add_keys(self, atoms: Sequence[Atom], label: Callable[[int], int]) -> int:
        """Keys classified by which `atoms` they match (bit i: atoms[i]).

        ``label(bits)`` is asked at most once for each combination that occurs;
        -1 (or None) means that such a key is not allowed.
        """
        comps = [self._component(a, True) for a in atoms]
        for t, v in comps:
            if t == K.C_LENGTH and v >= 0:
                for a in atoms:
                    if isinstance(a, Pattern):
                        _prepare(a, self._lb).with_distances(self._lb)
        m = self._new_product(comps, None, True)
        self._labels[m] = label
        self._patterns[m] = "keys matching " + ", ".join(repr(a)[:60] for a in atoms[:3])
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
                return self._dfa(atom, json)
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
            rest.append(((next(iter(patterns)) if len(patterns) == 1 else _Union(tuple(patterns)), True),))
        elif patterns:
            rest.append(((_Union(tuple(patterns)), True),))
        if not rest:
            return LX_DEAD
        if len(rest) == 1 and len(rest[0]) == 1 and rest[0][0][1]:
            atom = rest[0][0][0]
            if isinstance(atom, Literals):
                return self._trie(atom.words, 1, K.TRIE_BASE if json else K.RTRIE_BASE)
            if isinstance(atom, (Pattern, _Union)):
                return self._dfa(atom, json)
            if json:
                t, v = self._component(atom, True)
                return LX_DEAD if v == -1 else self._any(0, K.INF) if v == K.ALWAYS else \
                    self._any(v >> 31, v & K.INF)
        return self._product(rest, json)

    def _product(self, conjs: list, json: bool) -> int:
        self._raw_any()
        number: dict = {}
        clauses = []
        for conj in conjs:
            length = any(isinstance(a, Length) for a, _ in conj)
            for a, _ in conj:
                if length and isinstance(a, (Pattern, _Union)):
                    _prepare(a, self._lb).with_distances(self._lb)
            clauses.append([2 * number.setdefault(a, len(number)) + bool(yes) for a, yes in conj])
        comps = [self._component(a, json) for a in number]
        m = self._new_product(comps, clauses, json)
        self._patterns[m] = " with ".join(repr(a.source)[:80] if isinstance(a, Pattern) else type(a).__name__.lower()
                                          for a in list(number)[:4])
        return self.call(K.O_START_PRODUCT, m)

    def _any(self, lo: int, hi: int) -> int:
        if not self._minimal and lo == 0 and hi == K.INF:
            return STR
        self._grow_any()
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
        self.call(K.O_ROW, q, _address(out))
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
