"""Coverage: what became of every keyword of a schema.

Read off the keyword table and the grammar after lowering; nothing here runs
on the compile path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...grammar.ir import CoverageEntry
from .documents import Dialect, pointer_of
from .forms import Form
from .keywords import ANNOTATIONS, KEYWORDS, TABLES

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["coverage_of"]

#: keywords that may leave no room for exponents
_NUMERIC = frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"))
UNIQUE_NOTE = "numbers that must differ from earlier ones are written without exponents"
CHECKED_NOTE = "when the text is complete, which may be too late to go on"
_VOCABULARY = {k.name: k.vocabulary for k in KEYWORDS}


def coverage_of(g: "SchemaGrammar") -> list[CoverageEntry]:
    """One entry for each keyword of each subschema that was read."""
    out: list[CoverageEntry] = []
    relaxed = set(g.relaxed)
    for res in list({id(r): r for r in g.docs.all_resources()}.values()):
        for site in list(res.sites.values()):
            read = site.form is not None or site.node != -2 or site in g.marked
            if read and isinstance(site.schema, dict) and site.res is res:
                _entries(g, site.schema, res.dialect, site.pointer, relaxed, out, site.form)
    for schema, parent, path in g.bare:
        _entries(g, schema, parent.res.dialect, pointer_of(parent, *path), relaxed, out)
    return list(dict.fromkeys(out))


def _entries(g: "SchemaGrammar", schema: dict, dialect: Dialect, place: str, relaxed: set, out: list,
             form: Any = None) -> None:
    from ...automata.numbers import EXPONENT_NOTE, narrows_exponents
    from ..formats import FORMAT_NOTES
    from .own_keywords import format_language
    draft = dialect if isinstance(dialect, int) else dialect[0]
    hidden = draft <= 7 and "$ref" in schema
    table = TABLES[dialect]
    for keyword, value in schema.items():
        pointer = f"{place}/{_escape(keyword)}"
        if hidden and keyword != "$ref":
            status, note = "annotation", "hidden by $ref in this draft"
        elif (pointer, keyword) in relaxed:
            status, note = ("not enforced", "lenient") if g.check is None else ("checked", CHECKED_NOTE)
        elif keyword == "format":
            if g.options.format == "annotate" or isinstance(g.options.format, dict) \
                    and not g.options.format.get(value, True):
                status, note = "annotation", "by the format option"
            elif format_language(value, "assert") is None:
                status, note = "not enforced", "unknown format"
            elif value in FORMAT_NOTES:
                status, note = "narrowed", FORMAT_NOTES[value]
            else:
                status, note = "enforced", ""
        elif keyword in table:
            status, note = "enforced", ""
            if keyword in _NUMERIC and isinstance(form, Form) and g.options.numbers == "all" \
                    and narrows_exponents(form.number):
                note = EXPONENT_NOTE
            elif keyword == "uniqueItems" and value is True:
                note = UNIQUE_NOTE
        elif keyword in ANNOTATIONS:
            status, note = "annotation", ""
        elif keyword in _VOCABULARY:
            status, note = "annotation", ("not a keyword in this draft" if isinstance(dialect, int)
                                          else "not in the vocabularies of this metaschema")
        else:
            status, note = "annotation", "unknown keyword"
        out.append(CoverageEntry(pointer, keyword, status, note))
    if g.options.extra == "closed" and schema.get("properties") and not hidden and (
            schema.get("additionalProperties", True) is True or schema["additionalProperties"] == {}):
        out.append(CoverageEntry(place + "/additionalProperties", "additionalProperties", "narrowed",
                                 "undeclared keys are never generated"))


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
