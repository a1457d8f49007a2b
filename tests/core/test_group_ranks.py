"""A request is bound to a rank that has its blocks, its seat and its slot; until then it waits, is
overtaken so often and no more, and keeps nobody from a rank that it does not wait for."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from core_parts import spec

from adpkv.core.group_limits import GroupLimits
from adpkv.core.overtaking import Passed
from adpkv.core.plan import GroupInput, Plan, agree
from adpkv.core.rank_failure import RankFailure
from adpkv.core.rank_status import RankStatus
from adpkv.core.router import LOOKED_PAST, POLICIES, blind, routed_by
from adpkv.core.topology import Kind
from adpkv.core.values import Outcome, RequestSpec
from adpkv.core.waiting import Waiting

MOST = 4
CONTEXT = GroupLimits(Kind.CONTEXT, 2, 10, 16, 100, 99, most_passed=MOST)
GENERATION = replace(CONTEXT, kind=Kind.GENERATION, peer_transfers=2, peer_blocks=8)
"""Two ranks with blocks of ten tokens."""


def replace_attempt(one: RequestSpec) -> RequestSpec:
    """The same request, computed again."""
    return msgspec.structs.replace(one, attempt=1)


def bound(
    waiting: list[RequestSpec],
    *statuses: RankStatus,
    limits: GroupLimits = CONTEXT,
    policy: str = "load",
    passed: Passed = (),
) -> dict[int, list[int]]:
    found, _ = POLICIES[policy](Waiting(waiting), limits.ranks_of(statuses, passed))
    return {rank: [one.request_id for one in specs] for rank, specs in found.items()}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_rank_without_blocks_gets_nothing_however_idle(policy: str) -> None:
    full, loaded = RankStatus(blocks=2), RankStatus(tokens=900, requests=9, blocks=3, turn=5)
    assert bound([spec(1, prompt=30)], full, loaded, policy=policy) == {1: [1]}
    assert bound([spec(1, prompt=31)], full, loaded, policy=policy) == {}
    assert bound([spec(i, prompt=20) for i in (1, 2, 3)], full, loaded, policy=policy) in (
        {0: [1], 1: [2]},
        {0: [2], 1: [1]},
    ), "what was just given counts"


def test_a_blind_router_sees_tokens_alone() -> None:
    limits = replace(CONTEXT, late=False, route=blind)
    ranks = limits.ranks_of([RankStatus(blocks=0), RankStatus(tokens=9)])
    assert {*blind(Waiting([spec(1, prompt=30)]), ranks)[0]} == {0}


def test_blocks_that_others_use_already_are_not_needed_again() -> None:
    sharing = RankStatus(blocks=2, cached=((1, 0, 4, 3),))
    assert bound([spec(1, prompt=50)], sharing, RankStatus(blocks=4)) == {0: [1]}
    unused = RankStatus(blocks=2, cached=((1, 0, 4, 0),))
    assert bound([spec(1, prompt=50)], unused, RankStatus(blocks=4)) == {}, (
        "cached blocks that nobody uses are among those that are free"
    )


def test_a_receiver_needs_a_seat_and_a_slot() -> None:
    wanting = [spec(1, from_rank=7)]
    for status in (RankStatus(seats=0), RankStatus(slots=0)):
        assert bound(wanting, status, RankStatus(tokens=99), limits=GENERATION) == {1: [1]}
    many = [spec(i, from_rank=i) for i in range(6)]
    found = bound(many, RankStatus(slots=2), RankStatus(slots=3), limits=GENERATION)
    assert {rank: len(ids) for rank, ids in found.items()} == {0: 2, 1: 3}


def test_a_sender_with_its_share_in_flight_does_not_delay_the_others() -> None:
    shares = ((7, 1, 8), (8, 0, 8), (9, 2, 1))
    both = RankStatus(peers=shares), RankStatus(peers=shares)
    # 7 has one transfer left on each rank, 8 none, 9 too few blocks; with 5 there is none yet.
    waiting = [
        spec(i, prompt=15, from_rank=s) for i, s in enumerate((7, 7, 7, 8, 9, 5, 5, 5, 5, 5))
    ]
    found = bound(waiting, *both, limits=GENERATION)
    assert sorted(one for ids in found.values() for one in ids) == [0, 1, 5, 6, 7, 8]


def test_a_request_for_a_full_rank_keeps_nobody_from_the_other() -> None:
    waiting = [*(spec(i, prompt=90, wanted=0) for i in range(50)), spec(50, prompt=20)]
    for passed in ((), ((0, 0, 2 * MOST),)):
        assert bound(waiting, RankStatus(blocks=1), RankStatus(blocks=2), passed=passed) == {
            1: [50]
        }


def test_the_shorter_ones_pass_until_a_rank_waits_and_then_all() -> None:
    long, short = spec(0, prompt=80), [spec(i, prompt=20) for i in range(1, 99)]
    room = RankStatus(blocks=6), RankStatus(blocks=7)
    first = bound([long, *short], *room)
    assert first == {0: [1, 3, 5], 1: [2, 4]}, "with the fourth, the rank with most blocks waits"
    assert bound([long, *short], *room, passed=((0, 0, MOST),)) == {0: [1, 2, 3]}
    assert bound([long, *short], *room, passed=((0, 0, 2 * MOST),)) == {}
    assert bound([long, *short], RankStatus(blocks=8), *room[:1], passed=((0, 0, 99),))[0][0] == 0


def test_only_so_many_that_find_no_room_are_looked_past() -> None:
    waiting = [*(spec(i, prompt=90) for i in range(LOOKED_PAST)), spec(99, prompt=10)]
    assert bound(waiting, RankStatus(blocks=1), RankStatus(blocks=1)) == {}
    assert bound(waiting[1:], RankStatus(blocks=1), RankStatus()) != {}


def first_with_room(one: RequestSpec, loads: object, room: Sequence[int]) -> int | None:
    """A policy of one's own."""
    return next((rank for rank, free in enumerate(room) if free), None)


@pytest.mark.parametrize("policy", [*POLICIES, "own"])
def test_nobody_is_overtaken_without_bound(policy: str) -> None:
    """Two ranks that are always full of short ones, which come faster than they are served; one in
    twenty needs nearly a whole rank."""
    route = POLICIES[policy] if policy in POLICIES else routed_by(first_with_room)
    limits = replace(CONTEXT, route=route)
    draw = random.Random(policy)
    plan, held, overtaken = Plan(), [dict[int, RequestSpec](), {}], Counter[int]()
    open_: dict[int, RequestSpec] = {}
    bound_at: list[int] = []
    for i in range(600):
        for rank in held:
            for request_id in [one for one in rank if draw.random() < 0.3]:
                del rank[request_id]
        statuses = [
            RankStatus(blocks=16 - sum(CONTEXT.blocks_of(one) for one in rank.values()))
            for rank in held
        ]
        assert all(one.blocks >= 0 for one in statuses), "never more than it has"
        new = (
            ()
            if i > 500
            else tuple(
                spec(4 * i + j, prompt=150 if draw.random() < 0.05 else draw.randint(10, 40))
                for j in range(4)
            )
        )
        open_ |= {one.request_id: one for one in new}
        plan = agree(limits, plan, GroupInput(admitted=new) if new else None, statuses)
        for rank, specs in plan.assignments.items():
            for one in specs:
                held[rank][one.request_id] = one
                del open_[one.request_id]
                bound_at.append(one.request_id)
                if one.prompt_tokens < 150:
                    overtaken.update(other for other in open_ if other < one.request_id)
    assert max(overtaken.values()) <= 2 * MOST + 8, "those that one plan binds at once, beyond it"
    assert sum(1 for one in bound_at if one % 4 == 0) > 50


def test_who_waits_for_the_end_of_its_own_doubt_keeps_no_rank_from_others() -> None:
    again = replace_attempt(spec(0, prompt=10))
    others = [spec(i, prompt=10) for i in range(1, 9)]
    doubting = RankStatus(blocks=9, doubted=(0,))
    for times in (0, MOST, 2 * MOST):
        found = bound([again, *others], doubting, doubting, passed=((0, 1, times),))
        assert sorted(one for ids in found.values() for one in ids) == [*range(1, 9)]
    beside = RankStatus(blocks=0)
    assert bound([again, *others], doubting, beside, passed=((0, 1, MOST),)) == {
        0: [*range(1, 9)]
    }, "it waits for the other rank, which is the one kept for it"


def test_a_plan_in_which_nobody_fits_is_the_last_one() -> None:
    """However many wait: so nothing is sent, compared or applied anew."""
    full = [RankStatus(blocks=1)] * 2
    waiting = GroupInput(admitted=tuple(spec(i, prompt=90) for i in range(500)))
    plan = agree(CONTEXT, Plan(), waiting, full)
    assert len(plan.waiting) == 500
    assert agree(CONTEXT, plan, None, [RankStatus(blocks=2, tokens=9)] * 2) is plan
    assert agree(CONTEXT, plan, None, [RankStatus(blocks=9)] * 2) is not plan


def test_what_waits_for_the_kv_of_a_failed_rank_ends_at_once() -> None:
    waiting = Waiting([spec(1, from_rank=7), spec(2, from_rank=8), spec(3, wanted=1, from_rank=7)])
    failure = GroupInput(rank_failure=RankFailure(failed=(7,)))
    plan = agree(GENERATION, Plan(waiting=waiting), failure, [RankStatus(blocks=0)] * 2)
    assert [(one.request_id, one.outcome, one.sender) for one in plan.refusals] == [
        (1, Outcome.FAILED, 7),
        (3, Outcome.FAILED, 7),
    ]
    assert [one.request_id for one in plan.waiting] == [2]
