"""One process as one rank of a real job: it starts, runs, recovers, comes to rest, and leaves.

Each stage has its own module: `process_ports` (what the rank's program needs), `recovery.survivor`
(when a rank fails), `quiesce` (bringing the transports to rest), `failure_reports` (when the job
does not end by agreement).
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter_ns, time_ns
from typing import TypeVar

from mpi4py import MPI

from adpkv.config import Experiment
from adpkv.core.ids import COORDINATOR
from adpkv.core.record import RequestRecord
from adpkv.core.report import RankReport
from adpkv.core.topology import Kind
from adpkv.executor.coordinator import Coordinator
from adpkv.executor.loop import RankProgram
from adpkv.executor.messages import Pulse
from adpkv.executor.ports import Mailbox
from adpkv.faults.process import Program
from adpkv.faults.process_real import RealProcessFaults
from adpkv.flight_recorder.transport import RecordedTransport
from adpkv.flight_recorder.writer import FlightRecorder
from adpkv.output import RunFolder
from adpkv.timeline.recording import CollectiveRecorder, RankTimeline, RecordedMailbox
from adpkv.timeline.writer import RecordFile
from adpkv.workload import Workload
from adpkv.workload import build as build_workload
from adpkv.worlds.assemble import build_model, build_rank
from adpkv.worlds.custom_ports import Ports, router_of
from adpkv.worlds.mpi.agreement import AgreedError
from adpkv.worlds.mpi.communicators import LivingRanks
from adpkv.worlds.mpi.coordinator import CoordinatorHost
from adpkv.worlds.mpi.driver import Driver
from adpkv.worlds.mpi.exchange.opening import ExchangeMaker
from adpkv.worlds.mpi.failure_reports import FailureReports
from adpkv.worlds.mpi.group import CollectiveStats, Group
from adpkv.worlds.mpi.groups import GroupMaker
from adpkv.worlds.mpi.hosts import Flight
from adpkv.worlds.mpi.killing import survives_rank_failures
from adpkv.worlds.mpi.mpi_yields import MpiYields
from adpkv.worlds.mpi.oversubscription import cores, local_ranks
from adpkv.worlds.mpi.process_files import ProcessFiles
from adpkv.worlds.mpi.process_ports import ProcessPorts
from adpkv.worlds.mpi.quiesce import close_transports
from adpkv.worlds.mpi.rank_model import build_rank_model, may_meet
from adpkv.worlds.mpi.recovery.protocol import Recovery
from adpkv.worlds.mpi.recovery.survivor import Survivor
from adpkv.worlds.mpi.signals import StopSignals
from adpkv.worlds.mpi.snapshot import SnapshotWriter

__all__ = ["RankProcess"]

T = TypeVar("T")


def _nobody_looks(summary: Mapping[str, object]) -> None:
    """Of a job that nobody looks on at."""


class RankProcess:
    """This rank, assembled; `begin` it, then `run` it, once. Every rank must come to make one.

    Args:
        experiment, world, folder, flight, signals: what this process has opened so far.
        pulse: whether a leader tells the coordinator now and then how its instance is doing.
        assemble: makes this rank's program; a field policy's otherwise.
        ports: the ports that stand in for ours.
        on_broken_off: gets the summary of a job that ends with an error.

    Raises:
        AgreedError: on some rank a memory, a transport or shared memory for the collectives could
            not be made. This rank has taken its files away again.
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
        on_broken_off: Callable[[Mapping[str, object]], None] = _nobody_looks,
    ) -> None:
        self.experiment, self.flight = experiment, flight
        self.topology = experiment.topology.build()
        self.rank = world.rank
        self.instance = self.topology.instance_of(self.rank)
        self.living, self.mpi_yields = LivingRanks(world, self.instance.index), MpiYields()
        self.files = ProcessFiles(folder, experiment.observe)
        try:
            self._ports = ProcessPorts(
                experiment,
                self.topology,
                self.rank,
                living=self.living,
                files=self.files,
                signals=signals,
                custom=ports,
                holders=lambda leases: self.program.phases.rank.serving.holders(leases),
            )
            self._model = build_rank_model(
                experiment,
                self.instance,
                build_model(experiment, self.instance.index)
                if ports.model is None
                else ports.model,
                living=self.living,
                ports=self._ports,
            )
            self._timeline = self.files.open_timeline(f"rank-{self.rank}")
            self._recorder = self._build_recorder()
            self.driver, recovery = self._build_driver()
        except AgreedError:
            self.files.discard()
            flight.folder.leave(self.rank)
            raise
        self.program = self._build_program(assemble, ports, pulse=pulse)
        self._snapshots = SnapshotWriter(
            flight,
            self.topology,
            self.rank,
            self.driver,
            lambda: self.program.phases.rank,
            self.files.flush,
            self.files.losses,
            lambda: self.living.lost,
            tell_stories=pulse,
            on_broken_off=on_broken_off,
        )
        self.reports = FailureReports(flight, self._snapshots, folder, experiment)
        self._survivor = Survivor(
            self.rank,
            self.topology,
            living=self.living,
            ports=self._ports,
            recovery=recovery,
            reports=self.reports,
        )
        if survives_rank_failures():
            self.driver.recover = self._recover

    def _build_driver(self) -> tuple[Driver, Recovery]:
        ports, recorder = self._ports, self._recorder
        maker = GroupMaker(
            self.instance,
            CollectiveStats(),
            ports.has_input,
            ports.clock,
            recorder.computed,
            self.exchanges(),
            recorder if isinstance(recorder, FlightRecorder) else None,
        )
        groups = maker.make(self.living.communicators)
        driver = Driver(groups, maker.stats, recorder)
        recovery = Recovery(
            self.rank,
            self.instance.index,
            living=self.living,
            driver=driver,
            messages=ports.messages.peers,
            coordinator=ports.messages.coordinator,
            transport=ports.mpi_transport,
            make_groups=maker.make,
        )
        return driver, recovery

    def _build_recorder(self) -> CollectiveRecorder:
        """Records this rank's collectives: in its flight recorder, and in a timeline if there is
        one."""
        flight = self.flight.recorder
        if self._timeline is None:
            return flight
        return RankTimeline(self._timeline, self.rank, flight)

    def _recorded(self, mailbox: Mailbox, owner: int, file: RecordFile | None) -> Mailbox:
        """A mailbox whose messages are in the timeline, if there is one."""
        return mailbox if file is None else RecordedMailbox(mailbox, owner, file, self.clock)

    @property
    def ranks_per_core(self) -> float:
        """How many ranks of this host share a core."""
        return max(local_ranks(os.environ), len(self.flight.board.rings)) / cores()

    def exchanges(self) -> ExchangeMaker:
        """Opens what carries the collectives of this rank's groups."""
        return ExchangeMaker(
            self.experiment.topology.collectives,
            self.flight.folder.path,
            self.ranks_per_core > 1,
            self.mpi_yields,
        )

    def _build_program(
        self, assemble: Callable[..., RankProgram], custom: Ports, *, pulse: bool
    ) -> Program:
        ports = self._ports
        program = assemble(
            self.experiment,
            self.topology,
            self.rank,
            clock=ports.rank_clock,
            mailbox=self._recorded(ports.mailbox, self.rank, self._timeline),
            transport=RecordedTransport(ports.transport, self.flight.recorder),
            staged=ports.staged,
            memory=ports.memory,
            model=self._model,
            recorder=ports.recorder,
            signals=ports.signals,
            inbox_ages=ports.inbox_ages,
            counts=self.driver.counts,
            pulse=pulse,
            fired=ports.faults.fired,
            route=router_of(custom.policy, self.experiment),
            sampler=ports.sampler,
        )
        return ports.faults.program(program, RealProcessFaults(ports.flush_records), ports.excuse)

    @property
    def lost(self) -> Sequence[int]:
        """The ranks that have failed so far."""
        return self.living.lost

    @property
    def carrier(self) -> str:
        """What carries the collectives of this rank's instance."""
        return self.driver.groups[self.instance.index].carrier

    def clock(self) -> int:
        """Nanoseconds since the job began, on all ranks of a host the same; 0 until then."""
        return self._ports.clock()

    def coordinator_host(
        self,
        on_record: Callable[[RequestRecord], None],
        on_pulse: Callable[[Coordinator, Mapping[int, Pulse]], None] | None,
        workload: Workload | None = None,
    ) -> CoordinatorHost:
        """The coordinator beside this rank, which must be its host."""
        mailbox = self._ports.messages.coordinator_mailbox()
        coordinator_host = CoordinatorHost(
            self.experiment,
            self.topology,
            self._ports.clock,
            self.files.open_events(COORDINATOR),
            self._recorded(mailbox, COORDINATOR, self.files.open_timeline("coordinator")),
            workload or build_workload(self.experiment),
            on_record,
            on_pulse,
        )
        self._snapshots.beside(coordinator_host)
        return coordinator_host

    def begin(self) -> None:
        """This rank is built, and what it runs beside. The job's clock begins when all are: from
        then on requests arrive, and none waits for a rank that is not there yet. Every rank must
        call it."""
        # What there is now stays: the garbage collector need not walk through it in the middle of a
        # run. Who started this rank may have switched the collector off until here.
        gc.freeze()
        gc.enable()
        self.reports.watchdog.start()
        self._ports.start_clock()
        passed_ns = self.clock()
        began_ns = perf_counter_ns() - passed_ns
        self.flight.recorder.start(began_ns, time_ns() - passed_ns)
        if isinstance(self._recorder, RankTimeline):
            self._recorder.start(began_ns)

    def run(self) -> tuple[RankReport, ...]:
        """Run this rank's program to its end; the reports of all ranks."""
        try:
            with self.running():
                return self.driver.run(self.program.run())
        finally:
            self.reports.watchdog.stop()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around this rank's program: where nothing in it waits inside MPI, MPI keeps the core."""
        self.mpi_yields.only_polls(self._only_polls())
        try:
            yield
        finally:
            self.mpi_yields.only_polls(False)

    def _only_polls(self) -> bool:
        groups = self.driver.groups.values()
        return not may_meet(self._model) and all(group.carrier != "mpi" for group in groups)

    def _recover(self, error: MPI.Exception, interrupted: Group | None) -> None:
        """A recovery waits inside MPI, and may leave groups that do."""
        self.mpi_yields.only_polls(False)
        self._survivor.recover(error, interrupted)
        self.mpi_yields.only_polls(self._only_polls())

    def finish(self, work: Callable[[], T]) -> T:
        """The last that this rank does with the others: its `work`, in which it calls `close`. If a
        rank fails meanwhile, those who are left do theirs again."""
        if self.driver.recover is None:
            return work()
        while True:
            failed = None
            try:
                result = work()
            except MPI.Exception as error:
                failed = error
            if self._survivor.finished(failed):
                return result

    def close(self) -> None:
        """Nothing is in flight, or its bound is over: give everything back, files complete. Every
        rank must come, the host's coordinator being closed.

        Raises:
            StuckError: a rank did not come.
        """
        ports, world = self._ports, self.living.communicators.world
        if self._survivor.has_recovered:
            # What a rank failure has broken stays as it is: this process will leave without MPI.
            ports.close_records()
            self.files.close_timelines()
            world.Barrier()
            # What the failed ranks recorded last is for whoever looks into the run.
            self.reports.rescue()
            return
        close_transports(
            world, ports.transport, ports.mpi_transport, sends=self.instance.kind is Kind.CONTEXT
        )
        ports.mpi_transport.release()
        # Before the last collectives: after them rank 0 reads what all have written.
        ports.close_records()
        self.files.close_timelines()
        ports.memory.close()
        self.driver.close()
        ports.messages.mailbox.close()
        self.flight.folder.leave(self.rank)
