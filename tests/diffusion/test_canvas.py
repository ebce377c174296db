"""Canvases against brute force: every assignment of small canvases over small vocabularies."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

import structgen as sg
from structgen.diffusion import Canvas, automaton_of
from structgen.errors import BudgetError, LimitError, ModelError, StructgenError

from tests.sampling.doubles import chi_squared


class Case:
    """A finite language, a vocabulary in which few tokens can stand, a canvas."""

    def __init__(self, seed: int):
        rng = random.Random(seed)
        letters = "ab" if rng.random() < 0.5 else "aé"
        texts = set()
        while len(texts) < rng.randint(1, 7):
            texts.add("".join(rng.choices(letters, k=rng.randint(0, 5))))
        self.texts = sorted(texts)
        pieces = {"".join(rng.choices(letters, k=2)).encode() for _ in range(rng.randint(0, 3))}
        tokens = [bytes([b]) for b in range(256)] + sorted(pieces)
        count = rng.choice((1, 2))
        self.ends = [len(tokens) + k for k in range(count)]
        self.vocabulary = sg.Vocabulary.from_tokens([*tokens, *([None] * count)], eos_ids=self.ends)
        self.words = [t.encode() for t in self.texts]
        self.compiled = sg.compile(sg.Choice(self.texts), self.vocabulary)
        # the tokens that occur in some text, and one that does not
        self.useful = [t for t in range(len(tokens)) if any(self.vocabulary.token_bytes(t) in w for w in self.words)]
        self.useful += [0x7A, *self.ends]
        self.length = rng.randint(1, 6)
        while len(self.useful) ** self.length > 5000:
            self.length -= 1
        self.rng = rng

    def valid(self, tokens) -> bool:
        """Is this a full, canonical-padded assignment of a valid text?"""
        text = b""
        for i, t in enumerate(tokens):
            if t in self.ends:
                return text in self.words and all(x == self.ends[0] for x in tokens[i + 1:])
            text += self.vocabulary.token_bytes(t)
        return text in self.words

    def valid_fixed(self, tokens, fixed) -> bool:
        """The same, but fixed slots behind the end may hold any end token."""
        seen = False
        text = b""
        for i, t in enumerate(tokens):
            if seen:
                if t not in self.ends or (fixed[i] < 0 and t != self.ends[0]):
                    return False
            elif t in self.ends:
                if text not in self.words:
                    return False
                seen = True
            else:
                text += self.vocabulary.token_bytes(t)
        return text in self.words

    def assignments(self, fixed):
        for x in itertools.product(*([t] if t >= 0 else self.useful for t in fixed)):
            if self.valid_fixed(x, fixed):
                yield x

    def weight(self, tokens, fixed, logp) -> float:
        """Sum of log probabilities of masked slots up to and with the end token."""
        total = 0.0
        for i, t in enumerate(tokens):
            if fixed[i] < 0:
                total += float(logp[i, t])
            if t in self.ends:
                break
        return total


def fixed_slots(case: Case) -> list[int]:
    rng = case.rng
    return [rng.choice(case.useful) if rng.random() < 0.3 else -1 for _ in range(case.length)]


@pytest.mark.parametrize("part", range(4))
def test_everything_by_brute_force(part):
    seen = feasible = 0
    for seed in range(part * 60, part * 60 + 60):
        case = Case(seed)
        try:
            canvas = Canvas(case.compiled, case.length)
        except BudgetError:
            assert not list(case.assignments([-1] * case.length))
            continue
        for _ in range(3):
            fixed = fixed_slots(case)
            canvas.set_all(fixed)
            truth = list(case.assignments(fixed))
            assert canvas.feasible() == bool(truth)
            seen, feasible = seen + 1, feasible + bool(truth)
            masks = canvas.masks()
            masked = [i for i, t in enumerate(fixed) if t < 0]
            for r, i in enumerate(masked):
                assert set(np.flatnonzero(masks[r])) == {x[i] for x in truth}
            generator = np.random.default_rng(seed)
            np.testing.assert_array_equal(
                np.unpackbits(canvas.bitmasks().view(np.uint8), axis=1, bitorder="little")[:, :masks.shape[1]], masks)
            logp = np.log(generator.dirichlet(np.ones(case.vocabulary.size), case.length))
            if not truth:
                with pytest.raises(sg.MatcherError):
                    canvas.sample(logp, generator)
                assert canvas.log_z(logp) == -math.inf
                continue
            scores = {x: case.weight(x, fixed, logp) for x in truth}
            tokens, best = canvas.argmax(logp)
            assert math.isclose(best, max(scores.values()), abs_tol=1e-9)
            assert math.isclose(scores[tuple(tokens)], best, abs_tol=1e-9)
            z = sum(math.exp(s) for s in scores.values())
            assert math.isclose(canvas.log_z(logp), math.log(z), rel_tol=1e-9, abs_tol=1e-9)
            marginals = canvas.marginals(logp)
            exact = np.zeros_like(marginals)
            for x, s in scores.items():
                for r, i in enumerate(masked):
                    exact[r, x[i]] += math.exp(s) / z
            np.testing.assert_allclose(marginals, exact, atol=1e-9)
            check_joint(canvas, case, truth, fixed, logp, None)
            if case.rng.random() < 0.5:
                low = min(masked, default=0)
                check_joint(canvas, case, truth, fixed, logp, (low, case.rng.randint(low + 1, case.length)))
            assert tuple(canvas.sample(logp, generator)) in scores
            single = {i: int(np.flatnonzero(m)[0]) for i, m in zip(masked, masks) if m.sum() == 1}
            assert single.items() >= canvas.forced().items()
            assert {i: t for i, t in single.items() if t not in case.ends}.items() <= canvas.forced().items()
    assert seen > 100 and 0 < feasible < seen


def check_joint(canvas, case, truth, fixed, logp, window):
    """The joint assignment of a window against enumeration; behind the window only whether it can be filled counts."""
    low, high = window or (0, case.length)
    weights = {}
    for x in truth:
        ended = next((i for i, t in enumerate(x) if t in case.ends), case.length)
        weights[x[low:high]] = sum(float(logp[i, x[i]]) for i in range(low, min(high, ended + 1)) if fixed[i] < 0)
    z = sum(math.exp(w) for w in weights.values())
    slots = [i for i in range(low, high) if fixed[i] < 0]
    law = np.zeros((len(slots), case.vocabulary.size))
    for x, w in weights.items():
        for r, i in enumerate(slots):
            law[r, x[i - low]] += math.exp(w) / z
    joint = canvas.joint(logp[slots], window=window, entropy=True)
    assert joint.slots.tolist() == slots
    filled = list(fixed)
    for i, t in zip(slots, joint.tokens.tolist()):
        filled[i] = t
    assert math.isclose(weights[tuple(filled[low:high])], max(weights.values()), abs_tol=1e-9)
    np.testing.assert_allclose(joint.confidence, law[np.arange(len(slots)), joint.tokens], atol=1e-9)
    entropy = -(law * np.log(np.where(law > 0, law, 1))).sum(axis=1)
    np.testing.assert_allclose(joint.entropy, entropy, atol=1e-9)
    drawn = canvas.joint(logp[low:high], np.random.default_rng(1), window=window)
    for i, t in zip(slots, drawn.tokens.tolist()):
        filled[i] = t
    assert tuple(filled[low:high]) in weights
    np.testing.assert_allclose(drawn.confidence, law[np.arange(len(slots)), drawn.tokens], atol=1e-9)


def test_draws_follow_the_law():
    for seed in (3, 11, 20):
        case = Case(seed)
        case.length = 3
        canvas = Canvas(case.compiled, 3)
        generator = np.random.default_rng(seed)
        logp = np.log(generator.dirichlet(np.ones(case.vocabulary.size), 3)).astype(np.float32)
        truth = {x: math.exp(case.weight(x, [-1] * 3, logp)) for x in case.assignments([-1] * 3)}
        drawn = [tuple(int(t) for t in canvas.sample(logp, generator)) for _ in range(3000)]
        assert chi_squared(drawn, truth) > 1e-4
        drawn = [tuple(canvas.joint(logp, generator).tokens.tolist()) for _ in range(3000)]
        assert chi_squared(drawn, truth) > 1e-4


def test_nothing_underflows():
    """Two branches, each 300 orders of magnitude likelier on one half of the canvas: both count in the end."""
    vocabulary = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])
    canvas = Canvas(sg.compile(sg.Choice(["a" * 40, "b" * 40]), vocabulary), 40)
    logp = np.full((40, 257), -2000.0)
    logp[:20, ord("a")], logp[20:, ord("a")] = -0.5, -90.0
    logp[:20, ord("b")], logp[20:, ord("b")] = -90.0, -0.45
    a, b = -0.5 * 20 - 90 * 20, -90 * 20 - 0.45 * 20
    top = max(a, b)
    log_z = top + math.log(math.exp(a - top) + math.exp(b - top))
    assert math.isclose(canvas.log_z(logp), log_z, rel_tol=1e-12)
    marginals = canvas.marginals(logp)
    np.testing.assert_allclose(marginals[:, ord("a")], math.exp(a - log_z), rtol=1e-9)
    np.testing.assert_allclose(canvas.joint(logp).confidence, math.exp(b - log_z), rtol=1e-9)
    logp[7, ord("b")] = -np.inf
    assert bytes(canvas.sample(logp, np.random.default_rng(0)).tolist()) == b"a" * 40


def test_reductions_agree():
    """Class scores by compiled loops and by torch operations, single and double, with impossible tokens."""
    torch = pytest.importorskip("torch")
    from structgen.diffusion.reduction import OnDevice, reduced

    case = Case(7)
    a = automaton_of(case.compiled)
    generator = np.random.default_rng(2)
    logits = generator.normal(0, 30, (5, case.vocabulary.size + 3))
    logits[1, generator.random(logits.shape[1]) < 0.5] = -np.inf
    logits[2, a.order[a.begin[0]:a.begin[1]]] = -np.inf
    slots = np.arange(5)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-6)):
        scores = logits.astype(dtype)
        one = reduced(scores, slots, 5, a, a.classes - 1, True)
        two = OnDevice(torch.from_numpy(scores), a, a.classes - 1, True)
        for name in ("top", "total", "spread"):
            np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=tolerance, atol=100 * tolerance)
        rows, classes = np.nonzero(one.top > -np.inf)
        np.testing.assert_array_equal(one.best(rows, classes), two.best(rows, classes))
        u = generator.random(len(rows))
        assert (one.draw(rows, classes, u) == two.draw(rows, classes, u)).mean() > 0.95
        assert (a.class_of[two.draw(rows, classes, u)] == classes).all()
        np.testing.assert_allclose(one.log_p(rows, classes), two.log_p(rows, classes))
    for bad in (np.nan, np.inf):
        logits[0, 0] = bad
        with pytest.raises(ModelError):
            reduced(logits, slots, 5, a, a.classes - 1)
        with pytest.raises(ModelError):
            OnDevice(torch.from_numpy(logits), a, a.classes - 1, False)

def test_commits_never_get_stuck():
    vocabulary = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), b'{"', b'":', b'"}', b"ab", None],
                                           eos_ids=[260])
    schema = sg.JsonSchema({"type": "object", "properties": {"a": {"type": "integer", "maximum": 99, "minimum": -9},
                                                             "b": {"enum": ["x", "ab", None]}},
                            "required": ["a"]}, extra="closed", whitespace="compact", numbers="plain")
    compiled = sg.compile(schema, vocabulary)
    rng, generator = random.Random(5), np.random.default_rng(5)
    canvas = Canvas(compiled, 18)
    for _ in range(60):
        slot = rng.randrange(18)
        if canvas.tokens[slot] >= 0 and rng.random() < 0.5:
            canvas.set(slot, None)
        else:
            allowed = np.flatnonzero(canvas.masks([slot])[0])
            assert len(allowed)
            canvas.set(slot, int(rng.choice(list(allowed))))
        assert canvas.feasible()
        fresh = Canvas(compiled, 18)
        fresh.set_all(list(canvas.tokens))
        assert (fresh.masks() == canvas.masks()).all()
    logp = np.log(generator.dirichlet(np.ones(vocabulary.size), len(canvas.masked))).astype(np.float32)
    joint = canvas.sample(logp, generator)
    for slot in rng.sample(list(canvas.masked), len(canvas.masked)):
        canvas.set(slot, int(joint[slot]))
        assert canvas.feasible()
    text = b"".join(vocabulary.token_bytes(int(t)) or b"" for t in canvas.tokens if t != 260).decode()
    sg.validate({"type": "object", "required": ["a"]}, __import__("json").loads(text))


def test_blocks_carry_on():
    vocabulary = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])
    compiled = sg.compile(sg.Choice(["abcdef", "abx"]), vocabulary)
    first = Canvas(compiled, 3, remaining=4)
    first.set_all(list(b"abc"))
    assert first.feasible()
    second = Canvas(compiled, 4)
    second.follow(first)
    assert second.forced() == {0: 100, 1: 101, 2: 102, 3: 256}
    logp = np.zeros((4, 257), np.float32)
    assert second.argmax(logp)[0].tolist() == [100, 101, 102, 256]
    assert second.sample(logp, np.random.default_rng(0)).tolist() == [100, 101, 102, 256]
    short = Canvas(compiled, 3, remaining=3)
    short.set_all(list(b"abc"))
    assert not short.feasible()         # "def" and the end token do not fit


def test_bad_canvases():
    vocabulary = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None], eos_ids=[256])
    compiled = sg.compile(sg.Choice(["abcdef"]), vocabulary)
    with pytest.raises(BudgetError) as caught:
        Canvas(compiled, 5)
    assert caught.value.needed == 6 and caught.value.given == 5
    canvas = Canvas(compiled, 7)
    for bad in (lambda: canvas.set(7, 1), lambda: canvas.set(0, 999), lambda: canvas.set_all([1])):
        with pytest.raises(sg.MatcherError):
            bad()
    canvas.set(0, ord("z"))
    assert not canvas.feasible()
    with pytest.raises(sg.MatcherError, match="no assignment"):
        canvas.argmax(np.zeros((6, 257)))
    canvas.set(0, None)
    zero = np.full((7, 257), -np.inf)
    with pytest.raises(sg.MatcherError, match="probability zero"):
        canvas.sample(zero, np.random.default_rng(0))
    for scores in (np.zeros((3, 257)), np.zeros((7, 20)), np.full((7, 257), np.nan), np.full((7, 257), np.inf)):
        with pytest.raises(ModelError):
            canvas.argmax(scores)
    for options in ({"length": 0}, {"length": 4, "padding": "some"}):
        with pytest.raises(StructgenError):
            Canvas(compiled, **options)
    recursive = sg.JsonSchema({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}})
    from structgen.diffusion.byte_dfa import byte_dfa
    with pytest.raises(LimitError, match="recursive"):
        byte_dfa(sg.compile(recursive, vocabulary), max_states=500)
