"""A slow, obvious engine with the interface of the fast one: the oracle of the tests."""

from .matcher import ReferenceMatcher

__all__ = ["ReferenceMatcher"]
