"""Random walks: every finished text must be valid, no walk may get stuck.

    STRUCTGEN_DATA=... python bench/walks.py [--schemas 1000] [--walks 20] [--seed 0]
    STRUCTGEN_DATA=... python bench/walks.py --part 3/8 --record walks.jsonl     # one part of all schemas, kept
    python bench/walks.py --report walks.jsonl                                   # the verdict on what was kept

Each step takes an allowed token uniformly, except that with some probability
the choice is among the allowed tokens that close something.  The budget of a
walk is what the schema needs plus a random allowance.  A finished text is
judged by :mod:`oracle` (``jsonschema``, ECMA patterns, exact decimals).
Exit status 1: a bar failed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

import benchdata
from oracle import Oracle

CLOSERS = b'"}],'


def closing_tokens(tokens: list[bytes | None]) -> np.ndarray:
    """Which ids are short and end in a byte that closes something."""
    return np.array([t is not None and len(t) <= 4 and t[-1:] in (b'"', b"}", b"]", b",") for t in tokens])


def walk(compiled, tokens, closers, eos: int, rng: random.Random, mask, slack: int, bias: float, sg):
    """(text, number of tokens, problem or None) of one walk."""
    try:
        m = compiled.matcher(max_tokens=1)
    except sg.BudgetError as e:
        budget = e.needed + slack
        m = compiled.matcher(max_tokens=budget)
    else:
        budget = 1
    out, n = bytearray(), 0
    ids = len(tokens)
    while True:
        m.fill_bitmask(mask)
        bits = np.unpackbits(mask.view(np.uint8)[0], bitorder="little")
        allowed = np.flatnonzero(bits.view(bool))
        if not allowed.size:
            return bytes(out), n, "the mask is empty before the end"
        if allowed[-1] >= ids:
            return bytes(out), n, f"the mask allows id {allowed[-1]}"
        if bits[eos] and (allowed.size == 1 or rng.random() < max(bias, 0.2)):
            token = eos
        else:
            if rng.random() < bias:
                preferred = allowed[closers[allowed]]
                if preferred.size:
                    allowed = preferred
            token = int(allowed[rng.randrange(allowed.size)])
        if not m.try_accept(token):
            return bytes(out), n, f"token {token} is in the mask but not accepted"
        n += 1
        if token == eos:
            return bytes(out), n, None if n <= budget else f"{n} tokens with a budget of {budget}"
        if tokens[token] is None:
            return bytes(out), n, f"the special token {token} is allowed"
        out += tokens[token]
        if n > budget:
            return bytes(out), n, f"{n} tokens with a budget of {budget}"


def walks_of(path, args, env) -> tuple[Counter, list[str]]:
    """What became of the walks of one schema: counts, and a line for each that went wrong."""
    sg, tokens, closers, eos, mask, tokenizer = env
    case = benchdata.load_case(path)
    count, findings = Counter(), []
    try:
        compiled = sg.compile(sg.JsonSchema(case["schema"], order=args.order), tokenizer)
    except sg.StructgenError:
        return Counter(refused=1), findings
    except Exception as e:
        return Counter(errors=1), [f"{path.stem}: {type(e).__name__}: {e}\n{traceback.format_exc(limit=-2)}"]
    try:        # a budget needs the shortest completion, which may be out of reach: said before the first token
        compiled.matcher(max_tokens=1 << 40)
    except sg.LimitError as e:
        return Counter({"refused with a budget": 1}), [f"(refused with a budget) {path.stem}: {e.message}"]
    count["schemas"] = 1
    flagged = bool(getattr(compiled, "may_dead_end", False))
    count["schemas that may dead-end"] = int(flagged)
    since = time.process_time()
    oracle = Oracle(benchdata.json.dumps(case["schema"]))
    for k in range(args.walks):
        rng = random.Random(f"{args.seed}/{path.stem}/{k}")
        count["walks"] += 1
        try:
            text, n, problem = walk(compiled, tokens, closers, eos, rng, mask, rng.randrange(args.slack + 1),
                                    rng.choice([0.0, 0.3, 0.6, 0.9]), sg)
        except Exception as e:
            count["errors"] += 1
            findings.append(f"{path.stem} walk {k}: {type(e).__name__}: {e}\n{traceback.format_exc(limit=-2)}")
            continue
        count["tokens"] += n
        if problem:
            count["stuck where it may" if flagged else "stuck"] += 1
            findings.append(f"{path.stem} walk {k}: {problem}; text {text[-300:]!r}")
            continue
        verdict = oracle.check(text)
        if verdict.valid:
            count["valid"] += 1
        elif verdict.unjudged:
            count["unjudged"] += 1
            findings.append(f"(unjudged) {path.stem} walk {k}: {verdict.problem}")
        elif verdict.explained:
            count["listed disagreements"] += 1
        else:
            count["invalid"] += 1
            findings.append(f"{path.stem} walk {k}: {verdict.problem}; text {text[:500]!r}")
    seconds = time.process_time() - since
    count["milliseconds"] = round(1000 * seconds)
    if seconds > 5:
        print(f"  SLOW {path.stem}: {seconds:.1f} s of CPU", file=sys.stderr, flush=True)
    return count, findings


def report(count: Counter, findings: list[str], least: int) -> int:
    """Print what was found and the verdicts; 1 if a bar failed."""
    for line in findings[:60]:
        print("  " + line)
    if len(findings) > 60:
        print(f"  ... and {len(findings) - 60} more")
    count = Counter({k: v for k, v in count.items() if v})
    good = count["valid"] + count["listed disagreements"]
    judged = good + count["invalid"]
    print(f"{count['schemas']} schemas ({count['refused']} more refused, {count['refused with a budget']} only with a "
          f"budget), {count['walks']} walks, {judged} texts "
          f"judged, of {count['tokens'] / max(1, count['walks']):.1f} tokens: "
          + ", ".join(f"{count[k]} {k}" for k in ("valid", "listed disagreements", "invalid", "unjudged", "stuck",
                                                  "stuck where it may", "errors"))
          + f"; {count['milliseconds'] / max(1, count['tokens']):.2f} ms of CPU a token, oracle included")

    def bar(name: str, figure: str, ok: bool) -> bool:
        print(f"  bar {name}: {figure}: {'ok' if ok else 'FAILED'}")
        return ok

    share = good / max(1, judged)
    marked = count["schemas that may dead-end"] / max(1, count["schemas"])
    wrong = count["invalid"] + count["stuck"] + count["errors"]
    oks = [bar("no dead end, no invalid text, no crash", str(wrong), wrong == 0),
           bar("at least 99.9 % of finished texts valid", f"{100 * share:.4f} %", share >= 0.999),
           bar("may dead-end on at most 0.5 % of schemas", f"{100 * marked:.2f} %", marked <= 0.005)]
    if least:
        oks.append(bar(f"at least {least} schemas", str(count["schemas"]), count["schemas"] >= least))
    return int(not all(oks))


def read(path: Path) -> tuple[Counter, list[str]]:
    """What earlier runs kept, the last entry of a schema counting."""
    last = {}
    for line in path.read_text().splitlines():
        entry = benchdata.json.loads(line)
        last[entry["schema"]] = entry
    count, findings = Counter(), []
    for entry in last.values():
        count.update(entry["count"])
        findings += entry["findings"]
    return count, findings


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--schemas", type=int, default=1000, help="at least this many, spread over the files")
    p.add_argument("--part", help="I/N: of all schemas the I-th of N parts, counted from 0")
    p.add_argument("--walks", type=int, default=20)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--files", help="only these stems, separated by commas")
    p.add_argument("--order", default="any")
    p.add_argument("--slack", type=int, default=60, help="largest allowance beyond the needed tokens")
    p.add_argument("--record", type=Path, help="append a line of JSON for every schema to this file")
    p.add_argument("--report", type=Path, help="run nothing: the verdict on a file of --record")
    args = p.parse_args()
    if args.report:
        return report(*read(args.report), 0)
    benchdata.require()
    import structgen as sg
    tokens, _, eos = benchdata.token_bytes()
    mask = np.zeros((1, (len(tokens) + 31) // 32), np.int32)
    env = sg, tokens, closing_tokens(tokens), eos, mask, benchdata.tokenizer_dir()
    paths = benchdata.maskbench_files()
    # A fixed shuffle, so that any number of schemas is spread over all splits.
    random.Random(12345).shuffle(paths)
    if args.files:
        paths = [f for f in paths if any(w in f.stem for w in args.files.split(","))]
    if args.part:
        i, n = map(int, args.part.split("/"))
        paths = paths[i::n]
    count, findings, started = Counter(), [], time.monotonic()
    for done, path in enumerate(paths, 1):
        got, lines = walks_of(path, args, env)
        count.update(got)
        findings += lines
        if args.record:
            with args.record.open("a") as f:
                f.write(benchdata.json.dumps({"schema": path.stem, "count": got, "findings": lines}) + "\n")
        if done % 100 == 0:
            print(f"  {done} of {len(paths)} schemas, {len(findings)} findings, {time.monotonic() - started:.0f} s",
                  file=sys.stderr, flush=True)
        if not args.part and count["schemas"] >= args.schemas:
            break
    return report(count, findings, 0 if args.files or args.part else min(args.schemas, 1000))


if __name__ == "__main__":
    raise SystemExit(main())
