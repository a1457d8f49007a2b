"""Ranks killed at any moment of a job's start and of its end: the job ends, and says what is true.

Eight of them here, four jobs at a time; `make kills-start` for hundreds. Each job has three ranks
and serves three requests.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any, Final

import pytest

from adpkv.worlds.mpi.launcher.process_tree import ProcessTree
from adpkv.worlds.mpi.launcher.startup import RANKS, Stage, stage_of
from tests.real_ranks.conftest import outlives_or_skip
from tests.real_ranks.test_mpi_launch import LONG, RUN, until_served

SEED: Final = int(os.environ.get("ADPKV_KILLS_SEED", "1"))
KILLS: Final = int(os.environ.get("ADPKV_KILLS", "8"))
AT_ONCE: Final = 4
START_S: Final = 3.0
"""A start takes so long where four jobs share two cores."""
LOOK_S: Final = 0.01
BOUND_S: Final = 90.0

EXPERIMENT: Final = """
name: kills
topology: {context: {ranks: 1}, generation: {ranks: 2}}
executor: {drain_timeout: 500ms}
workload:
  kind: script
  requests: [{at: 0s, prompt_tokens: 64, output_tokens: 4, times: 3, every: 10ms}]
"""


@dataclass
class Killed:
    """One job, and the rank that is killed in it: some time after its process is there, or after
    it begins to leave."""

    job: Popen[str]
    out: Path
    leaving: bool
    delay_s: float
    rank: int
    due_s: float = 0.0
    stage: str | None = None
    """How far it was when it was killed."""

    def look(self) -> bool:
        """Kill it when it is time; true when that is done, or can be done no more."""
        if self.job.poll() is not None:
            return True
        ranks = ProcessTree(self.job.pid).ranks()
        found = {ProcessTree(self.job.pid).launcher_number(pid, RANKS): pid for pid in ranks}
        pid = found.get(self.rank)
        if pid is None:
            return False
        stage = stage_of(pid)
        if not self.due_s and (not self.leaving or stage == Stage.LEAVE):
            self.due_s = time.monotonic() + self.delay_s
        if not self.due_s or time.monotonic() < self.due_s:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.stage = stage
        return True


def test_a_rank_that_is_killed_at_any_moment_ends_its_job(jobs: Any, tmp_path: Path) -> None:
    outlives_or_skip()
    file = tmp_path / "kills.yaml"
    file.write_text(EXPERIMENT)
    draw = random.Random(SEED)
    for batch in range(0, KILLS, AT_ONCE):
        killed = []
        for number in range(batch, min(batch + AT_ONCE, KILLS)):
            out, leaving = tmp_path / str(number), number % 4 == 3
            job = jobs.start([*RUN, str(file), "--quiet", "--out", str(out)])
            delay_s = draw.uniform(0, 0.3 if leaving else START_S)
            killed.append(Killed(job, out, leaving, delay_s, draw.randrange(3)))
        until_s, waiting = time.monotonic() + BOUND_S, list(killed)
        while waiting:
            assert time.monotonic() < until_s, f"seed {SEED}, jobs from {batch} on"
            waiting = [one for one in waiting if not one.look()]
            time.sleep(LOOK_S)
        for one in killed:
            _ended_well(one, jobs.finish(one.job, BOUND_S))


def _ended_well(one: Killed, found: Any) -> None:
    said = f"seed {SEED}: {one}\n{found.err}"
    assert found.code in (0, 5), said
    assert "Traceback" not in found.err, said
    summary = one.out / "summary.json"
    told = json.loads(summary.read_text()) if summary.exists() else {}
    whole = told.get("exit_code")
    assert (found.code == 0) == (whole == 0), said
    if one.stage in ("", Stage.LOAD, Stage.INIT):
        assert found.code == 5, said
        # At its very end MPI itself may see it, and cannot say whom.
        assert f"rank {one.rank} (" in found.err or "a rank may have failed" in found.err, said
    if whole is None:
        assert not one.out.exists(), f"{said}\nleft: {os.listdir(one.out)}"
    elif "failed while the job started: rank " in found.err:
        assert told["lost"] == [one.rank], said
    assert not list(Path("/dev/shm").glob(f"adpkv-{os.geteuid()}/*-{one.job.pid}*")), said


def test_all_ranks_killed_one_after_the_other(jobs: Any, tmp_path: Path) -> None:
    """Whoever is about to take the job's folder away is killed with it in hand."""
    outlives_or_skip()
    out = tmp_path / "out"
    job = jobs.start([*RUN, *LONG, "--quiet", "--out", str(out)])
    until_served(out, job)
    while ranks := ProcessTree(job.pid).ranks():
        with suppress(ProcessLookupError):
            os.kill(ranks[-1], signal.SIGKILL)
        time.sleep(LOOK_S)
    found = jobs.finish(job, BOUND_S)
    assert found.code == 5, found.err
    assert not list(Path("/dev/shm").glob(f"adpkv-{os.geteuid()}/*-{job.pid}*"))
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["exit_code"], summary["outcome"]) == (5, "rank_lost")
    answered = (out / "requests.jsonl").read_bytes().count(b"\n")
    assert summary["requests"]["submitted"] == answered, "those of which it is known"


def test_whose_launcher_starts_no_rank_is_told_so() -> None:
    from adpkv.worlds.mpi.launcher.launch import Launch, job_exit_code

    said: list[str] = []
    assert job_exit_code(1, None, Launch(["true"]), said.append) == 5
    assert job_exit_code(213, None, Launch(["true"])) == 5
    assert said == ["mpirun ended with 1 before any rank had begun: it could not start them"]
    assert job_exit_code(137, None, Launch(["true"]), said.append) == 5
    assert said[1:] == ["every rank failed, and none could say why"]
    killed = Launch(["true"])
    killed.killed = True
    assert job_exit_code(137, None, killed, said.append) == 5, "as the summary says, and supervise"
    assert said[2:] == ["mpirun itself was killed, by signal 9"]


@pytest.mark.parametrize("said", [None, 0, 75])
def test_what_the_launcher_says_is_held_against_the_summary(said: int | None) -> None:
    from adpkv.worlds.mpi.launcher.launch import Launch, job_exit_code

    started = Launch(["true"])
    assert job_exit_code(0, said, started) == (5 if said is None else said)
    assert job_exit_code(14, said, started) == (5 if said is None else said)
    for code in (3, 5, 143):
        assert job_exit_code(code, said, started) == (code if said is None else said)


@pytest.mark.parametrize("code", [70, 74])
def test_only_what_is_found_later_than_the_summary_is_worse(code: int) -> None:
    """Showing a summary that says 0 may fail; that this process gave mpirun up is no such thing."""
    from adpkv.worlds.mpi.launcher.launch import Launch, job_exit_code

    started = Launch(["true"])
    assert job_exit_code(code, 0, started) == code
    assert job_exit_code(code, 5, started) == 5
    started.given_up = True
    assert job_exit_code(code, 0, started) == 0
    assert job_exit_code(code, None, started) == code


@pytest.mark.parametrize(
    ("code", "said", "ends"), [(0, None, 143), (5, None, 143), (14, None, 143)]
)
def test_ranks_that_fail_of_what_was_asked_are_no_loss(code: int, said: None, ends: int) -> None:
    """A job that is told to stop while it starts must not be started again as one that lost a
    rank."""
    from adpkv.worlds.mpi.launcher.launch import Launch, job_exit_code

    started = Launch(["true"])
    started._wish(signal.SIGTERM, None)
    assert job_exit_code(code, said, started) == ends
    assert job_exit_code(70, None, started) == 70
    assert job_exit_code(5, 5, started) == 5, "its ranks listened, and lost one"
