"""Automata of JSON number spellings for exact number languages.

:func:`number_dfa` gives the trimmed minimal DFA of every RFC 8259 spelling of
the numbers in a :data:`~structgen.grammar.ir.NumLang`.  Bounds and multiples
are exact decimals; no float takes part, so 400-digit bounds are ordinary.

How it is built
---------------
* An interval is two comparisons of the digits read so far with the digits of
  the bounds.  While the integer part is read its length is unknown, so each
  comparison is one of: settled, "at least / at most m more digits", tight.
  Rows are hash-consed from the back, which makes the automaton minimal at
  once: its only cycles are one-state loops.  Tens of microseconds in Python.
* Constants (an ``enum``, or a grid with few points in its bounds) are a trie,
  hash-consed the same way.
* Multiples of p/q are a remainder automaton, see :func:`_multiples`.
* Unions, multiples within bounds, what is no multiple, and what is spelt with a
  point are products, minimised.

Exponents are spelt where the language with them is regular and the value
stays exactly decided: no bounds at all, or a bound on the sign only (then the
mantissa alone decides).  Elsewhere there are none, see :data:`EXPONENT_NOTE`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Optional

import numpy as np

from ..errors import LimitError
from ..grammar.ir import ANY_NUMBER, Exact, NumAlt, NumLang
from ..grammar.numbers import normalize, simplify
from .number_intervals import Rows, check_size, interval_dfa, places_of, sign_of, signed_dfa
from .number_kernels import N_CLASSES, minimal, product, trie
from .static_dfa import INT, NUM, PLAIN_INT, PLAIN_NUM

__all__ = ["number_dfa", "static_number", "narrows_exponents", "NUMBER_CLASSES", "N_CLASSES", "EXPONENT_NOTE",
           "STATE_BUDGET"]

MINUS, PLUS, DOT, EXP, OTHER = 10, 11, 12, 13, 15

#: Byte -> column: digits are 0..9, then ``-``, ``+``, ``.``, ``e`` or ``E``; all else is `OTHER`.
NUMBER_CLASSES = np.full(256, OTHER, np.uint8)
NUMBER_CLASSES[ord("0"):ord("9") + 1] = np.arange(10)
for _byte, _cls in ((b"-", MINUS), (b"+", PLUS), (b".", DOT), (b"e", EXP), (b"E", EXP)):
    NUMBER_CLASSES[_byte[0]] = _cls

#: Largest product or remainder automaton, in states (tries of constants are not limited by it).
STATE_BUDGET = 20_000

#: Up to this many constants are faster without a kernel (and need not load it).
_FEW = 100

#: Grids with at most this many points between their bounds are listed instead of counted.
_LISTED = 1_000

EXPONENT_NOTE = ("numbers with bounds other than a sign, multipleOf, const or enum are written without an exponent: "
                 "1500, not 1.5e3")

_NO_DIGITS = [-1] * 10


# -- multiples --------------------------------------------------------------

def _multiples(step: Exact, zero_fraction: bool) -> tuple[np.ndarray, np.ndarray]:
    """Signed spellings of the multiples of `step` (its denominator divides a power of ten).

    With F decimals, ``x = V / 10^F`` is a multiple iff M divides V, where
    M = step * 10^F.  Of an integer part V what matters is V modulo the part of
    M that is coprime to ten, and which digit strings make ``V . digits``
    divisible by the rest, ``m10``: for u digits that is the residue class of
    -10^u V, if a u-digit number is in it.  In the fraction it is enough to
    know `need`, the residue of the digits still to come.
    """
    places = places_of(step.denominator)
    m = step.numerator * 10 ** places // step.denominator
    rest = m
    while rest % 2 == 0:
        rest //= 2
    while rest % 5 == 0:
        rest //= 5
    m10 = m // rest
    last = places_of(m10)
    if rest > STATE_BUDGET or last > 1000 or places > 1000:
        raise _too_many("multipleOf")
    powers = [10 ** u for u in range(places, max(last, places + 1))]

    @lru_cache(maxsize=None)
    def classes(r: int) -> tuple:
        return tuple(need if need < p else -1 for p in powers for need in (-p * r % m10,))

    rows: list[list[int]] = [[-1] * N_CLASSES for _ in range(3)]
    accept = [False, False, False]        # start, after "-", a lone zero
    fractions: dict[tuple[int, int], int] = {}
    work: list[tuple[int, int, int]] = []    # (state, decimals read or -1, value or need)

    def new() -> int:
        if len(rows) >= STATE_BUDGET:
            raise _too_many("multipleOf")
        rows.append([-1] * N_CLASSES)
        accept.append(False)
        return len(rows) - 1

    def fraction(read: int, need: int) -> int:
        """After `read` > 0 decimals, the others must be `need` modulo M."""
        read = min(read, places)
        if need >= 10 ** (places - read):
            return -1
        at = fractions.get((read, need))
        if at is None:
            at = fractions[read, need] = new()
            accept[at] = need == 0
            work.append((at, read, need))
        return at

    def point(state: int, value: int) -> None:
        """Acceptance and the point after the integer part `value`."""
        need = -value * 10 ** places % m
        accept[state] = need == 0
        if need < 10 ** places and (places or zero_fraction):
            dot = points.get(need)
            if dot is None:
                dot = points[need] = new()
                rows[dot][:10] = after(0, need)
            rows[state][DOT] = dot

    def after(read: int, need: int) -> list[int]:
        if read >= places:
            return [fraction(places, 0)] + [-1] * 9 if need == 0 else _NO_DIGITS
        weight = 10 ** (places - read - 1)
        return [fraction(read + 1, (need - d * weight) % m) for d in range(10)]

    points: dict[int, int] = {}
    known: dict[tuple, int] = {}

    def integer(value: int) -> int:
        key = (value % rest, classes(value % m10))
        at = known.get(key)
        if at is None:
            at = known[key] = new()
            work.append((at, -1, value % m))
        return at

    rows[0][:10] = rows[1][:10] = [2] + [integer(d) for d in range(1, 10)]
    rows[0][MINUS] = 1
    point(2, 0)
    while work:
        state, read, value = work.pop()
        if read < 0:
            rows[state][:10] = [integer(10 * value + d) for d in range(10)]
            point(state, value)
        else:
            rows[state][:10] = after(read, value)
    return minimal(np.array(rows, np.int32), np.array(accept, np.bool_))


def _too_many(what: str) -> LimitError:
    return LimitError(f"the automaton of a number range with {what} has more than {STATE_BUDGET} states",
                      place="states of a number automaton", limit=STATE_BUDGET,
                      hint="use bounds or a step that need fewer digits")


# -- constants --------------------------------------------------------------

def _constants(points: dict[Exact, bool]) -> tuple[np.ndarray, np.ndarray]:
    """Spellings of single values; the dict says which may be padded with zero decimals."""
    words: list[tuple[bytes, int]] = []
    for value, padded in points.items():
        if type(value) is int:
            check_size(value)
            word = str(value)
            kind = 1 if padded else 0
        else:
            check_size(value.numerator)
            places = places_of(value.denominator)
            scaled = value.numerator * (10 ** places // value.denominator)
            word = str(abs(scaled)).zfill(places + 1)
            word = ("-" if scaled < 0 else "") + word[:-places] + "." + word[-places:]
            kind = 2 if padded else 0
        words.append((word.encode("ascii"), kind))
        if value == 0:
            words.append((b"-0", kind))
    words.sort()
    if len(words) <= _FEW:
        return _few_constants(words)
    text = np.frombuffer(b"".join(w for w, _ in words), np.uint8)
    ends = np.cumsum(np.array([len(w) for w, _ in words], np.int64))
    return trie(NUMBER_CLASSES[text], ends, np.array([k for _, k in words], np.int8))


def _few_constants(words: list[tuple[bytes, int]]) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel `trie` does, word for word."""
    out = Rows()
    nodes: list[dict[int, int]] = [{}]        # by class; ids grow along every edge
    accept, pad = [False], [False]

    def child(node: int, c: int) -> int:
        if c not in nodes[node]:
            nodes[node][c] = len(nodes)
            nodes.append({})
            accept.append(False)
            pad.append(False)
        return nodes[node][c]

    for word, kind in words:
        node = 0
        for byte in word:
            node = child(node, DOT if byte == 46 else MINUS if byte == 45 else byte - 48)
        accept[node] = True
        if kind:
            pad[child(node, DOT) if kind == 1 else node] = True
    for node, edges in enumerate(nodes):
        if pad[node] and 0 in edges:
            accept[edges[0]] = pad[edges[0]] = True
    names = [0] * len(nodes)
    for node in range(len(nodes) - 1, -1, -1):
        digits = list(_NO_DIGITS)
        dot = minus = -1
        for c, to in nodes[node].items():
            if c < 10:
                digits[c] = names[to]
            elif c == DOT:
                dot = names[to]
            else:
                minus = names[to]
        if pad[node] and digits[0] < 0:
            digits[0] = out.zeros()
        names[node] = out.make(digits, accept[node], dot, minus=minus)
    return out.tables(names[0])


# -- the public functions ---------------------------------------------------

def static_number(lang: NumLang, float_integers: bool = True, plain: bool = False) -> Optional[int]:
    """The start state in the static table when `lang` is all numbers or all integers, else None.

    Examples
    --------
    >>> static_number((NumAlt(integer=True),)) == INT
    True
    """
    if lang != ANY_NUMBER and lang != _ANY_INTEGER:
        if len(lang) == 1 and (lang[0].lo is not None or lang[0].hi is not None or lang[0].not_multiples
                               or lang[0].multiple_of is None):
            return None
        lang = _simplified(lang)
    if lang == ANY_NUMBER:
        return PLAIN_NUM if plain else NUM
    if lang == _ANY_INTEGER:
        return PLAIN_INT if plain or not float_integers else INT
    return None


_ANY_INTEGER: NumLang = (NumAlt(integer=True),)
_simplified = lru_cache(maxsize=1024)(simplify)


def narrows_exponents(lang: NumLang) -> bool:
    """Whether spellings with an exponent of some number in `lang` are left out.

    Examples
    --------
    >>> narrows_exponents((NumAlt(lo=0),)), narrows_exponents((NumAlt(lo=0, hi=1),))
    (False, True)
    """
    return any(sign_of(alt) is None for alt in _simplified(lang))


@lru_cache(maxsize=4096)
def number_dfa(lang: NumLang, *, float_integers: bool = True, plain: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The trimmed minimal DFA of the spellings of `lang`.

    Parameters
    ----------
    lang : NumLang
        A union of alternatives with exact bounds.
    float_integers : bool
        Is ``1.0`` an integer?  Without it integers are spelt ``1`` only.
    plain : bool
        No exponents anywhere; no fraction on integers; constants in their
        shortest spelling.

    Returns
    -------
    trans : ndarray, int32, (n, 16)
        Successors by the class of :data:`NUMBER_CLASSES`, -1 dead; state 0 is
        the start.  The arrays are cached: do not write to them.
    accept : ndarray, bool, (n,)

    Raises
    ------
    LimitError
        When the automaton exceeds `STATE_BUDGET` states.

    Examples
    --------
    >>> trans, accept = number_dfa((NumAlt(integer=True, lo=5, hi=12),), plain=True)
    >>> state = 0
    >>> for byte in b"12":
    ...     state = trans[state, NUMBER_CLASSES[byte]]
    >>> bool(accept[state])
    True
    """
    if len(lang) == 1:
        alt = normalize(lang[0])
        alts = () if alt is None else (alt,)
    else:
        alts = _simplified(lang)
    points: dict[Exact, bool] = {}
    pointed: dict[Exact, bool] = {}
    parts = []
    zero_fraction = float_integers and not plain
    for alt in alts:
        if alt.lo is not None and alt.lo == alt.hi:
            if alt.pointed:
                pointed[alt.lo] = True
                continue
            points[alt.lo] = points.get(alt.lo, False) or not plain and (zero_fraction or not alt.integer)
            continue
        step, excluded = alt.multiple_of, alt.not_multiples
        if step is None:
            sign = None if plain or alt.integer and not float_integers else sign_of(alt)
            if sign is not None:
                part = signed_dfa(sign, alt.integer)
            else:
                part = interval_dfa(alt, "any" if not alt.integer else "zero" if zero_fraction else "none")
                part = _without(part, excluded)
            parts.append(_combined(part, _POINTED, True) if alt.pointed else part)
            continue
        padded = alt.pointed or (zero_fraction if alt.integer else not (plain and type(step) is int))
        if alt.lo is not None and alt.hi is not None and (alt.hi - alt.lo) // step < _LISTED:
            for k in range(int((alt.hi - alt.lo) // step) + 1):
                value = alt.lo + k * step
                if any(value % e == 0 for e in excluded):
                    continue
                value = value.numerator if value.denominator == 1 else value
                into = pointed if alt.pointed else points
                into[value] = into.get(value, False) or padded
            continue
        part = _multiples_cached(step, padded)
        if alt.lo is not None or alt.hi is not None:
            part = _combined(part, interval_dfa(alt._replace(integer=False, multiple_of=None), "any"), True)
        part = _without(part, excluded)
        parts.append(_combined(part, _POINTED, True) if alt.pointed else part)
    if points:
        parts.append(_constants(points))
    if pointed:
        parts.append(_combined(_constants(pointed), _POINTED, True))
    if not parts:
        return Rows().tables(-1)
    result = parts[0]
    for part in parts[1:]:
        result = _combined(result, part, False)
    return result


def _with_a_point() -> tuple[np.ndarray, np.ndarray]:
    """Texts with a point or an exponent in them."""
    trans = np.full((2, N_CLASSES), -1, np.int32)
    trans[:, :EXP + 1] = [[0], [1]]
    trans[0, [DOT, EXP]] = 1
    return trans, np.array([False, True])


_POINTED = _with_a_point()
_multiples_cached = lru_cache(maxsize=64)(_multiples)


def _without(part: tuple[np.ndarray, np.ndarray], steps: tuple[Exact, ...]) -> tuple[np.ndarray, np.ndarray]:
    """`part`, which has no exponents, without the multiples of `steps`."""
    for step in steps:
        trans, accept = _multiples_cached(step, True)
        n = len(trans)                    # complete, with one more state, and the other way round
        trans = np.vstack([np.where(trans < 0, np.int32(n), trans), np.full((1, N_CLASSES), n, np.int32)])
        part = _combined(part, (np.ascontiguousarray(trans, np.int32), np.append(~accept, True)), True)
    return part


def _combined(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray],
              both: bool) -> tuple[np.ndarray, np.ndarray]:
    limit = STATE_BUDGET if both else STATE_BUDGET + len(a[0]) + len(b[0])
    pairs = product(a, b, both, limit)
    if pairs is None:
        raise _too_many("multipleOf" if both else "several alternatives")
    return minimal(*pairs)
