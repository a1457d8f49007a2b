"""Makes each rank's memory and transport in virtual time: ours or custom ones; with staging, the
area between them too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adpkv.config import Experiment
from adpkv.core.inbox_age import InboxAges
from adpkv.core.values import Violation
from adpkv.errors import UsageError
from adpkv.executor.ports import Mailbox, Recorder
from adpkv.faults.rank import RankFaults
from adpkv.memory.port import Report
from adpkv.memory.virtual import LedgerMemory
from adpkv.memory.virtual_staging import LedgerStaging, StagedLedger
from adpkv.plugins import bare, check_port
from adpkv.transport.port import Transport
from adpkv.transport.staged import StagedTransport
from adpkv.transport.virtual import Network
from adpkv.worlds.assemble import build_staged
from adpkv.worlds.custom_ports import (
    MemorySetting,
    Ports,
    TransportSetting,
    VirtualMemory,
    own_memory,
    own_transport,
)
from adpkv.worlds.virtual.copy_engine import CopyEngine
from adpkv.worlds.virtual.timetable import Timetable

__all__ = ["RankPortMaker"]


class RankPortMaker:
    """Makes the ranks' ports of one job.

    Args:
        custom: the ports that replace ours.
        ledger: the class of a rank's memory without staging.
    """

    def __init__(
        self,
        experiment: Experiment,
        custom: Ports,
        ledger: type[LedgerMemory],
        network: Network,
        timetable: Timetable,
    ) -> None:
        self._experiment, self._custom, self._ledger = experiment, custom, ledger
        self._network, self._timetable = network, timetable
        self._ends: dict[int, Transport] = {}
        """The ends of a custom transport, by rank, as they know each other."""
        self._own_ends: dict[int, Transport] = {}
        """The same as we call them."""
        self._areas: dict[int, LedgerStaging] = {}
        self._staged: dict[int, StagedTransport] = {}

    def memory(self, rank: int, report: Report) -> Any:
        """A rank's memory.

        Raises:
            UsageError: there is staging, and the memory is a custom one.
        """
        cache, experiment = self._experiment.kv_cache, self._experiment
        sizes = (
            experiment.blocks_of_rank(rank),
            cache.block_tokens,
            experiment.block_bytes,
            report,
        )
        if self._custom.memory is None:
            return (self._ledger if experiment.staging is None else StagedLedger)(*sizes)
        if experiment.staging is not None:
            raise UsageError("transceiver.staging: in virtual time it needs adpkv's own memory")
        setting = MemorySetting(experiment, rank, *sizes)
        found = check_port("memory", self._custom.memory(setting), VirtualMemory)
        return own_memory(found, self._experiment)

    def transport(
        self,
        rank: int,
        memory: Any,
        inbox_ages: InboxAges,
        faults: RankFaults,
        mailbox: Mailbox,
        recorder: Recorder,
    ) -> tuple[Transport, StagedTransport | None]:
        """A rank's end of the transport, with its faults; and with staging, that end again."""
        if self._experiment.staging is None:
            return faults.transport(self._end(rank, memory, inbox_ages, faults)), None
        area = self._area(rank, memory, recorder)
        inner = faults.transport(self._end(rank, area, inbox_ages, faults))
        timetable = self._timetable
        staged = self._staged[rank] = build_staged(
            self._experiment,
            inner,
            area,
            mailbox,
            clock=timetable.clock,
            wake=lambda at_ns: timetable.later(at_ns, rank, timetable.arrival, rank),
            watch=area,
        )
        return staged, staged

    def _area(self, rank: int, memory: StagedLedger, recorder: Recorder) -> LedgerStaging:
        sizes, timetable = self._experiment.staging, self._timetable
        assert sizes is not None

        def report(kind: str, detail: str, requests: tuple[int, ...]) -> None:
            recorder.violation(Violation(kind, rank, timetable.clock(), detail, requests))

        bandwidth = self._experiment.transceiver.staging_bandwidth_bytes_per_s
        return LedgerStaging(
            rank,
            sizes.slots,
            sizes.slot_blocks,
            pool=memory,
            areas=self._areas,
            work=CopyEngine(rank, bandwidth, timetable).begin,
            report=report,
        )

    def _end(self, rank: int, memory: Any, inbox_ages: InboxAges, faults: RankFaults) -> Transport:
        make = self._custom.transport
        if make is None:
            return self._network.end(rank, memory, inbox_ages.ends, faults.reading)
        failed = self._network.failed.__contains__
        setting = TransportSetting(
            self._experiment, rank, bare(memory), self._timetable, failed, self._ends
        )
        found = self._ends[rank] = check_port("transport", make(setting), Transport)
        return self._own_ends.setdefault(rank, own_transport(found, self._experiment))

    def handle_peer_failure(self, rank: int) -> None:
        """A rank has failed, and the network knows: tell the ends of living ranks that must be
        told, custom ones and staged ones."""
        failed = self._network.failed
        for other, end in self._own_ends.items():
            told: Callable[[list[int]], None] | None = getattr(end, "on_rank_failure", None)
            if other not in failed and told is not None:
                told([rank])
        for other, staged in self._staged.items():
            if other not in failed:
                staged.handle_peer_failure(rank)
