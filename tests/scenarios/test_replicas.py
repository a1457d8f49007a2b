"""Scenario 4, and what else must hold where a request is replicated over ranks (contract 5.7)."""

from __future__ import annotations

import pytest

from adpkv.errors import CollectiveMismatchError
from tests.scenarios.replicas import GROUP, R0, R1, SKEWED, late, replicas, skewed, unreduced
from tests.scenarios.story import MS, Script, Told, arrival, tell
from tests.worlds.virtual.running import examine, run


@pytest.mark.parametrize(("completes", "too_late"), [(R0, R1), (R1, R0)])
def test_4_a_deadline_that_passes_on_one_rank(completes: int, too_late: int) -> None:
    told = tell(skewed(completes, too_late), SKEWED)
    tick_ns = told.at_ns("quarantined", 1, too_late)
    assert told.at_ns("complete", 1, completes) == tick_ns, "both in the same tick"
    assert told.outcomes == ["completed", "timed_out"], "failed wins"
    assert told.record(1).tokens == 0, "on all ranks: nobody decodes it"
    assert told.at_ns("responded", 1, R0) == tick_ns, "in that tick"
    answers = [told.kinds(1, rank).count("responded") for rank in GROUP]
    assert answers == [1, 0], "and one of them says so"
    assert told.at_ns("released", 1, too_late) - tick_ns > 390 * MS
    assert told.summary["transfers"]["quarantined_now"] == 0


@pytest.mark.parametrize("jump", [True, False])
@pytest.mark.parametrize(("completes", "too_late"), [(R0, R1), (R1, R0)])
def test_4_unreduced_ranks_compute_different_batches(
    completes: int, too_late: int, jump: bool
) -> None:
    with pytest.raises(CollectiveMismatchError) as caught:
        run(
            skewed(completes, too_late),
            jump=jump,
            workload=Script(SKEWED),
            assemble=unreduced,
        )
    text = str(caught.value).splitlines()[0]
    assert text.startswith("generation-1: rank 2 is in step at forward[")
    assert ", rank 3 is in step at forward[" in text
    assert "1 sequences over" in text, "one has dropped r1"
    assert "2 sequences over" in text, "the other decodes it"


def test_completion_needs_all_ranks() -> None:
    told = tell(replicas("last", late(R1, "300ms")), SKEWED)
    assert told.outcomes == ["completed"] * 2
    complete_ns = [told.at_ns("complete", 1, rank) for rank in GROUP]
    assert complete_ns[1] - complete_ns[0] > 250 * MS
    assert told.record(1).decode_ns > 0
    began_ns = told.record(1).ended_ns - told.record(1).decode_ns
    assert complete_ns[1] <= began_ns <= complete_ns[1] + 20 * MS, "all decode when the last can"


@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.parametrize("sender", [0, 1])
def test_one_failed_shard_is_a_failed_request(sender: int, proven: bool) -> None:
    fault = {"kind": "fail", "ranks": [sender], "requests": [1], "proven": proven}
    told = tell(
        replicas("failed", fault),
        SKEWED,
        in_doubt=[] if proven else [sender, sender + 2],
    )
    assert told.outcomes == ["completed", "failed"]
    assert told.record(1).responses == 1
    assert told.record(1).tokens == 0


def pools(told: Told, request: int) -> list[int]:
    """When each rank of the generation group had blocks for a request."""
    return [told.at_ns("queued", request, rank) for rank in GROUP]


def test_blocks_come_back_when_the_last_rank_has_proof() -> None:
    """A pool for one request only: the next one waits, on both ranks for the one in doubt."""
    data = replicas(
        "late-write",
        late(R1, "700ms", request=0),
        kv_cache={"block_tokens": 16, "blocks": 8, "reuse": False},
        transceiver={"transfer_timeout": "100ms"},
    )
    told = tell(data, [arrival(0, 96, 16), arrival(1, 96, 16)])
    assert told.outcomes == ["timed_out", "completed"]
    released_ns = told.at_ns("released", 0, R1)
    assert pools(told, 1) == [released_ns] * 2, "in the tick of the proof"


def test_a_cancel_beats_what_the_ranks_found() -> None:
    """The client gives up while one rank's shard is there and the other's is not."""
    arrivals = [SKEWED[0], arrival(10, 32, 8, cancel_ms=60)]
    told = tell(replicas("cancelled", late(R1, "300ms")), arrivals)
    assert told.outcomes == ["completed", "cancelled"]
    cancelled_ns = told.at_ns("responded", 1, R0)
    assert told.at_ns("complete", 1, R0) < cancelled_ns < told.at_ns("released", 1, R1)


def test_what_is_in_doubt_at_the_end_is_kept_by_the_rank_that_doubts() -> None:
    data = replicas(
        "stuck",
        {"kind": "stall", "ranks": [1], "requests": [1]},
        executor={"drain_timeout": "100ms"},
        transceiver={"transfer_timeout": "100ms"},
    )
    told = tell(data, SKEWED, in_doubt=[1, R1])
    assert told.outcomes == ["completed", "timed_out"]


def test_a_storm_of_cancels() -> None:
    """At every phase of a request, behind one slot per rank."""
    data = replicas(
        "storm",
        late(R1, "40ms", request=5),
        late(R0, "40ms", request=7),
        transceiver={
            "max_inflight_transfers": 1,
            "max_inflight_transfers_per_peer": 1,
            "link": {"latency": "20us", "bandwidth": "8MiB"},
        },
    )
    told = tell(data, [arrival(5 * i, 32, 4, cancel_ms=7 * i % 200) for i in range(150)])
    assert {"completed", "cancelled"} <= set(told.outcomes)
    assert told.summary["transfers"]["quarantined_now"] == 0


def test_a_request_that_expires_as_its_group_stops_is_answered_once() -> None:
    """Found by `adpkv explore`: the clock of the leader jumps, so that in one iteration a request
    has waited too long for blocks and the group stops. All had voted for its end, and none had it
    any more when that was agreed."""
    waits = {"queue_timeout": "2s", "drain_timeout": "200ms"}
    limits = {
        "transfer_timeout": "100ms",
        "wait_timeout": "500ms",
        "progress_deadline": "400ms",
        "shutdown_grace": "400ms",
        "quarantine_budget": 2,
        "max_inflight_transfers": 2,
        "max_inflight_transfers_per_peer": 2,
        "link": {"bandwidth": "4MiB"},
    }
    jumps = {"kind": "skew", "ranks": [0], "count": 2, "before": "220640us", "duration": "930ms"}
    asked = [(173, 2), (1, 1)]
    data = replicas(
        "expires-at-the-stop",
        {"kind": "delay", "duration": "280ms"},
        jumps,
        seed=68_228,
        kv_cache={"block_tokens": 16, "blocks": 12, "reuse": False},
        executor=waits,
        transceiver=limits,
        workload={
            "kind": "script",
            "requests": [
                {"at": "0s", "prompt_tokens": prompt, "output_tokens": output}
                for prompt, output in asked
            ],
        },
    )
    assert examine(data) == []
    ended = sorted(run(data).records, key=lambda record: record.request_id)
    assert [str(record.outcome) for record in ended] == ["timed_out", "failed"]
