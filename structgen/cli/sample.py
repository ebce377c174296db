"""``structgen sample``: texts from the model's own distribution, given that they are valid."""

from __future__ import annotations

import math
import os
import sys
from typing import Any, Optional

from .common import UsageError, out, out_json, progress, settings
from .generate import plain
from .inputs import constraint, quiet_libraries, read_text

__all__ = ["run"]


def run(schema: Optional[str], regex: Optional[str], ecma: bool, choice: Optional[list[str]], model: str, prompt: str,
        n: int, arguments: dict[str, Any], plot: Optional[str], oracle: Optional[str], options: dict[str, Any]) -> None:
    """Sample, print texts and report, keep picture and oracle."""
    import structgen as sg

    if prompt == "-" and schema == "-":
        raise UsageError("standard input can be read only once")
    target = constraint(schema, regex, choice, options, ecma)      # a bad schema is known before the model is loaded
    text = read_text("-", "prompt") if prompt == "-" else prompt
    quiet_libraries()
    with progress("loading the model"):
        loaded = sg.load(model)
    if oracle is not None and os.path.exists(oracle):
        arguments["oracle"] = oracle
    with progress(f"sampling {n} texts"):
        result = sg.sample(loaded, text, target, n, on_budget="return", **arguments)
    if oracle is not None and result.oracle is not None:
        result.oracle.save(oracle)
    if plot is not None:
        result.plot(plot)
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
