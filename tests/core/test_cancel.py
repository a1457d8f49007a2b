"""Six answers, and which of them free the blocks (contract 2)."""

from __future__ import annotations

import itertools

import pytest

from adpkv.core.cancel import QUIESCENT, TransferCancelResult, cancel_answer, may_release
from adpkv.core.session import State

A, S = TransferCancelResult, State

UNEXPOSED = {S.WAITING, S.QUEUED, S.PREPARED}
IN_FLIGHT = {S.ADVERTISED, S.PEER_QUEUED, S.TRANSFERRING, S.POSTED, S.QUARANTINED}
OVER = {S.COMPLETE, S.FAILED, S.CANCELLED, S.TIMED_OUT, S.RELEASED}
HEALTH_AND_WILL = list(itertools.product([True, False], repeat=2))


def test_the_states_are_all_of_one_kind() -> None:
    assert set(S) == UNEXPOSED | IN_FLIGHT | OVER
    assert len(S) == len(UNEXPOSED) + len(IN_FLIGHT) + len(OVER)


@pytest.mark.parametrize(("healthy", "can_withdraw"), HEALTH_AND_WILL)
def test_what_was_never_exposed_is_decided_before_health(healthy: bool, can_withdraw: bool) -> None:
    for state in UNEXPOSED:
        assert cancel_answer(state, healthy, can_withdraw) is A.CANCELLED_BEFORE_ADVERTISE


@pytest.mark.parametrize(("healthy", "can_withdraw"), HEALTH_AND_WILL)
def test_what_is_over_or_unknown_does_not_ask_for_health(healthy: bool, can_withdraw: bool) -> None:
    assert cancel_answer(None, healthy, can_withdraw) is A.NOT_FOUND
    for state in OVER:
        assert cancel_answer(state, healthy, can_withdraw) is A.ALREADY_COMPLETE


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
def test_in_flight_it_depends(state: State) -> None:
    assert cancel_answer(state, True, True) is A.CANCEL_REQUESTED_IN_FLIGHT
    assert cancel_answer(state, True, False) is A.NOT_CANCELLABLE
    assert cancel_answer(state, False, True) is A.BACKEND_UNHEALTHY
    assert cancel_answer(state, False, False) is A.BACKEND_UNHEALTHY


def test_exactly_the_first_three_free_the_blocks() -> None:
    assert [may_release(answer) for answer in A] == [True, True, True, False, False, False]
    assert set(itertools.islice(A, 3)) == QUIESCENT
