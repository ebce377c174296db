"""A tiny random Llama with a byte-level BPE tokenizer, for tests and trials.

It knows nothing; it is there so that everything that needs *a* model runs
anywhere, offline, in a second.  Weights and tokenizer are a function of this
file, saved once as an ordinary Hugging Face folder in the cache directory and
then loaded by the same code as any other model.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Iterator, Optional

from ..cache import cache_dir

__all__ = ["tiny_model_folder", "build_tiny"]

EOS, PAD, SYSTEM, USER, ASSISTANT = "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}"
    "{% if not loop.last or add_generation_prompt %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

#: bump when anything below changes
_RECIPE = 1


def _corpus() -> Iterator[str]:
    """Small deterministic text with the punctuation of JSON in it."""
    names = ["Ada Lovelace", "Alan Turing", "Grace Hopper", "Émilie du Châtelet", "Srinivasa Ramanujan",
             "Hypatia", "Kurt Gödel", "Noether", "Euler", "Sophie Germain"]
    places = ["London", "Paris", "Göttingen", "Alexandria", "New York", "Kyoto", "São Paulo", "Zürich"]
    words = ("the quick brown fox jumps over a lazy dog while seven clever engines count numbers and "
             "names of people places dates true false null yes no maybe order address product price "
             "please give me user event list with items").split()
    for i in range(400):
        name, place = names[i % len(names)], places[(i * 3) % len(places)]
        record = {"name": name, "age": 18 + (i * 7) % 70, "city": place, "active": i % 3 == 0,
                  "tags": [words[(i + k) % len(words)] for k in range(i % 4)],
                  "score": round(i * 0.37, 2), "born": f"19{i % 90 + 10}-{i % 12 + 1:02d}-{i % 28 + 1:02d}",
                  "email": f"{words[i % len(words)]}@example.org", "note": None}
        yield json.dumps(record, ensure_ascii=False)
        yield json.dumps(record, separators=(",", ":"))
        yield json.dumps(record, indent=2, ensure_ascii=False)
        yield " ".join(words[(i * k + k) % len(words)] for k in range(2, 12)).capitalize() + "."
        yield f"{name} lived in {place}. Who is the user? Give me a user."


def _tokenizer(vocab_size: int):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(_corpus(), trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[EOS, PAD, SYSTEM, USER, ASSISTANT], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=EOS, pad_token=PAD, padding_side="left",
                                   chat_template=CHAT_TEMPLATE, clean_up_tokenization_spaces=False,
                                   model_max_length=2048)


def build_tiny(folder: Path, *, vocab_size: int = 512, hidden_size: int = 64, layers: int = 2,
               seed: int = 0, padded_vocab: Optional[int] = None) -> None:
    """Write the model and its tokenizer to `folder`.

    `padded_vocab` gives the model more ids than the tokenizer has, as many real
    models do.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(vocab_size)
    config = LlamaConfig(
        vocab_size=padded_vocab or len(tokenizer), hidden_size=hidden_size, intermediate_size=2 * hidden_size,
        num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=2048, tie_word_embeddings=True, initializer_range=0.2,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def tiny_model_folder(**options) -> str:
    """The folder of the tiny model, made on first use (about a second).

    Parameters
    ----------
    **options
        Of :func:`build_tiny`.

    Examples
    --------
    >>> from pathlib import Path
    >>> (Path(tiny_model_folder()) / "config.json").is_file()
    True
    """
    import transformers

    key = json.dumps([_RECIPE, sorted(options.items()), transformers.__version__])
    name = "tiny-" + hashlib.blake2b(key.encode(), digest_size=6).hexdigest()
    for root in (cache_dir() / "models", Path(tempfile.gettempdir()) / "structgen-models"):
        target = root / name
        if (target / "config.json").is_file():
            return str(target)
        try:
            root.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=name + ".", dir=root))
        except OSError:
            continue            # a read-only cache: use the next place
        try:
            build_tiny(work, **options)
            try:
                os.replace(work, target)
            except OSError:     # somebody else was faster
                if not (target / "config.json").is_file():
                    raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return str(target)
    raise OSError("found no folder to write the tiny model to")
