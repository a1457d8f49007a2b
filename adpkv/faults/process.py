"""Faults of a rank's process: it is suspended for a time, killed, or its clock jumps ahead.

A wrapper around the rank's program that sees each collective as it is awaited. It is installed only
on ranks that such a fault can hit. It waits for the fault's instant, then for the next collective
of a phase that the fault names, if that comes before the fault's window is over, and calls the
world's `inject` just before that collective. Under MPI `inject` sends this process a real signal;
in virtual time it returns what the rank awaits first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from adpkv.core.plan import Plan
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
"""The name in a fault's `phases` for each kind of collective of an iteration."""

ProcessFaultInjector = Callable[[str, int, Operation], Operation | None]
"""`inject(kind, duration_ns, before)`: hit this process with a fault, just before the collective
`before`. Returns an operation that this rank must await first, or None."""


class Program(Protocol):
    """A rank's program, as a world runs it."""

    phases: Any

    def run(self) -> Any:
        """The program's coroutine."""
        ...


class ScheduledFault(NamedTuple):
    """A fault that hits a rank's process at the first fitting collective at or after `at_ns`."""

    at_ns: int
    number: int
    phases: Sequence[str]
    armed: Armed


class FaultyProgram:
    """A rank's program together with the faults that hit its process. `excuse(until_ns)` is called
    with the time until which a fault keeps the rank from running, or makes its clock say so."""

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
        """Run the program to its end, and inject the scheduled faults between its collectives."""
        program = self._program.run()
        go_on = partial(program.send, None)
        while True:
            try:
                operation: Operation = go_on()
            except StopIteration as end:
                return end.value
            if self._skewed is not None and isinstance(operation, Pause | Step | Wait):
                # The rank computed its deadline on its own clock: convert it to the world's time.
                operation.until_ns = self._skewed.world_ns(operation.until_ns)
            if self._due and self._due[0].at_ns <= self._clock():
                lost = [one for first in self._injected(operation) for one in await _stopped(first)]
                if lost:
                    go_on = partial(_raise_losses, program, lost)
                    continue
            try:
                go_on = partial(program.send, await operation)
            except RankLostError as error:
                go_on = partial(program.throw, error)

    def _injected(self, operation: Operation) -> list[Operation]:
        """Inject the faults that are due in this phase; returns what the rank must await before the
        collective."""
        now_ns = self._clock()
        found: list[Operation] = []
        for one in [one for one in self._due if one.at_ns <= now_ns]:
            if not _fits(one.phases, operation):
                one.armed.came(Nearest.PHASE)
                continue
            self._due.remove(one)
            fault = one.armed.fault
            # A phase may come long after the instant; any collective is a step or a wait away.
            before_ns = None if fault.phase is None else fault.before_ns
            if before_ns is not None and now_ns >= before_ns:
                one.armed.came(Nearest.REQUEST)
                continue
            one.armed.hit()
            self._note(-1, fault.kind, PHASES.get(operation.kind, operation.kind))
            duration_ns = fault.duration_ns or 0
            self._excuse(now_ns + duration_ns)
            first = self._inject(fault.kind, duration_ns, operation)
            if first is not None:
                found.append(first)
        return found


async def _stopped(first: Operation) -> list[RankLostError]:
    """Wait until the suspension is over, even if other ranks fail meanwhile; returns those
    failures. A suspended process learns of them afterwards."""
    lost: list[RankLostError] = []
    while True:
        try:
            await first
        except RankLostError as error:
            lost.append(error)
        else:
            return lost


def _raise_losses(program: Any, lost: list[RankLostError]) -> Operation:
    """Raise each failure in the program; returns the operation that it awaits after the last
    one."""
    return [program.throw(error) for error in lost][-1]  # type: ignore[no-any-return]


def _fits(phases: Sequence[str], operation: Operation) -> bool:
    if PHASES.get(operation.kind, "") in phases:
        return True
    plan = operation.plan
    return "drain" in phases and isinstance(plan, Plan) and plan.stop is not None
