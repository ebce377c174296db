"""Grammars against real Lark in the same mode, and against parsers by others.

    STRUCTGEN_DATA=... python bench/grammar_oracle.py [NAME ...] [--outputs 10000] [--seconds 600]
    STRUCTGEN_DATA=... python bench/grammar_oracle.py --part 0/4 --record FILE      # some grammars, kept; goes on
    STRUCTGEN_DATA=... python bench/grammar_oracle.py --report FILE                 # the verdict on what was kept

For each grammar of ``grammars/``, of ``cfgbench/`` and of ``tests/data/lark_cases.toml``,
in each of its modes: random walks over masks (every allowed token may come), the
golden texts, and mutations of both.  Lark's verdict on every text must be ours, every
walk must be able to go on and to end, and what a walk made must be accepted by Lark
and by the third-party parser, where there is one.  ``--outputs`` walks are shared
among a grammar's modes, Earley first; what a slow mode leaves, the next ones do.  A
grammar ends early after ``--seconds``, and its line says so.  Where terminals of LALR
tables leave open whether a text can be completed, the search may end in a
`LimitError`: those are counted apart.

With ``--record`` the counts of each grammar are appended to a file, and what earlier
runs kept there for the same text of the grammar counts towards ``--outputs``; walks go
on with other random numbers.  ``--report`` adds the file up and runs nothing.

Exit code 1 if there is any disagreement or dead end, or (``--report``) a grammar with
fewer walks than ``--outputs``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
import tomllib
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

import benchdata  # noqa: E402

from lark.indenter import PythonIndenter  # noqa: E402

import structgen as sg  # noqa: E402
from structgen.frontends.lark import read_lark  # noqa: E402
from tests.grammars.checks import checker  # noqa: E402
from tests.support.real_lark import MODES, LarkOracle, make_indenter, mutations  # noqa: E402

PIECES = [b"ab", b"if ", b'":', b'{"', b"</", b"><", b"12", b", ", b"()", b"\n ", "é".encode(), b"**", b"[1", b"CC",
          b"\n    ", b":\n", b"==", b"SELECT ", b"int ", b"->", b" =", b"\n\n", b"return"]
COUNTS = ("walks", "texts", "wrong", "dead", "checked", "other", "undecided")
VOCABULARY = sg.Vocabulary.from_tokens([*[bytes([b]) for b in range(256)], *PIECES], eos_ids=[300])


def cases():
    """(name, text, modes, indenter, golden texts, third-party check)."""
    golden = tomllib.loads((ROOT / "grammars" / "golden.toml").read_text(encoding="utf-8"))
    for name, texts in sorted(golden.items()):
        postlex = "python" if texts.get("postlex") == "python" else None
        early = ("json", "jsonl", "csv", "arith", "iso8601", "email", "uri", "smiles", "xml", "cron")
        modes = ["contextual"] + (["basic"] if postlex else []) + (["dynamic"] if name in early else [])
        yield (name, (ROOT / "grammars" / f"{name}.lark").read_text(encoding="utf-8"), modes, postlex,
               texts["accept"] + texts["reject"], checker(name))
    folder = benchdata._root() / "cfgbench"
    for path in sorted((folder / "grammars").glob("*.lark")):
        text = (folder / "texts" / f"{path.stem}.1.txt").read_text(encoding="utf-8")
        yield (f"cfgbench {path.stem}", path.read_text(encoding="utf-8"), ["dynamic", "contextual"], None, [text[:400]],
               None)
    table = tomllib.loads((ROOT / "tests" / "data" / "lark_cases.toml").read_text(encoding="utf-8"))["case"]
    for case in table:
        yield (f"case: {case['name']}", case["grammar"], case.get("modes", list(MODES)),
               make_indenter(case.get("postlex")), case["texts"], None)


def walk(compiled, rng, steps):
    """(the text of a random walk over masks, did it come to a dead end)."""
    m = compiled.matcher()
    data = b""
    for _ in range(steps):
        every = m.allowed_tokens().tolist()
        if not every:
            return data, True
        allowed = [t for t in every if t < 300]
        if not allowed:
            break
        # seldom a byte that only goes on inside of a string
        some = [t for t in allowed if 32 <= VOCABULARY.token_bytes(t)[0] < 127 or t > 255] or allowed
        token = rng.choice(some if rng.random() < 0.9 else allowed)
        m.accept(token)
        data += VOCABULARY.token_bytes(token)
    rest = m.shortest_completion()
    m.accept_bytes(rest)
    return data + rest, not m.can_end()


def member(compiled, text):
    m = compiled.matcher()
    try:
        m.accept_bytes(text.encode())
    except sg.MatcherError:
        return False
    return m.can_end()


def run(name, text, modes, postlex, texts, check, outputs, seconds, round_=0):
    """What one grammar gives: counts, the first texts that are wrong, the modes left out."""
    count = dict.fromkeys(COUNTS, 0)
    shown, skipped = [], []
    modes = sorted(modes, key=lambda mode: MODES[mode][0] != "earley")
    begun = time.monotonic()
    ready = []
    for mode in modes:
        parser, lexer = MODES[mode]
        oracle = LarkOracle(text, mode, PythonIndenter() if postlex == "python" else postlex)
        try:
            compiled = sg.compile(_Read(read_lark(text, parser=parser, lexer=lexer, postlex=postlex)), VOCABULARY)
        except (sg.GrammarError, sg.LimitError) as err:
            if isinstance(err, sg.GrammarError) and (oracle.error is not None or "no text" in str(err)):
                skipped.append(f"{mode}: refused, as by Lark" if oracle.error else f"{mode}: empty")
            else:
                skipped.append(f"{mode}: {str(err)[:60]}")
            continue
        ready.append((mode, oracle, compiled))
    # twice: what the last modes leave, the first ones do
    turns = [(k, *one) for k, one in enumerate(ready)] + [(len(ready) + k, *one) for k, one in enumerate(ready)]
    for k, mode, oracle, compiled in turns:
        again = f" {round_}.{k // len(ready)}" if round_ or k >= len(ready) else ""
        rng = random.Random(f"{name} {mode}{again}")
        lengths = (1, 3, 10, 30) if MODES[mode][0] == "lalr" else (1, 3, 3, 10, 10, 30)
        todo = [] if again else list(texts) + [m for t in texts for m in mutations(t, rng, 5)]
        k %= len(ready)
        until = time.monotonic() + (seconds - (time.monotonic() - begun)) / (len(ready) - k)
        for _ in range((outputs - count["walks"]) // (len(ready) - k)):
            if time.monotonic() > until:
                break
            try:
                data, dead = walk(compiled, rng, rng.choice(lengths))
            except sg.LimitError:
                count["undecided"] += 1
                continue
            made = data.decode("utf-8", "replace")
            count["walks"] += 1
            count["dead"] += dead
            if not oracle.accepts(made):
                count["wrong"] += 1
                shown.append((mode, made))
            elif check is not None:
                count["checked"] += 1
                try:
                    check(made)
                except Exception:
                    count["other"] += 1
                    shown.append(("third party", made))
            todo += mutations(made, rng, 1)
            while todo:
                t = todo.pop()
                try:
                    ours = member(compiled, t)
                except sg.LimitError:
                    count["undecided"] += 1
                    continue
                count["texts"] += 1
                if ours != oracle.accepts(t):
                    count["wrong"] += 1
                    shown.append((mode, t))
    return count, shown[:20], skipped


def line(name, count, shown, skipped, outputs):
    """Print the line of one grammar, and what was wrong."""
    short = "  (fewer walks)" if count["walks"] < outputs else ""
    print(f"{name[:44]:<44} {count['walks']:>7} {count['texts']:>7} {count['wrong']:>6} {count['dead']:>5} "
          f"{count['checked']:>7} {count['other']:>5} {count['undecided']:>9}" + short +
          ("  " + "; ".join(skipped) if skipped else ""), flush=True)
    for mode, t in shown[:3]:
        print(f"    {mode}: {t!r}", flush=True)


def kept(path):
    """What a file of ``--record`` holds: (name, digest) -> [count, shown, skipped, rounds]."""
    out = {}
    for entry in map(json.loads, path.read_text(encoding="utf-8").splitlines() if path.exists() else ()):
        have = out.setdefault((entry["grammar"], entry["digest"]), [dict.fromkeys(COUNTS, 0), [], [], 0])
        for key, n in entry["count"].items():
            have[0][key] += n
        have[1] += [tuple(x) for x in entry["shown"]]
        have[2] = entry["skipped"]
        have[3] += 1
    return out


class _Read(sg.Lark):
    """A grammar that has been read."""

    def __init__(self, grammar):
        self._grammar, self.text = grammar, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="only those whose name begins so")
    parser.add_argument("--outputs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--part", help="I/N: of all grammars the I-th of N parts, counted from 0")
    parser.add_argument("--record", type=Path, help="append the counts of every grammar to this file")
    parser.add_argument("--report", type=Path, help="run nothing: the verdict on a file of --record")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    total = dict.fromkeys(COUNTS, 0)
    short = []
    part, parts = map(int, args.part.split("/")) if args.part else (0, 1)
    before = kept(args.report or args.record) if args.report or args.record else {}
    print(f"{'grammar':<44} {'walks':>7} {'texts':>7} {'wrong':>6} {'dead':>5} {'checked':>7} {'other':>5} "
          f"{'undecided':>9}")
    for i, (name, text, modes, postlex, texts, check) in enumerate(cases()):
        if args.names and not name.startswith(tuple(args.names)) or i % parts != part:
            continue
        digest = hashlib.sha256("\0".join([text, *modes]).encode()).hexdigest()[:16]
        count, shown, skipped, rounds = before.get((name, digest), [dict.fromkeys(COUNTS, 0), [], [], 0])
        if not args.report and (count["walks"] < args.outputs and not _empty(modes, skipped)):
            new, bad, skipped = run(name, text, modes, postlex, texts, check, args.outputs - count["walks"],
                                    args.seconds, rounds)
            if args.record:
                with args.record.open("a", encoding="utf-8") as f:
                    f.write(json.dumps({"grammar": name, "digest": digest, "count": new, "shown": bad,
                                        "skipped": skipped}) + "\n")
            count = {key: n + new[key] for key, n in count.items()}
            shown = shown + bad
        for key, n in count.items():
            total[key] += n
        if count["walks"] < args.outputs and not _empty(modes, skipped):
            short.append(name)
        line(name, count, shown, skipped, 0 if _empty(modes, skipped) else args.outputs)
    bad = total["wrong"] + total["dead"] + total["other"]
    print(f"in all: {total}")
    if short:
        print(f"fewer than {args.outputs} walks: {', '.join(short)}")
    bad += len(short) if args.report else 0
    print(f"verdict: {'ok' if not bad else 'FAILED'}: {total['wrong']} verdicts that differ from Lark's, "
          f"{total['dead']} dead ends, {total['other']} of {total['checked']} texts that other parsers refuse")
    return 1 if bad else 0


def _empty(modes, skipped):
    """Was no mode left to walk in?"""
    return len(skipped) == len(modes)


if __name__ == "__main__":
    raise SystemExit(main())
