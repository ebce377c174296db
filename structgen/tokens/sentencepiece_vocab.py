"""Token bytes from a SentencePiece ``.model`` file, read without the package.

The file is one protocol-buffer message.  Wanted are its pieces (text, kind) and
a few ids of the trainer's settings; everything else is skipped by length, and
every length is checked before it is used.

Pieces of kind NORMAL and USER_DEFINED are text with U+2581 for a blank, BYTE
pieces (``<0x0A>``) are one byte, CONTROL and UNKNOWN pieces are special, UNUSED
ones add nothing.
"""

from __future__ import annotations

from typing import Iterator, Union

from ..errors import VocabularyError
from .vocabulary import TokenTable

__all__ = ["sentencepiece_table", "looks_like_sentencepiece"]

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_MODEL_NAMES = {1: "Unigram", 2: "BPE", 3: "word", 4: "char"}


class _Malformed(Exception):
    pass


def _varint(data: memoryview, pos: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if pos >= len(data) or shift > 63:
            raise _Malformed
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7


def _fields(data: memoryview) -> Iterator[tuple[int, Union[int, memoryview]]]:
    """(field number, value) of a message; values are integers or raw bytes."""
    pos = 0
    while pos < len(data):
        key, pos = _varint(data, pos)
        wire = key & 7
        if wire == 0:
            value, pos = _varint(data, pos)
            yield key >> 3, value
            continue
        if wire == 2:
            length, pos = _varint(data, pos)
        elif wire == 1:
            length = 8
        elif wire == 5:
            length = 4
        else:
            raise _Malformed
        if length > len(data) - pos:
            raise _Malformed
        yield key >> 3, data[pos:pos + length]
        pos += length


def _signed(value: int) -> int:
    """A protocol-buffer int32 (negative ids mean: there is none)."""
    return value - (1 << 64) if value >= 1 << 63 else value


def looks_like_sentencepiece(head: bytes) -> bool:
    """Whether a file starting with `head` may be a SentencePiece model."""
    return head[:1] == b"\x0a" and len(head) > 2


def sentencepiece_table(data: bytes, source: str = "tokenizer.model") -> TokenTable:
    """Read the bytes of a SentencePiece model file."""
    pieces: list[tuple[str, int]] = []
    settings: dict[int, int] = {}
    try:
        for field, value in _fields(memoryview(data)):
            if field == 1 and isinstance(value, memoryview):
                text, kind = "", _NORMAL
                for inner, item in _fields(value):
                    if inner == 1 and isinstance(item, memoryview):
                        text = str(item, "utf-8")
                    elif inner == 3 and isinstance(item, int):
                        kind = item
                pieces.append((text, kind))
            elif field == 2 and isinstance(value, memoryview):
                settings = {n: _signed(v) for n, v in _fields(value) if isinstance(v, int)}
    except (_Malformed, UnicodeDecodeError):
        pieces = []
    if not pieces:
        raise VocabularyError(f"{source} is not a SentencePiece model: looked for a list of pieces, "
                              f"found a file of {len(data)} bytes starting with {bytes(data[:12])!r}")
    tokens = [b""] * len(pieces)
    special: dict[str, int] = {}
    added: dict[str, int] = {}
    has_bytes = False
    for i, (text, kind) in enumerate(pieces):
        if kind in (_CONTROL, _UNKNOWN):
            special[text] = i
        elif kind == _BYTE:
            try:
                tokens[i] = bytes([int(text[3:5], 16)])
            except ValueError:
                raise VocabularyError(f"{source}: byte piece {i} is {text!r}, expected <0xNN>") from None
            has_bytes = True
        elif kind in (_NORMAL, _USER_DEFINED):
            tokens[i] = text.replace("\u2581", " ").encode()
            if kind == _USER_DEFINED:
                added[text] = i
        elif kind != _UNUSED:
            raise VocabularyError(f"{source}: piece {i} ({text!r}) is of unknown kind {kind}")
    end = settings.get(42, 2)
    eos = (end,) if 0 <= end < len(pieces) and pieces[end][1] == _CONTROL else ()
    if not eos and "</s>" in special:
        eos = (special["</s>"],)
    kind_name = _MODEL_NAMES.get(settings.get(3, 1), "SentencePiece")
    return TokenTable(tokens, special, added=added, eos_ids=eos,
                      family=f"SentencePiece {kind_name}" + (" (byte fallback)" if has_bytes else ""))
