"""``structgen explain``: what happens to each keyword of a schema."""

from __future__ import annotations

import json
from typing import Any, Optional

from ..errors import SchemaError, UnsupportedSchema
from .common import BAD_SCHEMA, fail, out, out_json, paint, settings
from .generate import plain
from .inputs import schema_source

__all__ = ["run"]

_COLOURS = {"enforced": "green", "annotation": "dim", "narrowed": "cyan", "not enforced": "yellow", "refused": "red",
            "impossible": "magenta"}


def run(schema: str, fail_on: str, witness: bool, options: dict[str, Any]) -> None:
    """Print the coverage and what is impossible; leaves with 3 as `fail_on` says."""
    import structgen as sg

    source = schema_source(schema)
    entries, impossible, refusal = coverage(source, options)
    example = sg.witness(sg.JsonSchema(source, **options)) if witness and refusal is None else None
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry["status"]] = counts.get(entry["status"], 0) + 1
    if settings.json:
        record = {"accepted": refusal is None, "keywords": entries, "counts": counts,
                  "impossible": [{"pointer": e["pointer"], "note": e["note"]} for e in impossible],
                  "refusal": None if refusal is None else {"message": refusal.message, "pointer": refusal.pointer}}
        if witness and refusal is None:
            record["witness"] = plain(example)
        out_json(record)
    else:
        width = max((len(e["pointer"]) for e in entries + impossible), default=0)
        for entry in entries + impossible:
            note = f"  {entry['note']}" if entry["note"] else ""
            status = paint(f"{entry['status']:<12}", _COLOURS.get(entry["status"], "dim"))
            out(f"{entry['pointer']:<{min(width, 60)}}  {status}{note}".rstrip())
        if entries:
            out()
        if impossible:
            counts["impossible"] = len(impossible)
        out(", ".join(f"{count} {status}" for status, count in counts.items()) or "no keywords")
        if witness and refusal is None:
            out(f"a shortest valid value: {json.dumps(plain(example), ensure_ascii=False)}")
        if refusal is not None:
            out(paint("The schema is refused; --lenient would compile it without what is refused.", "red"))
    unenforced = refusal is not None or counts.get("not enforced", 0) > 0
    if fail_on != "never" and (refusal is not None or fail_on == "unenforced" and unenforced):
        fail(BAD_SCHEMA)


def coverage(source: Any, options: dict[str, Any]) -> tuple[list[dict[str, str]], list[dict[str, str]],
                                                            Optional[SchemaError]]:
    """Every keyword with its status, impossible parts, and why the schema as a whole is refused, if it is.

    The error of a refused schema names one keyword.  To name all of them, the
    schema is read a second time with ``lenient=True``: what that reading leaves
    out is what the first one refuses.
    """
    import structgen as sg

    refusal: Optional[SchemaError] = None
    try:
        grammar = sg.JsonSchema(source, **options)
        return _records(grammar.coverage), _records(grammar.impossible), None
    except UnsupportedSchema as err:
        refusal = err
    try:
        grammar = sg.JsonSchema(source, lenient=True, **options)
        entries, impossible = _records(grammar.coverage), _records(grammar.impossible)
    except SchemaError:
        entries, impossible = [], []
    pointer, keyword = refusal.pointer or "#", refusal.keyword or ""
    for entry in entries:
        if entry["status"] == "not enforced" and entry["note"] == "lenient":
            entry |= {"status": "refused", "note": f"{entry['keyword']} is not supported yet"}
            if entry["pointer"] == pointer:
                entry["note"] = refusal.message.removesuffix(f" (at {pointer})")
    if not any(entry["pointer"] == pointer and entry["status"] == "refused" for entry in entries):
        entries.append({"pointer": pointer, "keyword": keyword, "status": "refused", "note": refusal.message})
    return entries, impossible, refusal


def _records(entries: Any) -> list[dict[str, str]]:
    return [{"pointer": e.pointer or "#", "keyword": e.keyword, "status": e.status, "note": e.note}
            for e in dict.fromkeys(entries)]
