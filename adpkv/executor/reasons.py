"""What a client is told of the session event that ended its request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from adpkv.core.session import Event, Line, State
from adpkv.core.values import Cause

__all__ = ["WHY", "cause_of", "why"]

WHY: Final[Mapping[Event, str]] = {
    Event.CANCEL: "its transfer was cancelled",
    Event.WAIT_LIMIT: "it waited too long for blocks or a slot",
    Event.DEADLINE: "its transfer took too long",
    Event.ENDED: "its transfer failed",
    Event.ERROR: "its transfer failed, with its blocks in doubt",
    Event.PEER_LOST: "the other end of its transfer is gone",
    Event.STOP: "the instance is stopping",
}

_NO_SLOT_THERE: Final = "its sender had no slot for it for too long"


def why(event: Event, line: Line) -> str:
    """The detail of its response. A wait that ends in doubt was for the sender's slot: its own rank
    had given the address away."""
    if event is Event.WAIT_LIMIT and line.state is State.QUARANTINED:
        return _NO_SLOT_THERE
    return WHY[event]


def cause_of(event: Event) -> Cause:
    """The same for who decides by it."""
    return Cause.PEER_LOST if event is Event.PEER_LOST else Cause.OTHER
