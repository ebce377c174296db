"""Lexers some of whose terminals look around: tables for the machine.

A *race* is the terminals that run beside each other for one lexeme, in order,
each a state of its list automaton (:mod:`.looking`).  Who is certain to match
drops all behind it; the winner is the first that matches.  In Lark's dynamic
modes terminals don't compete, and each lexeme is a race of one.

As in :mod:`.cfg_lexers` the machine guesses the label of a lexeme when it
begins and its end when it is there.  The *shadow* of a guess is the race with
the places of today marked for those that have the label: it is settled when
the first that matches is a marked one.  What can never refute a guess any more
is no shadow; what nothing can confirm is no end.

Where look-behind sees the text before a lexeme, states also carry the class of
the text so far (`History`), an end passes it on, and a lexeme has one start for
each class.

The line ends of an indented language carry the column at which the next line
begins (see :mod:`.indents`); an end then says so.
"""

from __future__ import annotations

from typing import Any, Iterable, Optional, Sequence

import numpy as np

from ..errors import LimitError
from .looking import HIT, MISS, OPEN, History, Watcher, refine, tail_facts, tail_table
from .terminals import Automaton

__all__ = ["Races", "MAX_RACES", "MAX_COLUMN"]

#: Most states of all races of a grammar, and of their shadows.
MAX_RACES = 50_000
#: The last column at which a line may begin in an indented language.
MAX_COLUMN = 200
#: Where a line end is, in place of a column: before its first line feed; and no line end at all.
_BEFORE, _NO_LINE = -1, -2
_I32, _I64 = np.int32, np.int64


class Races:
    """All states of all races of a grammar; see the module's text.

    Parameters
    ----------
    watchers : list
        The list automaton of each terminal, None for those that read no text.
    order : list of int
        Terminals, first winner first.
    keywords : dict of int to list of int
        Terminal -> texts that it stands for when it covers one exactly.
    spelled : dict of int to Automaton
        The automata of those texts.
    labels : dict of int to int
        The lexeme symbol of a terminal where that is not its number.
    history : History, optional

    Attributes
    ----------
    classes, reps : array
        The class of each byte, and a byte of each class.
    """

    def __init__(self, watchers: "Sequence[Optional[Watcher]]", order: "Sequence[int]",
                 keywords: "dict[int, list[int]]", spelled: "dict[int, Automaton]", labels: "dict[int, int]",
                 history: Optional[History], lines: bool = False):
        self.tails = tail_table(watchers)
        tables = [w.trans for w in watchers if w is not None] + [a.trans for a in spelled.values()] + [self.tails[1]]
        if history is not None:
            tables.append(history.trans)
        if lines:                             # line feeds, spaces and tabs count
            tables.append(np.array([[{10: 0, 32: 1, 9: 2}.get(b, 3) for b in range(256)]]))
        self.classes, self.reps = _byte_classes(tables)
        reps = self.reps
        self.watchers, self.keywords = watchers, keywords
        self.spelled = {s: (a.trans[:, reps].tolist(), a.end.tolist()) for s, a in spelled.items()}
        self.place = {t: i for i, t in enumerate(order)}
        self.labels, self.history = labels, history
        self.ncls = len(reps)
        self._trans = [None if w is None else w.trans[:, reps].tolist() for w in watchers]
        self._here = [None if w is None else w.here.tolist() for w in watchers]
        self._sure = [None if w is None else w.sure.tolist() for w in watchers]
        self._marked()
        self._number: dict[tuple, int] = {}
        self._order: list[tuple] = []
        self.moves: list[list[int]] = []
        #: race state -> lexeme symbol -> the terminals that stand for it here
        self.wins: list[dict[int, tuple[int, ...]]] = []
        self._shadow_number: dict[tuple, int] = {}
        self._shadow_order: list[tuple] = []
        self._narrow_history = None if history is None else history.trans[:, reps].tolist()

    def _marked(self) -> None:
        """Number tails and marked lists of all terminals anew, so that equal ones have one number."""
        watchers = {id(w): w for w in self.watchers if w is not None}
        known, rows = self.tails
        order = list(known)
        base, at = {}, len(order)
        for key, w in watchers.items():
            base[key] = at - w.lexeme
            at += len(w.here) - w.lexeme
        trans = np.full((at, self.ncls), -1, _I64)
        facts = np.zeros((at, 3), _I64)
        if order:
            trans[:len(order)] = rows[:, self.reps]
            facts[:len(order)] = [tail_facts(tail) for tail in order]
        for key, w in watchers.items():
            lo, hi = base[key] + w.lexeme, base[key] + len(w.here)
            t = w.trans[w.lexeme:, self.reps]
            tails = np.array([known[tail] for tail in w.tails] + [-1], _I64)
            trans[lo:hi] = np.where(t >= 0, t + base[key], tails[np.where(t < -1, -2 - t, -1)])
            facts[lo:hi] = np.stack([w.sure[w.lexeme:], w.outcome[w.lexeme:], w.final[w.lexeme:]], axis=1)
        block = refine(trans, facts, np.zeros((at, 0), _I64))
        _, first = np.unique(block, return_index=True)
        self._class = {key: block[base[key] + w.lexeme:base[key] + len(w.here)].tolist()
                       for key, w in watchers.items()}
        self._tail = {key: [int(block[known[tail]]) for tail in w.tails] for key, w in watchers.items()}
        self._moves_of = np.where(trans[first] >= 0, block[trans[first]], -1).tolist()
        self._certain, self._outcome, self._final = facts[first].T.tolist()

    def _marked_class(self, t: int, q: int) -> int:
        """The number of a marked list of a terminal."""
        w = self.watchers[t]
        return self._class[id(w)][q - w.lexeme] if q >= 0 else self._tail[id(w)][-2 - q]

    # ------------------------------------------------------------- races
    def start(self, terminals: "Iterable[int]", words: "Iterable[int]", h: int) -> int:
        """The state in which `terminals` start after a text of class `h`; -1 if none can."""
        running = []
        for t in terminals:
            w = self.watchers[t]
            q = w.starts[()] if self.history is None else self.history.start(w, h)
            if q >= 0:
                running.append((t, q))
        if not running:
            return -1
        return self._state(tuple(running), tuple([(s, 0) for s in words]),
                           -1 if self.history is None else self.history.state[h])

    def _state(self, running: tuple, words: tuple, seen: int) -> int:
        key = (running, words, seen)
        s = self._number.get(key)
        if s is None:
            if len(self._order) >= MAX_RACES:
                raise LimitError(f"the lexers need more than {MAX_RACES} states with their look-around",
                                 place="lexer states", limit=MAX_RACES, hint="simplify the look-around of terminals")
            s = self._number[key] = len(self._order)
            self._order.append(key)
            wins: dict[int, tuple[int, ...]] = {}
            for t, q in running:
                if t >= 0 and self._here[t][q]:
                    label = self.labels.get(t, t)
                    found = [w for w, at in words if self.spelled[w][1][at] and w in self.keywords.get(t, ())] \
                        if label == t else []
                    if found:
                        label = min(found, key=self.place.__getitem__)
                        label = self.labels.get(label, label)
                    wins[label] = wins.get(label, ()) + (t,)
            self.wins.append(wins)
        return s

    def expand(self) -> None:
        """Follow all races to their ends."""
        at = 0
        while at < len(self._order):
            running, words, seen = self._order[at]
            row = [-1] * self.ncls
            for k in range(self.ncls):
                now = self._step(running, k)
                live = {t for t, _ in now if t >= 0}
                if live:
                    spelled = tuple([(s, w) for s, w in ((s, self.spelled[s][0][w][k]) for s, w in words) if w >= 0
                                     and any(s in self.keywords.get(t, ()) for t in live)])
                    row[k] = self._state(now, spelled, -1 if seen < 0 else self._narrow_history[seen][k])
            self.moves.append(row)
            at += 1

    def _step(self, running: tuple, k: int) -> tuple:
        now = []
        for t, q in running:
            if t >= 0:
                q = self._trans[t][q][k]
                if q >= 0:
                    now.append((t, q))
                    if self._sure[t][q]:
                        break
                    continue
                if q == -1:
                    continue
                q = self._tail[id(self.watchers[t])][-2 - q]
            else:
                q = self._moves_of[q][k]
                if q < 0:
                    continue
            now.append((-1, q))
            if self._certain[q]:
                break
        return tuple(now)

    # ------------------------------------------------------------- shadows
    def _verdict(self, running: tuple, at_end: bool = False) -> int:
        for q in running:
            what = self._final[q] if at_end else self._outcome[q]
            if what != OPEN:
                return what
            if not at_end:
                return OPEN
        return MISS

    def _shadow(self, running: tuple) -> int:
        """The number of a marked race; -1 refuted, -2 settled."""
        what = self._verdict(running)
        if what != OPEN:
            return -2 if what == HIT else -1
        s = self._shadow_number.get(running)
        if s is None:
            if len(self._shadow_order) >= MAX_RACES:
                raise LimitError(f"the lexers need more than {MAX_RACES} states for their look-around",
                                 place="look-around", limit=MAX_RACES, hint="simplify the look-around of terminals")
            s = self._shadow_number[running] = len(self._shadow_order)
            self._shadow_order.append(running)
        return s

    def guess(self, s: int, label: int) -> int:
        """The shadow of the guess that the lexeme ends in `s` as `label`."""
        marked = self.wins[s][label]
        running = []
        for t, q in self._order[s][0]:
            if t >= 0:
                w = self.watchers[t]
                q = int(w.split[q] if t in marked else w.blur[q])
                if q == -1:
                    continue
                q = self._marked_class(t, q)
            running.append(q)
            if self._certain[q]:
                break
        return self._shadow(tuple(running))

    def _shadow_step(self, running: tuple, k: int) -> tuple:
        now = []
        for q in running:
            q = self._moves_of[q][k]
            if q >= 0:
                now.append(q)
                if self._certain[q]:
                    break
        return tuple(now)

    def shadows(self) -> "tuple[np.ndarray, np.ndarray, dict]":
        """(dtrans, dend, shadow of each guess): shadow d is numbered from 1, 0 is none, -1 a refuted guess."""
        guesses = {(s, x): self.guess(s, x) for s, wins in enumerate(self.wins) for x in wins}
        rows: list[list[int]] = []
        at = 0
        while at < len(self._shadow_order):
            running = self._shadow_order[at]
            rows.append([self._shadow(self._shadow_step(running, k)) for k in range(self.ncls)])
            at += 1
        n = len(rows)
        table = np.array(rows, _I64).reshape(n, self.ncls)
        stop = np.array([self._verdict(r, True) == HIT for r in self._shadow_order], bool)
        # with two more states: settled, refuted
        full = np.concatenate([np.where(table == -2, n, np.where(table == -1, n + 1, table)),
                               [[n] * self.ncls, [n + 1] * self.ncls]]).astype(_I64)
        good, bad = np.append(stop, [True, False]), np.append(~stop, [False, True])
        for x in (good, bad):
            while True:
                more = x | x[full].any(1)
                if (more == x).all():
                    break
                x[:] = more
        what = np.where(~bad, -2, np.where(~good, -1, np.arange(n + 2)))       # of each state
        used = np.flatnonzero(what >= 0)
        number = np.full(n + 2, 0, _I64)
        number[used] = np.arange(1, len(used) + 1)
        new = np.where(what == -2, 0, np.where(what == -1, -1, number))
        dtrans = np.concatenate([np.zeros((1, self.ncls), _I64), new[full[used]].reshape(-1, self.ncls)]).astype(_I32)
        dend = np.append([True], stop[used] if n else []).astype(np.uint8)
        out = {key: 0 if s == -2 else -1 if s == -1 else int(new[s]) for key, s in guesses.items()}
        return dtrans, dend, out

    # ------------------------------------------------------------- the tables of the machine
    def tables(self, program: Any, firsts: "list[list[int]]", owners: "list[int]", newline: int = -1,
               tab_len: int = 8) -> None:
        """Fill in the tables of a program.

        Parameters
        ----------
        program : Program
        firsts : list
            The race of each lexeme symbol (or one for all, if it holds one) for each lexer and class of the
            history: ``firsts[lexer * nh + h]``.
        owners : list of int
            The label by which each lexeme symbol is known in `wins`.
        newline : int
            The lexeme symbol of line ends, -1 if there is none.
        """
        p, ncls, nx = program, self.ncls, len(owners)
        p.classes, p.reps, p.ncls = self.classes, self.reps, ncls
        nh = p.nh = 1 if self.history is None else self.history.n
        self.expand()
        p.dtrans, p.dend, guesses = self.shadows()
        moves = self.moves
        reach: list[set[int]] = [{x for x in wins if guesses[s, x] >= 0} for s, wins in enumerate(self.wins)]
        changed = True
        while changed:
            changed = False
            for s in range(len(moves) - 1, -1, -1):
                size = len(reach[s])
                for t in moves[s]:
                    if t >= 0:
                        reach[s] |= reach[t]
                changed |= len(reach[s]) != size
        bytes_of = self.reps.tolist()
        number: dict[tuple[int, int, int], int] = {}
        pairs: list[tuple[int, int, int]] = [(-1, -1, _NO_LINE)]

        def pair(s: int, x: int, column: int) -> int:
            q = number.get((s, x, column))
            if q is None:
                q = number[s, x, column] = len(pairs)
                pairs.append((s, x, column))
            return q

        def column_after(column: int, k: int) -> int:
            if column == _NO_LINE:
                return column
            b = bytes_of[k]
            if b == 0x0A:
                return 0
            if column == _BEFORE:
                return column
            return column + (1 if b == 0x20 else tab_len if b == 0x09 else 0)

        groups = len(firsts)
        start = np.full((groups, nx), -1, _I32)
        for g, races in enumerate(firsts):
            for x in range(nx):
                s = races[x if len(races) > 1 else 0]
                if s >= 0 and owners[x] in reach[s]:
                    start[g, x] = pair(s, x, _BEFORE if x == newline else _NO_LINE)
        rows = [[-1] * ncls]
        at = 1
        while at < len(pairs):
            s, x, column = pairs[at]
            row = [-1] * ncls
            for k, t in enumerate(moves[s]):
                if t >= 0 and owners[x] in reach[t]:
                    after = column_after(column, k)
                    if after <= MAX_COLUMN:
                        row[k] = pair(t, x, after)
            rows.append(row)
            at += 1
        # a lexeme that cannot start at the beginning still needs a name for its starts
        split: dict[int, list[int]] = {}
        nominal = np.full((groups // nh, nx), -1, _I32)
        for g in range(0, groups, nh):
            for x in range(nx):
                several = [int(q) for q in start[g:g + nh, x]]
                if max(several) < 0:
                    continue
                first = several[0]
                if first < 0 or split.get(first, several) != several:
                    first = len(pairs)
                    pairs.append((-1, -1, _NO_LINE))
                    rows.append(rows[several[0]] if several[0] >= 0 else [-1] * ncls)
                split[first] = several
                nominal[g // nh, x] = first
        p.nq = len(pairs)
        p.trans = np.array(rows, _I32).reshape(-1, ncls)
        p.final = (p.trans < 0).all(1).astype(np.uint8)
        end = np.zeros(p.nq, np.uint8)
        p.shadow = np.zeros(p.nq, _I32)
        p.history = np.zeros(p.nq, _I32)
        for q, (s, x, column) in enumerate(pairs):
            if s < 0 or column == _BEFORE:
                continue
            d = guesses.get((s, owners[x]), -1)
            if d < 0:
                continue
            if self.history is not None:
                h = int(self.history.of[self._order[s][2]])
                if h < 0:
                    continue
                p.history[q] = h << 26
            end[q] = 1 if column == _NO_LINE else 2 + column
            p.shadow[q] = d
        p.end = end
        p.split = np.zeros((p.nq, nh), _I32)
        for q, several in split.items():
            p.split[q] = [max(s, 0) for s in several]
        p.cut = np.where(p.shadow[:, None] > 0, p.dtrans[p.shadow], 0).astype(_I32)
        p.starts, p.start = nominal, nominal.reshape(-1)
        p._split_starts = {q: sorted({s for s in several if s >= 0}) for q, several in split.items()}
        p.first_words = words = (nx + 63) // 64
        p.first_set = np.zeros((ncls, words), _I64)
        blocks: list[int] = []
        p.first_at = np.zeros(groups, _I64)
        #: lexer -> lexeme symbol -> classes of first bytes, for each class of the history
        p._first_masks = []
        for g in range(groups):
            lists: list[list[int]] = [[] for _ in range(ncls)]
            masks = [0] * nx
            for x in range(nx):
                q = int(start[g, x])
                if q < 0:
                    continue
                for k in np.flatnonzero(p.trans[q] >= 0).tolist():
                    lists[k].append(x << 32 | int(p.trans[q, k]))
                    masks[x] |= 1 << k
                    p.first_set[k, x >> 6] |= np.int64(np.uint64(1 << (x & 63)).view(_I64))
            if g % nh == 0:
                p._first_masks.append([()] * nx)
            p._first_masks[-1] = [before + (m,) for before, m in zip(p._first_masks[-1], masks)]
            p.first_at[g] = len(blocks)
            offsets = [ncls + 1]
            for items in lists:
                offsets.append(offsets[-1] + len(items))
            blocks += offsets + [i for items in lists for i in items]
        p.first_list = np.array(blocks, _I64)
        p.cut[:, [not p.first_set[k].any() for k in range(ncls)]] = -1
        p.cut = np.where(p.cut >= 0, p.cut | p.history[:, None], -1).astype(_I32)


def _byte_classes(tables: "Iterable[np.ndarray]") -> "tuple[np.ndarray, np.ndarray]":
    """(class of each byte, a byte of each class): bytes that no table (n x 256) tells apart."""
    random, sums = np.random.default_rng(7), np.zeros(256, _I64)
    for t in tables:
        if len(t):
            sums += ((t.astype(_I64) + 2) * random.integers(1, 2**61, len(t), dtype=_I64)[:, None]).sum(0)
    _, first, inverse = np.unique(sums, return_index=True, return_inverse=True)
    return inverse.reshape(-1).astype(np.uint8), first
