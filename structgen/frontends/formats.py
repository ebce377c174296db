"""The languages of JSON Schema's ``format`` names.

Each format is one small function that returns a regular expression (ECMA-262
syntax, full match) or a syntax tree, after the RFC that the specification
names.  Trees are made on first use and cached.  A name that is not in
`FORMATS` is no assertion: :func:`format_lang` returns None and the caller lists
it as not enforced.

Where a format is not a regular language, ours is the largest *subset* that is
cheap to describe, never a superset, but for one case; `FORMAT_NOTES` says what
is left out.  What surely is *not* of such a format is outside a superset,
:func:`outer_format`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Callable, Optional, Union

from ..errors import RegexError
from ..grammar.strings import Length, Pattern, StrLang
from .regex import parse_ecma
from .regex.ast import Node

__all__ = ["FORMATS", "FORMAT_NOTES", "format_lang", "format_tree", "outer_format"]

# -- RFC 3339: dates and times ---------------------------------------------------

_DIGIT2 = "[0-9]{2}"
_LEAP_YEAR = ("(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])"            # divisible by 4, not by 100
              "|(?:[02468][048]|[13579][26])00)")                       # or by 400
_DATE = ("(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
         "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
         "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
         f"|{_LEAP_YEAR}-02-29)")
_FRACTION = r"(?:\.[0-9]+)?"
_HOUR, _MINUTE = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"


def _leap_seconds() -> str:
    """Times ``hh:mm:60`` that are 23:59:60 in UTC, for offsets of whole quarters of an hour."""
    out = []
    for hour in range(24):
        back = 23 - hour                                                # hour + back = 23
        minutes = [("59", [f"\\+{(hour + 1) % 24:02}:00", f"-{back:02}:00"] + ["[Zz]"] * (hour == 23)),
                   ("14", [f"\\+{hour:02}:15", f"-{back:02}:45"]),
                   ("29", [f"\\+{hour:02}:30", f"-{back:02}:30"]),
                   ("44", [f"\\+{hour:02}:45", f"-{back:02}:15"])]
        inner = "|".join(f"{minute}:60{_FRACTION}(?:{'|'.join(offsets)})" for minute, offsets in minutes)
        out.append(f"{hour:02}:(?:{inner})")
    return "|".join(out)


def _time_source() -> str:
    return (f"(?:{_HOUR}:{_MINUTE}:{_MINUTE}{_FRACTION}(?:[Zz]|[+-]{_HOUR}:{_MINUTE})|{_leap_seconds()})")


def _date() -> str:
    return _DATE


def _time() -> str:
    return _time_source()


def _date_time() -> str:
    return f"{_DATE}[Tt]{_time_source()}"


def _duration() -> str:
    n = "[0-9]+"
    clock = f"T(?:{n}H(?:{n}M(?:{n}S)?)?|{n}M(?:{n}S)?|{n}S)"
    days = f"(?:{n}D|{n}M(?:{n}D)?|{n}Y(?:{n}M(?:{n}D)?)?)"
    return f"P(?:{days}(?:{clock})?|{clock}|{n}W)"


# -- names and addresses -----------------------------------------------------------

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"


@lru_cache(maxsize=1)
def _ipv6_source() -> str:
    """RFC 4291 / RFC 3986: eight groups, ``::`` for one or more of them, the last two perhaps as IPv4."""
    h = "[0-9A-Fa-f]{1,4}"
    last = f"(?:{h}:{h}|{_IPV4})"
    out = [f"(?:{h}:){{6}}{last}"]
    for after in range(6):                                              # groups between :: and the last two
        before = 5 - after
        head = f"(?:{h}(?::{h}){{0,{before - 1}}})?" if before else ""
        out.append(f"{head}::(?:{h}:){{{after}}}{last}")
    out.append(f"(?:{h}(?::{h}){{0,5}})?::{h}")
    out.append(f"(?:{h}(?::{h}){{0,6}})?::")
    return f"(?:{'|'.join(out)})"


def _ipv4() -> str:
    return _IPV4


def _ipv6() -> str:
    return _ipv6_source()


def host_label(limit: Optional[int]) -> str:
    """RFC 1123 labels of at most `limit` letters, digits and inner hyphens that do not begin with ``xn--``."""
    def tail(n: int) -> str:                                            # 1..n more characters, the last no hyphen
        return f"[0-9A-Za-z-]{'*' if limit is None else f'{{0,{limit - 64 + n}}}'}[0-9A-Za-z]"

    return (f"(?:[0-9A-WYZa-wyz](?:{tail(62)})?"
            f"|[Xx](?:[0-9A-MO-Za-mo-z](?:{tail(61)})?|-{tail(61)}"
            f"|[Nn](?:[0-9A-Za-z](?:{tail(60)})?|-[0-9A-Za-z](?:{tail(59)})?)?)?)")


def _hostname() -> str:
    """RFC 1123, without A-labels (the length of the whole: an atom beside)."""
    label = host_label(63)
    return rf"{label}(?:\.{label})*"


_ATEXT = r"0-9A-Za-z!#$%&'*+/=?^_`{|}~\-"


def _mailbox(more: str) -> str:
    """RFC 5321 ``Mailbox``; `more` are further characters of RFC 6531, as class items."""
    atom = f"[{_ATEXT}{more}]+"
    quoted = rf'"(?:[ !#-\[\]-~{more}]|\\[ -~])*"'
    label = rf"[0-9A-Za-z{more}](?:[0-9A-Za-z{more}-]*[0-9A-Za-z{more}])?"
    domain = rf"{label}(?:\.{label})*"
    return rf"(?:{atom}(?:\.{atom})*|{quoted})@(?:{domain}|\[(?:{_IPV4}|[Ii][Pp][Vv]6:{_ipv6_source()})\])"


def _email() -> str:
    return _mailbox("")


def _idn_email() -> str:
    return _mailbox(r"\u{80}-\u{10FFFF}")


def _uuid() -> str:
    h = "[0-9A-Fa-f]"
    return f"{h}{{8}}-(?:{h}{{4}}-){{3}}{h}{{12}}"


# -- RFC 3986, RFC 3987, RFC 6570 ---------------------------------------------------

_UCSCHAR = (r"\u{A0}-\u{D7FF}\u{F900}-\u{FDCF}\u{FDF0}-\u{FFEF}"
            + "".join(rf"\u{{{plane:X}0000}}-\u{{{plane:X}FFFD}}" for plane in range(1, 14))
            + r"\u{E1000}-\u{EFFFD}")
_IPRIVATE = r"\u{E000}-\u{F8FF}\u{F0000}-\u{FFFFD}\u{100000}-\u{10FFFD}"
_PCT = "%[0-9A-Fa-f]{2}"


def _uri_parts(more: str, private: str) -> tuple[str, str, str]:
    """Scheme and colon, everything between scheme and query, query and fragment."""
    plain = r"0-9A-Za-z._~!$&'()*+,;=\-" + more                         # unreserved and sub-delims
    pchar = f"(?:[{plain}:@]|{_PCT})"
    name = f"(?:[{plain}]|{_PCT})*"
    user = f"(?:[{plain}:]|{_PCT})*"
    future = r"[Vv][0-9A-Fa-f]+\.[0-9A-Za-z._~!$&'()*+,;=:-]+"
    authority = rf"(?:{user}@)?(?:\[(?:{_ipv6_source()}|{future})\]|{name})(?::[0-9]*)?"
    path = f"(?:/{pchar}*)*"
    rooted = f"//{authority}{path}|/(?:{pchar}+{path})?"
    tail = rf"(?:\?(?:[{plain}:@/?{private}]|{_PCT})*)?(?:#(?:[{plain}:@/?]|{_PCT})*)?"
    first = f"(?:[{plain}@]|{_PCT})+"                                   # a first segment without a colon
    absolute = f"(?:[A-Za-z][0-9A-Za-z+.-]*:(?:{rooted}|{pchar}+{path})?{tail})"
    relative = f"(?:(?:{rooted}|{first}{path})?{tail})"
    return absolute, relative, pchar


def _uri() -> str:
    return _uri_parts("", "")[0]


def _uri_reference() -> str:
    absolute, relative, _ = _uri_parts("", "")
    return f"{absolute}|{relative}"


def _iri() -> str:
    return _uri_parts(_UCSCHAR, _IPRIVATE)[0]


def _iri_reference() -> str:
    absolute, relative, _ = _uri_parts(_UCSCHAR, _IPRIVATE)
    return f"{absolute}|{relative}"


def _uri_template() -> str:
    """RFC 6570, with the apostrophe of its errata among the literals."""
    literal = rf"(?:[!#$&'()*+,./0-;=?-\[\]_a-z~{_UCSCHAR}{_IPRIVATE}-]|{_PCT})"
    char = f"(?:[0-9A-Za-z_]|{_PCT})"
    spec = rf"{char}(?:\.?{char})*(?::[1-9][0-9]{{0,3}}|\*)?"
    return rf"(?:{literal}|\{{[+#./;?&=,!@|]?{spec}(?:,{spec})*\}})*"


# -- RFC 6901 ------------------------------------------------------------------------

_POINTER = "(?:/(?:[^/~]|~[01])*)*"


def _json_pointer() -> str:
    return _POINTER


def _relative_json_pointer() -> str:
    return f"(?:0|[1-9][0-9]*)(?:#|{_POINTER})"


# -- the two that are not regular -----------------------------------------------------


def _idn_hostname() -> Node:
    from .formats_idn import idn_hostname

    return idn_hostname()


def _idn_lengths() -> Node:
    from .formats_idn import idn_lengths

    return idn_lengths()


def _idn_unnormalized() -> Node:
    from .formats_idn import idn_unnormalized

    return idn_unnormalized()


def _regex() -> Node:
    from .formats_regex import regex_format

    return regex_format()


FORMATS: dict[str, Callable[[], Union[str, Node]]] = {
    "date-time": _date_time, "date": _date, "time": _time, "duration": _duration, "email": _email,
    "idn-email": _idn_email, "hostname": _hostname, "idn-hostname": _idn_hostname, "ipv4": _ipv4, "ipv6": _ipv6,
    "uri": _uri, "uri-reference": _uri_reference, "iri": _iri, "iri-reference": _iri_reference, "uuid": _uuid,
    "uri-template": _uri_template, "json-pointer": _json_pointer, "relative-json-pointer": _relative_json_pointer,
    "regex": _regex,
}

#: What our reading of a format leaves out (or, for idn-hostname, cannot check).
FORMAT_NOTES: dict[str, str] = {
    "time": "leap seconds only with offsets of whole quarters of an hour",
    "date-time": "leap seconds only with offsets of whole quarters of an hour",
    "hostname": "no A-labels (xn--...): which of them decode to a valid label is not a regular question",
    "idn-hostname": "no A-labels (xn--...); the length of a label's A-label form is bounded, not computed",
    "regex": "groups nest at most 5 deep, none in look-around; class ranges start with an ASCII character; "
             "a named group only at the beginning; no back-references",
    "relative-json-pointer": "without index manipulation",
}

def _outer_time() -> str:
    return f"{_HOUR}:{_MINUTE}:(?:{_MINUTE}|60){_FRACTION}(?:[Zz]|[+-]{_HOUR}:{_MINUTE})"


def _outer_date_time() -> str:
    return f"{_DATE}[Tt]{_outer_time()}"


def _outer_hostname() -> str:
    label = "[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
    return rf"{label}(?:\.{label})*"


def _outer_idn_hostname() -> str:
    return r"[0-9A-Za-z.\-\u{80}-\u{10FFFF}]+"


def _outer_relative_json_pointer() -> str:
    return f"(?:0|[1-9][0-9]*)(?:[+-][0-9]+)?(?:#|{_POINTER})"


#: Supersets of the formats that are read in part, under names of their own.
_OUTER: dict[str, Callable[[], str]] = {
    "time.outer": _outer_time, "date-time.outer": _outer_date_time, "hostname.outer": _outer_hostname,
    "idn-hostname.outer": _outer_idn_hostname, "relative-json-pointer.outer": _outer_relative_json_pointer,
}

_BESIDE: dict[str, Callable[[], Union[str, Node]]] = {
    **_OUTER, "idn-hostname.lengths": _idn_lengths, "idn-hostname.unnormalized": _idn_unnormalized}


@lru_cache(maxsize=64)
def format_tree(name: str) -> Node:
    """The syntax tree of a format, for a match of the whole string.

    >>> format_tree("uuid").items[0].lo
    8
    """
    make = FORMATS.get(name) or _BESIDE.get(name)
    if make is None:
        raise RegexError(f"an unknown format {name!r}", pattern=name)
    made = make()
    return parse_ecma(made) if isinstance(made, str) else made


@lru_cache(maxsize=256)
def format_lang(name: str) -> StrLang | None:
    """The language of a format; None when the name is unknown, and so asserts nothing.

    Examples
    --------
    >>> format_lang("date")
    (((Pattern(kind='format', source='date'), True),),)
    >>> format_lang("int32") is None
    True
    """
    if name not in FORMATS:
        return None
    atoms = [(Pattern("format", name), True)]
    if name == "hostname":
        atoms.append((Length(1, 253), True))
    elif name == "idn-hostname":
        atoms += [(Pattern("format", "idn-hostname.lengths"), True),
                  (Pattern("format", "idn-hostname.unnormalized"), False), (Length(1, 253), True)]
    return (tuple(atoms),)


def outer_format(name: str) -> Optional[str]:
    """The name of a superset of a format that is read in part; None where there is none.

    Examples
    --------
    >>> outer_format("hostname"), outer_format("regex")
    ('hostname.outer', None)
    """
    outer = name + ".outer"
    return outer if outer in _OUTER else None
