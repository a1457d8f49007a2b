"""What mpirun starts for `transport`: two ranks that move the same blocks in two ways, in turn.

The clock is the sender's, from its first post to the receiver's message that all has landed; the
receives are posted before it starts. The blocks do not touch, so nothing is merged: the transport
sends as many messages as the bare loop does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter, perf_counter_ns

import msgspec
from mpi4py import MPI

from adpkv.config.transceiver import TransceiverConfig
from adpkv.memory.host import HostMemory
from adpkv.transport.mpi import MpiTransport
from adpkv.transport.port import Transfer
from adpkv.worlds.mpi.driver import guarded

__all__ = ["Asked", "Sizes", "main"]

SENDER, RECEIVER = 0, 1
TOKEN_BYTES = 1024
"""4 layers, K and V, 2 heads of 32 values of 2 bytes, as in the quickstart."""

READY, LANDED = 1, 2


class Sizes(msgspec.Struct, frozen=True):
    """One transfer: so many blocks of so many bytes."""

    block_bytes: int
    blocks: int


class Asked(msgspec.Struct, frozen=True):
    """What to move, and how often."""

    sizes: list[Sizes]
    rounds: int


class _Pair:
    """This rank's side of one size."""

    def __init__(self, world: MPI.Intracomm, sizes: Sizes) -> None:
        self._world, self._data = world, world.Dup()
        self.nbytes = sizes.blocks * sizes.block_bytes
        self._memory = HostMemory(
            2 * sizes.blocks, sizes.block_bytes // TOKEN_BYTES, 4, 2, 32, 2, lambda *_: None
        )
        # Every other block: neighbours would be merged into one message.
        self._blocks = tuple(range(0, 2 * sizes.blocks, 2))
        for block in self._blocks:
            self._memory.view(block, 1)[:] = bytes([block % 251]) * sizes.block_bytes
        # The defaults, where a block fits in them.
        defaults = TransceiverConfig()
        piece_bytes = max(defaults.piece_bytes, sizes.block_bytes)
        self._transport = MpiTransport(
            self._data,
            self._memory,
            piece_bytes=piece_bytes,
            budget_bytes=max(defaults.post_budget_bytes, piece_bytes),
            clock=perf_counter_ns,
        )
        self._word = bytearray(1)
        self._number = 0

    def _meet(self, tag: int) -> None:
        """The receiver's message to the sender."""
        if self._world.rank == RECEIVER:
            self._world.Send([self._word, 1, MPI.BYTE], SENDER, tag)
        else:
            self._world.Recv([self._word, 1, MPI.BYTE], RECEIVER, tag)

    def ours(self) -> float:
        """Seconds that the transport takes; the receiver's have no meaning."""
        self._number += 1
        transfer = Transfer(
            self._number, 0, SENDER, RECEIVER, self._number, self._blocks, self._blocks, self.nbytes
        )
        transport = self._transport
        receives = self._world.rank == RECEIVER
        if receives:
            transport.expect(transfer)
        self._meet(READY)
        began = perf_counter()
        if not receives:
            transport.post(transfer)
        while not transport.poll():
            pass
        self._meet(LANDED)
        return perf_counter() - began

    def bare(self) -> float:
        """Seconds that a bare isend or irecv per block takes."""
        receives = self._world.rank == RECEIVER
        requests = []
        if receives:
            requests = [self._data.Irecv(buffer, SENDER) for buffer in self._buffers()]
        self._meet(READY)
        began = perf_counter()
        if not receives:
            requests = [self._data.Isend(buffer, RECEIVER) for buffer in self._buffers()]
        MPI.Request.Waitall(requests)
        self._meet(LANDED)
        return perf_counter() - began

    def _buffers(self) -> list[tuple[memoryview, int, MPI.Datatype]]:
        views = [self._memory.view(block, 1) for block in self._blocks]
        return [(view, len(view), MPI.BYTE) for view in views]

    def close(self) -> None:
        """Give memory and communicator back."""
        self._transport.close()
        self._memory.close()
        self._data.Free()


def _rates(world: MPI.Intracomm, sizes: Sizes, rounds: int) -> tuple[float, float]:
    """(transport, bare) in GB/s, medians of alternating rounds after one of each."""
    pair = _Pair(world, sizes)
    ways: tuple[Callable[[], float], ...] = (pair.ours, pair.bare)
    took: tuple[list[float], ...] = ([], [])
    for _ in range(rounds + 1):
        for way, found in zip(ways, took, strict=True):
            found.append(way())
    pair.close()
    ours, bare = (pair.nbytes / median(found[1:]) / 1e9 for found in took)
    return ours, bare


def main(argv: list[str]) -> None:
    """Measure; the sender prints one line."""
    asked = msgspec.json.decode(argv[0], type=Asked)
    world = MPI.COMM_WORLD

    def measure() -> list[tuple[float, float]]:
        return [_rates(world, sizes, asked.rounds) for sizes in asked.sizes]

    said = guarded(f"bench rank {world.rank}", measure)
    if world.rank == SENDER:
        print(msgspec.json.encode(said).decode(), flush=True)
    MPI.Finalize()


if __name__ == "__main__":
    main(sys.argv[1:])
