"""The shortest undeclared keys an object may still get.

A key position of the stack machine is a triple of lexer states: `names` (the
trie of declared keys), `extra` (which undeclared keys are allowed, with the
node of their value as label) and `seen` (the trie of undeclared keys already
there); -1 where one has died.  Wanted are the shortest words that `extra` ends
in with a given label and neither of the others ends in.

Best-first search over sets of words: an entry of the queue stands for every
word that begins with its prefix, and is ranked by the best of them as far as
`extra` alone can tell, which is a lower bound and nearly always right.  Taking
the best word out of a set leaves one set for every place where another byte
may follow.  Escapes are written in their shortest form only, so different
words are different keys; prefixes that lead to equal states have equal
continuations, hence as many of them as words are wanted will do.  The cost is
about a millisecond a word, whatever the automata look like.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Optional

from ..automata.lexer_shortest import in_escape
from ..automata.static_dfa import STR
from ..errors import LimitError

if TYPE_CHECKING:
    from ..automata.lexer import Lexer

__all__ = ["ExtraKeys", "MAX_SETS"]

#: Sets of words one search may open.
MAX_SETS = 20_000

_QUOTE, _BACKSLASH = 0x22, 0x5C
#: The words of at most one byte of any string, in order.
_SHORT_WORDS = [b""] + [bytes((b,)) for b in range(0x20, 0x80) if b != _QUOTE and b != _BACKSLASH]
_AFTER_BACKSLASH = b'"\\bfnrtu'


def _may_follow(escape: bytes, b: int, upper: bool) -> bool:
    """Can `b` follow the bytes of an escape (backslash included, not complete) in its shortest form?"""
    if len(escape) == 1:
        return b in _AFTER_BACKSLASH
    if len(escape) in (2, 3):
        return b == 0x30
    if len(escape) == 4:
        return b in b"01"
    return not (escape[4] == 0x30 and b in b"89ACDacd") and not (
        upper and b in b"abcdef")


def _open_escape(prefix: bytes) -> bytes:
    """The incomplete escape `prefix` ends in; b"" if there is none."""
    at = prefix.rfind(b"\\")
    if at < 0:
        return b""
    run = len(prefix[:at + 1]) - len(prefix[:at + 1].rstrip(b"\\"))
    if run % 2 == 0:
        return b""
    tail = prefix[at:]
    if len(tail) == 1 or tail[1:2] == b"u" and len(tail) < 6:
        return tail
    return b""


class ExtraKeys:
    """Searches in one lexer, memoised by their arguments."""

    def __init__(self, lexer: "Lexer"):
        self.lexer = lexer
        self._best: dict[tuple[int, int], Optional[bytes]] = {}
        self._words: dict[tuple[int, int, int, int], tuple[int, list[bytes]]] = {}
        self._labels: dict[int, list[int]] = {}

    def labels(self, extra: int) -> list[int]:
        """Every label a word from `extra` can end with, ascending."""
        found = self._labels.get(extra)
        if found is None:
            seen: set[int] = set()
            while True:
                word = self.lexer.shortest(extra, lambda k: k >= 0 and k not in seen)
                if word is None:
                    break
                seen.add(self.lexer.label(self.lexer.run(extra, word)))
            found = self._labels[extra] = sorted(seen)
        return found

    def best(self, extra: int, label: int) -> Optional[bytes]:
        """Shortest word from `extra` that ends with `label`, declared or not."""
        key = (extra, label)
        if key not in self._best:
            self._best[key] = self.lexer.shortest(extra, lambda k: k == label)
        return self._best[key]

    def words(self, names: int, extra: int, seen: int, label: int, count: int) -> list[bytes]:
        """The `count` shortest words (fewer if there are not so many), least bytes first among equals."""
        if count == 1 and names < 0 and seen < 0:
            word = self.best(extra, label)
            return [] if word is None else [word]
        key = (names, extra, seen, label)
        known = self._words.get(key)
        if known is None or known[0] < count:
            found = self._short(names, seen, count) if extra == STR and label == 1 else None
            if found is None:
                found = self._search(names, extra, seen, label, count)
            known = self._words[key] = count, found
        return known[1][:count]

    def _short(self, names: int, seen: int, count: int) -> Optional[list[bytes]]:
        """`words` where anything may follow, if words of at most one byte are enough."""
        found: list[bytes] = []
        for word in _SHORT_WORDS:
            n, s = (self._step(names, word[0]), self._step(seen, word[0])) if word else (names, seen)
            if self._label(n) < 0 and self._label(s) < 0:
                found.append(word)
                if len(found) >= count:
                    return found
        return None

    def _step(self, q: int, b: int) -> int:
        return self.lexer.step(q, b) if q >= 0 else -1

    def _label(self, q: int) -> int:
        return self.lexer.label(q) if q >= 0 else -1

    def _search(self, names: int, extra: int, seen: int, label: int, count: int) -> list[bytes]:
        found: list[bytes] = []
        word = self.best(extra, label)
        if word is None:
            return found
        inside = in_escape(self.lexer, extra)       # then the first escape may be any
        # (length, word, length of the prefix, states there)
        queue = [(len(word), word, 0, names, extra, seen)]
        opened: dict[tuple[int, int, int, bytes], int] = {}
        pops = 0
        while queue:
            _, word, at, n, x, s = heapq.heappop(queue)
            pops += 1
            if pops > MAX_SETS:
                raise LimitError("the search for a shortest undeclared key took too long",
                                 place="undeclared keys", limit=MAX_SETS)
            state = (n, x, s, _open_escape(word[:at]))
            if opened.get(state, 0) >= count:
                continue
            opened[state] = opened.get(state, 0) + 1
            for i in range(at, len(word) + 1):
                self._branch(queue, word, i, n, x, s, label, inside)
                if i < len(word):
                    b = word[i]
                    n, x, s = self._step(n, b), self._step(x, b), self._step(s, b)
            if self._label(n) < 0 and self._label(s) < 0:
                found.append(word)
                if len(found) >= count:
                    break
        return found

    def _branch(self, queue: list, word: bytes, i: int, n: int, x: int, s: int, label: int,
                inside: bool) -> None:
        """Queue the words that agree with `word` in its first `i` bytes and differ in the next."""
        prefix = word[:i]
        here = word[i] if i < len(word) else -1
        escape = _open_escape(prefix)
        lexer, step = self.lexer, self._step
        best: dict[int, Optional[bytes]] = {}
        for b, y in enumerate(lexer.row(x)):
            if y < 0 or b == here:
                continue
            if escape and not (inside and prefix.rfind(b"\\") == 0) and not _may_follow(
                    escape, b, self.lexer.escapes != "minimal"):
                continue
            if y not in best:
                best[y] = self.best(y, label)
            rest = best[y]
            if rest is not None:
                text = prefix + bytes((b,)) + rest
                heapq.heappush(queue, (len(text), text, i + 1, step(n, b), y, step(s, b)))
