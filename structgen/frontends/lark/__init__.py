"""Lark grammars, read by the lark package, as :class:`structgen.grammar.cfg.CfgGrammar`."""

from __future__ import annotations

from .loader import read_lark

__all__ = ["read_lark"]
