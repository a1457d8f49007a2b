"""Who has each block of a rank's pool and who may write into it, for memories that have bytes.

A memory tells the book of each call of its port, and the book reports what must not be: two owners,
two writers, freed twice, freed in doubt. Which blocks' bytes are to be checked, it says; the memory
checks them, at once or later, and says which were wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from adpkv.memory.pattern import CANARY
from adpkv.memory.port import Report

__all__ = ["BlockBook", "Untouched"]

MAX_REPORTED: Final = 8
"""How many blocks a report names one by one."""


class Untouched(NamedTuple):
    """A free block that must still be as it was left: each byte of it is `left`. `owner`: the lease
    that had it last."""

    block: int
    left: int
    owner: int


class BlockBook:
    """The blocks of one rank."""

    def __init__(self, blocks: int, report: Report) -> None:
        self._free = bytearray(b"\1" * blocks)
        self._never_used = bytearray(b"\1" * blocks)
        self._writers: dict[int, int] = {}
        self._owners = [0] * blocks
        """Each block's present or last lease, to be named in a report."""
        self._report = report

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> list[Untouched]:
        """Blocks get a new owner; returns those whose bytes are to be checked."""
        taken, doubtful, free = [], [], []
        for block in fresh:
            # A block in use has its owner's bytes: that is no write after free.
            if self._free[block]:
                free.append(self._untouched(block))
            else:
                taken.append(block)
            self._free[block] = self._never_used[block] = 0
        for block in evicted:
            if self._writers.pop(block, None) is not None:
                doubtful.append(block)
            self._free[block] = self._never_used[block] = 0
        if taken:
            leases = (*self.leases(taken), owner)
            self.tell("two_owners", taken, f"given to lease {owner} while in use", leases)
        if doubtful:
            how = "evicted while a peer may write into them"
            self.tell("freed_in_doubt", doubtful, how, self.leases(doubtful))
        for block in (*fresh, *evicted):
            self._owners[block] = owner
        return free

    def release(self, blocks: Sequence[int]) -> None:
        """Blocks went back to the free list."""
        twice, doubtful = [], []
        for block in blocks:
            if self._free[block]:
                twice.append(block)
            if self._writers.pop(block, None) is not None:
                doubtful.append(block)
            self._free[block] = 1
        if twice:
            self.tell("double_free", twice, "released while free", self.leases(twice))
        if doubtful:
            how, leases = "released while a peer may write into them", self.leases(doubtful)
            self.tell("freed_in_doubt", doubtful, how, leases)

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """A peer may write into `blocks` of `owner` from now on."""
        # Also if the same lease advertises a block twice: two peers would write into it.
        contested = [block for block in blocks if block in self._writers]
        if contested:
            leases = (*(self._writers[block] for block in contested), owner)
            how = f"advertised by lease {owner}, not the first time"
            self.tell("two_writers", contested, how, leases)
        self._writers.update(dict.fromkeys(blocks, owner))

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """It is proven that the peer writes no more."""
        for block in blocks:
            if self._writers.get(block) == owner:
                del self._writers[block]

    def free_and_used(self) -> list[Untouched]:
        """All free blocks that were ever used."""
        return [
            self._untouched(block)
            for block, free in enumerate(self._free)
            if free and not self._never_used[block]
        ]

    def tell_spoilt(self, spoilt: Sequence[Untouched], when: str) -> None:
        """These free blocks were not as they were left."""
        if spoilt:
            leases = tuple(dict.fromkeys(one.owner for one in spoilt))
            self.tell("write_after_free", [one.block for one in spoilt], when, leases)

    def leases(self, blocks: Iterable[int]) -> tuple[int, ...]:
        """The present or last leases of the blocks."""
        return tuple(dict.fromkeys(self.owners(blocks)))

    def owners(self, blocks: Iterable[int]) -> list[int]:
        """The present or last lease of each of the blocks."""
        return [self._owners[block] for block in blocks]

    def tell(self, kind: str, blocks: Sequence[int], detail: str, leases: tuple[int, ...]) -> None:
        """Report a violation of these blocks."""
        named = ", ".join(map(str, blocks[:MAX_REPORTED]))
        more = f" and {len(blocks) - MAX_REPORTED} more" if len(blocks) > MAX_REPORTED else ""
        self._report(kind, f"blocks {named}{more}: {detail}", leases)

    def _untouched(self, block: int) -> Untouched:
        left = 0 if self._never_used[block] else CANARY
        return Untouched(block, left, self._owners[block])
