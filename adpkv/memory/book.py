"""Who has each block of a rank's pool and who may write into it, for memories that have bytes.

A memory tells the book of each call of its port, and the book reports what must not be: two owners,
two writers, freed twice, freed in doubt. Which blocks' bytes are to be checked, it says; the memory
checks them, at once or later, and says which were wrong.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from adpkv.memory.pattern import CANARY
from adpkv.memory.port import Report
from adpkv.memory.reuse import KeptBlocks

__all__ = ["BlockBook", "Untouched"]

MANY: Final = 32
"""From so many blocks on they are looked at as an array."""

MAX_REPORTED: Final = 8
"""How many blocks a report names one by one."""


class Untouched(NamedTuple):
    """Free blocks that must still be as they were left: each byte of block `blocks[i]` is
    `left[i]`. `owners`: the leases that had them last."""

    blocks: Sequence[int]
    left: Sequence[int]
    owners: Sequence[int]


class BlockBook:
    """The blocks of one rank."""

    def __init__(self, blocks: int, report: Report) -> None:
        self._free = bytearray(b"\1" * blocks)
        self._never_used = bytearray(b"\1" * blocks)
        self._writers: dict[int, int] = {}
        self._owners = array("q", bytes(8 * blocks))
        """Each block's present or last lease, to be named in a report."""
        self._report = report
        self.kept = KeptBlocks(report)
        # The same numbers for numpy: many blocks at once.
        self._many_free = np.frombuffer(self._free, np.uint8)
        self._many_never_used = np.frombuffer(self._never_used, np.uint8)
        self._many_owners = np.frombuffer(self._owners, np.int64)

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> Untouched:
        """Blocks get a new owner; returns those whose bytes are to be checked."""
        if len(fresh) >= MANY and not evicted:
            numbers = np.asarray(fresh)
            if self._many_free[numbers].all() and len(set(fresh)) == len(fresh):
                return self._hand_out_many(owner, numbers)
        taken, doubtful, free = [], [], []
        self.kept.gone(evicted, "evicted")
        for block in fresh:
            # A block in use has its owner's bytes: that is no write after free.
            if self._free[block]:
                free.append((block, self._left(block), self._owners[block]))
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
        return Untouched(*zip(*free, strict=True)) if free else Untouched((), (), ())

    def _hand_out_many(self, owner: int, numbers: np.ndarray[Any, np.dtype[Any]]) -> Untouched:
        """As `hand_out`, of free blocks, each once. A thousand one by one take a millisecond."""
        left = np.where(self._many_never_used[numbers], 0, CANARY)
        found = Untouched(numbers, left, self._many_owners[numbers])  # type: ignore[arg-type]
        self._many_free[numbers] = self._many_never_used[numbers] = 0
        self._many_owners[numbers] = owner
        return found

    def release(self, blocks: Sequence[int]) -> None:
        """Blocks went back to the free list."""
        twice, doubtful = [], []
        self.kept.gone(blocks, "freed")
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
        self.kept.exposed(owner, blocks)
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

    def free_and_used(self) -> Untouched:
        """All free blocks that were ever used."""
        numbers = np.flatnonzero(self._many_free & (self._many_never_used ^ 1))
        left = np.full(len(numbers), CANARY)
        return Untouched(numbers, left, self._many_owners[numbers])  # type: ignore[arg-type]

    def tell_spoilt(self, free: Untouched, spoilt: Sequence[int], when: str) -> None:
        """Those of these free blocks, by their place, were not as they were left."""
        if spoilt:
            leases = tuple(dict.fromkeys(int(free.owners[place]) for place in spoilt))
            blocks = [int(free.blocks[place]) for place in spoilt]
            self.tell("write_after_free", blocks, when, leases)

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

    def _left(self, block: int) -> int:
        return 0 if self._never_used[block] else CANARY
