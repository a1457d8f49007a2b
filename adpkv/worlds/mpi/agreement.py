"""What ranks must know of each other as they start: a problem that only some have, so that it is
reported once; what rank 0 has found; and that all have come.

The ranks with a problem come here at once. The others may still be in a constructor that waits
for one of them, and never come: then a rank with the problem ends the job by itself after a time
limit.
"""

from __future__ import annotations

from array import array
from time import perf_counter_ns
from typing import Final

from mpi4py import MPI

from adpkv.errors import UsageError
from adpkv.executor.messages import HOST
from adpkv.exit_codes import ExitCode
from adpkv.worlds.mpi.backoff import Backoff
from adpkv.worlds.mpi.driver import abort

__all__ = ["AgreedError", "broadcast_number", "check_together", "first_problem", "meet"]

BOUND_S: Final = 5.0
"""How long a rank with a problem waits for the others before it ends the job by itself."""

TEXT_BYTES: Final = 4096


class AgreedError(UsageError):
    """The start has failed, and every rank raises this error with the same text."""


def check_together(world: MPI.Intracomm, problem: str) -> None:
    """Go on if no rank has a `problem`. Every rank must call it.

    Raises:
        AgreedError: a rank has one; all ranks get the text of the first.
    """
    own, landing = bytearray([bool(problem)]), bytearray(world.size)
    request = world.Iallgather([own, 1, MPI.BYTE], [landing, 1, MPI.BYTE])
    until_ns, backoff = perf_counter_ns() + int(BOUND_S * 1e9), Backoff()
    while not request.Test():
        if problem and perf_counter_ns() >= until_ns:
            abort(f"adpkv: rank {world.rank}: {problem}", ExitCode.USAGE)
        backoff.sleep()
    failed = [rank for rank, has_problem in enumerate(landing) if has_problem]
    if not failed:
        return
    text = bytearray(problem.encode()[:TEXT_BYTES].ljust(TEXT_BYTES, b"\0"))
    world.Bcast([text, TEXT_BYTES, MPI.BYTE], failed[0])
    where = "" if len(failed) == world.size else f"rank {failed[0]}: "
    raise AgreedError(where + text.rstrip(b"\0").decode(errors="replace"))


def first_problem(ranks: MPI.Comm, problem: str) -> str:
    """The `problem` of the first rank that has one, on every rank; empty if none has. Every rank of
    the communicator must come."""
    teller = array("i", [ranks.rank if problem else ranks.size])
    first = array("i", [0])
    ranks.Allreduce([teller, MPI.INT], [first, MPI.INT], MPI.MIN)
    if first[0] == ranks.size:
        return ""
    data = bytearray(problem.encode()[:TEXT_BYTES].ljust(TEXT_BYTES, b"\0"))
    ranks.Bcast([data, TEXT_BYTES, MPI.BYTE], first[0])
    return data.rstrip(b"\0").decode(errors="replace")


def broadcast_number(world: MPI.Intracomm, number: int) -> int:
    """Rank 0's number, on every rank."""
    data = bytearray(number.to_bytes(8, "little"))
    world.Bcast([data, len(data), MPI.BYTE], HOST)
    return int.from_bytes(data, "little")


def meet(world: MPI.Intracomm) -> None:
    """Wait until every rank has come. One may be seconds later than the others, so those sleep in
    between, and leave it the cores. What limits this is the watch of the start
    (`launcher.startup`)."""
    request, backoff = world.Ibarrier(), Backoff()
    while not request.Test():
        backoff.sleep()
