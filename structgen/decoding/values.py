"""Finished texts as values: typed by a pydantic adapter, or plain JSON.

The text already satisfies the schema; what can still refuse it is what no
schema says (a user's validator).  Then :class:`ValueRefused` carries the text,
so that nothing generated is lost.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Optional

from ..errors import LimitError, StructgenError
from ..grammar.numbers import exact_number

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["ValueRefused", "to_value"]


class ValueRefused(StructgenError):
    """A type's own validation refused a text that its schema allows.

    Attributes
    ----------
    partial : str
        The text.
    errors : list of dict
        What was refused: ``loc`` (a JSON Pointer), ``msg`` and ``type`` of each.
    """

    def __init__(self, message: str, *, partial: str, errors: Optional[list[dict]] = None, hint: str | None = None):
        self.partial = partial
        self.errors = errors or []
        super().__init__(message, hint=hint)


def to_value(adapter: Optional["TypeAdapter"], text: str) -> Any:
    """The value of a finished JSON text; plain Python data without an adapter.

    Raises
    ------
    ValueRefused
        When the type refuses the value, or the text is no JSON.

    Examples
    --------
    >>> to_value(None, '{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """
    if adapter is None:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueRefused(f"the text cannot be read as JSON: {error}", partial=text) from error
    from pydantic import ValidationError

    quoted = _LONG_FRACTION.search(text) is not None and _quoted_decimals(adapter, text)
    if quoted:
        try:
            return adapter.validate_json(quoted)
        except Exception:
            pass        # the strict kind takes no strings
    try:
        return adapter.validate_json(text)
    except Exception as error:
        refused = error
    # JSON Schema's integers may be spelt 3.0 or 3e2, which a strict int (and any int, when large) refuses.
    plain = _plain_integers(text)
    if plain != text:
        try:
            return adapter.validate_json(plain)
        except Exception:
            pass        # the first error is about the text as it is
    if not isinstance(refused, ValidationError):
        raise ValueRefused(f"a validator failed with {type(refused).__name__}: {refused}", partial=text) from refused
    errors = [{"loc": "".join(f"/{_escape(part)}" for part in e["loc"]), "msg": e["msg"], "type": e["type"]}
              for e in refused.errors(include_url=False, include_context=False, include_input=False)]
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    raise ValueRefused(f"{refused.title} refused the value at {first['loc'] or '#'}: {first['msg']}{more}",
                       partial=text, errors=errors,
                       hint="the schema cannot say this; loosen the validator or generate again") from refused


def _escape(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


_LONG_FRACTION = re.compile(r"\.\d{9}|\d{9}\.")


def _quoted_decimals(adapter: "TypeAdapter", text: str) -> Optional[str]:
    """`text` with fractions of more than 15 digits as strings, when the type has a Decimal.

    Pydantic reads numbers as floats, which keep 15 digits; it reads strings
    into a Decimal (and a float) digit by digit.
    """
    if "'type': 'decimal'" not in _core(adapter):
        return None

    def rewrite(match: re.Match) -> str:
        token = match[0]
        return f'"{token}"' if token[0] != '"' and "." in token and len(token) > 16 else token

    out = _STRING_OR_NUMBER.sub(rewrite, text)
    return out if out != text else None


@lru_cache(maxsize=256)
def _core(adapter: "TypeAdapter") -> str:
    return repr(adapter.core_schema)


_STRING_OR_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')


def _plain_integers(text: str) -> str:
    """`text` with every number that is an integer written in digits only."""

    def rewrite(match: re.Match) -> str:
        token = match[0]
        if token[0] == '"' or token.lstrip("-").isdigit():
            return token
        try:
            value = exact_number(token)
        except LimitError:
            return token
        return str(value) if type(value) is int else token

    return _STRING_OR_NUMBER.sub(rewrite, text)
