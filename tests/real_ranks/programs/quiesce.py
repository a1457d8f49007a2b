"""A send that its receiver never expected: closing brings it to rest, and nothing else does."""

from __future__ import annotations

import sys
import time

from mpi4py import MPI

from adpkv.memory.host import HostMemory
from adpkv.transport.mpi import MpiTransport
from adpkv.transport.port import Transfer
from adpkv.worlds.mpi.quiesce import bounded_barrier, poll_until

BLOCKS = 256


def main() -> int:
    world = MPI.COMM_WORLD
    memory = HostMemory(BLOCKS, 64, 2, 2, 64, 2, lambda *_: None)
    size = memory.block_bytes
    link = MpiTransport(
        world.Dup(),
        memory,
        piece_bytes=64 * size,
        budget_bytes=256 * size,
        clock=time.perf_counter_ns,
    )
    blocks = tuple(range(BLOCKS))
    if world.rank == 0:
        link.post(Transfer(1, 0, 0, 1, 1, blocks, blocks, 0))
        link.close()
        assert not link.is_drained(), "16 MiB are on their way, and nobody takes them"
    bounded_barrier(world, "end their sends")
    if world.rank == 1:
        link.close()
    if world.rank == 0:
        poll_until(link.is_drained, "the send in doubt")
    bounded_barrier(world, "end their receives", link.discard)
    poll_until(link.is_drained, "the receives of what nobody wanted")
    if world.rank == 0:
        print("fine", flush=True)
    MPI.Finalize()
    return 0


if __name__ == "__main__":
    sys.exit(main())
