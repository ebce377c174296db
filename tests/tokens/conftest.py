"""Tokenizers to test with: real ones out of packages, small trained ones of every family."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

TEXTS = [
    "", " ", "a", "Hello, world!", "  two  blanks\n\n\ttab \r\n", "Grüße aus Zürich, naïve café",
    "日本語のテキストと中文字符", "Привет, мир", "مرحبا بالعالم", "नमस्ते दुनिया", "한국어 문장",
    "👩‍👩‍👧‍👦 🎉🇫🇷🏴󠁧󠁢󠁥󠁮󠁧󠁿", '{"key": [1, -2.5e-3, null, "\\u00e9"]}', "\x00\x01\x7f", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "a\u0301 \u2028\u00a0\ufeff end", "def f(x):\n    return x ** 2\n", "x" * 100 + " " * 40 + "\n" * 9,
]
CORPUS = [t for t in TEXTS if t] * 4 + [
    "the quick brown fox jumps over the lazy dog", "pack my box with five dozen liquor jugs",
    '{"name": "Ada", "born": 1815, "tags": ["math", "code"]}', "don't can't it's you're we've"] * 4


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep cache files of tests out of the user's cache (kept for the whole run: loads are reused)."""
    folder = tmp_path_factory.getbasetemp() / "structgen-cache"
    monkeypatch.setenv("STRUCTGEN_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def llama3(tmp_path_factory) -> Path:
    """The folder of the Llama-3 tokenizer in STRUCTGEN_DATA."""
    data = os.environ.get("STRUCTGEN_DATA")
    if not data:
        pytest.skip("STRUCTGEN_DATA is not set")
    for folder in sorted(Path(data).glob("*llama3*")):
        if (folder / "tokenizer.json").is_file():
            return folder
    archive = Path(data) / "tokenizer-llama3.tar.xz"
    if not archive.is_file():
        pytest.skip("no Llama-3 tokenizer in STRUCTGEN_DATA")
    target = tmp_path_factory.mktemp("llama3")
    with tarfile.open(archive) as tar:
        tar.extractall(target)
    return next(target.rglob("tokenizer.json")).parent


def _mistral(name: str) -> Path:
    package = pytest.importorskip("mistral_common")
    path = Path(package.__file__).parent / "data" / name
    if not path.is_file():
        pytest.skip(f"this mistral-common has no {name}")
    return path


@pytest.fixture(scope="session")
def tekken_file() -> Path:
    return _mistral("tekken_240911.json")


@pytest.fixture(scope="session")
def sentencepiece_file() -> Path:
    return _mistral("tokenizer.model.v1")


@pytest.fixture(scope="session")
def sentencepiece_v3_file() -> Path:
    return _mistral("mistral_instruct_tokenizer_240323.model.v3")


@pytest.fixture(scope="session")
def llama4_file() -> Path:
    package = pytest.importorskip("llama_models")
    path = Path(package.__file__).parent / "llama4" / "tokenizer.model"
    if not path.is_file():
        pytest.skip("this llama-models has no Llama 4 tokenizer")
    return path


def train(kind: str):
    """A small tokenizer of the `tokenizers` package, trained on CORPUS."""
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

    alphabet = sorted(set("".join(CORPUS)) - {" "})
    if kind == "byte-level":
        t = tokenizers.Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        t.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<s>", "</s>"], show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    elif kind == "byte-fallback":
        t = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                       decoders.Strip(" ", 1, 0)])
        names = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
        trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=names, show_progress=False,
                                      limit_alphabet=80)
    elif kind == "metaspace":
        t = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
        t.pre_tokenizer = pre_tokenizers.Metaspace()
        t.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>", "</s>"], show_progress=False)
    elif kind == "unigram":
        t = tokenizers.Tokenizer(models.Unigram())
        t.pre_tokenizer = pre_tokenizers.Metaspace()
        t.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=["<unk>", "</s>"], unk_token="<unk>",
                                          show_progress=False, initial_alphabet=alphabet)
    elif kind == "wordpiece":
        t = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        t.pre_tokenizer = pre_tokenizers.Whitespace()
        t.decoder = decoders.WordPiece(cleanup=True)
        trainer = trainers.WordPieceTrainer(vocab_size=700, special_tokens=["[UNK]", "[SEP]"], show_progress=False)
    elif kind == "suffix":
        t = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
        t.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), "removed")
        t.decoder = decoders.BPEDecoder("</w>")
        trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>"], end_of_word_suffix="</w>",
                                      show_progress=False)
    else:
        raise ValueError(kind)
    t.train_from_iterator(CORPUS, trainer)
    if kind == "byte-fallback":     # training marks every listed name special; the bytes are not
        import json

        spec = json.loads(t.to_str())
        spec["added_tokens"] = spec["added_tokens"][:3]
        t = tokenizers.Tokenizer.from_str(json.dumps(spec))
    return t


@pytest.fixture(scope="session")
def trained():
    made: dict[str, object] = {}

    def get(kind: str):
        if kind not in made:
            made[kind] = train(kind)
        return made[kind]
    return get
