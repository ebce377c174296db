"""Coverage: what became of every keyword of a schema.

Read off the keyword table and the grammar after lowering; nothing here runs
on the compile path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...grammar.ir import CoverageEntry
from .documents import pointer_of
from .keywords import ANNOTATIONS, KEYWORDS, TABLES

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["coverage_of"]

_VOCABULARY = {k.name: k.vocabulary for k in KEYWORDS}


def coverage_of(g: "SchemaGrammar") -> list[CoverageEntry]:
    """One entry for each keyword of each subschema that was read."""
    from .lowering import format_language
    out: list[CoverageEntry] = []
    relaxed = set(g.relaxed)
    for res in list({id(r): r for r in g.docs.all_resources()}.values()):
        for site in list(res.sites.values()):
            schema = site.schema
            if site.form is None and site.node == -2 or not isinstance(schema, dict) or site.res is not res:
                continue
            hidden = res.draft <= 7 and "$ref" in schema
            table = TABLES[res.draft]
            for keyword, value in schema.items():
                pointer = pointer_of(site, keyword)
                if hidden and keyword != "$ref":
                    status, note = "annotation", "hidden by $ref in this draft"
                elif (pointer, keyword) in relaxed:
                    status, note = "not enforced", "lenient"
                elif keyword == "format":
                    if g.options.format == "annotate" or isinstance(g.options.format, dict) \
                            and not g.options.format.get(value, True):
                        status, note = "annotation", "by the format option"
                    elif format_language(value, "assert") is None:
                        status, note = "not enforced", "unknown format"
                    else:
                        status, note = "enforced", ""
                elif keyword in table:
                    status, note = "enforced", ""
                elif keyword in ANNOTATIONS:
                    status, note = "annotation", ""
                elif keyword in _VOCABULARY:
                    status, note = "annotation", "not a keyword in this draft"
                else:
                    status, note = "annotation", "unknown keyword"
                out.append(CoverageEntry(pointer, keyword, status, note))
            if g.options.extra == "closed" and schema.get("properties") and not isinstance(
                    schema.get("additionalProperties"), dict) and schema.get("additionalProperties") is not False \
                    and not hidden:
                out.append(CoverageEntry(pointer_of(site, "additionalProperties"), "additionalProperties", "narrowed",
                                         "undeclared keys are never generated"))
    return out
