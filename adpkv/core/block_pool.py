"""The KV block pool of one rank: free list, prefix reuse by block hash, the block equation.

A request holds blocks through a lease. A *private* block belongs to one lease; a *tracked* block is
in the prefix index (`core.prefix_runs`) and may be shared by several leases. A block without a
lease is free (private) or cached (tracked; evicted in LRU order). At every moment, contract 3.7:

    free + cached + active + in transfer + quarantined == total

A block with several leases counts once, by the first of quarantined, in transfer and active that
applies to one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adpkv.core.block_numbers import block_numbers
from adpkv.core.prefix_runs import Part, PrefixRuns, Use
from adpkv.core.report import BlockCounts
from adpkv.errors import AdpkvError

__all__ = ["BlockPool", "Lease", "Use"]

_ACTIVE: Final = int(Use.ACTIVE)


class Lease:
    """Blocks of one request, in prompt order.

    The first `reused` came from the prefix cache, and the first `tracked` are in the prefix index.
    `number` is never given out again by this pool; it distinguishes the present owner of a block
    from earlier ones.
    """

    __slots__ = ("blocks", "evicted", "number", "open", "parts", "reused", "tracked", "use")

    def __init__(
        self, number: int, blocks: list[int], parts: Sequence[Part], reused: int, evicted: int
    ) -> None:
        self.number = number
        self.blocks = blocks
        self.parts = parts
        """The tracked ones as runs."""
        self.reused = reused
        self.evicted = evicted
        """How many blocks at the end of `blocks` were evicted from the cache for this lease."""
        self.tracked = reused
        self.use = _ACTIVE
        self.open = True


class BlockPool:
    """One rank's blocks. A call costs O(private blocks of the lease and runs of its prefix), and
    O(hashes) if it is given hashes; where prompts part in the middle of a run, O(its blocks)."""

    def __init__(self, total: int, *, reuse: bool = True) -> None:
        if total < 1:
            raise ValueError(f"a pool needs a block, not {total}")
        self.total = total
        self.reuses = reuse
        """Whether it keeps and finds the blocks of known prefixes."""
        # A stack: the block freed last is given out first, as its bytes may still be in the CPU's
        # cache. Blocks that were never given out come after it, lowest first.
        self._free: list[int] = []
        self._used = 0
        """How many blocks were ever given out: the lowest ones."""
        self._runs = PrefixRuns()
        self._private = [0, 0, 0]
        """Leased private blocks, by their use."""
        self._numbers = 0
        self.available = total
        """How many blocks a lease could have now, the cached ones included."""

    def acquire(self, count: int, hashes: Sequence[int] = ()) -> Lease | None:
        """Lease `count` blocks; they begin with the longest prefix of `hashes` that is cached.

        Args:
            count: blocks for the request's whole life.
            hashes: prefix hashes of the prompt's full blocks, in order; at most `count`.

        Returns:
            The lease, or None if the pool has too few free and cached blocks.
        """
        runs = self._runs
        found = runs.find(hashes) if self.reuses and hashes else {}
        reused = idle = 0
        for run, there in found.items():
            reused += there
            idle += 0 if run.holders else there
        need = count - reused
        if need > self.available - idle:
            return None
        self.available -= need + idle
        blocks: list[int] = []
        parts: Sequence[Part] = runs.hold(found, blocks) if found else ()
        evicted = self._take(need, blocks)
        self._private[_ACTIVE] += need
        self._numbers += 1
        return Lease(self._numbers, blocks, parts, reused, evicted)

    def acquire_apart(self, count: int, hashes: Sequence[int]) -> tuple[Lease, Lease] | None:
        """As `acquire`, but as two leases: of the cached prefix, and of the blocks after it.

        A receiver's blocks are written by a peer, its cached ones never: these stay active whatever
        becomes of the transfer, and can be released before it is proven over.
        """
        there, used = self.cached(hashes)
        if count - there > self.available - (there - used):
            return None  # before anything changes: a call in vain must leave the LRU order alone
        pins, rest = self.acquire(there, hashes[:there]), self.acquire(count - there)
        assert pins is not None
        assert rest is not None
        return pins, rest

    def _take(self, need: int, into: list[int]) -> int:
        """Move `need` blocks to `into`, from the free list first, then from the cache. Returns how
        many were evicted from the cache."""
        free = self._free
        fresh = len(free)
        if fresh > need:
            fresh = need
        if fresh:
            into += free[: -fresh - 1 : -1]
            del free[-fresh:]
            need -= fresh
        if need and self._used < self.total:
            first = self._used
            self._used = min(first + need, self.total)
            into += block_numbers(first, self._used)
            need -= self._used - first
        if need:
            self._runs.evict(need, into)
        return need

    def knows(self, hashes: Sequence[int]) -> bool:
        """Whether the first block of this prefix is in the index. O(1)."""
        return bool(hashes) and self._runs.knows(hashes[0])

    def cached(self, hashes: Sequence[int]) -> tuple[int, int]:
        """How many blocks of this prefix are in the index, and how many of these have a lease."""
        found = self._runs.find(hashes) if self.reuses else {}
        return sum(found.values()), sum(there for run, there in found.items() if run.holders)

    def commit(self, lease: Lease, hashes: Sequence[int]) -> None:
        """Put the lease's first blocks into the prefix index: they hold the KV of these hashes now.

        If another lease has committed one of the hashes meanwhile, the index keeps that block. This
        lease's block stays private, and so do those after it, so that the tracked blocks of a lease
        are always its first ones.
        """
        if not self.reuses:
            return
        first, blocks = lease.tracked, lease.blocks
        part = self._runs.add(hashes[first : len(blocks)], blocks[first : len(hashes)], lease.use)
        if part is not None:
            lease.parts = (*lease.parts, part)
            lease.tracked += part[1]
            self._private[lease.use] -= part[1]

    def set_use(self, lease: Lease, use: int) -> None:
        """Change what the lease's blocks are used for.

        Raises:
            AdpkvError: the lease was released already.
        """
        if not lease.open:
            raise _released_twice(lease)
        old = lease.use
        if old == use:
            return
        if lease.parts:
            self._runs.turn(lease.parts, old, use)
        own = len(lease.blocks) - lease.tracked
        self._private[old] -= own
        self._private[use] += own
        lease.use = use

    def release(self, lease: Lease) -> list[int]:
        """End a lease. Its private blocks become free; its tracked blocks become cached unless
        another lease has them. Call this only when it is proven that no peer touches the blocks.

        Returns:
            The blocks that became free.

        Raises:
            AdpkvError: the lease was released before (a double free).
        """
        if not lease.open:
            raise _released_twice(lease)
        lease.open = False
        if lease.parts:
            self.available += self._runs.drop(lease.parts, lease.use)
        freed = lease.blocks[lease.tracked :]
        self.available += len(freed)
        self._private[lease.use] -= len(freed)
        self._free += freed[::-1]
        return freed

    def counts(self) -> BlockCounts:
        """A frozen snapshot of the block equation. `leaked` is filled in by `executor.audit`."""
        runs, own = self._runs, self._private
        return BlockCounts(
            self.total,
            len(self._free) + self.total - self._used,
            runs.cached,
            own[0] + runs.used[0],
            own[1] + runs.used[1],
            own[2] + runs.used[2],
        )

    def order(self) -> tuple[list[int], list[int]]:
        """The freed blocks and the cached ones, each in the order in which they are given out."""
        return self._free[::-1], self._runs.in_order()

    def check_integrity(self) -> None:
        """Raise AssertionError unless the equation holds and all indexes agree. For tests."""
        runs = self._runs
        runs.check_integrity()
        unused = range(self._used, self.total)
        there = [*self._free, *unused, *runs.in_order(), *runs.leased()]
        assert len(there) == len(set(there)), "a block is in two places"
        assert len(there) + sum(self._private) == self.total, "the block equation"
        assert min(self._private) >= 0, "uses"
        free = len(self._free) + len(unused)
        assert self.available == free + runs.cached, "what is available"


def _released_twice(lease: Lease) -> AdpkvError:
    return AdpkvError(f"lease {lease.number} ({len(lease.blocks)} blocks) was released twice")
