"""One rank of several that hold each request: it notices, says so, and acts on what was agreed."""

from __future__ import annotations

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
)

from adpkv.core.ownership import Replica, Vote
from adpkv.core.request import RequestEvent, RequestState
from adpkv.core.session import Event
from adpkv.core.values import Outcome

DONE = Vote(1, Outcome.COMPLETED)
QUIESCENT = Vote(1)


def test_complete_here_waits_for_the_others() -> None:
    serving = generation(owner=Replica(0))
    begun(serving, 1)
    landed(serving, 1)
    assert serving.owner.votes == (DONE,)
    assert not serving.has_work()
    serving.decisions.carry_out((DONE,), (), 8)
    assert serving.has_work()
    assert serving.owner.votes == ()


def test_what_failed_elsewhere_ends_here_and_blocks_wait_for_all() -> None:
    serving = generation(owner=Replica(0))
    blocks = free(serving)
    begun(serving, 1)
    landed(serving, 1)
    serving.decisions.carry_out((Vote(1, Outcome.TIMED_OUT, "too long"),), (), 8)
    assert outcomes(serving) == [(1, Outcome.TIMED_OUT)]
    assert serving.owner.votes == (QUIESCENT,), "its own shard is here, nobody writes"
    assert serving.pool.counts().quarantined == 4
    serving.retry_pending(9)
    assert list(serving.pending_resource_release) == [1]
    serving.decisions.carry_out((QUIESCENT,), (), 10)
    assert (free(serving), serving.pending_resource_release) == (blocks, {})
    assert serving.owner.votes == ()


def test_what_is_in_doubt_here_is_said_when_it_is_proven() -> None:
    serving = generation(owner=Replica(0))
    begun(serving, 1)
    serving.decisions.carry_out((Vote(1, Outcome.FAILED),), (), 8)
    serving.decisions.resolve(8)
    serving.retry_pending(9)
    assert serving.owner.votes == (), "a peer may be writing"
    finished(serving, 1, Event.ENDED)
    serving.retry_pending(10)
    assert serving.owner.votes == (QUIESCENT,)


def test_a_cancel_that_came_with_the_result_beats_it() -> None:
    for agreed in (DONE, Vote(1, Outcome.FAILED)):
        serving = generation(owner=Replica(0))
        begun(serving, 1)
        landed(serving, 1)
        serving.cancel(1, 8)
        serving.decisions.carry_out((agreed,), (), 8)
        assert outcomes(serving) == [(1, Outcome.CANCELLED)]
        assert not serving.has_work()
        assert serving.owner.votes == (QUIESCENT,)


def test_wrong_kv_on_one_rank_is_everybodys_failure() -> None:
    notes = Notes()
    serving = generation(notes, owner=Replica(0))
    begun(serving, 1)
    finished(serving, 1, Event.DONE)
    assert [violation.kind for violation in notes.violations] == ["wrong_kv"]
    assert serving.owner.votes == (Vote(1, Outcome.FAILED, "wrong KV arrived"),)
    assert outcomes(serving) == []


def test_one_of_the_replicas_answers_and_counts() -> None:
    leads, follows = (generation(owner=Replica(index)) for index in (0, 1))
    for serving in (leads, follows):
        begun(serving, 1)
        serving.end(serving.requests[1], RequestEvent.FAILURE, 5)
        begun(serving, 2)
    assert (outcomes(leads), outcomes(follows)) == ([(1, Outcome.FAILED)], [])
    assert (leads.load(), follows.load()) == ((False, 13, 1, 0), (False, 0, 0, 0))


def test_each_replica_fetches_its_shard_from_its_counterpart() -> None:
    serving = generation(owner=Replica(2))
    serving.assign(spec(1), 0)
    session = serving.requests[1].session
    assert session is not None
    assert session.peer == 2, "the context instance's rank 0 answered"


def test_the_queue_limit_of_one_rank_is_said_before_it_ends_anybody() -> None:
    serving = context(owner=Replica(0))
    for request_id in range(1, 8):
        serving.assign(spec(request_id), 0)
    serving.admit(0)
    serving.expire([(1, 0), (6, 0), (7, 0)], 1000)
    assert [vote.request_id for vote in serving.owner.votes] == [6, 7]
    assert (outcomes(serving), len(serving.waiting)) == ([], 2)
    serving.decisions.carry_out(serving.owner.votes, (), 1000)
    assert outcomes(serving) == [(6, Outcome.TIMED_OUT), (7, Outcome.TIMED_OUT)]


def test_over_here_but_not_yet_agreed_takes_no_slot() -> None:
    """Its wait limit has passed on this rank; blocks still come to it, as they do on the others."""
    serving = generation(owner=Replica(0))
    serving.assign(spec(1), 0)
    serving.transceiver.expire(5000)
    serving.decisions.resolve(5000)
    begun(serving)
    assert serving.requests[1].state is RequestState.RECEIVING
    assert serving.transceiver.book.in_flight == 0
    serving.decisions.carry_out(serving.owner.votes, (), 5001)
    assert serving.owner.votes == (QUIESCENT,)


def test_ranks_that_part_keep_only_what_they_doubt_themselves() -> None:
    serving = generation(owner=Replica(0))
    begun(serving, 1, 2)
    landed(serving, 1)
    for request_id in (1, 2):
        serving.decisions.carry_out((Vote(request_id, Outcome.FAILED),), (), 8)
    serving.decisions.resolve(8)
    serving.leave()
    assert list(serving.pending_resource_release) == [2]
    assert serving.pool.counts().quarantined == 4


def test_who_ends_for_another_reason_is_not_voted_on_any_more() -> None:
    """A request without blocks is let go at once: a vote that stayed would be agreed on, and nobody
    has the request then."""
    serving = context(owner=Replica(0))
    serving.assign(spec(1), 0)
    serving.expire([(1, 0)], 1)
    assert [vote.request_id for vote in serving.owner.votes] == [1]
    serving.stop(1, "the instance is stopping")
    assert serving.requests == {}
    assert serving.owner.votes == ()
