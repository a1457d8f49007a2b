"""`adpkv run`: an experiment on real ranks: one of them under mpirun, else it starts mpirun."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from adpkv.cli.options import AsJson, ExperimentFile, Out, Overrides, Quiet, look_here, remark
from adpkv.counting import counted

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.worlds.custom_ports import Ports

__all__ = ["run"]

OTHERS_WAIT_S: Final = 2.0
"""How long a rank other than 0 waits before it prints a usage error. Rank 0 nearly always has the
same one, prints it and ends; then the launcher ends the others before they print it again."""


def run(
    file: ExperimentFile,
    overrides: Overrides,
    out: Out = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    job: Annotated[
        str, typer.Option(hidden=True, help="The job's name, as the process that started it says.")
    ] = "",
) -> None:
    """Run an experiment on real ranks; starts mpirun unless mpirun started it."""
    from adpkv.cli.launched import launched_rank
    from adpkv.output.screen import Screen

    rank = launched_rank(os.environ)
    if rank is None:
        # Everything that is wrong with the experiment is said here, before a process is started.
        experiment = _checked(file, overrides)
        if not quiet:
            remark(experiment)
        from adpkv.output import RunFolder
        from adpkv.worlds.mpi.launcher.launch import find_mpirun, launch
        from adpkv.worlds.mpi.memory_check import check_host

        find_mpirun()  # or nothing is made
        check_host(experiment)
        _check_device(experiment)
        # Chosen here, because what the job came to is read there.
        folder = RunFolder.reserve(experiment.name, out)
        argv = _argv(file, overrides, folder.path, quiet=quiet, as_json=as_json)
        screen = Screen(experiment, quiet=quiet, as_json=as_json)
        screen.progress.stage(_starting(experiment))
        try:
            code = launch(argv, experiment, folder, screen.broken_off)
        finally:
            screen.progress.close()
            folder.withdraw()
        raise typer.Exit(code)

    # Nothing that is imported is garbage, and all ranks import at once. The job enables it.
    gc.disable()
    from adpkv.worlds.mpi.launcher.startup import Stage, at_stage, start_mpi
    from adpkv.worlds.mpi.oversubscription import one_thread, yield_where_crowded
    from adpkv.worlds.mpi.transports import import_before_mpi

    at_stage(Stage.LOAD)
    one_thread(os.environ)
    experiment, ports = _checked_together(rank, file, overrides)
    if not quiet and not job:
        remark(experiment)
    from adpkv.field_policies import assembly

    screen = Screen(experiment, quiet=quiet or rank != 0, as_json=as_json)
    screen.progress.stage(f"waiting for {counted(experiment.topology.ranks, 'rank')} in MPI_Init")
    yield_where_crowded(os.environ)
    import_before_mpi(experiment.transceiver.transport)
    start_mpi()
    from adpkv.worlds.mpi.run import run as run_rank

    assemble = assembly(experiment)
    code = run_rank(
        experiment,
        out=out,
        quiet=quiet,
        screen=screen,
        assemble=assemble,
        name=job,
        ports=ports,
    )
    raise typer.Exit(code)


def _checked(file: Path, overrides: Sequence[str]) -> Experiment:
    from adpkv.config import load
    from adpkv.workload import build
    from adpkv.worlds.select_ports import check

    experiment = load(file, overrides)
    look_here(experiment)
    check(experiment, "mpi")
    build(experiment)
    return experiment


def _starting(experiment: Experiment) -> str:
    """What the run uses, before it begins: it is what one forgets to look at."""
    staging = experiment.staging
    slots = f", {staging.slots} staging slots each" if staging is not None else ""
    return (
        f"starting {counted(experiment.topology.ranks, 'rank')} with mpirun: transport"
        f" {experiment.transceiver.transport}, {experiment.kv_cache.memory} memory{slots}"
    )


def _check_device(experiment: Experiment) -> None:
    """A GPU that no rank of this host can use is reported before any rank is started.

    Raises:
        UsageError: there is none.
    """
    from adpkv.cli.probe_ports import lacking
    from adpkv.errors import UsageError
    from adpkv.worlds.mpi.memory_check import may_be_elsewhere

    if not experiment.needs_device or may_be_elsewhere():
        return
    for problem in lacking(experiment, ["memory cuda"]):
        raise UsageError(problem)


def _checked_together(rank: int, file: Path, overrides: Sequence[str]) -> tuple[Experiment, Ports]:
    """Every rank makes its ports before MPI begins: an error there is reported once."""
    from adpkv.config import load
    from adpkv.errors import UsageError
    from adpkv.worlds.select_ports import chosen

    if rank == 0:
        experiment = _checked(file, overrides)
        return experiment, chosen(experiment, "mpi")
    try:
        experiment = load(file, overrides)
        look_here(experiment)
        return experiment, chosen(experiment, "mpi")
    except UsageError:
        time.sleep(OTHERS_WAIT_S)
        raise


def _argv(
    file: Path, overrides: Sequence[str], out: Path, *, quiet: bool, as_json: bool
) -> list[str]:
    """The same call once more, for each rank."""
    argv = ["run", str(file)]
    for override in overrides:
        argv += ["--set", override]
    return [
        *argv,
        "--out",
        str(out),
        *(["--quiet"] if quiet else []),
        *(["--json"] if as_json else []),
    ]
