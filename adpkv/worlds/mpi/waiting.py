"""A group's bounded wait: nap politely, and end at once on news of any member.

The member that has news, or whose limit is over first, sends the others eight bytes: the number of
this wait. So the smallest limit counts for all. A word about a former wait is stale and ignored. A
lost word would cost no more than the rest of the limit, so sending one is never waited for.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from time import perf_counter_ns
from typing import Final

from mpi4py import MPI

__all__ = ["LONGEST_NAP_NS", "Nap", "Waiter"]

LONGEST_NAP_NS: Final = 1_000_000
SHORTEST_NAP_NS: Final = 50_000
MAX_UNSENT_WAKES: Final = 4096
"""Beyond this a member does not take its words in, and gets no more of them."""

_NUMBER = struct.Struct("<Q")


class Nap:
    """Polite polling: each nap twice as long as the one before, up to the longest."""

    __slots__ = ("_next_ns",)

    def __init__(self) -> None:
        self._next_ns = SHORTEST_NAP_NS

    def take(self, most_ns: int = LONGEST_NAP_NS) -> None:
        """Sleep a little, at most `most_ns`."""
        time.sleep(max(0, min(self._next_ns, most_ns)) / 1e9)
        self._next_ns = min(2 * self._next_ns, LONGEST_NAP_NS)


class Waiter:
    """One rank's waits in one group, on a communicator for wake words alone."""

    def __init__(self, communicator: MPI.Comm, news: Callable[[], bool]) -> None:
        self._comm, self._news = communicator, news
        self._others = [r for r in range(communicator.size) if r != communicator.rank]
        self._landed = bytearray(_NUMBER.size)
        self._receive = self._listen()
        self._unsent: list[MPI.Request] = []

    def wait(self, number: int, limit_ns: int) -> None:
        """Wait number `number` of this group, the same on each member; at most `limit_ns`."""
        until_ns = perf_counter_ns() + limit_ns
        nap = Nap()
        while not self._woken(number):
            if self._news():
                return self._wake(number)
            left_ns = until_ns - perf_counter_ns()
            if left_ns <= 0:
                return self._wake(number)
            nap.take(left_ns)
        return None

    def close(self) -> None:
        """Stop listening; every member must come."""
        self._receive.Cancel()
        self._receive.Wait()
        self._comm.Free()

    def _listen(self) -> MPI.Request:
        return self._comm.Irecv([self._landed, _NUMBER.size, MPI.BYTE], MPI.ANY_SOURCE)

    def _woken(self, number: int) -> bool:
        """Has any member ended this wait? Takes in what was said about former ones."""
        while self._receive.Test():
            said = _NUMBER.unpack(self._landed)[0]
            self._receive = self._listen()
            if said >= number:
                return True
        return False

    def _wake(self, number: int) -> None:
        self._unsent = [request for request in self._unsent if not request.Test()]
        if len(self._unsent) > MAX_UNSENT_WAKES:
            return
        word = _NUMBER.pack(number)
        for other in self._others:
            request = self._comm.Isend([word, _NUMBER.size, MPI.BYTE], other)
            if not request.Test():
                self._unsent.append(request)
