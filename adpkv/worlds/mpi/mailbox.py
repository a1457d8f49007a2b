"""Typed mail between ranks, and with the coordinator, over MPI.

Ranks write to each other on one communicator, and to the coordinator on another, whose receiver is
a thread beside rank 0: with a communicator of its own it never takes another's mail. What the
coordinator sends arrives on the ranks' communicator. Between the coordinator and its own host,
rank 0, the same bytes go through a queue of the process: two threads of one rank need no wire.

MPI keeps the order between one sender and one receiver of a communicator, which is the promise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
from mpi4py import MPI

from adpkv.core.ids import COORDINATOR
from adpkv.core.news import Unread
from adpkv.errors import AdpkvError
from adpkv.executor.messages import Mail
from adpkv.executor.ports import Clock
from adpkv.worlds.mpi.closing import await_that, owed

__all__ = ["HOST", "MAX_TAKEN", "MAX_UNSENT", "CoordinatorMailbox", "Endpoint", "RankMailbox"]

HOST: Final = 0
"""The world rank whose process the coordinator lives in."""

MAX_UNSENT: Final = 65_536
"""Messages that receivers have not taken yet. Reaching it means that one of them stands still."""

MAX_TAKEN: Final = 4096
"""Messages in one `receive`; the rest waits for the next, so that no iteration drowns in mail."""


class Endpoint:
    """Sends and receives bytes on one communicator; the sends stay alive until they are done.

    One thread may receive and one may send; not two of the same.
    """

    def __init__(self, communicator: MPI.Intracomm) -> None:
        self._comm = communicator
        self._unsent: deque[tuple[MPI.Request, bytes]] = deque()
        self._matched: MPI.Message | None = None
        self._status = MPI.Status()
        self.sent = [0] * communicator.size
        """Letters so far, to each rank."""
        self._taken = 0

    def send(self, to: int, letter: bytes) -> None:
        """Begin to send; never waits.

        Raises:
            AdpkvError: too many sends are unfinished.
        """
        unsent = self._unsent
        while unsent and unsent[0][0].Test():
            unsent.popleft()
        if len(unsent) >= MAX_UNSENT:
            raise AdpkvError(
                f"{len(unsent)} messages are not taken by their receivers (now to rank {to})"
            )
        self.sent[to] += 1
        request = self._comm.Isend([letter, len(letter), MPI.BYTE], to)
        if not request.Test():
            unsent.append((request, letter))

    def ready(self) -> bool:
        """Has a letter arrived? Never waits."""
        if self._matched is None:
            self._matched = self._comm.Improbe(MPI.ANY_SOURCE, 0, self._status)
        return self._matched is not None

    def take(self) -> bytearray | None:
        """The next letter, or None."""
        if not self.ready():
            return None
        message, self._matched = self._matched, None
        assert message is not None
        letter = bytearray(self._status.Get_count(MPI.BYTE))
        message.Recv([letter, len(letter), MPI.BYTE])
        self._taken += 1
        return letter

    def close(self, beside: Endpoint | None = None) -> None:
        """Take in what nobody reads any more, until all is taken and all of this rank's is; every
        rank must come. `beside` is a second endpoint of this rank on the same communicator."""
        ends = [self] if beside is None else [self, beside]
        sent = [sum(counts) for counts in zip(*(end.sent for end in ends), strict=True)]
        due = owed(self._comm, sent, "letters")
        await_that(lambda: self._has_taken(due, ends), "the last letters")
        await_that(lambda: not any(end.unsent() for end in ends), "the end of the last letters")

    def _has_taken(self, due: int, ends: Sequence[Endpoint]) -> bool:
        """Two endpoints may each have taken some, or hold one that is matched."""
        for end in ends:
            while end.take() is not None:
                pass
        return sum(end._taken for end in ends) >= due

    def unsent(self) -> int:
        """How many sends are unfinished."""
        self._unsent = deque(entry for entry in self._unsent if not entry[0].Test())
        return len(self._unsent)


class _Box:
    """Decodes what arrives: first from this process's own queue, then from the wire."""

    def __init__(self, wire: Endpoint | None, inbox: deque[bytes]) -> None:
        self._wire, self._inbox = wire, inbox
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder[Mail](Mail).decode

    def ready(self) -> bool:
        """Would `receive` return something now? Never waits."""
        return bool(self._inbox) or (self._wire is not None and self._wire.ready())

    def receive(self) -> list[Mail]:
        """All that has arrived, up to `MAX_TAKEN`, oldest first per sender."""
        found: list[Mail] = []
        while self._inbox and len(found) < MAX_TAKEN:
            found.append(self._decode(self._inbox.popleft()))
        while self._wire is not None and len(found) < MAX_TAKEN:
            letter = self._wire.take()
            if letter is None:
                break
            found.append(self._decode(letter))
        return found


class RankMailbox(_Box):
    """A rank's mailbox. `to_desk` and `inbox` are shared with the coordinator on its host."""

    def __init__(
        self, peers: Endpoint, desk: Endpoint, to_desk: deque[bytes] | None, inbox: deque[bytes]
    ) -> None:
        super().__init__(peers, inbox)
        self._peers, self._desk, self._to_desk = peers, desk, to_desk
        self._unread: Unread | None = None

    def watch(self, unread: Unread, clock: Clock) -> None:
        """Follow how long mail lies there once somebody has seen that there is some."""
        self._unread, self._clock = unread, clock

    def ready(self) -> bool:
        """Would `receive` return something now? Never waits."""
        found = super().ready()
        if found and self._unread is not None:
            self._unread.came(self._clock())
        return found

    def receive(self) -> list[Mail]:
        """All that has arrived, up to `MAX_TAKEN`, oldest first per sender."""
        found = super().receive()
        if found and self._unread is not None:
            self._unread.taken(self._clock())
        return found

    def close(self, beside: CoordinatorMailbox | None = None) -> None:
        """Bring both communicators to rest; every rank must come. `beside` is the coordinator's,
        on its host, when its thread has ended."""
        self._peers.close(None if beside is None else beside.peers)
        self._desk.close(None if beside is None else beside.desk)

    def send(self, to: int, message: Mail) -> None:
        """Send to a world rank, or to `COORDINATOR`."""
        letter = self._encode(message)
        if to != COORDINATOR:
            self._peers.send(to, letter)
        elif self._to_desk is not None:
            self._to_desk.append(letter)
        else:
            self._desk.send(HOST, letter)


class CoordinatorMailbox(_Box):
    """The coordinator's mailbox, used by its thread alone. `peers` is an endpoint of its own for
    sending on the ranks' communicator."""

    def __init__(
        self, desk: Endpoint, peers: Endpoint, inbox: deque[bytes], to_host: deque[bytes]
    ) -> None:
        super().__init__(desk, inbox)
        self.desk, self.peers, self._to_host = desk, peers, to_host

    def send(self, to: int, message: Mail) -> None:
        """Send to a world rank; `COORDINATOR` is itself."""
        letter = self._encode(message)
        if to == HOST:
            self._to_host.append(letter)
        elif to == COORDINATOR:
            self._inbox.append(letter)
        else:
            self.peers.send(to, letter)
