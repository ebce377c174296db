"""Canvases under context-free constraints, against brute force over every assignment."""

from __future__ import annotations

import itertools
import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import pytest

import structgen as sg
from structgen.diffusion import Canvas
from structgen.diffusion.cfg_canvas import CfgCanvas
from structgen.errors import BudgetError, GrammarError, MatcherError, ModelError, StructgenError, UnsupportedSchema

from structgen.frontends.lark import read_lark
from structgen.reference.cfg import accepts
from tests.diffusion.cfg_cases import Constraint, Enumerated
from tests.sampling.doubles import chi_squared

TREE = {"$ref": "#/$defs/v", "$defs": {"v": {"anyOf": [
    {"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/v"}},
    {"type": "object", "properties": {"a": {"$ref": "#/$defs/v"}, "b": {"type": "boolean"}, "c": {"const": "é"}},
     "required": ["b"]}]}}}
VOCABULARY = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), b'{"', b'":', b'"}', b"[[", b"]]", b"},{",
                                        b'{"a":[', b'],"b":tr', b"ue}", b"\xc3\xa9\"", None], eos_ids=[266])


def tree(**options):
    return sg.compile(sg.JsonSchema(TREE, extra="closed", **{"whitespace": "compact", "numbers": "plain", **options}),
                      VOCABULARY)


@pytest.mark.parametrize("mode", ["scannerless", "dynamic", "dynamic_complete", "basic", "contextual"])
def test_everything_by_brute_force(mode):
    """Feasibility, every mask, maxima, sums: `python -m tests.diffusion.brute` runs thousands."""
    counts = [0, 0, 0]
    for seed in range(60):
        for k, n in enumerate(check(mode, seed)):
            counts[k] += n
    seen, feasible, summed = counts
    assert seen > 20 and 0 < feasible < seen and summed > 10


def check(mode: str, seed: int, canvases: int = 2) -> tuple[int, int, int]:
    """One random grammar: canvases seen, feasible ones, those with sums."""
    case = Enumerated(random.Random(f"{mode}{seed}"), mode)
    if case.grammar is None:
        return 0, 0, 0
    constraint = Constraint(case.grammar, case.vocabulary)
    generator = np.random.default_rng(seed)
    seen = feasible = summed = 0
    for _ in range(canvases):
        fixed = case.canvas()
        truth = case.assignments(fixed)
        padding = case.rng.choice(("free", "scored"))
        try:
            canvas = Canvas(constraint, len(fixed), padding=padding)
        except BudgetError:
            assert not truth
            continue
        except GrammarError as err:
            assert "no text" in str(err)
            return 0, 0, 0
        canvas.set_all(fixed)
        seen, feasible = seen + 1, feasible + bool(truth)
        assert canvas.feasible() == bool(truth), (seed, fixed)
        masks = canvas.masks()
        masked = [i for i, t in enumerate(fixed) if t < 0]
        for r, i in enumerate(masked):
            assert set(np.flatnonzero(masks[r])) == {x[i] for x in truth}, (seed, fixed, i)
        logp = np.log(generator.dirichlet(np.ones(case.vocabulary.size), len(fixed)))
        if not truth:
            with pytest.raises(MatcherError):
                canvas.argmax(logp)
            continue
        single = {i: int(np.flatnonzero(m)[0]) for i, m in zip(masked, masks) if m.sum() == 1}
        assert single.items() >= canvas.forced().items()
        scores = {x: case.weight(x, fixed, logp, padding == "scored") for x in truth}
        tokens, best = canvas.argmax(logp)
        assert math.isclose(best, max(scores.values()), abs_tol=1e-9)
        assert math.isclose(scores[tuple(tokens)], best, abs_tol=1e-9)
        try:
            log_z = canvas.log_z(logp)
        except GrammarError as err:
            assert "unambiguous" in str(err)
            continue
        summed += 1
        z = sum(map(math.exp, scores.values()))
        assert abs(log_z - math.log(z)) < 1e-9
        exact = np.zeros((len(masked), case.vocabulary.size))
        for x, s in scores.items():
            for r, i in enumerate(masked):
                exact[r, x[i]] += math.exp(s) / z
        np.testing.assert_allclose(canvas.marginals(logp), exact, atol=1e-9)
        assert tuple(canvas.sample(logp, generator)) in scores
        joint = canvas.joint(logp)
        assert scores[tuple(np.where(canvas.tokens < 0, _spread(joint, len(fixed)), canvas.tokens))] <= best + 1e-9
        np.testing.assert_allclose(joint.confidence, exact[np.arange(len(masked)), joint.tokens], atol=1e-9)
    return seen, feasible, summed


def _spread(joint, length):
    out = np.zeros(length, np.int64)
    out[joint.slots] = joint.tokens
    return out


def test_reductions_into_a_state_of_another_lexer():
    """Which terminals compete is settled by the state before any reduction on the symbol."""
    text = "r0: T1 T0 | r0 r2 | T2 T1 T2\nr2: T2 | r2 T0 r0 T1 r2\nT0: /a(bc)?/\nT1: /c[ab]*c/\nT2: /[bc]/\n"
    vocabulary = sg.Vocabulary.from_tokens([b"cab", b"bc", b"ba", None], eos_ids=[3])
    grammar = read_lark(text, parser="lalr", lexer="contextual", start="r0")
    canvas = Canvas(Constraint(grammar, vocabulary), 10)
    canvas.set_all([0, 0, 2, None, 2, None, None, None, None, 1])
    truth = {int(i): set() for i in canvas.masked}
    for x in itertools.product(range(3), repeat=5):
        tokens = [0, 0, 2, x[0], 2, *x[1:], 1]
        if accepts(grammar, "".join(("cab", "bc", "ba")[t] for t in tokens)):
            for i in truth:
                truth[i].add(tokens[i])
    assert truth[3]
    assert {i: set(np.flatnonzero(m)) for i, m in zip(canvas.masked, canvas.masks())} == truth


def test_draws_follow_the_law():
    tested = 0
    for mode, seed in [(m, s) for s in range(40) for m in ("basic", "scannerless", "contextual")]:
        case = Enumerated(random.Random(f"{mode}{seed}"), mode)
        if case.grammar is None:
            continue
        fixed = case.canvas()
        truth = case.assignments(fixed)
        if not 3 <= len(truth) <= 40:
            continue
        canvas = Canvas(Constraint(case.grammar, case.vocabulary), len(fixed))
        canvas.set_all(fixed)
        generator = np.random.default_rng(seed)
        logp = np.log(generator.dirichlet(np.ones(case.vocabulary.size), len(fixed)))
        try:
            drawn = [tuple(int(t) for t in canvas.sample(logp, generator)) for _ in range(800)]
        except GrammarError:
            continue
        assert chi_squared(drawn, {x: math.exp(case.weight(x, fixed, logp)) for x in truth}) > 1e-5
        tested += 1
        if tested == 4:
            break
    assert tested == 4


def test_commits_never_get_stuck():
    compiled = tree()
    rng, generator = random.Random(7), np.random.default_rng(7)
    canvas = Canvas(compiled, 11)
    assert isinstance(canvas, CfgCanvas)
    for step in range(120):
        slot = rng.randrange(11)
        if canvas.tokens[slot] >= 0 and rng.random() < 0.5:
            canvas.set(slot, None)
        else:
            allowed = np.flatnonzero(canvas.masks([slot])[0])
            assert len(allowed)
            canvas.set(slot, int(rng.choice(list(allowed))))
        assert canvas.feasible()
        if step % 6 == 0:
            fresh = Canvas(compiled, 11)
            fresh.set_all(list(canvas.tokens))
            assert fresh.feasible() and (fresh.masks() == canvas.masks()).all()
    logp = np.log(generator.dirichlet(np.ones(VOCABULARY.size), 11))
    tokens, _ = canvas.argmax(logp)
    for slot in rng.sample(list(canvas.masked), len(canvas.masked)):
        canvas.set(slot, int(tokens[slot]))
        assert canvas.feasible()
    sg.validate(TREE, json.loads(text_of(canvas.tokens)))


def text_of(tokens) -> str:
    return b"".join(VOCABULARY.token_bytes(int(t)) or b"" for t in tokens if t != 266).decode()


@pytest.mark.parametrize("whitespace", ["compact", "json.dumps"])
def test_recursive_schemas(whitespace):
    """Texts by the matcher of the same constraint: whole ones are feasible, changed ones as the matcher says."""
    compiled, rng = tree(whitespace=whitespace, numbers="all", escapes="all"), random.Random(whitespace)
    seen = [0, 0]
    for _ in range(40):
        matcher, data = compiled.matcher(), []
        for _ in range(rng.randint(1, 14)):
            allowed = [t for t in matcher.allowed_tokens().tolist() if t != 266]
            if not allowed:
                break
            data.append(rng.choice(allowed))
            matcher.accept(data[-1])
        data += list(matcher.shortest_completion())
        if rng.random() < 0.6:
            data[rng.randrange(len(data))] = rng.choice(data)
        matcher, good = compiled.matcher(), True
        for t in data:
            good = good and matcher.try_accept(t)
        good = good and matcher.can_end()
        canvas = Canvas(compiled, max(len(data) + rng.randint(0, 2), 3))
        for i, t in enumerate(data):
            canvas.set(i, t)
        for i in range(len(data), canvas.length):
            canvas.set(i, 266)
        assert canvas.feasible() == good, text_of(data)
        seen[good] += 1
        if good:
            slot = rng.randrange(len(data))
            masks = canvas.masks([slot])[0]
            assert masks[data[slot]]
            for t in rng.sample(range(266), 12) + rng.sample(data, min(8, len(data))):
                other = [*data[:slot], t, *data[slot + 1:]]
                matcher = compiled.matcher()
                assert masks[t] == (all(matcher.try_accept(x) for x in other) and matcher.can_end())
    assert min(seen) > 3


def test_arrays_and_objects_of_recursive_schemas():
    schema = {"$ref": "#/$defs/v", "$defs": {"v": {"anyOf": [
        {"type": "null"},
        {"type": "array", "prefixItems": [{"type": "boolean"}], "items": {"$ref": "#/$defs/v"}, "minItems": 2,
         "maxItems": 3},
        {"type": "object", "properties": {"k": {"$ref": "#/$defs/v"}, "l": {"$ref": "#/$defs/v"}, "m": False}}]}}}
    compiled = sg.compile(sg.JsonSchema(schema, extra="closed", whitespace="compact"), VOCABULARY)
    valid = ["null", "[true,null]", "[true,null,{}]", '{"k":null,"l":{}}', '{"l":[false,{"k":{}}]}', "{}"]
    invalid = ["[true]", "[]", "[null,null]", "[true,null,null,null]", '{"l":{},"k":null}', '{"m":null}']
    for text, good in [(x, True) for x in valid] + [(x, False) for x in invalid]:
        canvas = Canvas(compiled, len(text))
        canvas.set_all(list(text.encode()))
        assert canvas.feasible() == good, text


def test_padding_blocks_and_slots_to_come():
    v = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])
    compiled = sg.compile(sg.Lark('start: "(" start ")" |'), v)
    canvas = Canvas(compiled, 6)
    canvas.set(0, ord("("))
    assert canvas.masks([5])[0].nonzero()[0].tolist() == [ord(")"), 256]
    canvas.set(4, ord(")"))
    assert not canvas.feasible() or canvas.masks([5])[0].nonzero()[0].tolist() == [ord(")")]
    canvas.set(4, 256)
    assert canvas.forced()[5] == 256
    first = Canvas(compiled, 3, remaining=4)
    first.set_all(list(b"((("))
    assert first.feasible()
    assert not _blocked(compiled, b"(((", 3).feasible()         # three brackets and the end token do not fit
    with pytest.raises(BudgetError):
        Canvas(compiled, 2, before=first)
    second = Canvas(compiled, 4, before=first)
    assert second.forced() == {0: 41, 1: 41, 2: 41, 3: 256}
    assert second.argmax(np.zeros((4, 257)))[0].tolist() == [41, 41, 41, 256]
    first.set(1, None)
    with pytest.raises(MatcherError, match="not finished"):
        second.follow(first)
    with pytest.raises(StructgenError, match="one window"):
        first.log_z(np.zeros((1, 257)))
    joint = first.joint(np.zeros((1, 257)))
    assert joint.tokens.tolist() == [40]
    outside = Canvas(compiled, 4, pad=300)
    outside.set_all([40, 41, 256, 300])
    assert outside.feasible()
    outside.set(2, None)
    assert outside.forced() == {2: 256}


def _blocked(compiled, data, remaining):
    canvas = Canvas(compiled, len(data), remaining=remaining)
    canvas.set_all(list(data))
    return canvas


def test_bad_canvases():
    v = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])
    compiled = sg.compile(sg.Lark('start: "((" start "))" | "abcdef"'), v)
    with pytest.raises(BudgetError) as caught:
        Canvas(compiled, 5)
    assert caught.value.needed == 6 and caught.value.given == 5
    canvas = Canvas(compiled, 7)
    for bad in (lambda: canvas.set(7, 1), lambda: canvas.set(0, 999), lambda: canvas.set_all([1])):
        with pytest.raises(MatcherError):
            bad()
    canvas.set(0, ord("z"))
    assert not canvas.feasible()
    with pytest.raises(MatcherError, match="no assignment"):
        canvas.argmax(np.zeros((6, 257)))
    canvas.set(0, None)
    with pytest.raises(MatcherError, match="probability zero"):
        canvas.argmax(np.full((7, 257), -np.inf))
    for scores in (np.zeros((3, 257)), np.zeros((7, 20)), np.full((7, 257), np.nan), np.full((7, 257), np.inf)):
        with pytest.raises(ModelError):
            canvas.argmax(scores)
    for options in ({"length": 0}, {"length": 4, "padding": "some"}):
        with pytest.raises(StructgenError):
            Canvas(compiled, **options)


def test_sums_of_ambiguous_grammars_are_refused_by_name():
    v = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])
    for text, name in (('start: start start | "a"', "start"), ('start: A B\nA: /a+/\nB: /[ab]+/', "more of A"),
                       ('start: A | B\nA: /a|b/\nB: /b|c/', "A or B")):
        canvas = Canvas(sg.compile(sg.Lark(text, lexer="dynamic_complete"), v), 4)
        for ask in (canvas.log_z, canvas.marginals, lambda x: canvas.sample(x, np.random.default_rng(0))):
            with pytest.raises(GrammarError, match="certified unambiguous") as caught:
                ask(np.zeros((4, 257)))
            assert name in str(caught.value)
        assert canvas.feasible() and canvas.joint(np.zeros((4, 257))).confidence.min() > 0


def test_what_is_not_covered_is_refused_by_name():
    recursive = {"type": "array", "items": {"$ref": "#"}}
    for schema, options, name in (
            (recursive, {"whitespace": "flexible"}, "flexible"),
            ({**recursive, "uniqueItems": True}, {}, "uniqueItems"),
            ({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"type": "null"}}, "minProperties": 1}, {},
             "number of keys"),
            ({"type": "object", "properties": {"a": {"$ref": "#"}}}, {"extra": "schema"}, "undeclared keys"),
            ({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"type": "null"}},
              "dependentRequired": {"a": ["b"]}}, {}, "dependencies")):
        options = {"extra": "closed", "whitespace": "compact", **options}
        compiled = sg.compile(sg.JsonSchema(schema, **options), VOCABULARY)
        with pytest.raises(UnsupportedSchema, match=name):
            Canvas(compiled, 20)


def test_special_tokens_are_terminals():
    v = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None, None], eos_ids=[256],
                                  special={"<sep>": 257})
    compiled = sg.compile(sg.Lark('start: A <sep> start | A\nA: /a+/'), v)
    canvas = Canvas(compiled, 5)
    canvas.set_all([97, -1, 97, -1, 97])
    assert canvas.masks([1])[0].nonzero()[0].tolist() == [97, 257]
    canvas.set(0, 257)
    assert not canvas.feasible()


def test_cpp_snippets():
    """The listed programs, and the one of the measured cases, as the grammar's own parser and the canvas see them."""
    lark = pytest.importorskip("lark")
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    root = Path(__file__).parents[2]
    text = (root / "grammars" / "cpp.lark").read_text(encoding="utf-8")
    listed = tomllib.loads((root / "tests" / "data" / "cpp_snippets.toml").read_text(encoding="utf-8"))
    assert min(map(len, listed.values())) >= 30
    parser = lark.Lark(text, parser="lalr", lexer="basic")
    v = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])
    constraint = Constraint(read_lark(text, parser="lalr", lexer="basic"), v)
    rng = random.Random(1)
    for kind, good in (("valid", True), ("invalid", False)):
        for snippet in listed[kind]:
            try:
                parser.parse(snippet)
                assert good, snippet
            except lark.exceptions.LarkError:
                assert not good, snippet
            data = list(snippet.encode())
            canvas = Canvas(constraint, max(len(data), 12))
            canvas.set_all(data + [256] * (canvas.length - len(data)))
            assert canvas.feasible() == good, snippet
            if good:
                slot = rng.randrange(len(data))
                canvas.set(slot, None)
                assert canvas.feasible() and canvas.masks([slot])[0][data[slot]]
