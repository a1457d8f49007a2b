"""Typed messages between ranks, and with the coordinator, over MPI.

Ranks send to each other on one communicator, and to the coordinator on another. The coordinator is
a thread beside rank 0; with a communicator of its own it never receives messages for the rank. What
the coordinator sends arrives on the ranks' communicator. Between the coordinator and rank 0, the
same bytes go through a queue in the process.

MPI keeps the order between one sender and one receiver of a communicator, and so does a mailbox.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from adpkv.core.ids import COORDINATOR
from adpkv.core.inbox_age import InboxAge
from adpkv.executor.messages import HOST, Message
from adpkv.executor.ports import Clock
from adpkv.worlds.mpi.endpoint import Endpoint

__all__ = ["MAX_TAKEN", "CoordinatorMailbox", "RankMailbox"]

MAX_TAKEN: Final = 4096
"""The most messages of one `receive`; the rest waits for the next, so that no iteration takes too
long."""


class _Box:
    """Decodes what arrives: first from this process's own queue, then from the endpoint."""

    def __init__(self, endpoint: Endpoint | None, inbox: deque[bytes]) -> None:
        self._endpoint, self._inbox = endpoint, inbox
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder[Message](Message).decode

    def ready(self) -> bool:
        """Would `receive` return something now? Never waits."""
        return bool(self._inbox) or (self._endpoint is not None and self._endpoint.ready())

    def receive(self) -> list[Message]:
        """All that has arrived, up to `MAX_TAKEN`, oldest first per sender."""
        found: list[Message] = []
        while self._inbox and len(found) < MAX_TAKEN:
            found.append(self._decode(self._inbox.popleft()))
        while self._endpoint is not None and len(found) < MAX_TAKEN:
            data = self._endpoint.take()
            if data is None:
                break
            found.append(self._decode(data))
        return found


class RankMailbox(_Box):
    """A rank's mailbox. On rank 0 `to_coordinator` and `inbox` are shared with the coordinator."""

    def __init__(
        self,
        peers: Endpoint,
        coordinator: Endpoint,
        to_coordinator: deque[bytes] | None,
        inbox: deque[bytes],
    ) -> None:
        super().__init__(peers, inbox)
        self._peers, self._coordinator, self._to_coordinator = peers, coordinator, to_coordinator
        self._inbox_age: InboxAge | None = None

    def watch(self, inbox_age: InboxAge, clock: Clock) -> None:
        """Watch how long messages lie unread after they were noticed."""
        self._inbox_age, self._clock = inbox_age, clock

    def ready(self) -> bool:
        """Would `receive` return something now? Never waits."""
        found = super().ready()
        if found and self._inbox_age is not None:
            self._inbox_age.came(self._clock())
        return found

    def receive(self) -> list[Message]:
        """All that has arrived, up to `MAX_TAKEN`, oldest first per sender."""
        found = super().receive()
        if found and self._inbox_age is not None:
            self._inbox_age.taken(self._clock())
        return found

    def close(self) -> None:
        """Drain both communicators. Every rank must call it, after the coordinator has ended."""
        self._peers.close()
        self._coordinator.close()

    def send(self, to: int, message: Message) -> None:
        """Send to a world rank, or to `COORDINATOR`."""
        data = self._encode(message)
        if to != COORDINATOR:
            self._peers.send(to, data)
        elif self._to_coordinator is not None:
            self._to_coordinator.append(data)
        else:
            self._coordinator.send(HOST, data)


class CoordinatorMailbox(_Box):
    """The coordinator's mailbox, used only by its thread. The endpoints are rank 0's."""

    def __init__(
        self, coordinator: Endpoint, peers: Endpoint, inbox: deque[bytes], to_host: deque[bytes]
    ) -> None:
        super().__init__(coordinator, inbox)
        self._peers, self._to_host = peers, to_host

    def send(self, to: int, message: Message) -> None:
        """Send to a world rank; `COORDINATOR` is itself."""
        data = self._encode(message)
        if to == HOST:
            self._to_host.append(data)
        elif to == COORDINATOR:
            self._inbox.append(data)
        else:
            self._peers.send(to, data)
