"""The prefix oracle: its invariants, what it saves, and scorers."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import structgen as sg
from structgen.errors import LimitError, ModelError, StructgenError
from structgen.sampling import NGram, PrefixOracle, TransformerScorer, Warping, sample
from structgen.sampling.dp import Product
from structgen.sampling.estimates import pareto_k, z_from_attempts
from structgen.sampling.particles import adaptive_draw

from .doubles import HashModel, law, letters, masked_law


def check(o: PrefixOracle) -> None:
    """Every expanded node: theta is the sum over its row, rest its part without expanded children."""
    for v in range(o.size):
        if not o.expanded[v] or not o.count[v]:
            continue
        ids, logp = o.row(v)
        children = {}
        c = o.first[v]
        while c >= 0:
            if o.expanded[c]:
                children[int(o.token[c])] = c
            c = o.sibling[c]
        p = np.exp(logp.astype(np.float64))
        total = sum(x * (o.theta[children[int(t)]] if int(t) in children else 1.0) for t, x in zip(ids, p))
        rest = sum(x for t, x in zip(ids, p) if int(t) not in children)
        assert math.isclose(o.theta[v], total, rel_tol=1e-9, abs_tol=1e-300)
        assert math.isclose(o.rest[v], rest, rel_tol=1e-6, abs_tol=1e-15)
        assert math.isclose(o.mass[v], p.sum(), rel_tol=1e-12)


@settings(max_examples=25)
@given(st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=8, unique=True),
       st.lists(st.text("abc", min_size=2, max_size=3), max_size=4, unique=True), st.integers(0, 1 << 30),
       st.integers(1, 7))
def test_bounds_hold_while_the_trie_grows(texts, pieces, seed, horizon):
    vocabulary = letters(pieces)
    model = HashModel(vocabulary.size, seed, 1.5, {t: 5.0 for t in b"abc"})
    truth = law(model, vocabulary, texts, horizon)
    z = sum(truth.values())
    o = PrefixOracle(model, sg.compile(sg.Choice(texts), vocabulary), horizon)
    rng = random.Random(seed)
    last = 1.0
    o.expand([0])
    for _ in range(30):
        assert o.upper <= last + 1e-15 and o.known <= z * (1 + 1e-6) + 1e-12 and o.upper >= z * (1 - 1e-6) - 1e-12
        last = o.upper
        v = rng.randrange(o.size)
        if not o.expanded[v]:
            o.expand([v])
            continue
        ids, _ = o.row(v)
        if len(ids):
            t = int(rng.choice(list(ids)))
            if not o.ends[t]:
                o.child(v, t)
    check(o)
    assert o.complete(10_000)
    check(o)
    for value in (o.upper, o.known):
        assert math.isclose(value, z, rel_tol=1e-5, abs_tol=1e-30)
    found = {(*o.path(v), int(t)): o.log_prob(v, int(t)) for v in range(o.size) if o.count[v]
             for t in o.row(v)[0] if o.ends[t]}
    assert set(found) == set(truth)


def test_forced_chains_are_one_call():
    vocabulary = letters([])
    model = HashModel(vocabulary.size, 1)
    r = sample(model, None, sg.compile(sg.Choice(["abcdefgh", "x"]), vocabulary), n=1, max_tokens=20, seed=0,
               diagnose=0, sampling="dp")
    assert r.passes <= 3 and r.evaluations == 10        # root; eight behind a..h; one behind x


def test_work_goes_on_where_it_ended(tmp_path):
    vocabulary = letters(["ab"])
    model = HashModel(vocabulary.size, 1, 2.0, {t: 4.0 for t in b"ab"})
    compiled = sg.compile(sg.Regex("[ab]{1,6}"), vocabulary)
    first = sample(model, None, compiled, n=50, seed=1, max_tokens=8)
    first.oracle.save(tmp_path / "oracle.npz")
    before = model.positions
    again = sample(model, None, compiled, n=50, seed=1, max_tokens=8, oracle=tmp_path / "oracle.npz", diagnose=0)
    check(again.oracle)
    assert again.evaluations == model.positions - before < first.evaluations
    assert again.oracle.key == first.oracle.key
    longer = sample(model, None, compiled, n=50, seed=2, oracle=first.oracle)
    assert longer.oracle is first.oracle
    other = sg.compile(sg.Regex("[ab]{1,5}"), vocabulary)
    for asked, options, what in ((HashModel(vocabulary.size, 2), {}, "model"), (model, {"temperature": 0.5}, "distr"),
                                 (model, {"max_tokens": 7}, "horizon"), (model, {"tokens": "canonical"}, "spellings")):
        with pytest.raises(StructgenError, match=f"another {what}|another set of {what}"):
            sample(asked, None, compiled, n=1, oracle=first.oracle, **options)
    with pytest.raises(StructgenError, match="another constraint"):
        sample(model, None, other, n=1, oracle=first.oracle)
    with pytest.raises(StructgenError, match="without the model"):
        sample(None, None, other, n=1, oracle=first.oracle)
    with pytest.raises(StructgenError, match="another model"):
        sample(model, None, compiled, n=1, max_tokens=7, oracle=tmp_path / "oracle.npz")
    with pytest.raises(StructgenError, match="another model"):
        sample(model, None, compiled, n=1, max_tokens=8, temperature=0.5, oracle=tmp_path / "oracle.npz")


def test_damaged_files_are_refused_or_harmless(tmp_path):
    vocabulary = letters(["ab"])
    model = HashModel(vocabulary.size, 1, 2.0, {t: 4.0 for t in b"ab"})
    compiled = sg.compile(sg.Regex("[ab]{1,6}"), vocabulary)
    path = tmp_path / "oracle.npz"
    sample(model, None, compiled, n=20, seed=1, max_tokens=8).oracle.save(path)
    data = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(150):
        broken = bytearray(data)
        for _ in range(rng.choice([1, 1, 3])):
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        path.write_bytes(broken if rng.random() < 0.8 else broken[:rng.randrange(len(broken))])
        try:
            sample(model, None, compiled, n=5, seed=1, max_tokens=8, oracle=path, diagnose=0)
        except StructgenError:
            refused += 1
    assert refused > 100


def test_rows_move_to_a_file(monkeypatch):
    vocabulary = letters(["ab", "ba"])
    model = HashModel(vocabulary.size, 1, 2.0, {t: 4.0 for t in b"ab"})
    compiled = sg.compile(sg.Regex("[a-z]{1,6}"), vocabulary)
    plain = sample(model, None, compiled, n=100, seed=1, max_tokens=8)
    small = PrefixOracle(model, compiled, 8, max_bytes=1 << 10)
    small.ids, small.logp = small.ids[:16].copy(), small.logp[:16].copy()
    r = sample(None, None, None, n=100, seed=1, oracle=small)
    assert small._file is not None and r.token_ids == plain.token_ids
    check(small)


def test_filters_are_those_of_transformers():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    scores = torch.randn(20, 50, generator=torch.Generator().manual_seed(0)) * 3
    for given_, wrapped in (({"temperature": 0.7}, transformers.TemperatureLogitsWarper(0.7)),
                            ({"top_k": 7}, transformers.TopKLogitsWarper(7)),
                            ({"top_p": 0.8}, transformers.TopPLogitsWarper(0.8)),
                            ({"min_p": 0.1}, transformers.MinPLogitsWarper(0.1))):
        theirs = torch.log_softmax(wrapped(None, scores.clone()).double(), dim=1).numpy()
        np.testing.assert_allclose(np.exp(Warping(**given_).log_probs(scores.numpy())), np.exp(theirs), atol=1e-6)


# -- exact sums ------------------------------------------------------------------------------------------

def ngram(vocabulary, order=3):
    texts = ["abab", "aab", "ba", "abba", "b", "aabb"]
    return NGram.fit([list(t.encode()) for t in texts], vocab_size=vocabulary.size, order=order,
                     end=vocabulary.size - 1, k=0.02)


def test_product_of_finite_context_and_regular_constraint():
    vocabulary = letters(["ab"])
    model = ngram(vocabulary)
    compiled = sg.compile(sg.Regex("(ab|ba|b)+"), vocabulary)
    whole = Product(model, compiled)
    for horizon in (1, 4, 9):
        texts = ["".join(x) for n in range(1, 9) for x in _words(n) if _splits("".join(x))]
        truth = law(model, vocabulary, texts, horizon)
        if not truth:
            continue
        p = Product(model, compiled, max_tokens=horizon)
        assert math.isclose(p.z, sum(truth.values()), rel_tol=1e-5)
        q = masked_law(model, vocabulary, [t for t in texts], 9) if horizon == 9 else None
        if q is not None:
            kl = sum(x / p.z * math.log(x / p.z / q[k]) for k, x in truth.items() if k in q)
            assert kl > -1e-9
        assert p.z <= whole.z + 1e-12
    # far horizons approach all lengths
    assert math.isclose(Product(model, compiled, max_tokens=400).z, whole.z, rel_tol=1e-9)
    r = sample(model, None, compiled, n=4000, seed=0, sampling="dp", max_tokens=None)
    lengths = np.array([len(x) for x in r.token_ids])
    assert abs(lengths.mean() - whole.length_target) < 5 * lengths.std() / math.sqrt(len(lengths))
    sums = r.log_p - r.log_q
    assert abs(sums.mean() - math.log(whole.z) - whole.kl_target_mask) < 5 * sums.std() / math.sqrt(len(sums))
    masked = sample(model, None, compiled, n=2000, seed=1, sampling="mask", max_tokens=300)
    assert abs(math.log(whole.z) - np.mean(masked.log_w) - whole.kl_mask_target) \
        < 5 * np.std(masked.log_w) / math.sqrt(2000) + 1e-6
    walked = sample(model, None, compiled, n=2000, seed=1, sampling="exact", max_tokens=300)
    assert abs(np.mean([len(x) for x in walked.token_ids]) - whole.length_target) < 5 * lengths.std() / math.sqrt(2000)


def _words(n):
    return [""] if n == 0 else [w + c for w in _words(n - 1) for c in "ab"]


def _splits(text):
    return not text or any(text.startswith(p) and _splits(text[len(p):]) for p in ("ab", "ba", "b"))


def test_products_that_are_not_finite_are_refused():
    vocabulary = letters([])
    compiled = sg.compile(sg.JsonSchema({"$ref": "#/$defs/a", "$defs": {"a": {
        "type": "array", "items": {"$ref": "#/$defs/a"}}}}, whitespace="compact"), vocabulary)
    with pytest.raises(LimitError):
        Product(ngram(vocabulary), compiled, max_states=200)


# -- estimates ---------------------------------------------------------------------------------------------

def test_intervals_cover():
    vocabulary = letters(["ab"])
    model = HashModel(vocabulary.size, 9, 1.5, {t: 5.0 for t in b"abc"})
    texts = ["a", "ab", "abc", "abcabc", "b", "cab", "cc"]
    z = math.log(sum(law(model, vocabulary, texts, 10).values()))
    compiled = sg.compile(sg.Choice(texts), vocabulary)
    hits, values = 0, []
    for seed in range(80):
        r = sample(model, None, compiled, n=15, seed=seed, max_tokens=10, batch=4, diagnose=0)
        low, high = r.log_z_interval
        hits += low - 1e-6 <= z <= high + 1e-6
        values.append(math.exp(r.log_z - z))
        assert r.log_z_bounds[0] - 1e-6 <= z <= r.log_z_bounds[1] + 1e-6
    assert hits >= 68
    assert abs(np.mean(values) - 1) < 0.1


def test_z_from_attempts_at_the_edges():
    assert z_from_attempts([], [], [], (0.0, 0.5)).low == 0.0
    assert z_from_attempts([0.2], [0.2], [False], (0.2, 0.2)).value == 0.2
    z = z_from_attempts([0.0] * 50, [1.0] * 50, [False] * 50, (0.0, 1.0))
    assert z.low == 0.0 and z.value < 1e-3 and 0.02 < z.high < 0.06


def test_pareto_k_tells_tails():
    rng = np.random.default_rng(0)
    heavy = pareto_k(np.log(rng.pareto(1.0, 4000) + 1))
    light = pareto_k(np.log(rng.uniform(0.5, 1, 4000)))
    assert heavy > 0.8 and light < 0.3 and pareto_k([0.0] * 100) == -math.inf and pareto_k([0.0]) is None


def test_adaptive_draws_are_properly_weighted():
    rng = np.random.default_rng(1)
    p = np.array([0.5, 0.3, 0.1, 0.06, 0.03, 0.01])
    good = {1, 4, 5}
    total = np.zeros(len(p))
    n = 40_000
    for _ in range(n):
        k, share = adaptive_draw(p, good.__contains__, rng)
        total[k] += share
    truth = np.array([x if i in good else 0.0 for i, x in enumerate(p)])
    np.testing.assert_allclose(total / n, truth, atol=5 * np.sqrt(truth.max() / n))
    assert adaptive_draw(p, lambda k: False, rng) == (-1, 0.0)


# -- bad input ------------------------------------------------------------------------------------------

class Broken(HashModel):
    def line(self, path):
        out = super().line(path)
        if len(path) >= 2:
            out[5] = math.nan
        return out


def test_errors_keep_what_was_found():
    vocabulary = letters([])
    compiled = sg.compile(sg.Choice(["a", "abc", "b"]), vocabulary)
    boost = {t: 6.0 for t in b"abc"}
    with pytest.raises(ModelError, match="NaN") as caught:
        sample(Broken(vocabulary.size, 3, 1.0, boost), None, compiled, n=500, max_tokens=8, seed=0)
    assert caught.value.partial.method == "exact"
    model = HashModel(vocabulary.size, 3, 1.0, boost)
    with pytest.raises(LimitError) as caught:
        sample(model, None, compiled, n=500, max_tokens=8, seed=0, batch=1, budget={"attempts": 100})
    assert 0 < len(caught.value.partial) < 500 and caught.value.partial.stopped == "attempts"
    r = sample(model, None, compiled, n=500, max_tokens=8, seed=0, budget={"forwards": 2}, on_budget="return")
    assert r.stopped == "forwards" and not r.exact
    with pytest.raises(sg.MatcherError, match="probability zero"):
        sample(HashModel(vocabulary.size, 3, 1.0, {50: 90.0}), None, compiled, n=1, max_tokens=8, top_k=1)
    with pytest.raises(sg.MatcherError, match="horizon"):
        sample(model, None, sg.compile(sg.Choice(["abc"]), vocabulary), n=1, max_tokens=3)

    with pytest.raises(ModelError, match="NaN"):
        finite = ngram(vocabulary)
        finite.tables[()] = finite.tables[()] * math.nan
        sample(finite, None, compiled, n=1, max_tokens=8, sampling="dp")
    with pytest.raises(sg.MatcherError, match="probability zero"):
        sample(ngram(vocabulary), None, sg.compile(sg.Choice(["c"]), vocabulary), max_tokens=8, sampling="dp", top_k=1)

    class Unplugged(HashModel):
        def line(self, path):
            if path:
                raise ConnectionError("unplugged")
            return super().line(path)

    with pytest.raises(ConnectionError) as caught:      # a scorer's own error passes, with what was found
        sample(Unplugged(vocabulary.size, 3, 1.0, boost), None, compiled, n=500, max_tokens=8, seed=0)
    assert caught.value.partial.oracle.evaluations == 1

    def fails(text, ended):
        raise KeyError("the database is gone")

    with pytest.raises(sg.PredicateError, match="the database is gone") as caught:
        sample(model, None, compiled, n=4, max_tokens=8, sampling="awrs", predicate=fails)
    assert isinstance(caught.value.__cause__, KeyError) and caught.value.partial.oracle.evaluations == 1
    with pytest.raises(sg.MatcherError, match="refused everything"):
        sample(model, None, compiled, n=4, max_tokens=8, sampling="awrs", predicate=lambda text, ended: False)


@pytest.mark.parametrize("options, text", [
    ({"sampling": "magic"}, "wanted one of"), ({"n": 0}, "n=0"), ({"batch": True}, "batch=True"),
    ({"max_tokens": 0}, "max_tokens=0"), ({"max_tokens": None}, "no horizon"), ({"temperature": 0}, "temperature"),
    ({"top_q": 1}, "unknown argument"), ({"budget": {"money": 1}}, "money"), ({"sampling": "awrs"}, "predicate"),
    ({"predicate": len}, "predicate"), ({"tokens": "some"}, "tokens="), ({"potential": len}, "potential"),
    ({"sampling": "mcmc", "style": "wild"}, "style="), ({"on_budget": "ignore"}, "on_budget"),
    ({"budget": {"forwards": 0}}, "forwards=0"), ({"budget": {"seconds": "1"}}, "seconds='1'"), ({"budget": 3}, "dict"),
    ({"seed": -1}, "seed=-1"), ({"diagnose": "x"}, "diagnose='x'"),
    ({"sampling": "smc", "particles": 0}, "particles=0"), ({"threshold": 2}, "threshold=2"),
    ({"oracle": 5}, "oracle=5"), ({"seed": "a"}, "seed='a'"),
])
def test_arguments_are_checked(options, text):
    vocabulary = letters([])
    model = HashModel(vocabulary.size)
    with pytest.raises(StructgenError, match=text):
        sample(model, None, sg.compile(sg.Choice(["a"]), vocabulary), **{"n": 1, "max_tokens": 4, **options})


# -- transformers ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def tiny():
    pytest.importorskip("torch").set_num_threads(1)
    pytest.importorskip("transformers")
    return sg.load("tiny", device="cpu")


def test_pooled_caches_give_the_scores_of_plain_runs(tiny):
    import torch

    model, tokenizer = tiny
    prompt = tokenizer("The list: ")["input_ids"]
    scorer = TransformerScorer(model, prompt, max_batch=5)
    rng = random.Random(0)
    paths = [tuple(rng.choices(range(5, 400), k=rng.randrange(0, 9))) for _ in range(12)]
    paths += [p[:rng.randrange(0, len(p) + 1)] for p in paths] + [(), paths[0] + (7, 8)]
    counts = [rng.randrange(1, len(p) + 2) for p in paths]

    def plain(path):
        with torch.inference_mode():
            return model(torch.tensor([[*prompt, *path]])).logits[0].float().numpy()

    for max_bytes in (1 << 30, 1 << 14):
        scorer.max_bytes = max_bytes
        for path, count, got in zip(paths, counts, scorer.score(paths, counts)):
            assert got.shape[0] == count
            np.testing.assert_allclose(got, plain(path)[-count:], atol=2e-4)
    assert scorer.prefills == 1
    alone = TransformerScorer(model, prompt)
    alone._pooled = False
    np.testing.assert_allclose(alone.score(paths[:3], counts[:3])[1], plain(paths[1])[-counts[1]:], atol=2e-4)
    with pytest.raises(ModelError, match="empty prompt"):
        TransformerScorer(model, [])


def test_sampling_a_transformer(tiny):
    # weights follow from scores computed without cache and batch
    import torch

    r = sg.sample(tiny, "Colour: ", sg.Regex("(red|green|blue)"), n=40, seed=3, diagnose=8)
    assert r.exact and set(r.texts) <= {"red", "green", "blue"} and r.prompt_prefills == 1
    model, tokenizer = tiny
    from structgen.decoding.chat import encode
    _, prompt = encode("Colour: ", tokenizer, "auto")
    for ids, log_p in list(zip(r.token_ids, r.log_p))[:5]:
        with torch.inference_mode():
            logits = model(torch.tensor([[*prompt, *ids]])).logits[0].double()
        plain = torch.log_softmax(logits, dim=1)[len(prompt) - 1:-1].gather(1, torch.tensor(ids)[:, None]).sum()
        assert abs(float(plain) - log_p) < 1e-3
    again = sg.sample(tiny, "Colour: ", sg.Regex("(red|green|blue)"), n=40, seed=3, diagnose=8)
    assert again.token_ids == r.token_ids
    assert "KL(masking || target)" in r.report() and r.plot().startswith("<svg")
    canonical = sg.sample(tiny, "Colour: ", sg.Regex("(red|green|blue)"), n=20, seed=3, tokens="canonical")
    assert {ids[:-1] for ids in canonical.token_ids} <= {
        tuple(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in ("red", "green", "blue")}
    for sampling in ("aligned", "weighted", "smc", "mcmc", "mask"):
        assert set(sg.sample(tiny, "Colour: ", sg.Choice(["red", "green"]), n=5, seed=1, sampling=sampling).texts) \
            <= {"red", "green"}


def test_generate_samples(tiny):
    for sampling in ("exact", "aligned", "smc"):
        assert sg.generate("Colour: ", sg.Choice(["red", "green"]), tiny, sampling=sampling, seed=1) in ("red", "green")
    r = sg.generate(["a", "b"], {"enum": [1, 2]}, tiny, sampling="exact", seed=1, return_result=True)
    assert [x.value in (1, 2) for x in r] == [True, True] and all(x.log_mass_kept < 0 for x in r)
    for options in ({"sampling": "wild"}, {"sampling": "exact", "cancelled": bool},
                    {"sampling": "exact", "repetition_penalty": 2.0}):
        with pytest.raises(StructgenError):
            sg.generate("a", sg.Choice(["red"]), tiny, **options)
    with pytest.raises(StructgenError, match="constraint"):
        sg.generate("a", None, tiny, sampling="exact")
