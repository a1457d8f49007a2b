"""How a process of a job leaves where MPI can no longer be asked to: at once, and for all.

Under ULFM (`mpirun --with-ft ulfm`) a rank's failure does not end the job, so neither does a rank
that only leaves. `MPI_Abort` hung there in 9 of 9 tries, and `MPI_Finalize` in 6 of 21 after two
rank failures. So who ends the job kills the other ranks of its host by their process ids, one
rank's end being the job's exit code; who leaves after a rank failure leaves without MPI; and where
nobody has failed yet, the end of MPI has a bound.
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

from adpkv.worlds.mpi.killing import end_host, vanish
from adpkv.worlds.mpi.launcher.process_tree import ProcessTree

__all__ = ["end_job", "end_mpi", "leave_now", "no_longer_than", "survives_rank_failures"]

ULFM_MARK: Final = "OMPI_MCA_mpi_ft_enable"
"""In a rank's environment where mpirun was told `--with-ft`; only that switches it on."""

EXIT_STEP_S: Final = 0.02
"""Between two ranks that leave: mpirun hung in 3 of 50 when all left at the same instant."""

FINALIZE_BOUND_S: Final = 5.0
"""All ranks come to the end of MPI within milliseconds of each other, and it takes 0.1 s."""


def survives_rank_failures() -> bool:
    """Does the job go on when a rank fails?"""
    return os.environ.get(ULFM_MARK) in ("1", "true")


def end_mpi(code: int) -> None:
    """Finalize MPI; everything else of this process is done, and its exit code known. A rank that
    fails or is stopped meanwhile can hold the others there for ever: then they end all without MPI.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    ProcessTree(os.getppid()).leave_code(code)
    with no_longer_than(FINALIZE_BOUND_S, lambda: end_host(code)):
        # mpi4py's own call keeps the interpreter's lock, and the timer could not run beside it.
        ctypes.CDLL(MPI.__file__).MPI_Finalize()


@contextmanager
def no_longer_than(bound_s: float, end: Callable[[], object]) -> Iterator[None]:
    """What waits for other ranks in native code gets a bound: then `end`, in a thread."""
    timer = threading.Timer(bound_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def end_job(code: int) -> NoReturn:
    """End all ranks now, with this exit code; from any thread. Ranks of other hosts are freed from
    what they wait in by the rank failures here: every rank is in the communicators of the
    messages."""
    if not survives_rank_failures():
        ProcessTree(os.getppid()).leave_code(code)
        MPI.COMM_WORLD.Abort(code)
        raise SystemExit(code)
    end_host(code)


def leave_now(code: int, place: int) -> NoReturn:
    """Leave after a rank failure, files complete: in turn, `place` being this rank's among the
    living."""
    sys.stdout.flush()
    sys.stderr.flush()
    ProcessTree(os.getppid()).leave_code(code)
    time.sleep(EXIT_STEP_S * place)
    vanish(code)
