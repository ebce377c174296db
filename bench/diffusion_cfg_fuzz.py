"""Commits and un-commits in random order under grammars: a canvas is never stuck, and what it ends in is valid.

Constraints are random grammars (ambiguous, cyclic, with empty rules and terminals
that overlap) in all five modes over vocabularies of up to six tokens, judged by a
plain recogniser that shares nothing with the engine; and over the embedded model's vocabulary
any JSON, a recursive schema and arithmetic, judged by ``json``, ``jsonschema``
and Lark.  One sequence: a canvas of random length, up to 12 moves (an allowed token
at any slot; a slot masked again; part of a joint assignment), after each of which
the canvas must be feasible, then everything else from a joint assignment or slot
by slot.  One canvas in ten is compared on the way with one that was made anew.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

MODES = ("scannerless", "dynamic", "dynamic_complete", "basic", "contextual")
SCHEMA = {"$ref": "#/$defs/v", "$defs": {"v": {"anyOf": [
    {"enum": ["x", 1, None]}, {"type": "array", "items": {"$ref": "#/$defs/v"}, "maxItems": 3},
    {"type": "object", "properties": {"a": {"$ref": "#/$defs/v"}, "b": {"type": "boolean"}}, "required": ["b"],
     "additionalProperties": False}]}}}
ARITHMETIC = 'start: sum\nsum: [sum ("+" | "-")] term\nterm: [term "*"] atom\natom: /[0-9]{1,3}/ | "(" sum ")"\n'


def _judge(call: Callable[[str], Any]) -> Callable[[str], bool]:
    def judged(text: str) -> bool:
        try:
            return call(text) is not False
        except Exception:
            return False
    return judged


def _random(rng: random.Random, count: int) -> Iterator[tuple]:
    """(constraint, judge, slot counts to draw from) of random grammars."""
    from structgen.reference.cfg import accepts
    from structgen.tokens.vocabulary import Vocabulary
    from tests.diffusion.cfg_cases import PIECES, Constraint, random_constraint

    made = 0
    while made < count:
        grammar = random_constraint(rng, MODES[made % len(MODES)])
        if grammar is None:
            continue
        made += 1
        pieces = rng.sample(PIECES, rng.randint(2, 6))
        ends = [len(pieces) + k for k in range(rng.choice((1, 1, 2)))]
        vocabulary = Vocabulary.from_tokens([*pieces, *([None] * len(ends))], eos_ids=ends)
        known: dict[str, bool] = {}

        def judge(text: str, grammar: Any = grammar, known: dict[str, bool] = known) -> bool:
            if text not in known:
                known[text] = accepts(grammar, text)
            return known[text]

        yield Constraint(grammar, vocabulary), judge, list(range(1, 11))


def _written() -> Iterator[tuple]:
    """The same of three that are not random."""
    import jsonschema
    import lark

    import structgen as sg
    from structgen.models import embedded_folder

    vocabulary = sg.Vocabulary.load(embedded_folder("embedded-diffusion"))
    text = (ROOT / "grammars" / "json.lark").read_text(encoding="utf-8")
    yield (sg.compile(sg.Lark(text, parser="lalr", lexer="contextual"), vocabulary),
           _judge(lambda t: [json.loads(t)]), [8, 12, 20])
    checker = jsonschema.Draft202012Validator(SCHEMA)
    yield (sg.compile(sg.JsonSchema(SCHEMA, whitespace="compact"), vocabulary),
           _judge(lambda t: checker.is_valid(json.loads(t))), [8, 12, 20])
    parser = lark.Lark(ARITHMETIC, parser="lalr")
    yield sg.compile(sg.Lark(ARITHMETIC, parser="lalr"), vocabulary), _judge(parser.parse), [5, 9, 14]


class _Stuck(Exception):
    """A canvas that cannot go on, or says so."""


def _sequence(canvas: Any, rng: random.Random, generator: np.random.Generator, noise: np.ndarray, again: Any) -> int:
    """One sequence; the number of moves."""
    moves, checked = rng.randint(2, 12), rng.random() < 0.1
    for _ in range(moves):
        written = np.flatnonzero(canvas.tokens >= 0)
        kind = rng.random()
        if kind < 0.3 and len(written):
            canvas.set(int(rng.choice(written)), None)
        elif kind < 0.85 or not len(canvas.masked):
            slot = rng.randrange(canvas.length)
            allowed = np.flatnonzero(canvas.masks([slot])[0])
            if not len(allowed):
                raise _Stuck
            canvas.set(slot, int(rng.choice(allowed)))
        else:
            joint = canvas.joint(noise[generator.integers(0, len(noise), len(canvas.masked))])
            for i in range(len(joint.slots)):
                if rng.random() < 0.4:
                    canvas.set(int(joint.slots[i]), int(joint.tokens[i]))
        if not canvas.feasible():
            raise _Stuck
        if checked:
            fresh = again()
            fresh.set_all([None if t < 0 else int(t) for t in canvas.tokens])
            if not fresh.feasible() or (fresh.masks() != canvas.masks()).any():
                raise _Stuck
    if rng.random() < 0.5 and len(canvas.masked):
        scores = noise[generator.integers(0, len(noise), len(canvas.masked))]
        canvas.set_all([int(t) for t in canvas.argmax(scores)[0]])
    for slot in rng.sample(list(canvas.masked), len(canvas.masked)):
        allowed = np.flatnonzero(canvas.masks([slot])[0])
        if not len(allowed):
            raise _Stuck
        canvas.set(int(slot), int(rng.choice(allowed)))
    return moves


def _show(what: str, compiled: Any, tokens: list) -> None:
    """What is needed to see it again."""
    g, v = compiled.grammar, compiled.vocabulary
    print(f"  {what}: {tokens}", end=" ")
    if v.size < 20:
        print([v.token_bytes(i) for i in range(v.size)], f"{g.lexing}; rules {[(r.lhs, r.rhs) for r in g.rules]},",
              f"terminals {[t.match.source if t.match else t.lang for t in g.terminals]}, ignored {g.ignore}", end="")
    else:
        print(v.decode([t for t in tokens if t >= 0 and t not in v.eos_ids]), end="")
    print(flush=True)


def run(count: int, seed: int = 0) -> bool:
    """`count` sequences; prints and returns whether none got stuck or ended wrong."""
    from structgen.diffusion import Canvas
    from structgen.errors import BudgetError, GrammarError

    rng, generator = random.Random(seed), np.random.default_rng(seed)
    written, plain = list(_written()), list(_random(rng, 400))
    noise = {v: np.log(generator.dirichlet(np.full(v, 0.3), 32) + 1e-12).astype(np.float32)
             for v in {c.vocabulary.size for c, _, _ in written + plain}}
    stuck = wrong = moves = checked = none = 0
    used: set[int] = set()
    started = time.process_time()
    while checked + stuck < count:
        # those over a real vocabulary are much slower: one sequence in two hundred
        compiled, judge, lengths = rng.choice(written if (checked + stuck) % 200 == 0 else plain)
        vocabulary, length = compiled.vocabulary, rng.choice(lengths)
        try:
            canvas = Canvas(compiled, length)
        except (BudgetError, GrammarError):
            none += 1                         # too short, or no text can be spelt
            plain = [c for c in plain if c[0] is not compiled or rng.random() < 0.9]
            continue
        used.add(id(compiled))
        try:
            moves += _sequence(canvas, rng, generator, noise[vocabulary.size], lambda: Canvas(compiled, length))
        except _Stuck:
            stuck += 1
            _show("stuck", compiled, canvas.tokens.tolist())
            continue
        tokens = canvas.tokens.tolist()
        end = next((i for i, t in enumerate(tokens) if t in vocabulary.eos_ids), length)
        text = vocabulary.decode(tokens[:end]).decode("utf-8", "replace")
        checked += 1
        if not (all(t in vocabulary.eos_ids for t in tokens[end:]) and judge(text)):
            wrong += 1
            _show("not valid", compiled, tokens)
        if (checked + stuck) % 10_000 == 0:
            print(f"  {checked + stuck:,} sequences, stuck {stuck}, not valid {wrong}", flush=True)
    spent = time.process_time() - started
    print(f"fuzz under grammars: {count:,} sequences, {moves:,} moves over {len(used)} constraints; stuck {stuck}, "
          f"texts judged {checked:,}, of them not valid {wrong}; canvases that no text fits into {none:,}; "
          f"{spent:.0f} s of processor")
    good = stuck == 0 and wrong == 0
    print("  bar (0 and 0):", "met" if good else "NOT MET")
    return good
