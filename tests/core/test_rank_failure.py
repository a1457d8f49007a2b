"""A group that goes on without a failed rank: who gets what, what is missing, what ends."""

from __future__ import annotations

import msgspec
import pytest
from core_parts import receiver, sender, spec
from hypothesis import given
from hypothesis import strategies as st

from adpkv.core.group_limits import GroupLimits
from adpkv.core.plan import FIRST_PLAN, GroupInput, Plan, agree
from adpkv.core.rank_failure import RankFailure, missing
from adpkv.core.rank_status import RankStatus
from adpkv.core.session import State
from adpkv.core.topology import Kind
from adpkv.core.values import Outcome
from adpkv.core.waiting import Waiting

IDLE = RankStatus()
LIMITS = GroupLimits(Kind.CONTEXT, 4, 16, 10, 100, 2, gone=frozenset({1}))
"""Four ranks, of which the second has failed."""

ATTEMPTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), unique=True)


def step(
    *statuses: RankStatus, previous: Plan = FIRST_PLAN, group_input: GroupInput | None = None
) -> Plan:
    return agree(LIMITS, previous, group_input, statuses or (IDLE,) * 3)


@pytest.mark.parametrize("count", [2, 4])
def test_each_living_rank_has_a_status(count: int) -> None:
    assert LIMITS.ranks_of((IDLE,) * 3)
    with pytest.raises(AssertionError, match="each living rank"):
        LIMITS.ranks_of((IDLE,) * count)


@given(ATTEMPTS, st.lists(ATTEMPTS), ATTEMPTS)
def test_what_nobody_has_is_missing(asked, owed, waiting) -> None:
    found = missing(asked, [tuple(attempts) for attempts in owed], waiting)
    somewhere = {attempt for attempts in [*owed, waiting] for attempt in attempts}
    assert [attempt for attempt in asked if attempt not in somewhere] == list(found)


def test_the_group_is_asked_then_every_rank_says_what_it_owes() -> None:
    asked = ((1, 0), (2, 0), (3, 1), (4, 0))
    first = step(group_input=GroupInput(rank_failure=RankFailure((5,), asked)))
    assert first.rank_failure == RankFailure((5,), asked)
    assert first.concerned() is None, "every rank has something to say"
    second = step(RankStatus(owed=((1, 0),)), IDLE, RankStatus(owed=((4, 0),)), previous=first)
    assert second.rank_failure == RankFailure(missing=((2, 0), (3, 1)))
    third = step(previous=second)
    assert third.rank_failure is None
    assert step(previous=third) is third


def test_what_waits_for_a_rank_is_not_missing() -> None:
    queued = Plan(waiting=Waiting([spec(1)]), rank_failure=RankFailure(asked=((1, 0), (2, 0))))
    group_input = GroupInput(admitted=(spec(3),), rank_failure=RankFailure((5, 6), ((3, 0),)))
    plan = step(previous=queued, group_input=group_input)
    assert plan.rank_failure == RankFailure((5, 6), ((3, 0),), missing=((2, 0),)), (
        "asked again meanwhile"
    )


def test_nothing_missing_is_said_too() -> None:
    first = step(group_input=GroupInput(rank_failure=RankFailure((5,), ((1, 0),))))
    assert step(RankStatus(owed=((1, 0),)), IDLE, IDLE, previous=first).rank_failure == RankFailure(
        missing=()
    )


def test_indices_stay_and_a_failed_rank_has_no_room() -> None:
    full = RankStatus(requests=2)
    group_input = GroupInput(admitted=tuple(spec(i) for i in range(5)))
    plan = step(IDLE, IDLE, full, group_input=group_input)
    assert {index: len(given) for index, given in plan.assignments.items()} == {0: 2, 2: 2}
    assert [waits.request_id for waits in plan.waiting] == [4]


def test_who_insists_on_a_failed_rank_is_told_however_long_it_has_waited() -> None:
    wish = spec(7, wanted=1)
    for plan in (
        step(group_input=GroupInput(admitted=(wish,))),
        step(previous=Plan(waiting=Waiting([wish])), group_input=GroupInput(admitted=(spec(8),))),
    ):
        [refusal] = plan.refusals
        assert (refusal.request_id, refusal.outcome) == (7, Outcome.FAILED)
        assert refusal.detail == "wants rank 1 of its instance, which has failed"


def test_a_request_that_comes_again_behind_its_cancel_is_bound_where_no_doubt_is_left() -> None:
    """Whether its earlier attempt is in doubt somewhere, the ranks say once they have cancelled
    it. So it is bound in the next plan, and waits in the instance if that is so everywhere."""
    again = msgspec.structs.replace(spec(7), attempt=1)
    group_input = GroupInput(admitted=(again,), cancelled=(7,), readmitted=frozenset({7}))
    plan = step(group_input=group_input)
    assert (plan.cancels, plan.refusals) == ((7,), ())
    assert (plan.assignments, [*plan.waiting]) == ({}, [again])
    doubting = RankStatus(doubted=(3, 7))
    assert step(doubting, IDLE, doubting, previous=plan).assignments == {2: (again,)}
    nobody = step(*[doubting] * 3, previous=plan)
    assert (nobody.assignments, [*nobody.waiting]) == ({}, [again])
    assert step(previous=nobody).assignments == {0: (again,)}, "the doubt has ended"
    plan = step(group_input=GroupInput(admitted=(again,), cancelled=(7,)))
    assert [refusal.outcome for refusal in plan.refusals] == [Outcome.CANCELLED]


def test_what_nobody_has_begun_with_a_failed_peer_ends_and_nothing_begins() -> None:
    end = receiver()
    waiting, queued, flying, other = (end.open(i, 0, 3 if i < 3 else 4, 8, 0) for i in range(4))
    end.reserve(flying, (5,), (6,), 0)
    end.start(0)
    end.reserve(queued, (1,), (2,), 0)
    end.handle_peer_failure((3,), 10)
    assert (waiting.state, queued.state) == (State.FAILED, State.FAILED)
    assert flying.state is State.ADVERTISED, "in flight: the transport says when it ends"
    assert other.state is State.WAITING
    end.start(20)
    assert end.open(9, 0, 3, 8, 20).state is State.FAILED


def test_a_sender_whose_receiver_failed_before_its_turn_sends_nothing() -> None:
    end = sender()
    asked, unasked = end.open(1, 0, -1, 8, 0), end.open(2, 0, -1, 8, 0)
    assert end.advertised(1, 0, 7, 0, (1,), 0) is None
    end.handle_peer_failure((7,), 10)
    assert (asked.state, unasked.state) == (State.FAILED, State.PREPARED)
    end.start(20)
    assert end.take_orders() == []
