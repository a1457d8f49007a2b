"""Two hosts for a module of tests, and jobs over them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adpkv.errors import UsageError
from adpkv.inspect.snapshot import take_survey
from tests.hosts.pair import Host, Pair, lacking, pair
from tests.real_ranks.conftest import Finished, Jobs, outlives_or_skip

BIN = Path(sys.executable).parent
LOOK_S = 0.02
BOUND_S = 40.0

SMALL = [
    "topology.context.ranks=2", "topology.generation.ranks=2", "workload.requests=30",
    "executor.drain_timeout=2s", "diagnosis.hang_timeout=3s",
]  # fmt: skip
"""The quickstart with two ranks for each host."""

MANY = 20
"""Iterations of a job that is well under way."""

LONG = "workload.requests=100000"
SHARED = "topology.collectives=shared_memory"


@pytest.fixture(scope="session")
def can_be_made(mpirun: Path) -> None:
    """Skips what cannot be done here."""
    outlives_or_skip()
    if why := lacking():
        pytest.skip(why)


@pytest.fixture(scope="module")
def hosts(can_be_made: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two hosts, which the tests of a module use one after the other."""
    with pair(tmp_path_factory.mktemp("hosts")) as made:
        yield made


@dataclass
class Going:
    """A job that has begun on two hosts."""

    jobs: Jobs
    hosts: Pair
    process: Any
    out: Path
    ranks: int = 4

    def until(self, what: str, so: Callable[[], object]) -> None:
        """Wait for it, not for ever."""
        until_s = time.monotonic() + BOUND_S
        while not so():
            assert self.process.poll() is None, (what, self.process.communicate())
            assert time.monotonic() < until_s, f"no {what} within {BOUND_S} s"
            time.sleep(LOOK_S)

    def served(self) -> None:
        """Until every rank has iterated for a while."""
        self.until("iterations", lambda: self._iterated() == self.ranks)

    def _iterated(self) -> int:
        """How many ranks have, as the flight recorders of both hosts say."""
        found = 0
        for host in self.hosts.hosts:
            for folder in host.path("/dev/shm").glob("adpkv-*/*"):
                with suppress(UsageError):  # on its way
                    found += sum(rank.iteration >= MANY for rank in take_survey(folder).ranks)
        return found

    def gone(self, host: Host) -> None:
        """Until no rank is left there."""
        until_s = time.monotonic() + BOUND_S
        while left := host.ranks():
            assert time.monotonic() < until_s, f"{host.name} still has the ranks {sorted(left)}"
            time.sleep(LOOK_S)

    def finish(self) -> Finished:
        """Wait for its end."""
        return self.jobs.finish(self.process, BOUND_S)

    def summary(self) -> dict[str, Any]:
        """What it came to."""
        found: dict[str, Any] = json.loads((self.out / "summary.json").read_text())
        return found


Start = Callable[..., Going]


@contextmanager
def starting(hosts: Pair, folder: Path) -> Iterator[Start]:
    """Starts `adpkv run quickstart` on the first host, over both. `spread` puts ranks on the hosts
    in turn, so that each group is on both; otherwise each has a host of its own."""
    jobs = Jobs()

    def begin(*settings: str, spread: bool = False, **words: str) -> Going:
        out = folder / "out"
        call = [str(BIN / "adpkv"), "run", "configs/quickstart.yaml", "--quiet", "--out", str(out)]
        for setting in [*SMALL, *settings]:
            call += ["--set", setting]
        policy = "node:oversubscribe" if spread else "slot:oversubscribe"
        words["PRTE_MCA_rmaps_default_mapping_policy"] = policy
        return Going(jobs, hosts, jobs.start(hosts.run(*call, slots=2, **words)), out)

    try:
        yield begin
    finally:
        hosts.mend()
        jobs.stop()
        for host in hosts.hosts:
            host.sweep()


@pytest.fixture
def start(hosts: Pair, tmp_path: Path) -> Iterator[Start]:
    """Starts jobs over the two hosts of this module."""
    with starting(hosts, tmp_path) as begin:
        yield begin


def left_behind(hosts: Pair) -> list[str]:
    """What a job that is over has left on some host: processes, shared memory, session folders. The
    other host's daemon may hear of the end a moment later."""
    until_s = time.monotonic() + BOUND_S
    while True:
        left = [str(left) for host in hosts.hosts for left in [*host.processes(), *host.left()]]
        if not left or time.monotonic() >= until_s:
            return left
        time.sleep(LOOK_S)
