"""One open transfer of the NIXL transport, as its sender sees it.

A transfer is cut into pieces, each one WRITE of the library: blocks in prompt order, up to so many
bytes and so many descriptors. Adjacent blocks are one descriptor.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from adpkv.transport.nixl_agent import Blocks, Handle
from adpkv.transport.port import Transfer

__all__ = ["Piece", "Send", "cut", "numbers"]

MANY: Final = 128
"""From so many blocks on a transfer is cut by numpy."""


FEW: Final = 16
"""Up to so many blocks are given to the library as a list: an array takes 1.5 µs to make."""


class Piece(NamedTuple):
    """The blocks [first, end) of a transfer, in prompt order."""

    first: int
    end: int
    descriptors: int


def cut(
    source: Sequence[int], target: Sequence[int], most_blocks: int, most_descriptors: int
) -> list[Piece]:
    """Cut a transfer into pieces. Both sides get the same from the same two lists. The first piece
    has half the descriptors: what posts it has found its code out of the caches."""
    count = len(source)
    if _is_run(source) and _is_run(target):
        return [Piece(at, min(at + most_blocks, count), 1) for at in range(0, count, most_blocks)]
    find = _begins_of_many if count >= MANY else _begins
    begins = find(source, target)
    found, first, most = [], 0, most_descriptors
    if len(begins) >= most:
        most = max(1, most // 2)
    while first < count:
        after = bisect_right(begins, first)
        end = min(first + most_blocks, count)
        if after + most - 1 < len(begins):
            end = min(end, begins[after + most - 1])
        most = most_descriptors
        found.append(Piece(first, end, 1 + bisect_left(begins, end) - after))
        first = end
    return found


def _begins(source: Sequence[int], target: Sequence[int]) -> list[int]:
    """The places where a block does not follow the one before."""
    return [
        at
        for at in range(1, len(source))
        if source[at] != source[at - 1] + 1 or target[at] != target[at - 1] + 1
    ]


def _begins_of_many(source: Sequence[int], target: Sequence[int]) -> list[int]:
    """The same by numpy: it takes 20 µs for one block, and little more for a thousand, for which a
    loop takes a quarter of a millisecond."""
    apart = (np.diff(numbers(source)) != 1) | (np.diff(numbers(target)) != 1)
    found: list[int] = (np.flatnonzero(apart) + 1).tolist()
    return found


def numbers(blocks: Sequence[int]) -> Blocks:
    """Block numbers as the library takes them. An array of Python's is filled three times as fast
    as numpy's."""
    if isinstance(blocks, range):
        return np.arange(blocks.start, blocks.stop, blocks.step, dtype=np.int32)
    return np.frombuffer(array("i", blocks), np.int32)


def _is_run(blocks: Sequence[int]) -> bool:
    """Whether they are adjacent, in order."""
    if isinstance(blocks, range):
        return blocks.step == 1
    count = len(blocks)
    if not count or blocks[-1] - blocks[0] != count - 1:
        return not count
    return tuple(blocks) == tuple(range(blocks[0], blocks[0] + count))


class Send:
    """A transfer that this rank writes.

    The library does not order its writes. So either its last piece is posted when all others have
    ended, and with it goes the notice by which the receiver knows the end. Or, if pieces are large,
    each has a notice of its own, and the receiver counts them: `counted`.
    """

    __slots__ = (
        "_source", "_target", "counted", "cut", "error", "handles", "moved_blocks", "posted",
        "transfer", "wanted",
    )  # fmt: skip

    def __init__(self, transfer: Transfer, pieces: list[Piece], *, counted: bool = False) -> None:
        self.transfer, self.cut, self.counted = transfer, pieces, counted
        self._source: Blocks | None = None
        self._target: Blocks | None = None
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

    def blocks(self, piece: Piece) -> tuple[Blocks, Blocks]:
        """Where a piece is, and where it goes."""
        source, target = self.transfer.source, self.transfer.target
        part = slice(piece.first, piece.end)
        if len(source) <= FEW:
            return list(source[part]), list(target[part])
        if self._source is None or self._target is None:
            self._source, self._target = numbers(source), numbers(target)
        return self._source[part], self._target[part]

    def run(self, piece: Piece) -> tuple[int, int] | None:
        """The first block of a piece and where it goes, if the transfer is from slot to slot."""
        source, target = self.transfer.source, self.transfer.target
        if isinstance(source, range) and isinstance(target, range) and piece.descriptors == 1:
            return source[piece.first], target[piece.first]
        return None

    def needs(self, number: int) -> int:
        """For the notice of a piece: how many such notices the receiver has to get; 0 if this one
        proves nothing."""
        if self.counted:
            return len(self.cut)
        return int(number == len(self.cut) - 1)

    def is_posted(self) -> bool:
        """Whether no piece can be posted now."""
        left = self.wanted - self.posted
        if not left or self.counted:
            return not left
        return left == 1 and bool(self.handles) and self.wanted == len(self.cut)

    def waits_for_others(self) -> bool:
        """Whether its last piece is left, and all others have ended by now."""
        return not self.handles and self.wanted - self.posted == 1 and not self.counted

    def stop(self) -> None:
        """Post no further piece."""
        self.wanted = self.posted

    def is_over(self) -> bool:
        """Whether every piece that was posted has ended, and no further one will be posted."""
        return self.posted == self.wanted and not self.handles
