"""Who makes the batches: this process itself, or worker processes of this machine."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from adpkv.exploration.batch import BatchResult, Task, perform
from adpkv.exploration.worker import NOTE_BYTES, measured
from adpkv.launcher_variables import without_launcher
from adpkv.python_module import python_module
from adpkv.worker_processes import WorkerProcess, WorkerProcesses
from adpkv.worlds.mpi.launcher.calling import environment_to_import
from adpkv.worlds.mpi.oversubscription import one_thread

__all__ = ["Here", "Lost", "Pool", "ProcessPool", "attempted", "local_pool"]

STOP_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Lost:
    """A task ended in the middle, at this seed: its process, or by an error of Python's."""

    task: Task
    seed: int
    why: str


def attempted(task: Task) -> BatchResult | Lost:
    """Make a task in this process, whatever its seeds do. What a run ends with is a result; this is
    for an error of what judges it."""
    at = task.first

    def note(seed: int) -> None:
        nonlocal at
        at = seed

    try:
        return perform(task, note)
    except Exception as error:  # the other seeds are of interest all the same
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        return Lost(task, at, f"{type(error).__name__}: {error} ({place})")


class Pool(Protocol):
    """Makes batches side by side."""

    @property
    def busy(self) -> int:
        """How many tasks are under way."""
        ...

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""
        ...

    def give(self, task: Task) -> None:
        """One more; only where it is `free`."""
        ...

    def results(self, timeout_s: float) -> list[BatchResult | Lost]:
        """What has ended since; waits for one, but no longer than this."""
        ...

    def close(self) -> None:
        """The tasks under way are not wanted any more."""
        ...


class Here:
    """This process itself, one task at a time."""

    def __init__(self) -> None:
        self._task: Task | None = None
        self._made = 0

    @property
    def busy(self) -> int:
        """Zero or one."""
        return int(self._task is not None)

    @property
    def free(self) -> int:
        """Zero or one."""
        return 1 - self.busy

    def give(self, task: Task) -> None:
        """It is made as soon as its result is asked for."""
        self._task = task

    def results(self, timeout_s: float) -> list[BatchResult | Lost]:
        """Make the task."""
        task, self._task = self._task, None
        if task is None:
            return []
        result = attempted(task)
        if isinstance(result, Lost):
            return [result]
        self._made += result.last - result.first
        return [measured(result, self._made)]

    def close(self) -> None:
        """Nothing is under way."""


class ProcessPool:
    """Worker processes of this machine. One that ends costs the seed that it was at."""

    def __init__(self, size: int, environment: Mapping[str, str]) -> None:
        own = dict(environment)
        self._all: WorkerProcesses[_Worker] = WorkerProcesses(size, lambda: _Worker(own), STOP_S)

    @property
    def busy(self) -> int:
        """How many tasks are under way."""
        return self._all.busy

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""
        return self._all.free

    def give(self, task: Task) -> None:
        """To an idle worker, or to a new one."""
        self._all.give(task)

    def results(self, timeout_s: float) -> list[BatchResult | Lost]:
        """What has ended since; waits for one, but no longer than this."""
        found: list[BatchResult | Lost] = []
        for worker in self._all.heard(timeout_s):
            result, ended = worker.read()
            if ended:
                lost = worker.lost()
                found += [] if lost is None else [lost]
                self._all.drop(worker)
            found += [] if result is None else [result]
        return found

    def close(self) -> None:
        """End all workers; tasks in the middle are broken off."""
        self._all.close()


class _Worker(WorkerProcess[Task, BatchResult]):
    """One process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._notes = tempfile.NamedTemporaryFile(prefix="adpkv-explore-")  # noqa: SIM115
        command = [*python_module("adpkv.exploration.worker"), self._notes.name]
        super().__init__(command, environment, BatchResult)

    def give(self, task: Task) -> None:
        os.pwrite(self._notes.fileno(), task.first.to_bytes(NOTE_BYTES, "little"), 0)
        super().give(task)

    def lost(self) -> Lost | None:
        """The seed that it was at as it ended by itself."""
        task, code = self.ended_with()
        if task is None:
            return None
        seed = int.from_bytes(os.pread(self._notes.fileno(), NOTE_BYTES, 0), "little")
        said = _last_words(self.said())
        return Lost(task, seed, f"its process ended with {code}{f': {said}' if said else ''}")

    def stop(self, bound_s: float) -> None:
        if self.process.poll() is None:
            self.process.kill()  # it has no files of its own
        super().stop(bound_s)
        self._notes.close()


def _last_words(said: str) -> str:
    """The last thing that a process has said: a line, or an error with all of its lines."""
    lines = said.strip().splitlines()
    begins = [at for at, line in enumerate(lines) if not line[:1].isspace()]
    return "; ".join(line.strip() for line in lines[begins[-1] :]) if begins else ""


@contextmanager
def local_pool(jobs: int) -> Iterator[Pool]:
    """This process for one job, else worker processes."""
    if jobs == 1:
        yield Here()
        return
    environment = without_launcher(environment_to_import())
    one_thread(environment)
    pool = ProcessPool(jobs, environment)
    try:
        yield pool
    finally:
        pool.close()
