"""Grammars and languages as plain data, for files of compiled constraints.

What is written is the normal form (rules, terminals, expressions), not the text
of the grammar: reading it takes a millisecond, where Lark takes tens to read
the text.  Everything is checked when it is read back: symbols, kinds, types.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Union

from ..constraints import Constraint
from ..grammar.cfg import LEXINGS, CfgGrammar, Indenter, Match, Rule, Terminal
from ..grammar.ir import TextGrammar
from ..grammar.strings import Expr, Length, Literals, Pattern, StrLang

__all__ = ["SavedGrammar", "described_grammar", "restored_grammar"]

Describe = Callable[[Any], dict[str, Any]]
Restore = Callable[[Any], Constraint]


class SavedGrammar(Constraint):
    """A grammar or combination read from a file; its normal form is all there is."""

    def __init__(self, grammar: Union[TextGrammar, CfgGrammar], shown: str):
        self._grammar = grammar
        self._shown = shown

    def grammar(self) -> Union[TextGrammar, CfgGrammar]:
        return self._grammar

    def __repr__(self) -> str:
        return self._shown


def described_grammar(source: Constraint, describe: Describe) -> Optional[dict[str, Any]]:
    """The record of a constraint on text; None for other constraints."""
    grammar = None if source.is_json else source.grammar()
    shown = repr(source)[:300].encode("ascii", "replace").decode()
    if isinstance(grammar, TextGrammar):
        return {"kind": "text", "shown": shown, "lang": _lang(grammar.lang)}
    if isinstance(grammar, CfgGrammar):
        ind = grammar.indenter
        return {
            "kind": "grammar", "shown": shown, "start": grammar.start, "lexing": grammar.lexing,
            "tables": grammar.tables, "nonterminals": list(grammar.nonterminals),
            "terminals": [_terminal(t, describe) for t in grammar.terminals],
            "rules": [[r.lhs, list(r.rhs), r.priority] for r in grammar.rules],
            "ignore": list(grammar.ignore), "order": list(grammar.order),
            "keywords": [[r, s, int(out)] for r, s, out in grammar.keywords],
            "indenter": None if ind is None else [ind.newline, ind.indent, ind.dedent, sorted(ind.open),
                                                  sorted(ind.close), ind.tab_len]}
    return None


def _lang(lang: StrLang) -> list:
    return [[[_atom(atom), positive] for atom, positive in conj] for conj in lang]


def _atom(atom: Any) -> list:
    if isinstance(atom, Literals):
        return ["literals", list(atom.words)]
    if isinstance(atom, Length):
        return ["length", atom.lo, atom.hi]
    if isinstance(atom.source, Expr):
        e = atom.source
        return ["expr", e.op, [_lang(part) for part in e.parts], e.lo, e.hi, list(e.symbols)]
    return ["pattern", atom.kind, atom.source]


def _terminal(t: Terminal, describe: Describe) -> list:
    kind = t.kind
    what: Any = None
    if kind == "match":
        what = [t.match.source, t.match.flags, t.match.literal, t.match.max_width]
    elif kind == "token":
        what = t.token
    elif kind == "embedded":
        what = describe(t.embedded)
    elif kind == "lang":
        what = _lang(t.lang)
    return [t.name, kind, what, t.priority]


# -- reading: everything is checked -------------------------------------------------------


def _need(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or kind is int and isinstance(value, bool):
        raise ValueError("fields of another type")
    return value


def _list(value: Any, size: Optional[int] = None) -> list:
    if not isinstance(value, list) or size is not None and len(value) != size:
        raise ValueError("fields of another type")
    return value


def _lang_of(data: Any) -> StrLang:
    return tuple(tuple((_atom_of(atom), _need(positive, bool)) for atom, positive in (_list(x, 2) for x in _list(conj)))
                 for conj in _list(data))


def _count(value: Any) -> Optional[int]:
    if value is None:
        return None
    if _need(value, int) < 0:
        raise ValueError("a negative count")
    return value


def _atom_of(data: Any) -> Any:
    kind = _list(data)[0] if data else None
    if kind == "literals":
        return Literals(tuple(sorted({_need(w, str) for w in _list(_list(data, 2)[1])})))
    if kind == "length":
        _, lo, hi = _list(data, 3)
        return Length(_count(lo) or 0, _count(hi))
    if kind == "expr":
        _, op, parts, lo, hi, symbols = _list(data, 6)
        if op not in ("cat", "alt", "repeat", "substring") or op == "repeat" and len(_list(parts)) != 1:
            raise ValueError("an unknown expression")
        return Pattern("regular", Expr(op, tuple(map(_lang_of, _list(parts))), _count(lo) or 0, _count(hi),
                                       tuple(_need(s, str) for s in _list(symbols))))
    if kind == "pattern":
        _, name, source = _list(data, 3)
        if name not in ("ecma", "python", "format"):
            raise ValueError("an unknown pattern")
        return Pattern(name, _need(source, str))
    raise ValueError("an unknown language")


def _terminal_of(data: Any, restore: Restore) -> Terminal:
    name, kind, what, priority = _list(data, 4)
    _need(name, str), _need(priority, int)
    if kind == "match":
        source, flags, literal, width = _list(what, 4)
        match = Match(_need(source, str), _need(flags, int), _need(literal, (str, type(None))), _need(width, int))
        return Terminal(name, match=match, priority=priority)
    if kind == "token":
        return Terminal(name, token=_need(what, (int, str)), priority=priority)
    if kind == "embedded":
        return Terminal(name, embedded=restore(what), priority=priority)
    if kind == "lang":
        return Terminal(name, lang=_lang_of(what), priority=priority)
    if kind == "declared":
        return Terminal(name, declared=True, priority=priority)
    raise ValueError("an unknown kind of terminal")


def restored_grammar(record: Any, restore: Restore) -> SavedGrammar:
    """The constraint of a record; ValueError and the like for records that `described_grammar` never wrote."""
    shown = _need(record["shown"], str)
    if record["kind"] == "text":
        return SavedGrammar(TextGrammar(_lang_of(record["lang"])), shown)
    names = tuple(_need(n, str) for n in _list(record["nonterminals"]))
    terminals = tuple(_terminal_of(t, restore) for t in _list(record["terminals"]))
    n, total = len(names), len(names) + len(terminals)

    def symbol(s: Any, lo: int = 0, hi: int = total) -> int:
        if not lo <= _need(s, int) < hi:
            raise ValueError("a symbol out of range")
        return s

    if record["lexing"] not in LEXINGS or record["tables"] not in ("cfg", "lalr"):
        raise ValueError("an unknown way of lexing")
    rules = tuple(Rule(symbol(lhs, 0, n), tuple(map(symbol, _list(rhs))), _need(priority, int))
                  for lhs, rhs, priority in (_list(r, 3) for r in _list(record["rules"])))
    ind = record["indenter"]
    indenter = None
    if ind is not None:
        newline, indent, dedent, opening, closing, tab = _list(ind, 6)
        indenter = Indenter(symbol(newline, n), symbol(indent, n), symbol(dedent, n),
                            frozenset(symbol(s, n) for s in _list(opening)),
                            frozenset(symbol(s, n) for s in _list(closing)), _need(tab, int))
    return SavedGrammar(CfgGrammar(
        names, terminals, rules, symbol(record["start"], 0, n), record["lexing"], record["tables"],
        tuple(symbol(s, n) for s in _list(record["ignore"])), tuple(symbol(s, n) for s in _list(record["order"])),
        tuple((symbol(r, n), symbol(s, n), bool(_need(out, int)))
              for r, s, out in (_list(k, 3) for k in _list(record["keywords"]))), indenter), shown)
