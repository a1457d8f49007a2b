"""Memory of a device as a rig of the conformance suite, and as a twin of host memory."""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.gpu.device import Device
from adpkv.memory.cuda import CudaMemory
from adpkv.testing.memory import BLOCKS, TOKENS

__all__ = ["CudaRig"]


class CudaRig:
    """Bytes come from a peer's memory on the same device, as a real link would bring them."""

    def __init__(self, device: Device, shape: tuple[int, int, int, int] = (2, 2, 8, 2)) -> None:
        self._kinds: list[str] = []
        self.device = device
        self.memory = CudaMemory(device, BLOCKS, TOKENS, *shape, self.report)
        self.peer = CudaMemory(device, BLOCKS, TOKENS, *shape, self.report)

    def report(self, kind: str, detail: str, leases: tuple[int, ...]) -> None:
        assert detail, "a violation says what it is about"
        self._kinds.append(kind)

    def told(self) -> list[str]:
        if self.memory.region().address:
            self.memory.finish()
        return list(dict.fromkeys(self._kinds))

    def block(self, block: int, memory: CudaMemory | None = None) -> bytes:
        memory = memory or self.memory
        memory.finish()
        size = memory.block_bytes
        return self.device.fetch(memory.region().address + block * size, size)

    def put(self, block: int, content: bytes, at: int = 0) -> None:
        self.memory.finish()
        size = self.memory.block_bytes
        self.device.put(self.memory.region().address + block * size + at, content)

    def arrive(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        for block, key in zip(blocks, keys, strict=True):
            self.peer.compute([0], [key], 0, TOKENS)
            self.put(block, self.block(0, self.peer))

    def arrive_partly(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        self.arrive(owner, blocks[:-1], keys[:-1])

    def stray(self, owner: int, blocks: Sequence[int]) -> None:
        self.arrive(owner, blocks, [77] * len(blocks))
