"""One rank of a job that `adpkv run` has started: `python -m adpkv.cli.rank CALL` under mpirun.

`adpkv run` has read its command line, and gives it to the ranks as one argument. So they need not
load what reads command lines, which would be an eighth of their start: all of them load at once,
often on fewer cores than ranks. Where somebody else's mpirun starts `adpkv run`, each rank has read
its own, and comes to `run_rank` from there.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from adpkv.cli.launched import launched_rank
from adpkv.cli.remarks import look_here, remark
from adpkv.counting import counted
from adpkv.exit_codes import ExitCode
from adpkv.python_module import python_module

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.worlds.custom_ports import Ports

__all__ = ["RankCall", "checked", "main", "run_rank"]

OTHERS_WAIT_S: Final = 2.0
"""How long a rank other than 0 waits before it prints a usage error. Rank 0 nearly always has the
same one, prints it and ends; then the others are ended before they print it again."""


class RankCall(NamedTuple):
    """What each rank is told: the arguments of `adpkv run`, and the name of its job."""

    file: str
    overrides: Sequence[str] = ()
    out: str | None = None
    quiet: bool = False
    as_json: bool = False
    job: str = ""
    """Empty where nobody has named it."""

    def command(self, job: str) -> list[str]:
        """The command line that runs it as a rank of this job."""
        told = json.dumps(self._replace(job=job)._asdict())
        return [*python_module("adpkv.cli.rank"), told]


def run_rank(rank: int, call: RankCall) -> int:
    """Be this rank, from reading the experiment to the agreed exit code, which it returns."""
    # Nothing that is imported is garbage, and all ranks import at once. The job enables it.
    gc.disable()
    from adpkv.output.screen import Screen
    from adpkv.worlds.mpi.launcher.startup import Stage, at_stage, start_mpi
    from adpkv.worlds.mpi.oversubscription import one_thread, yield_where_crowded
    from adpkv.worlds.mpi.transports import import_before_mpi

    at_stage(Stage.LOAD)
    one_thread(os.environ)
    experiment, ports = _checked_together(rank, Path(call.file), call.overrides)
    if not call.quiet and not call.job:
        remark(experiment)
    from adpkv.field_policies import assembly

    screen = Screen(experiment, quiet=call.quiet or rank != 0, as_json=call.as_json)
    screen.progress.stage(f"waiting for {counted(experiment.topology.ranks, 'rank')} in MPI_Init")
    yield_where_crowded(os.environ)
    import_before_mpi(experiment.transceiver.transport)
    start_mpi()
    from adpkv.worlds.mpi.run import run

    return run(
        experiment,
        out=None if call.out is None else Path(call.out),
        quiet=call.quiet,
        screen=screen,
        assemble=assembly(experiment),
        name=call.job,
        ports=ports,
    )


def checked(file: Path, overrides: Sequence[str]) -> Experiment:
    """The experiment, with everything found wrong that can be without starting a rank.

    Raises:
        UsageError: something is.
    """
    from adpkv.config import load
    from adpkv.workload import build
    from adpkv.worlds.select_ports import check

    experiment = load(file, overrides)
    look_here(experiment)
    check(experiment, "mpi")
    build(experiment)
    return experiment


def _checked_together(rank: int, file: Path, overrides: Sequence[str]) -> tuple[Experiment, Ports]:
    """Every rank makes its ports before MPI begins: an error there is reported once."""
    from adpkv.config import load
    from adpkv.errors import UsageError
    from adpkv.worlds.mpi.killing import end_host, survives_rank_failures
    from adpkv.worlds.select_ports import chosen

    try:
        if rank == 0:
            experiment = checked(file, overrides)
        else:
            experiment = load(file, overrides)
            look_here(experiment)
        return experiment, chosen(experiment, "mpi")
    except UsageError as error:
        if rank:
            time.sleep(OTHERS_WAIT_S)
        if survives_rank_failures():
            # The launcher would let the others go on: in MPI_Init they would wait for this one, and
            # end the job as if it had failed.
            end_host(error.exit_code, f"adpkv: {error}")
        raise


def main() -> None:
    """Be the rank that mpirun has made of this process."""
    gc.disable()
    try:
        from adpkv.cli.ending import ended
        from adpkv.streams import Streams
    except KeyboardInterrupt:
        sys.exit(ExitCode.SIGINT)
    call = RankCall(**json.loads(sys.argv[1]))
    streams = Streams()
    sys.exit(
        streams.finish(ended(lambda: sys.exit(run_rank(launched_rank(os.environ) or 0, call))))
    )


if __name__ == "__main__":
    main()
