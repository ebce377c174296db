"""Writes the generated parts of ``docs/json-schema.md``: keywords, formats, conformance, departures.

    STRUCTGEN_DATA=... python bench/json_schema_page.py [--check]

Keywords and formats come from the tables the front end itself dispatches on,
figures from a run of the official suite through the engine (``bench/suite.py``).
Every test of the suite that does not pass needs a reason in `REASONS`, so no
departure goes unnamed; without one this leaves with status 1 and writes nothing.
``--check`` only compares.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import benchdata
import suite

PAGE = Path(__file__).resolve().parent.parent / "docs" / "json-schema.md"

#: why a test does not pass, by suite file and a part of the group's or test's name ("" for all)
REASONS: list[tuple[str, str, str]] = [
    ("content", "", "`contentMediaType` and `contentEncoding` are annotations (optional in draft 7)"),
    ("float-overflow", "", "a number with an exponent is no integer in draft 4"),
    ("hostname", "punycode", "A-labels (`xn--...`) are left out: which of them decode to a valid label is no "
                             "regular question"),
    ("hostname", "validation of host names", "A-labels (`xn--...`) are left out"),
    ("idn-hostname", "Punycode", "A-labels (`xn--...`) are left out"),
    ("ecmascript-regex", "backreference", "`regex` as a format: no back-references"),
    ("multipleOf", "float division = inf", "a step of nine digits needs more states than the limit: `LimitError`"),
]

TYPES = (("any", None), ("number", 4), ("string", 8), ("array", 16), ("object", 32))


def drafts_of(since: int, until: int) -> str:
    """The drafts of a keyword, in words."""
    names = {4: "4", 6: "6", 7: "7", 2019: "2019-09", 2020: "2020-12"}
    if (since, until) == (4, 2020):
        return "all"
    if since == until:
        return f"{names[since]} only"
    return f"since {names[since]}" if until == 2020 else f"up to {names[until]}" if since == 4 else \
        f"{names[since]} to {names[until]}"


def keyword_rows() -> list[tuple[str, str, str, str]]:
    """(keyword, values it bears on, drafts, enforced) of every row of the keyword table."""
    from structgen.frontends.json_schema.forms import ALL_TYPES
    from structgen.frontends.json_schema.keywords import KEYWORDS
    rows = []
    for k in KEYWORDS:
        types = "any" if k.types == ALL_TYPES else ", ".join(f"{name}s" for name, bit in TYPES[1:] if k.types & bit)
        support = "exact" if k.support == "full" else k.support
        rows.append((f"`{k.name}`", types, drafts_of(k.since, k.until), support))
    return rows


def format_rows() -> list[tuple[str, str]]:
    """(format, what its reading leaves out)."""
    from structgen.frontends.formats import FORMAT_NOTES, FORMATS
    return [(f"`{name}`", FORMAT_NOTES.get(name, "exact")) for name in sorted(FORMATS)]


def table(head: list[str], rows: list) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(c).replace("|", "\\|") for c in row) + " |" for row in rows])


def reason(outcome: suite.Outcome) -> str | None:
    """Why a test is not passed; a refusal without a reason of ours says so itself."""
    for keyword, part, why in REASONS:
        if outcome.keyword == keyword and (part in outcome.group or part in outcome.test) and (
                not why.startswith("draft 4") or outcome.draft == "4"):
            return why
    refused = re.match(r"UnsupportedSchema: (.*?),? is not enforced", outcome.detail)
    return f"refused: {refused[1]}" if refused else None


def sections(outcomes: list[suite.Outcome]) -> tuple[dict[str, str], list[suite.Outcome]]:
    """The generated parts by name, and failures without a reason."""
    by_file: dict[tuple[str, str], Counter] = defaultdict(Counter)
    for o in outcomes:
        by_file["format" if o.part == "format" else "required" if o.part == "required" else "optional",
                o.keyword][o.verdict] += 1

    def share(part: str, name: str) -> str:
        c = by_file.get((part, name))
        return f"{c['pass']}/{c.total()}" if c else ""

    names = {"$ref": "ref", "$dynamicRef": "dynamicRef", "$recursiveRef": "recursiveRef", "if": "if-then-else",
             "then": "if-then-else", "else": "if-then-else"}
    parts = {"keywords": table(["keyword", "bears on", "drafts", "enforced", "required tests"], [
        (*row, share("required", names.get(row[0].strip("`"), row[0].strip("`")))) for row in keyword_rows()])}
    parts["formats"] = table(["format", "reading", "tests"], [
        (name, note, share("format", {"regex": "regex"}.get(name.strip("`"), name.strip("`"))))
        for name, note in format_rows()])
    counts = suite.table(outcomes)
    rows = []
    for draft in suite.DRAFTS:
        row = [draft]
        for part in suite.PARTS:
            c = counts[draft, part]
            row += [f"{c['pass']}/{c.total()} ({100 * c['pass'] / c.total():.1f} %)"]
        rows.append((*row, sum(counts[draft, p]["false accept"] for p in ("required", "format"))))
    parts["conformance"] = table(["draft", "required", "optional", "formats, asserted",
                                  "invalid taken (required, formats)"], rows)
    missing = [o for o in outcomes if o.verdict != "pass" and reason(o) is None]
    grouped: dict[tuple[str, str, str], dict[str, int]] = defaultdict(Counter)
    for o in outcomes:
        if o.verdict != "pass" and reason(o) is not None:
            grouped[o.keyword, o.verdict, str(reason(o))][o.draft] += 1
    parts["departures"] = table(["suite file", "outcome", "tests, by draft", "why"], [
        (f"`{keyword}`", verdict, ", ".join(f"{n} ({d})" for d, n in drafts.items()), why)
        for (keyword, verdict, why), drafts in sorted(grouped.items())])
    return parts, missing


def filled(text: str, parts: dict[str, str]) -> str:
    """`text` with its generated parts replaced."""
    for name, body in parts.items():
        text, n = re.subn(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", lambda m: m[1] + body + "\n" + m[2],
                          text, flags=re.S)
        if n != 1:
            raise SystemExit(f"{PAGE.name} has {n} parts named {name}")
    return text


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--check", action="store_true", help="write nothing; status 1 if the page is out of date")
    args = p.parse_args()
    try:
        benchdata.suite_dir()
    except benchdata.DataMissing as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    parts, missing = sections(suite.run(list(suite.DRAFTS)))
    for o in missing:
        print(f"no reason for: draft {o.draft} {o.part} {o.keyword}: {o.group}: {o.test}: {o.verdict} {o.detail}"[:240])
    if missing:
        return 1
    text = PAGE.read_text(encoding="utf-8")
    new = filled(text, parts)
    if args.check:
        print("up to date" if new == text else "out of date: run bench/json_schema_page.py")
        return int(new != text)
    PAGE.write_text(new, encoding="utf-8")
    print(parts["conformance"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
