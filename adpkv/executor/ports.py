"""The small ports of a rank program to its world, besides its collectives.

`worlds/mpi` and `worlds/virtual` implement them. The transport, memory and model ports are beside
their implementations (`transport/port`, `memory/port`, `model/port`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from adpkv.core.event_lines import EventLine
from adpkv.core.values import Violation
from adpkv.executor.messages import Message

__all__ = ["Clock", "Mailbox", "Recorder", "Signals"]


class Clock(Protocol):
    """This rank's clock: nanoseconds since the run began. Monotonic. Readings of different ranks
    must not be compared."""

    def __call__(self) -> int:
        """The present time in nanoseconds."""
        ...


class Mailbox(Protocol):
    """Typed messages between ranks and the coordinator.

    Messages from one sender to one receiver arrive in order; there is no other guarantee of order.
    `send` never blocks, and never fails while the receiver is alive. `receive` never waits.
    """

    def send(self, to: int, message: Message) -> None:
        """Send to a world rank, or to `COORDINATOR`."""
        ...

    def receive(self) -> list[Message]:
        """All messages that have arrived, oldest first; usually none."""
        ...

    def ready(self) -> bool:
        """Whether `receive` would return a message now. Never waits."""
        ...


class Recorder(Protocol):
    """Records what happens on a rank: events for `events.jsonl`, and violations."""

    @property
    def violations(self) -> Sequence[Violation]:
        """This rank's violations so far; their number is limited."""
        ...

    def event(self, kind: str, request_id: int, /, **detail: object) -> None:
        """Record an event that happens now; `request_id` is -1 if it is about no request."""
        ...

    def note(
        self, shape: Callable[..., EventLine], kind: str, request_id: int, what: object, /
    ) -> None:
        """As `event`, with the one value that this frequent line has besides."""
        ...

    def violation(self, violation: Violation) -> None:
        """Record a violation."""
        ...


class Signals(Protocol):
    """The signals that this process has received."""

    @property
    def code(self) -> int:
        """0 if there was none; else the signal's exit code: 129 (SIGHUP), 130 (SIGINT) or 143
        (SIGTERM)."""
        ...
