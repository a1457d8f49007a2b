"""Scenario 15 with real processes: ranks are killed wherever they are; the others end the job
together, with every request answered once, and say whose fault it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.mpi.conftest import outlives_or_skip

pytestmark = pytest.mark.mpi

BOUND_S = 40
NOTICED_NS = 1_000_000_000


@pytest.fixture(autouse=True)
def ulfm() -> None:
    outlives_or_skip()


def told(folder: Path, lost: list[int]) -> list[dict[str, Any]]:
    """The events of a job that ended as it has to when these ranks die."""
    out = folder / "out"
    assert not list(out.glob("*.part"))
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["outcome"], summary["exit_code"]) == ("rank_lost", 5)
    assert summary["lost"] == sorted(lost)
    assert summary["violations"] == []
    assert summary["transfers"]["quarantined_now"] == 0
    events = [json.loads(line) for line in (out / "events.jsonl").open()]
    arrived = [event["request"] for event in events if event["kind"] == "arrived"]
    records = [json.loads(line) for line in (out / "requests.jsonl").open()]
    assert sorted(record["request_id"] for record in records) == arrived
    assert all(record["responses"] <= 1 for record in records)
    died_ns = max(event["at_ns"] for event in events if event["kind"] == "dies")
    recovered = [event for event in events if event["kind"] == "recovered"]
    living = set(range(8)) - set(lost)
    assert {event["rank"] for event in recovered} >= living
    assert max(event["at_ns"] for event in recovered) < died_ns + NOTICED_NS
    return events


@pytest.mark.parametrize(
    ("phase", "victim"),
    [
        ("intake", 4), ("observe", 7), ("sync", 2), ("apply", 1), ("flush", 4), ("step", 6),
        ("wait", 5), ("drain", 3),
    ],
)  # fmt: skip
def test_15_a_rank_dies_in_any_phase(program, tmp_path: Path, phase: str, victim: int) -> None:
    found = program("dies", 8, str(tmp_path), phase, str(victim), timeout_s=BOUND_S, outlives=True)
    assert found.code == 5, found.err
    events = told(tmp_path, [victim])
    kind = range(4) if victim < 4 else range(4, 8)
    survived = [event for event in events if event["kind"] == "survived"]
    if phase != "drain":
        assert sorted(e["rank"] for e in survived) == [rank for rank in kind if rank != victim]
        assert len({event["kind_there"] for event in survived}) == 1, "all at the same place"


@pytest.mark.parametrize(
    ("phase", "victims"),
    [
        ("sync", ["5", "6"]),
        ("flush", ["2", "4"]),
        ("step", ["3:0", "6:20"]),
        ("wait", ["4", "5", "6", "7"]),
    ],
    ids=["one-instance", "two-instances", "20ms-apart", "whole-instance"],
)
def test_15_more_than_one_dies(program, tmp_path: Path, phase: str, victims: list[str]) -> None:
    found = program("dies", 8, str(tmp_path), phase, *victims, timeout_s=BOUND_S, outlives=True)
    assert found.code == 5, found.err
    told(tmp_path, [int(victim.partition(":")[0]) for victim in victims])


def test_15_the_rank_of_the_coordinator_dies(program, tmp_path: Path) -> None:
    found = program("dies", 8, str(tmp_path), "sync", "0", timeout_s=BOUND_S, outlives=True)
    assert found.code == 5, found.err
    assert found.err.count("adpkv: rank 0 is dead, and with it the coordinator") == 1


@pytest.mark.parametrize(
    ("rank", "site", "wire"),
    [(2, "sync", "slots"), (4, "flush", "slots"), (5, "forward", "slots"), (4, "", "wide")],
)
def test_a_collective_that_failed_on_one_rank_alone_is_handed_to_it(
    program, tmp_path: Path, rank: int, site: str, wire: str
) -> None:
    """Nobody is dead, so all of them go on as if nothing had been; transfers may have failed."""
    found = program("torn", 8, str(tmp_path), str(rank), site, wire, outlives=True)
    assert found.code == 0, found.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["outcome"], summary["lost"]) == ("completed", [])
    assert summary["violations"] == []
    assert summary["requests"]["completed"] + summary["requests"]["failed"] == 60
    lines = (tmp_path / "out" / "events.jsonl").read_text().splitlines()
    events = [event for event in map(json.loads, lines) if event["kind"] == "recovered"]
    assert sorted(event["rank"] for event in events) == list(range(8))
    assert all(event["lost"] == [] and event["epoch"] == 1 for event in events)


def test_other_ends_of_a_job_are_not_taken_for_a_death(program, tmp_path: Path) -> None:
    found = program("meetings", 8, "kind_differs", outlives=True)
    assert found.code == 3
    assert found.err.count("ranks of one group stand in different collectives") == 1
    found = program("meetings", 8, "one_fails", outlives=True)
    assert found.code == 70
    assert "adpkv: rank 2 failed: RuntimeError: a planted failure" in found.err
    found = program("mail", 4, "coordinator_fails", outlives=True)
    assert found.code == 70
    assert "the coordinator (beside rank 0) failed: RuntimeError: a planted failure" in found.err
    found = program("hang", 8, str(tmp_path), outlives=True)
    assert found.code == 3
    assert json.loads((tmp_path / "out" / "deadlock.json").read_text())["error"] == "deadlock"
