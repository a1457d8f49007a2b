"""`agree`: the natural unit test of the whole system. Who gets what, run or skip, stop, leave."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from core_parts import spec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adpkv.core.failure_memory import Trust
from adpkv.core.illness import Illness
from adpkv.core.ownership import Vote
from adpkv.core.plan import (
    FIRST_PLAN,
    GroupInput,
    GroupLimits,
    Plan,
    RankStatus,
    Refusal,
    agree,
)
from adpkv.core.rank_status import differ
from adpkv.core.router import replicate
from adpkv.core.stop import StopReason
from adpkv.core.topology import Kind
from adpkv.core.values import Outcome, RequestSpec
from adpkv.core.waiting import Waiting

IDLE = RankStatus()
BUSY = RankStatus(work=True, tokens=50, requests=1)
PRECEDENCE = (70, 4, 3, 5, 2, 75, 143, 130, 129, 0)


def group(
    ranks: int = 4, kind: Kind = Kind.CONTEXT, most: int = 8, peer_blocks: int = 100
) -> GroupLimits:
    return GroupLimits(
        kind=kind,
        ranks=ranks,
        block_tokens=16,
        usable_blocks=10,
        peer_blocks=peer_blocks,
        most_requests=most,
    )


def step(
    *statuses: RankStatus,
    previous: Plan = FIRST_PLAN,
    group_input: GroupInput | None = None,
    limits: GroupLimits | None = None,
) -> Plan:
    said = statuses or (IDLE,) * 4
    return agree(limits or group(len(said)), previous, group_input, said)


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


def ids(specs: Iterable[RequestSpec]) -> list[int]:
    return [one.request_id for one in specs]


def owners(plan: Plan) -> dict[int, list[int]]:
    return {rank: ids(specs) for rank, specs in plan.assignments.items()}


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
        assert not differ(loads, first)
        assert step(*loads, previous=of) is of
        if not differ(others, first) and not others[0].expired:
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
    assert differ([IDLE, replace(IDLE, **change)], [IDLE, IDLE])
    assert not differ([IDLE, replace(IDLE, **change)], [IDLE, replace(IDLE, **change)])


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


# -- requests ----------------------------------------------------------------------------------


def test_new_requests_go_where_the_fewest_tokens_are() -> None:
    group_input = GroupInput(admitted=(spec(1), spec(2), spec(3)))
    plan = step(BUSY, IDLE, IDLE, group_input=group_input)
    assert owners(plan) == {1: [1, 3], 2: [2]}
    assert not plan.waiting


def test_who_finds_no_room_waits_and_is_tried_again_in_order() -> None:
    full = RankStatus(requests=1)
    limits = group(2, most=1)
    group_input = GroupInput(admitted=(spec(1), spec(2)))
    plan = step(full, full, group_input=group_input, limits=limits)
    assert (owners(plan), ids(plan.waiting)) == ({}, [1, 2])
    plan = step(
        full, IDLE, previous=plan, group_input=GroupInput(admitted=(spec(3),)), limits=limits
    )
    assert (owners(plan), ids(plan.waiting)) == ({1: [1]}, [2, 3])


def refused(plan: Plan) -> dict[int, Outcome]:
    return {r.request_id: r.outcome for r in plan.refusals}


def waiting_plan(*request_ids: int) -> Plan:
    return Plan(waiting=Waiting(spec(i) for i in request_ids))


FULL = RankStatus(requests=99)


def test_a_cancel_of_a_waiting_request_is_answered_by_the_group() -> None:
    plan = step(FULL, FULL, previous=waiting_plan(1, 2), group_input=GroupInput(cancelled=(1,)))
    assert refused(plan) == {1: Outcome.CANCELLED}
    assert ids(plan.waiting) == [2]


def test_a_request_and_its_cancel_may_come_in_one_messages() -> None:
    plan = step(group_input=GroupInput(admitted=(spec(1), spec(2)), cancelled=(1,)))
    assert (refused(plan), owners(plan)) == ({1: Outcome.CANCELLED}, {0: [2]})


def test_cancels_of_owned_requests_go_to_all_ranks() -> None:
    assert step(group_input=GroupInput(cancelled=(7, 8))).cancels == (7, 8)


def test_who_waited_too_long_is_told_so() -> None:
    leader = RankStatus(requests=99, expired=((2, 0),))
    plan = step(leader, FULL, previous=waiting_plan(1, 2))
    assert (refused(plan), ids(plan.waiting)) == ({2: Outcome.TIMED_OUT}, [1])


def test_who_waited_too_long_on_its_rank_is_named_to_all_ranks() -> None:
    leader = RankStatus(requests=99, expired=((2, 0), (2, 1), (7, 0)))
    plan = step(leader, FULL, previous=waiting_plan(1, 2))
    assert (refused(plan), plan.expired) == ({2: Outcome.TIMED_OUT}, ((2, 1), (7, 0)))
    assert plan.concerned() is None
    alone = step(RankStatus(expired=((7, 0),)))
    assert alone.expired == ((7, 0),), "also if nothing else happens"
    assert step(RankStatus(), previous=alone).expired == ()


def test_only_the_leader_counts_the_wait() -> None:
    other = RankStatus(requests=99, expired=((2, 0),))
    assert refused(step(FULL, other, previous=waiting_plan(2))) == {}


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (spec(1, prompt=161), "needs 11 KV blocks, a rank has 10"),
        (spec(1, prompt=65), "has 5 blocks to send, max_inflight_blocks_per_peer is 4"),
        (spec(1, wanted=4), "wants rank 4 of 4"),
        (spec(1, wanted=-1), "wants rank -1 of 4"),
    ],
)
def test_what_can_never_be_served_is_refused_at_once(one: RequestSpec, words: str) -> None:
    plan = step(group_input=GroupInput(admitted=(one, spec(2))), limits=group(peer_blocks=4))
    assert plan.refusals == (Refusal(1, 0, Outcome.FAILED, words),)
    assert owners(plan) == {0: [2]}


@pytest.mark.parametrize(("kind", "fits"), [(Kind.CONTEXT, True), (Kind.GENERATION, False)])
def test_a_generation_rank_needs_room_for_the_whole_life(kind: Kind, fits: bool) -> None:
    one = spec(1, prompt=160, output=1)
    assert bool(group(kind=kind).objection(one)) is not fits


def test_a_refusal_names_the_rank_that_keeps_kv_for_it() -> None:
    one = spec(1, from_rank=3)
    plan = step(FULL, previous=Plan(waiting=Waiting([one])), group_input=GroupInput(cancelled=(1,)))
    assert [r.sender for r in plan.refusals] == [3]


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


# -- stop --------------------------------------------------------------------------------------


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


# -- ending and leaving ------------------------------------------------------------------------


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
