"""Every error structgen raises on purpose, in one tree.

Each error carries *where* (a JSON Pointer, a line and column, a byte offset, a
token id), *what was expected* and, where there is one, a *hint*.  Nothing in
the package raises a bare ``ValueError`` for a user's mistake.
"""

from __future__ import annotations

__all__ = [
    "StructgenError", "SchemaError", "UnsupportedSchema", "UnsatisfiableSchema",
    "GrammarError", "RegexError", "VocabularyError", "MatcherError",
    "LimitError", "BudgetError", "ModelError", "PredicateError", "DeadEndError",
]


class StructgenError(Exception):
    """Base class.

    Parameters
    ----------
    message : str
        What is wrong, naming the thing.
    hint : str, optional
        What the user can do about it.
    """

    def __init__(self, message: str, *, hint: str | None = None):
        self.message = message
        self.hint = hint
        super().__init__(message if hint is None else f"{message} (hint: {hint})")


class SchemaError(StructgenError):
    """A schema that cannot be read; `pointer` is the JSON Pointer of the place."""

    def __init__(self, message: str, *, pointer: str = "", keyword: str | None = None,
                 hint: str | None = None):
        self.pointer = pointer
        self.keyword = keyword
        shown = pointer if len(pointer) <= 300 else f"{pointer[:200]}...{pointer[-80:]}"
        super().__init__(f"{message} (at {shown or '#'})", hint=hint)


class UnsupportedSchema(SchemaError):
    """A keyword or a use of it that structgen does not enforce, so refuses."""


class UnsatisfiableSchema(SchemaError):
    """No JSON value satisfies the schema."""


class GrammarError(StructgenError):
    """A grammar that cannot be read or built; `line` and `column` count from 1."""

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None,
                 hint: str | None = None):
        self.line = line
        self.column = column
        place = "" if line is None else f" (line {line}, column {column})"
        super().__init__(message + place, hint=hint)


class RegexError(StructgenError):
    """A regular expression that cannot be read; `position` is a character offset."""

    def __init__(self, message: str, *, position: int | None = None, pattern: str | None = None,
                 hint: str | None = None):
        self.position = position
        self.pattern = pattern
        place = "" if position is None else f" (position {position})"
        super().__init__(message + place, hint=hint)


class VocabularyError(StructgenError):
    """A tokenizer that cannot be read, or that cannot spell the language."""


class MatcherError(StructgenError):
    """A call a matcher cannot carry out; the matcher is left as it was.

    `offset` is the byte offset in the text accepted so far, `token` the
    offending token id, `expected` a short description of what may follow.
    """

    def __init__(self, message: str, *, offset: int | None = None, token: int | None = None,
                 expected: str | None = None, hint: str | None = None):
        self.offset = offset
        self.token = token
        self.expected = expected
        super().__init__(message, hint=hint)


class DeadEndError(StructgenError):
    """A text from which no valid one can be reached; only with ``may_dead_end=True``.

    Attributes
    ----------
    text : str
        The text.
    """

    def __init__(self, message: str, *, text: str = "", hint: str | None = None):
        self.text = text
        super().__init__(message, hint=hint)


class LimitError(StructgenError):
    """A deterministic budget ran out: `place` names it, `limit` is its size.

    `partial` is the text accepted so far, where there is any.
    """

    def __init__(self, message: str, *, place: str = "", limit: int | float | None = None,
                 partial: str | None = None, hint: str | None = None):
        self.place = place
        self.limit = limit
        self.partial = partial
        super().__init__(message, hint=hint)


class BudgetError(StructgenError):
    """The token budget is smaller than the shortest valid output needs."""

    def __init__(self, message: str, *, needed: int, given: int, hint: str | None = None):
        self.needed = needed
        self.given = given
        super().__init__(message, hint=hint)


class ModelError(StructgenError):
    """A model or tokenizer that cannot be loaded or used."""


class PredicateError(StructgenError):
    """A predicate or potential of the caller raised, or gave what is no verdict.

    `text` is what it was asked about, `partial` the
    :class:`~structgen.sampling.result.SampleResult` so far; ``__cause__`` is the
    caller's own error.
    """

    def __init__(self, message: str, *, text: bytes = b"", partial: object = None, hint: str | None = None):
        self.text = text
        self.partial = partial
        super().__init__(message, hint=hint)
