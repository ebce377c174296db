"""Prefixes behind which every key has been there: masks as the reference engine has them."""

from __future__ import annotations

import random

import numpy as np
import pytest

from structgen.automata.keys_left import many
from structgen.automata.lexer import Lexer
from structgen.decoding.compiled import Compiled
from structgen.decoding.matcher import fill_batch
from structgen.errors import MatcherError
from structgen.frontends.json_schema import lower
from structgen.grammar.ir import Options
from structgen.grammar.strings import Pattern, atom_lang
from structgen.reference import ReferenceMatcher
from structgen.tokens.vocabulary import Vocabulary
from tests.exactness.pairs import mask_of, pick, vocabulary

SCHEMAS = [
    {"type": "object", "propertyNames": {"pattern": "^(a|b+)$"}, "minProperties": 2},
    {"type": "object", "propertyNames": {"pattern": "^(a[bc]?|[bc]+)$"}, "additionalProperties": {"const": 1}},
    {"type": "object", "propertyNames": {"maxLength": 1}, "additionalProperties": {"const": 1}},
    {"type": "object", "propertyNames": {"pattern": "^(\u00e9|\u00ea|b*)$"}, "additionalProperties": {"const": 1}},
    {"type": "object", "propertyNames": {"pattern": "^[^b-z\u0080-\uffff]$"}, "additionalProperties": {"const": 1}},
    {"type": "object", "patternProperties": {"^(ab?|b+)$": {"const": 1}, "^x": {"const": 2}},
     "additionalProperties": False},
    {"type": "object", "properties": {"ab": {"const": 0}, "a": {"const": 3}},
     "patternProperties": {"^(abc?|a|b+)$": {"type": "integer"}, "^(x|aa)$": {"const": 2}},
     "additionalProperties": False},
    {"anyOf": [{"type": "object", "propertyNames": {"pattern": "^(a|b+)$"}, "additionalProperties": {"const": 1}},
               {"type": "object", "propertyNames": {"pattern": "^(a|ab|b+)$"}, "additionalProperties": {"const": 2},
                "required": ["b"]}]},
]
PREFERRED = set(b'abcx",:{0123')


@pytest.mark.parametrize("k", range(len(SCHEMAS)))
def test_masks_where_keys_run_out(k):
    """Walks that prefer keys of few letters; every mask equals the reference's."""
    for order in ("any", "schema"):
        for escapes in ("all", "minimal"):
            options = Options(order=order, escapes=escapes, whitespace="compact")
            vocab = vocabulary(k)
            compiled = Compiled(lower(SCHEMAS[k], options), vocab)
            for seed in range(6):
                rng = random.Random(f"{k} {order} {escapes} {seed}")
                fast, slow = compiled.matcher(), ReferenceMatcher(lower(SCHEMAS[k], options), vocab)
                for _ in range(24):
                    got = mask_of(fast, vocab.size)
                    spanning = {t for t in got if t not in vocab.eos_ids and b"," in vocab.token_bytes(t)}
                    assert got - spanning == mask_of(slow, vocab.size) - spanning, fast.text
                    wanted = [t for t in sorted(got - spanning) if t not in vocab.eos_ids
                              and len(vocab.token_bytes(t)) == 1 and vocab.token_bytes(t)[0] in PREFERRED]
                    token = (rng.choice(wanted) if wanted and rng.random() < 0.9 else
                             pick(rng, got - spanning or got, vocab, False))
                    fast.accept(token)
                    if fast.is_finished:
                        break
                    slow.accept_bytes(vocab.token_bytes(token))


def test_no_way_into_a_prefix_that_is_used_up():
    """Without the check the mask after ``{"a":1,"`` let the key "a" begin again, and nothing could follow it."""
    compiled = Compiled(lower(SCHEMAS[0], Options(order="any")), vocabulary(0))
    m = compiled.matcher()
    m.accept_bytes(b'{"a":1,"')
    assert {compiled.vocabulary.token_bytes(t) for t in m.allowed_tokens()} <= {b"b", b"bb", b"\\", b"bbb"}
    assert m.forced_bytes() in (b"", b"b")


@pytest.mark.parametrize("source,expected", [
    ("^b+$", True), ("^a.*$", True), ("^(a|bc)$", False), ("^[a-z]{20}$", True), ("^(xy)*z$", True),
    ("^[ab]{3}$", False)])
def test_many_words(source, expected):
    lexer = Lexer()
    assert many(lexer, lexer.add_string(atom_lang(Pattern("ecma", source)))) is expected


def test_a_key_repeated_inside_one_token():
    """Tokens that hold the ends of two keys: only their text tells whether the second is new."""
    pieces = [bytes((i,)) for i in range(256)] + [
        b'a":1,"a":', b'a":1,"b":', b'":1,"a":', b'{"a":1,"a":', b'{"a":1,"b":', b'":1,"a', b'":{"a":1},"a":',
        b'a":[],"ab']
    vocab = Vocabulary.from_tokens(pieces + [b"</s>"], eos_ids=[len(pieces)])
    for order in ("any", "schema"):
        for schema in ({"type": "object"}, {"type": "object", "propertyNames": {"maxLength": 1}},
                       {"properties": {"a": {"type": "integer"}}, "type": "object"}):
            compiled = Compiled(lower(schema, Options(order=order)), vocab)
            for text in (b"", b'{"', b'{"a', b'{"b":1,"a', b'{"a":', b'{"b":1,"', b'{"ab":{"'):
                fast, slow = compiled.matcher(), ReferenceMatcher(lower(schema, Options(order=order)), vocab)
                try:
                    slow.accept_bytes(text)
                except MatcherError:
                    continue
                fast.accept_bytes(text)
                got = mask_of(fast, vocab.size)
                assert got == mask_of(slow, vocab.size), (schema, order, text)
                rows = np.zeros((2, (vocab.size + 31) // 32), np.int32)
                fill_batch([fast, fast.fork()], rows)
                for row in rows:
                    bits = np.unpackbits(row.view(np.uint8), bitorder="little")
                    assert frozenset(np.flatnonzero(bits).tolist()) == got
