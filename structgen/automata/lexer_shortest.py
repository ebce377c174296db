"""The shortest way to finish a lexeme.

*The* shortest completion of a state is its shortest byte string to an
acceptable end, the least in byte order among equals; so what is left of a
chosen completion is the chosen completion of the state it has reached.

Any-string states and literal tries are answered directly (in time linear in
the words below the node), everything else by breadth-first search in a kernel
(about 2 us a state), with answers memoised by state, and for long ones by
every state on the way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Callable, Optional

import numpy as np

from ..errors import LimitError
from . import lexer_kernels as K
from .lexer_tables import address, any_steps

if TYPE_CHECKING:
    from .lexer import Lexer

__all__ = ["in_escape", "shortest", "spell", "spellings", "words_below"]

#: States that a search may open while it looks for ones with a known completion.
MAX_JOIN = 300
_SHORT = {8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r", 0x22: b'\\"', 0x5C: b"\\\\"}


def spell(data: bytes, minimal: bool) -> bytes:
    """The shortest (then least) JSON spelling of decoded UTF-8 bytes."""
    return b"".join(_SHORT.get(b) or (bytes((b,)) if b >= 0x20 else
                                      (b"\\u%04x" if minimal else b"\\u%04X") % b) for b in data)


def _plain(data: bytes) -> bool:
    return all(b >= 0x20 and b != 0x22 and b != 0x5C for b in data)


@lru_cache(maxsize=None)
def _tail(minimal: bool, u: int) -> bytes:
    """Shortest bytes from any-string progress `u` to a character's end."""
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
    if allowed is not None:
        return _find(lexer, q, allowed, False)
    found = lexer.shortest_memo.get(q)
    if found is None:
        found = lexer.shortest_memo[q] = _find(lexer, q, _any_label, True)
    return found


def _any_label(label: int) -> bool:
    return True


def _find(lexer: "Lexer", q: int, allowed, every: bool) -> Optional[bytes]:
    """`shortest` without looking it up; `every` label is allowed, or only some."""
    minimal = lexer.escapes == "minimal"
    if q < K.LX_BASE:
        return _tail(False, q if q < 16 else q - 32) if allowed(1) else None
    if q >= K.TRIE_BASE:
        return _word(lexer, q, allowed, minimal)
    if q >= K.AL_BASE:
        lo, _, label, _ = lexer.table("A")[(q - K.AL_BASE) >> 5 << 2:][:4].tolist()
        return _tail(minimal, q & 31) + b" " * lo if allowed(label) else None
    inside = _escape_state(lexer, q)
    if inside is None:
        return _search(lexer, q, allowed, every)
    words = spellings(lexer, q)
    if words is None:
        return _out_of_escape(lexer, *inside, allowed, every, minimal)
    return min([text for label, text in words if allowed(label)], key=lambda text: (len(text), text), default=None)


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
            text = spell(text, minimal)
        if best is None or (len(text), text) < (len(best), best):
            best = text
    return best


def _escape_state(lexer: "Lexer", q: int) -> Optional[tuple[int, int]]:
    """(state before the escape, progress in it) of a state inside an escape."""
    if not K.LX_BASE <= q < K.AL_BASE:
        return None
    record = lexer.table("S")[8 * (q - K.LX_BASE):][:8]
    return (int(record[K.S_DATA]), int(record[K.S_LEN])) if record[K.S_KIND] & 0xFF == K.K_ESC else None


def in_escape(lexer: "Lexer", q: int) -> bool:
    """Is `q` a state inside an escape?"""
    if q < K.LX_BASE:
        return 8 <= q < 16 or 48 <= q < 52
    if K.AL_BASE <= q < K.TRIE_BASE:
        return q & 31 >= 8
    return _escape_state(lexer, q) is not None


def _finish_escape(e: int, cp: int, minimal: bool) -> Optional[str]:
    """The shortest way to make the escape `e` (see ``_esc_step``) mean `cp`; None if it cannot."""
    phase, k, v, high = e & 7, e >> 3 & 3, e >> 5 & 0xFFFF, e >> 24
    if phase == 0:
        if cp in _SHORT:
            return _SHORT[cp][1:].decode()
        if cp == 0x2F and not minimal:
            return "/"
    if phase <= 1:
        if minimal and (cp > 31 or cp in _SHORT):
            return None
        units = f"{cp:04x}" if minimal else f"{cp:04X}"
        if cp > 0xFFFF:
            units = f"{0xD7C0 + (cp >> 10):04X}\\u{0xDC00 + (cp & 0x3FF):04X}"
        if phase == 0:
            return "u" + units
        return units[k:] if int(units[:4], 16) >> 4 * (4 - k) == v else None
    if cp < 0x10000 or cp - 0x10000 >> 10 != high:
        return None
    unit = f"{0xDC00 + (cp & 0x3FF):04X}"
    if phase == 4:
        return unit[k:] if int(unit, 16) >> 4 * (4 - k) == v else None
    return ("\\u" if phase == 2 else "u") + unit


def words_below(lexer: "Lexer", q: int) -> list[tuple[int, bytes]]:
    """(label, rest of the word, decoded) of the words below a state of a literal trie."""
    p = q & (K.TRIE_BASE - 1)
    w, hi = int(lexer.table("WW")[p]), int(lexer.table("WH")[p])
    starts = lexer.table("VO")[w:hi].tolist()
    depth, longest = p - starts[0], lexer.table("W8")
    out = []
    for label, at in zip(lexer.table("VL")[w:hi].tolist(), starts):
        size = 64
        while True:
            data = longest[at + depth:at + depth + size].tobytes()
            end = data.find(b"\xff")
            if end >= 0:
                break
            size *= 4
        out.append((label, data[:end]))
    return out


def spellings(lexer: "Lexer", q: int) -> Optional[list[tuple[int, bytes]]]:
    """(label, shortest raw bytes) of every word from a state of a literal trie, inside an escape or not.

    None for states of anything else; ``spellings`` of a dead state are none.
    """
    minimal = lexer.escapes == "minimal"
    if q < 0:
        return []
    if K.TRIE_BASE <= q < K.RTRIE_BASE:
        return [(label, data if _plain(data) else spell(data, minimal)) for label, data in words_below(lexer, q)]
    inside = _escape_state(lexer, q)
    if inside is None or not K.TRIE_BASE <= inside[0] < K.RTRIE_BASE:
        return None
    out = []
    for label, data in words_below(lexer, inside[0]):
        if data:
            size = 1 if data[0] < 0x80 else 2 if data[0] < 0xE0 else 3 if data[0] < 0xF0 else 4
            head = _finish_escape(inside[1], ord(data[:size].decode("utf-8", "surrogatepass")), minimal)
            if head is not None:
                out.append((label, head.encode() + spell(data[size:], minimal)))
    return out


def _points(lexer: "Lexer", base: int, lo: int, hi: int, out: dict[int, int]) -> None:
    """Add the states after one code point in lo..hi, each with its least such code point."""
    seen: set = set()

    def expand(q: int, first: int, left: int) -> None:
        """Code points from `first`, with `left` continuation bytes to come."""
        size = 1 << 6 * left
        if first > hi or first + size <= lo:
            return
        whole = lo <= first and first + size - 1 <= hi
        if whole and (q, left) in seen:
            return                    # the same states, for smaller code points
        if left == 0:
            out.setdefault(q, first)
        else:
            for k, t in enumerate(lexer.row(q)[0x80:0xC0]):
                if t >= 0:
                    expand(t, first + (k << 6 * (left - 1)), left - 1)
        if whole:
            seen.add((q, left))

    # a byte that stands in a string as it is means the same there as in its value
    row = lexer.row(base)
    for b in [*range(0x80), *range(0xC2, 0xF5)]:
        left = 0 if b < 0x80 else 1 if b < 0xE0 else 2 if b < 0xF0 else 3
        first = b if left == 0 else (b & (0x3F >> left)) << 6 * left
        if first <= hi and first + (1 << 6 * left) > lo:
            plain = b >= 0x20 and b != 0x22 and b != 0x5C
            t = row[b] if plain else lexer.call(K.O_DECODED, base, b)
            if t >= 0:
                expand(t, first, left)


def _out_of_escape(lexer: "Lexer", base: int, e: int, allowed, every: bool, minimal: bool) -> Optional[bytes]:
    """Every way to finish the escape `e` (see ``_esc_step``), then the best completion."""
    phase, k, v, high = e & 7, e >> 3 & 3, e >> 5 & 0xFFFF, e >> 24
    ways: list[tuple[bytes, int]] = []
    if phase == 0:
        ways = [(text[1:], lexer.call(K.O_DECODED, base, cp)) for cp, text in _SHORT.items()]
        if not minimal:
            ways.append((b"/", lexer.call(K.O_DECODED, base, 0x2F)))
    prefix = "u" if phase == 0 else ""
    if phase <= 1:
        a, c = v << 4 * (4 - k), (v + 1 << 4 * (4 - k)) - 1
        if minimal:
            ways += [((prefix + f"{cp:04x}"[k:]).encode(), lexer.call(K.O_DECODED, base, cp))
                     for cp in range(a, min(c, 31) + 1) if cp not in _SHORT]
        else:
            found: dict[int, int] = {}
            for x, y in ((a, min(c, 0xD7FF)), (max(a, 0xE000), c)):
                _points(lexer, base, x, y, found)
            ways += [((prefix + f"{cp:04X}"[k:]).encode(), t) for t, cp in found.items()]
            if a <= 0xDBFF and c >= 0xD800:
                found = {}
                _points(lexer, base, 0x10000 + (max(a, 0xD800) - 0xD800 << 10),
                        0x103FF + (min(c, 0xDBFF) - 0xD800 << 10), found)
                ways += [((prefix + f"{0xD7C0 + (cp >> 10):04X}"[k:] + f"\\u{0xDC00 + (cp & 0x3FF):04X}").encode(), t)
                         for t, cp in found.items()]
    else:
        found = {}
        start = 0x10000 + (high << 10) - 0xDC00
        a, c = (v << 4 * (4 - k), (v + 1 << 4 * (4 - k)) - 1) if phase == 4 else (0xDC00, 0xDFFF)
        _points(lexer, base, start + max(a, 0xDC00), start + min(c, 0xDFFF), found)
        lead = {2: "\\u", 3: "u", 4: ""}[phase]
        typed = k if phase == 4 else 0
        ways = [((lead + f"{0xDC00 + (cp & 0x3FF):04X}"[typed:]).encode(), t) for t, cp in found.items()]
    best = None
    for text, t in ways:
        rest = None if t < 0 else shortest(lexer, t) if every else _find(lexer, t, allowed, False)
        if rest is not None and (best is None or (len(text + rest), text + rest) < (len(best), best)):
            best = text + rest
    return best


def _search(lexer: "Lexer", q: int, allowed, every: bool) -> Optional[bytes]:
    """Breadth-first search over row states."""
    cap, verdict = 1 << 10, np.zeros(16, np.uint8)
    while True:
        queue, seen = np.empty(3 * cap, np.int64), np.empty(2 * cap, np.int64)
        args = np.array([address(queue), cap, address(seen), 2 * cap - 1, address(verdict), len(verdict), q], np.int64)
        r = lexer.call(K.O_SHORTEST, address(args))
        if r == -4:
            if every and cap == 1 << 10:
                found = _join(lexer, q)
                if found is not None:
                    return found
            cap *= 4
            if cap > 1 << 22:
                raise LimitError("the shortest completion of a string is too far away", place="shortest completion",
                                 limit=1 << 20)
        elif r == -5:
            label = int(lexer.block[K.B_ARG1])
            if label >= len(verdict):
                verdict = np.concatenate([verdict, np.zeros(label + 64, np.uint8)])
            verdict[label] = 1 if allowed(label) else 2
        elif r == K.LX_DEAD:
            return None
        else:
            out = bytearray()
            while r > 0:
                if every and cap > 1 << 10:         # a suffix is the shortest completion of where it starts
                    lexer.shortest_memo[int(queue[3 * r])] = bytes(out[::-1])
                out.append(int(queue[3 * r + 2]))
                r = int(queue[3 * r + 1])
            return bytes(out[::-1])


def _join(lexer: "Lexer", q: int) -> Optional[bytes]:
    """The shortest completion, if every way to it soon meets states whose completions are known.

    For long completions, such as those ``minLength`` asks for: searched once from the
    start, then met again a few bytes behind any other state.
    """
    known, seen, left = lexer.shortest_memo, {q}, MAX_JOIN
    best: Optional[bytes] = None
    level = [(b"", q)]
    while level:
        unknown = []
        for text, state in level:
            rest = known.get(state)
            if rest is None and lexer.label(state) >= 0:
                rest = b""
            if rest is None:
                unknown.append((text, state))
            elif best is None or (len(text) + len(rest), text + rest) < (len(best), best):
                best = text + rest
        level = []
        for text, state in unknown:
            if best is not None and (len(text) + _least(lexer, state), text) >= (len(best), best[:len(text)]):
                continue                # cannot be shorter, nor as short and less
            left -= 1
            if left < 0:
                return None
            for b, t in enumerate(lexer.row(state)):
                if t >= 0 and t not in seen:
                    seen.add(t)
                    level.append((text + bytes((b,)), t))
    return best


def _least(lexer: "Lexer", q: int) -> int:
    """A lower bound on the bytes missing at `q`: what a minimum length still asks for."""
    if not K.LX_BASE <= q < K.AL_BASE:
        return 0
    record = lexer.table("S")[8 * (q - K.LX_BASE):][:8]
    if record[K.S_KIND] & 0xFF != K.K_PROD:
        return 0
    pool, at = lexer.table("P"), int(record[K.S_DATA])
    machine = lexer.table("M")[16 * (int(record[K.S_KIND]) >> 8):][:16]
    if machine[K.M_NCLAUSES] != 1:
        return 0
    comps, clause = int(machine[K.M_COMPS]), int(machine[K.M_CLAUSES])
    least = 0
    for literal in pool[clause + 1:clause + 1 + int(pool[clause])].tolist():
        value = int(pool[at + 1 + (literal >> 1)])
        if literal & 1 and pool[comps + (literal >> 1)] == K.C_LENGTH and value >= 0:
            least = max(least, value >> 31)
    return least
