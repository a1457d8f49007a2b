"""How a transfer over UCX is cut into pieces, each of which is one message."""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub

from adpkv.core.content import pieces
from adpkv.transport.port import Transfer

__all__ = ["Cutter"]


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

    def cut(self, transfer: Transfer) -> list[tuple[int, int, int]]:
        """(where it begins at the sender, where at the receiver, bytes) of each piece, in prompt
        order; the places are counted in bytes from the beginning of the memory."""
        size, parts = self._block_bytes, self._parts
        source, target = transfer.source, transfer.target
        if not parts and len(source) == len(target) == 1:
            return [(source[0] * size, target[0] * size, size)]
        if not parts and self._each_alone(source, target):
            return [
                (out * size, into * size, size) for out, into in zip(source, target, strict=True)
            ]
        found = pieces(source, target, self._most_blocks)
        if not parts:
            return [(out * size, into * size, count * size) for out, into, count in found]
        return [
            (out * size + at, into * size + at, nbytes)
            for out, into, _ in found
            for at, nbytes in parts
        ]

    def _each_alone(self, source: Sequence[int], target: Sequence[int]) -> bool:
        """Whether each block is a piece: to see that takes a fifth of cutting it, and a sender
        posts nothing before."""
        if len(source) != len(target):
            return False
        return self._most_blocks == 1 or 1 not in map(sub, source[1:], source)
