"""``structgen explain`` for grammars: terminals, how text is cut into them, what is never used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from ..errors import StructgenError
from .common import InputError, out, out_json, settings

__all__ = ["SUFFIXES", "grammar_constraint", "is_grammar", "run"]

SUFFIXES = (".lark", ".gbnf", ".ebnf")


def is_grammar(name: Optional[str]) -> bool:
    """Does an argument name a grammar's file?"""
    return name is not None and name.endswith(SUFFIXES)


def grammar_constraint(name: str, parser: Optional[str] = None, lexer: Optional[str] = None,
                       start: Optional[str] = None, postlex: Optional[str] = None) -> Any:
    """The constraint of a grammar's file; options that are None keep their defaults."""
    import structgen as sg

    given = {key: value for key, value in (("parser", parser), ("lexer", lexer)) if value is not None}
    if start is not None:
        given["start"] = start
    if postlex is not None:
        if postlex != "python":
            raise StructgenError(f"--postlex {postlex}: there is only 'python' (lark.indenter.PythonIndenter)")
        given["postlex"] = postlex
    if name.endswith(".lark"):
        return sg.Lark(Path(name), **given)
    if set(given) - {"start"}:
        raise StructgenError("--parser, --lexer and --postlex concern Lark grammars only")
    return (sg.GBNF if name.endswith(".gbnf") else sg.EBNF)(Path(name), **given)


def run(name: str, parser: Optional[str], lexer: Optional[str], start: Optional[str], postlex: Optional[str],
        picture: Optional[str] = None) -> None:
    """Print what the grammar in a file is made of, and draw its rules."""
    grammar = grammar_constraint(name, parser, lexer, start, postlex).grammar()
    record = describe(grammar)
    if picture is not None:
        from .diagram import diagram

        drawn = diagram(grammar)
        try:
            Path(picture).write_text(drawn, encoding="utf-8")
        except OSError as err:
            raise InputError(f"cannot write {picture!r}: {err.strerror or err}") from None
    if settings.json:
        out_json(record)
        return
    cut = record["lexing"] + (" (Lark's LALR tables)" if record["tables"] == "lalr" else "")
    out(f"start {record['start']}, lexing {cut}")
    size = f"{record['rules']} rules, {record['productions']} productions, {len(record['terminals'])} terminals"
    out(size if record["states"] is None else f"{size}, {record['states']} parser states")
    out()
    width = min(max((len(t["name"]) for t in record["terminals"]), default=0), 30)
    for t in record["terminals"]:
        notes = [f"priority {t['priority']}"] if t["priority"] else []
        notes += ["ignored"] if t["ignored"] else []
        notes += [f"any of its texts that is also {', '.join(t['keywords'])} becomes that"] if t["keywords"] else []
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in t["text"])
        text = text if len(text) <= 60 else text[:57] + "..."
        out(f"  {t['name']:<{width}}  {text}" + (f"  [{'; '.join(notes)}]" if notes else ""))
    for title, lines in (("settled by shifting", record["shift_reduce"]), ("never used", record["removed"])):
        if lines:
            out()
            out(f"{title}:")
            for line in lines:
                out(f"  {line}")


def describe(grammar: Any) -> dict[str, Any]:
    """What there is to say about a grammar, as plain data."""
    from ..reference.cfg import lalr_tables, shift_reduce

    states, conflicts = None, []
    if grammar.tables == "lalr":
        states = len(lalr_tables(grammar))
        conflicts = [f"{grammar.symbol_name(t)} goes on instead of ending {grammar.show(rule)}"
                     for t, rule in shift_reduce(grammar)]
    base = len(grammar.nonterminals)
    rank = {symbol: i for i, symbol in enumerate(grammar.order)} if grammar.lexing in ("basic", "contextual") else {}
    symbols = sorted(range(base, base + len(grammar.terminals)), key=lambda s: rank.get(s, len(rank)))
    return {
        "start": grammar.nonterminals[grammar.start],
        "lexing": grammar.lexing,
        "tables": grammar.tables,
        "rules": len(grammar.nonterminals),
        "productions": len(grammar.rules),
        "states": states,
        "terminals": [{
            "name": grammar.symbol_name(s), "kind": grammar.terminal(s).kind, "text": _text(grammar.terminal(s)),
            "priority": grammar.terminal(s).priority, "ignored": s in grammar.ignore,
            "keywords": [grammar.symbol_name(word) for r, word, _ in grammar.keywords if r == s],
        } for s in symbols],
        "shift_reduce": conflicts,
        "removed": [f"{r.what} {r.name}: {r.why}" + (f" (line {r.place.line})" if r.place.line else "")
                    for r in grammar.removed],
    }


def _text(terminal: Any) -> str:
    """What a terminal matches, for people."""
    kind = terminal.kind
    if kind == "match":
        return repr(terminal.match.literal) if terminal.match.literal is not None else f"/{terminal.match.source}/"
    if kind == "token":
        return f"the special token {terminal.token!r}"
    if kind == "embedded":
        return repr(terminal.embedded)
    if kind == "declared":
        return "made by the indenter"
    return "texts of a regular language" if terminal.name[:1] not in "'\"/" else terminal.name
