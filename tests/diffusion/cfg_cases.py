"""Random grammars, tiny vocabularies and canvases, with every assignment enumerated."""

from __future__ import annotations

import itertools
import math
import random

from structgen.errors import GrammarError
from structgen.frontends.lark import read_lark
from structgen.grammar.cfg import CfgGrammar, Terminal, nullable
from structgen.grammar.strings import Pattern, atom_lang
from structgen.reference.cfg import accepts
from structgen.tokens.vocabulary import Vocabulary
from tests.support.random_cfgs import lark_text, random_grammar

__all__ = ["Constraint", "Enumerated", "random_constraint", "PIECES"]

PIECES = [b"a", b"b", b"c", b" ", b"aa", b"ab", b"ba", b"bb", b"bc", b"cab", b"a ", b" b", b"abab", b"b a"]


class Constraint:
    """What a canvas needs of a compiled constraint; the vocabulary need not spell every byte."""

    def __init__(self, grammar, vocabulary, source=None):
        self.grammar, self.vocabulary, self.source = grammar, vocabulary, source


def reduces_forever(grammar: CfgGrammar) -> bool:
    """May an LR parser (Lark's, and the recogniser that is the oracle) reduce without end?"""
    null = nullable(grammar)
    edges, odd = {}, set()
    for rule in grammar.rules:
        for i, s in enumerate(rule.rhs):
            if all(x in null for x in rule.rhs[:i]):
                edges.setdefault(rule.lhs, set()).add(s)
                if i or all(x in null for x in rule.rhs[1:]):
                    odd.add((rule.lhs, s))
    for a, b in odd:
        seen, todo = {b}, [b]
        while todo:
            for c in edges.get(todo.pop(), ()):
                if c not in seen:
                    seen.add(c)
                    todo.append(c)
        if a in seen:
            return True
    return False


def random_constraint(rng: random.Random, lexing: str):
    """A grammar and a recogniser of its texts, or None where a grammar cannot be built."""
    plain = random_grammar(rng, "dynamic" if lexing != "scannerless" else lexing)
    if lexing == "scannerless":
        terminals = tuple(Terminal(t.name, lang=atom_lang(Pattern("python", t.match.source))) for t in plain.terminals)
        grammar = CfgGrammar(plain.nonterminals, terminals, plain.rules, plain.start)
    else:
        parser = "lalr" if lexing in ("contextual", "basic") else "earley"
        try:
            grammar = read_lark(lark_text(plain), parser=parser, lexer=lexing, start=plain.nonterminals[0])
            if parser == "lalr" and reduces_forever(grammar):
                return None
            accepts(grammar, "")
        except GrammarError:
            return None
    return grammar


class Enumerated:
    """A constraint over a vocabulary of at most six tokens, and everything that can be said by enumeration."""

    def __init__(self, rng: random.Random, lexing: str):
        self.rng = rng
        self.grammar = random_constraint(rng, lexing)
        pieces = rng.sample(PIECES, rng.randint(2, 6))
        self.ends = [len(pieces) + k for k in range(rng.choice((1, 1, 2)))]
        self.vocabulary = Vocabulary.from_tokens([*pieces, *([None] * len(self.ends))], eos_ids=self.ends)
        self.pieces = pieces
        self._known: dict[bytes, bool] = {}

    def member(self, text: bytes) -> bool:
        if text not in self._known:
            self._known[text] = accepts(self.grammar, text.decode())
        return self._known[text]

    def valid(self, tokens, fixed) -> bool:
        """Is a full assignment a valid text, ended and padded?"""
        text, ended = b"", False
        for i, t in enumerate(tokens):
            if ended:
                if t not in self.ends or (fixed[i] < 0 and t != self.ends[0]):
                    return False
            elif t in self.ends:
                ended = True
            else:
                text += self.pieces[t]
        return self.member(text)

    def assignments(self, fixed):
        every = range(len(self.pieces) + len(self.ends))
        return [x for x in itertools.product(*([t] if t >= 0 else every for t in fixed)) if self.valid(x, fixed)]

    def weight(self, tokens, fixed, logp, scored=False) -> float:
        total, ended = 0.0, False
        for i, t in enumerate(tokens):
            if fixed[i] < 0 and (scored or not ended):
                total += float(logp[i, t])
            ended = ended or t in self.ends
        return total

    def canvas(self):
        """Slots, some fixed; about 2,000 assignments at most."""
        rng = self.rng
        every = len(self.pieces) + len(self.ends)
        length = rng.randint(1, 8)
        most = int(math.log(2000) / math.log(every))
        masked = rng.sample(range(length), min(length, rng.randint(1, most)))
        # mostly a text that is valid as far as it goes: any words of the language make more feasible canvases
        fixed = [rng.choice(range(len(self.pieces))) for _ in range(length)]
        for _ in range(60):
            tried = [rng.choice(range(len(self.pieces))) for _ in range(length)]
            cut = rng.randint(1, length)
            if self.member(b"".join(self.pieces[t] for t in tried[:cut])):
                fixed = tried[:cut] + [self.ends[0]] * (length - cut)
                break
        return [-1 if i in masked else t for i, t in enumerate(fixed)]
