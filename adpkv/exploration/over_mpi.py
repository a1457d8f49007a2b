"""An exploration over the ranks of an MPI job, on as many machines as it has: rank 0 gives out the
batches, the other ranks make them. The work of mpi4py's own `MPIPoolExecutor`.

Start it with `mpirun -n 9 adpkv explore ...`: one rank more than batches side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from adpkv.exploration.batch import BatchResult, Task
from adpkv.exploration.pool import Lost, Pool, attempted

__all__ = ["Ranks", "performed", "pool_of_ranks"]

AHEAD: Final = 2
"""Tasks per rank that are given out beforehand."""


class Answer(msgspec.Struct, frozen=True):
    """What a rank says of a task: its result, or at which seed which error has ended it."""

    result: BatchResult | None
    seed: int = 0
    why: str = ""


def performed(given: bytes) -> bytes:
    """Make a task, on any rank."""
    made = attempted(msgspec.json.decode(given, type=Task))
    if isinstance(made, Lost):
        return msgspec.json.encode(Answer(None, made.seed, made.why))
    return msgspec.json.encode(Answer(made))


class Ranks:
    """The ranks of an MPI job, by mpi4py's executor."""

    def __init__(self, executor: Executor, size: int) -> None:
        self._executor, self._size = executor, size
        self._tasks: dict[Future[bytes], Task] = {}

    @property
    def busy(self) -> int:
        """How many tasks are given out."""
        return len(self._tasks)

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""
        return self._size * AHEAD - len(self._tasks)

    def give(self, task: Task) -> None:
        """One more."""
        self._tasks[self._executor.submit(performed, msgspec.json.encode(task))] = task

    def results(self, timeout_s: float) -> list[BatchResult | Lost]:
        """What has ended since; waits for one, but no longer than this."""
        found: list[BatchResult | Lost] = []
        for future in wait(self._tasks, timeout_s, FIRST_COMPLETED).done:
            task, error = self._tasks.pop(future), future.exception()
            if error is not None:
                found.append(Lost(task, task.first, f"{type(error).__name__}: {error}"))
                continue
            answer = msgspec.json.decode(future.result(), type=Answer)
            found.append(answer.result or Lost(task, answer.seed, answer.why))
        return found

    def close(self) -> None:
        """Take back what no rank has begun."""
        for future in self._tasks:
            future.cancel()


@contextmanager
def pool_of_ranks() -> Iterator[Pool | None]:
    """The pool of this MPI job on its rank 0; None on the other ranks, once they have made all that
    rank 0 had for them."""
    from mpi4py import MPI
    from mpi4py.futures import MPICommExecutor

    given: Any = MPICommExecutor(MPI.COMM_WORLD, root=0)
    with given as executor:
        if executor is None:
            yield None
            return
        pool = Ranks(executor, max(1, MPI.COMM_WORLD.size - 1))
        try:
            yield pool
        finally:
            pool.close()
