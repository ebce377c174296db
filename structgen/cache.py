"""Where structgen keeps files between runs, and how it writes and trusts them.

A cache file is an ordinary ``.npz`` (no pickle, not compressed) with a BLAKE2b
digest of everything before it at the end.  Writing goes through a temporary
file and `os.replace`, so readers see the old file or the new one; loading
checks the digest, the format name and version, and the dtype and rank of every
array, so that a flipped byte, a cut file or a file of another kind is noticed.
What the numbers mean is for the caller to verify.

Nothing here raises for a bad or unwritable cache: a cache that does not work
costs time, never an answer.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import warnings
from pathlib import Path
from typing import Mapping

import numpy as np

__all__ = ["cache_dir", "save_npz_atomic", "load_npz_checked", "write_atomic"]

_DIGEST = 32
_FORMAT = "format"


def cache_dir() -> Path:
    """The folder for cache files; it need not exist yet.

    ``$STRUCTGEN_CACHE`` if set, else ``compiled/`` in a source checkout, else
    the user's cache folder.

    Examples
    --------
    >>> cache_dir() == cache_dir()
    True
    """
    chosen = os.environ.get("STRUCTGEN_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "tests").is_dir():
        return checkout / "compiled"
    from platformdirs import user_cache_path

    return user_cache_path("structgen")


def write_atomic(path: Path, data: bytes | bytearray | memoryview) -> bool:
    """Write `data` to `path` in one step; False (and no trace) if that fails."""
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        os.replace(temporary, path)
        return True
    except OSError:
        if temporary is not None:
            try:
                os.unlink(temporary)
            except OSError:
                pass
        return False


def save_npz_atomic(path: Path, magic: str, version: int,
                    arrays: Mapping[str, np.ndarray]) -> bool:
    """Save `arrays` so that `load_npz_checked` accepts them again.

    Returns False when the file could not be written (a read-only or full
    disk); the caller then simply works without it.
    """
    for name, array in arrays.items():
        if name == _FORMAT or array.dtype.hasobject:
            raise TypeError(f"array {name!r} cannot be stored without pickle under that name")
    tag = np.frombuffer(f"{magic}/{version}".encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **{_FORMAT: tag}, **arrays)
    buffer.write(hashlib.blake2b(buffer.getbuffer(), digest_size=_DIGEST).digest())
    return write_atomic(path, buffer.getbuffer())


def load_npz_checked(path: Path, magic: str, version: int,
                     schema: Mapping[str, tuple[type | str, int]]) -> dict[str, np.ndarray] | None:
    """The arrays of a file written by `save_npz_atomic`, or None.

    Parameters
    ----------
    path : Path
    magic, version
        What the file must say it is.
    schema : mapping of name to (dtype, number of dimensions)
        Every array that must be there; nothing else may be.

    Returns
    -------
    dict or None
        Contiguous, writable, aligned arrays (one type for kernels).  None if
        there is no such file; also None, with a `RuntimeWarning`, if there is
        one but it is damaged or something else.
    """
    try:
        data = Path(path).read_bytes()
    except OSError:
        return None
    try:
        body = memoryview(data)[:-_DIGEST]
        if hashlib.blake2b(body, digest_size=_DIGEST).digest() != data[-_DIGEST:]:
            raise ValueError("checksum mismatch")
        with np.load(io.BytesIO(body), allow_pickle=False) as file:
            if set(file.files) != {*schema, _FORMAT}:
                raise ValueError("unexpected set of arrays")
            if file[_FORMAT].tobytes() != f"{magic}/{version}".encode():
                raise ValueError("another format or version")
            arrays = {name: file[name] for name in schema}
        for name, (dtype, ndim) in schema.items():
            array = arrays[name]
            if array.dtype != np.dtype(dtype) or array.ndim != ndim or not array.flags.c_contiguous:
                raise ValueError(f"array {name!r} has another type")
        return arrays
    except Exception as error:      # np.load and zipfile raise whatever they like on bad input
        warnings.warn(f"ignoring cache file {path}: {error}", RuntimeWarning, stacklevel=2)
        return None
