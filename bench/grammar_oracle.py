"""Grammars against real Lark in the same mode, and against parsers by others.

    STRUCTGEN_DATA=... python bench/grammar_oracle.py [NAME ...] [--outputs 10000] [--seconds 600]

For each grammar of ``grammars/``, of ``cfgbench/`` and of ``tests/data/lark_cases.toml``,
in each of its modes: random walks over masks (every allowed token may come), the
golden texts, and mutations of both.  Lark's verdict on every text must be ours, every
walk must be able to go on and to end, and what a walk made must be accepted by Lark
and by the third-party parser, where there is one.  ``--outputs`` walks are shared
among a grammar's modes; a grammar ends early after ``--seconds``, and its line says so.
Where terminals of LALR tables leave open whether a text can be completed, the search
may end in a `LimitError`: those are counted apart.

Exit code 1 if there is any disagreement or dead end.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import tomllib
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

import benchdata  # noqa: E402

import structgen as sg  # noqa: E402
from structgen.frontends.lark import read_lark  # noqa: E402
from tests.grammars.checks import checker  # noqa: E402
from tests.support.real_lark import MODES, LarkOracle, make_indenter, mutations  # noqa: E402

PIECES = [b"ab", b"if ", b'":', b'{"', b"</", b"><", b"12", b", ", b"()", b"\n ", "é".encode(), b"**", b"[1", b"CC",
          b"\n    ", b":\n", b"==", b"SELECT ", b"int ", b"->", b" =", b"\n\n", b"return"]
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


def run(name, text, modes, postlex, texts, check, outputs, seconds):
    """One line of the table: counts, and the first texts that are wrong."""
    count = {"walks": 0, "texts": 0, "wrong": 0, "dead": 0, "undecided": 0, "other": 0}
    shown, skipped = [], []
    for mode in modes:
        parser, lexer = MODES[mode]
        from lark.indenter import PythonIndenter

        oracle = LarkOracle(text, mode, PythonIndenter() if postlex == "python" else postlex)
        try:
            compiled = sg.compile(_Read(read_lark(text, parser=parser, lexer=lexer, postlex=postlex)), VOCABULARY)
        except (sg.GrammarError, sg.LimitError) as err:
            if isinstance(err, sg.GrammarError) and (oracle.error is not None or "no text" in str(err)):
                skipped.append(f"{mode}: refused, as by Lark" if oracle.error else f"{mode}: empty")
            else:
                skipped.append(f"{mode}: {str(err)[:60]}")
            continue
        rng, start = random.Random(f"{name} {mode}"), time.monotonic()
        todo = list(texts) + [m for t in texts for m in mutations(t, rng, 5)]
        for i in range(outputs // len(modes)):
            if time.monotonic() - start > seconds / len(modes):
                break
            try:
                data, dead = walk(compiled, rng, rng.choice([1, 3, 10, 30]))
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
    return count, shown, skipped


class _Read(sg.Lark):
    """A grammar that has been read."""

    def __init__(self, grammar):
        self._grammar, self.text = grammar, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="only those whose name begins so")
    parser.add_argument("--outputs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=600)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    total = {}
    print(f"{'grammar':<44} {'walks':>7} {'texts':>7} {'wrong':>6} {'dead':>5} {'3rd':>4} {'undecided':>9}")
    for name, text, modes, postlex, texts, check in cases():
        if args.names and not name.startswith(tuple(args.names)):
            continue
        count, shown, skipped = run(name, text, modes, postlex, texts, check, args.outputs, args.seconds)
        for key, n in count.items():
            total[key] = total.get(key, 0) + n
        short = "" if count["walks"] >= args.outputs // len(modes) * len(modes) else "  (out of time)"
        print(f"{name[:44]:<44} {count['walks']:>7} {count['texts']:>7} {count['wrong']:>6} {count['dead']:>5} "
              f"{count['other']:>4} {count['undecided']:>9}" + short * (not skipped) +
              ("  " + "; ".join(skipped) if skipped else ""), flush=True)
        for mode, t in shown[:3]:
            print(f"    {mode}: {t!r}", flush=True)
    bad = total.get("wrong", 0) + total.get("dead", 0) + total.get("other", 0)
    print(f"in all: {total}")
    print(f"verdict: {'ok' if not bad else 'FAILED'}: {total.get('wrong', 0)} verdicts that differ from Lark's, "
          f"{total.get('dead', 0)} dead ends, {total.get('other', 0)} texts that others refuse")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
