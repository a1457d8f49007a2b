"""What a group of virtual ranks is in the middle of: a stretch of steps or waits, or a halt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adpkv.executor.collectives import Collective
from adpkv.worlds.virtual.stretch import StepStretch, WaitStretch

__all__ = ["Course", "Met", "PausedAt"]

Met = list[tuple[Collective, Any]]
"""The small collectives of an iteration so far, each with what came of it."""


@dataclass(slots=True)
class PausedAt:
    """A member stands still alone: where all of them stand, and what they met in this iteration."""

    operations: list[Any]
    met: Met
    since_ns: int


class Course:
    """One group's; nobody else writes into it."""

    __slots__ = ("debt", "idle", "open", "paused", "stalled", "stretch", "version", "wake_ns")

    def __init__(self) -> None:
        self.debt = 0
        """Small collectives since the last step or wait, which pays for them in time."""
        self.stretch: StepStretch | WaitStretch | None = None
        """The steps or waits that are under way, or were last."""
        self.paused: PausedAt | None = None
        """Why the group cannot go on in the middle of an iteration."""
        self.stalled = 0
        """Steps and waits in a row that took no time and computed nothing."""
        self.open = False
        """A stretch is under way, which an arrival can end."""
        self.idle = False
        """It waits without a limit of its own: only an arrival can end that."""
        self.wake_ns = 0
        self.version = 0
        """Counts wake-ups that were planned: an older one in the event queue is void."""

    def owe(self) -> None:
        """A small collective: its time is paid for later."""
        self.debt += 1

    def begin(
        self, stretch: StepStretch | WaitStretch, *, took_time: bool, computes: bool, idle: bool
    ) -> None:
        """A stretch begins; one that takes no time and computes nothing is counted."""
        self.stretch = stretch
        self.stalled = 0 if took_time or computes else self.stalled + 1
        self.open, self.idle = True, idle

    def wake_at(self, wake_ns: int) -> int:
        """It ends then, and no longer when it was to end before; returns the wake-up's version."""
        self.wake_ns = wake_ns
        self.version += 1
        return self.version

    def arrived(self) -> None:
        """Something came: there is an end to it."""
        self.idle = False

    def end(self) -> int:
        """The stretch is over; how many collectives each iteration of it had."""
        self.open = False
        debt, self.debt = self.debt, 0
        return debt

    def stop(self, paused: PausedAt) -> None:
        """The group halts; what was planned for it is void."""
        self.paused = paused
        self.open = False
        self.version += 1

    def go_on(self) -> None:
        """It halts no longer."""
        self.paused = None
