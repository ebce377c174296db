"""Where the benches and tests find their data: the environment names a folder.

``STRUCTGEN_DATA`` points at a folder that holds either the archives
(``maskbench-dev.tar.xz``, ``json-schema-test-suite.tar.xz``,
``tokenizer-llama3.tar.xz``) or what is in them, unpacked (``maskbench/``,
``suite/`` and ``llama3/``, or the archives' own top folders).  Archives are
unpacked once into ``$STRUCTGEN_DATA_UNPACKED``, else the user's cache folder.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator

__all__ = ["DataMissing", "maskbench_files", "load_case", "suite_dir", "tokenizer_dir",
           "token_bytes", "encoder", "require", "instance_text"]

ARCHIVES = {
    "maskbench": ("maskbench-dev.tar.xz", "Github_easy---*.json"),
    "suite": ("json-schema-test-suite.tar.xz", "tests"),
    "llama3": ("tokenizer-llama3.tar.xz", "tokenizer.json"),
}


class DataMissing(Exception):
    """The data is not there; the message says what to set."""


def _root() -> Path:
    value = os.environ.get("STRUCTGEN_DATA")
    if not value:
        raise DataMissing("STRUCTGEN_DATA is not set (folder with maskbench-dev.tar.xz and friends)")
    root = Path(value)
    if not root.is_dir():
        raise DataMissing(f"STRUCTGEN_DATA names {value!r}, which is not a folder")
    return root


def _find(folder: Path, marker: str) -> Path | None:
    """`folder` or one at most three levels below that directly holds `marker`."""
    level = [folder]
    for _ in range(4):
        for d in level:
            if next(d.glob(marker), None) is not None:
                return d
        level = [e for d in level for e in sorted(d.iterdir()) if e.is_dir()]
    return None


def _cache() -> Path:
    value = os.environ.get("STRUCTGEN_DATA_UNPACKED")
    if value:
        return Path(value)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "structgen-data"


@lru_cache(maxsize=None)
def _locate(name: str) -> Path:
    root = _root()
    archive_name, marker = ARCHIVES[name]
    if (root / name).is_dir():
        found = _find(root / name, marker)
        if found is not None:
            return found
    archive = root / archive_name
    if not archive.is_file():
        found = _find(root, marker)
        if found is not None:
            return found
        raise DataMissing(f"neither {name}/ nor {archive_name} in {root}")
    stat = archive.stat()
    target = _cache() / f"{name}-{stat.st_size}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Unpack beside the target and rename, so that a killed run leaves nothing half done.
        with tempfile.TemporaryDirectory(dir=target.parent) as tmp:
            inner = Path(tmp) / "x"
            with tarfile.open(archive) as tar:
                tar.extractall(inner, filter="data")
            try:
                inner.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
    found = _find(target, marker)
    if found is None:
        raise DataMissing(f"{archive} does not hold {marker}")
    return found


def maskbench_files(every: int = 1, limit: int | None = None) -> list[Path]:
    """The dev files in sorted order, every `every`-th of them."""
    files = sorted(_locate("maskbench").glob("*.json"))
    return files[::every][:limit]


def suite_dir() -> Path:
    """The folder of the official test suite that holds ``tests`` and ``remotes``."""
    return _locate("suite")


def tokenizer_dir() -> Path:
    """The folder with the Llama-3 ``tokenizer.json``."""
    return _locate("llama3")


def load_case(path: Path) -> dict[str, Any]:
    """One file: ``{"schema": ..., "tests": [{"valid": ..., "data": ...}]}``."""
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def instance_text(data: Any) -> str:
    """The text of an instance, as MaskBench writes it."""
    return json.dumps(data, ensure_ascii=False)


@lru_cache(maxsize=None)
def encoder():
    """The Llama-3 tokenizer as a `tokenizers.Tokenizer`."""
    from tokenizers import Tokenizer
    return Tokenizer.from_file(str(tokenizer_dir() / "tokenizer.json"))


def _byte_letters() -> dict[str, int]:
    """The letters by which byte-level BPE vocabularies write bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(b): b for b in printable}
    others = (b for b in range(256) if b not in printable)
    table.update({chr(0x100 + i): b for i, b in enumerate(others)})
    return table


@lru_cache(maxsize=None)
def token_bytes() -> tuple[list[bytes | None], dict[str, int], int]:
    """(bytes of each id or None for special tokens, special ids by name, EOS id)."""
    with open(tokenizer_dir() / "tokenizer.json", encoding="utf-8") as f:
        data = json.load(f)
    letters = _byte_letters()
    vocab = data["model"]["vocab"]
    special = {t["content"]: t["id"] for t in data["added_tokens"]}
    out: list[bytes | None] = [None] * (max([*vocab.values(), *special.values()]) + 1)
    for text, i in vocab.items():
        out[i] = bytes(letters[c] for c in text)
    with open(tokenizer_dir() / "tokenizer_config.json", encoding="utf-8") as f:
        eos = special[json.load(f)["eos_token"]]
    return out, special, eos


def require() -> None:
    """Leave with status 2 and a reason when the data is not there (for scripts)."""
    try:
        _locate("maskbench")
        _locate("llama3")
    except DataMissing as e:
        print(f"error: {e}", file=sys.stderr)
        raise SystemExit(2) from None


def cases(every: int = 1, limit: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, case) of the selected files."""
    for path in maskbench_files(every, limit):
        yield path.stem, load_case(path)
