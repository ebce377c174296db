"""Extraction: a text about a record, a schema of some of its facts, the answer in JSON."""

from __future__ import annotations

import json
from typing import Any, Optional

from ..outline import schema_outline
from .fields import RECORDS, Record
from .names import Draw, is_held_out

__all__ = ["extract", "people", "frame", "dumps"]

# {o}: the outline of the schema, {t}: the text, {n}: what kind of thing
FRAMES = (
    "{t}\nJSON: {o}", "Text: {t}\nSchema: {o}", "Schema: {o}\nText: {t}", "Extract the {n} as JSON {o}\n{t}",
    "Extract {o} from: {t}", "{t}\nFill in {o}", "Read this and answer with JSON {o}\n{t}", "Fill {o} with: {t}",
    "{o}\n{t}", "Give the {n} in the form {o}: {t}", "Turn this into {o}: {t}", "Which {n} is this? {t}\nUse {o}",
    "~Here is a note: {t}\nPlease return {o}", "~I need {o} for the following {n}. {t}", "~Parse as {o}\n\n{t}",
)
SYSTEM_FRAMES = ("Answer with JSON {o}", "Reply in the form {o}", "Schema: {o}", "Extract {o}",
                 "~Return nothing but {o}")
FREE_FRAMES = ("Extract the {n} as JSON: {t}", "{t}\nGive the {n} as JSON.", "JSON of the {n}: {t}",
               "Which {n} is this? {t}\nAnswer in JSON.", "~Write down the {n} as a JSON object. {t}")


def dumps(value: Any) -> str:
    """JSON as the models write it: no white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def choose(d: Draw, templates: tuple[str, ...], held_out: bool) -> str:
    """One of the templates of the training part or of the held-out part."""
    return d.one([t for t in templates if t.startswith("~") == held_out]).lstrip("~")


def frame(d: Draw, schema: dict, text: str, noun: str, held_out: bool, free: float = 0.0) -> list[dict]:
    """The messages that ask for `schema` from `text`; with probability `free` the schema goes unsaid."""
    outline = schema_outline(schema)
    if free and d.chance(free):
        return [_user(choose(d, FREE_FRAMES, held_out).format(t=text, n=noun))]
    if d.chance(0.15):
        return [{"role": "system", "content": choose(d, SYSTEM_FRAMES, held_out).format(o=outline)}, _user(text)]
    return [_user(choose(d, FRAMES, held_out).format(o=outline, t=text, n=noun))]


def _user(text: str) -> dict:
    return {"role": "user", "content": text}


def _sentences(d: Draw, record: Record, facts: dict[str, str], held_out: bool) -> str:
    """Sentences that say all the `facts` (fact -> wording), each once."""
    said: list[str] = []
    left = set(facts)
    pronoun = d.one(record.pronoun)
    slots = [(s, {n for n in record.facts if "{" + n + "}" in s}) for s in record.sentences]
    while left:
        first = record.main in left
        fits = [s for s, need in slots if need and need <= left and (record.main in need) == first]
        wanted = [s for s in fits if s.startswith("~") == held_out]
        sentence = d.one(wanted or fits)
        left -= next(need for s, need in slots if s == sentence)
        said.append(sentence.lstrip("~").format(P=pronoun, **facts))
    return " ".join(said)


def _labels(d: Draw, record: Record, facts: dict[str, str]) -> str:
    """The facts as a list of labels and wordings."""
    names = list(facts)
    d.rng.shuffle(names)
    mark, between = d.one((": ", " = ", " - ")), d.one(("; ", ", ", "\n", " / "))
    parts = []
    for name in names:
        fact = record.facts[name]
        parts.append((fact.label or fact.names[0]).replace("_", " ").capitalize() + mark + facts[name])
    return between.join(parts)


def _can_have(record: Record, paths: list[str]) -> bool:
    known = {key for name, fact in record.facts.items() for key in (name, *fact.names)}
    return all(path.rpartition("/")[2] in known and (path.rpartition("/")[0] in ("", *(record.groups or ())))
               for path in paths)


def _drawn_schema(d: Draw, record: Record, held_out: bool) -> tuple[dict, list[tuple[str, Optional[str], str]], dict]:
    """A schema over some facts, the chosen (fact, group, key), and which facts are ``"?"`` or ``"|"`` (may be null)."""
    for _ in range(200):
        names = list(record.facts)
        count = min(len(names), d.rng.choice((2, 3, 3, 4, 4, 5, 5, 6)))
        chosen = d.rng.sample(names, count)
        if record.main not in chosen and d.chance(0.7):
            chosen[0] = record.main
        if d.chance(0.5):
            chosen.sort(key=names.index)
        group, inside = None, ()
        if record.groups and d.chance(0.45):
            group = d.one(list(record.groups))
            inside = tuple(n for n in record.groups[group] if d.chance(0.85)) or record.groups[group][:1]
            chosen = [n for n in chosen if n not in inside]
            at = d.rng.randint(0, len(chosen))
            chosen[at:at] = inside
        keys: dict[str, str] = {}
        for name in chosen:
            fact = record.facts[name]
            key = fact.names[0] if d.chance(0.6) else d.one(fact.names)
            if key in keys.values():
                key = name
            keys[name] = key
        if len(set(keys.values()) | {group}) != len(keys) + 1 or len(keys) > 7:
            continue
        # which schemas are held out: by the kind of record and the set of paths
        paths = sorted(f"{group}/{keys[n]}" if n in inside else keys[n] for n in chosen)
        if is_held_out(record.noun + " " + " ".join(paths)) != held_out:
            continue
        # held out must be held out for every kind of record that can have these paths
        if not held_out or all(is_held_out(other.noun + " " + " ".join(paths))
                               for other in RECORDS.values() if _can_have(other, paths)):
            break
    else:
        raise RuntimeError("too few schemas to hold some out")
    loose: dict[str, str] = {}
    properties: dict[str, Any] = {}
    required: list[str] = []
    layout: list[tuple[str, Optional[str], str]] = []
    for name in chosen:
        fact, key = record.facts[name], keys[name]
        where, need = properties, required
        if name in inside:
            if group not in properties:
                properties[group] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
                required.append(group)
            where, need = properties[group]["properties"], properties[group]["required"]
        schema = dict(fact.schema)
        if name != record.main and d.chance(0.2):
            loose[name] = "|" if d.chance(0.3) and "type" in schema and isinstance(schema["type"], str) else "?"
        if loose.get(name) == "|":
            schema["type"] = [schema["type"], "null"]
        where[key] = schema
        if loose.get(name) != "?":
            need.append(key)
        layout.append((name, group if name in inside else None, key))
    return ({"type": "object", "properties": properties, "required": required, "additionalProperties": False},
            layout, loose)


def extract(d: Draw, *, templates: bool = False, schemas: bool = False, free: float = 0.0) -> tuple:
    """A record in a text, and its JSON.

    Parameters
    ----------
    d : Draw
        Gives names of the training part or the held-out part.
    templates, schemas : bool
        Whether sentences and frames, and schemas, are of the held-out part.
    free : float
        Probability that the prompt does not give the schema.

    Returns
    -------
    tuple
        Messages, JSON Schema, value.
    """
    record = RECORDS[d.one(list(RECORDS))]
    schema, layout, loose = _drawn_schema(d, record, schemas)
    values: dict[str, Any] = {}
    facts: dict[str, str] = {}
    present = [name for name, _, _ in layout if name not in loose or d.chance(0.55)]
    others = [n for n in record.facts if n not in {x for x, _, _ in layout}]
    extra = d.rng.sample(others, min(len(others), d.rng.choice((0, 0, 1, 1, 2))))
    for name in [record.main, *(n for n in present + extra if n != record.main)]:
        values[name], facts[name] = record.facts[name].draw(d, values)
    answer: dict[str, Any] = {}
    for name, group, key in layout:
        where = answer if group is None else answer.setdefault(group, {})
        if name in values:
            where[key] = values[name]
        elif loose.get(name) == "|":
            where[key] = None
    if not templates and d.chance(0.15):
        text = _labels(d, record, facts)
    else:
        text = _sentences(d, record, facts, templates)
    return frame(d, schema, text, record.noun, templates, free), schema, answer


_GROUPS = ("{l} came to the party.", "The team is {l}.", "Guests: {l}", "On the list are {l}.", "We invited {l}.",
           "~You will be joined by {l} tonight.")


def people(d: Draw, *, templates: bool = False, **_: Any) -> tuple:
    """Several people with one fact each, as an array."""
    kind = d.one(("age", "city", "job"))
    fact = RECORDS["person"].facts[kind]
    rows, said = [], []
    style = d.one(("{n} ({v})", "{n}, {v}", "{n} from {v}" if kind == "city" else "{n}: {v}"))
    keys = (d.one(("name", "person", "who")), kind if d.chance(0.7) else d.one(fact.names))
    for _n in range(d.rng.choice((1, 2, 2, 3))):
        name, (value, wording) = d.person(), fact.draw(d, {})
        rows.append({keys[0]: name, keys[1]: value})
        said.append(style.format(n=name, v=wording))
    row = {"type": "object", "properties": {keys[0]: {"type": "string"}, keys[1]: fact.schema},
           "required": list(keys), "additionalProperties": False}
    schema: dict = {"type": "array", "items": row}
    value: Any = rows
    whole = d.one((None, "people", "guests", "count"))
    if whole:
        key = "people" if whole == "count" else whole
        schema = {"type": "object", "properties": {key: schema}, "required": [key], "additionalProperties": False}
        value = {key: rows}
        if whole == "count":
            schema["properties"] = {"count": {"type": "integer"}, **schema["properties"]}
            schema["required"] = ["count", key]
            value = {"count": len(rows), key: rows}
    text = choose(d, _GROUPS, templates).format(l="; ".join(said) if "," in style else ", ".join(said))
    return frame(d, schema, text, "people", templates), schema, value


