"""Shared memory for the collectives: what it does where it cannot be had, or a rank stands still.

That ranks fail in the middle of a slot is in `test_mpi_rank_failures`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from adpkv.flight_recorder.job_directory import SHARED
from tests.real_ranks.conftest import MPIRUN, Jobs

OBSTACLES = ("no_room", "no_permission", "elsewhere", "no_shared_memory", "stale")
pytestmark = pytest.mark.shared_memory
MODULE = "tests.real_ranks.programs.segments"


def test_where_it_cannot_be_had_all_ranks_use_mpi_or_none_starts(program) -> None:
    cases = ("fine", "named", *OBSTACLES, "stopped")
    found = program("segments", 4, *cases)
    assert found.code == 0, found.err
    assert found.out.splitlines() == [f"passed {case}" for case in cases]


def test_two_jobs_at_once(jobs: Jobs) -> None:
    """Even if both were given the same folder, each has memory of its own."""
    with TemporaryDirectory(prefix="adpkv-test-", dir=SHARED) as folder:
        command = [str(MPIRUN), "-n", "3", sys.executable, "-m", MODULE, folder]
        both = [jobs.start(command) for _ in range(2)]
        for job in both:
            found = jobs.finish(job, 60)
            assert (found.code, found.out) == (0, f"passed {folder}\n"), found.err
        assert len(os.listdir(folder)) == 2


@pytest.mark.parametrize(("collectives", "code"), [("auto", 0), ("shared_memory", 2)])
def test_a_job_without_room_for_it(program, tmp_path: Path, collectives: str, code: int) -> None:
    """`auto` runs over MPI and says so; whoever insists gets one message, and no folder."""
    out = tmp_path / "out"
    found = program("no_segment", 4, str(out), collectives)
    assert found.code == code, found.err
    if code:
        assert found.err.count("topology.collectives: shared_memory: ") == 1
        assert "no shared memory: File too large" in found.err
        assert "Traceback" not in found.err
        assert not out.exists()
    else:
        summary = json.loads((out / "summary.json").read_text())
        assert summary["outcome"] == "completed"
        assert summary["collectives"]["over"] == "mpi"
