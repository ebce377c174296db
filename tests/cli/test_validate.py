"""``structgen validate`` in process: verdicts, places, formats of output, bad input."""

import json

import pytest

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"anyOf": [{"const": "a"}, {"type": "integer"}]}},
    },
    "required": ["name"],
    "additionalProperties": False,
}


def test_valid_instances(cli, write):
    schema = write("s.json", PERSON)
    done = cli("validate", schema, write("a.json", {"name": "Ada"}), write("b.json", {"name": "Bo", "age": 3}))
    assert done.code == 0
    assert [line.split(": ")[1] for line in done.out.splitlines()] == ["valid", "valid"]
    assert done.err == ""


def test_every_error_has_both_pointers(cli, write):
    instance = write("i.json", {"name": "x", "age": -1, "tags": ["a", "b"], "z": 1})
    done = cli("validate", write("s.json", PERSON), instance, "--output-format", "json")
    assert done.code == 1
    record = done.json()
    assert record["status"] == "invalid"
    assert {(e["pointer"], e["schema_pointer"]) for e in record["errors"]} == {
        ("/name", "#/properties/name/minLength"), ("/age", "#/properties/age/minimum"),
        ("/tags/1", "#/properties/tags/items/anyOf"), ("", "#/additionalProperties")}
    [any_of] = [e for e in record["errors"] if e["keyword"] == "anyOf"]
    assert [c["schema_pointer"] for c in any_of["causes"]] == [
        "#/properties/tags/items/anyOf/0/const", "#/properties/tags/items/anyOf/1/type"]
    assert [e["path"] for e in record["errors"] if e["keyword"] == "anyOf"] == ["$.tags[1]"]


def test_text_names_both_places(cli, write):
    done = cli("validate", write("s.json", PERSON), write("i.json", {"name": "Ada", "age": -1}))
    assert done.code == 1
    assert "/age: -1 is less than the minimum of 0  [#/properties/age/minimum]" in done.out


def test_standard_input_is_the_default_instance(cli, write):
    schema = write("s.json", PERSON)
    assert cli("validate", schema, input='{"name": "Ada"}').code == 0
    assert cli("validate", schema, "-", input='{"name": 1}').code == 1


def test_schema_from_standard_input(cli, write):
    done = cli("validate", "-", write("i.json", {"name": "Ada"}), input=json.dumps(PERSON))
    assert done.code == 0


def test_schema_as_text(cli, write):
    assert cli("validate", '{"type": "integer"}', write("i.json", "3")).code == 0
    assert cli("validate", "false", write("i.json", "3")).code == 1


def test_python_type(cli, write):
    source = write("shapes.py", "from pydantic import BaseModel\n\nclass Point(BaseModel):\n    x: int\n    y: int\n")
    instance = write("i.json", {"x": 1, "y": "2"})
    done = cli("validate", f"{source}:Point", instance)
    assert done.code == 1 and "/y" in done.out
    assert cli("validate", f"{source}:Line", instance).code == 3
    assert cli("validate", f"{source}x.py:Point", instance).code == 4


def test_json_lines(cli, write):
    lines = b'{"name": "Ada"}\n\n{"name": 1}\n{"name": oops}\n'
    done = cli("validate", write("s.json", PERSON), write("i.jsonl", lines), "--lines", "--output-format", "json")
    assert done.code == 1
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [(r["instance"].rsplit(":")[-1], r["status"]) for r in records] == [
        ("1", "valid"), ("3", "invalid"), ("4", "invalid")]
    text = cli("validate", write("s.json", PERSON), write("i.jsonl", lines), "--lines")
    assert text.out.splitlines()[-1] == "3 values, 2 invalid"


@pytest.mark.parametrize("text, line, column", [
    ('{"name":\n  oops}', 2, 3), ("", 1, 1), ("[1, 2", 1, 6), ("{'a': 1}", 1, 2), ("1 2", 1, 3)])
def test_malformed_instance_has_line_and_column(cli, write, text, line, column):
    done = cli("validate", "{}", write("i.json", text), "--output-format", "json")
    [error] = done.json()["errors"]
    assert done.code == 1
    assert (error["line"], error["column"]) == (line, column)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": 1, "a": 2}', '"\\ud800"', b'"\xff"',
                                  b"1e9999999999999999999999"])
def test_texts_that_are_no_json_value(cli, write, text):
    assert cli("validate", "{}", write("i.json", text)).code == 1


@pytest.mark.parametrize("text, place", [
    ('{"type":', "line 1, column 9"), ("[]", "object or a boolean"), ('{"type": "objec"}', "#/type"),
    ('{"properties": {"a": {"minimum": "x"}}}', "#/properties/a/minimum"), ('{"minimum": NaN}', "line 1, column 13"),
    ('{"items": {"pattern": "("}}', "#/items/pattern")])
def test_bad_schema(cli, write, text, place):
    done = cli("validate", write("s.json", text), write("i.json", "[1]"))
    assert done.code == 3
    assert done.out == "" and place in done.err and "Traceback" not in done.err


def test_reference_that_leads_nowhere(cli, write):
    instance = write("i.json", "{}")
    local = cli("validate", '{"$ref": "#/$defs/nope"}', instance)
    assert local.code == 3 and "#/$ref" in local.err
    remote = cli("validate", '{"$ref": "https://example.org/s.json"}', instance)
    assert remote.code == 3 and "https://example.org/s.json" in remote.err and "registry" in remote.err


def test_files_that_cannot_be_read(cli, write, tmp_path):
    schema = write("s.json", PERSON)
    good = write("i.json", {"name": "Ada"})
    done = cli("validate", schema, tmp_path / "none.json", good)
    assert done.code == 4
    assert "No such file" in done.out and "i.json: valid" in done.out
    assert cli("validate", schema, tmp_path).code == 4
    missing = cli("validate", tmp_path / "none.json", good)
    assert missing.code == 4 and "none.json" in missing.err
    assert cli("validate", tmp_path, good).code == 4


def test_deep_nesting_is_a_limit(cli, write):
    done = cli("validate", "{}", write("i.json", "[" * 100_000 + "]" * 100_000))
    assert done.code == 5 and "nesting" in done.err
    done = cli("validate", write("s.json", '{"items":' * 100_000 + "{}" + "}" * 100_000), write("i.json", "1"))
    assert done.code == 5 and "nest" in done.err


def test_standard_input_only_once(cli):
    done = cli("validate", "-", "-", input="{}")
    assert done.code == 2 and "only once" in done.err


def test_formats_can_be_switched_off(cli, write):
    schema = write("s.json", {"properties": {"d": {"format": "date"}, "i": {"format": "ipv4"}}})
    instance = write("i.json", {"d": "2023-02-30", "i": "1.2.3"})
    assert len(json.loads(cli("validate", schema, instance, "--output-format", "json").out)["errors"]) == 2
    one = cli("validate", schema, instance, "--no-format", "date", "--output-format", "json")
    assert [e["pointer"] for e in one.json()["errors"]] == ["/i"]
    assert cli("validate", schema, instance, "--format", "annotate").code == 0
    assert cli("validate", schema, instance, "--format", "annotate", "--no-format", "date").code == 2


def test_errors_as_json(cli, write):
    done = cli("validate", '{"type": "objec"}', write("i.json", "1"), "--output-format", "json")
    record = json.loads(done.err)
    assert done.code == record["exit_code"] == 3
    assert record["error"]["type"] == "SchemaError" and record["error"]["pointer"] == "#/type"
