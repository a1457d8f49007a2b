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
from adpkv.errors import AdpkvError, CollectiveMismatchError
from adpkv.executor.meetings import Join, Meeting, Passage, Step

__all__ = ["Program", "VirtualGroup", "describe"]

Program = Coroutine[Meeting, Any, Any]


def describe(meeting: Meeting) -> str:
    """Where a rank is, for people."""
    return f"is in {meeting.kind} at {meeting.site}, iteration {meeting.iteration}"


class VirtualGroup:
    """The ranks of one instance, and where each of them stands."""

    __slots__ = (
        "awake",
        "collectives",
        "debt",
        "idle",
        "instance",
        "iteration",
        "joined",
        "open",
        "plan",
        "programs",
        "resume",
        "stalled",
        "standing",
        "steps",
        "stretch",
        "version",
        "wake_ns",
    )

    def __init__(self, instance: Instance, programs: Sequence[Program]) -> None:
        self.instance = instance
        self.programs = programs
        self.resume: list[Callable[[Any], Meeting]] = [program.send for program in programs]
        self.standing: list[Any] = [None] * len(programs)
        """The step or wait in which each member stands."""
        self.steps = [0] * len(programs)
        """Steps since it came to stand there: a quiet member is left out of iterations."""
        self.awake: set[int] = set()
        """Members for which something has arrived since the last iteration."""
        self.iteration = 0
        self.plan: Any = None
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

    def concerned(self, now_ns: int, *, lazy: bool) -> list[int]:
        """Who takes part in the next iteration: the leader, and whoever has news, something due, or
        a step that finishes something. The others would say what they said (`Step.says`)."""
        if not lazy or self.standing[0] is None:
            return list(range(len(self.resume)))
        awake, steps = self.awake, self.steps
        found = [0]
        for index, at in enumerate(self.standing):
            if index and (
                at.says is None
                or at.until_ns <= now_ns
                or index in awake
                or (type(at) is Step and steps[index] >= at.most)
            ):
                found.append(index)
        return found

    def passage(self, index: int) -> Passage | None:
        """What passed for a member since it came to stand where it does; None at the start."""
        if self.standing[index] is None:
            return None
        return Passage(self.steps[index], self.iteration, self.plan)

    def outcome(
        self, first: Join, taking_part: Sequence[int], meetings: Sequence[Any]
    ) -> tuple[Any, Any]:
        """What a small collective gives to the leader, and to the others."""
        kind = first.kind
        if kind == "tp_broadcast":
            return first.payload, first.payload
        payloads: tuple[Any, ...]
        if len(meetings) == len(self.resume):
            payloads = tuple([meeting.payload for meeting in meetings])
        else:
            nothing = kind == "tp_gather"
            said = [() if nothing else at.says for at in self.standing]
            for index, meeting in zip(taking_part, meetings, strict=True):
                said[index] = meeting.payload
            payloads = tuple(said)
        if kind == "tp_gather":
            return payloads, None
        result = payloads if first.combine is None else first.combine(payloads)
        return result, result

    def catch_up(self, index: int, met: Sequence[tuple[Join, Any]]) -> None:
        """A quiet member turns out to be concerned: take it through what the others have met in
        this iteration, up to the collective whose result they all wait for.

        Raises:
            AdpkvError: it does not bring what it said it would.
        """
        value: Any = self.passage(index)
        for first, result in met:
            meeting: Any = self.resume[index](value)
            said = self.standing[index].says if first.kind == "tp_allgather" else ()
            if (meeting.kind, meeting.site, meeting.payload) != (first.kind, first.site, said):
                raise AdpkvError(
                    f"rank {self.instance.first + index} {describe(meeting)} with"
                    f" {meeting.payload}, but had said {said} for {first.kind} at {first.site}"
                )
            value = result

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
