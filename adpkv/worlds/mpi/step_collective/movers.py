"""How the bytes of a step's collectives move: through the host over MPI, or by CUDA IPC.

MPI moves nothing of a device, so a device's bytes are copied to pinned memory first: that is the
reference, slow and sure. With IPC each rank maps its peers' buffers and copies out of them. A
barrier says that all are filled; a rank fills its buffer for a direction again only after another
collective, in which the others have told that they are done with it.

No call here waits for a rank that has failed: all waits are MPI's, which reports failures, or for
this rank's own copies.
"""

from __future__ import annotations

from typing import Final, Protocol

from mpi4py import MPI

from adpkv.gpu.device import pinned_view
from adpkv.worlds.mpi.communicators import raise_if_revoked
from adpkv.worlds.mpi.step_collective.buffers import DeviceBuffers, HostBuffers
from adpkv.worlds.mpi.step_collective.layout import Chunk, Moves

__all__ = ["HANDLE_BYTES", "HostMover", "IpcMover", "Mover", "StagedMover"]

HANDLE_BYTES: Final = 64


class Mover(Protocol):
    """Moves the bytes of one collective; every member calls it with its own moves."""

    def open(self, group: MPI.Intracomm) -> None:
        """The group has these members from now on. Every member must call it."""
        ...

    def move(self, group: MPI.Intracomm, area: int, moves: Moves) -> None:
        """Move what the members have filled in, each from its buffer `area`. Work that follows on
        the step's stream finds what was received."""
        ...


class HostMover:
    """Over MPI, between buffers of the host."""

    def __init__(self, buffers: HostBuffers) -> None:
        self._buffers = buffers

    def open(self, group: MPI.Intracomm) -> None:
        """Nothing to do."""

    def move(self, group: MPI.Intracomm, area: int, moves: Moves) -> None:
        """One all-to-all."""
        send, received = self._buffers.send[area], self._buffers.received
        group.Alltoallv(
            [send, *_placed(moves.send), MPI.BYTE], [received, *_placed(moves.receive), MPI.BYTE]
        )
        raise_if_revoked(group)


class StagedMover:
    """Over MPI, between buffers of devices, through pinned memory of the host."""

    def __init__(self, buffers: DeviceBuffers) -> None:
        self._buffers = buffers
        device, nbytes = buffers.device, buffers.nbytes
        self._send_at, self._received_at = (device.allocate_pinned(nbytes) for _ in range(2))
        self._send = pinned_view(self._send_at, nbytes)
        self._received = pinned_view(self._received_at, nbytes)

    def open(self, group: MPI.Intracomm) -> None:
        """Nothing to do."""

    def move(self, group: MPI.Intracomm, area: int, moves: Moves) -> None:
        """To the host, one all-to-all, to the device."""
        buffers, stream = self._buffers, self._buffers.stream
        nbytes = sum(chunk.nbytes for chunk in moves.send)
        if nbytes:
            buffers.device.copy(self._send_at, buffers.area(area), nbytes, stream)
        buffers.device.wait(stream)
        group.Alltoallv(
            [self._send, *_placed(moves.send), MPI.BYTE],
            [self._received, *_placed(moves.receive), MPI.BYTE],
        )
        raise_if_revoked(group)
        nbytes = sum(chunk.nbytes for chunk in moves.receive)
        if nbytes:
            buffers.device.copy(buffers.received, self._received_at, nbytes, stream)


class IpcMover:
    """By CUDA IPC, between devices of one host, also between ranks of one device."""

    def __init__(self, buffers: DeviceBuffers) -> None:
        self._buffers = buffers
        self._mapped: dict[bytes, int] = {}
        """The address of each peer's buffers here, by its handle."""
        self._peers: list[int] = []

    def open(self, group: MPI.Intracomm) -> None:
        """Map the peers' buffers that are not mapped yet. Those of failed ranks stay: their memory
        lives as long as somebody maps it, and unmapping may wait for work on it."""
        runtime, address = self._buffers.device.runtime, self._buffers.address
        own = bytes(runtime.ipcGetMemHandle(address))
        assert len(own) == HANDLE_BYTES
        landing = bytearray(HANDLE_BYTES * group.size)
        group.Allgather([own, HANDLE_BYTES, MPI.BYTE], [landing, HANDLE_BYTES, MPI.BYTE])
        raise_if_revoked(group)
        self._peers = []
        for at in range(0, len(landing), HANDLE_BYTES):
            handle = bytes(landing[at : at + HANDLE_BYTES])
            if handle == own:
                self._peers.append(address)
                continue
            if handle not in self._mapped:
                self._mapped[handle] = int(runtime.ipcOpenMemHandle(handle))
            self._peers.append(self._mapped[handle])

    def move(self, group: MPI.Intracomm, area: int, moves: Moves) -> None:
        """All have filled their buffers; then each copies what is for it."""
        buffers = self._buffers
        device, stream = buffers.device, buffers.stream
        device.wait(stream)
        group.Barrier()
        raise_if_revoked(group)
        for chunk in moves.receive:
            if chunk.nbytes:
                source = self._peers[chunk.member] + area * buffers.nbytes
                source += moves.offsets[chunk.member]
                device.copy(buffers.received + chunk.offset, source, chunk.nbytes, stream)
        device.wait(stream)


def _placed(chunks: list[Chunk]) -> tuple[list[int], list[int]]:
    """(sizes, offsets), as MPI wants them."""
    return [chunk.nbytes for chunk in chunks], [chunk.offset for chunk in chunks]
