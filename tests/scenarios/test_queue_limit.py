"""`executor.queue_timeout` counts from the arrival, once: for a rank and its blocks together."""

from __future__ import annotations

import pytest

from tests.scenarios.story import MS, arrival, setting, tell


@pytest.mark.parametrize(("limit", "outcome"), [("1500ms", "timed_out"), ("2500ms", "completed")])
def test_the_waits_for_a_rank_and_for_blocks_add_up(limit: str, outcome: str) -> None:
    """The third request waits for one second until a rank may own it, and for one more until that
    rank has blocks: two limits of 1.5 s would let it through, one does not. All that time it waits
    in its instance."""
    data = setting(
        "queue-limit",
        1,
        1,
        executor={
            "queue_timeout": limit,
            "max_batch_size": 2,
            "max_requests_per_rank": 2,
            "token_budget": 64,
        },
        kv_cache={"block_tokens": 64, "blocks": 17},
    )
    data["model"]["per_prefill_token"] = "1ms"
    told = tell(data, [arrival(0, 1000, 2) for _ in range(3)])
    assert told.outcomes == ["completed", "completed", outcome]
    if outcome == "timed_out":
        record = told.record(2)
        assert record.detail == "no rank had room for it within the queue limit"
        assert 1500 * MS <= record.ended_ns <= 1600 * MS
        assert "assigned" not in told.kinds(2, 0), "no rank has room for it by then"
