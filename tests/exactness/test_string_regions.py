"""Masks inside of strings with patterns: the rows that are made without a walk over the vocabulary.

A token is allowed exactly when its bytes can be taken one after the other,
which looks at no row of masks.
"""

import random

import pytest

import structgen as sg
from structgen.tokens.vocabulary import Vocabulary

from .pairs import mask_of

_PIECES = ["a", "b", "ab", "abb", "q", "qq", "aq", "12", "é", "é1", "😀", 'a"', 'b"', 'ab"', '1"', 'q"', '"', '",',
           '"}', 'b"}',
           '"]', 'é"}', "\\", "\\n", '\\"', "\\u", "\\u0061", "\\u006", "1b", "\\ud83d", "\\ude00", "\\ud83d\\ude00b\"",
           "\\u0061b\"}", "-", "1-", "-1", "aa-", " ", "\n"]
#: found anywhere, behind something, before something; several, alternatives, ends that letters lead away from
PATTERNS = ["ab", "[a-z]{2}-[a-z]", "a.*b", "^a.*b", "b$", "(a|é)b", "[^a]b", "[ab]{3}", "\\d+-", "a|b$",
            ".+:.+(1.+)?", "😀"]


@pytest.fixture(scope="module")
def vocabulary():
    tokens = [bytes((b,)) for b in range(256)] + [p.encode() for p in dict.fromkeys(_PIECES) if len(p.encode()) > 1]
    tokens += [b"\xc3", b"\xa9\"", b"\x9f\x98\x80", b"\xf0\x9f"]
    tokens = list(dict.fromkeys(tokens))
    return Vocabulary.from_tokens([*tokens, None], eos_ids=[len(tokens)])


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("more", [{}, {"minLength": 3}, {"maxLength": 6}], ids=["plain", "min", "max"])
@pytest.mark.parametrize("escapes", ["all", "minimal"])
def test_patterns(vocabulary, pattern, more, escapes):
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern, **more}}}
    compiled = sg.compile(sg.JsonSchema(schema, escapes=escapes, whitespace="compact"), vocabulary)
    rng = random.Random(f"{pattern} {more}")
    for _ in range(3):
        matcher = compiled.matcher()
        matcher.accept_bytes(b'{"a":"')
        for _ in range(6):
            allowed = mask_of(matcher, vocabulary.size)
            for t in range(vocabulary.size - 1):
                data = vocabulary.token_bytes(t)
                assert (t in allowed) == _takes(matcher, data), (matcher.text, data)
            some = [t for t in sorted(allowed) if len(vocabulary.token_bytes(t)) > 1 or rng.random() < .1]
            matcher.accept(rng.choice(some or sorted(allowed)))
            if matcher.can_end():
                break


def _takes(matcher, data: bytes) -> bool:
    try:
        matcher.fork().accept_bytes(data)
    except sg.MatcherError:
        return False
    return True
