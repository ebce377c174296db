"""Random regular languages, tiny vocabularies and canvases, with a dynamic programme in plain Python over them.

Four kinds of language, each judged by what is not ours: random NFAs (given to structgen as a regular
expression made by eliminating their states, judged by running them), random expressions (``re``), closed
schemas (``json`` and ``jsonschema``), finite choices.  Vocabularies have at most six tokens, cut out of
texts at any byte, so tokens of several bytes and ones that begin or end inside a character are common.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import re

import jsonschema

import structgen as sg

__all__ = ["Constraint", "RegularCase", "KINDS"]

KINDS = ("nfa", "expression", "schema", "choice")
LETTERS = ("ab", "aé", "éü", "aé€", "a😀")


class Constraint:
    """What a canvas needs of a compiled constraint; the vocabulary need not spell every byte."""

    def __init__(self, grammar, vocabulary, source=None):
        self.grammar, self.vocabulary, self.source = grammar, vocabulary, source


class ByText:
    """A language given by a judge of whole texts, or by its words: states are the texts."""

    start = b""

    def __init__(self, judge=None, words=None):
        self.judge, self.known = judge or words.__contains__, {}
        self.words = None if words is None else [w.encode() for w in words]

    def step(self, state: bytes, data: bytes):
        state += data
        return state if self.words is None or any(w.startswith(state) for w in self.words) else None

    def accepts(self, state: bytes) -> bool:
        if state not in self.known:
            try:
                self.known[state] = bool(self.judge(state.decode()))
            except UnicodeDecodeError:
                self.known[state] = False
        return self.known[state]


class Nfa:
    """A random automaton over characters; states are (set of its states, beginning of a character)."""

    def __init__(self, rng: random.Random, letters: str):
        self.size = rng.randint(1, 5)
        self.edges = {(rng.randrange(self.size), rng.choice(letters), rng.randrange(self.size))
                      for _ in range(rng.randint(1, 2 * self.size + 1))}
        self.final = {q for q in range(self.size) if rng.random() < 0.4} or {rng.randrange(self.size)}
        self.characters = {c.encode(): c for c in letters}
        self.start = (frozenset([0]), b"")

    def step(self, state, data: bytes):
        here, begun = state
        for b in data:
            begun += bytes([b])
            if begun in self.characters:
                c = self.characters[begun]
                here, begun = frozenset(v for u, x, v in self.edges if u in here and x == c), b""
            elif not any(c.startswith(begun) for c in self.characters):
                return None
        return (here, begun) if here else None

    def accepts(self, state) -> bool:
        return not state[1] and bool(state[0] & self.final)

    def expression(self) -> str | None:
        """A regular expression of the same language, by eliminating states; None if it is empty."""
        ways: dict[tuple, str] = {(-1, 0): ""}
        for u, c, v in sorted(self.edges):
            ways[u, v] = f"{ways[u, v]}|{c}" if (u, v) in ways else c
        for q in self.final:
            ways[q, -2] = ""
        for q in range(self.size):
            loop = f"(?:{ways.pop((q, q))})*" if (q, q) in ways else ""
            into = [(u, w) for (u, v), w in ways.items() if v == q]
            out = [(v, w) for (u, v), w in ways.items() if u == q]
            ways = {k: w for k, w in ways.items() if q not in k}
            for u, before in into:
                for v, after in out:
                    made = f"(?:{before}){loop}(?:{after})"
                    ways[u, v] = f"{ways[u, v]}|{made}" if (u, v) in ways else made
        return ways.get((-1, -2))


def expression(rng: random.Random, letters: str, depth: int = 3) -> str:
    """A random regular expression."""
    roll = rng.random()
    if depth == 0 or roll < 0.3:
        a, b = rng.choice(letters), rng.choice(letters)
        return rng.choice([a, a + b, f"[{letters}]", f"[^{a}]", ".", f"({a}|{b}{a})"])
    if roll < 0.6:
        return expression(rng, letters, depth - 1) + expression(rng, letters, depth - 1)
    if roll < 0.8:
        return f"({expression(rng, letters, depth - 1)}|{expression(rng, letters, depth - 1)})"
    return f"({expression(rng, letters, depth - 1)}){rng.choice(['*', '+', '?', '{1,3}', '{2}'])}"


def schema(rng: random.Random) -> dict:
    """A random closed schema."""
    def scalar():
        return rng.choice([
            {"type": "integer"}, {"type": "integer", "minimum": rng.randint(0, 9), "maximum": rng.randint(9, 120)},
            {"enum": rng.sample([1, 12, "é", "a", None, True], 2)}, {"type": "boolean"},
            {"type": "string", "maxLength": rng.randint(1, 3)}, {"type": "string", "pattern": "^(aé|1)*$"}])

    roll = rng.random()
    if roll < 0.3:
        return scalar()
    if roll < 0.65:
        made = {"type": "array", "items": scalar(), "minItems": rng.randint(0, 1)}
        return {**made, "maxItems": rng.randint(1, 3)} if rng.random() < 0.5 else made
    return {"type": "object", "properties": {"a": scalar(), "é": scalar()},
            "required": rng.sample(["a", "é"], rng.randint(0, 2)), "additionalProperties": False}


def value(rng: random.Random, made: dict):
    """Something that is often valid."""
    if "enum" in made:
        return rng.choice(made["enum"])
    kind = made["type"]
    if kind == "integer":
        return rng.randint(made.get("minimum", 0), made.get("maximum", 120))
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "string":
        return rng.choice(["", "a", "é", "aé", "1", "aé1"])
    if kind == "array":
        return [value(rng, made["items"]) for _ in range(rng.randint(made["minItems"], 3))]
    return {k: value(rng, v) for k, v in made["properties"].items() if k in made["required"] or rng.random() < 0.5}


def compact(x) -> str:
    return json.dumps(x, ensure_ascii=False, separators=(",", ":"))


def schema_judge(made: dict):
    """Is a text the compact form of a valid value, keys in the order of the schema?"""
    checker = jsonschema.Draft202012Validator(made)
    keys = list(made.get("properties", ()))

    def judge(text: str) -> bool:
        try:
            x = json.loads(text)
        except json.JSONDecodeError:
            return False
        return (checker.is_valid(x) and compact(x) == text
                and (not isinstance(x, dict) or list(x) == [k for k in keys if k in x]))
    return judge


class RegularCase:
    """A random language over a vocabulary of at most six tokens, and everything that can be said by going through it.

    `constraint` is None where the language is empty.
    """

    def __init__(self, seed: int, kind: str):
        self.seed = f"{kind} {seed}"
        self.rng = rng = random.Random(self.seed)
        letters = rng.choice(LETTERS)
        texts = ["".join(rng.choices(letters, k=rng.randint(2, 8))) for _ in range(3)]
        source = None
        if kind == "nfa":
            self.language = Nfa(rng, letters)
            pattern = self.language.expression()
            source = None if pattern is None else sg.Regex(pattern)
        elif kind == "expression":
            pattern = expression(rng, letters)
            shape = re.compile(pattern)
            self.language = ByText(lambda t: shape.fullmatch(t))
            source = sg.Regex(pattern)
        elif kind == "schema":
            made = schema(rng)
            self.language = ByText(schema_judge(made))
            source = sg.JsonSchema(made, extra="closed", whitespace="compact", numbers="plain", order="schema")
            texts = [compact(value(rng, made)) for _ in range(5)]
        else:
            words = {"".join(rng.choices(letters, k=rng.randint(0, 5))) for _ in range(rng.randint(1, 7))}
            self.language = ByText(words=words)
            source = sg.Choice(sorted(words))
            texts = sorted(words)
        #: is there a state for many texts, so that any canvas can be gone through?
        self.small = kind in ("nfa", "choice")
        self.ends_count = rng.choice((1, 1, 2))
        pieces: set[bytes] = set()
        if kind == "schema":        # a text cut up, so that one can be written
            data = rng.choice(texts).encode()
            cuts = sorted({0, len(data), *rng.choices(range(len(data) + 1), k=rng.randint(1, 3))})
            pieces = {data[a:b] for a, b in zip(cuts, cuts[1:])}
        for _ in range(40):
            if len(pieces) < 6 - self.ends_count:
                data = rng.choice(texts).encode()
                at = rng.randrange(len(data) + 1)
                pieces.add(data[at:at + rng.choice((1, 1, 2, 3))])
                pieces.discard(b"")
        pieces = pieces or {b"a"}
        self.pieces = rng.sample(sorted(pieces), len(pieces))
        self.ends = list(range(len(self.pieces), len(self.pieces) + self.ends_count))
        self.vocabulary = sg.Vocabulary.from_tokens([*self.pieces, *([None] * self.ends_count)], eos_ids=self.ends)
        self.size = self.vocabulary.size
        self.constraint = None if source is None else Constraint(source.grammar(), self.vocabulary, source)
        self.steps: dict[tuple, object] = {}
        self.far: dict[tuple, bool] = {}

    # -- the policy of a canvas: what may stand behind the text, and what is still to come
    def policy(self) -> dict:
        """Random options of a canvas."""
        rng, out = self.rng, {"padding": self.rng.choice(("free", "scored"))}
        if rng.random() < 0.3:
            out["pad"] = rng.choice([*self.ends, self.size, self.size + 2])
        if rng.random() < 0.25:
            out["remaining"] = rng.randint(1, 3)
        return out

    def step(self, state, token: int):
        key = (state, token)
        if key not in self.steps:
            self.steps[key] = self.language.step(state, self.pieces[token])
        return self.steps[key]

    def move(self, state, token: int, masked: bool, pad: int):
        """The state after a token, None: it cannot stand there.  "end" is behind the text."""
        if state == "end":
            return "end" if token == pad or (not masked and token in self.ends) else None
        if token in self.ends:
            return "end" if self.language.accepts(state) else None
        return None if token >= self.size else self.step(state, token)

    def finishes(self, state, tokens: int) -> bool:
        """Can the text end within so many tokens more, the end token not counted?"""
        key = (state, tokens)
        if key not in self.far:
            self.far[key] = self.language.accepts(state) or (tokens > 0 and any(
                after is not None and self.finishes(after, tokens - 1)
                for after in (self.step(state, t) for t in range(len(self.pieces)))))
        return self.far[key]

    def last(self, state, remaining: int) -> bool:
        """May a canvas stop in a state?"""
        return state == "end" or self.finishes(state, remaining - 1 if remaining else 0)

    def tokens(self, slot_token: int, pad: int):
        return sorted({*range(self.size), pad}) if slot_token < 0 else [slot_token]

    # -- by going through all states
    def solve(self, fixed, logp, *, padding="free", pad=None, remaining=0, start=None):
        """Masks by slot, greatest score, log Z and marginals by slot and token (None: infeasible)."""
        pad = self.ends[0] if pad is None else pad
        length = len(fixed)
        layers = [{self.language.start if start is None else start}]
        for i in range(length):
            layers.append({after for s in layers[-1] for t in self.tokens(fixed[i], pad)
                           if (after := self.move(s, t, fixed[i] < 0, pad)) is not None})
        best = [{} for _ in range(length)] + [{s: 0.0 for s in layers[-1] if self.last(s, remaining)}]
        total = [dict(x) for x in best]
        arcs = [[] for _ in range(length)]
        for i in range(length - 1, -1, -1):
            for s in layers[i]:
                terms = []
                for t in self.tokens(fixed[i], pad):
                    after = self.move(s, t, fixed[i] < 0, pad)
                    if after is None or after not in best[i + 1]:
                        continue
                    free = fixed[i] >= 0 or (s == "end" and padding == "free")
                    w = 0.0 if free else float(logp[i, t])
                    arcs[i].append((s, t, after, w))
                    terms.append((w + best[i + 1][after], w + total[i + 1][after]))
                if terms:
                    best[i][s] = max(x for x, _ in terms)
                    top = max(x for _, x in terms)
                    total[i][s] = top + math.log(math.fsum(math.exp(x - top) for _, x in terms))
        first = next(iter(layers[0]))
        if first not in best[0]:
            return None
        log_z = total[0][first]
        masks = [{} for _ in range(length)]
        before = {first: 1.0}
        for i in range(length):
            after: dict = {}
            for s, t, u, w in arcs[i]:
                if s in before:
                    # relative to what there is from here on, so nothing underflows
                    p = before[s] * math.exp(w + total[i + 1][u] - total[i][s])
                    masks[i][t] = masks[i].get(t, 0.0) + p
                    after[u] = after.get(u, 0.0) + p
            before = after
        return masks, best[0][first], log_z

    # -- by trying everything
    def assignments(self, fixed, *, pad=None, remaining=0):
        """All valid assignments, by trying every one."""
        pad = self.ends[0] if pad is None else pad
        for x in itertools.product(*(self.tokens(t, pad) for t in fixed)):
            text, ended, good = b"", False, True
            for t, f in zip(x, fixed):
                if ended:
                    good = t == pad or (f >= 0 and t in self.ends)
                elif t in self.ends:
                    ended = True
                elif t >= self.size:
                    good = False
                else:
                    text += self.pieces[t]
                if not good:
                    break
            if good and self.ends_well(text, 0 if ended or not remaining else remaining - 1):
                yield x

    def ends_well(self, text: bytes, more: int) -> bool:
        state = self.language.step(self.language.start, text)
        return state is not None and self.finishes(state, more)

    def weight(self, x, fixed, logp, padding="free") -> float:
        out, ended = 0.0, False
        for i, t in enumerate(x):
            if fixed[i] < 0 and (padding == "scored" or not ended):
                out += float(logp[i, t])
            ended = ended or t in self.ends
        return out

    # -- canvases
    def canvas(self, most: int, pad: int, state=None) -> list[int]:
        """Slots, some fixed, with at most `most` assignments; often such that there is a valid one."""
        rng = self.rng
        length, fixed = rng.randint(1, 8), []
        state = self.language.start if state is None else state
        for _ in range(length):
            if state == "end":
                fixed.append(rng.choice([*self.ends, pad]))
                continue
            good = [t for t in range(self.size) if (after := self.move(state, t, True, pad)) is not None
                    and (after == "end" or self.finishes(after, 3))]
            # now and then something that cannot be
            t = rng.choice(good) if good and rng.random() < 0.9 else rng.randrange(self.size)
            fixed.append(t)
            state = self.move(state, t, True, pad)
            if state is None:
                state = self.language.start
        masked = rng.randint(1, length)
        while masked > 1 and len(self.tokens(-1, pad)) ** masked > most:
            masked -= 1
        for i in rng.sample(range(length), masked):
            fixed[i] = -1
        return fixed
