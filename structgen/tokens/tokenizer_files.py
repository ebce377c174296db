"""Tokenizer files: which one a folder holds, what it says, what the files beside it say.

A `Source` is a tokenizer found but not read yet: a digest of its contents (to
find a saved vocabulary), how to read it, the `Facts` of the configuration
around it, and how to make the encoder of the real tokenizer.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

from ..errors import VocabularyError
from . import ranks, sentencepiece_vocab, tokenizer_json
from .vocabulary import TokenTable

__all__ = ["Facts", "Source", "find_main", "file_source", "folder_facts", "ids_of", "read_file", "SIDE_FILES"]

#: What a folder may hold, best first, and the files beside it that are read too.
_MAIN_FILES = ("tokenizer.json", "tekken.json", "tokenizer.model", "tiktoken.model", "spiece.model",
               "sentencepiece.bpe.model", "vocab.json")
_MAIN_PATTERNS = ("*.tiktoken", "tokenizer.model.v*", "*.model")
SIDE_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
              "generation_config.json", "config.json")
_NAMED = ("bos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

Encoder = Callable[[str], Sequence[int]]


class Facts(NamedTuple):
    """What the files beside a tokenizer, or the object around it, say about its ids."""

    end_names: list[str]
    end_ids: list[int]                       # the tokenizer's own
    model_end_ids: list[int]                 # out of a model's configuration
    special_names: list[str]
    added: list[tuple[int, str, bool]]       # (id, content, special)

    @classmethod
    def none(cls) -> "Facts":
        """Nothing known yet; the lists are filled in place."""
        return cls([], [], [], [], [])


class Source(NamedTuple):
    """A tokenizer found: how to key it, read it and encode with it."""

    name: str
    digest: Callable[[], str]
    read: Callable[[], TokenTable]
    facts: Callable[[], Facts]
    encoder: Callable[[], Encoder | None] | None


def find_main(given: str) -> str:
    """The tokenizer file that a path means: itself, or the best one in a folder."""
    if os.path.isfile(given):
        return given
    for name in _MAIN_FILES:
        path = os.path.join(given, name)
        if os.path.isfile(path):
            return path
    folder = Path(given)
    if not folder.exists():
        raise VocabularyError(
            f"no tokenizer at {given!r}: there is no such file or folder",
            hint="give a folder, a tokenizer.json or a tokenizer object; hub ids are not resolved here")
    for pattern in _MAIN_PATTERNS:
        for found in sorted(folder.glob(pattern)):
            if found.is_file():
                return str(found)
    held = sorted(p.name for p in folder.iterdir())
    raise VocabularyError(f"no tokenizer in folder {given!r}: looked for "
                          f"{', '.join(_MAIN_FILES + _MAIN_PATTERNS)}; found {', '.join(held[:12]) or 'nothing'}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VocabularyError(f"cannot read the tokenizer file {str(path)!r}: {error}") from None


def _parse_json(data: bytes, path: Path) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"{str(path)!r} is not valid JSON: {error}") from None


def file_source(main: Path) -> Source:
    """The tokenizer in one file, with the configuration beside it."""
    def digest() -> str:
        state = hashlib.sha256()
        for path in (main, *(main.parent / name for name in SIDE_FILES)):
            try:
                data = path.read_bytes()
            except OSError:
                continue
            state.update(f"{path.name}\0{len(data)}\0".encode())
            state.update(data)
        return state.hexdigest()

    return Source(str(main), digest, lambda: read_file(main), lambda: folder_facts(main.parent),
                   lambda: _file_encoder(main))


def read_file(path: Path) -> TokenTable:
    """Read a tokenizer file of any known format, told apart by its contents."""
    data = _read(path)
    name = str(path)
    if ranks.looks_like_ranks(data[:4096]):
        return ranks.rank_table(data, name)
    if data[:64].lstrip()[:1] in (b"{", b"["):
        spec = _parse_json(data, path)
        if ranks.looks_like_tekken(spec):
            return ranks.tekken_table(spec, name)
        if isinstance(spec, dict) and "model" in spec:
            return tokenizer_json.token_table(spec, name)
        if isinstance(spec, dict) and spec and all(type(v) is int for v in spec.values()):
            return ranks.vocab_json_table(spec, name)
        found = f"an object with keys {sorted(spec)[:8]}" if isinstance(spec, dict) else "a list"
        raise VocabularyError(f"unsupported tokenizer file {name!r}: looked for tokenizer.json (model), "
                              f"tekken (config and vocab) or vocab.json (token to id), found {found}")
    if sentencepiece_vocab.looks_like_sentencepiece(data[:16]):
        return sentencepiece_vocab.sentencepiece_table(data, name)
    raise VocabularyError(f"unsupported tokenizer file {name!r}: looked for JSON, a SentencePiece model or "
                          f"lines of base64 token and rank, found {len(data)} bytes starting with {data[:16]!r}")


def _file_encoder(path: Path) -> Encoder | None:
    """The real tokenizer of a file, if the package that runs it is installed."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
        if head.lstrip()[:1] == b"{":
            if path.name == "vocab.json":
                return None
            if path.name == "tokenizer.json" or b'"token_bytes"' not in head:
                from tokenizers import Tokenizer

                real = Tokenizer.from_file(str(path))
                real.no_truncation()
                real.no_padding()
                real.encode_special_tokens = True
                return lambda text: real.encode(text, add_special_tokens=False).ids
            return ranks.tekken_encoder(json.loads(path.read_bytes()), str(path))
        if not ranks.looks_like_ranks(head) and sentencepiece_vocab.looks_like_sentencepiece(head):
            from sentencepiece import SentencePieceProcessor

            processor = SentencePieceProcessor(model_file=str(path))
            return lambda text: processor.encode(text)
    except ImportError:
        return None
    except Exception:       # the packages raise bare Exception; greedy segmentation remains
        return None
    return None


def _json_beside(folder: Path, name: str) -> dict:
    path = folder / name
    try:
        spec = json.loads(path.read_bytes())
    except OSError:
        return {}
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"{str(path)!r} is not valid JSON: {error}") from None
    return spec if isinstance(spec, dict) else {}


def _names(value: Any) -> list[str]:
    """Token names out of the several ways configurations write them."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [value["content"]] if isinstance(value.get("content"), str) else \
            [n for v in value.values() for n in _names(v)]
    if isinstance(value, list):
        return [n for v in value for n in _names(v)]
    return []


def ids_of(value: Any) -> list[int]:
    """The ids in a configuration's id or list of ids."""
    values = value if isinstance(value, (list, tuple)) else [value]
    return [v for v in values if type(v) is int and v >= 0]


def folder_facts(folder: Path) -> Facts:
    """What the configuration files of a folder say about its tokenizer."""
    facts = Facts.none()
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        spec = _json_beside(folder, name)
        facts.end_names.extend(_names(spec.get("eos_token")))
        for key in _NAMED:
            facts.special_names.extend(_names(spec.get(key)))
        for key in ("additional_special_tokens", "extra_special_tokens"):
            facts.special_names.extend(_names(spec.get(key)))
        decoder = spec.get("added_tokens_decoder")
        for i, entry in decoder.items() if isinstance(decoder, dict) else ():
            if i.isdecimal() and isinstance(entry, dict) and isinstance(entry.get("content"), str):
                facts.added.append((int(i), entry["content"], bool(entry.get("special"))))
    for content, i in _json_beside(folder, "added_tokens.json").items():
        if type(i) is int and i >= 0:
            facts.added.append((i, content, False))
    facts.model_end_ids.extend(ids_of(_json_beside(folder, "generation_config.json").get("eos_token_id")))
    config = _json_beside(folder, "config.json")
    facts.model_end_ids.extend(ids_of(config.get("eos_token_id")))
    inner = config.get("text_config")
    if isinstance(inner, dict):
        facts.model_end_ids.extend(ids_of(inner.get("eos_token_id")))
    return facts
