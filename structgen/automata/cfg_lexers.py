"""Programs for Lark's basic and contextual lexers: terminals that compete for a lexeme.

One lexer tries its terminals in order; the first that matches at all wins,
however long, and ends where its own match ends.  So its state is the state of
each terminal still running, in order; a terminal that accepts drops all behind
it for good, and the lexeme is decided by the last accepting place before the
run dies.  A keyword turns the winner into itself if the text is its own.

The machine guesses the label of a lexeme when it begins: a thread's q is a
pair (lexer state, label), kept only while that label can still come out.  An
end is one with the label guessed; every other end later on is a shadow that
accepts, whatever its label.  So nothing in the machine knows about competition.

A contextual lexer is chosen by the LR state on top.  States are shared between
lexers: behind its first bytes an identifier is the same in all of them.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from ..errors import GrammarError, LimitError
from ..grammar.cfg import CfgGrammar, normalise
from .cfg_program import (MAX_CELLS, MAX_RULE, MAX_SYMBOLS, Program, _at, _bits, _bitset, history_of,
                          terminal_automaton)
from .indents import Blocks, newline_lexeme
from .lalr import lalr_tables
from .cfg_plans import plans
from .looking import Watcher, watch_plain
from .lr import general_tables, kernels_of
from .races import Races
from .terminals import automaton_of

__all__ = ["LexerProgram", "MAX_LEXER_STATES"]

_I32, _I64 = np.int32, np.int64
#: Most states of all lexers together.
MAX_LEXER_STATES = 50_000


class LexerProgram(Program):
    """Tables of a grammar whose terminals compete; see the module's text."""

    def __init__(self, grammar: CfgGrammar):
        self.source = grammar
        n = len(grammar.nonterminals)
        empty = []
        for t, terminal in enumerate(grammar.terminals):
            if terminal.kind == "declared" and grammar.indenter is not None:
                continue
            if terminal.kind not in ("match", "token"):
                raise GrammarError(f"the terminal {terminal.name} ({terminal.kind}) cannot be used with this lexer",
                                   **_at(grammar, n + t))
            if terminal.kind == "match" and terminal_automaton(grammar, t).n == 0:
                empty.append(n + t)
        self.empty = empty
        self.grammar = grammar = normalise(grammar, empty)
        n = len(grammar.nonterminals)
        self.nt = nt = len(grammar.terminals)
        self.automata = [terminal_automaton(grammar, t) if terminal.kind == "match" else None
                         for t, terminal in enumerate(grammar.terminals)]
        self.automata = [a if a is not None and a.n else None for a in self.automata]
        #: what line ends do, where blocks are made by indentation
        self.blocks = None if grammar.indenter is None else Blocks(grammar)
        self.lr = lalr_tables(grammar) if grammar.tables == "lalr" else general_tables(grammar)
        if self.blocks is not None:
            self.lr = self.blocks.widen(self.lr)
        longest = int(self.lr.size.max(initial=0))
        if max(nt, self.lr.nn) > MAX_SYMBOLS or longest > MAX_RULE:
            raise LimitError(f"the grammar has {self.lr.nn} rules and {nt} terminals, and {longest} symbols in one "
                             "alternative", place="grammar", limit=MAX_SYMBOLS)
        self.ignored = [s - n for s in grammar.ignore]
        self.nx = nt + len(self.ignored) + (self.blocks is not None)
        self._shapes = {}
        self._fit = {}
        self._order = [s - n for s in grammar.order if self.automata[s - n] is not None]
        self._keywords: dict[int, list[tuple[int, bool]]] = {}
        for r, s, out in grammar.keywords:
            self._keywords.setdefault(r - n, []).append((s - n, out))
        if self.blocks is not None or any(isinstance(a, Watcher) for a in self.automata):
            self._looking()
        else:
            self._byte_classes()
            self._lexers()
            self._tables()
            self._plain()
        self.look = self._looks()
        self.loop = self._loops()
        self.safe = self._is_safe()
        if self.blocks is not None:
            self.is_line = newline_lexeme(self)
            #: could every thread without shadows be completed but for line ends?
            self.calm, self.safe = self.safe, False

    # ------------------------------------------------------------- lexers
    def _byte_classes(self) -> None:
        weights = np.random.default_rng(7)
        sums = np.zeros(256, _I64)
        for a in self.automata:
            if a is not None and a.n:
                sums += ((a.trans.astype(_I64) + 2) * weights.integers(1, 2**61, a.n, dtype=_I64)[:, None]).sum(0)
        _, first, inverse = np.unique(sums, return_index=True, return_inverse=True)
        self.classes, self.reps, self.ncls = inverse.reshape(-1).astype(np.uint8), first, len(first)
        self._narrow: list[Optional[list[list[int]]]] = [
            None if a is None else a.trans[:, first].tolist() for a in self.automata]

    def _kappas(self) -> list[tuple[int, ...]]:
        """The terminals of each lexer in order, and `kappa`: LR state -> lexer."""
        everything = tuple(self._order)
        self.kappa = np.zeros(self.lr.ns + 1, _I32)
        if self.grammar.lexing == "basic":
            return [everything]
        number: dict[tuple[int, ...], int] = {}
        always = set(self.ignored) | ({self.blocks.newline} if self.blocks is not None else set())
        for s in range(self.lr.ns):
            have = set(np.flatnonzero(self.lr.actions[s, :self.nt]).tolist()) | always
            key = tuple([t for t in everything if t in have])
            self.kappa[s] = number.setdefault(key, len(number))
        return list(number)

    def _looking(self) -> None:
        """All lexers and their tables where terminals look around."""
        watchers: list[Optional[Watcher]] = [None if a is None else a if isinstance(a, Watcher) else watch_plain(a)
                                             for a in self.automata]
        history = history_of(watchers)
        spelled = {s: automaton_of(self.grammar.terminals[s]) for pairs in self._keywords.values() for s, _ in pairs}
        labels = {t: self.nt + i for i, t in enumerate(self.ignored)}
        newline = -1
        if self.blocks is not None:
            newline = labels[self.blocks.newline] = self.nx - 1
        races = Races(watchers, self._order, {r: [s for s, _ in p] for r, p in self._keywords.items()}, spelled,
                      labels, history, newline >= 0)
        firsts = []
        for terminals in self._kappas():
            running, words = self._competing(terminals)
            firsts += [[races.start(running, words, h)] for h in range(1 if history is None else history.n)]
        races.tables(self, firsts, list(range(self.nx)), newline, self.blocks.tab_len if self.blocks else 8)
        self.always = _bitset(range(self.nt, self.nx), self.first_words)

    def _competing(self, terminals: "tuple[int, ...]") -> "tuple[list[int], tuple[int, ...]]":
        """Which of a lexer's terminals run, and the texts that its expressions may turn out to be."""
        have = set(terminals)
        gone = {s for r in terminals for s, out in self._keywords.get(r, ()) if out and s in have}
        words = tuple(dict.fromkeys(s for r in terminals for s, _ in self._keywords.get(r, ()) if s in have))
        return [t for t in terminals if t not in gone], words

    def _lexers(self) -> None:
        """All states of all lexers: their moves, and the lexeme symbol that an end there stands for."""
        ends = [None if a is None else a.end.tolist() for a in self.automata]
        place = {t: i for i, t in enumerate(self._order)}
        ignored = {t: self.nt + i for i, t in enumerate(self.ignored)}
        number: dict[tuple, int] = {}
        order: list[tuple] = []
        self.moves: list[list[int]] = []
        self.labels: list[int] = []

        def state(running: tuple, words: tuple, won: int) -> int:
            key = (running, words, won)
            q = number.get(key)
            if q is None:
                if len(order) >= MAX_LEXER_STATES:
                    raise LimitError(f"the lexers need more than {MAX_LEXER_STATES} states", place="lexer states",
                                     limit=MAX_LEXER_STATES, hint='use lexer="dynamic"')
                q = number[key] = len(order)
                order.append(key)
                label = -1
                if won >= 0:
                    label = ignored.get(won, won)
                    if won not in ignored:
                        spelled = [s for s, at in words if ends[s][at] and any(s == k for k, _ in
                                                                              self._keywords.get(won, ()))]
                        if spelled:
                            label = min(spelled, key=place.__getitem__)
                self.labels.append(label)
            return q

        self.firsts: list[int] = []
        for terminals in self._kappas():
            running_now, spellings = self._competing(terminals)
            self.firsts.append(state(tuple([(t, 0) for t in running_now]), tuple([(s, 0) for s in spellings]), -1))
        at = 0
        while at < len(order):
            running, words, _ = order[at]
            row = [-1] * self.ncls
            for k in range(self.ncls):
                now, won = [], -1
                for t, q in running:
                    q = self._narrow[t][q][k]
                    if q >= 0:
                        now.append((t, q))
                        if ends[t][q]:
                            won = t
                            break
                if now:
                    live = [t for t, _ in now]
                    spelled = tuple([(s, w) for s, w in ((s, self._narrow[s][w][k]) for s, w in words) if w >= 0
                                     and any(s == x for t in live for x, _ in self._keywords.get(t, ()))])
                    row[k] = state(tuple(now), spelled, won)
            self.moves.append(row)
            at += 1

    # ------------------------------------------------------------- the tables of the machine
    def _tables(self) -> None:
        moves, labels, ncls, nx = self.moves, self.labels, self.ncls, self.nx
        reach = [0 if x < 0 else 1 << x for x in labels]
        changed = True
        while changed:
            changed = False
            for s in range(len(moves) - 1, -1, -1):
                new = reach[s]
                for t in moves[s]:
                    if t >= 0:
                        new |= reach[t]
                if new != reach[s]:
                    reach[s], changed = new, True
        number: dict[tuple[int, int], int] = {}
        pairs: list[tuple[int, int]] = [(-1, -1)]

        def pair(s: int, x: int) -> int:
            q = number.get((s, x))
            if q is None:
                q = number[s, x] = len(pairs)
                pairs.append((s, x))
            return q

        start = np.full((len(self.firsts), nx), -1, _I32)
        for kappa, s in enumerate(self.firsts):
            for x in _bits(reach[s]):
                start[kappa, x] = pair(s, x)
        rows = [[-1] * ncls]
        at = 1
        while at < len(pairs):
            s, x = pairs[at]
            rows.append([pair(t, x) if t >= 0 and reach[t] >> x & 1 else -1 for t in moves[s]])
            at += 1
        if len(pairs) * ncls > MAX_CELLS:
            raise LimitError(f"the lexers need {len(pairs)} states x {ncls} classes of bytes", place="lexers",
                             limit=MAX_CELLS)
        self.nq = len(pairs)
        self.trans = np.array(rows, _I32).reshape(-1, ncls)
        self.final = (self.trans < 0).all(1).astype(np.uint8)
        self.end = np.array([s >= 0 and labels[s] == x for s, x in pairs], np.uint8)
        # shadow state d is lexer state d - 1
        goes_on = [any(t >= 0 for t in row) for row in moves]
        self.shadow = np.array([s + 1 if s >= 0 and labels[s] == x and goes_on[s] else 0 for s, x in pairs], _I32)
        after = np.array(moves, _I64).reshape(-1, ncls)
        ended = np.array(labels, _I64) >= 0
        shadows = np.where(after < 0, 0, np.where(ended[after] & (after >= 0), -1, after + 1))
        # a shadow that can only run on without ever accepting is none; automata are trimmed, so there is no such
        self.dtrans = np.concatenate([np.zeros((1, ncls), _I64), shadows]).astype(_I32)
        self.cut = np.where(self.shadow[:, None] > 0, self.dtrans[self.shadow], 0).astype(_I32)
        self.starts = start
        self.start = start.reshape(-1)
        self.first_words = words = (nx + 63) // 64
        self.first_set = np.zeros((ncls, words), _I64)
        blocks: list[int] = []
        self.first_at = np.zeros(len(start), _I64)
        self._first_masks: list[list[int]] = []
        for kappa in range(len(start)):
            lists: list[list[int]] = [[] for _ in range(ncls)]
            masks = [0] * nx
            for x in range(nx):
                q = int(start[kappa, x])
                if q < 0:
                    continue
                for k in np.flatnonzero(self.trans[q] >= 0).tolist():
                    lists[k].append(x << 32 | int(self.trans[q, k]))
                    masks[x] |= 1 << k
                    self.first_set[k, x >> 6] |= np.int64(np.uint64(1 << (x & 63)).view(_I64))
            self._first_masks.append(masks)
            self.first_at[kappa] = len(blocks)
            offsets = [ncls + 1]
            for items in lists:
                offsets.append(offsets[-1] + len(items))
            blocks += offsets + [i for items in lists for i in items]
        self.first_list = np.array(blocks, _I64)
        self.always = _bitset(range(self.nt, nx), words)
        self.cut[:, [not self.first_set[k].any() for k in range(ncls)]] = -1

    # ------------------------------------------------------------- liveness
    def _is_safe(self) -> bool:
        """Can every thread without shadows be completed?  Only said where it is plain."""
        lr, nt = self.lr, self.nt
        lalr = self.grammar.tables == "lalr"
        wanted = lr.actions[:-1] != 0
        line = -1 if self.blocks is None else self.blocks.newline
        lexemes = [self.nx - 1 if a == line else a for a in range(nt)]
        # wanted by the parser, and what the lexer may say
        readable = (self.starts[self.kappa[:-1]][:, lexemes] >= 0) | np.array([a is None for a in self.automata], bool)
        # what was shifted away may have been the only way to go on
        plain = not (lalr and (lr.conflicts or any(r.why != "unreachable" for r in self.grammar.removed)))
        if plain and not (wanted[:, :nt] & ~readable).any() and self._told_apart(wanted):
            return True
        if not lalr or line >= 0:
            return False
        planned = plans(lr, readable, kernels_of(lr))
        if planned is None:
            return False
        bits = [x.to_bytes((nt + 8) // 8, "little") for x in planned]
        wanted = np.unpackbits(np.frombuffer(b"".join(bits), np.uint8).reshape(len(bits), -1), axis=1,
                               bitorder="little")[:, :nt + 1] != 0
        return self._told_apart(wanted)

    def _told_apart(self, wanted: np.ndarray) -> bool:
        """Is a lexeme's end seen by the first byte of each terminal that is `wanted` (column nt: the end) behind it?"""
        lr, nt = self.lr, self.nt
        line = -1 if self.blocks is None else self.blocks.newline
        have = wanted[:, :nt]
        text = [t for t in range(nt) if self.automata[t] is not None and t != line]
        entered: dict[int, set[int]] = {}
        for s, a in zip(*np.nonzero(lr.actions[:-1, :nt])):
            t = lr.shifted(int(s), int(a))
            if t >= 0:
                entered.setdefault(int(a), set()).add(t)
        ignored = range(nt, self.nx - (line >= 0))

        def bridged(q: int, kappa: int, b: int) -> bool:
            masks, b = self._first_masks[kappa], self.nx - 1 if b == line else b
            return self._fits(q, masks[b]) or any(
                self._fits(q, masks[i]) and all(self._fits(s, masks[b]) for s in self._all(self.starts[kappa, i]))
                for i in ignored if self.starts[kappa, i] >= 0) or self._fits_inside(q, int(self.starts[kappa, b]))

        last = {a for a, states in entered.items() if wanted[sorted(states), nt].any()}
        if not self._ends_are_safe(last.__contains__):
            return False
        for a in text:
            for q in self.unlike_starts(a):
                if self._fits(q, 0):
                    continue
                for t in entered.get(a, ()):
                    for b in np.flatnonzero(have[t]).tolist():
                        if self.automata[b] is not None and not bridged(q, int(self.kappa[t]), b):
                            return False
        if line >= 0 and not self._lines_are_safe():
            return False
        for s in range(lr.ns):
            kappa = int(self.kappa[s])
            for i in ignored:
                for q in self._all(self.starts[kappa, i]):
                    if not self._fits(q, 0):
                        for b in np.flatnonzero(have[s]).tolist():
                            if self.automata[b] is not None and not bridged(q, kappa, b):
                                return False
        return True

    def _fits_inside(self, q: int, start: int) -> bool:
        """From every state of the automaton at `q`, can it end so that a lexeme at `start` settles it?

        As for a tag ``</`` before ``list``, where ``</link`` would be one lexeme.
        """
        if self.nh > 1 or start < 0:
            return False
        known = self._fit.get((q, ("inside", start)))
        if known is None:
            good = {s for s in self._shape(q)[0] if self.end[s] == 1 and self._settles(start, int(self.shadow[s]))}
            known = self._fit[q, ("inside", start)] = self._reach(q, good)
        return known

    def _settles(self, q: int, d: int) -> bool:
        """Does some text that a lexeme in state `q` can go on with refute the shadow `d`?"""
        seen, todo = {(q, d)}, [(q, d)]
        while todo:
            q, d = todo.pop()
            for t, x in set(zip(self.trans[q].tolist(), self.dtrans[d].tolist())):
                if t < 0 or x < 0:
                    continue
                if x == 0:
                    return True
                if (t, x) not in seen:
                    seen.add((t, x))
                    todo.append((t, x))
        return False

    def _lines_are_safe(self) -> bool:
        """Behind a line end, does the first byte of whatever text may follow show that it has ended?"""
        lr, blocks = self.lr, self.blocks
        behind = [s for s in range(lr.ns) if blocks.entered[s] in (blocks.newline, blocks.indent, blocks.dedent)]
        wanted = {self._first_masks[int(self.kappa[s])][self.nx - 1 if b == blocks.newline else b] or (0,) * self.nh
                  for s in behind for b in np.flatnonzero(lr.actions[s, :self.nt]).tolist()
                  if self.automata[b] is not None}
        for q in self.unlike_starts(self.nx - 1):
            for s in self._shape(q)[0]:
                if self.end[s] < 2 or not self.shadow[s]:
                    continue
                if not self.dend[self.shadow[s]]:
                    return False
                settled = sum(1 << k for k in np.flatnonzero(self.dtrans[self.shadow[s]] == 0).tolist())
                h = int(self.history[s]) >> 26
                if not all(masks[h] & settled for masks in wanted):
                    return False
        return True

    def _all(self, start: int) -> "list[int]":
        """A lexeme's start for every class of the text before."""
        return [] if start < 0 else [int(start)] if self.nh == 1 else self._split_starts[int(start)]
