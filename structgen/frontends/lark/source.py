"""The text of a Lark grammar: where things stand, and our one extension of the syntax.

Lark's loader forgets where a rule was written, so places are looked up in the
text.  Special tokens, ``<name>`` or ``<[id]>`` in a rule, are replaced by
declared terminals before Lark sees the text (``<`` means nothing to Lark
outside of strings, regular expressions and comments).
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Optional, Union

from ...errors import GrammarError
from ...grammar.cfg import Place

__all__ = ["Source"]

# what may hold a "<" or a name without meaning it
_SKIP = re.compile(r"""
    (?P<skip> //[^\n]* | \#[^\n]* | "(?:\\.|[^"\\\n])*"i? | /(?!/)(?:\\.|[^/\\\n])*/[imslux]* )
  | (?P<token> < (?: \[ \s*(?P<id>\d+)\s* \] | [^<>\s][^<>\n]* ) > )
  | (?P<angle> < )
""", re.VERBOSE)


class Source:
    """A grammar's text.

    Attributes
    ----------
    text : str
        What Lark reads: special tokens replaced by names of the same line.
    tokens : dict of str to (int or str)
        The special tokens by the terminal that stands for them.
    """

    def __init__(self, text: str):
        self.original = text
        self.tokens: dict[str, Union[int, str]] = {}
        self._named: dict[Union[int, str], str] = {}
        self._blank: Optional[str] = None
        if "<" not in text:
            self.text = text
            return
        self.text = _SKIP.sub(self._replace, text)
        if self.tokens:
            self.text += "\n%declare " + " ".join(self.tokens) + "\n"

    def _replace(self, found: "re.Match[str]") -> str:
        if found["skip"] is not None:
            return found[0]
        if found["angle"] is not None:
            at = self.at(found.start())
            raise GrammarError("'<' begins a special token, which ends with '>' on the same line", line=at.line,
                               column=at.column, hint="write <|eot_id|> or <[128009]> for a token, \"<\" for the text")
        token: Union[int, str] = int(found["id"]) if found["id"] is not None else found["token"]
        name = self._named.get(token)
        if name is None:
            number = len(self.tokens)
            while (name := f"SPECIAL_TOKEN_{number}") in self.original:
                number += 1
            self._named[token] = name
            self.tokens[name] = token
        return name

    def at(self, offset: int) -> Place:
        """The place of an offset in the original text."""
        line = self.original.count("\n", 0, offset) + 1
        return Place(line, offset - self.original.rfind("\n", 0, offset))

    def blank(self) -> str:
        """The original text with strings, expressions and comments blanked out."""
        if self._blank is None:
            self._blank = _SKIP.sub(lambda m: " " * len(m[0]), self.original)
        return self._blank

    def definition(self, name: str) -> Place:
        """Where a rule or terminal is defined, as far as that is in this text."""
        at = self._definitions.get(name.split("__")[-1] if "__" in name.lstrip("_") else name)
        return self.use(name) if at is None else self.at(at)

    def use(self, name: str) -> Place:
        """The first place where a name stands."""
        at = self._words.get(name)
        return Place() if at is None else self.at(at)

    @cached_property
    def _definitions(self) -> dict[str, int]:
        """Where each name is defined first: a grammar may have thousands."""
        found: dict[str, int] = {}
        for m in re.finditer(r"^[ \t]*(?:%(?:override|extend)[ \t]+)?[?!]*(\w+)(?:\.-?\d+)?(?:\{[^}\n]*\})?[ \t]*:",
                             self.blank(), re.MULTILINE):
            found.setdefault(m[1], m.start(1))
        return found

    @cached_property
    def _words(self) -> dict[str, int]:
        """Where each word stands first."""
        found: dict[str, int] = {}
        for m in re.finditer(r"\w+", self.blank()):
            found.setdefault(m[0], m.start())
        return found

    @cached_property
    def names(self) -> set[str]:
        """All names in the text."""
        return set(re.findall(r"(?<![\w%.])[_?!]*[a-zA-Z]\w*", self.blank()))
