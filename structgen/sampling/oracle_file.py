"""Prefix oracles on disk: NumPy's ``.npz``, checked in full before a kernel sees any of it."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StructgenError
from . import walk_kernels as wk

if TYPE_CHECKING:
    from .oracle import PrefixOracle

__all__ = ["FORMAT", "save", "load"]

FORMAT = 2


def save(oracle: "PrefixOracle", path: str | os.PathLike, tables: dict[str, Any]) -> None:
    """Write `tables` and the oracle's key and counters, in one step."""
    target = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(target))
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as handle:
        try:
            np.savez(handle, key=np.array(oracle.key), format=np.array(FORMAT),
                     counters=np.array([oracle.evaluations, oracle.passes], np.int64), **tables)
        except BaseException:
            os.unlink(handle.name)
            raise
    os.replace(handle.name, target)


def load(oracle: "PrefixOracle", path: str | os.PathLike, fields: dict[str, Any]) -> dict[str, np.ndarray]:
    """What :func:`save` wrote for an oracle with the key of `oracle`.

    Raises
    ------
    StructgenError
        If the file is for something else, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            held = {name: data[name] for name in data.files}
        if int(held["format"]) != FORMAT:
            raise ValueError(f"of format {int(held['format'])}, this version reads {FORMAT}")
        if str(held["key"]) != oracle.key:
            raise StructgenError(f"{os.fspath(path)!r} is an oracle for another model, prompt, distribution or "
                                 "constraint")
        _check(held, fields, oracle.vocabulary.size)
    except StructgenError:
        raise
    except Exception as error:
        raise StructgenError(f"{os.fspath(path)!r} is not an oracle: {error}") from error
    return held


def _check(held: dict[str, np.ndarray], fields: dict[str, Any], vocab: int) -> None:
    """Every range."""
    n, rows, sums = len(held["parent"]), len(held["ids"]), len(held["blocks"])
    order = np.arange(n)

    def check(good: Any, text: str) -> None:
        if not np.all(good):
            raise ValueError(text)

    for name, kind in fields.items():
        check(held[name].dtype == kind and held[name].shape == (n,), f"bad table {name}")
    check(n >= 1 and held["parent"][0] == -1, "no root")
    check((held["parent"][1:] >= 0) & (held["parent"][1:] < order[1:]), "bad parents")
    # children are linked newest first, so links only go down
    check((held["sibling"] >= -1) & (held["sibling"] < order), "bad siblings")
    check((held["first"] >= -1) & (held["first"] < n) & ((held["first"] == -1) | (held["first"] > order)),
          "bad children")
    check(held["parent"][held["first"][held["first"] >= 0]] == order[held["first"] >= 0], "bad children")
    check(held["logp"].shape == (rows,) and held["logp"].dtype == np.float32 and held["ids"].dtype == np.int32,
          "bad rows")
    check((held["ids"] >= 0) & (held["ids"] < vocab), "bad tokens")
    check((held["token"][1:] >= 0) & (held["token"][1:] < vocab), "bad tokens")
    check((held["start"] >= 0) & (held["count"] >= 0) & (held["start"] + held["count"] <= rows), "bad rows")
    check((held["block"] >= 0) & (held["block"] + -(-held["count"] // wk.BLOCK) <= sums), "bad sums")
    for name in ("edge", "theta", "mass", "rest", "ended"):
        check((held[name] >= 0) & (held[name] <= 1 + 1e-5), f"bad {name}")
    check((held["when"] >= 0) & (held["when"] <= n), "bad order")
    for name in ("kept", "log_path"):
        check(held[name] <= 1e-2, f"bad {name}")        # NaN is not
    check(np.isfinite(held["logp"]) & (held["logp"] <= 1e-5), "bad log probabilities")
