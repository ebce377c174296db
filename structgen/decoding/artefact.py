"""Compiled constraints in files: ``compiled.save(path)`` and ``sg.load_compiled(path, tokenizer)``.

Compiling takes less than a millisecond, and its tables grow while they are
used, so a file holds what cannot be computed: the constraint, with every
option that defines its language, and which tokenizer it was checked with.
Loading verifies all of it and compiles again; what it gives behaves like what
was saved.

A file is one line ``structgen-compiled VERSION SHA256`` and, after it, a JSON
object that the SHA-256 is of (see ``compiled/README.md``).  Numbers are written
exactly, keys keep their order, nothing is code.  It is written in one step.

Python types are stored as their schema: a loaded constraint allows the same
texts, but gives parsed JSON instead of instances.
"""

from __future__ import annotations

import hashlib
import os
import re
from decimal import Decimal
from fractions import Fraction
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from .._version import __version__
from ..cache import replace_file
from ..constraints import Choice, Constraint, JsonSchema, Regex
from ..errors import LimitError, StructgenError, VocabularyError
from ..frontends.json_schema.read import parse_schema
from ..grammar.ir import CoverageEntry
from ..grammar.numbers import exact_number
from .artefact_grammars import described_grammar, restored_grammar
from .compiled import Compiled

if TYPE_CHECKING:
    from ..tokens.vocabulary import Vocabulary

__all__ = ["save_compiled", "load_compiled", "FORMAT_VERSION"]

FORMAT_VERSION = 1
_HEAD = re.compile(rb"structgen-compiled ([0-9]{1,9}) ([0-9a-f]{64})\n")
_HEAD_SIZE = 128
#: Values and characters that one file may hold.
MAX_VALUES, MAX_BYTES = 10_000_000, 1 << 30
_OPTIONS = ("order", "extra", "whitespace", "numbers", "escapes", "format")

PathLike = Union[str, "os.PathLike[str]"]


class _TypeSchema(JsonSchema):
    """The schema of a Python type, without the type."""

    def _lowered(self):
        grammar = super()._lowered()
        grammar.float_integers = False      # as for the type itself
        return grammar


# -- writing ---------------------------------------------------------------------------

def save_compiled(compiled: Compiled, path: PathLike) -> None:
    """Write a compiled constraint to a file; see ``Compiled.save``."""
    constraint = _described(compiled.source)
    text = _json(constraint)
    # what is read back is what was meant: lowered again, it must still be accepted
    restored = _restored(parse_schema(text))
    vocabulary = compiled.vocabulary
    program = getattr(compiled, "program", None)
    if program is not None:
        from ..automata.cfg_store import stored_program

        constraint["program"] = stored_program(program)
    body = _json({
        "structgen": __version__,
        "tokenizer": {"fingerprint": vocabulary.fingerprint, "tokens": vocabulary.tokens_fingerprint,
                      "size": vocabulary.size, "family": vocabulary.family},
        "coverage": _coverage_digest(restored),
        "constraint": constraint}).encode("ascii") + b"\n"
    if len(body) > MAX_BYTES:
        raise LimitError(f"the constraint takes {len(body):,} bytes", place="size of a saved constraint",
                         limit=MAX_BYTES)
    head = f"structgen-compiled {FORMAT_VERSION} {hashlib.sha256(body).hexdigest()}\n"
    replace_file(Path(path), head.encode("ascii") + body)


def constraint_key(compiled: Compiled) -> str:
    """Equal for compiled objects of the same constraint and options; StructgenError if it has no plain form."""
    return hashlib.sha256(_json(_described(compiled.source)).encode("ascii")).hexdigest()


def _described(source: Any) -> dict[str, Any]:
    """A constraint as plain data."""
    kind = type(source)
    if kind is Regex:
        return {"kind": "regex", "pattern": source.pattern, "mode": source.mode}
    if kind is Choice:
        return {"kind": "choice", "options": source.options}
    if kind in (JsonSchema, _TypeSchema):
        form = source.options.format
        return {"kind": "schema", "schema": source.schema,
                "options": {name: getattr(source.options, name) for name in _OPTIONS if name != "format"},
                "format": form if isinstance(form, str) else dict(form),
                "registry": None if source.registry is None else dict(source.registry),
                "lenient": bool(source.lenient), **({"may_dead_end": True} if source.may_dead_end else {}),
                "python_type": source.adapter is not None or kind is _TypeSchema,
                "notes": [list(entry) for entry in source.notes]}
    if isinstance(source, Constraint) and not kind.__name__.startswith("_"):
        record = described_grammar(source, _described)
        if record is not None:
            return record
    what = "a normal form given directly" if source is None or not isinstance(source, Constraint) \
        or kind.__name__.startswith("_") else f"a {kind.__name__}"
    raise StructgenError(f"{what} cannot be saved: files hold JSON schemas, regular expressions, choices and "
                         "grammars",
                         hint="compile one of those with structgen.compile")


def _json(value: Any) -> str:
    """JSON text of plain data: ASCII, keys in their order, every number exact."""
    out: list[str] = []
    try:
        _write(value, out)
    except RecursionError:
        raise LimitError("the constraint is nested too deeply to be saved (or contains itself)",
                         place="nesting of a saved constraint") from None
    return "".join(out)


def _write(value: Any, out: list[str]) -> None:
    if len(out) > MAX_VALUES:
        raise LimitError("the constraint is too large to be saved", place="values in a saved constraint",
                         limit=MAX_VALUES)
    if isinstance(value, str):
        out.append(encode_basestring_ascii(value))
    elif isinstance(value, dict):
        mark = "{"
        for key, item in value.items():
            if not isinstance(key, str):
                raise StructgenError(f"the key {key!r} cannot be saved: keys of JSON objects are texts")
            out.append(f"{mark}{encode_basestring_ascii(key)}: ")
            _write(item, out)
            mark = ", "
        out.append("{}" if mark == "{" else "}")
    elif isinstance(value, (list, tuple)):
        mark = "["
        for item in value:
            out.append(mark)
            _write(item, out)
            mark = ", "
        out.append("[]" if mark == "[" else "]")
    elif value is None or isinstance(value, bool):
        out.append("null" if value is None else "true" if value else "false")
    else:
        out.append(_number(value))


def _number(value: Any) -> str:
    """A number so that `parse_schema` reads the same one."""
    try:
        if isinstance(value, int):
            return int.__repr__(value)
        if isinstance(value, float) and value - value == 0:
            return float.__repr__(value)
        if isinstance(value, (Decimal, Fraction)):
            exact, shift = Fraction(value), 0
            if abs(exact) < 2 ** 1000 and exact_number(float(exact)) == exact:
                return repr(float(exact))
            while exact.denominator != 1 and shift < 400:
                exact, shift = exact * 10, shift + 1
            text = f"{exact.numerator}e-{shift}"
            if exact_number(parse_schema(f'{{"x": {text}}}')["x"]) == Fraction(value):
                return text
    except (ValueError, OverflowError, StructgenError):
        pass
    shown = repr(value) if not isinstance(value, int) else "an integer of thousands of digits"
    raise StructgenError(f"a schema with {shown[:200]} cannot be saved: JSON cannot hold it exactly")


def _coverage_digest(source: Constraint) -> str:
    """What a change in the treatment of any keyword would change."""
    lines = [f"{e.pointer}\0{e.keyword}\0{e.status}" for e in source.coverage]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


# -- reading ---------------------------------------------------------------------------

def load_compiled(path: PathLike, tokenizer: Any) -> Compiled:
    """Read a constraint that ``Compiled.save`` wrote.

    Parameters
    ----------
    path : str or path
        The file.
    tokenizer
        The tokenizer it was compiled for, as for ``sg.compile``.

    Returns
    -------
    Compiled
        With the same masks as the one that was saved.

    Raises
    ------
    StructgenError
        The file is not there, damaged, of another format, or this version of
        structgen treats its constraint differently; the message names the file.
    VocabularyError
        It was compiled for another tokenizer; the message has both fingerprints.

    Examples
    --------
    >>> import os, tempfile, structgen as sg
    >>> letters = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "answer.sgc")
    ...     sg.compile(sg.Choice(["yes", "no"]), letters).save(path)
    ...     m = sg.load_compiled(path, letters).matcher()
    >>> bytes(m.allowed_tokens().tolist())
    b'ny'
    """
    from ..tokens.vocabulary import Vocabulary

    body = _body(Path(path))
    vocabulary = Vocabulary.load(tokenizer)
    name = os.fspath(path)
    try:
        record = parse_schema(body.decode("ascii"))
        if list(record) != ["structgen", "tokenizer", "coverage", "constraint"]:
            raise ValueError("unknown fields")
        meant = {key: record["tokenizer"][key] for key in ("fingerprint", "tokens", "size", "family")}
        version, coverage, constraint = record["structgen"], record["coverage"], record["constraint"]
        if not all(isinstance(x, str) for x in (version, coverage, meant["fingerprint"], meant["tokens"])):
            raise ValueError("fields of another type")
    except Exception as error:      # whatever a forged file provokes
        raise StructgenError(f"cannot read {name!r}: {_reason(error)}") from None
    if meant["fingerprint"] != vocabulary.fingerprint:
        _other_tokenizer(name, meant, vocabulary)
    try:
        source = _restored(constraint)
    except Exception as error:
        raise StructgenError(f"cannot read {name!r}: {_reason(error)}") from error
    if _coverage_digest(source) != coverage:
        raise StructgenError(f"structgen {version}, which wrote {name!r}, enforced other keywords of this schema than "
                             f"structgen {__version__} does", hint="compile the schema again")
    try:
        program = None
        grammar = source.grammar()
        if constraint.get("program") is not None:
            from ..automata.cfg_store import restored_program

            try:
                program = restored_program(grammar, constraint["program"])
            except Exception as error:      # whatever a forged file provokes
                raise StructgenError(_reason(error)) from None
        return Compiled(grammar, vocabulary, source=source, program=program)
    except VocabularyError:
        raise
    except StructgenError as error:
        raise StructgenError(f"cannot read {name!r}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return error.message if isinstance(error, StructgenError) else str(error) or type(error).__name__


def _body(path: Path) -> bytes:
    """What follows the first line of a file, once that line is true of it."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no file")
        with open(path, "rb") as file:
            start = file.read(_HEAD_SIZE)
            head = _HEAD.match(start)
            if head is None:
                raise StructgenError(f"{str(path)!r} is no compiled constraint, or its beginning is damaged",
                                     hint="make one with compiled.save(path) or 'structgen compile'")
            if int(head[1]) != FORMAT_VERSION:
                raise StructgenError(f"{str(path)!r} has format version {int(head[1])}; "
                                     f"structgen {__version__} reads version {FORMAT_VERSION}",
                                     hint="compile the constraint again with this version")
            body = start[head.end():] + file.read(MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StructgenError(f"cannot read {str(path)!r}: {reason}") from None
    if hashlib.sha256(body).hexdigest().encode() != head[2]:
        raise StructgenError(f"{str(path)!r} is damaged: its checksum does not fit its contents",
                             hint="compile the constraint again")
    return body


def _other_tokenizer(name: str, meant: dict[str, Any], vocabulary: "Vocabulary") -> None:
    alike = meant["tokens"] == vocabulary.tokens_fingerprint
    raise VocabularyError(
        f"{name!r} was compiled for the tokenizer {meant['fingerprint']} ({meant['family']}, {meant['size']} ids), "
        f"this one is {vocabulary.fingerprint} ({vocabulary.family}, {vocabulary.size} ids)",
        hint=("they have the same tokens, but other special or end-of-text tokens; " if alike else "")
        + "compile the constraint for this tokenizer")


def _restored(record: Any) -> Constraint:
    """The constraint that `_described` made `record` of."""
    kind = record["kind"]
    if kind == "regex":
        return Regex(record["pattern"], mode=record["mode"])
    if kind == "choice":
        if not isinstance(record["options"], list):
            raise ValueError("the options of a choice are no list")
        return Choice(record["options"])
    if kind in ("text", "grammar"):
        return restored_grammar(record, _restored)
    if kind != "schema":
        raise ValueError(f"unknown kind of constraint {kind!r:.50}")
    schema, registry, options, notes = (record[name] for name in ("schema", "registry", "options", "notes"))
    flags = record["lenient"], record["python_type"], record.get("may_dead_end", False)
    if not isinstance(schema, (dict, bool)) or not isinstance(registry, (dict, type(None))) \
            or not isinstance(options, dict) or {*options, "format"} != set(_OPTIONS) \
            or not all(isinstance(flag, bool) for flag in flags) or not isinstance(notes, list) \
            or not all(isinstance(note, list) and [*map(type, note)] == [str] * 4 for note in notes):
        raise ValueError("fields of another type")
    made = _TypeSchema if flags[1] else JsonSchema
    source = made(schema, **options, format=record["format"], registry=registry, lenient=flags[0],
                  may_dead_end=flags[2])
    source.notes = tuple(CoverageEntry(*note) for note in notes)
    return source
