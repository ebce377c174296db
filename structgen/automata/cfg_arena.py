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
from .arena import MAX_BYTES, ArenaFull
from .cfg_program import Program

__all__ = ["CfgArena", "MAX_STEPS"]

_I64, _I32, _U8 = np.int64, np.int32, np.uint8
#: Steps that one call may take.
MAX_STEPS = 20_000_000
#: What is made when a grammar is compiled: pieces and locals, lexeme states of one
#: terminal, and locals beyond which stacks are not looked at more than one state deep.
MAX_PREPARED, MAX_PREPARED_STATES, MAX_PREPARED_OPEN = 16_000, 64, 2_500
#: Threads expanded by one search for a completion.
MAX_SEARCH = 4_000

#: address slot -> (name, dtype, words a record, records to start with); the slots behind hold use and capacity
_POOLS: dict[int, tuple[str, Any, int, int]] = {
    ck.CTX: ("contexts", _I64, ck.CTX_W, 1024),
    ck.ENT: ("entries", _I64, 1, 1024),
    ck.LTAB: ("pairs", _I64, 1, 64),
    ck.DSETS: ("shadow sets", _I64, 2, 16),
    ck.DPOOL: ("shadow pool", _I64, 1, 64),
    ck.CONF: ("configurations", _I64, ck.CONF_W, 1024),
    ck.THR: ("threads", _I64, 1, 2048),
    ck.PIECE: ("pieces", _I64, ck.PIECE_W, 2048),
    ck.CUTSET: ("cut sets", _I64, ck.CUTSET_W, 1024),
    ck.LOCALS: ("locals", _I64, ck.LOCAL_W, 512),
    ck.ESC: ("tokens to look at", _I64, ck.ESC_W, 256),
    ck.OPEN: ("open sets", _I64, ck.OPEN_W, 512),
    ck.ITEMS: ("open items", _I64, 1, 8192),
    ck.EVENTS: ("events", _I64, 1, 4096),
    ck.CUTS: ("cuts", _I64, 1, 8192),
    ck.AT: ("cut offsets", _I64, 1, 8192),
    ck.TOK: ("tokens", _I32, 1, 16384),
    ck.COND: ("conditional tokens", _I64, 1, 1024),
}
#: pools with a hash: address slot -> slots of its table and mask
_HASHED = {ck.CTX: (ck.H_CTX, ck.M_CTX, 4096), ck.CONF: (ck.H_CONF, ck.M_CONF, 4096),
           ck.CUTSET: (ck.H_CUTSET, ck.M_CUTSET, 4096), ck.OPEN: (ck.H_OPEN, ck.M_OPEN, 2048)}
#: memo tables: address slot (mask and count behind it) -> slots to start with
_MEMOS = {ck.SHIFT: 8192, ck.UNION: 256, ck.LKEYS: 64, ck.DKEYS: 64, ck.ADV: 2048, ck.LIVE: 256, ck.CHILD: 8192,
          ck.TROW: 1024, ck.LOCAL: 2048, ck.SUBST: 2048, ck.LINES: 64}
#: scratch: address slot -> (capacity slot, dtype, words a record, records to start with)
_SCRATCH = {ck.WORK: (ck.CAP_WORK, _I64, 1, 1024), ck.RES: (ck.CAP_RES, _I64, 1, 512),
            ck.BUF_A: (ck.CAP_BUF, _I64, 1, 1024),
            ck.S_TOK: (ck.CAP_STOK, _I32, 1, 65536),
            ck.S_GET: (ck.CAP_SGET, _I32, 1, 16384), ck.S_CUT: (ck.CAP_SCUT, _I64, 2, 16384),
            ck.S_COND: (ck.CAP_SCOND, _I64, 1, 4096),
            ck.S_ESC: (ck.CAP_SESC, _I64, ck.ESC_W, 1024), ck.S_ITEMS: (ck.CAP_SITEMS, _I64, 1, 4096),
            ck.WALK: (ck.CAP_WALK, _I64, 1, 4096),
            ck.WALK_B: (ck.CAP_WALK_B, _I64, 1, 4096), ck.PENDING: (ck.CAP_PENDING, _I64, 1, 1024),
            ck.SCR: (ck.CAP_SCR, _I64, 1, 8192)}


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
        self.block = np.zeros(ck.BLOCK_SIZE, _I64)
        self.address = int(self.block.ctypes.data)
        self._constant()
        for slot, (_, dtype, width, size) in _POOLS.items():
            self._hold(slot, np.zeros(size * width, dtype))
            self.block[slot + 2] = size
        for slot, (table, mask, size) in _HASHED.items():
            self._hold(table, np.zeros(size, _I32))
            self.block[mask] = size - 1
        for slot, size in _MEMOS.items():
            self._hold(slot, np.zeros(2 * size, _I64))
            self.block[slot + 1] = size - 1
        for slot, (cap, dtype, width, size) in _SCRATCH.items():
            self._hold(slot, np.zeros(size * width, dtype))
            self.block[cap] = size
        self._hold(ck.BUF_B, np.zeros(self.block[ck.CAP_BUF], _I64))
        self._hold(ck.S_TOK, np.zeros(tables.vocabulary.size + 4096, _I32))
        self.block[ck.CAP_STOK] = tables.vocabulary.size + 4096
        size = _POOLS[ck.CUTSET][3]
        self._hold(ck.MAY, np.zeros(size * program.first_words, _I64))
        self._hold(ck.ROWS, np.zeros(16, _I64))
        self.block[ck.N_CTX] = 2
        self._hold(ck.S_EVENTS, np.zeros(ck.MOST_EVENTS, _I64))
        self.block[ck.N_PIECE] = self.block[ck.N_CUTSET] = self.block[ck.N_OPEN] = 1
        with self.lock:
            self.start = self._start()
            self._prepare()
            # loads the two small kernels, which takes longer than many calls
            ck.cfg_begin(self.address, self.start, 0)
            ck.cfg_fill(self.address, self.start, int(self._held[ck.SCRATCH_ROW].ctypes.data), 0)

    def _prepare(self) -> None:
        """Make what most masks of this grammar need, as far as that is little work.

        Every lexeme state is met over the LR states that its terminal is shifted
        into; those of ignored terminals, and the places between lexemes, over all.
        """
        p, block = self.program, self.block
        after: dict[int, list[int]] = {}
        before: dict[int, list[int]] = {}
        for s, a in zip(*np.nonzero(p.lr.actions[:-1, :p.nt])):
            t = p.lr.shifted(int(s), int(a))
            if t >= 0:
                known = after.setdefault(int(a), [])
                if t not in known:
                    known.append(t)
                before.setdefault(t, []).append(int(s))
        everywhere = [0, *sorted(before)]

        def make(lex: int, below: list[int]) -> dict[int, int]:
            return {r: self.op(ck.O_LOCAL, lex, r) for r in below}

        if not p.safe:
            return                            # then every token is looked at, which is much work
        for x in [*range(p.nt), *range(p.nt, p.nx)] if len(p.first_at) == 1 else ():
            start = int(p.start[x])
            if start < 0:
                continue
            states = p.states_of(start)
            # white space may stand everywhere; comments are rare, only what they share is made
            below = after.get(x, []) if x < p.nt else everywhere if len(states) <= 3 else [0]
            for q in states[:MAX_PREPARED_STATES]:
                if p.final[q]:
                    continue
                left = make(q, below)
                if p.shadow[q]:
                    left.update(make(self.op(ck.O_PAIR, 0, int(p.shadow[q])), below))
                if x < p.nt:                  # what ends here is read on below
                    for r, items in left.items():
                        if items and block[ck.N_LOCALS] < MAX_PREPARED_OPEN:
                            for u in before[r]:
                                self.op(ck.O_LOCAL, items, u, 1)
                if block[ck.N_LOCALS] + block[ck.N_PIECE] > MAX_PREPARED:
                    return
        make(0, everywhere)

    def _hold(self, slot: int, array: np.ndarray) -> np.ndarray:
        self._held[slot] = array
        self.block[slot] = array.ctypes.data
        return array

    def _constant(self) -> None:
        """The tables of the vocabulary and of the grammar."""
        p, t, b = self.program, self.tables, self.block
        trie = t.trie
        for slot, array in ((ck.TRIE, trie.nodes), (ck.TRIE_FIRST, trie.first), (ck.TRIE_TOKENS, trie.dfs_tokens),
                            (ck.BLOB, t.blob), (ck.OFFSETS, t.offsets), (ck.KIND, t.kind), (ck.EOS, t.eos)):
            self._hold(slot, array)
        b[ck.N_TRIE], b[ck.WORDS], b[ck.N_TOKENS] = len(trie), t.words, t.vocabulary.size
        b[ck.N_EOS], b[ck.DEPTH] = t.eos.size, t.depth
        lr = p.lr
        specials = self._specials()
        for slot, array in ((ck.CLS, p.classes), (ck.TRANS, p.trans), (ck.QEND, p.end), (ck.QSHADOW, p.shadow),
                            (ck.QFINAL, p.final), (ck.DTRANS, p.dtrans), (ck.QCUT, p.cut),
                            (ck.START, p.start),
                            (ck.FIRST_AT, p.first_at), (ck.FIRST_LIST, p.first_list),
                            (ck.KAPPA, p.kappa), (ck.LOOK, p.look), (ck.ALWAYS, p.always),
                            (ck.ACT, lr.actions), (ck.ALISTS, lr.lists), (ck.GOTO, lr.goto), (ck.LHS, lr.lhs),
                            (ck.SIZE, lr.size), (ck.FIRST_SET, p.first_set), (ck.SPECIAL, specials)):
            self._hold(slot, np.ascontiguousarray(array))
        b[ck.NCLS], b[ck.TWORDS], b[ck.NT], b[ck.NX] = p.ncls, p.first_words, p.nt, p.nx
        self._hold(ck.DEND, np.ascontiguousarray(p.dend))
        self._hold(ck.QHIST, np.ascontiguousarray(p.history))
        if p.nh > 1:
            self._hold(ck.SPLIT, np.ascontiguousarray(p.split))
        b[ck.NHIST] = p.nh
        b[ck.NN], b[ck.SAFE], b[ck.N_SPECIAL] = lr.nn, int(p.safe), len(specials) // 2
        self._hold(ck.STAMP, np.zeros(len(trie), _I32))
        self._hold(ck.STACK_Q, np.zeros(t.depth + 4, _I32))
        self._hold(ck.STACK_D, np.zeros(t.depth + 4, _I32))
        self._hold(ck.SCRATCH_ROW, np.zeros(t.words, _I64))
        self._hold(ck.SCRATCH_ROW_B, np.zeros(t.words, _I64))
        b[ck.HOLE_STATE] = lr.ns              # the last row of the tables is empty

    def _specials(self) -> np.ndarray:
        """(terminal, token id) pairs."""
        out: list[int] = []
        vocabulary = self.tables.vocabulary
        for a, terminal in enumerate(self.program.grammar.terminals):
            if terminal.kind == "token":
                out += [a, special_id(vocabulary, terminal)]
        return np.array(out, _I64)

    def _start(self) -> int:
        self.block[ck.HOLE] = self.op(ck.O_INTERN_ONE, int(self.block[ck.HOLE_STATE]), 0)
        bottom = self.op(ck.O_INTERN_ONE, 0, 1)
        if not self.program.safe:
            from .cfg_search import completable

            if not completable(self, bottom, MAX_SEARCH):
                raise GrammarError("no text is in the language: whatever follows a terminal would have belonged to it",
                                   hint='a terminal takes all it can; lexer="dynamic_complete" also tries less')
        self._held[ck.BUF_A][0] = bottom
        return self.op(ck.O_CONFIGURATION, 1)

    def __del__(self):
        chunks = self.__dict__.get("_chunks")
        if chunks:
            self.tables.give_back(chunks)

    # ---------------------------------------------------------------- calls
    def op(self, op: int, a: int = 0, b: int = 0, c: int = 0) -> int:
        """An operation of the machine, served until it is done; DEAD included."""
        block = self.block
        block[ck.FUEL] = MAX_STEPS
        while True:
            r = ck.cfg_call(self.address, op, a, b, c)
            if r != ck.NEED_PY and r != ck.FUEL_OUT:
                return r
            self.serve(r)

    def serve(self, code: int) -> None:
        """Make what a kernel asked for."""
        if code == ck.FUEL_OUT:
            raise LimitError(f"the grammar is so ambiguous here that one step takes more than {MAX_STEPS} operations",
                             place="parsing", limit=MAX_STEPS, hint="remove ambiguity, or nesting, from the rules")
        block = self.block
        what, a, b = int(block[ck.NEED]), int(block[ck.NEED_A]), int(block[ck.NEED_B])
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
            if what == ck.BUF_A:
                self._hold(ck.BUF_B, np.zeros(size, _I64))
        elif what == ck.ROWS:
            self._grow_rows()
        elif what == ck.ASK_LIVE:
            self._answer_live(a, b)
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
        if slot == ck.CUTSET:
            may = np.zeros(size * self.program.first_words, _I64)
            may[:self._held[ck.MAY].size] = self._held[ck.MAY]
            self._hold(ck.MAY, may)
        if slot in _HASHED:
            table, mask, _ = _HASHED[slot]
            wanted = self._held[table].size
            while wanted < 4 * size:
                wanted *= 2
            self._hold(table, np.zeros(wanted, _I32))
            block[mask] = wanted - 1
            ck.cfg_call(self.address, ck.O_REHASH_RECORDS, slot, 0, 0)

    def _grow_rows(self) -> None:
        if self._chunks and self.nbytes > self.max_bytes and not self.may_exceed:
            raise ArenaFull
        chunk = self.tables.take_chunk()
        table = self._held[ck.ROWS]
        n = len(self._chunks)
        if n == table.size:
            table = self._hold(ck.ROWS, np.concatenate([table, np.zeros(n, _I64)]))
        table[n] = chunk.ctypes.data
        self._chunks.append(chunk)
        self.block[ck.CAP_ROWS] = (n + 1) * CHUNK_ROWS

    @property
    def nbytes(self) -> int:
        """Bytes held, rows included."""
        return sum(a.nbytes for a in self._held.values()) + sum(c.nbytes for c in self._chunks)

    @property
    def rows_bytes(self) -> int:
        """Bytes of rows alone."""
        return len(self._chunks) * CHUNK_ROWS * self.tables.words * 8

    # ---------------------------------------------------------------- looking
    def threads(self, state: int) -> list[int]:
        """The threads of a configuration, each ``l << 32 | context``."""
        at = ck.CONF_W * state
        record = self._held[ck.CONF]
        off, n = int(record[at + ck.F_AT]), int(record[at + ck.F_N])
        return self._held[ck.THR][off:off + n].tolist()

    def entries(self, context: int) -> list[tuple[int, int]]:
        """The stacks of a context: (LR state on top, context below)."""
        at = ck.CTX_W * context
        record = self._held[ck.CTX]
        off, n = int(record[at + ck.C_AT]), int(record[at + ck.C_N])
        return [(t >> 32, t & ck.LOW) for t in self._held[ck.ENT][off:off + n].tolist()]

    def unpair(self, lex: int) -> tuple[int, int]:
        """(q, D) of a lexeme state."""
        if lex < ck.PAIR_BASE:
            return lex, 0
        key = int(self._held[ck.LTAB][lex - ck.PAIR_BASE])
        return key >> 32, key & ck.LOW

    def thread_steps(self, thread: int, k: int) -> list[int]:
        """The threads after a byte of class `k`."""
        n = self.op(ck.O_STEP, thread, k)
        return self._held[ck.BUF_A][:n].tolist()

    def _answer_live(self, lex: int, context: int) -> None:
        """Decide whether a thread can be completed, and note it."""
        from .cfg_search import completable

        verdict = completable(self, lex << 32 | context, MAX_SEARCH)
        self.op(ck.O_MEMO_PUT, ck.LIVE, lex << 32 | context, int(verdict))


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
