"""A side of the conformance suite with staging: `staged(side)` puts slots and chunks between its
memory and its transport. Not a program."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
from mpi4py import MPI

from adpkv.core.ids import SessionId
from adpkv.memory.cuda_staging import CudaStaging
from adpkv.memory.host_staging import HostStaging
from adpkv.transport.port import Transfer, Transport, TransportEnd
from adpkv.transport.staged import StagedTransport
from adpkv.transport.staged_chunks import Posted

__all__ = ["BLOCKS_PER_PIECE", "staged"]

SLOTS = 256
"""More than a body has sessions: the slot of one follows from its number."""

HALF = 3
"""Blocks of half a slot: the longest transfer has 22 chunks."""

BLOCKS_PER_PIECE = Fraction(HALF, Posted(1).packed())
"""What a staged sender says when it was done: so many chunks, and nothing of a further one."""


def staged(side: type[Any], name: str, make: Callable[..., Transport]) -> type[Any]:
    """The same kind of side with staging. `make(name, communicator, memory)` makes the transport
    between the areas."""

    class Staged(side):  # type: ignore[misc]
        """Its messages how many chunks are unpacked go over a communicator of their own."""

        def __init__(self, comm: MPI.Intracomm) -> None:
            self.memory = self._memory(comm)
            self._comm, self._sent = comm.Dup(), []
            area = self.memory.staging(SLOTS, 2 * HALF, name == "mpi")
            self.staged = inner = StagedTransport(
                make(name, comm, area),
                area,
                self._tell,
                pack_bytes=5 * self.memory.block_bytes,
                repeat_ns=50_000_000,
                clock=time.perf_counter_ns,
                wake=lambda _: None,
                watch=area if isinstance(area, HostStaging | CudaStaging) else None,
            )
            self._written = area.written
            self.withdraw, self.peer_ended = inner.withdraw, inner.peer_ended
            self.last_moved_ns, self.close = inner.last_moved_ns, inner.close

        def _tell(self, sender: int, session: SessionId, chunks: int) -> None:
            told = np.array([*session, chunks])
            self._sent.append((self._comm.Isend(told, sender), told))

        def _read(self) -> None:
            while self._comm.Iprobe():
                told = np.zeros(3, dtype=np.int64)
                self._comm.Recv(told)
                request_id, attempt, chunks = (int(one) for one in told)
                self.staged.unpacked((request_id, attempt), chunks)  # type: ignore[arg-type]

        def expect(self, transfer: Transfer) -> bool:
            expected = self.staged.expect(_with_slots(transfer))
            while not self._written().passed():
                pass  # the sender learns of it when this returns
            return expected

        def post(self, transfer: Transfer) -> None:
            self.staged.post(_with_slots(transfer))

        def poll(self) -> list[TransportEnd]:
            self._read()
            return self.staged.poll()

        def ready(self) -> bool:
            self._read()
            return self.staged.ready()

    return Staged


def _with_slots(transfer: Transfer) -> Transfer:
    slot = transfer.request_id % SLOTS
    return msgspec.structs.replace(transfer, source_slot=slot, target_slot=slot)
