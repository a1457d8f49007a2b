"""A request's table: complete, tells its client once, and refuses what cannot happen."""

from __future__ import annotations

import itertools

import pytest
from core_parts import session, spec

from adpkv.core.request import TABLE, RequestEvent, RequestState, ServedRequest
from adpkv.core.session import Event, State
from adpkv.core.values import Outcome
from adpkv.errors import IllegalTransitionError

S, E, O = RequestState, RequestEvent, Outcome  # noqa: E741 - as short as a table wants them

# The way of a request, then what may end it where its client still waits.
FORWARD = {
    (S.WAITING, E.PREFILL_BEGAN): (S.PREFILLING, None),
    (S.WAITING, E.RECEIVE_BEGAN): (S.RECEIVING, None),
    (S.PREFILLING, E.PREFILLED): (S.HANDED_OVER, O.PREFILLED),
    (S.PREFILLING, E.FINISHED): (S.ENDED, O.COMPLETED),
    (S.RECEIVING, E.RECEIVED): (S.DECODING, None),
    (S.DECODING, E.FINISHED): (S.ENDED, O.COMPLETED),
    (S.HANDED_OVER, E.SESSION_OVER): (S.ENDED, None),
}
ENDINGS = {E.CANCEL: O.CANCELLED, E.TIMEOUT: O.TIMED_OUT, E.FAILURE: O.FAILED, E.STOP: O.FAILED}
ANSWERED = (S.HANDED_OVER, S.ENDED)


def expected(state: S, event: E) -> tuple[S, O | None] | None:
    if state is S.ENDED:
        return S.ENDED, None
    if event in ENDINGS:
        return S.ENDED, None if state in ANSWERED else ENDINGS[event]
    return FORWARD.get((state, event))


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, E)))
def test_each_state_with_each_event(state: S, event: E) -> None:
    request = ServedRequest(spec(), 0)
    request.state = state
    line = expected(state, event)
    if line is None:
        with pytest.raises(IllegalTransitionError, match=f"event {event} cannot happen"):
            request.fire(event)
        assert request.state is state
        return
    assert (request.fire(event), request.state) == (line[1], line[0])


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(S)
    assert all(set(lines) == set(E) for lines in TABLE.values())


def test_an_error_carries_the_sessions_story() -> None:
    request = ServedRequest(spec(), 0)
    request.session = session()
    request.session.story += (5, Event.RESERVED, State.QUEUED)
    with pytest.raises(IllegalTransitionError) as caught:
        request.fire(E.FINISHED)
    assert caught.value.story == ("0.000000 s reserved -> queued",)


def test_no_path_answers_twice() -> None:
    """Every word after a terminal one is silence, whatever the order of events."""
    for events in itertools.product(E, repeat=3):
        request = ServedRequest(spec(), 0)
        said = []
        for event in events:
            if TABLE[request.state][event] is not None:
                said.append(request.fire(event))
        terminal = [outcome for outcome in said if outcome not in (None, O.PREFILLED)]
        assert len(terminal) <= 1, events
