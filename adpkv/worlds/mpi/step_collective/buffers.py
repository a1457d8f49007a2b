"""The buffers of a step's collectives: filled with a pattern, checked by it; on the host or on the
rank's device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from adpkv.gpu.device import Device
from adpkv.gpu.work import Work, jobs_of
from adpkv.memory.pattern import ODD, places
from adpkv.worlds.mpi.step_collective.layout import AREAS, Chunk

__all__ = ["Buffers", "DeviceBuffers", "HostBuffers"]

Tell = Callable[[Chunk], None]


class Buffers(Protocol):
    """What a member sends from, one area for each direction, and what it receives into."""

    def fill(self, area: int, chunks: Sequence[Chunk]) -> None:
        """Write the pattern of these chunks into an area to send from."""
        ...

    def check(self, chunks: Sequence[Chunk], tell: Tell) -> None:
        """Call `tell` for each of these chunks that was not received as it should be, at the
        latest when the step ends."""
        ...


class HostBuffers:
    """Buffers of `nbytes` bytes each in the host's memory."""

    def __init__(self, nbytes: int) -> None:
        self.send = [np.zeros(nbytes, np.uint8) for _ in range(AREAS)]
        self.received = np.zeros(nbytes, np.uint8)
        self._places = places((max(nbytes // 8, 1),))

    def fill(self, area: int, chunks: Sequence[Chunk]) -> None:
        """At once."""
        for chunk in chunks:
            self.send[area][chunk.offset : chunk.offset + chunk.nbytes] = self._pattern(chunk)

    def check(self, chunks: Sequence[Chunk], tell: Tell) -> None:
        """At once."""
        for chunk in chunks:
            found = self.received[chunk.offset : chunk.offset + chunk.nbytes]
            if not np.array_equal(found, self._pattern(chunk)):
                tell(chunk)

    def _pattern(self, chunk: Chunk) -> np.ndarray[Any, np.dtype[np.uint8]]:
        words = (self._places[: chunk.nbytes // 8] ^ np.uint64(chunk.key)) * ODD
        return words.view(np.uint8)


class DeviceBuffers:
    """The same on a device, in one allocation: the areas, then what is received. `work` is that of
    the step, on its stream."""

    def __init__(self, device: Device, work: Work, stream: Any, nbytes: int) -> None:
        self.device, self.stream, self.nbytes = device, stream, max(nbytes, 16)
        self._work = work
        self.address = device.allocate((AREAS + 1) * self.nbytes)

    def area(self, area: int) -> int:
        """The address of an area to send from."""
        return self.address + area * self.nbytes

    @property
    def received(self) -> int:
        """The address of what is received."""
        return self.area(AREAS)

    def fill(self, area: int, chunks: Sequence[Chunk]) -> None:
        """By a kernel."""
        some = [chunk for chunk in chunks if chunk.nbytes]
        if some:
            jobs, largest = self._jobs(self.area(area), some)
            self._work.submit("adpkv_pattern", jobs, largest, 8)

    def check(self, chunks: Sequence[Chunk], tell: Tell) -> None:
        """By a kernel; the step's end tells."""
        some = [chunk for chunk in chunks if chunk.nbytes]
        if not some:
            return

        def found(bad: list[int]) -> None:
            for job in bad:
                tell(some[job])

        jobs, largest = self._jobs(self.received, some)
        self._work.submit("adpkv_compare", jobs, largest, 8, checks=True, found=found)

    def _jobs(self, base: int, chunks: Sequence[Chunk]) -> tuple[Any, int]:
        words = np.array([chunk.nbytes // 8 for chunk in chunks], np.uint64)
        jobs = jobs_of(
            len(chunks),
            np.array([base + chunk.offset for chunk in chunks], np.uint64),
            np.array([chunk.key for chunk in chunks], np.uint64),
            words << np.uint64(32),
            np.uint64(1) | words << np.uint64(32),
        )
        return jobs, max(chunk.nbytes for chunk in chunks)
