"""GBNF and EBNF: by a literal reading of random grammars, against xgrammar, and their errors."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structgen.errors import GrammarError, StructgenError
from structgen.frontends import notation
from structgen.frontends.gbnf import read_ebnf, read_gbnf
from structgen.reference.cfg import Special, accepts

WORDS = ["".join(w) for n in range(4) for w in itertools.product("ab", repeat=n)]

items = st.recursive(
    st.sampled_from(['"a"', '"b"', '"ab"', '""', "[ab]", "[^a]", "x", "y", "root"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}"])).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda xs: f"({' '.join(xs)})"),
        st.lists(inner, min_size=1, max_size=3).map(lambda xs: f"({' | '.join(xs)})")), max_leaves=5)
bodies = st.lists(st.lists(items, max_size=3).map(" ".join), min_size=1, max_size=3).map(" | ".join)


@settings(max_examples=150, deadline=None)
@given(bodies, bodies, bodies)
def test_terminals_of_runs_keep_the_language(a, b, c):
    text = f"root ::= {a}\nx ::= {b}\ny ::= {c}\n"
    verdicts = []
    for size in (notation.MAX_SIZE, 0):                 # 0: every character class is a terminal
        before, notation.MAX_SIZE = notation.MAX_SIZE, size
        try:
            grammar = read_gbnf(text)
            verdicts.append([accepts(grammar, w) for w in WORDS])
        except GrammarError as err:
            assert "no text can be derived" in str(err)
            verdicts.append(None)
        finally:
            notation.MAX_SIZE = before
    one, two = verdicts
    assert one == two or one is None and not any(two) or two is None and not any(one)


JSON = r'''
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
'''
CASES = [
    (JSON, ['{"a": [1, 2.5e3, "x\\n"]}', "{}", '{"é": {}}', '{\n "a":\n 1}\n', '{"a" 1}', "[1]", '{"a": tru}',
            '{"a": 01}', '{"\\u00e9": ""}', '{"\\u00g9": ""}', '{"a":1,}', '{"a":  1}']),
    ('root ::= (expr "=" term "\\n")+\nexpr ::= term ([-+*/] term)*\nterm ::= num | "(" ws expr ")" ws\n'
     'num ::= [0-9]+ ws\nws ::= ([ \\t] ws)?', ["1+2=3\n", "(1 +2) *3=9 \n", "1+=2\n", "1=1", "((1))=1\n2=2\n", ""]),
    ('root ::= left\nleft ::= left "+" [0-9] | [0-9]', ["1", "1+2+3", "1+", ""]),
    ('root ::= "x"{2,3} "y"{2} ("z"{1,})?', ["xxyy", "xxxyy", "xxxxyy", "xyy", "xxyyz", "xxyyzzz", "xxy"]),
    ('root ::= [^a-c]+ "\\x41\\u00e9\\U0001F600"', ["dAé😀", "éAé😀", "aAé😀", "Aé😀", "d\nAé😀"]),
    ('root ::= "[" (root ("," root)*)? "]"', ["[]", "[[],[[]]]", "[[]", "[,]", "[[],]"]),
]


@pytest.mark.parametrize("text, strings", CASES, ids=["json", "equations", "left", "counts", "escapes", "nested"])
def test_against_xgrammar(text, strings):
    xgrammar = pytest.importorskip("xgrammar")
    ours = read_gbnf(text)
    info = xgrammar.TokenizerInfo([bytes([b]) for b in range(256)] + [b"</s>"], stop_token_ids=[256])
    theirs = xgrammar.Grammar.from_ebnf(text.replace("::= |", '::= "" |'))
    compiled = xgrammar.GrammarCompiler(info).compile_grammar(theirs)
    for string in strings:
        matcher = xgrammar.GrammarMatcher(compiled)
        theirs = all(matcher.accept_token(b) for b in string.encode()) and matcher.accept_token(256)
        assert accepts(ours, string) == theirs, string


def test_a_dot_is_any_character():
    g = read_gbnf('root ::= "<" . ">"')
    assert accepts(g, "<\n>") and accepts(g, "<é>") and not accepts(g, "<>") and not accepts(g, "<ab>")


def test_special_tokens():
    g = read_gbnf('root ::= <|call|> [a-z]+ <[7]>')
    assert accepts(g, [Special("<|call|>"), "ab", Special(7)]) and not accepts(g, "<|call|>ab")


def test_lines():
    g = read_gbnf('# list\nroot ::=\n  "a"\n  | "b" # second\n  | (\n "c"\n "d")\n\nx ::= "y"')
    assert [accepts(g, t) for t in ("a", "b", "cd", "c", "y")] == [True, True, True, False, False]


XML = """
[1] document ::= element /* no prologue */
[2] element  ::= '<' Name '>' (element | Text)* '</' Name '>' [ WFC: names match ]
[3] Text     ::= (Char - [<&])+
[4] Char     ::= #x9 | #xA | [#x20-#xD7FF] | [#x10000-#x10FFFF]
[5] Name     ::= ([a-z] | '_')+ - 'xml'
"""


def test_ebnf():
    g = read_ebnf(XML)
    good = ["<a></a>", "<a>hi <b_></b_>\té</a>", "<xmla></xm>"]
    bad = ["", "<a>", "<xml></xml>", "<a>&</a>", "<A></A>"]
    assert [accepts(g, t) for t in good + bad] == [True] * 3 + [False] * 5
    assert accepts(read_ebnf(XML, start="Name"), "_")


@pytest.mark.parametrize("text, place, message", [
    ('root ::= foo', (1, 10), "'foo' is used but not defined"),
    ('root ::= itm\nitem ::= "a"', (1, 10), "did you mean 'item'"),
    ('root ::= "a', (1, 10), "closing quote"), ('root ::= [a', (1, 10), "without its ']'"),
    ('root ::= ("a"', (1, 14), "')' was expected"), ('root ::= "\\q"', (1, 11), "unknown escape"),
    ('root ::= "\\xZZ"', (1, 11), "2 hexadecimal"), ('root ::= "\\ud800"', (1, 11), "no character"),
    ('root = "a"', (1, 6), "'::=' was expected"), ('root ::= [z-a]', (1, 10), "out of order"),
    ('root ::= "a"{3,2}', (1, 13), "from 3 to 2"), ('root ::= "a"{x}', (1, 13), "count"),
    ('root ::= "a" )', (1, 14), "end of the line"), ('\n\nroot ::= "a"\nroot ::= "b"', (4, 1), "defined twice"),
    ('rot ::= "a"', None, "no rule 'root'"), ('', None, "no rule 'root'"), ('root ::= !<a>', (1, 10), "not supported"),
    ('root ::= < a', (1, 10), "special token"), ('root ::= "a" root', (1, 1), "no text can be derived"),
    ('root ::= "a" $', (1, 14), "unexpected '$'"), ('root ::= "a"{9999999}', (1, 13), "above"),
    ("root ::= " + "(" * 500, None, "nested"), ('root ::= "a" b ::= "c"', (1, 14), "start a new line"),
])
def test_errors_name_the_place(text, place, message):
    with pytest.raises(GrammarError) as caught:
        read_gbnf(text)
    assert message in str(caught.value)
    assert place is None or (caught.value.line, caught.value.column) == place


@pytest.mark.parametrize("text, message", [
    ("a ::= 'x", "closing quote"), ("a ::= b", "not defined"), ("a ::= (a 'x' | 'y') - 'y'", "not both regular"),
    ("a ::= #xD800", "no character"), ("a ::= [#x9", "without its ']'"), ("a ::= 'x' - ", "exclude"), ("a", "'::='"),
])
def test_errors_of_ebnf(text, message):
    with pytest.raises(GrammarError, match=message):
        read_ebnf(text)


@pytest.mark.timeout(60)         # the point is that it comes back at all
def test_hostile_grammars_end():
    chain = "".join(f'\nr{i} ::= r{i + 1}? "x"' for i in range(2000))
    for text in ["root ::= " + "|".join(f"r{i}" for i in range(2000)) + chain + '\nr2000 ::= "y"',
                 'root ::= ("a"{1000}){1000}{1000}', 'root ::= root root | "a"', 'root ::= (("a"*)*)*',
                 "root ::= " + '("a" | "b")? ' * 3000, 'root ::= "' + "a" * 200_000 + '"', "root ::= root | root?"]:
        try:
            read_gbnf(text)
        except StructgenError:
            pass
