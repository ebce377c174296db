"""The loss curve of a run as an SVG picture."""

from __future__ import annotations

import json
import math
from pathlib import Path

__all__ = ["loss_picture"]

_WIDTH, _HEIGHT, _LEFT, _TOP = 640, 320, 56, 28


def loss_picture(log: Path, title: str, parts: int = 200) -> str:
    """An SVG of the loss over the steps in `log.jsonl`, averaged in `parts` stretches, on a logarithmic scale."""
    losses = [json.loads(line)["loss"] for line in Path(log).read_text(encoding="utf-8").splitlines()]
    size = max(1, -(-len(losses) // parts))
    points = [(at + len(piece) / 2, sum(piece) / len(piece))
              for at in range(0, len(losses), size) for piece in [losses[at:at + size]]]
    low = math.log10(min(y for _, y in points)) - 0.05
    high = math.log10(max(y for _, y in points)) + 0.05
    inner_w, inner_h = _WIDTH - _LEFT - 16, _HEIGHT - _TOP - 40

    def x(step: float) -> float:
        return _LEFT + inner_w * step / len(losses)

    def y(value: float) -> float:
        return _TOP + inner_h * (high - math.log10(value)) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
           f'font-size="12">', f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
           f'<text x="{_LEFT}" y="18" font-size="14">{title}</text>']
    for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10):
        if low <= math.log10(tick) <= high:
            out.append(f'<path d="M{_LEFT} {y(tick):.1f}h{inner_w}" stroke="#ddd"/>'
                       f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for k in range(6):
        step = len(losses) * k / 5
        out.append(f'<text x="{x(step):.1f}" y="{_HEIGHT - 20}" text-anchor="middle">{step:.0f}</text>')
    out.append(f'<text x="{_LEFT + inner_w / 2}" y="{_HEIGHT - 5}" text-anchor="middle">step</text>')
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    out.append(f'<polyline points="{path}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/></svg>')
    return "\n".join(out) + "\n"
