"""Dead proposals: an independent decision of which tokens can stand in a masked slot, against the canvas.

The language of the ticket schema (J1 of ``diffusion-cases.json``, closed, white space of ``json.dumps``, necessary
escapes, no exponents) is written here by hand as a machine over bytes, run over the token trie by
a dynamic programme in plain Python: forward and backward sets of its states, slot
by slot.  It shares nothing with the library but the vocabulary's bytes.
"""

from __future__ import annotations

import json
import random
from typing import Any, Optional

import benchdata

#: the published method's false accepts, from the research note: 23 of 279 dead proposals
PUBLISHED = 23 / 279
PARTS = ['{"id": ', "string", ', "title": ', "string", ', "opened": "', "date", '", "priority": ', "integer",
         ', "resolved": ', "boolean", ', "owner": {"name": ', "string", ', "team": ', "enum", "}}"]
WORDS = {"boolean": ("true", "false"), "enum": ('"core"', '"infra"', '"web"')}
HEX = b"0123456789abcdef"


def step(state: tuple, b: int) -> list[tuple]:
    """States after a byte; a state is (part, what was read of it).  Parts may end by what comes next."""
    part, seen = state
    if part == len(PARTS):
        return []
    kind = PARTS[part]
    if kind == "string":
        after = string_step(seen, b)
        return [] if after is None else [(part + 1, b"")] if after == "end" else [(part, after)]
    if kind == "integer":
        if seen == b"":
            return [(part, b"1")] if b in b"12345" else []
        if seen == b"1" and b == 0x2E:
            return [(part, b".")]
        if seen in (b".", b"0") and b == 0x30:
            return [(part, b"0")]
        return step((part + 1, b""), b) if seen in (b"1", b"0") else []
    text = seen + bytes([b])
    if kind == "date":
        if not date_prefix(text):
            return []
        return [(part + 1, b"")] if len(text) == 10 else [(part, text)]
    for word in WORDS.get(kind, (kind,)):
        if word.encode() == text:
            return [(part + 1, b"")]
    return [(part, text)] if any(w.encode().startswith(text) for w in WORDS.get(kind, (kind,))) else []


def string_step(seen: bytes, b: int) -> Any:
    """`seen`: b"" before the quote, b"i" inside, else the beginning of an escape or character; "end" after it."""
    if seen == b"":
        return b"i" if b == 0x22 else None
    if seen == b"i":
        if b == 0x22:
            return "end"
        if b == 0x5C:
            return b"\\"
        if b < 0x20:
            return None
        return b"i" if b < 0x80 else utf8(b"", b)
    if seen[:1] == b"\\":
        text = seen + bytes([b])
        if text in (b'\\"', b"\\\\", b"\\b", b"\\f", b"\\n", b"\\r", b"\\t"):
            return b"i"
        every = [b"\\u00%02x" % c for c in range(32) if c not in (8, 9, 10, 12, 13)]
        return b"i" if text in every else text if any(e.startswith(text) for e in every) else None
    return utf8(seen, b)


def utf8(seen: bytes, b: int) -> Optional[bytes]:
    """The beginning of a character of several bytes, b"i" once it is whole."""
    text = seen + bytes([b])
    try:
        text.decode()
        return b"i"
    except UnicodeDecodeError as error:
        return text if error.reason == "unexpected end of data" else None


def date_prefix(text: bytes) -> bool:
    """Does a date begin so?"""
    for i, c in enumerate(text):
        if (c != 0x2D) if i in (4, 7) else not 0x30 <= c <= 0x39:
            return False
    month = text[5:7]
    if month and (month > b"12" or month == b"00" or month[:1] > b"1"):
        return False
    day = text[8:10]
    if not day:
        return True
    year = int(text[:4])
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    most = b"%02d" % (29 + leap - 1 if month == b"02" else 30 if int(month) in (4, 6, 9, 11) else 31)
    return any(b"%02d" % d <= most and (b"%02d" % d).startswith(day) for d in range(1, 32))


class Machine:
    """The machine over tokens, with what it has found out."""

    def __init__(self, tokens: list):
        self.tokens = tokens
        self.trie: dict = {}
        for data in {t for t in tokens if t}:
            node = self.trie
            for b in data:
                node = node.setdefault(b, {})
            node[-1] = True
        self.after: dict[tuple, frozenset] = {}
        self.steps: dict[tuple, list] = {}

    def by(self, state: tuple, data: bytes) -> set:
        """States after a text."""
        here = {state}
        for b in data:
            here = {t for s in here for t in self.step(s, b)}
        return here

    def step(self, state: tuple, b: int) -> list:
        key = (state, b)
        if key not in self.steps:
            self.steps[key] = step(state, b)
        return self.steps[key]

    def successors(self, state: tuple) -> frozenset:
        """States after any one token."""
        if state not in self.after:
            out: set = set()
            stack = [(self.trie, frozenset([state]))]
            while stack:
                node, states = stack.pop()
                for b, below in node.items():
                    if b == -1:
                        out |= states
                        continue
                    moved = frozenset(t for s in states for t in self.step(s, b))
                    if moved:
                        stack.append((below, moved))
            self.after[state] = frozenset(out)
        return self.after[state]

    def layers(self, slots: list) -> tuple[list, list]:
        """Forward and backward sets of states around each slot; None is a masked slot."""
        forward: list = [{(0, b"")}]
        for t in slots:
            forward.append({u for s in forward[-1] for u in (self.successors(s) if t is None
                                                             else self.by(s, self.tokens[t]))})
        backward: list = [{s for s in forward[-1] if s == (len(PARTS), b"")}]
        for i in range(len(slots) - 1, -1, -1):
            t = slots[i]
            backward.append({s for s in forward[i]
                             if (self.successors(s) if t is None else self.by(s, self.tokens[t])) & backward[-1]})
        return forward, backward[::-1]


def run(count: int = 400, seed: int = 0) -> bool:
    """Propose `count` tokens in each of J1-h4 and J1-h8; prints and returns whether the bar holds."""
    import structgen as sg
    from structgen.diffusion import Canvas

    data = json.loads((benchdata._root() / "diffusion-cases.json").read_text(encoding="utf-8"))
    tokens, _, eos = benchdata.token_bytes()
    vocabulary = sg.Vocabulary.load(benchdata.tokenizer_dir())
    compiled = sg.compile(sg.JsonSchema(data["schemas"]["J1"], extra="closed", whitespace="json.dumps",
                                        escapes="minimal", numbers="plain"), vocabulary)
    machine = Machine([t for t in tokens])
    cases = {c["name"]: c["token_ids_llama3"] for c in data["cases"]}
    plausible = sorted({t for name, ids in cases.items() for t in ids if t is not None})
    rng = random.Random(seed)
    good = True
    print(f"dead proposals: {count} a case, drawn from {len(plausible)} tokens of all documents")
    for name in ("J1-h4", "J1-h8"):
        slots = cases[name]
        forward, backward = machine.layers(slots)
        masked = [i for i, t in enumerate(slots) if t is None]
        canvas = Canvas(compiled, len(slots))
        canvas.set_all(slots)
        masks = dict(zip(masked, canvas.masks()))
        dead = live = accepted = rejected = disagree = 0
        for _ in range(count):
            slot, token = rng.choice(masked), rng.choice(plausible)
            alive = any(machine.by(s, machine.tokens[token]) & backward[slot + 1] for s in forward[slot])
            canvas.set(slot, token)
            says = canvas.feasible()
            canvas.set(slot, None)
            disagree += says != bool(masks[slot][token])
            live, dead = live + alive, dead + (not alive)
            accepted, rejected = accepted + (says and not alive), rejected + (alive and not says)
        print(f"  {name}: dead {dead}, of them accepted {accepted} (published method {100 * PUBLISHED:.1f} %); "
              f"live {live}, of them rejected {rejected}; masks that differ from feasibility {disagree}")
        good &= accepted == rejected == disagree == 0 and dead > 0 and live > 0
    print("  bar (accepted 0, rejected 0):", "met" if good else "NOT MET")
    return good
