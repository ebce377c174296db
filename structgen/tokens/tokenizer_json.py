"""Token bytes from a ``tokenizer.json``, by reading its decoder.

What a token adds to the text is what the file's own decoder makes of it, so
the decoder is interpreted here, step by step and one token at a time.  That is
exact as long as decoding is a concatenation of what each token gives; steps
that only touch the start of a whole text (the blank of the first word) are left
out, since bytes are those inside a text.  A decoder that is not of that kind
(CTC, regular-expression replacement, stripping the end) is refused by name.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, Union

from ..errors import VocabularyError
from .vocabulary import MAX_IDS, TokenTable

__all__ = ["token_table", "byte_alphabet", "byte_level_bytes"]

Piece = Union[str, bytes]
Step = Callable[[Piece], Piece]

#: What the cleanup of WordPiece decoders shortens, in the order it is applied.
_CLEANUP = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
            (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))


def byte_alphabet() -> dict[str, int]:
    """The characters byte-level tokenizers write for each byte.

    Printable Latin-1 stands for itself; the other bytes, in order, are the
    characters from U+0100 on.

    Examples
    --------
    >>> table = byte_alphabet()
    >>> len(table), table["A"], table["\\u0120"]
    (256, 65, 32)
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in set(plain)]
    return {chr(b): b for b in plain} | {chr(0x100 + i): b for i, b in enumerate(others)}


_ALPHABET = byte_alphabet()
_CHARACTERS = frozenset(_ALPHABET)
_TO_LATIN1 = {ord(c): b for c, b in _ALPHABET.items()}


def byte_level_bytes(token: str) -> bytes:
    """The bytes of a byte-level token; one with a foreign character is plain text."""
    if _CHARACTERS.issuperset(token):
        return token.translate(_TO_LATIN1).encode("latin-1")
    return token.encode("utf-8", "surrogatepass")


def _text(piece: Piece, step: str) -> str:
    if isinstance(piece, bytes):
        raise VocabularyError(f"unsupported tokenizer: decoder step {step} after bytes were made")
    return piece


def _byte_fallback(piece: Piece) -> Piece:
    piece = _text(piece, "ByteFallback")
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        try:
            return bytes.fromhex(piece[3:5])
        except ValueError:
            pass
    return piece


def _flat(spec: Any, children: str) -> Iterator[dict]:
    """The steps of a possibly nested Sequence."""
    if spec is None:
        return
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        raise VocabularyError(f"malformed tokenizer.json: expected an object with a type, got {spec!r:.80}")
    if spec["type"] == "Sequence":
        for child in spec.get(children) or ():
            yield from _flat(child, children)
    else:
        yield spec


def _decoder_spec(spec: dict, source: str) -> list[dict]:
    steps = list(_flat(spec.get("decoder"), "decoders"))
    if steps:
        return steps
    # Some files leave the decoder out; what the pre-tokenizer wrote must be undone.
    kinds = {s["type"]: s for s in _flat(spec.get("pre_tokenizer"), "pretokenizers")}
    for kind in ("ByteLevel", "Metaspace"):
        if kind in kinds:
            return [kinds[kind]]
    raise VocabularyError(
        f"unsupported tokenizer in {source}: it has no decoder, so its tokens do not say what text "
        f"they make; looked for a decoder or a ByteLevel or Metaspace pre-tokenizer, found "
        f"pre-tokenizer {sorted(kinds) or None}", hint="set the tokenizer's decoder")


def _decoder(spec: dict, source: str) -> tuple[list[tuple[str, Step]], str]:
    """The decoder as functions of one token, and a name for the family."""
    steps: list[tuple[str, Step]] = []
    fused = False           # from here on a step sees the whole text, not one token
    after_bytes = False
    family = "plain"

    def refuse(why: str) -> VocabularyError:
        kinds = [s["type"] for s in _decoder_spec(spec, source)]
        return VocabularyError(f"unsupported tokenizer in {source}: {why} (decoder steps found: {kinds}); "
                               "supported are ByteLevel, ByteFallback, Metaspace, WordPiece, BPEDecoder, "
                               "Replace of a string, Strip and Fuse")

    for item in _decoder_spec(spec, source):
        kind = item["type"]
        if kind == "Fuse":
            fused = True
        elif kind == "ByteLevel":
            if fused or after_bytes:
                raise refuse("ByteLevel decoding of a text already joined")
            steps.append((kind, lambda p: byte_level_bytes(_text(p, "ByteLevel"))))
            fused = after_bytes = True
            family = "byte-level"
        elif kind == "ByteFallback":
            if fused or after_bytes:
                raise refuse("ByteFallback of a text already joined")
            steps.append((kind, _byte_fallback))
            after_bytes = True
            family = "byte fallback"
        elif kind == "Replace":
            pattern, content = item.get("pattern"), item.get("content")
            old = pattern.get("String") if isinstance(pattern, dict) else pattern
            if not isinstance(old, str) or not old or not isinstance(content, str):
                raise refuse(f"Replace decoder with pattern {pattern!r}")
            if fused and len(old) > 1:
                raise refuse(f"Replace decoder of {old!r} across tokens")
            if after_bytes and not old.isascii():
                raise refuse(f"Replace decoder of {old!r} across bytes")
            steps.append((kind, _replace(old, content)))
        elif kind == "Strip":
            content, start, stop = item.get("content"), item.get("start", 0), item.get("stop", 0)
            if not isinstance(content, str) or not isinstance(start, int) or not isinstance(stop, int):
                raise refuse(f"Strip decoder {item!r:.80}")
            if fused and stop:
                raise refuse("Strip decoder that shortens the end of the text")
            if not fused:
                if after_bytes and not content.isascii():
                    raise refuse(f"Strip decoder of {content!r} across bytes")
                steps.append((kind, _strip(content, start, stop)))
        elif kind == "Metaspace":
            mark = item.get("replacement", "\u2581")
            if fused or after_bytes or not isinstance(mark, str) or len(mark) != 1:
                raise refuse("Metaspace decoding of a text already joined")
            steps.append((kind, _replace(mark, " ")))
            family = "metaspace"
        elif kind == "WordPiece":
            prefix = item.get("prefix", "##")
            if fused or after_bytes or not isinstance(prefix, str) or not prefix:
                raise refuse(f"WordPiece decoder with prefix {prefix!r}")
            steps.append((kind, _wordpiece(prefix, bool(item.get("cleanup", True)))))
            family = "WordPiece"
        elif kind == "BPEDecoder":
            suffix = item.get("suffix", "</w>")
            if fused or after_bytes or not isinstance(suffix, str) or not suffix:
                raise refuse(f"BPEDecoder with suffix {suffix!r}")
            steps.append((kind, _replace(suffix, " ")))
            family = "word-end suffix"
        else:
            raise refuse(f"decoder {kind} is not a concatenation of tokens")
    return steps, family


def _replace(old: str, new: str) -> Step:
    old_bytes, new_bytes = old.encode(), new.encode()
    return lambda p: p.replace(old, new) if isinstance(p, str) else p.replace(old_bytes, new_bytes)


def _strip(content: str, start: int, stop: int) -> Step:
    def step(piece: Piece) -> Piece:
        mark: Any = content if isinstance(piece, str) else content.encode()
        for _ in range(start):
            if not mark or not piece.startswith(mark):
                break
            piece = piece[len(mark):]
        for _ in range(stop):
            if not mark or not piece.endswith(mark):
                break
            piece = piece[:-len(mark)]
        return piece
    return step


def _wordpiece(prefix: str, cleanup: bool) -> Step:
    def step(piece: Piece) -> Piece:
        piece = _text(piece, "WordPiece")
        # Inside a text: a token is a word of its own unless it says otherwise.
        piece = piece.replace(prefix, "", 1) if piece.startswith(prefix) else " " + piece
        if cleanup:
            for old, new in _CLEANUP:
                piece = piece.replace(old, new)
        return piece
    return step


def _model_vocab(spec: dict, source: str) -> tuple[str, dict[str, int] | list[str], str | None]:
    """Kind of model, its tokens (by name, or in order of id), the unknown token."""
    model = spec.get("model")
    if not isinstance(model, dict) or "vocab" not in model:
        raise VocabularyError(f"malformed tokenizer.json in {source}: looked for model.vocab, "
                              f"found keys {sorted(spec)[:12]}")
    vocab, kind = model["vocab"], model.get("type")
    if isinstance(vocab, list):
        try:
            pieces = [entry[0] for entry in vocab]
        except (TypeError, IndexError, KeyError):
            pieces = [None]
        if not all(isinstance(p, str) for p in pieces):
            raise VocabularyError(f"malformed tokenizer.json in {source}: model.vocab is a list but not "
                                  "of [piece, score] pairs")
        unknown = model.get("unk_id")
        name = pieces[unknown] if isinstance(unknown, int) and 0 <= unknown < len(pieces) else None
        return kind or "Unigram", pieces, name
    if not isinstance(vocab, dict):
        raise VocabularyError(f"malformed tokenizer.json in {source}: model.vocab is a "
                              f"{type(vocab).__name__}, expected an object or a list")
    for name, i in vocab.items():
        if type(i) is not int or not 0 <= i < MAX_IDS:
            raise VocabularyError(f"malformed tokenizer.json in {source}: id of token {name!r} is {i!r}")
    unknown = model.get("unk_token")
    return (kind or ("BPE" if "merges" in model else "WordPiece"), vocab,
            unknown if isinstance(unknown, str) else None)


def _added_tokens(spec: dict, source: str) -> list[tuple[int, str, bool]]:
    entries = spec.get("added_tokens") or []
    out = []
    for entry in entries if isinstance(entries, list) else [entries]:
        i = entry.get("id") if isinstance(entry, dict) else None
        content = entry.get("content") if isinstance(entry, dict) else None
        if type(i) is not int or not 0 <= i < MAX_IDS or not isinstance(content, str):
            raise VocabularyError(f"malformed tokenizer.json in {source}: added token {entry!r:.80}")
        out.append((i, content, bool(entry.get("special", False))))
    return out


def token_table(spec: dict, source: str = "tokenizer.json") -> TokenTable:
    """Read a parsed ``tokenizer.json``.

    Raises
    ------
    VocabularyError
        If the file is malformed, or its decoder is not a concatenation of
        tokens; the message says what was looked for and found.

    Examples
    --------
    >>> table = token_table({"model": {"type": "BPE", "vocab": {"a": 0, "\\u0120a": 1}, "merges": []},
    ...                      "decoder": {"type": "ByteLevel"}})
    >>> table.tokens
    [b'a', b' a']
    """
    if not isinstance(spec, dict):
        raise VocabularyError(f"malformed tokenizer.json in {source}: expected an object at the top, "
                              f"got {type(spec).__name__}")
    kind, vocab, unknown = _model_vocab(spec, source)
    added = _added_tokens(spec, source)
    steps, family = _decoder(spec, source)
    pairs = list(enumerate(vocab)) if isinstance(vocab, list) else [(i, n) for n, i in vocab.items()]
    names = {i: name for i, name in pairs}
    special: dict[str, int] = {}
    ordinary_added: dict[str, int] = {}
    for i, content, is_special in added:
        names[i] = content
        (special if is_special else ordinary_added)[content] = i
    # The unknown token stands for text the tokenizer has lost: it has no bytes.
    for i, name in pairs:
        if name == unknown and len(name) > 1:
            special.setdefault(name, i)
    tokens = [b""] * (max(names, default=-1) + 1)
    if len(steps) == 1 and steps[0][0] == "ByteLevel":
        for i, name in names.items():
            tokens[i] = byte_level_bytes(name)
    else:
        for i, name in names.items():
            piece: Piece = name
            for _, step in steps:
                piece = step(piece)
            tokens[i] = piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogatepass")
    return TokenTable(tokens, special, added=ordinary_added, family=f"{kind} ({family})")
