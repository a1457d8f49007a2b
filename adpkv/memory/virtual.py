"""Memory of the virtual world, without bytes: a ledger of each block's owner and writer.

It checks each hand-out, release and write when it happens, and reports write after free, freed in
doubt (a peer may still write), double free, two owners, two writers, and KV that never came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from adpkv.memory.port import Report
from adpkv.memory.reuse import KeptBlocks
from adpkv.subclassing import mypyc_attr

__all__ = ["Landing", "LedgerMemory"]

NOBODY: Final = 0
"""In place of a lease number; these begin at 1."""


class Landing(Protocol):
    """What the virtual link needs of a ledger."""

    def awaited(self, blocks: Sequence[int]) -> int:
        """The lease, or what stands for one, for which a peer may write into the blocks."""

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """The link wrote into the blocks for `owner`; `whole`: all bytes of the transfer."""


@mypyc_attr(allow_interpreted_subclasses=True)
class LedgerMemory:
    """One rank's ledger; implements `memory.port.Memory`. A call costs O(its blocks), but for two:
    a block that awaits a write for another lease than its own is looked for in all that await one,
    and a lease that gives up a shared block among all its readers."""

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
        # It grows with the highest block used so far: a pool gives low blocks out first, and most
        # ranks of a large job never use all of theirs.
        self._owner: list[int] = []
        self._awaited: dict[int, set[int]] = {}
        """Lease -> its blocks into which a peer may write; a block has one writer at most."""
        self._exposed: set[int] = set()
        """All of these blocks."""
        self._landed: set[int] = set()
        self._kept = KeptBlocks(report)
        self._overwritten: set[int] = set()
        """Leases into whose blocks a peer wrote that was not allowed to."""

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
        """Blocks get a new owner. A fresh one must have none, an evicted one no writer."""
        self._reach(fresh)
        owners = self._owner
        if any(map(owners.__getitem__, fresh)) or len(set(fresh)) < len(fresh):
            for block in fresh:
                if owners[block]:
                    self._report(
                        "two_owners",
                        f"block {block} of lease {owners[block]} given to {owner}",
                        (owners[block], owner),
                    )
                owners[block] = owner
        else:
            for block in fresh:
                owners[block] = owner
        if evicted:
            self._kept.gone(evicted, "evicted")
            for block in evicted:
                owners[block] = owner
            self._doubt(evicted, "evicted")

    def release(self, blocks: Sequence[int]) -> None:
        """Blocks go back to the free list."""
        if not blocks:
            return
        self._reach(blocks)
        owners = self._owner
        self._kept.gone(blocks, "freed")
        self._landed.discard(owners[blocks[0]])
        if self._overwritten:
            self._overwritten.difference_update([owners[block] for block in blocks])
        if all(map(owners.__getitem__, blocks)) and len(set(blocks)) == len(blocks):
            for block in blocks:
                owners[block] = NOBODY
        else:
            for block in blocks:
                if not owners[block]:
                    self._report("double_free", f"block {block} was free already", ())
                owners[block] = NOBODY
        self._doubt(blocks, "freed")

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """One peer may write into the blocks from now on."""
        self._kept.exposed(owner, blocks)
        found = set(blocks)
        if len(found) < len(blocks) or not self._exposed.isdisjoint(found):
            self._contest(owner, blocks)
        self._exposed |= found
        mine = self._awaited.setdefault(owner, found)
        mine |= found

    def _contest(self, owner: int, blocks: Sequence[int]) -> None:
        """Some of these blocks are advertised for the second time. The last lease has them."""
        for block in blocks:
            writer = self.awaited((block,))
            if writer:
                self._report(
                    "two_writers",
                    f"block {block} awaits lease {writer} and {owner}",
                    (writer, owner),
                )
                self._awaited[writer].remove(block)
            self._awaited.setdefault(owner, set()).add(block)
            self._exposed.add(block)

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """It is proven that the peer writes no more."""
        mine = self._awaited.get(owner)
        if mine is None:
            return
        ended = mine.intersection(blocks)
        self._exposed -= ended
        if len(ended) == len(mine):
            del self._awaited[owner]
        else:
            mine -= ended

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
        if block not in self._exposed:
            return NOBODY
        owner = self._owner_of(block)
        if block in self._awaited.get(owner, ()):
            return owner
        return next(lease for lease, waits in self._awaited.items() if block in waits)

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """The link wrote into the blocks for lease `owner`; `whole`: all bytes of the transfer."""
        if owner == NOBODY:
            wrong = [block for block in blocks if block in self._exposed]
        else:
            mine = self._awaited.get(owner, set())
            right = mine.issuperset(blocks)
            wrong = [] if right else [block for block in blocks if block not in mine]
        if wrong:
            now = self._owner_of(wrong[0])
            self._report(
                "write_after_free",
                f"bytes for lease {owner} landed in block {wrong[0]}, which lease {now} holds now",
                (owner, now),
            )
            self._overwritten.update([one for one in map(self._owner_of, wrong) if one])
        elif whole:
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
        """Grow the list so that it has these blocks: to twice the highest, and to the whole pool
        once an eighth of that is used, so that nobody looks for the highest any more."""
        if len(self._owner) == self._blocks:
            return
        highest = max(blocks, default=-1)
        if len(self._owner) <= highest < self._blocks:
            few = highest < self._blocks // 8
            wanted = min(2 * highest + 16, self._blocks) if few else self._blocks
            self._owner += [NOBODY] * (wanted - len(self._owner))

    def _doubt(self, blocks: Sequence[int], how: str) -> None:
        """Report those of the blocks that leave their owner while a peer may write into them; each
        only once."""
        if self._exposed.isdisjoint(blocks):
            return
        for block in blocks:
            writer = self.awaited((block,))
            if writer:
                self._report(
                    "freed_in_doubt",
                    f"block {block} was {how} while lease {writer} awaits a write",
                    (writer,),
                )
                self.end_write(writer, (block,))
