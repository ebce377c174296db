"""Budget-aware closing and shortest completions, against the reference engine and their own definition."""

from __future__ import annotations

import json
import random

import pytest

from structgen.automata.array_positions import MIXED
from structgen.automata.lexer import Lexer
from structgen.decoding.closing import _NEXT_ITEM, _SPANNING
from structgen.decoding.compiled import Compiled
from structgen.decoding.extra_keys import ExtraKeys
from structgen.errors import BudgetError, LimitError
from structgen.frontends.json_schema import lower
from structgen.grammar.ir import Options
from structgen.grammar.strings import ANY_STRING, Length, Pattern, atom_lang
from structgen.tokens.vocabulary import Vocabulary
from tests.exactness.pairs import engine, mask_of, options_of, pick, reference, schema_of, vocabulary
from tests.support.random_schemas import TABLE

#: Schemas whose completions once were too long, too slow or not there at all.
HARD = [
    {"type": "object", "minProperties": 3},
    {"type": "object", "minProperties": 4, "properties": {"a": {"const": 1}, "": {"const": 2}}},
    {"type": "object", "minProperties": 2, "patternProperties": {"^x-": {"const": 0}},
     "additionalProperties": {"type": "string", "minLength": 30}},
    {"type": "object", "minProperties": 3, "propertyNames": {"pattern": "^(/|\\\\|\n|\"|ab*)$"}},
    {"type": "object", "properties": {n: {"const": 0} for n in "abcd"}, "additionalProperties": False,
     "dependentRequired": {"a": ["b"], "b": ["a"], "c": ["d", "a"], "d": ["c"]}, "minProperties": 1},
    {"type": "object", "properties": {n: {"const": 0} for n in "abcd"}, "additionalProperties": False,
     "dependentRequired": {"a": ["b"], "c": ["d"]}, "minProperties": 3, "maxProperties": 3},
    {"type": "object", "properties": {"b": {"const": 0}, "a": {"const": 0}, "c": {"const": 0}},
     "additionalProperties": False, "minProperties": 2},
    {"type": "object", "properties": {"b": {"const": 0}, "r": {"const": 1}, "a": {"const": 0}, "c": {"const": 0}},
     "required": ["r"], "minProperties": 3},
    {"type": "object", "properties": {f"key{i}": {"type": "integer"} for i in range(90)},
     "required": [f"key{i}" for i in range(0, 90, 3)]},
    {"type": "object", "propertyNames": {"pattern": "^[a-z]{40,60}$"}, "minProperties": 2},
    {"type": "array", "items": {"type": "object", "minProperties": 2}, "minItems": 2},
    {"type": "object", "properties": {"\u0001\u001f": {"const": 1}, "\"\\": {"const": 2}},
     "required": ["\u0001\u001f", "\"\\"]},
    {"type": "object", "patternProperties": {"^.{3,5}$": {"type": "object", "minProperties": 1}},
     "additionalProperties": {"type": "array", "minItems": 3}, "minProperties": 1},
]
N_GENERATED = 190
PARTS = 20


def cases(part: int):
    """(description, compiled) of the schemas of one part, those refused left out."""
    for case in range(len(TABLE) + N_GENERATED):
        if case % PARTS == part:
            compiled = engine(case, case % 6)
            if compiled is not None:
                yield (case, schema_of(case), options_of(case)), compiled
    for k, schema in enumerate(HARD):
        if k % PARTS == part:
            for order in ("any", "schema"):
                options = Options(order=order, whitespace=("flexible", "json.dumps", "compact")[k % 3],
                                  escapes=("all", "minimal")[k % 2])
                yield (schema, options), Compiled(lower(schema, options), vocabulary(k % 6))


def needed(compiled) -> int:
    """U of the start, as `BudgetError` tells it."""
    with pytest.raises(BudgetError) as caught:
        compiled.matcher(max_tokens=0)
    return caught.value.needed


def u_after(matcher, token) -> int:
    """U once `token` is accepted."""
    after = matcher.fork()
    after.accept(token)
    return matcher.compiled.closing(after._arena).tokens_needed(after._node[0])


@pytest.mark.parametrize("part", range(PARTS))
def test_walks_end_within_their_budget(part):
    """From U(start) on, whatever is chosen, no mask is empty and the text is complete in time."""
    for where, compiled in cases(part):
        vocab, least = compiled.vocabulary, needed(compiled)
        with pytest.raises(BudgetError):
            compiled.matcher(max_tokens=least - 1)
        for budget in range(least, least + 6):
            rng = random.Random(f"{where} {budget}")
            m = compiled.matcher(max_tokens=budget)
            for n in range(budget):
                allowed = mask_of(m, vocab.size)
                assert allowed, (where, budget, n, m.text)
                m.accept(rng.choice(sorted(allowed)) if n % 2 else pick(rng, allowed, vocab, False))
                if m.is_finished:
                    break
            assert m.is_finished, (where, budget, m.text)
            again = compiled.matcher()
            again.accept_bytes(m.text)
            assert again.can_end()


@pytest.mark.parametrize("part", range(PARTS))
def test_masks_are_what_the_rule_says(part):
    """A token is in the mask exactly when it is allowed and leaves room for what its state needs."""
    for where, compiled in cases(part):
        rng, vocab = random.Random(f"rule {where}"), compiled.vocabulary
        m = compiled.matcher(max_tokens=needed(compiled) + rng.randrange(12))
        for _ in range(6):
            got = mask_of(m, vocab.size)
            free = m.fork()
            free._closing = None
            left = m.max_tokens - m.n_tokens
            for t in rng.sample(sorted(mask_of(free, vocab.size)), min(40, len(mask_of(free, vocab.size)))):
                if t in vocab.eos_ids:
                    assert t in got
                elif _SPANNING.search(vocab.token_bytes(t)) or free._arena.unique and _NEXT_ITEM.search(
                        vocab.token_bytes(t)):
                    assert t not in got or u_after(m, t) < left, (where, m.text, vocab.token_bytes(t))
                else:
                    fits = u_after(m, t) < left
                    assert fits == (t in got), (where, m.text, vocab.token_bytes(t), u_after(m, t), left)
            m.accept(pick(rng, got, vocab, False))
            if m.is_finished:
                break


@pytest.mark.parametrize("part", range(PARTS))
def test_suffixes_of_shortest_completions(part):
    """What is left of the shortest completion after some of it is the shortest completion there."""
    for where, compiled in cases(part):
        rng, vocab = random.Random(f"suffix {where}"), compiled.vocabulary
        m = compiled.matcher()
        for _ in range(4):
            rest = m.shortest_completion()
            cuts = {0, len(rest), *(rng.randrange(len(rest) + 1) for _ in range(4))}
            for cut in cuts:
                probe = m.fork()
                probe.accept_bytes(rest[:cut])
                if probe._arena.item_kinds & MIXED:
                    # what an item leaves the others is known at its end only: a short text, not the shortest
                    probe.accept_bytes(probe.shortest_completion())
                    assert probe.can_end(), (where, m.text, rest[:cut])
                    continue
                assert probe.shortest_completion() == rest[cut:], (where, m.text, rest[:cut])
                assert cut < len(rest) or probe.can_end()
            m.accept(pick(rng, mask_of(m, vocab.size), vocab, False))
            if m.is_finished:
                break


def test_shortest_completions_are_the_least():
    """Equal to breadth-first search over the bytes of the reference engine, wherever that can finish."""
    compared = 0
    for case in range(len(TABLE) + 90):
        compiled = engine(case, 0)
        if compiled is None:
            continue
        rng, vocab = random.Random(f"least {case}"), compiled.vocabulary
        fast, slow = compiled.matcher(), reference(case, 0)
        slow.fuel = 80
        for _ in range(4):
            got = fast.shortest_completion()
            if len(got) <= 12:
                try:
                    expected = slow.shortest_completion()
                except LimitError:
                    pass
                else:
                    assert got == expected, (case, schema_of(case), options_of(case), fast.text)
                    compared += 1
            token = pick(rng, mask_of(fast, vocab.size), vocab, False)
            fast.accept(token)
            slow.accept_bytes(vocab.token_bytes(token) if token not in vocab.eos_ids else b"")
            if fast.is_finished:
                break
    assert compared >= 150, compared


def test_undeclared_keys_seen_are_not_proposed_again():
    compiled = Compiled(lower({"type": "object", "minProperties": 3, "additionalProperties": {"type": "null"}},
                              Options(order="any")), vocabulary(0))
    m = compiled.matcher()
    assert m.shortest_completion() == b'{" ":null,"!":null,"":null}'
    m.accept_bytes(b'{" ":null,"')
    assert m.shortest_completion() == b'!":null,"":null}'
    m.accept_bytes(b"!")
    assert m.shortest_completion() == b'":null,"":null}'
    m.accept_bytes(b"!")
    assert m.shortest_completion() == b'":null,"":null}'


def test_many_undeclared_keys():
    """More keys than the tables of keys seen begin with."""
    compiled = Compiled(lower({"type": "object", "minProperties": 200, "additionalProperties": {"const": 0}},
                              Options(order="any")), vocabulary(1))
    m = compiled.matcher()
    for i in range(150):
        m.accept_bytes((b"," if i else b"{") + b'"%d":0' % i)
    rest = m.shortest_completion()
    m.accept_bytes(rest)
    assert m.can_end() and m.text.count(b":0") == 200


@pytest.mark.parametrize("escapes", ["all", "minimal"])
@pytest.mark.parametrize("prefix", [b"", b"\\", b"\\u00", b"\\u001", b"\\ud83d", b"\\ud83d\\", b"\\ud83d\\ud", b"\xc3"])
def test_shortest_keys_from_inside_a_character(escapes, prefix):
    """What follows half an escape may be any code point, in whatever form is left for it."""
    for lang in (atom_lang(Pattern("ecma", "^[^a]{1,3}$")), atom_lang(Length(1, 3)), ANY_STRING):
        lexer = Lexer(escapes=escapes)
        start = lexer.add_string(lang)
        q = lexer.run(start, prefix)
        if q < 0:
            assert escapes == "minimal" and b"\\ud" in prefix
            continue
        label = lexer.label(lexer.run(start, b"bb"))
        words = ExtraKeys(lexer).words(-1, q, -1, label, 4)
        assert words[0] == lexer.shortest(q) and words == sorted(words, key=lambda w: (len(w), w))
        assert len({json.loads(b'"' + prefix + w + b'"') for w in words}) == 4


@pytest.mark.parametrize("order", ["any", "schema"])
def test_alternatives_that_become_one(order):
    """The completion of few tokens is kept to where threads merge and only the one of few bytes is known."""
    schema = {"anyOf": [
        {"type": "object", "properties": {"k": {"const": 0}, "z": {"const": 1}}, "required": ["k", "z"],
         "additionalProperties": False},
        {"type": "object", "properties": {"k": {"const": 0}, "longer": {"const": 1}}, "required": ["k", "longer"],
         "additionalProperties": False}]}
    tokens = [bytes([b]) for b in range(256)] + [b'{"', b',"longer":1}', b'k":', b""]
    vocabulary = Vocabulary.from_tokens(tokens, eos_ids=[len(tokens) - 1])
    compiled = Compiled(lower(schema, Options(order=order, whitespace="compact")), vocabulary)
    least = needed(compiled)
    for seed in range(200):
        rng = random.Random(seed)
        matcher = compiled.matcher(max_tokens=least + seed % 4)
        while not matcher.is_finished:
            allowed = matcher.allowed_tokens().tolist()
            assert allowed, matcher.text
            matcher.accept(rng.choice(allowed))
        json.loads(matcher.text)
