"""``explain``, ``match``, ``mask``, ``compile`` and ``generate`` in process."""

import json
import re

import pytest

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "n": {"type": "integer", "minimum": 0, "maximum": 12}},
    "required": ["name"],
    "additionalProperties": False,
}
#: refused, not enforced, enforced and an annotation
MIXED = {"title": "t", "type": "array", "items": {"format": "phone"}, "not": {"uniqueItems": True}}


def test_explain_lists_every_keyword(cli, write):
    done = cli("explain", write("s.json", MIXED), "--output-format", "json")
    assert done.code == 3
    record = done.json()
    assert record["accepted"] is False and record["refusal"]["pointer"] == "#/not"
    assert {k["pointer"]: k["status"] for k in record["keywords"]} == {
        "#/title": "annotation", "#/type": "enforced", "#/items": "enforced", "#/items/format": "not enforced",
        "#/not": "refused", "#/not/uniqueItems": "enforced"}
    assert all(k["note"] for k in record["keywords"] if k["status"] in ("refused", "not enforced"))


def test_explain_exit_codes(cli, write):
    good, unknown = write("g.json", SCHEMA), write("u.json", {"format": "phone"})
    mixed = write("m.json", MIXED)
    assert cli("explain", good).code == 0
    assert cli("explain", good, "--fail-on", "unenforced").code == 0
    assert cli("explain", unknown).code == 0
    assert cli("explain", unknown, "--fail-on", "unenforced").code == 3
    assert cli("explain", mixed).code == 3
    assert cli("explain", mixed, "--fail-on", "never").code == 0
    unsatisfiable = cli("explain", '{"minimum": 3, "maximum": 2, "type": "integer"}', "--fail-on", "never")
    assert unsatisfiable.code == 3 and unsatisfiable.err
    assert cli("explain", '{"minimum": "x"}').code == 3


def test_explain_several_refusals(cli):
    schema = {"properties": {"a": {"not": {"uniqueItems": True}}, "b": {"items": {"not": {"uniqueItems": True}}}}}
    done = cli("explain", json.dumps(schema), "--output-format", "json")
    assert {k["pointer"] for k in done.json()["keywords"] if k["status"] == "refused"} == {
        "#/properties/a/not", "#/properties/b/items/not"}


def test_explain_what_can_never_be(cli):
    schema = {"type": "object", "properties": {"a": {"type": "string", "enum": [1, "x"]}, "b": {"minimum": 5}},
              "required": ["a"]}
    done = cli("explain", json.dumps(schema), "--witness", "--output-format", "json")
    assert done.code == 0
    assert done.json()["impossible"] == [
        {"pointer": "#/properties/a/enum/0", "note": "no valid value is this constant"}]
    assert done.json()["witness"] == {"a": "x"}
    text = cli("explain", json.dumps(schema), "--witness").out
    assert "1 impossible" in text and 'a shortest valid value: {"a": "x"}' in text


def test_explain_unsatisfiable(cli):
    schema = {"type": "object", "required": ["b"],
              "properties": {"b": {"type": "array", "items": False, "minItems": 1}}}
    done = cli("explain", json.dumps(schema))
    assert done.code == 3 and "no JSON value satisfies this schema (at #/properties/b)" in done.err


def test_explain_python_type(cli, write):
    source = write("shapes.py", "from pydantic import BaseModel\n\nclass P(BaseModel):\n    x: int = 0\n")
    done = cli("explain", f"{source}:P", "--output-format", "json")
    assert done.code == 0
    assert "narrowed" in {k["status"] for k in done.json()["keywords"]}    # undeclared keys


@pytest.mark.parametrize("text", ['{"name":"x"}', '{ "name": "x", "n": 12 }', '{"name":"\\u00e9"}', '{"name":"é"}'])
def test_match(cli, write, text):
    schema = write("s.json", SCHEMA)
    done = cli("match", schema, text)
    assert (done.code, done.out) == (0, "match\n")
    assert cli("match", schema, "-", input=text + "\n").code == 0
    assert cli("validate", schema, input=text).code == 0


@pytest.mark.parametrize("text, offset, line, column, expected", [
    ('{"name": 3}', 9, 1, 10, "'\"'"),
    ('{"name": "é",\n "x": 1}', 17, 2, 3, "'n'"),
    ('{"name": "x", "n": 13}', 20, 1, 21, "'0'-'2'"),
    ('{"name": "x"} ', 13, 1, 14, "the end"),
    ('{"name": ""}', 10, 1, 11, "any printable character but '\"'"),
    (' {}', 0, 1, 1, "'{'"),
])
def test_where_a_text_stops_fitting(cli, write, text, offset, line, column, expected):
    done = cli("match", write("s.json", SCHEMA), text, "--output-format", "json")
    assert done.code == 1
    record = done.json()
    assert (record["offset"], record["line"], record["column"]) == (offset, line, column)
    assert expected in record["expected"]
    assert record["match"] is False and record["incomplete"] is False
    shown = cli("match", write("s.json", SCHEMA), text)
    assert f"byte {offset} (line {line}, column {column})" in shown.out and expected in shown.out


def test_the_place_is_the_first_byte_that_no_valid_text_has(cli, write):
    """Against `re`, for a language without loops: the longest prefix of a member."""
    words = ["ada", "adb", "bob", "bobby"]
    for text in ("adz", "b", "bobb", "bobbyx", "", "zz", "ada"):
        options = [x for w in words for x in ("--choice", w)]
        record = cli("match", *options, text, "--output-format", "json").json()
        fits = max(k for k in range(len(text) + 1) if any(w.startswith(text[:k]) for w in words))
        assert record["match"] is (text in words)
        if not record["match"]:
            assert record["offset"] == fits
            following = sorted({ord(w[fits]) for w in words if w.startswith(text[:fits]) and len(w) > fits})
            assert record["expected_bytes"] == following


def test_incomplete_text_is_completed(cli, write):
    schema = write("s.json", SCHEMA)
    record = cli("match", schema, '{"name":"x"', "--output-format", "json").json()
    assert record["incomplete"] is True
    assert cli("match", schema, '{"name":"x"' + record["completion"]).code == 0


def test_match_regex_and_choice(cli):
    assert cli("match", "--regex", r"[a-z]+\d", "ab1").code == 0
    assert cli("match", "--regex", r"[a-z]+\d", "ab1x").code == 1
    assert cli("match", "--regex", r"\u{61}+", "--ecma", "aa").code == 0
    assert cli("match", "--choice", "yes", "--choice", "no", "no").code == 0
    broken = cli("match", "--regex", "(", "x")
    assert broken.code == 3 and broken.err


def test_match_usage(cli, write):
    schema = write("s.json", SCHEMA)
    assert cli("match", schema).code == 2
    assert cli("match", schema, "{}", "{}").code == 2
    assert cli("match", "--regex", "a", "--choice", "b", "a").code == 2
    assert cli("match", "-", "-", input="{}").code == 2
    assert cli("match", "--regex", "a", "a", "--order", "any").code == 2


def test_options_change_the_language(cli, write):
    schema = write("s.json", {**SCHEMA, "properties": {**SCHEMA["properties"], "d": {"format": "date"},
                                                      "m": {"type": "number"}}})
    swapped, exponent, escaped = '{"n": 1, "name": "x"}', '{"name": "x", "m": 1e1}', '{"name": "\\u0061"}'
    loose, dated = '{"name" : "x"}', '{"name": "x", "d": "soon"}'
    for text, options in ((swapped, ("--order", "any")), (dated, ("--format", "annotate")),
                          (dated, ("--no-format", "date"))):
        assert cli("match", schema, text).code == 1
        assert cli("match", schema, text, *options).code == 0
    for text, options in ((exponent, ("--numbers", "plain")), (escaped, ("--escapes", "minimal")),
                          (loose, ("--whitespace", "compact"))):
        assert cli("match", schema, text).code == 0
        assert cli("match", schema, text, *options).code == 1
    extra = '{"a": 1}'
    assert cli("match", '{"type": "object", "properties": {"b": {}}}', extra).code == 0
    assert cli("match", '{"type": "object", "properties": {"b": {}}}', extra, "--extra", "closed").code == 1
    assert cli("match", '{"not": {"uniqueItems": true}}', "[]").code == 3
    assert cli("match", '{"not": {"uniqueItems": true}}', "[1, 2]", "--lenient").code == 0


def test_mask(cli, write):
    schema = write("s.json", SCHEMA)
    done = cli("mask", schema, "-t", "bytes", "--prefix", '{"name": "x", "n": 1', "--output-format", "json")
    assert done.code == 0
    record = done.json()
    texts = {t["text"] for t in record["tokens"]}
    assert {"0", "1", "2", "}", "."} <= texts and "3" not in texts and "," not in texts
    assert record["can_end"] is False and record["eos"] == []
    end = cli("mask", schema, "-t", "bytes", "--prefix", '{"name": "x"}', "--output-format", "json").json()
    assert end["can_end"] is True and end["eos"] == [256] and end["allowed"] == 1


def test_mask_lists_top(cli):
    done = cli("mask", "--regex", "[a-z]", "-t", "bytes", "--top", "3")
    assert re.findall(r"'(\w)'", done.out) == ["a", "b", "c"] and "23 more" in done.out
    everything = cli("mask", "--regex", "[a-z]", "-t", "bytes", "--top", "0", "--output-format", "json")
    assert len(everything.json()["tokens"]) == 26


def test_mask_of_a_prefix_that_does_not_fit(cli, write):
    done = cli("mask", write("s.json", SCHEMA), "-t", "bytes", "--prefix", '{"nome')
    assert done.code == 1 and "byte 3" in done.err


def test_tokenizer_that_is_no_tokenizer(cli, write, tmp_path):
    schema = write("s.json", SCHEMA)
    assert cli("mask", schema, "-t", write("tokenizer.json", "{}")).code == 4
    assert cli("mask", schema, "-t", tmp_path).code == 4
    assert cli("mask", schema).code == 2


_DEEP = '{"items":' * 10_000 + "{}" + "}" * 10_000
_COMMANDS = {"validate": ("validate", "{schema}"), "explain": ("explain", "{schema}"),
             "match": ("match", "{schema}", "1"), "mask": ("mask", "{schema}", "-t", "bytes"),
             "compile": ("compile", "{schema}", "-t", "bytes", "-o", "{out}"),
             "generate": ("generate", "-m", "tiny", "-s", "{schema}")}


@pytest.mark.parametrize("command", _COMMANDS)
@pytest.mark.parametrize("content, code, told", [
    ('{"type": "integer",\n "minimum": }', 3, "line 2, column 13"), ("", 3, "line 1, column 1"),
    ('{"minimum": Infinity}', 3, "line 1, column 13"), ("[1, 2]", 3, "object or a boolean"),
    (b"\xff\xfe\x00", 3, None), (b"\x00" * 100, 3, None), (_DEEP, 5, "deep"),
    ('{"items": {"type": "integr"}}', 3, "#/items/type"), ('{"$ref": "#/$defs/nope"}', 3, "#/$ref"),
    ('{"$ref": "https://example.org/x.json"}', 3, "example.org"), ('{"pattern": "(a"}', 3, "#/pattern"),
    ('{"minLength": -1}', 3, "minLength"), ('{"required": "name"}', 3, "required")])
def test_bad_schema_whatever_the_command(cli, write, tmp_path, command, content, code, told):
    schema = write("s.json", content)
    arguments = [a.format(schema=schema, out=tmp_path / "o") for a in _COMMANDS[command]]
    done = cli(*arguments, input="1")
    assert done.code == code
    assert "Traceback" not in done.err and done.out == ""
    assert told is None or told in done.err


@pytest.mark.parametrize("command", _COMMANDS)
def test_schema_that_cannot_be_read(cli, tmp_path, command):
    for schema in (tmp_path, tmp_path / "none.json", "no.such.module:Name", tmp_path / "none.py:Name"):
        arguments = [a.format(schema=schema, out=tmp_path / "o") for a in _COMMANDS[command]]
        done = cli(*arguments, input="1")
        assert done.code == 4 and done.err.startswith("error: ") and done.out == ""


def test_compile(cli, write, tmp_path):
    import structgen as sg

    target = tmp_path / "out.sgc"
    done = cli("compile", write("s.json", SCHEMA), "-t", "bytes", "-o", target, "--output-format", "json")
    assert done.code == 0
    record = done.json()
    assert record["bytes"] == target.stat().st_size > 0 and record["compile_ms"] > 0
    assert str(target) in cli("compile", write("s.json", SCHEMA), "-t", "bytes", "-o", target).out
    vocabulary = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)] + [b""], eos_ids=[256])
    loaded = sg.load_compiled(target, vocabulary).matcher()
    loaded.accept_bytes(b'{"name":"x"}')
    assert loaded.can_end()
    nowhere = write("file", "") / "x.sgc"
    assert cli("compile", write("s.json", SCHEMA), "-t", "bytes", "-o", nowhere).code == 4
    assert cli("compile", write("s.json", {"not": {"uniqueItems": True}}), "-t", "bytes", "-o", target).code == 3


@pytest.mark.hf
class TestGenerate:
    """With the tiny random model."""

    @pytest.fixture(autouse=True)
    def _model(self):
        pytest.importorskip("torch")
        pytest.importorskip("transformers")

    def test_valid_json_lines(self, cli, write):
        schema = write("s.json", SCHEMA)
        done = cli("generate", "-m", "tiny", "-s", schema, "--n", "3", "--seed", "1", "--max-new-tokens", "40",
                   "--output-format", "json")
        assert done.code == 0
        records = [json.loads(line) for line in done.out.splitlines()]
        assert len(records) == 3
        for record in records:
            assert record["finish_reason"] == "stop" and record["tokens"] <= 40
            assert cli("validate", schema, input=record["text"]).code == 0
            assert json.loads(record["text"]) == record["value"]
        again = cli("generate", "-m", "tiny", "-s", schema, "--n", "3", "--seed", "1", "--max-new-tokens", "40",
                    "--output-format", "json")
        assert [json.loads(line)["text"] for line in again.out.splitlines()] == [r["text"] for r in records]

    def test_python_type(self, cli, write):
        source = write("shapes.py", "from datetime import date\nfrom pydantic import BaseModel\n\n"
                                    "class P(BaseModel):\n    day: date\n    ok: bool\n")
        done = cli("generate", "-m", "tiny", "-s", f"{source}:P", "--max-new-tokens", "60", "--output-format", "json")
        assert done.code == 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", done.json()["value"]["day"])

    def test_regex_prompt_from_standard_input(self, cli):
        done = cli("generate", "-m", "tiny", "--regex", "[ab]{4}", "-p", "-", "--max-new-tokens", "8", input="Hello")
        assert done.code == 0 and re.fullmatch(r"[ab]{4}\n", done.out)

    def test_stream_ends_with_the_value(self, cli, write):
        schema = write("s.json", SCHEMA)
        arguments = ("generate", "-m", "tiny", "-s", schema, "--seed", "5", "--temperature", "1",
                     "--max-new-tokens", "40")
        lines = [json.loads(line) for line in cli(*arguments, "--stream").out.splitlines()]
        assert lines[-1] == json.loads(cli(*arguments).out)
        assert cli(*arguments, "--stream", "--n", "2").code == 2

    def test_budget(self, cli, write):
        done = cli("generate", "-m", "tiny", "-s", write("s.json", SCHEMA), "--max-new-tokens", "2",
                   "--output-format", "json")
        error = json.loads(done.err)["error"]
        assert done.code == 5 and error["type"] == "BudgetError" and error["needed"] > error["given"] == 2

    def test_model_that_is_not_there(self, cli, tmp_path):
        done = cli("generate", "-m", tmp_path, "-s", "true")
        assert done.code == 4 and "Traceback" not in done.err

    def test_usage(self, cli):
        assert cli("generate", "-m", "tiny").code == 2
        assert cli("generate", "-m", "tiny", "-s", "true", "--regex", "a").code == 2
        assert cli("generate", "-m", "tiny", "-s", "-", "-p", "-", input="true").code == 2
        assert cli("generate", "-m", "tiny", "-s", "true", "--max-new-tokens", "0").code == 2
        assert cli("generate", "-m", "tiny", "-s", "true", "--temperature", "-1").code == 2
