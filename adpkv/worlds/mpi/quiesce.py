"""Drains a job's communicators before MPI is finalized; every wait here has a time limit.

MPI must not be finalized while a message is in flight. So the members tell each other how many they
have sent, receive exactly that many, and only then stop receiving.

Time in which this process was suspended does not count: if a whole job was suspended, no rank was
late in that time.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Final

from mpi4py import MPI

from adpkv.diagnosis.suspension import SuspensionClock
from adpkv.errors import StuckError
from adpkv.transport.port import Transport
from adpkv.worlds.mpi.backoff import Backoff
from adpkv.worlds.mpi.custom_ports import RankTransport

__all__ = [
    "CLOSE_BOUND_S",
    "SEND_BOUND_S",
    "bounded_barrier",
    "close_transports",
    "owed",
    "poll_until",
]

CLOSE_BOUND_S: Final = 30.0
"""The limit for one step of closing; a rank that has left its loop has nothing else to do."""

SEND_BOUND_S: Final = 5.0
"""The limit for sends that were in doubt, which their receivers now receive and drop. It is
shorter, so that the others still wait when a sender gives up."""

TURN_NS: Final = 1_000_000_000
"""The longest normal gap between two polls with a sleep of a millisecond, on a machine with too few
cores."""


def poll_until(
    done: Callable[[], bool], what: str, bound_s: float = CLOSE_BOUND_S, *, must: bool = True
) -> bool:
    """Poll with backoff until `done`. False if it is not done within `bound_s` seconds and need not
    be.

    Raises:
        StuckError: it is not, and `must` be.
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
    """A barrier with a time limit; `meanwhile` is called as long as a member is missing.

    Raises:
        StuckError: a member did not come in time.
    """
    request = communicator.Ibarrier()

    def done() -> bool:
        meanwhile()
        return request.Test()

    poll_until(done, f"all ranks to {what}")


def owed(communicator: MPI.Comm, sent: Sequence[int], what: str) -> int:
    """How many messages the members have sent to this rank. Each contributes how many it has `sent`
    to each.

    Raises:
        StuckError: a member did not come in time.
    """
    leaving, landing = array("Q", sent), array("Q", bytes(8 * len(sent)))
    # As bytes, because not every MPI knows an array's type code as a datatype.
    request = communicator.Ialltoall([leaving, 8, MPI.BYTE], [landing, 8, MPI.BYTE])
    poll_until(request.Test, f"the counts of {what}")
    return sum(landing)


def close_transports(
    world: MPI.Intracomm, transport: Transport, inner: RankTransport, *, sends: bool
) -> None:
    """Close the transports of all ranks: senders stop first, and receivers give up their blocks
    last (contract 6.2). `inner` is this rank's transport without the faults that wrap it in
    `transport`. `sends`: whether this rank is a sender.

    Raises:
        StuckError: a rank did not come in time.
    """
    if sends:
        transport.close()
    bounded_barrier(world, "end their sends")
    if not sends:
        transport.close()
    # Receivers receive the sends that were in doubt, as long as the senders wait for that.
    if sends:
        poll_until(inner.is_drained, "the sends in doubt", SEND_BOUND_S, must=False)
    bounded_barrier(world, "end their receives", inner.discard)
    if not sends:
        poll_until(inner.is_drained, "the receives in doubt", SEND_BOUND_S, must=False)
