"""Bar 2: time per token and time to the first mask, beside the peers.

    STRUCTGEN_DATA=... python bench/speed.py [--engines a,b] [--every 11] [--limit N] [--repeat K]

Each engine runs in a fresh process, one pass over the files in test order,
garbage collection off.  Per token: fill the mask and commit the token, both as
seen from Python.  Time to first mask: compile plus the first mask of a schema.
A test stops where its token is not in the mask.  A schema on which an engine
takes longer than ``--timeout`` is given up (the process is replaced).

A machine that is shared may run at half its speed for seconds at a time, whatever
runs on it, and one of its cores for longer.  ``--repeat K`` runs ours and the engine of
the bars K times, in turns, on one core after the other and each time in a fresh process;
every time that is reported is then the least of K.

Ratios are over the schemas both engines take.  Schemas that use one of the
keywords `RICH` (``not``, ``uniqueItems``, ``if`` and so on) are part of all
figures, and reported once more by themselves; ``--rich`` runs only those.
Exit status 1: a bar failed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import benchdata
from peers import Refused, dumps, finished, make

#: Ours over llguidance's, per figure: the bars of the issue.
BARS = {("tbm", "mean"): 1 / 5, ("tbm", "p50"): 1 / 6, ("tbm", "p99"): 1 / 4,
        ("ttfm", "p50"): 1 / 3, ("ttfm", "p99"): 1 / 2}
#: Keywords that relate parts of a value, or need complements.
RICH = frozenset(("not", "if", "contains", "uniqueItems", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef",
                  "$recursiveRef", "dependentSchemas", "propertyNames"))
#: Keywords whose values map names to schemas, or hold no schemas.
_MAPS = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"))
_DATA = frozenset(("enum", "const", "default", "examples"))
WARM_UP = {"type": "object", "properties": {"warm": {"type": "integer"}}, "required": ["warm"]}
#: The warm-up also fills one mask inside a string with a pattern and one inside a bounded
#: number, so that no engine meets a code path for the very first time on the clock.
WARM_UP_2 = {"type": "object", "properties": {"p": {"type": "string", "pattern": "^[a-c]+x", "maxLength": 9},
                                              "n": {"type": "integer", "minimum": 3, "maximum": 77},
                                              "e": {"enum": ["u", "v", 1]},
                                              "d": {"type": "string", "format": "date"},
                                              "m": {"patternProperties": {"^q": {"type": "null"}}}}}


def measure(engine, schema, texts, tokens_of, on_first=None):
    """Times in ns of one schema: (ttfm, [tbm, ...], per-test end states)."""
    text = dumps(schema)
    clock = time.perf_counter_ns
    t0 = clock()
    obj = engine.compile(schema, text)
    run = engine.start(obj)
    run.fill()
    ttfm = clock() - t0
    samples, ends = [], []
    for k, instance in enumerate(texts):
        if k:
            run = engine.start(obj)
        fill, commit, mask = run.fill, run.commit, run.mask
        skip = k == 0          # that mask is already part of the time to first mask
        end = "accepted"
        for token in tokens_of(instance):
            a = clock()
            fill()
            b = clock()
            allowed = mask[token >> 5] >> (token & 31) & 1
            if not allowed:
                samples.append(b - a)
                end = "rejected"
                break
            c = clock()
            ok = commit(token)
            d = clock()
            if not ok:
                end = "inconsistent"
                break
            if skip:
                skip = False
            else:
                samples.append(b - a + d - c)
        else:
            a = clock()
            fill()
            samples.append(clock() - a)
            if not finished(run, engine.eos):
                end = "rejected"
        ends.append(end)
    return ttfm, samples, ends


def worker(name: str, work: Path, start: int, step: int = 1) -> None:
    """Run one engine over every `step`-th prepared case from `start` on; JSON lines on stdout."""
    engine = make(name)
    with open(work, encoding="utf-8") as f:
        items = [json.loads(line) for line in f]
    for schema, toks in ((WARM_UP, items[0]["warm"][0]), (WARM_UP_2, items[0]["warm"][1])):
        try:
            measure(engine, schema, [0], lambda _, toks=toks: toks)
        except Refused:
            pass
    gc.collect()
    gc.freeze()
    gc.disable()
    out = sys.stdout
    for i in range(start, len(items), step):
        out.write(json.dumps({"begin": i}) + "\n")
        out.flush()
        item = items[i]
        try:
            ttfm, samples, ends = measure(engine, item["schema"], range(len(item["tokens"])),
                                          item["tokens"].__getitem__)
            row = {"i": i, "ttfm": ttfm, "tbm": samples, "ends": ends}
        except Refused as e:
            row = {"i": i, "refused": str(e)[:200]}
        except BaseException as e:  # a panic of a Rust peer is not an Exception
            if isinstance(e, (KeyboardInterrupt, SystemExit)):
                raise
            row = {"i": i, "crash": f"{type(e).__name__}: {e}"[:300]}
        out.write(json.dumps(row) + "\n")
        out.flush()
        gc.collect(0)


def run_engine(name: str, work: Path, n: int, timeout: float, turn: int = 0) -> dict[int, dict]:
    """Results by case, with the process replaced when one case takes too long or kills it."""
    rows: dict[int, dict] = {}
    start = 0
    while start < n:
        proc = subprocess.Popen([sys.executable, __file__, "--worker", name, "--work", str(work), "--start", str(start),
                                 "--turn", str(turn)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        current, deadline, pending, why = start, time.monotonic() + 120, b"", "died"
        fd = proc.stdout.fileno()
        while True:
            ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                why = "timeout"
                proc.kill()
                break
            chunk = os.read(fd, 1 << 20)
            if not chunk:
                break
            pending += chunk
            *lines, pending = pending.split(b"\n")
            for line in lines:
                row = json.loads(line)
                if "begin" in row:
                    current = row["begin"]
                    deadline = time.monotonic() + timeout
                else:
                    rows[row["i"]] = row
        proc.wait()
        if len(rows) and max(rows) == n - 1:
            break
        if proc.returncode == 0:
            break
        if current == start and current not in rows and why == "died" and start == 0 and not rows:
            print(f"  {name}: the process ended before its first result", file=sys.stderr)
        rows.setdefault(current, {"i": current, why: True})
        start = current + 1
    return rows


def least(runs: list[dict[int, dict]]) -> dict[int, dict]:
    """The rows of several runs as one: the least of what was measured in all of them alike."""
    rows = dict(runs[0])
    for i, row in rows.items():
        same = [run.get(i, {}) for run in runs]
        if "ttfm" in row and all(r.get("ends") == row["ends"] and len(r["tbm"]) == len(row["tbm"]) for r in same):
            rows[i] = {**row, "ttfm": min(r["ttfm"] for r in same), "tbm": np.min([r["tbm"] for r in same], 0).tolist()}
    return rows


def is_rich(schema) -> bool:
    """Does a keyword of `RICH` stand anywhere in the schema (``uniqueItems: false`` aside)?"""
    stack = [schema]
    while stack:
        part = stack.pop()
        if isinstance(part, list):
            stack += part
        elif isinstance(part, dict):
            if any(value is not False for key, value in part.items() if key in RICH):
                return True
            for key, value in part.items():
                if key in _MAPS and isinstance(value, dict):
                    stack += value.values()
                elif key not in _DATA:
                    stack.append(value)
    return False


def figures(values) -> dict[str, float]:
    """The figures of a sample, in the sample's unit."""
    a = np.asarray(values, np.float64)
    if not a.size:
        return {k: float("nan") for k in ("mean", "p50", "p90", "p99", "p99.9", "max")}
    p = np.percentile(a, [50, 90, 99, 99.9])
    return dict(zip(("mean", "p50", "p90", "p99", "p99.9", "max"), [a.mean(), *p, a.max()]))


def show(title: str, ours: dict, peer: dict | None, unit: float, name: str) -> None:
    """One line of figures in `unit` ns, and the ratios when there is a peer."""
    cells = "  ".join(f"{k} {v / unit:9.2f}" for k, v in ours.items())
    print(f"  {name:14s} {title:5s} {cells}")
    if peer is not None:
        ratio = "  ".join(f"{k} {_ratio(ours[k], peer[k]):>9s}" for k in ours)
        print(f"  {'':14s} {'':5s} {ratio}")


def _ratio(a: float, b: float) -> str:
    if not b or a != a or b != b:
        return "-"
    return f"1/{b / a:.2f}" if a <= b else f"{a / b:.2f}x"


def prepare(path: Path, every: int, limit: int | None, rich: bool = False) -> list[str]:
    """Write the cases with their token ids (only rich ones if asked); return their names."""
    names = []
    enc = benchdata.encoder()

    def encode(value):
        return enc.encode(benchdata.instance_text(value), add_special_tokens=False).ids

    warm = [encode({"warm": 12}), encode({"p": "abcx1", "n": 45, "e": "u", "d": "2020-01-02", "m": {"q": None}})]
    with open(path, "w", encoding="utf-8") as f:
        for name, case in benchdata.cases(every, limit):
            if rich and not is_rich(case["schema"]):
                continue
            names.append(name)
            row = {"schema": case["schema"], "tokens": [encode(t["data"]) for t in case.get("tests", [])],
                   "valid": [t["valid"] for t in case.get("tests", [])], "warm": warm,
                   "rich": is_rich(case["schema"])}
            f.write(json.dumps(row) + "\n")
    return names


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--engines", default="ours-any,ours-schema,llguidance,xgrammar,outlines_core,glrmask")
    p.add_argument("--peer", default="llguidance", help="the engine of the bars")
    p.add_argument("--every", type=int, default=11)
    p.add_argument("--limit", type=int)
    p.add_argument("--rich", action="store_true", help="only schemas that use one of the keywords RICH")
    p.add_argument("--timeout", type=float, default=20.0, help="seconds a schema (slow peers)")
    p.add_argument("--repeat", type=int, default=1, help="runs of ours and of the engine of the bars")
    p.add_argument("--json", type=Path, help="write all rows here")
    p.add_argument("--worst", type=int, default=0, help="print the slowest schemas of our engine")
    for hidden in ("--worker", "--work", "--start", "--step", "--turn"):      # how it calls itself
        p.add_argument(hidden, help=argparse.SUPPRESS, type={"--worker": str, "--work": Path}.get(hidden, int),
                       default={"--start": 0, "--step": 1, "--turn": 0}.get(hidden))
    args = p.parse_args()
    benchdata.require()
    if args.worker:
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, cores[args.turn % len(cores):][:1])
        worker(args.worker, args.work, args.start, args.step)
        return 0
    with tempfile.TemporaryDirectory() as tmp:
        work = Path(tmp) / "cases.jsonl"
        names = prepare(work, args.every, args.limit, args.rich)
        with open(work, encoding="utf-8") as f:
            rows = [json.loads(line) for line in f]
        valid, rich = [r["valid"] for r in rows], {i for i, r in enumerate(rows) if r["rich"]}
        print(f"{len(names)} schemas, {sum(map(len, valid))} tests; times in µs; ratios are ours / peer")
        engines = args.engines.split(",")
        runs: dict[str, list[dict[int, dict]]] = {name: [] for name in engines}
        seconds = dict.fromkeys(engines, 0.0)
        for name in engines:
            if name.startswith("ours"):
                # A throw-away process, so that kernels are compiled and tokenizer tables are on disk.
                subprocess.run([sys.executable, __file__, "--worker", name, "--work", str(work), "--step", "7"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for k in range(args.repeat):
            for name in engines:
                if k == 0 or name.startswith("ours") or name == args.peer:
                    t = time.monotonic()
                    runs[name].append(run_engine(name, work, len(names), args.timeout, k))
                    seconds[name] += time.monotonic() - t
        results = {name: least(some) for name, some in runs.items()}
        for name in engines:
            rows = results[name].values()
            took = [r for r in rows if "ttfm" in r]
            wrong = sum((e == "accepted") != v for r in took for e, v in zip(r["ends"], valid[r["i"]]))
            print(f"{name}: takes {len(took)}, refuses {sum('refused' in r for r in rows)}, "
                  f"crashes {sum('crash' in r or 'died' in r for r in rows)}, "
                  f"gives up {sum('timeout' in r for r in rows)}; wrong verdicts {wrong}; "
                  f"{sum(len(r['tbm']) for r in took)} steps; {seconds[name]:.0f} s wall, "
                  f"{len(runs[name])} run(s)")
            for r in rows:
                if "crash" in r or "died" in r:
                    print(f"    {names[r['i']]}: {r.get('crash', 'the process died')}")
            some = [r for r in took if r["i"] in rich]
            print(f"  of these with one of {', '.join(sorted(RICH))}: {len(some)} of {len(rich)}")
            show("TBM", figures([x for r in some for x in r["tbm"]]), None, 1e3, name)
            show("TTFM", figures([r["ttfm"] for r in some]), None, 1e3, name)
            print("  all")
            show("TBM", figures([x for r in took for x in r["tbm"]]), None, 1e3, name)
            show("TTFM", figures([r["ttfm"] for r in took]), None, 1e3, name)
    if args.json:
        args.json.write_text(json.dumps({"names": names, "valid": valid, "rows": {
            e: sorted(r.values(), key=lambda x: x["i"]) for e, r in results.items()}}))
    status = 0
    for ours in [e for e in results if e.startswith("ours")]:
        for peer in [e for e in results if not e.startswith("ours")]:
            both = [i for i in results[ours] if "ttfm" in results[ours][i] and "ttfm" in results[peer].get(i, ())]
            for what, some in (("with one of RICH", [i for i in both if i in rich]), ("in all", both)):
                print(f"\n{ours} against {peer}: {len(some)} schemas both take, {what}")
                f = {}
                for e in (peer, ours):
                    f[e] = {"tbm": figures([x for i in some for x in results[e][i]["tbm"]]),
                            "ttfm": figures([results[e][i]["ttfm"] for i in some])}
                for kind in ("tbm", "ttfm"):
                    show(kind.upper(), f[peer][kind], None, 1e3, peer)
                    show(kind.upper(), f[ours][kind], f[peer][kind], 1e3, ours)
            if ours == "ours-any" and peer == args.peer:
                for (kind, which), bar in BARS.items():
                    a, b = f[ours][kind][which], f[peer][kind][which]
                    good = a <= bar * b
                    print(f"  bar {kind} {which}: {_ratio(a, b)} against 1/{1 / bar:.0f}: {'ok' if good else 'FAILED'}")
                    status |= not good
        if args.worst:
            rows = [r for r in results[ours].values() if "ttfm" in r]
            print(f"\n{ours}, slowest first masks (µs):")
            for r in sorted(rows, key=lambda r: -r["ttfm"])[:args.worst]:
                print(f"  {r['ttfm'] / 1e3:10.1f}  {names[r['i']]}")
            print(f"{ours}, slowest tokens (µs):")
            for r in sorted(rows, key=lambda r: -max(r["tbm"], default=0))[:args.worst]:
                mean = np.mean(r["tbm"] or [0]) / 1e3
                print(f"  {max(r['tbm'], default=0) / 1e3:10.1f}  {names[r['i']]} (schema mean {mean:.2f})")
    if "ours-any" in results and args.peer in results:
        return status
    print("no bar was checked: it needs ours-any and the peer", file=sys.stderr)
    return 0 if not any(e.startswith("ours") for e in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
