"""Canvases of masked and diffusion language models under exact constraints.

``byte_dfa`` is the constraint as a byte automaton, ``token_automaton`` the same
over token classes, ``canvas`` what users hold.
"""

from .canvas import Canvas
from .token_automaton import TokenAutomaton, automaton_of

__all__ = ["Canvas", "TokenAutomaton", "automaton_of"]
