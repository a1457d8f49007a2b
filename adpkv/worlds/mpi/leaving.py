"""The last that a rank does with the others: it closes, hears what could not be written, and learns
the exit code that rank 0 derived from all reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from mpi4py import MPI

from adpkv.executor.messages import HOST
from adpkv.exit_codes import ExitCode
from adpkv.output.losses import Losses
from adpkv.worlds.mpi.agreement import broadcast_number
from adpkv.worlds.mpi.driver import abort
from adpkv.worlds.mpi.ending import leave_now, no_longer_than
from adpkv.worlds.mpi.rank_process import RankProcess

__all__ = ["leave_together"]

LEAVE_BOUND_S: Final = 600.0
"""From a rank's last collective to the agreed exit code: files are closed, and rank 0 merges the
events of all ranks, which takes a while where there are many."""

LOST_BYTES: Final = 512
"""The room for what one rank could not write; it writes only one file."""


def leave_together(
    job: RankProcess,
    written: Callable[[Sequence[str]], int],
    show: Callable[[], None] = lambda: None,
) -> int:
    """Close this rank; returns rank 0's exit code on every rank. On rank 0 `written` completes the
    files, and gets what the other ranks could not write; it may be called again, if a rank fails
    meanwhile. `show` is called once, when all know the code. After a rank failure the process exits
    here, because MPI cannot be finalized."""
    to_show = [show]

    def work() -> int:
        job.close()
        world = job.living.communicators.world
        return broadcast_number(world, written(_lost_elsewhere(world, job.files.losses)))

    def shown() -> None:
        if to_show:
            to_show.pop()()
        job.living.communicators.world.Barrier()

    def late() -> None:
        said = f"adpkv: rank {job.rank}: the others did not end the job within {LEAVE_BOUND_S:g} s"
        abort(said, job.reports.told(ExitCode.DEADLOCK))

    with no_longer_than(LEAVE_BOUND_S, late):
        code = job.finish(work)
        job.finish(shown)
    if job.lost:
        leave_now(code, job.living.communicators.world.rank)
    return code


def _lost_elsewhere(world: MPI.Intracomm, losses: Losses) -> list[str]:
    """What the other ranks could not write, on rank 0; nothing on the others."""
    own = "\n".join(losses.told()) if world.rank != HOST else ""
    said = bytearray(own.encode()[:LOST_BYTES].ljust(LOST_BYTES, b"\0"))
    heard = bytearray(LOST_BYTES * world.size if world.rank == HOST else 0)
    world.Gather([said, LOST_BYTES, MPI.BYTE], [heard, LOST_BYTES, MPI.BYTE], HOST)
    slots = [heard[at : at + LOST_BYTES] for at in range(0, len(heard), LOST_BYTES)]
    told = [bytes(slot).rstrip(b"\0").decode(errors="replace") for slot in slots]
    return [line for text in told for line in text.splitlines()]
