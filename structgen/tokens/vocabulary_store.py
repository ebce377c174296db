"""Parsed vocabularies on disk: one checked ``.npz`` each, trie included.

Everything a kernel will index with is verified on the way in, not only the
checksum: a file forged with the right checksum is refused too.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np

from ..cache import load_npz_checked, save_npz_atomic
from .trie import TokenTrie
from .vocabulary import Vocabulary

__all__ = ["save_vocabulary", "restore_vocabulary", "MAGIC", "VERSION", "SCHEMA"]

VERSION = 1
MAGIC = "structgen-vocabulary"
SCHEMA: dict[str, tuple[type, int]] = {
    "blob": (np.uint8, 1), "offsets": (np.int64, 1), "is_special": (np.bool_, 1), "meta": (np.uint8, 1),
    "nodes": (np.int64, 1), "token": (np.int32, 1), "first": (np.int32, 1),
    "dfs_tokens": (np.int32, 1), "root_child": (np.int32, 1)}


def save_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write `vocabulary` to `path`, or quietly not, where that is impossible."""
    trie = vocabulary.trie
    meta = {"eos_ids": vocabulary.eos_ids, "special": vocabulary.special, "added": vocabulary.added,
            "family": vocabulary.family, "fingerprint": vocabulary.fingerprint,
            "tokens_fingerprint": vocabulary.tokens_fingerprint}
    save_npz_atomic(path, MAGIC, VERSION, {
        "blob": vocabulary.blob, "offsets": vocabulary.offsets, "is_special": vocabulary.is_special,
        "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8),
        "nodes": trie.nodes, "token": trie.token, "first": trie.first, "dfs_tokens": trie.dfs_tokens,
        "root_child": trie.root_child})


def restore_vocabulary(path: Path) -> Vocabulary | None:
    """A saved vocabulary, every number in it checked; None if there is none to trust."""
    arrays = load_npz_checked(path, MAGIC, VERSION, SCHEMA)
    if arrays is None:
        return None
    try:
        vocabulary = _rebuild(arrays)
    except Exception as error:      # whatever a forged file provokes
        vocabulary, problem = None, str(error)
    else:
        problem = "its tables contradict each other"
    if vocabulary is None:
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
