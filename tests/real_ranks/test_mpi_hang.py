"""Ranks that wait for one that never comes say who is where, and end the job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real_ranks.conftest import outlives_or_skip


def test_an_absent_rank_is_named(program, tmp_path: Path) -> None:
    found = program("hang", 8, str(tmp_path), timeout_s=60)
    assert found.code == 3, found.err
    assert found.err.count("who is where") == 1, "one speaks for all"
    assert "adpkv: missing participant in generation-1" in found.err
    assert "rank 6 never came to tp_allgather" in found.err
    told = json.loads((tmp_path / "out" / "deadlock.json").read_text())
    assert told["error"] == "deadlock"
    assert "for one that does not come" in told["message"]
    assert (told["kind"], told["outliers"]) == ("missing participant", [6])
    places = {place["rank"]: (place["kind"], place["site"]) for place in told["places"]}
    assert places[6] == ("poll", "at_least=1")
    assert {places[rank] for rank in (4, 5, 7)} == {("tp_allgather", "sync")}


def test_who_reports_for_all_is_given_the_time_to(program, tmp_path: Path) -> None:
    """As on a busy machine: the other ranks had ended the job after two seconds, without a word."""
    found = program("hang", 8, str(tmp_path), "slow", timeout_s=60)
    assert found.code == 3, found.err
    assert "rank 6 never came to tp_allgather" in found.err
    assert json.loads((tmp_path / "out" / "deadlock.json").read_text())["outliers"] == [6]


@pytest.mark.parametrize(
    "victim",
    [
        pytest.param(5, id="a-follower", marks=pytest.mark.campaign),
        pytest.param(4, id="the-leader"),
    ],
)
def test_an_absent_rank_is_named_though_another_has_failed(
    program, tmp_path: Path, victim: int
) -> None:
    """The job has outlived that failure; nobody waits for the failed ranks."""
    outlives_or_skip()
    found = program("hang", 8, str(tmp_path), str(victim), timeout_s=60, outlives=True)
    assert found.code == 3, found.err
    assert found.err.count("who is where") == 1, "one speaks for all"
    told = json.loads((tmp_path / "out" / "deadlock.json").read_text())
    assert (told["kind"], told["outliers"]) == ("missing participant", [6])
    assert "rank 6 never came to tp_allgather" in told["diagnosis"]
    assert f"rank {victim}" not in told["diagnosis"]
    states = {rank: one["state"] for one in told["classes"] for rank in one["ranks"]}
    assert [rank for rank in states if states[rank] == "failed"] == [victim]
