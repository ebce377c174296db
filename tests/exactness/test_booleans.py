"""``not``, ``oneOf`` and ``if`` at any depth: verdicts against ``jsonschema``, masks against the reference engine.

The schemas are made so that branches overlap and complements are needed;
values and texts stay small, so that both verdicts are common.
"""

from __future__ import annotations

import json
import random

import pytest

from bench.oracle import Oracle
from structgen.decoding.compiled import Compiled
from structgen.errors import LimitError, UnsatisfiableSchema, UnsupportedSchema
from structgen.frontends.json_schema import lower
from structgen.grammar.ir import Options
from structgen.reference import ReferenceMatcher
from tests.support.boolean_schemas import boolean_schema, small_value
from tests.support.ir_validate import accepts

from .pairs import mask_of, pick, vocabulary


def lowered(schema, **options):
    """The grammar; None where a limit or a gap that is named stands against it."""
    try:
        return lower(schema, Options(**options))
    except (LimitError, UnsupportedSchema):
        return None


@pytest.mark.parametrize("part", range(6))
def test_verdicts_are_those_of_jsonschema(part):
    taken = valid = 0
    for case in range(part, 600, 6):
        rng = random.Random(f"boolean {case}")
        schema = boolean_schema(rng)
        oracle = Oracle(json.dumps(schema))
        values = [small_value(rng) for _ in range(30)]
        try:
            grammar = lowered(schema, order="any")
        except UnsatisfiableSchema:
            assert not any(oracle.check(json.dumps(v)).valid for v in values), schema
            continue
        if grammar is None:
            continue
        taken += 1
        for value in values:
            expected = oracle.check(json.dumps(value)).valid
            valid += expected
            assert accepts(grammar, grammar.root, value) == expected, (schema, value)
    assert taken >= 75 and valid >= 500


@pytest.mark.parametrize("part", range(4))
def test_a_value_is_in_a_schema_or_in_its_complement(part):
    """The algebra alone: v in S xor v in not S, as normal forms say."""
    for case in range(part, 240, 4):
        rng = random.Random(f"complement {case}")
        schema = boolean_schema(rng, 2)
        grammars = []
        for s in (schema, {"not": schema}, {"not": {"not": {"not": schema}}}):
            try:
                grammars.append(lowered({"anyOf": [{"type": "array", "maxItems": 0}, s]}, order="any"))
            except UnsatisfiableSchema:
                grammars.append(None)
        if None in grammars:
            continue
        for _ in range(20):
            value = small_value(rng)
            verdicts = [accepts(g, g.root, value) for g in grammars]
            if value != []:
                assert verdicts[0] != verdicts[1] and verdicts[1] == verdicts[2], (schema, value)


def compare(schema, options: Options, k: int, seed: str, steps: int) -> bool:
    """One walk, every mask against every token tried; False when the schema is not taken."""
    vocab = vocabulary(k)
    try:
        if lowered(schema, order=options.order) is None:
            return False
    except UnsatisfiableSchema:
        return False
    fast = Compiled(lower(schema, options), vocab).matcher()
    slow = ReferenceMatcher(lower(schema, options), vocab)
    rng = random.Random(seed)
    for step in range(steps):
        got, expected = mask_of(fast, vocab.size), slow.allowed()
        show = [vocab.token_bytes(t) for t in sorted(got ^ expected)][:20]
        assert got == expected, (schema, options, slow.text, show, "wrongly allowed" if got - expected else "refused")
        assert expected and fast.can_end() == slow.can_end(), (schema, options, slow.text)
        token = pick(rng, expected, vocab, step > steps // 2)
        fast.accept(token)
        slow.accept(token)
        if token in vocab.eos_ids:
            break
    return True


@pytest.mark.parametrize("part", range(8))
def test_masks_are_those_of_the_reference(part):
    taken = 0
    for case in range(part, 160, 8):
        rng = random.Random(f"masks {case}")
        schema = {"type": "object", **schema} if isinstance(schema := boolean_schema(rng), dict) else schema
        options = Options(order=rng.choice(["any", "schema"]),
                          whitespace=rng.choice(["compact", "compact", "flexible"]))
        taken += compare(schema, options, case % 7, f"walk {case}", 12)
    assert taken >= 12
