"""Token tables on disk: what is slow to compute about a vocabulary, one ``.npz`` each.

A file belongs to the bytes of the tokens (``Vocabulary.tokens_fingerprint``)
and to the code that computes tables (`builders`): tables of another version
are never taken for ours.  Only what is slow to compute is stored; the rest
(`TokenTables`) follows from it in a few milliseconds.

Kernels check no bounds, so every number is verified on the way in, not only
the checksum.  Tries must be exactly the tries of the strings they claim to
hold; tokens must be ordinary, cuts inside their tokens, suffixes nodes of the
suffix trie, counts no longer than the tokens.  A file forged with the right
checksum can hold wrong rows, but nothing a kernel would read out of bounds.

Small vocabularies are not stored: they take less time than a file.
"""

from __future__ import annotations

import functools
import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..automata import static_dfa as sd
from ..cache import cache_dir, load_npz_checked, save_npz_atomic
from .trie import TokenTrie

if TYPE_CHECKING:
    from .vocabulary import Vocabulary

__all__ = ["Parts", "restore_parts", "keep_parts", "table_path", "builders", "ordinary_row", "tails",
           "NOT_INSIDE", "TABLES_VERSION", "MIN_TOKENS"]

TABLES_VERSION = 1
MAGIC = "structgen-tables"
#: Smaller vocabularies are not stored.
MIN_TOKENS = 8192
#: In `Parts.chars`: the token cannot stand inside a JSON string.
NOT_INSIDE = 0xFFFF
#: Files of one vocabulary that are kept, by different versions of the code.
KEEP = 4
#: The code whose results are stored.
SOURCES = ("tokens/tables.py", "tokens/trie.py", "tokens/mask_layout.py", "tokens/mask_regions.py",
           "automata/stack_layout.py", "automata/stack_lexemes.py")
#: States whose regions do not exist.
NO_REGION = (62, 63)

_TRIE = ("nodes", "token", "first", "dfs_tokens", "root_child")
_TRIE_TYPES = (np.int64, np.int32, np.int32, np.int32, np.int32)
_ARRAYS: dict[str, tuple[type, int]] = {
    "cuts": (np.int32, 2), "region_rows": (np.int64, 2), "region_counts": (np.int32, 1),
    "region_pairs": (np.int32, 2), "string_pairs": (np.int32, 2), "string_lens": (np.int32, 1),
    "chars": (np.uint16, 1)}
_SCHEMA = {"key": (np.uint8, 1), **_ARRAYS,
           **{f"{trie}_{name}": (dtype, 1) for trie in ("struct", "suffix")
              for name, dtype in zip(_TRIE, _TRIE_TYPES)}}


class Parts(NamedTuple):
    """The stored tables (their meaning: `tables`)."""

    struct: TokenTrie
    suffix: TokenTrie
    cuts: np.ndarray            # int32[n, 2]: token, byte position; sorted
    region_rows: np.ndarray     # int64[N_STATIC, words]
    region_counts: np.ndarray   # int32[N_STATIC]: how many pairs each region has
    region_pairs: np.ndarray    # int32[sum of counts, 2]: token, suffix node
    string_pairs: np.ndarray    # int32[m, 2]: the same for strings of bounded length
    string_lens: np.ndarray     # int32[m]: code points before the end of the string
    chars: np.ndarray           # uint16[size]: code points each token begins inside a string, or NOT_INSIDE


@functools.cache
def builders() -> str:
    """Digest of what computes tables: its version, the static lexemes, its source."""
    digest = hashlib.sha256(f"{MAGIC} {TABLES_VERSION}\0".encode())
    digest.update(np.ascontiguousarray(sd.static_table, "<i2").tobytes())
    digest.update(np.ascontiguousarray(sd.static_accept, np.uint8).tobytes())
    package = Path(__file__).resolve().parent.parent
    for name in SOURCES:
        try:
            digest.update((package / name).read_bytes())
        except OSError:         # no sources in this installation: the version has to do
            digest.update(name.encode())
    return digest.hexdigest()


def table_path(vocabulary: "Vocabulary") -> Path:
    """Where the tables of a vocabulary are kept."""
    return cache_dir() / "tables" / f"{vocabulary.tokens_fingerprint[:32]}-{builders()[:16]}.npz"


def _key(vocabulary: "Vocabulary") -> np.ndarray:
    return np.frombuffer(f"{vocabulary.tokens_fingerprint} {builders()}".encode(), np.uint8)


def ordinary_row(vocabulary: "Vocabulary", words: int) -> np.ndarray:
    """int64[words]: the mask of all ordinary tokens."""
    row = np.zeros(8 * words, np.uint8)
    packed = np.packbits(vocabulary.ordinary, bitorder="little")
    row[:packed.size] = packed
    return row.view(np.int64)


def tails(blob: np.ndarray, offsets: np.ndarray, tokens: np.ndarray,
          starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The strings of `tokens` from byte `starts` on, as another blob and its offsets."""
    lo = offsets[tokens] + starts
    n = offsets[np.asarray(tokens) + 1] - lo
    bounds = np.zeros(len(tokens) + 1, np.int64)
    np.cumsum(n, out=bounds[1:])
    at = np.arange(bounds[-1]) - np.repeat(bounds[:-1], n) + np.repeat(lo, n)
    return blob[at], bounds


def keep_parts(vocabulary: "Vocabulary", parts: Parts) -> None:
    """Store `parts`, or quietly not, where that is impossible or not worth it."""
    if vocabulary.size < MIN_TOKENS:
        return
    path = table_path(vocabulary)
    arrays = {name: getattr(parts, name) for name in _ARRAYS}
    for trie in ("struct", "suffix"):
        for name in _TRIE:
            arrays[f"{trie}_{name}"] = getattr(getattr(parts, trie), name)
    if save_npz_atomic(path, MAGIC, TABLES_VERSION, {"key": _key(vocabulary), **arrays}):
        _drop_old(path)


def _drop_old(path: Path) -> None:
    """Leave only the newest few files of one vocabulary."""
    try:
        same = sorted(path.parent.glob(path.name.split("-")[0] + "-*.npz"), key=lambda p: p.stat().st_mtime_ns)
        for old in same[:-KEEP]:
            old.unlink()
    except OSError:
        pass


def restore_parts(vocabulary: "Vocabulary") -> Parts | None:
    """The stored tables of `vocabulary`, every number checked; None if there are none to trust."""
    if vocabulary.size < MIN_TOKENS:
        return None
    path = table_path(vocabulary)
    arrays = load_npz_checked(path, MAGIC, TABLES_VERSION, _SCHEMA)
    if arrays is None:
        return None
    try:
        parts, problem = _verified(vocabulary, arrays)
    except Exception as error:      # whatever a forged file provokes
        parts, problem = None, str(error)
    if parts is None:
        warnings.warn(f"ignoring cache file {path}: {problem}", RuntimeWarning, stacklevel=2)
    return parts


def _verified(vocabulary: "Vocabulary", arrays: dict[str, np.ndarray]) -> tuple[Parts | None, str]:
    """The parts, or what is wrong with them."""
    if not np.array_equal(arrays["key"], _key(vocabulary)):
        return None, "it belongs to another vocabulary or version"
    struct, suffix = (TokenTrie(*(arrays[f"{trie}_{name}"] for name in _TRIE)) for trie in ("struct", "suffix"))
    parts = Parts(struct, suffix, **{name: arrays[name] for name in _ARRAYS})
    blob, offsets = vocabulary.blob, vocabulary.offsets
    ordinary, lengths = vocabulary.ordinary, np.diff(offsets)

    def known(tokens: np.ndarray) -> bool:
        return not tokens.size or (tokens.min() >= 0 and tokens.max() < ordinary.size
                                   and bool(ordinary[tokens].all()))

    def pairs(array: np.ndarray) -> bool:
        if array.shape[1:] != (2,) or not known(array[:, 0]):
            return False
        nodes = array[:, 1]
        return not nodes.size or (nodes.min() >= 0 and nodes.max() < len(suffix))

    chosen = np.zeros(ordinary.size, np.uint8)
    if not known(struct.dfs_tokens):
        return None, "unknown tokens in the structural trie"
    chosen[struct.dfs_tokens] = 1
    if not struct.verify(blob, offsets, chosen):
        return None, "the structural trie is not one"

    cuts = parts.cuts
    if cuts.shape[1:] != (2,) or not known(cuts[:, 0]):
        return None, "cuts in unknown tokens"
    tokens, at = cuts[:, 0].astype(np.int64), cuts[:, 1]
    if not ((at > 0) & (at < lengths[tokens])).all() or not (np.diff(tokens << 32 | at) > 0).all():
        return None, "cuts outside their tokens or out of order"
    ends = tails(blob, offsets, tokens, at)
    if not suffix.verify(*ends, np.ones(len(cuts), np.uint8)):
        return None, "the suffix trie is not one"

    rows, counts = parts.region_rows, parts.region_counts
    words = max(1, (vocabulary.size + 63) // 64)
    if rows.shape != (sd.N_STATIC, words) or (rows & ~ordinary_row(vocabulary, words)).any():
        return None, "rows with unknown tokens"
    if counts.shape != (sd.N_STATIC,) or counts.min() < 0 or counts[list(NO_REGION)].any() \
            or counts.sum(dtype=np.int64) != len(parts.region_pairs) or not pairs(parts.region_pairs):
        return None, "regions out of bounds"

    lens = parts.string_lens
    if not pairs(parts.string_pairs) or lens.shape != (len(parts.string_pairs),) \
            or not ((lens >= 0) & (lens <= lengths[parts.string_pairs[:, 0]])).all():
        return None, "ends of strings out of bounds"
    chars = parts.chars
    if chars.shape != (ordinary.size,) or not ((chars == NOT_INSIDE) | (chars <= lengths) & (ordinary == 1)).all():
        return None, "numbers of characters out of bounds"
    return parts, ""
