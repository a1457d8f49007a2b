"""Hunting within bounds: an input that takes too much time or memory is a find as well.

A worker is a process that hunts a batch of seeds and tells of each. What never ends in it is ended
with it, and told by whoever gave it the batch.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.fuzz.child import bound_memory
from tests.fuzz.hunters import HUNTERS, Hunt

__all__ = ["Hunt", "Report", "TooLongError", "Worker", "batch_of", "bounded", "hunted", "replay"]

BATCH: Final = 20
REAL_BATCH: Final = 4
"""Of those that start real jobs."""
CPU_S: Final = 60.0
"""Of one input. The largest that are drawn take a tenth of it."""

MEMORY_BYTES: Final = 1 << 30
"""Of a worker, beyond what it begins with; the same for each command that it has run."""

SILENT_S: Final = 900.0
"""A worker that says nothing for so long is ended: Python's own bound cannot end everything."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one seed of a hunter."""

    hunter: str
    seed: int
    hunt: Hunt


def batch_of(hunter: str) -> int:
    """How many seeds a worker is given at a time."""
    return REAL_BATCH if hunter == "signals" else BATCH


class TooLongError(BaseException):
    """Past everything that catches exceptions."""


def hunted(hunter: str, seed: int) -> Hunt:
    """Hunt one seed, in a folder of its own; whatever is raised is a find."""
    with tempfile.TemporaryDirectory(prefix="adpkv-fuzz-") as folder:
        try:
            return bounded(lambda: HUNTERS[hunter](seed, Path(folder)), CPU_S)
        except TooLongError:
            return Hunt("", [f"takes more than {CPU_S:.0f} s of processor time"])
        except Exception as error:
            return Hunt("", [f"the hunter itself: {type(error).__name__}: {error}"])


def replay(hunter: str, seed: int) -> str:
    """The one command that does it again."""
    return f"python -m tests.fuzz --replay {hunter} {seed}"


def bounded(what: Any, cpu_s: float) -> Any:
    """What it returns, if it does before it has used so much of the processor.

    Raises:
        TooLongError: it does not.
    """

    def ring(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    try:
        return what()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Worker:
    """A process that hunts; a new one takes its place when it is lost."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Any = None
        self._left: list[int] = []
        self._hunter = ""
        self._heard_s = 0.0

    @property
    def busy(self) -> bool:
        """Are there seeds of which it has not told?"""
        return bool(self._left)

    def give(self, hunter: str, seeds: range) -> None:
        """A batch to hunt."""
        if self._process is None:
            self._pipe, far = multiprocessing.Pipe()
            self._process = multiprocessing.Process(target=_work, args=(far,))
            self._process.start()
            far.close()
        self._hunter, self._left, self._heard_s = hunter, list(seeds), time.monotonic()
        self._pipe.send((hunter, self._left))

    def reports(self) -> Iterator[Report]:
        """What it has told since."""
        try:
            while self._left and self._pipe.poll():
                hunt = self._pipe.recv()
                self._heard_s = time.monotonic()
                yield Report(self._hunter, self._left.pop(0), hunt)
        except (EOFError, OSError):
            self._process.join(SILENT_S)  # its pipe is gone a moment before itself
            yield self._lost(f"its process failed: {self._process.exitcode}")
        if self._left and time.monotonic() - self._heard_s > SILENT_S:
            yield self._lost(f"no end within {SILENT_S:.0f} s")

    def _lost(self, why: str) -> Report:
        self.stop()
        report = Report(self._hunter, self._left.pop(0), Hunt("", [why]))
        if self._left:
            self.give(self._hunter, range(self._left[0], self._left[-1] + 1))
        return report

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _work(pipe: Any) -> None:
    bound_memory(MEMORY_BYTES)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        try:
            hunter, seeds = pipe.recv()
        except EOFError:
            return
        for seed in seeds:
            pipe.send(hunted(hunter, seed))
