"""From whatever the user calls a tokenizer to a `Vocabulary`, and fast the second time.

Accepted: a `Vocabulary`; a folder, a ``tokenizer.json``, a ``tekken.json``, a
tiktoken-style rank file, a SentencePiece ``.model``, a byte-level
``vocab.json``; tokenizer objects of transformers, tokenizers, tiktoken,
sentencepiece and mistral-common.  Nothing but the object's own package is
imported, and files need none at all.

Three caches, from near to far: vocabularies of this process by object identity
or by the names, times and sizes of the files; on disk a small reference from
the same facts to a digest of the contents; and under that digest the parsed
vocabulary with its trie.  A damaged or foreign file is noticed and rebuilt.

End of text: all ids the files beside a tokenizer agree to call so (the
tokenizer's own first, then ``generation_config.json``, then ``config.json``),
except that an id out of a model's configuration never turns an ordinary token
into the end of text when the tokenizer names one itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from ..cache import cache_dir, load_npz_checked, save_npz_atomic, write_atomic
from ..errors import VocabularyError
from . import ranks, sentencepiece_vocab, tokenizer_json
from .trie import TokenTrie
from .vocabulary import TokenTable, Vocabulary, _as_id

__all__ = ["load_vocabulary", "clear_vocabulary_cache"]

_VERSION = 1
_MAGIC = "structgen-vocabulary"
_SCHEMA: dict[str, tuple[type, int]] = {
    "blob": (np.uint8, 1), "offsets": (np.int64, 1), "is_special": (np.bool_, 1), "meta": (np.uint8, 1),
    "nodes": (np.int64, 1), "token": (np.int32, 1), "first": (np.int32, 1),
    "dfs_tokens": (np.int32, 1), "root_child": (np.int32, 1)}

#: What a folder may hold, best first, and the files beside it that are read too.
_MAIN_FILES = ("tokenizer.json", "tekken.json", "tokenizer.model", "tiktoken.model", "spiece.model",
               "sentencepiece.bpe.model", "vocab.json")
_MAIN_PATTERNS = ("*.tiktoken", "tokenizer.model.v*", "*.model")
_SIDE_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
               "generation_config.json", "config.json")

_NAMED = ("bos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
#: When nothing says which token ends the text: all special ones of these names,
#: else the first of them that is an added token.
_END_NAMES = ("<|eot_id|>", "<|eot|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|return|>",
              "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]", "<end>")

_KEEP = 16
_lock = threading.Lock()
_by_files: "OrderedDict[tuple, Vocabulary]" = OrderedDict()
_by_object: "OrderedDict[tuple, tuple[weakref.ref, tuple, Vocabulary]]" = OrderedDict()
_by_content: "weakref.WeakValueDictionary[str, Vocabulary]" = weakref.WeakValueDictionary()

Encoder = Callable[[str], Sequence[int]]


class _Facts(NamedTuple):
    """What the files beside a tokenizer, or the object around it, say about its ids."""

    end_names: list[str]
    end_ids: list[int]                       # the tokenizer's own
    model_end_ids: list[int]                 # out of a model's configuration
    special_names: list[str]
    added: list[tuple[int, str, bool]]       # (id, content, special)


class _Source(NamedTuple):
    """A tokenizer found: how to key it, read it and encode with it."""

    name: str
    digest: Callable[[], str]
    read: Callable[[], TokenTable]
    facts: Callable[[], _Facts]
    encoder: Callable[[], Encoder | None] | None


# -- the public function ---------------------------------------------------------

def load_vocabulary(tokenizer: object, *, eos_ids: Iterable[int] | None = None,
                    special: Mapping[str, int] | None = None) -> Vocabulary:
    """The vocabulary of a tokenizer.

    Parameters
    ----------
    tokenizer
        A `Vocabulary` (returned as it is), a folder or file (str or path), or
        a tokenizer object: see the module text.
    eos_ids : iterable of int, optional
        Ids that end the text, in place of those found.
    special : mapping of str to int, optional
        Further special tokens, for formats that do not list theirs.

    Raises
    ------
    VocabularyError
        Nothing there, or a tokenizer whose tokens have no bytes of their own;
        the message says what was looked for and what was found.

    Examples
    --------
    >>> load_vocabulary("no/such/folder")
    Traceback (most recent call last):
    ...
    structgen.errors.VocabularyError: no tokenizer at 'no/such/folder': there is no such file or \
folder (hint: give a folder, a tokenizer.json or a tokenizer object; hub ids are not resolved here)
    """
    eos = None if eos_ids is None else tuple(_as_id(e, "an end-of-text id") for e in eos_ids)
    extra = () if not special else tuple(
        sorted((str(n), _as_id(i, f"id of special token {n!r}")) for n, i in special.items()))
    if isinstance(tokenizer, Vocabulary):
        if extra:
            raise VocabularyError("special= names tokens of a file; this is a Vocabulary already")
        return tokenizer if eos is None else tokenizer.with_eos(eos)
    if isinstance(tokenizer, (str, os.PathLike)):
        return _load_path(Path(tokenizer), eos, extra)
    if tokenizer is None or isinstance(tokenizer, (bytes, int, float, list, tuple, dict, set)):
        raise VocabularyError(f"expected a tokenizer, a folder or a file, got {type(tokenizer).__name__}",
                              hint="Vocabulary.from_tokens makes a vocabulary from a list of bytes")
    return _load_object(tokenizer, eos, extra)


def clear_vocabulary_cache() -> None:
    """Forget the vocabularies this process has loaded (files on disk stay)."""
    with _lock:
        _by_files.clear()
        _by_object.clear()
        _by_content.clear()


# -- files -------------------------------------------------------------------------

def _find_main(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        raise VocabularyError(
            f"no tokenizer at {str(path)!r}: there is no such file or folder",
            hint="give a folder, a tokenizer.json or a tokenizer object; hub ids are not resolved here")
    for name in _MAIN_FILES:
        if (path / name).is_file():
            return path / name
    for pattern in _MAIN_PATTERNS:
        for found in sorted(path.glob(pattern)):
            if found.is_file():
                return found
    held = sorted(p.name for p in path.iterdir())
    raise VocabularyError(f"no tokenizer in folder {str(path)!r}: looked for "
                          f"{', '.join(_MAIN_FILES + _MAIN_PATTERNS)}; found {', '.join(held[:12]) or 'nothing'}")


def _stat_key(main: Path) -> tuple:
    key: list[tuple] = []
    folder = main.parent
    for path in (main, *(folder / name for name in _SIDE_FILES)):
        try:
            stat = os.stat(path)
        except OSError:
            continue
        key.append((os.path.abspath(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(key)


def _load_path(path: Path, eos: tuple | None, extra: tuple) -> Vocabulary:
    try:
        main = _find_main(path)
    except OSError as error:
        raise VocabularyError(f"cannot read the tokenizer at {str(path)!r}: {error}") from None
    key = (_stat_key(main), eos, extra)
    with _lock:
        known = _by_files.get(key)
        if known is not None:
            _by_files.move_to_end(key)
            return known
    reference = cache_dir() / "vocabularies" / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.ref"
    source = _file_source(main)
    vocabulary = _load_source(source, eos, extra, reference)
    with _lock:
        _by_files[key] = vocabulary
        while len(_by_files) > _KEEP:
            _by_files.popitem(last=False)
    return vocabulary


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


def _file_source(main: Path) -> _Source:
    def digest() -> str:
        state = hashlib.sha256()
        for path in (main, *(main.parent / name for name in _SIDE_FILES)):
            try:
                data = path.read_bytes()
            except OSError:
                continue
            state.update(f"{path.name}\0{len(data)}\0".encode())
            state.update(data)
        return state.hexdigest()

    return _Source(str(main), digest, lambda: _read_file(main), lambda: _folder_facts(main.parent),
                   lambda: _file_encoder(main))


def _read_file(path: Path) -> TokenTable:
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


def _ids(value: Any) -> list[int]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [v for v in values if type(v) is int and v >= 0]


def _folder_facts(folder: Path) -> _Facts:
    facts = _Facts([], [], [], [], [])
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
    facts.model_end_ids.extend(_ids(_json_beside(folder, "generation_config.json").get("eos_token_id")))
    config = _json_beside(folder, "config.json")
    facts.model_end_ids.extend(_ids(config.get("eos_token_id")))
    inner = config.get("text_config")
    if isinstance(inner, dict):
        facts.model_end_ids.extend(_ids(inner.get("eos_token_id")))
    return facts


# -- objects ----------------------------------------------------------------------

def _signature(tokenizer: Any) -> tuple:
    """Cheap facts that change when someone adds tokens to the object."""
    try:
        size = len(tokenizer)
    except TypeError:
        size = None
    return size, repr(getattr(tokenizer, "eos_token_id", None))


def _load_object(tokenizer: Any, eos: tuple | None, extra: tuple) -> Vocabulary:
    key, signature = (id(tokenizer), eos, extra), _signature(tokenizer)
    with _lock:
        known = _by_object.get(key)
        if known is not None and known[0]() is tokenizer and known[1] == signature:
            _by_object.move_to_end(key)
            return known[2]
    vocabulary = _load_source(_object_source(tokenizer), eos, extra)
    try:
        # The callback runs anywhere, even while the interpreter shuts down: no lock, no globals.
        alive = weakref.ref(tokenizer, lambda _, drop=_by_object.pop: drop(key, None))
    except TypeError:
        return vocabulary
    with _lock:
        _by_object[key] = alive, signature, vocabulary
        while len(_by_object) > _KEEP:
            _by_object.popitem(last=False)
    return vocabulary


def _payload_source(name: str, payload: bytes, read: Callable[[], TokenTable], facts: _Facts,
                    encoder: Callable[[], Encoder | None] | None) -> _Source:
    def digest() -> str:
        state = hashlib.sha256(repr((name, facts)).encode())
        state.update(payload)
        return state.hexdigest()

    return _Source(name, digest, read, lambda: facts, encoder)


def _object_facts(tokenizer: Any) -> _Facts:
    """Ends of text an object knows, and those in the folder it was loaded from."""
    facts = _Facts([], [], [], [], [])
    for owner in (tokenizer, getattr(tokenizer, "instruct_tokenizer", None)):
        for name in ("eos_token_id", "eos_id"):
            value = getattr(owner, name, None)
            if callable(value):
                value = value()
            facts.end_ids.extend(_ids(value))
    facts.end_ids.extend(_ids(getattr(tokenizer, "stop_tokens", None)))
    decoder = getattr(tokenizer, "added_tokens_decoder", None)
    for i, entry in decoder.items() if isinstance(decoder, dict) else ():
        if type(i) is int and isinstance(getattr(entry, "content", None), str):
            facts.added.append((i, entry.content, bool(getattr(entry, "special", False))))
    origin = getattr(tokenizer, "name_or_path", None)
    if isinstance(origin, str) and origin and os.path.isdir(origin):
        beside = _folder_facts(Path(origin))
        facts.model_end_ids.extend(beside.model_end_ids)
    return facts


def _object_source(tokenizer: Any) -> _Source:
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
            source = _file_source(Path(path))
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


def _json_source(backend: Any, kind: str, facts: _Facts) -> _Source:
    text = backend.to_str()
    if not isinstance(text, str):
        raise VocabularyError(f"unsupported tokenizer object {kind}: to_str() gave {type(text).__name__}")

    def encode(value: str) -> Sequence[int]:
        return backend.encode(value, add_special_tokens=False).ids

    return _payload_source(f"a {kind} object", text.encode("utf-8", "surrogatepass"),
                           lambda: tokenizer_json.token_table(json.loads(text), f"a {kind} object"),
                           facts, lambda: encode)


def _encoding_source(encoding: Any, kind: str, facts: _Facts) -> _Source:
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


def _processor_source(processor: Any, kind: str, facts: _Facts) -> _Source:
    payload = processor.serialized_model_proto()
    return _payload_source(f"a {kind} object", payload,
                           lambda: sentencepiece_vocab.sentencepiece_table(payload, f"a {kind} object"),
                           facts, lambda: lambda text: processor.encode(text))


# -- from a source to a vocabulary --------------------------------------------------

def _load_source(source: _Source, eos: tuple | None, extra: tuple, reference: Path | None = None) -> Vocabulary:
    folder = cache_dir() / "vocabularies"
    content = None
    if reference is not None:
        try:
            content = reference.read_bytes().decode("ascii")
        except (OSError, UnicodeDecodeError):
            content = None
        if content is not None and not (len(content) == 64 and content.isalnum()):
            content = None
    if content is not None:
        vocabulary = _known(content, folder)
        if vocabulary is not None:
            return vocabulary if vocabulary._encoder is not None else _with_encoder(vocabulary, source)
    content = hashlib.sha256(f"{_VERSION} {source.digest()} {eos} {extra}".encode()).hexdigest()
    vocabulary = _known(content, folder)
    if vocabulary is None:
        vocabulary = Vocabulary.from_table(_complete(source.read(), source.facts(), eos, extra, source.name))
        _save(vocabulary, folder / f"{content}.npz")
        _by_content[content] = vocabulary
    if reference is not None:
        write_atomic(reference, content.encode("ascii"))
    return vocabulary if vocabulary._encoder is not None else _with_encoder(vocabulary, source)


def _with_encoder(vocabulary: Vocabulary, source: _Source) -> Vocabulary:
    if source.encoder is not None:
        vocabulary.set_encoder(lazy=source.encoder)
    return vocabulary


def _known(content: str, folder: Path) -> Vocabulary | None:
    vocabulary = _by_content.get(content)
    if vocabulary is None:
        vocabulary = _restore(folder / f"{content}.npz")
        if vocabulary is not None:
            vocabulary = _by_content.setdefault(content, vocabulary)
    return vocabulary


def _complete(table: TokenTable, facts: _Facts, eos: tuple | None, extra: tuple, source: str) -> TokenTable:
    """Put together what the tokenizer and the files around it say."""
    tokens = list(table.tokens)
    special, added = dict(table.special), dict(table.added)
    special_ids = set(table.special_ids) | set(special.values())
    own = len(tokens)

    def known(i: int) -> bool:
        return i < len(tokens) and (bool(tokens[i]) or i in special_ids)

    def grow(i: int) -> None:
        _as_id(i, f"{source}: id of an added token")
        tokens.extend([b""] * (i + 1 - len(tokens)))

    for i, content, is_special in facts.added:
        grow(i)
        if is_special:
            special[content] = i
            special_ids.add(i)
        elif not known(i):
            tokens[i] = content.encode("utf-8", "surrogatepass")
            added[content] = i
    for name, i in extra:
        grow(i)
        special[name] = i
        special_ids.add(i)

    def find(name: str) -> int | None:
        i = special.get(name, added.get(name))
        if i is None:
            try:
                i = tokens.index(name.encode("utf-8", "surrogatepass"))
            except ValueError:
                return None
        return i

    for name in facts.special_names:
        # A padding token set to "!" must not take "!" out of every text.
        if len(name) > 1:
            i = find(name)
            if i is not None:
                special[name] = i
                special_ids.add(i)
    if eos is None:
        ends: list[int] = []
        for name in facts.end_names:
            i = find(name) if name else None
            if i is not None:
                special.setdefault(name, i)
                ends.append(i)
        ends.extend(i for i in facts.end_ids if i < len(tokens))
        if not ends:
            ends.extend(table.eos_ids)
        special_ids.update(ends)
        sure = bool(ends)
        for i in facts.model_end_ids:
            if i in special_ids or not sure and (i < own or table.family == "tiktoken ranks"):
                ends.append(i)
        if not ends:
            ends.extend(special[n] for n in _END_NAMES if n in special)
        if not ends:
            ends.extend([added[n] for n in _END_NAMES if n in added][:1])
        eos = tuple(dict.fromkeys(ends))
    size = max([len(tokens), *(i + 1 for i in special_ids)])
    wrong = [e for e in eos if e >= size and table.family != "tiktoken ranks"]
    if wrong:
        raise VocabularyError(f"{source}: end-of-text id {wrong[0]} is out of range (0..{size - 1})")
    return TokenTable(tokens, special, frozenset(special_ids), added, eos, table.family)


# -- the disk -----------------------------------------------------------------------

def _save(vocabulary: Vocabulary, path: Path) -> None:
    trie = vocabulary.trie
    meta = {"eos_ids": vocabulary.eos_ids, "special": vocabulary.special, "added": vocabulary.added,
            "family": vocabulary.family, "fingerprint": vocabulary.fingerprint,
            "tokens_fingerprint": vocabulary.tokens_fingerprint}
    save_npz_atomic(path, _MAGIC, _VERSION, {
        "blob": vocabulary.blob, "offsets": vocabulary.offsets, "is_special": vocabulary.is_special,
        "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8),
        "nodes": trie.nodes, "token": trie.token, "first": trie.first, "dfs_tokens": trie.dfs_tokens,
        "root_child": trie.root_child})


def _restore(path: Path) -> Vocabulary | None:
    """A saved vocabulary, every number in it checked; None if there is none to trust."""
    arrays = load_npz_checked(path, _MAGIC, _VERSION, _SCHEMA)
    if arrays is None:
        return None
    try:
        vocabulary = _rebuild(arrays)
    except Exception as error:      # whatever a forged file provokes
        vocabulary, problem = None, str(error)
    else:
        problem = "its tables contradict each other"
    if vocabulary is None:
        import warnings

        warnings.warn(f"ignoring cache file {path}: {problem}", RuntimeWarning, stacklevel=2)
    return vocabulary


def _rebuild(arrays: dict[str, np.ndarray]) -> Vocabulary | None:
    blob, offsets, is_special = arrays["blob"], arrays["offsets"], arrays["is_special"]
    size = offsets.size - 1
    lengths = np.diff(offsets)
    sound = (size > 0 and offsets[0] == 0 and (lengths >= 0).all() and offsets[-1] == blob.size
             and is_special.size == size and not lengths[is_special].any())
    if not sound:
        return None
    meta = json.loads(arrays["meta"].tobytes())
    names = [*meta["special"].items(), *meta["added"].items()]
    eos = tuple(meta["eos_ids"])
    if not all(type(i) is int and 0 <= i < size for _, i in names) or not all(
            type(e) is int and 0 <= e < size and is_special[e] for e in eos):
        return None
    if not all(is_special[i] for i in meta["special"].values()):
        return None
    vocabulary = Vocabulary(blob, offsets, is_special, eos_ids=eos, special=meta["special"],
                            added=meta["added"], family=str(meta["family"]))
    trie = TokenTrie(arrays["nodes"], arrays["token"], arrays["first"], arrays["dfs_tokens"],
                     arrays["root_child"])
    if not trie.verify(blob, offsets, vocabulary.ordinary):
        return None
    vocabulary._trie = trie
    vocabulary._fingerprint = str(meta["fingerprint"])
    vocabulary._tokens_fingerprint = str(meta["tokens_fingerprint"])
    return vocabulary
