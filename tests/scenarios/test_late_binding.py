"""Contract 9: a request waits in its instance until a rank can take it, in whole runs."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest

from adpkv.core.router import POLICIES
from adpkv.workload.port import Arrival
from tests.scenarios.story import MS, Told, arrival, setting, tell


def _bound_at_once(told: Told) -> None:
    """Whoever is given a request has its blocks, and begins with it, at the same instant."""
    begun = {(e[1], e[3]): e[0] for e in told.ran.events if e[2] in ("prefill_began", "advertised")}
    given = [(e[0], (e[1], e[3])) for e in told.ran.events if e[2] == "assigned"]
    assert given
    for at_ns, whom in given:
        assert begun[whom] == at_ns, f"(rank, request) {whom} waits on its rank"


STALLED: dict[str, Any] = {
    "kv_cache": {"block_tokens": 64, "blocks": 17, "reuse": False},
    "transceiver": {
        "transfer_timeout": "100ms",
        "wait_timeout": "2s",
        "progress_deadline": "30s",
        "shutdown_grace": "60s",
    },
    "executor": {"queue_timeout": "2s", "drain_timeout": "100ms"},
}


def test_a_stuck_transfer_does_not_starve_the_rank_beside_it() -> None:
    """The first request's blocks fill a rank at both ends for good; the others fit beside."""
    data = setting("starved", 2, 2, **STALLED, faults=[{"kind": "stall", "requests": [0]}])
    told = tell(data, [arrival(0, 1000, 4), *(arrival(50 + 40 * i, 640, 4) for i in range(10))],
                in_doubt=[0, 2])  # fmt: skip
    assert told.outcomes == ["timed_out", *["completed"] * 10]
    assert {told.record(i).context_rank for i in range(1, 11)} == {1}
    assert {told.record(i).generation_rank for i in range(1, 11)} == {3}
    _bound_at_once(told)


def test_who_waits_for_a_full_rank_of_its_choice_keeps_nobody_waiting() -> None:
    data = setting("choosy", 2, 2, **STALLED, faults=[{"kind": "stall", "requests": [0]}])
    waiting = [arrival(20, 640, 2, wanted=0) for _ in range(12)]
    told = tell(data, [arrival(0, 1000, 2), *waiting, *(arrival(60, 640, 2) for _ in range(6))],
                in_doubt=[0, 2])  # fmt: skip
    assert told.outcomes == ["timed_out"] * 13 + ["completed"] * 6
    assert all(told.record(i).ended_ns < 1_000 * MS for i in range(13, 19))
    assert {told.record(i).detail for i in range(1, 13)} == {
        "no rank had room for it within the queue limit"
    }


@pytest.mark.parametrize("policy", POLICIES)
def test_a_long_prompt_among_short_ones_gets_its_turn(policy: str) -> None:
    """Short ones come faster than a rank serves them, so it never is empty by itself."""
    data = setting(
        "patience",
        1,
        2,
        kv_cache={"block_tokens": 16, "blocks": 17, "reuse": False},
        executor={"token_budget": 64},
        router={"most_overtaken": 6, "policy": policy},
    )
    shorts = [arrival(3 * i, 56, 2) for i in range(120)]
    told = tell(data, [*shorts, arrival(100, 250, 2)])
    assert told.outcomes == ["completed"] * 121
    long = next(r for r in told.ran.records if r.prompt_tokens == 250)
    given_ns = told.at_ns("assigned", long.request_id, 0)
    after = [r for r in told.ran.records if r.request_id > long.request_id]
    before = sum(told.at_ns("assigned", r.request_id, 0) < given_ns for r in after)
    assert 0 < before <= 2 * 6, "it was overtaken, and not for ever"


def test_a_shared_prefix_in_use_makes_room_for_whoever_shares_it() -> None:
    """Eight blocks of a prompt are the same, two its own: eight of them are in one pool of 24 at
    once, where two without a common prefix would be."""
    data = setting(
        "shared",
        1,
        1,
        kv_cache={"block_tokens": 16, "blocks": 25},
        executor={"token_budget": 32},
        transceiver={"link": {"latency": "20us", "bandwidth": "1MiB"}},
    )
    same = tuple(range(1, 9))
    told = tell(data, [Arrival(0, 160, 2, (*same, 100, 101))] + [
        Arrival(60 * MS, 160, 2, (*same, 200 + 2 * i, 201 + 2 * i)) for i in range(8)
    ])  # fmt: skip
    assert told.outcomes == ["completed"] * 9
    assert told.summary["rates"]["prefix_hit_rate"] > 0.6
    begun = [(e[0], 1) for e in told.ran.events if e[1:3] == (0, "prefill_began")]
    over = [(e[0], -1) for e in told.ran.events if e[1:3] == (0, "complete")]
    assert max(accumulate(change for _, change in sorted([*begun, *over]))) == 8
    _bound_at_once(told)
