"""Constraints inside of grammars: masks along seams, against the slow recogniser and text by text."""

import itertools
import json
import random

import pytest

import structgen as sg
from structgen.reference.cfg import Special, accepts

PIECES = [b'{"', b'"}', b'"}</', b'>{"a', b"1}", b"}</t>", b"},", b"> {", b"<t", b"<t>", b"12", b"0,0", b"ab",
          b"a1", b"1a", b"aab", b'":', b"b)", b"(1", b"1)x", b"[1]", b"][", b"1,[", b",,", b"a b", b" 1", b"} ",
          b"true", b"x{"]
BASE = [bytes([b]) for b in range(256)]
V = sg.Vocabulary.from_tokens([*BASE, *PIECES], eos_ids=[400], special={"<go>": 401})
INTEGER = {"type": "integer", "minimum": 0, "maximum": 12}
OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
NAMES = 'start: NAME ("," NAME)*\nNAME: /[a-z]+/\n%ignore " "\n'

CASES = {
    "tags": (sg.Seq(sg.Text(until="<t>"), "<t>", OBJECT, "</t>"), "<t>/a:1 {}\""),
    "a part that may end anywhere": (sg.Seq(INTEGER, sg.Regex("[01]*")), "012"),
    "alternatives": (sg.Either(INTEGER, sg.Seq(INTEGER, "a"), sg.Lark(NAMES, parser="lalr")), "01a, b"),
    "lists": (sg.Repeat(INTEGER, 1, 3, sep=","), "01,"),
    "arrays side by side": (sg.Seq({"type": "array", "items": INTEGER}, sg.Optional({"type": "array"})), "[]1,"),
    "a grammar with its own lexer": (sg.Seq(sg.Lark(NAMES), "1", sg.Lark(NAMES, parser="lalr")), "ab1, "),
    "parts that may be empty": (sg.Seq(sg.Repeat(sg.Lark('start: "a"*', parser="lalr"), 0, 2, sep="b"), "ab"), "ab"),
    "names before a part": (sg.Lark('start: "(" (NAME ARG)+ ")"\nNAME: /[a-z]+/\n%declare ARG\n%ignore " "\n',
                                    embed={"ARG": sg.Either(INTEGER, "aa1")}), "(a1) b"),
    "parts in parts": (sg.Seq("x", sg.Lark('start: "(" A ("," A)* ")"\n%declare A\n%ignore " "\n', embed={
        "A": sg.Seq(sg.Lark(NAMES, parser="lalr"), OBJECT)}), "x"), "x(,)a{} :1\""),
    "shorter matches": (sg.Lark('start: NAME ARG\nNAME: /[a-z]+/\n%declare ARG\n', lexer="dynamic_complete",
                                embed={"ARG": sg.Either("ab", INTEGER)}), "ab1"),
}


@pytest.fixture(scope="module", params=list(CASES))
def case(request):
    constraint, alphabet = CASES[request.param]
    return sg.compile(constraint, V), constraint, alphabet


def member(c, text):
    m = c.matcher()
    try:
        m.accept_bytes(text)
    except sg.MatcherError:
        return None
    return m.can_end()


def test_membership(case):
    """Every short text, and the completions of their beginnings."""
    c, constraint, alphabet = case
    grammar = constraint.grammar()
    size = 4 if len(alphabet) <= 4 else 3 if len(alphabet) <= 9 else 2
    good, dead = set(), []
    for n in range(size + 1):
        for word in map("".join, itertools.product(alphabet, repeat=n)):
            verdict = member(c, word.encode())
            assert bool(verdict) == accepts(grammar, word), word
            if verdict:
                good.add(word)
            if verdict is None:
                dead.append(word)
            else:
                m = c.matcher()
                m.accept_bytes(word.encode())
                rest = m.shortest_completion().decode()
                assert accepts(grammar, word + rest), (word, rest)
                assert len(rest) <= min((len(g) - n for g in good if g.startswith(word)), default=99)
    assert not any(g.startswith(word) for word in dead for g in good)


def test_masks(case):
    """A token is allowed where its bytes are, one by one."""
    c, constraint, alphabet = case
    rng = random.Random(alphabet)
    grammar = constraint.grammar()
    for _ in range(4):
        m = c.matcher()
        for _ in range(rng.choice([2, 4, 7])):
            allowed = set(m.allowed_tokens().tolist())
            assert allowed
            assert (400 in allowed) == m.can_end() == accepts(grammar, m.text.decode("utf-8", "replace"))
            for t in range(len(BASE) + len(PIECES)):
                probe = m.fork()
                ok = True
                try:
                    probe.accept_bytes(V.token_bytes(t))
                except sg.MatcherError:
                    ok = False
                assert ok == (t in allowed) == m.fork().try_accept(t), (m.text, V.token_bytes(t))
            usual = [t for t in allowed if t < 400 and V.token_bytes(t)[0] < 128 and (
                t > 255 or chr(t) in alphabet or rng.random() < 0.02)]
            if not usual:
                break
            m.accept(rng.choice(usual))
        rest = m.shortest_completion()
        m.accept_bytes(rest)
        assert m.can_end() and accepts(grammar, m.text.decode())


def test_budgets(case):
    c, _, _ = case
    with pytest.raises(sg.BudgetError) as caught:
        c.matcher(max_tokens=0)
    least = caught.value.needed
    for budget in range(least, least + 5):
        rng = random.Random(budget)
        for _ in range(4):
            m = c.matcher(max_tokens=budget)
            while not m.is_finished:
                m.accept(int(rng.choice(m.allowed_tokens())))
            assert m.n_tokens <= budget


def test_special_tokens_start_parts():
    g = sg.Seq(sg.Text(until=sg.Token("<go>")), sg.Token("<go>"), OBJECT)
    c = sg.compile(g, V)
    m = c.matcher()
    m.accept_bytes(b"free {text")
    assert 401 in m.allowed_tokens() and 400 not in m.allowed_tokens()
    with pytest.raises(sg.MatcherError, match="special token <go>"):
        m.shortest_completion()
    m.accept(401)
    assert m.expected_bytes() == b"{" and m.shortest_completion() == b'{"a":0}'
    m.accept_bytes(b'{"a":5}')
    assert m.can_end() and accepts(g.grammar(), ["free {text", Special("<go>"), '{"a":5}'])
    with pytest.raises(sg.BudgetError):
        c.matcher(max_tokens=6)
    m = c.matcher(max_tokens=7)
    rng = random.Random(5)
    while not m.is_finished:
        m.accept(int(rng.choice(m.allowed_tokens())))
    assert m.n_tokens <= 7


def test_fork_rollback_save(tmp_path):
    c = sg.compile(CASES["tags"][0], V)
    m = c.matcher()
    m.accept_bytes(b'<t>{"a":')
    fork = m.fork()
    fork.accept_bytes(b"1}</t>")
    fork.rollback()
    assert fork.text == m.text and m.state == fork.state
    c.save(tmp_path / "tags")
    again = sg.load_compiled(tmp_path / "tags", V).matcher()
    again.accept_bytes(b'<t>{"a":')
    assert again.allowed_tokens().tolist() == m.allowed_tokens().tolist()


def test_lexers_that_compete_take_no_parts():
    with pytest.raises(sg.GrammarError, match="ARG is another constraint"):
        sg.Lark("start: ARG\n%declare ARG\n", parser="lalr", embed={"ARG": sg.JsonSchema({})})
    with pytest.raises(sg.GrammarError, match="look-behind at the start"):
        sg.compile(sg.Lark("start: (A | X | ARG)+\nA: /(?<=x)a/\nX: /x/\n%declare ARG\n",
                           embed={"ARG": sg.JsonSchema(INTEGER)}), V)


def test_items_that_differ_inside_of_a_part():
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": 2}
    c = sg.compile(sg.Seq("v", schema, "!"), V)
    m = c.matcher()
    m.accept_bytes(b"v[1,")
    assert member(c, b"v[1,1]!") is None and member(c, b"v[1,12]!") is True
    m.accept_bytes(m.shortest_completion())
    items = json.loads(m.text.decode()[1:-1])
    assert m.can_end() and len(set(items)) == len(items) >= 2


def test_a_part_must_take_some_text():
    vocabulary = sg.Vocabulary.from_tokens([*[bytes([b]) for b in range(256)], None], eos_ids=[257],
                                           special={"<|tool|>": 256})
    given = sg.Lark('start: "b" X\n%declare X', embed={"X": sg.Seq("a", sg.Token("<|tool|>"))})
    with pytest.raises(sg.GrammarError, match="<|tool|>"):
        sg.compile(given, vocabulary)
