"""A group of virtual ranks: their programs, and what each of them stands in.

Collectives are matched across ranks as the programs yield them. Ranks that differ are seen at once,
as the slots of the real world see them (contract 5.8); ranks that never come are the world's to
see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from inspect import CORO_CLOSED, getcoroutinestate
from typing import Any, Final

import msgspec

from adpkv.core.plan import Plan
from adpkv.core.token_gaps import TokenGaps
from adpkv.core.topology import Instance
from adpkv.errors import AdpkvError, CollectiveMismatchError, Place
from adpkv.executor.meetings import Gone, Join, Meeting, Passage, Pause, Step, Wait
from adpkv.worlds.virtual.agenda import Agenda
from adpkv.worlds.virtual.course import Course
from adpkv.worlds.virtual.host import VirtualHost
from adpkv.worlds.virtual.stretch import StepStretch

__all__ = ["ALONE", "LEFT", "Program", "VirtualGroup", "awaited", "describe", "forget", "told"]

Program = Coroutine[Meeting, Any, Any]

ALONE: Final = frozenset({Pause, Gone})
"""What a rank awaits without anybody else."""

LEFT: Final = "left"
UNBEGUN: Final = "not_begun"

REMEMBERED: Final = 12
"""Meetings of a group: the last eight, and enough to see what usually comes next."""


def describe(at: Meeting | Place) -> str:
    """Where a rank is, for people."""
    site = at.place if isinstance(at, Meeting) else at.site
    return f"is in {at.kind} at {site}, iteration {at.iteration}"


class VirtualGroup:
    """The ranks of one instance, and where each of them stands."""

    __slots__ = (
        "awake",
        "broken",
        "collectives",
        "course",
        "dead",
        "gaps",
        "history",
        "index",
        "instance",
        "iteration",
        "last_step_ns",
        "members",
        "met_with_dead",
        "plan",
        "programs",
        "resume",
        "standing",
        "steps",
        "tokens",
        "waited",
    )

    def __init__(self, instance: Instance, programs: Sequence[Program]) -> None:
        self.instance = instance
        self.members = list(instance.members)
        """World ranks of those that live, in the order of all lists here."""
        self.index = {rank: index for index, rank in enumerate(self.members)}
        self.dead: list[int] = []
        self.broken = False
        """A death broke the iteration, which is made anew: it meets more often than those that
        follow, so it stands for none of them."""
        self.met_with_dead = 0
        """How many meetings there were until the last of them died."""
        self.programs = list(programs)
        self.resume: list[Callable[[Any], Meeting]] = [program.send for program in programs]
        self.standing: list[Any] = [None] * len(programs)
        """The step or wait in which each member stands."""
        self.steps = [0] * len(programs)
        """Steps since it came to stand there: a quiet member is left out of iterations."""
        self.awake: set[int] = set()
        """Members for which something has arrived since the last iteration."""
        self.iteration = 0
        self.plan: Plan | None = None
        self.collectives = 0
        self.history: deque[tuple[int, int, Meeting]] = deque(maxlen=REMEMBERED)
        """The last meetings in which all members were, with the number of collectives by then
        and the time."""
        self.gaps = TokenGaps()
        self.last_step_ns = 0
        """When its last step ended."""
        self.tokens = 0
        """What its clients get with each step of this stretch; `waited` as in `Step`."""
        self.waited: tuple[int, ...] = ()
        self.course = Course()

    def stand(self, there: Sequence[int], meetings: Sequence[Any]) -> None:
        """Those who took part in an iteration stand in these steps or waits at its end."""
        first = meetings[0]
        self.iteration, self.plan = first.iteration, first.plan
        for index, meeting in zip(there, meetings, strict=True):
            self.standing[index] = meeting
            self.steps[index] = 0

    def await_the_world(self, meetings: list[Any]) -> None:
        """All who are left stand in the meeting with which the job ends; or nobody is left."""
        self.standing = meetings

    def note(self, meeting: Meeting, now_ns: int) -> None:
        """All were in this meeting."""
        if type(meeting) is Wait:
            self.history.append((0, now_ns, meeting))
            return
        self.collectives += 1
        self.course.owe()
        self.history.append((self.collectives, now_ns, meeting))

    def rouse(self, index: int) -> None:
        """Something has arrived for a member."""
        self.awake.add(index)

    def look(self) -> None:
        """Everybody looks at what has arrived."""
        self.awake.clear()

    def mend(self) -> bool:
        """The iteration is over; says whether a death had broken it."""
        broken, self.broken = self.broken, False
        return broken

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

    def resumed(self, taking_part: Sequence[int], results: Sequence[Any]) -> list[Any]:
        """Where the members stand next, each resumed with its result."""
        resume = self.resume
        try:
            return [
                resume[index](result) for index, result in zip(taking_part, results, strict=True)
            ]
        except StopIteration:
            raise self.left_alone() from None

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
                    f"rank {self.members[index]} {describe(meeting)} with"
                    f" {meeting.payload}, but had said {said} for {first.kind} at {first.site}"
                )
            value = result

    def bring_all(
        self, there: Sequence[int], meetings: Sequence[Any], met: Sequence[tuple[Join, Any]]
    ) -> list[Any]:
        """Take the quiet members to where those `there` stand; returns the meetings of all."""
        found = dict(zip(there, meetings, strict=True))
        for index, resume in enumerate(self.resume):
            if index not in found:
                self.catch_up(index, met)
                found[index] = resume(met[-1][1] if met else self.passage(index))
        return [found[index] for index in range(len(self.resume))]

    def agreed(self, meetings: Sequence[Any]) -> Any:
        """The meeting in which all stand; None if they differ, or one stands still alone."""
        first = meetings[0]
        site, iteration, plan = first.site, first.iteration, first.plan
        kind, group = first.kind, first.group
        for other in meetings:
            if other.plan is not plan or other.iteration != iteration or other.site != site:
                return None
            if other.kind != kind or other.group != group:
                return None
        return None if type(first) in ALONE else first

    def places(self) -> list[Place]:
        """Where each member is."""
        return [
            whereabouts(rank, program)
            for rank, program in zip(self.members, self.programs, strict=True)
        ]

    def bury(self, rank: int) -> Place:
        """A member is dead: the others close ranks. Returns where it was."""
        at = self.index[rank]
        last = self.places()[at]
        self.programs[at].close()
        for column in (self.members, self.programs, self.resume, self.standing, self.steps):
            del column[at]
        self.dead.append(rank)
        self.broken = True
        self.met_with_dead = self.collectives
        self.index = {rank: index for index, rank in enumerate(self.members)}
        self.awake.clear()
        return last

    def step_lines(self) -> list[tuple[int, int]]:
        """What each member's next steps cost, as (base, slope); notes what clients get of them."""
        lines = []
        tokens, waited = 0, ()
        for at, done in zip(self.standing, self.steps, strict=True):
            lines.append((at.base + done * at.slope, at.slope))
            tokens += at.tokens
            if at.waited and not done:
                waited += at.waited
        self.tokens, self.waited = tokens, waited
        return lines

    def stepped(self, stretch: StepStretch, made: int, debt: int, now_ns: int) -> None:
        """So many steps of a stretch were made by now. Every iteration jumped over met as often as
        this one."""
        self.collectives += (made - 1) * debt
        self._add_gaps(stretch, made, now_ns)
        self.steps = [steps + made for steps in self.steps]

    def _add_gaps(self, stretch: StepStretch, made: int, now_ns: int) -> None:
        """The gaps between the tokens of its steps."""
        if self.tokens:
            rows = stretch.rows(made)
            (_, base, slope), ticks, began_ns = rows[0], stretch.ticks, stretch.began_ns
            first_ns = began_ns + base // ticks
            self.gaps.add_step(began_ns, first_ns, self.last_step_ns, self.tokens, self.waited)
            if made > 1:
                rows[0] = (rows[0][0] - 1, base + slope, slope)
                self.gaps.add_rows(rows, ticks, now_ns - first_ns, self.tokens)
        self.last_step_ns = now_ns

    def check_batches(self) -> None:
        """Where all must compute the same, do they? Those who are left out of iterations too.

        Raises:
            CollectiveMismatchError: two do not; names both sides.
        """
        now = [
            msgspec.structs.replace(
                at, batch=at.batch_after(done), iteration=self.iteration, plan=self.plan
            )
            for at, done in zip(self.standing, self.steps, strict=True)
        ]
        for index, at in enumerate(now):
            if at.batch != now[0].batch:
                raise self._mismatch(0, now[0], index, at)

    def let_go(self) -> None:
        """The run is over, wherever the members stand."""
        self.history.clear()
        self.standing = [None] * len(self.standing)
        self.course.go_on()
        for program in self.programs:
            # One that is in the middle of a meeting holds it. What it does at its end is of no
            # interest any more, and it may not wait for anything.
            with suppress(Exception):
                program.close()

    def where(self) -> list[str]:
        """Where each member is, one line each."""
        dead = [f"  rank {rank} is dead" for rank in self.dead]
        return [*(f"  {told(place)}" for place in self.places()), *dead]

    def left_alone(self) -> CollectiveMismatchError:
        """A program has ended while the others go on: which one, and where the others are."""
        gone = [f"rank {place.rank}" for place in self.places() if place.kind == LEFT]
        lines = [f"{self.instance.name}: {', '.join(gone)} left alone", *self.where()]
        return CollectiveMismatchError("\n".join(lines), self.places(), self.instance.index)

    def mismatch(self, meetings: Sequence[Any]) -> CollectiveMismatchError:
        """Members stand in different meetings; `meetings` are those of all of them."""
        together = [i for i, meeting in enumerate(meetings) if type(meeting) not in ALONE]
        first, *rest = together
        second = next(i for i in rest if self.agreed([meetings[first], meetings[i]]) is None)
        return self._mismatch(first, meetings[first], second, meetings[second])

    def _mismatch(
        self, index: int, meeting: Meeting, other_index: int, other: Meeting
    ) -> CollectiveMismatchError:
        alike = (meeting.kind, meeting.place, meeting.iteration, meeting.group) == (
            other.kind,
            other.place,
            other.iteration,
            other.group,
        )
        why = "; they agreed on different plans" if alike else ""
        lines = [
            f"{self.instance.name}: rank {self.members[index]} {describe(meeting)}, "
            f"rank {self.members[other_index]} {describe(other)}{why}",
            *self.where(),
        ]
        return CollectiveMismatchError("\n".join(lines), self.places(), self.instance.index)


def awaited(program: Program) -> Meeting | None:
    """What a suspended program awaits, whichever way it came there: its innermost awaitable is
    the meeting's own generator. None if it has not begun or is over."""
    inner: Any = program
    while getattr(inner, "cr_await", None) is not None:
        inner = inner.cr_await
    frame = getattr(inner, "gi_frame", None)
    at = frame.f_locals.get("self") if frame is not None else None
    return at if isinstance(at, Meeting) else None


def whereabouts(rank: int, program: Program) -> Place:
    """Where a suspended program is."""
    at = awaited(program)
    if at is None:
        left = getcoroutinestate(program) == CORO_CLOSED
        return Place(rank, LEFT if left else UNBEGUN, "", 0)
    return Place(rank, at.kind, at.place, at.iteration)


def told(place: Place) -> str:
    """Where a rank is, for people."""
    if place.kind == LEFT:
        return f"rank {place.rank} has left"
    if place.kind == UNBEGUN:
        return f"rank {place.rank} has not begun"
    return f"rank {place.rank} {describe(place)}"


def forget(groups: Iterable[VirtualGroup], agenda: Agenda, host: VirtualHost | None) -> None:
    """The run is over: let go of the meetings, and of what was planned with them. They know their
    ranks, and are not looked at when cycles are collected (`gc=False`): whoever simulates many
    times in one process would keep every world."""
    for group in groups:
        group.let_go()
    if host is not None:
        host.die()
    agenda.clear()
