"""Canvases under grammars and recursive schemas, on the cases and the vocabulary of the published methods.

    STRUCTGEN_DATA=... python bench/diffusion_cfg.py [ticket] [json] [cpp] [--masks-of-all]

``ticket``: the schema J1 made recursive (tickets have related tickets), white space of
``json.dumps``; ``json``: any JSON (grammars/json.lark, Lark's contextual lexer); ``cpp``: grammars/cpp.lark,
basic lexer.  Feasibility and masks from scratch, best of 3, in CPU time of the one thread that works
(the server is shared); beside them the check of one token by the published engines, as measured
by their re-runs on two cores: ETH (Muendler et al.) in all, EPIC cold and with everything cached.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from pathlib import Path

import benchdata
import numpy as np

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


def best(call, repeats: int = 3) -> float:
    """Least CPU milliseconds of some calls."""
    times = []
    for _ in range(repeats):
        t0 = time.process_time()
        call()
        times.append(time.process_time() - t0)
    return 1000 * min(times)


def measure(name: str, case: dict, compiled, masks: bool) -> None:
    ids = [-1 if t is None else t for t in case["token_ids_llama3"]]
    length = len(ids)
    state: dict = {}

    def fresh() -> Canvas:
        canvas = Canvas(compiled, length)
        canvas.set_all(ids)
        return canvas

    canvas = fresh()

    def feasible() -> None:
        canvas._feasible = None
        state["feasible"] = canvas.feasible()

    def all_masks() -> None:
        canvas._changed()
        canvas._feasible = None
        state["masks"] = canvas.class_masks()

    columns = []
    for what, call, on in (("feasible", feasible, True), ("masks", all_masks, masks)):
        try:
            columns.append(best(call) if on else None)
        except LimitError:
            columns.append(float("inf"))
    bar = BARS.get(case["name"], BARS.get(name, (None, None)))
    if int(np.sum(np.array(ids) < 0)) > 32:
        bar = BARS.get(case["name"], (None, None))
    shown = ["-" if x is None else "LimitError" if x == float("inf") else f"{x:.2f}" for x in columns]
    verdict = ["" if x is None or b is None else "ok" if x <= b else f"MISSED (bar {b})" for x, b in zip(columns, bar)]
    eth, cold, warm = ANCHORS.get(case["name"], (None,) * 3)
    peers = "no figure" if eth is None else f"ETH {eth:g}, EPIC {cold:g} cold {warm:g} warm (one check)"
    answer = {True: "feasible", False: "infeasible", None: "?"}[state.get("feasible")]
    print(f"{name:7}{case['name']:11}{answer:12}feasibility {shown[0]:>10} ms {verdict[0]:18} masks {shown[1]:>10} ms "
          f"{verdict[1]:18} {peers}", flush=True)


def main() -> int:
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")] or ["ticket", "json", "cpp"]
    try:
        data = json.loads((benchdata._root() / "diffusion-cases.json").read_text(encoding="utf-8"))
        vocabulary = sg.Vocabulary.load(benchdata.tokenizer_dir())
    except benchdata.DataMissing as error:
        print(error, file=sys.stderr)
        return 2
    for name in wanted:
        compiled = constraint(name, data["schemas"]["J1"], vocabulary)
        t0 = time.process_time()
        tokens = tokens_of(compiled)
        print(f"{name}: {len(tokens.places)} places, {len(tokens.words)} words, {len(tokens.arcs)} arcs, "
              f"{tokens.classes} classes of tokens, {tokens.program.lr.ns} LR states; "
              f"{time.process_time() - t0:.1f} s to make, kernels included", flush=True)
        for case in data["cases"]:
            if case["grammar"] == ("cpp" if name == "cpp" else "J1"):
                few = sum(t is None for t in case["token_ids_llama3"]) <= 32 and name != "cpp"
                if few or case["n_masks"] <= 3 or "--masks-of-all" in sys.argv:
                    measure(name, case, compiled, True)
                else:
                    measure(name, case, compiled, False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
