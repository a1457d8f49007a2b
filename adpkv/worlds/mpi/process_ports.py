"""The ports of a real rank: created from an experiment over MPI, and wrapped with its faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from adpkv.config import Experiment
from adpkv.core.topology import Topology
from adpkv.core.values import Violation
from adpkv.errors import UsageError
from adpkv.executor.ports import Clock, Mailbox, Signals
from adpkv.executor.sampling import Sampler
from adpkv.faults.rank import RankFaults
from adpkv.memory.cuda import CudaMemory
from adpkv.output import RankRecorder
from adpkv.transport.port import Transport
from adpkv.transport.staged import StagedTransport
from adpkv.worlds.assemble import build_inbox_ages
from adpkv.worlds.custom_ports import Ports, RealTransportSetting, bare
from adpkv.worlds.mpi.agreement import check_together
from adpkv.worlds.mpi.cards import exchange
from adpkv.worlds.mpi.communicators import LivingRanks
from adpkv.worlds.mpi.custom_ports import (
    RankTransport,
    build_memory,
    build_transport,
    card_of,
    hand_cards,
)
from adpkv.worlds.mpi.device_ports import AfterWrites, PollsMemory
from adpkv.worlds.mpi.devices import open_device
from adpkv.worlds.mpi.hosts import job_clock
from adpkv.worlds.mpi.killing import survives_rank_failures
from adpkv.worlds.mpi.process_files import ProcessFiles
from adpkv.worlds.mpi.rank_messages import RankMessages
from adpkv.worlds.mpi.staging import build_area, stage
from adpkv.worlds.mpi.transports import Hooks

__all__ = ["ProcessPorts"]

PATIENCE: Final = 6
"""How many times longer than in virtual time a rank may leave its input unread before it is a
violation: a process that shares its cores is not always scheduled."""


class ProcessPorts:
    """All ports of a rank's program. Every rank must create them.

    Args:
        experiment, topology, rank: the experiment, its topology (built), and the world rank.
        living: the living ranks, with their communicators.
        files: the files of this process.
        signals: what the operating system asked for.
        custom: the ports that replace ours.
        holders: the requests that hold these leases, for violations that the memory reports.

    Raises:
        AgreedError: on some rank a memory or transport could not be created, or the transports of
            two ranks do not fit.
    """

    def __init__(
        self,
        experiment: Experiment,
        topology: Topology,
        rank: int,
        *,
        living: LivingRanks,
        files: ProcessFiles,
        signals: Signals,
        custom: Ports,
        holders: Callable[[tuple[int, ...]], tuple[int, ...]],
    ) -> None:
        self._rank, self._living, self._holders = rank, living, holders
        self.signals, self._signal_seen = signals, 0
        broke = living.revoke if survives_rank_failures() else None
        self.messages = RankMessages(rank, living.communicators, broke)
        self.clock, self._start_clock = job_clock()
        self.events = files.open_events(rank)
        self.samples = files.open_samples(rank)
        self.sampler = Sampler(
            topology.ranks, self.clock, None if self.samples is None else self.samples.add
        )
        self.recorder = RankRecorder(self.events, rank, self.clock)
        patience_ns = PATIENCE * experiment.observe.unbounded_wait_ns
        self.inbox_ages = build_inbox_ages(self.recorder, rank, self.clock, patience_ns)
        self.messages.mailbox.watch(self.inbox_ages.messages, self.clock)
        self.faults = RankFaults(
            experiment,
            topology,
            rank,
            clock=self.clock,
            # No rank needs to be woken for a fault: a wait polls `ready`, which reads the clock.
            wake=lambda _: None,
            recorder=self.recorder,
        )
        self.held = open_device(experiment, living.communicators.world)
        """This rank's GPU; None if the experiment needs none."""
        problem = ""
        try:
            device = self.held.device if self.held is not None else None
            self.memory = build_memory(custom.memory, experiment, rank, self.report, device)
            self._area = build_area(experiment, self.memory)
            """The staging area, which peers touch in place of the memory; None without staging."""
            self.mpi_transport = self._build_transport(experiment, living, custom, broke)
            """The transport itself, without the faults that wrap it in `transport`."""
        except UsageError as error:
            problem = str(error)
        check_together(living.communicators.world, problem)
        self._introduce(experiment, living)
        self.transport: Transport = self.faults.transport(self.mpi_transport)
        self.mailbox: Mailbox = self.faults.mailbox(self.messages.mailbox)
        self.staged: StagedTransport | None = None
        if self._area is not None:
            self.transport = self.staged = stage(
                experiment, self.transport, self._area, self.mailbox, self.clock
            )
        device_memory = bare(self.memory)
        if isinstance(device_memory, CudaMemory):
            self.transport = PollsMemory(self.transport, device_memory)
            exposed = device_memory if self._area is None else self._area
            self.mailbox = AfterWrites(self.mailbox, exposed)

    def start_clock(self) -> None:
        """Every rank has built everything: time begins, for arrivals, faults and records alike.
        Every rank must call it."""
        self._start_clock(self._living.communicators.world)

    def flush_records(self) -> None:
        """Write out what this rank has recorded so far."""
        self.events.flush()
        if self.samples is not None:
            self.samples.flush()

    def close_records(self) -> None:
        """Complete the files of what this rank records."""
        self.events.close()
        if self.samples is not None:
            self.samples.close()

    def _build_transport(
        self,
        experiment: Experiment,
        living: LivingRanks,
        custom: Ports,
        broke: Callable[[], None] | None,
    ) -> RankTransport:
        memory = self.memory if custom.transport is None else bare(self.memory)
        setting = RealTransportSetting(
            experiment,
            self._rank,
            memory if self._area is None else self._area,
            living.communicators.data,
            self.faults.clock,
            lambda rank: rank in living.lost,
        )
        return build_transport(custom.transport, setting, Hooks(self.inbox_ages.ends, broke))

    def _introduce(self, experiment: Experiment, living: LivingRanks) -> None:
        """All ranks learn about each other's transports.

        Raises:
            AgreedError: two do not fit, or one cannot reach another.
        """
        card, problem = card_of(self.mpi_transport, experiment.transceiver.transport), ""
        cards = exchange(living.communicators.data, card)
        try:
            hand_cards(self.mpi_transport, cards)
        except UsageError as error:
            problem = str(error)
        check_together(living.communicators.world, problem)

    def report(self, kind: str, detail: str, leases: tuple[int, ...]) -> None:
        """Record a violation that the memory, or the model, has found."""
        holders = self._holders(leases)
        self.recorder.violation(Violation(kind, self._rank, self.clock(), detail, holders))

    @property
    def rank_clock(self) -> Clock:
        """The clock that the rank's program reads: a fault may set it ahead of `clock`."""
        return self.faults.clock

    def excuse(self, until_ns: int) -> None:
        """A fault keeps this rank from reading its input until then: no violation."""
        self.inbox_ages.excuse(self.clock(), until_ns)

    def has_input(self) -> bool:
        """Has this rank input that should end a wait? A signal counts only once."""
        asked = self.signals.code
        if asked != self._signal_seen:
            self._signal_seen = asked
            return True
        return self.mailbox.ready() or self.transport.ready()
