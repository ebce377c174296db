"""What tokens do to a context-free constraint: words of terminals, between places of the lexer.

A *place* says where a lexer stands between two tokens: the state of the lexeme
that is being read, and the shadows of earlier ends (see
:mod:`structgen.automata.cfg_program`).  Reading a token from a place begins
lexemes, whose terminals are a *word*, and stops in a place: an *arc*.  The stack
of the parser plays no part yet; only terminals that never follow each other are
left out.  Tokens with the same arcs are one *class*.

Terminals are shifted when their lexeme begins, as in the engine.  Where which
terminals compete depends on the parser's state, a *symbol* is a terminal
together with the lexers in which its lexeme goes this way.

For slots that may hold any token, the words of each place are one node of an
automaton (`root`), whose leaves carry labels: sets of classes.  Equal nodes are
shared between places.  To find some filling soon there are two shorter lists: words of one symbol at
most, and of these the ones that stop in a place that is usual for their symbol.

Costs: one read of the trie of tokens for each place; 43 places, 190 words and 340
classes for JSON over 128,000 tokens, 0.1 s.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np

from ..errors import GrammarError, LimitError, StructgenError
from . import cfg_token_kernels as tk
from .cfg_sets import StackSets
from .token_automaton import TokenAutomaton, _tokens

__all__ = ["CfgTokens", "tokens_of"]

#: most places, words, arcs and (place, token, arc) triples of one token
MAX_PLACES, MAX_WORDS, MAX_ARCS, MAX_THREADS = 1 << 15, 1 << 18, 1 << 23, 1 << 14
_MISSING = "the canvas cannot be made"

_made: "weakref.WeakKeyDictionary[Any, CfgTokens]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class _Interned:
    """Room for interned pairs."""

    def __init__(self, size: int):
        self.keys = np.zeros((size, 2), np.int64)
        self.table = np.full(4 * size, -1, np.int64)


class CfgTokens:
    """Tables of one program over one vocabulary; see the module's text.

    Attributes
    ----------
    classes, class_of, order, begin, end_class, pad_class
        Token classes, as in :class:`.token_automaton.TokenAutomaton`.
    places : ndarray of int64, shape (places, 2)
        Lexeme state and packed shadows; place 0 is the start.
    ends : ndarray of bool, shape (places,)
        May the text end here, as far as the lexer goes?
    arcs : ndarray of int64, shape (arcs, 3)
        Place, word, place after.
    """

    def __init__(self, program: Any, vocabulary: Any):
        if not vocabulary.eos_ids:
            raise StructgenError("a vocabulary without end tokens")
        if program.nh > 1:
            raise GrammarError("canvases do not cover terminals that look at what stands before them",
                               hint="say it in a rule instead")
        self.program, self.vocabulary = program, vocabulary
        self._packing, self._packed = threading.Lock(), {}
        self._sets: Any = None
        #: least slots known to hold a text, and most known not to
        self.fits = 1 << 60, 0
        self._symbols()
        self._follows()
        self._arcs()
        self._shared_words()
        self._lists()

    # ---------------------------------------------------------------- symbols
    def _symbols(self) -> None:
        """Symbols, and what may start with each class of bytes."""
        p = self.program
        lexers = len(p.first_at)
        starts = np.asarray(p.start).reshape(lexers, p.nx)
        number: dict[tuple[int, frozenset], int] = {}
        at, symbols, states = [0], [], []
        everywhere = frozenset(range(lexers))
        # a lexer whose states never ask for a terminal does not tell its symbols apart
        asked = np.zeros((lexers, p.nx), bool)
        asked[:, p.nt:] = True
        for i in range(lexers):
            asked[i, :p.nt] = (p.lr.actions[:-1, :p.nt][p.kappa[:p.lr.ns] == i] != 0).any(0)
        for k in range(p.ncls):
            for x in range(p.nx):
                groups: dict[int, list[int]] = {}
                without = [i for i in range(lexers) if starts[i, x] < 0 and not asked[i, x]]
                for i in range(lexers):
                    if starts[i, x] >= 0 and (t := int(p.trans[starts[i, x], k])) >= 0:
                        groups.setdefault(t, []).append(i)
                for t, found in groups.items():
                    key = (x, frozenset(found) | frozenset(without))
                    plain = x >= p.nt and key[1] == everywhere
                    symbols.append(-1 if plain else number.setdefault(key, len(number)))
                    states.append(t)
            at.append(len(symbols))
        specials = [x for x, t in enumerate(p.grammar.terminals) if t.kind == "token"]
        self.special_symbols = {x: number.setdefault((x, everywhere), len(number)) for x in specials}
        self.first_at, self.first_symbol = np.array(at, np.int64), np.array(symbols, np.int32)
        self.first_state = np.array(states, np.int32)
        self.symbols = list(number)
        self.terminal_of = np.array([x for x, _ in self.symbols] or [0], np.int32)
        #: symbol x lexer: may its lexeme begin there?
        self.in_lexer = np.array([[i in found for i in range(lexers)] for _, found in self.symbols] or
                                 [[True] * lexers], np.uint8)
        # what is reduced on a symbol must be kept apart by symbol where the lexers differ, or where shifting settled
        # a conflict, so that only the actions taken on that very terminal follow
        settled = self.program.grammar.tables == "lalr" and self.program.lr.conflicts > 0
        self.keyed = bool(settled or not self.in_lexer.all())

    def _follows(self) -> None:
        """Which symbols may stand behind each other, and which at all: row 0 is for whatever went before."""
        p = self.program
        n = len(self.symbols)
        have = p.lr.actions[:-1, :p.nt] != 0
        entered: dict[int, set[int]] = {}
        for s, x in zip(*np.nonzero(have)):
            entered.setdefault(int(x), set()).update(_shifts(p.lr, int(s), int(x)))
        self.follows = np.ones((n + 1, max(n, 1)), np.uint8)
        for a, (x, _) in enumerate(self.symbols):
            if x >= p.nt:
                continue
            states = sorted(entered.get(x, ()))
            if not states:
                self.follows[a + 1] = 0
                continue
            kappas = p.kappa[states]
            for b, (y, others) in enumerate(self.symbols):
                fits = np.isin(kappas, list(others))
                if y < p.nt:
                    fits &= have[states, y]
                self.follows[a + 1, b] = fits.any()

    # ---------------------------------------------------------------- arcs
    def _read(self, chosen: np.ndarray, sums: np.ndarray, room: int) -> np.ndarray:
        """Read the chosen tokens from every place."""
        p = self.program
        out = np.zeros((room, 2), np.int64)
        self._counts[3] = 0
        place = 0
        while place < self._counts[1]:
            q, shadows = self._places.keys[place]
            code = tk.walk(place, q, shadows, *self._pieces, chosen, p.classes, p.trans, p.end, p.cut, p.dtrans,
                           self.first_at, self.first_symbol, self.first_state, self.follows, self._words.keys,
                           self._words.table, self._places.keys, self._places.table, self._arcs_made.keys,
                           self._arcs_made.table, self._counts, sums, self._threads, self._levels, out)
            if code == tk.TOO_MANY_SHADOWS:
                raise LimitError(f"{_MISSING}: more than three lexemes of this grammar can turn out longer at once",
                                 place="lexing of a canvas", limit=3)
            if code == tk.TOO_MANY_THREADS:
                raise LimitError(f"{_MISSING}: one token can be read in more than {MAX_THREADS} ways",
                                 place="lexing of a canvas", limit=MAX_THREADS)
            if code == tk.FULL:
                return out[:0] if room else self._too_large()
            place += 1
        return out[:self._counts[3]]

    def _too_large(self) -> Any:
        names = ("words", "places of the lexer", "arcs")
        limits = (MAX_WORDS, MAX_PLACES, MAX_ARCS)
        full = max(range(3), key=lambda i: self._counts[i] / limits[i])
        raise LimitError(f"{_MISSING}: tokens make more than {limits[full]:,} {names[full]}",
                         place=f"{names[full]} of a canvas", limit=limits[full],
                         hint='fewer keywords and comments, or lexer="basic", make fewer')

    def _arcs(self) -> None:
        """Every arc, and the classes of tokens."""
        vocabulary = self.vocabulary
        data, offsets, shared, ids = _tokens(vocabulary)
        self._pieces = data, offsets, shared.astype(np.int64)
        longest = int(np.diff(offsets).max(initial=0))
        self._words, self._places = _Interned(MAX_WORDS), _Interned(MAX_PLACES)
        self._arcs_made = _Interned(MAX_ARCS >> 3)
        self._words.keys[0] = -1
        self._threads = np.zeros((MAX_THREADS, 3), np.int64)
        self._levels = np.zeros(longest + 2, np.int64)
        while True:
            self._counts = np.array([1, 0, 0, 0], np.int64)
            self._words.table[:] = -1
            self._places.table[:] = -1
            tk.intern(self._places.table, self._places.keys, self._counts[1:2], 0, 0)
            sums = np.zeros((len(ids), 2), np.uint64)
            try:
                self._read(np.ones(len(ids), np.uint8), sums, 0)
                break
            except LimitError:
                if self._counts[2] < len(self._arcs_made.keys) or len(self._arcs_made.keys) >= MAX_ARCS:
                    raise
                self._arcs_made = _Interned(2 * len(self._arcs_made.keys))
        live = sums.any(1)
        where = np.flatnonzero(live)
        _, representative, inverse = np.unique(sums[where], axis=0, return_index=True, return_inverse=True)
        inverse = inverse.reshape(-1)
        kinds = len(representative)
        chosen = np.zeros(len(ids), np.uint8)
        chosen[where[representative]] = 1
        group = np.full(len(ids), -1, np.int64)
        group[where] = inverse
        room = 1 << 14
        while True:
            pairs = self._read(chosen, np.zeros((0, 2), np.uint64), room)
            if len(pairs) or not kinds:
                break
            room *= 4
        self.class_of = np.full(vocabulary.size, -1, np.int32)
        self.class_of[ids[where]] = inverse
        n = int(self._counts[1])
        self.places = self._places.keys[:n].copy()
        self.words = self._words.keys[:self._counts[0]].copy()
        made = self._arcs_made.keys[:self._counts[2]]
        arcs = np.stack([made[:, 0] >> 32, made[:, 0] & 0xFFFFFFFF, made[:, 1]], 1)
        klass, arc = group[pairs[:, 0]], pairs[:, 1]
        self.ends = np.array([self._may_end(q, d) for q, d in self.places.tolist()], bool)
        arcs, klass, arc, kinds = self._specials(arcs, klass, arc, kinds)
        order = np.lexsort((arcs[:, 2], arcs[:, 1], arcs[:, 0]))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        self.arcs = np.ascontiguousarray(arcs[order])
        self.class_arc = np.stack([klass, rank[arc] if len(arc) else arc], 1)
        self._number(kinds)
        del self._words, self._places, self._arcs_made, self._threads, self._levels, self._pieces

    def _may_end(self, q: int, shadows: int) -> bool:
        """May the text end in a lexeme state, shadows running along?"""
        p = self.program
        if q and p.end[q] != 1:
            return False
        if q:
            shadows = shadows << 21 | int(p.shadow[q])
        while shadows:
            if not p.dend[shadows & 0x1FFFFF]:
                return False
            shadows >>= 21
        return True

    def _specials(self, arcs, klass, arc, kinds):
        """Special tokens that are terminals: each a class of its own."""
        from ..automata.cfg_arena import special_id

        words = self.words.tolist()
        for x, symbol in self.special_symbols.items():
            token = special_id(self.vocabulary, self.program.grammar.terminals[x])
            if self.class_of[token] >= 0 or token in self.vocabulary.eos_ids:
                raise GrammarError(f"the terminal {self.program.grammar.terminals[x].name} is a token that stands for "
                                   "something else in a canvas")
            self.class_of[token] = kinds
            word = len(words)
            words.append([0, symbol])
            new = np.array([(p, word, 0) for p in np.flatnonzero(self.ends)], np.int64).reshape(-1, 3)
            klass = np.concatenate([klass, np.full(len(new), kinds)])
            arc = np.concatenate([arc, len(arcs) + np.arange(len(new))])
            arcs = np.concatenate([arcs, new])
            kinds += 1
        self.words = np.array(words, np.int64).reshape(-1, 2)
        return arcs, klass, arc, kinds

    def _number(self, kinds: int) -> None:
        self.end_class, self.pad_class, self.classes = kinds, kinds + 1, kinds + 2
        self.class_of[list(self.vocabulary.eos_ids)] = kinds
        self.order = np.argsort(self.class_of, kind="stable").astype(np.int32)
        known = self.class_of[self.order]
        self.order = self.order[known >= 0]
        self.begin = np.searchsorted(known[known >= 0], np.arange(self.classes + 1)).astype(np.int64)

    # ---------------------------------------------------------------- words
    def _shared_words(self) -> None:
        """The automaton of words for slots that may hold any token."""
        arcs, n = self.arcs, len(self.places)
        klass, arc = self.class_arc[:, 0], self.class_arc[:, 1]
        order = np.lexsort((klass, arc))
        klass, arc = klass[order], arc[order]
        rng = np.random.default_rng(20_250_807)
        weights = rng.integers(1, 1 << 63, max(self.classes, 1), np.uint64)
        sums = np.zeros((len(arcs), 2), np.uint64)
        with np.errstate(over="ignore"):
            np.add.at(sums[:, 0], arc, weights[klass])
            np.add.at(sums[:, 1], arc, weights[klass] * weights[klass] | np.uint64(1))
        first = np.searchsorted(arc, np.arange(len(arcs) + 1))
        _, representative, labels = np.unique(sums, axis=0, return_index=True, return_inverse=True)
        labels = labels.reshape(-1)
        #: label -> classes
        sizes = (first[1:] - first[:-1])[representative]
        self.label_at = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.label_class = np.concatenate([klass[first[r]:first[r + 1]] for r in representative] or
                                          [np.zeros(0, np.int64)]).astype(np.int32)
        self.arc_label = labels.astype(np.int32)
        lengths = np.zeros(len(self.words), np.int64)
        for w in range(1, len(self.words)):
            lengths[w] = lengths[self.words[w, 0]] + 1
        self.lengths = lengths
        short = np.flatnonzero(lengths[arcs[:, 1]] <= 1)
        few = short[np.isin(arcs[short, 2], self._usual(short))]
        lists = [(np.searchsorted(arcs[some, 0], np.arange(n + 1)), np.ascontiguousarray(arcs[some, 1]),
                  np.ascontiguousarray(arcs[some, 2]), self.arc_label[some]) for some in (slice(None), short, few)]
        size, most = 1 << 14, len(arcs) + len(short) + len(few) + 1
        while True:
            made = np.zeros((size, 2), np.uint64)
            table = np.full(4 * size, -1, np.int64)
            child_at, leaf_at = np.zeros((size, 2), np.int64), np.zeros((size, 2), np.int64)
            child_symbol, child_node = np.zeros(size, np.int32), np.zeros(size, np.int32)
            leaf_place, leaf_label = np.zeros(most, np.int32), np.zeros(most, np.int32)
            hashes = np.zeros((len(self.words), 4), np.uint64)
            stamp, todo = np.zeros(len(self.words), np.int64), np.zeros(len(self.words) + 1, np.int64)
            counts = np.zeros(3, np.int64)
            roots = np.zeros((len(lists), n), np.int64)
            for which, place in [(i, place) for i in range(len(lists)) for place in range(n)]:
                bounds, words, places, labels = lists[which]
                roots[which, place] = tk.residuals(
                    bounds[place], bounds[place + 1], words, places, labels, int(self.ends[place]), self.words, hashes,
                    stamp, todo, made, table, child_at, child_symbol, child_node, leaf_at, leaf_place, leaf_label,
                    counts)
                if roots[which, place] == tk.FULL:
                    break
                stamp[:] = 0
            else:
                break
            size *= 2
        self.root = roots.astype(np.int32)
        self.nodes = int(counts[0])
        self.child_at, self.leaf_at = child_at[:self.nodes].copy(), leaf_at[:self.nodes].copy()
        self.child_symbol, self.child_node = child_symbol[:counts[1]].copy(), child_node[:counts[1]].copy()
        self.leaf_place, self.leaf_label = leaf_place[:counts[2]].copy(), leaf_label[:counts[2]].copy()
        self.node_ends = np.zeros(self.nodes, np.uint8)
        self.node_ends[self.root[:, self.ends]] = 1
        self._order_nodes()

    def _usual(self, arcs: np.ndarray) -> np.ndarray:
        """For each symbol a place in which the words of the given arcs stop behind it: the one with most ways on."""
        place, symbol = self.arcs[arcs, 2], self.words[self.arcs[arcs, 1], 1]
        ways = np.bincount(self.arcs[:, 0], minlength=len(self.places)) + len(self.arcs) * self.ends
        order = np.lexsort((-ways[place], symbol))
        _, first = np.unique(symbol[order], return_index=True)
        return np.unique(place[order[first]])

    def _order_nodes(self) -> None:
        """The nodes of each list of words, those before which a word stands later."""
        parent = np.repeat(np.arange(self.nodes), self.child_at[:, 1])
        height, changed = np.zeros(self.nodes, np.int64), len(parent) > 0
        # children stand together by parent
        child = np.concatenate([self.child_node[a:a + n] for a, n in self.child_at.tolist()] or [self.child_node])
        while changed:
            before = height.copy()
            np.maximum.at(height, parent, height[child] + 1)
            changed = not np.array_equal(before, height)
        found = []
        for roots in self.root:
            seen = np.zeros(self.nodes, bool)
            new = np.unique(roots)
            while len(new):
                seen[new] = True
                below = np.isin(parent, new)
                new = np.setdiff1d(child[below], np.flatnonzero(seen))
            nodes = np.flatnonzero(seen)
            found.append(nodes[np.argsort(-height[nodes], kind="stable")])
        self.node_order = np.concatenate(found)
        self.node_at = np.cumsum([0, *map(len, found)])

    def _lists(self) -> None:
        """Arcs by (class, place), words as sequences, and which places lead to which."""
        n = len(self.places)
        arcs = self.arcs
        key = self.class_arc[:, 0] * n + arcs[self.class_arc[:, 1], 0]
        order = np.argsort(key, kind="stable")
        #: class -> places it can be read from and the arcs
        self.fixed_place, self.fixed_arc = key[order] % n, self.class_arc[order, 1].astype(np.int64)
        self.class_first = np.searchsorted(key[order] // n, np.arange(self.classes + 1))
        lengths = self.lengths
        self.longest = int(lengths.max(initial=0)) + 1
        self.word_at = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.word_symbols = np.zeros(int(lengths.sum()), np.int32)
        for w in range(1, len(self.words)):
            before, symbol = self.words[w]
            at, size = self.word_at[w], lengths[w]
            head = self.word_at[before]
            self.word_symbols[at:at + size - 1] = self.word_symbols[head:head + size - 1]
            self.word_symbols[at + size - 1] = symbol
        pairs = np.unique(arcs[:, 0] * n + arcs[:, 2])
        self.pair_target = (pairs % n).astype(np.int32)
        self.pair_first = np.searchsorted(pairs // n, np.arange(n + 1)).astype(np.int64)

    packed = TokenAutomaton.packed

    @property
    def sets(self) -> StackSets:
        """Where the stacks of this constraint's canvases are kept."""
        with self._packing:
            if self._sets is None:
                self._sets = StackSets(self)
            return self._sets

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return sum(x.nbytes for x in vars(self).values() if isinstance(x, np.ndarray))


def _shifts(lr: Any, state: int, terminal: int) -> list[int]:
    """The states that `state` shifts `terminal` into, without reducing first."""
    action = int(lr.actions[state, terminal])
    actions = [action]
    if action < 0:
        at = -1 - action
        actions = lr.lists[at + 1:at + 1 + lr.lists[at]].tolist()
    return [a >> 1 for a in actions if a & 1]


def tokens_of(compiled: Any) -> CfgTokens:
    """The token tables of a compiled grammar or recursive schema; kept as long as that lives.

    Raises
    ------
    LimitError
        Too many places, words or arcs.
    GrammarError, UnsupportedSchema
        What canvases do not cover, by name.
    """
    with _lock:
        found = _made.get(compiled)
    if found is None:
        from .cfg_source import program_of

        found = CfgTokens(program_of(compiled), compiled.vocabulary)
        with _lock:
            _made[compiled] = found
    return found
