"""One rank's faults, put around what its world gives it: the same in both worlds.

A rank that no fault can hit gets back what it gave: it pays nothing.
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
    """What goes wrong with one rank.

    Args:
        experiment: the whole experiment.
        topology: its topology, built.
        rank: which world rank this is.
        clock: the world's clock; faults and events go by it.
        wake: `wake(at_ns)` is asked for when something happens to the rank at that time.
        recorder: where the rank writes down what happened.
        restarts: the world's, where ranks share them; drawn here otherwise.
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
        """What hits this rank's process, and when."""
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
        """The rank's own clock: the world's, or ahead of it."""
        return self._skewed or self._world_clock

    def reading(self, at_ns: int) -> int:
        """What the rank's own clock reads at a time of the world."""
        return at_ns if self._skewed is None else self._skewed.reading(at_ns)

    def transport(self, inner: Transport) -> Transport:
        """The rank's end of the transport."""
        injector = Injector(self._armed, self._seed, Seam.TRANSPORT)
        if not injector and not self._restarts:
            return inner
        self._transport_faults = FaultyTransport(
            inner,
            injector,
            rank=self._rank,
            clock=self._world_clock,
            wake=self._wake,
            note=self._note,
            restarts=self._restarts,
            restarted=lambda number: self._of(number).hit(),
        )
        return self._transport_faults

    def handle_peer_failure(self, rank: int) -> None:
        """Another rank has failed, and the inner transport knows: no fault holds back what the two
        had open."""
        if self._transport_faults is not None:
            self._transport_faults.handle_peer_failure(rank)

    def mailbox(self, inner: Mailbox) -> Mailbox:
        """The rank's mailbox."""
        injector = Injector(self._armed, self._seed, Seam.MESSAGES)
        if not injector:
            return inner
        return FaultyMailbox(
            inner, injector, clock=self._world_clock, wake=self._wake, note=self._note
        )

    def program(
        self, inner: Program, inject: ProcessFaultInjector, excuse: Callable[[int], None]
    ) -> Program:
        """The rank's program; `inject` is how its world stops or kills a rank, `excuse` is told
        until when it cannot look at anything."""
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
        """How often each fault hit this rank so far."""
        return tuple([one.count() for one in self._armed])

    def _of(self, number: int) -> Armed:
        return next(one for one in self._armed if one.number == number)

    def _note(self, request_id: int, fault: str, phase: str) -> None:
        self._recorder.event("fault", request_id, fault=fault, phase=phase)
