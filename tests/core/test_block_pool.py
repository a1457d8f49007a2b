"""The block pool: prefix reuse, LRU eviction, the block equation."""

from __future__ import annotations

import pytest

from adpkv.core.block_pool import BlockPool, Lease, Use
from adpkv.errors import AdpkvError


def held(pool: BlockPool, count: int, hashes: tuple[int, ...] = ()) -> Lease:
    lease = pool.acquire(count, hashes)
    assert lease is not None
    return lease


def cached(pool: BlockPool, *hashes: int, extra: int = 0) -> list[int]:
    """Leave the KV of these prompt blocks in the cache; their block ids."""
    lease = held(pool, len(hashes) + extra, hashes)
    pool.commit(lease, hashes)
    pool.release(lease)
    return lease.blocks[: len(hashes)]


def uses(pool: BlockPool) -> tuple[int, int, int, int, int]:
    c = pool.counts()
    return (c.free, c.cached, c.active, c.in_transfer, c.quarantined)


def test_the_equation_at_each_use() -> None:
    pool = BlockPool(10)
    lease = held(pool, 4)
    seen = [uses(pool)]
    for use in (Use.IN_TRANSFER, Use.QUARANTINED):
        pool.set_use(lease, use)
        seen.append(uses(pool))
    pool.release(lease)
    seen.append(uses(pool))
    assert seen == [(6, 0, 4, 0, 0), (6, 0, 0, 4, 0), (6, 0, 0, 0, 4), (10, 0, 0, 0, 0)]


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    pool = BlockPool(4)
    cached(pool, 1, 2)
    before = uses(pool)
    assert pool.acquire(5, (1, 2)) is None
    assert uses(pool) == before
    pool.check_integrity()


def test_a_cached_prefix_counts_for_what_is_available_only_once() -> None:
    """The reused blocks are themselves evictable: they must not be promised twice."""
    pool = BlockPool(4)
    cached(pool, 1, 2)
    assert uses(pool)[:2] == (2, 2), "free and cached: four in all"
    assert pool.acquire(5, (1, 2)) is None
    lease = held(pool, 4, (1, 2))
    assert (lease.reused, lease.evicted, sorted(lease.blocks)) == (2, 0, [0, 1, 2, 3])


def test_the_longest_prefix_is_reused_and_no_more() -> None:
    pool = BlockPool(8)
    first, second = cached(pool, 1, 2)
    lease = held(pool, 4, (1, 2, 3))
    assert (lease.blocks[:2], lease.reused) == ([first, second], 2)
    other = held(pool, 3, (9, 2))
    assert other.reused == 0, "a prefix begins at the beginning"


def test_without_reuse_nothing_is_cached() -> None:
    pool = BlockPool(4, reuse=False)
    cached(pool, 1, 2)
    assert uses(pool) == (4, 0, 0, 0, 0)
    assert held(pool, 2, (1, 2)).reused == 0


def test_eviction_takes_the_least_recently_used_and_tails_before_heads() -> None:
    pool = BlockPool(4)
    first_head, first_tail = cached(pool, 1, 2)
    second_head, second_tail = cached(pool, 11, 12)
    taken = [held(pool, 1).blocks[0] for _ in range(4)]
    assert taken == [first_tail, first_head, second_tail, second_head]


def test_what_is_cut_off_a_cached_prefix_keeps_its_place() -> None:
    pool = BlockPool(5)
    blocks = cached(pool, 1, 2, 3)
    (other,) = cached(pool, 11)
    lease = held(pool, 2, (1, 2))
    assert lease.blocks == blocks[:2]
    held(pool, 1)  # the free one
    assert [held(pool, 1).blocks[0] for _ in range(2)] == [blocks[2], other]
    assert pool.acquire(1) is None, "the rest of the prefix is leased"
    pool.check_integrity()


def test_a_lease_keeps_all_of_a_prefix_that_is_cut_under_it() -> None:
    pool = BlockPool(6)
    long = held(pool, 4, (1, 2, 3, 4))
    pool.commit(long, (1, 2, 3, 4))
    middle, short = held(pool, 3, (1, 2, 3)), held(pool, 1, (1,))
    assert (middle.reused, short.reused) == (3, 1)
    pool.set_use(long, Use.IN_TRANSFER)
    assert uses(pool) == (2, 0, 0, 4, 0)
    pool.set_use(middle, Use.QUARANTINED)
    assert uses(pool) == (2, 0, 0, 1, 3)
    pool.release(long)
    assert uses(pool) == (2, 1, 0, 0, 3)
    pool.release(middle)
    assert uses(pool) == (2, 3, 1, 0, 0)
    pool.release(short)
    assert held(pool, 4, (1, 2, 3, 4)).blocks == long.blocks
    pool.check_integrity()


def test_a_prompt_that_says_a_prefix_again_reuses_it_once() -> None:
    """No prompt does, if hashes are of prefixes; a custom workload may be wrong about that."""
    pool = BlockPool(6)
    cached(pool, 1, 2)
    lease = held(pool, 4, (1, 2, 1, 2))
    assert lease.reused == 2
    assert len(set(lease.blocks)) == 4
    pool.commit(lease, (1, 2, 1, 2))
    pool.release(lease)
    pool.check_integrity()


def test_using_a_prefix_again_makes_it_recent() -> None:
    pool = BlockPool(4)
    cached(pool, 1)
    others = [cached(pool, h)[0] for h in (2, 3)]
    cached(pool, 1)
    held(pool, 1)  # the free one
    assert [held(pool, 1).blocks[0] for _ in range(2)] == others


def test_free_blocks_go_before_cached_ones() -> None:
    pool = BlockPool(3)
    cached(pool, 1)
    lease = held(pool, 2)
    assert lease.evicted == 0
    assert held(pool, 1).evicted == 1


def test_a_shared_block_counts_once_as_what_outranks() -> None:
    """Quarantined before in transfer before active before cached (contract 3.7)."""
    pool = BlockPool(6)
    cached(pool, 1, 2)
    leases = [held(pool, 2, (1, 2)) for _ in range(3)]
    assert uses(pool) == (4, 0, 2, 0, 0)
    pool.set_use(leases[0], Use.IN_TRANSFER)
    assert uses(pool) == (4, 0, 0, 2, 0)
    pool.set_use(leases[1], Use.QUARANTINED)
    assert uses(pool) == (4, 0, 0, 0, 2)
    pool.release(leases[1])
    assert uses(pool) == (4, 0, 0, 2, 0)
    pool.release(leases[0])
    assert uses(pool) == (4, 0, 2, 0, 0)
    pool.release(leases[2])
    assert uses(pool) == (4, 2, 0, 0, 0)


def test_two_that_computed_the_same_keep_their_own_blocks() -> None:
    pool = BlockPool(6)
    mine, theirs = held(pool, 2, (1, 2)), held(pool, 2, (1, 2))
    pool.commit(mine, (1, 2))
    pool.commit(theirs, (1, 2))
    assert (mine.tracked, theirs.tracked) == (2, 0)
    assert pool.release(theirs) == theirs.blocks
    assert pool.release(mine) == []
    assert held(pool, 2, (1, 2)).blocks == mine.blocks


def test_a_longer_prompt_adds_to_the_prefix_it_reused() -> None:
    pool = BlockPool(6)
    cached(pool, 1)
    cached(pool, 1, 2, 3)
    assert held(pool, 3, (1, 2, 3)).reused == 3


@pytest.mark.parametrize("again", ["release", "turn"])
def test_a_double_free_is_an_error_and_changes_nothing(again: str) -> None:
    pool = BlockPool(4)
    lease = held(pool, 2)
    pool.release(lease)
    before = uses(pool)
    with pytest.raises(AdpkvError, match="released twice"):
        pool.release(lease) if again == "release" else pool.set_use(lease, Use.QUARANTINED)
    assert uses(pool) == before
    pool.check_integrity()


def test_lease_numbers_are_never_used_twice() -> None:
    pool = BlockPool(1)
    numbers = []
    for _ in range(3):
        lease = held(pool, 1)
        numbers.append(lease.number)
        pool.release(lease)
    assert numbers == [1, 2, 3]


def test_what_was_freed_last_is_given_out_first() -> None:
    pool = BlockPool(4)
    first, second = held(pool, 2), held(pool, 2)
    pool.release(second)
    pool.release(first)
    assert held(pool, 2).blocks == first.blocks


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="a pool needs a block"):
        BlockPool(0)


def test_a_prefix_apart_stays_active_whatever_becomes_of_the_rest() -> None:
    """A receiver's cached blocks are never exposed: they are not in transfer with the others, and
    go before it is proven that these are over."""
    pool = BlockPool(8)
    blocks = cached(pool, 1, 2)
    found = pool.acquire_apart(5, (1, 2, 3))
    assert found is not None
    pins, rest = found
    assert (pins.blocks, len(rest.blocks)) == (blocks, 3)
    pool.set_use(rest, Use.IN_TRANSFER)
    assert uses(pool) == (3, 0, 2, 3, 0)
    pool.set_use(rest, Use.QUARANTINED)
    pool.release(pins)
    assert uses(pool) == (3, 2, 0, 0, 3)
    assert held(pool, 2, (1, 2)).reused == 2, "others may have them while it is in doubt"
    pool.release(rest)
    pool.check_integrity()


def test_a_prefix_apart_is_not_promised_twice_and_in_vain_changes_nothing() -> None:
    pool = BlockPool(6)
    cached(pool, 1, 2)
    cached(pool, 8, 9)
    assert pool.acquire_apart(7, (1, 2)) is None
    held(pool, 2)
    assert pool.acquire_apart(5, (1, 2)) is None, "four could be had, two of them its own"
    assert uses(pool) == (0, 4, 2, 0, 0)
    assert pool.cached((1, 2)) == (2, 0)
    taken = held(pool, 1)
    assert pool.cached((1, 2)) == (1, 0), "the oldest is evicted still: a look is no use"
    pool.release(taken)


def test_a_prefix_apart_is_shared_with_whoever_reads_it() -> None:
    pool = BlockPool(5)
    blocks = cached(pool, 1, 2)
    one, other = pool.acquire_apart(3, (1, 2)), pool.acquire_apart(3, (1, 2))
    assert one is not None
    assert other is not None
    assert one[0].blocks == other[0].blocks == blocks
    assert (uses(pool), pool.available) == ((1, 0, 4, 0, 0), 1)
    pool.release(one[0])
    assert pool.acquire(2) is None, "the other reads them"
    pool.check_integrity()


def test_a_run_is_evicted_bit_by_bit_and_what_is_gone_is_not_found() -> None:
    pool = BlockPool(8)
    prompt = tuple(range(1, 9))
    blocks = cached(pool, *prompt)
    taken = [held(pool, 1).blocks for _ in range(3)]
    assert taken == [[block] for block in blocks[:-4:-1]]
    assert pool.cached(prompt) == (5, 0)
    one, other = held(pool, 5, prompt[:5]), held(pool, 2, prompt[:2])
    assert (one.blocks, other.blocks) == (blocks[:5], blocks[:2])
    pool.check_integrity()
    pool.release(one)
    assert [held(pool, 1).blocks for _ in range(2)] == [[blocks[4]], [blocks[3]]]
    assert pool.cached(prompt) == (3, 2)
    pool.check_integrity()
