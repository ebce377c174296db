"""The JSON Schema that pydantic writes, made exact for generation.

Pydantic's schemas say what documents look like; some are wider than what its
validators accept (any string for a ``dict[int, ...]`` key, any ``uri`` for an
``HttpUrl``).  A value that is generated must also be accepted, so
:class:`SchemaWriter` narrows those places.  Whatever no schema can say (a
user's validator, "a date in the past") is noted, not dropped in silence.

This module imports pydantic; import it inside functions only.
"""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from typing import Any

from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from ..errors import UnsupportedSchema
from ..grammar.ir import CoverageEntry

__all__ = ["SchemaWriter"]

# Hosts that every URL parser takes: labels without "--" (punycode), the last one not a number.
_LABEL = "[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*"
_HOST = f"(?:{_LABEL}[.])*[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*"
_USER = "(?:[A-Za-z0-9._~-]+(?::[A-Za-z0-9._~-]+)?@)?"
_URL_CHAR = "(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})"
_URL_REST = f"(?::[1-9][0-9]{{0,3}})?(?:/{_URL_CHAR}*)?(?:[?](?:{_URL_CHAR}|[?])*)?(?:#(?:{_URL_CHAR}|[?])*)?"

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_IPV4_NETWORK = (rf"^(?:{_IPV4}(?:/32)?|(?:{_OCTET}\.){{3}}0/24|(?:{_OCTET}\.){{2}}0\.0/16|"
                 rf"{_OCTET}\.0\.0\.0/8|0\.0\.0\.0/0)$")
_HEX = "[0-9A-Fa-f]"
# The year exists (there is no year 0), and the second does (no leap seconds).
_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_SECOND = "[0-2][0-9]:[0-5][0-9]:[0-5][0-9]"

#: What pydantic's own format names mean, in words a JSON Schema front end knows.
_FORMATS: dict[str, dict] = {
    "ipv4network": {"pattern": _IPV4_NETWORK},
    "ipv4interface": {"pattern": f"^{_IPV4}(?:/(?:3[0-2]|[12]?[0-9]))?$"},
    "ipv6network": {"format": "ipv6"},
    "ipv6interface": {"format": "ipv6"},
    "ipvanyaddress": {"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
    "ipvanyinterface": {"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
    "ipvanynetwork": {"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
    "base64": {"pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"},
    "base64url": {"pattern": "^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-][AQgw]==|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]=)?$"},
    "email": {"pattern": f"^[A-Za-z0-9]+(?:[._+-][A-Za-z0-9]+)*@(?:{_LABEL}[.])+[A-Za-z]{{2,}}$", "maxLength": 64},
    "name-email": {"pattern": f"^[A-Za-z0-9]+(?:[._+-][A-Za-z0-9]+)*@(?:{_LABEL}[.])+[A-Za-z]{{2,}}$", "maxLength": 64},
}
for _v in (1, 3, 4, 5, 6, 7, 8):
    _FORMATS[f"uuid{_v}"] = {"pattern": f"^{_HEX}{{8}}-{_HEX}{{4}}-{_v}{_HEX}{{3}}-[89ABab]{_HEX}{{3}}-{_HEX}{{12}}$"}

_INTEGER_KEY = "^(?:0|-?[1-9][0-9]*)$"
_NUMBER_KEY = "^-?(?:0|[1-9][0-9]*)(?:[.][0-9]+)?$"

# What pydantic says of a ByteSize (it accepts less), and what it accepts.
_BYTE_SIZE = r"^\s*(\d*\.?\d+)\s*(\w+)?"
_BYTE_SIZE_EXACT = "^[0-9]{1,15}(?:[.][0-9]{1,6})? ?(?:[KMGTPEkmgtpe]?[Bb]|[KMGTPEkmgtpe][Ii][Bb])$"

# Rust's regex spellings that ECMAScript (in its Unicode mode) writes otherwise.
_RUST = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?P<", re.DOTALL)
_KEEP = frozenset("^$\\.*+?()[]{}|/")


def _ecma(pattern: str) -> str:
    r"""A pattern of Rust's ``regex`` in ECMAScript's spelling, as far as it is only spelling.

    Examples
    --------
    >>> print(_ecma(r"\A(?P<a>[]\-\_x]\@)\z"))
    ^(?<a>[\]\-_x]@)$
    """

    def escape(match: re.Match, inside: bool) -> str:
        c = match[0][1]
        return match[0] if c.isalnum() or c in _KEEP or inside and c == "-" else c

    def token(match: re.Match) -> str:
        text = match[0]
        if text == "(?P<":
            return "(?<"
        if text[0] == "[":
            # a bracket right after the opening one is a member
            text = re.sub(r"^(\[\^?)\]", r"\1\\]", text)
            return re.sub(r"\\(.)", lambda m: escape(m, True), text, flags=re.DOTALL)
        return {r"\A": "^", r"\z": "$"}.get(text) or escape(match, False)

    return _RUST.sub(token, pattern)


#: Decimals of a Decimal without limits of its own: the digits of Python's default context.
_DECIMALS = 28

_BOUNDS = ("le", "ge", "lt", "gt", "now_op")


def _unsupported(message: str, hint: str | None = None) -> UnsupportedSchema:
    return UnsupportedSchema(message, hint=hint)


class SchemaWriter(GenerateJsonSchema):
    """The generator handed to ``TypeAdapter.json_schema``.

    Pydantic makes the instance itself and drops it, so `notes`, what only the
    finished value is checked for, collects on the class; callers empty it.
    """

    notes: list[CoverageEntry] = []
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def note(self, keyword: str, text: str, status: str = "not enforced") -> None:
        type(self).notes.append(CoverageEntry("", keyword, status, text))

    def generate(self, schema: Any, mode: str = "validation") -> JsonSchemaValue:
        return _finish(super().generate(schema, mode))

    # -- containers

    def set_schema(self, schema: Any) -> JsonSchemaValue:
        return _set(super().set_schema(schema))

    def frozenset_schema(self, schema: Any) -> JsonSchemaValue:
        return _set(super().frozenset_schema(schema))

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        out = super().dict_schema(schema)
        keys = schema.get("keys_schema")
        if keys is not None:
            names = self._key_names(self.generate_inner(keys))
            out.pop("patternProperties", None)
            out.pop("propertyNames", None)
            values = schema.get("values_schema")
            out["additionalProperties"] = self.generate_inner(values) if values is not None else True
            if names:
                out["propertyNames"] = names
        return out

    def _key_names(self, key: JsonSchemaValue) -> JsonSchemaValue:
        """The schema of the texts that are read as keys described by `key`."""
        full = self.resolve_ref_schema(dict(key))
        if "anyOf" in full or "oneOf" in full:
            return {"anyOf": [self._key_names(k) for k in full.get("anyOf", full.get("oneOf"))]}
        values = [full["const"]] if "const" in full else full.get("enum")
        if values is not None:
            if any(isinstance(v, bool) or not isinstance(v, (str, int)) for v in values):
                raise _unsupported(f"keys of a dict cannot be {values!r}")
            return {"enum": [str(v) for v in values]}
        kind = full.get("type")
        if kind == "string":
            return key if "$ref" in key else {k: v for k, v in key.items() if k not in ("title", "type")}
        if kind is None and not set(full) - {"title", "description"}:
            return {}
        if kind == "boolean":
            return {"enum": ["true", "false"]}
        limits = {k: v for k, v in full.items()
                  if k in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")}
        if kind == "integer":
            lo, hi = limits.get("minimum"), limits.get("maximum")
            if not limits:
                return {"pattern": _INTEGER_KEY}
            if limits == {"minimum": 0}:
                return {"pattern": "^(?:0|[1-9][0-9]*)$"}
            if limits in ({"minimum": 1}, {"exclusiveMinimum": 0}):
                return {"pattern": "^[1-9][0-9]*$"}
            if set(limits) == {"minimum", "maximum"} and 0 <= hi - lo < 10_000:
                return {"enum": [str(v) for v in range(int(lo), int(hi) + 1)]}
        if kind == "number" and not limits:
            return {"pattern": _NUMBER_KEY}
        raise _unsupported(f"keys of a dict cannot be held to {full!r}",
                           "use keys that are strings, an Enum, a Literal, plain int, or an int in a short range")

    def tagged_union_schema(self, schema: Any) -> JsonSchemaValue:
        # One of the branches fits, the one of the tag; the tag may have a default and is needed all the same.
        out = super().tagged_union_schema(schema)
        tag = out.pop("discriminator", {}).get("propertyName")
        branches = out.pop("oneOf", None)
        if branches is not None:
            out["anyOf"] = [{**b, "required": sorted({tag, *b.get("required", ())})} if tag else b for b in branches]
        return out

    # -- scalars

    def str_schema(self, schema: Any) -> JsonSchemaValue:
        out = super().str_schema(schema)
        if "pattern" in out:
            out["pattern"] = _BYTE_SIZE_EXACT if out["pattern"] == _BYTE_SIZE else _ecma(out["pattern"])
        if schema.get("strip_whitespace") and len(out) > 1:
            # what is measured is the text without the white space around it
            trimmed = r"^(?:[^\s\x85](?:[^]*[^\s\x85])?)?$"
            if "pattern" in out:
                out["allOf"] = [{"pattern": trimmed}]
            else:
                out["pattern"] = trimmed
        return out

    def bytes_schema(self, schema: Any) -> JsonSchemaValue:
        out = super().bytes_schema(schema)
        if self._config.val_json_bytes == "hex":
            out = {"type": "string", "pattern": f"^(?:{_HEX}{_HEX})*$"}
            low, high, unit = schema.get("min_length"), schema.get("max_length"), 2
        elif self._config.val_json_bytes == "base64":
            out = {"type": "string", **_FORMATS["base64url"]}
            low = high = None
            unit = 1
            if schema.get("min_length") or schema.get("max_length") is not None:
                self.note("bytes", "the length of bytes in base64 is checked on the finished value")
        else:
            # UTF-8: the limits count bytes, the schema characters
            low, high, unit = schema.get("min_length"), schema.get("max_length"), 1
            out = {k: v for k, v in out.items() if k not in ("minLength", "maxLength")}
            if high is not None:
                out["pattern"] = r"^[\x00-\x7F]*$"
        if low:
            out["minLength"] = low * unit
        if high is not None:
            out["maxLength"] = high * unit
        return out

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:
        # Numbers only: a string would escape the bounds.
        out: dict[str, Any] = {"type": "number"}
        for key, keyword in (("ge", "minimum"), ("gt", "exclusiveMinimum"), ("le", "maximum"),
                             ("lt", "exclusiveMaximum"), ("multiple_of", "multipleOf")):
            if schema.get(key) is not None:
                out[keyword] = _number(schema[key])
        places, digits = schema.get("decimal_places"), schema.get("max_digits")
        if places is None and digits is None:
            if "multipleOf" not in out:
                # a multiple has no exponent: there is no Decimal for 1e99999999999999999999
                self.note("Decimal", f"a Decimal has at most {_DECIMALS} decimals and no exponent", "narrowed")
                out["multipleOf"] = _number(Decimal(1).scaleb(-_DECIMALS))
            return out
        if digits is None:
            forms = [{"multipleOf": _number(Decimal(1).scaleb(-places))}]
        else:
            # k decimals leave digits - k digits before the point
            forms = []
            for k in range(digits + 1) if places is None else [min(places, digits)]:
                bound = _number(Decimal(1).scaleb(digits - k))
                forms.append({"multipleOf": _number(Decimal(1).scaleb(-k)), "exclusiveMaximum": bound,
                              "exclusiveMinimum": -bound})
        return {**out, "allOf": [forms[0] if len(forms) == 1 else {"anyOf": forms}]}

    def int_schema(self, schema: Any) -> JsonSchemaValue:
        # no exponents in integers (their grammar says so), for there is no int for 1e999999
        self.note("int", "an int is written in digits: 100, not 1e2 or 100.0", "narrowed")
        return super().int_schema(schema)

    def float_schema(self, schema: Any) -> JsonSchemaValue:
        out = super().float_schema(schema)
        if not schema.get("allow_inf_nan", self._config.allow_inf_nan):
            # 1e999 is read as infinity
            limit = sys.float_info.max
            if not {"maximum", "exclusiveMaximum"} & set(out):
                out["maximum"] = limit
            if not {"minimum", "exclusiveMinimum"} & set(out):
                out["minimum"] = -limit
        return out

    def complex_schema(self, schema: Any) -> JsonSchemaValue:
        return {"type": "string", "pattern": "^-?[0-9]{1,15}(?:[.][0-9]{1,15})?[+-][0-9]{1,15}(?:[.][0-9]{1,15})?j$"}

    def date_schema(self, schema: Any) -> JsonSchemaValue:
        self._bounds("date", schema)
        return {**super().date_schema(schema), "pattern": f"^{_YEAR}-"}

    def time_schema(self, schema: Any) -> JsonSchemaValue:
        self._bounds("time", schema)
        if schema.get("tz_constraint") == "naive":
            return {"type": "string", "pattern": "^(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,6})?$"}
        return {**super().time_schema(schema), "pattern": f"^{_SECOND}"}

    def datetime_schema(self, schema: Any) -> JsonSchemaValue:
        self._bounds("datetime", schema)
        out = super().datetime_schema(schema)
        if schema.get("tz_constraint") == "naive":
            # a date with a time, no offset: days that every month has
            return {"type": "string", "pattern": f"^{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])T"
                                                 "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,6})?$"}
        return {**out, "pattern": f"^{_YEAR}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{_SECOND}"}

    def timedelta_schema(self, schema: Any) -> JsonSchemaValue:
        self._bounds("timedelta", schema)
        out = super().timedelta_schema(schema)
        if out.get("format") == "duration":
            # a timedelta holds less than 10^9 days
            out["pattern"] = "^[A-Z]+(?:[0-9]{1,5}[A-Z]+)*$"
        return out

    def _bounds(self, kind: str, schema: Any) -> None:
        """Note what a schema cannot say about dates and times."""
        if any(schema.get(key) is not None for key in _BOUNDS) or isinstance(schema.get("tz_constraint"), int):
            self.note(kind, f"bounds on a {kind} are checked on the finished value")

    def url_schema(self, schema: Any) -> JsonSchemaValue:
        return _url(schema)

    def multi_host_url_schema(self, schema: Any) -> JsonSchemaValue:
        return _url(schema)

    def json_schema(self, schema: Any) -> JsonSchemaValue:
        raise PydanticInvalidForJsonSchema("a string that holds JSON text cannot be constrained (pydantic.Json)")

    # -- validators: pydantic's own express types, a user's are beyond a schema

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        self._validator(schema)
        return super().function_before_schema(schema)

    def function_after_schema(self, schema: Any) -> JsonSchemaValue:
        self._validator(schema)
        return super().function_after_schema(schema)

    def function_wrap_schema(self, schema: Any) -> JsonSchemaValue:
        self._validator(schema)
        return super().function_wrap_schema(schema)

    def function_plain_schema(self, schema: Any) -> JsonSchemaValue:
        self._validator(schema)
        return super().function_plain_schema(schema)

    def _validator(self, schema: Any) -> None:
        function = schema["function"].get("function")
        module = getattr(function, "__module__", None) or type(function).__module__ or ""
        name = getattr(function, "__qualname__", None) or type(function).__name__
        if not module.split(".")[0].startswith("pydantic") or name == "EncodedStr.decode_str":
            self.note("validator", f"{name} is run on the finished value")


def _set(out: JsonSchemaValue) -> JsonSchemaValue:
    """Without ``uniqueItems``, which a set makes true of any array, unless items are counted up to."""
    if out.get("minItems", 0) <= 1:
        out.pop("uniqueItems", None)
    return out


def _url(schema: Any) -> JsonSchemaValue:
    schemes = schema.get("allowed_schemes")
    scheme = "[A-Za-z][A-Za-z0-9+.-]*"
    if schemes:
        scheme = "(?:" + "|".join(re.sub("[.+]", r"[\g<0>]", s) for s in schemes) + ")"
    out = {"type": "string", "pattern": f"^{scheme}://{_USER}{_HOST}{_URL_REST}$"}
    if schema.get("max_length") is not None:
        out["maxLength"] = schema["max_length"]
    return out


def _number(value: Any) -> Any:
    """A JSON number equal to `value`."""
    exact = Decimal(str(value))
    if exact == exact.to_integral_value():
        return int(exact)
    short = float(exact)
    if Decimal(repr(short)) != exact:
        raise _unsupported(f"the bound {value} has more digits than a JSON number is read with")
    return short


# Where schemas stand inside schemas; everything else (enum, const, default, ...) is data.
_ONE = ("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else")
_LIST = ("prefixItems", "anyOf", "oneOf", "allOf")
_MAP = ("properties", "patternProperties", "$defs", "dependentSchemas")


def _finish(schema: Any) -> Any:
    """Replace pydantic's format names throughout."""
    if not isinstance(schema, dict):
        return schema
    for key in _ONE:
        if key in schema:
            schema[key] = _finish(schema[key])
    for key in _LIST:
        if key in schema:
            schema[key] = [_finish(s) for s in schema[key]]
    for key in _MAP:
        if key in schema:
            schema[key] = {k: _finish(s) for k, s in schema[key].items()}
    meaning = _FORMATS.get(schema.get("format"))
    if meaning is not None:
        del schema["format"]
        clash = [k for k in meaning if k in schema]
        if clash:
            schema["allOf"] = [*schema.get("allOf", ()), meaning]
        else:
            schema.update(meaning)
    return schema
