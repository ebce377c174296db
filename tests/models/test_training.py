"""Training at a very small size: reproducible, resumable, exported in the usual format."""

import dataclasses
import json
import math
import xml.etree.ElementTree as ElementTree

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from structgen.models import is_masked_model, load                                          # noqa: E402
from structgen.models.corpus import Example, examples                                       # noqa: E402
from structgen.models.training.attention import use_written_out                             # noqa: E402
from structgen.models.training.batches import CHUNK, Stream                                 # noqa: E402
from structgen.models.training.evaluate import Score, autoregressive, diffusion, judge, table       # noqa: E402
from structgen.models.training.loop import Options, Run                                     # noqa: E402
from structgen.models.training.objectives import MaskedDiffusion                            # noqa: E402
from structgen.models.training.picture import loss_picture                                  # noqa: E402
from structgen.models.training.tokenizer import render, train_tokenizer                     # noqa: E402

KINDS = ("embedded", "embedded-diffusion")
SMALL = dict(steps=6, tokens=512, width=32, inner=48, layers=1, heads=2, warmup=2)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    torch.set_num_threads(1)
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer"), vocab_size=600, count=400)


def test_tokenizer(tokenizer):
    assert len(tokenizer) == 600 and tokenizer.mask_token_id is not None
    for e in examples(1, 60):
        text = render(e.messages)
        assert tokenizer.apply_chat_template(e.messages, tokenize=False, add_generation_prompt=True) == text
        assert tokenizer.decode(tokenizer(text + e.answer).input_ids) == text + e.answer
    odd = 'Ωmega  "7"\t🙂\n\x00 ǅ'
    assert tokenizer.decode(tokenizer(odd).input_ids) == odd
    # a name in a text and in a JSON string: the same tokens
    assert tokenizer("is Quorvix.").input_ids[-len(tokenizer("Quorvix.").input_ids):] == tokenizer("Quorvix.").input_ids


@pytest.mark.parametrize("canvas", [(), (32, 64)])
def test_batches(tokenizer, canvas):
    stream = Stream(tokenizer, 3, 2048, canvas)
    batches = stream.batches(0)
    rows = [row for part, _ in batches for row in part]
    assert len(rows) > 0.95 * CHUNK and len(set(map(str, rows))) > 0.9 * len(rows)
    room = used = 0
    for part, length in batches:
        assert len(part) * length <= 2048 or len(part) == 1
        for row in part:
            assert len(row.prompt) + max(len(row.answer), min(canvas, default=0)) <= length
            assert row.answer[-1] == tokenizer.eos_token_id
        room += len(part) * length
        used += sum(len(row.prompt) + len(row.answer) for row in part)
    assert canvas or used / room > 0.9
    walked = iter(Stream(tokenizer, 3, 2048, canvas))
    first = [next(walked) for _ in range(5)]
    later = Stream(tokenizer, 3, 2048, canvas)
    later.place.batch = 3
    assert [next(iter(later))] == first[3:4]


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_as_if_never_interrupted(tokenizer, tmp_path, kind):
    options = Options(objective=kind, **SMALL)
    straight = Run(tmp_path / "a", tokenizer, options, device="cpu")
    losses = straight.train(show=100)
    assert losses == Run(tmp_path / "b", tokenizer, options, device="cpu").train(until=3, show=100) \
        + Run(tmp_path / "b", tokenizer, options, device="cpu").train(show=100)
    resumed = Run(tmp_path / "b", tokenizer, options, device="cpu")
    assert resumed.step == 6 and resumed.train() == []
    for a, b in zip(straight.model.state_dict().values(), resumed.model.state_dict().values()):
        assert torch.equal(a, b)
    for name in "ab":
        lines = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
        assert [line["loss"] for line in lines] == [round(loss, 5) for loss in losses]
    other = Run(tmp_path / "c", tokenizer, dataclasses.replace(options, seed=2), device="cpu")
    assert other.train(until=1, show=100) != losses[:1]
    with pytest.raises(ValueError, match="other options: heads, rate"):
        Run(tmp_path / "a", tokenizer, dataclasses.replace(options, rate=1.0, heads=4), device="cpu")
    ElementTree.fromstring(loss_picture(tmp_path / "a" / "log.jsonl", "loss"))


def test_a_checkpoint_that_is_kept(tokenizer, tmp_path):
    options = Options(**SMALL)
    Run(tmp_path / "a", tokenizer, options, device="cpu").train(keep=4, every=3, show=100)
    Run(tmp_path / "b", tokenizer, options, device="cpu").train(until=4, show=100)
    kept, last, stopped = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
                           for name in ("a/step-4", "a", "b"))
    assert kept["step"] == stopped["step"] == 4 and last["step"] == 6
    assert kept["place"] == stopped["place"]
    for name, weights in stopped["model"].items():
        assert torch.equal(kept["model"][name], weights)
    assert any(not torch.equal(last["model"][name], weights) for name, weights in kept["model"].items())


def test_schedule(tokenizer, tmp_path):
    run = Run(tmp_path, tokenizer, Options(**{**SMALL, "steps": 100, "warmup": 10}), device="cpu")
    rates = [run.rate(step) for step in range(100)]
    assert rates[0] == 0.1 and rates[9:70] == [1.0] * 61 and rates[85] == pytest.approx(0.5) and rates[99] < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_exported(tokenizer, tmp_path, kind):
    run = Run(tmp_path / "run", tokenizer, Options(objective=kind, **SMALL), device="cpu")
    run.train(until=2, show=100)
    run.export(tmp_path / "model")
    llm = load(tmp_path / "model", device="cpu")
    assert is_masked_model(llm.model) == (kind != "embedded")
    assert next(llm.model.parameters()).dtype == torch.float16
    assert llm.tokenizer.get_vocab() == tokenizer.get_vocab() and llm.tokenizer.chat_template == tokenizer.chat_template
    assert llm.tokenizer.eos_token_id == llm.model.config.eos_token_id
    ids = torch.tensor([tokenizer(render([{"role": "user", "content": "Meet Ada, 36."}])).input_ids])
    with torch.no_grad():
        own, theirs = run.model.eval()(ids).logits, llm.model.float()(ids).logits
    # half precision, and torch's own attention in place of the one written out
    assert torch.allclose(own, theirs, atol=2e-2) and not torch.equal(own, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_written_out(tokenizer, tmp_path, kind, monkeypatch):
    monkeypatch.setattr("structgen.models.training.loop.use_written_out", lambda model: None)
    model = Run(tmp_path, tokenizer, Options(objective=kind, **SMALL), device="cpu").model
    ids = torch.randint(10, 500, (3, 21), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(ids).logits
        use_written_out(model)
        assert torch.allclose(before, model(ids).logits, atol=1e-5)
    assert model.config._attn_implementation.startswith("structgen")


def test_started_from_the_causal_model(tokenizer, tmp_path):
    causal = Run(tmp_path / "causal", tokenizer, Options(**{**SMALL, "layers": 2}), device="cpu")
    state = causal.model.state_dict()
    # with a residual stream of mean zero and embeddings of one length the two architectures agree exactly
    for name, w in state.items():
        if "embed" in name or "lm_head" in name:
            w.sub_(w.mean(1, keepdim=True)).div_(w.std(1, keepdim=True) + 1e-6).mul_(0.3)
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            w.sub_(w.mean(0, keepdim=True)).mul_(20)
        elif "norm" in name:
            w.copy_(torch.rand(w.shape, generator=torch.Generator().manual_seed(len(name))) + 0.5)
    causal.model.load_state_dict(state)
    causal.save()
    run = Run(tmp_path / "masked", tokenizer, Options(objective=KINDS[1], **{**SMALL, "layers": 3}), device="cpu",
              start=tmp_path / "causal")
    ids = torch.tensor([tokenizer(render([{"role": "user", "content": "Meet Ada, 36."}])).input_ids])
    with torch.no_grad():
        before, bidirectional = causal.model(ids).logits, run.model(ids).logits
        for layer in run.model.model.layers:
            layer.attn.is_causal = True     # as the attention of training reads it
        after = run.model(ids).logits
    assert torch.allclose(before, after, rtol=0.02, atol=0.02)
    assert not torch.allclose(before, bidirectional, rtol=0.02, atol=0.02)
    assert float(before.std()) > 0.1


def test_weights_of_masked_slots_are_unbiased(tokenizer):
    objective = MaskedDiffusion(tokenizer, {"width": 32, "inner": 48, "layers": 1, "heads": 2})
    model = objective.model()
    with torch.no_grad():
        model.decoder.weight.zero_()        # every token equally likely: each slot costs log V
    rows, length = objective.stream(1, 2048).batches(0)[0]
    seen = []

    def body(input_ids):
        seen.append(input_ids)
        return model.model(input_ids=input_ids)

    losses = [objective.loss(model, body, rows, length, torch.Generator().manual_seed(k), "cpu").item()
              for k in range(60)]
    assert sum(losses) / len(losses) == pytest.approx(math.log(600), rel=0.06)
    for ids in seen:
        for k, row in enumerate(rows):
            assert ids[k, :len(row.prompt)].tolist() == row.prompt
            for got, token in zip(ids[k, len(row.prompt):].tolist(), row.answer + [tokenizer.eos_token_id] * length):
                assert got in (token, tokenizer.mask_token_id)


def test_judging(tokenizer, tmp_path):
    e = Example("sql", [], "SELECT a;", None, None, "SELECT [ab];")
    assert judge(e, "SELECT a;") == (None, True, True) and judge(e, "SELECT b;") == (None, True, False)
    assert judge(e, "SELECT a; ") == (None, False, False)
    dated = Example("x", [], '"2024-02-30"', "2024-02-28", {"type": "string", "format": "date"}, None)
    assert judge(dated, '"2024-02-30"') == (True, False, False)
    score = Score("m", "names", "h")
    for text in ("SELECT a;", "SELECT b;", "x", "x"):
        score.add(e, text)
    assert score.row() == ["m", "names", "h", "4", "-", "50.0", "25.0 ± 21.7"]
    assert table([score]).splitlines()[2] == "| m | names | h | 4 | - | 50.0 | 25.0 ± 21.7 |"


def test_constrained_answers_of_an_untrained_model_are_valid(tokenizer, tmp_path):
    found = list(examples(5, 4, "names"))
    for kind in KINDS:
        run = Run(tmp_path / kind, tokenizer, Options(objective=kind, **SMALL), device="cpu")
        run.export(tmp_path / kind / "model")
        llm = load(tmp_path / kind / "model", device="cpu", dtype=torch.float32)
        if kind == "embedded":
            assert all(judge(e, text)[1] for e, text in zip(found, autoregressive(llm, found, True)))
            assert len(autoregressive(llm, found, False, budget=8)) == 4
        else:
            assert all(judge(e, text)[1] for e, text in zip(found, diffusion(llm, found, 4, 16, constrained=True)))
            assert len(diffusion(llm, found, 4)) == 4
