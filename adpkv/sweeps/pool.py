"""Worker processes of a sweep on this machine: so many runs side by side, each in a process that
may fail alone.

Not `ProcessPoolExecutor`: there a worker that is killed, by the system for its memory, takes all
other runs with it, and a program's main module is imported again. Here it is one row, and another
worker takes its place.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Final, Protocol

import msgspec

from adpkv.exit_codes import of_process
from adpkv.python_module import python_module
from adpkv.sweeps.perform import refused
from adpkv.sweeps.row import RunRow, Task

__all__ = ["STOP_S", "Pool", "ProcessPool"]

RUNS_PER_WORKER: Final = 500
"""A worker ends after so many runs, so that what a piece of the user's own leaks is bounded."""

CHUNK: Final = 1 << 16
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
        self._size, self._environment, self._stop_s = size, dict(environment), stop_s
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    @property
    def busy(self) -> int:
        """How many runs are under way."""
        return sum(worker.task is not None for worker in self._workers)

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""
        return self._size - self.busy

    def give(self, task: Task) -> None:
        """To an idle worker, or to a new one."""
        worker = next((one for one in self._workers if one.task is None), None)
        if worker is None:
            worker = _Worker(self._environment)
            self._workers.append(worker)
            self._selector.register(worker.rows, selectors.EVENT_READ, worker)
        worker.give(task)

    def rows(self, timeout_s: float) -> list[RunRow]:
        """The runs that have ended since; waits for one, but no longer than this."""
        found = []
        for key, _ in self._selector.select(timeout_s):
            found += self._heard(key.data)
        for worker in list(self._workers):
            if worker.overdue:
                found.append(worker.ended_at_limit())
                self._drop(worker)
        return found

    def _heard(self, worker: _Worker) -> list[RunRow]:
        row, ended = worker.read()
        if ended:
            lost = worker.lost()
            self._drop(worker)
            return [] if lost is None else [lost]
        if row is not None and worker.made >= RUNS_PER_WORKER:
            self._drop(worker)
        return [] if row is None else [row]

    def _drop(self, worker: _Worker) -> None:
        self._selector.unregister(worker.rows)
        self._workers.remove(worker)
        worker.stop(self._stop_s)

    def close(self) -> None:
        """End all workers; runs in the middle are broken off."""
        for worker in self._workers:
            worker.ask_to_stop()
        for worker in list(self._workers):
            self._drop(worker)
        self._selector.close()


class _Worker:
    """One process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.task: Task | None = None
        self.made = 0
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as this
        self._process = subprocess.Popen(
            python_module("adpkv.sweeps.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the sweep, which ends its workers
        )
        assert self._process.stdout is not None
        self.rows = self._process.stdout
        self._heard = b""
        self._began_s = 0.0

    def give(self, task: Task) -> None:
        self.task, self._began_s = task, time.monotonic()
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended: its stdout says so
            self._process.stdin.write(msgspec.json.encode(task) + b"\n")
            self._process.stdin.flush()

    def read(self) -> tuple[RunRow | None, bool]:
        """A row if one is complete; True if the process has ended."""
        chunk = os.read(self.rows.fileno(), CHUNK)
        if not chunk:
            return None, True
        self._heard += chunk
        if not self._heard.endswith(b"\n"):
            return None, False
        row = msgspec.json.decode(self._heard, type=RunRow)
        self._heard, self.task, self.made = b"", None, self.made + 1
        return row, False

    @property
    def overdue(self) -> bool:
        """Has its run taken longer than it may? Real ranks are asked to stop first, by those who
        started them."""
        limit_s = None if self.task is None or self.task.world == "mpi" else self.task.limit_s
        return limit_s is not None and time.monotonic() - self._began_s > limit_s

    def ended_at_limit(self) -> RunRow:
        assert self.task is not None
        self._process.kill()
        took_s, task, self.task = time.monotonic() - self._began_s, self.task, None
        error = f"it did not end within {task.limit_s:g} s"
        return refused(task, "time_limit", None, error, took_s)

    def lost(self) -> RunRow | None:
        """The row of the run that it was in the middle of as it ended by itself."""
        code = of_process(self._process.wait())
        task, self.task = self.task, None
        if task is None:
            return None
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - MOST_SAID))
        said = self._said.read().decode(errors="replace").strip().splitlines()
        why = f": {said[-1]}" if said else ""
        if self._process.returncode == -signal.SIGKILL:
            why = ": killed from outside, by the system if memory ran out"
        error = f"its process ended with {code}{why}"
        return refused(task, "killed", code, error, time.monotonic() - self._began_s)

    def ask_to_stop(self) -> None:
        """Idle workers end with their stdin, others by SIGTERM."""
        if self.task is not None:
            self._process.terminate()
        self._hang_up()

    def _hang_up(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def stop(self, bound_s: float) -> None:
        self._hang_up()
        try:
            self._process.wait(bound_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.rows.close()
        self._said.close()
