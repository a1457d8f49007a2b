"""`adpkv run` inside mpirun: one process is one rank, from the experiment to the exit code.

A problem that one rank finds before the run (a folder that cannot be written) is sent to all before
any rank acts on it. At the end every rank completes its files, takes part in one last collective,
and exits with the code that rank 0 derived from all reports. The last collective is needed because
a launcher kills all other ranks when the first one exits with a code that is not 0.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mpi4py import MPI

from adpkv.config import Experiment
from adpkv.core.report import RankReport
from adpkv.errors import UsageError
from adpkv.executor.coordinator import Coordinator
from adpkv.executor.loop import RankProgram
from adpkv.executor.messages import HOST, Pulse
from adpkv.exit_codes import ExitCode
from adpkv.output import RequestLog, RunFolder, build_summary, merge_parts
from adpkv.output.losses import Losses, complete
from adpkv.output.samples import join_sample_parts
from adpkv.output.screen import Screen
from adpkv.terminal import final_line
from adpkv.workload import Workload
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.custom_ports import Ports
from adpkv.worlds.mpi.agreement import AgreedError
from adpkv.worlds.mpi.coordinator import CoordinatorHost
from adpkv.worlds.mpi.driver import abort, guarded
from adpkv.worlds.mpi.ending import end_mpi, leave_now, no_longer_than
from adpkv.worlds.mpi.hosts import open_flight
from adpkv.worlds.mpi.launcher.startup import Stage, at_stage, leave_to_watch
from adpkv.worlds.mpi.rank_process import RankProcess
from adpkv.worlds.mpi.signals import StopSignals
from adpkv.worlds.select_ports import chosen

if TYPE_CHECKING:
    from adpkv.worlds.mpi.health import Health

__all__ = ["run"]

COORDINATOR_BOUND_S: Final = 10.0
"""How long to wait for the coordinator's end; it has nothing left to do when its ranks have
left."""

LEAVE_BOUND_S: Final = 600.0
"""From a rank's last collective to the agreed exit code: files are closed, and rank 0 merges the
events of all ranks, which takes a while where there are many."""

LOST_BYTES: Final = 512
"""The room for what one rank could not write; it writes only one file."""

EXIT_STEP_S: Final = 0.02
EXIT_MOST_S: Final = 0.2
"""mpirun was seen to hang when several ranks exit with an error at the same instant, so they exit
one after the other."""


def run(
    experiment: Experiment,
    *,
    out: Path | None,
    quiet: bool,
    screen: Screen | None = None,
    workload: Workload | None = None,
    assemble: Callable[..., RankProgram] = build_rank,
    name: str = "",
    ports: Ports | None = None,
) -> int:
    """Run this process's rank to the agreed end; returns the exit code, the same on all ranks.

    Args:
        experiment: the whole experiment.
        out: the output folder, which rank 0 creates; None for a new one.
        quiet: show no progress, so that no rank need report its state.
        screen: where rank 0 shows progress and result; nowhere if None.
        workload: the experiment's if None. Only rank 0's is used.
        assemble: makes this rank's program; a field policy passes its own.
        name: the job's name, if its starter gave it one.
        ports: this rank's ports, created before MPI was initialized; the experiment's if None. Its
            workload is not used: see `workload`.
    """
    signals = StopSignals().install()
    screen = screen or Screen(experiment, quiet=True)
    world = MPI.COMM_WORLD
    rank = world.rank
    code = _checked_size(experiment, world)
    if not code:
        code = guarded(
            f"rank {rank}",
            lambda: _run(experiment, signals, out, screen, quiet, workload, assemble, name, ports),
            rank_failed=leave_to_watch,
        )
    at_stage(Stage.LEAVE)
    end_mpi(code)
    if code:
        time.sleep(min(EXIT_STEP_S * rank, EXIT_MOST_S))
    return code


def _checked_size(experiment: Experiment, world: MPI.Intracomm) -> int:
    """COMPLETED; or USAGE on all ranks if the launcher has started another number of ranks than
    needed."""
    needed = experiment.topology.build().ranks
    if world.size == needed:
        return ExitCode.COMPLETED
    if world.rank == HOST:
        final_line(
            f"adpkv: the experiment has {needed} ranks, mpirun started {world.size}:"
            f" use mpirun -n {needed}, or leave mpirun to adpkv run"
        )
    return ExitCode.USAGE


def _run(
    experiment: Experiment,
    signals: StopSignals,
    out: Path | None,
    screen: Screen,
    quiet: bool,
    workload: Workload | None,
    assemble: Callable[..., RankProgram],
    name: str,
    ports: Ports | None,
) -> int:
    world = MPI.COMM_WORLD
    claimed, health = _opened(experiment, world, out)
    if claimed is None:
        return ExitCode.USAGE
    screen.progress.stage(f"{world.size} ranks make their memory and connections")
    pulse = not quiet or experiment.observe.http is not None
    try:
        flight = open_flight(world, experiment, claimed.path, name)
    except UsageError as error:
        return _refused(world, claimed, error)
    except MPI.Exception:
        claimed.withdraw()
        raise
    if not _begun(experiment, world, claimed):
        flight.folder.leave(world.rank)
        return ExitCode.USAGE
    try:
        job = RankProcess(
            experiment,
            world,
            claimed,
            flight,
            signals,
            pulse=pulse,
            assemble=assemble,
            ports=ports or chosen(experiment, "mpi"),
            on_broken_off=screen.broken_off,
        )
    except AgreedError as error:
        return _refused(world, claimed, error)
    at_stage(Stage.RUN)
    who = f"rank {job.rank} ({job.instance.name})"
    if job.rank != HOST:
        guarded(who, job.run, job.reports.stuck, job.reports.broken_off)
        return guarded(
            who, lambda: _left(job, lambda _: ExitCode.COMPLETED), last=job.reports.broken_off
        )
    return guarded(
        who,
        lambda: _host(job, claimed, screen, quiet, workload, health),
        job.reports.stuck,
        job.reports.broken_off,
    )


def _refused(world: MPI.Intracomm, folder: RunFolder, error: UsageError) -> int:
    """All ranks have the same error, and have taken their own files away."""
    world.Barrier()
    if world.rank == HOST:
        folder.withdraw()
        final_line(f"adpkv: {error}")
    return ExitCode.USAGE


def _opened(
    experiment: Experiment, world: MPI.Intracomm, out: Path | None
) -> tuple[RunFolder | None, Health | None]:
    """Rank 0 binds the HTTP address, then claims a folder. All ranks learn which folder, or that it
    failed."""
    health, claimed, where = None, None, b""
    if world.rank == HOST:
        try:
            health = _open_health(experiment)
            claimed = RunFolder.claim(experiment.name, out)
            claimed.path = claimed.path.resolve()
            where = os.fsencode(claimed.path)
        except UsageError as error:
            final_line(f"adpkv: {error}")
    landed = bytearray(where.ljust(_broadcast_number(world, len(where)), b"\0"))
    world.Bcast([landed, len(landed), MPI.BYTE], HOST)
    if landed and claimed is None:
        claimed = RunFolder(Path(os.fsdecode(bytes(landed))))
    return claimed, health


def _open_health(experiment: Experiment) -> Health | None:
    """Bind the experiment's HTTP address. None, without importing the HTTP server, if it has none.

    Raises:
        UsageError: the address cannot be bound, or prometheus-client is missing.
    """
    address = experiment.observe.http
    if address is None:
        return None
    from adpkv.worlds.mpi.health import Health

    return Health(experiment, address)


def _begun(experiment: Experiment, world: MPI.Intracomm, folder: RunFolder) -> bool:
    """The run can begin: rank 0 starts to write; all ranks learn whether it could."""
    begun = 1
    if world.rank == HOST:
        try:
            folder.begin(experiment)
        except UsageError as error:
            final_line(f"adpkv: {error}")
            begun = 0
    return bool(_broadcast_number(world, begun))


def _broadcast_number(world: MPI.Intracomm, number: int) -> int:
    """Rank 0's number, on every rank."""
    data = bytearray(number.to_bytes(8, "little"))
    world.Bcast([data, len(data), MPI.BYTE], HOST)
    return int.from_bytes(data, "little")


def _host(
    job: RankProcess,
    folder: RunFolder,
    screen: Screen,
    quiet: bool,
    workload: Workload | None,
    health: Health | None,
) -> int:
    """Rank 0: run beside the coordinator, then combine the results of all ranks."""
    progress = screen.progress

    def show(coordinator: Coordinator, pulses: Mapping[int, Pulse]) -> None:
        progress.update(coordinator.done, coordinator.total, pulses)

    requests = RequestLog(folder.requests, job.experiment.slo, job.files.losses)
    job.files.add(requests.flush)
    try:
        coordinator_host = job.coordinator_host(requests.write, None if quiet else show, workload)
        if health is not None:
            health.watch(job.flight.board, coordinator_host, requests.tally)
        coordinator_host.start()
        reports = job.run()
        if health is not None:
            health.over()
        coordinator_host.close(COORDINATOR_BOUND_S)
    except BaseException:
        progress.close()
        raise
    finally:
        requests.close()
    progress.stage("all ranks leave and complete their files")
    wall_s = job.clock() / 1e9

    summary: dict[str, object] = {}

    def written(lost: Sequence[str]) -> int:
        if folder.events_parts():  # none are left if this is repeated after a rank failure
            merge_parts(folder, job.files.losses)
            join_sample_parts(folder, job.files.losses)
        summed_up = _summed_up(job, coordinator_host, reports, requests, wall_s)
        summary.update(complete(folder, summed_up, job.files.losses, lost))
        code = summary["exit_code"]
        assert isinstance(code, int)
        return code

    def show_result() -> None:
        _show_result(screen, summary, folder, health)

    return _left(job, written, show_result)


def _show_result(
    screen: Screen, summary: Mapping[str, object], folder: RunFolder, health: Health | None
) -> None:
    """Close the screen with it. Whatever fails there, the HTTP address is free again."""
    try:
        screen.close(summary, folder.told)
    finally:
        if health is not None:
            health.close()


def _left(
    job: RankProcess,
    written: Callable[[Sequence[str]], int],
    show: Callable[[], None] = lambda: None,
) -> int:
    """Close this rank; returns rank 0's exit code on every rank. On rank 0 `written` completes the
    files, and gets what the other ranks could not write; it may be called again, if a rank fails
    meanwhile. `show` is called once, when all know the code. After a rank failure the process exits
    here, because MPI cannot be finalized."""
    to_show = [show]

    def work() -> int:
        job.close()
        world = job.living.communicators.world
        return _broadcast_number(world, written(_lost_elsewhere(world, job.files.losses)))

    def shown() -> None:
        if to_show:
            to_show.pop()()
        job.living.communicators.world.Barrier()

    def late() -> None:
        said = f"adpkv: rank {job.rank}: the others did not end the job within {LEAVE_BOUND_S:g} s"
        abort(said, job.reports.told(ExitCode.DEADLOCK))

    with no_longer_than(LEAVE_BOUND_S, late):
        code = job.finish(work)
        job.finish(shown)
    if job.lost:
        leave_now(code, job.living.communicators.world.rank)
    return code


def _lost_elsewhere(world: MPI.Intracomm, losses: Losses) -> list[str]:
    """What the other ranks could not write, on rank 0; nothing on the others."""
    own = "\n".join(losses.told()) if world.rank != HOST else ""
    said = bytearray(own.encode()[:LOST_BYTES].ljust(LOST_BYTES, b"\0"))
    heard = bytearray(LOST_BYTES * world.size if world.rank == HOST else 0)
    world.Gather([said, LOST_BYTES, MPI.BYTE], [heard, LOST_BYTES, MPI.BYTE], HOST)
    slots = [heard[at : at + LOST_BYTES] for at in range(0, len(heard), LOST_BYTES)]
    told = [bytes(slot).rstrip(b"\0").decode(errors="replace") for slot in slots]
    return [line for text in told for line in text.splitlines()]


def _summed_up(
    job: RankProcess,
    coordinator_host: CoordinatorHost,
    reports: Sequence[RankReport],
    requests: RequestLog,
    wall_s: float,
) -> dict[str, object]:
    return build_summary(
        "mpi",
        job.experiment,
        reports,
        requests.tally,
        wall_s=wall_s,
        simulated_s=None,
        violations=coordinator_host.recorder.violations,
        lost=job.lost,
        never_arrived=coordinator_host.never_arrived(),
        retries_due=coordinator_host.coordinator.clients.retries_due,
        outages=coordinator_host.coordinator.outages.told(),
        carrier=job.carrier,
        ranks_per_core=job.ranks_per_core,
    )
