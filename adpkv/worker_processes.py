"""Worker processes of this machine, each of which may fail alone: a task a line on stdin, its
answer a line on stdout.

Not `ProcessPoolExecutor`: there a worker that is killed, by the system for its memory, takes all
other tasks with it, and a program's main module is imported again. Here it costs the task that it
was at, and another worker takes its place.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Final, Generic, TypeVar

import msgspec

from adpkv.exit_codes import of_process

__all__ = ["WorkerProcess", "WorkerProcesses"]

CHUNK: Final = 1 << 16

TaskT = TypeVar("TaskT")
AnswerT = TypeVar("AnswerT")


class WorkerProcess(Generic[TaskT, AnswerT]):
    """One process.

    Args:
        command: what it runs.
        environment: its variables.
        answer: the type of its answers.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], answer: type[AnswerT]
    ) -> None:
        self.task: TaskT | None = None
        self._decode = msgspec.json.Decoder(answer).decode
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as this
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches whoever started it, who ends it
        )
        assert self.process.stdout is not None
        self.answers = self.process.stdout
        self._heard = b""

    def give(self, task: TaskT) -> None:
        """Its next task; only to an idle one."""
        self.task = task
        assert self.process.stdin is not None
        with suppress(OSError):  # it has ended: its stdout says so
            self.process.stdin.write(msgspec.json.encode(task) + b"\n")
            self.process.stdin.flush()

    def read(self) -> tuple[AnswerT | None, bool]:
        """An answer if one is complete; True if the process has ended."""
        chunk = os.read(self.answers.fileno(), CHUNK)
        if not chunk:
            return None, True
        self._heard += chunk
        if not self._heard.endswith(b"\n"):
            return None, False
        answer = self._decode(self._heard)
        self._heard, self.task = b"", None
        return answer, False

    def ended_with(self) -> tuple[TaskT | None, int]:
        """(the task that it was in the middle of, exit code) of one that has ended by itself."""
        code, task = of_process(self.process.wait()), self.task
        self.task = None
        return task, code

    def said(self, most: int | None = None) -> str:
        """What it has written to stderr; of a long text the last `most` bytes."""
        end = self._said.seek(0, os.SEEK_END)
        self._said.seek(0 if most is None else max(0, end - most))
        return self._said.read().decode(errors="replace").strip()

    def hang_up(self) -> None:
        """There are no more tasks: an idle one ends."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()

    def stop(self, bound_s: float) -> None:
        """End it: by itself within the bound, or else killed."""
        self.hang_up()
        try:
            self.process.wait(bound_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.answers.close()
        self._said.close()


WorkerT = TypeVar("WorkerT", bound=WorkerProcess[Any, Any])


class WorkerProcesses(Generic[WorkerT]):
    """So many of them side by side; each is started when there is a task for it."""

    def __init__(self, size: int, start: Callable[[], WorkerT], stop_s: float) -> None:
        self._size, self._start, self._stop_s = size, start, stop_s
        self.workers: list[WorkerT] = []
        self._selector = selectors.DefaultSelector()

    @property
    def busy(self) -> int:
        """How many tasks are under way."""
        return sum(worker.task is not None for worker in self.workers)

    @property
    def free(self) -> int:
        """How many more tasks there is room for."""
        return self._size - self.busy

    def give(self, task: Any) -> None:
        """To an idle worker, or to a new one."""
        worker = next((one for one in self.workers if one.task is None), None)
        if worker is None:
            worker = self._start()
            self.workers.append(worker)
            self._selector.register(worker.answers, selectors.EVENT_READ, worker)
        worker.give(task)

    def heard(self, timeout_s: float) -> Iterator[WorkerT]:
        """Those from which there is something to read; waits for one, but no longer than this."""
        for key, _ in self._selector.select(timeout_s):
            yield key.data

    def drop(self, worker: WorkerT) -> None:
        """End one; it is none of these any more."""
        self._selector.unregister(worker.answers)
        self.workers.remove(worker)
        worker.stop(self._stop_s)

    def close(self) -> None:
        """End all; tasks in the middle are broken off."""
        for worker in list(self.workers):
            self.drop(worker)
        self._selector.close()
