"""The detail of a response, as a text for clients, by the session event that ended the request."""

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
    """The detail of the response. A wait that ends in quarantine was one for the sender's slot: the
    receiver had advertised before."""
    if event is Event.WAIT_LIMIT and line.state is State.QUARANTINED:
        return _NO_SLOT_THERE
    return WHY[event]


def cause_of(event: Event) -> Cause:
    """The cause of the response, for the coordinator."""
    return Cause.PEER_LOST if event is Event.PEER_LOST else Cause.OTHER
