"""Random texts of a context-free grammar, by random derivations that come to an end.

What is derived need not be in the language of a grammar with a lexer (lexemes
may run into each other): ask an oracle.
"""

from __future__ import annotations

import math
import random
import re

from structgen.frontends.regex.ast import Alt, Cat, Chars, Repeat
from structgen.grammar.cfg import CfgGrammar

__all__ = ["TextMaker"]


class TextMaker:
    """Makes texts; `size` is roughly the number of terminals aimed at."""

    def __init__(self, grammar: CfgGrammar, rng: random.Random):
        self.g, self.rng = grammar, rng
        self.base = len(grammar.nonterminals)
        self.rules: dict[int, list] = {}
        for rule in grammar.rules:
            self.rules.setdefault(rule.lhs, []).append(rule)
        self.least = self._least()
        self.trees = {i: t.match.tree() for i, t in enumerate(grammar.terminals) if t.match is not None}

    def _least(self) -> dict[int, float]:
        """The fewest terminals each symbol derives."""
        least: dict[int, float] = {s: math.inf for s in range(self.base)}
        least.update({self.base + i: 1 for i in range(len(self.g.terminals))})
        changed = True
        while changed:
            changed = False
            for rule in self.g.rules:
                total = sum(least[s] for s in rule.rhs)
                if total < least[rule.lhs]:
                    least[rule.lhs] = total
                    changed = True
        return least

    def symbols(self, size: int) -> list[int]:
        """Terminals of a random derivation."""
        out: list[int] = []
        stack = [self.g.start]
        steps = 0
        while stack:
            symbol = stack.pop()
            steps += 1
            if symbol >= self.base:
                out.append(symbol)
                continue
            options = [r for r in self.rules[symbol] if math.isfinite(sum(self.least[s] for s in r.rhs))]
            room = size - len(out) - sum(self.least[s] for s in stack)
            fit = [r for r in options if sum(self.least[s] for s in r.rhs) <= room]
            if not fit or steps > 200 * size:
                shortest = min(sum(self.least[s] for s in r.rhs) for r in options)
                fit = [r for r in options if sum(self.least[s] for s in r.rhs) == shortest]
            stack.extend(reversed(self.rng.choice(fit).rhs))
        return out

    def lexeme(self, terminal: int) -> str:
        """A text of a terminal."""
        t = self.g.terminals[terminal]
        if t.match.literal is not None and not t.match.source.startswith("(?"):
            return t.match.literal
        full = re.compile(t.match.source, t.match.flags)
        text = ""
        for _ in range(60):
            text = self._sample(self.trees[terminal])
            if full.match(text):
                break
        return text

    def _sample(self, node) -> str:
        rng = self.rng
        if isinstance(node, Chars):
            low = [(lo, min(hi, 126)) for lo, hi in node.ranges if lo <= 126]
            lo, hi = rng.choice(low if low and rng.random() < 0.95 else list(node.ranges))
            return chr(rng.randint(lo, hi))
        if isinstance(node, Cat):
            return "".join(map(self._sample, node.items))
        if isinstance(node, Alt):
            return self._sample(rng.choice(node.items)) if node.items else ""
        if isinstance(node, Repeat):
            hi = node.lo + 3 if node.hi is None else min(node.hi, node.lo + 3)
            return "".join(self._sample(node.item) for _ in range(rng.randint(node.lo, hi)))
        return ""

    def text(self, size: int, spaced: float = 0.7) -> str:
        """A random text; between lexemes ignored text with probability `spaced`, a space if there is such."""
        symbols, out, level = self.symbols(size), [], 0
        ind = self.g.indenter
        spaces = [s - self.base for s in self.g.ignore]
        for k, symbol in enumerate(symbols):
            if ind is not None and symbol in (ind.indent, ind.dedent):
                continue
            if ind is not None and symbol == ind.newline:
                after = k + 1
                while after < len(symbols) and symbols[after] in (ind.indent, ind.dedent):
                    level += 1 if symbols[after] == ind.indent else -1
                    after += 1
                out.append("\n" + "  " * level)
                continue
            if spaces and out and not out[-1].endswith((" ", "\n")) and self.rng.random() < spaced:
                space = self.lexeme(self.rng.choice(spaces))
                out.append(" " if self.rng.random() < 0.8 else space)
            out.append(self.lexeme(symbol - self.base))
        return "".join(out)
