"""What a sender remembers of sessions that are over."""

from __future__ import annotations

import pytest

from adpkv.core.ids import RequestId
from adpkv.core.session import Role, Session
from adpkv.core.tombstones import ATTEMPT_BITS, NEVER_POSTED, TOMBSTONES, Tombstones


def _ended(remembered: Tombstones, request_id: int, attempt: int = 0, pieces: int = 1) -> None:
    session = Session(Role.SENDER, (RequestId(request_id), attempt), 7, 64, 0)
    session.started_ns, session.pieces = 5, pieces
    remembered.add(session)


def test_what_ends_once_more_is_forgotten_when_it_is_the_oldest() -> None:
    remembered = Tombstones()
    for request_id in range(TOMBSTONES):
        _ended(remembered, request_id)
    _ended(remembered, 0, pieces=9)
    for request_id in range(TOMBSTONES, 2 * TOMBSTONES - 1):
        _ended(remembered, request_id)
    assert remembered.pieces(0, 0) == 9
    assert remembered.pieces(1, 0) == NEVER_POSTED
    _ended(remembered, 2 * TOMBSTONES)
    assert remembered.pieces(0, 0) == NEVER_POSTED
    assert len(remembered._pieces) == len(remembered._order) == TOMBSTONES


def test_attempts_have_entries_of_their_own_up_to_the_last_that_has_a_place() -> None:
    remembered, last = Tombstones(), (1 << ATTEMPT_BITS) - 1
    _ended(remembered, 3, attempt=last, pieces=2)
    _ended(remembered, 4, attempt=0, pieces=3)
    assert remembered.pieces(3, last) == 2
    assert remembered.pieces(4, 0) == 3


@pytest.mark.parametrize("attempt", [-1, 1 << ATTEMPT_BITS])
def test_an_attempt_that_would_be_another_requests_is_an_error(attempt: int) -> None:
    with pytest.raises(AssertionError):
        _ended(Tombstones(), 3, attempt)
    with pytest.raises(AssertionError):
        Tombstones().pieces(3, attempt)
