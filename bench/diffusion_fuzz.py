"""Commits and un-commits in random order: a canvas is never stuck, and what it ends in is valid.

Constraints are random regular expressions and choices over small vocabularies (tokens of several
bytes, one end token or two), and schemas over the embedded model's vocabulary.
One sequence: a canvas of random length, up to 12 moves (an allowed token at any
slot; a slot masked again; part of a joint assignment), then everything else from one
joint draw or slot by slot.  Texts are judged by ``re`` and ``jsonschema``.
"""

from __future__ import annotations

import json
import random
import re
import time
from typing import Any, Callable

import numpy as np


def _expression(rng: random.Random, depth: int = 3) -> str:
    """A random expression over a, b and a letter of two bytes."""
    kind = rng.random()
    if depth == 0 or kind < 0.35:
        return rng.choice(["a", "b", "é", "ab", "[ab]", "(ba|é)"])
    if kind < 0.6:
        return _expression(rng, depth - 1) + _expression(rng, depth - 1)
    if kind < 0.8:
        return f"({_expression(rng, depth - 1)}|{_expression(rng, depth - 1)})"
    return f"({_expression(rng, depth - 1)}){rng.choice(['*', '+', '?', '{1,3}', '{2}'])}"


def _constraints(rng: random.Random, count: int) -> list[tuple[Any, Callable[[str], bool], list[int]]]:
    """(compiled, judge, slot counts to draw from)."""
    import jsonschema

    import structgen as sg
    from structgen.models import embedded_folder

    out: list = []
    for _ in range(count):
        pieces = {"".join(rng.choices("abé", k=rng.randint(2, 3))).encode() for _ in range(rng.randint(0, 4))}
        tokens = [*(bytes([b]) for b in range(256)), *sorted(pieces)]
        ends = [len(tokens) + k for k in range(rng.choice((1, 2)))]
        vocabulary = sg.Vocabulary.from_tokens([*tokens, *([None] * len(ends))], eos_ids=ends)
        pattern = _expression(rng)
        compiled = sg.compile(sg.Regex(pattern), vocabulary)
        shape = re.compile(pattern)
        out.append((compiled, lambda t, shape=shape: shape.fullmatch(t) is not None, list(range(1, 13))))
    vocabulary = sg.Vocabulary.load(embedded_folder("embedded-diffusion"))
    for schema in ({"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
                                                     "ok": {"type": "boolean"}},
                    "required": ["ok"], "additionalProperties": False},
                   {"type": "array", "items": {"enum": ["x", 1, None]}, "minItems": 1, "maxItems": 6},
                   {"type": "object", "properties": {"day": {"type": "string", "format": "date"},
                                                     "n": {"type": "integer", "minimum": -5, "maximum": 250}},
                    "required": ["day", "n"], "additionalProperties": False}):
        checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        compiled = sg.compile(sg.JsonSchema(schema, whitespace="compact", numbers="plain"), vocabulary)
        out.append((compiled, lambda t, v=checker: v.is_valid(json.loads(t)), [16, 20, 24, 32]))
    return out


def run(count: int, seed: int = 0) -> bool:
    """`count` sequences; prints and returns whether none got stuck or ended wrong."""
    import structgen as sg
    from structgen.diffusion import Canvas

    rng, generator = random.Random(seed), np.random.default_rng(seed)
    cases = _constraints(rng, 150)
    stuck = wrong = short = moves = checked = 0
    started = time.process_time()
    noise = {c.vocabulary.size: np.log(generator.dirichlet(np.full(c.vocabulary.size, 0.3), 32) + 1e-12)
             .astype(np.float32) for c, _, _ in cases}
    for k in range(count):
        # schemas are slower: one sequence in twenty
        compiled, judge, lengths = rng.choice(cases[-3:] if k % 20 == 0 else cases[:-3])
        vocabulary = compiled.vocabulary
        length = rng.choice(lengths)
        try:
            canvas = Canvas(compiled, length)
        except sg.BudgetError:
            short += 1
            canvas = Canvas(compiled, length := length + 40)
        for _ in range(rng.randint(2, 12)):
            moves += 1
            written = np.flatnonzero(canvas.tokens >= 0)
            kind = rng.random()
            if kind < 0.3 and len(written):
                canvas.set(int(rng.choice(written)), None)
            elif kind < 0.85 or not len(canvas.masked):
                slot = rng.randrange(length)
                allowed = canvas.masks([slot])[0]
                if not allowed.any():
                    stuck += 1
                    break
                canvas.set(slot, int(rng.choice(np.flatnonzero(allowed))))
            else:
                joint = canvas.joint(noise[vocabulary.size][generator.integers(0, 32, len(canvas.masked))],
                                     generator if rng.random() < 0.5 else None)
                for i in range(len(joint.slots)):
                    if rng.random() < 0.4:
                        canvas.set(int(joint.slots[i]), int(joint.tokens[i]))
            if not canvas.feasible():
                stuck += 1
                break
        else:
            if rng.random() < 0.7:
                scores = noise[vocabulary.size][generator.integers(0, 32, len(canvas.masked))]
                canvas.set_all([int(t) for t in canvas.sample(scores, generator)])
            for slot in rng.sample(list(canvas.masked), len(canvas.masked)):
                allowed = np.flatnonzero(canvas.masks([slot])[0])
                if not len(allowed):
                    stuck += 1
                    break
                canvas.set(int(slot), int(rng.choice(allowed)))
            else:
                tokens = canvas.tokens.tolist()
                end = next((i for i, t in enumerate(tokens) if t in vocabulary.eos_ids), length)
                text = vocabulary.decode(tokens[:end]).decode("utf-8", "replace")
                behind = all(t in vocabulary.eos_ids for t in tokens[end:])
                checked += 1
                wrong += not (behind and judge(text))
    spent = time.process_time() - started
    print(f"fuzz: {count:,} sequences, {moves:,} moves over {len(cases)} constraints; stuck {stuck}, texts judged "
          f"{checked:,}, of them not valid {wrong}; canvases that were too short {short}; {spent:.0f} s of processor")
    good = stuck == 0 and wrong == 0 and checked == count
    print("  bar (0 and 0):", "met" if good else "NOT MET")
    return good
