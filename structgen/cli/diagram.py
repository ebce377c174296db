"""Railroad diagrams of a grammar: one SVG with a track for each rule."""

from __future__ import annotations

import io
import re
from typing import Any
from xml.sax.saxutils import escape

from ..errors import StructgenError
from ..grammar.cfg import CfgGrammar

__all__ = ["diagram"]

_STYLE = ("svg.railroad-diagram{background:#fff}path{stroke-width:2;stroke:#444;fill:none}"
          "text{font:13px monospace;text-anchor:middle}rect{stroke-width:2;stroke:#444;fill:#eef}"
          ".terminal rect{fill:#efe}text.rule{font-weight:bold;text-anchor:start}")


def _made(name: str) -> bool:
    """Is a nonterminal one that a reader of grammars made for an operator?"""
    return name.startswith("__")


class _Drawing:
    def __init__(self, grammar: CfgGrammar):
        try:
            import railroad
        except ModuleNotFoundError:
            raise StructgenError("diagrams need the package railroad-diagrams",
                                 hint="pip install 'structgen[diagrams]'") from None
        self.railroad, self.grammar = railroad, grammar
        self.by_lhs: dict[int, list[tuple[int, ...]]] = {}
        for rule in grammar.rules:
            self.by_lhs.setdefault(rule.lhs, []).append(rule.rhs)

    def symbol(self, s: int, inside: frozenset[int]) -> Any:
        g = self.grammar
        if g.is_terminal(s):
            from ..decoding.cfg_matcher import terminal_name

            return self.railroad.Terminal(terminal_name(g.terminal(s)))
        name = g.nonterminals[s]
        if _made(name) and s not in inside:
            return self.track(s, inside | {s})
        return self.railroad.NonTerminal(name)

    def row(self, rhs: "tuple[int, ...]", inside: frozenset[int]) -> Any:
        if not rhs:
            return self.railroad.Skip()
        items = [self.symbol(s, inside) for s in rhs]
        return items[0] if len(items) == 1 else self.railroad.Sequence(*items)

    def track(self, s: int, inside: frozenset[int]) -> Any:
        """The alternatives of a rule; one that repeats itself on the left is a loop."""
        options = self.by_lhs.get(s, [])
        if _made(self.grammar.nonterminals[s]):
            again = [rhs[1:] for rhs in options if rhs[:1] == (s,)]
            once = [rhs for rhs in options if rhs[:1] != (s,)]
            if again and {*again} == {*once}:
                return self.railroad.OneOrMore(self.choice(once, inside))
        return self.choice(options, inside)

    def choice(self, options: "list[tuple[int, ...]]", inside: frozenset[int]) -> Any:
        rows = [self.row(rhs, inside) for rhs in sorted(options, key=len) if rhs or len(options) == 1]
        out = rows[0] if len(rows) == 1 else self.railroad.Choice(0, *rows)
        return self.railroad.Optional(out) if () in options and len(options) > 1 else out


def diagram(grammar: CfgGrammar) -> str:
    """The rules of a grammar as one SVG document.

    Raises
    ------
    StructgenError
        Where the package that draws is not installed.
    """
    drawing = _Drawing(grammar)
    y, width, parts = 10, 200, []
    for s, name in enumerate(grammar.nonterminals):
        if _made(name):
            continue
        picture = drawing.railroad.Diagram(drawing.track(s, frozenset((s,))))
        out = io.StringIO()
        picture.writeSvg(out.write)
        size = re.search(r'height="([\d.]+)"[^>]*? width="([\d.]+)"|width="([\d.]+)"[^>]*? height="([\d.]+)"',
                         out.getvalue())
        height, wide = (float(size[1]), float(size[2])) if size and size[1] else (float(size[4]), float(size[3]))
        parts.append(f'<text class="rule" x="10" y="{y + 14}">{escape(name)}</text>')
        parts.append(out.getvalue().replace("<svg ", f'<svg x="0" y="{y + 18:.0f}" ', 1))
        y, width = y + 26 + height, max(width, wide)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{y:.0f}">'
            f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n")
