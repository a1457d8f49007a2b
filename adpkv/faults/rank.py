"""All faults of one rank, as wrappers around its ports and its program; the same in both worlds.

A rank that no fault can hit gets its ports back unwrapped, and so pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from adpkv.config import Experiment
from adpkv.config.fault_kinds import KINDS, Seam, phases
from adpkv.core.report import FaultCount, Nearest
from adpkv.core.topology import Topology
from adpkv.executor.ports import Clock, Mailbox, Recorder
from adpkv.faults.clock import SkewedClock
from adpkv.faults.injector import Armed, Injector, armed
from adpkv.faults.mailbox import FaultyMailbox
from adpkv.faults.process import FaultyProgram, ProcessFaultInjector, Program, ScheduledFault
from adpkv.faults.schedule import Restarts, instants
from adpkv.faults.transport import FaultyTransport
from adpkv.transport.port import Transport

__all__ = ["RankFaults"]


class RankFaults:
    """The faults of one rank.

    Args:
        experiment: the whole experiment.
        topology: its topology, built.
        rank: the world rank.
        clock: the world's clock in nanoseconds; the times of faults are read from it.
        wake: `wake(at_ns)` asks the world to run the rank at that time, because a fault needs it.
        recorder: where the rank records that a fault fired.
        restarts: the transport restarts of the whole world, shared by its ranks; None: draw them.
    """

    def __init__(
        self,
        experiment: Experiment,
        topology: Topology,
        rank: int,
        *,
        clock: Clock,
        wake: Callable[[int], None],
        recorder: Recorder,
        restarts: Restarts | None = None,
    ) -> None:
        self._seed = experiment.seed
        self._rank = rank
        self._world_clock = clock
        self._wake = wake
        self._recorder = recorder
        self._armed = armed(experiment, rank)
        self._scheduled = self._drawn()
        self._restarts = (restarts or Restarts(experiment, topology)).concerning(rank)
        skews = [(one.at_ns, one.armed.fault) for one in self._scheduled]
        steps = [(at_ns, f.duration_ns or 0) for at_ns, f in skews if f.kind == "skew"]
        self._skewed = SkewedClock(clock, steps) if steps else None
        self._transport_faults: FaultyTransport | None = None

    def _drawn(self) -> list[ScheduledFault]:
        """The faults that hit this rank's process, with their times."""
        found = []
        for one in self._armed:
            if not KINDS[one.fault.kind].at_an_instant:
                continue
            times = instants(self._seed, one.number, one.fault, self._rank)
            if not times:
                one.came(Nearest.CHANCE)
            elif KINDS[one.fault.kind].seam is Seam.PROCESS:
                found += [
                    ScheduledFault(at_ns, one.number, phases(one.fault), one) for at_ns in times
                ]
        return found

    @property
    def clock(self) -> Clock:
        """The rank's own clock: the world's, or one that is ahead of it."""
        return self._skewed or self._world_clock

    def reading(self, at_ns: int) -> int:
        """What the rank's own clock reads at the world's time `at_ns`."""
        return at_ns if self._skewed is None else self._skewed.reading(at_ns)

    def transport(self, inner: Transport) -> Transport:
        """The rank's transport, wrapped if a fault or a restart can hit it."""
        here = self._at(Seam.TRANSPORT)
        if not here and not self._restarts:
            return inner
        self._transport_faults = FaultyTransport(
            inner,
            Injector(here, self._seed, Seam.TRANSPORT),
            rank=self._rank,
            clock=self._world_clock,
            wake=self._wake,
            note=self._note,
            restarts=self._restarts,
            restarted=lambda number: self._of(number).hit(),
        )
        return self._transport_faults

    def handle_peer_failure(self, rank: int) -> None:
        """Another rank has failed, and the inner transport knows. From here on no fault delays the
        ends of the transfers between the two."""
        if self._transport_faults is not None:
            self._transport_faults.handle_peer_failure(rank)

    def mailbox(self, inner: Mailbox) -> Mailbox:
        """The rank's mailbox, wrapped if a fault can hit its messages."""
        here = self._at(Seam.MESSAGES)
        if not here:
            return inner
        injector = Injector(here, self._seed, Seam.MESSAGES)
        return FaultyMailbox(
            inner, injector, clock=self._world_clock, wake=self._wake, note=self._note
        )

    def program(
        self, inner: Program, inject: ProcessFaultInjector, excuse: Callable[[int], None]
    ) -> Program:
        """The rank's program, wrapped if a fault can hit its process. `inject` suspends or kills
        the rank in its world; `excuse(until_ns)` is told how long the rank cannot look at its
        inputs."""
        if not self._scheduled:
            return inner
        for one in self._scheduled:
            self._wake(one.at_ns)
        return FaultyProgram(
            inner,
            self._scheduled,
            clock=self._world_clock,
            skewed=self._skewed,
            inject=inject,
            note=self._note,
            excuse=excuse,
        )

    def fired(self) -> tuple[FaultCount, ...]:
        """How often each fault has hit this rank so far."""
        return tuple([one.count() for one in self._armed])

    def _at(self, seam: Seam) -> list[Armed]:
        return [one for one in self._armed if KINDS[one.fault.kind].seam is seam]

    def _of(self, number: int) -> Armed:
        return next(one for one in self._armed if one.number == number)

    def _note(self, request_id: int, fault: str, phase: str) -> None:
        self._recorder.event("fault", request_id, fault=fault, phase=phase)
