"""Worker processes of a sweep on this machine: so many runs side by side, each in a process that
may fail alone. One that does is a row."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import Final, Protocol

from adpkv.python_module import python_module
from adpkv.sweeps.perform import refused
from adpkv.sweeps.row import RunRow, Task
from adpkv.worker_processes import WorkerProcess, WorkerProcesses

__all__ = ["STOP_S", "Pool", "ProcessPool"]

RUNS_PER_WORKER: Final = 500
"""A worker ends after so many runs, so that what a piece of the user's own leaks is bounded."""

STOP_S: Final = 2.0
"""How long a worker that simulates may take to end when it is told to."""

MOST_SAID: Final = 2000
"""Bytes of its stderr that tell why a worker ended."""


class Pool(Protocol):
    """Makes runs side by side."""

    @property
    def busy(self) -> int:
        """How many runs are under way."""
        ...

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""
        ...

    def give(self, task: Task) -> None:
        """One more; only where it is `free`."""
        ...

    def rows(self, timeout_s: float) -> list[RunRow]:
        """The runs that have ended since; waits for one, but no longer than this."""
        ...

    def close(self) -> None:
        """There are no more tasks, or the runs under way are not wanted any more."""
        ...


class ProcessPool:
    """The pool of this machine.

    Args:
        size: the most runs at a time.
        environment: that of the workers.
        stop_s: how long a worker may take to end in the middle of a run.
    """

    def __init__(self, size: int, environment: Mapping[str, str], stop_s: float = STOP_S) -> None:
        own = dict(environment)
        self._all: WorkerProcesses[_Worker] = WorkerProcesses(size, lambda: _Worker(own), stop_s)

    @property
    def busy(self) -> int:
        """How many runs are under way."""
        return self._all.busy

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""
        return self._all.free

    def give(self, task: Task) -> None:
        """To an idle worker, or to a new one."""
        self._all.give(task)

    def rows(self, timeout_s: float) -> list[RunRow]:
        """The runs that have ended since; waits for one, but no longer than this."""
        found = []
        for worker in self._all.heard(timeout_s):
            found += self._heard(worker)
        for worker in list(self._all.workers):
            if worker.overdue:
                found.append(worker.ended_at_limit())
                self._all.drop(worker)
        return found

    def _heard(self, worker: _Worker) -> list[RunRow]:
        row, ended = worker.read()
        if ended:
            lost = worker.lost()
            self._all.drop(worker)
            return [] if lost is None else [lost]
        if row is not None and worker.made >= RUNS_PER_WORKER:
            self._all.drop(worker)
        return [] if row is None else [row]

    def close(self) -> None:
        """End all workers; runs in the middle are broken off."""
        for worker in self._all.workers:
            worker.ask_to_stop()
        self._all.close()


class _Worker(WorkerProcess[Task, RunRow]):
    """One process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(python_module("adpkv.sweeps.worker"), environment, RunRow)
        self.made = 0
        self._began_s = 0.0

    def give(self, task: Task) -> None:
        self._began_s = time.monotonic()
        super().give(task)

    def read(self) -> tuple[RunRow | None, bool]:
        row, ended = super().read()
        self.made += row is not None
        return row, ended

    @property
    def overdue(self) -> bool:
        """Has its run taken longer than it may? Real ranks are asked to stop first, by those who
        started them."""
        limit_s = None if self.task is None or self.task.world == "mpi" else self.task.limit_s
        return limit_s is not None and time.monotonic() - self._began_s > limit_s

    def ended_at_limit(self) -> RunRow:
        assert self.task is not None
        self.process.kill()
        took_s, task, self.task = time.monotonic() - self._began_s, self.task, None
        error = f"it did not end within {task.limit_s:g} s"
        return refused(task, "time_limit", None, error, took_s)

    def lost(self) -> RunRow | None:
        """The row of the run that it was in the middle of as it ended by itself."""
        task, code = self.ended_with()
        if task is None:
            return None
        said = self.said(MOST_SAID).splitlines()
        why = f": {said[-1]}" if said else ""
        if self.process.returncode == -signal.SIGKILL:
            why = ": killed from outside, by the system if memory ran out"
        error = f"its process ended with {code}{why}"
        return refused(task, "killed", code, error, time.monotonic() - self._began_s)

    def ask_to_stop(self) -> None:
        """Idle workers end with their stdin, others by SIGTERM."""
        if self.task is not None:
            self.process.terminate()
        self.hang_up()
