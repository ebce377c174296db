"""What constraints cost inside transformers: seconds a decoding step, ours beside the peers'.

    STRUCTGEN_DATA=... python bench/hf_overhead.py [--batches 1,8,32] [--repeat 3] [--engines ...]

A tiny random Llama with the Llama-3 vocabulary (128,256 ids) runs
``model.generate`` greedily over real documents: each row has its own schema and
is led along a valid instance of it by a processor before the constraint's, so every engine
decides about the same prefixes.  Timed is the constraint's own logits
processor, from its call to its return: mask, commit and application to the
scores, in CPU time of the process on one torch thread (so that a busy machine
does not decide), each step at its best of the repeats.  Schemas are compiled
afresh for each repeat, outside the clock; matchers are made inside it, at the
first step.  JIT and ``torch.compile`` have run before.

Engines: structgen's ``LogitsProcessor``; ``xgrammar.contrib.hf``; llguidance's
``LLMatcher`` with its own ``llguidance.torch`` fill and apply (and, as it has
no processor of its own, the least code around them).  Exits with 1 unless ours
takes at most half of the better peer at every batch size.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any, Callable

import benchdata
import torch

V = 128_256


class Timed:
    """A processor with a clock around it."""

    def __init__(self, inner: Callable):
        self.inner = inner
        self.steps: list[float] = []

    def __call__(self, input_ids, scores):
        clock = time.process_time()
        out = self.inner(input_ids, scores)
        self.steps.append(time.process_time() - clock)
        return out


class Lead:
    """Makes the next token of each row's document the model's favourite."""

    def __init__(self, documents: list[list[int]], prompt: int):
        self.documents = documents
        self.prompt = prompt

    def __call__(self, input_ids, scores):
        at = input_ids.shape[1] - self.prompt
        for r, tokens in enumerate(self.documents):
            if at < len(tokens):
                scores[r, tokens[at]] = 1e9
        return scores


class LLGuidanceProcessor:
    """The least a processor over llguidance has to do."""

    def __init__(self, tokenizer, grammars):
        import llguidance
        import llguidance.torch as lt

        self.lt = lt
        self.matchers = [llguidance.LLMatcher(tokenizer, g) for g in grammars]
        self.bitmask = lt.allocate_token_bitmask(len(grammars), V)
        self.started = False

    def __call__(self, input_ids, scores):
        if self.started:
            for matcher, token in zip(self.matchers, input_ids[:, -1].tolist()):
                if not matcher.is_stopped():
                    matcher.consume_token(token)
        self.started = True
        for r, matcher in enumerate(self.matchers):
            self.lt.fill_next_token_bitmask(matcher, self.bitmask, r)
        self.lt.apply_token_bitmask_inplace(scores, self.bitmask)
        return scores


class Ours:
    name = "structgen"

    def __init__(self):
        import structgen as sg

        self.sg = sg
        self.vocabulary = sg.Vocabulary.load(str(benchdata.tokenizer_dir()))
        eos = benchdata.token_bytes()[2]
        self.vocabulary = self.vocabulary.with_eos([eos])

    def compile(self, schema):
        return self.sg.compile(self.sg.JsonSchema(schema), self.vocabulary)

    def accepts(self, compiled, tokens):
        m = compiled.matcher()
        return all(m.try_accept(t) for t in tokens)

    def processor(self, compiled):
        return self.sg.LogitsProcessor(compiled)


class XGrammar:
    name = "xgrammar"

    def __init__(self):
        import xgrammar as xgr
        from transformers import AutoTokenizer

        self.xgr = xgr
        info = xgr.TokenizerInfo.from_huggingface(AutoTokenizer.from_pretrained(benchdata.tokenizer_dir()),
                                                  vocab_size=V)
        self.compiler = xgr.GrammarCompiler(info, max_threads=1, cache_enabled=False)

    def compile(self, schema):
        return self.compiler.compile_json_schema(json.dumps(schema), any_whitespace=True, strict_mode=False)

    def accepts(self, compiled, tokens):
        m = self.xgr.GrammarMatcher(compiled)
        return all(m.accept_token(t) for t in tokens)

    def processor(self, compiled):
        from xgrammar.contrib.hf import LogitsProcessor

        return LogitsProcessor(compiled)


class LLGuidance:
    name = "llguidance"

    def __init__(self):
        import llguidance.hf
        from transformers import AutoTokenizer

        self.llg = llguidance
        self.tokenizer = llguidance.hf.from_tokenizer(
            AutoTokenizer.from_pretrained(benchdata.tokenizer_dir()), n_vocab=V)

    def compile(self, schema):
        grammar = self.llg.LLMatcher.grammar_from_json_schema(json.dumps(schema))
        if self.llg.LLMatcher(self.tokenizer, grammar).is_error():
            raise ValueError("refused")
        return grammar

    def accepts(self, compiled, tokens):
        m = self.llg.LLMatcher(self.tokenizer, compiled)
        return m.try_consume_tokens(tokens[:-1]) == len(tokens) - 1 and m.is_accepting()

    def processor(self, compiled):
        return LLGuidanceProcessor(self.tokenizer, compiled)


ENGINES = {e.name: e for e in (Ours, LLGuidance, XGrammar)}


def workload(engines: list[Any], count: int) -> list[tuple[Any, list[int]]]:
    """`count` pairs of schema and document tokens that every engine takes."""
    eos = benchdata.token_bytes()[2]
    out = []
    for _, case in benchdata.cases(every=37):
        texts = [benchdata.instance_text(t["data"]) for t in case["tests"] if t["valid"]]
        tokens = [benchdata.encoder().encode(t, add_special_tokens=False).ids + [eos] for t in texts]
        tokens = [t for t in tokens if 24 <= len(t) <= 160]
        if not tokens or len(json.dumps(case["schema"])) > 6000:
            continue
        try:
            if all(e.accepts(e.compile(case["schema"]), tokens[0]) for e in engines):
                out.append((case["schema"], tokens[0]))
        except Exception:           # refused by one: not comparable
            continue
        if len(out) == count:
            return out
    raise SystemExit(f"only {len(out)} documents that every engine takes")


def model() -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=V, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True, bos_token_id=128000, eos_token_id=128009,
        pad_token_id=128009)).eval()


def run(llm, rows, engine) -> tuple[list[float], float]:
    """Seconds in the processor, step by step, and in all, a step."""
    prompt = torch.tensor([[128000, 791, 1217]] * len(rows))
    documents = [tokens for _, tokens in rows]
    lead = Lead(documents, prompt.shape[1])
    processors: list = [lead]
    timed = None
    if engine is not None:
        timed = Timed(engine.processor([engine.compile(schema) for schema, _ in rows]))
        processors = [lead, timed]
    clock = time.process_time()
    out = llm.generate(prompt, attention_mask=torch.ones_like(prompt), logits_processor=processors,
                       max_new_tokens=max(map(len, documents)), do_sample=False)
    total = (time.process_time() - clock) / (out.shape[1] - prompt.shape[1])
    for row, tokens in zip(out[:, prompt.shape[1]:].tolist(), documents):
        if row[:len(tokens)] != tokens:
            raise SystemExit("a mask forbade a token of a valid document")
    return ([0.0] if timed is None else timed.steps), total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--engines", default="structgen,llguidance,xgrammar")
    args = parser.parse_args()
    benchdata.require()
    torch.set_num_threads(1)
    engines = [ENGINES[name]() for name in args.engines.split(",")]
    batches = [int(b) for b in args.batches.split(",")]
    rows = workload(engines, max(batches))
    llm = model()
    good = True
    print(f"{'batch':>5}  {'engine':<12}{'constraint ms/step':>20}{'whole ms/step':>16}", flush=True)
    for batch in batches:
        # batch 1: each of a few documents on its own, so that one schema does not decide
        groups = [rows[:batch]] if batch > 1 else [[row] for row in rows[:8]]
        best: dict[str, float] = {}
        for engine in [None, *engines]:
            name = "(none)" if engine is None else engine.name
            run(llm, groups[0], engine)                         # warm-up: JIT, torch.compile, caches of files
            steps: list[float] = []
            total = 0.0
            for group in groups:
                runs = [run(llm, group, engine) for _ in range(args.repeat)]
                steps += [min(step) for step in zip(*(s for s, _ in runs))]
                total += min(t for _, t in runs) / len(groups)
            constraint = sum(steps) / len(steps)
            best[name] = constraint
            print(f"{batch:>5}  {name:<12}{1e3 * constraint:>20.3f}{1e3 * total:>16.3f}", flush=True)
        peers = {k: v for k, v in best.items() if k not in ("structgen", "(none)")}
        if "structgen" in best and peers:
            ratio = best["structgen"] / min(peers.values())
            good &= ratio <= 0.5
            print(f"{batch:>5}  ours / better peer = {ratio:.3f}  (bar 0.5: {'met' if ratio <= 0.5 else 'MISSED'})",
                  flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
