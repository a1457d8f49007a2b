"""Scenarios 10 and 11: clean-up, deadlines and health do not need new work to happen."""

from __future__ import annotations

from itertools import pairwise

from tests.scenarios.story import MS, Told, arrival, setting, tell

SENDER, RECEIVER = 0, 1

TIGHT = {"block_tokens": 16, "blocks": 8, "reuse": False}
"""The dummy's, and seven for one request of 96 + 16 tokens."""


def test_10_circular_starvation() -> None:
    data = setting(
        "starvation",
        1,
        1,
        kv_cache=TIGHT,
        transceiver={"transfer_timeout": "200ms"},
        faults=[{"kind": "delay", "requests": [0], "duration": "2s"}],
    )
    told = tell(data, [arrival(0, 96, 16), arrival(0, 96, 16)])
    assert told.outcomes == ["timed_out", "completed"]
    released_ns = told.at_ns("released", 0, RECEIVER)
    assert told.at_ns("queued", 1, RECEIVER) - released_ns <= 10 * MS
    began_ns = told.at_ns("advertised", 0, RECEIVER)
    meanwhile = [m.kind for at_ns, m in told.operations(RECEIVER) if began_ns < at_ns < released_ns]
    assert "step" not in meanwhile, "nothing can be scheduled"
    assert meanwhile.count("wait") > 100, "and still it looks, every 10 ms"


def test_10_a_sender_full_of_prompts_that_nobody_will_fetch() -> None:
    data = setting("unfetched", 1, 1, kv_cache=TIGHT)
    # The second waits in the generation instance for blocks, is cancelled there, and holds all of
    # the context rank's blocks until that rank hears of it.
    arrivals = [
        arrival(0, 96, 16),
        arrival(5, 96, 16, cancel_ms=60),
        arrival(10, 96, 16),
    ]
    told = tell(data, arrivals)
    assert told.outcomes == ["completed", "cancelled", "completed"]
    freed_ns = told.at_ns("cancelled", 1, SENDER)
    assert 0 <= told.at_ns("prefill_began", 2, SENDER) - freed_ns <= 10 * MS


def _waits_ns(told: Told, rank: int, since_ns: int, until_ns: int) -> list[int]:
    times = [at_ns for at_ns, _ in told.operations(rank)]
    inside = [at_ns for at_ns in times if since_ns <= at_ns <= until_ns]
    return [later - earlier for earlier, later in pairwise(inside)]


def test_11_idle_sleep_delivers_the_completion() -> None:
    data = setting(
        "idle-sleep", 2, 2, faults=[{"kind": "delay", "requests": [0], "duration": "3s"}]
    )
    told = tell(data, [arrival(0, 32, 4, wanted=1)])
    assert told.outcomes == ["completed"]
    advertised_ns, complete_ns = (told.at_ns(kind, 0, 3) for kind in ("advertised", "complete"))
    assert complete_ns - advertised_ns >= 3_000 * MS
    for rank in range(4):
        waits = _waits_ns(told, rank, advertised_ns + 1 * MS, complete_ns)
        assert 0 < max(waits) < 11 * MS, f"rank {rank}: all of the group, for one rank's transfer"
    assert told.record(0).ended_ns - complete_ns < 50 * MS


def test_11_idle_sleep_still_times_out_and_judges_health() -> None:
    data = setting(
        "idle-stuck",
        2,
        2,
        executor={"drain_timeout": "100ms"},
        transceiver={
            "transfer_timeout": "1s",
            "progress_deadline": "2s",
            "shutdown_grace": "1s",
        },
        faults=[{"kind": "stall", "requests": [0]}],
    )
    # The second comes so late that nothing else can wake anybody.
    told = tell(data, [arrival(0, 32, 4, wanted=1), arrival(60_000, 32, 4)], in_doubt=[1, 3])
    advertised_ns = told.at_ns("advertised", 0, 3)
    assert told.at_ns("quarantined", 0, 3) - advertised_ns - 1_000 * MS in range(11 * MS)
    assert told.outcomes == ["timed_out"]
    assert told.summary["outcome"] == "unhealthy"
    first_ns = round(told.summary["health"]["first_unhealthy_s"] * 1e9)
    assert first_ns - advertised_ns - 2_000 * MS in range(11 * MS)
    assert told.job.world.queue.now < 4_000 * MS


def test_11_with_nothing_open_the_wait_is_longer_and_bounded() -> None:
    told = tell(setting("idle", 1, 1), [arrival(0, 32, 4), arrival(5_000, 32, 4)])
    assert told.outcomes == ["completed"] * 2
    waits = _waits_ns(told, RECEIVER, 1_000 * MS, 5_000 * MS)
    assert 499 * MS < max(waits) < 501 * MS
