"""What rank 0 does beside its own part: it hosts the coordinator, answers over HTTP, shows how far
the run is, and combines what all ranks have recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from adpkv.core.report import RankReport
from adpkv.executor.coordinator import Coordinator
from adpkv.executor.messages import Pulse
from adpkv.output import RequestLog, RunFolder, build_summary, merge_parts
from adpkv.output.losses import complete
from adpkv.output.samples import join_sample_parts
from adpkv.output.screen import Screen
from adpkv.workload import Workload
from adpkv.worlds.mpi.leaving import leave_together
from adpkv.worlds.mpi.rank_process import RankProcess

if TYPE_CHECKING:
    from adpkv.worlds.mpi.health import Health

__all__ = ["HostRank"]

COORDINATOR_BOUND_S: Final = 10.0
"""How long to wait for the coordinator's end; it has nothing left to do when its ranks have
left."""


class HostRank:
    """Built before the job begins, then `run` once.

    Args:
        job: rank 0.
        folder: the run's.
        screen, quiet: where progress and result are shown; whether progress is not.
        workload: the experiment's if None.
        health: answers over HTTP; None if nothing does.
    """

    def __init__(
        self,
        job: RankProcess,
        folder: RunFolder,
        screen: Screen,
        *,
        quiet: bool,
        workload: Workload | None,
        health: Health | None,
    ) -> None:
        self._job, self._folder, self._screen, self._health = job, folder, screen, health
        self._requests = RequestLog(folder.requests, job.experiment.slo, job.files.losses)
        job.files.add(self._requests.flush)
        try:
            self._coordinator = job.coordinator_host(
                self._requests.write, None if quiet else self._show, workload
            )
        except BaseException:
            self._broken_off()
            raise

    def _show(self, coordinator: Coordinator, pulses: Mapping[int, Pulse]) -> None:
        self._screen.progress.update(coordinator.done, coordinator.total, pulses)

    def _broken_off(self) -> None:
        self._screen.progress.close()
        self._requests.close()

    def run(self) -> int:
        """Serve beside the coordinator, then leave with the others; returns the agreed code."""
        job, health = self._job, self._health
        try:
            self._coordinator.start()
            if health is not None:
                health.watch(job.flight.board, self._coordinator, self._requests.tally)
            reports = job.run()
            if health is not None:
                health.over()
            self._coordinator.close(COORDINATOR_BOUND_S)
        except BaseException:
            self._broken_off()
            raise
        self._requests.close()
        self._screen.progress.stage("all ranks leave and complete their files")
        wall_s = job.clock() / 1e9

        summary: dict[str, object] = {}

        def written(lost: Sequence[str]) -> int:
            summary.update(self._completed(reports, wall_s, lost))
            code = summary["exit_code"]
            assert isinstance(code, int)
            return code

        return leave_together(job, written, lambda: self._show_result(summary))

    def _completed(
        self, reports: Sequence[RankReport], wall_s: float, lost: Sequence[str]
    ) -> Mapping[str, object]:
        """Complete the run's files; returns its summary. `lost`: what others could not write."""
        folder, losses = self._folder, self._job.files.losses
        if folder.events_parts():  # none are left if this is repeated after a rank failure
            merge_parts(folder, losses)
            join_sample_parts(folder, losses)
        return complete(folder, self._summed_up(reports, wall_s), losses, lost)

    def _summed_up(self, reports: Sequence[RankReport], wall_s: float) -> dict[str, object]:
        job, coordinator = self._job, self._coordinator.coordinator
        return build_summary(
            "mpi",
            job.experiment,
            reports,
            self._requests.tally,
            wall_s=wall_s,
            simulated_s=None,
            violations=self._coordinator.recorder.violations,
            lost=job.lost,
            never_arrived=self._coordinator.never_arrived(),
            retries_due=coordinator.clients.retries_due,
            outages=coordinator.outages.told(),
            carrier=job.carrier,
            ranks_per_core=job.ranks_per_core,
        )

    def _show_result(self, summary: Mapping[str, object]) -> None:
        show_result(self._screen, summary, self._folder, self._health)


def show_result(
    screen: Screen, summary: Mapping[str, object], folder: RunFolder, health: Health | None
) -> None:
    """Close the screen with it. Whatever fails there, the HTTP address is free again."""
    try:
        screen.close(summary, folder.told)
    finally:
        if health is not None:
            health.close()
