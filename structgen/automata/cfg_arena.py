"""The arena of a context-free grammar: the tables its kernels grow, and their owner.

It stands where :class:`structgen.automata.arena.Arena` stands for JSON, with
the same interface to matchers: ``lock``, ``start``, ``call`` and the operations
named in `KERNELS`.  Every kernel call happens under the lock, so tables may
move when they grow; rows lie in chunks that never move.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Optional

import numpy as np

from ..errors import GrammarError, LimitError
from ..tokens.tables import CHUNK_ROWS, TokenTables
from . import cfg_kernels as ck
from . import cfg_layout as cl
from .arena import MAX_BYTES, ArenaFull
from .cfg_program import Program

__all__ = ["CfgArena", "MAX_STEPS"]

_I64, _I32, _U8 = np.int64, np.int32, np.uint8
#: Steps that one call may take.
MAX_STEPS = 20_000_000
#: What is made when a grammar is compiled: pieces and locals, lexeme states of one
#: terminal, and locals beyond which stacks are not looked at more than one state deep.
MAX_PREPARED, MAX_PREPARED_STATES, MAX_PREPARED_OPEN = 9_000, 64, 2_500
#: Threads expanded by one search for a completion.
MAX_SEARCH = 4_000

#: address slot -> (name, dtype, words a record, records to start with); the slots behind hold use and capacity
_POOLS: dict[int, tuple[str, Any, int, int]] = {
    cl.CTX: ("contexts", _I64, cl.CTX_W, 1024),
    cl.ENT: ("entries", _I64, 1, 1024),
    cl.LTAB: ("pairs", _I64, 1, 64),
    cl.DSETS: ("shadow sets", _I64, cl.DSET_W, 16),
    cl.DPOOL: ("shadow pool", _I64, 1, 64),
    cl.CONF: ("configurations", _I64, cl.CONF_W, 1024),
    cl.THR: ("threads", _I64, 1, 2048),
    cl.PIECE: ("pieces", _I64, cl.PIECE_W, 8192),
    cl.CUTSET: ("cut sets", _I64, cl.CUTSET_W, 1024),
    cl.LOCALS: ("locals", _I64, cl.LOCAL_W, 8192),
    cl.ESC: ("tokens to look at", _I64, cl.ESC_W, 256),
    cl.OPEN: ("open sets", _I64, cl.OPEN_W, 2048),
    cl.ITEMS: ("open items", _I64, 1, 32768),
    cl.EVENTS: ("events", _I64, 1, 4096),
    cl.CUTS: ("cuts", _I64, 1, 8192),
    cl.AT: ("cut offsets", _I64, 1, 65536),
    cl.TOK: ("tokens", _I32, 1, 262144),
    cl.COND: ("conditional tokens", _I64, 1, 1024),
}
#: pools with a hash: address slot -> slot of its table (the mask is behind it), its size, the first record hashed
_HASHED = {cl.CTX: (cl.H_CTX, 4096, 2), cl.CONF: (cl.H_CONF, 4096, 0), cl.CUTSET: (cl.H_CUTSET, 4096, 1),
           cl.OPEN: (cl.H_OPEN, 8192, 1), cl.DSETS: (cl.H_DSETS, 64, 0)}
#: memo tables: address slot (mask and count behind it) -> slots to start with
_MEMOS = {cl.SHIFT: 8192, cl.UNION: 256, cl.LKEYS: 64, cl.ADV: 2048, cl.LIVE: 256, cl.CHILD: 16384,
          cl.TROW: 4096, cl.LOCAL: 16384, cl.SUBST: 2048, cl.BOTH: 256, cl.CHAIN: 4096,
          cl.LINES: 64}
#: scratch: address slot -> (capacity slot, dtype, words a record, records to start with)
_SCRATCH = {cl.WORK: (cl.CAP_WORK, _I64, 1, 1024), cl.RES: (cl.CAP_RES, _I64, 1, 512),
            cl.BUF_A: (cl.CAP_BUF, _I64, 1, 1024),
            cl.S_TOK: (cl.CAP_STOK, _I32, 1, 65536),
            cl.S_GET: (cl.CAP_SGET, _I32, 1, 16384), cl.S_CUT: (cl.CAP_SCUT, _I64, 2, 16384),
            cl.S_COND: (cl.CAP_SCOND, _I64, 1, 4096),
            cl.S_ESC: (cl.CAP_SESC, _I64, cl.ESC_W, 1024), cl.S_ITEMS: (cl.CAP_SITEMS, _I64, 1, 4096),
            cl.WALK: (cl.CAP_WALK, _I64, 1, 4096),
            cl.WALK_B: (cl.CAP_WALK_B, _I64, 1, 4096), cl.PENDING: (cl.CAP_PENDING, _I64, 1, 1024),
            cl.SCR: (cl.CAP_SCR, _I64, 1, 8192)}


class CfgArena:
    """Tables of one program over one vocabulary (see the module's text)."""

    #: no arrays here, whose items might have to differ
    unique = mixed = False

    def __init__(self, program: Program, tables: TokenTables, max_bytes: int = MAX_BYTES):
        self.program, self.tables, self.max_bytes = program, tables, max_bytes
        self.may_exceed = False
        self.lock = threading.RLock()
        self.text_before: Optional[Callable[[int], str]] = None
        self.closing: Any = None
        self._held: dict[int, np.ndarray] = {}
        self._chunks: list[np.ndarray] = []
        self.block = np.zeros(cl.BLOCK_SIZE, _I64)
        self.address = int(self.block.ctypes.data)
        self.block[cl.FULL] = MAX_STEPS
        for slot, native in ck.natives().items():
            self.block[slot] = native.address
        self._constant()
        for slot, (_, dtype, width, size) in _POOLS.items():
            self._hold(slot, np.zeros(size * width, dtype))
            self.block[slot + 2] = size
        for table, size, _ in _HASHED.values():
            self._hold(table, np.zeros(size, _I32))
            self.block[table + 1] = size - 1
        for slot, size in _MEMOS.items():
            self._hold(slot, np.zeros(2 * size, _I64))
            self.block[slot + 1] = size - 1
        for slot, (cap, dtype, width, size) in _SCRATCH.items():
            self._hold(slot, np.zeros(size * width, dtype))
            self.block[cap] = size
        self._hold(cl.BUF_B, np.zeros(self.block[cl.CAP_BUF], _I64))
        self._hold(cl.S_TOK, np.zeros(tables.vocabulary.size + 4096, _I32))
        self.block[cl.CAP_STOK] = tables.vocabulary.size + 4096
        size = _POOLS[cl.CUTSET][3]
        self._hold(cl.MAY, np.zeros(size * program.first_words, _I64))
        self._hold(cl.ROWS, np.zeros(16, _I64))
        self._hold(cl.SEEN_ROWS, np.zeros(2 * cl.SEEN, _I64))
        self.block[cl.N_CTX] = 2
        self._hold(cl.S_EVENTS, np.zeros(cl.MOST_EVENTS, _I64))
        self._held[cl.PIECE][cl.P_ROW] = -1
        self.block[cl.N_PIECE] = self.block[cl.N_CUTSET] = self.block[cl.N_OPEN] = 1
        #: what line ends do, in languages with indentation
        self.lines = None
        if program.blocks is not None:
            from .indents import Lines

            self.lines = Lines(self)
            self.block[cl.INDENTED] = 1
            self._hold(cl.IS_LINE, np.array(program.is_line, _U8))
            self.block[cl.CALM] = int(program.calm)
        with self.lock:
            self.start = self._start()
            self._prepare()
            # loads the two small kernels, which takes longer than many calls
            ck.cfg_begin(self.address, self.start, 0)
            ck.cfg_fill(self.address, self.start, int(self._held[cl.SCRATCH_ROW].ctypes.data), 0)

    def _prepare(self) -> None:
        """Make what most masks of this grammar need, as far as that is little work.

        Every lexeme state is met over the LR states that its terminal is shifted
        into; those of ignored terminals, and the places between lexemes, over all.
        The inside of a keyword is left out: tokens seldom end there.
        """
        p = self.program
        if not p.safe or len(p.first_at) > 1:
            return                            # then every token is looked at, which is much work
        entered, first, sources = _shifts(p)
        everywhere = np.flatnonzero(np.diff(first))      # between lexemes: the start, and behind any terminal
        everywhere = np.concatenate([[0], everywhere[everywhere > 0]])
        jobs: list[np.ndarray] = []

        def add(lex: int, below: np.ndarray, deeper: bool) -> None:
            """Lexeme state `lex` over the LR states `below`; what ends there is read on below those."""
            job = np.zeros((len(below), 4), _I64)
            job[:, 0], job[:, 1] = lex, below
            if deeper:
                job[:, 2], job[:, 3] = first[below], first[below + 1]
            jobs.append(job)

        most = getattr(p, "prepared", MAX_PREPARED)
        for x in range(p.nx if most == MAX_PREPARED else 0):
            start = int(p.start[x])
            match = p.grammar.terminals[x].match if x < p.nt else None
            if start < 0 or match is not None and match.literal is not None:
                continue                      # (the inside of a keyword is left out)
            states = p.states_of(start)
            # white space may stand everywhere; comments are rare, only what they share is made
            below = entered[x] if x < p.nt else everywhere if len(states) <= 3 else everywhere[:1]
            spelled = p.spells_one(start)
            for q in states[:MAX_PREPARED_STATES]:
                if not (p.final[q] or spelled and not p.end[q]):
                    add(q, below, x < p.nt)
                    if p.shadow[q]:
                        add(self.op(ck.O_PAIR, 0, int(p.shadow[q])), below, x < p.nt)
        add(0, everywhere, False)
        table = np.concatenate(jobs)
        table[:, 2:] += 2 + table.size
        out = np.concatenate([np.array([0, len(table)], _I64), table.reshape(-1), sources])
        self.op(ck.O_PREPARE, int(out.ctypes.data), most, MAX_PREPARED_OPEN)

    def _hold(self, slot: int, array: np.ndarray) -> np.ndarray:
        self._held[slot] = array
        self.block[slot] = array.ctypes.data
        return array

    def _constant(self) -> None:
        """The tables of the vocabulary and of the grammar."""
        p, t, b = self.program, self.tables, self.block
        trie = t.trie
        for slot, array in ((cl.TRIE, trie.nodes), (cl.TRIE_FIRST, trie.first), (cl.TRIE_TOKENS, trie.dfs_tokens),
                            (cl.BLOB, t.blob), (cl.OFFSETS, t.offsets), (cl.KIND, t.kind), (cl.EOS, t.eos)):
            self._hold(slot, array)
        b[cl.N_TRIE], b[cl.WORDS], b[cl.N_TOKENS] = len(trie), t.words, t.vocabulary.size
        b[cl.N_EOS], b[cl.DEPTH] = t.eos.size, t.depth
        if t.grouped_nodes is None:
            grouped = np.empty_like(trie.nodes)
            ck.cfg_call(self.address, ck.O_GROUPS, t.bytes_below.ctypes.data, cl.GROUP_BITS.ctypes.data,
                        grouped.ctypes.data)
            t.grouped_nodes = grouped
        self._hold(cl.TRIE, t.grouped_nodes)
        lr = p.lr
        specials = self._specials()
        for slot, array in ((cl.CLS, p.classes), (cl.TRANS, p.trans), (cl.QEND, p.end), (cl.QSHADOW, p.shadow),
                            (cl.QFINAL, p.final), (cl.DTRANS, p.dtrans), (cl.QCUT, p.cut), (cl.QLOOP, p.loop),
                            (cl.START, p.start),
                            (cl.FIRST_AT, p.first_at), (cl.FIRST_LIST, p.first_list),
                            (cl.KAPPA, p.kappa), (cl.LOOK, p.look), (cl.ALWAYS, p.always),
                            (cl.ACT, lr.actions), (cl.ALISTS, lr.lists), (cl.GOTO, lr.goto), (cl.LHS, lr.lhs),
                            (cl.SIZE, lr.size), (cl.FIRST_SET, p.first_set), (cl.SPECIAL, specials)):
            self._hold(slot, np.ascontiguousarray(array))
        b[cl.NCLS], b[cl.TWORDS], b[cl.NT], b[cl.NX] = p.ncls, p.first_words, p.nt, p.nx
        self._hold(cl.DEND, np.ascontiguousarray(p.dend))
        self._hold(cl.QHIST, np.ascontiguousarray(p.history))
        if p.nh > 1:
            self._hold(cl.SPLIT, np.ascontiguousarray(p.split))
        b[cl.NHIST] = p.nh
        b[cl.NN], b[cl.SAFE], b[cl.N_SPECIAL] = lr.nn, int(p.safe), len(specials) // 2
        self._hold(cl.STAMP, np.zeros(len(trie), _I32))
        self._hold(cl.TSTAMP, np.zeros(t.vocabulary.size, _I32))
        self._hold(cl.STACK_Q, np.zeros(t.depth + 4, _I32))
        self._hold(cl.STACK_D, np.zeros(t.depth + 4, _I32))
        self._hold(cl.SCRATCH_ROW, np.zeros(t.words, _I64))
        b[cl.HOLE_STATE] = lr.ns              # the last row of the tables is empty
        self._constant_bytes = sum(a.nbytes for a in self._held.values())

    def _specials(self) -> np.ndarray:
        """(terminal, token id) pairs."""
        out: list[int] = []
        vocabulary = self.tables.vocabulary
        if not any(t.kind == "token" for t in self.program.source.terminals):
            return np.zeros(0, _I64)
        for a, terminal in enumerate(self.program.grammar.terminals):
            if terminal.kind == "token":
                out += [a, special_id(vocabulary, terminal)]
        return np.array(out, _I64)

    def _start(self) -> int:
        self.block[cl.HOLE] = self.op(ck.O_INTERN_ONE, int(self.block[cl.HOLE_STATE]), 0)
        bottom = self.op(ck.O_INTERN_ONE, 0, 1)
        if not self.program.safe:
            from .cfg_search import completable

            if not completable(self, bottom, MAX_SEARCH):
                if self.program.lr.conflicts and self.program.source.tables == "lalr":
                    raise GrammarError("no text is in the language: what the LALR tables choose where they had a "
                                       "choice (shifting, priorities) leaves no way to the end",
                                       hint='parser="earley" keeps every way')
                raise GrammarError("no text is in the language: whatever follows a terminal would have belonged to it",
                                   hint='a terminal takes all it can; lexer="dynamic_complete" also tries less')
        self._held[cl.BUF_A][0] = bottom
        return self.op(ck.O_CONFIGURATION, 1)

    def __del__(self):
        chunks = self.__dict__.get("_chunks")
        if chunks:
            self.tables.give_back(chunks)

    # ---------------------------------------------------------------- calls
    def op(self, op: int, a: int = 0, b: int = 0, c: int = 0) -> int:
        """An operation of the machine, served until it is done; DEAD included."""
        block = self.block
        block[cl.FUEL] = MAX_STEPS
        while True:
            r = ck.cfg_call(self.address, op, a, b, c)
            if r != cl.NEED_PY and r != cl.FUEL_OUT:
                return r
            self.serve(r)

    def serve(self, code: int) -> None:
        """Make what a kernel asked for."""
        if code == cl.FUEL_OUT:
            raise LimitError(f"the grammar is so ambiguous here that one step takes more than {MAX_STEPS} operations",
                             place="parsing", limit=MAX_STEPS, hint="remove ambiguity, or nesting, from the rules")
        block = self.block
        what, a, b = int(block[cl.NEED]), int(block[cl.NEED_A]), int(block[cl.NEED_B])
        if what in _POOLS:
            self._grow(what, a)
        elif what in _MEMOS:
            old = self._held[what]
            self._hold(what, np.zeros(2 * old.size, _I64))
            block[what + 1] = old.size - 1
            ck.cfg_call(self.address, ck.O_REHASH_MEMO, what, int(old.ctypes.data), old.size // 2)
        elif what in _SCRATCH:
            cap, dtype, width, _ = _SCRATCH[what]
            size = 2 * int(block[cap]) + a
            if size > 1 << 26:
                raise LimitError("the grammar is too ambiguous here", place="parsing", limit=size)
            self._hold(what, np.zeros(size * width, dtype))
            block[cap] = size
            if what == cl.BUF_A:
                self._hold(cl.BUF_B, np.zeros(size, _I64))
        elif what == cl.ROWS:
            self._grow_rows()
        elif what == cl.ASK_LIVE:
            self._answer_live(a, b)
        elif what == cl.ASK_LINE:
            self.op(ck.O_MEMO_PUT, cl.LINES, a << 16 | b, self.lines.effect(a, b))
        else:
            raise AssertionError(f"unknown need {what}")

    def _grow(self, slot: int, more: int) -> None:
        name, dtype, width, _ = _POOLS[slot]
        old, block = self._held[slot], self.block
        if self._chunks and self.nbytes > self.max_bytes and not self.may_exceed:
            raise ArenaFull
        size = max(2 * int(block[slot + 2]), int(block[slot + 2]) + 2 * more)
        new = np.zeros(size * width, dtype)
        new[:old.size] = old
        self._hold(slot, new)
        block[slot + 2] = size
        if slot == cl.CUTSET:
            may = np.zeros(size * self.program.first_words, _I64)
            may[:self._held[cl.MAY].size] = self._held[cl.MAY]
            self._hold(cl.MAY, may)
        if slot in _HASHED:
            table, _, first = _HASHED[slot]
            wanted = self._held[table].size
            while wanted < 4 * size:
                wanted *= 2
            self._hold(table, np.zeros(wanted, _I32))
            block[table + 1] = wanted - 1
            ck.cfg_call(self.address, ck.O_REHASH_RECORDS, slot, table, width << 8 | first)

    def _grow_rows(self) -> None:
        if self._chunks and self.nbytes > self.max_bytes and not self.may_exceed:
            raise ArenaFull
        chunk = self.tables.take_chunk()
        table = self._held[cl.ROWS]
        n = len(self._chunks)
        if n == table.size:
            table = self._hold(cl.ROWS, np.concatenate([table, np.zeros(n, _I64)]))
        table[n] = chunk.ctypes.data
        self._chunks.append(chunk)
        self.block[cl.CAP_ROWS] = (n + 1) * CHUNK_ROWS

    @property
    def nbytes(self) -> int:
        """Bytes of what grows, rows included."""
        held = sum(a.nbytes for a in self._held.values()) + sum(c.nbytes for c in self._chunks)
        return held - self._constant_bytes

    @property
    def rows_bytes(self) -> int:
        """Bytes of rows alone."""
        return len(self._chunks) * CHUNK_ROWS * self.tables.words * 8

    # ---------------------------------------------------------------- looking
    def threads(self, state: int) -> list[int]:
        """The threads of a configuration, each ``l << 32 | context``."""
        at = cl.CONF_W * state
        record = self._held[cl.CONF]
        off, n = int(record[at + cl.R_AT]), int(record[at + cl.R_N])
        return self._held[cl.THR][off:off + n].tolist()

    def entries(self, context: int) -> list[tuple[int, int]]:
        """The stacks of a context: (LR state on top, context below)."""
        at = cl.CTX_W * context
        record = self._held[cl.CTX]
        off, n = int(record[at + cl.R_AT]), int(record[at + cl.R_N])
        return [(t >> 32, t & cl.LOW) for t in self._held[cl.ENT][off:off + n].tolist()]

    def unpair(self, lex: int) -> tuple[int, int]:
        """(q, D) of a lexeme state."""
        if lex < cl.PAIR_BASE:
            return lex, 0
        key = int(self._held[cl.LTAB][lex - cl.PAIR_BASE])
        return key >> 32, key & cl.LOW

    def shadows(self, d: int) -> list[int]:
        """The states of the shadows `d`."""
        d &= cl.SHADOWS
        if d < cl.SET_BASE:
            return [d] if d else []
        at = cl.DSET_W * (d - cl.SET_BASE)
        record = self._held[cl.DSETS]
        off, n = int(record[at + cl.R_AT]), int(record[at + cl.R_N])
        return self._held[cl.DPOOL][off:off + n].tolist()

    def may_stop(self, d: int) -> bool:
        """May the text (or, before a special token, a part of it) end with the shadows `d`?"""
        return all(self.program.dend[x] for x in self.shadows(d))

    def steps(self, thread: int) -> list[list[int]]:
        """The threads after any one byte, each behind the class of the byte, by class."""
        n = self.op(ck.O_STEP, thread)
        return self._held[cl.WALK][:2 * n].reshape(-1, 2).tolist()

    def _answer_live(self, lex: int, context: int) -> None:
        """Decide whether a thread can be completed, and note it."""
        from .cfg_search import completable

        verdict = completable(self, lex << 32 | context, MAX_SEARCH)
        self.op(ck.O_MEMO_PUT, cl.LIVE, lex << 32 | context, int(verdict))


def special_id(vocabulary: Any, terminal: Any) -> int:
    """The id of the special token that a terminal stands for."""
    from ..errors import VocabularyError

    token = terminal.token
    if isinstance(token, str):
        found = vocabulary.special.get(token) if hasattr(vocabulary, "special") else None
        if found is None:
            raise VocabularyError(f"the vocabulary has no special token {token!r}")
        return int(found)
    if not 0 <= token < vocabulary.size:
        raise VocabularyError(f"token id {token} is outside the vocabulary of {vocabulary.size}")
    return int(token)


def _shifts(program: Program) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The LR states that each terminal is shifted into; whence each LR state is, as lists behind each other."""
    lr, nt = program.lr, program.nt
    # tables may have millions of reductions, which are even: a few rows at a time
    found = []
    for s in range(0, lr.ns, 256):
        rows = lr.actions[s:min(s + 256, lr.ns), :nt]
        source, terminal = np.nonzero((rows & 1 == 1) | (rows < 0))
        found.append((source + s, terminal))
    source, terminal = (np.concatenate(part) for part in zip(*found))
    action = lr.actions[source, terminal].astype(_I64)
    for i in np.flatnonzero(action < 0).tolist():
        action[i] = lr.shifted(int(source[i]), int(terminal[i])) << 1 | 1
    shift = (action & 1 == 1) & (action > 0)
    source, terminal, target = source[shift], terminal[shift], action[shift] >> 1
    order = np.argsort(target, kind="stable")
    first = np.searchsorted(target[order], np.arange(lr.ns + 1))
    pairs = np.unique(terminal.astype(_I64) << 32 | target)
    ends = np.searchsorted(pairs, np.arange(nt + 1, dtype=_I64) << 32)
    return [pairs[i:j] & cl.LOW for i, j in zip(ends, ends[1:])], first, source[order].astype(_I64)
