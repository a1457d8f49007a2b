"""The bare libraries that the transports are measured against: one transfer at a time, all of it
posted at once, no bookkeeping, nothing proven.

`make_bare` imports a library only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mpi4py import MPI

from adpkv.core.content import pieces
from adpkv.memory.port import Region
from adpkv.transport.posting import NO_LIMIT

__all__ = ["Bare", "BareMemory", "BareMpi", "make_bare", "ranges"]


class BareMemory(Protocol):
    """The blocks that are moved."""

    block_bytes: int

    def region(self) -> Region:
        """All of them."""
        ...

    def view(self, first: int, count: int) -> memoryview:
        """The bytes of adjacent blocks; host memory only."""
        ...


class Bare(Protocol):
    """One rank's end of a bare library."""

    def expect(self, number: int, source: Sequence[int], target: Sequence[int]) -> None:
        """Receiver: what the library needs before the sender begins."""
        ...

    def send(self, number: int, source: Sequence[int], target: Sequence[int]) -> None:
        """Sender: post everything."""
        ...

    def is_done(self) -> bool:
        """Whether this end is through; makes progress."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


def ranges(
    source: Sequence[int], target: Sequence[int], most_blocks: int = NO_LIMIT
) -> list[tuple[int, int, int]]:
    """(source, target, blocks) of what is adjacent at both ends, merged up to a limit."""
    return list(pieces(tuple(source), tuple(target), most_blocks))


def make_bare(name: str, communicator: MPI.Intracomm, memory: BareMemory) -> Bare:
    """The bare library below the transport of this name."""
    if name == "nixl":
        from adpkv.bench.bare_nixl import BareNixl

        return BareNixl(communicator, memory)
    if name == "ucx":
        from adpkv.bench.bare_ucx import BareUcx

        return BareUcx(communicator, memory)
    return BareMpi(communicator, memory)


class BareMpi:
    """One Isend or Irecv for each range."""

    def __init__(self, communicator: MPI.Intracomm, memory: BareMemory) -> None:
        self._comm, self._memory = communicator, memory
        self._requests: list[MPI.Request] = []

    def expect(self, number: int, source: Sequence[int], target: Sequence[int]) -> None:
        """Post the receives."""
        self._requests = [
            self._comm.Irecv(self._buffer(into, count), 1 - self._comm.rank)
            for _, into, count in ranges(source, target)
        ]

    def send(self, number: int, source: Sequence[int], target: Sequence[int]) -> None:
        """Post the sends."""
        self._requests = [
            self._comm.Isend(self._buffer(out, count), 1 - self._comm.rank)
            for out, _, count in ranges(source, target)
        ]

    def is_done(self) -> bool:
        """All requests have ended."""
        return MPI.Request.Testall(self._requests)

    def close(self) -> None:
        """Nothing is left."""

    def _buffer(self, first: int, count: int) -> tuple[memoryview, int, MPI.Datatype]:
        view = self._memory.view(first, count)
        return view, len(view), MPI.BYTE
