"""How a transfer over UCX is cut into pieces, each of which is one message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from operator import sub

from adpkv.core.content import pieces
from adpkv.transport.port import Transfer

__all__ = ["Cut", "Cutter"]


Piece = tuple[int, int, int]
"""Where it begins at the sender, and at the receiver, in bytes from the beginning of the memory;
how many bytes it has."""


class Cut:
    """The pieces of a transfer, in prompt order. Those of many scattered blocks are made as they
    are needed: a sender posts nothing before the first, and to make 1,024 of them held up an
    iteration by 0.7 ms."""

    __slots__ = ("_made", "_rest", "count")

    def __init__(self, made: list[Piece], count: int, rest: Iterator[Piece] | None = None) -> None:
        self._made, self._rest = made, rest
        self.count = count
        """How many there are."""

    def until(self, end: int) -> list[Piece]:
        """At least the pieces before this one."""
        made = self._made
        if len(made) < end and self._rest is not None:
            made += islice(self._rest, end - len(made))
        return made


class Cutter:
    """Cuts transfers between memories of blocks of one size. Both ends must have the same.

    Args:
        block_bytes: the size of a block.
        piece_bytes: the size limit of a piece.
        splits: whether a block that is larger is split; if not, it is a piece.
    """

    def __init__(self, block_bytes: int, piece_bytes: int, *, splits: bool) -> None:
        self._block_bytes = block_bytes
        self._parts: list[tuple[int, int]] = []
        """Where each part of a block begins, and how many bytes it has; empty if it is whole."""
        if splits and piece_bytes < block_bytes:
            starts = range(0, block_bytes, piece_bytes)
            self._parts = [(at, min(piece_bytes, block_bytes - at)) for at in starts]
        self._most_blocks = max(1, piece_bytes // block_bytes)
        self.most_bytes = piece_bytes if self._parts else self._most_blocks * block_bytes
        """The size limit of a piece."""

    def cut(self, transfer: Transfer) -> Cut:
        """The pieces of a transfer."""
        size, parts = self._block_bytes, self._parts
        source, target = transfer.source, transfer.target
        if not parts and len(source) == len(target) == 1:
            return Cut([(source[0] * size, target[0] * size, size)], 1)
        if self._each_alone(source, target):
            blocks = zip(source, target, strict=True)
            if not parts:
                rest = ((out * size, into * size, size) for out, into in blocks)
                return Cut([], len(source), rest)
            split = (
                (out * size + at, into * size + at, nbytes)
                for out, into in blocks
                for at, nbytes in parts
            )
            return Cut([], len(source) * len(parts), split)
        found = pieces(source, target, self._most_blocks)
        return Cut(
            [(out * size, into * size, count * size) for out, into, count in found], len(found)
        )

    def _each_alone(self, source: Sequence[int], target: Sequence[int]) -> bool:
        """Whether each block is a piece, or several."""
        if len(source) != len(target):
            return False
        return self._most_blocks == 1 or 1 not in map(sub, source[1:], source)
