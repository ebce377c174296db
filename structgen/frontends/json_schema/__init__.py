"""JSON Schema to the normal form of :mod:`structgen.grammar.ir`.

:func:`lower` is the entry; :func:`read_schema` and its kin read documents.
"""

from .grammar import SchemaGrammar, lower
from .read import load_schema, parse_schema, read_schema

__all__ = ["lower", "SchemaGrammar", "read_schema", "parse_schema", "load_schema"]
