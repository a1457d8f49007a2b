"""A group's bounded wait: poll with backoff, and end at once on input for any member.

The member that has input, or whose limit is over first, sends the others eight bytes: the number of
this wait. So the smallest limit counts for all members. A message about an earlier wait is stale
and ignored. A lost message would only cost the rest of the limit, so no member waits until one is
sent.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from time import perf_counter_ns
from typing import Final

from mpi4py import MPI

from adpkv.executor.collectives import Pause
from adpkv.worlds.mpi.backoff import Backoff
from adpkv.worlds.mpi.quiesce import owed, poll_until

__all__ = ["Waiter"]

MAX_UNSENT_WAKES: Final = 4096
"""Beyond this a member is not receiving its wake messages, and gets no more of them."""

_NUMBER = struct.Struct("<Q")


class Waiter:
    """One rank's waits in one group, on a communicator that carries only wake messages."""

    def __init__(self, communicator: MPI.Comm, has_input: Callable[[], bool]) -> None:
        self._comm, self._has_input = communicator, has_input
        self._others = [r for r in range(communicator.size) if r != communicator.rank]
        self._landed = bytearray(_NUMBER.size)
        self._receive = self._listen()
        self._unsent: list[MPI.Request] = []
        self._sent, self._taken = [0] * communicator.size, 0

    def wait(self, number: int, limit_ns: int) -> None:
        """Wait number `number` of this group, which is the same on each member; at most
        `limit_ns`."""
        until_ns = perf_counter_ns() + limit_ns
        backoff = Backoff()
        while not self._woken(number):
            if self._has_input():
                return self._wake(number)
            left_ns = until_ns - perf_counter_ns()
            if left_ns <= 0:
                return self._wake(number)
            backoff.sleep(left_ns)
        return None

    def pause(self, op: Pause, clock: Callable[[], int]) -> None:
        """Wait alone. No member is woken: a member that comes to a collective waits for this
        rank."""
        backoff = Backoff()
        while not op.over():
            left_ns = op.until_ns - clock()
            if left_ns <= 0:
                return
            backoff.sleep(left_ns)

    def close(self) -> None:
        """Receive all wake messages, then stop receiving. Every member must call it."""
        due = owed(self._comm, self._sent, "wake messages")
        poll_until(lambda: self._has_taken(due), "wake messages")
        poll_until(self._all_sent, "the end of wake messages")
        self._receive.Cancel()
        poll_until(self._receive.Test, "the end of the last receive")
        self._comm.Free()

    def _has_taken(self, due: int) -> bool:
        while self._taken < due and self._receive.Test():
            self._taken += 1
            self._receive = self._listen()
        return self._taken >= due

    def _all_sent(self) -> bool:
        self._unsent = [request for request in self._unsent if not request.Test()]
        return not self._unsent

    def _listen(self) -> MPI.Request:
        return self._comm.Irecv([self._landed, _NUMBER.size, MPI.BYTE], MPI.ANY_SOURCE)

    def _woken(self, number: int) -> bool:
        """Has any member ended this wait? Also receives messages about earlier waits."""
        while self._receive.Test():
            said = _NUMBER.unpack(self._landed)[0]
            self._taken += 1
            self._receive = self._listen()
            if said >= number:
                return True
        return False

    def _wake(self, number: int) -> None:
        self._unsent = [request for request in self._unsent if not request.Test()]
        if len(self._unsent) > MAX_UNSENT_WAKES:
            return
        payload = _NUMBER.pack(number)
        for other in self._others:
            self._sent[other] += 1
            request = self._comm.Isend([payload, _NUMBER.size, MPI.BYTE], other)
            if not request.Test():
                self._unsent.append(request)
