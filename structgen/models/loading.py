"""``sg.load``: a model and its tokenizer from a name, a folder or a hub id."""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

from ..errors import ModelError

__all__ = ["LoadedModel", "EMBEDDED", "load", "as_loaded", "embedded_folder", "is_masked_model", "fills_slots"]

# models that come as package data, each a folder under structgen/models/data
EMBEDDED = ("embedded", "embedded-diffusion")
_DATA = Path(__file__).resolve().parent / "data"


class LoadedModel:
    """A model and its tokenizer; unpacks as ``model, tokenizer = sg.load(...)``."""

    __slots__ = ("model", "tokenizer", "name")

    def __init__(self, model: Any, tokenizer: Any, name: str = ""):
        self.model = model
        self.tokenizer = tokenizer
        self.name = name

    def __iter__(self) -> Iterator[Any]:
        return iter((self.model, self.tokenizer))

    def __repr__(self) -> str:
        return f"<LoadedModel {self.name or type(self.model).__name__}>"


def load(name: str | os.PathLike, *, device: Any = None, dtype: Any = None, tokenizer: Any = None,
         **options: Any) -> LoadedModel:
    """Load a language model and its tokenizer.

    Parameters
    ----------
    name : str or path
        A folder in Hugging Face format, a hub id, ``"embedded"`` (the small
        causal model that comes with the package), ``"embedded-diffusion"`` (the
        small masked-diffusion model) or ``"tiny"`` (random weights, for tests).
    device : optional
        Where to put the model; default: a GPU if torch sees one, else the CPU.
    dtype : optional
        As for ``from_pretrained``; default: as stored, and single precision
        for the embedded models.
    tokenizer : optional
        A tokenizer, or its folder or id, instead of the one beside the model.
    **options
        Passed on to ``AutoModelForCausalLM.from_pretrained``, or that of
        ``AutoModelForMaskedLM`` if the configuration names such an architecture.

    Raises
    ------
    ModelError
        If the model or its tokenizer cannot be found or loaded.

    Examples
    --------
    >>> model, tokenizer = load("tiny")
    >>> type(model).__name__
    'LlamaForCausalLM'
    """
    with _without_collecting():
        return _load(os.fspath(name), device, dtype, tokenizer, options)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """No garbage collection: it takes a quarter of the time that transformers needs to import its modules."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load(label: str, device: Any, dtype: Any, tokenizer: Any, options: dict[str, Any]) -> LoadedModel:
    where = label
    if label in EMBEDDED:
        where = embedded_folder(label)
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ModelError(f"loading a model needs torch and transformers: {error}",
                         hint="pip install 'structgen[hf]'") from error
    if label == "tiny":
        from .tiny import tiny_model_folder

        where = tiny_model_folder()
    if tokenizer is None or isinstance(tokenizer, (str, os.PathLike)):
        source = where if tokenizer is None else os.fspath(tokenizer)
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        except Exception as error:
            raise _unloadable("tokenizer", source, error) from error
    if dtype is None and label in EMBEDDED:
        dtype = torch.float32       # stored in half precision for its size, which CPUs are slow at
    try:
        config = transformers.AutoConfig.from_pretrained(
            where, **{k: options[k] for k in ("trust_remote_code", "revision", "token", "cache_dir") if k in options})
        kind = transformers.AutoModelForMaskedLM if is_masked_model(config) else transformers.AutoModelForCausalLM
        if dtype is not None:
            new = tuple(map(int, transformers.__version__.split(".")[:2])) >= (4, 56)
            options["dtype" if new else "torch_dtype"] = dtype
        model = kind.from_pretrained(where, **options)
        if "device_map" not in options:
            if device is None:
                device = "cuda" if torch.cuda.is_available() else "cpu"
            model = model.to(device)
    except Exception as error:
        raise _unloadable("model", where, error) from error
    return LoadedModel(model.eval(), tokenizer, label)


def embedded_folder(name: str) -> str:
    """The folder of a model that comes with the package, in Hugging Face format.

    Parameters
    ----------
    name : {"embedded", "embedded-diffusion"}

    Raises
    ------
    ModelError
        If this installation comes without the model.
    """
    if not (_DATA / name / "config.json").is_file():
        raise ModelError(f"this version of structgen comes without the model {name!r}",
                         hint="give a folder or hub id, or 'tiny' for a random model")
    return str(_DATA / name)


def is_masked_model(model: Any) -> bool:
    """Is a model (or its config) a masked language model, to be loaded and run as one?

    Examples
    --------
    >>> is_masked_model(load("tiny").model)
    False
    """
    architectures = getattr(getattr(model, "config", model), "architectures", None) or [type(model).__name__]
    return any(str(name).endswith("ForMaskedLM") for name in architectures)


def fills_slots(model: Any) -> bool:
    """Does a model fill masked slots?  Masked language models, and others whose configuration names a mask token.

    Examples
    --------
    >>> fills_slots(load("tiny").model)
    False
    """
    return is_masked_model(model) or isinstance(getattr(getattr(model, "config", None), "mask_token_id", None), int)


def _unloadable(what: str, source: str, error: Exception) -> ModelError:
    first = str(error).strip().splitlines()
    text = f"cannot load the {what} {source!r}: {type(error).__name__}: {first[0] if first else ''}"
    hint = None
    if not os.path.exists(source):
        hint = "no such folder here; as a hub id it was not found, or there is no access to the hub"
    return ModelError(text, hint=hint)


def as_loaded(model: Any, tokenizer: Any = None) -> LoadedModel:
    """What ``generate(model=..., tokenizer=...)`` was given, as a `LoadedModel`.

    `model` is what :func:`load` returns, a name or folder, a ``(model,
    tokenizer)`` pair, or a model with `tokenizer` beside it.
    """
    if isinstance(model, LoadedModel):
        return model if tokenizer is None else LoadedModel(model.model, tokenizer, model.name)
    if isinstance(model, (str, os.PathLike)):
        return _named(os.fspath(model), tokenizer)
    if isinstance(model, tuple) and len(model) == 2:
        return LoadedModel(model[0], model[1] if tokenizer is None else tokenizer)
    if model is None:
        raise ModelError("no model given", hint="model=sg.load('embedded'), a folder, a hub id, or a "
                                                "transformers model with tokenizer=...")
    if not callable(model):
        raise ModelError(f"not a model: {type(model).__name__}",
                         hint="wanted a transformers causal language model, a folder or a hub id")
    if tokenizer is None:
        raise ModelError(f"a {type(model).__name__} was given without its tokenizer",
                         hint="pass tokenizer=..., or load both with sg.load")
    if isinstance(tokenizer, (str, os.PathLike)):
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(tokenizer)
        except Exception as error:
            raise _unloadable("tokenizer", os.fspath(tokenizer), error) from error
    return LoadedModel(model, tokenizer)


# the models named in calls of generate, so that a loop over prompts loads once
_recent: dict[str, LoadedModel] = {}


def _named(name: str, tokenizer: Any) -> LoadedModel:
    if tokenizer is not None:
        return load(name, tokenizer=tokenizer)
    found = _recent.get(name)
    if found is None:
        found = load(name)
        while len(_recent) >= 2:
            _recent.pop(next(iter(_recent)))
        _recent[name] = found
    return found
