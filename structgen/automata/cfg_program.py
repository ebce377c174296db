"""A context-free grammar made ready for the machine: flat tables, no vocabulary.

A :class:`Program` is immutable and shared by all arenas of a grammar.  It holds
the automata of the terminals side by side (state 0 is "between lexemes"), byte
classes, the LR tables, and what may start a lexeme by its first byte.

Lexeme symbols ``x`` are the terminals 0..nt-1 and then one for each ignored
terminal, which may come in every context and changes no stack.

``safe`` says that every thread without shadows can be completed: whatever
terminal a follows, from every state of a some end is reached behind which some
first byte of the next terminal (or of an ignored one between them) can only
mean that a has ended.  Then liveness never needs a search.  It holds for all
usual grammars; ``AS "a"`` with ``AS: /a+/`` lacks it.

Costs: 5 ms for a grammar of 60 terminals and 400 LR states.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

import numpy as np

from ..errors import GrammarError, LimitError
from ..grammar.cfg import CfgGrammar, normalise
from .cfg_layout import GROUPS
from .cfg_plans import planned_after
from .looking import History, Watcher, looks_around, watch, watch_plain
from .lr import Tables, general_tables, kernels_of
from .races import Races
from .terminals import Automaton, automaton_of

__all__ = ["Program"]

_I32, _I64 = np.int32, np.int64
#: Most states of all terminals together, times byte classes.
MAX_CELLS = 1 << 27
#: Most rules or terminals, and symbols of one alternative, that the kernels have room for.
MAX_SYMBOLS, MAX_RULE = 16_000, 2_000
#: Most classes of preceding text that look-behind may tell apart.
MAX_HISTORY = 31


class Program:
    """Tables of one grammar; see the module's text.

    `blocks` is what line ends do, in languages with indentation.

    Raises
    ------
    GrammarError
        When no text is in the language, or a feature is not supported.
    LimitError
        When an automaton would be too large.
    """

    blocks: Any = None

    #: states of the automaton that starts at a state, where that is known
    _sizes: dict[int, int] = {}

    def __init__(self, grammar: CfgGrammar, inner: "Optional[dict[int, Any]]" = None):
        self.source = grammar
        inner = inner or {}
        if grammar.lexing not in ("scannerless", "dynamic", "dynamic_complete"):
            raise GrammarError(f"lexing={grammar.lexing!r} has no engine yet", hint='use lexer="dynamic"')
        if grammar.indenter is not None:
            raise GrammarError("indentation is not supported with this lexer")
        n = len(grammar.nonterminals)
        automata: list[Optional[Automaton]] = []
        empty, null = [], set()
        for t, terminal in enumerate(grammar.terminals):
            if terminal.kind == "embedded" and id(terminal.embedded) in inner:
                automata.append(None)
                if inner[id(terminal.embedded)].nullable:
                    null.add(n + t)
                continue
            if terminal.kind in ("embedded", "declared"):
                raise GrammarError(f"the terminal {terminal.name} ({terminal.kind}) is not supported here",
                                   **_at(grammar, n + t))
            if terminal.kind == "token":
                automata.append(None)
                continue
            a = terminal_automaton(grammar, t)
            automata.append(a)
            if a.n == 0:
                empty.append(n + t)
            elif grammar.lexing == "scannerless" and a.end[0]:
                null.add(n + t)
        #: terminal -> what the constraint that it stands for can begin with, and a shortest text of it
        self.inside = {}
        made = {id(t): (a, n + i in null) for i, (t, a) in enumerate(zip(grammar.terminals, automata))}
        self.empty = empty
        self.grammar = grammar = normalise(grammar, empty)
        self.automata = automata = [made[id(t)][0] for t in grammar.terminals]
        n = len(grammar.nonterminals)
        self.nt = nt = len(grammar.terminals)
        self.lr: Tables = general_tables(grammar, {n + i for i, t in enumerate(grammar.terminals) if made[id(t)][1]})
        longest = int(self.lr.size.max(initial=0))
        if max(nt, self.lr.nn) > MAX_SYMBOLS or longest > MAX_RULE:
            raise LimitError(f"the grammar has {self.lr.nn} rules and {nt} terminals, and {longest} symbols in one "
                             "alternative", place="grammar", limit=MAX_SYMBOLS)
        self.ignored = [s - n for s in grammar.ignore]
        self.nx = nt + len(self.ignored)
        munch = grammar.lexing == "dynamic"
        lexemes: list[tuple[Optional[Automaton], bool]] = [(a, munch) for a in automata]
        lexemes += [(automata[t], grammar.lexing != "scannerless") for t in self.ignored]
        #: LR state -> lexer, lexer -> where its first bytes stand in `first_list`; there is one lexer here
        self.kappa, self.first_at = np.zeros(self.lr.ns + 1, _I32), np.zeros(1, _I64)
        self._shapes: dict[int, Any] = {}
        self._fit: dict[tuple, bool] = {}
        if any(isinstance(a, Watcher) for a in automata):
            self._layout_looking(lexemes)
        else:
            self._layout(lexemes)
            self._firsts()
            self._plain()
        self._embed(inner)
        self.look = self._looks()
        self.loop = self._loops()
        self.safe = self._is_safe()

    def _embed(self, inner: "dict[int, Any]") -> None:
        """Note what embedded constraints begin with."""
        for a, terminal in enumerate(self.grammar.terminals):
            if terminal.kind != "embedded":
                continue
            if self.nh > 1:
                raise GrammarError("look-behind at the start of a terminal cannot be used beside embedded constraints",
                                   **_at(self.grammar, len(self.grammar.nonterminals) + a))
            part = self.inside[a] = inner[id(terminal.embedded)]
            self.first_classes[a] = sum({1 << int(self.classes[b]) for b in part.first})
            if self.first_classes and isinstance(self.first_classes[a - 1], tuple):
                self.first_classes[a] = (self.first_classes[a],)

    # ------------------------------------------------------------- automata
    def _layout(self, lexemes: list[tuple[Optional[Automaton], bool]]) -> None:
        """Number the states of all automata, find byte classes, fill the tables."""
        base, at = [], 1
        place: dict[tuple[int, bool], int] = {}
        parts: list[tuple[Automaton, bool]] = []
        for a, munch in lexemes:
            if a is None or a.n == 0:
                base.append(-1)
                continue
            key = (id(a), munch)
            if key not in place:
                place[key] = at
                parts.append((a, munch))
                at += a.n
            base.append(place[key])
        self.nq = at
        self._sizes = {place[id(a), munch]: a.n for a, munch in parts}
        if parts:
            weights = np.random.default_rng(7).integers(1, 2**61, at, dtype=_I64)
            sums = np.zeros(256, _I64)
            offset = 1
            for a, _ in parts:
                sums += ((a.trans.astype(_I64) + 2) * weights[offset:offset + a.n, None]).sum(0)
                offset += a.n
            _, first, inverse = np.unique(sums, return_index=True, return_inverse=True)
            self.classes = inverse.reshape(-1).astype(np.uint8)
            reps = first
        else:
            self.classes, reps = np.zeros(256, np.uint8), np.zeros(1, _I64)
        self.ncls = ncls = len(reps)
        self.reps = reps
        if at * ncls > MAX_CELLS:
            raise LimitError(f"the terminals need {at} states x {ncls} classes of bytes", place="terminals",
                             limit=MAX_CELLS)
        self.trans = np.full((at, ncls), -1, _I32)
        self.dtrans = np.zeros((at, ncls), _I32)
        self.end = np.zeros(at, np.uint8)
        self.shadow = np.zeros(at, _I32)
        self.final = np.zeros(at, np.uint8)
        if parts:
            sizes = [a.n for a, _ in parts]
            offset = np.repeat(np.array([place[id(a), munch] for a, munch in parts], _I32), sizes)[:, None]
            t = np.concatenate([a.trans for a, _ in parts])[:, reps]
            self.trans[1:] = t = np.where(t >= 0, t + offset, -1)
            self.end[1:] = np.concatenate([a.end for a, _ in parts])
            dies = (t < 0).all(1)
            self.final[1:] = dies
            munches = np.repeat(np.array([munch for _, munch in parts]), sizes)
            after = np.where(t < 0, 0, np.where((self.end[t] != 0) & (t >= 0), -1, t))
            self.dtrans[1:] = np.where(munches[:, None], after, 0)
            self.shadow[1:] = np.where(munches & (self.end[1:] != 0) & ~dies, np.arange(1, at), 0)
        self.start = np.array(base, _I32)
        #: what becomes of the shadow left by an end in a state, over each class of bytes
        self.cut = np.where(self.shadow[:, None] > 0, self.dtrans[self.shadow], 0).astype(_I32)

    def _layout_looking(self, lexemes: "list[tuple[Any, bool]]") -> None:
        """The same where terminals look around."""
        watchers: list[Optional[Watcher]] = [
            None if a is None else a if isinstance(a, Watcher) else watch_plain(a, munch) for a, munch in lexemes]
        history = history_of(watchers)
        races = Races(watchers, range(self.nx), {}, {}, {}, history)
        firsts = [[-1 if w is None else races.start([x], (), h) for x, w in enumerate(watchers)]
                  for h in range(1 if history is None else history.n)]
        races.tables(self, firsts, list(range(self.nx)))
        self.first_classes = self._first_masks[0]
        self.always = _bitset(range(self.nt, self.nx), self.first_words)

    def _firsts(self) -> None:
        """What may start a lexeme, by the class of its first byte."""
        nx, ncls = self.nx, self.ncls
        self.first_words = words = (nx + 63) // 64
        self.first_set = np.zeros((ncls, words), _I64)
        lists: list[list[int]] = [[] for _ in range(ncls)]
        self.first_classes: list[int] = []
        for x in range(nx):
            q = int(self.start[x])
            mask = 0
            if q >= 0:
                for k in np.flatnonzero(self.trans[q] >= 0).tolist():
                    lists[k].append(x << 32 | int(self.trans[q, k]))
                    mask |= 1 << k
                    self.first_set[k, x >> 6] |= np.int64(np.uint64(1 << (x & 63)).view(_I64))
            self.first_classes.append(mask)
        offsets = [ncls + 1]
        for items in lists:
            offsets.append(offsets[-1] + len(items))
        self.first_list = np.array(offsets + [i for items in lists for i in items], _I64)
        self.always = _bitset(range(self.nt, nx), words)
        # a cut before a byte that starts nothing is none
        self.cut[:, [not items for items in lists]] = -1

    def _plain(self) -> None:
        """Nothing is asked of what stands before a lexeme, nor of the end of the text."""
        self.nh = 1
        self.dend = np.ones(len(self.dtrans), np.uint8)
        self.history = np.zeros(self.nq, _I32)

    def _looks(self) -> np.ndarray:
        """LR state -> the terminals with an action, as words of bits."""
        words = self.first_words
        have = np.zeros((self.lr.ns + 1, words * 64), bool)
        have[:-1, :self.nt] = self.lr.actions[:-1, :self.nt] != 0
        return np.ascontiguousarray(np.packbits(have, axis=1, bitorder="little").view(_I64))

    def _loops(self) -> np.ndarray:
        """Lexeme state -> the groups of bytes (see `cfg_layout`) that lead back to it and cut nothing off."""
        same = (self.trans == np.arange(self.nq)[:, None]) & ((self.end[:, None] == 0) | (self.cut < 0))
        out = np.zeros(self.nq, _I64)
        for i, group in enumerate(GROUPS):
            out |= same[:, self.classes[list(group)]].all(1).astype(_I64) << i
        return out

    # ------------------------------------------------------------- liveness
    def _is_safe(self) -> bool:
        """Can every thread without shadows be completed?"""
        if self._told_apart_after(self.lr.after + [(1 << self.nt + 1) - 1]):
            return True
        # some terminals swallow others: does a way to go on that avoids those suffice?
        after = planned_after(self.lr, kernels_of(self.lr))
        return after is not None and self._told_apart_after(after)

    def _told_apart_after(self, after: list[int]) -> bool:
        """Is an end seen by the first byte of each terminal `after` it?  (The last entry is for ignored ones.)"""
        nt, nx = self.nt, self.nx
        after = after[:nt] + after[nt:] * (nx - nt)
        ignored = list(range(nt, nx))
        known: dict[tuple[int, int], bool] = {}
        used = {s - self.lr.nn for _, rhs in self.lr.rules for s in rhs}

        def fits(a: int, b: Optional[int]) -> bool:
            key = (a, 0 if b is None else self.first_classes[b])
            found = known.get(key)
            if found is None:
                found = known[key] = all(self._fits(q, key[1]) for q in self.starts_of(a))
            return found

        if not self._ends_are_safe(lambda a: after[a] >> nt & 1 != 0):
            return False
        for a in range(nx):
            if self.start[a] < 0 or fits(a, None):
                continue
            for b in _bits(after[a] & (1 << nt) - 1):
                if b not in used or self.start[b] < 0 and b not in self.inside or fits(a, b):
                    continue
                if not any(fits(a, i) and fits(i, b) for i in ignored):
                    return False
        return True

    def starts_of(self, x: int) -> list[int]:
        """The states in which lexeme symbol `x` starts, one for each lexer."""
        starts = [q for q in self.start[x::self.nx].tolist() if q >= 0]
        if self.nh == 1:
            return starts
        return sorted({s for q in starts for s in self._split_starts[q]})

    def unlike_starts(self, x: int) -> list[int]:
        """`starts_of`, but one of those from which the same happens: lexers differ in few terminals."""
        return list({self.trans[q].tobytes(): q for q in self.starts_of(x)}.values())

    def _ends_are_safe(self, last: "Callable[[int], bool]") -> bool:
        """Is nothing asked of the end of the text, and of the beginning, that could fail?"""
        if self.nh > 1:
            # behind the beginning (and special tokens) comes what the look-behind of each terminal allows there
            if any(t.kind == "token" for t in self.grammar.terminals):
                return False
            for masks in self._first_masks:
                if any(any(m) and not m[0] for m in masks[:self.nt]):
                    return False
        if self.dend.all():
            return True
        stops = set(np.flatnonzero((self.end == 1) & (self.dend[self.shadow] != 0)).tolist())
        for a in range(self.nx):
            if a >= self.nt or last(a):
                for q in self.unlike_starts(a):
                    if not self._reach(q, stops):
                        return False
        return True

    def _reach(self, q: int, good: set[int]) -> bool:
        """Does every state of the automaton at `q` lead to a good one?"""
        states, into, _ = self._shape(q)
        done = good.intersection(states)
        todo = list(done)
        while todo:
            for s in into.get(todo.pop(), ()):
                if s not in done:
                    done.add(s)
                    todo.append(s)
        return len(done) == len(states)

    def states_of(self, q: int) -> list[int]:
        """The lexeme states of the terminal that starts at `q`, but for the start itself where nothing leads back."""
        states, into, _ = self._shape(q)
        return [s for s in states if s != q or q in into]

    def spells_one(self, q: int) -> bool:
        """Is there one way through the automaton at `q`, but for the case of letters?"""
        inner = self.trans[[s for s in self._shape(q)[0] if not self.final[s]]]
        return bool((((inner >= 0).sum(1) <= 2) & (np.where(inner >= 0, inner, 1 << 30).min(1) == inner.max(1))).all())

    def _fits(self, q: int, classes: "int | tuple[int, ...]") -> bool:
        """From every state of the automaton at `q`, can it end so that a first byte in `classes` settles it?

        `classes` is one set of them, or one for each class of the text before.
        """
        known = self._fit.get((q, classes))
        if known is None:
            known = self._fit[q, classes] = self._fits_new(q, classes)
        return known

    def _fits_new(self, q: int, classes: "int | tuple[int, ...]") -> bool:
        size = self._sizes.get(q, 0)
        if size and self.nh == 1 and not self.shadow[q:q + size].any():
            return True                       # an end is an end, and every state leads to one
        states, _, open_ = self._shape(q)
        masks = classes if isinstance(classes, tuple) else (classes,) * self.nh
        good = {s for s in states if self.end[s] == 1 and not self.shadow[s]
                and (self.nh == 1 or masks[self.history[s] >> 26])}
        for s, settled in open_:
            if settled & masks[self.history[s] >> 26]:
                good.add(s)
        return self._reach(q, good)

    def _shape(self, q: int) -> tuple[list[int], dict[int, list[int]], list[tuple[int, int]]]:
        """The states from `q` on, which lead to each, and ends with a shadow with the classes that settle them."""
        found = self._shapes.get(q)
        if found is None:
            states, into, seen = [q], {}, {q}
            for s in states:
                for t in set(self.trans[s].tolist()):
                    if t >= 0:
                        into.setdefault(t, []).append(s)
                        if t not in seen:
                            seen.add(t)
                            states.append(t)
            open_ = [(s, sum(1 << k for k in np.flatnonzero(self.dtrans[self.shadow[s]] == 0).tolist()))
                     for s in states if self.end[s] == 1 and self.shadow[s]]
            found = self._shapes[q] = states, into, open_
        return found


def _bits(x: int) -> list[int]:
    out = []
    while x:
        low = x & -x
        out.append(low.bit_length() - 1)
        x ^= low
    return out


def _bitset(items: Any, words: int) -> np.ndarray:
    out = np.zeros(words, np.uint64)
    for i in items:
        out[i >> 6] |= np.uint64(1 << (i & 63))
    return out.view(_I64)


def _at(grammar: CfgGrammar, symbol: int) -> dict[str, Any]:
    place = grammar.place(symbol)
    return {"line": place.line, "column": place.column}


def terminal_automaton(grammar: CfgGrammar, t: int) -> "Automaton | Watcher":
    """The automaton of terminal number `t`; errors say where it is defined."""
    terminal, at = grammar.terminals[t], _at(grammar, len(grammar.nonterminals) + t)
    try:
        if terminal.match is None or not looks_around(terminal.match):
            return automaton_of(terminal)
        found = watch(terminal.match, terminal.name)
    except GrammarError as err:
        raise GrammarError(err.message, hint=err.hint, **at) from None
    if isinstance(found, Watcher) and grammar.lexing == "dynamic_complete" and \
            any(len(grammar.nonterminals) + t in rule.rhs for rule in grammar.rules):
        raise GrammarError(f"the terminal {terminal.name} looks at the text around it, which "
                           "lexer=\"dynamic_complete\" does not support", hint='lexer="dynamic" does', **at)
    return found


def history_of(watchers: "list[Optional[Watcher]]") -> Optional[History]:
    """What lexemes must know of the text before them; None for nothing."""
    crossing = list({id(w): w for w in watchers if w is not None and w.tables}.values())
    if not crossing:
        return None
    history = History(crossing)
    if history.n > MAX_HISTORY:
        raise LimitError(f"the look-behinds of the grammar tell {history.n} kinds of preceding text apart",
                         place="look-behind", limit=MAX_HISTORY, hint="look-behinds at the start of terminals")
    return history
