"""How a process of a job ends where MPI can no longer be asked to end it.

Under ULFM (`mpirun --with-ft ulfm`) neither a rank's failure nor a rank's exit ends the job.
`MPI_Abort` hung there in 9 of 9 tries, and `MPI_Finalize` in 6 of 21 after two rank failures. So a
rank that ends the job kills the other ranks of its host by their process ids, and its own exit code
becomes the job's. After a rank failure each rank exits without calling MPI. If no rank has failed
yet, `MPI_Finalize` is called with a time limit.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from mpi4py import MPI

from adpkv.worlds.mpi.killing import end_host, survives_rank_failures, vanish
from adpkv.worlds.mpi.launcher.process_tree import ProcessTree

__all__ = ["end_job", "end_mpi", "leave_now", "no_longer_than"]

EXIT_STEP_S: Final = 0.02
"""The delay between the exits of two ranks: mpirun hung in 3 of 50 jobs when all ranks exited at
once."""

FINALIZE_BOUND_S: Final = 5.0
"""All ranks call `MPI_Finalize` within milliseconds of each other, and it takes 0.1 s."""


def end_mpi(code: int) -> None:
    """Finalize MPI. Everything else of this process is done, and its exit code is known. A rank
    that fails or is suspended meanwhile would hold the others there for ever: after the time limit
    they end without MPI."""
    sys.stdout.flush()
    sys.stderr.flush()
    ProcessTree(os.getppid()).leave_code(code)
    with no_longer_than(FINALIZE_BOUND_S, lambda: end_host(code)):
        # mpi4py's own call keeps the interpreter's lock, and the timer could not run beside it.
        ctypes.CDLL(MPI.__file__).MPI_Finalize()


@contextmanager
def no_longer_than(bound_s: float, end: Callable[[], object]) -> Iterator[None]:
    """Limit the time of native code that waits for other ranks: after `bound_s` seconds `end` is
    called, in a thread of its own."""
    timer = threading.Timer(bound_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def end_job(code: int) -> NoReturn:
    """End all ranks now, with this exit code; from any thread. Ranks of other hosts get an
    exception from whatever they wait in, because the ranks of this host fail: every rank is in the
    communicators of the messages."""
    if not survives_rank_failures():
        ProcessTree(os.getppid()).leave_code(code)
        MPI.COMM_WORLD.Abort(code)
        raise SystemExit(code)
    end_host(code)


def leave_now(code: int, place: int) -> NoReturn:
    """Exit after a rank failure, with all files complete. Ranks exit one after the other: `place`
    is this rank's position among the living ones."""
    sys.stdout.flush()
    sys.stderr.flush()
    ProcessTree(os.getppid()).leave_code(code)
    time.sleep(EXIT_STEP_S * place)
    vanish(code)
