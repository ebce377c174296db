"""`generate` and its kin with the real engine and the tiny model."""

import asyncio
import dataclasses
import enum
import json
import re
import threading
from typing import Annotated, Literal, Optional

import pydantic
import pytest

import structgen as sg

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
torch.set_num_threads(1)


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Address(pydantic.BaseModel):
    street: Annotated[str, pydantic.Field(max_length=8)]
    number: Annotated[int, pydantic.Field(ge=1, le=99)]


class User(pydantic.BaseModel):
    name: Annotated[str, pydantic.Field(min_length=1, max_length=6, pattern="^[A-Z][a-z]*$")]
    age: Annotated[int, pydantic.Field(ge=0, le=130)]
    colour: Colour
    home: Optional[Address] = None
    tags: Annotated[list[Literal["a", "b", "c"]], pydantic.Field(max_length=3)] = []


@dataclasses.dataclass
class Point:
    x: Literal[1, 2]
    y: bool


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9},
                                           "b": {"enum": ["x", "y"]}},
          "required": ["a", "b"], "additionalProperties": False}


@pytest.fixture(scope="module")
def llm():
    return sg.load("tiny", device="cpu")


# -- values ---------------------------------------------------------------------------

@pytest.mark.parametrize("kw", [{}, {"temperature": 1.0}, {"temperature": 1.5, "top_p": 0.95, "jump": "tokens"},
                                {"temperature": 2.0, "jump": None}])
def test_python_types_come_back_as_themselves(llm, kw):
    for seed in range(3):
        user = sg.generate("A user: ", User, llm, max_new_tokens=120, seed=seed, **kw)
        assert type(user) is User and 0 <= user.age <= 130 and isinstance(user.colour, Colour)
        point = sg.generate("A point: ", Point, llm, seed=seed, **kw)
        assert isinstance(point, Point) and point.x in (1, 2) and isinstance(point.y, bool)
        numbers = sg.generate("Numbers: ", Annotated[list[bool], pydantic.Field(min_length=2, max_length=3)], llm,
                              seed=seed, **kw)
        assert len(numbers) in (2, 3) and all(isinstance(b, bool) for b in numbers)


def test_schemas_give_values_and_grammars_text(llm, tmp_path):
    value = sg.generate("x", SCHEMA, llm)
    assert set(value) == {"a", "b"} and not sg.validate(SCHEMA, value)
    assert set(sg.generate("x", json.dumps(SCHEMA), llm)) == {"a", "b"}
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA))
    assert set(sg.generate("x", tmp_path / "s.json", llm)) == {"a", "b"}
    assert re.fullmatch(r"[ab]{2}-\d", sg.generate("x", re.compile(r"[ab]{2}-\d", re.A), llm), re.A)
    assert sg.generate("x", sg.Regex("a{3}"), llm) == "aaa"
    assert sg.generate("x", sg.Choice(["yes", "no"]), llm) in ("yes", "no")
    compiled = sg.compile(SCHEMA, llm.tokenizer)
    assert set(sg.generate("x", compiled, llm)) == {"a", "b"}
    assert sg.generate("x", sg.JsonSchema(SCHEMA, whitespace="compact"), llm, return_result=True).text.count(" ") == 0


def test_batches_of_different_schemas(llm):
    prompts = ["Short", "A rather longer prompt than the others", [{"role": "user", "content": "hi"}], "free"]
    schemas = [User, sg.Regex("[0-9]{4}"), SCHEMA, None]
    out = sg.generate(prompts, schemas, llm, max_new_tokens=120, temperature=1.0, seed=7)
    assert isinstance(out[0], User) and out[1].isdigit() and set(out[2]) == {"a", "b"} and isinstance(out[3], str)
    alone = [sg.generate(p, s, llm, max_new_tokens=120, temperature=1.0, seed=7 + k)
             for k, (p, s) in enumerate(zip(prompts, schemas))]
    assert alone == out
    assert sg.generate(prompts, SCHEMA, llm, seed=[1, 2, 3, 4])[1].keys() == {"a", "b"}
    results = sg.generate(prompts, schemas, llm, max_new_tokens=120, return_result=True)
    assert [r.finish_reason for r in results[:3]] == ["stop"] * 3 and results[3].log_mass_kept is None


def test_result(llm):
    r = sg.generate("A user: ", User, llm, max_new_tokens=120, return_result=True, chat_template=False)
    assert isinstance(r, sg.Result) and User.model_validate_json(r.text) == r.value
    assert r.finish_reason == "stop" and r.tokens[-1] == llm.tokenizer.eos_token_id
    assert llm.tokenizer.decode(r.tokens[:-1]) == r.text
    assert r.prompt_text == "A user: " and r.prompt_tokens == len(llm.tokenizer("A user: ").input_ids)
    assert r.log_mass_kept < 0 and r.unenforced == [] and r.max_new_tokens == 120
    assert r.timings["forwards"] >= 1 and r.timings["total"] >= r.timings["forward"] > 0
    assert set(r.forced_tokens) <= set(range(len(r.tokens)))
    lenient = sg.JsonSchema({"type": "array", "not": {"uniqueItems": True}, "items": {"const": 1}, "maxItems": 2},
                            lenient=True)
    r = sg.generate("x", lenient, llm, return_result=True)
    assert [(e.keyword, e.status) for e in r.unenforced] == [("not", "not enforced")]


def test_budget(llm):
    needed = None
    for budget in range(1, 60):
        try:
            text = sg.generate("x", SCHEMA, llm, max_new_tokens=budget, temperature=3.0, seed=budget,
                               return_result=True)
        except sg.BudgetError as error:
            assert needed is None and error.given == budget
            last = error.needed
            continue
        if needed is None:
            needed = budget
            assert needed == last
        assert len(text.tokens) <= budget and text.finish_reason == "stop" and set(text.value) == {"a", "b"}
    assert needed is not None
    # the context window is a budget too
    long = llm.tokenizer.decode([40] * 2040)
    with pytest.raises(sg.BudgetError):
        sg.generate(long, User, llm, chat_template=False)
    with pytest.raises(sg.ModelError, match="context"):
        sg.generate(long * 2, User, llm, chat_template=False)


def test_chat_templates(llm):
    def shown(prompt, **kw):
        return sg.generate(prompt, sg.Choice(["a"]), llm, return_result=True, **kw).prompt_text

    assert shown("hi") == shown("hi", chat_template=True) == "<|user|>hi<|end|><|assistant|>"
    assert shown("hi", chat_template=False) == "hi"
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert shown(messages) == "<|system|>s<|end|><|user|>u<|end|><|assistant|>"
    assert shown([*messages, {"role": "assistant", "content": "so"}]).endswith("<|assistant|>so")
    for bad, options in ((messages, {"chat_template": False}), ([{"content": "x"}], {}), ("x", {"chat_template": 3}),
                         (7, {}), ([], {"chat_template": True})):
        if bad == []:
            assert sg.generate(bad, User, llm) == []
            continue
        with pytest.raises(sg.StructgenError):
            shown(bad, **options)
    import copy

    bare = copy.deepcopy(llm.tokenizer)
    bare.chat_template = None
    assert sg.generate("hi", sg.Choice(["a"]), llm.model, tokenizer=bare, return_result=True).prompt_text == "hi"
    with pytest.raises(sg.ModelError, match="no chat template"):
        sg.generate(messages, sg.Choice(["a"]), llm.model, tokenizer=bare)


# -- streams --------------------------------------------------------------------------

def grown(before, after):
    """Does `after` only add to `before`?"""
    if isinstance(before, dict):
        return isinstance(after, dict) and all(k in after and grown(v, after[k]) for k, v in before.items())
    if isinstance(before, list):
        return isinstance(after, list) and len(after) >= len(before) and all(map(grown, before, after))
    return before == after


@pytest.mark.parametrize("jump", ["bytes", None])
def test_stream_of_partial_objects(llm, jump):
    for seed in range(4):
        options = dict(max_new_tokens=120, temperature=1.5, seed=seed, jump=jump)
        items = list(sg.stream("A user: ", User, llm, **options))
        final = sg.generate("A user: ", User, llm, **options)
        assert items[-1] == final and all(isinstance(i, User) for i in items)
        for item in items:
            for name, value in vars(item).items():
                whole = getattr(final, name)
                if name in ("home", "tags") and value is not None:
                    continue
                assert value == whole           # never a half scalar
        plain = list(sg.stream("x", SCHEMA, llm, **options))
        for before, after in zip(plain, plain[1:]):
            assert grown(before, after)


def test_numbers_in_streams_are_whole(llm):
    schema = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 99999}, "maxItems": 4}
    for seed in range(6):
        items = list(sg.stream("x", schema, llm, max_new_tokens=60, temperature=1.2, seed=seed))
        for item in items:
            assert item == items[-1][:len(item)]


def test_stream_of_text(llm):
    items = list(sg.stream("x", sg.Regex("(é|☃|a){6}"), llm, temperature=2.0, seed=1))
    assert re.fullmatch("(é|☃|a){6}", items[-1]) and all(items[-1].startswith(i) for i in items)
    free = list(sg.stream("x", None, llm, max_new_tokens=8))
    assert all(free[-1].startswith(i) for i in free)
    with pytest.raises(sg.StructgenError, match="one prompt"):
        sg.stream(["a", "b"], User, llm)


# -- async ----------------------------------------------------------------------------

def test_agenerate_and_cancelling(llm):
    async def run():
        a, b = await asyncio.gather(sg.agenerate("A user: ", User, llm, max_new_tokens=100),
                                    sg.agenerate("x", SCHEMA, llm))
        assert isinstance(a, User) and set(b) == {"a", "b"}
        steps = []
        started = threading.Event()

        def note():
            steps.append(1)
            started.set()
            return False

        task = asyncio.ensure_future(sg.agenerate("x", None, llm, max_new_tokens=100_000, cancelled=note))
        while not started.is_set():
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.2)
        count = len(steps)
        await asyncio.sleep(0.2)
        assert len(steps) == count          # the thread has stopped

    asyncio.run(run())
    r = sg.generate("x", None, llm, cancelled=lambda: True, return_result=True)
    assert r.finish_reason == "cancelled"


# -- errors ---------------------------------------------------------------------------

def test_bad_arguments(llm, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cases = [
        (dict(schema=SCHEMA, model=None), sg.ModelError, "no model"),
        (dict(schema=SCHEMA, model=3), sg.ModelError, "not a model"),
        (dict(schema=SCHEMA, model=llm.model), sg.ModelError, "tokenizer"),
        (dict(schema=SCHEMA, model="no/such-model-anywhere"), sg.ModelError, "cannot load"),
        (dict(schema=SCHEMA, model="embedded-nonsense/x"), sg.ModelError, "cannot load"),
        (dict(schema=SCHEMA, model=llm, sampling="exact"), sg.StructgenError, "sampling"),
        (dict(schema=SCHEMA, model=llm, temprature=1), sg.StructgenError, "temprature"),
        (dict(schema=SCHEMA, model=llm, max_new_tokens=0), sg.StructgenError, "max_new_tokens"),
        (dict(schema=SCHEMA, model=llm, seed="x"), sg.StructgenError, "seed"),
        (dict(schema=SCHEMA, model=llm, jump="far"), sg.StructgenError, "jump"),
        (dict(schema=[SCHEMA], model=llm), sg.StructgenError, "list of prompts"),
        (dict(schema={"type": "strin"}, model=llm), sg.SchemaError, "strin"),
        (dict(schema=False, model=llm), sg.UnsatisfiableSchema, "no value"),
        (dict(schema=sg.Regex, model=llm), sg.StructgenError, ""),
        (dict(schema={"a", "b"}, model=llm), sg.SchemaError, "set"),
    ]
    for options, kind, text in cases:
        with pytest.raises(kind) as caught:
            sg.generate("x", **options)
        assert text in str(caught.value)
    with pytest.raises(sg.StructgenError, match="2 schemas for 3 prompts"):
        sg.generate(["a", "b", "c"], [SCHEMA, SCHEMA], llm)
    other = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
    with pytest.raises(sg.ModelError, match="another tokenizer"):
        sg.generate("x", sg.compile(SCHEMA, other), llm)
    with pytest.raises(sg.StructgenError, match="another vocabulary"):
        sg.compile(sg.compile(SCHEMA, other), llm.tokenizer)


# -- constraints ----------------------------------------------------------------------

def test_constraints_refuse_early():
    for make, kind in [
        (lambda: sg.Choice([]), sg.UnsatisfiableSchema),
        (lambda: sg.Choice("yes"), sg.StructgenError),
        (lambda: sg.Choice([1]), sg.StructgenError),
        (lambda: sg.Choice(["\ud800"]), sg.StructgenError),
        (lambda: sg.Regex("a("), sg.RegexError),
        (lambda: sg.Regex("a(", mode="ecma"), sg.RegexError),
        (lambda: sg.Regex(b"a"), sg.StructgenError),
        (lambda: sg.Regex("a", mode="perl"), sg.StructgenError),
        (lambda: sg.Regex(r"a(?!.*)"), sg.UnsatisfiableSchema),
        (lambda: sg.JsonSchema(SCHEMA, order="random"), sg.StructgenError),
        (lambda: sg.JsonSchema(SCHEMA, extra="some"), sg.StructgenError),
        (lambda: sg.JsonSchema(SCHEMA, format="maybe"), sg.StructgenError),
        (lambda: sg.JsonSchema(SCHEMA, format={"date": "no"}), sg.StructgenError),
        (lambda: sg.JsonSchema(SCHEMA, whitespace=3), sg.StructgenError),
        (lambda: sg.JsonSchema(None), sg.SchemaError),
        (lambda: sg.compile(None, None), sg.SchemaError),
    ]:
        with pytest.raises(kind):
            make()


LETTERS = None


def accepts(constraint, text):
    global LETTERS
    LETTERS = LETTERS or sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
    m = sg.compile(constraint, LETTERS).matcher()
    try:
        m.accept_bytes(text.encode())
    except sg.MatcherError:
        return False
    return m.can_end()


def test_every_option_changes_the_language():
    objects = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "string", "format": "date"}},
               "required": ["a"]}

    def both(text, **options):
        return accepts(sg.JsonSchema(objects), text), accepts(sg.JsonSchema(objects, **options), text)

    assert both('{"b": "2020-01-01", "a": 1}', order="any") == (False, True)
    assert both('{"a": 1, "c": 2}', extra="closed") == (True, False)
    assert both('{"a": 1}', whitespace="compact") == (True, False)
    assert both('{"a":1}', whitespace="json.dumps") == (True, False)
    assert both('{"a":\t1}', whitespace=" ?") == (True, False)
    assert both('{"a": 1e3}', numbers="plain") == (True, False)
    assert both('{"a": 1, "b": "2020-01-0\\u0031"}', escapes="minimal") == (True, False)
    assert both('{"a": 1, "b": "x"}', format="annotate") == (False, True)
    assert both('{"a": 1, "b": "x"}', format={"date": False}) == (False, True)
    remote = {"$ref": "https://example.org/a"}
    assert accepts(sg.JsonSchema(remote, registry={"https://example.org/a": {"const": 1}}), "1")
    assert not accepts(sg.JsonSchema(remote, registry={"https://example.org/a": {"const": 2}}), "1")
    with pytest.raises(sg.UnsupportedSchema):
        sg.JsonSchema({"not": {"uniqueItems": True}})
    assert accepts(sg.JsonSchema({"not": {"uniqueItems": True}}, lenient=True), "[1, 2]")


def test_regex_dialects_and_flags():
    assert accepts(sg.Regex("a.c"), "abc") and not accepts(sg.Regex("a.c"), "xabc")
    assert accepts(sg.Regex("a.c", mode="ecma"), "abc") and not accepts(sg.Regex("a.c|b", mode="ecma"), "xb")
    assert accepts(re.compile("A.c", re.I | re.S), "a\nC") and not accepts(re.compile("A.c"), "a\nC")
    assert accepts(re.compile("(?i)A"), "a")
    assert accepts(re.compile("a b # comment", re.X), "ab")


def test_witness():
    assert sg.witness(SCHEMA) == {"a": 0, "b": "x"}
    assert sg.witness(sg.Regex("(abc|x)+")) == "x"
    user = sg.witness(User)
    assert isinstance(user, User) and user.home is None


def test_compiled_are_kept_between_calls(llm, monkeypatch):
    import structgen.api as api

    made = []
    real = api.compile
    monkeypatch.setattr(api, "compile", lambda *a: made.append(a) or real(*a))
    fresh = {"type": "object", "properties": {"kept": {"type": "boolean"}}, "required": ["kept"],
             "additionalProperties": False}
    for _ in range(3):
        sg.generate("x", dict(fresh), llm)
    assert len(made) == 1
    sg.generate("x", {**fresh, "required": []}, llm)
    assert len(made) == 2


def test_imports_are_light():
    import subprocess
    import sys

    code = ("import sys, structgen; "
            "heavy = {'torch', 'transformers', 'pydantic', 'numba', 'numpy'} & set(sys.modules); "
            "assert not heavy, heavy; structgen.StructgenError; assert 'generate' in dir(structgen)")
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError):
        sg.no_such_name
    for name in sg.__all__:
        assert getattr(sg, name) is not None
