"""How the bytes of a step's collectives move by NCCL, where each rank has a GPU of its own.

A NCCL kernel waits for its peers on the device, for ever if one has failed. So the rank does not
wait for the device either: it polls an event, and asks MPI now and then whether all members live.
If not, it aborts NCCL's communicator, which ends the kernel.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Final

from mpi4py import MPI

from adpkv.errors import AdpkvError, MissingPieceError
from adpkv.worlds.mpi.backoff import Backoff
from adpkv.worlds.mpi.communicators import raise_if_revoked
from adpkv.worlds.mpi.step_collective.buffers import DeviceBuffers
from adpkv.worlds.mpi.step_collective.layout import Moves

__all__ = ["NcclMover", "load_nccl"]

LOOKS: Final = 64
"""After so many looks at the event MPI is asked for failures: that takes some microseconds."""


def load_nccl() -> Any:
    """CuPy's module for NCCL.

    Raises:
        MissingPieceError: NCCL is not installed.
    """
    # Multicast over NVLink takes much longer to set up, and fails on machines that forbid it.
    os.environ.setdefault("NCCL_NVLS_ENABLE", "0")
    try:
        nccl = import_module("cupy.cuda.nccl")
        nccl.get_version()
    except Exception as error:
        hint = "pip install nvidia-nccl-cu13 (or -cu12), or model.collective_backend: ipc"
        raise MissingPieceError(f"NCCL cannot be used here ({error}): {hint}") from error
    return nccl


class NcclMover:
    """By NCCL, between devices."""

    def __init__(self, buffers: DeviceBuffers) -> None:
        self._buffers, self._nccl = buffers, load_nccl()
        self._event = buffers.device.new_event()
        self._communicator: Any = None

    def open(self, group: MPI.Intracomm) -> None:
        """Make NCCL's communicator. The former one, with a failed member, was aborted."""
        self._abort()
        # As the object that it is: bytes from CuPy 14 on, numbers before, and it takes no other.
        told = group.bcast(self._nccl.get_unique_id() if group.rank == 0 else None, 0)
        raise_if_revoked(group)
        self._communicator = self._nccl.NcclCommunicator(group.size, told, group.rank)

    def move(self, group: MPI.Intracomm, area: int, moves: Moves) -> None:
        """Sends and receives as one NCCL operation; waits until it is done."""
        buffers, nccl, communicator = self._buffers, self._nccl, self._communicator
        base, stream, own = buffers.area(area), buffers.stream, group.rank
        nccl.groupStart()
        for chunk in moves.send:
            if chunk.nbytes and chunk.member != own:
                at, kind = base + chunk.offset, nccl.NCCL_UINT8
                communicator.send(at, chunk.nbytes, kind, chunk.member, stream.ptr)
        for chunk in moves.receive:
            if chunk.nbytes and chunk.member != own:
                at, kind = buffers.received + chunk.offset, nccl.NCCL_UINT8
                communicator.recv(at, chunk.nbytes, kind, chunk.member, stream.ptr)
        nccl.groupEnd()
        mine = moves.receive[own]
        if mine.nbytes:
            source = base + moves.offsets[own]
            buffers.device.copy(buffers.received + mine.offset, source, mine.nbytes, stream)
        self._wait(group)

    def _wait(self, group: MPI.Intracomm) -> None:
        device, backoff, looks = self._buffers.device, Backoff(), 0
        device.record(self._event, self._buffers.stream)
        while not device.passed(self._event):
            looks += 1
            if looks % LOOKS:
                continue
            backoff.sleep()
            try:
                group.Iprobe(MPI.ANY_SOURCE)
                raise_if_revoked(group)
            except MPI.Exception:
                self._abort()
                raise
            try:
                self._communicator.check_async_error()
            except Exception as error:
                self._abort()
                raise AdpkvError(f"NCCL failed in a step's collective: {error}") from error

    def _abort(self) -> None:
        if self._communicator is not None:
            self._communicator.abort()
            self._communicator = None
