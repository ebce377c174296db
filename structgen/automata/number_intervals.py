"""Minimal automata of the number spellings in one interval, and of one sign.

Rows are hash-consed as they are made, from the last digit to the first, so the
result is minimal as built: all cycles are states that return to themselves.
Every made row is reachable from the start.  Tens of microseconds for usual
bounds, linear in their digits.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from ..errors import LimitError, SchemaError
from ..grammar.ir import Exact, NumAlt
from ..grammar.numbers import MAX_DIGITS
from .number_kernels import N_CLASSES

__all__ = ["Rows", "interval_dfa", "signed_dfa", "sign_of", "places_of", "check_size"]

_NO_DIGITS = [-1] * 10
_UNLIMITED = 1 << 40


# -- hash-consed rows -------------------------------------------------------

class Rows:
    """States under construction; equal rows are one state; -1 is the dead state."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.accept: list[bool] = []
        self.known: dict[tuple, int] = {}
        self.named: dict[object, int] = {}

    def make(self, digits: list[int], accept: bool, dot: int = -1, exp: int = -1, minus: int = -1,
             plus: int = -1) -> int:
        row = digits + [minus, plus, dot, exp, -1, -1]
        key = (accept, *row)
        at = self.known.get(key)
        if at is None:
            if not accept and max(row) < 0:
                return -1
            at = self.known[key] = len(self.rows)
            self.rows.append(row)
            self.accept.append(accept)
        return at

    def loop(self, name: object, loops: str, other: int, accept: bool, dot: int = -1, exp: int = -1) -> int:
        """A state that returns to itself on the digits `loops`, else goes to `other`."""
        at = self.named.get(name)
        if at is None:
            at = len(self.rows)
            digits = [at if d in loops else other for d in "0123456789"]
            at = self.named[name] = self.make(digits, accept, dot, exp)
        return at

    # The tails: any fraction, a zero fraction, any exponent.

    def exponent(self, signs: str) -> int:
        """After ``e``: digits, optionally signed by one of `signs`; '' is no exponent."""
        if not signs:
            return -1
        digits = [self.loop("edig", "0123456789", -1, True)] * 10
        sign = self.make(digits, False)
        return self.make(digits, False, minus=sign if "-" in signs else -1, plus=sign)

    def zeros(self, exp: int = -1) -> int:
        return self.loop(("zeros", exp), "0", -1, True, exp=exp)

    def any_fraction(self, exp: int = -1) -> int:
        return self.loop(("any", exp), "0123456789", -1, True, exp=exp)

    def zero_dot(self, exp: int = -1) -> int:
        return self.make([self.zeros(exp)] + [-1] * 9, False)

    def any_dot(self, exp: int = -1) -> int:
        return self.make([self.any_fraction(exp)] * 10, False)

    def tables(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """The arrays, renumbered so that `start`, the state made last, is 0."""
        if start < 0:
            return np.full((1, N_CLASSES), -1, np.int32), np.zeros(1, np.bool_)
        n = len(self.rows)
        flat = [-1 if t < 0 else n - 1 - t for row in reversed(self.rows) for t in row]
        return np.array(flat, np.int32).reshape(n, N_CLASSES), np.array(self.accept[::-1], np.bool_)


# -- intervals --------------------------------------------------------------

def check_size(n: int) -> None:
    if n.bit_length() > 3.33 * MAX_DIGITS:
        raise LimitError(f"a number of more than {MAX_DIGITS} digits", place="digits of a number", limit=MAX_DIGITS)


def _digits(x: Exact) -> tuple[list[int], list[int]]:
    """Digits of a non-negative decimal before and after the point, no trailing zeros."""
    check_size(x.numerator)
    if type(x) is int or x.denominator == 1:
        return list(map(int, str(x.numerator))), []
    places = places_of(x.denominator)
    if places is None:
        raise SchemaError(f"the bound {x} is not a decimal number")
    text = str(x.numerator * (10 ** places // x.denominator)).zfill(places + 1)
    return list(map(int, text[:-places])), list(map(int, text[-places:]))


def places_of(q: int) -> Optional[int]:
    """The least k such that q divides 10^k, None when there is none."""
    twos = (q & -q).bit_length() - 1
    q >>= twos
    fives = 0
    while q % 5 == 0:
        q //= 5
        fives += 1
    return max(twos, fives) if q == 1 else None


class _Interval:
    """Unsigned spellings of the numbers between two bounds, each optional.

    `form` says which fractions integers and decimals may have: ``"any"``,
    ``"zero"`` (only zeros) or ``"none"``.  With the last two both bounds are
    closed integers.
    """

    def __init__(self, out: Rows, lo: Optional[Exact], lo_open: bool, hi: Optional[Exact], hi_open: bool, form: str):
        self.out = out
        self.form = form
        if lo is not None and lo == 0 and not lo_open:
            lo = None
        self.a, self.af = ([], []) if lo is None else _digits(lo)
        self.b, self.bf = ([], []) if hi is None else _digits(hi)
        self.has_lo, self.lo_open = lo is not None, lo_open
        self.has_hi, self.hi_open = hi is not None, hi_open
        # Does a lower bound that was met digit by digit still matter in the fraction?
        self.lo_frac = bool(self.af) or lo_open
        self.ends: dict[tuple[bool, bool], tuple[bool, int]] = {}

    # Fractions.  A state knows whether the digits so far equal the lower, the upper bound.

    def end(self, tight_lo: bool, tight_hi: bool) -> tuple[bool, int]:
        """What may follow an integer part: is it a value itself, and the state after the point."""
        key = (tight_lo, tight_hi)
        if key not in self.ends:
            if self.form != "any":
                self.ends[key] = True, (self.out.zero_dot() if self.form == "zero" else -1)
            else:
                accept = (not (tight_lo and self.lo_frac)
                          and not (tight_hi and self.hi_open and not self.bf))
                self.ends[key] = accept, self.fraction(tight_lo and self.lo_frac, tight_hi)
        return self.ends[key]

    def fraction(self, tight_lo: bool, tight_hi: bool) -> int:
        """The state after the point; the bounds that are tight equal the integer part read."""
        if not tight_lo and not tight_hi:
            return self.out.any_dot()
        af, bf = self.af, self.bf
        if not tight_hi:
            row, _ = self.above(af, 0)
        elif not tight_lo:
            row, _ = self.below(bf, 0)
        else:
            width = max(len(af), len(bf))
            a, b = af + [0] * (width - len(af)), bf + [0] * (width - len(bf))
            split = 0
            while split < width and a[split] == b[split]:
                split += 1
            row, accept = _NO_DIGITS, False
            if split == width:          # one value; closed, or the alternative were empty
                row = [self.out.zeros()] + [-1] * 9
                accept = True
            else:
                lo, hi = a[split], b[split]
                low = self.state(self.above(af, split + 1))
                high = self.state(self.below(bf, split + 1))
                free = self.out.any_fraction() if hi - lo > 1 else -1
                row = [-1] * lo + [low] + [free] * (hi - lo - 1) + [high] + [-1] * (9 - hi)
                accept = not self.lo_open and split >= len(af)
            for k in range(split - 1, -1, -1):
                at = self.out.make(row, accept)
                row = [-1] * 10
                row[a[k]] = at
                accept = not self.lo_open and k >= len(af)
        return self.out.make(row, False)      # a point must be followed by a digit

    def state(self, row: tuple[list[int], bool]) -> int:
        return self.out.make(*row)

    def above(self, af: list[int], first: int) -> tuple[list[int], bool]:
        """The row of: digits before `first` equal the lower bound's, the upper bound is settled."""
        free = self.out.any_fraction()
        if first >= len(af) and not self.lo_open:
            return [free] * 10, True
        end = self.out.loop("over", "0", free, False) if self.lo_open else free
        if first >= len(af):
            return [end] + [free] * 9, False
        for digit in reversed(af[first + 1:]):
            end = self.out.make([-1] * digit + [end] + [free] * (9 - digit), False)
        return [-1] * af[first] + [end] + [free] * (9 - af[first]), False

    def below(self, bf: list[int], first: int) -> tuple[list[int], bool]:
        """As `above`, with the bounds changed about."""
        end = -1 if self.hi_open else self.out.zeros()
        if first >= len(bf):
            return [end] + [-1] * 9, not self.hi_open
        free = self.out.any_fraction() if any(bf[first:]) else -1
        for digit in reversed(bf[first + 1:]):
            end = self.out.make([free] * digit + [end] + [-1] * (9 - digit), True)
        return [free] * bf[first] + [end] + [-1] * (9 - bf[first]), True

    # Integer parts.  lo: 0 met, m > 0 at least m more digits, -i equal to its first i digits.
    # hi: m >= 0 at most m more digits, -i - 1 equal to its first i digits.

    def next_lo(self, state: int, digit: int) -> int:
        if state >= 0:
            return state - 1 if state else 0
        i, a = -state, self.a
        if i == len(a):
            return 0
        if digit > a[i]:
            return len(a) - i - 1
        if digit < a[i]:
            return len(a) - i
        return 0 if i + 1 == len(a) and not self.lo_frac else -i - 1

    def next_hi(self, state: int, digit: int) -> int:
        """As `next_lo`; None is dead."""
        if state >= 0:
            return state if state == _UNLIMITED else state - 1 if state else None
        i, b = -state - 1, self.b
        if i == len(b):
            return None
        left = len(b) - i - 1
        if digit == b[i]:
            return state - 1
        if digit < b[i]:
            return left
        return left - 1 if left else None

    def build(self) -> list[int]:
        """The ten successors of the start (the integer part's first digit)."""
        out = self.out
        a, b = self.a, self.b
        n_lo, n_hi = len(a), len(b)
        start: list[Optional[tuple[int, int]]] = []
        for digit in range(1, 10):
            lo, hi = 0, _UNLIMITED
            if self.has_lo:
                lo = (n_lo - 1 if digit > a[0] else n_lo if digit < a[0]
                      else 0 if n_lo == 1 and not self.lo_frac else -1)
            if self.has_hi:
                hi = n_hi - 1 if digit < b[0] else -2 if digit == b[0] else n_hi - 2
            start.append(None if hi == -1 else (lo, hi))
        # forward: the states and their successors
        todo = list(dict.fromkeys(k for k in start if k is not None))
        moves: dict[tuple[int, int], list] = {}
        for key in todo:                      # grows while it is read
            if key in moves:
                continue
            lo, hi = key
            if lo == 0 and hi == _UNLIMITED:
                moves[key] = []
            elif lo >= 0 and hi >= 0:
                left = self.next_hi(hi, 0)
                nxt = None if left is None or lo > hi else (lo - 1 if lo else 0, left)
                moves[key] = [nxt]
                if nxt is not None:
                    todo.append(nxt)
            else:
                row: list[Optional[tuple[int, int]]] = []
                for digit in range(10):
                    left = self.next_hi(hi, digit)
                    if left is None:
                        row.append(None)
                    else:
                        nxt = self.next_lo(lo, digit), left
                        if not row or nxt != row[-1]:
                            todo.append(nxt)
                        row.append(nxt)
                moves[key] = row

        # backward: the rows, by the digits that may still follow (which decreases along every edge)
        def rank(key: tuple[int, int]) -> int:
            lo, hi = key
            if hi == _UNLIMITED:
                return lo if lo >= 0 else n_lo + lo + 1
            return hi if hi >= 0 else n_hi + hi + 1

        ids: dict[Optional[tuple[int, int]], int] = {None: -1}
        for key in sorted(moves, key=rank):
            lo, hi = key
            if lo == 0 and hi == _UNLIMITED:
                accept, dot = self.end(False, False)
                ids[key] = out.loop(("digits", self.form), "0123456789", -1, True, dot=dot)
                continue
            accept, dot = False, -1
            if lo == 0 or -lo == n_lo:
                accept, dot = self.end(lo < 0, hi < 0 and -hi - 1 == n_hi)
            row = moves[key]
            ids[key] = out.make([ids[row[0]]] * 10 if len(row) == 1 else [ids[k] for k in row], accept, dot)
        # zero has an integer part of its own: nothing may follow it
        zero = -1
        if not self.has_lo or a == [0]:
            accept, dot = self.end(self.has_lo, self.has_hi and b == [0])
            zero = out.make(_NO_DIGITS, accept, dot)
        return [zero] + [ids[k] for k in start]


def interval_dfa(alt: NumAlt, form: str) -> tuple[np.ndarray, np.ndarray]:
    """Signed spellings of one interval, no exponents."""
    out = Rows()
    lo, lo_open, hi, hi_open = alt.lo, alt.lo_open, alt.hi, alt.hi_open
    minus, plus = -1, _NO_DIGITS
    if lo is None or lo < 0 or lo == 0 and not lo_open:      # numbers <= 0, and -0
        below = hi is not None and (hi < 0 or hi == 0 and hi_open)
        minus = out.make(_Interval(out, -hi if below else None, below and hi_open,
                                   None if lo is None else -lo, lo_open, form).build(), False)
    if hi is None or hi > 0 or hi == 0 and not hi_open:
        above = lo is not None and (lo > 0 or lo == 0 and lo_open)
        plus = _Interval(out, lo if above else None, above and lo_open, hi, hi_open, form).build()
    return out.tables(out.make(plus, False, minus=minus))


# -- signs, with exponents --------------------------------------------------

def sign_of(alt: NumAlt) -> Optional[tuple[bool, bool, bool]]:
    """(negative, zero, positive) allowed, when the alternative is just that; else None."""
    if alt.multiple_of is not None or alt.not_multiples or alt.lo is not None and alt.hi is not None:
        return None
    lo, hi = alt.lo, alt.hi
    if lo is None and hi is None:
        return True, True, True
    if lo is not None:
        if lo == 0:
            return False, not alt.lo_open, True
        return (False, False, True) if alt.integer and lo == 1 else None
    if hi == 0:
        return True, not alt.hi_open, False
    return (True, False, False) if alt.integer and hi == -1 else None


def signed_dfa(sign: tuple[bool, bool, bool], integer: bool) -> tuple[np.ndarray, np.ndarray]:
    """Every spelling, exponents included, of the numbers with a sign in `sign`.

    The mantissa decides the sign.  Integers have an integer mantissa and no
    negative exponent.
    """
    out = Rows()
    exp = out.exponent("+" if integer else "+-")

    def side(zero: bool, rest: bool) -> list[int]:
        """The successors by first digit; zero and other values allowed or not."""
        nonzero, after = -1, -1
        if rest:
            dot = out.zero_dot(exp) if integer else out.any_dot(exp)
            nonzero = out.loop(("mantissa", exp), "0123456789", -1, True, dot=dot, exp=exp)
            after = -1 if integer else out.any_fraction(exp)
        dot = -1
        if zero and after < 0:
            dot = out.zero_dot(exp)
        elif zero:
            dot = out.any_dot(exp)
        elif after >= 0:
            dot = out.loop("nonzero fraction", "0", after, False)
        return [out.make(_NO_DIGITS, zero, dot, exp if zero else -1)] + [nonzero] * 9

    minus = out.make(side(sign[1], sign[0]), False)
    plus = side(sign[1], sign[2])
    return out.tables(out.make(plus, False, minus=minus))
