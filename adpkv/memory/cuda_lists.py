"""The numbers of the blocks that go through each staging slot, on the device already.

A receiver knows them before the bytes come. Then an unpack is a launch and no more: to write the
list and to copy it to the device took a third of the call, when everybody waits for it. A sender
writes and copies one list for both halves of its slot, and so the second half's pack is a launch.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack_into
from typing import Final

from adpkv.gpu.device import Device, pinned_view
from adpkv.gpu.work import Work
from adpkv.memory.port import PASSED, Fence

__all__ = ["SlotLists"]

NUMBER_BYTES: Final = 4


class SlotLists:
    """A list for each slot, in pinned memory and on the device. A transfer that is larger than a
    slot has none, nor has one whose slot's list may still be in use: its numbers go the usual way.
    """

    def __init__(self, work: Work, device: Device, slots: int, slot_blocks: int) -> None:
        self._work, self._device, self._slot_blocks = work, device, slot_blocks
        nbytes = slots * slot_blocks * NUMBER_BYTES
        self._pinned, self._there = device.allocate_pinned(nbytes), device.allocate(nbytes)
        self._room = pinned_view(self._pinned, nbytes).data
        self._put: dict[int, Sequence[int]] = {}
        """By slot: the blocks that its list has."""
        self._in_use: dict[int, Fence] = {}
        """By slot: passed when nothing on the device reads its list any more."""

    def put(self, slot: int, blocks: Sequence[int]) -> None:
        """Put these blocks' numbers onto the device."""
        self._put.pop(slot, None)
        count = len(blocks)
        if not 0 < count <= self._slot_blocks or not self._in_use.get(slot, PASSED).passed():
            return
        offset = slot * self._slot_blocks * NUMBER_BYTES
        pack_into(f"{count}I", self._room, offset, *blocks)
        self._work.upload(self._there + offset, self._pinned + offset, count * NUMBER_BYTES)
        self._in_use[slot] = self._work.point()
        self._put[slot] = blocks

    def at(self, first: int, blocks: Sequence[int]) -> int:
        """The address of these blocks' numbers, which belong to adjacent blocks of the area from
        `first`; 0 if they are not there."""
        slot, offset = divmod(first, self._slot_blocks)
        found, last = self._put.get(slot, ()), offset + len(blocks) - 1
        if not blocks or last >= len(found):
            return 0
        # Both are a part of one lease, in its order: where the ends are alike, so is the rest. To
        # compare all of a slot would take as long as the list that is saved.
        if found[offset] != blocks[0] or found[last] != blocks[-1]:
            return 0
        return self._there + first * NUMBER_BYTES

    def used(self, first: int) -> Fence:
        """A kernel that reads the list of the slot with this block was launched; returns the fence
        of it."""
        fence = self._in_use[first // self._slot_blocks] = self._work.point()
        return fence

    def drop(self, slot: int) -> None:
        """Another session gets the slot."""
        self._put.pop(slot, None)

    def close(self) -> None:
        """Give the memory back."""
        self._room = memoryview(b"")
        self._device.free(self._there)
        self._device.free_pinned(self._pinned)
