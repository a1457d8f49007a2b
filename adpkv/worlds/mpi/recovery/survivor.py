"""What one living rank does after a rank failure: run the recovery protocol, then handle the failed
ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mpi4py import MPI

from adpkv.core.ids import COORDINATOR
from adpkv.core.topology import Topology
from adpkv.errors import HostLostError
from adpkv.executor.messages import HOST, instance_failed
from adpkv.exit_codes import ExitCode
from adpkv.output import BrokenOff
from adpkv.terminal import final_line
from adpkv.worlds.mpi.communicators import LivingRanks
from adpkv.worlds.mpi.ending import leave_now
from adpkv.worlds.mpi.failure_reports import FailureReports
from adpkv.worlds.mpi.group import Group
from adpkv.worlds.mpi.process_ports import ProcessPorts
from adpkv.worlds.mpi.recovery.protocol import Recovery

__all__ = ["Survivor"]

AFTERWARDS: Final = f"rank {HOST} has failed when the run was over: summary.json says how it ended"


class Survivor:
    """Recovers this rank whenever MPI reports an error. `has_recovered`: it did so at least once,
    so MPI must not be finalized any more."""

    def __init__(
        self,
        rank: int,
        topology: Topology,
        *,
        living: LivingRanks,
        ports: ProcessPorts,
        recovery: Recovery,
        reports: FailureReports,
    ) -> None:
        self._rank, self._topology = rank, topology
        self._living, self._ports, self._recovery = living, ports, recovery
        self._reports = reports
        self.has_recovered = False

    def recover(self, error: MPI.Exception, interrupted: Group | None) -> None:
        """MPI reported an error, perhaps in a collective of the group `interrupted`. Every living
        rank must call it; afterwards the job goes on without the failed ranks."""
        self.has_recovered = True
        self._recovery.all_is_well(False)
        self._go_on(error, interrupted)

    def finished(self, failed: MPI.Exception | None) -> bool:
        """Did the last work that this rank did with the others (`failed` is its error, or None)
        succeed on every living rank? If not, all have recovered when this returns False, and must
        repeat it."""
        if self._recovery.all_is_well(failed is None):
            return True
        self.has_recovered = True
        self._go_on(failed, None)
        return False

    def _go_on(self, error: MPI.Exception | None, interrupted: Group | None) -> None:
        lost = self._recovery.run(error, interrupted)
        for rank in lost:
            self._ports.faults.handle_peer_failure(rank)
        epoch, behind = self._living.communicators.epoch, self._recovery.behind
        self._ports.recorder.event("recovered", -1, lost=lost, epoch=epoch, behind=behind)
        if HOST in self._living.lost:
            self._end_without_host()
        if self._rank == HOST:
            self._report_failed_instances(lost)

    def _report_failed_instances(self, lost: Sequence[int]) -> None:
        """Rank 0 tells the coordinator about each instance that has no living rank."""
        living = self._living.communicators.rank_map.ranks
        for rank in lost:
            instance = self._topology.instance_of(rank)
            if not any(member in living for member in instance.members):
                self._ports.messages.mailbox.send(COORDINATOR, instance_failed(rank, instance))

    def _end_without_host(self) -> None:
        """Rank 0 has failed: no rank is left to admit requests, to answer clients, or to write the
        summary. Where it has written one, the run was over, and has ended as that says."""
        self._ports.close_records()
        place = self._living.communicators.world.rank
        if place == 0:
            why = HostLostError.text(HOST)
            if self._reports.sum_up(BrokenOff(ExitCode.RANK_LOST, why)):
                final_line(f"adpkv: {why}")
            else:
                final_line(f"adpkv: {AFTERWARDS}")
        self._reports.rescue()
        leave_now(self._reports.told(ExitCode.RANK_LOST), place)
