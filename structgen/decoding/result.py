"""What a generation gives back besides the value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

__all__ = ["Result"]


@dataclass
class Result:
    """One generated output; ``generate(..., return_result=True)``.

    Attributes
    ----------
    value : Any
        The typed value: an instance of the Python type asked for, the parsed
        JSON value for a schema, the text for a grammar or regex.
    text : str
        The generated text.
    tokens : list of int
        Generated token ids, EOS included.
    finish_reason : str
        ``"stop"``: the model ended the text; ``"length"``: the budget ran out
        (only without a constraint); ``"cancelled"``.
    unenforced : list
        Entries of ``compiled.coverage`` that are not enforced by the masks.
    log_mass_kept : float or None
        Sum over all positions of the log of the probability that the model gave
        to what was allowed there: 0 if the constraint never interfered.  It is
        taken of the model's own distribution, before penalties, temperature and
        truncation.  None when nothing constrained the text.
    timings : dict
        Seconds: ``forward`` (model), ``constraint`` (masks and matcher),
        ``sample``, ``total``; and ``forwards``, the number of forward passes the
        row took part in. Of masked models ``steps``, and no ``sample``.
    forced_tokens : list of int
        Positions in `tokens` of tokens appended without a forward pass of their
        own.
    prompt_tokens : int
        Length of the prompt.
    max_new_tokens : int
        The budget in force.
    prompt_text : str
        The prompt as the model saw it, chat template included.
    trace : Trace or None
        Of masked models: what each step committed (``trace.svg()`` draws it).
    """

    value: Any
    text: str
    tokens: list[int]
    finish_reason: str
    unenforced: list = field(default_factory=list)
    log_mass_kept: Optional[float] = None
    timings: dict = field(default_factory=dict)
    forced_tokens: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    max_new_tokens: int = 0
    prompt_text: str = ""
    trace: Optional[Any] = None
