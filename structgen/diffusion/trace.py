"""A picture of a canvas being filled: one line a step, one column a slot."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any, Sequence

__all__ = ["Trace"]

#: fill and ink of a cell by what it is
_LOOK = {"masked": ("#e6e6e9", "#b9b9c0"), "given": ("#d9d4ec", "#3a2f66"), "committed": ("#2f6db3", "#ffffff"),
         "forced": ("#d98a1f", "#ffffff"), "earlier": ("#dbe8f6", "#1d3f66"), "earlier forced": ("#f8e7cd", "#6b4310"),
         "end": ("#f5f5f6", "#c9c9cf")}
_LEGEND = (("masked", "masked"), ("given", "given"), ("committed", "committed in this step"),
           ("forced", "forced: one token was left"), ("earlier", "committed before"),
           ("earlier forced", "forced before"), ("end", "behind the end"))
_ROW, _CHAR, _LEFT, _TOP = 18, 6.2, 92, 54


@dataclass
class Trace:
    """What every step of a canvas did.

    Attributes
    ----------
    slots : int
    given : dict
        Tokens that were there before the first step, by slot.
    steps : list
        Objects with ``committed`` and ``forced``, tokens by slot.  The first may be what
        was forced before the model was asked.
    texts : dict
        What tokens look like.
    ends : tuple of int
        End tokens.
    """

    slots: int
    given: dict
    steps: Sequence[Any]
    texts: dict
    ends: tuple = ()

    def states(self) -> list[list[tuple[str, str]]]:
        """(kind, text) of every slot, for the canvas at the start and after each step.

        Kinds are those of the legend: masked, given, committed, forced, earlier,
        earlier forced, end.
        """
        cells: list[tuple[str, int]] = [("masked", -1)] * self.slots
        for slot, token in self.given.items():
            cells[slot] = ("given", token)
        out = [self._shown(cells)]
        for step in self.steps:
            cells = [({"committed": "earlier", "forced": "earlier forced"}.get(kind, kind), token)
                     for kind, token in cells]
            for kind, tokens in (("committed", step.committed), ("forced", step.forced)):
                for slot, token in tokens.items():
                    cells[slot] = (kind, token)
            out.append(self._shown(cells))
        return out

    def _shown(self, cells: Sequence[tuple[str, int]]) -> list[tuple[str, str]]:
        out, over, whole = [], False, True
        for kind, token in cells:
            whole = whole and token >= 0
            behind = over and kind.startswith("earlier")
            out.append(("end" if behind else kind, "" if token < 0 else self.texts[token]))
            over = over or (whole and token in self.ends)
        return out

    def svg(self, title: str = "") -> str:
        """The picture, as the text of an SVG file.

        Examples
        --------
        >>> Trace(2, {}, [], {}).svg("an empty canvas").splitlines()[0][:4]
        '<svg'
        """
        states = self.states()
        widths = [max([2.0, *(len(_visible(line[k][1])) for line in states)]) * _CHAR + 8 for k in range(self.slots)]
        left = [_LEFT]
        for w in widths:
            left.append(left[-1] + w + 1)
        width, height = max(left[-1] + 10, 960), _TOP + len(states) * (_ROW + 2) + 14
        out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
               f'height="{height}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="10">',
               f"<title>{escape(title or 'A canvas, step by step')}</title>",
               f'<rect width="{width:.0f}" height="{height}" fill="#ffffff"/>']
        if title:
            out.append(f'<text x="10" y="18" font-size="12" fill="#222">{escape(title[:150])}</text>')
        x = 10.0
        for kind, words in _LEGEND:
            out.append(f'<rect x="{x:.0f}" y="28" width="12" height="12" fill="{_LOOK[kind][0]}" stroke="#888" '
                       f'stroke-width="0.4"/><text x="{x + 16:.0f}" y="38" fill="#444">{words}</text>')
            x += 16 + _CHAR * len(words) + 18
        asked = 0
        for r, line in enumerate(states):
            y = _TOP + r * (_ROW + 2)
            step = self.steps[r - 1] if r else None
            asked += bool(step is not None and step.committed)
            label = "start" if step is None else f"step {asked}" if step.committed else "forced"
            out.append(f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end" fill="#666">{label}</text>')
            for k, (kind, text) in enumerate(line):
                fill, ink = _LOOK[kind]
                out.append(f'<rect x="{left[k]:.1f}" y="{y}" width="{widths[k]:.1f}" height="{_ROW}" rx="2" '
                           f'fill="{fill}"/>')
                if text:
                    out.append(f'<text x="{left[k] + widths[k] / 2:.1f}" y="{y + 12}" text-anchor="middle" '
                               f'fill="{ink}">{escape(_visible(text))}</text>')
        return "\n".join([*out, "</svg>", ""])

    def html(self, title: str = "") -> str:
        """A page with the picture.

        Examples
        --------
        >>> Trace(2, {}, [], {}).html("an empty canvas").splitlines()[0]
        '<!doctype html>'
        """
        name = escape(title or "A canvas, step by step")
        return (f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{name}</title></head>\n'
                f'<body style="margin: 1em">\n{self.svg(title)}</body>\n</html>\n')


def _visible(text: str) -> str:
    """Text of a token with its white space shown, and without characters that XML has no place for.

    Examples
    --------
    >>> _visible(" a" + chr(10))
    '␣a↵'
    """
    shown = text.replace(" ", "␣").replace("\n", "↵").replace("\t", "→")
    return "".join(c if c.isprintable() else "·" for c in shown)
