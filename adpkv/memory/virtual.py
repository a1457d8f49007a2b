"""Memory of the virtual world, without bytes: a ledger of each block's owner and writer.

It checks each hand-out, release and write when it happens, and reports write after free, freed in
doubt (a peer may still write), double free, two owners, two writers, and KV that never came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from adpkv.memory.owners import exchange, take
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
        self.reads_keys = type(self) is not LedgerMemory  # a subclass may
        self._report = report
        self._blocks = blocks
        # It grows with the highest block used so far: a pool gives low blocks out first, and most
        # ranks of a large job never use all of theirs. A compiled list of `int` would make a number
        # for each block; these are shared.
        self._owner: list[Any] = []
        """By block: the lease that has it."""
        self._given: dict[int, Sequence[int]] = {}
        """Lease -> the blocks that it has got, as long as none of them is another's, or free. They
        are as they were told: nobody changes that any more."""
        self._awaited: dict[int, tuple[int, ...]] = {}
        """Lease -> its own blocks, into which a peer may write."""
        self._writer: dict[int, int] = {}
        """The same by block, once not all is as it should be: a block awaits a write for two, or
        for another lease than its own; or not all of a lease's blocks do so any more."""
        self._landed: set[int] = set()
        self._kept = KeptBlocks(report)
        self._overwritten: set[int] = set()
        """Leases into whose blocks a peer wrote that was not allowed to."""

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
        """Blocks get a new owner. A fresh one must have none, an evicted one no writer."""
        self._reach(fresh)
        lease: Any = owner
        done = exchange(self._owner, fresh, _NOBODY, lease)
        right = done == len(fresh)
        if not right:
            self._give_again(lease, fresh[done:])
        if evicted:
            right = self._evict(lease, evicted) and right
            if right:
                self._given[owner] = [*fresh, *evicted]
        elif right and fresh:
            self._given[owner] = fresh

    def _give_again(self, lease: Any, blocks: Sequence[int]) -> None:
        """Blocks get a new owner, and at least the first has one."""
        owners = self._owner
        for block in blocks:
            before = owners[block]
            if before:
                detail = f"block {block} of lease {before} given to {lease}"
                self._report("two_owners", detail, (before, lease))
            owners[block] = lease
        self._writers()
        self._given.clear()

    def _evict(self, lease: Any, blocks: Sequence[int]) -> bool:
        """Cached blocks get a new owner; returns whether none is named twice."""
        self._kept.gone(blocks, "evicted")
        right, doubtful = True, bool(self._writer)
        for before in take(self._owner, blocks, lease):
            right = right and before is not lease
            self._given.pop(before, None)
            doubtful = doubtful or before in self._awaited
        if doubtful:
            self._doubt(blocks, "evicted")
        return right

    def release(self, blocks: Sequence[int]) -> None:
        """Blocks go back to the free list."""
        if not blocks:
            return
        self._reach(blocks)
        owners = self._owner
        owner = owners[blocks[0]]
        self._kept.gone(blocks, "freed")
        self._landed.discard(owner)
        if self._overwritten:
            self._overwritten.difference_update([owners[block] for block in blocks])
        self._given.pop(owner, None)
        doubtful = bool(self._writer) or owner in self._awaited
        done = exchange(owners, blocks, owner, _NOBODY) if owner else 0
        for block in blocks[done:]:
            before = owners[block]
            owners[block] = _NOBODY
            if not before:
                self._report("double_free", f"block {block} was free already", ())
            self._given.pop(before, None)
            doubtful = doubtful or before in self._awaited
        if doubtful:
            self._doubt(blocks, "freed")

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """One peer may write into the blocks from now on; of a block that is advertised for the
        second time, the last one."""
        self._kept.exposed(owner, blocks)
        if not blocks:
            return
        given = self._given.get(owner)
        if given is not None and owner not in self._awaited and not self._writer:
            its = tuple(blocks)
            if its == tuple(given[: len(its)]):
                self._awaited[owner] = its
                return
        writers = self._writers()
        for block in blocks:
            writer = writers.get(block)
            if writer is not None:
                self._report(
                    "two_writers",
                    f"block {block} awaits lease {writer} and {owner}",
                    (writer, owner),
                )
            writers[block] = owner

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """It is proven that the peer writes no more."""
        its = self._awaited.get(owner)
        if its is blocks or (its is not None and its == tuple(blocks)):
            del self._awaited[owner]
            return
        if its is None and not self._writer:
            return
        writers = self._writers()
        for block in blocks:
            if writers.get(block) == owner:
                del writers[block]

    def _writers(self) -> dict[int, int]:
        """From now on, until none is awaited, blocks that await a write are known one by one."""
        for owner, blocks in self._awaited.items():
            self._writer.update(dict.fromkeys(blocks, owner))
        self._awaited.clear()
        return self._writer

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
        owner = self._owner_of(block)
        if block in self._awaited.get(owner, ()):
            return owner
        return self._writer.get(block, NOBODY)

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """The link wrote into the blocks for lease `owner`; `whole`: all bytes of the transfer."""
        its = self._awaited.get(owner)
        if its is not blocks and (its is None or its != tuple(blocks)):
            writers = self._writers()
            wrong = [block for block in blocks if writers.get(block, NOBODY) != owner]
            if wrong:
                self._stray(owner, wrong)
                return
        if whole:
            self._landed.add(owner)

    def _stray(self, owner: int, wrong: Sequence[int]) -> None:
        """Bytes landed in blocks that await none for this lease."""
        now = self._owner_of(wrong[0])
        self._report(
            "write_after_free",
            f"bytes for lease {owner} landed in block {wrong[0]}, which lease {now} holds now",
            (owner, now),
        )
        self._overwritten.update([one for one in self.owners(wrong) if one])

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
        once a sixteenth of that is used, so that nobody looks for the highest any more."""
        size = len(self._owner)
        if size == self._blocks:
            return
        highest = max(blocks, default=-1)
        if size <= highest < self._blocks:
            few = highest < self._blocks // 16
            wanted = min(2 * highest + 16, self._blocks) if few else self._blocks
            self._owner += [_NOBODY] * (wanted - size)

    def _doubt(self, blocks: Sequence[int], how: str) -> None:
        """Report those of the blocks that leave their owner while a peer may write into them; each
        only once."""
        writers = self._writers()
        for block in blocks:
            writer = writers.pop(block, None)
            if writer is not None:
                self._report(
                    "freed_in_doubt",
                    f"block {block} was {how} while lease {writer} awaits a write",
                    (writer,),
                )
