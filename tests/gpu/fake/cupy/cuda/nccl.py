"""NCCL's point-to-point calls as CuPy 14 has them, through files (in FAKE_NCCL, or /dev/shm).

It refuses what the real one refuses: an id that is no bytes, several ranks on one device, a send or
receive outside a group (alone, each would wait for its peer). Making a communicator waits for all
its ranks; a receive waits on its stream for its peer's bytes, and a send until it was received: so
no rank is done, and gone, before its peers have what it sent.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from . import NOT_YET, runtime

NCCL_UINT8 = 1
ID_BYTES = 128
BOUND_S = 30.0
FOLDER = Path(os.environ.get("FAKE_NCCL", "/dev/shm"))


class NcclError(RuntimeError):
    """What NCCL reports."""


class _Group:
    depth = 0
    sends: ClassVar[list[tuple[int, Callable[[], object]]]] = []
    receives: ClassVar[list[tuple[int, Callable[[], object]]]] = []
    waits: ClassVar[list[tuple[int, Callable[[], object]]]] = []


def get_version() -> int:
    return 22809


def get_unique_id() -> bytes:
    return os.urandom(16).hex().encode().ljust(ID_BYTES, b"\0")


def groupStart() -> None:  # noqa: N802
    _Group.depth += 1


def groupEnd() -> None:  # noqa: N802
    _Group.depth -= 1
    for stream, do in _Group.sends + _Group.receives + _Group.waits:
        runtime.streams[stream].add(do)
    _Group.sends, _Group.receives, _Group.waits = [], [], []


class NcclCommunicator:
    def __init__(self, ndev: int, commId: bytes, rank: int) -> None:  # noqa: N803
        if not isinstance(commId, bytes):
            found = type(commId).__name__
            raise TypeError(f"Argument 'commId' has incorrect type (expected bytes, got {found})")
        if len(commId) != ID_BYTES:
            raise ValueError(f"commId has {len(commId)} bytes")
        self._id = commId.rstrip(b"\0").decode()
        self._rank, self._size, self._alive = rank, ndev, True
        self._sent, self._received = [0] * ndev, [0] * ndev
        self._meet()

    def _meet(self) -> None:
        """Wait for all ranks, as NCCL does; no two may have the same device."""
        self._write(FOLDER / f"{self._name(self._rank)}", str(runtime.device).encode())
        paths = [FOLDER / self._name(rank) for rank in range(self._size)]
        until = time.monotonic() + BOUND_S
        while not all(path.exists() for path in paths):
            if time.monotonic() > until:
                raise NcclError("NCCL_ERROR_SYSTEM_ERROR: a rank did not come")
            time.sleep(1e-4)
        devices = [path.read_bytes() for path in paths]
        if len(set(devices)) < self._size:
            raise NcclError("NCCL_ERROR_INVALID_USAGE: invalid usage")

    def _name(self, rank: int) -> str:
        return f"fake-nccl-{self._id}-{rank}"

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        own = path.with_suffix(".part")
        own.write_bytes(content)
        own.rename(path)

    def send(self, at: int, count: int, kind: int, peer: int, stream: int) -> None:
        number = self._sent[peer]
        self._sent[peer] += 1
        path = FOLDER / f"{self._name(self._rank)}-{peer}-{number}"

        def do() -> None:
            self._write(path, ctypes.string_at(at, count))

        def received() -> object:
            return NOT_YET if self._alive and path.exists() else None

        self._add(_Group.sends, stream, do)
        self._add(_Group.waits, stream, received)

    def recv(self, at: int, count: int, kind: int, peer: int, stream: int) -> None:
        number = self._received[peer]
        self._received[peer] += 1
        path = FOLDER / f"{self._name(peer)}-{self._rank}-{number}"

        def do() -> object:
            if not self._alive:
                return None  # aborted: the kernel ends
            if not path.exists():
                return NOT_YET
            content = path.read_bytes()
            path.unlink()
            assert len(content) == count, (len(content), count)
            ctypes.memmove(at, content, count)
            return None

        self._add(_Group.receives, stream, do)

    def _add(
        self, to: list[tuple[int, Callable[[], object]]], stream: int, do: Callable[[], object]
    ) -> None:
        if not _Group.depth:
            raise NcclError("a call of its own waits for its peer, which waits for this rank")
        if not self._alive:
            raise NcclError("NCCL_ERROR_INVALID_ARGUMENT: the communicator was aborted")
        to.append((stream, do))

    def check_async_error(self) -> None:
        """Nothing goes wrong here by itself."""

    def abort(self) -> None:
        self._alive = False
        self._remove()

    def destroy(self) -> None:
        self.abort()

    def __del__(self) -> None:
        self._remove()

    def _remove(self) -> None:
        for path in FOLDER.glob(f"{self._name(self._rank)}*"):
            path.unlink(missing_ok=True)
