"""How one rank ends those of its host, and itself, without MPI: from any thread, at any moment."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from adpkv.worlds.mpi.launcher.process_tree import ProcessTree, segments_of

__all__ = ["end_host", "vanish"]

KILLED_WITHIN_S: Final = 3.0
"""Somebody else is ending the job: how long that may take before this rank goes by itself."""


def end_host(code: int, said: str = "") -> NoReturn:
    """End the ranks of this host by process id; this one's end says the code. `said` is said by
    whoever does it."""
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
        job.unlink(segments)
    # At once, or another thread of this rank sees the others failed, and ends it otherwise.
    vanish(code)


def vanish(code: int) -> NoReturn:
    """Without MPI nobody else removes the memory that it shared with the ranks of this host."""
    for segment in segments_of(os.getpid()):
        with suppress(OSError):
            Path(segment).unlink()
    os._exit(code)


def _latch() -> socket.socket | None:
    """One rank of a host ends the job, as two that kill each other leave no exit code. A name that
    only one can have, and that goes with its process."""
    latch = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        latch.bind(f"\0adpkv-end-{os.environ.get('PMIX_NAMESPACE', os.getppid())}")
    except OSError:
        return None
    return latch
