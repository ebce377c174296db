"""The constraints a user writes down: ``sg.JsonSchema``, ``sg.Regex``, ``sg.Choice``.

Each holds what was asked for and, made once, the normal form the engine
compiles (:mod:`structgen.grammar.ir`).  :func:`constraint_of` turns anything
``schema=`` accepts into one.  Nothing here knows tokenizers.
"""

from __future__ import annotations

import copy
import os
import re
from typing import Any, Iterable, Mapping, Optional, Union

from .collector import without_collector
from .errors import SchemaError, StructgenError, UnsatisfiableSchema
from .grammar.ir import CoverageEntry, JsonGrammar, Options, TextGrammar
from .grammar.strings import Pattern, atom_lang, literal_lang

__all__ = ["Constraint", "JsonSchema", "Regex", "Choice", "constraint_of"]

Grammar = Union[JsonGrammar, TextGrammar]

#: Alternatives from which on an expression is read as a list of texts.
MANY_TEXTS = 16
_CHOICES = {
    "order": ("schema", "any"),
    "extra": ("schema", "closed"),
    "numbers": ("all", "plain"),
    "escapes": ("all", "minimal"),
}


class Constraint:
    """Base of what can be compiled; a text must be in its language."""

    #: pydantic adapter that reads values, for Python types
    adapter: Any = None
    #: are texts JSON values?
    is_json = False

    def grammar(self) -> Grammar:
        """The normal form, for one compiled object to own."""
        raise NotImplementedError

    @property
    def coverage(self) -> list[CoverageEntry]:
        """What became of each keyword; empty for plain text."""
        return []

    def value(self, text: str) -> Any:
        """What a finished text means."""
        return text

    # ``&``, ``-`` and ``~`` take regular constraints only; see structgen.combinators.

    def __and__(self, other: Any) -> "Constraint":
        from .combinators import both

        return both(self, other)

    def __rand__(self, other: Any) -> "Constraint":
        from .combinators import both

        return both(other, self)

    def __sub__(self, other: Any) -> "Constraint":
        from .combinators import minus

        return minus(self, other)

    def __rsub__(self, other: Any) -> "Constraint":
        from .combinators import minus

        return minus(other, self)

    def __invert__(self) -> "Constraint":
        from .combinators import without

        return without(self)

    def __or__(self, other: Any) -> "Constraint":
        from .combinators import Either

        return Either(self, other)

    def __ror__(self, other: Any) -> "Constraint":
        from .combinators import Either

        return Either(other, self)

    def __add__(self, other: Any) -> "Constraint":
        from .combinators import Seq

        return Seq(self, other)

    def __radd__(self, other: Any) -> "Constraint":
        from .combinators import Seq

        return Seq(other, self)


class JsonSchema(Constraint):
    """JSON values that satisfy a schema.

    Parameters
    ----------
    schema
        A dict or bool, JSON text, a path, a Pydantic model or any Python type,
        or a schema builder.
    order : {"schema", "any"}
        Keys in the order of the schema, or in any order.
    extra : {"schema", "closed"}
        Undeclared keys as the schema says, or never.  Default: ``"closed"`` for
        Python types, else ``"schema"``.
    whitespace : {"flexible", "compact", "json.dumps"} or str
        Bounded white space between lexemes, none, or Python's; any other text is
        a regular expression for what stands between two lexemes.
    numbers : {"all", "plain"}
        Every spelling of a number, or no exponents.
    escapes : {"all", "minimal"}
        Every spelling of a character, or only the necessary escapes.
    format : {"assert", "annotate"} or dict
        Whether formats are enforced; a dict says so by name.
    registry : mapping, optional
        Further schemas by URI for ``$ref``; nothing is ever fetched.
    lenient : bool
        Leave out what cannot be enforced and list it in `relaxed` (and, as
        ``"not enforced"``, in `coverage`), instead of refusing the schema.
    may_dead_end : bool
        Check what would be refused when the text is complete: exact, but a text
        may then lead nowhere (``compiled.may_dead_end``, ``DeadEndError``).

    Raises
    ------
    SchemaError
        With the JSON Pointer of the place.

    Examples
    --------
    >>> g = JsonSchema({"type": "integer", "minimum": 3})
    >>> [(e.keyword, e.status) for e in g.coverage]
    [('type', 'enforced'), ('minimum', 'enforced')]
    >>> JsonSchema(list[int]).value("[1, 2]")
    [1, 2]
    """

    is_json = True
    _validator: Any = None

    def __init__(self, schema: Any, *, order: str = "schema", extra: Optional[str] = None,
                 whitespace: str = "flexible", numbers: str = "all", escapes: str = "all",
                 format: Union[str, Mapping[str, bool]] = "assert",
                 registry: Optional[Mapping[str, Any]] = None, lenient: bool = False, may_dead_end: bool = False):
        from .frontends.json_schema import lower, read_schema
        from .frontends.python_types import builder_schema, is_python_type
        from .tokens.warmup import begin

        begin()
        self.notes: tuple[CoverageEntry, ...] = ()
        if is_python_type(schema):
            from .frontends.python_types import type_notes, type_schema

            self.schema, self.adapter = type_schema(schema)
            self.notes = type_notes(schema)
            extra = extra or "closed"
        else:
            built = builder_schema(schema)
            self.schema = read_schema(schema) if built is None else built
        self.options = _options(order=order, extra=extra or "schema", whitespace=whitespace,
                                numbers=numbers, escapes=escapes, format=format)
        self.registry = registry
        if lenient and may_dead_end:
            raise StructgenError("lenient leaves out what may_dead_end would check: choose one")
        self.lenient = lenient
        self.may_dead_end = may_dead_end
        self._extra_given = extra is not None
        self._lower = lower
        self._grammar: Optional[JsonGrammar] = self._lowered()
        self._first: Optional[JsonGrammar] = self._grammar

    def closed(self) -> "JsonSchema":
        """The same without undeclared keys, unless `extra` was given; for canvases.

        Examples
        --------
        >>> JsonSchema({"type": "object"}).closed().options.extra
        'closed'
        """
        if self._extra_given:
            return self
        other = copy.copy(self)
        other.options = self.options._replace(extra="closed")
        other._grammar = other._first = other._lowered()
        return other

    def _lowered(self) -> JsonGrammar:
        grammar = self._lower(self.schema, self.options, registry=self.registry,
                              lenient=self.lenient or self.may_dead_end)
        if self.may_dead_end and grammar.relaxed:
            grammar.check = self._check
        if self.adapter is not None:
            grammar.float_integers = False      # an int is written in digits: none holds 1e999999
        return grammar

    def _check(self, text: bytes) -> Optional[str]:
        """What is wrong with a complete text, None if nothing is."""
        if self._validator is None:
            from .validation import Validator

            self._validator = Validator(self.schema, registry=self.registry, format=self.options.format)
        found = self._validator.check_text(text)
        return str(found[0]) if found else None

    def grammar(self) -> JsonGrammar:
        # nodes are made on demand under the lock of the arena that owns the grammar
        first, self._first = self._first, None
        return first if first is not None else self._lowered()

    @property
    def coverage(self) -> list[CoverageEntry]:
        return [*self._grammar.coverage, *self.notes]

    @property
    def relaxed(self) -> list[CoverageEntry]:
        """With ``lenient=True``: the places that are not enforced, and would be refused without it.

        Examples
        --------
        >>> JsonSchema({"type": "string", "minLength": 3}, lenient=True).relaxed
        []
        """
        places = set() if self.may_dead_end else set(self._grammar.relaxed)
        return [e for e in self._grammar.coverage if (e.pointer, e.keyword) in places]

    @property
    def impossible(self) -> list[CoverageEntry]:
        """Parts of the schema that no valid value has: dead branches, properties that can never be present.

        Examples
        --------
        >>> schema = {"type": "integer", "anyOf": [{"minimum": 3}, {"type": "string"}]}
        >>> [(e.pointer, e.note) for e in JsonSchema(schema).impossible]
        [('#/anyOf/1', 'no valid value is in this branch')]
        """
        from .frontends.json_schema.impossible import impossible_parts

        return impossible_parts(self._lowered())

    def value(self, text: str) -> Any:
        from .decoding.values import to_value

        return to_value(self.adapter, text)

    def __repr__(self) -> str:
        return f"JsonSchema({self.schema!r:.100})"


def _options(**given: Any) -> Options:
    for name, allowed in _CHOICES.items():
        if given[name] not in allowed:
            raise StructgenError(f"{name}={given[name]!r}: wanted one of {', '.join(map(repr, allowed))}")
    if not isinstance(given["whitespace"], str):
        raise StructgenError(f"whitespace={given['whitespace']!r}: wanted 'flexible', 'compact', 'json.dumps' "
                             "or a regular expression")
    form = given["format"]
    if isinstance(form, Mapping):
        given["format"] = dict(form)
        if not all(isinstance(k, str) and isinstance(v, bool) for k, v in form.items()):
            raise StructgenError("format={...}: wanted a bool for each format name")
    elif form not in ("assert", "annotate"):
        raise StructgenError(f"format={form!r}: wanted 'assert', 'annotate' or a dict of bools by name")
    return Options(**given)


class Regex(Constraint):
    """Texts that a regular expression matches from end to end.

    Parameters
    ----------
    pattern : str or re.Pattern
        The expression.
    mode : {"python", "ecma"}
        Its dialect: Python's ``re`` or ECMA-262 with the ``u`` flag.

    Raises
    ------
    RegexError
        With the position, if it cannot be read.

    Examples
    --------
    >>> Regex(r"[A-Z]{3}-\\d{4}")
    Regex('[A-Z]{3}-\\\\d{4}')
    """

    def __init__(self, pattern: Union[str, "re.Pattern[str]"], mode: str = "python"):
        if isinstance(pattern, re.Pattern):
            if mode != "python":
                raise StructgenError("a compiled Python pattern with mode='ecma'")
            pattern = _with_flags(pattern)
        if not isinstance(pattern, str):
            raise StructgenError(f"a regular expression is a str, not {type(pattern).__name__}")
        if mode not in ("python", "ecma"):
            raise StructgenError(f"mode={mode!r}: wanted 'python' or 'ecma'")
        from .automata.counted import counted_nfa
        from .automata.nfa import atom_nfa
        from .frontends.regex import parse_ecma, parse_python

        self.pattern, self.mode = pattern, mode
        # in an ECMA expression positions of errors count in what the user wrote
        texts = _plain_texts(pattern) or _texts(parse_python(pattern) if mode == "python" else parse_ecma(pattern))
        if texts is not None:
            self._grammar = TextGrammar(literal_lang(texts))
            return
        # an ECMA atom is a search; anchored on both sides it is a full match
        atom = Pattern("python", pattern) if mode == "python" else Pattern("ecma", f"^(?:{pattern})$")
        try:
            with without_collector():
                nfa = counted_nfa(atom)
        except StructgenError:
            if mode == "ecma":
                atom_nfa(Pattern("ecma", pattern))      # the same, said of what the user wrote
            raise
        if not len(nfa.start):
            raise UnsatisfiableSchema(f"no text matches the regular expression {pattern!r}")
        self._grammar = TextGrammar(atom_lang(atom))

    def grammar(self) -> TextGrammar:
        return self._grammar

    def __repr__(self) -> str:
        return f"Regex({self.pattern!r})" if self.mode == "python" else f"Regex({self.pattern!r}, mode='ecma')"


def _with_flags(pattern: "re.Pattern") -> Any:
    """The source of a compiled pattern with its flags written in front."""
    if not isinstance(pattern.pattern, str):
        return pattern.pattern
    letters = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x", re.ASCII: "a"}
    flags = "".join(c for flag, c in letters.items() if pattern.flags & flag)
    if pattern.pattern.startswith("(?") and re.match(r"\(\?[aiLmsux]+\)", pattern.pattern):
        return pattern.pattern          # they are written there already
    return f"(?{flags}){pattern.pattern}" if flags else pattern.pattern


#: texts without anything that has a meaning in an expression, with bars between them
_PLAIN = re.compile(r"[^\\^$.*+?()\[\]{}|\ud800-\udfff]+(?:\|[^\\^$.*+?()\[\]{}|\ud800-\udfff]+)*")


def _plain_texts(pattern: str) -> Optional[list[str]]:
    """As `_texts`, for expressions that need not be parsed for that."""
    if pattern.count("|") < MANY_TEXTS - 1 or not _PLAIN.fullmatch(pattern):
        return None
    return pattern.split("|")


def _texts(tree: Any) -> Optional[list[str]]:
    """The texts of an expression that is a long list of texts; None of others.  Their automaton is a trie."""
    from .frontends.regex.ast import Alt, Cat, Chars

    if type(tree) is not Alt or len(tree.items) < MANY_TEXTS:
        return None
    out = []
    for item in tree.items:
        letters = item.items if type(item) is Cat else (item,)
        if not letters or not all(type(c) is Chars and len(c.ranges) == 1 and c.ranges[0][0] == c.ranges[0][1]
                                  for c in letters):
            return None
        out.append("".join([chr(c.ranges[0][0]) for c in letters]))
    return out


class Choice(Constraint):
    """One of a list of texts.

    Examples
    --------
    >>> Choice(["yes", "no"])
    Choice(['yes', 'no'])
    """

    def __init__(self, options: Iterable[str]):
        if isinstance(options, (str, bytes)):
            raise StructgenError("Choice takes a list of texts, not one text", hint=f"Choice([{options!r}])")
        self.options = list(options)
        if set(map(type, self.options)) != {str}:
            for text in self.options:
                if not isinstance(text, str):
                    raise StructgenError(f"Choice takes texts, not {type(text).__name__}: {text!r}",
                                         hint="for other values give a type: Literal[1, 2] or an Enum")
        try:
            "".join(self.options).encode()      # a million at once
        except UnicodeEncodeError:
            for text in self.options:
                if any("\ud800" <= c <= "\udfff" for c in text):
                    raise StructgenError(f"{text!r} is no valid text: it holds half a surrogate pair") from None
        if not self.options:
            raise UnsatisfiableSchema("a Choice without options allows no text")
        self._grammar = TextGrammar(literal_lang(self.options))

    def grammar(self) -> TextGrammar:
        return self._grammar

    def __repr__(self) -> str:
        return f"Choice({self.options!r:.100})"


class _Plain(Constraint):
    """A normal form given directly."""

    def __init__(self, grammar: Grammar):
        self._grammar = grammar
        self.is_json = isinstance(grammar, JsonGrammar)

    def grammar(self) -> Grammar:
        return self._grammar

    @property
    def coverage(self) -> list[CoverageEntry]:
        return list(getattr(self._grammar, "coverage", ()))

    def value(self, text: str) -> Any:
        if not self.is_json:
            return text
        from .decoding.values import to_value

        return to_value(None, text)


def constraint_of(schema: Any) -> Constraint:
    """Anything that ``schema=`` accepts, as a `Constraint`.

    Examples
    --------
    >>> import re
    >>> constraint_of(re.compile("a+")), constraint_of({"type": "null"})
    (Regex('a+'), JsonSchema({'type': 'null'}))
    """
    if isinstance(schema, Constraint):
        return schema
    if isinstance(schema, (JsonGrammar, TextGrammar)):
        return _Plain(schema)
    if isinstance(schema, re.Pattern):
        return Regex(schema)
    if schema is None:
        raise SchemaError("no schema given", hint="type(None) is the type of null")
    if isinstance(schema, (list, tuple, set, frozenset)):
        raise SchemaError(f"a {type(schema).__name__} is no schema",
                          hint="for one of several texts: structgen.Choice([...])")
    if isinstance(schema, (dict, bool, str, bytes, os.PathLike)):
        return JsonSchema(schema)
    return JsonSchema(schema)
