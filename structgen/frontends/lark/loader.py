"""From the text of a Lark grammar to :class:`CfgGrammar`, through the lark package.

Lark reads the text (imports, templates, ``%extend``, ``%override``, priorities,
EBNF); what is taken over is its compiled form: rules, terminals as regular
expressions, ignored terminals.  From these follow the order in which terminals
compete and the keyword pairs, by the rules of ``lark.lexer``.  Errors come out
as `GrammarError` with the place in the text.
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping, Optional

from lark import exceptions as _errors
from lark.indenter import Indenter as _LarkIndenter
from lark.indenter import PythonIndenter
from lark.lexer import PatternStr
from lark.load_grammar import load_grammar

from ...errors import GrammarError, RegexError, StructgenError
from ...grammar.cfg import CfgGrammar, Embeddable, Indenter, Match, Place, Rule, Terminal, normalise
from ..names import closest
from ..regex import parse_python
from ..regex.takes import match_end
from .guard import check_size, check_templates
from .source import Source

__all__ = ["read_lark"]

_MODES = {
    ("earley", "dynamic"): ("dynamic", "cfg"),
    ("earley", "dynamic_complete"): ("dynamic_complete", "cfg"),
    ("earley", "basic"): ("basic", "cfg"),
    ("lalr", "contextual"): ("contextual", "lalr"),
    ("lalr", "basic"): ("basic", "lalr"),
}
#: longest text that is compared with the expressions of other terminals, for the keyword rule
MAX_KEYWORD = 200
_PRIORITIES = ("auto", "normal", "invert", None)


def read_lark(text: str, *, parser: str = "earley", lexer: str = "auto", start: str = "start", postlex: Any = None,
              priority: Optional[str] = "auto", g_regex_flags: int = 0, import_paths: Iterable[Any] = (),
              source_path: Optional[str] = None, embed: Optional[Mapping[str, Embeddable]] = None) -> CfgGrammar:
    """Read a grammar in Lark's syntax.

    Parameters
    ----------
    text : str
        The grammar.
    parser, lexer, start, postlex, priority, g_regex_flags, import_paths, source_path
        As ``lark.Lark`` takes them.
    embed : mapping, optional
        Constraints, or special tokens, for terminals that the grammar declares (``%declare``).

    Returns
    -------
    CfgGrammar
        Normalised.

    Raises
    ------
    GrammarError
        With line and column where they are known.

    Examples
    --------
    >>> g = read_lark('start: "a" start | WORD\\nWORD: /b+/', parser="lalr")
    >>> g.lexing, [t.name for t in g.terminals]
    ('contextual', ['WORD', 'A'])
    """
    lexing, tables = _mode(parser, lexer, postlex)
    if priority not in _PRIORITIES:
        raise StructgenError(f"priority={priority!r}: wanted 'auto', 'normal', 'invert' or None")
    if not isinstance(start, str):
        raise StructgenError(f"start={start!r}: wanted the name of one rule")
    if not isinstance(text, str):
        raise StructgenError(f"a grammar is a str, not {type(text).__name__}")
    source = Source(text)
    embed = dict(embed or {})
    indenter = _indenter(postlex) if postlex is not None else None
    keep = {indenter.NL_type} if indenter is not None else set()
    try:
        loaded, _ = load_grammar(source.text, source_path or "<string>", list(import_paths), False)
        check_templates([(str(n), tuple(p), t) for n, p, t, _ in loaded.rule_defs])
        for name, tree in [(str(n), t) for n, _, t, _ in loaded.rule_defs]:
            if tree is None:
                raise GrammarError(f"the rule {name!r} is declared but nowhere defined",
                                   hint="%declare is for terminals; give the rule a body")
            check_size(name, tree)
        terminals, rules, ignored = loaded.compile([start], keep)
    except StructgenError as err:
        raise _placed(err, source) from None
    except _errors.UnexpectedInput as err:
        raise _unexpected(err) from None
    except (_errors.LarkError, FileNotFoundError) as err:
        raise _translated(err, source) from None
    except RecursionError:
        raise GrammarError("the grammar is nested too deeply for Lark to read") from None
    except re.error as err:
        raise GrammarError(f"a regular expression that Python cannot read: {err}") from None
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as err:
        raise GrammarError(f"Lark cannot build this grammar: {type(err).__name__}: {err}") from None
    return _Builder(source, lexing, tables, start, priority, g_regex_flags, embed).build(
        terminals, rules, ignored, indenter)


def _mode(parser: str, lexer: str, postlex: Any) -> tuple[str, str]:
    if lexer == "auto":
        lexer = "contextual" if parser == "lalr" else "dynamic" if postlex is None else "basic"
    mode = _MODES.get((parser, lexer))
    if mode is None:
        raise StructgenError(f"parser={parser!r}, lexer={lexer!r} is no mode of Lark that structgen knows",
                             hint="earley with dynamic, dynamic_complete or basic; lalr with contextual or basic")
    if postlex is not None and mode[0].startswith("dynamic"):
        raise StructgenError("postlex doesn't work with the dynamic lexers", hint='parser="lalr" takes one')
    return mode


def _indenter(postlex: Any) -> _LarkIndenter:
    """The indenter that `postlex` is, provided that it behaves as Lark's does."""
    if postlex == "python":
        postlex = PythonIndenter
    if isinstance(postlex, type) and issubclass(postlex, _LarkIndenter):
        postlex = postlex()
    if not isinstance(postlex, _LarkIndenter):
        raise StructgenError("postlex: only indenters are supported",
                             hint='derive it from lark.indenter.Indenter; "python" is lark.indenter.PythonIndenter')
    for name in ("handle_NL", "_process", "process", "always_accept"):
        if getattr(type(postlex), name) is not getattr(_LarkIndenter, name):
            raise StructgenError(f"postlex: {type(postlex).__name__} overrides {name}, which structgen cannot follow")
    return postlex


class _Builder:
    """Numbers what Lark compiled."""

    def __init__(self, source: Source, lexing: str, tables: str, start: str, priority: Optional[str], flags: int,
                 embed: dict[str, Embeddable]):
        self.source = source
        self.lexing = lexing
        self.tables = tables
        self.start = start
        self.sign = {"invert": -1, None: 0}.get(priority, 1)
        self.flags = int(flags)
        self.embed = embed

    def error(self, message: str, name: str, hint: Optional[str] = None) -> GrammarError:
        at = self.source.definition(name)
        return GrammarError(message, line=at.line, column=at.column, hint=hint)

    def build(self, defs: list, rules: list, ignored: list[str], indenter: Optional[_LarkIndenter]) -> CfgGrammar:
        nonterminals = list(dict.fromkeys(str(r.origin.name) for r in rules))
        if self.start not in nonterminals:
            raise GrammarError(f"there is no rule {self.start!r} to start with",
                               hint=closest(self.start, self.source.names) or "name another with start=")
        made = {"INDENT_type", "DEDENT_type"}
        special = {getattr(indenter, n) for n in made} if indenter is not None else set()
        by_name = {d.name: d for d in defs}
        used = dict.fromkeys(s.name for r in rules for s in r.expansion if s.is_term)
        undefined = {s.name for r in rules for s in r.expansion if not s.is_term} - set(nonterminals)
        for name in undefined:
            raise self.error(f"the rule {name!r} is used but not defined", name, closest(name, nonterminals))
        terminals = [self.pattern(d) for d in defs]
        names = [d.name for d in defs] + [name for name in used if name not in by_name]
        terminals += [self.declared(name, special) for name in names[len(defs):]]
        for name in set(self.embed) - set(used):
            raise StructgenError(f"embed={{{name!r}: ...}}: the grammar uses no terminal of that name",
                                 hint=closest(name, used) or f"write `%declare {name}` and use it in a rule")
        if indenter is not None:
            for role in ("NL_type", "INDENT_type", "DEDENT_type"):
                name = getattr(indenter, role)
                if name not in by_name and name not in used:
                    raise StructgenError(f"postlex: the grammar has no terminal {name!r} ({role} of the indenter)")
        base = len(nonterminals)
        number = {name: i for i, name in enumerate(nonterminals)}
        number.update((name, base + i) for i, name in enumerate(names))
        out = CfgGrammar(
            nonterminals=tuple(nonterminals),
            terminals=tuple(terminals),
            rules=tuple(Rule(number[r.origin.name], tuple(number[s.name] for s in r.expansion),
                             self.sign * (r.options.priority or 0) if r.options else 0) for r in rules),
            start=number[self.start],
            lexing=self.lexing,
            tables=self.tables,
            ignore=tuple(dict.fromkeys(number[name] for name in ignored)),
            order=self.order(defs, number),
            keywords=self.keywords(defs, number),
            indenter=None if indenter is None else Indenter(
                number[indenter.NL_type], number[indenter.INDENT_type], number[indenter.DEDENT_type],
                frozenset(number[n] for n in indenter.OPEN_PAREN_types if n in number),
                frozenset(number[n] for n in indenter.CLOSE_PAREN_types if n in number), indenter.tab_len),
            places=tuple([self.source.definition(n) for n in nonterminals]
                         + [self.source.definition(t.name) if t.name in self.source.names else Place()
                            for t in terminals]),
        )
        return normalise(out, [base + i for i, t in enumerate(terminals) if t.match is not None and _never(t.match)])

    def pattern(self, d: Any) -> Terminal:
        """A terminal given by a text or an expression."""
        regexp = d.pattern.to_regexp()
        literal = d.pattern.value if isinstance(d.pattern, PatternStr) else None
        try:
            if literal is None or self.flags or d.pattern.flags:
                re.compile(regexp, self.flags)
            width, most = d.pattern.min_width, d.pattern.max_width
        except (re.error, _errors.LarkError, ValueError) as err:
            raise self.error(f"the terminal {d.name} is no regular expression that Python can read: {err}", d.name,
                             r"\p{...} and the like are not in Python's re" if r"\p" in regexp else None) from None
        if width == 0:
            raise self.error(f"the terminal {d.name} may match the empty text: {regexp}", d.name,
                             "make it match at least one character, and optional where it is used")
        if literal is None:
            try:
                parse_python(regexp, self.flags)
            except RegexError as err:
                raise self.error(f"the terminal {d.name}: {err.message}", d.name) from None
        return Terminal(d.name, match=Match(regexp, self.flags, literal, int(most)), priority=self.sign * d.priority)

    def declared(self, name: str, special: set[str]) -> Terminal:
        """A terminal that no text in the grammar defines."""
        if name in self.source.tokens:
            token = self.source.tokens[name]
            return Terminal(f"<[{token}]>" if isinstance(token, int) else token, token=token)
        if name in self.embed:
            given = self.embed[name]
            if getattr(given, "token", None) is not None:       # structgen.Token
                return Terminal(name, token=given.token)
            if not self.lexing.startswith("dynamic"):
                raise self.error(f"the terminal {name} is another constraint, which only the dynamic lexers take", name,
                                 'parser="earley" has one')
            return Terminal(name, embedded=given)
        if name in special:
            return Terminal(name, declared=True)
        raise self.error(f"the terminal {name} is declared, but nothing says what it is", name,
                         f"define it, or pass embed={{{name!r}: ...}} or a postlex that makes it")

    def order(self, defs: list, number: dict[str, int]) -> tuple[int, ...]:
        """Terminals in the order in which Lark's basic lexer tries them."""
        ranked = sorted(defs, key=lambda d: (-self.sign * d.priority, -d.pattern.max_width, -len(d.pattern.value),
                                             d.name))
        return tuple(number[d.name] for d in ranked)

    def keywords(self, defs: list, number: dict[str, int]) -> tuple[tuple[int, int, bool], ...]:
        """The texts that an expression of equal priority takes as a whole (lark.lexer._create_unless)."""
        if self.lexing not in ("basic", "contextual"):
            return ()
        out = []
        texts = [d for d in defs if isinstance(d.pattern, PatternStr)]
        for d in defs:
            if isinstance(d.pattern, PatternStr):
                continue
            tree = parse_python(d.pattern.to_regexp(), self.flags)
            for t in texts:
                if self.sign * (t.priority - d.priority) == 0:
                    text = t.pattern.value
                    if len(text) > MAX_KEYWORD:
                        raise self.error(f"a text of {len(text)} characters beside the terminal {d.name} of equal "
                                         "priority", d.name, f"keywords may have {MAX_KEYWORD}; give the terminal "
                                         "another priority")
                    if match_end(tree, text) == len(text):
                        out.append((number[d.name], number[t.name], t.pattern.flags <= d.pattern.flags))
        return tuple(out)


def _never(match: Match) -> bool:
    """Can the expression match nothing at all, whatever stands around it?"""
    if match.literal is not None:
        return False
    from ..regex.ast import Alt, Cat, Chars, Repeat

    def dead(node: Any) -> bool:
        if isinstance(node, Chars):
            return not node.ranges
        if isinstance(node, Cat):
            return any(map(dead, node.items))
        if isinstance(node, Alt):
            return all(map(dead, node.items))
        return isinstance(node, Repeat) and node.lo > 0 and dead(node.item)

    return dead(match.tree())


# -- errors -----------------------------------------------------------------------


_SHOWN = {"_NL": "the end of the line", "_NL_OR": "the end of the line", "$END": "the end of the text"}


def _unexpected(err: Any) -> GrammarError:
    token = getattr(err, "token", None)
    if token is None:
        what = "a character Lark does not know here"
    else:
        what = _SHOWN.get(token.type) or repr(str(token))
    return GrammarError(f"unexpected: {what}", line=err.line, column=err.column)


def _placed(err: StructgenError, source: Source) -> StructgenError:
    """The error with the place of the first name it quotes, if it has none."""
    if not isinstance(err, GrammarError) or err.line is not None:
        return err
    quoted = re.search(r"'(\w+)'", err.message)
    at = source.definition(quoted[1]) if quoted else Place()
    message = err.message
    return GrammarError(message, line=at.line, column=at.column, hint=err.hint)


def _translated(err: Exception, source: Source) -> GrammarError:
    """What Lark says, with the place and a hint."""
    text = str(err)
    where = re.search(r"(?:at )?line (\d+),? column (\d+)(?: in \S+)?", text)
    if where:
        head = text[:where.start()].strip().rstrip(",") or "unexpected input"
        return GrammarError(head[:1].lower() + head[1:], line=int(where[1]), column=int(where[2]))
    if isinstance(err, FileNotFoundError):
        path = str(err.filename)
        stem = path.removesuffix(".lark").replace("/", ".")
        found = re.search(rf"%import\s+\.?{re.escape(stem)}", source.original)
        at = source.at(found.start()) if found else Place()
        return GrammarError(f"there is no grammar {path!r} to import from", line=at.line, column=at.column,
                            hint="import_paths= lists the folders to look in")
    message = text.strip().split("\n\n(")[0]
    name = re.search(r"'(\w+)'|(?:defined|ignore|in|terminal|Token|rule|nonexisting \w+|\w+ \w+): ?\{?'?(\w+)", message)
    found_name = next((g for g in name.groups() if g), None) if name else None
    at, hint = Place(), None
    if found_name:
        if "not defined" in message or "undefined" in message:
            at, hint = source.use(found_name), closest(found_name, source.names - {found_name})
        else:
            at = source.definition(found_name)
    return GrammarError(message[:1].lower() + message[1:], line=at.line, column=at.column, hint=hint)


