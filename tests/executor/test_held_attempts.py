"""A new attempt of a request whose earlier attempt is still in doubt on the same rank: it waits."""

from __future__ import annotations

import msgspec
import pytest
from executor_parts import Post, begun, finished, generation, outcomes, spec

from adpkv.core.request import RequestState
from adpkv.core.session import Event
from adpkv.core.values import Outcome
from adpkv.executor.generation import GenerationServing
from adpkv.executor.messages import CancelTransfer

AGAIN = msgspec.structs.replace(spec(1), attempt=1)


@pytest.fixture
def serving() -> GenerationServing:
    """Its request 1 is in doubt, and comes again as another attempt."""
    serving = generation()
    begun(serving, 1)
    serving.cancel(1, 3)
    assert outcomes(serving) == [(1, Outcome.CANCELLED)]
    serving.assign(AGAIN, 4)
    return serving


def sent(serving: GenerationServing) -> list[object]:
    post = serving._bundle.ports.mailbox
    assert isinstance(post, Post)
    return [message for _, message in post.taken()]


def test_it_waits_for_the_end_of_the_doubt_and_is_served_then(serving: GenerationServing) -> None:
    serving.held.let_in(5)
    assert (len(serving.held.by_request), serving.requests[1].spec.attempt) == (1, 0)
    finished(serving, 1, Event.ENDED)
    serving.retry_pending(6)
    serving.held.let_in(6)
    serving.admit(6)
    request = serving.requests[1]
    assert (len(serving.held.by_request), request.spec.attempt) == (0, 1)
    assert (request.state, request.assigned_ns) == (RequestState.RECEIVING, 4)
    assert outcomes(serving) == [], "it is not refused"


def test_it_is_this_ranks_load_and_owed_an_answer(serving: GenerationServing) -> None:
    assert (serving.open_tokens, serving.open_requests) == (13, 1)
    assert serving.owed([(1, 0), (1, 1)]) == ((1, 1),)


def test_a_cancel_ends_it_and_its_sender_need_not_keep_the_kv(serving: GenerationServing) -> None:
    serving.cancel(1, 9)
    [answer] = serving.responses.take()
    assert (answer.attempt, answer.outcome, answer.spent) == (1, Outcome.CANCELLED, (5,))
    assert sent(serving) == [CancelTransfer(1, 1)]
    assert (len(serving.held.by_request), serving.open_tokens, serving.open_requests) == (0, 0, 0)
    serving.cancel(1, 10)
    assert serving.responses.take() == (), "it has ended"


def test_it_waits_no_longer_than_any_request(serving: GenerationServing) -> None:
    serving.expire([(1, 0)], 9)
    assert outcomes(serving) == [], "that was its earlier attempt"
    serving.expire([(1, 1)], 9)
    assert outcomes(serving) == [(1, Outcome.TIMED_OUT)]


def test_a_stop_answers_it(serving: GenerationServing) -> None:
    serving.stop(9, "the instance stops")
    assert outcomes(serving) == [(1, Outcome.FAILED)]
    assert len(serving.held.by_request) == 0
