"""Token bytes from rank files: tiktoken's text format and Mistral's tekken.json.

A tiktoken file has a line ``base64 rank`` for each ordinary token; it does not
say which special tokens follow, so those come from the files beside it or from
the caller.  A tekken file lists tokens the same way inside JSON, puts its
special tokens *before* the ordinary ones, and keeps only as many ordinary
tokens as fit its vocabulary size.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Callable, Sequence

from ..errors import VocabularyError
from .vocabulary import MAX_IDS, TokenTable

__all__ = ["rank_table", "looks_like_ranks", "tekken_table", "looks_like_tekken", "tekken_encoder",
           "vocab_json_table"]

#: Special tokens of tekken files that do not list theirs (up to version 7), in order of id.
_TEKKEN_SPECIAL = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]",
    "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]")


def looks_like_ranks(head: bytes) -> bool:
    """Whether a file starting with `head` may be a tiktoken rank file."""
    fields = head.split(b"\n", 1)[0].split()
    if len(fields) != 2 or not fields[1].isdigit():
        return False
    try:
        return bool(base64.b64decode(fields[0], validate=True))
    except binascii.Error:
        return False


def rank_table(data: bytes, source: str = "rank file") -> TokenTable:
    """Read a tiktoken-style rank file (ordinary tokens only).

    Examples
    --------
    >>> rank_table(b"YQ== 0\\nYWI= 2\\n").tokens
    [b'a', b'', b'ab']
    """
    found: dict[int, bytes] = {}
    for number, line in enumerate(data.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            token, rank = fields
            value = int(rank)
            if not 0 <= value < MAX_IDS:
                raise ValueError
            found[value] = base64.b64decode(token, validate=True)
        except (ValueError, binascii.Error):
            raise VocabularyError(f"{source}: line {number} is not a base64 token and a rank: "
                                  f"{line[:60]!r}") from None
    if not found:
        raise VocabularyError(f"{source}: looked for lines of a base64 token and a rank, found none")
    tokens = [b""] * (max(found) + 1)
    for i, token in found.items():
        tokens[i] = token
    return TokenTable(tokens, {}, family="tiktoken ranks")


def looks_like_tekken(spec: Any) -> bool:
    """Whether parsed JSON is a tekken file."""
    return (isinstance(spec, dict) and isinstance(spec.get("config"), dict)
            and isinstance(spec.get("vocab"), list) and "model" not in spec)


def _tekken_config(spec: dict, source: str) -> tuple[int, int]:
    """(number of ids, number of special ids)."""
    config = spec["config"]
    size, count = config.get("default_vocab_size"), config.get("default_num_special_tokens")
    if type(size) is not int or type(count) is not int or not 0 <= count < size <= MAX_IDS:
        raise VocabularyError(f"{source}: looked for default_vocab_size > default_num_special_tokens "
                              f"in config, found {size!r} and {count!r}")
    return size, count


def _tekken_tokens(spec: dict, source: str, limit: int) -> list[bytes]:
    """Ordinary tokens by rank."""
    entries = spec["vocab"]
    tokens = [b""] * min(limit, len(entries))
    for i, entry in enumerate(entries):
        try:
            rank = entry["rank"]
            if type(rank) is not int or rank < 0:
                raise ValueError
            if rank < len(tokens):
                tokens[rank] = base64.b64decode(entry["token_bytes"], validate=True)
        except (TypeError, KeyError, ValueError, binascii.Error):
            raise VocabularyError(f"{source}: vocab entry {i} has no rank and base64 token_bytes: "
                                  f"{entry!r:.80}") from None
    return tokens


def tekken_table(spec: dict, source: str = "tekken.json") -> TokenTable:
    """Read a parsed tekken file."""
    if not looks_like_tekken(spec):
        raise VocabularyError(f"{source} is not a tekken file: looked for config and a vocab list")
    size, count = _tekken_config(spec, source)
    special: dict[str, int] = {}
    listed = spec.get("special_tokens")
    if listed is None:
        special = {name: i for i, name in enumerate(_TEKKEN_SPECIAL[:count])}
    else:
        for entry in listed:
            i = entry.get("rank") if isinstance(entry, dict) else None
            name = entry.get("token_str") if isinstance(entry, dict) else None
            if type(i) is not int or not 0 <= i < count or not isinstance(name, str):
                raise VocabularyError(f"{source}: special token {entry!r:.80}")
            special[name] = i
    taken = set(special.values())
    for i in range(count):
        if i not in taken:
            special.setdefault(f"<SPECIAL_{i}>", i)
    tokens = [b""] * count + _tekken_tokens(spec, source, size - count)
    eos = (special["</s>"],) if "</s>" in special else ()
    return TokenTable(tokens, special, frozenset(range(count)), eos_ids=eos, family="tekken")


def tekken_encoder(spec: dict, source: str) -> Callable[[str], Sequence[int]] | None:
    """The segmentation a tekken file defines; None without the tiktoken package."""
    try:
        import tiktoken
    except ImportError:
        return None
    size, count = _tekken_config(spec, source)
    ranks = {token: i for i, token in enumerate(_tekken_tokens(spec, source, size - count))}
    encoding = tiktoken.Encoding("tekken", pat_str=spec["config"]["pattern"], mergeable_ranks=ranks,
                                 special_tokens={})
    return lambda text: [i + count for i in encoding.encode_ordinary(text)]


def vocab_json_table(spec: dict, source: str = "vocab.json") -> TokenTable:
    """Read the ``vocab.json`` of a byte-level BPE (a flat object of token to id)."""
    from .tokenizer_json import byte_alphabet, byte_level_bytes

    for name, i in spec.items():
        if type(i) is not int or not 0 <= i < MAX_IDS:
            raise VocabularyError(f"{source}: id of token {name!r} is {i!r}")
    missing = [c for c in byte_alphabet() if c not in spec]
    if missing:
        raise VocabularyError(
            f"unsupported tokenizer in {source}: looked for a byte-level BPE vocabulary, but the "
            f"characters of {len(missing)} bytes are no tokens", hint="convert it to a tokenizer.json")
    tokens = [b""] * (max(spec.values()) + 1)
    for name, i in spec.items():
        tokens[i] = byte_level_bytes(name)
    return TokenTable(tokens, {}, family="BPE (byte-level)")
