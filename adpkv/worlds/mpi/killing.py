"""How one rank ends the ranks of its host, and itself, without MPI: from any thread, at any
moment."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from adpkv.worlds.mpi.launcher.process_tree import ProcessTree
from adpkv.worlds.mpi.launcher.segments import remove_with_their_job, segments_of

__all__ = ["end_host", "survives_rank_failures", "vanish"]

ULFM_MARK: Final = "OMPI_MCA_mpi_ft_enable"
"""Set in a rank's environment where mpirun was called with `--with-ft`, and only there."""

KILLED_WITHIN_S: Final = 3.0
"""How long a rank waits to be killed by the one that ends the job, before it exits by itself."""


def survives_rank_failures() -> bool:
    """Does the job go on when a rank fails?"""
    return os.environ.get(ULFM_MARK) in ("1", "true")


def end_host(code: int, said: str = "") -> NoReturn:
    """Kill the other ranks of this host by process id, then exit with `code`. Only one rank of a
    host does so; it also prints `said`."""
    sys.stdout.flush()
    latch = _latch()
    if latch is None:
        time.sleep(KILLED_WITHIN_S)
    else:
        if said:
            from adpkv.terminal import final_line

            final_line(said)
        job = ProcessTree(os.getppid())
        job.leave_code(code)
        segments = job.segments()
        job.kill_others()
        remove_with_their_job(segments)
    # At once: another thread of this rank could see that the others failed, and exit differently.
    vanish(code)


def vanish(code: int) -> NoReturn:
    """Exit at once. Without MPI nobody else removes the shared memory of the ranks of this host."""
    for segment in segments_of(os.getpid()):
        with suppress(OSError):
            Path(segment).unlink()
    os._exit(code)


def _latch() -> socket.socket | None:
    """A lock that makes one rank of a host end the job: two that kill each other would leave no
    exit code. An abstract socket name, which only one process can have and which vanishes with it.
    None if another process has it."""
    latch = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        latch.bind(f"\0adpkv-end-{os.environ.get('PMIX_NAMESPACE', os.getppid())}")
    except OSError:
        return None
    return latch
