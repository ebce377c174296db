"""The reference matcher: the interface of the fast one, the slowest honest way.

A state is the set of live byte-level configurations; a mask tries every token
byte by byte.  Where the vocabulary holds every byte as a token of its own,
"some continuation exists" is the byte-level question that the configurations
answer; otherwise a token is allowed only if a search over tokens reaches the
end of a text.
"""

from __future__ import annotations

from typing import Optional, Union

import numpy as np

from ..errors import LimitError, MatcherError
from ..grammar.ir import JsonGrammar, TextGrammar
from .configurations import Configurations
from .strings import ConjMachine, decoded, possible

__all__ = ["ReferenceMatcher", "TextConfigurations"]

FUEL = 20_000


class TextConfigurations:
    """The transition relation of a text grammar; a configuration is (conj, state, raw)."""

    def __init__(self, grammar: TextGrammar):
        self.machines = [ConjMachine(conj) for conj in grammar.lang]

    def start(self) -> frozenset:
        return frozenset((k, m.start, b"") for k, m in enumerate(self.machines) if m.live(m.start))

    def step(self, configs: frozenset, b: int) -> frozenset:
        out = set()
        for k, state, raw in configs:
            m = self.machines[k]
            raw = raw + bytes([b])
            if not possible(raw, None):
                continue
            cp = decoded(raw) if raw[0] != 0x5C else 0x5C
            if cp is None:
                if m.live_within(state, raw, None):
                    out.add((k, state, raw))
            elif m.live(after := m.feed(state, cp)):
                out.add((k, after, b""))
        return frozenset(out)

    def accepts(self, configs: frozenset) -> bool:
        return any(not raw and self.machines[k].accepts(state) for k, state, raw in configs)


def _vocabulary(vocabulary) -> tuple[list[Optional[bytes]], frozenset[int]]:
    """(bytes of every id, None where it spells nothing; EOS ids) of a vocabulary or a pair of them."""
    if isinstance(vocabulary, tuple):
        tokens, eos = vocabulary
    else:
        tokens, eos = [vocabulary.token_bytes(i) for i in range(vocabulary.size)], vocabulary.eos_ids
    eos = frozenset(int(e) for e in eos)
    return [None if i in eos or not t else bytes(t) for i, t in enumerate(tokens)], eos


class ReferenceMatcher:
    """A matcher to compare others with.

    Parameters
    ----------
    grammar : JsonGrammar or TextGrammar
    vocabulary : Vocabulary or (list of bytes or None, iterable of EOS ids)
    fuel : int
        How many states a search over tokens may see.

    Examples
    --------
    >>> from structgen.grammar.strings import literal_lang
    >>> m = ReferenceMatcher(TextGrammar(literal_lang(["ab", "b"])), ([b"a", b"b", b"ab", None], [3]))
    >>> sorted(m.allowed())
    [0, 1, 2]
    >>> m.accept(1); sorted(m.allowed())
    [3]
    """

    def __init__(self, grammar: Union[JsonGrammar, TextGrammar], vocabulary, *, fuel: int = FUEL):
        self.relation = TextConfigurations(grammar) if isinstance(grammar, TextGrammar) else Configurations(grammar)
        self.tokens, self.eos = _vocabulary(vocabulary)
        singles = {t for t in self.tokens if t is not None and len(t) == 1}
        self.complete_vocabulary = len(singles) == 256
        self.fuel = fuel
        self._finishes: dict[frozenset, bool] = {}
        # (configurations, bytes so far, ended) after each successful call
        self._history = [(self.relation.start(), b"", False)]

    # ---- state ----------------------------------------------------------

    @property
    def configurations(self) -> frozenset:
        """The live configurations now."""
        return self._history[-1][0]

    @property
    def text(self) -> bytes:
        """The bytes accepted so far."""
        return self._history[-1][1]

    def fork(self) -> "ReferenceMatcher":
        """An independent matcher in the same state."""
        other = object.__new__(ReferenceMatcher)
        other.__dict__.update(self.__dict__)
        other._history = list(self._history)
        return other

    def reset(self) -> None:
        """Back to the start; nothing is left to roll back."""
        del self._history[1:]

    def rollback(self, n: int) -> None:
        """Undo the last `n` successful calls."""
        if not 0 <= n < len(self._history):
            raise MatcherError(f"cannot roll back {n} calls of {len(self._history) - 1}")
        if n:
            del self._history[-n:]

    # ---- tokens ---------------------------------------------------------

    def _run(self, configs: frozenset, data: bytes) -> frozenset:
        for b in data:
            if not configs:
                break
            configs = self.relation.step(configs, b)
        return configs

    def _finishable(self, configs: frozenset) -> bool:
        """Does some sequence of tokens complete the text from here?"""
        if not configs:
            return False
        if self.complete_vocabulary or self.relation.accepts(configs):
            return True
        known = self._finishes.get(configs)
        if known is not None:
            return known
        parent: dict[frozenset, Optional[frozenset]] = {configs: None}
        level = [configs]
        while level:
            nxt = []
            for c in level:
                if self.relation.accepts(c) or self._finishes.get(c):
                    while c is not None:
                        self._finishes[c] = True
                        c = parent[c]
                    return True
                if self._finishes.get(c) is False:
                    continue
                for t in set(filter(None, self.tokens)):
                    after = self._run(c, t)
                    if after and after not in parent:
                        parent[after] = c
                        nxt.append(after)
            if len(parent) > self.fuel:
                raise LimitError("the search over tokens takes too long", place="reference tokens", limit=self.fuel)
            level = nxt
        self._finishes.update(dict.fromkeys(parent, False))
        return False

    def allowed(self) -> set[int]:
        """The ids of the mask."""
        configs, _, ended = self._history[-1]
        if ended:
            # Nothing is accepted any more, but a finished row of a batch must not be all zero.
            return set(self.eos)
        out = set(self.eos) if self.relation.accepts(configs) else set()
        # Tokens are tried in sorted order; the configurations of shared beginnings are kept.
        path: list[frozenset] = [configs]
        done, previous = {}, b""
        for data in sorted(set(filter(None, self.tokens))):
            shared = 0
            while shared < min(len(previous), len(data)) and previous[shared] == data[shared]:
                shared += 1
            del path[shared + 1:]
            for b in data[len(path) - 1:]:
                path.append(self.relation.step(path[-1], b) if path[-1] else path[-1])
            previous = data
            done[data] = self._finishable(path[-1])
        out.update(i for i, t in enumerate(self.tokens) if t and done[t])
        return out

    def fill_bitmask(self, bitmask: np.ndarray, row: int = 0) -> None:
        """Write the mask into row `row` of an int32 array; surplus bits become 0."""
        words = np.zeros(bitmask.shape[1], np.uint32)
        for i in self.allowed():
            words[i >> 5] |= np.uint32(1 << (i & 31))
        bitmask[row] = words.view(np.int32)

    def try_accept(self, token: int) -> bool:
        """Accept `token` if it is allowed."""
        if not 0 <= token < len(self.tokens):
            return False
        configs, text, ended = self._history[-1]
        if ended:
            return False
        if token in self.eos:
            if not self.relation.accepts(configs):
                return False
            self._history.append((frozenset(), text, True))
            return True
        data = self.tokens[token]
        after = self._run(configs, data) if data else frozenset()
        if not self._finishable(after):
            return False
        self._history.append((after, text + data, False))
        return True

    def accept(self, token: int) -> None:
        """Accept `token`, or raise `MatcherError`."""
        if not self.try_accept(token):
            raise MatcherError(f"token {token} is not allowed here", offset=len(self.text), token=token)

    def accept_bytes(self, data: bytes) -> None:
        """Accept bytes, or raise `MatcherError` with the offset of the first that cannot follow."""
        configs, text, ended = self._history[-1]
        for k, b in enumerate(data):
            configs = self.relation.step(configs, b)
            if not configs or ended:
                raise MatcherError(f"byte {b:#04x} cannot follow", offset=len(text) + k)
        self._history.append((configs, text + data, False))

    def can_end(self) -> bool:
        """May the text end here? (Not again once it has ended.)"""
        configs, _, ended = self._history[-1]
        return not ended and self.relation.accepts(configs)

    def forced_bytes(self, limit: int = 4096) -> bytes:
        """The longest text that every continuation starts with."""
        configs, _, ended = self._history[-1]
        out = bytearray()
        while not ended and not self.relation.accepts(configs) and len(out) < limit:
            alive = [(b, after) for b in range(256) if (after := self.relation.step(configs, b))]
            if len(alive) != 1:
                break
            out.append(alive[0][0])
            configs = alive[0][1]
        return bytes(out)

    def shortest_completion(self) -> bytes:
        """The shortest text that completes this one, the least in byte order of those.

        Breadth first over bytes, with fuel: for small questions only.
        """
        configs, _, ended = self._history[-1]
        if ended:
            return b""
        level: list[tuple[bytes, frozenset]] = [(b"", configs)]
        seen = {configs}
        while level:
            for data, c in level:
                if self.relation.accepts(c):
                    return data
            nxt = []
            for data, c in level:
                for b in range(256):
                    after = self.relation.step(c, b)
                    if after and after not in seen:
                        seen.add(after)
                        nxt.append((data + bytes([b]), after))
            if len(seen) > self.fuel:
                raise LimitError("the shortest completion is too long to search for",
                                 place="reference completion", limit=self.fuel)
            level = nxt
        raise MatcherError("nothing completes this text")
