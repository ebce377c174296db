"""``structgen sample``: texts from the model's own distribution, given that they are valid."""

from __future__ import annotations

import math
import os
import sys
from typing import Any, Optional

from .common import InputError, out, out_json, progress, settings
from .generate import plain
from .inputs import prompted

__all__ = ["run"]


def run(schema: Optional[str], regex: Optional[str], ecma: bool, choice: Optional[list[str]], model: str, prompt: str,
        n: int, arguments: dict[str, Any], plot: Optional[str], oracle: Optional[str], options: dict[str, Any]) -> None:
    """Sample, print texts and report, keep picture and oracle."""
    import structgen as sg

    target, text, loaded = prompted(schema, regex, ecma, choice, options, prompt, model)
    if oracle is not None and os.path.exists(oracle):
        arguments["oracle"] = oracle
    with progress(f"sampling {n} texts"):
        result = sg.sample(loaded, text, target, n, on_budget="return", **arguments)
    for path, write in ((oracle, getattr(result.oracle, "save", None)), (plot, result.plot)):
        if path is not None and write is not None:
            try:
                write(path)
            except OSError as error:
                raise InputError(f"cannot write {path!r}: {error.strerror or error}") from None
    for words, value, log_p, log_q, log_w in zip(result.texts, result.values, result.log_p, result.log_q, result.log_w):
        if settings.json:
            out_json({"text": words, "value": plain(value), "log_p": float(log_p), "log_q": float(log_q),
                      "log_w": float(log_w) if math.isfinite(log_w) else None})
        else:
            out(words)
    print(result.report(), file=sys.stderr)
    if result.stopped is not None:
        raise sg.LimitError(f"the budget ({result.stopped}) was spent after {len(result)} of {n} texts",
                            place=f"budget of {result.stopped}", hint="--oracle FILE keeps what was learned")
