"""The KV block pool of one rank: free list, prefix reuse by block hash, the block equation.

A block is held by leases. A *private* block has one lease for life; a *tracked* one is in the
prefix index under its hash and may be shared by readers. What nobody holds is free (private) or
cached (tracked, evicted in LRU order). At every moment, contract 3.7:

    free + cached + active + in transfer + quarantined == total

where a block with several holders counts once, as the first of quarantined, in transfer, active.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from enum import IntEnum

from adpkv.core.report import BlockCounts
from adpkv.errors import AdpkvError

__all__ = ["BlockPool", "Lease", "Use"]


class Use(IntEnum):
    """What a lease's blocks are doing; a larger one outranks a smaller one in the equation."""

    ACTIVE = 0
    IN_TRANSFER = 1
    QUARANTINED = 2


# A tracked block's holders, counted per use and packed into one integer: its use is then a
# comparison, and a change of use one addition.
_UNIT = (1, 1 << 20, 1 << 40)


def _use_of(holders: int) -> int:
    return 2 if holders >= _UNIT[2] else 1 if holders >= _UNIT[1] else 0


class Lease:
    """Blocks of one request, in prompt order; the first `reused` came from the prefix cache and
    the first `tracked` are in the index. `number` is unique in the pool's life: the generation by
    which a former owner of a block is told from its present one."""

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
    """One rank's blocks. O(blocks of the lease) per call, O(1) for private ones."""

    def __init__(self, total: int, *, reuse: bool = True) -> None:
        if total < 1:
            raise ValueError(f"a pool needs a block, not {total}")
        self.total = total
        self._reuse = reuse
        # A stack: the block freed last is given out first, and its bytes are still in the cache.
        # Below it are those that were never given out, lowest first: only their number is kept, or
        # the pools of many ranks would be lists of what nobody uses.
        self._free: list[int] = []
        self._unused = range(total)
        self._index: dict[int, int] = {}
        self._hash_of: dict[int, int] = {}
        self._holders: dict[int, int] = {}
        # Finds its first entry in O(1) however many left before it, which a dict does not.
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._used = [0, 0, 0]
        self._numbers = 0

    def acquire(self, count: int, hashes: Sequence[int] = ()) -> Lease | None:
        """Lease `count` blocks, the longest cached prefix of `hashes` among them; None if they
        are not there. `hashes` has at most `count` values, one per full block of the prompt."""
        found: list[int] = []
        if self._reuse:
            for value in hashes:
                block = self._index.get(value)
                if block is None:
                    break
                found.append(block)
        need = count - len(found)
        idle = self._idle
        spare = (
            len(self._free)
            + len(self._unused)
            + len(idle)
            - sum(1 for block in found if block in idle)
        )
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

    def _take(self, need: int, into: list[int]) -> int:
        """Move `need` blocks out of the free list, then out of the cache; count the latter."""
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
        for _ in range(need):
            block, _ = self._idle.popitem(last=False)
            del self._index[self._hash_of.pop(block)]
            into.append(block)
        return need

    def commit(self, lease: Lease, hashes: Sequence[int]) -> None:
        """The lease's first blocks now hold the KV of these prompt blocks: let others find them.

        A hash that somebody else committed meanwhile keeps its first block; ours stays private,
        as do the ones behind it, so that tracked blocks stay a prefix of the lease."""
        if not self._reuse:
            return
        index = self._index
        unit = _UNIT[lease.use]
        for i in range(lease.tracked, len(hashes)):
            if hashes[i] in index:
                break
            block = lease.blocks[i]
            index[hashes[i]] = block
            self._hash_of[block] = hashes[i]
            self._holders[block] = unit
            lease.tracked = i + 1

    def turn(self, lease: Lease, use: Use) -> None:
        """The lease's blocks do something else from now on."""
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
        """Nobody needs the lease any more: tracked blocks without holders become cached, private
        ones free. Returns the freed ones. Only for blocks that are proven quiescent.

        Raises:
            AdpkvError: the lease was released before (a double free).
        """
        self._check_open(lease)
        lease.open = False
        used, holders = self._used, self._holders
        unit = _UNIT[lease.use]
        gone = len(lease.blocks)
        # Backwards, so that the tail of a prefix is evicted before its head.
        for block in reversed(lease.blocks[: lease.tracked]):
            before = holders[block]
            if before == unit:
                del holders[block]
                self._idle[block] = None
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
        """A frozen snapshot of the block equation; `leaked` is the auditor's (`executor.audit`)."""
        return BlockCounts(
            self.total,
            len(self._free) + len(self._unused),
            len(self._idle),
            self._used[0],
            self._used[1],
            self._used[2],
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless the equation and every index hold. O(blocks); for tests."""
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
