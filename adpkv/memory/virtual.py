"""Memory of the virtual world, without bytes: a ledger of each block's owner and writer.

It checks each hand-out, release and write when it happens, and reports write after free, freed in
doubt (a peer may still write), double free, two owners, two writers, and KV that never came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from adpkv.memory.port import Report
from adpkv.memory.reuse import KeptBlocks
from adpkv.subclassing import mypyc_attr

__all__ = ["Landing", "LedgerMemory"]

NOBODY: Final = 0
"""In place of a lease number; these begin at 1."""

_NOBODY: Final[Any] = NOBODY
"""The same as an object, for the lists."""


class Landing(Protocol):
    """What the virtual link needs of a ledger."""

    def awaited(self, blocks: Sequence[int]) -> int:
        """The lease, or what stands for one, for which a peer may write into the blocks."""

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """The link wrote into the blocks for `owner`; `whole`: all bytes of the transfer."""


@mypyc_attr(allow_interpreted_subclasses=True)
class LedgerMemory:
    """One rank's ledger; implements `memory.port.Memory`. A call costs O(its blocks), but for a
    lease that gives up a shared block: it is looked for among all readers of that."""

    def __init__(
        self,
        blocks: int,
        block_tokens: int,
        block_bytes: int,
        report: Report,
    ) -> None:
        self.block_tokens = block_tokens
        self.block_bytes = block_bytes
        self._report = report
        self._blocks = blocks
        # They grow with the highest block used so far: a pool gives low blocks out first, and most
        # ranks of a large job never use all of theirs. Their numbers are shared objects: a compiled
        # list of `int` would make one for each block.
        self._owner: list[Any] = []
        """By block: the lease that has it."""
        self._writer: list[Any] = []
        """By block: the lease for which a peer may write into it."""
        self._landed: set[int] = set()
        self._kept = KeptBlocks(report)
        self._overwritten: set[int] = set()
        """Leases into whose blocks a peer wrote that was not allowed to."""

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
        """Blocks get a new owner. A fresh one must have none, an evicted one no writer."""
        self._reach(fresh)
        owners = self._owner
        lease: Any = owner
        for block in fresh:
            if owners[block]:
                self._report(
                    "two_owners",
                    f"block {block} of lease {owners[block]} given to {owner}",
                    (owners[block], owner),
                )
            owners[block] = lease
        if evicted:
            self._kept.gone(evicted, "evicted")
            writers, doubtful = self._writer, False
            for block in evicted:
                owners[block] = lease
                if writers[block]:
                    doubtful = True
            if doubtful:
                self._doubt(evicted, "evicted")

    def release(self, blocks: Sequence[int]) -> None:
        """Blocks go back to the free list."""
        if not blocks:
            return
        self._reach(blocks)
        owners, writers, doubtful = self._owner, self._writer, False
        self._kept.gone(blocks, "freed")
        self._landed.discard(owners[blocks[0]])
        if self._overwritten:
            self._overwritten.difference_update([owners[block] for block in blocks])
        for block in blocks:
            if not owners[block]:
                self._report("double_free", f"block {block} was free already", ())
            owners[block] = _NOBODY
            if writers[block]:
                doubtful = True
        if doubtful:
            self._doubt(blocks, "freed")

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """One peer may write into the blocks from now on; of a block that is advertised for the
        second time, the last one."""
        self._kept.exposed(owner, blocks)
        self._reach(blocks)
        writers = self._writer
        lease: Any = owner
        for block in blocks:
            if writers[block]:
                self._report(
                    "two_writers",
                    f"block {block} awaits lease {writers[block]} and {owner}",
                    (writers[block], owner),
                )
            writers[block] = lease

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """It is proven that the peer writes no more."""
        self._reach(blocks)
        writers = self._writer
        lease: Any = owner
        for block in blocks:
            if writers[block] == lease:
                writers[block] = _NOBODY

    def keep(self, blocks: Sequence[int], keys: Sequence[int]) -> None:
        """These blocks hold the KV of these keys, and may be shared."""
        self._kept.keep(blocks, keys)

    def pin(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        """Lease `owner` reads these kept blocks."""
        self._kept.pin(owner, blocks, keys)

    def unpin(self, owner: int, blocks: Sequence[int]) -> None:
        """Lease `owner` reads them no more."""
        self._kept.unpin(owner, blocks)

    def awaited(self, blocks: Sequence[int]) -> int:
        """The lease for which a peer may write into the blocks. The link remembers it with an
        advertise."""
        block = blocks[0]
        return self._writer[block] if block < len(self._writer) else NOBODY

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """The link wrote into the blocks for lease `owner`; `whole`: all bytes of the transfer."""
        self._reach(blocks)
        writers = self._writer
        lease: Any = owner
        for block in blocks:
            if writers[block] != lease:
                self._stray(owner, blocks)
                return
        if whole:
            self._landed.add(owner)

    def _stray(self, owner: int, blocks: Sequence[int]) -> None:
        """Bytes landed in blocks that await none for this lease."""
        wrong = [block for block in blocks if self._writer[block] != owner]
        now = self._owner[wrong[0]]
        self._report(
            "write_after_free",
            f"bytes for lease {owner} landed in block {wrong[0]}, which lease {now} holds now",
            (owner, now),
        )
        self._overwritten.update([one for one in [self._owner[block] for block in wrong] if one])

    def compute(
        self, blocks: Sequence[int], keys: Sequence[int], first_token: int, end_token: int
    ) -> None:
        """Nothing to do: there are no bytes."""

    def verify(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Whether all bytes for the blocks' lease have been written. The kept ones at the beginning
        were checked when they were pinned."""
        owner = self._owner_of(blocks[-1])
        if owner in self._landed or blocks[-1] in self._kept:
            return True
        self._report(
            "wrong_kv", f"request {request_id}: its KV never came into lease {owner}", (owner,)
        )
        return False

    def verify_again(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Whether no other peer has written into the blocks of their lease meanwhile."""
        if not self._overwritten:
            return True
        spoilt = [owner for owner in self.owners(blocks) if owner in self._overwritten]
        if not spoilt:
            return True
        owner = spoilt[0]
        self._report(
            "wrong_kv", f"request {request_id}: lease {owner} overwritten after arrival", (owner,)
        )
        return False

    def look_at_free(self) -> None:
        """Nothing to do: each write was checked when it happened."""

    def close(self) -> None:
        """Nothing to release."""

    def owners(self, blocks: Sequence[int]) -> list[int]:
        """The leases that have these blocks; 0 for a free one."""
        return [self._owner_of(block) for block in blocks]

    def _owner_of(self, block: int) -> int:
        return self._owner[block] if block < len(self._owner) else NOBODY

    def _reach(self, blocks: Sequence[int]) -> None:
        """Grow the lists so that they have these blocks: to twice the highest, and to the whole
        pool once an eighth of that is used, so that nobody looks for the highest any more."""
        size = len(self._owner)
        if size == self._blocks:
            return
        highest = max(blocks, default=-1)
        if size <= highest < self._blocks:
            few = highest < self._blocks // 8
            wanted = min(2 * highest + 16, self._blocks) if few else self._blocks
            self._owner += [_NOBODY] * (wanted - size)
            self._writer += [_NOBODY] * (wanted - size)

    def _doubt(self, blocks: Sequence[int], how: str) -> None:
        """Report those of the blocks that leave their owner while a peer may write into them; each
        only once."""
        writers = self._writer
        for block in blocks:
            writer = writers[block]
            if writer:
                self._report(
                    "freed_in_doubt",
                    f"block {block} was {how} while lease {writer} awaits a write",
                    (writer,),
                )
                writers[block] = _NOBODY
