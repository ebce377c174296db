"""The model the demo fills."""

from typing import Annotated, Literal, Optional

from pydantic import BaseModel, Field


class Address(BaseModel):
    street: Annotated[str, Field(max_length=30)]
    city: Annotated[str, Field(max_length=20)]
    postcode: Annotated[str, Field(pattern=r"^\d{5}$")]


class Person(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=24)]
    age: Annotated[int, Field(ge=0, le=120)]
    email: Optional[Annotated[str, Field(max_length=30)]] = None
    languages: Annotated[list[Literal["en", "de", "fr", "es"]], Field(max_length=3)]
    address: Address
