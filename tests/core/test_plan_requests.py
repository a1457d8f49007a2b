"""`agree`: which rank gets a request, and who waits, is refused, or gives up."""

from __future__ import annotations

import pytest
from core_parts import spec
from plan_parts import BUSY, FULL, IDLE, group, ids, owners, refused, step, waiting_plan

from adpkv.core.plan import GroupInput, Plan, RankStatus, Refusal
from adpkv.core.topology import Kind
from adpkv.core.values import Outcome, RequestSpec
from adpkv.core.waiting import Waiting


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
