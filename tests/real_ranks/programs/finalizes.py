"""Ranks fail, or stand still, where all is written and only MPI is left to be finalized.

python -m tests.real_ranks.programs.finalizes FOLDER HOW VICTIM...

It is a job that somebody has asked to stop, so that its code is none that an accident could have.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mpi4py import MPI

from adpkv.config import parse
from adpkv.output.screen import Screen
from adpkv.worlds.mpi import ending, host_rank, leaving
from adpkv.worlds.mpi import run as running
from adpkv.worlds.mpi.ending import end_mpi
from adpkv.worlds.mpi.rank_process import RankProcess
from tests.scenarios.script import Script, arrival, setting

ASKED_S = 0.2
"""After the folder is there."""
LOOK_S = 0.01
LEAVE_BOUND_S, FINALIZE_BOUND_S = 1.0, 1.5
"""Each of these jobs waits one of them out: shorter than in life, and long for healthy ranks."""

LATER = "import os, sys, time; time.sleep(0.002); os.kill(int(sys.argv[1]), 9)"


def stricken(how: str) -> None:
    """What a victim does in the place of finalizing MPI, or of closing before that."""

    def end(code: int) -> None:
        if how == "killed-before":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "stopped-before":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif how == "mpirun-stopped":
            os.kill(os.getppid(), signal.SIGSTOP)
        else:
            subprocess.Popen([sys.executable, "-S", "-c", LATER, str(os.getpid())])
        end_mpi(code)

    def close(job: RankProcess) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    if how == "stopped-leaving":
        RankProcess.close = close
    elif how in ("killed-summed-up", "stopped-summed-up"):
        summed_up(signal.SIGKILL if how == "killed-summed-up" else signal.SIGSTOP)
    elif how == "killed-showing":
        showing()
    else:
        running.end_mpi = end


def summed_up(number: int) -> None:
    """Rank 0 gets this signal when it has written the summary, before anybody has heard its
    code."""
    complete = host_rank.complete

    def completed(*args: Any) -> dict[str, object]:
        complete(*args)
        os.kill(os.getpid(), number)
        raise AssertionError("it goes on")

    host_rank.complete = completed


def showing() -> None:
    """Fail when all know the code, and rank 0 is about to print, or prints."""
    finish, called = RankProcess.finish, []

    def finished(job: RankProcess, work: Any) -> Any:
        called.append(work)
        if len(called) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return finish(job, work)

    RankProcess.finish = finished


def ask(begun: Path) -> None:
    """Ask this rank to stop, once the job has begun and it listens to signals: where others have
    the cores, rank 0 has its folder long before."""
    while not begun.exists() or signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(LOOK_S)
    time.sleep(ASKED_S)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    folder, how, *victims = sys.argv[1:]
    rank, half = MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size // 2
    ending.FINALIZE_BOUND_S = FINALIZE_BOUND_S  # type: ignore[misc]
    if how in ("stopped-leaving", "stopped-summed-up"):
        leaving.LEAVE_BOUND_S = LEAVE_BOUND_S
    if str(rank) in victims:
        stricken(how)
    arrivals = [arrival(10 * i, 32, 4) for i in range(2000)]
    if rank == 1:
        threading.Thread(
            target=ask, args=(Path(folder) / "out" / "config.yaml",), daemon=True
        ).start()
    experiment = parse(
        setting("finalizes", half, half, executor={"drain_timeout": "2s"}), "finalizes"
    )
    return running.run(
        experiment,
        out=Path(folder) / "out",
        quiet=True,
        screen=Screen(experiment, quiet=True, as_json=rank == 0),
        workload=Script(arrivals) if rank == 0 else None,
    )


if __name__ == "__main__":
    sys.exit(main())
