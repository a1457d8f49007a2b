"""A real job that hangs, looked at from outside. One for all tests of this file, as they only look:
whoever changes a process puts it back as it was."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import termios
import time

import pytest

from adpkv.inspect.locate import find
from adpkv.inspect.snapshot import take_survey
from tests.real_ranks.inspecting import BIN, BOUND_S, Hanging, hangs, hung, inspected


@pytest.fixture(scope="module")
def hanging(shared_jobs, tmp_path_factory: pytest.TempPathFactory) -> Hanging:
    return hung(shared_jobs, tmp_path_factory.mktemp("hanging") / "out")


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
        assert alone["sequence"] == waits["sequence"], "both are before the same collective"
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
    assert head.split() == ["ranks", "instance", "process", "where", "iteration", "number", "for"]
    assert any(row.startswith("3 ") and "alone in poll at at_least=1" in row for row in rows)
    assert "\nrank 3:\n" in found.stdout, "nobody else stands as it does"
    stacks = inspected(str(job.pid), "--stacks")["stacks"]
    assert set(stacks) == {"0", "1", "2", "3"}
    assert "in pause" in stacks["3"], "the frame in which it stands"
    assert any(f"in {name}" in stacks["2"] for name in ("_exchange_slots", "_go_on"))
    assert job.poll() is None, "nobody was disturbed"
    assert hangs(take_survey(find(str(survey.ranks[3].pid))))


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
