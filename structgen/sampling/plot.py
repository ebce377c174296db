"""Two panels as SVG: texts under masking and under the target, and where masking moves mass."""

from __future__ import annotations

import math
from collections import defaultdict
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .result import SampleResult

__all__ = ["draw"]

_WIDTH, _BAR, _LABEL = 760, 16, 250
_TARGET, _MASK, _LOST = "#2b6cb0", "#dd6b20", "#9b2c2c"
#: texts and places shown
_TEXTS, _PLACES = 12, 8


def draw(result: "SampleResult") -> str:
    """An SVG document; see the module's text."""
    parts: list[str] = []
    y = 24

    def text(x: float, height: float, words: str, size: int = 12, anchor: str = "start", fill: str = "#222") -> None:
        parts.append(f'<text x="{x:.0f}" y="{height:.0f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">'
                     f"{escape(words)}</text>")

    def bar(x: float, height: float, width: float, colour: str) -> None:
        parts.append(f'<rect x="{x:.0f}" y="{height:.0f}" width="{max(width, 0.5):.1f}" height="{_BAR // 2 - 1}" '
                     f'fill="{colour}"/>')

    text(12, y, "Texts: the model given validity, and masking token by token", 14)
    text(_LABEL, y + 18, "target", 11, fill=_TARGET)
    text(_LABEL + 60, y + 18, "masking", 11, fill=_MASK)
    y += 30
    # a text may have several tokenisations
    target: dict[str, float] = defaultdict(float)
    mask: dict[str, float] = defaultdict(float)
    seen: set = set()
    for ids, words, log_p, log_q in zip(result.token_ids, result.texts, result.log_p, result.log_q):
        if ids not in seen:
            seen.add(ids)
            target[words] += math.exp(log_p - result.log_z) if math.isfinite(result.log_z) else 0.0
            mask[words] += math.exp(log_q)
    shown = sorted(target, key=lambda t: -max(target[t], mask[t]))[:_TEXTS]
    most = max([1e-12, *(max(target[t], mask[t]) for t in shown)])
    scale = (_WIDTH - _LABEL - 80) / most
    for words in shown:
        text(_LABEL - 8, y + 11, words if len(words) <= 34 else words[:33] + "\u2026", 11, "end")
        bar(_LABEL, y, target[words] * scale, _TARGET)
        bar(_LABEL, y + _BAR // 2, mask[words] * scale, _MASK)
        text(_LABEL + max(target[words], mask[words]) * scale + 6, y + 11,
             f"{target[words]:.3g} / {mask[words]:.3g}", 10, fill="#666")
        y += _BAR + 4
    if result.places:
        y += 24
        text(12, y, "Where masking moves mass: nats a text, after which text, and what was wanted", 14)
        y += 12
        most = max(p.nats for p in result.places)
        for p in result.places[:_PLACES]:
            words = p.before if len(p.before) <= 34 else "\u2026" + p.before[-33:]
            text(_LABEL - 8, y + 11, words or "(start)", 11, "end")
            width = p.nats / most * (_WIDTH - _LABEL - 220)
            bar(_LABEL, y + 3, width, _LOST)
            wanted = "" if p.wanted is None else f"  {p.wanted!r} {p.probability:.0%}"
            text(_LABEL + width + 6, y + 11, f"{p.nats:.2f}{wanted}", 10, fill="#666")
            y += _BAR + 4
    y += 20
    kl = result.kl_mask_target.value
    known = f"KL(masking || target) = {kl:.3g} nats" if np.isfinite(kl) else ""
    text(12, y, f"P(valid) = {math.exp(result.log_z):.3g}   {known}   method: {result.method}", 12)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 16}" font-family="sans-serif">'
            f'<rect width="100%" height="100%" fill="white"/>' + "".join(parts) + "</svg>")
