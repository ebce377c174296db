"""The tables of docs/json-schema.md are those of the program."""

import re
import sys
from pathlib import Path

import pytest

from structgen.frontends.formats import FORMATS
from structgen.frontends.json_schema.keywords import KEYWORDS

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "json-schema.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page():
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        import json_schema_page
    finally:
        sys.path.remove(str(ROOT / "bench"))
    return json_schema_page


def rows(name):
    """Cells of a generated table, head aside."""
    [body] = re.findall(rf"<!-- generated: {name} -->\n(.*?)<!-- end -->", PAGE, re.S)
    return [tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]) for line in body.splitlines()[2:]]


def test_keywords(page):
    assert [row[:4] for row in rows("keywords")] == page.keyword_rows()
    assert {row[0].strip("`") for row in rows("keywords")} == {k.name for k in KEYWORDS}


def test_formats(page):
    assert [row[:2] for row in rows("formats")] == page.format_rows()
    assert len(rows("formats")) == len(FORMATS)


def test_figures_and_departures(page):
    for _, required, optional, formats, taken in rows("conformance"):
        for cell in (required, optional, formats):
            passed, total, share = re.fullmatch(r"(\d+)/(\d+) \((\d+\.\d) %\)", cell).groups()
            assert f"{100 * int(passed) / int(total):.1f}" == share
        assert taken == "0"
    assert {row[0] for row in rows("conformance")} == {"4", "6", "7", "2019-09", "2020-12"}
    # as many departures as tests that do not pass
    failing = sum(int(total) - int(passed) for row in rows("conformance") for cell in row[1:4]
                  for passed, total in [re.match(r"(\d+)/(\d+)", cell).groups()])
    named = sum(int(n) for row in rows("departures") for n in re.findall(r"(\d+) \(", row[2]))
    assert failing == named
    reasons = {why for _, _, why in page.REASONS}
    assert all(row[3] in reasons or row[3].startswith("refused: ") for row in rows("departures"))


def test_every_part_is_filled(page):
    parts = {name: "x" for name in ("keywords", "formats", "conformance", "departures")}
    assert page.filled(PAGE, parts).count("\nx\n") == 4
    with pytest.raises(SystemExit):
        page.filled(PAGE, {"nothing": ""})
