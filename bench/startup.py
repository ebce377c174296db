"""Bar 3: a fresh machine, a fresh process, and three hard first masks.

    STRUCTGEN_DATA=... python bench/startup.py [--no-cold] [--repeat 3] [--peers llguidance,xgrammar]

Cold: one process with empty caches (``NUMBA_CACHE_DIR`` and ``STRUCTGEN_CACHE``
point at new folders) meets every kernel; what a second such process does not
need is compilation and tokenizer tables.  Warm: a new process, caches in
place, from before ``import structgen`` to the first mask of a schema it has
not seen, the vocabulary given as a folder.  Hard: time to the first mask in a
process that has answered other schemas.  Exit status 1: a bar failed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import benchdata

COLD_BAR, WARM_BAR, IMPORT_BAR, HARD_BAR = 20.0, 1.0, 0.35, 0.005

HARD = {
    "maxLength 1000": {"type": "object", "properties": {"a": {"type": "string", "maxLength": 1000}},
                       "required": ["a"], "additionalProperties": False},
    "enum of 5000": {"type": "object", "properties": {"a": {"enum": [f"value-{i:05d}" for i in range(5000)]}},
                     "required": ["a"], "additionalProperties": False},
    "20 optional keys": {"type": "object", "properties": {f"field_{i}": {"type": "string"} for i in range(20)},
                         "additionalProperties": False},
}

#: A schema and texts that run through every kind of lexeme and object rule.
EVERYTHING = {
    "type": "object",
    "properties": {
        "s": {"type": "string", "maxLength": 40}, "p": {"type": "string", "pattern": "^[a-z]+[0-9]*$"},
        "d": {"type": "string", "format": "date-time"}, "i": {"type": "integer", "minimum": 3, "maximum": 400},
        "n": {"type": "number", "multipleOf": 0.25}, "e": {"enum": ["x", "yy", 3, None]}, "t": {"type": "boolean"},
        "a": {"type": "array", "items": {"type": ["string", "null"]}, "minItems": 1, "maxItems": 5},
        "o": {"anyOf": [{"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"]},
                        {"type": "object", "properties": {"k": {"type": "string"}}, "required": ["k", "l"]}]},
        "q": {"patternProperties": {"^x_": {"type": "integer"}}, "propertyNames": {"maxLength": 8}},
        "r": {"$ref": "#"},
    },
    "dependentRequired": {"s": ["p"]}, "minProperties": 1, "additionalProperties": {"type": "number"},
}
VALUES = [{"s": "é\n", "p": "abc1", "d": "2020-02-29T12:00:00Z", "i": 44, "n": 1.25, "e": "yy", "t": True,
           "a": ["x", None], "o": {"k": "v", "l": [1, {"m": 2e5}]}, "q": {"x_1": 7, "zz": {}}, "r": {"z": 1.5}}]

CHILD = r"""
import json, os, sys, time
job = json.loads(sys.stdin.readline())
t0 = time.perf_counter()
import structgen as sg
import_s = time.perf_counter() - t0
import pathlib
import numpy as np
c = sg.compile(sg.JsonSchema(job["schema"], order=job.get("order", "any")), pathlib.Path(job["tokenizer"]))
mask = np.zeros((1, job["words"]), np.int32)
m = c.matcher()
m.fill_bitmask(mask)
first_s = time.perf_counter() - t0
if job.get("tokens"):
    for order in ("any", "schema"):
        c = sg.compile(sg.JsonSchema(job["schema"], order=order), __import__("pathlib").Path(job["tokenizer"]))
        for tokens in job["tokens"]:
            m = c.matcher()
            for t in tokens:
                m.fill_bitmask(mask)
                m.accept(t)
            m.can_end(); m.fork().rollback(1); m.shortest_completion(); m.forced_bytes()
            m.reset(); m.accept_bytes(b"{")
            m = c.matcher(max_tokens=500)
            m.fill_bitmask(mask)
all_s = time.perf_counter() - t0
print(json.dumps({"import": import_s, "first": first_s, "all": all_s,
                  "heavy": sorted({"torch", "transformers"} & set(sys.modules))}))
"""

PEER_CHILD = r"""
import json, sys, time
sys.path.insert(0, sys.argv[1])
t0 = time.perf_counter()
import peers
e = peers.make(sys.argv[2])
job = json.loads(sys.stdin.readline())
r = e.start(e.compile(job["schema"], json.dumps(job["schema"])))
r.fill()
print(json.dumps({"first": time.perf_counter() - t0}))
"""

HARD_CHILD = r"""
import gc, json, sys, time
sys.path.insert(0, sys.argv[1])
import peers
e = peers.make(sys.argv[2])
job = json.loads(sys.stdin.readline())
for schema in job["warm"]:
    e.start(e.compile(schema, json.dumps(schema))).fill()
out = {}
for k in range(job["repeat"]):
    for name, schema in job["hard"].items():
        # A title of its own each time: nobody answers from a cache by text.
        schema = {"title": f"{name} {k}", **schema}
        text = json.dumps(schema)
        gc.collect(); gc.disable()
        t = time.perf_counter()
        try:
            r = e.start(e.compile(schema, text)); r.fill()
            out.setdefault(name, []).append(time.perf_counter() - t)
        except peers.Refused as x:
            out.setdefault(name, []).append(None)
        gc.enable()
print(json.dumps(out))
"""


def child(code: str, job: dict, env: dict, *args: str, timeout: float = 300) -> dict:
    """Run `code` in a fresh interpreter; `job` on its standard input; its JSON answer."""
    done = subprocess.run([sys.executable, "-c", code, *args], input=json.dumps(job) + "\n", text=True,
                          capture_output=True, env=env, timeout=timeout)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--no-cold", action="store_true")
    p.add_argument("--no-ours", action="store_true")
    p.add_argument("--repeat", type=int, default=5)
    p.add_argument("--peers", default="llguidance,xgrammar")
    args = p.parse_args()
    benchdata.require()
    gc.collect()
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(here)
    env = {**os.environ, "PYTHONPATH": root + os.pathsep + os.environ.get("PYTHONPATH", ""),
           "OMP_NUM_THREADS": "1"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)        # installed packages, the peers' too, have their bytecode on disk
    encode = benchdata.encoder().encode
    words = (len(benchdata.token_bytes()[0]) + 31) // 32
    tokens = [encode(benchdata.instance_text(v), add_special_tokens=False).ids for v in VALUES]
    job = {"schema": EVERYTHING, "tokenizer": str(benchdata.tokenizer_dir()), "words": words}
    status = 0

    def check(what: str, seconds: float, bar: float) -> None:
        nonlocal status
        good = seconds <= bar
        status |= not good
        print(f"  bar {what}: {seconds:.4g} s, at most {bar:g} s: {'ok' if good else 'FAILED'}")

    if not args.no_ours:
        if not args.no_cold:
            with tempfile.TemporaryDirectory() as tmp:
                cold = {**env, "NUMBA_CACHE_DIR": os.path.join(tmp, "numba"),
                        "STRUCTGEN_CACHE": os.path.join(tmp, "sg")}
                one = child(CHILD, {**job, "tokens": tokens}, cold)
                two = child(CHILD, {**job, "tokens": tokens}, cold)
            print(f"empty caches: first mask after {one['first']:.2f} s, every kernel after {one['all']:.2f} s; "
                  f"the process after it {two['first']:.2f} and {two['all']:.2f} s")
            check("kernels compile", one["all"] - two["all"], COLD_BAR)
        child(CHILD, {**job, "tokens": tokens}, env)        # fills the caches
        runs = [child(CHILD, {**job, "schema": {**EVERYTHING, "title": str(k)}}, env) for k in range(args.repeat)]
        if runs[0]["heavy"]:
            print(f"  structgen imported {runs[0]['heavy']}: FAILED")
            status = 1
        first, imported = (statistics.median(r[k] for r in runs) for k in ("first", "import"))
        print(f"caches in place: import {imported:.3f} s, first mask of a new schema {first:.3f} s "
              f"(median of {len(runs)})")
        check("import structgen", imported, IMPORT_BAR)
        check("import to first mask", first, WARM_BAR)
    peer_names = [x for x in args.peers.split(",") if x]
    simple = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    for name in peer_names:
        other = statistics.median(child(PEER_CHILD, {"schema": simple}, env, here, name)["first"] for _ in range(3))
        line = f"  {name}: import to first mask {other:.3f} s"
        print(line if args.no_ours else f"{line} (ours / {name} = {first / other:.3f})")
    print("time to the first mask, ms (median):")
    hard = {"hard": HARD, "warm": [simple, {"enum": ["a", "b"]}, {"type": "string", "maxLength": 7}],
            "repeat": args.repeat}
    table = {}
    for name in ([] if args.no_ours else ["ours-any"]) + peer_names:
        answers = child(HARD_CHILD, hard, env, here, name)
        table[name] = {k: statistics.median(v) if None not in v else float("nan") for k, v in answers.items()}
        ratio = ""
        if name != "ours-any" and "ours-any" in table:
            ratio = "   ours / it: " + ", ".join(f"{table['ours-any'][k] / v:.4f}" for k, v in table[name].items())
        print(f"  {name:12s} " + "  ".join(f"{k} {1e3 * v:.3f}" for k, v in table[name].items()) + ratio)
    if not args.no_ours:
        for k, v in table["ours-any"].items():
            check(k, v, HARD_BAR)
    return status


if __name__ == "__main__":
    t = time.time()
    code = main()
    print(f"({time.time() - t:.0f} s)")
    raise SystemExit(code)
