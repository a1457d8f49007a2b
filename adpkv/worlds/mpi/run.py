"""`adpkv run` inside mpirun: one process is one rank, from the experiment to the exit code.

A problem that one rank finds before the run (a folder that cannot be written) is sent to all before
any rank acts on it. At the end every rank completes its files, takes part in one last collective,
and exits with the code that rank 0 derived from all reports. The last collective is needed because
a launcher kills all other ranks when the first one exits with a code that is not 0.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mpi4py import MPI

from adpkv.config import Experiment
from adpkv.errors import UsageError
from adpkv.executor.loop import RankProgram
from adpkv.executor.messages import HOST
from adpkv.exit_codes import ExitCode
from adpkv.output import RunFolder
from adpkv.output.screen import Screen
from adpkv.terminal import final_line
from adpkv.workload import Workload
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.custom_ports import Ports
from adpkv.worlds.mpi.agreement import AgreedError, broadcast_number
from adpkv.worlds.mpi.driver import guarded
from adpkv.worlds.mpi.ending import end_mpi
from adpkv.worlds.mpi.host_rank import HostRank
from adpkv.worlds.mpi.hosts import open_flight
from adpkv.worlds.mpi.launcher.startup import Stage, at_stage, leave_to_watch
from adpkv.worlds.mpi.leaving import leave_together
from adpkv.worlds.mpi.rank_process import RankProcess
from adpkv.worlds.mpi.signals import StopSignals
from adpkv.worlds.select_ports import chosen

if TYPE_CHECKING:
    from adpkv.worlds.mpi.health import Health

__all__ = ["run"]

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
    at_stage(Stage.BUILD)
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
    who = f"rank {job.rank} ({job.instance.name})"
    stuck, broken_off = job.reports.stuck, job.reports.broken_off
    host = None
    if job.rank == HOST:
        host = guarded(
            who,
            lambda: HostRank(job, claimed, screen, quiet=quiet, workload=workload, health=health),
            stuck,
            broken_off,
        )
    # Until all have come here the watch of the start says who is missing.
    at_stage(Stage.MEET)
    job.begin()
    at_stage(Stage.RUN)
    if host is not None:
        return guarded(who, host.run, stuck, broken_off)
    guarded(who, job.run, stuck, broken_off)
    return guarded(who, lambda: leave_together(job, lambda _: ExitCode.COMPLETED), last=broken_off)


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
    landed = bytearray(where.ljust(broadcast_number(world, len(where)), b"\0"))
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
    return bool(broadcast_number(world, begun))
