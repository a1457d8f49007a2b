"""Streams, and the thin functions of the CUDA runtime."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections import deque
from collections.abc import Callable
from typing import Any

NOT_READY, INVALID = 600, 400
NOT_YET = object()
"""What a piece of work returns that waits for another process: it is asked again."""


class Stream:
    def __init__(self, non_blocking: bool = False) -> None:
        self.ptr = 1 + len(runtime.streams)
        runtime.streams[self.ptr] = self
        self.work: deque[Callable[[], Any]] = deque()
        self.added = self.done = 0

    def add(self, do: Callable[[], Any]) -> None:
        self.work.append(do)
        self.added += 1

    def step(self) -> None:
        """Do one piece of its work."""
        if self.work and not runtime.held and self.work[0]() is not NOT_YET:
            self.work.popleft()
            self.done += 1

    def synchronize(self) -> None:
        runtime.no_wait("Stream.synchronize")
        while self.work:
            if runtime.held:
                raise RuntimeError("waits for a device that stands still")
            self.step()

    def __enter__(self) -> Stream:
        runtime.stack.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        runtime.stack.pop()


def current() -> Stream:
    return runtime.stack[-1]


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(f"CUDA error {status}")
        self.status = status


class Runtime:
    """What `cupy.cuda.runtime` has."""

    CUDARuntimeError = CUDARuntimeError
    eventDisableTiming = 2  # noqa: N815 - CuPy's name

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.stack: list[Stream] = []
        self.events: list[tuple[Stream, int] | None] = [None]
        self.maps: dict[int, tuple[mmap.mmap, int | None]] = {}
        """By address; with the file behind it where it is this process's own memory."""
        self.pinned: dict[int, Any] = {}
        self.total = int(os.environ.get("FAKE_GPU_BYTES", 16 << 30))
        self.count = int(os.environ.get("FAKE_GPUS", "2"))
        self.device = 0
        self.held = self.forbid = False
        self.peers: set[int] = set()

    def no_wait(self, what: str) -> None:
        if self.forbid:
            raise AssertionError(f"{what} inside an iteration")

    # -- devices ---------------------------------------------------------------------------------

    def getDeviceCount(self) -> int:  # noqa: N802
        return self.count

    def setDevice(self, number: int) -> None:  # noqa: N802
        if number >= self.count:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.device = number

    def getDeviceProperties(self, number: int) -> dict[str, Any]:  # noqa: N802
        return {"name": b"Fake GPU", "totalGlobalMem": self.total}

    def deviceEnablePeerAccess(self, peer: int) -> None:  # noqa: N802
        if peer in self.peers:
            raise CUDARuntimeError(704)
        self.peers.add(peer)

    def deviceGetPCIBusId(self, number: int) -> str:  # noqa: N802
        return f"0000:{number:02x}:00.0"

    def memGetInfo(self) -> tuple[int, int]:  # noqa: N802
        used = sum(len(mapped) for mapped, file in self.maps.values() if file is not None)
        return self.total - used, self.total

    def runtimeGetVersion(self) -> int:  # noqa: N802
        return 13000

    def driverGetVersion(self) -> int:  # noqa: N802
        return 13000

    # -- memory ----------------------------------------------------------------------------------

    def malloc(self, nbytes: int) -> int:
        if nbytes > self.memGetInfo()[0]:
            raise RuntimeError("cudaErrorMemoryAllocation: out of memory")
        # A file without a name: of a rank that is killed nothing stays, as on a device.
        file = os.memfd_create("fake-gpu")
        os.ftruncate(file, nbytes)
        return self._map(file, own=file)

    def _map(self, file: int, own: int | None = None) -> int:
        mapped = mmap.mmap(file, 0)
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        self.maps[address] = (mapped, own)
        return address

    def free(self, address: int) -> None:
        self.no_wait("free")
        _, file = self.maps.pop(address)
        if file is not None:
            os.close(file)

    def hostAlloc(self, nbytes: int, flags: int) -> int:  # noqa: N802
        self.no_wait("hostAlloc")
        # A page more: like CUDA's, its address is a multiple of a page.
        room = ctypes.create_string_buffer(nbytes + 4096)
        address = (ctypes.addressof(room) + 4095) // 4096 * 4096
        self.pinned[address] = room
        return address

    def freeHost(self, address: int) -> None:  # noqa: N802
        self.no_wait("freeHost")
        del self.pinned[address]

    def memsetAsync(self, address: int, value: int, nbytes: int, stream: int) -> None:  # noqa: N802
        self.streams[stream].add(lambda: ctypes.memset(address, value, nbytes))

    def memcpyAsync(  # noqa: N802
        self, target: int, source: int, nbytes: int, kind: int, stream: int
    ) -> None:
        self.streams[stream].add(lambda: ctypes.memmove(target, source, nbytes))

    def memcpyPeerAsync(  # noqa: N802
        self, target: int, to: int, source: int, origin: int, nbytes: int, stream: int
    ) -> None:
        self.memcpyAsync(target, source, nbytes, 4, stream)

    def memcpy(self, target: int, source: int, nbytes: int, kind: int) -> None:
        self.no_wait("memcpy")
        ctypes.memmove(target, source, nbytes)

    def ipcGetMemHandle(self, address: int) -> bytes:  # noqa: N802
        file = self.maps[address][1]
        assert file is not None
        return f"/proc/{os.getpid()}/fd/{file}".encode().ljust(64, b"\0")

    def ipcOpenMemHandle(self, handle: bytes, flags: int = 1) -> int:  # noqa: N802
        assert len(handle) == 64
        with open(handle.rstrip(b"\0"), "r+b") as file:
            return self._map(file.fileno())

    def ipcCloseMemHandle(self, address: int) -> None:  # noqa: N802
        del self.maps[address]

    # -- events ----------------------------------------------------------------------------------

    def eventCreateWithFlags(self, flags: int) -> int:  # noqa: N802
        self.events.append(None)
        return len(self.events) - 1

    def eventRecord(self, event: int, stream: int) -> None:  # noqa: N802
        found = self.streams[stream]
        self.events[event] = (found, found.added)

    def eventQuery(self, event: int) -> int:  # noqa: N802
        recorded = self.events[event]
        if recorded is None:
            return INVALID
        stream, place = recorded
        if stream.done >= place:
            return 0
        stream.step()
        return NOT_READY

    def eventSynchronize(self, event: int) -> None:  # noqa: N802
        self.no_wait("eventSynchronize")

    def streamSynchronize(self, stream: int) -> None:  # noqa: N802
        self.streams[stream].synchronize()

    def deviceSynchronize(self) -> None:  # noqa: N802
        for stream in self.streams.values():
            stream.synchronize()


runtime = Runtime()
