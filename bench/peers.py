"""One adapter an engine, so that every bench asks them the same questions.

An adapter is built once a process (tokenizer work), then for each schema
``compile(schema, text)`` gives an object, and ``start(obj)`` a run with
``fill()`` (the bitmask as it stands in ``run.mask``, an int32 row), and
``commit(token) -> bool``.  Each engine is given the schema in the form it
takes at least cost: ours a ``dict``, the others JSON text.
Everything runs in one thread.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchdata import token_bytes, tokenizer_dir

__all__ = ["ENGINES", "make"]


class Refused(Exception):
    """The engine does not take this schema."""


class Ours:
    """structgen, with flexible white space and any option by keyword."""

    def __init__(self, **options: Any):
        import structgen as sg
        self.sg = sg
        self.options = options
        self.tokenizer = tokenizer_dir()
        self.width = (len(token_bytes()[0]) + 31) // 32
        self.eos = token_bytes()[2]

    def compile(self, schema: Any, text: str):
        sg = self.sg
        try:
            return sg.compile(sg.JsonSchema(schema, **self.options), self.tokenizer)
        except sg.StructgenError as e:
            raise Refused(f"{type(e).__name__}: {e}") from e

    def start(self, obj):
        return _OursRun(obj.matcher(), np.zeros((1, self.width), np.int32))


class _OursRun:
    def __init__(self, matcher, mask):
        self.bitmask = mask
        self.mask = mask[0]
        self.commit = matcher.try_accept
        self.matcher = matcher

    def fill(self) -> None:
        self.matcher.fill_bitmask(self.bitmask)


class LLGuidance:
    """llguidance through LLMatcher; a test starts by ``reset``, so its lexer stays warm."""

    def __init__(self):
        import llguidance
        from llguidance.numpy import fill_next_token_bitmask
        self.lib = llguidance
        self.fill = fill_next_token_bitmask
        tokens, _, self.eos = token_bytes()
        self.width = (len(tokens) + 31) // 32
        text = (tokenizer_dir() / "tokenizer.json").read_text(encoding="utf-8")
        self.tok = llguidance.LLTokenizer(text, eos_token=self.eos)
        self.version = getattr(llguidance, "__version__", "")

    def compile(self, schema: Any, text: str):
        try:
            grammar = self.lib.LLMatcher.grammar_from_json_schema(text)
        except ValueError as e:
            raise Refused(str(e)) from e
        m = self.lib.LLMatcher(self.tok, grammar, log_level=0)
        if m.is_error():
            raise Refused(m.get_error())
        return m

    def start(self, obj):
        if not obj.reset():
            raise RuntimeError(obj.get_error())
        return _LLRun(obj, np.zeros((1, self.width), np.int32), self.fill)


class _LLRun:
    def __init__(self, matcher, mask, fill):
        self.bitmask = mask
        self.mask = mask[0]
        self.matcher = matcher
        self.commit = matcher.consume_token
        self._fill = fill

    def fill(self) -> None:
        self._fill(self.matcher, self.bitmask)


class XGrammar:
    """xgrammar in its compliant mode (``strict_mode=False``), any white space, no cache."""

    def __init__(self):
        import torch
        import xgrammar as xgr
        torch.set_num_threads(1)
        self.lib = xgr
        self.torch = torch
        tokens, special, self.eos = token_bytes()
        names = {i: n for n, i in special.items()}
        vocab = [names[i].encode() if t is None and i in names else t or b"" for i, t in enumerate(tokens)]
        info = xgr.TokenizerInfo(vocab, xgr.VocabType.RAW, vocab_size=len(vocab), stop_token_ids=[self.eos])
        self.compiler = xgr.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self.width = (len(vocab) + 31) // 32

    def compile(self, schema: Any, text: str):
        try:
            return self.compiler.compile_json_schema(text, any_whitespace=True, strict_mode=False)
        except Exception as e:
            raise Refused(str(e).splitlines()[0] if str(e) else type(e).__name__) from e

    def start(self, obj):
        return _XgrRun(self.lib.GrammarMatcher(obj), self.torch.zeros((1, self.width), dtype=self.torch.int32))


class _XgrRun:
    def __init__(self, matcher, mask):
        self.bitmask = mask
        self.mask = mask.numpy()[0]
        self.matcher = matcher
        self.commit = matcher.accept_token

    def fill(self) -> None:
        self.matcher.fill_next_token_bitmask(self.bitmask)


class OutlinesCore:
    """outlines_core: schema to regex to an index over the vocabulary."""

    def __init__(self):
        import outlines_core
        from outlines_core.json_schema import build_regex_from_schema
        self.lib = outlines_core
        self.regex = build_regex_from_schema
        tokens, _, self.eos = token_bytes()
        table: dict[bytes, list[int]] = {}
        for i, t in enumerate(tokens):
            if t is not None:
                table.setdefault(t, []).append(i)
        self.vocab = outlines_core.Vocabulary(self.eos, table)
        self.width = (len(tokens) + 31) // 32

    def compile(self, schema: Any, text: str):
        try:
            return self.lib.Index(self.regex(text), self.vocab)
        except BaseException as e:  # a Rust panic is not an Exception
            if isinstance(e, (KeyboardInterrupt, SystemExit, MemoryError)):
                raise
            raise Refused(str(e).splitlines()[0] if str(e) else type(e).__name__) from e

    def start(self, obj):
        return _OutlinesRun(self.lib.Guide(obj), np.zeros((1, self.width), np.int32))


class _OutlinesRun:
    def __init__(self, guide, mask):
        self.bitmask = mask
        self.mask = mask[0]
        self.guide = guide
        self.args = (mask.ctypes.data, mask.size, mask.itemsize)

    def fill(self) -> None:
        self.guide.write_mask_into(*self.args)

    def commit(self, token: int) -> bool:
        self.guide.advance(token, return_tokens=False)
        return True


class GlrMask:
    """glrmask with its default strategy (compiles slowly, masks fast)."""

    def __init__(self, strategy: str = "AUTO"):
        import glrmask
        self.lib = glrmask
        self.strategy = getattr(glrmask.MaskStrategy, strategy)
        tokens, _, self.eos = token_bytes()
        self.vocab = glrmask.Vocab.from_id_to_bytes({i: t for i, t in enumerate(tokens) if t is not None})
        self.width = (len(tokens) + 31) // 32

    def compile(self, schema: Any, text: str):
        try:
            grammar = self.lib.Grammar.from_json_schema(text)
            return grammar.compile(self.vocab, mask_strategy=self.strategy)
        except BaseException as e:
            if isinstance(e, (KeyboardInterrupt, SystemExit, MemoryError)):
                raise
            raise Refused(str(e).splitlines()[0] if str(e) else type(e).__name__) from e

    def start(self, obj):
        return _GlrRun(obj.start(), np.zeros(self.width, np.int32))


class _GlrRun:
    def __init__(self, state, mask):
        self.state = state
        self.mask = mask
        self.commit = state.commit_token

    def fill(self) -> None:
        self.state.fill_mask(self.mask)

    def finished(self) -> bool:
        return self.state.is_accepting()


ENGINES = {
    "ours-any": lambda: Ours(order="any"),
    "ours-schema": lambda: Ours(order="schema"),
    "llguidance": LLGuidance,
    "xgrammar": XGrammar,
    "outlines_core": OutlinesCore,
    "glrmask": GlrMask,
    "glrmask-trie": lambda: GlrMask("TOKEN_TRIE"),
}


def make(name: str):
    """The adapter called `name`."""
    return ENGINES[name]()


def finished(run, eos: int) -> bool:
    """May the text end here? Call right after ``fill``."""
    ask = getattr(run, "finished", None)
    if ask is not None:
        return ask()
    return bool(run.mask[eos >> 5] >> (eos & 31) & 1)


def dumps(schema: Any) -> str:
    """The schema as JSON text, as the peers take it."""
    return json.dumps(schema, ensure_ascii=False)
