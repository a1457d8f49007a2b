"""Scenarios 5, 6, 7, 8: transfers that are stuck, slow, queued or late hurt nobody else."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from adpkv.worlds.virtual.run import Simulation
from tests.scenarios.story import MS, Told, arrival, setting, tell

SENDER, RECEIVER = 0, 1
"""World ranks where both groups have one rank."""


def always_at_least_one(job: Simulation) -> None:
    """Let each poll ask for one finished transfer, as upstream's loop did."""
    for program in job.programs:
        transceiver: Any = program.phases.rank.transceiver
        polled = transceiver.check_transfer_status
        transceiver.check_transfer_status = partial(polled, at_least=1)


def test_5_a_wedged_transfer_is_polled_and_left() -> None:
    data = setting(
        "wedged",
        1,
        1,
        executor={"drain_timeout": "100ms"},
        transceiver={"transfer_timeout": "300ms"},
        faults=[{"kind": "stall", "requests": [3]}],
    )
    arrivals = [arrival(10 * i, 32, 80 if i < 3 else 4) for i in range(20)]
    told = tell(data, arrivals, in_doubt=[SENDER, RECEIVER], prepare=always_at_least_one)
    assert told.outcomes == ["completed"] * 3 + ["timed_out"] + ["completed"] * 16
    wedged_ns = told.at_ns("advertised", 3, RECEIVER)
    given_up_ns = told.at_ns("quarantined", 3, RECEIVER)
    assert 300 * MS <= given_up_ns - wedged_ns <= 310 * MS, "at its deadline, to within a step"
    assert told.at_ns("responded", 3, RECEIVER) == given_up_ns
    meanwhile = [
        record
        for record in told.ran.records
        if record.outcome == "completed" and wedged_ns < record.ended_ns < given_up_ns
    ]
    assert len(meanwhile) == 16, "all that came in the meantime were served in the meantime"
    steps = [at_ns for at_ns, m in told.operations(RECEIVER) if m.kind == "step"]
    between = [at_ns for at_ns in steps if wedged_ns < at_ns < given_up_ns]
    assert len(between) > 50, "the group goes on decoding at its pace"


def test_6_burst_behind_one_slot() -> None:
    data = setting(
        "burst",
        1,
        1,
        executor={"max_batch_size": 128, "token_budget": 8192},
        kv_cache={"block_tokens": 16, "blocks": 1024, "reuse": False},
        transceiver={
            "max_inflight_transfers": 1,
            "max_inflight_transfers_per_peer": 1,
            "transfer_timeout": "60ms",
            # 32 tokens are 32 KiB: 10 ms each, 1.3 s for all.
            "link": {"latency": "20us", "bandwidth": "3276KiB"},
        },
    )
    told = tell(data, [arrival(0, 32, 4)] * 128)
    assert told.outcomes == ["completed"] * 128
    records = told.ran.records
    assert max(record.kv_transfer_ns for record in records) < 60 * MS
    waits = sorted(record.block_wait_ns for record in records)
    assert waits[-1] > 20 * 60 * MS, "the wait for a rank with a slot is many deadlines long"
    assert waits[0] < 60 * MS
    assert told.summary["latency"]["block_wait_s"]["max"] == waits[-1] / 1e9
    assert not any(record.slot_wait_ns for record in records), "none is bound before"
    assert told.summary["transfers"]["timed_out"] == 0


def _slow(name: str, faults: list[dict[str, Any]]) -> dict[str, Any]:
    return setting(
        name,
        2,
        1,
        executor={"drain_timeout": "100ms"},
        kv_cache={"block_tokens": 16, "blocks": 256, "reuse": False},
        transceiver={
            "transfer_timeout": "100ms",
            "max_inflight_transfers_per_peer": 16,
            "progress_deadline": "400ms",
            "shutdown_grace": "400ms",
        },
        faults=faults,
    )


def test_7a_slow_is_not_stuck() -> None:
    faults = [
        {"kind": "delay", "requests": [i], "duration": f"{150 + 15 * i}ms"} for i in range(20)
    ]
    told = tell(_slow("slow", faults), [arrival(0, 32, 4)] * 20 + [arrival(600, 32, 4)])
    assert told.outcomes == ["timed_out"] * 20 + ["completed"]
    assert told.summary["transfers"]["quarantined_peak"] == 20, "more than the budget of 16"
    assert told.summary["health"]["unhealthy_intervals"] == 0
    assert told.summary["exit_code"] == 0
    assert told.summary["transfers"]["quarantined_now"] == 0


def test_7b_stuck_ones_show_among_completions() -> None:
    stuck = [0, 4, 8, 12, 16, 20]  # equal ranks take turns: all of them on the first ones
    data = _slow("stuck", [{"kind": "stall", "requests": stuck}])
    told = tell(data, [arrival(10 * i, 32, 4) for i in range(300)], in_doubt=[0, 2])
    assert told.summary["outcome"] == "unhealthy"
    assert told.summary["health"]["reasons"] == ["stuck_in_quarantine"]
    assert told.summary["transfers"]["quarantined_peak"] == len(stuck)
    oldest_ns = told.at_ns("quarantined", 0, 2)
    ill_ns = round(told.summary["health"]["first_unhealthy_s"] * 1e9)
    assert 400 * MS < ill_ns - oldest_ns < 410 * MS, "by the age of the oldest"
    completed = [record for record in told.ran.records if record.outcome == "completed"]
    assert sum(oldest_ns < record.ended_ns < ill_ns for record in completed) > 30


LATE = {
    "a write": {"kind": "delay", "duration": "700ms"},
    "an end that is seen late": {"kind": "delay", "phase": "expect", "duration": "700ms"},
    "a stall that ends": {"kind": "stall", "duration": "700ms"},
}


@pytest.mark.parametrize("case", LATE)
def test_8_late_write(case: str) -> None:
    data = setting(
        "late-write",
        1,
        1,
        # The dummy's, and seven for one request of 96 + 16 tokens.
        kv_cache={"block_tokens": 16, "blocks": 8, "reuse": False},
        transceiver={"transfer_timeout": "100ms"},
        faults=[{**LATE[case], "requests": [0]}],
    )
    told = tell(data, [arrival(0, 96, 16), arrival(1, 96, 16)])
    assert told.outcomes == ["timed_out", "completed"]
    advertised_ns = told.at_ns("advertised", 0, RECEIVER)
    answered_ns = told.at_ns("responded", 0, RECEIVER)
    assert 100 * MS <= answered_ns - advertised_ns <= 110 * MS, "the client is told at once"
    released_ns = told.at_ns("released", 0, RECEIVER)
    assert released_ns - advertised_ns > 650 * MS
    _waits_for_the_blocks(told, released_ns)
    assert told.kinds(0, RECEIVER).count("responded") == 1, "no second response"
    assert told.record(0).responses == 1
    assert told.kinds(0, RECEIVER)[-1] == "released", "not revived"


def _waits_for_the_blocks(told: Told, released_ns: int) -> None:
    reserved_ns = told.at_ns("queued", 1, RECEIVER)
    assert released_ns <= reserved_ns <= released_ns + 10 * MS
