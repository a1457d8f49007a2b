"""How long adpkv takes to start: whole processes in turns with one that does nothing.

Real ranks are looked at from outside, by the names that their processes have in each stage: what
counts is when the last of them runs, which is when requests begin to arrive.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from compileall import compile_dir
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import adpkv
from adpkv.bench.children import Whole, mpirun, run_whole
from adpkv.bench.figure import Figure, Target, figure
from adpkv.errors import AdpkvError
from adpkv.exit_codes import ExitCode
from adpkv.worlds.mpi.launcher.process_tree import ProcessTree
from adpkv.worlds.mpi.launcher.startup import STARTED, stage_of

__all__ = ["run_start", "start"]

MOST_HELP_S: Final = 0.15
MOST_SIMULATE_S: Final = 0.5
MOST_RUN_S: Final = 2.5
"""Issue 18, Start."""

RANKS: Final = 8
BOUND_S: Final = 60.0
LOOK_S: Final = 0.005

ADPKV: Final = (sys.executable, "-P", "-m", "adpkv")
NOTHING: Final = (sys.executable, "-c", "pass")
BARE_RANK: Final = (sys.executable, "-c", "from mpi4py import MPI")


class _Start(NamedTuple):
    """A command that is started: its name in the table, its arguments, how it ends, and its bar."""

    name: str
    argv: Sequence[str]
    code: int
    most_s: float


def start(*, turns: int = 11) -> list[Figure]:
    """Helps, a typing error and a short simulation, each beside a Python that does nothing. All are
    compiled, as an installed package is."""
    compile_dir(Path(adpkv.__file__).parent, quiet=2)
    with tempfile.TemporaryDirectory(prefix="adpkv-bench-") as made:
        simulate = ("simulate", "quickstart", "--out", f"{made}/run")
        starts = (
            _Start("adpkv --help", ("--help",), 0, MOST_HELP_S),
            _Start("adpkv simulate --help", ("simulate", "--help"), 0, MOST_HELP_S),
            _Start("a typing error", ("simulte",), ExitCode.USAGE, MOST_HELP_S),
            _Start("adpkv simulate quickstart", simulate, 0, MOST_SIMULATE_S),
        )
        took: dict[str, list[Whole]] = {one.name: [] for one in starts}
        nothing: list[Whole] = []
        for _ in range(turns):
            nothing.append(run_whole(NOTHING, bound_s=BOUND_S)[1])
            for one in starts:
                command = [*ADPKV, *one.argv]
                took[one.name].append(run_whole(command, bound_s=BOUND_S, code=one.code)[1])
    return [
        figure(
            f"start, {one.name}",
            median(each.wall_s for each in took[one.name]),
            "s",
            reference=median(each.wall_s for each in nothing),
            against="python -c pass",
            target=Target("value", "<=", one.most_s),
            note=_slowest(took[one.name]),
        )
        for one in starts
    ]


def run_start(*, turns: int = 5) -> list[Figure]:
    """`adpkv run` of eight ranks until all of them run, beside a bare mpirun of as many."""
    ours, bare, nothing = [], [], []
    for _ in range(turns):
        ours.append(_until_all_run())
        command = [mpirun(), "-n", str(RANKS)]
        bare.append(run_whole([*command, *BARE_RANK], bound_s=BOUND_S)[1].wall_s)
        nothing.append(run_whole([*command, "true"], bound_s=BOUND_S)[1].wall_s)
    return [
        figure(
            f"start, adpkv run, {RANKS} ranks",
            median(ours),
            "s",
            reference=median(bare),
            against="bare mpirun",
            target=Target("value", "<=", MOST_RUN_S),
            note=f"until all ranks run; median of {turns}, slowest {max(ours):.2f} s; the bare "
            f"ranks are Pythons that import MPI and end; mpirun of {RANKS} `true` takes "
            f"{median(nothing):.2f} s",
        )
    ]


def _slowest(took: Sequence[Whole]) -> str:
    cpu_s = median(one.cpu_s for one in took)
    slowest_s = max(one.wall_s for one in took)
    return (
        f"median of {len(took)} whole processes, slowest {slowest_s:.2f} s; "
        f"{cpu_s:.2f} s of processor time"
    )


def _until_all_run() -> float:
    """Seconds from the start of `adpkv run` until its last rank runs."""
    with tempfile.TemporaryDirectory(prefix="adpkv-bench-") as made:
        few = ["--set", "workload.requests=8", "--quiet", "--out", f"{made}/run"]
        began_s = time.perf_counter()
        job = subprocess.Popen(
            [*ADPKV, "run", "quickstart", *few],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            tree = ProcessTree(job.pid)
            _wait(job, lambda: len(tree.ranks()) == RANKS, 10 * LOOK_S)
            ranks = tree.ranks()
            # Reading their names takes nothing from them that would show.
            _wait(job, lambda: all(stage_of(pid) in STARTED for pid in ranks), LOOK_S)
            took_s = time.perf_counter() - began_s
            code = job.wait(BOUND_S)
        except BaseException:
            job.terminate()  # it ends its ranks
            job.wait()
            raise
        if code or not (Path(made) / "run" / "summary.json").exists():
            raise AdpkvError(f"adpkv run quickstart ended with {code}")
    return took_s


def _wait(job: subprocess.Popen[bytes], is_so: Callable[[], bool], look_s: float) -> None:
    until_s = time.monotonic() + BOUND_S
    while not is_so():
        if job.poll() is not None or time.monotonic() > until_s:
            raise AdpkvError(f"adpkv run quickstart has not started within {BOUND_S:g} s")
        time.sleep(look_s)
