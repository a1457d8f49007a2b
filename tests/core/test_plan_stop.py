"""`agree`: which code a stop has, what an end waits for, and when all leave."""

from __future__ import annotations

import itertools

import pytest
from core_parts import spec
from plan_parts import BUSY, IDLE, refused, step, waiting_plan

from adpkv.core.plan import GroupInput, Plan, RankStatus
from adpkv.core.stop import StopReason
from adpkv.core.values import Outcome

PRECEDENCE = (70, 4, 3, 5, 2, 75, 143, 130, 129, 0)


@pytest.mark.parametrize(("mine", "theirs"), list(itertools.product(PRECEDENCE, repeat=2)))
def test_the_code_that_wins_over_all_pairs(mine: int, theirs: int) -> None:
    """Whoever says it, a rank or the plan so far; contract 6.6."""
    winner = min((mine, theirs), key=PRECEDENCE.index)
    statuses = [RankStatus(stop=StopReason(mine, f"why {mine}")), IDLE]
    found = step(*statuses, RankStatus(stop=StopReason(theirs, f"why {theirs}"))).stop
    assert found is not None
    assert found.code == winner
    plan = step(*statuses, previous=Plan(stop=StopReason(theirs, f"why {theirs}")))
    assert plan.stop == StopReason(winner, f"why {winner}")


def test_the_coordinators_code_counts_too() -> None:
    group_input = GroupInput(stop=StopReason(75, "another instance is ill"))
    plan = step(RankStatus(stop=StopReason(130, "a signal")), group_input=group_input)
    assert plan.stop == StopReason(75, "another instance is ill")


def test_who_said_it_first_is_quoted() -> None:
    plan = step(
        RankStatus(stop=StopReason(75, "later")), previous=Plan(stop=StopReason(75, "first"))
    )
    assert plan.stop == StopReason(75, "first")


def test_an_unknown_code_counts_as_internal_and_keeps_its_words() -> None:
    plan = step(RankStatus(stop=StopReason(1, "who knows")), RankStatus(stop=StopReason(75, "ill")))
    assert plan.stop == StopReason(70, "who knows")


def test_one_rank_stops_all_and_nothing_runs_any_more() -> None:
    plan = step(BUSY, BUSY, RankStatus(stop=StopReason(75, "ill")))
    assert (plan.stop, plan.forward) == (StopReason(75, "ill"), False)
    later = step(BUSY, BUSY, IDLE, previous=plan)
    assert (later.stop, later.forward) == (plan.stop, False), "it stays agreed"


def test_whoever_waits_or_comes_now_is_told_that_the_instance_stops() -> None:
    plan = step(
        RankStatus(stop=StopReason(75)),
        previous=waiting_plan(1, 2),
        group_input=GroupInput(admitted=(spec(3),), cancelled=(2,)),
    )
    assert refused(plan) == {1: Outcome.FAILED, 2: Outcome.CANCELLED, 3: Outcome.FAILED}
    assert (len(plan.waiting), plan.assignments) == (0, {})
    later = step(previous=plan, group_input=GroupInput(admitted=(spec(4),)))
    assert refused(later) == {4: Outcome.FAILED}


# -- ending and leaving --------------------------------------------------------------------------


def test_the_end_waits_for_transfers_under_way() -> None:
    flying = RankStatus(in_transfer=1)
    plan = step(IDLE, flying, group_input=GroupInput(stop=StopReason(0)))
    assert (plan.ending, plan.stop) == (True, None)
    plan = step(IDLE, flying, previous=plan)
    assert plan.stop is None
    plan = step(IDLE, IDLE, previous=plan)
    assert plan.stop == StopReason(0, "all requests are answered")


def test_the_end_does_not_wait_for_what_is_in_quarantine() -> None:
    """Contract 6.4."""
    plan = step(RankStatus(quarantined=3), group_input=GroupInput(stop=StopReason(0)))
    assert plan.stop is not None


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("drained", [False, True])
@pytest.mark.parametrize("stopping", [False, True])
def test_all_leave_when_stopped_released_and_drained(
    stopping: bool, released: bool, drained: bool
) -> None:
    said = (IDLE, RankStatus(drained=drained, stop=StopReason(75) if stopping else None))
    plan = step(*said, group_input=GroupInput(released=released))
    assert plan.leave is (stopping and released and drained)


def test_the_first_whose_bound_is_over_takes_everybody_along() -> None:
    pinned = RankStatus(drained=False)
    plan = step(pinned, RankStatus(drained=False, stop=StopReason(75), overdue=True))
    assert plan.leave


def test_a_bound_without_a_stop_means_nothing() -> None:
    assert not step(IDLE, RankStatus(overdue=True)).leave


def test_a_release_is_remembered() -> None:
    first = step(
        RankStatus(drained=False, stop=StopReason(0)), group_input=GroupInput(released=True)
    )
    assert (first.released, first.leave) == (True, False)
    assert step(RankStatus(stop=StopReason(0)), previous=first).leave
