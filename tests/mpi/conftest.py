"""Starts real MPI processes from pytest, each bounded, and leaves none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from adpkv.worlds.mpi.launch import fault_tolerance

ROOT = Path(__file__).parents[2]
MPIRUN = Path(sys.executable).with_name("mpirun")


@dataclass
class Finished:
    """How a job ended."""

    code: int
    out: str
    err: str
    wall_s: float


class Jobs:
    """Jobs of one test; `stop` ends what is left of them."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def start(self, argv: list[str], cwd: Path = ROOT) -> subprocess.Popen[str]:
        job = subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(job)
        return job

    def finish(self, job: subprocess.Popen[str], timeout_s: float) -> Finished:
        began = time.monotonic()
        try:
            out, err = job.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._kill(job)
            out, err = job.communicate()
            pytest.fail(f"{job.args} did not end within {timeout_s} s\n{out}\n{err}")
        return Finished(job.returncode, out, err, time.monotonic() - began)

    def stop(self) -> None:
        for job in self._started:
            if job.poll() is None:
                self._kill(job)
                job.communicate()

    def _kill(self, job: subprocess.Popen[str]) -> None:
        # The group is the one that `start` made; mpirun, in a session of its own, dies with it.
        os.killpg(job.pid, signal.SIGKILL)


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    if not MPIRUN.exists():
        pytest.skip("no mpirun in this environment: pip install 'adpkv[mpi]'")
    found = Jobs()
    yield found
    found.stop()


Program = Callable[..., Finished]


@pytest.fixture
def program(jobs: Jobs) -> Program:
    """Runs `tests/mpi/programs/NAME.py` on some ranks to its end; `outlives` deaths of ranks."""

    def run(
        name: str, ranks: int, *argv: str, timeout_s: float = 60, outlives: bool = False
    ) -> Finished:
        command = [
            str(MPIRUN),
            *(fault_tolerance(str(MPIRUN)) if outlives else []),
            "-n",
            str(ranks),
            sys.executable,
            "-m",
            f"tests.mpi.programs.{name}",
        ]
        return jobs.finish(jobs.start([*command, *argv]), timeout_s)

    return run
