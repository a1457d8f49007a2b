"""What a group of virtual ranks is doing now: a stretch of steps or waits, or a pause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adpkv.executor.collectives import Collective
from adpkv.worlds.virtual.stretch import StepStretch, WaitStretch

__all__ = ["Completed", "Course", "PausedAt"]

Completed = list[tuple[Collective, Any]]
"""The small collectives of an iteration so far, each with its result."""


@dataclass(slots=True)
class PausedAt:
    """A group that waits because a member awaits something alone: what each member awaits, and the
    group's collectives in this iteration so far."""

    operations: list[Any]
    completed: Completed
    since_ns: int


class Course:
    """The current stretch or pause of one group. Only the methods of this class write its
    fields."""

    __slots__ = (
        "has_input", "idle", "open", "paused", "stalled", "stretch", "version", "wake_ns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.stretch: StepStretch | WaitStretch | None = None
        """The current stretch of steps or waits, or the last one."""
        self.paused: PausedAt | None = None
        """The pause of the group in the middle of an iteration, if there is one."""
        self.stalled = 0
        """Consecutive steps and waits that took no time and computed nothing."""
        self.open = False
        """A stretch is under way, and an arrival can end it."""
        self.idle = False
        """It waits without a limit of its own: only an arrival can end it."""
        self.has_input = False
        """Something has arrived since the stretch began."""
        self.wake_ns = 0
        self.version = 0
        """Counts the planned wake-ups: older ones in the event queue are void."""

    def begin(self, stretch: StepStretch | WaitStretch, *, moves: bool, idle: bool) -> None:
        """A stretch begins. One that does not move, as it takes no time and computes nothing,
        counts as stalled."""
        self.stretch = stretch
        self.stalled = 0 if moves else self.stalled + 1
        self.open, self.idle, self.has_input = True, idle, False

    def wake_at(self, wake_ns: int) -> int:
        """Plan the end of the stretch, and void the former plan; returns the wake-up's version."""
        self.wake_ns = wake_ns
        self.version += 1
        return self.version

    def arrived(self) -> None:
        """Something arrived, so the stretch will end."""
        self.idle = False
        self.has_input = True

    def end(self) -> None:
        """The stretch is over."""
        self.open = False

    def stop(self, paused: PausedAt) -> None:
        """The group pauses; its planned wake-ups are void."""
        self.paused = paused
        self.open = False
        self.version += 1

    def go_on(self) -> None:
        """The pause is over."""
        self.paused = None
