"""The staging slots of a rank whose KV is in host memory, with checks of their bytes
(`memory.slot_book`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from adpkv.core.ids import SessionId
from adpkv.memory.port import PASSED, Fence, Region, Report
from adpkv.memory.slot_book import CANARY, MARK_BYTES, Marks, SlotBook

__all__ = ["HostStaging"]


class HostStaging:
    """`memory.port.StagingArea` and its `SlotWatch` in a numpy array. `pool` are the bytes of the
    rank's blocks, a row each."""

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
        self._book = SlotBook(slots, slot_blocks, report)

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
        self._book.copies(first, len(blocks), into=True)
        end = first + len(blocks)
        np.take(self._pool, blocks, axis=0, out=self._bytes[first:end], mode="clip")
        return PASSED

    def unpack(self, first: int, blocks: Sequence[int]) -> Fence:
        """Copy adjacent blocks of the area into blocks of the pool, at once."""
        self._book.copies(first, len(blocks), into=False)
        self._pool[list(blocks)] = self._bytes[first : first + len(blocks)]
        return PASSED

    def close(self) -> None:
        """Release the bytes. They stay allocated while a view of them exists."""
        self._flat = memoryview(b"")
        self._bytes = self._pool = np.zeros((0, self.block_bytes), dtype=np.uint8)

    # -- who may touch what ----------------------------------------------------------------------

    def take(self, slot: int, request_id: int, blocks: Sequence[int]) -> None:
        """A session has the slot from now on. Its bytes must be as they were left."""
        if not self._has_marks(self._book.take(slot, request_id, blocks)):
            self._book.tell_spoilt(slot, request_id)

    def give_back(self, slot: int, request_id: int) -> None:
        """No peer touches the slot any more: mark what was used of it."""
        for marks in self._book.give_back(slot, request_id):
            self._marked(marks).fill(CANARY)

    def look_at_free(self) -> None:
        """At the end of a run: check the slots that nobody has."""
        for slot, marks in self._book.free():
            if not self._has_marks(marks):
                self._book.tell_spoilt(slot, None)

    def lend(self, session: SessionId, peer: int, first: int, count: int, *, writes: bool) -> None:
        """A peer may read these blocks from now on, or write into them."""
        self._book.lend(session, first, count, writes=writes)

    def take_back(self, session: SessionId) -> None:
        """The peer does not touch what this session was lent."""
        self._book.take_back(session)

    def _has_marks(self, every: list[Marks]) -> bool:
        return all(bool((self._marked(marks) == CANARY).all()) for marks in every)

    def _marked(self, marks: Marks) -> np.ndarray[Any, np.dtype[np.uint8]]:
        first, end = marks.first, marks.first + marks.blocks
        return self._bytes[first : end : marks.step, :MARK_BYTES]
