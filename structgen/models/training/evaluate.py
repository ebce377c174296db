"""How good the embedded models are on held-out prompts, with constraints and without.

Three shares: the answer is JSON (where JSON is asked for), it is valid for the
schema or the regular expression, it is the right answer.  Validity is judged
by the ``jsonschema`` library with formats asserted and by ``re``.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Optional, Sequence

from ...constraints import Regex
from ..corpus import SPLITS, Example, examples
from .tokenizer import render

__all__ = ["Score", "autoregressive", "diffusion", "judge", "table", "evaluate"]

#: seed of the evaluation prompts, far from the seeds of training
SEED = 20_000
SLOTS = 64

_KIND = {False: "unconstrained", True: "constrained"}


@dataclass
class Score:
    """Counts over a set of answers."""

    model: str
    split: str
    how: str
    total: int = 0
    json_asked: int = 0
    json_valid: int = 0
    valid: int = 0
    exact: int = 0
    left_out: int = 0
    seconds: float = 0.0

    def add(self, e: Example, text: str) -> None:
        """Count one answer."""
        parsed, valid, exact = judge(e, text)
        self.total += 1
        self.json_asked += e.schema is not None
        self.json_valid += bool(parsed)
        self.valid += valid
        self.exact += exact

    def row(self) -> list[str]:
        """The cells of a table."""
        def share(k: int, n: int) -> str:
            return f"{100 * k / n:.1f}" if n else "-"

        error = 100 * math.sqrt(max(self.exact, 1) * max(self.total - self.exact, 1) / self.total ** 3)
        return [self.model, self.split, self.how, str(self.total), share(self.json_valid, self.json_asked),
                share(self.valid, self.total), f"{share(self.exact, self.total)} ± {error:.1f}"]


def judge(e: Example, text: str) -> tuple[Optional[bool], bool, bool]:
    """Is `text` JSON (None where none is asked for), valid for what constrains `e`, and right?

    Examples
    --------
    >>> e = Example("x", [], '{"a":1}', {"a": 1}, {"required": ["a"]}, None)
    >>> judge(e, '{"a": 1.0}'), judge(e, '{"a": 2}'), judge(e, '{"b"')
    ((True, True, True), (True, True, False), (False, False, False))
    """
    if e.schema is None:
        return None, e.regex is None or re.fullmatch(e.regex, text) is not None, text == e.answer
    import jsonschema

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False, False, False
    checker = jsonschema.Draft202012Validator(e.schema, format_checker=jsonschema.FormatChecker())
    return True, checker.is_valid(value), value == e.value


def autoregressive(llm: Any, found: Sequence[Example], constrained: bool, budget: int = 128) -> list[str]:
    """The causal model's greedy answers, all in one batch."""
    return _answers(llm, found, constrained, max_new_tokens=budget)


def diffusion(llm: Any, found: Sequence[Example], steps: int, block: Optional[int] = None,
              constrained: bool = False) -> list[str]:
    """The diffusion model's greedy answers on canvases of 64 slots, the surest tokens of every step kept."""
    return _answers(llm, found, constrained, max_new_tokens=SLOTS, steps=steps, block_length=block)


def _answers(llm: Any, found: Sequence[Example], constrained: bool, **options: Any) -> list[str]:
    from ...api import generate

    schemas = [e.schema if e.schema is not None else Regex(e.regex) for e in found] if constrained else None
    return [r.text for r in generate([e.messages for e in found], schemas, llm, return_result=True, **options)]


def evaluate(ar: Any = None, masked: Any = None, *, count: int = 200, batch: int = 50,
             splits: Iterable[str] = SPLITS[1:], steps: Sequence[int] = (8, 16, 32, 64),
             blocks: Sequence[int] = (16,), seed: int = SEED) -> list[Score]:
    """Scores of both models over the first `count` prompts that `seed` gives for every split."""
    scores: list[Score] = []

    def score(model: str, split: str, how: str, found: Sequence[Example], answers: Callable[[list], list[str]]) -> None:
        one = Score(model, split, how, left_out=count - len(found))
        start = time.perf_counter()
        for at in range(0, len(found), batch):
            part = list(found[at:at + batch])
            for e, text in zip(part, answers(part)):
                one.add(e, text)
        one.seconds = time.perf_counter() - start
        print("  ".join(one.row()) + f"  ({one.seconds:.0f} s)", file=sys.stderr, flush=True)
        scores.append(one)

    for split in splits:
        found = list(examples(seed, count, split))
        if ar is not None:
            for constrained in (False, True):
                score("embedded", split, _KIND[constrained], found, lambda part: autoregressive(ar, part, constrained))
        if masked is None:
            continue
        ids = masked.tokenizer([e.answer for e in found], add_special_tokens=False)["input_ids"]
        # the end needs a slot too
        fits = [e for e, answer in zip(found, ids) if len(answer) < SLOTS]
        # prompts of similar length together: less padding
        fits.sort(key=lambda e: len(render(e.messages)))
        # every number of steps where names are held out, on the whole canvas; elsewhere the largest only
        full = split == "names"
        plans = [(n, None) for n in (steps if full else steps[-1:])] + [(steps[-1], b) for b in blocks if full]
        for constrained in (False, True):
            for n, block in plans:
                how = f"{_KIND[constrained]}, {n} steps" + (f", blocks of {block}" if block else "")
                score("embedded-diffusion", split, how, fits,
                      lambda part: diffusion(masked, part, n, block, constrained))
    return scores


def table(scores: Sequence[Score]) -> str:
    """The scores as a Markdown table, in per cent."""
    lines = ["| model | held out | decoding | answers | JSON | valid | exact |", "|---|---|---|--:|--:|--:|--:|"]
    lines += ["| " + " | ".join(score.row()) + " |" for score in scores]
    left = max((s.left_out for s in scores), default=0)
    if left:
        lines.append(f"\nAnswers that do not fit {SLOTS} slots are left out of the diffusion rows: at most {left} "
                     "a split.")
    return "\n".join(lines)
