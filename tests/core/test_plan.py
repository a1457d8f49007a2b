"""`agree`: run or skip, together; replicas; the same plan on every rank, and nobody is lost."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import Any

import pytest
from core_parts import spec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from plan_parts import BUSY, IDLE, group, ids, owners, step

from adpkv.core.failure_memory import Trust
from adpkv.core.illness import Illness
from adpkv.core.ownership import Vote
from adpkv.core.plan import FIRST_PLAN, GroupInput, Plan, RankStatus, agree
from adpkv.core.router import replicate
from adpkv.core.stop import StopReason
from adpkv.core.values import Outcome

STATUSES = st.builds(
    RankStatus,
    work=st.booleans(),
    able=st.booleans(),
    tokens=st.integers(0, 50),
    requests=st.integers(0, 4),
    in_transfer=st.integers(0, 2),
    stop=st.none() | st.builds(StopReason, st.sampled_from([0, 75, 130])),
    drained=st.booleans(),
    overdue=st.booleans(),
    expired=st.lists(st.tuples(st.integers(0, 6), st.just(0)), max_size=2).map(tuple),
)
SPECS = st.builds(
    spec,
    st.integers(0, 6),
    prompt=st.integers(1, 200),
    wanted=st.one_of(st.none(), st.integers(0, 3)),
)
GROUP_INPUTS = st.none() | st.builds(
    GroupInput,
    admitted=st.lists(SPECS, max_size=4, unique_by=lambda s: s.request_id).map(tuple),
    cancelled=st.lists(st.integers(0, 6), max_size=2).map(tuple),
    stop=st.none() | st.builds(StopReason, st.sampled_from([0, 75])),
    released=st.booleans(),
)


# -- run or skip, together ---------------------------------------------------------------------


@pytest.mark.parametrize("who", list(itertools.product([False, True], repeat=3)))
def test_a_step_runs_if_anybody_has_work(who: tuple[bool, ...]) -> None:
    assert step(*(RankStatus(work=work) for work in who)).forward is any(who)


def test_one_that_cannot_join_keeps_all_from_running() -> None:
    """Scenario 14: all skip together, nobody runs without the others."""
    assert not step(BUSY, BUSY, RankStatus(able=False)).forward
    assert not step(RankStatus(work=True, able=False), BUSY).forward
    assert step(BUSY, BUSY, IDLE).forward


def test_nothing_new_is_the_same_plan() -> None:
    """By identity: this is what lets quiet stretches be jumped over."""
    assert step() is FIRST_PLAN
    running = step(BUSY, IDLE)
    assert step(BUSY, IDLE, previous=running) is running
    assert step(IDLE, BUSY, previous=running) is running, "who has the work decides nothing"


def _differ(statuses: list[RankStatus], before: list[RankStatus]) -> bool:
    return any(one.differs(other) for one, other in zip(statuses, before, strict=True))


@given(st.lists(st.lists(STATUSES, min_size=3, max_size=3), min_size=2, max_size=2), GROUP_INPUTS)
def test_a_calm_plan_stays_as_long_as_no_status_differs(
    said: list[list[RankStatus]], group_input: GroupInput | None
) -> None:
    first, others = said
    for plan in (FIRST_PLAN, step(*first, group_input=group_input)):
        of = step(*first, previous=plan)
        if not of.is_calm():
            continue
        loads = [
            replace(one, tokens=2, requests=1, blocks=3, in_transfer=1, drained=False, expired=())
            for one in first
        ]
        assert not _differ(loads, first)
        assert step(*loads, previous=of) is of
        if not _differ(others, first) and not others[0].expired:
            assert step(*others, previous=of) is of


@pytest.mark.parametrize(
    "change",
    [
        {"work": True},
        {"able": False},
        {"stop": StopReason(75)},
        {"votes": (Vote(1),)},
        {"trust": Trust.PROBE},
        {"illness": Illness(StopReason(70))},
        {"closing": StopReason(143)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_plan_or_the_coordinator_depends_on_differs(change: dict[str, Any]) -> None:
    assert replace(IDLE, **change).differs(IDLE)
    assert not replace(IDLE, **change).differs(replace(IDLE, **change))


def test_what_was_agreed_once_is_not_agreed_again() -> None:
    first = step(group_input=GroupInput(admitted=(spec(1),), cancelled=(5,)))
    assert owners(first) == {0: [1]}
    assert first.cancels == (5,)
    second = step(previous=first)
    assert (second.assignments, second.cancels, second.refusals) == ({}, (), ())
    assert step(previous=second) is second


# -- replicas ----------------------------------------------------------------------------------


def test_what_all_replicas_have_to_do_is_agreed_once() -> None:
    """Scenario 4: complete on one rank, too late on the other, in one tick."""
    done = RankStatus(votes=(Vote(7, Outcome.COMPLETED),))
    late = RankStatus(votes=(Vote(7, Outcome.TIMED_OUT, "too long"),))
    assert step(done, IDLE) is FIRST_PLAN, "one of two is not enough"
    plan = step(done, late)
    assert plan.agreed == late.votes
    assert plan.concerned() is None, "all ranks have something to do"
    after = step(IDLE, IDLE, previous=plan)
    assert after.agreed == ()
    assert step(previous=after) is after


def test_a_replicated_request_goes_to_all_ranks_of_its_group() -> None:
    limits = dataclasses.replace(group(3, most=2), route=replicate)
    leads = RankStatus(requests=1)
    plan = step(
        leads, IDLE, IDLE, group_input=GroupInput(admitted=(spec(1), spec(2))), limits=limits
    )
    assert owners(plan) == {0: [1], 1: [1], 2: [1]}
    assert ids(plan.waiting) == [2]


# -- whom a plan concerns ----------------------------------------------------------------------


def test_a_plan_concerns_those_who_got_something() -> None:
    assert list(step().concerned() or ()) == []
    plan = step(BUSY, IDLE, IDLE, group_input=GroupInput(admitted=(spec(1), spec(2))))
    assert list(plan.concerned() or ()) == [1, 2]


@pytest.mark.parametrize(
    "plan",
    [Plan(cancels=(1,)), Plan(ending=True), Plan(stop=StopReason(0)), Plan(stop=StopReason(75))],
)
def test_cancels_and_the_end_concern_everybody(plan: Plan) -> None:
    assert plan.concerned() is None


# -- pure --------------------------------------------------------------------------------------


@given(st.lists(st.tuples(GROUP_INPUTS, st.lists(STATUSES, min_size=4, max_size=4)), max_size=6))
def test_every_rank_has_the_same_answer_and_nobody_is_lost(
    rounds: list[tuple[GroupInput | None, list[RankStatus]]],
) -> None:
    """Equal input, equal plan, input untouched; each request is assigned, refused or waits."""
    limits = group(4, most=3)
    mine, theirs = FIRST_PLAN, FIRST_PLAN
    for group_input, statuses in rounds:
        known = [*ids(mine.waiting), *(ids(group_input.admitted) if group_input else [])]
        kept = copy.deepcopy((group_input, statuses))
        before = mine
        mine = agree(limits, mine, group_input, statuses)
        theirs = agree(limits, copy.deepcopy(theirs), *copy.deepcopy((group_input, statuses)))
        assert mine == theirs
        assert (group_input, statuses) == kept
        if mine is before:
            continue
        assigned = [i for specs in mine.assignments.values() for i in ids(specs)]
        gone = [r.request_id for r in mine.refusals]
        assert sorted(assigned + gone + ids(mine.waiting)) == sorted(known)
        for rank, specs in mine.assignments.items():
            assert statuses[rank].requests + len(specs) <= limits.most_requests
            assert all(one.wanted in (None, rank) for one in specs)
        assert not (mine.forward and mine.stop is not None)
