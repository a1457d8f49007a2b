"""A group of virtual ranks: their programs, and what each of them stands in.

Collectives are matched across ranks as the programs yield them. Ranks that differ are seen at once,
as the slots of the real world see them (contract 5.8); ranks that never come are the world's to
see.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from inspect import CORO_CLOSED, getcoroutinestate
from typing import Any

from adpkv.core.topology import Instance
from adpkv.errors import CollectiveMismatchError
from adpkv.executor.meetings import Meeting

__all__ = ["Program", "VirtualGroup", "describe"]

Program = Coroutine[Meeting, Any, Any]


def describe(meeting: Meeting) -> str:
    """Where a rank is, for people."""
    return f"is in {meeting.kind} at {meeting.site}, iteration {meeting.iteration}"


class VirtualGroup:
    """The ranks of one instance."""

    __slots__ = (
        "collectives",
        "debt",
        "idle",
        "instance",
        "joined",
        "open",
        "programs",
        "resume",
        "stalled",
        "standing",
        "stretch",
        "version",
        "wake_ns",
    )

    def __init__(self, instance: Instance, programs: Sequence[Program]) -> None:
        self.instance = instance
        self.programs = programs
        self.resume: list[Callable[[Any], Meeting]] = [program.send for program in programs]
        self.standing: list[Meeting] = []
        self.joined = False
        """All members stand in a meeting of the whole world."""
        self.collectives = 0
        self.debt = 0
        """Small collectives since the last step or wait, which pays for them in time."""
        self.stretch: Any = None
        """The step or wait stretch that is under way."""
        self.stalled = 0
        """Steps and waits in a row that took no time."""
        self.open = False
        self.idle = False
        """It waits without a limit of its own: only an arrival can end that."""
        self.wake_ns = 0
        self.version = 0
        """Counts wake-ups that were planned: an older one in the agenda is void."""

    def check(self, meetings: Sequence[Meeting]) -> Meeting:
        """All must stand in the same meeting; returns the first.

        Raises:
            CollectiveMismatchError: two do not; names both sides.
        """
        first = meetings[0]
        site, iteration, plan = first.site, first.iteration, first.plan
        for other in meetings:
            if other.plan is not plan or other.iteration != iteration or other.site != site:
                self._complain(meetings, meetings.index(other))
            if other.kind != first.kind or other.group != first.group:
                self._complain(meetings, meetings.index(other))
        return first

    def where(self) -> list[str]:
        """Where each member is, one line each."""
        return [
            f"  rank {self.instance.first + i} {_whereabouts(program)}"
            for i, program in enumerate(self.programs)
        ]

    def left_alone(self) -> str:
        """A program has ended while the others go on: which one, and where the others are."""
        gone = [
            f"rank {self.instance.first + i}"
            for i, program in enumerate(self.programs)
            if getcoroutinestate(program) == CORO_CLOSED
        ]
        return "\n".join([f"{self.instance.name}: {', '.join(gone)} left alone", *self.where()])

    def _complain(self, meetings: Sequence[Meeting], index: int) -> None:
        ours, first = self.instance.first, meetings[0]
        other = meetings[index]
        alike = (first.kind, first.site, first.iteration, first.group) == (
            other.kind,
            other.site,
            other.iteration,
            other.group,
        )
        why = "; they agreed on different plans" if alike else ""
        lines = [f"  rank {ours + i} {describe(m)}" for i, m in enumerate(meetings)]
        raise CollectiveMismatchError(
            f"{self.instance.name}: rank {ours} {describe(first)}, "
            f"rank {ours + index} {describe(other)}{why}\n" + "\n".join(lines)
        )


def _whereabouts(program: Program) -> str:
    """What a suspended program awaits, whichever way it came there: its innermost awaitable is
    the meeting's own generator."""
    if getcoroutinestate(program) == CORO_CLOSED:
        return "has left"
    inner: Any = program
    while getattr(inner, "cr_await", None) is not None:
        inner = inner.cr_await
    frame = getattr(inner, "gi_frame", None)
    meeting = frame.f_locals.get("self") if frame is not None else None
    return describe(meeting) if isinstance(meeting, Meeting) else "has not begun"
