"""Ranks 0 and 1 put a transport through the conformance bodies; rank 0 prints one line each.
`transport TRANSPORT WORD...`. With the word `faulty`, the fault seam is around it; with `odd`,
blocks have an odd size, with `large` they are large; with `errors-off`, ucx has no error handling;
with `cuda`, blocks are in the memory of a GPU; with `staged`, they are packed into small slots;
with `timed`, how long nixl may post is bounded too, so that it cuts transfers as time allows; with
`split`, ucx cuts each block in two."""

# ruff: noqa: E402 - what must be imported before MPI

from __future__ import annotations

import sys
import time
import traceback
from fractions import Fraction
from typing import Any

from adpkv.worlds.mpi.transports import import_before_mpi

NAME = sys.argv[1]
import_before_mpi(NAME)

import numpy as np
from mpi4py import MPI

from adpkv.config.fault_kinds import Seam
from adpkv.config.faults import FaultConfig
from adpkv.faults.injector import Armed, Injector
from adpkv.faults.schedule import Upcoming
from adpkv.faults.transport import FaultyTransport
from adpkv.memory.host import HostMemory
from adpkv.testing.transport import BLOCKS, BODIES
from adpkv.transport.port import Transfer, Transport, TransportEnd
from adpkv.transport.posting import NO_LIMIT, WINDOW_BUDGETS, PostLimits
from adpkv.worlds.mpi.cards import exchange
from adpkv.worlds.mpi.custom_ports import card_of, hand_cards
from tests.real_ranks.programs.staged_side import BLOCKS_PER_PIECE, staged

SHAPES = {"odd": (3, 1, 1, 7, 1), "large": (16, 4, 4, 64, 2)}
SHAPE = next((shape for word, shape in SHAPES.items() if word in sys.argv), (8, 2, 2, 32, 2))
"""Tokens of a block, layers, heads, head size, bytes of an element; `odd`: blocks of 42 bytes,
which begin at any even address; `large`: of 64 KiB."""

POST_NS = 20_000
"""With `timed`: less than a write takes, so each poll posts one."""


class Absent:
    """The side that lives in the other process."""

    here = False

    def expect(self, transfer: Transfer) -> bool:
        return False

    def post(self, transfer: Transfer) -> None: ...
    def withdraw(self, session: tuple[int, int]) -> None: ...
    def peer_ended(self, session: tuple[int, int], pieces: int) -> None: ...
    def close(self) -> None: ...
    def fill(self, blocks: tuple[int, ...], seed: int) -> None: ...

    def poll(self) -> list[TransportEnd]:
        return []

    def ready(self) -> bool:
        return False

    def last_moved_ns(self) -> int:
        return 0

    def holds(self, blocks: tuple[int, ...], seed: int) -> bool:
        raise AssertionError("asked of the wrong process")


def made(name: str, comm: MPI.Intracomm, memory: Any) -> Transport:
    """This process's end of a transport, connected: two blocks a piece, five posted per poll."""
    piece_bytes, budget_bytes = 2 * memory.block_bytes, 5 * memory.block_bytes
    limits = PostLimits(budget_bytes, WINDOW_BUDGETS * budget_bytes, budget_descriptors=5)
    clock = time.perf_counter_ns
    if name == "mpi":
        from adpkv.transport.mpi import MpiTransport

        return MpiTransport(
            comm, memory, piece_bytes=piece_bytes, budget_bytes=budget_bytes, clock=clock
        )
    if name == "nixl":
        from adpkv.transport.nixl import NixlTransport

        nixl = NixlTransport(
            comm.rank,
            memory,
            backend="UCX",
            piece_bytes=piece_bytes,
            limits=limits,
            post_ns=POST_NS if "timed" in sys.argv else NO_LIMIT,
            clock=clock,
        )
        hand_cards(nixl, exchange(comm, card_of(nixl, name)))
        return nixl
    assert name == "ucx"
    from adpkv.transport.ucx import UcxTransport
    from adpkv.transport.ucx_library import library

    found = UcxTransport(
        library(),
        memory,
        piece_bytes=-(-memory.block_bytes // 2) if "split" in sys.argv else piece_bytes,
        limits=limits,
        error_handling="errors-off" not in sys.argv,
        clock=clock,
    )
    hand_cards(found, exchange(comm, card_of(found, name)))
    return found


class Present:
    """This process's side, over a memory of its own."""

    here = True

    def __init__(self, comm: MPI.Intracomm) -> None:
        self.memory = self._memory(comm)
        self.transport = inner = self._made(comm)
        self.expect, self.post, self.withdraw = inner.expect, inner.post, inner.withdraw
        self.peer_ended, self.poll, self.ready = inner.peer_ended, inner.poll, inner.ready
        self.last_moved_ns, self.close = inner.last_moved_ns, inner.close

    def _made(self, comm: MPI.Intracomm) -> Any:
        return made(NAME, comm, self.memory)

    def _memory(self, comm: MPI.Intracomm) -> Any:
        return HostMemory(BLOCKS, *SHAPE, lambda *_: None)

    def fill(self, blocks: tuple[int, ...], seed: int) -> None:
        for i, block in enumerate(blocks):
            self.memory.view(block, 1)[:] = self._content(seed, i)

    def holds(self, blocks: tuple[int, ...], seed: int) -> bool:
        return all(
            bytes(self.memory.view(block, 1)) == self._content(seed, i)
            for i, block in enumerate(blocks)
        )

    def _content(self, seed: int, index: int) -> bytes:
        return np.random.default_rng([seed, index]).bytes(self.memory.block_bytes)


class OnDevice(Present):
    """Its memory is a GPU's."""

    def _memory(self, comm: MPI.Intracomm) -> Any:
        from adpkv.gpu.device import Device, device_count
        from adpkv.memory.cuda import CudaMemory

        return CudaMemory(Device(comm.rank % device_count()), BLOCKS, *SHAPE, lambda *_: None)

    def _at(self, block: int) -> int:
        return self.memory.region().address + block * self.memory.block_bytes

    def fill(self, blocks: tuple[int, ...], seed: int) -> None:
        for i, block in enumerate(blocks):
            self.memory.device.put(self._at(block), self._content(seed, i))

    def holds(self, blocks: tuple[int, ...], seed: int) -> bool:
        device, size = self.memory.device, self.memory.block_bytes
        return all(
            device.fetch(self._at(block), size) == self._content(seed, i)
            for i, block in enumerate(blocks)
        )


class Faulty(FaultyTransport):
    """The same side with the fault seam around it, and faults that never fit."""

    here = True

    def __init__(self, comm: MPI.Intracomm) -> None:
        inner = Present(comm)
        self.fill, self.holds = inner.fill, inner.holds
        far = {"kind": "stall", "peers": [99]}
        faults = [
            Armed(number, FaultConfig.model_validate({**far, "phase": phase}))
            for number, phase in enumerate(("post", "expect"))
        ]
        super().__init__(
            inner.transport,
            Injector(faults, 0, Seam.TRANSPORT),
            rank=comm.rank,
            clock=time.perf_counter_ns,
            wake=lambda _: None,
            note=lambda *_: None,
            restarts=Upcoming(),
        )


class Halves:
    """The pair as one of its processes sees it."""

    # NIXL tells how far it came in blocks, however it has cut them.
    blocks_per_piece: int | Fraction = 1 if NAME == "nixl" else 2
    if "staged" in sys.argv:
        blocks_per_piece = BLOCKS_PER_PIECE
    elif "split" in sys.argv:
        blocks_per_piece = Fraction(1, 2)

    def __init__(self, comm: MPI.Intracomm, side: type[Present] | type[Faulty]) -> None:
        self._comm = comm.Dup()
        self.own = side(comm.Dup())
        self.sender = self.own if comm.rank == 0 else Absent()
        self.receiver = self.own if comm.rank == 1 else Absent()

    def step(self) -> None:
        self.own.ready()
        time.sleep(0)

    def meet(self) -> None:
        request = self._comm.Ibarrier()
        while not request.Test():
            self.step()

    def rest(self) -> None:
        self._comm.Barrier()

    def agree(self, pieces: int) -> int:
        found = np.array([pieces])
        request = self._comm.Ibcast(found, root=0)
        while not request.Test():
            self.step()
        return int(found[0])


def main() -> int:
    world = MPI.COMM_WORLD
    comm = world.Split(0 if world.rank < 2 else 1)
    if world.rank >= 2:
        return 0
    side = OnDevice if "cuda" in sys.argv else Faulty if "faulty" in sys.argv else Present
    if "staged" in sys.argv:
        side = staged(side, NAME, made)
    for name, body in BODIES.items():
        pair = Halves(comm, side)
        try:
            body(pair)
        except BaseException:
            traceback.print_exc()
            print(f"rank {comm.rank}: {name} failed", file=sys.stderr, flush=True)
            world.Abort(1)
        pair.meet()
        pair.own.close()
        if comm.rank == 0:
            print(f"passed {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
