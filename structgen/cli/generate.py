"""``structgen generate``: a model writes a text that fits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Optional

from .common import InputError, UsageError, out, out_json, progress, settings
from .inputs import prompted

__all__ = ["run"]


def run(schema: Optional[str], regex: Optional[str], ecma: bool, choice: Optional[list[str]], model: str, prompt: str,
        n: int, seed: Optional[int], max_new_tokens: Optional[int], sampling: dict[str, Any], masked: dict[str, Any],
        stream: bool, trace: Optional[str], options: dict[str, Any]) -> None:
    """Generate `n` outputs; each has the seed of the one before it plus one."""
    import structgen as sg
    from structgen.models import fills_slots

    if stream and n > 1:
        raise UsageError("--stream shows one output; leave out --n")
    if trace is not None and (stream or n > 1):
        raise UsageError("--trace draws one output; leave out --stream and --n")
    if trace is not None and Path(trace).suffix.lower() not in (".svg", ".html", ".htm"):
        raise UsageError(f"--trace {trace}: pictures are .svg or .html files")
    target, text, loaded = prompted(schema, regex, ecma, choice, options, prompt, model)
    arguments = {name: value for name, value in sampling.items() if value is not None}
    fills = fills_slots(loaded.model)
    given = {name: value for name, value in {**masked, "trace": trace}.items() if value is not None}
    if given and not fills:
        raise UsageError(f"--{next(iter(given)).replace('_', '-')} is for masked models, which {model} is not",
                         hint="embedded-diffusion is one")
    arguments |= {name: value for name, value in given.items() if name != "trace"}
    if max_new_tokens is None and not fills:
        max_new_tokens = 256
    arguments |= {"schema": target, "model": loaded, "max_new_tokens": max_new_tokens}
    if n > 1 and not any(name in arguments for name in ("temperature", "top_k", "top_p")):
        arguments["temperature"] = 1.0      # n times the same greedy text would be no use
    if stream:
        _stream(sg, text, seed, arguments)
        return
    for i in range(n):
        with progress(f"generating {i + 1} of {n}"):
            result = sg.generate(text, seed=None if seed is None else seed + i, return_result=True, **arguments)
        if trace is not None:
            _draw(result, trace, model)
        _print(result)


def _draw(result: Any, path: str, model: str) -> None:
    draw = result.trace.svg if Path(path).suffix.lower() == ".svg" else result.trace.html
    try:
        Path(path).write_text(draw(f"{model}: {result.text}"), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the picture {path!r}: {error.strerror or error}") from None


def _print(result: Any) -> None:
    if settings.json:
        out_json({"text": result.text, "value": plain(result.value), "finish_reason": result.finish_reason,
                  "tokens": len(result.tokens), "log_mass_kept": result.log_mass_kept,
                  "unenforced": [e._asdict() for e in result.unenforced], "timings": result.timings})
    else:
        out(result.text)


def _stream(sg: Any, text: str, seed: Optional[int], arguments: dict[str, Any]) -> None:
    last = None
    for partial in sg.stream(text, seed=seed, **arguments):
        line = json.dumps(plain(partial), ensure_ascii=False)
        if line != last:
            out(line)
            last = line


def plain(value: Any) -> Any:
    """A value of any type that `generate` returns, as JSON values.

    Examples
    --------
    >>> from decimal import Decimal
    >>> plain({"a": (1, Decimal("2.5"))})
    {'a': [1, '2.5']}
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_asdict"):
        return [plain(v) for v in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=str)
