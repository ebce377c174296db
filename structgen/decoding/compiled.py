"""Compiled constraints: a grammar bound to a vocabulary.

Logically immutable and shared between threads: the same question gets the same
answer, forever.  Physically it owns an arena that grows (see
``automata/arena.py``) and is replaced by a fresh one when it gets too large.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..automata.arena import MAX_BYTES, Arena
from ..collector import without_collector
from ..errors import GrammarError, MatcherError, StructgenError, VocabularyError
from ..grammar.cfg import CfgGrammar
from ..grammar.ir import CoverageEntry, JsonGrammar, TextGrammar
from ..tokens.tables import TokenTables, token_tables
from .closing import Closing
from .matcher import Matcher

if TYPE_CHECKING:
    import os

    from ..automata.cfg_program import Program
    from ..tokens.vocabulary import Vocabulary

__all__ = ["Compiled"]


class Compiled:
    """A constraint over a vocabulary; make it with :func:`structgen.compile`.

    Attributes
    ----------
    grammar
        The normal form.
    vocabulary : Vocabulary
    coverage : list of CoverageEntry
        What became of each keyword of the schema.
    may_dead_end : bool
        Whether some text may lead nowhere: only with that option, and only where it was needed.
    """

    def __init__(self, grammar: JsonGrammar | TextGrammar | CfgGrammar, vocabulary: "Vocabulary", *, source=None,
                 max_bytes: int = MAX_BYTES, program: "Program | None" = None):
        missing = vocabulary.missing_bytes
        if missing:
            _check_bytes(grammar, missing)
        self.grammar = grammar
        self.vocabulary = vocabulary
        self.source = source
        self.max_bytes = max_bytes
        self._cfg = isinstance(grammar, CfgGrammar)
        self._tables: TokenTables = token_tables(vocabulary, json=not self._cfg)
        self.peek, self.step = self._tables.peek, self._tables.step
        self.kinds = self._tables.kind_list
        self.lengths = self._tables.length_list
        #: may some array have to have different items?
        self.unique_items = getattr(grammar, "unique_items", False)
        self.may_dead_end = getattr(grammar, "check", None) is not None
        #: see `TokenTables.repeating`
        self.repeating = self._tables.repeating if isinstance(grammar, JsonGrammar) else ()
        self._lock = threading.Lock()
        if self._cfg:
            with without_collector():
                self._make_program(grammar, program)
                self._arena = self._new_arena()
        else:
            self._arena = self._new_arena()

    def _make_program(self, grammar: CfgGrammar, program: "Program | None") -> None:
        self._inner = {id(t.embedded): self._compiled_part(t.embedded) for t in grammar.terminals
                       if t.kind == "embedded"}
        if program is None:
            from ..automata.cfg_lexers import LexerProgram
            from ..automata.cfg_program import Program

            competing = grammar.lexing in ("basic", "contextual")
            program = LexerProgram(grammar) if competing else Program(grammar, self._inner)
        self.program = program

    def _compiled_part(self, constraint):
        """A constraint that stands for a terminal, over the same vocabulary."""
        from .parts import Inner

        grammar = constraint.grammar()
        if getattr(grammar, "check", None) is not None:
            raise StructgenError("a schema with may_dead_end=True cannot stand inside of another constraint")
        compiled = Compiled(grammar, self.vocabulary, source=constraint, max_bytes=self.max_bytes)
        try:
            return Inner(compiled)
        except MatcherError as error:         # a special token in all that it takes
            raise GrammarError(f"a constraint inside of a grammar must take some text: {error.message}",
                               hint="write special tokens into the rules: <|name|> or <[id]>") from None

    def inner_of(self, terminal: int):
        """What an embedded terminal of the program stands for."""
        return self._inner[id(self.program.grammar.terminals[terminal].embedded)]

    def _new_arena(self) -> "Arena":
        if self._cfg and self._inner:
            from .parts import PartsArena

            return PartsArena(self)
        if self._cfg:
            from ..automata.cfg_arena import CfgArena     # its kernels are compiled when first used

            return CfgArena(self.program, self._tables, self.max_bytes)
        return Arena(self.grammar, self._tables, self.max_bytes)

    @property
    def coverage(self) -> list[CoverageEntry]:
        """What became of each keyword; empty for constraints on plain text."""
        return list(getattr(self.grammar, "coverage", ()))

    def matcher(self, max_tokens: int | None = None) -> Matcher:
        """A new matcher at the start; `max_tokens` turns budget-aware closing on.

        Raises
        ------
        BudgetError
            If the shortest valid output needs more than `max_tokens` tokens.
        """
        if self._cfg and self._inner:
            from .parts import PartsMatcher

            return PartsMatcher(self, max_tokens)
        if self._cfg:
            if self.program.blocks is not None:
                from .lines import LinesMatcher

                return LinesMatcher(self, max_tokens)
            from .cfg_matcher import CfgMatcher

            return CfgMatcher(self, max_tokens)
        self._arena.lexer.refuel()
        if self.may_dead_end:
            from .checked import CheckedMatcher

            return CheckedMatcher(self, max_tokens)
        return Matcher(self, max_tokens)

    def arena(self) -> Arena:
        """The arena new matchers start in."""
        arena = self._arena
        return self.renew(arena) if arena.rows_bytes > self.max_bytes else arena

    def renew(self, old: Arena) -> Arena:
        """A fresh arena in place of `old` (or the one that already took its place)."""
        with self._lock:
            if self._arena is old:
                self._arena = self._new_arena()
            return self._arena

    def closing(self, arena: Arena) -> Closing:
        """The shortest-completion calculator of an arena."""
        with arena.lock:
            if self._cfg and self._inner:
                return arena._closing()
            if arena.closing is None and self._cfg:
                from .cfg_matcher import CfgClosing

                arena.closing = CfgClosing(arena, self.vocabulary)
            elif arena.closing is None:
                arena.closing = Closing(arena, self.vocabulary)
            return arena.closing

    @property
    def nbytes(self) -> int:
        """Bytes held by the current arena."""
        return self._arena.nbytes

    def save(self, path: "str | os.PathLike[str]") -> None:
        """Write the constraint to a file for :func:`structgen.load_compiled`, in one step.

        The file holds the constraint, its options and which tokenizer it is for;
        a Python type as its schema.

        Raises
        ------
        OSError
            If the file cannot be written.
        StructgenError
            If the constraint has no form that a file can hold.
        """
        from .artefact import save_compiled

        save_compiled(self, path)


def _check_bytes(grammar, missing: bytes) -> None:
    """Refuse a vocabulary that cannot spell every text of the grammar.

    Every continuation is spelled byte by byte in the worst case, so a byte
    that is no token could be a dead end.
    """
    shown = ", ".join(f"{b:#04x}" for b in missing[:8]) + (" ..." if len(missing) > 8 else "")
    raise VocabularyError(
        f"{len(missing)} bytes are no token of this vocabulary ({shown}), so some valid texts could not be spelled",
        hint="use a tokenizer with byte fallback, or Vocabulary.from_tokens with all single bytes")
