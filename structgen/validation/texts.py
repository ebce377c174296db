"""Patterns and formats: whether a string is in a language.

Patterns are ECMA-262 and are searched for, through the `regress` package where
it is installed, else through structgen's automata.  Formats are the languages
that the front end knows (RFC grammars); host names with A-labels, which are
beyond automata, go to `idna`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Callable

from ..errors import LimitError, RegexError
from .values import half_surrogate

__all__ = ["pattern_search", "format_checker"]


@lru_cache(maxsize=1024)
def pattern_search(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a string has a match of the ECMA-262 `pattern`."""
    try:
        import regress
    except ImportError:
        return _own_search(pattern)
    found = None
    for flags in ("u", None):       # the reading JSON Schema asks for, then the lenient one
        try:
            found = regress.Regex(pattern, flags).find
            break
        except regress.RegressError as err:
            reason = str(err)
    if found is None:
        raise RegexError(f"cannot read the pattern {pattern!r}: {reason}", pattern=pattern)
    return lambda text: not half_surrogate(text) and found(text) is not None


def _own_search(pattern: str) -> Callable[[str], bool]:
    """The same from structgen's own automata."""
    nfa = _automaton("ecma", pattern)
    return lambda text: not half_surrogate(text) and nfa.matches(text)


@lru_cache(maxsize=1024)
def _automaton(kind: str, source: str) -> Any:
    from ..automata.nfa import atom_nfa
    from ..grammar.strings import Pattern

    return atom_nfa(Pattern(kind, source))


@lru_cache(maxsize=None)
def _format_check(name: str) -> Callable[[Any], bool]:
    """A function that says whether a value satisfies the format `name` (other types than strings do)."""
    if name == "regex":
        return lambda value: not isinstance(value, str) or _is_regex(value)

    from ..frontends.formats import format_lang
    from ..grammar.strings import Length

    def in_language(text: str) -> bool:
        return any(all((atom.lo <= len(text) and (atom.hi is None or len(text) <= atom.hi) if isinstance(atom, Length)
                        else _automaton(atom.kind, atom.source).matches(text)) is positive for atom, positive in conj)
                   for conj in format_lang(name))

    def check(value: Any) -> bool:
        if not isinstance(value, str):
            return True
        if half_surrogate(value):
            return False
        return in_language(value) or "xn--" in value.lower() and _has_a_labels(name, value)

    return check


def _has_a_labels(name: str, value: str) -> bool:
    """Whether a host name is one by IDNA 2008 though it has A-labels, which are beyond the automata."""
    if name not in ("hostname", "idn-hostname") or name == "hostname" and not value.isascii():
        return False
    import idna

    try:
        labels = value.split(".") if name == "hostname" else re.split("[.\u3002\uff0e\uff61]", value)
        idna.encode(".".join(labels))
        return all(labels) and len(value) <= 253
    except idna.IDNAError:
        return False


def _is_regex(text: str) -> bool:
    """Whether `text` is an ECMA-262 pattern, strictly read."""
    try:
        import regress
    except ImportError:
        from ..frontends.regex import parse_ecma

        try:
            parse_ecma(text)
            return True
        except (RegexError, LimitError):
            return False
    try:
        regress.Regex(text, "u")
        return True
    except (regress.RegressError, UnicodeError):
        return False


@lru_cache(maxsize=None)
def format_checker(default: bool, overrides: tuple[tuple[str, bool], ...]) -> Any:
    """The formats that are asserted."""
    from jsonschema import FormatChecker

    from ..frontends.formats import FORMATS

    chosen = dict(overrides)
    checker = FormatChecker(formats=())
    checker.checkers = {name: (_format_check(name), ()) for name in FORMATS if chosen.get(name, default)}
    return checker
