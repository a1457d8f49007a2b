"""Scenario 15 with `on_rank_failure: shrink`: a rank fails, wherever it is, and its group goes on
without it. What went with it is answered as failed, or computed again; nothing else is touched."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from adpkv.core.session import Event
from adpkv.executor.reasons import WHY
from tests.scenarios.story import Script, arrival, setting
from tests.scenarios.test_failed_rank import PHASES, detail_of, dies
from tests.worlds.virtual.running import Ran, run

REQUESTS = 300

EACH_PLACE = pytest.mark.parametrize(
    "victim", [1, 4, *(pytest.param(rank, marks=pytest.mark.campaign) for rank in (3, 6))]
)
"""A follower and a leader; then the last of a group, and one in the middle."""


def tell(victim: int, phase: str, *, wanted: bool = False, **sections: Any) -> Ran:
    data = setting(
        "shrunk", 4, 4, executor={"drain_timeout": "200ms"}, on_rank_failure="shrink", **sections
    )
    data["model"]["per_prefill_token"] = "250us"  # each rank always has a prompt to compute
    arrivals = [
        arrival(
            (120 if phase == "wait" else 3) * i, 32, 8 + i % 9, wanted=i % 4 if wanted else None
        )
        for i in range(REQUESTS)
    ]
    return run(
        data,
        jump=False,
        workload=Script(arrivals),
        assemble=dies(victim, phase),
        most_events=499_999,
    )


def went_on(ran: Ran, victim: int) -> None:
    """All that must hold whenever one rank fails and its group goes on."""
    assert ran.exit_code == 0
    assert (ran.summary["outcome"], ran.summary["lost"]) == ("completed", [victim])
    assert ran.summary["violations"] == []
    assert ran.summary["transfers"]["quarantined_now"] == 0
    assert sorted(record.request_id for record in ran.records) == list(range(REQUESTS))
    assert all(record.responses <= 1 for record in ran.records)
    assert sorted(report.rank for report in ran.reports) == [r for r in range(8) if r != victim]
    for instance, blocks in ran.summary["blocks"].items():
        assert blocks["free"] + blocks["cached"] == blocks["total"], instance


@pytest.mark.parametrize("phase", PHASES)
@EACH_PLACE
def test_15_what_a_failed_rank_had_fails_and_nothing_else(victim: int, phase: str) -> None:
    ran = tell(victim, phase)
    went_on(ran, victim)
    failed = [record for record in ran.records if record.outcome != "completed"]
    assert {record.detail for record in failed} <= {detail_of(victim), WHY[Event.PEER_LOST]}
    assert failed or phase == "wait"
    assert len(failed) < 60
    failed_ns = min(e[0] for e in ran.events if e[2] == "survived")
    later = [record for record in ran.records if record.arrival_ns > failed_ns]
    assert len(later) > 100
    assert {record.outcome for record in later} == {"completed"}
    assert victim not in {r.context_rank for r in later} | {r.generation_rank for r in later}


@pytest.mark.parametrize("phase", PHASES)
@EACH_PLACE
def test_15_what_a_failed_rank_had_is_computed_again(victim: int, phase: str) -> None:
    ran = tell(victim, phase, recompute=True)
    went_on(ran, victim)
    assert {record.outcome for record in ran.records} == {"completed"}
    again = [e for e in ran.events if e[2] == "recomputed"]
    assert again or phase == "wait"
    assert ran.summary["recomputed"] == len(again) < 60
    assert {r.request_id for r in ran.records if r.recomputed} == {e[3] for e in again}


@pytest.mark.parametrize("victim", [1, 6])
def test_15_who_wants_the_failed_rank_is_told(victim: int) -> None:
    """The other ranks keep their places: a wish for the third rank is still one for the third."""
    ran = tell(victim, "sync", wanted=True)
    went_on(ran, victim)
    failed_ns = min(e[0] for e in ran.events if e[2] == "survived")
    for record in ran.records:
        if record.arrival_ns < failed_ns:
            continue
        wanted = record.request_id % 4
        if wanted == victim % 4:
            assert record.detail == f"wants rank {wanted} of its instance, which has failed"
        else:
            assert record.outcome == "completed"
            assert record.context_rank == wanted
            assert record.generation_rank == 4 + wanted


def lose(
    failed: list[int], phase: str, apart_ms: int, *, slow_link: bool = False, **kinds: Any
) -> Ran:
    """A job of which these ranks are killed, in this order or together."""
    data = setting(
        "losing", 0, 0, topology=kinds, on_rank_failure="shrink", recompute=True,
        executor={"drain_timeout": "60s"},
        faults=[
            {"kind": "sigkill", "ranks": [rank], "after": f"{after}ms", "phase": phase}
            for after, rank in zip(count(500, apart_ms), failed)
        ],
    )  # fmt: skip
    if slow_link:
        # What was computed waits for a slot: much is only to be fetched when its rank fails.
        data["transceiver"] = {
            "max_inflight_transfers": 2, "max_inflight_transfers_per_peer": 1,
            "transfer_timeout": "60s", "wait_timeout": "300s", "link": {"bandwidth": "2MiB"},
        }  # fmt: skip
    arrivals = [arrival(4 * i, 64, 8 + i % 9) for i in range(REQUESTS)]
    return run(data, workload=Script(arrivals), most_events=999_999)


def nothing_is_lost(ran: Ran, failed: list[int]) -> None:
    """The coordinator heard of all the failed ranks, and everything was computed in the end."""
    assert ran.exit_code == 0
    assert ran.summary["violations"] == []
    assert ran.summary["lost"] == sorted(failed) == sorted(ran.job.coordinator.failed)
    assert {(record.outcome, record.detail) for record in ran.records} == {("completed", "")}
    assert ran.summary["recomputed"] > 0


@pytest.mark.parametrize("failed", [[2, 3], [3, 2], [2, 3, 4], [4, 2, 3]])
@pytest.mark.parametrize("apart_ms", [0, pytest.param(1, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("phase", ["intake", "sync", "flush", "step"])
def test_15_a_leader_fails_together_with_who_would_lead_next(
    failed: list[int], phase: str, apart_ms: int
) -> None:
    ran = lose(failed, phase, apart_ms, context={"ranks": 2}, generation={"ranks": 6})
    nothing_is_lost(ran, failed)


@pytest.mark.parametrize("apart_ms", [0, 1])
@pytest.mark.parametrize(("ranks", "failed"), [(4, [4, 5]), (4, [5, 4]), (2, [2, 3]), (2, [3, 2])])
def test_15_what_waits_to_be_fetched_from_the_failed_is_computed_again(
    ranks: int, failed: list[int], apart_ms: int
) -> None:
    """Of a group, or of an instance of which nobody is left."""
    kinds = {"context": {"instances": 2, "ranks": ranks}, "generation": {"ranks": 2}}
    nothing_is_lost(lose(failed, "sync", apart_ms, slow_link=True, **kinds), failed)


def test_15_the_survivors_share_one_value_of_who_is_left() -> None:
    """A list on each rank makes the memory of a large group grow with the square of its ranks."""
    ran = tell(5, "step")
    ranks = [ran.job.programs[rank].phases.rank for rank in (4, 6, 7)]  # type: ignore[attr-defined]
    assert list(ranks[0].members) == [4, 6, 7]
    assert len({id(rank.succession.membership) for rank in ranks}) == 1
    assert {id(rank.limits.gone) for rank in ranks} == {id(ranks[0].succession.membership.failed)}
