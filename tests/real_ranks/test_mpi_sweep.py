"""Sweeps of real runs, and sweeps over the ranks of an MPI job."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest

import adpkv
from adpkv.flight_recorder.processes import descendants, living_state, start_ticks

BIN = Path(sys.executable).parent
SWEEP = [str(BIN / "adpkv"), "sweep"]


def test_ranks_of_a_job_make_the_runs(jobs, tmp_path: Path) -> None:
    """The same rows as those of processes, whoever made them."""
    varied = ["--vary", "workload.rate=10,20,30", "--set", "workload.requests=10"]
    out = tmp_path / "s"
    command = [str(BIN / "mpirun"), "-n", "3", *SWEEP, "quickstart", *varied, "--out", str(out)]
    done = jobs.finish(jobs.start(command), 90)
    assert done.code == 0, done.err
    assert "3 of 3 runs in " in done.out
    alone = adpkv.simulate("quickstart", set={"workload.requests": 10, "workload.rate": 30})
    last = adpkv.load_sweep(out).runs[2]
    assert last.summary is not None
    assert last.summary | {"wall_s": 0} == alone.to_dict() | {"wall_s": 0}


def test_real_runs_are_nobodys_ranks(jobs, tmp_path: Path) -> None:
    """Started by a launcher itself, a sweep does not pass on what that says to its ranks."""
    varied = ["--vary", "workload.requests=4", "--world", "mpi", "--json", "--quiet"]
    command = [str(BIN / "mpirun"), "-n", "1", *SWEEP, "four-ranks", *varied]
    done = jobs.finish(jobs.start([*command, "--out", str(tmp_path / "s")]), 120)
    assert done.code == 0, done.err
    (run,) = json.loads(done.out)["runs"]
    assert (run["world"], run["ranks"], run["outcome"]) == ("mpi", 4, "completed")
    assert run["requests.submitted"] == 4
    assert adpkv.load_run(run["folder"]).outcome == "completed"


@pytest.mark.campaign
def test_ctrl_c_ends_the_real_run_in_order(jobs, tmp_path: Path) -> None:
    varied = ["--vary", "workload.requests=4,100000", "--world", "mpi"]
    job = jobs.start([*SWEEP, "four-ranks", *varied, "--out", str(tmp_path / "s")])
    second = tmp_path / "s" / "runs" / "point-2-seed-3"
    until_s = time.monotonic() + 90
    while not list(second.glob("events.*.part")):
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < until_s, "the second run does not begin"
        time.sleep(0.05)
    started = {pid: start_ticks(pid) for pid in descendants(job.pid)}
    job.send_signal(signal.SIGINT)
    done = jobs.finish(job, 90)
    assert done.code == 130
    assert "1 of 2 runs are in" in done.err
    # The ranks answered what was open, and said so; the run is not one that has ended.
    assert json.loads((second / "summary.json").read_text())["outcome"] == "interrupted"
    assert [run.point for run in adpkv.load_sweep(tmp_path / "s").runs] == [1]
    assert "alive" not in {living_state(pid, ticks) for pid, ticks in started.items()}
