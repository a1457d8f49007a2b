"""The staging slots of a rank whose KV blocks are on a device, with kernels that pack and unpack.

The slots are one allocation, on the device or in pinned memory of the host. Kernels reach pinned
memory by its own address, so packing into it is a copy over the bus, made by the same kernel. A
pack or unpack is work on the rank's stream, after all that was put there before: what a prefill has
written is written before it is packed.

The checks of the slots (`memory.slot_book`) are kernels in the same order. What they find is known
later. A peer's bytes come from outside that order: so before a slot is advertised, `written` must
have passed, or they could come before the check.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from adpkv.core.ids import SessionId
from adpkv.errors import AdpkvError
from adpkv.gpu.device import Device, pinned_view
from adpkv.gpu.work import Work, jobs_of
from adpkv.memory.cuda_lists import SlotLists
from adpkv.memory.port import HOST, PASSED, Fence, Region, Report
from adpkv.memory.slot_book import CANARY, MARK_BYTES, Marks, SlotBook

__all__ = ["CudaStaging"]


class CudaStaging:
    """`memory.port.StagingArea` and its `SlotWatch` beside a pool that begins at address `pool` of
    the device."""

    def __init__(
        self,
        work: Work,
        device: Device,
        pool: int,
        slots: int,
        slot_blocks: int,
        block_bytes: int,
        report: Report,
        *,
        host: bool,
    ) -> None:
        self.slots, self.slot_blocks, self.block_bytes = slots, slot_blocks, block_bytes
        self._work, self._device, self._pool, self._host = work, device, pool, host
        self._nbytes = slots * slot_blocks * block_bytes
        allocate = device.allocate_pinned if host else device.allocate
        self._address = allocate(self._nbytes)
        self._book = SlotBook(slots, slot_blocks, report)
        self._written: Fence = PASSED
        self._to_mark: list[Marks] = []
        self._lists = SlotLists(work, device, slots, slot_blocks)

    def region(self) -> Region:
        """All slots together."""
        return Region(self._address, self._nbytes, HOST if self._host else self._device.number)

    def view(self, first: int, count: int) -> memoryview:
        """The bytes of `count` adjacent blocks from `first`, in place, of pinned memory.

        Raises:
            AdpkvError: the slots are on the device.
        """
        if not self._host:
            raise AdpkvError("staging slots on a GPU have no view: ask for host memory")
        at, size = self._address + first * self.block_bytes, count * self.block_bytes
        return pinned_view(at, size).data

    def written(self) -> Fence:
        """All that this rank itself does with slots before others may have them: marks, the checks
        of them, and so the copies before."""
        self.mark()
        return self._written

    def pack(self, blocks: Sequence[int], first: int) -> Fence:
        """Copy these blocks of the pool into adjacent blocks of the area from `first`."""
        self._book.copies(first, len(blocks), into=True)
        return self._copy("adpkv_pack", blocks, first)

    def prepare(self, slot: int, blocks: Sequence[int]) -> None:
        """What comes into this slot will be unpacked into these blocks, in order, from the slot's
        beginning, or what goes out of it be packed from them: their list is put onto the device
        now. When the bytes are there it would take a third of the call; and one list for both
        halves takes less than two."""
        self._lists.put(slot, blocks)

    def unpack(self, first: int, blocks: Sequence[int]) -> Fence:
        """Copy adjacent blocks of the area from `first` into these blocks of the pool."""
        self._book.copies(first, len(blocks), into=False)
        return self._copy("adpkv_unpack", blocks, first)

    def close(self) -> None:
        """Give its memory back. No copy is under way, and no peer touches the slots."""
        free = self._device.free_pinned if self._host else self._device.free
        free(self._address)
        self._lists.close()

    # -- who may touch what ----------------------------------------------------------------------

    def take(self, slot: int, request_id: int, blocks: Sequence[int]) -> None:
        """A session has the slot from now on. Lets the device check that it is as it was left."""
        self.mark()
        self._check(self._book.take(slot, request_id, blocks), slot, request_id)

    def give_back(self, slot: int, request_id: int) -> None:
        """No peer touches the slot any more: what was used of it is to be marked."""
        self._to_mark += self._book.give_back(slot, request_id)
        self._lists.drop(slot)
        # A copy of a transfer that was stopped may still be going on.
        self._written = self._work.point()

    def mark(self) -> None:
        """Mark the slots that were given back. Not as that happens: a transfer's end would be
        reported 35 µs later."""
        if self._to_mark:
            jobs, nbytes = self._jobs(self._to_mark)
            self._to_mark = []
            self._work.submit("adpkv_mark", jobs, nbytes)
            self._written = self._work.point()

    def look_at_free(self) -> None:
        """At the end of a run: let the device check the slots that nobody has."""
        self.mark()
        for slot, marks in self._book.free():
            self._check(marks, slot, None)

    def lend(self, session: SessionId, peer: int, first: int, count: int, *, writes: bool) -> None:
        """A peer may read these blocks from now on, or write into them."""
        self._book.lend(session, first, count, writes=writes)

    def take_back(self, session: SessionId) -> None:
        """The peer does not touch what this session was lent."""
        self._book.take_back(session)

    def _check(self, marks: list[Marks], slot: int, request_id: int | None) -> None:
        if not marks:
            return

        def found(_: list[int]) -> None:
            self._book.tell_spoilt(slot, request_id)

        jobs, nbytes = self._jobs(marks)
        self._work.submit("adpkv_marked", jobs, nbytes, checks=True, found=found)
        self._written = self._work.point()

    def _jobs(self, every: list[Marks]) -> tuple[np.ndarray[Any, np.dtype[Any]], int]:
        """A job for each half that has marks, and the size of the largest."""
        mark = min(MARK_BYTES, self.block_bytes)
        counts = [-(-marks.blocks // marks.step) for marks in every]
        jobs = jobs_of(
            len(every),
            [self._address + marks.first * self.block_bytes for marks in every],
            CANARY | mark << 8,
            counts,
            [marks.step * self.block_bytes for marks in every],
        )
        return jobs, max(counts) * mark

    def _copy(self, kernel: str, blocks: Sequence[int], first: int) -> Fence:
        size, listed_at = self.block_bytes, self._lists.at(first, blocks)
        at = self._address + first * size
        if listed_at:
            self._work.copy_listed(kernel, listed_at, len(blocks), self._pool, at, size)
            return self._lists.used(first)
        self._work.copy(kernel, blocks, self._pool, at, size)
        return self._work.point()
