"""From a compiled constraint to the program whose tokens a canvas reads."""

from __future__ import annotations

from typing import Any

from ..errors import GrammarError
from ..grammar.cfg import CfgGrammar
from ..grammar.ir import JsonGrammar

__all__ = ["program_of", "is_regular"]

#: value nodes looked at to find recursion
MAX_NODES = 20_000


def program_of(compiled: Any) -> Any:
    """The program (:class:`structgen.automata.cfg_program.Program`) of a grammar or a recursive schema.

    Raises
    ------
    GrammarError, UnsupportedSchema
        What canvases do not cover, by name.
    """
    grammar = compiled.grammar
    if isinstance(grammar, JsonGrammar):
        from .cfg_json import json_program

        return json_program(grammar)
    if grammar.indenter is not None:
        raise GrammarError("canvases do not cover indentation (a post-lexer)",
                           hint="write blocks with brackets, or generate left to right")
    for at, terminal in enumerate(grammar.terminals):
        if terminal.kind == "embedded":
            place = grammar.place(len(grammar.nonterminals) + at)
            raise GrammarError(f"canvases do not cover constraints embedded in a grammar ({terminal.name})",
                               line=place.line, column=place.column)
    program = getattr(compiled, "program", None)
    if program is None:
        from ..automata.cfg_lexers import LexerProgram
        from ..automata.cfg_program import Program

        program = (LexerProgram if grammar.lexing in ("basic", "contextual") else Program)(grammar)
    return program


def is_regular(compiled: Any) -> bool:
    """Does the regular track take this constraint: plain text, or a schema without recursion?"""
    grammar = compiled.grammar
    if isinstance(grammar, CfgGrammar):
        return False
    if not isinstance(grammar, JsonGrammar):
        return True
    state: dict[int, int] = {}
    stack = [(grammar.root, iter(children(grammar, grammar.root)))]
    state[grammar.root] = 1
    while stack:
        node, rest = stack[-1]
        for child in rest:
            seen = state.get(child, 0)
            if seen == 1:
                return False
            if seen == 0:
                if len(state) > MAX_NODES:
                    return False
                state[child] = 1
                stack.append((child, iter(children(grammar, child))))
                break
        else:
            state[node] = 2
            stack.pop()
    return True


def children(grammar: JsonGrammar, node: int) -> list[int]:
    """The nodes that values inside a value of `node` may be read as."""
    value = grammar.node(node)
    out: dict[int, None] = {}
    for array in value.arrays:
        out.update(dict.fromkeys(array.children()))
    for thing in value.objects:
        out.update(dict.fromkeys(thing.nodes))
        for ways in thing.ways:
            out.update(dict.fromkeys(child for _, child in ways))
        if thing.extra is not None:
            n = len(thing.extra.atoms)
            bits = range(1 << n) if n <= 12 else range(0)
            out.update(dict.fromkeys(thing.extra.label(b) for b in bits))
            for _, ways in thing.extra.ways:
                out.update(dict.fromkeys(child for _, child in ways))
    out.pop(-1, None)
    return list(out)
