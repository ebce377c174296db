"""Loading models: the tiny one, folders, pairs, and what cannot be loaded."""

import gc

import pytest

import structgen as sg
from structgen.models import LoadedModel, as_loaded, load

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


def test_tiny_is_a_function_of_its_recipe(tmp_path, monkeypatch):
    from structgen.models.tiny import tiny_model_folder

    folders = []
    for name in ("a", "b"):
        monkeypatch.setenv("STRUCTGEN_CACHE", str(tmp_path / name))
        folders.append(tiny_model_folder())
    assert folders[0] != folders[1] and tiny_model_folder() == folders[1]
    first, second = (load(f, device="cpu") for f in folders)
    assert first.tokenizer.get_vocab() == second.tokenizer.get_vocab()
    for a, b in zip(first.model.state_dict().values(), second.model.state_dict().values()):
        assert torch.equal(a, b)
    other = load(tiny_model_folder(seed=1), device="cpu").model
    assert not torch.equal(first.model.lm_head.weight, other.lm_head.weight)


def test_padded_vocabularies(tmp_path):
    from structgen.models.tiny import build_tiny

    build_tiny(tmp_path / "m", padded_vocab=640)
    llm = load(tmp_path / "m", device="cpu")
    assert llm.model.config.vocab_size == 640 and len(llm.tokenizer) == 512
    out = sg.generate("x", sg.Regex("[ab]{5}"), llm, temperature=5.0, seed=1)
    assert len(out) == 5
    prompt = llm.tokenizer("x", return_tensors="pt").input_ids
    p = sg.LogitsProcessor(sg.compile(sg.Choice(["ab", "cd"]), llm.tokenizer))
    assert not torch.isfinite(p(prompt, llm.model(prompt).logits[:, -1].detach())[:, 512:]).any()


def test_what_counts_as_a_model(tmp_path):
    llm = load("tiny", device="cpu", dtype=torch.bfloat16)
    model, tokenizer = llm
    assert model.dtype == torch.bfloat16 and not model.training and "tiny" in repr(llm)
    assert as_loaded(llm) is llm
    assert tuple(as_loaded((model, tokenizer))) == (model, tokenizer)
    assert tuple(as_loaded(model, tokenizer)) == (model, tokenizer)
    assert as_loaded("tiny") is as_loaded("tiny")
    tokenizer.save_pretrained(tmp_path)
    assert len(as_loaded(model, str(tmp_path)).tokenizer) == len(tokenizer)
    assert isinstance(as_loaded("tiny", tokenizer), LoadedModel)
    assert sg.generate("x", sg.Regex("a{3}b?"), llm, jump=None, temperature=1.0).startswith("aaa")   # half precision


@pytest.mark.parametrize("collecting", [True, False])
def test_garbage_collection_is_afterwards_as_before(collecting, tmp_path):
    before = gc.isenabled()
    (gc.enable if collecting else gc.disable)()
    try:
        load("tiny", device="cpu")
        assert gc.isenabled() == collecting
        with pytest.raises(sg.ModelError):
            load(tmp_path)
        assert gc.isenabled() == collecting
    finally:
        (gc.enable if before else gc.disable)()


@pytest.mark.parametrize("name", ["no/such-model", "./missing-folder", "embedded-diffusion"])
def test_what_cannot_be_loaded(name, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    if name.startswith("embedded"):
        monkeypatch.setattr("structgen.models.loading._DATA", tmp_path)
    with pytest.raises(sg.ModelError) as caught:
        load(name)
    assert caught.value.hint and name.lstrip("./") in str(caught.value)


def test_broken_folders(tmp_path):
    with pytest.raises(sg.ModelError, match="cannot load"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(sg.ModelError):
        load(tmp_path)
    _, tokenizer = load("tiny", device="cpu")
    with pytest.raises(sg.ModelError, match="cannot load the model"):
        load(tmp_path, tokenizer=tokenizer)
