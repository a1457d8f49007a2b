"""Messages that end a wait of a group: of its members, or of the first members of its hosts.

The member that ends a wait sends the others eight bytes: the number of this wait. A message about
an earlier wait is stale and ignored. A lost message would only cost the rest of the limit, so no
member waits until one is sent.
"""

from __future__ import annotations

import struct
from typing import Final

from mpi4py import MPI

from adpkv.worlds.mpi.quiesce import owed, poll_until

__all__ = ["WakeMessages"]

MAX_UNSENT_WAKES: Final = 4096
"""Beyond this a member is not receiving its wake messages, and gets no more of them."""

_NUMBER = struct.Struct("<Q")


class WakeMessages:
    """One member's end. `communicator` carries nothing else; it is freed with the others."""

    def __init__(self, communicator: MPI.Comm) -> None:
        self._comm = communicator
        self._others = [r for r in range(communicator.size) if r != communicator.rank]
        self._landed = bytearray(_NUMBER.size)
        self._receive = self._listen()
        self._unsent: list[MPI.Request] = []
        self._sent, self._taken = [0] * communicator.size, 0

    def woken(self, number: int) -> bool:
        """Has any member ended this wait? Also receives messages about earlier waits."""
        while self._receive.Test():
            said = _NUMBER.unpack(self._landed)[0]
            self._taken += 1
            self._receive = self._listen()
            if said >= number:
                return True
        return False

    def wake(self, number: int) -> None:
        """End this wait for the others."""
        self._unsent = [request for request in self._unsent if not request.Test()]
        if len(self._unsent) > MAX_UNSENT_WAKES:
            return
        payload = _NUMBER.pack(number)
        for other in self._others:
            self._sent[other] += 1
            request = self._comm.Isend([payload, _NUMBER.size, MPI.BYTE], other)
            if not request.Test():
                self._unsent.append(request)

    def close(self) -> None:
        """Receive all messages, then stop receiving. Every member must call it."""
        due = owed(self._comm, self._sent, "wake messages")
        poll_until(lambda: self._has_taken(due), "wake messages")
        poll_until(self._all_sent, "the end of wake messages")
        self._receive.Cancel()
        poll_until(self._receive.Test, "the end of the last receive")

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
