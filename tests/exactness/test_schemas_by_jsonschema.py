"""Normal form and reference engine against ``jsonschema``, a validator not ours.

Random values, spelt in random ways, must get the verdict of ``jsonschema``;
random walks of the reference engine must end in texts it calls valid.
"""

from __future__ import annotations

import json
import random
import re

import pytest

from bench.oracle import Oracle
from structgen.errors import UnsatisfiableSchema, UnsupportedSchema
from structgen.frontends.json_schema import lower
from structgen.grammar.ir import Options
from structgen.reference import ReferenceMatcher
from tests.support.random_schemas import TABLE, random_schema, random_value

BYTES = ([bytes([b]) for b in range(256)] + [None], [256])
N = 190
HUGE = re.compile(rb"[eE][-+]?\d{5}")


def schema_of(case: int):
    return TABLE[case] if case < len(TABLE) else random_schema(random.Random(f"schema {case}"))


def spelling(value, rng: random.Random) -> str:
    """`value` as JSON text, with some of the freedom that JSON gives."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.3, indent=rng.choice([None, None, 1]),
                      separators=rng.choice([None, (",", ":")]))
    return text


def accepted(relation, data: bytes) -> bool:
    configs = relation.start()
    for b in data:
        configs = relation.step(configs, b)
        if not configs:
            return False
    return relation.accepts(configs)


def closing_walk(relation, rng: random.Random, limit: int = 400) -> bytes | None:
    """A text of the language: random live bytes, then ever more often closing ones."""
    configs, out = relation.start(), bytearray()
    while True:
        if relation.accepts(configs) and rng.random() < 0.3:
            return bytes(out)
        hurry = len(out) > limit / 10
        pool = list(b'"}]:,0123456789nulltruefalse{[') if hurry else list('abc"}]:,{[0123 -.\\uén'.encode())
        rng.shuffle(pool)
        if hurry:
            first = b'"}]' if rng.random() < 0.5 else b'}]n"'
            pool.sort(key=lambda b: first.find(b) % 99)
        for b in pool + rng.sample(range(256), 256):
            after = relation.step(configs, b)
            if after:
                break
        else:
            assert relation.accepts(configs), f"dead end after {bytes(out)!r}"
            return bytes(out)
        configs = after
        out.append(b)
        if len(out) > limit:        # alive, but this clumsy walk finds no way out
            return None


@pytest.mark.parametrize("part", range(10))
def test_verdicts_and_walks(part):
    finished = 0
    for case in range(part, N, 10):
        schema = schema_of(case)
        rng = random.Random(f"values {case}")
        oracle = Oracle(json.dumps(schema))
        values = [random_value(rng) for _ in range(25)]
        try:
            grammar = lower(schema, Options(order="any"))
        except UnsatisfiableSchema:
            assert not any(oracle.check(json.dumps(v)).valid for v in values), schema
            continue
        except UnsupportedSchema:
            continue
        relation = ReferenceMatcher(grammar, BYTES).relation
        for value in values:
            text = spelling(value, rng)
            assert accepted(relation, text.encode()) == oracle.check(text).valid, (schema, text)
        for _ in range(3):
            text = closing_walk(relation, rng)
            if text is None or HUGE.search(text):      # beyond what decimal reads
                continue
            finished += 1
            verdict = oracle.check(text)
            assert verdict.valid or verdict.explained, (schema, text, verdict)
    assert finished >= 25
