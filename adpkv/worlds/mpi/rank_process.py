"""One process's part of a real job: its communicators, its ports, and the rank program over
them."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import perf_counter_ns, time_ns
from typing import Final, TypeVar

from mpi4py import MPI

from adpkv.config import Experiment
from adpkv.core.ids import COORDINATOR
from adpkv.core.record import RequestRecord
from adpkv.core.report import RankReport
from adpkv.core.router import routed_by
from adpkv.core.topology import Kind, Topology
from adpkv.core.values import Violation
from adpkv.diagnosis.watchdog import Watchdog
from adpkv.errors import DeadlockError, HostLostError, StuckError
from adpkv.executor.coordinator import Coordinator
from adpkv.executor.loop import RankProgram
from adpkv.executor.messages import HOST, Pulse, instance_failed
from adpkv.executor.ports import Clock
from adpkv.exit_codes import ExitCode
from adpkv.faults.process_real import RealProcessFaults
from adpkv.faults.rank import RankFaults
from adpkv.flight_recorder.transport import RecordedTransport
from adpkv.output import BrokenOff, EventLog, EventSink, NullEventLog, RankRecorder, RunFolder
from adpkv.output.losses import Losses
from adpkv.terminal import final_line
from adpkv.transport.port import Transport
from adpkv.workload import Workload
from adpkv.workload import build as build_workload
from adpkv.worlds.assemble import build_inbox_ages, build_model, build_rank
from adpkv.worlds.custom_ports import Ports, RealTransportSetting
from adpkv.worlds.mpi.communicators import Communicators
from adpkv.worlds.mpi.coordinator import CoordinatorHost
from adpkv.worlds.mpi.custom_ports import RankTransport, build_memory, build_transport
from adpkv.worlds.mpi.driver import Driver, abort
from adpkv.worlds.mpi.ending import leave_now, survives_rank_failures
from adpkv.worlds.mpi.endpoint import Endpoint
from adpkv.worlds.mpi.group import CollectiveStats, Group
from adpkv.worlds.mpi.groups import make_groups
from adpkv.worlds.mpi.hosts import Flight, start_clock
from adpkv.worlds.mpi.mailbox import CoordinatorMailbox, RankMailbox
from adpkv.worlds.mpi.quiesce import SEND_BOUND_S, bounded_barrier, poll_until
from adpkv.worlds.mpi.recovery.protocol import Recovery
from adpkv.worlds.mpi.signals import StopSignals
from adpkv.worlds.mpi.snapshot import SnapshotWriter

__all__ = ["RankProcess"]

T = TypeVar("T")

PATIENCE: Final = 6
"""How many times longer than in virtual time a rank may leave its input unread: a process that
shares its cores is not always let run."""


class RankProcess:
    """This rank, assembled; `run` it once.

    Every rank must come to make one.
    """

    def __init__(
        self,
        experiment: Experiment,
        world: MPI.Intracomm,
        folder: RunFolder,
        flight: Flight,
        signals: StopSignals,
        *,
        pulse: bool,
        assemble: Callable[..., RankProgram] = build_rank,
        ports: Ports,
    ) -> None:
        self.flight, self._ports = flight, ports
        self.experiment = experiment
        self._signals, self._signal_seen = signals, 0
        self._broken_off = False
        self.topology: Topology = experiment.topology.build()
        self.rank = world.rank
        self.instance = self.topology.instance_of(self.rank)
        self.communicators = Communicators(world, self.instance.index)
        self._breaks = self._broke if survives_rank_failures() else None
        self._folder, self.losses = folder, Losses()
        self._to_coordinator: deque[bytes] = deque()
        self._inbox: deque[bytes] = deque()
        self._messages = Endpoint(self.communicators.messages, broke=self._breaks)
        self._coordinator_endpoint = Endpoint(self.communicators.coordinator, broke=self._breaks)
        to_coordinator = self._to_coordinator if self.rank == HOST else None
        self._rank_mailbox = RankMailbox(
            self._messages, self._coordinator_endpoint, to_coordinator, self._inbox
        )
        self.clock = start_clock(world)
        self._events = self.open_events(self.rank)
        self.recorder = RankRecorder(self._events, self.rank, self.clock)
        patience_ns = PATIENCE * experiment.observe.unbounded_wait_ns
        self.inbox_ages = build_inbox_ages(self.recorder, self.rank, self.clock, patience_ns)
        self._rank_mailbox.watch(self.inbox_ages.messages, self.clock)
        self.flight.recorder.start(perf_counter_ns() - self.clock(), time_ns())
        self._coordinator_events: EventSink = NullEventLog()
        self.flush_requests: Callable[[], None] = lambda: None
        self._memory = build_memory(ports.memory, experiment, self.rank, self._report)
        self._faults = faults = self._build_faults()
        self._mpi_transport = self._build_transport(faults.clock)
        self._transport = faults.transport(self._mpi_transport)
        self._mailbox = faults.mailbox(self._rank_mailbox)
        self.driver, self._recovery = self._build_driver()
        recorded: Transport = RecordedTransport(self._transport, self.flight.recorder)
        program = assemble(
            experiment,
            self.topology,
            self.rank,
            clock=faults.clock,
            mailbox=self._mailbox,
            transport=recorded,
            memory=self._memory,
            model=build_model(experiment) if ports.model is None else ports.model,
            recorder=self.recorder,
            signals=signals,
            inbox_ages=self.inbox_ages,
            counts=self.driver.counts,
            pulse=pulse,
            fired=faults.fired,
            route=None if ports.policy is None else routed_by(ports.policy.choose),
        )
        self.program = faults.program(program, RealProcessFaults(self._events.flush), self._excuse)
        self.snapshots = self._build_snapshots(tell_stories=pulse)
        self._watchdog = self._build_watchdog()

    def run(self) -> tuple[RankReport, ...]:
        """Run this rank's program to its end; the reports of all ranks."""
        # What is there now stays: the collector need not walk it again in the middle of a run. Who
        # started this rank may have had it stand still until here.
        gc.freeze()
        gc.enable()
        self._watchdog.start()
        try:
            return self.driver.run(self.program.run())
        finally:
            self._watchdog.stop()

    def _excuse(self, until_ns: int) -> None:
        """A fault keeps this rank from looking; how its group fares with it is `PATIENCE`'s."""
        self.inbox_ages.excuse(self.clock(), until_ns)

    def stuck(self, error: StuckError) -> str:
        """The job ends here: what is to be said of it, if it is this rank that speaks for all."""
        said = self.snapshots.speak(error, self._folder, self.experiment)
        return f"adpkv: {said}" if said else ""

    def broken_off(self, error: BaseException) -> None:
        """The job ends because this rank failed alone: what is known stays behind."""
        self._sum_up(BrokenOff.by(error))

    def _sum_up(self, end: BrokenOff) -> None:
        with suppress(Exception):  # it ends in any case, whatever can be told of it
            self.snapshots.sum_up(end, self._folder, self.experiment)
        self.flight.folder.rescue()

    def _hangs(self, error: DeadlockError) -> None:
        """In the watchdog's thread; the main one may be in native code for ever."""
        abort(self.stuck(error), error.exit_code)

    def _flush(self) -> None:
        self._events.flush()
        self._coordinator_events.flush()
        self.flush_requests()

    def finish(self, work: Callable[[], T]) -> T:
        """The last that this rank does with the others: its `work`, which ends with `close` and
        what is told then. If a rank fails meanwhile, those who are left do theirs again."""
        if self.driver.recover is None:
            return work()
        while True:
            failed = None
            try:
                result = work()
            except MPI.Exception as error:
                failed = error
            if self._recovery.all_is_well(self.communicators, failed is None):
                return result
            self._recover(failed, None, agreed=True)

    def close(self) -> None:
        """Nothing is in flight, or its bound is over: give everything back, files complete. Every
        rank must come, the host's coordinator being closed.

        Raises:
            StuckError: somebody did not come.
        """
        if self._broken_off:
            # What a rank failure has broken stays as it is: this process will leave without MPI.
            self._events.close()
            self.communicators.world.Barrier()
            # What the failed ranks recorded last is for whoever looks into the run.
            self.flight.folder.rescue()
            return
        self._close_transports()
        # Before the last collectives: after them rank 0 reads what all have written.
        self._events.close()
        self._memory.close()
        self.driver.close()
        self._rank_mailbox.close()
        self.flight.folder.leave(self.rank)

    def _close_transports(self) -> None:
        """Senders end first, receivers give their blocks up last (contract 6.2)."""
        world, mpi_transport = self.communicators.world, self._mpi_transport
        sends = self.instance.kind is Kind.CONTEXT
        if sends:
            self._transport.close()
        bounded_barrier(world, "end their sends")
        if not sends:
            self._transport.close()
        # The receivers take in what was in doubt while the senders wait for it, and no longer.
        if sends:
            poll_until(mpi_transport.is_drained, "the sends in doubt", SEND_BOUND_S, must=False)
        bounded_barrier(world, "end their receives", mpi_transport.discard)
        if not sends:
            poll_until(mpi_transport.is_drained, "the receives in doubt", SEND_BOUND_S, must=False)

    def coordinator_host(
        self,
        on_record: Callable[[RequestRecord], None],
        on_pulse: Callable[[Coordinator, Mapping[int, Pulse]], None] | None,
        workload: Workload | None = None,
    ) -> CoordinatorHost:
        """The coordinator beside this rank, which must be its host."""
        mailbox = CoordinatorMailbox(
            self._coordinator_endpoint, self._messages, self._to_coordinator, self._inbox
        )
        self._coordinator_events = self.open_events(COORDINATOR)
        coordinator_host = CoordinatorHost(
            self.experiment,
            self.topology,
            self.clock,
            self._coordinator_events,
            mailbox,
            workload or build_workload(self.experiment),
            on_record,
            on_pulse,
        )
        self.snapshots.coordinator, self.snapshots.unanswered = (
            coordinator_host.told,
            coordinator_host.unanswered,
        )
        self.snapshots.never_arrived = coordinator_host.never_arrived
        return coordinator_host

    def open_events(self, rank: int) -> EventSink:
        """The part of `events.jsonl` that one program of this process writes."""
        if not self.experiment.observe.events:
            return NullEventLog()
        return EventLog(self._folder.events_part(rank), self.losses)

    def _build_faults(self) -> RankFaults:
        return RankFaults(
            self.experiment,
            self.topology,
            self.rank,
            clock=self.clock,
            # Nobody needs waking for a fault: a wait asks `ready`, which looks at the clock.
            wake=lambda _: None,
            recorder=self.recorder,
        )

    def _report(self, kind: str, detail: str, leases: tuple[int, ...]) -> None:
        """What the memory has seen."""
        holders = self.program.phases.rank.serving.holders(leases)
        self.recorder.violation(Violation(kind, self.rank, self.clock(), detail, holders))

    def _build_transport(self, clock: Clock) -> RankTransport:
        setting = RealTransportSetting(
            self.experiment,
            self.rank,
            self._memory,
            self.communicators.data,
            clock,
            lambda rank: rank in self.lost,
        )
        make = self._ports.transport
        return build_transport(make, setting, inbox_age=self.inbox_ages.ends, broke=self._breaks)

    def _build_driver(self) -> tuple[Driver, Recovery]:
        stats = CollectiveStats()
        driver = Driver(self._make_groups(self.communicators, stats), stats, self.flight.recorder)
        recovery = Recovery(
            self.rank,
            self.instance.index,
            driver=driver,
            messages=self._messages,
            coordinator=self._coordinator_endpoint,
            transport=self._mpi_transport,
            make_groups=lambda communicators, last: self._make_groups(communicators, stats, last),
        )
        if self._breaks is not None:
            driver.recover = self._recover
        return driver, recovery

    def _make_groups(
        self,
        communicators: Communicators,
        stats: CollectiveStats,
        last: Mapping[int, int] | None = None,
    ) -> dict[int, Group]:
        """The groups that this rank is in, of those that are alive; `last` are the numbers of their
        last collectives."""
        return make_groups(
            communicators,
            self.instance,
            stats,
            last,
            has_input=self._has_input,
            clock=self.clock,
            computed=self.flight.recorder.computed,
        )

    # -- when a rank fails ----------------------------------------------------------------------

    @property
    def lost(self) -> Sequence[int]:
        """The ranks that have failed so far."""
        return self._recovery.lost

    def _broke(self) -> None:
        """MPI reports an error, in some thread: all ranks must look who has failed."""
        self.communicators.revoke()

    def _recover(
        self, error: MPI.Exception | None, interrupted: Group | None, *, agreed: bool = False
    ) -> None:
        known = len(self.lost)
        self._broken_off = True
        if not agreed:
            self._recovery.all_is_well(self.communicators, False)
        self.communicators = self._recovery.run(self.communicators, error, interrupted)
        lost, behind = self.lost[known:], self._recovery.behind
        for rank in lost:
            self._faults.handle_peer_failure(rank)
        self.recorder.event(
            "recovered", -1, lost=lost, epoch=self.communicators.epoch, behind=behind
        )
        if HOST in self.lost:
            self._end_without_host()
        if self.rank == HOST:
            self._report_failed_instances(lost)

    def _report_failed_instances(self, lost: Sequence[int]) -> None:
        """Where nobody of an instance is left, the coordinator hears it from its host."""
        living = self.communicators.rank_map.ranks
        for rank in lost:
            instance = self.topology.instance_of(rank)
            if not any(member in living for member in instance.members):
                self._rank_mailbox.send(COORDINATOR, instance_failed(rank, instance))

    def _end_without_host(self) -> None:
        """Nobody is left to admit, to answer clients, or to sum up."""
        self._events.close()
        place = self.communicators.world.rank
        if place == 0:
            why = HostLostError.text(HOST)
            self._sum_up(BrokenOff(ExitCode.RANK_LOST, why))
            final_line(f"adpkv: {why}")
        self.flight.folder.rescue()
        leave_now(ExitCode.RANK_LOST, place)

    def _build_watchdog(self) -> Watchdog:
        hang_ns = self.experiment.hang_ns
        return Watchdog(self.flight.board, hang_ns, self._hangs, self.snapshots.answer)

    def _build_snapshots(self, *, tell_stories: bool) -> SnapshotWriter:
        return SnapshotWriter(
            self.flight,
            self.topology,
            self.rank,
            self.driver,
            lambda: self.program.phases.rank,
            self._flush,
            self.losses,
            lambda: self.lost,
            tell_stories=tell_stories,
        )

    def _has_input(self) -> bool:
        """Does anything concern this rank that a wait should end for? A signal does once."""
        asked = self._signals.asked_to_stop()
        if asked != self._signal_seen:
            self._signal_seen = asked
            return True
        return self._mailbox.ready() or self._transport.ready()
