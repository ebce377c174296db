"""Our decode loop against transformers' own, against one row at a time, and by its promises."""

import math

import numpy as np
import pytest
import torch

from structgen.decoding.forward import BatchFeeder, SoloFeeder, _Model
from structgen.decoding.loop import JUMPS, Request, decode
from structgen.decoding.processor import LogitsProcessor
from structgen.decoding.sampling_params import SamplingParams
from structgen.errors import BudgetError, MatcherError, ModelError, StructgenError
from tests.support.fake_engine import FakeCompiled, bits_of

WORDS = ["yes", "no", "maybe not", "perhaps", "the quick brown fox", "the quick brown dog",
         '{"name": "Ada"}', '{"name": "Alan", "age": 3}']
OTHER = ["12", "123", "1234", "7", "77 88 99"]
PROMPTS = ["Say: ", "Give me a long number please", "A", "", "the quick brown fox jumps over"]


@pytest.fixture(scope="module")
def words(vocabulary):
    return FakeCompiled(WORDS, vocabulary)


@pytest.fixture(scope="module")
def digits(vocabulary):
    return FakeCompiled(OTHER, vocabulary)


def ids_of(tiny, text):
    return tiny.tokenizer(text).input_ids or [tiny.tokenizer.eos_token_id]


def run(model, requests, params=SamplingParams(), **kw):
    rows = None
    for rows in decode(model, requests, params, pad=1, **kw):
        pass
    return rows


def test_agrees_with_transformers_generate(tiny, words):
    for prompt in PROMPTS[:3]:
        ids = ids_of(tiny, prompt)
        out = tiny.model.generate(torch.tensor([ids]), max_new_tokens=20,
                                  logits_processor=[LogitsProcessor(words)])
        for jump in ("tokens", None):
            row = run(tiny.model, [Request(ids, words, 20)], jump=jump)[0]
            assert row.tokens == out[0, len(ids):].tolist()
            assert row.finish_reason == "stop"
        free = tiny.model.generate(torch.tensor([ids]), max_new_tokens=12)[0, len(ids):].tolist()
        row = run(tiny.model, [Request(ids, None, 12)], eos=[tiny.tokenizer.eos_token_id])[0]
        assert row.tokens == free and row.finish_reason in ("length", "stop")


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(temperature=1.3),
                                    SamplingParams(temperature=0.8, top_k=3, top_p=0.9, min_p=0.01,
                                                   repetition_penalty=1.2)])
def test_a_row_does_not_depend_on_its_batch(tiny, words, digits, jump, params):
    requests = [Request(ids_of(tiny, p), c, 24, seed=5 + k)
                for k, (p, c) in enumerate(zip(PROMPTS * 2, [words, digits, words, None, words] * 2))]
    batch = run(tiny.model, requests, params, jump=jump, mass=True)
    texts = [r.data.decode() for r in batch]
    for row, request in zip(batch, requests):
        alone = run(tiny.model, [request], params, jump=jump, mass=True)[0]
        assert alone.tokens == row.tokens and alone.forced == row.forced
        if request.compiled is not None:
            assert row.data.decode() in request.compiled.words
            assert row.log_mass == pytest.approx(alone.log_mass, abs=1e-3) and row.log_mass <= 1e-9
            assert row.finish_reason == "stop" and row.tokens[-1] in row.eos
    assert len(set(texts)) > 3


def test_jumping_saves_forward_passes_only(tiny, words):
    ids = ids_of(tiny, "Say: ")
    rows = {jump: run(tiny.model, [Request(ids, words, 24)], jump=jump)[0] for jump in JUMPS}
    assert rows["tokens"].tokens == rows[None].tokens
    assert rows["tokens"].timings["forwards"] <= rows[None].timings["forwards"]
    for jump, row in rows.items():
        # a token is forced or took a pass, and the last one needs none after it
        assert row.timings["forwards"] == len(row.tokens) - len(row.forced)
    only = FakeCompiled(["the quick brown fox"], words.vocabulary)
    row = run(tiny.model, [Request(ids, only, 24)])[0]
    assert row.timings["forwards"] == 0 and row.data == b"the quick brown fox"
    assert row.tokens[:-1] == only.vocabulary.encode("the quick brown fox")


def test_seeds(tiny, words):
    params = SamplingParams(temperature=2.0)
    ids = ids_of(tiny, "Say: ")
    draws = [run(tiny.model, [Request(ids, words, 24, seed=s)], params)[0].tokens for s in range(8)]
    again = [run(tiny.model, [Request(ids, words, 24, seed=s)], params)[0].tokens for s in range(8)]
    assert draws == again and len({tuple(d) for d in draws}) > 1


@pytest.mark.parametrize("jump", JUMPS)
def test_mass_kept_is_the_models(tiny, words, jump):
    for seed in range(3):
        ids = ids_of(tiny, "Say: ")
        row = run(tiny.model, [Request(ids, words, 24, seed=seed)], SamplingParams(temperature=1.5),
                  jump=jump, mass=True)[0]
        with torch.no_grad():
            logp = torch.log_softmax(tiny.model(torch.tensor([ids + row.tokens])).logits[0].double(), 1)
        m = words.matcher(max_tokens=24)
        want = 0.0
        for k, token in enumerate(row.tokens):
            allowed = [token] if k in row.forced else sorted(bits_of(m, words.vocabulary.size))
            want += float(logp[len(ids) - 1 + k, allowed].logsumexp(0))
            m.accept(token)
        assert row.log_mass == pytest.approx(want, abs=1e-3)


def test_sampling_follows_the_masked_distribution(tiny, vocabulary):
    """Chi-square of 600 draws against the exact distribution over outputs."""
    c = FakeCompiled(["a", "b", "cd", "ce"], vocabulary)
    ids = ids_of(tiny, "Pick one: ")
    temperature = 2.0
    exact = {}

    def walk(m, tokens, p):
        if m.is_finished:
            text = b"".join(vocabulary.token_bytes(t) or b"" for t in tokens).decode()
            exact[text] = exact.get(text, 0.0) + p
            return
        with torch.no_grad():
            logits = tiny.model(torch.tensor([ids + tokens])).logits[0, -1].double() / temperature
        allowed = sorted(bits_of(m, vocabulary.size))
        probs = torch.softmax(logits[allowed], 0).tolist()
        for t, q in zip(allowed, probs):
            n = m.fork()
            n.accept(t)
            walk(n, tokens + [t], p * q)

    walk(c.matcher(), [], 1.0)
    assert math.isclose(sum(exact.values()), 1.0)
    n = 600
    rows = run(tiny.model, [Request(ids, c, 8, seed=k) for k in range(n)], SamplingParams(temperature=temperature),
               jump="tokens")
    counts = {text: 0 for text in exact}
    for row in rows:
        counts[row.data.decode()] += 1
    from math import sqrt

    for text, p in exact.items():
        assert abs(counts[text] - n * p) < 5 * sqrt(n * p * (1 - p)) + 1


def test_budget(tiny, words):
    ids = ids_of(tiny, "Say: ")
    calls = []
    model = tiny.model

    def counted(*a, **kw):
        calls.append(1)
        return model(*a, **kw)

    counted.config, counted.forward, counted.device = model.config, model.forward, model.device
    with pytest.raises(BudgetError):
        run(counted, [Request(ids, words, 20), Request(ids, words, 1)])
    assert not calls
    shortest = min(len(words.vocabulary.tokenize(w.encode())) for w in WORDS) + 1
    for budget in range(shortest, 12):
        row = run(model, [Request(ids, words, budget, seed=budget)], SamplingParams(temperature=3.0))[0]
        assert row.data.decode() in WORDS and len(row.tokens) <= budget and row.finish_reason == "stop"


def test_cancelling_and_progress(tiny, words):
    requests = [Request(ids_of(tiny, p), None, 50) for p in PROMPTS[:2]]
    count = 0

    def cancelled():
        nonlocal count
        count += 1
        return count > 4

    steps = []
    for rows in decode(tiny.model, requests, SamplingParams(), pad=1, cancelled=cancelled):
        steps.append([len(r.tokens) for r in rows])
    assert steps == [[k, k] for k in range(5)]
    assert {r.finish_reason for r in rows} == {"cancelled"}


class Constant(torch.nn.Module):
    """A model without a cache whose logits are what it is told."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, input_ids):
        return self.logits.expand(1, input_ids.shape[1], -1)


def test_models_without_a_cache_and_bad_logits(words):
    v = words.vocabulary
    flat = torch.zeros(v.size + 7)
    row = run(Constant(flat), [Request([3], words, 30, seed=1), Request([3, 4], words, 30, seed=2)],
              SamplingParams(temperature=1.0))
    assert all(r.data.decode() in WORDS for r in row)
    for sampling in (SamplingParams(), SamplingParams(temperature=1.0)):
        with pytest.raises(ModelError, match="NaN"):
            run(Constant(flat * float("nan")), [Request([3], words, 30)], sampling)
    with pytest.raises(ModelError, match="NaN"):
        run(Constant(flat * float("nan")), [Request([3], None, 30)])
    with pytest.raises(MatcherError, match="probability zero"):
        run(Constant(flat - float("inf")), [Request([3], words, 30)])
    with pytest.raises(MatcherError, match="probability zero"):
        run(Constant(flat[:2]), [Request([3], words, 30)])          # a model for another tokenizer


def test_feeders_agree(tiny):
    """Uneven additions through one cache give the logits of each row on its own."""
    rng = np.random.default_rng(0)
    model = _Model(tiny.model)
    assert model.uneven
    batch, solo = BatchFeeder(model, 1), SoloFeeder(model)
    rows = list(range(4))
    for step in range(5):
        sizes = rng.integers(1, 6, size=len(rows))
        tokens = [rng.integers(5, 500, size=n).tolist() for n in sizes]
        keep = int(min(sizes))
        a, b = batch.feed(tokens, keep), solo.feed(tokens, keep)
        assert torch.allclose(a, b, atol=1e-4)
        if step == 2:
            batch.select([0, 2, 3]), solo.select([0, 2, 3])
            rows = rows[:3]


def test_sliding_window_models_run_alone(vocabulary, words):
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(vocab_size=vocabulary.size, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
                           num_attention_heads=2, num_key_value_heads=1, sliding_window=6,
                           bos_token_id=None, eos_token_id=vocabulary.eos_ids[0])
    model = MistralForCausalLM(config).eval()
    assert not _Model(model).uneven
    requests = [Request([5 + k] * (3 + 4 * k), words, 24, seed=k) for k in range(3)]
    rows = run(model, requests, SamplingParams(temperature=2.0), jump="tokens")
    for row, request in zip(rows, requests):
        assert row.data.decode() in WORDS
        assert run(model, [request], SamplingParams(temperature=2.0), jump="tokens")[0].tokens == row.tokens


def test_arguments(tiny, words):
    with pytest.raises(StructgenError, match="jump"):
        run(tiny.model, [Request([3], words, 20)], jump="fast")
    for bad in ({"temperature": -1}, {"top_p": 0}, {"top_k": 2.5}, {"min_p": 2}, {"repetition_penalty": 0},
                {"do_sample": True, "temperature": 0}):
        with pytest.raises(StructgenError, match="bad sampling parameter"):
            SamplingParams.make(bad)
    with pytest.raises(StructgenError, match="unknown argument.*temprature"):
        SamplingParams.make({"temprature": 1})
    from transformers import T5Config, T5ForConditionalGeneration

    t5 = T5ForConditionalGeneration(T5Config(vocab_size=600, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    with pytest.raises(ModelError, match="encoder-decoder"):
        run(t5, [Request([3], words, 20)])
    assert SamplingParams(temperature=0).sampled is False and SamplingParams(top_k=5).sampled
