"""A judge that is none of our code: strict JSON, ``jsonschema``, ECMA patterns, exact decimals.

``Oracle(schema_text).check(text)`` parses the text (UTF-8, no duplicate key,
no NaN), and validates it with :mod:`jsonschema` under the draft of
``$schema`` (2020-12 without one).  `format` is asserted whatever the draft;
`pattern` and `patternProperties` go through :mod:`regress`, an ECMA-262
engine; numbers are decimals on both sides, so no float rounding decides.

Where this judge is wrong by its own references, the case is listed in
``tests/data/oracle_disagreements.toml`` with the clause that says so.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Optional

import jsonschema
import regress
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend, validator_for

__all__ = ["Oracle", "Verdict", "parse", "disagreements"]

DISAGREEMENTS = Path(__file__).resolve().parent.parent / "tests" / "data" / "oracle_disagreements.toml"


class Verdict(NamedTuple):
    """`valid`, or why not; `explained` names a listed disagreement; `unjudged`: the oracle gave up."""

    valid: bool
    problem: str = ""
    explained: Optional[str] = None
    unjudged: bool = False


class NotJson(ValueError):
    """The text is not the JSON we promise."""


def _pairs(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise NotJson("duplicate key")
    return out


def _constant(name):
    raise NotJson(f"{name} is not JSON")


def _decimal(text: str) -> Decimal:
    """A number exactly; one whose exponent is past what Decimal holds (18 digits) as far out as that goes."""
    try:
        return Decimal(text)
    except InvalidOperation:
        mantissa, _, exponent = text.lower().partition("e")
        return Decimal(f"{mantissa}e{'-' if exponent.startswith('-') else ''}{10 ** 17}")


def parse(text: bytes | str) -> Any:
    """The value of a JSON text; `NotJson` when it is none, has duplicate keys or lone surrogates."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = json.loads(text, parse_float=_decimal, object_pairs_hook=_pairs, parse_constant=_constant)
    except (UnicodeDecodeError, json.JSONDecodeError) as e:
        raise NotJson(str(e)) from e
    # one pass over the parsed text: a lone surrogate cannot be written as UTF-8
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    except UnicodeEncodeError as e:
        raise NotJson("lone surrogate") from e
    return value


@lru_cache(maxsize=10_000)
def _regex(source: str):
    try:
        return regress.Regex(source, "u")
    except regress.RegressError:
        # Annex B of ECMA-262: without the u flag more sources are patterns.
        return regress.Regex(source)


def _pattern(validator, source, instance, schema) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and _regex(source).find(instance) is None:
        yield ValidationError(f"{instance!r} does not match {source!r}")


def _pattern_properties(validator, patterns, instance, schema) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for source, sub in patterns.items():
            for k, v in instance.items():
                if _regex(source).find(k) is not None:
                    yield from validator.descend(v, sub, path=k, schema_path=source)


def _additional_properties(validator, allowed, instance, schema) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for k, v in instance.items():
        if k in schema.get("properties", ()) or any(_regex(p).find(k) for p in schema.get("patternProperties", ())):
            continue
        if allowed is False:
            yield ValidationError(f"additional property {k!r}")
        elif validator.is_type(allowed, "object"):
            yield from validator.descend(v, allowed, path=k)


def _multiple_of(validator, step, instance, schema) -> Iterator[ValidationError]:
    if validator.is_type(instance, "number") and not _is_multiple(instance, Fraction(step)):
        yield ValidationError(f"{instance} is not a multiple of {step}")


def _is_multiple(value: int | Decimal, step: Fraction) -> bool:
    sign, digits, exponent = Decimal(value).as_tuple() if isinstance(value, Decimal) else (0, None, 0)
    n = int("".join(map(str, digits))) if digits is not None else abs(value)
    p, q = step.numerator, step.denominator
    if exponent >= 0:
        return n * pow(10, exponent, p) * q % p == 0 if p != 1 else True
    if -exponent > n.bit_length() + q.bit_length():     # 10 ** -exponent would be larger than n * q
        return n == 0
    return n * q % (p * 10 ** -exponent) == 0


def _is_number(checker, value) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _is_integer(checker, value) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return True
    if not isinstance(value, Decimal):
        return False
    sign, digits, exponent = value.as_tuple()
    return exponent >= 0 or not any(digits[exponent:]) if -exponent <= len(digits) else not any(digits)


@lru_cache(maxsize=None)
def _class(base):
    checker = base.TYPE_CHECKER.redefine("number", _is_number)
    if base not in (jsonschema.Draft3Validator, jsonschema.Draft4Validator):
        checker = checker.redefine("integer", _is_integer)
    words = {"pattern": _pattern, "patternProperties": _pattern_properties, "multipleOf": _multiple_of,
             "additionalProperties": _additional_properties}
    return extend(base, {k: v for k, v in words.items() if k in base.VALIDATORS}, type_checker=checker)


@lru_cache(maxsize=1)
def disagreements() -> tuple[dict[str, str], ...]:
    """The committed list: keyword, optional format and schema value, instance regex, clause."""
    try:
        import tomllib
    except ImportError:
        import tomli as tomllib
    if not DISAGREEMENTS.is_file():
        return ()
    with open(DISAGREEMENTS, "rb") as f:
        return tuple(tomllib.load(f).get("disagreement", ()))


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    if error.context:
        for e in error.context:
            yield from _leaves(e)
    else:
        yield error


def _explain(error: ValidationError) -> Optional[str]:
    """The clause of the listed disagreement that explains a leaf of `error`."""
    for leaf in _leaves(error):
        for entry in disagreements():
            if entry["keyword"] != leaf.validator:
                continue
            if "value" in entry and entry["value"] != leaf.validator_value:
                continue
            if re.search(entry.get("instance", ""), str(leaf.instance)):
                return entry["clause"]
    return None


class Oracle:
    """The judge of one schema, given as JSON text."""

    def __init__(self, schema_text: str):
        schema = json.loads(schema_text, parse_float=Decimal)
        base = validator_for(schema, default=Draft202012Validator) if isinstance(schema, dict) else Draft202012Validator
        self.validator = _class(base)(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)

    def check(self, text: bytes | str) -> Verdict:
        """Judge one text."""
        try:
            value = parse(text)
        except NotJson as e:
            return Verdict(False, f"not JSON: {e}")
        except (RecursionError, ValueError, InvalidOperation) as e:     # very long numbers, very deep texts
            return Verdict(False, f"{type(e).__name__}: {e}", unjudged=True)
        try:
            errors = list(self.validator.iter_errors(value))
        except Exception as e:                          # a broken schema, an unknown reference
            return Verdict(False, f"{type(e).__name__}: {e}"[:300], unjudged=True)
        if not errors:
            return Verdict(True)
        clauses = [_explain(e) for e in errors]
        where = "/".join(map(str, errors[0].schema_path))
        problem = f"{errors[0].message[:200]} (at {errors[0].json_path}, {where[:200]})"
        return Verdict(False, problem, None if None in clauses else clauses[0])
