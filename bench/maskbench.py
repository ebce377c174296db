"""Bar 1: MaskBench, what is taken and whether every verdict is right.

    STRUCTGEN_DATA=... python bench/maskbench.py [--every N] [--files a,b] [--peer llguidance]

Each schema is compiled with ``order="any"``; the text of an instance is
``json.dumps(data, ensure_ascii=False)``.  A test is judged three ways, which
must agree: by bytes, token by token through the masks, and (five times) with
the keys of every object shuffled.  A schema passes when it compiles and every
verdict is right, or when it is refused as unsatisfiable and has no valid test.
Exit status 1: a bar failed.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import sys
import time
import traceback
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

import benchdata

PASS_BAR = 0.99
SECONDS_BAR = 10.0
#: by how much one schema may raise the peak of memory
MEMORY_BAR = 1 << 30
SHUFFLES = 5


def shuffled(value, rng: random.Random):
    """`value` with the keys of every object in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {k: shuffled(value[k], rng) for k in keys}
    if isinstance(value, list):
        return [shuffled(v, rng) for v in value]
    return value


class Ours:
    """structgen: verdicts by bytes, by tokens with every mask looked at, by shuffles."""

    def __init__(self, tokens: bool, shuffles: int):
        import structgen as sg
        self.sg = sg
        self.tokens = tokens
        self.shuffles = shuffles
        self.encode = benchdata.encoder().encode
        self.tokenizer = benchdata.tokenizer_dir()
        ids, _, self.eos = benchdata.token_bytes()
        self.mask = np.zeros((1, (len(ids) + 31) // 32), np.int32)
        sg.compile(sg.JsonSchema({"type": "null"}), self.tokenizer).matcher().fill_bitmask(self.mask)

    def compile(self, schema):
        """(compiled, None) or (None, message of the refusal)."""
        sg = self.sg
        try:
            return sg.compile(sg.JsonSchema(schema, order="any"), self.tokenizer), None
        except sg.StructgenError as e:
            return None, e

    def by_bytes(self, compiled, text: str) -> bool:
        m = compiled.matcher()
        try:
            m.accept_bytes(text.encode("utf-8", "surrogatepass"))
        except self.sg.MatcherError:
            return False
        return m.can_end()

    def by_tokens(self, compiled, text: str) -> bool:
        m, mask = compiled.matcher(), self.mask
        row = mask[0]
        for t in self.encode(text, add_special_tokens=False).ids:
            m.fill_bitmask(mask)
            allowed = bool(row[t >> 5] >> (t & 31) & 1)
            if not row.any():
                raise AssertionError("a mask is empty before the end")
            if m.try_accept(t) != allowed:
                raise AssertionError(f"mask and try_accept disagree on token {t}")
            if not allowed:
                return False
        m.fill_bitmask(mask)
        if bool(row[self.eos >> 5] >> (self.eos & 31) & 1) != m.can_end():
            raise AssertionError("the mask's end and can_end disagree")
        return m.can_end()

    def judge(self, compiled, test, seed: int) -> tuple[bool, list[str]]:
        """The verdict and what is wrong with it beside being wrong."""
        text = benchdata.instance_text(test["data"])
        verdict = self.by_bytes(compiled, text)
        faults = []
        if self.tokens and self.by_tokens(compiled, text) != verdict:
            faults.append("tokens and bytes disagree")
        rng = random.Random(seed)
        for _ in range(self.shuffles):
            other = benchdata.instance_text(shuffled(test["data"], rng))
            if other != text and self.by_bytes(compiled, other) != verdict:
                faults.append(f"shuffled keys change the verdict: {other[:200]}")
                break
        return verdict, faults


class Peer:
    """Another engine by its adapter: tokens only."""

    def __init__(self, name: str):
        import peers
        self.peers = peers
        self.engine = peers.make(name)
        self.encode = benchdata.encoder().encode

    def compile(self, schema):
        try:
            return self.engine.compile(schema, self.peers.dumps(schema)), None
        except self.peers.Refused as e:
            return None, e

    def judge(self, compiled, test, seed: int):
        run = self.engine.start(compiled)
        for t in self.encode(benchdata.instance_text(test["data"]), add_special_tokens=False).ids:
            run.fill()
            if not run.mask[t >> 5] >> (t & 31) & 1 or not run.commit(t):
                return False, []
        run.fill()
        return self.peers.finished(run, self.engine.eos), []


def group(error) -> str:
    """A refusal's message without what is particular to one schema."""
    message = str(getattr(error, "message", error)).splitlines()[0]
    message = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "…", message)
    message = re.sub(r"\d+", "N", message)
    return f"{type(error).__name__}: {message[:110]}"


def run(engine, paths, progress: bool, *, unsatisfiable=()) -> dict:
    """Judge every file; the outcome of each by name."""
    outcomes = {}
    for k, path in enumerate(paths):
        case = benchdata.load_case(path)
        tests = case.get("tests", [])
        t, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        row = outcomes[path.stem] = {"split": path.stem.split("---")[0].split("_")[0], "tests": len(tests),
                                     "false accepts": 0, "false rejects": 0, "faults": []}
        try:
            compiled, refusal = engine.compile(case["schema"])
            if refusal is not None:
                row["refusal"] = group(refusal)
                row["detail"] = str(refusal)[:300]
                if unsatisfiable and isinstance(refusal, unsatisfiable):
                    row["unsatisfiable"] = True
                    row["false rejects"] = sum(bool(x["valid"]) for x in tests)
            else:
                for i, test in enumerate(tests):
                    verdict, faults = engine.judge(compiled, test, seed=k * 1000 + i)
                    row["faults"] += [f"test {i}: {f}" for f in faults]
                    if verdict and not test["valid"]:
                        row["false accepts"] += 1
                        row.setdefault("which", []).append(f"accepts test {i}")
                    elif test["valid"] and not verdict:
                        row["false rejects"] += 1
                        row.setdefault("which", []).append(f"rejects test {i}")
        except Exception as e:  # what a bench is for: an untyped error is a failure of the bar
            row["crash"] = f"{type(e).__name__}: {e}"[:300]
            row["trace"] = traceback.format_exc(limit=-3)
        row["seconds"] = time.process_time() - t
        row["bytes"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024
        wrong = row["false accepts"] or row["false rejects"] or row["faults"] or "crash" in row
        row["pass"] = not wrong and ("refusal" not in row or row.get("unsatisfiable", False))
        if progress and k % 200 == 199:
            print(f"  {k + 1}/{len(paths)}", file=sys.stderr)
    return outcomes


def report(name: str, outcomes: dict, verbose: bool) -> None:
    """The table of one engine."""
    n = len(outcomes)
    rows = outcomes.items()
    passed = sum(r["pass"] for _, r in rows)
    print(f"\n{name}: {passed} of {n} schemas pass ({100 * passed / n:.2f} %), "
          f"refusals {sum('refusal' in r for _, r in rows)} "
          f"({sum(r.get('unsatisfiable', False) for _, r in rows)} as unsatisfiable), "
          f"schemas with a false accept {sum(r['false accepts'] > 0 for _, r in rows)}, "
          f"with a false reject {sum(r['false rejects'] > 0 for _, r in rows)}, "
          f"faults {sum(bool(r['faults']) for _, r in rows)}, crashes {sum('crash' in r for _, r in rows)}, "
          f"slowest {max(r['seconds'] for _, r in rows):.2f} s, "
          f"most memory {max(r['bytes'] for _, r in rows) / 1e6:.0f} MB more, "
          f"total {sum(r['seconds'] for _, r in rows):.0f} s")
    splits = defaultdict(Counter)
    for _, r in rows:
        splits[r["split"]].update(all=1, ok=r["pass"])
    print("  " + "  ".join(f"{s} {c['ok']}/{c['all']}" for s, c in sorted(splits.items())))
    refusals, example = Counter(), {}
    for stem, r in rows:
        if "refusal" in r:
            refusals[r["refusal"]] += 1
            example.setdefault(r["refusal"], stem)
    for message, count in refusals.most_common(None if verbose else 40):
        print(f"  {count:5d}  {message}   ({example[message]})")
    for stem, r in rows:
        for what in r.get("which", []):
            print(f"  WRONG {stem}: {what}")
        for what in r["faults"][:2]:
            print(f"  FAULT {stem}: {what}")
        if "crash" in r:
            print(f"  CRASH {stem}: {r['crash']}")
            if verbose:
                print(r["trace"])
        if r["seconds"] > 5:
            print(f"  SLOW {stem}: {r['seconds']:.1f} s of CPU")


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--every", type=int, default=1)
    p.add_argument("--limit", type=int)
    p.add_argument("--files", help="only these stems, separated by commas (a part of the name is enough)")
    p.add_argument("--peer", action="append", default=[], help="also judge this engine (llguidance, xgrammar, ...)")
    p.add_argument("--no-ours", action="store_true")
    p.add_argument("--no-tokens", action="store_true", help="judge by bytes only")
    p.add_argument("--shuffles", type=int, default=SHUFFLES)
    p.add_argument("--json", type=Path, help="write the outcome of every file here")
    p.add_argument("--verbose", action="store_true")
    args = p.parse_args()
    benchdata.require()
    paths = benchdata.maskbench_files(args.every, args.limit)
    if args.files:
        wanted = args.files.split(",")
        paths = [f for f in paths if any(w in f.stem for w in wanted)]
    every = {}
    for name in args.peer:
        every[name] = run(Peer(name), paths, sys.stderr.isatty())
        report(name, every[name], args.verbose)
    status = 0
    if not args.no_ours:
        ours = Ours(not args.no_tokens, args.shuffles)
        every["ours"] = out = run(ours, paths, sys.stderr.isatty(), unsatisfiable=(ours.sg.UnsatisfiableSchema,))
        report("ours", out, args.verbose)
        rows = out.values()
        rate = sum(r["pass"] for r in rows) / len(rows)
        checks = [(f"pass rate {100 * rate:.2f} % (bar {100 * PASS_BAR:.0f} %)", rate >= PASS_BAR),
                  ("no false accept", not any(r["false accepts"] for r in rows)),
                  ("no false reject", not any(r["false rejects"] for r in rows)),
                  ("bytes, tokens and shuffles agree", not any(r["faults"] for r in rows)),
                  ("no crash", not any("crash" in r for r in rows)),
                  (f"no schema over {SECONDS_BAR:.0f} s of CPU", all(r["seconds"] <= SECONDS_BAR for r in rows)),
                  ("no schema over 1 GiB", all(r["bytes"] <= MEMORY_BAR for r in rows))]
        for what, good in checks:
            print(f"  bar {what}: {'ok' if good else 'FAILED'}")
            status |= not good
        for name in args.peer:
            ratio = rate / max(1e-9, sum(r["pass"] for r in every[name].values()) / len(rows))
            print(f"  passing schemas, ours / {name}: {ratio:.3f}")
    if args.json:
        args.json.write_text(json.dumps(every, ensure_ascii=False))
    return status


if __name__ == "__main__":
    raise SystemExit(main())
