"""pytest's plugin with `world="mpi"`: each test a job beside the session, or in place."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from adpkv.worlds.mpi.launcher.session_folder import PREFIX
from tests.real_ranks.conftest import MPIRUN, ROOT, Jobs, outlives_or_skip

CASES = ROOT / "tests" / "rank_programs" / "suite" / "real_cases.py"
ADDS_OPTION = "from test_cases import pytest_addoption  # noqa: F401\n"


def own_processes(of: str) -> list[str]:
    """Processes that have this in their environment or command."""
    found = subprocess.run(["ps", "eww", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in found.stdout.splitlines() if of in line and "ps eww" not in line]


@pytest.fixture(scope="module")
def told(shared_jobs: Jobs, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a session of all cases over two processes prints; nothing is left behind."""
    outlives_or_skip()
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_cases.py").write_text(CASES.read_text())
    (folder / "conftest.py").write_text(ADDS_OPTION)
    (folder / "tmp").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -n 2\ntimeout = 60\n")
    call = [
        "env",
        f"TMPDIR={folder / 'tmp'}",
        sys.executable,
        "-m",
        "pytest",
        "-rA",
        "--words=kept",
    ]
    done = shared_jobs.finish(shared_jobs.start([*call, "test_cases.py"], folder), 120)
    assert done.code == 1, done.out + done.err
    left = [name for name in os.listdir(folder / "tmp") if name.startswith((PREFIX, "adpkv-"))]
    assert left == []
    assert own_processes(str(folder)) == []
    return done.out


def test_each_test_on_real_ranks_has_its_own_outcome(told: str) -> None:
    found = set(re.findall(r"^FAILED test_cases.py::(\w+)", told, re.MULTILINE))
    assert found == {"test_one_raises", "test_hangs", "test_crashes", "test_wrong_world"}
    assert "4 failed, 2 passed, 1 skipped, 1 xfailed" in told
    assert "not here" in told


def test_the_failing_rank_is_told_first_and_its_peers_in_a_line(told: str) -> None:
    raised = told[told.index("rank 1 failed: AssertionError: something is left") :]
    assert raised.index("left = [7]") < raised.index("rank 0  at test_cases.py:")
    assert re.search(r"rank 2  at test_cases.py:\d+ in test_one_raises: ranks.comm.barrier", told)
    assert "3 real ranks; again: pytest 'test_cases.py::test_one_raises'" in told


def test_a_hang_and_a_crash_name_rank_and_line(told: str) -> None:
    assert "hang: after 2 s, rank 0 had not ended, and no rank had failed" in told
    assert re.search(r"rank 0  at test_cases.py:\d+ in test_hangs: ranks.comm.barrier\(\)", told)
    assert "rank 1  has passed" in told
    assert "rank 1 failed: Fatal Python error: Segmentation fault" in told
    assert re.search(r'File ".*test_cases.py", line \d+ in test_crashes', told)


def test_marked_tests_run_in_place_beside_those_of_pytest_mpi(jobs: Jobs) -> None:
    ours = [
        sys.executable,
        "-m",
        "pytest",
        "--with-mpi",
        "-rs",
        "--color=no",
        "-p",
        "no:cacheprovider",
    ]
    call = [str(MPIRUN), "-n", "4", *ours, "tests/real_ranks/in_place"]
    done = jobs.finish(jobs.start(call), 120)
    assert done.code == 0, done.out + done.err
    assert done.out.count("5 passed, 1 skipped") == 4
    assert done.out.count("for 3 ranks, and mpirun has started 4") == 4
