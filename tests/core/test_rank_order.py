"""The ranks in order: the first that can take a request is found, in a memory that has a bound."""

from __future__ import annotations

import random

import pytest
from core_parts import spec

from adpkv.core.group_limits import GroupLimits
from adpkv.core.group_ranks import GroupRanks
from adpkv.core.rank_order import SPARE
from adpkv.core.rank_status import RankStatus
from adpkv.core.topology import Kind


def _ranks(count: int) -> GroupRanks:
    limits = GroupLimits(Kind.CONTEXT, count, 10, 1000, 1000, 1000)
    return limits.ranks_of([RankStatus() for _ in range(count)])


@pytest.mark.parametrize("seed", range(8))
def test_the_first_that_can_take_it_is_found_in_a_bounded_memory(seed: int) -> None:
    """Most ranks are full most of the time, and each says something new again and again: so each is
    set aside and comes back thousands of times."""
    draw = random.Random(seed)
    count = draw.choice([2, 4, 9])
    ranks = _ranks(count)
    most = found = 0
    for at in range(3000):
        for rank in draw.sample(range(count), draw.randint(0, count)):
            ranks.hear(
                rank,
                RankStatus(
                    tokens=draw.randrange(9),
                    blocks=draw.choice([0, 0, 1, 2, 9, 12]),
                    seats=draw.choice([0, 3, 3, 3]),
                    turn=draw.randrange(3),
                ),
            )
        order = ranks.in_order_of(ranks.tokens, ranks.turns)
        for more in range(draw.randint(1, 3)):
            one = spec(10 * at + more, prompt=10 * draw.choice([1, 3, 10]))
            able = [rank for rank in range(count) if ranks.can_take(rank, one)]
            first = min(
                able, key=lambda rank: (ranks.tokens[rank], ranks.turns[rank], rank), default=None
            )
            assert order.first(ranks, one) == first
            if first is not None:
                ranks.give(first, one)
                found += 1
        most = max(most, len(order._heap), len(order._aside))
    assert most <= 2 * count + SPARE
    assert found > 1000, "in which nothing happens shows nothing"
