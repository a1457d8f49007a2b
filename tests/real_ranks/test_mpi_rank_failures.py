"""Scenario 15 with real processes: ranks are killed wherever they are; the others end the job
together, with every request answered once, and say whose fault it was; or go on without them.

A case of each kind here; `make failures` has all of them, and `make failures COLLECTIVES=mpi` over
MPI what goes through shared memory otherwise."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from adpkv.core.record import COLUMN_FIELDS
from adpkv.core.session import Event
from adpkv.executor.reasons import WHY
from tests.real_ranks.conftest import outlives_or_skip

BOUND_S = 40
REQUESTS = 120  # of `programs.dies`
NOTICED_NS = 20_000_000_000


@pytest.fixture(autouse=True)
def ulfm() -> None:
    outlives_or_skip()


def dies(folder: Path, *how: str) -> tuple[Any, ...]:
    """The program of which ranks fail, and its arguments."""
    return ("dies", 8, str(folder), *how)


def told(folder: Path, lost: list[int]) -> list[dict[str, Any]]:
    """The events of a job that ended as it has to when these ranks fail."""
    summary, events = ended(folder, lost)
    assert (summary["outcome"], summary["exit_code"]) == ("rank_lost", 5)
    return events


def went_on(folder: Path, lost: list[int], policy: str) -> list[dict[str, Any]]:
    """The events of a job that has gone on when these ranks failed."""
    summary, events = ended(folder, lost)
    assert (summary["outcome"], summary["exit_code"]) == ("completed", 0)
    for blocks in summary["blocks"].values():
        assert blocks["free"] + blocks["cached"] == blocks["total"]
    requests = summary["requests"]
    assert requests["completed"] + requests["failed"] == requests["submitted"] == REQUESTS
    assert requests["failed"] == 0 or policy != "recompute"
    records = [json.loads(line) for line in (folder / "out" / "requests.jsonl").open()]
    for record in records:
        spent = [record[field] for field in COLUMN_FIELDS]
        assert sum(spent) == record["ended_ns"] - record["arrival_ns"]
        assert (record["lost_attempts_ns"] > 0) >= (record["recomputed"] > 0)
    names = [f"rank {r} ({'context-0' if r < 4 else 'generation-1'}) has failed" for r in lost]
    assert {r["detail"] for r in records if r["outcome"] == "failed"} <= {
        WHY[Event.PEER_LOST],
        *names,
    }
    assert summary["recomputed"] == sum(event["kind"] == "recomputed" for event in events)
    later_ns = max(event["at_ns"] for event in events if event["kind"] == "recovered")
    later = [record for record in records if record["arrival_ns"] > later_ns]
    assert {record["outcome"] for record in later} <= {"completed"}
    # There are none where the machine was busy, and those who fail as all drain or wait come late.
    assert not {r["context_rank"] for r in later} & set(lost)
    assert not {r["generation_rank"] for r in later} & set(lost)
    return events


def ended(folder: Path, lost: list[int]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Summary and events of a job in which these ranks failed, and everybody else heard of it."""
    out = folder / "out"
    assert not list(out.glob("*.part"))
    summary = json.loads((out / "summary.json").read_text())
    assert summary["lost"] == sorted(lost)
    assert summary["violations"] == []
    assert summary["transfers"]["quarantined_now"] == 0
    events = events_of(folder)
    arrived = [event["request"] for event in events if event["kind"] == "arrived"]
    records = [json.loads(line) for line in (out / "requests.jsonl").open()]
    assert sorted(record["request_id"] for record in records) == arrived
    assert all(record["responses"] <= 1 for record in records)
    failed_ns = max(event["at_ns"] for event in events if event["kind"] == "dies")
    recovered = [event for event in events if event["kind"] == "recovered"]
    living = set(range(8)) - set(lost)
    assert {event["rank"] for event in recovered} >= living
    assert max(event["at_ns"] for event in recovered) < failed_ns + NOTICED_NS
    return summary, events


def events_of(folder: Path) -> list[dict[str, Any]]:
    """All that was written down, victims' last events too."""
    return [json.loads(line) for line in (folder / "out" / "events.jsonl").open()]


PHASES = [
    ("intake", 4, "recompute"), ("observe", 7, "recompute"), ("sync", 2, "shrink"),
    ("apply", 1, "recompute"), ("flush", 4, "shrink"), ("step", 6, "recompute"),
    ("wait", 5, "shrink"), ("drain", 3, "shrink"), ("drain", 4, "recompute"),
]  # fmt: skip
"""Each phase, a rank that fails in it, and how the others go on. In half of them they compute again
what was lost."""


HERE = {("intake", "recompute"), ("sync", "shutdown"), ("wait", "shutdown"), ("drain", "recompute")}


def phases() -> Iterator[Any]:
    """Each twice: the others go on, or end the job. Four of these are here, all are the
    campaign's."""
    for phase, victim, goes_on in PHASES:
        for policy in (goes_on, "shutdown"):
            here = (phase, policy) in HERE
            marks = () if here else pytest.mark.campaign
            yield pytest.param(policy, phase, victim, marks=marks)


@pytest.mark.parametrize(("policy", "phase", "victim"), list(phases()))
def test_15_a_rank_fails_in_any_phase(
    program, tmp_path: Path, policy: str, phase: str, victim: int
) -> None:
    found = program(*dies(tmp_path, policy, phase, str(victim)), timeout_s=BOUND_S, outlives=True)
    assert found.code == (5 if policy == "shutdown" else 0), found.err
    if policy == "shutdown":
        events = told(tmp_path, [victim])
    else:
        events = went_on(tmp_path, [victim], policy)
    kind = range(4) if victim < 4 else range(4, 8)
    survived = [event for event in events if event["kind"] == "survived"]
    if phase != "drain":
        assert sorted(e["rank"] for e in survived) == [rank for rank in kind if rank != victim]
        assert len({event["kind_there"] for event in survived}) == 1, "all at the same place"


@pytest.mark.parametrize(
    ("policy", "half", "victim"),
    [
        ("recompute", "head", 1),
        pytest.param("shutdown", "tail", 6, marks=pytest.mark.campaign),
        ("shrink", "payload", 4),
        pytest.param("shutdown", "payload", 4, marks=pytest.mark.campaign),
    ],
)
@pytest.mark.shared_memory
def test_a_rank_fails_when_half_of_what_it_says_is_in_shared_memory(
    program, tmp_path: Path, policy: str, half: str, victim: int
) -> None:
    """Nobody reads that half: what was not said whole was not said."""
    found = program(*dies(tmp_path, policy, half, str(victim)), timeout_s=BOUND_S, outlives=True)
    assert found.code == (5 if policy == "shutdown" else 0), found.err
    if policy == "shutdown":
        told(tmp_path, [victim])
    else:
        went_on(tmp_path, [victim], policy)


TWO_OR_MORE = {
    "leader-and-successor": ("sync", ["4", "5"]),
    "two-instances": ("flush", ["2", "4"]),
    "20ms-apart": ("step", ["3:0", "6:20"]),
}


def two_or_more(*here: str) -> pytest.MarkDecorator:
    """These, and the others in the campaign."""
    cases = [
        pytest.param(*case, id=name, marks=() if name in here else pytest.mark.campaign)
        for name, case in TWO_OR_MORE.items()
    ]
    return pytest.mark.parametrize(("phase", "victims"), cases)


@two_or_more("two-instances")
def test_15_more_than_one_fails(program, tmp_path: Path, phase: str, victims: list[str]) -> None:
    args = dies(tmp_path, "shutdown/mpi", phase, *victims)
    found = program(*args, timeout_s=BOUND_S, outlives=True)
    assert found.code == 5, found.err
    wanted = {int(victim.partition(":")[0]) for victim in victims}
    failed = {event["rank"] for event in events_of(tmp_path) if event["kind"] == "dies"}
    # On a fast machine the job has ended before the second one comes to another step.
    assert failed == wanted or (phase == "step" and failed == {3})
    told(tmp_path, sorted(failed))


@two_or_more("leader-and-successor")
def test_15_a_job_goes_on_without_two(
    program, tmp_path: Path, phase: str, victims: list[str]
) -> None:
    over = "mpi" if phase == "sync" else "shared_memory"
    args = dies(tmp_path, f"recompute/{over}", phase, *victims)
    found = program(*args, timeout_s=BOUND_S, outlives=True)
    assert found.code == 0, found.err
    went_on(tmp_path, [int(victim.partition(":")[0]) for victim in victims], "recompute")


@pytest.mark.parametrize(
    "policy", ["shutdown", pytest.param("recompute", marks=pytest.mark.campaign)]
)
def test_15_nobody_of_an_instance_is_left(program, tmp_path: Path, policy: str) -> None:
    args = dies(tmp_path, policy, "wait", "4", "5", "6", "7")
    found = program(*args, timeout_s=BOUND_S, outlives=True)
    assert found.code == 5, found.err
    told(tmp_path, [4, 5, 6, 7])


@pytest.mark.parametrize("policy", [pytest.param("shutdown", marks=pytest.mark.campaign), "shrink"])
def test_15_the_rank_of_the_coordinator_fails(program, tmp_path: Path, policy: str) -> None:
    args = dies(tmp_path, policy, "sync", "0")
    found = program(*args, timeout_s=BOUND_S, outlives=True)
    assert found.code == 5, found.err
    assert found.err.count("adpkv: rank 0 has failed, and with it the coordinator") == 1


@pytest.mark.parametrize(
    ("rank", "site", "link", "over"),
    [
        pytest.param(2, "sync", "slots", "shared_memory", marks=pytest.mark.campaign),
        pytest.param(4, "flush", "slots", "mpi", marks=pytest.mark.campaign),
        pytest.param(5, "forward", "slots", "shared_memory", marks=pytest.mark.campaign),
        (4, "", "wide", "mpi"),
        pytest.param(4, "", "wide", "shared_memory", marks=pytest.mark.campaign),
        (2, "last", "slots", "shared_memory"),
    ],
)
def test_a_collective_that_failed_on_one_rank_alone_is_handed_to_it(
    program, tmp_path: Path, rank: int, site: str, link: str, over: str
) -> None:
    """Nobody has failed, so all of them go on as if nothing had been, transfers included."""
    found = program("torn", 8, str(tmp_path), str(rank), site, link, over, outlives=True)
    assert found.code == 0, found.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["outcome"], summary["lost"]) == ("completed", [])
    assert summary["collectives"]["over"] == over
    assert summary["violations"] == []
    assert summary["requests"]["completed"] == 60
    lines = (tmp_path / "out" / "events.jsonl").read_text().splitlines()
    events = [event for event in map(json.loads, lines) if event["kind"] == "recovered"]
    assert sorted(event["rank"] for event in events) == list(range(8))
    assert all(event["lost"] == [] and event["epoch"] == 1 for event in events)


@pytest.mark.parametrize(
    ("block_tokens", "polls"),
    [
        pytest.param(4, 3, marks=pytest.mark.campaign),
        pytest.param(512, 3, marks=pytest.mark.campaign),
        (2048, 5),
    ],
)
def test_what_moves_between_two_others_is_not_touched_by_a_failure(
    program, block_tokens: int, polls: int
) -> None:
    """Blocks of 4 KiB, 512 KiB and 2 MiB, two rank failures."""
    found = program("fence", 6, str(block_tokens), str(polls), "2", "5", outlives=True)
    assert found.code == 0, found.err
    assert found.out.strip() == "fine"


@pytest.mark.campaign
def test_other_ends_of_a_job_are_not_taken_for_a_failure(program, tmp_path: Path) -> None:
    found = program("collectives", 8, "auto", "kind_differs", outlives=True)
    assert found.code == 3
    assert found.err.count("ranks of one group are in different collectives") == 1
    found = program("collectives", 8, "auto", "one_fails", outlives=True)
    assert found.code == 70
    assert "adpkv: rank 2 failed: RuntimeError: a planted failure" in found.err
    found = program("messages", 4, "coordinator_fails", outlives=True)
    assert found.code == 70
    assert "the coordinator (beside rank 0) failed: RuntimeError: a planted failure" in found.err
    found = program("hang", 8, str(tmp_path), outlives=True)
    assert found.code == 3
    assert json.loads((tmp_path / "out" / "deadlock.json").read_text())["error"] == "deadlock"


TOGETHER = """
import os, signal, time

class Together:
    'The decode ranks meet in every step, inside MPI. Rank 3 dies before the tenth.'
    ticks_per_ns = 1

    def __init__(self):
        self.steps, self.comm = 0, None

    def line(self, batch):
        return 1_000_000, 0

    def run(self, batch):
        from mpi4py import MPI  # not where `adpkv run` reads the experiment

        time.sleep(0.001)
        self.steps += 1
        if MPI.COMM_WORLD.rank == 0 or self.steps > 10:
            return
        if self.comm is None:
            group = MPI.COMM_WORLD.Get_group().Incl([1, 2, 3])
            self.comm = MPI.COMM_WORLD.Create_group(group)
            self.comm.Set_errhandler(MPI.ERRORS_RETURN)
        if self.steps == 10 and MPI.COMM_WORLD.rank == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            self.comm.Barrier()
        except MPI.Exception:
            self.steps = 10
            self.comm.Revoke()
            raise
"""


def test_a_rank_fails_while_a_model_of_ones_own_meets_the_others(jobs, tmp_path: Path) -> None:
    """What MPI raises in the model begins the recovery, as in a collective of ours."""
    (tmp_path / "together.py").write_text(TOGETHER)
    often = {"at": "0s", "prompt_tokens": 64, "output_tokens": 8, "times": 60, "every": "20ms"}
    data = {
        "name": "together",
        "topology": {"context": {"ranks": 1}, "generation": {"ranks": 3}},
        "model": {"kind": "together:Together"},
        "workload": {"kind": "script", "requests": [often]},
        "on_rank_failure": "shrink",
        "recompute": True,
    }
    (tmp_path / "together.yaml").write_text(yaml.safe_dump(data))
    argv = [str(Path(sys.executable).with_name("adpkv")), "run", "together.yaml", "--quiet"]
    found = jobs.finish(jobs.start([*argv, "--out", "out"], cwd=tmp_path), BOUND_S)
    assert found.code == 0, found.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["lost"], summary["violations"]) == ([3], [])
    assert summary["requests"]["completed"] == summary["requests"]["submitted"] == 60
