"""Are there undeclared keys left that an object does not have yet?

A key may not be repeated.  The front end declares the names of finite key
languages, so undeclared keys never run out; but with ``^(a|b+)$`` nothing is
left behind the prefix ``a`` once "a" was there.  Kernels ask here, once for
every prefix of such a key (see ``keys_left`` in :mod:`.stack_kernels`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .lexer_kernels import LX_DEAD

if TYPE_CHECKING:
    from .lexer import Lexer

__all__ = ["many", "some_left"]

#: So many spellings are more keys than any object gets.
MANY = 1 << 28
#: States that are looked at to find so many.
MAX_STATES = 500
_BACKSLASH = 0x5C


def many(lexer: "Lexer", q: int) -> bool:
    """Does state `q` surely have more continuations than can be used up?

    Counts prefixes by length, without escapes: every state of the lexer can be
    finished, so different prefixes of one length are that many words at least,
    and a path longer than the number of states met has a cycle.
    """
    if _wide(lexer, q):
        return True
    level, met, length, ends = {q: 1}, {q}, 0, 0
    rows: dict[int, list[int]] = {}
    while level:
        if length >= len(met) or ends + sum(level.values()) >= MANY:
            return True
        following: dict[int, int] = {}
        for state, ways in level.items():
            if lexer.label(state) >= 0:
                ends += ways
            row = rows.get(state)
            if row is None:
                if len(rows) >= MAX_STATES:
                    return False
                row = rows[state] = lexer.row(state)
            for b, t in enumerate(row):
                if t >= 0 and b != _BACKSLASH:
                    following[t] = following.get(t, 0) + ways
        level, length = following, length + 1
        met.update(level)
    return ends >= MANY


def _wide(lexer: "Lexer", q: int) -> bool:
    """Does following the most frequent successor already tell?  Mostly it does."""
    ways, met = 1, {q}
    while True:
        row = lexer.row(q)
        row[_BACKSLASH] = LX_DEAD
        count = Counter(row)
        del count[LX_DEAD]
        if not count:
            return False
        (q, n), = count.most_common(1)
        ways *= n
        if q in met or ways >= MANY:
            return True
        met.add(q)
        if len(met) > MAX_STATES:
            return False


def some_left(lexer: "Lexer", q: int, seen: int) -> bool:
    """Is there a continuation of `q` that is none of `seen`, a state of the trie of keys seen?

    Both are walked together; where they part, one is found.
    """
    pending, met = [(q, seen)], {(q, seen)}
    while pending:
        x, s = pending.pop()
        if lexer.label(x) >= 0 and lexer.label(s) < 0:
            return True
        for b, y in enumerate(lexer.row(x)):
            if y < 0:
                continue
            t = lexer.step(s, b)
            if t < 0:
                return True
            if (y, t) not in met:
                met.add((y, t))
                pending.append((y, t))
    return False
