"""Slots: bounded in all, per peer and in blocks, fair over the peers, never lost."""

from __future__ import annotations

import pytest
from core_parts import session
from hypothesis import given
from hypothesis import strategies as st

from adpkv.core.session import Session
from adpkv.core.slots import SlotLimits, SlotQueue

MANY = 1_000


def waiting(peer: int, request_id: int, blocks: int = 1) -> Session:
    made = session(request_id=request_id, peer=peer)
    made.blocks = tuple(range(blocks))
    return made


def ids(sessions: list[Session]) -> list[int]:
    return [s.session_id[0] for s in sessions]


def filled(limits: SlotLimits, *sessions: Session) -> SlotQueue:
    queue = SlotQueue(limits)
    for one in sessions:
        queue.wait(one)
    return queue


def test_no_more_than_the_total() -> None:
    queue = filled(SlotLimits(3, MANY, MANY), *(waiting(i, i) for i in range(5)))
    assert ids(queue.admit()) == [0, 1, 2]
    assert queue.admit() == []


def test_no_more_than_its_share_for_a_peer_and_others_pass() -> None:
    queue = filled(SlotLimits(MANY, 2, MANY), *(waiting(1, i) for i in range(5)), waiting(2, 9))
    assert ids(queue.admit()) == [0, 1, 9]


def test_no_more_than_its_blocks_for_a_peer() -> None:
    queue = filled(SlotLimits(MANY, MANY, 5), *(waiting(1, i, blocks=2) for i in range(3)))
    assert ids(queue.admit()) == [0, 1]


def test_a_large_one_is_not_overtaken_within_its_peer() -> None:
    first, large, small = waiting(1, 0, 3), waiting(1, 1, 5), waiting(1, 2, 1)
    queue = filled(SlotLimits(MANY, MANY, 6), first, large, small)
    assert ids(queue.admit()) == [0]
    queue.give_back(first)
    assert ids(queue.admit()) == [1, 2]


def test_a_slot_given_back_is_given_out_again() -> None:
    first = waiting(1, 0)
    queue = filled(SlotLimits(1, 1, 1), first, waiting(1, 1))
    assert ids(queue.admit()) == [0]
    assert queue.admit() == []
    queue.give_back(first)
    assert ids(queue.admit()) == [1]


@pytest.mark.parametrize("idle_looks", [0, 1, 2, 3])
def test_peers_take_turns_however_often_somebody_looks(idle_looks: int) -> None:
    """How often `admit` is asked while nothing is free must not decide whose turn it is."""
    first = [waiting(1, 10 + i) for i in range(3)]
    second = [waiting(2, 20 + i) for i in range(3)]
    queue = filled(SlotLimits(1, MANY, MANY), *first, *second)
    by_id = {s.session_id[0]: s for s in first + second}
    order: list[int] = []
    for _ in range(6):
        found = queue.admit()
        order += ids(found)
        for _ in range(idle_looks):
            assert queue.admit() == []
        queue.give_back(found[0])
    assert order == [10, 20, 11, 21, 12, 22]
    assert set(by_id) == set(order)


def test_who_leaves_is_not_admitted() -> None:
    gone, stays = waiting(1, 0), waiting(1, 1)
    queue = filled(SlotLimits(1, 1, 1), gone, stays)
    assert queue.leave(gone)
    assert not queue.leave(gone)
    assert ids(queue.admit()) == [1]
    assert not queue.leave(stays), "it has a slot, it does not wait for one"
    assert queue.admit() == []


def test_room_counts_those_that_wait_until_they_leave() -> None:
    """Each look is made after something has changed: what was counted before must not be told."""
    first, second = waiting(1, 0, blocks=2), waiting(2, 1)
    queue = SlotQueue(SlotLimits(3, 2, 5))
    assert queue.room() == (3, ())
    queue.wait(first)
    assert queue.room() == (2, ((1, 1, 3),))
    queue.wait(second)
    assert queue.room() == (1, ((1, 1, 3), (2, 1, 4)))
    queue.leave(second)
    assert queue.room() == (2, ((1, 1, 3),))
    queue.admit()
    assert queue.room() == (2, ((1, 1, 3),)), "who has a slot counts as when it waited"
    queue.give_back(first)
    assert queue.room() == (3, ())


def test_a_staging_slot_belongs_to_one_session_until_it_is_given_back() -> None:
    queue = filled(
        SlotLimits(MANY, MANY, 1, staging=2), *(waiting(i, i, blocks=9) for i in range(4))
    )
    first, second = queue.admit()
    assert [queue.number(first), queue.number(second)] == [0, 1]
    assert queue.admit() == []
    assert queue.numbers() == (2, 0)
    queue.give_back(first)
    (third,) = queue.admit()
    assert queue.number(third) == 0, "the lowest that is free"
    assert queue.number(first) == -1


def test_staging_limits_the_transfers_not_the_blocks() -> None:
    """A peer touches slots: how many blocks a transfer has says nothing about what it can harm."""
    one_peer = [waiting(1, i, blocks=9) for i in range(5)]
    assert len(filled(SlotLimits(MANY, 3, 1, staging=8), *one_peer).admit()) == 3
    assert len(filled(SlotLimits(2, MANY, 1, staging=8), *one_peer).admit()) == 2


def test_without_staging_no_session_has_a_number() -> None:
    queue = filled(SlotLimits(MANY, MANY, MANY), waiting(1, 1))
    assert [queue.number(one) for one in queue.admit()] == [-1]
    assert queue.numbers() == (0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=30),
    st.integers(1, 6),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_limits_hold_and_everybody_gets_through(
    wanted: list[tuple[int, int]], total: int, per_peer: int, random: object
) -> None:
    most_blocks = 6
    queue = SlotQueue(SlotLimits(total, per_peer, most_blocks))
    for i, (peer, blocks) in enumerate(wanted):
        queue.wait(waiting(peer, i, blocks))
    in_flight: list[Session] = []
    served = 0
    while served < len(wanted):
        in_flight += queue.admit()
        assert in_flight, "nobody is in flight, and nobody gets a slot"
        assert len(in_flight) <= total
        for peer in range(4):
            its = [s for s in in_flight if s.peer == peer]
            assert len(its) <= per_peer
            assert sum(len(s.blocks) for s in its) <= most_blocks
        done = in_flight.pop(random.randrange(len(in_flight)))  # type: ignore[attr-defined]
        queue.give_back(done)
        served += 1
    for peer in range(total + 1):
        queue.wait(waiting(10 + peer, MANY + peer))
    assert len(queue.admit()) == total, "no slot was lost, and none came back twice"
