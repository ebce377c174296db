"""The tokenizer of the embedded models: byte-level BPE of 4,096 ids, trained on the corpus.

Digits and capitalised words never merge with the space before them, so that a
name or a number in a text is spelled by the same tokens as in a JSON string,
where a quote stands before it; runs of punctuation merge freely (``":"``,
``","``, ``"}``), so tokens straddle lexemes as those of real models do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator, Sequence

from ..corpus import Example, examples

__all__ = ["train_tokenizer", "save_tokenizer", "render", "EOS", "PAD", "MASK", "CHAT_TEMPLATE"]

EOS, PAD, MASK = "<|end|>", "<|pad|>", "<|mask|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")

# as the template of the tiny model: a role token, the text, the end token
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}"
    "{% if not loop.last or add_generation_prompt %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

_SPLIT = r"\p{N}|\p{Lu}{3,}| ?\p{Ll}+|\p{Lu}\p{Ll}*|\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"


def render(messages: Sequence[dict]) -> str:
    """What the chat template makes of messages and the start of the answer.

    Examples
    --------
    >>> render([{"role": "user", "content": "Hello"}])
    '<|user|>Hello<|end|><|assistant|>'
    """
    return "".join(f"<|{m['role']}|>{m['content']}{EOS}" for m in messages) + ROLES[2]


def _texts(source: Iterator[Example]) -> Iterator[str]:
    for e in source:
        yield from (m["content"] for m in e.messages)
        yield e.answer


def train_tokenizer(folder: Path, *, vocab_size: int = 4096, count: int = 60_000, seed: int = 0) -> Any:
    """Train the tokenizer on `count` training examples and write it to `folder`.

    Returns
    -------
    transformers.PreTrainedTokenizerFast
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoTokenizer

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(_texts(examples(seed, count)), trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[EOS, PAD, MASK, *ROLES], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    save_tokenizer(raw, folder)
    return AutoTokenizer.from_pretrained(folder)


def save_tokenizer(raw: Any, folder: Path) -> None:
    """Write a `tokenizers.Tokenizer` with its roles so that any version of transformers reads it alike."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    raw.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": EOS, "pad_token": PAD, "mask_token": MASK,
        "additional_special_tokens": list(ROLES), "padding_side": "left", "model_max_length": 1024,
        "clean_up_tokenization_spaces": False, "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
