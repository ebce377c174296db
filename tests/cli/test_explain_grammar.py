"""``structgen explain`` for grammars."""

import pytest

from tests.support.command_line import run_command


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "g.lark").write_text(
        'start: (s ";")+\n'
        's: NAME "=" NAME | "unset" NAME <|x|> | old | "if" s ["else" s]\n'
        'NAME: /[a-z\\n]+/\nold: "=" old\nWS: " "\n%ignore WS\nspare: "x"\n'
    )
    (tmp_path / "bad.lark").write_text("start: (\n")
    (tmp_path / "g.gbnf").write_text('root ::= "(" root ")" | [a-z]+\n')
    (tmp_path / "g.ebnf").write_text("top ::= '(' top ')' | 'x'\n")
    return tmp_path


def test_lark(folder):
    done = run_command("explain", folder / "g.lark", "--parser", "lalr", "--output-format", "json")
    assert done.code == 0
    record = done.json()
    assert record["lexing"] == "contextual" and record["tables"] == "lalr" and record["states"] > 5
    by_name = {t["name"]: t for t in record["terminals"]}
    assert by_name["NAME"]["keywords"] == ["ELSE", "UNSET", "IF"] and by_name["WS"]["ignored"]
    assert by_name["<|x|>"]["kind"] == "token"
    assert record["terminals"][0]["name"] == "NAME"           # the widest is tried first
    assert any("ELSE goes on" in line for line in record["shift_reduce"])
    assert record["removed"] == ["rule old: derives no text (line 4)"]


def test_text(folder):
    done = run_command("explain", folder / "g.lark")
    assert done.code == 0 and "lexing dynamic" in done.out and "rule old: derives no text (line 4)" in done.out
    assert "/[a-z\\n]+/" in done.out and "[ignored]" in done.out
    assert "texts" not in run_command("explain", folder / "g.ebnf").out
    assert run_command("explain", folder / "g.gbnf").out.startswith("start root, lexing scannerless\n")


def test_errors(folder):
    done = run_command("explain", folder / "bad.lark")
    assert done.code == 3 and "line 1" in done.err
    assert run_command("explain", folder / "none.lark").code == 3
    assert run_command("explain", folder / "g.gbnf", "--parser", "lalr").code != 0
    assert run_command("explain", '{"type": "null"}', "--parser", "lalr").code == 2
    assert run_command("explain", folder / "g.lark", "--postlex", "ruby").code != 0


def test_match_says_what_the_grammar_expects(tmp_path):
    (tmp_path / "g.lark").write_text('start: NAME "=" expr\nexpr: expr "+" expr | NAME | "(" expr ")"\n'
                                     'NAME: /[a-z]+/\n%ignore " "\n')
    done = run_command("match", tmp_path / "g.lark", "a = (b + ;", "--parser", "lalr", "--output-format", "json")
    assert done.code == 1
    record = done.json()
    assert record["offset"] == 9 and record["expected_terminals"] == ["NAME", "'('"] and record["reading"] == []
    done = run_command("match", tmp_path / "g.lark", "a = b1", "--parser", "earley")
    assert done.code == 1 and "inside of NAME" in done.out and "then one of '+'" in done.out
    (tmp_path / "i.lark").write_text('start: (NAME ":" _NEWLINE _INDENT NAME _NEWLINE _DEDENT)+\nNAME: /[a-z]+/\n'
                                     '_NEWLINE: /(\\n *)+/\n%declare _INDENT _DEDENT\n')
    for text, code in (("a:\n  b\n", 0), ("a:\nb\n", 1)):
        assert run_command("match", tmp_path / "i.lark", text, "--parser", "lalr", "--postlex", "python").code == code
    done = run_command("match", "--regex", "a", "a", "--start", "x")
    assert done.code == 2


def test_diagrams(folder):
    pytest.importorskip("railroad")
    import xml.etree.ElementTree as tree

    done = run_command("explain", folder / "g.lark", "--parser", "lalr", "--diagram", folder / "g.svg")
    assert done.code == 0
    root = tree.fromstring((folder / "g.svg").read_text())
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"start", "s", "NAME", "'unset'", "<|x|>"} <= set(texts)
    assert not any(t.startswith("__") for t in texts)      # operators are drawn, not named
    assert run_command("explain", folder / "g.gbnf", "--diagram", folder / "none" / "x.svg").code == 4
