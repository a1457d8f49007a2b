"""UCXX by itself: one tag message for each range.

Host memory over TCP is moved as fast as UCX can: sent at once, in messages of up to 4 MiB. With
UCXX's own settings, by which a receiver is asked first, it was half as fast or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mpi4py import MPI

from adpkv.bench.bare import BareMemory, ranges
from adpkv.memory.port import HOST
from adpkv.transport.posting import NO_LIMIT
from adpkv.transport.ucx_library import library
from adpkv.transport.ucx_settings import made, over_tcp

__all__ = ["BareUcx"]

AT_ONCE_BYTES: Final = 4 << 20
"""The largest message in host memory over TCP."""


class _OnDevice:
    """Some bytes of a device, in the form that UCXX takes."""

    def __init__(self, address: int, nbytes: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (address, False),
            "version": 3,
        }


class BareUcx:
    """`bare.Bare` over a worker that is progressed by hand, with endpoint error handling as the
    transport has it by default."""

    def __init__(self, communicator: MPI.Intracomm, memory: BareMemory) -> None:
        ucx = self._ucx = library()
        self._comm, self._memory = communicator, memory
        self._context = ucx.context({}, (ucx.tag_feature,))
        self._most_blocks = NO_LIMIT
        if made(ucx, on_host=memory.region().device == HOST, error_handling=True).at_once:
            self._context = ucx.context(over_tcp(AT_ONCE_BYTES), (ucx.tag_feature,))
            self._most_blocks = max(1, AT_ONCE_BYTES // memory.block_bytes)
        self._worker = ucx.worker(self._context)
        addresses = communicator.allgather(bytes(self._worker.address))
        peer = ucx.address.create_from_buffer(addresses[1 - communicator.rank])
        self._endpoint = self._worker.create_endpoint_from_worker_address(peer, True)
        self._requests: list[Any] = []

    def expect(self, number: int, source: Sequence[int], target: Sequence[int]) -> None:
        """Post the receives."""
        self._requests = [
            self._endpoint.tag_recv(self._array(into, count), self._tag(number, at))
            for at, (_, into, count) in enumerate(ranges(source, target, self._most_blocks))
        ]

    def send(self, number: int, source: Sequence[int], target: Sequence[int]) -> None:
        """Post the sends."""
        self._requests = [
            self._endpoint.tag_send(self._array(out, count), self._tag(number, at))
            for at, (out, _, count) in enumerate(ranges(source, target, self._most_blocks))
        ]

    def is_done(self) -> bool:
        """All requests have ended."""
        self._worker.progress()
        left = [request for request in self._requests if not request.completed]
        if not left:
            for request in self._requests:
                request.check_error()
        self._requests = left or []
        return not left

    def close(self) -> None:
        """Close the endpoint."""
        self._endpoint.close()
        self._worker.progress()

    def _tag(self, number: int, at: int) -> Any:
        return self._ucx.tag(number << 32 | at)

    def _array(self, first: int, count: int) -> Any:
        region, size = self._memory.region(), self._memory.block_bytes
        if region.device == HOST:
            return self._ucx.array(self._memory.view(first, count))
        return self._ucx.array(_OnDevice(region.address + first * size, count * size))
