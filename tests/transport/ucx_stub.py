"""UCXX as the transport uses it, with requests that a test ends."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

from adpkv.memory.port import HOST, PASSED, Fence, Region
from adpkv.transport.posting import PostLimits
from adpkv.transport.ucx import UcxTransport
from adpkv.transport.ucx_library import Library

BLOCK_BYTES = 8
DONE, OPEN, RESET, CANCELLED = 0, 1, -25, -16


class UcxError(Exception):
    """What the library raises."""


class Request:
    """Of one message."""

    looks: ClassVar = 0
    """How often the transport has looked at any request."""

    def __init__(self, tag: int) -> None:
        self.tag, self.status = tag, OPEN

    @property
    def completed(self) -> bool:
        Request.looks += 1
        return self.status != OPEN


class Endpoint:
    """A connection. `room` is for how many messages it takes more; `callback` is called when it is
    lost."""

    def __init__(self, worker: Worker, address: bytes, error_handling: bool) -> None:
        self.worker, self.address, self.error_handling = worker, address, error_handling
        self.alive, self.closes, self.room = True, 0, 5000
        self.sent: list[Request] = []
        self.received: list[Request] = []
        self.callback: Callable[[], None] | None = None

    def tag_send(self, array: Any, tag: int) -> Request:
        request = self._post(self.sent, tag)
        if self is self.worker.endpoints[0]:
            request.status = DONE  # a message to itself does not leave the process
        return request

    def tag_recv(self, array: Any, tag: int) -> Request:
        return self._post(self.received, tag)

    def _post(self, book: list[Request], tag: int) -> Request:
        if not self.room:
            raise UcxError("no more")
        self.room -= 1
        book.append(Request(tag))
        return book[-1]

    def set_close_callback(self, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.callback = lambda: call(*arguments)

    def remove_close_callback(self) -> None:
        self.callback = None

    def close_blocking(self) -> None:
        assert self.alive
        self.alive, self.closes = False, self.closes + 1
        self.cancel()

    def cancel(self) -> None:
        for request in (*self.received, *self.sent):
            request.status = CANCELLED if request.status == OPEN else request.status

    def close(self) -> Request:
        assert not self.error_handling, "it does not force"
        assert self.alive, "UCXX crashes on what a second close returns"
        self.alive, self.closes = False, self.closes + 1
        return self.worker.ended(0)

    def lose(self) -> None:
        """The peer is gone: requests end when all is progressed, as in UCXX."""
        self.alive = False
        assert self.callback is not None
        self.callback()
        self.worker.does.append("lost")


class Probe:
    """What a probe finds: nothing."""

    matched = False


class Worker:
    """Its endpoints in the order of their making: to itself, the first one, and the peers'."""

    def __init__(self, context: object) -> None:
        self.endpoints: list[Endpoint] = []
        self.does: list[str] = []
        self.refuses = False

    def ended(self, tag: int) -> Request:
        request = Request(tag)
        request.status = DONE
        return request

    def create_endpoint_from_worker_address(self, address: bytes, errors: bool) -> Endpoint:
        if self.refuses:
            raise UcxError("unreachable")
        self.endpoints.append(Endpoint(self, address, errors))
        return self.endpoints[-1]

    def progress_once(self) -> bool:
        return bool(self.does) and bool(self.does.pop())

    def progress(self) -> None:
        for endpoint in self.endpoints[2:]:
            if not endpoint.alive and endpoint.error_handling and not endpoint.closes:
                endpoint.cancel()

    def tag_probe(self, tag: int, mask: int, remove: bool) -> Probe:
        assert remove
        return Probe()


class Address(bytes):
    """Of a worker."""

    @classmethod
    def create_from_worker(cls, worker: Worker) -> Address:
        return cls(b"own")

    @classmethod
    def create_from_buffer(cls, data: bytes) -> Address:
        return cls(data)

    def tobytes(self) -> bytes:
        return bytes(self)


STUB = Library(
    context=lambda settings, features: SimpleNamespace(info="-- tcp/lo", config={"PROTOS": "all"}),
    worker=Worker,
    address=Address,
    array=lambda data: data,
    tag=int,
    tag_mask=int,
    tag_feature=0,
    error=UcxError,
    ucxx_version="1",
    ucx_version="2",
)


class Memory:
    """Of eight-byte blocks."""

    block_bytes = BLOCK_BYTES

    def __init__(self, device: int = HOST) -> None:
        self.device = device

    def region(self) -> Region:
        return Region(4096, 99 * BLOCK_BYTES, self.device)

    def view(self, first: int, count: int) -> memoryview:
        return memoryview(bytearray(BLOCK_BYTES * count))


class Rig:
    """Rank 1 of three, with one block per piece."""

    def __init__(
        self,
        *,
        error_handling: bool = True,
        calls: int = 99,
        device: int = HOST,
        written: Callable[[], Fence] = lambda: PASSED,
    ) -> None:
        self.now_ns = 7
        self.transport = UcxTransport(
            STUB,
            Memory(device),
            piece_bytes=BLOCK_BYTES,
            limits=PostLimits(99 * BLOCK_BYTES, 99 * BLOCK_BYTES, calls),
            error_handling=error_handling,
            clock=lambda: self.now_ns,
            written=written,
        )
        own = self.transport.card()
        self.transport.take_cards([own, own, own])
        self.worker: Worker = self.transport._peers.worker

    @property
    def itself(self) -> Endpoint:
        return self.worker.endpoints[0]

    def peer(self, number: int = 0) -> Endpoint:
        """The connection that was made as the so-manieth."""
        return self.worker.endpoints[2 + number]

    def moves(self) -> None:
        """UCX does something."""
        self.worker.does.append("moved")
