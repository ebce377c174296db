"""Putting constraints together: ``Seq``, ``Either``, ``Optional``, ``Repeat``, ``Text``, ``Token``, ``Substring``.

Any constraint may stand in any other, and a text stands for itself.  What is
made of regular parts only stays regular, so one automaton reads it, and it may
be intersected (``&``), subtracted (``-``) and complemented (``~``).  With a
JSON Schema, a grammar or a special token inside it becomes a context-free
grammar (:mod:`structgen.grammar.cfg`).
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Optional as Maybe, Union

from .constraints import Choice, Constraint, constraint_of
from .errors import LimitError, StructgenError, UnsatisfiableSchema
from .grammar.cfg import CfgGrammar, Terminal
from .grammar.cfg_build import CfgBuilder
from .grammar.ir import TextGrammar
from .grammar.strings import ANY_STRING, Expr, Length, Pattern, StrLang, atom_lang, complement, intersect, literal_lang
from .grammar.strings import union as _union

__all__ = ["Regular", "Seq", "Either", "Optional", "Repeat", "Text", "Token", "Substring", "part_of", "regular_lang"]

#: most repetitions that may be asked for
MAX_COUNT = 1_000_000


def part_of(part: Any) -> Constraint:
    """A part of a combination: a constraint, a text that stands for itself, or what ``schema=`` takes."""
    if isinstance(part, str):
        return Choice([part])
    if isinstance(part, bytes):
        raise StructgenError(f"a part is a text, not bytes: {part!r:.80}")
    return constraint_of(part)


def regular_lang(constraint: Constraint) -> Maybe[StrLang]:
    """The language of a constraint on plain text; None when it is not known to be regular."""
    grammar = constraint.text_grammar() if isinstance(constraint, _Combined) else \
        None if constraint.is_json else constraint.grammar()
    return grammar.lang if isinstance(grammar, TextGrammar) else None


class Regular(Constraint):
    """A regular language made of others by ``&``, ``|``, ``-`` or ``~``.

    Examples
    --------
    >>> import structgen as sg
    >>> sg.Regex("[a-z]+") - sg.Choice(["if", "else"])
    Regular(Regex('[a-z]+') - Choice(['if', 'else']))
    """

    def __init__(self, lang: StrLang, shown: str):
        from .automata.strings import is_empty

        if is_empty(lang):
            raise UnsatisfiableSchema(f"no text is in {shown}")
        self._grammar = TextGrammar(lang)
        self._shown = shown

    def grammar(self) -> TextGrammar:
        return self._grammar

    def __repr__(self) -> str:
        return f"Regular({self._shown})"


def _operand(x: Any, what: str) -> tuple[StrLang, str]:
    part = part_of(x)
    lang = regular_lang(part)
    if lang is None:
        raise StructgenError(f"{what} takes regular constraints, and {part!r:.200} is none",
                             hint="Regex, Choice, Text, Substring and what is made of them are regular; "
                                  "alternatives of any constraints: sg.Either")
    return lang, repr(x) if isinstance(x, str) else repr(part)


def both(a: Any, b: Any) -> Regular:
    """``a & b``: the texts in both."""
    (la, sa), (lb, sb) = _operand(a, "&"), _operand(b, "&")
    return Regular(intersect(la, lb), f"{sa} & {sb}")


def minus(a: Any, b: Any) -> Regular:
    """``a - b``: the texts of `a` that are not in `b`."""
    (la, sa), (lb, sb) = _operand(a, "-"), _operand(b, "-")
    return Regular(intersect(la, complement(lb)), f"{sa} - {sb}")


def without(a: Any) -> Regular:
    """``~a``: every text that is not in `a`."""
    lang, shown = _operand(a, "~")
    return Regular(complement(lang), f"~{shown}")


# -- combinations of any constraints ---------------------------------------------------


class _Combined(Constraint):
    """Base of combinations: regular when all parts are, else context-free."""

    parts: "tuple[Constraint, ...]"

    def __init__(self, parts: Iterable[Any]):
        self.parts = tuple(map(part_of, parts))
        self._cfg: Maybe[CfgGrammar] = None
        self._text = self._regular()
        if self._text is None:
            self._cfg = self._context_free()

    def _expr(self, langs: "tuple[StrLang, ...]") -> StrLang:
        raise NotImplementedError

    def _rules(self, builder: CfgBuilder, symbols: "list[int]") -> int:
        raise NotImplementedError

    def _regular(self) -> Maybe[TextGrammar]:
        langs = tuple(map(regular_lang, self.parts))
        if any(lang is None for lang in langs):
            return None
        from .automata.strings import is_empty

        try:
            lang = self._expr(langs)
            if is_empty(lang):
                raise UnsatisfiableSchema(f"no text is in {self!r}")
        except LimitError:                  # too large for one automaton: a grammar of smaller ones
            return None
        return TextGrammar(lang)

    def _context_free(self) -> CfgGrammar:
        builder = CfgBuilder()
        return builder.build(self.symbol(builder))

    def symbol(self, builder: CfgBuilder) -> int:
        """The symbol of this constraint in a grammar under construction."""
        return self._rules(builder, [_symbol(part, builder) for part in self.parts])

    def text_grammar(self) -> Maybe[TextGrammar]:
        """The normal form, when it is regular."""
        return self._text

    def grammar(self) -> Union[TextGrammar, CfgGrammar]:
        return self._text if self._text is not None else self._cfg

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(_shown, self.parts))})"


def _shown(part: Constraint) -> str:
    return repr(part.options[0]) if type(part) is Choice and len(part.options) == 1 else repr(part)


def _symbol(part: Constraint, builder: CfgBuilder) -> int:
    """A part as a symbol."""
    if isinstance(part, Token):
        return builder.terminal(Terminal(str(part), token=part.token))
    if isinstance(part, _Combined) and part.text_grammar() is None:
        return part.symbol(builder)
    if part.is_json:
        return builder.terminal(Terminal(repr(part)[:100], embedded=part))
    grammar = part.grammar()
    if isinstance(grammar, TextGrammar):
        return builder.lang(_shown(part)[:100], grammar.lang)
    if grammar.lexing == "scannerless":
        return builder.include(grammar)
    return builder.terminal(Terminal(repr(part)[:100], embedded=part))


class Seq(_Combined):
    """The parts one after another.

    Parameters
    ----------
    *parts
        Constraints; a ``str`` stands for itself, a type or schema for its JSON values.

    Examples
    --------
    >>> import structgen as sg
    >>> sg.Seq("v", sg.Regex("[0-9]+"), sg.Optional("-rc"))
    Seq('v', Regex('[0-9]+'), Optional('-rc'))
    """

    def __init__(self, *parts: Any):
        super().__init__(parts)

    def _expr(self, langs: "tuple[StrLang, ...]") -> StrLang:
        return langs[0] if len(langs) == 1 else atom_lang(Pattern("regular", Expr("cat", langs)))

    def _rules(self, builder: CfgBuilder, symbols: "list[int]") -> int:
        return builder.alternatives([symbols], "seq")


class Either(_Combined):
    """One of the parts.

    Examples
    --------
    >>> import structgen as sg
    >>> sg.Either("none", sg.Regex("[0-9]+"))
    Either('none', Regex('[0-9]+'))
    """

    def __init__(self, *parts: Any):
        if not parts:
            raise UnsatisfiableSchema("an Either without parts allows no text")
        super().__init__(parts)

    def _expr(self, langs: "tuple[StrLang, ...]") -> StrLang:
        out = langs[0]
        for lang in langs[1:]:
            out = _union(out, lang)
        return out

    def _rules(self, builder: CfgBuilder, symbols: "list[int]") -> int:
        return builder.alternatives([[s] for s in symbols], "either")


class Repeat(_Combined):
    """A part from `min` to `max` times, with something in between.

    Parameters
    ----------
    part
        What is repeated.
    min, max : int
        How often; `max` None: no upper bound.
    sep
        What stands between two.

    Examples
    --------
    >>> import structgen as sg
    >>> sg.Repeat(sg.Regex("[a-z]+"), 1, 3, sep=", ")
    Repeat(Regex('[a-z]+'), 1, 3, sep=', ')
    """

    def __init__(self, part: Any, min: int = 0, max: Maybe[int] = None, *, sep: Any = None):
        for name, n in (("min", min), ("max", max)):
            if not (isinstance(n, int) and not isinstance(n, bool) and n >= 0 or name == "max" and n is None):
                raise StructgenError(f"Repeat: {name}={n!r}: wanted a number of times")
            if n is not None and n > MAX_COUNT:
                raise LimitError(f"Repeat: {name}={n}: at most {MAX_COUNT} times", place="Repeat", limit=MAX_COUNT)
        if max is not None and max < min:
            raise UnsatisfiableSchema(f"Repeat: at least {min} and at most {max} times: no text is both")
        self.min, self.max, self._sep = min, max, sep is not None
        super().__init__([part] if sep is None else [part, sep])

    def _expr(self, langs: "tuple[StrLang, ...]") -> StrLang:
        lo, hi = self.min, self.max
        if not self._sep or hi in (0, 1):
            return atom_lang(Pattern("regular", Expr("repeat", langs[:1], lo, hi)))
        part, sep = langs
        tail = atom_lang(Pattern("regular", Expr("cat", (sep, part))))
        more = atom_lang(Pattern("regular", Expr("repeat", (tail,), max(lo - 1, 0), None if hi is None else hi - 1)))
        out = atom_lang(Pattern("regular", Expr("cat", (part, more))))
        return _union(literal_lang([""]), out) if lo == 0 else out

    def _rules(self, builder: CfgBuilder, symbols: "list[int]") -> int:
        lo, hi = self.min, self.max
        if not self._sep or hi in (0, 1):
            return builder.repeat(symbols[0], lo, hi, "repeat")
        part, sep = symbols
        tail = builder.alternatives([[sep, part]], "repeat")
        more = builder.repeat(tail, max(lo - 1, 0), None if hi is None else hi - 1, "repeat")
        return builder.alternatives([[part, more], *([[]] if lo == 0 else [])], "repeat")

    def __repr__(self) -> str:
        times = f", {self.min}" + ("" if self.max is None else f", {self.max}")
        sep = f", sep={_shown(self.parts[1])}" if self._sep else ""
        return f"Repeat({_shown(self.parts[0])}{'' if times == ', 0' else times}{sep})"


class Optional(_Combined):
    """A part, or nothing.

    Examples
    --------
    >>> import structgen as sg
    >>> sg.Optional("!")
    Optional('!')
    """

    def __init__(self, part: Any):
        super().__init__([part])

    def _expr(self, langs: "tuple[StrLang, ...]") -> StrLang:
        return _union(literal_lang([""]), langs[0])

    def _rules(self, builder: CfgBuilder, symbols: "list[int]") -> int:
        return builder.alternatives([[], symbols], "optional")


# -- leaves ------------------------------------------------------------------------------


class Token(Constraint):
    """One special token, by id or by name; its text never matches it, and it never matches text.

    Examples
    --------
    >>> Token("<|eot_id|>"), Token(7)
    (Token('<|eot_id|>'), Token(7))
    """

    def __init__(self, token: Union[int, str]):
        if isinstance(token, bool) or not isinstance(token, (int, str)) or token == "" or \
                isinstance(token, int) and token < 0:
            raise StructgenError(f"Token({token!r}): wanted the id or the name of a special token")
        self.token = token
        builder = CfgBuilder()
        self._grammar = builder.build(builder.terminal(Terminal(str(self), token=token)))

    def grammar(self) -> CfgGrammar:
        return self._grammar

    def __str__(self) -> str:
        return f"<[{self.token}]>" if isinstance(self.token, int) else self.token

    def __repr__(self) -> str:
        return f"Token({self.token!r})"


_SYNTAX = re.compile(r"[\^$\\.*+?()\[\]{}|/]")


class Text(Constraint):
    """Any text, or any text in which a trigger does not occur.

    Parameters
    ----------
    until : str, Token or a list of them, optional
        What must not occur; write it behind the ``Text`` to have it follow.
        Special tokens never occur in a text, so they need no excluding: naming
        one only says what is meant.

    Examples
    --------
    Free text, then a call with arguments that fit a schema:

    >>> import structgen as sg
    >>> tag = "<tool_call>"
    >>> sg.Seq(sg.Text(until=tag), tag, {"type": "object"}, "</tool_call>")
    Seq(Text(until='<tool_call>'), '<tool_call>', JsonSchema({'type': 'object'}), '</tool_call>')
    """

    def __init__(self, until: Any = None):
        triggers = [] if until is None else list(until) if isinstance(until, (list, tuple)) else [until]
        lang = ANY_STRING
        for trigger in triggers:
            if isinstance(trigger, Token):
                continue
            if not isinstance(trigger, str):
                raise StructgenError(f"Text(until={trigger!r:.80}): wanted a text or a Token")
            if trigger == "":
                raise UnsatisfiableSchema("Text(until=''): every text has the empty text in it")
            _encodable(trigger)
            source = _SYNTAX.sub(r"\\\g<0>", trigger)
            lang = intersect(lang, atom_lang(Pattern("ecma", source), False))
        self.until = until
        self._grammar = TextGrammar(lang)

    def grammar(self) -> TextGrammar:
        return self._grammar

    def __repr__(self) -> str:
        return "Text()" if self.until is None else f"Text(until={self.until!r})"


class Substring(Constraint):
    """Any part of a given text, so that only what is in a source can be quoted.

    Parameters
    ----------
    text : str
        The source.
    by : {"characters", "words"}
        Where a quotation may begin and end: anywhere, or only where words do
        (a word is a run of letters, digits and underscores; every other
        character is one by itself).
    empty : bool
        Whether nothing at all may be quoted.

    Examples
    --------
    >>> import structgen as sg
    >>> g = sg.Substring("to be or not", by="words", empty=False)
    >>> letters = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
    >>> m = sg.compile(g, letters).matcher()
    >>> m.accept_bytes(b"be o")
    >>> bytes(m.allowed_tokens().tolist())
    b'r'
    """

    def __init__(self, text: str, *, by: str = "characters", empty: bool = True):
        if not isinstance(text, str):
            raise StructgenError(f"Substring takes a text, not {type(text).__name__}")
        if by not in ("characters", "words"):
            raise StructgenError(f"by={by!r}: wanted 'characters' or 'words'")
        _encodable(text)
        symbols = tuple(text) if by == "characters" else tuple(re.findall(r"\w+|\W", text))
        if not symbols and not empty:
            raise UnsatisfiableSchema("Substring('', empty=False) allows no text")
        from .automata.nfa import atom_nfa

        self.text, self.by, self.empty = text, by, empty
        atom = Pattern("regular", Expr("substring", symbols=symbols))
        atom_nfa(atom)                              # too long a text is refused here
        lang = atom_lang(atom)
        self._grammar = TextGrammar(lang if empty else intersect(lang, atom_lang(Length(1, None))))

    def grammar(self) -> TextGrammar:
        return self._grammar

    def __repr__(self) -> str:
        return f"Substring({self.text[:60]!r}{'...' if len(self.text) > 60 else ''})"


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise StructgenError(f"{text[:80]!r} is no valid text: it holds half a surrogate pair") from None
