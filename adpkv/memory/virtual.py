"""Memory of the virtual world, without bytes: a ledger of each block's owner and writer.

It checks each hand-out, release and write when it happens, and reports write after free, freed in
doubt (a peer may still write), double free, two owners, two writers, and KV that never came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from adpkv.memory.port import Report
from adpkv.memory.reuse import KeptBlocks
from adpkv.subclassing import mypyc_attr

__all__ = ["Landing", "LedgerMemory"]

NOBODY = 0
"""In place of a lease number; these begin at 1."""


class Landing(Protocol):
    """What the virtual link needs of a ledger."""

    def awaited(self, blocks: Sequence[int]) -> int:
        """The lease, or what stands for one, for which a peer may write into the blocks."""

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """The link wrote into the blocks for `owner`; `whole`: all bytes of the transfer."""


@mypyc_attr(allow_interpreted_subclasses=True)
class LedgerMemory:
    """One rank's ledger; implements `memory.port.Memory`. A call costs O(its blocks)."""

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
        # The lists grow with the highest block used so far: a pool gives low blocks out first, and
        # most ranks of a large job never use all of theirs.
        self._owner: list[int] = []
        self._writer: list[int] = []
        self._landed: set[int] = set()
        self._kept = KeptBlocks(report)
        self._overwritten: set[int] = set()
        """Leases into whose blocks a peer wrote that was not allowed to."""

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
        """Blocks get a new owner. A fresh one must have none, an evicted one no writer."""
        owners, writers = self._owner, self._writer
        self._reach(fresh)
        for block in fresh:
            if owners[block]:
                self._report(
                    "two_owners",
                    f"block {block} of lease {owners[block]} given to {owner}",
                    (owners[block], owner),
                )
            owners[block] = owner
        self._kept.gone(evicted, "evicted")
        for block in evicted:
            owners[block] = owner
            if writers[block]:
                self._doubt(block, "evicted")

    def release(self, blocks: Sequence[int]) -> None:
        """Blocks go back to the free list."""
        if not blocks:
            return
        owners, writers = self._owner, self._writer
        self._reach(blocks)
        self._kept.gone(blocks, "freed")
        self._landed.discard(owners[blocks[0]])
        if self._overwritten:
            self._overwritten.difference_update([owners[block] for block in blocks])
        for block in blocks:
            if not owners[block]:
                self._report("double_free", f"block {block} was free already", ())
            owners[block] = NOBODY
            if writers[block]:
                self._doubt(block, "freed")

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """One peer may write into the blocks from now on."""
        writers = self._writer
        self._reach(blocks)
        self._kept.exposed(owner, blocks)
        for block in blocks:
            if writers[block]:
                self._report(
                    "two_writers",
                    f"block {block} awaits lease {writers[block]} and {owner}",
                    (writers[block], owner),
                )
            writers[block] = owner

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """It is proven that the peer writes no more."""
        writers = self._writer
        self._reach(blocks)
        for block in blocks:
            if writers[block] == owner:
                writers[block] = NOBODY

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
        self._reach(blocks)
        return self._writer[blocks[0]]

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """The link wrote into the blocks for lease `owner`; `whole`: all bytes of the transfer."""
        writers = self._writer
        self._reach(blocks)
        for block in blocks:
            if writers[block] != owner:
                self._report(
                    "write_after_free",
                    f"bytes for lease {owner} landed in block {block}, "
                    f"which lease {self._owner[block]} holds now",
                    (owner, self._owner[block]),
                )
                self._overwritten.update(
                    [self._owner[b] for b in blocks if writers[b] != owner and self._owner[b]]
                )
                return
        if whole:
            self._landed.add(owner)

    def compute(
        self, blocks: Sequence[int], keys: Sequence[int], first_token: int, end_token: int
    ) -> None:
        """Nothing to do: there are no bytes."""

    def verify(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Whether all bytes for the blocks' lease have been written. The kept ones at the beginning
        were checked when they were pinned."""
        self._reach(blocks)
        owner = self._owner[blocks[-1]]
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
        self._reach(blocks)
        spoilt = [o for o in (self._owner[block] for block in blocks) if o in self._overwritten]
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

    def _reach(self, blocks: Sequence[int]) -> None:
        """Grow the lists so that they have these blocks: to twice the highest, at most the pool."""
        highest = max(blocks, default=-1)
        if len(self._owner) <= highest < self._blocks:
            more = [NOBODY] * (min(2 * highest + 16, self._blocks) - len(self._owner))
            self._owner += more
            self._writer += more

    def _doubt(self, block: int, how: str) -> None:
        """Report that a block leaves its owner while a peer may write into it; only once."""
        writer = self._writer[block]
        self._report(
            "freed_in_doubt",
            f"block {block} was {how} while lease {writer} awaits a write",
            (writer,),
        )
        self._writer[block] = NOBODY
