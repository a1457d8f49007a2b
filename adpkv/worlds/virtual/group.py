"""A group of virtual ranks: their programs, and the collective in which each of them is.

Collectives are compared across ranks as the programs yield them. Ranks that differ are detected at
once, as the slots of the MPI world detect them (contract 5.8). Ranks that never come are detected
by the world.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from adpkv.core.plan import Plan
from adpkv.core.token_gaps import TokenGaps
from adpkv.core.topology import Instance
from adpkv.errors import AdpkvError, Place
from adpkv.executor.collectives import Collective, Elapsed, Operation
from adpkv.executor.phases import Phases
from adpkv.worlds.virtual.coordinator import VirtualHost
from adpkv.worlds.virtual.course import Completed, Course
from adpkv.worlds.virtual.event_queue import EventQueue
from adpkv.worlds.virtual.history import REMEMBERED, SMALL, Noted, sites, told
from adpkv.worlds.virtual.mismatch import goes_on, left_alone
from adpkv.worlds.virtual.offers import Offers
from adpkv.worlds.virtual.places import Program, awaited, describe, place_text, whereabouts
from adpkv.worlds.virtual.programs import Programs
from adpkv.worlds.virtual.stretch import Columns, StepStretch

__all__ = ["VirtualGroup", "forget"]


class VirtualGroup:
    """The ranks of one instance, and what each of them awaits."""

    __slots__ = (
        "_history",
        "awake",
        "broken",
        "collectives",
        "collectives_with_failed",
        "course",
        "debt",
        "failed",
        "gaps",
        "index",
        "instance",
        "iteration",
        "last_step_ns",
        "members",
        "offers",
        "phases",
        "plan",
        "programs",
        "waited",
    )

    def __init__(
        self,
        instance: Instance,
        programs: Sequence[Program],
        phases: Sequence[Phases | None] = (),
    ) -> None:
        self.instance = instance
        self.members = list(instance.members)
        """The world ranks of the living members, in the order of all lists here."""
        self.index = {rank: index for index, rank in enumerate(self.members)}
        self.failed: list[int] = []
        self.broken = False
        """A rank failure broke the iteration, which is then repeated. So this iteration has more
        collectives than those that follow, and must not be taken as their pattern by a stretch."""
        self.collectives_with_failed = 0
        """The number of collectives until the last failure of a member."""
        self.programs = Programs(self.members, programs)
        self.phases: list[Phases] | None = [one for one in phases if one is not None]
        """The members' phases, where iterations are made without their programs (`iteration`).
        These stay in the step or wait that ended their first iteration."""
        if not phases or len(self.phases) < len(phases):
            self.phases = None
        self.offers = Offers(len(programs))
        """The step or wait that each member awaits. A quiet member is left out of iterations."""
        self.awake: set[int] = set()
        """Members for which something has arrived since the last iteration."""
        self.iteration = 0
        self.plan: Plan | None = None
        self.collectives = 0
        self.debt = 0
        """Small collectives since the last step or wait. The next one takes longer by their
        cost."""
        self._history: deque[Noted] = deque(maxlen=REMEMBERED)
        self.gaps = TokenGaps()
        self.last_step_ns = 0
        """When the last step ended."""
        self.waited: tuple[int, ...] = ()
        """Of the requests that this stretch is the first for, as in `Step`."""
        self.course = Course()

    def await_next(self, there: list[int], operations: list[Any]) -> None:
        """At the end of an iteration, the members that took part await these steps or waits."""
        first = operations[0]
        self.iteration, self.plan = first.iteration, first.plan
        self.offers.renew(there, operations)

    def await_the_world(self, operations: list[Any]) -> None:
        """All living members await the collective with which the job ends; an empty list if none is
        alive."""
        self.offers.await_the_world(operations)

    @property
    def current(self) -> list[Any]:
        """What each member awaits after its last iteration."""
        return self.offers.current

    def note(self, operation: Operation, now_ns: int) -> None:
        """All members completed this collective, or meet in this step."""
        number = self.collectives = self.collectives + 1
        self.debt += 1
        self._history.append((number, now_ns, operation))

    def note_iteration(self, iteration: int, last: Plan, plan: Plan, now_ns: int) -> None:
        """All members completed the three small collectives of an iteration, which began with the
        plan `last` and made another."""
        number = self.collectives
        self.collectives = number + SMALL
        self.debt += SMALL
        self._history.append((number + 1, now_ns, (iteration, last, plan)))

    def recent(self) -> list[tuple[int, int, Operation]]:
        """The last collectives that all members completed, each with its number and its time."""
        return told(self._history, self.instance.index)

    def sites(self, most: int) -> tuple[tuple[str, str], ...]:
        """Kind and site of the last so many of those."""
        return sites(self._history, most)

    def note_wait(self, operation: Operation, now_ns: int) -> None:
        """All members meet in this wait, which is no collective."""
        self._history.append((0, now_ns, operation))

    def note_arrival(self, index: int) -> None:
        """Something has arrived for a member."""
        self.awake.add(index)

    def clear_arrivals(self) -> None:
        """All members read their input."""
        self.awake.clear()

    def end_iteration(self) -> bool:
        """The iteration is over; returns whether a rank failure had broken it."""
        broken, self.broken = self.broken, False
        return broken

    def concerned(self, now_ns: int) -> list[int]:
        """The members that take part in the next iteration: each that has input, something due, or
        a step that finishes something. The others would contribute the same as last time
        (`Step.quiet_status`). The leader too where it cannot lead without: by its program, or
        alone."""
        found = self.offers.due(now_ns)
        found |= self.awake
        if self.phases is None or not found or self.phases[0].takes_sample():
            found.add(0)
        return sorted(found) if len(found) > 1 else list(found)

    def elapsed(self, index: int) -> Elapsed | None:
        """What a member is resumed with: the steps since it came there, and its group's iteration
        and plan. None at the start."""
        if self.offers.current[index] is None:
            return None
        return Elapsed(self.offers.steps(index), self.iteration, self.plan)

    def begin(self, taking_part: Sequence[int]) -> list[Any]:
        """Members begin an iteration: each is resumed with how far it has come (`Elapsed`); None at
        the start of a run. Returns what each awaits."""
        offers = self.offers
        iteration, plan, made, came = self.iteration, self.plan, offers.made, offers.came
        try:
            if offers.current[0] is None:
                return self.programs.resume_all(taking_part, None)
            values = [Elapsed(made - came[index], iteration, plan) for index in taking_part]
            return self.programs.resume_each(taking_part, values)
        except StopIteration:
            raise left_alone(self) from None

    def resumed(self, taking_part: Sequence[int], leader: Any, others: Any) -> list[Any]:
        """Resume members with the result of a collective, which may differ for the leader, the
        first of them; returns what each awaits next."""
        programs = self.programs
        try:
            if leader is others:
                return programs.resume_all(taking_part, others)
            first = programs.resume(taking_part[0], leader)
            return [first, *programs.resume_all(taking_part[1:], others)]
        except StopIteration:
            raise left_alone(self) from None

    def outcome(
        self, first: Collective, taking_part: Sequence[int], operations: Sequence[Any]
    ) -> tuple[Any, Any]:
        """The result of a small collective: (for the leader, for the other members)."""
        kind = first.kind
        if kind == "tp_broadcast":
            return first.payload, first.payload
        payloads: tuple[Any, ...]
        if len(operations) == len(self.members):
            payloads = tuple([operation.payload for operation in operations])
        else:
            gathers = kind == "tp_gather"
            said: list[Any] = [()] * len(self.members) if gathers else self.offers.quiet[:]
            for index, operation in zip(taking_part, operations, strict=True):
                said[index] = operation.payload
            payloads = tuple(said)
        if kind == "tp_gather":
            return payloads, None
        result = payloads if first.combine is None else first.combine(payloads)
        return result, result

    def catch_up(self, index: int, completed: Completed) -> None:
        """Let a quiet member take part after all: resume it with the results of this iteration's
        collectives, up to the last, whose result the other members have not got yet.

        Raises:
            AdpkvError: it contributes something other than what it had announced.
        """
        value: Any = self.elapsed(index)
        for first, result in completed:
            operation: Any = self.programs.resume(index, value)
            said = self.offers.quiet[index] if first.kind == "tp_allgather" else ()
            if (operation.kind, operation.site, operation.payload) != (
                first.kind,
                first.site,
                said,
            ):
                raise self.differs(index, operation, first, said)
            value = result

    def differs(self, index: int, at: Any, first: Operation, said: Any) -> AdpkvError:
        """A quiet member contributes something other than what it had announced."""
        return AdpkvError(
            f"rank {self.members[index]} {describe(at)} with {at.payload},"
            f" but had announced {said} for {first.kind} at {first.site}"
        )

    def join(
        self, whom: Collection[int] | None, there: Sequence[int], completed: Completed
    ) -> list[int]:
        """The quiet members of these places in the instance take part after all; None: all of them.
        Returns who takes part then."""
        found = set(there)
        for index in self.left_out(found, whom):
            self.catch_up(index, completed)
            found.add(index)
        return sorted(found)

    def left_out(self, there: Collection[int], whom: Collection[int] | None) -> list[int]:
        """Those of these places in the instance, or of all, that do not take part so far."""
        if whom is None:
            return [index for index in range(len(self.members)) if index not in there]
        first, index = self.instance.first, self.index
        found = [index[first + place] for place in whom if first + place in index]
        return sorted([place for place in found if place not in there])

    def bring_all(
        self,
        there: Sequence[int],
        operations: Sequence[Any],
        completed: Completed,
    ) -> list[Any]:
        """Resume the quiet members up to where those `there` are; returns what each awaits."""
        found = dict(zip(there, operations, strict=True))
        everybody = range(len(self.members))
        for index in everybody:
            if index not in found:
                self.catch_up(index, completed)
                value = completed[-1][1] if completed else self.elapsed(index)
                found[index] = self.programs.resume(index, value)
        return [found[index] for index in everybody]

    def leave(self) -> None:
        """All members leave behind an iteration that was made without their programs, and await
        the collective with which the job ends."""
        assert self.phases is not None
        self.programs.replace([one.leave() for one in self.phases])
        self.phases = None
        self.await_the_world(self.programs.resume_all(range(len(self.members)), None))

    def end(self, result: Any) -> list[Any]:
        """The result of the job's last collective; returns what each program ends with."""
        found = []
        for index in range(len(self.members)):
            try:
                self.programs.resume(index, result)
            except StopIteration as end:
                found.append(end.value)
            else:
                raise goes_on(self, index)
        return found

    def awaits(self, index: int) -> Operation | None:
        """What a member awaits; None if it has not begun or is over."""
        if self.phases is not None and self.current[index] is not None:
            found: Operation = self.current[index]
            return found
        return awaited(self.programs[index])

    def places(self) -> list[Place]:
        """Where each member is."""
        programs, ended = self.programs, self.programs.ended
        return [
            whereabouts(rank, None if rank in ended else programs[index], self.awaits(index))
            for index, rank in enumerate(self.members)
        ]

    def shrink(self, rank: int) -> Place:
        """Remove a failed member; returns where it was."""
        # Whose process may fail has a program of its own, so no member's phases are known here.
        assert self.phases is None
        at = self.index[rank]
        last = self.places()[at]
        self.programs.remove(at)
        del self.members[at]
        self.offers.remove(at)
        self.failed.append(rank)
        self.broken = True
        self.collectives_with_failed = self.collectives
        self.index = {rank: index for index, rank in enumerate(self.members)}
        self.awake.clear()
        return last

    def step_columns(self) -> Columns:
        """What each member's next steps cost, in ticks. Call it once for a stretch: it also notes
        which requests have their first step in it."""
        self.waited = self.offers.waited()
        return self.offers.columns()

    def pay(self) -> int:
        """The step or wait is over; returns how many small collectives each iteration had."""
        debt, self.debt = self.debt, 0
        return debt

    def stepped(self, stretch: StepStretch, made: int, debt: int, now_ns: int) -> None:
        """`made` steps of a stretch are over. Each iteration that was jumped over had `debt` small
        collectives."""
        self.collectives += (made - 1) * debt
        self._add_gaps(stretch, made, now_ns)
        self.offers.advance(made)

    def _add_gaps(self, stretch: StepStretch, made: int, now_ns: int) -> None:
        """Record the gaps between the tokens of these steps."""
        tokens = self.offers.tokens
        if tokens:
            first_ns, began_ns = stretch.first_end_ns(), stretch.began_ns
            self.gaps.add_step(began_ns, first_ns, self.last_step_ns, tokens, self.waited)
            if made > 1:
                rows = stretch.rows(made)
                steps, base, slope = rows[0]
                rows[0] = (steps - 1, base + slope, slope)
                self.gaps.add_rows(rows, stretch.ticks, now_ns - first_ns, tokens)
        self.last_step_ns = now_ns

    def let_go(self) -> None:
        """The run is over: close the programs, wherever they are."""
        self._history.clear()
        self.offers = Offers(len(self.members))
        self.course.go_on()
        self.programs.close()

    def where(self) -> list[str]:
        """Where each member is, one line each."""
        failed = [f"  rank {rank} has failed" for rank in self.failed]
        return [*(f"  {place_text(place)}" for place in self.places()), *failed]


def forget(groups: Iterable[VirtualGroup], queue: EventQueue, host: VirtualHost | None) -> None:
    """The run is over: drop the operations and the events. The operations refer to their ranks and
    are exempt from cycle collection (`gc=False`), so a process that simulates many times would keep
    every world."""
    for group in groups:
        group.let_go()
    if host is not None:
        host.stop()
    queue.clear()
