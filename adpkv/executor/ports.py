"""The small ports through which a rank program touches its world, beside its collectives.

The transport, memory and model ports live with their adapters (`transport/port`, `memory/port`,
`model/port`). Implementations: `worlds/mpi` and `worlds/virtual`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from adpkv.core.values import Violation
from adpkv.executor.messages import Message

__all__ = ["Clock", "Mailbox", "Recorder", "Signals"]


class Clock(Protocol):
    """Nanoseconds since the run began, on this rank. Monotonic; comparable only with itself."""

    def __call__(self) -> int:
        """Read the clock."""
        ...


class Mailbox(Protocol):
    """Typed messages between ranks and the coordinator.

    Order is kept between one sender and one receiver, and promised nowhere else. `send` never
    blocks and never fails for a living receiver; `receive` never waits.
    """

    def send(self, to: int, message: Message) -> None:
        """Send to a world rank, or to `COORDINATOR`."""
        ...

    def receive(self) -> list[Message]:
        """All that has arrived, oldest first; usually empty."""
        ...

    def ready(self) -> bool:
        """Would `receive` return something now? Never waits."""
        ...


class Recorder(Protocol):
    """Where a rank writes down what happened: events for `events.jsonl`, and violations."""

    @property
    def violations(self) -> Sequence[Violation]:
        """What the oracles of this rank said so far; bounded."""
        ...

    def event(self, kind: str, request_id: int, /, **detail: object) -> None:
        """Something happened now; `request_id` is -1 where no request is concerned."""
        ...

    def violation(self, violation: Violation) -> None:
        """An oracle spoke."""
        ...


class Signals(Protocol):
    """What the operating system asked of this process."""

    def asked_to_stop(self) -> int:
        """0, or the exit code that the signal stands for: 129 (SIGHUP), 130 (SIGINT),
        143 (SIGTERM)."""
        ...
