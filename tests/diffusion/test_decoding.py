"""The loop of masked models: validity, laws, schedules, errors before any call of the model."""

from __future__ import annotations

import json
import math
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from pydantic import BaseModel, Field

import structgen as sg
from structgen.errors import BudgetError, MatcherError, ModelError, StructgenError
from structgen.models import fills_slots

from tests.sampling.doubles import chi_squared

torch = pytest.importorskip("torch")

from structgen.diffusion.decoding import CanvasRequest, Denoising, denoise         # noqa: E402
from structgen.diffusion.scoring import MaskedScorer, mask_token                   # noqa: E402

EOS, MASK, SIZE = 256, 257, 258
VOCABULARY = sg.Vocabulary.from_tokens([*(bytes([b]) for b in range(256)), None, None], eos_ids=[EOS],
                                       special={"<end>": EOS, "<mask>": MASK})


class Random:
    """A masked model of random scores, a function of what it sees."""

    def __init__(self, seed: int = 0, scale: float = 3.0):
        self.seed, self.scale, self.calls = seed, scale, []

    def __call__(self, input_ids, attention_mask):
        self.calls.append(input_ids.clone())
        out = torch.empty(*input_ids.shape, SIZE)
        for k, row in enumerate(input_ids.tolist()):
            mixed = sum((i + 1) * t for i, t in enumerate(row)) + self.seed
            generator = torch.Generator().manual_seed(mixed % 2 ** 31)
            out[k] = torch.randn(len(row), SIZE, generator=generator) * self.scale
        return SimpleNamespace(logits=out)


class Fixed:
    """The same scores always, whatever is in the canvas."""

    def __init__(self, logits):
        self.logits, self.calls = torch.as_tensor(logits, dtype=torch.float32), 0

    def __call__(self, input_ids, attention_mask):
        self.calls += 1
        return SimpleNamespace(logits=self.logits[None].expand(len(input_ids), -1, -1))


def never(**_):
    raise AssertionError("the model was called")


def run(model, requests, **options):
    rows = []
    states = []
    for rows in denoise(model, requests, Denoising(**options), mask=MASK, pad=0, eos=[EOS]):
        states.append([r.slots.copy() for r in rows])
    return rows, states


CONSTRAINTS = {
    "regex": (sg.Regex("[a-c]{3,9}(-[0-9]{2})*"), lambda t: re.fullmatch("[a-c]{3,9}(-[0-9]{2})*", t)),
    "choice": (sg.Choice(["yes", "no", "never again"]), lambda t: t in ("yes", "no", "never again")),
    "schema": (sg.JsonSchema({"type": "object", "properties": {"n": {"type": "integer"}, "s": {"enum": ["x", None]}},
                              "required": ["n"], "additionalProperties": False}, whitespace="compact", numbers="plain"),
               lambda t: isinstance(json.loads(t)["n"], int)),
}
COMPILED = {name: sg.compile(c, VOCABULARY) for name, (c, _) in CONSTRAINTS.items()}

RULES = [{"commit": "low_confidence", "steps": 3}, {"commit": "entropy", "steps": 4}, {"commit": "random", "steps": 5},
         {"commit": "threshold", "threshold": 0.7}, {"steps": 1}, {"steps": 20, "block_length": 5},
         {"steps": 3, "confidence": "model"}, {"steps": 4, "temperature": 0.5}, {"do_sample": True, "block_length": 7},
         {"steps": 2, "guidance_scale": 2.0}, {"commit": "threshold", "block_length": 4, "temperature": 1.3}]


@pytest.mark.parametrize("options", RULES, ids=lambda o: "-".join(map(str, o.values())))
def test_every_rule_ends_valid(options):
    for seed in range(3):
        requests = [CanvasRequest([1] * (k + 1), COMPILED[name], 20, seed=seed) for k, name in enumerate(CONSTRAINTS)]
        model = Random(seed)
        rows, states = run(model, requests, **options)
        for row, name in zip(rows, CONSTRAINTS):
            assert row.finish_reason == "stop" and (row.slots >= 0).all()
            data = bytes(t for t in row.tokens if t != EOS)
            assert CONSTRAINTS[name][1](data.decode())
            after = row.slots.tolist()[len(row.tokens):]
            assert after == [EOS] * len(after)
            assert row.timings["forwards"] == sum(bool(s.committed) for s in row.history)
            if "steps" in options:
                assert row.timings["forwards"] <= options["steps"]
            for low, high, _ in row.blocks:         # a block is done before the next begins
                for state in states:
                    s = state[row.index]
                    written = {x for step in row.history for x in step.committed if x >= high}
                    assert (s[low:high] >= 0).all() or all(s[x] < 0 for x in written)
        # what a step commits stays
        for before, after in zip(states, states[1:]):
            for a, b in zip(before, after):
                assert (b[a >= 0] == a[a >= 0]).all()


def test_shares_of_steps():
    model = Random(1)
    rows, _ = run(model, [CanvasRequest([1], sg.compile(sg.Regex("[a-z]*"), VOCABULARY), 16)], steps=5, commit="random")
    committed = [len(s.committed) for s in rows[0].history if s.committed]
    assert committed[0] == 4 and len(committed) <= 5
    for steps, block, slots in ((7, 3, 17), (4, 16, 16), (9, 2, 18), (64, 32, 64)):
        blocks = Denoising(steps=steps, block_length=block).blocks(slots)
        assert blocks[0][0] == 0 and blocks[-1][1] == slots and sum(n for _, _, n in blocks) == steps
        assert all(a[1] == b[0] and b[2] >= 1 for a, b in zip(blocks, blocks[1:]))
    with pytest.raises(StructgenError, match="2 steps for 4 blocks"):
        Denoising(steps=2, block_length=4).blocks(16)


def test_one_step_draws_from_the_law():
    """All slots in one step: exact draws from the model's distribution given validity, ends and padding included."""
    texts = ["ab", "ba", "abc", "c"]
    compiled = sg.compile(sg.Choice(texts), VOCABULARY)
    generator = np.random.default_rng(5)
    logits = np.full((5, SIZE), -4.0)
    logits[:, [*b"abc", EOS]] = generator.normal(0, 1, (5, 4))
    logp = torch.log_softmax(torch.tensor(logits) / 0.7, dim=1).numpy()[1:]
    truth = {}
    for text in texts:
        tokens = [*text.encode(), *[EOS] * (4 - len(text))]
        truth[text] = math.exp(sum(logp[i, t] for i, t in enumerate(tokens)))
    rows, _ = run(Fixed(logits), [CanvasRequest([0], compiled, 4, seed=k) for k in range(800)], steps=1,
                  temperature=0.7)
    drawn = [bytes(t for t in r.tokens if t != EOS).decode() for r in rows]
    assert chi_squared(drawn, truth) > 1e-4
    again, _ = run(Fixed(logits), [CanvasRequest([0], compiled, 4, seed=3)], steps=1, temperature=0.7)
    assert bytes(t for t in again[0].tokens if t != EOS).decode() == drawn[3]
    best, _ = run(Fixed(logits), [CanvasRequest([0], compiled, 4)], steps=1)
    assert bytes(t for t in best[0].tokens if t != EOS).decode() == max(truth, key=truth.get)


def test_forced_slots_cost_nothing():
    rows, _ = run(never, [CanvasRequest([1], sg.compile(sg.Choice(["only this"]), VOCABULARY), 14)])
    assert bytes(rows[0].tokens[:-1]) == b"only this" and rows[0].timings["forwards"] == 0
    assert rows[0].forced == list(range(14))


def test_fixed_slots_to_the_right_count():
    """A block is filled so that what is fixed behind it still fits."""
    compiled = sg.compile(sg.Regex("(a+b+c)|(x+y+z)"), VOCABULARY)
    fixed = [-1] * 8 + [ord("z")] + [-1] * 3
    for seed in range(4):
        rows, _ = run(Random(seed), [CanvasRequest([1], compiled, 12, fixed)], steps=6, block_length=2)
        text = bytes(t for t in rows[0].tokens if t != EOS).decode()
        assert re.fullmatch("x+y+z", text) and len(text) == 9


def test_guidance_and_shift():
    model = Random(3)
    canvas = np.array([-1, 7, -1])
    slots = [np.array([0, 2])]
    plain = MaskedScorer(model, MASK, 0)([([5, 6], canvas)], slots)[0]
    sequences = model.calls[-1].tolist()
    assert sequences == [[5, 6, MASK, 7, MASK]]
    both = MaskedScorer(model, MASK, 0, guidance=2.5)([([5, 6], canvas)], slots)[0]
    assert model.calls[-1].tolist() == [[5, 6, MASK, 7, MASK], [MASK, MASK, MASK, 7, MASK]]
    free = model(model.calls[-1][1:], None).logits[0, [2, 4]]
    torch.testing.assert_close(both, free + 2.5 * (plain - free))
    shifted = MaskedScorer(model, MASK, 0, shift=True)([([5, 6], canvas), ([5], canvas)], [*slots, np.array([2])])
    whole = model(model.calls[-1], None).logits
    torch.testing.assert_close(shifted[0], whole[0, [1, 3]])
    torch.testing.assert_close(shifted[1], whole[1, [2]])
    with pytest.raises(ModelError, match="shape"):
        MaskedScorer(lambda **_: (torch.zeros(1, 2, 3),), MASK, 0)([([5, 6], canvas)], slots)


def test_without_a_constraint():
    logits = np.zeros((5, SIZE))
    for i, t in enumerate(b"?abc"):
        logits[i, t] = 5
    logits[4, EOS] = 9
    logits[:, MASK] = 50
    rows, _ = run(Fixed(logits), [CanvasRequest([1], None, 4)], steps=2)
    assert rows[0].tokens == [*b"abc", EOS] and rows[0].finish_reason == "stop"
    logits[0, 0] = np.nan
    logits[2, 0] = np.nan
    for compiled in (None, COMPILED["choice"]):
        with pytest.raises(ModelError, match="NaN"):
            run(Fixed(logits), [CanvasRequest([1], compiled, 4)])


def test_errors_come_before_the_model():
    choice = COMPILED["choice"]
    with pytest.raises(BudgetError) as caught:
        run(never, [CanvasRequest([1], choice, 1)])
    assert (caught.value.needed, caught.value.given) == (2, 1)
    fixed = [ord("n"), -1, ord("x"), -1]
    with pytest.raises(MatcherError, match=r"slot 2 holds token 120 \(b'x'\)"):
        run(never, [CanvasRequest([1], choice, 4, fixed)])
    with pytest.raises(MatcherError, match="3 tokens for 4 slots"):
        run(never, [CanvasRequest([1], choice, 4, [-1] * 3)])
    # "yes" needs three of the four slots before the end token: four masked slots fit, EOS in slot 1 does not
    with pytest.raises(MatcherError, match="slot 1 holds token 256"):
        run(never, [CanvasRequest([1], choice, 4, [-1, EOS, -1, -1])])
    # the same by the track of grammars and recursive schemas
    grammar = sg.compile(sg.Lark('start: "(" start ")" | "xyz"'), VOCABULARY)
    tree = sg.compile(sg.JsonSchema({"type": "array", "items": {"$ref": "#"}}, extra="closed", whitespace="compact"),
                      VOCABULARY)
    for compiled, short, wrong in ((grammar, 2, b"("), (tree, 1, b"]")):
        with pytest.raises(BudgetError) as caught:
            run(never, [CanvasRequest([1], compiled, short)])
        assert (caught.value.needed, caught.value.given) == (short + 1, short)
        with pytest.raises(MatcherError, match=r"slot [13] holds token"):
            run(never, [CanvasRequest([1], compiled, 4, [-1, *wrong, -1, *wrong])])
    for bad in ({"steps": 0}, {"block_length": 1.5}, {"commit": "best"}, {"threshold": 0}, {"temperature": -1},
                {"guidance_scale": -1}, {"confidence": "none"}, {"commit": "threshold", "steps": 3},
                {"do_sample": True, "temperature": 0}):
        with pytest.raises(StructgenError):
            Denoising(**bad)
    with pytest.raises(StructgenError, match="does not take top_k, top_p"):
        Denoising.make({"top_p": 0.9, "top_k": 3})


def test_mask_tokens():
    def model(**config):
        return SimpleNamespace(config=SimpleNamespace(vocab_size=SIZE, **config))

    tokenizer = SimpleNamespace(mask_token_id=MASK)
    assert mask_token(model(), tokenizer, VOCABULARY) == MASK
    assert mask_token(model(mask_token_id=MASK), None, VOCABULARY) == MASK
    assert mask_token(model(mask_token_id=3), tokenizer, VOCABULARY, MASK) == MASK
    for arguments, words in (((model(), None, VOCABULARY), "names a mask token"),
                             ((model(mask_token_id=3), tokenizer, VOCABULARY), "different mask tokens"),
                             ((model(), tokenizer, VOCABULARY, 999), "outside the model's vocabulary"),
                             ((model(), tokenizer, VOCABULARY, EOS), "the end token"),
                             ((model(), tokenizer, VOCABULARY, 65), "ordinary token b'A'"),
                             ((model(), tokenizer, VOCABULARY, "x"), "wanted a token id")):
        with pytest.raises(ModelError, match=words):
            mask_token(*arguments)
    assert fills_slots(model(mask_token_id=3)) and not fills_slots(model())


def test_what_canvases_are_compiled_from():
    from structgen.diffusion.generating import canvas_constraint

    flat = {"type": "object", "properties": {"a": {"type": "string"}}}
    made = canvas_constraint(flat)
    assert canvas_constraint(dict(flat)) is made and made.options[:3] == ("schema", "closed", "flexible")
    assert canvas_constraint(Person) is canvas_constraint(Person)
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert canvas_constraint(tree).options.whitespace == "compact"
    given = sg.JsonSchema(flat, extra="schema")
    assert canvas_constraint(given) is given and canvas_constraint(sg.JsonSchema(flat)).options.extra == "closed"


# -- the model that comes with the package ---------------------------------------------

class Person(BaseModel):
    name: str = Field(min_length=1, max_length=30)
    age: int = Field(ge=0, le=120)
    city: str


PROMPT = "Extract {name:string,age:integer,city:string} from: Clara Weber is 34 years old. She lives in Lisbon."


@pytest.fixture(scope="module")
def llm():
    pytest.importorskip("transformers")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield sg.load("embedded-diffusion", device="cpu")
    torch.set_num_threads(threads)


def test_generate_gives_the_type(llm):
    person = sg.generate(PROMPT, Person, llm, steps=4, max_new_tokens=40)
    assert isinstance(person, Person)
    schema = Person.model_json_schema()
    results = sg.generate([PROMPT, "Say yes or no: "], [schema, sg.Choice(["yes", "no"])], llm, steps=4,
                          max_new_tokens=40, return_result=True)
    assert set(results[0].value) == {"name", "age", "city"} and results[1].value in ("yes", "no")
    r = results[0]
    assert r.finish_reason == "stop" and r.max_new_tokens == 40 and r.tokens[-1] == llm.tokenizer.eos_token_id
    assert r.timings["steps"] <= 4 and r.timings["forwards"] <= 4 and json.loads(r.text) == r.value
    assert set(r.forced_tokens) <= set(range(len(r.tokens)))
    tree = ElementTree.fromstring(r.trace.svg("a <canvas> & more"))
    assert "<title>a &lt;canvas&gt;</title>" in r.trace.html("a <canvas>") and "<svg" in r.trace.html()
    states = r.trace.states()
    assert len(tree.findall(".//{*}rect")) == len(states) * 40 + 8
    assert "".join(text for kind, text in states[-1] if kind != "end").startswith(r.text)
    assert {kind for kind, _ in states[0]} == {"masked"} and "masked" not in {kind for kind, _ in states[-1]}


def test_pictures_by_name(tmp_path):
    from structgen.cli.common import InputError, UsageError
    from structgen.cli.generate import _draw, run as generate
    from structgen.diffusion.trace import Trace

    result = SimpleNamespace(trace=Trace(2, {0: 65}, [], {65: "A"}), text="A")
    _draw(result, str(tmp_path / "a.svg"), "model")
    _draw(result, str(tmp_path / "a.HTML"), "model")
    assert ElementTree.fromstring((tmp_path / "a.svg").read_text()).tag.endswith("svg")
    assert (tmp_path / "a.HTML").read_text().startswith("<!doctype html>")
    with pytest.raises(InputError, match="cannot write"):
        _draw(result, str(tmp_path / "none" / "a.svg"), "model")
    with pytest.raises(UsageError, match=".svg or .html"):
        generate(None, None, False, None, "none", "", 1, None, None, {}, {}, False, "a.png", {})


def test_streams_grow(llm):
    seen = list(sg.stream(PROMPT, Person, llm, steps=4, max_new_tokens=40, commit="random", seed=2))
    assert isinstance(seen[-1], Person)
    assert seen[-1] == sg.generate(PROMPT, Person, llm, steps=4, max_new_tokens=40, commit="random", seed=2)
    texts = list(sg.stream("x", sg.Regex("[ab]{12}"), llm, steps=6, max_new_tokens=16, commit="random", seed=1))
    assert all(b.startswith(a) for a, b in zip(texts, texts[1:]))
    stops = iter([False, True])
    r = sg.generate(PROMPT, Person, llm, steps=6, max_new_tokens=40, return_result=True, cancelled=lambda: next(stops))
    assert r.finish_reason == "cancelled" and isinstance(r.value, str)


def test_generate_refuses_by_name(llm):
    for options, error, words in (
            ({"top_p": 0.5}, StructgenError, "does not take top_p"),
            ({"sampling": "exact"}, StructgenError, "from left to right"),
            ({"max_new_tokens": 3}, BudgetError, "shortest valid text"),
            ({"max_new_tokens": 2000}, ModelError, "context"),
            ({"mask_id": 70}, ModelError, "ordinary token"),
            ({"max_new_tokens": 0}, StructgenError, "integer >= 1")):
        with pytest.raises(error, match=words):
            sg.generate(PROMPT, Person, llm, **options)
    with pytest.raises(StructgenError, match="unknown argument steps"):
        sg.generate("x", sg.Choice(["a"]), "tiny", steps=3)
