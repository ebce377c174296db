"""How long ``structgen --help`` and ``import structgen`` take in a new process.

    python bench/cli_startup.py [--runs 7]

Each figure is the fastest and the median of several fresh processes, after one
that fills the file caches.  Bars: ``--help`` 0.40 s, ``import structgen``
0.35 s.  Exit status 1 if a median is above its bar.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

CASES = (
    ("python -c pass", ["-c", "pass"], None),
    ("import structgen", ["-c", "import structgen"], 0.35),
    ("structgen --help", ["-m", "structgen", "--help"], 0.40),
    ("structgen validate --help", ["-m", "structgen", "validate", "--help"], 0.40),
)
HEAVY = ("torch", "transformers")


def measure(arguments: list[str], runs: int) -> list[float]:
    """Wall times of `runs` processes, after one that does not count."""
    times = []
    for i in range(runs + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        if i:
            times.append(time.perf_counter() - started)
    return sorted(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    failed = False
    print(f"{'':28}{'fastest':>10}{'median':>10}{'bar':>8}")
    for name, arguments, bar in CASES:
        times = measure(arguments, runs)
        median = statistics.median(times)
        verdict = "" if bar is None else "ok" if median <= bar else "ABOVE"
        failed = failed or verdict == "ABOVE"
        print(f"{name:28}{times[0]:>9.3f}s{median:>9.3f}s{'' if bar is None else f'{bar:>7.2f}s'} {verdict}")
    code = "import sys, structgen; print([m for m in %r if m in sys.modules])" % (HEAVY,)
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    print(f"heavy modules after import structgen: {loaded} {'ok' if loaded == '[]' else 'ABOVE'}")
    return int(failed or loaded != "[]")


if __name__ == "__main__":
    sys.exit(main())
