"""The bars on sampling: law, cost, log Z, distortion, bias.

    python bench/aligned.py all|law|cost|logz|distortion|bias|awrs|regular [--models char,embedded] [--tasks bin17,...]

Seeds are drawn fresh (and printed) unless given.  The truth is every text of a
finite language, teacher-forced through the model without any of structgen's code
(`aligned_tasks.exact_laws`), or a linear solve over states made by hand.
Exit status 1: a bar failed.
"""

from __future__ import annotations

import argparse
import math
import secrets
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from statistics import NormalDist
from typing import Any, Callable, Hashable, Iterable

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from aligned_restart import Restart  # noqa: E402
from aligned_settings import CONFIGURATIONS, Setting, settings  # noqa: E402
from aligned_tasks import TASKS, byte_vocabulary  # noqa: E402

from structgen import LimitError, MatcherError  # noqa: E402
from tests.sampling.doubles import chi_squared  # noqa: E402

SMALL = ("bin17", "expr1124", "jskew", "exprY1446", "datemix")
#: float32 scores: their rounding is no miss
ROUNDING = 2e-5

Law = dict[Any, float]


# -- statistics ------------------------------------------------------------------------------------

def kl_observed(drawn: list, truth: Law) -> float:
    """KL of the observed frequencies from the truth."""
    total, n = sum(truth.values()), len(drawn)
    return sum(c / n * math.log(c / n / (truth.get(x, 0.0) / total or 1e-300)) for x, c in Counter(drawn).items())


def kl_quantile(truth: Law, n: int, share: float, rng: np.random.Generator, runs: int = 300) -> float:
    """The `share` quantile of `kl_observed` under the truth, simulated; the tail by a fitted gamma law."""
    p = np.array(list(truth.values()))
    p = p[p > 0] / p.sum()
    values = []
    for _ in range(runs):
        seen = rng.multinomial(n, p)
        c = seen[seen > 0]
        values.append(float((c / n * np.log(c / n / p[seen > 0])).sum()))
    mean, spread = np.mean(values), np.std(values)
    shape = (mean / max(spread, 1e-12)) ** 2
    # Wilson-Hilferty: the cube root of a gamma variable is nearly normal
    z = NormalDist().inv_cdf(share)
    return float(mean * (1 - 1 / (9 * shape) + z / (3 * math.sqrt(shape))) ** 3)


class LawTests:
    """Chi-squared tests with Holm's correction over all of them, and KL below its simulated quantile."""

    def __init__(self, tests: int, seed: int):
        self.share = 1 - 0.001 / tests
        self.rng = np.random.default_rng(seed)
        self.rows: list[tuple[str, float, float, float]] = []
        self._limits: dict[Hashable, float] = {}

    def add(self, name: str, drawn: list, truth: Law, clock: float, key: Hashable = None) -> None:
        p = chi_squared(drawn, truth)
        kl = kl_observed(drawn, truth)
        key = (key or name, len(drawn))
        if key not in self._limits:
            self._limits[key] = kl_quantile(truth, len(drawn), self.share, self.rng)
        self.rows.append((name, p, kl, self._limits[key]))
        print(f"{name:46} n {len(drawn):5}  chi-squared p {p:.4f}  KL {kl:.5f} (limit {self._limits[key]:.5f}) "
              f"{time.process_time() - clock:6.1f} s", flush=True)

    def verdict(self) -> bool:
        ordered = sorted(r[1] for r in self.rows)
        holm = min((p * (len(ordered) - k) for k, p in enumerate(ordered)), default=1.0)
        above = [r[0] for r in self.rows if r[2] > r[3]]
        good = holm > 1e-3 and not above
        print(f"bar law: {len(self.rows)} tests, least p after Holm's correction {min(holm, 1):.4f} (> 0.001), "
              f"KL above its quantile in {len(above)}: {'ok' if good else 'FAILED ' + ', '.join(above)}")
        return good


# -- bars --------------------------------------------------------------------------------------------

def law_bar(all_settings: Iterable[Setting], count: int, n: int, seed: int) -> bool:
    """Bar 1."""
    tests = LawTests(count * 6 + 2, seed)
    for s in all_settings:
        s.warm()
        for name, warping in CONFIGURATIONS.items():
            truth = s.laws[name]
            if sum(truth.values()) <= 0:
                try:
                    s.sample(n=1, seed=seed, **warping)
                except MatcherError as error:
                    print(f"{s.name} {name}: no text has any probability left, and {type(error).__name__} says so")
                    continue
                raise SystemExit(f"{s.name} {name}: texts where no text has any probability left")
            for batch in (1, 16, 64) if not name else (16,):
                clock = time.process_time()
                r = s.sample(n=n, seed=seed + 7919 * batch, batch=batch, budget={"attempts": 2_000_000}, **warping)
                assert r.exact
                tests.add(f"{s.name} {name or f'batch {batch}'}", r.token_ids, truth, clock, (s.name, name))
        clock, drawn = time.process_time(), []
        for k in range(max(1, n // 10)):
            drawn += s.sample(n=10, seed=seed + k, batch=16, budget={"attempts": 2_000_000}).token_ids
        tests.add(f"{s.name} first 10 of fresh oracles", drawn, s.laws[""], clock, (s.name, ""))
    regular_law(tests, n, seed)
    return tests.verdict()


def cost_bar(all_settings: Iterable[Setting], seed: int, repeats: int) -> bool:
    """Bar 3: evaluations and passes against accepted paths and against restarts."""
    n, good = 100, True
    table: dict[str, list[tuple[str, float, float, float]]] = {}
    print("                        a text: evaluations  accepted paths  ratio | forwards of restart   ours  ratio | "
          "passes, 16 walkers  ratio")
    for s in all_settings:
        sums = np.zeros(5)
        for k in range(repeats):
            r = s.sample(n=n, seed=seed + k, batch=1)
            nodes = {path[:i] for path in r.token_ids for i in range(len(path))}
            restart = Restart(s.scorer.score, s.compiled, s.horizon, seed + k,
                              s.tokens == "canonical") if k < 3 else None
            if restart:
                for _ in range(n):
                    restart.sample()
            sixteen = s.sample(n=n, seed=seed + k, batch=16)
            sums += (r.evaluations, len(nodes), r.passes, sixteen.passes, restart.forwards if restart else 0)
        evaluations, floor, passes, sixteen_passes, forwards = sums / (n * repeats)
        forwards *= repeats / min(repeats, 3)
        table.setdefault(s.kind, []).append((s.task.name, evaluations / floor, forwards / passes,
                                             forwards / sixteen_passes))
        print(f"{s.name:22} {evaluations:20.2f} {floor:15.2f} {evaluations / floor:6.2f} | {forwards:19.1f} "
              f"{passes:6.2f} {forwards / passes:6.1f} | {sixteen_passes:18.3f} "
              f"{forwards / sixteen_passes:6.1f}", flush=True)

    def mean(x: list[float]) -> float:
        return math.exp(np.mean(np.log(x)))

    for kind, rows in table.items():
        small = [r for r in rows if r[0] in SMALL]
        verdicts = [("evaluations over accepted paths, geometric mean <= 1.7", mean([r[1] for r in rows]), "<=", 1.7),
                    ("the same, each task <= 2.1", max(r[1] for r in rows), "<=", 2.1),
                    ("forwards against restart's >= 7 times fewer", mean([r[2] for r in small]), ">=", 7),
                    ("passes of 16 walkers against restart's >= 40 times fewer", mean([r[3] for r in small]), ">=", 40)]
        for name, value, sign, limit in verdicts:
            ok = value <= limit if sign == "<=" else value >= limit
            good &= ok
            print(f"bar cost, {kind}: {name}: {value:.2f}: {'ok' if ok else 'FAILED'}")
    return good


def logz_bar(all_settings: Iterable[Setting], seed: int, seeds: int) -> bool:
    """Bar 4: spread of log Z, coverage of its interval, bounds."""
    good, pooled = True, []
    for s in all_settings:
        s.warm()
        z = math.log(sum(s.laws[""].values()))
        values, hits, bounded = [], [], True
        for k in range(seeds):
            r = s.sample(n=100, seed=seed + k, batch=(1, 16, 64)[k % 3])
            low, high = r.log_z_interval
            values.append(math.exp(r.log_z - z))
            hits.append(low - ROUNDING <= z <= high + ROUNDING)
            bounded &= r.log_z_bounds[0] - ROUNDING <= z <= r.log_z_bounds[1] + ROUNDING
        spread, cover = float(np.std(values)), float(np.mean(hits))
        pooled += hits
        ok = spread <= 0.10 and cover >= 0.90 and bounded
        good &= ok
        print(f"{s.name:22} Z {math.exp(z):.3g}  relative s.d. {spread:.3f}  mean {np.mean(values):.3f}  coverage "
              f"{cover:.3f}  bounds {'hold' if bounded else 'FAIL'}: {'ok' if ok else 'FAILED'}", flush=True)
    good &= float(np.mean(pooled)) >= 0.93
    print(f"bar log Z: s.d. <= 0.10 and coverage >= 0.90 everywhere, pooled {np.mean(pooled):.3f} >= 0.93: "
          f"{'ok' if good else 'FAILED'}")
    return good


def exact_distances(s: Setting) -> tuple[float, float]:
    """KL(mask || target) and KL(target || mask) over all texts; the first of what masking finishes."""
    truth, mass = s.laws[""], s.log_masses
    log_z = math.log(math.fsum(truth.values()))
    q = {t: p / math.exp(mass[t]) for t, p in truth.items() if p > 0}
    done = math.fsum(q.values())
    return (log_z - math.fsum(x * mass[t] for t, x in q.items()) / done - math.log(done),
            math.fsum(p * mass[t] for t, p in truth.items()) / math.exp(log_z) - log_z)


def within(found: Any, exact: float) -> bool:
    """Within three standard errors?"""
    return abs(found.value - exact) <= 3 * found.stderr + ROUNDING


def distortion_bar(all_settings: Iterable[Setting], seed: int, seeds: int) -> bool:
    """Bar 5: the report against the exact divergences, and how often it covers them."""
    good, shares = True, []
    print(f"{'':22} 256 texts, 256 walks: KL(mask||target), KL(target||mask)   covered in {seeds} seeds of 100 texts, "
          "32 walks")
    for s in all_settings:
        s.warm()
        exact = exact_distances(s)
        r = s.sample(n=256, seed=seed, diagnose=256)
        found = r.kl_mask_target, r.kl_target_mask
        ok = all(map(within, found, exact))
        line = "   ".join(f"{d.value:.4f} +- {d.stderr:.4f} exact {x:.4f}" for d, x in zip(found, exact))
        if s.task.name in SMALL:
            results = (s.sample(n=100, seed=seed + 1 + k, diagnose=32) for k in range(seeds))
            hits = np.array([list(map(within, (r.kl_mask_target, r.kl_target_mask), exact)) for r in results])
            shares += hits.mean(axis=0).tolist()
            line += "   " + " ".join(f"{x:.3f}" for x in hits.mean(axis=0))
        good &= ok
        print(f"{s.name:22} {line}: {'ok' if ok else 'FAILED'}", flush=True)
    if shares:
        covered = float(np.mean(shares))
        good &= covered >= 0.99
        print(f"three standard errors cover the exact value in {covered:.4f} of all, bar 0.99; least share of one "
              f"distance of one task {min(shares):.3f}: {'ok' if covered >= 0.99 else 'FAILED'}")
    good &= regular_distortion()
    print(f"bar distortion: {'ok' if good else 'FAILED'}")
    return good


def bias_table(all_settings: Iterable[Setting], seed: int, runs: int) -> bool:
    """Bar 6: KL of particles and chains by size, from `runs` texts each; none of them calls itself exact."""
    good = True
    published = {"jskew": "smc 8 0.92, mcmc 10 0.476", "datemix": "smc 8 0.46", "exprY1446": "smc 8 0.084"}
    for s in all_settings:
        truth = s.laws[""]
        rng = np.random.default_rng(seed)
        oracle = s.sample(n=1, seed=seed).oracle
        cells = []
        for name, options in (("smc 2", {"particles": 2}), ("smc 8", {"particles": 8}), ("smc 32", {"particles": 32}),
                              ("mcmc 1", {"steps": 1}), ("mcmc 3", {"steps": 3}), ("mcmc 10", {"steps": 10}),
                              ("mcmc 30", {"steps": 30})):
            drawn: list = []
            died = 0                # spellings that do not count are dead ends
            try:
                if "steps" in options:
                    r = s.sample(n=runs, seed=seed, oracle=oracle, sampling="mcmc", **options)
                    drawn, good = list(r.token_ids), good and not r.exact
                for k in range(0 if "steps" in options else runs):
                    try:
                        r = s.sample(n=1, seed=seed + k, oracle=oracle, sampling="smc", **options)
                    except MatcherError:
                        died += 1
                        continue
                    good &= not r.exact
                    drawn.append(r.token_ids[int(rng.choice(len(r), p=r.weights))])
            except LimitError:
                pass
            cells.append(f"{name} " + (f"{kl_observed(drawn, truth):.3f}" if drawn else "none")
                         + (f" ({died / runs:.0%} died)" if died else ""))
        print(f"{s.name:18} exact {kl_quantile(truth, runs, 0.5, rng):.3f}  " + "  ".join(cells)
              + (f"   (published for its like: {published[s.task.name]})" if s.task.name in published else ""),
              flush=True)
    print(f"bar bias: smc and mcmc say exact=False: {'ok' if good else 'FAILED'}")
    return good


def awrs_bar(all_settings: Iterable[Setting], seed: int, runs: int) -> bool:
    """Bar 6: the estimate of P(valid and accepted by a predicate) is unbiased."""
    def accepts(text: bytes, ended: bool) -> bool:
        return not ended or zlib.crc32(text) % 3 > 0

    good = True
    for s in all_settings:
        pieces = [s.vocabulary.token_bytes(t) or b"" for t in range(s.vocabulary.size)]
        total = sum(p for x, p in s.laws[""].items() if accepts(b"".join(pieces[t] for t in x[:-1]), True))
        apart = exact_distances(s)[1]
        if apart > 1:
            print(f"{s.name:22} KL(target||mask) {apart:.1f}: masked texts are too far off for a Monte-Carlo test")
            continue
        oracle, values = s.sample(n=1, seed=seed).oracle, []
        for k in range(runs):
            try:
                r = s.sample(n=4, particles=4, seed=seed + k, oracle=oracle, sampling="awrs", predicate=accepts)
                good &= not r.exact
                values.append(math.exp(r.log_z) / total)
            except MatcherError:            # all refused: the estimate is 0
                values.append(0.0)
        mean, error = float(np.mean(values)), float(np.std(values)) / math.sqrt(runs)
        ok = abs(mean - 1) <= 4 * error
        good &= ok
        print(f"{s.name:22} mean estimate / Z {mean:.3f} +- {error:.3f}: {'ok' if ok else 'FAILED'}", flush=True)
    print(f"bar awrs: unbiased, and says exact=False: {'ok' if good else 'FAILED'}")
    return good


# -- an infinite regular language under a trigram model ----------------------------------------------

ACTIONS = ("(pick a)", "(pick b)", "(put a)", "(put b)", "(stack a b)", "(stack b a)", "(wait)")


class Regular:
    """ACTION (" " ACTION)* under a trigram model of bytes, solved by hand.

    States are (place in the language, last two bytes); the place is the unfinished
    action's text so far, or None behind a finished one.
    """

    def __init__(self) -> None:
        import structgen as sg
        from structgen.sampling import NGram

        lines = ["(pick a) (put b)", "(pick b) (stack a b) (wait)", "(go a)", "(put a) (puts b)", "(stack b a) then",
                 "(wait) (wait) (pick a)", "(wake)", "(pick ab)", "(put a) (pick b) (stack b)", "wait (pick a)"]
        self.vocabulary = byte_vocabulary()
        self.model = NGram.fit([list(t.encode()) for t in lines], vocab_size=257, order=3, end=256, k=0.01)
        words = "|".join(w.replace("(", r"\(").replace(")", r"\)") for w in ACTIONS)
        self.compiled = sg.compile(sg.Regex(f"({words})( ({words}))*"), self.vocabulary)
        self.index: dict[tuple, int] = {}
        self._edges: list[list[tuple[int, float]]] = []
        self.ends: list[float] = []
        self._visit("", ())
        n = len(self.index)
        step = np.zeros((n, n))
        for i, edges in enumerate(self._edges):
            for j, p in edges:
                step[i, j] += p
        end = np.array(self.ends)
        mass = step.sum(axis=1) + end
        one = np.eye(n)
        self.beta = np.linalg.solve(one - step, end)
        self.z = float(self.beta[0])
        masked = np.linalg.solve(one - step / mass[:, None], np.log(mass))[0]
        target = step * self.beta[None] / self.beta[:, None]
        self.kl_mask_target = math.log(self.z) - float(masked)
        self.kl_target_mask = float(np.linalg.solve(one - target, np.log(mass))[0]) - math.log(self.z)
        self._step, self._end, self._target = step, end, target

    def _row(self, context: tuple[int, ...]) -> np.ndarray:
        return np.exp(self.model.tables.get(context, self.model.tables[()]))

    def _visit(self, place: str | None, context: tuple[int, ...]) -> int:
        key = place, context
        if key in self.index:
            return self.index[key]
        i = self.index[key] = len(self._edges)
        self._edges.append([])
        row = self._row(context)
        self.ends.append(float(row[256]) if place is None else 0.0)
        following = {" ": ""} if place is None else {
            w[len(place)]: (place + w[len(place)] if w != place + w[len(place)] else None)
            for w in ACTIONS if w.startswith(place) and w != place}
        for letter, after in following.items():
            byte = ord(letter)
            j = self._visit(after, (*context, byte)[-2:])
            self._edges[i].append((j, float(row[byte])))
        return i

    def first_action(self) -> Law:
        """P(valid and the first action is this)."""
        out = {}
        for word in ACTIONS:
            p, context = 1.0, ()
            for byte in word.encode():
                p *= float(self._row(context)[byte])
                context = (*context, byte)[-2:]
            out[word] = p * float(self.beta[self.index[None, context]])
        return out

    def lengths(self, most: int) -> Law:
        """P(valid and this many bytes)."""
        at, out = np.zeros(len(self.beta)), {}
        at[0] = 1.0
        for n in range(most):
            out[n] = float(at @ self._end)
            at = at @ self._step
        return {n: p for n, p in out.items() if p > 0}


def regular_law(tests: LawTests, n: int, seed: int) -> None:
    """The infinite language of bar 1."""
    import structgen as sg

    clock, horizon = time.process_time(), 400
    g = Regular()
    r = sg.sample(g.model, None, g.compiled, n=n, seed=seed, max_tokens=horizon, diagnose=0)
    assert r.exact
    tests.add("regular language: first action", [t[:t.index(")") + 1] for t in r.texts], g.first_action(), clock)
    tests.add("regular language: length", [len(t) for t in r.texts], g.lengths(horizon), clock)


def regular_distortion() -> bool:
    """The report of the exact product against the linear solve done by hand."""
    import structgen as sg

    g = Regular()
    r = sg.sample(g.model, None, g.compiled, n=10, seed=0, max_tokens=None, sampling="dp")
    gaps = (abs(r.log_z - math.log(g.z)), abs(r.kl_mask_target.value - g.kl_mask_target),
            abs(r.kl_target_mask.value - g.kl_target_mask))
    ok = max(gaps) <= 1e-6
    print(f"regular language, {len(g.beta)} states: Z {g.z:.3g}  KL(mask||target) {r.kl_mask_target.value:.6f} solve "
          f"{g.kl_mask_target:.6f}  KL(target||mask) {r.kl_target_mask.value:.6f} solve {g.kl_target_mask:.6f}: "
          f"{'ok' if ok else 'FAILED'}")
    return ok


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("all", "law", "cost", "logz", "distortion", "bias", "awrs", "regular"))
    parser.add_argument("--models", default="char,embedded")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seeds", type=int, default=200, help="for logz and distortion")
    parser.add_argument("--repeats", type=int, default=20, help="for cost")
    parser.add_argument("--runs", type=int, default=200, help="for bias and awrs")
    options = parser.parse_args()
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    seed = secrets.randbelow(1 << 40) if options.seed is None else options.seed
    print(f"seed {seed}")
    kinds, names = options.models.split(","), options.tasks.split(",")
    some = [name for name in names if name in SMALL]
    bars: dict[str, Callable[[], bool]] = {
        "law": lambda: law_bar(settings(kinds, names), len(kinds) * len(names), options.n, seed),
        "cost": lambda: cost_bar(settings(kinds, names), seed, options.repeats),
        "logz": lambda: logz_bar(settings(kinds, names), seed, options.seeds),
        "distortion": lambda: distortion_bar(settings(kinds, names), seed, options.seeds),
        "bias": lambda: bias_table(settings(kinds, some), seed, options.runs),
        "awrs": lambda: awrs_bar(settings(kinds, some), seed, options.runs),
        "regular": regular_distortion}
    good = True
    for name, bar in bars.items():
        if options.what in (name, "all") and not (options.what == "all" and name == "regular"):
            clock = time.process_time()
            good &= bar()
            print(f"({name}: {time.process_time() - clock:.0f} s of processor time)", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
