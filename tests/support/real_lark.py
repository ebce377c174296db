"""Real Lark as an oracle: the five modes, and verdicts."""

from __future__ import annotations

import lark
from lark.indenter import Indenter

__all__ = ["MODES", "LarkOracle", "make_indenter", "mutations"]

MODES = {
    "dynamic": ("earley", "dynamic"), "complete": ("earley", "dynamic_complete"), "earley-basic": ("earley", "basic"),
    "contextual": ("lalr", "contextual"), "basic": ("lalr", "basic"),
}


def make_indenter(spec: dict | None):
    """An indenter class with the given attributes."""
    return None if spec is None else type("Given", (Indenter,), dict(spec))()


class LarkOracle:
    """Lark in one mode; `error` is set when Lark refuses to build."""

    def __init__(self, grammar: str, mode: str, postlex=None, **options):
        parser, lexer = MODES[mode]
        self.error = None
        try:
            self.lark = lark.Lark(grammar, parser=parser, lexer=lexer, postlex=postlex, **options)
        except (lark.exceptions.LarkError, AttributeError, AssertionError, KeyError) as err:
            self.error = err

    def accepts(self, text: str) -> bool:
        try:
            self.lark.parse(text)
        except (lark.exceptions.LarkError, AssertionError, IndexError):
            return False                # the last two: what Lark's Indenter raises
        return True


def mutations(text: str, rng, count: int, alphabet: str = "") -> list[str]:
    """Texts near `text`: one to three characters dropped, doubled, swapped or replaced."""
    out = []
    letters = sorted(set(text + alphabet)) or ["a"]
    for _ in range(count):
        chars = list(text)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(chars) + 1)
            roll = rng.random()
            if roll < 0.3 and at < len(chars):
                del chars[at]
            elif roll < 0.6:
                chars.insert(at, rng.choice(letters))
            elif roll < 0.8 and at < len(chars):
                chars[at] = rng.choice(letters)
            elif at + 1 < len(chars):
                chars[at], chars[at + 1] = chars[at + 1], chars[at]
        out.append("".join(chars))
    return out
