"""Regular expressions: a table of cases, and agreement with engines we did not write."""

from __future__ import annotations

import random
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structgen.automata.nfa import atom_nfa
from structgen.errors import LimitError, RegexError
from structgen.grammar.strings import Pattern

try:
    import tomllib
except ImportError:
    tomllib = pytest.importorskip("tomli")

CASES = tomllib.loads((Path(__file__).parent.parent / "data" / "regex.toml").read_text("utf-8"))["case"]


@pytest.mark.parametrize("case", CASES, ids=[f"{c['syntax']}-{c['pattern'][:30]}" for c in CASES])
def test_table(case):
    atom = Pattern(case["syntax"], case["pattern"])
    if "error" in case:
        with pytest.raises(RegexError, match=re.escape(case["error"])) as caught:
            atom_nfa(atom)
        if "position" in case:
            assert caught.value.position == case["position"]
        return
    nfa = atom_nfa(atom)
    assert [w for w in case.get("accept", ()) if not nfa.matches(w)] == []
    assert [w for w in case.get("reject", ()) if nfa.matches(w)] == []


@pytest.mark.parametrize("case", [c for c in CASES if "error" not in c and c["syntax"] == "ecma"],
                         ids=lambda c: c["pattern"][:30])
def test_table_agrees_with_an_ecma_engine(case):
    regress = pytest.importorskip("regress")
    try:
        found = regress.Regex(case["pattern"], "u")
    except regress.RegressError:
        found = regress.Regex(case["pattern"])      # what Annex B allows only without the flag
    for text in case.get("accept", []):
        assert found.find(text) is not None, text
    for text in case.get("reject", []):
        assert found.find(text) is None, text


@pytest.mark.parametrize("case", [c for c in CASES if "error" not in c and c["syntax"] == "python"],
                         ids=lambda c: c["pattern"][:30])
def test_table_agrees_with_re(case):
    found = re.compile(case["pattern"])
    assert all(found.fullmatch(w) for w in case.get("accept", []))
    assert not any(found.fullmatch(w) for w in case.get("reject", []))


# -- generated patterns -----------------------------------------------------------

ALPHABET = "abAB1_-. \n\r\u2028éſK😀\u00a0"
LEAVES = ["a", "b", "A", "é", "😀", "1", ".", r"\d", r"\w", r"\W", r"\s", r"\S", "[ab]", "[^a]", "[a-zA-Z_]", r"[\d.]",
          r"\.", ""]


def patterns(leaves, looks: bool):
    """Patterns over `leaves`; zero-width parts stand where every engine agrees on what they mean."""
    def extend(inner):
        choices = [
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "*?", "{2,}"]))
            .map(lambda p: f"(?:{p[0]}){p[1]}"),
        ]
        if looks:
            choices.append(st.tuples(st.sampled_from(["(?=", "(?!"]), inner).map(lambda p: f"{p[0]}{p[1]})"))
        return st.one_of(choices)
    return st.recursive(st.sampled_from(leaves), extend, max_leaves=7)


texts = st.lists(st.text(ALPHABET, max_size=6), min_size=6, max_size=6)


def nested_empty(pattern: str) -> bool:
    """Loops over what may be empty: backtracking engines differ there, or never come back."""
    loops = pattern.count("*") + pattern.count("+") + pattern.count(",}")
    return loops > 2 and bool(re.search(r"\)(\*|\+|\{2,\})", pattern))


@settings(max_examples=400)
@given(patterns(LEAVES + ["^", "$", r"\b", r"\B"], True), texts)
def test_generated_patterns_agree_with_an_ecma_engine(pattern, words):
    regress = pytest.importorskip("regress")
    if nested_empty(pattern):
        return
    nfa = atom_nfa(Pattern("ecma", pattern))
    found = regress.Regex(pattern, "u")
    for word in words:
        assert nfa.matches(word) == (found.find(word) is not None), (pattern, word)


@settings(max_examples=400)
@given(patterns(LEAVES + ["$", "^", r"\b", r"\B", "(?<=a)", "(?<!a)", "(?<=[ab]1)"], True), texts,
       st.sampled_from(["", "(?i)", "(?s)", "(?m)", "(?a)", "(?ims)"]))
def test_generated_patterns_agree_with_re(pattern, words, flags):
    pattern = flags + pattern
    nfa = atom_nfa(Pattern("python", pattern))
    found = re.compile(pattern)
    for word in words:
        assert nfa.matches(word) == (found.fullmatch(word) is not None), (pattern, word)


@settings(max_examples=150)
@given(patterns(LEAVES, False), texts)
def test_generated_patterns_agree_with_regex(pattern, words):
    regex = pytest.importorskip("regex")
    nfa = atom_nfa(Pattern("python", pattern))
    found = regex.compile(pattern)
    for word in words:
        assert nfa.matches(word) == (found.fullmatch(word) is not None), (pattern, word)


@pytest.mark.parametrize("pattern", ["[a-k]", "[^a-z]", "[ſ]", "k", "[µ-ÿ]", r"[\W]", r"[^\w]", "[Ā-ɏ]", "ß", "İ"])
@pytest.mark.parametrize("flags", ["(?i)", "(?ia)", ""])
def test_classes_agree_with_re_on_every_character(pattern, flags):
    from structgen.frontends.regex import parse_python

    ranges = parse_python(flags + pattern).ranges
    mine = {c for lo, hi in ranges for c in range(lo, hi + 1)}
    found = re.compile(flags + pattern)
    assert mine == {c for c in (*range(0xD800), *range(0xE000, 0x11000)) if found.fullmatch(chr(c))} | \
        {c for c in mine if c >= 0x11000}


@pytest.mark.parametrize("name", ["Lu", "Letter", "Nd", "P", "gc=Sm", "Any", "ASCII", "Assigned"])
def test_properties_agree_with_an_ecma_engine(name):
    regress = pytest.importorskip("regress")
    from structgen.frontends.regex import parse_ecma

    mine = {c for lo, hi in parse_ecma(rf"\p{{{name}}}").ranges for c in range(lo, hi + 1)}
    found = regress.Regex(rf"^\p{{{name}}}$", "u")
    for code in (*range(0x250), *range(0x370, 0x500), *range(0x2000, 0x2300), 0x1F600, 0x4E00, 0xE000):
        if unicodedata.category(chr(code)) != "Cn":     # the engine's Unicode may be newer
            assert (code in mine) == (found.find(chr(code)) is not None), hex(code)


def test_scripts_come_from_the_regex_package():
    regex = pytest.importorskip("regex")
    nfa = atom_nfa(Pattern("ecma", r"^\p{Script=Greek}$"))
    for text in "αΩaя֐ἀ":
        assert nfa.matches(text) == bool(regex.fullmatch(r"\p{Script=Greek}", text))


def test_deep_nesting_and_huge_counts_are_refused():
    with pytest.raises(RegexError, match="nested"):
        atom_nfa(Pattern("ecma", "(" * 10_000 + ")" * 10_000))
    with pytest.raises(RegexError):
        atom_nfa(Pattern("python", "(" * 10_000 + ")" * 10_000))
    with pytest.raises(RegexError, match="more than"):
        atom_nfa(Pattern("ecma", "a{99999999999999999999}"))
    with pytest.raises(LimitError, match="states"):
        atom_nfa(Pattern("ecma", "^(?:[a-z]{1000}){1000}$"))
    with pytest.raises(LimitError, match="edges"):
        atom_nfa(Pattern("ecma", "^" + "a?b?" * 2500 + "$"))
    assert atom_nfa(Pattern("python", "(?:(?:){1000000}){4000000000}a")).matches("a")


def test_patterns_of_real_schemas_can_be_read(data_dir):
    """Every ``pattern`` and key of ``patternProperties`` in the schemas, where they are at hand."""
    import json
    import random
    import tarfile

    def walk(node, out):
        if isinstance(node, dict):
            if isinstance(node.get("pattern"), str):
                out.add(node["pattern"])
            if isinstance(node.get("patternProperties"), dict):
                out.update(node["patternProperties"])
            node = list(node.values())
        if isinstance(node, list):
            for value in node:
                walk(value, out)

    found: set[str] = set()
    archive = data_dir / "maskbench-dev.tar.xz"
    if archive.is_file():
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    walk(json.load(tar.extractfile(member)).get("schema"), found)
    for path in (data_dir / "maskbench").glob("*.json"):
        walk(json.loads(path.read_text("utf-8")).get("schema"), found)
    if not found:
        pytest.skip("no schemas in STRUCTGEN_DATA")
    regress = pytest.importorskip("regress")
    rng = random.Random(5)
    for pattern in sorted(found):
        nfa = atom_nfa(Pattern("ecma", pattern))
        try:
            engine = regress.Regex(pattern, "u")
        except regress.RegressError:
            engine = regress.Regex(pattern)
        rows, accept = nfa.rows(), nfa.accept
        for n in range(3 if nfa.n else 0):
            state, word = int(nfa.start[0]), bytearray()
            for _ in range(30):
                if not rows[state] or (accept[state] and rng.random() < 0.2):
                    break
                lo, hi, state = rng.choice(rows[state])
                word.append(rng.randint(lo, hi))
            text = word.decode("utf-8", "ignore")
            if n == 1:
                text = text[:-1]
            elif n == 2:
                at = rng.randrange(len(text) + 1)
                text = text[:at] + rng.choice("a1-_. é\n") + text[at:]
            assert nfa.matches(text) == (engine.find(text) is not None), (pattern, text)


def test_lists_of_texts_are_what_the_parsers_read():
    """Texts with bars between them are not parsed; what they are split into is the same."""
    from structgen.constraints import MANY_TEXTS, _plain_texts, _texts
    from structgen.frontends.regex import parse_ecma, parse_python

    rng = random.Random("texts")
    letters = "abcXYZ019 _-#/'\"&~`<>=!,;:@%\n\té東🎉"
    for _ in range(20):
        pattern = "|".join("".join(rng.choices(letters, k=rng.randint(1, 6))) for _ in range(MANY_TEXTS + 3))
        assert _plain_texts(pattern) == _texts(parse_python(pattern)) == _texts(parse_ecma(pattern))
        assert _plain_texts("|".join(pattern.split("|")[:MANY_TEXTS - 1])) is None
        for special in "\\^$.*+?()[]{}\ud800":
            at = rng.randrange(len(pattern))
            assert _plain_texts(pattern[:at] + special + pattern[at:]) is None
        assert _plain_texts(pattern + "|") is None and _plain_texts("|" + pattern) is None
