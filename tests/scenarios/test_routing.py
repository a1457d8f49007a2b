"""Which rank gets which request, by the policy of the experiment, both ways through quiet time."""

from __future__ import annotations

from collections import Counter

import pytest

from adpkv.workload.port import Arrival
from tests.scenarios.story import MS, arrival, setting, tell

PREFIXES, BLOCKS, TOKENS = 8, 10, 16


def one_user(requests: int) -> list[Arrival]:
    """Each request comes when the one before it is long over; its prompt is one of eight prefixes
    and a tail of its own."""
    return [
        Arrival(
            i * 100 * MS,
            BLOCKS * TOKENS + 8,
            2,
            tuple(1 + i * 5 % PREFIXES * 100 + block for block in range(BLOCKS)),
        )
        for i in range(requests)
    ]


@pytest.mark.parametrize(("policy", "hits"), [("load", 0.83), ("prefix", 0.94)])
def test_one_user_over_idle_ranks_reaches_all_of_them(policy: str, hits: float) -> None:
    """All of them went to ranks 0 and 4. With `prefix` each prefix is computed once."""
    count = 160
    data = setting(
        "one-user",
        4,
        4,
        kv_cache={"block_tokens": TOKENS, "blocks": 4 * (BLOCKS + 1)},
        router={"policy": policy},
    )
    told = tell(data, one_user(count))
    assert told.outcomes == ["completed"] * count
    ranks = Counter(r.context_rank for r in told.ran.records)
    assert (min(ranks.values()), len(ranks)) == (count // 4, 4)
    where = Counter(r.generation_rank for r in told.ran.records)
    assert [*sorted(where)] == [4, 5, 6, 7]
    assert min(where.values()) == count // 4
    assert told.summary["rates"]["prefix_hit_rate"] > hits * BLOCKS * TOKENS / (BLOCKS * TOKENS + 8)


def test_what_waits_goes_where_its_prefix_is_too() -> None:
    """One seat a rank, so that most of a burst waits: what the ranks say about those that wait is
    the same with quiet stretches and without."""
    data = setting(
        "burst",
        3,
        1,
        kv_cache={"block_tokens": TOKENS, "blocks": 64},
        executor={"max_requests_per_rank": 1, "max_batch_size": 1, "token_budget": 64},
        router={"policy": "prefix"},
    )
    burst = [
        Arrival(i % 4 * MS, BLOCKS * TOKENS, 2, tuple(1 + i % 3 * 100 + b for b in range(BLOCKS)))
        for i in range(48)
    ]
    told = tell(data, [*burst, arrival(2, 40, 2, wanted=0)])
    assert told.outcomes == ["completed"] * 49
    assert told.summary["rates"]["prefix_hit_rate"] > 0.5
