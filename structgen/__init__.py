"""structgen: exact constrained decoding.

Names are loaded on first use, so that ``import structgen`` is quick and imports
neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import (BudgetError, DeadEndError, GrammarError, LimitError, MatcherError, ModelError, PredicateError,
                     RegexError, SchemaError, StructgenError, UnsatisfiableSchema, UnsupportedSchema, VocabularyError)

# where each public name lives
_HOMES = {
    "agenerate": "api", "compile": "api", "generate": "api", "stream": "api", "witness": "api",
    "infill": "diffusion.infilling", "HOLE": "diffusion.infilling",
    "sample": "sampling.run", "SampleResult": "sampling.result",
    "Choice": "constraints", "JsonSchema": "constraints", "Regex": "constraints",
    "Either": "combinators", "Optional": "combinators", "Repeat": "combinators", "Seq": "combinators",
    "Substring": "combinators", "Text": "combinators", "Token": "combinators",
    "EBNF": "grammars", "GBNF": "grammars", "Lark": "grammars",
    "Compiled": "decoding.compiled", "Matcher": "decoding.matcher", "fill_batch": "decoding.matcher",
    "load_compiled": "decoding.artefact",
    "LogitsProcessor": "decoding.processor", "Result": "decoding.result", "ValueRefused": "decoding.values",
    "LoadedModel": "models.loading", "load": "models.loading",
    "Vocabulary": "tokens.vocabulary", "Validator": "validation", "validate": "validation",
}

__all__ = [
    "__version__", "StructgenError", "SchemaError", "UnsupportedSchema", "UnsatisfiableSchema", "GrammarError",
    "RegexError", "VocabularyError", "MatcherError", "LimitError", "DeadEndError", "BudgetError", "ModelError",
    "PredicateError", *_HOMES,
]

if TYPE_CHECKING:
    from .api import agenerate, compile, generate, stream, witness
    from .combinators import Either, Optional, Repeat, Seq, Substring, Text, Token
    from .constraints import Choice, JsonSchema, Regex
    from .decoding.artefact import load_compiled
    from .decoding.compiled import Compiled
    from .decoding.matcher import Matcher, fill_batch
    from .decoding.processor import LogitsProcessor
    from .decoding.result import Result
    from .decoding.values import ValueRefused
    from .diffusion.infilling import HOLE, infill
    from .grammars import EBNF, GBNF, Lark
    from .models.loading import LoadedModel, load
    from .sampling.result import SampleResult
    from .sampling.run import sample
    from .tokens.vocabulary import Vocabulary
    from .validation import Validator, validate


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None and name in ("diffusion", "sampling"):
        from importlib import import_module

        return import_module(f".{name}", __name__)
    if home is None:
        raise AttributeError(f"module 'structgen' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
