"""Partial values: never half a scalar, whatever the pieces, and typed as far as they go."""

import dataclasses
import json
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

import pydantic
import pytest
import typing_extensions
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel, Field

from structgen.decoding.partial import MISSING, OpenDict, OpenList, PartialJson, partial_value, plain
from structgen.errors import StructgenError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4), max_leaves=12)


def part_of(part: Any, whole: Any) -> bool:
    """Whether `part` is `whole` with some of its ends missing and every scalar it has intact."""
    if part is MISSING:
        return True
    if isinstance(part, dict):
        return (isinstance(whole, dict) and list(part) == list(whole)[:len(part)]
                and all(part_of(v, whole[k]) for k, v in part.items()))
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) <= len(whole) and all(map(part_of, part, whole))
    return type(part) is type(whole) and part == whole


@settings(max_examples=200, deadline=None)
@given(VALUES, st.booleans(), st.none() | st.just(1), st.data())
def test_any_pieces(value, ascii_only, indent, data):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    reader = PartialJson()
    at, before = 0, MISSING
    while at < len(text):
        step = data.draw(st.integers(1, max(1, len(text) - at)))
        piece = text[at:at + step]
        at += step
        changed = reader.feed(piece, may_grow=True)
        now = plain(reader.value)
        assert part_of(now, value)
        if not changed:
            assert now == before or now is before
        before = now
    reader.feed("", may_grow=False)
    assert reader.complete and plain(reader.value) == value


def test_scalars_wait_for_their_end():
    reader = PartialJson()
    seen = []
    for c in '{"a": 12, "b": "x\\u00e4y", "c": tru':
        reader.feed(c)
        seen.append(json.dumps(plain(reader.value) if reader.value is not MISSING else None))
    assert list(dict.fromkeys(seen)) == ["{}", '{"a": 12}', '{"a": 12, "b": "x\\u00e4y"}']
    assert not reader.complete


def test_numbers_that_cannot_grow():
    reader = PartialJson()
    assert not reader.feed("[5", may_grow=True) or plain(reader.value) == []
    assert reader.feed("", may_grow=False) and plain(reader.value) == [5]
    reader = PartialJson()
    # "1." is not a number yet, whatever may be claimed
    assert not reader.feed("1.", may_grow=False) and reader.value is MISSING
    assert reader.feed("5", may_grow=False) and reader.value == 1.5 and reader.complete


@pytest.mark.parametrize("text", ["}", "[1 2]", "{1", '{"a" 1', "[,]", "nul1", "1 2", "[1]]", "%", "[1.2.3,"])
def test_no_json(text):
    with pytest.raises(StructgenError):
        reader = PartialJson()
        for c in text:
            reader.feed(c)


def test_long_strings_are_read_once():
    reader = PartialJson()
    reader.feed('"')
    for _ in range(20_000):
        reader.feed('abc\\"' * 5)
    reader.feed('"')
    assert reader.complete and len(reader.value) == 20_000 * 20


# -- typed

class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    name: str


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    age: int


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Movie(typing_extensions.TypedDict):
    title: typing_extensions.Required[str]
    cast: list[Cat]


class Pair(NamedTuple):
    left: Cat
    right: int


class Row(pydantic.RootModel[list[Cat]]):
    pass


class Zoo(BaseModel):
    name: str
    pets: list[Annotated[Union[Cat, Dog], Field(discriminator="kind")]] = []
    place: Optional[Point] = None
    film: Optional[Movie] = None
    pair: Optional[Pair] = None
    counts: dict[str, set[int]] = {}
    other: Any = None
    rows: Optional[Row] = Field(None, alias="the rows")
    tree: Optional["Zoo"] = None


def typed(text: str, tp=Zoo):
    reader = PartialJson()
    reader.feed(text)
    return partial_value(pydantic.TypeAdapter(tp), reader.value)


def test_fields_are_missing_until_they_are_there():
    zoo = typed('{"na')
    assert isinstance(zoo, Zoo) and not hasattr(zoo, "name") and not hasattr(zoo, "pets") and repr(zoo) == "Zoo()"
    zoo = typed('{"name": "Z", "pets": [{"kind": "dog"')
    assert zoo.name == "Z" and isinstance(zoo.pets[0], Dog) and not hasattr(zoo.pets[0], "age")
    assert zoo.model_fields_set == {"name", "pets"}
    zoo = typed('{"name": "Z", "pets": [{"kind": "dog", "age": 3}, {"kind"')
    assert zoo.pets == [Dog(age=3), {}]
    zoo = typed('{"pets": [{"name": "a')
    assert isinstance(zoo.pets[0], dict)        # no key yet
    zoo = typed('{"pets": [{"name": "a",')
    assert isinstance(zoo.pets[0], Cat) and zoo.pets[0].name == "a"     # only cats have names
    assert typed("") is MISSING


def test_containers():
    assert typed('{"place": {"x": 1, "y').place.__dict__ == {"x": 1.0}
    assert typed('{"place": {"x": 1}').place == Point(1.0, 0.0)
    film = typed('{"film": {"title": "M", "cast": [{"name": "a"}, {"name": "b"').film
    assert film["title"] == "M" and film["cast"][0] == Cat(name="a") and film["cast"][1].name == "b"
    assert not hasattr(film["cast"][1], "kind")
    assert typed('{"pair": [{"name": "a"}').pair == (Cat(name="a"),)
    assert isinstance(typed('{"pair": [{"name": "a"}, 3]').pair, Pair)
    assert typed('{"counts": {"a": [1, 1, 2], "b": [3, 4').counts == {"a": {1, 2}, "b": {3}}
    assert typed('{"other": {"x": [1, {"y": 2}, 3').other == {"x": [1, {"y": 2}]}
    zoo = typed('{"the rows": [{"name": "a"}, {"name": "b"')
    assert isinstance(zoo.rows, Row) and zoo.rows.root[0] == Cat(name="a") and zoo.rows.root[1].name == "b"
    assert typed('{"tree": {"tree": {"name": "in').tree.tree.model_fields_set == set()
    assert typed('{"tree": {"tree": {"name": "in"').tree.tree.name == "in"


def test_other_roots():
    assert typed("[1, 2, 34", list[int]) == [1, 2]
    assert typed('{"1": [2], "2": [', dict[int, list[int]]) == {1: [2], 2: []}
    assert typed('[1, "a', tuple[int, str]) == (1,)
    assert typed('{"kind": "dog", ', Union[Cat, Dog, int]).__class__ is Dog
    assert typed('[{"name": "x"', Union[Cat, list[Cat], str])[0].name == "x"
    assert typed('"2024-01-', str) is MISSING
    reader = PartialJson()
    reader.feed('{"a": [1')
    assert partial_value(None, reader.value) == {"a": []}


class Even(BaseModel):
    n: int

    @pydantic.field_validator("n")
    @classmethod
    def check(cls, n):
        if n % 2:
            raise ValueError("odd")
        return n


def test_refused_parts_stay_plain():
    """What a part's own validation says is no reason to stop: the document decides."""
    assert typed('[{"n": 2}, {"n": 3}, {"n": 4', list[Even])[:2] == [Even(n=2), {"n": 3}]


def test_closed_parts_are_typed_once():
    reader = PartialJson()
    reader.feed('{"pets": [{"name": "a", "kind": "cat"}, ')
    first = partial_value(Zoo, reader.value).pets[0]
    reader.feed('{"kind": "dog", ')
    assert partial_value(Zoo, reader.value).pets[0] is first


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_prefix_of_a_model(data):
    zoo = Zoo(name=data.draw(st.text(max_size=4)), pets=data.draw(st.lists(
        st.builds(Cat, name=st.text(max_size=3)) | st.builds(Dog, age=st.integers(0, 99)), max_size=3)),
        place=data.draw(st.none() | st.builds(Point, st.floats(-9, 9), st.floats(-9, 9))),
        counts=data.draw(st.dictionaries(st.text(max_size=2), st.sets(st.integers(0, 20)), max_size=2)))
    text = zoo.model_dump_json(by_alias=True)
    reader = PartialJson()
    for c in text:
        reader.feed(c)
        part = partial_value(Zoo, reader.value)
        if reader.complete:
            break
        if part is not MISSING:
            for name in part.model_fields_set:
                got, want = getattr(part, name), getattr(zoo, name)
                if not isinstance(want, (list, dict, Point)):
                    assert got == want
                elif name == "pets":
                    assert len(got) <= len(want) and all(g == w for g, w in zip(got[:-1], want))
    assert part == zoo
    assert isinstance(reader.value, OpenDict) and isinstance(reader.value["pets"], OpenList)
