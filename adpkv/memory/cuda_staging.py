"""The staging slots of a rank whose KV blocks are on a device, with kernels that pack and unpack.

The slots are one allocation, on the device or in pinned memory of the host. Kernels reach pinned
memory by its own address, so packing into it is a copy over the bus, made by the same kernel. A
pack or unpack is work on the rank's stream, after all that was put there before: what a prefill has
written is written before it is packed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adpkv.errors import AdpkvError
from adpkv.gpu.device import Device, pinned_view
from adpkv.gpu.work import Work, jobs_of
from adpkv.memory.port import HOST, Fence, Region

__all__ = ["CudaStaging"]


class CudaStaging:
    """`memory.port.StagingArea` beside a pool that begins at address `pool` of the device."""

    def __init__(
        self,
        work: Work,
        device: Device,
        pool: int,
        slots: int,
        slot_blocks: int,
        block_bytes: int,
        *,
        host: bool,
    ) -> None:
        self.slots, self.slot_blocks, self.block_bytes = slots, slot_blocks, block_bytes
        self._work, self._device, self._pool, self._host = work, device, pool, host
        self._nbytes = slots * slot_blocks * block_bytes
        allocate = device.allocate_pinned if host else device.allocate
        self._address = allocate(self._nbytes)

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

    def pack(self, blocks: Sequence[int], first: int) -> Fence:
        """Copy these blocks of the pool into adjacent blocks of the area from `first`."""
        return self._copy(self._scattered(blocks), self._adjacent(first, len(blocks)))

    def unpack(self, first: int, blocks: Sequence[int]) -> Fence:
        """Copy adjacent blocks of the area from `first` into these blocks of the pool."""
        return self._copy(self._adjacent(first, len(blocks)), self._scattered(blocks))

    def close(self) -> None:
        """Give its memory back. No copy is under way, and no peer touches the slots."""
        free = self._device.free_pinned if self._host else self._device.free
        free(self._address)

    def _scattered(self, blocks: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        return self._pool + np.asarray(blocks, np.uint64) * np.uint64(self.block_bytes)

    def _adjacent(self, first: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        numbers = np.arange(first, first + count, dtype=np.uint64)
        return self._address + numbers * np.uint64(self.block_bytes)

    def _copy(
        self,
        source: np.ndarray[tuple[int], np.dtype[np.uint64]],
        target: np.ndarray[tuple[int], np.dtype[np.uint64]],
    ) -> Fence:
        if len(source):
            jobs = jobs_of(len(source), source, target, self.block_bytes)
            self._work.submit("adpkv_copy", jobs, self.block_bytes)
        return self._work.point()
