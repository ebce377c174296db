"""Recursive schemas as context-free grammars over bytes.

Scalars and keys are terminals, whose automata come from the engine of schemas
itself (:mod:`.byte_dfa`); arrays and objects are rules.  Lists are left-recursive,
so that a stack is as deep as the value, not as long.

Covered: objects in the order of the schema without undeclared keys, dependencies,
clauses (what ``not`` and ``oneOf`` ask of whole objects) and bounds on the number
of keys that their keys do not imply; arrays without counted or distinct items;
compact white space or that of ``json.dumps``.  Others are refused by name.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Optional

import numpy as np

from ..automata.cfg_program import Program
from ..automata.lr import general_tables
from ..automata.terminals import Automaton
from ..errors import LimitError, UnsupportedSchema
from ..grammar.cfg import CfgGrammar, Rule, Terminal, normalise
from ..grammar.ir import ArrayAlt, JsonGrammar, ObjectAlt, Options, ValueNode
from ..grammar.strings import literal_lang
from .byte_dfa import byte_dfa

__all__ = ["json_program", "JsonProgram"]

#: most value nodes, rules, and items of an array that are counted
MAX_NODES, MAX_RULES, MAX_ITEMS = 5_000, 40_000, 256
_SEPARATORS = {"compact": (b",", b":"), "json.dumps": (b", ", b": ")}


class JsonProgram(Program):
    """The tables of a grammar whose terminals' automata are given."""

    def __init__(self, grammar: CfgGrammar, automata: list[Automaton]):
        self.source = grammar
        of = {id(t): a for t, a in zip(grammar.terminals, automata)}
        self.grammar = grammar = normalise(grammar)
        self.automata = [of[id(t)] for t in grammar.terminals]
        self.nt = self.nx = len(grammar.terminals)
        self.ignored: list[int] = []
        self.lr = general_tables(grammar)
        self._layout([(a, False) for a in self.automata])
        self._firsts()
        self.look = self._looks()
        self.kappa, self.first_at = np.zeros(self.lr.ns + 1, np.int32), np.zeros(1, np.int64)
        self._shapes: dict[int, Any] = {}
        self._plain()
        self.safe = False


class _Scalar(JsonGrammar):
    """One node without arrays and objects."""

    def __init__(self, node: ValueNode, like: JsonGrammar):
        super().__init__(Options(whitespace="compact", numbers=like.options.numbers, escapes=like.options.escapes))
        self.float_integers = like.float_integers
        self._nodes[0] = node


def json_program(grammar: JsonGrammar) -> JsonProgram:
    """The program of a schema.

    Raises
    ------
    UnsupportedSchema
        For what canvases under recursive schemas do not cover.
    """
    return _Lowered(grammar).program()


def _refused(what: str, hint: Optional[str] = None) -> UnsupportedSchema:
    return UnsupportedSchema(f"canvases under recursive schemas do not cover {what}", hint=hint)


class _Lowered:
    def __init__(self, grammar: JsonGrammar):
        self.grammar = grammar
        options = grammar.options
        if options.whitespace not in _SEPARATORS:
            raise _refused(f"whitespace={options.whitespace!r}, which depends on how deep a value is"
                           if options.whitespace == "flexible" else f"whitespace={options.whitespace!r}",
                           "compile with whitespace='compact' or 'json.dumps'")
        if options.order == "any":
            raise _refused("order='any'", "compile with order='schema'")
        self.comma, self.colon = _SEPARATORS[options.whitespace]
        self.names: list[str] = []
        self.terminals: list[Terminal] = []
        self.automata: list[Automaton] = []
        #: rules with nonterminals 0.. and terminals -1 ..
        self.rules: list[tuple[int, tuple[int, ...]]] = []
        self._nodes: dict[int, int] = {}
        self._todo: list[int] = []
        self._known: dict[Any, int] = {}

    def program(self) -> JsonProgram:
        start = self._node(self.grammar.root)
        while self._todo:
            if len(self._nodes) > MAX_NODES or len(self.rules) > MAX_RULES:
                raise LimitError("the schema is too large for a canvas", place="rules of a canvas", limit=MAX_RULES)
            self._value(self._todo.pop())
        n = len(self.names)
        rules = tuple(dict.fromkeys(Rule(lhs, tuple(s if s >= 0 else n - 1 - s for s in rhs))
                                    for lhs, rhs in self.rules))
        return JsonProgram(CfgGrammar(tuple(self.names), tuple(self.terminals), rules, start), self.automata)

    # ---------------------------------------------------------------- symbols
    def _rule(self, name: str) -> int:
        self.names.append(name)
        return len(self.names) - 1

    def _terminal(self, key: Any, name: str, make) -> int:
        """The (negative) symbol of a terminal, made once; equal automata are one terminal."""
        found = self._known.get(key)
        if found is None:
            automaton = make()
            content = automaton.trans.tobytes(), automaton.end.tobytes()
            found = self._known.get(content)
            if found is None:
                found = -1 - len(self.terminals)
                self.terminals.append(Terminal(name))
                self.automata.append(automaton)
                self._known[content] = found
            self._known[key] = found
        return found

    def _text(self, data: bytes) -> int:
        return self._terminal(data, data.decode(), lambda: _joined(data, None, b""))

    def _scalar(self, node: ValueNode, name: str) -> int:
        return self._terminal(node, name, lambda: _joined(b"", self._bytes(node), b""))

    def _key(self, name: str, before: bytes) -> int:
        string = ValueNode(string=literal_lang([name]))
        return self._terminal((string, before), before.decode() + repr(name),
                              lambda: _joined(before, self._bytes(string), self.colon))

    def _bytes(self, node: ValueNode) -> Any:
        return byte_dfa(SimpleNamespace(grammar=_Scalar(node, self.grammar), source=None))

    # ---------------------------------------------------------------- values
    def _node(self, i: int) -> int:
        if i not in self._nodes:
            self._nodes[i] = self._rule(f"value {i}")
            self._todo.append(i)
        return self._nodes[i]

    def _value(self, i: int) -> None:
        node, lhs = self.grammar.node(i), self._nodes[i]
        scalar = node._replace(arrays=(), objects=())
        if scalar != ValueNode():
            self.rules.append((lhs, (self._scalar(scalar, f"scalar of {self.names[lhs]}"),)))
        for array in node.arrays:
            self.rules.append((lhs, (self._array(array, self.names[lhs]),)))
        for thing in node.objects:
            self.rules.append((lhs, (self._object(thing, self.names[lhs]),)))

    def _array(self, alt: ArrayAlt, name: str) -> int:
        if alt.counts or alt.unique:
            raise _refused("arrays that count their items (contains) or whose items differ (uniqueItems)")
        counted = max(len(alt.prefix), alt.min, 1 if alt.max is None else alt.max)
        if counted > MAX_ITEMS:
            raise LimitError(f"an array counts up to {counted} items", place="items of an array in a canvas",
                             limit=MAX_ITEMS)
        whole = self._rule(f"array of {name}")
        opened, closed, comma = self._text(b"["), self._text(b"]"), self._text(self.comma)
        if alt.min == 0:
            self.rules.append((whole, (opened, closed)))
        before = -1
        for k in range(1, counted + 1):
            if alt.max is not None and k > alt.max:
                break
            child = alt.prefix[k - 1] if k <= len(alt.prefix) else alt.items
            if child < 0:
                break
            here = self._rule(f"{k} items of {name}")
            self.rules.append((here, (self._node(child),) if k == 1 else (before, comma, self._node(child))))
            if k >= alt.min:
                self.rules.append((whole, (opened, here, closed)))
            if k == counted and alt.max is None and alt.items >= 0:
                self.rules.append((here, (here, comma, self._node(alt.items))))
            before = here
        return whole

    def _object(self, alt: ObjectAlt, name: str) -> int:
        if alt.extra is not None:
            raise _refused("undeclared keys", "compile with extra='closed'")
        if alt.deps or alt.clauses:
            raise _refused("conditions between the keys of an object (dependencies, not, oneOf of objects)")
        n = len(alt.names)
        live = [k for k in range(n) if alt.nodes[k] >= 0]
        needed = [k for k in live if alt.required[k]]
        if alt.min > len(needed) or (alt.max is not None and alt.max < len(live)):
            raise _refused("bounds on the number of keys of an object")
        whole = self._rule(f"object of {name}")
        opened, closed = self._text(b"{"), self._text(b"}")
        if not needed:
            self.rules.append((whole, (opened, closed)))
        upto: dict[int, int] = {}
        for place, k in enumerate(live):
            here = upto[k] = self._rule(f"keys of {name} up to {alt.names[k]!r}")
            value = self._node(alt.nodes[k])
            earlier = live[:place]
            if not any(alt.required[j] for j in earlier):
                self.rules.append((here, (self._key(alt.names[k], b""), value)))
            for j in reversed(earlier):
                self.rules.append((here, (upto[j], self._key(alt.names[k], self.comma), value)))
                if alt.required[j]:
                    break
            if not any(alt.required[j] for j in live[place + 1:]):
                self.rules.append((whole, (opened, here, closed)))
        return whole


def _joined(before: bytes, dfa: Any, after: bytes) -> Automaton:
    """The automaton of `before`, then a text of `dfa` that nothing continues, then `after`."""
    if dfa is None:
        step, ends = np.full((1, 256), -1, np.int32), np.array([True])
    else:
        step, ends = dfa.next, dfa.accepting
    b, n, a = len(before), len(ends), len(after)
    trans = np.full((b + n + a, 256), -1, np.int32)
    trans[np.arange(b), np.frombuffer(before, np.uint8)] = np.arange(1, b + 1)
    trans[b:b + n] = np.where(step >= 0, step + b, -1)
    end = np.zeros(b + n + a, bool)
    if a:
        trans[b + np.flatnonzero(ends), after[0]] = b + n
        trans[b + n + np.arange(a - 1), np.frombuffer(after[1:], np.uint8)] = b + n + 1 + np.arange(a - 1)
        end[-1] = True
    else:
        end[b:b + n] = ends
    return Automaton(trans, end)
