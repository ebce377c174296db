"""Building scannerless grammars piece by piece.

A :class:`CfgBuilder` hands out symbols.  Symbols are provisional (nonterminals
count up from 0, terminals down from -1) until :meth:`CfgBuilder.build` numbers
them as :class:`CfgGrammar` wants them.  Counted repeats take a rule a copy up
to `UNROLL` copies; beyond, a number of rules that grows with the logarithm.
"""

from __future__ import annotations

from typing import Iterable, Optional, Sequence

from .cfg import CfgGrammar, Place, Rule, Terminal, normalise
from .strings import StrLang, literal_lang

__all__ = ["CfgBuilder", "UNROLL"]

#: most copies that get a rule each
UNROLL = 256


class CfgBuilder:
    """Collects symbols and rules; see the module's text.

    Examples
    --------
    >>> b = CfgBuilder()
    >>> s = b.nonterminal("list")
    >>> b.rule(s, [b.text("["), b.repeat(b.text("x"), 0, None, of="list"), b.text("]")])
    >>> [b.build(s).show(r) for r in b.build(s).rules]
    ['list_1: (nothing)', "list_1: list_1 'x'", "list: '[' list_1 ']'"]
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.places: list[Place] = []
        self.terminals: dict[Terminal, int] = {}
        self.terminal_places: list[Place] = []
        self.rules: dict[tuple[int, tuple[int, ...]], None] = {}
        self._repeats: dict[tuple, int] = {}
        self._parts: dict[str, int] = {}

    def nonterminal(self, name: str, place: Place = Place()) -> int:
        """A new nonterminal."""
        self.names.append(name)
        self.places.append(place)
        return len(self.names) - 1

    def part(self, of: str, place: Place = Place()) -> int:
        """A new nonterminal for a part of the rule `of`."""
        number = self._parts[of] = self._parts.get(of, 0) + 1
        return self.nonterminal(f"{of}_{number}", place)

    def terminal(self, terminal: Terminal, place: Place = Place()) -> int:
        """The symbol of a terminal; equal ones are one."""
        symbol = self.terminals.get(terminal)
        if symbol is None:
            symbol = self.terminals[terminal] = -1 - len(self.terminals)
            self.terminal_places.append(place)
        return symbol

    def text(self, text: str, place: Place = Place()) -> int:
        """The terminal of one text."""
        return self.terminal(Terminal(repr(text), lang=literal_lang([text])), place)

    def lang(self, name: str, lang: StrLang, place: Place = Place()) -> int:
        """The terminal of a regular language."""
        return self.terminal(Terminal(name, lang=lang), place)

    def rule(self, lhs: int, rhs: Sequence[int]) -> None:
        """Add a rule."""
        self.rules[lhs, tuple(rhs)] = None

    def alternatives(self, options: Iterable[Sequence[int]], of: str = "part") -> int:
        """A symbol that derives each of `options`."""
        options = list(dict.fromkeys(map(tuple, options)))
        if len(options) == 1 and len(options[0]) == 1:
            return options[0][0]
        out = self.part(of)
        for rhs in options:
            self.rule(out, rhs)
        return out

    def repeat(self, symbol: int, lo: int, hi: Optional[int], of: str = "list") -> int:
        """A symbol that derives `lo` to `hi` of `symbol` (None: no upper bound)."""
        if (lo, hi) == (1, 1):
            return symbol
        key = (symbol, lo, hi)
        found = self._repeats.get(key)
        if found is not None:
            return found
        if lo == 0 and hi is None:
            out = self.part(of)
            self._repeats[key] = out
            self.rule(out, ())
            self.rule(out, (out, symbol))
        elif lo == 1 and hi is None:
            out = self.part(of)
            self._repeats[key] = out
            self.rule(out, (symbol,))
            self.rule(out, (out, symbol))
        elif hi is None:
            out = self.alternatives([self.exactly(symbol, lo - 1, of) + (self.repeat(symbol, 1, None, of),)], of)
        elif lo == 0:
            out = self.at_most(symbol, hi, of)
        elif hi == lo:
            out = self.alternatives([self.exactly(symbol, lo, of)], of)
        else:
            out = self.alternatives([self.exactly(symbol, lo, of) + (self.at_most(symbol, hi - lo, of),)], of)
        self._repeats[key] = out
        return out

    def exactly(self, symbol: int, n: int, of: str) -> tuple[int, ...]:
        """A right side of `n` times `symbol`."""
        if n <= 8:
            return (symbol,) * n
        key = (symbol, n, n)
        found = self._repeats.get(key)
        if found is None:
            half = self.alternatives([self.exactly(symbol, n // 2, of)], of)
            found = self._repeats[key] = self.alternatives([(half, half) + (symbol,) * (n % 2)], of)
        return (found,)

    def at_most(self, symbol: int, n: int, of: str) -> int:
        """0 to `n` times `symbol`, each count in one way only."""
        key = (symbol, 0, n)
        found = self._repeats.get(key)
        if found is not None:
            return found
        if n <= UNROLL:
            inner = None
            for k in range(1, n + 1):
                out = self._repeats.get((symbol, 0, k))
                if out is None:
                    out = self._repeats[symbol, 0, k] = self.part(of)
                    self.rule(out, ())
                    self.rule(out, (symbol,) if inner is None else (symbol, inner))
                inner = out
            if inner is None:
                inner = self.part(of)
                self.rule(inner, ())
        else:                                               # k blocks and less than a block, or all and the rest
            block = (n + 1) // 8
            blocks, rest = divmod(n, block)
            full = self.alternatives([self.exactly(symbol, block, of)], of)
            less, more = self.at_most(symbol, block - 1, of), self.at_most(symbol, rest, of)
            inner = self.part(of)
            for k in range(blocks):
                self.rule(inner, (full,) * k + (less,))
            self.rule(inner, (full,) * blocks + (more,))
        self._repeats[key] = inner
        return inner

    def include(self, grammar: CfgGrammar) -> int:
        """Take a scannerless grammar in; gives its start symbol."""
        number = {s: self.nonterminal(name, grammar.place(s)) for s, name in enumerate(grammar.nonterminals)}
        base = len(number)
        for i, terminal in enumerate(grammar.terminals):
            number[base + i] = self.terminal(terminal, grammar.place(base + i))
        for rule in grammar.rules:
            self.rule(number[rule.lhs], [number[s] for s in rule.rhs])
        return number[grammar.start]

    def build(self, start: int) -> CfgGrammar:
        """The grammar, normalised.

        Raises
        ------
        GrammarError
            When no text can be derived from `start`.
        """
        n = len(self.names)
        if start < 0:
            names, rules, first = (*self.names, "start"), {(n, (start,)): None, **self.rules}, n
            name = list(self.terminals)[-1 - start].name
            if name.isidentifier():
                names = (*self.names, name)
        else:
            names, rules, first = tuple(self.names), self.rules, start
        n = len(names)

        def number(symbol: int) -> int:
            return symbol if symbol >= 0 else n - 1 - symbol

        own = [self.terminal_places[-1 - start]] if start < 0 else []
        places = (*self.places, *own, *self.terminal_places)
        return normalise(CfgGrammar(
            names, tuple(self.terminals), tuple(Rule(lhs, tuple(map(number, rhs))) for lhs, rhs in rules), first,
            places=places), [n + i for i, t in enumerate(self.terminals) if t.kind == "lang" and not t.lang])
