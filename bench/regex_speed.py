"""Masks of regular expressions and choices: time per token and to the first mask, beside the peers.

    STRUCTGEN_DATA=... python bench/regex_speed.py [--engines ours,llguidance] [--cases email,words]
        [--repeat 3] [--cpu] [--large]

As ``grammar_speed.py``, which says what is measured.  Bars: mean of fill and commit,
cold and warm, at most half of llguidance's; compiling and the first mask in 10 ms.
``--large`` times what is large instead: choices of a million texts, repeats of up to
100,000.  Exit status 1: a bar failed.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time

import benchdata
import grammar_speed
import numpy as np
from grammar_speed import child, options, timed

SHARE, FIRST_MS = 1 / 2, 10.0


def words(n: int = 2_000) -> list[str]:
    """Words made of syllables, always the same."""
    rng = random.Random(7)
    parts = [a + b for a in ("b", "c", "d", "f", "gr", "k", "l", "m", "n", "p", "st", "tr") for b in "aeiou"]
    found: dict[str, None] = {}
    while len(found) < n:
        found["".join(rng.choices(parts, k=rng.randint(2, 4)))] = None
    return list(found)


LETTERS = ("Wir müssen über żółw und 東京 reden; наверное ещё раз über Zürich"
           .translate({ord(c): None for c in " ;"}))
#: name -> (pattern, text); the pattern means the same to Python, ECMA-262 and Rust
CASES = {
    "email": (r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*\.[a-zA-Z]{2,12}",
              "maria.skłodowska".replace("ł", "l") + "_curie+radium2@physics.lab.sorbonne-universite.example.org"),
    "date-time": (r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
                  r"(\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])", "2024-02-29T23:59:07.123456789+05:30"),
    "letters": (r"[a-z]{1,64}", "antidisestablishmentarianismsupercalifragilistic"),
    "string": (r'(?:[^"\\]|\\.){0,500}',
               r'He said: \"it\'s a trap\", and then\\or later C:\\new\\table\tok - the end of 42 lines. ' * 3),
    "words": ("|".join(words()), words()[1234]),
    "unicode": (r"\p{L}+", LETTERS),
    "anything": (r"(.|\n)*", "Dear all,\n\nthe meeting is on 3 May, 10:30; bring {\"keys\": [1, 2]} & tea!\n\t"
                 "- M. żółw 東京\n"),
}


class _Ours(grammar_speed._Ours):
    def __init__(self):
        import structgen as sg

        self.sg, self.vocabulary = sg, sg.Vocabulary.load(benchdata.tokenizer_dir())
        self.start(self.compile(self.read("a[b-d]"))).fill()

    def read(self, pattern):
        return pattern

    def compile(self, pattern):
        return self.sg.compile(self.sg.Regex(pattern, mode="ecma"), self.vocabulary)


class _LL(grammar_speed._LL):
    def compile(self, pattern):
        matcher = self.lib.LLMatcher(self.tok, self.lib.LLMatcher.grammar_from_regex(pattern), log_level=0)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher


class _X(grammar_speed._X):
    def compile(self, pattern):
        try:
            return self.compiler.compile_regex(pattern)
        except RuntimeError as error:
            raise ValueError(str(error)) from None


class _Glr(grammar_speed._Glr):
    def compile(self, pattern):
        return super().compile("start: A\nA: /" + pattern.replace("/", r"\/") + "/\n")


ENGINES = {"ours": _Ours, "llguidance": _LL, "glrmask": _Glr, "xgrammar": _X}


def large() -> int:
    """What is large: compiled, a first mask, and a walk along one text."""
    made = _Ours()
    sg = made.sg
    rng = random.Random(1)
    million = [f"{rng.randrange(10**9):09d}-{i:06d}" for i in range(1_000_000)]
    cases = {
        "Choice of 10^5": (lambda: sg.Choice(million[:100_000]), million[77_777]),
        "Choice of 10^6": (lambda: sg.Choice(million), million[777_777]),
        "[a-z]{0,100000}": (lambda: sg.Regex("[a-z]{0,100000}"), "abcdefghij" * 30),
        "(ab|c){50000,100000}": (lambda: sg.Regex("(ab|c){50000,100000}"), "abccab" * 50),
        "(?:[a-z]+,){1,100000}z": (lambda: sg.Regex("(?:[a-z]+,){1,100000}z"), "one,two,three," * 20),
    }
    encoder = benchdata.encoder()
    for name, (build, text) in cases.items():
        run = None          # what the case before has made goes before the clock starts
        gc.collect()
        a = time.perf_counter()
        try:
            run = made.start(sg.compile(build(), made.vocabulary))
        except sg.LimitError as error:
            print(f"{name:24} refused after {(time.perf_counter() - a) * 1e3:.1f} ms: {error.message}")
            continue
        run.fill()
        first = time.perf_counter() - a
        tokens = encoder.encode(text, add_special_tokens=False).ids
        b = time.perf_counter()
        for t in tokens:
            assert run.mask[t >> 5] >> (t & 31) & 1, name
            assert run.commit(t)
            run.fill()
        c = time.perf_counter()
        print(f"{name:24} first mask {first * 1e3:9.1f} ms, then {(c - b) * 1e6 / len(tokens):7.1f} us a token "
              f"({len(tokens)} tokens)", flush=True)
    return 0


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--large", action="store_true", help="large choices and repeats")
    args = parser.parse_args()
    if args.one:
        try:
            engine, case = args.one
            pattern, text = CASES[case]
            print(json.dumps(timed(ENGINES[engine](), engine == "ours", pattern, text, args)))
        except Exception as error:              # what a peer says of a pattern it does not take
            print(json.dumps({"error": (str(error).splitlines() or [type(error).__name__])[0][:100]}))
        return 0
    if args.large:
        return large()
    failed = False
    print(f"{'case':9} {'engine':11} {'first ms':>9} {'cold us':>9} {'warm us':>9} {'p50':>7} {'max':>8}  tokens")
    for case in args.cases.split(","):
        figures = {}
        for engine in args.engines.split(","):
            f = child(__file__, args, engine, case)
            if "error" in f:
                print(f"{case:9} {engine:11} {f['error']}")
                failed |= engine == "ours"
                continue
            figures[engine] = f
            print(f"{case:9} {engine:11} {f['first']:9.2f} {f['cold']:9.1f} {f['warm']:9.2f} {f['warm_p50']:7.2f} "
                  f"{f['warm_max']:8.1f}  {f['seen']:.0f} of {f['tokens']:.0f}", flush=True)
        if "ours" not in figures:
            continue
        ours = figures["ours"]
        shown = [(f"first mask {ours['first']:.1f} ms (at most {FIRST_MS:.0f})", ours["first"] / FIRST_MS)]
        if "llguidance" in figures:
            shown += [(f"{key} {ours[key] / figures['llguidance'][key]:.2f} of llguidance's (at most {SHARE})",
                       ours[key] / figures["llguidance"][key] / SHARE) for key in ("cold", "warm")]
        for what, share in shown:
            print(f"          {'ok    ' if share <= 1 else 'FAILED'} {what}")
            failed |= share > 1
    return int(failed)


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main())
