"""What all sections of an experiment share: the frozen base model and the types of their values.

Types are strict: `"4"` is not a number and `true` is not 1. A quantity has its unit in the name of
the Python attribute (`queue_timeout_ns`) and in the value's text (`600s`), so its YAML key
(`queue_timeout`) has none. The YAML key is the pydantic alias of the field.

Modules with sections do without `from __future__ import annotations`: pydantic would have to
compile and evaluate the text of each annotation, for a fortieth of a short command's time.
"""

import fractions
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    WithJsonSchema,
)

from adpkv.config import units

__all__ = [
    "LARGEST",
    "Count",
    "Duration",
    "FineDuration",
    "Fraction",
    "Natural",
    "Positive",
    "Section",
    "Size",
    "Switch",
    "Text",
    "duration",
    "fine_duration",
    "size",
]

LARGEST: Final = (1 << 31) - 1
"""The largest plain count: it fits a signed 32-bit field, as MPI counts are."""

_DURATION_SCHEMA: Final = {
    "type": "string",
    "pattern": units.DURATION_PATTERN,
    "examples": ["250ms", "60s"],
}
_SIZE_SCHEMA: Final = {
    "type": "string",
    "pattern": units.SIZE_PATTERN,
    "examples": ["64KiB", "1GiB"],
}

Count = Annotated[int, Strict(), Field(ge=1, le=LARGEST)]
"""A count of at least one."""

Natural = Annotated[int, Strict(), Field(ge=0, le=LARGEST)]
"""A count that may be zero, or an index."""

Positive = Annotated[float, Strict(), Field(gt=0.0)]
"""A rate or a factor."""

Fraction = Annotated[float, Strict(), Field(ge=0.0, le=1.0)]
"""A probability."""

Text = Annotated[str, Strict()]
Switch = Annotated[bool, Strict()]

Duration = Annotated[
    int,
    BeforeValidator(units.parse_duration),
    PlainSerializer(units.exact_duration, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]
"""Nanoseconds in Python, `60s` in YAML."""

FineDuration = Annotated[
    fractions.Fraction,
    PlainValidator(units.parse_fine_duration),
    PlainSerializer(units.exact_duration, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA | {"examples": ["0.5ns", "20us"]}),
]
"""Nanoseconds as an exact fraction in Python, `12.5ns` in YAML."""

Size = Annotated[
    int,
    BeforeValidator(units.parse_size),
    PlainSerializer(units.size_text, return_type=str),
    WithJsonSchema(_SIZE_SCHEMA),
]
"""Bytes in Python, `64KiB` in YAML."""


class Section(BaseModel):
    """Base of all sections of an experiment: immutable; unknown keys are errors.

    pydantic compiles the whole tree of models when the first experiment is read, not at import.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    computed_of: ClassVar[Mapping[str, frozenset[str]]] = {}
    """The name of a `cached_property` -> the attributes that it is computed of. One that is not
    here may be computed of any."""

    def computed(self) -> Self:
        """The same, with all that is computed once there: copies of it have only what was."""
        for name in self.computed_of:
            getattr(self, name)
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, without what was computed of the values before. pydantic copies
        that along, and it would be wrong."""
        found = super().model_copy(update=update, deep=deep)
        values, fields = found.__dict__, type(self).model_fields
        if update and len(values) > len(fields):
            self._forget(values, update)
        return found

    def having(self, **update: Any) -> Self:
        """As `model_copy` with that update, in a fifth of its time: for who makes thousands of
        them, of values that are known to be valid."""
        kind = type(self)
        found, values = kind.__new__(kind), self.__dict__ | update
        if len(values) > len(kind.__pydantic_fields__):
            self._forget(values, update)
        put = object.__setattr__  # the model is frozen
        put(found, "__dict__", values)
        put(found, "__pydantic_fields_set__", self.__pydantic_fields_set__ | update.keys())
        put(found, "__pydantic_extra__", None)
        put(found, "__pydantic_private__", None)
        return found

    def _forget(self, values: dict[str, Any], update: Mapping[str, Any]) -> None:
        """Drop what was computed of values that are others now."""
        fields = type(self).model_fields
        for name in [name for name in values if name not in fields]:
            sources = self.computed_of.get(name)
            if sources is None or not sources.isdisjoint(update):
                del values[name]


def duration(default: str, *, key: str, about: str, gt: int | None = None) -> Any:
    """A `Duration` field with the YAML key `key`; `default` is written as in YAML."""
    return _quantity(units.parse_duration(default), default, key, about, gt)


def fine_duration(default: str, *, key: str, about: str) -> Any:
    """A `FineDuration` field with the YAML key `key`; `default` is written as in YAML."""
    return _quantity(units.parse_fine_duration(default), default, key, about, None)


def size(default: str, *, key: str, about: str, gt: int | None = None) -> Any:
    """A `Size` field with the YAML key `key`; `default` is written as in YAML."""
    return _quantity(units.parse_size(default), default, key, about, gt)


def _quantity(
    default: int | fractions.Fraction, text: str, key: str, about: str, gt: int | None
) -> Any:
    shown: dict[str, Any] = {"default": text}
    return Field(default, alias=key, description=about, gt=gt, json_schema_extra=shown)
