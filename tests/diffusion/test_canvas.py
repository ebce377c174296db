"""Canvases against brute force: every assignment of small canvases over small vocabularies."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest

import structgen as sg
from structgen.diffusion import Canvas, automaton_of
from structgen.errors import BudgetError, LimitError, MatcherError, ModelError, StructgenError, VocabularyError

from tests.diffusion.regular_cases import KINDS, Constraint, RegularCase
from tests.sampling.doubles import chi_squared


@pytest.mark.parametrize("kind", KINDS)
def test_everything_by_brute_force(kind):
    """Feasibility, masks, maxima, sums and draws: `python -m tests.diffusion.brute --track regular` runs thousands."""
    total = sum((check(kind, seed) for seed in range(45)), Counter())
    assert total["canvases"] > 50 and total["enumerated"] > 35
    assert 0 < total["feasible"] < total["canvases"]


def check(kind: str, seed: int, draws: int = 0) -> Counter:
    """One random language, some canvases over it; what was checked. With `draws`, chi-squared tests of so many."""
    case, found = RegularCase(seed, kind), Counter()
    if case.constraint is None:
        return found
    for _ in range(3):
        options = case.policy()
        pad = options.get("pad", case.ends[0])
        fixed = case.canvas(10 ** 9 if case.small else 1500, pad)
        length = len(fixed)
        try:
            canvas = Canvas(case.constraint, length, **options)
        except (BudgetError, VocabularyError) as error:
            if case.small or case.size ** length <= 1500:
                fixed = [-1] * length
            assert case.solve(fixed, np.zeros((length, case.size + 3)), **options) is None
            found["short" if isinstance(error, BudgetError) else "unspelt"] += 1
            continue
        # slot by slot and with changes of mind, asked in between: what is known is brought up to date
        order = case.rng.sample(range(length), length)
        for slot in order:
            if case.rng.random() < 0.3:
                canvas.set(slot, case.rng.randrange(case.size))
            if case.rng.random() < 0.3:
                canvas.masks() if case.rng.random() < 0.5 else canvas.feasible()
        for slot in order:
            canvas.set(slot, None if fixed[slot] < 0 else fixed[slot])
            if case.rng.random() < 0.2:
                canvas.masks() if case.rng.random() < 0.5 else canvas.feasible()
        found += check_canvas(case, canvas, fixed, options, draws)
    if found["canvases"]:
        found["automata"] += 1
        found += check_blocks(case)
    return found


def check_blocks(case: RegularCase) -> Counter:
    """A finished block, and the canvas that follows it."""
    options = {**case.policy(), "remaining": 8}
    tokens, states = [], [case.language.start]
    for _ in range(case.rng.randint(1, 4)):
        good = [t for t in range(len(case.pieces)) if (s := case.step(states[-1], t)) and case.finishes(s, 4)]
        if good:
            tokens.append(case.rng.choice(good))
            states.append(case.step(states[-1], tokens[-1]))
    if not tokens:
        return Counter()
    first = Canvas(case.constraint, len(tokens), **options)
    first.set_all(tokens)
    assert first.feasible() == case.finishes(states[-1], 7)
    for k, remaining in itertools.product(range(4), range(4)):      # nothing but masked slots behind what is written
        try:
            part = Canvas(case.constraint, len(tokens) + k, remaining=remaining)
        except BudgetError:
            continue
        part.set_all([*tokens, *[None] * k])
        assert part.feasible() == case.finishes(states[-1], k + max(0, remaining - 1))
    pad = options.get("pad", case.ends[0])
    fixed = case.canvas(10 ** 9 if case.small else 1500, pad, states[-1])
    del options["remaining"]
    logp = np.log(np.random.default_rng(1).dirichlet(np.ones(max(case.size, pad + 1)), len(fixed)))
    try:
        second = Canvas(case.constraint, len(fixed), before=first, **options)
    except BudgetError as error:
        assert error.needed > error.given and case.solve(fixed, logp, start=states[-1], **options) is None
        return Counter()
    second.set_all(fixed)
    solved = case.solve(fixed, logp, start=states[-1], **options)
    assert second.feasible() == (solved is not None)
    masks = second.masks()
    for r, i in enumerate(second.masked.tolist()):
        assert set(np.flatnonzero(masks[r])) == (set(solved[0][i]) if solved else set())
    if solved is not None:
        assert abs(second.argmax(logp)[1] - solved[1]) < 1e-9 and abs(second.log_z(logp) - solved[2]) < 1e-9
    return Counter(blocks=1)


def check_canvas(case: RegularCase, canvas: Canvas, fixed: list[int], options: dict, draws: int) -> Counter:
    """All that a canvas says, against the programme in plain Python and, where that is affordable, enumeration."""
    generator = np.random.default_rng(case.rng.randrange(1 << 30))
    length, width = len(fixed), max(case.size, options.get("pad", 0) + 1)
    logp = np.log(generator.dirichlet(np.ones(width), length))
    masked = [i for i, t in enumerate(fixed) if t < 0]
    solved = case.solve(fixed, logp, **options)
    found = Counter(canvases=1, feasible=solved is not None)
    policy = {k: options[k] for k in ("pad", "remaining") if k in options}
    every = None
    if len(case.tokens(-1, options.get("pad", case.ends[0]))) ** len(masked) <= 1500:
        every = list(case.assignments(fixed, **policy))
        found["enumerated"] += 1
        assert bool(every) == (solved is not None)
    assert canvas.feasible() == (solved is not None), (case.seed, fixed, options)
    masks = canvas.masks()
    np.testing.assert_array_equal(
        np.unpackbits(canvas.bitmasks().view(np.uint8), axis=1, bitorder="little")[:, :masks.shape[1]], masks)
    for r, i in enumerate(masked):
        assert set(np.flatnonzero(masks[r])) == (set(solved[0][i]) if solved else set()), (case.seed, fixed, options)
        assert every is None or set(np.flatnonzero(masks[r])) == {x[i] for x in every}
    if solved is None:
        with pytest.raises(MatcherError):
            canvas.argmax(logp)
        with pytest.raises(MatcherError):
            canvas.sample(logp, generator)
        assert canvas.log_z(logp) == -math.inf
        return found
    by_slot, top, log_z = solved
    exact = np.zeros((len(masked), width))
    for r, i in enumerate(masked):
        for t, p in by_slot[i].items():
            exact[r, t] = p
    padding = options["padding"]
    if every is not None:       # the programme itself
        scores = {x: case.weight(x, fixed, logp, padding) for x in every}
        assert math.isclose(top, max(scores.values()), abs_tol=1e-12)
        assert math.isclose(log_z, math.log(math.fsum(map(math.exp, scores.values()))), abs_tol=1e-12)
    tokens, best = canvas.argmax(logp)
    assert abs(best - top) < 1e-9 and abs(case.weight(tokens, fixed, logp, padding) - best) < 1e-9
    assert is_valid(case, tokens, fixed, policy)
    assert abs(canvas.log_z(logp) - log_z) < 1e-9
    np.testing.assert_allclose(canvas.marginals(logp), exact, atol=1e-9)
    assert is_valid(case, canvas.sample(logp, generator), fixed, policy)
    joint = canvas.joint(logp, entropy=True)
    np.testing.assert_allclose(joint.confidence, exact[np.arange(len(masked)), joint.tokens], atol=1e-9)
    np.testing.assert_allclose(joint.entropy, -(exact * np.log(np.where(exact > 0, exact, 1))).sum(axis=1), atol=1e-9)
    drawn = canvas.joint(logp, generator)
    np.testing.assert_allclose(drawn.confidence, exact[np.arange(len(masked)), drawn.tokens], atol=1e-9)
    for made in (joint, drawn):
        filled = np.array(fixed)
        filled[made.slots] = made.tokens
        assert is_valid(case, filled, fixed, policy)
    single = {i: int(np.flatnonzero(m)[0]) for i, m in zip(masked, masks) if m.sum() == 1}
    assert single.items() >= canvas.forced().items()
    assert {i: t for i, t in single.items() if t not in case.ends}.items() <= canvas.forced().items()
    if every is not None and masked:
        low = min(masked)
        check_joint(canvas, case, every, fixed, logp, (low, case.rng.randint(low + 1, length)), padding)
        if draws and 3 <= len(every) <= 60:
            law = {x: math.exp(s) for x, s in scores.items()}
            for draw in (lambda: canvas.sample(logp, generator), lambda: spread(canvas.joint(logp, generator), fixed)):
                seen = [tuple(draw().tolist()) for _ in range(draws)]
                p = chi_squared(seen, law)
                assert p > 1e-7, (case.seed, fixed, options)
                found.update({"laws": 1, "p < 0.05": p < 0.05})
    return found


def spread(joint, fixed) -> np.ndarray:
    """All tokens of a canvas."""
    out = np.array(fixed)
    out[joint.slots] = joint.tokens
    return out


def is_valid(case: RegularCase, tokens, fixed, policy: dict) -> bool:
    """Is a full assignment valid, and what is fixed as it was?"""
    kept = all(f in (-1, t) for t, f in zip(tokens, fixed))
    state, pad = case.language.start, policy.get("pad", case.ends[0])
    for t, f in zip(tokens, fixed):
        state = None if state is None else case.move(state, int(t), f < 0, pad)
    return kept and state is not None and case.last(state, policy.get("remaining", 0))


def check_joint(canvas, case, truth, fixed, logp, window, padding):
    """The joint assignment of a window against enumeration; behind the window only whether it can be filled counts."""
    low, high = window
    weights = {}
    for x in truth:
        ended = len(fixed)
        if padding == "free":
            ended = next((i for i, t in enumerate(x) if t in case.ends), ended)
        weights[x[low:high]] = sum(float(logp[i, x[i]]) for i in range(low, min(high, ended + 1)) if fixed[i] < 0)
    z = sum(math.exp(w) for w in weights.values())
    slots = [i for i in range(low, high) if fixed[i] < 0]
    law = np.zeros((len(slots), logp.shape[1]))
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

    case = RegularCase(7, "choice")
    a = automaton_of(case.constraint)
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


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
def test_scores_of_every_precision(kind, monkeypatch):
    """Tensors of half precision are taken as they are; a law is the same by compiled loops and on a device."""
    torch = pytest.importorskip("torch")
    from structgen.diffusion import reduction

    case = RegularCase(29, "nfa")
    canvas = Canvas(case.constraint, 6)
    generator = np.random.default_rng(4)
    for _ in range(2):
        logits = torch.from_numpy(generator.normal(0, 5, (6, case.size + 2)))
        logits[:, 0] -= 30
        logits[2, 1] = -torch.inf
        logp = torch.log_softmax(logits, dim=1).to(getattr(torch, kind))
        exact = logp.double().numpy()
        assert abs(canvas.log_z(logp) - case.solve([-1] * 6, exact)[2]) < 1e-6
        by_array, by_tensor = (canvas.joint(x, entropy=True) for x in (exact, logp))
        with monkeypatch.context() as patch:
            there = logp.float() if kind.endswith("16") else logp
            a = canvas.automaton
            device = reduction.OnDevice(there, a, a.classes - 1, True)
            patch.setattr(canvas, "_reduced", lambda *_: (device, np.arange(6), np.arange(6)))
            on_device = canvas.joint(None, entropy=True)
            drawn = canvas.joint(None, generator)
        for other in (by_tensor, on_device):
            assert other.tokens.tolist() == by_array.tokens.tolist()
            np.testing.assert_allclose(other.confidence, by_array.confidence, atol=1e-5)
            np.testing.assert_allclose(other.entropy, by_array.entropy, atol=1e-4)
        assert is_valid(case, drawn.tokens, [-1] * 6, {})


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
    for second in (Canvas(compiled, 6), Canvas(compiled, 4, before=first)):
        second.follow(first)
        second.set_all([None] * 4 + [256] * (second.length - 4))
        assert second.feasible()
    with pytest.raises(BudgetError):
        Canvas(compiled, 2, before=first)
    with pytest.raises(MatcherError, match="not finished"):
        Canvas(compiled, 4, before=Canvas(compiled, 3, remaining=4))
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
    with pytest.raises(StructgenError, match="takes a compiled constraint, not dict"):
        Canvas({"type": "string"}, 5)
    for bad in (canvas, Canvas(sg.compile(sg.Lark('start: "a" start | "b"'), vocabulary), 7)):
        for call in (lambda: bad.set(7, 1), lambda: bad.set(0, 999), lambda: bad.set_all([1]), lambda: bad.set(0, "a"),
                     lambda: bad.set_all([1.5] * 7), lambda: bad.set_all([*[None] * 6, "x"]),
                     lambda: bad.set_all([10 ** 30] * 7),
                     lambda: bad.set(0.5, 1), lambda: bad.set(0, -2), lambda: bad.masks([7]), lambda: bad.masks(["a"]),
                     lambda: bad.forced([7]), lambda: bad.joint(np.zeros((7, 257)), window=(3, 3))):
            with pytest.raises(sg.MatcherError):
                call()
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
    for options in ({"length": 0}, {"length": 4, "padding": "some"}, {"length": 7, "pad": ord("a")},
                    {"length": 7, "pad": -1}, {"length": 7, "remaining": -1}):
        with pytest.raises(StructgenError):
            Canvas(compiled, **options)
    outside = Canvas(compiled, 7, pad=300, padding="scored")
    with pytest.raises(ModelError, match="padding token 300"):
        outside.argmax(np.zeros((7, 257)))
    letters = sg.Vocabulary.from_tokens([b"a", b"b", None], eos_ids=[2])
    with pytest.raises(VocabularyError):
        Canvas(Constraint(sg.Choice(["abc"]).grammar(), letters), 4)
    recursive = sg.JsonSchema({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}})
    from structgen.diffusion.byte_dfa import byte_dfa
    with pytest.raises(LimitError, match="recursive"):
        byte_dfa(sg.compile(recursive, vocabulary), max_states=500)
