"""Masks of context-free grammars: time per token and to the first mask, beside the peers.

    STRUCTGEN_DATA=... python bench/grammar_speed.py [--engines ours,llguidance,glrmask,xgrammar]
        [--cases arith,sql,clike,json] [--repeat 3] [--cpu] [--slow]

Cases are ``cfgbench/grammars/NAME.lark`` with the texts ``cfgbench/texts/NAME.N.txt``,
without the white space at the end of a text (llguidance takes none there, Lark does).
Each engine runs in a fresh process, `--repeat` times; what is printed are medians.
Per token: fill the mask and commit the token, both as seen from Python.  *Cold* is
the first pass after compiling, *warm* the least of three more passes, token by token.
*First* is compiling and the first mask in a process that has answered a trivial grammar,
tokenizer tables stored; *nothing* the same for a vocabulary of which only the tokens
are known; *saved* is loading a file of ``Compiled.save`` and the first mask, behind that of
a trivial one; *read* is Lark's own reading of the file, in none of them.

glrmask takes minutes to compile clike: only run with ``--slow``.  A pass of a peer ends
after `--patience` seconds (xgrammar takes up to a second for a mask of sql).  ``--cpu``
counts processor time of the thread instead of wall time, for machines that do other
work as well.  Exit status 1: a bar failed.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import benchdata
import numpy as np
from peers import GlrMask, LLGuidance, XGrammar

CASES = ("arith", "sql", "clike", "json")
#: Our mean over llguidance's, cold and warm; ours over glrmask's, warm.
BARS = {"arith": 1 / 20, "sql": 1 / 20, "clike": 1 / 20, "json": 1 / 2}
GLRMASK = 1.5
#: Milliseconds to the first mask: with stored tokenizer tables, from a saved file, from nothing.
FIRST_MS, SAVED_MS, NOTHING_MS = 40.0, 10.0, 100.0


def _case(name: str) -> tuple[str, str]:
    folder = benchdata._root() / "cfgbench"
    return ((folder / "grammars" / f"{name}.lark").read_text(encoding="utf-8"),
            (folder / "texts" / f"{name}.1.txt").read_text(encoding="utf-8").rstrip())


class _Ours:
    def __init__(self):
        import structgen as sg

        self.vocabulary = sg.Vocabulary.load(benchdata.tokenizer_dir())
        warm = self.compile(self.read('start: "a" | "(" start ")"\n'))
        self.start(warm).fill()

    def read(self, text):
        from structgen.frontends.lark import read_lark

        return read_lark(text)

    def compile(self, grammar):
        from structgen.decoding.compiled import Compiled

        return Compiled(grammar, self.vocabulary)

    def start(self, compiled):
        return _OurRun(compiled.matcher(), np.zeros((self.vocabulary.size + 31) // 32, np.int32))


class _OurRun:
    def __init__(self, matcher, mask):
        self.mask, self._fill, self.commit = mask, matcher.fill_bitmask, matcher.try_accept

    def fill(self):
        self._fill(self.mask)


class _LL(LLGuidance):
    def read(self, text):
        return text

    def compile(self, text):
        matcher = self.lib.LLMatcher(self.tok, self.lib.LLMatcher.grammar_from_lark(text), log_level=0,
                                     limits=self.lib.LLParserLimits(step_max_items=2_000_000))
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher


class _X(XGrammar):
    def read(self, text):
        return text

    def compile(self, text):
        return self.compiler.compile_grammar(self.lib.Grammar.from_lark(text))


class _Glr(GlrMask):
    def read(self, text):
        return text

    def compile(self, text):
        return self.lib.Grammar.from_lark(text).compile(self.vocab, mask_strategy=self.strategy)


ENGINES = {"ours": _Ours, "llguidance": _LL, "glrmask": _Glr, "xgrammar": _X}


def measure(engine: str, case: str, args: argparse.Namespace) -> dict:
    """Figures of one engine on one case, in microseconds and milliseconds."""
    return timed(ENGINES[engine](), engine == "ours", *_case(case), args)


def timed(made, ours: bool, text, sample: str, args: argparse.Namespace) -> dict:
    """The same for an adapter, what it reads, and a text."""
    clock = time.thread_time if args.cpu else time.perf_counter
    start_clock = time.process_time if args.cpu else time.perf_counter
    tokens = benchdata.encoder().encode(sample, add_special_tokens=False).ids[:args.limit]
    out: dict = {"tokens": len(tokens)}
    a = start_clock()
    grammar = made.read(text)
    b = start_clock()
    compiled = made.compile(grammar)
    made.start(compiled).fill()
    out["first"], out["read"] = (start_clock() - b) * 1e3, (b - a) * 1e3
    passes, refused = [], 0
    gc.disable()
    for _ in range(4):
        run = made.start(compiled)
        times: list[float] = []
        begun = time.perf_counter()
        for t in tokens:
            a = clock()
            run.fill()
            b = clock()
            refused += not run.mask[t >> 5] >> (t & 31) & 1
            c = clock()
            ok = run.commit(t)
            times.append((b - a + clock() - c) * 1e6)
            if ok is False or not ours and time.perf_counter() - begun > args.patience:
                break
        passes.append(times)
        if sum(times) > 1e6 * args.patience / 2:
            break
    # a peer may narrow masks to canonical tokens, or read another language from the file
    if refused and ours or len(passes[0]) < 2:
        raise ValueError(f"{refused} tokens of the text are not in the masks")
    out.update(refused=refused // len(passes), seen=len(passes[0]))
    shortest = min(map(len, passes))
    cold, warm = np.array(passes[0]), np.array([p[:shortest] for p in passes[1:] or passes]).min(0)
    out.update(cold=float(cold.mean()), cold_p50=float(np.median(cold)), warm=float(warm.mean()),
               warm_p50=float(np.median(warm)), warm_max=float(warm.max()))
    return out


def measure_nothing(case: str, args: argparse.Namespace) -> dict:
    """Milliseconds from tokens and a grammar that Lark has read to the first mask."""
    import structgen as sg

    clock = time.process_time if args.cpu else time.perf_counter
    made = _Ours()
    tokens, _, eos = benchdata.token_bytes()
    made.vocabulary = sg.Vocabulary.from_tokens(tokens, eos_ids=[eos])
    grammar = made.read(_case(case)[0])
    a = clock()
    made.start(made.compile(grammar)).fill()
    return {"nothing": (clock() - a) * 1e3}


def save(case: str, path: str) -> None:
    """Write the compiled case to a file, and a trivial grammar to one beside it."""
    import structgen as sg

    sg.compile(sg.Lark(_case(case)[0]), benchdata.tokenizer_dir()).save(path)
    sg.compile(sg.Lark('start: "a"'), benchdata.tokenizer_dir()).save(path + ".trivial")


def measure_saved(path: str, args: argparse.Namespace) -> dict:
    """Milliseconds from a saved file to the first mask."""
    import structgen as sg

    clock = time.process_time if args.cpu else time.perf_counter
    made = _Ours()
    made.start(sg.load_compiled(path + ".trivial", made.vocabulary)).fill()
    a = clock()
    made.start(sg.load_compiled(path, made.vocabulary)).fill()
    return {"saved": (clock() - a) * 1e3}


def child(script: str, args: argparse.Namespace, *one: str) -> dict:
    """The figures of fresh processes: medians."""
    found: list[dict] = []
    for _ in range(1 if one[0] in ("glrmask", "xgrammar", "save") else args.repeat):
        given = ["--limit", str(args.limit), "--patience", str(args.patience)] + ["--cpu"] * args.cpu
        done = subprocess.run([sys.executable, script, *given, "--one", *one], capture_output=True, text=True,
                              check=False)
        lines = done.stdout.strip().splitlines()
        found.append(json.loads(lines[-1]) if lines else {"error": done.stderr.strip()[-90:]})
        if "error" in found[-1]:
            return found[-1]
    return {key: statistics.median(f[key] for f in found) for key in found[0]}


def _run_one(args: argparse.Namespace) -> dict:
    what, case = args.one[:2]
    try:
        if what == "nothing":
            return measure_nothing(case, args)
        if what == "save":
            save(case, args.one[2])
            return {"saved": 0}
        if what == "saved":
            return measure_saved(args.one[2], args)
        return measure(what, case, args)
    except ValueError as error:
        return {"error": str(error).splitlines()[0][:100]}


def options(doc: str) -> argparse.ArgumentParser:
    """The options of this bench and that of regular expressions."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--engines", default="ours,llguidance,glrmask,xgrammar")
    parser.add_argument("--limit", type=int, default=10_000, help="tokens of each text")
    parser.add_argument("--repeat", type=int, default=3, help="processes of each engine, of which medians are taken")
    parser.add_argument("--patience", type=float, default=6.0, help="seconds that a peer may take for a text")
    parser.add_argument("--cpu", action="store_true", help="processor time instead of wall time")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    return parser


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--slow", action="store_true", help="glrmask on clike too, which takes minutes")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(_run_one(args)))
        return 0
    failed = False
    print(f"{'case':6} {'engine':11} {'read ms':>8} {'first ms':>9} {'cold us':>9} {'p50':>7} "
          f"{'warm us':>9} {'p50':>7} {'max':>8}  tokens")
    for case in args.cases.split(","):
        figures = {}
        for engine in args.engines.split(","):
            if engine == "glrmask" and case == "clike" and not args.slow:
                print(f"{case:6} {engine:11} compiles for minutes; run with --slow")
                continue
            f = child(__file__, args, engine, case)
            if "error" in f:
                print(f"{case:6} {engine:11} {f['error']}")
                failed |= engine == "ours"
                continue
            figures[engine] = f
            print(f"{case:6} {engine:11} {f['read']:8.2f} {f['first']:9.2f} {f['cold']:9.1f} {f['cold_p50']:7.1f} "
                  f"{f['warm']:9.2f} {f['warm_p50']:7.2f} {f['warm_max']:8.1f}  {f['seen']:.0f} of {f['tokens']:.0f}",
                  flush=True)
        if "ours" not in figures:
            continue
        ours = figures["ours"]
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "case.sgc")
            for more in (child(__file__, args, "nothing", case), child(__file__, args, "save", case, path),
                         child(__file__, args, "saved", case, path)):
                if "error" in more:
                    print(f"       {more['error']}")
                    failed = True
                ours.update(more)
        shown = [(f"first mask {ours['first']:.1f} ms (at most {FIRST_MS:.0f})", ours["first"] / FIRST_MS)]
        if "saved" in ours:
            shown.append((f"from a saved file {ours['saved']:.1f} ms (at most {SAVED_MS:.0f})",
                          ours["saved"] / SAVED_MS))
        if "nothing" in ours:
            shown.append((f"from nothing {ours['nothing']:.1f} ms (at most {NOTHING_MS:.0f})",
                          ours["nothing"] / NOTHING_MS))
        if "llguidance" in figures:
            for key in ("cold", "warm"):
                times = figures["llguidance"][key] / ours[key]
                shown.append((f"{key} 1/{times:.1f} of llguidance's (at most 1/{1 / BARS[case]:.0f})",
                              1 / times / BARS[case]))
        if "glrmask" in figures:
            times = ours["warm"] / figures["glrmask"]["warm"]
            shown.append((f"warm {times:.2f} of glrmask's (at most {GLRMASK})", times / GLRMASK))
        for what, share in shown:
            print(f"       {'ok    ' if share <= 1 else 'FAILED'} {what}")
            failed |= share > 1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
