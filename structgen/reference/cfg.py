"""Is a text in the language of a :class:`CfgGrammar`?  The slowest honest way.

Nothing is shared with the engine: terminals are matched by Python's :mod:`re`
(or, for languages given as ``StrLang``, by naive simulation of every
substring), rules by an Earley recogniser over positions, Lark's tables by a
plain fixpoint.  Texts are short.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Callable, Optional, Sequence, Union

from ..errors import GrammarError
from ..grammar.cfg import CfgGrammar, Rule, Terminal, nullable
from ..grammar.ir import TextGrammar
from .strings import ConjMachine

__all__ = ["Special", "accepts", "lalr_tables", "shift_reduce"]


class Special(str):
    """A special token in a text: ``["a", Special("<eot>"), "b"]``; ids as ``Special(5)``."""

    __slots__ = ()


Text = Union[str, Sequence[str]]


class _Input:
    """A text as positions: each is a character or a special token."""

    def __init__(self, text: Text):
        parts = [text] if isinstance(text, str) else list(text)
        self.units: list[str] = []
        self.special: list[bool] = []
        for part in parts:
            if isinstance(part, Special):
                self.units.append(str(part))
                self.special.append(True)
            else:
                self.units.extend(part)
                self.special.extend([False] * len(part))
        self.n = len(self.units)
        # for each position: the stretch of plain text around it, and where that begins
        self.begin = [0] * (self.n + 1)
        for i in range(1, self.n + 1):
            self.begin[i] = i if self.special[i - 1] else self.begin[i - 1]
        self.end = [self.n] * (self.n + 1)
        for i in range(self.n - 1, -1, -1):
            self.end[i] = i if self.special[i] else self.end[i + 1]

    def stretch(self, i: int) -> tuple[str, int]:
        """The plain text around position `i`, and the offset of `i` in it."""
        return "".join(self.units[self.begin[i]:self.end[i]]), i - self.begin[i]


@lru_cache(maxsize=2048)
def _compiled(source: str, flags: int) -> "re.Pattern[str]":
    return re.compile(source, flags)


def _match(t: Terminal, text: str, at: int) -> Optional[int]:
    found = _compiled(t.match.source, t.match.flags).match(text, at)
    return found.end() if found else None


def _ends(t: Terminal, data: _Input, i: int, complete: bool) -> set[int]:
    """Where terminal `t` may end that begins at `i`, in the modes without a lexer."""
    if t.kind == "token":
        return {i + 1} if i < data.n and data.special[i] and data.units[i] == str(t.token) else set()
    text, at = data.stretch(i)
    if t.kind == "match":
        end = _match(t, text, at)
        if end is None:
            return set()
        out = {i + end - at}
        if complete:
            whole = text[at:end]
            for j in range(1, len(whole)):
                shorter = _match(t, whole[:-j], 0)
                if shorter is not None:
                    out.add(i + shorter)
        return out
    if t.kind == "embedded":
        test = _whole(t.embedded.grammar())
        return {j for j in range(i, data.n + 1) if test(_slice(data, i, j))}
    if t.kind == "lang":
        return {i + k for k in _prefixes(t.lang, text[at:])}
    return set()


def _slice(data: _Input, i: int, j: int) -> list[str]:
    return [Special(u) if s else u for u, s in zip(data.units[i:j], data.special[i:j])]


def _whole(grammar) -> Callable[[list[str]], bool]:
    """The test of whole texts for an embedded constraint."""
    if isinstance(grammar, CfgGrammar):
        return lambda parts: accepts(grammar, parts)
    if isinstance(grammar, TextGrammar):
        return lambda parts: not any(isinstance(p, Special) for p in parts) and \
            _in_language(grammar.lang, "".join(parts))
    from .configurations import Configurations

    machine = Configurations(grammar)

    def test(parts: list[str]) -> bool:
        configs = machine.start()
        for part in parts:
            if isinstance(part, Special):
                return False
            for b in part.encode():
                configs = machine.step(configs, b)
        return machine.accepts(configs)

    return test


@lru_cache(maxsize=1024)
def _machines(lang) -> list[ConjMachine]:
    return [ConjMachine(conj) for conj in lang]


@lru_cache(maxsize=20_000)
def _prefixes(lang, text: str) -> frozenset[int]:
    """The lengths of the prefixes of `text` that are in a language."""
    out = set()
    for machine in _machines(lang):
        state = machine.start
        if machine.accepts(state):
            out.add(0)
        for k, c in enumerate(text, 1):
            state = machine.feed(state, ord(c))
            if state is None:
                break
            if machine.accepts(state):
                out.add(k)
    return frozenset(out)


def _in_language(lang, text: str) -> bool:
    return len(text) in _prefixes(lang, text)


# -- Earley ---------------------------------------------------------------------------


def _earley(grammar: CfgGrammar, n: int, scan: Callable[[int, int], set[int]], at_end: Callable[[int], bool],
            null_terminals: set[int]) -> bool:
    """Does the start symbol span 0..n?  ``scan(t, i)`` gives the ends of terminal `t` begun at `i`."""
    base = len(grammar.nonterminals)
    by_lhs: dict[int, list[Rule]] = {}
    for rule in grammar.rules:
        by_lhs.setdefault(rule.lhs, []).append(rule)
    null = nullable(grammar, null_terminals)
    sets: list[dict] = [{} for _ in range(n + 1)]               # (rule, dot, origin)
    waiting: list[dict[int, list]] = [{} for _ in range(n + 1)]
    for i in range(n + 1):
        agenda = [(r, 0, 0) for r in by_lhs.get(grammar.start, ())] if i == 0 else list(sets[i])
        sets[i].update(dict.fromkeys(agenda))

        def add(item, j=i):
            if item not in sets[j]:
                sets[j][item] = None
                if j == i:
                    agenda.append(item)

        while agenda:
            rule, dot, origin = agenda.pop()
            if dot == len(rule.rhs):
                for r, d, o in list(waiting[origin].get(rule.lhs, ())):
                    add((r, d + 1, o))
                continue
            symbol = rule.rhs[dot]
            if symbol >= base:
                for j in scan(symbol, i):
                    add((rule, dot + 1, origin), j)
                continue
            waiting[i].setdefault(symbol, []).append((rule, dot, origin))
            for r in by_lhs.get(symbol, ()):
                add((r, 0, i))
            if symbol in null or any((r, len(r.rhs), i) in sets[i] for r in by_lhs.get(symbol, ())):
                add((rule, dot + 1, origin))
    return any(at_end(i) and (r, len(r.rhs), 0) in sets[i] for i in range(n + 1) for r in by_lhs.get(grammar.start, ()))


def _scannerless(grammar: CfgGrammar, data: _Input) -> bool:
    complete = grammar.lexing == "dynamic_complete"
    ends = lru_cache(maxsize=None)(lambda t, i: frozenset(_ends(grammar.terminal(t), data, i, complete)))

    @lru_cache(maxsize=None)
    def skipped(i: int) -> frozenset[int]:
        """The positions that ignored text leads to, `i` itself first."""
        out, todo = {i}, [i]
        while todo:
            at = todo.pop()
            for t in grammar.ignore:
                terminal = grammar.terminal(t)
                j = None
                if terminal.kind == "match":                    # ignored text is never cut short, even in "complete"
                    text, offset = data.stretch(at)
                    end = _match(terminal, text, offset)
                    j = None if end is None else at + end - offset
                if j is not None and j not in out:
                    out.add(j)
                    todo.append(j)
        return frozenset(out)

    null = {len(grammar.nonterminals) + k for k, t in enumerate(grammar.terminals)
            if t.kind == "lang" and _in_language(t.lang, "") or
            t.kind == "embedded" and _whole(t.embedded.grammar())([])}
    return _earley(grammar, data.n, lambda t, i: {j for k in skipped(i) for j in ends(t, k)},
                   lambda i: data.n in skipped(i), null)


# -- a lexer before the parser -----------------------------------------------------------


class _Lexer:
    """Lark's basic lexer over some terminals."""

    def __init__(self, grammar: CfgGrammar, allowed: Optional[set[int]]):
        self.grammar = grammar
        pairs = [(r, s, out) for r, s, out in grammar.keywords if allowed is None or (r in allowed and s in allowed)]
        out_of_it = {s for _, s, out in pairs if out}
        self.order = [t for t in grammar.order if (allowed is None or t in allowed) and t not in out_of_it]
        self.keywords: dict[int, list[int]] = {}
        for r, s, _ in pairs:
            self.keywords.setdefault(r, []).append(s)

    def next(self, data: _Input, i: int) -> Optional[tuple[int, int, int]]:
        """(what won, what it is, end) of the lexeme at `i`."""
        if data.special[i]:
            for k, t in enumerate(self.grammar.terminals):
                if t.kind == "token" and str(t.token) == data.units[i]:
                    symbol = len(self.grammar.nonterminals) + k
                    return symbol, symbol, i + 1
            return None
        text, at = data.stretch(i)
        for t in self.order:
            end = _match(self.grammar.terminal(t), text, at)
            if end is not None:
                words = [s for s in self.grammar.order if s in self.keywords.get(t, ())]
                kind = next((s for s in words if _compiled(self.grammar.terminal(s).match.source,
                                                           self.grammar.terminal(s).match.flags)
                             .fullmatch(text[at:end])), t)
                return t, kind, i + end - at
        return None


class _Indents:
    """Lark's Indenter, fed lexeme by lexeme; None means that the text is refused."""

    def __init__(self, grammar: CfgGrammar):
        self.ind = grammar.indenter
        self.levels, self.depth = [0], 0

    def feed(self, symbol: int, text: str) -> Optional[list[int]]:
        ind = self.ind
        if ind is None:
            return [symbol]
        out: list[int] = []
        if symbol == ind.newline:
            if self.depth == 0:
                out.append(symbol)
                last = text.rsplit("\n", 1)
                if len(last) == 1:
                    return None                                 # Lark fails on a newline without a line feed
                columns = last[1].count(" ") + last[1].count("\t") * ind.tab_len
                if columns > self.levels[-1]:
                    self.levels.append(columns)
                    out.append(ind.indent)
                else:
                    while columns < self.levels[-1]:
                        self.levels.pop()
                        out.append(ind.dedent)
                    if columns != self.levels[-1]:
                        return None
        else:
            out.append(symbol)
        if symbol in ind.open:
            self.depth += 1
        elif symbol in ind.close:
            self.depth -= 1
            if self.depth < 0:
                return None
        return out

    def finish(self) -> list[int]:
        return [] if self.ind is None else [self.ind.dedent] * (len(self.levels) - 1)


def _basic_cfg(grammar: CfgGrammar, data: _Input) -> bool:
    """Lark's ``parser="earley", lexer="basic"``."""
    lexer, indents, out, i = _Lexer(grammar, None), _Indents(grammar), [], 0
    while i < data.n:
        found = lexer.next(data, i)
        if found is None:
            return False
        won, kind, end = found
        if won not in grammar.ignore:
            made = indents.feed(kind, "".join(data.units[i:end]))
            if made is None:
                return False
            out += made
        i = end
    out += indents.finish()
    return _earley(grammar, len(out), lambda t, i: {i + 1} if i < len(out) and out[i] == t else set(),
                   lambda i: i == len(out), set())


END = -1


def lalr_tables(grammar: CfgGrammar) -> "list[dict[int, Union[int, Rule]]]":
    """The tables Lark builds: for each state (0 is the start) symbol -> next state, or the rule to reduce.

    The end of the text is symbol -1; reducing the rule with `lhs` -1 there accepts.

    Raises
    ------
    GrammarError
        For a reduce/reduce conflict that priorities don't settle.
    """
    return _build(grammar)[0]


def shift_reduce(grammar: CfgGrammar) -> "list[tuple[int, Rule]]":
    """The conflicts Lark settles by shifting, each once: the symbol shifted, the rule not reduced."""
    return list(dict.fromkeys(_build(grammar)[1]))


@lru_cache(maxsize=64)
def _build(grammar: CfgGrammar) -> tuple:
    base = len(grammar.nonterminals)
    root = Rule(END, (grammar.start,))
    by_lhs: dict[int, list[Rule]] = {END: [root]}
    for rule in grammar.rules:
        by_lhs.setdefault(rule.lhs, []).append(rule)
    null = nullable(grammar)

    def closure(kernel: frozenset) -> frozenset:
        out, todo = set(kernel), list(kernel)
        while todo:
            rule, dot = todo.pop()
            if dot < len(rule.rhs) and rule.rhs[dot] < base:
                for r in by_lhs.get(rule.rhs[dot], ()):
                    if (r, 0) not in out:
                        out.add((r, 0))
                        todo.append((r, 0))
        return frozenset(out)

    kernels = [frozenset({(root, 0)})]
    number = {kernels[0]: 0}
    items: list[frozenset] = []
    moves: list[dict[int, int]] = []
    for kernel in kernels:
        items.append(closure(kernel))
        go: dict[int, set] = {}
        for rule, dot in items[-1]:
            if dot < len(rule.rhs):
                go.setdefault(rule.rhs[dot], set()).add((rule, dot + 1))
        row = {}
        for symbol, reached in go.items():
            key = frozenset(reached)
            if key not in number:
                number[key] = len(kernels)
                kernels.append(key)
            row[symbol] = number[key]
        moves.append(row)
    # DeRemer and Pennello's relations, as Lark collects them
    steps = [(q, s) for q, row in enumerate(moves) for s in row if s < base]
    follow: dict[tuple[int, int], set[int]] = {}
    reads: dict[tuple[int, int], list] = {}
    for q, s in steps:
        after = moves[q][s]
        follow[q, s] = {x for x in moves[after] if x >= base} | ({END} if q == 0 and s == grammar.start else set())
        reads[q, s] = [(after, x) for x in moves[after] if x in null]
    _spread(follow, reads)
    includes: dict[tuple[int, int], list] = {step: [] for step in steps}
    back: dict[tuple[int, int], set] = {step: set() for step in steps}
    for q, s in steps:
        for rule, dot in items[q]:
            if rule.lhs != s:
                continue
            at = q
            for k in range(dot, len(rule.rhs)):
                x = rule.rhs[k]
                if x < base and all(y in null for y in rule.rhs[k + 1:]):
                    includes[at, x].append((q, s))
                at = moves[at][x]
            if dot == 0:
                back[q, s].add((at, rule))
    _spread(follow, includes)
    reduces: list[dict[int, set[Rule]]] = [{} for _ in moves]
    for step, ends in back.items():
        for q, rule in ends:
            for t in follow[step]:
                reduces[q].setdefault(t, set()).add(rule)
    tables: list[dict[int, Union[int, Rule]]] = []
    shifted: list[tuple[int, Rule]] = []
    for q, row in enumerate(moves):
        out: dict[int, Union[int, Rule]] = dict(row)
        for t, rules in reduces[q].items():
            ranked = sorted(rules, key=lambda r: -r.priority)
            if len(ranked) > 1 and ranked[0].priority == ranked[1].priority:
                shown = " and ".join(grammar.show(r) for r in ranked[:2])
                raise GrammarError(f"reduce/reduce conflict on {'the end' if t == END else grammar.symbol_name(t)} "
                                   f"between {shown}")
            if t in out:
                shifted.append((t, ranked[0]))
            else:
                out[t] = ranked[0]
        tables.append(out)
    accept = moves[0][grammar.start]
    tables[accept].setdefault(END, root)
    return tables, shifted


def _spread(sets: dict, edges: dict) -> None:
    """Let each set take in those it has edges to, until nothing changes."""
    changed = True
    while changed:
        changed = False
        for x, others in edges.items():
            for y in others:
                if not sets[y] <= sets[x]:
                    sets[x] |= sets[y]
                    changed = True


def _lalr(grammar: CfgGrammar, data: _Input) -> bool:
    tables = lalr_tables(grammar)
    stack, indents, i = [0], _Indents(grammar), 0
    lexers: dict[frozenset, _Lexer] = {}

    def feed(symbol: int) -> Optional[bool]:
        """True: accepted; False: refused; None: go on."""
        # more reductions than these go on for ever: Lark hangs
        for _ in range((len(stack) + len(tables) + 1) * (len(grammar.nonterminals) + 2)):
            action = tables[stack[-1]].get(symbol)
            if action is None:
                return False
            if isinstance(action, int):
                stack.append(action)
                return None
            if action.lhs == END:
                return True
            if action.rhs:
                del stack[-len(action.rhs):]
            stack.append(tables[stack[-1]][action.lhs])
            if symbol == END and stack[-1] == tables[0].get(grammar.start):
                return True                   # Lark stops here, whatever could still be reduced
        return False

    while i < data.n:
        if grammar.lexing == "contextual":
            allowed = {s for s in tables[stack[-1]] if s >= len(grammar.nonterminals)} | set(grammar.ignore)
            if grammar.indenter is not None:
                allowed.add(grammar.indenter.newline)
            lexer = lexers.setdefault(frozenset(allowed), _Lexer(grammar, allowed))
        else:
            lexer = lexers.setdefault(frozenset(), _Lexer(grammar, None))
        found = lexer.next(data, i)
        if found is None:
            return False
        won, kind, end = found
        if won not in grammar.ignore:
            made = indents.feed(kind, "".join(data.units[i:end]))
            if made is None or any(feed(s) is False for s in made):
                return False
        i = end
    return all(feed(s) is None for s in indents.finish()) and feed(END) is True


def accepts(grammar: CfgGrammar, text: Text) -> bool:
    """Is `text` in the language of `grammar`?

    Parameters
    ----------
    grammar : CfgGrammar
    text : str, or a sequence of texts and `Special` tokens

    Examples
    --------
    >>> from structgen.frontends.lark import read_lark
    >>> g = read_lark('start: "(" start ")" |')
    >>> accepts(g, "(())"), accepts(g, "(()")
    (True, False)
    """
    data = _Input(text)
    if grammar.tables == "lalr":
        return _lalr(grammar, data)
    if grammar.lexing == "basic":
        return _basic_cfg(grammar, data)
    return _scannerless(grammar, data)
