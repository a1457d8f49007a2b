"""The staging slots of a rank whose KV is in host memory, with checks of their bytes.

A slot that was given back is marked with a canary where it was used, and checked when it is given
out again: that finds bytes that land after the proof that none will (contract 2.6). Only the
beginnings of some blocks are marked: a chunk covers many blocks, and filling a slot of 64 MiB would
hold up an iteration for as long as a transfer takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from adpkv.core.ids import SessionId
from adpkv.memory.port import PASSED, Fence, Region, Report

__all__ = ["HostStaging"]

CANARY: Final = 0xDD
"""The value of each marked byte of a slot that was given back; another one than that of a freed
block."""

MARK_BYTES: Final = 64
MOST_MARKS: Final = 512
"""How many blocks of a half are marked at most, and how many bytes of each."""


class HostStaging:
    """`memory.port.StagingArea` and its `SlotWatch` in a numpy array. `pool` are the bytes of the
    rank's blocks, a row each. Its reports name no leases, but the request in their text."""

    def __init__(
        self,
        slots: int,
        slot_blocks: int,
        pool: np.ndarray[Any, np.dtype[np.uint8]],
        report: Report,
    ) -> None:
        self.slots, self.slot_blocks = slots, slot_blocks
        self.block_bytes = int(pool.shape[1])
        self._pool = pool
        self._bytes = np.zeros((slots * slot_blocks, self.block_bytes), dtype=np.uint8)
        self._flat: memoryview = self._bytes.reshape(-1).data
        self._report = report
        self._step = max(1, -(-slot_blocks // 2 // MOST_MARKS))
        """Every so many blocks, one is marked."""
        self._owners: dict[int, int] = {}
        """Slot -> the request that has it."""
        self._lent: dict[SessionId, tuple[range, bool]] = {}
        """Session -> the blocks that a peer may touch for it, and whether it writes."""
        self._used: list[tuple[int, int]] = [(0, 0)] * slots
        """How many blocks from the beginning of each half the session uses that has the slot."""
        self._left: list[tuple[int, int]] = [(0, 0)] * slots
        """How many of them have the canary while nobody has the slot."""

    def region(self) -> Region:
        """All slots together."""
        return Region(self._bytes.ctypes.data, self._bytes.nbytes)

    def view(self, first: int, count: int) -> memoryview:
        """The bytes of `count` adjacent blocks from `first`, in place."""
        size = self.block_bytes
        return self._flat[first * size : (first + count) * size]

    def written(self) -> Fence:
        """All bytes are there: they are copied at once."""
        return PASSED

    def pack(self, blocks: Sequence[int], first: int) -> Fence:
        """Copy blocks of the pool into adjacent blocks of the area, at once."""
        self._check_not_lent(range(first, first + len(blocks)), "packed into")
        end = first + len(blocks)
        np.take(self._pool, blocks, axis=0, out=self._bytes[first:end], mode="clip")
        return PASSED

    def unpack(self, first: int, blocks: Sequence[int]) -> Fence:
        """Copy adjacent blocks of the area into blocks of the pool, at once."""
        self._check_not_lent(range(first, first + len(blocks)), "unpacked", written=True)
        self._pool[list(blocks)] = self._bytes[first : first + len(blocks)]
        return PASSED

    def close(self) -> None:
        """Release the bytes. They stay allocated while a view of them exists."""
        self._flat = memoryview(b"")
        self._bytes = self._pool = np.zeros((0, self.block_bytes), dtype=np.uint8)

    # -- who may touch what ----------------------------------------------------------------------

    def take(self, slot: int, request_id: int, blocks: Sequence[int]) -> None:
        """A session has the slot from now on. Its bytes must be as they were left."""
        if slot in self._owners:
            self._tell(
                "two_owners",
                f"staging slot {slot} of request {self._owners[slot]} given to {request_id}",
            )
        elif not self._is_untouched(slot):
            self._tell(
                "write_after_free",
                f"staging slot {slot}: found when given to request {request_id}",
            )
        self._owners[slot] = request_id
        half = self.slot_blocks // 2
        self._used[slot] = min(len(blocks), half), min(max(len(blocks) - half, 0), half)

    def give_back(self, slot: int, request_id: int) -> None:
        """No peer touches the slot any more: mark what was used of it."""
        places = range(slot * self.slot_blocks, (slot + 1) * self.slot_blocks)
        if any(lent.start in places for lent, _ in self._lent.values()):
            self._tell("freed_in_doubt", f"staging slot {slot} of request {request_id}")
        if self._owners.get(slot) != request_id:
            return
        del self._owners[slot]
        for part in self._halves(slot, self._used[slot]):
            part.fill(CANARY)
        first, second = self._left[slot], self._used[slot]
        self._left[slot] = max(first[0], second[0]), max(first[1], second[1])

    def look_at_free(self) -> None:
        """At the end of a run: check the slots that nobody has."""
        for slot in range(self.slots):
            if slot not in self._owners and not self._is_untouched(slot):
                self._tell("write_after_free", f"staging slot {slot}: found at the end")

    def lend(self, session: SessionId, peer: int, first: int, count: int, *, writes: bool) -> None:
        """A peer may read these blocks from now on, or write into them."""
        places = range(first, first + count)
        for other, (lent, _) in self._lent.items():
            if lent.start < places.stop and places.start < lent.stop:
                what = f"staging blocks {first} to {first + count - 1}"
                self._tell("two_writers", f"{what} are lent for {other} and {session}")
        self._lent[session] = places, writes

    def take_back(self, session: SessionId) -> None:
        """The peer does not touch what this session was lent."""
        self._lent.pop(session, None)

    def _check_not_lent(self, places: range, how: str, *, written: bool = False) -> None:
        for session, (lent, writes) in self._lent.items():
            if lent.start < places.stop and places.start < lent.stop and (writes or not written):
                self._tell(
                    "freed_in_doubt", f"staging block {places.start} was {how} for {session}"
                )

    def _halves(
        self, slot: int, counts: tuple[int, int]
    ) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
        """The places of the canary in each half of a slot, in so many blocks from its beginning."""
        half = self.slot_blocks // 2
        firsts = (slot * self.slot_blocks, slot * self.slot_blocks + half)
        return [
            self._bytes[first : first + count : self._step, :MARK_BYTES]
            for first, count in zip(firsts, counts, strict=True)
        ]

    def _is_untouched(self, slot: int) -> bool:
        return all(bool((part == CANARY).all()) for part in self._halves(slot, self._left[slot]))

    def _tell(self, kind: str, detail: str) -> None:
        self._report(kind, detail, ())
