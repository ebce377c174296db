"""Programs as arrays, for files of compiled grammars.

A :class:`~structgen.automata.cfg_program.Program` takes 5 to 20 ms to make; reading it
back takes a fifth.  Kernels check no bounds, so every number read is verified to lie
where it must; that the tables are those of the grammar beside them is only as certain
as the file.  Tables made by other code than this are not used: `CODE` is a digest of
the modules that make them.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ..grammar.cfg import CfgGrammar, normalise
from .cfg_program import MAX_RULE, MAX_SYMBOLS, Program
from .lr import Tables

__all__ = ["restored_program", "stored_program"]

_MAKERS = ("cfg_layout", "cfg_lexers", "cfg_plans", "cfg_program", "cfg_store", "lalr", "looking", "lr", "nfa", "races",
           "terminals", "utf8", "lookaround")
#: Bytes that the tables of one grammar may take.
MAX_BYTES = 1 << 28
_DTYPES = {"classes": "u1", "reps": "i8", "trans": "i4", "dtrans": "i4", "cut": "i4", "end": "u1", "shadow": "i4",
           "final": "u1", "start": "i4", "first_at": "i8", "first_list": "i8", "first_set": "i8", "always": "i8",
           "kappa": "i4", "look": "i8", "loop": "i8", "dend": "u1", "history": "i4"}
_LR_DTYPES = {"actions": "i4", "goto": "i4", "lhs": "i4", "size": "i4", "lists": "i4"}
_NUMBERS = ("nt", "nx", "ncls", "nq", "nh", "first_words", "safe", "ns", "nn", "conflicts")


@lru_cache(maxsize=1)
def _code() -> str:
    folder = Path(__file__).parent
    h = hashlib.sha1(usedforsecurity=False)
    for name in _MAKERS:
        h.update((folder / f"{name}.py").read_bytes())
    h.update((folder.parent / "grammar" / "cfg.py").read_bytes())
    return h.hexdigest()


class StoredProgram(Program):
    """A program whose tables were read; the grammar in its normal form is made when it is asked for.

    As such programs are there to be ready at once, little is made ahead for them: some of
    what the places between lexemes need.
    """

    prepared = 300

    def __init__(self, grammar: CfgGrammar, empty: list[int]):
        self.source, self._empty = grammar, empty
        self._shapes, self._fit, self.inside = {}, {}, {}

    def __getattr__(self, name: str) -> Any:
        if name == "grammar":
            self.grammar = normalise(self.source, self._empty)
            return self.grammar
        raise AttributeError(name)


def stored_program(program: Program) -> Optional[dict[str, Any]]:
    """The tables of a program as plain data; None for programs that are not stored.

    Those are grammars with indentation, with constraints embedded in them, or with look-behind
    in their terminals.
    """
    lr = program.lr
    if getattr(program, "inside", None) or program.nh != 1 or int(program.end.max(initial=0)) > 1:
        return None
    arrays = {name: getattr(program, name) for name in _DTYPES}
    arrays.update((name, getattr(lr, name)) for name in _LR_DTYPES)
    arrays["symbols"] = np.array([s for _, rhs in lr.rules for s in rhs], np.int32)
    parts, shapes = [], {}
    for name, dtype in {**_DTYPES, **_LR_DTYPES, "symbols": "i4"}.items():
        array = np.ascontiguousarray(arrays[name]).astype("<" + dtype)
        shapes[name] = list(array.shape)
        parts.append(array.tobytes())
    numbers = {name: int(getattr(program if hasattr(program, name) else lr, name)) for name in _NUMBERS}
    return {"code": _code(), "numbers": numbers, "shapes": shapes, "empty": list(program.empty),
            "data": base64.b64encode(zlib.compress(b"".join(parts), 1)).decode("ascii")}


def restored_program(grammar: CfgGrammar, record: dict[str, Any]) -> Optional[Program]:
    """The program that `stored_program` made `record` of; None if other code made it.

    Raises
    ------
    ValueError, TypeError, KeyError
        If a number is not one that the kernels may be given.
    """
    if record["code"] != _code():
        return None
    numbers = {name: record["numbers"][name] for name in _NUMBERS}
    if not all(type(x) is int and 0 <= x < 1 << 31 for x in numbers.values()):
        raise ValueError("the numbers of the tables are none")
    unpack = zlib.decompressobj()
    data = unpack.decompress(base64.b64decode(record["data"], validate=True), MAX_BYTES)
    if unpack.unconsumed_tail or not unpack.eof:
        raise ValueError("the tables are cut short or too large")
    arrays: dict[str, np.ndarray] = {}
    at = 0
    for name, dtype in {**_DTYPES, **_LR_DTYPES, "symbols": "i4"}.items():
        shape = record["shapes"][name]
        if not all(type(x) is int and 0 <= x <= MAX_BYTES for x in shape) or not 1 <= len(shape) <= 2:
            raise ValueError(f"the shape of {name} is none")
        kind = np.dtype("<" + dtype)
        size = kind.itemsize
        for x in shape:
            size *= x
        if at + size > len(data):
            raise ValueError("the tables are cut short")
        arrays[name] = np.frombuffer(data, kind, size // kind.itemsize, at).reshape(shape).astype(dtype)
        at += size
    symbols = arrays.pop("symbols")
    empty = record["empty"]
    if at != len(data) or type(empty) is not list or not all(type(x) is int and grammar.is_terminal(x) for x in empty):
        raise ValueError("fields of another type")
    program = StoredProgram(grammar, empty)
    for name in _DTYPES:
        setattr(program, name, arrays[name])
    for name in ("nt", "nx", "ncls", "nq", "nh", "first_words"):
        setattr(program, name, numbers[name])
    program.safe = bool(numbers["safe"])
    program.empty = empty
    program.lr = lr = Tables(numbers["ns"], numbers["nt"], numbers["nn"], arrays["actions"], arrays["goto"],
                             arrays["lhs"], arrays["size"], arrays["lists"], numbers["conflicts"])
    _check_automata(program)
    _check_tables(lr, symbols)
    ends = np.cumsum(lr.size).tolist()
    flat = symbols.tolist()
    lr.rules = [(a, tuple(flat[j - n:j])) for a, n, j in zip(lr.lhs.tolist(), lr.size.tolist(), ends)]
    return program


def _within(name: str, array: np.ndarray, shape: tuple[int, ...], low: int, high: int) -> None:
    """ValueError unless the array has this shape and numbers from `low` up to, not including, `high`."""
    if array.shape != shape or array.size and not low <= int(array.min()) <= int(array.max()) < high:
        raise ValueError(f"the table {name} does not fit")


def _check_automata(p: Program) -> None:
    """Every number of the lexeme states, and of what may begin them, is in its range."""
    nq, ncls, words, nd = p.nq, p.ncls, p.first_words, len(p.dtrans)
    kinds = [t.kind for t in p.source.terminals]
    if p.nh != 1 or not 1 <= ncls <= 256 or nq < 1 or nd < 1 or p.nx < p.nt or words != (p.nx + 63) // 64:
        raise ValueError("the numbers of the tables do not fit")
    if "embedded" in kinds or p.nt > len(kinds) or p.nx > p.nt + len(kinds):
        raise ValueError("the tables are of another grammar")
    lexers = len(p.first_at)
    _within("classes", p.classes, (256,), 0, ncls)
    _within("reps", p.reps, (ncls,), 0, 256)
    for name, array, low, high in (("trans", p.trans, -1, nq), ("cut", p.cut, -1, nd)):
        _within(name, array, (nq, ncls), low, high)
    _within("dtrans", p.dtrans, (nd, ncls), -1, nd)
    for name, array, high in (("end", p.end, 2), ("final", p.final, 2), ("shadow", p.shadow, nd),
                              ("history", p.history, 1)):
        _within(name, array, (nq,), 0, high)
    _within("dend", p.dend, (nd,), 0, 2)
    _within("loop", p.loop, (nq,), 0, 1 << 16)
    _within("start", p.start, (lexers * p.nx,), -1, nq)
    if (p.trans == 0).any() or (p.start == 0).any() or (p.classes[p.reps] != np.arange(ncls)).any():
        raise ValueError("the table trans does not fit")
    _within("kappa", p.kappa, (p.lr.ns + 1,), 0, max(lexers, 1))
    for name, array, shape, bits in (("first_set", p.first_set, (ncls, words), p.nx),
                                     ("always", p.always, (words,), p.nx),
                                     ("look", p.look, (p.lr.ns + 1, words), p.nt)):
        if array.shape != shape or np.unpackbits(array.view(np.uint8), axis=-1, bitorder="little")[..., bits:].any():
            raise ValueError(f"the table {name} does not fit")
    if lexers < 1:
        raise ValueError("there is no lexer")
    _within("first_at", p.first_at, (lexers,), 0, p.first_list.size - ncls)
    for at in p.first_at.tolist():
        offsets = p.first_list[at:at + ncls + 1]
        _within("first_list", offsets, (ncls + 1,), ncls + 1, p.first_list.size - at + 1)
        items = p.first_list[at + int(offsets[0]):at + int(offsets[-1])]
        if (np.diff(offsets) < 0).any() or ((items >> 32 < 0) | (items >> 32 >= p.nx) | (items & 0xFFFFFFFF >= nq)
                                            | (items & 0xFFFFFFFF < 1)).any():
            raise ValueError("the table first_list does not fit")


def _check_tables(lr: Tables, symbols: np.ndarray) -> None:
    """The same for the LR tables."""
    ns, nt, nn, rules = lr.ns, lr.nt, lr.nn, lr.lhs.size
    if ns < 2 or nn < 1 or max(nn, nt) > MAX_SYMBOLS:
        raise ValueError("the numbers of the tables do not fit")
    _within("goto", lr.goto, (ns + 1, nn), -1, ns)
    _within("lhs", lr.lhs, (rules,), 0, nn)
    _within("size", lr.size, (rules,), 0, MAX_RULE + 1)
    _within("symbols", symbols, (int(lr.size.sum()),), 0, nn + nt)
    _within("lists", lr.lists[:1], (1,), 0, 1)

    def fit(actions: np.ndarray) -> bool:
        half = actions >> 1
        return bool(((actions >= 0) & np.where(actions & 1, half < ns, half <= rules)).all())

    actions = lr.actions
    _within("actions", actions, (ns + 1, nt + 1), -lr.lists.size, 1 << 31)
    if actions[-1].any() or (lr.goto[-1] >= 0).any() or not fit(actions[actions > 0]):
        raise ValueError("the table actions does not fit")
    for at in np.unique(-1 - actions[actions < 0]).tolist():
        n = int(lr.lists[at])
        listed = lr.lists[at + 1:at + 1 + n]
        if n < 1 or listed.size != n or not fit(listed) or not listed.all():
            raise ValueError("the table lists does not fit")
