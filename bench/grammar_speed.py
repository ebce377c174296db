"""Masks of context-free grammars: time per token and to the first mask, beside the peers.

    STRUCTGEN_DATA=... python bench/grammar_speed.py [--engines ours,llguidance] [--cases arith,sql]

Cases are ``cfgbench/grammars/NAME.lark`` with the texts ``cfgbench/texts/NAME.N.txt``.
Each engine runs in a fresh process.  Per token: fill the mask and commit the
token, both as seen from Python.  *Cold* is the first pass after compiling,
*warm* the least of three more passes, token by token.  *First* is compiling and
the first mask, *again* the same for a second compilation in the process (what
a server pays); Lark's own reading of the file is printed apart.  glrmask takes
minutes to compile clike and xgrammar a second for a mask of sql, so they are
only run where asked for.  Exit status 1: a bar failed.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time

import benchdata
import numpy as np
from peers import GlrMask, LLGuidance, XGrammar

CASES = ("arith", "sql", "clike", "json")
#: Our mean over llguidance's, cold and warm; milliseconds to the first mask with stored tokenizer tables.
BARS = {"arith": 1 / 20, "sql": 1 / 20, "clike": 1 / 20, "json": 1 / 2}
FIRST_MS = 40.0


def _case(name: str) -> tuple[str, str]:
    folder = benchdata._root() / "cfgbench"
    return ((folder / "grammars" / f"{name}.lark").read_text(encoding="utf-8"),
            (folder / "texts" / f"{name}.1.txt").read_text(encoding="utf-8"))


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


def measure(engine: str, case: str, limit: int) -> dict:
    """Figures of one engine on one case, in microseconds and milliseconds."""
    made = ENGINES[engine]()
    text, sample = _case(case)
    tokens = benchdata.encoder().encode(sample, add_special_tokens=False).ids[:limit]
    clock = time.perf_counter
    out: dict = {"tokens": len(tokens)}
    for which in ("first", "again"):
        a = clock()
        grammar = made.read(text)
        b = clock()
        compiled = made.compile(grammar)
        made.start(compiled).fill()
        out[which], out["read"] = (clock() - b) * 1e3, (b - a) * 1e3
        if engine in ("glrmask", "xgrammar"):
            break
    passes, refused = [], 0
    gc.disable()
    for _ in range(4):
        run = made.start(compiled)
        times = []
        for t in tokens:
            a = clock()
            run.fill()
            b = clock()
            refused += not run.mask[t >> 5] >> (t & 31) & 1
            c = clock()
            ok = run.commit(t)
            times.append((b - a + clock() - c) * 1e6)
            if ok is False:
                break
        passes.append(times)
        if engine == "xgrammar":
            break
    # a peer may narrow masks to canonical tokens, or read another language from the file
    if refused and engine == "ours" or len(passes[0]) < 2:
        raise ValueError(f"{refused} tokens of the text are not in the masks")
    out.update(refused=refused // len(passes), seen=len(passes[0]))
    cold, warm = np.array(passes[0]), np.array(passes[1:] or passes).min(0)
    out.update(cold=float(cold.mean()), cold_p50=float(np.median(cold)), warm=float(warm.mean()),
               warm_p50=float(np.median(warm)), warm_max=float(warm.max()))
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", default="ours,llguidance")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--limit", type=int, default=10_000, help="tokens of each text")
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "CASE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        try:
            print(json.dumps(measure(*args.one, args.limit)))
        except ValueError as error:
            print(json.dumps({"error": str(error).splitlines()[0][:100]}))
        return 0
    failed = False
    print(f"{'case':6} {'engine':11} {'read ms':>8} {'first ms':>9} {'again ms':>9} {'cold us':>9} {'p50':>7} "
          f"{'warm us':>9} {'p50':>7} {'max':>8}")
    for case in args.cases.split(","):
        figures = {}
        for engine in args.engines.split(","):
            done = subprocess.run([sys.executable, __file__, "--limit", str(args.limit), "--one", engine, case],
                                  capture_output=True, text=True, check=False)
            lines = done.stdout.strip().splitlines()
            f = json.loads(lines[-1]) if lines else {"error": done.stderr.strip()[-80:]}
            if "error" in f:
                print(f"{case:6} {engine:11} {f['error']}")
                failed |= engine == "ours"
                continue
            figures[engine] = f
            print(f"{case:6} {engine:11} {f['read']:8.2f} {f['first']:9.2f} {f.get('again', 0):9.2f} {f['cold']:9.1f} "
                  f"{f['cold_p50']:7.1f} {f['warm']:9.2f} {f['warm_p50']:7.2f} {f['warm_max']:8.1f}", flush=True)
        if "ours" not in figures:
            continue
        ours = figures["ours"]
        parts = [("first mask", ours["again"] / FIRST_MS)]
        if "llguidance" in figures:
            for key in ("cold", "warm"):
                parts.append((key, ours[key] / (figures["llguidance"][key] * BARS[case])))
        if "glrmask" in figures:
            parts.append(("warm beside glrmask's", ours["warm"] / (1.5 * figures["glrmask"]["warm"])))
        for what, share in parts:
            print(f"       {what}: {share:.2f} of the bar{'' if share <= 1 else '  FAILED'}")
            failed |= share > 1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
