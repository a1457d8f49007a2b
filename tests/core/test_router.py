"""The router: by tokens, deterministic, within capacity, and a wish is kept to the letter."""

from __future__ import annotations

import random

from core_parts import spec
from hypothesis import given
from hypothesis import strategies as st

from adpkv.core.router import Load, replicate, route
from adpkv.core.values import RequestSpec
from adpkv.core.waiting import Waiting

MANY = 1_000


def tokens_of(one: RequestSpec) -> int:
    return one.prompt_tokens


def routed(
    waiting: list[RequestSpec], loads: list[Load], most: int = MANY
) -> tuple[dict[int, list[int]], list[int]]:
    """route(), with request ids instead of requests."""
    found, left = route(Waiting(waiting), loads, most, tokens_of)
    return (
        {rank: [s.request_id for s in specs] for rank, specs in found.items()},
        [s.request_id for s in left],
    )


def by_hand(
    waiting: list[RequestSpec], loads: list[Load], most: int
) -> tuple[dict[int, list[int]], list[int]]:
    """The rule in its plainest words, without a heap."""
    tokens, open_ = [load[0] for load in loads], [load[1] for load in loads]
    found: dict[int, list[int]] = {}
    left = []
    for one in waiting:
        ranks = range(len(loads)) if one.wanted is None else [one.wanted]
        with_room = [r for r in ranks if open_[r] < most]
        if not with_room:
            left.append(one.request_id)
            continue
        rank = min(with_room, key=lambda r: (tokens[r], r))
        tokens[rank] += one.prompt_tokens
        open_[rank] += 1
        found.setdefault(rank, []).append(one.request_id)
    return found, left


def test_the_fewest_tokens_win_and_the_lower_rank_in_a_tie() -> None:
    waiting = [spec(i, prompt=10) for i in range(5)]
    assert routed(waiting, [(20, 0), (0, 0), (0, 0)]) == ({0: [4], 1: [0, 2], 2: [1, 3]}, [])


def test_a_wish_is_honoured_although_another_rank_is_idle() -> None:
    assert routed([spec(1, wanted=0)], [(999, 5), (0, 0)]) == ({0: [1]}, [])


def test_who_waits_for_a_full_rank_lets_others_pass() -> None:
    waiting = [spec(1, wanted=0), spec(2), spec(3, wanted=1)]
    assert routed(waiting, [(0, 2), (0, 0)], most=2) == ({1: [2, 3]}, [1])


def test_nobody_has_room() -> None:
    waiting = [spec(1), spec(2, wanted=1), spec(3)]
    assert routed(waiting, [(0, 2), (0, 2)], most=2) == ({}, [1, 2, 3])


def test_a_rank_over_its_share_is_full() -> None:
    assert routed([spec(1)], [(0, 3)], most=2) == ({}, [1])


def test_more_than_fits_waits_in_order() -> None:
    waiting = [spec(i) for i in range(5)]
    found, left = routed(waiting, [(0, 0), (0, 1)], most=2)
    assert left == [3, 4]
    assert sum(len(ids) for ids in found.values()) == 3


REQUESTS = st.lists(
    st.tuples(st.integers(0, 30), st.one_of(st.none(), st.integers(0, 3))), max_size=25
)
LOADS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=4, max_size=4)


@given(REQUESTS, LOADS, st.integers(1, 5))
def test_the_same_as_by_hand(
    requests: list[tuple[int, int | None]], loads: list[Load], most: int
) -> None:
    waiting = [spec(i, prompt=n, wanted=w) for i, (n, w) in enumerate(requests)]
    assert routed(waiting, loads, most) == by_hand(waiting, loads, most)


def test_who_stands_behind_one_that_finds_no_room_is_not_looked_at() -> None:
    class Unseen(Waiting):
        def __getitem__(self, place: int) -> RequestSpec:
            raise AssertionError("looked at")

    waiting = Unseen([*(spec(i) for i in range(50)), spec(50, wanted=0)])
    assert route(waiting, [(0, 2)], 2, tokens_of) == ({}, waiting)


def test_assignments_come_in_order_of_ranks() -> None:
    """Their order can be seen in the plan's digest, so it must not depend on who came first."""
    rng = random.Random(1)
    for _ in range(50):
        waiting = [spec(i, wanted=rng.randrange(4)) for i in range(8)]
        found, _ = route(Waiting(waiting), [(0, 0)] * 4, MANY, tokens_of)
        assert list(found) == sorted(found)


def test_without_adp_all_ranks_get_each_request_while_there_is_room() -> None:
    first, second, third = spec(1, wanted=1), spec(2), spec(3)
    waiting = Waiting([first, second, third])
    found, left = replicate(waiting, [(70, 3), (0, 0)], 5, tokens_of)
    assert found == {0: (first, second), 1: (first, second)}
    assert [*left] == [third]
    for most in (2, 3):
        assert replicate(left, [(0, 3), (0, 0)], most, tokens_of) == ({}, left)
