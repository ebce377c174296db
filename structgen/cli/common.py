"""What every command shares: exit codes, printing, errors, progress.

Exit codes: 0 ok, 1 an instance or text that does not fit, 2 usage, 3 a schema
or grammar that is bad or not supported, 4 model, tokenizer or files, 5 a
budget or limit, 70 a bug of ours, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from typing import Any, Callable, Iterator, NoReturn, Optional

from ..errors import (BudgetError, DeadEndError, GrammarError, LimitError, MatcherError, ModelError, RegexError,
                      SchemaError, StructgenError, VocabularyError)

__all__ = ["OK", "INVALID", "USAGE", "BAD_SCHEMA", "IO", "BUDGET", "INTERRUPTED", "BUG", "Settings", "settings",
           "UsageError", "InputError", "exit_code", "error_record", "guarded", "fail", "out", "out_json",
           "paint", "plural", "progress"]

OK, INVALID, USAGE, BAD_SCHEMA, IO, BUDGET, BUG, INTERRUPTED = 0, 1, 2, 3, 4, 5, 70, 130


class Settings:
    """Options that concern all commands; one object a process."""

    def __init__(self) -> None:
        self.traceback = False
        self.json = False


settings = Settings()


class UsageError(StructgenError):
    """Arguments that do not go together."""


class InputError(StructgenError):
    """A file or stream that cannot be read or written."""


_CODES: tuple[tuple[type, int], ...] = (
    (UsageError, USAGE), (InputError, IO), (SchemaError, BAD_SCHEMA), (GrammarError, BAD_SCHEMA),
    (RegexError, BAD_SCHEMA), (VocabularyError, IO), (ModelError, IO), (BudgetError, BUDGET), (LimitError, BUDGET),
    (MatcherError, INVALID), (DeadEndError, INVALID), (StructgenError, USAGE),
)


def exit_code(error: BaseException) -> int:
    """The exit code an error stands for."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return IO if isinstance(error, OSError) else INTERRUPTED if isinstance(error, KeyboardInterrupt) else BUG


def error_record(error: StructgenError) -> dict[str, Any]:
    """An error as a JSON object: its type, its message and every place it knows."""
    record: dict[str, Any] = {"type": type(error).__name__, "message": error.message}
    for name in ("pointer", "keyword", "line", "column", "position", "offset", "expected", "place", "limit", "needed",
                 "given", "hint"):
        value = getattr(error, name, None)
        if value not in (None, ""):
            record[name] = value
    return record


def _report(error: BaseException, code: int) -> None:
    if settings.json:
        record = error_record(error) if isinstance(error, StructgenError) else {
            "type": type(error).__name__, "message": str(error)}
        print(json.dumps({"status": "error", "exit_code": code, "error": record}, ensure_ascii=False), file=sys.stderr)
        return
    if isinstance(error, StructgenError):
        text = str(error.args[0]) if error.hint is None else str(error.args[0]).removesuffix(f" (hint: {error.hint})")
        print(f"{paint('error:', 'red', sys.stderr)} {text}", file=sys.stderr)
        if error.hint:
            print(f"{paint('hint:', 'cyan', sys.stderr)} {error.hint}", file=sys.stderr)
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        print(f"{paint('error:', 'red', sys.stderr)} {where}{error.strerror or error}", file=sys.stderr)
    else:
        print(f"{paint('internal error:', 'red', sys.stderr)} {type(error).__name__}: {error}", file=sys.stderr)
        print("This is a bug in structgen. `structgen --traceback ...` shows where.", file=sys.stderr)


def fail(code: int) -> NoReturn:
    """Leave with `code`, after everything is said."""
    import typer

    raise typer.Exit(code)


def guarded(command: Callable) -> Callable:
    """Wrap a command: errors become one line and an exit code, tracebacks only on request."""
    import typer

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except BrokenPipeError:     # the reader went away, as in `| head`
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            fail(141)
        except KeyboardInterrupt:
            if settings.traceback:
                raise
            print("interrupted", file=sys.stderr)
            fail(INTERRUPTED)
        except Exception as error:
            if settings.traceback:
                raise
            code = exit_code(error)
            _report(error, code)
            fail(code)

    return wrapped


# -- output ---------------------------------------------------------------------------

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}


def paint(text: str, colour: str, stream: Any = None) -> str:
    """`text` in a colour, where the stream is a terminal and ``NO_COLOR`` is not set.

    Examples
    --------
    >>> import io
    >>> paint("error:", "red", io.StringIO())
    'error:'
    """
    stream = sys.stdout if stream is None else stream
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def out(text: str = "") -> None:
    """A line of results; what the terminal cannot show is escaped rather than fatal."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def out_json(value: Any) -> None:
    """One JSON value on one line."""
    out(json.dumps(value, ensure_ascii=False))


@contextlib.contextmanager
def progress(message: str) -> Iterator[None]:
    """Show that something is going on, on standard error and only on a terminal."""
    if settings.json or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(message, spinner="line"):
        yield


def plural(count: int, noun: str, many: Optional[str] = None) -> str:
    """``1 error``, ``2 errors``."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"
