"""The official JSON-Schema-Test-Suite, end to end through the engine.

    STRUCTGEN_DATA=... python bench/suite.py [--draft 2020-12] [--list [N]] [--json FILE]

Every schema is compiled as a user would (``sg.compile`` on a vocabulary of the
256 bytes, ``order="any"``, the suite's ``remotes`` as registry, never the
network); every instance, as ``json.dumps`` writes it, goes through
``accept_bytes`` and ``can_end``.  A schema that is refused fails all of its
tests, unless it is refused as unsatisfiable: that is the verdict *invalid*.
Required tests and plain optional ones treat ``format`` as an annotation, as the
suite does; ``optional/format`` asserts it (``optional/format-assertion.json``
too: there the metaschema asks for it).  Exit status 1: a bar failed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import benchdata

DRAFTS = {"4": "http://json-schema.org/draft-04/schema#", "6": "http://json-schema.org/draft-06/schema#",
          "7": "http://json-schema.org/draft-07/schema#",
          "2019-09": "https://json-schema.org/draft/2019-09/schema",
          "2020-12": "https://json-schema.org/draft/2020-12/schema"}
#: share of required tests, of optional/format of 2020-12
BARS = {"4": 0.98, "6": 0.98, "7": 0.98, "2019-09": 0.95, "2020-12": 0.95}
FORMAT_BAR = 0.92
PARTS = ("required", "optional", "format")


class Outcome(NamedTuple):
    """One test: `verdict` is pass, refused, false accept, false reject or crash."""

    draft: str
    part: str
    keyword: str
    group: str
    test: str
    verdict: str
    detail: str


def remotes(draft: str) -> dict[str, Any]:
    """The registry a user would give: the suite's ``remotes`` by URI."""
    root = benchdata.suite_dir() / "remotes"
    out = {}
    for path in sorted(root.rglob("*.json")):
        name = path.relative_to(root).as_posix()
        if name.startswith("draft") and not name.startswith(f"draft{draft}/"):
            # other drafts' documents are there for the cross-draft tests only
            if not any(name.startswith(f"draft{d}/") for d in DRAFTS):
                continue
        out["http://localhost:1234/" + name] = json.loads(path.read_text(encoding="utf-8"))
    return out


def files(draft: str) -> Iterator[tuple[str, Path]]:
    """(part, file) of one draft."""
    root = benchdata.suite_dir() / "tests" / f"draft{draft}"
    for part, folder in zip(PARTS, (root, root / "optional", root / "optional" / "format")):
        for path in sorted(folder.glob("*.json")):
            yield part, path


def judge(draft: str, part: str, path: Path, registry: dict, vocabulary) -> Iterator[Outcome]:
    """Every test of one file."""
    import structgen as sg
    mode = "assert" if part == "format" or path.name == "format-assertion.json" else "annotate"
    for group in json.loads(path.read_text(encoding="utf-8")):
        schema = group["schema"]
        if isinstance(schema, dict) and "$schema" not in schema:
            schema = {"$schema": DRAFTS[draft], **schema}
        compiled, refusal, detail = None, "", ""
        try:
            compiled = sg.compile(sg.JsonSchema(json.dumps(schema), order="any", format=mode, registry=registry),
                                  vocabulary)
        except sg.UnsatisfiableSchema:
            pass
        except sg.StructgenError as err:
            refusal, detail = "refused", f"{type(err).__name__}: {err}"
        except Exception as err:    # an untyped error is a failure of its own
            refusal, detail = "crash", f"{type(err).__name__}: {err}"
        for test in group["tests"]:
            verdict = refusal
            if not verdict:
                accepted = False
                if compiled is not None:
                    matcher = compiled.matcher()
                    try:
                        matcher.accept_bytes(json.dumps(test["data"]).encode())
                        accepted = matcher.can_end()
                    except sg.MatcherError:
                        pass
                    except sg.StructgenError as err:
                        yield Outcome(draft, part, path.stem, group["description"], test["description"], "refused",
                                      f"{type(err).__name__}: {err}")
                        continue
                verdict = "pass" if accepted is test["valid"] else "false accept" if accepted else "false reject"
            yield Outcome(draft, part, path.stem, group["description"], test["description"], verdict, detail)


def run(drafts: list[str]) -> list[Outcome]:
    """Every test of the drafts."""
    from structgen.tokens.vocabulary import Vocabulary
    vocabulary = Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
    out: list[Outcome] = []
    for draft in drafts:
        registry = remotes(draft)
        for part, path in files(draft):
            out += judge(draft, part, path, registry, vocabulary)
    return out


def table(outcomes: list[Outcome]) -> dict[tuple[str, str], Counter]:
    """Verdicts counted by draft and part."""
    out: dict[tuple[str, str], Counter] = defaultdict(Counter)
    for o in outcomes:
        out[o.draft, o.part][o.verdict] += 1
    return out


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--draft", action="append", choices=list(DRAFTS))
    p.add_argument("--list", type=int, nargs="?", const=1000, default=0, help="failing tests, so many a keyword")
    p.add_argument("--json", type=Path, help="write every outcome here")
    args = p.parse_args()
    try:
        benchdata.suite_dir()
    except benchdata.DataMissing as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    outcomes = run(args.draft or list(DRAFTS))
    counts = table(outcomes)
    for (draft, part), c in counts.items():
        n = c.total()
        print(f"draft {draft:8} {part:9} {c['pass']:5}/{n:<5} {100 * c['pass'] / n:6.2f} %   "
              + ", ".join(f"{k} {v}" for k, v in sorted(c.items()) if k != "pass"))
        fails: dict[str, list[Outcome]] = defaultdict(list)
        for o in outcomes:
            if (o.draft, o.part) == (draft, part) and o.verdict != "pass":
                fails[o.keyword].append(o)
        if fails:
            print("    by keyword: " + ", ".join(f"{k} {len(v)}" for k, v in
                                                 sorted(fails.items(), key=lambda kv: -len(kv[1]))))
        for keyword, rows in sorted(fails.items()) if args.list else ():
            for o in rows[:args.list]:
                print(f"      {o.verdict}: {keyword}: {o.group}: {o.test}  {o.detail}"[:230])
    status = 0
    wrong = sum(c["false accept"] + c["crash"] for (_, part), c in counts.items() if part != "optional")
    checks = [("no false accept and no crash (required, format)", wrong == 0)]
    for draft in dict.fromkeys(o.draft for o in outcomes):
        c = counts[draft, "required"]
        share = c["pass"] / c.total()
        checks.append((f"draft {draft} required {100 * share:.2f} % (bar {100 * BARS[draft]:.0f} %)",
                       share >= BARS[draft]))
    if "2020-12" in {o.draft for o in outcomes}:
        c = counts["2020-12", "format"]
        share = c["pass"] / c.total()
        checks.append((f"2020-12 optional/format {100 * share:.2f} % (bar {100 * FORMAT_BAR:.0f} %)",
                       share >= FORMAT_BAR))
    for what, good in checks:
        print(f"  bar {what}: {'ok' if good else 'FAILED'}")
        status |= not good
    if args.json:
        args.json.write_text(json.dumps([o._asdict() for o in outcomes], ensure_ascii=False))
    return status


if __name__ == "__main__":
    raise SystemExit(main())
