"""Vocabularies of a few dozen tokens whose pieces straddle JSON's lexemes."""

from __future__ import annotations

import random

__all__ = ["POOL", "tiny_tokens", "byte_tokens"]

#: Pieces of JSON texts over the letters of :mod:`.random_schemas`.
POOL: list[bytes] = [x.encode() if isinstance(x, str) else x for x in (
    '{"', '":', '": ', '","', '", "', '"}', '"]', '["', "[[", "]]", "}}", "},{", "],[", "{}", "[]", '""', '"a', '"b',
    'a"', 'b":', '{"a":', '"ab":', "aa", "ab", "bb", "abb", "ba", "null", "nul", "true", "false", "e,", "l]", "1,",
    "10",
    "12", "-1", ".5", "0.", "1.5", "e1", "E+", "1}", "0]", ", ", " \n", "\n  ", ": ", "  ", "\\u", "\\u00", "\\u0061",
    "61",
    "\\n", '\\"', "\\\\", "\\ud83d", "\\ude00", b"\xc3", b"\xc3\xa9", b"\xa9", b"\xa9\"", b"\xf0\x9f", b"\x98\x80",
    "😀", "é\"",
    '":{"a":1}', '":[1,2]', '1,"', "2020-", "-01", "127.0", ".0.1", '{"a":{"a":', "]}]}", '"":', "}, ", '"z', 'c":',
)]
SINGLE = [bytes([b]) for b in range(256)]
USUAL = [c.encode() for c in '"{}[]:,ab10 cetruflsn-.\\u'] + [b"\xc3", b"\xa9"]


def byte_tokens(rng: random.Random, extra: int = 24) -> tuple[list[bytes | None], list[int]]:
    """Every byte, `extra` pieces, a special token, an unused id and two EOS ids; (tokens, EOS ids)."""
    tokens: list[bytes | None] = [*SINGLE, *rng.sample(POOL, extra)]
    tokens.append(rng.choice(POOL))            # perhaps twice: two ids of the same bytes
    rng.shuffle(tokens)
    n = len(tokens)
    return tokens + [None, None, None], [n, n + 2]


def tiny_tokens(rng: random.Random) -> tuple[list[bytes | None], list[int]]:
    """6 to 40 tokens, by no means every byte; (tokens, EOS ids)."""
    n = rng.randint(6, 40)
    singles = rng.sample(USUAL, min(len(USUAL), rng.randint(n // 2, n)))
    tokens: list[bytes | None] = list(dict.fromkeys(singles + rng.sample(POOL, n - len(singles))))
    rng.shuffle(tokens)
    return tokens + [None], [len(tokens)]
