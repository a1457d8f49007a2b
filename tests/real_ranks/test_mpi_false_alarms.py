"""The watchdog speaks when a rank stays away, and never otherwise."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

HERE = (8,)
"""Numbers of ranks; `make alarms` has all up to sixteen."""

SHORT = ["--quiet", "--set", "workload.requests=50"]


@pytest.mark.parametrize(
    "ranks",
    [*HERE, *(pytest.param(n, marks=pytest.mark.campaign) for n in range(1, 17) if n not in HERE)],
)
def test_no_collective_no_size_and_no_late_rank_raises_one(
    program, tmp_path: Path, ranks: int
) -> None:
    found = program("quiet", ranks, str(tmp_path))
    assert found.code == 0, found.err
    assert found.out.strip() == "fine"


@pytest.mark.campaign
def test_nor_does_a_job_that_was_stopped_as_a_whole(program, tmp_path: Path) -> None:
    found = program("quiet", 4, str(tmp_path), "frozen")
    assert found.code == 0, found.err
    assert found.out.strip() == "fine"


@pytest.mark.parametrize("case", ["late", pytest.param("stopped", marks=pytest.mark.campaign)])
def test_nor_what_takes_long_in_a_real_job(program, tmp_path: Path, case: str) -> None:
    """A rank that is still being made while the others wait; all ranks stopped at once."""
    out = tmp_path / "out"
    found = program("spared", 4, case, str(out))
    assert found.code == 0, found.err
    assert not (out / "deadlock.json").exists()
    assert json.loads((out / "summary.json").read_text())["requests"]["completed"] == 1


@pytest.mark.campaign
@pytest.mark.slow
def test_nor_do_busy_processes_beside_it(jobs, tmp_path: Path) -> None:
    """Some seconds of `make soak-loaded`, which leaves nobody behind."""
    what = [str(tmp_path / "out"), "configs/four-ranks.yaml", *SHORT]
    argv = [sys.executable, "-m", "tests.real_ranks.loaded", *what]
    found = jobs.finish(jobs.start(argv), 120)
    assert found.code == 0, found.err
    told = found.out.splitlines()
    assert "alarms: none" in told
    assert "longest stand seen in 0 looks" not in found.out, "nobody looked"
    pids = told[0].rpartition(": ")[2].split()
    assert len(pids) == 2 * (os.cpu_count() or 1)
    assert [pid for pid in pids if Path("/proc", pid).exists()] == []
