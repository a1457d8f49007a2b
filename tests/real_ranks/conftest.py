"""Starts real MPI processes from pytest, each bounded, and leaves none behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from adpkv.flight_recorder.processes import descendants
from adpkv.worlds.mpi.launcher.mpirun import fault_tolerance

ROOT = Path(__file__).parents[2]
MPIRUN = Path(sys.executable).with_name("mpirun")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What runs in place is for a pytest that is a rank: `test_mpi_pytest_plugin` starts it."""
    with_mpi = config.getoption("with_mpi", False)
    return True if collection_path.name == "in_place" and not with_mpi else None


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
        # By id too: what stands still outlives whoever started it, and keeps its output open.
        below = descendants(job.pid)
        os.killpg(job.pid, signal.SIGKILL)  # the group is the one that `start` made
        for pid in below:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def outlives_or_skip() -> None:
    """For tests of ranks that fail while the others go on."""
    if not MPIRUN.exists() or not fault_tolerance(str(MPIRUN)):
        pytest.skip("this MPI does not go on when a rank fails: it takes Open MPI 5")


@pytest.fixture
def address() -> str:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def jobs(mpirun: Path) -> Iterator[Jobs]:
    found = Jobs()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def shared_jobs(mpirun: Path) -> Iterator[Jobs]:
    """For a job at which several tests of a file look, each without changing it."""
    found = Jobs()
    yield found
    found.stop()


Program = Callable[..., Finished]


@pytest.fixture
def program(jobs: Jobs) -> Program:
    """Runs `tests/real_ranks/programs/NAME.py` on some ranks to its end; `outlives` rank
    failures. `by` says who starts it: `mpirun`, or a parent of it, as in `adpkv run`."""

    def run(
        name: str,
        ranks: int,
        *argv: str,
        timeout_s: float = 60,
        outlives: bool = False,
        by: str = "mpirun",
    ) -> Finished:
        if by == "adpkv":
            parent = [sys.executable, "-m", "tests.real_ranks.programs.parent", str(ranks), name]
            return jobs.finish(jobs.start([*parent, *argv]), timeout_s)
        command = [
            str(MPIRUN),
            *(fault_tolerance(str(MPIRUN)) if outlives else []),
            "-n",
            str(ranks),
            sys.executable,
            "-m",
            f"tests.real_ranks.programs.{name}",
        ]
        return jobs.finish(jobs.start([*command, *argv]), timeout_s)

    return run
