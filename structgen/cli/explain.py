"""``structgen explain``: what happens to each keyword of a schema."""

from __future__ import annotations

from typing import Any, Optional

from ..errors import SchemaError, UnsupportedSchema
from .common import BAD_SCHEMA, fail, out, out_json, paint, settings
from .inputs import schema_source

__all__ = ["run"]

_COLOURS = {"enforced": "green", "annotation": "dim", "narrowed": "cyan", "not enforced": "yellow", "refused": "red"}


def run(schema: str, fail_on: str, options: dict[str, Any]) -> None:
    """Print the coverage; leaves with 3 as `fail_on` says."""
    entries, refusal = coverage(schema_source(schema), options)
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry["status"]] = counts.get(entry["status"], 0) + 1
    if settings.json:
        out_json({"accepted": refusal is None, "keywords": entries, "counts": counts,
                  "refusal": None if refusal is None else {"message": refusal.message, "pointer": refusal.pointer}})
    else:
        width = max((len(e["pointer"]) for e in entries), default=0)
        for entry in entries:
            note = f"  {entry['note']}" if entry["note"] else ""
            status = paint(f"{entry['status']:<12}", _COLOURS.get(entry["status"], "dim"))
            out(f"{entry['pointer']:<{min(width, 60)}}  {status}{note}".rstrip())
        if entries:
            out()
        out(", ".join(f"{count} {status}" for status, count in counts.items()) or "no keywords")
        if refusal is not None:
            out(paint("The schema is refused; --lenient would compile it without what is refused.", "red"))
    unenforced = refusal is not None or counts.get("not enforced", 0) > 0
    if fail_on != "never" and (refusal is not None or fail_on == "unenforced" and unenforced):
        fail(BAD_SCHEMA)


def coverage(source: Any, options: dict[str, Any]) -> tuple[list[dict[str, str]], Optional[SchemaError]]:
    """Every keyword with its status, and why the schema as a whole is refused, if it is.

    The error of a refused schema names one keyword.  To name all of them, the
    schema is read a second time with ``lenient=True``: what that reading leaves
    out is what the first one refuses.
    """
    import structgen as sg

    refusal: Optional[SchemaError] = None
    try:
        return _records(sg.JsonSchema(source, **options)), None
    except UnsupportedSchema as err:
        refusal = err
    try:
        entries = _records(sg.JsonSchema(source, lenient=True, **options))
    except SchemaError:
        entries = []
    pointer, keyword = refusal.pointer or "#", refusal.keyword or ""
    for entry in entries:
        if entry["status"] == "not enforced" and entry["note"] == "lenient":
            entry |= {"status": "refused", "note": f"{entry['keyword']} is not supported yet"}
            if entry["pointer"] == pointer:
                entry["note"] = refusal.message.removesuffix(f" (at {pointer})")
    if not any(entry["pointer"] == pointer and entry["status"] == "refused" for entry in entries):
        entries.append({"pointer": pointer, "keyword": keyword, "status": "refused", "note": refusal.message})
    return entries, refusal


def _records(grammar: Any) -> list[dict[str, str]]:
    return [{"pointer": e.pointer or "#", "keyword": e.keyword, "status": e.status, "note": e.note}
            for e in dict.fromkeys(grammar.coverage)]
