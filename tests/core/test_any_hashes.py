"""The block pool with ids that are no prefix hashes, as those of a trace may be: one twice in a
prompt, or behind two prefixes. No block is lost or counted twice, and no call raises."""

from __future__ import annotations

import random

import pytest

from adpkv.core.block_pool import BlockPool, Lease, Use


def serve(pool: BlockPool, *hashes: int) -> None:
    lease = pool.acquire(len(hashes), hashes)
    assert lease is not None
    pool.commit(lease, hashes)
    pool.release(lease)
    pool.check_integrity()


@pytest.mark.parametrize(
    "prompts", [[(7, 7), (7,)], [(1, 2), (3, 2), (1,), (3,)]], ids=["twice", "behind two"]
)
def test_all_that_is_cached_can_be_evicted(prompts: list[tuple[int, ...]]) -> None:
    pool = BlockPool(4)
    for prompt in prompts:
        serve(pool, *prompt)
    lease = pool.acquire(4)
    assert lease is not None
    assert sorted(lease.blocks) == [0, 1, 2, 3]
    pool.check_integrity()


def test_what_is_hidden_may_outlive_what_hides_it() -> None:
    pool = BlockPool(5)
    for prompt in (1, 2), (2,), (1, 2):
        serve(pool, *prompt)
    serve(pool, 1)  # hides the 2 behind it
    found = []
    for taken in (3, 4, 5):  # two are free
        found.append(pool.cached((2,))[0])
        lease = pool.acquire(taken)
        assert lease is not None
        pool.check_integrity()
        pool.release(lease)
    assert found == [1, 0, 0]
    assert pool.counts().free == 5


@pytest.mark.parametrize("seed", range(150))
def test_any_order_of_calls(seed: int) -> None:
    draw = random.Random(seed)
    total, ids = draw.choice((3, 8, 20, 40)), draw.choice((1, 2, 4, 6))
    pool = BlockPool(total)
    open_: list[tuple[Lease, tuple[int, ...]]] = []
    for _ in range(80):
        call = draw.random()
        if call < 0.45:
            hashes = tuple(draw.randint(1, ids) for _ in range(draw.randint(0, 8)))
            count = len(hashes) + draw.randint(0, 2)
            if draw.random() < 0.3:
                for lease in pool.acquire_apart(count, hashes) or ():
                    open_.append((lease, hashes[: len(lease.blocks)]))
            elif (one := pool.acquire(count, hashes)) is not None:
                open_.append((one, hashes))
        elif open_ and call < 0.65:
            lease, hashes = draw.choice(open_)
            pool.commit(lease, hashes[: draw.randint(0, len(hashes))])
        elif open_ and call < 0.8:
            pool.set_use(draw.choice(open_)[0], draw.choice(list(Use)))
        elif open_:
            pool.release(open_.pop(draw.randrange(len(open_)))[0])
        holds(pool, [lease for lease, _ in open_])
    for lease, _ in open_:
        pool.release(lease)
    everything = pool.acquire(total)
    assert everything is not None
    assert sorted(everything.blocks) == list(range(total))


def holds(pool: BlockPool, leases: list[Lease]) -> None:
    """The equation, and every block counts as what its leases do with it."""
    pool.check_integrity()
    used: dict[int, Use] = {}
    for lease in leases:
        for block in lease.blocks:
            used[block] = max(used.get(block, Use.ACTIVE), lease.use)
    counts, uses = pool.counts(), list(used.values())
    assert counts.free + counts.cached == pool.available == pool.total - len(used)
    found = (counts.active, counts.in_transfer, counts.quarantined)
    assert found == tuple(uses.count(use) for use in Use)
