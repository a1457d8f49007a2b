"""The router: by a policy, in turns, deterministic, within capacity, a wish kept to the letter."""

from __future__ import annotations

import random
from collections import Counter

import numpy
import pytest
from core_parts import spec
from hypothesis import given
from hypothesis import strategies as st

from adpkv.core.group_limits import GroupLimits
from adpkv.core.group_ranks import GroupRanks
from adpkv.core.rank_status import RankStatus
from adpkv.core.router import (
    LOOKED_AT,
    LOOKED_PAST,
    POLICIES,
    Router,
    by_load,
    candidates,
    replicate,
    routed_by,
)
from adpkv.core.topology import Kind
from adpkv.core.values import RequestSpec
from adpkv.core.waiting import Waiting
from adpkv.errors import UsageError

MANY = 1_000
BLOCK_TOKENS = 4

Loads = list[tuple[int, int]]
"""(tokens, requests) of each rank."""


def ranks_of(
    *statuses: RankStatus, most: int = MANY, gone: frozenset[int] = frozenset()
) -> GroupRanks:
    count = len(statuses) + len(gone)
    limits = GroupLimits(Kind.CONTEXT, count, BLOCK_TOKENS, MANY, MANY, most, gone=gone)
    return limits.ranks_of(statuses)


def loaded(*loads: tuple[int, int], most: int = MANY) -> GroupRanks:
    return ranks_of(*(RankStatus(tokens=t, requests=n) for t, n in loads), most=most)


def routed(
    waiting: list[RequestSpec], ranks: GroupRanks, route: Router = by_load
) -> tuple[dict[int, list[int]], list[int]]:
    """The router, with request ids instead of requests."""
    found, left = route(Waiting(waiting), ranks)
    return (
        {rank: [s.request_id for s in specs] for rank, specs in found.items()},
        [s.request_id for s in left],
    )


def by_hand(
    waiting: list[RequestSpec], loads: Loads, turns: list[int], most: int
) -> tuple[dict[int, list[int]], list[int]]:
    """The rule in its plainest words, without a heap."""
    tokens, open_ = [load[0] for load in loads], [load[1] for load in loads]
    turns = [*turns]
    found: dict[int, list[int]] = {}
    left = []
    for at, one in enumerate(waiting):
        ranks = range(len(loads)) if one.wanted is None else [one.wanted]
        with_room = [r for r in ranks if open_[r] < most]
        if not with_room:
            left.append(one.request_id)
            continue
        rank = min(with_room, key=lambda r: (tokens[r], turns[r], r))
        tokens[rank] += one.prompt_tokens
        open_[rank] += 1
        turns[rank] = MANY + at
        found.setdefault(rank, []).append(one.request_id)
    return found, left


def test_the_fewest_tokens_win_and_equal_ranks_take_turns() -> None:
    waiting = [spec(i, prompt=10) for i in range(5)]
    ranks = loaded((20, 0), (0, 0), (0, 0))
    assert routed(waiting, ranks) == ({0: [4], 1: [0, 2], 2: [1, 3]}, [])
    later = ranks_of(*(RankStatus(turn=turn) for turn in (7, 5, 9)))
    assert routed([spec(0)], later) == ({1: [0]}, []), "the longest without a request"


def test_a_wish_is_honoured_although_another_rank_is_idle() -> None:
    assert routed([spec(1, wanted=0)], loaded((999, 5), (0, 0))) == ({0: [1]}, [])


def test_who_waits_for_a_full_rank_lets_others_pass() -> None:
    waiting = [spec(1, wanted=0), spec(2), spec(3, wanted=1)]
    assert routed(waiting, loaded((0, 2), (0, 0), most=2)) == ({1: [2, 3]}, [1])


def test_nobody_has_room() -> None:
    waiting = [spec(1), spec(2, wanted=1), spec(3)]
    assert routed(waiting, loaded((0, 2), (0, 2), most=2)) == ({}, [1, 2, 3])


def test_a_rank_over_its_share_is_full() -> None:
    assert routed([spec(1)], loaded((0, 3), most=2)) == ({}, [1])


def test_more_than_fits_waits_in_order() -> None:
    waiting = [spec(i) for i in range(5)]
    found, left = routed(waiting, loaded((0, 0), (0, 1), most=2))
    assert left == [3, 4]
    assert sum(len(ids) for ids in found.values()) == 3


def test_a_failed_rank_is_given_nothing() -> None:
    ranks = ranks_of(RankStatus(tokens=9), RankStatus(tokens=5), gone=frozenset({1}))
    assert routed([spec(1)], ranks) == ({2: [1]}, [])


REQUESTS = st.lists(
    st.tuples(st.integers(0, 30), st.one_of(st.none(), st.integers(0, 3))), max_size=25
)
LOADS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=4, max_size=4)
TURNS = st.lists(st.integers(0, 3), min_size=4, max_size=4)


@given(REQUESTS, LOADS, TURNS, st.integers(1, 5))
def test_the_same_as_by_hand(
    requests: list[tuple[int, int | None]], loads: Loads, turns: list[int], most: int
) -> None:
    waiting = [spec(i, prompt=n, wanted=w) for i, (n, w) in enumerate(requests)]
    statuses = [
        RankStatus(tokens=t, requests=n, turn=turn)
        for (t, n), turn in zip(loads, turns, strict=True)
    ]
    assert routed(waiting, ranks_of(*statuses, most=most)) == by_hand(waiting, loads, turns, most)


def test_who_stands_behind_one_that_finds_no_room_is_not_looked_at() -> None:
    class Unseen(Waiting):
        def __getitem__(self, place: int) -> RequestSpec:
            raise AssertionError("looked at")

    waiting = Unseen([*(spec(i) for i in range(50)), spec(50, wanted=0)])
    assert by_load(waiting, loaded((0, 2), most=2)) == ({}, waiting)


@pytest.mark.parametrize("policy", POLICIES)
def test_assignments_come_in_order_of_ranks(policy: str) -> None:
    """Their order can be seen in the plan's digest, so it must not depend on who came first."""
    rng = random.Random(1)
    for _ in range(20):
        waiting = [spec(i, wanted=rng.choice((None, 0, 1, 2, 3))) for i in range(8)]
        found, left = POLICIES[policy](Waiting(waiting), loaded(*[(0, 0)] * 4))
        assert list(found) == sorted(found)
        assert not left


def one_by_one(policy: str, count: int, prefixes: int = 0) -> tuple[list[int], int]:
    """One user's requests over four ranks that are idle each time, with a cache that keeps all:
    (which rank got each of them, how many found their prefix there)."""
    turns, caches, places, hits = [0] * 4, [set[int]() for _ in range(4)], [], 0
    for i in range(count):
        prefix = i * 7 % prefixes if prefixes else i
        statuses = [
            RankStatus(turn=turns[r], cached=((i, 0, 8, 0),) if prefix in caches[r] else ())
            for r in range(4)
        ]
        found, _ = routed([spec(i, prompt=40)], ranks_of(*statuses), POLICIES[policy])
        [rank] = found
        places.append(rank)
        hits += prefix in caches[rank]
        caches[rank].add(prefix)
        turns[rank] = i + 1
    return places, hits


def test_one_user_over_idle_ranks_reaches_all_of_them() -> None:
    """All 400 requests went to rank 0, and of eight prefixes only as many as fit there hit."""
    for policy in ("load", "round_robin"):
        places, hits = one_by_one(policy, 400, prefixes=8)
        assert Counter(places) == dict.fromkeys(range(4), 100), policy
    places, hits = one_by_one("prefix", 400, prefixes=8)
    assert Counter(places) == dict.fromkeys(range(4), 100)
    assert hits == 392, "each prefix is computed once"
    places, _ = one_by_one("power_of_two", 400)
    assert max(Counter(places).values()) < 140


def test_a_cached_prefix_attracts_as_far_as_it_saves() -> None:
    """16 tokens are cached on rank 0: up to 16 more open ones there are worth waiting for."""
    cached = ((1, 0, 4, 0),)
    for tokens, rank in ((0, 0), (15, 0), (17, 1), (500, 1)):
        ranks = ranks_of(RankStatus(tokens=tokens, cached=cached), RankStatus())
        assert routed([spec(1, prompt=40)], ranks, POLICIES["prefix"]) == ({rank: [1]}, [])
    another = ranks_of(RankStatus(tokens=1, cached=cached), RankStatus())
    assert routed([spec(2, prompt=40)], another, POLICIES["prefix"]) == ({1: [2]}, [])
    whole = ranks_of(RankStatus(tokens=39, cached=((1, 0, 10, 0),)), RankStatus(turn=1))
    assert routed([spec(1, prompt=40)], whole, POLICIES["prefix"]) == ({0: [1]}, []), (
        "the last token is always computed"
    )


def test_round_robin_takes_turns_whatever_the_load() -> None:
    ranks = loaded((900, 9), (0, 0), (500, 5))
    waiting = [spec(i) for i in range(6)]
    assert routed(waiting, ranks, POLICIES["round_robin"])[0] == {0: [0, 3], 1: [1, 4], 2: [2, 5]}


def test_of_two_drawn_ranks_the_one_with_fewer_tokens() -> None:
    power_of_two = POLICIES["power_of_two"]
    where = Counter(
        next(iter(routed([spec(i)], loaded((90, 1), (10, 1), (0, 0), (50, 1)), power_of_two)[0]))
        for i in range(600)
    )
    assert where[0] == 0, "the most loaded one loses every pair"
    assert where[2] > where[1] > where[3] > 0
    assert routed([spec(1)], loaded((0, 1), (5, 0), most=1), power_of_two) == ({1: [1]}, [])
    assert routed([spec(1)], loaded((0, 1), (5, 1), most=1), power_of_two) == ({}, [1])


def test_a_custom_policy_that_lets_wait_is_asked_about_so_many_only() -> None:
    asked = []

    def choose(one: RequestSpec, loads: object, room: object) -> int | None:
        asked.append((one.request_id, loads, room))
        return 1 if one.request_id == LOOKED_PAST - 1 else None

    waiting = [spec(i, prompt=10) for i in range(5 * LOOKED_PAST)]
    found, left = routed(waiting, loaded((0, 0), (7, 1), most=2), routed_by(choose))
    assert found == {1: [LOOKED_PAST - 1]}
    assert len(left) == len(waiting) - 1
    assert [one for one, _, _ in asked] == [*range(LOOKED_PAST + 1)]
    assert asked[0][1:] == (((0, 0), (7, 1)), (2, 1))
    assert asked[-1][1:] == (((0, 0), (17, 2)), (2, 0)), "with what was just assigned"


def test_a_custom_policy_must_choose_a_rank_of_the_group() -> None:
    for wrong in (2, -1, "0", 1.0, True):
        route = routed_by(lambda *_, wrong=wrong: wrong)  # type: ignore[misc, arg-type]
        with pytest.raises(UsageError, match="an instance with 2"):
            routed([spec(1)], loaded((0, 0), (0, 0)), route)
    of_numpy = routed_by(lambda *_: numpy.int64(1))  # type: ignore[arg-type, return-value]
    found, _ = routed([spec(1)], loaded((0, 0), (0, 0)), of_numpy)
    assert found == {1: [1]}


def test_of_whom_the_ranks_say_what_they_have_cached() -> None:
    waiting = Waiting([spec(1), spec(2, wanted=1), spec(3)])
    new = [spec(4, wanted=0), *(spec(i) for i in range(5, 99))]
    found = [one.request_id for one in candidates(waiting, new, LOOKED_AT)]
    assert found == [1, 3, *range(5, 5 + LOOKED_AT - 2)]
    assert [*candidates(Waiting(), (), LOOKED_AT)] == []


def test_without_adp_all_ranks_get_each_request_while_there_is_room() -> None:
    first, second, third = spec(1, wanted=1), spec(2), spec(3)
    waiting = Waiting([first, second, third])
    found, left = replicate(waiting, loaded((70, 3), (0, 0), most=5))
    assert found == {0: (first, second), 1: (first, second)}
    assert [*left] == [third]
    for most in (2, 3):
        assert replicate(left, loaded((0, 3), (0, 0), most=most)) == ({}, left)


def test_who_came_first_is_first_though_its_lane_is_the_younger() -> None:
    """Those who want no rank came before the one who wants one, and after it as well."""
    asked = [spec(0), spec(1, wanted=0), spec(2)]
    left = Waiting(asked).without([0])
    found, still = by_load(left, loaded((0, 0), most=1))
    assert [one.request_id for one in found[0]] == [1]
    assert [one.request_id for one in still] == [2]
