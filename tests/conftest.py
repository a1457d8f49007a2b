"""What holds for all tests: none fails because a machine was slow for a moment, and those that
start real MPI processes are known, and never run beside each other."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from adpkv.worlds.mpi.launcher.segments import segments_of
from adpkv.worlds.mpi.oversubscription import one_thread
from tests.compiled.in_c import QUICK, quick_in_c

settings.register_profile("adpkv", deadline=None)
settings.load_profile("adpkv")

one_thread(os.environ)
"""For the ranks of all programs that tests start: `adpkv run` does it for its own."""

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
"""Images of containers set it. Then each of some thousand processes that tests start would compile
all of adpkv again: 0.16 of the 0.44 s that a rank needs before MPI begins."""

REAL = "real_ranks"
"""The marker of tests that start real MPI processes. No test carries it by hand: who asks for
`mpirun`, also through another fixture, has it. (`mpi` would be the marker of pytest-mpi, which
skips what carries it; also what is in a folder of that name.)"""


CAMPAIGN = "campaign"
"""The marker of tests, or of some cases of one, that a campaign of docs/testing.md runs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write golden texts anew")
    parser.addoption("--campaigns", action="store_true", help="also what make test leaves to them")
    parser.addoption(
        "--collectives", choices=("auto", "mpi", "quick"), default="auto",
        help="what carries the collectives of real jobs: mpi, without the tests that want shared"
        " memory; or quick.c, which takes a C compiler",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{REAL}: starts real MPI processes; asking for mpirun sets it"
    )
    carrier = config.getoption("--collectives")
    if carrier == "quick":
        os.environ[QUICK] = str(quick_in_c())
    if carrier != "auto":
        paths = [
            str(Path(__file__).parent / (OVER_MPI if carrier == "mpi" else OVER_QUICK)),
            *filter(None, [os.environ.get("PYTHONPATH")]),
        ]
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)


OVER_MPI = "real_ranks/over_mpi"
"""What makes jobs of tests use MPI where `topology.collectives` is `auto`."""

OVER_QUICK = "real_ranks/over_quick"
"""What makes them use `quick.c` where they use shared memory."""


SHARED = "shared_memory"
"""The marker of tests that are of shared memory; so are cases with it as a parameter."""

REAL_PLACES = (
    "tests/real_ranks/",
    "tests/hosts/",
    "tests/installed/",
    "tests/bench/test_under_mpirun.py",
    "tests/cli/test_run.py",
    "tests/launch/test_launchers.py",
)
"""Where they are: what hands out tests to processes knows nothing but their names."""

MOSTLY_ALONE = ("tests/installed/", "tests/launch/test_launchers.py", "tests/cli/test_run.py")
"""Of those, where a job of ranks is the smaller part beside processes that run alone."""


class OneForAllReal(LoadFileScheduling):
    """A file of tests is one piece of work, and all that start real ranks are one together, worked
    off by one process beside the others. Two jobs of eight ranks on two cores, tried, took three
    times as long as one after the other: ranks that wait look again and again, and each look takes
    a turn from those that would have something to say.
    A mark `xdist_group` would say it test by test; pytest-xdist 3.8 overlooks it in pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(REAL_PLACES) and not nodeid.startswith(MOSTLY_ALONE):
            return REAL
        return str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneForAllReal:
    config.option.loadscopereorder = False  # as collected, and not those of most tests first
    return OneForAllReal(config, log)


def first_those_that_decide(item: pytest.Item) -> int:
    """What runs longest begins first, or the others wait for it at the end: all real jobs, which
    one process works off, and then what builds a wheel and starts jobs of its own."""
    if not item.nodeid.startswith(REAL_PLACES):
        return 2
    return 1 if item.nodeid.startswith(MOSTLY_ALONE) else 0


def wants_shared_memory(item: pytest.Item) -> bool:
    """Whether it makes no sense over MPI."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    return item.get_closest_marker(SHARED) is not None or SHARED in params.values()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the real ones, before `-m` is looked at; leave campaigns out unless they are wanted."""
    if not config.getoption("--campaigns"):
        left = [item for item in items if item.get_closest_marker(CAMPAIGN)]
        items[:] = [item for item in items if not item.get_closest_marker(CAMPAIGN)]
        config.hook.pytest_deselected(items=left)
    if config.getoption("--collectives") == "mpi":
        left = [item for item in items if wants_shared_memory(item)]
        items[:] = [item for item in items if not wants_shared_memory(item)]
        config.hook.pytest_deselected(items=left)
    items.sort(key=first_those_that_decide)
    for item in items:
        if "mpi" in item.keywords and item.get_closest_marker("mpi") is None:
            raise pytest.UsageError(
                f"{item.nodeid}: pytest-mpi skips a test whose parameters are called just that"
            )
        if "mpirun" in getattr(item, "fixturenames", ()):
            item.add_marker(REAL)
        if item.get_closest_marker(REAL) and not item.nodeid.startswith(REAL_PLACES):
            raise pytest.UsageError(
                f"{item.nodeid} starts real ranks: into tests/real_ranks with it"
            )


def pytest_unconfigure() -> None:
    """Open MPI leaves the shared memory of a process that no mpirun started: 16 MiB of names for
    each process of tests that imports mpi4py's MPI."""
    for segment in segments_of(os.getpid()):
        Path(segment).unlink(missing_ok=True)


def pytest_collection_finish() -> None:
    """Thousands of tests stay to the end. The garbage collector need not walk them again and again:
    benches, which have it run before each figure, took up to a hundred times as long."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def mpirun() -> Path:
    """The environment's own mpirun."""
    found = Path(sys.executable).with_name("mpirun")
    if not found.exists():
        pytest.skip("no mpirun in this environment: pip install 'adpkv[mpi]'")
    return found
