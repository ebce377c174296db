"""A compiled object with the real interface over a plain list of texts.

What stands above the matcher is tested with it, so that a failure there is not
a failure of the engine.  The vocabulary must hold every byte the texts need.
"""

from __future__ import annotations

import numpy as np

from structgen.errors import BudgetError, MatcherError

__all__ = ["FakeCompiled", "FakeMatcher", "bits_of"]


class FakeCompiled:
    """``sg.compile(sg.Choice(words), vocabulary)`` in miniature."""

    def __init__(self, words, vocabulary):
        self.words = list(words)
        self.texts = [w.encode() for w in words]
        self.vocabulary = vocabulary
        self.coverage = []
        self.grammar = None
        self.ids = {}
        for t in range(vocabulary.size):
            if data := vocabulary.token_bytes(t):
                self.ids.setdefault(data, []).append(t)
        self.needs = {}

    def matcher(self, max_tokens=None):
        return FakeMatcher(self, max_tokens)

    def needed(self, prefix):
        """Greedy tokens of the chosen completion of `prefix`, and EOS."""
        if prefix not in self.needs:
            rest = min((t[len(prefix):] for t in self.texts if t.startswith(prefix)), key=lambda t: (len(t), t))
            self.needs[prefix] = len(self.vocabulary.tokenize(rest)) + 1
        return self.needs[prefix]


class FakeMatcher:
    """The contract of a matcher, by brute force."""

    def __init__(self, compiled, max_tokens=None):
        self.c = compiled
        self.max_tokens = max_tokens
        self.history = [(b"", False)]
        if max_tokens is not None and compiled.needed(b"") > max_tokens:
            raise BudgetError("too small", needed=compiled.needed(b""), given=max_tokens)

    def allowed(self):
        prefix, ended = self.history[-1]
        if ended:
            return set()
        out = set(self.c.vocabulary.eos_ids) if prefix in self.c.texts else set()
        left = None if self.max_tokens is None else self.max_tokens - len(self.history) + 1
        for text in self.c.texts:
            if text.startswith(prefix):
                for n in range(len(prefix) + 1, len(text) + 1):
                    if left is None or self.c.needed(text[:n]) + 1 <= left:
                        out.update(self.c.ids.get(text[len(prefix):n], ()))
        return out

    def fill_bitmask(self, bitmask, row=0):
        words = np.zeros(bitmask.shape[1], np.uint32)
        for t in self.allowed():
            words[t // 32] |= np.uint32(1 << (t % 32))
        bitmask[row] = words.view(np.int32)

    def try_accept(self, token):
        if token not in self.allowed():
            return False
        prefix, _ = self.history[-1]
        ended = token in self.c.vocabulary.eos_ids
        self.history.append((prefix + (b"" if ended else self.c.vocabulary.token_bytes(token)), ended))
        return True

    def accept(self, token):
        if not self.try_accept(token):
            raise MatcherError(f"token {token} cannot follow", token=token)

    def can_end(self):
        prefix, ended = self.history[-1]
        return ended or prefix in self.c.texts

    @property
    def is_finished(self):
        return self.history[-1][1]

    def rollback(self, n):
        if not 0 <= n < len(self.history):
            raise MatcherError("too far back")
        del self.history[len(self.history) - n:]

    def fork(self):
        other = object.__new__(FakeMatcher)
        other.__dict__.update(self.__dict__, history=list(self.history))
        return other

    def forced_bytes(self):
        prefix, ended = self.history[-1]
        rests = [t[len(prefix):] for t in self.c.texts if t.startswith(prefix)]
        n = 0
        while not ended and all(len(r) > n and r[n] == rests[0][n] for r in rests):
            n += 1
        return rests[0][:n]


def bits_of(matcher, size):
    """The mask of a matcher as a set of ids."""
    mask = np.zeros((1, (size + 31) // 32), np.int32)
    matcher.fill_bitmask(mask)
    return set(np.flatnonzero(np.unpackbits(mask[0].view(np.uint8), bitorder="little")).tolist())
