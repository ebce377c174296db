"""Combinations of constraints: what they accept, how they are shown, what they refuse."""

import re

import pytest

import structgen as sg
from structgen.grammar.cfg import CfgGrammar
from structgen.grammar.ir import TextGrammar
from structgen.reference.cfg import Special, accepts


@pytest.fixture(scope="module")
def letters():
    return sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])


def member(constraint, text, letters):
    m = sg.compile(constraint, letters).matcher()
    try:
        m.accept_bytes(text.encode())
    except sg.MatcherError:
        return False
    return m.can_end()


WORD = sg.Regex("[a-z]+")
CASES = [
    (sg.Seq("v", sg.Regex("[0-9]+"), sg.Optional("-rc")), ["v1", "v12-rc"], ["v", "v1-r", "v-rc", ""]),
    (sg.Seq(), [""], ["a"]),
    (sg.Repeat(WORD, 1, 3, sep=", "), ["a", "ab, c", "a, b, c"], ["", "a, b, c, d", "a, ", "a b"]),
    (sg.Repeat("ab"), ["", "ab", "abababab"], ["a", "aba"]),
    (sg.Repeat("ab", 2, sep="-"), ["ab-ab", "ab-ab-ab"], ["", "ab"]),
    (sg.Repeat("ab", 0, 0), [""], ["ab"]),
    (sg.Repeat("ab", 0, 1, sep="-"), ["", "ab"], ["ab-ab"]),
    (sg.Either("x", WORD, sg.Regex("[0-9]")), ["x", "xy", "7"], ["", "77", "x7"]),
    (WORD - sg.Choice(["if", "else"]), ["i", "iff", "el"], ["if", "else", ""]),
    (WORD - "if", ["i"], ["if"]),
    (~sg.Regex("a*"), ["b", "ab", "é"], ["", "aa"]),
    (sg.Regex("[ab]+") & sg.Regex(".{3}"), ["aba"], ["ab", "abc"]),
    ("x" + WORD + sg.Optional("!"), ["xa", "xa!"], ["x", "x!", "a"]),
    ("no" | sg.Seq(WORD, "!") | WORD, ["no", "a!", "a"], ["", "!"]),
    (sg.Text(), ["", "any\n text é"], []),
    (sg.Text(until="<t>") + "<t>", ["<t>", "hi<<t>", "a<tb<t>"], ["<t><t>", "a", "a<t>b"]),
    (sg.Text(until=["ab", "]"]), ["", "a", "ba", "é"], ["ab", "x]", "aab"]),
    (sg.Text(until="^$.*+?()[]{}|/\\-"), ["^$"], ["^$.*+?()[]{}|/\\-"]),
    (sg.Substring("to be or not to be", by="words"), ["", "be or", " to ", "to be"], ["e or", "be o", "not be"]),
    (sg.Substring("abracadabra"), ["", "acad", "abracadabra"], ["aa", "abrad"]),
    (sg.Substring("ab", empty=False), ["a", "b", "ab"], [""]),
    # what a part says about its ends holds at its own ends
    (sg.Seq(sg.Regex("a(?!b)"), "b"), ["ab"], ["a"]),
    (sg.Seq(sg.Regex("a$"), sg.Regex("^b")), ["ab"], []),
]


@pytest.mark.parametrize("constraint, good, bad", CASES, ids=[repr(c)[:60] for c, _, _ in CASES])
def test_regular_combinations(constraint, good, bad, letters):
    assert isinstance(constraint.grammar(), TextGrammar)
    assert [t for t in good if not member(constraint, t, letters)] == []
    assert [t for t in bad if member(constraint, t, letters)] == []


CALL = sg.Seq(sg.Text(until="<call>"), "<call>", {"type": "object", "required": ["a"]}, "</call>")


@pytest.mark.parametrize("constraint, good, bad", [
    (CALL, ['<call>{"a":1}</call>', 'hi <call>{"a":1, "b":[]}</call>'], ["", "<call>{}</call>", '<call>{"a":1}']),
    (sg.Repeat({"type": "integer"}, 1, 3, sep=";"), ["1", "1;-2;30"], ["", "1;", "1;2;3;4"]),
    (sg.Repeat({"type": "boolean"}, 2, 2), ["truefalse"], ["true", "truetruetrue"]),
    (sg.Either({"type": "null"}, "none"), ["null", "none"], ["", "nonenull"]),
    (sg.Optional(sg.Seq({"type": "null"}, "!")), ["", "null!"], ["null"]),
    (sg.Seq(sg.Token("<a>"), sg.Repeat("x", 300, 600), sg.Token(5)),
     [[Special("<a>"), "x" * 300, Special(5)], [Special("<a>"), "x" * 400, Special(5)]],
     ["<a>" + "x" * 300, [Special("<a>"), "x" * 299, Special(5)]]),
], ids=lambda x: str(x)[:50])
def test_context_free_combinations(constraint, good, bad):
    grammar = constraint.grammar()
    assert isinstance(grammar, CfgGrammar) and grammar.lexing == "scannerless"
    assert [t for t in good if not accepts(grammar, t)] == []
    assert [t for t in bad if accepts(grammar, t)] == []


@pytest.mark.parametrize("lo, hi", [(0, 5), (3, 3), (2, 9), (0, 300), (0, 700), (290, 650), (13, None), (1, None)])
def test_counted_repeats_of_any_size(lo, hi):
    """Each count in exactly one way."""
    from collections import Counter

    from structgen.grammar.cfg_build import CfgBuilder

    b = CfgBuilder()
    grammar = b.build(b.repeat(b.text("x"), lo, hi))
    top = (hi or lo + 20) + 3
    base = len(grammar.nonterminals)
    if hi is None:
        assert [n for n in range(top) if accepts(grammar, "x" * n)] == list(range(lo, top))
        return
    assert len(grammar.rules) < 400
    done: dict = {}

    def count(symbol):
        if symbol >= base:
            return {1: 1}
        if symbol not in done:
            total = Counter()
            for rule in grammar.rules:
                if rule.lhs == symbol:
                    lengths = {0: 1}
                    for s in rule.rhs:
                        more = Counter()
                        for n, k in lengths.items():
                            for m, j in count(s).items():
                                more[n + m] += k * j
                        lengths = more
                    total.update(lengths)
            done[symbol] = total
        return done[symbol]

    assert dict(count(grammar.start)) == {n: 1 for n in range(lo, hi + 1)}


@pytest.mark.parametrize("make, error", [
    (lambda: sg.Seq(1), sg.StructgenError), (lambda: sg.Seq(b"a"), sg.StructgenError),
    (lambda: sg.Either(), sg.UnsatisfiableSchema), (lambda: sg.Repeat("a", 3, 2), sg.UnsatisfiableSchema),
    (lambda: sg.Repeat("a", -1), sg.StructgenError), (lambda: sg.Repeat("a", 0, 10 ** 9), sg.LimitError),
    (lambda: sg.Text(until=""), sg.UnsatisfiableSchema), (lambda: sg.Text(until=5), sg.StructgenError),
    (lambda: sg.Token(""), sg.StructgenError), (lambda: sg.Token(-1), sg.StructgenError),
    (lambda: sg.Token(True), sg.StructgenError), (lambda: sg.Substring(5), sg.StructgenError),
    (lambda: sg.Substring("\ud800"), sg.StructgenError), (lambda: sg.Substring("a", by="lines"), sg.StructgenError),
    (lambda: sg.Substring("", empty=False), sg.UnsatisfiableSchema),
    (lambda: sg.Regex("a") & sg.Regex("b"), sg.UnsatisfiableSchema), (lambda: ~sg.Text(), sg.UnsatisfiableSchema),
    (lambda: sg.Regex("a") - sg.Text(), sg.UnsatisfiableSchema),
    (lambda: sg.JsonSchema(True) & sg.Regex("a"), sg.StructgenError), (lambda: ~CALL, sg.StructgenError),
])
def test_refusals(make, error):
    with pytest.raises(error):
        make()


def test_too_large_for_one_automaton_becomes_a_grammar():
    g = sg.Seq(sg.Repeat(sg.Regex("[a-z]{10}"), 0, 30_000), ".")
    assert isinstance(g.grammar(), CfgGrammar)
    assert accepts(g.grammar(), ".") and accepts(g.grammar(), "abcdefghij.")
    assert not accepts(g.grammar(), "abcdefghi.")


def test_shown():
    assert repr(sg.Seq("a", sg.Repeat(WORD, 1, sep=","), sg.Text(until="x"))) == \
        "Seq('a', Repeat(Regex('[a-z]+'), 1, sep=','), Text(until='x'))"
    assert re.match(r"Substring\('xx+'\.\.\.\)", repr(sg.Substring("x" * 100)))
