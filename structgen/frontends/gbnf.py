"""GBNF, the grammars of llama.cpp, and EBNF as the W3C's standards write it.

GBNF: ``name ::= alternatives``; texts in double quotes, ``[a-z]`` and
``[^a-z]``, ``.`` (any character), groups, ``* + ?``, ``{m}``, ``{m,}``,
``{m,n}``, comments from ``#``, special tokens ``<[id]>`` and ``<name>``.  A
rule ends with its line, but inside of parentheses, after ``|`` and ``::=``; we
also read lines that begin with ``|``.  Left recursion, which llama.cpp
refuses, is fine here.

EBNF: texts in either quotes without escapes, ``#xN``, ``[a-z]`` and
``[#x20-#x7E]``, ``A - B`` (B excluded from A), ``/* comments */``,
annotations like ``[vc: ...]``.  A rule ends where the next one begins.
"""

from __future__ import annotations

import re
from typing import Optional

from ..errors import GrammarError
from ..grammar.cfg import CfgGrammar, Place
from .notation import Alt, Cat, Class, Definition, Literal, Minus, Node, Ref, Rep, Special, assemble

__all__ = ["read_gbnf", "read_ebnf"]

_MAX_DEPTH = 100
_MAX_COUNT = 1_000_000


def read_gbnf(text: str, start: str = "root") -> CfgGrammar:
    """Read a grammar in llama.cpp's notation.

    Raises
    ------
    GrammarError
        With line and column.

    Examples
    --------
    >>> g = read_gbnf('root ::= "(" root ")" | ws\\nws ::= [ \\\\t]*')
    >>> [g.show(r) for r in g.rules]
    ['root: ws', "root: '(' root ')'"]
    """
    return assemble(_Gbnf(text).rules(), start)


def read_ebnf(text: str, start: Optional[str] = None) -> CfgGrammar:
    """Read a grammar in the W3C's notation; it starts with its first rule unless `start` names another.

    Raises
    ------
    GrammarError
        With line and column.

    Examples
    --------
    >>> g = read_ebnf("Name ::= ([a-z] | #x5F)+ - 'xml'")
    >>> len(g.terminals)
    1
    """
    rules = _Ebnf(text).rules()
    return assemble(rules, start or (rules[0].name if rules else "root"))


def _in_class(code: int) -> str:
    c = chr(code)
    return c if c.isascii() and c.isalnum() else f"\\x{code:02x}" if code < 256 else f"\\U{code:08x}"


class _Reader:
    """What both notations share: a place in the text, errors, the grammar of alternatives."""

    name = re.compile(r"[A-Za-z0-9_-]+")
    space = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
    space_and_lines = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")

    def __init__(self, text: str):
        if not isinstance(text, str):
            raise GrammarError(f"a grammar is a str, not {type(text).__name__}")
        self.text = text
        self.at = 0
        self.depth = 0

    def place(self, offset: int) -> Place:
        return Place(self.text.count("\n", 0, offset) + 1, offset - self.text.rfind("\n", 0, offset))

    def error(self, message: str, offset: Optional[int] = None, hint: Optional[str] = None) -> GrammarError:
        place = self.place(self.at if offset is None else offset)
        return GrammarError(message, line=place.line, column=place.column, hint=hint)

    def here(self) -> str:
        rest = self.text[self.at:self.at + 1]
        return "the end of the text" if not rest else "the end of the line" if rest in "\r\n" else repr(rest)

    def skip(self, lines: bool) -> None:
        pattern = self.space_and_lines if lines else self.space
        self.at = pattern.match(self.text, self.at).end()

    def peek(self, what: str) -> bool:
        return self.text.startswith(what, self.at)

    def fresh_line(self, offset: int) -> bool:
        """Does nothing but white space stand before `offset` in its line?"""
        return not self.text[self.text.rfind("\n", 0, offset) + 1:offset].strip()

    def define(self) -> tuple[str, int]:
        """``name ::=``."""
        begin = self.at
        found = self.name.match(self.text, begin)
        if not found:
            raise self.error(f"a rule was expected here, not {self.here()}", hint="a rule is written name ::= ...")
        self.at = found.end()
        self.skip(False)
        if not self.peek("::="):
            raise self.error(f"'::=' was expected behind {found[0]!r}, not {self.here()}")
        self.at += 3
        return found[0], begin

    def alternatives(self, nested: bool) -> Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error(f"groups nested more than {_MAX_DEPTH} deep are not supported")
        out = [self.sequence(nested)]
        while True:
            if self.peek("|"):
                self.at += 1
                self.skip(True)
                out.append(self.sequence(nested))
                continue
            before = self.at
            self.skip(True)                         # a line that begins with "|" goes on
            if self.peek("|"):
                continue
            if not nested:
                self.at = before
            break
        self.depth -= 1
        return out[0] if len(out) == 1 else Alt(tuple(out))

    def sequence(self, nested: bool) -> Node:
        items: list[Node] = []
        while True:
            item = self.item(nested)
            if item is None:
                break
            items.append(item)
        return items[0] if len(items) == 1 else Cat(tuple(items))

    def item(self, nested: bool) -> Optional[Node]:
        """One item with what is behind it; None where the sequence ends."""
        atom = self.atom(nested)
        if atom is None:
            return None
        self.skip(nested)
        while True:
            if self.peek("*"):
                atom = Rep(atom, 0, None)
            elif self.peek("+"):
                atom = Rep(atom, 1, None)
            elif self.peek("?"):
                atom = Rep(atom, 0, 1)
            elif self.peek("{"):
                atom = self.counted(atom)
                self.skip(nested)
                continue
            else:
                return atom
            self.at += 1
            self.skip(nested)

    def counted(self, atom: Node) -> Node:
        found = re.compile(r"\{\s*(\d+)\s*(,\s*(\d*)\s*)?\}").match(self.text, self.at)
        if not found:
            raise self.error("'{' begins a count: {m}, {m,} or {m,n}")
        lo = int(found[1])
        hi = lo if found[2] is None else int(found[3]) if found[3] else None
        if max(lo, hi or 0) > _MAX_COUNT:
            raise self.error(f"counts above {_MAX_COUNT} are not supported")
        if hi is not None and hi < lo:
            raise self.error(f"a count from {lo} to {hi}")
        self.at = found.end()
        return Rep(atom, lo, hi)

    def atom(self, nested: bool) -> Optional[Node]:
        raise NotImplementedError

    def group(self) -> Node:
        begin = self.at
        self.at += 1
        self.skip(True)
        inner = self.alternatives(True)
        if not self.peek(")"):
            raise self.error(f"')' was expected, not {self.here()}",
                             hint=f"the group begins in line {self.place(begin).line}")
        self.at += 1
        return inner


class _Gbnf(_Reader):
    escapes = {"t": 9, "r": 13, "n": 10, "\\": 92, '"': 34, "[": 91, "]": 93}
    digits = {"x": 2, "u": 4, "U": 8}

    def rules(self) -> list[Definition]:
        out = []
        self.skip(True)
        while self.at < len(self.text):
            name, begin = self.define()
            self.skip(True)
            body = self.alternatives(False)
            if self.at < len(self.text) and self.text[self.at] not in "\r\n" and not self.fresh_line(self.at):
                raise self.error(f"the end of the line was expected, not {self.here()}",
                                 hint="put what goes over several lines in parentheses")
            out.append(Definition(name, body, self.place(begin)))
            self.skip(True)
        return out

    def char(self) -> int:
        """One character of a text or a class."""
        c = self.text[self.at]
        if c != "\\":
            self.at += 1
            return ord(c)
        kind = self.text[self.at + 1:self.at + 2]
        if kind in self.escapes and kind:
            self.at += 2
            return self.escapes[kind]
        if kind in self.digits and kind:
            n = self.digits[kind]
            digits = self.text[self.at + 2:self.at + 2 + n]
            if not re.fullmatch(rf"[0-9a-fA-F]{{{n}}}", digits):
                raise self.error(f"'\\{kind}' takes {n} hexadecimal digits")
            code = int(digits, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise self.error(f"U+{code:04X} is no character")
            self.at += 2 + n
            return code
        raise self.error(f"an unknown escape '\\{kind}'", hint='there are \\n \\r \\t \\\\ \\" \\[ \\] \\xHH \\uHHHH '
                                                              "\\UHHHHHHHH")

    def atom(self, nested: bool) -> Optional[Node]:
        text, at = self.text, self.at
        c = text[at:at + 1]
        if c == '"':
            self.at += 1
            out = []
            while not self.peek('"'):
                if self.at >= len(text) or text[self.at] in "\r\n":
                    raise self.error("a text without its closing quote", at)
                out.append(chr(self.char()))
            self.at += 1
            return Literal("".join(out))
        if c == "[":
            self.at += 1
            negative = self.peek("^")
            self.at += negative
            source = ""
            while not self.peek("]"):
                if self.at >= len(text):
                    raise self.error("a character class without its ']'", at)
                lo = self.char()
                if self.peek("-") and text[self.at + 1:self.at + 2] not in ("]", ""):
                    self.at += 1
                    hi = self.char()
                    if hi < lo:
                        raise self.error("a range whose ends are out of order", at)
                    source += f"{_in_class(lo)}-{_in_class(hi)}"
                else:
                    source += _in_class(lo)
            self.at += 1
            if negative:
                return Class("^" + source if source else r"\s\S")
            return Class(source)
        if c == "(":
            return self.group()
        if c == ".":
            self.at += 1
            return Class(r"\s\S")
        if c == "!" and text[at + 1:at + 2] == "<":
            raise self.error("'!' before a special token is not supported",
                             hint="no text matches a special token; a rule of texts only says the same")
        if c == "<":
            found = re.compile(r"<(?:\[\s*(\d+)\s*\]|[^<>\s]+)>").match(text, at)
            if not found:
                raise self.error("'<' begins a special token: <[id]> or <name>")
            self.at = found.end()
            return Special(int(found[1]) if found[1] is not None else found[0])
        found = self.name.match(text, at)
        if found:
            after = re.compile(r"[ \t]*::=").match(text, found.end())
            if after and not nested:
                if self.fresh_line(at):
                    return None                                 # an empty alternative, then the next rule
                raise self.error(f"a new rule {found[0]!r} begins in the line of another", hint="start a new line")
            self.at = found.end()
            return Ref(found[0], self.place(at))
        if c == "" or c in "|)\r\n":
            return None
        raise self.error(f"unexpected {self.here()}")


class _Ebnf(_Reader):
    name = re.compile(r"[A-Za-z_][\w.-]*")
    space = space_and_lines = re.compile(r"(?:\s|/\*(?:[^*]|\*(?!/))*\*/|\[\s*(?:wfc|vc|WFC|VC)\s*:[^\]]*\])*")
    number = re.compile(r"\[\d+\w*\]\s*")

    def rules(self) -> list[Definition]:
        out = []
        self.skip(True)
        while self.at < len(self.text):
            found = self.number.match(self.text, self.at)          # the standards number their rules
            if found:
                self.at = found.end()
            name, begin = self.define()
            self.skip(True)
            body = self.alternatives(False)
            self.skip(True)
            if self.peek(";"):
                self.at += 1
            out.append(Definition(name, body, self.place(begin)))
            before = self.at
            self.skip(True)
            if self.at < len(self.text) and before == self.at and self.text[self.at] in ")]}*+?|":
                raise self.error(f"unexpected {self.here()}")
        return out

    def item(self, nested: bool) -> Optional[Node]:
        left = super().item(nested)
        if left is None:
            return None
        while self.peek("-"):
            place = self.place(self.at)
            self.at += 1
            self.skip(True)
            right = super().item(nested)
            if right is None:
                raise self.error(f"something to exclude was expected behind '-', not {self.here()}")
            left = Minus(left, right, place)
        return left

    def code(self) -> Optional[int]:
        found = re.compile(r"#x([0-9a-fA-F]+)").match(self.text, self.at)
        if not found:
            return None
        code = int(found[1], 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise self.error(f"#x{found[1]} is no character")
        self.at = found.end()
        return code

    def atom(self, nested: bool) -> Optional[Node]:
        text, at = self.text, self.at
        c = text[at:at + 1]
        if c in ('"', "'") and c:
            end = text.find(c, at + 1)
            if end < 0:
                raise self.error("a text without its closing quote", at)
            self.at = end + 1
            return Literal(text[at + 1:end])
        if c == "#":
            code = self.code()
            if code is None:
                raise self.error("'#' begins a character: #xN")
            return Literal(chr(code))
        if c == "[":
            if self.number.match(text, at) and re.compile(r"\[\d+\w*\]\s*[A-Za-z_][\w.-]*\s*::=").match(text, at):
                return None                                     # the number of the next rule
            return self.char_class()
        if c == "(":
            return self.group()
        found = self.name.match(text, at)
        if found:
            after = re.compile(r"\s*::=").match(text, found.end())
            if after:
                return None                                     # the next rule
            self.at = found.end()
            return Ref(found[0], self.place(at))
        if c == "" or c in "|);":
            return None
        raise self.error(f"unexpected {self.here()}")

    def char_class(self) -> Node:
        begin = self.at
        self.at += 1
        negative = self.peek("^")
        self.at += negative
        source = ""
        while not self.peek("]"):
            lo = self.member(begin)
            if self.peek("-") and not self.text.startswith("-]", self.at):
                self.at += 1
                hi = self.member(begin)
                if hi < lo:
                    raise self.error("a range whose ends are out of order", begin)
                source += f"{_in_class(lo)}-{_in_class(hi)}"
            else:
                source += _in_class(lo)
        self.at += 1
        return Class("^" + source if negative and source else r"\s\S" if negative else source)

    def member(self, begin: int) -> int:
        if self.at >= len(self.text):
            raise self.error("a character class without its ']'", begin)
        code = self.code()
        if code is None:
            code = ord(self.text[self.at])
            self.at += 1
        return code
