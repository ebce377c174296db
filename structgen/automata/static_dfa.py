"""The static lexemes of JSON: one dense DFA shared by every grammar.

State ids are fixed, so they mean the same in every arena and in the token
tables that are stored per tokenizer:

====================  =====================================================
ids                   what
====================  =====================================================
0 .. 15, 48 .. 51     body of an arbitrary JSON string (``STR`` = 0 between
                      characters; pending UTF-8 bytes; pending escapes)
16 .. 24, 25 .. 33    numbers and integers in every regular spelling
34 .. 46              the tails of ``true``, ``false``, ``null``
52 .. 57, 58 .. 61    numbers and integers without exponents ("plain")
4096 .. 8191          white space: ``WS + r``, at most r more bytes may follow
====================  =====================================================

Ids from ``LX_BASE`` on belong to the lexer of a grammar.  Strings here accept
every RFC 8259 spelling of every sequence of Unicode scalar values; lone
surrogates are refused.  A string's closing quote is not in the table (the
stack machine handles it), and neither is white space, which is arithmetic.

Integers accept ``1``, ``1.0`` and ``1e2``: every spelling with an integer
mantissa and no negative exponent, the largest regular set in which all values
are integers whatever the digits are.
"""

from __future__ import annotations

import numpy as np

__all__ = ["static_table", "static_accept", "N_STATIC", "WS", "WS_MAX", "LX_BASE", "STR", "NUM", "INT",
           "PLAIN_NUM", "PLAIN_INT", "L_TRUE", "L_FALSE", "L_NULL"]

N_STATIC = 64
WS = 4096
WS_MAX = 4095
LX_BASE = 8192

# String body: between characters, inside a UTF-8 sequence, inside an escape.
STR = 0
U_TAIL1, U_TAIL2, U_TAIL3, U_E0, U_ED, U_F0, U_F4 = 1, 2, 3, 4, 5, 6, 7
E_SLASH, E_HEX4, E_HEX3, E_HEX2, E_HEX1 = 8, 9, 10, 11, 12
# Surrogate pairs: after \\uD; a high one with 2 and 1 digits to come; then "\\", "u", "D", low.
E_D, E_HI2, E_HI1 = 13, 14, 15
E_PAIR_SLASH, E_PAIR_U, E_PAIR_D, E_PAIR_LOW = 48, 49, 50, 51

# Numbers: start, after "-", "0", digits, ".", fraction, "e", its sign, its digits.
NUM = 16
INT = 25
PLAIN_NUM = 52
PLAIN_INT = 58
# Literals: the state after the first byte; the rest of the word follows one by one.
L_TRUE, L_FALSE, L_NULL = 34, 38, 43


def _number(rows: np.ndarray, accept: np.ndarray, base: int, *, fraction: str, exponent: str) -> None:
    """Write a number DFA at `base`; `fraction` is its digits, `exponent` its signs ('' = none)."""
    start, minus, zero, digits, dot, frac, exp, sign, edig = range(base, base + 9)
    for row in (start, minus):
        rows[row, ord("0")] = zero
        rows[row, ord("1"):ord("9") + 1] = digits
    rows[start, ord("-")] = minus
    rows[digits, ord("0"):ord("9") + 1] = digits
    accept[[zero, digits]] = True
    ends = [zero, digits]
    if fraction:
        rows[[zero, digits], ord(".")] = dot
        for row in (dot, frac):
            for d in fraction:
                rows[row, ord(d)] = frac
        accept[frac] = True
        ends.append(frac)
    if exponent:
        for row in ends:
            rows[row, ord("e")] = rows[row, ord("E")] = exp
        for s in exponent:
            rows[exp, ord(s)] = sign
        for row in (exp, sign, edig):
            rows[row, ord("0"):ord("9") + 1] = edig
        accept[edig] = True


def _build() -> tuple[np.ndarray, np.ndarray]:
    rows = np.full((N_STATIC, 256), -1, np.int16)
    accept = np.zeros(N_STATIC, np.bool_)
    # strings
    accept[STR] = True
    rows[STR, 0x20:0x80] = STR
    rows[STR, ord('"')] = -1
    rows[STR, ord("\\")] = E_SLASH
    rows[STR, 0xC2:0xE0] = U_TAIL1
    rows[STR, 0xE0:0xF0] = U_TAIL2
    rows[STR, 0xE0], rows[STR, 0xED] = U_E0, U_ED
    rows[STR, 0xF0:0xF5] = U_TAIL3
    rows[STR, 0xF0], rows[STR, 0xF4] = U_F0, U_F4
    for state, lo, hi, then in ((U_TAIL1, 0x80, 0xBF, STR), (U_TAIL2, 0x80, 0xBF, U_TAIL1),
                                (U_TAIL3, 0x80, 0xBF, U_TAIL2), (U_E0, 0xA0, 0xBF, U_TAIL1),
                                (U_ED, 0x80, 0x9F, U_TAIL1), (U_F0, 0x90, 0xBF, U_TAIL2),
                                (U_F4, 0x80, 0x8F, U_TAIL2)):
        rows[state, lo:hi + 1] = then
    for c in '"\\/bfnrt':
        rows[E_SLASH, ord(c)] = STR
    rows[E_SLASH, ord("u")] = E_HEX4
    for c in "0123456789abcdefABCDEF":
        v = int(c, 16)
        rows[E_HEX4, ord(c)] = E_D if v == 13 else E_HEX3
        rows[E_HEX3, ord(c)] = E_HEX2
        rows[E_HEX2, ord(c)] = E_HEX1
        rows[E_HEX1, ord(c)] = STR
        rows[E_D, ord(c)] = E_HEX2 if v < 8 else E_HI2 if v < 12 else -1
        rows[E_HI2, ord(c)] = E_HI1
        rows[E_HI1, ord(c)] = E_PAIR_SLASH
        if v >= 12:
            rows[E_PAIR_LOW, ord(c)] = E_HEX2
    rows[E_PAIR_SLASH, ord("\\")] = E_PAIR_U
    rows[E_PAIR_U, ord("u")] = E_PAIR_D
    rows[E_PAIR_D, ord("d")] = rows[E_PAIR_D, ord("D")] = E_PAIR_LOW
    # numbers
    _number(rows, accept, NUM, fraction="0123456789", exponent="+-")
    _number(rows, accept, INT, fraction="0", exponent="+")
    _number(rows, accept, PLAIN_NUM, fraction="0123456789", exponent="")
    _number(rows, accept, PLAIN_INT, fraction="", exponent="")
    # literals
    for base, word in ((L_TRUE, "rue"), (L_FALSE, "alse"), (L_NULL, "ull")):
        for k, c in enumerate(word):
            rows[base + k, ord(c)] = base + k + 1
        accept[base + len(word)] = True
    return rows, accept


static_table, static_accept = _build()
