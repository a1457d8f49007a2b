"""Flight recorders of real ranks, looked at from outside: while they run, hang, and when dead."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adpkv.diagnosis.finding import find
from adpkv.diagnosis.jobs import RINGS, JobFolder, all_jobs, read_note
from adpkv.diagnosis.survey import Doing, Survey, look
from adpkv.errors import UsageError
from adpkv.executor.meetings import WORLD

BIN = Path(sys.executable).parent
MPIRUN = [str(BIN / "mpirun"), "-n", "4"]
RUN = [str(BIN / "adpkv"), "run"]
BOUND_S = 60.0
LOOK_S = 0.05
ENDED = {"dead", "gone"}
"""Whoever is the heir of killed processes may take its time to ask how they ended."""


def left_of(out: Path) -> list[Path]:
    """What shared memory holds of the job that writes into this folder."""
    found = [(path, read_note(path)) for path in all_jobs()]
    return [path for path, note in found if note is not None and note.folder == str(out)]


def until(
    out: Path, job: subprocess.Popen[str], happens: Callable[[Survey], object]
) -> tuple[Path, Survey]:
    """Look at the job until this is seen."""
    until_s = time.monotonic() + BOUND_S
    while True:
        assert job.poll() is None, job.communicate()
        try:
            folder = find(str(out))
            survey = look(folder)
        except UsageError:
            pass  # on its way
        else:
            if happens(survey):
                return folder, survey
        assert time.monotonic() < until_s, "not seen within the time"
        time.sleep(LOOK_S)


def inspected(*argv: str) -> Any:
    found = subprocess.run(
        [BIN / "adpkv", "inspect", *argv, "--json"],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def hangs(survey: Survey) -> bool:
    """Rank 3 is alone, its peer waits for it in sync, and the others have nothing to do."""
    return (
        len(survey.ranks) == 4
        and survey.ranks[3].doing is Doing.ALONE
        and survey.ranks[2].site == "sync"
        and survey.ranks[2].doing is Doing.MEETING
    )


Hanging = tuple[subprocess.Popen[str], Path, Survey, Path]


def hung(jobs, out: Path) -> Hanging:
    """A job with a rank that stands still alone, its folder in shared memory, how it is, and where
    it writes."""
    job = jobs.start([*MPIRUN, sys.executable, "-m", "tests.mpi.programs.paused", str(out)])
    return job, *until(out, job, hangs), out


@pytest.fixture(scope="module")
def hanging(shared_jobs, tmp_path_factory: pytest.TempPathFactory) -> Hanging:
    """One for all tests that only look: whoever changes a process puts it back as it was."""
    return hung(shared_jobs, tmp_path_factory.mktemp("hanging") / "out")


@pytest.fixture
def hanging_alone(jobs, tmp_path: Path) -> Hanging:
    """One to be killed."""
    return hung(jobs, tmp_path / "out")


def test_a_running_job_is_seen_by_each_of_its_names(hanging) -> None:
    job, folder, survey, out = hanging
    for name in (job.pid, survey.ranks[1].pid, out, folder):
        said = inspected(str(name))
        assert (said["experiment"], said["size"], said["running"]) == ("paused", 4, True)
        assert {one["process"] for one in said["ranks"]} == {"alive"}
        alone, waits = said["ranks"][3], said["ranks"][2]
        assert (alone["doing"], alone["kind"], alone["site"]) == ("alone in", "poll", "at_least=1")
        assert (waits["doing"], waits["kind"], waits["site"]) == ("in", "tp_allgather", "sync")
        assert alone["iteration"] == waits["iteration"] == 5
        assert alone["sequence"] == waits["sequence"], "both are before the same meeting"
        assert waits["since_s"] > 0
        assert waits["records"][-1]["site"] == "intake"
        assert [1] not in [found["ranks"] for found in said["classes"][:1]]


def test_the_table_and_the_stacks_show_who_stands_alone(hanging) -> None:
    job, _, survey, _ = hanging
    found = subprocess.run(
        [BIN / "adpkv", "inspect", str(job.pid), "--stacks"],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    title, head, *rows = found.stdout.splitlines()
    assert title.startswith("paused: 4 ranks, running for ")
    assert head.split() == ["ranks", "process", "where", "iteration", "number", "for"]
    assert any(row.startswith("3 ") and "alone in poll at at_least=1" in row for row in rows)
    assert "\nrank 3:\n" in found.stdout, "nobody else stands as it does"
    stacks = inspected(str(job.pid), "--stacks")["stacks"]
    assert set(stacks) == {"0", "1", "2", "3"}
    assert "in pause" in stacks["3"], "the frame in which it stands"
    assert "in _meet" in stacks["2"]
    assert job.poll() is None, "nobody was disturbed"
    assert hangs(look(find(str(survey.ranks[3].pid))))


def test_following_ends_with_the_job(hanging_alone) -> None:
    job, _, survey, _ = hanging_alone
    argv = [BIN / "adpkv", "inspect", "--follow", str(job.pid)]
    follower = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert follower.stdout is not None
    assert follower.stdout.readline().startswith("paused: 4 ranks, running for ")
    for one in survey.ranks:
        os.kill(one.pid, signal.SIGKILL)
    said, _ = follower.communicate(timeout=BOUND_S)
    assert follower.returncode == 0
    assert said.splitlines()[-1] == "the job is over"


def test_on_a_terminal_following_redraws_in_place(hanging) -> None:
    job, *_ = hanging
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    follower = subprocess.Popen(
        [BIN / "adpkv", "inspect", "--follow", str(job.pid)],
        stdout=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    said, until_s = b"", time.monotonic() + BOUND_S
    while said.count(b"paused: 4 ranks") < 2:
        assert time.monotonic() < until_s, said
        if select.select([ours], [], [], 1.0)[0]:
            said += os.read(ours, 4096)
    assert b"\x1b[1A" in said, "the cursor goes back up"
    follower.send_signal(signal.SIGINT)
    assert follower.wait(BOUND_S) == 0
    os.close(ours)


def test_following_ends_with_ctrl_c(hanging) -> None:
    job, *_ = hanging
    argv = [BIN / "adpkv", "inspect", "--follow", str(job.pid)]
    follower = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert follower.stdout is not None
    follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=BOUND_S)
    assert (follower.returncode, err) == (0, "")
    assert job.poll() is None


def test_a_stopped_rank_is_told_from_a_live_one(hanging) -> None:
    job, _, survey, _ = hanging
    os.kill(survey.ranks[1].pid, signal.SIGSTOP)
    try:
        said = inspected(str(job.pid), "--stacks")
    finally:
        os.kill(survey.ranks[1].pid, signal.SIGCONT)
    assert [one["process"] for one in said["ranks"]] == ["alive", "stopped", "alive", "alive"]
    assert said["stacks"]["1"] == "(stopped: it cannot answer)"
    assert "File" in said["stacks"]["0"]


def test_a_job_that_was_killed_can_be_inspected_until_the_next_run(
    jobs, hanging_alone, tmp_path: Path
) -> None:
    job, folder, survey, _ = hanging_alone
    for one in survey.ranks:
        os.kill(one.pid, signal.SIGKILL)
    jobs.finish(job, BOUND_S)
    for name in (str(survey.ranks[2].pid), str(tmp_path / "out")):
        said = inspected(name)
        assert said["running"] is False
        assert {one["process"] for one in said["ranks"]} <= ENDED
        assert said["ranks"][3]["doing"] == "alone in"
        assert said["ranks"][2]["site"] == "sync"
    out = tmp_path / "next"
    next_run = jobs.start([*MPIRUN, *RUN, "configs/four-ranks.yaml", "--quiet", "--out", str(out)])
    assert jobs.finish(next_run, BOUND_S).code == 0
    assert not folder.exists()
    assert left_of(out) == []


@pytest.mark.parametrize("start", [RUN, [*MPIRUN, *RUN]], ids=["adpkv", "mpirun"])
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
    for one in survey.ranks:
        os.kill(one.pid, signal.SIGKILL)
    found = jobs.finish(job, BOUND_S)
    assert found.code == 5, found.err
    assert found.err.strip() == "adpkv: every rank died, and none could say why"
    assert not folder.exists()
    assert JobFolder.of(folder.name) is None
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
