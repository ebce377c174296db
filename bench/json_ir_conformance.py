"""Conformance of the JSON Schema normal form, with no engine involved.

Runs the MaskBench development schemas (or the JSON-Schema-Test-Suite) through
``lower`` and checks every test instance against the intermediate
representation with the checker of the test suite.

    STRUCTGEN_DATA=<folder> python bench/json_ir_conformance.py [maskbench|suite] [--limit N] [--list]

The folder holds the archives or their unpacked folders.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.ir_validate import accepts  # noqa: E402

from structgen.errors import StructgenError, UnsatisfiableSchema  # noqa: E402
from structgen.frontends.json_schema import lower  # noqa: E402
from structgen.grammar.ir import Options  # noqa: E402


def data_files(folder: str, archive: str):
    """(name, bytes) of every JSON file of a data set, sorted."""
    root = Path(os.environ["STRUCTGEN_DATA"])
    for base in (root / folder, root):
        if base.is_dir() and any(base.glob("*.json")) and not (root / archive).exists():
            yield from ((str(p.relative_to(base)), p.read_bytes()) for p in sorted(base.rglob("*.json")))
            return
    if (root / folder).is_dir():
        base = root / folder
        yield from ((str(p.relative_to(base)), p.read_bytes()) for p in sorted(base.rglob("*.json")))
        return
    with tarfile.open(root / archive) as tar:
        members = sorted((m for m in tar if m.isfile() and m.name.endswith(".json")), key=lambda m: m.name)
        for m in members:
            yield m.name, tar.extractfile(m).read()


def maskbench(args) -> None:
    verdicts: Counter = Counter()
    reasons: dict[str, list[str]] = {}
    times = []
    for n, (name, raw) in enumerate(data_files("maskbench", "maskbench-dev.tar.xz")):
        if args.limit and n >= args.limit or args.only and args.only not in name:
            continue
        item = json.loads(raw)
        begin = time.perf_counter()
        try:
            g = lower(item["schema"], Options(order="any"))
            times.append(time.perf_counter() - begin)
        except UnsatisfiableSchema:
            verdicts["pass"] += 1
            wrong = [t for t in item["tests"] if t["valid"]]
            reasons.setdefault("unsatisfiable" + (" WRONG" if wrong else ""), []).append(name)
            continue
        except StructgenError as err:
            verdicts["refused"] += 1
            key = f"{type(err).__name__} {getattr(err, 'keyword', '')}"
            reasons.setdefault(key, []).append(f"{name}: {err}")
            continue
        except Exception as err:
            verdicts["crash"] += 1
            reasons.setdefault(f"crash {type(err).__name__}", []).append(f"{name}: {err}")
            continue
        bad = None
        for k, test in enumerate(item["tests"]):
            try:
                got = accepts(g, g.root, test["data"])
            except Exception as err:
                bad = f"crash in check {type(err).__name__}"
                reasons.setdefault(bad, []).append(f"{name} {k}: {err}")
                break
            if got != test["valid"]:
                bad = "false accept" if got else "false reject"
                reasons.setdefault(bad, []).append(f"{name} test {k}")
                break
        verdicts[bad or "pass"] += 1
    total = sum(verdicts.values())
    print(dict(verdicts), f"pass {100 * verdicts['pass'] / total:.2f} % of {total}")
    times.sort()
    if times:
        print("lower, us: " + ", ".join(f"p{q} {1e6 * times[min(len(times) - 1, len(times) * q // 100)]:.0f}"
                                        for q in (50, 90, 99)) + f", max {1e6 * times[-1]:.0f}")
    for key, names in sorted(reasons.items(), key=lambda kv: -len(kv[1])):
        print(f"{len(names):5d} {key}")
        if args.list:
            for line in names[:args.list]:
                print("        ", line[:220])


def suite(args) -> None:
    files = list(data_files("suite", "json-schema-test-suite.tar.xz"))
    remotes = {}
    for name, raw in files:
        if "remotes/" in name:
            remotes["http://localhost:1234/" + name.split("remotes/", 1)[1]] = json.loads(raw)
    drafts = {"draft4": "http://json-schema.org/draft-04/schema#", "draft6": "http://json-schema.org/draft-06/schema#",
              "draft7": "http://json-schema.org/draft-07/schema#",
              "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
              "draft2020-12": "https://json-schema.org/draft/2020-12/schema"}
    for draft, uri in drafts.items():
        for part in ("", "optional/", "optional/format/"):
            counts: Counter = Counter()
            reasons: dict[str, list[str]] = {}
            for name, raw in files:
                tail = name.split(f"tests/{draft}/", 1)
                if len(tail) < 2 or tail[1].rpartition("/")[0] + "/" != (part or "/"):
                    continue
                for group in json.loads(raw):
                    schema = group["schema"]
                    if isinstance(schema, dict) and "$schema" not in schema:
                        schema = {"$schema": uri, **schema}
                    try:
                        g = lower(schema, Options(order="any", format="assert" if part == "optional/format/"
                                                  else "annotate"), registry=remotes)
                        error = None
                    except UnsatisfiableSchema:
                        g = error = None
                    except StructgenError as err:
                        error = err
                    for test in group["tests"]:
                        if error is not None:
                            counts["refused"] += 1
                            kind = f"{type(error).__name__} {getattr(error, 'keyword', '')}"
                            reasons.setdefault(kind, []).append(f"{tail[1]}: {group['description']}: {error}")
                            continue
                        try:
                            got = g is not None and accepts(g, g.root, test["data"])
                            kind = "pass" if got == test["valid"] else "false accept" if got else "false reject"
                        except StructgenError as err:
                            kind = f"check {err}"[:100]
                        counts[kind] += 1
                        if kind != "pass":
                            reasons.setdefault(kind, []).append(
                                f"{tail[1]}: {group['description']}: {test['description']}")
            total = sum(counts.values())
            if total:
                print(f"{draft} {part or 'required'}: {dict(counts)} {100 * counts['pass'] / total:.1f} %")
            for kind, lines in sorted(reasons.items()):
                if args.list:
                    print(f"   {len(lines)} {kind}")
                    for line in lines[:args.list]:
                        print("        ", line[:200])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", nargs="?", default="maskbench", choices=["maskbench", "suite"])
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--list", type=int, nargs="?", const=10, default=0)
    args = parser.parse_args()
    {"maskbench": maskbench, "suite": suite}[args.which](args)


if __name__ == "__main__":
    main()
