"""Typed mail between ranks, and with the coordinator, over MPI.

Ranks write to each other on one communicator, and to the coordinator on another, whose receiver is
a thread beside rank 0: with a communicator of its own it never takes another's mail. What the
coordinator sends arrives on the ranks' communicator. Between the coordinator and its own host,
rank 0, the same bytes go through a queue of the process: two threads of one rank need no wire.

MPI keeps the order between one sender and one receiver of a communicator, which is the promise.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from adpkv.core.ids import COORDINATOR
from adpkv.core.news import Unread
from adpkv.executor.messages import HOST, Mail
from adpkv.executor.ports import Clock
from adpkv.worlds.mpi.letters import Endpoint

__all__ = ["MAX_TAKEN", "CoordinatorMailbox", "RankMailbox"]

MAX_TAKEN: Final = 4096
"""Messages in one `receive`; the rest waits for the next, so that no iteration drowns in mail."""


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

    def close(self) -> None:
        """Bring both communicators to rest; every rank must come, the coordinator being at its
        end."""
        self._peers.close()
        self._desk.close()

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
    """The coordinator's mailbox, used by its thread alone. The endpoints are its host's."""

    def __init__(
        self, desk: Endpoint, peers: Endpoint, inbox: deque[bytes], to_host: deque[bytes]
    ) -> None:
        super().__init__(desk, inbox)
        self._peers, self._to_host = peers, to_host

    def send(self, to: int, message: Mail) -> None:
        """Send to a world rank; `COORDINATOR` is itself."""
        letter = self._encode(message)
        if to == HOST:
            self._to_host.append(letter)
        elif to == COORDINATOR:
            self._inbox.append(letter)
        else:
            self._peers.send(to, letter)
