"""Where structgen keeps files between runs, and how it writes and trusts them.

A cache file is an ordinary ``.npz`` (no pickle, not compressed) with a SHA-1
of everything before it at the end: a checksum against accidents, chosen for
speed, not a signature.  Writing goes through a temporary
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
import math
import os
import secrets
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Mapping

import numpy as np
from numpy.lib import format as npy

__all__ = ["cache_dir", "save_npz_atomic", "load_npz_checked", "replace_file", "write_atomic"]

_DIGEST = 20
_FORMAT = "format"


def _checksum(data: bytes | memoryview) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


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


def replace_file(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Write `data` to `path` in one step: readers see the old file or the new one.

    Raises
    ------
    OSError
        If that is impossible; nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid():x}{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as out:      # with the permissions any new file gets
            out.write(data)
        os.replace(temporary, path)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise


def write_atomic(path: Path, data: bytes | bytearray | memoryview) -> bool:
    """`replace_file`, but False (and no trace) if that fails."""
    try:
        replace_file(path, data)
        return True
    except OSError:
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
    np.savez(buffer, **{_FORMAT: tag}, **{n: np.ascontiguousarray(a) for n, a in arrays.items()})
    buffer.write(_checksum(buffer.getvalue()))
    return write_atomic(path, buffer.getbuffer())


def _member(data: bytes, start: int) -> np.ndarray:
    """The array of the uncompressed zip member whose header starts at `start`."""
    name_length, extra_length = struct.unpack_from("<HH", data, start + 26)
    start += 30 + name_length + extra_length
    header = io.BytesIO(data[start:start + 4096])
    if npy.read_magic(header) != (1, 0):
        raise ValueError("unknown array format")
    shape, fortran, dtype = npy.read_array_header_1_0(header)
    if fortran or dtype.hasobject:
        raise ValueError("unsupported array")
    count = math.prod(shape)
    return np.frombuffer(data, dtype, count, start + header.tell()).reshape(shape)


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
        if _checksum(memoryview(data)[:-_DIGEST]) != data[-_DIGEST:]:
            raise ValueError("checksum mismatch")
        # Members are not compressed: read them where they lie, instead of
        # through zipfile, which would copy and sum everything once more.
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            places = {i.filename.removesuffix(".npy"): i.header_offset for i in archive.infolist()}
        if set(places) != {*schema, _FORMAT}:
            raise ValueError("unexpected set of arrays")
        if _member(data, places[_FORMAT]).tobytes() != f"{magic}/{version}".encode():
            raise ValueError("another format or version")
        arrays = {}
        for name, (dtype, ndim) in schema.items():
            array = _member(data, places[name])
            if array.dtype != np.dtype(dtype) or array.ndim != ndim:
                raise ValueError(f"array {name!r} has another type")
            arrays[name] = array.copy()         # aligned and writable
        return arrays
    except Exception as error:      # np.load and zipfile raise whatever they like on bad input
        warnings.warn(f"ignoring cache file {path}: {error}", RuntimeWarning, stacklevel=2)
        return None
