"""What is measured is what a client feels: each wait shows in the column that it belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.core.columns import COLUMNS
from tests.scenarios.story import MS, arrival, setting, tell
from tests.worlds.virtual.running import differences, problems, run

FREE = dict.fromkeys(
    ("step_base", "per_prefill_token", "per_prefill_pair", "per_sequence", "per_context_token"),
    "0s",
)


def mean_ms(summary: dict[str, Any], key: str) -> float:
    return float(summary["latency"][key]["mean"]) * 1e3


def test_a_wait_for_a_place_has_a_column() -> None:
    """Twenty requests for one seat: five seconds each, and not one of them in no column."""
    data = setting(
        "time-in-no-column",
        1,
        1,
        executor={"max_requests_per_rank": 1, "max_batch_size": 1},
        workload={
            "kind": "script",
            "requests": [{"at": "0s", "prompt_tokens": 64, "output_tokens": 100, "times": 20}],
        },
    )
    ran = run(data)
    assert problems(ran) == []
    means = {column: mean_ms(ran.summary, f"{column}_s") for column in COLUMNS}
    e2e = mean_ms(ran.summary, "e2e_s")
    assert sum(means.values()) == pytest.approx(e2e)
    assert means["decode"] == pytest.approx(99 * 5.06, rel=0.02)
    assert means["block_wait"] > 0.85 * (e2e - means["decode"])
    assert mean_ms(ran.summary, "ttft_s") == pytest.approx(
        e2e - means["decode_queue"] - means["decode"]
    )


def test_a_slow_link_is_felt_in_the_time_to_the_first_token() -> None:
    def latency(link: str) -> dict[str, Any]:
        link = {"latency": link, "bandwidth": "1GiB"}
        data = setting("link", 1, 1, transceiver={"link": link})
        return tell(data, [arrival(100 * i, 32, 8) for i in range(10)]).summary

    fast, slow = latency("1ms"), latency("501ms")
    more = mean_ms(slow, "ttft_s") - mean_ms(fast, "ttft_s")
    assert more == pytest.approx(500, abs=20)
    assert mean_ms(slow, "kv_transfer_s") - mean_ms(fast, "kv_transfer_s") == pytest.approx(more)
    assert mean_ms(slow, "context_ttft_s") == mean_ms(fast, "context_ttft_s")


def test_a_queue_at_the_sender_is_not_the_link() -> None:
    """640 KiB take a second each, one at a time."""
    one = {"max_inflight_transfers": 1, "max_inflight_transfers_per_peer": 1}
    data = setting(
        "there",
        1,
        6,
        transceiver=one | {"link": {"bandwidth": "640KiB"}},
        kv_cache={"block_tokens": 16, "blocks": 512, "reuse": False},
    )
    told = tell(data, [arrival(0, 640, 4)] * 6)
    there = sorted(record.peer_slot_wait_ns for record in told.ran.records)
    assert [round(wait_ns / 1e9) for wait_ns in there] == [0, 1, 2, 3, 4, 5]
    assert all(abs(r.kv_transfer_ns - 1000 * MS) < 60 * MS for r in told.ran.records)


def test_one_token_is_complete_with_its_prefill() -> None:
    told = tell(setting("one", 1, 1), [arrival(0, 32, 1)])
    record = told.record(0)
    assert record.first_token_ns == record.ended_ns
    assert (record.decode_ns, record.kv_transfer_ns, record.tokens) == (0, 0, 1)
    assert told.summary["latency"]["itl_s"]["p50"] is None


def test_the_first_gap_has_the_wait_for_the_batch() -> None:
    """A step of 5 ms is under way as the second request's KV comes."""
    told = tell(setting("gaps", 1, 1), [arrival(0, 16, 40), arrival(33, 16, 3)])
    record = told.record(1)
    assert 0 <= record.decode_queue_ns < 6 * MS
    gaps = told.summary["latency"]["itl_s"]
    e2e = [r.ended_ns - r.first_token_ns for r in told.ran.records]
    assert gaps["mean"] * 41 * 1e9 == pytest.approx(sum(e2e)), "39 and 2 gaps"
    assert gaps["max"] * 1e9 >= record.decode_queue_ns + 5 * MS


def test_a_cancel_while_it_decodes_says_how_many_tokens_came() -> None:
    told = tell(setting("cancelled", 1, 1), [arrival(0, 16, 400, cancel_ms=500)])
    record = told.record(0)
    assert 0 < record.first_token_ns < record.ended_ns
    assert record.tokens == pytest.approx(record.decode_ns / (5.06 * MS), abs=2)


@pytest.mark.parametrize("attention", ["data_parallel", "replicated"])
def test_utilisation_counts_a_token_once(attention: str) -> None:
    data = setting("used", 2, 2)
    data["topology"]["attention"] = attention
    told = tell(data, [arrival(0, 32, 11)] * 4)
    found = told.summary["utilisation"]
    computed = found["context-0"]["tokens_per_step"] * found["context-0"]["steps"]
    assert computed == pytest.approx(4 * 32)
    made = found["generation-1"]["tokens_per_step"] * found["generation-1"]["steps"]
    assert made == pytest.approx(4 * 10)
    assert 0 < found["generation-1"]["step_share"] <= 1


def test_what_is_cached_counts_as_hit() -> None:
    data = setting("hits", 1, 1, kv_cache={"block_tokens": 16, "blocks": 64, "reuse": True})
    data["workload"] |= {
        "requests": 2,
        "prompt_tokens": {"min": 64, "max": 64},
        "shared_prefix": {"tokens": 32, "groups": 1},
    }
    ran = run(data)
    assert ran.summary["rates"]["prefix_hit_rate"] == pytest.approx(0.25)


def test_goodput_is_what_keeps_the_objective() -> None:
    data = setting("good", 1, 1, slo={"e2e": "60ms"})
    told = tell(data, [arrival(0, 16, 4), arrival(200, 16, 40)])
    assert told.summary["rates"]["slo_attainment"] == 0.5
    assert told.summary["rates"]["goodput_per_s"] == pytest.approx(
        1 / told.summary["rates"]["serving_s"]
    )


def test_steps_that_cost_nothing_have_gaps_too() -> None:
    data = setting("free", 1, 1, model=FREE | {"collective": "0s"})
    jumped, stepped = (run(data, jump=jump) for jump in (True, False))
    assert differences(jumped, stepped) == []
