"""The book of sessions: what a transition leaves behind, limits, counts."""

from __future__ import annotations

import pytest
from core_parts import session

from adpkv.core.ids import NEVER
from adpkv.core.rules import Rules
from adpkv.core.session import Event, Order, Role, Session, State
from adpkv.core.session_book import SessionBook
from adpkv.errors import IllegalTransitionError

S = State


@pytest.fixture
def book() -> SessionBook:
    return SessionBook(Role.RECEIVER, Rules())


def opened(book: SessionBook, request_id: int = 1) -> Session:
    made = session(book.role, request_id)
    book.open(made)
    return made


def fire(book: SessionBook, made: Session, *events: Event, now_ns: int = 0) -> None:
    for event in events:
        book.fire(made, event, now_ns)


UP = (Event.RESERVED, Event.ADVERTISE)


def test_an_illegal_event_changes_nothing(book: SessionBook) -> None:
    made = opened(book)
    fire(book, made, *UP)
    before = (book.counts(), list(book.orders), list(book.journal), len(book.resolved))
    with pytest.raises(IllegalTransitionError, match="advertise -> advertised"):
        book.fire(made, Event.RESERVED, 3)
    after = (book.counts(), list(book.orders), list(book.journal), len(book.resolved))
    assert (before, made.state) == (after, S.ADVERTISED)


def test_what_is_exposed_is_in_flight_until_proof(book: SessionBook) -> None:
    made = opened(book)
    seen = []
    for event in (*UP, Event.BEGAN, Event.CANCEL, Event.DONE):
        fire(book, made, event)
        seen.append(book.in_flight)
    assert seen == [0, 1, 1, 1, 0]


def test_who_is_to_be_told_is_drained(book: SessionBook) -> None:
    made = opened(book)
    fire(book, made, *UP)
    book.resolved.clear()
    fire(book, made, Event.BEGAN)
    assert not book.resolved
    fire(book, made, Event.DEADLINE, Event.ENDED)
    assert [line.state for _, _, line in book.resolved] == [S.QUARANTINED, S.RELEASED]


def test_the_journal_has_every_transition_and_no_late_message(book: SessionBook) -> None:
    made = opened(book)
    fire(book, made, *UP, Event.DONE, Event.DONE)
    assert [event for _, event, _ in book.journal] == [*UP, Event.DONE]
    assert book.counts().late == 1


def test_a_complete_session_counts_its_bytes(book: SessionBook) -> None:
    fire(book, opened(book), *UP, Event.DONE)
    counts = book.counts()
    assert (counts.completed, counts.bytes, counts.failed) == (1, 64, 0)


@pytest.mark.parametrize(
    ("event", "field"),
    [(Event.CANCEL, "cancelled"), (Event.DEADLINE, "timed_out"), (Event.ERROR, "failed")],
)
def test_each_ending_is_counted_once_and_a_late_end_as_late(
    book: SessionBook, event: Event, field: str
) -> None:
    fire(book, opened(book), *UP, event, Event.DONE)
    counts = book.counts()
    assert (getattr(counts, field), counts.late, counts.completed) == (1, 1, 0)
    assert (counts.quarantined_peak, counts.quarantined_now) == (1, 0)


def test_only_a_peers_message_moves_what_is_in_quarantine(book: SessionBook) -> None:
    made = opened(book)
    fire(book, made, *UP, now_ns=1)
    fire(book, made, Event.CANCEL, now_ns=2)
    fire(book, made, Event.CANCEL, Event.STOP, Event.DEADLINE, now_ns=50)
    assert (book.quarantine.moved_ns, book.moved_ns) == (2, 1)
    fire(book, made, Event.BEGAN, now_ns=60)
    assert (book.quarantine.moved_ns, book.moved_ns) == (60, 60)


def test_the_clock_of_progress_starts_with_the_first_flight(book: SessionBook) -> None:
    fire(book, opened(book, 1), *UP, now_ns=100)
    fire(book, opened(book, 2), *UP, now_ns=200)
    assert book.moved_ns == 100
    made = opened(book, 3)
    fire(book, made, *UP, now_ns=300)
    fire(book, made, Event.BEGAN, now_ns=310)
    assert book.moved_ns == 310
    fire(book, made, Event.BEGAN, now_ns=320)
    assert book.moved_ns == 320, "a peer's message, also when said again"
    fire(book, made, Event.DONE, now_ns=330)
    assert book.moved_ns == 330


def test_limits_fire_in_order_of_time_and_then_request(book: SessionBook) -> None:
    for request_id, at_ns in ((3, 10), (1, 20), (2, 10), (4, 99)):
        book.limit(opened(book, request_id), at_ns, Event.WAIT_LIMIT)
    assert [s.session_id[0] for s, _ in book.expired(20)] == [2, 3, 1]
    assert book.next_limit_ns() == 99


def test_a_limit_that_was_overtaken_is_dropped(book: SessionBook) -> None:
    waiting, flying, gone, reborn = (opened(book, i) for i in range(4))
    for made in (waiting, flying, gone, reborn):
        book.limit(made, 10, Event.WAIT_LIMIT)
    fire(book, flying, *UP)
    book.forget(2)
    book.forget(3)
    book.open(Session(Role.RECEIVER, (reborn.session_id[0], 1), 5, 64, 0))
    assert book.next_limit_ns() == 10
    assert [s for s, _ in book.expired(10)] == [waiting]
    assert book.next_limit_ns() == NEVER


def test_a_request_has_one_session_at_most(book: SessionBook) -> None:
    """Which of two should be forgotten with it?"""
    first = opened(book, 1)
    second = Session(Role.RECEIVER, (first.session_id[0], 1), 5, 64, 0)
    with pytest.raises(AssertionError):
        book.open(second, owner=second)
    assert second.owner is None
    assert book.sessions == {1: first}
    book.forget(1)
    book.open(second)
    assert book.sessions == {1: second}


def test_a_deadline_stands_while_exposed_and_not_in_quarantine(book: SessionBook) -> None:
    first, second = opened(book, 1), opened(book, 2)
    for made in (first, second):
        fire(book, made, *UP)
        book.limit(made, 10, Event.DEADLINE)
    fire(book, first, Event.CANCEL)
    assert book.expired(10) == [(second, Event.DEADLINE)]
    assert book.next_limit_ns() == NEVER, "in quarantine a deadline has no say"
    assert book.expired(10) == [], "and each is told once"


def test_a_limit_is_that_of_its_state(book: SessionBook) -> None:
    made = opened(book, 1)
    book.limit(made, 50, Event.WAIT_LIMIT)
    fire(book, made, Event.RESERVED)
    assert book.next_limit_ns() == 50, "the waits for blocks and for a slot have one together"
    fire(book, made, Event.ADVERTISE)
    assert book.next_limit_ns() == NEVER
    book.limit(made, 50, Event.SILENCE)
    assert book.expired(50) == [(made, Event.SILENCE)], "not that of the wait, at the same time"


def test_words_find_their_session_by_generation(book: SessionBook) -> None:
    made = opened(book)
    assert book.find(1, 0) is made
    assert book.find(1, 1) is None
    assert book.find(2, 0) is None
    assert book.counts().late == 2


def test_orders_leave_in_order(book: SessionBook) -> None:
    made = opened(book)
    fire(book, made, *UP, Event.CANCEL)
    assert [order for order, _ in book.orders] == [Order.EXPECT, Order.TELL_CANCEL]
