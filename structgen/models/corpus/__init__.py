"""The corpus the embedded models are trained and judged on: made here, by seed.

Every example is a prompt (chat messages), an answer, and what constrains it: a
JSON Schema, a regex, or nothing.  Three things are split for good into a part
for training and a part held out: *names* (all drawn names, by their hash),
*templates* (sentences, frames and requests, marked in the sources) and
*schemas* (by the hash of the kind of record and its paths).  A held-out split
takes one of the three from the held-out part and the other two from training.

No file is read and no clock: ``example(seed, index)`` is a function of its
arguments.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Iterator

from . import extraction, tasks
from .names import Draw, is_held_out

__all__ = ["Example", "SPLITS", "example", "examples", "is_held_out"]

SPLITS = ("train", "names", "templates", "schemas")

# task -> (share in training, share where something is held out, function); training has more of what is hard
_TASKS = {
    "extract": (57, 56, extraction.extract), "people": (8, 8, extraction.people), "tool": (8, 10, tasks.tool_call),
    "sql": (4, 6, tasks.sql), "arithmetic": (8, 5, tasks.arithmetic), "normalise": (8, 6, tasks.normalise),
    "label": (2, 3, tasks.label), "prose": (5, 6, tasks.prose),
}


@dataclass(frozen=True)
class Example:
    """A prompt, the answer wanted, and what constrains the answer."""

    task: str
    messages: list[dict]
    answer: str                     # the text
    value: Any                      # the JSON value; None where the answer is no JSON
    schema: Any                     # JSON Schema or None
    regex: str | None               # regular expression or None

    @property
    def constrained(self) -> bool:
        """Is there anything an answer can violate?"""
        return self.schema is not None or self.regex is not None


def example(seed: int, index: int, split: str = "train") -> Example:
    """Example `index` of the corpus that `seed` gives.

    Parameters
    ----------
    seed, index : int
        The same give the same example, whatever was drawn before.
    split : {"train", "names", "templates", "schemas"}
        What is from the held-out part.

    Examples
    --------
    >>> e = example(0, 3)
    >>> e == example(0, 3), e.messages[-1]["role"]
    (True, 'user')
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: wanted one of {SPLITS}")
    # a string seeds random.Random through SHA-512: the same everywhere
    rng = random.Random(f"{split}/{seed}/{index}")
    draw = Draw(rng, held_out=split == "names")
    if split == "schemas":
        task = "extract"
    else:
        task = rng.choices(list(_TASKS), [shares[split != "train"] for *shares, _ in _TASKS.values()])[0]
        if split != "train" and task == "prose":
            task = "extract"
    options: dict[str, Any] = {"templates": split == "templates"}
    if task == "extract":
        options.update(schemas=split == "schemas", free=0.05 if split == "train" else 0.0)
    messages, constraint, answer = _TASKS[task][-1](draw, **options)
    schema = constraint if isinstance(constraint, dict) else None
    regex = constraint if isinstance(constraint, str) else None
    text = extraction.dumps(answer) if schema is not None else answer
    return Example(task, messages, text, answer if schema is not None else None, schema, regex)


def examples(seed: int, count: int, split: str = "train", start: int = 0) -> Iterator[Example]:
    """Examples `start` to `start + count`.

    Examples
    --------
    >>> [e.task for e in examples(1, 2, "schemas")]
    ['extract', 'extract']
    """
    for index in range(start, start + count):
        yield example(seed, index, split)
