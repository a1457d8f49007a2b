"""The KV block pool of one rank: free list, prefix reuse by block hash, the block equation.

A request holds blocks through a lease. A *private* block belongs to one lease; a *tracked* block is
in the prefix index under its hash and may be shared by several leases. A block without a lease is
free (private) or cached (tracked; evicted in LRU order). At every moment, contract 3.7:

    free + cached + active + in transfer + quarantined == total

A block with several leases counts once, by the first of quarantined, in transfer and active that
applies to one of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import takewhile

from adpkv.core.report import BlockCounts
from adpkv.errors import AdpkvError

__all__ = ["BlockPool", "Lease", "Use"]


class Use(IntEnum):
    """What a lease's blocks are used for. Of a shared block the largest value counts."""

    ACTIVE = 0
    IN_TRANSFER = 1
    QUARANTINED = 2


# The number of leases on a tracked block, per use, packed into one integer: finding its use is a
# comparison, and a change of use is one addition.
_UNIT = (1, 1 << 20, 1 << 40)


def _use_of(holders: int) -> int:
    return 2 if holders >= _UNIT[2] else 1 if holders >= _UNIT[1] else 0


class Lease:
    """Blocks of one request, in prompt order.

    The first `reused` came from the prefix cache, and the first `tracked` are in the prefix index.
    `number` is never given out again by this pool; it distinguishes the present owner of a block
    from earlier ones.
    """

    __slots__ = ("blocks", "evicted", "number", "open", "reused", "tracked", "use")

    def __init__(self, number: int, blocks: list[int], reused: int, evicted: int) -> None:
        self.number = number
        self.blocks = blocks
        self.reused = reused
        self.evicted = evicted
        """How many blocks at the end of `blocks` were evicted from the cache for this lease."""
        self.tracked = reused
        self.use = Use.ACTIVE
        self.open = True


class BlockPool:
    """One rank's blocks. A call costs O(blocks of the lease)."""

    def __init__(self, total: int, *, reuse: bool = True) -> None:
        if total < 1:
            raise ValueError(f"a pool needs a block, not {total}")
        self.total = total
        self.reuses = reuse
        """Whether it keeps and finds the blocks of known prefixes."""
        # A stack: the block freed last is given out first, as its bytes may still be in the CPU's
        # cache. Blocks that were never given out come after it, lowest first. They are a range, not
        # a list: otherwise the pools of thousands of simulated ranks would take much memory.
        self._free: list[int] = []
        self._unused = range(total)
        self._index: dict[int, int] = {}
        self._hash_of: dict[int, int] = {}
        self._holders: dict[int, int] = {}
        # The cached blocks, in LRU order. An OrderedDict finds its first entry in O(1) after many
        # removals; a dict does not.
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._used = [0, 0, 0]
        self._numbers = 0

    def acquire(self, count: int, hashes: Sequence[int] = ()) -> Lease | None:
        """Lease `count` blocks; they begin with the longest prefix of `hashes` that is cached.

        Args:
            count: blocks for the request's whole life.
            hashes: prefix hashes of the prompt's full blocks, in order; at most `count`.

        Returns:
            The lease, or None if the pool has too few free and cached blocks.
        """
        found: list[int] = []
        if self.reuses:
            for value in hashes:
                block = self._index.get(value)
                if block is None:
                    break
                found.append(block)
        need = count - len(found)
        idle = self._idle
        spare = len(self._free) + len(self._unused) + len(idle)
        if found and need <= spare:
            spare -= sum([block in idle for block in found])
        if need > spare:
            return None
        holders, used = self._holders, self._used
        for block in found:
            held = holders.get(block, 0)
            if held:
                holders[block] = held + 1
            else:
                del idle[block]
                holders[block] = 1
                used[0] += 1
        reused = len(found)
        evicted = self._take(need, found)
        used[0] += need
        self._numbers += 1
        return Lease(self._numbers, found, reused, evicted)

    def acquire_apart(self, count: int, hashes: Sequence[int]) -> tuple[Lease, Lease] | None:
        """As `acquire`, but as two leases: of the cached prefix, and of the blocks after it.

        A receiver's blocks are written by a peer, its cached ones never: these stay active whatever
        becomes of the transfer, and can be released before it is proven over.
        """
        there, used = self.cached(hashes)
        if count - there > self.available() - (there - used):
            return None  # before anything changes: a call in vain must leave the LRU order alone
        pins, rest = self.acquire(there, hashes[:there]), self.acquire(count - there)
        assert pins is not None
        assert rest is not None
        return pins, rest

    def _take(self, need: int, into: list[int]) -> int:
        """Move `need` blocks to `into`, from the free list first, then from the cache. Returns how
        many were evicted from the cache."""
        free = self._free
        if need == 0:
            return 0
        fresh = min(need, len(free))
        if fresh:
            into += free[: -fresh - 1 : -1]
            del free[-fresh:]
        need -= fresh
        if need:
            into += self._unused[:need]
            fresh = min(need, len(self._unused))
            self._unused = self._unused[fresh:]
            need -= fresh
        evict, index, hash_of = self._idle.popitem, self._index, self._hash_of
        for _ in range(need):
            block, _ = evict(last=False)
            del index[hash_of.pop(block)]
            into.append(block)
        return need

    def available(self) -> int:
        """How many blocks a lease could have now, the cached ones included."""
        return len(self._free) + len(self._unused) + len(self._idle)

    def cached(self, hashes: Iterable[int]) -> tuple[int, int]:
        """How many blocks of this prefix are in the index, and how many of these have a lease."""
        if not self.reuses:
            return 0, 0
        found = [self._index[one] for one in takewhile(self._index.__contains__, hashes)]
        return len(found), sum(1 for block in found if block in self._holders)

    def commit(self, lease: Lease, hashes: Sequence[int]) -> None:
        """Put the lease's first blocks into the prefix index: they hold the KV of these hashes now.

        If another lease has committed one of the hashes meanwhile, the index keeps that block. This
        lease's block stays private, and so do those after it, so that the tracked blocks of a lease
        are always its first ones.
        """
        if not self.reuses:
            return
        index, hash_of, holders = self._index, self._hash_of, self._holders
        unit, first = _UNIT[lease.use], lease.tracked
        for value, block in zip(hashes[first:], lease.blocks[first:], strict=False):
            if value in index:
                break
            index[value] = block
            hash_of[block] = value
            holders[block] = unit
            lease.tracked += 1

    def set_use(self, lease: Lease, use: Use) -> None:
        """Change what the lease's blocks are used for.

        Raises:
            AdpkvError: the lease was released already.
        """
        self._check_open(lease)
        old = lease.use
        if old is use:
            return
        used, holders = self._used, self._holders
        alone, change = _UNIT[old], _UNIT[use] - _UNIT[old]
        moved = len(lease.blocks)
        for block in lease.blocks[: lease.tracked]:
            before = holders[block]
            holders[block] = after = before + change
            if before != alone:
                moved -= 1
                used[_use_of(before)] -= 1
                used[_use_of(after)] += 1
        used[old] -= moved
        used[use] += moved
        lease.use = use

    def release(self, lease: Lease) -> list[int]:
        """End a lease. Its private blocks become free; its tracked blocks become cached unless
        another lease has them. Call this only when it is proven that no peer touches the blocks.

        Returns:
            The blocks that became free.

        Raises:
            AdpkvError: the lease was released before (a double free).
        """
        self._check_open(lease)
        lease.open = False
        used, holders, idle = self._used, self._holders, self._idle
        unit = _UNIT[lease.use]
        gone = len(lease.blocks)
        # Backwards, so that the tail of a prefix is evicted before its head.
        for block in reversed(lease.blocks[: lease.tracked]):
            before = holders[block]
            if before == unit:
                del holders[block]
                idle[block] = None
            else:
                gone -= 1
                holders[block] = after = before - unit
                used[_use_of(before)] -= 1
                used[_use_of(after)] += 1
        used[lease.use] -= gone
        freed = lease.blocks[lease.tracked :]
        self._free += reversed(freed)
        return freed

    def _check_open(self, lease: Lease) -> None:
        if not lease.open:
            raise AdpkvError(
                f"lease {lease.number} ({len(lease.blocks)} blocks) was released twice"
            )

    def counts(self) -> BlockCounts:
        """A frozen snapshot of the block equation. `leaked` is filled in by `executor.audit`."""
        return BlockCounts(
            self.total,
            len(self._free) + len(self._unused),
            len(self._idle),
            self._used[0],
            self._used[1],
            self._used[2],
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless the equation holds and all indexes agree. For tests."""
        free, idle = set(self._free), set(self._idle)
        assert len(free) == len(self._free), "a block is twice in the free list"
        assert not free & idle, "a block is free and cached"
        assert not (free | idle) & set(self._holders), "an unheld block has holders"
        assert not free & set(self._unused), "a block came back that was never given out"
        assert len(free) + len(self._unused) + len(idle) + sum(self._used) == self.total, (
            "the block equation"
        )
        assert all(self._index[h] == b for b, h in self._hash_of.items()), "index and hashes"
        assert len(self._index) == len(self._hash_of), "index and hashes"
        by_use = [0, 0, 0]
        for held in self._holders.values():
            assert held > 0, "holders below one"
            by_use[_use_of(held)] += 1
        assert all(t <= u for t, u in zip(by_use, self._used, strict=True)), "uses"
