"""Tokenizer objects: recognised by what they offer, unwrapping what wraps one.

Fast tokenizers give their ``tokenizer.json`` as text, tiktoken encodings their
bytes, SentencePiece processors their model file; other objects are read from
the file they came from.  No package is imported for it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Callable, Sequence

from ..errors import VocabularyError
from . import sentencepiece_vocab, tokenizer_json
from .tokenizer_files import Encoder, Facts, Source, file_source, folder_facts, ids_of
from .vocabulary import TokenTable

__all__ = ["object_source", "signature"]


def signature(tokenizer: Any) -> tuple:
    """Cheap facts that change when someone adds tokens to the object."""
    try:
        size = len(tokenizer)
    except TypeError:
        size = None
    return size, repr(getattr(tokenizer, "eos_token_id", None))


def _payload_source(name: str, payload: bytes, read: Callable[[], TokenTable], facts: Facts,
                    encoder: Callable[[], Encoder | None] | None) -> Source:
    def digest() -> str:
        state = hashlib.sha256(repr((name, facts)).encode())
        state.update(payload)
        return state.hexdigest()

    return Source(name, digest, read, lambda: facts, encoder)


def _object_facts(tokenizer: Any) -> Facts:
    """Ends of text an object knows, and those in the folder it was loaded from."""
    facts = Facts.none()
    for owner in (tokenizer, getattr(tokenizer, "instruct_tokenizer", None)):
        for name in ("eos_token_id", "eos_id"):
            value = getattr(owner, name, None)
            if callable(value):
                value = value()
            facts.end_ids.extend(ids_of(value))
    facts.end_ids.extend(ids_of(getattr(tokenizer, "stop_tokens", None)))
    decoder = getattr(tokenizer, "added_tokens_decoder", None)
    for i, entry in decoder.items() if isinstance(decoder, dict) else ():
        if type(i) is int and isinstance(getattr(entry, "content", None), str):
            facts.added.append((i, entry.content, bool(getattr(entry, "special", False))))
    origin = getattr(tokenizer, "name_or_path", None)
    if isinstance(origin, str) and origin and os.path.isdir(origin):
        beside = folder_facts(Path(origin))
        facts.model_end_ids.extend(beside.model_end_ids)
    return facts


def object_source(tokenizer: Any) -> Source:
    """Recognise a tokenizer object by what it offers, unwrapping what wraps one."""
    kind = f"{type(tokenizer).__module__}.{type(tokenizer).__qualname__}"
    facts = _object_facts(tokenizer)
    part, seen = tokenizer, []
    for _ in range(5):
        if part is None or any(part is s for s in seen):
            break
        seen.append(part)
        backend = next((b for b in (part, getattr(part, "backend_tokenizer", None),
                                    getattr(part, "_tokenizer", None))
                        if callable(getattr(b, "to_str", None))), None)
        if backend is not None:
            return _json_source(backend, kind, facts)
        if callable(getattr(part, "decode_single_token_bytes", None)):
            return _encoding_source(part, kind, facts)
        for processor in (part, getattr(part, "sp_model", None)):
            if callable(getattr(processor, "serialized_model_proto", None)):
                return _processor_source(processor, kind, facts)
        path = next((p for p in (getattr(part, "file_path", None), getattr(part, "vocab_file", None))
                     if isinstance(p, (str, os.PathLike)) and os.path.isfile(p)), None)
        if path is not None:
            source = file_source(Path(path))
            return source._replace(digest=lambda: hashlib.sha256(
                (source.digest() + repr(facts)).encode()).hexdigest(), facts=lambda: facts)
        part = next((p for p in (getattr(part, name, None) for name in
                                 ("tokenizer", "instruct_tokenizer", "model"))
                     if p is not None and not callable(p) or hasattr(p, "decode_single_token_bytes")
                     or callable(getattr(p, "to_str", None)) or hasattr(p, "backend_tokenizer")), None)
    raise VocabularyError(
        f"unsupported tokenizer object {kind}: looked for a fast tokenizer (backend_tokenizer), a "
        "tokenizers.Tokenizer (to_str), a tiktoken encoding, a SentencePiece processor, or the file it "
        "was loaded from", hint="pass the folder that holds its tokenizer.json")


def _json_source(backend: Any, kind: str, facts: Facts) -> Source:
    text = backend.to_str()
    if not isinstance(text, str):
        raise VocabularyError(f"unsupported tokenizer object {kind}: to_str() gave {type(text).__name__}")

    def encode(value: str) -> Sequence[int]:
        return backend.encode(value, add_special_tokens=False).ids

    return _payload_source(f"a {kind} object", text.encode("utf-8", "surrogatepass"),
                           lambda: tokenizer_json.token_table(json.loads(text), f"a {kind} object"),
                           facts, lambda: encode)


def _encoding_source(encoding: Any, kind: str, facts: Facts) -> Source:
    """A tiktoken encoding, through its public methods."""
    special = {name: encoding.encode_single_token(name) for name in encoding.special_tokens_set}
    ids = set(special.values())
    tokens = [b""] * encoding.n_vocab
    for i in range(len(tokens)):
        if i not in ids:
            try:
                tokens[i] = encoding.decode_single_token_bytes(i)
            except KeyError:
                pass            # a gap in the numbering
    table = TokenTable(tokens, special, family="tiktoken encoding")
    payload = repr((sorted(special.items()), [len(t) for t in tokens])).encode() + b"".join(tokens)
    return _payload_source(f"a {kind} object", payload, lambda: table, facts,
                           lambda: encoding.encode_ordinary)


def _processor_source(processor: Any, kind: str, facts: Facts) -> Source:
    payload = processor.serialized_model_proto()
    return _payload_source(f"a {kind} object", payload,
                           lambda: sentencepiece_vocab.sentencepiece_table(payload, f"a {kind} object"),
                           facts, lambda: lambda text: processor.encode(text))
