"""What `adpkv run` does: under mpirun it is one of its ranks, else it starts mpirun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from adpkv.cli.launched import launched_rank
from adpkv.cli.rank import RankCall, checked, run_rank
from adpkv.cli.remarks import remark
from adpkv.counting import counted
from adpkv.whole_files import is_open

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["running"]

OWN_PLACES: Final = ("/dev/", "/proc/")
"""What is there may be another file for each process."""


def running(call: RankCall) -> int:
    """Be a rank of this run, or start all of them; the exit code."""
    rank = launched_rank(os.environ)
    return _start(call) if rank is None else run_rank(rank, call)


def _start(call: RankCall) -> int:
    """Start mpirun, and wait for its end; its exit code. Everything that is wrong with the
    experiment is said here, before a process is started."""
    experiment = checked(Path(call.file), call.overrides)
    if not call.quiet:
        remark(experiment)
    from adpkv.output import RunFolder
    from adpkv.output.screen import Screen
    from adpkv.worlds.mpi.launcher.launch import launch
    from adpkv.worlds.mpi.launcher.mpirun import find_mpirun
    from adpkv.worlds.mpi.memory_check import check_host

    find_mpirun()  # or nothing is made
    check_host(experiment)
    _check_device(experiment)
    # Chosen here, because what the job came to is read there.
    folder = RunFolder.reserve(experiment.name, None if call.out is None else Path(call.out))
    called = call._replace(out=str(folder.path))
    screen = Screen(experiment, quiet=call.quiet, as_json=call.as_json)
    screen.progress.stage(_starting(experiment))
    try:
        with _readable_again(called, experiment) as told:
            return launch(told.command, experiment, folder, screen.broken_off)
    finally:
        screen.progress.close()
        folder.withdraw()


@contextmanager
def _readable_again(call: RankCall, experiment: Experiment) -> Iterator[RankCall]:
    """The call with a file that the ranks can read too. What comes through a pipe, one with a name
    too, has been read here, and is in none."""
    given, place = Path(call.file), os.path.realpath(call.file)
    if not (call.file.startswith(OWN_PLACES) or is_open(given) or given.is_fifo()):
        yield call
    # Not so one that was removed, as that of a long here-document: its place has another name.
    elif os.path.isfile(place) and os.path.samefile(place, given):
        yield call._replace(file=place)
    else:
        from adpkv.config import dump

        with TemporaryDirectory(prefix="adpkv-run-") as folder:
            file = Path(folder) / "experiment.yaml"
            file.write_text(dump(experiment), encoding="utf-8")
            yield call._replace(file=str(file), overrides=())


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
