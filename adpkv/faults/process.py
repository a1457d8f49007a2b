"""Faults of a rank's process: it is stopped for a time, or killed, or its clock steps ahead.

A wrapper around the rank's program that sees each collective as it is awaited, installed only where
such a fault can hit the rank. Before the first collective of the fitting phase at or after a
fault's instant it lets the world do what it can: `inject` sends this process a real signal, or says
what a virtual rank is to await instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from adpkv.core.plan import NO_STOP, Plan
from adpkv.core.report import Nearest
from adpkv.errors import RankLostError
from adpkv.executor.collectives import Operation, Pause, Step, Wait
from adpkv.executor.ports import Clock
from adpkv.faults.clock import SkewedClock
from adpkv.faults.injector import Armed
from adpkv.faults.transport import Note

__all__ = ["FaultyProgram", "ProcessFaultInjector", "Program", "ScheduledFault"]

PHASES: Final = {
    "tp_broadcast": "intake",
    "tp_allgather": "sync",
    "tp_gather": "flush",
    "step": "step",
    "wait": "wait",
}
"""What a fault calls the kinds of collectives that an iteration has."""

ProcessFaultInjector = Callable[[str, int, Operation], Operation | None]
"""`inject(kind, duration_ns, before)`: do it to this process, before that collective; or return
what this rank awaits first."""


class Program(Protocol):
    """What a world runs on a rank."""

    phases: Any

    def run(self) -> Any:
        """The coroutine."""
        ...


class ScheduledFault(NamedTuple):
    """A fault that hits a rank's process at or after an instant."""

    at_ns: int
    number: int
    phases: Sequence[str]
    armed: Armed


class FaultyProgram:
    """A rank's program, and what happens to the process that runs it. `excuse(until_ns)` is told
    of the time that a fault takes from the rank, by its clock or for real."""

    def __init__(
        self,
        program: Program,
        scheduled: Sequence[ScheduledFault],
        *,
        clock: Clock,
        skewed: SkewedClock | None,
        inject: ProcessFaultInjector,
        note: Note,
        excuse: Callable[[int], None],
    ) -> None:
        self.phases = program.phases
        self._program = program
        self._due = sorted(scheduled, key=lambda one: one[:2])
        self._clock = clock
        self._skewed = skewed
        self._inject = inject
        self._note = note
        self._excuse = excuse

    async def run(self) -> Any:
        """The program's own run, with what happens between its collectives."""
        program = self._program.run()
        go_on = partial(program.send, None)
        while True:
            try:
                operation: Operation = go_on()
            except StopIteration as end:
                return end.value
            if self._skewed is not None and isinstance(operation, Pause | Step | Wait):
                # What is due by this rank's clock, as the world's clock has it.
                operation.until_ns = self._skewed.world_ns(operation.until_ns)
            if self._due and self._due[0].at_ns <= self._clock():
                lost = [one for first in self._injected(operation) for one in await _stopped(first)]
                if lost:
                    go_on = partial(_told, program, lost)
                    continue
            try:
                go_on = partial(program.send, await operation)
            except RankLostError as error:
                go_on = partial(program.throw, error)

    def _injected(self, operation: Operation) -> list[Operation]:
        """Inject what is due in this phase; what the rank then awaits before the collective."""
        now_ns = self._clock()
        found: list[Operation] = []
        for one in [one for one in self._due if one.at_ns <= now_ns]:
            if not _fits(one.phases, operation):
                one.armed.came(Nearest.PHASE)
                continue
            self._due.remove(one)
            one.armed.hit()
            fault = one.armed.fault
            self._note(-1, fault.kind, PHASES.get(operation.kind, operation.kind))
            duration_ns = fault.duration_ns or 0
            self._excuse(now_ns + duration_ns)
            first = self._inject(fault.kind, duration_ns, operation)
            if first is not None:
                found.append(first)
        return found


async def _stopped(first: Operation) -> list[RankLostError]:
    """Stand still to the end, whoever fails meanwhile: a stopped process hears it afterwards."""
    lost: list[RankLostError] = []
    while True:
        try:
            await first
        except RankLostError as error:
            lost.append(error)
        else:
            return lost


def _told(program: Any, lost: list[RankLostError]) -> Operation:
    """The program learns of each, and stands in what it comes to at last."""
    return [program.throw(error) for error in lost][-1]  # type: ignore[no-any-return]


def _fits(phases: Sequence[str], operation: Operation) -> bool:
    if PHASES.get(operation.kind, "") in phases:
        return True
    plan = operation.plan
    return "drain" in phases and isinstance(plan, Plan) and plan.stop != NO_STOP
