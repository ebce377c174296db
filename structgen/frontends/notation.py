"""From the syntax trees of GBNF and EBNF to :class:`CfgGrammar`.

Both notations describe texts character by character (``scannerless``).  Read
literally, every character class would be a terminal; a parser over single
characters is slow.  So whatever is regular becomes one terminal: rules that
don't use themselves, rules that use themselves only at one end of an
alternative (``ws ::= ([ \\t] ws)?``), and within a rule each longest run of
such parts.  The language stays the same, since a scannerless grammar means
concatenation.

A rule is left a rule when its expression would be larger than `MAX_SIZE`.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Union

from ..errors import GrammarError
from ..grammar.cfg import CfgGrammar, Place, Terminal
from ..grammar.cfg_build import CfgBuilder
from ..grammar.strings import NO_STRING, Expr, Pattern, StrLang, atom_lang, complement, intersect, literal_lang
from ..grammar.strings import union as union_of
from .names import closest

__all__ = ["Literal", "Class", "Ref", "Cat", "Alt", "Rep", "Special", "Minus", "Node", "Definition", "assemble"]

#: most characters, counted with repetitions, in the expression of one terminal
MAX_SIZE = 20_000
#: most groups inside each other in the expression of one terminal
MAX_NESTING = 60


class Literal(NamedTuple):
    """A text."""

    text: str


class Class(NamedTuple):
    """One character out of ranges, as the inside of a Python character class; "" is none at all."""

    source: str


class Ref(NamedTuple):
    """Another rule."""

    name: str
    place: Place


class Cat(NamedTuple):
    """One after another."""

    items: "tuple[Node, ...]"


class Alt(NamedTuple):
    """One of several."""

    items: "tuple[Node, ...]"


class Rep(NamedTuple):
    """Repeated; `hi` None: no upper bound."""

    item: "Node"
    lo: int
    hi: Optional[int]


class Special(NamedTuple):
    """A special token."""

    token: Union[int, str]


class Minus(NamedTuple):
    """What is in `item` and not in `but`; both must be regular."""

    item: "Node"
    but: "Node"
    place: Place


Node = Union[Literal, Class, Ref, Cat, Alt, Rep, Special, Minus]


class Definition(NamedTuple):
    """A rule."""

    name: str
    body: Node
    place: Place


class _Regular(NamedTuple):
    """A regular part: its language, a Python expression for it where there is one, its size and nesting."""

    lang: StrLang
    source: Optional[str]
    size: int
    depth: int = 0


def _of_source(source: str, size: int, depth: int = 0) -> _Regular:
    return _Regular(atom_lang(Pattern("python", source)), source, size, depth)


class _Assembler:
    def __init__(self, rules: "dict[str, Definition]"):
        self.rules = rules
        self.memo: dict[int, tuple] = {}
        self.recursive, order = self._recursive()
        self.builder = CfgBuilder()
        self.regular_rules: "dict[str, Optional[_Regular]]" = {}
        self.symbols: dict[str, int] = {}
        self.current = ""
        for name in order:                              # those that others use come first
            self.rule_regular(name)

    # -- which rules use themselves ------------------------------------------------

    def _recursive(self) -> "tuple[set[str], list[str]]":
        """The rules that lie on a cycle, and all rules, users last (Tarjan's components, without recursion)."""
        uses = {name: tuple(dict.fromkeys(_refs(rule.body))) for name, rule in self.rules.items()}
        index: dict[str, int] = {}
        low: dict[str, int] = {}
        on: set[str] = set()
        stack: list[str] = []
        out: set[str] = set()
        order: list[str] = []
        for root in uses:
            if root in index:
                continue
            work = [(root, iter(uses[root]))]
            index[root] = low[root] = len(index)
            stack.append(root)
            on.add(root)
            while work:
                name, rest = work[-1]
                for other in rest:
                    if other not in index:
                        index[other] = low[other] = len(index)
                        stack.append(other)
                        on.add(other)
                        work.append((other, iter(uses[other])))
                        break
                    if other in on:
                        low[name] = min(low[name], index[other])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[name])
                    if low[name] == index[name]:
                        component = []
                        while True:
                            member = stack.pop()
                            on.discard(member)
                            component.append(member)
                            if member == name:
                                break
                        order += component
                        if len(component) > 1 or name in uses[name]:
                            out.update(component)
        return out, order

    # -- regular parts ---------------------------------------------------------------

    def rule_regular(self, name: str) -> Optional[_Regular]:
        """The language of a rule, if it is regular and small enough."""
        if name in self.regular_rules:
            return self.regular_rules[name]
        self.regular_rules[name] = None                 # where a cycle is met: not regular
        body = self.rules[name].body
        found = self.linear(name, body) if name in self.recursive else self.regular(body)
        self.regular_rules[name] = found
        return found

    def linear(self, name: str, body: Node) -> Optional[_Regular]:
        """A rule that uses itself only at the right (or only at the left) end of alternatives."""
        options = _options(body)
        if options is None:
            return None
        for right in (True, False):
            loops, exits = [], []
            for items in options:
                at = items[-1:] if right else items[:1]
                rest = items[:-1] if right else items[1:]
                if at and isinstance(at[0], Ref) and at[0].name == name:
                    loops.append(Cat(rest))
                else:
                    exits.append(Cat(items))
            if not loops or any(name in _refs(x) for x in (*loops, *exits)):
                continue
            loop = Rep(Alt(tuple(loops)), 0, None)
            return self.regular(Cat((loop, Alt(tuple(exits))) if right else (Alt(tuple(exits)), loop)))
        return None

    def regular(self, node: Node) -> Optional[_Regular]:
        """The language of a part, if it is regular and small enough."""
        known = self.memo.get(id(node))
        if known is None:
            found = self._regular(node)
            if found is not None and (found.size > MAX_SIZE or found.depth > MAX_NESTING):
                found = None
            known = self.memo[id(node)] = (node, found)         # with the node, so that its id stays its own
        return known[1]

    def _regular(self, node: Node) -> Optional[_Regular]:
        if isinstance(node, Literal):
            return _Regular(literal_lang([node.text]), re.escape(node.text), len(node.text) + 1)
        if isinstance(node, Class):
            return _of_source(f"[{node.source}]", 1) if node.source else _NOTHING
        if isinstance(node, Ref):
            return self.rule_regular(node.name)
        if isinstance(node, (Cat, Alt)):
            parts = [self.regular(item) for item in node.items]
            if any(part is None for part in parts):
                return None
            return _join(parts, isinstance(node, Cat))
        if isinstance(node, Rep):
            part = self.regular(node.item)
            if part is None:
                return None
            lo, hi = node.lo, node.hi
            if part.lang == NO_STRING:
                return _Regular(literal_lang([""]), "", 1) if lo == 0 else _NOTHING
            size = part.size * max(lo, hi or 1)
            if size > MAX_SIZE:
                return None
            if part.source is not None:
                times = "*" if (lo, hi) == (0, None) else "+" if (lo, hi) == (1, None) else "?" if (lo, hi) == (0, 1) \
                    else f"{{{lo},{'' if hi is None else hi}}}"
                return _of_source(f"(?:{part.source}){times}", size, part.depth + 1)
            return _Regular(atom_lang(Pattern("regular", Expr("repeat", (part.lang,), lo, hi))), None, size,
                            part.depth + 1)
        if isinstance(node, Minus):
            a, b = self.regular(node.item), self.regular(node.but)
            if a is None or b is None:
                raise GrammarError("'-' stands between parts that are not both regular", line=node.place.line,
                                   column=node.place.column, hint="neither side may use a rule that uses itself")
            return _Regular(intersect(a.lang, complement(b.lang)), None, a.size + b.size,
                            max(a.depth, b.depth) + 1)
        return None

    # -- rules ---------------------------------------------------------------------------

    def symbol(self, name: str) -> int:
        """The symbol of a rule; its body is compiled when it is first used."""
        found = self.symbols.get(name)
        if found is not None:
            return found
        rule = self.rules[name]
        regular = self.rule_regular(name)
        if regular is not None:
            out = self.symbols[name] = self.builder.lang(name, regular.lang, rule.place)
            return out
        out = self.symbols[name] = self.builder.nonterminal(name, rule.place)
        self.pending.append(name)
        return out

    def run(self, start: str) -> CfgGrammar:
        """The grammar that begins with rule `start`."""
        self.pending: list[str] = []
        first = self.symbol(start)
        for name in self.pending:                       # grows
            self.current = name
            for items in self.alternatives(self.rules[name].body):
                self.builder.rule(self.symbols[name], items)
        return self.builder.build(first)

    def alternatives(self, node: Node) -> "list[list[int]]":
        """The right sides a part stands for."""
        if isinstance(node, Alt):
            regular = [item for item in node.items if self.regular(item) is not None]
            rest = [item for item in node.items if self.regular(item) is None]
            every = Alt(tuple(regular))
            if len(regular) > 1 and self.regular(every) is not None:
                regular = [every]
            out = [self.sequence([item]) for item in regular]
            for item in rest:
                out += self.alternatives(item)
            return out
        if isinstance(node, Cat):
            return [self.sequence(list(node.items))]
        return [self.sequence([node])]

    def sequence(self, items: "list[Node]") -> list[int]:
        """Symbols for parts one after another; runs of regular parts are one terminal each."""
        flat: list[Node] = []
        stack = list(reversed(items))
        while stack:
            item = stack.pop()
            if isinstance(item, Cat) and self.regular(item) is None:
                stack.extend(reversed(item.items))
            else:
                flat.append(item)
        out: list[int] = []
        run: list[Node] = []

        def close() -> None:
            if run:
                only = run[0] if len(run) == 1 else Cat(tuple(run))
                regular = self.regular(only)
                if regular is None:                     # too large together
                    for part in run:
                        out.append(self.lang(part))
                elif regular.source != "":
                    out.append(self.lang(only))
                run.clear()

        for item in flat:
            if self.regular(item) is not None:
                run.append(item)
                continue
            close()
            out.append(self.part(item))
        close()
        return out

    def lang(self, node: Node) -> int:
        if isinstance(node, Ref):
            return self.symbol(node.name)
        regular = self._regular(node)
        if isinstance(node, Literal):
            return self.builder.text(node.text)
        name = f"/{regular.source}/" if regular.source is not None else f"part of {self.current}"
        return self.builder.lang(name if len(name) <= 80 else name[:77] + "...", regular.lang)

    def part(self, node: Node) -> int:
        """The symbol of a part that is not regular."""
        if isinstance(node, Ref):
            return self.symbol(node.name)
        if isinstance(node, (Literal, Class)):          # too large to be part of anything
            return self.lang(node)
        if isinstance(node, Special):
            shown = f"<[{node.token}]>" if isinstance(node.token, int) else node.token
            return self.builder.terminal(Terminal(shown, token=node.token))
        if isinstance(node, Rep):
            regular = self.regular(node.item)
            inner = self.lang(node.item) if regular is not None else \
                self.builder.alternatives(self.alternatives(node.item), self.current)
            return self.builder.repeat(inner, node.lo, node.hi, self.current)
        return self.builder.alternatives(self.alternatives(node), self.current)


_NOTHING = _Regular(NO_STRING, "(?!)", 1)


def _join(parts: "list[_Regular]", cat: bool) -> _Regular:
    if any(p.lang == NO_STRING for p in parts):             # so that empty languages are seen to be
        if cat:
            return _NOTHING
        parts = [p for p in parts if p.lang != NO_STRING]
    size, depth = sum(p.size for p in parts), max([p.depth for p in parts], default=0) + 1
    if not parts:
        return _Regular(literal_lang([""]), "", 1) if cat else _NOTHING
    if len(parts) == 1:
        return parts[0]
    if all(p.source is not None for p in parts):
        if cat:
            source = "".join(p.source if "|" not in p.source else f"(?:{p.source})" for p in parts)
            return _of_source(source, size, depth)
        return _of_source("|".join(p.source for p in parts), size, depth)
    if cat:
        return _Regular(atom_lang(Pattern("regular", Expr("cat", tuple(p.lang for p in parts)))), None, size, depth)
    lang = parts[0].lang
    for p in parts[1:]:
        lang = union_of(lang, p.lang)
    return _Regular(lang, None, size, depth)


def _refs(node: Node) -> "list[str]":
    """The names of rules used in a part."""
    out: list[str] = []
    stack = [node]
    while stack:
        at = stack.pop()
        if isinstance(at, Ref):
            out.append(at.name)
        elif isinstance(at, (Cat, Alt)):
            stack.extend(at.items)
        elif isinstance(at, Rep):
            stack.append(at.item)
        elif isinstance(at, Minus):
            stack += [at.item, at.but]
    return out


def _options(node: Node, depth: int = 0) -> "Optional[list[tuple[Node, ...]]]":
    """A body as a few alternatives, optional groups written out; None if that would be many."""
    if isinstance(node, Alt):
        out: list[tuple[Node, ...]] = []
        for item in node.items:
            some = _options(item, depth + 1)
            if some is None:
                return None
            out += some
        return out if len(out) <= 64 else None
    if isinstance(node, Rep) and (node.lo, node.hi) == (0, 1):
        some = _options(node.item, depth + 1)
        return None if some is None else [*some, ()]
    if isinstance(node, Cat):
        if len(node.items) == 1 and depth < 50:
            return _options(node.items[0], depth + 1)
        return [node.items]
    return [(node,)]


def assemble(rules: "list[Definition]", start: str) -> CfgGrammar:
    """The grammar of some rules.

    Raises
    ------
    GrammarError
        For a rule defined twice or not at all, or if no text can be derived.
    """
    by_name: dict[str, Definition] = {}
    for rule in rules:
        if rule.name in by_name:
            first = by_name[rule.name].place
            raise GrammarError(f"the rule {rule.name!r} is defined twice", line=rule.place.line,
                               column=rule.place.column, hint=f"it was first in line {first.line}")
        by_name[rule.name] = rule
    if start not in by_name:
        raise GrammarError(f"there is no rule {start!r} to start with", hint=closest(start, by_name))
    for rule in rules:
        stack: list[Node] = [rule.body]
        while stack:
            at = stack.pop()
            if isinstance(at, Ref) and at.name not in by_name:
                raise GrammarError(f"the rule {at.name!r} is used but not defined", line=at.place.line,
                                   column=at.place.column, hint=closest(at.name, by_name))
            if isinstance(at, (Cat, Alt)):
                stack.extend(at.items)
            elif isinstance(at, Rep):
                stack.append(at.item)
            elif isinstance(at, Minus):
                stack += [at.item, at.but]
    return _Assembler(by_name).run(start)
