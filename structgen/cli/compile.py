"""``structgen compile``: a constraint and a tokenizer to a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Optional

from .common import InputError, out, out_json, progress, settings
from . import inputs
from .inputs import constraint

__all__ = ["run"]


def run(schema: Optional[str], regex: Optional[str], ecma: bool, choice: Optional[list[str]], tokenizer: str,
        output: str, options: dict[str, Any]) -> None:
    """Compile, save, and print what it took."""
    import structgen as sg

    started = time.perf_counter()
    grammar = constraint(schema, regex, choice, options, ecma)
    read = time.perf_counter()
    with progress("compiling"):
        compiled = sg.compile(grammar, inputs.tokenizer(tokenizer))
        done = time.perf_counter()
        try:
            compiled.save(output)
        except OSError as err:
            raise InputError(f"cannot write {output!r}: {err.strerror or err}") from None
    saved = time.perf_counter()
    record = {"output": output, "bytes": Path(output).stat().st_size, "read_ms": 1e3 * (read - started),
              "compile_ms": 1e3 * (done - read), "save_ms": 1e3 * (saved - done)}
    unenforced = [e for e in compiled.coverage or () if e.status == "not enforced"]
    if settings.json:
        out_json(record | {"unenforced": [e._asdict() for e in unenforced]})
        return
    out(f"{output}: {record['bytes']:,} bytes")
    out(f"read {record['read_ms']:.1f} ms, compile {record['compile_ms']:.1f} ms (tokenizer included), "
        f"save {record['save_ms']:.1f} ms")
    for entry in unenforced:
        out(f"not enforced: {entry.pointer or '#'}  {entry.note}".rstrip())
