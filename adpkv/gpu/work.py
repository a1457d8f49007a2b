"""A rank's work on its device: jobs of kernels in order on one stream; results are polled.

An operation's jobs are written into a ring of pinned memory and copied to the device by the stream
itself, in front of the kernel. A check's findings come back in pinned memory. An event follows each
operation, and `poll` asks the oldest ones whether they have passed. So nothing here waits for the
device but `drain`. An operation that finds the ring full is kept and started by a later `poll`;
those after it are too, so the order stays.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from struct import pack_into
from typing import Any, Final

import numpy as np

from adpkv.gpu.device import Device, pinned_view
from adpkv.gpu.kernels import JOB, SLICE_BYTES

__all__ = ["Findings", "Point", "Work", "jobs_of"]

RING_JOBS: Final = 1 << 16
"""How many jobs may be under way: 2 MiB, a quarter of a second of hand-outs at 250,000 a second."""

MOST_JOBS: Final = 4096
"""Most jobs of one operation; more become several operations."""

FEW_READS: Final = 256
"""Up to so many blocks of the grid read their jobs from pinned memory: that costs less than a copy
before them. Four thousand of them took as long for that as to copy 32 MiB."""

MOST_SLICES: Final = 4096

PAUSE_S: Final = 50e-6

UPLOAD: Final = ""
"""In place of a kernel's name: a copy of bytes, as many as `slices`."""

PLACES: Final = JOB.itemsize // 4
"""How many numbers of blocks have the room of a job."""

Jobs = np.ndarray[Any, np.dtype[Any]]

Findings = Callable[[list[int]], None]
"""Gets the numbers of those jobs that found a difference; called only if there are any."""


def jobs_of(count: int, *columns: Any) -> Jobs:
    """So many jobs from their columns, a and b and perhaps c and d: one number, or one for each."""
    jobs = np.zeros(count, JOB)
    for name, column in zip("abcd", columns, strict=False):
        jobs[name] = column
    return jobs


class _Operation:
    """A launch. `jobs` are jobs, or the numbers of blocks; `room` of the ring is needed for them,
    in jobs."""

    __slots__ = (
        "args", "checks", "end", "event", "found", "jobs", "kernel", "place", "room", "slices",
    )  # fmt: skip

    def __init__(
        self,
        kernel: str,
        jobs: Jobs | Sequence[int],
        room: int,
        slices: int,
        args: tuple[int, ...],
        checks: bool = False,
        found: Findings | None = None,
    ) -> None:
        self.kernel, self.jobs, self.room = kernel, jobs, room
        self.slices, self.args = slices, args
        self.checks, self.found = checks, found
        self.event = self.place = self.end = 0


class Point:
    """A point in the work: `memory.port.Fence`."""

    __slots__ = ("_number", "_work")

    def __init__(self, work: Work, number: int) -> None:
        self._work, self._number = work, number

    def passed(self) -> bool:
        """Whether all work before this point is done. Never waits."""
        work = self._work
        if work.done < self._number:
            work.poll()
        return work.done >= self._number


class Work:
    """Work of one rank on its device, on a stream; None for the device's own."""

    def __init__(
        self, device: Device, ring_jobs: int = RING_JOBS, stream: Any | None = None
    ) -> None:
        self._device, self._stream = device, stream
        self._ring_jobs = ring_jobs
        self._most = min(MOST_JOBS, ring_jobs)
        self._jobs_at = device.allocate_pinned(ring_jobs * JOB.itemsize)
        self._bad_at = device.allocate_pinned(ring_jobs * 4)
        self._device_jobs_at = device.allocate(ring_jobs * JOB.itemsize)
        ring = pinned_view(self._jobs_at, ring_jobs * JOB.itemsize)
        self._jobs, self._ring = ring.view(JOB), ring.data
        self._bad = pinned_view(self._bad_at, ring_jobs * 4).view(np.uint32)
        self._begin = self._end = 0
        """The part of the ring in use, in jobs since the beginning."""
        self._waiting: deque[_Operation] = deque()
        self._running: deque[_Operation] = deque()
        self._events: list[int] = []
        self.submitted = self.done = 0
        """Operations so far."""

    @property
    def idle(self) -> bool:
        """Whether all work is known to be done."""
        return self.done == self.submitted

    def point(self) -> Point:
        """The point after all work so far."""
        return Point(self, self.submitted)

    def submit(
        self,
        kernel: str,
        jobs: Jobs,
        nbytes: int,
        *args: int,
        checks: bool = False,
        found: Findings | None = None,
    ) -> None:
        """Do the jobs after all earlier work.

        Args:
            kernel: its name; `args` follow its list of jobs, and that of its findings.
            nbytes: the size of the largest job, by which the grid is cut.
            checks: whether the kernel has findings.
            found: gets them when they are known.
        """
        slices = _slices(nbytes)
        for first in range(0, len(jobs), self._most):
            part = jobs[first : first + self._most]
            told = _shifted(found, first) if found is not None and first else found
            self._add(_Operation(kernel, part, len(part), slices, args, checks, told))

    def copy(self, kernel: str, blocks: Sequence[int], pool: int, area: int, nbytes: int) -> None:
        """Pack or unpack blocks after all earlier work. The list of their numbers is all that is
        written for it: a list of jobs took three times as long.

        Args:
            kernel: `adpkv_pack` or `adpkv_unpack`.
            pool: the address of block 0.
            area: the address of the first of the adjacent blocks.
            nbytes: the size of a block.
        """
        slices, most = _slices(nbytes), self._most
        for first in range(0, len(blocks), most):
            part = blocks[first : first + most] if len(blocks) > most else blocks
            args = (pool, area + first * nbytes, nbytes)
            self._add(_Operation(kernel, part, -(-len(part) // PLACES), slices, args))

    def upload(self, target: int, source: int, nbytes: int) -> None:
        """Copy bytes of pinned memory to the device after all earlier work."""
        self._add(_Operation(UPLOAD, (), 0, nbytes, (target, source)))

    def copy_listed(
        self, kernel: str, list_at: int, count: int, pool: int, area: int, nbytes: int
    ) -> None:
        """As `copy`, of so many blocks whose numbers are on the device already."""
        self._add(
            _Operation(kernel, range(count), 0, _slices(nbytes), (list_at, pool, area, nbytes))
        )

    def _add(self, operation: _Operation) -> None:
        self.submitted += 1
        self._waiting.append(operation)
        self._start()

    def poll(self) -> None:
        """Tell what has become known, and start what had to wait for the ring. Never waits."""
        running, device = self._running, self._device
        while running and device.passed(running[0].event):
            operation = running.popleft()
            self._events.append(operation.event)
            self.done += 1
            bad: list[int] = []
            if operation.checks:
                place = operation.place
                bad = np.flatnonzero(self._bad[place : place + len(operation.jobs)]).tolist()
            self._begin = operation.end
            if bad and operation.found is not None:
                operation.found(bad)
        if self._waiting:
            self._start()

    def drain(self, bound_s: float) -> bool:
        """Wait until all work is done, at most for so long; returns whether it is."""
        until_s = time.monotonic() + bound_s
        self.poll()
        while not self.idle:
            if time.monotonic() >= until_s:
                return False
            time.sleep(PAUSE_S)
            self.poll()
        return True

    def close(self) -> None:
        """Give its memory back. Nothing is under way any more."""
        self._jobs, self._ring = self._jobs[:0], memoryview(b"")
        self._bad = self._bad[:0]
        self._device.free(self._device_jobs_at)
        self._device.free_pinned(self._jobs_at)
        self._device.free_pinned(self._bad_at)

    def _start(self) -> None:
        """Launch waiting operations, in order, as far as the ring has room."""
        waiting = self._waiting
        while waiting and self._place(waiting[0]):
            operation = waiting.popleft()
            self._launch(operation)
            self._running.append(operation)

    def _place(self, operation: _Operation) -> bool:
        """Give an operation its part of the ring, in one piece; False if there is no room now."""
        count, size = operation.room, self._ring_jobs
        if not self._running:
            self._begin = self._end = 0
        begin = self._end
        if begin % size + count > size:
            begin += size - begin % size
        if begin + count - self._begin > size:
            return False
        operation.place, operation.end = begin % size, begin + count
        self._end = operation.end
        return True

    def _launch(self, operation: _Operation) -> None:
        if operation.room:
            self._launch_with_jobs(operation)
        elif operation.kernel == UPLOAD:
            target, source = operation.args
            self._device.copy(target, source, operation.slices, self._stream)
        else:
            count, args = len(operation.jobs), operation.args
            self._device.launch(operation.kernel, count, operation.slices, args, self._stream)
        operation.event = self._events.pop() if self._events else self._device.new_event()
        self._device.record(operation.event, self._stream)

    def _launch_with_jobs(self, operation: _Operation) -> None:
        device, place, jobs = self._device, operation.place, operation.jobs
        count, offset, stream = len(jobs), place * JOB.itemsize, self._stream
        if isinstance(jobs, np.ndarray):
            self._jobs[place : place + count] = jobs
            nbytes = count * JOB.itemsize
        else:
            # A third of the time that numpy takes for a tuple.
            pack_into(f"{count}I", self._ring, offset, *jobs)
            nbytes = count * 4
        jobs_at = self._jobs_at + offset
        if count * operation.slices > FEW_READS:
            jobs_at = self._device_jobs_at + offset
            device.copy(jobs_at, self._jobs_at + offset, nbytes, stream)
        args = operation.args
        if operation.checks:
            self._bad[place : place + count] = 0
            args = (self._bad_at + 4 * place, *args)
        device.launch(operation.kernel, count, operation.slices, (jobs_at, *args), stream)


def _slices(nbytes: int) -> int:
    """How many blocks of the grid share a job of so many bytes."""
    return min(max(-(-nbytes // SLICE_BYTES), 1), MOST_SLICES)


def _shifted(found: Findings, first: int) -> Findings:
    return lambda bad: found([first + job for job in bad])
