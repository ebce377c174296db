"""A schema as short text for a prompt.

JSON Schema is long; a small model has a small context.  The outline says the
same in the notation of type declarations::

    {name:string,born:date,role?:"admin"|"guest",address:{city:string},tags:string[]}

It is what the embedded models were trained on; larger models read it as well.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["schema_outline"]


def schema_outline(schema: Any) -> str:
    """The outline of a JSON Schema.

    Parameters
    ----------
    schema : dict or bool
        Local references (``#/$defs/...``) are followed; what has no notation is
        written as ``any``.

    Examples
    --------
    >>> schema_outline({"type": "object", "required": ["name"], "properties": {
    ...     "name": {"type": "string"}, "age": {"type": ["integer", "null"]},
    ...     "tags": {"type": "array", "items": {"enum": ["a", "b"]}}}})
    '{name:string,age?:integer|null,tags?:("a"|"b")[]}'
    """
    return _outline(schema, schema, 0)


def _outline(schema: Any, root: Any, depth: int) -> str:
    if not isinstance(schema, dict) or depth > 8:
        return "any"
    ref = schema.get("$ref")
    if isinstance(ref, str) and ref.startswith("#/"):
        target: Any = root
        for part in ref[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, dict) else None
        return _outline(target, root, depth + 1)
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return "|".join(_literal(v) for v in schema["enum"])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return "|".join(_outline(s, root, depth + 1) for s in schema[word])
    kind = schema.get("type")
    if isinstance(kind, list):
        return "|".join(_outline({**schema, "type": k}, root, depth + 1) for k in kind)
    if kind == "object" or (kind is None and "properties" in schema):
        required = schema.get("required", ())
        parts = [f"{name}{'' if name in required else '?'}:{_outline(sub, root, depth + 1)}"
                 for name, sub in schema.get("properties", {}).items()]
        return "{" + ",".join(parts) + "}"
    if kind == "array" or (kind is None and "items" in schema):
        inner = _outline(schema.get("items"), root, depth + 1)
        return f"({inner})[]" if "|" in inner and not inner.startswith("{") else f"{inner}[]"
    if kind == "string":
        if "pattern" in schema:
            return f"/{schema['pattern']}/"
        return schema.get("format", "string")
    return kind if isinstance(kind, str) else "any"


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
