"""The vocabulary: which bytes each token id adds to the text.

A `Vocabulary` is logically immutable and knows nothing about where it came
from.  *Ordinary* tokens have bytes (``blob[offsets[i]:offsets[i + 1]]``) and
form the trie; *special* tokens (end of text, control tokens) and unused ids
have none, so they can never match by their text.  Two ids may have the same
bytes.  Bytes are those a token adds inside a text: the blank that SentencePiece
puts before the first word, and takes away when decoding, is a blank here.

Costs, 128,000 tokens: fingerprint 2 ms (once), trie 40 ms (once), about 7 MB.
"""

from __future__ import annotations

import hashlib
import json
import operator
from typing import Callable, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from ..errors import VocabularyError
from .trie import TokenTrie, greedy_tokens

__all__ = ["Vocabulary", "TokenTable", "MAX_IDS"]

#: Ids at or above this are taken for mistakes.
MAX_IDS = 1 << 24

Encoder = Callable[[str], Sequence[int]]


class TokenTable(NamedTuple):
    """What a reader of tokenizer files found; `Vocabulary.from_table` checks it."""

    tokens: list[bytes]                       # b"" for special and unused ids
    special: dict[str, int]                   # special tokens by name
    special_ids: frozenset[int] = frozenset()  # further special ids, without a name of their own
    added: dict[str, int] = {}                # ordinary tokens added by name
    eos_ids: tuple[int, ...] = ()
    family: str = "bytes"


def _as_id(value: object, what: str) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise VocabularyError(f"{what} must be an integer, got {value!r}")
    try:
        number = operator.index(value)      # type: ignore[arg-type]
    except TypeError:
        raise VocabularyError(f"{what} must be an integer, got {value!r}") from None
    if not 0 <= number < MAX_IDS:
        raise VocabularyError(f"{what} must be in 0..{MAX_IDS - 1}, got {number}")
    return number


class Vocabulary:
    """The bytes of every token id, the special tokens and the end-of-text ids.

    Make one with `from_tokens` or `load`.

    Attributes
    ----------
    size : int
        Number of ids the tokenizer knows.  Ids from here on (models pad their
        vocabularies) are never allowed.
    words : int
        Number of 32-bit words of a bitmask over all ids.
    blob, offsets : numpy.ndarray
        uint8 and int64[size + 1]: the bytes of ordinary tokens, id by id.
    is_special : numpy.ndarray
        bool[size].
    eos_ids : tuple of int
        Ids that end the text; each is special.
    special, added : dict of str to int
        Special tokens, and ordinary tokens that were added by name.
    family : str
        What kind of tokenizer this came from, for messages.

    Examples
    --------
    >>> v = Vocabulary.from_tokens([b"a", b"b", b"ab"], eos_ids=[3], special={"<end>": 3})
    >>> v.size, v.tokenize(b"aab"), v.decode([2, 0, 3])
    (4, [0, 2], b'aba')
    """

    __slots__ = ("size", "words", "blob", "offsets", "is_special", "eos_ids", "special", "added",
                 "family", "_fingerprint", "_tokens_fingerprint", "_trie", "_encoder", "_missing",
                 "_ordinary", "__weakref__")

    def __init__(self, blob: np.ndarray, offsets: np.ndarray, is_special: np.ndarray, *,
                 eos_ids: Iterable[int] = (), special: Mapping[str, int] = {},
                 added: Mapping[str, int] = {}, family: str = "bytes"):
        self.size = offsets.size - 1
        self.words = (self.size + 31) // 32
        self.blob = blob
        self.offsets = offsets
        self.is_special = is_special
        self.eos_ids = tuple(eos_ids)
        self.special = dict(special)
        self.added = dict(added)
        self.family = family
        self._fingerprint: str | None = None
        self._tokens_fingerprint: str | None = None
        self._trie: TokenTrie | None = None
        self._encoder: Encoder | Callable[[], Encoder | None] | None = None
        self._missing: bytes | None = None
        self._ordinary: np.ndarray | None = None

    # -- making one ---------------------------------------------------------

    @classmethod
    def from_tokens(cls, tokens: Sequence[bytes | None], eos_ids: Iterable[int] = (),
                    special: Mapping[str, int] | None = None) -> "Vocabulary":
        """A vocabulary from the bytes of each id.

        Parameters
        ----------
        tokens : sequence of bytes or None
            ``tokens[i]`` is what id `i` adds to the text; empty or None for an
            id that adds nothing.
        eos_ids : iterable of int
            Ids that end the text.  They are special; ids past the end of
            `tokens` extend the vocabulary.
        special : mapping of str to int, optional
            Further special tokens by name.  Whatever bytes `tokens` gives for
            a special id are ignored: special tokens never match by text.

        Examples
        --------
        >>> Vocabulary.from_tokens([b"x", b"</s>"], eos_ids=[1]).token_bytes(1) is None
        True
        """
        if isinstance(tokens, (str, bytes)) or not hasattr(tokens, "__iter__"):
            raise VocabularyError(f"tokens must be a sequence of bytes, got {type(tokens).__name__}")
        if isinstance(eos_ids, (str, bytes)) or not hasattr(eos_ids, "__iter__"):
            raise VocabularyError(f"eos_ids must be a sequence of ids, got {eos_ids!r}")
        table: list[bytes] = []
        for i, token in enumerate(tokens):
            if token is None:
                token = b""
            elif not isinstance(token, (bytes, bytearray, memoryview)):
                raise VocabularyError(f"token {i} must be bytes, got {type(token).__name__}",
                                      hint="encode text tokens as UTF-8")
            table.append(bytes(token))
        names: dict[str, int] = {}
        if special is not None:
            if not isinstance(special, Mapping):
                raise VocabularyError(f"special must map names to ids, got {type(special).__name__}")
            for name, number in special.items():
                if not isinstance(name, str):
                    raise VocabularyError(f"special token names must be str, got {name!r}")
                names[name] = _as_id(number, f"id of special token {name!r}")
        eos = tuple(dict.fromkeys(_as_id(e, "an end-of-text id") for e in eos_ids))
        return cls.from_table(TokenTable(table, names, eos_ids=eos))

    @classmethod
    def from_table(cls, table: TokenTable) -> "Vocabulary":
        """A vocabulary from what a reader found (specials lose their bytes here)."""
        tokens = table.tokens
        specials = {*table.special.values(), *table.special_ids, *table.eos_ids}
        size = max([len(tokens), *(i + 1 for i in specials)])
        if size == 0:
            raise VocabularyError("a vocabulary needs at least one token")
        if size > MAX_IDS:
            raise VocabularyError(f"vocabulary of {size} ids is too large (limit {MAX_IDS})")
        is_special = np.zeros(size, bool)
        if specials:
            is_special[list(specials)] = True
            tokens = tokens + [b""] * (size - len(tokens))
            for i in specials:
                tokens[i] = b""
        offsets = np.zeros(size + 1, np.int64)
        np.cumsum(np.fromiter(map(len, tokens), np.int64, size), out=offsets[1:])
        if offsets[-1] == 0:
            raise VocabularyError("the vocabulary has no ordinary tokens: every id is special or empty")
        # A bytearray makes the array writable: to numba, read-only arrays are another type.
        blob = np.frombuffer(bytearray(b"".join(tokens)), np.uint8)
        added = {name: i for name, i in table.added.items() if not is_special[i]}
        return cls(blob, offsets, is_special, eos_ids=table.eos_ids, special=table.special,
                   added=added, family=table.family)

    @classmethod
    def load(cls, tokenizer: object, *, eos_ids: Iterable[int] | None = None,
             special: Mapping[str, int] | None = None) -> "Vocabulary":
        """The vocabulary of a tokenizer object, folder or file: see `load_vocabulary`."""
        from .load import load_vocabulary

        return load_vocabulary(tokenizer, eos_ids=eos_ids, special=special)

    def with_eos(self, eos_ids: Iterable[int]) -> "Vocabulary":
        """The same vocabulary with other end-of-text ids (the old ones stay special)."""
        eos = tuple(dict.fromkeys(_as_id(e, "an end-of-text id") for e in eos_ids))
        if eos == self.eos_ids:
            return self
        if all(e < self.size and self.is_special[e] for e in eos):
            other = Vocabulary(self.blob, self.offsets, self.is_special, eos_ids=eos,
                               special=self.special, added=self.added, family=self.family)
            other._trie, other._missing, other._ordinary = self.trie, self._missing, self._ordinary
            other._tokens_fingerprint = self._tokens_fingerprint
        else:
            tokens = [self.token_bytes(i) or b"" for i in range(self.size)]
            specials = frozenset(np.flatnonzero(self.is_special).tolist())
            other = Vocabulary.from_table(TokenTable(tokens, self.special, specials, self.added, eos,
                                                     self.family))
        other._encoder = self._encoder
        return other

    # -- single tokens ------------------------------------------------------

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return (f"<Vocabulary {self.family}: {self.size} ids, {int(self.is_special.sum())} special, "
                f"end of text {list(self.eos_ids)}>")

    def token_bytes(self, token: int) -> bytes | None:
        """The bytes of an ordinary token; None for special, unused and unknown ids."""
        if not 0 <= token < self.size:
            return None
        start, stop = self.offsets[token], self.offsets[token + 1]
        return self.blob[start:stop].tobytes() if stop > start else None

    def token_id(self, name: str) -> int:
        """The id of a special or added token, by name.

        Examples
        --------
        >>> Vocabulary.from_tokens([b"a"], special={"<tool>": 1}).token_id("<tool>")
        1
        """
        found = self.special.get(name, self.added.get(name))
        if found is None:
            import difflib

            near = difflib.get_close_matches(str(name), [*self.special, *self.added], 3)
            raise VocabularyError(f"this vocabulary has no special or added token named {name!r}",
                                  hint="similar names: " + ", ".join(near) if near else None)
        return found

    def describe(self, token: int) -> str:
        """A short readable form of any id, for messages."""
        for name, number in self.special.items():
            if number == token:
                return f"{name} (id {token})"
        data = self.token_bytes(token)
        return f"id {token}" if data is None else f"{data.decode('utf-8', 'backslashreplace')!r} (id {token})"

    # -- everything at once -------------------------------------------------

    @property
    def ordinary(self) -> np.ndarray:
        """uint8[size]: 1 for the ids that have bytes."""
        if self._ordinary is None:
            self._ordinary = (self.offsets[1:] > self.offsets[:-1]).astype(np.uint8)
        return self._ordinary

    @property
    def trie(self) -> TokenTrie:
        """The trie of all ordinary tokens."""
        if self._trie is None:
            self._trie = self.build_trie()
        return self._trie

    def build_trie(self) -> TokenTrie:
        """Build the trie afresh (`trie` keeps one)."""
        ids = np.flatnonzero(self.ordinary).astype(np.int32)
        # The other ids hold no bytes, so the strings of `ids` tile the blob.
        bounds = np.append(self.offsets[ids], self.offsets[-1])
        return TokenTrie.from_strings(self.blob, bounds, ids)

    @property
    def missing_bytes(self) -> bytes:
        """The bytes that are no token by themselves, in order."""
        if self._missing is None:
            single = np.flatnonzero(np.diff(self.offsets) == 1)
            have = set(self.blob[self.offsets[single]].tolist())
            self._missing = bytes(b for b in range(256) if b not in have)
        return self._missing

    @property
    def tokens_fingerprint(self) -> str:
        """SHA-256 of the ordinary tokens alone (tables over the trie depend on no more)."""
        if self._tokens_fingerprint is None:
            digest = hashlib.sha256(b"structgen tokens 1\0")
            digest.update(self.offsets.astype("<i8", copy=False).tobytes())
            digest.update(self.blob.tobytes())
            self._tokens_fingerprint = digest.hexdigest()
        return self._tokens_fingerprint

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything a mask depends on: tokens, specials and end-of-text ids."""
        if self._fingerprint is None:
            digest = hashlib.sha256(b"structgen vocabulary 1\0")
            digest.update(self.tokens_fingerprint.encode())
            digest.update(np.packbits(self.is_special).tobytes())
            names = [self.eos_ids, sorted(self.special.items()), sorted(self.added.items())]
            digest.update(json.dumps(names).encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    # -- text to tokens and back --------------------------------------------

    def tokenize(self, data: bytes) -> list[int]:
        """Greedy longest-match tokenisation over ordinary tokens.

        Where some byte is not a token, the longest token *after which the rest
        can still be spelled*.  Raises `VocabularyError` if nothing spells `data`.
        """
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")
        source = np.frombuffer(bytearray(data), np.uint8)
        out = np.empty(source.size, np.int32)
        trie = self.trie
        count = greedy_tokens(trie.nodes, trie.token, trie.root_child, source, out)
        if count < 0:
            at = -1 - count
            raise VocabularyError(
                f"no sequence of tokens spells the text: byte 0x{data[at]:02x} at offset {at}",
                hint=f"bytes that are no token: {_ranges(self.missing_bytes)}")
        return out[:count].tolist()

    def set_encoder(self, encoder: Encoder | None = None, *,
                    lazy: Callable[[], Encoder | None] | None = None) -> None:
        """Give the real tokenizer's ``text -> ids``; `lazy` makes it on first use.

        It only chooses among tokenisations of the same bytes (see `encode`).
        """
        self._encoder = encoder if lazy is None else _Lazy(lazy)

    @property
    def canonical(self) -> bool:
        """Whether `encode` asks the real tokenizer (else it is `tokenize`)."""
        encoder = self._encoder
        if isinstance(encoder, _Lazy):
            encoder = self._encoder = encoder.make()
        return encoder is not None

    def encode(self, data: bytes | str) -> list[int]:
        """Ordinary tokens that spell exactly `data`, as the real tokenizer segments it.

        The result always spells `data`.  Where the tokenizer is unknown, or
        does not give the bytes back (normalisation, special tokens in the
        text, broken UTF-8), this is `tokenize`.  Tokenizers that put a blank
        before a text are asked for the text behind a line break.
        """
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")
        data = bytes(data)
        if data and self.canonical:
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                return self.tokenize(data)
            for prefix in ("", "\n"):
                tail = self._tail(self._encoder(prefix + text), data)   # type: ignore[misc,operator]
                if tail is not None:
                    return tail
        return self.tokenize(data)

    def _tail(self, ids: Sequence[int], data: bytes) -> list[int] | None:
        """The end of `ids` that spells exactly `data` with ordinary tokens."""
        pieces: list[bytes] = []
        left = len(data)
        start = len(ids)
        while left > 0 and start > 0:
            start -= 1
            piece = self.token_bytes(ids[start])
            if piece is None:
                return None
            pieces.append(piece)
            left -= len(piece)
        if left != 0 or b"".join(reversed(pieces)) != data:
            return None
        return [int(i) for i in ids[start:]]

    def decode(self, ids: Iterable[int]) -> bytes:
        """The bytes of a sequence of ids; special and unused ids add nothing."""
        out = []
        for token in ids:
            if not 0 <= token < self.size:
                raise VocabularyError(f"token id {token} is out of range (0..{self.size - 1})")
            out.append(self.token_bytes(token) or b"")
        return b"".join(out)


class _Lazy:
    """An encoder still to be made."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Encoder | None]):
        self.make = make


def _ranges(data: bytes) -> str:
    """``00-1f 7f``: bytes as hexadecimal ranges."""
    parts: list[list[int]] = []
    for byte in data:
        if parts and byte == parts[-1][1] + 1:
            parts[-1][1] = byte
        else:
            parts.append([byte, byte])
    return " ".join(f"{a:02x}" if a == b else f"{a:02x}-{b:02x}" for a, b in parts) or "none"
