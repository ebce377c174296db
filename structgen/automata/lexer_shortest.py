"""The shortest way to finish a lexeme.

*The* shortest completion of a state is its shortest byte string to an
acceptable end, the least in byte order among equals; so what is left of a
chosen completion is the chosen completion of the state it has reached.

Any-string states and literal tries are answered directly (in time linear in
the words below the node), everything else by breadth-first search in a kernel
(about 2 us a state), with answers memoised by state.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Callable, Optional

import numpy as np

from ..errors import LimitError
from . import lexer_kernels as K

if TYPE_CHECKING:
    from .lexer import Lexer

__all__ = ["shortest"]

_SHORT = {8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r", 0x22: b'\\"', 0x5C: b"\\\\"}


def _spell(data: bytes, minimal: bool) -> bytes:
    """The shortest (then least) JSON spelling of decoded UTF-8 bytes."""
    return b"".join(_SHORT.get(b) or (bytes((b,)) if b >= 0x20 else
                                      (b"\\u%04x" if minimal else b"\\u%04X") % b) for b in data)


def _plain(data: bytes) -> bool:
    return all(b >= 0x20 and b != 0x22 and b != 0x5C for b in data)


@lru_cache(maxsize=None)
def _tail(minimal: bool, u: int) -> bytes:
    """Shortest bytes from any-string progress `u` to a character's end."""
    from .lexer import any_steps

    table = any_steps(minimal)
    seen, level = {u}, [(u, b"")]
    while True:
        following = []
        for v, text in level:
            if v == 0:
                return text
            for b in range(256):
                t = int(table[v, b])
                if t >= 0 and t not in seen:
                    seen.add(t)
                    following.append((t, text + bytes((b,))))
        level = following


def shortest(lexer: "Lexer", q: int, allowed: Optional[Callable[[int], bool]] = None) -> Optional[bytes]:
    """Shortest raw bytes from `q` to an end whose label is allowed; None if there is none.

    Ties are broken by byte order.  ``allowed(label)`` defaults to every label.
    """
    if allowed is None:
        found = lexer.shortest_memo.get(q)
        if found is None:
            found = lexer.shortest_memo[q] = _find(lexer, q, lambda label: True)
        return found
    return _find(lexer, q, allowed)


def _find(lexer: "Lexer", q: int, allowed) -> Optional[bytes]:
    minimal = lexer.escapes == "minimal"
    if q < K.LX_BASE:
        return _tail(False, q if q < 16 else q - 32) if allowed(1) else None
    if q >= K.TRIE_BASE:
        return _word(lexer, q, allowed, minimal)
    if q >= K.AL_BASE:
        lo, _, label, _ = lexer.table("A")[(q - K.AL_BASE) >> 5 << 2:][:4].tolist()
        return _tail(minimal, q & 31) + b" " * lo if allowed(label) else None
    record = lexer.table("S")[8 * (q - K.LX_BASE):][:8]
    if record[K.S_KIND >> 3] & 0xFF == K.K_ESC and record[K.S_DATA >> 3] >= K.TRIE_BASE:
        return _out_of_escape(lexer, q, allowed)
    return _search(lexer, q, allowed)


def _word(lexer: "Lexer", q: int, allowed, minimal: bool) -> Optional[bytes]:
    """The best word below a trie node."""
    p = q & (K.TRIE_BASE - 1)
    w, hi = int(lexer.table("WW")[p]), int(lexer.table("WH")[p])
    starts, labels, data = lexer.table("VO"), lexer.table("VL"), lexer.table("W8")
    depth = p - int(starts[w])
    best = None
    for k in range(w, hi):
        if not allowed(int(labels[k])):
            continue
        at = int(starts[k]) + depth
        end = at
        if best is not None:          # no need to look at longer ones
            window = data[at:at + len(best) + 1]
            ends = np.flatnonzero(window == 0xFF)
            if not len(ends):
                continue
            end = at + int(ends[0])
        else:
            while data[end] != 0xFF:
                end += 1
        text = data[at:end].tobytes()
        if q < K.RTRIE_BASE and not _plain(text):
            text = _spell(text, minimal)
        if best is None or (len(text), text) < (len(best), best):
            best = text
    return best


def _out_of_escape(lexer: "Lexer", q: int, allowed) -> Optional[bytes]:
    """Every way to finish an escape inside a trie, then the best word after it."""
    best = None
    level = {q: b""}
    while level:
        following: dict[int, bytes] = {}
        for s, text in level.items():
            for b, t in enumerate(lexer.row(s)):
                if t < 0 or t in following:
                    continue
                if t < K.AL_BASE:
                    following[t] = text + bytes((b,))
                    continue
                rest = _find(lexer, t, allowed)
                if rest is not None:
                    whole = text + bytes((b,)) + rest
                    if best is None or (len(whole), whole) < (len(best), best):
                        best = whole
        level = following
    return best


def _search(lexer: "Lexer", q: int, allowed) -> Optional[bytes]:
    """Breadth-first search over row states."""
    cap, verdict = 1 << 10, np.zeros(16, np.uint8)
    while True:
        queue, seen = np.empty(3 * cap, np.int64), np.empty(2 * cap, np.int64)
        args = np.array([_at(queue), cap, _at(seen), 2 * cap - 1, _at(verdict), len(verdict), q], np.int64)
        r = lexer.call(K.O_SHORTEST, _at(args))
        if r == -4:
            cap *= 4
            if cap > 1 << 22:
                raise LimitError("the shortest completion of a string is too far away", place="shortest completion",
                                 limit=1 << 20)
        elif r == -5:
            label = int(lexer.block[K.B_ARG1 >> 3])
            if label >= len(verdict):
                verdict = np.concatenate([verdict, np.zeros(label + 64, np.uint8)])
            verdict[label] = 1 if allowed(label) else 2
        elif r == K.LX_DEAD:
            return None
        else:
            out = bytearray()
            while r > 0:
                out.append(int(queue[3 * r + 2]))
                r = int(queue[3 * r + 1])
            return bytes(out[::-1])


def _at(a: np.ndarray) -> int:
    return a.__array_interface__["data"][0]
