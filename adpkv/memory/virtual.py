"""Memory without bytes: a ledger of who owns each block, and who may write into it.

Every hand-out, release and landed write is checked. This is the oracle of the virtual world: write
after free, freed in doubt, double free, two owners, two writers, KV that never came.
"""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.memory.port import Report

__all__ = ["LedgerMemory"]

NOBODY = 0
"""Lease numbers begin at 1."""


class LedgerMemory:
    """One rank's ledger. O(blocks) per call."""

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
        # As long as the highest block that was ever named: a pool gives low ones out first, and
        # most ranks of a large job never use theirs up.
        self._owner: list[int] = []
        self._writer: list[int] = []
        self._landed: set[int] = set()
        self._overwritten: set[int] = set()
        """Leases into whose blocks somebody wrote who had no business there."""

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
        """Blocks get a new owner; a fresh one must have none, an evicted one await no write."""
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
        """A peer may write into the blocks from now on; nobody else may."""
        writers = self._writer
        self._reach(blocks)
        for block in blocks:
            if writers[block]:
                self._report(
                    "two_writers",
                    f"block {block} awaits lease {writers[block]} and {owner}",
                    (writers[block], owner),
                )
            writers[block] = owner

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """Proven: the peer writes no more."""
        writers = self._writer
        self._reach(blocks)
        for block in blocks:
            if writers[block] == owner:
                writers[block] = NOBODY

    def awaited(self, blocks: Sequence[int]) -> int:
        """The lease for which the blocks await a write; what the link remembers of an advertise."""
        self._reach(blocks)
        return self._writer[blocks[0]]

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """The link wrote into the blocks on behalf of `owner`; `whole` if that was all of it."""
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
        """Prefill writes into its own blocks; there are no bytes to write."""

    def verify(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Did all bytes of the blocks' lease land?"""
        self._reach(blocks)
        owner = self._owner[blocks[0]]
        if owner in self._landed:
            return True
        self._report(
            "wrong_kv", f"request {request_id}: its KV never came into lease {owner}", (owner,)
        )
        return False

    def verify_again(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Did anybody else write into the blocks' lease meanwhile?"""
        self._reach(blocks)
        owner = self._owner[blocks[0]]
        if owner not in self._overwritten:
            return True
        self._report(
            "wrong_kv", f"request {request_id}: lease {owner} overwritten after arrival", (owner,)
        )
        return False

    def look_at_free(self) -> None:
        """Each write was seen as it landed."""

    def close(self) -> None:
        """There is nothing to give back."""

    def _reach(self, blocks: Sequence[int]) -> None:
        """Room for these blocks, and for as many again, up to the pool's."""
        highest = max(blocks, default=-1)
        if len(self._owner) <= highest < self._blocks:
            more = [NOBODY] * (min(2 * highest + 16, self._blocks) - len(self._owner))
            self._owner += more
            self._writer += more

    def _doubt(self, block: int, how: str) -> None:
        """The block goes from its owner while a peer may write: told once, then forgotten."""
        writer = self._writer[block]
        self._report(
            "freed_in_doubt",
            f"block {block} was {how} while lease {writer} awaits a write",
            (writer,),
        )
        self._writer[block] = NOBODY
