"""The memories between which `transport` moves blocks: of the host, or of devices."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any, Final

import numpy as np

from adpkv.bench.bare import ranges
from adpkv.memory.host import HostMemory

__all__ = ["TOKEN_BYTES", "DeviceBlocks", "HostBlocks", "made_blocks"]

SHAPE: Final = (4, 2, 32, 2)
"""Layers, KV heads, elements of a head, bytes of an element, as in the quickstart."""
TOKEN_BYTES: Final = 1024
ALREADY_ENABLED: Final = 704
"""`cudaErrorPeerAccessAlreadyEnabled`."""


class HostBlocks:
    """Blocks in host memory. What arrives is checked by its pattern."""

    def __init__(self, blocks: int, block_bytes: int) -> None:
        self.block_bytes = block_bytes
        self.wrong: list[str] = []
        tokens = block_bytes // TOKEN_BYTES
        self.memory: Any = HostMemory(blocks, tokens, *SHAPE, self._report)

    def _report(self, kind: str, detail: str, leases: tuple[int, ...]) -> None:
        self.wrong.append(f"{kind}: {detail}")

    def fill(self, blocks: Sequence[int]) -> None:
        """Write the pattern of keys 0, 1, ... into these blocks."""
        tokens = len(blocks) * self.memory.block_tokens
        self.memory.compute(blocks, range(len(blocks)), 0, tokens)

    def check(self, blocks: Sequence[int]) -> None:
        """Whether they have it; what is wrong is in `wrong`."""
        tokens = len(blocks) * self.memory.block_tokens
        self.memory.verify(0, blocks, range(len(blocks)), tokens)

    def copy_s(self, source: Sequence[int], target: Sequence[int]) -> float:
        """Seconds that a plain copy of these blocks takes, range by range."""
        view, began = self.memory.view, perf_counter()
        for out, into, count in ranges(source, target):
            np.copyto(np.asarray(view(into, count)), np.asarray(view(out, count)))
        return perf_counter() - began

    def close(self) -> None:
        """Give the memory back."""
        self.memory.close()


class DeviceBlocks(HostBlocks):
    """Blocks in a device's memory. The plain copy is one `cudaMemcpyPeer` of as many bytes from
    another device, or within this one if there is no other."""

    def __init__(self, blocks: int, block_bytes: int, rank: int) -> None:
        super().__init__(1, block_bytes)
        from adpkv.gpu.device import Device, device_count
        from adpkv.memory.cuda import CudaMemory

        count = device_count()
        number, other = rank % count, (rank + 1) % count
        self._device = Device(number)
        tokens = block_bytes // TOKEN_BYTES
        self.memory = CudaMemory(self._device, blocks, tokens, *SHAPE, self._report)
        self._copied = blocks * block_bytes // 2
        self._other = other
        self._there = self._allocated_on(other)

    def _allocated_on(self, device: int) -> int:
        runtime, own = self._device.runtime, self._device.number
        runtime.setDevice(device)
        try:
            return int(runtime.malloc(self._copied))
        finally:
            runtime.setDevice(own)
            if device != own:
                # Without it a copy between devices goes through the host, at a tenth of the rate.
                self._enable_peer_access(device)

    def _enable_peer_access(self, device: int) -> None:
        """Let this rank's device copy to `device`. The cell before, or a library, may have."""
        runtime = self._device.runtime
        try:
            runtime.deviceEnablePeerAccess(device)
        except runtime.CUDARuntimeError as error:
            if error.status != ALREADY_ENABLED:
                raise

    def fill(self, blocks: Sequence[int]) -> None:
        """Write the pattern, and wait until it is there."""
        super().fill(blocks)
        self.memory.finish()

    def check(self, blocks: Sequence[int]) -> None:
        """Check the pattern, and wait for what is found."""
        super().check(blocks)
        self.memory.finish()

    def copy_s(self, source: Sequence[int], target: Sequence[int]) -> float:
        """Seconds that one copy of as many bytes between the devices takes."""
        device, nbytes = self._device, len(source) * self.block_bytes
        began = perf_counter()
        device.runtime.memcpyPeerAsync(
            self.memory.region().address,
            device.number,
            self._there,
            self._other,
            nbytes,
            device.stream.ptr,
        )
        device.wait()
        return perf_counter() - began

    def close(self) -> None:
        """Give the memory of both devices back."""
        super().close()
        self._device.runtime.free(self._there)


def made_blocks(kind: str, blocks: int, block_bytes: int, rank: int) -> HostBlocks:
    """Blocks of `host` or `cuda`."""
    if kind == "cuda":
        return DeviceBlocks(blocks, block_bytes, rank)
    return HostBlocks(blocks, block_bytes)
