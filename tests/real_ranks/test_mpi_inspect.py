"""Flight recorders of real ranks, looked at from outside: of running, killed and failed ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from adpkv.executor.collectives import WORLD
from adpkv.flight_recorder.job_directory import RINGS, JobDirectory
from adpkv.inspect.locate import find
from tests.real_ranks.inspecting import (
    BIN,
    BOUND_S,
    MPIRUN,
    Hanging,
    hung,
    inspected,
    kill_all,
    left_of,
    until,
)

RUN = [str(BIN / "adpkv"), "run"]
ENDED = {"ended", "gone"}
"""Whoever is the successor of killed processes may take its time to ask how they ended."""


@pytest.fixture
def hanging_alone(jobs, tmp_path: Path) -> Hanging:
    """One to be killed."""
    return hung(jobs, tmp_path / "out")


def test_following_ends_with_the_job(hanging_alone) -> None:
    job, _, survey, _ = hanging_alone
    argv = [BIN / "adpkv", "inspect", "--follow", str(job.pid)]
    follower = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert follower.stdout is not None
    assert follower.stdout.readline().startswith("paused: 4 ranks, running for ")
    kill_all(survey)
    said, _ = follower.communicate(timeout=BOUND_S)
    assert follower.returncode == 0
    assert said.splitlines()[-1] == "the job is over"


def test_a_job_that_was_killed_can_be_inspected_until_the_next_run(jobs, tmp_path: Path) -> None:
    """By the next run after its owner's end: jobs of other tests begin at any moment, and take
    away what has no keeper."""
    owner_pid = jobs.start(["sleep", "600"])
    job, folder, survey, _ = hung(jobs, tmp_path / "out", f"kept-{owner_pid.pid}")
    kill_all(survey)
    jobs.finish(job, BOUND_S)
    for name in (str(survey.ranks[2].pid), str(tmp_path / "out")):
        said = inspected(name)
        assert said["running"] is False
        assert {one["process"] for one in said["ranks"]} <= ENDED
        assert said["ranks"][3]["doing"] == "alone in"
        assert said["ranks"][2]["site"] == "sync"
    owner_pid.kill()
    owner_pid.wait()
    out = tmp_path / "next"
    next_run = jobs.start([*MPIRUN, *RUN, "configs/four-ranks.yaml", "--quiet", "--out", str(out)])
    assert jobs.finish(next_run, BOUND_S).code == 0
    assert not folder.exists()
    assert left_of(out) == []


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(RUN, id="adpkv", marks=pytest.mark.campaign),
        pytest.param([*MPIRUN, *RUN], id="mpirun"),
    ],
)
def test_a_run_that_ends_well_leaves_nothing(jobs, start, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = jobs.start([*start, "configs/four-ranks.yaml", "--quiet", "--out", str(out)])
    folder, survey = until(out, job, lambda survey: survey.ranks[0].written > 8)
    assert {record.kind for record in survey.ranks[0].records} <= {
        "tp_broadcast", "tp_allgather", "tp_gather", "step", "wait", "post", "expect", "poll",
    }  # fmt: skip
    assert survey.ranks[0].group != WORLD
    assert jobs.finish(job, BOUND_S).code == 0
    assert not folder.exists()
    assert left_of(out) == []
    assert not (out / RINGS).exists()


def test_ranks_that_end_because_they_are_stuck_leave_their_rings_in_the_runs_folder(
    program, tmp_path: Path
) -> None:
    found = program("hang", 8, str(tmp_path), timeout_s=60)
    assert found.code == 3, found.err
    out = tmp_path / "out"
    assert left_of(out) == []
    said = inspected(str(out))
    assert said["ranks"][6]["doing"] == "alone in"
    assert said["running"] is False


def test_a_rank_that_fails_leaves_the_rings_of_all_in_the_runs_folder(
    program, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = program("paused", 4, str(out), "fails")
    assert found.code == 70, found.err
    assert "ValueError: planted" in found.err
    assert left_of(out) == []
    said = inspected(str(out))
    assert len(said["ranks"]) == 4
    assert said["ranks"][3]["doing"] == "on its way, last in"


def test_what_was_killed_under_adpkv_run_is_found_in_the_runs_folder(jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    long = ["configs/four-ranks.yaml", "--set", "workload.requests=100000"]
    job = jobs.start([*RUN, *long, "--quiet", "--out", str(out)])
    folder, survey = until(
        out, job, lambda s: len(s.ranks) == 4 and all(one.written > 100 for one in s.ranks)
    )
    assert find(str(job.pid)) == folder, "adpkv run is the keeper"
    kill_all(survey)
    found = jobs.finish(job, BOUND_S)
    assert found.code == 5, found.err
    told = "adpkv: every rank failed, and none could say why; last seen: rank 0 (process "
    assert told in found.err, "before it mpirun may complain of whom it lost"
    assert not folder.exists()
    assert JobDirectory.of(folder.name) == []
    assert left_of(out) == []
    said = inspected(str(out))
    assert {one["process"] for one in said["ranks"]} <= ENDED
    assert all(one["records"] for one in said["ranks"])


def test_no_room_is_one_message_before_the_run_begins(program, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = program("no_room", 4, str(out))
    assert found.code == 2, found.err
    assert found.err.count("adpkv:") == 1
    assert "no place for the flight recorder: File too large" in found.err
    assert "Traceback" not in found.err
    assert left_of(out) == []
