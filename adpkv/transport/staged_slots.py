"""A rank's staging slots as its staged transfers use them: where a chunk is, copying it in and out
within a budget, and telling the area's checks who may touch it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adpkv.memory.port import SlotWatch, StagingArea
from adpkv.transport.port import Transfer
from adpkv.transport.staged_chunks import AHEAD, Ahead, Receiving, Sending, Staged

__all__ = ["StagingSlots"]


class StagingSlots:
    """The slots of `area`. `pack_bytes` may be copied between two calls of `renew`."""

    def __init__(self, area: StagingArea, pack_bytes: int, watch: SlotWatch | None) -> None:
        self.half = area.slot_blocks // AHEAD
        """How many blocks a chunk has at most."""
        self._area, self._watch = area, watch
        self._prepare: Callable[[int, Sequence[int]], None] | None
        self._prepare = getattr(area, "prepare", None)
        self._pack_bytes = self._left_bytes = pack_bytes

    def renew(self) -> None:
        """The whole budget may be used again."""
        self._left_bytes = self._pack_bytes

    # -- copies ----------------------------------------------------------------------------------

    def pack(self, found: Sending) -> bool:
        """Copy the next chunk into its half, as far as the budget goes; returns whether anything
        was copied."""
        if not found.may_pack() or self._left_bytes <= 0:
            return False
        chunk, source = found.packed, found.transfer.source
        blocks = self._within_budget(found.blocks(chunk)[found.part :])
        first = self._place(found, chunk) + found.part
        fence = self._area.pack(source[blocks.start : blocks.stop], first)
        found.part += len(blocks)
        if blocks.stop == found.blocks(chunk).stop:
            found.ahead.append(Ahead(chunk, fence))
            found.packed += 1
            found.part = 0
        return True

    def unpack(self, found: Receiving) -> bool:
        """Copy the next chunk out of its half, if it has landed, as far as the budget goes; returns
        whether anything was copied."""
        chunk, target = found.unpacked, found.transfer.target
        if chunk not in found.landed or self._left_bytes <= 0:
            return False
        blocks = self._within_budget(found.blocks(chunk)[found.part :])
        first = self._place(found, chunk) + found.part
        fence = self._area.unpack(first, target[blocks.start : blocks.stop])
        found.part += len(blocks)
        if blocks.stop == found.blocks(chunk).stop:
            found.fence = fence
        return True

    def _within_budget(self, blocks: range) -> range:
        """Those of the blocks that may be copied now, at least one; they count as copied."""
        block_bytes = self._area.block_bytes
        found = blocks[: max(1, self._left_bytes // block_bytes)]
        self._left_bytes -= len(found) * block_bytes
        return found

    def _place(self, found: Staged, chunk: int) -> int:
        """The first block of a chunk in the area."""
        return found.slot * self._area.slot_blocks + chunk % AHEAD * self.half

    # -- who may touch what ----------------------------------------------------------------------

    def take(self, found: Staged, blocks: Sequence[int]) -> None:
        """The transfer has its slot from now on; its own blocks are `blocks`."""
        if self._watch is not None:
            self._watch.take(found.slot, found.transfer.request_id, blocks)

    def prepare(self, found: Staged, blocks: Sequence[int], least_chunks: int = 1) -> None:
        """What can be done for the copies before the first of them, if the area can do anything;
        `blocks` are the transfer's own. Only for a transfer in which each block has its own place
        in the slot, and of so many chunks."""
        if self._prepare is not None and least_chunks <= found.chunks <= AHEAD:
            self._prepare(found.slot, blocks)

    def give_back(self, found: Staged) -> None:
        """The transfer is over: no peer touches its slot."""
        if self._watch is not None:
            self._watch.give_back(found.slot, found.transfer.request_id)

    def lend_to_receiver(self, found: Sending, chunk: int) -> Transfer:
        """A packed chunk for the inner transport: its receiver may read it from now on."""
        first, whole = self._place(found, chunk), found.transfer
        target = whole.target_slot * self._area.slot_blocks + chunk % AHEAD * self.half
        return self._lent(found, chunk, first, target, writes=False)

    def lend_to_sender(self, found: Receiving, chunk: int) -> Transfer:
        """A chunk for the inner transport: its sender may write it from now on. Its place there is
        not known here, and need not be: both ends cut adjacent blocks into the same pieces."""
        first = self._place(found, chunk)
        return self._lent(found, chunk, first, first, writes=True)

    def _lent(
        self, found: Staged, chunk: int, source: int, target: int, *, writes: bool
    ) -> Transfer:
        count, whole = len(found.blocks(chunk)), found.transfer
        if self._watch is not None:
            peer, first = (whole.sender, target) if writes else (whole.receiver, source)
            self._watch.lend(found.inner(chunk), peer, first, count, writes=writes)
        return found.chunk(chunk, source, target, count * self._area.block_bytes)

    def take_back(self, found: Staged, chunk: int) -> None:
        """It is proven that the peer does not touch the chunk any more."""
        if self._watch is not None:
            self._watch.take_back(found.inner(chunk))
