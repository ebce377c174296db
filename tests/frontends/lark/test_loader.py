"""What the reader of Lark files refuses, where it says so, and its extensions."""


import pytest
from lark.indenter import PythonIndenter

from structgen.combinators import Token
from structgen.constraints import JsonSchema
from structgen.errors import GrammarError, StructgenError
from structgen.frontends.lark import read_lark
from structgen.reference.cfg import Special, accepts

BAD = [
    ('start: foo', (1, 8), "'foo' used but not defined"),
    ('start: item\nitm: "a"', (1, 8), "did you mean 'itm'"),
    ('start: "a" "FOO" FOO', (1, 18), "not defined"),
    ('start: "a\n', (1, 8), "unexpected"),
    ('start "a"', (1, 7), "missing colon"),
    ('start: A\nA: /a*/', (2, 1), "may match the empty text"),
    ('start: A\nA: /(a)\\1/', (2, 1), "back-references"),
    ('start: A\nA: /\\p{L}/', (2, 1), "Python's re"),
    ('start: x\n%import foo.bar\nx: bar', (2, 1), "no grammar 'foo.lark'"),
    ('strat: "a"', None, "did you mean 'strat'"),
    ('// list\nstart: start "a"', (2, 1), "no text can be derived from 'start'"),
    ('start: a\na: b\nb: a', (1, 1), "derive no text either: a, b"),
    ('start: ' + ' '.join(f'"x{i}"?' for i in range(30)), (1, 1), "multiplies out"),
    ('start: ("a"|"b")~40', (1, 1), "multiplies out"),
    ('start: a{"x"}\na{x}: x a{b{x}}\nb{x}: x', (2, 1), "never ends"),
    ('start: A\n%declare A', (1, 8), "nothing says what it is"),
    ('start: a\n%declare a', (1, 8), "declared but nowhere defined"),
    ('start: "a" < "b"', (1, 12), "special token"),
    ('start: A | "b"\nA: B\nB: A', (2, 1), "recursion in terminal"),
    ('start: A\nA: "x"\nA: "y"', (2, 1), "more than once"),
    ('start: "a"\n%ignore FOO', (2, 9), "not defined"),
    ('start: a{"x"}', (1, 8), "not defined"),
    ('start: A\nA: start', None, "rules aren't allowed inside terminals"),
    ('start: ' + "(" * 300 + '"a"' + ")" * 300, None, "nested"),
    ("", None, "no rule 'start'"),
]


@pytest.mark.parametrize("text, place, message", BAD, ids=[t[:30] for t, _, _ in BAD])
def test_errors_name_the_place(text, place, message):
    with pytest.raises(GrammarError) as caught:
        read_lark(text)
    assert message in str(caught.value)
    assert place is None or (caught.value.line, caught.value.column) == place


@pytest.mark.parametrize("options, message", [
    ({"parser": "cyk"}, "no mode"), ({"parser": "lalr", "lexer": "dynamic"}, "no mode"),
    ({"postlex": PythonIndenter(), "lexer": "dynamic"}, "postlex"), ({"postlex": object()}, "indenters"),
    ({"parser": "lalr", "postlex": PythonIndenter}, "no terminal '_NEWLINE'"), ({"priority": "high"}, "priority"),
    ({"start": ["a", "b"]}, "one rule"), ({"embed": {"X": JsonSchema(True)}}, "no terminal of that name"),
])
def test_options(options, message):
    with pytest.raises(StructgenError, match=message):
        read_lark('start: "a"', **options)


def test_an_indenter_of_ones_own_is_refused():
    class Mine(PythonIndenter):
        def handle_NL(self, token):
            yield token

    with pytest.raises(StructgenError, match="handle_NL"):
        read_lark('start: "a"', parser="lalr", postlex=Mine())


@pytest.mark.timeout(60)         # the point is that it comes back at all
def test_hostile_grammars_end():
    for text in ['start: a{"x"}\na{x}: x a{b{x}}\nb{x}: x', "start: " + "(" * 5000, "start: " + '"a"?' * 4000,
                 "start: (" + '"a"?' * 12 + ")~49", 'start: "a"~1..1000000', 'start: ' + '["a"' * 100 + "]" * 100]:
        try:
            read_lark(text)
        except StructgenError:
            pass


def test_unused_parts_are_reported():
    g = read_lark('start: "a" | "b" loop\nloop: "x" loop\nother: "c"')
    assert ("loop", "derives no text") in [(r.name, r.why) for r in g.removed]


def test_special_tokens():
    g = read_lark('start: <|call|> "x" <[7]> // <no>\n  | "<|call|>"')
    assert [t.token for t in g.terminals if t.kind == "token"] == ["<|call|>", 7]
    assert accepts(g, [Special("<|call|>"), "x", Special(7)])
    assert accepts(g, "<|call|>")
    assert not accepts(g, [Special("<|call|>")]) and not accepts(g, ["<|call|>", "x", Special(7)])


def test_a_special_token_ends_the_lexeme_before_it():
    g = read_lark('start: NAME <|end|> NAME\nNAME: /[a-z]+/', parser="lalr")
    assert accepts(g, ["ab", Special("<|end|>"), "c"])
    assert not accepts(g, ["ab", "c", Special("<|end|>")])


def test_embedded_constraints():
    g = read_lark('start: "call" ARGS "."\n%declare ARGS\n%ignore " "',
                  embed={"ARGS": JsonSchema({"type": "object", "properties": {"a": {"type": "integer"}},
                                             "additionalProperties": False})})
    assert accepts(g, 'call {"a": 1}.') and accepts(g, "call{} .")
    assert not accepts(g, 'call {"a": "x"}.') and not accepts(g, "call.")
    with pytest.raises(GrammarError, match="only the dynamic lexers"):
        read_lark('start: "call" ARGS\n%declare ARGS', parser="lalr", embed={"ARGS": JsonSchema(True)})


def test_priority_inverted():
    text = 'start: (A | B)+\nA.2: /[a-z]/\nB: /[a-z]+/'
    names = {}
    for priority in ("normal", "invert", None):
        g = read_lark(text, parser="lalr", priority=priority)
        names[priority] = g.terminal(g.order[0]).name
    assert names == {"normal": "A", "invert": "B", None: "B"}


def test_imports_from_folders(tmp_path):
    (tmp_path / "words.lark").write_text('_hi{x}: "hi" x\nNAME: /[a-z]+/\n')
    text = '%import words (_hi, NAME)\nstart: _hi{NAME}'
    assert accepts(read_lark(text, import_paths=[str(tmp_path)]), "hibob")
    (tmp_path / "main.lark").write_text('%import .words.NAME\nstart: NAME "!"')
    path = tmp_path / "main.lark"
    assert accepts(read_lark(path.read_text(), source_path=str(path)), "bob!")


@pytest.mark.parametrize("options", [{}, {"lexer": "dynamic_complete"}, {"parser": "lalr"},
                                     {"parser": "lalr", "lexer": "basic"}])
def test_a_declared_terminal_may_be_a_special_token(options):
    g = read_lark('start: "b" | X "a"\n%declare X', embed={"X": Token("<|tool|>")}, **options)
    assert accepts(g, [Special("<|tool|>"), "a"]) and accepts(g, "b")
    assert not accepts(g, "a") and not accepts(g, "<|tool|>a")
