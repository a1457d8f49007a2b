"""The block pool against a plain model, step by step: any order of calls keeps contract 3.7."""

from __future__ import annotations

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from adpkv.core.block_pool import BlockPool, Lease, Use

TOTAL = 12
CHAINS = 3
LONGEST = 4


def chain(which: int, length: int) -> tuple[int, ...]:
    """Hashes of a prompt: two by two, chains share their first two blocks."""
    return tuple((which // 2 if i < 2 else 100 * which) + 10 * i for i in range(length))


class PoolMachine(RuleBasedStateMachine):
    """Leases come, commit, change use and go; `wanted` is what each was asked for."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(TOTAL)
        self.open: dict[int, tuple[Lease, tuple[int, ...]]] = {}
        self.content: dict[int, int] = {}
        """block -> the hash whose KV it holds, as far as it was committed."""

    @rule(
        target=leases,
        which=st.integers(0, CHAINS),
        length=st.integers(0, LONGEST),
        extra=st.integers(0, 3),
    )
    def acquire(self, which: int, length: int, extra: int) -> Lease | None:
        hashes = chain(which, length)
        count = max(length + extra, 1)
        counts = self.pool.counts()
        room = counts.free + counts.cached - self._promised(hashes)
        reused = self._prefix(hashes)
        lease = self.pool.acquire(count, hashes)
        if lease is None:
            assert count - len(reused) > room, "refused although it fits"
            return None
        assert lease.blocks[: lease.reused] == reused
        assert count - len(reused) <= room
        assert len(lease.blocks) == len(set(lease.blocks)) == count
        for block, value in zip(lease.blocks[: lease.reused], hashes, strict=False):
            assert self.content[block] == value, "a reused block holds somebody else's KV"
        fresh = lease.blocks[lease.reused :]
        for other, _ in self.open.values():
            assert not set(fresh) & set(other.blocks), "a block has two owners"
        for block in fresh:
            self.content.pop(block, None)
        self.open[lease.number] = (lease, hashes)
        return lease

    def _prefix(self, hashes: tuple[int, ...]) -> list[int]:
        """The blocks of the longest known prefix, one by one."""
        index = self._index()
        return [index[value] for value in itertools.takewhile(index.__contains__, hashes)]

    def _index(self) -> dict[int, int]:
        """Each hash that the pool knows, with its block."""
        runs = self.pool._runs._first.values()
        pairs = [*itertools.chain(*(zip(run.hashes, run.blocks, strict=False) for run in runs))]
        assert len(pairs) == len(dict(pairs)), "a hash is twice in the index"
        return dict(pairs)

    def _promised(self, hashes: tuple[int, ...]) -> int:
        """How many of them nobody holds: available now, and not once they are reused."""
        held = {block for lease, _ in self.open.values() for block in lease.blocks}
        return sum(block not in held for block in self._prefix(hashes))

    @rule(lease=leases)
    def commit(self, lease: Lease | None) -> None:
        if lease is None or lease.number not in self.open:
            return
        hashes = self.open[lease.number][1]
        self.pool.commit(lease, hashes)
        for block, value in zip(lease.blocks[: lease.tracked], hashes, strict=False):
            self.content[block] = value

    @rule(lease=leases, use=st.sampled_from(list(Use)))
    def set_use(self, lease: Lease | None, use: Use) -> None:
        if lease is not None and lease.number in self.open:
            self.pool.set_use(lease, use)

    @rule(lease=consumes(leases))
    def release(self, lease: Lease | None) -> None:
        if lease is None:
            return
        freed = self.pool.release(lease)
        assert freed == lease.blocks[lease.tracked :]
        del self.open[lease.number]

    @invariant()
    def every_index_holds(self) -> None:
        self.pool.check_integrity()

    @invariant()
    def each_block_counts_once_as_what_outranks(self) -> None:
        by_block: dict[int, Use] = {}
        for lease, _ in self.open.values():
            for block in lease.blocks:
                by_block[block] = max(by_block.get(block, Use.ACTIVE), lease.use)
        counts = self.pool.counts()
        found = list(by_block.values())
        assert counts.active == found.count(Use.ACTIVE)
        assert counts.in_transfer == found.count(Use.IN_TRANSFER)
        assert counts.quarantined == found.count(Use.QUARANTINED)
        assert counts.free + counts.cached == TOTAL - len(found)

    @invariant()
    def a_cached_block_can_be_found(self) -> None:
        """A prefix's head is never evicted before its tail, or the tail would be out of reach."""
        reachable: set[int] = set()
        index = self._index()
        for which in range(CHAINS + 1):
            for value in chain(which, LONGEST):
                if value not in index:
                    break
                reachable.add(value)
        assert set(index) == reachable


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
