"""The library's validator classes, with the keywords whose reading differs here."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .texts import pattern_search
from .values import is_integral, is_multiple

if TYPE_CHECKING:
    from ..frontends.json_schema.documents import Dialect

__all__ = ["validator_class"]


def _multiple_of(validator, divisor, instance, schema):
    from jsonschema.exceptions import ValidationError

    if validator.is_type(instance, "number") and not is_multiple(instance, divisor):
        yield ValidationError(f"{instance!r} is not a multiple of {divisor!r}")


def _pattern(validator, pattern, instance, schema):
    from jsonschema.exceptions import ValidationError

    if validator.is_type(instance, "string") and not pattern_search(pattern)(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator, patterns, instance, schema):
    if validator.is_type(instance, "object"):
        for pattern, subschema in patterns.items():
            for key, value in instance.items():
                if pattern_search(pattern)(key):
                    yield from validator.descend(value, subschema, path=key, schema_path=pattern)


def _additional_properties(validator, extra, instance, schema):
    from jsonschema.exceptions import ValidationError

    if not validator.is_type(instance, "object"):
        return
    declared, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, value in instance.items():
        if key in declared or any(pattern_search(pattern)(key) for pattern in patterns):
            continue
        if extra is False:
            yield ValidationError(f"the key {key!r} is not allowed")
        else:
            yield from validator.descend(value, extra, path=key)


def _dependencies(validator, dependencies, instance, schema):
    """For the drafts that merely permit it; the engine enforces it there too."""
    from jsonschema.exceptions import ValidationError

    if not validator.is_type(instance, "object"):
        return
    for key, needed in dependencies.items():
        if key not in instance:
            continue
        if isinstance(needed, list):
            for name in needed:
                if name not in instance:
                    yield ValidationError(f"{name!r} is a dependency of {key!r}")
        else:
            yield from validator.descend(instance, needed, schema_path=key)


def _nothing(validator, value, instance, schema):
    """A keyword that the metaschema's vocabularies do not have."""
    return ()


@lru_cache(maxsize=64)
def validator_class(dialect: "Dialect") -> Any:
    """The library's validator class of a draft, or of some vocabularies of it, with our readings in it."""
    from attrs import fields
    from jsonschema import validators
    from jsonschema.exceptions import ValidationError

    from ..frontends.json_schema.documents import draft_of

    draft = dialect if isinstance(dialect, int) else dialect[0]
    base = getattr(validators, {4: "Draft4Validator", 6: "Draft6Validator", 7: "Draft7Validator",
                                2019: "Draft201909Validator", 2020: "Draft202012Validator"}[draft])
    numbers = base.TYPE_CHECKER.redefine_many({
        "number": lambda _, value: isinstance(value, (int, Decimal)) and not isinstance(value, bool),
        "integer": lambda _, value: not isinstance(value, bool) and (
            isinstance(value, int) or draft >= 6 and isinstance(value, Decimal) and is_integral(value)),
    })
    keywords = {"multipleOf": _multiple_of, "pattern": _pattern, "patternProperties": _pattern_properties,
                "additionalProperties": _additional_properties}
    if draft > 7:
        keywords["dependencies"] = _dependencies
    if not isinstance(dialect, int):
        from ..frontends.json_schema.keywords import TABLES

        table = TABLES[dialect]
        keywords.update({name: _nothing for name in TABLES[draft] if name not in table})
    cls = validators.extend(base, keywords, type_checker=numbers)

    def evolve(self, **changes):
        # The library picks a class by $schema, which would be one without our readings.
        schema = changes.setdefault("schema", self.schema)
        number = draft_of(schema, 0)
        target = validator_class(number or dialect)
        for field in fields(target):
            if field.init and field.alias not in changes:
                changes[field.alias] = getattr(self, field.name)
        return target(**changes)

    library_descend = cls.descend

    def descend(self, instance, schema, path=None, schema_path=None, resolver=None):
        # The library loses the place of what a false schema forbids.
        if schema is not False:
            yield from library_descend(self, instance, schema, path, schema_path, resolver)
            return
        error = ValidationError("nothing is allowed here", validator="false", validator_value=False,
                                instance=instance, schema=schema)
        if path is not None:
            error.path.appendleft(path)
        if schema_path is not None:
            error.schema_path.appendleft(schema_path)
        yield error

    cls.evolve, cls.descend = evolve, descend
    return cls

