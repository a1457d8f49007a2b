"""How a job's communicators come to rest before MPI ends: every wait in it is bounded.

MPI must not be finalized while anything is on its way. So the members tell each other how much they
sent, take in exactly that, and only then stop listening.

Time in which this process could not look does not count: where a whole job was stopped, nobody was
late in it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Final

from mpi4py import MPI

from adpkv.diagnosis.suspension import SuspensionClock
from adpkv.errors import StuckError
from adpkv.worlds.mpi.backoff import Backoff

__all__ = ["CLOSE_BOUND_S", "SEND_BOUND_S", "bounded_barrier", "owed", "poll_until"]

CLOSE_BOUND_S: Final = 30.0
"""For one step of closing; who has left the loop has nothing else to do."""

SEND_BOUND_S: Final = 5.0
"""For the sends that were in doubt, whose receivers now take them in to throw them away. Shorter,
so that the others still wait when a sender gives up."""

TURN_NS: Final = 1_000_000_000
"""Between two looks of one that sleeps for a millisecond, on a machine with too few cores."""


def poll_until(
    done: Callable[[], bool], what: str, bound_s: float = CLOSE_BOUND_S, *, must: bool = True
) -> bool:
    """Poll politely until `done`; False if it is not within the bound.

    Raises:
        StuckError: it is not, and must be.
    """
    now_ns, backoff = perf_counter_ns(), Backoff()
    until_ns, suspension = now_ns + int(bound_s * 1e9), SuspensionClock(TURN_NS, now_ns)
    while not done():
        now_ns = perf_counter_ns()
        until_ns += suspension.missed(now_ns)
        if now_ns >= until_ns:
            if must:
                raise StuckError(f"while closing: {what} did not come within {bound_s:g} s")
            return False
        backoff.sleep()
    return True


def bounded_barrier(
    communicator: MPI.Intracomm, what: str, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """A bounded barrier; `meanwhile` is done as long as somebody is missing.

    Raises:
        StuckError: somebody did not come.
    """
    request = communicator.Ibarrier()

    def done() -> bool:
        meanwhile()
        return request.Test()

    poll_until(done, f"all ranks to {what}")


def owed(communicator: MPI.Comm, sent: Sequence[int], what: str) -> int:
    """How many messages the members sent here; each brings what it `sent` to each.

    Raises:
        StuckError: somebody did not come.
    """
    leaving, landing = array("Q", sent), array("Q", bytes(8 * len(sent)))
    # Bytes, because an array's type code is no MPI type everywhere.
    request = communicator.Ialltoall([leaving, 8, MPI.BYTE], [landing, 8, MPI.BYTE])
    poll_until(request.Test, f"the counts of {what}")
    return sum(landing)
