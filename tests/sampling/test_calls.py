"""What `sg.sample` takes: grammars, predicates that ask something real, budgets; and what it refuses."""

from __future__ import annotations

import ast
import math
import sqlite3

import numpy as np
import pytest

import structgen as sg
from structgen.errors import LimitError, ModelError
from structgen.sampling import PrefixOracle, sample

from .doubles import HashModel, chi_squared, law, letters


@pytest.mark.parametrize("grammar", [
    sg.Lark('start: "a" start? "b"'), sg.Lark('start: "a" start "b" | "a" "b"', parser="lalr"),
    sg.GBNF('root ::= "a" root "b" | "ab"')], ids=["earley", "lalr", "gbnf"])
def test_grammars_are_sampled(grammar):
    vocabulary = letters(["ab", "aa", "bb"])
    model = HashModel(vocabulary.size, 4, 1.0, {t: 5.0 for t in (*b"ab", 256, 257, 258)})
    truth = law(model, vocabulary, ["a" * n + "b" * n for n in range(1, 6)], 6)
    r = sample(model, None, sg.compile(grammar, vocabulary), n=800, seed=3, max_tokens=6)
    assert r.exact and chi_squared(r.token_ids, truth) > 1e-3
    assert r.log_z_bounds[0] - 1e-6 <= math.log(sum(truth.values())) <= r.log_z_bounds[1] + 1e-6


def test_only_canonical_spellings():
    vocabulary = letters(["ab", "abc"])
    model = HashModel(vocabulary.size, 2, 1.0, {t: 5.0 for t in (*b"abc", 256, 257)})
    compiled = sg.compile(sg.Regex("(abc|ab|b)c?"), vocabulary)
    everything = law(model, vocabulary, ["abc", "abcc", "ab", "b", "bc"], 8)
    text = lambda ids: b"".join(vocabulary.token_bytes(t) or b"" for t in ids[:-1])  # noqa: E731
    truth = {ids: p for ids, p in everything.items() if tuple(vocabulary.encode(text(ids))) == ids[:-1]}
    assert 5 == len(truth) < len(everything)
    r = sample(model, None, compiled, n=800, seed=1, max_tokens=8, tokens="canonical")
    assert r.exact and chi_squared(r.token_ids, truth) > 1e-3


# -- black boxes on top of a grammar -----------------------------------------------------------------

def _unbiased(model, vocabulary, texts, good, predicate, horizon):
    """The mean of awrs' estimates of Z is the true mass of what the predicate keeps, and so are the frequencies."""
    compiled = sg.compile(sg.Choice(texts), vocabulary)
    truth = {x: p for x, p in law(model, vocabulary, texts, horizon).items()
             if b"".join(vocabulary.token_bytes(t) or b"" for t in x).decode() in good}
    total, values, weights = sum(truth.values()), [], {x: 0.0 for x in truth}
    runs = 150
    for seed in range(runs):
        try:
            r = sample(model, None, compiled, n=4, particles=4, seed=seed, max_tokens=horizon, sampling="awrs",
                       predicate=predicate)
        except sg.MatcherError:         # all refused: the estimate is 0
            values.append(0.0)
            continue
        assert not r.exact
        values.append(math.exp(r.log_z) / total)
        for ids, w in zip(r.token_ids, r.weights):
            weights[ids] += w * values[-1] / runs
    values = np.array(values)
    assert abs(values.mean() - 1) < 5 * values.std() / math.sqrt(runs)
    for ids, p in truth.items():
        assert abs(weights[ids] - p / total) < 5 * values.std() / math.sqrt(runs) + 0.02


def test_a_database_as_predicate():
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (a, b)")
    texts = [f"select {x} from {t}" for x in ("a", "b", "c", "a,b") for t in ("t", "s")]
    vocabulary = letters(["select ", " from ", ","])
    model = HashModel(vocabulary.size, 6, 1.0, {t: 6.0 for t in (*b"abcts", 256, 257)})

    def runs(text: bytes, ended: bool) -> bool:
        if not ended:
            return True
        try:
            connection.execute("explain " + text.decode())
        except sqlite3.Error:
            return False
        return True

    _unbiased(model, vocabulary, texts, {"select a from t", "select b from t", "select a,b from t"}, runs, 30)


def test_a_type_checker_as_predicate():
    names = {"n": int, "s": str}

    def kind(node):
        if isinstance(node, ast.BinOp):
            left, right = kind(node.left), kind(node.right)
            if isinstance(node.op, ast.Mult):
                return None if None in (left, right) or (left, right) == (str, str) else str if str in (left, right) \
                    else int
            return left if left == right else None
        return names[node.id]

    def typed(text: bytes, ended: bool) -> bool:
        return not ended or kind(ast.parse(text.decode(), mode="eval").body) is not None

    texts = [x + op + y for x in "ns" for op in "+*" for y in "ns"] + ["n", "s"]
    good = {t for t in texts if typed(t.encode(), True)}
    assert len(good) == 7
    vocabulary = letters(["n+", "*s"])
    model = HashModel(vocabulary.size, 7, 1.0, {t: 6.0 for t in (*b"ns+*", 256, 257)})
    _unbiased(model, vocabulary, texts, good, typed, 6)


def test_what_particles_had_finished_is_kept():
    vocabulary = letters([])
    model = HashModel(vocabulary.size, 3, 1.0, {t: 6.0 for t in (*b"abc", 256)})
    compiled = sg.compile(sg.Regex("[abc]{1,10}"), vocabulary)
    with pytest.raises(LimitError) as caught:
        sample(model, None, compiled, n=50, max_tokens=12, seed=0, sampling="smc", budget={"forwards": 3})
    found = caught.value.partial
    assert found.stopped == "forwards" and not found.exact and {len(t) for t in found.texts} == {1, 2}
    with pytest.raises(sg.PredicateError, match="gave nan") as caught:
        sample(model, None, compiled, n=50, max_tokens=12, seed=0, sampling="smc",
               potential=lambda text, ended: math.nan if len(text) > 3 else 0.0)
    assert {len(t) for t in caught.value.partial.texts} >= {1, 2}
    assert len(caught.value.text) == 4


# -- the planner ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("pattern, spread, method, why", [
    ("[ab]{6}", 0.0, "weighted", "100% of 32 masked texts are effective"),
    ("[ab]{1,3}", 2.5, "exact", "independent draws cost about"),
    ("[ab]{30}", 3.0, "smc", "independent draws would take")])
def test_the_planner_says_why(pattern, spread, method, why):
    vocabulary = letters([])
    model = HashModel(vocabulary.size, 1, spread, {t: 7.0 for t in (*b"ab", 256)})
    r = sample(model, None, sg.compile(sg.Regex(pattern), vocabulary), n=8, seed=1, max_tokens=40, sampling="aligned")
    assert r.method == method and why in r.reason and r.exact == (method == "exact")
    assert r.reason in r.report()


# -- what is scored ahead ----------------------------------------------------------------------------

def test_forced_tokens_are_scored_as_far_as_walks_come():
    vocabulary = letters([])
    text = "abcdefghij"
    likely = HashModel(vocabulary.size, 1, 0.1, {})
    likely.line = lambda path: np.where(np.arange(vocabulary.size) == (
        ord(text[len(path)]) if len(path) < len(text) else vocabulary.size - 1), 9.0, 0.0)
    unlikely = HashModel(vocabulary.size, 1, 0.1)
    for model, ahead in ((likely, True), (unlikely, False)):
        o = PrefixOracle(model, sg.compile(sg.Choice([text, "ax"]), vocabulary), 20)
        o.expand([0], sure=False)           # the first token is a guess: nothing is known of this model yet
        o.expand([o.child(0, ord("a")) if not ahead else o.size - 1], sure=False)
        v = 1
        o.expand([o.child(v, ord("b"))], sure=False)
        assert (o.evaluations > 8) == ahead
    o = PrefixOracle(unlikely, sg.compile(sg.Choice([text]), vocabulary), 20)
    o.expand([0])
    assert o.evaluations == 11 and o.passes == 1


def test_scores_past_the_limit_go_to_a_file():
    vocabulary = letters([])
    model = HashModel(vocabulary.size, 1, 1.0, {t: 4.0 for t in (*b"abc", 256)})
    compiled = sg.compile(sg.Regex("[a-z]{1,12}"), vocabulary)
    plain, small = (sample(model, None, compiled, n=400, seed=2, max_tokens=14, sampling="mask", max_bytes=size)
                    for size in (1 << 30, 1 << 10))
    assert small.oracle._file is not None and plain.oracle._file is None and plain.token_ids == small.token_ids


# -- refusals -----------------------------------------------------------------------------------------

def test_masked_models_are_refused():
    pytest.importorskip("transformers")
    from transformers import BertConfig, BertForMaskedLM

    _, tokenizer = sg.load("tiny", device="cpu")
    model = BertForMaskedLM(BertConfig(vocab_size=64, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                                       intermediate_size=8))
    with pytest.raises(ModelError, match="masked"):
        sample(model, "x", sg.Choice(["a"]), tokenizer=tokenizer)
    with pytest.raises(sg.StructgenError, match="left to right"):
        sg.generate("x", sg.Choice(["a"]), model, tokenizer=tokenizer, sampling="exact")
