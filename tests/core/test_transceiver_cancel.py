"""Cancel through the transceiver: six answers, once each, and none of them loses the request."""

from __future__ import annotations

from typing import Any

import pytest
from core_parts import PROGRESS_NS, at_state, limits, orders, receiver, sender, told

from adpkv.core.cancel import TransferCancelResult
from adpkv.core.ids import NEVER
from adpkv.core.session import Event, Order, State
from adpkv.core.session_book import ASKS
from adpkv.core.transceiver import Transceiver

A, S = TransferCancelResult, State
UNEXPOSED = [(receiver, S.WAITING), (receiver, S.QUEUED), (sender, S.PREPARED)]
IN_FLIGHT = [
    (receiver, S.ADVERTISED),
    (receiver, S.PEER_QUEUED),
    (receiver, S.TRANSFERRING),
    (receiver, S.QUARANTINED),
    (sender, S.POSTED),
    (sender, S.QUARANTINED),
]


def make_ill(ends: Transceiver) -> None:
    """Another request of this rank is exposed, and nothing has moved for too long."""
    at_state(ends, S.ADVERTISED if ends.book.role == "receiver" else S.POSTED, 99)
    ends.health.check(PROGRESS_NS + 1, 0)
    assert ends.monitor.reasons


@pytest.mark.parametrize(("role_of", "state"), UNEXPOSED)
@pytest.mark.parametrize("ill", [False, True])
def test_before_advertise_health_is_not_asked(role_of: Any, state: State, ill: bool) -> None:
    ends: Transceiver = role_of()
    if ill:
        make_ill(ends)
    made = at_state(ends, state)
    assert ends.cancel_request_structured(1, 5) is A.CANCELLED_BEFORE_ADVERTISE
    assert made.state is S.CANCELLED


@pytest.mark.parametrize(("role_of", "state"), IN_FLIGHT)
def test_in_flight(role_of: Any, state: State) -> None:
    ends: Transceiver = role_of()
    made = at_state(ends, state)
    assert ends.cancel_request_structured(1, 5) is A.CANCEL_REQUESTED_IN_FLIGHT
    assert made.state is S.QUARANTINED


@pytest.mark.parametrize(("role_of", "state"), IN_FLIGHT)
def test_in_flight_where_nobody_can_be_asked(role_of: Any, state: State) -> None:
    ends: Transceiver = role_of(can_withdraw=False)
    made = at_state(ends, state)
    assert ends.cancel_request_structured(1, 5) is A.NOT_CANCELLABLE
    assert made.state is S.QUARANTINED, "and it is not lost: it waits there for its end"


@pytest.mark.parametrize(("role_of", "state"), IN_FLIGHT)
def test_in_flight_while_ill(role_of: Any, state: State) -> None:
    ends: Transceiver = role_of()
    at_state(ends, state)
    make_ill(ends)
    assert ends.cancel_request_structured(1, 5) is A.BACKEND_UNHEALTHY


def test_over_and_gone() -> None:
    ends = receiver()
    at_state(ends, S.COMPLETE)
    assert ends.cancel_request_structured(1, 5) is A.ALREADY_COMPLETE
    assert ends.book.sessions[1].state is S.COMPLETE
    ends.forget(1)
    assert ends.cancel_request_structured(1, 5) is A.NOT_FOUND
    assert ends.cancel_request_structured(77, 5) is A.NOT_FOUND


@pytest.mark.parametrize(("role_of", "state"), UNEXPOSED + IN_FLIGHT)
def test_true_is_exactly_for_what_may_be_freed(role_of: Any, state: State) -> None:
    ends: Transceiver = role_of()
    at_state(ends, state)
    assert ends.cancel_request(1, 5) is ((role_of, state) in UNEXPOSED)


@pytest.mark.parametrize(("role_of", "state"), UNEXPOSED + IN_FLIGHT)
def test_cancel_twice_is_cancel_once(role_of: Any, state: State) -> None:
    ends: Transceiver = role_of()
    at_state(ends, state)
    orders(ends)
    freed = ends.cancel_request(1, 5)
    first = (orders(ends), told(ends), ends.book.counts())
    again = ends.cancel_request(1, 6)
    assert freed == again
    assert (orders(ends), told(ends), ends.book.counts()) == ([], [], first[2])


def test_a_cancel_that_races_a_completion_has_one_outcome() -> None:
    """DONE is queued, the cancel comes before the poll: answered cancelled, then released."""
    ends = receiver()
    made = at_state(ends, S.ADVERTISED)
    told(ends)
    ends.finished(1, 0, Event.DONE)
    assert not ends.cancel_request(1, 5)
    ends.check_transfer_status(6)
    assert made.state is S.RELEASED
    assert told(ends) == [(1, S.QUARANTINED), (1, S.RELEASED)]
    counts = ends.book.counts()
    assert (counts.cancelled, counts.completed, counts.late) == (1, 0, 1)
    assert ends.cancel_request(1, 7), "now the blocks may be freed"


def test_asked_again_it_answers_by_the_health_of_the_day() -> None:
    ends = receiver()
    at_state(ends, S.QUARANTINED)
    assert ends.cancel_request_structured(1, 5) is A.CANCEL_REQUESTED_IN_FLIGHT
    ends.health.check(2 * PROGRESS_NS, 0)
    assert ends.cancel_request_structured(1, 6) is A.BACKEND_UNHEALTHY
    ends.finished(1, 0, Event.ENDED)
    ends.check_transfer_status(7)
    assert ends.cancel_request_structured(1, 8) is A.ALREADY_COMPLETE


def test_a_storm_over_one_slot_gives_every_slot_back() -> None:
    """Cancels in each phase; one slot; afterwards it is there for the next (scenario 9)."""
    ends = receiver(limits(total=1))
    phases = (S.WAITING, S.QUEUED, S.ADVERTISED, S.TRANSFERRING, S.COMPLETE)
    for number in range(100):
        at_state(ends, phases[number % len(phases)], number)
        ends.cancel_request(number, 0)
        ends.cancel_request(number, 0)
        ends.finished(number, 0, Event.ENDED)
        ends.check_transfer_status(0)
        ends.forget(number)
    assert ends.is_drained()
    assert at_state(ends, S.ADVERTISED, 1000).started_ns == 0


def test_the_sender_hears_of_a_cancel_in_flight() -> None:
    ends = sender()
    made = at_state(ends, S.POSTED)
    orders(ends)
    ends.on_peer_message(1, 0, Event.CANCEL, 3)
    assert made.state is S.QUARANTINED
    assert orders(ends) == [(Order.WITHDRAW, 1)]


# -- looking at health -------------------------------------------------------------------------


def test_a_byte_on_the_link_is_progress() -> None:
    ends = receiver()
    at_state(ends, S.ADVERTISED)
    assert not ends.health.check(PROGRESS_NS, 0)
    assert ends.health.check(PROGRESS_NS + 1, 0)
    assert ends.monitor.reasons == ("no_progress",)
    assert ends.health.check(PROGRESS_NS + 2, PROGRESS_NS), "a byte moved: it recovers"
    assert ends.monitor.reasons == ()


def test_what_waits_for_its_senders_slot_may_stand_still() -> None:
    """It is under the limit on waiting; the clock of progress starts when something is to move."""
    ends = receiver()
    at_state(ends, S.PEER_QUEUED, now_ns=10)
    assert not ends.health.check(10 * PROGRESS_NS, 0)
    assert not ends.is_drained(), "but its blocks are exposed"
    ends.on_peer_message(1, 0, Event.BEGAN, 10 * PROGRESS_NS)
    assert not ends.health.check(11 * PROGRESS_NS, 0)
    assert ends.health.check(11 * PROGRESS_NS + 1, 0)


def test_an_old_byte_is_not_progress_of_a_new_flight() -> None:
    ends = receiver()
    at_state(ends, S.ADVERTISED, now_ns=50)
    ends.health.check(50 + PROGRESS_NS, 10)
    assert ends.health.snapshot(50 + PROGRESS_NS).since_last_progress_ns == PROGRESS_NS
    assert ends.health.check(50 + PROGRESS_NS + 1, 10)


def test_recovery_is_seen_when_nothing_is_in_flight_any_more() -> None:
    ends = receiver()
    at_state(ends, S.ADVERTISED)
    ends.health.check(PROGRESS_NS + 1, 0)
    ends.finished(1, 0, Event.ENDED)
    ends.check_transfer_status(PROGRESS_NS + 2)
    assert ends.wake_ns() == 0, "to be looked at at once"
    assert ends.health.check(PROGRESS_NS + 2, 0)
    assert ends.monitor.reasons == ()
    assert ends.wake_ns() == NEVER


def test_a_snapshot() -> None:
    ends = receiver()
    at_state(ends, S.QUARANTINED, 1, now_ns=5)
    at_state(ends, S.ADVERTISED, 2, now_ns=9)
    seen = ends.health.snapshot(25)
    assert seen.is_healthy
    assert (seen.quarantined_transfer_count, seen.quarantine_budget) == (1, 2)
    assert (seen.oldest_quarantine_age_ns, seen.global_progress_deadline_ns) == (20, PROGRESS_NS)


def test_ages_are_zero_where_there_is_nothing_to_be_old() -> None:
    seen = receiver().health.snapshot(10**9)
    assert (seen.oldest_quarantine_age_ns, seen.since_last_progress_ns) == (0, 0)
    assert seen.is_healthy


def test_a_second_flight_does_not_hide_that_the_first_is_stuck() -> None:
    ends = receiver()
    at_state(ends, S.ADVERTISED, 1)
    at_state(ends, S.ADVERTISED, 2, now_ns=PROGRESS_NS)
    assert ends.health.check(PROGRESS_NS + 1, 0)


def test_who_is_in_doubt_asks_again_until_it_is_not() -> None:
    """A lost message must not keep blocks for ever; its sender answers each time (contract 2.3)."""
    ends = receiver()
    made = at_state(ends, S.QUARANTINED, now_ns=10)
    orders(ends)
    for asked in range(1, ASKS + 1):
        at_ns = 10 + asked * PROGRESS_NS // ASKS
        ends.expire(at_ns - 1)
        assert orders(ends) == []
        ends.expire(at_ns)
        assert orders(ends) == [(Order.TELL_CANCEL, 1)]
    ends.finished(*made.session_id, Event.ENDED)
    ends.check_transfer_status(at_ns)
    assert made.state is S.RELEASED
    ends.expire(at_ns + PROGRESS_NS)
    assert orders(ends) == []


def test_who_is_in_doubt_for_years_asks_seldomer_and_seldomer() -> None:
    ends = receiver()
    at_state(ends, S.QUARANTINED, now_ns=0)
    asked, at_ns = 0, 0
    while at_ns < 10**6 * PROGRESS_NS:
        at_ns = ends.book.next_limit_ns()
        ends.expire(at_ns)
        asked += 1
    assert ASKS < asked < 80


def wake_but_to_ask_ns(ends: Transceiver) -> int:
    """When it is to be looked at next for another reason than to ask again."""
    while (at_ns := ends.wake_ns()) == ends.book.next_limit_ns() < NEVER:
        ends.expire(at_ns)
    return at_ns


def test_it_wakes_for_the_next_limit_or_the_next_change_of_health() -> None:
    ends = receiver()
    made = at_state(ends, S.TRANSFERRING, now_ns=10)
    deadline_ns = made.limit_ns
    assert ends.wake_ns() == deadline_ns
    ends.expire(deadline_ns)
    assert wake_but_to_ask_ns(ends) == 10 + PROGRESS_NS + 1
    ends.health.check(10 + PROGRESS_NS + 1, 0)
    stuck_ns = deadline_ns + PROGRESS_NS + 1
    assert wake_but_to_ask_ns(ends) == stuck_ns, "what else is wrong then shows"
    ends.health.check(stuck_ns, 0)
    assert wake_but_to_ask_ns(ends) == 10 + 3 * PROGRESS_NS + 1, "the end of the grace"
    ends.drain(77, 0)
    assert ends.wake_ns() == 77
