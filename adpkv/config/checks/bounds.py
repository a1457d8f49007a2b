"""An expected count: `3`, `2..5` or `2..`, both ends included."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from adpkv.config.base import LARGEST

__all__ = ["BOUNDS_PATTERN", "Bounds", "Range", "bounds"]

BOUNDS_PATTERN: Final = r"^([0-9]{1,9})\.\.([0-9]{1,9})?$"
_SPLIT: Final = re.compile(BOUNDS_PATTERN)


class Range(NamedTuple):
    """A count of at least `least` and at most `most`; None: no upper limit."""

    least: int
    most: int | None

    def holds(self, count: int) -> bool:
        """Whether `count` is in the range."""
        return self.least <= count and (self.most is None or count <= self.most)

    def text(self) -> int | str:
        """The range as it is written in a file."""
        if self.least == self.most:
            return self.least
        return f"{self.least}..{'' if self.most is None else self.most}"


def _parse(value: object) -> Range:
    if isinstance(value, Range):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST:
        return Range(value, value)
    found = _SPLIT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a count such as 3, or a range such as 2..5 or 2..")
    least, most = found.groups()
    bounds = Range(int(least), int(most) if most else None)
    if bounds.most is not None and bounds.most < bounds.least:
        raise ValueError("ends before it begins")
    return bounds


Bounds = Annotated[
    Range,
    PlainValidator(_parse),
    PlainSerializer(Range.text),
    WithJsonSchema({"type": ["integer", "string"], "minimum": 0, "pattern": BOUNDS_PATTERN}),
]
"""A `Range` in Python, `3` or `2..5` in YAML."""


def bounds(*, about: str) -> Any:
    """A `Bounds` field with the default 0; `about` is its description."""
    return Field(Range(0, 0), description=about, json_schema_extra={"default": 0})
