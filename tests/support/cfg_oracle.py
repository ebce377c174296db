"""A plain byte-level Earley recogniser: the oracle for concatenation languages."""

from __future__ import annotations

__all__ = ["ByteGrammar"]


class ByteGrammar:
    """Rules over bytes (ints 0..255) and nonterminals (any other hashable), trimmed.

    `viable` says whether a text can be completed: an Earley set is not empty,
    because every symbol of the trimmed grammar derives something.
    """

    def __init__(self, rules, start):
        rules = list(dict.fromkeys(rules))
        good = set()
        while True:
            more = {lhs for lhs, rhs in rules if all(self.is_byte(s) or s in good for s in rhs)}
            if more <= good:
                break
            good |= more
        self.rules = {}
        for lhs, rhs in rules:
            if lhs in good and all(self.is_byte(s) or s in good for s in rhs):
                self.rules.setdefault(lhs, []).append(rhs)
        self.empty = start not in good
        self.null = set()
        while True:
            more = {lhs for lhs, all_rhs in self.rules.items() if any(all(s in self.null for s in r) for r in all_rhs)}
            if more <= self.null:
                break
            self.null |= more
        self.start = start
        self._sets = {b"": self._close([{("", (start,), 0, 0)}])}

    @staticmethod
    def is_byte(s):
        return type(s) is int

    def _close(self, sets):
        """Predict and complete in the last set; items are (lhs, rhs, dot, origin)."""
        here = len(sets) - 1
        items, todo = set(sets[here]), list(sets[here])
        while todo:
            lhs, rhs, dot, origin = todo.pop()
            new = []
            if dot < len(rhs):
                s = rhs[dot]
                if not self.is_byte(s):
                    new += [(s, r, 0, here) for r in self.rules.get(s, ())]
                    if s in self.null:
                        new.append((lhs, rhs, dot + 1, origin))
            else:
                source = items if origin == here else sets[origin]
                new += [(a, r, d + 1, o) for a, r, d, o in list(source) if d < len(r) and r[d] == lhs]
            for item in new:
                if item not in items:
                    items.add(item)
                    todo.append(item)
        sets[here] = items
        return sets

    def sets(self, text):
        """The Earley sets of a text; a dead text has an empty last set."""
        found = self._sets.get(text)
        if found is None:
            before = self.sets(text[:-1])
            step = {(a, r, d + 1, o) for a, r, d, o in before[-1] if d < len(r) and r[d] == text[-1]}
            found = self._sets[text] = self._close([*before, step])
        return found

    def viable(self, text):
        """Can `text` be completed to a text of the language?"""
        return not self.empty and bool(self.sets(text)[-1])

    def accepts(self, text):
        """Is `text` in the language?"""
        return not self.empty and ("", (self.start,), 1, 0) in self.sets(text)[-1]
