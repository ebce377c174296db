"""Thousands of random grammars against brute force: ``python -m tests.diffusion.brute [grammars a mode]``."""

import sys

from tests.diffusion.test_cfg_canvas import check

if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for mode in ("scannerless", "dynamic", "dynamic_complete", "basic", "contextual"):
        total = [0, 0, 0]
        for seed in range(count):
            total = [a + b for a, b in zip(total, check(mode, seed, 3))]
        print(f"{mode}: {total[0]} canvases, {total[1]} feasible, {total[2]} with sums: all as by enumeration",
              flush=True)
