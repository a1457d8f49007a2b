"""Lines of `events.jsonl` of which each request has several: a structure for each set of keys.

Every other line is a dictionary (`output.events`). A structure is made and encoded in half the
time. The names of its fields are the keys of the line, in order.
"""

from __future__ import annotations

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


def detail_of(line: EventLine) -> dict[str, object]:
    """What the line says besides what every line does."""
    names = line.__struct_fields__[len(EventLine.__struct_fields__) :]
    return {name: getattr(line, name) for name in names}
