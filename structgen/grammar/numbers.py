"""Exact arithmetic on number languages: intersection, emptiness, membership.

A number language is a union of :class:`~structgen.grammar.ir.NumAlt`.  All
values are decimals (what JSON can spell), held as ``int`` or ``Fraction``;
floats never take part.  :func:`normalize` is the canonical form of an
alternative: bounds lie on the grid of the multiples where there is one, and a
bound that no decimal attains is open.  Every function costs a few
microseconds an alternative, whatever the size of the numbers.

How a number is spelt matters in draft 4 alone, where ``1.0`` is no integer:
an alternative holds *spellings* of two kinds (bits, see :func:`_spellings`),
those with a point or an exponent and those without.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import gcd
from typing import Iterable, Optional, Union

from ..errors import LimitError, SchemaError
from .ir import ANY_NUMBER, Exact, NumAlt, NumLang

__all__ = ["exact_number", "constant", "normalize", "number_empty", "number_contains",
           "intersect_numbers", "intersect_number_langs", "numbers_disjoint", "simplify", "complement_numbers",
           "MAX_DIGITS"]

#: Longest number, in digits, that a schema may hold.
MAX_DIGITS = 4000

#: Alternatives of a complement.
MAX_ALTERNATIVES = 2_000
#: Values skipped, at most, to find one that no excluded step divides.
_MAX_SEARCH = 10_000

_SPELLING = re.compile(r"(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?\Z", re.ASCII)


def exact_number(value: Union[str, int, float, Fraction]) -> Exact:
    """The exact value of a number as a schema spells it.

    Text is read digit by digit; a float (from a schema that was parsed by
    ``json.loads``) means its shortest spelling, so ``0.1`` is one tenth.

    Raises
    ------
    SchemaError
        For NaN, infinities and texts that are no JSON number.
    LimitError
        When the number has more than `MAX_DIGITS` digits written out.

    Examples
    --------
    >>> exact_number("1e-2"), exact_number(0.1), exact_number("-12.0")
    (Fraction(1, 100), Fraction(1, 10), -12)
    """
    if isinstance(value, bool):
        raise SchemaError(f"{value!r} is not a number")
    if isinstance(value, int):
        # bit_length, because str() of a long int is itself limited
        if value.bit_length() > MAX_DIGITS * 3.3219 + 4:
            raise LimitError(f"a number of more than {MAX_DIGITS} digits", place="digits of a number",
                             limit=MAX_DIGITS)
        return value
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else value
    match = _SPELLING.match(repr(value) if isinstance(value, float) else str(value))
    if match is None:
        raise SchemaError(f"{value!r} is not a JSON number")
    sign, whole, frac, exp = match.groups()
    frac = frac or ""
    digits = (whole + frac).lstrip("0")
    if not digits:
        return 0
    # A short exponent only: int() of a hostile exponent would itself be slow.
    power = int(exp) if exp and len(exp) < 12 else 0
    if exp and len(exp) >= 12 and exp.lstrip("+-0"):
        power = 10 ** 9
    shift = power - len(frac)
    if len(digits) + abs(shift) > MAX_DIGITS:
        raise LimitError(f"a number of more than {MAX_DIGITS} digits", place="digits of a number",
                         limit=MAX_DIGITS)
    n = int(digits)
    if sign:
        n = -n
    if shift >= 0:
        return n * 10 ** shift
    out = Fraction(n, 10 ** -shift)
    return out.numerator if out.denominator == 1 else out


def constant(value: Exact) -> NumAlt:
    """The alternative that holds one value."""
    return NumAlt(False, value, False, value, False, None)


def _lower(x: Exact) -> Exact:
    return x.numerator if type(x) is not int and x.denominator == 1 else x


def _decimal_part(q: int) -> int:
    """The part of `q` made of factors 2 and 5."""
    rest = q
    while rest % 2 == 0:
        rest //= 2
    while rest % 5 == 0:
        rest //= 5
    return q // rest


def _lcm(a: Exact, b: Exact) -> Exact:
    """Least common multiple of two positive rationals."""
    p, q = a.numerator, a.denominator
    r, s = b.numerator, b.denominator
    num, den = p * r // gcd(p, r), gcd(q, s)
    return num if den == 1 else _lower(Fraction(num, den))


def _grid(m: Exact) -> Exact:
    """The step whose multiples are the decimals among the multiples of `m`."""
    if type(m) is int:
        return m
    q = _decimal_part(m.denominator)       # of p/(q*r), r coprime to 10: those of p/q
    return m.numerator if q == 1 else Fraction(m.numerator, q)


def _step(alt: NumAlt) -> Optional[Exact]:
    """The grid spacing of an alternative, None where it is dense."""
    m = alt.multiple_of
    if m is None:
        return 1 if alt.integer else None
    m = _grid(m)
    return _lcm(1, m) if alt.integer and type(m) is not int else m


def _is_decimal(x: Exact) -> bool:
    return type(x) is int or _decimal_part(x.denominator) == x.denominator


def _unhit(lo: Optional[Exact], hi: Optional[Exact], step: Exact,
           excluded: tuple[Exact, ...]) -> Optional[tuple[Optional[Exact], Optional[Exact], tuple[Exact, ...]]]:
    """Bounds moved to the first and last multiple of `step` that is no multiple of `excluded`.

    Also what of `excluded` still matters; None when nothing is left.  The
    multiples of e among those of `step` are every (lcm / step)-th.
    """
    periods = sorted({q for q in (_lower(Fraction(_lcm(e, step)) / step) for e in excluded)})
    kept = tuple(q for i, q in enumerate(periods) if not any(q % p == 0 for p in periods[:i]))
    if kept and kept[0] == 1:
        return None
    a, b = None if lo is None else int(lo / step), None if hi is None else int(hi / step)
    for k in range(_MAX_SEARCH):
        if a is not None and (b is None or a <= b) and any(a % q == 0 for q in kept):
            a += 1
        elif b is not None and (a is None or a <= b) and any(b % q == 0 for q in kept):
            b -= 1
        else:
            break
    else:
        raise LimitError("too many values are excluded between two bounds", place="multipleOf under not",
                         limit=_MAX_SEARCH)
    if a is not None and b is not None:
        if a > b:
            return None
        kept = tuple(q for q in kept if (a - 1) // q != b // q)     # those with a multiple in between
    scaled = tuple(sorted(_lower(Fraction(q * step)) for q in kept))
    return (None if a is None else _lower(Fraction(a * step)), None if b is None else _lower(Fraction(b * step)),
            scaled)


def normalize(alt: NumAlt) -> Optional[NumAlt]:
    """The canonical form of one alternative, None when it is empty.

    Examples
    --------
    >>> normalize(NumAlt(integer=True, lo=0, lo_open=True, hi=Fraction(7, 2)))
    NumAlt(integer=True, lo=1, lo_open=False, hi=3, hi_open=False, multiple_of=None, not_multiples=(), \
pointed=False)
    >>> normalize(NumAlt(lo=1, hi=9, multiple_of=10)) is None
    True
    """
    integer, lo, lo_open, hi, hi_open, m, excluded, pointed = alt
    if pointed and integer:
        return None
    step = _step(alt)
    if excluded:
        excluded = tuple(sorted({_grid(e) for e in excluded}))
    if step is None:
        if lo is None:
            lo_open = False
        else:
            lo = _lower(lo)
            lo_open = lo_open or not _is_decimal(lo)
        if hi is None:
            hi_open = False
        else:
            hi = _lower(hi)
            hi_open = hi_open or not _is_decimal(hi)
        if lo is not None and hi is not None and (lo > hi or lo == hi and (lo_open or hi_open)):
            return None
        if excluded:
            if lo is not None and lo == hi:
                return None if any(lo % e == 0 for e in excluded) else _point(lo, 2 if pointed else 3)
            excluded = tuple(e for i, e in enumerate(excluded) if not any(e % f == 0 for f in excluded[:i]))
        return NumAlt(False, lo, lo_open, hi, hi_open, None, excluded, pointed)
    if lo is not None:
        k = -(-lo // step)
        if lo_open and k * step == lo:
            k += 1
        lo = _lower(k * step)
    if hi is not None:
        k = hi // step
        if hi_open and k * step == hi:
            k -= 1
        hi = _lower(k * step)
    if lo is not None and hi is not None and lo > hi:
        return None
    if excluded:
        left = _unhit(lo, hi, step, excluded)
        if left is None:
            return None
        lo, hi, excluded = left
    return NumAlt(integer, lo, False, hi, False, None if integer and step == 1 else step, excluded, pointed)


def _spellings(alt: NumAlt) -> int:
    """Which spellings an alternative allows: 1 in digits alone, 2 with a point or an exponent."""
    return 1 if alt.integer else 2 if alt.pointed else 3


def _point(value: Exact, spellings: int) -> NumAlt:
    return NumAlt(spellings == 1, value, False, value, False, None, (), spellings == 2)


def _is_alt(x) -> bool:
    return isinstance(x, NumAlt)


def number_empty(lang: Union[NumLang, NumAlt]) -> bool:
    """Whether no number at all is in `lang` (a union, or one alternative).

    Examples
    --------
    >>> number_empty((NumAlt(integer=True, lo=0, lo_open=True, hi=1, hi_open=True),))
    True
    """
    if _is_alt(lang):
        return normalize(lang) is None
    return all(normalize(alt) is None for alt in lang)


def number_contains(lang: Union[NumLang, NumAlt], value: Exact) -> bool:
    """Whether `value`, in some spelling, is in `lang`."""
    if not _is_alt(lang):
        return any(number_contains(alt, value) for alt in lang)
    integer, lo, lo_open, hi, hi_open, m, excluded, _ = lang
    if lo is not None and (value < lo or lo_open and value == lo):
        return False
    if hi is not None and (value > hi or hi_open and value == hi):
        return False
    if integer and type(value) is not int and value.denominator != 1:
        return False
    if excluded and any(value % e == 0 for e in excluded):
        return False
    return m is None or value % m == 0


def intersect_numbers(a: NumAlt, b: NumAlt) -> Optional[NumAlt]:
    """The intersection of two alternatives in canonical form, None when empty.

    Examples
    --------
    >>> intersect_numbers(NumAlt(lo=1, multiple_of=4), NumAlt(integer=True, multiple_of=Fraction(5, 2)))
    NumAlt(integer=True, lo=20, lo_open=False, hi=None, hi_open=False, multiple_of=20, not_multiples=(), \
pointed=False)
    """
    lo, lo_open = a.lo, a.lo_open
    if b.lo is not None and (lo is None or b.lo > lo or b.lo == lo and b.lo_open):
        lo, lo_open = b.lo, b.lo_open
    hi, hi_open = a.hi, a.hi_open
    if b.hi is not None and (hi is None or b.hi < hi or b.hi == hi and b.hi_open):
        hi, hi_open = b.hi, b.hi_open
    m = a.multiple_of
    if b.multiple_of is not None:
        m = b.multiple_of if m is None else _lcm(m, b.multiple_of)
    return normalize(NumAlt(a.integer or b.integer, lo, lo_open, hi, hi_open, m, a.not_multiples + b.not_multiples,
                            a.pointed or b.pointed))


def _is_point(alt: NumAlt) -> bool:
    return alt.lo is not None and alt.lo == alt.hi


def _split(lang: NumLang) -> tuple[dict[Exact, int], list[NumAlt]]:
    """Single values (with their spellings) and the rest; empty ones dropped."""
    points: dict[Exact, int] = {}
    rest = []
    for alt in lang:
        # the constants of an enum, in one step
        if not (alt.lo is alt.hi and type(alt.lo) is int and alt.multiple_of is None
                and not (alt.lo_open or alt.hi_open or alt.not_multiples)):
            alt = normalize(alt)
            if alt is None:
                continue
        if _is_point(alt):
            points[alt.lo] = points.get(alt.lo, 0) | _spellings(alt)
        else:
            rest.append(alt)
    return points, rest


def simplify(lang: Iterable[NumAlt]) -> NumLang:
    """The same language, canonical alternatives, none empty or repeated.

    An alternative that plainly covers another (a value, or a narrower
    interval with the same grid) absorbs it.
    """
    points, rest = _split(tuple(lang))
    rest = list(dict.fromkeys(rest))
    kept = [a for i, a in enumerate(rest)
            if not any(j != i and _covers(b, a) for j, b in enumerate(rest))] if len(rest) <= 64 else rest
    single = [_point(value, spellings) for value, spellings in points.items()
              if not any(not spellings & ~_spellings(alt) and number_contains(alt, value) for alt in kept)]
    return tuple(kept + single)


def _covers(big: NumAlt, small: NumAlt) -> bool:
    """Sufficient test for inclusion, canonical and distinct alternatives."""
    if _spellings(small) & ~_spellings(big) or not set(big.not_multiples) <= set(small.not_multiples):
        return False
    step, fine = _step(small), _step(big)
    if fine is not None and (step is None or step % fine != 0):
        return False
    if big.lo is not None and (small.lo is None or small.lo < big.lo
                               or small.lo == big.lo and big.lo_open > small.lo_open):
        return False
    return big.hi is None or (small.hi is not None and (
        small.hi < big.hi or small.hi == big.hi and big.hi_open <= small.hi_open))


def intersect_number_langs(a: NumLang, b: NumLang) -> NumLang:
    """The intersection of two unions; long lists of constants meet as sets.

    Examples
    --------
    >>> intersect_number_langs(tuple(map(constant, range(9))), (NumAlt(lo=3, multiple_of=4),))
    (NumAlt(integer=False, lo=4, lo_open=False, hi=4, hi_open=False, multiple_of=None, not_multiples=(), \
pointed=False), \
NumAlt(integer=False, lo=8, lo_open=False, hi=8, hi_open=False, multiple_of=None, not_multiples=(), \
pointed=False))
    """
    pa, ra = _split(a)
    pb, rb = _split(b)
    out: dict[NumAlt, None] = {}
    for value, spellings in pa.items():
        for other in (pb.get(value, 0), *[_spellings(alt) for alt in rb if number_contains(alt, value)]):
            if spellings & other:
                out[_point(value, spellings & other)] = None
    for value, spellings in pb.items():
        if value not in pa:
            for other in [_spellings(alt) for alt in ra if number_contains(alt, value)]:
                if spellings & other:
                    out[_point(value, spellings & other)] = None
    for x in ra:
        for y in rb:
            both = intersect_numbers(x, y)
            if both is not None:
                out[both] = None
    return tuple(out)


def numbers_disjoint(a: Union[NumLang, NumAlt], b: Union[NumLang, NumAlt]) -> bool:
    """Whether no number is in both (exact).

    Examples
    --------
    >>> numbers_disjoint(NumAlt(lo=0, hi=1, hi_open=True), NumAlt(lo=1))
    True
    """
    return not intersect_number_langs((a,) if _is_alt(a) else a, (b,) if _is_alt(b) else b)


def complement_numbers(lang: NumLang, float_integers: bool = True) -> NumLang:
    """The numbers that are not in `lang`; without `float_integers` ``1.0`` is no integer.

    Examples
    --------
    >>> complement_numbers((NumAlt(lo=0, multiple_of=2),))
    (NumAlt(integer=False, lo=None, lo_open=False, hi=0, hi_open=True, multiple_of=None, not_multiples=(), \
pointed=False), \
NumAlt(integer=False, lo=None, lo_open=False, hi=None, hi_open=False, multiple_of=None, not_multiples=(2,), \
pointed=False))
    """
    out: NumLang = ANY_NUMBER
    points, rest = _split(lang)
    for alt in [_point(value, spellings) for value, spellings in points.items()] + rest:
        others = []
        if alt.lo is not None:
            others.append(NumAlt(hi=alt.lo, hi_open=not alt.lo_open))
        if alt.hi is not None:
            others.append(NumAlt(lo=alt.hi, lo_open=not alt.hi_open))
        if not float_integers and _spellings(alt) != 3:
            others.append(NumAlt(integer=alt.pointed, pointed=alt.integer))
        step = _step(alt) if float_integers else alt.multiple_of
        if step is not None and (alt.lo is None or alt.lo != alt.hi):
            others.append(NumAlt(not_multiples=(step,)))
        others += [NumAlt(multiple_of=e) for e in alt.not_multiples]
        out = simplify(intersect_number_langs(out, tuple(others)))
        if len(out) > MAX_ALTERNATIVES:
            raise LimitError("the complement of a union of number ranges is too large", place="numbers under not",
                             limit=MAX_ALTERNATIVES)
    return out
