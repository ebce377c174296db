"""Canvases of masked and diffusion language models under exact constraints.

``byte_dfa`` is the constraint as a byte automaton, ``token_automaton`` the same
over token classes, ``reduction`` brings a model's scores down to those,
``canvas`` is what users hold.  ``decoding`` is the loop of masked models (``commit``
its rules, ``scoring`` the calls of the model), ``generating`` what ``sg.generate``
hands over to, ``trace`` the picture, ``hooks`` are for loops of others, ``infilling`` is
``sg.infill``.

Importing this package does not import torch.
"""

from typing import Any

from .canvas import Canvas, Joint
from .token_automaton import TokenAutomaton, automaton_of

__all__ = ["Canvas", "Joint", "TokenAutomaton", "automaton_of", "DreamHooks", "DiffusionLogitsProcessor"]


def __getattr__(name: str) -> Any:
    if name in ("DreamHooks", "DiffusionLogitsProcessor"):
        from . import hooks

        return getattr(hooks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
