"""One task under one model: how it is sampled, and the truth about it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Callable, Iterator, Optional, Sequence

import numpy as np
from aligned_tasks import TASKS, Task, Tokens, byte_vocabulary, char_model, exact_laws, going_on, spellings

__all__ = ["CONFIGURATIONS", "EMBEDDED", "Memo", "Setting", "setting", "settings"]

#: what defines P besides the model: name -> arguments of `sg.sample`
CONFIGURATIONS: dict[str, dict[str, float]] = {"": {}, "temperature 0.7": {"temperature": 0.7},
                                               "top-p 0.9": {"top_p": 0.9}}


def _lists(**names: str) -> Callable[[str], str]:
    """Prefix expressions as nested lists of codes: ``(++ s t)`` is ``["en","de"]``, ``(at s 0)`` ``["en",0]``."""
    spelt = {ord(k): f'"{v}"' for k, v in names.items()}

    def behind(text: str) -> str:
        for old, new in (("(++ ", "["), ("(at ", "["), (" ", ","), (")", "]")):
            text = text.replace(old, new)
        return text.translate(spelt) + "}"

    return behind


def _book(text: str) -> str:
    """The members of jskew under names that the model knows."""
    for old, new in (('{"id":', ""), ("name", "genre"), ("ok", "in_stock"), ("ann", "novel"), ("bob", "poetry"),
                     ("carol", "history"), ("dora", "science")):
        text = text.replace(old, new)
    return text


_LANGUAGES = 'Extract {languages:("en"|"de"|"fr"|"es")[]} from: Clara Weber.'
#: for the embedded model: an instruction, what of the answer is given, and what the language's texts become behind it:
#: the notation it was trained on, with room for more than one answer
EMBEDDED: dict[str, tuple[str, str, Callable[[str], str]]] = {
    "bin17": ("Extract {code:" + "|".join(f'"{t}"' for t in TASKS["bin17"].texts) + "} from: The parcel has a code.",
              '{"code":"', lambda t: t + '"}'),
    "expr1124": (_LANGUAGES, '{"languages":', _lists(s="en", t="de", u="fr", v="es")),
    "jskew": ('Extract {pages:integer,genre:"novel"|"poetry"|"history"|"science",in_stock:boolean|null} from: A book.',
              '{"pages":', _book),
    "exprY1446": (_LANGUAGES, '{"languages":', _lists(x="en", y="de")),
    "datemix": ("Extract {date:date|null} from: The order in 2024.", '{"date":"', lambda t: t + '"}'),
    "date11k": ("Extract {date:date} from: Clara Weber.", '{"date":"', lambda t: t + '"}'),
    "datetime45k": ("Extract {date:date,time:string} from: Clara.", '{"date":"2024-01-',
                    lambda t: t.removeprefix("2024-01-").replace(" ", '","time":"') + '"}'),
}
#: only the tokenizer's own spelling of these counts: all are 0.7, 233, 809 and 8.6 million sequences in the model's
#: tokens, too many to teacher-force for the truth (the other three have two a text at most)
CANONICAL = ("expr1124", "jskew", "exprY1446", "datetime45k")


class Memo:
    """A scorer whose answers are kept, so that fresh oracles do not run the model again."""

    def __init__(self, inner: Any):
        self.inner = inner
        self.vocab_size, self.fingerprint = inner.vocab_size, inner.fingerprint
        self.prompt, self.room = inner.prompt, inner.room
        self.rows: dict[Tokens, np.ndarray] = {}

    def warm(self, paths: Sequence[Tokens]) -> None:
        """Ask for many prefixes in large batches, short ones first."""
        todo = sorted({p for p in paths if p not in self.rows}, key=lambda p: (len(p), p))
        for at in range(0, len(todo), 256):
            part = todo[at:at + 256]
            self.rows.update((p, block[0]) for p, block in zip(part, self.inner.score(part, [1] * len(part))))

    def score(self, paths: Sequence[Tokens], counts: Sequence[int]) -> list[np.ndarray]:
        wanted = [[p[:len(p) - n + 1 + j] for j in range(n)] for p, n in zip(paths, counts)]
        self.warm([p for line in wanted for p in line if p not in self.rows])
        return [np.stack([self.rows[p] for p in line]) for line in wanted]


class Setting:
    """A task under a model.

    Attributes
    ----------
    laws : dict
        For each of `CONFIGURATIONS` P of every token sequence (end token
        included) of the language; not normalised.
    log_masses : dict
        Of every sequence what masking keeps, log; there with `laws`.
    """

    def __init__(self, kind: str, model: Any, vocabulary: Any, prompt: Sequence[int], task: Task, texts: Sequence[str],
                 tokens: str):
        import structgen as sg
        from structgen.sampling import TransformerScorer

        self.name = f"{task.name} {kind}"
        self.task, self.kind, self.tokens = task, kind, tokens
        self.vocabulary = vocabulary
        self.compiled = sg.compile(sg.Choice(texts), vocabulary)
        end = vocabulary.eos_ids[0]
        self.allowed: Optional[Callable[[Tokens], list[int]]] = None
        if tokens == "all":
            spelt = spellings(texts, [vocabulary.token_bytes(t) for t in range(vocabulary.size)])
        else:
            spelt = [tuple(vocabulary.encode(t.encode())) for t in texts]
        self.sequences = [(*s, end) for s in spelt]
        self.horizon = max(map(len, self.sequences))
        if tokens != "all":
            self.allowed = going_on(texts, [vocabulary.token_bytes(t) for t in range(vocabulary.size)], end,
                                    self.horizon)
        self.scorer = Memo(TransformerScorer(model, prompt, max_batch=256))
        self.model, self.prompt = model, list(prompt)
        self._laws: Optional[dict[str, dict[Tokens, float]]] = None

    @property
    def laws(self) -> dict[str, dict[Tokens, float]]:
        """See the class's text; computed when first asked for."""
        if self._laws is None:
            from transformers import TemperatureLogitsWarper, TopPLogitsWarper

            logs, self.log_masses = exact_laws(self.model, self.prompt, self.sequences, {
                "": [], "temperature 0.7": [TemperatureLogitsWarper(0.7)], "top-p 0.9": [TopPLogitsWarper(0.9)]},
                self.allowed)
            self._laws = {name: {s: float(np.exp(x)) for s, x in law.items()} for name, law in logs.items()}
        return self._laws

    def warm(self) -> None:
        """Run a small model, or a small language, on every prefix once, in large batches."""
        paths = {s[:k] for s in self.sequences for k in range(len(s))}
        if len(paths) * self.scorer.vocab_size < 1 << 26:
            self.scorer.warm(list(paths))

    def sample(self, **options: Any) -> Any:
        import structgen as sg

        options = {"diagnose": 0, "max_tokens": self.horizon, "tokens": self.tokens, **options}
        if "oracle" in options:
            return sg.sample(None, None, None, **options)
        return sg.sample(self.scorer, None, self.compiled, **options)


@lru_cache(maxsize=None)
def _model(kind: str) -> Any:
    import structgen as sg

    if kind == "char":
        return char_model(), byte_vocabulary(), None
    loaded = sg.load("embedded", device="cpu")
    return loaded.model, sg.Vocabulary.load(loaded.tokenizer), loaded.tokenizer


@lru_cache(maxsize=None)
def setting(kind: str, name: str) -> Setting:
    """The setting of a task under the model "char" or "embedded"."""
    from structgen.decoding.chat import encode

    model, vocabulary, tokenizer = _model(kind)
    task = TASKS[name]
    if kind == "char":
        return Setting(kind, model, vocabulary, list(task.prompt.encode()), task, task.texts, "all")
    instruction, given, behind = EMBEDDED[name]
    prompt = [*encode(instruction, tokenizer, "auto")[1], *vocabulary.encode(given.encode())]
    return Setting(kind, model, vocabulary, prompt, task, [behind(t) for t in task.texts],
                   "canonical" if name in CANONICAL else "all")


def settings(kinds: Sequence[str], names: Sequence[str]) -> Iterator[Setting]:
    """One after another."""
    for kind in kinds:
        for name in names:
            yield setting(kind, name)
