"""``structgen mask``: the tokens allowed after a prefix."""

from __future__ import annotations

from typing import Any, Optional

from ..errors import MatcherError
from .common import UsageError, out, out_json, paint, progress, settings
from . import inputs
from .inputs import constraint, read_bytes
from .match import accepted_bytes
from .places import line_and_column

__all__ = ["run"]


def run(schema: Optional[str], regex: Optional[str], ecma: bool, choice: Optional[list[str]], tokenizer: str,
        prefix: str, top: int, options: dict[str, Any]) -> None:
    """Print the tokens allowed after `prefix`; leaves with 1 when the prefix itself does not fit."""
    import structgen as sg

    if prefix == "-" and schema == "-":
        raise UsageError("standard input can be read only once")
    grammar = constraint(schema, regex, choice, options, ecma)
    with progress("reading the tokenizer"):
        compiled = sg.compile(grammar, inputs.tokenizer(tokenizer))
    vocabulary, matcher = compiled.vocabulary, compiled.matcher()
    text = read_bytes("-") if prefix == "-" else prefix.encode("utf-8", "surrogateescape")
    done = accepted_bytes(matcher, text)
    if done < len(text):
        line, column = line_and_column(text, done)
        raise MatcherError(f"the prefix leaves the language at byte {done} (line {line}, column {column})")
    ids = matcher.allowed_tokens().tolist()
    ends = [i for i in ids if i in vocabulary.eos_ids]
    shown = ids if top == 0 else ids[:top]
    if settings.json:
        out_json({"allowed": len(ids), "vocabulary": vocabulary.size, "can_end": matcher.can_end(),
                  "eos": ends, "tokens": [_token(vocabulary, i) for i in shown]})
        return
    out(f"{len(ids):,} of {vocabulary.size:,} tokens allowed; "
        + (paint("the text may end here", "green") if ends else "the text may not end here"))
    width = len(str(shown[-1])) if shown else 1
    for i in shown:
        out(f"{i:>{width}}  {_token(vocabulary, i)['text']!r}")
    if len(shown) < len(ids):
        out(f"… {len(ids) - len(shown):,} more (--top 0 lists all)")


def _token(vocabulary: Any, token: int) -> dict[str, Any]:
    data = vocabulary.token_bytes(token)
    if data is not None:
        return {"id": token, "text": data.decode("utf-8", "backslashreplace")}
    names = [name for name, i in vocabulary.special.items() if i == token]
    return {"id": token, "text": names[0] if names else "", "special": True}
