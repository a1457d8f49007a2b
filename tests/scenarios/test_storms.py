"""Scenarios 9, 14 and 16: many cancels, many changes, many timeouts, and nothing stays behind."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from adpkv.executor.messages import Cancel, CancelTransfer, Message
from adpkv.worlds.virtual.run import Simulation
from tests.scenarios.story import MS, Told, arrival, setting, tell


def say_cancels_twice(job: Simulation) -> None:
    """Each cancel arrives twice."""
    carry = job.world.post.carry

    def twice(sender: int, to: int, message: Message) -> None:
        carry(sender, to, message)
        if isinstance(message, Cancel | CancelTransfer):
            carry(sender, to, message)

    job.world.post.carry = twice  # type: ignore[method-assign]


def _storm() -> dict[str, Any]:
    return setting(
        "storm",
        1,
        1,
        executor={"max_batch_size": 8, "max_requests_per_rank": 64, "token_budget": 256},
        transceiver={
            "max_inflight_transfers": 1,
            "max_inflight_transfers_per_peer": 1,
            "link": {"latency": "20us", "bandwidth": "8MiB"},
        },
        workload={
            "kind": "closed_loop",
            "users": 24,
            "requests": 300,
            "prompt_tokens": {"min": 16, "max": 128},
            "output_tokens": {"min": 1, "max": 24},
            "cancel": {"probability": 1.0, "delay": {"min": "0s", "max": "300ms"}},
        },
    )


def _last_before_the_cancel(told: Told, request: int) -> str:
    events = told.events(request)
    when_ns = next((e[0] for e in events if e[2] == "client_cancel"), None)
    if when_ns is None:
        return "gone"
    return [str(e[2]) for e in events if e[0] <= when_ns and e[2] != "client_cancel"][-1]


def test_9_cancel_storm() -> None:
    told = tell(_storm(), prepare=say_cancels_twice)
    assert set(told.outcomes) == {"cancelled", "completed"}
    assert len(told.outcomes) == 300
    phases = {_last_before_the_cancel(told, request) for request in range(300)}
    wanted = {"routed", "prefill_began", "posted", "transferring", "gone"}
    assert phases >= wanted, "every phase was hit in which a request stays for a while"
    assert not phases & {"assigned", "queued"}, "what is bound has its blocks and its slot at once"
    for rank in (0, 1):
        assert told.job.programs[rank].phases.rank.transceiver._slots._in_use == 0
    for event in told.ran.events:
        if event[2] == "cancel_answer" and event[4]["answer"] == "cancelled_before_advertise":
            after = told.kinds(event[3], event[1])
            assert "quarantined" not in after, "what was never exposed is freed at once"


def test_9_cancel_twice_is_cancel_once() -> None:
    once, twice = tell(_storm()), tell(_storm(), prepare=say_cancels_twice)
    assert once.ran.records == twice.ran.records
    counts = [dict(told.summary["transfers"]) for told in (once, twice)]
    assert counts[0].pop("late") <= counts[1].pop("late"), "the second word is late, and counted"
    assert counts[0] == counts[1]


R0, R1, R2, R3 = range(4, 8)


def test_14_refused_dummy_and_lingering_error() -> None:
    data = setting(
        "dummies",
        4,
        4,
        executor={"drain_timeout": "100ms"},
        kv_cache={"block_tokens": 16, "blocks": 16, "reuse": False},
        transceiver={"transfer_timeout": "100ms"},
        model={"step_base": "1ms", "per_prefill_token": "0s"},
        faults=[
            {"kind": "stall", "requests": [0]},
            {"kind": "fail", "requests": [1], "phase": "post", "proven": False},
        ],
    )
    # R1's pool is full with the first, R2 keeps most of its own for the second; only R0 works.
    arrivals = [arrival(0, 160, 80, wanted=1), arrival(0, 160, 30, wanted=2)]
    arrivals += [arrival(300 + 20 * i, 16, 2 + i % 2, wanted=0) for i in range(510)]
    told = tell(data, arrivals, in_doubt=[1, 2, R1, R2])
    assert told.outcomes == ["timed_out", "failed"] + ["completed"] * 510
    assert told.report(R1).blocks.quarantined == 15, "all but the dummy's"
    assert told.report(R2).blocks.quarantined == 12
    kinds = [m.kind for _, m in told.operations(R1) if m.kind in ("step", "wait")]
    changes = len(list(groupby(kinds))) - 1
    assert changes >= 1_000, "idle and active in turn, on the rank that has nothing"
    for rank in range(8):
        serving = told.job.programs[rank].phases.rank.serving
        assert serving.pool.counts().active == 0, "no dummy is left"
    assert all(record.responses == 1 for record in told.ran.records)


def test_16_no_restart_loop() -> None:
    data = setting(
        "burst-of-timeouts",
        1,
        1,
        executor={"max_batch_size": 64},
        kv_cache={"block_tokens": 16, "blocks": 512, "reuse": False},
        transceiver={
            "transfer_timeout": "50ms",
            "max_inflight_transfers_per_peer": 16,
            "progress_deadline": "1s",
        },
        faults=[{"kind": "delay", "before": "300ms", "duration": "400ms"}],
    )
    burst = [arrival(i % 4, 32, 4) for i in range(50)]
    told = tell(data, [*burst, *(arrival(2_000 + 10 * i, 32, 4) for i in range(50))])
    assert told.outcomes[:16] == ["timed_out"] * 16
    assert told.outcomes[50:] == ["completed"] * 50
    assert told.summary["exit_code"] == 0
    assert told.summary["health"]["unhealthy_intervals"] == 0
    assert told.job.world.queue.now > 2_000 * MS
