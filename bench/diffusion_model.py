"""The embedded diffusion model on held-out prompts: unconstrained, constrained, and the published loops.

*per slot*: every slot's scores are masked by what the slot may hold, and the best tokens are committed slot
by slot, each on its own.  *one at a time*: the published loop for context-free
constraints (arXiv 2508.10111): propose the surest token, keep it if the constraint still
holds when every gap may hold any text, else bar it and propose again, 100 times an
answer at most; no completion by automata at the end.

*times* compares with unconstrained decoding; *compiled* counts the compilation of the schema
into every answer, as if none came twice.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

RESAMPLES = 100
TIME_BAR = 1.3


class Gaps:
    """Can a canvas be completed if each run of masked slots may hold any text?  Over the token automaton."""

    def __init__(self, automaton: Any):
        self.a = automaton
        self.known: dict[bytes, np.ndarray] = {}

    def closure(self, states: np.ndarray) -> np.ndarray:
        key = states.tobytes()
        if key not in self.known:
            a, reached = self.a, states.copy()
            sources = np.repeat(np.arange(a.size), np.diff(a.pair_first))
            while True:
                more = reached.copy()
                more[a.pair_target[reached[sources]]] = True
                if (more == reached).all():
                    break
                reached = more
            self.known[key] = reached
        return self.known[key]

    def holds(self, slots: np.ndarray) -> bool:
        a = self.a
        states = np.zeros(a.size, bool)
        states[0] = True
        gap = False
        for t in slots.tolist():
            if t < 0:
                gap = True
                continue
            if gap:
                states, gap = self.closure(states), False
            c = a.classes if t in a.vocabulary.eos_ids else int(a.class_of[t])
            if c < 0:
                return False
            after = a.table[c, np.flatnonzero(states)]
            states = np.zeros(a.size, bool)
            states[after[after >= 0]] = True
            if not states.any():
                return False
        return bool((self.closure(states) if gap else states)[a.accepting].any())


def published(scorer: Any, prompt: list, compiled: Any, slots: int, steps: int, how: str, eos: int) -> tuple[list, int]:
    """One answer by one of the published loops: its slots (-1: stuck) and the checks made."""
    import torch

    from structgen.diffusion import Canvas, automaton_of
    from structgen.diffusion.commit import share

    canvas = np.full(slots, -1, np.int64)
    exact = Canvas(compiled, slots) if how == "per slot" else None
    gaps, checks, refused = Gaps(automaton_of(compiled)), 0, 0
    for step in range(steps):
        masked = np.flatnonzero(canvas < 0)
        if not len(masked):
            break
        logits = scorer([(prompt, canvas)], [masked])[0]
        p = torch.softmax(logits, dim=1).cpu().numpy().copy()
        count = share(len(masked), steps - step)
        if exact is not None:
            allowed = exact.masks(masked)
            p[:, :allowed.shape[1]] *= allowed
            p[:, allowed.shape[1]:] = 0
            best, sure = p.argmax(axis=1), p.max(axis=1)
            for k in np.argsort(-sure, kind="stable")[:count]:
                if sure[k] <= 0:
                    return canvas.tolist(), checks
                canvas[masked[k]] = best[k]
                exact.set(int(masked[k]), int(best[k]))
            checks += 1
            continue
        p[:, scorer.mask] = 0
        left = count
        while left and (canvas[masked] < 0).any():
            sure = np.where(canvas[masked] < 0, p.max(axis=1), -1)
            k = int(sure.argmax())
            if sure[k] <= 0 or refused >= RESAMPLES:
                return canvas.tolist(), checks
            t = int(p[k].argmax())
            trial = canvas.copy()
            trial[masked[k]] = t
            if t == eos:
                trial[masked[k]:] = eos
            checks += 1
            if gaps.holds(trial):
                canvas, left = trial, left - 1
            else:
                p[k, t] = 0
                refused += 1
    return canvas.tolist(), checks


def run(count: int, steps: list[int], splits: list[str], batch: int, loops: bool) -> bool:
    """Print a table; whether the bars hold."""
    import torch

    import structgen as sg
    from structgen.diffusion.scoring import MaskedScorer
    from structgen.models.corpus import examples
    from structgen.models.training.evaluate import SEED, SLOTS, judge
    from structgen.models.training.tokenizer import render

    torch.set_num_threads(1)
    llm = sg.load("embedded-diffusion", device="cpu")
    vocabulary = sg.Vocabulary.load(llm.tokenizer)
    eos = llm.tokenizer.eos_token_id
    found, compiled, long = [], [], 0
    for warm in ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"enum": ["a", None]}):   # load kernels
        sg.diffusion.Canvas(sg.compile(sg.JsonSchema(warm).closed(), vocabulary), SLOTS).masks()
    started = time.process_time()
    for split in splits:
        for e in examples(SEED, count, split):
            schema = sg.JsonSchema(e.schema).closed() if e.schema is not None else sg.Regex(e.regex)
            c = sg.compile(schema, vocabulary)
            try:
                sg.diffusion.Canvas(c, SLOTS)
            except sg.BudgetError:
                long += 1
                continue
            found.append(e)
            compiled.append(c)
    made = 1e3 * (time.process_time() - started) / len(found)
    print(f"{len(found)} prompts of {', '.join(splits)}, canvases of {SLOTS} slots, {batch} at a time; left out, as "
          f"the shortest answer is longer: {long}; compile {made:.0f} ms of the processor a schema, once")
    print(f"{'steps':>5} {'decoding':14}{'valid %':>8}{'exact %':>16}{'ms an answer':>14}{'times':>7}{'compiled':>9}"
          f"{'checks':>8}")
    good = True
    prompts = [llm.tokenizer(render(e.messages), add_special_tokens=False)["input_ids"] for e in found]
    for n in steps:
        plain = None
        for how in ("unconstrained", "constrained", "per slot", "one at a time")[:4 if loops else 2]:
            valid = exact = checks = 0
            start = time.process_time()
            texts = []
            if how in ("unconstrained", "constrained"):
                for at in range(0, len(found), batch):
                    part = slice(at, at + batch)
                    schemas = compiled[part] if how == "constrained" else None
                    texts += [r.text for r in sg.generate([e.messages for e in found[part]], schemas, llm, steps=n,
                                                          max_new_tokens=SLOTS, return_result=True)]
            else:
                scorer = MaskedScorer(llm.model, llm.tokenizer.mask_token_id, 0)
                for prompt, c in zip(prompts, compiled):
                    row, asked = published(scorer, prompt, c, SLOTS, n, how, eos)
                    checks += asked
                    row = row[:row.index(eos)] if eos in row else row
                    texts.append("\ufffd" if -1 in row else vocabulary.decode(row).decode("utf-8", "replace"))
            spent = 1e3 * (time.process_time() - start) / len(found)
            for e, text in zip(found, texts):
                _, v, x = judge(e, text)
                valid, exact = valid + v, exact + x
            size = len(found)
            error = math.sqrt(max(exact, 1) * max(size - exact, 1) / size ** 3)
            if plain is None:
                plain = (exact / size, error, spent)
            print(f"{n:5} {how:14}{100 * valid / size:8.1f}{100 * exact / size:10.1f} ± {100 * error:3.1f}{spent:14.0f}"
                  f"{spent / plain[2]:7.2f}{(spent + made * (how != 'unconstrained')) / plain[2]:9.2f}"
                  f"{checks / size:8.1f}", flush=True)
            if how == "constrained":
                spread = math.hypot(error, plain[1])
                good &= valid == size and exact / size >= plain[0] - 2 * spread
                good &= spent + made <= TIME_BAR * plain[2]
    print(f"bars: constrained 100 % valid, exact not below unconstrained by more than 2 standard errors, at most "
          f"{TIME_BAR} times its time (the processor's), also with a new schema compiled for each answer:",
          "met" if good else "NOT MET")
    return good
