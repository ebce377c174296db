"""Python types: their schemas hold for their values, and what the schemas allow comes back typed."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import json
import pathlib
import random
import re
import subprocess
import sys
import typing
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar, Union

import jsonschema
import pydantic
import pytest
import regress
import typing_extensions
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import BaseModel, ConfigDict, Field

from structgen.decoding.values import ValueRefused, to_value
from structgen.errors import SchemaError, UnsupportedSchema
from structgen.frontends.python_types import builder_schema, is_python_type, type_notes, type_schema


class Colour(enum.Enum):
    RED = "red"
    TWO = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 5


class Address(BaseModel):
    street: str = Field(min_length=1, max_length=40)
    postcode: Annotated[str, Field(pattern=r"\A[0-9]{5}\z")]
    country: Literal["de", "fr"] = "de"


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(9, ge=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool = True


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    age: int = Field(ge=0, lt=150)
    email: Optional[str] = Field(None, alias="e-mail")
    home: Address
    pets: list[Annotated[Union[Cat, Dog], Field(discriminator="kind")]] = []
    tags: frozenset[str] = frozenset()


class Node(BaseModel):
    value: float
    children: list["Node"] = []


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0
    label: Optional[str] = None


class Movie(typing_extensions.TypedDict):
    title: str
    year: typing_extensions.NotRequired[int]


class Pair(NamedTuple):
    left: int
    right: str = "r"


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    content: T


UserId = NewType("UserId", int)
Tree = typing_extensions.TypeAliasType("Tree", "Union[int, list[Tree]]")


def check(schema: dict, text: str) -> bool:
    """The schema's verdict by another implementation (patterns by an ECMAScript engine)."""

    def pattern(validator, source, instance, _):
        if isinstance(instance, str) and regress.Regex(source, "u").find(instance) is None:
            yield jsonschema.ValidationError(f"{instance!r} does not match {source!r}")

    cls = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": pattern})
    schema = json.loads(json.dumps(schema), parse_float=exact)
    with decimal.localcontext(prec=1000):
        return cls(schema, format_checker=cls.FORMAT_CHECKER).is_valid(json.loads(text, parse_float=exact))


def exact(spelling: str) -> int | decimal.Decimal:
    value = decimal.Decimal(spelling)
    return int(value) if value == int(value) else value


# type, texts it must allow and read back to the value beside them
GOOD = [
    (int, "12", 12), (float, "1.5", 1.5), (str, '"a"', "a"), (bool, "true", True), (type(None), "null", None),
    (Any, '{"a": [1]}', {"a": [1]}), (list, "[1, null]", [1, None]), (dict, '{"a": 1}', {"a": 1}),
    (tuple, "[1]", (1,)), (set[int], "[1, 1, 2]", {1, 2}), (frozenset[str], '["a"]', frozenset("a")),
    (list[int], "[1, 2]", [1, 2]), (tuple[int, ...], "[1, 2]", (1, 2)), (tuple[int, str], '[1, "a"]', (1, "a")),
    (dict[str, list[int]], '{"a": [1]}', {"a": [1]}), (dict[int, str], '{"12": "a", "-3": ""}', {12: "a", -3: ""}),
    (dict[bool, int], '{"true": 1}', {True: 1}), (dict[Literal["a", "b"], int], '{"a": 1}', {"a": 1}),
    (dict[Annotated[int, Field(ge=3, le=5)], int], '{"4": 1}', {4: 1}), (dict[Level, int], '{"5": 1}', {Level.HIGH: 1}),
    (dict[dt.date, int], '{"2024-02-29": 1}', {dt.date(2024, 2, 29): 1}),
    (Optional[int], "null", None), (Union[int, str], '"a"', "a"), (int | None, "3", 3),
    (Literal["a", 1, None], "1", 1), (Colour, '"red"', Colour.RED), (Colour, "2", Colour.TWO), (Level, "5", Level.HIGH),
    (dt.date, '"2024-02-29"', dt.date(2024, 2, 29)),
    (dt.datetime, '"2024-02-29T12:00:00Z"', dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc)),
    (dt.time, '"12:30:00+01:00"', dt.time(12, 30, tzinfo=dt.timezone(dt.timedelta(hours=1)))),
    (dt.timedelta, '"P1DT2H"', dt.timedelta(days=1, hours=2)),
    (pydantic.NaiveDatetime, '"2024-01-02T03:04:05.5"', dt.datetime(2024, 1, 2, 3, 4, 5, 500_000)),
    (uuid.UUID, '"12345678-1234-5678-1234-567812345678"', uuid.UUID("12345678-1234-5678-1234-567812345678")),
    (pydantic.UUID4, '"12345678-1234-4678-9234-567812345678"', uuid.UUID("12345678-1234-4678-9234-567812345678")),
    (decimal.Decimal, "1.10", decimal.Decimal("1.10")), (bytes, '"abc"', b"abc"),
    (pathlib.Path, '"a/b"', pathlib.Path("a/b")),
    (decimal.Decimal, "12345678901234567890.12345678901234567890",
     decimal.Decimal("12345678901234567890.12345678901234567890")),
    (tuple[float, decimal.Decimal, str], '[0.1234567890123456789, -0.1234567890123456789, "0.1234567890123456789"]',
     (0.1234567890123456789, decimal.Decimal("-0.1234567890123456789"), "0.1234567890123456789")),
    (pydantic.FiniteFloat, "1.5", 1.5),
    (Annotated[decimal.Decimal, Field(ge=0, decimal_places=2, max_digits=6)], "9999.99", decimal.Decimal("9999.99")),
    (Annotated[decimal.Decimal, Field(max_digits=3)], "0.123", decimal.Decimal("0.123")),
    (Annotated[decimal.Decimal, Field(max_digits=3)], "-999", decimal.Decimal("-999")),
    (ipaddress.IPv4Address, '"127.0.0.1"', ipaddress.IPv4Address("127.0.0.1")),
    (ipaddress.IPv6Address, '"::1"', ipaddress.IPv6Address("::1")),
    (ipaddress.IPv4Network, '"10.0.0.0/8"', ipaddress.IPv4Network("10.0.0.0/8")),
    (ipaddress.IPv4Interface, '"10.1.2.3/8"', ipaddress.IPv4Interface("10.1.2.3/8")),
    (pydantic.HttpUrl, '"https://example.org:80/a?b=c#d"', pydantic.HttpUrl("https://example.org:80/a?b=c#d")),
    (pydantic.AnyUrl, '"ftp://user@example.org/x"', pydantic.AnyUrl("ftp://user@example.org/x")),
    (pydantic.PostgresDsn, '"postgresql+asyncpg://h/db"', pydantic.PostgresDsn("postgresql+asyncpg://h/db")),
    (pydantic.ByteSize, '"3 KiB"', pydantic.ByteSize(3072)), (pydantic.Base64Bytes, '"YWI="', b"ab"),
    (Annotated[str, Field(min_length=2)], '"ab"', "ab"), (Annotated[int, Field(multiple_of=5)], "10", 10),
    (Annotated[str, pydantic.StringConstraints(strip_whitespace=True, min_length=1)], '"a b"', "a b"),
    (complex, '"1.5-2j"', 1.5 - 2j), (collections.deque[int], "[1, 2]", collections.deque([1, 2])),
    (UserId, "3", 3), (Tree, "[1, [2]]", [1, [2]]), (typing.Sequence[int], "[1]", [1]),
    (re.Pattern, '"a+"', re.compile("a+")), (pydantic.TypeAdapter(list[int]), "[1]", [1]),
    (Point, '{"x": 1, "label": null}', Point(1.0, 0.0, None)), (Movie, '{"title": "M"}', {"title": "M"}),
    (Pair, '[1]', Pair(1)), (Pair, '[1, "x"]', Pair(1, "x")), (Box[int], '{"content": 1}', Box[int](content=1)),
    (Box[list[Cat]], '{"content": [{"kind": "cat"}]}', Box[list[Cat]](content=[Cat()])),
    (Union[Cat, Dog], '{"kind": "dog"}', Dog(kind="dog")),
    (Node, '{"value": 1, "children": [{"value": 2}]}', Node(value=1, children=[Node(value=2)])),
    (Person, '{"name": "A", "age": 3, "e-mail": "x", "home": {"street": "s", "postcode": "12345"}, '
             '"pets": [{"kind": "cat"}, {"kind": "dog", "good": false}], "tags": ["a", "a"]}',
     Person(name="A", age=3, home=Address(street="s", postcode="12345"), pets=[Cat(), Dog(kind="dog", good=False)],
            tags=frozenset("a"), **{"e-mail": "x"})),
    (Annotated[int, pydantic.Strict()], "1.0", 1), (int, "1e30", 10 ** 30), (list[int], "[2.0, 1e2]", [2, 100]),
]


@pytest.mark.parametrize("tp, text, value", GOOD, ids=lambda x: str(x)[:40])
def test_values_come_back(tp, text, value):
    schema, adapter = type_schema(tp)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert check(schema, text)
    got = to_value(adapter, text)
    assert got == value and type(got) is type(value)


# type, texts that pydantic refuses and a wider schema would let through
BAD = [
    (dict[int, str], '{"a": ""}'), (dict[int, str], '{"-0": "", "0": ""}'), (dict[bool, int], '{"x": 1}'),
    (dict[Level, int], '{"3": 1}'), (Annotated[Union[Cat, Dog], Field(discriminator="kind")], '{"lives": 3}'),
    (dt.date, '"0000-01-01"'), (dt.time, '"23:59:60Z"'), (dt.datetime, '"2016-12-31T23:59:60Z"'),
    (dt.timedelta, '"P99999999999D"'), (pydantic.UUID4, '"12345678-1234-5678-1234-567812345678"'),
    (Annotated[decimal.Decimal, Field(ge=0)], '"-5"'), (Annotated[decimal.Decimal, Field(max_digits=3)], "1.234"),
    (Annotated[decimal.Decimal, Field(max_digits=3)], "1000"),
    (Annotated[decimal.Decimal, Field(max_digits=3)], "0.0001"),
    (ipaddress.IPv4Network, '"10.0.0.1/8"'), (ipaddress.IPv6Interface, '"1.2.3.4"'), (pydantic.HttpUrl, '"ftp://a.b"'),
    (pydantic.HttpUrl, '"http:a"'), (pydantic.AnyUrl, '"a b"'), (pydantic.ByteSize, '"3 parsecs"'),
    (pydantic.Base64Bytes, '"a"'),
    (Annotated[str, pydantic.StringConstraints(strip_whitespace=True, min_length=1)], '" "'),
    (complex, '"i"'), (pydantic.NaiveDatetime, '"2024-01-01T00:00:00Z"'), (tuple[int, str], "[1]"),
    (pydantic.FiniteFloat, "1e999"), (decimal.Decimal, "1e-99999"), (Pair, "[]"), (Movie, '{"year": 3}'),
    (Annotated[bytes, Field(max_length=2)], '"\\u00e4\\u00e4"'),
]


@pytest.mark.parametrize("tp, text", BAD, ids=lambda x: str(x)[:40])
def test_schemas_are_no_wider_than_the_type(tp, text):
    schema, adapter = type_schema(tp)
    assert not check(schema, text)


PATTERNED = [dt.date, dt.timedelta, pydantic.UUID7, ipaddress.IPv4Network, ipaddress.IPv4Interface, pydantic.HttpUrl,
             pydantic.AnyUrl, pydantic.PostgresDsn, pydantic.RedisDsn, pydantic.Base64Bytes,
             pydantic.NaiveDatetime, complex, pydantic.Base64UrlBytes]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("tp", PATTERNED, ids=str)
@given(st.data())
def test_all_that_matches_is_accepted(tp, data):
    schema, adapter = type_schema(tp)
    text = data.draw(st.from_regex(schema["pattern"].removesuffix("$") + r"\Z", alphabet=st.characters(codec="ascii")))
    if check(schema, json.dumps(text)):
        to_value(adapter, json.dumps(text))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5),
                          st.integers(-10 ** 20, 10 ** 20), st.datetimes(timezones=st.just(dt.timezone.utc)),
                          st.dates(), st.uuids(), st.binary(max_size=0), st.sets(st.integers(0, 9))), max_size=3))
def test_every_value_fits_its_schema(rows):
    tp = list[tuple[float, str, int, dt.datetime, dt.date, uuid.UUID, bytes, set[int]]]
    schema, adapter = type_schema(tp)
    text = adapter.dump_json(rows).decode()
    assert check(schema, text)
    assert to_value(adapter, text) == rows


def test_what_is_a_type():
    for tp in (int, Any, list[int], list, Optional[int], int | str, Literal[1], Annotated[int, 3], UserId, Tree, Person,
               Point, Movie, Pair, Colour, typing.List, Box[int], pydantic.TypeAdapter(int), type(None)):
        assert is_python_type(tp), tp
    for other in (None, True, 3, "int", {}, [int], Cat(), Point(1), re.compile("a"), pathlib.Path("a"), ["a", "b"]):
        assert not is_python_type(other), other


def test_sets():
    assert "uniqueItems" not in type_schema(set[int])[0]
    assert "uniqueItems" not in type_schema(Annotated[set[int], Field(min_length=1, max_length=3)])[0]
    # two items that must differ: that is for the front end to enforce or refuse
    assert type_schema(Annotated[frozenset[int], Field(min_length=2)])[0]["uniqueItems"] is True


def test_tagged_union_is_a_plain_union():
    schema, _ = type_schema(Annotated[Union[Cat, Dog], Field(discriminator="kind")])
    assert "oneOf" not in schema and "discriminator" not in schema
    assert [b["required"] for b in schema["anyOf"]] == [["kind"], ["kind"]]


def test_schemas_are_not_shared():
    schema, _ = type_schema(Cat)
    schema.clear()
    assert type_schema(Cat)[0]
    assert type_schema(Cat)[1] is type_schema(Cat)[1]


class Checked(BaseModel):
    a: int
    born: Annotated[dt.date, Field(le=dt.date(2100, 1, 1))] = dt.date(2000, 1, 1)

    @pydantic.field_validator("a")
    @classmethod
    def even(cls, a):
        if a % 2:
            raise ValueError("odd")
        if a == 4:
            raise KeyError("four")
        return a


def test_notes():
    notes = type_notes(Checked)
    assert {(n.keyword, n.status) for n in notes} == {("validator", "not enforced"), ("date", "not enforced"),
                                                      ("int", "narrowed")}
    assert any("even" in n.note for n in notes)
    assert len(type_notes(pydantic.Base64Str)) == 1 and type_notes(pydantic.Base64Bytes) == ()
    assert [n.keyword for n in type_notes(Person)] == ["int"] and type_notes(pathlib.Path) == ()
    assert [n.keyword for n in type_notes(decimal.Decimal)] == ["Decimal"]


def test_a_validator_may_refuse():
    _, adapter = type_schema(list[Checked])
    with pytest.raises(ValueRefused) as error:
        to_value(adapter, '[{"a": 2}, {"a": 3}]')
    assert error.value.partial == '[{"a": 2}, {"a": 3}]'
    assert error.value.errors[0]["loc"] == "/1/a" and "odd" in str(error.value)
    with pytest.raises(ValueRefused, match="KeyError"):
        to_value(adapter, '[{"a": 4}]')
    with pytest.raises(ValueRefused):
        to_value(None, "[1")
    with pytest.raises(ValueRefused):
        to_value(None, "[" * 100_000)


def test_old_typed_dict_is_explained():
    class Old(typing.TypedDict):
        a: int

    if sys.version_info >= (3, 12):
        assert type_schema(Old)[0]["required"] == ["a"]
        return
    with pytest.raises(SchemaError, match="typing_extensions"):
        type_schema(Old)


@pytest.mark.parametrize("tp, error", [(range, UnsupportedSchema), (typing.Callable, UnsupportedSchema),
                                       (pydantic.Json[int], UnsupportedSchema), (list["Undefined"], SchemaError),  # noqa: F821
                                       (dict[Annotated[int, Field(multiple_of=3)], int], UnsupportedSchema),
                                       (dict[None, int], UnsupportedSchema)])
def test_refused_types(tp, error):
    with pytest.raises(error) as caught:
        type_schema(tp)
    assert type(caught.value) is error


def test_unhashable_metadata():
    schema, adapter = type_schema(Annotated[int, ["a list"], Field(ge=3)])
    assert schema["minimum"] == 3 and to_value(adapter, "3") == 3


def test_builders():
    class Genson:
        def to_json(self):
            return '{"type": "integer"}'

    assert builder_schema(Genson()) == {"type": "integer"}
    assert builder_schema(Genson) is None and builder_schema({}) is None and builder_schema(Cat()) is None

    class Wrong:
        def to_schema(self):
            return 3

    with pytest.raises(SchemaError):
        builder_schema(Wrong())


def test_pydantic_is_not_imported():
    code = ("import sys\nfrom structgen.frontends.python_types import is_python_type\n"
            "import structgen.decoding.values\nimport structgen.decoding.partial\n"
            "assert is_python_type(int)\nassert 'pydantic' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def byte_vocabulary():
    from structgen.tokens.vocabulary import Vocabulary

    return Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])


def walk(matcher, rng: random.Random) -> str:
    """A random text of the language, closed the short way at some point."""
    for _ in range(rng.randrange(5, 100)):
        allowed = [int(t) for t in matcher.allowed_tokens()]
        if allowed == [256]:
            break
        visible = [t for t in allowed if 32 < t < 127]
        matcher.accept(rng.choice(visible or [t for t in allowed if t != 256]))
    return (matcher.text + matcher.shortest_completion()).decode()


# what only their own parsers know
UNDECIDED = (re.Pattern,)


@pytest.mark.parametrize("tp", list(dict.fromkeys(str(tp) for tp, _, _ in GOOD if tp not in UNDECIDED)))
def test_whatever_is_generated_is_accepted(tp, byte_vocabulary):
    from structgen.constraints import JsonSchema
    from structgen.decoding.compiled import Compiled

    constraint = JsonSchema(next(t for t, _, _ in GOOD if str(t) == tp))
    compiled = Compiled(constraint.grammar(), byte_vocabulary)
    for seed in range(6):
        constraint.value(walk(compiled.matcher(), random.Random(seed)))
