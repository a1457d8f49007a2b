"""`simulate`: runs one experiment in virtual time, and writes its output folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from adpkv.config import Experiment
from adpkv.core.ids import COORDINATOR
from adpkv.core.membership import Membership
from adpkv.core.record import RequestRecord
from adpkv.core.sample import RankSample
from adpkv.core.values import Violation
from adpkv.diagnosis.rank_knowledge import RankKnowledge, local
from adpkv.errors import EndOfTimeError, StuckError, UsageError
from adpkv.executor.audit import report_now
from adpkv.executor.collectives import Operation
from adpkv.executor.digest import PlanDigest
from adpkv.executor.leader import unhealthy_ranks
from adpkv.executor.loop import RankProgram
from adpkv.executor.messages import Pulse
from adpkv.executor.sampling import Sampler
from adpkv.faults.process import Program
from adpkv.faults.process_virtual import VirtualProcessFaults
from adpkv.faults.rank import RankFaults
from adpkv.faults.schedule import Restarts
from adpkv.memory.virtual import LedgerMemory
from adpkv.model.port import Model
from adpkv.output import (
    BrokenOff,
    EventSink,
    NullEventLog,
    RankRecorder,
    RunFolder,
    Tally,
    build_summary,
)
from adpkv.output.losses import complete
from adpkv.timeline.recording import WorldTimeline
from adpkv.transport.virtual import Network
from adpkv.workload import Workload
from adpkv.workload import build as build_workload
from adpkv.worlds import custom_ports
from adpkv.worlds.assemble import build_inbox_ages, build_model, build_rank, says_cached
from adpkv.worlds.assemble_coordinator import build_coordinator
from adpkv.worlds.select_ports import chosen
from adpkv.worlds.virtual.calibrated import Holding, link, mail_latency, pace_of
from adpkv.worlds.virtual.iteration import known_phases
from adpkv.worlds.virtual.memory_check import check_memory
from adpkv.worlds.virtual.rank_ports import RankPortMaker
from adpkv.worlds.virtual.run_files import SimulationFiles
from adpkv.worlds.virtual.schedule import Schedule, queue_for
from adpkv.worlds.virtual.signals import WATCH_EVERY, Progress, StopFlag, attended, watch
from adpkv.worlds.virtual.timetable import Timetable
from adpkv.worlds.virtual.world import VirtualWorld

__all__ = ["Simulation", "SimulationResult", "simulate"]

NS_PER_S: Final = 1e9


class SimulationResult(msgspec.Struct, frozen=True):
    """The result of a simulation; `summary` is what `summary.json` in `folder` holds."""

    summary: dict[str, object]
    exit_code: int
    folder: Path


class Simulation:
    """One job in virtual time, assembled; `run` it once. Tests look into it."""

    ledger = LedgerMemory
    """The class of a rank's memory."""

    def __init__(
        self,
        experiment: Experiment,
        *,
        jump: bool = True,
        workload: Workload | None = None,
        ports: custom_ports.Ports = custom_ports.OURS,
        events: EventSink | None = None,
        on_sample: Callable[[RankSample], None] | None = None,
        on_record: Callable[[RequestRecord], None] | None = None,
        assemble: Callable[..., RankProgram] = build_rank,
        timeline: WorldTimeline | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self.experiment = experiment
        self.topology = experiment.topology.build()
        self.tally = Tally(experiment.slo)
        self.records: list[RequestRecord] = []
        self._tokens = [0] * len(self.topology.instances)
        self.stop = StopFlag()
        ports = chosen(experiment, "virtual", ports)
        workload = ports.workload if workload is None else workload
        self._route = custom_ports.router_of(ports.policy, experiment)
        models = self._models(ports.model)
        pace = pace_of(experiment, models[0].ticks_per_ns, timeline, schedule, jump=jump)
        self._holding = Holding(experiment, pace)
        self.world = VirtualWorld(
            self.topology,
            pace=pace,
            mail_latency_ns=mail_latency(experiment, pace),
            hang_ns=experiment.hang_ns,
            queue=queue_for(schedule),
            says_cached=says_cached(experiment),
        )
        self._events = events or NullEventLog()
        self._on_record, self._on_sample = on_record, on_sample
        self._timetable = Timetable(self.world)
        self._network = Network(self.topology.ranks, *link(experiment), self._timetable)
        self._ports = RankPortMaker(experiment, ports, self.ledger, self._network, self._timetable)
        self.recorder = self._recorder(COORDINATOR)
        self.coordinator = build_coordinator(
            experiment,
            self.topology,
            build_workload(experiment) if workload is None else workload,
            clock=self.world.queue.clock,
            mailbox=self.world.post.box(COORDINATOR),
            recorder=self.recorder,
            on_record=self._record,
        )
        self.memories: list[LedgerMemory] = []
        self._recorders: list[RankRecorder] = []
        self._faults: list[RankFaults] = []
        self._restarts = Restarts(experiment, self.topology)
        self.programs = [
            self._program(assemble, rank, models[instance.index], membership)
            for instance in self.topology.instances
            for membership in (Membership(instance.members),)
            for rank in instance.members
        ]
        monitors = [program.phases.rank.transceiver.monitor for program in self.programs]
        self._network.awaits_movement = lambda rank: bool(monitors[rank].reasons)
        self.world.knowledge_of = self._knowledge_of
        self.world.handle_peer_failure = self._handle_peer_failure

    def _handle_peer_failure(self, rank: int) -> None:
        """Tell the network, each rank's faults, and the ports of the living ranks."""
        self._network.handle_peer_failure(rank)
        for faults in self._faults:
            faults.handle_peer_failure(rank)
        self._ports.handle_peer_failure(rank)

    def _knowledge_of(self, rank: int, op: Operation | None) -> RankKnowledge:
        return local(self.programs[rank].phases.rank, op, PlanDigest())

    def _recorder(self, rank: int) -> RankRecorder:
        return RankRecorder(self._events, rank, self.world.queue.clock)

    def _models(self, given: Model | None) -> list[Model]:
        """The model of each instance; ours have the costs of theirs."""
        experiment, several = self.experiment, self.topology.instances
        if given is None and experiment.topology.servers:
            return [build_model(experiment, one.index, calibrated=True) for one in several]
        return [given or build_model(experiment, calibrated=True)] * len(several)

    def _program(
        self, assemble: Callable[..., RankProgram], rank: int, model: Any, membership: Membership
    ) -> Program:
        experiment, world = self.experiment, self.world
        recorder = self._recorder(rank)
        self._recorders.append(recorder)

        def report(kind: str, detail: str, leases: tuple[int, ...]) -> None:
            holders = self.programs[rank].phases.rank.serving.holders(leases)
            recorder.violation(Violation(kind, rank, world.queue.now, detail, holders))

        memory = self._ports.memory(rank, report)
        self.memories.append(memory)
        bound_ns = experiment.observe.unbounded_wait_ns
        inbox_ages = build_inbox_ages(recorder, rank, world.queue.clock, bound_ns)
        world.watch_inbox(rank, inbox_ages)
        faults = RankFaults(
            experiment,
            self.topology,
            rank,
            clock=world.queue.clock,
            wake=lambda at_ns: self._timetable.later(at_ns, rank, world.arrival, rank),
            recorder=recorder,
            restarts=self._restarts,
        )
        self._faults.append(faults)
        mailbox = faults.mailbox(world.post.box(rank))
        transport, staged = self._ports.transport(
            rank, memory, inbox_ages, faults, mailbox, recorder
        )
        transport = self._holding.up(rank, transport)
        program = assemble(
            experiment,
            self.topology,
            rank,
            clock=faults.clock,
            mailbox=mailbox,
            transport=transport,
            staged=staged,
            memory=memory,
            model=model,
            recorder=recorder,
            signals=self.stop,
            inbox_ages=inbox_ages,
            counts=lambda: world.counts(rank),
            pulse=False,
            membership=membership,
            fired=faults.fired,
            route=self._route,
            sampler=Sampler(self.topology.ranks, world.queue.clock, self._on_sample),
        )
        process_faults = VirtualProcessFaults(world.queue.clock)
        return faults.program(program, process_faults, partial(world.excuse, rank))

    def _record(self, record: RequestRecord) -> None:
        if record.generation_instance >= 0:
            self._tokens[record.generation_instance] += record.tokens
        if self._on_record is None:
            self.tally.add(record)
            self.records.append(record)
        else:
            self._on_record(record)

    def pulses(self) -> dict[int, Pulse]:
        """The state of each instance now, by its index."""
        found: dict[int, Pulse] = {}
        for instance in self.topology.instances:
            living = [rank for rank in instance.members if rank not in self._network.failed]
            ranks = [self.programs[rank].phases.rank for rank in living]
            exposed = sum(r.transceiver.book.in_flight for r in ranks)
            quarantined = sum(len(r.transceiver.book.quarantine) for r in ranks)
            counting = [r.serving for r in ranks if r.serving.owner.answers]
            found[instance.index] = Pulse(
                running=sum(serving.running() for serving in counting),
                waiting=sum(len(serving.waiting) for serving in counting),
                in_transfer=exposed - quarantined,
                quarantined=quarantined,
                unhealthy=unhealthy_ranks((r.rank, r.transceiver.monitor.reasons) for r in ranks),
                avoided=sum(r.serving.failures.is_avoided for r in ranks),
                tokens=self._tokens[instance.index],
            )
        return found

    def progress(self) -> tuple[int, int, dict[int, Pulse], float]:
        """The arguments of a `Progress` call."""
        coordinator = self.coordinator
        return coordinator.done, coordinator.total, self.pulses(), self.world.queue.now / NS_PER_S

    def run(self, watched: Callable[[], None] | None = None, every: int = 1) -> list[Any]:
        """Run to the end, calling `watched` after each `every` events; returns all ranks' reports.

        Raises:
            StuckError: the ranks could not go on together.
        """
        programs = [program.run() for program in self.programs]
        phases = [known_phases(program) for program in self.programs]
        results = self.world.run(programs, self.coordinator.run(), watched, every, phases)
        self.coordinator.close()
        return list(next(result for result in results if result is not None))

    def reports_now(self) -> list[Any]:
        """The reports of the living ranks, in the middle of the run."""
        living = [rank for rank in range(self.topology.ranks) if rank not in self._network.failed]
        found = []
        for rank in living:
            with suppress(Exception):  # a rank that was interrupted may be in an inconsistent state
                at = self.programs[rank].phases.rank
                at.ports.sampler.last(at)
                found.append(report_now(at, partial(self.world.counts, rank)))
        return found

    def violations(self, reports: Sequence[Any]) -> list[Violation]:
        """Those that no rank's report holds: the coordinator's, and what the link caused in a
        rank's memory after the rank had left."""
        told = {report.rank: len(report.violations) for report in reports}
        found = [*self.recorder.violations]
        for rank, recorder in enumerate(self._recorders):
            found += recorder.violations[told.get(rank, 0) :]
        return found

    def summary(
        self, reports: list[Any], tally: Tally, wall_s: float, broken_off: BrokenOff | None = None
    ) -> dict[str, object]:
        """What `summary.json` says."""
        return build_summary(
            "virtual",
            self.experiment,
            reports,
            tally,
            wall_s=wall_s,
            simulated_s=self.world.queue.now / 1e9,
            violations=self.violations(reports),
            last_counts={rank: faults.fired() for rank, faults in enumerate(self._faults)},
            lost=sorted(self._network.failed) if broken_off else (),
            broken_off=broken_off,
            never_arrived=self.coordinator.clients.never_arrived,
            retries_due=self.coordinator.clients.retries_due,
            outages=self.coordinator.outages.told(),
        )


def simulate(
    experiment: Experiment,
    *,
    out: Path | None = None,
    jump: bool = True,
    on_progress: Progress | None = None,
    assemble: Callable[..., RankProgram] = build_rank,
    kind: Callable[..., Simulation] = Simulation,
    on_broken_off: Callable[[Mapping[str, Any]], None] | None = None,
    around: Callable[[Simulation], AbstractContextManager[None]] = attended,
    ports: custom_ports.Ports = custom_ports.OURS,
) -> SimulationResult:
    """Simulate an experiment and write its output folder.

    `jump` over quiet stretches gives the same result as without. `assemble` makes the rank
    programs, and `kind` makes the job; field policies and benchmarks pass their own.
    `on_broken_off` gets the summary of a run that ends with an error, before the raise. `around` is
    a context manager for the time in which the job runs; `ports` are the caller's.

    Raises:
        UsageError: it does not fit into memory, the workload cannot be read, or the folder cannot
            be written. Nothing is left behind then.
        EndOfTimeError: it runs for longer than a run may; what was written so far stays.
        StuckError: the ranks could not go on together; what was written so far stays.
    """
    check_memory(experiment)
    # Before the folder is made: a bad trace or an unknown name shall leave nothing behind.
    ports = chosen(experiment, "virtual", ports)
    workload = build_workload(experiment) if ports.workload is None else ports.workload
    folder = RunFolder.create(experiment, out)

    def make(files: SimulationFiles) -> Simulation:
        return kind(
            experiment,
            jump=jump,
            workload=workload,
            ports=ports,
            events=files.events,
            on_sample=None if files.samples is None else files.samples.add,
            on_record=files.requests.write,
            assemble=assemble,
            timeline=files.timeline,
        )

    try:
        return _simulated(experiment, folder, make, on_progress, on_broken_off, around)
    except EndOfTimeError:
        raise  # the run had begun, and was cut off: keep its folder
    except UsageError:
        folder.withdraw()
        raise
    finally:
        folder.release()


def _simulated(
    experiment: Experiment,
    folder: RunFolder,
    make: Callable[[SimulationFiles], Simulation],
    on_progress: Progress | None,
    on_broken_off: Callable[[dict[str, object]], None] | None,
    around: Callable[[Simulation], AbstractContextManager[None]],
) -> SimulationResult:
    began_s, files = time.perf_counter(), SimulationFiles(folder, experiment)
    losses, requests = files.losses, files.requests
    try:
        job = make(files)
        try:
            with around(job):
                reports = job.run(watch(job, on_progress), WATCH_EVERY)
            if on_progress is not None:
                on_progress(*job.progress())
        except Exception as error:
            files.events.flush()
            if isinstance(error, StuckError):
                from adpkv.diagnosis.conclude import conclude  # most runs need none of it

                conclude(folder, error, experiment.seed, losses)
            broken_off = BrokenOff.by(error, job.coordinator.total - job.coordinator.done)
            requests.flush()
            told = job.reports_now(), requests.tally, time.perf_counter() - began_s, broken_off
            summary = complete(folder, job.summary(*told), losses)
            if isinstance(error, StuckError):
                error.unwritten = losses.told()  # of the summary too
            if on_broken_off is not None:
                on_broken_off(summary)
            raise
    finally:
        files.close()
    summary = job.summary(reports, requests.tally, time.perf_counter() - began_s)
    summary = complete(folder, summary, losses)
    exit_code = summary["exit_code"]
    assert isinstance(exit_code, int)
    return SimulationResult(summary, exit_code, folder.path)
