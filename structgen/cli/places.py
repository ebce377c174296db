"""Saying where in a text something is, and which bytes may stand there."""

from __future__ import annotations

from typing import Iterable

__all__ = ["line_and_column", "excerpt", "describe_bytes"]

_NAMES = {0x20: "space", 0x09: "tab", 0x0A: "newline", 0x0D: "carriage return", 0x22: '"', 0x27: "'"}


def line_and_column(data: bytes, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of a byte offset; columns count characters.

    Examples
    --------
    >>> line_and_column("é\\nüx".encode(), 5)
    (2, 2)
    """
    before = data[:offset]
    start = before.rfind(b"\n") + 1
    return before.count(b"\n") + 1, len(before[start:].decode("utf-8", "replace")) + 1


def excerpt(data: bytes, offset: int, width: int = 60) -> tuple[str, str]:
    """The line around an offset, cut to `width`, and a line with a caret under the place."""
    start = data.rfind(b"\n", 0, offset) + 1
    end = data.find(b"\n", offset)
    line = data[start:len(data) if end < 0 else end].decode("utf-8", "replace")
    column = len(data[start:offset].decode("utf-8", "replace"))
    left = max(0, column - width * 2 // 3)
    cut = line[left:left + width]
    shown = "".join(c if c.isprintable() else " " for c in cut)
    return ("…" if left else "") + shown, " " * (column - left + bool(left)) + "^"


def describe_bytes(allowed: Iterable[int], end: bool = False) -> str:
    """Which bytes may follow, for people: characters, ranges, names.

    Examples
    --------
    >>> describe_bytes([0x22, 0x7d], end=False)
    '\\'"\\' or \\'}\\''
    >>> describe_bytes(range(0x30, 0x3a), end=True)
    "'0'-'9' or the end"
    """
    rest = set(allowed)
    parts: list[str] = []
    runs: list[list[int]] = []
    for byte in sorted(b for b in rest if 0x21 <= b < 0x7f):
        if runs and byte == runs[-1][1] + 1 and _kind(byte) == _kind(runs[-1][0]):
            runs[-1][1] = byte
        else:
            runs.append([byte, byte])
    if len([b for b in rest if 0x20 <= b < 0x7f]) >= 80:
        missing = [b for b in range(0x20, 0x7f) if b not in rest]
        parts.append("any printable character" + (" but " + ", ".join(_show(b) for b in missing) if missing else ""))
    else:
        for low, high in runs:
            parts += [_show(b) for b in range(low, high + 1)] if high - low < 2 else [f"{_show(low)}-{_show(high)}"]
        if 0x20 in rest:
            parts.append("space")
    parts += [_NAMES[b] for b in (0x09, 0x0A, 0x0D) if b in rest]
    if sum(1 for b in rest if b < 0x20) > 3:
        parts.append("control characters")
    leads = sum(1 for b in rest if 0xC2 <= b <= 0xF4)
    if leads:
        parts.append("non-ASCII characters" if leads > 40 else "some non-ASCII characters")
    elif any(0x80 <= b < 0xC0 for b in rest):
        parts.append("the rest of a UTF-8 character")
    if end:
        parts.append("the end")
    if not parts:
        return "nothing"
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " or " + parts[-1]


def _kind(byte: int) -> str:
    c = chr(byte)
    return "digit" if c.isdigit() else "upper" if c.isupper() else "lower" if c.islower() else "mark"


def _show(byte: int) -> str:
    return "space" if byte == 0x20 else '"\'"' if byte == 0x27 else f"'{chr(byte)}'"
