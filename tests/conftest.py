"""What holds for all tests: none fails because a machine was slow for a moment, and those that
start real MPI processes are known, and begun first."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from adpkv.worlds.mpi.crowding import one_thread

settings.register_profile("adpkv", deadline=None)
settings.load_profile("adpkv")

one_thread(os.environ)
"""For the ranks of all programs that tests start: `adpkv run` does it for its own."""

REAL = "mpi"
"""The marker of tests that start real MPI processes. No test carries it by hand: who asks for
`mpirun`, also through another fixture, has it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write golden texts anew")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{REAL}: starts real MPI processes; asking for mpirun sets it"
    )


REAL_PLACES = (
    "tests/mpi/",
    "tests/hosts/",
    "tests/installed/",
    "tests/bench/test_under_mpirun.py",
    "tests/cli/test_run.py",
    "tests/launch/test_launchers.py",
)
"""Where they are: what hands out tests to processes knows nothing but their names."""

TOGETHER = ("tests/installed/", "tests/hosts/")
"""What is made once for all files of such a place (a wheel, two hosts) is made in one process."""

LONGEST_FIRST = ("tests/mpi/test_mpi_deaths.py", "tests/installed/", "tests/mpi/")


class LongestFirst(LoadFileScheduling):
    """A file of tests is one piece of work. Those that take minutes are begun first, so that no
    process has one of them left when the others have nothing to do."""

    def _split_scope(self, nodeid: str) -> str:
        together = next(filter(nodeid.startswith, TOGETHER), "")
        return together or str(super()._split_scope(nodeid))

    def _assign_work_unit(self, node: Any) -> None:
        first = [
            scope for start in LONGEST_FIRST for scope in self.workqueue if scope.startswith(start)
        ]
        if first:
            self.workqueue.move_to_end(first[0], last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst:
    return LongestFirst(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the real ones, before `-m` is looked at."""
    for item in items:
        if "mpirun" in getattr(item, "fixturenames", ()):
            item.add_marker(REAL)
        if item.get_closest_marker(REAL) and not item.nodeid.startswith(REAL_PLACES):
            raise pytest.UsageError(f"{item.nodeid} starts real ranks: into tests/mpi with it")


@pytest.fixture(scope="session")
def mpirun() -> Path:
    """The environment's own mpirun."""
    found = Path(sys.executable).with_name("mpirun")
    if not found.exists():
        pytest.skip("no mpirun in this environment: pip install 'adpkv[mpi]'")
    return found
