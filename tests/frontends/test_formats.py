"""Formats against the JSON Schema test suite, the standard library and other implementations."""

from __future__ import annotations

import calendar
import ipaddress
import itertools
import json
import random
import re
import tarfile
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from structgen.automata.nfa import atom_nfa, build_nfa
from structgen.frontends.formats import FORMAT_NOTES, FORMATS, format_lang, format_tree, host_label
from structgen.frontends.regex import parse_ecma
from structgen.grammar.strings import Length, Pattern

_ROWS: dict = {}


def accepts(name: str, text: str) -> bool:
    """Whether `text` is in the language of the format, atom by atom."""
    return all(_holds(atom, text) == positive for atom, positive in format_lang(name)[0])


def _holds(atom, text: str) -> bool:
    if isinstance(atom, Length):
        return atom.lo <= len(text) and (atom.hi is None or len(text) <= atom.hi)
    if atom not in _ROWS:
        nfa = atom_nfa(atom)
        _ROWS[atom] = nfa.rows(), nfa.accept.tolist(), set(nfa.start.tolist())
    rows, accept, now = _ROWS[atom]
    for byte in text.encode("utf-8", "surrogatepass"):
        now = {dst for state in now for lo, hi, dst in rows[state] if lo <= byte <= hi}
    return any(accept[state] for state in now)


def samples(name: str, count: int, seed: int = 0) -> list[str]:
    """Random members of a format (of all its patterns and lengths)."""
    rng = random.Random(seed)
    nfa = atom_nfa(Pattern("format", name))
    rows, accept, out = nfa.rows(), nfa.accept, []
    while len(out) < count:
        state, word = int(nfa.start[0]), bytearray()
        for _ in range(200):
            if not rows[state] or (accept[state] and rng.random() < 0.15):
                break
            lo, hi, state = rng.choice(rows[state])
            word.append(rng.randint(lo, hi))
        if accept[state]:
            text = word.decode("utf-8")
            if accepts(name, text):
                out.append(text)
    return out


# -- the suite ---------------------------------------------------------------------


def suite(data_dir, draft: str):
    """(format, data, valid, description) of the optional format tests of a draft."""
    prefix = f"tests/{draft}/optional/format/"
    files = {}
    archive = data_dir / "json-schema-test-suite.tar.xz"
    if archive.is_file():
        with tarfile.open(archive) as tar:
            for member in tar:
                at = member.name.find(prefix)
                if at >= 0 and member.name.endswith(".json"):
                    files[member.name] = tar.extractfile(member).read()
    else:
        for path in data_dir.glob(f"*/{prefix}*.json"):
            files[path.name] = path.read_bytes()
    if not files:
        pytest.skip("the JSON Schema test suite is not in STRUCTGEN_DATA")
    for raw in files.values():
        for group in json.loads(raw):
            for case in group["tests"]:
                if isinstance(case["data"], str):
                    yield group["schema"]["format"], case["data"], case["valid"], case["description"]


@pytest.mark.parametrize("draft", ["draft4", "draft6", "draft7", "draft2019-09", "draft2020-12"])
def test_suite(data_dir, draft):
    """What fails is what `FORMAT_NOTES` says: a valid string that we leave out."""
    wrong = [(name, data, valid) for name, data, valid, _ in suite(data_dir, draft)
             if name in FORMATS and accepts(name, data) != valid]
    assert all(valid for _, _, valid in wrong)              # nothing invalid is ever accepted
    assert all(name in FORMAT_NOTES for name, _, _ in wrong)
    assert all(data.lower().startswith("xn--") or "\\k<" in data for _, data, _ in wrong)


# -- one by one --------------------------------------------------------------------


def test_unknown_names_assert_nothing():
    assert format_lang("int32") is None
    assert format_lang("") is None
    assert set(FORMAT_NOTES) <= set(FORMATS)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_is_a_language(name):
    lang = format_lang(name)
    assert lang is not None and samples(name, 3)


def test_dates_agree_with_the_calendar():
    for year in (1, 4, 99, 100, 400, 1900, 1999, 2000, 2023, 2024, 2100, 9999):
        for month, day in itertools.product(range(14), range(33)):
            good = 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]
            assert accepts("date", f"{year:04}-{month:02}-{day:02}") == good
    assert accepts("date", "0000-02-29")                    # proleptic Gregorian; RFC 3339 has a year 0000


def test_leap_seconds_are_those_of_utc():
    for hour, minute, sign, off_hour, off_minute in itertools.product(
            range(24), (0, 14, 29, 30, 44, 58, 59), "+-", range(24), (0, 15, 30, 45)):
        offset = (off_hour * 60 + off_minute) * (1 if sign == "+" else -1)
        good = (hour * 60 + minute - offset) % 1440 == 23 * 60 + 59
        text = f"{hour:02}:{minute:02}:60{sign}{off_hour:02}:{off_minute:02}"
        assert accepts("time", text) == good, text


@given(st.datetimes(), st.sampled_from(["Z", "z", "+00:00", "-23:59", "+05:45"]))
def test_datetimes_of_python(moment, offset):
    assert accepts("date-time", moment.isoformat() + offset)
    assert not accepts("date-time", moment.isoformat())


def test_datetimes_can_be_read_by_python():
    from datetime import datetime

    for text in samples("date-time", 200):
        if text[17:19] != "60" and not text.startswith("0000"):
            text = re.sub(r"\.\d+", "", text.upper()).replace("Z", "+00:00")
            datetime.fromisoformat(text)


@given(st.ip_addresses())
def test_addresses_of_the_standard_library(address):
    name = f"ipv{address.version}"
    assert accepts(name, str(address))
    assert accepts(name, address.exploded)


@given(st.text("0123456789abF:.", min_size=2, max_size=20))
def test_ipv6_agrees_with_the_standard_library(text):
    try:
        ipaddress.IPv6Address(text)
        good = True
    except ValueError:
        good = False
    assert accepts("ipv6", text) == good


def test_generated_addresses_can_be_read():
    for name, read in (("ipv4", ipaddress.IPv4Address), ("ipv6", ipaddress.IPv6Address), ("uuid", uuid.UUID)):
        for text in samples(name, 200):
            read(text)


def test_generated_strings_satisfy_jsonschema():
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    for name in FORMATS:
        if name not in checker.checkers or name in ("regex", "idn-hostname"):
            continue                                        # Python's re and the idna package have their own say
        for text in samples(name, 60):
            if name in ("date-time", "time") and ":60" in text or text.startswith("0000"):
                continue                                    # it knows neither leap seconds nor the year 0
            if name.startswith(("iri", "uri-t")) and max(text, default="") > "\uffff":
                continue                                    # its tables of the other planes have gaps
            assert checker.conforms(text, name), (name, text)


def test_generated_hostnames_satisfy_idna():
    idna = pytest.importorskip("idna")
    good = 0
    for text in samples("idn-hostname", 200):
        try:
            idna.encode(text, uts46=False)
            good += 1
        except idna.IDNAError as err:
            assert "too long" in str(err), (text, err)          # the length of an A-label is only bounded
    assert good > 120


def test_idn_code_points_agree_with_idna():
    idnadata = pytest.importorskip("idna.idnadata")
    import unicodedata

    from idna.intranges import intranges_contain
    from structgen.frontends.formats_idn import pvalid

    mine = {c for lo, hi in pvalid() for c in range(lo, hi + 1)}
    theirs = idnadata.codepoint_classes["PVALID"]
    differ = [c for c in range(0x3400) if unicodedata.category(chr(c)) != "Cn"
              and (c in mine) != intranges_contain(c, theirs)]
    # The digits that RFC 5892 calls CONTEXTO are ruled here by the Bidi rule alone.
    assert differ == [*range(0x660, 0x66A), *range(0x6F0, 0x6FA)]


def test_host_labels():
    plain = re.compile(r"(?![Xx][Nn]--)[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?")
    mine = re.compile(host_label(63))
    rng = random.Random(1)
    for _ in range(5000):
        text = "".join(rng.choice("xXnN-a1") for _ in range(rng.randrange(9)))
        text += rng.choice(["", "", "a" * rng.randrange(50, 64), "-" * 60 + "b"])
        assert bool(mine.fullmatch(text)) == bool(plain.fullmatch(text)), text
    assert accepts("hostname", ".".join(["a" * 63] * 3 + ["b" * 61]))
    assert not accepts("hostname", ".".join(["a" * 63] * 3 + ["b" * 62]))


def test_generated_regexes_are_regexes():
    """Each can be read by an ECMA engine, and by our own parser."""
    regress = pytest.importorskip("regress")
    for text in samples("regex", 400):
        regress.Regex(text)
        parse_ecma(text)


@pytest.mark.parametrize("text", ["", "^.*$", "a{1,3}", "[a-z]+?", r"^\d{3}-\d{4}$", r"(a|b)*(?:c(?=d))", "[^]", "[]",
                                  r"^[A-Za-z0-9_.-]+@[\w.]+$", "a{10,12}", r"\u{1F600}\x41\cA", "a]b}", "(?<=a+)b",
                                  "((((a))))"])
def test_regexes(text):
    assert accepts("regex", text)
    parse_ecma(text)


@pytest.mark.parametrize("text", ["(", ")", "[", "a**", "*", "a{2,1}", "[z-a]", "\\", "^*", r"\a", r"\Z", "(?i)a",
                                  "(?P<n>a)",
                                  "a{12,11}", "(?", "[a", "a|*", "(?:", r"\u12", r"\xg", "{1}", r"(?<n>a)(?<n>b)"])
def test_not_regexes(text):
    assert not accepts("regex", text)


def test_format_trees_are_shared():
    assert format_tree("date") is format_tree("date")
    assert build_nfa(format_tree("uuid")).n == 37
