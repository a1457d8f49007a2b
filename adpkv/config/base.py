"""What all sections of an experiment share: the frozen base model and the types of their values.

Types are strict where YAML is: `"4"` is not a number and `true` is not 1. Quantities with a unit
carry it in the attribute's name (`queue_timeout_ns`) and in the value's text (`600s`), so the
YAML key has none; the pair is told to pydantic as the field's alias.
"""

from __future__ import annotations

import fractions
from typing import Annotated, Any, Final

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
"""Bound of every plain count: it fits a signed 32-bit field of a slot or an MPI count."""

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
"""How many of something there must be at least one of."""

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
"""Nanoseconds and exact parts of them in Python, `12.5ns` in YAML."""

Size = Annotated[
    int,
    BeforeValidator(units.parse_size),
    PlainSerializer(units.size_text, return_type=str),
    WithJsonSchema(_SIZE_SCHEMA),
]
"""Bytes in Python, `64KiB` in YAML."""


class Section(BaseModel):
    """A part of an experiment: immutable, and every key in it is known.

    Building is deferred: the whole tree is compiled once, when the first experiment is read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def duration(default: str, *, key: str, about: str, gt: int | None = None) -> Any:
    """A `Duration` field under the YAML key `key`, its default written as a user would."""
    return _quantity(units.parse_duration(default), default, key, about, gt)


def fine_duration(default: str, *, key: str, about: str) -> Any:
    """A `FineDuration` field under the YAML key `key`, its default written as a user would."""
    return _quantity(units.parse_fine_duration(default), default, key, about, None)


def size(default: str, *, key: str, about: str, gt: int | None = None) -> Any:
    """A `Size` field under the YAML key `key`, its default written as a user would."""
    return _quantity(units.parse_size(default), default, key, about, gt)


def _quantity(
    default: int | fractions.Fraction, text: str, key: str, about: str, gt: int | None
) -> Any:
    shown: dict[str, Any] = {"default": text}
    return Field(default, alias=key, description=about, gt=gt, json_schema_extra=shown)
