"""Context-free grammars: what front ends hand to the engine.

A :class:`CfgGrammar` is plain data: integer symbols, rules over them, and how
text is cut into terminals.  Nonterminal ``i`` is symbol ``i``, terminal ``t``
is symbol ``len(nonterminals) + t``.  EBNF operators, templates and imports are
gone by then.

What a terminal is
------------------
Exactly one of these is set in a :class:`Terminal`:

``lang``
    (scannerless grammars) a regular language of whole texts.  The terminal
    stands for each of its members; it may contain the empty text.
``match``
    (Lark grammars) a Python regular expression with the meaning of
    ``re.match(text, pos)``: *one* end for a place in a text, or none.  Which
    end is decided by backtracking order (left alternatives first, greedy or
    lazy repeats), not by length; look-ahead reads the text behind the
    terminal, look-behind the text before it.  `tree` parses it to the syntax
    tree (``Repeat.lazy`` keeps greediness).
``token``
    a special token, by id or by name.  It matches that one token, never text.
``embedded``
    any other constraint (a JSON Schema, another grammar).  It stands for each
    whole text of its language; nothing of the outer grammar (`ignore`, munch
    rules, look-around) reaches inside, and its own lexing ends where it ends.
``declared``
    nothing: only the indenter makes it (INDENT, DEDENT).

What `lexing` means
-------------------
``scannerless``
    The concatenation language.  A text is in L iff the start symbol derives
    terminals t1..tn and the text is w1..wn with wi in ti.  `ignore` is empty.
``dynamic`` (Lark: ``parser="earley"``)
    As above, but a terminal t begun at i covers exactly the one end that
    ``re.match`` gives there; other terminals don't compete with it.  Before
    every terminal and at the end of the text any number of ignored terminals
    may stand, each by the same rule.
``dynamic_complete``
    As dynamic; if the match is ``s``, then t may also cover what its
    expression matches of each shorter ``s[:-j]``, taken as a text of its own
    (so look-around sees nothing outside of it), 0 < j < len(s).
``basic``
    The text is first cut into lexemes from left to right: at each place the
    first terminal in `order` that matches there wins, however long, and covers
    what it matches.  If a regular expression r won and covers exactly a text
    s with (r, s, _) in `keywords`, the lexeme is an s.  A pair (r, s, True)
    further takes s out of the competition wherever r is in it.  The ignored
    ones are dropped (by what won, not by the keyword it turned into), the rest
    is parsed.  All terminals compete, `ignore` included.
``contextual``
    As basic, except that only those terminals compete for a lexeme that have
    an action in the parser's state *before* any reduction on that lexeme, and
    the ignored ones, and the indenter's newline.  (Keywords likewise: a pair
    counts where both compete.)

With ``tables="cfg"`` the lexemes are parsed by the rules as they are
(``basic`` only; the dynamic modes and scannerless always are).  With
``tables="lalr"`` they are parsed by the tables Lark builds: reduce/reduce
conflicts are settled by `Rule.priority` or refused, shift/reduce conflicts
shift.  The look-aheads matter, since they say which terminals compete; they
are Lark's, which follows DeRemer and Pennello, but while collecting
``includes`` for (state, A) it walks *all* items of A in the closure of the
state, also those with the dot inside, so now and then sets are larger than
LALR(1).

An `indenter` sits between lexemes and parser, as Lark's ``Indenter`` does.
Embedded constraints are allowed in the scannerless and the dynamic modes;
there a terminal may end anywhere its language lets it.  Special tokens are
allowed in all modes: a special token ends the lexeme before it, as the end of
the text would.

Normal form
-----------
:func:`normalise` removes what cannot be used (rules that derive nothing or
can't be reached, duplicates) and reports it; grammars for LALR tables keep
their rules, which shape the tables, and get the report only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Iterable, Optional, Protocol, Union

from ..errors import GrammarError
from .strings import NO_STRING, StrLang

__all__ = ["Match", "Embeddable", "Terminal", "Rule", "Indenter", "CfgGrammar", "Place", "Removed", "LEXINGS",
           "normalise", "nullable", "productive"]

LEXINGS = ("scannerless", "dynamic", "dynamic_complete", "basic", "contextual")


@dataclass(frozen=True)
class Match:
    """A Python regular expression, matched as ``re.compile(source, flags).match`` does.

    `literal` is the text of a string terminal whose `source` is its escape
    (None for a regular expression proper); `max_width` is what Lark sorts by.
    """

    source: str
    flags: int = 0
    literal: Optional[str] = None
    max_width: int = 0

    def tree(self) -> Any:
        """The syntax tree, with greediness (:mod:`structgen.frontends.regex.ast`)."""
        from ..frontends.regex import parse_python

        return parse_python(self.source, self.flags)


class Embeddable(Protocol):
    """What `Terminal.embedded` needs: a constraint that gives its normal form."""

    def grammar(self) -> Any:
        """A JsonGrammar, TextGrammar or CfgGrammar for the caller to own."""


@dataclass(frozen=True)
class Terminal:
    """One terminal; see the module's text for what each field means."""

    name: str
    lang: StrLang = NO_STRING
    match: Optional[Match] = None
    token: Union[int, str, None] = None
    embedded: Optional[Embeddable] = None
    declared: bool = False
    priority: int = 0

    @property
    def kind(self) -> str:
        """``"lang"``, ``"match"``, ``"token"``, ``"embedded"`` or ``"declared"``."""
        if self.match is not None:
            return "match"
        if self.token is not None:
            return "token"
        if self.embedded is not None:
            return "embedded"
        return "declared" if self.declared else "lang"


@dataclass(frozen=True)
class Rule:
    """`lhs` derives `rhs`; `priority` settles reduce/reduce conflicts of LALR tables."""

    lhs: int
    rhs: tuple[int, ...]
    priority: int = 0


@dataclass(frozen=True)
class Indenter:
    """Lark's ``Indenter``; symbols are terminal symbols.

    After a `newline` lexeme outside of brackets the columns of what follows
    its last line feed (a tab counts `tab_len`) are compared with the open
    blocks: one `indent` is made, or a `dedent` for each block closed, which
    must lead to a column that was opened, else the text is refused.  Inside
    brackets newlines are dropped.  At the end all blocks are closed.
    """

    newline: int
    indent: int
    dedent: int
    open: frozenset[int] = frozenset()
    close: frozenset[int] = frozenset()
    tab_len: int = 8


@dataclass(frozen=True)
class Place:
    """Where something stands in the grammar's text, from 1; None where unknown."""

    line: Optional[int] = None
    column: Optional[int] = None


@dataclass(frozen=True)
class Removed:
    """One thing that cannot be used: `what` is "rule" or "terminal"."""

    what: str
    name: str
    why: str                                  # "unreachable", "derives no text", "matches no text"
    place: Place = Place()


@dataclass(frozen=True)
class CfgGrammar:
    """A context-free grammar; see the module's text.

    Attributes
    ----------
    nonterminals : tuple of str
        Names, as users know them where they wrote them.
    terminals : tuple of Terminal
    rules : tuple of Rule
        Without duplicates.
    start : int
        A nonterminal.
    lexing : str
        One of `LEXINGS`.
    tables : {"cfg", "lalr"}
    ignore : tuple of int
        Terminal symbols that may stand between lexemes.
    order : tuple of int
        (basic, contextual) all terminal symbols of kind "match", first winner first.
    keywords : tuple of (int, int, bool)
        (basic, contextual) regular expression, string, whether the string leaves the competition.
    indenter : Indenter, optional
    places : tuple of Place
        Where each nonterminal and then each terminal is defined; may be empty.
    """

    nonterminals: tuple[str, ...]
    terminals: tuple[Terminal, ...]
    rules: tuple[Rule, ...]
    start: int = 0
    lexing: str = "scannerless"
    tables: str = "cfg"
    ignore: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    keywords: tuple[tuple[int, int, bool], ...] = ()
    indenter: Optional[Indenter] = None
    places: tuple[Place, ...] = field(default=(), compare=False)
    #: what `normalise` took out or found useless
    removed: tuple[Removed, ...] = field(default=(), compare=False)

    def is_terminal(self, symbol: int) -> bool:
        """Is `symbol` a terminal?"""
        return symbol >= len(self.nonterminals)

    def terminal(self, symbol: int) -> Terminal:
        """The terminal with symbol `symbol`."""
        return self.terminals[symbol - len(self.nonterminals)]

    def symbol_name(self, symbol: int) -> str:
        """The name of any symbol."""
        n = len(self.nonterminals)
        return self.nonterminals[symbol] if symbol < n else self.terminals[symbol - n].name

    def place(self, symbol: int) -> Place:
        """Where `symbol` is defined."""
        return self.places[symbol] if symbol < len(self.places) else Place()

    def show(self, rule: Rule) -> str:
        """A rule as text."""
        return f"{self.symbol_name(rule.lhs)}: {' '.join(map(self.symbol_name, rule.rhs)) or '(nothing)'}"


# -- analyses ---------------------------------------------------------------------


def _closure(rules: Iterable[Rule], given: set[int]) -> set[int]:
    """The left sides all of whose right side is in the set, repeatedly; linear in the rules."""
    waiting: dict[int, list[int]] = {}
    missing, lhs = [], []
    todo = list(given)
    for i, rule in enumerate(rules):
        needs = set(rule.rhs) - given
        missing.append(len(needs))
        lhs.append(rule.lhs)
        for symbol in needs:
            waiting.setdefault(symbol, []).append(i)
        if not needs and rule.lhs not in given:
            given.add(rule.lhs)
            todo.append(rule.lhs)
    # rules counted down above already exclude what was given when they were read
    seen = set()
    while todo:
        symbol = todo.pop()
        if symbol in seen:
            continue
        seen.add(symbol)
        for i in waiting.get(symbol, ()):
            missing[i] -= 1
            if missing[i] == 0 and lhs[i] not in given:
                given.add(lhs[i])
                todo.append(lhs[i])
    return given


def productive(grammar: CfgGrammar, empty_terminals: Iterable[int] = ()) -> set[int]:
    """The symbols from which some text can be derived.

    `empty_terminals` are terminal symbols known to match nothing.
    """
    n = len(grammar.nonterminals)
    usable = set(range(n, n + len(grammar.terminals))) - set(empty_terminals)
    return _closure(grammar.rules, usable)


def nullable(grammar: CfgGrammar, null_terminals: Iterable[int] = ()) -> set[int]:
    """The symbols that derive the empty text; `null_terminals` are those whose language has it."""
    return _closure(grammar.rules, set(null_terminals))


def reachable(grammar: CfgGrammar, rules: Iterable[Rule]) -> set[int]:
    """The symbols that derivations from the start may use, `ignore` and the indenter's newline included."""
    by_lhs: dict[int, list[Rule]] = {}
    for rule in rules:
        by_lhs.setdefault(rule.lhs, []).append(rule)
    seen = {grammar.start}
    stack = [grammar.start]
    while stack:
        for rule in by_lhs.get(stack.pop(), ()):
            for symbol in rule.rhs:
                if symbol not in seen:
                    seen.add(symbol)
                    stack.append(symbol)
    seen.update(grammar.ignore)
    if grammar.indenter is not None:
        i = grammar.indenter
        seen.update((i.newline, i.indent, i.dedent))
    return seen


def normalise(grammar: CfgGrammar, empty_terminals: Iterable[int] = ()) -> CfgGrammar:
    """The grammar without what no text can use, numbered anew.

    Parameters
    ----------
    grammar : CfgGrammar
    empty_terminals : iterable of int
        Terminal symbols whose language is empty.

    Returns
    -------
    CfgGrammar
        With `removed` saying what went and why.  Grammars for LALR tables keep
        rules and numbers: only `removed` is filled in.

    Raises
    ------
    GrammarError
        When no text can be derived from the start symbol.

    Examples
    --------
    >>> g = CfgGrammar(("start", "loop"), (Terminal("A"),), (Rule(0, (2,)), Rule(0, (1,)), Rule(1, (1, 2))))
    >>> [(r.name, r.why) for r in normalise(g).removed]
    [('loop', 'derives no text')]
    """
    empty = set(empty_terminals)
    n = len(grammar.nonterminals)
    good = productive(grammar, empty)
    removed = [Removed("terminal", grammar.symbol_name(t), "matches no text", grammar.place(t)) for t in sorted(empty)]
    removed += [Removed("rule", name, "derives no text", grammar.place(i))
                for i, name in enumerate(grammar.nonterminals) if i not in good]
    if grammar.start not in good:
        at = grammar.place(grammar.start)
        lost = [r for r in removed if r.name != grammar.nonterminals[grammar.start]]
        culprits = ", ".join(sorted({r.name for r in lost})[:8])
        raise GrammarError(f"no text can be derived from {grammar.nonterminals[grammar.start]!r}",
                           line=at.line, column=at.column,
                           hint=f"these derive no text either: {culprits}" if culprits else
                           "every alternative of it uses itself again")
    rules = [r for r in dict.fromkeys(grammar.rules)
             if r.lhs in good and all(s in good for s in r.rhs)]
    if grammar.lexing == "scannerless" or grammar.tables == "cfg":
        rules = [r for r in rules if r.rhs != (r.lhs,)]               # `a: a` derives nothing new
    used = reachable(grammar, rules)
    removed += [Removed("terminal" if grammar.is_terminal(s) else "rule", grammar.symbol_name(s), "unreachable",
                        grammar.place(s))
                for s in range(n + len(grammar.terminals)) if s not in used and s in good]
    if grammar.tables == "lalr" and grammar.lexing in ("basic", "contextual"):
        return replace(grammar, removed=tuple(removed))
    keep_n = [s for s in range(n) if s in used and s in good]
    # all terminals compete in the basic lexer, whether a rule uses them or not
    keep_t = [s for s in range(n, n + len(grammar.terminals))
              if s not in empty and (s in used or grammar.lexing == "basic")]
    new = {s: i for i, s in enumerate(keep_n + keep_t)}
    indenter = grammar.indenter
    if indenter is not None:
        indenter = replace(indenter, newline=new[indenter.newline], indent=new[indenter.indent],
                           dedent=new[indenter.dedent],
                           open=frozenset(new[s] for s in indenter.open if s in new),
                           close=frozenset(new[s] for s in indenter.close if s in new))
    return replace(
        grammar,
        nonterminals=tuple(grammar.nonterminals[s] for s in keep_n),
        terminals=tuple(grammar.terminal(s) for s in keep_t),
        rules=tuple(Rule(new[r.lhs], tuple(new[s] for s in r.rhs), r.priority) for r in rules if r.lhs in used),
        start=new[grammar.start],
        ignore=tuple(new[s] for s in grammar.ignore if s in new),
        order=tuple(new[s] for s in grammar.order if s in new),
        keywords=tuple((new[r], new[s], out) for r, s, out in grammar.keywords if r in new and s in new),
        indenter=indenter,
        places=tuple(grammar.places[s] for s in keep_n + keep_t) if grammar.places else (),
        removed=tuple(removed),
    )
