"""``structgen match``: whether a text fits, and where it stops fitting."""

from __future__ import annotations

from typing import Any, Optional

from ..errors import MatcherError
from .common import INVALID, UsageError, fail, out, out_json, paint, settings
from .inputs import byte_vocabulary, constraint, read_bytes
from .places import describe_bytes, excerpt, line_and_column

__all__ = ["run"]

_CHUNK = 4096


def run(arguments: list[str], regex: Optional[str], ecma: bool, choice: Optional[list[str]],
        options: dict[str, Any]) -> None:
    """Match one text; leaves with 1 when it does not fit."""
    import structgen as sg

    wanted = 1 if regex is not None or choice else 2
    if len(arguments) != wanted:
        raise UsageError("with --regex or --choice give the text and nothing else" if wanted == 1
                         else "give a schema and a text", hint="structgen match --help")
    schema = None if wanted == 1 else arguments[0]
    if arguments.count("-") > 1:
        raise UsageError("standard input can be read only once")
    text = _text(arguments[-1])
    matcher = sg.compile(constraint(schema, regex, choice, options, ecma), byte_vocabulary()).matcher()
    offset = accepted_bytes(matcher, text)
    complete = matcher.can_end()
    if offset == len(text) and complete:
        out_json({"match": True, "bytes": len(text)}) if settings.json else out(paint("match", "green"))
        return
    _print_mismatch(matcher, text, offset, complete)
    fail(INVALID)


def _text(argument: str) -> bytes:
    if argument != "-":
        return argument.encode("utf-8", "surrogateescape")
    data = read_bytes("-")
    if data.endswith(b"\n"):
        data = data[:-2] if data.endswith(b"\r\n") else data[:-1]
    return data


def _listed(names: list[str]) -> str:
    """Terminals of a grammar, not too many."""
    return ", ".join(names if len(names) <= 16 else [*names[:12], f"... ({len(names)} in all)"])


def accepted_bytes(matcher: Any, text: bytes) -> int:
    """How many bytes of `text` the matcher takes; it is left after them."""
    done = 0
    size = _CHUNK
    while done < len(text):
        try:
            matcher.accept_bytes(text[done:done + size])
            done += min(size, len(text) - done)
        except MatcherError:
            if size == 1:
                break
            size = max(1, size // 8)    # a failed call changes nothing: try less
    return done


def _print_mismatch(matcher: Any, text: bytes, offset: int, complete: bool) -> None:
    allowed = sorted(matcher.expected_bytes())
    expected = describe_bytes(allowed, complete)
    line, column = line_and_column(text, offset)
    unfinished = offset == len(text)
    completion = matcher.shortest_completion() if unfinished else None
    terms = getattr(matcher, "expected_terminals", None)
    reading, coming = terms() if terms is not None else ([], [])
    if settings.json:
        record = {"match": False, "incomplete": unfinished, "offset": offset, "line": line, "column": column,
                  "expected": expected, "expected_bytes": allowed, "could_end": complete}
        if terms is not None:
            record["reading"], record["expected_terminals"] = reading, coming
        if completion is not None:
            record["completion"] = completion.decode("utf-8", "replace")
        out_json(record)
        return
    what = "incomplete: the text ends at" if unfinished else "no match at"
    out(f"{paint(what, 'red')} byte {offset} (line {line}, column {column})")
    shown, caret = excerpt(text, offset)
    out(f"  {shown}")
    out(f"  {caret}")
    out(f"expected {expected}")
    if reading:
        out(f"inside of {_listed(reading)}")
    if coming:
        out(f"{'or ' if reading else ''}then one of {_listed(coming)}")
    if completion is not None:
        out(f"for example {completion.decode('utf-8', 'replace')!r} would complete it")
