"""Constraints given by a grammar: ``sg.Lark``, ``sg.GBNF``, ``sg.EBNF``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional, Union

from .constraints import Constraint
from .errors import GrammarError
from .grammar.cfg import CfgGrammar

__all__ = ["Lark", "GBNF", "EBNF"]


class _Grammar(Constraint):
    _grammar: CfgGrammar

    def grammar(self) -> CfgGrammar:
        return self._grammar

    def __repr__(self) -> str:
        first = next((line.strip() for line in self.text.splitlines() if line.strip()), "")
        return f"{type(self).__name__}({first[:60]!r}...)"


def _read(source: Union[str, "os.PathLike[str]"]) -> tuple[str, Optional[str]]:
    """The text of a grammar, and its path if it was given one."""
    if not isinstance(source, os.PathLike):
        return source, None
    path = Path(source)
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as err:
        raise GrammarError(f"cannot read the grammar {str(path)!r}: {err}") from None


class Lark(_Grammar):
    """Texts of a Lark grammar, with the meaning they have to Lark.

    Parameters
    ----------
    grammar : str or path
        The grammar, or (as ``pathlib.Path``) the file it is in.
    parser : {"earley", "lalr"}
    lexer : {"auto", "dynamic", "dynamic_complete", "basic", "contextual"}
        As in ``lark.Lark``, and with its defaults: they choose the language.
        ``"lalr"`` is the language of the tables that Lark builds.
    start : str
        The rule to start with.
    postlex : lark.indenter.Indenter or "python", optional
        For languages with indentation; ``"python"`` is Lark's ``PythonIndenter``.
    priority, g_regex_flags, import_paths
        As in ``lark.Lark``.
    embed : mapping, optional
        Constraints, or special tokens, for terminals that the grammar declares (``%declare``).

    Raises
    ------
    GrammarError
        With line and column where they are known.

    Notes
    -----
    In rules, ``<|name|>`` and ``<[id]>`` stand for special tokens.

    Examples
    --------
    >>> Lark('start: "(" start ")" | NAME\\nNAME: /[a-z]+/', parser="lalr")
    Lark('start: "(" start ")" | NAME'...)
    """

    def __init__(self, grammar: Union[str, "os.PathLike[str]"], parser: str = "earley", lexer: str = "auto",
                 start: str = "start", *, postlex: Any = None, priority: Optional[str] = "auto",
                 g_regex_flags: int = 0, import_paths: Iterable[Any] = (),
                 embed: Optional[Mapping[str, Any]] = None):
        from .combinators import part_of
        from .frontends.lark import read_lark

        self.text, path = _read(grammar)
        self.parser, self.lexer, self.start = parser, lexer, start
        self._grammar = read_lark(
            self.text, parser=parser, lexer=lexer, start=start, postlex=postlex, priority=priority,
            g_regex_flags=g_regex_flags, import_paths=import_paths, source_path=path,
            embed={name: part_of(c) for name, c in (embed or {}).items()})


class GBNF(_Grammar):
    """Texts of a grammar in llama.cpp's notation.

    Parameters
    ----------
    grammar : str or path
    start : str
        The rule to start with.

    Raises
    ------
    GrammarError
        With line and column.

    Examples
    --------
    >>> GBNF('root ::= [a-z]+ ("," root)?')
    GBNF('root ::= [a-z]+ ("," root)?'...)
    """

    def __init__(self, grammar: Union[str, "os.PathLike[str]"], start: str = "root"):
        from .frontends.gbnf import read_gbnf

        self.text, _ = _read(grammar)
        self.start = start
        self._grammar = read_gbnf(self.text, start)


class EBNF(_Grammar):
    """Texts of a grammar in the notation of the W3C's standards.

    Parameters
    ----------
    grammar : str or path
    start : str, optional
        The rule to start with; default: the first.

    Raises
    ------
    GrammarError
        With line and column.

    Examples
    --------
    >>> EBNF("list ::= '(' list* ')' | [a-z]+")
    EBNF("list ::= '(' list* ')' | [a-z]+"...)
    """

    def __init__(self, grammar: Union[str, "os.PathLike[str]"], start: Optional[str] = None):
        from .frontends.gbnf import read_ebnf

        self.text, _ = _read(grammar)
        self.start = start
        self._grammar = read_ebnf(self.text, start)
