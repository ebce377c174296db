"""The engine under test and the reference, over one schema and one vocabulary."""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np

from structgen.decoding.compiled import Compiled
from structgen.errors import SchemaError
from structgen.frontends.json_schema import lower
from structgen.grammar.ir import Options
from structgen.reference import ReferenceMatcher
from structgen.tokens.vocabulary import Vocabulary
from tests.support.random_schemas import TABLE, random_schema
from tests.support.tiny_vocabularies import byte_tokens

__all__ = ["N_CASES", "schema_of", "options_of", "vocabulary", "engine", "reference", "mask_of", "pick"]

#: Schemas of the table and generated ones.
N_CASES = 640


@lru_cache(maxsize=None)
def vocabulary(k: int) -> Vocabulary:
    """One of a few small vocabularies that hold every byte, and pieces that straddle lexemes."""
    tokens, eos = byte_tokens(random.Random(f"vocabulary {k}"), extra=(6, 24, 40)[k % 3])
    return Vocabulary.from_tokens(tokens, eos_ids=eos)


def schema_of(case: int):
    """Schema number `case`."""
    return TABLE[case] if case < len(TABLE) else random_schema(random.Random(f"schema {case}"))


def options_of(case: int) -> Options:
    """Options that go with schema number `case`: mostly the defaults, every option now and then."""
    rng = random.Random(f"options {case}")
    return Options(order=rng.choice(["any", "any", "schema"]), extra=rng.choice(["schema"] * 4 + ["closed"]),
                   whitespace=rng.choice(["flexible"] * 4 + ["compact", "json.dumps"]),
                   numbers=rng.choice(["all", "all", "plain"]), escapes=rng.choice(["all", "all", "minimal"]))


def engine(case: int, k: int, options: Options | None = None) -> Compiled | None:
    """The engine under test, None where the front end refuses the schema."""
    try:
        return Compiled(lower(schema_of(case), options or options_of(case)), vocabulary(k))
    except SchemaError:
        return None


def reference(case: int, k: int, options: Options | None = None) -> ReferenceMatcher:
    """The reference for the same question; it lowers the schema for itself."""
    return ReferenceMatcher(lower(schema_of(case), options or options_of(case)), vocabulary(k))


def mask_of(matcher, size: int) -> frozenset[int]:
    """The mask of a matcher as a set; the words beyond it must be 0."""
    row = np.full((1, (size + 31) // 32 + 2), -1, np.int32)
    matcher.fill_bitmask(row)
    ids = np.flatnonzero(np.unpackbits(row.view(np.uint8)[0], bitorder="little"))
    assert not ids.size or ids[-1] < size
    return frozenset(ids.tolist())


def pick(rng: random.Random, allowed, vocab: Vocabulary, hurry: bool) -> int:
    """One of `allowed`; in a hurry rather one that ends or closes something."""
    ids = sorted(allowed)
    ends = [t for t in ids if t in vocab.eos_ids]
    if ends and (len(ends) == len(ids) or rng.random() < 0.15):
        return rng.choice(ends)
    ids = [t for t in ids if t not in vocab.eos_ids]
    roll = rng.random()
    if hurry or roll < 0.4:
        closing = [t for t in ids if vocab.token_bytes(t)[-1:] in (b'"', b"}", b"]")]
        ids = closing or ids
    elif roll < 0.8:
        # plain letters and pieces: a byte above ASCII is allowed nearly everywhere and says little
        plain = [t for t in ids if vocab.token_bytes(t)[0] < 0x80 and vocab.token_bytes(t)[0] >= 0x20]
        longer = [t for t in plain if len(vocab.token_bytes(t)) > 1]
        ids = (longer if rng.random() < 0.5 else plain) or ids
    return rng.choice(ids)
