"""Bar 4: random walks; every finished text must be valid, no walk may get stuck.

    STRUCTGEN_DATA=... python bench/walks.py [--schemas 1000] [--walks 20] [--seed 0]

Each step takes an allowed token uniformly, except that with some probability
the choice is among the allowed tokens that close something.  The budget of a
walk is what the schema needs plus a random allowance.  A finished text is
judged by :mod:`oracle` (``jsonschema``, ECMA patterns, exact decimals).
Exit status 1: a dead end, an invalid text, or a walk over its budget.
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


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--schemas", type=int, default=1000, help="at least this many, spread over the files")
    p.add_argument("--skip", type=int, default=0, help="leave out that many of them (to run in parts)")
    p.add_argument("--walks", type=int, default=20)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--files", help="only these stems, separated by commas")
    p.add_argument("--order", default="any")
    p.add_argument("--slack", type=int, default=60, help="largest allowance beyond the needed tokens")
    p.add_argument("--dump", type=Path, help="write every finding here")
    args = p.parse_args()
    benchdata.require()
    import structgen as sg
    tokens, _, eos = benchdata.token_bytes()
    closers = closing_tokens(tokens)
    mask = np.zeros((1, (len(tokens) + 31) // 32), np.int32)
    tokenizer = benchdata.tokenizer_dir()
    paths = benchdata.maskbench_files()
    # A fixed shuffle, so that any number of schemas is spread over all splits.
    random.Random(12345).shuffle(paths)
    if args.files:
        paths = [f for f in paths if any(w in f.stem for w in args.files.split(","))]
    count, taken, texts, length = Counter(), 0, 0, 0
    findings: list[str] = []
    started = time.monotonic()
    for path in paths:
        if taken >= args.schemas:
            break
        case = benchdata.load_case(path)
        try:
            compiled = sg.compile(sg.JsonSchema(case["schema"], order=args.order), tokenizer)
        except sg.StructgenError:
            count["refused"] += 1
            continue
        taken += 1
        if taken <= args.skip:
            continue
        since = time.process_time()
        oracle = Oracle(benchdata.json.dumps(case["schema"]))
        for k in range(args.walks):
            rng = random.Random(f"{args.seed}/{path.stem}/{k}")
            try:
                text, n, problem = walk(compiled, tokens, closers, eos, rng, mask, rng.randrange(args.slack + 1),
                                        rng.choice([0.0, 0.3, 0.6, 0.9]), sg)
            except Exception as e:
                count["errors"] += 1
                findings.append(f"{path.stem} walk {k}: {type(e).__name__}: {e}\n{traceback.format_exc(limit=-2)}")
                continue
            length += n
            if problem:
                count["stuck"] += 1
                findings.append(f"{path.stem} walk {k}: {problem}; text {text[-300:]!r}")
                continue
            texts += 1
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
        if time.process_time() - since > 5:
            print(f"  SLOW {path.stem}: {time.process_time() - since:.1f} s of CPU", file=sys.stderr, flush=True)
        if taken % 100 == 0:
            print(f"  {taken} schemas, {dict(count)}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    for line in findings[:60]:
        print("  " + line)
    if len(findings) > 60:
        print(f"  ... and {len(findings) - 60} more")
    if args.dump:
        args.dump.write_text("\n".join(findings))
    print(f"{taken} schemas ({count['refused']} refused on the way), {texts} finished texts of "
          f"{length / max(1, texts):.1f} tokens: {dict(count)}; {time.monotonic() - started:.0f} s")
    bad = count["invalid"] + count["stuck"] + count["errors"]
    print(f"  bar dead ends and invalid texts: {bad}: {'ok' if not bad else 'FAILED'}")
    enough = bool(args.files) or taken >= min(args.schemas, 1000)
    if not enough:
        print("  bar at least 1000 schemas: FAILED")
    return int(bool(bad) or not enough)


if __name__ == "__main__":
    raise SystemExit(main())
