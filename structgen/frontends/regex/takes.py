"""Where ``re.match`` ends on a short text, in polynomial time.

:mod:`re` may take exponential time (``(a|a)*b`` on a row of a's), and the
expressions of a grammar come from anyone.  Here each node of the tree gives for
a position the ends it may reach, in the order in which backtracking would try
them, each once: what follows depends on the end only, so later repetitions of
an end can't change the first success.
"""

from __future__ import annotations

from typing import Optional

from .ast import Alt, Begin, Cat, Chars, End, Look, Node, Repeat

__all__ = ["match_end"]


def match_end(tree: Node, text: str) -> Optional[int]:
    """The end of ``re.match(pattern, text)``, or None; meant for texts of up to a hundred characters.

    Examples
    --------
    >>> from structgen.frontends.regex import parse_python
    >>> match_end(parse_python("a|ab"), "ab"), match_end(parse_python("(a|a)*b"), "a" * 60)
    (1, None)
    """
    ends = _Ends(text).ends(tree, 0)
    return ends[0] if ends else None


class _Ends:
    def __init__(self, text: str):
        self.text = text
        self.memo: dict[tuple[int, int], tuple[int, ...]] = {}

    def ends(self, node: Node, at: int) -> tuple[int, ...]:
        key = (id(node), at)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = tuple(dict.fromkeys(self._ends(node, at)))
        return found

    def _ends(self, node: Node, at: int):
        text = self.text
        if isinstance(node, Chars):
            if at < len(text) and any(lo <= ord(text[at]) <= hi for lo, hi in node.ranges):
                return (at + 1,)
            return ()
        if isinstance(node, Cat):
            now: tuple[int, ...] = (at,)
            for item in node.items:
                now = tuple(dict.fromkeys(e for p in now for e in self.ends(item, p)))
            return now
        if isinstance(node, Alt):
            return [e for item in node.items for e in self.ends(item, at)]
        if isinstance(node, Repeat):
            return self.repeat(node, at)
        if isinstance(node, Begin):
            return (at,) if at == 0 else ()
        if isinstance(node, End):
            return (at,) if at == len(text) else ()
        if isinstance(node, Look):
            holds = bool(self.ends(node.item, at)) if node.ahead else \
                any(at in self.ends(node.item, start) for start in range(at + 1))
            return (at,) if holds != node.negative else ()
        raise TypeError(type(node))

    def repeat(self, node: Repeat, at: int) -> list[int]:
        now: tuple[int, ...] = (at,)
        for _ in range(node.lo):
            after = tuple(dict.fromkeys(e for p in now for e in self.ends(node.item, p)))
            if after == now:
                break
            now = after
        more = None if node.hi is None else node.hi - node.lo
        memo: dict[tuple[int, int], list[int]] = {}
        return [e for p in now for e in self.further(node, p, len(self.text) + 1 if more is None else more, memo)]

    def further(self, node: Repeat, at: int, left: int, memo: dict) -> list[int]:
        """The ends of up to `left` further copies; one that takes nothing is the last."""
        left = min(left, len(self.text) - at + 1)
        key = (at, left)
        if key not in memo:
            out: list[int] = [at] if node.lazy else []
            if left > 0:
                for end in self.ends(node.item, at):
                    out += self.further(node, end, left - 1, memo) if end > at else [at]
            memo[key] = list(dict.fromkeys(out if node.lazy else [*out, at]))
        return memo[key]
