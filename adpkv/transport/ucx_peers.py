"""One rank's UCX worker and its connections to the other ranks.

A peer is connected when it is first used, by the address on its card, and again if the connection
was lost. With error handling, a lost connection ends the requests on it and is noted here
(`take_lost`).

Progress happens only in `progress`, in this thread: UCX copies bytes in there. So one call is
limited in time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any, Final, Protocol

from adpkv.memory.port import HOST, Region
from adpkv.transport.ucx_library import Library
from adpkv.transport.ucx_settings import made

__all__ = [
    "DONE",
    "OPEN",
    "PIECES",
    "Arrays",
    "ExposedBlocks",
    "Peers",
    "tag_of",
]

DONE: Final = 0
"""The status of a request that has ended without an error."""

OPEN: Final = 1
"""The status of one that has not ended (`UCS_INPROGRESS`)."""

PIECES: Final = 1 << 24
"""Pieces of one transfer; the rest of a tag's 64 bits is for the transfer's own tag."""

TAGS: Final = 1 << 40

EVERY_BIT: Final = (1 << 64) - 1

PROGRESS_NS: Final = 100_000
"""The limit of one call of `progress`. One step of UCX may take longer, and it may be the last one:
it sends all that is on its way."""


def tag_of(transfer_tag: int, piece: int) -> int:
    """The 64-bit tag of a message: which transfer of its receiver, and which piece of it."""
    return (transfer_tag % TAGS) * PIECES + piece


class _DeviceBytes:
    """A range of device memory, as the libraries of Python describe it to each other."""

    __slots__ = ("__cuda_array_interface__",)

    def __init__(self, address: int, nbytes: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (address, False),
            "strides": None,
            "version": 3,
        }


class ExposedBlocks(Protocol):
    """What this transport needs from a memory, or from a staging area."""

    block_bytes: int

    def region(self) -> Region:
        """All blocks together."""
        ...

    def view(self, first: int, count: int) -> memoryview:
        """The bytes of adjacent blocks, in place. Only asked of host memory."""
        ...


MOST_ARRAYS: Final = 1 << 16
"""How many descriptions of ranges of memory are kept."""


class Arrays:
    """Ranges of a memory as UCXX takes them, in host or device memory. To describe one takes about
    as long as to post its message, so descriptions are kept."""

    def __init__(self, array: Any, memory: ExposedBlocks) -> None:
        self._array, self._region = array, memory.region()
        self._made: dict[tuple[int, int], Any] = {}
        # UCXX keeps an address, not the bytes there: they must not be freed before the transport.
        blocks = self._region.nbytes // memory.block_bytes
        self._bytes = memory.view(0, blocks) if self._region.device == HOST else None

    def of(self, at: int, nbytes: int) -> Any:
        """`nbytes` bytes from `at`, in place."""
        found = self._made.get((at, nbytes))
        if found is None:
            if len(self._made) >= MOST_ARRAYS:
                self._made.clear()
            found = self._made[at, nbytes] = self._array(self._described(at, nbytes))
        return found

    def _described(self, at: int, nbytes: int) -> Any:
        if self._bytes is not None:
            return self._bytes[at : at + nbytes]
        return _DeviceBytes(self._region.address + at, nbytes)


class Peers:
    """The worker and the endpoints of one rank.

    Args:
        library: UCXX.
        on_host: whether host memory is moved.
        error_handling: whether a lost connection ends the requests on it. Without it UCX may use
            shared memory between processes of one host; but what a failed peer was to send or
            receive stays pending for ever, and reading from it can abort this process.
    """

    def __init__(self, library: Library, *, on_host: bool, error_handling: bool) -> None:
        self._library, self._error_handling = library, error_handling
        self._context, self.copies, self.at_once = made(
            library, on_host=on_host, error_handling=error_handling
        )
        self.worker = library.worker(self._context)
        own = library.address.create_from_worker(self.worker)
        self.address: bytes = own.tobytes()
        self._addresses: Sequence[bytes] = ()
        self._endpoints: dict[int, Any] = {}
        self._lost: list[int] = []
        # Without error handling, messages to itself do not leave the process.
        self._itself = self.worker.create_endpoint_from_worker_address(own, False)
        self._nothing = library.array(memoryview(b""))
        self._closing: list[Any] = []
        """Empty messages and closes that have not ended yet."""
        self._old: list[Any] = []
        """Endpoints that are lost or closed."""
        self._pinned: list[Any] = []
        """Endpoints that must not be destroyed before they are closed (`_pin`)."""
        # The first endpoint with error handling takes 5 ms, later ones 0.5 ms: not in an iteration.
        self._close(self.worker.create_endpoint_from_worker_address(own, error_handling))

    def take(self, addresses: Sequence[bytes]) -> None:
        """The addresses of all ranks."""
        self._addresses = addresses

    def endpoint(self, rank: int) -> Any:
        """The connection to a peer, made if there is none.

        Raises:
            Library.error: it cannot be made.
        """
        found = self._endpoints.get(rank)
        if found is None:
            address = self._library.address.create_from_buffer(self._addresses[rank])
            found = self.worker.create_endpoint_from_worker_address(address, self._error_handling)
            if self._error_handling:
                found.set_close_callback(self._lost.append, (rank,))
            else:
                self._pin(found)
            self._endpoints[rank] = found
        return found

    def progress(self, *, once: bool = False) -> bool:
        """Let UCX work until it has nothing to do, or for a limited time; or `once`. Returns
        whether it did anything."""
        step = self.worker.progress_once
        if not step():
            return False
        if self._closing:
            self.is_closed()
        if once:
            return True
        until_ns = perf_counter_ns() + PROGRESS_NS
        while perf_counter_ns() < until_ns and step():
            pass
        return True

    def take_lost(self) -> list[int]:
        """The peers whose connections were lost since the last call. By then the receives on them
        are cancelled that no message has come for."""
        if not self._lost:
            return self._lost
        lost = list(self._lost)
        self._lost.clear()
        for rank in lost:
            self._retire(rank)
        # Only this call cancels them, not `progress_once`.
        self.worker.progress()
        return lost

    def poster(self, rank: int, *, sends: bool) -> Any:
        """What posts a message to a peer, or a receive that is bound to the connection with it: it
        takes an array and a tag, and returns the request.

        Raises:
            Library.error: there is no connection.
        """
        endpoint = self._endpoints.get(rank) or self.endpoint(rank)
        return endpoint.tag_send if sends else endpoint.tag_recv

    def end_receive(self, tag: int) -> None:
        """End the receive of this tag if no message has come for it: an empty one from this rank
        itself completes it. A receive that is being written to goes on. This is how to cancel a
        receive and to know that it is cancelled: UCXX has no call for it in Python."""
        self._closing.append(self._itself.tag_send(self._nothing, self._library.tag(tag)))

    def drop(self, tag: int | None) -> Any:
        """Take a message that no receive waits for: of this tag, or of any if None. Returns the
        request that receives it and the bytes it goes to, or None if there is no such message."""
        new = self._library
        mask = new.tag_mask(0) if tag is None else new.tag_mask(EVERY_BIT)
        found = self.worker.tag_probe(new.tag(tag or 0), mask, remove=True)
        if not found.matched:
            return None
        landing = bytearray(found.length)
        return self.worker.tag_recv_with_handle(new.array(landing), found), landing

    def fence(self, rank: int) -> None:
        """This rank has failed: end what is left on the connection to it."""
        if self._error_handling:
            self._retire(rank)

    def close(self) -> None:
        """Close all connections; `is_closed` says when that is done."""
        for rank in list(self._endpoints):
            self._retire(rank)

    def is_closed(self) -> bool:
        """Without waiting: whether everything that `close` and `end_receive` began has ended."""
        self._closing = [request for request in self._closing if not request.completed]
        return not self._closing

    def release(self) -> None:
        """After `is_closed`: give back all that UCX has here. At the end of the process it would be
        too late: on a GPU machine UCX then finds the driver gone, and says so on stderr."""
        for endpoint in self._pinned:
            ctypes.pythonapi.Py_DecRef(ctypes.py_object(endpoint))
        self._pinned.clear()
        self._old.clear()
        self._itself = self._nothing = self.worker = self._context = None

    def is_released(self) -> bool:
        """Whether `release` was called. Nothing may be asked of it then."""
        return self.worker is None

    def _pin(self, endpoint: Any) -> None:
        """Without error handling, the destructor of an open endpoint waits for its peer without
        limit, also at the end of the process. So it is not destroyed, unless it is closed."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(endpoint))
        self._pinned.append(endpoint)

    def _retire(self, rank: int) -> None:
        endpoint = self._endpoints.pop(rank, None)
        if endpoint is None:
            return
        endpoint.remove_close_callback()
        # UCXX crashes on the request of a second close; a lost connection is closed already.
        if endpoint.alive:
            self._close(endpoint)
        else:
            self._old.append(endpoint)

    def _close(self, endpoint: Any) -> None:
        """With error handling, at once and by force: requests on it are cancelled, whatever the
        peer does. Without, its close ends when what is on its way has been sent."""
        self._old.append(endpoint)
        if self._error_handling:
            # Its other close never forces: with a stopped peer it did not end, and when the peer
            # went on, its bytes landed (UCXX 0.52). This one takes 0.1 ms.
            endpoint.close_blocking()
        else:
            self._closing.append(endpoint.close())
