"""The front end's verdicts beside those of ``jsonschema``."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator

from structgen.errors import LimitError, UnsatisfiableSchema, UnsupportedSchema
from structgen.frontends.json_schema import lower
from structgen.grammar.ir import Options
from tests.support.ir_validate import accepts


def check(schema, instances) -> bool:
    """Compare the verdicts; False when the schema is refused."""
    try:
        grammar = lower(schema, Options(order="any"))
    except UnsatisfiableSchema:
        grammar = None
    except (UnsupportedSchema, LimitError):
        return False
    judge = Draft202012Validator(schema)
    for value in instances:
        found = grammar is not None and accepts(grammar, grammar.root, value)
        assert found == judge.is_valid(value), (json.dumps(schema), value)
    return True
