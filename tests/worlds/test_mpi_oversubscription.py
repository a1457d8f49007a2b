"""More ranks than cores on a host: counted from what launchers and the system say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adpkv.worlds.mpi.oversubscription import (
    THREADS,
    YIELD,
    cores,
    local_ranks,
    one_thread,
    yield_where_crowded,
)

CROWD = {"OMPI_COMM_WORLD_LOCAL_SIZE": "100000"}


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({"OMPI_COMM_WORLD_LOCAL_SIZE": "4", "OMPI_COMM_WORLD_SIZE": "8"}, 4),
        ({"MPI_LOCALNRANKS": "3"}, 3),
        ({"SLURM_STEP_TASKS_PER_NODE": "4(x2),3", "SLURM_NODEID": "1"}, 4),
        ({"SLURM_STEP_TASKS_PER_NODE": "4(x2),3", "SLURM_NODEID": "2"}, 3),
        ({"SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_TASKS_PER_NODE": "8"}, 2),
        ({"SLURM_TASKS_PER_NODE": "8"}, 8),
        ({"OMPI_COMM_WORLD_LOCAL_SIZE": "4", "SLURM_TASKS_PER_NODE": "8"}, 4),
        ({"SLURM_TASKS_PER_NODE": "4(x2)", "SLURM_NODEID": "2"}, 0),
        ({"SLURM_TASKS_PER_NODE": "many"}, 0),
        ({"OMPI_COMM_WORLD_LOCAL_SIZE": ""}, 0),
        ({}, 0),
    ],
)
def test_the_ranks_of_a_host(environment: dict[str, str], ranks: int) -> None:
    assert local_ranks(environment) == ranks


def counted(folder: Path, lines: str, files: dict[str, str], parent: int | None = None) -> float:
    """The cores where the control groups are these."""
    (folder / "self").write_text(lines)
    for name, text in files.items():
        path = folder / "cgroups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cores(folder / "cgroups", folder / "self", parent)


@pytest.mark.parametrize(
    ("lines", "files", "granted"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 0.2),
        # Version 1; in a container its own group may be mounted as the root.
        (
            "3:cpu:/a\n1:memory:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "30000", "cpu/a/cpu.cfs_period_us": "100000"},
            0.3,
        ),
        (
            "3:cpu,cpuacct:/not/here\n",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "30000",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            0.3,
        ),
    ],
    ids=["own", "one-above", "root", "version-1", "version-1-container"],
)
def test_no_more_cores_than_the_control_groups_grant(
    tmp_path: Path, lines: str, files: dict[str, str], granted: float
) -> None:
    assert counted(tmp_path, lines, files) == granted


@pytest.mark.parametrize(
    ("lines", "files"),
    [
        ("", {}),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "0"}),
    ],
    ids=["no-groups", "no-limit", "no-limit-version-1", "nonsense"],
)
def test_without_a_limit_it_is_the_cores_that_one_may_run_on(
    tmp_path: Path, lines: str, files: dict[str, str]
) -> None:
    assert counted(tmp_path, lines, files, os.getpid()) == len(os.sched_getaffinity(0))


def test_a_rank_that_is_bound_to_a_core_of_its_own_is_not_crowded() -> None:
    """It sees one core; its launcher, which is its parent, sees all of them."""
    allowed = os.sched_getaffinity(0)
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {min(allowed)})
        nobody = Path("/nonexistent")
        seen = len(os.sched_getaffinity(0)), cores(nobody, nobody)
        os._exit(0 if seen == (1, len(allowed)) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_mpi_is_asked_to_yield_where_it_is_crowded_only() -> None:
    environment = dict(CROWD)
    assert yield_where_crowded(environment)
    assert environment == {**CROWD, YIELD: "1"}
    environment = {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}
    assert not yield_where_crowded({**environment})
    environment = {}
    assert not yield_where_crowded(environment)
    assert environment == {}, "who was not started by a launcher has no ranks beside it"


def test_what_the_user_has_set_stays() -> None:
    environment = {**CROWD, YIELD: "0"}
    assert not yield_where_crowded(environment)
    assert environment[YIELD] == "0"


def test_a_rank_has_one_thread_of_numpys_unless_its_user_wants_more() -> None:
    count = "import os, numpy; print(len(os.listdir('/proc/self/task')))"
    own = {key: value for key, value in os.environ.items() if key != THREADS}
    one_thread(own)
    many = {THREADS: "3"}
    one_thread(many)
    assert many == {THREADS: "3"}
    asked = [sys.executable, "-c", count]
    assert subprocess.run(asked, env=own, capture_output=True, text=True).stdout == "1\n"
