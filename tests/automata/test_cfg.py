"""Context-free grammars: masks by brute force, over generated grammars."""

from __future__ import annotations

import itertools
import random

import pytest

lark = pytest.importorskip("lark")

from structgen.automata.nfa import atom_nfa  # noqa: E402
from structgen.decoding.compiled import Compiled  # noqa: E402
from structgen.errors import GrammarError, LimitError, MatcherError  # noqa: E402
from structgen.grammar.cfg import CfgGrammar, Terminal  # noqa: E402
from structgen.grammar.strings import Pattern, atom_lang  # noqa: E402
from structgen.tokens.vocabulary import Vocabulary  # noqa: E402
from tests.support.cfg_oracle import ByteGrammar  # noqa: E402
from tests.support.random_cfgs import TOKENS, lark_text, random_grammar  # noqa: E402

BYTES = [bytes([b]) for b in range(256)]
VOCABULARY = Vocabulary.from_tokens([*BYTES, *TOKENS], eos_ids=[256 + len(TOKENS)])
EOS = 256 + len(TOKENS)
LETTERS = list(b"abcd ")
TRIED = [*LETTERS, *range(256, EOS)]


def scannerless(grammar):
    """The same rules over regular languages."""
    terminals = tuple(Terminal(t.name, lang=atom_lang(Pattern("python", t.match.source))) for t in grammar.terminals)
    return CfgGrammar(grammar.nonterminals, terminals, grammar.rules, grammar.start)


def byte_grammar(grammar):
    """Every terminal as rules over bytes, from the NFA of its expression (not the automata under test)."""
    n = len(grammar.nonterminals)
    rules = [(("n", r.lhs), tuple(("n", s) if s < n else ("t", s - n) for s in r.rhs)) for r in grammar.rules]
    for t, terminal in enumerate(grammar.terminals):
        ((atom, _),), = terminal.lang
        nfa = atom_nfa(atom)
        for q in nfa.start.tolist():
            rules.append((("t", t), (("q", t, q),)))
        for src, lo, hi, dst in zip(nfa.src.tolist(), nfa.lo.tolist(), nfa.hi.tolist(), nfa.dst.tolist()):
            for b in range(lo, hi + 1):
                rules.append((("q", t, src), (b, ("q", t, dst))))
        for q in range(nfa.n):
            if nfa.accept[q]:
                rules.append((("q", t, q), ()))
    return ByteGrammar(rules, ("n", grammar.start))


def compiled(grammar):
    try:
        return Compiled(grammar, VOCABULARY)
    except GrammarError:
        return None


def walk(c, oracle_viable, oracle_accepts, rng, steps):
    """Compare masks along a random walk, then finish."""
    m = c.matcher()
    for _ in range(steps):
        allowed = set(m.allowed_tokens().tolist())
        assert allowed <= {*TRIED, EOS}, m.text
        text = m.text
        for t in TRIED:
            assert (t in allowed) == oracle_viable(text + VOCABULARY.token_bytes(t)), (text, VOCABULARY.token_bytes(t))
        assert (EOS in allowed) == oracle_accepts(text) == m.can_end(), text
        assert allowed, text
        allowed.discard(EOS)
        if not allowed:
            break
        m.accept(rng.choice(sorted(allowed)))
    rest = m.shortest_completion()
    assert oracle_accepts(m.text + rest), (m.text, rest)
    m.accept_bytes(rest)
    assert m.can_end()
    return m


@pytest.mark.parametrize("seed", range(40))
def test_masks_are_exact_for_concatenation_languages(seed):
    rng = random.Random(seed)
    made = 0
    for _ in range(10):
        grammar = scannerless(random_grammar(rng))
        oracle = byte_grammar(grammar)
        c = compiled(grammar)
        assert (c is None) == (not oracle.viable(b"")), grammar
        if c is None:
            continue
        made += 1
        m = walk(c, oracle.viable, oracle.accepts, rng, 5)
        # no completion is shorter
        rest = m.text
        for n in range(1, 3):
            for word in itertools.product(LETTERS, repeat=n):
                if oracle.accepts(bytes(word)):
                    assert len(c.matcher().shortest_completion()) <= n
        warm = c.matcher()
        cold = Compiled(grammar, VOCABULARY).matcher()
        for b in rest:
            assert warm.allowed_tokens().tolist() == cold.allowed_tokens().tolist()
            warm.accept_bytes(bytes([b]))
            cold.accept_bytes(bytes([b]))
    assert made


class LarkOracle:
    """Real Lark; what can be completed is shown by a completion, or looked for among short texts."""

    def __init__(self, grammar, **options):
        self.parser = lark.Lark(lark_text(grammar), start=grammar.nonterminals[0], **options)
        self._known = {}
        self._viable = set()
        for n in range(6):
            for word in itertools.product("abc ", repeat=n):
                word = "".join(word).encode()
                if self.accepts(word):
                    self._viable.update(word[:i] for i in range(n + 1))

    def accepts(self, text):
        found = self._known.get(text)
        if found is None:
            try:
                self.parser.parse(text.decode())
                found = True
            except lark.exceptions.UnexpectedInput:
                found = False
            except RuntimeError as error:     # a bug of Lark's, met only where it has accepted
                assert "multiple start symbol" in str(error)
                found = True
            self._known[text] = found
        return found

    def check(self, c, rng, steps):
        m = c.matcher()
        for _ in range(steps):
            allowed = set(m.allowed_tokens().tolist())
            assert allowed <= {*TRIED, EOS}, m.text
            text = m.text
            for t in TRIED:
                longer = text + VOCABULARY.token_bytes(t)
                if t in allowed:
                    probe = m.fork()
                    probe.accept(t)
                    rest = probe.shortest_completion()
                    assert self.accepts(longer + rest), (longer, rest)
                    if len(longer) + len(rest) > 5:
                        self._viable.update((longer + rest)[:i] for i in range(len(longer + rest) + 1))
                else:
                    assert longer not in self._viable, longer
            assert (EOS in allowed) == self.accepts(text) == m.can_end(), text
            assert allowed, text
            allowed.discard(EOS)
            if not allowed:
                break
            m.accept(rng.choice(sorted(allowed)))
        return m


def usable(grammar):
    """Can Lark read it, and does its Earley parser do it justice?"""
    defined = {r.lhs for r in grammar.rules}
    used = {s for r in grammar.rules for s in r.rhs if s < len(grammar.nonterminals)}
    return used <= defined and 0 in defined


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("lexing", ["dynamic", "dynamic_complete"])
def test_masks_are_exact_for_lark_earley(lexing, seed):
    rng = random.Random(1000 + seed)
    made = 0
    while made < 3:
        grammar = random_grammar(rng, lexing)
        if not usable(grammar):
            continue
        c = compiled(grammar)
        oracle = LarkOracle(grammar, parser="earley", lexer=lexing)
        if c is None:
            assert not oracle._viable, lark_text(grammar)
            continue
        made += 1
        try:
            oracle.check(c, rng, 4)
        except (AssertionError, MatcherError) as error:
            raise AssertionError(f"{error}\n{lark_text(grammar)}") from error


def lark_grammar(text, **options):
    from structgen.frontends.lark import read_lark

    return read_lark(text, **options)


HOSTILE = [
    ('start: start start | "a"\n', b"a" * 300),
    ('start: start start start | start start | "a" |\n', b"a" * 100),
    ('start: "a" start "a" | "b" start "b" |\n', b"ab" * 60),
    ('start: "(" start ")" | "c"\n', b"(" * 5000),
    ('start: "a" start | "b"\n', b"a" * 5000),
    ('start: e\ne: "a" e | "aa" e | "aaa" e | e "a" e | B\nB: /b+/\n', b"a" * 100 + b"ba" * 50),
    ('start: x\nx: A x | B x | A\nA: /a+/\nB: /a+/\n', b"aaaa"),
    ('start: (A|B|C)+ "c"\nA: /a+b?/\nB: /ab*a/\nC: /[ab]{2,5}/\n', b"abaab" * 20),
]


@pytest.mark.parametrize("text, data", HOSTILE)
def test_hostile_grammars_take_little_work(text, data):
    c = Compiled(lark_grammar(text), VOCABULARY)
    m = c.matcher()
    for i in range(0, len(data), 7):
        m.accept_bytes(data[i:i + 7])
        if i % 70 == 0:
            assert m.allowed_tokens().size
    m.accept_bytes(m.shortest_completion())
    assert m.can_end()


def test_a_language_that_munching_makes_empty_is_refused():
    with pytest.raises(GrammarError, match="no text is in the language"):
        Compiled(lark_grammar('start: AS "a"\nAS: /a+/\n'), VOCABULARY)
    m = Compiled(lark_grammar('start: AS "a"\nAS: /a+/\n', lexer="dynamic_complete"), VOCABULARY).matcher()
    m.accept_bytes(b"aa")
    assert m.can_end()


def test_terminals_too_large_and_texts_too_long_are_limits():
    with pytest.raises(LimitError, match="states"):
        Compiled(lark_grammar("start: A\nA: /(a|b)*a(a|b){16}/\n"), VOCABULARY)
    doubling = "start: a0\n" + "".join(f"a{i}: a{i + 1} a{i + 1}\n" for i in range(40)) + 'a40: "a"\n'
    m = Compiled(lark_grammar(doubling), VOCABULARY).matcher()
    m.accept_bytes(b"a" * 100)
    assert m.expected_bytes() == b"a"
    with pytest.raises(LimitError):
        m.shortest_completion()


def test_fork_rollback_and_budget():
    c = Compiled(lark_grammar('start: "(" start ")" | A\nA: /[ab]+/\n%ignore " "\n'), VOCABULARY)
    m = c.matcher()
    m.accept_bytes(b"((")
    fork = m.fork()
    fork.accept_bytes(b"a )")
    assert m.shortest_completion() == b"a))" and fork.shortest_completion() == b")"
    fork.rollback()
    assert fork.shortest_completion() == b"a))" and fork.text == b"(("
    with pytest.raises(MatcherError) as caught:
        m.accept_bytes(b"a a")
    assert caught.value.offset == 4 and m.text == b"(("
    for budget in range(2, 9):
        rng = random.Random(budget)
        for _ in range(5):
            m = c.matcher(max_tokens=budget)
            while not m.is_finished:
                m.accept(int(rng.choice(m.allowed_tokens())))
            assert m.n_tokens <= budget


def test_forced_bytes():
    m = Compiled(lark_grammar('start: "ab" ("abc" | "abb")\n'), VOCABULARY).matcher()
    assert m.forced_bytes() == b"abab"


def test_long_texts_change_the_arena():
    grammar = lark_grammar('start: ("(" A ")")*\nA: /[ab]+/\n')
    c = Compiled(grammar, VOCABULARY, max_bytes=1 << 20)
    m, plain = c.matcher(), Compiled(grammar, VOCABULARY).matcher()
    rng = random.Random(3)
    for _ in range(300):
        assert m.allowed_tokens().tolist() == plain.allowed_tokens().tolist()
        t = int(rng.choice([t for t in plain.allowed_tokens().tolist() if t != EOS]))
        m.accept(t)
        plain.accept(t)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("parser, lexer", [("lalr", "contextual"), ("lalr", "basic"), ("earley", "basic")])
def test_masks_are_exact_where_terminals_compete(parser, lexer, seed):
    rng = random.Random(5000 + seed)
    made = 0
    while made < 3:
        shape = random_grammar(rng, "dynamic")
        if not usable(shape):
            continue
        try:
            grammar = lark_grammar(lark_text(shape), parser=parser, lexer=lexer, start="r0")
        except GrammarError:                  # Lark refuses it
            continue
        options = {"parser": parser, "lexer": lexer}
        try:
            c = Compiled(grammar, VOCABULARY)
        except LimitError:                    # shifting may leave stacks that nothing completes: not decided
            continue
        except GrammarError as error:
            if "conflict" in str(error):
                with pytest.raises(lark.exceptions.GrammarError):
                    lark.Lark(lark_text(shape), start="r0", **options)
            else:
                assert not LarkOracle(shape, **options)._viable, lark_text(shape)
            continue
        made += 1
        try:
            LarkOracle(shape, **options).check(c, rng, 4)
        except LimitError:
            assert not c.program.safe, lark_text(shape)
        except (AssertionError, MatcherError) as error:
            raise AssertionError(f"{error}\n{lark_text(shape)}") from error


def test_keywords_in_any_case_are_what_re_says():
    import re

    from structgen.automata.terminals import match_automaton
    from structgen.grammar.cfg import Match

    for flags in (0, re.ASCII):
        for letter in "aikszAKS_1-":
            automaton = match_automaton(Match(f"(?i:{re.escape(letter)})", flags, letter))
            pattern = re.compile(re.escape(letter), flags | re.IGNORECASE)
            for code in [*range(0x3000), *range(0x1E00, 0x2200), 0xFB05, 0x1F1E6]:
                q = 0
                for b in chr(code).encode():
                    q = int(automaton.trans[q, b]) if q >= 0 else -1
                assert (q >= 0 and bool(automaton.end[q])) == bool(pattern.fullmatch(chr(code))), (letter, code)
