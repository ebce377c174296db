"""What the commands read: schemas, Python types, grammars, texts and tokenizers."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any, Optional

from ..errors import SchemaError, StructgenError, VocabularyError
from .common import InputError, UsageError, progress

__all__ = ["read_bytes", "read_text", "schema_source", "constraint", "prompted", "byte_vocabulary", "tokenizer",
           "quiet_libraries", "language_options"]

#: ``package.module:Name`` or ``folder/file.py:Name``
_OBJECT = re.compile(r"(?P<module>.+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\Z")


def read_bytes(name: str, what: str = "file") -> bytes:
    """The contents of a file, or of standard input for ``-``."""
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as err:
        raise InputError(f"cannot read the {what} {name!r}: {err.strerror or err}") from None


def read_text(name: str, what: str = "file") -> str:
    """The same, as text."""
    data = read_bytes(name, what)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise InputError(f"the {what} {name!r} is not UTF-8: byte {err.start}") from None


def schema_source(name: str) -> Any:
    """A schema (dict or bool) or Python type, from what stands on the command line.

    A path, ``-`` for standard input, JSON text that starts with ``{``, or
    ``package.module:Name`` and ``file.py:Name`` for a Python type.  The latter
    run the module they name.
    """
    from ..frontends.json_schema.read import parse_schema

    if name.lstrip()[:1] == "{" or name.strip() in ("true", "false"):
        return parse_schema(name)
    if name != "-" and not Path(name).exists():
        match = _OBJECT.match(name)
        if match:
            return _python_object(match["module"], match["name"])
    return parse_schema(read_bytes(name, "schema"))


def _python_object(module: str, name: str) -> Any:
    try:
        if module.endswith(".py"):
            path = Path(module)
            if not path.is_file():
                raise InputError(f"cannot read the Python file {module!r}: no such file")
            spec = importlib.util.spec_from_file_location(path.stem, path)
            loaded = importlib.util.module_from_spec(spec)      # type: ignore[arg-type]
            sys.modules[path.stem] = loaded
            spec.loader.exec_module(loaded)                     # type: ignore[union-attr]
        else:
            if "" not in sys.path:
                sys.path.insert(0, "")
            loaded = importlib.import_module(module)
    except StructgenError:
        raise
    except ModuleNotFoundError as err:
        raise InputError(f"cannot import {module!r}: {err}") from None
    except Exception as err:
        raise InputError(f"{module!r} failed when it was imported: {type(err).__name__}: {err}") from err
    found = loaded
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise SchemaError(f"{module!r} has no {name!r}") from None
    return found


def language_options(order: Optional[str], extra: Optional[str], whitespace: Optional[str], numbers: Optional[str],
                     escapes: Optional[str], format: Optional[str], no_format: Optional[list[str]],
                     lenient: bool = False, grammar: "tuple[Optional[str], ...]" = ()) -> dict[str, Any]:
    """The options of `sg.JsonSchema` that were given; the rest keep their defaults.

    Under ``"grammar"``: those of grammars (parser, lexer, start, postlex).
    """
    given = {"order": order, "extra": extra, "whitespace": whitespace, "numbers": numbers, "escapes": escapes,
             "format": {name: False for name in no_format} if no_format else format}
    if no_format and format:
        raise UsageError("--format and --no-format exclude each other")
    options = {name: value for name, value in given.items() if value is not None}
    if lenient:
        options["lenient"] = True
    if any(value is not None for value in grammar):
        options["grammar"] = dict(zip(("parser", "lexer", "start", "postlex"), grammar))
    return options


def constraint(schema: Optional[str], regex: Optional[str], choice: Optional[list[str]], options: dict[str, Any],
               ecma: bool = False) -> Any:
    """The grammar object that the command line describes."""
    import structgen as sg

    options = dict(options)
    given = options.pop("grammar", {})
    chosen = [name for name, value in (("a schema", schema), ("--regex", regex), ("--choice", choice)) if value]
    if len(chosen) != 1:
        raise UsageError("give " + (" or ".join(chosen) + ", not both" if chosen else "a schema, --regex or --choice"))
    from .explain_grammar import grammar_constraint, is_grammar

    if given and not is_grammar(schema):
        raise UsageError("--parser, --lexer, --start and --postlex concern grammars (.lark, .gbnf, .ebnf)")
    if schema is None and options:
        raise UsageError(f"--{next(iter(options))} concerns schemas only")
    if regex is not None:
        return sg.Regex(regex, mode="ecma" if ecma else "python")
    if choice:
        return sg.Choice(choice)
    if is_grammar(schema):
        if options:
            raise UsageError(f"--{next(iter(options))} concerns schemas only")
        return grammar_constraint(schema, **given)
    source = schema_source(schema)
    return sg.JsonSchema(source, **options)


def prompted(schema: Optional[str], regex: Optional[str], ecma: bool, choice: Optional[list[str]],
             options: dict[str, Any], prompt: str, model: str) -> tuple[Any, str, Any]:
    """What commands that run a model begin with: constraint, prompt and loaded model.

    In this order, so that a bad schema is known before the model is loaded.
    """
    import structgen as sg

    if prompt == "-" and schema == "-":
        raise UsageError("standard input can be read only once")
    target = constraint(schema, regex, choice, options, ecma)
    text = read_text("-", "prompt") if prompt == "-" else prompt
    quiet_libraries()
    with progress("loading the model"):
        return target, text, sg.load(model)


def byte_vocabulary() -> Any:
    """A vocabulary of the 256 bytes, for questions about texts rather than tokens."""
    import structgen as sg

    return sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)] + [b""], eos_ids=[256])


def tokenizer(name: str) -> Any:
    """What `sg.compile` takes as a tokenizer, from ``--tokenizer``.

    A folder or file as it is; ``bytes`` for one token a byte; ``embedded`` or
    ``tiny`` for those models'; anything else is a hub id, which needs transformers.
    """
    if Path(name).exists():
        return name
    if name == "bytes":
        return byte_vocabulary()
    if name in ("embedded", "embedded-diffusion"):
        from ..models import embedded_folder

        return embedded_folder(name)
    if name == "tiny":
        from ..models.tiny import tiny_model_folder

        try:
            return tiny_model_folder()
        except ImportError as err:
            raise VocabularyError(f"the tiny model's tokenizer needs torch and transformers: {err}",
                                  hint="pip install 'structgen[hf]'") from None
    quiet_libraries()
    try:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(name)
    except Exception as err:
        first = (str(err).strip().splitlines() or [""])[0]
        raise VocabularyError(f"there is no file or folder {name!r}, and as a hub id it could not be loaded: {first}",
                              hint="give a folder, a tokenizer.json, a hub id, or 'bytes'") from None


def quiet_libraries() -> None:
    """Keep the progress bars and retry messages of the model libraries off standard error."""
    for name, value in (("HF_HUB_DISABLE_PROGRESS_BARS", "1"), ("HF_HUB_VERBOSITY", "error"),
                        ("TRANSFORMERS_VERBOSITY", "error"), ("TOKENIZERS_PARALLELISM", "false")):
        os.environ.setdefault(name, value)
    try:
        from transformers.utils import logging
    except ImportError:
        return      # loading the model says what is missing
    logging.disable_progress_bar()
