"""Arrays that count their items or have them differ.

Finite languages are listed with the help of ``jsonschema`` alone, and every
prefix must allow exactly the bytes that one of the texts goes on with; random
walks compare masks with the reference engine; random arrays get the verdict of
``jsonschema``; and what :meth:`without` leaves of a node is checked value by
value.
"""

from __future__ import annotations

import json
import random
from itertools import permutations, product

import pytest

from bench.oracle import Oracle
from structgen.decoding.compiled import Compiled
from structgen.errors import MatcherError, UnsatisfiableSchema, UnsupportedSchema
from structgen.frontends.json_schema import lower
from structgen.grammar.arrays import canonical
from structgen.grammar.ir import Options
from structgen.reference import ReferenceMatcher
from tests.support.ir_validate import accepts, same
from tests.support.random_schemas import random_schema, random_value

from .pairs import mask_of, pick, vocabulary

COMPACT = Options(order="any", whitespace="compact", escapes="minimal")
SCALARS = ["a", "ab", "b", None, True, False]
DEEP = [[], ["a"], ["a", "b"], {}, {"a": True}, {"a": True, "b": None}, {"b": None, "a": False}, [["a"]]]


def finite_schema(rng: random.Random):
    """A schema of arrays of at most three of a few values, and these values."""
    universe = rng.sample(SCALARS, rng.randint(2, 4)) + rng.sample(DEEP, rng.choice([0, 0, 1, 2, 3]))
    some = lambda k: {"enum": rng.sample(universe, min(k, len(universe)))}      # noqa: E731
    kind = lambda: rng.choice([some(1), some(2), some(3), {"type": "string"}, {"type": "array"},      # noqa: E731
                               {"type": "object"}, {"required": ["a"]}, {"contains": {"const": "a"}}, {"minItems": 1}])
    schema = {"type": "array", "items": {"enum": universe}, "maxItems": rng.randint(1, 3)}
    if rng.random() < 0.7:
        schema["uniqueItems"] = True
    if rng.random() < 0.4:
        schema["prefixItems"] = [kind() for _ in range(rng.randint(1, 3))]
        schema["prefixItems"] = [{"allOf": [p, {"enum": universe}]} for p in schema["prefixItems"]]
    if rng.random() < 0.4:
        schema["minItems"] = rng.randint(0, schema["maxItems"])
    for place in rng.choice([[schema], [schema], [{}, {}]]):
        if rng.random() < 0.6:
            place["contains"] = kind()
            if rng.random() < 0.5:
                place["minContains"] = rng.randint(0, 2)
            if rng.random() < 0.4:
                place["maxContains"] = rng.randint(0, 2)
            if place is not schema:
                schema.setdefault("allOf", []).append(place)
    if rng.random() < 0.2:
        schema["not"] = rng.choice([{"contains": kind()}, {"items": kind()}, {"prefixItems": [kind(), kind()]},
                                    {"contains": kind(), "minContains": 2}])
    return schema, universe


def spellings(value) -> list[str]:
    """Compact texts of a value, keys in any order."""
    if isinstance(value, list):
        return ["[" + ",".join(p) + "]" for p in product(*map(spellings, value))]
    if isinstance(value, dict):
        return ["{" + ",".join(f"{json.dumps(k)}:{t}" for (k, _), t in zip(order, texts)) + "}"
                for order in permutations(value.items()) for texts in product(*(spellings(v) for _, v in order))]
    return [json.dumps(value)]


@pytest.mark.parametrize("part", range(8))
def test_every_prefix_of_finite_languages(part):
    checked = 0
    for case in range(part, 320, 8):
        rng = random.Random(f"finite {case}")
        schema, universe = finite_schema(rng)
        oracle = Oracle(json.dumps(schema))
        following: dict[bytes, set] = {}
        for n in range(4):
            for value in product(universe, repeat=n):
                if oracle.check(json.dumps(value)).valid:
                    for text in spellings(list(value)):
                        data = text.encode()
                        for i in range(len(data)):
                            following.setdefault(data[:i], set()).add(data[i])
                        following.setdefault(data, set()).add(-1)
        try:
            grammar = lower(schema, COMPACT)
        except UnsatisfiableSchema:
            assert not following, schema
            continue
        except UnsupportedSchema:
            continue
        assert following, schema
        compiled = Compiled(grammar, vocabulary(0))
        checked += 1
        for prefix in rng.sample(sorted(following), min(len(following), 120)):
            m = compiled.matcher()
            m.accept_bytes(prefix)
            assert set(m.expected_bytes()) | ({-1} if m.can_end() else set()) == following[prefix], (schema, prefix)
        # ... and the shortest text is one of them
        shortest = min(len(p) for p, after in following.items() if -1 in after)
        assert -1 in following[compiled.matcher().shortest_completion()], schema
        assert len(compiled.matcher().shortest_completion()) >= shortest
    assert checked > 20


def array_schema(rng: random.Random):
    """An array schema, most of infinite languages."""
    schema = {"type": "array"}
    if rng.random() < 0.7:
        schema["items"] = random_schema(rng, rng.choice([0, 0, 1, 2]))
    if rng.random() < 0.25:
        schema["prefixItems"] = [random_schema(rng, 0) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.75:
        schema["uniqueItems"] = True
    if rng.random() < 0.35:
        schema["contains"] = random_schema(rng, 0)
    if rng.random() < 0.25:
        schema["minContains"] = rng.randint(0, 2)
    if rng.random() < 0.3:
        schema["minItems"] = rng.randint(1, 3)
    return schema


@pytest.mark.parametrize("part", range(8))
def test_masks_equal_brute_force(part):
    compared = 0
    for case in range(part, 240, 8):
        rng = random.Random(f"arrays {case}")
        schema = array_schema(rng)
        options = Options(order="any", whitespace=rng.choice(["compact", "compact", "flexible", "json.dumps"]))
        vocab = vocabulary(case % 7)
        try:
            fast, slow = (
                Compiled(lower(schema, options), vocab).matcher(),
                ReferenceMatcher(lower(schema, options), vocab),
            )
        except (UnsatisfiableSchema, UnsupportedSchema):
            continue
        compared += 1
        for step in range(14):
            expected = slow.allowed()
            got = mask_of(fast, vocab.size)
            assert got == expected, (schema, slow.text, [vocab.token_bytes(t) for t in got ^ expected])
            token = pick(rng, expected, vocab, step % 3 != 0)
            fast.accept(token)
            slow.accept(token)
            if token in vocab.eos_ids:
                break
        if rng.random() < 0.5 and not fast.is_finished:     # back and forth in the history
            before = mask_of(fast, vocab.size)
            fork = fast.fork()
            fast.rollback(min(3, fast.n_tokens))
            mask_of(fast, vocab.size)
            assert mask_of(fork, vocab.size) == before
    assert compared > 15


@pytest.mark.parametrize("part", range(4))
def test_verdicts_of_jsonschema(part):
    valid = 0
    for case in range(part, 160, 4):
        rng = random.Random(f"verdicts {case}")
        schema = array_schema(rng)
        try:
            compiled = Compiled(lower(schema, Options(order="any")), vocabulary(0))
        except (UnsatisfiableSchema, UnsupportedSchema):
            continue
        oracle = Oracle(json.dumps(schema))
        pool = [random_value(rng, 2) for _ in range(4)]
        pool += [1, 1.0, "a", [1], [1.0], {"a": 1, "b": 2}, {"b": 2.0, "a": 1}]
        for _ in range(25):
            text = json.dumps([rng.choice(pool) for _ in range(rng.randint(0, 5))], indent=rng.choice([None, 1]))
            m = compiled.matcher()
            try:
                m.accept_bytes(text.encode())
                got = m.can_end()
            except MatcherError:
                got = False
            assert got == oracle.check(text).valid, (schema, text)
            valid += got
    assert valid > 50


def test_values_left():
    """What `without` leaves: exactly the values of the node that equal none of those taken."""
    for case in range(150):
        rng = random.Random(f"left {case}")
        schema = {"items": random_schema(rng, rng.choice([0, 1, 2])), "uniqueItems": True, "type": "array"}
        pool = [random_value(rng) for _ in range(30)]
        try:
            g = lower(schema).fork()
        except (UnsatisfiableSchema, UnsupportedSchema):
            continue
        alts = g.node(g.root).arrays
        node = alts[0].items if alts else -1
        if node < 0:
            continue
        taken = [v for v in rng.sample(pool, 6) if accepts(g, node, v)]
        left = g.without(node, taken)
        for v in pool:
            new = accepts(g, node, v) and not any(same(v, t) for t in taken)
            assert accepts(g, left, v) == new, (schema, taken, v)
            assert all((canonical(v) == canonical(t)) == same(v, t) for t in pool)
        listed = g.values(node, 20)
        if listed is not None:
            assert all(accepts(g, node, v) for v in listed)
            assert g.without(node, listed) == -1, (schema, listed)
            if listed:
                assert g.without(node, listed[1:]) >= 0


def test_the_text_of_an_item_need_not_be_one_token():
    vocab = vocabulary(1)
    compiled = Compiled(lower({"type": "array", "uniqueItems": True}, Options(order="any")), vocab)
    for first, second in [('"a\\"],[ b"', '"a\\u0022],[ b"'), ('{"k": [1, {"x": null}]}', '{"k":[1.0,{"x":null}]}'),
                          ("1.50", "1.5"), ("-0", "0.0"), ('[["a,b"], "]"]', '[["a,b"],"]"]'), ("1e2", "100")]:
        for cut in range(1, len(first)):
            m = compiled.matcher()
            m.accept_bytes(f"[{first[:cut]}".encode())
            m.accept_bytes(f"{first[cut:]} , ".encode())
            with pytest.raises(MatcherError):
                m.accept_bytes(f"{second}]".encode())
            m.accept_bytes(b"null ,")
            m.accept_bytes(b'"z"]')
            assert m.can_end()


def test_numbers_of_many_digits():
    """They are told apart, if only because those after them are spelled without exponents."""
    compiled = Compiled(lower({"uniqueItems": True}, COMPACT), vocabulary(0))
    for text in [b"[1e99999,2", b"[1e99999,-1.5,10", b'[{"a":1e99999,"b":0},{"a":1,"b":1e99999}', b"[0e99999,1"]:
        m = compiled.matcher()
        m.accept_bytes(text + b"]")
        assert m.can_end()
    for text in [b"[1e99999,10e99998]", b"[[1e99999],[1e99999]]", b"[0e99999,0]", b"[1e9" + b"9" * 5000 + b",1e1]"]:
        with pytest.raises(MatcherError):
            compiled.matcher().accept_bytes(text)
