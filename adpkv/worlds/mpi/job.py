"""One process's part of a real job: its communicators, its ports, and the rank program over them.

Every communicator carries one thing: the slots of a group, what did not fit in them, wake words,
mail between ranks, mail to the coordinator, KV bytes. So nothing is ever taken for something else.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns, time_ns
from typing import Final

from mpi4py import MPI

from adpkv.config import Experiment
from adpkv.core.ids import COORDINATOR
from adpkv.core.record import RequestRecord
from adpkv.core.report import RankReport
from adpkv.core.topology import Kind, Topology
from adpkv.core.values import Violation
from adpkv.diagnosis.readiness import Word
from adpkv.diagnosis.recorded import RecordedTransport
from adpkv.diagnosis.report import write_deadlock
from adpkv.diagnosis.watchdog import Watchdog
from adpkv.errors import DeadlockError, StuckError
from adpkv.executor.coordinator import Coordinator
from adpkv.executor.loop import RankProgram
from adpkv.executor.meetings import WORLD
from adpkv.executor.messages import PAYLOADS, Pulse
from adpkv.executor.ports import Clock
from adpkv.memory.host import HostMemory
from adpkv.observe import EventLog, EventSink, NullEventLog, RankRecorder, RunFolder
from adpkv.transport.mpi import MpiTransport
from adpkv.transport.port import Transport
from adpkv.workload import Workload
from adpkv.workload import build as build_workload
from adpkv.worlds.assemble import build_coordinator, build_model, build_news, build_rank
from adpkv.worlds.faults.rank import RankFaults
from adpkv.worlds.mpi.closing import SEND_BOUND_S, await_all, await_that
from adpkv.worlds.mpi.coordinator import CoordinatorThread
from adpkv.worlds.mpi.driver import Driver, abort
from adpkv.worlds.mpi.group import CollectiveStats, Group
from adpkv.worlds.mpi.hosts import open_flight, start_clock
from adpkv.worlds.mpi.mailbox import HOST, CoordinatorMailbox, Endpoint, RankMailbox
from adpkv.worlds.mpi.signals import StopSignals
from adpkv.worlds.mpi.strikes import RealStrikes

__all__ = ["Desk", "Job", "Wires"]

PATIENCE: Final = 6
"""How many times longer than in virtual time a rank may leave its news unread: a process that
shares its cores is not always let run."""


@dataclass(frozen=True, slots=True)
class Wires:
    """The communicators of all ranks, one for each thing that travels."""

    world: MPI.Intracomm
    mail: MPI.Intracomm
    desk: MPI.Intracomm
    data: MPI.Intracomm

    @classmethod
    def over(cls, world: MPI.Intracomm) -> Wires:
        """Make them; every rank must come."""
        return cls(world, world.Dup(), world.Dup(), world.Dup())


class Job:
    """This rank, assembled; `run` it once.

    Every rank must come to make one. `name` is the job's if its starter gave it one. A UsageError,
    the same on all ranks, says that there is no place for the flight recorder.
    """

    def __init__(
        self,
        experiment: Experiment,
        wires: Wires,
        folder: Path,
        signals: StopSignals,
        *,
        pulse: bool,
        assemble: Callable[..., RankProgram] = build_rank,
        name: str = "",
    ) -> None:
        self.flight = open_flight(wires.world, experiment, folder, name)
        self.experiment, self._wires = experiment, wires
        self._signals, self._signal_seen = signals, 0
        self.topology: Topology = experiment.topology.build()
        self.rank = wires.world.rank
        self.instance = self.topology.instance_of(self.rank)
        self._own_group = wires.world.Split(self.instance.index, self.rank)
        self._folder = RunFolder(folder)
        self._to_desk: deque[bytes] = deque()
        self._inbox: deque[bytes] = deque()
        self._letters = RankMailbox(
            Endpoint(wires.mail),
            Endpoint(wires.desk),
            self._to_desk if self.rank == HOST else None,
            self._inbox,
        )
        self._desk_mailbox: CoordinatorMailbox | None = None
        self.clock = start_clock(wires.world)
        self._events = self.open_events(self.rank)
        self.recorder = RankRecorder(self._events, self.rank, self.clock)
        patience_ns = PATIENCE * experiment.observe.unbounded_wait_ns
        self.news = build_news(self.recorder, self.rank, self.clock, patience_ns)
        self._letters.watch(self.news.mail, self.clock)
        self.flight.recorder.start(perf_counter_ns() - self.clock(), time_ns())
        self.board = self.flight.board
        self._watchdog = Watchdog(self.board, experiment.diagnosis.hang_timeout_ns, self._hangs)
        self._desk_events: EventSink = NullEventLog()
        self._memory = self._build_memory()
        # Nobody needs waking for a fault: a wait asks `ready`, which looks at the clock.
        faults = RankFaults(
            experiment,
            self.topology,
            self.rank,
            clock=self.clock,
            wake=lambda _: None,
            recorder=self.recorder,
        )
        self._wire = self._build_wire(faults.clock)
        self._transport = faults.transport(self._wire)
        self._mailbox = faults.mailbox(self._letters)
        self.driver = self._build_driver()
        recorded: Transport = RecordedTransport(self._transport, self.flight.recorder)
        program = assemble(
            experiment,
            self.topology,
            self.rank,
            clock=faults.clock,
            mailbox=self._mailbox,
            transport=recorded,
            memory=self._memory,
            model=build_model(experiment),
            recorder=self.recorder,
            signals=signals,
            news=self.news,
            counts=self.driver.counts,
            pulse=pulse,
            fired=faults.fired,
        )
        self.program = faults.program(program, RealStrikes(self._events.flush), self._excuse)

    def run(self) -> tuple[RankReport, ...]:
        """Run this rank's program to its end; the reports of all ranks."""
        # What is there now stays: the collector need not walk it again in the middle of a run.
        gc.freeze()
        self._watchdog.start()
        try:
            return self.driver.run(self.program.run())
        finally:
            self._watchdog.stop()

    def _excuse(self, until_ns: int) -> None:
        """A fault keeps this rank from looking; how its group fares with it is `PATIENCE`'s."""
        self.news.excuse(self.clock(), until_ns)

    def stuck(self, error: StuckError, speaks: bool) -> None:
        """The job ends here: write down what is known."""
        self._events.flush()
        self._desk_events.flush()
        if speaks:
            write_deadlock(self._folder.deadlock, error)
            self.flight.folder.rescue()

    def _hangs(self, error: DeadlockError, speaks: bool) -> None:
        """In the watchdog's thread; the main one may be in native code for ever."""
        self.stuck(error, speaks)
        abort(f"adpkv: {error}", error.exit_code, speaks)

    def close(self) -> None:
        """Nothing is in flight, or its bound is over: give everything back, files complete. Every
        rank must come, the host's desk being closed.

        Raises:
            StuckError: somebody did not come.
        """
        self._close_transports()
        # Before the last meetings: after them rank 0 reads what all have written.
        self._events.close()
        self._memory.close()
        self.driver.close()
        self._letters.close(self._desk_mailbox)
        self.flight.folder.leave(self.rank)

    def _close_transports(self) -> None:
        """Senders end first, receivers give their blocks up last (contract 6.2)."""
        world, wire = self._wires.world, self._wire
        sends = self.instance.kind is Kind.CONTEXT
        if sends:
            self._transport.close()
        await_all(world, "end their sends")
        if not sends:
            self._transport.close()
        # The receivers take in what was in doubt while the senders wait for it, and no longer.
        if sends:
            await_that(wire.settled, "the sends in doubt", SEND_BOUND_S, must=False)
        await_all(world, "end their receives", wire.discard)
        if not sends:
            await_that(wire.settled, "the receives in doubt", SEND_BOUND_S, must=False)

    def desk(
        self,
        on_record: Callable[[RequestRecord], None],
        on_pulse: Callable[[Coordinator, Mapping[int, Pulse]], None] | None,
        workload: Workload | None = None,
    ) -> Desk:
        """The coordinator beside this rank, which must be its host."""
        mailbox = self._desk_mailbox = CoordinatorMailbox(
            Endpoint(self._wires.desk), Endpoint(self._wires.mail), self._to_desk, self._inbox
        )
        return Desk(self, mailbox, workload or build_workload(self.experiment), on_record, on_pulse)

    def open_events(self, rank: int) -> EventSink:
        """The part of `events.jsonl` that one program of this process writes."""
        if not self.experiment.observe.events:
            return NullEventLog()
        return EventLog(self._folder.events_part(rank))

    def _build_memory(self) -> HostMemory:
        model, cache = self.experiment.model, self.experiment.kv_cache

        def report(kind: str, detail: str, leases: tuple[int, ...]) -> None:
            holders = self.program.phases.rank.serving.holders(leases)
            self.recorder.violation(Violation(kind, self.rank, self.clock(), detail, holders))

        return HostMemory(
            cache.blocks,
            cache.block_tokens,
            model.layers,
            model.kv_heads,
            model.head_dim,
            model.dtype_bytes,
            report,
        )

    def _build_wire(self, clock: Clock) -> MpiTransport:
        config = self.experiment.transceiver
        return MpiTransport(
            self._wires.data,
            self._memory,
            piece_bytes=config.piece_bytes,
            budget_bytes=config.post_budget_bytes,
            clock=clock,
            unread=self.news.ends,
        )

    def _build_driver(self) -> Driver:
        stats, recorder = CollectiveStats(), self.flight.recorder
        members: dict[int, tuple[MPI.Comm, range]] = {
            self.instance.index: (self._own_group, self.instance.members),
            WORLD: (self._wires.world, range(self.topology.ranks)),
        }
        groups = {
            number: Group(
                comm,
                number,
                ranks,
                types=PAYLOADS,
                news=self._news,
                stats=stats,
                clock=self.clock,
                computed=recorder.computed,
            )
            for number, (comm, ranks) in members.items()
        }
        return Driver(groups, stats, recorder)

    def _news(self) -> bool:
        """Does anything concern this rank that a wait should end for? A signal does once."""
        asked = self._signals.asked_to_stop()
        if asked != self._signal_seen:
            self._signal_seen = asked
            return True
        return self._mailbox.ready() or self._transport.ready()


class Desk:
    """The coordinator, its thread and what it writes down; on its host only."""

    def __init__(
        self,
        job: Job,
        mailbox: CoordinatorMailbox,
        workload: Workload,
        on_record: Callable[[RequestRecord], None],
        on_pulse: Callable[[Coordinator, Mapping[int, Pulse]], None] | None,
    ) -> None:
        self._events = job._desk_events = job.open_events(COORDINATOR)
        self.recorder = RankRecorder(self._events, COORDINATOR, job.clock)
        self.words: dict[int, Word] = {}
        """What each instance's leader said last, and when, by `perf_counter_ns`."""
        self._pulses: dict[int, Pulse] = {}
        self._on_pulse = on_pulse
        self.coordinator = build_coordinator(
            job.experiment,
            job.topology,
            workload,
            clock=job.clock,
            mailbox=mailbox,
            recorder=self.recorder,
            on_record=on_record,
            on_pulse=self._note_pulse,
        )
        self._thread = CoordinatorThread(self.coordinator.run(), mailbox, job.clock)

    def start(self) -> None:
        """Begin to admit the workload."""
        self._thread.start()

    def close(self, bound_s: float) -> None:
        """Wait for its end, bounded; its files are complete."""
        self._thread.join(bound_s)
        self._events.close()

    def _note_pulse(self, instance: int, pulse: Pulse) -> None:
        self._pulses[instance] = pulse
        self.words[instance] = Word(perf_counter_ns(), pulse)
        if self._on_pulse is not None:
            self._on_pulse(self.coordinator, self._pulses)
