"""The wire in virtual time: a latency, and a bandwidth that a rank's transfers share fairly.

Each sender has one link. Its flows are served at equal rates (generalised processor sharing, Parekh
and Gallager 1993): `served` is what each flow would have got since the link came up, so a flow ends
when `served` reaches its mark, and only the next end is ever in the agenda. O(log flows) per
transfer.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Protocol

from adpkv.core.ids import SessionId
from adpkv.core.news import Unread
from adpkv.memory.virtual import LedgerMemory
from adpkv.transport.port import EndKind, Proof, Transfer, TransportEnd

__all__ = ["Network", "Timetable", "VirtualTransport"]

_UNIT = 10**9
"""`served` counts billionths of a byte: a byte per second is one unit per nanosecond."""

_NOTHING: list[TransportEnd] = []


class Timetable(Protocol):
    """What the network needs of a world: a clock, later calls, and somebody to tell."""

    def clock(self) -> int:
        """Nanoseconds of virtual time."""
        ...

    def later(self, at_ns: int, owner: int, action: Callable[[Any], None], what: Any) -> None:
        """Do `action(what)` at `at_ns`; `owner` orders simultaneous ones."""
        ...

    def arrival(self, rank: int) -> None:
        """Something ended for a rank."""
        ...


class _Link:
    """One sender's outgoing wire."""

    __slots__ = ("flows", "numbers", "served", "since_ns", "version")

    def __init__(self) -> None:
        self.flows: list[tuple[int, int, Transfer]] = []
        self.served = 0
        self.since_ns = 0
        self.numbers = 0
        self.version = 0


class Network:
    """All links, and who expects what."""

    def __init__(
        self, ranks: int, latency_ns: int, bandwidth_bytes_per_s: int, timetable: Timetable
    ) -> None:
        self._latency_ns = max(latency_ns, 1)
        self._bandwidth = bandwidth_bytes_per_s
        self._timetable = timetable
        self._links: dict[int, _Link] = {}
        self._flows_of = [0] * ranks
        """Flows that a rank sends or receives now."""
        self._moved_ns = [0] * ranks
        self._ends: list[VirtualTransport | None] = [None] * ranks

    def end(
        self,
        rank: int,
        memory: LedgerMemory,
        unread: Unread | None = None,
        reading: Callable[[int], int] = int,
    ) -> VirtualTransport:
        """A rank's end of the wire; `unread` follows how long what ended is not polled, `reading`
        is what the rank's clock reads at a time of the world."""
        transport = VirtualTransport(self, rank, memory, unread, reading)
        self._ends[rank] = transport
        return transport

    def begin(self, transfer: Transfer) -> None:
        """A flow joins its sender's link."""
        link = self._links.setdefault(transfer.sender, _Link())
        self._advance(link)
        link.numbers += 1
        mark = link.served + transfer.nbytes * _UNIT
        heapq.heappush(link.flows, (mark, link.numbers, transfer))
        self._count(transfer, 1)
        self._plan(transfer.sender, link)
        # That bytes move is news for whoever is ill for want of movement (contract 4.2).
        self._timetable.arrival(transfer.receiver)

    def stop(self, rank: int, session: SessionId) -> None:
        """The sender posts no more: what is on the wire still lands, then the flow is over."""
        link = self._links.get(rank)
        found = [f for f in link.flows if f[2].session == session] if link else []
        if link is None or not found:
            return
        self._advance(link)
        link.flows.remove(found[0])
        heapq.heapify(link.flows)
        self._count(found[0][2], -1)
        self._plan(rank, link)
        at_ns = self._timetable.clock() + self._latency_ns
        self._timetable.later(at_ns, rank, self._stopped, found[0][2])

    def moved_ns(self, rank: int) -> int:
        """When a byte last moved to or from the rank."""
        return self._timetable.clock() if self._flows_of[rank] else self._moved_ns[rank]

    def now_ns(self) -> int:
        """The world's clock."""
        return self._timetable.clock()

    def _count(self, transfer: Transfer, change: int) -> None:
        for rank in (transfer.sender, transfer.receiver):
            self._flows_of[rank] += change
            self._moved_ns[rank] = self._timetable.clock()

    def _advance(self, link: _Link) -> None:
        now_ns = self._timetable.clock()
        if link.flows:
            link.served += (now_ns - link.since_ns) * self._bandwidth // len(link.flows)
        link.since_ns = now_ns

    def _plan(self, rank: int, link: _Link) -> None:
        link.version += 1
        if link.flows:
            left = max(link.flows[0][0] - link.served, 0)
            span_ns = -(-left * len(link.flows) // self._bandwidth)
            at_ns = link.since_ns + span_ns
            self._timetable.later(at_ns, rank, self._due, (rank, link.version))

    def _due(self, what: tuple[int, int]) -> None:
        rank, version = what
        link = self._links[rank]
        if version != link.version:
            return
        # The first flow is at its mark by plan; rounding down must not leave it short.
        served = link.flows[0][0]
        self._advance(link)
        link.served = max(link.served, served)
        at_ns = self._timetable.clock() + self._latency_ns
        while link.flows and link.flows[0][0] <= link.served:
            transfer = heapq.heappop(link.flows)[2]
            self._count(transfer, -1)
            self._timetable.later(at_ns, rank, self._landed, transfer)
        self._plan(rank, link)

    def _landed(self, transfer: Transfer) -> None:
        done = TransportEnd(transfer.session, EndKind.DONE, transfer.nbytes)
        self._tell(transfer.receiver, transfer, done, whole=True)
        self._tell(transfer.sender, transfer, done)

    def _stopped(self, transfer: Transfer) -> None:
        receiver = self._ends[transfer.receiver]
        if receiver is not None:
            receiver.write(transfer, whole=False)
        ended = TransportEnd(transfer.session, EndKind.FAILED, 0, 1, "withdrawn")
        self._tell(transfer.sender, transfer, ended)

    def _tell(
        self, rank: int, transfer: Transfer, end: TransportEnd, *, whole: bool = False
    ) -> None:
        transport = self._ends[rank]
        if transport is not None and transport.told(transfer, end, whole=whole):
            self._timetable.arrival(rank)


class VirtualTransport:
    """One rank's end. Proof of quiescence is the wire's own end, or the sender's word that it
    posted nothing: the wire keeps no bytes back."""

    name = "virtual"
    proofs = frozenset({Proof.BACKEND_DONE, Proof.NOTHING_POSTED, Proof.RECEIVE_ENDED})
    can_withdraw = True

    def __init__(
        self,
        network: Network,
        rank: int,
        memory: LedgerMemory,
        unread: Unread | None = None,
        reading: Callable[[int], int] = int,
    ) -> None:
        self._reading = reading
        self._network = network
        self._rank = rank
        self._memory = memory
        self.unread = unread
        self._ended: list[TransportEnd] = []
        self._expected: dict[SessionId, int] = {}

    def expect(self, transfer: Transfer) -> bool:
        """Remember for which lease the blocks are promised."""
        self._expected[transfer.session] = self._memory.awaited(transfer.target)
        return True

    def post(self, transfer: Transfer) -> None:
        """Join the link."""
        self._network.begin(transfer)

    def withdraw(self, session: SessionId) -> None:
        """Sender: leave the link. A receiver cannot stop what others write."""
        self._network.stop(self._rank, session)

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """The sender posts no more, and what it posted has landed before its word came."""
        if self._expected.pop(session, None) is not None:
            self._note(TransportEnd(session, EndKind.FAILED, 0, pieces, "peer ended"))

    def poll(self) -> list[TransportEnd]:
        """What ended since the last call."""
        if not self._ended:
            return _NOTHING
        ended, self._ended = self._ended, []
        if self.unread is not None:
            self.unread.taken(self._network.now_ns())
        return ended

    def ready(self) -> bool:
        """Would `poll` report something?"""
        return bool(self._ended)

    def last_moved_ns(self) -> int:
        """When a byte last moved to or from this rank."""
        return self._reading(self._network.moved_ns(self._rank))

    def close(self) -> None:
        """There is nothing to give back."""

    def write(self, transfer: Transfer, *, whole: bool) -> int:
        """The wire writes into this rank's blocks, whoever holds them by now."""
        owner = self._expected.get(transfer.session, -1)
        self._memory.land(owner, transfer.target, whole=whole)
        return owner

    def told(self, transfer: Transfer, end: TransportEnd, *, whole: bool) -> bool:
        """The wire reports an end; says whether it is news for this rank."""
        if transfer.receiver == self._rank and transfer.sender != self._rank:
            self.write(transfer, whole=whole)
            if self._expected.pop(transfer.session, None) is None:
                return False
        self._note(end)
        return True

    def _note(self, end: TransportEnd) -> None:
        if self.unread is not None and not self._ended:
            self.unread.came(self._network.now_ns(), end.session[0])
        self._ended.append(end)
