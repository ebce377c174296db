"""number_dfa against exact arithmetic on every short spelling, and against brute-force minimisation."""

import itertools
import random
import re
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from structgen.automata.numbers import (N_CLASSES, NUMBER_CLASSES, STATE_BUDGET, narrows_exponents, number_dfa,
                                        static_number)
from structgen.automata.static_dfa import INT, NUM, PLAIN_INT, PLAIN_NUM, static_accept, static_table
from structgen.errors import LimitError, SchemaError
from structgen.grammar.ir import ANY_NUMBER, NumAlt
from structgen.grammar.numbers import (complement_numbers, constant, exact_number, intersect_number_langs,
                                       intersect_numbers, normalize, number_contains, number_empty,
                                       numbers_disjoint, simplify)

JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")


def value_of(text: str) -> Fraction:
    return Fraction(Decimal(text))


def has_alternative_spelling(alt: NumAlt, text: str, value: Fraction, float_integers: bool, plain: bool) -> bool:
    """The documented language of one alternative, in the most direct terms."""
    fraction, exponent = "." in text, re.search("[eE](.*)", text)
    if alt.pointed and not fraction and not exponent:
        return False
    if exponent:
        lo, hi, step = alt.lo, alt.hi, alt.multiple_of
        sign_only = step is None and (
            (lo is None and hi is None) or (hi is None and lo == 0) or (lo is None and hi == 0)
            or alt.integer and (lo, hi) in ((1, None), (None, -1)))
        if not sign_only or plain or alt.integer and not float_integers:
            return False
        if alt.integer and (exponent[1].startswith("-") or value_of(text[:exponent.start()]).denominator != 1):
            return False
        return True
    if alt.integer:
        return not fraction or float_integers and not plain
    if alt.pointed:
        return True
    if plain and alt.lo is not None and alt.lo == alt.hi:
        return not fraction or text[-1] != "0"
    if plain and alt.multiple_of is not None and Fraction(alt.multiple_of).denominator == 1:
        return not fraction
    return True


def expected(lang, text: str, float_integers: bool = True, plain: bool = False) -> bool:
    if not JSON_NUMBER.match(text):
        return False
    value = value_of(text)
    for alt in lang:
        if number_contains(alt, value):
            alt = normalize(alt)
            if alt is not None and has_alternative_spelling(alt, text, value, float_integers, plain):
                return True
    return False


def accepts(dfa, text: str) -> bool:
    trans, accept = dfa
    state = 0
    for byte in text.encode():
        state = trans[state, NUMBER_CLASSES[byte]]
        if state < 0:
            return False
    return bool(accept[state])


def _all_spellings() -> list[str]:
    digits = "0159"
    whole = ["0"] + [a + "".join(r) for n in range(3) for a in digits[1:] for r in itertools.product(digits, repeat=n)]
    decimals = [""] + ["." + "".join(r) for n in range(1, 4) for r in itertools.product("0159", repeat=n)]
    out = [s + w + d + e for s in ("", "-") for w in whole for d in decimals
           for e in ("", "e0", "E+2", "e-1") if len(w + d + e) <= 5]
    return out + ["7", "23", "42", "64", "99.99", "123.4", "-88.8", "0.25", "12.34", "3.3"]


SPELLINGS = _all_spellings()
JUNK = ["".join(p) for n in range(5) for p in itertools.product("019-.e+", repeat=n)]


def _matrix(words: list[str]) -> np.ndarray:
    out = np.full((len(words), max(map(len, words)) + 1), -1, np.int64)
    for i, word in enumerate(words):
        out[i, :len(word)] = NUMBER_CLASSES[np.frombuffer(word.encode(), np.uint8)]
    return out


_MATRICES = {}


def run_all(dfa, words: list[str]) -> np.ndarray:
    """Acceptance of all words at once; the list must be one of the two above."""
    matrix = _MATRICES.setdefault(id(words), _matrix(words))
    trans, accept = dfa
    # one more row is the dead state, one more column the end of the word
    table = np.full((len(trans) + 1, N_CLASSES + 1), len(trans))
    table[:-1, :-1] = np.where(trans < 0, len(trans), trans)
    table[:, -1] = np.arange(len(trans) + 1)
    state = np.zeros(len(words), np.int64)
    for column in matrix.T:
        state = table[state, column]
    return np.append(accept, False)[state]


def check_all(lang, **options) -> None:
    dfa = number_dfa(lang, **options)
    got = run_all(dfa, SPELLINGS)
    want = np.array([expected(lang, w, **options) for w in SPELLINGS])
    wrong = np.flatnonzero(got != want)
    assert not len(wrong), (lang, options, [(SPELLINGS[i], bool(want[i])) for i in wrong[:10]])
    got = run_all(dfa, JUNK)
    wrong = [w for w, g in zip(JUNK, got) if g != expected(lang, w, **options)]
    assert not wrong, (lang, options, wrong[:10])
    check_minimal(*dfa)


def check_minimal(trans, accept) -> None:
    """Every state is reachable and can finish, and no two are equivalent."""
    n = len(trans)
    assert trans.dtype == np.int32 and accept.dtype == np.bool_ and trans.shape == (n, N_CLASSES)
    assert trans.min() >= -1 and trans.max() < n
    seen, work = {0}, [0]
    while work:
        for t in trans[work.pop()].tolist():
            if t >= 0 and t not in seen:
                seen.add(t)
                work.append(t)
    assert len(seen) == n
    live = set(np.flatnonzero(accept).tolist())
    while True:
        more = {i for i in range(n) if i not in live and live.intersection(trans[i].tolist())}
        if not more:
            break
        live |= more
    assert len(live) == n or (n == 1 and not accept[0] and trans.max() < 0)
    classes = accept.astype(np.int64)
    while True:
        rows = np.column_stack([classes, np.where(trans < 0, -1, classes[trans])])
        fresh = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
        if fresh.max() == classes.max():
            break
        classes = fresh
    assert len(set(classes.tolist())) == n


def exacts():
    small = st.integers(-160, 160)
    return st.one_of(small, st.builds(lambda n, d: exact_number(str(Decimal(n).scaleb(-d))), st.integers(-9999, 9999),
                                      st.integers(1, 3)), st.sampled_from([0, 1, -1, 9, 10, 99, 100, Fraction(1, 2)]))


@st.composite
def alternatives(draw):
    lo = draw(st.none() | exacts())
    hi = draw(st.none() | exacts())
    if lo is not None and hi is not None and lo > hi:
        lo, hi = hi, lo
    if draw(st.booleans()):
        hi = draw(st.sampled_from([lo, hi]))
    step = draw(st.none() | st.sampled_from([1, 2, 3, 4, 5, 7, 10, 25, 50, 100, Fraction(1, 2), Fraction(5, 2),
                                             Fraction(1, 100), Fraction(3, 10), Fraction(7, 4)]))
    integer = draw(st.booleans())
    pointed = not integer and draw(st.integers(0, 3)) == 0
    return NumAlt(integer, lo, draw(st.booleans()), hi, draw(st.booleans()), step, (), pointed)


@settings(max_examples=120, deadline=None)
@given(st.lists(alternatives(), min_size=1, max_size=3), st.booleans(), st.booleans())
def test_every_short_spelling(alts, float_integers, plain):
    check_all(tuple(alts), float_integers=float_integers, plain=plain)


@pytest.mark.parametrize("alt", [
    NumAlt(), NumAlt(integer=True), NumAlt(lo=0), NumAlt(lo=0, lo_open=True), NumAlt(hi=0), NumAlt(hi=0, hi_open=True),
    NumAlt(True, lo=0), NumAlt(True, lo=1), NumAlt(True, hi=0), NumAlt(True, hi=-1), NumAlt(True, 0, False, 100),
    NumAlt(False, -180, False, 180), NumAlt(True, 0, False, 65535), NumAlt(False, 0, False, 1),
    NumAlt(False, 0, True, 1, True), NumAlt(True, 0, True, 1, True), NumAlt(True, 95, False, 123),
    NumAlt(False, Fraction(1, 2), True, Fraction(51, 100), True), NumAlt(False, Fraction(99, 100), True, 1, True),
    NumAlt(False, 5, False, 5), NumAlt(False, 0, False, 0), NumAlt(True, 5, False, 5),
    NumAlt(False, Fraction(15, 10), False, Fraction(159, 100), True), NumAlt(lo=5, lo_open=True), NumAlt(hi=-5),
    NumAlt(multiple_of=Fraction(1, 100)), NumAlt(multiple_of=3), NumAlt(True, multiple_of=Fraction(5, 2)),
    NumAlt(lo=1, hi=9, multiple_of=10), NumAlt(lo=Fraction(-3, 2), multiple_of=Fraction(1, 100)),
    NumAlt(lo=0, hi=5000, multiple_of=Fraction(1, 2)), NumAlt(hi=5000, multiple_of=10)])
@pytest.mark.parametrize("plain", [False, True])
def test_usual_alternatives(alt, plain):
    check_all((alt,), plain=plain)
    check_all((alt,), plain=plain, float_integers=False)


def test_static_tables_agree():
    """The language of all numbers and of all integers is the static table's."""
    for lang, plain in ((ANY_NUMBER, False), (ANY_NUMBER, True), ((NumAlt(integer=True),), False),
                        ((NumAlt(integer=True),), True)):
        start = static_number(lang, plain=plain)
        dfa = number_dfa(lang, plain=plain)
        for word in SPELLINGS + JUNK:
            state = start
            for byte in word.encode():
                state = static_table[state, byte] if state >= 0 else -1
            assert (state >= 0 and bool(static_accept[state])) == accepts(dfa, word), word


def test_static_number():
    integers = (NumAlt(integer=True),)
    assert static_number(ANY_NUMBER) == NUM and static_number(ANY_NUMBER, plain=True) == PLAIN_NUM
    assert static_number(integers) == INT and static_number(integers, plain=True) == PLAIN_INT
    assert static_number(integers, float_integers=False) == PLAIN_INT
    assert static_number(integers + ANY_NUMBER + (constant(5),)) == NUM
    assert static_number((NumAlt(integer=True, multiple_of=Fraction(1, 2)),)) == INT
    assert static_number((NumAlt(lo=0),)) is None and static_number(()) is None
    assert static_number((NumAlt(multiple_of=1),)) is None


def test_narrows_exponents():
    assert not narrows_exponents(ANY_NUMBER) and not narrows_exponents((NumAlt(True, 0, True),))
    assert not narrows_exponents((NumAlt(lo=0), constant(5))) and not narrows_exponents(())
    assert narrows_exponents((constant(5),)) and narrows_exponents((NumAlt(multiple_of=3),))
    assert narrows_exponents((NumAlt(lo=1),)) and not narrows_exponents((NumAlt(True, lo=1),))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_near_huge_bounds(data):
    """Spellings one unit in some place away from long bounds."""
    digits = data.draw(st.integers(15, 420))
    scale = data.draw(st.integers(0, digits + 5))
    seed = data.draw(st.integers(0, 2 ** 32))
    rng = random.Random(seed)
    with localcontext(prec=2000):
        ends = sorted(Decimal(rng.randrange(10 ** digits)).scaleb(-scale) * rng.choice((1, -1)) for _ in range(2))
        lo, hi = (exact_number(format(x, "f")) for x in ends)
        alt = NumAlt(False, lo, rng.random() < .5, hi, rng.random() < .5)
        if number_empty(alt):
            return
        dfa = number_dfa((alt,))
        for end in ends:
            for _ in range(20):
                place = rng.randrange(-scale - 2, digits - scale + 2)
                word = format(end + rng.choice((0, 1, -1)) * Decimal(1).scaleb(place), "f")
                if word.startswith("-0") and not word.strip("-0."):
                    word = "-0"
                for spelt in (word, word + ("0" if "." in word else ".0")):
                    assert accepts(dfa, spelt) == expected((alt,), spelt), (alt, spelt)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 4), st.lists(st.integers(-10 ** 6, 10 ** 6), min_size=5, max_size=30),
       st.booleans())
def test_multiples(numerator, places, values, bounded):
    step = exact_number(f"{numerator}e-{places}")
    lang = (NumAlt(lo=-5000, hi=70_000, multiple_of=step) if bounded else NumAlt(multiple_of=step),)
    try:
        dfa = number_dfa(lang)
    except LimitError as error:
        assert bounded and error.limit == STATE_BUDGET
        return
    if not bounded:
        check_minimal(*dfa)
    for n in values:
        for word in (str(n), str(Decimal(n).scaleb(-places)), str(n) + ".000",
                     format(Decimal(n) * Decimal(numerator).scaleb(-places), "f") + ("" if places else ".0") + "00"):
            assert accepts(dfa, word) == expected(lang, word), (lang, word)


@pytest.mark.parametrize("step", ["1000000", "1e-7", "2.5", "1e20", "4096", "0.0625", "360", "9.9"])
def test_steps(step):
    lang = (NumAlt(multiple_of=exact_number(step)),)
    dfa = number_dfa(lang)
    check_minimal(*dfa)
    rng = random.Random(step)
    for _ in range(300):
        value = Decimal(step) * rng.randrange(10 ** rng.randrange(1, 9)) * rng.choice((1, -1))
        for off in (0, Decimal(step) / 2, Decimal(step) / 10):
            word = format(value + off, "f")
            assert accepts(dfa, word) == expected(lang, word), word


def test_many_constants():
    rng = random.Random(3)
    values = {exact_number(f"{rng.randrange(-10 ** 7, 10 ** 7)}e-{rng.randrange(5)}") for _ in range(5000)}
    values |= {12, exact_number("12.05"), exact_number("12.0005"), 0, exact_number("-0.5")}
    dfa = number_dfa(tuple(map(constant, values)))
    check_minimal(*dfa)
    for value in values:
        word = format(Decimal(value.numerator) / value.denominator, "f")
        assert accepts(dfa, word), word
        assert accepts(dfa, (word if "." in word else word + ".") + "000"), word
        near = value + rng.choice((1, Fraction(1, 10 ** 5)))
        near_word = format(Decimal(near.numerator) / near.denominator, "f")
        assert accepts(dfa, near_word) == (near in values)
    assert accepts(dfa, "12.00") and accepts(dfa, "12.000500") and not accepts(dfa, "12.005")
    assert accepts(dfa, "-0") and accepts(dfa, "-0.00") and not accepts(dfa, "-00")
    rng = random.Random(4)
    for _ in range(50):     # few constants go another way than many
        some = tuple(constant(exact_number(f"{rng.randrange(-200, 200)}e-{rng.randrange(3)}"))
                     for _ in range(rng.randrange(1, 90)))
        rest = tuple(constant(v) for v in range(10 ** 6, 10 ** 6 + 200))
        few, many = number_dfa(some), number_dfa(some + rest)
        check_minimal(*few)
        assert (run_all(few, SPELLINGS) == run_all(many, SPELLINGS)).all()
    check_all(tuple(map(constant, (12, exact_number("15.05"), 0, exact_number("0.5"), 1, 10, 100, 15))))


def test_limits_and_mistakes():
    with pytest.raises(LimitError):
        exact_number(10 ** 5000)
    with pytest.raises(LimitError) as error:
        number_dfa((NumAlt(multiple_of=1_000_003),))
    assert error.value.limit == STATE_BUDGET and "number" in error.value.place
    with pytest.raises(LimitError):
        number_dfa((NumAlt(lo=10 ** 5000),))
    with pytest.raises(LimitError):
        number_dfa((constant(10 ** 5000),))
    with pytest.raises(SchemaError):
        number_dfa((NumAlt(lo=Fraction(1, 3)),))
    trans, accept = number_dfa((NumAlt(lo=1, hi=9, multiple_of=10),))
    assert trans.shape == (1, N_CLASSES) and trans.max() == -1 and not accept[0]
    # a bound of thousands of digits is only long
    assert accepts(number_dfa((NumAlt(True, hi=10 ** 3000),)), "1" + "0" * 3000)


# -- exact arithmetic on languages ------------------------------------------

GRID = [Fraction(k, 40) for k in range(-800, 6600)]


@settings(max_examples=150, deadline=None)
@given(alternatives(), alternatives())
def test_arithmetic(a, b):
    for alt in (a, b):
        inside = [v for v in GRID if number_contains(alt, v)]
        canon = normalize(alt)
        assert not inside or canon is not None
        if canon is not None:
            assert canon.pointed <= alt.pointed
            assert normalize(canon) == canon and not number_empty(alt)
            assert inside == [v for v in GRID if number_contains(canon, v)]
            # a bound that is attained belongs to the language
            for end, is_open in ((canon.lo, canon.lo_open), (canon.hi, canon.hi_open)):
                assert end is None or number_contains(alt, end) != is_open
    both = intersect_numbers(a, b)
    want = [v for v in GRID if number_contains(a, v) and number_contains(b, v)
            and not (a.pointed and b.integer or b.pointed and a.integer)]
    assert want == ([] if both is None else [v for v in GRID if number_contains(both, v)])
    assert numbers_disjoint(a, b) == (both is None)
    assert numbers_disjoint((a,), (b,)) == (both is None)


@settings(max_examples=80, deadline=None)
@given(st.lists(alternatives(), max_size=5), st.lists(alternatives(), max_size=4))
def test_unions(a, b):
    a, b = tuple(a), tuple(b)
    grid = GRID[::3]
    short = simplify(a)
    assert len(short) <= len(a)
    assert [number_contains(a, v) for v in grid] == [number_contains(short, v) for v in grid]
    both = intersect_number_langs(a, b)
    for spelling in (1, 2):
        values = [v for v in grid if spelling == 2 or v.denominator == 1]
        assert [holds(a, v, spelling) and holds(b, v, spelling) for v in values] == [
            holds(both, v, spelling) for v in values]
        for by_value in (True, False):
            if by_value and any(alt.pointed for alt in a):      # only draft 4 has those
                continue
            rest = complement_numbers(a, by_value)
            assert [holds(rest, v, spelling, by_value) for v in values] == [
                not holds(a, v, spelling, by_value) for v in values]


def holds(lang, value, spelling, by_value=False) -> bool:
    """Is `value`, in digits alone (1) or with a point (2), in `lang`?"""
    return any(number_contains(alt, value) and not (alt.pointed and spelling == 1)
               and not (alt.integer and spelling == 2 and not by_value) for alt in lang)


def test_emptiness_by_hand():
    assert number_empty(NumAlt(True, 0, True, 1, True)) and number_empty((NumAlt(lo=1, hi=9, multiple_of=10),))
    assert number_empty(()) and not number_empty(ANY_NUMBER)
    assert number_empty(NumAlt(lo=Fraction(1, 3), hi=Fraction(1, 3)))
    assert not number_empty(NumAlt(lo=Fraction(1, 3), hi=Fraction(1, 2)))
    assert numbers_disjoint(tuple(map(constant, range(5000))), tuple(map(constant, range(5000, 9000))))
    assert not numbers_disjoint(tuple(map(constant, range(5001))), tuple(map(constant, range(5000, 9000))))


@pytest.mark.parametrize("text, want", [("0", 0), ("-0", 0), ("1e2", 100), ("1.50", Fraction(3, 2)), ("0e999999999", 0),
                                        (0.1, Fraction(1, 10)), (1e300, 10 ** 300), (5, 5),
                                        ("-2.5E-1", Fraction(-1, 4))])
def test_exact_number(text, want):
    assert exact_number(text) == want
    assert type(exact_number(text)) is type(want)


@pytest.mark.parametrize("bad, error", [("nan", SchemaError), (float("inf"), SchemaError), ("01", SchemaError),
                                        (True, SchemaError), ("1e999999999999999", LimitError), ("1e-5000", LimitError),
                                        ("", SchemaError)])
def test_exact_number_refuses(bad, error):
    with pytest.raises(error):
        exact_number(bad)
