"""The logits processor inside transformers' own decoding, every call checked from scratch."""

import pytest
import torch

from structgen.decoding.processor import LogitsProcessor
from structgen.errors import MatcherError, ModelError, StructgenError
from structgen.tokens.vocabulary import Vocabulary
from tests.support.fake_engine import FakeCompiled, bits_of

WORDS = ["yes", "no", "maybe not", "perhaps", "the quick brown fox", "the quick brown dog", '{"name": "Ada"}',
         '{"name": "Alan", "age": 3}']
OTHER = ["12", "123", "1234", "7", "77 88 99"]


class Checked(LogitsProcessor):
    """Compares every answer with one computed from the prefix alone."""

    prompt = None       # length of the prompts, set by the test
    beams = False

    def __call__(self, input_ids, scores):
        kept = scores.clone()
        out = super().__call__(input_ids, scores)
        assert torch.equal(scores, kept) or torch.isnan(kept).any()
        self.calls = getattr(self, "calls", 0) + 1
        share = input_ids.shape[0] // len(self.compiled)
        for r, ids in enumerate(input_ids.tolist()):
            c = self.compiled[r // share]
            allowed = self.expect(c, ids[self.prompt:])
            want = kept[r].clone()
            if allowed is not None:
                mask = torch.ones(len(want), dtype=torch.bool)
                mask[list(allowed)] = False
                want[mask] = float("-inf")
            assert torch.equal(out[r], want)
        return out

    def expect(self, c, tail):
        if c is None:
            return None
        m = c.matcher(max_tokens=self.max_tokens)
        for t in tail:
            if m.is_finished:
                return set(c.vocabulary.eos_ids)
            if not m.try_accept(t):         # a beam of score -inf
                assert self.beams
                return set(c.vocabulary.eos_ids)
        return set(c.vocabulary.eos_ids) if m.is_finished else bits_of(m, c.vocabulary.size)


@pytest.fixture(scope="module")
def words(vocabulary):
    return FakeCompiled(WORDS, vocabulary)


@pytest.fixture(scope="module")
def digits(vocabulary):
    return FakeCompiled(OTHER, vocabulary)


def run(tiny, p, prompts, **kw):
    tok = tiny.tokenizer
    batch = tok(prompts, return_tensors="pt", padding=True)
    p.prompt = batch.input_ids.shape[1]
    p.beams = "num_beams" in kw
    out = tiny.model.generate(batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=24,
                              logits_processor=[p], **kw)
    return [tok.decode(t, skip_special_tokens=True) for t in out[:, p.prompt:]]


def test_greedy_and_sampling(tiny, words):
    p = Checked(words)
    assert all(t in WORDS for t in run(tiny, p, ["Say: "]))
    torch.manual_seed(0)
    got = {t for _ in range(4) for t in run(tiny, p, ["Say: "], do_sample=True, num_return_sequences=4)}
    assert got <= set(WORDS) and len(got) > 1


def test_left_padded_batch_of_mixed_schemas(tiny, words, digits):
    p = Checked([words, digits, None, words])
    a, b, _, d = run(tiny, p, ["A", "Give me a long number please", "free", "B C D"])
    assert a in WORDS and b in OTHER and d in WORDS
    # reused, with another number of rows a prompt
    texts = run(tiny, p, ["x", "y", "z", "w"], do_sample=True, num_return_sequences=2)
    assert all(t in WORDS for t in texts[:2] + texts[6:]) and all(t in OTHER for t in texts[2:4])
    with pytest.raises(StructgenError, match="4 constraints for 3 rows"):
        run(tiny, p, ["x", "y", "z"])


@pytest.mark.parametrize("extra", [{"num_beams": 4}, {"num_beams": 3, "num_return_sequences": 3},
                                   {"num_beams": 4, "do_sample": True}])
def test_beams(tiny, words, digits, extra):
    torch.manual_seed(1)
    texts = run(tiny, Checked([words, digits]), ["Say: ", "A number "], **extra)
    k = extra.get("num_return_sequences", 1)
    assert len(texts) == 2 * k
    assert all(t in WORDS for t in texts[:k]) and all(t in OTHER for t in texts[k:])


def test_assisted_decoding_gives_the_same_text(tiny, words):
    import structgen.models.tiny as recipe
    from structgen.models import load

    plain = run(tiny, Checked(words), ["Say: "])
    assistant = load(recipe.tiny_model_folder(seed=1), device="cpu").model
    p = Checked(words)
    assert run(tiny, p, ["Say: "], assistant_model=assistant) == plain
    lengths = p.calls
    assert run(tiny, p, ["the quick brown fox the quick"], prompt_lookup_num_tokens=3) == \
        run(tiny, Checked(words), ["the quick brown fox the quick"])
    assert p.calls > lengths


def test_reused_across_prompts(tiny, words):
    p = Checked(words)
    for prompt in ["Say: ", "Say: ", "Say: yes", "Say", "Another prompt that is longer", "S"]:
        fresh = run(tiny, Checked(words), [prompt])
        assert run(tiny, p, [prompt]) == fresh


def test_chat_turn_after_a_finished_answer(tiny, words):
    tok = tiny.tokenizer
    p = Checked(words)
    first = run(tiny, p, ["Say: "])[0]
    longer = "Say: " + first + tok.eos_token + "Again: "
    assert run(tiny, p, [longer])[0] in WORDS


def test_same_call_twice_and_shrinking(words, vocabulary):
    p = LogitsProcessor(words)
    prompt = [5, 6, 7]
    ids = prompt + vocabulary.tokenize(b"the quick brown fox") + [vocabulary.eos_ids[0]]
    zero = torch.zeros(1, vocabulary.size)
    want = []
    for n in range(3, len(ids) + 1):
        want.append(p(torch.tensor([ids[:n]]), zero).clone())
        assert torch.equal(p(torch.tensor([ids[:n]]), zero), want[-1])
    import random

    rng = random.Random(0)
    at = len(ids)
    for _ in range(100):        # back anywhere, forward by one
        at = rng.choice([rng.randint(3, at), min(at + 1, len(ids))])
        assert torch.equal(p(torch.tensor([ids[:at]]), zero), want[at - 3])
    # forward by several that continue the text
    p(torch.tensor([ids[:4]]), zero)
    assert torch.equal(p(torch.tensor([ids[:7]]), zero), want[4])


def test_prompt_length_given(words, vocabulary):
    ids = [5, 6, 7] + vocabulary.tokenize(b"the quick brown fox")
    zero = torch.zeros(1, vocabulary.size)
    p = LogitsProcessor(words, prompt_length=3)
    out = p(torch.tensor([ids]), zero)
    assert torch.isfinite(out[0]).nonzero().flatten().tolist() == list(vocabulary.eos_ids)
    with pytest.raises(MatcherError):
        LogitsProcessor(words, prompt_length=3)(torch.tensor([[5, 6, 7, 0]]), zero)
    with pytest.raises(StructgenError):
        p(torch.tensor([[5]]), zero)


def test_finished_rows_get_eos_only(words, vocabulary):
    eos = vocabulary.eos_ids[0]
    yes = vocabulary.tokenize(b"yes") + [eos]
    ids = torch.tensor([[9] + yes, [9] + vocabulary.tokenize(b"the quick brown fox")[:len(yes)]])
    p = LogitsProcessor(words)
    zero = torch.zeros(2, vocabulary.size)
    for n in range(1, ids.shape[1] + 1):
        out = p(ids[:, :n], zero)
    for _ in range(3):
        assert torch.isfinite(out[0]).nonzero().flatten().tolist() == [eos]
        tail = out.argmax(dim=1, keepdim=True)
        tail[0] = 1         # padding, whatever its id
        ids = torch.cat([ids, tail], dim=1)
        out = p(ids, zero)
    # even when something else suppresses EOS
    scores = zero.clone()
    scores[:, eos] = float("-inf")
    ids = torch.cat([ids, torch.tensor([[1], [int(out[1].argmax())]])], dim=1)
    assert torch.isfinite(p(ids, scores)[0]).any()
    assert p.report()[0]["finished"] and p.report()[0]["tokens"] == len(yes)


def test_budget(tiny, words):
    p = Checked(words, max_tokens=3)
    tok = tiny.tokenizer
    ids = tok("Say: ", return_tensors="pt").input_ids
    p.prompt = ids.shape[1]
    out = tiny.model.generate(ids, logits_processor=[p], max_new_tokens=3)
    assert int(out[0, -1]) == tok.eos_token_id


def test_mass(tiny, words):
    tok = tiny.tokenizer
    ids = tok("Say: ", return_tensors="pt").input_ids
    p = LogitsProcessor(words, track_mass=True)
    out = tiny.model.generate(ids, logits_processor=[p], max_new_tokens=24)
    want = 0.0
    m = words.matcher()
    with torch.no_grad():
        logits = tiny.model(out).logits[0].double()
    for n in range(ids.shape[1], out.shape[1]):
        allowed = sorted(bits_of(m, words.vocabulary.size))
        want += float(torch.log_softmax(logits[n - 1], 0)[allowed].logsumexp(0))
        m.accept(int(out[0, n]))
    assert p.report()[0]["log_mass_kept"] == pytest.approx(want, abs=1e-4)


def test_contradicting_processors_and_bad_scores(tiny, vocabulary):
    c = FakeCompiled(["yes"], vocabulary)
    starts = [t for t in range(vocabulary.size) if (vocabulary.token_bytes(t) or b"x") in (b"y", b"ye", b"yes")]
    with pytest.raises(MatcherError, match="every token that may follow"):
        run(tiny, LogitsProcessor(c), ["Say: "], bad_words_ids=[[t] for t in starts])
    with pytest.raises(ModelError, match="NaN"):
        LogitsProcessor(c)(torch.tensor([[1, 2]]), torch.full((1, vocabulary.size), float("nan")))
    with pytest.raises(ModelError, match="canvas"):
        LogitsProcessor(c)(torch.tensor([[1, 2]]), torch.zeros(1, 4, vocabulary.size))
    with pytest.raises(ModelError, match="rows"):
        LogitsProcessor(c)(torch.tensor([[1, 2]]), torch.zeros(2, vocabulary.size))
    p = LogitsProcessor(c)
    p(torch.tensor([[1, 2]]), torch.zeros(1, vocabulary.size))
    with pytest.raises(MatcherError, match="forbids") as caught:
        p(torch.tensor([[1, 2, 3]]), torch.zeros(1, vocabulary.size))
    assert caught.value.token == 3 and "reset" in str(caught.value)
    p.reset()
    p(torch.tensor([[1, 2, 3]]), torch.zeros(1, vocabulary.size))


def test_arguments(words, vocabulary):
    with pytest.raises(StructgenError, match="at least one"):
        LogitsProcessor([None])
    with pytest.raises(StructgenError, match="compile"):
        LogitsProcessor("yes|no")
    small = FakeCompiled(["a"], Vocabulary.from_tokens([b"a", b"b"], eos_ids=[2]))
    with pytest.raises(StructgenError, match="different vocabularies"):
        LogitsProcessor([words, small])
    p = LogitsProcessor([words, None], max_tokens=9, inplace=True)
    q = p.clone()
    assert q.compiled == p.compiled and q.max_tokens == 9 and q.inplace and q is not p


def test_inplace(words, vocabulary):
    a, b = LogitsProcessor(words), LogitsProcessor(words, inplace=True)
    scores = torch.randn(1, vocabulary.size + 40)
    other = scores.clone()
    out = b(torch.tensor([[1]]), other)
    assert out is other and torch.equal(out, a(torch.tensor([[1]]), scores))
    assert not torch.isfinite(out[0, vocabulary.size:]).any()
