"""A deadline measures the link, not the queue at the other side: whoever waits for its sender's
slot is told so, and waits under another limit (contract 3.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.worlds.virtual.running import Ran, differences, problems, run

REGRESSIONS = Path(__file__).parents[2] / "configs" / "regressions"


def experiment(name: str, **transceiver: Any) -> dict[str, Any]:
    """One of our regressions, under the contract."""
    data: dict[str, Any] = yaml.safe_load((REGRESSIONS / f"{name}.yaml").read_text())
    del data["policy"], data["regression"]
    data["transceiver"] |= transceiver
    return data


def both_ways(data: dict[str, Any]) -> Ran:
    jumped, stepped = (run(data, jump=jump) for jump in (True, False))
    assert differences(jumped, stepped) == []
    assert problems(jumped) == []
    return jumped


def said(ran: Ran, kind: str) -> list[int]:
    """Which requests had a transition to this state on a generation rank, in order."""
    return [event[3] for event in ran.events if event[2] == kind]


def test_six_receivers_behind_one_slot_all_complete() -> None:
    """A second of link each and three for a transfer: the last waits five for its turn."""
    ran = both_ways(experiment("06b-queue-at-the-sender"))
    assert [record.outcome for record in ran.records] == ["completed"] * 6
    assert sorted(said(ran, "peer_queued")) == [1, 2, 3, 4, 5], "the first found a slot"
    assert ran.summary["transfers"]["quarantined_peak"] == 0
    assert ran.summary["health"]["unhealthy_intervals"] == 0


@pytest.mark.parametrize("ranks", [1, 2, 8, 64])
def test_a_burst_behind_one_slot_completes_with_any_number_of_receivers(ranks: int) -> None:
    data = experiment("06-burst-behind-one-slot")
    data["topology"]["generation"]["ranks"] = ranks
    ran = both_ways(data)
    assert {record.outcome for record in ran.records} == {"completed"}
    queued = said(ran, "peer_queued")
    assert len(queued) == len(set(queued)), "each is told once"
    assert len(queued) == 0 if ranks == 1 else len(queued) >= 128 - 2 * ranks


def test_a_queue_that_is_too_long_is_told_as_one() -> None:
    """Two seconds of patience for five: two are served, the others are answered in time, and their
    blocks come back as soon as the sender says that it never started."""
    data = experiment("06b-queue-at-the-sender", wait_timeout="2500ms")
    ran = both_ways(data)
    by_outcome = [str(record.outcome) for record in ran.records]
    assert (by_outcome.count("completed"), by_outcome.count("timed_out")) == (3, 3)
    told = {record.detail for record in ran.records if record.outcome == "timed_out"}
    assert told == {"its sender had no slot for it for too long"}
    assert ran.summary["transfers"]["quarantined_now"] == 0
    for request in {r.request_id for r in ran.records if r.outcome == "timed_out"}:
        doubt, proof = (
            next(e[0] for e in ran.events if e[3] == request and e[2] == kind)
            for kind in ("quarantined", "released")
        )
        assert proof - doubt < 1_000_000, "two ways of messages"


def test_a_queue_makes_nobody_ill() -> None:
    """Nothing moves for the last receiver for longer than the progress deadline, and nothing has
    to."""
    data = experiment("06b-queue-at-the-sender", progress_deadline="2s", shutdown_grace="1s")
    ran = both_ways(data)
    assert ran.exit_code == 0
    assert ran.summary["health"]["unhealthy_intervals"] == 0


def test_a_link_that_is_too_slow_is_still_a_timeout() -> None:
    """Four seconds of link against three, whoever had to wait for it."""
    ran = both_ways(experiment("06b-queue-at-the-sender", link={"bandwidth": "160KiB"}))
    assert {record.outcome for record in ran.records} == {"timed_out"}
    assert {record.detail for record in ran.records} == {"its transfer took too long"}
    began = {event[3]: event[0] for event in ran.events if event[2] == "transferring"}
    for request, at_ns in began.items():
        given_up = next(e[0] for e in ran.events if e[3] == request and e[2] == "quarantined")
        assert given_up - at_ns >= 3_000_000_000
