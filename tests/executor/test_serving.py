"""Requests on their rank: answered once, blocks let go only when nobody touches them."""

from __future__ import annotations

import pytest
from executor_parts import (
    Notes,
    begun,
    context,
    finished,
    free,
    generation,
    landed,
    outcomes,
    spec,
    stepped,
)

from adpkv.core.request import RequestState
from adpkv.core.session import Event, State
from adpkv.core.tombstones import NEVER_POSTED
from adpkv.core.values import Outcome
from adpkv.executor.audit import block_counts
from adpkv.executor.leases import MOST_RELEASED, REQUEST_BITS

# -- generation --------------------------------------------------------------------------------


def test_received_then_decoded_then_answered() -> None:
    notes = Notes()
    serving = generation(notes)
    blocks = free(serving)
    begun(serving, 1)
    assert not serving.has_work()
    landed(serving, 1)
    assert serving.has_work()
    batch, most, *_ = serving.batch(0)
    assert (batch.sequences, batch.context_tokens, most) == (1, 11, 2)
    stepped(serving, 2, 9)
    assert outcomes(serving) == [(1, Outcome.COMPLETED)]
    assert (free(serving), serving.requests, notes.violations) == (blocks, {}, [])
    assert (serving.open_tokens, serving.open_requests) == (0, 0)


def test_a_cancel_in_flight_answers_now_and_frees_later() -> None:
    serving = generation()
    blocks = free(serving)
    begun(serving, 1)
    serving.cancel(1, 3)
    serving.decisions.resolve(3)
    assert outcomes(serving) == [(1, Outcome.CANCELLED)]
    assert serving.pool.counts().quarantined == 4, "kept, and counted"
    serving.retry_pending(4)
    assert list(serving.pending_resource_release) == [1], "asked again, and still in doubt"
    finished(serving, 1, Event.ENDED)
    serving.retry_pending(6)
    assert (free(serving), outcomes(serving)) == (blocks, [])
    assert serving.pending_resource_release == {}


def test_a_late_completion_revives_nothing() -> None:
    """Scenario 8: the client was told; what lands later only frees the blocks."""
    serving = generation()
    begun(serving, 1)
    serving.transceiver.on_peer_message(1, 0, Event.BEGAN, 0)
    serving.transceiver.expire(1000)
    serving.decisions.resolve(1000)
    assert outcomes(serving) == [(1, Outcome.TIMED_OUT)]
    landed(serving, 1)
    serving.retry_pending(1001)
    assert (outcomes(serving), serving.has_work(), serving.requests) == ([], False, {})


def test_a_proven_failure_frees_at_once() -> None:
    serving = generation()
    blocks = free(serving)
    begun(serving, 1)
    finished(serving, 1, Event.ENDED)
    assert outcomes(serving) == [(1, Outcome.FAILED)]
    assert free(serving) == blocks


def test_a_lie_is_seen_and_its_request_fails() -> None:
    notes = Notes()
    serving = generation(notes)
    blocks = free(serving)
    begun(serving, 1)
    finished(serving, 1, Event.DONE)
    assert outcomes(serving) == [(1, Outcome.FAILED)]
    assert [v.kind for v in notes.violations] == ["wrong_kv"]
    assert free(serving) == blocks


@pytest.mark.parametrize("looks", [True, False])
def test_kv_overwritten_while_it_is_decoded_is_seen_at_the_end(looks: bool) -> None:
    """What the client is told is the same, whether somebody looks or not."""
    notes = Notes()
    serving = generation(notes, verify_at_end=looks)
    begun(serving, 1)
    landed(serving, 1)
    lease = serving.requests[1].lease
    assert lease is not None
    serving.memory.land(-1, lease.blocks[:1], whole=False)  # type: ignore[attr-defined]
    stepped(serving, 3, 9)
    assert outcomes(serving) == [(1, Outcome.COMPLETED)]
    kinds = [violation.kind for violation in notes.violations]
    assert kinds == ["write_after_free", "wrong_kv"][: 2 if looks else 1]
    if looks:
        assert "overwritten after arrival" in notes.violations[-1].detail


def test_leases_lead_to_requests_also_when_they_are_released() -> None:
    serving = generation()
    begun(serving, 1, 2)
    first, second = (serving.requests[i].lease.number for i in (1, 2))  # type: ignore[union-attr]
    landed(serving, 1)
    stepped(serving, 3, 9)
    assert 1 not in serving.requests
    assert serving.holders((first, second)) == (1, 2)
    assert serving.holders((second, 77, -1)) == (2,)


@pytest.mark.parametrize("request_id", [-1, 1 << REQUEST_BITS])
def test_a_request_that_would_be_read_back_as_another_lease_is_an_error(request_id: int) -> None:
    serving = context()
    serving.assign(spec(request_id), 0)
    serving.admit(0)
    with pytest.raises(AssertionError):
        serving.leases.take_back(serving.requests[request_id])
    assert serving.leases.recent() == ()


def test_the_last_released_leases_are_remembered_and_no_more() -> None:
    serving = generation()
    for i in range(MOST_RELEASED + 3):
        begun(serving, i)
        landed(serving, i)
        stepped(serving, 3, 9)
    recent = serving.leases.recent()
    assert [request for _, request in recent] == [*range(3, MOST_RELEASED + 3)]
    assert [number for number, _ in recent] == sorted({number for number, _ in recent})


def test_who_waits_for_blocks_is_served_when_they_are_proven_quiescent() -> None:
    """Scenario 8 and 10: a full pool, and no forward step needed to clean up."""
    serving = generation()
    begun(serving, 1, 2, 3, 4)
    begun(serving, 5)
    assert serving.requests[5].state is RequestState.WAITING
    serving.cancel(1, 1)
    begun(serving)
    assert serving.requests[5].state is RequestState.WAITING, "in doubt is not free"
    finished(serving, 1, Event.ENDED)
    serving.retry_pending(2)
    begun(serving)
    assert serving.requests[5].state is RequestState.RECEIVING


def test_no_more_sequences_than_the_batch_has_room_for() -> None:
    serving = generation(most=1)
    begun(serving, 1, 2)
    states = [serving.requests[i].state for i in (1, 2)]
    assert states == [RequestState.RECEIVING, RequestState.WAITING]
    serving.cancel(2, 1)
    serving.decisions.resolve(1)
    assert outcomes(serving) == [(2, Outcome.CANCELLED)]
    assert len(serving.waiting) == 0


def test_a_cancel_while_decoding_leaves_the_batch() -> None:
    serving = generation()
    begun(serving, 1)
    landed(serving, 1)
    serving.cancel(1, 7)
    serving.cancel(1, 7)
    serving.cancel(99, 7)
    assert outcomes(serving) == [(1, Outcome.CANCELLED)]
    assert not serving.has_work()


def test_stopping_answers_everybody_once() -> None:
    serving = generation(most=2)
    begun(serving, 1, 2, 3)
    landed(serving, 1)
    serving.cancel(2, 7)
    serving.decisions.resolve(7)
    outcomes(serving)
    for _ in range(2):
        serving.stop(8, "the end")
        serving.decisions.resolve(8)
    assert outcomes(serving) == [(1, Outcome.FAILED), (3, Outcome.FAILED)]


# -- context -----------------------------------------------------------------------------------


def test_prefilled_handed_over_sent() -> None:
    serving = context(budget=8)
    serving.assign(spec(1, hashes=(50, 51)), 0)
    serving.admit(0)
    for now_ns in (1, 2):
        serving.batch(0)
        stepped(serving, 1, now_ns)
    response = serving.responses.take()[0]
    assert response.outcome is Outcome.PREFILLED
    assert response.sender is not None
    assert len(response.sender.blocks) == 3
    serving.transceiver.advertised(1, 0, 9, 0, (4, 5, 6), 1)
    begun(serving)
    assert serving.pool.counts().in_transfer == 3
    finished(serving, 1, Event.DONE)
    counts = serving.pool.counts()
    assert (counts.cached, counts.in_transfer, serving.requests) == (2, 0, {})


def test_a_cached_prefix_is_not_computed_again_but_for_the_last_token() -> None:
    serving = context()
    for request_id in (1, 2):
        serving.assign(spec(request_id, prompt=8, output=1, hashes=(50, 51)), 0)
        serving.admit(0)
        tokens = serving.batch(0)[0].prefill_tokens
        stepped(serving, 1, 1)
        assert tokens == (8 if request_id == 1 else 4)
    assert outcomes(serving) == [(1, Outcome.COMPLETED), (2, Outcome.COMPLETED)]


def test_one_token_only_is_complete_with_its_prefill() -> None:
    serving = context()
    blocks = free(serving)
    serving.assign(spec(1, output=1), 0)
    serving.admit(0)
    serving.batch(0)
    stepped(serving, 1, 1)
    assert outcomes(serving) == [(1, Outcome.COMPLETED)]
    assert (free(serving), serving.transceiver.book.sessions) == (blocks, {})


def test_the_queue_limit_ends_who_found_no_blocks_and_nobody_else() -> None:
    serving = context()
    for request_id in range(1, 7):
        serving.assign(spec(request_id), 0)
    serving.admit(0)
    serving.expire([(6, 1), (9, 0)], 1000)
    assert outcomes(serving) == [], "another attempt of it, and another rank's request"
    serving.expire([(1, 0), (6, 0)], 1000)
    assert outcomes(serving) == [(6, Outcome.TIMED_OUT)]


def test_the_queue_limit_ends_who_found_no_blocks_where_it_decodes() -> None:
    """The session's own limit counts from when this rank got it, and is later."""
    serving = generation(most=2)
    begun(serving, 1, 2, 3)
    serving.transceiver.start(0)
    serving.decisions.resolve(0)
    serving.expire([(1, 0), (3, 0)], 1000)
    serving.decisions.resolve(1000)
    assert outcomes(serving) == [(3, Outcome.TIMED_OUT)], "the first is advertised"


def test_a_cancel_after_the_hand_over_says_nothing_more() -> None:
    serving = context()
    blocks = free(serving)
    serving.assign(spec(1), 0)
    serving.admit(0)
    serving.batch(0)
    stepped(serving, 1, 1)
    serving.responses.take()
    serving.cancel(1, 2)
    serving.decisions.resolve(2)
    assert (outcomes(serving), free(serving)) == ([], blocks)
    assert serving.transceiver.advertised(1, 0, 7, 0, (8, 9), 3) == NEVER_POSTED


# -- the dummy and the audit -------------------------------------------------------------------


def test_the_dummys_block_is_reserved_from_the_start() -> None:
    serving = generation()
    assert serving.pool.counts().active == 1
    assert serving.batch(0)[0].sequences == 0
    serving.leases.free_dummy()
    serving.leases.free_dummy()
    assert serving.pool.counts().active == 0


def test_the_dummys_block_is_no_leak_while_it_is_there() -> None:
    """As where a run breaks off, and no rank leaves: each had counted one."""
    serving = generation()
    assert (block_counts(serving).active, block_counts(serving).leaked) == (1, 0)


def test_a_leak_is_seen() -> None:
    serving = generation()
    begun(serving, 1)
    serving.leases.free_dummy()
    serving.cancel(1, 1)
    counts = block_counts(serving)
    assert (counts.quarantined, counts.leaked) == (4, 0), "in doubt is never called leaked"
    assert serving.pool.acquire(2) is not None
    assert block_counts(serving).leaked == 2


def test_a_shared_block_is_owned_once() -> None:
    serving = context()
    for request_id in (1, 2):
        serving.assign(spec(request_id, hashes=(50, 51)), 0)
        serving.admit(0)
        serving.batch(0)
        stepped(serving, 1, 1)
    serving.leases.free_dummy()
    counts = block_counts(serving)
    assert (counts.active, counts.leaked) == (4, 0)


def test_the_story_is_told_as_events() -> None:
    notes = Notes()
    serving = generation(notes)
    begun(serving, 1)
    told = [kind for kind, request_id, _ in notes.events if request_id == 1]
    assert told == ["assigned", State.QUEUED, State.ADVERTISED]
