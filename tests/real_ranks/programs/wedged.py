"""Rank 1 takes none of its bytes; rank 2, served by the same sender, must not wait for it."""

from __future__ import annotations

import sys
import time

from mpi4py import MPI

from adpkv.memory.host import HostMemory
from adpkv.transport.mpi import MpiTransport
from adpkv.transport.port import EndKind, Transfer

BLOCKS, TOLD = 256, 1
PATIENCE_S = 30


def main() -> int:
    world = MPI.COMM_WORLD
    memory = HostMemory(BLOCKS, 64, 2, 2, 64, 2, lambda *_: None)
    size = memory.block_bytes
    link = MpiTransport(
        world.Dup(), memory, piece_bytes=size, budget_bytes=4 * size, clock=time.perf_counter_ns
    )
    half = BLOCKS // 2
    for_one, for_two = tuple(range(half)), tuple(range(half, BLOCKS))
    transfers = {
        1: Transfer(1, 0, 0, 1, 1, for_one, for_one, 0),
        2: Transfer(2, 0, 0, 2, 2, for_two, for_two, 0),
    }
    if world.rank:
        link.expect(transfers[world.rank])
    world.Barrier()
    if world.rank == 1:
        world.recv(source=2, tag=TOLD)
    if world.rank == 0:
        link.post(transfers[1])
        link.post(transfers[2])
    wanted = 2 if world.rank == 0 else 1
    ended: list[EndKind] = []
    until_s = time.monotonic() + PATIENCE_S
    while len(ended) < wanted:
        assert time.monotonic() < until_s, f"rank {world.rank}: {len(ended)} of {wanted} ends"
        ended += [end.kind for end in link.poll()]
    assert set(ended) == {EndKind.DONE}
    if world.rank == 2:
        world.send(None, 1, TOLD)
    world.Barrier()
    if world.rank == 0:
        print("fine", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
