"""Questions about string languages, answered by a lexer of their own.

Each answer is exact or a ``LimitError``; the fuel is counted per question, so
answers do not depend on what was asked before, and are memoised by language.
Costs: an emptiness test of one pattern is its NFA and 50 us; products search
for one accepted string (0.2 us a state).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Optional

from ..errors import LimitError
from ..grammar.strings import StrLang, intersect
from .lexer import Lexer

__all__ = ["is_empty", "enumerate_finite", "contains", "shortest", "disjoint"]

#: most automaton states and search steps a question may cost
MAX_STATES = 200_000
MAX_SEARCH = 2_000_000
#: most prefixes followed when a language is spelled out
MAX_PREFIXES = 1_000_000


def _lexer() -> Lexer:
    return Lexer(max_states=MAX_STATES, max_search=MAX_SEARCH)


@lru_cache(maxsize=4096)
def is_empty(lang: StrLang) -> bool:
    """Is no string in `lang`?

    Examples
    --------
    >>> from structgen.grammar.strings import Length, Pattern, atom_lang
    >>> is_empty(intersect(atom_lang(Pattern("ecma", "^(ab)*$")), atom_lang(Length(3, 3))))
    True
    """
    return not lang or _lexer().add_text(lang) < 0


def disjoint(a: StrLang, b: StrLang) -> bool:
    """Is no string in both?"""
    return is_empty(intersect(a, b))


@lru_cache(maxsize=4096)
def contains(lang: StrLang, text: str) -> bool:
    """Is `text` (decoded) in `lang`?"""
    return _lexer().contains(lang, text)


@lru_cache(maxsize=4096)
def shortest(lang: StrLang) -> str:
    """The string of `lang` with the fewest UTF-8 bytes, least in byte order; ``""`` if none.

    Examples
    --------
    >>> from structgen.grammar.strings import Pattern, atom_lang
    >>> shortest(atom_lang(Pattern("ecma", "[xy]{2}")))
    'xx'
    """
    lexer = _lexer()
    q = lexer.add_text(lang)
    found = lexer.shortest(q) if q >= 0 else None
    return found.decode() if found else ""


@lru_cache(maxsize=1024)
def enumerate_finite(lang: StrLang, limit: int) -> Optional[list[str]]:
    """All strings of `lang`, sorted, if there are at most `limit`; else None.

    Do not change the list: it is shared.

    Examples
    --------
    >>> from structgen.grammar.strings import Pattern, atom_lang
    >>> enumerate_finite(atom_lang(Pattern("ecma", "^a[bc]?$")), 10)
    ['a', 'ab', 'ac']
    """
    lexer = _lexer()
    q = lexer.add_text(lang)
    level = [(q, b"")] if q >= 0 else []
    out: list[str] = []
    steps = 0
    # Every prefix kept can be completed and prefixes of one length differ, so
    # a level wider than what is left of the limit settles the question.
    while level:
        following = []
        for s, text in level:
            if lexer.label(s) >= 0:
                out.append(text.decode())
            following += [(t, text + bytes((b,))) for b, t in enumerate(lexer.row(s)) if t >= 0]
            if len(out) + len(following) > limit:
                return None
        steps += len(following)
        if steps > MAX_PREFIXES:
            raise LimitError(f"spelling out a language took more than {MAX_PREFIXES} prefixes",
                             place="finite language", limit=MAX_PREFIXES)
        level = following
    return sorted(out)
