"""A sweep over the ranks of an MPI job, on as many machines as it has: rank 0 gives out the runs,
the other ranks make them. The work of mpi4py's own `MPIPoolExecutor`.

Start it with `mpirun -n 9 adpkv sweep ...` or `srun -n 64 adpkv sweep ...`: one rank more than runs
side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from adpkv.exit_codes import ExitCode
from adpkv.sweeps.perform import perform, refused
from adpkv.sweeps.row import RunRow, Task

__all__ = ["ExecutorPool", "pool_of_ranks"]

AHEAD: Final = 2
"""Tasks per rank that are given out beforehand, so that no rank waits for rank 0."""


def _performed(task: bytes) -> bytes:
    return msgspec.json.encode(perform(msgspec.json.decode(task, type=Task)))


class ExecutorPool:
    """A pool that hands its runs to an executor of `concurrent.futures`."""

    def __init__(self, executor: Executor, size: int) -> None:
        self._executor, self._size = executor, size
        self._tasks: dict[Future[bytes], Task] = {}

    @property
    def busy(self) -> int:
        """How many runs are under way."""
        return min(len(self._tasks), self._size)

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""
        return self._size * AHEAD - len(self._tasks)

    def give(self, task: Task) -> None:
        """One more."""
        self._tasks[self._executor.submit(_performed, msgspec.json.encode(task))] = task

    def rows(self, timeout_s: float) -> list[RunRow]:
        """The runs that have ended since; waits for one, but no longer than this."""
        found = []
        for future in wait(self._tasks, timeout_s, FIRST_COMPLETED).done:
            task = self._tasks.pop(future)
            error = future.exception()
            if error is None:
                found.append(msgspec.json.decode(future.result(), type=RunRow))
            else:
                said = f"{type(error).__name__}: {error}"
                found.append(refused(task, "killed", ExitCode.INTERNAL_ERROR, said, 0.0))
        return found

    def close(self) -> None:
        """Take back what no rank has begun."""
        for future in self._tasks:
            future.cancel()


@contextmanager
def pool_of_ranks() -> Iterator[ExecutorPool | None]:
    """The pool of this MPI job on its rank 0; None on the other ranks, once they have made all that
    rank 0 had for them."""
    from mpi4py import MPI
    from mpi4py.futures import MPICommExecutor

    given: Any = MPICommExecutor(MPI.COMM_WORLD, root=0)
    with given as executor:
        if executor is None:
            yield None
        else:
            yield ExecutorPool(executor, MPI.COMM_WORLD.Get_size() - 1)
