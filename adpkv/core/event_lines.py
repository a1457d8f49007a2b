"""Lines of `events.jsonl` of which each request has several: a structure for each set of keys.

Every other line is a dictionary (`output.events`). A structure is made and encoded in half the
time. The names of its fields are the keys of the line, in order.
"""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["Cached", "Caused", "EventLine", "Routed", "WithOutcome", "detail_of"]


class EventLine(msgspec.Struct, gc=False):
    """What each line has; also a line that has no more."""

    at_ns: int
    rank: int
    kind: str
    request: int


class Caused(EventLine, gc=False):
    """A session's transition: `kind` is its new state."""

    cause: str


class WithOutcome(EventLine, gc=False):
    """A rank has answered a request."""

    outcome: str


class Routed(EventLine, gc=False):
    """The coordinator has sent a request to an instance."""

    instance: int


class Cached(EventLine, gc=False):
    """A prefill begins behind so many tokens that were cached."""

    cached: int


_COMMON: Final = len(EventLine.__struct_fields__)
_NAMES: Final[dict[type[EventLine], str]] = {
    shape: shape.__struct_fields__[_COMMON] for shape in (Caused, WithOutcome, Routed, Cached)
}


def detail_of(line: EventLine) -> dict[str, object]:
    """What the line says besides what every line does."""
    name = _NAMES.get(type(line))
    return {} if name is None else {name: getattr(line, name)}
