"""Canvases under grammars and recursive schemas, on the cases and the vocabulary of the published methods.

    STRUCTGEN_DATA=... python bench/diffusion_cfg.py [ticket] [json] [cpp] [snippets] [fuzz] [--count N]

``ticket``: the schema J1 made recursive (tickets have related tickets), white space of
``json.dumps``; ``json``: any JSON (grammars/json.lark, Lark's contextual lexer); ``cpp``: grammars/cpp.lark,
basic lexer.  Feasibility and masks of all masked slots from scratch, in CPU time of the one thread
that works (the server is shared): *cold*, with no set of stacks known, best of 3, which the bars are
about, and *warm*, asked again.  Beside them the check of one token by the published engines, as measured
by their re-runs on two cores: ETH (Muendler et al.) in all, EPIC cold and with everything cached.
``snippets``: C1-h0 and the listed C++ programs (tests/data/cpp_snippets.toml) in tokens of that vocabulary.
``fuzz``: N (100,000) sequences of commits and un-commits; only when asked for.  Exit status 1: a bar failed.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
import tomllib
from pathlib import Path

import benchdata

import structgen as sg
from structgen.diffusion import Canvas
from structgen.diffusion.cfg_tokens import tokens_of
from structgen.errors import LimitError

#: case -> (ETH, EPIC cold, EPIC warm) in ms; None: not reported
ANCHORS = {"J1-h0": (0.71, 0.58, 0.07), "J1-h1": (1.7, 1.2, 0.09), "J1-h2": (17.1, 2.1, 0.21),
           "J1-h4": (18.1, 3.6, 0.21),
           "J1-h8": (156, 7.0, 0.56), "J1-half": (140, 15, 1.3), "J1-90": (26, 4.6, 0.25), "J1-h4-bad": (23, 6.5, 0.25),
           "C1-h1": (11, 2.4, 0.62), "C1-h4": (38, 12.5, 0.79), "C1-h8": (112, 52, 0.78), "C1-half": (970, 1143, 1.8)}
#: bars in ms: feasibility, masks
BARS = {"ticket": (10, 30), "json": (10, 30), "C1-h8": (15, None), "C1-half": (60, None)}
PARTS = ["ticket", "json", "cpp", "snippets"]
ROOT = Path(__file__).parents[1]


def ticket(schema: dict) -> dict:
    """J1 with related tickets."""
    schema = copy.deepcopy(schema)
    schema["properties"]["related"] = {"type": "array", "items": {"$ref": "#"}}
    return schema


def constraint(name: str, schema: dict, vocabulary):
    if name == "ticket":
        return sg.compile(sg.JsonSchema(ticket(schema), extra="closed", whitespace="json.dumps"), vocabulary)
    text = (ROOT / "grammars" / f"{name}.lark").read_text(encoding="utf-8")
    return sg.compile(sg.Lark(text, parser="lalr", lexer="basic" if name == "cpp" else "contextual"), vocabulary)


def took(call) -> float:
    """CPU milliseconds of a call; infinite where it ends in a LimitError."""
    t0 = time.process_time()
    try:
        call()
    except LimitError:
        return float("inf")
    return 1000 * (time.process_time() - t0)


def measure(name: str, case: dict, compiled) -> bool:
    """Print the line of one case; were its bars met?"""
    ids = [-1 if t is None else t for t in case["token_ids_llama3"]]
    sets = tokens_of(compiled).sets
    canvas = Canvas(compiled, len(ids))
    canvas.set_all(ids)
    answer = []

    def anew() -> None:
        canvas._changed()
        canvas._feasible = None

    def feasible() -> None:
        answer[:] = [canvas.feasible()]

    columns = []
    for call in (feasible, canvas.class_masks):
        cold = []
        for _ in range(3):
            sets.clear()
            anew()
            cold.append(took(call))
            if cold[-1] > 500:
                break
        warm = float("inf")
        for _ in range(3 if min(cold) < 500 else 0):
            anew()
            warm = min(warm, took(call))
        columns.append((min(cold), warm))
    bar = BARS.get(case["name"], BARS.get(name, (None, None)) if ids.count(-1) <= 32 else (None, None))
    good = True
    shown = []
    for (cold, warm), most in zip(columns, bar):
        met = most is None or cold <= most
        good &= met
        figure = "LimitError" if cold == float("inf") else f"{cold:.2f}" + (f", {warm:.2f} warm" if warm < 500 else "")
        shown.append(f"{figure:22}" + ("" if most is None else f"{'ok' if met else 'MISSED'} (bar {most})"))
    eth, cold, warm = ANCHORS.get(case["name"], (None,) * 3)
    peers = "no figure" if eth is None else f"ETH {eth:g}, EPIC {cold:g} cold {warm:g} warm (one check)"
    print(f"{name:7}{case['name']:10}{ids.count(-1):3} masked  {'feasible' if answer[0] else 'infeasible':11} "
          f"feasibility {shown[0]:34} masks {shown[1]:34} {peers}   [ms]", flush=True)
    return good


def snippets(compiled, data: dict) -> bool:
    """The listed programs as canvases without masks, spelt by the longest tokens there are."""
    vocabulary = compiled.vocabulary
    ids = {vocabulary.token_bytes(i): i for i in range(vocabulary.size - 1, -1, -1)
           if i not in vocabulary.special.values()}
    listed = tomllib.loads((ROOT / "tests" / "data" / "cpp_snippets.toml").read_text(encoding="utf-8"))

    def feasible(tokens: list) -> bool:
        canvas = Canvas(compiled, max(len(tokens), 12))
        canvas.set_all(tokens + [vocabulary.eos_ids[0]] * (canvas.length - len(tokens)))
        return canvas.feasible()

    def spelt(text: str) -> list:
        out, left = [], text.encode()
        while left:
            size = next(n for n in range(min(len(left), 40), 0, -1) if left[:n] in ids)
            out.append(ids[left[:size]])
            left = left[size:]
        return out

    whole = next(c for c in data["cases"] if c["name"] == "C1-h0")["token_ids_llama3"]
    accepted = {kind: sum(feasible(spelt(text)) for text in texts) for kind, texts in listed.items()}
    good = feasible(list(whole)) and accepted["valid"] == len(listed["valid"]) >= 30
    good &= accepted["invalid"] == 0 and len(listed["invalid"]) >= 30
    print(f"cpp: C1-h0 {'accepted' if feasible(list(whole)) else 'REFUSED'}; of {len(listed['valid'])} valid programs "
          f"{accepted['valid']} accepted, of {len(listed['invalid'])} invalid ones {accepted['invalid']} (bar: all of "
          f">= 30, none of >= 30): {'met' if good else 'NOT MET'}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "fuzz", []], default=[])
    parser.add_argument("--count", type=int, default=100_000, help="fuzzed sequences")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzed sequences")
    options = parser.parse_args()
    options.parts = options.parts or PARTS
    good = True
    if "fuzz" in options.parts:
        import diffusion_cfg_fuzz

        good &= diffusion_cfg_fuzz.run(options.count, options.seed)
    if set(options.parts) <= {"fuzz"}:
        return 0 if good else 1
    try:
        data = json.loads((benchdata._root() / "diffusion-cases.json").read_text(encoding="utf-8"))
        vocabulary = sg.Vocabulary.load(benchdata.tokenizer_dir())
    except benchdata.DataMissing as error:
        print(error, file=sys.stderr)
        return 2
    made: dict = {}
    for part in options.parts:
        if part == "fuzz":
            continue
        name = "cpp" if part == "snippets" else part
        if name not in made:
            made[name] = constraint(name, data["schemas"]["J1"], vocabulary)
            t0 = time.process_time()
            tokens = tokens_of(made[name])
            print(f"{name}: {len(tokens.places)} places, {len(tokens.words)} words, {len(tokens.arcs)} arcs, "
                  f"{tokens.classes} classes of tokens, {tokens.program.lr.ns} LR states; "
                  f"{time.process_time() - t0:.1f} s to make", flush=True)
            kind = "cpp" if name == "cpp" else "J1"
            ids = next(c["token_ids_llama3"] for c in data["cases"] if c["grammar"] == kind and not c["n_masks"])
            first = Canvas(made[name], len(ids))
            first.set_all(ids)
            first.feasible(), first.class_masks([0])    # kernels are loaded
        if part == "snippets":
            good &= snippets(made[name], data)
            continue
        for case in data["cases"]:
            if case["grammar"] == kind:
                good &= measure(name, case, made[name])
    print("all bars:", "met" if good else "NOT MET")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
