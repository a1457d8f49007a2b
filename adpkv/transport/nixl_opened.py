"""One open transfer of the NIXL transport, as its sender sees it.

A transfer is posted in pieces, each one WRITE of the library: blocks in prompt order, up to so many
bytes, and as many descriptors as may be posted at that time. Adjacent blocks are one descriptor.
How it was cut is the sender's own affair: how far it came is told in blocks.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from adpkv.transport.nixl_agent import Array, Blocks, Handle
from adpkv.transport.port import Transfer

__all__ = ["MANY", "Array", "Piece", "Send", "begins", "begins_of_arrays", "numbers"]

MANY: Final = 48
"""From so many blocks on a transfer is looked at by numpy."""

FEW: Final = 16
"""Up to so many blocks are given to the library as a list: an array takes 1.5 µs to make."""


class Piece(NamedTuple):
    """The blocks [first, end) of a transfer, in prompt order."""

    first: int
    end: int
    descriptors: int


def begins(source: Sequence[int], target: Sequence[int]) -> list[int]:
    """The places of a transfer where a block does not follow the one before, at both ends: there a
    descriptor begins."""
    return [
        at
        for at in range(1, len(source))
        if source[at] != source[at - 1] + 1 or target[at] != target[at - 1] + 1
    ]


def begins_of_arrays(source: Array, target: Array) -> list[int]:
    """The same by numpy: 6 µs, and little more for a thousand blocks."""
    apart = (source[1:] != source[:-1] + 1) | (target[1:] != target[:-1] + 1)
    found: list[int] = (apart.nonzero()[0] + 1).tolist()
    return found


def numbers(blocks: Sequence[int]) -> Array:
    """Block numbers as the library takes them. An array of Python's is filled three times as fast
    as numpy's."""
    if isinstance(blocks, range):
        return np.arange(blocks.start, blocks.stop, blocks.step, dtype=np.int32)
    return np.frombuffer(array("i", blocks), np.int32)


def _run(first: int, piece: Piece) -> Array:
    return np.arange(first, first + piece.end - piece.first, dtype=np.int32)


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

    The library does not order its writes, so the notice by which the receiver knows the end goes
    with the last piece only if all others have ended by then. Otherwise it goes by itself when all
    have ended: `is_told`.
    """

    __slots__ = (
        "_begins", "_source", "_target", "error", "handles", "is_told", "moved", "pieces", "posted",
        "session", "transfer", "wanted",
    )  # fmt: skip

    def __init__(self, transfer: Transfer) -> None:
        self.transfer, self.session = transfer, transfer.session
        source, target = transfer.source, transfer.target
        self._source: Array | None = None
        self._target: Array | None = None
        self._begins: list[int]
        if _is_run(source) and _is_run(target):
            self._begins = []
        elif len(source) < MANY:
            self._begins = begins(source, target)
        else:
            self._source, self._target = numbers(source), numbers(target)
            self._begins = begins_of_arrays(self._source, self._target)
        self.handles: list[tuple[Handle, int]] = []
        """The pieces that have not ended, oldest first: handle and number of blocks."""
        self.pieces = 0
        """How many pieces were posted."""
        self.posted = self.moved = 0
        """How many blocks were posted, and how many of them have ended."""
        self.wanted = len(source)
        """How many blocks will be posted in all; fewer after a withdrawal."""
        self.is_told = False
        """Whether a notice of the end was given to the library."""
        self.error = ""
        """Why its connection is lost; empty if it is not."""

    def peer(self) -> int:
        """The rank that it goes to."""
        return self.transfer.receiver

    def rest(self) -> int:
        """How many descriptors are left to be posted."""
        found = self._begins
        return len(found) - bisect_right(found, self.posted) + 1 if found else 1

    def next(self, most_blocks: int, most_descriptors: int) -> Piece:
        """The next piece, up to both limits."""
        first, found = self.posted, self._begins
        end = min(first + most_blocks, len(self.transfer.source))
        if not found:
            return Piece(first, end, 1)
        after = bisect_right(found, first)
        if after + most_descriptors - 1 < len(found):
            end = min(end, found[after + most_descriptors - 1])
        return Piece(first, end, 1 + bisect_left(found, end) - after)

    def blocks(self, piece: Piece) -> tuple[Blocks, Blocks]:
        """Where a piece is, and where it goes."""
        source, target = self.transfer.source, self.transfer.target
        part = slice(piece.first, piece.end)
        if len(source) <= FEW:
            return list(source[part]), list(target[part])
        if piece.descriptors == 1:
            return _run(source[piece.first], piece), _run(target[piece.first], piece)
        if self._source is None or self._target is None:
            self._source, self._target = numbers(source), numbers(target)
        return self._source[part], self._target[part]

    def run(self, piece: Piece) -> tuple[int, int] | None:
        """The first block of a piece and where it goes, if the transfer is from slot to slot."""
        source, target = self.transfer.source, self.transfer.target
        if isinstance(source, range) and isinstance(target, range) and piece.descriptors == 1:
            return source[piece.first], target[piece.first]
        return None

    def ends_with(self, piece: Piece) -> bool:
        """Whether this piece, about to be posted, is the end: the last, and all others have ended.
        Then its notice proves the whole."""
        return piece.end == len(self.transfer.source) and not self.handles

    def is_posted(self) -> bool:
        """Whether no piece is left to be posted."""
        return self.posted == self.wanted

    def is_whole(self) -> bool:
        """Whether all of it was posted, and nothing is known to be lost."""
        return self.posted == len(self.transfer.source) and not self.error

    def stop(self) -> None:
        """Post no further piece."""
        self.wanted = self.posted

    def is_over(self) -> bool:
        """Whether every piece that was posted has ended, and no further one will be posted."""
        return self.posted == self.wanted and not self.handles
