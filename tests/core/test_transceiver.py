"""The transceiver: polling that never waits, slots, limits, words and ends."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from core_parts import (
    ANSWER_NS,
    SLOT_NS,
    TRANSFER_NS,
    WAIT_NS,
    at_state,
    limits,
    orders,
    receiver,
    sender,
    told,
)

from adpkv.core.rules import Rules
from adpkv.core.session import Event, Order, State
from adpkv.core.tombstones import NEVER_POSTED, TOMBSTONES
from adpkv.core.transceiver import Transceiver

S = State


# -- polling (contract 1) ----------------------------------------------------------------------


@pytest.mark.parametrize("at_least", [0, 1, 2, 100])
def test_at_least_never_takes_what_is_not_ready(at_least: int) -> None:
    ends = receiver()
    made = [at_state(ends, S.ADVERTISED, i) for i in range(3)]
    ends.finished(1, 0, Event.DONE)
    assert ends.check_transfer_status(7, at_least) == 1
    assert [s.state for s in made] == [S.ADVERTISED, S.COMPLETE, S.ADVERTISED]
    assert ends.check_transfer_status(8, at_least) == 0


def test_the_poll_limit_leaves_the_rest_for_later_in_order() -> None:
    ends = receiver(limits(poll_limit=2))
    for i in range(4):
        at_state(ends, S.ADVERTISED, i)
    for i in (3, 1, 0, 2):
        ends.finished(i, 0, Event.DONE)
    told(ends)
    assert ends.check_transfer_status(1) == 2
    assert told(ends) == [(3, S.COMPLETE), (1, S.COMPLETE)]
    assert len(ends.pending_polls) == 2
    assert ends.check_transfer_status(2) == 2
    assert told(ends) == [(0, S.COMPLETE), (2, S.COMPLETE)]


def test_at_least_lets_more_ready_ones_through() -> None:
    ends = sender(limits(poll_limit=1))
    for i in range(4):
        at_state(ends, S.POSTED, i)
        ends.finished(i, 0, Event.DONE)
    assert ends.check_transfer_status(1, at_least=3) == 3


def test_polling_looks_at_ends_not_at_sessions() -> None:
    """O(finished): the sessions are reached by key only, never gone through (contract 1.3)."""

    class Keyed(dict[int, Any]):
        def __iter__(self) -> Any:
            raise AssertionError("polling went through all sessions")

        items = values = keys = __iter__

    ends = receiver()
    for i in range(4):
        at_state(ends, S.ADVERTISED, i)
    ends.book.sessions = Keyed(ends.book.sessions)
    ends.finished(2, 0, Event.DONE)
    assert ends.check_transfer_status(1) == 1


# -- slots and deadlines -----------------------------------------------------------------------


def test_the_deadline_starts_with_the_transfer_not_with_the_wait() -> None:
    """128 transfers behind one slot: waiting for a slot is not a slow link (#13824)."""
    ends = receiver(limits(total=1))
    first, second = (at_state(ends, S.QUEUED, i) for i in (1, 2))
    ends.start(10)
    assert (first.state, second.state) == (S.ADVERTISED, S.QUEUED)
    began = 10 + ANSWER_NS - 1
    ends.on_peer_message(1, 0, Event.BEGAN, began)
    late = began + TRANSFER_NS - 1
    ends.expire(late)
    ends.finished(1, 0, Event.DONE)
    ends.check_transfer_status(late)
    ends.start(late)
    ends.on_peer_message(2, 0, Event.BEGAN, late + 5)
    ends.expire(late + 5 + TRANSFER_NS - 1)
    assert second.state is S.TRANSFERRING
    ends.expire(late + 5 + TRANSFER_NS)
    assert second.state is S.QUARANTINED
    assert ends.limits.early_deadlines == []


def test_a_sender_that_has_no_slot_is_waited_for_under_the_limit_on_waiting() -> None:
    ends = receiver()
    made = at_state(ends, S.ADVERTISED, now_ns=10)
    ends.on_peer_message(1, 0, Event.PEER_QUEUED, 20)
    orders(ends)
    ends.expire(20 + SLOT_NS - 1)
    assert (made.state, orders(ends)) == (S.PEER_QUEUED, [])
    ends.on_peer_message(1, 0, Event.BEGAN, 20 + SLOT_NS - 1)
    ends.expire(20 + SLOT_NS)
    assert made.state is S.TRANSFERRING, "the limit was on waiting"
    assert ends.book.next_limit_ns() == 20 + SLOT_NS - 1 + TRANSFER_NS


def test_who_waits_too_long_for_a_slot_there_is_answered_and_kept_until_proof() -> None:
    ends = receiver()
    made = at_state(ends, S.PEER_QUEUED, now_ns=20)
    orders(ends)
    told(ends)
    ends.expire(20 + SLOT_NS)
    assert (told(ends), orders(ends)) == ([(1, S.QUARANTINED)], [(Order.TELL_CANCEL, 1)])
    ends.finished(1, 0, Event.ENDED)
    ends.check_transfer_status(20 + SLOT_NS + 5)
    assert made.state is S.RELEASED
    assert (ends.book.counts().timed_out, ends.limits.early_deadlines) == (1, [])


def test_the_wait_for_a_slot_there_counts_from_when_its_sender_says_so() -> None:
    """Not from the admission: that wait had a limit of its own, and it is over."""
    ends = receiver()
    made = at_state(ends, S.QUEUED, now_ns=0)
    ends.start(WAIT_NS - 1)
    ends.on_peer_message(1, 0, Event.PEER_QUEUED, WAIT_NS - 1)
    ends.on_peer_message(1, 0, Event.PEER_QUEUED, WAIT_NS + 1)
    ends.expire(WAIT_NS + SLOT_NS - 2)
    assert made.state is S.PEER_QUEUED
    ends.expire(WAIT_NS + SLOT_NS - 1)
    assert made.state is S.QUARANTINED


def test_an_advertise_that_nobody_answers_is_said_again_once_and_then_given_up() -> None:
    ends = receiver()
    made = at_state(ends, S.ADVERTISED, now_ns=10)
    assert orders(ends) == [(Order.EXPECT, 1)]
    ends.expire(10 + ANSWER_NS - 1)
    assert orders(ends) == []
    ends.expire(10 + ANSWER_NS)
    assert (made.state, orders(ends)) == (S.ADVERTISED, [(Order.TELL_AGAIN, 1)])
    ends.expire(10 + 2 * ANSWER_NS - 1)
    assert made.state is S.ADVERTISED
    ends.expire(10 + 2 * ANSWER_NS)
    assert (made.state, orders(ends)) == (S.QUARANTINED, [(Order.TELL_CANCEL, 1)])
    assert ends.limits.early_deadlines == [], "its sender was silent, and asked twice"


@pytest.mark.parametrize("word", [Event.BEGAN, Event.PEER_QUEUED])
def test_any_answer_to_the_second_advertise_is_one(word: Event) -> None:
    ends = receiver()
    made = at_state(ends, S.ADVERTISED, now_ns=10)
    ends.expire(10 + ANSWER_NS)
    ends.on_peer_message(1, 0, word, 10 + ANSWER_NS + 1)
    ends.expire(10 + ANSWER_NS + TRANSFER_NS)
    assert made.state is (S.TRANSFERRING if word is Event.BEGAN else S.PEER_QUEUED)


def test_a_word_that_it_is_queued_which_comes_late_changes_nothing() -> None:
    ends = receiver()
    made = at_state(ends, S.TRANSFERRING, now_ns=10)
    ends.on_peer_message(1, 0, Event.PEER_QUEUED, 20)
    assert (made.state, made.limit_ns) == (S.TRANSFERRING, 10 + TRANSFER_NS)


@pytest.mark.parametrize("anchor", ["started_ns", "waited_ns"])
def test_a_transfer_that_is_given_up_early_is_noticed(anchor: str) -> None:
    """As under a policy whose deadline runs from the advertise, or from the admission."""
    rules = dataclasses.replace(Rules(), deadline_anchor_ns=lambda made: getattr(made, anchor))
    ends = receiver(rules=rules)
    at_state(ends, S.ADVERTISED, now_ns=10)
    ends.on_peer_message(1, 0, Event.BEGAN, 10 + TRANSFER_NS - 3)
    ends.expire(10 + TRANSFER_NS)
    assert ends.limits.early_deadlines == [(1, 10 + TRANSFER_NS, 3)]


def test_waiting_has_a_limit_of_its_own() -> None:
    ends = receiver(limits(total=1))
    blocked, waiting = (at_state(ends, S.QUEUED, i) for i in (1, 2))
    ends.start(WAIT_NS - 1)
    ends.expire(WAIT_NS)
    assert (blocked.state, waiting.state) == (S.ADVERTISED, S.TIMED_OUT)
    assert ends.book.counts().timed_out == 1


def test_who_timed_out_in_the_queue_never_gets_a_slot() -> None:
    ends = receiver(limits(total=1))
    at_state(ends, S.QUEUED, 1)
    at_state(ends, S.QUEUED, 2)
    ends.start(0)
    ends.cancel_request(2, 1)
    ends.finished(1, 0, Event.DONE)
    ends.check_transfer_status(2)
    orders(ends)
    ends.start(3)
    assert orders(ends) == []


@pytest.mark.parametrize("role_of", [receiver, sender])
def test_quarantine_holds_its_slot_until_proof(role_of: Any) -> None:
    """One wedged peer can never put more than its share in doubt (contract 4.3)."""
    ends: Transceiver = role_of(limits(total=1))
    at_state(ends, S.QUARANTINED, 1)
    queued = at_state(ends, S.WAITING if role_of is receiver else S.PREPARED, 2)
    if role_of is receiver:
        ends.reserve(queued, (9,), (9,), 0)
    else:
        ends.advertised(2, 0, 5, 0, (9,), 0)
    ends.start(1)
    assert queued.started_ns < 0
    ends.finished(1, 0, Event.ENDED)
    ends.check_transfer_status(2)
    ends.start(3)
    assert queued.started_ns == 3


@pytest.mark.parametrize("word", [Event.DONE, Event.ENDED])
def test_a_slot_comes_back_once_however_often_the_end_is_reported(word: Event) -> None:
    ends = receiver(limits(total=1))
    at_state(ends, S.ADVERTISED, 1)
    for _ in range(3):
        ends.finished(1, 0, word)
    ends.check_transfer_status(1)
    queued = [at_state(ends, S.QUEUED, i) for i in (2, 3)]
    ends.start(2)
    assert [s.state for s in queued] == [S.ADVERTISED, S.QUEUED]
    assert ends.book.counts().late == 2


def test_tags_are_never_used_twice() -> None:
    ends = receiver(limits(total=1))
    tags = []
    for i in range(5):
        made = at_state(ends, S.COMPLETE, i)
        ends.forget(i)
        tags.append(made.tag)
    assert tags == [0, 1, 2, 3, 4]


# -- messages from peers --------------------------------------------------------------------------


def test_a_sender_posts_for_the_receiver_that_asked() -> None:
    ends = sender()
    made = at_state(ends, S.PREPARED)
    assert ends.advertised(1, 0, 7, 42, (8, 9), 5) is None
    ends.start(5)
    assert (made.peer, made.tag, made.peer_blocks) == (7, 42, (8, 9))
    assert orders(ends) == [(Order.POST, 1)]


def test_nothing_begins_with_a_peer_that_is_known_to_have_failed() -> None:
    ends = sender(limits(per_peer=1))
    early, late = (at_state(ends, S.PREPARED, one) for one in (1, 2))
    ends.advertised(1, 0, 7, 42, (8, 9), 5)
    ends.note_failures((7,))
    assert ends.advertised(2, 0, 7, 43, (8, 9), 5) is None
    ends.start(5)
    assert (early.state, late.state, orders(ends)) == (S.FAILED, S.FAILED, [])
    other = at_state(ends, S.PREPARED, 3)
    ends.advertised(3, 0, 6, 44, (8, 9), 6)
    ends.start(6)
    assert other.state is S.POSTED


def test_the_senders_deadline_runs_from_where_it_begins() -> None:
    ends = sender(limits(total=1))
    at_state(ends, S.POSTED, 1)
    made = at_state(ends, S.PREPARED, 2)
    ends.advertised(2, 0, 7, 0, (8, 9), 5)
    ends.start(5)
    ends.finished(1, 0, Event.DONE)
    ends.check_transfer_status(700)
    ends.start(700)
    assert (made.state, made.limit_ns) == (S.POSTED, 700 + TRANSFER_NS)


def test_an_advertise_that_is_said_twice_is_one_and_answered_twice() -> None:
    ends = sender()
    made = at_state(ends, S.PREPARED)
    for _ in range(2):
        assert ends.advertised(1, 0, 7, 0, (8, 9), 5) is None
    ends.start(5)
    assert orders(ends) == [(Order.POST, 1)]
    assert ends.advertised(1, 0, 7, 0, (8, 9), 6) is None
    ends.start(6)
    assert orders(ends) == [(Order.TELL_BEGAN, 1)], "the message that it began may be lost"
    assert made.state is S.POSTED


def test_who_asks_and_finds_no_slot_is_told_so_each_time() -> None:
    ends = sender(limits(total=1))
    at_state(ends, S.POSTED, 1)
    made = at_state(ends, S.PREPARED, 2)
    orders(ends)
    for at_ns in (5, 9):
        assert ends.advertised(2, 0, 7, 0, (8, 9), at_ns) is None
        ends.start(at_ns)
        assert orders(ends) == [(Order.TELL_QUEUED, 2)]
        ends.start(at_ns + 1)
        assert orders(ends) == [], "once each time that it is asked"
    assert (made.state, made.limit_ns) == (S.PREPARED, 9 + SLOT_NS)


def test_who_finds_a_slot_is_not_told_that_it_is_queued() -> None:
    ends = sender(limits(per_peer=1))
    for request_id, peer in ((1, 7), (2, 8), (3, 8)):
        at_state(ends, S.PREPARED, request_id)
        ends.advertised(request_id, 0, peer, 0, (8, 9), 5)
    ends.start(5)
    assert orders(ends) == [(Order.POST, 1), (Order.POST, 2), (Order.TELL_QUEUED, 3)]


def test_a_queued_sender_that_is_never_served_says_that_nothing_was_posted() -> None:
    ends = sender(limits(total=1))
    at_state(ends, S.POSTED, 1)
    at_state(ends, S.PREPARED, 2)
    ends.advertised(2, 0, 7, 0, (8, 9), WAIT_NS - 1)
    ends.start(WAIT_NS - 1)
    orders(ends)
    ends.expire(WAIT_NS)
    assert orders(ends) == [(Order.WITHDRAW, 1)], "it waits for something else by now"
    ends.expire(WAIT_NS - 1 + SLOT_NS)
    assert orders(ends) == [(Order.TELL_NEVER_STARTED, 2)]


def test_a_late_advertise_finds_a_tombstone() -> None:
    """PREPARED, cancelled: `never started` is the answer to whoever asks later."""
    ends = sender()
    at_state(ends, S.CANCELLED)
    ends.forget(1)
    assert ends.advertised(1, 0, 7, 0, (8, 9), 5) == NEVER_POSTED
    assert ends.advertised(1, 1, 7, 0, (8, 9), 5) == NEVER_POSTED


@pytest.mark.parametrize("state", [S.PREPARED, S.POSTED, S.QUARANTINED])
def test_an_advertise_for_another_attempt_of_the_id_never_started(state: State) -> None:
    """Contract 3.5: the word is about a former owner, whatever the present one is doing."""
    ends = sender()
    made = at_state(ends, state)
    before = (made.state, made.peer, made.peer_blocks)
    orders(ends)
    assert ends.advertised(1, 1, 7, 0, (8, 9), 5) == NEVER_POSTED
    ends.start(5)
    assert orders(ends) == []
    assert (made.state, made.peer, made.peer_blocks) == before


@pytest.mark.parametrize("state", [S.COMPLETE, S.FAILED, S.RELEASED])
def test_an_advertise_said_again_after_the_end_is_not_answered_never_started(state: State) -> None:
    """`Never started` would be a false proof: bytes did move. It is told how many pieces."""
    ends = sender()
    made = at_state(ends, state)
    ends.forget(1)
    before = ends.book.counts().late
    assert ends.advertised(1, 0, 7, 0, (8, 9), 5) == made.pieces >= 0
    assert ends.book.counts().late == before + 1
    assert ends.advertised(1, 1, 7, 0, (8, 9), 5) == NEVER_POSTED


@pytest.mark.parametrize("state", [S.CANCELLED, S.COMPLETE])
@pytest.mark.parametrize("later", [S.CANCELLED, S.COMPLETE])
def test_each_life_of_a_request_has_its_tombstone(state: State, later: State) -> None:
    """A receiver that missed the message about the first asks when the second is over as well."""
    ends = sender()
    for attempt, end in enumerate((state, later)):
        at_state(ends, end, attempt=attempt, pieces=3 + attempt)
        ends.forget(1)
    first = NEVER_POSTED if state is S.CANCELLED else 3
    assert ends.cancelled(1, 0, 7, 5) == first
    assert ends.advertised(1, 0, 7, 0, (8, 9), 5) == first
    assert ends.cancelled(1, 1, 7, 5) == (NEVER_POSTED if later is S.CANCELLED else 4)
    assert ends.cancelled(1, 0, -1, 5) is None, "nobody waits for a word"


def test_who_asks_before_its_session_is_released_is_answered() -> None:
    ends = sender()
    made = at_state(ends, S.COMPLETE, pieces=2)
    before = ends.book.counts().late
    assert ends.cancelled(1, 0, 7, 5) == 2
    assert (made.state, ends.book.counts().late) == (S.COMPLETE, before + 1)


def test_who_asks_about_what_is_forgotten_is_told_that_nothing_comes() -> None:
    ends = sender()
    for i in range(TOMBSTONES + 1):
        at_state(ends, S.COMPLETE, i)
        ends.forget(i)
    assert ends.cancelled(0, 0, 7, 5) == NEVER_POSTED
    assert ends.cancelled(1, 0, 7, 5) == 0


def test_tombstones_are_bounded() -> None:
    ends = sender()
    for i in range(TOMBSTONES + 2):
        at_state(ends, S.COMPLETE, i)
        ends.forget(i)
    assert ends.advertised(1, 0, 7, 0, (8, 9), 5) == NEVER_POSTED
    assert ends.advertised(2, 0, 7, 0, (8, 9), 5) == 0


def test_a_cancel_before_the_slot_tells_the_receiver_that_nothing_started() -> None:
    ends = sender(limits(total=1))
    at_state(ends, S.POSTED, 1)
    at_state(ends, S.PREPARED, 2)
    ends.advertised(2, 0, 7, 0, (8, 9), 0)
    orders(ends)
    ends.on_peer_message(2, 0, Event.CANCEL, 1)
    assert orders(ends) == [(Order.TELL_NEVER_STARTED, 2)]
    ends.finished(1, 0, Event.DONE)
    ends.check_transfer_status(2)
    ends.start(3)
    assert orders(ends) == [], "it had left the queue"


def test_began_moves_a_receiver_on() -> None:
    ends = receiver()
    made = at_state(ends, S.ADVERTISED)
    assert ends.on_peer_message(1, 0, Event.BEGAN, 3) is made
    assert made.state is S.TRANSFERRING
    ends.on_peer_message(1, 0, Event.BEGAN, 4)
    assert made.state is S.TRANSFERRING


@pytest.mark.parametrize("word", [Event.BEGAN, Event.PEER_QUEUED])
@pytest.mark.parametrize("state", [S.WAITING, S.QUEUED])
def test_began_for_what_was_not_advertised_is_an_earlier_attempts(
    state: State, word: Event
) -> None:
    ends = receiver()
    made = at_state(ends, state)
    assert ends.on_peer_message(1, 0, word, 3) is None
    assert made.state is state


@pytest.mark.parametrize(("request_id", "attempt"), [(1, 1), (2, 0)])
def test_a_message_about_somebody_else_is_dropped_and_counted(
    request_id: int, attempt: int
) -> None:
    ends = receiver()
    made = at_state(ends, S.ADVERTISED)
    assert ends.on_peer_message(request_id, attempt, Event.ERROR, 1) is None
    ends.finished(request_id, attempt, Event.DONE)
    ends.check_transfer_status(2)
    assert made.state is S.ADVERTISED
    assert ends.book.counts().late == 2


def test_how_much_was_posted_is_known_at_the_end() -> None:
    ends = sender()
    made = at_state(ends, S.POSTED)
    ends.finished(1, 0, Event.ENDED, 0, 3)
    ends.check_transfer_status(1)
    assert made.pieces == 3
    assert orders(ends)[-1] == (Order.TELL_ENDED, 1)


# -- the end -----------------------------------------------------------------------------------


def test_draining_answers_everything_and_waits_for_what_is_exposed() -> None:
    ends = receiver()
    waiting, queued, flying, done = (
        at_state(ends, S.WAITING, 1),
        ends.open(2, 0, 5, 64, 0),
        at_state(ends, S.ADVERTISED, 3),
        at_state(ends, S.COMPLETE, 4),
    )
    ends.reserve(queued, (7,), (7,), 0)
    ends.drain(100, 10)
    states = [s.state for s in (waiting, queued, flying, done)]
    assert states == [S.FAILED, S.FAILED, S.QUARANTINED, S.COMPLETE]
    assert not ends.is_drained()
    assert ends.drain_deadline_ns == 100
    ends.finished(3, 0, Event.DONE)
    ends.check_transfer_status(50)
    assert ends.is_drained()


def test_a_sender_drains_too() -> None:
    ends = sender()
    prepared, posted = at_state(ends, S.PREPARED, 1), at_state(ends, S.POSTED, 2)
    ends.drain(100, 10)
    assert (prepared.state, posted.state) == (S.FAILED, S.QUARANTINED)
    assert ends.advertised(1, 0, 7, 0, (8, 9), 20) == NEVER_POSTED


def test_draining_twice_is_draining_once() -> None:
    ends = receiver()
    at_state(ends, S.ADVERTISED, 1)
    for now in (10, 20):
        ends.drain(100, now)
    assert ends.book.counts().failed == 1
    assert ends.book.counts().quarantined_now == 1


# -- what the receiver has already --------------------------------------------------------------


def test_only_what_is_missing_is_transferred() -> None:
    ends = receiver()
    made = ends.open(1, 0, 5, 64, 0)
    ends.reserve(made, (3, 4, 7, 9), (1, 2, 11, 12), 0, cached=3)
    assert (made.blocks, made.peer_blocks, made.nbytes) == ((9,), (12,), 16)
    ends.start(0)
    ends.finished(1, 0, Event.DONE)
    ends.check_transfer_status(1)
    counts = ends.book.counts()
    assert (counts.completed, counts.cached, counts.bytes, counts.bytes_cached) == (1, 0, 16, 48)


def test_the_sender_leaves_out_what_its_receiver_has_also_when_it_is_asked_again() -> None:
    ends = sender()
    made = ends.open(1, 0, -1, 64, 0)
    ends.prepare(made, (1, 2, 11, 12))
    for _ in range(2):
        ends.advertised(1, 0, 5, 7, (8, 9), 1, cached=2)
    ends.start(1)
    assert (made.blocks, made.peer_blocks, made.nbytes) == ((11, 12), (8, 9), 32)


def test_where_nothing_is_missing_there_is_no_transfer_and_no_slot() -> None:
    ends = receiver(limits(total=1))
    at_state(ends, S.ADVERTISED, 9)
    orders(ends)
    made = ends.open(1, 0, 5, 64, 0)
    ends.reserve(made, (3, 4), (1, 2), 0, cached=2)
    assert (made.state, orders(ends)) == (S.COMPLETE, [(Order.TELL_CACHED, 1)])
    assert (ends.book.in_flight, ends.book.counts().cached) == (1, 1)


def test_a_sender_that_is_not_needed_is_done_and_a_later_word_is_late() -> None:
    ends = sender()
    made = ends.open(1, 0, -1, 64, 0)
    ends.prepare(made, (1, 2))
    ends.not_needed(1, 5, 0)
    assert made.state is S.PREPARED, "another attempt's"
    ends.not_needed(1, 0, 0)
    ends.not_needed(1, 0, 0)
    assert (made.state, orders(ends)) == (S.COMPLETE, [])
    counts = ends.book.counts()
    assert (counts.completed, counts.late, counts.bytes, counts.bytes_cached) == (1, 2, 0, 64)
    assert ends.advertised(1, 0, 5, 0, (3, 4), 1) == NEVER_POSTED
