"""One open transfer of the NIXL transport, as its sender sees it.

A transfer is cut into pieces, each one WRITE of the library: blocks in prompt order, up to so many
bytes and so many descriptors. Adjacent blocks are one descriptor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adpkv.transport.nixl_agent import Blocks, Handle
from adpkv.transport.port import Transfer

__all__ = ["Piece", "Send", "cut"]


class Piece(NamedTuple):
    """The blocks [first, end) of a transfer, in prompt order."""

    first: int
    end: int
    descriptors: int


def cut(
    source: Sequence[int], target: Sequence[int], most_blocks: int, most_descriptors: int
) -> list[Piece]:
    """Cut a transfer into pieces. Both sides get the same from the same two lists."""
    count = len(source)
    from_, to = np.asarray(source, np.int64), np.asarray(target, np.int64)
    begins = np.empty(count, np.int64)
    """Of each block: 1 if it begins a descriptor, as it is not adjacent to the one before."""
    begins[:1] = 1
    begins[1:] = (np.diff(from_) != 1) | (np.diff(to) != 1)
    descriptors = np.cumsum(begins)
    found, first = [], 0
    while first < count:
        # A piece that begins inside a run of adjacent blocks has a descriptor for the rest of it.
        before = int(descriptors[first]) - 1
        fits = int(np.searchsorted(descriptors, before + most_descriptors, side="right"))
        end = min(first + most_blocks, fits)
        found.append(Piece(first, end, int(descriptors[end - 1]) - before))
        first = end
    return found


class Send:
    """A transfer that this rank writes.

    Its last piece is posted when all others have ended, and with it goes the notice by which the
    receiver knows the end: the library does not order its writes.
    """

    __slots__ = (
        "cut", "error", "handles", "moved_blocks", "posted", "source", "target", "transfer",
        "wanted",
    )  # fmt: skip

    def __init__(self, transfer: Transfer, pieces: list[Piece]) -> None:
        self.transfer, self.cut = transfer, pieces
        self.source: Blocks = np.array(transfer.source, np.int32)
        self.target: Blocks = np.array(transfer.target, np.int32)
        self.handles: list[tuple[Handle, int]] = []
        """The pieces that have not ended: handle and number of blocks."""
        self.posted = 0
        """How many pieces were posted."""
        self.wanted = len(pieces)
        """How many pieces will be posted in all; fewer after a withdrawal."""
        self.moved_blocks = 0
        self.error = ""
        """Why its connection is lost; empty if it is not."""

    def peer(self) -> int:
        """The rank that it goes to."""
        return self.transfer.receiver

    def is_posted(self) -> bool:
        """Whether no piece can be posted now."""
        left = self.wanted - self.posted
        return not left or (left == 1 and bool(self.handles) and self.wanted == len(self.cut))

    def waits_for_others(self) -> bool:
        """Whether its last piece is left, and all others have ended by now."""
        return not self.handles and self.wanted - self.posted == 1

    def stop(self) -> None:
        """Post no further piece."""
        self.wanted = self.posted

    def is_over(self) -> bool:
        """Whether every piece that was posted has ended, and no further one will be posted."""
        return self.posted == self.wanted and not self.handles
