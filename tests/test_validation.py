"""`structgen.validate` against the official test suite, and where it is stricter than the library."""

import json
import tarfile
from decimal import Decimal

import pytest

from structgen.errors import LimitError, SchemaError
from structgen.validation import Validator, validate

DRAFTS = {"draft4": "http://json-schema.org/draft-04/schema#", "draft6": "http://json-schema.org/draft-06/schema#",
          "draft7": "http://json-schema.org/draft-07/schema#",
          "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
          "draft2020-12": "https://json-schema.org/draft/2020-12/schema"}

#: Cases of the suite that this validator does not pass, each with its reason.
KNOWN = {
    ("unevaluatedProperties.json", "unevaluatedProperties with adjacent non-bool additionalProperties"):
        "the library's reading in draft 2019-09",
}


@pytest.fixture(scope="module")
def suite(data_dir, tmp_path_factory):
    """The folder of the official suite that holds ``tests`` and ``remotes``."""
    for found in sorted(data_dir.glob("**/draft2020-12")):
        if found.parent.name == "tests":
            return found.parent.parent
    archive = data_dir / "json-schema-test-suite.tar.xz"
    if not archive.is_file():
        pytest.skip("no JSON Schema test suite in STRUCTGEN_DATA")
    target = tmp_path_factory.mktemp("suite")
    with tarfile.open(archive) as tar:
        tar.extractall(target, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return next(p for p in target.glob("**/draft2020-12") if p.parent.name == "tests").parent.parent


def _remotes(suite, draft):
    out = {}
    for path in sorted((suite / "remotes").glob("**/*.json")):
        name = path.relative_to(suite / "remotes").as_posix()
        if name.split("/")[0].startswith("draft") and not name.startswith(draft + "/"):
            continue
        text = path.read_text(encoding="utf-8")
        if draft == "draft4" and ("true" in text or "false" in text):
            continue        # boolean schemas, which draft 4 does not have
        out["http://localhost:1234/" + name] = json.loads(text)
    return out


@pytest.mark.parametrize("draft", DRAFTS)
def test_official_suite(suite, draft):
    remotes = _remotes(suite, draft)
    wrong, count = [], 0
    files = sorted((suite / "tests" / draft).glob("*.json")) + sorted(
        (suite / "tests" / draft / "optional" / "format").glob("*.json"))
    for path in files:
        for case in json.loads(path.read_text(encoding="utf-8")):
            if (path.name, case["description"]) in KNOWN:
                continue
            schema = case["schema"]
            if isinstance(schema, dict) and "$schema" not in schema:
                schema = {"$schema": DRAFTS[draft], **schema}
            # outside optional/format, format is an annotation as far as the suite is concerned
            mode = "assert" if path.parent.name == "format" else "annotate"
            try:
                validator = Validator(schema, registry=remotes, format=mode)
            except SchemaError as err:
                wrong.append((path.name, case["description"], str(err)))
                continue
            for test in case["tests"]:
                count += 1
                try:
                    valid = not validator.check_text(json.dumps(test["data"]))
                except SchemaError as err:
                    valid = str(err)
                if valid is not test["valid"]:
                    wrong.append((path.name, case["description"], test["description"]))
    assert wrong == []
    assert count > 500


@pytest.mark.parametrize("value, divisor, valid", [
    ("0.3", "0.1", True), ("4.35", "0.01", True), ("4.355", "0.01", False), ("1e300", "0.7", False),
    ("1e999999999", "3", False), ("1e999999999", "8", True), ("7", "1e-300", True), ("1e-999999999", "1", False),
    ("0", "0.3", True), ("-0.9", "0.3", True), ("12345678901234567890", "3", True), ("3", "1e400", False)])
def test_multiples_are_exact(value, divisor, valid):
    validator = Validator('{"multipleOf": %s}' % divisor)
    assert (validator.check_text(value) == []) is valid
    try:        # against fractions, where those are small enough
        from fractions import Fraction
        if abs(Decimal(value).adjusted()) < 1000 and abs(Decimal(divisor).adjusted()) < 1000:
            assert (Fraction(value) / Fraction(divisor)).denominator == 1 == valid or not valid
    except OverflowError:
        pass


def test_integers_by_draft():
    assert validate({"type": "integer"}, 1.0) == []
    assert validate({"type": "integer"}, 1e300) == []
    assert validate({"type": "integer"}, 1.5) != []
    assert validate({"type": "integer"}, True) != []
    assert Validator({"$schema": DRAFTS["draft4"], "type": "integer"}).check_text("1.0") != []


def test_bounds_beyond_floats():
    validator = Validator('{"maximum": 9007199254740993, "minimum": -1e400}')
    assert validator.check_text("9007199254740993") == []
    assert validator.check_text("9007199254740994") != []
    assert validator.check_text("-1e401") != []
    assert Validator('{"maximum": 0.1}').check_text("0.1000000000000000000001") != []


@pytest.mark.parametrize("pattern, text, valid", [
    ("b", "abc", True), (r"^\d+$", "१२", False), (r"^\p{L}+$", "é", True), ("^a$", "a\n", False),
    (r"\bfoo\b", "a foo", True), (r"^(?=.*\d).{3}$", "ab1", True), (r"^\S+$", "a\u00a0", False),
    (r"^\S+$", "a\ufeff", False)])
def test_patterns_are_ecma(pattern, text, valid):
    assert (validate({"pattern": pattern}, text) == []) is valid
    assert (validate({"patternProperties": {pattern: False}}, {text: 1}) != []) is valid
    extra = validate({"patternProperties": {pattern: True}, "additionalProperties": False}, {text: 1})
    assert (extra == []) is valid


def test_without_regress_the_automata_read_patterns(monkeypatch):
    import sys

    from structgen.validation import texts

    monkeypatch.setitem(sys.modules, "regress", None)
    texts.pattern_search.cache_clear()
    try:
        assert validate({"pattern": r"^\p{Lu}\d{2,3}$"}, "É12") == []
        assert validate({"pattern": r"^\p{Lu}\d{2,3}$"}, "é12") != []
        assert validate({"pattern": "b+"}, "abc") == []
        with pytest.raises(SchemaError) as caught:
            validate({"items": {"pattern": "("}}, [])
        assert caught.value.pointer == "#/items/pattern"
        assert validate({"format": "regex"}, "(") != [] and validate({"format": "regex"}, "(a)") == []
    finally:
        texts.pattern_search.cache_clear()


@pytest.mark.parametrize("name, good, bad", [
    ("date-time", "2024-02-29T12:00:00Z", "2023-02-29T12:00:00Z"), ("uri", "https://example.org/a?b#c", "a b"),
    ("email", "ada@example.org", "ada@"), ("duration", "P1DT2H", "P1D2H"),
    ("hostname", "xn--nxasmq6b.example", "xn--X"), ("regex", r"^\d+$", "("),
    ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08"),
    ("json-pointer", "/a~1b", "/a~2"), ("idn-hostname", "例え.テスト", "〮한")])
def test_formats(name, good, bad):
    assert validate({"format": name}, good) == [] and validate({"format": name}, 3) == []
    assert validate({"format": name}, bad) != []
    assert validate({"format": name}, bad, format="annotate") == []
    assert validate({"format": name}, bad, format={name: False}) == []


def test_unknown_formats_are_ignored():
    assert validate({"format": "phone"}, "x") == []


def test_pointers_through_references_and_escapes():
    schema = {"$defs": {"a/b": {"type": "integer"}}, "properties": {"x~y": {"$ref": "#/$defs/a~1b"}, "z": False}}
    [first, second] = validate(schema, {"x~y": "s", "z": 1})
    assert (first.instance_pointer, first.schema_pointer, first.path) == ("/x~0y", "#/$defs/a~1b/type", '$["x~y"]')
    assert (second.instance_pointer, second.schema_pointer, second.keyword) == ("/z", "#/properties/z", "false")


def test_registry():
    schema = {"items": {"$ref": "https://example.org/int"}}
    registry = {"https://example.org/int": {"type": "integer"}}
    assert validate(schema, [1], registry=registry) == []
    assert validate(schema, ["1"], registry=registry) != []
    with pytest.raises(SchemaError):
        validate(schema, [1])


def test_nothing_is_fetched(monkeypatch):
    import socket
    import urllib.request

    def no(*a, **k):
        raise AssertionError("network access")

    monkeypatch.setattr(socket, "socket", no)
    monkeypatch.setattr(urllib.request, "urlopen", no)
    with pytest.raises(SchemaError) as caught:
        validate({"properties": {"a": {"$ref": "https://example.org/x.json#/y"}}}, {"a": 1})
    assert caught.value.pointer == "#/properties/a/$ref"


def test_references_in_circles_are_a_limit():
    with pytest.raises(LimitError):
        validate({"$ref": "#"}, 1)
    with pytest.raises(LimitError):
        validate({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: 2}, {"a": {2}}, b"x"])
def test_values_that_are_not_json(value):
    assert validate({}, value) != []


def test_python_types_and_data_in_keywords():
    assert validate(list[int], [1, "a"])[0].instance_pointer == "/1"
    # what stands in enum and const is data, whatever it looks like
    assert validate({"enum": [{"pattern": "("}], "default": {"pattern": "("}}, {"pattern": "("}) == []
    assert validate({"properties": {"pattern": {"type": "string"}, "const": {"minimum": 2}}}, {"const": 1}) != []
    assert validate({"required": ["a", "a"]}, {"a": 1}) == []


def test_vocabularies_and_dependencies_as_the_engine_reads_them():
    base = "https://json-schema.org/draft/2020-12/vocab/"
    meta = {"$schema": DRAFTS["draft2020-12"], "$vocabulary": {base + "core": True, base + "applicator": True}}
    schema = {"$schema": "https://example.com/meta", "properties": {"a": {"type": "integer"}, "b": False}}
    validator = Validator(schema, registry={"https://example.com/meta": meta})
    assert validator.check({"a": "x"}) == [] and validator.check({"b": 1}) != []
    assert validate({"dependencies": {"a": ["b"]}}, {"a": 1}) != []
    assert validate({"dependencies": {"a": {"required": ["c"]}}}, {"a": 1, "b": 2})[0].keyword == "required"
    assert validate({"dependencies": {"a": ["b"]}}, {"b": 1}) == []
