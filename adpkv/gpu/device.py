"""One GPU, as much of it as adpkv uses: memory, one stream, events, launches. Through CuPy.

This is the only module that imports CuPy for memory and kernels, and only when a device is asked
for. It calls the thin functions of `cupy.cuda.runtime` rather than CuPy's arrays: no pool stands
between an address and `cudaMalloc` (an IPC handle is for a whole allocation), and nothing waits for
the device unless a call here says so: `wait`, `fetch`, `put` and `erase`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np

from adpkv.errors import AdpkvError, MissingPieceError, UsageError
from adpkv.gpu.kernels import KERNELS, SOURCE, THREADS

__all__ = ["Device", "DeviceError", "device_count", "load_cupy", "pinned_view"]

GET_CUPY: Final = (
    "pip install 'adpkv[gpu-cuda13]' (or gpu-cuda12), with the CUDA version of the driver"
)
NOT_READY: Final = 600
"""cudaErrorNotReady: the work before an event is not done yet."""

HOST_TO_DEVICE: Final = 1
DEVICE_TO_HOST: Final = 2
DEFAULT: Final = 4
"""cudaMemcpyKind; the last takes the direction from the addresses."""


class DeviceError(AdpkvError):
    """The GPU reported an error. Its context cannot be used any more."""


def load_cupy() -> Any:
    """The module `cupy`.

    Raises:
        MissingPieceError: it is not installed, or cannot be imported.
    """
    try:
        return import_module("cupy")
    except Exception as error:  # a broken CUDA installation fails in many ways
        raise MissingPieceError(f"CuPy cannot be imported ({error}): {GET_CUPY}") from error


def device_count() -> int:
    """How many devices this process may use.

    Raises:
        UsageError: none; the message says why.
    """
    runtime = load_cupy().cuda.runtime
    try:
        count = int(runtime.getDeviceCount())
    except Exception as error:
        raise UsageError(f"no GPU can be used here: {error}") from error
    if not count:
        raise UsageError("no GPU can be used here: CUDA sees none")
    return count


def pinned_view(address: int, nbytes: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Memory of the host at an address, as bytes in place. The caller keeps it allocated."""
    room = memoryview((ctypes.c_uint8 * nbytes).from_address(address)).cast("B")
    return np.frombuffer(room, dtype=np.uint8)


class _Prepared:
    """A kernel and the places of its arguments, of 8 bytes each. The driver copies as many bytes as
    an argument has, so numbers of 32 bits are right where the lower bytes are first."""

    __slots__ = ("_pointers", "_room", "function", "pointers_at", "values")

    def __init__(self, function: int, count: int) -> None:
        self.function = function
        self._room = (ctypes.c_uint64 * count)()
        self.values = memoryview(self._room).cast("B").cast("Q")
        at = ctypes.addressof(self._room)
        self._pointers = (ctypes.c_uint64 * count)(*(at + 8 * place for place in range(count)))
        self.pointers_at = ctypes.addressof(self._pointers)


class Device:
    """One device, made the current one of the calling thread, with a stream of its own that waits
    for no other. To be used from one thread.

    Raises:
        UsageError: it cannot be used.
    """

    def __init__(self, number: int) -> None:
        self._cupy = cupy = load_cupy()
        self.runtime: Any = cupy.cuda.runtime
        self.number = number
        try:
            self.runtime.setDevice(number)
            properties = self.runtime.getDeviceProperties(number)
            self.bus_id = str(self.runtime.deviceGetPCIBusId(number))
            self.stream: Any = cupy.cuda.Stream(non_blocking=True)
            module = cupy.RawModule(code=SOURCE)
            self._kernels = {
                name: _Prepared(module.get_function(name).kernel.ptr, len(kinds))
                for name, kinds in KERNELS.items()
            }
            self._launch: Any = cupy.cuda.driver.launchKernel
        except Exception as error:
            raise UsageError(f"GPU {number} cannot be used: {error}") from error
        name = properties["name"]
        self.name = name.decode() if isinstance(name, bytes) else str(name)
        self.total_bytes = int(properties["totalGlobalMem"])

    def free_bytes(self) -> int:
        """How much of its memory nobody has."""
        return int(self.runtime.memGetInfo()[0])

    # -- memory, for good: none of this is called in an iteration --------------------------------

    def allocate(self, nbytes: int) -> int:
        """Zeroed memory of the device, an allocation of its own; returns its address, a multiple
        of 256.

        Raises:
            UsageError: there is not enough.
        """
        try:
            address = int(self.runtime.malloc(nbytes))
            self.runtime.memsetAsync(address, 0, nbytes, self.stream.ptr)
            self.wait()
        except Exception as error:
            free = self.free_bytes() / 1e9
            raise UsageError(
                f"GPU {self.number} gives no {nbytes / 1e9:.1f} GB, {free:.1f} GB are free: {error}"
            ) from error
        return address

    def free(self, address: int) -> None:
        """Give back what `allocate` returned."""
        self.runtime.free(address)

    def allocate_pinned(self, nbytes: int) -> int:
        """Zeroed memory of the host that kernels reach by the same address.

        Raises:
            UsageError: there is not enough.
        """
        try:
            address = int(self.runtime.hostAlloc(nbytes, 0))
        except Exception as error:
            raise UsageError(f"no {nbytes / 1e6:.0f} MB of pinned memory: {error}") from error
        ctypes.memset(address, 0, nbytes)
        return address

    def free_pinned(self, address: int) -> None:
        """Give back what `allocate_pinned` returned."""
        self.runtime.freeHost(address)

    # -- work on a stream: nothing here waits ----------------------------------------------------

    def launch(
        self, kernel: str, jobs: int, slices: int, args: Sequence[int], stream: Any = None
    ) -> None:
        """Launch a kernel over so many jobs, each shared by `slices` blocks of the grid. By the
        driver's own call: CuPy's takes twice as long, as it looks at each argument's type."""
        found = self._kernels[kernel]
        for place, value in enumerate(args):
            found.values[place] = value
        on = (stream or self.stream).ptr
        self._launch(found.function, jobs, slices, 1, THREADS, 1, 1, 0, on, found.pointers_at, 0)

    def copy(self, target: int, source: int, nbytes: int, stream: Any = None) -> None:
        """Copy between any two addresses. Host memory must be pinned, or the call may wait."""
        self.runtime.memcpyAsync(target, source, nbytes, DEFAULT, (stream or self.stream).ptr)

    def new_event(self) -> int:
        """An event that can be recorded again and again."""
        return int(self.runtime.eventCreateWithFlags(self.runtime.eventDisableTiming))

    def record(self, event: int, stream: Any = None) -> None:
        """Put the event after all work that the stream has so far."""
        self.runtime.eventRecord(event, (stream or self.stream).ptr)

    def passed(self, event: int) -> bool:
        """Whether the work before the event is done.

        Raises:
            DeviceError: some of the device's work has failed.
        """
        status = int(self.runtime.eventQuery(event))
        if status == 0:
            return True
        if status == NOT_READY:
            return False
        raise DeviceError(f"GPU {self.number} reports CUDA error {status} in work of this rank")

    # -- waits: as a rank starts and ends, in the model's step, in tests -------------------------

    def new_stream(self) -> Any:
        """Another stream that waits for no other."""
        return self._cupy.cuda.Stream(non_blocking=True)

    def wait(self, stream: Any = None) -> None:
        """Wait until all work of the stream is done."""
        (stream or self.stream).synchronize()

    def fetch(self, address: int, nbytes: int) -> bytes:
        """Bytes of the device, after all work of its stream."""
        self.wait()
        found = np.empty(nbytes, np.uint8)
        self.runtime.memcpy(found.ctypes.data, address, nbytes, DEVICE_TO_HOST)
        return found.tobytes()

    def put(self, address: int, content: bytes) -> None:
        """Write bytes into the device, after all work of its stream."""
        self.wait()
        source = np.frombuffer(content, np.uint8)
        self.runtime.memcpy(address, source.ctypes.data, len(content), HOST_TO_DEVICE)
        # The copy may return before the bytes are there, and our streams wait for no other.
        self.runtime.deviceSynchronize()
