"""Thousands of random grammars or automata against brute force.

``python -m tests.diffusion.brute [N]``: N grammars a mode (default 1,000) of the context-free track.
``python -m tests.diffusion.brute --track regular [N]``: N random automata (default 2,000) of the regular one, with
chi-squared tests of draws.
"""

import argparse
import time
from collections import Counter


def grammars(count: int) -> None:
    from tests.diffusion.test_cfg_canvas import check

    for mode in ("scannerless", "dynamic", "dynamic_complete", "basic", "contextual"):
        total = [0, 0, 0]
        for seed in range(count):
            total = [a + b for a, b in zip(total, check(mode, seed, 3))]
        print(f"{mode}: {total[0]} canvases, {total[1]} feasible, {total[2]} with sums: all as by enumeration",
              flush=True)


def automata(count: int) -> None:
    from tests.diffusion.regular_cases import KINDS
    from tests.diffusion.test_canvas import check

    every: Counter = Counter()
    for kind in KINDS:
        found: Counter = Counter()
        seed, started = 0, time.process_time()
        while found["automata"] < -(-count // len(KINDS)):
            found += check(kind, seed, draws=400)
            seed += 1
        every += found
        print(f"{kind}: {said(found)}; {time.process_time() - started:.0f} s of processor", flush=True)
    print(f"regular track, all: {said(every)}")


def said(n: Counter) -> str:
    return (f"{n['automata']:,} automata, {n['canvases']:,} canvases, {n['feasible']:,} feasible, {n['enumerated']:,} "
            f"enumerated, {n['blocks']:,} that follow a block, {n['short']} refused as too short, {n['unspelt']} as no "
            "text can be spelt; feasibility, masks, argmax, log Z, marginals, joint draws all as by brute force; "
            f"{n['laws']} laws drawn from, of them {n['p < 0.05']} with p < 0.05, none with p < 1e-7")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int)
    parser.add_argument("--track", choices=["cfg", "regular"], default="cfg")
    options = parser.parse_args()
    if options.track == "cfg":
        grammars(options.count or 1000)
    else:
        automata(options.count or 2000)
