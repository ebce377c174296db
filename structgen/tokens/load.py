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
import os
import threading
import time
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any, Iterable, Mapping

from ..cache import cache_dir, write_atomic
from ..errors import VocabularyError
from .tokenizer_files import SIDE_FILES, Facts, Source, file_source, find_main
from .tokenizer_objects import object_source, signature
from .vocabulary import TokenTable, Vocabulary, _as_id
from .vocabulary_store import VERSION, restore_vocabulary, save_vocabulary
from .warmup import begin

__all__ = ["load_vocabulary", "clear_vocabulary_cache"]

#: When nothing says which token ends the text: all special ones of these names,
#: else the first of them that is an added token.
_END_NAMES = ("<|eot_id|>", "<|eot|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|return|>",
              "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]", "<end>")

_KEEP = 16
_lock = threading.Lock()
_by_files: "OrderedDict[tuple, Vocabulary]" = OrderedDict()
_by_object: "OrderedDict[tuple, tuple[weakref.ref, tuple, Vocabulary]]" = OrderedDict()
_by_content: "weakref.WeakValueDictionary[str, Vocabulary]" = weakref.WeakValueDictionary()

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
        return _load_path(os.fspath(tokenizer), eos, extra)
    if tokenizer is None or isinstance(tokenizer, (bytes, int, float, list, tuple, dict, set)):
        raise VocabularyError(f"expected a tokenizer, a folder or a file, got {type(tokenizer).__name__}",
                              hint="Vocabulary.from_tokens makes a vocabulary from a list of bytes")
    return _load_object(tokenizer, eos, extra)


def clear_vocabulary_cache() -> None:
    """Forget the vocabularies this process has loaded (files on disk stay)."""
    with _lock:
        _by_files.clear()
        _recent.clear()
        _by_object.clear()
        _by_content.clear()


# -- files -------------------------------------------------------------------------

def _stat_key(main: str) -> tuple:
    folder = os.path.dirname(os.path.abspath(main))
    key: list[tuple] = [(folder, os.path.basename(main))]
    for name in (os.path.basename(main), *SIDE_FILES):
        try:
            stat = os.stat(os.path.join(folder, name))
        except OSError:
            continue
        key.append((name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(key)


#: Within this many seconds only the folder's own time stamp is looked at again (a
#: file that was added, removed or replaced), not every file: that costs as much as
#: compiling a small schema.
FRESH = 1.0
_recent: dict[tuple, tuple[float, int, Vocabulary]] = {}


def _load_path(path: str, eos: tuple | None, extra: tuple) -> Vocabulary:
    now = time.monotonic()
    seen = _recent.get((path, eos, extra))
    try:
        stamp = os.stat(path).st_mtime_ns
    except (OSError, ValueError):
        stamp = -1
    if seen is not None and now - seen[0] < FRESH and seen[1] == stamp:
        return seen[2]
    vocabulary = _load_files(path, eos, extra)
    if len(_recent) >= _KEEP:
        _recent.clear()
    _recent[path, eos, extra] = now, stamp, vocabulary
    return vocabulary


def _load_files(path: str, eos: tuple | None, extra: tuple) -> Vocabulary:
    try:
        main = find_main(path)
    except (OSError, ValueError, TypeError) as error:
        raise VocabularyError(f"cannot read the tokenizer at {path!r}: {error}") from None
    key = (_stat_key(main), eos, extra)
    with _lock:
        known = _by_files.get(key)
        if known is not None:
            _by_files.move_to_end(key)
            return known
    reference = cache_dir() / "vocabularies" / f"{hashlib.sha256(repr((VERSION, key)).encode()).hexdigest()[:32]}.ref"
    source = file_source(Path(main))
    vocabulary = _load_source(source, eos, extra, reference)
    with _lock:
        _by_files[key] = vocabulary
        while len(_by_files) > _KEEP:
            _by_files.popitem(last=False)
    return vocabulary


# -- objects ----------------------------------------------------------------------

def _load_object(tokenizer: Any, eos: tuple | None, extra: tuple) -> Vocabulary:
    key, facts = (id(tokenizer), eos, extra), signature(tokenizer)
    with _lock:
        known = _by_object.get(key)
        if known is not None and known[0]() is tokenizer and known[1] == facts:
            _by_object.move_to_end(key)
            return known[2]
    vocabulary = _load_source(object_source(tokenizer), eos, extra)
    try:
        # The callback runs anywhere, even while the interpreter shuts down: no lock, no globals.
        alive = weakref.ref(tokenizer, lambda _, drop=_by_object.pop: drop(key, None))
    except TypeError:
        return vocabulary
    with _lock:
        _by_object[key] = alive, facts, vocabulary
        while len(_by_object) > _KEEP:
            _by_object.popitem(last=False)
    return vocabulary


# -- from a source to a vocabulary --------------------------------------------------

def _load_source(source: Source, eos: tuple | None, extra: tuple, reference: Path | None = None) -> Vocabulary:
    begin()
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
    content = hashlib.sha256(f"{VERSION} {source.digest()} {eos} {extra}".encode()).hexdigest()
    vocabulary = _known(content, folder)
    if vocabulary is None:
        vocabulary = Vocabulary.from_table(_complete(source.read(), source.facts(), eos, extra, source.name))
        save_vocabulary(vocabulary, folder / f"{content}.npz")
        _by_content[content] = vocabulary
    if reference is not None:
        write_atomic(reference, content.encode("ascii"))
    return vocabulary if vocabulary._encoder is not None else _with_encoder(vocabulary, source)


def _with_encoder(vocabulary: Vocabulary, source: Source) -> Vocabulary:
    if source.encoder is not None:
        vocabulary.set_encoder(lazy=source.encoder)
    return vocabulary


def _known(content: str, folder: Path) -> Vocabulary | None:
    vocabulary = _by_content.get(content)
    if vocabulary is None:
        vocabulary = restore_vocabulary(folder / f"{content}.npz")
        if vocabulary is not None:
            vocabulary = _by_content.setdefault(content, vocabulary)
    return vocabulary


def _complete(table: TokenTable, facts: Facts, eos: tuple | None, extra: tuple, source: str) -> TokenTable:
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
